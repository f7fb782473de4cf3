//! Owns the checks of the store: which one it is, whether it keeps what it is given, and what it keeps for a profile.

use super::{Patient, Report, place};
use crate::cache::{Fingerprint, SessionCache};
use crate::credentials::UNUSABLE_SECONDS;
use crate::output::span;
use crate::plan::StoreChoice;
use crate::profile;
use crate::provider;
use crate::store::{self, StoreError};
use crate::world::World;
use std::time::Instant;

/// Checks the store of a profile.
pub fn check(report: &mut Report, patient: &Patient) {
    let Ok((plan, _)) = &patient.plan else { return };
    let store = match provider::open_store(plan, patient.world) {
        Ok(store) => store,
        Err(error) => return report.error("round-trip", "`keyrole_store`", &error),
    };
    let is_chosen = plan.store != StoreChoice::Auto;
    let line = profile::property(patient.sections, patient.name, "store");
    let (chosen, unset) = match line {
        _ if !is_chosen => ("the first that works".to_owned(), String::new()),
        _ if patient.world.var("KEYROLE_STORE").is_some() => {
            ("by `KEYROLE_STORE`".to_owned(), "unset KEYROLE_STORE".to_owned())
        }
        Some(line) => {
            let place = place(line);
            (format!("by `{}` in {place}", line.key), format!("remove `{}` in {place}", line.key))
        }
        None => ("by `keyrole_store`".to_owned(), String::new()),
    };
    let looked_at = format!("`{}`, {chosen}: an entry written, read and removed", store.label());
    // Profiles with the same store need not all try it.
    if !report.checks.iter().any(|check| check.check == "round-trip" && check.looked_at == looked_at) {
        let began = Instant::now();
        match store.probe() {
            Ok(()) => {
                let what = format!("it took {:.1} ms", began.elapsed().as_secs_f64() * 1000.0);
                report.ok("round-trip", &looked_at, what);
            }
            Err(_) if plan.store == StoreChoice::None => {
                let what = "nothing is kept: every call asks AWS, and where there is a serial, a person for the code";
                report.warn("round-trip", &format!("`none`, {chosen}"), what, &[&format!("to keep sessions, {unset}")]);
            }
            Err(error) => {
                let mend = remedy(&error).to_owned() + &if is_chosen { format!(", or {unset}") } else { String::new() };
                report.fail("round-trip", &looked_at, error.to_string(), &[&mend]);
            }
        }
        #[cfg(target_os = "linux")]
        if store.label() == "keyutils" {
            quota(report);
        }
        #[cfg(unix)]
        key_file(report, patient.world);
        if matches!(plan.store, StoreChoice::Auto | StoreChoice::File) {
            sealed(report, patient.world);
        }
        if !is_chosen {
            order(report, store.label(), patient.world);
        }
    }
    let cache = SessionCache::new(&*store);
    let now = patient.world.now();
    let shown = |steps: usize| {
        let found = cache.get(&Fingerprint::of(plan, steps)).ok().flatten();
        let seconds = found.map(|session| session.expiration - now).filter(|&seconds| seconds >= UNUSABLE_SECONDS);
        seconds.map_or_else(|| "none".to_owned(), |seconds| format!("{} left", span(seconds)))
    };
    let mut what = format!("session: {}", shown(plan.steps.len()));
    if plan.has_mfa_session() {
        what += &format!("; MFA session: {}", shown(1));
    }
    report.ok("entries", "the entries of this profile", what);
}

fn remedy(error: &StoreError) -> &'static str {
    match error {
        StoreError::Closed(_) => "unlock the keyring of your desktop, or set `KEYROLE_STORE`",
        StoreError::Full(_) => "keyrole logout --all",
        StoreError::Unavailable(_) => "set `KEYROLE_STORE` to a store that works here; `none` keeps nothing",
    }
}

/// Tells how much of this user's share of the kernel's keyrings is used, see keyrings(7).
#[cfg(target_os = "linux")]
fn quota(report: &mut Report) {
    let user = format!("{}:", rustix::process::geteuid().as_raw());
    let table = std::fs::read_to_string("/proc/key-users").unwrap_or_default();
    let Some(line) = table.lines().find(|line| line.trim_start().starts_with(&user)) else { return };
    // `uid: usage keys/instantiated  quota-keys/maximum  quota-bytes/maximum`
    let [keys, bytes] = [3, 4].map(|field| {
        let (used, most) = line.split_whitespace().nth(field)?.split_once('/')?;
        Some((used.parse::<u64>().ok()?, most.parse::<u64>().ok()?))
    });
    let (Some(keys), Some(bytes)) = (keys, bytes) else { return };
    let what = format!("{} of {} keys and {} of {} bytes are used", keys.0, keys.1, bytes.0, bytes.1);
    let is_short = |(used, most): (u64, u64)| used * 10 > most * 9;
    if is_short(keys) || is_short(bytes) {
        report.warn("quota", "`/proc/key-users`", what, &["keyrole logout --all"]);
    } else {
        report.ok("quota", "`/proc/key-users`", what);
    }
}

/// Warns of a key that others can read although its owner could forbid it. The secrets of Docker and Kubernetes are
/// root's and readable by all in their container; that is theirs to decide.
#[cfg(unix)]
fn key_file(report: &mut Report, world: &World) {
    use std::os::unix::fs::MetadataExt;
    let Some(path) = world.var(store::KEY_FILE_VARIABLE) else { return };
    let Ok(metadata) = std::fs::metadata(world.expand(&path)) else { return };
    let owner = metadata.uid();
    if owner != 0 && owner == rustix::process::geteuid().as_raw() && metadata.mode() & 0o077 != 0 {
        let what = format!("others can read the key for sealed files (mode {:o})", metadata.mode() & 0o777);
        report.warn(
            "key-file",
            &format!("`{path}`"),
            what,
            &[&format!("chmod 600 {}", crate::mfa::quoted(&path.to_string()))],
        );
    }
}

/// Tells of sealed sessions that the key does not open; `get` takes them for sessions that are not there.
fn sealed(report: &mut Report, world: &World) {
    if !store::row(world).any(|choice| choice == StoreChoice::File) {
        return;
    }
    // Without a usable key that was said already.
    let Ok(files) = store::open(StoreChoice::File, world) else { return };
    let names = files.names().unwrap_or_default();
    let closed = names.iter().filter(|name| matches!(files.get(name), Ok(None))).count();
    let looked_at = "the sealed files";
    if closed > 0 {
        let what = format!("this key does not open {closed} of {}: they were sealed with another one", names.len());
        let mend = format!(
            "give that key in `{}` or `{}`; `keyrole logout --all` removes them",
            store::KEY_FILE_VARIABLE,
            store::KEY_VARIABLE
        );
        report.warn("sealed", looked_at, what, &[&mend]);
    } else if !names.is_empty() {
        report.ok("sealed", looked_at, format!("this key opens all {}", names.len()));
    }
}

/// Tells in which order `auto` tries its stores, and what each of them is good for here.
fn order(report: &mut Report, used: &str, world: &World) {
    let length = store::row(world).count();
    for (index, choice) in store::row(world).enumerate() {
        let store = match store::open(choice, world) {
            Ok(store) => store,
            Err(error) => {
                report.error("order", "`auto`", &error);
                continue;
            }
        };
        let looked_at = format!("`{}`, {} of {} that `auto` tries", store.label(), index + 1, length);
        match store.probe() {
            Ok(()) if store.label() == used => report.ok("order", &looked_at, "it is used"),
            Ok(()) => report.ok("order", &looked_at, "it works, for what those before it do not take"),
            Err(error @ StoreError::Unavailable(_)) => report.ok("order", &looked_at, format!("not here: {error}")),
            Err(error) => report.warn("order", &looked_at, error.to_string(), &[remedy(&error)]),
        }
    }
}
