//! Owns the `credential_process` document and the one place that writes to stdout. Nothing else ever does.

use crate::credentials::Session;
use crate::error::{Error, Result};
use std::io::{ErrorKind, Write};
use std::time::{Duration, UNIX_EPOCH};
use zeroize::Zeroizing;

/// Renders the document of `credential_process`, version 1: one line with its newline. The names are AWS's.
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html>
///
/// Nothing has to be escaped: `validate::credentials` lets no session come about with a quote or a backslash in it.
pub fn document(session: &Session, account_id: Option<&str>) -> Zeroizing<Vec<u8>> {
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
    let mut line = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len()).sum()));
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

/// Says something on stderr in one `write`, as several keyroles may speak on one terminal at once. If nobody can hear
/// it, there is nobody to tell.
pub fn say(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Writes to stdout in one `write`. A reader that has gone is no error: the answer is already stored.
///
/// # Errors
/// Anything but a closed pipe.
pub fn print(bytes: &[u8]) -> Result<()> {
    #[cfg_attr(not(test), expect(clippy::disallowed_methods, reason = "the one place that writes to stdout"))]
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::failed(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
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
    fn timestamps_out_of_range_do_not_panic() {
        assert_eq!(timestamp(i64::MAX), "9999-12-31T23:59:59Z");
        assert_eq!(timestamp(-1), "1970-01-01T00:00:00Z");
    }
}
