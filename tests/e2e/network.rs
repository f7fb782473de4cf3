//! When AWS cannot be reached, or answers with trouble, the error says so in bounded time.

use crate::support::sts::{Fault, Sts};
use crate::support::{Home, Output};
use std::net::TcpListener;
use std::time::{Duration, Instant, SystemTime};

/// More than one call may take with its attempts and pauses; less than any client waits.
const BOUND: Duration = Duration::from_secs(30);

/// Runs `get prod`, and checks that it ends in time.
#[track_caller]
fn get(home: &Home) -> Output {
    let start = Instant::now();
    let output = home.keyrole(["get", "prod"]).output();
    assert!(start.elapsed() < BOUND, "{:?}: {output:?}", start.elapsed());
    output
}

#[test]
fn one_trouble_of_the_network_or_of_aws_is_survived() {
    for fault in [Fault::Throttle, Fault::ServerError, Fault::Drop, Fault::Html] {
        let home = Home::new();
        home.sts.fail_next(1, fault);
        get(&home).document();
        assert_eq!(home.sts.attempts("AssumeRole"), 2, "{fault:?}");
    }
}

#[test]
fn throttling_that_lasts_exits_1_after_three_attempts() {
    let home = Home::new();
    home.sts.set_fault(Some(Fault::Throttle));
    get(&home)
        .fails(1, &["AssumeRole of `arn:aws:iam::444455556666:role/Admin` failed: Throttling: Rate exceeded", "retry"]);
    assert_eq!(home.sts.attempts("AssumeRole"), 3);
}

#[test]
fn trouble_within_aws_that_lasts_exits_1_in_the_words_of_aws() {
    let home = Home::new();
    home.sts.set_fault(Some(Fault::ServerError));
    get(&home).fails(1, &["failed: InternalFailure: The request processing has failed", "hint: ", "retry"]);
    assert_eq!(home.sts.attempts("AssumeRole"), 3);
}

#[test]
fn connections_that_are_dropped_every_time_exit_1() {
    let home = Home::new();
    home.sts.set_fault(Some(Fault::Drop));
    get(&home).fails(1, &["cannot reach STS at `http://127.0.0.1:", "hint: "]);
}

#[test]
fn a_page_that_did_not_come_from_sts_exits_1_and_is_not_taken_for_credentials() {
    let home = Home::new();
    home.sts.set_fault(Some(Fault::Html));
    get(&home).fails(1, &["the answer did not come from STS", "captive portal"]);
    assert_eq!(home.sts.attempts("AssumeRole"), 3);
}

#[test]
fn a_call_with_a_code_is_not_repeated_for_an_answer_that_is_none() {
    let home = Home::with_mfa();
    home.sts.set_fault(Some(Fault::Html));
    let output = home.keyrole(["get", "prod", "--mfa-code", &home.code()]).output();
    output.fails(1, &["the answer did not come from STS"]);
    assert_eq!(home.sts.attempts("GetSessionToken"), 1);
}

#[test]
fn an_answer_that_is_cut_off_is_asked_for_again() {
    let home = Home::new();
    home.sts.fail_next(1, Fault::Truncate);
    get(&home).document();
    assert_eq!(home.sts.attempts("AssumeRole"), 2);
}

#[test]
fn answers_that_are_cut_off_every_time_exit_1() {
    let home = Home::new();
    home.sts.set_fault(Some(Fault::Truncate));
    get(&home).fails(1, &["AssumeRole", "hint: "]);
}

#[test]
fn an_answer_that_never_comes_exits_1() {
    let home = Home::new();
    home.sts.set_fault(Some(Fault::NeverAnswer));
    get(&home).fails(1, &["cannot reach STS at `http://127.0.0.1:", "hint: "]);
}

#[test]
fn a_failure_leaves_nothing_behind_that_stands_in_the_way() {
    let home = Home::new();
    home.sts.set_fault(Some(Fault::Html));
    get(&home).fails(1, &[]);
    home.sts.set_fault(None);
    get(&home).document();
}

#[test]
fn a_refused_connection_exits_1_and_names_the_endpoint() {
    let home = Home::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    home.write_config(&home.default_config("").replace(&home.sts.url(), &url));
    get(&home).fails(1, &[&format!("cannot reach STS at `{url}`"), "onnection refused", "`endpoint_url`"]);
}

#[test]
fn an_unknown_host_exits_1_and_names_it() {
    let home = Home::new();
    home.write_config(&home.default_config("").replace(&home.sts.url(), "https://sts.invalid"));
    get(&home).fails(1, &["cannot reach STS at `https://sts.invalid`", "hint: "]);
}

#[test]
fn a_clock_that_is_twenty_minutes_off_either_way_is_no_reason_to_fail() {
    for offset in [1200, -1200] {
        let home = Home::with_mfa();
        home.sts.set_clock_offset(offset);
        home.keyrole(["get", "prod", "--mfa-code", &home.code()]).output().document();
        assert_eq!((home.sts.count("GetSessionToken"), home.sts.count("AssumeRole")), (1, 1), "{offset}");
        home.keyrole(["get", "prod"]).output().document();
        assert_eq!(home.sts.count("AssumeRole"), 1, "{offset}");
    }
}

#[test]
fn a_clock_that_is_behind_gives_a_session_that_ends_by_that_clock() {
    let home = Home::new();
    home.sts.set_clock_offset(3600);
    let document = get(&home).document();
    let end = humantime::parse_rfc3339(document["Expiration"].as_str().unwrap()).unwrap();
    // By the clock of AWS it ends in two hours; a client that believed that would be refused for one of them.
    let left = end.duration_since(SystemTime::now()).unwrap();
    assert!(left <= Duration::from_secs(3600) && left > Duration::from_secs(3600) - BOUND, "{left:?}");
}

#[test]
fn a_clock_that_is_so_far_ahead_that_every_session_is_over_is_said_to_be_wrong() {
    let home = Home::new();
    home.sts.set_clock_offset(-3600);
    get(&home).fails(1, &["AssumeRole of `", "is over by this machine's clock", "the clock is wrong"]);
}

#[test]
fn a_certificate_authority_of_ones_own_is_trusted_by_ca_bundle() {
    let home = Home::with(Sts::start_tls(), "");
    get(&home).document();
    let home = Home::with(Sts::start_tls(), "");
    let bundle = home.path().join("ca.pem");
    home.write_config(&home.default_config("").replace("ca_bundle", "output"));
    home.keyrole(["get", "prod"]).env("AWS_CA_BUNDLE", bundle).output().document();
}

#[test]
fn a_certificate_of_another_authority_exits_1_and_points_to_ca_bundle() {
    let home = Home::with(Sts::start_tls(), "");
    let other = Sts::start_tls();
    std::fs::write(home.path().join("ca.pem"), other.ca_pem().unwrap()).unwrap();
    get(&home).fails(1, &["cannot reach STS at `https://localhost:", "certificate", "`ca_bundle` or `AWS_CA_BUNDLE`"]);
    home.write_config(&home.default_config("").replace("ca_bundle", "output"));
    get(&home).fails(1, &["cannot reach STS at `https://localhost:", "certificate", "`ca_bundle` or `AWS_CA_BUNDLE`"]);
    assert_eq!(home.sts.calls().len(), 0);
}

#[test]
fn a_bundle_that_is_no_bundle_exits_2_and_is_named_with_its_line() {
    let home = Home::with(Sts::start_tls(), "");
    let bundle = home.path().join("ca.pem");
    let place = format!(".aws/config` line 10: `{}` ", bundle.display());
    let certificate = |inside: &str| format!("-----BEGIN CERTIFICATE-----\n{inside}\n-----END CERTIFICATE-----\n");
    let cases = [
        (String::new(), "holds no certificate"),
        ("not a certificate".to_owned(), "holds no certificate"),
        (certificate("!!!!"), "is not valid PEM"),
        (certificate("aGVsbG8="), "holds a bad certificate"),
        ("-----BEGIN CERTIFICATE-----\naGVsbG8=\n".to_owned(), "is not valid PEM"),
    ];
    for (text, why) in cases {
        std::fs::write(&bundle, &text).unwrap();
        get(&home).fails(2, &["`ca_bundle` in `", &place, why, "give a PEM file"]);
    }
    std::fs::remove_file(&bundle).unwrap();
    get(&home).fails(2, &["`ca_bundle` in `", &place, "cannot be read: No such file", "give a PEM file"]);
    let run = home.keyrole(["get", "prod"]).env("AWS_CA_BUNDLE", "/nowhere.pem");
    run.output().fails(2, &["`AWS_CA_BUNDLE`: `/nowhere.pem` cannot be read"]);
    assert_eq!(home.sts.calls().len(), 0);
}
