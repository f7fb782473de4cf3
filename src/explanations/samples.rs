//! Owns what each error looks like where people meet it, and checks that it is recognised. Only tests have it.

use super::*;
use crate::commands::explain::{plain, recognise};
use std::collections::HashSet;

/// What each error looks like where people meet it, in the words of several SDKs; by the entry's name.
const SAMPLES: &[(&str, &[&str])] = &[
    (
        "keyrole needs an MFA code",
        &[
            "Error when retrieving credentials from custom-process: keyrole: error: profile `prod` needs an MFA \
             code, but there is no terminal to ask on\nkeyrole: hint: run `keyrole login prod` in a terminal",
            "keyrole: error: profile `prod` needs an MFA code, but it was told not to ask",
        ],
    ),
    (
        "keyrole did not wait any longer",
        &["keyrole: error: did not wait any longer for keyrole (pid 12), asking for an MFA code since 2026-11-20"],
    ),
    (
        "nobody gave the MFA code",
        &[
            "Error when retrieving credentials from custom-process: keyrole: error: the prompt for the MFA code was \
             closed (end of input)\nkeyrole: hint: run the command again and type the code",
            "the prompt for the MFA code was cancelled",
            "nobody gave the MFA code within 300 s",
        ],
    ),
    (
        "mfa_process gave no code",
        &["keyrole: error: `mfa_process` of profile `prod` failed (exit status: 1)\nkeyrole: hint: run its command"],
    ),
    ("no valid session is cached", &["keyrole: error: no valid session is cached"]),
    (
        "a value in the profile that AWS does not take",
        &[
            "keyrole: error: profile `prod`: `role_arn` in `/home/me/.aws/config` line 4: `arn:aws:iam::1` is not a \
             role's ARN: it has the form arn:aws:iam::123456789012:role/NAME",
            "`mfa_serial` in `/c` line 2: `arn:aws:iam::1:mfa` is not an MFA device's ARN, which has the form",
            "`duration_seconds` in `/c` line 2: `1h` is not a whole number of seconds from 900 to 43200",
        ],
    ),
    (
        "the store `file` has no key",
        &["the store `file` has no key: neither `KEYROLE_FILE_KEY_FILE` nor `KEYROLE_FILE_KEY` is set"],
    ),
    (
        "a file cannot be read",
        &[
            "cannot read `/home/me/.aws/config`: Permission denied (os error 13)",
            "keyrole: error: cannot read `/nowhere`: it does not exist\nkeyrole: hint: the path comes from",
        ],
    ),
    (
        "the profile needs itself",
        &[
            "keyrole: error: profile `prod`: `credential_process` in `/c` line 2: it is keyrole itself: `prod` → `prod`",
            "keyrole: error: profile `a` in `/c`: `source_profile` runs in a circle: `a` → `b` → `a`",
            "keyrole: error: profile `prod` needs itself: `prod` → `base` → `prod`",
            "botocore.exceptions.InfiniteLoopConfigError: Infinite loop in credential configuration detected. \
             Attempting to load from profile a which has already been visited. Visited profiles: ['a', 'b']",
            "ProfileFile(ProfileFile(CredentialLoop)): profiles formed an infinite loop. first we loaded a",
        ],
    ),
    ("this MFA code was already used", &["keyrole: error: this MFA code was already used; the next one comes in 12 s"]),
    ("the answer did not come from STS", &["keyrole: error: GetSessionToken: the answer did not come from STS"]),
    ("no session can be kept here", &["keyrole: error: no session can be kept here: the kernel keyring is blocked"]),
    (
        "the MFA code was not accepted",
        &[
            "An error occurred (AccessDenied) when calling the AssumeRole operation: MultiFactorAuthentication \
             failed with invalid MFA one time pass code. ",
            "operation error STS: GetSessionToken, https response error StatusCode: 403, RequestID: 1, api error \
             AccessDenied: MultiFactorAuthentication failed with invalid MFA one time pass code. ",
        ],
    ),
    (
        "both MFA serial and code are needed",
        &["AccessDenied: MultiFactorAuthentication failed, must provide both MFA serial number and one time pass \
           code."],
    ),
    (
        MFA_FAILED,
        &["An error occurred (AccessDenied) when calling the GetSessionToken operation: \
           MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial number \
           is valid and associated with this user."],
    ),
    (
        "Cannot refresh credentials: MFA token required",
        &["botocore.exceptions.RefreshWithMFAUnsupportedError: Cannot refresh credentials: MFA token required."],
    ),
    (
        "Cannot call GetSessionToken with session credentials",
        &[
            "An error occurred (AccessDenied) when calling the GetSessionToken operation: Cannot call \
             GetSessionToken with session credentials",
            "Cannot call GetFederationToken with session credentials (Service: AWSSecurityTokenService; Status \
             Code: 403; Error Code: AccessDenied; Request ID: 1)",
        ],
    ),
    (
        "denied by the organization",
        &["An error occurred (AccessDenied) when calling the AssumeRole operation: User: \
           arn:aws:iam::111122223333:user/me is not authorized to perform: sts:AssumeRole on resource: \
           arn:aws:iam::444455556666:role/Admin with an explicit deny in a service control policy"],
    ),
    (
        "denied by a session policy",
        &["User: arn:aws:sts::444455556666:assumed-role/Admin/me is not authorized to perform: s3:ListAllMyBuckets \
           because no session policy allows the s3:ListAllMyBuckets action"],
    ),
    (
        "denied by a permissions boundary",
        &["AccessDeniedException: User: arn:aws:iam::111122223333:user/me is not authorized to perform: \
           secretsmanager:GetSecretValue on resource: x because no permissions boundary allows the \
           secretsmanager:GetSecretValue action"],
    ),
    (
        EXPLICIT_DENY,
        &["An error occurred (AccessDenied) when calling the ListRoles operation: User: \
           arn:aws:iam::111122223333:user/me is not authorized to perform: iam:ListRoles on resource: * with an \
           explicit deny in an identity-based policy"],
    ),
    (
        "not allowed to tag the session or to set its source identity",
        &["User: arn:aws:iam::111122223333:user/me is not authorized to perform: sts:TagSession on resource: \
           arn:aws:iam::444455556666:role/Admin"],
    ),
    (
        "not authorized to perform sts:AssumeRoleWithWebIdentity",
        &["Error: Could not assume role with OIDC: Not authorized to perform sts:AssumeRoleWithWebIdentity"],
    ),
    (
        "not authorized to perform sts:AssumeRoleWithSAML",
        &["Error: Not authorized to perform sts:AssumeRoleWithSAML (Service: AWSSecurityTokenService; Status \
           Code: 403; Error Code: AccessDenied; Request ID: 1)"],
    ),
    (
        "Roles may not be assumed by root accounts",
        &["An error occurred (AccessDenied) when calling the AssumeRole operation: Roles may not be assumed by \
           root accounts."],
    ),
    (
        "the caller's policies do not allow sts:AssumeRole",
        &["User: arn:aws:iam::111122223333:user/me is not authorized to perform: sts:AssumeRole on resource: \
           arn:aws:iam::111122223333:role/Admin because no identity-based policy allows the sts:AssumeRole action"],
    ),
    (
        "the role's trust policy does not allow this caller",
        &["User: arn:aws:iam::111122223333:user/me is not authorized to perform: sts:AssumeRole because no role \
           trust policy allows the sts:AssumeRole action"],
    ),
    (
        ASSUME_ROLE,
        &[
            "An error occurred (AccessDenied) when calling the AssumeRole operation: User: \
             arn:aws:iam::111122223333:user/me is not authorized to perform: sts:AssumeRole on resource: \
             arn:aws:iam::444455556666:role/Admin",
            "╷\n│ Error: Cannot assume IAM Role\n│ \n│   with provider[\"registry.terraform.io/hashicorp/aws\"],\n│ \
             \n│ Error: operation error STS: AssumeRole, https response error\n│ StatusCode: 403, RequestID: 1, api \
             error AccessDenied: User:\n│ arn:aws:iam::111122223333:user/me is not authorized\n│ to perform: \
             sts:AssumeRole on resource: arn:aws:iam::444455556666:role/Admin\n╵",
        ],
    ),
    (
        "AccessDenied for a KMS key",
        &["An error occurred (AccessDenied) when calling the GetObject operation: User: \
           arn:aws:sts::444455556666:assumed-role/Admin/me is not authorized to perform: kms:Decrypt on resource: \
           arn:aws:kms:eu-west-1:444455556666:key/1 because no identity-based policy allows the kms:Decrypt action"],
    ),
    (
        "the one-hour limit of role chaining",
        &["An error occurred (ValidationError) when calling the AssumeRole operation: The requested \
           DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."],
    ),
    (
        "DurationSeconds exceeds the MaxSessionDuration",
        &["ValidationError: The requested DurationSeconds exceeds the MaxSessionDuration set for this role.\n\
           \tstatus code: 400, request id: 1"],
    ),
    (
        "DurationSeconds out of range",
        &["An error occurred (ValidationError) when calling the AssumeRole operation: 1 validation error detected: \
           Value '60' at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or \
           equal to 900"],
    ),
    (
        "PackedPolicyTooLarge",
        &["An error occurred (PackedPolicyTooLarge) when calling the AssumeRole operation: Packed size of session \
           tags consumes 155% of allotted space."],
    ),
    (
        "MalformedPolicyDocument",
        &["com.amazonaws.services.securitytoken.model.MalformedPolicyDocumentException: Syntax errors in policy."],
    ),
    (
        "RegionDisabledException",
        &["An error occurred (RegionDisabledException) when calling the AssumeRole operation: STS is not activated \
           in this region for account:111122223333. Your account administrator can activate STS in this region."],
    ),
    (
        "the web identity token has expired",
        &["An error occurred (ExpiredTokenException) when calling the AssumeRoleWithWebIdentity operation: Token \
           expired: current date/time 1700000000 must be before the expiration date/time1699999999"],
    ),
    ("IDPRejectedClaim", &["IDPRejectedClaim: The identity provider (IdP) reported that authentication failed."]),
    (
        "IDPCommunicationError",
        &["An error occurred (IDPCommunicationError) when calling the AssumeRoleWithWebIdentity operation: Error \
           communicating with IDP"],
    ),
    (
        "InvalidIdentityToken",
        &["An error occurred (InvalidIdentityToken) when calling the AssumeRoleWithWebIdentity operation: No \
           OpenIDConnect provider found in your account for https://token.actions.githubusercontent.com"],
    ),
    (
        "the clock is wrong",
        &[
            "An error occurred (SignatureDoesNotMatch) when calling the GetCallerIdentity operation: Signature \
             expired: 20261120T100000Z is now earlier than 20261120T101500Z (20261120T102000Z - 5 min.)",
            "An error occurred (InvalidSignatureException) when calling the ListTables operation: Signature not yet \
             current: 20261120T103000Z is still later than 20261120T102500Z (20261120T102000Z + 5 min.)",
            "<Error><Code>RequestTimeTooSkewed</Code><Message>The difference between the request time and the \
             current time is too large.</Message><RequestTime>20261120T100000Z</RequestTime></Error>",
            "keyrole: error: GetSessionToken: the session ends at 2026-11-20T10:00:00Z, which is over by this \
             machine's clock",
        ],
    ),
    (
        "RequestExpired",
        &[
            "An error occurred (RequestExpired) when calling the DescribeInstances operation: Request has expired.",
            "<Error><Code>AccessDenied</Code><Message>Request has expired</Message><Expires>2026</Expires></Error>",
        ],
    ),
    (
        "AuthorizationHeaderMalformed",
        &["An error occurred (AuthorizationHeaderMalformed) when calling the ListBuckets operation: The \
           authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-west-1'"],
    ),
    (
        "IllegalLocationConstraintException",
        &["An error occurred (IllegalLocationConstraintException) when calling the CreateBucket operation: The \
           unspecified location constraint is incompatible for the region specific endpoint this request was sent \
           to."],
    ),
    (
        "Credentials were refreshed, but the refreshed credentials are still expired",
        &["RuntimeError: Credentials were refreshed, but the refreshed credentials are still expired."],
    ),
    (
        EXPIRED_TOKEN,
        &[
            "ExpiredToken",
            "expiredtokenexception",
            "An error occurred (ExpiredToken) when calling the ListBuckets operation: The provided token has \
             expired.",
            "{\"__type\":\"com.amazon.coral.service#ExpiredTokenException\",\"message\":\"The security token \
             included in the request is expired\"}",
            "ExpiredTokenException: The security token included in the request is expired\n    at \
             throwDefaultError (/app/node_modules/x.js:8:22) {\n  name: 'ExpiredTokenException',\n  '$fault': \
             'client',\n}",
            "software.amazon.awssdk.services.sts.model.StsException: The security token included in the request is \
             expired (Service: Sts, Status Code: 403, Request ID: 1, Error Code: ExpiredToken)",
            "unhandled error (ExpiredToken): Error { code: \"ExpiredToken\", message: \"The security token included \
             in the request is expired\" }",
        ],
    ),
    (
        "InvalidToken",
        &[
            "An error occurred (InvalidToken) when calling the ListBuckets operation: The provided token is \
             malformed or otherwise invalid.",
            "Token provided is malformed",
        ],
    ),
    (
        "InvalidClientTokenId",
        &[
            "An error occurred (InvalidClientTokenId) when calling the GetCallerIdentity operation: The security \
             token included in the request is invalid.",
            "UnrecognizedClientException: The security token included in the request is invalid.",
            "<ErrorResponse><Error><Type>Sender</Type><Code>InvalidClientTokenId</Code></Error></ErrorResponse>",
        ],
    ),
    (
        "InvalidAccessKeyId",
        &["An error occurred (InvalidAccessKeyId) when calling the ListBuckets operation: The AWS Access Key Id \
           you provided does not exist in our records."],
    ),
    (
        SIGNATURE,
        &[
            "An error occurred (SignatureDoesNotMatch) when calling the GetCallerIdentity operation: The request \
             signature we calculated does not match the signature you provided. Check your AWS Secret Access Key \
             and signing method. Consult the service documentation for details.",
            "An error occurred (InvalidSignatureException) when calling the ListTables operation: bad",
        ],
    ),
    (
        "IncompleteSignature",
        &["An error occurred (IncompleteSignature) when calling the GetCallerIdentity operation: Authorization \
           header requires 'Signature' parameter."],
    ),
    (
        "MissingAuthenticationToken",
        &[
            "MissingAuthenticationToken: Request is missing Authentication Token",
            "{\"message\":\"Missing Authentication Token\"}",
        ],
    ),
    (
        "AuthFailure",
        &["An error occurred (AuthFailure) when calling the DescribeInstances operation: AWS was not able to \
           validate the provided access credentials"],
    ),
    (
        "OptInRequired",
        &["An error occurred (OptInRequired) when calling the DescribeInstances operation: You are not subscribed \
           to this service. Please go to http://aws.amazon.com to subscribe."],
    ),
    ("ConfigParseError", &["botocore.exceptions.ConfigParseError: Unable to parse config file: /home/me/.aws/config"]),
    (
        "role_arn without a source",
        &["Partial credentials found in assume-role, missing: source_profile or credential_source"],
    ),
    (
        PARTIAL,
        &["botocore.exceptions.PartialCredentialsError: Partial credentials found in env, missing: \
           AWS_SECRET_ACCESS_KEY"],
    ),
    (
        "the source profile cannot be used",
        &[
            "The source_profile \"base\" referenced in the profile \"prod\" does not exist.",
            "botocore.exceptions.InvalidConfigError: The profile \"prod\" contains both source_profile and \
             credential_source.",
        ],
    ),
    (
        "The config profile could not be found",
        &[
            "The config profile (prod) could not be found",
            "failed to get shared config profile, prod",
            "CredentialsProviderError: Could not resolve credentials using profile: [prod] in \
             configuration/credentials file(s).",
            "profile `prod` was not defined: could not find source profile prod",
            "keyrole: error: profile `prod` is not in `/home/me/.aws/config`",
        ],
    ),
    (
        "You must specify a region",
        &[
            "You must specify a region. You can also configure your region by running \"aws configure\".",
            "botocore.exceptions.NoRegionError: You must specify a region.",
            "Error: Region is missing",
            "Invalid endpoint: https://ec2..amazonaws.com",
            "failed to resolve service endpoint, an AWS region is required, but was not found",
        ],
    ),
    (
        BAD_REGION,
        &[
            "Provided region_name 'eu west 1' doesn't match a supported format.",
            "ValueError: Invalid endpoint: https://sts.eu west 1.amazonaws.com",
        ],
    ),
    (
        "No access with this SSO role",
        &["An error occurred (ForbiddenException) when calling the GetRoleCredentials operation: No access"],
    ),
    (
        SSO_EXPIRED,
        &[
            "The SSO session associated with this profile has expired or is otherwise invalid. To refresh this SSO \
             session run aws sso login with the corresponding profile.",
            "Error when retrieving token from sso: Token has expired and refresh failed",
            "failed to refresh cached credentials, refresh cached SSO token failed, unable to refresh SSO token, \
             operation error SSO OIDC: CreateToken, https response error StatusCode: 400, InvalidGrantException: ",
            "Error loading SSO Token: Token for https://example.awsapps.com/start does not exist",
        ],
    ),
    (
        "LoginRefreshRequired",
        &["Your session has expired or credentials have changed. Please reauthenticate using 'aws login'."],
    ),
    (
        "the instance metadata service gave no credentials",
        &[
            "Error: No valid credential sources found\n\nError: failed to refresh cached credentials, no EC2 IMDS \
             role found, operation error ec2imds: GetMetadata, request send failed, Get \
             \"http://169.254.169.254/latest/meta-data/iam/security-credentials/\": dial tcp 169.254.169.254:80: i/o \
             timeout",
            "Error when retrieving credentials from Ec2InstanceMetadata: No credentials found in credential_source \
             referenced in profile prod. Error retrieving metadata: Received error when attempting to retrieve",
        ],
    ),
    (
        "CERTIFICATE_VERIFY_FAILED",
        &[
            "SSL validation failed for https://sts.eu-west-1.amazonaws.com/ [SSL: CERTIFICATE_VERIFY_FAILED] \
             certificate verify failed: unable to get local issuer certificate (_ssl.c:1006)",
            "tls: failed to verify certificate: x509: certificate signed by unknown authority",
            "javax.net.ssl.SSLHandshakeException: PKIX path building failed",
        ],
    ),
    (
        "the proxy does not work",
        &["botocore.exceptions.ProxyConnectionError: Failed to connect to proxy URL: \"http://127.0.0.1:3128\""],
    ),
    (
        "Could not resolve host",
        &[
            "curl: (6) Could not resolve host: sts.eu-wset-1.amazonaws.com",
            "Error: getaddrinfo ENOTFOUND sts.eu-wset-1.amazonaws.com",
            "dial tcp: lookup sts.eu-wset-1.amazonaws.com: no such host",
        ],
    ),
    (TIMED_OUT, &["Connect timeout on endpoint URL: \"https://sts.eu-west-1.amazonaws.com/\""]),
    (
        UNREACHABLE,
        &[
            "Could not connect to the endpoint URL: \"https://sts.eu-wset-1.amazonaws.com/\"",
            "keyrole: error: cannot reach STS in `eu-west-1`: Network is unreachable (os error 101)",
        ],
    ),
    (
        "Throttling",
        &[
            "An error occurred (Throttling) when calling the AssumeRole operation (reached max retries: 4): Rate \
             exceeded",
            "An error occurred (RequestLimitExceeded) when calling the DescribeInstances operation: Request limit \
             exceeded.",
        ],
    ),
    (
        "a fault of AWS",
        &["An error occurred (InternalFailure) when calling the GetCallerIdentity operation (reached max retries: \
           4): The request processing has failed because of an unknown error, exception or failure."],
    ),
    (
        "UnauthorizedOperation",
        &["An error occurred (UnauthorizedOperation) when calling the RunInstances operation: You are not \
           authorized to perform this operation. Encoded authorization failure message: 4tl-"],
    ),
    (
        "InvalidAction",
        &["An error occurred (InvalidAction) when calling the ListUsers operation: Could not find operation \
           ListUsers for version 2010-05-08"],
    ),
    (
        VALIDATION,
        &["An error occurred (ValidationError) when calling the AssumeRole operation: 1 validation error detected: \
           Value 'Admin' at 'roleArn' failed to satisfy constraint: Member must have length greater than or equal \
           to 20"],
    ),
    (
        ACCESS_DENIED,
        &[
            "An error occurred (AccessDenied) when calling the ListBuckets operation: Access Denied",
            "An error occurred (AccessDeniedException) when calling the ListSecrets operation: User: \
             arn:aws:sts::444455556666:assumed-role/Admin/me is not authorized to perform: \
             secretsmanager:ListSecrets because no identity-based policy allows the secretsmanager:ListSecrets \
             action",
        ],
    ),
    (
        "the credential_process was not found",
        &[
            "[Errno 2] No such file or directory: '/home/me/.local/bin/keyrole'",
            "sh: 1: keyrole: not found",
            "error in credential_process: exit status 127",
        ],
    ),
    (
        "the credential_process printed no credentials",
        &[
            "Error when retrieving credentials from custom-process: Version '2' not supported for credential \
             process provider, supported versions: [1]",
            "json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)",
        ],
    ),
    (
        PROCESS,
        &[
            "Error when retrieving credentials from custom-process: something of its own",
            "process provider error: error in credential_process: exit status 1",
            "Error retrieving credentials: external process exited with code exit status: 1. Stderr: ",
        ],
    ),
    (
        "Unable to locate credentials",
        &[
            "Unable to locate credentials. You can configure credentials by running \"aws configure\".",
            "botocore.exceptions.NoCredentialsError: Unable to locate credentials",
            "NoCredentialProviders: no valid providers in chain. Deprecated.",
            "CredentialsProviderError: Could not load credentials from any providers",
            "Unable to load credentials from any of the providers in the chain AwsCredentialsProviderChain(\
             credentialsProviders=[SystemPropertyCredentialsProvider(), InstanceProfileCredentialsProvider()])",
            "dispatch failure: other: the credential provider was not enabled: no providers in chain provided \
             credentials",
        ],
    ),
];

fn names(text: &str) -> Vec<&'static str> {
    recognise(&plain(text)).iter().map(|explanation| explanation.name).collect()
}

#[test]
fn each_sample_is_recognised_as_its_own_error_and_as_no_other() {
    for (name, samples) in SAMPLES {
        assert!(!samples.is_empty(), "{name}");
        for sample in *samples {
            assert_eq!(names(sample), [*name], "{sample}");
        }
    }
}

#[test]
fn every_error_has_a_sample_a_cause_and_a_step() {
    let sampled: HashSet<_> = SAMPLES.iter().map(|(name, _)| *name).collect();
    for explanation in EXPLANATIONS {
        assert!(sampled.contains(explanation.name), "{} has no sample", explanation.name);
        assert!(!explanation.meaning.is_empty() && !explanation.causes.is_empty(), "{}", explanation.name);
        assert!(!explanation.steps.is_empty(), "{}", explanation.name);
    }
    assert_eq!(sampled.len(), EXPLANATIONS.len(), "a name is there twice, or has no entry");
}

#[test]
fn each_code_alone_is_recognised() {
    for explanation in EXPLANATIONS {
        for code in explanation.codes {
            for text in [code.to_string(), code.to_lowercase(), format!("x.{code}Exception: y")] {
                assert!(names(&text).contains(&explanation.name), "{text}");
            }
        }
    }
}

#[test]
fn what_is_broader_is_in_the_table_and_further_down() {
    let place = |name: &str| EXPLANATIONS.iter().position(|explanation| explanation.name == name);
    for explanation in EXPLANATIONS {
        if let Some(broader) = explanation.within {
            assert!(place(explanation.name) < place(broader), "{} within {broader}", explanation.name);
        }
    }
}

#[test]
fn backticks_come_in_pairs() {
    for explanation in EXPLANATIONS {
        let texts = explanation.causes.iter().chain(explanation.steps).chain([&explanation.meaning]);
        for text in texts {
            assert_eq!(text.matches('`').count() % 2, 0, "{text}");
        }
    }
}
