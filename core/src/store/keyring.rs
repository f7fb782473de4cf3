//! The stores of the keyring project: the macOS Keychain and the Windows Credential Manager.

use super::daemon::{DEADLINE, Daemon};
use super::{SecretStore, StoreError};
use crate::cache::NAME_PREFIX;
use crate::secret::SecretBytes;
use keyring_core::api::CredentialStore;
use keyring_core::{Entry, Error};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// The service under which all entries are kept; public, like every attribute.
const SERVICE: &str = "keyrole";

pub struct Keyring(Daemon<CredentialStore>);

impl Keyring {
    #[cfg(target_os = "macos")]
    pub fn keychain() -> Self {
        Self(Daemon::new("keychain", || {
            let store: Arc<CredentialStore> = apple_native_keyring_store::keychain::Store::new().map_err(failed)?;
            Ok(store)
        }))
    }

    #[cfg(windows)]
    pub fn wincred() -> Self {
        Self(Daemon::new("wincred", || {
            let store: Arc<CredentialStore> = windows_native_keyring_store::Store::new().map_err(failed)?;
            Ok(store)
        }))
    }

    /// Makes a call about one entry; one that is not there is `None`.
    fn entry<T: Send + 'static>(
        &self,
        name: &str,
        call: impl FnOnce(Entry) -> keyring_core::Result<T> + Send + 'static,
    ) -> Result<Option<T>, StoreError> {
        let name = name.to_owned();
        self.0.call(DEADLINE, move |store| match entry(store, &name).and_then(call) {
            Ok(result) => Ok(Some(result)),
            Err(Error::NoEntry) => Ok(None),
            Err(error) => Err(failed(error)),
        })
    }
}

fn entry(store: &CredentialStore, name: &str) -> keyring_core::Result<Entry> {
    // Otherwise a domain would carry the session to all of the user's other machines.
    #[cfg(windows)]
    let modifiers = Some(HashMap::from([("persistence", "Local")]));
    #[cfg(target_os = "macos")]
    let modifiers: Option<HashMap<&str, &str>> = None;
    store.build(SERVICE, name, modifiers.as_ref())
}

fn failed(error: Error) -> StoreError {
    // Security: `BadEncoding` and `BadDataFormat` carry the secret; their Display does not show it.
    let why = format!("the keyring failed: {error}");
    match error {
        Error::NoStorageAccess(_) => StoreError::Closed(why),
        _ => StoreError::Unavailable(why),
    }
}

impl SecretStore for Keyring {
    fn label(&self) -> &'static str {
        self.0.label()
    }

    fn get(&self, name: &str) -> Result<Option<SecretBytes>, StoreError> {
        self.entry(name, |entry| entry.get_secret().map(SecretBytes::from))
    }

    fn set(&self, name: &str, secret: &[u8], _ttl: Duration) -> Result<(), StoreError> {
        let secret = SecretBytes::from(secret.to_vec());
        self.entry(name, move |entry| entry.set_secret(&secret)).map(drop)
    }

    fn delete(&self, name: &str) -> Result<bool, StoreError> {
        Ok(self.entry(name, |entry| entry.delete_credential())?.is_some())
    }

    fn names(&self) -> Result<Vec<String>, StoreError> {
        let names: Vec<String> = self.0.call(DEADLINE, |store| {
            let entries = store.search(&search_spec()).map_err(failed)?;
            Ok(entries.iter().filter_map(entry_name).collect())
        })?;
        Ok(names.into_iter().filter(|name| name.starts_with(NAME_PREFIX)).collect())
    }
}

#[cfg(not(windows))]
fn search_spec() -> HashMap<&'static str, &'static str> {
    HashMap::from([("service", SERVICE)])
}

/// The Credential Manager is searched by a pattern over target names, which are `NAME.SERVICE`.
#[cfg(windows)]
fn search_spec() -> HashMap<&'static str, &'static str> {
    HashMap::from([("pattern", r"^keyrole:.*\.keyrole$")])
}

fn entry_name(entry: &Entry) -> Option<String> {
    if let Some((_, user)) = entry.get_specifiers() {
        return Some(user);
    }
    let attributes = entry.get_attributes().ok()?;
    attributes.get("username").cloned()
}
