//! Owns the choice of where secrets are kept. One file per backend; each knows names and bytes, nothing of AWS.

mod auto;
mod file;
mod none;

#[cfg(any(target_os = "linux", target_os = "macos", windows))]
mod daemon;
#[cfg(any(target_os = "macos", windows))]
mod keyring;
#[cfg(target_os = "linux")]
mod keyutils;
#[cfg(target_os = "linux")]
mod secret_service;
#[cfg(any(windows, test))]
mod split;

pub use file::{KEY_FILE_VARIABLE, KEY_VARIABLE};

use crate::error::Error;
use crate::plan::StoreChoice;
use crate::secret::SecretBytes;
use crate::world::World;
use std::fmt;
use std::time::Duration;

/// The name of an entry of no meaning, by which a store is tried.
const PROBE: &str = "keyrole:probe";

/// The name of a long-lived access key's entry begins so; the rest is the key's ID. It is not the prefix of sessions, so
/// that nothing that lists or removes sessions ever meets a key.
pub const KEY_PREFIX: &str = "keyrole-key:";

/// A place that keeps small secrets under a name.
pub trait SecretStore {
    /// Names the store as `keyrole_store` does.
    fn label(&self) -> &'static str;

    /// Finds an entry.
    ///
    /// # Errors
    /// The store could not be asked; an entry that is not there is `None`.
    fn get(&self, name: &str) -> Result<Option<SecretBytes>, StoreError>;

    /// Keeps an entry, in place of an earlier one of that name. `ttl` is how long it is of use.
    ///
    /// # Errors
    /// The store did not take it.
    fn set(&self, name: &str, secret: &[u8], ttl: Duration) -> Result<(), StoreError>;

    /// Removes an entry; tells whether there was one.
    ///
    /// # Errors
    /// The store could not be asked.
    fn delete(&self, name: &str) -> Result<bool, StoreError>;

    /// Tries whether an entry can be kept, with one of no meaning.
    ///
    /// # Errors
    /// It cannot.
    fn probe(&self) -> Result<(), StoreError> {
        self.set(PROBE, b"probe", Duration::from_secs(1))?;
        self.delete(PROBE).map(drop)
    }

    /// Lists the names of keyrole's entries.
    ///
    /// # Errors
    /// The store could not be asked.
    fn names(&self) -> Result<Vec<String>, StoreError>;

    /// Names the store in which an entry is, where this one is made of several.
    ///
    /// # Errors
    /// The store could not be asked.
    fn place_of(&self, name: &str) -> Result<Option<&'static str>, StoreError> {
        Ok(self.get(name)?.map(|_| self.label()))
    }

    /// Lets a person unlock it, if it is one that can be locked.
    ///
    /// # Errors
    /// It is locked still.
    fn unlock(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Why a store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// It is not there, is blocked, or failed.
    Unavailable(String),
    /// It is there, and may hold something, but is locked or does not answer.
    Closed(String),
    /// It has no room left.
    Full(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(why) | Self::Closed(why) | Self::Full(why) => f.write_str(why),
        }
    }
}

/// Opens the store that was chosen. Opening asks nothing of any daemon.
///
/// # Errors
/// It is `file`, and there is no key for it.
pub fn open(choice: StoreChoice, world: &World) -> Result<Box<dyn SecretStore + '_>, Error> {
    Ok(match choice {
        StoreChoice::None => Box::new(none::Nowhere),
        StoreChoice::File => {
            let files = file::SealedFiles::new(world);
            files.key().map_err(|why| {
                let [variable, other] = [file::KEY_FILE_VARIABLE, file::KEY_VARIABLE];
                Error::usage(format!("the store `file` has no key: {why}")).hint(format!(
                    "`(umask 077; head -c 32 /dev/urandom | base64 > FILE)` makes one; name the file in `{variable}`, or give its text in `{other}`"
                ))
            })?;
            Box::new(files)
        }
        StoreChoice::Auto => Box::new(auto::Auto::new(world)),
        choice => open_platform(choice, world),
    })
}

/// The platform's own stores, the one that is tried first in front.
#[cfg(target_os = "linux")]
const PLATFORM: &[StoreChoice] = &[StoreChoice::Keyutils, StoreChoice::SecretService];
/// The platform's own store.
#[cfg(target_os = "macos")]
const PLATFORM: &[StoreChoice] = &[StoreChoice::Keychain];
/// The platform's own store.
#[cfg(windows)]
const PLATFORM: &[StoreChoice] = &[StoreChoice::Wincred];
/// This platform has no keyring that keyrole knows.
#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
const PLATFORM: &[StoreChoice] = &[StoreChoice::None];

#[cfg(target_os = "linux")]
fn open_platform(choice: StoreChoice, world: &World) -> Box<dyn SecretStore + '_> {
    match choice {
        StoreChoice::SecretService => Box::new(secret_service::SecretService::new(world)),
        _ => Box::new(keyutils::Keyutils),
    }
}

#[cfg(target_os = "macos")]
fn open_platform(_choice: StoreChoice, _world: &World) -> Box<dyn SecretStore + '_> {
    Box::new(keyring::Keyring::keychain())
}

#[cfg(windows)]
fn open_platform(_choice: StoreChoice, _world: &World) -> Box<dyn SecretStore + '_> {
    /// `CRED_MAX_CREDENTIAL_BLOB_SIZE`: five times 512 bytes.
    const WINCRED_MAX_BYTES: usize = 2560;
    Box::new(split::Split::new(keyring::Keyring::wincred(), WINCRED_MAX_BYTES))
}

#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
fn open_platform(_choice: StoreChoice, _world: &World) -> Box<dyn SecretStore + '_> {
    Box::new(none::Nowhere)
}

/// Opens every store that may hold something. Removing sealed files needs no key.
pub fn every(world: &World) -> impl Iterator<Item = Box<dyn SecretStore + '_>> {
    let files: Box<dyn SecretStore> = Box::new(file::SealedFiles::new(world));
    PLATFORM.iter().map(|&choice| open_platform(choice, world)).chain([files])
}

/// Gives the stores of which `auto` is made, in the order in which they are tried: the same on every run in the same
/// place.
pub fn row(world: &World) -> impl Iterator<Item = StoreChoice> {
    let file = file::SealedFiles::has_key(world).then_some(StoreChoice::File);
    PLATFORM.iter().copied().chain(file)
}

/// Opens the stores that outlive a reboot, in the order in which they are tried for long-lived keys: the one that was
/// chosen if it is such a store, else all that there are.
///
/// # Errors
/// `file` was chosen, and there is no key for it.
pub fn persistent(choice: StoreChoice, world: &World) -> Result<Vec<Box<dyn SecretStore + '_>>, Error> {
    let is_persistent = |choice: &StoreChoice| {
        !matches!(choice, StoreChoice::Keyutils | StoreChoice::None | StoreChoice::Auto | StoreChoice::File)
    };
    if choice == StoreChoice::File || is_persistent(&choice) {
        return Ok(vec![open(choice, world)?]);
    }
    let mut stores: Vec<Box<dyn SecretStore>> = Vec::new();
    stores.extend(PLATFORM.iter().filter(|choice| is_persistent(choice)).map(|&choice| open_platform(choice, world)));
    if file::SealedFiles::has_key(world) {
        stores.push(Box::new(file::SealedFiles::new(world)));
    }
    Ok(stores)
}

#[cfg(test)]
mod memory {
    use super::*;
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    /// A store for the tests of the stores that are built on others.
    pub struct Memory {
        pub label: &'static str,
        pub entries: RefCell<BTreeMap<String, Vec<u8>>>,
        pub max_bytes: Option<usize>,
        pub refuses: Option<StoreError>,
    }

    impl Default for Memory {
        fn default() -> Self {
            Self { label: "memory", entries: RefCell::default(), max_bytes: None, refuses: None }
        }
    }

    impl SecretStore for Memory {
        fn label(&self) -> &'static str {
            self.label
        }

        fn get(&self, name: &str) -> Result<Option<SecretBytes>, StoreError> {
            match &self.refuses {
                Some(error) => Err(error.clone()),
                None => Ok(self.entries.borrow().get(name).cloned().map(SecretBytes::from)),
            }
        }

        fn set(&self, name: &str, secret: &[u8], _ttl: Duration) -> Result<(), StoreError> {
            if let Some(error) = &self.refuses {
                return Err(error.clone());
            }
            if self.max_bytes.is_some_and(|max| secret.len() > max) {
                return Err(StoreError::Full("too long".into()));
            }
            self.entries.borrow_mut().insert(name.to_owned(), secret.to_vec());
            Ok(())
        }

        fn delete(&self, name: &str) -> Result<bool, StoreError> {
            Ok(self.entries.borrow_mut().remove(name).is_some())
        }

        fn names(&self) -> Result<Vec<String>, StoreError> {
            Ok(self.entries.borrow().keys().cloned().collect())
        }
    }
}
