//! Owns how a program that keyrole runs is listened to: what it prints, up to a limit, until a deadline, whatever it and
//! its own children do.

use crate::secret::SecretBytes;
#[cfg(unix)]
use rustix::process::Pid;
use std::io::Read;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// How often to look at the child while it prints nothing.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// The same once it has closed its streams, or ended and left them to a child of its own.
const LOOK_SOON: Duration = Duration::from_millis(5);

/// What a child printed, and how it ended.
pub struct Finished {
    pub stdout: SecretBytes,
    pub stderr: SecretBytes,
    pub status: ExitStatus,
}

/// Prepares a line for the shell.
#[cfg(unix)]
pub fn shell(line: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", line]);
    shell
}

/// Prepares a line for the shell.
#[cfg(windows)]
pub fn shell(line: &str) -> Command {
    let mut shell = Command::new("cmd.exe");
    shell.arg("/C");
    std::os::windows::process::CommandExt::raw_arg(&mut shell, format!("\"{line}\""));
    shell
}

/// Keeps a child that has no terminal from stopping this process with it: in the background, reading the terminal stops
/// the reader's whole process group. It can be ended with all that it has started, too.
pub fn put_aside(command: &mut Command) {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    #[cfg(not(unix))]
    let _ = command;
}

/// Makes sure that children can be waited for, which is not so where the program that runs us ignores its own.
pub fn allow_waiting() {
    #[cfg(unix)]
    {
        static ONCE: std::sync::Once = std::sync::Once::new();
        // It fails only where the signal does not exist.
        ONCE.call_once(|| drop(signal_hook::flag::register(signal_hook::consts::SIGCHLD, Arc::default())));
    }
}

/// Waits until a child has ended. It is ended itself when it does not in time, or waits for a terminal that it cannot
/// have; what it has left running with its streams open is not waited for.
///
/// # Errors
/// A clause that says why there is no result.
pub fn finish(mut child: Child, limit: Duration, max_bytes: u64) -> Result<Finished, String> {
    let deadline = Instant::now() + limit;
    let (sender, end) = mpsc::channel();
    let stdout = child.stdout.take().map(|stream| listen(stream, max_bytes, false, sender.clone()));
    // What is said beyond the limit is read and dropped: it is no reason to end whoever says it.
    let stderr = child.stderr.take().map(|stream| listen(stream, max_bytes, true, sender));
    let (stdout, stderr) = match (stdout.transpose(), stderr.transpose()) {
        (Ok(stdout), Ok(stderr)) => (stdout, stderr),
        (Err(error), _) | (_, Err(error)) => {
            kill(&mut child);
            return Err(format!("cannot be listened to: {error}"));
        }
    };
    let mut is_silent = false;
    let status = loop {
        match child.try_wait().map_err(|error| format!("cannot be waited for: {error}"))? {
            Some(status) => break status,
            None if is_stopped(&child) => {
                kill(&mut child);
                return Err("wants the terminal, but this is a background job of it".to_owned());
            }
            None if Instant::now() >= deadline => {
                kill(&mut child);
                let what = if is_silent { "end" } else { "answer" };
                return Err(format!("did not {what} within {} s", limit.as_secs()));
            }
            None if is_silent => thread::sleep(LOOK_SOON),
            None => is_silent = end.recv_timeout(LOOK_AGAIN) == Err(mpsc::RecvTimeoutError::Disconnected),
        }
    };
    // All that it has printed is in the pipes by now, and most often read.
    let mut looks = LOOK_AGAIN.as_millis() / LOOK_SOON.as_millis();
    while looks > 0 && end.recv_timeout(LOOK_SOON) == Err(mpsc::RecvTimeoutError::Timeout) {
        looks -= 1;
    }
    let stdout = heard(stdout);
    if stdout.len() as u64 >= max_bytes {
        return Err(format!("printed {max_bytes} bytes or more, which is no answer"));
    }
    Ok(Finished { stdout, stderr: heard(stderr), status })
}

type Heard = Arc<Mutex<SecretBytes>>;

/// Reads a stream in a thread of its own, which drops the sender at its end.
fn listen(
    mut stream: impl Read + Send + 'static,
    max_bytes: u64,
    drops_rest: bool,
    end: mpsc::Sender<()>,
) -> std::io::Result<Heard> {
    /// A pipe holds no more.
    const PIPE_BYTES: usize = 64 * 1024;
    let max_bytes = usize::try_from(max_bytes).unwrap_or(PIPE_BYTES);
    // Large enough from the start, so that growing leaves no copies of a secret behind.
    let heard = Heard::new(Mutex::new(SecretBytes::with_capacity(max_bytes)));
    let all = Arc::clone(&heard);
    thread::Builder::new().spawn(move || {
        let _end = end;
        let mut piece = SecretBytes::from(vec![0; PIPE_BYTES]);
        while let Ok(length @ 1..) = stream.read(&mut piece) {
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            let room = max_bytes - all.len();
            all.extend_from_slice(&piece[..length.min(room)]);
            // Whoever never stops printing is not listened to for ever.
            if length > room && !drops_rest {
                break;
            }
        }
    })?;
    Ok(heard)
}

fn heard(stream: Option<Heard>) -> SecretBytes {
    stream.map(|heard| std::mem::take(&mut *heard.lock().unwrap_or_else(PoisonError::into_inner))).unwrap_or_default()
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
