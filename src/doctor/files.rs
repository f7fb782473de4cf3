//! Owns the checks of permissions and of locks that somebody holds.

use super::Report;
use crate::config::Sections;
use crate::error::Printable;
use crate::flight;
use crate::lock::{create_private_dir, private_file};
use crate::mfa::quoted;
use crate::world::World;
use std::collections::BTreeSet;
use std::io::{ErrorKind, Write};
use std::path::Path;

/// Checks the AWS files and the state directory.
pub fn check(report: &mut Report, sections: &Sections, world: &World) {
    for (path, is_secret) in [(sections.config_path(), false), (sections.credentials_path(), true)] {
        permissions(report, path, is_secret);
    }
    let dirs: BTreeSet<&Path> =
        [sections.config_path(), sections.credentials_path()].into_iter().filter_map(Path::parent).collect();
    dirs.into_iter().for_each(|dir| directory(report, dir));
    match world.state_dir() {
        Some(dir) => state(report, &dir),
        None => {
            let mend = if cfg!(windows) { "set `USERPROFILE`" } else { "set `HOME`" };
            report.warn("state", "the home directory", "there is no place for locks and the log", &[mend]);
        }
    }
    let held = flight::held(world);
    if held.is_empty() {
        report.ok("locks", "the lock files", "nobody is fetching anything");
    }
    for holder in held {
        let what = format!("held by {}", Printable(&holder.what));
        report.warn("locks", "the lock files", what, &[&flight::kill(holder.pid)]);
    }
}

/// Checks the directory for locks and the log by writing to it.
fn state(report: &mut Report, dir: &Path) {
    let looked_at = format!("`{}`", dir.display());
    if let Err(error) = create_private_dir(dir) {
        let mend = if dir.symlink_metadata().is_ok() {
            format!("chmod 700 {}", quoted(&dir.display().to_string()))
        } else {
            let there = dir.ancestors().find(|above| above.exists()).unwrap_or(dir);
            let mend = if there.is_dir() { "chmod u+wx" } else { "move away the file" };
            format!("{mend} {}, or set `XDG_STATE_HOME` to a directory of yours", there.display())
        };
        report.fail("state", &looked_at, format!("the state directory: {error}"), &[&mend]);
        return;
    }
    let probe = dir.join(format!("doctor.{}", std::process::id()));
    let written = private_file().write(true).create_new(true).open(&probe).and_then(|mut file| {
        file.write_all(b"probe")?;
        file.sync_all()
    });
    // One that could not be made is not there.
    let _ = std::fs::remove_file(&probe);
    match written {
        Ok(()) => report.ok("state", &looked_at, "the state directory can be written to, by this user alone"),
        Err(error) => {
            let mend = match error.kind() {
                ErrorKind::PermissionDenied => format!("chmod 700 {}", quoted(&dir.display().to_string())),
                _ => "make room on its disk, or set `XDG_STATE_HOME` to a directory on another".to_owned(),
            };
            let what = format!("neither the log nor sealed files can be written: {error}");
            report.fail("state", &looked_at, what, &[&mend]);
        }
    }
}

/// Checks that nobody else can put another file in the place of those in a directory.
#[cfg(unix)]
fn directory(report: &mut Report, dir: &Path) {
    use std::os::unix::fs::MetadataExt;
    /// In such a directory nobody can replace the files of others; `/tmp` is one.
    const STICKY: u32 = 0o1000;
    let Ok(metadata) = std::fs::metadata(dir) else { return };
    let mode = metadata.mode() & 0o7777;
    if mode & 0o022 != 0 && mode & STICKY == 0 {
        let what = format!("others can replace the files in it (mode {mode:o}), and so choose what runs in your name");
        let mend = format!("chmod go-w {}", quoted(&dir.display().to_string()));
        report.fail("permissions", &format!("`{}`", dir.display()), what, &[&mend]);
    }
}

#[cfg(not(unix))]
fn directory(_report: &mut Report, _dir: &Path) {}

#[cfg(unix)]
fn permissions(report: &mut Report, path: &Path, is_secret: bool) {
    use std::os::unix::fs::MetadataExt;
    let looked_at = format!("`{}`", path.display());
    let Ok(metadata) = std::fs::metadata(path) else {
        report.ok("permissions", &looked_at, "it is not there");
        return;
    };
    let mode = metadata.mode() & 0o777;
    if mode & 0o022 != 0 {
        let what = format!("others can write to it (mode {mode:o}), and so choose what runs in your name");
        report.fail("permissions", &looked_at, what, &[&format!("chmod go-w {}", quoted(&path.display().to_string()))]);
    } else if is_secret && mode & 0o077 != 0 {
        let what = format!("others can read the keys in it (mode {mode:o})");
        report.fail("permissions", &looked_at, what, &[&format!("chmod 600 {}", quoted(&path.display().to_string()))]);
    } else {
        report.ok("permissions", &looked_at, format!("mode {mode:o}"));
    }
}

#[cfg(not(unix))]
fn permissions(report: &mut Report, path: &Path, _is_secret: bool) {
    let what = if path.exists() { "it is there" } else { "it is not there" };
    report.ok("permissions", &format!("`{}`", path.display()), what);
}
