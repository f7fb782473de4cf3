//! Sources behind a browser: a sign-in that is there is used, and `login` offers to renew one that is not.

use crate::sources::{role_credentials, with_source};
use crate::support::responder::Responder;
use crate::support::sts::{ADMIN, DEPLOY, READER};
use crate::support::{Home, Run};
use ring::digest;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// The token of a browser's sign-in, a secret.
const TOKEN: &str = "hunter2";

/// Makes a home whose source is an IAM Identity Center session.
fn with_sso(profile: &str) -> Home {
    let home = Home::new();
    home.write_credentials("");
    write_sso_config(&home, profile);
    home
}

fn write_sso_config(home: &Home, profile: &str) {
    home.write_config(&format!(
        "[sso-session corp]\nsso_start_url = https://corp.example/start\nsso_region = eu-west-1\n[profile {profile}]\n\
         sso_session = corp\nsso_account_id = 111122223333\nsso_role_name = Dev\n{}",
        with_source(home, "prod", ADMIN, &format!("keyrole_source_profile = {}", profile.trim_matches('"')))
    ));
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Gives the file in which the AWS CLI keeps a session's token.
fn token_file(home: &Home, session: &str) -> PathBuf {
    let name = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, session.as_bytes());
    let cache = home.path().join(".aws/sso/cache");
    std::fs::create_dir_all(&cache).unwrap();
    cache.join(format!("{}.json", hex(name.as_ref())))
}

fn token(token: &str, end: &str) -> String {
    format!(
        "{{\"startUrl\":\"https://corp.example/start\",\"region\":\"eu-west-1\",\"accessToken\":\"{token}\",\
         \"expiresAt\":\"{end}\"}}"
    )
}

const LATER: &str = "2099-01-01T00:00:00Z";

/// Starts a portal that gives these credentials to whoever brings the token.
fn portal(document: &Value) -> Responder {
    let text = |key: &str| document[key].as_str().unwrap().to_owned();
    let end = humantime::parse_rfc3339(&text("Expiration")).unwrap().duration_since(std::time::UNIX_EPOCH).unwrap();
    let credentials = serde_json::json!({"roleCredentials": {
        "accessKeyId": text("AccessKeyId"), "secretAccessKey": text("SecretAccessKey"),
        "sessionToken": text("SessionToken"), "expiration": end.as_millis() as u64,
    }});
    Responder::start(move |head| {
        let is_asked = head.starts_with("GET /federation/credentials?") && head.contains("role_name=Dev");
        let is_signed_in = head.to_lowercase().contains(&format!("x-amz-sso_bearer_token: {TOKEN}\r\n"));
        let refusal = r#"{"__type":"UnauthorizedException","message":"Session token not found or invalid"}"#;
        is_asked.then(|| if is_signed_in { credentials.to_string() } else { refusal.to_owned() })
    })
}

/// A home with an Identity Center session as its source, and the portal behind it.
fn with_portal() -> (Home, Responder) {
    let home = Home::new();
    let portal = portal(&role_credentials(&home));
    home.write_credentials("");
    write_sso_config(&home, "sso");
    (home, portal)
}

/// Puts a stand-in for the AWS CLI, and nothing else, on the PATH of a run. It notes its arguments, environment and
/// streams, then does what it is told.
fn with_cli(home: &Home, run: Run, does: &str) -> Run {
    let bin = home.path().join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    let text = format!(
        "#!/bin/sh\nPATH=/usr/bin:/bin\necho \"$@\" >>\"$HOME/aws.arguments\"\nenv >\"$HOME/aws.environment\"\n\
         streams=$(readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2); echo \"$streams\" >\"$HOME/aws.streams\"\necho 'look into your browser'\n{does}\n"
    );
    std::fs::write(bin.join("aws"), text).unwrap();
    std::fs::set_permissions(bin.join("aws"), PermissionsExt::from_mode(0o755)).unwrap();
    run.env("PATH", bin)
}

/// Gives the line with which the stand-in signs in.
fn signs_in(home: &Home) -> String {
    format!("printf %s '{}' >{}", token(TOKEN, LATER), token_file(home, "corp").display())
}

fn noted(home: &Home, what: &str) -> String {
    std::fs::read_to_string(home.path().join(format!("aws.{what}"))).unwrap_or_default()
}

#[test]
fn a_browser_login_that_is_missing_or_over_is_asked_for() {
    let home = with_sso("sso");
    let words = ["profile `sso`", "run `aws sso login --profile sso`, then retry"];
    home.keyrole(["get", "prod"]).output().fails(1, &words);
    std::fs::write(token_file(&home, "corp"), token(TOKEN, "2020-01-01T00:00:00Z")).unwrap();
    let output = home.keyrole(["get", "prod"]).output();
    output.fails(1, &words);
    output.fails(1, &["expired"]);
    assert!(!output.stderr.contains(TOKEN), "{output:?}");
    assert_eq!(home.sts.calls().len(), 0);
}

#[test]
fn a_browser_login_is_a_source_and_another_token_of_it_stays_a_hit() {
    let (home, portal) = with_portal();
    std::fs::write(token_file(&home, "corp"), token(TOKEN, LATER)).unwrap();
    let get = || home.keyrole(["get", "prod"]).env("AWS_ENDPOINT_URL_SSO", portal.url());
    let first = get().output().key();
    assert!(portal.requests()[0].contains("account_id=111122223333"), "{:?}", portal.requests());
    std::fs::write(token_file(&home, "corp"), token("another", LATER)).unwrap();
    assert_eq!((get().output().key(), portal.requests().len(), home.sts.count("AssumeRole")), (first, 1, 1));
    // The renewal is what needs the token, and the portal no longer takes it.
    let output = home.keyrole(["get", "prod", "--refresh"]).env("AWS_ENDPOINT_URL_SSO", portal.url()).output();
    output.fails(1, &["Session token not found or invalid", "run `aws sso login --profile sso`, then retry"]);
}

#[test]
fn a_browser_login_without_a_session_is_a_source_until_the_portal_no_longer_takes_its_token() {
    let (home, portal) = with_portal();
    let config = std::fs::read_to_string(home.path().join(".aws/config")).unwrap();
    let start = "https://corp.example/start";
    home.write_config(
        &config.replace("\nsso_session = corp", &format!("\nsso_start_url = {start}\nsso_region = eu-west-1")),
    );
    let get = || home.keyrole(["get", "prod", "--refresh"]).env("AWS_ENDPOINT_URL_SSO", portal.url()).output();
    get().fails(1, &["no credentials from profile `sso`: ", "run `aws sso login --profile sso`, then retry"]);
    std::fs::write(token_file(&home, start), token(TOKEN, LATER)).unwrap();
    get().document();
    std::fs::write(token_file(&home, start), token("revoked", LATER)).unwrap();
    get().fails(1, &["Session token not found or invalid", "run `aws sso login --profile sso`, then retry"]);
    let run = with_cli(&home, home.keyrole(["login", "prod", "--refresh"]), "exit 1");
    let terminal = run.env("AWS_ENDPOINT_URL_SSO", portal.url()).on_terminal();
    terminal.expect("run `aws sso login --profile sso` now? [yes]: ");
    terminal.send("n\n");
    terminal.finish().fails(1, &["Session token not found or invalid"]);
}

#[test]
fn a_session_that_only_keyrole_reads_is_named_to_the_aws_cli() {
    let home = with_sso("sso");
    let config = std::fs::read_to_string(home.path().join(".aws/config")).unwrap();
    home.write_config(&config.replace("\nsso_session = corp", "\nkeyrole_sso_session = corp"));
    home.keyrole(["get", "prod"]).output().fails(1, &["run `aws sso login --sso-session corp`, then retry"]);
}

#[test]
fn a_portal_that_cannot_be_reached_is_no_reason_to_sign_in() {
    let (home, portal) = with_portal();
    std::fs::write(token_file(&home, "corp"), token(TOKEN, LATER)).unwrap();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let run = with_cli(&home, home.keyrole(["login", "prod"]), &signs_in(&home));
    let output = run.env("AWS_ENDPOINT_URL_SSO", format!("http://{nobody}")).on_terminal().finish();
    output.fails(
        1,
        &["cannot reach the sign-in service of profile `sso`", "onnection refused", "hint: check the network"],
    );
    assert_eq!((noted(&home, "arguments").as_str(), portal.requests().len()), ("", 0));
}

#[test]
fn a_console_login_that_is_missing_is_asked_for() {
    let home = Home::new();
    home.write_credentials("");
    home.write_config(&home.default_config("login_session = arn:aws:iam::111122223333:user/me\n"));
    home.keyrole(["get", "prod"]).output().fails(1, &["profile `base`", "run `aws login --profile base`, then retry"]);
}

#[test]
fn the_command_for_a_browser_login_can_be_pasted() {
    let home = with_sso("\"my sso\"");
    home.keyrole(["get", "prod"]).output().fails(1, &["run `aws sso login --profile 'my sso'`, then retry"]);
}

#[test]
fn incomplete_settings_of_a_browser_login_are_refused() {
    let home = with_sso("sso");
    let config = std::fs::read_to_string(home.path().join(".aws/config")).unwrap();
    for key in ["sso_account_id", "sso_role_name", "sso_start_url", "sso_region"] {
        home.write_config(&config.replacen(key, "output", 1));
        home.keyrole(["get", "prod"]).output().fails(2, &["profile `sso`", &format!("`{key}`")]);
    }
}

#[test]
fn login_offers_to_sign_in_and_goes_on() {
    let (home, portal) = with_portal();
    let run = with_cli(&home, home.keyrole(["login", "prod"]), &signs_in(&home));
    let run = run
        .env("AWS_ENDPOINT_URL_SSO", portal.url())
        .env("AWS_SECRET_ACCESS_KEY", "not for the child")
        .env("AWS_SESSION_TOKEN", "not for the child")
        .env("KEYROLE_FILE_KEY", "not for the child, and long enough to be one");
    let terminal = run.on_terminal();
    let shown = terminal.expect("run `aws sso login --profile sso` now? [yes]: ");
    assert!(shown.contains("keyrole: no credentials from profile `sso`: "), "{shown}");
    terminal.send("\n");
    terminal.expect("look into your browser");
    let output = terminal.finish();
    assert_eq!((output.code, output.stdout.as_str()), (0, ""), "{output:?}");
    assert!(output.stderr.starts_with("keyrole: prod: ready, "), "{output:?}");
    assert_eq!(noted(&home, "arguments"), "sso login --profile sso\n");
    assert!(!noted(&home, "environment").contains("not for the child"));
    assert_eq!(noted(&home, "streams").matches("/dev/tty").count(), 3, "{}", noted(&home, "streams"));
    home.keyrole(["get", "prod"]).output().document();
}

#[test]
fn login_offers_to_sign_in_once_for_all_profiles_behind_one_session() {
    let (home, portal) = with_portal();
    let more = with_source(&home, "reader", READER, "keyrole_source_profile = sso")
        + "[profile sso2]\nsso_session = corp\nsso_account_id = 111122223333\nsso_role_name = Dev\n"
        + &with_source(&home, "other", READER, "keyrole_source_profile = sso2\nrole_session_name = other");
    home.add_config(&more);
    let run = with_cli(&home, home.keyrole(["login", "--all"]), &signs_in(&home));
    let terminal = run.env("AWS_ENDPOINT_URL_SSO", portal.url()).in_terminal();
    terminal.expect("now? [yes]: ");
    terminal.send("y\n");
    let (output, shown) = terminal.finish_with_screen();
    assert_eq!((output.code, shown.matches(": ready, ").count(), shown.matches("now?").count()), (0, 3, 1), "{shown}");
    assert_eq!(noted(&home, "arguments").lines().count(), 1);
}

#[test]
fn login_says_what_to_run_where_nobody_says_yes() {
    let (home, _portal) = with_portal();
    let words = ["no credentials from profile `sso`: ", "run `aws sso login --profile sso`, then retry"];
    for answer in ["n\n", "\x04"] {
        let terminal = with_cli(&home, home.keyrole(["login", "prod"]), "exit 1").on_terminal();
        terminal.expect("now? [yes]: ");
        terminal.send(answer);
        terminal.finish().fails(1, &words);
    }
    // Where there is no AWS CLI, nobody who could answer, or nobody who wants to be asked, nobody is asked.
    let bare = || home.keyrole(["login", "prod"]).env("PATH", home.path());
    let silent = with_cli(&home, home.keyrole(["login", "prod"]), "exit 1").env("KEYROLE_PROMPT", "none");
    let get = with_cli(&home, home.keyrole(["get", "prod"]), "exit 1");
    for run in [bare(), silent, get] {
        let terminal = run.on_terminal();
        terminal.wait_for_end();
        assert_eq!(terminal.shown(), "");
        terminal.finish().fails(1, &words);
    }
    home.keyrole(["login", "prod"]).output().fails(1, &words);
    assert_eq!(noted(&home, "arguments"), "");
}

#[test]
fn a_sign_in_that_fails_or_changes_nothing_ends_the_login() {
    let (home, _portal) = with_portal();
    for (does, words) in [
        ("exit 3", ["`aws sso login --profile sso` failed (exit status: 3)", "by hand, then retry"]),
        ("exit 0", ["no credentials from profile `sso`: ", "run `aws sso login --profile sso`, then retry"]),
    ] {
        let terminal = with_cli(&home, home.keyrole(["login", "prod"]), does).on_terminal();
        terminal.expect("now? [yes]: ");
        terminal.send("\n");
        terminal.finish().fails(1, &words);
    }
    assert_eq!(noted(&home, "arguments").lines().count(), 2);
}

#[test]
fn an_interrupt_at_the_offer_ends_the_login_as_it_ends_any_program() {
    let (home, _portal) = with_portal();
    let terminal = with_cli(&home, home.keyrole(["login", "prod"]), "exit 1").on_terminal();
    terminal.expect("now? [yes]: ");
    terminal.send("\x03");
    assert_eq!(terminal.finish().code, 130);
    assert_eq!(noted(&home, "arguments"), "");
}

/// The identity of the console's sign-in.
const PERSON: &str = "arn:aws:iam::111122223333:user/me";

#[test]
fn login_offers_to_sign_in_to_the_console_and_a_console_login_is_a_source() {
    let home = Home::new();
    // The console's credentials are a person's temporary ones; a role's do as well.
    let document = role_credentials(&home);
    home.write_credentials("");
    let config = format!("[profile base]\nregion = eu-west-1\nlogin_session = {PERSON}\n");
    home.write_config(&(config + &home.role("prod", DEPLOY, "")));
    let key = "-----BEGIN EC PRIVATE KEY-----\\nMHcCAQEEIFDZHUzOG1Pzq+6F0mjMlOSp1syN9LRPBuHMoCFXTcXhoAoGCCqGSM49\\n\
               AwEHoUQDQgAE9qhj+KtcdHj1kVgwxWWWw++tqoh7H7UHs7oXh8jBbgF47rrYGC+t\\n\
               djiIaHK3dBvvdE7MGj5HsepzLm3Kj91bqA==\\n-----END EC PRIVATE KEY-----\\n";
    let text = |name: &str| document[name].as_str().unwrap().to_owned();
    let cached = format!(
        "{{\"accessToken\":{{\"accessKeyId\":\"{}\",\"secretAccessKey\":\"{}\",\"sessionToken\":\"{}\",\
         \"accountId\":\"111122223333\",\"expiresAt\":\"{}\"}},\"tokenType\":\"aws_sigv4\",\"refreshToken\":\"r\",\
         \"clientId\":\"arn:aws:signin:::devtools/same-device\",\"dpopKey\":\"{key}\"}}",
        text("AccessKeyId"),
        text("SecretAccessKey"),
        text("SessionToken"),
        text("Expiration"),
    );
    std::fs::write(home.path().join("cached.json"), cached).unwrap();
    let name = hex(digest::digest(&digest::SHA256, PERSON.as_bytes()).as_ref());
    let signs_in =
        format!("mkdir -p $HOME/.aws/login/cache && cp $HOME/cached.json $HOME/.aws/login/cache/{name}.json");
    let terminal = with_cli(&home, home.keyrole(["login", "prod"]), &signs_in).on_terminal();
    terminal.expect("run `aws login --profile base` now? [yes]: ");
    terminal.send("\n");
    let output = terminal.finish();
    assert_eq!((output.code, output.stdout.as_str()), (0, ""), "{output:?}");
    assert_eq!(noted(&home, "arguments"), "login --profile base\n");
    home.keyrole(["get", "prod"]).output().document();
    let calls = home.sts.calls();
    assert_eq!((calls.len(), calls[0].access_key_id.as_deref()), (1, Some(&*text("AccessKeyId"))));
}
