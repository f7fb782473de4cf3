//! `keyrole setup` writes a profile that every client can use, and changes nothing else in the file.

use crate::clients::venv;
use crate::support::sts::ADMIN;
use crate::support::{Home, KEYROLE, Output, Run, Terminal, copy_program};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Prepares `keyrole setup` where STS is the stand-in.
fn setup(home: &Home, arguments: &[&str]) -> Run {
    at(home, home.keyrole([&["setup"], arguments].concat()))
}

fn at(home: &Home, run: Run) -> Run {
    run.env("AWS_ENDPOINT_URL_STS", home.sts.url())
}

/// The flags that leave nothing to ask but whether to write.
const ALL: &[&str] =
    &["prod", "--role-arn", ADMIN, "--source-profile", "base", "--no-mfa", "--region", "eu-west-1", "--yes"];

/// A home with keys for `base` in the credentials file and this config file.
fn home(config: &str) -> Home {
    let home = Home::new();
    home.write_config(config);
    home
}

fn config_path(home: &Home) -> PathBuf {
    home.path().join(".aws/config")
}

fn config(home: &Home) -> String {
    std::fs::read_to_string(config_path(home)).unwrap()
}

fn backups(home: &Home) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(home.path().join(".aws")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_string_lossy().contains("config.keyrole-backup-")).collect()
}

/// The names in `~/.aws`, so that a temporary file that was left behind is seen.
fn names(home: &Home) -> Vec<String> {
    let entries = std::fs::read_dir(home.path().join(".aws")).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().mode() & 0o7777
}

/// Checks that it worked, and gives what it said.
#[track_caller]
fn worked(output: &Output) -> &str {
    assert_eq!(output.code, 0, "{output:?}");
    &output.stderr
}

fn lines(name: &str) -> String {
    format!(
        "credential_process = {KEYROLE} get {name}\nkeyrole_role_arn = {ADMIN}\nkeyrole_source_profile = base\n\
         region = eu-west-1\n"
    )
}

/// Answers a question once it is on the terminal.
#[track_caller]
fn answer(terminal: &Terminal, question: &str, keys: &str) {
    terminal.expect(question);
    terminal.send(keys);
}

#[test]
fn a_home_without_aws_files_gets_private_ones_that_work() {
    let home = Home::new();
    let credentials = std::fs::read_to_string(home.path().join(".aws/credentials")).unwrap();
    std::fs::remove_dir_all(home.path().join(".aws")).unwrap();
    let elsewhere = home.path().join("keys");
    std::fs::write(&elsewhere, credentials).unwrap();
    std::fs::set_permissions(&elsewhere, PermissionsExt::from_mode(0o600)).unwrap();
    let run = |arguments: &[&str]| setup(&home, arguments).env("AWS_SHARED_CREDENTIALS_FILE", &elsewhere);
    let output = run(ALL).output();
    assert!(worked(&output).contains("run `keyrole login prod`"), "{output:?}");
    assert!(output.stdout.starts_with("which step wins\n") && !output.stdout.contains("  fail  "), "{output:?}");
    assert_eq!(config(&home), format!("[profile prod]\n{}", lines("prod")));
    assert_eq!((mode(&config_path(&home)), mode(&home.path().join(".aws"))), (0o600, 0o700));
    at(&home, home.keyrole(["get", "prod"])).env("AWS_SHARED_CREDENTIALS_FILE", &elsewhere).output().document();
}

#[test]
fn what_setup_writes_works_in_the_aws_cli_and_boto3() {
    for name in ["prod", "name with spaces"] {
        let home = home("");
        let arguments: Vec<&str> = ALL.iter().map(|word| if *word == "prod" { name } else { word }).collect();
        worked(&setup(&home, &arguments).output());
        let script = "import boto3, sys\n\
                      print(boto3.Session(profile_name=sys.argv[1]).client('sts').get_caller_identity()['Arn'])";
        let cli = ["sts", "get-caller-identity", "--query", "Arn", "--output", "text", "--profile", name];
        for client in [home.run(venv("aws"), cli), home.run(venv("python"), ["-c", script, name])] {
            let output = at(&home, client).output();
            assert!(output.stdout.starts_with("arn:aws:sts::444455556666:assumed-role/Admin/"), "{output:?}");
        }
        assert_eq!(home.sts.attempts("AssumeRole"), 1);
    }
}

#[test]
fn a_person_is_asked_for_everything_and_sees_the_change_first() {
    let home = home("[profile base]\nregion = eu-west-1\n");
    let before = config(&home);
    let terminal = setup(&home, &[]).on_terminal();
    answer(&terminal, "new profile: ", "it's\n");
    answer(&terminal, "cannot stand in a `credential_process` line", "prod\n");
    answer(&terminal, "ARN of the role: ", "Admin\n");
    answer(&terminal, "`Admin` is not a role's ARN", &format!("{ADMIN}\n"));
    let shown = terminal.expect("may assume the role [base]: ");
    assert!(shown.contains("  1  base  access key"), "{shown}");
    terminal.send("1\n");
    answer(&terminal, "MFA device [none]: ", &format!("{}\n", home.serial));
    answer(&terminal, "region, or none [eu-west-1]: ", "\n");
    let shown = terminal.expect("[yes]: ");
    assert!(shown.contains(&format!("+keyrole_role_arn = {ADMIN}")), "{shown}");
    assert_eq!(config(&home), before);
    terminal.send("maybe\n");
    answer(&terminal, "the answer is yes or no", "y\n");
    assert!(shown.contains("profile `base` is arn:aws:iam::111122223333:user/"), "{shown}");
    worked(&terminal.finish());
    let serial = format!("mfa_serial = {}\n", home.serial);
    assert_eq!(config(&home), format!("{before}{serial}\n[profile prod]\n{}", lines("prod")));
    // Once before it was written, and once by the doctor.
    assert_eq!(home.sts.count("GetCallerIdentity"), 2);
}

#[test]
fn a_profile_of_the_aws_cli_is_converted_with_its_comments_byte_for_byte() {
    let old = format!(
        "\u{feff}# mine\r\n[default]\r\nregion=us-east-1\r\n\r\n[profile prod]   ; production\r\n# who may do this?\r\n\
         role_arn={ADMIN}\r\nSOURCE_PROFILE : base\r\nregion   =   eu-west-1\r\ns3 =\r\n  addressing_style = path\r\n\
         \r\n# the end, without a newline\r\n[plugins]\r\nx = y"
    );
    let home = home(&old);
    let output = setup(&home, &["prod", "--no-mfa", "--yes"]).output();
    worked(&output);
    let process = format!("  addressing_style = path\r\ncredential_process = {KEYROLE} get prod\r\n");
    let new = old
        .replace('\u{feff}', "")
        .replace("role_arn=", "keyrole_role_arn=")
        .replace("SOURCE_PROFILE :", "keyrole_source_profile :")
        .replace("  addressing_style = path\r\n", &process);
    assert_eq!(config(&home), new);
    at(&home, home.keyrole(["get", "prod"])).output().document();
    // A second time there is nothing to do.
    let output = setup(&home, &["prod", "--no-mfa", "--yes"]).output();
    assert!(worked(&output).contains("has these lines already"), "{output:?}");
    assert_eq!((config(&home), backups(&home).len()), (new, 1));
}

#[test]
fn a_header_that_botocore_overlooks_is_quoted_and_a_mark_at_the_beginning_goes() {
    let role = format!("role_arn = {ADMIN}\nsource_profile = base\nregion = eu-west-1\n");
    for (old, name, new) in [
        ("[profile my prod]", "my prod", "[profile \"my prod\"]"),
        ("[ profile prod ]", "prod", "[profile prod]"),
        ("\u{feff}[profile prod]", "prod", "[profile prod]"),
    ] {
        let home = home(&format!("{old} # why\n{role}"));
        let dry_run = setup(&home, &[name, "--no-mfa", "--yes", "--dry-run"]).output();
        assert!(dry_run.stdout.contains(&format!("\n+{new}")), "{dry_run:?}");
        worked(&setup(&home, &[name, "--no-mfa", "--yes"]).output());
        assert!(config(&home).starts_with(new) && config(&home).contains("# why"), "{}", config(&home));
        let script = "import botocore.session, sys\nprint(botocore.session.Session(profile=sys.argv[1])\
                      .get_credentials().method)";
        let botocore = home.run(venv("python"), ["-c", script, name]);
        assert_eq!(at(&home, botocore).output().stdout, "custom-process\n", "{old}");
    }
}

#[test]
fn a_file_that_botocore_refuses_is_told_first_and_left_alone() {
    let role = format!("role_arn = {ADMIN}\nsource_profile = base\nregion = eu-west-1\n");
    for (old, words) in [
        (format!("[profile prod]\n{role}[profile prod]\noutput = json\n"), "`[profile prod]` stands twice"),
        (format!("[profile prod]\n{role}[profile other]\nx = 1\nX = 2\n"), "`X` stands twice"),
    ] {
        let home = home(&old);
        for more in [&["--dry-run"][..], &[]] {
            let output = setup(&home, &[&["prod", "--no-mfa", "--yes"], more].concat()).output();
            output.fails(2, &["nothing was written", words, "hint: in ", "remove one of the two"]);
        }
        assert_eq!((config(&home), backups(&home).len()), (old, 0));
    }
    let home = home(&format!("[profile prod]\n{role}"));
    home.write_credentials("\u{feff}[base]\n");
    let output = setup(&home, &["prod", "--no-mfa", "--yes"]).output();
    output
        .fails(2, &["nothing was written", "credentials` begins with a byte order mark", "without a byte order mark"]);
}

#[test]
fn a_key_that_goes_on_in_an_indented_line_is_named_by_the_name_that_it_has() {
    let old = format!("[profile prod]\nrole_arn = {ADMIN}\ncredential_source = Environment\n  region=eu-west-1\n");
    let home = home(&old);
    let output = setup(&home, &["prod", "--no-mfa", "--yes"]).output();
    output.fails(2, &["nothing was written: `credential_source` in", "line 3", "an indented line belongs to"]);
    assert!(!output.stderr.contains("keyrole_"), "{output:?}");
    assert_eq!(config(&home), old);
    home.keyrole(["get", "prod"]).output().fails(2, &["line 3", "hint: an indented line belongs to the key above it"]);
}

#[test]
fn a_profile_to_convert_and_the_serial_of_its_sisters_are_offered() {
    let home = home("");
    home.write_config(&format!(
        "[profile dev]\nrole_arn = {ADMIN}\nsource_profile = base\nmfa_serial = {}\nregion = eu-west-1\n\
         [profile prod]\nrole_arn = {ADMIN}\nsource_profile = base\nregion = eu-west-1\n",
        home.serial
    ));
    let terminal = setup(&home, &[]).on_terminal();
    let shown = terminal.expect("profile, new or one of these: ");
    assert!(shown.contains("  1  dev   has a role\r\n  2  prod  has a role"), "{shown}");
    terminal.send("2\n");
    answer(&terminal, &format!("MFA device, or none [{}]: ", home.serial), "\n");
    let shown = terminal.expect("/config`? [yes]: ");
    assert!(shown.contains("some SDKs use `role_arn`, `source_profile` instead of `credential_process`"), "{shown}");
    terminal.send("\n");
    worked(&terminal.finish());
    assert!(config(&home).ends_with(&format!("\n[profile base]\nmfa_serial = {}\n", home.serial)), "{}", config(&home));
    at(&home, home.keyrole(["get", "prod", "--mfa-code", &home.code()])).output().document();
}

#[test]
fn who_will_not_have_the_keys_renamed_that_win_over_the_line_gets_no_line() {
    let home = home(&format!("[profile prod]\nrole_arn = {ADMIN}\nsource_profile = base\nregion = eu-west-1\n"));
    let before = config(&home);
    let terminal = setup(&home, &["prod", "--no-mfa"]).on_terminal();
    answer(&terminal, "/config`? [yes]: ", "no\n");
    terminal.finish().fails(4, &["was left as it is", "another profile name"]);
    assert_eq!((config(&home), names(&home)), (before, vec!["config".into(), "credentials".into()]));
}

#[test]
fn keys_in_the_credentials_file_under_the_same_name_are_refused_and_left_alone() {
    let home = home("");
    let arguments: Vec<&str> = ALL.iter().map(|word| if *word == "prod" { "base" } else { word }).collect();
    setup(&home, &arguments).output().fails(2, &["`aws_", "/.aws/credentials` line ", "rename that section"]);
    assert_eq!((config(&home).as_str(), home.sts.calls().len()), ("", 0));
}

#[test]
fn a_dry_run_prints_the_diff_without_secrets_and_changes_nothing() {
    let home = home("[profile prod]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = hidden\n");
    let before = config(&home);
    let output = setup(&home, &[ALL, &["--dry-run"]].concat()).output();
    assert_eq!(worked(&output), "");
    assert!(output.stdout.contains(&format!("+credential_process = {KEYROLE} get prod\n")), "{output:?}");
    assert!(output.stdout.contains("+keyrole_aws_secret_access_key = ****\n"), "{output:?}");
    assert!(!output.stdout.contains("hidden"));
    assert_eq!((config(&home), names(&home)), (before, vec!["config".into(), "credentials".into()]));
    assert_eq!(home.sts.calls().len(), 0);
}

#[test]
fn a_diff_can_be_applied_by_others() {
    let home = home("# top\n[profile base]\nregion = eu-west-1");
    let diff = home.path().join("diff");
    std::fs::write(&diff, setup(&home, &[ALL, &["--dry-run"]].concat()).output().stdout).unwrap();
    worked(&setup(&home, ALL).output());
    let written = config(&home);
    home.write_config("# top\n[profile base]\nregion = eu-west-1");
    let apply = ["apply", "-p0", "--unsafe-paths", "--directory=/", "--whitespace=nowarn"];
    let output = home.run("git", apply.iter().map(AsRef::as_ref).chain([diff.as_os_str()])).output();
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(config(&home), written);
}

#[test]
fn flags_change_a_profile_that_is_set_up_already_where_it_says_so() {
    let home = home(&format!("[profile prod]\n{}keyrole_external_id = old # theirs\n# end\n", lines("prod")));
    let flags = ["--external-id", "new", "--duration-seconds", "900", "--region", "us-east-1", "--no-mfa", "--yes"];
    worked(&setup(&home, &[&["prod"], &flags[..]].concat()).output());
    let changed = lines("prod").replace("eu-west-1", "us-east-1");
    let external_id = "# theirs\nkeyrole_external_id = new\nduration_seconds = 900\n# end\n";
    assert_eq!(config(&home), format!("[profile prod]\n{changed}{external_id}"));
}

#[test]
fn a_source_whose_sessions_have_no_mfa_brings_no_question_for_a_device() {
    let sso = "[profile corp]\nsso_session = s\nsso_account_id = 111122223333\nsso_role_name = Dev\nregion = eu-west-1\n\
               [sso-session s]\nsso_start_url = https://example.com/start\nsso_region = eu-west-1\n";
    let home = home(sso);
    let arguments = ["prod", "--role-arn", ADMIN, "--source-profile", "corp", "--no-verify"];
    let terminal = setup(&home, &arguments).on_terminal();
    answer(&terminal, "region, or none [eu-west-1]: ", "none\n");
    let shown = terminal.expect("/config`? [yes]: ");
    assert!(!shown.contains("MFA"), "{shown}");
    terminal.send("\n");
    worked(&terminal.finish());
    let written = lines("prod").replace("= base\nregion = eu-west-1", "= corp");
    assert_eq!(config(&home), format!("{sso}\n[profile prod]\n{written}"));
}

#[test]
fn an_offer_that_is_no_answer_is_not_taken() {
    let home = home("[profile base]\nregion = here\n");
    let arguments = ["prod", "--role-arn", ADMIN, "--source-profile", "base", "--no-mfa", "--yes"];
    setup(&home, &arguments).output().fails(2, &["the region cannot be what is offered: `here`", "--region"]);
}

#[test]
fn undo_puts_back_every_byte_step_by_step() {
    let first = "# mine\n[profile base]\nregion = eu-west-1";
    let home = home(first);
    std::fs::set_permissions(config_path(&home), PermissionsExt::from_mode(0o640)).unwrap();
    worked(&setup(&home, ALL).output());
    let second = config(&home);
    assert_eq!(mode(&config_path(&home)), 0o640);
    let other: Vec<&str> = ALL.iter().map(|word| if *word == "prod" { "other" } else { word }).collect();
    worked(&setup(&home, &other).output());
    assert_eq!(backups(&home).iter().map(|path| mode(path)).collect::<Vec<_>>(), [0o640, 0o640]);
    worked(&setup(&home, &["--undo"]).output());
    assert_eq!(config(&home), second);
    let output = setup(&home, &["--undo"]).output();
    assert!(worked(&output).contains("is as it was before"), "{output:?}");
    assert_eq!((config(&home).as_str(), mode(&config_path(&home))), (first, 0o640));
    assert_eq!(names(&home), ["config", "credentials"]);
    setup(&home, &["--undo"]).output().fails(1, &["nothing to undo"]);
}

#[test]
fn undo_leaves_a_file_that_somebody_has_changed_since() {
    let home = home("[profile base]\nregion = eu-west-1\n");
    worked(&setup(&home, ALL).output());
    home.add_config("# mine\n");
    let changed = config(&home);
    let backup = backups(&home).remove(0);
    setup(&home, &["--undo"]).output().fails(1, &["was changed after", &backup.display().to_string()]);
    assert_eq!(config(&home), changed);
    assert!(backup.exists());
}

#[test]
fn a_change_while_somebody_is_asked_is_not_overwritten() {
    let home = home("");
    let terminal = setup(&home, &ALL[..ALL.len() - 1]).on_terminal();
    terminal.expect("[yes]: ");
    home.write_config("# others\n");
    terminal.send("\n");
    terminal.finish().fails(1, &["was changed by another program meanwhile", "run the command again"]);
    assert_eq!((config(&home).as_str(), names(&home)), ("# others\n", vec!["config".into(), "credentials".into()]));
}

#[test]
fn a_link_stays_a_link_and_its_target_is_written() {
    for is_dangling in [false, true] {
        let home = home("# linked\n");
        let target = home.path().join("dotfiles");
        std::fs::create_dir(&target).unwrap();
        let target = target.join("aws-config");
        std::fs::rename(config_path(&home), &target).unwrap();
        if is_dangling {
            std::fs::remove_file(&target).unwrap();
        }
        symlink("../dotfiles/aws-config", config_path(&home)).unwrap();
        worked(&setup(&home, ALL).output());
        assert!(config_path(&home).symlink_metadata().unwrap().is_symlink());
        let above = if is_dangling { "" } else { "# linked\n\n" };
        let text = std::fs::read_to_string(&target).unwrap();
        assert_eq!(text, format!("{above}[profile prod]\n{}", lines("prod")));
        worked(&setup(&home, &["--undo"]).output());
        assert!(config_path(&home).symlink_metadata().unwrap().is_symlink());
    }
}

#[test]
fn the_file_that_aws_config_file_names_is_written_and_no_other() {
    let home = home("# untouched\n");
    let other = home.path().join("other");
    // Relative to the directory that it is run in, which is the home.
    worked(&setup(&home, ALL).env("AWS_CONFIG_FILE", "other").output());
    assert_eq!(std::fs::read_to_string(other).unwrap(), format!("[profile prod]\n{}", lines("prod")));
    assert_eq!(config(&home), "# untouched\n");
}

/// Runs setup as somebody to whom file permissions mean something, in a home of theirs.
fn as_nobody(home: &Home) -> Run {
    if !rustix::process::geteuid().is_root() {
        return setup(home, ALL);
    }
    let copy = home.path().join("keyrole");
    copy_program(KEYROLE, &copy);
    std::fs::set_permissions(home.path(), PermissionsExt::from_mode(0o755)).unwrap();
    for path in [".aws", ".aws/config", ".aws/credentials"] {
        std::os::unix::fs::chown(home.path().join(path), Some(65_534), Some(65_534)).unwrap();
    }
    let run = home.run(copy, [&["setup"], ALL].concat());
    at(home, run.under(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]))
}

#[test]
fn a_read_only_file_or_directory_is_named_and_left_alone() {
    for (path, mode) in [(".aws/config", 0o400), (".aws", 0o500)] {
        let home = home("# mine\n");
        let run = as_nobody(&home);
        std::fs::set_permissions(home.path().join(path), PermissionsExt::from_mode(mode)).unwrap();
        let output = run.output();
        assert_eq!(output.code, 1, "{output:?}");
        for words in ["keyrole: error: cannot write `", "ermission denied", "nothing was written"] {
            assert!(output.stderr.contains(words), "{output:?}");
        }
        std::fs::set_permissions(home.path().join(".aws"), PermissionsExt::from_mode(0o700)).unwrap();
        assert_eq!((config(&home).as_str(), names(&home)), ("# mine\n", vec!["config".into(), "credentials".into()]));
    }
}

#[test]
fn root_leaves_the_file_to_its_owner() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let home = home("# mine\n");
    std::os::unix::fs::chown(config_path(&home), Some(65_534), Some(65_534)).unwrap();
    worked(&setup(&home, ALL).output());
    let metadata = std::fs::metadata(config_path(&home)).unwrap();
    assert_eq!((metadata.uid(), metadata.gid()), (65_534, 65_534));
}

#[test]
fn a_path_with_a_space_is_refused_and_a_link_to_it_is_taken() {
    let home = home("");
    let dir = home.path().join("my apps");
    std::fs::create_dir(&dir).unwrap();
    let program = dir.join("keyrole");
    copy_program(KEYROLE, &program);
    let arguments = [&["setup"], ALL].concat();
    let output = at(&home, home.run(&program, &arguments)).output();
    output.fails(2, &["/my apps/keyrole`", "make a link"]);
    let bin = home.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    symlink(&program, bin.join("keyrole")).unwrap();
    let path = format!("/nowhere:{}:{}", bin.display(), std::env::var("PATH").unwrap());
    worked(&at(&home, home.run("sh", ["-c", &format!("keyrole {}", arguments.join(" "))])).env("PATH", path).output());
    let line = format!("credential_process = {}/keyrole get prod\n", bin.display());
    assert!(config(&home).contains(&line), "{}", config(&home));
}

#[test]
fn ctrl_c_at_any_question_leaves_everything_untouched() {
    let home = home("# mine\n");
    for (arguments, question) in [
        (&[][..], "new profile: "),
        (&["prod"], "ARN of the role: "),
        (&["prod", "--role-arn", ADMIN], "may assume the role [base]: "),
        (&ALL[..ALL.len() - 1], "[yes]: "),
    ] {
        let terminal = setup(&home, arguments).on_terminal();
        answer(&terminal, question, "\x03");
        terminal.finish().fails(130, &["was cancelled", "nothing was written"]);
        assert_eq!((config(&home).as_str(), names(&home)), ("# mine\n", vec!["config".into(), "credentials".into()]));
    }
}

#[test]
fn without_a_terminal_the_flag_that_is_missing_is_named() {
    let home = home("");
    for (arguments, flag) in [
        (&[][..], "the profile's name"),
        (&["prod"], "`--role-arn ARN`"),
        (&["prod", "--role-arn", ADMIN], "`--source-profile NAME`"),
        (&["prod", "--role-arn", ADMIN, "--source-profile", "base"], "`--no-mfa`"),
        (&["prod", "--role-arn", ADMIN, "--source-profile", "base", "--no-mfa"], "`--region REGION`"),
    ] {
        setup(&home, arguments).output().fails(4, &["is missing, and there is no terminal to ask on", flag]);
    }
    setup(&home, &["prod", "--yes"]).output().fails(2, &["the role is missing", "`--role-arn ARN`"]);
    assert_eq!(config(&home), "");
}

#[test]
fn wrong_values_are_named_before_anybody_is_asked_or_anything_is_sent() {
    let home = home("");
    for (flag, value, words) in [
        ("--role-arn", "Admin", "not a role's ARN"),
        ("--source-profile", "nobody", "there is no profile `nobody`"),
        ("--mfa-serial", "x", "MFA serial"),
        ("--mfa-serial", "arn:aws:iam::111122223333:mfa/x\ny = z", "cannot be written"),
        ("--region", "here", "not a region"),
        ("--external-id", "a b", "external ID"),
        ("--duration-seconds", "1h", "900 to 43200"),
    ] {
        let right = [("--role-arn", ADMIN), ("--source-profile", "base"), ("--region", "eu-west-1")];
        let others = right.into_iter().filter(|(other, _)| *other != flag);
        let mut arguments = vec!["prod", "--yes", flag, value];
        arguments.extend(others.flat_map(|(flag, value)| [flag, value]));
        setup(&home, &arguments).output().fails(2, &[words]);
    }
    assert_eq!((config(&home).as_str(), home.sts.calls().len()), ("", 0));
}

#[test]
fn credentials_that_do_not_work_are_told_in_the_words_of_aws_and_nothing_is_written() {
    let home = home("");
    home.write_credentials("[base]\naws_access_key_id = AKIAIOSFODNN7UNKNOWN\naws_secret_access_key = wrong\n");
    setup(&home, ALL).output().fails(5, &["nothing was written", "profile `base` do not work", "InvalidClientTokenId"]);
    assert_eq!((config(&home).as_str(), backups(&home).len()), ("", 0));
    worked(&setup(&home, &[ALL, &["--no-verify"]].concat()).output());
    assert_eq!(home.sts.attempts("GetCallerIdentity"), 1);
}

#[test]
fn without_a_network_the_way_to_write_all_the_same_is_named() {
    let home = home("");
    let run = setup(&home, ALL).env("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1");
    run.output().fails(1, &["nothing was written", "profile `base` cannot be checked", "`--no-verify`"]);
    assert_eq!(config(&home), "");
}

#[test]
fn a_device_of_another_account_is_told() {
    let home = home("");
    let mut arguments = ALL.to_vec();
    arguments.retain(|word| *word != "--no-mfa");
    arguments.extend(["--mfa-serial", "arn:aws:iam::999988887777:mfa/me"]);
    let output = setup(&home, &arguments).output();
    assert!(output.stderr.contains("is a device of another account"), "{output:?}");
    assert!(output.stdout.contains("belongs to account 999988887777"), "{output:?}");
    assert!(output.stderr.ends_with("keyrole: error: 1 check failed\n") && output.code == 1, "{output:?}");
}
