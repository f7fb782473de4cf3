//! `keyrole status`: what is cached, for how long, what happened last, and when a person will be needed.

use crate::cache::{Fingerprint, SessionCache};
use crate::cli::Status;
use crate::commands::get::account;
use crate::commands::{warning, watch};
use crate::config::AwsFiles;
use crate::credentials::{Session, UNUSABLE_SECONDS};
use crate::error::{Error, Kind, Printable, Result};
use crate::flight;
use crate::log;
use crate::log::read::{self, Entry};
use crate::output::{self, parse_timestamp, span, timestamp};
use crate::plan::{Plan, Settings};
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
    /// For how long nobody has to be asked; `None` if nobody ever has to be.
    unattended_seconds_left: Option<i64>,
    /// For how long that can be at most.
    #[serde(skip)]
    most_seconds: i64,
    /// Why the last renewal failed, if it did; `renewal_refused` tells that AWS refused it.
    renewal_error: Option<String>,
    renewal_refused: bool,
    last_event: Option<String>,
    last_event_time: Option<String>,
    last_event_program: Option<String>,
    store: &'static str,
}

/// What is shown: the profiles that were chosen, and a row for each.
struct Table {
    plans: Vec<(Plan, Option<Settings>)>,
    rows: Vec<Row>,
}

/// Shows what is cached for the profiles named, or for all that have something cached.
///
/// # Errors
/// `NothingCached` (exit 3) if there is nothing valid; with `--exit-code`, if a person is needed too soon.
pub fn run(arguments: &Status, world: &World) -> Result<()> {
    if arguments.watch {
        return watch::run(|| shown(arguments, world));
    }
    let Table { plans, rows } = look(arguments, world)?;
    if arguments.exit_code {
        return check(&rows, min_seconds(arguments).unwrap_or(UNUSABLE_SECONDS));
    }
    if arguments.json {
        let mut text = serde_json::to_string(&rows).map_err(|error| Error::failed(error.to_string()))?;
        text.push('\n');
        output::print(text.as_bytes())?;
    } else if !rows.is_empty() {
        output::print(render(&rows, min_seconds(arguments), world.now()).as_bytes())?;
    }
    warning::give(plans.iter().filter_map(|(plan, settings)| Some((plan, settings.as_ref()?))), world);
    if rows.iter().any(|row| row.seconds_left.is_some()) {
        return Ok(());
    }
    let has_mfa_session = rows.iter().any(|row| row.mfa_seconds_left.is_some());
    Err(if has_mfa_session {
        Error::new(Kind::NothingCached, "no role's session is cached, but an MFA session is")
            .hint("`keyrole login PROFILE` gets the role's session without a code")
    } else {
        nothing_cached()
    })
}

fn nothing_cached() -> Error {
    Error::new(Kind::NothingCached, "no valid session is cached")
        .hint("`keyrole login PROFILE` or `keyrole login --all` gets one")
}

/// Makes one picture of `--watch`. What is wrong may be right at the next look, so it is shown like the rest.
fn shown(arguments: &Status, world: &World) -> String {
    match look(arguments, world) {
        Ok(table) if table.rows.is_empty() => format!("{}\n", nothing_cached()),
        Ok(table) => render(&table.rows, min_seconds(arguments), world.now()),
        Err(error) => format!("{error}\n"),
    }
}

fn min_seconds(arguments: &Status) -> Option<i64> {
    arguments.min.map(|min| i64::try_from(min.as_secs()).unwrap_or(i64::MAX))
}

/// Fails if a person has to be asked sooner than in `min` seconds.
fn check(rows: &[Row], min: i64) -> Result<()> {
    if rows.is_empty() {
        return Err(nothing_cached());
    }
    match rows.iter().find_map(|row| Some((row, row.unattended_seconds_left.filter(|&seconds| seconds < min)?))) {
        None => Ok(()),
        Some((row, seconds)) => {
            let name = &row.profile;
            let what = format!("profile `{name}` {}", needed(seconds, min));
            let mut hint = format!("`keyrole login {} --refresh` asks now", crate::mfa::quoted(name));
            if min > row.most_seconds {
                hint = format!(
                    "no session of it lasts longer than {}: `mfa_session_duration` may be up to 36 hours",
                    span(row.most_seconds)
                );
            }
            Err(Error::new(Kind::NothingCached, what).hint(hint))
        }
    }
}

/// Says when a code is needed that is needed sooner than in `min` seconds.
fn needed(seconds: i64, min: i64) -> String {
    if seconds == 0 {
        return "needs an MFA code now".to_owned();
    }
    format!("needs an MFA code in {}, sooner than {}", span(seconds), span(min))
}

fn look(arguments: &Status, world: &World) -> Result<Table> {
    let files = AwsFiles::read(world)?;
    let sections = files.sections()?;
    let mut table = Table { plans: Vec::new(), rows: Vec::new() };
    if arguments.profiles.is_empty() {
        for name in sections.profile_names() {
            // A profile that keyrole cannot use has nothing cached.
            let Ok(plan) = profile::plan(&sections, name, world) else { continue };
            let row = row(&plan, world)?;
            if row.seconds_left.is_some() || row.mfa_seconds_left.is_some() {
                table.plans.push((plan, profile::settings(&sections, name, world).ok()));
                table.rows.push(row);
            }
        }
    } else {
        for name in &arguments.profiles {
            let plan = profile::plan(&sections, name, world)?;
            table.rows.push(row(&plan, world)?);
            table.plans.push((plan, Some(profile::settings(&sections, name, world)?)));
        }
    }
    add_last_events(&mut table.rows, world);
    Ok(table)
}

fn add_last_events(rows: &mut [Row], world: &World) {
    let Some(path) = world.state_dir().map(log::path) else { return };
    let names: Vec<&str> = rows.iter().map(|row| row.profile.as_str()).collect();
    let entries: Vec<Option<Entry>> = read::last_entries(&path, &names);
    for (row, entry) in rows.iter_mut().zip(entries) {
        let Some(entry) = entry else { continue };
        row.last_event = Some(entry.event);
        row.last_event_time = Some(entry.time);
        row.last_event_program = entry.program;
    }
}

fn row(plan: &Plan, world: &World) -> Result<Row> {
    let store = provider::open_store(plan, world)?;
    let cache = SessionCache::new(&*store);
    let now = world.now();
    let valid = |steps: usize| -> Result<Option<Session>> {
        let found = cache
            .get(&Fingerprint::of(plan, steps))
            .map_err(|error| Error::failed(format!("cannot look into the store: {error}")))?;
        Ok(found.filter(|session| session.expiration - now >= UNUSABLE_SECONDS))
    };
    let session = valid(plan.steps.len())?;
    let mfa = if plan.has_mfa_session() { valid(1)? } else { None };
    let left = |session: &Session| session.expiration - now;
    let (seconds_left, mfa_seconds_left) = (session.as_ref().map(left), mfa.as_ref().map(left));
    let place_of = |steps: usize| store.place_of(&Fingerprint::of(plan, steps).name()).ok().flatten();
    let place = if session.is_some() { place_of(plan.steps.len()) } else { mfa.as_ref().and_then(|_| place_of(1)) };
    let renewal = flight::renewal(world, &Fingerprint::of(plan, plan.steps.len()).name()).filter(|_| session.is_some());
    Ok(Row {
        profile: plan.profile.clone(),
        account_id: account(plan).map(str::to_owned),
        role_arn: plan.role().map(|role| role.arn.to_string()),
        access_key_id: session.as_ref().map(|session| session.access_key_id.clone()),
        expiration: session.as_ref().map(|session| timestamp(session.expiration)),
        seconds_left,
        mfa_serial: plan.mfa().map(|mfa| mfa.serial.clone()),
        mfa_expiration: mfa.as_ref().map(|session| timestamp(session.expiration)),
        mfa_seconds_left,
        unattended_seconds_left: plan.needs_person().then(|| seconds_left.max(mfa_seconds_left).unwrap_or(0)),
        most_seconds: plan.steps.iter().map(|step| i64::from(step.duration())).max().unwrap_or(0),
        renewal_refused: renewal.as_ref().is_some_and(|renewal| renewal.is_refused),
        renewal_error: renewal.map(|renewal| renewal.message),
        last_event: None,
        last_event_time: None,
        last_event_program: None,
        store: place.unwrap_or_else(|| store.label()),
    })
}

fn render(rows: &[Row], min: Option<i64>, now: i64) -> String {
    let titles = ["PROFILE", "ACCOUNT", "ROLE", "SESSION", "MFA SESSION", "STORE", "LAST EVENT"];
    let mut cells = vec![titles.map(str::to_owned)];
    for row in rows {
        let role = row.role_arn.as_deref().and_then(|arn| arn.split_once(":role/"));
        let left_of = |seconds: Option<i64>| seconds.map_or_else(|| "-".to_owned(), span);
        cells.push([
            Printable(&row.profile).to_string(),
            row.account_id.clone().unwrap_or_else(|| "-".to_owned()),
            role.map_or("-", |(_, name)| name).to_owned(),
            left_of(row.seconds_left),
            left_of(row.mfa_seconds_left),
            row.store.to_owned(),
            last_event(row, now),
        ]);
    }
    let mut text = output::table(&cells);
    for row in rows {
        let name = Printable(&row.profile);
        // Writing to a String cannot fail.
        if let Some(error) = &row.renewal_error {
            let what = if row.renewal_refused { "AWS refuses to renew it" } else { "renewing failed" };
            let _ = writeln!(text, "{name}: {what}: {}", Printable(error));
        }
        if let (Some(left), Some(min)) = (row.unattended_seconds_left, min)
            && left < min
        {
            let _ = writeln!(text, "{name}: {}", needed(left, min));
        }
    }
    text
}

/// Says what happened last: `hit 3m ago by terraform`.
fn last_event(row: &Row, now: i64) -> String {
    let Some(event) = &row.last_event else { return "-".to_owned() };
    let mut text = event.replace('_', " ");
    if let Some(time) = row.last_event_time.as_deref().and_then(parse_timestamp) {
        text += &format!(" {} ago", span(now - time));
    }
    if let Some(program) = &row.last_event_program {
        text += &format!(" by {program}");
    }
    Printable(&text).to_string()
}
