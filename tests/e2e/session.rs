//! What a profile says about its session arrives at STS.

use crate::support::Home;
use crate::support::sts::{ADMIN, Call, DEPLOY, READER, Role};

/// Runs `get prod` with these lines in its profile and gives the call that came of it.
#[track_caller]
fn call_of(home: &Home, lines: &str) -> Call {
    home.write_config(&format!("[profile base]\n{}", home.role("prod", ADMIN, lines)));
    home.sts.forget_calls();
    home.keyrole(["get", "prod"]).output().document();
    home.sts.calls().pop().expect("a call")
}

/// Lets a role have sessions of twelve hours.
fn allow_twelve_hours(home: &Home, arn: &str) {
    home.sts.add_role(Role { max_session_seconds: 43_200, ..Role::new(arn, &["111122223333", "444455556666"]) });
}

#[test]
fn without_settings_only_the_role_and_a_name_are_sent() {
    let home = Home::new();
    let call = call_of(&home, "");
    let names: Vec<&str> = call.params.keys().map(String::as_str).collect();
    assert_eq!(names, ["Action", "RoleArn", "RoleSessionName", "Version"]);
    assert_eq!(call.params["RoleArn"], ADMIN);
}

#[test]
fn the_sessions_name_is_user_and_host_unless_the_profile_gives_one() {
    let home = Home::new();
    let name = call_of(&home, "").params["RoleSessionName"].clone();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    assert!(name.starts_with("tester@") && name.len() > 7, "{name}");
    assert!(host.starts_with(&name[7..]) || !host.is_ascii(), "{name} is not of {host}");
    assert_eq!(call_of(&home, "role_session_name = deploy-42").params["RoleSessionName"], "deploy-42");
}

#[test]
fn every_parameter_of_the_session_arrives() {
    let home = Home::new();
    let lines = "external_id = partner:7/x\nsource_identity = jo@example\nsession_tags = project=key role, cost=42\n\
                 transitive_session_tags = project\npolicy = {\"Version\":\"2012-10-17\",\"Statement\":[]}\n\
                 policy_arns = arn:aws:iam::aws:policy/ReadOnlyAccess,arn:aws:iam::444455556666:policy/team/x\n\
                 duration_seconds = 1800";
    let params = call_of(&home, lines).params;
    for (name, value) in [
        ("ExternalId", "partner:7/x"),
        ("SourceIdentity", "jo@example"),
        ("Tags.member.1.Key", "project"),
        ("Tags.member.1.Value", "key role"),
        ("Tags.member.2.Key", "cost"),
        ("Tags.member.2.Value", "42"),
        ("TransitiveTagKeys.member.1", "project"),
        ("Policy", "{\"Version\":\"2012-10-17\",\"Statement\":[]}"),
        ("PolicyArns.member.1.arn", "arn:aws:iam::aws:policy/ReadOnlyAccess"),
        ("PolicyArns.member.2.arn", "arn:aws:iam::444455556666:policy/team/x"),
        ("DurationSeconds", "1800"),
    ] {
        assert_eq!(params.get(name).map(String::as_str), Some(value), "{name}");
    }
}

#[test]
fn everything_that_shapes_the_session_is_a_miss_when_it_is_edited_and_a_hit_when_it_is_not() {
    let home = Home::new();
    let lines = [
        "",
        "role_session_name = ci-42",
        "external_id = partner",
        "source_identity = jo",
        "session_tags = a=1",
        "session_tags = a=2",
        "session_tags = a=2\ntransitive_session_tags = a",
        "policy = {}",
        "policy_arns = arn:aws:iam::aws:policy/ReadOnlyAccess",
        "duration_seconds = 1800",
    ];
    for (calls, lines) in (1..).zip(lines) {
        home.write_config(&format!("[profile base]\n{}", home.role("prod", ADMIN, lines)));
        let first = home.keyrole(["get", "prod"]).output().key();
        assert_eq!(home.keyrole(["get", "prod"]).output().key(), first, "{lines}");
        assert_eq!(home.sts.count("AssumeRole"), calls, "{lines}");
    }
}

#[test]
fn status_shows_what_shapes_the_session() {
    let home = Home::new();
    let status = |arguments: &[&str]| home.keyrole([&["status", "prod"], arguments].concat()).output().stdout;
    let json = || serde_json::from_str::<serde_json::Value>(&status(&["--json"])).expect("JSON")[0].take();
    call_of(&home, "");
    assert!(!status(&[]).contains("role_session_name"), "{}", status(&[]));
    assert!(json()["role_session_name"].as_str().unwrap().starts_with("tester@") && json()["policy"].is_null());
    call_of(
        &home,
        "role_session_name = ci-42\nsource_identity = jo\nsession_tags = a=1, b=two words\ntransitive_session_tags = B\n\
         policy = {\"Statement\":[]}\npolicy_arns = arn:aws:iam::aws:policy/ReadOnlyAccess",
    );
    let shown = status(&[]);
    let line = "prod: role_session_name = ci-42, source_identity = jo, session_tags = a=1,b=two words, \
                transitive_session_tags = B, policy = 16 characters, policy_arns = arn:aws:iam::aws:policy/ReadOnlyAccess\n";
    assert!(shown.contains(line), "{shown}");
    let json = json();
    for (key, value) in [
        ("role_session_name", "ci-42"),
        ("source_identity", "jo"),
        ("session_tags", "a=1,b=two words"),
        ("transitive_session_tags", "B"),
        ("policy", "{\"Statement\":[]}"),
        ("policy_arns", "arn:aws:iam::aws:policy/ReadOnlyAccess"),
    ] {
        assert_eq!(json[key], value, "{key}");
    }
}

#[test]
fn a_session_that_is_packed_too_large_says_what_to_shorten() {
    let home = Home::new();
    let tags: Vec<String> = (0..20).map(|n| format!("k{n}={}", "x".repeat(250))).collect();
    let role = home.role("prod", ADMIN, &format!("session_tags = {}", tags.join(",")));
    home.write_config(&format!("[profile base]\n{role}"));
    let output = home.keyrole(["get", "prod"]).output();
    let words = [
        "PackedPolicyTooLarge: Packed size of session tags consumes 1",
        "shorten `policy`, `policy_arns` or `session_tags`",
    ];
    output.fails(5, &words);
    let explained = home.run(crate::support::KEYROLE, ["explain", &output.stderr]).output();
    assert!(explained.stdout.starts_with("PackedPolicyTooLarge: "), "{explained:?}");
}

#[test]
fn a_policy_may_be_a_file_or_stand_on_several_lines() {
    let home = Home::new();
    let policy = "{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": []\n}\n";
    std::fs::write(home.path().join("policy.json"), policy).unwrap();
    let absolute = format!("policy = file://{}", home.path().join("policy.json").display());
    for lines in ["policy = file:~/policy.json", absolute.as_str()] {
        assert_eq!(
            call_of(&home, &format!("{lines}\nduration_seconds = {}", 900 + lines.len())).params["Policy"],
            policy.trim()
        );
    }
    let inline = call_of(&home, "policy = {\n  \"Version\": \"2012-10-17\",\n  \"Statement\": []\n  }");
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&inline.params["Policy"]).unwrap(),
        serde_json::from_str::<serde_json::Value>(policy).unwrap()
    );
}

#[test]
fn an_edited_policy_file_is_a_miss() {
    let home = Home::new();
    let path = home.path().join("policy.json");
    for statement in ["[]", "[{}]"] {
        std::fs::write(&path, format!("{{\"Statement\":{statement}}}")).unwrap();
        assert!(call_of(&home, "policy = file:~/policy.json").params["Policy"].contains(statement));
    }
}

#[test]
fn a_role_of_a_users_keys_may_last_twelve_hours() {
    let home = Home::new();
    allow_twelve_hours(&home, ADMIN);
    assert_eq!(call_of(&home, "duration_seconds = 43200").params["DurationSeconds"], "43200");
}

#[test]
fn a_role_of_an_mfa_session_may_last_twelve_hours() {
    let home = Home::with_mfa();
    home.sts.add_role(Role { requires_mfa: true, max_session_seconds: 43_200, ..Role::new(ADMIN, &["111122223333"]) });
    let mfa = format!("mfa_serial = {}\nmfa_session_duration = 129600\n", home.serial);
    let role = home.role("prod", ADMIN, "duration_seconds = 43200");
    home.write_config(&format!("[profile base]\n{mfa}{role}"));
    home.keyrole(["get", "prod", "--mfa-code", &home.code()]).output().document();
    let durations: Vec<String> = home.sts.calls().iter().map(|call| call.params["DurationSeconds"].clone()).collect();
    assert_eq!(durations, ["129600", "43200"]);
}

#[test]
fn a_role_of_another_roles_credentials_is_capped_at_an_hour() {
    let home = Home::new();
    for arn in [ADMIN, READER, DEPLOY] {
        allow_twelve_hours(&home, arn);
    }
    let first = home.role("prod", ADMIN, "duration_seconds = 7200");
    let second = home.role("deploy", DEPLOY, "duration_seconds = 7200").replace("_profile = base", "_profile = prod");
    let short = home.role("short", READER, "duration_seconds = 900").replace("_profile = base", "_profile = prod");
    home.write_config(&format!("[profile base]\n{first}{second}{short}"));
    home.keyrole(["get", "deploy"]).output().document();
    home.keyrole(["get", "short"]).output().document();
    let durations: Vec<String> = home.sts.calls().iter().map(|call| call.params["DurationSeconds"].clone()).collect();
    assert_eq!(durations, ["7200", "3600", "900"]);
}

#[test]
fn a_role_that_does_not_allow_the_duration_exits_5_and_says_what_to_lower() {
    let home = Home::new();
    home.write_config(&format!("[profile base]\n{}", home.role("prod", ADMIN, "duration_seconds = 43200")));
    let output = home.keyrole(["get", "prod"]).output();
    output.fails(5, &["exceeds the MaxSessionDuration", "lower `duration_seconds`"]);
}

#[test]
fn a_profile_with_keys_and_no_role_gives_a_session_of_its_user() {
    let home = Home::with_mfa();
    home.write_config(&format!(
        "[profile base]\nmfa_serial = {}\nendpoint_url = {}\nmfa_session_duration = 3600\n",
        home.serial,
        home.sts.url()
    ));
    let output = home.keyrole(["get", "base", "--mfa-code", &home.code()]).output();
    assert!(output.document().get("AccountId").is_none());
    let calls = home.sts.calls();
    assert_eq!((calls.len(), calls[0].action.as_str()), (1, "GetSessionToken"));
    assert_eq!(calls[0].params["DurationSeconds"], "3600");
}
