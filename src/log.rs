//! Owns `keyrole.log`: JSON Lines about what happened, for whoever has to find out later. Never a secret.

use crate::caller;
use crate::error::Printable;
use crate::lock::{create_private_dir, private_file};
use crate::output::timestamp;
use serde::Serialize;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The log is moved to `keyrole.log.1` when it has grown to this.
const MAX_BYTES: u64 = 1024 * 1024;

/// Writes to the log of a state directory; to nowhere without one.
pub struct Log {
    path: Option<PathBuf>,
}

/// One line of the log. `event` says what happened; what does not apply is left out.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Event<'a> {
    /// What happened.
    pub event: &'a str,
    /// The profile that was asked for.
    pub profile: &'a str,
    /// The role, if the event is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<&'a str>,
    /// The public half of the session's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<&'a str>,
    /// When the session ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiration: Option<String>,
    /// Where the caller's own identity came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    #[serde(flatten)]
    event: &'a Event<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    program: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    program_pid: Option<u32>,
    pid: u32,
}

impl Log {
    /// Makes the log of a state directory.
    pub fn new(state_dir: Option<&Path>) -> Self {
        Self { path: state_dir.map(|dir| dir.join("keyrole.log")) }
    }

    /// Adds a line in one write. A log that cannot be written is no reason to fail, and there is no place to say so.
    pub fn write(&self, now: i64, event: &Event) {
        let Some(path) = &self.path else { return };
        let caller = caller::program();
        // Security: what AWS or another program says must not move the cursor of whoever reads the log.
        let event = &Event { error: event.error.as_deref().map(|error| Printable(error).to_string()), ..event.clone() };
        let line = Line {
            time: timestamp(now),
            event,
            program_pid: caller.as_ref().map(|caller| caller.pid),
            program: caller.map(|caller| Printable(&caller.name).to_string()),
            pid: std::process::id(),
        };
        let Ok(mut text) = serde_json::to_vec(&line) else { return };
        text.push(b'\n');
        let _ = append(path, &text);
    }
}

fn append(path: &Path, text: &[u8]) -> std::io::Result<()> {
    if let Some(dir) = path.parent() {
        create_private_dir(dir)?;
    }
    if fs::metadata(path).is_ok_and(|metadata| metadata.len() >= MAX_BYTES) {
        fs::rename(path, path.with_extension("log.1"))?;
    }
    private_file().append(true).create(true).open(path)?.write_all(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_moved_aside_when_it_is_full() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keyrole.log");
        fs::write(&path, vec![b'x'; MAX_BYTES as usize]).unwrap();
        Log::new(Some(dir.path())).write(0, &Event { event: "issued", profile: "prod", ..Event::default() });
        assert_eq!(fs::metadata(dir.path().join("keyrole.log.1")).unwrap().len(), MAX_BYTES);
        let line: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!((&line["event"], &line["profile"]), (&"issued".into(), &"prod".into()));
        assert_eq!(line["time"], "1970-01-01T00:00:00Z");
    }
}
