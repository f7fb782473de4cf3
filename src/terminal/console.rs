//! The console of Windows, as a dialogue needs it: lines until a deadline, Ctrl-C, modes. It has no foreground, and no
//! signals but Ctrl-C.

use super::{Event, read};
use crate::secret::SecretBytes;
use crate::sys::console;
use std::fs::File;
use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How often Ctrl-C is looked for while nothing is typed; nobody notices a tenth of a second.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Why a console that is there is none to ask on.
pub const NOT_OURS: &str = "its console has no window that anybody sees";

type Typed = Receiver<io::Result<SecretBytes>>;

/// The line that a thread waits for. A read cannot be taken back: one that nobody waits for any more is for the next
/// question.
static BEING_TYPED: Mutex<Option<Typed>> = Mutex::new(None);

/// Tells whether somebody can see the console. A program that is run "without a window", as .NET does it, has one that
/// nobody sees.
pub fn is_foreground(_console: &File) -> bool {
    console::has_window()
}

/// Nobody has to lend what does not exist.
pub fn lender(_console: &File) -> Option<()> {
    None
}

/// As long as it lives, Ctrl-C does not end the process.
pub struct Interrupts(());

impl Interrupts {
    /// Begins to catch it.
    pub fn catch() -> io::Result<Self> {
        console::catch_interrupts(true).map(Self)
    }

    /// Gives the signal that has come.
    pub fn caught(&self) -> Option<i32> {
        console::was_interrupted().then_some(console::INTERRUPT)
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        // There is nobody left to tell if it fails.
        let _ = console::catch_interrupts(false);
    }
}

/// Ctrl-C and modes for as long as a prompt is open; both as before when it is dropped.
pub struct Watch {
    restore: Option<(File, u32)>,
    interrupts: Interrupts,
}

impl Watch {
    pub fn start(console: &File, is_echoed: bool) -> io::Result<Self> {
        Ok(Self { restore: make_sane(console, is_echoed)?, interrupts: Interrupts::catch()? })
    }

    pub fn wait(&self, console: &File, deadline: Instant) -> io::Result<Event> {
        let mut being_typed = BEING_TYPED.lock().unwrap_or_else(PoisonError::into_inner);
        let typed = match being_typed.take() {
            Some(typed) => typed,
            None => start_reading(console)?,
        };
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let answer = typed.recv_timeout(left.min(LOOK_AGAIN));
            if matches!(&answer, Ok(Ok(bytes)) if bytes.is_empty()) {
                // Ctrl-C ends the read first, and is told on a thread of its own after that.
                thread::sleep(LOOK_AGAIN);
            }
            let event = match answer {
                _ if self.interrupts.caught().is_some() => Ok(Event::Signal(console::INTERRUPT)),
                Ok(bytes) => return bytes.map(Event::Input),
                Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("the reading thread has failed")),
                Err(RecvTimeoutError::Timeout) if left.is_zero() => Ok(Event::Deadline),
                Err(RecvTimeoutError::Timeout) => continue,
            };
            *being_typed = Some(typed);
            return event;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some((console, mode)) = self.restore.take() {
            // There is nobody left to tell if it fails.
            let _ = console::set_mode(&console, mode);
        }
    }
}

fn start_reading(console: &File) -> io::Result<Typed> {
    let (sender, typed) = mpsc::sync_channel(1);
    let console = console.try_clone()?;
    // The receiver is kept for as long as the process lives.
    thread::Builder::new().spawn(move || sender.send(read_line(&console)))?;
    Ok(typed)
}

/// Reads a line; one that begins with Ctrl-Z is the end of input, wherever the system leaves that to the reader.
fn read_line(console: &File) -> io::Result<SecretBytes> {
    const CTRL_Z: u8 = 0x1a;
    let line = read(console)?;
    Ok(if line.first() == Some(&CTRL_Z) { SecretBytes::default() } else { line })
}

/// Makes the console read lines, and echo them or not, as a program before us may have left it in another mode.
fn make_sane(console: &File, is_echoed: bool) -> io::Result<Option<(File, u32)>> {
    let before = console::mode(console)?;
    let sane = if is_echoed { before | console::LINES } else { (before | console::LINES) & !console::ECHO };
    if sane == before {
        return Ok(None);
    }
    console::set_mode(console, sane)?;
    Ok(Some((console.try_clone()?, before)))
}
