//! Files that are missing, unreadable or full: the AWS files are needed, the state directory is not.

use crate::doctor::{checks, checks_in, finds};
use crate::support::sts::READER;
use crate::support::{Home, KEYROLE, Output, Run, copy_program};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Runs keyrole as somebody to whom file permissions mean something.
fn as_user(home: &Home, uid: u32) -> Run {
    run_as(home, uid, &["get", "prod"])
}

/// The same with any arguments.
fn run_as(home: &Home, uid: u32, arguments: &[&str]) -> Run {
    if !is_root() {
        return home.keyrole(arguments);
    }
    // The build directory may be closed to others.
    let copy = home.path().join("keyrole");
    copy_program(KEYROLE, &copy);
    std::fs::set_permissions(home.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let (uid, gid) = (format!("--reuid={uid}"), format!("--regid={uid}"));
    home.run(copy, arguments).under(["setpriv", &uid, &gid, "--clear-groups"])
}

/// Runs keyrole after a shell line that may mount what it likes, as nobody else sees it.
fn with_mounts(home: &Home, line: &str) -> Output {
    run_with_mounts(home, line, "get prod")
}

/// The same with any arguments.
fn run_with_mounts(home: &Home, line: &str, arguments: &str) -> Output {
    let unshare: &[&str] = if is_root() { &["unshare", "-m"] } else { &["unshare", "-rm"] };
    let output = home.run("sh", ["-c", &format!("{line} && exec {KEYROLE} {arguments}")]).under(unshare).output();
    // A mount that failed would look like a failure of keyrole.
    assert!(!output.stderr.contains("mount"), "{output:?}");
    output
}

#[test]
fn an_unreadable_file_is_named_with_the_reason() {
    for name in ["config", "credentials"] {
        let home = Home::new();
        let path = home.path().join(".aws").join(name);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o000)).unwrap();
        let output = as_user(&home, 65_534).output();
        output.fails(2, &[&format!("cannot read `{}`: ", path.display()), "ermission denied"]);
    }
}

#[test]
fn a_directory_in_place_of_a_file_is_named() {
    let home = Home::new();
    let path = home.path().join(".aws/credentials");
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    home.keyrole(["get", "prod"]).output().fails(2, &["cannot read `", ".aws/credentials`: it is a directory"]);
}

#[test]
fn a_file_that_is_not_text_is_named_with_the_line() {
    let home = Home::new();
    let path = home.path().join(".aws/config");
    std::fs::write(&path, b"[profile prod]\nregion = eu-west-1\n\xff\xfe = 1\n").unwrap();
    home.keyrole(["get", "prod"])
        .output()
        .fails(2, &[".aws/config` line 3 is not UTF-8 text", "save the file as UTF-8"]);
    // Windows Notepad's "Unicode" is UTF-16.
    let utf16: Vec<u8> = "[profile prod]\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    std::fs::write(&path, [b"\xff\xfe".as_slice(), &utf16].concat()).unwrap();
    home.keyrole(["get", "prod"]).output().fails(2, &[".aws/config` line 1 is not UTF-8 text"]);
    std::fs::copy(KEYROLE, &path).unwrap();
    home.keyrole(["get", "prod"]).output().fails(2, &[".aws/config` line 1 is not UTF-8 text"]);
    std::fs::write(&path, [0; 1000]).unwrap();
    home.keyrole(["get", "prod"])
        .output()
        .fails(2, &[".aws/config` line 1: this line stands before the first section"]);
}

#[test]
fn crlf_and_a_byte_order_mark_are_read_over() {
    let home = Home::new();
    for name in ["config", "credentials"] {
        let path = home.path().join(".aws").join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("\u{feff}{}", text.replace('\n', "\r\n"))).unwrap();
    }
    home.keyrole(["get", "prod"]).output().document();
}

#[test]
fn a_malformed_line_is_named() {
    let home = Home::new();
    home.add_config("[profile broken\nregion = eu-west-1\n");
    home.keyrole(["get", "prod"]).output().fails(2, &[".aws/config` line ", "the section's `]` is missing"]);
}

#[test]
fn a_variable_for_the_config_file_that_points_nowhere_is_named() {
    let home = Home::new();
    let output = home.keyrole(["get", "prod"]).env("AWS_CONFIG_FILE", "/nowhere/aws").output();
    output.fails(2, &["cannot read `/nowhere/aws`: it does not exist", "the path comes from `AWS_CONFIG_FILE`"]);
}

#[test]
fn a_credentials_file_that_is_not_there_is_an_empty_one_as_for_the_aws_cli() {
    let home = Home::new();
    let output = home.keyrole(["get", "prod"]).env("AWS_SHARED_CREDENTIALS_FILE", "/nowhere/aws").output();
    output.fails(2, &["profile `base`", "there are no credentials here"]);
}

#[test]
fn the_variables_for_the_files_are_honoured_and_may_begin_with_a_tilde() {
    let home = Home::new();
    std::fs::rename(home.path().join(".aws"), home.path().join("elsewhere")).unwrap();
    let run = home.keyrole(["get", "prod"]).env("AWS_CONFIG_FILE", "~/elsewhere/config");
    run.env("AWS_SHARED_CREDENTIALS_FILE", home.path().join("elsewhere/credentials")).output().document();
}

#[test]
fn without_the_aws_directory_the_profile_is_not_there() {
    let home = Home::new();
    std::fs::remove_dir_all(home.path().join(".aws")).unwrap();
    home.keyrole(["get", "prod"]).output().fails(2, &["profile `prod` is not in `", ".aws/config`"]);
}

#[test]
fn a_home_that_does_not_exist_is_no_reason_to_fail() {
    let home = Home::new();
    let gone = "/proc/no-such-home";
    home.keyrole(["get", "prod"])
        .env("HOME", gone)
        .output()
        .fails(2, &["profile `prod` is not in `/proc/no-such-home"]);
    with_files(&home, home.keyrole(["get", "prod"]).env("HOME", gone)).output().document();
}

#[test]
fn a_home_that_nobody_knows_is_said_to_be_unknown() {
    let home = Home::new();
    // Without `HOME` the system's list of users tells it; this user is not in it.
    let run = as_user(&home, 54_321).under(["env", "-u", "HOME"]);
    if is_root() {
        run.output().fails(2, &["the home directory is not known", "set `HOME`, or `AWS_CONFIG_FILE`"]);
        let credentials = home.path().join(".aws/credentials");
        std::os::unix::fs::chown(credentials, Some(54_321), None).unwrap();
        with_files(&home, as_user(&home, 54_321)).under(["env", "-u", "HOME"]).output().document();
    }
}

#[test]
fn without_home_the_files_that_are_named_are_enough() {
    let home = Home::new();
    let run = home.keyrole(["get", "prod"]).env("XDG_STATE_HOME", home.path().join("state"));
    with_files(&home, run).under(["env", "-u", "HOME"]).output().document();
}

/// Names both files by their variables.
fn with_files(home: &Home, run: Run) -> Run {
    let file = |name: &str| home.path().join(".aws").join(name);
    run.env("AWS_CONFIG_FILE", file("config")).env("AWS_SHARED_CREDENTIALS_FILE", file("credentials"))
}

/// Checks that the credentials are printed, in silence, and are kept in the keyring all the same.
#[track_caller]
fn works(home: &Home, line: &str) {
    let first = with_mounts(home, line).key();
    assert_eq!(with_mounts(home, line).key(), first, "{line}");
    assert_eq!(home.sts.attempts("AssumeRole"), 1, "{line}");
}

#[test]
fn a_read_only_home_is_no_reason_to_fail() {
    let home = Home::new();
    works(
        &home,
        "mount --bind \"$HOME\" \"$HOME\" && mount -o remount,bind,ro \"$HOME\" && ! touch \"$HOME/x\" 2>/dev/null",
    );
    assert!(!home.path().join(".local").exists());
}

#[test]
fn a_full_disk_is_no_reason_to_fail() {
    let state =
        "mkdir -p \"$HOME/.local/state\" && mount -t tmpfs -o size=16k,nr_inodes=NR none \"$HOME/.local/state\"";
    let fill = "{ cat /dev/zero >\"$HOME/.local/state/zeros\" 2>/dev/null; true; }";
    // Without room for data, then without room even for an empty file.
    for inodes in ["100", "2"] {
        works(&Home::new(), &format!("{} && {fill}", state.replace("NR", inodes)));
    }
}

#[test]
fn a_state_directory_that_cannot_be_made_or_written_to_is_found_by_the_doctor() {
    let home = Home::new();
    let state = home.path().join("state");
    std::fs::create_dir(&state).unwrap();
    std::fs::set_permissions(&state, PermissionsExt::from_mode(0o555)).unwrap();
    std::fs::set_permissions(home.path().join(".aws/credentials"), PermissionsExt::from_mode(0o644)).unwrap();
    let run = run_as(&home, 65_534, &["doctor", "prod", "--json", "--offline"]).env("XDG_STATE_HOME", &state);
    finds(&checks(&run), "state", "fail", &["ermission denied", &format!("chmod u+wx {},", state.display())]);

    // Full once the directory itself is there.
    let full = "mkdir -p \"$HOME/.local/state\" && mount -t tmpfs -o size=64k none \"$HOME/.local/state\" && \
                mkdir -m 700 \"$HOME/.local/state/keyrole\" && \
                { cat /dev/zero >\"$HOME/.local/state/zeros\" 2>/dev/null; true; }";
    let found = checks_in(&run_with_mounts(&Home::new(), full, "doctor prod --json --offline"));
    finds(&found, "state", "fail", &["No space left", "make room"]);

    let home = Home::new();
    finds(&checks(&home.keyrole(["doctor", "prod", "--json", "--offline"])), "state", "ok", &["by this user alone"]);
    let left: Vec<_> = std::fs::read_dir(home.state_dir()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with("doctor")), "{left:?}");
}

#[test]
fn a_state_directory_that_is_a_file_is_no_reason_to_fail() {
    let home = Home::new();
    std::fs::write(home.path().join(".local"), "").unwrap();
    let first = home.keyrole(["get", "prod"]).output().key();
    assert_eq!(home.keyrole(["get", "prod"]).output().key(), first);
}

#[test]
fn the_state_directory_is_closed_to_others_and_holds_no_secret() {
    let home = Home::with_mfa();
    home.add_config(&home.role("reader", READER, ""));
    let code = home.code();
    let document = home.keyrole(["get", "prod", "--mfa-code", &code]).output().document();
    let secrets = ["SecretAccessKey", "SessionToken"].map(|key| document[key].as_str().unwrap().to_owned());
    let state = home.state_dir();
    assert_eq!(std::fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
    let files = files_below(&state);
    assert!(files.iter().any(|path| path.ends_with("keyrole.log")), "{files:?}");
    for path in files {
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{path:?}");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!secrets.iter().any(|secret| text.contains(secret)) && !text.contains(&code), "{path:?}");
    }
}

fn files_below(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[test]
fn a_state_directory_that_others_can_write_to_is_not_used() {
    let home = Home::new();
    let shared = home.path().join("shared");
    let state = shared.join("keyrole");
    std::fs::create_dir_all(&state).unwrap();
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o777)).unwrap();
    std::os::unix::fs::symlink(home.path().join("precious"), state.join("keyrole.log")).unwrap();
    home.keyrole(["get", "prod"]).env("XDG_STATE_HOME", &shared).output().document();
    assert!(!home.path().join("precious").exists() && !state.join("locks").exists());
}

#[test]
fn a_failure_that_nobody_can_hear_keeps_its_exit_code() {
    let home = Home::new();
    let script = format!("{} get nope 2>/dev/full", crate::support::KEYROLE);
    assert_eq!(home.run("sh", ["-c", &script]).output().code, 2);
}
