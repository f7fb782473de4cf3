//! Owns the checks of permissions and of locks that somebody holds.

use super::Report;
use crate::config::Sections;
use crate::error::Printable;
use crate::flight;
use crate::lock::create_private_dir;
use crate::world::World;
use std::path::Path;

/// Checks the AWS files and the state directory.
pub fn check(report: &mut Report, sections: &Sections, world: &World) {
    for (path, is_secret) in [(sections.config_path(), false), (sections.credentials_path(), true)] {
        permissions(report, path, is_secret);
    }
    match world.state_dir() {
        Some(dir) => {
            let looked_at = format!("`{}`", dir.display());
            match create_private_dir(&dir) {
                Ok(()) => report.ok("state", &looked_at, "the state directory is there, for this user alone"),
                Err(error) => {
                    let mend = format!("chmod 700 {}", dir.display());
                    report.fail("state", &looked_at, format!("the state directory: {error}"), &[&mend]);
                }
            }
        }
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
        report.fail("permissions", &looked_at, what, &[&format!("chmod go-w {}", path.display())]);
    } else if is_secret && mode & 0o077 != 0 {
        let what = format!("others can read the keys in it (mode {mode:o})");
        report.fail("permissions", &looked_at, what, &[&format!("chmod 600 {}", path.display())]);
    } else {
        report.ok("permissions", &looked_at, format!("mode {mode:o}"));
    }
}

#[cfg(not(unix))]
fn permissions(report: &mut Report, path: &Path, _is_secret: bool) {
    let what = if path.exists() { "it is there" } else { "it is not there" };
    report.ok("permissions", &format!("`{}`", path.display()), what);
}
