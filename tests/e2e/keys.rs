//! `keyrole keys` moves long-lived access keys out of the files and loses none, whatever happens meanwhile.

use crate::clients::{boto3, cli_v1, cli_v2};
use crate::store::{Bus, Login, Person, nowhere_in};
use crate::support::sts::{ADMIN, Fault, READER, Sts, User};
use crate::support::{Home, KEYROLE, Output, PATIENCE, Run};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::time::Instant;

const FILE_KEY: &str = "0123456789abcdef0123456789abcdef";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// A home whose `base` and its roles are at the stand-in; `more` is added to `[profile base]`.
fn home(more: &str) -> Home {
    let home = Home::with(Sts::start(), "");
    let url = home.sts.url();
    home.write_config(&home.default_config(&format!("endpoint_url = {url}\n{more}")));
    home
}

fn home_with_mfa() -> Home {
    let home = home("");
    let url = home.sts.url();
    home.write_config(&home.default_config(&format!("endpoint_url = {url}\nmfa_serial = {}\n", home.serial)));
    home
}

/// Puts a run where sealed files are the only persistent store.
fn sealed(run: Run) -> Run {
    run.env("KEYROLE_FILE_KEY", FILE_KEY)
}

fn keys(home: &Home, arguments: &[&str]) -> Run {
    sealed(home.keyrole([&["keys"], arguments].concat()))
}

fn get(home: &Home, profile: &str) -> Run {
    sealed(home.keyrole(["get", profile]))
}

/// Checks that a command worked, and gives what it said.
#[track_caller]
fn worked(output: &Output) -> &str {
    assert_eq!(output.code, 0, "{output:?}");
    &output.stderr
}

fn import(home: &Home) {
    worked(&keys(home, &["import", "base", "--yes", "--delete-backup"]).output());
}

fn file(home: &Home, name: &str) -> String {
    fs::read_to_string(home.path().join(".aws").join(name)).unwrap()
}

/// The names in `~/.aws`, so that a temporary file or a backup is seen.
fn names(home: &Home) -> Vec<String> {
    let entries = fs::read_dir(home.path().join(".aws")).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn backups(home: &Home) -> Vec<PathBuf> {
    let names = names(home).into_iter().filter(|name| name.contains(".keyrole-"));
    names.map(|name| home.path().join(".aws").join(name)).collect()
}

/// The keys and notes among the sealed files.
fn entries(home: &Home) -> BTreeSet<String> {
    let files = fs::read_dir(home.state_dir().join("keys")).into_iter().flatten().flatten();
    let names = files.map(|file| file.file_name().into_string().unwrap());
    // What was never finished is sealed as well, and goes with a later write.
    names.filter(|name| !name.starts_with('.')).collect()
}

/// Gives the access key ID that the config file names for `base`.
fn named(home: &Home) -> String {
    let config = file(home, "config");
    let marker = config.lines().find_map(|line| line.strip_prefix("keyrole_aws_access_key_id = "));
    marker.unwrap_or_else(|| panic!("no key is named in {config}")).to_owned()
}

fn user(home: &Home) -> String {
    home.serial.rsplit('/').next().unwrap().to_owned()
}

fn session_of(home: &Home) -> String {
    format!("arn:aws:iam::111122223333:user/{}\n", user(home))
}

/// `get-caller-identity` in each client.
fn clients(home: &Home, profile: &str) -> [Run; 3] {
    const WHO_AM_I: &str = "import boto3, sys\n\
        print(boto3.Session(profile_name=sys.argv[1]).client('sts').get_caller_identity()['Arn'])";
    let arguments = ["sts", "get-caller-identity", "--query", "Arn", "--output", "text", "--profile", profile];
    // Before 2.13, version 2 does not know a profile's `endpoint_url`.
    let url = home.sts.url();
    let v2 = [&arguments[..], &["--endpoint-url", &url]].concat();
    [home.run(cli_v1(), arguments), home.run(cli_v2(), v2), boto3(home, WHO_AM_I, &[profile])]
}

/// Runs a command and kills it at the nth of these system calls; tells whether there were so many.
fn killed(run: Run, calls: &str, n: usize) -> bool {
    let inject = format!("inject={calls}:signal=SIGKILL:when={n}");
    let output = run.under(["strace", "-f", "-qq", "-o", "trace", "-e", &inject]).output();
    assert!(output.code == 0 || output.code == 137, "{calls} {n}: {output:?}");
    output.code == 137
}

/// The calls by which a run leaves something behind, on the disk or at AWS, and those between them.
const STEPS: [&str; 6] = [
    "rename,renameat,renameat2",
    "fsync",
    "write",
    "unlink,unlinkat",
    "sendto,writev,sendmsg",
    "recvfrom,readv,recvmsg",
];

#[test]
fn an_imported_key_works_in_keyrole_and_every_client_and_for_every_role_of_it() {
    let home = home("");
    // Of the second role keyrole knows nothing; the clients assume it by themselves.
    home.add_config(&format!(
        "[profile own]\nrole_arn = {READER}\nsource_profile = base\nregion = eu-west-1\nendpoint_url = {}\n",
        home.sts.url()
    ));
    let before = [get(&home, "prod").output().key(), get(&home, "base").output().key()];
    let output = keys(&home, &["import", "base", "--yes"]).output();
    assert!(worked(&output).contains("is in `file`, and profile `base` works as before"), "{output:?}");
    home.sts.forget_calls();
    assert_eq!(before, [get(&home, "prod").output().key(), get(&home, "base").output().key()]);
    assert_eq!(home.sts.calls().len(), 0, "what was cached stays a hit");
    for (profile, who) in [
        ("base", session_of(&home)),
        ("prod", "arn:aws:sts::444455556666:assumed-role/Admin/".to_owned()),
        ("own", "arn:aws:sts::444455556666:assumed-role/ReadOnly/".to_owned()),
    ] {
        for client in clients(&home, profile) {
            let output = sealed(client).output();
            assert!(output.code == 0 && output.stdout.starts_with(&who), "{profile}: {output:?}");
        }
    }
    assert_ne!(sealed(home.keyrole(["get", "prod", "--refresh"])).output().key(), before[0]);
}

#[test]
fn a_key_with_a_serial_asks_for_one_code_and_serves_every_client() {
    let home = home_with_mfa();
    import(&home);
    let login = sealed(home.keyrole(["login", "base", "prod", "--mfa-code", &home.code()])).output();
    assert_eq!(login.code, 0, "{login:?}");
    for profile in ["base", "prod"] {
        for client in clients(&home, profile) {
            let output = sealed(client).output();
            assert!(output.code == 0 && output.stdout.starts_with("arn:aws:"), "{profile}: {output:?}");
        }
    }
    assert_eq!(home.sts.attempts("GetSessionToken"), 1);
}

#[test]
fn a_role_without_mfa_sessions_sends_its_code_with_the_key_from_the_store() {
    let home = home_with_mfa();
    let config = file(&home, "config");
    home.write_config(&config.replace("mfa_serial", "mfa_session_duration = 0\nmfa_serial"));
    import(&home);
    let output = sealed(home.keyrole(["get", "prod", "--mfa-code", &home.code()])).output();
    output.document();
    assert_eq!((home.sts.attempts("GetSessionToken"), home.sts.count("AssumeRole")), (0, 1));
}

#[test]
fn import_changes_no_other_byte_of_either_file() {
    let home = home("");
    let url = home.sts.url();
    let config = format!(
        "\u{feff}# mine\r\n[profile base] ; here\r\nendpoint_url={url}\r\n  # why?\r\nregion : eu-west-1\r\n\r\n# other\r\n\
         [profile other]\r\nregion=eu-west-1"
    );
    let other = "[other]\naws_access_key_id=AKIAOTHEROTHEROTHERO\naws_secret_access_key=of-the-other\n";
    let id = &home.access_key_id;
    let credentials = format!(
        "# top\n\n{other}\n# of base\n[base]\n# old key of May\nAWS_SECRET_ACCESS_KEY : {SECRET}\naws_access_key_id={id} ; x\n\
         \n[last]\naws_access_key_id = AKIALASTLASTLASTLAST\naws_secret_access_key = of-the-last"
    );
    home.write_config(&config);
    home.write_credentials(&credentials);
    import(&home);
    let marker = format!("credential_process = {KEYROLE} get base\r\nkeyrole_aws_access_key_id = {id}\r\n");
    assert_eq!(
        file(&home, "config"),
        config.replace("region : eu-west-1\r\n", &format!("region : eu-west-1\r\n{marker}"))
    );
    let key = format!("AWS_SECRET_ACCESS_KEY : {SECRET}\naws_access_key_id={id} ; x\n");
    assert_eq!(file(&home, "credentials"), credentials.replace(&key, ""));
    assert_eq!(names(&home), ["config", "credentials"]);
    get(&home, "base").output().document();
}

#[test]
fn a_key_in_the_config_file_is_imported_in_one_step() {
    let home = home("");
    let id = home.access_key_id.clone();
    let key = format!("aws_access_key_id = {id}\naws_secret_access_key = {SECRET}\n");
    let config = format!("[profile base]\n{key}region = eu-west-1\nendpoint_url = {}\n", home.sts.url());
    home.write_config(&config);
    fs::remove_file(home.path().join(".aws/credentials")).unwrap();
    import(&home);
    let marker = format!("credential_process = {KEYROLE} get base\nkeyrole_aws_access_key_id = {id}\n");
    assert_eq!(file(&home, "config"), config.replace(&key, "") + &marker);
    assert_eq!(names(&home), ["config"]);
    get(&home, "base").output().document();
}

#[test]
fn a_dry_run_shows_the_change_without_the_secret_and_asks_and_changes_nothing() {
    let home = home("");
    let before = (file(&home, "config"), file(&home, "credentials"));
    let output = keys(&home, &["import", "base", "--dry-run"]).output();
    assert!(worked(&output).is_empty(), "{output:?}");
    assert!(output.stdout.contains("-aws_secret_access_key = ****\n"), "{output:?}");
    assert!(output.stdout.contains(&format!("+keyrole_aws_access_key_id = {}\n", home.access_key_id)), "{output:?}");
    assert!(!output.stdout.contains(SECRET), "{output:?}");
    assert_eq!((before, home.sts.calls().len()), ((file(&home, "config"), file(&home, "credentials")), 0));
    assert_eq!((names(&home).len(), entries(&home).len()), (2, 0));
}

#[test]
fn a_key_that_aws_does_not_take_stays_where_it_is() {
    let home = home("");
    let wrong = file(&home, "credentials").replace(SECRET, "wrong/wrong/wrong/wrong/wrong/wrong/wrong");
    home.write_credentials(&wrong);
    let before = file(&home, "config");
    keys(&home, &["import", "base", "--yes"]).output().fails(5, &["nothing was written", "SignatureDoesNotMatch"]);
    home.sts.set_fault(Some(Fault::Drop));
    keys(&home, &["import", "base", "--yes"]).output().fails(1, &["nothing was written", "cannot be checked"]);
    assert_eq!((file(&home, "config"), file(&home, "credentials")), (before, wrong));
    assert_eq!((names(&home).len(), entries(&home).len()), (2, 0));
}

#[test]
fn what_is_no_long_lived_key_or_has_another_way_beside_it_is_refused() {
    let home = home("");
    let refused = |config: &str, credentials: &str, words: &[&str]| {
        home.write_config(&format!("[profile base]\n{config}endpoint_url = {}\n", home.sts.url()));
        home.write_credentials(credentials);
        keys(&home, &["import", "base", "--yes"]).output().fails(2, words);
        assert_eq!((file(&home, "credentials").as_str(), entries(&home).len()), (credentials, 0));
    };
    let key = |id: &str| format!("[base]\naws_access_key_id = {id}\naws_secret_access_key = {SECRET}\n");
    let own = key(&home.access_key_id);
    refused("", &key("ASIAIOSFODNN7EXAMPLE"), &["temporary key"]);
    refused("", &(own.clone() + "aws_session_token = t\n"), &["temporary keys, which expire"]);
    refused("", &key("AIDAIOSFODNN7EXAMPLE"), &["begins with `AKIA`"]);
    refused(&format!("role_arn = {ADMIN}\nsource_profile = base\n"), &own, &["`role_arn`", "`base-keys`"]);
    refused("credential_process = /bin/other\n", &own, &["`credential_process`", "line 2"]);
    let two = "aws_access_key_id = AKIAOTHEROTHEROTHERO\naws_secret_access_key = other\n";
    refused(two, &own, &["another one in", "/.aws/config` line 2"]);
    refused("sso_session = s\n", "[base]\n", &["`sso_"]);
    refused("region = eu-west-1\n", "", &["no credentials here"]);
    keys(&home, &["import", "nobody", "--yes"]).output().fails(2, &["profile `nobody` is not in"]);
}

#[test]
fn the_backup_is_offered_for_deletion_and_private_until_then() {
    let home = home("");
    fs::set_permissions(home.path().join(".aws/credentials"), std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .unwrap();
    let credentials = file(&home, "credentials");
    let terminal = keys(&home, &["import", "base"]).on_terminal();
    let shown = terminal.expect("do this? [yes]: ");
    assert!(shown.contains(":user/") && shown.contains("goes to `file`") && !shown.contains(SECRET), "{shown}");
    assert_eq!((file(&home, "credentials"), entries(&home).len()), (credentials.clone(), 0));
    terminal.send("\n");
    terminal.expect("delete that? [yes]: ");
    let kept = backups(&home);
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert!(kept.iter().all(|path| fs::metadata(path).unwrap().mode() & 0o777 == 0o600), "{kept:?}");
    assert!(kept.iter().any(|path| fs::read_to_string(path).unwrap() == credentials));
    terminal.send("no\n");
    let output = terminal.finish();
    assert!(worked(&output).contains("delete that when all works"), "{output:?}");
    assert_eq!(backups(&home).len(), 2);
    // A second run has nothing to move, and asks about the backup again.
    let terminal = keys(&home, &["import", "base"]).on_terminal();
    terminal.expect("delete that? [yes]: ");
    terminal.send("\n");
    let output = terminal.finish();
    assert!(worked(&output).contains("in `file` already"), "{output:?}");
    assert_eq!(names(&home), ["config", "credentials"]);
}

#[test]
fn without_a_terminal_the_backup_stays_unless_a_flag_says_otherwise() {
    for (flag, left) in [(None, 2), (Some("--keep-backup"), 2), (Some("--delete-backup"), 0)] {
        let home = home("");
        let arguments: Vec<&str> = ["import", "base", "--yes"].into_iter().chain(flag).collect();
        worked(&keys(&home, &arguments).output());
        assert_eq!(backups(&home).len(), left, "{flag:?}");
    }
    let home = home("");
    keys(&home, &["import", "base"]).output().fails(4, &["the confirmation is missing", "add `--yes`"]);
    assert_eq!((names(&home).len(), entries(&home).len()), (2, 0));
}

/// Gives the same key to another profile, in plain text.
fn give_to_other(home: &Home) {
    let credentials = file(home, "credentials");
    home.write_credentials(&format!("{credentials}\n{}", credentials.replace("[base]", "[other]")));
}

#[test]
fn every_backup_that_holds_the_secret_is_offered_for_deletion() {
    let home = home("");
    give_to_other(&home);
    worked(&keys(&home, &["import", "base", "--yes", "--keep-backup"]).output());
    assert_eq!(backups(&home).len(), 2);
    let run = keys(&home, &["import", "other", "--yes", "--delete-backup"]);
    worked(&run.env("AWS_ENDPOINT_URL_STS", home.sts.url()).output());
    let with_secret = backups(&home).into_iter().filter(|path| fs::read_to_string(path).unwrap().contains(SECRET));
    assert_eq!(with_secret.count(), 0);
}

#[test]
fn an_import_that_fails_takes_nothing_from_one_that_did_not() {
    let home = home("");
    let terminal = keys(&home, &["import", "base"]).on_terminal();
    terminal.expect("do this? [yes]: ");
    import(&home);
    home.sts.fail_next(1, Fault::AccessDenied);
    terminal.send("yes\n");
    assert_ne!(terminal.finish().code, 0);
    get(&home, "base").output().document();
}

#[test]
fn a_config_file_that_is_the_credentials_file_as_well_is_refused() {
    let home = home("");
    let both = home.path().join("both");
    fs::write(&both, file(&home, "config") + &file(&home, "credentials").replace("[base]", "[default]")).unwrap();
    let run = keys(&home, &["import", "default", "--yes"]).env("AWS_CONFIG_FILE", &both);
    let run = run.env("AWS_ENDPOINT_URL_STS", home.sts.url());
    run.env("AWS_SHARED_CREDENTIALS_FILE", &both).output().fails(2, &["are one and the same"]);
    assert_eq!(entries(&home).len(), 0);
}

#[test]
fn a_key_that_another_profile_has_in_plain_text_is_not_rotated_away_from_it() {
    let home = home("");
    give_to_other(&home);
    keys(&home, &["rotate", "prod", "--yes"])
        .output()
        .fails(2, &["`base` is plain text", "`keyrole keys import base`"]);
    import(&home);
    let output = keys(&home, &["rotate", "base", "--yes"]).output();
    output.fails(2, &["profile `other` has the same access key", "`keyrole keys import other` first"]);
    assert_eq!(named(&home), home.access_key_id);
}

#[test]
fn a_key_is_not_said_to_be_removed_where_its_store_could_not_be_asked() {
    let home = home("");
    import(&home);
    let config = file(&home, "config");
    let dir = home.state_dir().join("keys");
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
    keys(&home, &["remove", "base", "--yes"])
        .output()
        .fails(1, &["cannot tell whether", "only this user can write to"]);
    assert_eq!(file(&home, "config"), config);
    get(&home, "base").output().fails(1, &["`chmod 700` the directory"]);
    let without_key = home.keyrole(["keys", "remove", "base", "--yes"]).output();
    assert_eq!((without_key.code, file(&home, "config")), (1, config), "{without_key:?}");
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
    worked(&keys(&home, &["remove", "base", "--yes"]).output());
}

#[test]
fn a_backup_that_is_kept_is_left_alone_by_rotate_and_remove() {
    let home = home("");
    worked(&keys(&home, &["import", "base", "--yes", "--keep-backup"]).output());
    let before = backups(&home);
    worked(&keys(&home, &["rotate", "base", "--yes"]).output());
    worked(&keys(&home, &["remove", "base", "--yes"]).output());
    assert_eq!(backups(&home), before);
}

#[test]
fn setup_gives_no_role_to_a_profile_whose_key_is_in_the_keyring() {
    let home = home("");
    import(&home);
    let arguments = ["setup", "base", "--role-arn", ADMIN, "--source-profile", "base", "--no-mfa", "--yes"];
    sealed(home.keyrole(arguments)).output().fails(2, &["`base` has its access key in the keyring"]);
}

#[test]
fn setup_cannot_undo_an_import() {
    let home = home("");
    worked(&keys(&home, &["import", "base", "--yes"]).output());
    sealed(home.keyrole(["setup", "--undo"])).output().fails(1, &["nothing to undo"]);
    get(&home, "base").output().document();
}

#[test]
fn an_import_that_is_killed_at_any_step_leaves_a_working_profile_and_the_next_one_finishes() {
    for calls in STEPS {
        for n in 1.. {
            let home = home("");
            let was_killed = killed(keys(&home, &["import", "base", "--yes", "--delete-backup"]), calls, n);
            sealed(home.keyrole(["get", "prod", "--refresh"])).output().document();
            let boto =
                boto3(&home, "import boto3; boto3.Session(profile_name='base').get_credentials().access_key", &[]);
            if was_killed && calls.starts_with("rename") {
                assert_eq!(sealed(boto).output().code, 0, "{calls} {n}");
            }
            import(&home);
            assert_eq!(names(&home), ["config", "credentials"], "{calls} {n}");
            nowhere_in(home.path(), &[SECRET.to_owned()]);
            assert_eq!(named(&home), home.access_key_id);
            get(&home, "base").output().document();
            if !was_killed {
                assert!(n > 1 || calls.contains("recv") || calls.contains("send"), "{calls} is never called");
                break;
            }
        }
    }
}

#[test]
fn a_file_that_cannot_be_written_keeps_the_key_where_it_was() {
    let home = home("");
    let before = (file(&home, "config"), file(&home, "credentials"));
    let path = home.path().join(".aws/credentials");
    let bind = format!("mount --bind {0} {0} && mount -o remount,bind,ro {0} && exec \"$@\"", path.display());
    let run = keys(&home, &["import", "base", "--yes"]).under(["unshare", "-m", "sh", "-c", &bind, "sh"]);
    run.output().fails(1, &["cannot write", "credentials"]);
    assert_eq!(before, (file(&home, "config"), file(&home, "credentials")));
    assert_eq!((names(&home).len(), entries(&home).len()), (2, 0));
}

#[test]
fn without_a_persistent_store_the_key_stays_and_the_error_says_what_to_start() {
    let home = home("");
    let before = file(&home, "credentials");
    let output = home.keyrole(["keys", "import", "base", "--yes"]).output();
    output.fails(1, &["no store here can keep an access key", "start a Secret Service", "`KEYROLE_FILE_KEY_FILE`"]);
    let file_alone = home.keyrole(["keys", "import", "base", "--yes"]).env("KEYROLE_STORE", "file").output();
    file_alone.fails(2, &["the store `file` has no key"]);
    assert_eq!((file(&home, "credentials"), names(&home).len()), (before, 2));
}

#[test]
fn a_choice_of_store_for_sessions_does_not_keep_a_key_from_a_persistent_one() {
    for store in ["keyutils", "none", "auto", "file"] {
        let home = home("");
        let run = |arguments: &[&str]| sealed(home.keyrole(arguments)).env("KEYROLE_STORE", store);
        worked(&run(&["keys", "import", "base", "--yes"]).output());
        run(&["get", "prod"]).output().document();
        assert_eq!(entries(&home), BTreeSet::from([home.access_key_id.clone()]), "{store}");
    }
}

#[test]
fn a_key_that_is_nowhere_is_an_error_that_names_profile_key_and_stores() {
    let home = home("");
    import(&home);
    fs::remove_dir_all(home.state_dir().join("keys")).unwrap();
    let id = home.access_key_id.clone();
    let words = [&id, "profile `base`", "`file` does not have it", "`keyrole keys add base`"];
    get(&home, "prod").env("KEYROLE_STORE", "file").output().fails(1, &words);
    // Where another store cannot be asked, it may be there.
    get(&home, "prod").output().fails(1, &[&id, "the secret-service failed", "start a Secret Service"]);
    let list = keys(&home, &["list"]).output();
    assert!(list.stdout.contains("missing: "), "{list:?}");
    let doctor = sealed(home.keyrole(["doctor", "base", "--offline"])).output();
    assert!(doctor.stdout.contains("keyrole keys add base"), "{doctor:?}");
}

#[test]
fn a_key_that_is_sealed_with_another_key_is_not_taken_for_one_that_is_lost() {
    let home = home("");
    import(&home);
    let run = |arguments: &[&str]| {
        let run = keys(&home, arguments).env("KEYROLE_FILE_KEY", "fedcba9876543210fedcba9876543210");
        run.env("KEYROLE_STORE", "file")
    };
    run(&["rotate", "base", "--yes"]).output().fails(1, &["is sealed with another key", "`KEYROLE_FILE_KEY_FILE`"]);
    assert!(run(&["list"]).output().stdout.contains("is sealed with another key"));
    get(&home, "base").env("KEYROLE_STORE", "file").output().document();
    // One that is wrong does not hide the others.
    home.add_config("[profile bad]\nkeyrole_aws_access_key_id = AKIABADBADBADBADBADB\nregion = nowhere\n");
    let list = run(&["list"]).env("KEYROLE_FILE_KEY", FILE_KEY).output();
    assert!(list.stdout.contains("  file\n") && list.stdout.contains("unknown: "), "{list:?}");
}

#[test]
fn a_sealed_key_does_not_expire_and_logout_leaves_it_alone() {
    let home = home("");
    import(&home);
    let path = home.state_dir().join("keys").join(&home.access_key_id);
    let unfinished = home.state_dir().join("keys/.unfinished");
    for path in [&path, &unfinished] {
        assert_eq!(home.run("touch", ["-d", "3 years ago", path.to_str().unwrap()]).output().code, 0);
    }
    // Both write, and so sweep.
    get(&home, "prod").env("KEYROLE_STORE", "file").output().document();
    add(&home, "other", &second_key(&home), &[]).output_of(SECRET);
    assert_eq!((path.exists(), unfinished.exists()), (true, false));
    assert_eq!(sealed(home.keyrole(["logout", "base", "prod"])).env("KEYROLE_STORE", "file").output().code, 0);
    let status = sealed(home.keyrole(["status"])).env("KEYROLE_STORE", "file").output();
    assert!(status.code == 3 && !status.stdout.contains("AKIA"), "{status:?}");
    assert!(path.exists());
}

/// A second access key of the same user.
fn second_key(home: &Home) -> String {
    let id = format!("AKIAZ{}", &home.access_key_id[5..]);
    home.sts.add_user(User {
        access_key_id: id.clone(),
        secret_access_key: SECRET.to_owned(),
        account: "111122223333".to_owned(),
        name: user(home),
        mfa: Vec::new(),
    });
    id
}

/// `keyrole keys add` with the secret on stdin.
struct Add(Run);

fn add(home: &Home, profile: &str, id: &str, more: &[&str]) -> Add {
    let arguments = ["add", profile, "--access-key-id", id, "--secret-from-stdin", "--yes"];
    let run = keys(home, &[&arguments[..], more].concat()).env("AWS_ENDPOINT_URL", home.sts.url());
    Add(run)
}

impl Add {
    /// Runs it with this on stdin.
    fn output_of(self, secret: &str) -> Output {
        let run = self.0.under(["sh", "-c", "printf '%s\\n' \"$SECRET\" | env -u SECRET \"$@\"", "sh"]);
        run.env("SECRET", secret).output()
    }
}

#[test]
fn add_asks_for_a_key_without_showing_the_secret_and_makes_the_profile() {
    let home = home("");
    home.write_credentials("");
    let id = home.access_key_id.clone();
    let run = keys(&home, &["add", "new"]).env("AWS_ENDPOINT_URL", home.sts.url());
    let trace = "exec strace -f -qq -o trace -e trace=execve -s 9999 \"$@\"";
    let terminal = run.under(["sh", "-c", trace, "sh"]).on_terminal();
    terminal.expect("access key ID: ");
    terminal.send("ASIAIOSFODNN7EXAMPLE\n");
    terminal.expect("temporary key, which expires");
    terminal.send(&format!("{id}\n"));
    terminal.expect("secret access key (not shown): ");
    terminal.send(&format!("{SECRET}\n"));
    let shown = terminal.expect("do this? [yes]: ");
    assert!(shown.contains("+[profile new]") && shown.contains("in account 111122223333"), "{shown}");
    terminal.send("y\n");
    let (output, shown) = terminal.finish_with_screen();
    worked(&output);
    assert!(!shown.contains(SECRET) && !output.stderr.contains(SECRET), "{shown}");
    nowhere_in(home.path(), &[SECRET.to_owned()]);
    get(&home, "new").env("AWS_ENDPOINT_URL", home.sts.url()).output().document();
}

#[test]
fn the_terminal_echoes_again_after_a_secret_was_cancelled() {
    let home = home("");
    home.write_credentials("");
    let run = keys(&home, &["add", "new", "--access-key-id", &home.access_key_id]);
    let terminal = run.under(["sh", "-c", "trap : INT; \"$@\"; stty -a < /dev/tty", "sh"]).on_terminal();
    terminal.expect("(not shown): ");
    terminal.send("\u{3}");
    let output = terminal.finish();
    assert!(output.stdout.contains(" echo ") && output.stderr.contains("cancelled"), "{output:?}");
    assert_eq!((entries(&home).len(), names(&home).len()), (0, 2));
}

#[test]
fn add_takes_the_secret_from_stdin_and_keeps_nothing_that_does_not_work() {
    let home = home("");
    home.write_credentials("");
    let id = home.access_key_id.clone();
    let config = file(&home, "config");
    let wrong = "wrong/wrong/wrong/wrong/wrong/wrong/wrong";
    add(&home, "base", &id, &[]).output_of(wrong).fails(5, &["nothing was written", "SignatureDoesNotMatch"]);
    add(&home, "base", &id, &[]).output_of("").fails(2, &["the secret access key is empty"]);
    add(&home, "base", "ASIAIOSFODNN7EXAMPLE", &[]).output_of(SECRET).fails(2, &["temporary key"]);
    add(&home, "base", "AKIA", &[]).output_of(SECRET).fails(2, &["not an access key ID"]);
    add(&home, "prod", &id, &[]).output_of(SECRET).fails(2, &["`keyrole_role_arn`"]);
    assert_eq!((file(&home, "config"), entries(&home).len()), (config, 0));
    let output = add(&home, "base", &id, &[]).output_of(&format!("  {SECRET}\r"));
    assert!(worked(&output).contains("is that of arn:aws:iam::111122223333:user/"), "{output:?}");
    get(&home, "prod").output().document();
    // Another key does not take its place by the way.
    let other = second_key(&home);
    add(&home, "base", &other, &[]).output_of(SECRET).fails(2, &["already", "`keyrole keys rotate base`"]);
    worked(&add(&home, "base", &id, &[]).output_of(SECRET));
    assert_eq!(entries(&home), BTreeSet::from([id]));
}

#[test]
fn add_puts_a_lost_secret_back_and_refuses_a_profile_with_a_key_in_the_files() {
    let home = home("");
    let id = home.access_key_id.clone();
    add(&home, "base", &id, &[]).output_of(SECRET).fails(2, &["in the files already", "`keyrole keys import base`"]);
    import(&home);
    let config = file(&home, "config");
    fs::remove_dir_all(home.state_dir().join("keys")).unwrap();
    worked(&add(&home, "base", &id, &[]).env("KEYROLE_STORE", "file").output_of(SECRET));
    assert_eq!(file(&home, "config"), config);
    get(&home, "prod").output().document();
}

impl Add {
    fn env(self, name: &str, value: &str) -> Self {
        Self(self.0.env(name, value))
    }
}

#[test]
fn list_tells_where_every_key_is_and_how_to_import_it_and_no_secret() {
    let home = home("");
    let id = second_key(&home);
    worked(&add(&home, "stored", &id, &[]).output_of(SECRET));
    let output = keys(&home, &["list"]).output();
    assert!(worked(&output).is_empty(), "{output:?}");
    let credentials = home.path().join(".aws/credentials");
    for text in [
        format!("stored   {id}  file\n"),
        format!("base     {}  plain text in `{}` line 3\n", home.access_key_id, credentials.display()),
        "\nkeyrole keys import base\n".to_owned(),
    ] {
        assert!(output.stdout.contains(&text), "no {text:?} in {}", output.stdout);
    }
    let json: Value = serde_json::from_str(&keys(&home, &["list", "--json"]).output().stdout).unwrap();
    let base = json.as_array().unwrap().iter().find(|key| key["profile"] == "base").unwrap();
    assert_eq!((&base["status"], &base["line"]), (&"plain text".into(), &3.into()));
    assert_eq!(base["import"], "keyrole keys import base");
    assert!(!output.stdout.contains(SECRET) && !json.to_string().contains(SECRET));
}

#[test]
fn remove_asks_first_and_takes_the_key_and_its_lines_away() {
    let home = home("");
    let before = file(&home, "config");
    import(&home);
    keys(&home, &["remove", "base"]).output().fails(4, &["the confirmation is missing"]);
    let terminal = keys(&home, &["remove", "base"]).on_terminal();
    let shown = terminal.expect("remove it? [no]: ");
    assert!(shown.contains("AWS shows it to nobody again; it is the source of `prod`"), "{shown}");
    terminal.send("\n");
    terminal.finish().fails(4, &["left where it is"]);
    assert_eq!(entries(&home).len(), 1);
    let output = keys(&home, &["remove", "base", "--yes"]).output();
    assert!(worked(&output).contains("stays valid at AWS"), "{output:?}");
    assert_eq!((file(&home, "config"), entries(&home).len(), names(&home).len()), (before, 0, 2));
    keys(&home, &["remove", "base", "--yes"]).output().fails(2, &["there are no credentials here"]);
}

#[test]
fn a_remove_that_is_killed_at_any_step_is_finished_by_the_next() {
    for calls in ["rename,renameat,renameat2", "unlink,unlinkat", "fsync"] {
        for n in 1.. {
            let home = home("");
            let before = file(&home, "config");
            import(&home);
            let was_killed = killed(keys(&home, &["remove", "base", "--yes"]), calls, n);
            if file(&home, "config") != before {
                worked(&keys(&home, &["remove", "base", "--yes"]).output());
            }
            assert_eq!((file(&home, "config"), entries(&home).len()), (before, 0), "{calls} {n}");
            if !was_killed {
                assert!(n > 1, "{calls} is never called");
                break;
            }
        }
    }
}

#[test]
fn a_key_that_two_profiles_name_stays_until_the_last_is_removed_and_is_rotated_for_both() {
    let home = home("");
    import(&home);
    let lines =
        format!("credential_process = {KEYROLE} get twin\nkeyrole_aws_access_key_id = {}\n", home.access_key_id);
    home.add_config(&format!("[profile twin]\n{lines}endpoint_url = {}\n", home.sts.url()));
    let output = keys(&home, &["rotate", "twin", "--yes"]).output();
    worked(&output);
    assert!(!file(&home, "config").contains(&home.access_key_id), "{output:?}");
    for profile in ["base", "twin", "prod"] {
        get(&home, profile).output().document();
    }
    let output = keys(&home, &["remove", "twin", "--yes"]).output();
    assert!(worked(&output).contains("no longer names") && entries(&home).len() == 1, "{output:?}");
    get(&home, "base").output().document();
}

#[test]
fn a_rotation_that_is_killed_between_the_two_files_is_finished_in_both() {
    for n in 1.. {
        let home = home("");
        import(&home);
        let url = home.sts.url();
        home.add_config(&format!("[profile twin]\ncredential_process = {KEYROLE} get twin\nendpoint_url = {url}\n"));
        home.write_credentials(&format!("[twin]\nkeyrole_aws_access_key_id = {}\n", home.access_key_id));
        let was_killed = killed(keys(&home, &["rotate", "base", "--yes"]), STEPS[0], n);
        if was_killed {
            worked(&keys(&home, &["rotate", "base", "--yes"]).output());
        }
        let id = named(&home);
        assert_eq!(file(&home, "credentials"), format!("[twin]\nkeyrole_aws_access_key_id = {id}\n"), "{n}");
        assert_eq!((home.sts.keys_of(&user(&home)), entries(&home).len()), (vec![(id, true)], 1), "{n}");
        for profile in ["base", "twin"] {
            get(&home, profile).output().document();
        }
        if !was_killed {
            assert!(n > 6, "there are {n} steps only");
            break;
        }
    }
}

/// Checks that AWS, the store and the config file agree on one key that works, and gives it.
#[track_caller]
fn in_order(home: &Home) -> String {
    let id = named(home);
    assert_eq!(home.sts.keys_of(&user(home)), [(id.clone(), true)]);
    assert_eq!(entries(home), BTreeSet::from([id.clone()]));
    assert_eq!(names(home), ["config", "credentials"]);
    id
}

#[test]
fn rotate_puts_a_new_key_in_place_of_the_old_one() {
    let home = home("");
    import(&home);
    let terminal = keys(&home, &["rotate", "base"]).on_terminal();
    let shown = terminal.expect("go on? [yes]: ");
    assert!(shown.contains("`base`") && shown.contains("will be deleted at AWS"), "{shown}");
    assert_eq!(home.sts.attempts("ListAccessKeys"), 0);
    terminal.send("\n");
    let output = terminal.finish();
    let id = in_order(&home);
    assert_ne!(id, home.access_key_id);
    let said = worked(&output);
    for text in [format!("+keyrole_aws_access_key_id = {id}"), format!("`{}` is deleted", home.access_key_id)] {
        assert!(said.contains(&text), "no {text:?} in {said}");
    }
    let secret = home.sts.secret_of(&id).unwrap();
    nowhere_in(home.path(), std::slice::from_ref(&secret));
    assert!(!said.contains(&secret));
    let order: Vec<String> = home.sts.calls().into_iter().map(|call| call.action).collect();
    let order: Vec<&str> = order.iter().map(String::as_str).skip_while(|action| *action != "ListAccessKeys").collect();
    let steps = ["ListAccessKeys", "CreateAccessKey", "GetCallerIdentity", "UpdateAccessKey", "DeleteAccessKey"];
    assert_eq!(order, steps);
    get(&home, "prod").output().document();
}

#[test]
fn rotate_waits_until_aws_knows_the_new_key() {
    let home = home("");
    import(&home);
    home.sts.set_key_delay(4);
    worked(&keys(&home, &["rotate", "base", "--yes"]).output());
    in_order(&home);
    assert_eq!(home.sts.attempts("GetCallerIdentity"), 2 + 5);
}

#[test]
fn rotate_with_a_serial_asks_for_one_code() {
    let home = home_with_mfa();
    home.sts.set_iam_requires_mfa();
    import(&home);
    let terminal = keys(&home, &["rotate", "base", "--yes"]).on_terminal();
    terminal.expect(&format!("MFA code for {}: ", home.serial));
    terminal.send(&format!("{}\n", home.code()));
    worked(&terminal.finish());
    in_order(&home);
    assert_eq!(home.sts.attempts("GetSessionToken"), 1);
    // A session that is cached needs no code.
    sealed(home.keyrole(["login", "base", "--mfa-code", &home.code()])).output();
    worked(&keys(&home, &["rotate", "base", "--yes"]).output());
    in_order(&home);
    assert_eq!(home.sts.attempts("GetSessionToken"), 2);
}

#[test]
fn rotate_without_the_permission_or_the_serial_says_what_is_missing_and_changes_nothing() {
    let home = home("");
    import(&home);
    let before = file(&home, "config");
    let said = ["AccessDenied: User: arn:aws:iam::111122223333:user/", "`iam:CreateAccessKey`", "`mfa_serial`"];
    for action in ["ListAccessKeys", "CreateAccessKey"] {
        home.sts.deny(Some(action));
        keys(&home, &["rotate", "base", "--yes"]).output().fails(5, &said);
        assert_eq!((in_order(&home), file(&home, "config")), (home.access_key_id.clone(), before.clone()));
    }
    for action in ["UpdateAccessKey", "DeleteAccessKey"] {
        home.sts.deny(Some(action));
        keys(&home, &["rotate", "base", "--yes"]).output().code.eq(&5).then_some(()).expect("AWS refuses");
        assert_eq!(home.sts.keys_of(&user(&home)).len(), 2);
        get(&home, "base").output().document();
        home.sts.deny(None);
        worked(&keys(&home, &["rotate", "base", "--yes"]).output());
        in_order(&home);
    }
    home.sts.set_iam_requires_mfa();
    keys(&home, &["rotate", "base", "--yes"]).output().fails(5, &said);
    in_order(&home);
}

#[test]
fn a_second_key_that_is_not_ours_is_named_and_never_touched() {
    let home = home("");
    import(&home);
    let other = second_key(&home);
    let before = home.sts.keys_of(&user(&home));
    let words = [&home.access_key_id, &other, "two access keys", "delete-access-key --access-key-id"];
    keys(&home, &["rotate", "base", "--yes"]).output().fails(1, &words);
    home.sts.remove_user(&other);
    // Begun, and cut off before IAM had made one; then somebody makes one elsewhere, long after by IAM's clock.
    home.sts.fail_action("CreateAccessKey", Fault::Drop);
    keys(&home, &["rotate", "base", "--yes"]).output().fails(1, &["`keyrole keys rotate base` goes on from here"]);
    assert_eq!(entries(&home).len(), 2, "the key and the note");
    second_key(&home);
    keys(&home, &["rotate", "base", "--yes"]).output().fails(1, &words);
    assert_eq!(home.sts.keys_of(&user(&home)), before);
    home.sts.remove_user(&other);
    worked(&keys(&home, &["rotate", "base", "--yes"]).output());
    in_order(&home);
}

#[test]
fn a_new_key_whose_secret_was_lost_on_the_way_is_deleted_by_the_next_run() {
    let home = home("");
    import(&home);
    home.sts.fail_action("CreateAccessKey", Fault::Truncate);
    keys(&home, &["rotate", "base", "--yes"]).output().fails(1, &["goes on from here"]);
    let lost =
        home.sts.keys_of(&user(&home)).into_iter().map(|(id, _)| id).find(|id| *id != home.access_key_id).unwrap();
    get(&home, "base").output().document();
    let output = keys(&home, &["rotate", "base", "--yes"]).output();
    assert!(worked(&output).contains(&format!("deleting `{lost}`, whose secret was lost")), "{output:?}");
    assert!(![&lost, &home.access_key_id].contains(&&in_order(&home)));
}

#[test]
fn a_new_key_that_iam_does_not_list_yet_is_recognised_when_it_does() {
    let home = home("");
    import(&home);
    home.sts.fail_action("CreateAccessKey", Fault::Truncate);
    keys(&home, &["rotate", "base", "--yes"]).output().fails(1, &["goes on from here"]);
    home.sts.set_list_lag(1);
    // IAM's clock goes on meanwhile, by more than its clocks differ.
    home.sts.set_clock_offset(20);
    keys(&home, &["rotate", "base", "--yes"]).output().fails(5, &["LimitExceeded", "goes on from here"]);
    worked(&keys(&home, &["rotate", "base", "--yes"]).output());
    in_order(&home);
}

#[test]
fn a_store_that_does_not_take_the_new_key_leaves_none_behind() {
    let home = home("");
    import(&home);
    // The second write is the key, after the note.
    let inject = "inject=rename,renameat,renameat2:error=ENOSPC:when=2";
    let run = keys(&home, &["rotate", "base", "--yes"]).under(["strace", "-f", "-qq", "-o", "trace", "-e", inject]);
    run.output().fails(1, &["does not keep the access key"]);
    assert_eq!(home.sts.keys_of(&user(&home)), [(home.access_key_id.clone(), true)]);
    worked(&keys(&home, &["rotate", "base", "--yes"]).output());
    in_order(&home);
}

#[test]
fn a_rotation_that_is_killed_at_any_step_leaves_a_working_profile_and_the_next_one_finishes() {
    for calls in STEPS {
        for n in 1.. {
            let home = home("");
            import(&home);
            let was_killed = killed(keys(&home, &["rotate", "base", "--yes"]), calls, n);
            get(&home, "prod").output().document();
            if !was_killed {
                in_order(&home);
                assert!(n > 1 || calls.contains("recv") || calls.contains("send"), "{calls} is never called");
                break;
            }
            worked(&keys(&home, &["rotate", "base", "--yes"]).output());
            in_order(&home);
            sealed(home.keyrole(["get", "base", "--refresh"])).output().document();
        }
    }
}

#[test]
fn a_rotation_with_a_serial_that_is_killed_is_finished_with_one_more_code_at_most() {
    for n in 1.. {
        let home = home_with_mfa();
        home.sts.set_iam_requires_mfa();
        import(&home);
        let code = home.code();
        let was_killed =
            killed(keys(&home, &["rotate", "base", "--yes", "--mfa-code", &code]), "sendto,writev,sendmsg", n);
        if !was_killed {
            in_order(&home);
            break;
        }
        let run = keys(&home, &["rotate", "base", "--yes"]).env("KEYROLE_PROMPT_TIMEOUT", "5");
        let code = home.code();
        // The code of a session that was cached is not asked for.
        let mut output = run.output();
        if output.code == 4 {
            output = keys(&home, &["rotate", "base", "--yes", "--mfa-code", &code]).output();
        }
        worked(&output);
        in_order(&home);
    }
}

#[test]
fn only_a_key_in_the_store_is_rotated() {
    let home = home("");
    keys(&home, &["rotate", "base", "--yes"]).output().fails(2, &["plain text", "`keyrole keys import base`"]);
    import(&home);
    keys(&home, &["rotate", "prod", "--yes"]).output().fails(2, &["is a role", "`keyrole keys rotate base`"]);
    fs::remove_dir_all(home.state_dir().join("keys")).unwrap();
    keys(&home, &["rotate", "base", "--yes"]).output().fails(1, &["is not to be had"]);
    assert_eq!(home.sts.attempts("ListAccessKeys"), 0);
}

#[test]
fn the_endpoint_of_iam_is_found_as_the_sdks_find_it() {
    let home = home("");
    import(&home);
    let elsewhere = "http://127.0.0.1:9";
    let run = |name: &str| keys(&home, &["rotate", "base", "--yes"]).env(name, elsewhere).output();
    run("AWS_ENDPOINT_URL_IAM").fails(1, &["cannot reach `http://127.0.0.1:9"]);
    let config = file(&home, "config");
    let services = format!("services = local\n[services local]\niam =\n  endpoint_url = {}\n", home.sts.url());
    let endpoint = format!("endpoint_url = {}\n", home.sts.url());
    let base =
        config.replacen(&endpoint, "", 1).replacen("\n\n[profile prod]", &format!("\n{services}\n[profile prod]"), 1);
    home.write_config(&base);
    let rotate = keys(&home, &["rotate", "base", "--yes"]).env("AWS_ENDPOINT_URL_STS", home.sts.url());
    worked(&rotate.output());
    assert!(
        home.sts
            .calls()
            .iter()
            .all(|call| call.region.as_deref() != Some("eu-west-1") || call.action != "CreateAccessKey")
    );
}

#[test]
fn iam_is_reached_over_tls_with_the_profiles_ca_bundle() {
    let home = Home::with(Sts::start_tls(), "");
    let (url, ca) = (home.sts.url(), home.path().join("ca.pem"));
    home.write_config(&home.default_config(&format!("endpoint_url = {url}\nca_bundle = {}\n", ca.display())));
    import(&home);
    worked(&keys(&home, &["rotate", "base", "--yes"]).output());
    in_order(&home);
}

#[test]
fn what_a_killed_process_left_of_a_file_is_removed_whatever_its_number_was() {
    let home = home("");
    let left = home.path().join(".aws/credentials.keyrole-new-4194305");
    let others = home.path().join(".aws/credentials.keyrole-new-1");
    fs::write(&left, SECRET).unwrap();
    fs::write(&others, "").unwrap();
    import(&home);
    assert_eq!((left.exists(), others.exists()), (false, true));
}

#[test]
fn the_man_page_has_each_command_once() {
    let man = Home::new().keyrole(["man"]).output().stdout;
    let parts: Vec<&str> = man.lines().filter_map(|line| line.strip_prefix(".SS ")).collect();
    assert!(parts.contains(&"keys") && parts.contains(&"keys rotate"), "{parts:?}");
    assert!(!parts.iter().any(|part| part.contains("help")), "{parts:?}");
    assert_eq!(parts.iter().collect::<BTreeSet<_>>().len(), parts.len(), "{parts:?}");
}

/// Puts a person's run on a bus, without sealed files.
fn on_bus(bus: &Bus, person: &Person, arguments: &[&str]) -> Run {
    let mut words = [""; 4];
    words[..arguments.len()].copy_from_slice(arguments);
    let run = match arguments.len() {
        2 => person.keyrole(Login::Bare, [words[0], words[1]]),
        3 => person.keyrole(Login::Bare, [words[0], words[1], words[2]]),
        _ => person.keyrole(Login::Bare, words),
    };
    bus.of(run)
}

#[test]
fn a_key_in_the_secret_service_serves_get_and_outlives_logout_of_all() {
    let home = home("");
    let person = Person::new(&home);
    let bus = Bus::with_keyring(&person);
    let id = home.access_key_id.clone();
    let output = on_bus(&bus, &person, &["keys", "import", "base", "--yes"]).output();
    assert!(worked(&output).contains("is in `secret-service`"), "{output:?}");
    on_bus(&bus, &person, &["get", "prod"]).output().document();
    let (labels, attributes) = bus.items(&person);
    assert_eq!(labels, [format!("label = keyrole access key {id}")]);
    assert!(attributes.iter().any(|line| line.ends_with(&format!("keyrole-key:{id}"))), "{attributes:?}");
    assert_eq!(on_bus(&bus, &person, &["logout", "--all"]).output().code, 0);
    assert_eq!(bus.items(&person).0.len(), 1);
    on_bus(&bus, &person, &["get", "prod"]).output().document();
    let output = on_bus(&bus, &person, &["keys", "rotate", "base", "--yes"]).output();
    worked(&output);
    on_bus(&bus, &person, &["get", "base"]).output().document();
    assert_eq!(bus.items(&person).0, [format!("label = keyrole access key {}", named(&home))]);
    worked(&on_bus(&bus, &person, &["keys", "remove", "base", "--yes"]).output());
    let list = on_bus(&bus, &person, &["keys", "list"]).output();
    assert!(list.stderr.contains("no profile has an access key"), "{list:?}");
}

#[test]
fn an_import_into_the_secret_service_that_is_killed_at_any_step_loses_nothing() {
    let home = home("");
    let person = Person::new(&home);
    let bus = Bus::with_keyring(&person);
    let before = (file(&home, "config"), file(&home, "credentials"));
    for n in 1.. {
        let was_killed =
            killed(on_bus(&bus, &person, &["keys", "import", "base", "--yes"]), "sendto,writev,sendmsg", n);
        on_bus(&bus, &person, &["get", "prod"]).output().document();
        worked(&on_bus(&bus, &person, &["keys", "import", "base", "--yes"]).output());
        assert_eq!((named(&home), bus.items(&person).0.len()), (home.access_key_id.clone(), 1), "{n}");
        on_bus(&bus, &person, &["logout", "prod"]).output();
        on_bus(&bus, &person, &["get", "prod"]).output().document();
        worked(&on_bus(&bus, &person, &["keys", "remove", "base", "--yes"]).output());
        on_bus(&bus, &person, &["logout", "prod"]).output();
        home.write_config(&before.0);
        home.write_credentials(&before.1);
        if !was_killed {
            assert!(n > 5, "it is killed at {n} steps only");
            break;
        }
    }
}

#[test]
fn a_locked_secret_service_is_said_to_be_locked_and_nobody_hangs() {
    let home = home("");
    let person = Person::new(&home);
    let keyring = tempfile::tempdir().unwrap();
    let bus = Bus::with_keyring_in(&keyring, &person, "password");
    worked(&on_bus(&bus, &person, &["keys", "import", "base", "--yes"]).output());
    drop(bus);
    let bus = Bus::with_keyring_in(&keyring, &person, "wrong");
    let output = on_bus(&bus, &person, &["get", "prod"]).output();
    output.fails(4, &[&home.access_key_id, "the secret-service is locked", "`keyrole login base`"]);
    bus.add_mute_prompter();
    on_bus(&bus, &person, &["get", "prod"]).env("DISPLAY", ":0").output().fails(4, &["the secret-service is locked"]);
    assert!(!bus.asked().exists(), "somebody was asked");
    let login = on_bus(&bus, &person, &["login", "prod"]).env("DISPLAY", ":0").in_terminal();
    let deadline = Instant::now() + PATIENCE;
    while !bus.asked().exists() {
        assert!(Instant::now() < deadline, "nobody is asked: {}", login.shown());
    }
    login.send("\x03");
    assert_ne!(login.finish_with_screen().0.code, 0);
    let list = on_bus(&bus, &person, &["keys", "list"]).output();
    assert!(list.code == 0 && list.stdout.contains("locked: "), "{list:?}");
    on_bus(&bus, &person, &["keys", "remove", "base", "--yes"]).output().fails(1, &["cannot remove"]);
    assert!(file(&home, "config").contains("keyrole_aws_access_key_id"));
}

#[test]
fn doctor_points_from_plain_text_to_import() {
    let home = home("");
    let find = || -> Vec<Value> {
        let output = sealed(home.keyrole(["doctor", "base", "--offline", "--json"])).output();
        let report: Value = serde_json::from_str(&output.stdout).unwrap();
        let checks = report["checks"].as_array().unwrap().clone();
        checks.into_iter().filter(|check| check["group"] == "credentials").collect()
    };
    let text = Value::from(find()).to_string();
    assert!(text.contains("keyrole keys import base"), "{text}");
    import(&home);
    let checks = find();
    assert!(checks.iter().all(|check| check["status"] == "ok"), "{checks:?}");
    assert!(Value::from(checks.clone()).to_string().contains("`file`"), "{checks:?}");
}
