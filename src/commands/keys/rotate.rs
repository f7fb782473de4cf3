//! `keyrole keys rotate`: replaces an access key by a new one, at AWS, in the store and in the config file.
//!
//! Whatever is cut off is finished by the next run, by two notes in the store beside the keys:
//! ```text
//!  note on the old key: "begun" and when     a key that IAM made just after is ours, even if its secret was lost
//!  CreateAccessKey → store the secret        lost before it was stored: the next run deletes that key, makes another
//!  note on the new key: "replaces" the old   from here on the next run goes on with this key
//!  wait until AWS takes it → config file     from here on the profile names the new key
//!  Inactive → DeleteAccessKey → remove the old secret and the notes
//! ```
//! A key that is not ours is never touched.

use super::{Edits, MARKER, NOTHING_CHANGED, names_of, plain_user_of, properties_of, say, users_of};
use crate::cli::KeysRotate;
use crate::commands::get::parse_code;
use crate::config::{AwsFiles, Sections};
use crate::config_file::ConfigFile;
use crate::credentials::Credentials;
use crate::error::{Error, Kind, Printable, Result};
use crate::iam::{AccessKey, Iam};
use crate::interview::Interview;
use crate::lock::{Failure, Locks};
use crate::mfa::{Asker, TokenCode, quoted};
use crate::network::{self, Network};
use crate::plan::{Plan, Settings, Source};
use crate::profile;
use crate::provider::{self, Options, Provider, Refresh};
use crate::secret::Secret;
use crate::store::{SecretStore, StoreError};
use crate::stored_key::{self, KeyStores};
use crate::sts::Sts;
use crate::terminal::Subject;
use crate::world::World;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// How long a new key may take until AWS knows it everywhere. It is a matter of seconds; IAM promises nothing.
const PATIENCE: Duration = Duration::from_secs(90);
/// The first pause between two looks, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A key is ours if IAM made it within so many seconds after the note: longer than the call can take.
const OURS_SECONDS: i64 = 25;
/// IAM's clocks differ by less.
const SKEW_SECONDS: i64 = 5;
const BEGUN: &str = "begun ";
const REPLACES: &str = "replaces ";

/// Replaces the key of a profile, and of every other one that names the same.
///
/// # Errors
/// The profile names no key in a store, or a step failed; running it again goes on from there.
pub fn run(arguments: &KeysRotate, world: &World) -> Result<()> {
    let given = arguments.mfa_code.as_deref().map(parse_code).transpose()?;
    let files = AwsFiles::read(world)?;
    let sections = files.sections()?;
    let name = arguments.profile.as_str();
    let plan = profile::plan(&sections, name, world)?;
    let settings = profile::settings(&sections, name, world)?;
    let id = match &plan.source {
        Source::StoredKey { profile, access_key_id } if profile == name && plan.role().is_none() => access_key_id,
        Source::StoredKey { profile, .. } => {
            return Err(Error::usage(format!("profile `{name}` is a role, and has no access key of its own"))
                .hint(format!("the key is that of `{0}`: `keyrole keys rotate {0}`", quoted(profile))));
        }
        Source::Keys { session_token: Some(_), .. } => {
            return Err(Error::usage(format!("the keys of profile `{name}` are temporary, and expire by themselves")));
        }
        Source::Keys { profile, .. } => {
            return Err(Error::usage(format!("the access key of profile `{profile}` is plain text in the files"))
                .hint(format!("`keyrole keys import {}` first", quoted(profile))));
        }
        _ => return Err(Error::usage(format!("profile `{name}` has no access key"))),
    };
    let _lock = match world.state_dir().map(|dir| Locks::new(&dir).try_acquire(&stored_key::entry(id))) {
        Some(Err(Failure::Held(_))) => {
            return Err(Error::failed(format!("another keyrole is rotating the access key `{id}`")).hint("wait for it"));
        }
        // Without locks it goes on: AWS allows no third key.
        lock => lock,
    };
    let stores = KeyStores::open(plan.store, world)?;
    let (secret, store) = stores.find_for(id, name, true)?;
    refuse_plain(&sections, id, world)?;
    // Nothing is begun that could not be finished.
    let mut trial = Edits::new(&files);
    let users = users_of(&sections, id, world);
    for user in &users {
        change(&mut trial, &files, user, "AKIA0000000000000000")?;
    }
    trial.check_writable()?;
    network::check_proxies(world)?;
    let network = Network::new(&plan.endpoint, &settings, None)?;
    let iam = Iam::new(&network, profile::iam_url(&sections, name, world)?, world)?;
    let rotation = Rotation { world, name, store, network: &network, iam };

    let finishes = rotation.note(id, REPLACES)?;
    let what = match &finishes {
        Some(old) => format!("`{id}` has taken the place of `{old}`, which will be deleted at AWS"),
        None => format!(
            "a new access key will take the place of `{id}` in profile `{}`; `{id}` will be deleted at AWS",
            users.join("`, `")
        ),
    };
    let subject = Subject { name: "the confirmation", hint: NOTHING_CHANGED };
    let shown = format!("keyrole: {}\n", Printable(&what));
    if !Interview::new(arguments.yes).confirm(subject, &shown, "go on?", "yes")? {
        return Err(Error::new(Kind::Cancelled, "the access key was left as it is").hint(NOTHING_CHANGED));
    }
    let key = stored_key::credentials(id, secret);
    let caller = rotation.caller(&plan, &settings, key, given)?;
    if let Some(old) = finishes {
        // The file is what the run that was cut off has made of it.
        let [config, _] = ConfigFile::both(&files);
        let _ = config.backup_before(files.config_text()).map(fs::remove_file);
        // It may have come to one of the two files only.
        rotation.switch(&old, id)?;
        return rotation.finish(&old, id, &caller);
    }
    let (new, new_secret) = rotation.new_key(id, &caller, &users)?;
    rotation.write_note(&new, REPLACES, id)?;
    rotation.wait_until_it_works(&new, &new_secret)?;
    let (plan, settings) = rotation.switch(id, &new)?;
    // The MFA session of the old key goes on as long as AWS lets it; a further code would have to be waited for.
    let caller = match caller.session_token {
        Some(_) => caller,
        None => stored_key::credentials(&new, new_secret.clone()),
    };
    match rotation.finish(id, &new, &caller) {
        Err(error) if error.kind() == Kind::CallerRejected && caller.session_token.is_some() => {
            let key = stored_key::credentials(&new, new_secret);
            rotation.finish(id, &new, &rotation.caller(&plan, &settings, key, None)?)
        }
        finished => finished,
    }
}

/// Refuses to delete a key that a profile has in plain text: it would have none then.
fn refuse_plain(sections: &Sections, id: &str, world: &World) -> Result<()> {
    match plain_user_of(sections, id, world) {
        None => Ok(()),
        Some(other) => Err(Error::usage(format!("profile `{other}` has the same access key `{id}`, in plain text"))
            .hint(format!("`keyrole keys import {}` first", quoted(other)))),
    }
}

/// Makes a profile name another key, in whichever file it does so.
fn change(edits: &mut Edits, files: &AwsFiles, profile: &str, id: &str) -> Result<()> {
    let sections = files.sections()?;
    let named: Vec<_> = properties_of(&sections, profile, super::ID).filter(|property| property.is(MARKER)).collect();
    for (edit, path) in [(&mut edits.config, files.config_path()), (&mut edits.credentials, files.credentials_path())] {
        if named.iter().any(|property| property.file == path) {
            edit.set(profile, MARKER, id)?;
        }
    }
    Ok(())
}

struct Rotation<'a> {
    world: &'a World,
    /// The profile that was named.
    name: &'a str,
    /// The store that has the key; the new one goes there as well.
    store: &'a dyn SecretStore,
    network: &'a Network,
    iam: Iam<'a>,
}

impl Rotation<'_> {
    /// Gives the credentials that sign the calls to IAM: with a serial an MFA session, as policies want it; else the key,
    /// as IAM takes no session without MFA.
    fn caller(
        &self,
        plan: &Plan,
        settings: &Settings,
        key: Credentials,
        code: Option<TokenCode>,
    ) -> Result<Credentials> {
        if plan.mfa().is_none() {
            return Ok(key);
        }
        let sessions = provider::open_store(plan, self.world)?;
        let options = Options { refresh: Refresh::No, asker: Asker::new(code, true, settings), is_typed: true };
        let session = Provider::new(self.world, plan, settings, &*sessions, options).session()?;
        Ok(session.to_credentials())
    }

    /// Gets the key that is to take the old one's place: that of a run that was cut off, or a new one.
    fn new_key(&self, old: &str, caller: &Credentials, users: &[&str]) -> Result<(String, Secret)> {
        let (keys, now) = self.iam.list(caller)?;
        if !keys.iter().any(|key| key.id == old) {
            return Err(Error::failed(format!("IAM lists no access key `{old}` for the user whose key that is"))
                .hint("if it was deleted, `keyrole keys remove` and `keyrole keys add` put another one in its place"));
        }
        let begun = self.note(old, BEGUN)?.unwrap_or_default();
        for other in keys.iter().filter(|key| key.id != old) {
            let is_noted = self.note(&other.id, REPLACES)?.as_deref() == Some(old);
            let since = |begun: &str| Some(other.created.saturating_sub(begun.parse().ok()?));
            let mut after = begun.split(' ').filter_map(since);
            let is_in_time = after.any(|seconds| (-SKEW_SECONDS..=OURS_SECONDS).contains(&seconds));
            if !is_noted && (!is_in_time || self.is_named(&other.id)?) {
                return Err(self.two_keys(old, other, users));
            }
            match stored_key::read_back(self.store, &other.id) {
                Ok(secret) => {
                    say(&format!("going on with `{}`, which an earlier run has made", other.id));
                    return Ok((other.id.clone(), secret));
                }
                Err(_) => {
                    say(&format!("deleting `{}`, whose secret was lost when an earlier run was cut off", other.id));
                    self.iam.delete(caller, &other.id)?;
                }
            }
        }
        // The times of earlier runs stay: IAM may not list yet what one of them has made.
        self.write_note(old, BEGUN, format!("{begun} {now}").trim_start())?;
        let (new, secret) = match self.iam.create(caller) {
            Err(error) if error.kind() == Kind::Unreachable || error.message().contains("LimitExceeded") => {
                return Err(self.goes_on(error));
            }
            Err(error) => {
                // AWS has said no, so there is nothing to go on from.
                if begun.is_empty() {
                    self.remove_note(old);
                }
                return Err(error);
            }
            Ok(key) => key,
        };
        if let Err(error) = stored_key::keep(self.store, &new, &secret) {
            // If this fails as well, the next run does it.
            let _ = self.iam.delete(caller, &new);
            return Err(error);
        }
        say(&format!("made `{new}`, whose secret is in `{}`", self.store.label()));
        Ok((new, secret))
    }

    /// Tells whether some profile names a key.
    fn is_named(&self, id: &str) -> Result<bool> {
        let files = AwsFiles::read(self.world)?;
        let sections = files.sections()?;
        let named = sections.profile_names().into_iter().flat_map(|name| properties_of(&sections, name, super::ID));
        Ok(named.into_iter().any(|property| property.value == id))
    }

    fn two_keys(&self, old: &str, other: &AccessKey, users: &[&str]) -> Error {
        let made = crate::output::timestamp(other.created);
        let id = &other.id;
        Error::failed(format!(
            "the user has two access keys, and AWS allows no third: `{old}` of profile `{}`, and `{id}`, made at {made}",
            users.join("`, `")
        ))
        .hint(format!(
            "if nobody uses `{id}` any more, delete it (`aws iam delete-access-key --access-key-id {}`), then retry",
            quoted(id)
        ))
    }

    fn wait_until_it_works(&self, id: &str, secret: &Secret) -> Result<()> {
        let key = stored_key::credentials(id, secret.clone());
        self.patiently(|| Sts::new(self.network, self.world.now()).caller_identity(&key).map(drop)).map_err(|error| {
            let error = error.context(format_args!("the new access key `{id}` does not work yet"));
            self.goes_on(error)
        })
    }

    /// Makes a call until AWS knows the key that makes it.
    fn patiently(&self, call: impl Fn() -> Result<()>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut pause = FIRST_PAUSE;
        loop {
            match call() {
                Err(error)
                    if matches!(error.kind(), Kind::CallerRejected | Kind::Unreachable)
                        && Instant::now() < deadline =>
                {
                    thread::sleep(pause);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                result => return result,
            }
        }
    }

    /// Makes every profile that names the old key name the new one, and gives what is planned then. The files are read
    /// anew, as the waiting may have taken long.
    fn switch(&self, old: &str, new: &str) -> Result<(Plan, Settings)> {
        let files = AwsFiles::read(self.world)?;
        let sections = files.sections()?;
        refuse_plain(&sections, old, self.world).map_err(|error| self.goes_on(error))?;
        let mut edits = Edits::new(&files);
        for user in users_of(&sections, old, self.world) {
            change(&mut edits, &files, user, new)?;
        }
        edits.write().map_err(|error| self.goes_on(error))?;
        crate::output::say(&edits.diff());
        edits.drop_backups();
        let edited = edits.edited();
        let sections = edited.sections()?;
        let plan = profile::plan(&sections, self.name, self.world)?;
        if !matches!(&plan.source, Source::StoredKey { access_key_id, .. } if access_key_id == new) {
            let what = format!("profile `{}` names another access key than before", self.name);
            let paths = [files.config_path().to_owned()];
            return Err(Error::failed(what).hint(format!("look at {}, then retry", names_of(&paths))));
        }
        Ok((plan, profile::settings(&sections, self.name, self.world)?))
    }

    /// Deletes the old key, at AWS and in the store, and then the notes.
    fn finish(&self, old: &str, new: &str, caller: &Credentials) -> Result<()> {
        let delete = || self.iam.deactivate(caller, old).and_then(|()| self.iam.delete(caller, old));
        // A session that is refused is refused for good; a new key may not be known yet.
        let deleted = if caller.session_token.is_some() { delete() } else { self.patiently(delete) };
        deleted.map_err(|error| self.goes_on(error.context(format_args!("`{old}` is not deleted at AWS yet"))))?;
        self.delete(&stored_key::entry(old))?;
        self.remove_note(old);
        self.remove_note(new);
        say(&format!("profile `{}` has the access key `{new}`; `{old}` is deleted", self.name));
        Ok(())
    }

    fn delete(&self, entry: &str) -> Result<()> {
        self.store.delete(entry).map(drop).map_err(|error| self.goes_on(failed(&error)))
    }

    /// Reads a note of this kind on a key.
    fn note(&self, id: &str, kind: &str) -> Result<Option<String>> {
        let found = self.store.get(&note_of(id)).map_err(|error| failed(&error))?;
        let text = found.as_ref().and_then(|note| std::str::from_utf8(note).ok());
        Ok(text.and_then(|text| text.strip_prefix(kind)).map(str::to_owned))
    }

    fn write_note(&self, id: &str, kind: &str, text: &str) -> Result<()> {
        let note = [kind, text].concat();
        self.store.set(&note_of(id), note.as_bytes(), Duration::MAX).map_err(|error| self.goes_on(failed(&error)))
    }

    /// Removes a note. One that stays is of no consequence: the key that it is on is gone, or it names one that is.
    fn remove_note(&self, id: &str) {
        let _ = self.store.delete(&note_of(id));
    }

    fn goes_on(&self, error: Error) -> Error {
        let again = format!("`keyrole keys rotate {}` goes on from here", quoted(self.name));
        let hint = error.hint_text().map_or_else(|| again.clone(), |hint| format!("{hint}; then {again}"));
        error.hint(hint)
    }
}

fn note_of(id: &str) -> String {
    stored_key::entry(id) + ".rotation"
}

fn failed(error: &StoreError) -> Error {
    Error::failed(format!("the store failed: {error}"))
}
