//! Owns the checks of the MFA device: whose it is, whether its program answers, and whether somebody could be asked.

use super::{Patient, Report};
use crate::error::Printable;
use crate::mfa;
use crate::plan::Source;
use crate::process_line;

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
        match mfa::run_process(plan, command) {
            Err(_) if process_line::is_missing(&program, patient.world) => {
                let what = format!("there is no program `{}` on the `PATH`", Printable(&program));
                report.fail("process", "`mfa_process`", what, &["install it, or write its absolute path"]);
            }
            Ok(_) => report.ok("process", "`mfa_process`", "it prints six digits"),
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
