//! `keyrole exec`: a command with a profile's credentials in its environment.

use crate::cli::Exec;
use crate::commands::env::{REMOVED, variables};
use crate::error::{Error, Printable, Result};
use crate::world::World;
use std::process::Command;

/// Becomes the command on Unix; elsewhere runs it and ends as it ends.
///
/// # Errors
/// As `get`, and when the command cannot be run.
pub fn run(arguments: &Exec, world: &World) -> Result<()> {
    // Clap lets none through without a command.
    let Some((program, rest)) = arguments.command.split_first() else {
        return Err(Error::usage("a command is missing"));
    };
    let mut command = Command::new(program);
    command.args(rest);
    for (name, value) in variables(&arguments.profile, world)? {
        command.env(name, value.expose());
    }
    for name in REMOVED {
        command.env_remove(name);
    }
    let error = replace(&mut command);
    let what = program.to_string_lossy();
    let failure = Error::failed(format!("cannot run `{}`: {error}", Printable(&what)));
    Err(failure.hint("give the command's name or path after `--`"))
}

/// Signals and the exit status are the command's own from here on.
#[cfg(unix)]
fn replace(command: &mut Command) -> std::io::Error {
    std::os::unix::process::CommandExt::exec(command)
}

#[cfg(not(unix))]
#[cfg_attr(not(test), expect(clippy::disallowed_methods, reason = "ends as the command has ended"))]
fn replace(command: &mut Command) -> std::io::Error {
    match command.status() {
        Ok(status) => std::process::exit(status.code().unwrap_or(1)),
        Err(error) => error,
    }
}
