//! Owns how AWS is reached: the async runtime, the TLS roots, proxies and deadlines. A hit never comes here.

use crate::error::{Error, Kind, Result};
use crate::plan::{CaBundle, Endpoint, Settings};
use crate::secret::SecretBytes;
use crate::world::World;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::DateTime;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use aws_smithy_types::date_time::Format;
use http_body_util::Limited;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::cell::Cell;
use std::io;
use std::mem::ManuallyDrop;
use std::net::ToSocketAddrs;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Longer than a connection to the other side of the world takes, short enough to try again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long one attempt may wait for an answer; STS answers within a second or two.
const READ_TIMEOUT: Duration = Duration::from_secs(7);
/// How long one call may take with all its attempts and the pauses between them.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(20);
/// How long all calls together may take while a session that is still valid could be printed instead; the caller
/// then waits at most 10 s.
pub const BUDGET_WITH_FALLBACK: Duration = Duration::from_secs(8);
/// What is left for a call when the budget is used up: enough to fail properly.
const LEAST_TIMEOUT: Duration = Duration::from_millis(500);
/// The SDK's standard mode: three attempts, exponential backoff with jitter, for throttling, 5xx and lost connections.
const MAX_ATTEMPTS: u32 = 3;
/// How long another program, a browser login or a metadata service may take to give the source's credentials.
pub const SOURCE_TIMEOUT: Duration = Duration::from_secs(60);

/// What is needed to talk to AWS.
pub struct Network {
    /// Runs the SDK. It is never dropped, as that would wait for threads that may still ask a dead name server; they end
    /// with the process.
    runtime: ManuallyDrop<Arc<tokio::runtime::Runtime>>,
    /// Where STS is.
    pub endpoint: Endpoint,
    /// How it is reached.
    pub settings: Settings,
    http: SharedHttpClient,
    /// All calls to STS go through it, and so over the same connection.
    connector: SharedHttpConnector,
    /// When everything has to be over, if that matters.
    deadline: Cell<Option<Instant>>,
    /// The fallback region is asked, as the plan's own gave no answer.
    is_elsewhere: Cell<bool>,
    /// What became of the attempts of the last call.
    pub attempts: Arc<Attempts>,
}

/// What is known about a call's attempts.
#[derive(Debug, Default)]
pub struct Attempts {
    /// The request may have arrived, whatever came back.
    pub may_have_arrived: AtomicBool,
    /// There was no answer, and asking elsewhere does no harm.
    pub may_ask_elsewhere: AtomicBool,
}

impl Network {
    /// Prepares the network; nothing is sent. `limit` is for the time of all calls together.
    ///
    /// # Errors
    /// `ca_bundle` cannot be read or holds no certificate.
    pub fn new(endpoint: &Endpoint, settings: &Settings, limit: Option<Duration>) -> Result<Self> {
        let roots = match &settings.ca_bundle {
            Some(bundle) => TrustStore::empty().with_pem_certificate(read_bundle(bundle)?),
            None => TrustStore::empty().with_native_roots(true),
        };
        let tls = TlsContext::builder()
            .with_trust_store(roots)
            .build()
            .map_err(|error| Error::failed(format!("cannot prepare TLS: {error}")))?;
        let usual =
            HttpConnectorSettings::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT).build();
        let connector = connector(&usual, &tls, ProxyConfig::from_env());
        let to_sts = connector.clone();
        let http = http_client_fn(move |settings, _| {
            // The metadata services of AWS are near, or not there; the SDK waits for them less long. Security: what they
            // give, and the token they want, is no business of a proxy.
            let is_usual = settings.connect_timeout() == usual.connect_timeout()
                && settings.read_timeout() == usual.read_timeout();
            if is_usual { to_sts.clone() } else { self::connector(settings, &tls, ProxyConfig::disabled()) }
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::failed(format!("cannot start the async runtime: {error}")))?;
        let deadline = Cell::new(limit.map(|limit| Instant::now() + limit));
        Ok(Self {
            runtime: ManuallyDrop::new(Arc::new(runtime)),
            endpoint: endpoint.clone(),
            settings: settings.clone(),
            http,
            connector,
            deadline,
            is_elsewhere: Cell::new(false),
            attempts: Arc::default(),
        })
    }

    /// Gives where STS is asked now: the region, and the URL if one is configured or the global endpoint is meant.
    pub fn place(&self) -> (&str, Option<&str>) {
        let Endpoint { region, url, global, .. } = &self.endpoint;
        let is_plain = !self.settings.use_fips && !self.settings.use_dualstack;
        match (&self.settings.fallback_region, url) {
            (Some(region), _) if self.is_elsewhere.get() => (region, None),
            // The global endpoint signs for us-east-1, and has no variants.
            (_, None) if *global && is_plain => ("us-east-1", Some("https://sts.amazonaws.com")),
            (_, url) => (region, url.as_deref()),
        }
    }

    /// Tells whether there is another region to ask.
    pub fn has_fallback(&self) -> bool {
        self.settings.fallback_region.is_some() && self.endpoint.url.is_none() && !self.is_elsewhere.get()
    }

    /// Asks the other region from now on.
    pub fn go_elsewhere(&self) {
        self.is_elsewhere.set(true);
    }

    /// Gives the time when everything has to be over, if that matters.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline.get()
    }

    /// Takes the limit off, as a person has answered a prompt and now waits for the result.
    pub fn take_your_time(&self) {
        self.deadline.set(None);
    }

    /// Cuts a time down to what is left.
    pub fn at_most(&self, time: Duration) -> Duration {
        let left = |deadline: Instant| deadline.saturating_duration_since(Instant::now()).max(LEAST_TIMEOUT);
        self.deadline.get().map_or(time, |deadline| time.min(left(deadline)))
    }

    /// Waits for the SDK to finish something. The box keeps each kind of call from becoming a large function of its own.
    pub fn block_on<'f, T>(&self, future: impl Future<Output = T> + 'f) -> T {
        let future: Pin<Box<dyn Future<Output = T> + 'f>> = Box::pin(future);
        self.runtime.block_on(future)
    }

    /// Sends a GET that carries no credentials.
    ///
    /// # Errors
    /// `Unreachable` if there is no answer in time.
    pub fn get(&self, url: &str) -> Result<HttpResponse> {
        let request = http_request(url).ok_or_else(|| Error::usage(format!("`{url}` is not a URL")))?;
        let limit = self.at_most(READ_TIMEOUT);
        match self.block_on(async { tokio::time::timeout(limit, self.connector.call(request)).await }) {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(unreachable(&format!("`{url}`"), &error)),
            Err(late) => Err(unreachable(&format!("`{url}`"), &late)),
        }
    }

    /// Sends a request once, and gives the answer's status, the time by its `Date` in seconds since the Unix epoch, and its
    /// body.
    ///
    /// # Errors
    /// `Unreachable` if there is no whole answer in time.
    pub fn send(&self, request: HttpRequest) -> Result<(u16, Option<i64>, SecretBytes)> {
        let what = format!("`{}`", request.uri());
        let limit = self.at_most(READ_TIMEOUT);
        let exchange = async {
            let answer = self.connector.call(request).await.map_err(|error| unreachable(&what, &error))?;
            let (status, date) = (answer.status().as_u16(), date(&answer));
            let body = ByteStream::new(answer.into_body()).collect().await;
            let body = body.map_err(|error| unreachable(&what, &error))?.to_vec();
            Ok((status, date, SecretBytes::from(body)))
        };
        let answered = self.block_on(async { tokio::time::timeout(limit, exchange).await });
        answered.unwrap_or_else(|late| Err(unreachable(&what, &late)))
    }

    /// Makes the connection in a thread of its own while this one waits for a person, so that the calls that follow
    /// find it. Whatever goes wrong here goes wrong again where it is told.
    pub fn warm_up(&self, url: &str) {
        let Some(request) = http_request(url) else { return };
        let (connector, runtime) = (self.connector.clone(), Arc::clone(&self.runtime));
        let greet = move || {
            runtime.block_on(async {
                if let Ok(answer) = connector.call(request).await {
                    // A connection is free for others when the answer has been read to its end.
                    let _ = ByteStream::new(answer.into_body()).collect().await;
                }
            });
        };
        let _ = thread::Builder::new().spawn(greet);
    }

    /// Gives the HTTP client.
    pub fn http(&self) -> SharedHttpClient {
        self.http.clone()
    }

    /// Gives the deadlines of every call.
    pub fn timeouts(&self) -> TimeoutConfig {
        TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .operation_timeout(self.at_most(OPERATION_TIMEOUT))
            .build()
    }

    /// Gives the retries of every call.
    pub fn retries(&self) -> RetryConfig {
        RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS)
    }

    /// Gives the configuration for the SDK's own credential providers.
    pub fn provider_config(&self) -> ProviderConfig {
        ProviderConfig::without_region()
            .with_region(Some(Region::new(self.endpoint.region.clone())))
            .with_behavior_version(Some(BehaviorVersion::latest()))
            .with_http_client(self.http())
            .with_retry_config(self.retries())
            .with_timeout_config(self.timeouts())
    }
}

/// Gives the time by an answer's `Date`, in seconds since the Unix epoch.
pub fn date(answer: &HttpResponse) -> Option<i64> {
    DateTime::from_str(answer.headers().get("date")?, Format::HttpDate).ok().map(|date| date.secs())
}

fn http_request(url: &str) -> Option<HttpRequest> {
    let mut request = HttpRequest::empty();
    request.set_uri(url).ok()?;
    Some(request)
}

fn connector(settings: &HttpConnectorSettings, tls: &TlsContext, proxies: ProxyConfig) -> SharedHttpConnector {
    let connector = Connector::builder()
        .connector_settings(settings.clone())
        .sleep_impl(TokioSleep::new())
        .proxy_config(proxies)
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(tls.clone());
    SharedHttpConnector::new(Bounded(SharedHttpConnector::new(connector.build_with_resolver(Resolver))))
}

/// A connector whose answers have an end; the SDK reads them whole.
#[derive(Debug)]
struct Bounded(SharedHttpConnector);

impl HttpConnector for Bounded {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        /// The longest answer has some 20 kB.
        const MAX_BYTES: usize = 1 << 20;
        let answer = self.0.call(request);
        HttpConnectorFuture::new(async move {
            Ok(answer.await?.map(|body| SdkBody::from_body_1_x(Limited::new(body, MAX_BYTES))))
        })
    }
}

/// The system's resolver, in a thread; where none can be had, as at a limit of processes, in this one.
#[derive(Debug, Clone)]
struct Resolver;

impl ResolveDns for Resolver {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        let name = name.to_owned();
        DnsFuture::new(async move {
            let (sender, receiver) = oneshot::channel();
            let look_up = |name: &str| Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect());
            let in_thread = name.clone();
            let found = match thread::Builder::new().spawn(move || drop(sender.send(look_up(&in_thread)))) {
                Ok(_) => receiver.await.unwrap_or_else(|_| Err(io::Error::other("the resolver has ended"))),
                Err(_) => look_up(&name),
            };
            found.map_err(ResolveDnsError::new)
        })
    }
}

/// Refuses a proxy that cannot be used. The SDK would go past it without a word.
///
/// # Errors
/// Names the variable, not its value, which may hold a password.
pub fn check_proxies(world: &World) -> Result<()> {
    for name in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        let Some(value) = world.var(name) else { continue };
        let host = value.split_once("://").map_or(value.as_str(), |(_, rest)| rest);
        let host = host.rsplit('@').next().unwrap_or_default().trim_end_matches('/');
        let port = host.rsplit_once(':').map_or("80", |(_, port)| port);
        let is_host = host.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[');
        let is_port = host.ends_with(']') || port.parse::<u16>().is_ok();
        if value.contains(char::is_whitespace) || !is_host || !is_port {
            return Err(Error::usage(format!("`{name}` is not a proxy's URL, which has the form http://host:3128"))
                .hint("correct or unset it; special characters in a password are written as `%` and two digits"));
        }
    }
    Ok(())
}

/// Reads a PEM bundle and checks it, as the SDK panics on a bad one.
fn read_bundle(bundle: &CaBundle) -> Result<Vec<u8>> {
    let path = &bundle.path;
    let setting = match &bundle.written_in {
        Some((file, line)) => format!("`ca_bundle` in `{}` line {line}", file.display()),
        None => "`AWS_CA_BUNDLE`".to_owned(),
    };
    let bad = |why: String| Error::usage(format!("{setting}: `{}` {why}", path.display()));
    let hint = "give a PEM file with the certificates to trust, or remove the setting to use the system's";
    let bytes = std::fs::read(path).map_err(|error| bad(format!("cannot be read: {error}")).hint(hint))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        let certificate = certificate.map_err(|error| bad(format!("is not valid PEM: {error}")).hint(hint))?;
        roots.add(certificate).map_err(|error| bad(format!("holds a bad certificate: {error}")).hint(hint))?;
    }
    if roots.is_empty() { Err(bad("holds no certificate".to_owned()).hint(hint)) } else { Ok(bytes) }
}

/// Turns a failure to connect into an error that says what to look at.
pub fn unreachable(what: &str, cause: &dyn std::error::Error) -> Error {
    let text = innermost(cause);
    let lower = text.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let hint = if has(&["unknownissuer", "unknown issuer", "certificate", "notvalidforname"]) {
        "the server's certificate is not trusted: if a proxy inspects TLS, set `ca_bundle` or `AWS_CA_BUNDLE` to its root"
    } else if has(&["dns", "lookup", "name or service", "name does not resolve"]) {
        "the host name is not known: check the network, `region` and `endpoint_url`"
    } else if has(&["proxy authorization required"]) {
        "the proxy wants a password (407): write `HTTPS_PROXY` as http://user:password@host:3128, special characters as `%` \
         and two digits"
    } else if has(&["proxy", "tunnel"]) {
        "check `HTTPS_PROXY` and `NO_PROXY`"
    } else {
        "check the network, `HTTPS_PROXY`, and `endpoint_url`, then retry"
    };
    Error::new(Kind::Unreachable, format!("cannot reach {what}: {text}")).hint(hint)
}

/// Tells whether an error came about because there was no connection, or none that lasted.
pub fn is_connection_error(error: &(dyn std::error::Error + 'static)) -> bool {
    chain(error).any(|cause| cause.is::<ConnectorError>())
}

/// Tells whether a request never left this machine, as there was no connection for it.
pub fn is_unsent(error: &(dyn std::error::Error + 'static)) -> bool {
    // hyper's own words; should they change, a call with a code is not made elsewhere.
    chain(error).any(|cause| cause.to_string() == "client error (Connect)")
}

fn chain<'e>(
    error: &'e (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'e (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

/// Gives the cause that says most, the last one, without the layers it came through.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}

/// Puts an error and its causes on one line, without repeating what is said twice.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}
