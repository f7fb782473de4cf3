//! Owns the question who runs us: the calling program for the prompt and the log, and a name for the session.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The program that asked for credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Its name, as the system knows it.
    pub name: String,
    /// Its process ID.
    pub pid: u32,
    /// When it was started, in clock ticks since boot; tells it from a later process with the same ID.
    pub started: u64,
    /// It is a shell that somebody types into, so each of its children is a new command.
    pub is_shell: bool,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

/// Finds the program that runs us. Most SDKs use a shell for that, which is skipped.
#[cfg(target_os = "linux")]
pub fn program() -> Option<Program> {
    let parent = Stat::read(&rustix::process::getppid()?.as_raw_nonzero().to_string())?;
    if parent.is_shell() && parent.is_for_one_command() {
        let grandparent = Stat::read(&parent.parent.to_string());
        return Some(grandparent.unwrap_or(parent).into_program());
    }
    Some(parent.into_program())
}

/// Gives the number of the terminal that this process belongs to.
#[cfg(target_os = "linux")]
pub fn terminal() -> Option<u64> {
    Stat::read("self").map(|stat| stat.terminal).filter(|&terminal| terminal != 0)
}

/// What `/proc/PID/stat` tells, see proc(5).
#[cfg(target_os = "linux")]
struct Stat {
    pid: u32,
    name: String,
    parent: u32,
    terminal: u64,
    started: u64,
}

#[cfg(target_os = "linux")]
impl Stat {
    fn read(pid: &str) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // `pid (name) state ppid …`; the name may hold anything, parentheses included.
        let (head, tail) = stat.rsplit_once(") ")?;
        let (pid, name) = head.split_once(" (")?;
        let fields: Vec<&str> = tail.split(' ').collect();
        Some(Self {
            pid: pid.parse().ok()?,
            name: name.to_owned(),
            parent: fields.get(1)?.parse().ok()?,
            terminal: fields.get(4)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }

    fn is_shell(&self) -> bool {
        ["sh", "dash", "bash", "zsh", "fish", "ksh"].contains(&self.name.as_str())
    }

    /// Tells `sh -c …` from the shell that somebody types into.
    fn is_for_one_command(&self) -> bool {
        std::fs::read(format!("/proc/{}/cmdline", self.pid))
            .is_ok_and(|line| line.split(|&byte| byte == 0).nth(1).is_some_and(|argument| argument == b"-c"))
    }

    fn into_program(self) -> Program {
        let is_shell = self.is_shell() && !self.is_for_one_command();
        Program { name: self.name, pid: self.pid, started: self.started, is_shell }
    }
}

/// Finds the program that runs us; this system does not tell.
#[cfg(not(target_os = "linux"))]
pub fn program() -> Option<Program> {
    None
}

/// Gives the number of the terminal that this process belongs to; this system does not tell.
#[cfg(not(target_os = "linux"))]
pub fn terminal() -> Option<u64> {
    None
}

/// Makes the name for a session whose profile gives none: `user@host`, cut to what STS allows.
pub fn session_name(user: Option<String>) -> String {
    #[cfg(unix)]
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    #[cfg(not(unix))]
    #[cfg_attr(not(test), expect(clippy::disallowed_methods, reason = "Windows keeps its host name there"))]
    let host = std::env::var("COMPUTERNAME").unwrap_or_default();
    let name = format!("{}@{host}", user.as_deref().unwrap_or("keyrole"));
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "_+=,.@-".contains(c) { c } else { '-' };
    name.chars().map(allowed).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_session_name_is_one_that_sts_takes() {
        for user in [None, Some("DOMAIN\\jö".to_owned()), Some("x".repeat(100))] {
            let name = session_name(user);
            assert_eq!(crate::validate::session_name(&name).as_deref(), Ok(name.as_str()));
        }
    }
}
