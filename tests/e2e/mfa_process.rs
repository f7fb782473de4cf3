//! `mfa_process` prints the code; it talks to its user on the terminal, never on the SDK's streams.

use crate::support::sts::READER;
use crate::support::{Home, KEYROLE};

/// Makes a home whose source profile has this `mfa_process`.
fn with_process(command: &str) -> Home {
    let home = Home::new();
    home.write_config(&home.default_config(&format!("mfa_serial = {}\nmfa_process = {command}\n", home.serial)));
    home
}

/// Puts a code where `cat code` finds it: commands run in the caller's directory, which is the home.
fn lay_out_code(home: &Home) {
    std::fs::write(home.path().join("code"), format!("{}\n", home.code())).unwrap();
}

#[test]
fn the_source_profiles_command_answers_for_its_roles_without_a_terminal() {
    let home = with_process("cat code");
    lay_out_code(&home);
    home.keyrole(["get", "prod"]).output().document();
    assert_eq!(home.sts.count("GetSessionToken"), 1);
}

#[test]
fn the_roles_own_command_wins_over_the_sources() {
    let home = with_process("exit 9");
    home.add_config(&home.role("reader", READER, "mfa_process = cat code"));
    lay_out_code(&home);
    home.keyrole(["get", "reader"]).output().document();
}

#[test]
fn a_command_is_preferred_to_the_prompt() {
    let home = with_process("cat code");
    lay_out_code(&home);
    let (output, screen) = home.keyrole(["get", "prod"]).on_terminal().finish_with_screen();
    output.document();
    assert_eq!(screen, "");
}

#[test]
fn a_command_is_waited_for_where_the_calling_program_ignores_its_own_children() {
    let home = with_process("cat code");
    lay_out_code(&home);
    home.run("env", ["--ignore-signal=CHLD", KEYROLE, "get", "prod"]).output().document();
}

#[test]
fn a_command_may_talk_to_its_user_on_the_terminal() {
    let home = with_process("[ -t 0 ] && [ -t 2 ] && printf 'touch: ' >&2 && read code && printf %s \"$code\"");
    let terminal = home.keyrole(["get", "prod"]).on_terminal();
    terminal.expect("touch: ");
    terminal.send(&format!("{}\n", home.code()));
    terminal.finish().document();
}

#[test]
fn without_a_terminal_a_command_reads_an_empty_stdin() {
    let home = with_process("cat - code");
    lay_out_code(&home);
    let line = format!("echo 999999 | {KEYROLE} get prod");
    home.run("sh", ["-c", &line]).output().document();
}

#[test]
fn what_is_not_six_digits_exits_4_and_is_not_repeated() {
    for command in ["echo hunter2", "echo 12345", "true", "printf '\\377\\376'", "echo 123456; echo 654321"] {
        let home = with_process(command);
        let output = home.keyrole(["get", "prod"]).output();
        output.fails(4, &["`mfa_process` of profile `prod`", "printed something that is not six digits"]);
        // Neither what it printed nor the command, which may hold the device's seed.
        assert!(!output.stderr.contains(command) && !output.stderr.contains("hunter2"), "{output:?}");
        assert_eq!(home.sts.calls().len(), 0);
    }
}

#[test]
fn a_command_that_fails_exits_4_and_asks_nobody() {
    for (command, why) in [("exit 3", "exit status: 3"), ("kill -9 $$", "signal: 9"), ("no-such-command", "127")] {
        let home = with_process(command);
        let (output, screen) = home.keyrole(["get", "prod"]).on_terminal().finish_with_screen();
        output.fails(4, &["`mfa_process` of profile `prod` failed", why]);
        assert!(!output.stderr.contains("no-such-command"), "{output:?}");
        assert!(!screen.contains("MFA code for"), "{screen:?}");
        assert_eq!(home.sts.calls().len(), 0);
    }
}

#[test]
fn a_command_that_never_stops_printing_is_not_listened_to_for_ever() {
    with_process("yes 1").keyrole(["get", "prod"]).output().fails(4, &["`mfa_process` of profile `prod`"]);
}

#[test]
fn a_wrong_code_of_a_command_exits_5_after_one_try() {
    let home = with_process("cat code");
    std::fs::write(home.path().join("code"), home.wrong_code()).unwrap();
    home.keyrole(["get", "prod"]).on_terminal().finish().fails(5, &["invalid MFA one time pass code"]);
    assert_eq!(home.sts.attempts("GetSessionToken"), 1);
}

#[test]
fn a_command_does_not_see_the_callers_secret() {
    let home = with_process("[ -z \"$AWS_SECRET_ACCESS_KEY$AWS_SESSION_TOKEN\" ] && cat code");
    lay_out_code(&home);
    let run = home.keyrole(["get", "prod"]).env("AWS_SECRET_ACCESS_KEY", "secret").env("AWS_SESSION_TOKEN", "token");
    run.output().document();
}

#[test]
fn a_command_that_runs_keyrole_for_the_same_profile_is_refused() {
    let home = with_process(&format!("{KEYROLE} get prod 2>said"));
    home.keyrole(["get", "prod"]).output().fails(4, &["failed (exit status: 2)"]);
    let said = std::fs::read_to_string(home.path().join("said")).unwrap();
    assert!(said.contains("profile `prod` needs itself: `prod` → `prod`"), "{said}");
}

#[test]
fn a_command_that_reads_the_terminal_of_a_background_job_fails_instead_of_stopping_it() {
    for command in ["read code && printf %s \"$code\"", "read code </dev/tty && printf %s \"$code\""] {
        let home = with_process(command);
        let line = format!("set -m; {KEYROLE} get prod & exec 2>/dev/null; wait $!; exit $?");
        home.run("bash", ["-c", &line]).on_terminal().finish().fails(4, &["`mfa_process` of profile `prod`"]);
    }
}
