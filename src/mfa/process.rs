//! `mfa_process`: a command that prints the code. It talks to its user on the terminal, never on our streams.

use super::{TokenCode, helper};
use crate::error::{Error, Kind, Result};
use crate::plan::{CHAIN_VARIABLE, Plan};
use crate::process_line;
use crate::secret::SecretBytes;
use crate::terminal;
#[cfg(unix)]
use rustix::process::Pid;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Long enough to find the key and touch it.
const DEADLINE: Duration = Duration::from_secs(60);
/// How often to look whether the command waits for a terminal that it cannot have.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// A code and what may surround it.
const MAX_OUTPUT_BYTES: u64 = 4096;

/// Runs the command and takes the code from its output.
pub fn code(plan: &Plan, command: &str) -> Result<TokenCode> {
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
                // In the background, reading the terminal stops the reader's whole process group: it must not be ours.
                #[cfg(unix)]
                std::os::unix::process::CommandExt::process_group(&mut program, 0);
                program.stdin(Stdio::null()).stderr(Stdio::null());
            }
        }
        program.spawn()
    };
    // What is no program may be a word of the shell's own.
    let is_unknown = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
    let spawned = match direct(command).map(spawn) {
        Some(Err(error)) if is_unknown(&error) => spawn(shell(command)),
        Some(spawned) => spawned,
        None => spawn(shell(command)),
    };
    let mut child = spawned.map_err(|error| failed(format!("cannot be run: {error}")))?;
    let (sender, output) = mpsc::channel();
    let stdout = child.stdout.take();
    thread::spawn(move || {
        let mut text = SecretBytes::default();
        let read = stdout.map(|stdout| stdout.take(MAX_OUTPUT_BYTES).read_to_end(&mut text));
        // The receiver has gone if the deadline has passed.
        let _ = sender.send(read.transpose().map(|_| text));
    });
    let deadline = Instant::now() + DEADLINE;
    let text = loop {
        match output.recv_timeout(LOOK_AGAIN) {
            Ok(Ok(text)) => break text,
            Ok(Err(error)) => return Err(failed(format!("cannot be read: {error}"))),
            Err(_) if is_stopped(&child) => {
                kill(&mut child);
                return Err(failed("wants the terminal, but this is a background job of it".to_owned()));
            }
            Err(_) if Instant::now() >= deadline => {
                kill(&mut child);
                return Err(failed(format!("did not answer within {} s", DEADLINE.as_secs())));
            }
            Err(_) => {}
        }
    };
    // It may close its output and go on.
    let status = loop {
        match child.try_wait().map_err(|error| failed(format!("cannot be waited for: {error}")))? {
            Some(status) => break status,
            None if Instant::now() >= deadline => {
                kill(&mut child);
                return Err(failed(format!("did not end within {} s", DEADLINE.as_secs())));
            }
            None => thread::sleep(Duration::from_millis(5)),
        }
    };
    if !status.success() {
        return Err(failed(format!("failed ({status})")));
    }
    let code = std::str::from_utf8(&text).ok().and_then(TokenCode::parse);
    code.ok_or_else(|| failed("printed something that is not six digits".to_owned()))
}

/// Tells whether the child was stopped for reading the terminal while it has a process group of its own. One in our
/// group is stopped together with us, and goes on with us.
#[cfg(unix)]
fn is_stopped(child: &Child) -> bool {
    use rustix::process::{WaitId, WaitIdOptions, getpgid, waitid};
    let pid = Pid::from_child(child);
    let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    getpgid(Some(pid)) == Ok(pid) && matches!(waitid(WaitId::Pid(pid), options), Ok(Some(_)))
}

#[cfg(not(unix))]
fn is_stopped(_child: &Child) -> bool {
    false
}

/// Ends the child, and what it has started if it has a process group of its own.
fn kill(child: &mut Child) {
    // Either may have ended by itself in this very moment.
    #[cfg(unix)]
    let _ = rustix::process::kill_process_group(Pid::from_child(child), rustix::process::Signal::KILL);
    let _ = child.kill();
    let _ = child.wait();
}

/// Prepares a command that needs no shell.
fn direct(command: &str) -> Option<Command> {
    let words = process_line::words(command);
    let (program, arguments) = words.split_first()?;
    // To cmd.exe less means something else, and a backslash separates directories.
    let special = if cfg!(windows) { "%&|<>^" } else { process_line::SHELL_CHARACTERS };
    let needs_shell = program.contains('=') || command.contains(|c| special.contains(c));
    (!needs_shell).then(|| {
        let mut direct = helper(program);
        direct.args(arguments);
        direct
    })
}

#[cfg(unix)]
fn shell(command: &str) -> Command {
    let mut shell = helper("sh");
    shell.args(["-c", command]);
    shell
}

#[cfg(windows)]
fn shell(command: &str) -> Command {
    let mut shell = helper("cmd.exe");
    shell.arg("/C");
    std::os::windows::process::CommandExt::raw_arg(&mut shell, format!("\"{command}\""));
    shell
}
