//! A `credential_process` of another program as the source: run by the shell as every SDK does it, and ended when it does
//! not answer.
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html>

use crate::child;
use crate::credentials::Credentials;
use crate::error::{Error, Kind, Result};
use crate::plan::{CHAIN_VARIABLE, Plan};
use crate::secret::Secret;
use crate::store::KEY_VARIABLE;
use crate::terminal;
use crate::validate;
use aws_smithy_types::date_time::{DateTime, Format};
use serde::Deserialize;
use std::process::Stdio;
use std::time::Duration;

/// As much as the SDK for JavaScript reads at most; the document has some 2 kB.
const MAX_OUTPUT_BYTES: u64 = 64 * 1024;

const SEE_FOR_YOURSELF: &str = "run the `credential_process` of that profile by hand to see what it says";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    version: u32,
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
    expiration: Option<String>,
}

/// Runs the line of a profile and reads its document.
///
/// # Errors
/// It fails, does not answer in time, or prints something else. What it printed is never shown; what it said on stderr
/// is in the hint, which is not logged.
pub fn credentials(plan: &Plan, profile: &str, line: &str, limit: Duration) -> Result<Credentials> {
    let what = format!("`credential_process` of profile `{profile}`");
    let failed = |why: String| Error::new(Kind::Unreachable, format!("{what} {why}")).hint(SEE_FOR_YOURSELF);
    let mut command = child::shell(line);
    // A keyrole that it may run is told by the first on which profiles others are at work already.
    command.env(CHAIN_VARIABLE, &plan.chain).env_remove(KEY_VARIABLE);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if terminal::open().is_err() {
        child::put_aside(&mut command);
    }
    let child = command.spawn().map_err(|error| failed(format!("cannot be run: {error}")))?;
    let finished = child::finish(child, limit, MAX_OUTPUT_BYTES).map_err(failed)?;
    if !finished.status.success() {
        let status = finished.status.to_string();
        return Err(said(&what, &status, &String::from_utf8_lossy(&finished.stderr)));
    }
    let unusable = |why: String| Error::failed(format!("{what} printed no credentials: {why}")).hint(SEE_FOR_YOURSELF);
    // Security: the parser's own words could hold a piece of the text.
    let document: Document = serde_json::from_slice(&finished.stdout)
        .map_err(|error| unusable(format!("line {} is not its document, version 1", error.line())))?;
    let (secret_access_key, session_token) = (
        Secret::new(document.secret_access_key),
        document.session_token.filter(|token| !token.is_empty()).map(Secret::new),
    );
    if document.version != 1 {
        return Err(unusable(format!("this is version {} of its document, not 1", document.version)));
    }
    let token = session_token.as_ref().map_or("none", Secret::expose);
    validate::credentials(&document.access_key_id, secret_access_key.expose(), token).map_err(unusable)?;
    let time = |text: String| DateTime::from_str(&text, Format::DateTimeWithOffset).map(|time| time.secs());
    let expiration =
        document.expiration.map(time).transpose().map_err(|_| unusable("`Expiration` is no time".to_owned()))?;
    Ok(Credentials { access_key_id: document.access_key_id, secret_access_key, session_token, expiration })
}

/// Tells what a program that failed said, on one line. If it was a keyrole, its failure is ours.
fn said(what: &str, status: &str, stderr: &str) -> Error {
    let failed = format!("{what} failed ({status})");
    if let Some(error) = stderr.trim().strip_prefix("keyrole: error: ") {
        // Unix says `exit status: 2`, Windows `exit code: 2`.
        let kind = match status.strip_prefix("exit ").and_then(|status| status.split_once(": ")) {
            Some((_, "2")) => Kind::Usage,
            Some((_, "4")) => Kind::PersonNeeded,
            Some((_, "5")) => Kind::Refused,
            _ => Kind::Failed,
        };
        let (error, hint) = error.split_once("\nkeyrole: hint: ").unwrap_or((error, SEE_FOR_YOURSELF));
        return Error::new(kind, format!("{failed}: {error}")).hint(hint);
    }
    let lines: Vec<&str> = stderr.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    Error::failed(failed).hint(match &lines[..] {
        [] => SEE_FOR_YOURSELF.to_owned(),
        // Security: whatever this is, it is for the person and not for the log.
        lines => format!("it said: {}", lines.join("; ")),
    })
}
