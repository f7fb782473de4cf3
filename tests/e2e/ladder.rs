//! The person is asked where the person is: on the terminal, by pinentry, in a window; and where nobody can be asked,
//! that is said at once.

use crate::support::{Home, KEYROLE, Run};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A display that nobody looks at.
struct Display {
    server: Child,
    name: String,
}

impl Display {
    fn start() -> Self {
        let mut server = Command::new("Xvfb")
            .args(["-displayfd", "1", "-screen", "0", "800x600x24"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Xvfb runs");
        let mut number = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut number).unwrap();
        Self { server, name: format!(":{}", number.trim()) }
    }

    /// Waits for keyrole's window and types into it.
    fn answer(&self, home: &Home, keys: &[&str]) {
        let script = "window=$(xdotool search --sync --onlyvisible --name '^keyrole' | head -n 1)\n\
                      xdotool windowfocus --sync $window\nfor key in \"$@\"; do xdotool key $key; done\n";
        let typed = home
            .run("timeout", [&["30", "sh", "-ec", script, "sh"], keys].concat())
            .env("DISPLAY", &self.name)
            .output();
        assert_eq!(typed.code, 0, "{typed:?}");
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Lets gpg, and so keyrole, use a pinentry.
fn configure(home: &Home, pinentry: &str) {
    let dir = home.path().join(".gnupg");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("gpg-agent.conf"), format!("default-cache-ttl 60\npinentry-program {pinentry}\n")).unwrap();
}

fn get(home: &Home, prompt: &str) -> Run {
    home.keyrole(["get", "prod"]).env("KEYROLE_PROMPT", prompt).env("KEYROLE_PROMPT_TIMEOUT", "30")
}

/// The keys of a code.
fn digits(code: &str) -> Vec<&str> {
    (0..code.len()).map(|at| &code[at..=at]).chain(["Return"]).collect()
}

#[test]
fn pinentry_asks_on_a_terminal_whose_streams_are_captured() {
    let home = Home::with_mfa();
    configure(&home, "/usr/bin/pinentry-curses");
    let terminal = get(&home, "pinentry").on_terminal();
    // What is typed before it is drawn is thrown away.
    terminal.expect("<Cancel>");
    terminal.send("12\r");
    terminal.expect("a code is six digits");
    terminal.expect_times("<Cancel>", 2);
    terminal.send(&format!("{}\r", home.code()));
    terminal.finish().document();
    assert!(home.events().contains(&"prompt_answered".to_owned()));
}

#[test]
fn ctrl_c_at_pinentry_is_a_cancellation_and_leaves_the_terminal_as_it_was() {
    let home = Home::with_mfa();
    configure(&home, "/usr/bin/pinentry-curses");
    let script =
        format!("trap : INT; stty -a >before; {KEYROLE} get prod 2>said >answer; echo $? >code; stty -a >after");
    let terminal = home.run("sh", ["-c", &script]).env("KEYROLE_PROMPT", "pinentry").in_terminal();
    terminal.expect("<Cancel>");
    terminal.send("\x03");
    terminal.finish();
    let file = |name: &str| std::fs::read_to_string(home.path().join(name)).unwrap();
    assert_eq!((file("code").as_str(), file("answer").as_str(), file("after")), ("130\n", "", file("before")));
    assert!(
        file("said").starts_with("keyrole: error: the prompt for the MFA code was cancelled\n"),
        "{}",
        file("said")
    );
    assert!(home.events().contains(&"prompt_cancelled".to_owned()), "{:?}", home.events());
}

#[test]
fn a_pinentry_that_is_cancelled_is_told_from_one_that_nobody_answers_and_one_without_a_terminal() {
    let home = Home::with_mfa();
    configure(&home, "/usr/bin/pinentry-curses");
    let terminal = get(&home, "pinentry").on_terminal();
    terminal.expect("<Cancel>");
    // To the button that cancels.
    terminal.send("\t\t\r");
    terminal.finish().fails(4, &["the prompt for the MFA code was cancelled"]);
    // Whoever has just refused is not asked again, so each has a home of its own.
    let home = Home::with_mfa();
    configure(&home, "/usr/bin/pinentry-curses");
    let terminal = get(&home, "pinentry").env("KEYROLE_PROMPT_TIMEOUT", "1").on_terminal();
    terminal.finish().fails(4, &["nobody gave the MFA code within 1 s"]);
    let home = Home::with_mfa();
    configure(&home, "/usr/bin/pinentry-curses");
    get(&home, "pinentry").output().fails(4, &["pinentry cannot ask here", "keyrole login prod"]);
    configure(&home, "/nowhere/pinentry");
    get(&home, "pinentry").output().fails(4, &["there is no pinentry (`/nowhere/pinentry`)"]);
}

#[test]
fn a_window_asks_where_there_is_a_display_and_no_terminal() {
    let display = Display::start();
    let home = Home::with_mfa();
    configure(&home, "/nowhere/pinentry");
    let asked = get(&home, "auto").env("DISPLAY", &display.name).spawn();
    let code = home.code();
    display.answer(&home, &digits(&code));
    crate::support::Output::of(asked).document();
}

#[test]
fn a_window_that_is_closed_cancels_and_one_that_nobody_answers_ends_in_time() {
    let display = Display::start();
    let home = Home::with_mfa();
    let asked = get(&home, "gui").env("DISPLAY", &display.name).spawn();
    display.answer(&home, &["Escape"]);
    crate::support::Output::of(asked).fails(4, &["cancelled"]);
    let home = Home::with_mfa();
    let run = get(&home, "gui").env("DISPLAY", &display.name).env("KEYROLE_PROMPT_TIMEOUT", "1");
    run.output().fails(4, &["nobody gave the MFA code within 1 s"]);
}

#[test]
fn a_program_in_the_place_of_a_window_that_asks_nobody_is_no_window() {
    let home = Home::with_mfa();
    let display = Display::start();
    let bin = home.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    for name in ["zenity", "kdialog"] {
        std::os::unix::fs::symlink("/bin/true", bin.join(name)).unwrap();
    }
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let run = get(&home, "gui").env("DISPLAY", &display.name).env("PATH", path);
    run.output().fails(4, &["profile `prod` needs an MFA code, but no window was opened"]);
}

#[test]
fn kdialog_is_the_window_of_kde() {
    let display = Display::start();
    let home = Home::with_mfa();
    // No other program that opens a window is to be found.
    let programs = home.path().join("programs");
    std::fs::create_dir(&programs).unwrap();
    std::os::unix::fs::symlink("/usr/bin/kdialog", programs.join("kdialog")).unwrap();
    let run = get(&home, "gui").env("DISPLAY", &display.name).env("XDG_CURRENT_DESKTOP", "KDE");
    let asked = run.under(["env", &format!("PATH={}", programs.display())]).spawn();
    let code = home.code();
    display.answer(&home, &digits(&code));
    crate::support::Output::of(asked).document();
}

#[test]
fn a_display_that_is_gone_is_not_waited_for() {
    let home = Home::with_mfa();
    let began = Instant::now();
    for display in [":4711", "localhost:4711.0", "nonsense"] {
        get(&home, "auto").env("DISPLAY", display).output().fails(4, &["no terminal", "keyrole login prod"]);
        get(&home, "gui").env("DISPLAY", display).output().fails(4, &["there is no display to open a window on"]);
    }
    // Six runs, each with an answer at once.
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}

#[test]
fn the_answer_is_erased_from_the_terminal() {
    let home = Home::with_mfa();
    let terminal = home.keyrole(["get", "prod"]).on_terminal();
    terminal.expect("MFA code for ");
    terminal.send(&format!("{}\n", home.code()));
    let (output, shown) = terminal.finish_with_screen();
    output.document();
    assert!(shown.ends_with("\x1b[A\r\x1b[K"), "{shown:?}");
}

#[test]
fn an_mfa_process_that_needs_no_shell_gets_none() {
    let home = Home::with_mfa();
    let parent = home.path().join("parent");
    let script = home.path().join("code");
    let text = format!("#!/bin/sh\ncat /proc/$PPID/comm >{}\necho {}\n", parent.display(), home.code());
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let process = format!("mfa_process = \"{}\"\n", script.display());
    home.write_config(&home.default_config(&format!("mfa_serial = {}\n{process}", home.serial)));
    home.keyrole(["get", "prod"]).output().document();
    assert_eq!(std::fs::read_to_string(parent).unwrap(), "keyrole\n");
}
