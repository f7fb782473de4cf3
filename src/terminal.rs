//! Owns the terminal device: opening it, saying something there, asking for a line. It never knows what the answer
//! is for.
//!
//! Rules of every dialogue:
//! - It never touches stdin, stdout or stderr, which belong to the SDK that runs us.
//! - It asks only in the terminal's foreground; reading from the background would stop the process. It takes the
//!   foreground only from programs above it that wait for it, and gives it back.
//! - It looks at the foreground again before it reads, and goes when that is no longer ours: what is typed then is
//!   for the shell.
//! - The terminal's modes are left as they were, however the dialogue ends.

use crate::error::{Error, Kind, Result};
use crate::secret::{Secret, SecretBytes};
use crate::world::World;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

#[cfg(windows)]
mod console;
#[cfg(windows)]
use console as os;

pub use os::Interrupts;

/// The longest line that is looked at; the ARN of a role with a path can have some 600 bytes.
const MAX_LINE_BYTES: usize = 1024;

/// The terminal that this process was started from.
pub struct Terminal {
    input: File,
    output: File,
}

/// Opens the terminal device in whose foreground we are; says why there is none.
pub fn open() -> std::result::Result<Terminal, &'static str> {
    open_where(os::is_foreground)
}

/// Opens the terminal device to ask on, in whose foreground we are or can become; says why there is none.
pub fn open_to_ask() -> std::result::Result<Terminal, &'static str> {
    open_where(|terminal| os::is_foreground(terminal) || os::lender(terminal).is_some())
}

fn open_where(is_ours: fn(&File) -> bool) -> std::result::Result<Terminal, &'static str> {
    const NONE: &str = "there is no terminal to ask on";
    let (input, output) = if cfg!(windows) { ("CONIN$", "CONOUT$") } else { ("/dev/tty", "/dev/tty") };
    let open = |path, options: &mut OpenOptions| options.open(path).map_err(|_| NONE);
    let terminal = Terminal {
        input: open(input, OpenOptions::new().read(true).write(true))?,
        output: open(output, OpenOptions::new().read(true).write(true))?,
    };
    if is_ours(&terminal.input) { Ok(terminal) } else { Err(os::NOT_OURS) }
}

impl Terminal {
    /// Gives it to a program that asks by itself, as stdin and stderr.
    pub fn into_stdio(self) -> (Stdio, Stdio) {
        (self.input.into(), self.output.into())
    }

    /// Writes to the terminal.
    ///
    /// # Errors
    /// The terminal has gone.
    pub fn say(&mut self, text: &str) -> Result<()> {
        self.output.write_all(text.as_bytes()).map_err(|error| broken(&error))
    }

    /// Begins to ask for something.
    ///
    /// # Errors
    /// The terminal has gone.
    pub fn dialogue<'a>(&'a mut self, subject: &'a Subject<'_>, patience: Duration) -> Result<Dialogue<'a>> {
        self.begin(subject, patience, true)
    }

    /// Begins to ask for something that is not to be seen while it is typed.
    ///
    /// # Errors
    /// The terminal has gone.
    pub fn hidden_dialogue<'a>(&'a mut self, subject: &'a Subject<'_>, patience: Duration) -> Result<Dialogue<'a>> {
        self.begin(subject, patience, false)
    }

    fn begin<'a>(&'a mut self, subject: &'a Subject<'_>, patience: Duration, is_echoed: bool) -> Result<Dialogue<'a>> {
        let watch = os::Watch::start(&self.input, is_echoed).map_err(|error| broken(&error))?;
        Ok(Dialogue { terminal: self, watch, subject, patience, is_echoed, deadline: Instant::now() + patience })
    }
}

/// What somebody is asked for, as errors name it.
pub struct Subject<'a> {
    /// A noun: `the MFA code`.
    pub name: &'static str,
    /// What to do if it was not given.
    pub hint: &'a str,
}

/// The questions and answers about one thing. As long as it lives, a signal ends it and not the process.
pub struct Dialogue<'a> {
    terminal: &'a mut Terminal,
    watch: os::Watch,
    subject: &'a Subject<'a>,
    patience: Duration,
    is_echoed: bool,
    deadline: Instant,
}

impl Dialogue<'_> {
    /// Says `before` and the question, and gives the line that is typed.
    ///
    /// # Errors
    /// `Cancelled` if the answer is refused, does not come, or a signal ends the dialogue.
    pub fn ask(&mut self, before: &str, question: &str) -> Result<Secret> {
        self.terminal.say(&format!("{before}{question}"))?;
        let mut line = SecretBytes::with_capacity(MAX_LINE_BYTES);
        loop {
            match self.watch.wait(&self.terminal.input, self.deadline).map_err(|error| broken(&error))? {
                Event::Input(bytes) if bytes.is_empty() => {
                    self.leave_line();
                    return Err(self.cancelled("the prompt for", "was closed (end of input)"));
                }
                Event::Input(bytes) => {
                    // A line that is too long is read to its end all the same, or its rest would be the next answer.
                    let room = MAX_LINE_BYTES - line.len();
                    line.extend_from_slice(&bytes[..bytes.len().min(room)]);
                    if bytes.contains(&b'\n') {
                        if !self.is_echoed {
                            self.leave_line();
                        }
                        return Ok(Secret::new(String::from_utf8_lossy(&line)));
                    }
                }
                Event::Signal(signal) => {
                    self.leave_line();
                    return Err(self.cancelled("the prompt for", "was cancelled").by_signal(signal));
                }
                Event::Background => {
                    return Err(self.cancelled("nobody answered the prompt for", "while it was on the terminal"));
                }
                Event::Deadline => {
                    self.leave_line();
                    let limit = format!("within {} s", self.patience.as_secs());
                    return Err(self.cancelled("nobody gave", &limit));
                }
                Event::Resumed => {
                    // The shell's job messages have pushed the question away, and what was typed is lost.
                    line.clear();
                    self.terminal.say(question)?;
                }
            }
        }
    }

    /// Erases the line with the question and its answer, where the terminal can do that.
    pub fn erase_answer(&mut self, world: &World) {
        if cfg!(unix) && world.var("TERM").is_some_and(|term| term != "dumb") {
            // A terminal that has gone shows nothing any more.
            let _ = self.terminal.say("\x1b[A\r\x1b[K");
        }
    }

    /// Leaves the question's line; if the terminal has gone, nobody sees it anyway.
    fn leave_line(&mut self) {
        let _ = self.terminal.say("\n");
    }

    fn cancelled(&self, before: &str, after: &str) -> Error {
        Error::new(Kind::Cancelled, format!("{before} {} {after}", self.subject.name)).hint(self.subject.hint)
    }
}

fn broken(error: &io::Error) -> Error {
    Error::new(Kind::PersonNeeded, format!("cannot ask on the terminal: {error}"))
}

/// What ended the waiting.
#[cfg_attr(windows, expect(dead_code, reason = "a console has no foreground, and nothing is stopped on it"))]
enum Event {
    /// What was typed; nothing at the end of input.
    Input(SecretBytes),
    /// This signal wants the process to end.
    Signal(i32),
    /// The terminal's foreground is no longer ours.
    Background,
    /// Nobody answered in time.
    Deadline,
    /// The process was stopped and goes on.
    Resumed,
}

/// Reads what there is on the terminal.
fn read(mut terminal: &File) -> io::Result<SecretBytes> {
    let mut bytes = SecretBytes::from(vec![0; MAX_LINE_BYTES]);
    let length = terminal.read(&mut bytes)?;
    bytes.truncate(length);
    Ok(bytes)
}

#[cfg(unix)]
mod os {
    use super::{Event, read};
    use crate::caller;
    use crate::sys::set_foreground;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::process::{Pid, Signal, getpgrp, kill_process_group};
    use rustix::termios::{self, InputModes, LocalModes, OptionalActions, OutputModes, SpecialCodeIndex, Termios};
    use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    use std::fs::File;
    use std::io;
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::sync::{Arc, OnceLock};
    use std::time::{Duration, Instant};

    /// How often the foreground is looked at while nothing happens; nobody notices a tenth of a second.
    const LOOK_AGAIN: Duration = Duration::from_millis(100);

    /// In place of the key that stops a job: none does (`_POSIX_VDISABLE` of Linux and macOS differ).
    const NO_KEY: u8 = if cfg!(target_os = "linux") { 0 } else { 0xff };

    /// Why a terminal that is there is none to ask on.
    pub const NOT_OURS: &str = "this is a background job of its terminal, which cannot be asked";

    pub fn is_foreground(terminal: &File) -> bool {
        termios::tcgetpgrp(terminal).is_ok_and(|group| group == getpgrp())
    }

    /// Gives the process group in the foreground if it would lend that to us.
    pub fn lender(terminal: &File) -> Option<Pid> {
        let group = termios::tcgetpgrp(terminal).ok()?;
        caller::is_awaited_in(group.as_raw_nonzero().get().unsigned_abs()).then_some(group)
    }

    /// The signals that end a prompt. Registered once for the process, as they cannot be unregistered cleanly.
    struct Signals {
        wake: UnixStream,
        caught: Arc<AtomicUsize>,
        /// While it is true the signals do what they always do.
        is_over: Arc<AtomicBool>,
        was_resumed: Arc<AtomicBool>,
    }

    fn signals() -> io::Result<&'static Signals> {
        static SIGNALS: OnceLock<Signals> = OnceLock::new();
        if let Some(signals) = SIGNALS.get() {
            return Ok(signals);
        }
        let (wake, waker) = UnixStream::pair()?;
        let (caught, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(true)));
        for signal in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] {
            signal_hook::flag::register_conditional_default(signal, Arc::clone(&is_over))?;
            signal_hook::flag::register_usize(signal, Arc::clone(&caught), signal as usize)?;
            signal_hook::low_level::pipe::register(signal, waker.try_clone()?)?;
        }
        let was_resumed = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(SIGCONT, Arc::clone(&was_resumed))?;
        Ok(SIGNALS.get_or_init(|| Signals { wake, caught, is_over, was_resumed }))
    }

    /// As long as it lives, the signals that end a prompt do not end the process.
    pub struct Interrupts(&'static Signals);

    impl Interrupts {
        /// Begins to catch them.
        pub fn catch() -> io::Result<Self> {
            let signals = signals()?;
            signals.is_over.store(false, Ordering::SeqCst);
            Ok(Self(signals))
        }

        /// Gives the signal that has come.
        pub fn caught(&self) -> Option<i32> {
            let signal = self.0.caught.load(Ordering::SeqCst);
            (signal != 0).then_some(signal as i32)
        }
    }

    impl Drop for Interrupts {
        fn drop(&mut self) {
            // Whoever was interrupted is on the way out, and some callers send the signal once more.
            self.0.is_over.store(self.caught().is_none(), Ordering::SeqCst);
        }
    }

    /// Signals, modes and foreground for as long as a prompt is open; all as before when it is dropped.
    pub struct Watch {
        interrupts: Interrupts,
        is_echoed: bool,
        lender: Option<Pid>,
        restore: Option<(File, Termios)>,
    }

    impl Watch {
        pub fn start(terminal: &File, is_echoed: bool) -> io::Result<Self> {
            let mut watch = Self { interrupts: Interrupts::catch()?, is_echoed, lender: None, restore: None };
            if !is_foreground(terminal) {
                watch.lender = Some(lender(terminal).ok_or_else(|| io::Error::other(NOT_OURS))?);
                set_foreground(terminal, getpgrp())?;
            }
            watch.restore = watch.make_sane(terminal)?;
            Ok(watch)
        }

        pub fn wait(&self, terminal: &File, deadline: Instant) -> io::Result<Event> {
            loop {
                if let Some(signal) = self.interrupts.caught() {
                    return Ok(Event::Signal(signal));
                }
                if !is_foreground(terminal) {
                    return Ok(Event::Background);
                }
                if self.interrupts.0.was_resumed.swap(false, Ordering::SeqCst) {
                    // The shell has put the terminal into a mode of its own meanwhile.
                    self.make_sane(terminal)?;
                    return Ok(Event::Resumed);
                }
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Ok(Event::Deadline);
                }
                let mut sources =
                    [PollFd::new(terminal, PollFlags::IN), PollFd::new(&self.interrupts.0.wake, PollFlags::IN)];
                let nap = Timespec::try_from(left.min(LOOK_AGAIN)).map_err(io::Error::other)?;
                match poll(&mut sources, Some(&nap)) {
                    Ok(_) | Err(rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
                let is_ready = !sources[0].revents().is_empty();
                if is_ready && self.interrupts.caught().is_none() && is_foreground(terminal) {
                    match read(terminal) {
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        read => return read.map(Event::Input),
                    }
                }
            }
        }

        /// Makes the terminal read lines, and echo them or not, as a program before us may have left it in another mode.
        fn make_sane(&self, terminal: &File) -> io::Result<Option<(File, Termios)>> {
            let before = termios::tcgetattr(terminal)?;
            let mut sane = before.clone();
            sane.local_modes |= LocalModes::ICANON | LocalModes::ISIG | LocalModes::IEXTEN;
            sane.local_modes.set(LocalModes::ECHO, self.is_echoed);
            sane.input_modes |= InputModes::ICRNL;
            sane.output_modes |= OutputModes::OPOST | OutputModes::ONLCR;
            if self.lender.is_some() {
                // No shell waits for a job that is stopped here: the terminal would belong to nobody.
                sane.special_codes[SpecialCodeIndex::VSUSP] = NO_KEY;
            }
            let modes = |of: &Termios| {
                (of.local_modes, of.input_modes, of.output_modes, of.special_codes[SpecialCodeIndex::VSUSP])
            };
            if self.lender.is_none() && modes(&sane) == modes(&before) {
                return Ok(None);
            }
            termios::tcsetattr(terminal, OptionalActions::Now, &sane)?;
            Ok(Some((terminal.try_clone()?, before)))
        }
    }

    impl Drop for Watch {
        fn drop(&mut self) {
            // From the background this would stop the process; there the shell has set its own modes already.
            if let Some((terminal, modes)) = self.restore.take()
                && is_foreground(&terminal)
            {
                // There is nobody left to tell if it fails.
                let _ = termios::tcsetattr(&terminal, OptionalActions::Now, &modes);
                if let Some(lender) = self.lender {
                    let _ = set_foreground(&terminal, lender);
                    // Ctrl-C was meant for the script as well, which has not seen it.
                    if self.interrupts.caught() == Some(SIGINT) {
                        let _ = kill_process_group(lender, Signal::INT);
                    }
                }
            }
        }
    }
}
