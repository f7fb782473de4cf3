//! Owns the question who runs us: the calling program for the prompt and the log, and a name for the session.

use std::fmt;

/// The program that asked for credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its name, as the system knows it.
    pub name: String,
    /// Its process ID.
    pub pid: u32,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

/// Finds the program that runs us. Most SDKs use a shell for that, which is skipped.
#[cfg(target_os = "linux")]
pub fn program() -> Option<Program> {
    const SHELLS: &[&str] = &["sh", "dash", "bash"];
    let parent = rustix::process::getppid()?.as_raw_nonzero().get().unsigned_abs();
    let named = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // `pid (name) state ppid …`; the name may hold anything, parentheses included.
        let (head, tail) = stat.rsplit_once(") ")?;
        let name = head.split_once(" (")?.1.to_owned();
        let parent: u32 = tail.split(' ').nth(1)?.parse().ok()?;
        Some((Program { name, pid }, parent))
    };
    let (program, grandparent) = named(parent)?;
    if SHELLS.contains(&program.name.as_str())
        && is_for_one_command(program.pid)
        && let Some((caller, _)) = named(grandparent)
    {
        return Some(caller);
    }
    Some(program)
}

/// Tells `sh -c …` from the shell that somebody types into.
#[cfg(target_os = "linux")]
fn is_for_one_command(pid: u32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline"))
        .is_ok_and(|line| line.split(|&byte| byte == 0).nth(1).is_some_and(|argument| argument == b"-c"))
}

/// Finds the program that runs us; this system does not tell.
#[cfg(not(target_os = "linux"))]
pub fn program() -> Option<Program> {
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
