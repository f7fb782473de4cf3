//! The MFA code is asked for on the terminal itself, while stdout and stderr are captured.

use crate::support::sts::{ADMIN, DEPLOY, MfaDevice, READER, User};
use crate::support::{Home, KEYROLE, Terminal, copy_program};
use std::time::{Duration, Instant};

/// Starts `get prod` on a terminal and waits for the question.
#[track_caller]
fn ask(home: &Home) -> Terminal {
    let terminal = home.keyrole(["get", "prod"]).on_terminal();
    terminal.expect("MFA code for ");
    terminal
}

#[test]
fn the_prompt_is_on_the_terminal_while_stdout_and_stderr_are_captured() {
    let home = Home::with_mfa();
    let terminal = home.keyrole(["get", "prod"]).on_terminal();
    let shown = terminal.expect("MFA code for ");
    for word in ["prod", "Admin", "444455556666"] {
        assert!(shown.contains(word), "no {word} in {shown:?}");
    }
    terminal.expect(&home.serial);
    terminal.send(&format!("{}\n", home.code()));
    terminal.finish().document();
    assert_eq!((home.sts.count("GetSessionToken"), home.sts.count("AssumeRole")), (1, 1));
}

#[test]
fn no_terminal_exits_4_with_empty_stdout() {
    let home = Home::with_mfa();
    let output = home.keyrole(["get", "prod"]).output();
    output.fails(
        4,
        &["profile `prod` needs an MFA code, but there is no terminal to ask on", "run `keyrole login prod`"],
    );
    assert_eq!(home.sts.calls().len(), 0);
}

#[test]
fn no_terminal_exits_4_within_a_second() {
    let home = Home::with_mfa();
    let quickest = (0..3).map(|_| {
        let start = Instant::now();
        home.keyrole(["get", "prod"]).output().fails(4, &["no terminal"]);
        start.elapsed()
    });
    // The best of three, as others use this machine too.
    assert!(quickest.min().unwrap() < Duration::from_secs(1));
}

#[test]
fn a_second_role_of_the_same_source_and_serial_asks_nobody() {
    let home = Home::with_mfa();
    home.add_config(&home.role("reader", READER, ""));
    let terminal = ask(&home);
    terminal.send(&format!("{}\n", home.code()));
    let first = terminal.finish().key();
    // Without a terminal, so that a prompt would be a failure.
    let second = home.keyrole(["get", "reader"]).output().key();
    assert_ne!(first, second);
    assert_eq!((home.sts.attempts("GetSessionToken"), home.sts.count("AssumeRole")), (1, 2));
}

#[test]
fn another_serial_on_the_role_asks_for_that_device() {
    let home = Home::with_mfa();
    home.add_config(&home.role("other", READER, "mfa_serial = arn:aws:iam::111122223333:mfa/other"));
    home.keyrole(["get", "prod", "--mfa-code", &home.code()]).output().document();
    let terminal = home.keyrole(["get", "other"]).on_terminal();
    terminal.expect("MFA code for arn:aws:iam::111122223333:mfa/other: ");
    terminal.send("\x03");
    terminal.finish().fails(130, &["cancelled"]);
}

#[test]
fn without_a_shared_mfa_session_the_code_goes_into_assume_role() {
    let home = Home::with_mfa();
    home.write_config(&home.default_config(&format!("mfa_serial = {}\nmfa_session_duration = 0\n", home.serial)));
    home.add_config(&home.role("reader", READER, ""));
    let code = home.code();
    let terminal = ask(&home);
    terminal.send(&format!("{code}\n"));
    terminal.finish().document();
    let calls = home.sts.calls();
    assert_eq!(calls.len(), 1, "{calls:?}");
    assert_eq!(calls[0].action, "AssumeRole");
    assert_eq!(calls[0].params["SerialNumber"], home.serial);
    assert_eq!(calls[0].params["TokenCode"], code);
    // Each role asks for itself.
    home.keyrole(["get", "reader"]).output().fails(4, &["profile `reader` needs an MFA code"]);
}

#[test]
fn a_chain_of_three_roles_asks_once() {
    let home = Home::with_mfa();
    let hop = |source: &str| format!("keyrole_source_profile = {source}\n");
    let role = |name: &str, arn: &str, source: &str| {
        home.role(name, arn, "").replace("keyrole_source_profile = base\n", &hop(source))
    };
    home.add_config(&role("reader", READER, "prod"));
    home.add_config(&role("deploy", DEPLOY, "reader"));
    let terminal = home.keyrole(["get", "deploy"]).on_terminal();
    let shown = terminal.expect("MFA code for ");
    for word in ["profile deploy", "role Deploy", "account 777788889999", &home.serial] {
        assert!(shown.contains(word), "no {word} in {shown:?}");
    }
    terminal.send(&format!("{}\n", home.code()));
    terminal.finish().document();
    let calls = home.sts.calls();
    let roles: Vec<&str> = calls.iter().filter_map(|call| call.role_arn.as_deref()).collect();
    assert_eq!(roles, [ADMIN, READER, DEPLOY]);
    assert_eq!((calls.len(), calls[0].action.as_str()), (4, "GetSessionToken"));
    // The roles on the way are there for whoever needs them.
    home.keyrole(["get", "reader"]).output().document();
    assert_eq!(home.sts.calls().len(), 4);
}

#[test]
fn a_code_on_the_command_line_is_used_without_a_terminal() {
    let home = Home::with_mfa();
    home.keyrole(["get", "prod", "--mfa-code", &home.code()]).output().document();
    assert_eq!(home.sts.count("GetSessionToken"), 1);
}

#[test]
fn a_wrong_code_on_the_command_line_exits_5_and_asks_nobody() {
    let home = Home::with_mfa();
    let (output, screen) =
        home.keyrole(["get", "prod", "--mfa-code", &home.wrong_code()]).on_terminal().finish_with_screen();
    output.fails(5, &["GetSessionToken", "invalid MFA one time pass code", "wait for the next one"]);
    assert_eq!((screen.as_str(), home.sts.attempts("GetSessionToken")), ("", 1));
}

#[test]
fn a_code_on_the_command_line_that_is_not_six_digits_is_sent_to_nobody_and_not_repeated() {
    let home = Home::with_mfa();
    for code in ["12345", "1234567", "12345x", "", "１２３４５６"] {
        let output = home.keyrole(["get", "prod", "--mfa-code", code]).output();
        output.fails(2, &["`--mfa-code`: a code is six digits"]);
        assert!(code.is_empty() || !output.stderr.contains(code), "{output:?}");
    }
    assert_eq!(home.sts.calls().len(), 0);
}

#[test]
fn wrong_code_asks_again_and_the_next_one_is_taken() {
    let home = Home::with_mfa();
    let terminal = ask(&home);
    terminal.send(&format!("{}\n", home.wrong_code()));
    let shown = terminal.expect_times("MFA code for ", 2);
    assert!(shown.contains("AWS rejected the code (attempt 1 of 3)"), "{shown:?}");
    terminal.send(&format!("{}\n", home.code()));
    terminal.finish().document();
}

#[test]
fn three_wrong_codes_exit_5() {
    let home = Home::with_mfa();
    let terminal = home.keyrole(["get", "prod"]).on_terminal();
    for attempt in 1..=3 {
        terminal.expect_times("MFA code for ", attempt);
        terminal.send(&format!("{}\n", home.wrong_code()));
    }
    let (output, screen) = terminal.finish_with_screen();
    output.fails(5, &["invalid MFA one time pass code"]);
    assert!(screen.contains("attempt 2 of 3") && !screen.contains("attempt 3 of 3"), "{screen:?}");
    assert_eq!(home.sts.attempts("GetSessionToken"), 3);
}

#[test]
fn what_is_not_six_digits_is_refused_before_anything_is_sent() {
    let home = Home::with_mfa();
    let terminal = ask(&home);
    for (times, typed) in ["abcdef", "12345", "", "1234567"].iter().enumerate() {
        terminal.send(&format!("{typed}\n"));
        terminal.expect_times("a code is six digits", times + 1);
        terminal.expect_times("MFA code for ", times + 2);
    }
    assert_eq!(home.sts.calls().len(), 0);
    terminal.send(&format!("{}\n", home.code()));
    terminal.finish().document();
    assert_eq!(home.sts.attempts("GetSessionToken"), 1);
}

#[test]
fn a_line_that_is_far_too_long_is_one_wrong_answer() {
    let home = Home::with_mfa();
    let terminal = ask(&home);
    terminal.send(&format!("{}\n", "7".repeat(1000)));
    terminal.expect_times("MFA code for ", 2);
    terminal.send(&format!("{}\n", home.code()));
    let (output, screen) = terminal.finish_with_screen();
    output.document();
    assert_eq!(screen.matches("a code is six digits").count(), 1, "{screen:?}");
}

#[test]
fn a_code_may_be_typed_with_spaces_as_authenticators_show_it() {
    let home = Home::with_mfa();
    let terminal = ask(&home);
    let code = home.code();
    terminal.send(&format!(" {} {} \n", &code[..3], &code[3..]));
    terminal.finish().document();
}

#[test]
fn every_way_to_forbid_the_prompt_exits_4_and_leaves_the_terminal_alone() {
    let home = Home::with_mfa();
    home.add_config(&home.role("quiet", READER, "keyrole_prompt = none"));
    for (run, hint) in [
        (home.keyrole(["get", "prod", "--no-prompt"]), "keyrole login "),
        (home.keyrole(["get", "prod"]).env("KEYROLE_PROMPT", "none"), "set it to `auto`"),
        (home.keyrole(["get", "quiet"]), "set it to `auto`"),
    ] {
        let (output, screen) = run.on_terminal().finish_with_screen();
        output.fails(4, &["needs an MFA code, but ", hint]);
        assert_eq!(screen, "");
    }
    assert_eq!(home.sts.calls().len(), 0);
}

#[test]
fn the_variable_for_the_prompt_wins_over_the_profile() {
    let home = Home::with_mfa();
    home.add_config(&home.role("quiet", READER, "keyrole_prompt = none"));
    let terminal = home.keyrole(["get", "quiet"]).env("KEYROLE_PROMPT", "terminal").on_terminal();
    terminal.expect("MFA code for ");
    terminal.send(&format!("{}\n", home.code()));
    terminal.finish().document();
}

#[test]
fn an_unknown_kind_of_prompt_exits_2_and_names_the_known_ones() {
    let home = Home::with_mfa();
    let run = home.keyrole(["get", "prod"]).env("KEYROLE_PROMPT", "telepathy");
    run.output().fails(2, &["`KEYROLE_PROMPT`", "`telepathy` is not one of auto, terminal", "none"]);
}

#[test]
fn the_prompt_names_the_program_behind_its_shell() {
    let home = Home::with_mfa();
    // A shell by another name has that name, as the system knows it.
    let program = home.path().join("terraform");
    copy_program("/bin/bash", &program);
    for line in [format!("{KEYROLE} get prod; exit $?"), format!("sh -c '{KEYROLE} get prod; exit $?'; exit $?")] {
        let terminal = home.run(&program, ["-c", &line]).on_terminal();
        let shown = terminal.expect("MFA code for ");
        assert!(shown.contains("keyrole for terraform (pid "), "{shown:?}");
        terminal.send("\x04");
        terminal.finish().fails(4, &["closed (end of input)", "type the code", "`keyrole login prod` before it"]);
    }
}

#[test]
fn a_hardware_device_is_asked_for_by_its_serial_number() {
    let home = Home::new();
    let serial = format!("GAHT{}", &home.access_key_id[8..]);
    home.sts.add_user(User {
        access_key_id: home.access_key_id.clone(),
        mfa: vec![MfaDevice { serial: serial.clone(), secret: b"hardware".to_vec() }],
        ..User::me()
    });
    home.write_config(&home.default_config(&format!("mfa_serial = {serial}\n")));
    let terminal = home.keyrole(["get", "prod"]).on_terminal();
    terminal.expect(&format!("MFA code for {serial}: "));
    terminal.send(&format!("{}\n", home.sts.next_token_code(&serial)));
    terminal.finish().document();
    assert_eq!(home.sts.calls()[0].params["SerialNumber"], serial);
}

#[test]
fn stdin_is_never_read() {
    let home = Home::with_mfa();
    let code = home.code();
    let line = format!("printf '{code}\\nmore\\n' | {{ {KEYROLE} get prod; code=$?; cat >rest; exit $code; }}");
    let terminal = home.run("bash", ["-o", "pipefail", "-c", &line]).on_terminal();
    terminal.expect("MFA code for ");
    assert_eq!(home.sts.calls().len(), 0);
    terminal.send(&format!("{code}\n"));
    terminal.finish().document();
    assert_eq!(std::fs::read_to_string(home.path().join("rest")).unwrap(), format!("{code}\nmore\n"));
}

#[test]
fn temporary_keys_in_the_credentials_file_send_the_code_to_assume_role() {
    let home = Home::new();
    let session = home.keyrole(["get", "base"]).env("AWS_ENDPOINT_URL_STS", home.sts.url()).output().document();
    let text = |key: &str| session[key].as_str().unwrap().to_owned();
    home.write_credentials(&format!(
        "[base]\naws_access_key_id = {}\naws_secret_access_key = {}\naws_session_token = {}\n",
        text("AccessKeyId"),
        text("SecretAccessKey"),
        text("SessionToken")
    ));
    home.write_config(&home.default_config(&format!("mfa_serial = {}\n", home.serial)));
    home.sts.forget_calls();
    let terminal = ask(&home);
    terminal.send(&format!("{}\n", home.code()));
    terminal.finish().document();
    let calls = home.sts.calls();
    assert_eq!((calls.len(), calls[0].action.as_str()), (1, "AssumeRole"));
    assert_eq!(calls[0].params["SerialNumber"], home.serial);
    assert_eq!(calls[0].access_key_id, Some(text("AccessKeyId")));
}
