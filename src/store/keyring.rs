//! The stores of the keyring project that are daemons or system services: Secret Service, Keychain, Credential
//! Manager. Every call runs on a thread of its own and is given up after `DAEMON_DEADLINE`, as a daemon may be mute
//! or may be waiting for a person to unlock it.

use super::{DAEMON_DEADLINE, SecretStore, StoreError};
use crate::cache::NAME_PREFIX;
use keyring_core::api::CredentialStore;
use keyring_core::{Entry, Error};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;
use zeroize::Zeroizing;

/// The service under which all entries are kept; public, like every attribute.
const SERVICE: &str = "keyrole";

type Opener = fn() -> keyring_core::Result<Arc<CredentialStore>>;

pub struct Keyring {
    label: &'static str,
    open: Opener,
    opened: RefCell<Option<Arc<CredentialStore>>>,
    /// It missed a deadline; it is not waited for again in this process.
    is_mute: Cell<bool>,
}

impl Keyring {
    fn new(label: &'static str, open: Opener) -> Self {
        Self { label, open, opened: RefCell::new(None), is_mute: Cell::new(false) }
    }

    #[cfg(target_os = "linux")]
    pub fn secret_service() -> Self {
        Self::new("secret-service", || Ok(zbus_secret_service_keyring_store::Store::new()?))
    }

    #[cfg(target_os = "macos")]
    pub fn keychain() -> Self {
        Self::new("keychain", || Ok(apple_native_keyring_store::keychain::Store::new()?))
    }

    #[cfg(windows)]
    pub fn wincred() -> Self {
        Self::new("wincred", || Ok(windows_native_keyring_store::Store::new()?))
    }

    /// Runs one call against the store, opening it first if this is the first call.
    fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&CredentialStore) -> keyring_core::Result<T> + Send + 'static,
    ) -> Result<keyring_core::Result<T>, StoreError> {
        let mute = || StoreError::Closed(format!("the {} does not answer", self.label));
        if self.is_mute.get() {
            return Err(mute());
        }
        let (opened, open) = (self.opened.borrow().clone(), self.open);
        let (sender, answer) = mpsc::channel();
        // A thread that is never answered ends with the process, which does not wait for it.
        let spawned = thread::Builder::new().spawn(move || {
            let result = opened.map_or_else(open, Ok).map(|store| {
                let result = call(&*store);
                (store, result)
            });
            // The receiver has gone if the deadline has passed.
            let _ = sender.send(result);
        });
        spawned.map_err(|error| StoreError::Unavailable(format!("no thread for the {}: {error}", self.label)))?;
        match answer.recv_timeout(DAEMON_DEADLINE) {
            Ok(Ok((store, result))) => {
                self.opened.replace(Some(store));
                Ok(result)
            }
            Ok(Err(error)) => Err(self.unavailable(&error)),
            Err(_) => {
                self.is_mute.set(true);
                Err(mute())
            }
        }
    }

    fn unavailable(&self, error: &Error) -> StoreError {
        // Security: `BadEncoding` and `BadDataFormat` carry the secret; their Display does not show it.
        let why = format!("the {} failed: {error}", self.label);
        match error {
            Error::NoStorageAccess(_) => StoreError::Closed(why),
            _ => StoreError::Unavailable(why),
        }
    }
}

fn entry(store: &CredentialStore, name: &str) -> keyring_core::Result<Entry> {
    #[cfg(target_os = "linux")]
    let modifiers = Some(HashMap::from([("label", "keyrole session")]));
    #[cfg(not(target_os = "linux"))]
    let modifiers: Option<HashMap<&str, &str>> = None;
    store.build(SERVICE, name, modifiers.as_ref())
}

impl SecretStore for Keyring {
    fn label(&self) -> &'static str {
        self.label
    }

    fn get(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let name = name.to_owned();
        match self.call(move |store| entry(store, &name)?.get_secret().map(Zeroizing::new))? {
            Ok(secret) => Ok(Some(secret)),
            Err(Error::NoEntry) => Ok(None),
            Err(error) => Err(self.unavailable(&error)),
        }
    }

    fn set(&self, name: &str, secret: &[u8], _ttl: Duration) -> Result<(), StoreError> {
        let (name, secret) = (name.to_owned(), Zeroizing::new(secret.to_vec()));
        self.call(move |store| entry(store, &name)?.set_secret(&secret))?.map_err(|error| self.unavailable(&error))
    }

    fn delete(&self, name: &str) -> Result<bool, StoreError> {
        let name = name.to_owned();
        match self.call(move |store| entry(store, &name)?.delete_credential())? {
            Ok(()) => Ok(true),
            Err(Error::NoEntry) => Ok(false),
            Err(error) => Err(self.unavailable(&error)),
        }
    }

    fn names(&self) -> Result<Vec<String>, StoreError> {
        let found = self.call(|store| {
            let entries = store.search(&search_spec())?;
            Ok(entries.iter().filter_map(entry_name).collect::<Vec<_>>())
        })?;
        let names = found.map_err(|error| self.unavailable(&error))?;
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
