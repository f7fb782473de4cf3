//! The prompt on the terminal device itself.
//!
//! Rules of this dialogue:
//! - It never touches stdin, stdout or stderr, which belong to the SDK that runs us.
//! - It asks only in the terminal's foreground; reading from the background would stop the process.
//! - It looks at the foreground again before it reads, and goes when that is no longer ours: what is typed then is
//!   for the shell.
//! - The digits are echoed: a code is worthless once it is used, and people want to see what they type.
//! - The terminal's modes are left as they were, however the dialogue ends.

use super::{TokenCode, is_still_shown, seconds_to_next_code};
use crate::caller;
use crate::error::{Error, Kind, Printable, Result};
use crate::lock::UsedCode;
use crate::plan::{Mfa, Plan};
use crate::world::World;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// The longest line that is looked at; a code has six digits.
const MAX_LINE_BYTES: usize = 256;

/// The terminal that this process was started from.
pub struct Terminal {
    input: File,
    output: File,
}

/// Opens the terminal device; says why there is none to ask on.
pub fn open() -> std::result::Result<Terminal, &'static str> {
    const NONE: &str = "there is no terminal to ask on";
    let (input, output) = if cfg!(windows) { ("CONIN$", "CONOUT$") } else { ("/dev/tty", "/dev/tty") };
    let open = |path, options: &mut OpenOptions| options.open(path).map_err(|_| NONE);
    let terminal = Terminal {
        input: open(input, OpenOptions::new().read(true).write(true))?,
        output: open(output, OpenOptions::new().read(true).write(true))?,
    };
    if os::is_foreground(&terminal.input) {
        Ok(terminal)
    } else {
        Err("this is a background job of its terminal, which cannot be asked")
    }
}

impl Terminal {
    /// Gives it to a program that asks by itself, as stdin and stderr.
    pub fn into_stdio(self) -> (Stdio, Stdio) {
        (self.input.into(), self.output.into())
    }

    /// Asks for the code of a device until it has six digits that were not used before.
    ///
    /// # Errors
    /// `Cancelled` if the answer is refused, does not come, or a signal ends the dialogue.
    pub fn code(
        mut self,
        plan: &Plan,
        mfa: &Mfa,
        rejected: Option<&str>,
        used: Option<&UsedCode>,
        world: &World,
    ) -> Result<TokenCode> {
        let watch = os::Watch::start(&self.input).map_err(|error| broken(&error))?;
        let patience = Duration::from_secs(plan.patience.prompt.unsigned_abs());
        let deadline = Instant::now() + patience;
        let mut text = match rejected {
            Some(why) => format!("keyrole: {}\n", Printable(why)),
            None => introduction(plan),
        };
        if used.is_some_and(|used| is_still_shown(used, world.now())) {
            text += &format!("keyrole: wait for the next code ({} s)\n", seconds_to_next_code(world.now()));
        }
        let question = format!("MFA code for {}: ", Printable(&mfa.serial));
        loop {
            text += &question;
            self.say(&text)?;
            let line = self.line(&watch, deadline, patience, &question)?;
            match TokenCode::parse(&line) {
                Some(code) if code.is_used(used, world.now()) => {
                    let seconds = seconds_to_next_code(world.now());
                    text = format!("keyrole: this code was already used; wait for the next code ({seconds} s)\n");
                }
                Some(code) => return Ok(code),
                None => text = "keyrole: a code is six digits\n".to_owned(),
            }
        }
    }

    /// Writes to the terminal.
    ///
    /// # Errors
    /// The terminal has gone.
    pub fn say(&mut self, text: &str) -> Result<()> {
        self.output.write_all(text.as_bytes()).map_err(|error| broken(&error))
    }

    /// Reads one line, watching for signals, the deadline and the loss of the foreground.
    fn line(
        &mut self,
        watch: &os::Watch,
        deadline: Instant,
        patience: Duration,
        question: &str,
    ) -> Result<zeroize::Zeroizing<String>> {
        let mut line = zeroize::Zeroizing::new(Vec::with_capacity(MAX_LINE_BYTES));
        loop {
            match watch.wait(&self.input, deadline).map_err(|error| broken(&error))? {
                os::Event::Readable => {}
                os::Event::Signal(signal) => {
                    // The prompt's line is left; if the terminal has gone, nobody sees it anyway.
                    let _ = self.say("\n");
                    return Err(cancelled("the prompt for the MFA code was cancelled").by_signal(signal));
                }
                os::Event::Background => {
                    return Err(cancelled("nobody answered the prompt for the MFA code while it was on the terminal"));
                }
                os::Event::Deadline => {
                    let _ = self.say("\n");
                    return Err(cancelled(&format!("nobody gave the MFA code within {} s", patience.as_secs())));
                }
                os::Event::Resumed => {
                    // The shell's job messages have pushed the question away, and what was typed is lost.
                    line.clear();
                    self.say(question)?;
                    continue;
                }
            }
            let mut bytes = zeroize::Zeroizing::new([0; MAX_LINE_BYTES]);
            match self.input.read(&mut *bytes) {
                Ok(0) => {
                    let _ = self.say("\n");
                    return Err(cancelled("the prompt for the MFA code was closed (end of input)"));
                }
                Ok(length) => {
                    // A line that is too long is read to its end all the same, or its rest would be the next answer.
                    let room = MAX_LINE_BYTES - line.len();
                    line.extend_from_slice(&bytes[..length.min(room)]);
                    if bytes[..length].contains(&b'\n') {
                        return Ok(zeroize::Zeroizing::new(String::from_utf8_lossy(&line).into_owned()));
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(broken(&error)),
            }
        }
    }
}

/// Says who asks, for which profile and which role in which account.
fn introduction(plan: &Plan) -> String {
    let program = caller::program().map_or_else(String::new, |caller| format!(" for {caller}"));
    let role = plan
        .role()
        .map_or_else(String::new, |role| format!(", role {} in account {}", role.arn.name(), role.arn.account()));
    format!("keyrole{}: profile {}{}\n", Printable(&program), Printable(&plan.profile), Printable(&role))
}

fn cancelled(what: &str) -> Error {
    Error::new(Kind::Cancelled, what).hint("run the command again and type the code")
}

fn broken(error: &std::io::Error) -> Error {
    Error::new(Kind::PersonNeeded, format!("cannot ask on the terminal: {error}"))
}

#[cfg(unix)]
mod os {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::termios::{self, InputModes, LocalModes, OptionalActions, OutputModes, Termios};
    use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    use std::fs::File;
    use std::io;
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::sync::{Arc, OnceLock};
    use std::time::{Duration, Instant};

    /// How often the foreground is looked at while nothing happens; nobody notices a tenth of a second.
    const LOOK_AGAIN: Duration = Duration::from_millis(100);

    /// What ended the waiting.
    pub enum Event {
        /// There is a line to read.
        Readable,
        /// This signal wants the process to end.
        Signal(i32),
        /// The terminal's foreground is no longer ours.
        Background,
        /// Nobody answered in time.
        Deadline,
        /// The process was stopped and goes on.
        Resumed,
    }

    pub fn is_foreground(terminal: &File) -> bool {
        termios::tcgetpgrp(terminal).is_ok_and(|group| group == rustix::process::getpgrp())
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

    /// Signals and modes for as long as a prompt is open; both as before when it is dropped.
    pub struct Watch {
        signals: &'static Signals,
        restore: Option<(File, Termios)>,
    }

    impl Watch {
        pub fn start(terminal: &File) -> io::Result<Self> {
            let signals = signals()?;
            signals.is_over.store(false, Ordering::SeqCst);
            Ok(Self { signals, restore: make_sane(terminal)? })
        }

        pub fn wait(&self, terminal: &File, deadline: Instant) -> io::Result<Event> {
            loop {
                let signal = self.signals.caught.load(Ordering::SeqCst);
                if signal != 0 {
                    return Ok(Event::Signal(signal as i32));
                }
                if !is_foreground(terminal) {
                    return Ok(Event::Background);
                }
                if self.signals.was_resumed.swap(false, Ordering::SeqCst) {
                    // The shell has put the terminal into a mode of its own meanwhile.
                    make_sane(terminal)?;
                    return Ok(Event::Resumed);
                }
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Ok(Event::Deadline);
                }
                let mut sources =
                    [PollFd::new(terminal, PollFlags::IN), PollFd::new(&self.signals.wake, PollFlags::IN)];
                let nap = Timespec::try_from(left.min(LOOK_AGAIN)).map_err(io::Error::other)?;
                match poll(&mut sources, Some(&nap)) {
                    Ok(_) | Err(rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
                let is_ready = !sources[0].revents().is_empty();
                let is_signalled = self.signals.caught.load(Ordering::SeqCst) != 0;
                if is_ready && !is_signalled && is_foreground(terminal) {
                    return Ok(Event::Readable);
                }
            }
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
            }
            self.signals.is_over.store(true, Ordering::SeqCst);
        }
    }

    /// Makes the terminal read lines and echo them, as a program before us may have left it in another mode.
    fn make_sane(terminal: &File) -> io::Result<Option<(File, Termios)>> {
        let before = termios::tcgetattr(terminal)?;
        let mut sane = before.clone();
        sane.local_modes |= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG | LocalModes::IEXTEN;
        sane.input_modes |= InputModes::ICRNL;
        sane.output_modes |= OutputModes::OPOST | OutputModes::ONLCR;
        let modes = |of: &Termios| (of.local_modes, of.input_modes, of.output_modes);
        if modes(&sane) == modes(&before) {
            return Ok(None);
        }
        termios::tcsetattr(terminal, OptionalActions::Now, &sane)?;
        Ok(Some((terminal.try_clone()?, before)))
    }
}

/// A console has neither foreground groups nor signals; reading it is all there is.
#[cfg(windows)]
mod os {
    use std::fs::File;
    use std::io;
    use std::time::Instant;

    pub enum Event {
        Readable,
        #[expect(dead_code, reason = "only Unix has it")]
        Signal(i32),
        #[expect(dead_code, reason = "only Unix has it")]
        Background,
        #[expect(dead_code, reason = "only Unix has it")]
        Deadline,
        #[expect(dead_code, reason = "only Unix has it")]
        Resumed,
    }

    pub fn is_foreground(_terminal: &File) -> bool {
        true
    }

    pub struct Watch;

    impl Watch {
        pub fn start(_terminal: &File) -> io::Result<Self> {
            Ok(Self)
        }

        pub fn wait(&self, _terminal: &File, _deadline: Instant) -> io::Result<Event> {
            Ok(Event::Readable)
        }
    }
}
