//! The real host names of AWS with their TLS, in a network of its own, where they lead to the stand-in on port 443.

use crate::support::namespace::Namespace;
use crate::support::sts::{ADMIN, Certificate, Fault, Role, Sts, WEB_IDENTITY, WEB_IDENTITY_TOKEN};
use crate::support::{Home, Output, PATIENCE, Terminal};
use std::net::TcpListener;
use std::time::{Duration, Instant};

const HOST: &str = "sts.eu-west-1.amazonaws.com";
const OTHER_HOST: &str = "sts.eu-central-1.amazonaws.com";

/// A home whose STS is at `address` of a network, under a certificate.
fn home_at(network: &Namespace, address: &str, certificate: &Certificate) -> Home {
    let sts = Sts::start_over(network.listen(address), Some(certificate)).expect("the stand-in starts");
    let home = Home::with(sts, "");
    home.write_config(&config(&home, ADMIN, "region = eu-west-1"));
    home
}

/// Gives a config file without an endpoint, so that AWS's own are asked.
fn config(home: &Home, arn: &str, lines: &str) -> String {
    let role = home.role("prod", arn, "");
    let role = role.replace(&format!("endpoint_url = {}\n", home.sts.url()), "");
    format!("[profile base]\n{}", role.replace("region = eu-west-1", lines))
}

/// The usual network: one name on 127.0.0.1, and the stand-in there.
fn usual(certificate: &Certificate) -> Option<(Namespace, Home)> {
    let network = Namespace::new(&format!("127.0.0.1 {HOST}\n"))?;
    let home = home_at(&network, "127.0.0.1:443", certificate);
    Some((network, home))
}

fn get(network: &Namespace, home: &Home) -> Output {
    network.run(home.keyrole(["get", "prod"])).output()
}

#[test]
fn the_host_name_of_sts_is_believed_with_a_certificate_for_it() {
    let Some((network, home)) = usual(&Certificate::new(&[HOST])) else { return };
    get(&network, &home).document();
    assert_eq!(home.sts.calls()[0].host, HOST);
}

#[test]
fn without_a_bundle_the_roots_of_the_system_are_those_that_are_trusted() {
    let Some((network, home)) = usual(&Certificate::new(&[HOST])) else { return };
    let config = std::fs::read_to_string(home.path().join(".aws/config")).unwrap().replace("ca_bundle", "output");
    home.write_config(&config);
    get(&network, &home).fails(1, &["cannot reach STS in `eu-west-1`", "certificate"]);
    let run = network.run(home.keyrole(["get", "prod"])).env("SSL_CERT_FILE", home.path().join("ca.pem"));
    run.output().document();
}

#[test]
fn a_certificate_for_another_name_that_is_over_or_of_another_authority_is_refused() {
    let expired = Certificate { is_expired: true, ..Certificate::new(&[HOST]) };
    for (certificate, is_ours, why) in [
        (Certificate::new(&["sts.us-east-1.amazonaws.com"]), true, "not valid for name"),
        (expired, true, "expired"),
        (Certificate::new(&[HOST]), false, "invalid peer certificate"),
    ] {
        let Some((network, home)) = usual(&certificate) else { return };
        if !is_ours {
            std::fs::write(home.path().join("ca.pem"), Sts::start_tls().ca_pem().unwrap()).unwrap();
        }
        get(&network, &home).fails(1, &["cannot reach STS in `eu-west-1`", "certificate", why, "hint: "]);
        assert_eq!(home.sts.calls().len(), 0, "{why}");
    }
}

#[test]
fn every_setting_leads_to_the_host_that_it_stands_for() {
    let cases = [
        ("aws", "region = eu-west-1", HOST),
        ("aws", "", "sts.us-east-1.amazonaws.com"),
        ("aws-cn", "", "sts.cn-north-1.amazonaws.com.cn"),
        ("aws-cn", "region = cn-northwest-1", "sts.cn-northwest-1.amazonaws.com.cn"),
        ("aws-us-gov", "", "sts.us-gov-west-1.amazonaws.com"),
        ("aws-iso", "", "sts.us-iso-east-1.c2s.ic.gov"),
        ("aws", "region = eu-west-1\nsts_regional_endpoints = legacy", "sts.amazonaws.com"),
        ("aws", "region = eu-south-1\nsts_regional_endpoints = legacy", "sts.eu-south-1.amazonaws.com"),
        ("aws", "region = us-east-2\nuse_fips_endpoint = true", "sts-fips.us-east-2.amazonaws.com"),
        (
            "aws",
            "region = us-east-2\nuse_fips_endpoint = true\nsts_regional_endpoints = legacy",
            "sts-fips.us-east-2.amazonaws.com",
        ),
        ("aws", "region = eu-west-1\nuse_dualstack_endpoint = true", "sts.eu-west-1.api.aws"),
        ("aws", "region = eu-west-1\nendpoint_url = http://127.0.0.1:1\nignore_configured_endpoint_urls = true", HOST),
    ];
    let hosts: String = cases.iter().map(|(.., host)| format!("127.0.0.1 {host}\n")).collect();
    let Some(network) = Namespace::new(&hosts) else { return };
    let home = home_at(&network, "127.0.0.1:443", &Certificate::new(&cases.map(|(.., host)| host)));
    for (partition, lines, host) in cases {
        let arn = ADMIN.replace("arn:aws:", &format!("arn:{partition}:"));
        home.sts.add_role(Role::new(&arn, &["111122223333"]));
        home.write_config(&config(&home, &arn, lines));
        home.sts.forget_calls();
        network.run(home.keyrole(["get", "prod", "--refresh"])).output().document();
        let call = home.sts.calls().pop().expect("a call");
        assert_eq!(call.host, host, "{lines}");
        let region = if host == "sts.amazonaws.com" { "us-east-1" } else { host.split('.').nth(1).unwrap() };
        assert_eq!(call.region.as_deref(), Some(region), "{lines}");
    }
}

#[test]
fn a_network_without_ipv4_is_enough() {
    let Some(network) = Namespace::with(&format!("::1 {HOST}\n"), "ip address delete 127.0.0.1/8 dev lo;") else {
        return;
    };
    let home = home_at(&network, "[::1]:443", &Certificate::new(&[HOST]));
    get(&network, &home).document();
    assert_eq!(home.sts.calls()[0].host, HOST);
}

/// A network in which the first region's name leads to 127.0.0.2 and the fallback's to the stand-in.
fn with_fallback() -> Option<(Namespace, Home)> {
    let network = Namespace::new(&format!("127.0.0.2 {HOST}\n127.0.0.1 {OTHER_HOST}\n"))?;
    let home = home_at(&network, "127.0.0.1:443", &Certificate::new(&[OTHER_HOST]));
    home.write_config(&config(&home, ADMIN, "region = eu-west-1\nkeyrole_sts_fallback_region = eu-central-1"));
    Some((network, home))
}

/// Gives the home an MFA device.
fn with_serial(home: &Home) {
    let config = std::fs::read_to_string(home.path().join(".aws/config")).unwrap();
    home.write_config(&config.replace("[profile base]\n", &format!("[profile base]\nmfa_serial = {}\n", home.serial)));
}

/// Puts an STS at the first region's address, whose certificate is as good as the other's.
fn first_sts(network: &Namespace, home: &Home) -> Sts {
    let first = Sts::start_over(network.listen("127.0.0.2:443"), Some(&Certificate::new(&[HOST]))).unwrap();
    let bundle = home.path().join("ca.pem");
    let both = std::fs::read_to_string(&bundle).unwrap() + first.ca_pem().unwrap();
    std::fs::write(bundle, both).unwrap();
    first
}

/// Checks that the log has one change to the other region, and says so with the endpoint.
#[track_caller]
fn fell_back_once(home: &Home) {
    let log = home.log();
    let lines: Vec<_> = log.iter().filter(|line| line["event"] == "fell_back").collect();
    assert_eq!(lines.len(), 1, "{log:?}");
    assert_eq!(lines[0]["endpoint"], format!("https://{OTHER_HOST}"));
    let shown = home.keyrole(["log"]).output().stdout;
    assert!(shown.contains(&format!("https://{OTHER_HOST} was asked: cannot reach STS in `eu-west-1`: ")), "{shown}");
    assert!(lines[0]["error"].as_str().unwrap().starts_with("cannot reach STS in `eu-west-1`: "), "{log:?}");
}

#[test]
fn where_the_regions_sts_cannot_be_reached_the_fallbacks_is_asked() {
    let Some((network, home)) = with_fallback() else { return };
    get(&network, &home).document();
    let calls = home.sts.calls();
    assert_eq!((calls.len(), &*calls[0].host, calls[0].region.as_deref()), (1, OTHER_HOST, Some("eu-central-1")));
    fell_back_once(&home);
    assert_eq!(home.events(), ["fell_back", "issued"]);
    // What is cached is as good as from the first region.
    let config = std::fs::read_to_string(home.path().join(".aws/config")).unwrap();
    home.write_config(&config.replace("keyrole_sts_fallback_region", "output"));
    home.keyrole(["get", "prod"]).output().document();
    network.run(home.keyrole(["get", "prod", "--refresh"])).output().fails(1, &["cannot reach STS in `eu-west-1`"]);
}

#[test]
fn where_neither_region_can_be_reached_the_error_names_both() {
    let Some(network) = Namespace::new(&format!("127.0.0.2 {HOST} {OTHER_HOST}\n")) else { return };
    let home = home_at(&network, "127.0.0.1:443", &Certificate::new(&[OTHER_HOST]));
    home.write_config(&config(&home, ADMIN, "region = eu-west-1\nkeyrole_sts_fallback_region = eu-central-1"));
    let words =
        ["cannot reach STS in `eu-west-1`: ", "cannot reach STS in `eu-central-1`: ", "hint: check the network"];
    get(&network, &home).fails(1, &words);
    fell_back_once(&home);
}

#[test]
fn a_region_that_answers_is_not_left_whatever_it_answers() {
    let Some((network, home)) = with_fallback() else { return };
    let first = first_sts(&network, &home);
    for (fault, code) in [(Fault::AccessDenied, 5), (Fault::ServerError, 1), (Fault::Throttle, 1), (Fault::Html, 1)] {
        first.set_fault(Some(fault));
        get(&network, &home).fails(code, &[]);
        std::fs::remove_dir_all(home.state_dir()).unwrap();
    }
    assert_eq!(home.sts.calls().len(), 0);
}

#[test]
fn a_region_that_breaks_off_is_left_and_both_calls_are_made_in_the_other() {
    let Some((network, home)) = with_fallback() else { return };
    let first = first_sts(&network, &home);
    first.set_fault(Some(Fault::Drop));
    get(&network, &home).document();
    assert_eq!((first.calls().len(), home.sts.calls().len()), (1, 1));
    fell_back_once(&home);
}

#[test]
fn a_web_identity_is_taken_to_the_other_region_too() {
    let Some((network, home)) = with_fallback() else { return };
    std::fs::write(home.path().join("token"), WEB_IDENTITY_TOKEN).unwrap();
    let token = format!("web_identity_token_file = {}", home.path().join("token").display());
    let config = std::fs::read_to_string(home.path().join(".aws/config")).unwrap();
    home.write_config(&config.replace(ADMIN, WEB_IDENTITY).replace("keyrole_source_profile = base", &token));
    get(&network, &home).document();
    assert_eq!(home.sts.count("AssumeRoleWithWebIdentity"), 1);
    fell_back_once(&home);
}

/// Types the code at the prompt.
#[track_caller]
fn answer(terminal: &Terminal, home: &Home) {
    terminal.expect("MFA code for ");
    terminal.send(&format!("{}\n", home.code()));
}

#[test]
fn a_code_that_did_not_leave_this_machine_is_taken_elsewhere_and_the_rest_of_the_run_stays_there() {
    let Some((network, home)) = with_fallback() else { return };
    with_serial(&home);
    // Nobody takes what this one has accepted: neither the prompt nor the answer waits for long.
    let silent: TcpListener = network.listen("127.0.0.2:443");
    let terminal = network.run(home.keyrole(["get", "prod"])).on_terminal();
    answer(&terminal, &home);
    let start = Instant::now();
    terminal.finish().document();
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    let actions: Vec<String> = home.sts.calls().into_iter().map(|call| call.action).collect();
    assert_eq!(actions, ["GetSessionToken", "AssumeRole"]);
    fell_back_once(&home);
    drop(silent);
}

#[test]
fn a_code_that_may_have_arrived_is_not_taken_elsewhere() {
    let Some((network, home)) = with_fallback() else { return };
    with_serial(&home);
    let first = first_sts(&network, &home);
    first.set_fault(Some(Fault::Drop));
    let terminal = network.run(home.keyrole(["get", "prod"])).on_terminal();
    answer(&terminal, &home);
    terminal.finish().fails(1, &["cannot reach STS in `eu-west-1`"]);
    assert!(first.attempts("GetSessionToken") > 0 && home.sts.calls().is_empty());
}

#[test]
fn doctor_tries_the_fallback_too() {
    let Some((network, home)) = with_fallback() else { return };
    let output = network.run(home.keyrole(["doctor", "prod", "--json"])).output();
    let report: serde_json::Value = serde_json::from_str(&output.stdout).expect("JSON");
    let check = |name: &str| {
        let mut checks = report["checks"].as_array().unwrap().iter();
        let found = checks.find(|check| check["check"] == name).unwrap_or_else(|| panic!("no {name} in {report}"));
        (found["status"].as_str().unwrap().to_owned(), found["finding"].as_str().unwrap().to_owned())
    };
    assert_eq!(check("sts").0, "fail");
    let (status, finding) = check("sts_fallback");
    assert!(status == "ok" && finding.starts_with(&format!("`https://{OTHER_HOST}` answers ")), "{finding}");
}

/// A proxy that wants a password.
struct Tinyproxy(std::process::Child, std::path::PathBuf);

impl Tinyproxy {
    fn start(network: &Namespace, home: &Home) -> Self {
        let (file, log) = (home.path().join("tinyproxy.conf"), home.path().join("tinyproxy.log"));
        let text = format!(
            "Port 8888\nListen 127.0.0.1\nTimeout 60\nMaxClients 20\nLogFile \"{}\"\nLogLevel Info\n\
             BasicAuth me pass.word\nConnectPort 443\n",
            log.display()
        );
        std::fs::write(&file, text).unwrap();
        let child = network.run(home.run("tinyproxy", ["-d", "-c", file.to_str().unwrap()])).spawn();
        let proxy = Self(child, log);
        proxy.await_log("Accepting connections");
        proxy
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.1).unwrap_or_default()
    }

    /// How many times it was asked for a way to a host.
    fn requests(&self) -> usize {
        self.log().matches("Request (file descriptor").count()
    }

    #[track_caller]
    fn await_log(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.log().contains(text) {
            assert!(Instant::now() < deadline, "no {text:?} in {:?}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Tinyproxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const PROXY: &str = "http://me:pass%2Eword@127.0.0.1:8888";

#[test]
fn a_proxy_is_used_with_its_password_except_for_what_needs_none() {
    let Some((network, home)) = usual(&Certificate::new(&[HOST])) else { return };
    let proxy = Tinyproxy::start(&network, &home);
    let get = |name: &str, value: &str| network.run(home.keyrole(["get", "prod", "--refresh"])).env(name, value);
    for name in ["HTTPS_PROXY", "https_proxy"] {
        let before = proxy.requests();
        get(name, PROXY).output().document();
        assert_eq!(proxy.requests(), before + 1, "{name}: {}", proxy.log());
    }
    let before = proxy.requests();
    get("HTTP_PROXY", PROXY).output().document();
    for except in ["*", HOST, "amazonaws.com", ".amazonaws.com", "localhost,.amazonaws.com"] {
        get("HTTPS_PROXY", PROXY).env("NO_PROXY", except).output().document();
    }
    assert_eq!(proxy.requests(), before, "{}", proxy.log());
    get("HTTPS_PROXY", PROXY).env("NO_PROXY", "example.com").output().document();
    assert_eq!(proxy.requests(), before + 1);
}

#[test]
fn a_proxy_that_wants_another_password_is_named_and_the_password_is_not() {
    let Some((network, home)) = usual(&Certificate::new(&[HOST])) else { return };
    let _proxy = Tinyproxy::start(&network, &home);
    // Tinyproxy answers 407 to whoever brings no password, and 401 to a wrong one.
    for (url, why) in [("http://127.0.0.1:8888", "407"), ("http://me:hunter2@127.0.0.1:8888", "tunnel")] {
        let output = network.run(home.keyrole(["get", "prod"])).env("HTTPS_PROXY", url).output();
        output.fails(1, &["cannot reach STS in `eu-west-1`", why, "`HTTPS_PROXY`"]);
        assert!(!output.stderr.contains("hunter2"), "{output:?}");
    }
    assert_eq!(home.sts.calls().len(), 0);
}

#[test]
fn plain_http_goes_through_its_own_proxy() {
    let Some(network) = Namespace::new("127.0.0.1 sts.corp.example\n") else { return };
    let home = Home::with(Sts::start_over(network.listen("127.0.0.1:80"), None).expect("the stand-in starts"), "");
    home.write_config(&home.default_config("").replace(&home.sts.url(), "http://sts.corp.example"));
    let proxy = Tinyproxy::start(&network, &home);
    let get = |url: &str| network.run(home.keyrole(["get", "prod", "--refresh"])).env("HTTP_PROXY", url).output();
    get(PROXY).document();
    assert_eq!(proxy.requests(), 1, "{}", proxy.log());
    let output = get("http://127.0.0.1:8888");
    output.fails(1, &["the answer did not come from STS", "a proxy or a captive portal", "`HTTPS_PROXY`"]);
}
