//! `keyrole explain` recognises what real clients print when real services refuse them.

use crate::clients::{Moto, boto3, cli_v1, cli_v2};
use crate::support::sts::{
    ADMIN, CLOSED, DEPLOY, Fault, MFA_SERIAL, PARTNER, READER, SECRET_ACCESS_KEY, Sts, WEB_IDENTITY,
};
use crate::support::{Home, KEYROLE, Output, Run};
use std::net::TcpListener;

/// A boto3 program that asks the STS at its first argument who it is, and ends with a traceback.
const WHO_AM_I: &str = "import boto3, sys\nboto3.client('sts', endpoint_url=sys.argv[1]).get_caller_identity()";

/// Variables for a client.
type Env<'a> = &'a [(&'a str, &'a str)];

fn with(run: Run, env: Env) -> Run {
    // Nobody waits for the metadata service of an EC2 instance.
    let run = run.env("AWS_EC2_METADATA_DISABLED", "true").env("AWS_DEFAULT_REGION", "eu-west-1");
    let run = run.env("AWS_MAX_ATTEMPTS", "1");
    env.iter().fold(run, |run, (name, value)| run.env(*name, *value))
}

/// The AWS CLI in both versions with the same arguments.
fn cli(home: &Home, arguments: &[&str], env: Env) -> [Run; 2] {
    [cli_v1(), cli_v2()].map(|cli| with(home.run(cli, arguments), env))
}

/// `get-caller-identity` in every client.
fn who_am_i(home: &Home, env: Env) -> [Run; 3] {
    let url = home.sts.url();
    let [v1, v2] = cli(home, &["sts", "get-caller-identity", "--endpoint-url", &url], env);
    [v1, v2, with(boto3(home, WHO_AM_I, &[&url]), env)]
}

/// `assume-role` with more arguments in both versions of the AWS CLI.
fn assume_role(home: &Home, role: &str, more: &[&str], env: Env) -> [Run; 2] {
    let url = home.sts.url();
    let arguments =
        ["sts", "assume-role", "--endpoint-url", &url, "--role-session-name", "test", "--role-arn", role, "--profile"];
    cli(home, &[&arguments[..], &["base"], more].concat(), env)
}

/// Pipes a text into `keyrole explain -`.
fn explain(home: &Home, text: impl AsRef<[u8]>) -> Output {
    let path = home.path().join("pasted");
    std::fs::write(&path, text).expect("a file");
    home.run("sh", ["-c".as_ref(), r#"exec "$0" explain - < "$1""#.as_ref(), KEYROLE.as_ref(), path.as_os_str()])
        .output()
}

/// Lets clients fail, and checks what their whole output is explained as.
#[track_caller]
fn assert_explained(home: &Home, clients: impl IntoIterator<Item = Run>, name: &str, parts: &[&str]) {
    for client in clients {
        let failure = client.output();
        assert_ne!(failure.code, 0, "{failure:?}");
        let output = explain(home, failure.stdout + &failure.stderr);
        let said = &failure.stderr;
        assert_eq!((output.code, output.stderr.as_str()), (0, ""), "of {said:?}");
        assert!(output.stdout.starts_with(&format!("{name}: ")), "{said:?} is explained as {}", output.stdout);
        let unwrapped = output.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in ["likely causes: 1. ", "what to do: - "].iter().chain(parts) {
            assert!(unwrapped.contains(part), "no {part:?} in {}", output.stdout);
        }
    }
}

/// A port that nobody listens on.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

#[test]
fn keys_and_tokens_that_sts_refuses() {
    let home = Home::new();
    let keys = |id, secret| [("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", secret)];
    let unknown = keys("AKIANOBODYKNOWSTHIS1", SECRET_ACCESS_KEY);
    assert_explained(&home, who_am_i(&home, &unknown), "InvalidClientTokenId", &["`unset AWS_ACCESS_KEY_ID "]);
    let wrong = keys(&home.access_key_id, "wrong");
    assert_explained(&home, who_am_i(&home, &wrong), "SignatureDoesNotMatch", &["copy the access key ID"]);
    let broken = keys("AKIA/WITH/SLASHES", SECRET_ACCESS_KEY);
    assert_explained(
        &home,
        who_am_i(&home, &broken),
        "IncompleteSignature",
        &["`aws configure list --profile PROFILE`"],
    );

    let session = home.keyrole(["get", "prod"]).output().document();
    home.sts.expire_sessions();
    let of = |name: &str| session[name].as_str().expect("text").to_owned();
    let (id, secret, token) = (of("AccessKeyId"), of("SecretAccessKey"), of("SessionToken"));
    let expired = [&keys(&id, &secret)[..], &[("AWS_SESSION_TOKEN", &token)]].concat();
    assert_explained(&home, who_am_i(&home, &expired), "ExpiredToken", &["`keyrole login --refresh PROFILE`"]);
}

#[test]
fn a_wrong_clock_in_both_directions() {
    let home = Home::new();
    let env = [("AWS_ACCESS_KEY_ID", &*home.access_key_id), ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)];
    for offset in [3_600, -3_600] {
        home.sts.set_clock_offset(offset);
        assert_explained(&home, who_am_i(&home, &env), "the clock is wrong", &["`timedatectl set-ntp true`"]);
    }
}

#[test]
fn roles_that_sts_does_not_give() {
    let home = Home::with_mfa();
    for (role, name) in [(CLOSED, "Closed"), (PARTNER, "Partner")] {
        let part = format!("was denied `sts:AssumeRole` on role `{name}` of account 444455556666");
        let parts = [&*part, &format!("`aws iam get-role --role-name {name}`")];
        assert_explained(&home, assume_role(&home, role, &[], &[]), "AccessDenied for sts:AssumeRole", &parts);
    }
    let code = home.wrong_code();
    let wrong = ["--serial-number", &home.serial, "--token-code", &code];
    assert_explained(
        &home,
        assume_role(&home, ADMIN, &wrong, &[]),
        "the MFA code was not accepted",
        &["keyrole login"],
    );
    let foreign = ["--serial-number", MFA_SERIAL, "--token-code", "123456"];
    let name = "MultiFactorAuthentication failed";
    assert_explained(&home, assume_role(&home, ADMIN, &foreign, &[]), name, &["`mfa_serial` is misspelt"]);
    let half = ["--serial-number", &*home.serial];
    let name = "both MFA serial and code are needed";
    assert_explained(&home, assume_role(&home, ADMIN, &half, &[]), name, &["set `mfa_serial`"]);

    let name = "DurationSeconds exceeds the MaxSessionDuration";
    assert_explained(&home, assume_role(&home, READER, &["--duration-seconds", "7200"], &[]), name, &["--max-session"]);
    let name = "DurationSeconds out of range";
    assert_explained(&home, assume_role(&home, READER, &["--duration-seconds", "60000"], &[]), name, &["43200"]);
    let no_arn = assume_role(&home, "arn:aws:s3:::not-a-role", &[], &[]);
    assert_explained(&home, no_arn, "ValidationError", &["is not a whole ARN"]);
}

#[test]
fn temporary_keys_where_long_lived_ones_are_needed() {
    let home = Home::new();
    let url = home.sts.url();
    let arguments = ["sts", "get-session-token", "--profile", "prod", "--endpoint-url", &url];
    let name = "Cannot call GetSessionToken with session credentials";
    assert_explained(&home, cli(&home, &arguments, &[]), name, &["`mfa_session_duration = 0`"]);
    let chain = home.keyrole(["get", "prod"]).output().document();
    let env = [
        ("AWS_ACCESS_KEY_ID", chain["AccessKeyId"].as_str().expect("text")),
        ("AWS_SECRET_ACCESS_KEY", chain["SecretAccessKey"].as_str().expect("text")),
        ("AWS_SESSION_TOKEN", chain["SessionToken"].as_str().expect("text")),
    ];
    let long = ["sts", "assume-role", "--endpoint-url", &url, "--role-session-name", "test", "--role-arn", DEPLOY];
    let long = [&long[..], &["--duration-seconds", "7200"]].concat();
    assert_explained(&home, cli(&home, &long, &env), "the one-hour limit of role chaining", &["cannot raise"]);
}

#[test]
fn web_identities_that_sts_does_not_take() {
    let home = Home::new();
    let url = home.sts.url();
    let ask = |role| {
        let arguments = ["sts", "assume-role-with-web-identity", "--endpoint-url", &url, "--role-session-name", "test"];
        cli(&home, &[&arguments[..], &["--role-arn", role, "--web-identity-token", "none"]].concat(), &[])
    };
    assert_explained(&home, ask(WEB_IDENTITY), "InvalidIdentityToken", &["`aws iam list-open-id-connect-providers`"]);
    let name = "not authorized to perform sts:AssumeRoleWithWebIdentity";
    assert_explained(&home, ask(CLOSED), name, &["the trust policy's condition on `sub`"]);
}

#[test]
fn trouble_on_the_side_of_aws() {
    let home = Home::new();
    let env = [("AWS_ACCESS_KEY_ID", &*home.access_key_id), ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)];
    home.sts.set_fault(Some(Fault::Throttle));
    assert_explained(&home, who_am_i(&home, &env), "Throttling", &["wait a little"]);
    home.sts.set_fault(Some(Fault::ServerError));
    assert_explained(&home, who_am_i(&home, &env), "a fault of AWS", &["retry in a minute"]);
}

#[test]
fn nothing_or_half_of_it_to_sign_with() {
    let home = Home::new();
    let name = "Unable to locate credentials";
    assert_explained(&home, who_am_i(&home, &[]), name, &["`export AWS_PROFILE=PROFILE`"]);
    let half = [("AWS_ACCESS_KEY_ID", "AKIAHALF")];
    assert_explained(
        &home,
        who_am_i(&home, &half),
        "Partial credentials found",
        &["`AWS_SECRET_ACCESS_KEY` is in the"],
    );
}

#[test]
fn no_region_or_none_that_exists() {
    let home = Home::new();
    let describe = ["ec2", "describe-instances", "--profile", "base"];
    home.write_config("[profile base]\n");
    let none = [cli_v1(), cli_v2()].map(|cli| home.run(cli, describe));
    assert_explained(
        &home,
        none,
        "You must specify a region",
        &["`aws configure set region eu-west-1 --profile PROFILE`"],
    );
    let bad = cli(&home, &[&describe[..], &["--region", "eu west 1"]].concat(), &[]);
    assert_explained(&home, bad, "the region is not valid", &["an availability zone"]);
}

#[test]
fn a_profile_that_is_not_there_by_its_name() {
    let home = Home::new();
    let name = "The config profile could not be found";
    for (profile, step) in [("prdo", "`keyrole setup prdo`"), ("my prod", "`keyrole setup 'my prod'`")] {
        assert_explained(&home, who_am_i(&home, &[("AWS_PROFILE", profile)]), name, &[step]);
    }
    assert_explained(&home, [home.keyrole(["get", "prdo"])], name, &["`keyrole setup prdo`"]);
}

#[test]
fn profiles_that_botocore_cannot_follow() {
    let home = Home::new();
    let as_profile = |name| who_am_i(&home, &[("AWS_PROFILE", name)]);
    let role = "role_arn = arn:aws:iam::444455556666:role/Admin\n";
    home.add_config(&format!(
        "[profile half]\n{role}credential_process = keyrole get half\n\
         [profile lost]\n{role}source_profile = nowhere\n\
         [profile a]\n{role}source_profile = b\n[profile b]\n{role}source_profile = a\n\
         [profile sso]\nsso_start_url = https://example.awsapps.com/start\nsso_region = eu-west-1\n\
         sso_account_id = 444455556666\nsso_role_name = Admin\n"
    ));
    assert_explained(&home, as_profile("half"), "role_arn without a source", &["call it `keyrole_role_arn`"]);
    assert_explained(&home, as_profile("lost"), "the source profile cannot be used", &["`keyrole doctor lost`"]);
    assert_explained(&home, as_profile("a"), "the profile needs itself", &["`source_profile` leads back"]);
    assert_explained(&home, as_profile("sso"), "The SSO session has expired", &["`aws sso login --profile"]);
    home.write_config("region = eu-west-1\n[profile a]\n");
    assert_explained(&home, as_profile("a"), "ConfigParseError", &["see which line"]);
}

#[test]
fn a_helper_that_fails_by_what_it_said_itself() {
    let home = Home::with_mfa();
    home.add_config(&home.role("closed", CLOSED, "mfa_session_duration = 0\nkeyrole_prompt = none"));
    home.add_config(
        "[profile gone]\ncredential_process = /nowhere/keyrole get gone\n\
         [profile false]\ncredential_process = false\n\
         [profile old]\ncredential_process = echo '{\"Version\": 2}'\n\
         [profile noise]\ncredential_process = echo hello\n",
    );
    let as_profile = |name| who_am_i(&home, &[("AWS_PROFILE", name)]);
    assert_explained(&home, as_profile("prod"), "keyrole needs an MFA code", &["`keyrole login prod`"]);
    let name = "the credential_process was not found";
    assert_explained(&home, as_profile("gone"), name, &["`command -v keyrole`"]);
    let name = "the credential_process printed no credentials";
    for profile in ["old", "noise"] {
        assert_explained(&home, as_profile(profile), name, &["prints other text on stdout"]);
    }
    let name = "Error when retrieving credentials from custom-process";
    assert_explained(&home, as_profile("false"), name, &["let the helper say it here"]);

    let home = Home::new();
    home.add_config(&home.role("closed", CLOSED, ""));
    let parts =
        ["`sts:AssumeRole` on role `Closed`", "also seen: `Error when retrieving credentials from custom-process`"];
    let clients = who_am_i(&home, &[("AWS_PROFILE", "closed")]);
    assert_explained(&home, clients, "AccessDenied for sts:AssumeRole", &parts);
}

#[test]
fn what_keyrole_says_is_explained_or_repeated() {
    let home = Home::with_mfa();
    home.add_config(
        "[profile odd]\ncredential_process = sh -c 'echo keyrole: error: it is odd >&2; echo keyrole: hint: turn it >&2; \
         exit 1'\n",
    );
    let clients = who_am_i(&home, &[("AWS_PROFILE", "odd")]);
    for client in clients {
        let failure = client.output();
        let output = explain(&home, failure.stdout + &failure.stderr);
        assert_eq!(output.code, 0, "{output:?}");
        assert!(output.stdout.starts_with("keyrole says: it is odd\n\nwhat to do:\n  - turn it\n"), "{output:?}");
        assert!(output.stdout.contains("also seen: `Error when retrieving credentials"), "{output:?}");
    }
    let output = explain(&home, "keyrole: error: it is odd");
    assert!(output.stdout.contains("keyrole says: it is odd") && output.stdout.contains("`keyrole doctor PROFILE`"));

    let name = "nobody gave the MFA code";
    let prompt = home.keyrole(["get", "prod"]).on_terminal();
    prompt.expect("MFA code for ");
    prompt.send("\u{4}");
    let closed = prompt.finish();
    assert_ne!(closed.code, 0, "{closed:?}");
    let output = explain(&home, closed.stderr);
    assert!(output.stdout.starts_with(&format!("{name}: ")), "{output:?}");
    for (text, name) in [
        ("nobody gave the MFA code within 300 s", name),
        ("the prompt for the MFA code was cancelled", name),
        ("no valid session is cached", "no valid session is cached"),
        ("it is keyrole itself: `prod` → `prod`", "the profile needs itself"),
        ("`source_profile` runs in a circle: `a` → `b` → `a`", "the profile needs itself"),
        ("`x` is not a role's ARN: the resource is `role/NAME`", "a value in the profile that AWS does not take"),
        ("`mfa_process` of profile `prod` failed (exit status: 1)", "mfa_process gave no code"),
        ("the store `file` has no key: neither is set", "the store `file` has no key"),
        ("cannot read `/x`: Permission denied (os error 13)", "a file cannot be read"),
    ] {
        let output = home.keyrole(["explain", text]).output();
        assert!(output.stdout.starts_with(&format!("{name}: ")), "{text}: {output:?}");
    }
}

#[test]
fn services_that_cannot_be_reached() {
    let home = Home::with(Sts::start_tls(), "");
    let keys = [("AWS_ACCESS_KEY_ID", &*home.access_key_id), ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)];
    assert_explained(&home, who_am_i(&home, &keys), "CERTIFICATE_VERIFY_FAILED", &["`AWS_CA_BUNDLE`"]);
    let proxy = format!("http://127.0.0.1:{}", closed_port());
    let proxied = [&keys[..], &[("HTTPS_PROXY", &proxy)]].concat();
    assert_explained(&home, who_am_i(&home, &proxied), "the proxy does not work", &["`HTTPS_PROXY` names a proxy"]);

    let url = format!("http://127.0.0.1:{}", closed_port());
    let arguments = ["sts", "get-caller-identity", "--endpoint-url", &url];
    let name = "Could not connect to the endpoint URL";
    assert_explained(&home, cli(&home, &arguments, &keys), name, &["`endpoint_url`"]);
    assert_explained(&home, [with(boto3(&home, WHO_AM_I, &[&url]), &keys)], name, &["a VPN or firewall"]);
}

#[test]
fn other_services_in_their_own_words() {
    let home = Home::new();
    let moto = Moto::start_without_keys();
    let keys = [("AWS_ACCESS_KEY_ID", "AKIANOBODYKNOWSTHIS1"), ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)];
    let session = [&keys[..], &[("AWS_SESSION_TOKEN", "none")]].concat();
    for (arguments, env, name) in [
        (["s3api", "list-buckets"], &keys[..], "InvalidAccessKeyId"),
        (["ec2", "describe-instances"], &keys[..], "AuthFailure"),
        (["dynamodb", "list-tables"], &keys[..], "InvalidClientTokenId"),
        (["iam", "list-users"], &session[..], "InvalidClientTokenId"),
    ] {
        let clients = cli(&home, &[&arguments[..], &["--endpoint-url", &moto.url]].concat(), env);
        assert_explained(&home, clients, name, &["`keyrole "]);
    }
}

#[test]
fn a_code_alone_or_any_words_that_people_search_for() {
    let home = Home::new();
    for text in [
        "ExpiredToken",
        "InvalidClientTokenId",
        "UnrecognizedClientException",
        "The security token included in the request is invalid",
        "Token provided is malformed",
        "InvalidToken",
        "SignatureDoesNotMatch",
        "Signature expired … is now earlier than",
        "RequestTimeTooSkewed",
        "AccessDenied … sts:AssumeRole",
        "MultiFactorAuthentication failed",
        "Partial credentials found",
        "Unable to locate credentials",
        "NoRegion",
        "InvalidAccessKeyId",
        "AuthFailure",
        "Credentials were refreshed, but the refreshed credentials are still expired",
        "The config profile could not be found",
        "Error when retrieving credentials from custom-process",
    ] {
        let in_one = home.keyrole(["explain", text]).output();
        assert_eq!((in_one.code, in_one.stderr.as_str()), (0, ""), "{text}: {in_one:?}");
        let in_words = home.keyrole(["explain"].into_iter().chain(text.split(' '))).output();
        assert_eq!(in_words.stdout, in_one.stdout, "{text}");
        assert!(in_one.stdout.lines().all(|line| line.chars().count() <= 130), "{}", in_one.stdout);
    }
}

#[test]
fn nothing_of_a_pasted_text_is_shown_but_names() {
    let home = Home::new();
    let text = "+ AWS_SECRET_ACCESS_KEY=hunter2 aws s3 ls --profile prod\n<Code>InvalidToken</Code><Token-0>FwoGZXIv\
                </Token-0> User: hunter2 is not authorized to perform: FwoGZXIv";
    let output = explain(&home, text);
    assert!(
        output.stdout.starts_with("InvalidToken: ") && output.stdout.contains("login --refresh prod"),
        "{output:?}"
    );
    assert!(!output.stdout.contains("hunter2") && !output.stdout.contains("FwoGZXIv"), "{output:?}");
    let secret = SECRET_ACCESS_KEY;
    let output = explain(&home, format!("keyrole: error: it is odd {secret} TOKEN=hunter2\nSECRET=hunter2 {secret}"));
    assert!(output.stdout.starts_with("keyrole says: it is odd **** ****"), "{output:?}");
    assert!(!output.stdout.contains("hunter2") && !output.stdout.contains(secret), "{output:?}");
}

#[test]
fn an_unknown_text_exits_1_and_points_to_doctor() {
    let home = Home::new();
    for (text, hint) in
        [("it does not work", "run `keyrole doctor PROFILE`"), ("ExpirdToken", "did you mean `ExpiredToken`?")]
    {
        let output = home.keyrole(["explain", text]).output();
        assert_eq!((output.code, output.stdout.as_str()), (1, ""), "{output:?}");
        assert!(
            output.stderr.starts_with("keyrole: error: no error that keyrole knows is in this text\n"),
            "{output:?}"
        );
        assert!(output.stderr.contains(&format!("keyrole: hint: {hint}")), "{output:?}");
        assert!(output.stderr.contains("`keyrole doctor PROFILE`"), "{output:?}");
    }
}

#[test]
fn no_text_is_a_usage_error() {
    let home = Home::new();
    let none = home.keyrole(["explain"]).output();
    for output in [none, home.keyrole(["explain", " "]).output(), explain(&home, "\n")] {
        assert_eq!((output.code, output.stdout.as_str()), (2, ""), "{output:?}");
    }
}

#[test]
fn what_looks_like_a_flag_is_a_part_of_the_text() {
    let home = Home::new();
    let output = home.keyrole(["explain", "--debug", "-x", "ExpiredToken", "--profile", "prod", "--help"]).output();
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.stdout.contains("`keyrole login --refresh prod`"), "{output:?}");
}

#[test]
fn standard_input_may_be_long_and_of_any_encoding() {
    let home = Home::new();
    let mut log = b"NoCredentialProviders \xff\xfe ".repeat(100_000);
    log.extend(b"\xc3 ExpiredToken");
    let output = explain(&home, log);
    assert!(output.stdout.starts_with("ExpiredToken: "), "{output:?}");
    let from_windows: Vec<u8> =
        "\u{feff}An error occurred (ExpiredToken)".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let output = explain(&home, from_windows);
    assert!(output.stdout.starts_with("ExpiredToken: "), "{output:?}");
}

#[test]
fn a_text_may_be_typed_until_its_end() {
    let home = Home::new();
    let terminal = home.keyrole(["explain", "-"]).in_terminal();
    terminal.send("An error occurred\n(ExpiredToken)\n\u{4}");
    let (output, shown) = terminal.finish_with_screen();
    assert_eq!(output.code, 0, "{shown}");
    assert!(shown.contains("ExpiredToken: The credentials were temporary"), "{shown}");
}
