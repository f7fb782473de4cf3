//! Owns the choice of where secrets are kept. One file per backend; each knows names and bytes, nothing of AWS.

mod none;

#[cfg(target_os = "linux")]
mod auto;
#[cfg(any(target_os = "linux", target_os = "macos", windows))]
mod keyring;
#[cfg(target_os = "linux")]
mod keyutils;
#[cfg(any(windows, test))]
mod split;

use crate::cache::NAME_PREFIX;
use crate::plan::StoreChoice;
use crate::world::World;
use std::fmt;
use std::time::Duration;
use zeroize::Zeroizing;

/// How long a call to a keyring daemon may take. One that answers does so in some 10 ms; one that does not would
/// hang its clients for half a minute and more.
#[cfg(any(target_os = "linux", target_os = "macos", windows))]
const DAEMON_DEADLINE: Duration = Duration::from_secs(2);

/// A place that keeps small secrets under a name.
pub trait SecretStore {
    /// Names the store as `keyrole_store` does.
    fn label(&self) -> &'static str;

    /// Finds an entry.
    ///
    /// # Errors
    /// The store could not be asked; an entry that is not there is `None`.
    fn get(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError>;

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
        let name = format!("{NAME_PREFIX}probe");
        self.set(&name, b"probe", Duration::from_secs(1))?;
        self.delete(&name).map(|_| ())
    }

    /// Lists the names of keyrole's entries.
    ///
    /// # Errors
    /// The store could not be asked.
    fn names(&self) -> Result<Vec<String>, StoreError>;
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
#[cfg(target_os = "linux")]
pub fn open(choice: StoreChoice, world: &World) -> Box<dyn SecretStore + '_> {
    let secret_service = || Box::new(keyring::Keyring::secret_service());
    match choice {
        StoreChoice::Keyutils => Box::new(keyutils::Keyutils),
        StoreChoice::SecretService => secret_service(),
        StoreChoice::None => Box::new(none::Nowhere),
        _ => Box::new(auto::Auto::new(Box::new(keyutils::Keyutils), secret_service(), || world.state_dir())),
    }
}

/// Opens the store that was chosen.
#[cfg(target_os = "macos")]
pub fn open(choice: StoreChoice, _world: &World) -> Box<dyn SecretStore + '_> {
    match choice {
        StoreChoice::None => Box::new(none::Nowhere),
        _ => Box::new(keyring::Keyring::keychain()),
    }
}

/// Opens the store that was chosen.
#[cfg(windows)]
pub fn open(choice: StoreChoice, _world: &World) -> Box<dyn SecretStore + '_> {
    match choice {
        StoreChoice::None => Box::new(none::Nowhere),
        _ => Box::new(split::Split::new(keyring::Keyring::wincred(), WINCRED_MAX_BYTES)),
    }
}

/// `CRED_MAX_CREDENTIAL_BLOB_SIZE`: five times 512 bytes.
#[cfg(windows)]
const WINCRED_MAX_BYTES: usize = 2560;

/// Opens the store that was chosen. This platform has no keyring that keyrole knows.
#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
pub fn open(_choice: StoreChoice, _world: &World) -> Box<dyn SecretStore + '_> {
    Box::new(none::Nowhere)
}

#[cfg(test)]
mod memory {
    use super::*;
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    /// A store for the tests of the stores that are built on others.
    #[derive(Default)]
    pub struct Memory {
        pub entries: RefCell<BTreeMap<String, Vec<u8>>>,
        pub max_bytes: Option<usize>,
        pub refuses: Option<StoreError>,
    }

    impl SecretStore for Memory {
        fn label(&self) -> &'static str {
            "memory"
        }

        fn get(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
            match &self.refuses {
                Some(StoreError::Unavailable(why)) => Err(StoreError::Unavailable(why.clone())),
                _ => Ok(self.entries.borrow().get(name).cloned().map(Zeroizing::new)),
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
