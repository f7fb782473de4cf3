//! Owns the question who runs us: the calling program for the prompt and the log, and a name for the session.

use crate::world::World;
use serde::{Deserialize, Serialize};
use std::fmt;
#[cfg(target_os = "linux")]
use {
    crate::output::decimal,
    std::ffi::OsStr,
    std::fs::File,
    std::io::Read,
    std::os::unix::{ffi::OsStrExt, process::parent_id},
};

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
    nearest().map(Stat::into_program)
}

/// Gives the name and the process ID of the program that runs us. The log of a hit has no time for more: the kernel
/// tells a name in a third of the time that it takes for all of `stat`.
#[cfg(target_os = "linux")]
pub fn name_and_pid() -> Option<(String, u32)> {
    let pid = parent_id();
    let mut bytes = [0; 64];
    let name = String::from_utf8_lossy(read(pid, "/comm", &mut bytes)?.trim_ascii_end()).into_owned();
    if is_shell(&name) && is_for_one_command(pid) {
        return nearest().map(|stat| (stat.name, stat.pid));
    }
    Some((name, pid))
}

#[cfg(target_os = "linux")]
fn nearest() -> Option<Stat> {
    let parent = Stat::read(parent_id())?;
    if is_shell(&parent.name) && is_for_one_command(parent.pid) {
        return Some(Stat::read(parent.parent).unwrap_or(parent));
    }
    Some(parent)
}

/// Names the programs above us, the nearest first: `["sh 431", "terraform 430", "bash 99"]`.
#[cfg(target_os = "linux")]
pub fn chain() -> Vec<String> {
    /// Enough to come to the terminal or the service behind it.
    const MAX_CALLERS: usize = 6;
    let parent = Stat::read(parent_id());
    let above = std::iter::successors(parent, |stat| Stat::read(stat.parent));
    above.take(MAX_CALLERS).map(|stat| format!("{} {}", stat.name, stat.pid)).collect()
}

/// Gives the number of the terminal that this process belongs to.
#[cfg(target_os = "linux")]
pub fn terminal() -> Option<u64> {
    Stat::read(std::process::id()).map(|stat| stat.terminal).filter(|&terminal| terminal != 0)
}

/// Tells whether the programs above us that are in a process group do nothing but wait for what they have started, as
/// a script does that runs us by `timeout`. A shell at its own prompt is the leader of its session, or reads.
#[cfg(target_os = "linux")]
pub fn is_awaited_in(group: u32) -> bool {
    let Some(own) = Stat::read(std::process::id()) else { return false };
    let above = std::iter::successors(Some(own), |stat| Stat::read(stat.parent));
    let mut waiting = above.filter(|stat| stat.group == group).map(|stat| group != stat.session && waits(stat.pid));
    waiting.next() == Some(true) && waiting.all(|waits| waits)
}

/// Tells whether a process waits for a child, or for what a child prints. This is the name of the kernel's own function.
#[cfg(target_os = "linux")]
fn waits(pid: u32) -> bool {
    read(pid, "/wchan", &mut [0; 64])
        .is_some_and(|name| [&b"do_wait"[..], b"pipe_read", b"anon_pipe_read"].contains(&name))
}

/// What `/proc/PID/stat` tells, see proc(5).
#[cfg(target_os = "linux")]
struct Stat {
    pid: u32,
    name: String,
    parent: u32,
    group: u32,
    session: u32,
    terminal: u64,
    started: u64,
}

#[cfg(target_os = "linux")]
impl Stat {
    fn read(pid: u32) -> Option<Self> {
        /// Longer than all that is looked at: the name and some numbers.
        const USUAL_BYTES: usize = 512;
        /// The process ID and the longest name that the kernel gives to its own threads.
        const NAME_BYTES: usize = 80;
        let mut bytes = [0; USUAL_BYTES];
        let stat = read(pid, "/stat", &mut bytes)?;
        // `pid (name) state ppid …`; the name may hold anything, parentheses included.
        let begin = stat.iter().position(|&byte| byte == b'(')? + 1;
        let end = stat.iter().take(NAME_BYTES).rposition(|&byte| byte == b')')?;
        // Fields 4 to 7 and 22 of the manual page.
        let mut fields = stat.get(end + 2..)?.split(|&byte| byte == b' ').skip(1);
        Some(Self {
            pid,
            name: String::from_utf8_lossy(stat.get(begin..end)?).into_owned(),
            parent: u32::try_from(number(fields.next()?)?).ok()?,
            group: u32::try_from(number(fields.next()?)?).ok()?,
            session: u32::try_from(number(fields.next()?)?).ok()?,
            terminal: number(fields.next()?)?,
            started: number(fields.nth(14)?)?,
        })
    }

    fn into_program(self) -> Program {
        let is_shell = is_shell(&self.name) && !is_for_one_command(self.pid);
        Program { name: self.name, pid: self.pid, started: self.started, is_shell }
    }
}

#[cfg(target_os = "linux")]
fn is_shell(name: &str) -> bool {
    ["sh", "dash", "bash", "zsh", "fish", "ksh"].contains(&name)
}

/// Tells `sh -c …` from the shell that somebody types into.
#[cfg(target_os = "linux")]
fn is_for_one_command(pid: u32) -> bool {
    let mut bytes = [0; 512];
    read(pid, "/cmdline", &mut bytes)
        .is_some_and(|line| line.split(|&byte| byte == 0).nth(1).is_some_and(|argument| argument == b"-c"))
}

/// Reads the beginning of a process's file in one piece, as this is on the way of a hit.
#[cfg(target_os = "linux")]
fn read<'b>(pid: u32, file: &str, bytes: &'b mut [u8]) -> Option<&'b [u8]> {
    let mut path = Vec::with_capacity(32);
    path.extend_from_slice(b"/proc/");
    path.extend_from_slice(decimal(u64::from(pid), 1, &mut [0; 20]));
    path.extend_from_slice(file.as_bytes());
    let path: &OsStr = OsStrExt::from_bytes(&path);
    let length = File::open(path).and_then(|mut file| file.read(bytes)).ok()?;
    bytes.get(..length)
}

/// Reads a number; one below zero, as a terminal of none may be, counts as 0.
#[cfg(target_os = "linux")]
fn number(digits: &[u8]) -> Option<u64> {
    let digit = |number: u64, byte: &u8| match byte {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    };
    if digits.first() == Some(&b'-') { Some(0) } else { digits.iter().try_fold(0, digit) }
}

/// Finds the program that runs us; this system does not tell.
#[cfg(not(target_os = "linux"))]
pub fn program() -> Option<Program> {
    None
}

/// Gives the name and the process ID of the program that runs us; this system does not tell.
#[cfg(not(target_os = "linux"))]
pub fn name_and_pid() -> Option<(String, u32)> {
    None
}

/// Names the programs above us; this system does not tell.
#[cfg(not(target_os = "linux"))]
pub fn chain() -> Vec<String> {
    Vec::new()
}

/// Tells whether the programs above us that are in a process group only wait; this system does not tell.
#[cfg(not(target_os = "linux"))]
pub fn is_awaited_in(_group: u32) -> bool {
    false
}

/// Gives the number of the terminal that this process belongs to; this system does not tell.
#[cfg(not(target_os = "linux"))]
pub fn terminal() -> Option<u64> {
    None
}

/// Makes the name for a session whose profile gives none: `user@host`, cut to what STS allows.
pub fn session_name(world: &World) -> String {
    valid_session_name(world.user())
}

fn valid_session_name(user: Option<String>) -> String {
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

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_is_read_whatever_its_name_and_its_numbers() {
        let own = Stat::read(std::process::id()).unwrap();
        assert_eq!(own.parent, parent_id());
        assert!(own.started > 0 && !own.name.is_empty());
        // The first process has no terminal, and no parent that could be read.
        let first = Stat::read(1).unwrap();
        assert_eq!((first.terminal, Stat::read(first.parent).is_none()), (0, true));
        assert_eq!((number(b"-1"), number(b"42"), number(b"4x")), (Some(0), Some(42), None));
    }

    #[test]
    fn a_default_session_name_is_one_that_sts_takes() {
        for user in [None, Some("DOMAIN\\jö".to_owned()), Some("x".repeat(100))] {
            let name = valid_session_name(user);
            assert_eq!(crate::validate::session_name(&name).as_deref(), Ok(name.as_str()));
        }
    }
}
