//! Owns getting the source's credentials, through aws-config wherever it knows how. Async inside, blocking outside.

mod process;

use crate::caller;
use crate::credentials::{Credentials, UNUSABLE_SECONDS};
use crate::error::{Error, Kind, Result};
use crate::network::{self, Network, SOURCE_TIMEOUT, causes};
use crate::output::timestamp;
use crate::plan::{Plan, SdkSource, Source};
use crate::secret::Secret;
use crate::sign_in;
use crate::stored_key::{self, KeyStores};
use crate::sts::Sts;
use crate::validate;
use crate::world::World;
use aws_config::Region;
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::login::LoginCredentialsProvider;
use aws_config::sso::SsoCredentialsProvider;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, error::CredentialsError};
use std::path::Path;
use std::time::SystemTime;

/// Gets the credentials of a plan's source. With `may_unlock` a person may be asked to unlock the keyring that holds them.
///
/// # Errors
/// The source has none, has expired ones, or cannot be asked.
pub fn credentials(plan: &Plan, network: &Network, may_unlock: bool, world: &World) -> Result<Credentials> {
    let now = world.now();
    let found = obtain(plan, network, may_unlock, world)?;
    if found.expiration.is_some_and(|end| end.saturating_sub(now) < UNUSABLE_SECONDS) {
        let end = timestamp(found.expiration.unwrap_or_default());
        let what = plan.source.describe();
        return Err(Error::failed(format!("{what} gives credentials that have expired, at {end}"))
            .hint("renew them where they come from, and check this machine's clock"));
    }
    Ok(found)
}

fn obtain(plan: &Plan, network: &Network, may_unlock: bool, world: &World) -> Result<Credentials> {
    match &plan.source {
        Source::Keys { access_key_id, secret_access_key, session_token, .. } => Ok(Credentials {
            access_key_id: access_key_id.clone(),
            secret_access_key: secret_access_key.clone(),
            session_token: session_token.clone(),
            expiration: None,
        }),
        Source::StoredKey { profile, access_key_id } => {
            let secret = KeyStores::open(plan.store, world)?.secret_of(access_key_id, profile, may_unlock)?;
            Ok(stored_key::credentials(access_key_id, secret))
        }
        Source::Environment { .. } => ask(plan, network, EnvironmentVariableCredentialsProvider::new()),
        Source::Ec2InstanceMetadata => {
            ask(plan, network, ImdsCredentialsProvider::builder().configure(&network.provider_config()).build())
        }
        Source::EcsContainer { .. } => {
            ask(plan, network, EcsCredentialsProvider::builder().configure(&network.provider_config()).build())
        }
        Source::Sdk { profile, kind, settings, sso_session } => {
            let session = sso_session.iter().flat_map(|(_, settings)| settings);
            let setting = |key: &str| {
                let found = settings.iter().chain(session.clone()).find(|(name, _)| name == key);
                found.map(|(_, value)| value.clone())
            };
            let required = |key: &str| setting(key).unwrap_or_default();
            match kind {
                SdkSource::Process => {
                    let limit = network.at_most(SOURCE_TIMEOUT);
                    process::credentials(plan, profile, &required("credential_process"), limit)
                }
                SdkSource::Sso { .. } => {
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
                    let session_name = setting("role_session_name").unwrap_or_else(|| caller::session_name(world));
                    Sts::new(network, world.now())
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
    let what = plan.source.describe();
    if let Some(command) = sign_in::command(&plan.source) {
        if network::is_connection_error(error) || said.contains("timed out") {
            return network::unreachable(&format!("the sign-in service of {what}"), error);
        }
        let is_needed = SIGN_IN_NEEDED.iter().any(|words| said.contains(words));
        let kind = if is_needed { Kind::SignInNeeded } else { Kind::Failed };
        return Error::new(kind, format!("no credentials from {what}: {said}"))
            .hint(format!("run `{command}`, then retry"));
    }
    let kind = match error {
        CredentialsError::ProviderTimedOut(_) => Kind::Unreachable,
        _ => Kind::Failed,
    };
    let failure = Error::new(kind, format!("no credentials from {what}: {said}"));
    match &plan.source {
        Source::Ec2InstanceMetadata => failure.hint("is this an EC2 instance with a role?"),
        Source::EcsContainer { .. } => failure.hint("is `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` or `…_FULL_URI` set?"),
        _ => failure,
    }
}

/// What the SDK and the portal say where a sign-in is missing, over or revoked. Should the words change, nobody is offered
/// to sign in; the hint stays.
const SIGN_IN_NEEDED: &[&str] = &["SSO token", "Login token", "failed to read `", "UnauthorizedException"];
