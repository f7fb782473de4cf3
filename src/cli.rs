//! Owns the command line. Help, the man page and completions are made from these types.

use clap::{Args, Parser, Subcommand};

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

Exit codes: 0 success, 1 failed, 2 usage or configuration, 3 nothing cached (status),
4 a person is needed and cannot be asked, 5 AWS refused.";

/// The exit codes and what they mean.
pub const EXIT_CODES: &[(u8, &str)] = &[
    (0, "success"),
    (1, "failed"),
    (2, "usage or configuration error"),
    (3, "status: nothing valid is cached"),
    (4, "a person is needed (MFA) and cannot be asked, or did not answer in time"),
    (5, "AWS refused"),
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
    #[arg(value_name = "PROFILE", required_unless_present = "all", conflicts_with = "all")]
    pub profiles: Vec<String>,
    /// Every profile that has a role
    #[arg(long)]
    pub all: bool,
}

/// `keyrole status`
#[derive(Debug, Args)]
pub struct Status {
    /// The profiles in ~/.aws/config; without any, those that have something cached
    #[arg(value_name = "PROFILE")]
    pub profiles: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
