//! However the prompt ends, the terminal is left as it was found, and to whoever it belongs to.

use crate::support::{Home, KEYROLE, PATIENCE, Terminal};
use rustix::termios::{InputModes, LocalModes, tcgetattr};
use std::time::Instant;

type End = (&'static str, fn(&Terminal), i32);

/// How a prompt can be ended, and the exit code that a shell must see.
const ENDS: &[End] = &[
    ("Ctrl-C", |terminal| terminal.send("\x03"), 130),
    // The first one sends off what was typed before, as it does everywhere.
    ("Ctrl-D", |terminal| terminal.send("\x04\x04"), 4),
    ("SIGTERM", |terminal| terminal.signal("TERM"), 143),
    ("SIGHUP", |terminal| terminal.signal("HUP"), 129),
];

/// Gives the terminal's modes, as the shell would find them.
fn modes(terminal: &Terminal) -> String {
    let modes = tcgetattr(terminal.pty()).expect("the terminal has modes");
    format!("{:?} {:?} {:?} {:?}", modes.input_modes, modes.output_modes, modes.control_modes, modes.local_modes)
}

#[test]
fn every_end_of_the_prompt_has_its_exit_code_and_leaves_stdout_empty_and_the_lock_free() {
    for (name, end, code) in ENDS {
        let home = Home::with_mfa();
        let terminal = home.keyrole(["get", "prod"]).on_terminal();
        let before = modes(&terminal);
        terminal.expect("MFA code for ");
        terminal.send("123");
        end(&terminal);
        terminal.wait_for_end();
        assert_eq!(modes(&terminal), before, "{name}");
        terminal.finish().fails(*code, &["the prompt for the MFA code was "]);
        assert_eq!(home.sts.calls().len(), 0, "{name}");
        let start = Instant::now();
        home.keyrole(["get", "prod", "--mfa-code", &home.code()]).output().document();
        assert!(start.elapsed() < PATIENCE / 4, "{name}: the lock was not free");
    }
}

#[test]
fn a_terminal_left_raw_and_silent_is_usable_for_the_prompt_and_raw_and_silent_again_after_it() {
    for (name, end, code) in ENDS {
        let home = Home::with_mfa();
        let line = format!("stty raw -echo </dev/tty && exec {KEYROLE} get prod");
        let terminal = home.run("sh", ["-c", &line]).on_terminal();
        terminal.expect("MFA code for ");
        terminal.send("12");
        terminal.expect(": 12");
        end(&terminal);
        terminal.wait_for_end();
        let modes = tcgetattr(terminal.pty()).unwrap();
        let sane = LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
        assert!(!modes.local_modes.intersects(sane), "{name}: {:?}", modes.local_modes);
        assert!(!modes.input_modes.contains(InputModes::ICRNL), "{name}: {:?}", modes.input_modes);
        terminal.finish().fails(*code, &["the prompt for the MFA code was "]);
    }
}

#[test]
fn the_enter_key_ends_the_line_on_a_terminal_left_raw() {
    let home = Home::with_mfa();
    let line = format!("stty raw -echo </dev/tty && exec {KEYROLE} get prod");
    let terminal = home.run("sh", ["-c", &line]).on_terminal();
    terminal.expect("MFA code for ");
    terminal.send(&format!("{}\r", home.code()));
    let (output, screen) = terminal.finish_with_screen();
    output.document();
    // Without this the lines of the dialogue would run down the screen like stairs.
    assert!(!screen.replace("\r\n", "").contains('\n'), "{screen:?}");
}

#[test]
fn a_background_job_of_its_terminal_exits_4_and_is_not_stopped() {
    let home = Home::with_mfa();
    // `wait` gives 128 and the signal for a job that is stopped.
    // The shell's own remarks about its jobs are none of ours.
    let line = format!("set -m; {KEYROLE} get prod & exec 2>/dev/null; wait $!; exit $?");
    let (output, screen) = home.run("bash", ["-c", &line]).on_terminal().finish_with_screen();
    output.fails(4, &["this is a background job of its terminal", "keyrole login prod"]);
    assert_eq!((screen.as_str(), home.sts.calls().len()), ("", 0));
}

/// Runs a script as a job of its own, which runs keyrole by `timeout` in the background of its terminal and then reads a
/// line.
fn by_timeout(home: &Home) -> Terminal {
    let script = format!(
        "trap 'echo interrupted' INT; timeout 60 {KEYROLE} get prod >answer 2>said; code=$?; echo back; read line; echo \"$line $code\""
    );
    std::fs::write(home.path().join("script"), script).unwrap();
    home.run("bash", ["-c", "set -m; sh script; exit 0"]).in_terminal()
}

#[test]
fn a_program_in_the_foreground_that_waits_for_us_lends_it_and_gets_it_back() {
    let home = Home::with_mfa();
    let terminal = by_timeout(&home);
    terminal.expect("MFA code for ");
    terminal.send(&format!("{}\n", home.code()));
    terminal.expect("back\r\n");
    terminal.send("mine\n");
    terminal.expect("mine 0\r\n");
    terminal.finish();
    assert!(file(&home, "answer").starts_with("{\"Version\":1,"));
}

#[test]
fn a_foreground_that_was_lent_is_given_back_after_ctrl_c_and_cannot_be_stopped() {
    let home = Home::with_mfa();
    let terminal = by_timeout(&home);
    terminal.expect("MFA code for ");
    // Ctrl-Z is no key then; a job that is stopped would never be waited for.
    terminal.send("\x1a");
    terminal.send("\x03");
    terminal.expect("interrupted\r\nback\r\n");
    terminal.send("mine\n");
    terminal.expect("mine 130\r\n");
    terminal.finish();
    assert!(file(&home, "said").contains("was cancelled"));
}

/// Runs these lines in a shell with job control; `get` in them is `keyrole get prod`, with its streams in files.
fn in_shell(home: &Home, lines: &str) -> Terminal {
    let lines = lines.replace("get", &format!("{KEYROLE} get prod >answer 2>said"));
    home.run("bash", ["-c", &format!("set -m; {lines}")]).in_terminal()
}

/// Reads what keyrole wrote to one of its streams.
fn file(home: &Home, name: &str) -> String {
    std::fs::read_to_string(home.path().join(name)).unwrap()
}

#[test]
fn a_job_that_is_sent_to_the_background_at_the_prompt_gives_up_instead_of_stopping() {
    let home = Home::with_mfa();
    // 148 is 128 and SIGTSTP.
    let terminal = in_shell(&home, "get; [ $? = 148 ] || exit 1; bg; wait %1; exit $?");
    terminal.expect("MFA code for ");
    terminal.send("\x1a");
    let (output, screen) = terminal.finish_with_screen();
    assert_eq!((output.code, file(&home, "answer").as_str()), (4, ""), "{screen}");
    let said = file(&home, "said");
    assert!(said.starts_with("keyrole: error: nobody answered the prompt for the MFA code"), "{said}");
}

#[test]
fn a_job_that_was_suspended_at_the_prompt_takes_the_code_when_it_is_back() {
    let home = Home::with_mfa();
    let terminal = in_shell(&home, "get; [ $? = 148 ] || exit 1; echo the shell is back; fg; exit $?");
    terminal.expect("MFA code for ");
    terminal.send("\x1a");
    terminal.expect("the shell is back");
    terminal.send(&format!("{}\n", home.code()));
    let (output, screen) = terminal.finish_with_screen();
    assert_eq!((output.code, file(&home, "said").as_str()), (0, ""), "{screen}");
    assert_eq!((file(&home, "answer").lines().count(), home.sts.count("GetSessionToken")), (1, 1));
}

/// Runs a caller that runs keyrole, under a shell that goes on after the caller has died.
fn under_a_caller(home: &Home, shell_options: &str, then: &str) -> Terminal {
    let caller = format!("echo $$ >caller.pid; {{ {KEYROLE} get prod >answer 2>said; echo ended >&9; }} & wait");
    std::fs::write(home.path().join("caller"), caller).unwrap();
    let line = format!("{shell_options}mkfifo ends; exec 9<>ends; sh caller; echo the shell is back; {then}");
    home.run("bash", ["-c", &line]).in_terminal()
}

fn kill_caller(home: &Home) {
    let pid = file(home, "caller.pid");
    assert!(std::process::Command::new("kill").args(["-KILL", pid.trim()]).status().unwrap().success());
}

#[test]
fn when_the_caller_has_died_and_the_shell_is_back_no_key_typed_for_it_is_taken() {
    let home = Home::with_mfa();
    let then = "IFS= read -r line; printf 'the shell got %s\\n' \"$line\"; read -r ended <&9";
    let terminal = under_a_caller(&home, "set -m; ", then);
    terminal.expect("MFA code for ");
    kill_caller(&home);
    terminal.expect("the shell is back");
    terminal.send("make test\n");
    terminal.expect("the shell got make test");
    terminal.finish_with_screen();
    let said = file(&home, "said");
    assert!(said.starts_with("keyrole: error: nobody answered the prompt"), "{said}");
    assert_eq!(home.sts.calls().len(), 0);
}

#[test]
fn when_the_caller_has_died_in_the_foreground_the_answer_is_taken_and_cached() {
    let home = Home::with_mfa();
    let terminal = under_a_caller(&home, "", "read -r ended <&9");
    terminal.expect("MFA code for ");
    kill_caller(&home);
    terminal.expect("the shell is back");
    terminal.send(&format!("{}\n", home.code()));
    terminal.finish_with_screen();
    let calls = home.sts.calls().len();
    home.keyrole(["get", "prod"]).output().document();
    assert_eq!(home.sts.calls().len(), calls);
    assert_eq!(home.sts.count("AssumeRole"), 1);
}
