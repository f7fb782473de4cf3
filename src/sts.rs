//! Owns the calls to STS and the translation of its refusals. Async inside, blocking outside.

use crate::credentials::{Credentials, Session, UNUSABLE_SECONDS};
use crate::error::{Error, Kind, Result};
use crate::mfa::TokenCode;
use crate::network::{self, Attempts, Network};
use crate::output::timestamp;
use crate::plan::Role;
use crate::secret::Secret;
use crate::validate;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_sts::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
use aws_sdk_sts::config::{BehaviorVersion, Region};
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::types::{PolicyDescriptorType, Tag};
use aws_sdk_sts::{Client, Config, types};
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::retries::classifiers::{ClassifyRetry, RetryAction};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

/// How long a role session lasts unless the call says otherwise; the default of AssumeRole.
const DEFAULT_ROLE_SECONDS: u32 = 3600;

/// A device's serial and its code, as they go into a call.
pub type MfaCode<'a> = (&'a str, &'a TokenCode);

/// Who signs with some credentials, as STS knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Twelve digits.
    pub account: String,
    /// The ARN of a user, or of a role's session.
    pub arn: String,
}

/// What STS answered to somebody without credentials.
pub struct Answer {
    /// Where it was asked.
    pub url: String,
    /// How long it took, with the connection.
    pub took: Duration,
    /// AWS's time, in seconds since the Unix epoch.
    pub date: Option<i64>,
}

/// The STS of one endpoint.
pub struct Sts<'a> {
    network: &'a Network,
    now: i64,
}

impl<'a> Sts<'a> {
    /// Makes the caller of STS. `now`, in seconds since the Unix epoch, becomes the time of issue.
    pub fn new(network: &'a Network, now: i64) -> Self {
        Self { network, now }
    }

    /// Calls GetSessionToken. `duration` is in seconds.
    ///
    /// # Errors
    /// `Refused` and `WrongCode` if AWS said no, `Unreachable` if it said nothing.
    pub fn get_session_token(&self, caller: &Credentials, mfa: Option<MfaCode>, duration: u32) -> Result<Session> {
        let call = self
            .client(Some(caller), mfa)
            .get_session_token()
            .duration_seconds(seconds(duration))
            .set_serial_number(mfa.map(|(serial, _)| serial.to_owned()))
            .set_token_code(mfa.map(|(_, code)| code.expose().to_owned()));
        let answer = self.network.block_on(call.send());
        let output = answer.map_err(|error| self.explain("GetSessionToken", error))?;
        self.session("GetSessionToken", output.credentials, duration)
    }

    /// Calls AssumeRole. `session_name` is used where the role names none.
    ///
    /// # Errors
    /// `Refused` and `WrongCode` if AWS said no, `Unreachable` if it said nothing.
    pub fn assume_role(
        &self,
        caller: &Credentials,
        role: &Role,
        session_name: &str,
        mfa: Option<MfaCode>,
    ) -> Result<Session> {
        let what = format!("AssumeRole of `{}`", role.arn);
        let mut call = self
            .client(Some(caller), mfa)
            .assume_role()
            .role_arn(role.arn.as_str())
            .role_session_name(role.session_name.as_deref().unwrap_or(session_name))
            .set_duration_seconds(role.duration.map(seconds))
            .set_external_id(role.external_id.clone())
            .set_source_identity(role.source_identity.clone())
            .set_policy(role.policy.clone())
            .set_serial_number(mfa.map(|(serial, _)| serial.to_owned()))
            .set_token_code(mfa.map(|(_, code)| code.expose().to_owned()));
        for (key, value) in &role.tags {
            let tag = Tag::builder().key(key).value(value).build();
            call = call.tags(tag.map_err(|error| Error::failed(error.to_string()))?);
        }
        for key in &role.transitive_tags {
            call = call.transitive_tag_keys(key);
        }
        for arn in &role.policy_arns {
            call = call.policy_arns(PolicyDescriptorType::builder().arn(arn).build());
        }
        let answer = self.network.block_on(call.send());
        let output = answer.map_err(|error| self.explain(&what, error))?;
        self.session(&what, output.credentials, role.duration.unwrap_or(DEFAULT_ROLE_SECONDS))
    }

    /// Calls AssumeRoleWithWebIdentity, which needs no credentials but the token.
    ///
    /// # Errors
    /// `Refused` if AWS said no, `Unreachable` if it said nothing.
    pub fn assume_role_with_web_identity(&self, role: &str, session_name: &str, token: &str) -> Result<Session> {
        let what = format!("AssumeRoleWithWebIdentity of `{role}`");
        let call = self
            .client(None, None)
            .assume_role_with_web_identity()
            .role_arn(role)
            .role_session_name(session_name)
            .web_identity_token(token);
        let answer = self.network.block_on(call.send());
        let output = answer.map_err(|error| self.explain(&what, error))?;
        self.session(&what, output.credentials, DEFAULT_ROLE_SECONDS)
    }

    /// Calls GetCallerIdentity, which no policy can forbid.
    ///
    /// # Errors
    /// `Refused` and `CallerRejected` if AWS said no, `Unreachable` if it said nothing.
    pub fn caller_identity(&self, caller: &Credentials) -> Result<Identity> {
        let what = "GetCallerIdentity";
        let answer = self.network.block_on(self.client(Some(caller), None).get_caller_identity().send());
        let output = answer.map_err(|error| self.explain(what, error))?;
        match (output.account, output.arn) {
            (Some(account), Some(arn)) => Ok(Identity { account, arn }),
            _ => Err(not_sts(what)),
        }
    }

    /// Sends a request that needs no credentials, to see whether and when STS answers.
    ///
    /// # Errors
    /// `Unreachable` if it does not.
    pub fn greet(&self) -> Result<Answer> {
        let url = self.url()?;
        let began = Instant::now();
        let answer = self.network.get(&url)?;
        let took = began.elapsed();
        Ok(Answer { url, took, date: network::date(&answer) })
    }

    /// Makes the connection while somebody is being asked.
    pub fn warm_up(&self) {
        if let Ok(url) = self.url() {
            self.network.warm_up(&url);
        }
    }

    /// Gives the URL of the STS that is asked now.
    ///
    /// # Errors
    /// The settings do not go together.
    pub fn url(&self) -> Result<String> {
        let network = self.network;
        let (region, url) = network.place();
        let parameters = Params::builder()
            .region(region)
            .set_endpoint(url.map(str::to_owned))
            .use_fips(network.settings.use_fips)
            .use_dual_stack(network.settings.use_dualstack)
            .build()
            .map_err(|error| Error::failed(error.to_string()))?;
        let resolved = network.block_on(DefaultResolver::new().resolve_endpoint(&parameters));
        let endpoint = resolved.map_err(|error| Error::usage(format!("no endpoint for STS: {error}")))?;
        Ok(endpoint.url().to_owned())
    }

    fn client(&self, caller: Option<&Credentials>, mfa: Option<MfaCode>) -> Client {
        let (region, url) = self.network.place();
        let mut config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .use_fips(self.network.settings.use_fips)
            .use_dual_stack(self.network.settings.use_dualstack)
            .http_client(self.network.http())
            .retry_config(self.network.retries())
            .timeout_config(self.network.timeouts());
        if let Some(url) = url {
            config = config.endpoint_url(url);
        }
        // A call with a code is not repeated for it: STS may have used the code up before something garbled its answer,
        // and would now say that the code was wrong.
        if mfa.is_none() {
            config = config.retry_classifier(Garbled);
        }
        let attempts = &self.network.attempts;
        attempts.may_have_arrived.store(false, Ordering::Relaxed);
        attempts.may_ask_elsewhere.store(false, Ordering::Relaxed);
        if self.network.has_fallback() {
            config = config.retry_classifier(NoAnswer { has_code: mfa.is_some(), attempts: Arc::clone(attempts) });
        }
        if let Some(caller) = caller {
            config = config.credentials_provider(SharedCredentialsProvider::new(to_sdk(caller)));
        }
        Client::from_conf(config.build())
    }

    /// Makes a session of the answer. The SDK signs by the clock of AWS where this machine's is wrong, but everybody
    /// here compares the end with this machine's: so it is at most the lifetime asked for, counted from now.
    fn session(&self, what: &str, credentials: Option<types::Credentials>, lifetime: u32) -> Result<Session> {
        let credentials = credentials.ok_or_else(|| not_sts(what))?;
        let expiration = credentials.expiration.secs().min(self.now.saturating_add(i64::from(lifetime)));
        if expiration.saturating_sub(self.now) < UNUSABLE_SECONDS {
            let end = timestamp(expiration);
            return Err(Error::failed(format!(
                "{what}: the session ends at {end}, which is over by this machine's clock"
            ))
            .hint("the clock is wrong; set it (`timedatectl set-ntp true`)"));
        }
        if validate::credentials(&credentials.access_key_id, &credentials.secret_access_key, &credentials.session_token)
            .is_err()
        {
            return Err(not_sts(what));
        }
        Ok(Session {
            access_key_id: credentials.access_key_id,
            secret_access_key: Secret::new(credentials.secret_access_key),
            session_token: Secret::new(credentials.session_token),
            issued: self.now,
            expiration,
        })
    }

    fn explain<E, R>(&self, what: &str, error: SdkError<E, R>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        let host = match self.network.place() {
            (_, Some(url)) => format!("STS at `{url}`"),
            (region, None) => format!("STS in `{region}`"),
        };
        match &error {
            SdkError::ServiceError(refusal) => match refusal.err().code() {
                Some(code) => refused(what, code, refusal.err().message().unwrap_or_default().trim()),
                None => not_sts(what),
            },
            SdkError::ResponseError(_) => not_sts(what),
            _ => network::unreachable(&host, &error),
        }
    }
}

/// Lets the SDK try again after a success that is none: a portal's page, or half a document. It would take that for a
/// final refusal.
#[derive(Debug)]
struct Garbled;

impl ClassifyRetry for Garbled {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let is_success = context.response().is_some_and(|response| response.status().is_success());
        match context.output_or_error() {
            Some(Err(_)) if is_success => RetryAction::transient_error(),
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "garbled answers"
    }
}

/// Ends a call's attempts where STS gives no answer, as another region is asked instead. A call with a code is made
/// elsewhere only if it surely did not arrive: the code would be used up, and refused there.
#[derive(Debug)]
struct NoAnswer {
    has_code: bool,
    attempts: Arc<Attempts>,
}

impl ClassifyRetry for NoAnswer {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let Some(Err(error)) = context.output_or_error() else { return RetryAction::NoActionIndicated };
        let Some(error) = error.as_connector_error() else { return RetryAction::NoActionIndicated };
        if !network::is_unsent(error) {
            self.attempts.may_have_arrived.store(true, Ordering::Relaxed);
        }
        if self.has_code && self.attempts.may_have_arrived.load(Ordering::Relaxed) {
            return RetryAction::NoActionIndicated;
        }
        self.attempts.may_ask_elsewhere.store(true, Ordering::Relaxed);
        RetryAction::RetryForbidden
    }

    fn name(&self) -> &'static str {
        "no answer"
    }
}

fn seconds(duration: u32) -> i32 {
    i32::try_from(duration).unwrap_or(i32::MAX)
}

/// Turns credentials into the SDK's own.
pub fn to_sdk(credentials: &Credentials) -> aws_credential_types::Credentials {
    aws_credential_types::Credentials::new(
        &credentials.access_key_id,
        credentials.secret_access_key.expose(),
        credentials.session_token.as_ref().map(|token| token.expose().to_owned()),
        credentials
            .expiration
            .and_then(|at| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(at).ok()?))),
        "keyrole",
    )
}

fn not_sts(what: &str) -> Error {
    Error::new(Kind::Unreachable, format!("{what}: the answer did not come from STS"))
        .hint("a proxy or a captive portal may have answered; check `HTTPS_PROXY`, `endpoint_url` and the network")
}

/// The codes with which AWS speaks of trouble of its own, and refuses nothing.
const TROUBLE: &[&str] = &[
    "IDPCommunicationError",
    "InternalError",
    "InternalFailure",
    "RequestLimitExceeded",
    "RequestTimeout",
    "ServiceUnavailable",
    "Throttling",
    "ThrottlingException",
];

/// Says what AWS said, in its own words, and what to do about it.
pub fn refused(what: &str, code: &str, message: &str) -> Error {
    let said = if message.is_empty() { code.to_owned() } else { format!("{code}: {message}") };
    let kind = match code {
        _ if TROUBLE.contains(&code) => Kind::Unreachable,
        _ if message.contains("invalid MFA one time pass code") => Kind::WrongCode,
        "ExpiredToken" | "ExpiredTokenException" | "InvalidClientTokenId" | "UnrecognizedClientException" => {
            Kind::CallerRejected
        }
        _ => Kind::Refused,
    };
    let error = Error::new(kind, format!("{what} failed: {said}"));
    match hint(code, message) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn hint(code: &str, message: &str) -> Option<&'static str> {
    let says = |words: &str| message.contains(words);
    Some(match code {
        _ if says("invalid MFA one time pass code") => {
            "the code was wrong or already used; wait for the next one. If it is wrong every time, check the device's clock"
        }
        _ if says("MultiFactorAuthentication failed") => {
            "check `mfa_serial`: the device must belong to the user whose keys the source profile has"
        }
        _ if says("role chaining") => {
            "AWS allows one hour for a role that is assumed with another role's credentials; lower `duration_seconds`"
        }
        _ if says("exceeds the MaxSessionDuration") => {
            "lower `duration_seconds`, or raise the role's maximum session duration"
        }
        _ if says("with session credentials") => {
            "the source's keys are temporary ones; set `mfa_session_duration = 0` to send the code to AssumeRole instead"
        }
        "SignatureDoesNotMatch" | "RequestExpired" if says("Signature expired") || says("not yet current") => {
            "this machine's clock is wrong by more than 5 minutes; set it (`timedatectl set-ntp true`)"
        }
        "SignatureDoesNotMatch" => "the secret access key does not belong to the access key ID; copy both anew",
        "InvalidClientTokenId" | "UnrecognizedClientException" => {
            "the source's access key does not exist, is inactive, or belongs to another partition"
        }
        "ExpiredToken" | "ExpiredTokenException" => {
            "the source's own credentials have expired; renew them where they come from"
        }
        "AccessDenied" => {
            "the role's trust policy must allow this caller, the caller's policies `sts:AssumeRole`; \
             `mfa_serial` and `external_id` must be there if the trust policy asks for them"
        }
        "RegionDisabledException" => "STS is switched off in this region; set `region` to one that is enabled",
        _ if TROUBLE.contains(&code) => "wait a little, then retry",
        "PackedPolicyTooLarge" | "PackedPolicyTooLargeException" => "shorten `policy`, `policy_arns` or `session_tags`",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_code_is_told_from_other_refusals() {
        let wrong = "MultiFactorAuthentication failed with invalid MFA one time pass code. ";
        assert_eq!(refused("x", "AccessDenied", wrong).kind(), Kind::WrongCode);
        let unknown = "MultiFactorAuthentication failed, unable to validate MFA code.";
        assert_eq!(refused("x", "AccessDenied", unknown).kind(), Kind::Refused);
    }

    #[test]
    fn throttling_is_no_refusal() {
        assert_eq!(refused("x", "Throttling", "Rate exceeded").kind(), Kind::Unreachable);
    }

    #[test]
    fn a_refusal_is_in_the_words_of_aws() {
        let error = refused("AssumeRole of `r`", "AccessDenied", "User: u is not authorized");
        assert_eq!(error.message(), "AssumeRole of `r` failed: AccessDenied: User: u is not authorized");
    }
}
