//! `keyrole_store = auto`: a row of stores, tried in one order. On Linux the kernel keyring is first; where it is
//! blocked or full, the Secret Service; where that one is not there or is closed, sealed files, if a key was given.

use super::file::SealedFiles;
use super::{PLATFORM, PROBE, SecretStore, StoreError, open_platform};
use crate::lock::{create_private_dir, private_file};
use crate::secret::SecretBytes;
use crate::world::World;
use std::cell::OnceCell;
use std::fs;
use std::iter;
use std::path::{Path, PathBuf};
use std::time::Duration;

type Row<'a> = Vec<Box<dyn SecretStore + 'a>>;

pub struct Auto<'a> {
    first: Box<dyn SecretStore + 'a>,
    /// The others, which a hit does not need.
    others: OnceCell<Row<'a>>,
    open_others: fn(&'a World) -> Row<'a>,
    world: &'a World,
}

/// Why a later store of the row is asked for an entry.
#[derive(Clone, Copy, PartialEq)]
enum Reason {
    /// No earlier one has answered.
    NoOther,
    /// It holds entries for which an earlier one had no room.
    HasSpilled,
    /// It may hold some, as it could not be written down.
    MayHaveSpilled,
}

impl<'a> Auto<'a> {
    pub fn new(world: &'a World) -> Self {
        let open_others = |world: &'a World| {
            let mut others: Row<'a> = PLATFORM[1..].iter().map(|&choice| open_platform(choice, world)).collect();
            if SealedFiles::has_key(world) {
                others.push(Box::new(SealedFiles::new(world)));
            }
            others
        };
        Self { first: open_platform(PLATFORM[0], world), others: OnceCell::new(), open_others, world }
    }

    fn stores(&self) -> impl Iterator<Item = &(dyn SecretStore + 'a)> {
        let others = || self.others.get_or_init(|| (self.open_others)(self.world)).iter().map(|store| &**store);
        iter::once(&*self.first).chain(iter::once_with(others).flatten())
    }

    /// Asks the stores in turn until one gives something. A store behind one that works is asked only if it may hold
    /// an entry: a daemon takes forty times as long as the kernel.
    fn ask<T>(
        &self,
        mut question: impl FnMut(&dyn SecretStore) -> Result<Option<T>, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let mut failures = Vec::new();
        let mut has_answered = false;
        for store in self.stores() {
            let reason = if has_answered { self.has_spilled(store.label()) } else { Some(Reason::NoOther) };
            let Some(reason) = reason else { continue };
            match question(store) {
                Ok(Some(found)) => return Ok(Some(found)),
                Ok(None) => has_answered = true,
                Err(error) => failures.push((reason, error)),
            }
        }
        if has_answered {
            // One that is not there holds nothing, unless it is known that it does.
            let holds = |(reason, error): &(Reason, StoreError)| {
                *reason == Reason::HasSpilled || matches!(error, StoreError::Closed(_))
            };
            failures.retain(holds);
        }
        if failures.is_empty() { Ok(None) } else { Err(all(failures.into_iter().map(|(_, error)| error).collect())) }
    }

    /// Tells whether a store holds entries that had no room in an earlier one.
    fn has_spilled(&self, label: &str) -> Option<Reason> {
        if self.marks(label).any(|mark| mark.exists()) {
            Some(Reason::HasSpilled)
        } else if self.marks(label).any(|mark| can_be_made(&mark)) {
            None
        } else {
            Some(Reason::MayHaveSpilled)
        }
    }

    /// Gives the places of the file that is there once a store holds what had no room in an earlier one.
    fn marks(&self, label: &str) -> impl Iterator<Item = PathBuf> {
        let name = format!("spilled-{label}");
        let dirs = [self.world.state_dir(), self.world.runtime_dir()];
        dirs.into_iter().flatten().map(move |dir| dir.join(&name))
    }

    /// Writes down that a store holds such an entry. Where that cannot be done, a miss asks the store anyway.
    fn mark(&self, label: &str) {
        let make = |mark: PathBuf| {
            mark.parent().map_or(Ok(()), create_private_dir)?;
            private_file().write(true).create(true).truncate(false).open(mark).map(drop)
        };
        let _ = self.marks(label).map(make).any(|made| made.is_ok());
    }

    fn unmark(&self, label: &str) {
        for mark in self.marks(label) {
            // If it stays, the next miss is slower, no more.
            let _ = fs::remove_file(mark);
        }
    }
}

/// Tells whether a file could be made, with the directories on the way to it.
fn can_be_made(path: &Path) -> bool {
    path.ancestors().skip(1).find(|dir| dir.exists()).is_some_and(is_writable)
}

#[cfg(unix)]
fn is_writable(dir: &Path) -> bool {
    rustix::fs::access(dir, rustix::fs::Access::WRITE_OK).is_ok()
}

#[cfg(not(unix))]
fn is_writable(dir: &Path) -> bool {
    dir.metadata().is_ok_and(|metadata| !metadata.permissions().readonly())
}

/// Puts all reasons into one, as none alone explains why nothing was kept.
fn all(mut failures: Vec<StoreError>) -> StoreError {
    if failures.len() == 1 {
        return failures.remove(0);
    }
    let is_closed = failures.iter().any(|error| matches!(error, StoreError::Closed(_)));
    let why = failures.iter().map(StoreError::to_string).collect::<Vec<_>>().join("; ");
    if is_closed { StoreError::Closed(why) } else { StoreError::Unavailable(why) }
}

impl SecretStore for Auto<'_> {
    /// Names the first store that works.
    fn label(&self) -> &'static str {
        self.stores().find(|store| store.get(PROBE).is_ok()).map_or("none", |store| store.label())
    }

    fn get(&self, name: &str) -> Result<Option<SecretBytes>, StoreError> {
        self.ask(|store| store.get(name))
    }

    fn set(&self, name: &str, secret: &[u8], ttl: Duration) -> Result<(), StoreError> {
        let mut failures = Vec::new();
        for store in self.stores() {
            match store.set(name, secret, ttl) {
                Ok(()) if failures.is_empty() => return Ok(()),
                Ok(()) => {
                    self.mark(store.label());
                    // An older entry that stayed behind would be found before the new one.
                    self.stores().take(failures.len()).for_each(|earlier| drop(earlier.delete(name)));
                    return Ok(());
                }
                Err(error) => failures.push(error),
            }
        }
        Err(all(failures))
    }

    fn delete(&self, name: &str) -> Result<bool, StoreError> {
        let mut was_there = false;
        self.ask::<()>(|store| {
            was_there |= store.delete(name)?;
            Ok(None)
        })?;
        Ok(was_there)
    }

    fn names(&self) -> Result<Vec<String>, StoreError> {
        let mut names = Vec::new();
        self.ask::<()>(|store| {
            let found = store.names()?;
            if found.is_empty() {
                self.unmark(store.label());
            }
            names.extend(found);
            Ok(None)
        })?;
        Ok(names)
    }

    fn place_of(&self, name: &str) -> Result<Option<&'static str>, StoreError> {
        self.ask(|store| store.place_of(name))
    }

    fn unlock(&self) -> Result<(), StoreError> {
        self.stores().try_for_each(SecretStore::unlock)
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::Memory;
    use super::*;
    use std::time::SystemTime;

    const TTL: Duration = Duration::from_secs(60);

    fn world(dir: &Path) -> World {
        let state = dir.to_str().unwrap().to_owned();
        World { env: Box::new(move |name| (name == "XDG_STATE_HOME").then(|| state.clone())), ..nowhere() }
    }

    fn nowhere() -> World {
        World {
            env: Box::new(|_| None),
            clock: SystemTime::now,
            read: |_| Err(std::io::ErrorKind::NotFound.into()),
            home: None,
        }
    }

    fn auto<'a>(first: Memory, second: Memory, world: &'a World) -> Auto<'a> {
        let others: Row<'a> = vec![Box::new(second), Box::new(Memory { label: "last", ..Memory::default() })];
        Auto { first: Box::new(first), others: others.into(), open_others: |_| Vec::new(), world }
    }

    fn refusing(error: fn(String) -> StoreError) -> Memory {
        Memory { refuses: Some(error("refused".into())), ..Memory::default() }
    }

    fn small() -> Memory {
        Memory { max_bytes: Some(10), ..Memory::default() }
    }

    #[test]
    fn a_full_first_store_spills_to_the_second_and_the_entry_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let world = world(dir.path());
        let auto = auto(small(), Memory { label: "second", ..Memory::default() }, &world);
        auto.set("keyrole:small", b"small", TTL).unwrap();
        assert!(auto.has_spilled("second").is_none());
        auto.set("keyrole:large", &[7; 100], TTL).unwrap();
        assert!(auto.has_spilled("second") == Some(Reason::HasSpilled));
        assert_eq!(auto.get("keyrole:large").unwrap().unwrap().as_slice(), [7; 100]);
        assert_eq!(auto.place_of("keyrole:large").unwrap(), Some("second"));
        assert_eq!(auto.place_of("keyrole:small").unwrap(), Some("memory"));
        assert_eq!(auto.names().unwrap(), ["keyrole:small", "keyrole:large"]);
        assert!(auto.delete("keyrole:large").unwrap());
        assert_eq!(auto.get("keyrole:large").unwrap(), None);
        assert_eq!(auto.names().unwrap(), ["keyrole:small"]);
        assert!(auto.has_spilled("second").is_none());
    }

    #[test]
    fn an_older_entry_in_the_first_store_does_not_hide_the_one_that_spilled() {
        let dir = tempfile::tempdir().unwrap();
        let world = world(dir.path());
        let auto = auto(small(), Memory::default(), &world);
        auto.set("keyrole:a", b"old", TTL).unwrap();
        auto.set("keyrole:a", &[7; 100], TTL).unwrap();
        assert_eq!(auto.get("keyrole:a").unwrap().unwrap().len(), 100);
    }

    #[test]
    fn a_blocked_or_closed_store_leaves_everything_to_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let world = world(dir.path());
        let auto = auto(refusing(StoreError::Unavailable), refusing(StoreError::Closed), &world);
        auto.set("keyrole:a", b"x", TTL).unwrap();
        assert_eq!(auto.get("keyrole:a").unwrap().unwrap().as_slice(), b"x");
        assert_eq!((auto.place_of("keyrole:a").unwrap(), auto.label()), (Some("last"), "last"));
    }

    #[test]
    fn what_is_closed_may_hold_an_entry_and_what_is_not_there_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let world = world(dir.path());
        let closed = auto(refusing(StoreError::Unavailable), refusing(StoreError::Closed), &world);
        assert_eq!(closed.get("keyrole:a"), Err(StoreError::Closed("refused".into())));
        let gone = auto(refusing(StoreError::Unavailable), refusing(StoreError::Unavailable), &world);
        assert_eq!(gone.get("keyrole:a"), Ok(None));
    }

    #[test]
    fn a_spilled_entry_is_found_where_nothing_can_be_written_down() {
        let world = nowhere();
        let auto = auto(small(), Memory::default(), &world);
        auto.set("keyrole:large", &[7; 100], TTL).unwrap();
        assert_eq!(auto.get("keyrole:large").unwrap().unwrap().len(), 100);
    }
}
