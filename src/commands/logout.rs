//! `keyrole logout`: removes cached sessions.

use crate::cache::{Fingerprint, SessionCache};
use crate::cli::Which;
use crate::config::AwsFiles;
use crate::error::{Error, Printable, Result};
use crate::log::{Event, Log};
use crate::output;
use crate::plan::{Step, StoreChoice};
use crate::profile;
use crate::store::{self, StoreError};
use crate::world::World;

/// Removes the sessions of the profiles named, with the MFA and intermediate sessions on the way to them; with
/// `--all` everything that keyrole has ever stored.
///
/// # Errors
/// A store could not be asked.
pub fn run(arguments: &Which, world: &World) -> Result<()> {
    let state_dir = world.state_dir();
    let log = Log::new(state_dir.as_deref());
    let note = |profile| log.write(world.now(), &Event { event: "logout", profile, ..Event::default() });
    if arguments.all {
        let removed = remove_all(world)?;
        note("");
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
        let store = store::open(plan.store, world);
        let cache = SessionCache::new(&*store);
        let (mut removed, mut with_mfa) = (0, false);
        for steps in 0..=plan.steps.len() {
            let was_there = cache.delete(&Fingerprint::of(&plan, steps)).map_err(failed)?;
            removed += usize::from(was_there);
            let last = steps.checked_sub(1).and_then(|last| plan.steps.get(last));
            with_mfa |= was_there && matches!(last, Some(Step::SessionToken { mfa: Some(_), .. }));
        }
        note(name);
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
    for choice in every_store() {
        let store = store::open(choice, world);
        let names = match store.names() {
            Ok(names) => names,
            // It need not be there unless `auto` uses it.
            Err(StoreError::Unavailable(_)) if choice != StoreChoice::Auto => continue,
            Err(error) => return Err(failed(error)),
        };
        for name in names {
            removed += usize::from(store.delete(&name).map_err(failed)?);
        }
    }
    Ok(removed)
}

/// Each store that may hold something, and at last what `auto` is made of, which by then should be empty.
fn every_store() -> Vec<StoreChoice> {
    if cfg!(target_os = "linux") {
        vec![StoreChoice::Keyutils, StoreChoice::SecretService, StoreChoice::Auto]
    } else {
        vec![StoreChoice::Auto]
    }
}

fn failed(error: StoreError) -> Error {
    Error::failed(format!("cannot remove a session: {error}"))
}
