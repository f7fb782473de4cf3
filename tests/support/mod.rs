//! Owns the rig: a home directory with AWS files, the real binary in it, with or without a terminal, and STS.

pub mod namespace;
pub mod responder;
pub mod sts;

use pty_process::blocking::Command as PtyCommand;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};
use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use sts::{MfaDevice, Role, Sts, User};
use tempfile::TempDir;

/// Longer than anything takes on a busy machine; a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The binary under test.
pub const KEYROLE: &str = env!("CARGO_BIN_EXE_keyrole");

/// A home directory of its own with a user of its own at an STS of its own, so that no test shares a cache entry
/// with another, although all share the kernel keyring.
pub struct Home {
    dir: TempDir,
    pub sts: Sts,
    pub access_key_id: String,
    pub serial: String,
}

impl Home {
    /// Makes a home with `[base]`'s keys in the credentials file, and `[profile base]` and `[profile prod]` in the
    /// config file. `prod` is the role `Admin`, without MFA.
    pub fn new() -> Self {
        Self::with(Sts::start(), "")
    }

    /// The same, with an `mfa_serial` on the source profile.
    pub fn with_mfa() -> Self {
        let home = Self::with(Sts::start(), "");
        home.write_config(&home.default_config(&format!("mfa_serial = {}\n", home.serial)));
        home
    }

    /// The same over any STS; `base` is added to `[profile base]`.
    pub fn with(sts: Sts, base: &str) -> Self {
        let unique = unique();
        let user = User {
            access_key_id: format!("AKIA{unique:0>16}"),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
            account: "111122223333".to_owned(),
            name: format!("user{unique}"),
            mfa: vec![MfaDevice {
                serial: format!("arn:aws:iam::111122223333:mfa/user{unique}"),
                secret: format!("secret of {unique}").into_bytes(),
            }],
        };
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir(dir.path().join(".aws")).expect("~/.aws");
        let home = Self { dir, access_key_id: user.access_key_id.clone(), serial: user.mfa[0].serial.clone(), sts };
        home.write_credentials(&format!(
            "[base]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
            user.access_key_id, user.secret_access_key
        ));
        home.write_config(&home.default_config(base));
        home.sts.add_user(user);
        for arn in [sts::ADMIN, sts::READER, sts::DEPLOY] {
            home.sts.add_role(Role::new(arn, &["111122223333", "444455556666"]));
        }
        home
    }

    /// Gives the config file's default text with more properties for `[profile base]`.
    pub fn default_config(&self, base: &str) -> String {
        format!("[profile base]\nregion = eu-west-1\n{base}\n{}", self.role("prod", sts::ADMIN, ""))
    }

    /// Gives the section of a role with `base` as its source.
    pub fn role(&self, name: &str, arn: &str, more: &str) -> String {
        let ca = self.sts.ca_pem().map_or_else(String::new, |pem| {
            let path = self.path().join("ca.pem");
            std::fs::write(&path, pem).expect("ca.pem");
            format!("ca_bundle = {}\n", path.display())
        });
        format!(
            "[profile {name}]\ncredential_process = {KEYROLE} get {name}\nkeyrole_role_arn = {arn}\n\
             keyrole_source_profile = base\nregion = eu-west-1\nendpoint_url = {}\n{ca}{more}\n",
            self.sts.url()
        )
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn state_dir(&self) -> PathBuf {
        self.path().join(".local/state/keyrole")
    }

    pub fn write_config(&self, text: &str) {
        std::fs::write(self.path().join(".aws/config"), text).expect("~/.aws/config");
    }

    /// Adds to the config file.
    pub fn add_config(&self, text: &str) {
        let path = self.path().join(".aws/config");
        let before = std::fs::read_to_string(&path).expect("~/.aws/config");
        std::fs::write(path, before + text).expect("~/.aws/config");
    }

    pub fn write_credentials(&self, text: &str) {
        let path = self.path().join(".aws/credentials");
        std::fs::write(&path, text).expect("~/.aws/credentials");
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).expect("its mode");
    }

    /// Gives the log's lines.
    pub fn log(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.state_dir().join("keyrole.log")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
    }

    /// Gives the events of the log in order, but for the hits, of which there are as many as there were answers.
    pub fn events(&self) -> Vec<String> {
        let log = self.log();
        let events = log.iter().map(|line| line["event"].as_str().expect("an event"));
        events.filter(|event| *event != "hit").map(str::to_owned).collect()
    }

    /// Waits until the log has a line with this event, as a detached process writes it.
    #[track_caller]
    pub fn await_event(&self, event: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.events().iter().any(|found| found == event) {
            assert!(Instant::now() < deadline, "no {event} in {:?}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Gives the code that the user's device shows, good once.
    pub fn code(&self) -> String {
        self.sts.next_token_code(&self.serial)
    }

    /// Gives a code that the device does not show.
    pub fn wrong_code(&self) -> String {
        let right: u32 = self.sts.token_code(&self.serial).parse().expect("six digits");
        format!("{:06}", (right + 500_000) % 1_000_000)
    }

    /// Prepares a run of keyrole with these arguments.
    pub fn keyrole<I: IntoIterator<Item: AsRef<OsStr>>>(&self, arguments: I) -> Run {
        self.run(KEYROLE, arguments)
    }

    /// Prepares a run of any program in this home.
    pub fn run<I: IntoIterator<Item: AsRef<OsStr>>>(&self, program: impl AsRef<OsStr>, arguments: I) -> Run {
        let path = std::env::var_os("PATH").unwrap_or_default();
        Run {
            program: program.as_ref().to_owned(),
            arguments: arguments.into_iter().map(|argument| argument.as_ref().to_owned()).collect(),
            env: vec![
                ("HOME".into(), self.path().into()),
                ("PATH".into(), path),
                ("USER".into(), "tester".into()),
                ("TERM".into(), "xterm".into()),
                ("LANG".into(), "C.UTF-8".into()),
            ],
            dir: self.path().to_owned(),
        }
    }
}

/// Copies a program. Another process does it, as one that this process forks meanwhile would hold the copy open for
/// writing, and what is open for writing cannot be run.
pub fn copy_program(from: impl AsRef<OsStr>, to: &Path) {
    let status = Command::new("cp").arg(from).arg(to).status().expect("cp runs");
    assert!(status.success(), "cp to {}", to.display());
}

/// A number that no other test, and no earlier run, has used.
fn unique() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_nanos() as u64;
    format!("{:X}", nanos.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)))
}

/// A program that is about to be run.
pub struct Run {
    program: OsString,
    arguments: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    dir: PathBuf,
}

impl Run {
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        let name = name.into();
        self.env.retain(|(earlier, _)| *earlier != name);
        self.env.push((name, value.into()));
        self
    }

    /// Puts a program and its arguments before this one, as `env`, `strace` or `setpriv`.
    pub fn under<I: IntoIterator<Item: AsRef<OsStr>>>(mut self, wrapper: I) -> Self {
        let mut words: Vec<OsString> = wrapper.into_iter().map(|word| word.as_ref().to_owned()).collect();
        let program = std::mem::take(&mut self.program);
        words.push(program);
        words.append(&mut self.arguments);
        self.program = words.remove(0);
        self.arguments = words;
        self
    }

    /// Starts it without a controlling terminal.
    pub fn spawn(&self) -> Child {
        Command::new("setsid")
            .arg("-w")
            .arg(&self.program)
            .args(&self.arguments)
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("setsid runs")
    }

    /// Runs it without a controlling terminal.
    pub fn output(&self) -> Output {
        Output::of(self.spawn())
    }

    /// Starts it on a terminal of its own, while stdout and stderr are captured, as SDKs do it.
    pub fn on_terminal(&self) -> Terminal {
        let captured = |command: PtyCommand| command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.start_on_terminal(captured)
    }

    /// Starts it on a terminal of its own with all three streams on it, as a person does it.
    pub fn in_terminal(&self) -> Terminal {
        self.start_on_terminal(|command| command)
    }

    fn start_on_terminal(&self, streams: impl Fn(PtyCommand) -> PtyCommand) -> Terminal {
        let (pty, pts) = pty_process::blocking::open().expect("a pty");
        let command = PtyCommand::new(&self.program)
            .args(&self.arguments)
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.dir);
        let child = streams(command).spawn_borrowed(&pts).expect("the program runs on the pty");
        Terminal::over(pty, pts, child)
    }
}

/// What a program left behind.
#[derive(Debug)]
pub struct Output {
    pub stdout: String,
    pub stderr: String,
    /// The exit code; for a signal 128 and its number, as in a shell.
    pub code: i32,
}

impl Output {
    pub fn of(child: Child) -> Self {
        let output = child.wait_with_output().expect("the program ends");
        let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
        Self {
            stdout: String::from_utf8(output.stdout).expect("UTF-8 on stdout"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8 on stderr"),
            code: output.status.code().or(signal.map(|signal| 128 + signal)).unwrap_or(-1),
        }
    }

    /// Checks that it worked and was silent, and gives the document.
    #[track_caller]
    pub fn document(&self) -> serde_json::Value {
        assert_eq!((self.code, self.stderr.as_str()), (0, ""), "{self:?}");
        assert!(self.stdout.ends_with('\n') && self.stdout.lines().count() == 1, "{self:?}");
        serde_json::from_str(&self.stdout).expect("JSON on stdout")
    }

    /// Checks that it worked and gives the access key ID.
    #[track_caller]
    pub fn key(&self) -> String {
        self.document()["AccessKeyId"].as_str().expect("an access key ID").to_owned()
    }

    /// Checks that it failed with this code, an empty stdout and an error that holds all these words.
    #[track_caller]
    pub fn fails(&self, code: i32, words: &[&str]) {
        assert_eq!((self.code, self.stdout.as_str()), (code, ""), "{self:?}");
        let lines: Vec<&str> = self.stderr.lines().collect();
        assert!(lines[0].starts_with("keyrole: error: "), "{self:?}");
        assert!(lines.len() == 1 || (lines.len() == 2 && lines[1].starts_with("keyrole: hint: ")), "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "no {word:?} in {}", self.stderr);
        }
    }
}

/// A program on a terminal, and what it has shown there.
pub struct Terminal {
    pty: Arc<pty_process::blocking::Pty>,
    /// Held so that the terminal does not look closed before a program whose streams are elsewhere has opened it.
    pts: pty_process::blocking::Pts,
    child: Child,
    shown: Arc<(Mutex<Shown>, Condvar)>,
}

#[derive(Default)]
struct Shown {
    text: String,
    is_closed: bool,
}

impl Terminal {
    fn over(pty: pty_process::blocking::Pty, pts: pty_process::blocking::Pts, child: Child) -> Self {
        let pty = Arc::new(pty);
        let shown: Arc<(Mutex<Shown>, Condvar)> = Arc::default();
        let (reader, screen) = (Arc::clone(&pty), Arc::clone(&shown));
        let stat = format!("/proc/{}/stat", child.id());
        let is_running = move || std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
        thread::spawn(move || {
            let mut bytes = [0; 1024];
            loop {
                let length = loop {
                    match (&*reader).read(&mut bytes) {
                        Ok(length) => break length,
                        // Linux answers EIO while nobody has the other side open: an SDK's helper has not opened it
                        // yet, or all is over.
                        Err(_) if is_running() => thread::sleep(Duration::from_millis(2)),
                        Err(_) => break 0,
                    }
                };
                let mut shown = screen.0.lock().expect("no panic while reading");
                shown.text += &String::from_utf8_lossy(&bytes[..length]);
                shown.is_closed = length == 0;
                screen.1.notify_all();
                if length == 0 {
                    return;
                }
            }
        });
        Self { pty, pts, child, shown }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn pty(&self) -> &pty_process::blocking::Pty {
        &self.pty
    }

    /// Waits until the terminal has shown `text` this many times, and gives all it has shown.
    #[track_caller]
    pub fn expect_times(&self, text: &str, times: usize) -> String {
        /// How often to look whether there is still somebody to wait for.
        const LOOK_AGAIN: Duration = Duration::from_millis(200);
        let deadline = Instant::now() + PATIENCE;
        let mut shown = self.shown.0.lock().expect("no panic while reading");
        while shown.text.matches(text).count() < times {
            let is_over = Instant::now() >= deadline || self.has_ended();
            let (then, timeout) = self.shown.1.wait_timeout(shown, LOOK_AGAIN).expect("no panic while reading");
            shown = then;
            let is_missing = is_over && timeout.timed_out();
            let end = if self.has_ended() { "it has ended" } else { "it runs" };
            assert!(!is_missing, "no {text:?} (times {times}) in {:?}, and {end}", shown.text);
        }
        shown.text.clone()
    }

    /// Tells whether the program has ended; its exit code is still there for `finish`.
    pub fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        waitid(WaitId::Pid(self.id()), options).expect("the program is our child").is_some()
    }

    /// Waits until the program has ended, so that what it left on the terminal can be looked at. One that has been
    /// stopped never ends.
    #[track_caller]
    pub fn wait_for_end(&self) {
        let end = pidfd_open(self.id(), PidfdFlags::empty()).expect("the program is our child");
        let patience = Timespec::try_from(PATIENCE).expect("a minute");
        let ready = poll(&mut [PollFd::new(&end, PollFlags::IN)], Some(&patience)).expect("poll works");
        assert!(ready == 1, "it does not end, and the terminal shows {:?}", self.shown());
    }

    fn id(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    #[track_caller]
    pub fn expect(&self, text: &str) -> String {
        self.expect_times(text, 1)
    }

    pub fn send(&self, keys: &str) {
        (&*self.pty).write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    pub fn shown(&self) -> String {
        self.shown.0.lock().expect("no panic while reading").text.clone()
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Waits for its end.
    #[track_caller]
    pub fn finish(self) -> Output {
        self.wait_for_end();
        Output::of(self.child)
    }

    /// Waits for its end, and gives what the terminal has shown until nobody had it open any more.
    #[track_caller]
    pub fn finish_with_screen(self) -> (Output, String) {
        self.wait_for_end();
        let output = Output::of(self.child);
        drop(self.pts);
        let shown = self.shown.0.lock().expect("no panic while reading");
        let (shown, timeout) =
            self.shown.1.wait_timeout_while(shown, PATIENCE, |shown| !shown.is_closed).expect("no panic while reading");
        assert!(!timeout.timed_out(), "somebody still has the terminal open");
        (output, shown.text.clone())
    }
}
