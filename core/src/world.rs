//! Owns what the program takes from outside itself: environment variables, the clock, the home directory.
//! `main.rs` builds the real one; nothing else reads the environment or the clock.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Gives the value of a variable by its name.
pub type Lookup = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The process's surroundings, passed to everything that needs them.
pub struct World {
    /// Looks up an environment variable.
    pub env: Lookup,
    /// Reads the wall clock.
    pub clock: fn() -> SystemTime,
    /// Reads a text file that a profile names.
    pub read: fn(&Path) -> std::io::Result<String>,
    /// The user's home directory, if the system knows one.
    pub home: Option<PathBuf>,
}

impl World {
    /// Looks up an environment variable; an empty one counts as unset, as it does for the AWS CLI.
    pub fn var(&self, name: &str) -> Option<String> {
        (self.env)(name).filter(|value| !value.is_empty())
    }

    /// Gives the name of the user.
    pub fn user(&self) -> Option<String> {
        self.var("USER").or_else(|| self.var("USERNAME"))
    }

    /// Gives the wall clock as seconds since the Unix epoch.
    pub fn now(&self) -> i64 {
        let since_epoch = (self.clock)().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX)
    }

    /// Gives the wall clock as nanoseconds since the Unix epoch.
    pub fn now_nanos(&self) -> i64 {
        let since_epoch = (self.clock)().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX)
    }

    /// Gives a second place for locks, for when the state directory's file system has none: the user's runtime
    /// directory, which is in memory.
    pub fn runtime_dir(&self) -> Option<PathBuf> {
        self.var("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|dir| dir.is_absolute()).map(|dir| dir.join("keyrole"))
    }

    /// Replaces a leading `~/`, on Windows also `~\`, by the home directory.
    pub fn expand(&self, path: &str) -> PathBuf {
        let below_home = path.strip_prefix('~').and_then(|rest| rest.strip_prefix(std::path::is_separator));
        match (below_home, &self.home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => PathBuf::from(path),
        }
    }

    /// Gives the directory for locks and the log: `$XDG_STATE_HOME/keyrole` or the platform's equivalent.
    pub fn state_dir(&self) -> Option<PathBuf> {
        if let Some(dir) = self.var("XDG_STATE_HOME").filter(|dir| Path::new(dir).is_absolute()) {
            return Some(Path::new(&dir).join("keyrole"));
        }
        // A home that is not there is not made.
        let home = self.home.as_deref().filter(|home| home.is_dir())?;
        state_dir_in(home)
    }
}

/// The XDG base directories' default. Every hit asks for it, so it is made in one piece, with room for a file's name.
#[cfg(not(any(windows, target_os = "macos")))]
fn state_dir_in(home: &Path) -> Option<PathBuf> {
    const ROOM: usize = "/.local/state/keyrole/keyrole.log".len();
    let mut dir = PathBuf::with_capacity(home.as_os_str().len() + ROOM);
    dir.push(home);
    dir.push(".local/state/keyrole");
    Some(dir)
}

#[cfg(any(windows, target_os = "macos"))]
fn state_dir_in(_home: &Path) -> Option<PathBuf> {
    let dirs = directories::ProjectDirs::from("", "", "keyrole")?;
    Some(dirs.state_dir().unwrap_or(dirs.data_local_dir()).to_path_buf())
}
