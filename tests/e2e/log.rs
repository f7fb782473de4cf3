//! What has happened can be found out later, and a person is warned before one is needed.

use crate::flight::later;
use crate::support::sts::{Fault, READER};
use crate::support::{Home, KEYROLE, Output, Run, copy_program};
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// Gives the log's lines with an event.
fn lines(home: &Home, event: &str) -> Vec<serde_json::Value> {
    home.log().into_iter().filter(|line| line["event"] == event).collect()
}

/// Gives the names of all events, hits too.
fn all_events(home: &Home) -> Vec<String> {
    home.log().iter().map(|line| line["event"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_miss_and_a_hit_are_logged_with_all_that_is_known_about_them() {
    let home = Home::new();
    let document = home.keyrole(["get", "prod"]).output().document();
    home.keyrole(["get", "prod"]).output().document();
    assert_eq!(all_events(&home), ["issued", "hit"]);
    for line in home.log() {
        assert_eq!(line["profile"], "prod");
        assert_eq!(line["role_arn"], "arn:aws:iam::444455556666:role/Admin");
        assert_eq!(line["access_key_id"], document["AccessKeyId"]);
        assert_eq!(line["expiration"], document["Expiration"]);
        assert_eq!(line["source"], "profile `base`");
        assert!(line["time"].as_str().unwrap().ends_with('Z'), "{line}");
        assert!(line["ms"].as_f64().unwrap() > 0.0, "{line}");
        assert!(line["pid"].is_u64() && line["program_pid"].is_u64(), "{line}");
    }
}

#[test]
fn the_programs_up_the_chain_are_named_and_a_hit_names_the_nearest() {
    let home = Home::new();
    let program = home.path().join("terraform");
    copy_program("/bin/bash", &program);
    for _ in 0..2 {
        home.run(&program, ["-c", &format!("sh -c '{KEYROLE} get prod; exit $?'; exit $?")]).output().document();
    }
    for line in home.log() {
        assert_eq!(line["program"], "terraform");
    }
    let callers: Vec<String> = serde_json::from_value(lines(&home, "issued")[0]["callers"].clone()).unwrap();
    assert!(callers[0].starts_with("sh ") && callers[1].starts_with("terraform "), "{callers:?}");
    assert_eq!(callers[1], format!("terraform {}", lines(&home, "issued")[0]["program_pid"]));
    assert!(lines(&home, "hit")[0]["callers"].is_null());
}

#[test]
fn a_prompt_is_logged_from_its_question_to_its_answer() {
    let home = Home::with_mfa();
    let terminal = home.keyrole(["get", "prod"]).on_terminal();
    terminal.expect("MFA code for ");
    assert_eq!(all_events(&home), ["prompt_shown"]);
    terminal.send(&format!("{}\n", home.wrong_code()));
    terminal.expect_times("MFA code for ", 2);
    terminal.send(&format!("{}\n", home.code()));
    terminal.finish().document();
    let prompt = ["prompt_shown", "prompt_answered"];
    assert_eq!(all_events(&home), [&prompt[..], &["code_rejected"], &prompt, &["issued", "issued"]].concat());
    assert!(lines(&home, "prompt_answered")[0]["ms"].as_f64().unwrap() > 0.0);
}

#[test]
fn a_prompt_that_is_cancelled_is_logged_with_its_end() {
    let home = Home::with_mfa();
    let terminal = home.keyrole(["get", "prod"]).on_terminal();
    terminal.expect("MFA code for ");
    terminal.send("\x03");
    terminal.finish().fails(130, &["cancelled"]);
    assert_eq!(all_events(&home), ["prompt_shown", "prompt_cancelled", "failed"]);
    assert_eq!(lines(&home, "prompt_cancelled")[0]["error"], "the prompt for the MFA code was cancelled");
}

#[test]
fn a_renewal_ahead_a_failed_one_and_a_logout_are_logged() {
    let home = Home::new();
    home.write_config(&home.default_config("").replace("region", "duration_seconds = 900\nregion"));
    home.keyrole(["get", "prod"]).output().document();
    later(&home, 600, &["get", "prod"]).output().document();
    home.await_event("refreshed_ahead");
    home.sts.set_fault(Some(Fault::AccessDenied));
    later(&home, 1350, &["get", "prod"]).output().document();
    home.sts.set_fault(None);
    assert_eq!(all_events(&home)[3..], ["renewal_refused", "served_stale"]);
    home.keyrole(["logout", "prod"]).output();
    assert_eq!(all_events(&home).last().unwrap(), "logout");
}

#[test]
fn no_secret_and_no_code_is_ever_in_the_log() {
    let home = Home::with_mfa();
    let (wrong, right) = (home.wrong_code(), home.code());
    let terminal = home.keyrole(["get", "prod"]).on_terminal();
    terminal.expect("MFA code for ");
    terminal.send(&format!("{wrong}\n"));
    terminal.expect_times("MFA code for ", 2);
    terminal.send(&format!("{right}\n"));
    let document = terminal.finish().document();
    home.keyrole(["get", "prod"]).output().document();
    home.keyrole(["get", "prod", "--refresh"]).env("KEYROLE_STORE", "none").output();
    let text = fs::read_to_string(home.state_dir().join("keyrole.log")).unwrap();
    // A code of six digits may turn up in a number by chance, but not as a text of its own.
    let codes = [wrong, right].map(|code| format!("\"{code}\""));
    let secrets = ["SecretAccessKey", "SessionToken"].map(|key| document[key].as_str().unwrap().to_owned());
    for secret in codes.iter().chain(&secrets).map(String::as_str).chain(["wJalrXUtnFEMI"]) {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[test]
fn fifty_hits_at_once_never_mix_their_lines() {
    let home = Home::new();
    home.keyrole(["get", "prod"]).output().document();
    let runs: Vec<_> = (0..50).map(|_| home.keyrole(["get", "prod"]).spawn()).collect();
    for run in runs {
        Output::of(run).document();
    }
    // `log` reads every line as JSON.
    assert_eq!(lines(&home, "hit").len(), 50);
}

#[test]
fn twenty_writers_that_fill_the_log_lose_no_line() {
    let home = Home::new();
    home.keyrole(["get", "prod"]).output().document();
    let path = home.state_dir().join("keyrole.log");
    // Room for a few more lines.
    let filler = format!("{{\"event\":\"filler\",\"error\":\"{}\"}}\n", "x".repeat(1000));
    let before = (1024 * 1024 - 1500) / filler.len();
    fs::write(&path, filler.repeat(before)).unwrap();
    let runs: Vec<_> = (0..20).map(|_| home.keyrole(["get", "prod"]).spawn()).collect();
    for run in runs {
        Output::of(run).document();
    }
    let old = fs::read_to_string(home.state_dir().join("keyrole.log.1")).unwrap();
    let new = fs::read_to_string(&path).unwrap();
    let events: Vec<String> = old
        .lines()
        .chain(new.lines())
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a whole line")["event"].to_string())
        .collect();
    let count = |event: &str| events.iter().filter(|found| *found == event).count();
    assert_eq!((count("\"filler\""), count("\"hit\"")), (before, 20));
    assert!(old.len() >= 1024 * 1024 && !new.is_empty());
    for name in ["keyrole.log", "keyrole.log.1"] {
        let mode = fs::metadata(home.state_dir().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_log_that_cannot_be_written_is_no_reason_to_fail_or_to_speak() {
    let home = Home::new();
    let key = home.keyrole(["get", "prod"]).output().key();
    for line in
        ["rm LOG; mkdir LOG", "rmdir LOG; mkfifo LOG", "rm LOG; ln -s ../../precious LOG", "ulimit -f 0; rm LOG"]
    {
        let line = line.replace("LOG", "$HOME/.local/state/keyrole/keyrole.log");
        let run = home.run("bash", ["-c", &format!("{line}; {KEYROLE} get prod")]);
        assert_eq!(run.output().key(), key, "{line}");
    }
    assert!(!home.path().join(".local/precious").exists());
    assert_eq!(home.keyrole(["get", "prod"]).output().key(), key);
    assert_eq!(all_events(&home), ["hit"]);
}

#[test]
fn the_variable_turns_the_log_off_or_keeps_the_errors() {
    let home = Home::with_mfa();
    let run = |level: &str, arguments: &[&str]| home.keyrole(arguments).env("KEYROLE_LOG", level).output();
    run("off", &["get", "prod"]).fails(4, &[]);
    assert!(!home.state_dir().join("keyrole.log").exists());
    run("error", &["get", "prod"]).fails(4, &[]);
    run("error", &["get", "prod", "--mfa-code", &home.code()]).document();
    run("error", &["get", "prod"]).document();
    assert_eq!(all_events(&home), ["failed"]);
    run("all", &["get", "prod"]).document();
    assert_eq!(all_events(&home), ["failed", "hit"]);
}

#[test]
fn a_wrong_value_of_the_variable_stops_no_program_and_is_told_to_whoever_reads_the_log() {
    let home = Home::new();
    home.keyrole(["get", "prod"]).env("KEYROLE_LOG", "loud").output().document();
    assert_eq!(all_events(&home), ["issued"]);
    let refused = home.keyrole(["log"]).env("KEYROLE_LOG", "loud").output();
    refused.fails(2, &["`KEYROLE_LOG`: `loud` is not one of off, error, all"]);
}

#[test]
fn the_log_is_read_by_profile_and_by_time() {
    let home = Home::new();
    home.add_config(&home.role("reader", READER, ""));
    home.keyrole(["get", "prod"]).output().document();
    home.keyrole(["get", "reader"]).output().document();
    let path = home.state_dir().join("keyrole.log");
    let old =
        "{\"time\":\"2020-01-02T03:04:05Z\",\"event\":\"issued\",\"profile\":\"prod\",\"error\":\"\\u001b[2J\"}\n";
    fs::write(path.with_extension("log.1"), format!("no line of ours\n{old}")).unwrap();
    let log = |arguments: &[&str]| {
        let output = home.keyrole([&["log"], arguments].concat()).output();
        let said = if output.stdout.is_empty() && !arguments.contains(&"--json") {
            "keyrole: nothing like that is in the log\n"
        } else {
            ""
        };
        assert_eq!((output.code, output.stderr.as_str()), (0, said));
        output.stdout
    };
    let table = log(&[]);
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows.len(), 4, "{table}");
    assert!(rows[0].starts_with("TIME ") && rows[1].starts_with("2020-01-02T03:04:05Z  issued  prod"), "{table}");
    assert!(table.contains("\\u{1b}[2J") && !table.contains('\x1b'), "{table}");
    let both = old.to_owned() + &fs::read_to_string(&path).unwrap();
    assert_eq!(log(&["--json"]), both);
    assert_eq!(log(&["--json", "--profile", "prod"]).lines().count(), 2);
    assert_eq!(log(&["--json", "--profile", "prod", "--since", "1h"]).lines().count(), 1);
    assert_eq!(log(&["--profile", "nobody"]), "");
    home.keyrole(["log", "--since", "soon"]).output().fails(2, &["`soon`", "`--since <SPAN>`"]);
}

#[test]
fn without_a_log_there_is_nothing_on_stdout_and_no_failure() {
    let home = Home::new();
    let output = home.keyrole(["log"]).output();
    assert_eq!((output.code, output.stdout.as_str()), (0, ""));
    assert!(output.stderr.starts_with("keyrole: there is no log yet at `"), "{output:?}");
}

#[test]
fn a_reader_that_has_read_enough_is_no_error() {
    let home = Home::new();
    home.keyrole(["get", "prod"]).output().document();
    let line = fs::read_to_string(home.state_dir().join("keyrole.log")).unwrap();
    fs::write(home.state_dir().join("keyrole.log"), line.repeat(2000)).unwrap();
    let line = format!("set -o pipefail; {KEYROLE} log | head -n 1");
    let output = home.run("bash", ["-c", &line]).output();
    assert_eq!((output.code, output.stderr.as_str(), output.stdout.lines().count()), (0, "", 1));
}

#[test]
fn status_shows_the_last_event_of_each_profile() {
    let home = Home::new();
    home.add_config(&home.role("reader", READER, ""));
    home.keyrole(["get", "prod"]).output().document();
    home.keyrole(["get", "reader"]).output().document();
    home.keyrole(["get", "prod"]).output().document();
    let rows: serde_json::Value = serde_json::from_str(&home.keyrole(["status", "--json"]).output().stdout).unwrap();
    assert_eq!((&rows[0]["last_event"], &rows[1]["last_event"]), (&"hit".into(), &"issued".into()));
    assert_eq!(rows[0]["last_event_time"], lines(&home, "hit")[0]["time"]);
    let table = home.keyrole(["status", "prod"]).output().stdout;
    assert!(table.contains("  hit ") && table.contains("s ago by "), "{table}");
}

/// A home with an MFA session of 900 s and a role session, fetched with a code.
fn with_short_mfa_session(more: &str) -> Home {
    let home = Home::with_mfa();
    let base = format!("mfa_serial = {}\nmfa_session_duration = 900\n", home.serial);
    home.write_config(&home.default_config(&base).replace("endpoint_url", &format!("{more}\nendpoint_url")));
    home.keyrole(["get", "prod", "--mfa-code", &home.code()]).output().document();
    home
}

#[test]
fn status_tells_by_its_exit_code_for_how_long_nobody_has_to_be_asked() {
    let home = with_short_mfa_session("duration_seconds = 3600");
    let check =
        |seconds: i64, more: &[&str]| later(&home, seconds, &[&["status", "--exit-code"], more].concat()).output();
    // The role's session lasts longer than the MFA session.
    let enough = check(1000, &["--min", "30m"]);
    assert_eq!((enough.code, enough.stdout.as_str(), enough.stderr.as_str()), (0, "", ""));
    check(2000, &["--min", "30m"]).fails(3, &["profile `prod` needs an MFA code in 26m, sooner than 30m", "--refresh"]);
    assert_eq!(check(2000, &["prod"]).code, 0);
    check(3600, &["prod"]).fails(3, &["profile `prod` needs an MFA code now"]);
    check(3600, &[]).fails(3, &["no valid session is cached"]);
    let marked = later(&home, 2000, &["status", "--min", "30m"]).output();
    assert_eq!(marked.code, 0);
    assert!(marked.stdout.contains("prod: needs an MFA code in 26m, sooner than 30m"), "{marked:?}");
}

#[test]
fn a_profile_that_needs_nobody_is_never_too_late() {
    let home = Home::new();
    home.add_config(&home.role("machine", READER, "mfa_serial = GAHT12345678\nmfa_process = false"));
    for name in ["prod", "machine"] {
        let output = home.keyrole(["status", "--exit-code", "--min", "2h", name]).output();
        assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{name}");
    }
}

#[test]
fn watch_draws_the_status_again_on_a_screen_of_its_own_until_it_is_interrupted() {
    let home = Home::new();
    home.keyrole(["get", "prod"]).output().document();
    let terminal = home.keyrole(["status", "--watch"]).in_terminal();
    terminal.expect("\x1b[?1049h");
    terminal.expect("issued ");
    home.keyrole(["get", "prod"]).output().document();
    terminal.expect("hit ");
    terminal.send("\x03");
    let (output, screen) = terminal.finish_with_screen();
    // 128 and SIGINT, as the shell has it.
    assert_eq!(output.code, 130);
    assert!(screen.trim_end().ends_with("\x1b[?25h\x1b[?1049l"), "{screen:?}");
    assert!(!screen.contains("keyrole: error"), "{screen:?}");
}

#[test]
fn watch_draws_again_when_the_terminal_has_another_size_and_cuts_what_does_not_fit() {
    let home = Home::new();
    home.keyrole(["get", "prod"]).output().document();
    let terminal = home.keyrole(["status", "--watch"]).in_terminal();
    terminal.expect("LAST EVENT");
    terminal.pty().resize(pty_process::Size::new(24, 10)).unwrap();
    terminal.expect("PROFILE  A\x1b[K");
    terminal.send("\x03");
    terminal.finish();
}

#[test]
fn watch_without_a_terminal_is_refused() {
    let home = Home::new();
    home.keyrole(["status", "--watch"]).output().fails(2, &["`--watch` needs a terminal"]);
}

#[test]
fn status_and_login_warn_on_a_terminal_before_the_mfa_session_ends() {
    let home = with_short_mfa_session("");
    let warning = "keyrole: the MFA session of `prod` ends in 3m; `keyrole login prod --refresh` renews it now";
    for command in ["status", "login"] {
        let (output, screen) = later(&home, 700, &[command, "prod"]).in_terminal().finish_with_screen();
        assert_eq!(output.code, 0);
        assert!(screen.contains(warning), "{command}: {screen:?}");
        let silent = later(&home, 700, &[command, "prod"]).env("KEYROLE_WARN_BEFORE", "60");
        let (_, screen) = silent.in_terminal().finish_with_screen();
        assert!(!screen.contains("ends in"), "{command}: {screen:?}");
        // Nobody reads it there.
        let captured = later(&home, 700, &[command, "prod"]).output();
        assert!(!captured.stderr.contains("ends in"), "{captured:?}");
    }
    let (_, screen) = later(&home, 0, &["status", "prod"]).in_terminal().finish_with_screen();
    assert!(!screen.contains("ends in"), "{screen:?}");
}

/// Puts a `notify-send` first on the path that keeps its arguments and its environment in files.
fn with_desktop(home: &Home, run: Run, body: &str) -> Run {
    let bin = home.path().join("bin");
    fs::create_dir_all(&bin).unwrap();
    let tool = bin.join("notify-send");
    fs::write(&tool, format!("#!/bin/sh\nprintf '%s\\n' \"$*\" >>\"$HOME/notified\"\nenv >\"$HOME/env\"\n{body}\n"))
        .unwrap();
    fs::set_permissions(&tool, PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    run.env("PATH", path).env("DISPLAY", ":99").env("AWS_SECRET_ACCESS_KEY", "of the caller")
}

/// Gives the notifications so far.
fn notified(home: &Home) -> Vec<String> {
    let text = fs::read_to_string(home.path().join("notified")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_notification_says_that_a_person_is_needed_once_in_ten_minutes() {
    let home = Home::with_mfa();
    let get = |seconds, notify: &str| {
        let run = with_desktop(&home, later(&home, seconds, &["get", "prod"]), "").env("KEYROLE_NOTIFY", notify);
        run.output().fails(4, &["there is no terminal"]);
    };
    get(0, "no");
    assert!(notified(&home).is_empty());
    get(0, "yes");
    get(300, "yes");
    let text = "--app-name=keyrole -- keyrole `prod` needs an MFA code: run keyrole login prod";
    assert_eq!(notified(&home), [text]);
    get(700, "yes");
    assert_eq!(notified(&home), [text, text]);
    assert_eq!(home.events(), ["failed", "notified", "failed", "failed", "notified", "failed"]);
    let env = fs::read_to_string(home.path().join("env")).unwrap();
    assert!(env.contains("DISPLAY=:99") && !env.contains("AWS_"), "{env}");
}

#[test]
fn a_notification_that_hangs_or_fails_is_no_reason_to_wait_or_to_fail_otherwise() {
    for body in ["exec sleep 1000", "exit 1"] {
        let home = Home::with_mfa();
        home.add_config("[profile x]\n");
        let run = with_desktop(&home, home.keyrole(["get", "prod"]), body).env("KEYROLE_NOTIFY", "yes");
        run.output().fails(4, &["there is no terminal"]);
        assert_eq!((notified(&home).len(), home.events()), (1, vec!["failed".to_owned()]), "{body}");
    }
}

#[test]
fn without_a_desktop_nobody_is_notified() {
    let home = Home::with_mfa();
    let run = with_desktop(&home, home.keyrole(["get", "prod"]), "").env("KEYROLE_NOTIFY", "yes").env("DISPLAY", "");
    run.output().fails(4, &["there is no terminal"]);
    assert!(notified(&home).is_empty());
}

#[test]
fn a_renewal_ahead_notifies_before_the_mfa_session_ends() {
    let home = with_short_mfa_session("duration_seconds = 900\nkeyrole_notify = yes");
    // A role session that expires somewhat later than the MFA session.
    later(&home, 100, &["get", "prod", "--refresh"]).output().document();
    with_desktop(&home, later(&home, 730, &["get", "prod"]), "").output().document();
    home.await_event("notified");
    let text = "the MFA session of `prod` ends in 2m: run keyrole login prod --refresh";
    assert_eq!(notified(&home), [format!("--app-name=keyrole -- keyrole {text}")]);
    assert_eq!(home.events().last().unwrap(), "notified");
}
