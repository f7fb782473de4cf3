//! `keyrole status --watch`: draws a picture again and again on a screen of its own, which it leaves as it was.

use crate::error::{Error, Result};
use crate::output;
use std::time::Duration;

/// Often enough for spans that are told in minutes.
const EVERY: Duration = Duration::from_secs(2);

/// Draws what `picture` gives until a signal ends the process, which Ctrl-C does.
///
/// # Errors
/// stdout is no terminal, or has gone.
pub fn run(picture: impl Fn() -> String) -> Result<()> {
    if output::terminal_size().is_none() {
        return Err(Error::usage("`--watch` needs a terminal on standard output").hint("leave it out, or use `--json`"));
    }
    let signals = os::Signals::catch().map_err(|error| Error::failed(format!("cannot watch: {error}")))?;
    let mut screen = Screen::enter()?;
    loop {
        draw(&picture())?;
        if let os::Wake::Signal(signal) = signals.wait(EVERY) {
            drop(screen);
            os::default(signal);
            // It was Ctrl-Z, and somebody has continued the process.
            screen = Screen::enter()?;
        }
    }
}

/// Draws over the last picture, line by line, so that nothing flickers.
fn draw(picture: &str) -> Result<()> {
    let (columns, rows) = output::terminal_size().unwrap_or((usize::MAX, usize::MAX));
    let mut text = "\x1b[H".to_owned();
    for (index, line) in picture.lines().take(rows).enumerate() {
        // After the last line there is no newline, which would scroll.
        text.push_str(if index > 0 { "\r\n" } else { "" });
        text.extend(line.chars().take(columns));
        text.push_str("\x1b[K");
    }
    text.push_str("\x1b[J");
    output::print(text.as_bytes())
}

/// The terminal's other screen, without a cursor.
struct Screen;

impl Screen {
    fn enter() -> Result<Self> {
        output::print(b"\x1b[?1049h\x1b[?25l")?;
        Ok(Self)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // If the terminal has gone, there is nothing to restore.
        let _ = output::print(b"\x1b[?25h\x1b[?1049l");
    }
}

#[cfg(unix)]
mod os {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGWINCH};
    use std::io::{self, Read};
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    /// What ended the waiting.
    pub enum Wake {
        /// It is time for another picture, or the terminal has another size.
        Again,
        /// This signal wants the process to end, or to stop for now.
        Signal(i32),
    }

    /// Signals that are told instead of ending the process.
    pub struct Signals {
        wake: UnixStream,
        caught: Arc<AtomicUsize>,
    }

    impl Signals {
        pub fn catch() -> io::Result<Self> {
            let (wake, waker) = UnixStream::pair()?;
            wake.set_nonblocking(true)?;
            let caught = Arc::new(AtomicUsize::new(0));
            for signal in [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP] {
                signal_hook::flag::register_usize(signal, Arc::clone(&caught), signal as usize)?;
                signal_hook::low_level::pipe::register(signal, waker.try_clone()?)?;
            }
            signal_hook::low_level::pipe::register(SIGWINCH, waker)?;
            Ok(Self { wake, caught })
        }

        pub fn wait(&self, time: Duration) -> Wake {
            let time = Timespec::try_from(time).ok();
            // A signal or the end of the time: what it was is looked at below.
            let _ = poll(&mut [PollFd::new(&self.wake, PollFlags::IN)], time.as_ref());
            let _ = (&self.wake).read(&mut [0; 64]);
            match self.caught.swap(0, Ordering::SeqCst) as i32 {
                0 => Wake::Again,
                signal => Wake::Signal(signal),
            }
        }
    }

    /// Does what the signal would have done.
    pub fn default(signal: i32) {
        // It fails for no signal that is caught here.
        let _ = signal_hook::low_level::emulate_default_handler(signal);
    }
}

/// Ctrl-C ends the process here, and the console shows its own screen again.
#[cfg(windows)]
mod os {
    use std::io;
    use std::time::Duration;

    pub enum Wake {
        Again,
        #[expect(dead_code, reason = "only Unix has it")]
        Signal(i32),
    }

    pub struct Signals;

    impl Signals {
        pub fn catch() -> io::Result<Self> {
            Ok(Self)
        }

        pub fn wait(&self, time: Duration) -> Wake {
            std::thread::sleep(time);
            Wake::Again
        }
    }

    pub fn default(_signal: i32) {}
}
