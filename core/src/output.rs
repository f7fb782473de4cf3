//! Owns the `credential_process` document and the one place that writes to stdout. Nothing else ever does.

use crate::credentials::Session;
use crate::error::{Error, Result};
use crate::secret::SecretBytes;
use std::io::{ErrorKind, IsTerminal, Write};
use std::time::{Duration, UNIX_EPOCH};

/// Renders the document of `credential_process`, version 1: one line with its newline. The names are AWS's.
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html>
///
/// Nothing has to be escaped: `validate::credentials` lets no session come about with a quote or a backslash in it.
pub fn document(session: &Session, account_id: Option<&str>) -> SecretBytes {
    let expiration = timestamp(session.expiration);
    let parts = [
        "{\"Version\":1,\"AccessKeyId\":\"",
        &session.access_key_id,
        "\",\"SecretAccessKey\":\"",
        session.secret_access_key.expose(),
        "\",\"SessionToken\":\"",
        session.session_token.expose(),
        "\",\"Expiration\":\"",
        &expiration,
        if account_id.is_some() { "\",\"AccountId\":\"" } else { "" },
        account_id.unwrap_or_default(),
        "\"}\n",
    ];
    // Large enough from the start, so that growing leaves no copies of the secret behind.
    let mut line = SecretBytes::with_capacity(parts.iter().map(|part| part.len()).sum());
    parts.iter().for_each(|part| line.extend_from_slice(part.as_bytes()));
    line
}

/// Renders seconds since the Unix epoch as `2026-11-20T18:03:11Z`.
pub fn timestamp(seconds: i64) -> String {
    // The last second of the year 9999: what follows has no four-digit year.
    const LAST: u64 = 253_402_300_799;
    let seconds = u64::try_from(seconds).unwrap_or(0).min(LAST);
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
}

/// Renders a number in at least so many digits, for a line or a path that a hit writes; the formatting machinery would
/// take several times as long.
pub fn decimal(mut number: u64, at_least: usize, digits: &mut [u8; 20]) -> &[u8] {
    let mut first = digits.len();
    while number > 0 || digits.len() - first < at_least {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    &digits[first..]
}

/// Reads what `timestamp` has rendered.
pub fn parse_timestamp(text: &str) -> Option<i64> {
    let since_epoch = humantime::parse_rfc3339(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since_epoch.as_secs()).ok()
}

/// Renders rows of as many cells each as a table, with two spaces between the columns.
pub fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (cell, width) in row.iter().zip(&mut widths) {
            *width = columns(cell).max(*width);
        }
    }
    let mut text = String::new();
    for row in rows {
        let begin = text.len();
        for (cell, width) in row.iter().zip(widths) {
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', width - columns(cell) + 2));
        }
        text.truncate(begin + text[begin..].trim_end().len());
        text.push('\n');
    }
    text
}

/// Counts the columns that a text takes on a terminal: two for each of the wide characters of East Asia and emoji.
fn columns(text: &str) -> usize {
    let is_wide = |c| {
        matches!(c, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}'
            | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}' | '\u{1f300}'..='\u{1faff}'
            | '\u{20000}'..='\u{3fffd}')
    };
    text.chars().map(|c| if is_wide(c) { 2 } else { 1 }).sum()
}

/// Renders a span of seconds as people say it: `11h 52m`, `45m`, `50s`.
pub fn span(seconds: i64) -> String {
    let (hours, minutes) = (seconds / 3600, seconds % 3600 / 60);
    match (hours, minutes) {
        (0, 0) => format!("{}s", seconds.max(0)),
        (0, minutes) => format!("{minutes}m"),
        (hours, minutes) => format!("{hours}h {minutes:02}m"),
    }
}

/// Says something on stderr in one `write`, as several keyroles may speak on one terminal at once. If nobody can hear
/// it, there is nobody to tell.
pub fn say(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Gives the columns and rows of the terminal that stdout is, if it is one; without a size it counts as endless.
pub fn terminal_size() -> Option<(usize, usize)> {
    #[cfg_attr(not(test), expect(clippy::disallowed_methods, reason = "asks what it is, and writes nothing"))]
    let stdout = std::io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    #[cfg(unix)]
    if let Ok(size) = rustix::termios::tcgetwinsize(&stdout)
        && size.ws_col > 0
        && size.ws_row > 0
    {
        return Some((size.ws_col.into(), size.ws_row.into()));
    }
    Some((usize::MAX, usize::MAX))
}

/// Writes to stdout in one `write`. A reader that has gone is no error: the answer is already stored.
///
/// # Errors
/// Anything but a closed pipe.
pub fn print(bytes: &[u8]) -> Result<()> {
    print_to_reader(bytes).map(|_| ())
}

/// Does the same, and tells whether there was a reader.
///
/// # Errors
/// As `print`.
pub fn print_to_reader(bytes: &[u8]) -> Result<bool> {
    #[cfg_attr(not(test), expect(clippy::disallowed_methods, reason = "the one place that writes to stdout"))]
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Error::failed(format!("cannot write to standard output: {error}"))),
        Ok(()) => Ok(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn session() -> Session {
        Session {
            access_key_id: "ASIAEXAMPLE".into(),
            secret_access_key: Secret::new("se/cr+et"),
            session_token: Secret::new("token=="),
            issued: 0,
            expiration: 1_795_197_791,
        }
    }

    #[test]
    fn the_document_is_one_line_with_the_names_of_aws() {
        let line = document(&session(), Some("444455556666"));
        assert_eq!(
            std::str::from_utf8(&line).unwrap(),
            "{\"Version\":1,\"AccessKeyId\":\"ASIAEXAMPLE\",\"SecretAccessKey\":\"se/cr+et\",\
             \"SessionToken\":\"token==\",\"Expiration\":\"2026-11-20T18:03:11Z\",\"AccountId\":\"444455556666\"}\n"
        );
    }

    #[test]
    fn an_unknown_account_is_left_out() {
        assert!(!String::from_utf8_lossy(&document(&session(), None)).contains("AccountId"));
    }

    #[test]
    fn spans_are_written_as_people_say_them() {
        for (seconds, text) in [(43_199, "11h 59m"), (3600, "1h 00m"), (3599, "59m"), (59, "59s"), (-1, "0s")] {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn timestamps_out_of_range_do_not_panic() {
        assert_eq!(timestamp(i64::MAX), "9999-12-31T23:59:59Z");
        assert_eq!(timestamp(-1), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn numbers_have_their_digits() {
        let text = |number, at_least| String::from_utf8_lossy(decimal(number, at_least, &mut [0; 20])).into_owned();
        assert_eq!([text(0, 1), text(42, 3), text(1234, 1)], ["0", "042", "1234"]);
        assert_eq!(text(u64::MAX, 1), u64::MAX.to_string());
    }

    #[test]
    fn a_timestamp_is_read_back() {
        assert_eq!(parse_timestamp(&timestamp(1_795_197_791)), Some(1_795_197_791));
        assert_eq!(parse_timestamp("yesterday"), None);
    }

    #[test]
    fn the_columns_of_a_table_stand_below_each_other() {
        let row = |a: &str, b: &str, c: &str| [a.to_owned(), b.to_owned(), c.to_owned()];
        assert_eq!(table(&[row("A", "LONG", "C"), row("ä", "b", "")]), "A  LONG  C\nä  b\n");
    }
}
