//! Owns what somebody is asked, whichever way, and when an answer is a code that can be used.

use super::{TokenCode, is_still_shown, seconds_to_next_code};
use crate::caller;
use crate::error::{Error, Kind, Printable, Result};
use crate::lock::UsedCode;
use crate::plan::{Mfa, Plan};
use crate::secret::Secret;
use crate::terminal::Interrupts;
use crate::world::World;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// A code that is wanted of somebody, and what is known about earlier ones.
pub struct Request<'a> {
    pub plan: &'a Plan,
    pub mfa: &'a Mfa,
    /// What to tell about an earlier code.
    pub rejected: Option<&'a str>,
    /// The last code that AWS took.
    pub used: Option<&'a UsedCode>,
    pub patience: Duration,
    pub world: &'a World,
}

impl Request<'_> {
    /// Says who asks, for which profile and which role in which account.
    pub fn who(&self) -> String {
        let program = caller::program().map_or_else(String::new, |caller| format!(" for {caller}"));
        let role = self.plan.role();
        let role = role
            .map_or_else(String::new, |role| format!(", role {} in account {}", role.arn.name(), role.arn.account()));
        format!("keyrole{}: profile {}{}", Printable(&program), Printable(&self.plan.profile), Printable(&role))
    }

    pub fn question(&self) -> String {
        format!("MFA code for {}", Printable(&self.mfa.serial))
    }

    /// Says what to do if there was no answer; some programs do not wait until somebody has found the code.
    pub fn hint(&self) -> String {
        let name = super::quoted(&self.plan.profile);
        format!("run the command again and type the code, or `keyrole login {name}` before it")
    }

    /// Asks until the answer is a code that can be used. `ask` gets what is to be said about the answer before.
    pub fn code(&self, ask: &mut dyn FnMut(&str) -> Result<Secret>) -> Result<TokenCode> {
        let now = || self.world.now();
        let mut notice = self.rejected.map_or_else(String::new, |why| Printable(why).to_string());
        if notice.is_empty() && self.used.is_some_and(|used| is_still_shown(used, now())) {
            notice = format!("wait for the next code ({} s)", seconds_to_next_code(now()));
        }
        loop {
            let answer = ask(&notice)?;
            notice = match TokenCode::parse(answer.expose()) {
                Some(code) if code.is_used(self.used, now()) => {
                    let seconds = seconds_to_next_code(now());
                    format!("this code was already used; wait for the next code ({seconds} s)")
                }
                Some(code) => return Ok(code),
                None => "a code is six digits".to_owned(),
            };
        }
    }

    /// Asks in a window. Gives the reason if none can be opened.
    pub fn code_in(&self, ask: &dyn Fn(&Question) -> Answer) -> std::result::Result<Result<TokenCode>, String> {
        let deadline = Instant::now() + self.patience;
        let mut not_here = None;
        let cancelled = |what: &str| Error::new(Kind::Cancelled, what).hint(self.hint());
        let code = self.code(&mut |notice| {
            let notice = (!notice.is_empty()).then(|| notice.to_owned());
            let text = format!("{}\n{}", self.who(), self.question());
            match ask(&Question { text, notice, deadline }) {
                Answer::Text(text) => Ok(text),
                Answer::Cancelled => Err(cancelled("the prompt for the MFA code was cancelled")),
                Answer::Interrupted(signal) => {
                    Err(cancelled("the prompt for the MFA code was cancelled").by_signal(signal))
                }
                Answer::TimedOut => {
                    Err(cancelled(&format!("nobody gave the MFA code within {} s", self.patience.as_secs())))
                }
                Answer::NotHere(why) => {
                    let error = Error::new(Kind::PersonNeeded, &why);
                    not_here = Some(why);
                    Err(error)
                }
            }
        });
        not_here.map_or(Ok(code), Err)
    }
}

/// What a window shows.
pub struct Question {
    pub text: String,
    pub notice: Option<String>,
    pub deadline: Instant,
}

/// What came of a window.
pub enum Answer {
    Text(Secret),
    Cancelled,
    /// By this signal, which Ctrl-C sends.
    Interrupted(i32),
    TimedOut,
    /// It cannot be opened here, and why.
    NotHere(String),
}

/// Waits for an answer in a thread of its own, until the deadline or a signal.
pub fn until(deadline: Instant, answer: impl FnOnce() -> Answer + Send + 'static) -> Answer {
    /// How often signals are looked for; nobody notices a tenth of a second.
    const LOOK_AGAIN: Duration = Duration::from_millis(100);
    let (sender, receiver) = mpsc::channel();
    let waiting = Interrupts::catch().and_then(|interrupts| {
        // The receiver has gone if nobody waits any more.
        thread::Builder::new().spawn(move || drop(sender.send(answer())))?;
        Ok(interrupts)
    });
    let interrupts = match waiting {
        Ok(interrupts) => interrupts,
        Err(error) => return Answer::NotHere(format!("nothing can wait for a window: {error}")),
    };
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let answer = receiver.recv_timeout(left.min(LOOK_AGAIN));
        // What the signal has ended as well has no answer of its own.
        if let Some(signal) = interrupts.caught() {
            return Answer::Interrupted(signal);
        }
        match answer {
            Ok(answer) => return answer,
            Err(RecvTimeoutError::Timeout) if !left.is_zero() => {}
            Err(_) => return Answer::TimedOut,
        }
    }
}
