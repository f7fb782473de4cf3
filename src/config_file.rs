//! Owns the replacing of the config file: in one step, with its permissions, behind a link if it is one, and with a
//! backup beside it. It never decides what is written.
//!
//! A backup's name holds the digest of the text that it was made for. So `undo` finds the one that belongs to the file as
//! it is now, and finds none once somebody else has changed the file.

use crate::config::AwsFiles;
use crate::error::{Error, Result};
use crate::lock::{create_private_dir, private_file};
use sha2::{Digest, Sha256};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// The config file as it was read.
pub struct ConfigFile<'a> {
    /// The path by which people know it.
    path: &'a Path,
    /// The file itself; the same unless `path` is a link.
    target: PathBuf,
    text: &'a str,
}

impl<'a> ConfigFile<'a> {
    /// Makes it from what was read.
    pub fn new(files: &'a AwsFiles) -> Self {
        let path = files.config_path();
        // A link to a file that is not there yet is followed as well.
        let linked = || fs::read_link(path).map(|to| path.parent().unwrap_or(path).join(to));
        let target = fs::canonicalize(path).or_else(|_| linked()).unwrap_or_else(|_| path.to_owned());
        let target = std::path::absolute(&target).unwrap_or(target);
        Self { path, target, text: files.config_text() }
    }

    /// Replaces the file's text, and gives the path of the backup.
    ///
    /// # Errors
    /// The file was changed since it was read, is read-only, or cannot be replaced. It is as it was then.
    pub fn replace(&self, new: &str) -> Result<PathBuf> {
        let before = self.check()?;
        if before.is_none()
            && let Some(dir) = self.target.parent().filter(|dir| !dir.exists())
        {
            create_private_dir(dir).map_err(|error| self.failed(&error))?;
        }
        let backup = self.backup_of(new);
        self.put(&backup, self.text, before.as_ref()).map_err(|error| self.failed(&error))?;
        let replaced = self
            .check()
            .and_then(|before| self.put(&self.target, new, before.as_ref()).map_err(|error| self.failed(&error)));
        match replaced {
            Ok(()) => Ok(backup),
            Err(error) => {
                // The error is what matters; a backup too many does no harm.
                let _ = fs::remove_file(&backup);
                Err(error)
            }
        }
    }

    /// Puts back the text that the file had before keyrole wrote it.
    ///
    /// # Errors
    /// The file is not what keyrole wrote.
    pub fn undo(&self) -> Result<()> {
        let backup = self.backup_of(self.text);
        let path = self.path.display();
        if !backup.exists() {
            return Err(match self.latest_backup() {
                Some(latest) => Error::failed(format!("`{path}` was changed after `keyrole setup` had written it"))
                    .hint(format!(
                        "compare it with what it was before, `{}`, and copy back what you want",
                        latest.display()
                    )),
                None => Error::failed(format!("there is nothing to undo: no backup stands beside `{path}`")),
            });
        }
        self.check()?;
        fs::rename(&backup, &self.target).map_err(|error| self.failed(&error))
    }

    fn backup_of(&self, written: &str) -> PathBuf {
        let digest = Sha256::digest(written);
        let digest: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        self.target.with_file_name(format!("{}{digest}", self.backup_prefix()))
    }

    fn backup_prefix(&self) -> String {
        let name = self.target.file_name().unwrap_or_default();
        format!("{}.keyrole-backup-", name.to_string_lossy())
    }

    fn latest_backup(&self) -> Option<PathBuf> {
        let entries = fs::read_dir(self.target.parent()?).ok()?.flatten();
        let prefix = self.backup_prefix();
        let backups = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix));
        backups.max_by_key(|entry| entry.metadata().and_then(|data| data.modified()).ok()).map(|entry| entry.path())
    }

    /// Makes sure that the file is still what was read and may be written to; `None` if it is still not there.
    fn check(&self) -> Result<Option<Metadata>> {
        let now = match fs::read(&self.target) {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            read => read.map_err(|error| self.failed(&error))?,
        };
        if now != self.text.as_bytes() {
            let path = self.path.display();
            return Err(Error::failed(format!(
                "`{path}` was changed by another program meanwhile; it was left as it is"
            ))
            .hint("run the command again"));
        }
        match OpenOptions::new().write(true).open(&self.target) {
            Ok(file) => file.metadata().map(Some).map_err(|error| self.failed(&error)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Writes a file beside the config file, then moves it to its place, so that nobody ever reads half of it.
    fn put(&self, place: &Path, text: &str, like: Option<&Metadata>) -> io::Result<()> {
        let mut name = place.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}", std::process::id()));
        let temporary = place.with_file_name(name);
        let written = || -> io::Result<()> {
            let mut file = private_file().write(true).create_new(true).open(&temporary)?;
            if let Some(like) = like {
                take_after(&file, like)?;
            }
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, place)
        };
        let result = written();
        if let Err(error) = &result
            && error.kind() != ErrorKind::AlreadyExists
        {
            let _ = fs::remove_file(&temporary);
        }
        // The new name is on the disk only when the directory is; file systems that cannot be asked for it do it alone.
        #[cfg(unix)]
        if result.is_ok()
            && let Some(dir) = place.parent()
        {
            let _ = File::open(dir).and_then(|dir| dir.sync_all());
        }
        result
    }

    fn failed(&self, error: &io::Error) -> Error {
        let failure = Error::failed(format!("cannot write `{}`: {error}", self.target.display()));
        match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => failure
                .hint("nothing was written; if another program makes this file, add the lines of `--dry-run` there"),
            _ => failure.hint("nothing was written"),
        }
    }
}

/// Gives a file the owner and the permissions of another.
#[cfg(unix)]
fn take_after(file: &File, like: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, fchown};
    let own = file.metadata()?;
    if (own.uid(), own.gid()) != (like.uid(), like.gid()) {
        fchown(file, Some(like.uid()), Some(like.gid()))?;
    }
    file.set_permissions(like.permissions())
}

/// A new file has what its directory gives it.
#[cfg(not(unix))]
fn take_after(_file: &File, _like: &Metadata) -> io::Result<()> {
    Ok(())
}
