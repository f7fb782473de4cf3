//! `keyrole_store = file`: sealed files in the state directory, for where there is no keyring. Never plain text, and
//! never without a key from outside: `KEYROLE_FILE_KEY_FILE` (a Docker secret, a systemd credential) or
//! `KEYROLE_FILE_KEY`.
//!
//! A file is a nonce and what ChaCha20-Poly1305 made of the entry with it. Its name is sealed in, so that files cannot
//! be swapped; its modification time is when it expires, so that old ones are found without the key. Long-lived access
//! keys are in a directory of their own, where nothing expires.

use super::{KEY_PREFIX, SecretStore, StoreError};
use crate::cache::NAME_PREFIX;
use crate::lock::{create_private_dir, private_file, survive_size_limit};
use crate::secret::SecretBytes;
use crate::world::World;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use std::cell::OnceCell;
use std::fs::{self, DirEntry, File, FileTimes};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Names the file that holds the key. It wins over `KEY_VARIABLE`.
pub const KEY_FILE_VARIABLE: &str = "KEYROLE_FILE_KEY_FILE";
/// Holds the key itself; no other program needs it.
pub const KEY_VARIABLE: &str = "KEYROLE_FILE_KEY";
/// The key is as strong as what it is made of. This is no function for passwords: it makes no guess slower.
const MIN_KEY_BYTES: usize = 32;
/// More than any key has; `/dev/zero` has an end here.
const MAX_KEY_BYTES: u64 = 64 * 1024;
/// What else the key is made of; another format will have another one.
const PURPOSE: &[u8] = b"keyrole file store 1";
/// More than any entry has.
const MAX_FILE_BYTES: u64 = 128 * 1024;
/// A file is left alone for so long after its end, as one that is being written has the time of now.
const UNFINISHED: Duration = Duration::from_secs(60);

/// The directory of the sessions, and that of the long-lived keys.
const SESSIONS: &str = "sessions";
const KEYS: &str = "keys";

pub struct SealedFiles<'a> {
    world: &'a World,
    key: OnceCell<LessSafeKey>,
}

impl<'a> SealedFiles<'a> {
    /// Makes the store; the key is read when it is first needed.
    pub fn new(world: &'a World) -> Self {
        Self { world, key: OnceCell::new() }
    }

    /// Tells whether a key was given.
    pub fn has_key(world: &World) -> bool {
        [KEY_FILE_VARIABLE, KEY_VARIABLE].iter().any(|name| world.var(name).is_some())
    }

    /// Gives the key, made of what was given.
    ///
    /// # Errors
    /// Nothing was given, it cannot be read, or it is too short.
    pub fn key(&self) -> Result<&LessSafeKey, StoreError> {
        if let Some(key) = self.key.get() {
            return Ok(key);
        }
        let key = derive(&key_material(self.world).map_err(StoreError::Unavailable)?)?;
        Ok(self.key.get_or_init(|| key))
    }

    fn dir(&self, name: &str) -> Result<PathBuf, StoreError> {
        let dir = self.world.state_dir();
        dir.map(|dir| dir.join(name)).ok_or_else(|| StoreError::Unavailable("there is no home directory".to_owned()))
    }

    /// Gives the directory of an entry, and its file.
    fn path(&self, name: &str) -> Result<(PathBuf, PathBuf), StoreError> {
        let (dir, file) = match name.strip_prefix(KEY_PREFIX) {
            Some(key) => (self.dir(KEYS)?, key),
            None => (self.dir(SESSIONS)?, name.strip_prefix(NAME_PREFIX).unwrap_or(name)),
        };
        let path = dir.join(file);
        Ok((dir, path))
    }

    /// Removes what has expired. What cannot be removed does no harm; its name and its size are no secrets.
    fn sweep(&self, dir: &Path) {
        let now = (self.world.clock)();
        let are_keys = dir.ends_with(KEYS);
        let has_expired = |file: &DirEntry| {
            // Of the keys, only what was never finished.
            if are_keys && !file.file_name().as_encoded_bytes().starts_with(b".") {
                return false;
            }
            let expires = file.metadata().and_then(|metadata| metadata.modified());
            expires.is_ok_and(|expires| now.duration_since(expires).is_ok_and(|since| since > UNFINISHED))
        };
        for file in files(dir).filter(has_expired) {
            let _ = fs::remove_file(file.path());
        }
    }
}

impl SecretStore for SealedFiles<'_> {
    fn label(&self) -> &'static str {
        "file"
    }

    fn get(&self, name: &str) -> Result<Option<SecretBytes>, StoreError> {
        let key = self.key()?;
        let (_, path) = self.path(name)?;
        let mut sealed = SecretBytes::default();
        let read =
            private_file().read(true).open(&path).and_then(|file| file.take(MAX_FILE_BYTES).read_to_end(&mut sealed));
        match read {
            // Sealed with another key, torn or corrupt: it is not there. Of a long-lived key that has to be said, as there
            // may be no other copy.
            Ok(_) => match unseal(key, name, sealed) {
                None if name.starts_with(KEY_PREFIX) => Err(StoreError::Unavailable(format!(
                    "`{}` is sealed with another key than the one that was given, or is damaged",
                    path.display()
                ))),
                entry => Ok(entry),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path, &error)),
        }
    }

    fn set(&self, name: &str, secret: &[u8], ttl: Duration) -> Result<(), StoreError> {
        let sealed = seal(self.key()?, name, secret)?;
        let (dir, path) = self.path(name)?;
        let now = (self.world.clock)();
        let expires = now.checked_add(ttl).unwrap_or(now);
        let made = dir.parent().map_or(Ok(()), create_private_dir).and_then(|()| create_private_dir(&dir));
        made.and_then(|()| replace(&dir, &path, &sealed, expires)).map_err(|error| failed("write", &path, &error))?;
        self.sweep(&dir);
        Ok(())
    }

    fn delete(&self, name: &str) -> Result<bool, StoreError> {
        let (_, path) = self.path(name)?;
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed("remove", &path, &error)),
        }
    }

    fn names(&self) -> Result<Vec<String>, StoreError> {
        let dir = self.dir(SESSIONS)?;
        let names = files(&dir).filter_map(|file| file.file_name().into_string().ok());
        // A file that is being written begins with a dot.
        Ok(names.filter(|name| !name.starts_with('.')).map(|name| format!("{NAME_PREFIX}{name}")).collect())
    }
}

/// Reads what the key is made of.
fn key_material(world: &World) -> Result<SecretBytes, String> {
    let (variable, material) = if let Some(path) = world.var(KEY_FILE_VARIABLE) {
        let mut material = SecretBytes::with_capacity(4096);
        File::open(world.expand(&path))
            .and_then(|file| file.take(MAX_KEY_BYTES).read_to_end(&mut material))
            .map_err(|error| format!("`{KEY_FILE_VARIABLE}`: cannot read `{path}`: {error}"))?;
        (KEY_FILE_VARIABLE, material)
    } else if let Some(text) = world.var(KEY_VARIABLE) {
        (KEY_VARIABLE, SecretBytes::from(text.into_bytes()))
    } else {
        return Err(format!("neither `{KEY_FILE_VARIABLE}` nor `{KEY_VARIABLE}` is set"));
    };
    if material.len() < MIN_KEY_BYTES {
        return Err(format!(
            "`{variable}`: {} bytes are too short for a key; it needs {MIN_KEY_BYTES}",
            material.len()
        ));
    }
    Ok(material)
}

fn derive(material: &[u8]) -> Result<LessSafeKey, StoreError> {
    // A file has a newline at its end where the variable has none.
    let material = material.strip_suffix(b"\n").unwrap_or(material);
    let okm = Salt::new(HKDF_SHA256, &[]).extract(material);
    let key = okm.expand(&[PURPOSE], &CHACHA20_POLY1305).map(|okm| LessSafeKey::new(UnboundKey::from(okm)));
    key.map_err(|_| StoreError::Unavailable("no key can be made".to_owned()))
}

/// Seals an entry under a nonce of its own: at 96 random bits none comes twice in the life of a key.
fn seal(key: &LessSafeKey, name: &str, secret: &[u8]) -> Result<SecretBytes, StoreError> {
    let failed = |_| StoreError::Unavailable("the system gives no random bytes".to_owned());
    let mut nonce = [0; NONCE_LEN];
    SystemRandom::new().fill(&mut nonce).map_err(failed)?;
    let mut sealed = SecretBytes::with_capacity(NONCE_LEN + secret.len() + CHACHA20_POLY1305.tag_len());
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(secret);
    let (nonce, name) = (Nonce::assume_unique_for_key(nonce), Aad::from(name.as_bytes()));
    let tag = key.seal_in_place_separate_tag(nonce, name, &mut sealed[NONCE_LEN..]).map_err(failed)?;
    sealed.extend_from_slice(tag.as_ref());
    Ok(sealed)
}

fn unseal(key: &LessSafeKey, name: &str, mut sealed: SecretBytes) -> Option<SecretBytes> {
    let nonce = Nonce::assume_unique_for_key(*sealed.first_chunk::<NONCE_LEN>()?);
    let length = key.open_within(nonce, Aad::from(name.as_bytes()), &mut sealed, NONCE_LEN..).ok()?.len();
    sealed.truncate(length);
    Some(sealed)
}

/// Puts a file in the place of another so that a reader finds the old one or the new one, even after a power cut.
fn replace(dir: &Path, path: &Path, sealed: &SecretBytes, expires: SystemTime) -> io::Result<()> {
    survive_size_limit();
    // The nonce is random and no secret: no two writers have the same name for an unfinished file.
    let nonce: String = sealed.iter().take(NONCE_LEN).map(|byte| format!("{byte:02x}")).collect();
    let unfinished = dir.join(format!(".{nonce}"));
    let written = private_file().write(true).create_new(true).open(&unfinished).and_then(|mut file| {
        file.write_all(sealed)?;
        file.set_times(FileTimes::new().set_modified(expires))?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        sync_dir(dir)
    });
    if written.is_err() {
        // It is not there if it could not be made, or was renamed.
        let _ = fs::remove_file(&unfinished);
    }
    written
}

#[cfg(unix)]
fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Windows writes directories by itself, and opens none.
#[cfg(not(unix))]
fn sync_dir(_dir: &Path) -> io::Result<()> {
    Ok(())
}

fn files(dir: &Path) -> impl Iterator<Item = DirEntry> {
    fs::read_dir(dir).into_iter().flatten().flatten()
}

fn failed(what: &str, path: &Path, error: &io::Error) -> StoreError {
    StoreError::Unavailable(format!("cannot {what} `{}`: {error}", path.display()))
}
