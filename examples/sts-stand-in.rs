//! Runs the tests' STS stand-in as a process of its own, for shell and Python tests and for `install.sh --try`.
//!
//! It owns the command line and the files of a temporary home; what STS answers is `tests/support/sts.rs`'s.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

#[allow(dead_code)]
#[path = "../tests/support/sts.rs"]
mod sts;

use sts::{ACCESS_KEY_ID, ACCOUNT, ADMIN, MFA_SERIAL, Role, SECRET_ACCESS_KEY, Sts};

const USAGE: &str = "\
usage: sts-stand-in [--port N] [--tls] [--token-bytes N] [--home DIR [--keyrole PATH] [--mfa]] [--exit-with-parent]
       sts-stand-in --code

  --port N             listen on this port of 127.0.0.1 (default: a free one)
  --tls                serve https on localhost, under a new CA
  --token-bytes N      make session tokens at least so long
  --home DIR           write DIR/.aws/config, DIR/.aws/credentials, DIR/ca.pem (with --tls), DIR/endpoint
  --keyrole PATH       the program that DIR/.aws/config names (default: keyrole)
  --mfa                give `base` an MFA serial, and let the Admin role require MFA
  --exit-with-parent   end when stdin ends
  --code               print the code that the user's MFA device shows now, and serve nothing
";

#[derive(Default)]
struct Options {
    port: u16,
    tls: bool,
    token_bytes: usize,
    home: Option<PathBuf>,
    keyrole: Option<String>,
    mfa: bool,
    exit_with_parent: bool,
    code: bool,
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            eprint!("sts-stand-in: error: {why}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sts-stand-in: error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let mut options = Options::default();
    while let Some(argument) = arguments.next() {
        let (flag, attached) = match argument.split_once('=') {
            Some((flag, value)) => (flag, Some(value.to_owned())),
            None => (argument.as_str(), None),
        };
        let mut value = || {
            let value = attached.clone().or_else(|| arguments.next());
            value.ok_or_else(|| format!("{flag} needs a value"))
        };
        match flag {
            "--port" => {
                let text = value()?;
                options.port = text.parse().map_err(|_| format!("`{text}` is not a port"))?;
            }
            "--token-bytes" => {
                let text = value()?;
                options.token_bytes = text.parse().map_err(|_| format!("`{text}` is not a number of bytes"))?;
            }
            "--home" => options.home = Some(value()?.into()),
            "--keyrole" => options.keyrole = Some(value()?),
            "--tls" => options.tls = true,
            "--mfa" => options.mfa = true,
            "--exit-with-parent" => options.exit_with_parent = true,
            "--code" => options.code = true,
            "--help" | "-h" => return Ok(None),
            _ => return Err(format!("unknown argument `{argument}`")),
        }
    }
    Ok(Some(options))
}

fn run(options: &Options) -> io::Result<()> {
    let sts = Sts::start_on(options.port, options.tls)?;
    sts.set_token_padding(options.token_bytes);
    if options.code {
        return writeln!(io::stdout(), "{}", sts.token_code(MFA_SERIAL));
    }
    if !options.mfa {
        sts.add_role(Role { max_session_seconds: 43_200, ..Role::new(ADMIN, &[ACCOUNT]) });
    }
    if let Some(home) = &options.home {
        write_home(home, options, &sts)?;
    }
    let mut stdout = io::stdout();
    writeln!(stdout, "listening on {}", sts.url())?;
    stdout.flush()?;

    if options.exit_with_parent {
        let mut chunk = [0; 256];
        while io::stdin().read(&mut chunk)? > 0 {}
        return Ok(());
    }
    loop {
        thread::park();
    }
}

/// Writes the files of a home whose profile `prod` gets its credentials from the stand-in; `endpoint` comes last,
/// so whoever waits for it finds the others.
fn write_home(home: &Path, options: &Options, sts: &Sts) -> io::Result<()> {
    fs::create_dir_all(home.join(".aws"))?;
    let home = fs::canonicalize(home)?;
    let url = sts.url();
    let mut common = format!("region = eu-west-1\nendpoint_url = {url}\n");
    if let Some(pem) = sts.ca_pem() {
        let path = home.join("ca.pem");
        write_file(&path, pem)?;
        common.push_str(&format!("ca_bundle = {}\n", path.display()));
    }
    let serial = if options.mfa { format!("mfa_serial = {MFA_SERIAL}\n") } else { String::new() };
    let keyrole = options.keyrole.as_deref().unwrap_or("keyrole");
    let keyrole = if keyrole.contains(' ') { format!("\"{keyrole}\"") } else { keyrole.to_owned() };
    write_file(
        &home.join(".aws/config"),
        &format!(
            "[profile base]\n{serial}{common}\n\
             [profile prod]\ncredential_process = {keyrole} get prod\nkeyrole_role_arn = {ADMIN}\n\
             keyrole_source_profile = base\n{common}"
        ),
    )?;
    write_file(
        &home.join(".aws/credentials"),
        &format!("[base]\naws_access_key_id = {ACCESS_KEY_ID}\naws_secret_access_key = {SECRET_ACCESS_KEY}\n"),
    )?;
    write_file(&home.join("endpoint"), &format!("{url}\n"))
}

/// Replaces a file as one step, readable by its owner only.
fn write_file(path: &Path, text: &str) -> io::Result<()> {
    let partial = path.with_extension("partial");
    let _ = fs::remove_file(&partial);
    let mut create = fs::OpenOptions::new();
    create.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut create, 0o600);
    create.open(&partial)?.write_all(text.as_bytes())?;
    fs::rename(&partial, path)
}
