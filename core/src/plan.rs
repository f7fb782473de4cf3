//! Owns what a plan is: a source, then the STS calls in order. `profile.rs` makes plans, `provider.rs` carries them out.

use crate::secret::Secret;
use crate::validate::RoleArn;
use std::path::PathBuf;

/// Set for the programs that keyrole runs, so that a keyrole among them can refuse to run in a circle.
pub const CHAIN_VARIABLE: &str = "_KEYROLE_PROFILE_CHAIN";

/// What has to be done for one profile: get the source's credentials, then make each step's call with the
/// credentials of the step before.
#[derive(Debug)]
pub struct Plan {
    /// The profile that was asked for.
    pub profile: String,
    /// Where the caller's own identity comes from.
    pub source: Source,
    /// The STS calls in order; empty if the source's credentials are the answer.
    pub steps: Vec<Step>,
    /// Where and how STS is reached.
    pub endpoint: Endpoint,
    /// Where sessions are kept.
    pub store: StoreChoice,
    /// The programs' profiles that led to this one, and this one: `base,prod`.
    pub chain: String,
}

impl Plan {
    /// Gives the role that the last step assumes, if it assumes one.
    pub fn role(&self) -> Option<&Role> {
        match self.steps.last() {
            Some(Step::AssumeRole(role)) => Some(role),
            _ => None,
        }
    }

    /// Tells whether the plan begins with an MFA session, which other roles share.
    pub fn has_mfa_session(&self) -> bool {
        matches!(self.steps.first(), Some(Step::SessionToken { mfa: Some(_), .. }))
    }

    /// Tells whether the plan begins with an MFA session that only a person can renew.
    pub fn is_mfa_session_a_persons(&self) -> bool {
        self.has_mfa_session() && self.needs_person()
    }

    /// Tells whether a person has to be asked for a code when nothing is cached. A program that prints the code needs
    /// nobody, as far as keyrole can know.
    pub fn needs_person(&self) -> bool {
        self.mfa().is_some_and(|mfa| mfa.process.is_none())
    }

    /// Gives the MFA device the plan needs, if it needs one.
    pub fn mfa(&self) -> Option<&Mfa> {
        self.steps.iter().find_map(Step::mfa)
    }
}

/// One call to STS.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// GetSessionToken: the session that every role behind the same MFA device shares.
    ///
    /// ```ini
    /// [profile base]
    /// mfa_serial = arn:aws:iam::111122223333:mfa/me
    /// ```
    SessionToken {
        /// The device, unless the session is one without MFA.
        mfa: Option<Mfa>,
        /// Seconds.
        duration: u32,
    },
    /// AssumeRole.
    ///
    /// ```ini
    /// [profile prod]
    /// role_arn = arn:aws:iam::444455556666:role/Admin
    /// source_profile = base
    /// ```
    AssumeRole(Box<Role>),
}

impl Step {
    /// Gives the seconds that its session lasts.
    pub fn duration(&self) -> u32 {
        /// The default of AssumeRole.
        const ROLE_SECONDS: u32 = 3600;
        match self {
            Self::SessionToken { duration, .. } => *duration,
            Self::AssumeRole(role) => role.duration.unwrap_or(ROLE_SECONDS),
        }
    }

    /// Gives the MFA device that this step needs a code of.
    pub fn mfa(&self) -> Option<&Mfa> {
        match self {
            Self::SessionToken { mfa, .. } => mfa.as_ref(),
            Self::AssumeRole(role) => role.mfa.as_ref(),
        }
    }
}

/// An MFA device and the program that can answer for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Mfa {
    /// The device's ARN, or the serial number of a hardware device.
    pub serial: String,
    /// A command that prints the code.
    pub process: Option<String>,
}

/// The parameters of one AssumeRole, checked against the limits of AWS.
#[derive(Debug, Clone, PartialEq)]
pub struct Role {
    /// The profile that names the role.
    pub profile: String,
    /// The role.
    pub arn: RoleArn,
    /// `role_session_name`.
    pub session_name: Option<String>,
    /// `external_id`.
    pub external_id: Option<String>,
    /// Seconds; `None` leaves it to AWS, which gives one hour.
    pub duration: Option<u32>,
    /// `session_tags`.
    pub tags: Vec<(String, String)>,
    /// `transitive_session_tags`.
    pub transitive_tags: Vec<String>,
    /// `source_identity`.
    pub source_identity: Option<String>,
    /// `policy`, as JSON text.
    pub policy: Option<String>,
    /// `policy_arns`.
    pub policy_arns: Vec<String>,
    /// The device whose code goes into this very call (`mfa_session_duration = 0`).
    pub mfa: Option<Mfa>,
}

/// Where the caller's own identity comes from.
#[derive(Debug, PartialEq)]
pub enum Source {
    /// ```ini
    /// [base]
    /// aws_access_key_id = AKIA…
    /// aws_secret_access_key = …
    /// ```
    Keys {
        /// The profile that holds the keys.
        profile: String,
        /// `aws_access_key_id`.
        access_key_id: String,
        /// `aws_secret_access_key`.
        secret_access_key: Secret,
        /// `aws_session_token`.
        session_token: Option<Secret>,
    },
    /// A long-lived key whose secret is in a persistent store and in no file.
    ///
    /// ```ini
    /// [profile base]
    /// keyrole_aws_access_key_id = AKIA…
    /// ```
    StoredKey {
        /// The profile that names the key.
        profile: String,
        /// `keyrole_aws_access_key_id`.
        access_key_id: String,
    },
    /// `credential_source = Environment`
    Environment {
        /// `AWS_ACCESS_KEY_ID`.
        access_key_id: String,
        /// Whether there is a session token, which makes the keys temporary ones.
        temporary: bool,
    },
    /// `credential_source = Ec2InstanceMetadata`
    Ec2InstanceMetadata,
    /// `credential_source = EcsContainer`
    EcsContainer {
        /// `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` or `…_FULL_URI`; empty if neither is set.
        uri: String,
    },
    /// A profile that the SDK itself can turn into credentials.
    Sdk {
        /// The profile.
        profile: String,
        /// Which of the SDK's ways it is.
        kind: SdkSource,
        /// The properties of that way, as `(key, value)`.
        settings: Vec<(String, String)>,
        /// The `[sso-session]` the profile refers to: name and properties.
        sso_session: Option<(String, Vec<(String, String)>)>,
    },
}

/// The ways of getting credentials that are left to the SDK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SdkSource {
    /// `web_identity_token_file` with `role_arn`
    WebIdentity,
    /// `sso_session` or `sso_start_url` with `sso_account_id` and `sso_role_name`
    Sso,
    /// `login_session`
    Login,
    /// `credential_process` of another program
    Process,
}

impl Source {
    /// Tells whether the credentials are sure to be temporary ones, with which GetSessionToken cannot be called.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Keys { session_token, .. } => session_token.is_some(),
            Self::StoredKey { .. } => false,
            Self::Environment { temporary, .. } => *temporary,
            Self::Ec2InstanceMetadata | Self::EcsContainer { .. } => true,
            Self::Sdk { kind, .. } => *kind != SdkSource::Process,
        }
    }

    /// Tells whether the credentials are a role's, so that assuming a further role is role chaining.
    pub fn is_role(&self) -> bool {
        match self {
            Self::Keys { .. } | Self::StoredKey { .. } | Self::Environment { .. } => false,
            Self::Ec2InstanceMetadata | Self::EcsContainer { .. } => true,
            Self::Sdk { kind, .. } => matches!(kind, SdkSource::Sso | SdkSource::WebIdentity),
        }
    }

    /// Gives what tells this identity from others and stays the same while its keys are renewed.
    pub fn identity(&self) -> Vec<&str> {
        match self {
            // The same wherever the secret is, so that a session stays a hit when its key moves to a store.
            Self::Keys { access_key_id, .. }
            | Self::StoredKey { access_key_id, .. }
            | Self::Environment { access_key_id, .. } => vec!["keys", access_key_id],
            Self::Ec2InstanceMetadata => vec!["imds"],
            Self::EcsContainer { uri } => vec!["container", uri],
            Self::Sdk { settings, sso_session, .. } => {
                let session = sso_session.iter().flat_map(|(_, settings)| settings);
                let pairs = settings.iter().chain(session);
                std::iter::once("sdk").chain(pairs.flat_map(|(key, value)| [key.as_str(), value])).collect()
            }
        }
    }

    /// Names the source for messages.
    pub fn describe(&self) -> String {
        match self {
            Self::Keys { profile, .. } | Self::StoredKey { profile, .. } | Self::Sdk { profile, .. } => {
                ["profile `", profile, "`"].concat()
            }
            Self::Environment { .. } => "the environment".to_owned(),
            Self::Ec2InstanceMetadata => "the EC2 instance metadata".to_owned(),
            Self::EcsContainer { .. } => "the container credentials endpoint".to_owned(),
        }
    }
}

/// Where STS is.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// The region that signs and, unless `url` or `global` say otherwise, answers.
    pub region: String,
    /// The partition of the role.
    pub partition: String,
    /// `endpoint_url` or one of its relatives.
    pub url: Option<String>,
    /// `sts_regional_endpoints = legacy`: the global endpoint, whose tokens opt-in regions do not accept.
    pub global: bool,
}

/// How a plan is carried out. Nothing of it changes what STS answers, so it is read only when there is no answer yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The region that the user has set, if any; for programs, as keyrole itself needs none.
    pub region: Option<String>,
    /// `use_fips_endpoint`.
    pub use_fips: bool,
    /// `use_dualstack_endpoint`.
    pub use_dualstack: bool,
    /// The PEM file with the roots to trust.
    pub ca_bundle: Option<CaBundle>,
    /// How a person may be asked.
    pub prompt: PromptChoice,
    /// How long others are waited for.
    pub patience: Patience,
    /// `keyrole_notify` or `KEYROLE_NOTIFY`: the desktop is told when a person is needed.
    pub notify: bool,
    /// `keyrole_warn_before` or `KEYROLE_WARN_BEFORE`: a person is warned when the MFA session has less than this left,
    /// in seconds. By default half an hour: long enough for the work at hand.
    pub warn_before: i64,
}

/// `AWS_CA_BUNDLE` or `ca_bundle`.
#[derive(Debug, Clone, PartialEq)]
pub struct CaBundle {
    /// The PEM file.
    pub path: PathBuf,
    /// The file and line that name it; `None` if the environment does.
    pub written_in: Option<(PathBuf, usize)>,
}

/// `keyrole_store` or `KEYROLE_STORE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreChoice {
    /// The platform's own, with the next best where that one is blocked or full.
    Auto,
    /// The macOS Keychain.
    Keychain,
    /// The Windows Credential Manager.
    Wincred,
    /// The Linux kernel keyring.
    Keyutils,
    /// The Secret Service of the desktop.
    SecretService,
    /// Sealed files in the state directory.
    File,
    /// Nothing is kept.
    None,
}

/// `keyrole_prompt` or `KEYROLE_PROMPT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptChoice {
    /// The terminal if there is one, else a window if there is a display.
    Auto,
    /// The terminal only.
    Terminal,
    /// pinentry only.
    Pinentry,
    /// A window of the desktop only.
    Gui,
    /// Nobody is ever asked.
    None,
}

/// How long keyrole waits for a person, and for another keyrole. In seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// `keyrole_prompt_timeout` or `KEYROLE_PROMPT_TIMEOUT`: for the answer at a prompt, one's own or another's.
    /// By default 300: a device may have to be fetched from another room.
    pub prompt: i64,
    /// `keyrole_call_timeout` or `KEYROLE_CALL_TIMEOUT`: for another keyrole that is talking to AWS. By default 30,
    /// half as much again as the longest call.
    pub call: i64,
}
