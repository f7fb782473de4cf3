//! Owns the offer to sign in again where a source's credentials come from a browser. The AWS CLI does that; keyrole runs
//! it, for commands that people type. Never for `get`.

use crate::error::{Error, Printable, Result};
use crate::interview::Interview;
use crate::mfa;
use crate::plan::{Plan, PromptChoice, Settings, Source};
use crate::process_line;
use crate::terminal::{self, Subject};
use crate::world::World;
use std::process::Command;

const ANSWER: Subject = Subject { name: "the answer", hint: "run the command again" };

/// Gives the command that signs in again, as a shell takes it, if a person signs in for the source.
pub fn command(source: &Source) -> Option<String> {
    let words = source.sign_in()?;
    let (name, flags) = words.split_last()?;
    Some(format!("aws {} {}", flags.join(" "), mfa::quoted(name)))
}

/// Says why a plan's source gives nothing and offers to sign in again; tells whether that was done.
///
/// # Errors
/// It was tried and failed, or a signal ended the question.
pub fn offer(plan: &Plan, settings: &Settings, why: &Error, world: &World) -> Result<bool> {
    let Some((words, command)) = plan.source.sign_in().zip(command(&plan.source)) else { return Ok(false) };
    if settings.prompt == PromptChoice::None || process_line::is_missing("aws", world) {
        return Ok(false);
    }
    let text = format!("keyrole: {}\n", Printable(why.message()));
    let question = format!("run `{}` now?", Printable(&command));
    match Interview::new(false).confirm(ANSWER, &text, &question, "yes") {
        Ok(true) => run(&words, &command).map(|()| true),
        Err(error) if error.signal().is_some() => Err(error),
        // Whoever cannot be asked, or does not answer, is told what to run.
        Ok(false) | Err(_) => Ok(false),
    }
}

/// Runs `aws` on the terminal, as stdout is not a place for what it says.
fn run(words: &[&str], command: &str) -> Result<()> {
    let failed =
        |why: String| Error::failed(format!("`{command}` {why}")).hint(format!("run `{command}` by hand, then retry"));
    let terminal = || terminal::open().map_err(|why| failed(format!("cannot be run: {why}")));
    let ((stdin, stdout), (_, stderr)) = (terminal()?.into_stdio(), terminal()?.into_stdio());
    let mut aws = mfa::without_secrets(Command::new("aws"));
    // Half a key in its environment would be an error to it.
    aws.args(words).env_remove("AWS_ACCESS_KEY_ID").stdin(stdin).stdout(stdout).stderr(stderr);
    match aws.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(format!("failed ({status})"))),
        Err(error) => Err(failed(format!("cannot be run: {error}"))),
    }
}
