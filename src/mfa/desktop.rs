//! A window of the desktop: zenity or kdialog on Linux, osascript on macOS, PowerShell on Windows. Only where a display
//! is really there.

use super::request::{Answer, Question, until};
use super::without_secrets;
use crate::secret::{Secret, SecretBytes};
use crate::world::World;
use std::ffi::OsString;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// A code and what may surround it.
const MAX_OUTPUT_BYTES: u64 = 4096;

/// Asks in the first kind of window that can be had.
pub fn ask(question: &Question, world: &World) -> Answer {
    // keyrole ends the waiting; this is for a window that has outlived it.
    let seconds = question.deadline.saturating_duration_since(Instant::now()).as_secs() + 2;
    let text = match &question.notice {
        Some(notice) => format!("{notice}\n\n{}", question.text),
        None => question.text.clone(),
    };
    for (program, arguments) in windows(&text, seconds, world) {
        let mut command = without_secrets(Command::new(program));
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        // The text goes by the environment where a script would have to quote it.
        command.env("KEYROLE_QUESTION", &text);
        if let Ok(mut child) = command.spawn() {
            let stdout = child.stdout.take();
            let read = move || {
                let mut text = SecretBytes::with_capacity(MAX_OUTPUT_BYTES as usize);
                let read = stdout.map(|stdout| stdout.take(MAX_OUTPUT_BYTES).read_to_end(&mut text));
                match read {
                    Some(Ok(_)) => Answer::Text(Secret::new(String::from_utf8_lossy(&text))),
                    _ => Answer::Cancelled,
                }
            };
            return ended(until(question.deadline, read), child);
        }
    }
    Answer::NotHere("there is no program here that opens a window (zenity, kdialog)".to_owned())
}

/// Puts what was printed and how the program ended together.
fn ended(answer: Answer, mut child: Child) -> Answer {
    /// zenity's own end of waiting.
    const ZENITY_TIMEOUT: i32 = 5;
    let is_over = matches!(answer, Answer::TimedOut | Answer::Interrupted(_));
    if is_over {
        // If it has just ended, there is nothing to kill.
        let _ = child.kill();
    }
    match child.wait().ok().and_then(|status| status.code()) {
        _ if is_over => answer,
        // Whoever answers nothing ends a line; this program, a stand-in for another, has asked nobody.
        Some(0) if matches!(&answer, Answer::Text(text) if text.expose().is_empty()) => {
            Answer::NotHere("no window was opened".to_owned())
        }
        Some(0) => answer,
        Some(ZENITY_TIMEOUT) => Answer::TimedOut,
        _ => Answer::Cancelled,
    }
}

/// Gives the programs that open a window, with their arguments, the likeliest first.
#[cfg(not(any(windows, target_os = "macos")))]
fn windows(text: &str, seconds: u64, world: &World) -> Vec<(&'static str, Vec<OsString>)> {
    let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
    // zenity reads markup in its text.
    let markup = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let zenity = ["--entry", "--title=keyrole", &format!("--timeout={seconds}"), &format!("--text={markup}")];
    let zenity = ("zenity", words(&zenity));
    let kdialog = ("kdialog", words(&["--title", "keyrole", "--inputbox", text]));
    let is_kde = world.var("XDG_CURRENT_DESKTOP").is_some_and(|desktop| desktop.contains("KDE"));
    if is_kde { vec![kdialog, zenity] } else { vec![zenity, kdialog] }
}

#[cfg(target_os = "macos")]
fn windows(_text: &str, seconds: u64, _world: &World) -> Vec<(&'static str, Vec<OsString>)> {
    let script = format!(
        "text returned of (display dialog (system attribute \"KEYROLE_QUESTION\") default answer \"\" \
         with title \"keyrole\" giving up after {seconds})"
    );
    vec![("osascript", vec!["-e".into(), script.into()])]
}

#[cfg(windows)]
fn windows(_text: &str, _seconds: u64, _world: &World) -> Vec<(&'static str, Vec<OsString>)> {
    let script = "Add-Type -AssemblyName Microsoft.VisualBasic; \
                  $code = [Microsoft.VisualBasic.Interaction]::InputBox($env:KEYROLE_QUESTION, 'keyrole'); \
                  if ($code) { $code } else { exit 1 }";
    vec![("powershell.exe", vec!["-NoProfile".into(), "-NonInteractive".into(), "-Command".into(), script.into()])]
}

/// Tells whether a display answers, so that no program waits for one that is gone. Where the system has but one, it is
/// there.
#[cfg(not(any(windows, target_os = "macos")))]
pub fn has_display(world: &World) -> bool {
    let wayland = || {
        let name = world.var("WAYLAND_DISPLAY")?;
        let dir = world.var("XDG_RUNTIME_DIR").unwrap_or_default();
        answers(&std::path::Path::new(&dir).join(name)).then_some(())
    };
    wayland().or_else(|| world.var("DISPLAY").filter(|display| x_answers(display)).map(|_| ())).is_some()
}

#[cfg(any(windows, target_os = "macos"))]
pub fn has_display(_world: &World) -> bool {
    true
}

#[cfg(not(any(windows, target_os = "macos")))]
fn answers(socket: &std::path::Path) -> bool {
    let (socket, (sender, connected)) = (socket.to_owned(), std::sync::mpsc::channel());
    // A display that hangs keeps its callers waiting for as long as it does.
    let connect = move || sender.send(std::os::unix::net::UnixStream::connect(socket).is_ok());
    std::thread::Builder::new().spawn(connect).is_ok() && connected.recv_timeout(PATIENCE) == Ok(true)
}

/// A display that is farther away than this is none to open a window on.
#[cfg(not(any(windows, target_os = "macos")))]
const PATIENCE: std::time::Duration = std::time::Duration::from_millis(300);

/// Looks behind `DISPLAY`: `:0` is a socket of this machine, `localhost:10.0` one of ssh's.
#[cfg(not(any(windows, target_os = "macos")))]
fn x_answers(display: &str) -> bool {
    use std::net::{TcpStream, ToSocketAddrs};
    /// X servers listen from this port on.
    const FIRST_PORT: u16 = 6000;
    let Some((host, number)) = display.rsplit_once(':') else { return false };
    let Ok(number) = number.split('.').next().unwrap_or_default().parse::<u16>() else { return false };
    if host.is_empty() || host == "unix" {
        return answers(std::path::Path::new(&format!("/tmp/.X11-unix/X{number}")));
    }
    let Some(port) = FIRST_PORT.checked_add(number) else { return false };
    let addresses = (host, port).to_socket_addrs().into_iter().flatten();
    addresses.take(2).any(|address| TcpStream::connect_timeout(&address, PATIENCE).is_ok())
}
