//! Owns the MFA code: what one looks like and the order of the ways to get it. One file per way of asking.

mod process;
mod terminal;

use crate::error::{Error, Kind, Result};
use crate::plan::{Mfa, Plan, PromptChoice};
use crate::secret::Secret;

/// Six digits, checked. Good for one use.
#[derive(Debug, Clone)]
pub struct TokenCode(Secret);

impl TokenCode {
    /// Checks what was typed or printed; spaces between the digits are allowed.
    pub fn parse(text: &str) -> Option<Self> {
        let code: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let is_code = code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit());
        is_code.then(|| Self(Secret::new(code)))
    }

    /// Shows the code to the call that uses it up.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// Gets codes for one run of the program, in this order: the command line, `mfa_process`, the terminal.
pub struct Asker {
    given: Option<TokenCode>,
    may_prompt: bool,
}

/// Where a code came from; only a person can give a better one after it was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// `--mfa-code`
    CommandLine,
    /// `mfa_process`
    Process,
    /// Somebody typed it.
    Person,
}

impl Asker {
    /// Makes an asker. `given` is the code of the command line; without `may_prompt` nobody is asked.
    pub fn new(given: Option<TokenCode>, may_prompt: bool) -> Self {
        Self { given, may_prompt }
    }

    /// Gets a code for the device. `rejected` is what to tell about an earlier code.
    ///
    /// # Errors
    /// `PersonNeeded` if somebody would have to be asked and cannot be, or did not answer.
    pub fn code(&mut self, plan: &Plan, mfa: &Mfa, rejected: Option<&str>) -> Result<(TokenCode, Origin)> {
        if let Some(code) = self.given.take() {
            return Ok((code, Origin::CommandLine));
        }
        if let Some(command) = &mfa.process {
            return Ok((process::code(plan, command)?, Origin::Process));
        }
        let needed = |why: &str| {
            Error::new(Kind::PersonNeeded, format!("profile `{}` needs an MFA code, but {why}", plan.profile))
                .hint(format!("run `keyrole login {}` in a terminal, then retry", quoted(&plan.profile)))
        };
        if !self.may_prompt {
            return Err(needed("it was told not to ask"));
        }
        if plan.prompt == PromptChoice::None {
            return Err(needed("`keyrole_prompt` or `KEYROLE_PROMPT` forbids to ask"));
        }
        match terminal::open() {
            Ok(terminal) => Ok((terminal.code(plan, mfa, rejected)?, Origin::Person)),
            Err(why) => Err(needed(why)),
        }
    }
}

/// Quotes a profile's name for a command line in a hint, where it needs that.
pub fn quoted(name: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_.@/+:=,".contains(c);
    if !name.is_empty() && !name.starts_with('-') && name.chars().all(is_plain) {
        name.to_owned()
    } else {
        format!("'{}'", name.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_six_digits() {
        assert_eq!(TokenCode::parse(" 123 456\n").unwrap().expose(), "123456");
        for wrong in ["", "12345", "1234567", "12345a", "１２３４５６", "-12345"] {
            assert!(TokenCode::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn names_are_quoted_for_the_shell_where_they_need_it() {
        assert_eq!(quoted("prod"), "prod");
        assert_eq!(quoted("name with spaces"), "'name with spaces'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
