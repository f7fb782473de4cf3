//! Sealed files keep sessions where there is no keyring. They are of no use without the key, and never plain text.

use crate::support::sts::READER;
use crate::support::{Home, Run};
use std::fs;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::PathBuf;

const KEY: &str = "0123456789abcdef0123456789abcdef";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const OTHER_KEY: &str = "fedcba9876543210fedcba9876543210";

fn run<const N: usize>(home: &Home, arguments: [&str; N]) -> Run {
    home.keyrole(arguments).env("KEYROLE_STORE", "file")
}

fn get(home: &Home) -> Run {
    run(home, ["get", "prod"]).env("KEYROLE_FILE_KEY", KEY)
}

fn files(home: &Home) -> Vec<PathBuf> {
    let files = fs::read_dir(home.state_dir().join("sessions")).into_iter().flatten().flatten();
    files.map(|file| file.path()).collect()
}

#[test]
fn a_session_is_found_again_with_the_key_and_not_with_another() {
    let home = Home::new();
    let first = get(&home).output().key();
    assert_eq!(get(&home).output().key(), first);
    let other = get(&home).env("KEYROLE_FILE_KEY", OTHER_KEY).output().key();
    assert_ne!(other, first);
    assert_eq!(home.sts.attempts("AssumeRole"), 2);
}

#[test]
fn the_key_is_the_same_from_a_file_as_from_the_environment_and_the_file_wins() {
    let home = Home::new();
    let key = home.path().join("key");
    fs::write(&key, format!("{KEY}\n")).unwrap();
    let first = get(&home).output().key();
    let from_file = get(&home).env("KEYROLE_FILE_KEY_FILE", &key).env("KEYROLE_FILE_KEY", OTHER_KEY);
    assert_eq!(from_file.output().key(), first);
}

#[test]
fn any_32_bytes_are_a_key_even_such_as_are_no_text() {
    let home = Home::new();
    let key = home.path().join("key");
    fs::write(&key, [b'\n'; 32].map(|byte| byte ^ 0x80)).unwrap();
    let run = || run(&home, ["get", "prod"]).env("KEYROLE_FILE_KEY_FILE", &key);
    assert_eq!(run().output().key(), run().output().key());
}

#[test]
fn without_a_key_the_store_is_refused_with_both_variables_named() {
    let home = Home::new();
    let variables = ["`KEYROLE_FILE_KEY_FILE`", "`KEYROLE_FILE_KEY`"];
    run(&home, ["get", "prod"]).output().fails(2, &variables);
    run(&home, ["login", "prod"]).output().fails(2, &variables);
    run(&home, ["status", "prod"]).output().fails(2, &variables);
    assert_eq!(home.sts.attempts("AssumeRole"), 0);
}

#[test]
fn a_key_that_is_too_short_or_cannot_be_read_is_refused_and_not_shown() {
    let home = Home::new();
    let short = get(&home).env("KEYROLE_FILE_KEY", "hunter2hunter2").output();
    short.fails(2, &["`KEYROLE_FILE_KEY`: 14 bytes are too short for a key", "keyrole: hint: ", "urandom"]);
    assert!(!short.stderr.contains("hunter2"), "{short:?}");
    let missing = get(&home).env("KEYROLE_FILE_KEY_FILE", "/nonexistent/key").output();
    missing.fails(2, &["`KEYROLE_FILE_KEY_FILE`: cannot read `/nonexistent/key`"]);
    assert_eq!((home.sts.attempts("AssumeRole"), files(&home).len()), (0, 0));
}

#[test]
fn files_are_for_their_owner_alone_and_hold_nothing_in_plain_text() {
    let home = Home::new();
    let document = get(&home).output().document();
    let file = &files(&home)[0];
    assert_eq!(fs::metadata(file).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(file.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
    let bytes = fs::read(file).unwrap();
    for field in ["AccessKeyId", "SecretAccessKey", "SessionToken"] {
        let piece = &document[field].as_str().unwrap().as_bytes()[..16];
        assert!(bytes.windows(16).all(|window| window != piece), "{field}");
    }
    get(&home).env("KEYROLE_FILE_KEY", OTHER_KEY).output().document();
    assert_ne!(fs::read(file).unwrap()[..12], bytes[..12], "the same nonce");
}

#[test]
fn a_file_that_is_torn_changed_or_anothers_is_a_miss_and_is_replaced() {
    let home = Home::new();
    home.add_config(&home.role("reader", READER, ""));
    run(&home, ["get", "reader"]).env("KEYROLE_FILE_KEY", KEY).output().document();
    let reader = fs::read(&files(&home)[0]).unwrap();
    let mut key = get(&home).output().key();
    let path = files(&home).into_iter().find(|path| fs::read(path).unwrap() != reader).unwrap();
    let whole = fs::read(&path).unwrap();
    let mut changed = whole.clone();
    *changed.last_mut().unwrap() ^= 1;
    for (what, bytes) in [("empty", &whole[..0]), ("torn", &whole[..20]), ("changed", &changed), ("another's", &reader)]
    {
        fs::write(&path, bytes).unwrap();
        let next = get(&home).output().key();
        assert_ne!(next, key, "{what}");
        assert_eq!(get(&home).output().key(), next, "{what}");
        key = next;
    }
}

#[test]
fn a_link_in_place_of_a_file_is_not_followed() {
    let home = Home::new();
    let first = get(&home).output().key();
    let path = files(&home).remove(0);
    let elsewhere = home.path().join("elsewhere");
    fs::rename(&path, &elsewhere).unwrap();
    let sealed = fs::read(&elsewhere).unwrap();
    symlink(&elsewhere, &path).unwrap();
    assert_ne!(get(&home).output().key(), first);
    assert_eq!(fs::read(&elsewhere).unwrap(), sealed);
    assert!(fs::symlink_metadata(&path).unwrap().is_file());
}

#[test]
fn writing_removes_what_has_expired_and_what_was_never_finished_and_nothing_else() {
    let home = Home::new();
    get(&home).output().document();
    let dir = home.state_dir().join("sessions");
    for (name, time) in [("0123", "2 minutes ago"), (".unfinished", "2 minutes ago"), (".being-written", "now")] {
        let touched = home.run("touch", ["-d", time, dir.join(name).to_str().unwrap()]).output();
        assert_eq!(touched.code, 0, "{touched:?}");
    }
    home.add_config(&home.role("reader", READER, ""));
    run(&home, ["get", "reader"]).env("KEYROLE_FILE_KEY", KEY).output().document();
    let names: Vec<_> = files(&home).iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(names.iter().any(|name| name == ".being-written"), "{names:?}");
}

#[test]
fn every_write_is_finished_on_the_disk_before_it_takes_the_place_of_another() {
    let home = Home::new();
    let trace = home.path().join("trace");
    let calls = "trace=openat,rename,renameat,renameat2,fsync,fdatasync";
    get(&home).under(["strace", "-f", "-qq", "-y", "-e", calls, "-o", trace.to_str().unwrap()]).output().document();
    let trace = fs::read_to_string(&trace).unwrap();
    let at = |call: &str, what: &str| {
        let found = trace.lines().position(|line| line.contains(call) && line.contains(what));
        found.unwrap_or_else(|| panic!("no {call} of {what} in {trace}"))
    };
    let renamed = at("rename", "sessions/");
    assert!(at("fsync", "sessions/.") < renamed, "{trace}");
    assert!(renamed < at("fsync", "sessions>"), "{trace}");
}

#[test]
fn logout_removes_the_file_of_its_profile_and_no_other() {
    let home = Home::new();
    home.add_config(&home.role("reader", READER, ""));
    for profile in ["prod", "reader"] {
        run(&home, ["get", profile]).env("KEYROLE_FILE_KEY", KEY).output().document();
    }
    let out = run(&home, ["logout", "prod"]).env("KEYROLE_FILE_KEY", KEY).output();
    assert!(out.code == 0 && files(&home).len() == 1, "{out:?}");
    let status = run(&home, ["status"]).env("KEYROLE_FILE_KEY", KEY).output();
    assert!(status.stdout.contains("reader") && status.stdout.contains("file"), "{status:?}");
}

#[test]
fn a_link_in_place_of_the_directory_is_not_followed() {
    let home = Home::new();
    get(&home).output().document();
    let (sessions, elsewhere) = (home.state_dir().join("sessions"), home.path().join("elsewhere"));
    fs::rename(&sessions, &elsewhere).unwrap();
    symlink(&elsewhere, &sessions).unwrap();
    let before = fs::read_dir(&elsewhere).unwrap().count();
    let logout = run(&home, ["logout", "prod"]).env("KEYROLE_FILE_KEY", KEY).output();
    logout.fails(1, &["cannot remove a session", "is not a directory that only this user can write to"]);
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), before);
}

#[test]
fn root_makes_no_directory_in_the_home_of_a_user() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let home = Home::new();
    chown(home.path(), Some(65_534), Some(65_534)).unwrap();
    home.keyrole(["get", "prod"]).output().document();
    assert!(!home.path().join(".local").exists());
}

#[test]
fn the_key_is_kept_from_the_programs_that_keyrole_runs() {
    let home = Home::new();
    let command = "mfa_process = env > seen; cat code";
    home.write_config(&home.default_config(&format!("mfa_serial = {}\n{command}\n", home.serial)));
    fs::write(home.path().join("code"), home.code()).unwrap();
    get(&home).output().document();
    let seen = fs::read_to_string(home.path().join("seen")).unwrap();
    assert!(seen.contains("KEYROLE_STORE=file") && !seen.contains(KEY), "{seen}");

    home.write_credentials("");
    let keys = format!("{{\"Version\":1,\"AccessKeyId\":\"{}\",\"SecretAccessKey\":\"{SECRET}\"}}", home.access_key_id);
    fs::write(home.path().join("keys"), keys).unwrap();
    home.write_config(&home.default_config("credential_process = env > seen; cat keys\n"));
    get(&home).output().document();
    let seen = fs::read_to_string(home.path().join("seen")).unwrap();
    assert!(seen.contains("KEYROLE_STORE=file") && !seen.contains(KEY), "{seen}");

    let seen = run(&home, ["exec", "prod", "env"]).env("KEYROLE_FILE_KEY", KEY).output().stdout;
    assert!(seen.contains("KEYROLE_STORE=file") && !seen.contains(KEY), "{seen}");
}

#[test]
fn where_the_files_cannot_be_written_the_credentials_are_printed_all_the_same() {
    let home = Home::new();
    let out = get(&home).env("XDG_STATE_HOME", "/proc").output();
    out.document();
}
