//! Owns the question which of the many ways to get credentials each SDK takes for a profile. botocore's chain is walked
//! step by step; what the other SDKs do where they differ was found by running them.

use super::{Patient, Report, place};
use crate::config::{Extent, FileKind, Property, SectionKind, Sections, without_prefix};
use crate::config_edit;
use crate::error::{Error, Printable};
use crate::mfa::quoted;
use crate::plan::Source;
use crate::world::World;
use std::collections::BTreeMap;
use std::path::Path;

/// The steps of botocore's chain after the parameters, which only the program itself knows: botocore's name for the
/// step, and ours. `create_credential_resolver` in `botocore/credentials.py`.
const STEPS: [(&str, &str); 11] = [
    (ENVIRONMENT, "environment"),
    (ASSUME_ROLE, "assume role"),
    (WEB_IDENTITY, "web identity"),
    (SSO, "SSO"),
    (CREDENTIALS_FILE, "shared credentials file"),
    (LOGIN, "console login"),
    (PROCESS, "`credential_process`"),
    (CONFIG_FILE, "config file"),
    (BOTO2, "boto2 file"),
    (CONTAINER, "container"),
    (IMDS, "IMDS"),
];
const ENVIRONMENT: &str = "env";
const ASSUME_ROLE: &str = "assume-role";
const WEB_IDENTITY: &str = "assume-role-with-web-identity";
const SSO: &str = "sso";
const CREDENTIALS_FILE: &str = "shared-credentials-file";
const LOGIN: &str = "login";
const PROCESS: &str = "custom-process";
const CONFIG_FILE: &str = "config-file";
const BOTO2: &str = "boto-config";
const CONTAINER: &str = "container-role";
const IMDS: &str = "iam-role";
/// No step of the chain: the SDK refuses the profile.
const ERROR: &str = "error";
/// No step of the chain: the SDK runs the process and then assumes the role once more with what it gave.
const PROCESS_THEN_ROLE: &str = "custom-process-then-assume-role";

/// What every SDK but keyrole sees of a profile: the keys without a prefix.
struct Seen<'p> {
    name: &'p str,
    properties: Vec<&'p Property<'p>>,
    credentials_path: &'p Path,
    /// The first of its sections that botocore overlooks, and the line of the one that replaces it.
    overlooked: Option<(Extent<'p, 'p>, Option<usize>)>,
    /// botocore finds no profile of that name, or refuses a file as a whole.
    is_error: bool,
}

impl<'p> Seen<'p> {
    fn new(patient: &'p Patient) -> Self {
        let Patient { files, sections, name, refused, .. } = *patient;
        let is_seen = |extent: &Extent| {
            let line = files.lines(extent.file).nth(extent.line - 1).unwrap_or_default();
            config_edit::is_header_of(line, extent.file, name)
        };
        let (seen, overlooked): (Vec<_>, Vec<_>) = sections.extents(SectionKind::Profile, name).partition(is_seen);
        // Where two headers are written differently and mean the same, the later one counts.
        let last = seen.iter().filter(|extent| extent.file == FileKind::Config).map(|extent| extent.line).max();
        let counts = |extent: &Extent| extent.file == FileKind::Credentials || Some(extent.line) == last;
        let (seen, replaced): (Vec<_>, Vec<_>) = seen.into_iter().partition(counts);
        let is_error = seen.is_empty() || refused.is_some();
        let properties = seen.into_iter().flat_map(|extent| extent.properties.iter().rev());
        let properties =
            properties.filter(|property| property.block.is_none() && without_prefix(property.key).is_none());
        Self {
            name,
            properties: properties.collect(),
            credentials_path: sections.credentials_path(),
            overlooked: overlooked
                .into_iter()
                .map(|extent| (extent, None))
                .chain(replaced.into_iter().map(|extent| (extent, last)))
                .next(),
            is_error,
        }
    }

    fn get(&self, key: &str) -> Option<&'p Property<'p>> {
        self.properties.iter().copied().find(|property| property.is(key) && !property.value.is_empty())
    }

    fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    fn keys_in(&self, credentials_file: bool) -> Option<&'p Property<'p>> {
        let is_there = |property: &&Property| (property.file == self.credentials_path) == credentials_file;
        self.properties.iter().copied().filter(is_there).find(|property| property.is("aws_access_key_id"))
    }

    fn is_own_source(&self) -> bool {
        self.get("source_profile").is_some_and(|source| source.value == self.name)
    }

    /// The keys that some SDK prefers to `credential_process`.
    fn rivals(&self) -> Vec<&'p Property<'p>> {
        let keys = ["role_arn", "source_profile", "credential_source", "web_identity_token_file", "login_session"];
        let is_rival = |property: &&Property| {
            keys.iter().any(|key| property.is(key)) || property.key.to_ascii_lowercase().starts_with("sso_")
        };
        let mut rivals: Vec<_> = self.properties.iter().copied().filter(is_rival).collect();
        rivals.reverse();
        rivals
    }

    /// The step at which botocore stops for the profile, if the program or `--profile` names it.
    fn of_botocore(&self) -> Option<&'static str> {
        if self.is_error {
            return Some(ERROR);
        }
        let web_identity = self.has("web_identity_token_file");
        if self.has("role_arn") && !web_identity {
            let has_source = self.has("source_profile") || self.has("credential_source");
            let is_circle = self.is_own_source() && self.keys_in(true).or(self.keys_in(false)).is_none();
            return Some(if has_source && !is_circle { ASSUME_ROLE } else { ERROR });
        }
        if web_identity {
            return Some(if self.has("role_arn") { WEB_IDENTITY } else { ERROR });
        }
        let found = [
            (SSO, self.has("sso_role_name") || self.has("sso_account_id")),
            (CREDENTIALS_FILE, self.keys_in(true).is_some()),
            (LOGIN, self.has("login_session")),
            (PROCESS, self.has("credential_process")),
            (CONFIG_FILE, self.keys_in(false).is_some()),
        ];
        found.into_iter().find(|(_, is_there)| *is_there).map(|(step, _)| step)
    }

    /// The steps of every SDK for a profile with `credential_process`, if the program names the profile.
    fn of_every_sdk(&self) -> BTreeMap<&'static str, &'static str> {
        const SDKS: [&str; 8] = ["boto3", "Go", "JS", "Java", "Ruby", "Rust", "C++", "CRT"];
        // In the order of `SDKS`; an empty word is not known.
        let rest = if self.has("role_arn") && self.has("web_identity_token_file") {
            ["", "", "", "", "", "", ""]
        } else if self.has("role_arn") && self.is_own_source() {
            [ERROR, PROCESS, ERROR, "", PROCESS_THEN_ROLE, "", ""]
        } else if self.has("role_arn") && (self.has("source_profile") || self.has("credential_source")) {
            [ASSUME_ROLE, ASSUME_ROLE, ASSUME_ROLE, ASSUME_ROLE, ASSUME_ROLE, "", ""]
        } else if self.has("role_arn") {
            [PROCESS_THEN_ROLE, PROCESS, PROCESS, ERROR, ERROR, PROCESS, ""]
        } else if self.has("sso_role_name") || self.has("sso_account_id") {
            [SSO, PROCESS, SSO, SSO, SSO, PROCESS, PROCESS]
        } else if self.keys_in(true).is_some() {
            let file = CREDENTIALS_FILE;
            [file, file, PROCESS, file, PROCESS, file, file]
        } else if self.keys_in(false).is_some() {
            let file = CONFIG_FILE;
            [file, file, PROCESS, file, PROCESS, PROCESS, file]
        } else {
            [PROCESS; 7]
        };
        let first = self.of_botocore().unwrap_or("none");
        SDKS.into_iter().zip([first].into_iter().chain(rest)).filter(|(_, step)| !step.is_empty()).collect()
    }
}

/// Says which step of botocore's chain a name is.
fn step(name: &str) -> String {
    match STEPS.iter().position(|(step, _)| *step == name) {
        Some(index) => format!("step {} of {}, {}", index + 1, STEPS.len(), STEPS[index].1),
        None if name == ERROR => "an error".to_owned(),
        None if name == PROCESS_THEN_ROLE => "`credential_process`, then assume role".to_owned(),
        None => "nothing in the profile".to_owned(),
    }
}

/// Tells what the environment does to every profile.
pub fn environment(report: &mut Report, sections: &Sections, world: &World) {
    let shadow: Vec<&str> = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"]
        .into_iter()
        .filter(|name| world.var(name).is_some())
        .collect();
    let looked_at = "the environment";
    if shadow.contains(&"AWS_ACCESS_KEY_ID") {
        let what = "the keys in the environment win over a profile that `AWS_PROFILE` names, but for the JS SDK; for the \
                    Rust SDK they win over every profile";
        let mend = format!("unset {}", shadow.join(" "));
        if world.var("AWS_PROFILE").is_some() {
            report.fail("environment-keys", looked_at, what, &[&mend]);
        } else {
            report.warn("environment-keys", looked_at, what, &[&mend]);
        }
    } else if shadow.is_empty() {
        report.ok("environment-keys", looked_at, "no keys there that would win over a profile");
    } else {
        let mend = format!("unset {}", shadow.join(" "));
        report.warn("environment-keys", looked_at, "half a set of keys is there: some SDKs stop at it", &[&mend]);
    }
    if world.var("AWS_WEB_IDENTITY_TOKEN_FILE").is_some() && world.var("AWS_ROLE_ARN").is_some() {
        report.warn(
            "environment-web-identity",
            looked_at,
            "`AWS_WEB_IDENTITY_TOKEN_FILE` wins over a profile that `AWS_PROFILE` names",
            &["unset AWS_WEB_IDENTITY_TOKEN_FILE AWS_ROLE_ARN"],
        );
    }
    let (one, other) = (world.var("AWS_PROFILE"), world.var("AWS_DEFAULT_PROFILE"));
    if let (Some(one), Some(other)) = (&one, &other)
        && one != other
    {
        let what = format!(
            "`AWS_PROFILE` is `{}` and `AWS_DEFAULT_PROFILE` is `{}`; boto3 and the AWS CLI take the second, the other \
             SDKs the first",
            Printable(one),
            Printable(other)
        );
        report.fail("profile-variables", looked_at, what, &["unset AWS_DEFAULT_PROFILE"]);
    }
    for (variable, name) in [("AWS_PROFILE", one), ("AWS_DEFAULT_PROFILE", other)] {
        let Some(name) = name.filter(|name| !sections.contains(SectionKind::Profile, name)) else { continue };
        let file = sections.config_path().display();
        let what = format!("`{variable}` names the profile `{}`, which is not in `{file}`", Printable(&name));
        report.fail("profile-variables", looked_at, what, &[&format!("unset {variable}")]);
    }
}

/// Tells which step each SDK uses for a profile, and what to write instead of what keeps them from keyrole.
pub fn check(report: &mut Report, patient: &Patient) {
    let seen = Seen::new(patient);
    let looked_at = "the chain of every SDK";
    match &patient.plan {
        Ok(_) => report.ok("plan", "what keyrole makes of the profile", summary(patient)),
        Err(error) => report.error("plan", "what keyrole makes of the profile", error),
    }
    if !patient.sections.contains(SectionKind::Profile, patient.name) {
        return;
    }
    if seen.overlooked.is_some() || seen.is_error {
        unreadable(report, patient, &seen);
        return;
    }
    if !seen.has("credential_process") {
        without_process(report, patient, &seen);
        return;
    }
    let providers = seen.of_every_sdk();
    let by_others: Vec<String> = providers
        .iter()
        .filter(|(_, step)| **step != PROCESS)
        .map(|(sdk, way)| match *sdk {
            "boto3" => format!("boto3 and the AWS CLI stop at {}", step(way)),
            sdk => format!("{sdk} at {}", step(way)),
        })
        .collect();
    if by_others.is_empty() {
        let what = format!("every SDK runs keyrole (for boto3 and the AWS CLI that is {})", step(PROCESS));
        report.ok("chain", looked_at, what);
    } else {
        let what = format!("`credential_process` does not win: {}", by_others.join("; "));
        let mend: Vec<String> = mend(&seen);
        report.fail("chain", looked_at, what, &mend.iter().map(String::as_str).collect::<Vec<_>>());
    }
    if let Some(check) = report.checks.last_mut() {
        check.providers = Some(providers);
    }
}

/// A profile that botocore does not see, or of which it sees but a part.
fn unreadable(report: &mut Report, patient: &Patient, seen: &Seen) {
    let looked_at = "the chain of every SDK";
    match (&seen.overlooked, patient.refused) {
        (Some((section, replaced_by)), None) => {
            let place = format!("`{}` line {}", patient.sections.path(section.file).display(), section.line);
            let header = match section.file {
                FileKind::Config => config_edit::header(patient.name),
                FileKind::Credentials => Ok(format!("[{}]", patient.name)),
            };
            let (why, mend) = match (replaced_by, header) {
                (Some(line), _) => (
                    format!("the section in line {line} replaces it"),
                    format!("put the lines of both into the section in line {line}"),
                ),
                (None, Ok(header)) => (
                    "they take its header apart as a shell would".to_owned(),
                    format!("in {place}: `{}`", Printable(&header)),
                ),
                (None, Err(error)) => (error.message().to_owned(), "give the profile another name".to_owned()),
            };
            let what = format!("boto3 and the AWS CLI overlook the section in {place}: {why}");
            report.fail("chain", looked_at, what, &[&mend]);
        }
        (_, refused) => {
            let mend = refused.and_then(Error::hint_text).unwrap_or_default();
            report.fail("chain", looked_at, "boto3 and the AWS CLI stop at an error: they refuse the file", &[mend]);
        }
    }
    if let Some(check) = report.checks.last_mut() {
        check.providers = Some(BTreeMap::from([("boto3", seen.of_botocore().unwrap_or("none"))]));
    }
}

/// A profile without the line is a source, or one that another profile's line names.
fn without_process(report: &mut Report, patient: &Patient, seen: &Seen) {
    let looked_at = "the chain of every SDK";
    let names = patient.sections.profile_names();
    let uses = |name: &&&str| {
        let mut properties = patient.sections.properties(SectionKind::Profile, name);
        properties
            .find(|property| property.is("credential_process"))
            .is_some_and(|line| crate::process_line::target(&line.value).as_deref() == Some(patient.name))
    };
    let used_by = names.iter().find(uses);
    let way = step(seen.of_botocore().unwrap_or("none"));
    match used_by {
        Some(user) => report.ok("chain", looked_at, format!("profile `{user}` runs keyrole for it")),
        None if seen.has("role_arn") => {
            let what = format!("there is no `credential_process` here, so boto3 and the AWS CLI stop at {way}");
            let setup = format!("keyrole setup {}", patient.quoted());
            // `setup` refuses to go past what stands in the credentials file.
            match seen.keys_in(true) {
                Some(keys) => {
                    let name = format!("{}-keys", Printable(seen.name));
                    let rename = format!("in {}: give the keys a section of their own, `[{name}]`", place(keys));
                    let setup = format!("{setup} --source-profile {}", quoted(&name));
                    report.warn("chain", looked_at, what, &[&rename, &setup]);
                }
                None => report.warn("chain", looked_at, what, &[&setup]),
            }
        }
        None => report.ok("chain", looked_at, format!("a source for other profiles ({way})")),
    }
    if let Some(check) = report.checks.last_mut() {
        check.providers = Some(BTreeMap::from([("boto3", seen.of_botocore().unwrap_or("none"))]));
    }
}

fn mend(seen: &Seen) -> Vec<String> {
    let mut lines: Vec<String> = seen
        .rivals()
        .into_iter()
        .map(|property| {
            let value = Printable(&property.value);
            format!("in {}: `keyrole_{} = {value}`", place(property), property.key)
        })
        .collect();
    for (in_credentials, keys) in [(true, seen.keys_in(true)), (false, seen.keys_in(false))] {
        let Some(keys) = keys else { continue };
        let header = if in_credentials { "" } else { "profile " };
        lines.push(format!(
            "in {}: give the keys a section of their own, `[{header}{}-keys]`",
            place(keys),
            Printable(seen.name)
        ));
        lines.push(format!("in `[profile {0}]`: `keyrole_source_profile = {0}-keys`", Printable(seen.name)));
    }
    lines
}

/// Says in one line what keyrole will do.
fn summary(patient: &Patient) -> String {
    let Ok((plan, _)) = &patient.plan else { return String::new() };
    let source = match &plan.source {
        Source::Keys { profile, .. } => format!("the keys of `{profile}`"),
        Source::StoredKey { profile, .. } => format!("the key of `{profile}` in the keyring"),
        source => source.describe(),
    };
    let mut words = vec![source];
    if plan.has_mfa_session() {
        words.push("an MFA session".to_owned());
    }
    words.extend(plan.steps.iter().filter_map(|step| match step {
        crate::plan::Step::AssumeRole(role) => Some(format!("`{}`", role.arn)),
        crate::plan::Step::SessionToken { .. } => None,
    }));
    words.join(" → ")
}
