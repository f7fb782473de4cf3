//! Owns single flight: one lock file per thing that is fetched, held while it is being fetched. Hits never come here.
//!
//! The files are empty, stay where they are for ever, and are locked with `flock` (Windows: `LockFileEx`), which the
//! kernel releases when the holder ends, however it ends.

use crate::cache::Fingerprint;
use fs4::FileExt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::path::Path;

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    // Closing the file releases the lock.
    _file: File,
}

/// Waits until this process alone may fetch what the fingerprint stands for.
///
/// # Errors
/// The state directory cannot be used, or its file system has no locks.
pub fn acquire(state_dir: &Path, fingerprint: &Fingerprint) -> io::Result<Lock> {
    let dir = state_dir.join("locks");
    create_private_dir(&dir)?;
    // A name with `:` is not one for a file on Windows.
    let path = dir.join(fingerprint.name().replace(':', "-"));
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    loop {
        match FileExt::lock(&file) {
            Ok(()) => return Ok(Lock { _file: file }),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
    }
}

/// Makes a directory that only its owner can enter, with its parents.
///
/// # Errors
/// It cannot be made.
pub fn create_private_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}
