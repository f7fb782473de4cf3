//! `keyrole_store = keyutils`: the Linux kernel keyring. No daemon, no disk, three system calls a read.
//!
//! Entries are `user` keys in the user keyring `@u`. It exists for every user id without any login session, so
//! cron, ssh and containers see the same one, and since Linux 5.3 it lives until reboot. A process that has no
//! session keyring linked to `@u` does not *possess* the keys in it, so each key also grants its user id what the
//! possessor may do; that gives nothing to anybody new, as every process of that user may link `@u` anyway.

use super::{SecretStore, StoreError};
use crate::cache::NAME_PREFIX;
use crate::secret::SecretBytes;
use linux_keyutils::{Key, KeyError, KeyPermissionsBuilder, KeyRing, KeyRingIdentifier, KeySerialId, Permission};
use std::thread;
use std::time::Duration;

/// Room for the serial numbers of a thousand keys, to try first.
const USUAL_BYTES: usize = 4096;
/// The largest payload of a `user` key.
const MAX_BYTES: usize = 32_767;
/// How often, and how often at most, to look whether the kernel has given the bytes of expired keys back. It does so
/// when no other process can be reading the keyring any more, some 10 ms later, and tells nobody.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
const LOOKS: usize = 40;

pub struct Keyutils;

impl Keyutils {
    fn find(name: &str) -> Result<Option<Key>, StoreError> {
        let ring = KeyRing::from_special_id(KeyRingIdentifier::User, false).map_err(unavailable)?;
        ring.search(name).map_or_else(missing, |key| Ok(Some(key)))
    }

    /// Lists the keys in the user keyring.
    fn keys() -> Result<Vec<Key>, StoreError> {
        // Reading a keyring gives the serial numbers of its keys.
        let ring = Key::from_id(KeySerialId(KeyRingIdentifier::User as i32));
        let mut serials = vec![0; USUAL_BYTES];
        loop {
            match ring.read(&mut serials) {
                Ok(length) if length > serials.len() => serials.resize(length * 2, 0),
                Ok(length) => {
                    serials.truncate(length);
                    break;
                }
                Err(error) if is_missing(&error) => return Ok(Vec::new()),
                Err(error) => return Err(unavailable(error)),
            }
        }
        let (serials, _) = serials.as_chunks::<4>();
        Ok(serials.iter().map(|&serial| Key::from_id(KeySerialId(i32::from_ne_bytes(serial)))).collect())
    }

    fn add(name: &str, secret: &[u8]) -> Result<Key, KeyError> {
        // Possession is needed to set permissions.
        Self::possess()?.add_key(name, secret)
    }

    /// Takes expired keys out of the user keyring, and tells whether there were any. The kernel does it as well, but
    /// lets them count against the quota for up to five minutes more (`/proc/sys/kernel/keys/gc_delay`). It no longer
    /// tells their names; a key that has expired is dead to everybody, whoever made it.
    fn unlink_expired() -> Result<bool, StoreError> {
        let ring = KeyRing::from_special_id(KeyRingIdentifier::User, false).map_err(unavailable)?;
        let has_expired = |key: &Key| matches!(key.metadata(), Err(KeyError::KeyExpired));
        let unlinked = Self::keys()?.into_iter().filter(has_expired).filter(|key| ring.unlink_key(*key).is_ok());
        Ok(unlinked.count() > 0)
    }

    /// Gives the user keyring after linking it to the process keyring, which ends with this process. Now its keys
    /// are possessed.
    fn possess() -> Result<KeyRing, KeyError> {
        let ring = KeyRing::from_special_id(KeyRingIdentifier::User, true)?;
        KeyRing::from_special_id(KeyRingIdentifier::Process, true)?.link_keyring(ring)?;
        Ok(ring)
    }
}

impl SecretStore for Keyutils {
    fn label(&self) -> &'static str {
        "keyutils"
    }

    fn get(&self, name: &str) -> Result<Option<SecretBytes>, StoreError> {
        let Some(key) = Self::find(name)? else { return Ok(None) };
        // The kernel tells the length first, so that no larger buffer has to be wiped.
        let mut length = match key.read(&mut []) {
            Ok(length) => length,
            Err(error) => return missing(error),
        };
        // Another process may put a longer entry in its place between the two calls.
        while length <= MAX_BYTES {
            let mut buffer = SecretBytes::from(vec![0; length]);
            match key.read(&mut *buffer) {
                Ok(now) if now > length => length = now,
                Ok(now) => {
                    buffer.truncate(now);
                    return Ok(Some(buffer));
                }
                Err(error) => return missing(error),
            }
        }
        Ok(None)
    }

    fn set(&self, name: &str, secret: &[u8], ttl: Duration) -> Result<(), StoreError> {
        let mut added = Self::add(name, secret);
        if matches!(added, Err(KeyError::QuotaExceeded)) && Self::unlink_expired()? {
            for _ in 0..LOOKS {
                thread::sleep(LOOK_AGAIN);
                added = Self::add(name, secret);
                if !matches!(added, Err(KeyError::QuotaExceeded)) {
                    break;
                }
            }
        }
        let key = added.map_err(unavailable)?;
        let user = Permission::VIEW | Permission::READ | Permission::WRITE | Permission::SEARCH;
        let permissions = KeyPermissionsBuilder::builder().posessor(Permission::ALL).user(user).build();
        // The kernel forgets the entry by itself, and gives its bytes back to the quota.
        let seconds = usize::try_from(ttl.as_secs()).unwrap_or(usize::MAX).max(1);
        match key.set_perms(permissions).and_then(|()| key.set_timeout(seconds)) {
            // Another process has removed it in the meantime, which is as if it had done so a moment later.
            Err(error) if is_missing(&error) => Ok(()),
            done => done.map_err(unavailable),
        }
    }

    fn delete(&self, name: &str) -> Result<bool, StoreError> {
        // Possession reaches even a key whose writer died before it opened it to its user id. A full keyring does not
        // grant it, and all other keys can do without.
        let _ = Self::possess();
        let Some(key) = Self::find(name)? else { return Ok(false) };
        match key.invalidate() {
            Ok(()) => Ok(true),
            Err(error) if is_missing(&error) => Ok(false),
            Err(error) => Err(unavailable(error)),
        }
    }

    fn names(&self) -> Result<Vec<String>, StoreError> {
        let described = Self::keys()?.into_iter().filter_map(|key| {
            let metadata = key.metadata().ok()?;
            Some(metadata.get_description().to_owned())
        });
        Ok(described.filter(|name| name.starts_with(NAME_PREFIX)).collect())
    }
}

/// Tells an entry that is not there, or not yet, from a keyring that fails.
fn missing<T>(error: KeyError) -> Result<Option<T>, StoreError> {
    match error {
        // The writer has added the key but not yet opened it to its user id.
        KeyError::AccessDenied => Ok(None),
        error if is_missing(&error) => Ok(None),
        error => Err(unavailable(error)),
    }
}

fn is_missing(error: &KeyError) -> bool {
    matches!(error, KeyError::KeyDoesNotExist | KeyError::KeyExpired | KeyError::KeyRevoked)
}

fn unavailable(error: KeyError) -> StoreError {
    /// `ENOSYS`: the kernel, or the container's filter, does not know the call.
    const NO_SUCH_CALL: i32 = 38;
    StoreError::Unavailable(match error {
        // A keyring and a link take room as well, so this is not always said of the key.
        KeyError::QuotaExceeded => {
            return StoreError::Full(
                "the kernel keyring is full (`/proc/key-users` shows this user's quota)".to_owned(),
            );
        }
        KeyError::Unknown(NO_SUCH_CALL) | KeyError::PermissionDenied | KeyError::OperationNotSupported => {
            "the kernel keyring is blocked here, as it is in most containers".to_owned()
        }
        other => format!("the kernel keyring failed: {other}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_that_another_process_removes_while_it_is_written_is_no_failure() {
        let name = format!("keyrole:test-race-{}", std::process::id());
        let write_and_remove = || {
            for _ in 0..500 {
                Keyutils.set(&name, b"probe", Duration::from_secs(60)).unwrap();
                Keyutils.delete(&name).unwrap();
            }
        };
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(write_and_remove);
            }
        });
        assert_eq!(Keyutils.get(&name), Ok(None));
    }
}
