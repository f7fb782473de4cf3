//! Owns the step from sections and a profile's name to a `Plan`: a source, then the STS calls in order. Pure: it
//! sends nothing and asks nobody, so every mistake in the configuration is found before anything happens.

use crate::config::{Property, SectionKind, Sections, without_prefix};
use crate::error::{Error, Result};
use crate::plan::{
    CHAIN_VARIABLE, CaBundle, Endpoint, Mfa, Patience, Plan, PromptChoice, Role, SdkSource, Settings, Source, Step,
    StoreChoice,
};
use crate::secret::Secret;
use crate::validate::{self, RoleArn};
use crate::world::World;
use std::path::Path;

/// How many profiles a chain of `source_profile` may have.
const MAX_CHAIN: usize = 10;
/// AWS caps a role that is assumed with another role's credentials at one hour ("role chaining").
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles.html#iam-term-role-chaining>
const ROLE_CHAINING_MAX_SECONDS: u32 = 3600;
/// How long an MFA session lasts unless `mfa_session_duration` says otherwise; the default of GetSessionToken.
const MFA_SESSION_SECONDS: u32 = 43_200;
/// How long before its end an MFA session is said to end, unless `keyrole_warn_before` says otherwise.
const WARN_BEFORE_SECONDS: i64 = 1800;

/// Plans what has to be done for `name`.
///
/// # Errors
/// Every mistake in the configuration, naming file, line, profile and key (exit 2).
pub fn plan(sections: &Sections, name: &str, world: &World) -> Result<Plan> {
    let chain = refuse_recursion(name, world)?;
    let planner = Planner { sections, world };
    let profiles = planner.walk(name)?;
    let requested = &profiles[0];
    let last = &profiles[profiles.len() - 1];

    let store = planner.choice(requested, "store", "KEYROLE_STORE", STORES)?;
    let mfa = planner.mfa(&profiles)?;
    let mfa_session_seconds = planner
        .first(&profiles, "mfa_session_duration")
        .map(|property| validate::mfa_session_duration(&property.value).map_err(|why| invalid(property, &why)))
        .transpose()?;

    let source = planner.source(&profiles, last)?;
    let mut roles = Vec::new();
    for profile in profiles.iter().rev().filter(|profile| profile.is_hop) {
        let chained = !roles.is_empty() || source.is_role();
        roles.push(planner.role(profile, chained)?);
    }
    let endpoint = planner.endpoint(requested, last, roles.last().map(|role: &Role| &role.arn))?;

    let mut steps = Vec::new();
    if roles.is_empty() {
        if !source.is_temporary() && !matches!(source, Source::Sdk { .. }) {
            let duration = mfa_session_seconds.filter(|&seconds| seconds > 0).unwrap_or(MFA_SESSION_SECONDS);
            steps.push(Step::SessionToken { mfa, duration });
        }
    } else if let Some(mfa) = mfa {
        match mfa_session_seconds.unwrap_or(MFA_SESSION_SECONDS) {
            seconds if seconds > 0 && !source.is_temporary() => {
                steps.push(Step::SessionToken { mfa: Some(mfa), duration: seconds });
            }
            _ => roles[0].mfa = Some(mfa),
        }
    }
    steps.extend(roles.into_iter().map(|role| Step::AssumeRole(Box::new(role))));
    Ok(Plan { profile: name.to_owned(), source, steps, endpoint, store, chain })
}

/// Gives the settings by which the plan of `name` is carried out.
///
/// # Errors
/// As `plan`.
pub fn settings(sections: &Sections, name: &str, world: &World) -> Result<Settings> {
    let planner = Planner { sections, world };
    let profile = Profile::new(sections, name);
    Ok(Settings {
        region: planner.region(&[&profile])?,
        use_fips: planner.flag(&profile, "use_fips_endpoint", "AWS_USE_FIPS_ENDPOINT")?,
        use_dualstack: planner.flag(&profile, "use_dualstack_endpoint", "AWS_USE_DUALSTACK_ENDPOINT")?,
        fallback_region: planner.fallback_region(&profile)?,
        ca_bundle: planner.ca_bundle(&profile),
        prompt: planner.choice(&profile, "prompt", "KEYROLE_PROMPT", PROMPTS)?,
        patience: Patience {
            prompt: planner.seconds(&profile, "prompt_timeout", "KEYROLE_PROMPT_TIMEOUT", 300)?,
            call: planner.seconds(&profile, "call_timeout", "KEYROLE_CALL_TIMEOUT", 30)?,
        },
        notify: planner.choice(&profile, "notify", "KEYROLE_NOTIFY", ANSWERS)?,
        warn_before: planner.setting(
            &profile,
            "warn_before",
            "KEYROLE_WARN_BEFORE",
            WARN_BEFORE_SECONDS,
            validate::warn_before,
        )?,
    })
}

/// Gives the access key that a profile itself has, in the files or in a store.
///
/// # Errors
/// It is half a key, or has not the form of one.
pub fn own_key(sections: &Sections, name: &str, world: &World) -> Result<Option<Source>> {
    Planner { sections, world }.keys(&Profile::new(sections, name))
}

/// Gives the URL of IAM, if the environment or a profile sets one.
///
/// # Errors
/// It is not a URL.
pub fn iam_url(sections: &Sections, name: &str, world: &World) -> Result<Option<String>> {
    Planner { sections, world }.endpoint_url(&Profile::new(sections, name), "AWS_ENDPOINT_URL_IAM", "iam")
}

/// Tells whether a profile names a role of its own, which `login --all` is to warm.
pub fn has_role(sections: &Sections, name: &str) -> bool {
    property(sections, name, "role_arn").is_some()
}

/// Finds a property of a profile by the one rule: that with the prefix `keyrole_` wins. Empty counts as unset.
pub fn property<'s>(sections: &'s Sections<'s>, name: &'s str, key: &str) -> Option<&'s Property<'s>> {
    Profile::new(sections, name).get(key)
}

/// Tells whether keyrole serves a profile: its line runs keyrole, or it has keys that only keyrole reads.
pub fn is_served(sections: &Sections, name: &str) -> bool {
    let profile = Profile::new(sections, name);
    let is_ours = |candidate: &Candidate| {
        candidate.is_prefixed || candidate.key == "credential_process" && names_keyrole(&candidate.property.value)
    };
    profile.properties.iter().any(is_ours)
}

/// Follows `source_profile` from a profile as far as it leads, mistakes or not.
pub fn lineage<'s>(sections: &'s Sections<'s>, name: &'s str) -> Vec<&'s str> {
    let mut names = vec![name];
    while names.len() <= MAX_CHAIN {
        let last = Profile::new(sections, names[names.len() - 1]);
        match last.get("source_profile") {
            Some(source) if last.get("role_arn").is_some() && !names.contains(&&*source.value) => {
                names.push(&source.value)
            }
            _ => break,
        }
    }
    names
}

/// Gives the key that was most likely meant by one that no SDK knows; `None` for a known key, or one of another tool.
pub fn misspelt(key: &str) -> Option<&'static str> {
    let known = || KEYS.iter().chain(OTHER_KEYS).copied();
    if known().any(|known| known.eq_ignore_ascii_case(key)) { None } else { nearest(key, known()) }
}

/// Refuses to run for a profile that is waiting for a program that runs us.
fn refuse_recursion(name: &str, world: &World) -> Result<String> {
    // A comma and a per cent sign in a profile's name are kept from being taken for the list's own.
    let this = if name.contains(['%', ',']) { name.replace('%', "%25").replace(',', "%2C") } else { name.to_owned() };
    let Some(chain) = world.var(CHAIN_VARIABLE) else { return Ok(this) };
    let longer = format!("{chain},{this}");
    if chain.split(',').any(|earlier| earlier == this) {
        let shown = longer.replace(',', "` → `").replace("%2C", ",").replace("%25", "%");
        return Err(Error::usage(format!("profile `{name}` needs itself: `{shown}`"))
            .hint("the `credential_process` of a source profile must not lead back to the profile that uses it"));
    }
    Ok(longer)
}

const STORES: &[(&str, StoreChoice)] = &[
    ("auto", StoreChoice::Auto),
    #[cfg(target_os = "macos")]
    ("keychain", StoreChoice::Keychain),
    #[cfg(windows)]
    ("wincred", StoreChoice::Wincred),
    #[cfg(target_os = "linux")]
    ("keyutils", StoreChoice::Keyutils),
    #[cfg(target_os = "linux")]
    ("secret-service", StoreChoice::SecretService),
    ("file", StoreChoice::File),
    ("none", StoreChoice::None),
];

const PROMPTS: &[(&str, PromptChoice)] = &[
    ("auto", PromptChoice::Auto),
    ("terminal", PromptChoice::Terminal),
    ("pinentry", PromptChoice::Pinentry),
    ("gui", PromptChoice::Gui),
    ("none", PromptChoice::None),
];

const ANSWERS: &[(&str, bool)] = &[("no", false), ("yes", true), ("false", false), ("true", true)];

/// Where a value is written.
enum Place<'s> {
    Variable(&'static str),
    Property(&'s Property<'s>),
}

/// A property and its key without the prefix.
struct Candidate<'s> {
    is_prefixed: bool,
    key: &'s str,
    property: &'s Property<'s>,
}

/// One profile on the way from the one asked for to the source.
struct Profile<'s> {
    config_path: &'s Path,
    name: &'s str,
    /// Its properties outside of nested blocks, the one that wins first.
    properties: Vec<Candidate<'s>>,
    /// It is a role to assume, not the source.
    is_hop: bool,
}

impl<'s> Profile<'s> {
    fn new(sections: &'s Sections<'s>, name: &'s str) -> Self {
        let mut properties = Vec::with_capacity(16);
        for property in sections.properties(SectionKind::Profile, name).filter(|property| property.block.is_none()) {
            let prefixed = without_prefix(property.key);
            properties.push(Candidate {
                is_prefixed: prefixed.is_some(),
                key: prefixed.unwrap_or(property.key),
                property,
            });
        }
        Self { config_path: sections.config_path(), name, properties, is_hop: false }
    }

    /// Finds a property by the one rule: that with the prefix `keyrole_` wins. Empty counts as unset.
    fn get(&self, key: &str) -> Option<&'s Property<'s>> {
        let mut found = None;
        for candidate in self.properties.iter().filter(|candidate| candidate.key.eq_ignore_ascii_case(key)) {
            if candidate.is_prefixed {
                found = Some(candidate.property);
                break;
            }
            found = found.or(Some(candidate.property));
        }
        found.filter(|property| !property.value.is_empty())
    }

    /// Refuses a prefixed key that keyrole does not know. The prefix is ours alone, so it can only be a slip, and one
    /// that might leave out what limits the session.
    fn refuse_unknown_keys(&self) -> Result<()> {
        let is_unknown = |candidate: &&Candidate| {
            candidate.is_prefixed && !KEYS.iter().any(|key| key.eq_ignore_ascii_case(candidate.key))
        };
        let Some(candidate) = self.properties.iter().find(is_unknown) else { return Ok(()) };
        let error = self.invalid(candidate.property, "keyrole knows no such key");
        Err(match nearest(candidate.key, KEYS.iter().copied()) {
            Some(key) => error.hint(format!("did you mean `keyrole_{key}`?")),
            None => error.hint("`man keyrole` and the README list the keys"),
        })
    }

    /// Tells whether a secret belongs to an ID with the prefix. One without the prefix belongs to the ID without it, if
    /// there is one.
    fn has_secret_of(&self, id: &Property, secret: Option<&Property>) -> bool {
        let is_plain_id =
            |candidate: &&Candidate| !candidate.is_prefixed && candidate.key.eq_ignore_ascii_case("aws_access_key_id");
        secret.is_some_and(|secret| {
            let plain = self.properties.iter().find(is_plain_id);
            without_prefix(secret.key).is_some() || plain.is_none_or(|plain| plain.property.value == id.value)
        })
    }

    fn value(&self, key: &str) -> Option<String> {
        self.get(key).map(|property| property.value.to_string())
    }

    /// Reads and checks an optional property.
    fn checked<T>(&self, key: &str, check: impl Fn(&str) -> std::result::Result<T, String>) -> Result<Option<T>> {
        self.get(key).map(|property| check(&property.value).map_err(|why| self.invalid(property, &why))).transpose()
    }

    fn invalid(&self, property: &Property, why: &str) -> Error {
        invalid(property, why).context(format_args!("profile `{}`", self.name))
    }

    fn error(&self, what: impl std::fmt::Display) -> Error {
        Error::usage(format!("profile `{}` in `{}`: {what}", self.name, self.config_path.display()))
            .hint("add what is missing to the profile")
    }
}

fn invalid(property: &Property, why: &str) -> Error {
    let error =
        Error::usage(format!("`{}` in `{}` line {}: {why}", property.key, property.file.display(), property.line));
    let key = without_prefix(property.key).unwrap_or(property.key);
    let is_one_of = |keys: &[&str]| keys.iter().any(|other| other.eq_ignore_ascii_case(key));
    error.hint(if property.value.contains('\n') && !is_one_of(&["policy"]) {
        INDENTED
    } else if is_one_of(&["role_arn"]) {
        "copy the whole ARN of the role from the IAM console"
    } else if is_one_of(&["mfa_serial"]) {
        "copy the device's ARN from the IAM console; `aws iam list-mfa-devices` shows it too"
    } else {
        "correct or remove this line"
    })
}

/// What is wrong where a value has several lines and should have one.
pub const INDENTED: &str = "an indented line belongs to the key above it";

fn of_variable(variable: &str, why: &str) -> Error {
    Error::usage(format!("`{variable}`: {why}")).hint("correct or unset this variable")
}

struct Planner<'s> {
    sections: &'s Sections<'s>,
    world: &'s World,
}

impl<'s> Planner<'s> {
    /// Follows `source_profile` from `name` to the source. The profile asked for comes first.
    fn walk(&self, name: &'s str) -> Result<Vec<Profile<'s>>> {
        let mut chain: Vec<Profile> = Vec::new();
        let mut next = name;
        loop {
            if !self.sections.contains(SectionKind::Profile, next) {
                return Err(self.unknown(next, chain.last()));
            }
            let mut profile = Profile::new(self.sections, next);
            profile.refuse_unknown_keys()?;
            let shown = |chain: &[Profile]| {
                let names: Vec<&str> = chain.iter().map(|profile| profile.name).chain([next]).collect();
                format!("`{}`", names.join("` → `"))
            };
            if chain.iter().any(|earlier| earlier.name == next) {
                return Err(chain[0]
                    .error(format_args!("`source_profile` runs in a circle: {}", shown(&chain)))
                    .hint("the last profile of the chain must be one with credentials of its own"));
            }
            if chain.len() > MAX_CHAIN {
                return Err(chain[0]
                    .error(format_args!("the chain of `source_profile` is longer than {MAX_CHAIN}: {}", shown(&chain)))
                    .hint("let a profile nearer to the first one have credentials of its own"));
            }
            let is_web_identity = profile.get("web_identity_token_file").is_some();
            if profile.get("role_arn").is_none() || is_web_identity {
                chain.push(profile);
                return Ok(chain);
            }
            profile.is_hop = true;
            match (profile.get("source_profile"), profile.get("credential_source")) {
                (Some(_), Some(other)) => {
                    return Err(profile
                        .invalid(other, "it cannot stand beside `source_profile`")
                        .hint("keep the one that says where this role's caller comes from"));
                }
                (None, None) => {
                    return Err(profile
                        .error("a role needs `source_profile` or `credential_source`")
                        .hint("add `keyrole_source_profile = NAME`, the profile whose keys may assume the role"));
                }
                // `credential_source`, and a role whose own profile holds the keys, end the chain here.
                (None, Some(_)) => {
                    chain.push(profile);
                    return Ok(chain);
                }
                (Some(source), None) if source.value == next => {
                    if profile.get("aws_access_key_id").is_none() {
                        return Err(profile.invalid(source, "the profile names itself, but has no keys of its own"));
                    }
                    chain.push(profile);
                    return Ok(chain);
                }
                (Some(source), None) => {
                    chain.push(profile);
                    next = &source.value;
                }
            }
        }
    }

    fn unknown(&self, name: &str, asked_by: Option<&Profile>) -> Error {
        let config = self.sections.config_path().display();
        let names = self.sections.profile_names();
        let nearest = nearest(name, names.iter().copied());
        let hint = match nearest {
            _ if self.sections.contains(SectionKind::Other, name) => {
                format!("`{config}` has `[{name}]`; in this file it must be `[profile {name}]`")
            }
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None if name.is_empty() => "give the name of a profile".to_owned(),
            None => format!("add `[profile {name}]` to `{config}`"),
        };
        match asked_by {
            None => Error::usage(format!("profile `{name}` is not in `{config}`")).hint(hint),
            Some(profile) => match profile.get("source_profile") {
                Some(property) => profile.invalid(property, &format!("there is no profile `{name}`")).hint(hint),
                None => Error::usage(format!("profile `{name}` is not in `{config}`")).hint(hint),
            },
        }
    }

    /// Finds a property on the nearest profile of the chain that has it.
    fn first(&self, profiles: &[Profile<'s>], key: &str) -> Option<&'s Property<'s>> {
        profiles.iter().find_map(|profile| profile.get(key))
    }

    fn mfa(&self, profiles: &[Profile<'s>]) -> Result<Option<Mfa>> {
        let Some(property) = self.first(profiles, "mfa_serial") else { return Ok(None) };
        validate::mfa_serial(&property.value).map_err(|why| invalid(property, &why))?;
        let process = self.first(profiles, "mfa_process").map(|process| process.value.to_string());
        Ok(Some(Mfa { serial: property.value.to_string(), process }))
    }

    fn role(&self, profile: &Profile, chained: bool) -> Result<Role> {
        let arn = profile.checked("role_arn", RoleArn::parse)?.ok_or_else(|| profile.error("`role_arn` is missing"))?;
        let duration = profile.checked("duration_seconds", validate::role_duration)?;
        let policy = profile.checked("policy", |text| self.policy(text))?;
        let tags = profile.checked("session_tags", validate::session_tags)?.unwrap_or_default();
        let transitive = |text: &str| validate::transitive_tags(text, &tags);
        let transitive_tags = profile.checked("transitive_session_tags", transitive)?.unwrap_or_default();
        Ok(Role {
            profile: profile.name.to_owned(),
            arn,
            session_name: profile.checked("role_session_name", validate::session_name)?,
            external_id: profile.checked("external_id", validate::external_id)?,
            duration: duration.map(|seconds| if chained { seconds.min(ROLE_CHAINING_MAX_SECONDS) } else { seconds }),
            tags,
            transitive_tags,
            source_identity: profile.checked("source_identity", validate::source_identity)?,
            policy,
            policy_arns: profile.checked("policy_arns", validate::policy_arns)?.unwrap_or_default(),
            mfa: None,
        })
    }

    fn policy(&self, text: &str) -> std::result::Result<String, String> {
        let Some(path) = text.strip_prefix("file:") else { return validate::policy(text) };
        let path = self.world.expand(path.strip_prefix("//").unwrap_or(path));
        let text = (self.world.read)(&path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
        validate::policy(text.trim()).map_err(|why| format!("`{}`: {why}", path.display()))
    }

    fn source(&self, profiles: &[Profile], profile: &Profile) -> Result<Source> {
        if profile.is_hop && profile.get("source_profile").is_none() {
            let Some(property) = profile.get("credential_source") else {
                return Err(profile.error("a role needs `source_profile` or `credential_source`"));
            };
            return match &*property.value {
                "Environment" => self.environment(),
                "Ec2InstanceMetadata" => Ok(Source::Ec2InstanceMetadata),
                "EcsContainer" => {
                    let uri = ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"];
                    let uri = uri.into_iter().find_map(|name| self.world.var(name)).unwrap_or_default();
                    Ok(Source::EcsContainer { uri })
                }
                other => Err(profile.invalid(
                    property,
                    &format!("`{other}` is not one of Environment, Ec2InstanceMetadata, EcsContainer"),
                )),
            };
        }
        let sdk = |kind, keys: &[&str]| {
            let settings = keys.iter().filter_map(|key| Some(((*key).to_owned(), profile.value(key)?))).collect();
            Source::Sdk { profile: profile.name.to_owned(), kind, settings, sso_session: None }
        };
        if profile.get("web_identity_token_file").is_some() {
            profile
                .checked("role_arn", RoleArn::parse)?
                .ok_or_else(|| profile.error("`web_identity_token_file` needs a `role_arn`"))?;
            profile.checked("role_session_name", validate::session_name)?;
            profile.checked("web_identity_token_file", validate::absolute_path)?;
            return Ok(sdk(SdkSource::WebIdentity, &["role_arn", "web_identity_token_file", "role_session_name"]));
        }
        if let Some(keys) = self.keys(profile)? {
            return Ok(keys);
        }
        if profile.get("sso_session").is_some() || profile.get("sso_start_url").is_some() {
            return self.sso(profile);
        }
        if profile.get("login_session").is_some() {
            return Ok(sdk(SdkSource::Login, &["login_session", "region"]));
        }
        if let Some(property) = profile.get("credential_process") {
            if names_keyrole(&property.value) {
                let words = property.value.split_whitespace().skip_while(|word| *word != "get").skip(1);
                let target = words.map(|word| word.trim_matches(['"', '\''])).find(|word| !word.starts_with('-'));
                let names: Vec<&str> = profiles.iter().map(|profile| profile.name).chain(target).collect();
                return Err(profile
                    .invalid(property, &format!("it is keyrole itself: `{}`", names.join("` → `")))
                    .hint("give the role as `keyrole_role_arn` with `keyrole_source_profile`, a profile with keys"));
            }
            return Ok(sdk(SdkSource::Process, &["credential_process"]));
        }
        let credentials = self.sections.credentials_path().display();
        Err(profile.error(format_args!("there are no credentials here, nor in `{credentials}`")).hint(
            "a source profile needs `aws_access_key_id` and `aws_secret_access_key`, `sso_session`, \
             `web_identity_token_file` or `credential_process`",
        ))
    }

    fn environment(&self) -> Result<Source> {
        let secret = |name| self.world.var(name).map(Secret::new);
        match (self.world.var("AWS_ACCESS_KEY_ID"), secret("AWS_SECRET_ACCESS_KEY")) {
            (Some(access_key_id), Some(_)) => {
                Ok(Source::Environment { access_key_id, temporary: secret("AWS_SESSION_TOKEN").is_some() })
            }
            _ => Err(Error::usage("`credential_source = Environment`, but the environment has no credentials")
                .hint("set `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`")),
        }
    }

    fn keys(&self, profile: &Profile) -> Result<Option<Source>> {
        let half = |has: &Property, lacks: &str| {
            profile.invalid(has, &format!("`{lacks}` is missing beside it")).hint("both halves of a key are needed")
        };
        let (id, secret) = (profile.get("aws_access_key_id"), profile.get("aws_secret_access_key"));
        if let Some(id) = id.filter(|id| without_prefix(id.key).is_some() && !profile.has_secret_of(id, secret)) {
            validate::access_key_id(&id.value).map_err(|why| profile.invalid(id, &why))?;
            let (profile, access_key_id) = (profile.name.to_owned(), id.value.to_string());
            return Ok(Some(Source::StoredKey { profile, access_key_id }));
        }
        match (id, secret) {
            (None, None) => Ok(None),
            (Some(id), None) => Err(half(id, "aws_secret_access_key")),
            (None, Some(secret)) => Err(half(secret, "aws_access_key_id")),
            (Some(id), Some(secret)) => {
                validate::access_key_id(&id.value).map_err(|why| profile.invalid(id, &why))?;
                Ok(Some(Source::Keys {
                    profile: profile.name.to_owned(),
                    access_key_id: id.value.to_string(),
                    secret_access_key: Secret::new(&*secret.value),
                    session_token: profile.get("aws_session_token").map(|token| Secret::new(&*token.value)),
                }))
            }
        }
    }

    fn sso(&self, profile: &Profile) -> Result<Source> {
        let value = |key: &str| {
            let missing = || profile.error(format_args!("`{key}` is missing beside the other `sso_` keys"));
            Ok((key.to_owned(), profile.value(key).ok_or_else(missing)?))
        };
        let mut settings = vec![value("sso_account_id")?, value("sso_role_name")?];
        let Some(property) = profile.get("sso_session") else {
            settings.extend([value("sso_start_url")?, value("sso_region")?]);
            return Ok(Source::Sdk {
                profile: profile.name.to_owned(),
                kind: SdkSource::Sso { is_prefixed: false },
                settings,
                sso_session: None,
            });
        };
        let name = &*property.value;
        let session = |key: &str| {
            let found = self.sections.properties(SectionKind::SsoSession, name).find(|property| property.is(key));
            let missing = || profile.invalid(property, &format!("`[sso-session {name}]` has no `{key}`"));
            Ok((key.to_owned(), found.ok_or_else(missing)?.value.to_string()))
        };
        let session = vec![session("sso_start_url")?, session("sso_region")?];
        settings.push(("sso_session".to_owned(), name.to_owned()));
        Ok(Source::Sdk {
            profile: profile.name.to_owned(),
            kind: SdkSource::Sso { is_prefixed: without_prefix(property.key).is_some() },
            settings,
            sso_session: Some((name.to_owned(), session)),
        })
    }

    /// Finds the region that the environment or one of the profiles sets.
    fn region(&self, profiles: &[&Profile]) -> Result<Option<String>> {
        for variable in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
            if let Some(value) = self.world.var(variable) {
                let region = validate::region(&value).map_err(|why| of_variable(variable, &why))?;
                return Ok(Some(region));
            }
        }
        for profile in profiles {
            if let Some(region) = profile.checked("region", validate::region)? {
                return Ok(Some(region));
            }
        }
        Ok(None)
    }

    /// Decides where STS is, in the order of the AWS CLI v2: environment, then the profile, then the role's partition.
    fn endpoint(&self, requested: &Profile, source: &Profile, role: Option<&RoleArn>) -> Result<Endpoint> {
        let region = self.region(&[requested, source])?;
        let partition = match (role, &region) {
            (Some(role), _) => role.partition().to_owned(),
            (None, Some(region)) => validate::partition_of_region(region).to_owned(),
            (None, None) => "aws".to_owned(),
        };
        let region = match region {
            Some(region) if validate::partition_of_region(&region) == partition => region,
            Some(region) => {
                return Err(requested
                    .error(format_args!("region `{region}` is not in the role's partition `{partition}`"))
                    .hint("set `region` (or `AWS_REGION`) to a region of the role's partition"));
            }
            None => validate::default_region(&partition).to_owned(),
        };
        let legacy = self.setting(
            requested,
            "sts_regional_endpoints",
            "AWS_STS_REGIONAL_ENDPOINTS",
            false,
            validate::is_legacy,
        )?;
        Ok(Endpoint {
            url: self.endpoint_url(requested, "AWS_ENDPOINT_URL_STS", "sts")?,
            global: legacy && validate::has_legacy_global_endpoint(&region),
            region,
            partition,
        })
    }

    fn fallback_region(&self, profile: &Profile<'s>) -> Result<Option<String>> {
        let Some(property) = profile.get("sts_fallback_region") else { return Ok(None) };
        let region = validate::region(&property.value).map_err(|why| profile.invalid(property, &why))?;
        let role = profile.checked("role_arn", RoleArn::parse)?;
        let partition = role.as_ref().map(RoleArn::partition);
        if partition.is_some_and(|partition| validate::partition_of_region(&region) != partition) {
            return Err(profile.invalid(property, &format!("`{region}` is not in the role's partition")));
        }
        if profile.get("region").is_some_and(|own| own.value == region) {
            return Err(profile.invalid(property, "this is the profile's own region, and no other"));
        }
        // An endpoint of the environment wins for as long as it is there.
        match self.configured_url(profile, "AWS_ENDPOINT_URL_STS", "sts") {
            Some((_, Place::Property(url))) if self.endpoint_url(profile, "AWS_ENDPOINT_URL_STS", "sts")?.is_some() => {
                Err(profile
                    .invalid(property, &format!("it cannot stand beside `{}`, which is asked and no other", url.key))
                    .hint("remove one of them"))
            }
            _ => Ok(Some(region)),
        }
    }

    fn ca_bundle(&self, profile: &Profile) -> Option<CaBundle> {
        if let Some(path) = self.world.var("AWS_CA_BUNDLE") {
            return Some(CaBundle { path: self.world.expand(&path), written_in: None });
        }
        let property = profile.get("ca_bundle")?;
        let written_in = Some((property.file.to_owned(), property.line));
        Some(CaBundle { path: self.world.expand(&property.value), written_in })
    }

    fn endpoint_url(&self, profile: &Profile, variable: &'static str, service: &str) -> Result<Option<String>> {
        let Some((url, place)) = self.configured_url(profile, variable, service) else { return Ok(None) };
        if self.flag(profile, "ignore_configured_endpoint_urls", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")? {
            return Ok(None);
        }
        validate::url(&url).map_err(|why| match place {
            Place::Variable(variable) => of_variable(variable, &why),
            Place::Property(property) => profile.invalid(property, &why),
        })?;
        Ok(Some(url))
    }

    /// Finds the endpoint's URL in the order of the SDKs, and where it is written.
    fn configured_url(
        &self,
        profile: &Profile<'s>,
        variable: &'static str,
        service: &str,
    ) -> Option<(String, Place<'s>)> {
        for variable in [variable, "AWS_ENDPOINT_URL"] {
            if let Some(url) = self.world.var(variable) {
                return Some((url, Place::Variable(variable)));
            }
        }
        let of_service = profile.get("services").and_then(|services| {
            let mut properties = self.sections.properties(SectionKind::Services, &services.value);
            properties.find(|property| property.is_nested(service, "endpoint_url"))
        });
        let property = of_service.or_else(|| profile.get("endpoint_url"))?;
        Some((property.value.to_string(), Place::Property(property)))
    }

    fn flag(&self, profile: &Profile, key: &str, variable: &str) -> Result<bool> {
        self.setting(profile, key, variable, false, validate::boolean)
    }

    fn seconds(&self, profile: &Profile, key: &str, variable: &str, default: i64) -> Result<i64> {
        self.setting(profile, key, variable, default, validate::timeout)
    }

    /// Picks one of several values; the first is the default.
    fn choice<T: Copy>(&self, profile: &Profile, key: &str, variable: &str, choices: &[(&str, T)]) -> Result<T> {
        self.setting(profile, key, variable, choices[0].1, |value| {
            let found = choices.iter().find(|(name, _)| *name == value);
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            found.map(|(_, choice)| *choice).ok_or_else(|| format!("`{value}` is not one of {}", names.join(", ")))
        })
    }

    /// Reads what a variable sets, else the profile, else nobody.
    fn setting<T>(
        &self,
        profile: &Profile,
        key: &str,
        variable: &str,
        default: T,
        check: impl Fn(&str) -> std::result::Result<T, String>,
    ) -> Result<T> {
        match self.world.var(variable) {
            Some(value) => check(&value).map_err(|why| of_variable(variable, &why)),
            None => Ok(profile.checked(key, check)?.unwrap_or(default)),
        }
    }
}

/// Finds the name that was most likely meant: one that differs by letter case or at most two slips of the finger.
pub fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    /// Longer names are not typed, so they are not mistyped.
    const MAX_BYTES: usize = 200;
    if name.len() > MAX_BYTES {
        return None;
    }
    let name = name.to_lowercase();
    let slips = |known: &str| strsim::osa_distance(&name, &known.to_lowercase());
    let closest = known.map(|known| (slips(known), known)).min_by_key(|(slips, _)| *slips);
    closest.filter(|(slips, _)| *slips <= 2 && slips * 2 < name.chars().count().max(1)).map(|(_, known)| known)
}

/// The keys that may be written with the prefix `keyrole_`.
const KEYS: &[&str] = &[
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "ca_bundle",
    "call_timeout",
    "credential_process",
    "credential_source",
    "duration_seconds",
    "endpoint_url",
    "external_id",
    "ignore_configured_endpoint_urls",
    "login_session",
    "mfa_process",
    "mfa_serial",
    "mfa_session_duration",
    "notify",
    "policy",
    "policy_arns",
    "prompt",
    "prompt_timeout",
    "region",
    "role_arn",
    "role_session_name",
    "services",
    "session_tags",
    "source_identity",
    "source_profile",
    "sso_account_id",
    "sso_region",
    "sso_role_name",
    "sso_session",
    "sso_start_url",
    "store",
    "sts_fallback_region",
    "sts_regional_endpoints",
    "transitive_session_tags",
    "use_dualstack_endpoint",
    "use_fips_endpoint",
    "warn_before",
    "web_identity_token_file",
];

/// The keys of a profile that mean something to SDKs and nothing to keyrole.
/// <https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html>
const OTHER_KEYS: &[&str] = &[
    "account_id_endpoint_mode",
    "api_versions",
    "aws_account_id",
    "aws_security_token",
    "cli_auto_prompt",
    "cli_binary_format",
    "cli_history",
    "cli_pager",
    "cli_timestamp_format",
    "defaults_mode",
    "disable_request_compression",
    "ec2_metadata_service_endpoint",
    "ec2_metadata_service_endpoint_mode",
    "ec2_metadata_v1_disabled",
    "endpoint_discovery_enabled",
    "max_attempts",
    "metadata_service_num_attempts",
    "metadata_service_timeout",
    "output",
    "parameter_validation",
    "request_checksum_calculation",
    "request_min_compression_size_bytes",
    "response_checksum_validation",
    "retry_mode",
    "s3",
    "s3_disable_multiregion_access_points",
    "s3_us_east_1_regional_endpoint",
    "s3_use_arn_region",
    "sdk_ua_app_id",
    "sigv4a_signing_region_set",
    "sso_registration_scopes",
    "tcp_keepalive",
    "user_agent_appid",
];

/// Tells whether a `credential_process` line runs keyrole.
pub fn names_keyrole(command: &str) -> bool {
    let words = command.split_whitespace();
    words.map(|word| word.trim_matches(['"', '\''])).take(2).any(|word| {
        let file = Path::new(word.rsplit('\\').next().unwrap_or(word)).file_name();
        file.is_some_and(|file| file == "keyrole" || file == "keyrole.exe")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AwsFiles;
    use crate::error::Kind;

    const KEYS: &str = "[base]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = secret\n";

    fn world(variables: &[(&str, &str)]) -> World {
        let variables: Vec<(String, String)> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let find = move |name: &str| variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        World {
            env: Box::new(find),
            clock: || std::time::UNIX_EPOCH,
            read: |path| Ok(format!(r#"{{"from":"{}"}}"#, path.display())),
            home: Some("/home/me".into()),
        }
    }

    fn plan_in(config: &str, name: &str, variables: &[(&str, &str)]) -> Result<Plan> {
        plan(&AwsFiles::from_text(config, KEYS).sections().unwrap(), name, &world(variables))
    }

    fn plan_of(config: &str, name: &str) -> Plan {
        plan_in(config, name, &[]).unwrap()
    }

    #[track_caller]
    fn refused(config: &str, name: &str, words: &[&str]) {
        let error = plan_in(config, name, &[]).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage);
        for word in words {
            assert!(error.to_string().contains(word), "no {word:?} in {error}");
        }
    }

    fn role(name: &str, source: &str, more: &str) -> String {
        format!(
            "[profile {name}]\nrole_arn = arn:aws:iam::444455556666:role/{name}\nsource_profile = {source}\n{more}\n"
        )
    }

    fn names(plan: &Plan) -> Vec<&str> {
        let name = |step: &'_ Step| match step {
            Step::SessionToken { .. } => "session token",
            Step::AssumeRole(role) => match role.arn.name() {
                "a" => "a",
                "b" => "b",
                _ => "other",
            },
        };
        plan.steps.iter().map(name).collect()
    }

    #[test]
    fn the_prefixed_key_wins_over_the_plain_one() {
        let config =
            role("a", "nowhere", "keyrole_source_profile = base\nKEYROLE_REGION = eu-west-1\nregion = us-east-1");
        let plan = plan_of(&config, "a");
        assert_eq!(plan.endpoint.region, "eu-west-1");
        assert!(matches!(plan.source, Source::Keys { ref profile, .. } if profile == "base"));
    }

    #[test]
    fn a_serial_on_the_source_makes_one_shared_mfa_session_for_every_role() {
        let base = "[profile base]\nmfa_serial = arn:aws:iam::111122223333:mfa/me\n";
        let config = format!("{base}{}{}", role("a", "base", ""), role("b", "a", ""));
        assert_eq!(names(&plan_of(&config, "a")), ["session token", "a"]);
        assert_eq!(names(&plan_of(&config, "b")), ["session token", "a", "b"]);
        assert_eq!(plan_of(&config, "a").steps[0], plan_of(&config, "b").steps[0]);
    }

    #[test]
    fn without_an_mfa_session_the_code_goes_into_the_first_role() {
        let base = "[profile base]\nmfa_serial = arn:aws:iam::111122223333:mfa/me\nmfa_session_duration = 0\n";
        let plan = plan_of(&format!("{base}{}{}", role("a", "base", ""), role("b", "a", "")), "b");
        assert_eq!(names(&plan), ["a", "b"]);
        assert!(plan.steps[0].mfa().is_some() && plan.steps[1].mfa().is_none());
    }

    #[test]
    fn the_serial_of_the_role_wins_over_that_of_the_source() {
        let base = "[profile base]\nmfa_serial = arn:aws:iam::111122223333:mfa/me\n";
        let config = format!("{base}{}", role("a", "base", "mfa_serial = GAHT12345678"));
        assert_eq!(plan_of(&config, "a").mfa().unwrap().serial, "GAHT12345678");
    }

    #[test]
    fn a_role_assumed_with_a_role_is_capped_at_one_hour() {
        let long = "duration_seconds = 43200";
        let config = format!("[profile base]\n{}{}", role("a", "base", long), role("b", "a", long));
        assert_eq!(plan_of(&config, "a").role().unwrap().duration, Some(43_200));
        let plan = plan_of(&config, "b");
        assert_eq!(plan.role().unwrap().duration, Some(3600));
        let web = "[profile w]\nrole_arn = arn:aws:iam::444455556666:role/w\nweb_identity_token_file = /t\n";
        assert_eq!(plan_of(&format!("{web}{}", role("a", "w", long)), "a").role().unwrap().duration, Some(3600));
    }

    #[test]
    fn keys_without_a_role_give_a_session_token() {
        let plan = plan_of("[profile base]\nmfa_serial = GAHT12345678\n", "base");
        assert_eq!(names(&plan), ["session token"]);
        assert!(plan.mfa().is_some());
        assert!(plan_of("", "base").mfa().is_none());
    }

    #[test]
    fn an_unknown_key_with_the_prefix_is_refused_and_the_nearest_one_is_named() {
        let slip = role("a", "base", "keyrole_polcy = {}");
        refused(&slip, "a", &["`keyrole_polcy`", "line 4", "knows no such key", "did you mean `keyrole_policy`?"]);
        refused(&role("a", "base", "keyrole_colour = x"), "a", &["knows no such key", "README"]);
        plan_of(&role("a", "base", "colour = x"), "a");
    }

    #[test]
    fn an_unknown_profile_gets_the_hint_that_fits() {
        refused(&role("prod", "base", ""), "prdo", &["did you mean `prod`?"]);
        refused("[prod]\nregion = eu-west-1\n", "prod", &["it must be `[profile prod]`"]);
        refused(&role("prod", "base", ""), "elsewhere", &["add `[profile elsewhere]`"]);
    }

    #[test]
    fn loops_are_refused_with_the_chain() {
        let config = format!("{}{}{}", role("a", "b", ""), role("b", "c", ""), role("c", "a", ""));
        refused(&config, "a", &["runs in a circle", "`a` → `b` → `c` → `a`"]);
    }

    #[test]
    fn a_chain_of_ten_roles_is_planned_and_one_of_eleven_is_refused() {
        let chain = |length: usize| -> String {
            let link =
                |n: usize| role(&format!("r{n}"), &if n == 1 { "base".into() } else { format!("r{}", n - 1) }, "");
            (1..=length).map(link).collect()
        };
        assert_eq!(plan_of(&chain(10), "r10").steps.len(), 10);
        refused(&chain(11), "r11", &["longer than 10", "`r11` → `r10`"]);
    }

    #[test]
    fn a_source_that_is_keyrole_itself_is_refused_with_the_chain() {
        for command in ["/usr/bin/keyrole get a", "\"keyrole\" get a", "env keyrole get a", r"C:\bin\keyrole.exe get a"]
        {
            let config = format!("[profile x]\ncredential_process = {command}\n{}", role("a", "x", ""));
            refused(&config, "a", &["keyrole itself", "`x` → `a`"]);
        }
        let other = format!("[profile x]\ncredential_process = my-keyrole-like get a\n{}", role("a", "x", ""));
        assert!(matches!(plan_of(&other, "a").source, Source::Sdk { kind: SdkSource::Process, .. }));
    }

    #[test]
    fn a_profile_that_waits_for_the_program_that_runs_us_is_refused() {
        let error = plan_in(&role("a", "base", ""), "a", &[(CHAIN_VARIABLE, "a,b%2Cc")]).unwrap_err();
        assert!(error.to_string().contains("`a` → `b,c` → `a`"), "{error}");
        assert_eq!(plan_in(&role("a", "base", ""), "a", &[(CHAIN_VARIABLE, "b")]).unwrap().chain, "b,a");
    }

    #[test]
    fn a_role_that_names_itself_uses_its_own_keys() {
        let keys = "aws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = s";
        assert!(matches!(plan_of(&role("a", "a", keys), "a").source, Source::Keys { .. }));
        refused(&role("a", "a", ""), "a", &["names itself"]);
    }

    #[test]
    fn half_a_source_is_refused_and_the_other_half_is_named() {
        refused(
            "[profile x]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\n",
            "x",
            &["`aws_secret_access_key` is missing"],
        );
        refused("[profile x]\naws_secret_access_key = s\n", "x", &["`aws_access_key_id` is missing"]);
        refused(
            "[profile x]\nsso_start_url = u\nsso_region = r\nsso_account_id = 1\n",
            "x",
            &["`sso_role_name` is missing"],
        );
        refused("[profile x]\nsso_session = s\nsso_account_id = 1\nsso_role_name = r\n", "x", &["`[sso-session s]`"]);
        refused("[profile a]\nrole_arn = arn:aws:iam::444455556666:role/a\n", "a", &["needs `source_profile`"]);
        refused(&role("a", "base", "credential_source = Environment"), "a", &["cannot stand beside"]);
    }

    #[test]
    fn an_id_with_the_prefix_and_no_secret_is_a_key_in_a_store() {
        let id = |plan: &Plan| match &plan.source {
            Source::StoredKey { profile, access_key_id } if profile == "x" => access_key_id.clone(),
            other => format!("{other:?}"),
        };
        let marker = "[profile x]\nkeyrole_aws_access_key_id = AKIASTOREDSTOREDSTOR\n";
        let line = "credential_process = /bin/keyrole get x\n";
        assert_eq!(id(&plan_of(&format!("{marker}{line}"), "x")), "AKIASTOREDSTOREDSTOR");
        let others = "aws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = s\n";
        assert_eq!(id(&plan_of(&format!("{marker}{others}"), "x")), "AKIASTOREDSTOREDSTOR");
        assert_eq!(names(&plan_of(&format!("{marker}{}", role("a", "x", "")), "a")), ["a"]);
        for (own, secret) in [
            ("aws_access_key_id = AKIASTOREDSTOREDSTOR\n", "aws_secret_access_key = s\n"),
            ("", "aws_secret_access_key = s\n"),
            ("aws_access_key_id = AKIAIOSFODNN7EXAMPLE\n", "keyrole_aws_secret_access_key = s\n"),
        ] {
            let plan = plan_of(&format!("{marker}{own}{secret}"), "x");
            assert!(
                matches!(&plan.source, Source::Keys { access_key_id, .. } if access_key_id == "AKIASTOREDSTOREDSTOR"),
                "{own}{secret}"
            );
        }
    }

    #[test]
    fn every_bad_value_is_named_with_file_line_and_key() {
        for (line, words) in [
            ("duration_seconds = 1h", ["`duration_seconds`", "900 to 43200"]),
            ("role_session_name = a b", ["`role_session_name`", "session name"]),
            ("mfa_serial = x", ["`mfa_serial`", "serial"]),
            ("region = euwest1", ["`region`", "form eu-west-1"]),
            ("region = cn-north-1", ["region", "partition `aws`"]),
            ("session_tags = a", ["`session_tags`", "key=value"]),
            ("policy = []", ["`policy`", "JSON object"]),
            ("endpoint_url = sts.example", ["`endpoint_url`", "URL"]),
            ("keyrole_store = cloud", ["`keyrole_store`", "auto"]),
            ("mfa_serial = GAHT12345678\nmfa_session_duration = 5", ["`mfa_session_duration`", "900 to 129600"]),
        ] {
            refused(&role("a", "base", line), "a", &words);
        }
        refused(&role("a", "base", "duration_seconds = 1h"), "a", &["profile `a`", "`~/.aws/config` line 4"]);
    }

    #[test]
    fn a_fallback_region_needs_a_role_of_its_partition_and_no_endpoint() {
        let settings_in = |more: &str, variables: &[(&str, &str)]| {
            let config = role("a", "base", &format!("keyrole_sts_fallback_region = {more}"));
            settings(&AwsFiles::from_text(&config, KEYS).sections().unwrap(), "a", &world(variables))
        };
        let region = |more, variables| settings_in(more, variables).unwrap().fallback_region.unwrap();
        assert_eq!(region("eu-central-1", &[]), "eu-central-1");
        assert_eq!(region("eu-central-1", &[("AWS_ENDPOINT_URL", "http://localhost")]), "eu-central-1");
        let ignored = "eu-central-1\nendpoint_url = https://x\nignore_configured_endpoint_urls = true";
        assert_eq!(region(ignored, &[]), "eu-central-1");
        for (more, words) in [
            ("europe", "the form eu-west-1"),
            ("cn-north-1", "not in the role's partition"),
            ("eu-west-1\nregion = eu-west-1", "the profile's own region"),
            ("eu-central-1\nendpoint_url = https://x", "cannot stand beside `endpoint_url`"),
        ] {
            let error = settings_in(more, &[]).unwrap_err();
            assert!(error.kind() == Kind::Usage && error.to_string().contains(words), "no {words:?} in {error}");
        }
    }

    #[test]
    fn the_environment_decides_before_the_profile_does() {
        let config =
            role("a", "base", "region = eu-west-1\nendpoint_url = https://profile\nsts_regional_endpoints = legacy");
        let endpoint = |variables| plan_in(&config, "a", variables).unwrap().endpoint;
        assert_eq!(endpoint(&[("AWS_REGION", "us-west-2"), ("AWS_DEFAULT_REGION", "us-west-1")]).region, "us-west-2");
        assert_eq!(
            endpoint(&[("AWS_ENDPOINT_URL", "https://b"), ("AWS_ENDPOINT_URL_STS", "https://a")]).url.unwrap(),
            "https://a"
        );
        assert_eq!(endpoint(&[]).url.unwrap(), "https://profile");
        assert_eq!(endpoint(&[("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")]).url, None);
        assert!(endpoint(&[]).global && !endpoint(&[("AWS_STS_REGIONAL_ENDPOINTS", "regional")]).global);
    }

    #[test]
    fn the_services_section_gives_the_endpoint_of_sts() {
        let services =
            "[services local]\nsts =\n  endpoint_url = http://localhost:4566\ns3 =\n  endpoint_url = http://no\n";
        let config = role("a", "base", "services = local\nendpoint_url = http://later") + services;
        assert_eq!(plan_of(&config, "a").endpoint.url.unwrap(), "http://localhost:4566");
    }

    #[test]
    fn without_a_region_the_partition_of_the_role_decides() {
        let china = "[profile a]\nrole_arn = arn:aws-cn:iam::444455556666:role/a\nsource_profile = base\n";
        assert_eq!(plan_of(china, "a").endpoint.region, "cn-north-1");
        assert_eq!(plan_of(&role("a", "base", ""), "a").endpoint.region, "us-east-1");
    }

    #[test]
    fn a_policy_may_be_in_a_file() {
        let plan = plan_of(&role("a", "base", "policy = file:~/policy.json"), "a");
        assert_eq!(plan.role().unwrap().policy.as_deref(), Some(r#"{"from":"/home/me/policy.json"}"#));
    }
}
