//! Owns getting the source's credentials, through aws-config wherever it knows how. Async inside, blocking outside.

use crate::credentials::{Credentials, UNUSABLE_SECONDS};
use crate::error::{Error, Kind, Result};
use crate::mfa::quoted;
use crate::network::{Network, SOURCE_TIMEOUT, causes};
use crate::output::timestamp;
use crate::plan::{CHAIN_VARIABLE, Plan, SdkSource, Source};
use crate::secret::Secret;
use crate::sts::Sts;
use crate::validate;
use aws_config::Region;
use aws_config::credential_process::CredentialProcessProvider;
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::login::LoginCredentialsProvider;
use aws_config::sso::SsoCredentialsProvider;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, error::CredentialsError};
use std::path::Path;
use std::time::SystemTime;

/// Gets the credentials of a plan's source.
///
/// # Errors
/// The source has none, has expired ones, or cannot be asked.
pub fn credentials(plan: &Plan, network: &Network, session_name: &str, now: i64) -> Result<Credentials> {
    let found = obtain(plan, network, session_name, now)?;
    if found.expiration.is_some_and(|end| end.saturating_sub(now) < UNUSABLE_SECONDS) {
        let end = timestamp(found.expiration.unwrap_or_default());
        let what = plan.source.describe();
        return Err(Error::failed(format!("{what} gives credentials that have expired, at {end}"))
            .hint("renew them where they come from, and check this machine's clock"));
    }
    Ok(found)
}

fn obtain(plan: &Plan, network: &Network, session_name: &str, now: i64) -> Result<Credentials> {
    match &plan.source {
        Source::Keys { access_key_id, secret_access_key, session_token, .. } => Ok(Credentials {
            access_key_id: access_key_id.clone(),
            secret_access_key: secret_access_key.clone(),
            session_token: session_token.clone(),
            expiration: None,
        }),
        Source::Environment { .. } => ask(plan, network, EnvironmentVariableCredentialsProvider::new()),
        Source::Ec2InstanceMetadata => {
            ask(plan, network, ImdsCredentialsProvider::builder().configure(&network.provider_config()).build())
        }
        Source::EcsContainer { .. } => {
            ask(plan, network, EcsCredentialsProvider::builder().configure(&network.provider_config()).build())
        }
        Source::Sdk { kind, settings, sso_session, .. } => {
            let session = sso_session.iter().flat_map(|(_, settings)| settings);
            let setting = |key: &str| {
                let found = settings.iter().chain(session.clone()).find(|(name, _)| name == key);
                found.map(|(_, value)| value.clone())
            };
            let required = |key: &str| setting(key).unwrap_or_default();
            match kind {
                SdkSource::Process => {
                    ask(plan, network, CredentialProcessProvider::new(guarded(plan, &required("credential_process"))))
                }
                SdkSource::Sso => {
                    let mut sso = SsoCredentialsProvider::builder()
                        .configure(&network.provider_config())
                        .account_id(required("sso_account_id"))
                        .role_name(required("sso_role_name"))
                        .start_url(required("sso_start_url"))
                        .region(Region::new(required("sso_region")));
                    sso.set_session_name(sso_session.as_ref().map(|(name, _)| name.clone()));
                    ask(plan, network, sso.build())
                }
                SdkSource::Login => {
                    let config = network.provider_config();
                    ask(
                        plan,
                        network,
                        LoginCredentialsProvider::builder(required("login_session")).configure(&config).build(),
                    )
                }
                SdkSource::WebIdentity => {
                    let token = read_token(&required("web_identity_token_file"))?;
                    let session_name = setting("role_session_name").unwrap_or_else(|| session_name.to_owned());
                    Sts::new(network, now)
                        .assume_role_with_web_identity(&required("role_arn"), &session_name, token.expose())
                        .map(|session| session.to_credentials())
                }
            }
        }
    }
}

fn read_token(path: &str) -> Result<Secret> {
    match std::fs::read_to_string(Path::new(path)) {
        Ok(token) => Ok(Secret::new(token.trim())),
        Err(error) => Err(Error::failed(format!("`web_identity_token_file`: cannot read `{path}`: {error}"))
            .hint("whoever issues the token (a cluster, a CI system) writes this file; run keyrole where it does")),
    }
}

/// Tells a keyrole that the other program may run which profiles are already being worked on.
fn guarded(plan: &Plan, command: &str) -> String {
    if cfg!(windows) {
        // A name with a quote would end the quotes, and nothing can stand for one there.
        format!("set \"{CHAIN_VARIABLE}={}\"&&{command}", plan.chain.replace('"', ""))
    } else {
        let chain = plan.chain.replace('\'', r"'\''");
        format!("export {CHAIN_VARIABLE}='{chain}'; {command}")
    }
}

fn ask(plan: &Plan, network: &Network, provider: impl ProvideCredentials + 'static) -> Result<Credentials> {
    let provider = SharedCredentialsProvider::new(provider);
    let limit = network.at_most(SOURCE_TIMEOUT);
    let answer = network.block_on(async {
        let answer = tokio::time::timeout(limit, provider.provide_credentials()).await;
        answer.unwrap_or_else(|_| Err(CredentialsError::provider_timed_out(limit)))
    });
    let found = answer.map_err(|error| explain(plan, &error))?;
    let since_epoch = |at: SystemTime| {
        let seconds = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        i64::try_from(seconds).unwrap_or(i64::MAX)
    };
    let token = found.session_token().unwrap_or("none");
    validate::credentials(found.access_key_id(), found.secret_access_key(), token).map_err(|why| {
        Error::failed(format!("the credentials from {} are no credentials: {why}", plan.source.describe()))
    })?;
    Ok(Credentials {
        access_key_id: found.access_key_id().to_owned(),
        secret_access_key: Secret::new(found.secret_access_key()),
        session_token: found.session_token().map(Secret::new),
        expiration: found.expiry().map(since_epoch),
    })
}

fn explain(plan: &Plan, error: &CredentialsError) -> Error {
    let text = causes(error);
    let said = text.strip_prefix("an error occurred while loading credentials: ").unwrap_or(&text).trim();
    if let Source::Sdk { profile, kind: SdkSource::Process, .. } = &plan.source
        && let Some(failure) = process_failed(profile, said)
    {
        return failure;
    }
    let kind = match error {
        CredentialsError::ProviderTimedOut(_) => Kind::Unreachable,
        _ => Kind::Failed,
    };
    let failure = Error::new(kind, format!("no credentials from {}: {said}", plan.source.describe()));
    match &plan.source {
        Source::Sdk { profile, kind: SdkSource::Sso, .. } => {
            failure.hint(format!("run `aws sso login --profile {}`, then retry", quoted(profile)))
        }
        Source::Sdk { profile, kind: SdkSource::Login, .. } => {
            failure.hint(format!("run `aws login --profile {}`, then retry", quoted(profile)))
        }
        Source::Sdk { kind: SdkSource::Process, .. } => failure.hint(SEE_FOR_YOURSELF),
        Source::Ec2InstanceMetadata => failure.hint("is this an EC2 instance with a role?"),
        Source::EcsContainer { .. } => failure.hint("is `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` or `…_FULL_URI` set?"),
        _ => failure,
    }
}

const SEE_FOR_YOURSELF: &str = "run the `credential_process` of that profile by hand to see what it says";

/// Puts what a failed program said on stderr on one line. If it was a keyrole, its failure is ours.
fn process_failed(profile: &str, said: &str) -> Option<Error> {
    // The SDK's own words; should they change, the failure is told in them.
    let (_, ending) = said.split_once("external process exited with code ")?;
    let (status, stderr) = ending.split_once(". Stderr:")?;
    let failed = format!("`credential_process` of profile `{profile}` failed ({status})");
    if let Some(error) = stderr.trim().strip_prefix("keyrole: error: ") {
        // Unix says `exit status: 2`, Windows `exit code: 2`.
        let kind = match status.strip_prefix("exit ").and_then(|status| status.split_once(": ")) {
            Some((_, "2")) => Kind::Usage,
            Some((_, "4")) => Kind::PersonNeeded,
            Some((_, "5")) => Kind::Refused,
            _ => Kind::Failed,
        };
        let (error, hint) = error.split_once("\nkeyrole: hint: ").unwrap_or((error, SEE_FOR_YOURSELF));
        return Some(Error::new(kind, format!("{failed}: {error}")).hint(hint));
    }
    let lines: Vec<&str> = stderr.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let why = if lines.is_empty() { String::new() } else { format!(": {}", lines.join("; ")) };
    Some(Error::failed(failed + &why).hint(SEE_FOR_YOURSELF))
}
