//! `keyrole completions` and `keyrole man`, both made from the command line's definition.

use crate::cli::Cli;
use crate::error::{Error, Result};
use crate::log::Event;
use crate::output;
use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;
use std::io::Write;

/// Prints the completions for a shell.
///
/// # Errors
/// stdout cannot be written.
pub fn completions(shell: Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "keyrole", &mut script);
    output::print(&script)
}

/// The configuration keys, as the man page tells them; the README has the same list at more length.
const KEYS: &[(&str, &str)] = &[
    ("role_arn, source_profile, external_id, role_session_name, duration_seconds", "as for the AWS CLI"),
    ("credential_source", "Environment, Ec2InstanceMetadata or EcsContainer, instead of source_profile"),
    ("mfa_serial", "the MFA device; on the role, else inherited from the source profile"),
    ("mfa_process", "a command that prints the code"),
    ("mfa_session_duration", "seconds, 900 to 129600, by default 43200; 0 asks per role instead"),
    ("session_tags, transitive_session_tags", "k=v,k2=v2 and k,k2"),
    ("source_identity, policy, policy_arns", "passed to AssumeRole; policy is JSON or file: and a path"),
    (
        "web_identity_token_file, sso_session, sso_*, login_session, credential_process, aws_access_key_id",
        "on the source profile: where your own identity comes from",
    ),
    (
        "region, sts_regional_endpoints, endpoint_url, services, use_fips_endpoint, use_dualstack_endpoint, ca_bundle",
        "as for the AWS CLI v2, with their AWS_ variables",
    ),
    ("keyrole_sts_fallback_region", "the region whose STS is asked, once, where that of region gives no answer"),
    (
        "keyrole_aws_access_key_id",
        "without a secret beside it: the access key whose secret keyrole keys has put into a store",
    ),
    ("keyrole_store, KEYROLE_STORE", "auto, keyutils, secret-service, keychain, wincred, file or none"),
    (
        "KEYROLE_FILE_KEY_FILE, KEYROLE_FILE_KEY",
        "a file with the key for the store file, or the key itself: at least 32 random bytes",
    ),
    ("keyrole_prompt, KEYROLE_PROMPT", "auto, terminal, pinentry, gui or none"),
    ("keyrole_prompt_timeout, KEYROLE_PROMPT_TIMEOUT", "seconds to wait at a prompt, by default 300"),
    ("keyrole_call_timeout, KEYROLE_CALL_TIMEOUT", "seconds to wait for another keyrole's call, by default 30"),
    (
        "keyrole_warn_before, KEYROLE_WARN_BEFORE",
        "seconds before the end of the MFA session at which a person is warned, by default 1800; 0 for never",
    ),
    ("keyrole_notify, KEYROLE_NOTIFY", "yes tells the desktop that a code is needed; by default no"),
];

/// What the man page tells of the log, before the events.
const LOG: &str = "\
keyrole.log has one JSON object a line, with the keys time, event, profile, role_arn, access_key_id, expiration, source, \
endpoint, error, ms, program, program_pid, callers and pid, as far as they apply. KEYROLE_LOG is off, error or all, by default \
all; get takes any other value for all. These are the events:";

/// Prints the man page, with a part for each subcommand.
///
/// # Errors
/// stdout cannot be written.
pub fn man() -> Result<()> {
    page()
        .map_err(|error| Error::failed(format!("cannot make the man page: {error}")))
        .and_then(|page| output::print(&page))
}

fn page() -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let mut command = Cli::command();
    command.build();
    let man = Man::new(command.clone());
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_options_section(&mut page)?;
    writeln!(page, ".SH COMMANDS")?;
    // clap adds `help` to those that have subcommands, with all of them below it once more.
    let is_ours = |subcommand: &&clap::Command| subcommand.get_name() != "help";
    let first = command.get_subcommands().filter(is_ours);
    let all =
        first.flat_map(|subcommand| std::iter::once(subcommand).chain(subcommand.get_subcommands().filter(is_ours)));
    for subcommand in all {
        let man = Man::new(subcommand.clone());
        let mut part = Vec::new();
        man.render_description_section(&mut part)?;
        // clap's own line says where `…` and `--` stand.
        let usage = subcommand.clone().render_usage().to_string();
        let usage = usage.trim_start_matches("Usage: ").replace('-', "\\-");
        writeln!(part, ".SH SYNOPSIS\n.B {usage}")?;
        man.render_options_section(&mut part)?;
        let name = subcommand.get_display_name().unwrap_or(subcommand.get_name());
        writeln!(page, ".SS {}", name.trim_start_matches("keyrole-").replacen('-', " ", 1))?;
        // What are sections on a page of their own are paragraphs here.
        for line in String::from_utf8_lossy(&part).lines() {
            writeln!(page, "{}", if line.starts_with(".SH") { ".PP" } else { line })?;
        }
    }
    writeln!(
        page,
        ".SH CONFIGURATION\nIn ~/.aws/config. Every key may be written with the prefix keyrole_, which wins."
    )?;
    for (keys, meaning) in KEYS {
        writeln!(page, ".TP\n.B {keys}\n{meaning}")?;
    }
    writeln!(page, ".SH EXIT STATUS")?;
    for (code, meaning) in crate::cli::EXIT_CODES {
        writeln!(page, ".TP\n.B {code}\n{meaning}")?;
    }
    writeln!(page, ".SH LOG\n{LOG}")?;
    for (name, meaning) in Event::ALL.map(Event::describe) {
        writeln!(page, ".TP\n.B {name}\n{meaning}")?;
    }
    writeln!(
        page,
        ".SH FILES\n.TP\n.B $XDG_STATE_HOME/keyrole\nlocks, keyrole.log and keyrole.log.1, no secrets; in sessions and keys, the sealed files of the store file. On Windows %LOCALAPPDATA%\\ekeyrole\\edata"
    )?;
    writeln!(page, ".TP\n.B ~/.aws/config.keyrole-backup-*\nwhat the config file was before keyrole setup wrote it")?;
    writeln!(
        page,
        ".TP\n.B ~/.aws/*.keyrole-keys-backup-*\nwhat the files were before keyrole keys import, with the secret"
    )?;
    man.render_version_section(&mut page)?;
    Ok(page)
}
