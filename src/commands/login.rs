//! `keyrole login`: asks now and warms every role named, so that nobody is asked later.

use crate::cache::Fingerprint;
use crate::cli::{Login, Which};
use crate::commands::get::parse_code;
use crate::commands::warning;
use crate::config::{AwsFiles, Sections};
use crate::credentials::Session;
use crate::error::{Error, Kind, Printable, Result};
use crate::mfa::{Asker, TokenCode};
use crate::output;
use crate::plan::{Plan, Settings};
use crate::profile;
use crate::provider::{self, Options, Provider, Refresh};
use crate::sign_in;
use crate::store::{SecretStore, StoreError};
use crate::world::World;
use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

/// How many roles are fetched at a time: enough to hide the distance to STS, too few for it to throttle.
const WORKERS: usize = 8;

/// Fetches the sessions of the profiles named, saying on stderr how it goes.
///
/// # Errors
/// The only failure, or how many profiles failed; every profile is tried first.
pub fn run(arguments: &Login, world: &World) -> Result<()> {
    let given = arguments.mfa_code.as_deref().map(parse_code).transpose()?;
    let files = AwsFiles::read(world)?;
    let sections = files.sections()?;
    let names = chosen(&arguments.which, &sections)?;
    let plan = |name: &&str| Ok((profile::plan(&sections, name, world)?, profile::settings(&sections, name, world)?));
    let plans: Vec<Result<(Plan, Settings)>> = names.iter().map(plan).collect();
    let refused = ask(&plans, given.clone(), arguments.refresh, world)?;

    let progress = Progress::new(names.len());
    let failures: Mutex<Vec<Error>> = Mutex::default();
    let signed_out: Mutex<Vec<(usize, Error)>> = Mutex::default();
    let settle = |index: usize, result: Result<Session>| {
        let name = Printable(names[index]);
        match &result {
            Ok(session) => {
                progress.say(&format!("{name}: ready, {} left", output::span(session.expiration - world.now())))
            }
            Err(error) if names.len() > 1 => {
                let hint =
                    error.hint_text().map_or_else(String::new, |hint| format!("\nkeyrole:   {}", Printable(hint)));
                progress.say(&format!("{name}: {}{hint}", Printable(error.message())));
            }
            Err(_) => {}
        }
        if let Err(error) = result {
            locked(&failures).push(error);
        }
    };
    let fetch = |index: usize| {
        let (plan, settings) = plans[index].as_ref().map_err(Error::clone)?;
        match refused.get(&mfa_fingerprint(plan)) {
            Some(error) => Err(error.clone()),
            None => fetch(plan, settings, &given, arguments.refresh, world),
        }
    };
    at_once((0..names.len()).collect(), &|index| match fetch(index) {
        Err(error) if error.kind() == Kind::SignInNeeded => locked(&signed_out).push((index, error)),
        result => settle(index, result),
    });
    progress.end();
    let signed_out = std::mem::take(&mut *locked(&signed_out));
    let signed_in = sign_in(&plans, signed_out, &settle, &|| progress.end(), world)?;
    at_once(signed_in, &|index| settle(index, fetch(index)));
    progress.end();
    warning::give(plans.iter().flatten().map(|(plan, settings)| (plan, settings)), world);
    let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    let failed = failures.len();
    match failures.into_iter().next() {
        Some(error) if names.len() > 1 && error.signal().is_none() => {
            let summary = Error::new(error.kind(), format!("{failed} of {} profiles failed", names.len()));
            Err(summary.hint("`keyrole doctor PROFILE` finds what is wrong with one"))
        }
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// Does the work for several profiles at once.
fn at_once(indexes: Vec<usize>, work: &(dyn Fn(usize) + Sync)) {
    let next = AtomicUsize::new(0);
    let worker = || {
        while let Some(&index) = indexes.get(next.fetch_add(1, Ordering::Relaxed)) {
            work(index);
        }
    };
    thread::scope(|scope| {
        for _ in 1..WORKERS.min(indexes.len()) {
            // At a limit of processes fewer do the same.
            let _ = thread::Builder::new().spawn_scoped(scope, worker);
        }
        worker();
    });
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Offers to sign in again where a source needs that, once for each sign-in. Gives the profiles to try again and settles
/// the others.
fn sign_in(
    plans: &[Result<(Plan, Settings)>],
    signed_out: Vec<(usize, Error)>,
    settle: &dyn Fn(usize, Result<Session>),
    clear: &dyn Fn(),
    world: &World,
) -> Result<Vec<usize>> {
    let mut outcomes: Vec<(Vec<&str>, Result<bool>)> = Vec::new();
    let mut again = Vec::new();
    for (index, why) in signed_out {
        let Ok((plan, settings)) = &plans[index] else { continue };
        let of = plan.source.sign_in_of();
        let outcome = match outcomes.iter().find(|(earlier, _)| *earlier == of) {
            Some((_, outcome)) => outcome.clone(),
            None => {
                clear();
                let outcome = sign_in::offer(plan, settings, &why, world);
                outcomes.push((of, outcome.clone()));
                outcome
            }
        };
        match outcome {
            Ok(true) => again.push(index),
            Ok(false) => settle(index, Err(why)),
            Err(error) if error.signal().is_some() => return Err(error),
            Err(error) => settle(index, Err(error)),
        }
    }
    Ok(again)
}

/// Gets every MFA session that the plans need, one after the other, as one person can answer one prompt at a time.
/// Gives those that failed.
fn ask(
    plans: &[Result<(Plan, Settings)>],
    mut given: Option<TokenCode>,
    refresh: bool,
    world: &World,
) -> Result<HashMap<Option<Fingerprint>, Error>> {
    let mut outcomes = HashMap::new();
    for (plan, settings) in plans.iter().flatten() {
        let fingerprint = mfa_fingerprint(plan);
        if fingerprint.is_none() || outcomes.contains_key(&fingerprint) {
            continue;
        }
        let store = match open(plan, world) {
            Ok(store) => store,
            Err(error) => {
                outcomes.insert(fingerprint, Some(error));
                continue;
            }
        };
        let refresh = if refresh { Refresh::All } else { Refresh::No };
        let options = Options { refresh, asker: Asker::new(given.take(), true, settings), is_typed: true };
        let mut provider = Provider::new(world, plan, settings, &*store, options);
        let outcome = provider.mfa_session();
        // Where there was an MFA session already, the code is for the next device.
        given = provider.into_code();
        if let Err(error) = &outcome
            && error.signal().is_some()
        {
            return Err(error.clone());
        }
        outcomes.insert(fingerprint, outcome.err());
    }
    Ok(outcomes.into_iter().filter_map(|(fingerprint, error)| Some((fingerprint, error?))).collect())
}

/// Opens a plan's store and makes sure that what is fetched will be found again; otherwise a code would be used up for
/// nothing. Whoever has typed `login` can unlock a keyring.
fn open<'a>(plan: &Plan, world: &'a World) -> Result<Box<dyn SecretStore + 'a>> {
    let store = provider::open_store(plan, world)?;
    let kept = match store.probe() {
        Err(StoreError::Closed(_)) => store.unlock().and_then(|()| store.probe()),
        kept => kept,
    };
    kept.map_err(|error| {
        Error::failed(format!("no session can be kept here: {error}"))
            .hint("`login` is of use only with a store that works; `keyrole get --mfa-code CODE` works without one")
    })?;
    Ok(store)
}

fn fetch(plan: &Plan, settings: &Settings, given: &Option<TokenCode>, refresh: bool, world: &World) -> Result<Session> {
    let store = open(plan, world)?;
    // The MFA session is new already.
    let refresh = if refresh { Refresh::Session } else { Refresh::No };
    // Where there is no MFA session the code goes into the role's own call.
    let given = given.clone().filter(|_| !plan.has_mfa_session());
    let options = Options { refresh, asker: Asker::new(given, true, settings), is_typed: true };
    Provider::new(world, plan, settings, &*store, options).session()
}

fn mfa_fingerprint(plan: &Plan) -> Option<Fingerprint> {
    plan.has_mfa_session().then(|| Fingerprint::of(plan, 1))
}

/// Gives the profiles named, or every profile with a role.
fn chosen<'a>(which: &'a Which, sections: &'a Sections<'a>) -> Result<Vec<&'a str>> {
    if !which.all {
        let mut names: Vec<&str> = Vec::new();
        for name in &which.profiles {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        return Ok(names);
    }
    let names: Vec<&str> =
        sections.profile_names().into_iter().filter(|name| profile::has_role(sections, name)).collect();
    if names.is_empty() {
        let file = sections.config_path().display();
        return Err(Error::usage(format!("no profile in `{file}` has a role"))
            .hint("add `keyrole_role_arn` and `keyrole_source_profile` to a profile"));
    }
    Ok(names)
}

/// What is said on stderr: a line for each profile, and on a terminal how many are done.
struct Progress {
    total: usize,
    done: Mutex<usize>,
    is_live: bool,
}

impl Progress {
    fn new(total: usize) -> Self {
        // An older console of Windows would show the escape sequences.
        let is_live = cfg!(not(windows)) && total > 1 && std::io::stderr().is_terminal();
        Self { total, done: Mutex::new(0), is_live }
    }

    fn say(&self, text: &str) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        *done += 1;
        if self.is_live {
            // The count stands below the lines and is written over by the next one.
            output::say(&format!("\r\x1b[Kkeyrole: {text}\nkeyrole: {} of {} done", *done, self.total));
        } else {
            output::say(&format!("keyrole: {text}\n"));
        }
    }

    fn end(&self) {
        if self.is_live {
            output::say("\r\x1b[K");
        }
    }
}
