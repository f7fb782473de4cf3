//! `keyrole keys add`: puts an access key into a persistent store that is in no file yet.

use super::{Edits, NOTHING_CHANGED, SECRET};
use super::{check_id, line_for, place, properties_of, say, whose};
use crate::cli::KeysAdd;
use crate::config::{AwsFiles, Sections};
use crate::error::{Error, Kind, Printable, Result};
use crate::interview::{Interview, Question};
use crate::mfa::quoted;
use crate::plan::Source;
use crate::profile;
use crate::secret::{Secret, SecretBytes};
use crate::stored_key::{self, KeyStores};
use crate::terminal::Subject;
use crate::world::World;
use std::ffi::OsStr;
use std::io::{self, IsTerminal, Read};

/// Longer than any secret.
const MAX_BYTES: u64 = 4096;
const AN_ID: Subject = Subject { name: "the access key ID", hint: NOTHING_CHANGED };
const A_SECRET: Subject = Subject { name: "the secret access key", hint: NOTHING_CHANGED };

/// Asks for a key, makes sure that AWS takes it, keeps it, and makes the profile name it.
///
/// # Errors
/// It is no key, AWS does not take it, or no store keeps it; nothing is kept then.
pub fn run(arguments: &KeysAdd, called: Option<&OsStr>, world: &World) -> Result<()> {
    let files = AwsFiles::read_to_edit(world)?;
    let sections = files.sections()?;
    let name = arguments.profile.as_str();
    let named = named_key(&sections, name, world)?;
    let line = line_for(&sections, name, called, world)?;
    let mut interview = Interview::new(false);
    let id = match &arguments.access_key_id {
        Some(id) => {
            check_id(id).map_err(|why| Error::usage(format!("`--access-key-id`: {why}")))?;
            id.clone()
        }
        None => interview.ask(
            &Question {
                subject: AN_ID,
                prompt: "access key ID",
                flag: "`--access-key-id ID`",
                choices: &[],
                offer: named.as_deref(),
            },
            &check_id,
        )?,
    };
    let mut edits = Edits::new(&files);
    edits.name_key(name, &id, line.as_deref())?;
    let edited = edits.edited();
    let edited = edited.sections()?;
    let nothing_written = |error: Error| error.context("nothing was written");
    let plan = profile::plan(&edited, name, world).map_err(nothing_written)?;
    let settings = profile::settings(&edited, name, world).map_err(nothing_written)?;
    let stores = KeyStores::open(plan.store, world)?;
    if let Some(named) = named.filter(|named| *named != id)
        && !stores.find(&named).is_err_and(|missing| missing.is_sure)
    {
        let (what, quoted) = (format!("profile `{name}` has the access key `{named}` already"), quoted(name));
        return Err(Error::usage(what).hint(format!(
            "`keyrole keys rotate {quoted}` makes a new one of it; `keyrole keys remove {quoted}` takes it away"
        )));
    }
    edits.check_writable()?;
    let store = stores.first_that_works()?;
    let secret = secret(arguments, &mut interview)?;
    // Security: what is wrong with it is not shown.
    crate::validate::credentials(&id, secret.expose(), "none")
        .map_err(|_| Error::usage("the secret access key is empty, or has characters that no key has"))?;

    let identity = whose(&plan, &settings, &stored_key::credentials(&id, secret.clone()), world)?;
    let diff = edits.diff();
    let whose = format!("the access key `{id}` is that of {} in account {}", identity.arn, identity.account);
    if arguments.yes || diff.is_empty() {
        say(&whose);
    } else {
        let subject = Subject { name: "the confirmation", hint: NOTHING_CHANGED };
        let shown = format!(
            "keyrole: {}; its secret goes to `{}`, and this to the files:\n{diff}",
            Printable(&whose),
            store.label()
        );
        if !interview.confirm(subject, &shown, "do this?", "yes")? {
            return Err(Error::new(Kind::Cancelled, "the access key was not kept").hint(NOTHING_CHANGED));
        }
    }
    stored_key::keep(store, &id, &secret)?;
    edits.write()?;
    say(&format!("the secret of `{id}` is in `{}`, for profile `{name}`", store.label()));
    edits.drop_backups();
    Ok(())
}

/// Gives the ID of the key in a store that a profile names, if it does.
fn named_key(sections: &Sections, name: &str, world: &World) -> Result<Option<String>> {
    let quoted = quoted(name);
    match profile::own_key(sections, name, world)? {
        None => Ok(None),
        Some(Source::StoredKey { access_key_id, .. }) => {
            // Somebody else's secret beside it would be used as soon as the ID is gone.
            match properties_of(sections, name, SECRET).next() {
                None => Ok(Some(access_key_id)),
                Some(other) => {
                    let place = place(other);
                    Err(Error::usage(format!("profile `{name}` has another access key in {place}"))
                        .hint(format!("remove it there, then run `keyrole keys add {quoted}` again")))
                }
            }
        }
        Some(_) => Err(Error::usage(format!("profile `{name}` has an access key in the files already"))
            .hint(format!("`keyrole keys import {quoted}` moves it into the keyring"))),
    }
}

fn secret(arguments: &KeysAdd, interview: &mut Interview) -> Result<Secret> {
    if !arguments.secret_from_stdin {
        let typed = interview.ask_secret(&A_SECRET, "secret access key (not shown)", "`--secret-from-stdin`")?;
        return Ok(Secret::new(typed.expose().trim()));
    }
    #[cfg_attr(not(test), expect(clippy::disallowed_methods, reason = "the flag asks for it, and no SDK runs this"))]
    let input = io::stdin();
    if input.is_terminal() {
        return Err(Error::usage("`--secret-from-stdin`: standard input is a terminal, which would show the secret")
            .hint("leave the flag out to be asked for it"));
    }
    let mut bytes = SecretBytes::with_capacity(MAX_BYTES as usize);
    input
        .lock()
        .take(MAX_BYTES)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::failed(format!("cannot read standard input: {error}")))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Error::usage("standard input is not text"))?;
    Ok(Secret::new(text.trim()))
}
