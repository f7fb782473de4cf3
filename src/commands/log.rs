//! `keyrole log`: reads the log to whoever wants to know what happened.

use crate::cli::Log;
use crate::error::{Error, Printable, Result};
use crate::log::Level;
use crate::log::read::{self, Entry};
use crate::output::{self, timestamp};
use crate::world::World;

/// Shows the log, the oldest entry first. Lines that are none of keyrole's are left out.
///
/// # Errors
/// The log is there and cannot be read, or `KEYROLE_LOG` has a value that it cannot have.
pub fn run(arguments: &Log, world: &World) -> Result<()> {
    let level = Level::of(world)
        .map_err(|value| Error::usage(format!("`KEYROLE_LOG`: `{value}` is not one of off, error, all")))?;
    if level == Level::Off {
        output::say("keyrole: `KEYROLE_LOG` is `off` here, so nothing new is logged\n");
    }
    let state_dir = world.state_dir().ok_or_else(|| Error::failed("there is no place for a log").hint("set `HOME`"))?;
    let path = crate::log::path(state_dir);
    let texts = read::texts(&path).map_err(|error| Error::failed(format!("cannot read the log: {error}")))?;
    let Some(texts) = texts else {
        output::say(&format!("keyrole: there is no log yet at `{}`\n", Printable(&path.to_string_lossy())));
        return Ok(());
    };
    // All times are written alike, so they compare as text.
    let since =
        arguments.since.map(|since| timestamp(world.now() - i64::try_from(since.as_secs()).unwrap_or(i64::MAX)));
    let is_wanted = |entry: &Entry| {
        arguments.profile.as_deref().is_none_or(|profile| entry.is_about(profile))
            && since.as_deref().is_none_or(|since| entry.time.as_str() >= since)
    };
    let lines = texts.iter().flat_map(|text| text.lines());
    let entries = lines.filter_map(|line| Some((line, Entry::parse(line)?))).filter(|(_, entry)| is_wanted(entry));
    if arguments.json {
        let lines: String = entries.flat_map(|(line, _)| [line, "\n"]).collect();
        return output::print(lines.as_bytes());
    }
    let mut rows = vec![["TIME", "EVENT", "PROFILE", "ASKED BY", "TOOK", "DETAIL"].map(str::to_owned)];
    rows.extend(entries.map(|(_, entry)| row(&entry)));
    if rows.len() == 1 {
        output::say("keyrole: nothing like that is in the log\n");
        return Ok(());
    }
    output::print(output::table(&rows).as_bytes())
}

fn row(entry: &Entry) -> [String; 6] {
    let program = match (&entry.program, entry.program_pid) {
        (Some(name), Some(pid)) => format!("{name} {pid}"),
        (Some(name), None) => name.clone(),
        (None, _) => "-".to_owned(),
    };
    let took = entry.ms.map_or_else(|| "-".to_owned(), took);
    let of = if entry.role_arn.is_none() { " (no role)" } else { "" };
    let until = || entry.expiration.as_ref().map(|expiration| format!("until {expiration}{of}"));
    let detail = entry.error.clone().or_else(until).unwrap_or_default();
    let profile = if entry.profile.is_empty() { "-" } else { &entry.profile };
    [&entry.time, &entry.event.replace('_', " "), profile, &program, &took, &detail]
        .map(|cell| Printable(cell).to_string())
}

/// Renders milliseconds as people read them: `0.31 ms`, `61 ms`, `4.2 s`.
fn took(ms: f64) -> String {
    match ms {
        ..10.0 => format!("{ms:.2} ms"),
        ..1000.0 => format!("{ms:.0} ms"),
        _ => format!("{:.1} s", ms / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_for_reading_and_cannot_move_the_cursor() {
        let line = r#"{"time":"2026-11-20T18:03:11Z","event":"served_stale","profile":"a\u001b[2J","ms":4200,"new":1}"#;
        let row = row(&Entry::parse(line).unwrap());
        assert_eq!(row, ["2026-11-20T18:03:11Z", "served stale", "a\\u{1b}[2J", "-", "4.2 s", ""]);
        assert_eq!((took(0.312), took(61.4)), ("0.31 ms".to_owned(), "61 ms".to_owned()));
    }
}
