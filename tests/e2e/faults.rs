//! Whatever breaks in the middle, the next call works, and no call to AWS is made that need not be.

use crate::clients::venv;
use crate::support::sts::Fault;
use crate::support::{Home, KEYROLE, Output, PATIENCE, Run};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// More than one call may take with its attempts and pauses.
const BOUND: Duration = Duration::from_secs(30);
/// An hour's session, seen so much later, is expiring, or stale.
const EXPIRING: i64 = 2_400;
const STALE: i64 = 2_800;

/// Runs `get prod` under strace with one fault injected; what was traced is in the file `trace`.
fn injected(home: &Home, what: &str) -> Run {
    let inject = format!("inject={what}");
    home.keyrole(["get", "prod"]).under(["strace", "-f", "-qq", "-o", "trace", "-e", &inject])
}

fn trace(home: &Home) -> String {
    std::fs::read_to_string(home.path().join("trace")).unwrap()
}

/// Checks that `get` works as if nothing had happened, gives a hit from then on, and that what it cached can be removed.
#[track_caller]
fn works(home: &Home) {
    let key = home.keyrole(["get", "prod"]).output().key();
    assert_eq!(home.keyrole(["get", "prod"]).output().key(), key, "the second call is a hit");
    assert_eq!(home.keyrole(["logout", "prod"]).output().code, 0);
}

#[test]
fn kill_9_between_the_answer_of_sts_and_the_store_costs_one_call() {
    let home = Home::new();
    let output = injected(&home, "add_key:signal=SIGKILL").on_terminal().finish();
    assert_eq!((output.code, output.stdout.as_str(), home.sts.count("AssumeRole")), (137, "", 1), "{output:?}");
    works(&home);
    assert_eq!(home.sts.count("AssumeRole"), 2);
}

#[test]
fn kill_9_between_the_store_and_the_print_costs_nothing() {
    let home = Home::new();
    let answer = home.path().join("answer");
    let strace = "exec strace -f -qq -o trace -P \"$HOME/answer\" -e inject=write:signal=SIGKILL";
    let line = format!("{strace} {KEYROLE} get prod >answer");
    assert_eq!(home.run("sh", ["-c", &line]).on_terminal().finish().code, 137);
    assert_eq!((std::fs::read_to_string(answer).unwrap().as_str(), home.sts.count("AssumeRole")), ("", 1));
    works(&home);
    assert_eq!(home.sts.count("AssumeRole"), 1, "what was stored and not printed is a hit");
}

#[test]
fn kill_9_between_a_code_and_what_it_gave_asks_for_the_next_code_and_no_more() {
    for (call, sessions_lost) in [(1, 1), (2, 0)] {
        let home = Home::with_mfa();
        let inject = format!("inject=add_key:signal=SIGKILL:when={call}");
        let run = home.keyrole(["get", "prod", "--mfa-code", &home.code()]);
        let output = run.under(["strace", "-f", "-qq", "-o", "trace", "-e", &inject]).on_terminal().finish();
        assert_eq!((output.code, output.stdout.as_str()), (137, ""), "{output:?}");
        let terminal = home.keyrole(["get", "prod"]).on_terminal();
        if sessions_lost > 0 {
            terminal.expect("MFA code for ");
            terminal.send(&format!("{}\n", home.code()));
        }
        let (output, shown) = terminal.finish_with_screen();
        output.document();
        assert_eq!(shown.matches("MFA code for ").count(), sessions_lost, "{shown}");
        assert_eq!(home.sts.attempts("GetSessionToken"), 1 + sessions_lost);
        works(&home);
    }
}

#[test]
fn of_many_who_wait_for_a_caller_that_is_killed_one_calls_again() {
    let home = Home::new();
    home.sts.hold();
    let holder = home.keyrole(["get", "prod"]).on_terminal();
    assert!(home.sts.wait_for("AssumeRole", 1, PATIENCE));
    let waiters: Vec<_> = (0..20).map(|_| home.keyrole(["get", "prod"]).spawn()).collect();
    holder.signal("KILL");
    assert!(home.sts.wait_for("AssumeRole", 2, PATIENCE));
    home.sts.release();
    let keys: BTreeSet<String> = waiters.into_iter().map(|waiter| Output::of(waiter).key()).collect();
    assert_eq!((keys.len(), home.sts.attempts("AssumeRole")), (1, 2));
    works(&home);
}

#[test]
fn a_waiter_at_the_limit_of_processes_waits_without_a_thread() {
    let home = Home::new();
    home.sts.hold();
    let first = home.keyrole(["get", "prod"]).spawn();
    assert!(home.sts.wait_for("AssumeRole", 1, PATIENCE));
    let waiter = injected(&home, "clone,clone3:error=EAGAIN").on_terminal();
    let deadline = Instant::now() + PATIENCE;
    // It looks again and again, as nothing can wake it.
    while std::fs::read_to_string(home.path().join("trace")).unwrap_or_default().matches("flock(").count() < 3 {
        assert!(Instant::now() < deadline, "it does not look again: {}", trace(&home));
        thread::yield_now();
    }
    assert!(trace(&home).contains("(INJECTED)"));
    home.sts.release();
    assert_eq!((waiter.finish().key(), home.sts.attempts("AssumeRole")), (Output::of(first).key(), 1));
}

#[test]
fn the_connection_is_made_while_somebody_types_the_code_and_both_calls_go_over_it() {
    let home = Home::with_mfa();
    let config = home.default_config(&format!("mfa_serial = {}\n", home.serial));
    let proxy = Proxy::before(&home, &[Weather::Fine]);
    home.write_config(&config.replace(&home.sts.url(), &proxy.url));
    let terminal = home.keyrole(["get", "prod"]).on_terminal();
    terminal.expect("MFA code for ");
    let deadline = Instant::now() + PATIENCE;
    // The thread that connects ends when it has the answer.
    let threads = || std::fs::read_dir(format!("/proc/{}/task", terminal.pid())).unwrap().count();
    while proxy.connections.load(Ordering::SeqCst) == 0 || threads() > 1 {
        assert!(Instant::now() < deadline, "nobody connects while the prompt is open");
        thread::yield_now();
    }
    terminal.send(&format!("{}\n", home.code()));
    terminal.finish().document();
    assert_eq!((home.sts.attempts("GetSessionToken"), home.sts.attempts("AssumeRole")), (1, 1));
    assert_eq!(proxy.connections.load(Ordering::SeqCst), 1);
}

#[test]
fn kill_9_at_every_step_leaves_nothing_broken() {
    for call in ["openat", "flock", "write", "socket", "connect", "sendto,writev", "recvfrom,readv", "keyctl"] {
        let home = Home::new();
        for n in 1.. {
            home.sts.forget_calls();
            let output = injected(&home, &format!("{call}:signal=SIGKILL:when={n}")).on_terminal().finish();
            if output.code == 0 {
                assert!(n > 1 || call.contains(','), "{call} is never called");
                break;
            }
            assert_eq!((output.code, output.stdout.as_str()), (137, ""), "{call} {n}: {output:?}");
            works(&home);
            assert!(home.sts.attempts("AssumeRole") <= 2, "{call} {n}");
        }
    }
}

#[test]
fn an_error_of_the_keyring_at_any_step_is_no_reason_to_fail() {
    for error in ["EDQUOT", "EACCES", "EKEYREVOKED", "ENOMEM"] {
        let home = Home::new();
        let every = [format!("add_key:error={error}"), format!("keyctl:error={error}")];
        let each = (1..).map(|n| format!("keyctl:error={error}:when={n}"));
        for what in every.into_iter().chain(each) {
            home.sts.forget_calls();
            let output = injected(&home, &what).output();
            output.document();
            if !trace(&home).contains("(INJECTED)") {
                break;
            }
            assert_eq!(home.sts.attempts("AssumeRole"), 1, "{what}");
            works(&home);
            assert!(home.sts.attempts("AssumeRole") <= 2, "{what}");
        }
        // The same at each step of a hit.
        home.keyrole(["get", "prod"]).output().document();
        for n in 1.. {
            injected(&home, &format!("keyctl:error={error}:when={n}")).output().document();
            if !trace(&home).contains("(INJECTED)") {
                break;
            }
        }
        works(&home);
    }
}

#[test]
fn a_waiter_whose_lock_fails_goes_on_without_one() {
    let home = Home::new();
    home.sts.hold();
    let holder = home.keyrole(["get", "prod"]).spawn();
    assert!(home.sts.wait_for("AssumeRole", 1, PATIENCE));
    let waiter = injected(&home, "flock:error=ENOLCK:when=2+").spawn();
    assert!(home.sts.wait_for("AssumeRole", 2, PATIENCE), "the waiter calls by itself");
    home.sts.release();
    Output::of(holder).document();
    Output::of(waiter).document();
    works(&home);
}

#[test]
fn a_holder_that_is_stopped_while_it_talks_to_aws_is_named_and_finishes_when_it_goes_on() {
    let home = Home::new();
    home.sts.hold();
    let holder = home.keyrole(["get", "prod"]).on_terminal();
    assert!(home.sts.wait_for("AssumeRole", 1, PATIENCE));
    holder.signal("STOP");
    home.sts.release();
    let pid = holder.pid().to_string();
    let waiter = home.keyrole(["get", "prod"]).env("KEYROLE_CALL_TIMEOUT", "2").output();
    waiter.fails(4, &["did not wait any longer for keyrole (pid ", &pid, "talking to AWS since"]);
    holder.signal("CONT");
    let key = holder.finish().key();
    assert_eq!(home.keyrole(["get", "prod"]).output().key(), key);
    assert_eq!(home.sts.attempts("AssumeRole"), 1);
}

#[test]
fn a_reader_that_has_gone_stops_neither_a_call_nor_a_prompt() {
    let line = format!("{KEYROLE} get prod | true; exit ${{PIPESTATUS[0]}}");
    let home = Home::new();
    home.sts.hold();
    let caller = home.run("bash", ["-c", &line]).spawn();
    assert!(home.sts.wait_for("AssumeRole", 1, PATIENCE));
    await_no_child_named("true", caller.id());
    home.sts.release();
    let output = Output::of(caller);
    assert_eq!((output.code, output.stderr.as_str(), output.stdout.as_str()), (0, "", ""), "{output:?}");
    home.keyrole(["get", "prod"]).output().document();
    assert_eq!(home.sts.attempts("AssumeRole"), 1);

    let home = Home::with_mfa();
    let terminal = home.run("bash", ["-c", &line]).on_terminal();
    terminal.expect("MFA code for ");
    await_no_child_named("true", terminal.pid());
    terminal.send(&format!("{}\n", home.code()));
    terminal.expect("keyrole: the program did not wait for the code; the session is kept");
    terminal.expect("`keyrole login prod` first");
    let output = terminal.finish();
    assert_eq!((output.code, output.stderr.as_str(), output.stdout.as_str()), (0, "", ""), "{output:?}");
    home.keyrole(["get", "prod"]).output().document();
    assert_eq!((home.sts.attempts("GetSessionToken"), home.sts.attempts("AssumeRole")), (1, 1));
}

/// Waits until no process of this name has this process, or its child, as its parent.
fn await_no_child_named(name: &str, parent: u32) {
    let deadline = Instant::now() + PATIENCE;
    let children = |of: u32| {
        let list = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
        list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>()
    };
    let is_named = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // Before it becomes `true` it is another bash.
        !stat.contains(") Z ") && (stat.contains(&format!("({name})")) || stat.contains("(bash)"))
    };
    loop {
        let first = children(parent);
        let all: Vec<u32> = first.iter().flat_map(|&pid| children(pid)).collect();
        let below = if all.is_empty() { &first } else { &all };
        if !below.iter().any(is_named) {
            return;
        }
        assert!(Instant::now() < deadline, "{name} does not end");
        thread::sleep(Duration::from_millis(5));
    }
}

/// How a network treats a connection.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Weather {
    Fine,
    /// Everything takes so long, each way.
    Slow(Duration),
    /// The connection is reset at once.
    Reset,
    /// The connection is taken and nothing ever comes back.
    BlackHole,
    /// The answer comes a byte at a time.
    Trickle,
    /// The answer ends after so many bytes.
    Cut(usize),
}

/// A TCP proxy before an STS, under any weather.
struct Proxy {
    url: String,
    /// The weather of the next connections, the last one for ever.
    weather: Arc<Mutex<Vec<Weather>>>,
    /// How many connections there have been.
    connections: Arc<AtomicUsize>,
}

impl Proxy {
    /// Puts a proxy between this home and its STS.
    fn before(home: &Home, weather: &[Weather]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let port = home.sts.port();
        let weather = Arc::new(Mutex::new(weather.to_vec()));
        let forecast = Arc::clone(&weather);
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::SeqCst);
                let mut forecast = forecast.lock().unwrap();
                let now = if forecast.len() > 1 { forecast.remove(0) } else { forecast[0] };
                thread::spawn(move || serve(client, port, now));
            }
        });
        home.write_config(&home.default_config("").replace(&home.sts.url(), &url));
        Self { url, weather, connections }
    }

    fn change(&self, weather: Weather) {
        *self.weather.lock().unwrap() = vec![weather];
    }
}

fn serve(client: TcpStream, port: u16, weather: Weather) {
    match weather {
        Weather::Reset => {
            // Closing with something unread resets the connection.
            let _ = client.peek(&mut [0]);
        }
        Weather::BlackHole => {
            let _ = std::io::copy(&mut &client, &mut std::io::sink());
        }
        _ => {
            let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { return };
            let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || pass(&from, &to, if weather == Weather::Trickle { Weather::Fine } else { weather }));
            pass(&server, &client, weather);
        }
    }
}

/// Passes on what comes one way. A peer that has gone ends it.
fn pass(mut from: &TcpStream, mut to: &TcpStream, weather: Weather) {
    let mut buffer = [0; 4096];
    let mut passed = 0;
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let mut bytes = &buffer[..length];
        match weather {
            Weather::Slow(delay) => thread::sleep(delay),
            Weather::Cut(at) => bytes = &bytes[..length.min(at.saturating_sub(passed))],
            _ => {}
        }
        let piece = if weather == Weather::Trickle { 1 } else { 4096 };
        for piece in bytes.chunks(piece) {
            if to.write_all(piece).is_err() {
                return;
            }
            if weather == Weather::Trickle {
                thread::sleep(Duration::from_millis(100));
            }
        }
        passed += length;
        if matches!(weather, Weather::Cut(at) if passed >= at) {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

#[test]
fn a_slow_network_and_one_that_drops_connections_are_survived() {
    const SLOW: Weather = Weather::Slow(Duration::from_millis(700));
    for weather in [&[SLOW][..], &[Weather::Reset, Weather::Reset, Weather::Fine]] {
        let home = Home::new();
        let _proxy = Proxy::before(&home, weather);
        home.keyrole(["get", "prod"]).output().document();
        assert_eq!(home.sts.attempts("AssumeRole"), 1, "{weather:?}");
        works(&home);
    }
}

#[test]
fn a_network_that_stays_bad_ends_in_time_with_exit_1_and_the_next_call_works() {
    // All at once, as each takes as long as a call may take.
    let weathers = [Weather::Reset, Weather::BlackHole, Weather::Trickle];
    let homes = weathers.map(|_| Home::new());
    let proxies: Vec<Proxy> =
        homes.iter().zip(weathers).map(|(home, weather)| Proxy::before(home, &[weather])).collect();
    let start = Instant::now();
    let runs: Vec<_> = homes.iter().map(|home| home.keyrole(["get", "prod"]).spawn()).collect();
    for (run, (weather, proxy)) in runs.into_iter().zip(weathers.iter().zip(&proxies)) {
        let output = Output::of(run);
        assert!(start.elapsed() < BOUND, "{weather:?}: {:?}", start.elapsed());
        output.fails(1, &["cannot reach STS at `", &proxy.url, "hint: "]);
        proxy.change(Weather::Fine);
    }
    homes.iter().for_each(works);
}

#[test]
fn an_answer_that_is_cut_off_anywhere_is_asked_for_again() {
    for at in [1, 20, 150, 400, 1_000] {
        let home = Home::new();
        let _proxy = Proxy::before(&home, &[Weather::Cut(at), Weather::Fine]);
        home.keyrole(["get", "prod"]).output().document();
        works(&home);
    }
}

/// Runs keyrole as it will be in so many seconds, or was, at an STS whose clock goes with it.
fn at(home: &Home, seconds: i64, arguments: &[&str]) -> Run {
    home.sts.set_clock_offset(seconds);
    home.keyrole(arguments).under(["faketime", "-f", &format!("{seconds:+}s")])
}

#[test]
fn a_black_hole_serves_what_is_valid() {
    let home = Home::new();
    let proxy = Proxy::before(&home, &[Weather::Fine]);
    let first = home.keyrole(["get", "prod"]).output().key();
    proxy.change(Weather::BlackHole);
    let start = Instant::now();
    assert_eq!(at(&home, STALE, &["get", "prod"]).output().key(), first);
    // It is 10 s at worst; a busy machine needs the rest.
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    let start = Instant::now();
    assert_eq!(at(&home, STALE, &["get", "prod"]).output().key(), first);
    assert!(start.elapsed() < Duration::from_secs(5), "it is not tried again at once: {:?}", start.elapsed());
    proxy.change(Weather::Fine);
    assert_ne!(at(&home, STALE + 60, &["get", "prod"]).output().key(), first);
}

#[test]
fn a_name_server_that_says_nothing_serves_what_is_valid() {
    let home = Home::new();
    let silent = UdpSocket::bind("127.0.0.77:53").expect("these tests run as root");
    let (resolv, nsswitch) = (home.path().join("resolv.conf"), home.path().join("nsswitch.conf"));
    std::fs::write(
        &resolv,
        format!("options timeout:10 attempts:2\nnameserver {}\n", silent.local_addr().unwrap().ip()),
    )
    .unwrap();
    std::fs::write(&nsswitch, "hosts: files dns\n").unwrap();
    // The name is known at first, so that there is a session.
    let hosts = home.path().join("hosts");
    std::fs::write(&hosts, "127.0.0.1 sts.test\n").unwrap();
    let mount =
        "for name in resolv.conf nsswitch.conf hosts; do mount --bind $name $(realpath /etc/$name) || exit 99; done";
    home.write_config(&home.default_config("").replace("127.0.0.1", "sts.test"));
    let get = |clock: &str| {
        let line = format!("{mount}; exec faketime -f {clock} {KEYROLE} get prod");
        home.run("unshare", ["-m", "sh", "-c", &line]).output()
    };
    let first = get("+0s").key();
    std::fs::write(&hosts, "").unwrap();
    let start = Instant::now();
    assert_eq!(get(&format!("+{STALE}s")).key(), first);
    // The resolver itself gives up after 20 s; nobody waits for it.
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
}

#[test]
fn a_clock_that_jumps_either_way_leads_to_a_session_that_is_valid_by_it() {
    let home = Home::new();
    let first = home.keyrole(["get", "prod"]).output().key();
    for seconds in [7_200, -7_200, 86_400, 0] {
        let document = at(&home, seconds, &["get", "prod"]).output().document();
        let end = humantime::parse_rfc3339(document["Expiration"].as_str().unwrap()).unwrap();
        let end = end.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs().saturating_add_signed(seconds);
        assert!(end > now + 60, "{seconds}: {document}");
    }
    assert_ne!(home.keyrole(["get", "prod", "--refresh"]).output().key(), first);
    works(&home);
}

#[test]
fn what_was_left_for_others_in_a_future_that_is_over_stops_nobody() {
    let home = Home::new();
    home.sts.set_fault(Some(Fault::AccessDenied));
    at(&home, 3_600, &["get", "prod"]).output().fails(5, &["AccessDenied"]);
    home.sts.set_fault(None);
    at(&home, 0, &["get", "prod"]).output().document();
    // A session from that future is renewed when somebody wants it renewed.
    home.keyrole(["logout", "prod"]).output();
    let key = at(&home, 3_600, &["get", "prod"]).output().key();
    assert_ne!(at(&home, 0, &["get", "prod", "--refresh"]).output().key(), key);

    let home = Home::with_mfa();
    let terminal = at(&home, 3_600, &["get", "prod"]).on_terminal();
    terminal.expect("MFA code for ");
    terminal.send("\x04");
    terminal.finish().fails(4, &["closed"]);
    let terminal = at(&home, 0, &["get", "prod"]).on_terminal();
    terminal.expect("MFA code for ");
    terminal.send(&format!("{}\n", home.code()));
    terminal.finish().document();
}

/// A home with an expiring session, which an SDK would be given at once while its renewal is held at STS.
fn expiring() -> (Home, String, String) {
    let home = Home::new();
    let command = format!("faketime -f +{EXPIRING}s {KEYROLE} get prod");
    home.write_config(&home.default_config("").replace(&format!("{KEYROLE} get prod"), &command));
    let key = home.keyrole(["get", "prod"]).output().key();
    home.sts.set_clock_offset(EXPIRING);
    home.sts.hold();
    (home, command, key)
}

/// Checks that a program got the expiring session, and that it was not kept waiting for the renewal.
#[track_caller]
fn was_served_meanwhile(home: &Home, program: &Run, key: &str) {
    let output = program.output();
    assert_eq!((output.code, output.stderr.as_str(), output.stdout.trim()), (0, "", key), "{output:?}");
    assert!(home.sts.wait_for("AssumeRole", 2, PATIENCE), "nothing is renewed");
    assert_eq!(home.events(), ["issued"], "the renewal is still held");
    home.sts.release();
    home.await_event("refreshed_ahead");
}

#[test]
fn a_python_program_does_not_notice_a_refresh_ahead() {
    let (home, command, key) = expiring();
    let script = format!(
        "import json, subprocess\n\
         child = subprocess.Popen({command:?}.split(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)\n\
         out, err = child.communicate()\nassert (child.returncode, err) == (0, b'')\n\
         print(json.loads(out)['AccessKeyId'])"
    );
    was_served_meanwhile(&home, &home.run("python3", ["-c", &script]), &key);
}

#[test]
fn botocore_does_not_notice_a_refresh_ahead() {
    let (home, _, key) = expiring();
    let script =
        "import boto3; print(boto3.Session(profile_name='prod').get_credentials().get_frozen_credentials().access_key)";
    was_served_meanwhile(&home, &home.run(venv("python"), ["-c", script]), &key);
}

#[test]
fn node_does_not_notice_a_refresh_ahead() {
    let (home, command, key) = expiring();
    let script = format!(
        "require('child_process').exec({command:?}, (error, out, err) => {{\n\
         if (error || err) throw error || err; console.log(JSON.parse(out).AccessKeyId) }})"
    );
    was_served_meanwhile(&home, &home.run("node", ["-e", &script]), &key);
}

#[test]
fn go_does_not_notice_a_refresh_ahead() {
    let (home, command, key) = expiring();
    let program = format!(
        "package main\nimport (\"encoding/json\"; \"fmt\"; \"os/exec\")\nfunc main() {{\n\
         out, err := exec.Command(\"sh\", \"-c\", {command:?}).Output()\nif err != nil {{ panic(err) }}\n\
         var document struct {{ AccessKeyId string }}\n\
         if err := json.Unmarshal(out, &document); err != nil {{ panic(err) }}\nfmt.Println(document.AccessKeyId)\n}}\n"
    );
    std::fs::write(home.path().join("main.go"), program).unwrap();
    // Built first, as the compiler takes longer than STS is held.
    let build = home.run("go", ["build", "-o", "ask", "main.go"]).env("GOCACHE", home.path().join("gocache"));
    let built = build.env("GO111MODULE", "off").output();
    assert_eq!(built.code, 0, "{built:?}");
    was_served_meanwhile(&home, &home.run(home.path().join("ask"), [""; 0]), &key);
}
