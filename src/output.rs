//! Owns the `credential_process` document and the one place that writes to stdout. Nothing else ever does.

use crate::credentials::Session;
use crate::error::{Error, Result};
use serde::Serialize;
use std::io::{ErrorKind, Write};
use std::time::{Duration, UNIX_EPOCH};
use zeroize::Zeroizing;

/// The document of `credential_process`, version 1. The names are AWS's.
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html>
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CredentialProcessOutput<'a> {
    version: u8,
    access_key_id: &'a str,
    secret_access_key: &'a str,
    session_token: &'a str,
    expiration: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_id: Option<&'a str>,
}

/// Renders the document: one line with its newline.
///
/// # Errors
/// An expiration beyond the year 9999.
pub fn document(session: &Session, account_id: Option<&str>) -> Result<Zeroizing<Vec<u8>>> {
    let output = CredentialProcessOutput {
        version: 1,
        access_key_id: &session.access_key_id,
        secret_access_key: session.secret_access_key.expose(),
        session_token: session.session_token.expose(),
        expiration: timestamp(session.expiration),
        account_id,
    };
    // Large enough from the start, so that growing leaves no copies of the secret behind.
    let mut line = Zeroizing::new(Vec::with_capacity(session.session_token.expose().len() + 320));
    serde_json::to_writer(&mut *line, &output).map_err(|error| Error::failed(error.to_string()))?;
    line.push(b'\n');
    Ok(line)
}

/// Renders seconds since the Unix epoch as `2026-11-20T18:03:11Z`.
pub fn timestamp(seconds: i64) -> String {
    // The last second of the year 9999: what follows has no four-digit year.
    const LAST: u64 = 253_402_300_799;
    let seconds = u64::try_from(seconds).unwrap_or(0).min(LAST);
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
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
            session_token: Secret::new("tok\"en=="),
            issued: 0,
            expiration: 1_795_197_791,
        }
    }

    #[test]
    fn the_document_is_one_line_with_the_names_of_aws() {
        let line = document(&session(), Some("444455556666")).unwrap();
        assert_eq!(
            std::str::from_utf8(&line).unwrap(),
            "{\"Version\":1,\"AccessKeyId\":\"ASIAEXAMPLE\",\"SecretAccessKey\":\"se/cr+et\",\
             \"SessionToken\":\"tok\\\"en==\",\"Expiration\":\"2026-11-20T18:03:11Z\",\"AccountId\":\"444455556666\"}\n"
        );
    }

    #[test]
    fn an_unknown_account_is_left_out() {
        assert!(!String::from_utf8_lossy(&document(&session(), None).unwrap()).contains("AccountId"));
    }

    #[test]
    fn timestamps_out_of_range_do_not_panic() {
        assert_eq!(timestamp(i64::MAX), "9999-12-31T23:59:59Z");
        assert_eq!(timestamp(-1), "1970-01-01T00:00:00Z");
    }
}
