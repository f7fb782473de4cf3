//! Owns single flight: one lock file per thing that is fetched, held while it is being fetched. Hits never come here.
//!
//! The files stay where they are for ever and are locked with `flock` (Windows: `LockFileEx`), which the kernel
//! releases when the holder ends, however it ends. No lock is ever stolen: a holder that is stopped could still use
//! its code. While it holds the lock, a process leaves a note in the file for those who wait: who it is, and, when
//! it is done, how it was refused. The note holds no secret. On Windows nobody else can read what is locked, so the
//! note has a file of its own beside it.

use crate::caller::Program;
use crate::error::{Error, Kind};
use fs4::{FileExt, TryLockError};
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often a waiter looks at the holder's note.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// The longest note that is read; a longer one is none of ours.
const MAX_NOTE_BYTES: u64 = 16 * 1024;
/// What the note's file is called where it is not the lock's.
const NOTE_EXTENSION: &str = "note";

/// What the holder of a lock tells the others.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Note {
    /// Who holds, or last held, the lock.
    pub holder: Option<Holder>,
    /// The last refusal, shared with those who were waiting for its outcome.
    pub refusal: Option<Refusal>,
    /// The last attempt to renew a session that was still valid.
    pub renewal: Option<Renewal>,
    /// The last MFA code that AWS accepted, on the lock of an MFA device.
    pub used_code: Option<UsedCode>,
    /// When the desktop was last told that a code is needed, in seconds since the Unix epoch; on the lock of an MFA
    /// device.
    pub notified: Option<i64>,
}

/// A renewal that failed is not tried again for so many seconds, as some SDKs ask at every request by then.
const RENEWAL_PAUSE_SECONDS: i64 = 60;
/// Nobody wants to be told more often than every so many seconds, however often programs fail meanwhile.
const NOTIFICATION_PAUSE_SECONDS: i64 = 600;

impl Note {
    /// Tells whether a renewal has failed so recently that it is not tried again at `now`.
    pub fn has_just_failed(&self, now: i64) -> bool {
        self.renewal.as_ref().is_some_and(|renewal| (0..RENEWAL_PAUSE_SECONDS).contains(&(now - renewal.at)))
    }

    /// Tells whether the desktop has been told so recently that it is not told again at `now`.
    pub fn has_been_notified(&self, now: i64) -> bool {
        self.notified.is_some_and(|at| (0..NOTIFICATION_PAUSE_SECONDS).contains(&(now - at)))
    }
}

/// The process that holds a lock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Holder {
    /// The keyrole process.
    pub pid: u32,
    /// The program that runs it.
    pub program: Option<Program>,
    /// Since when it does what it does, in seconds since the Unix epoch.
    pub since: i64,
    /// It waits for a person.
    pub is_asking: bool,
    /// The terminal it asks on, as the system numbers it.
    pub terminal: Option<u64>,
}

/// A refusal that is final for everyone who was waiting for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    /// When, in nanoseconds since the Unix epoch.
    pub at: i64,
    /// What kind of failure.
    pub kind: Kind,
    /// What happened.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// The program to which it happened, if a person was asked.
    pub asked_for: Option<Program>,
}

impl Refusal {
    /// Tells whether it came since `began`, in nanoseconds since the Unix epoch. One from the future was left behind by
    /// a clock that has been set back.
    pub fn came_since(&self, began: i64, now: i64) -> bool {
        (began..=now).contains(&self.at)
    }

    /// Turns the refusal back into the error it was.
    pub fn to_error(&self) -> Error {
        let error = Error::new(self.kind, self.message.clone());
        match &self.hint {
            Some(hint) => error.hint(hint.clone()),
            None => error,
        }
    }
}

/// A renewal that failed while the session was still valid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Renewal {
    /// When, in seconds since the Unix epoch.
    pub at: i64,
    /// What happened.
    pub message: String,
    /// AWS refused, so that trying again will not help.
    pub is_refused: bool,
}

/// A code that cannot be used again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UsedCode {
    /// When AWS accepted it, in seconds since the Unix epoch.
    pub at: i64,
    /// The first bytes of the code's SHA-256. A used code is no secret, but nobody needs to read it here.
    pub digest: u64,
}

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    // Closing the file releases the lock.
    _file: File,
    note_file: File,
    /// What was in the file, and is written back when it changes.
    pub note: Note,
}

impl Lock {
    /// Writes the note. One that cannot be written is missed by those who wait, no more.
    pub fn write(&self) {
        survive_size_limit();
        let Ok(text) = serde_json::to_vec(&self.note) else { return };
        let mut file = &self.note_file;
        let _ = file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(&text));
        let _ = file.set_len(text.len() as u64);
    }
}

/// Why a lock was not taken.
#[derive(Debug)]
pub enum Failure {
    /// The state directory cannot be used, or its file system has no locks.
    NoLocks(io::Error),
    /// The holder did not finish in time.
    Held(Option<Holder>),
}

/// A place for lock files.
pub struct Locks {
    dir: PathBuf,
}

impl Locks {
    /// Makes the place in a state directory.
    pub fn new(state_dir: &Path) -> Self {
        Self { dir: state_dir.join("locks") }
    }

    fn path(&self, name: &str) -> PathBuf {
        // Without the store's prefix, as a file's name has no `:` on Windows.
        self.dir.join(name.rsplit_once(':').map_or(name, |(_, name)| name))
    }

    fn note_path(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        if cfg!(windows) { path.with_extension(NOTE_EXTENSION) } else { path }
    }

    /// Opens the file that is locked and the one with the note, each by itself: on Windows a file that is being waited
    /// for cannot be read meanwhile.
    fn open(&self, name: &str) -> io::Result<(File, File)> {
        if let Some(state_dir) = self.dir.parent() {
            create_private_dir(state_dir)?;
        }
        create_private_dir(&self.dir)?;
        let open = |path| private_file().read(true).write(true).create(true).truncate(false).open(path);
        Ok((open(self.path(name))?, open(self.note_path(name))?))
    }

    /// Reads a note without the lock.
    pub fn note(&self, name: &str) -> Note {
        private_file().read(true).open(self.note_path(name)).map(|file| read(&file)).unwrap_or_default()
    }

    /// Lists the holders of the locks that are held now.
    pub fn holders(&self) -> Vec<Holder> {
        let files = std::fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let holder = |file: std::fs::DirEntry| match self.try_acquire(file.file_name().to_str()?) {
            Err(Failure::Held(holder)) => holder,
            _ => None,
        };
        let is_lock = |file: &std::fs::DirEntry| file.path().extension().is_none();
        files.filter(is_lock).filter_map(holder).collect()
    }

    /// Takes a lock if it is free.
    ///
    /// # Errors
    /// It is held, or there are no locks here.
    pub fn try_acquire(&self, name: &str) -> Result<Lock, Failure> {
        let (file, note_file) = self.open(name).map_err(Failure::NoLocks)?;
        if try_lock(&file)? { Ok(taken(file, note_file)) } else { Err(Failure::Held(read(&note_file).holder)) }
    }

    /// Waits for a lock. `waiting` is told at every look who holds it and for how long this process has waited for
    /// that holder, and ends the waiting by returning false.
    ///
    /// # Errors
    /// `waiting` gave up, or there are no locks here.
    pub fn acquire(
        &self,
        name: &str,
        mut waiting: impl FnMut(Option<&Holder>, Duration) -> bool,
    ) -> Result<Lock, Failure> {
        let (file, note_file) = self.open(name).map_err(Failure::NoLocks)?;
        if try_lock(&file)? {
            return Ok(taken(file, note_file));
        }
        let mut waiter = Waiter::start(&file);
        let mut holder = read(&note_file).holder;
        let mut waited = Duration::ZERO;
        loop {
            thread::park_timeout(LOOK_AGAIN);
            if waiter.has_lock(&file)? {
                return Ok(taken(file, note_file));
            }
            let now = read(&note_file).holder;
            let is_same = |a: &Holder, b: &Holder| a.pid == b.pid && a.is_asking == b.is_asking;
            // Nobody has waited long for a holder who has only just come, or only just begun to ask.
            waited = match (&holder, &now) {
                (Some(before), Some(now)) if !is_same(before, now) => Duration::ZERO,
                _ => waited + LOOK_AGAIN,
            };
            holder = now;
            if !waiting(holder.as_ref(), waited) {
                return Err(Failure::Held(holder));
            }
        }
    }
}

/// A thread that waits for a lock and wakes the one that started it. The lock belongs to the open file, so any thread
/// can wait for it; if this process gives up, the thread ends with it. Where no thread can be had, as at a limit of
/// processes, each look tries the lock.
struct Waiter {
    thread: Option<JoinHandle<io::Result<()>>>,
    is_done: Arc<AtomicBool>,
}

impl Waiter {
    fn start(file: &File) -> Self {
        let is_done = Arc::new(AtomicBool::new(false));
        let (done, waiting) = (Arc::clone(&is_done), thread::current());
        let wait = |file: File| {
            let wait = move || {
                let result = loop {
                    match FileExt::lock(&file) {
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        result => break result,
                    }
                };
                done.store(true, Ordering::Release);
                waiting.unpark();
                result
            };
            thread::Builder::new().stack_size(64 * 1024).spawn(wait)
        };
        Self { thread: file.try_clone().and_then(wait).ok(), is_done }
    }

    fn has_lock(&mut self, file: &File) -> Result<bool, Failure> {
        let Some(thread) = self.thread.take_if(|_| self.is_done.load(Ordering::Acquire)) else {
            return if self.thread.is_some() { Ok(false) } else { try_lock(file) };
        };
        match thread.join() {
            Ok(result) => result.map(|()| true).map_err(Failure::NoLocks),
            Err(_) => Err(Failure::NoLocks(io::Error::other("the waiting thread has failed"))),
        }
    }
}

/// Tries a lock; tells whether this process has it now.
fn try_lock(file: &File) -> Result<bool, Failure> {
    match FileExt::try_lock(file) {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(Failure::NoLocks(error)),
    }
}

fn taken(file: File, note_file: File) -> Lock {
    let note = read(&note_file);
    Lock { _file: file, note_file, note }
}

/// Reads a note; one that is being written, or is none of ours, is empty.
fn read(file: &File) -> Note {
    let mut text = Vec::new();
    let mut file = file;
    let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.take(MAX_NOTE_BYTES).read_to_end(&mut text));
    read.ok().and_then(|_| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// Makes a directory that only its owner can enter, with its parents.
///
/// # Errors
/// It cannot be made, or is one that others can write to.
pub fn create_private_dir(dir: &Path) -> io::Result<()> {
    if let Ok(metadata) = dir.symlink_metadata() {
        return check_private(dir, &metadata);
    }
    #[cfg(unix)]
    refuse_foreign_home(dir)?;
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// Refuses to make directories of root in the home of a user, as `sudo` with the user's `HOME` would: the user could not
/// write there any more.
#[cfg(unix)]
fn refuse_foreign_home(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let above = dir.ancestors().skip(1).find_map(|dir| dir.metadata().ok().map(|metadata| (dir, metadata)));
    match above {
        Some((above, metadata)) if metadata.uid() != 0 => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("root makes no directory in `{}`, which belongs to a user", above.display()),
        )),
        _ => Ok(()),
    }
}

/// Gives the options to open a file of the state directory with: readable by its owner only, never through a link,
/// and never waiting for whoever has put something else in its place.
pub fn private_file() -> OpenOptions {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "only Unix has such options"))]
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600).custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    }
    options
}

/// Makes a write beyond the limit of file sizes fail, as it would otherwise end the process before it has answered.
pub fn survive_size_limit() {
    #[cfg(unix)]
    {
        static ONCE: std::sync::Once = std::sync::Once::new();
        // Asking is cheaper than the handler, and there is hardly ever a limit.
        if rustix::process::getrlimit(rustix::process::Resource::Fsize).current.is_none() {
            return;
        }
        // It fails only where the signal does not exist.
        ONCE.call_once(|| drop(signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default())));
    }
}

/// Refuses a directory that is there and in which somebody else could put files.
///
/// # Errors
/// It is one that others can write to.
pub fn check_dir(dir: &Path) -> io::Result<()> {
    dir.symlink_metadata().map_or(Ok(()), |metadata| check_private(dir, &metadata))
}

/// Refuses a directory in which somebody else could put files that this process would then write to or wait for.
#[cfg(unix)]
fn check_private(dir: &Path, metadata: &std::fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let is_ours = metadata.uid() == rustix::process::geteuid().as_raw();
    if metadata.is_dir() && is_ours && metadata.mode() & 0o022 == 0 {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!("`{}` is not a directory that only this user can write to", dir.display()),
    ))
}

#[cfg(not(unix))]
fn check_private(_dir: &Path, _metadata: &std::fs::Metadata) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_by_those_who_wait_and_by_those_who_come_later() {
        let dir = tempfile::tempdir().unwrap();
        let locks = Locks::new(dir.path());
        let mut lock = locks.try_acquire("keyrole:a").unwrap();
        lock.note.renewal = Some(Renewal { at: 7, message: "a long message".into(), is_refused: true });
        lock.write();
        lock.note.renewal = Some(Renewal { at: 7, message: "short".into(), is_refused: true });
        lock.write();
        assert_eq!(locks.note("keyrole:a"), lock.note);
        assert!(matches!(locks.try_acquire("keyrole:a"), Err(Failure::Held(None))));
        drop(lock);
        assert_eq!(locks.try_acquire("keyrole:a").unwrap().note.renewal.unwrap().message, "short");
    }

    #[test]
    fn a_waiter_gives_up_when_it_is_told_to_and_gets_the_lock_when_it_is_free() {
        let dir = tempfile::tempdir().unwrap();
        let locks = Locks::new(dir.path());
        let lock = locks.try_acquire("keyrole:a").unwrap();
        assert!(matches!(locks.acquire("keyrole:a", |_, _| false), Err(Failure::Held(_))));
        thread::scope(|scope| {
            let waiter = scope.spawn(|| locks.acquire("keyrole:a", |_, _| true).is_ok());
            drop(lock);
            assert!(waiter.join().unwrap());
        });
    }

    #[test]
    fn what_is_no_note_counts_as_none() {
        let dir = tempfile::tempdir().unwrap();
        let locks = Locks::new(dir.path());
        drop(locks.try_acquire("keyrole:a").unwrap());
        std::fs::write(dir.path().join("locks/a"), "{\"holder\":").unwrap();
        assert_eq!(locks.note("keyrole:a"), Note::default());
    }
}
