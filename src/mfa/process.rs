//! `mfa_process`: a command that prints the code. It talks to its user on the terminal, never on our streams.

use super::{TokenCode, quoted};
use crate::error::{Error, Kind, Result};
use crate::profile::{CHAIN_VARIABLE, Plan};
use std::fs::OpenOptions;
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use zeroize::Zeroizing;

/// Long enough to find the key and touch it.
const DEADLINE: Duration = Duration::from_secs(60);
/// A code and what may surround it.
const MAX_OUTPUT_BYTES: u64 = 4096;

/// Runs the command and takes the code from its output.
pub fn code(plan: &Plan, command: &str) -> Result<TokenCode> {
    let failed = |why: String| {
        Error::new(Kind::PersonNeeded, format!("`mfa_process` of profile `{}` {why}", plan.profile))
            .hint(format!("run {} by hand to see what it says; it must print six digits", quoted(command)))
    };
    let mut child = shell(command)
        .env(CHAIN_VARIABLE, &plan.chain)
        // Security: the program asks a person or a key; it has no business with the caller's own credentials.
        .env_remove("AWS_SECRET_ACCESS_KEY")
        .env_remove("AWS_SESSION_TOKEN")
        .stdin(terminal(OpenOptions::new().read(true)))
        .stdout(Stdio::piped())
        .stderr(terminal(OpenOptions::new().write(true)))
        .spawn()
        .map_err(|error| failed(format!("cannot be run: {error}")))?;
    let (sender, output) = mpsc::channel();
    let stdout = child.stdout.take();
    thread::spawn(move || {
        let mut text = Zeroizing::new(Vec::new());
        let read = stdout.map(|stdout| stdout.take(MAX_OUTPUT_BYTES).read_to_end(&mut text));
        // The receiver has gone if the deadline has passed.
        let _ = sender.send(read.transpose().map(|_| text));
    });
    let text = match output.recv_timeout(DEADLINE) {
        Ok(Ok(text)) => text,
        Ok(Err(error)) => return Err(failed(format!("cannot be read: {error}"))),
        Err(_) => {
            // It may have ended by itself in this very moment.
            let _ = child.kill();
            let _ = child.wait();
            return Err(failed(format!("did not answer within {} s", DEADLINE.as_secs())));
        }
    };
    let status = child.wait().map_err(|error| failed(format!("cannot be waited for: {error}")))?;
    if !status.success() {
        return Err(failed(format!("failed ({status})")));
    }
    // Security: what it printed is not shown, as it may be a code or a secret.
    let code = std::str::from_utf8(&text).ok().and_then(TokenCode::parse);
    code.ok_or_else(|| failed("printed something that is not six digits".to_owned()))
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

/// Opens the terminal for the child, so that "touch your key" is seen; nothing where there is none.
fn terminal(options: &OpenOptions) -> Stdio {
    let path = if cfg!(windows) { "CONOUT$" } else { "/dev/tty" };
    options.open(path).map_or_else(|_| Stdio::null(), Stdio::from)
}
