//! `keyrole setup`: writes a profile's lines into the config file, asking for what the flags did not give.

use crate::cli::{Doctor, Setup};
use crate::commands::doctor;
use crate::config::{AwsFiles, PREFIX, Property, SectionKind, Sections};
use crate::config_edit::ConfigEdit;
use crate::config_file::ConfigFile;
use crate::doctor::refused;
use crate::error::{Error, Kind, Printable, Result};
use crate::interview::{Interview, Question};
use crate::mfa::quoted;
use crate::network::{self, Network};
use crate::output;
use crate::plan::{Plan, SdkSource, Settings, Source};
use crate::process_line;
use crate::profile::{self, property};
use crate::source;
use crate::sts::{Identity, Sts};
use crate::terminal::Subject;
use crate::validate::{self, RoleArn};
use crate::world::World;
use std::ffi::OsStr;

/// The keys with which some SDK goes its own way past `credential_process`; the README has the same list.
const BYPASSES: &[&str] = &[
    "role_arn",
    "source_profile",
    "credential_source",
    "web_identity_token_file",
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "login_session",
    "sso_account_id",
    "sso_region",
    "sso_role_name",
    "sso_session",
    "sso_start_url",
];

/// Writes the lines of a profile, or takes them back. `called` is the name by which this program was called.
///
/// # Errors
/// Something is wrong or missing, or the source's credentials do not work; the file is as it was then.
pub fn run(arguments: &Setup, called: Option<&OsStr>, world: &World) -> Result<()> {
    let files = AwsFiles::read_to_edit(world)?;
    let file = ConfigFile::new(&files);
    let path = files.config_path().display().to_string();
    if arguments.undo {
        file.undo()?;
        output::say(&format!("keyrole: `{}` is as it was before\n", Printable(&path)));
        return Ok(());
    }
    let program = process_line::program(called, world)?;
    let sections = files.sections()?;
    let mut edit = ConfigEdit::new(files.config_text());
    edit.drop_byte_order_mark();
    refused(&files.with_config(edit.text()), &sections).map_err(nothing_written)?;
    let mut interview = Interview::new(arguments.yes);
    let lines = Desk { arguments, world, sections: &sections, interview: &mut interview }.ask()?;
    let line = process_line::line(&program, &lines.profile)?;

    edit.mend_headers(&lines.profile)?;
    let bypasses = bypasses(&sections, &lines.profile);
    refuse_continued(&sections, &lines.profile, &bypasses)?;
    for key in &bypasses {
        edit.rename(&lines.profile, key, &format!("{PREFIX}{key}"))?;
    }
    lines.write(&mut edit, &line, &sections)?;
    // What is still wrong is found before anything is written.
    let edited = files.with_config(edit.text());
    let edited = edited.sections()?;
    let plan = profile::plan(&edited, &lines.profile, world).map_err(nothing_written)?;
    let settings = profile::settings(&edited, &lines.profile, world).map_err(nothing_written)?;
    if arguments.dry_run {
        return output::print(edit.diff(&path).as_bytes());
    }
    let mut found = if arguments.no_verify {
        String::new()
    } else {
        match verify(&plan, &settings, world) {
            Ok(found) => found,
            Err(error) => {
                let subject = Subject { name: "the confirmation", hint: NOTHING_WRITTEN };
                let is_asked = !arguments.yes && error.signal().is_none();
                let ask = || interview.confirm(subject, &format!("{error}\n"), "write it all the same?", "no");
                match is_asked.then(ask).and_then(Result::ok) {
                    Some(true) => {}
                    Some(false) => return Err(Error::new(error.kind(), "nothing was written")),
                    None => return Err(error),
                }
                String::new()
            }
        }
    };
    if arguments.no_mfa
        && let Some(mfa) = plan.mfa()
    {
        found +=
            &format!("keyrole: `--no-mfa` adds no device, but the profile inherits `{}`\n", Printable(&mfa.serial));
    }
    found += &renaming(&bypasses);
    if edit.is_changed() {
        let subject = Subject { name: "the confirmation", hint: NOTHING_WRITTEN };
        let shown = found.clone() + &edit.diff(&path);
        if !interview.confirm(subject, &shown, &format!("write this to `{}`?", Printable(&path)), "yes")? {
            return Err(Error::new(Kind::Cancelled, format!("`{path}` was left as it is"))
                .hint("with another profile name nothing that is there is changed"));
        }
        let backup = file.replace(edit.text().expose())?;
        if arguments.yes {
            output::say(&shown);
        }
        output::say(&format!(
            "keyrole: wrote `{}`; what it was is in `{}`, and `keyrole setup --undo` puts it back\n",
            Printable(&path),
            Printable(&backup.display().to_string())
        ));
    } else {
        let name = Printable(&lines.profile);
        output::say(&format!("{found}keyrole: profile `{name}` has these lines already\n"));
    }
    let examination =
        Doctor { profiles: vec![lines.profile.clone()], json: false, offline: arguments.no_verify, assume: false };
    doctor::run(&examination, called, world)?;
    output::say(&format!("keyrole: next, run `keyrole login {}`\n", Printable(&quoted(&lines.profile))));
    Ok(())
}

fn nothing_written(error: Error) -> Error {
    error.context("nothing was written")
}

const NOTHING_WRITTEN: &str = "nothing was written; run the command again";

/// Gives the keys of a profile that would win over `credential_process`.
fn bypasses(sections: &Sections, name: &str) -> Vec<&'static str> {
    let has = |key: &&&str| sections.properties(SectionKind::Profile, name).any(|property| property.is(key));
    BYPASSES.iter().filter(has).copied().collect()
}

/// Refuses to rename a key that has taken in the lines below it.
fn refuse_continued(sections: &Sections, name: &str, keys: &[&str]) -> Result<()> {
    let is_continued = |property: &&Property| property.value.contains('\n') && keys.iter().any(|key| property.is(key));
    let Some(property) = sections.properties(SectionKind::Profile, name).find(is_continued) else { return Ok(()) };
    let (key, file, line) = (property.key, property.file.display(), property.line);
    Err(nothing_written(Error::usage(format!("`{key}` in `{file}` line {line} goes on in the line below")))
        .hint(profile::INDENTED))
}

/// Says which keys get the prefix, as there is no other way to have the line beside them.
fn renaming(keys: &[&str]) -> String {
    if keys.is_empty() {
        return String::new();
    }
    let keys = keys.join("`, `");
    format!(
        "keyrole: some SDKs use `{keys}` instead of `credential_process`; with the prefix `{PREFIX}` only keyrole does\n"
    )
}

/// Asks AWS whose the source's credentials are, and gives what is to be said of it.
fn verify(plan: &Plan, settings: &Settings, world: &World) -> Result<String> {
    let source = plan.source.describe();
    let identity = identity(plan, settings, world).map_err(|error| {
        let is_asked = error.kind() != Kind::Unreachable;
        let has_advice = is_asked && error.hint_text().is_some();
        let what = if is_asked { "do not work" } else { "cannot be checked" };
        let error = error.context(format_args!("nothing was written, as the credentials of {source} {what}"));
        if has_advice { error } else { error.hint("`--no-verify` writes the profile without asking AWS") }
    })?;
    let mut found = format!("keyrole: {} is {}\n", Printable(&source), Printable(&identity.arn));
    let serial = plan.mfa().map_or("", |mfa| &mfa.serial);
    if serial.starts_with("arn:") && serial.split(':').nth(4) != Some(&identity.account) {
        let serial = Printable(serial);
        found += &format!("keyrole: but `{serial}` is a device of another account, which AWS does not take\n");
    }
    Ok(found)
}

fn identity(plan: &Plan, settings: &Settings, world: &World) -> Result<Identity> {
    network::check_proxies(world)?;
    let network = Network::new(&plan.endpoint, settings, None)?;
    let credentials = source::credentials(plan, &network, true, world)?;
    Sts::new(&network, world.now()).caller_identity(&credentials)
}

/// What is to be written; `None` where the file stays as it is.
struct Lines {
    profile: String,
    role_arn: RoleArn,
    source_profile: Option<String>,
    /// The serial, and the profile that gets it.
    mfa_serial: Option<(String, String)>,
    region: Option<String>,
    external_id: Option<String>,
    duration_seconds: Option<String>,
}

impl Lines {
    fn write(&self, edit: &mut ConfigEdit, line: &str, sections: &Sections) -> Result<()> {
        // The prefixed key wins, so where there is one that is what has to change.
        let mut set = |profile: &str, key: &str, value: &str| {
            let prefixed = format!("{PREFIX}{key}");
            let mut properties = sections.properties(SectionKind::Profile, profile);
            let is_prefixed = BYPASSES.contains(&key) || properties.any(|property| property.is(&prefixed));
            edit.set(profile, if is_prefixed { &prefixed } else { key }, value)
        };
        // First, so that a new source stands above the role that uses it.
        self.mfa_serial.iter().try_for_each(|(serial, profile)| set(profile, "mfa_serial", serial))?;
        set(&self.profile, "credential_process", line)?;
        set(&self.profile, "role_arn", self.role_arn.as_str())?;
        for (key, value) in [
            ("source_profile", &self.source_profile),
            ("external_id", &self.external_id),
            ("duration_seconds", &self.duration_seconds),
            ("region", &self.region),
        ] {
            value.iter().try_for_each(|value| set(&self.profile, key, value))?;
        }
        Ok(())
    }
}

/// Finds out what is to be written, from the flags, the file and whoever sits there.
struct Desk<'a> {
    arguments: &'a Setup,
    world: &'a World,
    sections: &'a Sections<'a>,
    interview: &'a mut Interview,
}

impl Desk<'_> {
    fn ask(&mut self) -> Result<Lines> {
        let profile = self.profile()?;
        let role_arn = self.role_arn(&profile)?;
        let source_profile = self.source_profile(&profile)?;
        let source = source_profile.clone().or_else(|| self.value(&profile, "source_profile"));
        let mfa_serial = self.mfa_serial(&profile, source.as_deref())?;
        let region = self.region(&profile, &role_arn, source.as_deref())?;
        let external_id =
            checked("--external-id", &self.arguments.external_id, &|text| validate::external_id(text).map(|_| ()))?;
        let duration_seconds = checked("--duration-seconds", &self.arguments.duration_seconds, &|text| {
            validate::role_duration(text).map(|_| ())
        })?;
        Ok(Lines { profile, role_arn, source_profile, mfa_serial, region, external_id, duration_seconds })
    }

    fn profile(&mut self) -> Result<String> {
        let check = |name: &str| match name {
            "" => Err("a profile needs a name".to_owned()),
            name => {
                process_line::line("/keyrole".as_ref(), name).map(|_| ()).map_err(|error| error.message().to_owned())
            }
        };
        let name = match checked("PROFILE", &self.arguments.profile, &check)? {
            Some(name) => name,
            None => {
                let has_role = |name: &&str| {
                    profile::has_role(self.sections, name)
                        && !self.value(name, "credential_process").is_some_and(|line| profile::names_keyrole(&line))
                };
                let names = self.sections.profile_names();
                let choices: Vec<(String, String)> =
                    names.into_iter().filter(has_role).map(|name| (name.to_owned(), "has a role".to_owned())).collect();
                self.interview.ask(
                    &Question {
                        subject: Subject { name: "the profile", hint: NOTHING_WRITTEN },
                        prompt: if choices.is_empty() { "new profile" } else { "profile, new or one of these" },
                        flag: "the profile's name",
                        choices: &choices,
                        offer: None,
                    },
                    &check,
                )?
            }
        };
        self.refuse_credentials_file(&name)?;
        Ok(name)
    }

    /// Refuses a profile whose section in the credentials file would win, as keys there are not to be moved about.
    fn refuse_credentials_file(&self, name: &str) -> Result<()> {
        let path = self.sections.credentials_path();
        let wins =
            |key: &str| BYPASSES.iter().chain(&["credential_process"]).any(|bypass| key.eq_ignore_ascii_case(bypass));
        let mut properties = self.sections.properties(SectionKind::Profile, name);
        let found = properties.find(|property| property.file == path && property.block.is_none() && wins(property.key));
        let Some(property) = found else { return Ok(()) };
        Err(Error::usage(format!(
            "profile `{name}` has `{}` in `{}` line {}, which some SDKs use instead of `credential_process`",
            property.key,
            path.display(),
            property.line
        ))
        .hint(format!("rename that section, for example to `[{name}-keys]`, or give another profile name")))
    }

    fn role_arn(&mut self, name: &str) -> Result<RoleArn> {
        let check = |text: &str| RoleArn::parse(text).map(|_| ());
        let text = match checked("--role-arn", &self.arguments.role_arn, &check)? {
            Some(text) => text,
            None => match self.value(name, "role_arn") {
                Some(text) => text,
                None => self.interview.ask(
                    &Question {
                        subject: Subject { name: "the role", hint: NOTHING_WRITTEN },
                        prompt: "ARN of the role",
                        flag: "`--role-arn ARN`",
                        choices: &[],
                        offer: None,
                    },
                    &check,
                )?,
            },
        };
        RoleArn::parse(&text).map_err(|why| Error::usage(format!("`role_arn` of profile `{name}`: {why}")))
    }

    fn source_profile(&mut self, name: &str) -> Result<Option<String>> {
        let is_kept = || {
            let key = profile::own_key(self.sections, name, self.world);
            matches!(key, Ok(Some(Source::StoredKey { .. })))
        };
        let known = |text: &str| match self.sections.contains(SectionKind::Profile, text) {
            true if text == name && is_kept() => {
                Err(format!("`{name}` has its access key in the keyring; the role needs a profile of its own"))
            }
            true => Ok(()),
            false => Err(format!("there is no profile `{text}`")),
        };
        let given = checked("--source-profile", &self.arguments.source_profile, &known)?;
        let has_one = || {
            let keys = ["source_profile", "credential_source", "web_identity_token_file"];
            keys.iter().any(|key| self.value(name, key).is_some())
        };
        if given.is_some() || has_one() {
            return Ok(given);
        }
        let choices = self.sources(name);
        let Some((first, _)) = choices.first() else {
            let config = self.sections.config_path().display();
            return Err(Error::usage(format!("no profile in `{config}` or the credentials file has credentials"))
                .hint(
                    "make one with `aws configure --profile base` or `aws configure sso`, then run `keyrole setup`",
                ));
        };
        let question = Question {
            subject: Subject { name: "the source profile", hint: NOTHING_WRITTEN },
            prompt: "source profile, whose credentials may assume the role",
            flag: "`--source-profile NAME`",
            choices: &choices,
            offer: Some(first),
        };
        self.interview.ask(&question, &known).map(Some)
    }

    /// Lists the profiles that can be a source, those with credentials of their own first.
    fn sources(&self, name: &str) -> Vec<(String, String)> {
        let names = self.sections.profile_names();
        let plans = names.into_iter().filter(|other| *other != name).filter_map(|other| {
            let plan = profile::plan(self.sections, other, self.world).ok()?;
            Some((other.to_owned(), plan.role().is_some(), kind(&plan)))
        });
        let mut sources: Vec<(String, bool, String)> = plans.collect();
        sources.sort_by_key(|(_, is_role, _)| *is_role);
        sources.into_iter().map(|(name, _, kind)| (name, kind)).collect()
    }

    fn mfa_serial(&mut self, name: &str, source: Option<&str>) -> Result<Option<(String, String)>> {
        let check = |text: &str| validate::mfa_serial(text).map(|_| ());
        let given = checked("--mfa-serial", &self.arguments.mfa_serial, &check)?;
        // The source's serial serves all its roles, unless the role has one of its own.
        let place = source.filter(|_| self.value(name, "mfa_serial").is_none()).unwrap_or(name);
        if given.is_some() || self.arguments.no_mfa {
            return Ok(given.map(|serial| (serial, place.to_owned())));
        }
        let may_want = source.is_some_and(|source| {
            let plan = profile::plan(self.sections, source, self.world);
            plan.is_ok_and(|plan| plan.mfa().is_none() && !plan.source.is_temporary())
        });
        if !may_want || self.value(place, "mfa_serial").is_some() {
            return Ok(None);
        }
        let mut choices: Vec<(String, String)> = Vec::new();
        let mut offer = String::new();
        for other in self.sections.profile_names() {
            let Some(serial) = self.value(other, "mfa_serial") else { continue };
            // As the AWS CLI wants it: on each role that has this source.
            if offer.is_empty() && self.value(other, "source_profile").as_deref() == source {
                offer.clone_from(&serial);
            }
            if !choices.iter().any(|(known, _)| *known == serial) {
                choices.push((serial, format!("of profile {other}")));
            }
        }
        let question = Question {
            subject: Subject { name: "the MFA serial", hint: NOTHING_WRITTEN },
            prompt: "serial or ARN of your MFA device",
            flag: "`--mfa-serial SERIAL` or `--no-mfa`",
            choices: &choices,
            offer: Some(&offer),
        };
        let serial = self.interview.ask(&question, &|text| if text.is_empty() { Ok(()) } else { check(text) })?;
        Ok((!serial.is_empty()).then(|| (serial, place.to_owned())))
    }

    fn region(&mut self, name: &str, role: &RoleArn, source: Option<&str>) -> Result<Option<String>> {
        let check = |text: &str| validate::region(text).map(|_| ());
        let given = checked("--region", &self.arguments.region, &check)?;
        if given.is_some() || self.value(name, "region").is_some() {
            return Ok(given);
        }
        let is_fit = |region: &String| validate::partition_of_region(region) == role.partition();
        let variable = |name| self.world.var(name);
        let offer = source.and_then(|source| self.value(source, "region"));
        let offer = offer.or_else(|| variable("AWS_REGION")).or_else(|| variable("AWS_DEFAULT_REGION")).filter(is_fit);
        let question = Question {
            subject: Subject { name: "the region", hint: NOTHING_WRITTEN },
            prompt: "region",
            flag: "`--region REGION`",
            choices: &[],
            offer: Some(offer.as_deref().unwrap_or_default()),
        };
        let region = self.interview.ask(&question, &|text| if text.is_empty() { Ok(()) } else { check(text) })?;
        Ok(Some(region).filter(|region| !region.is_empty()))
    }

    fn value(&self, name: &str, key: &str) -> Option<String> {
        property(self.sections, name, key).map(|property| property.value.to_string())
    }
}

/// Checks what a flag gives.
fn checked(flag: &str, value: &Option<String>, check: crate::interview::Check) -> Result<Option<String>> {
    if let Some(value) = value {
        let usage = |why| Error::usage(format!("`{flag}`: {why}")).hint("`keyrole setup --help` says what it takes");
        check(value).map_err(usage)?;
    }
    Ok(value.clone())
}

/// Says in a word where a profile's credentials come from.
fn kind(plan: &Plan) -> String {
    if let Some(role) = plan.role() {
        return format!("role {} in account {}", role.arn.name(), role.arn.account());
    }
    let kind = match &plan.source {
        Source::Keys { session_token: None, .. } => "access key",
        Source::Keys { .. } => "temporary access key",
        Source::StoredKey { .. } => "access key in the keyring",
        Source::Environment { .. } => "environment",
        Source::Ec2InstanceMetadata => "EC2 instance",
        Source::EcsContainer { .. } => "container",
        Source::Sdk { kind: SdkSource::Sso { .. }, .. } => "SSO",
        Source::Sdk { kind: SdkSource::Login, .. } => "browser login",
        Source::Sdk { kind: SdkSource::WebIdentity, .. } => "web identity",
        Source::Sdk { kind: SdkSource::Process, .. } => "another program",
    };
    kind.to_owned()
}
