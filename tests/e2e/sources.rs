//! Every source of the caller's own identity leads to the role.

use crate::support::responder::Responder;
use crate::support::sts::{ADMIN, DEPLOY, READER, Sts, WEB_IDENTITY, WEB_IDENTITY_TOKEN};
use crate::support::{Home, KEYROLE};
use serde_json::Value;

/// The secret of the rig's user.
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// Gives the role `prod` with another line in the place of `source_profile`.
pub fn with_source(home: &Home, name: &str, arn: &str, source: &str) -> String {
    home.role(name, arn, "").replace("keyrole_source_profile = base", source)
}

/// Gets credentials of the role `ReadOnly`, for a stand-in to hand out.
pub fn role_credentials(home: &Home) -> Value {
    home.add_config(&home.role("issuer", READER, ""));
    let document = home.keyrole(["get", "issuer"]).output().document();
    home.sts.forget_calls();
    document
}

/// Turns the document into what the container and instance endpoints answer.
fn as_metadata(document: &Value) -> String {
    let text = document.to_string().replace("\"SessionToken\"", "\"Token\"");
    text.replacen('{', "{\"Code\":\"Success\",\"Type\":\"AWS-HMAC\",", 1)
}

/// Lays credentials out and gives the command that prints them. It is this home's own, as the command is what tells
/// one source from another.
fn lay_out(home: &Home, credentials: impl ToString) -> String {
    let path = home.path().join("keys.json");
    std::fs::write(&path, credentials.to_string()).unwrap();
    format!("credential_process = cat {}\n", path.display())
}

/// Makes a home whose source is another program.
fn with_process(command: &str) -> Home {
    let home = Home::new();
    home.write_credentials("");
    home.write_config(&home.default_config(&format!("credential_process = {command}\n")));
    home
}

fn keys_of(home: &Home) -> String {
    format!("{{\"Version\":1,\"AccessKeyId\":\"{}\",\"SecretAccessKey\":\"{SECRET}\"}}", home.access_key_id)
}

#[test]
fn another_programs_long_lived_keys_are_a_source() {
    let home = Home::new();
    home.write_credentials("");
    home.write_config(&home.default_config(&lay_out(&home, keys_of(&home))));
    home.keyrole(["get", "prod"]).output().document();
    assert_eq!(home.sts.calls()[0].access_key_id.as_ref(), Some(&home.access_key_id));
}

#[test]
fn another_programs_long_lived_keys_can_have_an_mfa_session() {
    let home = Home::new();
    home.write_credentials("");
    let process = lay_out(&home, keys_of(&home));
    home.write_config(&home.default_config(&format!("{process}mfa_serial = {}\n", home.serial)));
    home.keyrole(["get", "prod", "--mfa-code", &home.code()]).output().document();
    assert_eq!((home.sts.count("GetSessionToken"), home.sts.count("AssumeRole")), (1, 1));
}

#[test]
fn another_programs_temporary_keys_are_a_source() {
    let home = Home::new();
    let document = role_credentials(&home);
    home.write_credentials("");
    home.write_config(&home.default_config(&lay_out(&home, &document)));
    home.keyrole(["get", "prod"]).output().document();
    assert_eq!(home.sts.calls()[0].access_key_id.as_deref(), document["AccessKeyId"].as_str());
}

#[test]
fn temporary_keys_where_an_mfa_session_was_wanted_are_explained() {
    let home = Home::new();
    let process = lay_out(&home, role_credentials(&home));
    home.write_credentials("");
    home.write_config(&home.default_config(&format!("{process}mfa_serial = {}\n", home.serial)));
    let output = home.keyrole(["get", "prod", "--mfa-code", &home.code()]).output();
    output.fails(2, &["profile `base` gives temporary credentials", "`mfa_session_duration = 0`"]);
    assert_eq!(home.sts.calls().len(), 0);
}

#[test]
fn what_another_program_said_when_it_failed_is_shown() {
    let home = with_process("echo 'the vault is locked' >&2; echo 'unlock it first' >&2; exit 7");
    home.keyrole(["get", "prod"]).output().fails(
        1,
        &[
            "`credential_process` of profile `base` failed (exit status: 7)\n",
            "keyrole: hint: it said: the vault is locked; unlock it first\n",
        ],
    );
    let home = with_process("exit 1");
    let output = home.keyrole(["get", "prod"]).output();
    output.fails(1, &["`credential_process` of profile `base` failed (exit status: 1)\nkeyrole: hint: "]);
}

#[test]
fn what_another_program_said_is_not_logged() {
    let home = with_process("echo 'hunter2' >&2; exit 7");
    home.keyrole(["get", "prod"]).output().fails(1, &["it said: hunter2"]);
    let log = std::fs::read_to_string(home.state_dir().join("keyrole.log")).unwrap();
    assert!(log.contains("failed (exit status: 7)") && !log.contains("hunter2"), "{log}");
}

#[test]
fn another_program_may_say_much_and_give_an_empty_token() {
    let home = Home::new();
    let keys = keys_of(&home).replace('}', ",\"SessionToken\":\"\"}");
    let process = lay_out(&home, keys).replace("= cat", "= head -c 200000 /dev/zero >&2; cat");
    home.write_credentials("");
    home.write_config(&home.default_config(&process));
    home.keyrole(["get", "prod"]).output().document();
}

#[test]
fn what_another_program_leaves_running_is_not_waited_for() {
    let home = Home::new();
    let process = lay_out(&home, keys_of(&home)).replace("= cat", "= sh -c 'read line' <>fifo & cat");
    assert!(home.run("mkfifo", ["fifo"]).output().code == 0);
    home.write_credentials("");
    home.write_config(&home.default_config(&process));
    home.keyrole(["get", "prod"]).output().document();
    std::fs::write(home.path().join("fifo"), "end\n").unwrap();
}

#[test]
fn another_program_that_never_stops_printing_is_not_listened_to_for_ever() {
    let home = with_process("yes");
    home.keyrole(["get", "prod"])
        .output()
        .fails(1, &["`credential_process` of profile `base` printed 65536 bytes or more"]);
}

#[test]
fn what_another_program_printed_is_not_shown_when_it_is_not_credentials() {
    for printed in ["hunter2", "{\"Version\":1,\"SecretAccessKey\":\"hunter2\"}", "{\"Version\":2}", ""] {
        let home = with_process(&format!("printf %s '{printed}'"));
        let output = home.keyrole(["get", "prod"]).output();
        output.fails(1, &["profile `base`", "by hand"]);
        assert!(!output.stderr.contains("hunter2"), "{output:?}");
    }
}

#[test]
fn another_programs_credentials_are_the_answer_where_there_is_no_role() {
    let home = Home::new();
    let document = role_credentials(&home);
    home.write_config(&format!("[profile prod]\n{}", lay_out(&home, &document)));
    let answer = home.keyrole(["get", "prod"]).output().document();
    for key in ["AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"] {
        assert_eq!(answer[key], document[key], "{key}");
    }
}

#[test]
fn another_programs_credentials_without_an_end_are_no_answer() {
    let home = Home::new();
    home.write_config(&format!("[profile prod]\n{}", lay_out(&home, keys_of(&home))));
    home.keyrole(["get", "prod"]).output().fails(2, &["do not say when they expire", "keyrole_role_arn"]);
}

#[test]
fn expired_credentials_of_another_program_are_not_handed_on() {
    let home = Home::new();
    let mut document = role_credentials(&home);
    document["Expiration"] = "2020-01-01T00:00:00Z".into();
    home.write_config(&format!("[profile prod]\n{}", lay_out(&home, &document)));
    home.keyrole(["get", "prod"]).output().fails(1, &["profile `prod` gives credentials that have expired"]);
}

#[test]
fn the_environment_is_a_source() {
    let home = Home::new();
    home.write_credentials("");
    home.write_config(&with_source(&home, "prod", ADMIN, "credential_source = Environment"));
    let run = home.keyrole(["get", "prod"]).env("AWS_ACCESS_KEY_ID", &home.access_key_id);
    run.env("AWS_SECRET_ACCESS_KEY", SECRET).output().document();
    assert_eq!(home.sts.calls()[0].access_key_id.as_ref(), Some(&home.access_key_id));
}

#[test]
fn other_keys_in_the_environment_are_a_miss() {
    let home = Home::new();
    home.write_config(&with_source(&home, "prod", ADMIN, "credential_source = Environment"));
    let get = |id: &str| {
        home.keyrole(["get", "prod"]).env("AWS_ACCESS_KEY_ID", id).env("AWS_SECRET_ACCESS_KEY", SECRET).output()
    };
    get(&home.access_key_id).document();
    get("AKIAIOSFODNN7EXAMPL2").fails(5, &["InvalidClientTokenId", "does not exist"]);
}

#[test]
fn a_web_identity_token_is_the_role_itself() {
    let home = Home::new();
    std::fs::write(home.path().join("token"), format!("{WEB_IDENTITY_TOKEN}\n")).unwrap();
    let token = format!("web_identity_token_file = {}", home.path().join("token").display());
    home.write_config(&with_source(&home, "prod", WEB_IDENTITY, &token));
    let first = home.keyrole(["get", "prod"]).output().key();
    assert_eq!(home.keyrole(["get", "prod"]).output().key(), first);
    let calls = home.sts.calls();
    assert_eq!((calls.len(), calls[0].action.as_str()), (1, "AssumeRoleWithWebIdentity"));
    assert_eq!(calls[0].role_arn.as_deref(), Some(WEB_IDENTITY));
    assert!(calls[0].params["RoleSessionName"].starts_with("tester@"));
}

#[test]
fn a_web_identity_is_the_source_of_a_further_role() {
    let home = Home::new();
    std::fs::write(home.path().join("token"), WEB_IDENTITY_TOKEN).unwrap();
    let token = format!("web_identity_token_file = {}\nrole_session_name = ci-42", home.path().join("token").display());
    let web = with_source(&home, "web", WEB_IDENTITY, &token);
    let prod = with_source(&home, "prod", DEPLOY, "keyrole_source_profile = web\nduration_seconds = 7200");
    home.write_config(&(web + &prod));
    home.keyrole(["get", "prod"]).output().document();
    let calls = home.sts.calls();
    let actions: Vec<&str> = calls.iter().map(|call| call.action.as_str()).collect();
    assert_eq!(actions, ["AssumeRoleWithWebIdentity", "AssumeRole"]);
    assert_eq!((&*calls[0].params["RoleSessionName"], &*calls[1].params["DurationSeconds"]), ("ci-42", "3600"));
}

#[test]
fn a_web_identity_token_that_is_missing_or_refused_is_named() {
    let home = Home::new();
    let path = home.path().join("token");
    home.write_config(&with_source(
        &home,
        "prod",
        WEB_IDENTITY,
        &format!("web_identity_token_file = {}", path.display()),
    ));
    home.keyrole(["get", "prod"]).output().fails(1, &["`web_identity_token_file`: cannot read `", "No such file"]);
    std::fs::write(&path, "another token").unwrap();
    home.keyrole(["get", "prod"]).output().fails(5, &["AssumeRoleWithWebIdentity of `", "InvalidIdentityToken"]);
}

#[test]
fn the_container_endpoint_is_a_source_with_its_token_file() {
    let home = Home::new();
    let credentials = as_metadata(&role_credentials(&home));
    let endpoint = Responder::start(move |head| head.starts_with("GET /creds ").then(|| credentials.clone()));
    std::fs::write(home.path().join("pod-token"), "pod secret").unwrap();
    let role = with_source(&home, "prod", ADMIN, "credential_source = EcsContainer\nduration_seconds = 7200");
    home.write_config(&role);
    let run =
        home.keyrole(["get", "prod"]).env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/creds", endpoint.url()));
    run.env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", home.path().join("pod-token")).output().document();
    let requests = endpoint.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert!(requests[0].to_lowercase().contains("authorization: pod secret\r\n"), "{requests:?}");
    assert_eq!(home.sts.calls()[0].params["DurationSeconds"], "3600");
}

#[test]
fn another_container_endpoint_is_a_miss() {
    let home = Home::new();
    let credentials = as_metadata(&role_credentials(&home));
    let endpoint = Responder::start(move |_| Some(credentials.clone()));
    home.write_config(&with_source(&home, "prod", ADMIN, "credential_source = EcsContainer"));
    for (path, calls) in [("/one", 1), ("/one", 1), ("/two", 2)] {
        let url = format!("{}{path}", endpoint.url());
        home.keyrole(["get", "prod"]).env("AWS_CONTAINER_CREDENTIALS_FULL_URI", url).output().document();
        assert_eq!(home.sts.attempts("AssumeRole"), calls, "{path}");
    }
}

#[test]
fn what_a_container_endpoint_gives_goes_through_no_proxy() {
    let home = Home::with(Sts::start_tls(), "");
    let credentials = as_metadata(&role_credentials(&home));
    let endpoint = Responder::start(move |_| Some(credentials.clone()));
    home.write_config(&with_source(&home, "prod", ADMIN, "credential_source = EcsContainer"));
    let run = home.keyrole(["get", "prod"]).env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/c", endpoint.url()));
    run.env("AWS_CA_BUNDLE", home.path().join("ca.pem")).env("HTTP_PROXY", "http://127.0.0.1:1").output().document();
}

#[test]
fn an_answer_without_an_end_is_not_read_to_its_end() {
    let home = Home::new();
    let endpoint = Responder::start(|_| Some("x".repeat(3 << 20)));
    home.write_config(&with_source(&home, "prod", ADMIN, "credential_source = EcsContainer"));
    let run = home.keyrole(["get", "prod"]).env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/c", endpoint.url()));
    run.output().fails(1, &["no credentials from the container credentials endpoint", "length limit exceeded"]);
}

#[test]
fn a_missing_container_endpoint_is_explained() {
    let home = Home::new();
    home.write_config(&with_source(&home, "prod", ADMIN, "credential_source = EcsContainer"));
    let output = home.keyrole(["get", "prod"]).output();
    output.fails(
        1,
        &["no credentials from the container credentials endpoint", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"],
    );
}

#[test]
fn the_instance_metadata_are_a_source_by_their_second_version() {
    let home = Home::new();
    let credentials = as_metadata(&role_credentials(&home));
    let endpoint = Responder::start(move |head| {
        let list = "/latest/meta-data/iam/security-credentials/";
        let path = head.split(' ').nth(1)?;
        match path {
            "/latest/api/token" if head.starts_with("PUT ") => Some("imds-token".to_owned()),
            // What comes without the token is version 1.
            _ if !head.to_lowercase().contains("x-aws-ec2-metadata-token: imds-token\r\n") => None,
            _ if path == list => Some("instance-role".to_owned()),
            _ if path.strip_prefix(list) == Some("instance-role") => Some(credentials.clone()),
            _ => None,
        }
    });
    let role = with_source(&home, "prod", ADMIN, "credential_source = Ec2InstanceMetadata\nduration_seconds = 7200");
    home.write_config(&role);
    home.keyrole(["get", "prod"]).env("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint.url()).output().document();
    assert_eq!(home.sts.calls()[0].params["DurationSeconds"], "3600");
    // The role is cached, so the next command asks nobody.
    let asked = endpoint.requests().len();
    home.keyrole(["get", "prod"]).output().document();
    assert_eq!(endpoint.requests().len(), asked);
}

#[test]
fn a_program_that_is_keyrole_for_another_role_is_a_source_when_it_is_wrapped() {
    let home = Home::new();
    let issuer =
        home.role("issuer", READER, "").replace("keyrole_source_profile = base", "keyrole_source_profile = user");
    let user = format!("[user]\naws_access_key_id = {}\naws_secret_access_key = {SECRET}\n", home.access_key_id);
    home.write_credentials(&user);
    let base = format!("credential_process = sh -c '{KEYROLE} get issuer'\n");
    home.write_config(&(home.default_config(&base) + &issuer));
    home.keyrole(["get", "prod"]).output().document();
    let calls = home.sts.calls();
    let roles: Vec<Option<&str>> = calls.iter().map(|call| call.role_arn.as_deref()).collect();
    assert_eq!(roles, [Some(READER), Some(ADMIN)]);
}
