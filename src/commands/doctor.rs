//! `keyrole doctor`: finds what is wrong and says how to mend it.

use crate::cli::Doctor;
use crate::config::AwsFiles;
use crate::doctor::{self, Check, Extent, Verdict};
use crate::error::{Error, Printable, Result};
use crate::output;
use crate::process_line;
use crate::world::World;
use serde::Serialize;
use std::ffi::OsStr;
use std::fmt::Write;
use std::io::IsTerminal;

/// The document of `--json`. New members may come; those that are there stay.
#[derive(Serialize)]
struct Document<'a> {
    version: u8,
    failed: usize,
    warned: usize,
    checks: &'a [Check],
}

/// Prints what was found for a profile, or for all that keyrole serves. `called` is the name by which this program was
/// called.
///
/// # Errors
/// At least one check failed (exit 1).
pub fn run(arguments: &Doctor, called: Option<&OsStr>, world: &World) -> Result<()> {
    let program = process_line::program(called, world)?;
    let extent = Extent { offline: arguments.offline, assume: arguments.assume, program };
    let report = doctor::examine(AwsFiles::read(world), &arguments.profiles, &extent, world);
    let count = |status| report.checks.iter().filter(|check| check.status == status).count();
    let (failed, warned) = (count(Verdict::Fail), count(Verdict::Warn));
    if arguments.json {
        let document = Document { version: 1, failed, warned, checks: &report.checks };
        let mut text = serde_json::to_string(&document).map_err(|error| Error::failed(error.to_string()))?;
        text.push('\n');
        output::print(text.as_bytes())?;
    } else {
        #[cfg_attr(not(test), expect(clippy::disallowed_methods, reason = "asks what stdout is, writes nothing"))]
        // An older console of Windows would show the escape sequences.
        let is_coloured = cfg!(not(windows)) && std::io::stdout().is_terminal() && world.var("NO_COLOR").is_none();
        output::print(render(&report.checks, is_coloured).as_bytes())?;
    }
    match failed {
        0 => Ok(()),
        1 => Err(Error::failed("1 check failed")),
        _ => Err(Error::failed(format!("{failed} checks failed"))),
    }
}

fn render(checks: &[Check], is_coloured: bool) -> String {
    let several = checks.iter().filter_map(|check| check.profile.as_deref()).collect::<std::collections::BTreeSet<_>>();
    let mut text = String::new();
    let mut group = "";
    for check in checks {
        // Writing to a String cannot fail.
        if check.group != group {
            group = check.group;
            let gap = if text.is_empty() { "" } else { "\n" };
            let _ = writeln!(text, "{gap}{group}");
        }
        let (word, colour) = match check.status {
            Verdict::Ok => ("ok", "32"),
            Verdict::Warn => ("warn", "33"),
            Verdict::Fail => ("fail", "31"),
        };
        let word = if is_coloured { format!("\x1b[{colour}m{word:4}\x1b[0m") } else { format!("{word:4}") };
        let profile = check.profile.as_deref().filter(|_| several.len() > 1);
        let profile = profile.map_or_else(String::new, |profile| format!("{}: ", Printable(profile)));
        let _ = writeln!(text, "  {word}  {profile}{}: {}", Printable(&check.looked_at), Printable(&check.finding));
        for line in &check.mend {
            let _ = writeln!(text, "        → {}", Printable(line));
        }
    }
    text
}
