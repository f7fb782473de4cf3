//! Reads the log: for `keyrole log` from its beginning, for `keyrole status` from its end. Never changes it.

use super::old_path;
use serde::Deserialize;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// One line of the log, as far as people are told about it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Entry {
    /// When, as `2026-11-20T18:03:11Z`.
    pub time: String,
    /// What happened.
    pub event: String,
    /// The profile; empty for all of them.
    #[serde(default)]
    pub profile: String,
    /// The role; none for an MFA session.
    pub role_arn: Option<String>,
    /// The program that asked.
    pub program: Option<String>,
    /// Its process ID.
    pub program_pid: Option<u32>,
    /// How long it took, in milliseconds.
    pub ms: Option<f64>,
    /// When the session ends.
    pub expiration: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
}

impl Entry {
    /// Reads a line; `None` if it is none of ours.
    pub fn parse(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }

    /// Tells whether the entry is about a profile.
    pub fn is_about(&self, profile: &str) -> bool {
        self.profile.is_empty() || self.profile == profile
    }
}

/// Gives the text of the log at a path and of the one moved aside before it, the older one first; `None` if there is neither.
///
/// # Errors
/// A file is there and cannot be read.
pub fn texts(path: &Path) -> io::Result<Option<[String; 2]>> {
    // The new one is opened first: if it is moved aside meanwhile, it is still read.
    let new = open(path)?;
    let old = open(&old_path(path))?;
    if new.is_none() && old.is_none() {
        return Ok(None);
    }
    Ok(Some([text(old)?, text(new)?]))
}

/// Finds the last entry about each of the profiles, looking from the log's end.
pub fn last_entries(path: &Path, profiles: &[&str]) -> Vec<Option<Entry>> {
    let mut found: Vec<Option<Entry>> = vec![None; profiles.len()];
    for path in [path, &old_path(path)] {
        // Without a log nothing is known about anybody.
        let text = open(path).and_then(text).unwrap_or_default();
        for entry in text.lines().rev().filter_map(Entry::parse) {
            for (profile, found) in profiles.iter().zip(&mut found) {
                if found.is_none() && entry.is_about(profile) {
                    *found = Some(entry.clone());
                }
            }
            if found.iter().all(Option::is_some) {
                return found;
            }
        }
    }
    found
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match crate::lock::private_file().read(true).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

fn text(file: Option<File>) -> io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(mut file) = file {
        file.read_to_end(&mut bytes)?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_entry_is_found_behind_lines_that_are_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keyrole.log");
        let line =
            |time: u32, profile: &str| format!("{{\"time\":\"{time}\",\"event\":\"hit\",\"profile\":\"{profile}\"}}\n");
        std::fs::write(old_path(&path), line(1, "old") + &line(2, "prod")).unwrap();
        let new = format!("{}{}half a li{{\n\n[]\n", line(3, "prod"), line(4, "reader"));
        std::fs::write(&path, new).unwrap();
        let times: Vec<Option<String>> = last_entries(&path, &["prod", "old", "reader", "nobody"])
            .into_iter()
            .map(|entry| entry.map(|entry| entry.time))
            .collect();
        assert_eq!(times, [Some("3".into()), Some("1".into()), Some("4".into()), None]);
    }

    #[test]
    fn a_log_that_is_not_there_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keyrole.log");
        assert!(texts(&path).unwrap().is_none());
        assert_eq!(last_entries(&path, &["prod"]), [None]);
    }
}
