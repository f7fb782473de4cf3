//! Owns the command line. Help, the man page and completions are made from these types.

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use std::ffi::OsString;
use std::time::Duration;

/// The `credential_process` for AWS roles: one MFA prompt, cached sessions in the OS keyring
#[derive(Debug, Parser)]
#[command(name = "keyrole", version, after_help = AFTER_HELP)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = "\
In ~/.aws/config:
  [profile prod]
  credential_process = /home/me/.local/bin/keyrole get prod
  keyrole_role_arn = arn:aws:iam::444455556666:role/Admin
  keyrole_source_profile = base

Exit codes: 0 success, 1 failed, 2 usage or configuration, 3 nothing cached, or a person is
needed too soon (status), 4 a person is needed and cannot be asked, 5 AWS refused, 130 Ctrl-C.";

const NEEDED: &str = "\
A person is needed when neither the role's session nor the MFA session is valid any more,
unless the profile needs no MFA code or has an `mfa_process`.";

/// The exit codes and what they mean.
pub const EXIT_CODES: &[(u8, &str)] = &[
    (0, "success"),
    (1, "failed"),
    (2, "usage or configuration error"),
    (3, "status: nothing valid is cached; with --exit-code, a person is needed sooner than --min"),
    (4, "a person is needed (MFA) and cannot be asked, or did not answer in time"),
    (5, "AWS refused"),
    (130, "Ctrl-C; by another signal, 128 and its number"),
];

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print a profile's credentials as the JSON document of credential_process
    Get(Get),
    /// Ask for the MFA code now, in this terminal, and fetch every role named with that one code
    Login(Login),
    /// Remove cached sessions
    #[command(mut_arg("all", |all| all.help("Everything that keyrole has cached")))]
    Logout(Which),
    /// Show what is cached
    Status(Status),
    /// Run a command with a profile's credentials in its environment
    Exec(Exec),
    /// Print a profile's credentials as settings of environment variables
    Env(Env),
    /// Find what is wrong and say how to mend it
    Doctor(Doctor),
    /// Say what an AWS credential error means and what to do about it
    Explain(Explain),
    /// Write a profile's lines into ~/.aws/config, asking for what is not given
    Setup(Setup),
    /// Keep long-lived access keys in the keyring instead of ~/.aws/credentials
    #[command(subcommand)]
    Keys(Keys),
    /// Show what has happened
    Log(Log),
    /// Print the completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the man page
    Man,
}

/// `keyrole get`
#[derive(Debug, Args)]
pub struct Get {
    /// The profile in ~/.aws/config
    #[arg(value_hint = ValueHint::Other)]
    pub profile: String,
    /// Fail with exit code 4 instead of asking for an MFA code
    #[arg(long)]
    pub no_prompt: bool,
    /// Get a new role session even if one is cached
    #[arg(long)]
    pub refresh: bool,
    /// The MFA code, for scripts; others on this machine can see it in the process list
    #[arg(long, value_name = "CODE")]
    pub mfa_code: Option<String>,
}

/// `keyrole login`
#[derive(Debug, Args)]
pub struct Login {
    /// Which profiles
    #[command(flatten)]
    pub which: Which,
    /// Get new sessions even if there are cached ones, the MFA session included
    #[arg(long)]
    pub refresh: bool,
    /// The MFA code, for scripts; others on this machine can see it in the process list
    #[arg(long, value_name = "CODE")]
    pub mfa_code: Option<String>,
}

/// Profiles by name, or all of them.
#[derive(Debug, Args)]
pub struct Which {
    /// The profiles in ~/.aws/config
    #[arg(value_name = "PROFILE", value_hint = ValueHint::Other, required_unless_present = "all", conflicts_with = "all")]
    pub profiles: Vec<String>,
    /// Every profile that has a role
    #[arg(long)]
    pub all: bool,
}

/// `keyrole status`
#[derive(Debug, Args)]
#[command(after_help = NEEDED)]
pub struct Status {
    /// The profiles in ~/.aws/config; without any, those that have something cached
    #[arg(value_name = "PROFILE", value_hint = ValueHint::Other)]
    pub profiles: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Print nothing on stdout, and exit with 3 if a person is needed sooner than `--min` from now
    #[arg(long, conflicts_with = "json")]
    pub exit_code: bool,
    /// How long nobody should be needed: 30m, 2h; without `--exit-code`, says which profiles are below that
    #[arg(long, value_name = "SPAN", value_parser = humantime::parse_duration)]
    pub min: Option<Duration>,
    /// Show it again every two seconds, until Ctrl-C
    #[arg(long, conflicts_with_all = ["json", "exit_code"])]
    pub watch: bool,
}

/// `keyrole log`
#[derive(Debug, Args)]
pub struct Log {
    /// Only what is about this profile
    #[arg(long)]
    pub profile: Option<String>,
    /// Only the last 15m, 1h, 2d
    #[arg(long, value_name = "SPAN", value_parser = humantime::parse_duration)]
    pub since: Option<Duration>,
    /// Print the lines as they are, one JSON object each
    #[arg(long)]
    pub json: bool,
}

/// `keyrole exec`
#[derive(Debug, Args)]
pub struct Exec {
    /// The profile in ~/.aws/config
    #[arg(value_hint = ValueHint::Other)]
    pub profile: String,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD", value_hint = ValueHint::CommandWithArguments)]
    pub command: Vec<OsString>,
}

/// `keyrole env`
#[derive(Debug, Args)]
pub struct Env {
    /// The profile in ~/.aws/config
    #[arg(value_hint = ValueHint::Other)]
    pub profile: String,
    /// For which reader
    #[arg(long, value_enum, default_value_t = Format::Sh)]
    pub format: Format,
}

/// How `keyrole env` writes variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For `eval` in sh, bash, zsh
    Sh,
    /// For `source` in fish
    Fish,
    /// For `Invoke-Expression` in PowerShell
    Powershell,
    /// NAME=value, for docker's --env-file and its like
    Dotenv,
    /// One JSON object
    Json,
}

/// `keyrole doctor`
#[derive(Debug, Args)]
pub struct Doctor {
    /// The profiles in ~/.aws/config; without any, those that keyrole serves
    #[arg(value_name = "PROFILE", value_hint = ValueHint::Other)]
    pub profiles: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Send nothing
    #[arg(long)]
    pub offline: bool,
    /// Assume the role as well, which may ask for an MFA code
    #[arg(long, conflicts_with = "offline")]
    pub assume: bool,
}

/// `keyrole explain`
#[derive(Debug, Args)]
pub struct Explain {
    /// An error's code or pasted text, in quotes; `-` reads it from standard input
    #[arg(value_name = "TEXT", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub text: Vec<OsString>,
}

/// `keyrole setup`
#[derive(Debug, Args)]
pub struct Setup {
    /// The profile to write; one that has a role is converted
    pub profile: Option<String>,
    /// The role to assume
    #[arg(long, value_name = "ARN")]
    pub role_arn: Option<String>,
    /// The profile whose credentials may assume the role
    #[arg(long, value_name = "NAME")]
    pub source_profile: Option<String>,
    /// The MFA device; written to the source profile, so that all its roles share it
    #[arg(long, value_name = "SERIAL")]
    pub mfa_serial: Option<String>,
    /// Write no MFA device
    #[arg(long, conflicts_with = "mfa_serial")]
    pub no_mfa: bool,
    /// The profile's region
    #[arg(long)]
    pub region: Option<String>,
    /// The external ID that the role's trust policy asks for
    #[arg(long, value_name = "ID")]
    pub external_id: Option<String>,
    /// How long a session lasts: 900 to 43200
    #[arg(long, value_name = "SECONDS")]
    pub duration_seconds: Option<String>,
    /// Print what would change as a diff, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Ask nothing: take what would be offered, and write it
    #[arg(long, short)]
    pub yes: bool,
    /// Do not ask AWS first whether the source's credentials work
    #[arg(long)]
    pub no_verify: bool,
    /// Put back what the config file was before setup wrote it
    #[arg(long, exclusive = true)]
    pub undo: bool,
}

/// `keyrole keys`
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Move a profile's access key from the AWS files into the keyring
    Import(KeysImport),
    /// Put an access key into the keyring, asking for its secret
    Add(KeysAdd),
    /// Show which profiles have an access key, and where
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Replace an access key in the keyring by a new one, and delete the old one at AWS
    #[command(after_help = ROTATE)]
    Rotate(KeysRotate),
    /// Remove an access key from the keyring; at AWS it stays as it is
    Remove(KeysRemove),
}

const ROTATE: &str = "\
Run it again if it was interrupted: it goes on from where it was. The user needs iam:ListAccessKeys,
iam:CreateAccessKey, iam:UpdateAccessKey and iam:DeleteAccessKey on itself.";

/// `keyrole keys import`
#[derive(Debug, Args)]
pub struct KeysImport {
    /// The profile whose key it is
    pub profile: String,
    /// Print what would change as a diff, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Ask nothing; the backups stay unless `--delete-backup` says otherwise
    #[arg(long, short)]
    pub yes: bool,
    /// Delete the backups, which hold the secret, without asking
    #[arg(long, conflicts_with = "keep_backup")]
    pub delete_backup: bool,
    /// Keep the backups, which hold the secret, without asking
    #[arg(long)]
    pub keep_backup: bool,
}

/// `keyrole keys add`
#[derive(Debug, Args)]
pub struct KeysAdd {
    /// The profile that is to use the key; it is made if it is not there
    pub profile: String,
    /// The access key ID
    #[arg(long, value_name = "ID")]
    pub access_key_id: Option<String>,
    /// Read the secret access key from standard input
    #[arg(long, requires = "access_key_id")]
    pub secret_from_stdin: bool,
    /// Write the profile's lines without asking
    #[arg(long, short)]
    pub yes: bool,
}

/// `keyrole keys rotate`
#[derive(Debug, Args)]
pub struct KeysRotate {
    /// The profile whose key it is
    pub profile: String,
    /// Do not ask first
    #[arg(long, short)]
    pub yes: bool,
    /// The MFA code, for scripts; others on this machine can see it in the process list
    #[arg(long, value_name = "CODE")]
    pub mfa_code: Option<String>,
}

/// `keyrole keys remove`
#[derive(Debug, Args)]
pub struct KeysRemove {
    /// The profile whose key it is
    pub profile: String,
    /// Do not ask first
    #[arg(long, short)]
    pub yes: bool,
}
