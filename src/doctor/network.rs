//! Owns the checks of the way to STS, and of this machine's clock against that of AWS.

use super::{Patient, Report};

/// AWS takes a signature that is at most so old or so far in the future.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/signature-v4-troubleshooting.html>
const TOLERATED_SECONDS: i64 = 300;
/// A clock this far off still works; it is about to stop.
const NOTABLE_SECONDS: i64 = 60;

/// Checks that STS can be reached, and over what.
pub fn check(report: &mut Report, patient: &Patient) {
    let world = patient.world;
    let proxies = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
    let set: Vec<&str> = proxies.into_iter().filter(|name| world.var(name).is_some()).collect();
    let way = if set.is_empty() { "directly".to_owned() } else { format!("by the proxy of `{}`", set.join("`, `")) };
    if let Ok((_, settings)) = &patient.plan {
        match &settings.ca_bundle {
            Some(bundle) => {
                report.ok("roots", "the certificates to trust", format!("those of `{}`", bundle.path.display()))
            }
            None => report.ok("roots", "the certificates to trust", "the system's"),
        }
    }
    match (&patient.network, &patient.answer) {
        (Some(Err(error)), _) => report.error("sts", "the settings for the network", error),
        (_, Some(Err(error))) => report.error("sts", "a request to STS", error),
        (_, Some(Ok((answer, _)))) => {
            let milliseconds = answer.took.as_millis();
            report.ok("sts", "a request to STS", format!("`{}` answers {way}, in {milliseconds} ms", answer.url));
        }
        _ => {}
    }
    let looked_at = "a request to the fallback region's STS";
    match &patient.fallback {
        Some(Err(error)) => report.error("sts_fallback", looked_at, error),
        Some(Ok(answer)) => {
            let milliseconds = answer.took.as_millis();
            report.ok("sts_fallback", looked_at, format!("`{}` answers {way}, in {milliseconds} ms", answer.url));
        }
        None => {}
    }
}

/// Checks the clock against the date in STS's answer.
pub fn clock(report: &mut Report, patient: &Patient) {
    let Some(Ok((_, Some(offset)))) = &patient.answer else { return };
    let offset = *offset;
    let looked_at = "the date in STS's answer";
    let mend = if cfg!(windows) {
        "w32tm /resync"
    } else if cfg!(target_os = "macos") {
        "sudo sntp -sS time.apple.com"
    } else {
        "sudo timedatectl set-ntp true"
    };
    let side = if offset > 0 { "behind" } else { "ahead of" };
    let what =
        format!("this machine's clock is {} s {side} AWS's, which tolerates {TOLERATED_SECONDS} s", offset.abs());
    match offset.abs() {
        0..=2 => report.ok("clock", looked_at, "this machine's clock agrees with AWS's"),
        3..NOTABLE_SECONDS => report.ok("clock", looked_at, what),
        NOTABLE_SECONDS..=TOLERATED_SECONDS => report.warn("clock", looked_at, what, &[mend]),
        _ => report.fail("clock", looked_at, what, &[mend]),
    }
}
