//! One prompt, one call, nothing lost, however many processes want it at once.

use crate::support::sts::{ADMIN, DEPLOY, Fault, READER};
use crate::support::{Home, KEYROLE, Output, PATIENCE, Run};
use std::process::Child;

/// Starts many `get`s of these profiles at once.
fn storm(home: &Home, profiles: &[&str], times: usize) -> Vec<Child> {
    (0..times).map(|n| home.keyrole(["get", profiles[n % profiles.len()]]).spawn()).collect()
}

#[test]
fn a_hundred_processes_on_a_cold_role_make_one_call_and_all_are_served() {
    let home = Home::new();
    home.sts.hold();
    let children = storm(&home, &["prod"], 100);
    assert!(home.sts.wait_for("AssumeRole", 1, PATIENCE));
    home.sts.release();
    let keys: std::collections::BTreeSet<String> = children.into_iter().map(|child| Output::of(child).key()).collect();
    assert_eq!((keys.len(), home.sts.attempts("AssumeRole")), (1, 1));
}

#[test]
fn any_mix_of_roles_behind_one_device_asks_once_and_calls_once_per_role() {
    let home = Home::with_mfa();
    home.add_config(&home.role("read", READER, ""));
    home.add_config(&home.role("deploy", DEPLOY, ""));
    let prompt = home.keyrole(["get", "prod"]).on_terminal();
    prompt.expect("MFA code for ");
    let children = storm(&home, &["prod", "read", "deploy"], 30);
    prompt.send(&format!("{}\n", home.code()));
    prompt.finish().document();
    for child in children {
        Output::of(child).document();
    }
    assert_eq!((home.sts.attempts("GetSessionToken"), home.sts.attempts("AssumeRole")), (1, 3));
}

#[test]
fn a_cancelled_prompt_fails_everyone_who_waits_for_it_with_the_same_error() {
    let home = Home::with_mfa();
    home.add_config(&home.role("read", READER, ""));
    let prompt = home.keyrole(["get", "prod"]).on_terminal();
    prompt.expect("MFA code for ");
    let waiters: Vec<_> =
        ["prod", "read", "prod", "read"].iter().map(|name| home.keyrole(["get", name]).on_terminal()).collect();
    wait_until_waiting(&waiters);
    prompt.send("\x04");
    let refusal = prompt.finish();
    refusal.fails(4, &["was closed"]);
    for waiter in waiters {
        let shown = waiter.shown();
        assert!(!shown.contains("MFA code"), "asked again: {shown}");
        assert_eq!(waiter.finish().stderr, refusal.stderr);
    }
    assert_eq!(home.sts.calls().len(), 0);
}

/// Waits until each of these processes is blocked in `flock`, which the kernel lists as a waiter.
fn wait_until_waiting(waiters: &[crate::support::Terminal]) {
    let deadline = std::time::Instant::now() + PATIENCE;
    for waiter in waiters {
        loop {
            let locks = std::fs::read_to_string("/proc/locks").unwrap();
            let pid = waiter.pid().to_string();
            let is_waiting = |line: &str| line.contains("->") && line.split_whitespace().any(|word| word == pid);
            if locks.lines().any(is_waiting) {
                break;
            }
            assert!(std::time::Instant::now() < deadline, "{pid} never waited: {locks}");
            std::thread::yield_now();
        }
    }
}

#[test]
fn the_same_calling_process_is_not_asked_again_but_a_new_command_is() {
    let home = Home::with_mfa();
    // One process that runs the helper twice, as JS and Ruby do.
    let script = format!(
        "import subprocess\nfor _ in range(2):\n    print(subprocess.run(['{KEYROLE}', 'get', 'prod']).returncode, flush=True)"
    );
    let caller = home.run("python3", ["-c", &script]).on_terminal();
    caller.expect("MFA code for ");
    caller.send("\x04");
    let output = caller.finish();
    assert_eq!(output.stdout, "4\n4\n", "{output:?}");
    let again = home.keyrole(["get", "prod"]).on_terminal();
    again.expect("MFA code for ");
    again.send(&format!("{}\n", home.code()));
    again.finish().document();
}

#[test]
fn a_used_code_is_refused_locally_and_the_next_one_is_waited_for() {
    let home = Home::with_mfa();
    let code = home.sts.token_code(&home.serial);
    home.keyrole(["get", "prod", "--mfa-code", &code]).output().document();
    home.write_config(&format!(
        "[profile base]\nmfa_serial = {}\nmfa_session_duration = 3600\n{}",
        home.serial,
        home.role("prod", ADMIN, "")
    ));
    home.keyrole(["get", "prod", "--mfa-code", &code]).output().fails(5, &["already used", "the next one comes in"]);
    let prompt = home.keyrole(["get", "prod"]).on_terminal();
    prompt.expect("MFA code for ");
    prompt.send(&format!("{code}\n"));
    prompt.expect("already used; wait for the next code");
    prompt.expect_times("MFA code for ", 2);
    prompt.send("\x04");
    prompt.finish().fails(4, &["closed"]);
    assert_eq!(home.sts.attempts("GetSessionToken"), 1);
}

#[test]
fn a_stopped_holder_is_named_and_does_not_hold_others_for_ever() {
    let home = Home::with_mfa();
    let holder = home.keyrole(["get", "prod"]).on_terminal();
    holder.expect("MFA code for ");
    holder.signal("STOP");
    let pid = holder.pid().to_string();
    let waiter = home.keyrole(["get", "prod"]).env("KEYROLE_PROMPT_TIMEOUT", "3").on_terminal();
    waiter.expect("waiting for keyrole (pid ");
    waiter.finish().fails(4, &["did not wait any longer for keyrole (pid ", &pid, "asking for an MFA code since"]);
    holder.signal("KILL");
    home.keyrole(["get", "prod", "--mfa-code", &home.code()]).output().document();
}

#[test]
fn a_killed_holder_frees_the_next_at_once() {
    let home = Home::new();
    home.sts.hold();
    let first = home.keyrole(["get", "prod"]).on_terminal();
    assert!(home.sts.wait_for("AssumeRole", 1, PATIENCE));
    first.signal("KILL");
    home.sts.release();
    home.keyrole(["get", "prod"]).output().document();
}

#[test]
fn hits_never_wait_behind_a_prompt_for_the_same_device() {
    let home = Home::with_mfa();
    home.add_config(&home.role("read", READER, ""));
    let key = home.keyrole(["get", "read", "--mfa-code", &home.code()]).output().key();
    let prompt = home.keyrole(["login", "prod", "--refresh"]).on_terminal();
    prompt.expect("MFA code for ");
    assert_eq!(home.keyrole(["get", "read"]).output().key(), key);
    prompt.send("\x03");
    prompt.finish();
}

#[test]
fn network_trouble_is_no_refusal_and_the_next_waiter_tries() {
    let home = Home::new();
    home.sts.hold();
    let first = home.keyrole(["get", "prod"]).on_terminal();
    assert!(home.sts.wait_for("AssumeRole", 1, PATIENCE));
    let waiter = home.keyrole(["get", "prod"]).on_terminal();
    wait_until_waiting(std::slice::from_ref(&waiter));
    home.sts.fail_next(3, Fault::ServerError);
    home.sts.release();
    first.finish();
    waiter.finish().document();
}

#[test]
fn a_denied_role_fails_everyone_who_waits_with_one_call() {
    let home = Home::new();
    home.sts.hold();
    home.sts.set_fault(Some(Fault::AccessDenied));
    let first = home.keyrole(["get", "prod"]).on_terminal();
    assert!(home.sts.wait_for("AssumeRole", 1, PATIENCE));
    let waiter = home.keyrole(["get", "prod"]).on_terminal();
    wait_until_waiting(std::slice::from_ref(&waiter));
    home.sts.release();
    first.finish().fails(5, &["AccessDenied"]);
    waiter.finish().fails(5, &["AccessDenied"]);
    assert_eq!(home.sts.attempts("AssumeRole"), 1);
}

#[test]
fn login_all_asks_once_for_each_device_and_fetches_every_role() {
    let home = Home::with_mfa();
    home.add_config(&home.role("read", READER, ""));
    home.add_config(&home.role("broken", "arn:aws:iam::444455556666:role/Missing", ""));
    let terminal = home.keyrole(["login", "--all"]).on_terminal();
    terminal.expect("MFA code for ");
    terminal.send(&format!("{}\n", home.code()));
    let shown = terminal.shown();
    let output = terminal.finish();
    assert_eq!(output.code, 5, "{output:?}");
    for word in ["prod: ready", "read: ready", "broken: AssumeRole", "1 of 3 profiles failed"] {
        assert!(output.stderr.contains(word), "no {word} in {}", output.stderr);
    }
    assert_eq!(shown.matches("MFA code for ").count(), 1);
    assert_eq!(home.sts.attempts("GetSessionToken"), 1);
}

/// Runs keyrole as it will be in so many seconds, at an STS whose clock goes with it.
pub fn later(home: &Home, seconds: i64, arguments: &[&str]) -> Run {
    home.sts.set_clock_offset(seconds);
    let offset = format!("+{seconds}s");
    home.keyrole(arguments).under(["faketime", "-f", &offset])
}

/// A home whose role session lasts 900 s: fresh until 337 s are left, stale from 225 s.
fn short_lived(mfa: &str) -> Home {
    let home = Home::with_mfa();
    let base = if mfa.is_empty() { String::new() } else { format!("mfa_serial = {}\n{mfa}\n", home.serial) };
    home.write_config(&format!("[profile base]\n{base}{}", home.role("prod", ADMIN, "duration_seconds = 900")));
    home
}

const EXPIRING: i64 = 600;
const STALE: i64 = 750;

#[test]
fn an_expiring_session_is_printed_at_once_and_renewed_by_one_detached_child() {
    let home = short_lived("");
    let first = home.keyrole(["get", "prod"]).output().key();
    home.sts.hold();
    // The child is held at STS all the while: whoever waits for the end of the pipe is not.
    for _ in 0..3 {
        assert_eq!(later(&home, EXPIRING, &["get", "prod"]).output().key(), first);
    }
    assert!(home.sts.wait_for("AssumeRole", 2, PATIENCE));
    home.sts.release();
    home.await_event("refreshed_ahead");
    assert_ne!(later(&home, EXPIRING, &["get", "prod"]).output().key(), first);
    assert_eq!(home.sts.attempts("AssumeRole"), 2);
}

#[test]
fn a_refresh_ahead_that_fails_is_logged_and_not_repeated_for_a_minute() {
    let home = short_lived("");
    let first = home.keyrole(["get", "prod"]).output().key();
    home.sts.set_fault(Some(Fault::AccessDenied));
    assert_eq!(later(&home, EXPIRING, &["get", "prod"]).output().key(), first);
    home.await_event("renewal_refused");
    assert_eq!(later(&home, EXPIRING, &["get", "prod"]).output().key(), first);
    assert_eq!(later(&home, STALE, &["get", "prod"]).output().key(), first, "the stale session is still good");
    let status = later(&home, STALE, &["status", "prod"]).output();
    assert!(status.stdout.contains("AWS refuses to renew it"), "{status:?}");
    home.sts.set_fault(None);
    assert_ne!(later(&home, STALE + 60, &["get", "prod"]).output().key(), first);
}

#[test]
fn a_refresh_ahead_asks_nobody() {
    let home = short_lived("mfa_session_duration = 0");
    let first = home.keyrole(["get", "prod", "--mfa-code", &home.code()]).output().key();
    let terminal = later(&home, EXPIRING, &["get", "prod"]).on_terminal();
    home.await_event("renewal_failed");
    assert_eq!(terminal.shown(), "");
    assert_eq!(terminal.finish().key(), first);
}

#[test]
fn an_outage_serves_what_is_valid_until_a_minute_is_left() {
    let home = short_lived("");
    let first = home.keyrole(["get", "prod"]).output().key();
    home.sts.set_fault(Some(Fault::Drop));
    assert_eq!(later(&home, STALE, &["get", "prod"]).output().key(), first);
    assert!(home.events().contains(&"served_stale".to_owned()));
    later(&home, 845, &["get", "prod"]).output().fails(1, &["cannot reach STS"]);
}

#[test]
fn a_stale_session_that_somebody_renews_is_served_without_waiting() {
    let home = short_lived("");
    let first = home.keyrole(["get", "prod"]).output().key();
    home.sts.hold();
    let renewing = later(&home, STALE, &["get", "prod"]).spawn();
    assert!(home.sts.wait_for("AssumeRole", 2, PATIENCE));
    assert_eq!(later(&home, STALE, &["get", "prod"]).output().key(), first);
    home.sts.release();
    assert_ne!(Output::of(renewing).key(), first);
}

#[test]
fn a_state_directory_without_locks_is_no_reason_to_fail() {
    for error in ["ENOLCK", "EOPNOTSUPP"] {
        let home = Home::new();
        let inject = format!("inject=flock:error={error}");
        let run = home.keyrole(["get", "prod"]).under(["strace", "-f", "-o", "/dev/null", "-e", &inject]);
        let key = run.output().key();
        assert_eq!(home.keyrole(["get", "prod"]).output().key(), key);
        assert!(home.events().contains(&"unlocked".to_owned()), "{:?}", home.events());
    }
}

#[test]
fn a_stopped_prompt_is_shown_again_when_it_goes_on() {
    let home = Home::with_mfa();
    let terminal = home.keyrole(["get", "prod"]).on_terminal();
    terminal.expect("MFA code for ");
    terminal.signal("STOP");
    terminal.signal("CONT");
    terminal.expect_times("MFA code for ", 2);
    terminal.send(&format!("{}\n", home.code()));
    terminal.finish().document();
}

#[test]
fn who_must_not_be_asked_does_not_wait_for_the_prompt_of_another() {
    let home = Home::with_mfa();
    let prompt = home.keyrole(["get", "prod"]).on_terminal();
    prompt.expect("MFA code for ");
    let pid = prompt.pid().to_string();
    let words = ["did not wait any longer for keyrole (pid ", &pid, "asking for an MFA code"];
    home.keyrole(["get", "prod", "--no-prompt"]).output().fails(4, &words);
    home.keyrole(["get", "prod"]).env("KEYROLE_PROMPT", "none").output().fails(4, &words);
    prompt.send("\x03");
    prompt.finish();
}

#[test]
fn login_refuses_a_store_that_keeps_nothing_before_a_code_is_used() {
    let home = Home::with_mfa();
    for store in ["none", "secret-service"] {
        let run = home.keyrole(["login", "prod", "--mfa-code", &home.code()]).env("KEYROLE_STORE", store);
        run.output().fails(1, &["no session can be kept here"]);
    }
    assert_eq!(home.sts.calls().len(), 0);
}

#[test]
fn a_code_that_never_reached_aws_is_not_a_used_one() {
    let home = Home::with_mfa();
    let code = home.code();
    let dead =
        home.default_config(&format!("mfa_serial = {}\n", home.serial)).replace(&home.sts.url(), "http://127.0.0.1:1");
    let alive = home.default_config(&format!("mfa_serial = {}\n", home.serial));
    home.write_config(&dead);
    home.keyrole(["get", "prod", "--mfa-code", &code]).output().fails(1, &["cannot reach STS"]);
    home.write_config(&alive);
    home.keyrole(["get", "prod", "--mfa-code", &code]).output().document();
}

#[test]
fn two_devices_on_one_terminal_are_asked_for_one_after_the_other() {
    let home = Home::with_mfa();
    home.add_config(&home.role("read", READER, "mfa_serial = arn:aws:iam::111122223333:mfa/second"));
    let script = format!("{KEYROLE} get prod >/dev/null & {KEYROLE} get read >/dev/null & wait");
    let terminal = home.run("sh", ["-c", &script]).on_terminal();
    let shown = terminal.expect("MFA code for ");
    // The other one waits for the terminal, and the first one's end lets it ask.
    assert_eq!(shown.matches("MFA code for ").count(), 1);
    terminal.send("\x04");
    terminal.expect_times("MFA code for ", 2);
    terminal.send("\x04");
    terminal.finish();
}
