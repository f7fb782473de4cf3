//! `keyrole exec`: a command with a profile's credentials in its environment.

use crate::cli::Exec;
use crate::commands::env::{REMOVED, variables};
use crate::error::{Error, Printable, Result};
use crate::store::KEY_VARIABLE;
use crate::world::World;
use std::io::ErrorKind;
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
    // Security: the command has its credentials; whoever wants it to open the store names `KEYROLE_FILE_KEY_FILE`.
    for name in REMOVED.iter().chain(&[KEY_VARIABLE]) {
        command.env_remove(name);
    }
    let error = replace(&mut command);
    let what = program.to_string_lossy();
    let failure = Error::failed(format!("cannot run `{}`: {error}", Printable(&what)));
    Err(match error.kind() {
        ErrorKind::NotFound => failure.hint("give the command's name or path after the profile"),
        ErrorKind::PermissionDenied => failure.hint("it is there, but is no program that you may run"),
        _ => failure,
    })
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
