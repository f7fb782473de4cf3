//! A network of its own with an `/etc/hosts` of its own, where the real host names of AWS lead to a stand-in.

use super::Run;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::thread;

/// A network namespace and a mount namespace, which are there for as long as their first process.
pub struct Namespace {
    holder: Child,
    _dir: tempfile::TempDir,
}

impl Namespace {
    /// Makes one whose only addresses are those of loopback. `hosts` is its `/etc/hosts`. Where that is not permitted there
    /// is none, and a line that says so.
    pub fn new(hosts: &str) -> Option<Self> {
        Self::with(hosts, "")
    }

    /// The same, after a further shell line.
    pub fn with(hosts: &str, line: &str) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("hosts");
        std::fs::write(&path, hosts).expect("its hosts");
        let script = format!(
            "ip link set lo up && mount --bind '{}' /etc/hosts && {{ {line} :; }} && echo ready && exec cat",
            path.display()
        );
        let mut holder = Command::new("unshare")
            .args(["-nm", "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("unshare runs");
        let mut answer = String::new();
        BufReader::new(holder.stdout.take().expect("a pipe")).read_line(&mut answer).expect("UTF-8");
        if answer == "ready\n" {
            return Some(Self { holder, _dir: dir });
        }
        let output = holder.wait_with_output().expect("it ends");
        let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        // What goes through the macros is kept back from whoever runs the tests.
        let name = thread::current().name().unwrap_or_default().to_owned();
        let _ = writeln!(std::io::stderr(), "{name}: not tested, as there can be no namespace here: {why}");
        None
    }

    /// Listens there.
    pub fn listen(&self, address: &str) -> TcpListener {
        let namespace = File::open(format!("/proc/{}/ns/net", self.holder.id())).expect("the namespace");
        let address = address.to_owned();
        // Only the thread that makes the socket has to be there.
        let listen = thread::spawn(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).expect("the namespace");
            TcpListener::bind(&address).expect("a free port")
        });
        listen.join().expect("a listener")
    }

    /// Runs a program there.
    pub fn run(&self, run: Run) -> Run {
        let pid = self.holder.id().to_string();
        run.under(["nsenter", "-t", &pid, "-n", "-m", "--"])
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // It ends when it has nothing more to copy.
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}
