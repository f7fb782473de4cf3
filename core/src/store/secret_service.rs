//! `keyrole_store = secret-service`: the keyring of a Linux desktop, over D-Bus: gnome-keyring, KWallet, KeePassXC.
//!
//! Nobody is asked to unlock it but by `unlock`, which only commands that people type call: a program that runs
//! `keyrole get` must not bring up a window that nobody expects, or that nobody is there to see.

use super::daemon::{DEADLINE, Daemon};
use super::{KEY_PREFIX, SecretStore, StoreError};
use crate::cache::NAME_PREFIX;
use crate::lock::{create_private_dir, private_file};
use crate::secret::SecretBytes;
use crate::world::World;
use secret_service::blocking::{Collection, Item, SecretService as Service};
use secret_service::{EncryptionType, Error};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const LABEL: &str = "secret-service";
/// The attributes of an item. They are public: some services keep them in clear text.
const SERVICE: (&str, &str) = ("service", "keyrole");
const USERNAME: &str = "username";
/// What people see in the list of their passwords; of a long-lived key also its ID.
const ITEM_LABEL: &str = "keyrole session";
const KEY_LABEL: &str = "keyrole access key";
const CONTENT_TYPE: &str = "application/octet-stream";
/// How long a person may take to type the keyring's password.
const UNLOCK_DEADLINE: Duration = Duration::from_secs(60);
/// A service that did not answer is left alone for so many seconds by every process: some SDKs ask at every request.
const MUTE_SECONDS: i64 = 60;

pub struct SecretService<'a> {
    daemon: Daemon<Service<'static>>,
    world: &'a World,
}

impl<'a> SecretService<'a> {
    pub fn new(world: &'a World) -> Self {
        Self { daemon: Daemon::new(LABEL, connect), world }
    }

    fn call<T: Send + 'static>(
        &self,
        call: impl Fn(&Service<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        if !self.daemon.is_mute() && self.was_mute() {
            return Err(StoreError::Closed(format!("the {LABEL} did not answer less than a minute ago")));
        }
        let result = self.daemon.call(DEADLINE, move |service| match call(service) {
            // KWallet forgets sessions, and one in 256 of those it makes cannot be deciphered.
            Err(StoreError::Unavailable(_)) => call(&*connect()?),
            result => result,
        });
        if self.daemon.is_mute() {
            self.remember_mute();
        }
        result
    }

    /// Gives the bus by which a service is told from that of another desktop.
    fn bus(&self) -> String {
        self.world.var("DBUS_SESSION_BUS_ADDRESS").unwrap_or_default()
    }

    /// Gives the places for the file `mute`: when which bus's service did not answer.
    fn notes(&self) -> impl Iterator<Item = PathBuf> {
        [self.world.state_dir(), self.world.runtime_dir()].into_iter().flatten().map(|dir| dir.join("mute"))
    }

    fn was_mute(&self) -> bool {
        let now = self.world.now();
        /// More than the address of any bus.
        const MAX_BYTES: u64 = 4096;
        let read = |note: PathBuf| {
            let mut text = String::new();
            private_file().read(true).open(note)?.take(MAX_BYTES).read_to_string(&mut text).map(|_| text)
        };
        self.notes().filter_map(|note| read(note).ok()).any(|note| {
            let (since, bus) = note.split_once(' ').unwrap_or_default();
            let since = since.parse::<i64>().ok();
            // A time to come was left behind by a clock that has been set back.
            since.is_some_and(|since| (0..MUTE_SECONDS).contains(&(now - since))) && bus == self.bus()
        })
    }

    /// Leaves a note for other processes. If it cannot be written, they find out for themselves.
    fn remember_mute(&self) {
        let text = format!("{} {}", self.world.now(), self.bus());
        let write = |note: PathBuf| {
            note.parent().map_or(Ok(()), create_private_dir)?;
            private_file().write(true).create(true).truncate(true).open(note)?.write_all(text.as_bytes())
        };
        let _ = self.notes().map(write).any(|written| written.is_ok());
    }
}

impl SecretStore for SecretService<'_> {
    fn label(&self) -> &'static str {
        self.daemon.label()
    }

    fn get(&self, name: &str) -> Result<Option<SecretBytes>, StoreError> {
        let name = name.to_owned();
        self.call(move |service| match &items(service, attributes(&name))?[..] {
            [] => Ok(None),
            [item, ..] => Ok(unless_removed(service, item, item.get_secret())?.map(SecretBytes::from)),
        })
    }

    fn set(&self, name: &str, secret: &[u8], _ttl: Duration) -> Result<(), StoreError> {
        let (name, secret) = (name.to_owned(), SecretBytes::from(secret.to_vec()));
        self.call(move |service| {
            let keyring = keyring(service)?;
            if keyring.is_locked().map_err(failed)? {
                return Err(locked());
            }
            // KeePassXC asks a person before one item takes the place of another, but not before one is changed.
            if let [item, ..] = &items(service, attributes(&name))?[..]
                && unless_removed(service, item, item.set_secret(&secret, CONTENT_TYPE))?.is_some()
            {
                return Ok(());
            }
            keyring
                .create_item(&label_of(&name), attributes(&name), &secret, true, CONTENT_TYPE)
                .map(drop)
                .map_err(failed)
        })
    }

    fn delete(&self, name: &str) -> Result<bool, StoreError> {
        let name = name.to_owned();
        self.call(move |service| {
            let items = items(service, attributes(&name))?;
            items.iter().try_for_each(|item| unless_removed(service, item, item.delete()).map(drop))?;
            Ok(!items.is_empty())
        })
    }

    fn names(&self) -> Result<Vec<String>, StoreError> {
        self.call(|service| {
            let items = items(service, HashMap::from([SERVICE]))?;
            let mut names = Vec::new();
            for item in &items {
                let attributes = unless_removed(service, item, item.get_attributes())?;
                names.extend(attributes.and_then(|mut attributes| attributes.remove(USERNAME)));
            }
            names.retain(|name| name.starts_with(NAME_PREFIX));
            Ok(names)
        })
    }

    fn unlock(&self) -> Result<(), StoreError> {
        // One window is enough for all the threads that want the same keyring unlocked.
        static ASKING: Mutex<()> = Mutex::new(());
        let _asking = ASKING.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.call(|service| keyring(service)?.is_locked().map_err(failed))? {
            return Ok(());
        }
        if ["DISPLAY", "WAYLAND_DISPLAY"].iter().all(|name| self.world.var(name).is_none()) {
            return Err(StoreError::Closed(format!("the {LABEL} is locked, and there is no desktop here to ask on")));
        }
        self.daemon.call(UNLOCK_DEADLINE, |service| keyring(service)?.unlock().map_err(failed))
    }
}

fn connect() -> Result<Arc<Service<'static>>, StoreError> {
    let try_it = || Service::connect(EncryptionType::Dh);
    // One key in 256 begins with a zero byte. The library leaves it out, and KWallet refuses what is left.
    try_it().or_else(|_| try_it()).map(Arc::new).map_err(failed)
}

/// Finds the items with these attributes. A locked one does not tell who it is.
fn items<'s>(service: &'s Service<'s>, attributes: HashMap<&str, &str>) -> Result<Vec<Item<'s>>, StoreError> {
    let found = service.search_items(attributes).map_err(failed)?;
    if found.locked.is_empty() { Ok(found.unlocked) } else { Err(locked()) }
}

fn label_of(name: &str) -> String {
    name.strip_prefix(KEY_PREFIX).map_or_else(|| ITEM_LABEL.to_owned(), |key| format!("{KEY_LABEL} {key}"))
}

/// Gives what an item answered, or `None` if it failed because another process has removed it since it was found.
fn unless_removed<T>(service: &Service, item: &Item, answer: Result<T, Error>) -> Result<Option<T>, StoreError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(_) if !items(service, HashMap::from([SERVICE]))?.iter().any(|left| left.item_path == item.item_path) => {
            Ok(None)
        }
        Err(error) => Err(failed(error)),
    }
}

fn attributes(name: &str) -> HashMap<&str, &str> {
    HashMap::from([SERVICE, (USERNAME, name)])
}

fn keyring<'s>(service: &'s Service<'s>) -> Result<Collection<'s>, StoreError> {
    service.get_default_collection().map_err(|error| match error {
        Error::NoResult => StoreError::Unavailable(format!("the {LABEL} has no default keyring")),
        error => failed(error),
    })
}

fn locked() -> StoreError {
    StoreError::Closed(format!("the {LABEL} is locked"))
}

fn failed(error: Error) -> StoreError {
    match error {
        Error::Locked => locked(),
        Error::Prompt => StoreError::Closed(format!("the {LABEL} is locked, and its prompt was dismissed")),
        error => StoreError::Unavailable(format!("the {LABEL} failed: {error}")),
    }
}
