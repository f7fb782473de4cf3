//! `keyrole_store = auto` on Linux: the kernel keyring, and the Secret Service where that one is blocked or full.

use super::{SecretStore, StoreError};
use crate::lock;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use zeroize::Zeroizing;

pub struct Auto<F> {
    first: Box<dyn SecretStore>,
    second: Box<dyn SecretStore>,
    /// Finds the state directory, which a hit does not need. The file `spilled` exists there once an entry had to go to the second store although the first one works. Without it a
    /// miss would have to ask a daemon, which costs forty times as much as asking the kernel.
    state_dir: F,
}

impl<F: Fn() -> Option<PathBuf>> Auto<F> {
    pub fn new(first: Box<dyn SecretStore>, second: Box<dyn SecretStore>, state_dir: F) -> Self {
        Self { first, second, state_dir }
    }

    fn spilled(&self) -> Option<PathBuf> {
        Some((self.state_dir)()?.join("spilled"))
    }

    fn has_spilled(&self) -> bool {
        self.spilled().is_some_and(|spilled| spilled.exists())
    }

    /// Puts both reasons into one, as neither alone explains why nothing was kept.
    fn both(&self, first: &StoreError, second: &StoreError) -> StoreError {
        StoreError::Unavailable(format!("{first}; {second}"))
    }
}

impl<F: Fn() -> Option<PathBuf>> SecretStore for Auto<F> {
    fn label(&self) -> &'static str {
        match self.first.get("keyrole:") {
            Ok(_) => self.first.label(),
            Err(_) => self.second.label(),
        }
    }

    fn get(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        match self.first.get(name) {
            Ok(None) if self.has_spilled() => self.second.get(name),
            Ok(found) => Ok(found),
            Err(first) => self.second.get(name).map_err(|second| self.both(&first, &second)),
        }
    }

    fn set(&self, name: &str, secret: &[u8], ttl: Duration) -> Result<(), StoreError> {
        let Err(first) = self.first.set(name, secret, ttl) else { return Ok(()) };
        if matches!(first, StoreError::Full(_)) {
            // An older entry that stayed behind would be found before the new one.
            let _ = self.first.delete(name);
        }
        self.second.set(name, secret, ttl).map_err(|second| self.both(&first, &second))?;
        if let (StoreError::Full(_), Some(spilled)) = (&first, self.spilled()) {
            lock::private_file().write(true).create(true).truncate(false).open(&spilled).map_err(|error| {
                StoreError::Unavailable(format!("{first}; cannot write `{}`: {error}", spilled.display()))
            })?;
        }
        Ok(())
    }

    fn delete(&self, name: &str) -> Result<bool, StoreError> {
        match self.first.delete(name) {
            Ok(in_first) if self.has_spilled() => Ok(self.second.delete(name)? || in_first),
            Ok(in_first) => Ok(in_first),
            Err(first) => self.second.delete(name).map_err(|second| self.both(&first, &second)),
        }
    }

    fn names(&self) -> Result<Vec<String>, StoreError> {
        match self.first.names() {
            Ok(mut names) if self.has_spilled() => {
                names.extend(self.second.names()?);
                if names.is_empty()
                    && let Some(spilled) = self.spilled()
                {
                    // Nothing is left over there. If the file stays, the next miss is slower, no more.
                    let _ = fs::remove_file(spilled);
                }
                Ok(names)
            }
            Ok(names) => Ok(names),
            Err(first) => self.second.names().map_err(|second| self.both(&first, &second)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::Memory;
    use super::*;
    use std::path::Path;

    const TTL: Duration = Duration::from_secs(60);

    fn auto(first: Memory, dir: &Path) -> Auto<impl Fn() -> Option<PathBuf>> {
        Auto::new(Box::new(first), Box::new(Memory::default()), || Some(dir.to_owned()))
    }

    #[test]
    fn a_full_first_store_spills_to_the_second_and_the_entry_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let auto = auto(Memory { max_bytes: Some(10), ..Memory::default() }, dir.path());
        auto.set("keyrole:small", b"small", TTL).unwrap();
        assert!(!auto.has_spilled());
        auto.set("keyrole:large", &[7; 100], TTL).unwrap();
        assert!(auto.has_spilled());
        assert_eq!(auto.get("keyrole:large").unwrap().unwrap().as_slice(), [7; 100]);
        assert_eq!(auto.names().unwrap(), ["keyrole:small", "keyrole:large"]);
        assert!(auto.delete("keyrole:large").unwrap());
        assert_eq!(auto.get("keyrole:large").unwrap(), None);
    }

    #[test]
    fn an_older_entry_in_the_first_store_does_not_hide_the_one_that_spilled() {
        let dir = tempfile::tempdir().unwrap();
        let auto = auto(Memory { max_bytes: Some(10), ..Memory::default() }, dir.path());
        auto.set("keyrole:a", b"old", TTL).unwrap();
        auto.set("keyrole:a", &[7; 100], TTL).unwrap();
        assert_eq!(auto.get("keyrole:a").unwrap().unwrap().len(), 100);
    }

    #[test]
    fn a_blocked_first_store_leaves_everything_to_the_second() {
        let dir = tempfile::tempdir().unwrap();
        let blocked = Memory { refuses: Some(StoreError::Unavailable("blocked".into())), ..Memory::default() };
        let auto = auto(blocked, dir.path());
        auto.set("keyrole:a", b"x", TTL).unwrap();
        assert_eq!(auto.get("keyrole:a").unwrap().unwrap().as_slice(), b"x");
    }
}
