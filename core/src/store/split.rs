//! Entries that are longer than a store's limit, kept in parts. Each part carries the generation of its set, so
//! that a set torn by a crash or by two writers reads as a miss and never as a mixture.

use super::{SecretStore, StoreError};
use crate::secret::SecretBytes;
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Generation (8 bytes), number of parts (1 byte).
const HEADER_BYTES: usize = 9;

pub struct Split<S> {
    store: S,
    max_bytes: usize,
}

impl<S: SecretStore> Split<S> {
    pub fn new(store: S, max_bytes: usize) -> Self {
        Self { store, max_bytes }
    }

    fn part(&self, name: &str, index: usize) -> Result<Option<Part>, StoreError> {
        Ok(self.store.get(&part_name(name, index))?.and_then(Part::parse))
    }
}

struct Part {
    generation: [u8; 8],
    parts: usize,
    bytes: SecretBytes,
}

impl Part {
    fn parse(bytes: SecretBytes) -> Option<Self> {
        let (generation, rest) = bytes.split_first_chunk()?;
        let (&[parts], rest) = rest.split_first_chunk()?;
        Some(Self { generation: *generation, parts: usize::from(parts), bytes: SecretBytes::from(rest.to_vec()) })
    }
}

fn part_name(name: &str, index: usize) -> String {
    if index == 0 { name.to_owned() } else { format!("{name}+{index}") }
}

fn whole_name(part: &str) -> &str {
    part.split_once('+').map_or(part, |(name, _)| name)
}

impl<S: SecretStore> SecretStore for Split<S> {
    fn label(&self) -> &'static str {
        self.store.label()
    }

    fn get(&self, name: &str) -> Result<Option<SecretBytes>, StoreError> {
        let Some(first) = self.part(name, 0)? else { return Ok(None) };
        let mut whole = SecretBytes::with_capacity(first.parts * self.max_bytes);
        whole.extend_from_slice(&first.bytes);
        for index in 1..first.parts {
            match self.part(name, index)? {
                Some(part) if part.generation == first.generation => whole.extend_from_slice(&part.bytes),
                _ => return Ok(None),
            }
        }
        Ok(Some(whole))
    }

    fn set(&self, name: &str, secret: &[u8], ttl: Duration) -> Result<(), StoreError> {
        let chunks: Vec<&[u8]> = secret.chunks(self.max_bytes - HEADER_BYTES).collect();
        let parts = u8::try_from(chunks.len())
            .map_err(|_| StoreError::Full(format!("an entry of {} bytes has too many parts", secret.len())))?;
        #[cfg_attr(not(test), expect(clippy::disallowed_methods, reason = "a number to tell writes apart, not a time"))]
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let generation = (since_epoch.as_nanos() as u64).to_be_bytes();
        // The first part comes last: until it is there, the others belong to nothing.
        for (index, chunk) in chunks.iter().enumerate().rev() {
            let mut bytes = SecretBytes::with_capacity(self.max_bytes);
            bytes.extend_from_slice(&generation);
            bytes.push(parts);
            bytes.extend_from_slice(chunk);
            self.store.set(&part_name(name, index), &bytes, ttl)?;
        }
        // A longer entry in this one's place has left parts behind. If they stay, `delete` removes them.
        let mut surplus = chunks.len();
        while self.store.delete(&part_name(name, surplus)).unwrap_or(false) {
            surplus += 1;
        }
        Ok(())
    }

    fn delete(&self, name: &str) -> Result<bool, StoreError> {
        let was_there = self.store.delete(name)?;
        // All parts that there are, as a torn set need not be one without gaps.
        for part in self.store.names()?.iter().filter(|part| whole_name(part) == name) {
            self.store.delete(part)?;
        }
        Ok(was_there)
    }

    fn names(&self) -> Result<Vec<String>, StoreError> {
        // A torn set is named too, or nobody would ever remove it.
        let names: BTreeSet<String> = self.store.names()?.iter().map(|part| whole_name(part).to_owned()).collect();
        Ok(names.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::Memory;
    use super::*;

    const TTL: Duration = Duration::from_secs(60);

    fn split() -> Split<Memory> {
        Split::new(Memory { max_bytes: Some(2560), ..Memory::default() }, 2560)
    }

    #[test]
    fn a_token_of_4000_bytes_is_found_whole_and_removed_whole() {
        let split = split();
        let secret: Vec<u8> = (0..4000u32).map(|n| n as u8).collect();
        split.set("keyrole:a", &secret, TTL).unwrap();
        assert_eq!(split.get("keyrole:a").unwrap().unwrap().as_slice(), secret);
        assert_eq!(split.names().unwrap(), ["keyrole:a"]);
        assert!(split.delete("keyrole:a").unwrap());
        assert!(split.store.entries.borrow().is_empty());
    }

    #[test]
    fn parts_of_two_generations_are_a_miss() {
        let split = split();
        split.set("keyrole:a", &[1; 4000], TTL).unwrap();
        let old = split.store.entries.borrow()["keyrole:a+1"].clone();
        split.set("keyrole:a", &[2; 4000], TTL).unwrap();
        split.store.entries.borrow_mut().insert("keyrole:a+1".into(), old);
        assert_eq!(split.get("keyrole:a").unwrap(), None);
    }

    #[test]
    fn a_shorter_entry_leaves_no_part_of_a_longer_one_behind() {
        let split = split();
        split.set("keyrole:a", &[1; 6000], TTL).unwrap();
        split.set("keyrole:a", &[2; 100], TTL).unwrap();
        assert_eq!(split.store.names().unwrap(), ["keyrole:a"]);
        assert_eq!(split.get("keyrole:a").unwrap().unwrap().as_slice(), [2; 100]);
    }

    #[test]
    fn a_set_whose_writer_died_is_a_miss_and_is_found_by_whoever_removes_everything() {
        let split = split();
        split.set("keyrole:a", &[1; 6000], TTL).unwrap();
        for part in ["keyrole:a", "keyrole:a+1"] {
            split.store.delete(part).unwrap();
        }
        assert_eq!(split.get("keyrole:a").unwrap(), None);
        assert_eq!(split.names().unwrap(), ["keyrole:a"]);
        assert!(!split.delete("keyrole:a").unwrap());
        assert!(split.store.entries.borrow().is_empty());
    }

    #[test]
    fn a_missing_part_is_a_miss() {
        let split = split();
        split.set("keyrole:a", &[1; 6000], TTL).unwrap();
        split.store.entries.borrow_mut().remove("keyrole:a+2");
        assert_eq!(split.get("keyrole:a").unwrap(), None);
    }
}
