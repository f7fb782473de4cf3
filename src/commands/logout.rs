//! `keyrole logout`: removes cached sessions.

use crate::cache::{Fingerprint, SessionCache};
use crate::cli::Which;
use crate::config::AwsFiles;
use crate::error::{Error, Printable, Result};
use crate::log::{Event, Log, Record};
use crate::output;
use crate::plan::StoreChoice;
use crate::profile;
use crate::store::{self, SecretStore, StoreError};
use crate::world::World;

/// Removes the sessions of the profiles named, with the MFA and intermediate sessions on the way to them; with
/// `--all` everything that keyrole has ever stored.
///
/// # Errors
/// A store could not be asked.
pub fn run(arguments: &Which, world: &World) -> Result<()> {
    let log = Log::new(world);
    let note = |profile| log.write(world.now(), &Record::new(Event::Logout, profile));
    if arguments.all {
        let removed = remove_all(world)?;
        if removed > 0 {
            note("");
        }
        output::say(&format!(
            "keyrole: {removed} cached {} removed\n",
            if removed == 1 { "session" } else { "sessions" }
        ));
        return Ok(());
    }
    let files = AwsFiles::read(world)?;
    let sections = files.sections()?;
    for name in &arguments.profiles {
        let plan = profile::plan(&sections, name, world)?;
        let store = store::open(plan.store, world)?;
        let cache = SessionCache::new(&*store);
        let (mut removed, mut with_mfa) = (0, false);
        for steps in 0..=plan.steps.len() {
            let was_there = cache.delete(&Fingerprint::of(&plan, steps)).map_err(failed)?;
            removed += usize::from(was_there);
            with_mfa |= was_there && steps == 1 && plan.has_mfa_session();
        }
        if removed > 0 {
            note(name);
        }
        let what = match (removed, with_mfa) {
            (0, _) => "nothing was cached",
            (_, true) => "logged out, with the MFA session that other roles share",
            (_, false) => "logged out",
        };
        output::say(&format!("keyrole: {}: {what}\n", Printable(name)));
    }
    Ok(())
}

fn remove_all(world: &World) -> Result<usize> {
    let mut removed = 0;
    let mut remove = |store: &dyn SecretStore, names: Vec<String>| {
        for name in names {
            removed += usize::from(store.delete(&name).map_err(failed)?);
        }
        Ok(())
    };
    for store in store::every(world) {
        match store.names() {
            Ok(names) => remove(&*store, names)?,
            // It need not be there unless `auto` uses it.
            Err(StoreError::Unavailable(_)) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    // By now nothing should be left in what `auto` is made of.
    let auto = store::open(StoreChoice::Auto, world)?;
    remove(&*auto, auto.names().map_err(failed)?)?;
    Ok(removed)
}

fn failed(error: StoreError) -> Error {
    Error::failed(format!("cannot remove a session: {error}"))
}
