//! Sessions are kept in the kernel keyring; where that is blocked or full, in the Secret Service; and where there
//! is neither, the credentials are printed all the same. Nobody but their owner finds them.
//!
//! These tests run as root, which can become any user: each takes a user id of its own that owns no key yet, as
//! root's keyrings are shared by everything on the machine and have another quota.

use crate::support::sts::{ADMIN, READER};
use crate::support::{Home, KEYROLE, PATIENCE, Run, copy_program};
use serde_json::Value;
use std::collections::hash_map::RandomState;
use std::fs::{self, Permissions};
use std::hash::BuildHasher;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A D-Bus client without a deadline of its own waits for 25 s; keyrole gives up after 2 s. A busy machine needs
/// the rest.
const NOT_FOR_EVER: Duration = Duration::from_secs(20);

/// A user id without an entry in `/etc/passwd`, and the home that belongs to it.
pub struct Person<'a> {
    home: &'a Home,
    pub uid: u32,
}

/// How a process comes to a session keyring. Neither kind is linked to the user keyring, so nothing is possessed.
#[derive(Debug, Clone, Copy)]
pub enum Login {
    /// It never got one: cron, `setpriv`, most containers.
    Bare,
    /// A new one, as from `pam_keyinit` without its link to the user keyring.
    SessionKeyring,
}

impl<'a> Person<'a> {
    /// Makes a user and gives the home to it.
    pub fn new(home: &'a Home) -> Self {
        let person = Self::stranger(home);
        let binary = home.path().join("keyrole");
        copy_program(KEYROLE, &binary);
        for path in ["", ".aws", ".aws/config", ".aws/credentials", "keyrole"] {
            let path = home.path().join(path);
            chown(&path, Some(person.uid), Some(person.uid)).expect("these tests run as root");
            fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("chmod");
        }
        person
    }

    /// Makes another user, who can read everything in the home.
    fn stranger(home: &'a Home) -> Self {
        let uid = u32::try_from(RandomState::new().hash_one("uid") % 1_000_000_000).expect("32 bits") + 1_000_000;
        Self { home, uid }
    }

    fn setpriv(&self) -> [String; 6] {
        let uid = self.uid.to_string();
        ["setpriv", "--reuid", &uid, "--regid", &uid, "--clear-groups"].map(str::to_owned)
    }

    pub fn keyrole<const N: usize>(&self, login: Login, arguments: [&str; N]) -> Run {
        let run = self.home.run(self.home.path().join("keyrole"), arguments);
        let run = match login {
            Login::Bare => run,
            // `keyctl session` announces the new keyring on stderr.
            Login::SessionKeyring => run.under([
                "sh",
                "-c",
                r#"exec keyctl session - sh -c 'exec "$@" 2>&3 3>&-' sh "$@" 3>&2 2>/dev/null"#,
                "sh",
            ]),
        };
        run.under(self.setpriv())
    }

    fn get(&self) -> Run {
        self.keyrole(Login::Bare, ["get", "prod"])
    }

    /// Runs another program as this user, with `input` on its stdin.
    fn program<const N: usize>(&self, words: [&str; N], env: &[(&str, &str)], input: &[u8]) -> std::process::Output {
        let setpriv = self.setpriv();
        let mut child = Command::new(&setpriv[0])
            .args(&setpriv[1..])
            .args(words)
            .envs(env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("setpriv runs");
        // A program that does not read its stdin closes it.
        let _ = child.stdin.take().expect("a pipe").write_all(input);
        child.wait_with_output().expect("the program ends")
    }

    #[track_caller]
    fn succeeds<const N: usize>(&self, words: [&str; N], input: &[u8]) -> Vec<u8> {
        let output = self.program(words, &[], input);
        assert!(output.status.success(), "{words:?}: {output:?}");
        output.stdout
    }

    /// Gives keyrole's keys that this user may see, without its possessing any.
    fn keys(&self) -> Vec<Key> {
        let text = String::from_utf8(self.succeeds(["cat", "/proc/keys"], b"")).expect("UTF-8");
        text.lines().filter_map(Key::parse).filter(|key| key.uid == self.uid).collect()
    }

    #[track_caller]
    fn key(&self) -> Key {
        let mut keys = self.keys();
        assert_eq!(keys.len(), 1, "{keys:?}");
        keys.remove(0)
    }

    fn payload(&self, key: &Key) -> Vec<u8> {
        self.succeeds(["keyctl", "pipe", &key.serial], b"")
    }

    /// Tells whether any process has this user id.
    fn is_here(&self) -> bool {
        let processes = fs::read_dir("/proc").expect("/proc").flatten();
        processes.filter_map(|process| process.metadata().ok()).any(|process| process.uid() == self.uid)
    }

    /// Takes all of the user's quota.
    fn fill_the_keyring(&self) {
        for size in [2000, 100, 1] {
            let full = (0..200).any(|n| {
                let name = format!("filler {size} {n}");
                let output = self.program(["keyctl", "padd", "user", &name, "@u"], &[], &vec![b'x'; size]);
                let is_full = String::from_utf8_lossy(&output.stderr).contains("Disk quota exceeded");
                assert!(output.status.success() || is_full, "{output:?}");
                is_full
            });
            assert!(full, "no quota");
        }
    }
}

/// A line of `/proc/keys`.
#[derive(Debug)]
struct Key {
    serial: String,
    timeout: String,
    permissions: u32,
    uid: u32,
    name: String,
}

impl Key {
    /// Tells whether this is the key whose serial number keyctl has printed.
    fn is(&self, printed: &[u8]) -> bool {
        let serial = String::from_utf8_lossy(printed).trim().parse::<u32>().expect("a serial number");
        self.serial == format!("0x{serial:08x}")
    }

    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let &[serial, flags, _, timeout, permissions, uid, _, "user", name, ..] = fields.as_slice() else {
            return None;
        };
        // `i` is an invalidated key that waits for the garbage collector.
        (name.starts_with("keyrole:") && !flags.contains('i')).then(|| Self {
            serial: format!("0x{serial}"),
            timeout: timeout.to_owned(),
            permissions: u32::from_str_radix(permissions, 16).expect("hexadecimal"),
            uid: uid.parse().expect("a number"),
            name: name.trim_end_matches(':').to_owned(),
        })
    }
}

/// A message bus of the test's own; gnome-keyring is started by it, with this password or with none.
pub struct Bus {
    daemon: Child,
    address: String,
    uid: u32,
    keyring_pid: Option<String>,
    dir: TempDir,
    _home: Option<TempDir>,
}

impl Bus {
    /// Starts a bus with nobody on it.
    fn empty(uid: u32) -> Self {
        Self::start(uid, "", &tempfile::tempdir().expect("a directory"))
    }

    /// Starts a bus with a gnome-keyring that has just been made and is unlocked.
    pub fn with_keyring(person: &Person) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let mut bus = Self::with_keyring_in(&home, person, "password");
        bus._home = Some(home);
        bus
    }

    /// Starts a bus with the gnome-keyring whose files are in `home`, and unlocks it if that is its password.
    pub fn with_keyring_in(home: &TempDir, person: &Person, password: &str) -> Self {
        let mut bus = Self::start(person.uid, password, home);
        bus.ask(["StartServiceByName", "string:org.freedesktop.secrets", "uint32:0"]);
        let pid = bus.ask(["GetConnectionUnixProcessID", "string:org.freedesktop.secrets"]);
        bus.keyring_pid = Some(pid.trim().trim_start_matches("uint32 ").to_owned());
        bus
    }

    /// Starts a bus which starts a gnome-keyring when it is first asked for one, if there is a password.
    fn start(uid: u32, password: &str, home: &TempDir) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let file = |name: &str, text: String| fs::write(dir.path().join(name), text).expect("a file");
        let (path, id) = (dir.path().display(), uid.to_string());
        file("password", password.to_owned());
        if !password.is_empty() {
            let daemon = format!("gnome-keyring-daemon --foreground --unlock --components=secrets < {path}/password");
            let exec = format!("Name=org.freedesktop.secrets\nExec=/bin/sh -c \"exec {daemon}\"\n");
            file("secrets.service", format!("[D-BUS Service]\n{exec}"));
        }
        file(
            "bus.conf",
            format!(
                "<busconfig><type>session</type><listen>unix:path={path}/bus</listen><servicedir>{path}</servicedir>\
                 <policy context=\"default\"><allow send_destination=\"*\"/><allow receive_sender=\"*\"/><allow own=\"*\"/>\
                 </policy></busconfig>"
            ),
        );
        // The bus lets nobody in whose name it does not know. This file is seen by it and its children alone.
        let passwd = fs::read_to_string("/etc/passwd").expect("/etc/passwd");
        file("passwd", format!("{passwd}tester:x:{uid}:{uid}::/:/bin/sh\n"));
        for path in [dir.path(), home.path()] {
            chown(path, Some(uid), Some(uid)).expect("these tests run as root");
        }
        let script = "mount --bind \"$1\" /etc/passwd && \
            exec setpriv --reuid \"$2\" --regid \"$2\" --clear-groups dbus-daemon --nofork --print-address --config-file=\"$3\"";
        let mut daemon = Command::new("unshare")
            .args(["--mount", "sh", "-c", script, "sh"])
            .args([dir.path().join("passwd").as_os_str(), id.as_ref(), dir.path().join("bus.conf").as_os_str()])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", home.path())
            .env("XDG_RUNTIME_DIR", dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("unshare runs");
        let mut address = String::new();
        BufReader::new(daemon.stdout.take().expect("a pipe")).read_line(&mut address).expect("UTF-8");
        assert!(address.starts_with("unix:"), "no dbus-daemon: {address:?}");
        Self { daemon, address: address.trim().to_owned(), uid, keyring_pid: None, dir, _home: None }
    }

    /// Asks the bus itself.
    #[track_caller]
    fn ask<const N: usize>(&self, words: [&str; N]) -> String {
        let home = tempfile::tempdir().expect("a directory");
        let output = Command::new("setpriv")
            .args(["--reuid", &self.uid.to_string(), "--regid", &self.uid.to_string(), "--clear-groups"])
            .args(["dbus-send", "--session", "--print-reply=literal", "--dest=org.freedesktop.DBus", "/"])
            .arg(format!("org.freedesktop.DBus.{}", words[0]))
            .args(&words[1..])
            .env("DBUS_SESSION_BUS_ADDRESS", &self.address)
            .env("HOME", home.path())
            .output()
            .expect("dbus-send runs");
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Makes the bus start a program that never asks anybody, when gnome-keyring wants somebody to be asked for the
    /// password. It ends with the bus.
    pub fn add_mute_prompter(&self) {
        let asked = self.asked();
        let exec = format!("Exec=/bin/sh -c \"touch {}; exec dbus-monitor --session > /dev/null\"", asked.display());
        let text = format!("[D-BUS Service]\nName=org.gnome.keyring.SystemPrompter\n{exec}\n");
        fs::write(self.dir.path().join("prompter.service"), text).expect("a file");
        self.ask(["ReloadConfig"]);
    }

    /// The file that is there once the mute prompter was wanted.
    pub fn asked(&self) -> PathBuf {
        self.dir.path().join("asked")
    }

    fn signal_keyring(&self, signal: &str) {
        let pid = self.keyring_pid.as_deref().expect("a gnome-keyring");
        assert!(Command::new("kill").args(["-s", signal, pid]).status().expect("kill runs").success());
    }

    /// Puts a run on this bus.
    pub fn of(&self, run: Run) -> Run {
        run.env("DBUS_SESSION_BUS_ADDRESS", &self.address)
    }

    /// Gives the labels and attributes of keyrole's items; they are not encrypted.
    pub fn items(&self, person: &Person) -> (Vec<String>, Vec<String>) {
        let env = [("DBUS_SESSION_BUS_ADDRESS", self.address.as_str())];
        let output = person.program(["secret-tool", "search", "--all", "service", "keyrole"], &env, b"");
        assert!(output.status.success(), "{output:?}");
        let lines = |bytes: &[u8], start: &str| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            text.lines().filter(|line| line.starts_with(start)).map(str::to_owned).collect()
        };
        (lines(&output.stdout, "label = "), lines(&output.stderr, "attribute."))
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        if self.keyring_pid.is_some() {
            self.signal_keyring("KILL");
        }
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// Puts a run where the system calls of the kernel keyring fail, as in a container.
pub fn blocked(run: Run, error: &str) -> Run {
    const CALLS: &str = "keyctl,add_key,request_key";
    run.under([
        "strace",
        "--follow-forks",
        "--quiet=all",
        "--output=/dev/null",
        &format!("--trace={CALLS}"),
        &format!("--inject={CALLS}:error={error}"),
    ])
}

/// Puts a run where there is no bus.
fn without_bus(run: Run) -> Run {
    run.env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus")
}

/// Checks that no file under `dir` holds any of these texts.
#[track_caller]
pub fn nowhere_in(dir: &Path, secrets: &[String]) {
    for entry in fs::read_dir(dir).expect("a directory").flatten() {
        if entry.file_type().expect("a type").is_dir() {
            nowhere_in(&entry.path(), secrets);
        } else if !entry.path().ends_with("keyrole") {
            let bytes = fs::read(entry.path()).expect("a file");
            for secret in secrets {
                let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
                assert!(!found, "a secret is in {}", entry.path().display());
            }
        }
    }
}

/// The key for sealed files, where a test needs no other.
const FILE_KEY: &str = "0123456789abcdef0123456789abcdef";

/// Gives the names of the sealed files.
fn sealed(home: &Home) -> Vec<String> {
    let files = fs::read_dir(home.state_dir().join("sessions")).into_iter().flatten().flatten();
    files.map(|file| file.file_name().into_string().expect("UTF-8")).collect()
}

fn secrets(document: &Value) -> Vec<String> {
    ["SecretAccessKey", "SessionToken"].map(|field| document[field].as_str().expect("text").to_owned()).to_vec()
}

#[track_caller]
fn is_logged(home: &Home, event: &str, words: &str) {
    let log = home.log();
    let found = log.iter().any(|line| line["event"] == event && line["error"].as_str().unwrap_or("").contains(words));
    assert!(found, "no {event} with {words:?} in {log:?}");
}

#[test]
fn root_finds_its_session_from_any_kind_of_login() {
    let home = Home::new();
    let root = Person { home: &home, uid: 0 };
    copy_program(KEYROLE, &home.path().join("keyrole"));
    let first = root.keyrole(Login::SessionKeyring, ["get", "prod"]).output().key();
    for login in [Login::Bare, Login::SessionKeyring] {
        assert_eq!(root.keyrole(login, ["get", "prod"]).output().key(), first, "{login:?}");
    }
    assert_eq!(home.sts.attempts("AssumeRole"), 1);
}

#[test]
fn a_session_outlives_every_process_of_its_user_and_is_found_from_any_kind_of_login() {
    for writer in [Login::Bare, Login::SessionKeyring] {
        let home = Home::new();
        let person = Person::new(&home);
        let first = without_bus(person.keyrole(writer, ["get", "prod"])).output().key();
        for reader in [Login::SessionKeyring, Login::Bare, Login::SessionKeyring] {
            assert!(!person.is_here());
            let again = without_bus(person.keyrole(reader, ["get", "prod"])).output();
            assert_eq!(again.key(), first, "written by {writer:?}, read by {reader:?}");
        }
        assert_eq!(home.sts.attempts("AssumeRole"), 1, "{writer:?}");
        assert_eq!(home.events(), ["issued"], "{writer:?}");
    }
}

#[test]
fn any_kind_of_login_replaces_what_any_other_wrote() {
    let home = Home::new();
    let person = Person::new(&home);
    let kinds = [Login::Bare, Login::SessionKeyring];
    for (writer, replacer) in kinds.into_iter().flat_map(|writer| kinds.map(|replacer| (writer, replacer))) {
        person.keyrole(writer, ["get", "prod", "--refresh"]).output().document();
        let replaced = person.keyrole(replacer, ["get", "prod", "--refresh"]).output().key();
        for reader in kinds {
            assert_eq!(person.keyrole(reader, ["get", "prod"]).output().key(), replaced, "{writer:?} {replacer:?}");
        }
        assert_ne!(person.key().timeout, "perm");
    }
}

#[test]
fn another_user_gets_neither_the_session_nor_the_entry() {
    let home = Home::new();
    let person = Person::new(&home);
    let first = person.get().output().key();
    let key = person.key();
    let stranger = Person::stranger(&home);
    let state = home.path().join("state");
    fs::create_dir(&state).unwrap();
    chown(&state, Some(stranger.uid), None).unwrap();
    assert_ne!(stranger.get().env("XDG_STATE_HOME", &state).output().key(), first);
    for other in [stranger.uid, 0] {
        let output = Person { home: &home, uid: other }.program(["keyctl", "pipe", &key.serial], &[], b"");
        assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    }
    assert_eq!(person.get().output().key(), first);
}

#[test]
fn an_entry_ends_with_its_session_and_is_for_its_user_alone() {
    for (seconds, timeouts) in [(900, ["14m", "15m"]), (3600, ["59m", "1h"])] {
        let home = Home::new();
        let person = Person::new(&home);
        home.write_config(&format!(
            "[profile base]\n{}",
            home.role("prod", ADMIN, &format!("duration_seconds = {seconds}"))
        ));
        person.get().output().document();
        let key = person.key();
        assert!(timeouts.contains(&key.timeout.as_str()), "{seconds}: {key:?}");
        assert_eq!(key.permissions & 0xffff, 0, "something for the group or for others: {key:?}");
        person.keyrole(Login::Bare, ["get", "prod", "--refresh"]).output().document();
        let key = person.key();
        assert!(timeouts.contains(&key.timeout.as_str()), "{seconds}: {key:?}");
        assert_eq!(key.permissions & 0xffff, 0, "something for the group or for others: {key:?}");
    }
}

#[test]
fn an_entry_that_is_longer_than_usual_is_found_again() {
    let home = Home::new();
    let person = Person::new(&home);
    home.sts.set_token_padding(5000);
    let document = person.get().output().document();
    assert!(document["SessionToken"].as_str().unwrap().len() >= 5000);
    assert_eq!(person.get().output().document(), document);
    assert_eq!(home.sts.attempts("AssumeRole"), 1);
}

#[test]
fn a_key_that_its_writer_has_not_finished_is_a_miss_that_asks_no_other_store() {
    let home = Home::new();
    let person = Person::new(&home);
    person.get().output().document();
    let name = person.key().name;
    assert_eq!(person.keyrole(Login::Bare, ["logout", "prod"]).output().code, 0);
    // A key as `add_key` makes it: only who possesses it may search for it.
    person.succeeds(["keyctl", "padd", "user", &name, "@u"], b"half");
    let out = person.keyrole(Login::SessionKeyring, ["logout", "--all"]).output();
    assert!(out.code == 0 && out.stderr.contains("1 cached session removed"), "{out:?}");

    person.succeeds(["keyctl", "padd", "user", &name, "@u"], b"half");
    let get = || without_bus(person.keyrole(Login::SessionKeyring, ["get", "prod"])).output().key();
    let first = get();
    assert_eq!(get(), first);
    assert_eq!(home.events(), ["issued", "logout", "logout", "issued"]);
}

#[test]
fn a_full_keyring_spills_to_the_secret_service_where_the_next_get_finds_it() {
    let home = Home::new();
    let person = Person::new(&home);
    let bus = Bus::with_keyring(&person);
    person.fill_the_keyring();
    let first = bus.of(person.get()).output().key();
    assert_eq!(bus.of(person.get()).output().key(), first);
    assert_eq!((home.sts.attempts("AssumeRole"), home.events()), (1, vec!["issued".to_owned()]));
    assert_eq!(bus.items(&person).0.len(), 1);
}

#[test]
fn a_session_that_spilled_is_removed_by_logout_and_leaves_misses_fast_again() {
    let home = Home::new();
    let person = Person::new(&home);
    let bus = Bus::with_keyring(&person);
    person.fill_the_keyring();
    bus.of(person.get()).output().document();
    assert!(home.state_dir().join("spilled-secret-service").exists());
    assert_eq!(bus.of(person.keyrole(Login::Bare, ["logout", "--all"])).output().code, 0);
    assert!(!home.state_dir().join("spilled-secret-service").exists());
    assert_eq!(bus.of(person.keyrole(Login::Bare, ["status", "prod"])).output().code, 3);
}

/// Gives what doctor finds by these checks.
#[track_caller]
fn examined(run: &Run, names: &[&str]) -> Vec<(String, String, String)> {
    let out = run.output();
    let found: Vec<Value> =
        serde_json::from_str::<Value>(&out.stdout).expect("JSON")["checks"].as_array().expect("an array").clone();
    let text = |check: &Value, field: &str| check[field].as_str().expect("text").to_owned();
    let wanted = found.iter().filter(|check| names.contains(&check["check"].as_str().expect("a name")));
    wanted.map(|check| (text(check, "status"), text(check, "looked_at"), text(check, "finding"))).collect()
}

#[test]
fn doctor_shows_the_stores_in_the_order_in_which_they_are_tried() {
    let home = Home::new();
    let person = Person::new(&home);
    let key = home.path().join("key");
    fs::write(&key, FILE_KEY).unwrap();
    chown(&key, Some(person.uid), None).unwrap();
    let doctor = || {
        let run = without_bus(person.keyrole(Login::Bare, ["doctor", "prod", "--offline", "--json"]));
        run.env("KEYROLE_FILE_KEY_FILE", &key)
    };
    let rows = examined(&doctor(), &["order"]);
    let expected = [
        ("`keyutils`, 1 of 3", "it is used"),
        ("`secret-service`, 2 of 3", "not here: the secret-service failed"),
        ("`file`, 3 of 3", "it works, for what those before it do not take"),
    ];
    assert_eq!(rows.len(), expected.len(), "{rows:?}");
    for ((status, looked_at, finding), (place, words)) in rows.iter().zip(expected) {
        assert!(status == "ok" && looked_at.starts_with(place) && finding.starts_with(words), "{rows:?}");
    }

    let rows = examined(&blocked(doctor(), "EPERM"), &["order"]);
    assert!(rows[0].2.contains("the kernel keyring is blocked here") && rows[2].2 == "it is used", "{rows:?}");

    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    let found = examined(&doctor(), &["key-file"]);
    assert!(found.len() == 1 && found[0].2.contains("others can read the key"), "{found:?}");
    fs::set_permissions(&key, Permissions::from_mode(0o400)).unwrap();
    assert_eq!(examined(&doctor(), &["key-file"]), []);
}

#[test]
fn logout_all_removes_sealed_files_even_without_their_key() {
    let home = Home::new();
    let person = Person::new(&home);
    person.get().env("KEYROLE_STORE", "file").env("KEYROLE_FILE_KEY", FILE_KEY).output().document();
    assert_eq!(sealed(&home).len(), 1);
    let out = without_bus(person.keyrole(Login::Bare, ["logout", "--all"])).output();
    assert!(out.code == 0 && out.stderr.contains("1 cached session removed"), "{out:?}");
    assert_eq!(sealed(&home).len(), 0);
}

#[test]
fn logout_all_says_so_if_sessions_that_spilled_cannot_be_removed() {
    let home = Home::new();
    let person = Person::new(&home);
    let bus = Bus::with_keyring(&person);
    person.fill_the_keyring();
    bus.of(person.get()).output().document();
    let out = without_bus(person.keyrole(Login::Bare, ["logout", "--all"])).output();
    out.fails(1, &["cannot remove a session", "secret-service"]);
}

#[test]
fn a_session_that_spilled_is_found_where_the_state_directory_cannot_be_written_and_status_says_where_it_is() {
    let home = Home::new();
    let person = Person::new(&home);
    let bus = Bus::with_keyring(&person);
    person.fill_the_keyring();
    let run = |run: Run| bus.of(run).env("XDG_STATE_HOME", "/proc");
    let first = run(person.get()).output().key();
    assert_eq!(run(person.get()).output().key(), first);
    let status = run(person.keyrole(Login::Bare, ["status", "prod"])).output();
    assert_eq!((status.code, status.stderr.as_str()), (0, ""), "{status:?}");
    assert!(status.stdout.contains("secret-service") && !status.stdout.contains("keyutils"), "{status:?}");
}

#[test]
fn expired_entries_make_room_in_a_full_keyring() {
    let home = Home::new();
    let person = Person::new(&home);
    person.get().output().document();
    // A key that is larger than an entry. What has expired still counts against the quota.
    person.succeeds(["keyctl", "padd", "user", "keyrole:old", "@u"], &[b'x'; 3000]);
    let find_old = || person.keys().into_iter().find(|key| key.name == "keyrole:old");
    let expire = "keyctl link @u @s; exec keyctl timeout \"$1\" 1";
    let serial = find_old().expect("the key").serial;
    person.succeeds(["keyctl", "session", "-", "sh", "-c", expire, "sh", &serial], b"");
    let deadline = Instant::now() + PATIENCE;
    while find_old().expect("the kernel keeps it for five minutes").timeout != "expd" {
        assert!(Instant::now() < deadline, "it does not expire");
    }
    person.fill_the_keyring();
    home.add_config(&home.role("reader", READER, ""));
    let get = || without_bus(person.keyrole(Login::Bare, ["get", "reader"])).output().key();
    assert_eq!(get(), get());
    assert!(find_old().is_none(), "{:?}", person.keys());
}

/// Gets sixty roles twice, and checks that the second round asks AWS nothing.
#[track_caller]
fn sixty_roles_are_hits(home: &Home, run: impl Fn(&str) -> Run) {
    const ROLES: usize = 60;
    let names: Vec<String> = (0..ROLES).map(|n| format!("role{n}")).collect();
    let role = |name: &String| home.role(name, ADMIN, &format!("role_session_name = {name}"));
    home.write_config(&format!("[profile base]\n{}", names.iter().map(role).collect::<String>()));
    let first: Vec<String> = names.iter().map(|name| run(name).output().key()).collect();
    assert_eq!(home.sts.attempts("AssumeRole"), ROLES);
    let again: Vec<String> = names.iter().map(|name| run(name).output().key()).collect();
    assert_eq!((again, home.sts.attempts("AssumeRole")), (first, ROLES));
}

#[test]
fn sixty_live_roles_are_all_hits_with_the_kernel_keyring_and_the_secret_service() {
    let home = Home::new();
    let person = Person::new(&home);
    let bus = Bus::with_keyring(&person);
    sixty_roles_are_hits(&home, |name| bus.of(person.keyrole(Login::Bare, ["get", name])));
    let (in_kernel, spilled) = (person.keys().len(), bus.items(&person).0.len());
    assert!(in_kernel >= 10 && in_kernel + spilled == 60, "{in_kernel} and {spilled}");
}

#[test]
fn sixty_live_roles_are_all_hits_with_the_kernel_keyring_and_sealed_files() {
    let home = Home::new();
    let person = Person::new(&home);
    let run = |name: &str| without_bus(person.keyrole(Login::Bare, ["get", name])).env("KEYROLE_FILE_KEY", FILE_KEY);
    sixty_roles_are_hits(&home, run);
    let (in_kernel, spilled) = (person.keys().len(), sealed(&home).len());
    assert!(in_kernel >= 10 && in_kernel + spilled == 60, "{in_kernel} and {spilled}");
}

#[test]
fn where_there_is_no_keyring_sealed_files_keep_the_session_and_only_with_a_key() {
    let home = Home::new();
    let person = Person::new(&home);
    let run = || blocked(without_bus(person.get()), "EPERM");
    assert_ne!(run().output().key(), run().output().key());
    assert_eq!(sealed(&home).len(), 0);
    let first = run().env("KEYROLE_FILE_KEY", FILE_KEY).output().key();
    assert_eq!(run().env("KEYROLE_FILE_KEY", FILE_KEY).output().key(), first);
    let status = blocked(without_bus(person.keyrole(Login::Bare, ["status", "prod"])), "EPERM");
    let status = status.env("KEYROLE_FILE_KEY", FILE_KEY).output();
    assert!(status.code == 0 && status.stdout.contains("  file"), "{status:?}");
}

#[test]
fn a_locked_keyring_leaves_the_session_to_sealed_files() {
    let home = Home::new();
    let person = Person::new(&home);
    let keyrings = tempfile::tempdir().unwrap();
    drop(Bus::with_keyring_in(&keyrings, &person, "right"));
    let bus = Bus::with_keyring_in(&keyrings, &person, "wrong");
    let run = || blocked(bus.of(person.get()), "EPERM").env("KEYROLE_FILE_KEY", FILE_KEY);
    assert_eq!(run().output().key(), run().output().key());
    assert_eq!(sealed(&home).len(), 1);
}

#[test]
fn a_full_keyring_without_a_secret_service_still_prints_and_logs_not_stored() {
    let home = Home::new();
    let person = Person::new(&home);
    person.fill_the_keyring();
    let first = without_bus(person.get()).output().key();
    is_logged(&home, "not_stored", "the kernel keyring is full");
    assert_ne!(without_bus(person.get()).output().key(), first);
}

#[test]
fn where_the_kernel_keyring_is_blocked_the_secret_service_keeps_the_session() {
    for error in ["ENOSYS", "EPERM", "EACCES"] {
        let home = Home::new();
        let person = Person::new(&home);
        let bus = Bus::with_keyring(&person);
        let first = blocked(bus.of(person.get()), error).output().key();
        assert_eq!(blocked(bus.of(person.get()), error).output().key(), first, "{error}");
        assert_eq!(home.sts.attempts("AssumeRole"), 1, "{error}");
        assert_eq!(person.keys().len(), 0, "{error}");
    }
}

#[test]
fn where_the_kernel_keyring_is_blocked_and_there_is_no_bus_every_get_prints() {
    for error in ["ENOSYS", "EPERM"] {
        let home = Home::new();
        let person = Person::new(&home);
        let start = Instant::now();
        let first = blocked(without_bus(person.get()), error).output().key();
        assert_ne!(blocked(without_bus(person.get()), error).output().key(), first, "{error}");
        assert!(start.elapsed() < NOT_FOR_EVER, "{:?}", start.elapsed());
        is_logged(&home, "not_stored", "the kernel keyring is blocked here");
        is_logged(&home, "not_stored", "secret-service");
    }
}

#[test]
fn a_process_that_knows_no_bus_at_all_prints() {
    let home = Home::new();
    let person = Person::new(&home);
    // Neither `DBUS_SESSION_BUS_ADDRESS` nor `XDG_RUNTIME_DIR` is set here.
    blocked(person.get(), "ENOSYS").output().document();
    person.get().env("XDG_RUNTIME_DIR", "/nonexistent").env("KEYROLE_STORE", "secret-service").output().document();
    person.get().env("DBUS_SESSION_BUS_ADDRESS", "nonsense").env("KEYROLE_STORE", "secret-service").output().document();
    assert_eq!(home.events().iter().filter(|event| *event == "not_stored").count(), 3);
}

#[test]
fn a_bus_without_a_secret_service_prints() {
    let home = Home::new();
    let person = Person::new(&home);
    let bus = Bus::empty(person.uid);
    let start = Instant::now();
    bus.of(person.get()).env("KEYROLE_STORE", "secret-service").output().document();
    assert!(start.elapsed() < NOT_FOR_EVER, "{:?}", start.elapsed());
    is_logged(&home, "not_stored", "the secret-service failed");
}

#[test]
fn every_role_of_login_all_finds_the_store_at_work() {
    let home = Home::new();
    for n in 0..7 {
        home.add_config(&home.role(&format!("role{n}"), ADMIN, ""));
    }
    let person = Person::new(&home);
    let bus = Bus::with_keyring(&person);
    for store in ["secret-service", "file", "keyutils"].repeat(5) {
        let login = bus.of(person.keyrole(Login::Bare, ["login", "--all", "--refresh"]));
        let out = login.env("KEYROLE_STORE", store).env("KEYROLE_FILE_KEY", FILE_KEY).output();
        assert_eq!((out.code, out.stderr.matches(": ready").count()), (0, 8), "{out:?}");
    }
}

#[test]
fn the_secret_service_is_used_when_it_is_chosen_in_the_profile_or_by_the_environment() {
    let home = Home::new();
    let person = Person::new(&home);
    let bus = Bus::with_keyring(&person);
    let first = bus.of(person.get()).env("KEYROLE_STORE", "secret-service").output().key();
    home.write_config(&format!("[profile base]\n{}", home.role("prod", ADMIN, "keyrole_store = secret-service")));
    assert_eq!(bus.of(person.get()).output().key(), first);
    assert_eq!((home.sts.attempts("AssumeRole"), person.keys().len()), (1, 0));
    let status = bus.of(person.keyrole(Login::Bare, ["status", "prod"])).output();
    assert_eq!((status.code, status.stderr.as_str()), (0, ""), "{status:?}");
    assert!(status.stdout.contains("secret-service"), "{status:?}");

    let out = bus.of(person.keyrole(Login::Bare, ["logout", "prod"])).output();
    assert_eq!((out.code, out.stdout.as_str()), (0, ""), "{out:?}");
    assert_eq!(bus.of(person.keyrole(Login::Bare, ["status", "prod"])).output().code, 3);
    assert_ne!(bus.of(person.get()).output().key(), first);
}

#[test]
fn logout_all_removes_every_item_from_the_secret_service_and_no_other() {
    let home = Home::new();
    let person = Person::new(&home);
    let bus = Bus::with_keyring(&person);
    let env = [("DBUS_SESSION_BUS_ADDRESS", bus.address.as_str())];
    let stored = person.program(["secret-tool", "store", "--label=mine", "service", "other"], &env, b"kept");
    assert!(stored.status.success(), "{stored:?}");
    for duration in ["900", "1800", "3600"] {
        home.write_config(&format!(
            "[profile base]\n{}",
            home.role("prod", ADMIN, &format!("duration_seconds = {duration}"))
        ));
        bus.of(person.get()).env("KEYROLE_STORE", "secret-service").output().document();
    }
    assert_eq!(bus.items(&person).0.len(), 3);
    let out = bus.of(person.keyrole(Login::Bare, ["logout", "--all"])).output();
    assert!(out.code == 0 && out.stderr.contains("3 cached sessions removed"), "{out:?}");
    assert_eq!(bus.items(&person).0.len(), 0);
    assert_eq!(person.program(["secret-tool", "lookup", "service", "other"], &env, b"").stdout, b"kept");
}

#[test]
fn labels_and_attributes_in_the_secret_service_tell_nothing() {
    let home = Home::new();
    let person = Person::new(&home);
    let bus = Bus::with_keyring(&person);
    let document = bus.of(person.get()).env("KEYROLE_STORE", "secret-service").output().document();
    let (labels, attributes) = bus.items(&person);
    assert_eq!(labels, ["label = keyrole session"]);
    assert!(
        attributes.iter().any(|attribute| attribute.starts_with("attribute.username = keyrole:")),
        "{attributes:?}"
    );
    let mut telling = secrets(&document);
    telling.extend(["prod", "base", "Admin", "444455556666", &home.access_key_id].map(str::to_owned));
    telling.push(document["AccessKeyId"].as_str().unwrap().to_owned());
    for text in telling {
        assert!(attributes.iter().all(|attribute| !attribute.contains(&text)), "{text} in {attributes:?}");
    }
}

#[test]
fn fifty_connections_in_a_row_neither_miss_nor_end_the_secret_service() {
    let home = Home::new();
    let person = Person::new(&home);
    let bus = Bus::with_keyring(&person);
    let run =
        |arguments| bus.of(person.keyrole(Login::Bare, arguments)).env("KEYROLE_STORE", "secret-service").output();
    for round in 0..10 {
        let first = run(["get", "--refresh", "prod"]).key();
        for _ in 0..4 {
            assert_eq!(run(["get", "--no-prompt", "prod"]).key(), first, "round {round}");
        }
    }
    assert_eq!(home.sts.attempts("AssumeRole"), 10);
    let pid = bus.ask(["GetConnectionUnixProcessID", "string:org.freedesktop.secrets"]);
    assert!(pid.trim().ends_with(bus.keyring_pid.as_deref().unwrap()), "gnome-keyring is another process: {pid}");
}

#[test]
fn a_secret_service_that_has_stopped_answering_is_asked_once_a_minute() {
    let home = Home::new();
    let person = Person::new(&home);
    let bus = Bus::with_keyring(&person);
    let run = || bus.of(person.get()).env("KEYROLE_STORE", "secret-service");
    let later = |run: Run| run.under(["faketime", "-f", "+61s"]);
    bus.signal_keyring("STOP");
    let start = Instant::now();
    run().output().document();
    assert!(start.elapsed() < NOT_FOR_EVER, "{:?}", start.elapsed());
    is_logged(&home, "not_stored", "the secret-service does not answer");
    bus.signal_keyring("CONT");

    // It would answer now, so an entry shows that it was asked.
    run().output().document();
    is_logged(&home, "not_stored", "the secret-service did not answer less than a minute ago");
    assert_eq!(bus.items(&person).0.len(), 0);
    let first = later(run()).output().key();
    assert_eq!(bus.items(&person).0.len(), 1);
    assert_eq!(later(run()).output().key(), first);
}

#[test]
fn a_mute_secret_service_leaves_that_of_another_bus_alone() {
    let home = Home::new();
    let person = Person::new(&home);
    let (mute, other) = (Bus::with_keyring(&person), Bus::with_keyring(&person));
    let run = |bus: &Bus| bus.of(person.get()).env("KEYROLE_STORE", "secret-service").output().key();
    mute.signal_keyring("STOP");
    run(&mute);
    let first = run(&other);
    assert_eq!(run(&other), first);
}

#[test]
fn a_bus_that_accepts_and_never_answers_holds_nobody_up() {
    let home = Home::new();
    let person = Person::new(&home);
    let socket = home.path().join("bus");
    // The kernel accepts connections for a listener that never does.
    let _listener = UnixListener::bind(&socket).unwrap();
    chown(&socket, Some(person.uid), None).unwrap();
    let address = format!("unix:path={}", socket.display());
    let start = Instant::now();
    person.get().env("DBUS_SESSION_BUS_ADDRESS", &address).env("KEYROLE_STORE", "secret-service").output().document();
    assert!(start.elapsed() < NOT_FOR_EVER, "{:?}", start.elapsed());
    is_logged(&home, "not_stored", "the secret-service does not answer");
    // With the kernel keyring nobody asks the bus, neither on a miss nor on a hit.
    home.write_config(&format!("[profile base]\n{}", home.role("prod", READER, "")));
    let trace = home.path().join("trace");
    for _ in 0..2 {
        let run = person.get().env("DBUS_SESSION_BUS_ADDRESS", &address);
        let strace = ["strace", "-f", "-qq", "-e", "trace=connect", "-o", trace.to_str().unwrap()];
        run.under(strace).output().document();
        let trace = fs::read_to_string(&trace).unwrap();
        assert!(!trace.contains(socket.to_str().unwrap()), "{trace}");
    }
}

#[test]
fn a_locked_keyring_holds_nobody_up_and_get_asks_nobody_to_unlock_it() {
    let home = Home::new();
    let person = Person::new(&home);
    let keyrings = tempfile::tempdir().unwrap();
    let run = || person.get().env("KEYROLE_STORE", "secret-service").env("DISPLAY", ":0");
    let bus = Bus::with_keyring_in(&keyrings, &person, "right");
    let first = bus.of(run()).output().key();
    drop(bus);
    let bus = Bus::with_keyring_in(&keyrings, &person, "wrong");
    bus.add_mute_prompter();
    let start = Instant::now();
    assert_ne!(bus.of(run()).output().key(), first);
    assert!(start.elapsed() < NOT_FOR_EVER, "{:?}", start.elapsed());
    is_logged(&home, "not_stored", "the secret-service is locked");
    for which in ["prod", "--all"] {
        let logout = bus.of(person.keyrole(Login::Bare, ["logout", which])).env("KEYROLE_STORE", "secret-service");
        logout.output().fails(1, &["cannot remove a session", "the secret-service is locked"]);
    }
    assert!(!bus.asked().exists(), "somebody was asked");
    drop(bus);
    let bus = Bus::with_keyring_in(&keyrings, &person, "right");
    assert_eq!(bus.of(run()).output().key(), first);
}

#[test]
fn login_lets_a_person_unlock_the_keyring_where_there_is_a_desktop() {
    let home = Home::new();
    let person = Person::new(&home);
    let keyrings = tempfile::tempdir().unwrap();
    drop(Bus::with_keyring_in(&keyrings, &person, "right"));
    let bus = Bus::with_keyring_in(&keyrings, &person, "wrong");
    bus.add_mute_prompter();
    let login = || bus.of(person.keyrole(Login::Bare, ["login", "prod"])).env("KEYROLE_STORE", "secret-service");
    login().output().fails(1, &["no session can be kept here", "no desktop here to ask on"]);
    assert!(!bus.asked().exists());

    let terminal = login().env("DISPLAY", ":0").in_terminal();
    let deadline = Instant::now() + PATIENCE;
    while !bus.asked().exists() {
        assert!(Instant::now() < deadline, "nobody is asked: {}", terminal.shown());
    }
    terminal.send("\x03");
    let (out, _) = terminal.finish_with_screen();
    assert_ne!(out.code, 0, "{out:?}");
    assert_eq!(home.sts.attempts("AssumeRole"), 0);
}

#[test]
fn with_store_none_every_get_asks_aws_and_nothing_is_left() {
    let home = Home::new();
    let person = Person::new(&home);
    let bus = Bus::with_keyring(&person);
    let first = bus.of(person.get()).env("KEYROLE_STORE", "none").output().key();
    home.write_config(&format!("[profile base]\n{}", home.role("prod", ADMIN, "keyrole_store = none")));
    assert_ne!(bus.of(person.get()).output().key(), first);
    assert_eq!((home.sts.attempts("AssumeRole"), person.keys().len(), bus.items(&person).0.len()), (2, 0, 0));
}

#[test]
fn an_entry_that_is_not_the_one_asked_for_is_a_miss_and_is_replaced() {
    let home = Home::new();
    let person = Person::new(&home);
    let mut first = person.get().output().key();
    let key = person.key();
    let whole = person.payload(&key);
    home.add_config(&home.role("reader", READER, ""));
    person.keyrole(Login::Bare, ["get", "reader"]).output().document();
    let other = person.keys().into_iter().find(|found| found.name != key.name).expect("a second entry");
    let mut old = whole.clone();
    old[0] -= 1;
    let bad: [(&str, Vec<u8>); 5] = [
        ("torn", whole[..whole.len() / 2].to_vec()),
        ("foreign", person.payload(&other)),
        ("old", old),
        ("random", (0..1000_u64).map(|n| RandomState::new().hash_one(n) as u8).collect()),
        ("too long", vec![1; 9000]),
    ];
    for (what, bytes) in bad {
        let now = person.succeeds(["keyctl", "padd", "user", &key.name, "@u"], &bytes);
        assert!(key.is(&now), "{what}: another key beside the old one");
        let status = person.keyrole(Login::Bare, ["status", "prod"]).output();
        assert_eq!(status.code, 3, "{what}: {status:?}");
        let miss = person.get().output().key();
        assert_ne!(miss, first, "{what}");
        assert_eq!(person.get().output().key(), miss, "{what}");
        let now = person.keys().into_iter().find(|found| found.name == key.name).expect("the entry");
        assert_ne!(now.timeout, "perm", "{what}");
        first = miss;
    }
}

#[test]
fn logout_removes_the_role_session_and_the_mfa_session_on_the_way() {
    let home = Home::with_mfa();
    home.add_config(&home.role("reader", READER, ""));
    let person = Person::new(&home);
    person.keyrole(Login::Bare, ["get", "prod", "--mfa-code", &home.code()]).output().document();
    person.keyrole(Login::Bare, ["get", "reader"]).output().document();
    assert_eq!(person.keys().len(), 3);
    for login in [Login::SessionKeyring, Login::Bare] {
        let out = person.keyrole(login, ["logout", "prod"]).output();
        assert_eq!((out.code, out.stdout.as_str()), (0, ""), "{out:?}");
        assert_eq!(person.keys().len(), 1, "{login:?}");
    }
    person.get().output().fails(4, &["needs an MFA code"]);
    person.keyrole(Login::Bare, ["get", "reader"]).output().document();
}

#[test]
fn logout_all_removes_what_edited_profiles_have_left_behind() {
    let home = Home::new();
    let person = Person::new(&home);
    let stranger = Person::stranger(&home);
    stranger.get().env("XDG_STATE_HOME", "/nonexistent").output().document();
    for duration in ["900", "1800", "3600"] {
        home.write_config(&format!(
            "[profile base]\n{}",
            home.role("prod", ADMIN, &format!("duration_seconds = {duration}"))
        ));
        person.get().output().document();
    }
    person.succeeds(["keyctl", "padd", "user", "somebody else's", "@u"], b"kept");
    assert_eq!(person.keys().len(), 3);
    home.write_config("");
    let out = without_bus(person.keyrole(Login::SessionKeyring, ["logout", "--all"])).output();
    assert!(out.code == 0 && out.stderr.contains("3 cached sessions removed"), "{out:?}");
    assert_eq!((person.keys().len(), stranger.keys().len()), (0, 1));
    let keys = String::from_utf8(person.succeeds(["cat", "/proc/keys"], b"")).unwrap();
    assert!(keys.contains("somebody else's"), "{keys}");
}

#[test]
fn status_exits_3_with_nothing_cached_and_shows_what_is_as_a_table_or_as_json() {
    let home = Home::with_mfa();
    let person = Person::new(&home);
    let nothing = person.keyrole(Login::Bare, ["status"]).output();
    nothing.fails(3, &["no valid session is cached", "keyrole login"]);
    let nothing = person.keyrole(Login::Bare, ["status", "--json"]).output();
    assert_eq!((nothing.code, nothing.stdout.as_str()), (3, "[]\n"), "{nothing:?}");

    let key = person.keyrole(Login::Bare, ["get", "prod", "--mfa-code", &home.code()]).output().key();
    let json = person.keyrole(Login::SessionKeyring, ["status", "--json"]).output();
    assert_eq!((json.code, json.stderr.as_str()), (0, ""), "{json:?}");
    let rows: Value = serde_json::from_str(&json.stdout).unwrap();
    let row = rows.as_array().unwrap().iter().find(|row| row["profile"] == "prod").expect("a row for `prod`");
    for (field, value) in [
        ("account_id", "444455556666"),
        ("role_arn", ADMIN),
        ("access_key_id", &key),
        ("mfa_serial", &home.serial),
        ("store", "keyutils"),
    ] {
        assert_eq!(row[field], value, "{row}");
    }
    for (field, most) in [("seconds_left", 3600), ("mfa_seconds_left", 43_200)] {
        let seconds = row[field].as_i64().unwrap();
        assert!((most - 600..=most).contains(&seconds), "{row}");
    }
    for field in ["expiration", "mfa_expiration"] {
        assert!(row[field].as_str().unwrap().ends_with('Z'), "{row}");
    }

    let table = person.keyrole(Login::Bare, ["status", "prod"]).output();
    assert_eq!((table.code, table.stderr.as_str()), (0, ""), "{table:?}");
    let lines: Vec<Vec<&str>> =
        table.stdout.lines().map(|line| line.split("  ").filter(|cell| !cell.is_empty()).collect()).collect();
    assert_eq!(
        lines[0].iter().map(|cell| cell.trim()).collect::<Vec<_>>(),
        ["PROFILE", "ACCOUNT", "ROLE", "SESSION", "MFA SESSION", "STORE", "LAST EVENT"]
    );
    assert_eq!((lines[1][0], lines[1][1].trim(), lines[1][2].trim()), ("prod", "444455556666", "Admin"));
    assert_eq!(lines.len(), 2);
}

#[test]
fn no_secret_is_in_any_file_any_key_name_or_on_stderr() {
    let home = Home::with_mfa();
    let person = Person::new(&home);
    let keyrings = tempfile::tempdir().unwrap();
    let bus = Bus::with_keyring_in(&keyrings, &person, "password");
    let mut found = Vec::new();
    for store in ["auto", "secret-service", "none"] {
        let run = bus.of(person.keyrole(Login::Bare, ["get", "prod", "--mfa-code", &home.code()]));
        found.extend(secrets(&run.env("KEYROLE_STORE", store).output().document()));
    }
    home.sts.expire_sessions();
    home.sts.set_fault(Some(crate::support::sts::Fault::AccessDenied));
    let failed = bus.of(person.keyrole(Login::Bare, ["get", "prod", "--refresh", "--no-prompt"])).output();
    failed.fails(5, &["AccessDenied"]);
    let out = bus.of(person.keyrole(Login::Bare, ["logout", "--all"])).output();
    let keys = String::from_utf8(person.succeeds(["cat", "/proc/keys"], b"")).unwrap();
    // The tokens of the MFA sessions are never printed; the kernel keyring knew them.
    for secret in &found {
        for text in [&failed.stderr, &out.stderr, &keys] {
            assert!(!text.contains(secret.as_str()), "a secret in {text}");
        }
    }
    assert_eq!(found.len(), 6);
    nowhere_in(home.path(), &found);
    nowhere_in(keyrings.path(), &found);
    let log = fs::read_to_string(home.state_dir().join("keyrole.log")).unwrap();
    assert!(log.contains("issued") && log.contains("failed"), "{log}");
    assert!(!log.contains("wJalrXUtnFEMI"), "{log}");
    for (path, mode) in [("", 0o700), ("keyrole.log", 0o600), ("locks", 0o700)] {
        let metadata = fs::metadata(home.state_dir().join(path)).unwrap();
        assert_eq!(metadata.mode() & 0o777, mode, "{path}");
    }
}
