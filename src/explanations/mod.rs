//! Owns what is known about AWS credential errors: how each is recognised, what it means and what to do about it.
//! Data only; `commands::explain` reads it. To add an error, add an entry here and its text to `samples.rs`.

#[cfg(test)]
mod samples;

/// An error that people meet, in whatever service and SDK.
pub struct Explanation {
    /// What it is called: its code, or the words that people search for.
    pub name: &'static str,
    /// Its codes. Each is found as a whole word in any case, also with `Exception` or `Error` behind it.
    pub codes: &'static [&'static str],
    /// Parts of its message, in any case. `…` stands for anything, up to a few hundred bytes of it.
    pub messages: &'static [&'static str],
    /// The broader error that its text may show as well, so that naming that one too would say nothing.
    pub within: Option<&'static str>,
    /// What AWS or the SDK means by it: one or two sentences.
    pub meaning: &'static str,
    /// The likeliest cause first.
    pub causes: &'static [&'static str],
    /// What to do, in order. `{profile}` stands for the profile's name.
    pub steps: &'static [&'static str],
}

const ACCESS_DENIED: &str = "AccessDenied";
const ASSUME_ROLE: &str = "AccessDenied for sts:AssumeRole";
const EXPLICIT_DENY: &str = "denied by an explicit deny";
const TIMED_OUT: &str = "the endpoint does not answer in time";
const MFA_FAILED: &str = "MultiFactorAuthentication failed";
const EXPIRED_TOKEN: &str = "ExpiredToken";
const SIGNATURE: &str = "SignatureDoesNotMatch";
const VALIDATION: &str = "ValidationError";
/// What is around the words of a helper, and says nothing by itself.
pub const PROCESS: &str = "Error when retrieving credentials from custom-process";
const PARTIAL: &str = "Partial credentials found";
const SSO_EXPIRED: &str = "The SSO session has expired";
const BAD_REGION: &str = "the region is not valid";
const UNREACHABLE: &str = "Could not connect to the endpoint URL";

/// The step that always helps.
pub const DOCTOR: &str = "look for mistakes in the profile: `keyrole doctor {profile}`";
const WHO_AM_I: &str = "see whom AWS takes you for: `aws sts get-caller-identity --profile {profile}`";
const REFRESH: &str = "get a new session: `keyrole login --refresh {profile}`";
const SET_CLOCK: &str = "set the clock: `timedatectl set-ntp true` on Linux, `sudo sntp -sS time.apple.com` on \
    macOS, `w32tm /resync` on Windows";

/// Every error that is known. The order decides where a text shows several: what says most about the cause comes
/// first, and what only says that something inside it failed comes last. The very last is around most of the others,
/// and counts only alone.
pub const EXPLANATIONS: &[Explanation] = &[
    // What keyrole itself says.
    Explanation {
        name: "keyrole needs an MFA code",
        codes: &[],
        messages: &["needs an MFA code, but"],
        within: Some(PROCESS),
        meaning: "The role needs an MFA code, and the program that ran keyrole gave it no terminal to ask on.",
        causes: &[
            "the program runs without a terminal: an editor, a desktop application, cron, a service",
            "the MFA session of an earlier login is over; it lasts 12 hours by default",
            "`keyrole_prompt`, `KEYROLE_PROMPT` or `--no-prompt` forbids to ask",
        ],
        steps: &[
            "give the code in a terminal, then retry: `keyrole login {profile}`",
            "for a device that a program can read, set `mfa_process`",
        ],
    },
    Explanation {
        name: "keyrole did not wait any longer",
        codes: &[],
        messages: &["did not wait any longer for"],
        within: Some(PROCESS),
        meaning: "Another keyrole is fetching the same session and did not finish in time.",
        causes: &[
            "that one still asks for an MFA code in another terminal",
            "that one waits for a network that does not answer",
        ],
        steps: &[
            "answer its prompt, or end it by the process number in the message, then retry",
            "fetch the session here: `keyrole login {profile}`",
        ],
    },
    Explanation {
        name: "nobody gave the MFA code",
        codes: &[],
        messages: &["nobody gave the MFA code", "the prompt for the MFA code was"],
        within: Some(PROCESS),
        meaning: "keyrole asked for the MFA code, and the prompt ended without one.",
        causes: &[
            "it was cancelled, or its terminal or window was closed",
            "nobody saw it in time; it waits 300 s unless `keyrole_prompt_timeout` says otherwise",
        ],
        steps: &["give the code in a terminal, then retry: `keyrole login {profile}`"],
    },
    Explanation {
        name: "mfa_process gave no code",
        codes: &[],
        messages: &["`mfa_process` of profile"],
        within: Some(PROCESS),
        meaning: "The command in `mfa_process`, which is to print the MFA code, did not.",
        causes: &[
            "the device is not plugged in, or nobody touched it in time",
            "the command needs an unlocked agent, a password or a variable that the caller does not have",
            "it prints more than six digits",
        ],
        steps: &["run it by hand in the same surroundings", DOCTOR],
    },
    Explanation {
        name: "no valid session is cached",
        codes: &[],
        messages: &["no valid session is cached", "no role's session is cached"],
        within: None,
        meaning: "keyrole has no session in its store that is still good.",
        causes: &[
            "nobody has logged in since the machine was started; the kernel keyring is in memory only",
            "the sessions have ended, or the profile was edited since",
        ],
        steps: &["get one: `keyrole login {profile}`", "see what is used as the store: `keyrole doctor {profile}`"],
    },
    Explanation {
        name: "a value in the profile that AWS does not take",
        codes: &[],
        messages: &["is not a role's ARN", "is not an MFA device's ARN", "is not a whole number of seconds"],
        within: Some(PROCESS),
        meaning: "keyrole checks what AWS would refuse before it asks; the message names file, line and key.",
        causes: &[
            "the ARN was cut off, or is that of a user, a policy or a session",
            "a duration has a unit, or is in minutes or hours",
            "the line below is indented, and so belongs to the value",
        ],
        steps: &["correct the line, then: `keyrole doctor {profile}`"],
    },
    Explanation {
        name: "the store `file` has no key",
        codes: &[],
        messages: &["the store `file` has no key"],
        within: Some(PROCESS),
        meaning: "Sessions are to be kept in sealed files, and nothing was given to seal them with.",
        causes: &[
            "neither `KEYROLE_FILE_KEY_FILE` nor `KEYROLE_FILE_KEY` reaches this program",
            "the key is too short",
        ],
        steps: &["set one of the two for whatever runs keyrole, or remove `keyrole_store`", DOCTOR],
    },
    Explanation {
        name: "a file cannot be read",
        codes: &[],
        messages: &[
            "cannot read ` … Permission denied",
            "cannot read ` … it does not exist",
            "cannot read ` … No such file",
            "cannot read ` … it is a directory",
        ],
        within: Some(PROCESS),
        meaning: "keyrole, run as this user, cannot read a file that it was told to.",
        causes: &[
            "the file belongs to another user: it was made with sudo, or is mounted into a container",
            "`AWS_CONFIG_FILE`, `AWS_SHARED_CREDENTIALS_FILE` or a key of the profile names a wrong path",
        ],
        steps: &["see whose it is: `ls -l` and the file's path", DOCTOR],
    },
    Explanation {
        name: "the profile needs itself",
        codes: &["InfiniteLoopConfig"],
        messages: &[
            "needs itself: `",
            "it is keyrole itself: `",
            "runs in a circle: `",
            "Infinite loop in credential configuration",
            "profiles formed an infinite loop",
        ],
        within: Some(PROCESS),
        meaning: "The chain of `source_profile` leads back to a profile that is already part of it.",
        causes: &[
            "`source_profile` names the profile itself, or two profiles name each other",
            "the source profile's `credential_process` runs keyrole for the profile that uses it",
        ],
        steps: &["let the last profile of the chain have access keys, SSO or another identity of its own", DOCTOR],
    },
    Explanation {
        name: "this MFA code was already used",
        codes: &[],
        messages: &["this MFA code was already used"],
        within: Some(PROCESS),
        meaning: "AWS accepts each code once, and this one has been spent.",
        causes: &[
            "another command used the code that the device still shows",
            "`mfa_process` printed the same code twice",
        ],
        steps: &["wait for the next code, at most 30 seconds, then retry: `keyrole login {profile}`"],
    },
    Explanation {
        name: "the answer did not come from STS",
        codes: &[],
        messages: &["the answer did not come from STS"],
        within: Some(PROCESS),
        meaning: "Something between this machine and AWS answered in the place of STS.",
        causes: &[
            "the sign-in page of a hotel's or company's network",
            "a proxy that answers by itself",
            "`endpoint_url` names something else than STS",
        ],
        steps: &[
            "open a web page and sign in to the network, then retry",
            "check `HTTPS_PROXY`, `NO_PROXY` and `endpoint_url`",
            DOCTOR,
        ],
    },
    Explanation {
        name: "no session can be kept here",
        codes: &[],
        messages: &["no session can be kept here"],
        within: None,
        meaning: "keyrole found no keyring that takes a session, so a login would be lost at once.",
        causes: &[
            "a container or sandbox blocks the kernel keyring, and there is no desktop with a Secret Service",
            "the kernel keyring is full: an ordinary user has 20,000 bytes",
            "`keyrole_store` is `none`, or names a store that is not there",
        ],
        steps: &["make room: `keyrole logout --all`", "see which store is used: `keyrole doctor {profile}`"],
    },
    // MFA.
    Explanation {
        name: "the MFA code was not accepted",
        codes: &[],
        messages: &["MultiFactorAuthentication failed with invalid MFA one time pass code"],
        within: Some(MFA_FAILED),
        meaning: "The device belongs to the user, but AWS did not accept this code.",
        causes: &[
            "the code was mistyped, or had just run out",
            "the code was used before; each is good once",
            "the code came from another device or another account's entry in the same app",
            "the clock of the device, or of the machine that computes the code, is wrong",
        ],
        steps: &[
            "wait for the next code, then: `keyrole login {profile}`",
            "if it fails every time, set the device's clock, or resync the device in the IAM console",
        ],
    },
    Explanation {
        name: "both MFA serial and code are needed",
        codes: &[],
        messages: &["MultiFactorAuthentication failed, must provide both"],
        within: Some(MFA_FAILED),
        meaning: "The request had an MFA serial without a code, or a code without a serial.",
        causes: &["the program passes `--token-code` without `--serial-number`, or the other way round"],
        steps: &["let keyrole ask for the code: set `mfa_serial`, then `keyrole login {profile}`"],
    },
    Explanation {
        name: MFA_FAILED,
        codes: &[],
        messages: &["MultiFactorAuthentication failed"],
        within: Some(ASSUME_ROLE),
        meaning: "AWS cannot match the MFA device to the user whose access key made the call.",
        causes: &[
            "`mfa_serial` is misspelt, or is that of another user or account",
            "the device was replaced and has a new serial",
            "the access key of the source profile belongs to another user than the device",
            "the device is a passkey or security key, which has no codes; only an app or a hardware token has",
        ],
        steps: &[
            "see the user's devices: `aws iam list-mfa-devices --profile` with the source profile's name",
            "see the serial that is used: `keyrole doctor {profile}`",
        ],
    },
    Explanation {
        name: "Cannot refresh credentials: MFA token required",
        codes: &["RefreshWithMFAUnsupported"],
        messages: &["Cannot refresh credentials: MFA token required"],
        within: None,
        meaning: "botocore assumed the role itself, with an MFA code, and cannot ask for another one when the \
            session ends.",
        causes: &["the profile has `role_arn` and `mfa_serial`, and no `credential_process`"],
        steps: &[
            "let keyrole renew the session: `keyrole setup {profile}`",
            "then log in once: `keyrole login {profile}`",
        ],
    },
    Explanation {
        name: "Cannot call GetSessionToken with session credentials",
        codes: &[],
        messages: &[
            "Cannot call GetSessionToken with session credentials",
            "Cannot call GetFederationToken with session credentials",
            "gives temporary credentials, with which AWS makes no session",
        ],
        within: Some(ACCESS_DENIED),
        meaning: "GetSessionToken and GetFederationToken work only with a user's own long-lived access key.",
        causes: &[
            "the source profile has temporary keys (`ASIA…` with a session token) or comes from SSO or another role",
            "`AWS_SESSION_TOKEN` and its keys are still in the environment",
        ],
        steps: &[
            "drop what the environment has: `unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN`",
            "use a source profile with an access key (`AKIA…`), or set `mfa_session_duration = 0`",
            DOCTOR,
        ],
    },
    // Why a policy says no.
    Explanation {
        name: "denied by the organization",
        codes: &[],
        messages: &[
            "explicit deny in a service control policy",
            "explicit deny in a resource control policy",
            "because no service control policy allows",
            "because no resource control policy allows",
        ],
        within: Some(EXPLICIT_DENY),
        meaning: "A policy of the AWS organization forbids this in the whole account, whatever the role may do.",
        causes: &[
            "the organization forbids the action, the service or the region",
            "the organization wants it done by certain roles only",
        ],
        steps: &["check that region and account are those you meant", "ask whoever runs the organization", WHO_AM_I],
    },
    Explanation {
        name: "denied by a session policy",
        codes: &[],
        messages: &["because no session policy allows", "explicit deny in a session policy"],
        within: Some(EXPLICIT_DENY),
        meaning: "The role may do this, but the session was made with a policy that narrows it down.",
        causes: &[
            "`policy` or `policy_arns` in the profile leaves the action out",
            "whoever made the session (SSO, a CI system) passed such a policy",
        ],
        steps: &["widen `policy` or `policy_arns`; the next call gets a new session by itself", DOCTOR],
    },
    Explanation {
        name: "denied by a permissions boundary",
        codes: &[],
        messages: &["because no permissions boundary allows", "explicit deny in a permissions boundary"],
        within: Some(EXPLICIT_DENY),
        meaning: "The user or role has a permissions boundary, and this is outside it, whatever its policies allow.",
        causes: &["the boundary was written for other work", "you are another user or role than you think"],
        steps: &[WHO_AM_I, "ask whoever manages the account to widen the boundary"],
    },
    Explanation {
        name: EXPLICIT_DENY,
        codes: &[],
        messages: &["with an explicit deny"],
        within: Some(ASSUME_ROLE),
        meaning: "A policy forbids this in so many words; no other policy can allow it.",
        causes: &[
            "the account denies everything without MFA, and the session has none",
            "the policy denies the region, the network you come from, or this principal",
        ],
        steps: &[
            "get a session with MFA: set `mfa_serial`, then `keyrole login --refresh {profile}`",
            WHO_AM_I,
            "read the policy of the kind that the message names",
        ],
    },
    Explanation {
        name: "not allowed to tag the session or to set its source identity",
        codes: &[],
        messages: &["not authorized to perform: sts:TagSession", "not authorized to perform: sts:SetSourceIdentity"],
        within: Some(ASSUME_ROLE),
        meaning: "The profile passes tags or a source identity, and the role does not let its caller do that.",
        causes: &[
            "the role's trust policy allows `sts:AssumeRole` only; `sts:TagSession` or `sts:SetSourceIdentity` is \
                missing",
            "the caller's own policies do not allow it",
            "the source identity differs from the one that the caller's session has; it cannot be changed in a chain",
        ],
        steps: &[
            "add the action to the trust policy, or drop `session_tags` or `source_identity` from the profile",
            DOCTOR,
        ],
    },
    Explanation {
        name: "not authorized to perform sts:AssumeRoleWithWebIdentity",
        codes: &[],
        messages: &[
            "Not authorized to perform sts:AssumeRoleWithWebIdentity",
            "not authorized to perform: sts:AssumeRoleWithWebIdentity",
        ],
        within: Some(ACCESS_DENIED),
        meaning: "The role's trust policy does not accept this web identity token, or there is no such role.",
        causes: &[
            "the trust policy's condition on `sub` does not match: another repository, branch, environment or \
                service account",
            "the condition on `aud` does not match; AWS expects `sts.amazonaws.com` from most issuers",
            "the trust policy names another identity provider, or the role's ARN is wrong",
        ],
        steps: &[
            "read the trust policy: `aws iam get-role --role-name NAME`, and compare it with the token's claims",
            DOCTOR,
        ],
    },
    Explanation {
        name: "not authorized to perform sts:AssumeRoleWithSAML",
        codes: &[],
        messages: &[
            "Not authorized to perform sts:AssumeRoleWithSAML",
            "not authorized to perform: sts:AssumeRoleWithSAML",
        ],
        within: Some(ACCESS_DENIED),
        meaning: "The role's trust policy does not accept this SAML sign-in.",
        causes: &[
            "the role does not trust this SAML provider",
            "the provider's `Role` attribute pairs role and provider wrongly",
        ],
        steps: &["read the trust policy: `aws iam get-role --role-name NAME`"],
    },
    Explanation {
        name: "Roles may not be assumed by root accounts",
        codes: &[],
        messages: &["Roles may not be assumed by root accounts"],
        within: Some(ASSUME_ROLE),
        meaning: "The call was made with the account's root user, which cannot assume roles.",
        causes: &["the access key of the source profile belongs to the root user"],
        steps: &["make an IAM user or use SSO, and delete the root user's access key", WHO_AM_I],
    },
    Explanation {
        name: "the caller's policies do not allow sts:AssumeRole",
        codes: &[],
        messages: &["sts:AssumeRole … because no identity-based policy allows"],
        within: Some(ASSUME_ROLE),
        meaning: "The caller has no policy that lets it assume this role. The trust policy was not the reason.",
        causes: &[
            "no policy of the user or role allows `sts:AssumeRole` on this role's ARN",
            "the role's ARN in the profile is wrong, so the policy for the right one does not apply",
            "the call was made as somebody else than you think",
        ],
        steps: &[
            "allow `sts:AssumeRole` on the role's ARN to the caller",
            "compare the ARN: `keyrole doctor {profile}`",
        ],
    },
    Explanation {
        name: "the role's trust policy does not allow this caller",
        codes: &[],
        messages: &[
            "sts:AssumeRole … because no resource-based policy allows",
            "sts:AssumeRole … because no role trust policy allows",
        ],
        within: Some(ASSUME_ROLE),
        meaning: "The role's trust policy does not name this caller, or one of its conditions does not hold.",
        causes: &[
            "the trust policy names another account, user or role",
            "it asks for MFA, and the session has none",
            "it asks for an external ID, and the profile has none or another",
        ],
        steps: &[
            "set `mfa_serial` and `external_id` as the trust policy asks",
            "read it: `aws iam get-role --role-name NAME`, in the role's account",
            DOCTOR,
        ],
    },
    Explanation {
        name: ASSUME_ROLE,
        codes: &[],
        messages: &["not authorized to perform: sts:AssumeRole", "AccessDenied … AssumeRole"],
        within: Some(ACCESS_DENIED),
        meaning: "AWS does not let this caller assume the role. It does not tell a role that refuses from one that \
            is not there.",
        causes: &[
            "the role's trust policy does not name the caller's account, user or role",
            "the trust policy asks for MFA, and the call had none",
            "the caller's own policies do not allow `sts:AssumeRole` on the role",
            "the trust policy asks for an external ID that is missing or different",
            "the role does not exist: a typing error in the ARN or the account number",
        ],
        steps: &[
            "compare ARN, `mfa_serial` and `external_id`: `keyrole doctor {profile}`",
            "read the trust policy: `aws iam get-role --role-name NAME`, in the role's account",
        ],
    },
    Explanation {
        name: "AccessDenied for a KMS key",
        codes: &["KMSAccessDenied", "KMS.AccessDenied"],
        messages: &[
            "not authorized to perform: kms:",
            "ciphertext refers to a customer master key that does not exist",
        ],
        within: Some(ACCESS_DENIED),
        meaning: "The data is encrypted with a KMS key that this role may not use.",
        causes: &[
            "the role's policies allow the data (S3, a secret, a parameter) but not `kms:Decrypt` on its key",
            "the key's own policy does not name the role or its account",
            "you are in another account or region than the key",
        ],
        steps: &[WHO_AM_I, "allow the key's use in the role's policy and in the key's policy"],
    },
    // What AssumeRole does not accept.
    Explanation {
        name: "the one-hour limit of role chaining",
        codes: &[],
        messages: &["exceeds the 1 hour session limit for roles assumed by role chaining"],
        within: Some(VALIDATION),
        meaning: "A role that is assumed with another role's credentials gets at most one hour. AWS cannot raise that.",
        causes: &[
            "`duration_seconds` is more than 3600, and the source is itself a role (SSO is one too)",
            "a program asks for a longer session with credentials that come from a role",
        ],
        steps: &[
            "set `duration_seconds = 3600`, or assume the role from a user's access key",
            "keyrole lowers it by itself for chains of `source_profile`, and renews in time: `keyrole login {profile}`",
        ],
    },
    Explanation {
        name: "DurationSeconds exceeds the MaxSessionDuration",
        codes: &[],
        messages: &["DurationSeconds exceeds the MaxSessionDuration"],
        within: Some(VALIDATION),
        meaning: "The session is to last longer than the role allows; one hour unless the role says otherwise.",
        causes: &["`duration_seconds` is more than the role's maximum session duration"],
        steps: &[
            "lower `duration_seconds` in the profile; keyrole renews the session anyway",
            "or raise it: `aws iam update-role --role-name NAME --max-session-duration SECONDS`",
        ],
    },
    Explanation {
        name: "DurationSeconds out of range",
        codes: &[],
        messages: &["'durationSeconds' failed to satisfy constraint"],
        within: Some(VALIDATION),
        meaning: "A role session lasts from 900 to 43200 seconds, an MFA session from 900 to 129600.",
        causes: &["`duration_seconds` or `mfa_session_duration` is outside that, perhaps given in minutes or hours"],
        steps: &["correct it in seconds, then: `keyrole doctor {profile}`"],
    },
    Explanation {
        name: "PackedPolicyTooLarge",
        codes: &["PackedPolicyTooLarge"],
        messages: &["packed size of … policies"],
        within: None,
        meaning: "Session policies and session tags together are too large once AWS has packed them.",
        causes: &[
            "`policy` is long, or `policy_arns` names many policies",
            "there are many `session_tags`, or the caller's session already brings some that are transitive",
        ],
        steps: &["shorten `policy`, `policy_arns` or `session_tags`", DOCTOR],
    },
    Explanation {
        name: "MalformedPolicyDocument",
        codes: &["MalformedPolicyDocument"],
        messages: &[],
        within: None,
        meaning: "The policy that was passed is no valid IAM policy.",
        causes: &[
            "the JSON is broken, often by quotes that a shell took away",
            "an element is misspelt, or `Version` is not `2012-10-17`",
            "a trust policy names a principal that does not exist",
        ],
        steps: &[
            "check it: `aws accessanalyzer validate-policy --policy-type IDENTITY_POLICY --policy-document \
                file://policy.json`",
            "keep it in a file and write `policy = file:` and its path in the profile",
        ],
    },
    Explanation {
        name: "RegionDisabledException",
        codes: &["RegionDisabled"],
        messages: &["STS is not activated in this region"],
        within: None,
        meaning: "STS is switched off in this region for the account of the role or user.",
        causes: &[
            "the account has not enabled this region, one of those that must be opted in to",
            "an administrator deactivated STS in the region",
        ],
        steps: &[
            "use a region that is enabled: set `region` in the profile",
            "or enable STS in the IAM console under account settings",
        ],
    },
    // Web identities.
    Explanation {
        name: "the web identity token has expired",
        codes: &[],
        messages: &[
            "Token expired: current date/time",
            "AssumeRoleWithWebIdentity … ExpiredToken",
            "ExpiredToken … AssumeRoleWithWebIdentity",
        ],
        within: Some(EXPIRED_TOKEN),
        meaning: "The token in `web_identity_token_file` was issued too long ago.",
        causes: &[
            "nothing renews the file; in CI a token lives minutes",
            "the program runs outside the pod or job for which the file was written",
            "this machine's clock was wrong when the token was made",
        ],
        steps: &["have the issuer write a new token, then: `keyrole login --refresh {profile}`"],
    },
    Explanation {
        name: "IDPRejectedClaim",
        codes: &["IDPRejectedClaim"],
        messages: &[],
        within: None,
        meaning: "The identity provider, asked by AWS, did not confirm the token.",
        causes: &["the token has expired or was revoked", "it was issued for another audience or application"],
        steps: &["get a new token from the provider, then retry", DOCTOR],
    },
    Explanation {
        name: "IDPCommunicationError",
        codes: &["IDPCommunicationError"],
        messages: &[],
        within: None,
        meaning: "AWS could not reach the identity provider to check the token.",
        causes: &[
            "a passing fault of the provider",
            "the provider's keys are not published where the internet can get them",
        ],
        steps: &["retry in a minute", "open `/.well-known/openid-configuration` of the provider from outside"],
    },
    Explanation {
        name: "InvalidIdentityToken",
        codes: &["InvalidIdentityToken"],
        messages: &["No OpenIDConnect provider found in your account", "Incorrect token audience"],
        within: None,
        meaning: "AWS cannot accept the web identity token.",
        causes: &[
            "the role's account has no OpenID Connect provider for the token's issuer",
            "the token's audience is not among those of the provider in IAM",
            "the file holds no ID token: an access token, an empty file, an error page",
        ],
        steps: &[
            "see the providers of the role's account: `aws iam list-open-id-connect-providers`",
            "compare the token's `iss` and `aud` with them",
        ],
    },
    // The clock.
    Explanation {
        name: "the clock is wrong",
        codes: &["RequestTimeTooSkewed", "RequestInTheFuture"],
        messages: &[
            "Signature expired … is now earlier than",
            "Signature not yet current",
            "difference between the request time and the current time is too large",
            "over by this machine's clock",
        ],
        within: Some(SIGNATURE),
        meaning: "The request is dated too far from AWS's time; 5 minutes are allowed, for S3 and EC2 15.",
        causes: &[
            "this machine's clock is wrong: after sleep, in a virtual machine, in WSL or a container",
            "the request waited that long before it was sent: a slow network, a stopped process",
        ],
        steps: &[SET_CLOCK, "then retry: `keyrole login --refresh {profile}`"],
    },
    Explanation {
        name: "RequestExpired",
        codes: &["RequestExpired"],
        messages: &["Request has expired"],
        within: Some(ACCESS_DENIED),
        meaning: "The request, or a pre-signed URL, is older than it may be; so may be the session that signed it.",
        causes: &[
            "the session has expired (EC2 says it with this code)",
            "the pre-signed URL is past its time; it ends with the session that made it at the latest",
            "this machine's clock is wrong",
        ],
        steps: &[REFRESH, "make the pre-signed URL anew", SET_CLOCK],
    },
    // Regions.
    Explanation {
        name: "AuthorizationHeaderMalformed",
        codes: &["AuthorizationHeaderMalformed"],
        messages: &["authorization header is malformed; the region", "Credential should be scoped to a valid region"],
        within: Some(SIGNATURE),
        meaning: "The request was signed for another region than the one that it went to.",
        causes: &[
            "the bucket is in another region than the profile's `region`",
            "`endpoint_url` names another region than `region`",
        ],
        steps: &[
            "see the bucket's region: `aws s3api get-bucket-location --bucket BUCKET --profile {profile}`",
            "retry with `--region`, or set `region` in the profile",
        ],
    },
    Explanation {
        name: "IllegalLocationConstraintException",
        codes: &["IllegalLocationConstraint", "PermanentRedirect"],
        messages: &[
            "location constraint is incompatible for the region specific endpoint",
            "must be addressed using the specified endpoint",
        ],
        within: None,
        meaning: "The S3 bucket is, or is to be, in another region than the endpoint that was asked.",
        causes: &[
            "the bucket is in another region than the profile's `region`",
            "a new bucket needs `LocationConstraint` equal to the region",
        ],
        steps: &[
            "see the bucket's region: `aws s3api get-bucket-location --bucket BUCKET --profile {profile}`",
            "retry with `--region`, or set `region` in the profile",
        ],
    },
    // What AWS says of keys and tokens.
    Explanation {
        name: "Credentials were refreshed, but the refreshed credentials are still expired",
        codes: &[],
        messages: &["refreshed credentials are still expired"],
        within: None,
        meaning: "botocore asked for new credentials and got some whose end is already past.",
        causes: &[
            "this machine's clock is ahead",
            "the `credential_process` prints an old document again; some helpers cache without looking at the end",
            "the keys are those of a token or file that nobody renews",
        ],
        steps: &["see what is cached: `keyrole status {profile}`", REFRESH, SET_CLOCK],
    },
    Explanation {
        name: EXPIRED_TOKEN,
        codes: &["ExpiredToken"],
        messages: &[
            "security token included in the request is expired",
            "The provided token has expired",
            "gives credentials that have expired",
        ],
        within: None,
        meaning: "The credentials were temporary, and their time is over.",
        causes: &[
            "`AWS_SESSION_TOKEN` and its keys are still in the environment, which goes before the profile",
            "somebody pasted temporary keys into `~/.aws/credentials`, where nobody renews them",
            "a long-running program keeps the credentials that it read at its start",
            "the source of the role (SSO, a web identity) has expired",
            "this machine's clock is wrong",
        ],
        steps: &[
            "drop what the environment has: `unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN`",
            REFRESH,
            DOCTOR,
        ],
    },
    Explanation {
        name: "InvalidToken",
        codes: &["InvalidToken"],
        messages: &["token is malformed or otherwise invalid", "Token provided is malformed"],
        within: None,
        meaning: "The session token is damaged, or not one for this region or partition.",
        causes: &[
            "the region must be opted in to, and the token comes from the global STS endpoint, whose tokens do not \
                work there",
            "the region is not enabled in the account that the credentials come from",
            "the region belongs to another partition: GovCloud, China",
            "the session token was cut off or wrapped when it was copied",
        ],
        steps: &[
            "set `sts_regional_endpoints = regional` and `region` in the profile",
            REFRESH,
            "enable the region in the account of the user, too",
        ],
    },
    Explanation {
        name: "InvalidClientTokenId",
        codes: &["InvalidClientTokenId", "UnrecognizedClient"],
        messages: &["security token included in the request is invalid"],
        within: None,
        meaning: "AWS does not know the access key, or the session token does not belong to it. Some services call \
            it UnrecognizedClientException.",
        causes: &[
            "the access key was deleted or made inactive, or was rotated and an old copy is used",
            "temporary keys (`ASIA…`) without their session token, or an old `AWS_SESSION_TOKEN` beside other keys",
            "IAM was called with a session without MFA, as a profile with a key and no `mfa_serial` gives",
            "the region is one that must be opted in to, and is not enabled",
            "the key belongs to another partition: GovCloud, China",
        ],
        steps: &[
            "drop what the environment has: `unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN`",
            "see which key is used, and from where: `aws configure list --profile {profile}`",
            "see in IAM whether that key is active",
            DOCTOR,
        ],
    },
    Explanation {
        name: "InvalidAccessKeyId",
        codes: &["InvalidAccessKeyId"],
        messages: &["Access Key Id you provided does not exist"],
        within: None,
        meaning: "S3 does not know this access key ID.",
        causes: &[
            "the access key was deleted, or mistyped",
            "temporary keys (`ASIA…`) are used without their session token",
            "the request went to another S3 than the key is for: MinIO, LocalStack, another partition",
        ],
        steps: &[
            "see which key is used, and from where: `aws configure list --profile {profile}`",
            "check `endpoint_url` and `AWS_ENDPOINT_URL`",
            DOCTOR,
        ],
    },
    Explanation {
        name: SIGNATURE,
        codes: &["SignatureDoesNotMatch", "InvalidSignature"],
        messages: &["request signature we calculated does not match"],
        within: None,
        meaning: "AWS knows the access key ID, but the request was not signed with its secret, or was changed on \
            its way.",
        causes: &[
            "the secret access key belongs to another access key ID, or was cut off when it was copied",
            "the secret has `+`, `/` or `%` that a shell, a URL or a YAML file changed",
            "a comment or quotes stand behind the secret in `~/.aws/credentials`",
            "a proxy changes the request's headers",
        ],
        steps: &["copy the access key ID and the secret anew, both together", DOCTOR],
    },
    Explanation {
        name: "IncompleteSignature",
        codes: &["IncompleteSignature"],
        messages: &[],
        within: None,
        meaning: "The authorization header of the request is not in the form that AWS expects.",
        causes: &[
            "the access key ID has a space, a line end or a slash in it, often from an environment variable",
            "a proxy took headers away or changed them",
            "the program signs requests itself, and wrongly, or its SDK is very old",
        ],
        steps: &["see the key as the SDK sees it: `aws configure list --profile {profile}`", DOCTOR],
    },
    Explanation {
        name: "MissingAuthenticationToken",
        codes: &["MissingAuthenticationToken"],
        messages: &["Missing Authentication Token"],
        within: None,
        meaning: "The request was not signed at all. API Gateway also says so of a path that does not exist.",
        causes: &[
            "the program found no credentials and went on without; some old SDKs do when a `credential_process` fails",
            "an API Gateway URL has a wrong path, stage or method",
            "a proxy took the `Authorization` header away",
        ],
        steps: &["see that the profile gives credentials: `keyrole login {profile}`", WHO_AM_I],
    },
    Explanation {
        name: "AuthFailure",
        codes: &["AuthFailure"],
        messages: &["not able to validate the provided access credentials"],
        within: None,
        meaning: "EC2 could not validate the credentials.",
        causes: &[
            "the access key was deleted, is inactive, or the secret is another's",
            "the region must be opted in to, and the session comes from the global STS endpoint",
            "this machine's clock is wrong",
        ],
        steps: &[
            WHO_AM_I,
            "set `sts_regional_endpoints = regional` in the profile, then: `keyrole login --refresh {profile}`",
            SET_CLOCK,
        ],
    },
    Explanation {
        name: "OptInRequired",
        codes: &["OptInRequired", "SubscriptionRequired", "NotSignedUp"],
        messages: &["You are not subscribed to this service", "needs a subscription for the service"],
        within: None,
        meaning: "The account is not signed up for this service, or not for this region.",
        causes: &[
            "the account is new and not activated yet, or has no valid means of payment",
            "the region is one that must be opted in to, and is not enabled",
            "you are in another account than you think",
        ],
        steps: &[WHO_AM_I, "check `region`, and the account's regions in the console"],
    },
    // Files and settings that an SDK cannot use.
    Explanation {
        name: "ConfigParseError",
        codes: &["ConfigParse"],
        messages: &["Unable to parse config file", "SharedConfigLoadError", "failed to load shared config file"],
        within: None,
        meaning: "The SDK cannot read `~/.aws/config` or `~/.aws/credentials`.",
        causes: &[
            "a line is neither a section nor `key = value`, or a key stands before the first section",
            "a section or a key is there twice",
            "an editor saved the file as UTF-16 or with a byte order mark",
        ],
        steps: &["see which line: `keyrole doctor {profile}`"],
    },
    Explanation {
        name: "role_arn without a source",
        codes: &[],
        messages: &["Partial credentials found in assume-role"],
        within: Some(PARTIAL),
        meaning: "The profile has `role_arn` and no `source_profile` or `credential_source`, so the SDK cannot \
            assume the role itself.",
        causes: &[
            "`role_arn` stands beside `credential_process`; botocore then tries to assume the role and stops there",
            "`source_profile` is missing or misspelt",
        ],
        steps: &["call it `keyrole_role_arn`, which only keyrole reads: `keyrole setup {profile}`", DOCTOR],
    },
    Explanation {
        name: PARTIAL,
        codes: &["PartialCredentials"],
        messages: &["Partial credentials found"],
        within: None,
        meaning: "There is an access key ID without its secret, or the other way round.",
        causes: &[
            "only one of `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` is in the environment",
            "`aws_secret_access_key` is missing or misspelt in `~/.aws/credentials`",
        ],
        steps: &[
            "drop what the environment has: `unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN`",
            DOCTOR,
        ],
    },
    Explanation {
        name: "the source profile cannot be used",
        codes: &["SharedConfigAssumeRole"],
        messages: &[
            "The source_profile … referenced in",
            "contains both source_profile and credential_source",
            "no source provider was configured",
            "The credential source … is not valid",
            "there is no profile `",
        ],
        within: Some(PROCESS),
        meaning: "The profile's `source_profile` or `credential_source` leads to nothing that gives credentials.",
        causes: &[
            "`source_profile` names a profile that is not there; names are case-sensitive",
            "in `~/.aws/config` the section lacks the word `profile`: `[profile NAME]`",
            "both `source_profile` and `credential_source` are set",
            "`credential_source` is none of `Environment`, `Ec2InstanceMetadata`, `EcsContainer`",
        ],
        steps: &["see the names: `aws configure list-profiles`", DOCTOR],
    },
    Explanation {
        name: "The config profile could not be found",
        codes: &["ProfileNotFound", "SharedConfigProfileNotExist"],
        messages: &[
            "The config profile … could not be found",
            "failed to get shared config profile",
            "Could not resolve credentials using profile",
            "profile ` … ` was not defined",
            "profile ` … ` is not in `",
        ],
        within: Some(PROCESS),
        meaning: "No file that the program read has a profile of that name.",
        causes: &[
            "the name is misspelt; names are case-sensitive",
            "`AWS_PROFILE` holds an old name",
            "in `~/.aws/config` the section lacks the word `profile`: `[profile NAME]`",
            "the name has a space or a quote in it, and stands there without quotes: `[profile \"my name\"]`",
            "the program reads other files: another user (sudo, cron, a container), or `AWS_CONFIG_FILE`",
        ],
        steps: &[
            "see the names: `aws configure list-profiles`",
            DOCTOR,
            "or write the profile: `keyrole setup {profile}`",
        ],
    },
    Explanation {
        name: "You must specify a region",
        codes: &["NoRegion", "MissingRegion"],
        messages: &[
            "You must specify a region",
            "an AWS region is required",
            "Region is missing",
            "could not find region configuration",
            "Unable to load region from any of the providers",
            "Missing region in config",
            "Invalid AWS Region",
            "Invalid endpoint … ..amazonaws.com",
        ],
        within: Some(BAD_REGION),
        meaning: "The program knows no region, so it knows no address to send the request to.",
        causes: &[
            "the profile has no `region`; it is not inherited from `[default]` or the source profile",
            "another profile is used than you think",
        ],
        steps: &["set it: `aws configure set region eu-west-1 --profile {profile}`, or `AWS_REGION` for every profile"],
    },
    Explanation {
        name: BAD_REGION,
        codes: &["InvalidRegion", "UnknownEndpoint", "UnknownRegion"],
        messages: &[
            "doesn't match a supported format",
            "The AWS region … is invalid",
            "is not a valid region",
            "Invalid endpoint",
        ],
        within: None,
        meaning: "What is given as the region is not the name of one.",
        causes: &[
            "it is misspelt, or an availability zone (`eu-west-1a`) was given",
            "a comment or a space stands behind `region` in the file, and botocore takes it for a part of the value",
        ],
        steps: &["see where it comes from: `aws configure list --profile {profile}`", DOCTOR],
    },
    // SSO and console logins.
    Explanation {
        name: "No access with this SSO role",
        codes: &[],
        messages: &[
            "GetRoleCredentials … ForbiddenException",
            "GetRoleCredentials … No access",
            "ForbiddenException … GetRoleCredentials",
        ],
        within: None,
        meaning: "You are signed in to SSO, but you have not been given this role in this account.",
        causes: &[
            "`sso_account_id` or `sso_role_name` is wrong; role names are case-sensitive",
            "the assignment was taken away, or is not provisioned yet",
        ],
        steps: &["see what you were given in the access portal, and compare: `keyrole doctor {profile}`"],
    },
    Explanation {
        name: SSO_EXPIRED,
        codes: &["UnauthorizedSSOToken", "SSOTokenLoad", "SSOTokenProviderFailure", "InvalidGrant"],
        messages: &[
            "SSO session associated with this profile",
            "Token has expired and refresh failed",
            "Error loading SSO Token",
            "SSO session has expired",
            "cached SSO token is expired",
            "refresh cached SSO token failed",
            "failed to load the cached SSO token",
            "SSO token has expired",
            "To refresh this SSO session",
            "Session token not found or invalid",
        ],
        within: None,
        meaning: "You are not signed in to IAM Identity Center (SSO), or no longer.",
        causes: &[
            "the sign-in has ended, as it does after some hours",
            "you have never signed in on this machine, or as this user, with this `sso_session` or start URL",
            "`sso_start_url` or `sso_region` was changed, and the token is kept under the old one",
        ],
        steps: &[
            "sign in: `aws sso login --profile {profile}`, or with the source profile's name",
            "then retry: `keyrole login {profile}`",
        ],
    },
    Explanation {
        name: "LoginRefreshRequired",
        codes: &["LoginRefreshRequired", "LoginTokenLoad", "LoginInsufficientPermissions"],
        messages: &["Please reauthenticate using 'aws login'", "Your session has expired. Please reauthenticate"],
        within: None,
        meaning: "The sign-in that `aws login` made has ended, or cannot be renewed.",
        causes: &["the sign-in has ended, or you changed your password", "you may not call `signin:CreateOAuth2Token`"],
        steps: &["sign in: `aws login --profile {profile}`", "then retry: `keyrole login {profile}`"],
    },
    // The network.
    Explanation {
        name: "the instance metadata service gave no credentials",
        codes: &["MetadataRetrieval", "EC2RoleRequest", "InstanceMetadataServiceFailure"],
        messages: &[
            "no EC2 IMDS role found",
            "request to EC2 IMDS failed",
            "Error retrieving metadata",
            "169.254.169.254",
            "169.254.170.2",
            "retrieving credentials from container-role",
            "retrieving credentials from iam-role",
        ],
        within: Some(TIMED_OUT),
        meaning: "The SDK asked the metadata service that only EC2 instances have, mostly because it had found \
            credentials nowhere else.",
        causes: &[
            "the program uses no profile, or the profile has nothing that gives credentials; `AWS_PROFILE` is not set",
            "`credential_source` or keys are set for another profile than the one used",
            "the instance has no role, or a container is one hop too far for IMDSv2",
        ],
        steps: &[
            "name the profile: `export AWS_PROFILE={profile}`, or `profile` in Terraform's provider and backend",
            "see that it gives credentials: `keyrole login {profile}`",
            "on an instance: raise the hop limit, or give the instance a role",
        ],
    },
    Explanation {
        name: "CERTIFICATE_VERIFY_FAILED",
        codes: &[
            "SSLError",
            "CERTIFICATE_VERIFY_FAILED",
            "SELF_SIGNED_CERT_IN_CHAIN",
            "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
        ],
        messages: &[
            "SSL validation failed",
            "certificate verify failed",
            "certificate signed by unknown authority",
            "unable to get local issuer certificate",
            "self-signed certificate in certificate chain",
            "self signed certificate in certificate chain",
            "PKIX path building failed",
            "UnknownIssuer",
            "certificate is not trusted",
        ],
        within: Some(UNREACHABLE),
        meaning: "The server's certificate is not signed by anybody whom the program trusts.",
        causes: &[
            "a company's proxy inspects TLS and signs with a root of its own",
            "`ca_bundle`, `AWS_CA_BUNDLE` or `REQUESTS_CA_BUNDLE` names an old or wrong file",
            "the system's root certificates are old or missing, as in small containers",
        ],
        steps: &[
            "set `ca_bundle` in the profile, or `AWS_CA_BUNDLE`, to a file with the proxy's root certificate",
            DOCTOR,
        ],
    },
    Explanation {
        name: "the proxy does not work",
        codes: &["ProxyConnection"],
        messages: &[
            "Failed to connect to proxy URL",
            "Cannot connect to proxy",
            "Proxy Authentication Required",
            "Tunnel connection failed",
        ],
        within: Some(UNREACHABLE),
        meaning: "The request was to go through a proxy, and the proxy could not be reached or refused.",
        causes: &[
            "`HTTPS_PROXY` names a proxy that is not reachable from here, such as off the company's network",
            "the proxy wants a name and a password",
            "the endpoint should be in `NO_PROXY`",
        ],
        steps: &["see what is set: `env | grep -i proxy`", DOCTOR],
    },
    Explanation {
        name: "Could not resolve host",
        codes: &["ENOTFOUND", "EAI_AGAIN", "NameResolution", "UnknownHost"],
        messages: &[
            "Could not resolve host",
            "Name or service not known",
            "no such host",
            "getaddrinfo",
            "nodename nor servname",
            "failed to lookup address information",
            "the host name is not known",
        ],
        within: Some(UNREACHABLE),
        meaning: "The name of the endpoint has no address.",
        causes: &[
            "there is no network, or its name server does not answer (VPN)",
            "`region` or `endpoint_url` is misspelt, so the name does not exist",
            "the service does not exist in that region",
        ],
        steps: &["see the region in use: `aws configure list --profile {profile}`", DOCTOR],
    },
    Explanation {
        name: TIMED_OUT,
        codes: &["ReadTimeout", "ConnectTimeout", "ETIMEDOUT"],
        messages: &[
            "Read timeout on endpoint",
            "Connect timeout on endpoint",
            "i/o timeout",
            "context deadline exceeded",
            "TLS handshake timeout",
        ],
        within: Some(UNREACHABLE),
        meaning: "The connection was not made, or nothing came back, in the time that the program waits.",
        causes: &[
            "a firewall or a VPN drops the packets without a word",
            "a private subnet has no NAT and no VPC endpoint for the service",
            "the call itself takes longer than the program waits",
        ],
        steps: &["see whether AWS can be reached at all: `curl -sv https://sts.amazonaws.com`", DOCTOR],
    },
    Explanation {
        name: UNREACHABLE,
        codes: &["EndpointConnection", "ECONNREFUSED", "ECONNRESET", "ConnectionClosed"],
        messages: &[
            "Could not connect to the endpoint URL",
            "Connection was closed before we received a valid response",
            "connection refused",
            "cannot reach STS",
            "cannot reach the sign-in service",
        ],
        within: None,
        meaning: "No connection to the service could be made.",
        causes: &[
            "there is no network, or a VPN or firewall is in the way",
            "`region` is misspelt, or the service does not exist there",
            "`endpoint_url` or `AWS_ENDPOINT_URL` still points to a local stand-in",
            "a proxy is needed, and `HTTPS_PROXY` is not set",
        ],
        steps: &["see the region in use: `aws configure list --profile {profile}`", DOCTOR],
    },
    // Codes that say little by themselves.
    Explanation {
        name: "Throttling",
        codes: &[
            "Throttling",
            "RequestLimitExceeded",
            "TooManyRequests",
            "SlowDown",
            "RequestThrottled",
            "ProvisionedThroughputExceeded",
        ],
        messages: &["Rate exceeded"],
        within: None,
        meaning: "The account made more calls in a short time than AWS allows. Nothing is wrong with the credentials.",
        causes: &[
            "a loop or many processes call the same API at once",
            "many programs each get sessions of their own; with keyrole they share one",
        ],
        steps: &[
            "wait a little, then retry",
            "let the SDK wait by itself: `AWS_RETRY_MODE=adaptive` and a higher `AWS_MAX_ATTEMPTS`",
        ],
    },
    Explanation {
        name: "a fault of AWS",
        codes: &["InternalFailure", "InternalError", "ServiceUnavailable", "InternalServerError", "ServiceFailure"],
        messages: &[],
        within: None,
        meaning: "AWS failed on its side. Nothing is wrong with the credentials.",
        causes: &["a passing fault of the service", "an outage in the region"],
        steps: &["retry in a minute", "see https://health.aws.amazon.com", "try another `region` for STS"],
    },
    Explanation {
        name: "UnauthorizedOperation",
        codes: &["UnauthorizedOperation"],
        messages: &["You are not authorized to perform this operation"],
        within: None,
        meaning: "EC2 knows who you are and does not let you do this.",
        causes: &[
            "the role's policies do not allow the action",
            "you are another role, or in another account, than you think",
            "a policy of the organization forbids it",
        ],
        steps: &[
            WHO_AM_I,
            "read the encoded message: `aws sts decode-authorization-message --encoded-message TEXT --profile \
                {profile}`",
        ],
    },
    Explanation {
        name: "InvalidAction",
        codes: &["InvalidAction", "UnknownOperation"],
        messages: &["Could not find operation"],
        within: None,
        meaning: "The service that answered does not know the operation.",
        causes: &[
            "`endpoint_url` or `AWS_ENDPOINT_URL` sends the request to another service",
            "the SDK is newer than the stand-in it talks to, or much older than the service",
        ],
        steps: &["check `endpoint_url` and `services` of the profile: `keyrole doctor {profile}`"],
    },
    Explanation {
        name: VALIDATION,
        codes: &["ValidationError", "ValidationException"],
        messages: &["validation error detected: Value", "validation errors detected: Value"],
        within: None,
        meaning: "A value in the request has a form that AWS does not accept; the message names it.",
        causes: &[
            "`role_arn` or `mfa_serial` is not a whole ARN",
            "`role_session_name`, `external_id` or a tag has characters or a length that are not allowed",
            "the MFA code has not six digits",
        ],
        steps: &["see what the profile holds: `keyrole doctor {profile}`"],
    },
    Explanation {
        name: ACCESS_DENIED,
        codes: &["AccessDenied", "NotAuthorized"],
        messages: &[
            "is not authorized to perform",
            "(403) when calling the HeadObject",
            "(403) when calling the HeadBucket",
        ],
        within: None,
        meaning: "AWS knows who you are and does not let you do this.",
        causes: &[
            "the role's policies do not allow the action on this resource",
            "you are another role, or in another account, than you think",
            "the resource's own policy (a bucket's, a key's) does not name the role, or wants MFA",
            "a policy of the organization, a permissions boundary or a session policy forbids it",
        ],
        steps: &[WHO_AM_I, "compare role and account with what you meant: `keyrole doctor {profile}`"],
    },
    // What says only that something inside it failed.
    Explanation {
        name: "the credential_process was not found",
        codes: &[],
        messages: &[
            "No such file or directory: ' … keyrole",
            "keyrole: not found",
            "keyrole: command not found",
            "keyrole: No such file or directory",
            "keyrole: inaccessible or not found",
            "credential_process … exit status 127",
            "custom-process … not found",
            "The system cannot find the file specified … keyrole",
        ],
        within: Some(PROCESS),
        meaning: "The program that `credential_process` names is not there, or not for the one who runs it.",
        causes: &[
            "the line has no absolute path, and the caller's `PATH` lacks the directory",
            "the path begins with `~` or `$HOME`, which not every SDK expands",
            "the path has a space, or quotes that a shell or an SDK takes for a part of it",
            "the program was moved, or the caller runs in a container",
        ],
        steps: &["write the absolute path, without quotes: `command -v keyrole`", DOCTOR],
    },
    Explanation {
        name: "the credential_process printed no credentials",
        codes: &[],
        messages: &[
            "for credential process provider, supported versions",
            "Error when retrieving credentials from custom-process: Missing required key",
            "Expecting value: line 1 column 1",
            "parse failed of process output",
            "external process, could not parse response",
            "Profile … credential_process returned invalid JSON",
        ],
        within: Some(PROCESS),
        meaning: "The helper ran, but what it printed is not the JSON document that SDKs expect.",
        causes: &[
            "the helper, or a wrapper around it, prints other text on stdout",
            "the helper failed without saying so by its exit code",
            "`Version` is not the number 1",
        ],
        steps: &["run the line by hand and look at what it prints, but show it to nobody", DOCTOR],
    },
    Explanation {
        name: PROCESS,
        codes: &["CredentialRetrieval"],
        messages: &[
            "Error when retrieving credentials from custom-process",
            "error in credential_process",
            "process provider error",
            "process-based credentials",
            "credentials from external process",
            "external process exited with code",
            "ProcessProviderExecutionError",
            "Command returned non-zero exit value",
        ],
        within: None,
        meaning: "The helper that the profile's `credential_process` names failed. The reason is in what the helper \
            itself said, which some SDKs do not show.",
        causes: &[
            "a person is needed: the MFA session is over, and the SDK's helper could not ask",
            "AWS refused the role",
            "the helper is not installed where the profile says",
        ],
        steps: &["let the helper say it here: `keyrole login {profile}`", DOCTOR],
    },
    Explanation {
        name: "Unable to locate credentials",
        codes: &[
            "NoCredentials",
            "NoCredentialProviders",
            "CredentialsProviderError",
            "CredentialsNotLoaded",
            "MissingCredentials",
        ],
        messages: &[
            "Unable to locate credentials",
            "no valid providers in chain",
            "No valid credential sources",
            "Could not load credentials from any providers",
            "Unable to load credentials from any of the providers",
            "Unable to load AWS credentials from any provider",
            "Missing credentials in config",
            "no providers in chain provided credentials",
            "credential provider was not enabled",
            "failed to refresh cached credentials",
            "failed to retrieve credentials",
            "unable to sign request without credentials set",
            "did not contain credential information",
            "static credentials are empty",
        ],
        within: None,
        meaning: "The program looked everywhere an SDK looks and found no credentials.",
        causes: &[
            "no profile was named: `AWS_PROFILE` is not set, and there is no `[default]`",
            "the profile has nothing that gives credentials, only `region` or `output`",
            "the program runs as another user, or in a container, without `~/.aws`",
            "the profile's `credential_process` failed, and the SDK did not pass on why",
        ],
        steps: &[
            "name the profile: `export AWS_PROFILE={profile}`",
            "see that it gives credentials: `keyrole login {profile}`",
            DOCTOR,
        ],
    },
];
