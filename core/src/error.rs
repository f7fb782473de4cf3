//! Owns the one error type, its hint and its exit code. Never prints.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The result of everything that can fail for a user to see.
pub type Result<T> = std::result::Result<T, Error>;

/// Says what kind of failure this is; each kind has one exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Something did not work: the network, the keyring, another program. Exit 1.
    Failed,
    /// AWS could not be reached, or answered with trouble of its own; another try may succeed. Exit 1.
    Unreachable,
    /// The command line or a configuration file is wrong. Exit 2.
    Usage,
    /// `status` found nothing valid in the cache. Exit 3.
    NothingCached,
    /// A person is needed and cannot be asked. Exit 4.
    PersonNeeded,
    /// A person was asked and did not answer, or did not want to. Exit 4.
    Cancelled,
    /// AWS refused. Exit 5.
    Refused,
    /// AWS does not know, or no longer accepts, the credentials that made the call. Exit 5.
    CallerRejected,
    /// AWS rejected the MFA code; asking again may help. Exit 5.
    WrongCode,
}

/// A failure as a user sees it: what failed, why, and what to do next.
#[derive(Debug, Clone)]
pub struct Error {
    kind: Kind,
    message: String,
    hint: Option<String>,
    signal: Option<i32>,
}

impl Error {
    /// Makes an error of the given kind. The message is lower case, without a full stop.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: cut(message.into()), hint: None, signal: None }
    }

    /// Makes an error for a wrong command line or configuration (exit 2).
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// Makes an error for something that did not work (exit 1).
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, message)
    }

    /// Adds what the user can do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(cut(hint.into()));
        self
    }

    /// Marks the error as caused by a signal, by which the process then ends.
    pub fn by_signal(mut self, signal: i32) -> Self {
        self.signal = Some(signal);
        self
    }

    /// Puts more context before the message.
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = cut(format!("{context}: {}", self.message));
        self
    }

    /// Tells what kind of failure it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Gives the message without the hint, as it is logged.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Gives the hint, if there is one.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Gives the signal that caused the failure, if one did.
    pub fn signal(&self) -> Option<i32> {
        self.signal
    }

    /// Gives the process's exit code for this failure.
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Failed | Kind::Unreachable => 1,
            Kind::Usage => 2,
            Kind::NothingCached => 3,
            Kind::PersonNeeded | Kind::Cancelled => 4,
            Kind::Refused | Kind::CallerRejected | Kind::WrongCode => 5,
        }
    }
}

/// Cuts a message that is longer than anybody reads. Some SDKs do not read what a helper says before it has ended, and
/// a pipe holds no more than 64 KiB.
fn cut(mut message: String) -> String {
    const MAX_BYTES: usize = 2000;
    if message.len() > MAX_BYTES {
        message.truncate(message.floor_char_boundary(MAX_BYTES));
        message.push('…');
    }
    message
}

/// Writes the one or two lines of the stderr contract, without a final newline.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "keyrole: error: {}", Printable(&self.message))?;
        match &self.hint {
            Some(hint) => write!(f, "\nkeyrole: hint: {}", Printable(hint)),
            None => Ok(()),
        }
    }
}

/// Shows text from files or the network with its control characters escaped.
///
/// Security: a profile name or a server's answer must not be able to move the cursor or forge a line.
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if c.is_control() || is_invisible(c) {
                write!(f, "{}", c.escape_default())?;
            } else {
                write!(f, "{c}")?;
            }
        }
        Ok(())
    }
}

/// Tells bidirectional controls, characters without a width and line separators, which can disguise text.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_stay_on_one_line() {
        let error = Error::usage("profile `a\u{1b}[2J\nkeyrole: error: forged`").hint("b\u{202e}c");
        assert_eq!(
            error.to_string(),
            "keyrole: error: profile `a\\u{1b}[2J\\nkeyrole: error: forged`\nkeyrole: hint: b\\u{202e}c"
        );
    }

    #[test]
    fn no_line_is_longer_than_a_pipe_can_hold() {
        let error = Error::usage("x".repeat(100_000)).hint("y".repeat(100_000));
        assert!(error.to_string().len() < 5000);
    }

    #[test]
    fn each_kind_has_its_exit_code() {
        let code = |kind| Error::new(kind, "").exit_code();
        assert_eq!(code(Kind::Failed), 1);
        assert_eq!(code(Kind::Unreachable), 1);
        assert_eq!(code(Kind::Usage), 2);
        assert_eq!(code(Kind::NothingCached), 3);
        assert_eq!(code(Kind::PersonNeeded), 4);
        assert_eq!(code(Kind::Refused), 5);
    }
}
