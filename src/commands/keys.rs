//! `keyrole keys`: long-lived access keys in persistent stores instead of `~/.aws/credentials`. One file per subcommand;
//! here is what they share.
//!
//! The config file says which key a profile has: `keyrole_aws_access_key_id` without a secret beside it. The secret alone is
//! in the store. Nothing is written before AWS has taken the key, and a secret is removed from where it was only after it
//! was read back from where it is: whenever a command is cut off, the key is in one place at least, the profile works, and
//! the same command finishes.

mod add;
mod import;
mod list;
mod remove;
mod rotate;

use crate::cache::Fingerprint;
use crate::cli::Keys;
use crate::config::{AwsFiles, FileKind, Property, SectionKind, Sections, without_prefix};
use crate::config_edit::ConfigEdit;
use crate::config_file::ConfigFile;
use crate::credentials::Credentials;
use crate::error::{Error, Kind, Printable, Result};
use crate::network::{self, Network};
use crate::output;
use crate::plan::{Plan, Settings, Source};
use crate::process_line;
use crate::profile;
use crate::secret::Secret;
use crate::sts::{Identity, Sts};
use crate::world::World;
use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;

/// The key by which a profile names the access key whose secret is in a store.
const MARKER: &str = "keyrole_aws_access_key_id";
const ID: &str = "aws_access_key_id";
const SECRET: &str = "aws_secret_access_key";
const NOTHING_CHANGED: &str = "nothing was changed; run the command again";

/// Carries out one of the subcommands. `called` is the name by which this program was called.
///
/// # Errors
/// Everything that can go wrong.
pub fn run(command: &Keys, called: Option<&OsStr>, world: &World) -> Result<()> {
    match command {
        Keys::Import(arguments) => import::run(arguments, called, world),
        Keys::Add(arguments) => add::run(arguments, called, world),
        Keys::List { json } => list::run(*json, world),
        Keys::Rotate(arguments) => rotate::run(arguments, world),
        Keys::Remove(arguments) => remove::run(arguments, world),
    }
}

/// The changes to both files, and the way they are put in place.
struct Edits<'a> {
    files: &'a AwsFiles,
    config: ConfigEdit<'a>,
    credentials: ConfigEdit<'a>,
}

impl<'a> Edits<'a> {
    fn new(files: &'a AwsFiles) -> Self {
        Self {
            files,
            config: ConfigEdit::new(files.config_text()),
            credentials: ConfigEdit::of(FileKind::Credentials, files.credentials_text()),
        }
    }

    /// Removes a key of a profile from both files.
    fn remove(&mut self, profile: &str, key: &str) -> Result<()> {
        self.config.remove(profile, key)?;
        self.credentials.remove(profile, key)
    }

    /// Makes a profile name the key that is in the store, with the line by which every SDK asks keyrole.
    fn name_key(&mut self, profile: &str, id: &str, line: Option<&str>) -> Result<()> {
        if let Some(line) = line {
            self.config.set(profile, "credential_process", line)?;
        }
        self.config.set(profile, MARKER, id)
    }

    /// Gives both files as they will be.
    fn edited(&self) -> AwsFiles {
        self.files.with(self.config.text(), self.credentials.text())
    }

    fn diff(&self) -> String {
        let [config, credentials] = [self.files.config_path(), self.files.credentials_path()];
        self.config.diff(&config.display().to_string()) + &self.credentials.diff(&credentials.display().to_string())
    }

    /// Gives each file with what it will be. The config file comes first: while a key is in both places, a profile that
    /// names it works.
    fn each(&self) -> [(ConfigFile<'a>, &ConfigEdit<'a>); 2] {
        let [config, credentials] = ConfigFile::both(self.files);
        [(config, &self.config), (credentials, &self.credentials)]
    }

    /// Makes sure that what has to be written can be, before anything else is done.
    fn check_writable(&self) -> Result<()> {
        let [(config, _), (credentials, _)] = self.each();
        if config.is_same(&credentials) {
            return Err(Error::usage("the config file and the credentials file are one and the same")
                .hint("give `AWS_CONFIG_FILE` and `AWS_SHARED_CREDENTIALS_FILE` different values for `keyrole keys`"));
        }
        self.each().iter().filter(|(_, edit)| edit.is_changed()).try_for_each(|(file, _)| file.check_writable())
    }

    fn write(&self) -> Result<()> {
        for (file, edit) in self.each().iter().filter(|(_, edit)| edit.is_changed()) {
            file.replace(edit.text().expose())?;
        }
        Ok(())
    }

    /// Gives the backups that were made when the files became what they will be, in this run or in one that was cut off,
    /// and all others that hold the secret.
    fn backups(&self, secret: &Secret) -> Vec<PathBuf> {
        let mut backups: Vec<PathBuf> = Vec::new();
        for (file, edit) in self.each() {
            backups.extend(file.backup_before(edit.text().expose()));
            backups.extend(file.backups_with(secret));
        }
        backups.sort();
        backups.dedup();
        backups
    }

    /// Removes the backups that this run has made. What they are good for is undone by another command, and there is no
    /// secret in them that is not in the file.
    fn drop_backups(&self) {
        for (file, edit) in self.each().iter().filter(|(_, edit)| edit.is_changed()) {
            // One that stays does no harm.
            let _ = file.backup_before(edit.text().expose()).map(fs::remove_file);
        }
    }

    /// Makes sure that what every profile gives is what it gave: the same sessions, of the same keys.
    fn check_profiles(&self, world: &World) -> Result<()> {
        let edited = self.edited();
        let (before, after) = (self.files.sections()?, edited.sections()?);
        for name in before.profile_names() {
            let Ok(old) = profile::plan(&before, name, world) else { continue };
            let new = profile::plan(&after, name, world).map_err(|error| error.context("nothing was written"))?;
            if Fingerprint::of(&old, old.steps.len()) != Fingerprint::of(&new, new.steps.len()) {
                return Err(Error::failed(format!("nothing was written: profile `{name}` would become another one")));
            }
        }
        Ok(())
    }
}

/// Gives the profiles that name a key in a store.
fn users_of<'s>(sections: &'s Sections, id: &str, world: &World) -> Vec<&'s str> {
    let uses = |name: &&str| {
        let key = profile::own_key(sections, name, world);
        matches!(key, Ok(Some(Source::StoredKey { access_key_id, .. })) if access_key_id == id)
    };
    sections.profile_names().into_iter().filter(uses).collect()
}

/// Finds a profile that has a key in plain text.
fn plain_user_of<'s>(sections: &'s Sections, id: &str, world: &World) -> Option<&'s str> {
    let uses = |name: &&str| {
        let key = profile::own_key(sections, name, world);
        matches!(key, Ok(Some(Source::Keys { access_key_id, .. })) if access_key_id == id)
    };
    sections.profile_names().into_iter().find(uses)
}

/// Gives the properties of a profile with this key, with the prefix and without it, the one that wins first.
fn properties_of<'s>(sections: &'s Sections<'s>, name: &'s str, key: &str) -> impl Iterator<Item = &'s Property<'s>> {
    let is_it = move |property: &&Property| {
        let plain = without_prefix(property.key).unwrap_or(property.key);
        property.block.is_none() && plain.eq_ignore_ascii_case(key)
    };
    sections.properties(SectionKind::Profile, name).filter(is_it)
}

/// Says where a property stands.
fn place(property: &Property) -> String {
    format!("`{}` line {}", property.file.display(), property.line)
}

/// Gives the `credential_process` line that a profile needs, unless it has it.
///
/// # Errors
/// The profile gets its credentials in another way as well, which some SDK would prefer, or which the line would change.
fn line_for(sections: &Sections, name: &str, called: Option<&OsStr>, world: &World) -> Result<Option<String>> {
    const OTHER_WAYS: [&str; 10] = [
        "role_arn",
        "source_profile",
        "credential_source",
        "web_identity_token_file",
        "login_session",
        "sso_session",
        "sso_start_url",
        "sso_account_id",
        "sso_role_name",
        "sso_region",
    ];
    let refused = |property: &Property| {
        let (key, place) = (property.key, place(property));
        Err(Error::usage(format!(
            "profile `{name}` has `{key}` in {place}, and a profile whose key is in the keyring has nothing but the key"
        ))
        .hint(format!("give the key a profile of its own, such as `{name}-keys`, and name that in `source_profile`")))
    };
    for key in OTHER_WAYS {
        if let Some(property) = properties_of(sections, name, key).next() {
            return refused(property);
        }
    }
    match properties_of(sections, name, "credential_process").next() {
        Some(line) if process_line::target(&line.value).as_deref() == Some(name) => Ok(None),
        Some(line) => refused(line),
        None => process_line::program(called, world).and_then(|program| process_line::line(&program, name)).map(Some),
    }
}

/// Refuses what is not a user's access key.
///
/// # Errors
/// Says what it is.
fn check_id(id: &str) -> std::result::Result<(), String> {
    crate::validate::access_key_id(id)?;
    match id {
        _ if id.starts_with("AKIA") => Ok(()),
        _ if id.starts_with("ASIA") => {
            Err(format!("`{id}` is a temporary key, which expires; a user's access key begins with `AKIA`"))
        }
        _ => Err(format!("`{id}` is not a user's access key, which begins with `AKIA`")),
    }
}

/// Asks AWS whose a key is.
///
/// # Errors
/// AWS does not take it, or cannot be asked.
fn whose(plan: &Plan, settings: &Settings, key: &Credentials, world: &World) -> Result<Identity> {
    network::check_proxies(world)?;
    let network = Network::new(&plan.endpoint, settings, None)?;
    Sts::new(&network, world.now()).caller_identity(key).map_err(|error| {
        let is_asked = error.kind() != Kind::Unreachable;
        let what = if is_asked { "does not work" } else { "cannot be checked" };
        error.context(format_args!("nothing was written, as the access key `{}` {what}", key.access_key_id))
    })
}

/// Says something on stderr, a line.
fn say(text: &str) {
    output::say(&format!("keyrole: {}\n", Printable(text)));
}

/// Names files for a message: `a` and `b`.
fn names_of(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| format!("`{}`", path.display())).collect::<Vec<_>>().join(" and ")
}
