//! `keyrole doctor` finds what is wrong, says what mends it, and is right about which step every SDK takes.

use crate::clients::{cli_v1, cli_v2, venv};
use crate::support::sts::{ADMIN, Sts, WEB_IDENTITY};
use crate::support::{Home, KEYROLE, Output, Run, copy_program};
use serde_json::Value;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

/// Runs a doctor and gives the checks of its JSON.
#[track_caller]
pub fn checks(doctor: &Run) -> Vec<Value> {
    checks_in(&doctor.output())
}

#[track_caller]
pub fn checks_in(output: &Output) -> Vec<Value> {
    let document: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("JSON: {output:?}"));
    assert_eq!(document["version"], 1);
    let checks = document["checks"].as_array().unwrap().clone();
    for check in checks.iter().filter(|check| check["status"] != "ok") {
        let mend = check["mend"].as_array().unwrap();
        assert!(!mend.is_empty() && mend.iter().all(|line| line != ""), "nothing mends {check:#}");
    }
    let failed = checks.iter().filter(|check| check["status"] == "fail").count();
    assert_eq!(
        (document["failed"].as_u64().unwrap(), output.code),
        (failed as u64, i32::from(failed > 0)),
        "{output:?}"
    );
    checks
}

fn of<'c>(checks: &'c [Value], name: &str, status: &str) -> Vec<&'c Value> {
    checks.iter().filter(|check| check["check"] == name && check["status"] == status).collect()
}

/// Checks that a finding is there with these words in it or in what mends it.
#[track_caller]
pub fn finds(checks: &[Value], name: &str, status: &str, words: &[&str]) {
    let found = of(checks, name, status);
    let has_all = |check: &&Value| {
        let text = format!("{} {} {:?}", check["looked_at"], check["finding"], check["mend"]);
        words.iter().all(|word| text.contains(word))
    };
    let shown = || {
        checks
            .iter()
            .map(|check| format!("{} {}: {} {}", check["status"], check["check"], check["finding"], check["mend"]))
    };
    assert!(
        found.into_iter().any(|check| has_all(&check)),
        "no {status} of `{name}` with {words:?} in\n{}",
        shown().collect::<Vec<_>>().join("\n")
    );
}

/// Checks that nothing is wrong but the endpoint, which is the stand-in's.
#[track_caller]
fn is_well(checks: &[Value]) {
    let wrong = |check: &&Value| check["status"] != "ok" && check["check"] != "endpoint" && check["check"] != "prompt";
    let wrong: Vec<&Value> = checks.iter().filter(wrong).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn doctor(home: &Home) -> Run {
    home.keyrole(["doctor", "prod", "--json"])
}

/// The finding is there with `broken`, and gone with what mends it.
#[track_caller]
fn mended(home: &Home, broken: &str, right: &str, name: &str, status: &str, words: &[&str]) {
    home.write_config(broken);
    finds(&checks(&doctor(home)), name, status, words);
    home.write_config(right);
    is_well(&checks(&doctor(home)));
}

/// Breaks the section of `prod` by replacing one of its lines, or adding some.
#[track_caller]
fn mended_line(old: &str, new: &str, name: &str, status: &str, words: &[&str]) {
    let home = Home::new();
    let right = home.default_config("");
    let old = old.replace("KEYROLE", KEYROLE);
    assert!(right.contains(&old), "no {old} in {right}");
    mended(&home, &right.replace(&old, &new.replace("KEYROLE", KEYROLE)), &right, name, status, words);
}

#[test]
fn a_profile_that_works_has_nothing_to_mend() {
    let home = Home::with_mfa();
    let found = checks(&doctor(&home));
    is_well(&found);
    finds(&found, "plan", "ok", &["the keys of `base` → an MFA session → `arn:aws:iam::444455556666:role/Admin`"]);
    finds(&found, "source-identity", "ok", &["account 111122223333", "user/"]);
    finds(&found, "clock", "ok", &["agrees"]);
    finds(&found, "sts", "ok", &[&home.sts.url(), "directly"]);
    finds(&found, "round-trip", "ok", &["keyutils", "ms"]);
    finds(&found, "entries", "ok", &["session: none; MFA session: none"]);
    finds(&found, "serial", "ok", &[&home.serial]);
    assert_eq!(home.sts.attempts("AssumeRole"), 0);
}

#[test]
fn each_mistake_in_the_line_is_found_and_mended() {
    let line = "credential_process = KEYROLE get prod";
    let right = &format!("credential_process = {KEYROLE} get prod");
    for (new, status, words) in [
        ("credential_process = keyrole get prod", "fail", "not an absolute path"),
        ("credential_process = /nowhere/keyrole get prod", "fail", "No such file"),
        ("credential_process = KEYROLE", "fail", "no argument"),
        ("credential_process = KEYROLE status prod", "fail", "not `get`"),
        ("credential_process = KEYROLE get", "fail", "needs a profile"),
        ("credential_process = KEYROLE get prd", "fail", "no profile `prd`"),
        ("credential_process = \"KEYROLE\" get prod", "warn", "minio"),
        ("credential_process = KEYROLE get prod | cat", "fail", "characters that a shell"),
        ("credential_process = /bin/true", "warn", "another program"),
    ] {
        let mend = if words == "minio" { "no quotes" } else { right };
        mended_line(line, new, "line", status, &[words, mend]);
    }
}

#[test]
fn a_line_that_runs_another_keyrole_or_a_file_that_is_no_program_is_found() {
    let home = Home::new();
    let other = home.path().join("keyrole");
    copy_program(KEYROLE, &other);
    let config = home.default_config("").replace(KEYROLE, other.to_str().unwrap());
    mended(&home, &config, &home.default_config(""), "line", "warn", &["another keyrole", KEYROLE]);
    std::fs::set_permissions(&other, PermissionsExt::from_mode(0o600)).unwrap();
    mended(&home, &config, &home.default_config(""), "line", "fail", &["cannot be executed", "chmod +x"]);
}

#[test]
fn keys_that_win_over_the_line_are_found_with_the_lines_to_write_instead() {
    let sso = "keyrole_role_arn = x\nsso_account_id = 111122223333\nsso_role_name = A\nsso_start_url = https://x\n\
               sso_region = eu-west-1";
    for (more, mend) in [
        ("login_session = x".to_owned(), "`keyrole_login_session = x`".to_owned()),
        (format!("role_arn = {ADMIN}"), format!("`keyrole_role_arn = {ADMIN}`")),
        ("source_profile = base".to_owned(), "`keyrole_source_profile = base`".to_owned()),
        (sso.replace("keyrole_role_arn = x\n", ""), "`keyrole_sso_account_id = 111122223333`".to_owned()),
    ] {
        let alone = more == "source_profile = base";
        let home = Home::new();
        let config = format!("{}{more}\n", home.default_config(""));
        if alone {
            // Without a role it does no harm.
            home.write_config(&config);
            is_well(&checks(&doctor(&home)));
        } else {
            mended(&home, &config, &home.default_config(""), "chain", "fail", &["does not win", &mend]);
        }
    }
}

#[test]
fn static_keys_of_the_same_name_are_found_in_either_file() {
    let keys = "aws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = \
                wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n";
    let home = Home::new();
    let right = std::fs::read_to_string(home.path().join(".aws/credentials")).unwrap();
    home.write_credentials(&format!("{right}[prod]\n{keys}"));
    let found = checks(&doctor(&home));
    finds(&found, "chain", "fail", &["boto3 and the AWS CLI stop at step 5 of 11", "`[prod-keys]`"]);
    assert!(!format!("{found:?}").contains("wJalrXUtnFEMI"), "a secret is shown");
    home.write_credentials(&right);
    is_well(&checks(&doctor(&home)));
    let config = format!("{}{keys}", home.default_config(""));
    mended(&home, &config, &home.default_config(""), "chain", "fail", &["Go at step 8 of 11", "`[profile prod-keys]`"]);
}

#[test]
fn comments_duplicates_misspelt_keys_and_unknown_keys_of_ours_are_found() {
    mended_line("region = eu-west-1\nendpoint", "region = eu-west-1 # home\nendpoint", "comment", "warn", &["own"]);
    mended_line(
        "region = eu-west-1\nendpoint",
        "region = eu-west-1\nregoin = x\nendpoint",
        "misspelt",
        "warn",
        &["`region`"],
    );
    let twice = "region = eu-west-1\nregion = eu-west-2\nendpoint";
    mended_line("region = eu-west-1\nendpoint", twice, "duplicate", "fail", &["`region`", "refuse the whole file"]);
    mended_line(
        "[profile prod]\n",
        "[profile prod]\noutput = json\n[profile prod]\n",
        "duplicate",
        "fail",
        &["`[profile prod]`"],
    );
    mended_line("keyrole_role_arn", "keyrole_rol_arn", "plan", "fail", &["keyrole_role_arn"]);
}

#[test]
fn the_source_profile_is_looked_at_too() {
    let base = "[profile base]\nregion = eu-west-1\n";
    for (new, name, words) in [
        ("[profile base]\nregion = eu-west-1 # home\n", "comment", "`region` in"),
        ("[profile base]\nregion = eu-west-1\nmfa_serail = x\n", "misspelt", "`mfa_serial`"),
    ] {
        mended_line(base, new, name, "warn", &[words, "line"]);
    }
}

#[test]
fn each_value_that_aws_or_keyrole_does_not_take_has_something_that_mends_it() {
    let role = format!("keyrole_role_arn = {ADMIN}");
    for (new, mend) in [
        (format!("{role}\nduration_seconds = 1h"), "correct or remove this line"),
        (format!("{role}\nkeyrole_store = keyring"), "correct or remove this line"),
        ("keyrole_role_arn = arn:aws:iam::444455556666:user/me".to_owned(), "copy the whole ARN"),
        (format!("{role}\nmfa_serial = arn:aws:iam::1:mfa"), "aws iam list-mfa-devices"),
        (format!("{role}\nkeyrole_prompt = auto\n  output = json"), "an indented line belongs to"),
    ] {
        mended_line(&role, &new, "plan", "fail", &[mend]);
    }
    let home = Home::new();
    finds(&checks(&doctor(&home).env("KEYROLE_STORE", "x")), "plan", "fail", &["correct or unset"]);
    let token = home.path().join("token");
    home.add_config(&format!(
        "[profile web]\nregion = eu-west-1\nendpoint_url = {}\nrole_arn = {WEB_IDENTITY}\nweb_identity_token_file = {}\n",
        home.sts.url(),
        token.display()
    ));
    finds(
        &checks(&home.keyrole(["doctor", "web", "--json"])),
        "source-identity",
        "fail",
        &["No such file", "whoever issues the token"],
    );
}

#[test]
fn what_is_told_to_a_profile_without_the_line_works() {
    let home = Home::new();
    let credentials = std::fs::read_to_string(home.path().join(".aws/credentials")).unwrap();
    let url = home.sts.url();
    home.write_config(&format!(
        "[profile base]\nregion = eu-west-1\nendpoint_url = {url}\nrole_arn = {ADMIN}\nsource_profile = base\n\
         [profile sso]\nsso_start_url = https://x\nsso_region = eu-west-1\nsso_account_id = 444455556666\n\
         sso_role_name = A\nregion = eu-west-1\n"
    ));
    let found = checks(&home.keyrole(["doctor", "base", "--json", "--offline"]));
    let setup = "keyrole setup base --source-profile base-keys";
    finds(&found, "chain", "warn", &["a section of their own, `[base-keys]`", setup]);
    home.write_credentials(&credentials.replace("[base]", "[base-keys]"));
    let output = home.keyrole(setup.split(' ').skip(1).chain(["--no-mfa", "--yes"])).output();
    assert_eq!(output.code, 0, "{output:?}");
    home.keyrole(["get", "base"]).output().document();
    // What SSO gives is good for others as it is.
    let found = checks(&home.keyrole(["doctor", "sso", "--json", "--offline"]));
    finds(&found, "chain", "ok", &["a source for other profiles", "SSO"]);
}

#[test]
fn a_store_that_keeps_nothing_is_named_where_it_is_chosen() {
    let home = Home::new();
    home.write_config(&home.default_config("").replace("keyrole_source", "keyrole_store = none\nkeyrole_source"));
    let found = checks(&doctor(&home));
    finds(&found, "round-trip", "warn", &["nothing is kept", "remove `keyrole_store` in", ".aws/config` line 7"]);
    let none = doctor(&home).env("KEYROLE_STORE", "none");
    finds(&checks(&none), "round-trip", "warn", &["by `KEYROLE_STORE`", "unset KEYROLE_STORE"]);
}

#[test]
fn sealed_sessions_that_the_key_does_not_open_are_counted() {
    let home = Home::new();
    let with_key = |run: Run, key: &str| run.env("KEYROLE_STORE", "file").env("KEYROLE_FILE_KEY", key);
    let (key, other) = ("0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210");
    with_key(home.keyrole(["get", "prod"]), key).output().document();
    let found = checks(&with_key(doctor(&home), other));
    finds(&found, "sealed", "warn", &["does not open 1 of 1", "`KEYROLE_FILE_KEY`", "keyrole logout --all"]);
    assert!(!format!("{found:?}").contains(other), "the key is shown");
    finds(&checks(&with_key(doctor(&home), key)), "sealed", "ok", &["opens all 1"]);
}

#[test]
fn variables_that_shadow_a_profile_are_found() {
    let home = Home::new();
    let env = |pairs: &[(&str, &str)]| {
        pairs.iter().fold(doctor(&home).env("AWS_PROFILE", "prod"), |run, (name, value)| run.env(*name, *value))
    };
    let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    let keys = [("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"), ("AWS_SECRET_ACCESS_KEY", secret)];
    finds(&checks(&env(&keys)), "environment-keys", "fail", &["unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY"]);
    finds(&checks(&env(&keys[1..])), "environment-keys", "warn", &["half a set", "unset AWS_SECRET_ACCESS_KEY"]);
    let other = [("AWS_DEFAULT_PROFILE", "base")];
    finds(&checks(&env(&other)), "profile-variables", "fail", &["`prod`", "`base`", "unset AWS_DEFAULT_PROFILE"]);
    finds(&checks(&env(&[("AWS_PROFILE", "nobody")])), "profile-variables", "fail", &["`nobody`", "unset AWS_PROFILE"]);
    is_well(&checks(&env(&[])));
}

#[test]
fn keys_of_the_wrong_form_are_found_and_never_shown() {
    let id = "AKIAIOSFODNN7EXAMPLE";
    let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    let token = "t".repeat(200);
    for (text, status, words) in [
        (format!("aws_access_key_id = {id}\n"), "fail", "`aws_secret_access_key` is missing"),
        (format!("aws_access_key_id = \"{id}\"\naws_secret_access_key = {secret}\n"), "fail", "has quotes"),
        (format!("aws_access_key_id = {id}\naws_secret_access_key = {secret} x\n"), "fail", "white space"),
        (
            format!("aws_access_key_id = {id}\naws_secret_access_key = {secret}…\n"),
            "fail",
            "characters that no key has",
        ),
        (format!("aws_access_key_id = {id}\naws_secret_access_key = {}\n", &secret[..30]), "warn", "has 30 characters"),
        (
            format!("aws_access_key_id = {}\naws_secret_access_key = {secret}\n", id.replace("AKIA", "ASIA")),
            "fail",
            "`aws_session_token` is missing",
        ),
        (
            format!("aws_access_key_id = {id}\naws_secret_access_key = {secret}\naws_session_token = {token}\n"),
            "fail",
            "remove `aws_session_token`",
        ),
        (
            format!(
                "aws_access_key_id = {}\naws_secret_access_key = {secret}\naws_session_token = cut\n",
                id.replace("AKIA", "ASIA")
            ),
            "fail",
            "too short to be whole",
        ),
        (
            format!(
                "aws_access_key_id = {}\naws_secret_access_key = {secret}\naws_security_token = {token}\n",
                id.replace("AKIA", "ASIA")
            ),
            "fail",
            "rename it to `aws_session_token`",
        ),
        (
            format!("aws_access_key_id = {}\naws_secret_access_key = {secret}\n", id.replace("AKIA", "AIDA")),
            "warn",
            "are no keys",
        ),
    ] {
        let home = Home::new();
        let right = std::fs::read_to_string(home.path().join(".aws/credentials")).unwrap();
        home.write_credentials(&format!("[base]\n{text}"));
        let found = checks(&doctor(&home));
        finds(&found, "form", status, &[words]);
        let shown = format!("{found:?}");
        assert!(!shown.contains(&secret[..20]) && !shown.contains(&token), "a secret is shown: {shown}");
        home.write_credentials(&right);
        is_well(&checks(&doctor(&home)));
    }
}

#[test]
fn keys_whose_end_has_passed_are_found() {
    let home = Home::new();
    let right = std::fs::read_to_string(home.path().join(".aws/credentials")).unwrap();
    home.write_credentials(&format!("{right}x_security_token_expires = 2020-01-01T00:00:00Z\n"));
    finds(&checks(&doctor(&home)), "expired", "fail", &["expired at 2020-01-01T00:00:00Z"]);
}

#[test]
fn a_source_that_aws_does_not_know_is_found_by_its_own_words() {
    let home = Home::new();
    let text = std::fs::read_to_string(home.path().join(".aws/credentials")).unwrap();
    home.write_credentials(&text.replace(&home.access_key_id, "AKIAZZZZZZZZZZZZZZZZ"));
    finds(&checks(&doctor(&home)), "source-identity", "fail", &["InvalidClientTokenId"]);
    finds(&checks(&home.keyrole(["doctor", "prod", "--json", "--offline"])), "form", "ok", &[]);
}

#[test]
fn the_role_is_tried_only_when_that_is_allowed() {
    let home = Home::new();
    assert!(of(&checks(&doctor(&home)), "role-identity", "ok").is_empty());
    let assume = home.keyrole(["doctor", "prod", "--json", "--assume"]);
    finds(&checks(&assume), "role-identity", "ok", &["444455556666", "assumed-role/Admin/"]);
    let home = Home::new();
    home.write_config(&home.default_config("").replace("role/Admin", "role/Nobody"));
    finds(&checks(&home.keyrole(["doctor", "prod", "--json", "--assume"])), "role-identity", "fail", &["AccessDenied"]);
}

#[test]
fn a_clock_that_is_wrong_is_found_with_the_offset() {
    let home = Home::new();
    for (offset, status, words) in [(1200, "fail", "s behind"), (-120, "warn", "s ahead of")] {
        home.sts.set_clock_offset(offset);
        finds(&checks(&doctor(&home)), "clock", status, &[words, "tolerates 300 s", "timedatectl"]);
    }
    home.sts.set_clock_offset(0);
    is_well(&checks(&doctor(&home)));
}

#[test]
fn regions_that_are_missing_misspelt_or_of_another_partition_are_found() {
    let region = "keyrole_source_profile = base\nregion = eu-west-1\n";
    mended_line(region, "keyrole_source_profile = base\nregion = eu-wst-1\n", "region", "warn", &["`eu-west-1`"]);
    mended_line(region, "keyrole_source_profile = base\nregion = cn-north-1\n", "plan", "fail", &["partition `aws`"]);
    let home = Home::new();
    home.write_config(&home.default_config("").replace("region = eu-west-1\n", ""));
    finds(&checks(&doctor(&home)), "region", "warn", &["no region is set", "`region = us-east-1`"]);
    home.write_config(&home.default_config("").replace("region = eu-west-1\n", "region = af-south-1\n"));
    finds(&checks(&doctor(&home)), "region", "ok", &["opt in"]);
    let variable = doctor(&home).env("AWS_ENDPOINT_URL", home.sts.url());
    finds(&checks(&variable), "endpoint", "warn", &["unset AWS_ENDPOINT_URL"]);
}

#[test]
fn a_device_of_another_account_and_a_program_that_prints_no_code_are_found() {
    let home = Home::with_mfa();
    let right = home.default_config(&format!("mfa_serial = {}\nmfa_process = echo 123456\n", home.serial));
    let foreign = right.replace("arn:aws:iam::111122223333:mfa", "arn:aws:iam::999988887777:mfa");
    mended(&home, &foreign, &right, "serial", "fail", &["account 999988887777, the source to 111122223333"]);
    let missing = right.replace("echo 123456", "ykmanx oath accounts code --single aws");
    mended(&home, &missing, &right, "process", "fail", &["no program `ykmanx` on the `PATH`"]);
    let broken = right.replace("echo 123456", "echo locked");
    mended(&home, &broken, &right, "process", "fail", &["must print six digits"]);
    finds(&checks(&doctor(&home)), "process", "ok", &["six digits"]);
    home.write_config(&foreign);
    let device = ["aws iam list-mfa-devices --profile base --query \\\"MFADevices[].SerialNumber\\\""];
    finds(&checks(&doctor(&home)), "serial", "fail", &device);
}

#[test]
fn whether_somebody_could_be_asked_is_said() {
    let home = Home::with_mfa();
    finds(&checks(&doctor(&home)), "prompt", "warn", &["no terminal", "keyrole login prod"]);
    let output = home.keyrole(["doctor", "prod", "--json"]).on_terminal().finish();
    assert!(output.stdout.contains("on this terminal"), "{output:?}");
    finds(&checks(&doctor(&home).env("KEYROLE_PROMPT", "none")), "prompt", "warn", &["forbids"]);
}

#[test]
fn a_certificate_that_is_not_trusted_and_a_port_where_nobody_listens_are_found() {
    let home = Home::with(Sts::start_tls(), "");
    is_well(&checks(&doctor(&home)));
    home.write_config(&home.default_config("").replace("ca_bundle", "output"));
    finds(&checks(&doctor(&home)), "sts", "fail", &["cannot reach", "certificate", "ca_bundle"]);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    home.write_config(&home.default_config("").replace(&home.sts.url(), &format!("http://{nobody}")));
    finds(&checks(&doctor(&home)), "sts", "fail", &["cannot reach", &nobody.to_string()]);
    finds(&checks(&doctor(&home).env("HTTPS_PROXY", "not a url")), "sts", "fail", &["`HTTPS_PROXY`"]);
}

#[test]
fn a_program_for_the_code_that_waits_for_a_touch_is_not_waited_for_and_no_seed_is_shown() {
    let home = Home::new();
    home.write_config(&home.default_config(&format!("mfa_serial = {}\nmfa_process = sleep 300\n", home.serial)));
    let output = home.keyrole(["doctor", "prod"]).output();
    assert!(output.stdout.contains("it did not answer within 4 s; if it waits for a touch"), "{output:?}");
    let process = "mfa_process = \"oathtool --totp -b HUNTER2\"";
    home.write_config(&home.default_config(&format!("mfa_serial = {}\n{process}\n", home.serial)));
    let output = home.keyrole(["doctor", "prod"]).output();
    assert!(output.stdout.contains("the whole command stands in quotes"), "{output:?}");
    assert!(!output.stdout.contains("HUNTER2") && !output.stderr.contains("HUNTER2"), "{output:?}");
}

#[test]
fn a_dead_network_is_told_within_ten_seconds() {
    let home = Home::new();
    // The connection is taken and never answered.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", mute.local_addr().unwrap());
    let mut config = home.default_config("");
    for name in ["a", "b", "c"] {
        config += &home.role(name, ADMIN, "");
    }
    home.write_config(&config.replace(&home.sts.url(), &url));
    let began = Instant::now();
    finds(&checks(&home.keyrole(["doctor", "--json"])), "sts", "fail", &["cannot reach"]);
    assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
}

#[test]
fn permissions_that_let_others_in_are_found() {
    let home = Home::new();
    let mode = |path: &str, mode| {
        std::fs::set_permissions(home.path().join(path), PermissionsExt::from_mode(mode)).unwrap();
        checks(&home.keyrole(["doctor", "prod", "--json"]))
    };
    finds(&mode(".aws/credentials", 0o644), "permissions", "fail", &["others can read", "chmod 600"]);
    finds(&mode(".aws/config", 0o666), "permissions", "fail", &["others can write", "chmod go-w"]);
    mode(".aws/credentials", 0o600);
    is_well(&mode(".aws/config", 0o644));
    finds(&mode(".local/state/keyrole", 0o777), "state", "fail", &["chmod 700"]);
    mode(".local/state/keyrole", 0o700);
    finds(&mode(".aws", 0o777), "permissions", "fail", &["others can replace", ".aws`", "chmod go-w"]);
    is_well(&mode(".aws", 0o1777));
    is_well(&mode(".aws", 0o700));
}

#[test]
fn a_lock_that_somebody_holds_is_named() {
    let home = Home::with_mfa();
    let prompt = home.keyrole(["get", "prod"]).on_terminal();
    prompt.expect("MFA code for ");
    let pid = prompt.pid().to_string();
    finds(&checks(&doctor(&home)), "locks", "warn", &["asking for an MFA code since", &format!("kill {pid}")]);
    prompt.send("\x03");
    prompt.finish();
    finds(&checks(&doctor(&home)), "locks", "ok", &[]);
}

#[test]
fn a_file_that_cannot_be_read_and_a_profile_that_is_not_there_are_findings_too() {
    let home = Home::new();
    finds(&checks(&home.keyrole(["doctor", "prd", "--json"])), "plan", "fail", &["did you mean `prod`?"]);
    home.write_config("[profile prod\n");
    finds(&checks(&doctor(&home)), "files", "fail", &["line 1", "`]` is missing"]);
}

#[test]
fn without_a_profile_every_one_that_keyrole_serves_is_examined() {
    let home = Home::new();
    home.add_config("[profile other]\nregion = eu-west-1\n");
    let found = checks(&home.keyrole(["doctor", "--json"]));
    let profiles: std::collections::BTreeSet<&str> =
        found.iter().filter_map(|check| check["profile"].as_str()).collect();
    assert_eq!(profiles.into_iter().collect::<Vec<_>>(), ["prod"]);
}

#[test]
fn people_get_colours_on_a_terminal_and_plain_text_elsewhere() {
    let home = Home::new();
    let output = home.keyrole(["doctor", "prod"]).output();
    assert!(output.stdout.contains("\n  ok    "), "{output:?}");
    assert!(!output.stdout.contains('\x1b'), "{output:?}");
    let (_, shown) = home.keyrole(["doctor", "prod"]).in_terminal().finish_with_screen();
    assert!(shown.contains("\x1b[32mok  \x1b[0m"), "{shown}");
    let (_, shown) = home.keyrole(["doctor", "prod"]).env("NO_COLOR", "1").in_terminal().finish_with_screen();
    assert!(!shown.contains("\x1b[32m"), "{shown}");
}

/// The step that botocore itself takes for a profile that the program names, or that `AWS_PROFILE` names.
fn method_of_botocore(home: &Home, env: &[(&str, &str)], profile: Option<&str>) -> String {
    let profile = profile.map_or_else(String::new, |name| format!("profile={name:?}"));
    let script = format!(
        "import botocore.session\ntry:\n    found = botocore.session.Session({profile}).get_credentials()\n    \
         print(found.method if found else 'none')\nexcept Exception:\n    print('error')\n"
    );
    let run = home.run(venv("python"), ["-c", &script]).env("AWS_EC2_METADATA_DISABLED", "true");
    let output = env.iter().fold(run, |run, (name, value)| run.env(*name, *value)).output();
    assert_eq!(output.code, 0, "{output:?}");
    output.stdout.trim().to_owned()
}

/// The step that an AWS CLI takes, from the table of `aws configure list`.
fn method_of_cli(home: &Home, cli: &std::path::Path, profile: &str) -> String {
    let output =
        home.run(cli, ["configure", "list", "--profile", profile]).env("AWS_EC2_METADATA_DISABLED", "true").output();
    let line = output.stdout.lines().find(|line| line.trim_start().starts_with("access_key"));
    // `name  value  type  location`, in columns; the first version may separate them by colons. No value is `<not set>`.
    let words: Vec<&str> = line.unwrap_or_default().split([' ', ':']).filter(|word| !word.is_empty()).collect();
    match words.get(2) {
        _ if output.code != 0 => "error".to_owned(),
        Some(&"set>") | None => "none".to_owned(),
        Some(method) => (*method).to_owned(),
    }
}

/// The step at which an AWS CLI stops looking, from its trace. From there it goes on to a server, which it cannot reach.
fn last_step_of_cli(home: &Home, cli: &std::path::Path, env: &[(&str, &str)]) -> String {
    // What the other one has cached is none of its own.
    let _ = std::fs::remove_dir_all(home.path().join(".aws/cli"));
    let run = home.run(cli, ["configure", "list", "--profile", "prod", "--debug"]);
    let run = run.env("AWS_EC2_METADATA_DISABLED", "true").env("HTTPS_PROXY", "http://127.0.0.1:1");
    let output =
        env.iter().fold(run.env("AWS_MAX_ATTEMPTS", "1"), |run, (name, value)| run.env(*name, *value)).output();
    // It looks for the credentials of the source in the same way.
    if output.stderr.contains("OperationModel(name=AssumeRole)") {
        return "assume-role".to_owned();
    }
    let mut steps = output.stderr.lines().filter_map(|line| line.split_once("Looking for credentials via: "));
    steps.next_back().unwrap_or_else(|| panic!("a trace: {output:?}")).1.to_owned()
}

#[test]
fn the_verdicts_on_the_chain_are_those_of_botocore_and_of_both_versions_of_the_aws_cli() {
    let keys = "aws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = \
                wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n";
    let process = format!("credential_process = {KEYROLE} get work\n");
    let role = format!("role_arn = {ADMIN}\n");
    let identity = format!("{role}web_identity_token_file = /nowhere/token\n");
    let sso = "sso_account_id = 111122223333\nsso_role_name = A\nsso_start_url = https://x\nsso_region = eu-west-1\n";
    for (config, credentials, expected) in [
        (process.clone(), "", "custom-process"),
        (format!("{process}{keys}"), "", "custom-process"),
        (process.clone(), keys, "shared-credentials-file"),
        (format!("{process}{role}source_profile = base\n"), "", "assume-role"),
        (format!("{process}{role}credential_source = Environment\n"), "", "assume-role"),
        (format!("{process}{role}"), "", "error"),
        (format!("{process}{role}source_profile = prod\n"), "", "error"),
        (format!("{process}{identity}"), "", "assume-role-with-web-identity"),
        (format!("{process}{sso}"), "", "sso"),
        (keys.to_owned(), "", "config-file"),
        ("output = json\n".to_owned(), "", "none"),
    ] {
        let home = Home::new();
        let work = home.role("work", ADMIN, "");
        let endpoint = format!("region = eu-west-1\nendpoint_url = {}\n", home.sts.url());
        home.write_config(&format!("[profile base]\n{endpoint}{work}[profile prod]\n{endpoint}{config}"));
        let base = std::fs::read_to_string(home.path().join(".aws/credentials")).unwrap();
        home.write_credentials(&if credentials.is_empty() { base } else { format!("{base}[prod]\n{credentials}") });
        let found = checks(&home.keyrole(["doctor", "prod", "--json", "--offline"]));
        let chain = found.iter().find(|check| check["check"] == "chain").expect("a verdict on the chain");
        assert_eq!(chain["providers"]["boto3"], expected, "{config}: {chain:#}");
        let env: &[_] = if expected == "assume-role" {
            &[("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "x")]
        } else {
            &[]
        };
        assert_eq!(method_of_botocore(&home, env, Some("prod")), expected, "botocore: {config}");
        for cli in [cli_v1(), cli_v2()] {
            let method = if expected.starts_with("assume-role") || expected == "sso" {
                last_step_of_cli(&home, &cli, env)
            } else {
                method_of_cli(&home, &cli, "prod")
            };
            assert_eq!(method, expected, "{}: {config}", cli.display());
        }
    }
}

#[test]
fn what_boto3_and_the_aws_cli_refuse_or_overlook_is_found_although_keyrole_can_read_it() {
    let home = Home::new();
    let right = home.default_config("");
    let named = |header: &str, name: &str| {
        let quoted = right.replace("get prod", &format!("get \"{name}\""));
        quoted.replace("[profile prod]", header)
    };
    let twice = "[profile prod]\n[profile prod]";
    for (broken, name, words) in [
        (format!("\u{feff}{right}"), "prod", "without a byte order mark"),
        (named(twice, "prod"), "prod", "remove one of the two"),
        (named("[profile my prod]", "my prod"), "my prod", r#"`[profile \"my prod\"]`"#),
        (named("[profile a'b]", "a'b"), "a'b", r#"`[profile \"a'b\"]`"#),
        (named("[ profile prod ]", "prod"), "prod", "`[profile prod]`"),
        (named("[profile prod] # see [1]", "prod"), "prod", "`[profile prod]`"),
    ] {
        home.write_config(&broken);
        home.keyrole(["get", name]).output().document();
        let found = checks(&home.keyrole(["doctor", name, "--json", "--offline"]));
        finds(&found, "chain", "fail", &["boto3 and the AWS CLI", words]);
        let chain = found.iter().find(|check| check["check"] == "chain").unwrap();
        assert_eq!(chain["providers"]["boto3"], "error", "{chain:#}");
        assert_eq!(method_of_botocore(&home, &[], Some(name)), "error", "{broken}");
        for cli in [cli_v1(), cli_v2()] {
            assert_eq!(method_of_cli(&home, &cli, name), "error", "{}: {broken}", cli.display());
        }
    }
    // What is well for botocore is well for the doctor.
    for header in ["[profile \"my prod\"]", "[profile my\\ prod]", "[profile 'my prod'] # why"] {
        home.write_config(&named(header, "my prod"));
        let found = checks(&home.keyrole(["doctor", "my prod", "--json", "--offline"]));
        if header.contains('\\') {
            continue;
        }
        finds(&found, "chain", "ok", &["every SDK runs keyrole"]);
        assert_eq!(method_of_botocore(&home, &[], Some("my prod")), "custom-process", "{header}");
    }
    // Two headers that are written differently are two sections for botocore, and a nested key may come twice.
    home.write_config(&format!("{right}[profile 'prod']\noutput = json\ns3 =\n  x = 1\n  x = 2\n"));
    finds(&checks(&home.keyrole(["doctor", "prod", "--json", "--offline"])), "duplicate", "ok", &[]);
    // The second one replaces the first.
    finds(&checks(&home.keyrole(["doctor", "prod", "--json", "--offline"])), "chain", "fail", &["line 11 replaces"]);
    assert_eq!(method_of_botocore(&home, &[], Some("prod")), "none");
}

#[test]
fn the_verdicts_on_the_environment_are_those_of_botocore() {
    let home = Home::new();
    let keys = [("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "x")];
    let by_variable = [&keys[..], &[("AWS_PROFILE", "prod")]].concat();
    assert_eq!(method_of_botocore(&home, &by_variable, None), "env");
    assert_eq!(method_of_botocore(&home, &keys, Some("prod")), "custom-process");
    // Both variables, and only one of the profiles is there.
    let both = [("AWS_PROFILE", "nobody"), ("AWS_DEFAULT_PROFILE", "prod")];
    assert_eq!(method_of_botocore(&home, &both, None), "custom-process");
}
