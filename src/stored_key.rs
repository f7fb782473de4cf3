//! Owns the long-lived access keys in persistent stores: one entry a key, named by its ID, with the secret bound to that
//! ID. Which profile uses a key is in the config file; here nobody knows of profiles but for messages.

use crate::credentials::Credentials;
use crate::error::{Error, Kind, Result};
use crate::mfa::quoted;
use crate::plan::StoreChoice;
use crate::secret::{Secret, SecretBytes};
use crate::store::{self, KEY_FILE_VARIABLE, KEY_PREFIX, SecretStore, StoreError};
use crate::world::World;
use std::time::Duration;

/// An access key does not expire.
const FOR_EVER: Duration = Duration::MAX;

/// The stores in which a profile's key may be, in the order in which they are tried.
pub struct KeyStores<'a>(Vec<Box<dyn SecretStore + 'a>>);

/// Why a secret was not found.
pub struct Missing {
    /// A store that may hold it is locked or does not answer.
    pub is_closed: bool,
    /// Every store has answered, so it is nowhere.
    pub is_sure: bool,
    /// What each store said.
    pub why: String,
}

impl<'a> KeyStores<'a> {
    /// Opens the stores. Nothing is asked of them yet.
    ///
    /// # Errors
    /// `file` was chosen, and there is no key for it.
    pub fn open(choice: StoreChoice, world: &'a World) -> Result<Self> {
        store::persistent(choice, world).map(Self)
    }

    /// Finds the secret of a key, and the store that has it.
    ///
    /// # Errors
    /// It was not found.
    pub fn find(&self, id: &str) -> std::result::Result<(Secret, &dyn SecretStore), Missing> {
        let mut missing = Missing { is_closed: false, is_sure: true, why: String::new() };
        for store in &self.0 {
            let why = match store.get(&entry(id)) {
                Ok(Some(value)) => match unpack(id, &value) {
                    Some(secret) => return Ok((secret, &**store)),
                    None => format!("`{}` has something else in its place", store.label()),
                },
                Ok(None) => format!("`{}` does not have it", store.label()),
                Err(error) => {
                    missing.is_sure = false;
                    missing.is_closed |= matches!(error, StoreError::Closed(_));
                    error.to_string()
                }
            };
            missing.why += if missing.why.is_empty() { "" } else { "; " };
            missing.why += &why;
        }
        if self.0.is_empty() {
            missing.why.push_str(NO_STORE);
        }
        Err(missing)
    }

    /// Finds the secret of a profile's key. With `may_unlock` a person may be asked to unlock a store.
    ///
    /// # Errors
    /// `PersonNeeded` if a store is locked, `Failed` if no store has it.
    pub fn secret_of(&self, id: &str, profile: &str, may_unlock: bool) -> Result<Secret> {
        self.find_for(id, profile, may_unlock).map(|(secret, _)| secret)
    }

    /// The same, with the store.
    ///
    /// # Errors
    /// As `secret_of`.
    pub fn find_for(&self, id: &str, profile: &str, may_unlock: bool) -> Result<(Secret, &dyn SecretStore)> {
        let mut found = self.find(id);
        if may_unlock && found.as_ref().is_err_and(|missing| missing.is_closed) {
            // What stays locked says so when it is asked again.
            self.0.iter().for_each(|store| drop(store.unlock()));
            found = self.find(id);
        }
        found.map_err(|missing| missing.to_error(id, profile))
    }

    /// Finds the first store that takes an entry, unlocking it if it must be.
    ///
    /// # Errors
    /// There is none.
    pub fn first_that_works(&self) -> Result<&dyn SecretStore> {
        let mut why = Vec::new();
        for store in &self.0 {
            let tried = match store.probe() {
                Err(StoreError::Closed(_)) => store.unlock().and_then(|()| store.probe()),
                tried => tried,
            };
            match tried {
                Ok(()) => return Ok(&**store),
                Err(error) => why.push(error.to_string()),
            }
        }
        if why.is_empty() {
            why.push(NO_STORE.to_owned());
        }
        Err(Error::failed(format!("no store here can keep an access key: {}", why.join("; "))).hint(start_one()))
    }

    /// Removes a key wherever it is; tells whether it was anywhere.
    ///
    /// # Errors
    /// A store that may have it could not be asked.
    pub fn forget(&self, id: &str) -> Result<bool> {
        let (mut was_there, mut has_answered, mut unsure) = (false, false, Vec::new());
        for store in &self.0 {
            let deleted = match store.delete(&entry(id)) {
                Err(StoreError::Closed(_)) => store.unlock().and_then(|()| store.delete(&entry(id))),
                deleted => deleted,
            };
            match deleted {
                Ok(deleted) => {
                    was_there |= deleted;
                    has_answered = true;
                }
                // Sealed files are there, whatever keeps this process from them; a daemon that is not there holds nothing.
                Err(StoreError::Unavailable(why)) if store.label() == "file" => {
                    return Err(cannot_tell(id, &why));
                }
                Err(StoreError::Unavailable(why)) => unsure.push(why),
                Err(error) => return Err(Error::failed(format!("cannot remove the access key `{id}`: {error}"))),
            }
        }
        if has_answered { Ok(was_there) } else { Err(cannot_tell(id, &unsure.join("; "))) }
    }
}

impl Missing {
    fn to_error(&self, id: &str, profile: &str) -> Error {
        let kind = if self.is_closed { Kind::PersonNeeded } else { Kind::Failed };
        let what = format!("the secret of access key `{id}` of profile `{profile}` is not to be had: {}", self.why);
        let name = quoted(profile);
        let error = Error::new(kind, what);
        if self.is_closed {
            error.hint(format!("unlock the keyring of your desktop, for which `keyrole login {name}` asks, then retry"))
        } else if self.why.contains("only this user can write to") {
            error.hint("take the permission to write there from others: `chmod 700` the directory")
        } else if self.is_sure {
            error.hint(format!("`keyrole keys add {name}` puts it there"))
        } else {
            error.hint(format!("{}; if it is lost, `keyrole keys add {name}` puts it there anew", start_one()))
        }
    }
}

fn cannot_tell(id: &str, why: &str) -> Error {
    Error::failed(format!("cannot tell whether a store still has the access key `{id}`: {why}")).hint(
        "give the store what it needs; if it is gone for good, take `keyrole_aws_access_key_id` out of the profile by hand",
    )
}

const NO_STORE: &str = "there is no persistent store on this machine";

fn start_one() -> String {
    if cfg!(target_os = "linux") {
        format!(
            "start a Secret Service (gnome-keyring, KWallet, KeePassXC), or name the file with the key for sealed files in \
             `{KEY_FILE_VARIABLE}`"
        )
    } else {
        format!("unlock the keyring, or name the file with the key for sealed files in `{KEY_FILE_VARIABLE}`")
    }
}

/// Keeps a secret in a store, and makes sure that the store gives it back.
///
/// # Errors
/// It does not.
pub fn keep(store: &dyn SecretStore, id: &str, secret: &Secret) -> Result<()> {
    let failed = |why: &str| {
        Error::failed(format!("`{}` does not keep the access key `{id}`: {why}", store.label())).hint(start_one())
    };
    let mut value = SecretBytes::with_capacity(id.len() + 1 + secret.expose().len());
    for part in [id, ":", secret.expose()] {
        value.extend_from_slice(part.as_bytes());
    }
    store.set(&entry(id), &value, FOR_EVER).map_err(|error| failed(&error.to_string()))?;
    match store.get(&entry(id)) {
        Ok(Some(kept)) if kept == value => Ok(()),
        Ok(_) => Err(failed("it gives back something else")),
        Err(error) => Err(failed(&error.to_string())),
    }
}

/// Reads a key back from the one store that it was put into.
///
/// # Errors
/// It is not there.
pub fn read_back(store: &dyn SecretStore, id: &str) -> Result<Secret> {
    let found = store.get(&entry(id)).ok().flatten().and_then(|value| unpack(id, &value));
    found.ok_or_else(|| Error::failed(format!("`{}` does not give back the access key `{id}`", store.label())))
}

/// Gives the name of a key's entry.
pub fn entry(id: &str) -> String {
    [KEY_PREFIX, id].concat()
}

/// Makes credentials of a long-lived key.
pub fn credentials(id: &str, secret: Secret) -> Credentials {
    Credentials { access_key_id: id.to_owned(), secret_access_key: secret, session_token: None, expiration: None }
}

fn unpack(id: &str, value: &[u8]) -> Option<Secret> {
    let secret = value.strip_prefix(id.as_bytes())?.strip_prefix(b":")?;
    std::str::from_utf8(secret).ok().filter(|secret| !secret.is_empty()).map(Secret::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_bound_to_the_id_of_its_key() {
        assert_eq!(unpack("AKIA1", b"AKIA1:s:t").unwrap().expose(), "s:t");
        for other in [&b"AKIA2:s"[..], b"AKIA1", b"AKIA1:", b"s", b"AKIA1s", b"AKIA1:\xff"] {
            assert!(unpack("AKIA1", other).is_none(), "{other:?}");
        }
    }
}
