//! `keyrole keys import`: moves a profile's access key from the AWS files into a persistent store.

use super::{Edits, ID, MARKER, NOTHING_CHANGED, SECRET};
use super::{check_id, line_for, names_of, place, properties_of, say, whose};
use crate::cli::KeysImport;
use crate::config::{AwsFiles, PREFIX, Sections};
use crate::error::{Error, Kind, Printable, Result};
use crate::interview::Interview;
use crate::mfa::quoted;
use crate::output;
use crate::plan::{Plan, Source};
use crate::profile;
use crate::secret::Secret;
use crate::stored_key::{self, KeyStores};
use crate::terminal::Subject;
use crate::world::World;
use std::ffi::OsStr;
use std::fs;

/// Moves the key. A run that was cut off is finished by the next one.
///
/// # Errors
/// The profile has no key that can be moved, AWS does not take it, or no store keeps it; the files are as they were then.
pub fn run(arguments: &KeysImport, called: Option<&OsStr>, world: &World) -> Result<()> {
    let files = AwsFiles::read_to_edit(world)?;
    let sections = files.sections()?;
    let name = arguments.profile.as_str();
    let plan = profile::plan(&sections, name, world)?;
    let settings = profile::settings(&sections, name, world)?;
    let mut edits = Edits::new(&files);
    let mut interview = Interview::new(arguments.yes);
    let Some((id, secret)) = written_key(&sections, &plan, world)? else {
        return finished(arguments, &plan, &edits, &mut interview, world);
    };
    let line = line_for(&sections, name, called, world)?;
    for key in [ID, SECRET, &format!("{PREFIX}{SECRET}")] {
        edits.remove(name, key)?;
    }
    edits.credentials.remove(name, MARKER)?;
    edits.credentials.remove_if_empty(name)?;
    edits.name_key(name, &id, line.as_deref())?;
    edits.check_profiles(world)?;
    if arguments.dry_run {
        return output::print(edits.diff().as_bytes());
    }

    let identity = whose(&plan, &settings, &stored_key::credentials(&id, secret.clone()), world)?;
    edits.check_writable()?;
    let stores = KeyStores::open(plan.store, world)?;
    let store = stores.first_that_works()?;
    let subject = Subject { name: "the confirmation", hint: NOTHING_CHANGED };
    let shown = format!(
        "keyrole: the access key `{id}` is that of {}; its secret goes to `{}`, and out of the files:\n{}",
        Printable(&identity.arn),
        store.label(),
        edits.diff()
    );
    if !interview.confirm(subject, &shown, "do this?", "yes")? {
        return Err(Error::new(Kind::Cancelled, "the access key was left where it is").hint(NOTHING_CHANGED));
    }
    let kept = stored_key::keep(store, &id, &secret).and_then(|()| stored_key::read_back(store, &id));
    // What the store gives back is what will be used from now on, so that is what has to work.
    // If it does not, the entry stays: one too many does no harm, and another process may have come to need it.
    kept.and_then(|kept| whose(&plan, &settings, &stored_key::credentials(&id, kept), world))?;
    edits.write()?;
    say(&format!("the secret of `{id}` is in `{}`, and profile `{name}` works as before", store.label()));
    offer_deletion(arguments, &edits, &secret, &mut interview)
}

/// Finds the key of a profile that is in the files; none if it is in a store already.
fn written_key(sections: &Sections, plan: &Plan, world: &World) -> Result<Option<(String, Secret)>> {
    let name = plan.profile.as_str();
    let key = profile::own_key(sections, name, world)?;
    let (id, secret) = match key {
        Some(Source::StoredKey { access_key_id, .. }) => (access_key_id, None),
        Some(Source::Keys { session_token: Some(_), .. }) => {
            return Err(Error::usage(format!("profile `{name}` has temporary keys, which expire"))
                .hint("only a user's access key (`AKIA…`) is kept for long; leave these where they come from"));
        }
        Some(Source::Keys { access_key_id, secret_access_key, .. }) => (access_key_id, Some(secret_access_key)),
        _ => {
            return Err(Error::usage(format!("profile `{name}` has no access key of its own"))
                .hint("`keyrole keys list` shows the profiles that have one"));
        }
    };
    let written = |key: &str, value: &str| properties_of(sections, name, key).find(|property| property.value != value);
    let other = written(ID, &id).or_else(|| written(SECRET, secret.as_ref().map_or("", Secret::expose)));
    if let Some(other) = other {
        let (place, quoted) = (place(other), quoted(name));
        let what = format!("profile `{name}` has the access key `{id}`, and another one in {place}");
        return Err(Error::usage(what).hint(match secret {
            Some(_) => "remove the one that is not used from its file".to_owned(),
            None => format!(
                "remove that from its file, or `keyrole keys remove {quoted}` and then import it in place of `{id}`"
            ),
        }));
    }
    let Some(secret) = secret else { return Ok(None) };
    let invalid = |why: String| Error::usage(format!("profile `{name}`: {why}"));
    check_id(&id).map_err(invalid)?;
    crate::validate::credentials(&id, secret.expose(), "none").map_err(|why| {
        invalid(format!("the access key is none: {why}")).hint("copy it again, whole and without quotes")
    })?;
    Ok(Some((id, secret)))
}

/// There is nothing to move; but a run that was cut off may have left its backups.
fn finished(
    arguments: &KeysImport,
    plan: &Plan,
    edits: &Edits,
    interview: &mut Interview,
    world: &World,
) -> Result<()> {
    let name = plan.profile.as_str();
    let Source::StoredKey { access_key_id, .. } = &plan.source else {
        return Err(Error::usage(format!("profile `{name}` has a key, but gets its credentials in another way")));
    };
    if arguments.dry_run {
        return Ok(());
    }
    let stores = KeyStores::open(plan.store, world)?;
    let (secret, store) = stores.find_for(access_key_id, name, true)?;
    say(&format!("the secret of `{access_key_id}` is in `{}` already", store.label()));
    offer_deletion(arguments, edits, &secret, interview)
}

/// Offers to delete the backups, those of earlier commands too, as they hold what is not to be on the disk.
fn offer_deletion(arguments: &KeysImport, edits: &Edits, secret: &Secret, interview: &mut Interview) -> Result<()> {
    let backups = edits.backups(secret);
    if backups.is_empty() {
        return Ok(());
    }
    let names = names_of(&backups);
    let is_to_go = arguments.delete_backup
        || !arguments.keep_backup && !arguments.yes && {
            let subject = Subject { name: "the answer", hint: "the key was imported; delete the backups yourself" };
            let text = format!("keyrole: what the files were, with the secret, is in {}\n", Printable(&names));
            // Without a terminal they stay, as a file can be deleted later and not brought back.
            interview.confirm(subject, &text, "delete that?", "yes").unwrap_or(false)
        };
    if !is_to_go {
        say(&format!("what the files were, with the secret, is in {names}; delete that when all works"));
        return Ok(());
    }
    for backup in &backups {
        fs::remove_file(backup)
            .map_err(|error| Error::failed(format!("cannot delete `{}`: {error}", backup.display())))?;
    }
    say(&format!("deleted {names}"));
    Ok(())
}
