//! Owns the MFA code: what one looks like and the order of the ways to get it. One file per way of asking.

mod desktop;
mod pinentry;
mod process;
mod request;
mod terminal;

use crate::error::{Error, Kind, Result};
use crate::lock::UsedCode;
use crate::plan::{Mfa, Plan, PromptChoice, Settings};
use crate::secret::Secret;
use crate::store::KEY_VARIABLE;
use crate::world::World;
use request::Request;
use sha2::{Digest, Sha256};
use std::process::Command;
use std::thread;
use std::time::Duration;

/// How long a device shows a code (RFC 6238; AWS's devices have no other).
const CODE_SECONDS: i64 = 30;
/// AWS takes a code one step early or late as well, so the same digits come from the same code for so long.
const USED_SECONDS: i64 = 3 * CODE_SECONDS;

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

    /// Makes the record that this code was used at `now`, in seconds since the Unix epoch.
    pub fn used(&self, now: i64) -> UsedCode {
        let digest = Sha256::digest(self.expose());
        let first = digest.iter().take(8).fold(0, |first, &byte| first << 8 | u64::from(byte));
        UsedCode { at: now, digest: first }
    }

    /// Tells whether this is the code that AWS has already taken.
    pub fn is_used(&self, used: Option<&UsedCode>, now: i64) -> bool {
        used.is_some_and(|used| (0..USED_SECONDS).contains(&(now - used.at)) && used.digest == self.used(0).digest)
    }

    /// Shows the code to the call that uses it up.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// Gives the seconds until the device shows another code.
pub fn seconds_to_next_code(now: i64) -> i64 {
    CODE_SECONDS - now.rem_euclid(CODE_SECONDS)
}

/// Tells whether the device still shows the code that was used.
pub fn is_still_shown(used: &UsedCode, now: i64) -> bool {
    used.at.div_euclid(CODE_SECONDS) == now.div_euclid(CODE_SECONDS)
}

/// Says something on the terminal, if there is one and it is ours.
pub fn tell(text: &str) {
    if let Ok(mut terminal) = crate::terminal::open() {
        // Nobody is there to miss it.
        let _ = terminal.say(text);
    }
}

/// Tells by which means somebody could be asked here and now, or why nobody could.
///
/// # Errors
/// The reasons.
pub fn means(choice: PromptChoice, world: &World) -> std::result::Result<&'static str, String> {
    let terminal = || crate::terminal::open_to_ask().map(|_| "on this terminal").map_err(str::to_owned);
    let display =
        || desktop::has_display(world).then_some("in a window of the desktop").ok_or_else(|| NO_DISPLAY.to_owned());
    match choice {
        PromptChoice::None => Err("`keyrole_prompt` or `KEYROLE_PROMPT` forbids to ask".to_owned()),
        PromptChoice::Auto => terminal().or_else(|why| display().map_err(|more| format!("{why}, and {more}"))),
        PromptChoice::Terminal => terminal(),
        PromptChoice::Pinentry => Ok("by pinentry"),
        PromptChoice::Gui => display(),
    }
}

const NO_DISPLAY: &str = "there is no display to open a window on";

/// Prepares a program that asks a person or a key. Security: it has no business with the caller's own credentials.
pub fn without_secrets(mut command: Command) -> Command {
    for secret in [
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_SECURITY_TOKEN",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        KEY_VARIABLE,
    ] {
        command.env_remove(secret);
    }
    command
}

/// Runs an `mfa_process` and gives its code.
///
/// # Errors
/// `PersonNeeded` if it gives none within the limit.
pub fn run_process(plan: &Plan, command: &str, limit: Duration) -> Result<TokenCode> {
    process::code(plan, command, limit)
}

/// Gets codes for one run of the program, in this order: the command line, `mfa_process`, the terminal, pinentry, a window
/// of the desktop.
pub struct Asker {
    given: Option<TokenCode>,
    may_prompt: bool,
    may_run: bool,
    prompt: PromptChoice,
    /// How long somebody may take to answer.
    patience: Duration,
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
    pub fn new(given: Option<TokenCode>, may_prompt: bool, settings: &Settings) -> Self {
        let patience = Duration::from_secs(settings.patience.prompt.unsigned_abs());
        Self { given, may_prompt, may_run: true, prompt: settings.prompt, patience }
    }

    /// Tells whether a person may be asked at all, by this process or by one that it waits for.
    pub fn may_ask(&self) -> bool {
        self.may_prompt && self.prompt != PromptChoice::None
    }

    /// Gives the command line's code back if it was not needed.
    pub fn into_code(self) -> Option<TokenCode> {
        self.given
    }

    /// Tells whether the command line gave a code, which no earlier refusal of a prompt speaks against.
    pub fn has_code(&self) -> bool {
        self.given.is_some()
    }

    /// Makes an asker that has nobody to ask and no program to run.
    pub fn nobody() -> Self {
        Self { given: None, may_prompt: false, may_run: false, prompt: PromptChoice::None, patience: Duration::ZERO }
    }

    /// Gets a code for the device. `rejected` is what to tell about an earlier code; `used` is the last code that AWS
    /// took, which it does not take twice; `on_prompt` is called before a person is asked.
    ///
    /// # Errors
    /// `PersonNeeded` if somebody would have to be asked and cannot be, `Cancelled` if nobody answered.
    pub fn code(
        &mut self,
        plan: &Plan,
        mfa: &Mfa,
        rejected: Option<&str>,
        used: Option<&UsedCode>,
        on_prompt: &dyn Fn(),
        world: &World,
    ) -> Result<(TokenCode, Origin)> {
        let already = || {
            let seconds = seconds_to_next_code(world.now());
            Error::new(Kind::WrongCode, format!("this MFA code was already used; the next one comes in {seconds} s"))
        };
        if let Some(code) = self.given.take() {
            return if code.is_used(used, world.now()) { Err(already()) } else { Ok((code, Origin::CommandLine)) };
        }
        if let Some(command) = mfa.process.as_ref().filter(|_| self.may_run) {
            let mut code = process::code(plan, command, process::DEADLINE)?;
            if code.is_used(used, world.now()) {
                thread::sleep(Duration::from_secs(seconds_to_next_code(world.now()).unsigned_abs()));
                code = process::code(plan, command, process::DEADLINE)?;
            }
            return if code.is_used(used, world.now()) { Err(already()) } else { Ok((code, Origin::Process)) };
        }
        let needed = |why: &str| {
            Error::new(Kind::PersonNeeded, format!("profile `{}` needs an MFA code, but {why}", plan.profile))
                .hint(format!("run `keyrole login {}` in a terminal, then retry", quoted(&plan.profile)))
        };
        if !self.may_prompt {
            return Err(needed("it was told not to ask"));
        }
        if self.prompt == PromptChoice::None {
            return Err(needed("`keyrole_prompt` or `KEYROLE_PROMPT` forbids to ask")
                .hint("set it to `auto`, or give the code with `--mfa-code`"));
        }
        let request = Request { plan, mfa, rejected, used, patience: self.patience, world };
        match self.ask(&request, on_prompt) {
            Ok(code) => Ok((code?, Origin::Person)),
            // In a terminal, advice to go to one is none.
            Err(why) if self.prompt != PromptChoice::Auto && crate::terminal::open_to_ask().is_ok() => Err(needed(
                &why,
            )
            .hint("set `keyrole_prompt` or `KEYROLE_PROMPT` to `auto`, which asks wherever somebody can be asked")),
            Err(why) => Err(needed(&why)),
        }
    }

    /// Asks where the person is: on the terminal, else in a window. Gives the reasons if nobody can be asked.
    fn ask(&self, request: &Request, on_prompt: &dyn Fn()) -> std::result::Result<Result<TokenCode>, String> {
        let mut reasons = Vec::new();
        if matches!(self.prompt, PromptChoice::Auto | PromptChoice::Terminal) {
            match crate::terminal::open_to_ask() {
                Ok(device) => {
                    on_prompt();
                    return Ok(terminal::code(device, request));
                }
                Err(why) => reasons.push(why.to_owned()),
            }
        }
        let is_auto = self.prompt == PromptChoice::Auto;
        let has_display = (is_auto || self.prompt == PromptChoice::Gui) && desktop::has_display(request.world);
        if self.prompt == PromptChoice::Gui && !has_display {
            reasons.push(NO_DISPLAY.to_owned());
        }
        if self.prompt == PromptChoice::Pinentry || is_auto && has_display {
            on_prompt();
            // By choice it may use the terminal; of itself it would only if keyrole could as well.
            let tty = (!is_auto && crate::terminal::open().is_ok()).then_some("/dev/tty");
            match request.code_in(&|question| pinentry::ask(question, tty, request.world)) {
                Ok(code) => return Ok(code),
                Err(why) => reasons.push(why),
            }
        }
        if has_display {
            on_prompt();
            match request.code_in(&|question| desktop::ask(question, request.world)) {
                Ok(code) => return Ok(code),
                Err(why) => reasons.push(why),
            }
        }
        Err(reasons.join(", and "))
    }
}

/// Quotes a profile's name for a command line in a hint, where it needs that.
pub fn quoted(name: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_.@/+:=,".contains(c);
    let text = if !name.is_empty() && name.chars().all(is_plain) {
        name.to_owned()
    } else {
        format!("'{}'", name.replace('\'', r"'\''"))
    };
    // What looks like a flag is a name only after two dashes; quotes do not help.
    if name.starts_with('-') { format!("-- {text}") } else { text }
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
    fn a_used_code_is_known_for_as_long_as_aws_would_know_it() {
        let code = TokenCode::parse("123456").unwrap();
        let used = code.used(1000);
        assert!(code.is_used(Some(&used), 1000) && code.is_used(Some(&used), 1089));
        assert!(!code.is_used(Some(&used), 1090) && !code.is_used(Some(&used), 999) && !code.is_used(None, 1000));
        assert!(!TokenCode::parse("123457").unwrap().is_used(Some(&used), 1000));
        assert!(is_still_shown(&used, 1019) && !is_still_shown(&used, 1020));
        assert_eq!((seconds_to_next_code(1000), seconds_to_next_code(1019)), (20, 1));
    }

    #[test]
    fn names_are_quoted_for_the_shell_where_they_need_it() {
        assert_eq!(quoted("prod"), "prod");
        assert_eq!(quoted("name with spaces"), "'name with spaces'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted("--all"), "-- --all");
    }
}
