//! Owns the replacing of an AWS file: in one step, with its permissions, behind a link if it is one, and with a
//! backup beside it. It never decides what is written.
//!
//! A backup's name holds the digest of the text that it was made for. So `undo` finds the one that belongs to the file as
//! it is now, and finds none once somebody else has changed the file.

use crate::config::AwsFiles;
use crate::error::{Error, Result};
use crate::lock::{create_private_dir, private_file};
use crate::secret::Secret;
use sha2::{Digest, Sha256};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// The words by which the backups of different commands are told apart: `undo` would take a key away from its profile if
/// it put back what `keys` has written.
const SETUP_BACKUP: &str = ".keyrole-backup-";
const KEYS_BACKUP: &str = ".keyrole-keys-backup-";
/// What a file is called that is being written, before the process's number.
const UNFINISHED: &str = ".keyrole-new-";

/// An AWS file as it was read.
pub struct ConfigFile<'a> {
    /// The path by which people know it.
    path: &'a Path,
    /// The file itself; the same unless `path` is a link.
    target: PathBuf,
    text: &'a str,
    /// What stands between the file's name and the digest in a backup's name.
    backup: &'static str,
}

impl<'a> ConfigFile<'a> {
    /// Makes it from what was read of the config file, for `setup`.
    pub fn new(files: &'a AwsFiles) -> Self {
        Self::of(files.config_path(), files.config_text(), SETUP_BACKUP)
    }

    /// Makes the config file and the credentials file from what was read, for `keys`. A backup is readable by its owner
    /// alone, as it may hold a secret.
    pub fn both(files: &'a AwsFiles) -> [Self; 2] {
        [(files.config_path(), files.config_text()), (files.credentials_path(), files.credentials_text())]
            .map(|(path, text)| Self::of(path, text, KEYS_BACKUP))
    }

    fn of(path: &'a Path, text: &'a str, backup: &'static str) -> Self {
        // A link to a file that is not there yet is followed as well.
        let linked = || fs::read_link(path).map(|to| path.parent().unwrap_or(path).join(to));
        let target = fs::canonicalize(path).or_else(|_| linked()).unwrap_or_else(|_| path.to_owned());
        let target = std::path::absolute(&target).unwrap_or(target);
        Self { path, target, text, backup }
    }

    /// Replaces the file's text, and gives the path of the backup.
    ///
    /// # Errors
    /// The file was changed since it was read, is read-only, or cannot be replaced. It is as it was then.
    pub fn replace(&self, new: &str) -> Result<PathBuf> {
        let _alone = self.keep_others_out();
        let before = self.check()?;
        if before.is_none()
            && let Some(dir) = self.target.parent().filter(|dir| !dir.exists())
        {
            create_private_dir(dir).map_err(|error| self.failed(&error))?;
        }
        self.sweep();
        let backup = self.backup_of(new);
        let is_private = self.backup == KEYS_BACKUP;
        self.put(&backup, self.text, before.as_ref(), is_private).map_err(|error| self.failed(&error))?;
        let replaced = self.check().and_then(|before| {
            self.put(&self.target, new, before.as_ref(), false).map_err(|error| self.failed(&error))
        });
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
        let _alone = self.keep_others_out();
        self.check()?;
        fs::rename(&backup, &self.target).map_err(|error| self.failed(&error))
    }

    /// Tells whether both are one file.
    pub fn is_same(&self, other: &Self) -> bool {
        self.target == other.target
    }

    /// Finds the backups of every command that hold a secret.
    pub fn backups_with(&self, secret: &Secret) -> Vec<PathBuf> {
        let name = self.target.file_name().unwrap_or_default().to_string_lossy();
        let prefixes = [SETUP_BACKUP, KEYS_BACKUP].map(|backup| format!("{name}{backup}"));
        let entries = self.target.parent().and_then(|dir| fs::read_dir(dir).ok()).into_iter().flatten().flatten();
        let backups = entries.filter(|entry| {
            let name = entry.file_name();
            prefixes.iter().any(|prefix| name.to_string_lossy().starts_with(prefix))
        });
        let holds = |path: &PathBuf| {
            fs::read_to_string(path).map(Secret::new).is_ok_and(|text| text.expose().contains(secret.expose()))
        };
        backups.map(|entry| entry.path()).filter(holds).collect()
    }

    /// Makes sure that the file can be replaced.
    ///
    /// # Errors
    /// As `replace`.
    pub fn check_writable(&self) -> Result<()> {
        self.check().map(drop)
    }

    /// Gives the backup that was made when this text was written, if it is still there.
    pub fn backup_before(&self, written: &str) -> Option<PathBuf> {
        Some(self.backup_of(written)).filter(|backup| backup.exists())
    }

    /// Keeps other keyroles from changing the file between the look at it and its replacement; another program is not kept
    /// out. The lock is on the directory, which is there whatever is done to the file.
    #[cfg(unix)]
    fn keep_others_out(&self) -> Option<File> {
        /// It takes another keyrole some milliseconds; whoever else locks a directory is not waited for.
        const LOOKS: u32 = 200;
        let dir = File::open(self.target.parent()?).ok()?;
        for _ in 0..LOOKS {
            if dir.try_lock().is_ok() {
                return Some(dir);
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        None
    }

    /// Windows opens no directory.
    #[cfg(not(unix))]
    fn keep_others_out(&self) -> Option<File> {
        None
    }

    /// Removes what processes that have ended left unfinished; it may hold a secret.
    fn sweep(&self) {
        let prefix = self.target.file_name().unwrap_or_default().to_string_lossy();
        let Some(entries) = self.target.parent().and_then(|dir| fs::read_dir(dir).ok()) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let writer = name.strip_prefix(&*prefix).and_then(|rest| rest.rsplit_once(UNFINISHED)).map(|(_, pid)| pid);
            // One with this process's own number was left by an earlier one: in containers they are often the same.
            let is_left = |pid: u32| pid == std::process::id() || has_ended(pid);
            if writer.and_then(|pid| pid.parse().ok()).is_some_and(is_left) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    fn backup_of(&self, written: &str) -> PathBuf {
        let digest = Sha256::digest(written);
        let digest: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        self.target.with_file_name(format!("{}{digest}", self.backup_prefix()))
    }

    fn backup_prefix(&self) -> String {
        let name = self.target.file_name().unwrap_or_default();
        format!("{}{}", name.to_string_lossy(), self.backup)
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

    /// Writes a file beside the file, then moves it to its place, so that nobody ever reads half of it.
    fn put(&self, place: &Path, text: &str, like: Option<&Metadata>, is_private: bool) -> io::Result<()> {
        let mut name = place.file_name().unwrap_or_default().to_owned();
        name.push(format!("{UNFINISHED}{}", std::process::id()));
        let temporary = place.with_file_name(name);
        let written = || -> io::Result<()> {
            let mut file = private_file().write(true).create_new(true).open(&temporary)?;
            if let Some(like) = like {
                take_after(&file, like, is_private)?;
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

/// Tells whether no process has this number any more.
#[cfg(unix)]
fn has_ended(pid: u32) -> bool {
    use rustix::process::{Pid, test_kill_process};
    let is_gone = |pid| test_kill_process(pid) == Err(rustix::io::Errno::SRCH);
    i32::try_from(pid).ok().and_then(Pid::from_raw).is_some_and(is_gone)
}

/// Windows is not asked; what was left stays.
#[cfg(not(unix))]
fn has_ended(_pid: u32) -> bool {
    false
}

/// Gives a file the owner and the permissions of another; a private one keeps its own permissions. Where the group is one
/// that this user may give to no file, the new one's group gets none of its permissions.
#[cfg(unix)]
fn take_after(file: &File, like: &Metadata, is_private: bool) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
    let own = file.metadata()?;
    let mut mode = like.permissions().mode();
    if (own.uid(), own.gid()) != (like.uid(), like.gid()) {
        match fchown(file, Some(like.uid()), Some(like.gid())) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied && own.uid() == like.uid() => {
                mode &= !0o070;
            }
            changed => changed?,
        }
    }
    if is_private { Ok(()) } else { file.set_permissions(fs::Permissions::from_mode(mode)) }
}

/// A new file has what its directory gives it.
#[cfg(not(unix))]
fn take_after(_file: &File, _like: &Metadata, _is_private: bool) -> io::Result<()> {
    Ok(())
}
