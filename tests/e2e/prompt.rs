//! The MFA code is asked for on the terminal itself, while stdout and stderr are captured.

use crate::support::Home;

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
