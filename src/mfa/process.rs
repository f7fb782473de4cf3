//! `mfa_process`: a command that prints the code. It talks to its user on the terminal, never on our streams.

use super::{TokenCode, without_secrets};
use crate::child;
use crate::error::{Error, Kind, Result};
use crate::plan::{CHAIN_VARIABLE, Plan};
use crate::process_line;
use crate::terminal;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Long enough to find the key and touch it.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// A code and what may surround it.
const MAX_OUTPUT_BYTES: u64 = 4096;

/// Runs the command and takes the code from its output.
pub fn code(plan: &Plan, command: &str, limit: Duration) -> Result<TokenCode> {
    // Security: neither the command nor what it printed is shown; they may hold the device's seed or a code.
    let failed = |why: String| {
        Error::new(Kind::PersonNeeded, format!("`mfa_process` of profile `{}` {why}", plan.profile))
            .hint("run its command by hand to see what it says; it must print six digits")
    };
    let spawn = |mut program: Command| {
        program.env(CHAIN_VARIABLE, &plan.chain).stdout(Stdio::piped());
        match terminal::open() {
            Ok(terminal) => {
                let (stdin, stderr) = terminal.into_stdio();
                program.stdin(stdin).stderr(stderr);
            }
            Err(_) => {
                child::put_aside(&mut program);
                program.stdin(Stdio::null()).stderr(Stdio::null());
            }
        }
        program.spawn()
    };
    // What is no program may be a word of the shell's own.
    let is_unknown = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
    let spawned = match direct(command).map(spawn) {
        Some(Err(error)) if is_unknown(&error) => spawn(without_secrets(child::shell(command))),
        Some(spawned) => spawned,
        None => spawn(without_secrets(child::shell(command))),
    };
    let child = spawned.map_err(|error| failed(format!("cannot be run: {error}")))?;
    let finished = child::finish(child, limit, MAX_OUTPUT_BYTES).map_err(failed)?;
    if !finished.status.success() {
        return Err(failed(format!("failed ({})", finished.status)));
    }
    let code = std::str::from_utf8(&finished.stdout).ok().and_then(TokenCode::parse);
    code.ok_or_else(|| failed("printed something that is not six digits".to_owned()))
}

/// Prepares a command that needs no shell.
fn direct(command: &str) -> Option<Command> {
    let words = process_line::words(command);
    let (program, arguments) = words.split_first()?;
    // To cmd.exe less means something else, and a backslash separates directories.
    let special = if cfg!(windows) { "%&|<>^" } else { process_line::SHELL_CHARACTERS };
    let needs_shell = program.contains('=') || command.contains(|c| special.contains(c));
    (!needs_shell).then(|| {
        let mut direct = without_secrets(Command::new(program));
        direct.args(arguments);
        direct
    })
}
