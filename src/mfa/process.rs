//! `mfa_process`: a command that prints the code. It talks to its user on the terminal, never on our streams.

use super::{TokenCode, terminal};
use crate::error::{Error, Kind, Result};
use crate::plan::{CHAIN_VARIABLE, Plan};
#[cfg(unix)]
use rustix::process::Pid;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

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
    let mut shell = shell(command);
    // Security: the program asks a person or a key; it has no business with the caller's own credentials.
    shell.env(CHAIN_VARIABLE, &plan.chain).env_remove("AWS_SECRET_ACCESS_KEY").env_remove("AWS_SESSION_TOKEN");
    shell.env_remove("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    match terminal::open() {
        Ok(terminal) => {
            let (stdin, stderr) = terminal.into_stdio();
            shell.stdin(stdin).stderr(stderr);
        }
        Err(_) => {
            // In the background, reading the terminal stops the reader's whole process group: it must not be ours.
            #[cfg(unix)]
            std::os::unix::process::CommandExt::process_group(&mut shell, 0);
            shell.stdin(Stdio::null()).stderr(Stdio::null());
        }
    }
    let mut child = shell.stdout(Stdio::piped()).spawn().map_err(|error| failed(format!("cannot be run: {error}")))?;
    let (sender, output) = mpsc::channel();
    let stdout = child.stdout.take();
    thread::spawn(move || {
        let mut text = Zeroizing::new(Vec::new());
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

#[cfg(unix)]
fn shell(command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]);
    shell
}

#[cfg(windows)]
fn shell(command: &str) -> Command {
    let mut shell = Command::new("cmd.exe");
    shell.arg("/C");
    std::os::windows::process::CommandExt::raw_arg(&mut shell, format!("\"{command}\""));
    shell
}
