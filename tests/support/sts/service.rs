//! What STS decides: who calls, whether the code, the trust policy and the durations hold, and what it mints.
//! It never sees a socket.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ring::digest;

use super::encoding::{TOTP_STEP, base32, base64, elements, escape_xml, iso_date, now, random, random_token, totp};
use super::http::Request;
use super::iam::{self, Iam};
use super::sigv4::Authorization;
use super::{
    ACCESS_KEY_ID, ACCOUNT, ADMIN, CLOSED, Call, DEPLOY, EXTERNAL_ID, Fault, MfaDevice, PARTNER, READER, Role, User,
    WEB_IDENTITY, WEB_IDENTITY_TOKEN,
};

const XMLNS: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
const API_VERSION: &str = "2011-06-15";
/// Characters of a session token, as AWS's are in practice.
const ROLE_TOKEN_LENGTH: usize = 900;
/// Characters of policies and tags together that fit.
const MAX_PACKED: usize = 4_000;
const USER_TOKEN_LENGTH: usize = 352;

/// The namespace of an answer.
pub(super) fn xmlns(params: &Params) -> &'static str {
    if is_iam(params) { iam::XMLNS } else { XMLNS }
}

fn is_iam(params: &Params) -> bool {
    params.get("Version").is_some_and(|version| version == iam::API_VERSION)
}

#[derive(Clone)]
pub(super) enum Caller {
    User(User),
    /// A GetSessionToken session.
    UserSession {
        user: User,
        mfa: bool,
    },
    RoleSession {
        role_arn: String,
        name: String,
        source_identity: Option<String>,
    },
}

impl Caller {
    fn account(&self) -> &str {
        match self {
            Self::User(user) | Self::UserSession { user, .. } => &user.account,
            Self::RoleSession { role_arn, .. } => arn_account(role_arn),
        }
    }

    pub(super) fn arn(&self) -> String {
        match self {
            Self::User(user) | Self::UserSession { user, .. } => user.arn(),
            Self::RoleSession { role_arn, name, .. } => session_arn(role_arn, name),
        }
    }

    fn user_id(&self) -> String {
        match self {
            Self::User(user) | Self::UserSession { user, .. } => unique_id("AIDA", &user.arn()),
            Self::RoleSession { role_arn, name, .. } => {
                format!("{}:{name}", unique_id("AROA", role_arn))
            }
        }
    }

    /// Whether a trust policy's principals name this caller.
    fn is_among(&self, trusted: &[String]) -> bool {
        let mut names = vec![self.account().to_owned(), format!("arn:aws:iam::{}:root", self.account()), self.arn()];
        if let Self::RoleSession { role_arn, .. } = self {
            names.push(role_arn.clone());
        }
        trusted.iter().any(|principal| names.contains(principal))
    }
}

#[derive(Clone)]
struct Session {
    secret: String,
    token: String,
    /// Unix seconds on the stand-in's clock.
    expires: i64,
    caller: Caller,
}

pub(super) struct State {
    pub(super) users: BTreeMap<String, User>,
    pub(super) roles: BTreeMap<String, Role>,
    /// By access key ID.
    sessions: BTreeMap<String, Session>,
    pub(super) calls: Vec<Call>,
    /// How many calls were forgotten: calls are numbered from the start.
    forgotten: usize,
    /// Device serial and time step.
    pub(super) used_codes: BTreeSet<(String, u64)>,
    pub(super) iam: Iam,
    pub(super) action_faults: Vec<(String, Fault)>,
    pub(super) next_faults: VecDeque<Fault>,
    fault: Option<Fault>,
    pub(super) clock_offset: i64,
    pub(super) token_padding: usize,
    pub(super) held: bool,
}

pub(super) type Params = BTreeMap<String, String>;

impl State {
    pub(super) fn with_defaults() -> Self {
        let long = 12 * 3_600;
        let roles = [
            Role { requires_mfa: true, max_session_seconds: long, ..Role::new(ADMIN, &[ACCOUNT]) },
            Role::new(READER, &[ACCOUNT]),
            Role { max_session_seconds: long, ..Role::new(DEPLOY, &[ADMIN, READER]) },
            Role { external_id: Some(EXTERNAL_ID.into()), ..Role::new(PARTNER, &[ACCOUNT]) },
            Role { web_identity_token: Some(WEB_IDENTITY_TOKEN.into()), ..Role::new(WEB_IDENTITY, &[]) },
            Role::new(CLOSED, &[]),
        ];
        Self {
            users: BTreeMap::from([(ACCESS_KEY_ID.to_owned(), User::me())]),
            roles: roles.into_iter().map(|role| (role.arn.clone(), role)).collect(),
            sessions: BTreeMap::new(),
            calls: Vec::new(),
            forgotten: 0,
            used_codes: BTreeSet::new(),
            iam: Iam::default(),
            action_faults: Vec::new(),
            next_faults: VecDeque::new(),
            fault: None,
            clock_offset: 0,
            token_padding: 0,
            held: false,
        }
    }

    pub(super) fn now(&self) -> i64 {
        now(self.clock_offset)
    }

    pub(super) fn record(&mut self, call: Call) -> usize {
        self.calls.push(call);
        self.forgotten + self.calls.len() - 1
    }

    pub(super) fn settle(&mut self, number: usize, status: u16, code: Option<&str>) {
        let index = number.checked_sub(self.forgotten);
        if let Some(call) = index.and_then(|index| self.calls.get_mut(index)) {
            call.status = status;
            call.code = code.map(str::to_owned);
        }
    }

    pub(super) fn forget_calls(&mut self) {
        self.forgotten += self.calls.len();
        self.calls.clear();
    }

    pub(super) fn arrived(&self, action: &str) -> usize {
        self.calls.iter().filter(|call| call.action == action).count()
    }

    pub(super) fn set_fault(&mut self, fault: Option<Fault>) {
        if fault.is_none() {
            self.next_faults.clear();
        }
        self.fault = fault;
    }

    pub(super) fn take_fault(&mut self, action: &str) -> Option<Fault> {
        if let Some(at) = self.action_faults.iter().position(|(of, _)| of == action) {
            return Some(self.action_faults.remove(at).1);
        }
        self.next_faults.pop_front().or(self.fault)
    }

    pub(super) fn expire_sessions(&mut self) {
        let past = self.now() - 1;
        for session in self.sessions.values_mut() {
            session.expires = session.expires.min(past);
        }
    }

    fn device(&self, serial: &str) -> Option<&MfaDevice> {
        let mut devices = self.users.values().flat_map(|user| &user.mfa);
        devices.find(|device| device.serial == serial)
    }

    fn step(&self) -> u64 {
        self.now().max(0).unsigned_abs() / TOTP_STEP
    }

    /// The code `ahead` steps from now.
    pub(super) fn code(&self, serial: &str, ahead: u64) -> Option<String> {
        let device = self.device(serial)?;
        Some(totp(&device.secret, self.step() + ahead))
    }

    pub(super) fn next_code(&mut self, serial: &str) -> Option<String> {
        let step = self.step();
        let unused = [0, 1].into_iter().find(|ahead| !self.used_codes.contains(&(serial.to_owned(), step + ahead)));
        if unused.is_none() {
            self.used_codes.retain(|(used, _)| used != serial);
        }
        self.code(serial, unused.unwrap_or(0))
    }

    /// Carries a request out and returns the inside of its result element.
    pub(super) fn act(
        &mut self,
        request: &Request,
        params: &Params,
        authorization: Option<Result<Authorization, Refusal>>,
    ) -> Result<String, Refusal> {
        let action = params.get("Action").map(String::as_str).unwrap_or_default();
        if action == "AssumeRoleWithWebIdentity" {
            return self.assume_role_with_web_identity(params);
        }
        if is_iam(params) {
            let caller = self.authenticate(request, "iam", authorization)?;
            return self.act_iam(&caller, action, params);
        }
        let caller = self.authenticate(request, "sts", authorization)?;
        let version = params.get("Version").map(String::as_str).unwrap_or_default();
        match action {
            _ if version != API_VERSION => Err(Refusal::unknown_action(action, version)),
            "GetCallerIdentity" => Ok(elements(&[
                ("Arn", caller.arn()),
                ("UserId", caller.user_id()),
                ("Account", caller.account().to_owned()),
            ])),
            "GetSessionToken" => self.get_session_token(&caller, params),
            "AssumeRole" => self.assume_role(&caller, params),
            _ => Err(Refusal::unknown_action(action, version)),
        }
    }

    fn authenticate(
        &mut self,
        request: &Request,
        service: &str,
        authorization: Option<Result<Authorization, Refusal>>,
    ) -> Result<Caller, Refusal> {
        let Some(authorization) = authorization else {
            let message = "Request is missing Authentication Token";
            return Err(Refusal::sender(403, "MissingAuthenticationToken", message));
        };
        let authorization = authorization?;
        let key = &authorization.access_key_id;
        if !self.iam.lets_in(key) {
            return Err(Refusal::unknown_token());
        }
        let user = self.users.get(key);
        let session = self.sessions.get(key);
        let secret = match (user, session) {
            (Some(user), _) => &user.secret_access_key,
            (None, Some(session)) => &session.secret,
            (None, None) => return Err(Refusal::unknown_token()),
        };
        authorization.verify(request, service, secret, self.now())?;

        let token = request.header("x-amz-security-token");
        match (user, session) {
            (Some(user), _) if token.is_none() => Ok(Caller::User(user.clone())),
            (None, Some(session)) if token == Some(&session.token) => {
                if self.now() >= session.expires {
                    let message = "The security token included in the request is expired";
                    return Err(Refusal::sender(403, "ExpiredToken", message));
                }
                Ok(session.caller.clone())
            }
            _ => Err(Refusal::unknown_token()),
        }
    }

    /// What [`Fault::AccessDenied`] says, to whoever claims to call.
    pub(super) fn denial(&self, params: &Params, signer: Option<&Authorization>) -> Refusal {
        let key = signer.map(|signer| signer.access_key_id.as_str()).unwrap_or_default();
        let user = self.users.get(key).map(User::arn);
        let session = || self.sessions.get(key).map(|session| session.caller.arn());
        let caller = user.or_else(session).unwrap_or_else(|| "anonymous".to_owned());
        let action = params.get("Action").map(String::as_str).unwrap_or_default();
        let resource = params.get("RoleArn").map_or("*", String::as_str);
        Refusal::not_authorized(&caller, action, resource)
    }

    fn get_session_token(&mut self, caller: &Caller, params: &Params) -> Result<String, Refusal> {
        let Caller::User(user) = caller else {
            return Err(Refusal::denied("Cannot call GetSessionToken with session credentials"));
        };
        let seconds = duration(params, 43_200, 129_600)?;
        let mfa = self.check_mfa(Some(user), params)?;
        let session = Caller::UserSession { user: user.clone(), mfa };
        Ok(self.mint(session, seconds, USER_TOKEN_LENGTH))
    }

    fn assume_role(&mut self, caller: &Caller, params: &Params) -> Result<String, Refusal> {
        let (role_arn, name) = role_and_session_name(params)?;
        let seconds = duration(params, 3_600, 43_200)?;
        let chained = matches!(caller, Caller::RoleSession { .. });
        if chained && seconds > 3_600 {
            return Err(Refusal::invalid(
                "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
            ));
        }
        let (user, mfa_session) = match caller {
            Caller::User(user) => (Some(user), false),
            Caller::UserSession { user, mfa } => (Some(user), *mfa),
            Caller::RoleSession { .. } => (None, false),
        };
        let mfa = self.check_mfa(user, params)? || mfa_session;

        let external_id = params.get("ExternalId");
        let role = self.roles.get(role_arn).filter(|role| {
            caller.is_among(&role.trusted)
                && (role.external_id.is_none() || role.external_id.as_ref() == external_id)
                && (mfa || !role.requires_mfa)
        });
        let Some(role) = role else {
            return Err(Refusal::not_authorized(&caller.arn(), "AssumeRole", role_arn));
        };
        check_maximum(role, seconds)?;
        // AWS packs them; how well it does that, nobody knows.
        let is_packed = |key: &str| key.starts_with("Policy") || key.starts_with("Tags.");
        let size: usize = params.iter().filter(|(key, _)| is_packed(key)).map(|(_, value)| value.len()).sum();
        if size > MAX_PACKED {
            let percent = size * 100 / MAX_PACKED;
            let message = format!("Packed size of session tags consumes {percent}% of allotted space.");
            return Err(Refusal::sender(400, "PackedPolicyTooLarge", message));
        }
        let inherited = match caller {
            Caller::RoleSession { source_identity, .. } => source_identity.clone(),
            _ => None,
        };
        let asked = params.get("SourceIdentity").cloned();
        if inherited.is_some() && asked.is_some() && asked != inherited {
            return Err(Refusal::not_authorized(&caller.arn(), "SetSourceIdentity", role_arn));
        }
        let source_identity = asked.or(inherited);
        let packed = params.keys().any(|key| is_packed(key));
        let mut result = self.mint_role_session(role_arn, name, source_identity, seconds);
        if packed {
            result.push_str(&elements(&[("PackedPolicySize", "6".to_owned())]));
        }
        Ok(result)
    }

    fn assume_role_with_web_identity(&mut self, params: &Params) -> Result<String, Refusal> {
        let (role_arn, name) = role_and_session_name(params)?;
        let seconds = duration(params, 3_600, 43_200)?;
        let token = required(params, "WebIdentityToken", "webIdentityToken")?;
        let role = self.roles.get(role_arn);
        let Some((role, expected)) = role.and_then(|role| Some((role, role.web_identity_token.as_deref()?))) else {
            return Err(Refusal::denied("Not authorized to perform sts:AssumeRoleWithWebIdentity"));
        };
        if token != expected {
            return Err(Refusal::sender(
                400,
                "InvalidIdentityToken",
                "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)",
            ));
        }
        check_maximum(role, seconds)?;
        let mut result = self.mint_role_session(role_arn, name, None, seconds);
        result.push_str(&elements(&[
            ("SubjectFromWebIdentityToken", "ci".to_owned()),
            ("Audience", "sts".to_owned()),
            ("Provider", "https://issuer.example".to_owned()),
        ]));
        Ok(result)
    }

    /// Whether the call proves MFA by itself: false where it brings neither serial nor code.
    fn check_mfa(&mut self, user: Option<&User>, params: &Params) -> Result<bool, Refusal> {
        let (serial, code) = match (params.get("SerialNumber"), params.get("TokenCode")) {
            (None, None) => return Ok(false),
            (Some(serial), Some(code)) => (serial, code),
            _ => {
                return Err(Refusal::denied(
                    "MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code.",
                ));
            }
        };
        check_length(code, "tokenCode", 6, 6)?;
        if !code.bytes().all(|byte| byte.is_ascii_digit()) {
            let pattern = r"satisfy regular expression pattern: [\d]*";
            return Err(Refusal::constraint(Some(code), "tokenCode", pattern));
        }
        let device = user.and_then(|user| user.mfa.iter().find(|device| device.serial == *serial));
        let Some(device) = device else {
            return Err(Refusal::denied(
                "MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial \
                 number is valid and associated with this user.",
            ));
        };
        let step = self.step();
        let accepted = (step.saturating_sub(1)..=step + 1).find(|step| {
            let unused = !self.used_codes.contains(&(serial.clone(), *step));
            unused && totp(&device.secret, *step) == *code
        });
        let Some(step) = accepted else {
            return Err(Refusal::denied("MultiFactorAuthentication failed with invalid MFA one time pass code. "));
        };
        self.used_codes.insert((serial.clone(), step));
        Ok(true)
    }

    fn mint_role_session(
        &mut self,
        role_arn: &str,
        name: &str,
        source_identity: Option<String>,
        seconds: i64,
    ) -> String {
        let user = elements(&[
            ("AssumedRoleId", format!("{}:{name}", unique_id("AROA", role_arn))),
            ("Arn", session_arn(role_arn, name)),
        ]);
        let mut result = format!("\n    <AssumedRoleUser>{user}\n    </AssumedRoleUser>");
        if let Some(identity) = &source_identity {
            result.push_str(&elements(&[("SourceIdentity", identity.clone())]));
        }
        let session = Caller::RoleSession { role_arn: role_arn.to_owned(), name: name.to_owned(), source_identity };
        result + &self.mint(session, seconds, ROLE_TOKEN_LENGTH)
    }

    fn mint(&mut self, caller: Caller, seconds: i64, token_length: usize) -> String {
        let id = format!("ASIA{}", base32(&random::<16>()));
        let prefix = if matches!(caller, Caller::RoleSession { .. }) { "IQoJb3JpZ2luX2Vj" } else { "FwoGZXIvYXdz" };
        let session = Session {
            secret: base64(&random::<30>()),
            token: random_token(prefix, token_length.max(self.token_padding)),
            expires: self.now() + seconds,
            caller,
        };
        let inside = elements(&[
            ("AccessKeyId", id.clone()),
            ("SecretAccessKey", session.secret.clone()),
            ("SessionToken", session.token.clone()),
            ("Expiration", iso_date(session.expires)),
        ]);
        self.sessions.insert(id, session);
        format!("\n    <Credentials>{inside}\n    </Credentials>")
    }
}

/// An STS error: `<Type>` is `Receiver` from 500 up, `Sender` below.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: &'static str,
    message: String,
}

impl Refusal {
    pub(super) fn sender(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub(super) fn denied(message: impl Into<String>) -> Self {
        Self::sender(403, "AccessDenied", message)
    }

    fn invalid(message: impl Into<String>) -> Self {
        Self::sender(400, "ValidationError", message)
    }

    fn constraint(value: Option<&str>, name: &str, constraint: &str) -> Self {
        let value = value.map_or_else(|| "null".to_owned(), |value| format!("'{value}'"));
        Self::invalid(format!(
            "1 validation error detected: Value {value} at '{name}' failed to satisfy constraint: Member must {constraint}"
        ))
    }

    pub(super) fn mismatch(message: impl Into<String>) -> Self {
        Self::sender(403, "SignatureDoesNotMatch", message)
    }

    pub(super) fn unknown_token() -> Self {
        let message = "The security token included in the request is invalid.";
        Self::sender(403, "InvalidClientTokenId", message)
    }

    pub(super) fn unknown_action(action: &str, version: &str) -> Self {
        let message = format!("Could not find operation {action} for version {version}");
        Self::sender(400, "InvalidAction", message)
    }

    fn not_authorized(caller: &str, action: &str, resource: &str) -> Self {
        Self::denied(format!("User: {caller} is not authorized to perform: sts:{action} on resource: {resource}"))
    }

    pub(super) fn to_xml(&self, request_id: &str) -> String {
        let kind = if self.status < 500 { "Sender" } else { "Receiver" };
        format!(
            "<ErrorResponse xmlns=\"{XMLNS}\">\n  <Error>\n    <Type>{kind}</Type>\n    <Code>{}</Code>\n    \
             <Message>{}</Message>\n  </Error>\n  <RequestId>{request_id}</RequestId>\n</ErrorResponse>\n",
            self.code,
            escape_xml(&self.message),
        )
    }
}

pub(super) fn required<'a>(params: &'a Params, key: &str, name: &str) -> Result<&'a str, Refusal> {
    let value = params.get(key).map(String::as_str);
    value.ok_or_else(|| Refusal::constraint(None, name, "not be null"))
}

fn check_length(value: &str, name: &str, least: usize, most: usize) -> Result<(), Refusal> {
    let length = value.chars().count();
    let constraint = match () {
        () if length < least => format!("have length greater than or equal to {least}"),
        () if length > most => format!("have length less than or equal to {most}"),
        () => return Ok(()),
    };
    Err(Refusal::constraint(Some(value), name, &constraint))
}

fn role_and_session_name(params: &Params) -> Result<(&str, &str), Refusal> {
    let role_arn = required(params, "RoleArn", "roleArn")?;
    check_length(role_arn, "roleArn", 20, 2_048)?;
    let mut parts = role_arn.splitn(6, ':');
    let is_arn = parts.next() == Some("arn") && parts.nth(1) == Some("iam") && parts.nth(2).is_some();
    if !is_arn {
        return Err(Refusal::invalid(format!("{role_arn} is invalid")));
    }
    let name = required(params, "RoleSessionName", "roleSessionName")?;
    check_length(name, "roleSessionName", 2, 64)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    if !name.chars().all(allowed) {
        let pattern = r"satisfy regular expression pattern: [\w+=,.@-]*";
        return Err(Refusal::constraint(Some(name), "roleSessionName", pattern));
    }
    Ok((role_arn, name))
}

/// `DurationSeconds` between 900 and `most`.
fn duration(params: &Params, default: i64, most: i64) -> Result<i64, Refusal> {
    let Some(text) = params.get("DurationSeconds") else {
        return Ok(default);
    };
    let Ok(seconds) = text.parse::<i32>() else {
        return Err(Refusal::sender(400, "MalformedInput", "Invalid Argument"));
    };
    let seconds = i64::from(seconds);
    let constraint = match seconds {
        ..900 => "have value greater than or equal to 900".to_owned(),
        _ if seconds > most => format!("have value less than or equal to {most}"),
        _ => return Ok(seconds),
    };
    Err(Refusal::constraint(Some(text), "durationSeconds", &constraint))
}

fn check_maximum(role: &Role, seconds: i64) -> Result<(), Refusal> {
    if seconds > i64::from(role.max_session_seconds) {
        let message = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.";
        return Err(Refusal::invalid(message));
    }
    Ok(())
}

fn arn_account(arn: &str) -> &str {
    arn.split(':').nth(4).unwrap_or_default()
}

/// The ARN of a role session; it carries the role's name without its path.
fn session_arn(role_arn: &str, session_name: &str) -> String {
    let partition = role_arn.split(':').nth(1).unwrap_or("aws");
    let role_name = role_arn.rsplit('/').next().unwrap_or_default();
    format!("arn:{partition}:sts::{}:assumed-role/{role_name}/{session_name}", arn_account(role_arn))
}

/// IAM's unique ID of an entity, made from its ARN so that it never changes.
fn unique_id(prefix: &str, arn: &str) -> String {
    let hash = digest::digest(&digest::SHA256, arn.as_bytes());
    format!("{prefix}{}", base32(&hash.as_ref()[..17]))
}
