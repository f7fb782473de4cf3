//! Every mistake in the configuration is found before anything is sent, and named.

use crate::support::sts::{ADMIN, DEPLOY, READER};
use crate::support::{Home, KEYROLE, Output, PATIENCE};
use std::time::Instant;

/// A source with keys that look right.
const BASE: &str = "[profile base]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = secret\n";

/// Runs `get prod` over this config file, and checks that nothing was sent.
#[track_caller]
fn get(config: &str) -> Output {
    let home = Home::new();
    home.write_credentials("");
    home.write_config(config);
    let output = home.keyrole(["get", "prod"]).env("AWS_ENDPOINT_URL_STS", home.sts.url()).output();
    assert_eq!(home.sts.calls().len(), 0, "{output:?}");
    output
}

/// Checks that `[profile prod]`, a role of `base`, is refused with these lines added.
#[track_caller]
fn refused(lines: &str, words: &[&str]) {
    let output = get(&format!("{BASE}[profile prod]\nrole_arn = {ADMIN}\nsource_profile = base\n{lines}\n"));
    output.fails(2, words);
    // The file and the line are named, so that an editor can go there.
    output.fails(2, &[".aws/config` line "]);
}

#[test]
fn an_unknown_profile_exits_2_and_names_the_file() {
    let home = Home::new();
    home.keyrole(["get", "nope"]).output().fails(2, &["profile `nope` is not in", ".aws/config"]);
    home.keyrole(["get", "Prod"]).output().fails(2, &["did you mean `prod`?"]);
    home.keyrole(["get", "zzz"]).output().fails(2, &["add `[profile zzz]` to `"]);
}

#[test]
fn an_unknown_source_profile_is_named_with_its_line() {
    let output = get(&format!("[profile prod]\nrole_arn = {ADMIN}\nsource_profile = bass\n[profile base]\n"));
    output.fails(2, &["profile `prod`", "`source_profile` in", ".aws/config` line 3: there is no profile `bass`"]);
}

#[test]
fn half_a_key_is_refused_whichever_half_it_is() {
    let role = format!("[profile prod]\nrole_arn = {ADMIN}\nsource_profile = base\n");
    let id = get(&format!("{role}[profile base]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\n"));
    id.fails(2, &["profile `base`: `aws_access_key_id` in", "line 5: `aws_secret_access_key` is missing beside it"]);
    let secret = get(&format!("{role}[profile base]\naws_secret_access_key = hunter2\n"));
    secret.fails(2, &["line 5: `aws_access_key_id` is missing beside it", "both halves"]);
    assert!(!secret.stderr.contains("hunter2"));
}

#[test]
fn a_source_without_credentials_is_named() {
    let output = get(&format!("[profile prod]\nrole_arn = {ADMIN}\nsource_profile = base\n[profile base]\n"));
    output.fails(2, &["profile `base` in", "there are no credentials here", "`aws_access_key_id`"]);
}

#[test]
fn an_access_key_id_with_quotes_around_it_is_refused() {
    let output =
        get("[profile prod]\naws_access_key_id = \"AKIAIOSFODNN7EXAMPLE\"\naws_secret_access_key = \"secret\"\n");
    output.fails(2, &["profile `prod`: `aws_access_key_id`", "without quotes"]);
}

#[test]
fn bad_arns_are_refused_with_the_reason() {
    for (arn, why) in [
        ("Admin", "it has the form arn:aws:iam::123456789012:role/NAME"),
        ("arn:aws:iam::4444:role/Admin", "the account is 12 digits"),
        ("arn:aws:iam::444455556666:user/me", "the resource is `role/NAME`"),
    ] {
        get(&format!("{BASE}[profile prod]\nrole_arn = {arn}\nsource_profile = base\n"))
            .fails(2, &["profile `prod`: `role_arn` in", "line 5: ", arn, why]);
    }
    refused("mfa_serial = arn:aws:iam::111122223333:user/me", &["`mfa_serial`", "not an MFA device's ARN"]);
    refused("policy_arns = ReadOnlyAccess", &["`policy_arns`", "`ReadOnlyAccess` is not a policy's ARN"]);
}

#[test]
fn bad_numbers_are_refused_with_their_limits() {
    for wrong in ["1h", "60", "43201", "-900", "9e2", "99999999999"] {
        refused(&format!("duration_seconds = {wrong}"), &["`duration_seconds`", wrong, "from 900 to 43200"]);
    }
    for wrong in ["60", "129601", "never"] {
        let lines = format!("mfa_session_duration = {wrong}");
        refused(&lines, &["`mfa_session_duration`", wrong, "from 900 to 129600, or 0"]);
    }
}

#[test]
fn what_aws_would_refuse_is_refused_before_it_is_sent() {
    refused("role_session_name = a b", &["`role_session_name`", "AWS does not allow ` ` there"]);
    refused("external_id = x", &["`external_id`", "AWS allows 2 to 1224"]);
    refused("source_identity = aws:me", &["`source_identity`", "begins with `aws:`"]);
    refused("session_tags = project", &["`session_tags`", "`project` is not of the form key=value"]);
    refused("session_tags = a=1,A=2", &["`session_tags`", "the tag `A` is given twice"]);
    refused("policy = {\"Version\": }", &["`policy`", "not a JSON object"]);
    refused("policy = file:~/nowhere.json", &["`policy`", "cannot read `", "nowhere.json`"]);
    refused("keyrole_store = cloud", &["`keyrole_store`", "`cloud` is not one of auto, keyutils"]);
    refused("keyrole_prompt = telepathy", &["`keyrole_prompt`", "`telepathy` is not one of auto, terminal"]);
    refused("use_fips_endpoint = yes", &["`use_fips_endpoint`", "`yes` is neither `true` nor `false`"]);
    refused("sts_regional_endpoints = local", &["neither `regional` nor `legacy`"]);
}

#[test]
fn a_role_without_a_source_is_told_what_to_add() {
    let output = get(&format!("[profile prod]\nrole_arn = {ADMIN}\n"));
    output.fails(
        2,
        &["profile `prod` in", "needs `source_profile` or `credential_source`", "keyrole_source_profile = NAME"],
    );
}

#[test]
fn two_sources_of_one_role_are_refused() {
    refused("credential_source = Environment", &["`credential_source`", "cannot stand beside `source_profile`"]);
}

#[test]
fn a_bad_credential_source_is_refused_with_the_good_ones() {
    get(&format!("[profile prod]\nrole_arn = {ADMIN}\ncredential_source = environment\n"))
        .fails(2, &["line 3", "`environment` is not one of Environment, Ec2InstanceMetadata, EcsContainer"]);
    get(&format!("[profile prod]\nrole_arn = {ADMIN}\ncredential_source = Environment\n"))
        .fails(2, &["the environment has no credentials", "set `AWS_ACCESS_KEY_ID`"]);
}

#[test]
fn a_loop_is_refused_with_the_chain_shown() {
    let hop = |name: &str, source: &str| format!("[profile {name}]\nrole_arn = {ADMIN}\nsource_profile = {source}\n");
    get(&(hop("prod", "b") + &hop("b", "c") + &hop("c", "b")))
        .fails(2, &["runs in a circle: `prod` → `b` → `c` → `b`", "credentials of its own"]);
    get(&hop("prod", "prod")).fails(2, &["names itself, but has no keys of its own"]);
}

/// Writes a chain of this many roles above `base`; `prod` is the last.
fn chain(home: &Home, length: usize) {
    let roles = [ADMIN, READER, DEPLOY];
    let mut config = "[profile base]\nregion = eu-west-1\n".to_owned();
    for hop in 1..=length {
        let name = if hop == length { "prod".to_owned() } else { format!("hop{hop}") };
        let source = if hop == 1 { "base".to_owned() } else { format!("hop{}", hop - 1) };
        // The stand-in's roles trust the accounts of the first two, so the third only ends a chain.
        let arn = if hop == length { roles[2] } else { roles[hop % 2] };
        config += &home.role(&name, arn, "").replace("source_profile = base", &format!("source_profile = {source}"));
    }
    home.write_config(&config);
}

#[test]
fn a_chain_of_ten_roles_works_and_of_eleven_is_refused() {
    let home = Home::new();
    chain(&home, 10);
    home.keyrole(["get", "prod"]).output().document();
    assert_eq!(home.sts.count("AssumeRole"), 10);
    chain(&home, 11);
    let output = home.keyrole(["get", "prod"]).output();
    output.fails(2, &["longer than 10", "`prod` → `hop10` → ", "`hop1` → `base`"]);
    assert_eq!(home.sts.count("AssumeRole"), 10);
}

#[test]
fn a_source_that_runs_keyrole_is_refused_with_the_chain_shown() {
    for command in ["keyrole get prod", "/usr/local/bin/keyrole get --no-prompt prod", "keyrole get prod --refresh"] {
        let role = format!("[profile prod]\nrole_arn = {ADMIN}\nsource_profile = base\n");
        let output = get(&format!("{role}[profile base]\ncredential_process = {command}\n"));
        output.fails(
            2,
            &["profile `base`: `credential_process` in", "line 5", "it is keyrole itself: `prod` → `base` → `prod`"],
        );
    }
    get("[profile prod]\ncredential_process = keyrole get prod\n")
        .fails(2, &["it is keyrole itself: `prod` → `prod`", "keyrole_role_arn"]);
}

#[test]
fn a_wrapper_that_leads_back_to_keyrole_is_refused_with_the_chain_shown() {
    let home = Home::new();
    home.write_credentials("");
    let wrapper = home.path().join("wrapper");
    std::fs::write(&wrapper, format!("#!/bin/sh\nexec {KEYROLE} get prod\n")).unwrap();
    let process = format!("credential_process = sh {}\n", wrapper.display());
    home.write_config(&home.default_config(&process));
    let start = Instant::now();
    let output = home.keyrole(["get", "prod"]).output();
    output.fails(2, &["`credential_process` of profile `base`", "profile `prod` needs itself: `prod` → `prod`"]);
    assert!(start.elapsed() < PATIENCE / 4);
}

#[test]
fn the_prefixed_key_wins_over_the_plain_one() {
    let home = Home::new();
    home.write_config(&format!(
        "[profile base]\n{}",
        home.role("prod", ADMIN, &format!("role_arn = {READER}\nsource_profile = nope"))
    ));
    home.keyrole(["get", "prod"]).output().document();
    assert_eq!(home.sts.calls()[0].role_arn.as_deref(), Some(ADMIN));
}

#[test]
fn plain_keys_of_the_aws_cli_are_enough() {
    let home = Home::new();
    home.write_config(&home.default_config("").replace("keyrole_", ""));
    home.keyrole(["get", "prod"]).output().document();
}

#[test]
fn the_default_profile_is_found_under_both_of_its_names() {
    let home = Home::new();
    for header in ["[default]", "[profile default]"] {
        let role = home.role("default", ADMIN, "").replace("[profile default]", header);
        home.write_config(&format!("[profile base]\n{role}"));
        home.keyrole(["get", "default"]).output().document();
    }
    assert_eq!(home.sts.count("AssumeRole"), 1);
}

#[test]
fn a_profiles_name_may_have_spaces_and_quotes_around_it() {
    let home = Home::with_mfa();
    home.add_config(&home.role("\"name with spaces\"", READER, ""));
    let output = home.keyrole(["get", "name with spaces"]).output();
    output.fails(4, &["profile `name with spaces`", "run `keyrole login 'name with spaces'`"]);
    home.keyrole(["get", "name with spaces", "--mfa-code", &home.code()]).output().document();
}

#[test]
fn control_characters_in_names_are_escaped_in_errors() {
    let home = Home::new();
    let output = home.keyrole(["get", "a\u{1b}[2J\nb\u{202e}c"]).output();
    output.fails(2, &[r"profile `a\u{1b}[2J\nb\u{202e}c` is not in"]);
    let output = get(&format!("{BASE}[profile prod]\nrole_arn = \u{7}\u{9b}31m\nsource_profile = base\n"));
    output.fails(2, &[r"\u{7}\u{9b}31m"]);
}

#[test]
fn bad_regions_are_refused() {
    refused("region = euwest1", &["`region`", "`euwest1` is not a region, which has the form eu-west-1"]);
    get(&format!("{BASE}[profile prod]\nrole_arn = {ADMIN}\nsource_profile = base\nregion = cn-north-1\n"))
        .fails(2, &["region `cn-north-1` is not in the role's partition `aws`", "`AWS_REGION`"]);
    let home = Home::new();
    home.keyrole(["get", "prod"]).env("AWS_REGION", "us-east").output().fails(2, &["`AWS_REGION`: `us-east`"]);
    let run = home.keyrole(["get", "prod"]).env("AWS_REGION", "us-gov-west-1");
    run.output().fails(2, &["region `us-gov-west-1` is not in the role's partition `aws`"]);
    assert_eq!(home.sts.calls().len(), 0);
}

#[test]
fn bad_endpoints_are_refused() {
    let home = Home::new();
    for wrong in ["sts.example", "ftp://sts.example", "https://", "https://a b"] {
        home.write_config(&format!(
            "[profile base]\n[profile prod]\nrole_arn = {ADMIN}\nsource_profile = base\nendpoint_url = {wrong}\n"
        ));
        home.keyrole(["get", "prod"]).output().fails(2, &["`endpoint_url` in", "line 5", wrong, "is not a URL"]);
        let run = home.keyrole(["get", "prod"]).env("AWS_ENDPOINT_URL_STS", wrong);
        run.output().fails(2, &["`AWS_ENDPOINT_URL_STS`", wrong, "is not a URL"]);
    }
}

#[test]
fn an_endpoint_may_stand_in_a_services_section() {
    let home = Home::new();
    let role = format!("[profile prod]\nrole_arn = {ADMIN}\nsource_profile = base\nservices = local\n");
    home.write_config(&format!("[profile base]\n{role}[services local]\nsts =\n  endpoint_url = {}\n", home.sts.url()));
    home.keyrole(["get", "prod"]).output().document();
}

#[test]
fn a_wrong_command_line_exits_2_in_the_same_form() {
    let home = Home::new();
    home.keyrole::<[&str; 0]>([]).output().fails(2, &["a command is missing", "keyrole --help"]);
    home.keyrole(["get"]).output().fails(2, &["<PROFILE>", "keyrole: hint: run `keyrole get --help`"]);
    home.keyrole(["get", "--nope", "prod"]).output().fails(2, &["`--nope`"]);
    home.keyrole(["gte", "prod"]).output().fails(2, &["unrecognized subcommand `gte`"]);
    home.keyrole(["completions", "foo"]).output().fails(2, &["`foo`", "possible values: bash"]);
    home.keyrole(["login", "--all", "x"]).output().fails(2, &["`--all`", "run `keyrole login --help`"]);
    home.keyrole(["get", "--no-prompt", "--", "--all"]).output().fails(2, &["profile `--all` is not in"]);
    home.keyrole(["statu"]).output().fails(2, &["`statu`", "`status`"]);
}
