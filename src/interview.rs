//! Owns the questions of commands that people type: a line of text, one of a list, yes or no. They are asked on the
//! terminal; where flags give all answers none is needed. It never knows what an answer is used for.

use crate::error::{Error, Kind, Printable, Result};
use crate::secret::Secret;
use crate::terminal::{self, Subject, Terminal};
use std::time::Duration;

/// How long a question may stand there. Nothing waits for its answer, so only a forgotten terminal is meant.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Checks an answer; the reason is a clause.
pub type Check<'a> = &'a dyn Fn(&str) -> std::result::Result<(), String>;

/// One question.
pub struct Question<'a> {
    /// What is asked for.
    pub subject: Subject<'static>,
    /// What stands before the answer.
    pub prompt: &'a str,
    /// What to write on the command line instead.
    pub flag: &'static str,
    /// What can be chosen by its number, each with a word on it.
    pub choices: &'a [(String, String)],
    /// What an empty line means; an offer that is empty means `none`.
    pub offer: Option<&'a str>,
}

/// Asks, or takes what is offered.
pub struct Interview {
    takes_offers: bool,
    terminal: Option<Terminal>,
}

impl Interview {
    /// Makes an interview. With `takes_offers` nobody is asked.
    pub fn new(takes_offers: bool) -> Self {
        Self { takes_offers, terminal: None }
    }

    /// Gets an answer that passes the check.
    ///
    /// # Errors
    /// `Usage` if nothing can be offered, `PersonNeeded` without a terminal, `Cancelled` if nobody answers.
    pub fn ask(&mut self, question: &Question, check: Check) -> Result<String> {
        let Question { subject, prompt, flag, choices, offer } = question;
        if self.takes_offers {
            let usage = |why: &str| Error::usage(format!("{} {why}", subject.name)).hint(format!("add {flag}"));
            let offer = offer.ok_or_else(|| usage("is missing"))?;
            check(offer).map_err(|why| usage(&format!("cannot be what is offered: {why}")))?;
            return Ok(offer.to_owned());
        }
        let needed = |why: &str| {
            let error = Error::new(Kind::PersonNeeded, format!("{} is missing, and {why}", subject.name));
            match offer {
                Some(_) => error.hint(format!("add {flag}, or `--yes` to take what would be offered")),
                None => error.hint(format!("add {flag}")),
            }
        };
        let mut dialogue = self.terminal(&needed)?.dialogue(subject, PATIENCE)?;
        let mut before = list(choices);
        let prompt = match offer {
            Some("") => format!("{prompt} [none]: "),
            Some(offer) if check("").is_ok() => format!("{prompt}, or none [{}]: ", Printable(offer)),
            Some(offer) => format!("{prompt} [{}]: ", Printable(offer)),
            None => format!("{prompt}: "),
        };
        loop {
            let line = dialogue.ask(&before, &prompt)?;
            let answer = match (line.expose().trim(), offer) {
                ("", Some(offer)) => offer,
                ("none", Some(_)) => "",
                (text, _) => chosen(choices, text),
            };
            let no_such_number = || Err(format!("there is no choice {answer}"));
            match if is_off_the_list(choices, answer) { no_such_number() } else { check(answer) } {
                Ok(()) => return Ok(answer.to_owned()),
                Err(why) => before = format!("keyrole: {}\n", Printable(&why)),
            }
        }
    }

    /// Gets a secret, which is not shown while it is typed.
    ///
    /// # Errors
    /// As `ask`; nothing can be offered.
    pub fn ask_secret(&mut self, subject: &Subject, prompt: &str, flag: &str) -> Result<Secret> {
        let needed = |why: &str| {
            Error::new(Kind::PersonNeeded, format!("{} is missing, and {why}", subject.name))
                .hint(format!("add {flag}"))
        };
        self.terminal(&needed)?.hidden_dialogue(subject, PATIENCE)?.ask("", &format!("{prompt}: "))
    }

    /// Shows a text and asks whether to go on; `offer` is what an empty line means, `yes` or `no`.
    ///
    /// # Errors
    /// As `ask`.
    pub fn confirm(&mut self, subject: Subject<'static>, text: &str, prompt: &str, offer: &str) -> Result<bool> {
        if self.takes_offers {
            return Ok(true);
        }
        let name = subject.name;
        let needed =
            |why: &str| Error::new(Kind::PersonNeeded, format!("{name} is missing, and {why}")).hint("add `--yes`");
        self.terminal(&needed)?.say(text)?;
        let question = Question { subject, prompt, flag: "`--yes`", choices: &[], offer: Some(offer) };
        let is_answer = |text: &str| match text.to_lowercase().as_str() {
            "y" | "yes" | "n" | "no" => Ok(()),
            _ => Err("the answer is yes or no".to_owned()),
        };
        Ok(self.ask(&question, &is_answer)?.to_lowercase().starts_with('y'))
    }

    fn terminal(&mut self, needed: &dyn Fn(&str) -> Error) -> Result<&mut Terminal> {
        if self.terminal.is_none() {
            self.terminal = Some(terminal::open().map_err(needed)?);
        }
        self.terminal.as_mut().ok_or_else(|| needed("there is no terminal to ask on"))
    }
}

fn list(choices: &[(String, String)]) -> String {
    let width = choices.iter().map(|(value, _)| value.chars().count()).max().unwrap_or(0);
    let line = |(at, (value, word)): (usize, &(String, String))| {
        let line = format!("{:3}  {:width$}  {}", at + 1, Printable(value).to_string(), Printable(word));
        format!("{}\n", line.trim_end())
    };
    choices.iter().enumerate().map(line).collect()
}

/// Tells a number that is meant for a list but is not in it. A longer one may well be a name, as of an account.
fn is_off_the_list(choices: &[(String, String)], answer: &str) -> bool {
    let is_number = matches!(answer.len(), 1..=2) && answer.bytes().all(|byte| byte.is_ascii_digit());
    is_number && !choices.is_empty() && !choices.iter().any(|(value, _)| value == answer)
}

/// Takes a number for the choice it stands for, unless a choice is called so itself.
fn chosen<'a>(choices: &'a [(String, String)], text: &'a str) -> &'a str {
    let is_named = choices.iter().any(|(value, _)| value == text);
    let number = text.parse::<usize>().ok().filter(|_| !is_named);
    let choice = number.and_then(|number| choices.get(number.checked_sub(1)?));
    choice.map_or(text, |(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stands_for_a_choice_unless_one_is_called_so() {
        let choices = ["base", "1", "corp"].map(|name| (name.to_owned(), String::new()));
        assert_eq!(chosen(&choices, "3"), "corp");
        assert_eq!(chosen(&choices, "1"), "1");
        for other in ["0", "4", "-1", "base", "new"] {
            assert_eq!(chosen(&choices, other), other);
        }
    }
}
