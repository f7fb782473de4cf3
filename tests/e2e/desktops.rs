//! The Secret Service is what each desktop makes of it: KWallet and KeePassXC, the real ones, without a screen.
//! gnome-keyring is in `store`.

use crate::support::{Home, PATIENCE, Run};
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

/// A message bus on which nobody is started by being asked for.
const BUS: &str = "<busconfig><type>session</type><listen>unix:tmpdir=/tmp</listen><policy context=\"default\">\
    <allow send_destination=\"*\"/><allow receive_sender=\"*\"/><allow own=\"*\"/></policy></busconfig>";

const SECRETS: &str = "org.freedesktop.secrets";

/// A home with a message bus and a program that keeps passwords.
struct Desktop {
    home: Home,
    address: String,
    /// The bus, and what runs on it.
    programs: Vec<Child>,
}

impl Desktop {
    fn new() -> Self {
        let home = Home::new();
        for dir in ["runtime", ".config/keepassxc"] {
            fs::create_dir_all(home.path().join(dir)).expect("a directory");
        }
        fs::set_permissions(home.path().join("runtime"), Permissions::from_mode(0o700)).expect("chmod");
        fs::write(home.path().join("bus.conf"), BUS).expect("a file");
        let mut desktop = Self { home, address: String::new(), programs: Vec::new() };
        let mut bus = desktop.command("dbus-daemon", ["--nofork", "--print-address", "--config-file=bus.conf"]);
        let mut bus = bus.stdout(Stdio::piped()).spawn().expect("dbus-daemon runs");
        BufReader::new(bus.stdout.take().expect("a pipe")).read_line(&mut desktop.address).expect("UTF-8");
        desktop.address.truncate(desktop.address.trim_end().len());
        desktop.programs.push(bus);
        desktop
    }

    fn command<const N: usize>(&self, program: &str, arguments: [&str; N]) -> Command {
        let mut command = Command::new(program);
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.args(arguments).current_dir(self.home.path()).env_clear().env("PATH", path);
        command.env("HOME", self.home.path()).env("TMPDIR", self.home.path()).env("QT_QPA_PLATFORM", "offscreen");
        command.env("XDG_RUNTIME_DIR", self.home.path().join("runtime"));
        command.env("DBUS_SESSION_BUS_ADDRESS", &self.address);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Starts a program with this on its stdin.
    fn start<const N: usize>(&self, program: &str, arguments: [&str; N], input: &str) -> Child {
        let mut command = self.command(program, arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program runs");
        child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
        child
    }

    #[track_caller]
    fn run<const N: usize>(&self, program: &str, arguments: [&str; N], input: &str) -> String {
        let Output { status, stdout, .. } = self.start(program, arguments, input).wait_with_output().expect("its end");
        assert!(status.success(), "{program} {arguments:?}: {status}");
        String::from_utf8(stdout).expect("UTF-8")
    }

    /// Asks somebody on the bus; nobody answers with nothing.
    fn ask<const N: usize>(&self, whom: &str, words: [&str; N]) -> String {
        let mut ask = self.command("dbus-send", ["--session", "--print-reply=literal"]);
        let output = ask.arg(format!("--dest={whom}")).args(words).stdout(Stdio::piped()).output();
        String::from_utf8(output.expect("dbus-send runs").stdout).expect("UTF-8").trim().to_owned()
    }

    /// Waits until the service has a default keyring, and gives its path.
    #[track_caller]
    fn await_keyring(&self) -> String {
        let words = ["/org/freedesktop/secrets", "org.freedesktop.Secret.Service.ReadAlias", "string:default"];
        let find = || self.ask(SECRETS, words);
        self.until("a default keyring", || find().contains("/collection/"));
        find()
    }

    #[track_caller]
    fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < deadline, "there is never {what}");
        }
    }

    fn keyrole<const N: usize>(&self, arguments: [&str; N]) -> Run {
        let run = self.home.keyrole(arguments).env("DBUS_SESSION_BUS_ADDRESS", &self.address);
        run.env("KEYROLE_STORE", "secret-service")
    }

    #[track_caller]
    fn is_not_kept_because(&self, why: &str) {
        self.keyrole(["get", "prod"]).output().document();
        let log = self.home.log();
        let last = log.last().expect("a line");
        assert_eq!(last["event"], "not_stored");
        assert!(last["error"].as_str().expect("text").contains(why), "{last}");
    }

    /// Goes through the life of a session.
    #[track_caller]
    fn keeps_replaces_and_removes(&self) {
        let get = || self.keyrole(["get", "prod"]).output().key();
        let is_found = |key: &str| assert_eq!(get(), key, "{:?}", self.home.log());
        let first = get();
        is_found(&first);
        let next = self.keyrole(["get", "prod", "--refresh"]).output().key();
        assert_ne!(next, first);
        is_found(&next);
        let status = self.keyrole(["status", "prod"]).output();
        assert!(status.code == 0 && status.stdout.contains("secret-service"), "{status:?}");
        assert_eq!(self.keyrole(["logout", "prod"]).output().code, 0);
        assert_eq!(self.keyrole(["status", "prod"]).output().code, 3);
    }

    /// Starts KWallet's daemon as the login screen does it, which hands on the key of the wallet: a digest of the
    /// login's password on a pipe, then the environment on a socket. Opens the wallet, or makes one.
    fn start_kwallet(&mut self) {
        let socket = self.home.path().join("runtime/kwallet");
        // It is there if another daemon was started before.
        let _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).expect("a socket");
        // It takes 0 and 1 for no numbers of descriptors.
        let script = "exec kwalletd5 --pam-login 3 4 3<&0 4>&1 </dev/null >/dev/null";
        let mut daemon = self.command("sh", ["-c", script]);
        daemon.env("PAM_KWALLET5_LOGIN", &socket).stdin(Stdio::piped()).stdout(OwnedFd::from(listener));
        let mut child = daemon.spawn().expect("kwalletd5 runs");
        let mut key = child.stdin.take().expect("a pipe");
        self.programs.push(child);
        key.write_all(&[b'k'; 56]).expect("it reads its key");
        drop(key);
        let text = |(name, value): (&std::ffi::OsStr, Option<&std::ffi::OsStr>)| {
            format!("{}={}\n", name.display(), value.unwrap_or_default().display())
        };
        let environment: String = daemon.get_envs().map(text).collect();
        let mut stream = UnixStream::connect(&socket).expect("it listens");
        stream.write_all(environment.as_bytes()).expect("it reads its environment");
        drop(stream);
        let words = ["/modules/kwalletd5", "org.kde.KWallet.isOpen", "string:kdewallet"];
        self.until("an open wallet", || self.ask("org.kde.kwalletd5", words).contains("true"));
    }

    /// Makes a database of which KeePassXC shows everything to other programs, and gives it to a KeePassXC that asks
    /// nobody.
    fn start_keepassxc(&mut self) {
        let config = "[General]\nConfigVersion=2\nUpdateCheckMessageShown=true\n[GUI]\nCheckForUpdates=false\n\
            [FdoSecrets]\nEnabled=true\nConfirmAccessItem=false\nConfirmDeleteItem=false\nShowNotification=false\n";
        fs::write(self.home.path().join(".config/keepassxc/keepassxc.ini"), config).expect("a file");
        self.run("keepassxc-cli", ["db-create", "-t", "100", "-p", "empty.kdbx"], "pw\npw\n");
        let xml = self.run("keepassxc-cli", ["export", "-f", "xml", "empty.kdbx"], "pw\n");
        let xml = &xml[xml.find("<?xml").expect("XML")..];
        let uuid = xml.split("<UUID>").nth(1).and_then(|rest| rest.split('<').next()).expect("a root group");
        let script = "import base64, sys, uuid; print(uuid.UUID(bytes=base64.b64decode(sys.argv[1])))";
        let group = self.run("python3", ["-c", script, uuid], "");
        let exposed = format!(
            "<CustomData><Item><Key>FDO_SECRETS_EXPOSED_GROUP</Key><Value>{{{}}}</Value></Item></CustomData></Meta>",
            group.trim()
        );
        fs::write(self.home.path().join("shown.xml"), xml.replace("</Meta>", &exposed)).expect("a file");
        self.run("keepassxc-cli", ["import", "-p", "shown.xml", "shown.kdbx"], "pw\npw\n");
        let keepassxc = self.start("keepassxc", ["--pw-stdin", "shown.kdbx"], "pw\n");
        self.programs.push(keepassxc);
        let keyring = self.await_keyring();
        let get = "org.freedesktop.DBus.Properties.Get";
        let words = [&keyring, get, "string:org.freedesktop.Secret.Collection", "string:Locked"];
        self.until("an open database", || self.ask(SECRETS, words).contains("false"));
    }
}

impl Drop for Desktop {
    fn drop(&mut self) {
        for program in self.programs.iter_mut().rev() {
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}

#[test]
fn kwallet_keeps_sessions_once_login_has_opened_it() {
    let mut desktop = Desktop::new();
    let config = "[Wallet]\nEnabled=true\nFirst Use=false\nUse One Wallet=true\nDefault Wallet=kdewallet\n\
        Prompt on Open=false\n[org.freedesktop.secrets]\napiEnabled=true\n";
    fs::write(desktop.home.path().join(".config/kwalletrc"), config).expect("a file");
    desktop.start_kwallet();
    // It shows only the wallets that were there when it started.
    let mut maker = desktop.programs.pop().expect("it was started");
    desktop.run("kill", [&maker.id().to_string()], "");
    maker.wait().expect("its end");
    desktop.start_kwallet();
    desktop.await_keyring();

    desktop.is_not_kept_because("the secret-service is locked");
    let login = desktop.keyrole(["login", "prod"]).env("DISPLAY", ":0").output();
    assert!(login.code == 0 && login.stderr.contains("prod: ready"), "{login:?}");
    desktop.keeps_replaces_and_removes();
}

#[test]
fn keepassxc_keeps_sessions() {
    let mut desktop = Desktop::new();
    desktop.start_keepassxc();
    desktop.keeps_replaces_and_removes();
}
