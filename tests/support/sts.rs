//! An STS stand-in that real clients talk to: it verifies signatures, session tokens, clocks, TOTP codes and
//! trust policies as AWS does, counts what it is asked, and misbehaves when told to.
//!
//! It owns the server side only: an HTTP/1.1 listener on loopback, one thread a connection, one lock around all
//! state. It never knows what the client under test is, and never calls out.
//!
//! Unsigned control endpoints, for tests in other languages: `GET /_calls` (JSON), `GET /_code?serial=…` (plain
//! text), `POST /_fault?kind=…[&n=…][&ms=…]`, `POST /_reset_codes`, `POST /_clock?offset=…`,
//! `POST /_expire_sessions`, `POST /_hold`, `POST /_release`.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use encoding::{json_string, now, request_id};
use http::{Answer, Incoming, Request, Wire, read_request};
use service::{Refusal, State, xmlns};
use sigv4::Authorization;

#[path = "sts/encoding.rs"]
mod encoding;
#[path = "sts/http.rs"]
mod http;
#[path = "sts/iam.rs"]
mod iam;
#[path = "sts/service.rs"]
mod service;
#[path = "sts/sigv4.rs"]
mod sigv4;
#[path = "sts/tls.rs"]
mod tls;

/// Access key ID of the default user, the one AWS uses in its own examples.
pub const ACCESS_KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
/// Secret access key of the default user.
pub const SECRET_ACCESS_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
/// Account of the default user.
pub const ACCOUNT: &str = "111122223333";
/// Name of the default user.
pub const USER_NAME: &str = "me";
/// ARN of the default user.
pub const USER_ARN: &str = "arn:aws:iam::111122223333:user/me";
/// The default user's MFA device.
pub const MFA_SERIAL: &str = "arn:aws:iam::111122223333:mfa/me";
/// The device's shared secret: RFC 6238's own.
pub const MFA_SECRET: &[u8] = b"12345678901234567890";
/// The same secret as `oathtool --totp -b` and `ykman` take it.
pub const MFA_SECRET_BASE32: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

/// Trusts [`ACCOUNT`], requires MFA, sessions up to 12 hours.
pub const ADMIN: &str = "arn:aws:iam::444455556666:role/Admin";
/// Trusts [`ACCOUNT`], needs no MFA, sessions up to one hour.
pub const READER: &str = "arn:aws:iam::444455556666:role/ReadOnly";
/// Trusts only sessions of [`ADMIN`] and [`READER`]: the second hop of a chain. Up to 12 hours.
pub const DEPLOY: &str = "arn:aws:iam::777788889999:role/ci/Deploy";
/// Trusts [`ACCOUNT`] together with [`EXTERNAL_ID`].
pub const PARTNER: &str = "arn:aws:iam::444455556666:role/Partner";
/// The external ID of [`PARTNER`].
pub const EXTERNAL_ID: &str = "partner-7";
/// Trusts nobody but who brings [`WEB_IDENTITY_TOKEN`].
pub const WEB_IDENTITY: &str = "arn:aws:iam::444455556666:role/WebIdentity";
/// The only web identity token that [`WEB_IDENTITY`] accepts.
pub const WEB_IDENTITY_TOKEN: &str = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJjaSIsImF1ZCI6InN0cyJ9.c2ln";
/// Exists and trusts nobody.
pub const CLOSED: &str = "arn:aws:iam::444455556666:role/Closed";

/// Names in the server's certificate: loopback, and AWS's own for tests that bring their own `/etc/hosts`.
pub const TLS_NAMES: &[&str] =
    &["localhost", "127.0.0.1", "sts.amazonaws.com", "sts.us-east-1.amazonaws.com", "sts.eu-west-1.amazonaws.com"];

/// Enough for a TLS handshake in a debug build; a thousand of them are only address space.
const CONNECTION_STACK: usize = 512 * 1024;

/// An IAM user with one long-lived access key; a second one with the same name is the same user's second key.
#[derive(Clone, Debug)]
pub struct User {
    /// `AKIA…`.
    pub access_key_id: String,
    /// The key's secret.
    pub secret_access_key: String,
    /// Twelve digits.
    pub account: String,
    /// The user's name, without a path.
    pub name: String,
    /// Devices whose codes this user may present.
    pub mfa: Vec<MfaDevice>,
}

impl User {
    /// The default user: [`ACCESS_KEY_ID`], with one device, [`MFA_SERIAL`].
    pub fn me() -> Self {
        Self {
            access_key_id: ACCESS_KEY_ID.into(),
            secret_access_key: SECRET_ACCESS_KEY.into(),
            account: ACCOUNT.into(),
            name: USER_NAME.into(),
            mfa: vec![MfaDevice { serial: MFA_SERIAL.into(), secret: MFA_SECRET.to_vec() }],
        }
    }

    /// The user's ARN.
    pub fn arn(&self) -> String {
        format!("arn:aws:iam::{}:user/{}", self.account, self.name)
    }
}

/// A virtual MFA device: RFC 6238, SHA-1, six digits, 30 s.
#[derive(Clone, Debug)]
pub struct MfaDevice {
    /// `arn:aws:iam::…:mfa/…`.
    pub serial: String,
    /// The shared secret, raw bytes.
    pub secret: Vec<u8>,
}

/// A role and its trust policy.
#[derive(Clone, Debug)]
pub struct Role {
    /// The role's ARN, with its path.
    pub arn: String,
    /// Who may assume it: user ARNs, role ARNs, session ARNs or account IDs.
    pub trusted: Vec<String>,
    /// The `sts:ExternalId` that the trust policy demands.
    pub external_id: Option<String>,
    /// Whether the trust policy demands `aws:MultiFactorAuthPresent`.
    pub requires_mfa: bool,
    /// The role's `MaxSessionDuration`, in seconds.
    pub max_session_seconds: u32,
    /// The token that AssumeRoleWithWebIdentity must bring; none refuses that call.
    pub web_identity_token: Option<String>,
}

impl Role {
    /// A role that trusts `trusted`, without MFA, for an hour at most (IAM's default).
    pub fn new(arn: &str, trusted: &[&str]) -> Self {
        Self {
            arn: arn.into(),
            trusted: trusted.iter().map(|who| (*who).to_owned()).collect(),
            external_id: None,
            requires_mfa: false,
            max_session_seconds: 3_600,
            web_identity_token: None,
        }
    }
}

/// What the server's certificate says.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// Host names, or addresses.
    pub names: Vec<String>,
    /// Its time is over.
    pub is_expired: bool,
}

impl Certificate {
    /// A valid one for these names.
    pub fn new(names: &[&str]) -> Self {
        Self { names: names.iter().map(|&name| name.to_owned()).collect(), is_expired: false }
    }
}

/// One request as it arrived, and how it was answered.
#[derive(Clone, Debug)]
pub struct Call {
    /// The `Action` parameter, empty where there was none.
    pub action: String,
    /// Who signed, if the request was signed.
    pub access_key_id: Option<String>,
    /// The `RoleArn` parameter.
    pub role_arn: Option<String>,
    /// Every form and query parameter.
    pub params: BTreeMap<String, String>,
    /// The HTTP status; 0 while unanswered, and for ever if the fault was not to answer.
    pub status: u16,
    /// The error code of a refusal; `CaptivePortal` for [`Fault::Html`].
    pub code: Option<String>,
    /// The `Host` header.
    pub host: String,
    /// The region in the credential scope.
    pub region: Option<String>,
    /// The `User-Agent` header.
    pub user_agent: String,
}

impl Call {
    fn succeeded(&self) -> bool {
        self.status == 200 && self.code.is_none()
    }
}

/// A way to misbehave. Only [`Fault::Delay`] and [`Fault::Truncate`] carry the request out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 400 `Throttling`.
    Throttle,
    /// 500 `InternalFailure`.
    ServerError,
    /// The connection is closed without an answer.
    Drop,
    /// The request is carried out, half of the answer's body is sent, then the connection is closed.
    Truncate,
    /// 200 with a captive portal's page.
    Html,
    /// 403 `AccessDenied`, whatever the trust policy says.
    AccessDenied,
    /// The right answer, late.
    Delay(Duration),
    /// The connection stays open and silent until the stand-in stops.
    NeverAnswer,
}

/// A running stand-in; dropping it closes every connection.
pub struct Sts {
    shared: Arc<Shared>,
    address: SocketAddr,
    ca_pem: Option<String>,
    acceptor: Option<JoinHandle<()>>,
}

impl Sts {
    /// Starts on a free port, plain HTTP, with the default user and roles.
    pub fn start() -> Self {
        Self::start_on(0, false).expect("the stand-in starts on a free loopback port")
    }

    /// Starts on a free port with TLS, under a certificate authority of its own ([`Sts::ca_pem`]).
    pub fn start_tls() -> Self {
        Self::start_on(0, true).expect("the stand-in starts on a free loopback port")
    }

    /// Starts on `port` of loopback, 0 for any free one.
    pub fn start_on(port: u16, tls: bool) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        Self::start_over(listener, tls.then(|| Certificate::new(TLS_NAMES)).as_ref())
    }

    /// Starts on a listener, wherever that is, with this certificate or without TLS.
    pub fn start_over(listener: TcpListener, certificate: Option<&Certificate>) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (tls, ca_pem) = match certificate {
            Some(certificate) => {
                let (config, pem) = tls::server_config(certificate).map_err(io::Error::other)?;
                (Some(config), Some(pem))
            }
            None => (None, None),
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(State::with_defaults()),
            arrival: Condvar::new(),
            release: Condvar::new(),
            stopping: AtomicBool::new(false),
            connections: Mutex::new(BTreeMap::new()),
            tls,
        });
        let acceptor = thread::Builder::new().name("sts-accept".into()).spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        })?;
        Ok(Self { shared, address, ca_pem, acceptor: Some(acceptor) })
    }

    /// The endpoint: `http://127.0.0.1:PORT` or `https://localhost:PORT`.
    pub fn url(&self) -> String {
        let port = self.address.port();
        match self.ca_pem {
            Some(_) => format!("https://localhost:{port}"),
            None => format!("http://127.0.0.1:{port}"),
        }
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The certificate authority to trust, PEM; none over plain HTTP.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// Adds a user, or replaces the one with the same access key ID.
    pub fn add_user(&self, user: User) {
        self.state().users.insert(user.access_key_id.clone(), user);
    }

    /// Deletes a long-lived access key; sessions made with it live on, as they do in AWS.
    pub fn remove_user(&self, access_key_id: &str) {
        self.state().users.remove(access_key_id);
    }

    /// Lists the IDs of a user's access keys, with whether each is active.
    pub fn keys_of(&self, name: &str) -> Vec<(String, bool)> {
        let state = self.state();
        let users = state.users.values().filter(|user| user.name == name);
        users.map(|user| (user.access_key_id.clone(), !state.iam.is_inactive(&user.access_key_id))).collect()
    }

    /// Gives the secret of an access key.
    pub fn secret_of(&self, access_key_id: &str) -> Option<String> {
        self.state().users.get(access_key_id).map(|user| user.secret_access_key.clone())
    }

    /// Lets every new access key be refused for so many calls before it works, as IAM is eventually consistent.
    pub fn set_key_delay(&self, calls: usize) {
        self.state().iam.delay = calls;
    }

    /// Leaves the keys that IAM has made out of so many lists.
    pub fn set_list_lag(&self, lists: usize) {
        self.state().iam.unlisted = lists;
    }

    /// Makes IAM refuse whoever has not proved MFA.
    pub fn set_iam_requires_mfa(&self) {
        self.state().iam.requires_mfa = true;
    }

    /// Makes IAM refuse an action, or allow it again with `None`.
    pub fn deny(&self, action: Option<&str>) {
        self.state().iam.denied = action.map(str::to_owned);
    }

    /// Applies `fault` to the next request for `action`.
    pub fn fail_action(&self, action: &str, fault: Fault) {
        self.state().action_faults.push((action.to_owned(), fault));
    }

    /// Adds a role, or replaces the one with the same ARN.
    pub fn add_role(&self, role: Role) {
        self.state().roles.insert(role.arn.clone(), role);
    }

    /// Everything asked so far, in order of arrival; control endpoints are not in it.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// Successful calls of `action`.
    pub fn count(&self, action: &str) -> usize {
        let state = self.state();
        let calls = state.calls.iter();
        calls.filter(|call| call.action == action && call.succeeded()).count()
    }

    /// All calls of `action`, refused and unanswered ones included.
    pub fn attempts(&self, action: &str) -> usize {
        self.state().arrived(action)
    }

    /// Forgets the calls so far; call it between two halves of a test, while nothing is in flight.
    pub fn forget_calls(&self) {
        self.state().forget_calls();
    }

    /// Applies `fault` to the next `n` requests, before any fault that stands.
    pub fn fail_next(&self, n: usize, fault: Fault) {
        self.state().next_faults.extend(std::iter::repeat_n(fault, n));
    }

    /// Applies `fault` to every request until cleared with `None`, which also clears [`Sts::fail_next`].
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.state().set_fault(fault);
    }

    /// Moves the stand-in's clock: signatures, expiry, codes and the `Date` header follow it.
    pub fn set_clock_offset(&self, seconds: i64) {
        self.state().clock_offset = seconds;
    }

    /// Makes session tokens at least this many bytes long.
    pub fn set_token_padding(&self, bytes: usize) {
        self.state().token_padding = bytes;
    }

    /// Makes every session minted so far an expired one.
    pub fn expire_sessions(&self) {
        self.state().expire_sessions();
    }

    /// The current code of a device, used or not.
    ///
    /// # Panics
    /// If no user has that device.
    pub fn token_code(&self, serial: &str) -> String {
        let state = self.state();
        state.code(serial, 0).expect("the device belongs to a user")
    }

    /// A code that will be accepted now: the current one, else the next step's, else the current one after
    /// forgetting that it was used.
    ///
    /// # Panics
    /// If no user has that device.
    pub fn next_token_code(&self, serial: &str) -> String {
        let mut state = self.state();
        state.next_code(serial).expect("the device belongs to a user")
    }

    /// Forgets which codes were used, on every device.
    pub fn reset_used_codes(&self) {
        self.state().used_codes.clear();
    }

    /// Blocks until `n` calls of `action` have arrived, answered or not; false if `timeout` came first.
    pub fn wait_for(&self, action: &str, n: usize, timeout: Duration) -> bool {
        let waiting = |state: &mut State| state.arrived(action) < n;
        let waited = self.shared.arrival.wait_timeout_while(self.state(), timeout, waiting);
        let (_guard, result) = waited.unwrap_or_else(PoisonError::into_inner);
        !result.timed_out()
    }

    /// Lets requests arrive and be counted, but answers none until [`Sts::release`].
    pub fn hold(&self) {
        self.state().held = true;
    }

    /// Answers what [`Sts::hold`] held back, and everything after it.
    pub fn release(&self) {
        self.state().held = false;
        self.shared.release.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }
}

impl Drop for Sts {
    fn drop(&mut self) {
        self.shared.stop();
        let woken = TcpStream::connect_timeout(&self.address, Duration::from_secs(1)).is_ok();
        if let Some(acceptor) = self.acceptor.take().filter(|_| woken) {
            let _ = acceptor.join();
        }
        self.shared.close_connections();
    }
}

struct Shared {
    state: Mutex<State>,
    /// Signalled when a call arrives.
    arrival: Condvar,
    /// Signalled when requests are released, and at the end.
    release: Condvar,
    stopping: AtomicBool,
    connections: Mutex<BTreeMap<u64, Arc<TcpStream>>>,
    tls: Option<Arc<rustls::ServerConfig>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connections(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<TcpStream>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    fn stop(&self) {
        let guard = self.lock();
        self.stopping.store(true, Ordering::SeqCst);
        drop(guard);
        self.release.notify_all();
    }

    fn close_connections(&self) {
        for stream in self.connections().values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Waits while requests are held, or until the end.
    fn wait_until_released(&self) {
        let guard = self.lock();
        let held = |state: &mut State| state.held && !self.is_stopping();
        drop(self.release.wait_while(guard, held));
    }

    /// Waits out a fault's delay (`None`: for ever), or until the end.
    fn pause(&self, delay: Option<Duration>) {
        let deadline = delay.and_then(|delay| Instant::now().checked_add(delay));
        let mut guard = self.lock();
        while !self.is_stopping() {
            let left = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => return,
                Some(left) => left,
                None => Duration::from_secs(3_600),
            };
            let waited = self.release.wait_timeout(guard, left);
            guard = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Empties the backlog (128 entries, then a client waits a second) without waiting for threads to be made.
fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let (accepted, queue) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            for (id, stream) in (0..).zip(queue) {
                start_connection(id, stream, shared);
            }
        });
        loop {
            let stream = listener.accept();
            if shared.is_stopping() {
                break;
            }
            match stream {
                Ok((stream, _)) => drop(accepted.send(stream)),
                // Out of file descriptors: those that wait stay in the backlog until one is closed.
                Err(_) => thread::sleep(Duration::from_millis(5)),
            }
        }
        drop(accepted);
    });
}

fn start_connection(id: u64, stream: TcpStream, shared: &Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let stream = Arc::new(stream);
    shared.connections().insert(id, Arc::clone(&stream));
    let spawned = thread::Builder::new().stack_size(CONNECTION_STACK).spawn({
        let shared = Arc::clone(shared);
        move || {
            let _ = serve_connection(&stream, &shared);
            let _ = stream.shutdown(Shutdown::Both);
            shared.connections().remove(&id);
        }
    });
    if spawned.is_err() {
        shared.connections().remove(&id);
    }
}

fn serve_connection(stream: &Arc<TcpStream>, shared: &Shared) -> io::Result<()> {
    let wire = Wire(Arc::clone(stream));
    match &shared.tls {
        None => serve(wire, shared),
        Some(config) => {
            let session = rustls::ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
            serve(rustls::StreamOwned::new(session, wire), shared)
        }
    }
}

fn serve(mut stream: impl Read + Write, shared: &Shared) -> io::Result<()> {
    let mut buffered = Vec::new();
    loop {
        let request = match read_request(&mut stream, &mut buffered)? {
            Incoming::Request(request) => request,
            Incoming::End => return Ok(()),
            Incoming::Malformed(why) => {
                let refusal = Refusal::sender(400, "MalformedInput", why);
                let answer = Answer::xml(400, refusal.to_xml(&request_id()));
                return stream.write_all(&answer.to_bytes(now(0), false));
            }
        };
        let keep_alive = request.keep_alive;
        let outcome = if request.path.starts_with("/_") {
            Some(control_answer(&request, shared))
        } else if request.method == "GET" && request.path == "/" && request.params().is_empty() {
            // STS sends those who call nothing to its page on the web.
            Some(Answer::text(302, String::new()))
        } else {
            answer_call(&request, shared)
        };
        let Some(answer) = outcome else { return Ok(()) };
        let date = now(shared.lock().clock_offset);
        let bytes = answer.to_bytes(date, keep_alive);
        if answer.truncated {
            stream.write_all(&bytes[..bytes.len() - answer.body.len() / 2])?;
            return stream.flush();
        }
        stream.write_all(&bytes)?;
        stream.flush()?;
        if !keep_alive {
            return Ok(());
        }
    }
}

/// Records the call, waits where told to, and answers; `None` closes the connection.
fn answer_call(request: &Request, shared: &Shared) -> Option<Answer> {
    let params = request.params();
    let authorization = request.header("authorization").map(Authorization::parse);
    let signer = authorization.as_ref().and_then(|parsed| parsed.as_ref().ok());
    let call = Call {
        action: params.get("Action").cloned().unwrap_or_default(),
        access_key_id: signer.map(|signer| signer.access_key_id.clone()),
        role_arn: params.get("RoleArn").cloned(),
        params: params.clone(),
        status: 0,
        code: None,
        host: request.header("host").unwrap_or_default().to_owned(),
        region: signer.map(|signer| signer.region.clone()),
        user_agent: request.header("user-agent").unwrap_or_default().to_owned(),
    };
    let number = shared.lock().record(call);
    shared.arrival.notify_all();
    shared.wait_until_released();

    let action = params.get("Action").map(String::as_str).unwrap_or_default();
    let fault = shared.lock().take_fault(action);
    match fault {
        Some(Fault::Drop) => return None,
        Some(Fault::NeverAnswer) => shared.pause(None),
        Some(Fault::Delay(delay)) => shared.pause(Some(delay)),
        _ => {}
    }
    if shared.is_stopping() {
        return None;
    }

    let mut state = shared.lock();
    if fault == Some(Fault::Html) {
        state.settle(number, 200, Some("CaptivePortal"));
        let page = "<!DOCTYPE html><html><head><title>Welcome to Hotel Wi-Fi</title></head>\
                    <body><form action=\"/login\"><p>Please log in to continue.</p></form></body></html>";
        return Some(Answer::new(200, "text/html; charset=utf-8", page.to_owned()));
    }
    let outcome = match fault {
        Some(Fault::Throttle) => Err(Refusal::sender(400, "Throttling", "Rate exceeded")),
        Some(Fault::ServerError) => Err(Refusal::sender(
            500,
            "InternalFailure",
            "The request processing has failed because of an unknown error, exception or failure.",
        )),
        Some(Fault::AccessDenied) => Err(state.denial(&params, signer)),
        _ => state.act(request, &params, authorization),
    };
    let request_id = request_id();
    let mut answer = match outcome {
        Ok(result) => {
            state.settle(number, 200, None);
            let xmlns = xmlns(&params);
            Answer::xml(
                200,
                format!(
                    "<{action}Response xmlns=\"{xmlns}\">\n  <{action}Result>{result}\n  </{action}Result>\n  \
                     <ResponseMetadata>\n    <RequestId>{request_id}</RequestId>\n  </ResponseMetadata>\n\
                     </{action}Response>\n"
                ),
            )
        }
        Err(refusal) => {
            state.settle(number, refusal.status, Some(refusal.code));
            Answer::xml(refusal.status, refusal.to_xml(&request_id))
        }
    };
    answer.truncated = fault == Some(Fault::Truncate);
    Some(answer)
}

fn control_answer(request: &Request, shared: &Shared) -> Answer {
    let params = request.params();
    let param = |name: &str| params.get(name).map(String::as_str);
    let done = || Answer::text(200, "ok\n".into());
    let wrong = |why: &str| Answer::text(400, format!("{why}\n"));
    let mut state = shared.lock();
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/_calls") => Answer::new(200, "application/json", calls_to_json(&state.calls)),
        ("GET", "/_code") => match state.code(param("serial").unwrap_or(MFA_SERIAL), 0) {
            Some(code) => Answer::text(200, code),
            None => wrong("no user has that device"),
        },
        ("POST", "/_fault") => {
            let fault = match param("kind") {
                Some("none") => {
                    state.set_fault(None);
                    return done();
                }
                Some("throttle") => Fault::Throttle,
                Some("server-error") => Fault::ServerError,
                Some("drop") => Fault::Drop,
                Some("truncate") => Fault::Truncate,
                Some("html") => Fault::Html,
                Some("access-denied") => Fault::AccessDenied,
                Some("never-answer") => Fault::NeverAnswer,
                Some("delay") => match param("ms").map(str::parse) {
                    Some(Ok(ms)) => Fault::Delay(Duration::from_millis(ms)),
                    _ => return wrong("`delay` needs `ms`, a number"),
                },
                _ => return wrong("`kind` names no fault"),
            };
            match param("n").map(str::parse::<u16>) {
                None => state.set_fault(Some(fault)),
                Some(Ok(n)) => state.next_faults.extend(std::iter::repeat_n(fault, n.into())),
                Some(Err(_)) => return wrong("`n` is not a number"),
            }
            done()
        }
        ("POST", "/_reset_codes") => {
            state.used_codes.clear();
            done()
        }
        ("POST", "/_clock") => match param("offset").map(str::parse::<i32>) {
            Some(Ok(offset)) => {
                state.clock_offset = offset.into();
                done()
            }
            _ => wrong("`offset` is not a number of seconds"),
        },
        ("POST", "/_expire_sessions") => {
            state.expire_sessions();
            done()
        }
        ("POST", "/_hold") => {
            state.held = true;
            done()
        }
        ("POST", "/_release") => {
            state.held = false;
            shared.release.notify_all();
            done()
        }
        _ => Answer::text(404, "no such control endpoint\n".into()),
    }
}

fn calls_to_json(calls: &[Call]) -> String {
    let optional = |value: &Option<String>| value.as_deref().map_or_else(|| "null".to_owned(), json_string);
    let entries: Vec<String> = calls
        .iter()
        .map(|call| {
            let params: Vec<String> =
                call.params.iter().map(|(key, value)| format!("{}:{}", json_string(key), json_string(value))).collect();
            format!(
                "{{\"action\":{},\"access_key_id\":{},\"role_arn\":{},\"status\":{},\"code\":{},\"host\":{},\
                 \"region\":{},\"user_agent\":{},\"params\":{{{}}}}}",
                json_string(&call.action),
                optional(&call.access_key_id),
                optional(&call.role_arn),
                call.status,
                optional(&call.code),
                json_string(&call.host),
                optional(&call.region),
                json_string(&call.user_agent),
                params.join(","),
            )
        })
        .collect();
    format!("[{}]\n", entries.join(",\n"))
}
