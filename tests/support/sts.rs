//! An STS stand-in that real clients talk to: it verifies signatures, session tokens, clocks, TOTP codes and
//! trust policies as AWS does, counts what it is asked, and misbehaves when told to.
//!
//! It owns the server side only: an HTTP/1.1 listener on loopback, one thread a connection, one lock around all
//! state. It never knows what the client under test is, and never calls out.
//!
//! Unsigned control endpoints, for tests in other languages: `GET /_calls` (JSON), `GET /_code?serial=…` (plain
//! text), `POST /_fault?kind=…[&n=…][&ms=…]`, `POST /_reset_codes`, `POST /_clock?offset=…`,
//! `POST /_expire_sessions`, `POST /_hold`, `POST /_release`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ring::rand::{SecureRandom, SystemRandom};
use ring::{digest, hmac};

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
pub const TLS_NAMES: &[&str] = &[
    "localhost",
    "127.0.0.1",
    "sts.amazonaws.com",
    "sts.us-east-1.amazonaws.com",
    "sts.eu-west-1.amazonaws.com",
];

const XMLNS: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
const API_VERSION: &str = "2011-06-15";
/// Signatures older or newer than this are refused, in seconds (the "5 min." of AWS's message).
const MAX_SKEW: i64 = 300;
/// RFC 6238's time step, in seconds.
const TOTP_STEP: u64 = 30;
/// Characters of a session token, as AWS's are in practice.
const ROLE_TOKEN_LENGTH: usize = 900;
const USER_TOKEN_LENGTH: usize = 352;
const MAX_HEAD: usize = 64 * 1024;
const MAX_BODY: usize = 1024 * 1024;
/// Enough for a TLS handshake in a debug build; a thousand of them are only address space.
const CONNECTION_STACK: usize = 512 * 1024;

/// An IAM user with one long-lived access key.
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
            mfa: vec![MfaDevice {
                serial: MFA_SERIAL.into(),
                secret: MFA_SECRET.to_vec(),
            }],
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
        let address = listener.local_addr()?;
        let (tls, ca_pem) = if tls {
            let (config, pem) = tls_config().map_err(io::Error::other)?;
            (Some(config), Some(pem))
        } else {
            (None, None)
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(State::with_defaults()),
            changed: Condvar::new(),
            stopping: AtomicBool::new(false),
            connections: Mutex::new(BTreeMap::new()),
            tls,
        });
        let acceptor = thread::Builder::new().name("sts-accept".into()).spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        })?;
        Ok(Self {
            shared,
            address,
            ca_pem,
            acceptor: Some(acceptor),
        })
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
        calls
            .filter(|call| call.action == action && call.succeeded())
            .count()
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
        self.state()
            .next_faults
            .extend(std::iter::repeat_n(fault, n));
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
        state
            .next_code(serial)
            .expect("the device belongs to a user")
    }

    /// Forgets which codes were used, on every device.
    pub fn reset_used_codes(&self) {
        self.state().used_codes.clear();
    }

    /// Blocks until `n` calls of `action` have arrived, answered or not; false if `timeout` came first.
    pub fn wait_for(&self, action: &str, n: usize, timeout: Duration) -> bool {
        let waiting = |state: &mut State| state.arrived(action) < n;
        let waited = self
            .shared
            .changed
            .wait_timeout_while(self.state(), timeout, waiting);
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
        self.shared.changed.notify_all();
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
    /// Signalled when a call arrives, when requests are released, and at the end.
    changed: Condvar,
    stopping: AtomicBool,
    connections: Mutex<BTreeMap<u64, Arc<TcpStream>>>,
    tls: Option<Arc<rustls::ServerConfig>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connections(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<TcpStream>>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    fn stop(&self) {
        let guard = self.lock();
        self.stopping.store(true, Ordering::SeqCst);
        drop(guard);
        self.changed.notify_all();
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
        drop(self.changed.wait_while(guard, held));
    }

    /// Waits out a fault's delay (`None`: for ever), or until the end.
    fn pause(&self, delay: Option<Duration>) {
        let deadline = delay.map(|delay| Instant::now() + delay);
        let mut guard = self.lock();
        while !self.is_stopping() {
            let left =
                match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                    Some(Duration::ZERO) => return,
                    Some(left) => left,
                    None => Duration::from_secs(3_600),
                };
            let waited = self.changed.wait_timeout(guard, left);
            guard = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for id in 0_u64.. {
        let accepted = listener.accept();
        if shared.is_stopping() {
            return;
        }
        let Ok((stream, _)) = accepted else {
            // Out of file descriptors: those that wait stay in the backlog until one is closed.
            thread::sleep(Duration::from_millis(5));
            continue;
        };
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
}

fn serve_connection(stream: &Arc<TcpStream>, shared: &Shared) -> io::Result<()> {
    let wire = Wire(Arc::clone(stream));
    match &shared.tls {
        None => serve(wire, shared),
        Some(config) => {
            let session =
                rustls::ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
            serve(rustls::StreamOwned::new(session, wire), shared)
        }
    }
}

/// The socket, owned by its thread and shared with whoever may have to shut it.
struct Wire(Arc<TcpStream>);

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(buffer)
    }
}

impl Write for Wire {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        (&*self.0).write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self.0).flush()
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
        let control = request.path.starts_with("/_");
        let outcome = if control {
            Some(control_answer(&request, shared))
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

#[derive(Debug)]
struct Request {
    method: String,
    /// As sent: still percent-encoded, without the query.
    path: String,
    query: String,
    /// Names in lower case, in order of arrival.
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    keep_alive: bool,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Query and form parameters, decoded.
    fn params(&self) -> BTreeMap<String, String> {
        let body = String::from_utf8_lossy(&self.body);
        let pairs = pairs(&self.query).chain(pairs(&body));
        pairs
            .map(|(key, value)| (decode(key, true), decode(value, true)))
            .collect()
    }
}

enum Incoming {
    Request(Request),
    Malformed(&'static str),
    End,
}

fn read_request(stream: &mut (impl Read + Write), buffered: &mut Vec<u8>) -> io::Result<Incoming> {
    let head_length = loop {
        if let Some(at) = buffered.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if buffered.len() > MAX_HEAD {
            return Ok(Incoming::Malformed("the request's head is too long"));
        }
        if !read_more(stream, buffered)? {
            return Ok(Incoming::End);
        }
    };
    let rest = buffered.split_off(head_length + 4);
    let head = std::mem::replace(buffered, rest);
    let mut request = match parse_head(&head[..head_length]) {
        Ok(request) => request,
        Err(why) => return Ok(Incoming::Malformed(why)),
    };
    let length = match body_length(&request) {
        Ok(length) => length,
        Err(why) => return Ok(Incoming::Malformed(why)),
    };
    if length > buffered.len() && request.header("expect").is_some() {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        stream.flush()?;
    }
    while buffered.len() < length {
        if !read_more(stream, buffered)? {
            return Ok(Incoming::End);
        }
    }
    let rest = buffered.split_off(length);
    request.body = std::mem::replace(buffered, rest);
    Ok(Incoming::Request(request))
}

fn read_more(stream: &mut impl Read, buffered: &mut Vec<u8>) -> io::Result<bool> {
    let mut chunk = [0; 4096];
    let read = stream.read(&mut chunk)?;
    buffered.extend_from_slice(&chunk[..read]);
    Ok(read > 0)
}

fn parse_head(head: &[u8]) -> Result<Request, &'static str> {
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (first.next(), first.next(), first.next(), first.next())
    else {
        return Err("the request line is not `METHOD TARGET HTTP/1.1`");
    };
    if !target.starts_with('/') || !matches!(version, "HTTP/1.1" | "HTTP/1.0") {
        return Err("the request line is not `METHOD TARGET HTTP/1.1`");
    }
    let mut headers = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or("a header has no colon")?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        body: Vec::new(),
        keep_alive: version == "HTTP/1.1",
    };
    match request
        .header("connection")
        .map(str::to_ascii_lowercase)
        .as_deref()
    {
        Some("close") => request.keep_alive = false,
        Some("keep-alive") => request.keep_alive = true,
        _ => {}
    }
    Ok(request)
}

fn body_length(request: &Request) -> Result<usize, &'static str> {
    if request.header("transfer-encoding").is_some() {
        return Err("Transfer-Encoding is not supported, send Content-Length");
    }
    let length = match request.header("content-length") {
        None => 0,
        Some(text) => text.parse().map_err(|_| "Content-Length is not a number")?,
    };
    if length > MAX_BODY {
        Err("the request's body is too long")
    } else {
        Ok(length)
    }
}

struct Answer {
    status: u16,
    content_type: &'static str,
    body: String,
    truncated: bool,
}

impl Answer {
    fn new(status: u16, content_type: &'static str, body: String) -> Self {
        Self {
            status,
            content_type,
            body,
            truncated: false,
        }
    }

    fn xml(status: u16, body: String) -> Self {
        Self::new(status, "text/xml", body)
    }

    fn text(status: u16, body: String) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body)
    }

    fn to_bytes(&self, date: i64, keep_alive: bool) -> Vec<u8> {
        let reason = match self.status {
            200 => "OK",
            400 => "Bad Request",
            403 => "Forbidden",
            404 => "Not Found",
            _ => "Internal Server Error",
        };
        format!(
            "HTTP/1.1 {} {reason}\r\nx-amzn-RequestId: {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nDate: {}\r\n\
             Connection: {}\r\n\r\n{}",
            self.status,
            request_id(),
            self.content_type,
            self.body.len(),
            http_date(date),
            if keep_alive { "keep-alive" } else { "close" },
            self.body,
        )
        .into_bytes()
    }
}

/// An STS error: `<Type>` is `Receiver` from 500 up, `Sender` below.
#[derive(Debug)]
struct Refusal {
    status: u16,
    code: &'static str,
    message: String,
}

impl Refusal {
    fn sender(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    fn denied(message: impl Into<String>) -> Self {
        Self::sender(403, "AccessDenied", message)
    }

    fn invalid(message: impl Into<String>) -> Self {
        Self::sender(400, "ValidationError", message)
    }

    fn constraint(value: Option<&str>, name: &str, constraint: &str) -> Self {
        let value = value.map_or_else(|| "null".to_owned(), |value| format!("'{value}'"));
        Self::invalid(format!(
            "1 validation error detected: Value {value} at '{name}' failed to satisfy constraint: Member must {constraint}"
        ))
    }

    fn mismatch(message: impl Into<String>) -> Self {
        Self::sender(403, "SignatureDoesNotMatch", message)
    }

    fn unknown_token() -> Self {
        let message = "The security token included in the request is invalid.";
        Self::sender(403, "InvalidClientTokenId", message)
    }

    fn not_authorized(caller: &str, action: &str, resource: &str) -> Self {
        Self::denied(format!(
            "User: {caller} is not authorized to perform: sts:{action} on resource: {resource}"
        ))
    }

    fn to_xml(&self, request_id: &str) -> String {
        let kind = if self.status < 500 {
            "Sender"
        } else {
            "Receiver"
        };
        format!(
            "<ErrorResponse xmlns=\"{XMLNS}\">\n  <Error>\n    <Type>{kind}</Type>\n    <Code>{}</Code>\n    \
             <Message>{}</Message>\n  </Error>\n  <RequestId>{request_id}</RequestId>\n</ErrorResponse>\n",
            self.code,
            escape_xml(&self.message),
        )
    }
}

/// Records the call, waits where told to, and answers; `None` closes the connection.
fn answer_call(request: &Request, shared: &Shared) -> Option<Answer> {
    let params = request.params();
    let authorization = request.header("authorization").map(Authorization::parse);
    let signer = authorization
        .as_ref()
        .and_then(|parsed| parsed.as_ref().ok());
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
    shared.changed.notify_all();
    shared.wait_until_released();

    let fault = shared.lock().take_fault();
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
        return Some(Answer::new(
            200,
            "text/html; charset=utf-8",
            page.to_owned(),
        ));
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
            let action = params.get("Action").map(String::as_str).unwrap_or_default();
            Answer::xml(
                200,
                format!(
                    "<{action}Response xmlns=\"{XMLNS}\">\n  <{action}Result>{result}\n  </{action}Result>\n  \
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
                Some(Ok(n)) => state
                    .next_faults
                    .extend(std::iter::repeat_n(fault, n.into())),
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
            shared.changed.notify_all();
            done()
        }
        _ => Answer::text(404, "no such control endpoint\n".into()),
    }
}

fn calls_to_json(calls: &[Call]) -> String {
    let optional = |value: &Option<String>| {
        value
            .as_deref()
            .map_or_else(|| "null".to_owned(), json_string)
    };
    let entries: Vec<String> = calls
        .iter()
        .map(|call| {
            let params: Vec<String> = call
                .params
                .iter()
                .map(|(key, value)| format!("{}:{}", json_string(key), json_string(value)))
                .collect();
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

#[derive(Clone)]
enum Caller {
    User(User),
    /// A GetSessionToken session.
    UserSession {
        user: User,
        mfa: bool,
    },
    RoleSession {
        role_arn: String,
        name: String,
        source_identity: Option<String>,
    },
}

impl Caller {
    fn account(&self) -> &str {
        match self {
            Self::User(user) | Self::UserSession { user, .. } => &user.account,
            Self::RoleSession { role_arn, .. } => arn_account(role_arn),
        }
    }

    fn arn(&self) -> String {
        match self {
            Self::User(user) | Self::UserSession { user, .. } => user.arn(),
            Self::RoleSession { role_arn, name, .. } => session_arn(role_arn, name),
        }
    }

    fn user_id(&self) -> String {
        match self {
            Self::User(user) | Self::UserSession { user, .. } => unique_id("AIDA", &user.arn()),
            Self::RoleSession { role_arn, name, .. } => {
                format!("{}:{name}", unique_id("AROA", role_arn))
            }
        }
    }

    /// Whether a trust policy's principals name this caller.
    fn is_among(&self, trusted: &[String]) -> bool {
        let mut names = vec![
            self.account().to_owned(),
            format!("arn:aws:iam::{}:root", self.account()),
            self.arn(),
        ];
        if let Self::RoleSession { role_arn, .. } = self {
            names.push(role_arn.clone());
        }
        trusted.iter().any(|principal| names.contains(principal))
    }
}

#[derive(Clone)]
struct Session {
    secret: String,
    token: String,
    /// Unix seconds on the stand-in's clock.
    expires: i64,
    caller: Caller,
}

struct State {
    users: BTreeMap<String, User>,
    roles: BTreeMap<String, Role>,
    /// By access key ID.
    sessions: BTreeMap<String, Session>,
    calls: Vec<Call>,
    /// How many calls were forgotten: calls are numbered from the start.
    forgotten: usize,
    /// Device serial and time step.
    used_codes: BTreeSet<(String, u64)>,
    next_faults: VecDeque<Fault>,
    fault: Option<Fault>,
    clock_offset: i64,
    token_padding: usize,
    held: bool,
}

type Params = BTreeMap<String, String>;

impl State {
    fn with_defaults() -> Self {
        let long = 12 * 3_600;
        let roles = [
            Role {
                requires_mfa: true,
                max_session_seconds: long,
                ..Role::new(ADMIN, &[ACCOUNT])
            },
            Role::new(READER, &[ACCOUNT]),
            Role {
                max_session_seconds: long,
                ..Role::new(DEPLOY, &[ADMIN, READER])
            },
            Role {
                external_id: Some(EXTERNAL_ID.into()),
                ..Role::new(PARTNER, &[ACCOUNT])
            },
            Role {
                web_identity_token: Some(WEB_IDENTITY_TOKEN.into()),
                ..Role::new(WEB_IDENTITY, &[])
            },
            Role::new(CLOSED, &[]),
        ];
        Self {
            users: BTreeMap::from([(ACCESS_KEY_ID.to_owned(), User::me())]),
            roles: roles
                .into_iter()
                .map(|role| (role.arn.clone(), role))
                .collect(),
            sessions: BTreeMap::new(),
            calls: Vec::new(),
            forgotten: 0,
            used_codes: BTreeSet::new(),
            next_faults: VecDeque::new(),
            fault: None,
            clock_offset: 0,
            token_padding: 0,
            held: false,
        }
    }

    fn now(&self) -> i64 {
        now(self.clock_offset)
    }

    fn record(&mut self, call: Call) -> usize {
        self.calls.push(call);
        self.forgotten + self.calls.len() - 1
    }

    fn settle(&mut self, number: usize, status: u16, code: Option<&str>) {
        let index = number.checked_sub(self.forgotten);
        if let Some(call) = index.and_then(|index| self.calls.get_mut(index)) {
            call.status = status;
            call.code = code.map(str::to_owned);
        }
    }

    fn forget_calls(&mut self) {
        self.forgotten += self.calls.len();
        self.calls.clear();
    }

    fn arrived(&self, action: &str) -> usize {
        self.calls
            .iter()
            .filter(|call| call.action == action)
            .count()
    }

    fn set_fault(&mut self, fault: Option<Fault>) {
        if fault.is_none() {
            self.next_faults.clear();
        }
        self.fault = fault;
    }

    fn take_fault(&mut self) -> Option<Fault> {
        self.next_faults.pop_front().or(self.fault)
    }

    fn expire_sessions(&mut self) {
        let past = self.now() - 1;
        for session in self.sessions.values_mut() {
            session.expires = session.expires.min(past);
        }
    }

    fn device(&self, serial: &str) -> Option<&MfaDevice> {
        let mut devices = self.users.values().flat_map(|user| &user.mfa);
        devices.find(|device| device.serial == serial)
    }

    fn step(&self) -> u64 {
        self.now().max(0).unsigned_abs() / TOTP_STEP
    }

    /// The code `ahead` steps from now.
    fn code(&self, serial: &str, ahead: u64) -> Option<String> {
        let device = self.device(serial)?;
        Some(totp(&device.secret, self.step() + ahead))
    }

    fn next_code(&mut self, serial: &str) -> Option<String> {
        let step = self.step();
        let unused = [0, 1]
            .into_iter()
            .find(|ahead| !self.used_codes.contains(&(serial.to_owned(), step + ahead)));
        if unused.is_none() {
            self.used_codes.retain(|(used, _)| used != serial);
        }
        self.code(serial, unused.unwrap_or(0))
    }

    /// Carries a request out and returns the inside of its result element.
    fn act(
        &mut self,
        request: &Request,
        params: &Params,
        authorization: Option<Result<Authorization, Refusal>>,
    ) -> Result<String, Refusal> {
        let action = params.get("Action").map(String::as_str).unwrap_or_default();
        if action == "AssumeRoleWithWebIdentity" {
            return self.assume_role_with_web_identity(params);
        }
        let caller = self.authenticate(request, authorization)?;
        let version = params
            .get("Version")
            .map(String::as_str)
            .unwrap_or_default();
        match action {
            _ if version != API_VERSION => Err(Refusal::sender(
                400,
                "InvalidAction",
                format!("Could not find operation {action} for version {version}"),
            )),
            "GetCallerIdentity" => Ok(elements(&[
                ("Arn", caller.arn()),
                ("UserId", caller.user_id()),
                ("Account", caller.account().to_owned()),
            ])),
            "GetSessionToken" => self.get_session_token(&caller, params),
            "AssumeRole" => self.assume_role(&caller, params),
            _ => Err(Refusal::sender(
                400,
                "InvalidAction",
                format!("Could not find operation {action} for version {version}"),
            )),
        }
    }

    fn authenticate(
        &self,
        request: &Request,
        authorization: Option<Result<Authorization, Refusal>>,
    ) -> Result<Caller, Refusal> {
        let Some(authorization) = authorization else {
            let message = "Request is missing Authentication Token";
            return Err(Refusal::sender(403, "MissingAuthenticationToken", message));
        };
        let authorization = authorization?;
        let key = &authorization.access_key_id;
        let user = self.users.get(key);
        let session = self.sessions.get(key);
        let secret = match (user, session) {
            (Some(user), _) => &user.secret_access_key,
            (None, Some(session)) => &session.secret,
            (None, None) => return Err(Refusal::unknown_token()),
        };
        authorization.verify(request, secret, self.now())?;

        let token = request.header("x-amz-security-token");
        match (user, session) {
            (Some(user), _) if token.is_none() => Ok(Caller::User(user.clone())),
            (None, Some(session)) if token == Some(&session.token) => {
                if self.now() >= session.expires {
                    let message = "The security token included in the request is expired";
                    return Err(Refusal::sender(403, "ExpiredToken", message));
                }
                Ok(session.caller.clone())
            }
            _ => Err(Refusal::unknown_token()),
        }
    }

    /// What [`Fault::AccessDenied`] says, to whoever claims to call.
    fn denial(&self, params: &Params, signer: Option<&Authorization>) -> Refusal {
        let key = signer
            .map(|signer| signer.access_key_id.as_str())
            .unwrap_or_default();
        let user = self.users.get(key).map(User::arn);
        let session = || self.sessions.get(key).map(|session| session.caller.arn());
        let caller = user
            .or_else(session)
            .unwrap_or_else(|| "anonymous".to_owned());
        let action = params.get("Action").map(String::as_str).unwrap_or_default();
        let resource = params.get("RoleArn").map_or("*", String::as_str);
        Refusal::not_authorized(&caller, action, resource)
    }

    fn get_session_token(&mut self, caller: &Caller, params: &Params) -> Result<String, Refusal> {
        let Caller::User(user) = caller else {
            return Err(Refusal::denied(
                "Cannot call GetSessionToken with session credentials",
            ));
        };
        let seconds = duration(params, 43_200, 129_600)?;
        let mfa = self.check_mfa(Some(user), params)?;
        let session = Caller::UserSession {
            user: user.clone(),
            mfa,
        };
        Ok(self.mint(session, seconds, USER_TOKEN_LENGTH))
    }

    fn assume_role(&mut self, caller: &Caller, params: &Params) -> Result<String, Refusal> {
        let (role_arn, name) = role_and_session_name(params)?;
        let seconds = duration(params, 3_600, 43_200)?;
        let chained = matches!(caller, Caller::RoleSession { .. });
        if chained && seconds > 3_600 {
            return Err(Refusal::invalid(
                "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
            ));
        }
        let (user, mfa_session) = match caller {
            Caller::User(user) => (Some(user), false),
            Caller::UserSession { user, mfa } => (Some(user), *mfa),
            Caller::RoleSession { .. } => (None, false),
        };
        let mfa = self.check_mfa(user, params)? || mfa_session;

        let external_id = params.get("ExternalId");
        let role = self.roles.get(role_arn).filter(|role| {
            caller.is_among(&role.trusted)
                && (role.external_id.is_none() || role.external_id.as_ref() == external_id)
                && (mfa || !role.requires_mfa)
        });
        let Some(role) = role else {
            return Err(Refusal::not_authorized(
                &caller.arn(),
                "AssumeRole",
                role_arn,
            ));
        };
        check_maximum(role, seconds)?;
        let inherited = match caller {
            Caller::RoleSession {
                source_identity, ..
            } => source_identity.clone(),
            _ => None,
        };
        let asked = params.get("SourceIdentity").cloned();
        if inherited.is_some() && asked.is_some() && asked != inherited {
            return Err(Refusal::not_authorized(
                &caller.arn(),
                "SetSourceIdentity",
                role_arn,
            ));
        }
        let source_identity = asked.or(inherited);
        let packed = params
            .keys()
            .any(|key| key.starts_with("Policy") || key.starts_with("Tags."));
        let mut result = self.mint_role_session(role_arn, name, source_identity, seconds);
        if packed {
            result.push_str(&elements(&[("PackedPolicySize", "6".to_owned())]));
        }
        Ok(result)
    }

    fn assume_role_with_web_identity(&mut self, params: &Params) -> Result<String, Refusal> {
        let (role_arn, name) = role_and_session_name(params)?;
        let seconds = duration(params, 3_600, 43_200)?;
        let token = required(params, "WebIdentityToken", "webIdentityToken")?;
        let role = self.roles.get(role_arn);
        let Some((role, expected)) =
            role.and_then(|role| Some((role, role.web_identity_token.as_deref()?)))
        else {
            return Err(Refusal::denied(
                "Not authorized to perform sts:AssumeRoleWithWebIdentity",
            ));
        };
        if token != expected {
            return Err(Refusal::sender(
                400,
                "InvalidIdentityToken",
                "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)",
            ));
        }
        check_maximum(role, seconds)?;
        let mut result = self.mint_role_session(role_arn, name, None, seconds);
        result.push_str(&elements(&[
            ("SubjectFromWebIdentityToken", "ci".to_owned()),
            ("Audience", "sts".to_owned()),
            ("Provider", "https://issuer.example".to_owned()),
        ]));
        Ok(result)
    }

    /// Whether the call proves MFA by itself: false where it brings neither serial nor code.
    fn check_mfa(&mut self, user: Option<&User>, params: &Params) -> Result<bool, Refusal> {
        let (serial, code) = match (params.get("SerialNumber"), params.get("TokenCode")) {
            (None, None) => return Ok(false),
            (Some(serial), Some(code)) => (serial, code),
            _ => {
                return Err(Refusal::denied(
                    "MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code.",
                ));
            }
        };
        check_length(code, "tokenCode", 6, 6)?;
        if !code.bytes().all(|byte| byte.is_ascii_digit()) {
            let pattern = r"satisfy regular expression pattern: [\d]*";
            return Err(Refusal::constraint(Some(code), "tokenCode", pattern));
        }
        let device = user.and_then(|user| user.mfa.iter().find(|device| device.serial == *serial));
        let Some(device) = device else {
            return Err(Refusal::denied(
                "MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial \
                 number is valid and associated with this user.",
            ));
        };
        let step = self.step();
        let accepted = (step.saturating_sub(1)..=step + 1).find(|step| {
            let unused = !self.used_codes.contains(&(serial.clone(), *step));
            unused && totp(&device.secret, *step) == *code
        });
        let Some(step) = accepted else {
            return Err(Refusal::denied(
                "MultiFactorAuthentication failed with invalid MFA one time pass code. ",
            ));
        };
        self.used_codes.insert((serial.clone(), step));
        Ok(true)
    }

    fn mint_role_session(
        &mut self,
        role_arn: &str,
        name: &str,
        source_identity: Option<String>,
        seconds: i64,
    ) -> String {
        let user = elements(&[
            (
                "AssumedRoleId",
                format!("{}:{name}", unique_id("AROA", role_arn)),
            ),
            ("Arn", session_arn(role_arn, name)),
        ]);
        let mut result = format!("\n    <AssumedRoleUser>{user}\n    </AssumedRoleUser>");
        if let Some(identity) = &source_identity {
            result.push_str(&elements(&[("SourceIdentity", identity.clone())]));
        }
        let session = Caller::RoleSession {
            role_arn: role_arn.to_owned(),
            name: name.to_owned(),
            source_identity,
        };
        result + &self.mint(session, seconds, ROLE_TOKEN_LENGTH)
    }

    fn mint(&mut self, caller: Caller, seconds: i64, token_length: usize) -> String {
        let id = format!("ASIA{}", base32(&random::<16>()));
        let prefix = if matches!(caller, Caller::RoleSession { .. }) {
            "IQoJb3JpZ2luX2Vj"
        } else {
            "FwoGZXIvYXdz"
        };
        let session = Session {
            secret: base64(&random::<30>()),
            token: random_token(prefix, token_length.max(self.token_padding)),
            expires: self.now() + seconds,
            caller,
        };
        let inside = elements(&[
            ("AccessKeyId", id.clone()),
            ("SecretAccessKey", session.secret.clone()),
            ("SessionToken", session.token.clone()),
            ("Expiration", iso_date(session.expires)),
        ]);
        self.sessions.insert(id, session);
        format!("\n    <Credentials>{inside}\n    </Credentials>")
    }
}

fn required<'a>(params: &'a Params, key: &str, name: &str) -> Result<&'a str, Refusal> {
    let value = params.get(key).map(String::as_str);
    value.ok_or_else(|| Refusal::constraint(None, name, "not be null"))
}

fn check_length(value: &str, name: &str, least: usize, most: usize) -> Result<(), Refusal> {
    let length = value.chars().count();
    let constraint = match () {
        () if length < least => format!("have length greater than or equal to {least}"),
        () if length > most => format!("have length less than or equal to {most}"),
        () => return Ok(()),
    };
    Err(Refusal::constraint(Some(value), name, &constraint))
}

fn role_and_session_name(params: &Params) -> Result<(&str, &str), Refusal> {
    let role_arn = required(params, "RoleArn", "roleArn")?;
    check_length(role_arn, "roleArn", 20, 2_048)?;
    let mut parts = role_arn.splitn(6, ':');
    let is_arn =
        parts.next() == Some("arn") && parts.nth(1) == Some("iam") && parts.nth(2).is_some();
    if !is_arn {
        return Err(Refusal::invalid(format!("{role_arn} is invalid")));
    }
    let name = required(params, "RoleSessionName", "roleSessionName")?;
    check_length(name, "roleSessionName", 2, 64)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    if !name.chars().all(allowed) {
        let pattern = r"satisfy regular expression pattern: [\w+=,.@-]*";
        return Err(Refusal::constraint(Some(name), "roleSessionName", pattern));
    }
    Ok((role_arn, name))
}

/// `DurationSeconds` between 900 and `most`.
fn duration(params: &Params, default: i64, most: i64) -> Result<i64, Refusal> {
    let Some(text) = params.get("DurationSeconds") else {
        return Ok(default);
    };
    let Ok(seconds) = text.parse::<i32>() else {
        return Err(Refusal::sender(400, "MalformedInput", "Invalid Argument"));
    };
    let seconds = i64::from(seconds);
    let constraint = match seconds {
        ..900 => "have value greater than or equal to 900".to_owned(),
        _ if seconds > most => format!("have value less than or equal to {most}"),
        _ => return Ok(seconds),
    };
    Err(Refusal::constraint(
        Some(text),
        "durationSeconds",
        &constraint,
    ))
}

fn check_maximum(role: &Role, seconds: i64) -> Result<(), Refusal> {
    if seconds > i64::from(role.max_session_seconds) {
        let message =
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.";
        return Err(Refusal::invalid(message));
    }
    Ok(())
}

fn arn_account(arn: &str) -> &str {
    arn.split(':').nth(4).unwrap_or_default()
}

/// The ARN of a role session; it carries the role's name without its path.
fn session_arn(role_arn: &str, session_name: &str) -> String {
    let partition = role_arn.split(':').nth(1).unwrap_or("aws");
    let role_name = role_arn.rsplit('/').next().unwrap_or_default();
    format!(
        "arn:{partition}:sts::{}:assumed-role/{role_name}/{session_name}",
        arn_account(role_arn)
    )
}

/// IAM's unique ID of an entity, made from its ARN so that it never changes.
fn unique_id(prefix: &str, arn: &str) -> String {
    let hash = digest::digest(&digest::SHA256, arn.as_bytes());
    format!("{prefix}{}", base32(&hash.as_ref()[..17]))
}

/// The `Authorization` header of Signature Version 4.
#[derive(Debug)]
struct Authorization {
    access_key_id: String,
    /// `YYYYMMDD`.
    date: String,
    region: String,
    service: String,
    signed_headers: Vec<String>,
    signature: String,
}

impl Authorization {
    fn parse(header: &str) -> Result<Self, Refusal> {
        let incomplete = |message: String| Refusal::sender(400, "IncompleteSignature", message);
        let Some(fields) = header.strip_prefix("AWS4-HMAC-SHA256") else {
            return Err(incomplete(format!(
                "Unsupported AWS 'algorithm': '{header}'."
            )));
        };
        let fields: BTreeMap<&str, &str> = fields
            .split(',')
            .filter_map(|field| field.trim().split_once('='))
            .collect();
        let field = |name: &str| {
            let found = fields.get(name).copied().filter(|value| !value.is_empty());
            found.ok_or_else(|| {
                incomplete(format!(
                    "Authorization header requires '{name}' parameter. Authorization={header}"
                ))
            })
        };
        let credential = field("Credential")?;
        let parts: Vec<&str> = credential.split('/').collect();
        let [access_key_id, date, region, service, "aws4_request"] = parts[..] else {
            return Err(incomplete(format!(
                "Credential must have exactly 5 slash-delimited elements, e.g. \
                 keyid/date/region/service/term, got '{credential}'"
            )));
        };
        Ok(Self {
            access_key_id: access_key_id.to_owned(),
            date: date.to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
            signed_headers: field("SignedHeaders")?
                .split(';')
                .map(str::to_owned)
                .collect(),
            signature: field("Signature")?.to_owned(),
        })
    }

    /// Refuses a wrong scope, a wrong clock, headers that had to be signed, and a wrong signature.
    fn verify(&self, request: &Request, secret: &str, now: i64) -> Result<(), Refusal> {
        if self.service != "sts" {
            return Err(Refusal::mismatch(
                "Credential should be scoped to correct service: 'sts'. ",
            ));
        }
        let Some(stamp) = request.header("x-amz-date") else {
            let message = "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.";
            return Err(Refusal::sender(400, "IncompleteSignature", message));
        };
        let Some(signed_at) = parse_basic_date(stamp) else {
            let message = format!("Date must be in ISO-8601 'basic format'. Got '{stamp}'.");
            return Err(Refusal::sender(400, "IncompleteSignature", message));
        };
        if !stamp.starts_with(&self.date) {
            return Err(Refusal::mismatch(format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{}' != \
                 '{}', from '{stamp}'.",
                self.date,
                &stamp[..8],
            )));
        }
        let clock = basic_date(now);
        if signed_at < now - MAX_SKEW {
            let limit = basic_date(now - MAX_SKEW);
            return Err(Refusal::mismatch(format!(
                "Signature expired: {stamp} is now earlier than {limit} ({clock} - 5 min.)"
            )));
        }
        if signed_at > now + MAX_SKEW {
            let limit = basic_date(now + MAX_SKEW);
            return Err(Refusal::mismatch(format!(
                "Signature not yet current: {stamp} is still later than {limit} ({clock} + 5 min.)"
            )));
        }
        let must_sign = |name: &str| name == "host" || name.starts_with("x-amz-");
        let unsigned = request
            .headers
            .iter()
            .any(|(name, _)| must_sign(name) && !self.signed_headers.contains(name));
        if unsigned || !self.signed_headers.iter().any(|name| name == "host") {
            return Err(Refusal::mismatch(
                "'Host' or ':authority' and every 'x-amz-' header must be a 'SignedHeader' in the AWS Authorization.",
            ));
        }
        if self.expected_signature(request, secret, stamp) != self.signature {
            return Err(Refusal::mismatch(
                "The request signature we calculated does not match the signature you provided. Check your AWS \
                 Secret Access Key and signing method. Consult the service documentation for details.",
            ));
        }
        Ok(())
    }

    fn expected_signature(&self, request: &Request, secret: &str, stamp: &str) -> String {
        let scope = format!(
            "{}/{}/{}/aws4_request",
            self.date, self.region, self.service
        );
        let canonical = canonical_request(request, &self.signed_headers);
        let hashed = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
        let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashed}");
        let mut key = format!("AWS4{secret}").into_bytes();
        for part in [&self.date, &self.region, &self.service, "aws4_request"] {
            key = hmac_sha256(&key, part);
        }
        hex(&hmac_sha256(&key, &text))
    }
}

/// Signature Version 4's canonical form, for services that encode the path twice (all but S3).
fn canonical_request(request: &Request, signed_headers: &[String]) -> String {
    let mut query: Vec<(String, String)> = pairs(&request.query)
        .map(|(key, value)| {
            (
                encode(&decode_bytes(key, false)),
                encode(&decode_bytes(value, false)),
            )
        })
        .collect();
    query.sort();
    let query: Vec<String> = query
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let path: Vec<String> = request
        .path
        .split('/')
        .map(|segment| encode(segment.as_bytes()))
        .collect();
    let mut headers = String::new();
    for name in signed_headers {
        let values = request.headers.iter().filter(|(key, _)| key == name);
        let values: Vec<String> = values
            .map(|(_, value)| value.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        let _ = writeln!(headers, "{name}:{}", values.join(","));
    }
    let payload = digest::digest(&digest::SHA256, &request.body);
    format!(
        "{}\n{}\n{}\n{headers}\n{}\n{}",
        request.method,
        path.join("/"),
        query.join("&"),
        signed_headers.join(";"),
        hex(payload.as_ref()),
    )
}

fn hmac_sha256(key: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

/// RFC 6238 with RFC 4226's dynamic truncation, six digits.
fn totp(secret: &[u8], step: u64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let offset = usize::from(tag[19] & 0xf);
    let word = tag[offset..offset + 4]
        .iter()
        .fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
    format!("{:06}", (word & 0x7fff_ffff) % 1_000_000)
}

fn tls_config()
-> Result<(Arc<rustls::ServerConfig>, String), Box<dyn std::error::Error + Send + Sync>> {
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair,
        KeyUsagePurpose,
    };

    let mut authority = CertificateParams::default();
    authority
        .distinguished_name
        .push(DnType::CommonName, "STS stand-in CA");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;

    let names: Vec<String> = TLS_NAMES.iter().map(|name| (*name).to_owned()).collect();
    let mut server = CertificateParams::new(names)?;
    server
        .distinguished_name
        .push(DnType::CommonName, "localhost");
    server.use_authority_key_identifier_extension = true;
    server.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = server.signed_by(&key, &authority)?;

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let private = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private.into())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((Arc::new(config), authority.pem()))
}

fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let fields = text.split('&').filter(|field| !field.is_empty());
    fields.map(|field| field.split_once('=').unwrap_or((field, "")))
}

fn decode(text: &str, form: bool) -> String {
    String::from_utf8_lossy(&decode_bytes(text, form)).into_owned()
}

/// Percent-decodes; in a form, `+` is a space. What is no escape stays as it is.
fn decode_bytes(text: &str, form: bool) -> Vec<u8> {
    let bytes = text.as_bytes();
    let digit = |at: usize| {
        bytes
            .get(at)
            .and_then(|byte| char::from(*byte).to_digit(16))
            .map(|digit| digit as u8)
    };
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(high << 4 | low);
                at += 2;
            }
            (b'+', ..) if form => decoded.push(b' '),
            _ => decoded.push(*byte),
        }
        at += 1;
    }
    decoded
}

/// Percent-encodes all but RFC 3986's unreserved characters.
fn encode(bytes: &[u8]) -> String {
    let mut encoded = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            encoded.push(char::from(*byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

fn elements(pairs: &[(&str, String)]) -> String {
    pairs
        .iter()
        .map(|(name, value)| format!("\n    <{name}>{}</{name}>", escape_xml(value)))
        .collect()
}

fn escape_xml(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn json_string(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn base32(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    bytes
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte % 32)]))
        .collect()
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = (0..3).fold(0, |word, at| {
            word << 8 | usize::from(chunk.get(at).copied().unwrap_or(0))
        });
        for at in 0..4 {
            let sextet = word >> (18 - 6 * at) & 63;
            encoded.push(if at <= chunk.len() {
                char::from(ALPHABET[sextet])
            } else {
                '='
            });
        }
    }
    encoded
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("the system has random bytes");
    bytes
}

/// Base64 of at least `length` characters that begins as AWS's tokens do.
fn random_token(prefix: &str, length: usize) -> String {
    let mut token = prefix.to_owned();
    while token.len() < length {
        token.push_str(&base64(&random::<33>()));
    }
    token
}

fn request_id() -> String {
    let id = hex(&random::<16>());
    format!(
        "{}-{}-{}-{}-{}",
        &id[..8],
        &id[8..12],
        &id[12..16],
        &id[16..20],
        &id[20..]
    )
}

fn now(offset: i64) -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs())
        .unwrap_or(i64::MAX)
        .saturating_add(offset)
}

/// Year, month, day, hour, minute, second of a Unix time, in UTC (Hinnant's `civil_from_days`).
fn civil(seconds: i64) -> (i64, i64, i64, i64, i64, i64) {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (
        year,
        month,
        day,
        second / 3_600,
        second / 60 % 60,
        second % 60,
    )
}

/// `2026-11-20T18:03:11Z`.
fn iso_date(seconds: i64) -> String {
    let (year, month, day, hour, minute, second) = civil(seconds);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// `20261120T180311Z`.
fn basic_date(seconds: i64) -> String {
    iso_date(seconds).replace(['-', ':'], "")
}

/// `Fri, 20 Nov 2026 18:03:11 GMT`.
fn http_date(seconds: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (year, month, day, hour, minute, second) = civil(seconds);
    let weekday = DAYS[seconds.div_euclid(86_400).rem_euclid(7) as usize];
    let month = MONTHS[(month - 1) as usize];
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

/// Unix seconds of `20261120T180311Z`.
fn parse_basic_date(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if bytes.len() != 16 || bytes[8] != b'T' || bytes[15] != b'Z' {
        return None;
    }
    let number = |from: usize, to: usize| {
        bytes[from..to].iter().try_fold(0_i64, |number, byte| {
            let digit = char::from(*byte).to_digit(10)?;
            Some(number * 10 + i64::from(digit))
        })
    };
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let (hour, minute, second) = (number(9, 11)?, number(11, 13)?, number(13, 15)?);
    if !(1..=12).contains(&month) {
        return None;
    }
    let year_from_march = if month <= 2 { year - 1 } else { year };
    let era = year_from_march.div_euclid(400);
    let year_of_era = year_from_march.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second;
    (basic_date(seconds) == text).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUITE_SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    const SUITE_DATE: &str = "20150830T123600Z";

    fn signature_of(head: &str, body: &str, service: &str, signed_headers: &str) -> String {
        let mut request = parse_head(head.as_bytes()).expect("the vector parses");
        request.body = body.as_bytes().to_vec();
        let authorization = Authorization::parse(&format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/{service}/aws4_request, \
             SignedHeaders={signed_headers}, Signature=0"
        ));
        authorization
            .expect("the header parses")
            .expected_signature(&request, SUITE_SECRET, SUITE_DATE)
    }

    #[test]
    fn the_signature_of_get_vanilla_is_the_published_one() {
        let head = "GET / HTTP/1.1\r\nHost:example.amazonaws.com\r\nX-Amz-Date:20150830T123600Z";
        let expected = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
        assert_eq!(
            signature_of(head, "", "service", "host;x-amz-date"),
            expected
        );
    }

    #[test]
    fn the_signature_of_post_x_www_form_urlencoded_is_the_published_one() {
        let head = "POST / HTTP/1.1\r\nContent-Type:application/x-www-form-urlencoded\r\n\
                    Host:example.amazonaws.com\r\nX-Amz-Date:20150830T123600Z";
        let expected = "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a";
        assert_eq!(
            signature_of(
                head,
                "Param1=value1",
                "service",
                "content-type;host;x-amz-date"
            ),
            expected
        );
    }

    #[test]
    fn the_signature_of_the_list_users_example_is_the_documented_one() {
        let head = "GET /?Action=ListUsers&Version=2010-05-08 HTTP/1.1\r\nHost: iam.amazonaws.com\r\n\
                    Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\nX-Amz-Date: 20150830T123600Z";
        let expected = "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";
        assert_eq!(
            signature_of(head, "", "iam", "content-type;host;x-amz-date"),
            expected
        );
    }

    #[test]
    fn codes_are_those_of_rfc_6238() {
        let vectors = [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ];
        for (time, code) in vectors {
            assert_eq!(totp(MFA_SECRET, time / TOTP_STEP), code, "at {time}");
        }
    }

    #[test]
    fn dates_survive_the_round_trip_and_nonsense_is_refused() {
        for text in [
            "19700101T000000Z",
            "20000229T235959Z",
            "20261120T180311Z",
            "21000301T000000Z",
        ] {
            assert_eq!(
                parse_basic_date(text).map(basic_date).as_deref(),
                Some(text)
            );
        }
        for text in [
            "",
            "20261320T180311Z",
            "20260230T180311Z",
            "2026-11-20T18:03Z",
            "20261120T186011Z",
        ] {
            assert_eq!(parse_basic_date(text), None, "{text}");
        }
        assert_eq!(http_date(1_795_197_791), "Fri, 20 Nov 2026 18:03:11 GMT");
    }

    #[test]
    fn base64_is_that_of_rfc_4648() {
        let vectors = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, encoded) in vectors {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }
}
