//! Real clients, the AWS CLI in both versions and boto3, get their credentials from keyrole as their users run them.

use crate::support::sts::{ADMIN, Sts};
use crate::support::{Home, Output, Run};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The session of the role `Admin`, whatever its name.
const ADMIN_SESSION: &str = "arn:aws:sts::444455556666:assumed-role/Admin/";

/// A boto3 program that prints who it is.
const WHO_AM_I: &str = "\
import boto3, sys
print(boto3.Session(profile_name=sys.argv[1]).client('sts').get_caller_identity()['Arn'])
";

/// The Python environment with boto3, moto and the AWS CLI v1.
pub fn venv(program: &str) -> PathBuf {
    let default = || concat!(env!("CARGO_MANIFEST_DIR"), "/tests/.venv").into();
    let program = Path::new(&std::env::var_os("KEYROLE_TEST_VENV").unwrap_or_else(default)).join("bin").join(program);
    assert!(program.exists(), "there is no {}: run tests/run.sh", program.display());
    program
}

pub fn cli_v1() -> PathBuf {
    venv("aws")
}

/// The AWS CLI v2 is not a Python package; Debian has it.
pub fn cli_v2() -> PathBuf {
    let program = PathBuf::from(std::env::var_os("KEYROLE_TEST_AWS2").unwrap_or_else(|| "/usr/bin/aws".into()));
    assert!(program.exists(), "there is no AWS CLI v2 at {}: run tests/run.sh", program.display());
    program
}

pub fn boto3(home: &Home, script: &str, arguments: &[&str]) -> Run {
    home.run(venv("python"), [&["-c", script], arguments].concat())
}

/// The command `get-caller-identity` in each client.
fn who_am_i(home: &Home, profile: &str) -> [Run; 3] {
    let arguments = ["sts", "get-caller-identity", "--query", "Arn", "--output", "text", "--profile", profile];
    // Before 2.13, version 2 does not know a profile's `endpoint_url`.
    let url = home.sts.url();
    let v2 = [&arguments[..], &["--endpoint-url", &url]].concat();
    [home.run(cli_v1(), arguments), home.run(cli_v2(), v2), boto3(home, WHO_AM_I, &[profile])]
}

#[track_caller]
fn assert_is_admin(output: &Output) {
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{output:?}");
    assert!(output.stdout.starts_with(ADMIN_SESSION), "{output:?}");
}

#[track_caller]
fn assert_worked(output: &Output) -> &str {
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{output:?}");
    &output.stdout
}

#[test]
fn every_client_is_the_role_and_all_share_one_session() {
    let home = Home::new();
    for client in who_am_i(&home, "prod") {
        assert_is_admin(&client.output());
    }
    assert_eq!(home.sts.attempts("AssumeRole"), 1);
    assert_eq!(home.sts.count("GetCallerIdentity"), 3);
}

#[test]
fn one_prompt_in_any_client_is_enough_for_all() {
    for first in 0..3 {
        let home = Home::with_mfa();
        let clients = who_am_i(&home, "prod");
        let terminal = clients[first].on_terminal();
        terminal.expect(&format!("MFA code for {}: ", home.serial));
        terminal.send(&format!("{}\n", home.code()));
        assert_is_admin(&terminal.finish());
        for client in clients {
            // Without a terminal, so nobody could be asked.
            assert_is_admin(&client.output());
        }
        assert_eq!((home.sts.attempts("GetSessionToken"), home.sts.attempts("AssumeRole")), (1, 1));
    }
}

#[test]
fn two_clients_at_once_in_one_terminal_ask_once() {
    let home = Home::with_mfa();
    let script = r#""$0" sts get-caller-identity --profile prod & "$1" -c "$2" prod & wait"#;
    let arguments = ["-c".into(), script.into(), cli_v1(), venv("python"), WHO_AM_I.into()];
    let both = home.run("sh", arguments);
    let terminal = both.on_terminal();
    terminal.expect("MFA code for ");
    terminal.send(&format!("{}\n", home.code()));
    // A second prompt would wait for a second code, which nobody types.
    let output = terminal.finish();
    assert_eq!(assert_worked(&output).matches(ADMIN_SESSION).count(), 2, "{output:?}");
    assert_eq!((home.sts.attempts("GetSessionToken"), home.sts.attempts("AssumeRole")), (1, 1));
}

#[test]
fn without_a_terminal_every_client_shows_the_error_and_the_hint() {
    let home = Home::with_mfa();
    for client in who_am_i(&home, "prod") {
        let output = client.output();
        assert_ne!(output.code, 0, "{output:?}");
        for text in [
            "keyrole: error: profile `prod` needs an MFA code, but there is no terminal to ask on",
            "keyrole: hint: run `keyrole login prod` in a terminal, then retry",
        ] {
            assert!(output.stderr.contains(text), "no {text:?} in {}", output.stderr);
        }
    }
    assert_eq!(home.sts.calls().len(), 0);
}

#[test]
fn a_refusal_by_aws_reaches_every_clients_user() {
    let home = Home::new();
    home.add_config(&home.role("closed", "arn:aws:iam::444455556666:role/Nobodys", ""));
    for client in who_am_i(&home, "closed") {
        let output = client.output();
        assert_ne!(output.code, 0, "{output:?}");
        assert!(output.stderr.contains("keyrole: error: ") && output.stderr.contains("AccessDenied"), "{output:?}");
    }
}

#[test]
fn several_clients_at_once_make_one_call_between_them() {
    // Eight threads with a session object each, as in a program that was never told to share one.
    const THREADS: &str = "\
import boto3, concurrent.futures
def who(_):
    return boto3.Session(profile_name='prod').client('sts').get_caller_identity()['Arn']
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    print('\\n'.join(pool.map(who, range(8))))
";
    let home = Home::new();
    let run = || {
        let mut children: Vec<Child> = who_am_i(&home, "prod").iter().map(Run::spawn).collect();
        children.push(boto3(&home, THREADS, &[]).spawn());
        let outputs = children.into_iter().map(Output::of);
        outputs.inspect(assert_is_admin).map(|output| output.stdout.matches(ADMIN_SESSION).count()).sum::<usize>()
    };
    assert_eq!(run(), 11, "on a cold cache");
    assert_eq!(run(), 11, "on a warm cache");
    assert_eq!(home.sts.attempts("AssumeRole"), 1);
}

#[test]
fn a_session_that_boto3_thinks_old_is_still_fetched_once() {
    // botocore asks again before every request in the last 15 minutes, and this session has no others.
    const TWICE: &str = "\
import boto3
sts = boto3.Session(profile_name='prod').client('sts')
for _ in range(3):
    print(sts.get_caller_identity()['Arn'])
";
    let home = Home::new();
    home.write_config(&format!("[profile base]\n{}", home.role("prod", ADMIN, "duration_seconds = 900")));
    assert_is_admin(&boto3(&home, TWICE, &[]).output());
    assert_eq!((home.sts.attempts("AssumeRole"), home.sts.count("GetCallerIdentity")), (1, 3));
}

#[test]
fn a_profile_name_with_spaces_works_in_every_client() {
    let home = Home::new();
    let section = home.role("my prod", ADMIN, "");
    let section =
        section.replace("[profile my prod]", "[profile \"my prod\"]").replace("get my prod", "get \"my prod\"");
    home.add_config(&section);
    for client in who_am_i(&home, "my prod") {
        assert_is_admin(&client.output());
    }
    assert_eq!(home.sts.attempts("AssumeRole"), 1);
}

#[test]
fn export_credentials_hands_on_the_cached_session() {
    let home = Home::new();
    let key = home.keyrole(["get", "prod"]).output().key();
    let output = home.run(cli_v2(), ["configure", "export-credentials", "--profile", "prod"]).output();
    let exported: serde_json::Value = serde_json::from_str(assert_worked(&output)).expect("JSON");
    assert_eq!(exported["AccessKeyId"], key.as_str());
    assert_eq!(home.sts.attempts("AssumeRole"), 1);
}

#[test]
fn a_ca_bundle_in_the_profile_is_enough_for_keyrole_and_every_client() {
    let home = Home::with(Sts::start_tls(), "");
    for client in who_am_i(&home, "prod") {
        assert_is_admin(&client.output());
    }
    assert_eq!(home.sts.attempts("AssumeRole"), 1);
}

#[test]
fn files_go_to_s3_and_back_through_the_role() {
    let home = Home::new();
    let moto = Moto::start();
    std::fs::write(home.path().join("there"), "kept").expect("a file");
    for (bucket, cli) in [("one", cli_v1()), ("two", cli_v2())] {
        let s3 = |arguments: &[&str]| {
            let more = ["--profile", "prod", "--endpoint-url", &moto.url];
            home.run(&cli, [&["s3"], arguments, &more].concat()).output()
        };
        let object = format!("s3://bucket-{bucket}/object");
        assert_worked(&s3(&["mb", &format!("s3://bucket-{bucket}")]));
        assert_worked(&s3(&["cp", "there", &object]));
        assert_worked(&s3(&["cp", &object, "back"]));
        assert_eq!(std::fs::read_to_string(home.path().join("back")).expect("the file"), "kept");
        assert!(assert_worked(&s3(&["ls", &format!("s3://bucket-{bucket}")])).contains("object"));
        assert!(assert_worked(&s3(&["ls"])).contains(&format!("bucket-{bucket}")));
    }
    assert_eq!(home.sts.attempts("AssumeRole"), 1);
}

#[test]
fn a_client_with_nothing_but_a_home_directory_in_its_environment_is_the_role() {
    let home = Home::new();
    // What cron and systemd leave a program with.
    let script = r#"exec env -i HOME="$HOME" "$0" -c "$1" prod"#;
    let arguments = ["-c".into(), script.into(), venv("python"), PathBuf::from(WHO_AM_I)];
    assert_is_admin(&home.run("sh", arguments).output());
}

/// moto's server on a port of its own, which ends with the test.
pub struct Moto {
    server: Child,
    pub url: String,
}

impl Moto {
    /// Starts one that takes any key.
    fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one that knows no access key, and refuses all.
    pub fn start_without_keys() -> Self {
        Self::start_with(&[("INITIAL_NO_AUTH_ACTION_COUNT", "0")])
    }

    fn start_with(env: &[(&str, &str)]) -> Self {
        // It ends when stdin does, even if the test was killed.
        const SERVER: &str = "\
import logging, sys
logging.getLogger('werkzeug').setLevel(logging.ERROR)
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False)
server.start()
print('http://%s:%d' % server.get_host_and_port(), flush=True)
sys.stdin.read()
server.stop()
";
        let mut server = Command::new(venv("python"))
            .args(["-c", SERVER])
            .envs(env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python runs");
        let mut line = String::new();
        BufReader::new(server.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("a line from moto");
        assert!(line.starts_with("http://"), "moto's server did not start: run tests/run.sh");
        Self { server, url: line.trim().to_owned() }
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        drop(self.server.stdin.take());
        // It has ended already if it failed, and the test has said so.
        let _ = self.server.wait();
    }
}
