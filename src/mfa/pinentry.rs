//! pinentry, the dialogue of GnuPG: one program for every desktop and for terminals, spoken to in Assuan, a protocol of
//! lines. <https://www.gnupg.org/documentation/manuals/assuan/>

use super::request::{Answer, Question, until};
use super::without_secrets;
use crate::secret::{Secret, SecretBytes};
use crate::world::World;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

/// The low bits of an `ERR` line, from `gpg-error.h`; the high ones name the source.
const CODE_MASK: u32 = 0xFFFF;
const CANCELED: u32 = 99;
const TIMEOUT: u32 = 62;
const FULLY_CANCELED: u32 = 198;
/// An Assuan line has at most so many bytes.
const MAX_LINE_BYTES: u64 = 1000;

/// Asks with the pinentry that gpg is configured with, else with the one on the PATH. `tty` is the terminal it may use
/// where it has no window.
pub fn ask(question: &Question, tty: Option<&str>, world: &World) -> Answer {
    let program = configured(world).unwrap_or_else(|| "pinentry".into());
    let mut command = without_secrets(Command::new(&program));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else {
        return Answer::NotHere(format!("there is no pinentry (`{}`)", program.display()));
    };
    let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Answer::NotHere("pinentry has no pipes".to_owned());
    };
    let lines = lines(question, tty, world);
    let deadline = question.deadline;
    let dialogue = move || Dialogue { input, output: BufReader::new(output) }.hold(&lines);
    let answer = until(deadline, dialogue);
    // It ends by itself when its input is closed, but for one that hangs.
    let _ = child.kill();
    let _ = child.wait();
    answer
}

/// Reads `pinentry-program` of gpg-agent's configuration.
fn configured(world: &World) -> Option<PathBuf> {
    let home = world.var("GNUPGHOME").map(PathBuf::from).or_else(|| Some(world.home.as_ref()?.join(".gnupg")))?;
    let text = (world.read)(&home.join("gpg-agent.conf")).ok()?;
    let programs = text.lines().filter_map(|line| line.trim().strip_prefix("pinentry-program"));
    programs.map(|program| world.expand(program.trim())).next_back()
}

/// The lines that set the stage; the last one asks.
fn lines(question: &Question, tty: Option<&str>, world: &World) -> Vec<String> {
    let mut lines = Vec::new();
    let mut option = |name: &str, value: Option<String>| {
        lines.extend(value.map(|value| format!("OPTION {name}={}", escaped(&value))));
    };
    option("ttyname", tty.map(str::to_owned));
    option("ttytype", world.var("TERM").filter(|_| tty.is_some()));
    option("lc-ctype", world.var("LC_ALL").or_else(|| world.var("LC_CTYPE")).or_else(|| world.var("LANG")));
    // keyrole ends the waiting; this is for a pinentry that has outlived it.
    let seconds = question.deadline.saturating_duration_since(Instant::now()).as_secs() + 2;
    lines.push(format!("SETTIMEOUT {seconds}"));
    lines.push("SETTITLE keyrole".to_owned());
    lines.push(format!("SETDESC {}", escaped(&question.text)));
    lines.push("SETPROMPT MFA code:".to_owned());
    if let Some(notice) = &question.notice {
        lines.push(format!("SETERROR {}", escaped(notice)));
    }
    lines.push("GETPIN".to_owned());
    lines
}

/// Escapes what would end a line, and the escape itself.
fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

struct Dialogue {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// What pinentry answers to a line.
enum Reply {
    Ok(Option<Secret>),
    Err(u32),
    Gone,
}

impl Dialogue {
    fn hold(mut self, lines: &[String]) -> Answer {
        let gone = || Answer::NotHere("pinentry has ended without an answer".to_owned());
        if !matches!(self.reply(), Reply::Ok(_)) {
            return gone();
        }
        for line in lines {
            if self.input.write_all(format!("{line}\n").as_bytes()).is_err() {
                return gone();
            }
            match self.reply() {
                Reply::Gone => return gone(),
                Reply::Ok(_) if line != "GETPIN" => {}
                // An option that this pinentry does not know.
                Reply::Err(_) if line != "GETPIN" => {}
                Reply::Ok(Some(text)) => return Answer::Text(text),
                Reply::Ok(None) => return Answer::Text(Secret::new("")),
                Reply::Err(code) => {
                    return match code & CODE_MASK {
                        CANCELED | FULLY_CANCELED => Answer::Cancelled,
                        TIMEOUT => Answer::TimedOut,
                        code => Answer::NotHere(format!("pinentry cannot ask here (error {code})")),
                    };
                }
            }
        }
        gone()
    }

    fn reply(&mut self) -> Reply {
        let mut data = None;
        loop {
            let mut line = SecretBytes::with_capacity(MAX_LINE_BYTES as usize + 1);
            match self.output.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line) {
                Ok(1..) => {}
                _ => return Reply::Gone,
            }
            let line = line.trim_ascii_end();
            if let Some(text) = line.strip_prefix(b"D ") {
                data = Some(Secret::new(String::from_utf8_lossy(text)));
            } else if line == b"OK" || line.starts_with(b"OK ") {
                return Reply::Ok(data);
            } else if let Some(error) = line.strip_prefix(b"ERR ") {
                let code = String::from_utf8_lossy(error);
                return Reply::Err(code.split(' ').next().and_then(|code| code.parse().ok()).unwrap_or(0));
            }
            // Comments and status lines say nothing that is needed.
        }
    }
}
