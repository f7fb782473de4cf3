//! Owns `keyrole.log`: JSON Lines about what happened, for whoever has to find out later. Never a secret, never a
//! reason to fail, and never a word about itself: a log that cannot be written is missing, no more.
//!
//! A hit is logged too, after its answer has gone out, so what is done for one line is a handful of system calls. The
//! line goes out in one `write` to a file opened for appending, so that lines of many processes never mix.

mod line;
pub mod read;

use crate::caller;
use crate::credentials::Session;
use crate::lock::{Failure, Locks, create_private_dir, private_file, survive_size_limit};
use crate::output::timestamp;
use crate::plan::{Plan, Step};
use crate::world::World;
use line::Line;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The log is moved to `keyrole.log.1` when it has grown to this.
const MAX_BYTES: u64 = 1024 * 1024;
/// The lock of whoever moves the log.
const LOCK: &str = "log";

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A cached session was handed out.
    Hit,
    /// A session came from AWS, and is stored.
    Issued,
    /// An expiring session was renewed before anybody had to wait for it.
    RefreshedAhead,
    /// A session that is still valid could not be renewed.
    RenewalFailed,
    /// AWS refused to renew a session that is still valid.
    RenewalRefused,
    /// The old session was handed out, as it could not be renewed.
    ServedStale,
    /// Somebody is being asked for a code.
    PromptShown,
    /// Somebody gave a code.
    PromptAnswered,
    /// The prompt ended without a code.
    PromptCancelled,
    /// AWS rejected a code.
    CodeRejected,
    /// The region's STS gave no answer, and that of another region was asked.
    FellBack,
    /// A session could not be stored.
    NotStored,
    /// The store could not be asked for a session.
    StoreFailed,
    /// There were no locks, so that others may have asked AWS as well.
    Unlocked,
    /// AWS no longer accepts a cached session, which was removed.
    Dropped,
    /// Waiting for another keyrole was given up, or it was refused.
    NotWaited,
    /// There is no session to hand out.
    Failed,
    /// A notification about a code that is needed was shown on the desktop.
    Notified,
    /// Cached sessions were removed by `logout`.
    Logout,
}

impl Event {
    /// All of them, in the order in which they are explained.
    pub const ALL: [Self; 19] = [
        Self::Hit,
        Self::Issued,
        Self::RefreshedAhead,
        Self::RenewalFailed,
        Self::RenewalRefused,
        Self::ServedStale,
        Self::PromptShown,
        Self::PromptAnswered,
        Self::PromptCancelled,
        Self::CodeRejected,
        Self::FellBack,
        Self::NotStored,
        Self::StoreFailed,
        Self::Unlocked,
        Self::Dropped,
        Self::NotWaited,
        Self::Failed,
        Self::Notified,
        Self::Logout,
    ];

    /// Gives its name in the log and what it means.
    pub fn describe(self) -> (&'static str, &'static str) {
        match self {
            Self::Hit => ("hit", "a cached session was handed out"),
            Self::Issued => ("issued", "a session came from AWS and was stored"),
            Self::RefreshedAhead => ("refreshed_ahead", "an expiring session was renewed before anybody had to wait"),
            Self::RenewalFailed => ("renewal_failed", "a session that is still valid could not be renewed"),
            Self::RenewalRefused => ("renewal_refused", "AWS refused to renew a session that is still valid"),
            Self::ServedStale => ("served_stale", "the old session was handed out, as it could not be renewed"),
            Self::PromptShown => ("prompt_shown", "somebody is asked for an MFA code"),
            Self::PromptAnswered => ("prompt_answered", "somebody gave a code; `ms` is how long that took"),
            Self::PromptCancelled => ("prompt_cancelled", "the prompt ended without a code"),
            Self::CodeRejected => ("code_rejected", "AWS rejected a code"),
            Self::FellBack => ("fell_back", "the region's STS gave no answer, so another region's was asked"),
            Self::NotStored => ("not_stored", "a session came from AWS and could not be stored"),
            Self::StoreFailed => ("store_failed", "the store could not be asked for a session"),
            Self::Unlocked => ("unlocked", "no lock could be taken, so others may have called AWS as well"),
            Self::Dropped => ("dropped", "AWS no longer accepts a cached session, which was removed"),
            Self::NotWaited => ("not_waited", "waiting for another keyrole ended without its session"),
            Self::Failed => ("failed", "there was no session to hand out"),
            Self::Notified => ("notified", "the desktop was told that a code is needed"),
            Self::Logout => ("logout", "cached sessions were removed; without a profile, all of them"),
        }
    }

    /// Tells the events that `KEYROLE_LOG=error` keeps: something did not go as it should.
    pub fn is_error(self) -> bool {
        match self {
            Self::RenewalFailed
            | Self::RenewalRefused
            | Self::ServedStale
            | Self::PromptCancelled
            | Self::CodeRejected
            | Self::FellBack
            | Self::NotStored
            | Self::StoreFailed
            | Self::Unlocked
            | Self::Dropped
            | Self::NotWaited
            | Self::Failed => true,
            Self::Hit
            | Self::Issued
            | Self::RefreshedAhead
            | Self::PromptShown
            | Self::PromptAnswered
            | Self::Notified
            | Self::Logout => false,
        }
    }
}

/// What one line tells. What does not apply is left out.
#[derive(Debug, Clone)]
pub struct Record<'a> {
    /// What happened.
    pub event: Event,
    /// The profile that was asked for; empty for all of them.
    pub profile: &'a str,
    /// The role, if the event is about one.
    pub role_arn: Option<&'a str>,
    /// Where the caller's own identity comes from.
    pub source: Option<String>,
    /// The session, of which the public half of the key and the end are told.
    pub session: Option<&'a Session>,
    /// Which STS was asked instead.
    pub endpoint: Option<&'a str>,
    /// What went wrong.
    pub error: Option<&'a str>,
    /// How long it took.
    pub took: Option<Duration>,
}

impl<'a> Record<'a> {
    /// Makes the record of something that happened to a profile.
    pub fn new(event: Event, profile: &'a str) -> Self {
        Self { event, profile, role_arn: None, source: None, session: None, endpoint: None, error: None, took: None }
    }

    /// Makes the record of something that happened to what the first `steps` calls of a plan give.
    pub fn of(event: Event, plan: &'a Plan, steps: usize) -> Self {
        let role_arn = match steps.checked_sub(1).map(|last| &plan.steps[last]) {
            Some(Step::AssumeRole(role)) => Some(role.arn.as_str()),
            _ => None,
        };
        Self { role_arn, source: Some(plan.source.describe()), ..Self::new(event, &plan.profile) }
    }
}

/// `KEYROLE_LOG`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Nothing is logged.
    Off,
    /// Only what did not go as it should.
    Error,
    /// Everything.
    All,
}

impl Level {
    /// Reads `KEYROLE_LOG`.
    ///
    /// # Errors
    /// A value that is none of the three. `get` takes it for `all`, as a log is no reason to fail; `keyrole log` refuses
    /// it.
    pub fn of(world: &World) -> Result<Self, String> {
        match world.var("KEYROLE_LOG") {
            None => Ok(Self::All),
            Some(value) => match &*value {
                "off" => Ok(Self::Off),
                "error" => Ok(Self::Error),
                "all" => Ok(Self::All),
                _ => Err(value),
            },
        }
    }
}

/// Gives the path of the log in a state directory.
pub fn path(mut state_dir: PathBuf) -> PathBuf {
    state_dir.push("keyrole.log");
    state_dir
}

/// Gives the path that a full log is moved to.
pub fn old_path(path: &Path) -> PathBuf {
    path.with_extension("log.1")
}

/// Writes to the log; to nowhere where there is no state directory or `KEYROLE_LOG` is `off`.
pub struct Log {
    path: Option<PathBuf>,
    level: Level,
}

impl Log {
    /// Makes the log of this world.
    pub fn new(world: &World) -> Self {
        let level = Level::of(world).unwrap_or(Level::All);
        Self { path: if level == Level::Off { None } else { world.state_dir().map(path) }, level }
    }

    /// Adds a line. A log that cannot be written is no reason to fail, and there is no place to say so.
    pub fn write(&self, now: i64, record: &Record) {
        let Some(path) = &self.path else { return };
        if self.level == Level::All || record.event.is_error() {
            let _ = append(path, &line(now, record));
        }
    }
}

fn line(now: i64, record: &Record) -> Vec<u8> {
    let mut line = Line::new();
    line.plain("time", &timestamp(now));
    line.plain("event", record.event.describe().0);
    if !record.profile.is_empty() {
        line.text("profile", record.profile);
    }
    if let Some(role_arn) = record.role_arn {
        line.text("role_arn", role_arn);
    }
    if let Some(session) = record.session {
        line.text("access_key_id", &session.access_key_id);
        line.plain("expiration", &timestamp(session.expiration));
    }
    if let Some(source) = &record.source {
        line.text("source", source);
    }
    if let Some(endpoint) = record.endpoint {
        line.text("endpoint", endpoint);
    }
    if let Some(error) = record.error {
        line.text("error", error);
    }
    if let Some(took) = record.took {
        line.milliseconds("ms", took);
    }
    if let Some((name, pid)) = caller::name_and_pid() {
        line.text("program", &name);
        line.number("program_pid", u64::from(pid));
    }
    if record.event != Event::Hit {
        line.list("callers", &caller::chain());
    }
    line.number("pid", u64::from(std::process::id()));
    line.finish()
}

fn append(path: &Path, line: &[u8]) -> io::Result<()> {
    survive_size_limit();
    let state_dir = path.parent().unwrap_or(path);
    create_private_dir(state_dir)?;
    let open = || private_file().append(true).create(true).open(path);
    let mut file = open()?;
    if file.metadata()?.len() >= MAX_BYTES && rotate(state_dir, path)? {
        file = open()?;
    }
    file.write_all(line)
}

/// Moves a full log aside; tells whether there is a new one to begin. Whoever comes while another does that adds to the
/// old one: nobody waits for a log. Under the lock it is looked at again, or the second of two would move the new one
/// over the full one.
fn rotate(state_dir: &Path, path: &Path) -> io::Result<bool> {
    let lock = match Locks::new(state_dir).try_acquire(LOCK) {
        Ok(lock) => Some(lock),
        Err(Failure::Held(_)) => return Ok(false),
        // Without locks a line may be lost, but the log does not grow for ever.
        Err(Failure::NoLocks(_)) => None,
    };
    let is_full = match fs::metadata(path) {
        Ok(metadata) => metadata.len() >= MAX_BYTES,
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => return Err(error),
    };
    if is_full {
        fs::rename(path, old_path(path))?;
    }
    drop(lock);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::thread;

    fn log_in(dir: &Path) -> Log {
        Log { path: Some(path(dir.to_owned())), level: Level::All }
    }

    fn old_path(dir: &Path) -> PathBuf {
        super::old_path(&path(dir.to_owned()))
    }

    #[test]
    fn the_log_is_moved_aside_when_it_is_full() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(path(dir.path().to_owned()), vec![b'x'; MAX_BYTES as usize]).unwrap();
        log_in(dir.path()).write(0, &Record::new(Event::Issued, "prod"));
        assert_eq!(fs::metadata(old_path(dir.path())).unwrap().len(), MAX_BYTES);
        let line: serde_json::Value = serde_json::from_slice(&fs::read(path(dir.path().to_owned())).unwrap()).unwrap();
        assert_eq!((&line["event"], &line["profile"]), (&"issued".into(), &"prod".into()));
        assert_eq!(line["time"], "1970-01-01T00:00:00Z");
    }

    #[test]
    fn writers_that_find_the_log_full_at_the_same_time_lose_nothing_of_it() {
        for _ in 0..20 {
            let dir = tempfile::tempdir().unwrap();
            let full = [vec![b'x'; MAX_BYTES as usize - 1], b"\n".to_vec()].concat();
            fs::write(path(dir.path().to_owned()), full).unwrap();
            let log = log_in(dir.path());
            thread::scope(|scope| {
                for writer in 0..8 {
                    let log = &log;
                    scope.spawn(move || log.write(0, &Record::new(Event::Issued, &format!("writer{writer}"))));
                }
            });
            let old = fs::read_to_string(old_path(dir.path())).unwrap();
            let new = fs::read_to_string(path(dir.path().to_owned())).unwrap();
            assert!(old.starts_with('x'), "the full log is gone");
            let lines = old.lines().skip(1).chain(new.lines());
            let written: HashSet<String> = lines
                .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["profile"].to_string())
                .collect();
            assert_eq!(written.len(), 8);
        }
    }

    #[test]
    fn a_directory_that_others_can_write_to_gets_no_log() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        log_in(dir.path()).write(0, &Record::new(Event::Issued, "prod"));
        assert!(!path(dir.path().to_owned()).exists());
    }

    #[test]
    fn every_event_has_a_name_of_its_own() {
        let names: HashSet<&str> = Event::ALL.iter().map(|event| event.describe().0).collect();
        assert_eq!(names.len(), Event::ALL.len());
    }
}
