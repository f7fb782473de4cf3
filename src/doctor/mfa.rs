//! Owns the checks of the MFA device: whose it is, whether its program answers, and whether somebody could be asked.

use super::{Patient, Report};
use crate::error::Printable;
use crate::mfa;
use crate::plan::Source;
use crate::process_line;
use std::time::{Duration, Instant};

/// How long the program for the code is waited for here; nobody has asked for a code.
const LIMIT: Duration = Duration::from_secs(4);

/// Checks the device of a profile.
pub fn check(report: &mut Report, patient: &Patient) {
    let Ok((plan, settings)) = &patient.plan else { return };
    let Some(device) = plan.mfa() else {
        report.ok("serial", "`mfa_serial`", "none on the profile or its source: no code is needed");
        return;
    };
    let serial = Printable(&device.serial).to_string();
    let account = device.serial.split(':').nth(4).filter(|account| !account.is_empty());
    match (account, patient.identity.get()) {
        (Some(account), Some(identity)) if account != identity.account => {
            let what =
                format!("`{serial}` belongs to account {account}, the source to {}", Printable(&identity.account));
            let source = match &plan.source {
                Source::Keys { profile, .. } | Source::Sdk { profile, .. } => {
                    format!(" --profile {}", mfa::quoted(profile))
                }
                _ => String::new(),
            };
            let mend = format!("aws iam list-mfa-devices{source} --query \"MFADevices[].SerialNumber\"");
            report.fail("serial", "`mfa_serial`", what, &[&mend]);
        }
        _ => report.ok("serial", "`mfa_serial`", format!("`{serial}`")),
    }
    if let Some(command) = &device.process {
        let program = process_line::words(command).into_iter().next().unwrap_or_default();
        let began = Instant::now();
        match mfa::run_process(plan, command, LIMIT) {
            Err(_) if process_line::is_missing(&program, patient.world) => {
                // Security: a command in quotes is one word, and may hold the device's seed.
                let shown = program.split_whitespace().next().unwrap_or_default();
                let what = match shown == program {
                    true => format!("there is no program `{}` on the `PATH`", Printable(shown)),
                    false => "the whole command stands in quotes, which makes it the name of one program".to_owned(),
                };
                report.fail("process", "`mfa_process`", what, &["install it, or write its absolute path"]);
            }
            Ok(_) => report.ok("process", "`mfa_process`", "it prints six digits"),
            Err(_) if began.elapsed() >= LIMIT => {
                let what = format!(
                    "it did not answer within {} s; if it waits for a touch, that is as it should be",
                    LIMIT.as_secs()
                );
                report.warn("process", "`mfa_process`", what, &["run its command by hand to see what it waits for"]);
            }
            Err(error) => report.error("process", "`mfa_process`", &error),
        }
    }
    match mfa::means(settings.prompt, patient.world) {
        Ok(means) => report.ok("prompt", "how somebody could be asked here and now", means),
        Err(why) => {
            let mend = format!("keyrole login {}", patient.quoted());
            report.warn("prompt", "how somebody could be asked here and now", why, &[&mend]);
        }
    }
}
