//! Programs that know only environment variables get a profile's credentials by `exec` and `env`.

use crate::clients::venv;
use crate::support::{Home, KEYROLE, Run};
use serde_json::Value;

/// Prints a program's environment as JSON.
const PRINT: &str = "import json, os; print(json.dumps(dict(os.environ)))";

fn exec(home: &Home, command: &[&str]) -> Run {
    home.keyrole([&["exec", "prod", "--"], command].concat())
}

/// Gives what a shell has after it has read what `env` printed.
fn after(home: &Home, line: &str) -> Value {
    let script = format!("{line}; exec python3 -c '{PRINT}'");
    let output = home.run("bash", ["-c", &script]).env("AWS_PROFILE", "other").output();
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{output:?}");
    serde_json::from_str(&output.stdout).unwrap()
}

#[track_caller]
fn is_the_session(variables: &Value, document: &Value) {
    assert_eq!(variables["AWS_ACCESS_KEY_ID"], document["AccessKeyId"]);
    assert_eq!(variables["AWS_SECRET_ACCESS_KEY"], document["SecretAccessKey"]);
    assert_eq!(variables["AWS_SESSION_TOKEN"], document["SessionToken"]);
    assert_eq!(variables["AWS_CREDENTIAL_EXPIRATION"], document["Expiration"]);
    assert_eq!(
        (&variables["AWS_REGION"], &variables["AWS_DEFAULT_REGION"]),
        (&"eu-west-1".into(), &"eu-west-1".into())
    );
}

#[test]
fn a_command_has_the_session_in_its_environment_and_no_profile() {
    let home = Home::new();
    let document = home.keyrole(["get", "prod"]).output().document();
    let output =
        exec(&home, &["python3", "-c", PRINT]).env("AWS_PROFILE", "x").env("AWS_DEFAULT_PROFILE", "y").output();
    let variables: Value = serde_json::from_str(&output.stdout).unwrap();
    is_the_session(&variables, &document);
    assert!(variables.get("AWS_PROFILE").is_none() && variables.get("AWS_DEFAULT_PROFILE").is_none(), "{variables}");
    assert_eq!((variables["USER"].as_str(), output.stderr.as_str()), (Some("tester"), ""));
    assert_eq!(home.sts.attempts("AssumeRole"), 1);
}

#[test]
fn boto3_takes_the_session_from_the_environment() {
    let home = Home::new();
    let script = format!(
        "import boto3; s = boto3.Session(); print(s.get_credentials().method, s.client('sts', endpoint_url='{}')\
         .get_caller_identity()['Arn'])",
        home.sts.url()
    );
    let python = venv("python");
    let output = exec(&home, &[python.to_str().unwrap(), "-c", &script]).env("AWS_PROFILE", "prod").output();
    assert!(output.stdout.starts_with("env arn:aws:sts::444455556666:assumed-role/Admin/"), "{output:?}");
}

#[test]
fn the_exit_status_and_signals_are_the_commands_own() {
    let home = Home::new();
    assert_eq!(exec(&home, &["sh", "-c", "exit 7"]).output().code, 7);
    assert_eq!(exec(&home, &["sh", "-c", "kill -TERM $$"]).output().code, 128 + 15);
    let terminal = exec(&home, &["sh", "-c", "echo $$; echo ready >/dev/tty; read line </dev/tty"]).on_terminal();
    terminal.expect("ready");
    let pid = terminal.pid().to_string();
    terminal.send("\x03");
    let output = terminal.finish();
    assert_eq!((output.code, output.stdout.trim()), (128 + 2, pid.as_str()), "the command is the process itself");
}

#[test]
fn an_sdk_that_writes_to_a_closed_pipe_ends_as_it_would_without_keyrole() {
    let home = Home::new();
    let line = format!("{KEYROLE} exec prod -- yes | head -n 1; echo ${{PIPESTATUS[0]}}");
    assert_eq!(home.run("bash", ["-c", &line]).output().stdout, "y\n141\n");
}

#[test]
fn a_command_that_cannot_be_run_is_named() {
    let home = Home::new();
    exec(&home, &["no-such-command"]).output().fails(1, &["cannot run `no-such-command`: No such file"]);
    home.keyrole(["exec", "prod"]).output().fails(2, &["exec"]);
    home.keyrole(["exec", "nobody", "--", "true"]).output().fails(2, &["profile `nobody`"]);
}

#[test]
fn the_code_is_asked_for_on_the_terminal_before_the_command_runs() {
    let home = Home::with_mfa();
    let terminal = exec(&home, &["sh", "-c", "echo $AWS_ACCESS_KEY_ID"]).on_terminal();
    terminal.expect("MFA code for ");
    terminal.send(&format!("{}\n", home.code()));
    let output = terminal.finish();
    assert_eq!(output.stdout.trim(), home.keyrole(["get", "prod"]).output().key());
    let home = Home::with_mfa();
    exec(&home, &["touch", "ran"]).output().fails(4, &["no terminal", "keyrole login prod"]);
    assert!(!home.path().join("ran").exists());
}

#[test]
fn what_env_prints_is_what_shells_and_programs_read() {
    let home = Home::new();
    let document = home.keyrole(["get", "prod"]).output().document();
    let by_shell = after(&home, &format!("eval \"$({KEYROLE} env prod)\""));
    is_the_session(&by_shell, &document);
    assert!(by_shell.get("AWS_PROFILE").is_none());
    is_the_session(&after(&home, &format!("set -a; . <({KEYROLE} env prod --format dotenv)")), &document);
    let json = home.keyrole(["env", "prod", "--format", "json"]).output().stdout;
    is_the_session(&serde_json::from_str(&json).unwrap(), &document);
    let fish = home.run("fish", ["-c", &format!("{KEYROLE} env prod --format fish | source; python3 -c '{PRINT}'")]);
    is_the_session(&serde_json::from_str(&fish.output().stdout).unwrap(), &document);
}

#[test]
fn an_unknown_format_is_refused_with_the_list_of_those_that_exist() {
    let home = Home::new();
    home.keyrole(["env", "prod", "--format", "yaml"])
        .output()
        .fails(2, &["yaml", "sh, fish, powershell, dotenv, json"]);
}
