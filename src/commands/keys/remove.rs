//! `keyrole keys remove`: takes an access key out of the store and its profile's lines out of the files.

use super::{Edits, MARKER, NOTHING_CHANGED, properties_of, say, users_of};
use crate::cli::KeysRemove;
use crate::config::AwsFiles;
use crate::error::{Error, Kind, Printable, Result};
use crate::interview::Interview;
use crate::mfa::quoted;
use crate::plan::Source;
use crate::process_line;
use crate::profile;
use crate::stored_key::KeyStores;
use crate::terminal::Subject;
use crate::world::World;

/// Removes the key. The entry goes first: if that is all that was done, the profile still names what is missing, and the
/// next run finishes.
///
/// # Errors
/// The profile names no key in a store, or a store that may have it cannot be asked.
pub fn run(arguments: &KeysRemove, world: &World) -> Result<()> {
    let files = AwsFiles::read(world)?;
    let sections = files.sections()?;
    let name = arguments.profile.as_str();
    let plan = profile::plan(&sections, name, world)?;
    let Some(Source::StoredKey { access_key_id: id, .. }) = profile::own_key(&sections, name, world)? else {
        return Err(Error::usage(format!("profile `{name}` has no access key in the keyring"))
            .hint("`keyrole keys list` shows the profiles that have one"));
    };
    let mut edits = Edits::new(&files);
    edits.remove(name, MARKER)?;
    // Without the key it would fail, but for a profile that has another source.
    let mut lines = properties_of(&sections, name, "credential_process");
    let is_ours = lines.next().is_some_and(|line| process_line::target(&line.value).as_deref() == Some(name));
    if is_ours && !profile::has_role(&sections, name) {
        edits.remove(name, "credential_process")?;
    }
    edits.config.remove_if_empty(name)?;
    edits.credentials.remove_if_empty(name)?;
    let others: Vec<&str> = users_of(&sections, &id, world).into_iter().filter(|other| *other != name).collect();
    let what = if others.is_empty() {
        format!("the secret of `{id}` will be gone from this machine, and AWS shows it to nobody again")
    } else {
        format!("the secret of `{id}` stays, as profile `{}` uses it as well", others.join("`, `"))
    };
    let is_role_of_it = |other: &&str| {
        let plan = profile::plan(&sections, other, world);
        *other != name && plan.is_ok_and(|plan| plan.source.describe() == format!("profile `{name}`"))
    };
    let roles: Vec<&str> = sections.profile_names().into_iter().filter(is_role_of_it).collect();
    let source =
        if roles.is_empty() { String::new() } else { format!("; it is the source of `{}`", roles.join("`, `")) };
    let shown = format!("keyrole: {}{}\n{}", Printable(&what), Printable(&source), edits.diff());
    let subject = Subject { name: "the confirmation", hint: NOTHING_CHANGED };
    if !Interview::new(arguments.yes).confirm(subject, &shown, "remove it?", "no")? {
        return Err(Error::new(Kind::Cancelled, "the access key was left where it is").hint(NOTHING_CHANGED));
    }
    edits.check_writable()?;
    let was_there = others.is_empty() && KeyStores::open(plan.store, world)?.forget(&id)?;
    edits.write()?;
    edits.drop_backups();
    say(&match (others.is_empty(), was_there) {
        (true, true) => format!("the secret of `{id}` is removed"),
        (true, false) => {
            format!("profile `{name}` no longer names `{id}`, whose secret was in no store that works here")
        }
        (false, _) => format!("profile `{name}` no longer names `{id}`"),
    });
    if others.is_empty() {
        say(&format!(
            "the key itself stays valid at AWS until somebody deletes it: aws iam delete-access-key --access-key-id {}",
            quoted(&id)
        ));
    }
    Ok(())
}
