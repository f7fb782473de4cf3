//! A miss asks AWS, a hit does not, and an answer is for exactly one question.

use crate::support::sts::{ADMIN, Fault, READER};
use crate::support::{Home, Output};

#[test]
fn a_miss_prints_the_document_and_a_hit_prints_the_same_without_asking_aws() {
    let home = Home::new();
    let miss = home.keyrole(["get", "prod"]).output();
    let document = miss.document();
    assert_eq!(document["Version"], 1);
    assert!(document["AccessKeyId"].as_str().unwrap().starts_with("ASIA"));
    assert!(document["Expiration"].as_str().unwrap().ends_with('Z'));
    assert_eq!(document["AccountId"], "444455556666");
    assert_eq!(home.keyrole(["get", "prod"]).output().stdout, miss.stdout);
    assert_eq!(home.sts.attempts("AssumeRole"), 1);
}

#[test]
fn refresh_gets_a_new_role_session() {
    let home = Home::new();
    let first = home.keyrole(["get", "prod"]).output().key();
    let second = home.keyrole(["get", "prod", "--refresh"]).output().key();
    assert_ne!(first, second);
    assert_eq!(home.keyrole(["get", "prod"]).output().key(), second);
}

#[test]
fn a_denied_role_exits_5_in_the_words_of_aws() {
    let home = Home::new();
    home.sts.set_fault(Some(Fault::AccessDenied));
    home.keyrole(["get", "prod"])
        .output()
        .fails(5, &["AccessDenied", "is not authorized to perform: sts:AssumeRole", ADMIN]);
}

#[test]
fn editing_the_profile_is_a_miss() {
    let home = Home::new();
    let first = home.keyrole(["get", "prod"]).output().key();
    for more in [
        "duration_seconds = 900",
        "role_session_name = other",
        "session_tags = a=b",
        "policy_arns = arn:aws:iam::aws:policy/ReadOnlyAccess",
    ] {
        home.write_config(&format!("[profile base]\n{}", home.role("prod", ADMIN, more)));
        assert_ne!(home.keyrole(["get", "prod"]).output().key(), first, "{more}");
    }
    home.write_config(&format!("[profile base]\n{}", home.role("prod", READER, "")));
    assert_ne!(home.keyrole(["get", "prod"]).output().key(), first);
    home.write_config(&home.default_config(""));
    assert_eq!(home.keyrole(["get", "prod"]).output().key(), first);
}

#[test]
fn a_region_of_the_same_partition_is_a_hit() {
    let home = Home::new();
    let first = home.keyrole(["get", "prod"]).output().key();
    let run: Output = home.keyrole(["get", "prod"]).env("AWS_REGION", "ap-southeast-2").output();
    assert_eq!(run.key(), first);
}
