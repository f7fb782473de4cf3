//! Builds the real world, calls the library, and turns the result into stderr's lines and the exit code.

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use keyrole::cli::{Cli, Command, Get};
use keyrole::commands::{ahead, doctor, env, exec, explain, get, keys, log, login, logout, pages, setup, status};
use keyrole::error::{Error, Result};
use keyrole::output;
use keyrole::world::World;
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::SystemTime;

fn main() -> ExitCode {
    // Security: a core dump would hold the source's keys. It fails only where the system does not know the call.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    // A panic is a defect; its message may hold a secret, its place never does.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(String::new, |at| format!(" at {}:{}", at.file(), at.line()));
        output::say(&format!("keyrole: error: this is a defect in keyrole{place}\nkeyrole: hint: please report it\n"));
        std::process::exit(1);
    }));
    let world = World {
        // One that is no text is not as good as unset: the path that comes of it does not exist, and is named.
        env: Box::new(|name| {
            let text =
                |value: OsString| value.into_string().unwrap_or_else(|value| value.to_string_lossy().into_owned());
            std::env::var_os(name).map(text)
        }),
        clock: SystemTime::now,
        read: |path| std::fs::read_to_string(path),
        home: std::env::home_dir().filter(|home| !home.as_os_str().is_empty()),
    };
    match run(&world) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::say(&format!(
                "{error}
"
            ));
            end_by_signal(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

/// Ends as the signal that caused the failure would have ended the process, so that a shell sees it.
fn end_by_signal(error: &Error) {
    let Some(signal) = error.signal() else { return };
    // If this fails, the exit code says enough.
    #[cfg(unix)]
    let _ = signal_hook::low_level::emulate_default_handler(signal);
    // `STATUS_CONTROL_C_EXIT`, which is more than an `ExitCode` holds. On Windows there is no other signal.
    #[cfg(windows)]
    std::process::exit(signal.min(0xC000_013A_u32.cast_signed()));
}

fn run(world: &World) -> Result<()> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if let Some(profile) = plain_get(&arguments) {
        let arguments = Get { profile: profile.to_owned(), no_prompt: false, refresh: false, mfa_code: None };
        return get::run(&arguments, world);
    }
    if let [_, command, profile] = &arguments[..]
        && command == ahead::COMMAND
        && let Some(profile) = profile.to_str()
    {
        return ahead::run(profile, world);
    }
    let command = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli.command,
        Err(error) => return usage_error(&error, &arguments),
    };
    let called = arguments.first().map(OsString::as_os_str);
    match command {
        Command::Get(arguments) => get::run(&arguments, world),
        Command::Login(arguments) => login::run(&arguments, world),
        Command::Logout(arguments) => logout::run(&arguments, world),
        Command::Status(arguments) => status::run(&arguments, world),
        Command::Exec(arguments) => exec::run(&arguments, world),
        Command::Env(arguments) => env::run(&arguments, world),
        Command::Doctor(options) => doctor::run(&options, called, world),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Setup(options) => setup::run(&options, called, world),
        Command::Keys(arguments) => keys::run(&arguments, called, world),
        Command::Log(arguments) => log::run(&arguments, world),
        Command::Completions { shell } => pages::completions(shell),
        Command::Man => pages::man(),
    }
}

/// Recognises `keyrole get PROFILE` without clap, which would take as long as the rest of a hit.
fn plain_get(arguments: &[OsString]) -> Option<&str> {
    match arguments {
        [_, get, profile] if get == "get" => profile.to_str().filter(|profile| !profile.starts_with('-')),
        _ => None,
    }
}

/// Prints help as clap does, and puts everything else into the form of our own errors.
fn usage_error(error: &clap::Error, arguments: &[OsString]) -> Result<()> {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A reader that has gone has read enough.
            let _ = error.print();
            return Ok(());
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let keys = arguments.get(1).filter(|word| *word == "keys").map_or("", |_| " keys");
            return Err(Error::usage("a command is missing").hint(format!("run `keyrole{keys} --help`")));
        }
        _ => {}
    }
    let names: Vec<String> = Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let subcommand = arguments.get(1).and_then(|word| names.iter().find(|name| word == name.as_str()));
    let text = error.to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    let mut message = first.strip_prefix("error: ").unwrap_or(first).replace('\'', "`");
    if message.ends_with(':') {
        message = format!("{message} {}", lines.next().unwrap_or_default());
    }
    let rest: Vec<&str> = lines.collect();
    let helpful = rest.iter().find(|line| line.contains("similar") || line.contains("possible values"));
    let hint = helpful.map(|line| line.trim_start_matches("tip: ").trim_matches(['[', ']']).replace('\'', "`"));
    Err(Error::usage(message).hint(hint.unwrap_or_else(|| match subcommand {
        Some(name) => format!("run `keyrole {name} --help`"),
        None => "run `keyrole --help`".to_owned(),
    })))
}
