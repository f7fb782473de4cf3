//! `keyrole status`: what is cached, and for how long.

use crate::cache::{Fingerprint, SessionCache};
use crate::cli::Status;
use crate::commands::get::account;
use crate::config::AwsFiles;
use crate::credentials::{Session, UNUSABLE_SECONDS};
use crate::error::{Error, Kind, Printable, Result};
use crate::flight;
use crate::output::{self, timestamp};
use crate::plan::{Plan, Step};
use crate::profile;
use crate::provider;
use crate::world::World;
use serde::Serialize;
use std::fmt::Write;

/// One profile's row; also the JSON of `--json`.
#[derive(Serialize)]
struct Row {
    profile: String,
    account_id: Option<String>,
    role_arn: Option<String>,
    access_key_id: Option<String>,
    expiration: Option<String>,
    seconds_left: Option<i64>,
    mfa_serial: Option<String>,
    mfa_expiration: Option<String>,
    mfa_seconds_left: Option<i64>,
    /// Why the last renewal failed, if it did; `renewal_refused` tells that AWS refused it.
    renewal_error: Option<String>,
    renewal_refused: bool,
    store: &'static str,
}

/// Shows what is cached for the profiles named, or for all that have something cached.
///
/// # Errors
/// `NothingCached` (exit 3) if there is nothing valid.
pub fn run(arguments: &Status, world: &World) -> Result<()> {
    let files = AwsFiles::read(world)?;
    let sections = files.sections()?;
    let mut rows = Vec::new();
    if arguments.profiles.is_empty() {
        for name in sections.profile_names() {
            // A profile that keyrole cannot use has nothing cached.
            let Ok(plan) = profile::plan(&sections, name, world) else { continue };
            rows.push(row(&plan, world)?);
        }
        rows.retain(|row| row.seconds_left.is_some() || row.mfa_seconds_left.is_some());
    } else {
        for name in &arguments.profiles {
            rows.push(row(&profile::plan(&sections, name, world)?, world)?);
        }
    }
    let is_any_valid = rows.iter().any(|row| row.seconds_left.is_some());
    if arguments.json {
        let mut text = serde_json::to_string(&rows).map_err(|error| Error::failed(error.to_string()))?;
        text.push('\n');
        output::print(text.as_bytes())?;
    } else if !rows.is_empty() {
        output::print(table(&rows).as_bytes())?;
    }
    if is_any_valid {
        return Ok(());
    }
    let has_mfa_session = rows.iter().any(|row| row.mfa_seconds_left.is_some());
    Err(if has_mfa_session {
        Error::new(Kind::NothingCached, "no role's session is cached, but an MFA session is")
            .hint("`keyrole login PROFILE` gets the role's session without a code")
    } else {
        Error::new(Kind::NothingCached, "no valid session is cached")
            .hint("`keyrole login PROFILE` or `keyrole login --all` gets one")
    })
}

fn row(plan: &Plan, world: &World) -> Result<Row> {
    let store = provider::open_store(plan, world);
    let cache = SessionCache::new(&*store);
    let now = world.now();
    let valid = |steps: usize| -> Result<Option<Session>> {
        let found = cache
            .get(&Fingerprint::of(plan, steps))
            .map_err(|error| Error::failed(format!("cannot look into the store: {error}")))?;
        Ok(found.filter(|session| session.expiration - now >= UNUSABLE_SECONDS))
    };
    let session = valid(plan.steps.len())?;
    let mfa = match plan.steps.first() {
        Some(Step::SessionToken { mfa: Some(_), .. }) => valid(1)?,
        _ => None,
    };
    let renewal = flight::renewal(world, &Fingerprint::of(plan, plan.steps.len()).name()).filter(|_| session.is_some());
    Ok(Row {
        profile: plan.profile.clone(),
        account_id: account(plan).map(str::to_owned),
        role_arn: plan.role().map(|role| role.arn.to_string()),
        access_key_id: session.as_ref().map(|session| session.access_key_id.clone()),
        expiration: session.as_ref().map(|session| timestamp(session.expiration)),
        seconds_left: session.map(|session| session.expiration - now),
        mfa_serial: plan.mfa().map(|mfa| mfa.serial.clone()),
        mfa_expiration: mfa.as_ref().map(|session| timestamp(session.expiration)),
        mfa_seconds_left: mfa.map(|session| session.expiration - now),
        renewal_refused: renewal.as_ref().is_some_and(|renewal| renewal.is_refused),
        renewal_error: renewal.map(|renewal| renewal.message),
        store: store.label(),
    })
}

fn table(rows: &[Row]) -> String {
    let mut cells = vec![["PROFILE", "ACCOUNT", "ROLE", "SESSION", "MFA SESSION", "STORE"].map(str::to_owned)];
    for row in rows {
        let role = row.role_arn.as_deref().and_then(|arn| arn.split_once(":role/"));
        let left_of = |seconds: Option<i64>| seconds.map_or_else(|| "-".to_owned(), left);
        cells.push([
            Printable(&row.profile).to_string(),
            row.account_id.clone().unwrap_or_else(|| "-".to_owned()),
            role.map_or("-", |(_, name)| name).to_owned(),
            left_of(row.seconds_left),
            left_of(row.mfa_seconds_left),
            row.store.to_owned(),
        ]);
    }
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(width).collect();
    let mut text = String::new();
    for row in &cells {
        let line: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", line.join("  ").trim_end());
    }
    for row in rows {
        if let Some(error) = &row.renewal_error {
            let what = if row.renewal_refused { "AWS refuses to renew it" } else { "renewing failed" };
            let _ = writeln!(text, "{}: {what}: {}", Printable(&row.profile), Printable(error));
        }
    }
    text
}

/// Renders a span of seconds as people say it: `11h 52m`, `45m`, `50s`.
pub fn left(seconds: i64) -> String {
    let (hours, minutes) = (seconds / 3600, seconds % 3600 / 60);
    match (hours, minutes) {
        (0, 0) => format!("{}s", seconds.max(0)),
        (0, minutes) => format!("{minutes}m"),
        (hours, minutes) => format!("{hours}h {minutes:02}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::left;

    #[test]
    fn spans_are_written_as_people_say_them() {
        for (seconds, text) in [(43_199, "11h 59m"), (3600, "1h 00m"), (3599, "59m"), (59, "59s"), (-1, "0s")] {
            assert_eq!(left(seconds), text);
        }
    }
}
