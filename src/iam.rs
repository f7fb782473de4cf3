//! Owns the four calls to IAM by which a user's access key is replaced: one signed POST each, as aws-sdk-iam would be
//! larger than all of keyrole. Async inside, blocking outside.

use crate::credentials::Credentials;
use crate::error::{Error, Kind, Result};
use crate::network::Network;
use crate::output::parse_timestamp;
use crate::secret::{Secret, SecretBytes};
use crate::sts;
use crate::validate;
use crate::world::World;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_smithy_xml::decode::{Document, ScopedDecoder};
use std::thread;
use std::time::Duration;

/// How often a call is made that does no harm when it is made twice.
const MAX_ATTEMPTS: u32 = 3;
/// The pause before the second attempt; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(300);
const FORM: &str = "application/x-www-form-urlencoded";

/// Where IAM is in each partition, and where over IPv6 as well. The region that signs is the partition's first one. From
/// the endpoint rules of aws-sdk-iam.
const HOSTS: &[(&str, &str, &str)] = &[
    ("aws", "iam.amazonaws.com", "iam.global.api.aws"),
    ("aws-cn", "iam.cn-north-1.amazonaws.com.cn", "iam.global.api.amazonwebservices.com.cn"),
    ("aws-us-gov", "iam.us-gov.amazonaws.com", "iam.us-gov.api.aws"),
    ("aws-eusc", "iam.eusc-de-east-1.amazonaws.eu", "iam.global.api.amazonwebservices.eu"),
    ("aws-iso", "iam.us-iso-east-1.c2s.ic.gov", "iam.api.aws.ic.gov"),
    ("aws-iso-b", "iam.us-isob-east-1.sc2s.sgov.gov", "iam.api.aws.scloud"),
    ("aws-iso-e", "iam.eu-isoe-west-1.cloud.adc-e.uk", "iam.api.cloud-aws.adc-e.uk"),
    ("aws-iso-f", "iam.us-isof-south-1.csp.hci.ic.gov", "iam.api.aws.hci.ic.gov"),
];

fn url_in(partition: &str, use_fips: bool, use_dualstack: bool) -> Option<String> {
    let (_, host, dualstack) = HOSTS.iter().find(|(name, ..)| *name == partition)?;
    let host = if use_dualstack { dualstack } else { host };
    // All that us-gov has is FIPS.
    let fips = if use_fips && partition != "aws-us-gov" { "-fips" } else { "" };
    Some(format!("https://iam{fips}.{}", host.strip_prefix("iam.")?))
}

/// An access key as IAM lists it.
pub struct AccessKey {
    /// The access key ID.
    pub id: String,
    /// When it was made, in seconds since the Unix epoch.
    pub created: i64,
}

/// The IAM of one partition.
pub struct Iam<'a> {
    network: &'a Network,
    world: &'a World,
    url: String,
    region: &'static str,
}

impl<'a> Iam<'a> {
    /// Makes the caller of IAM; `url` is where it is if somebody has set that.
    ///
    /// # Errors
    /// IAM is not known in this partition.
    pub fn new(network: &'a Network, url: Option<String>, world: &'a World) -> Result<Self> {
        let (partition, settings) = (&network.endpoint.partition, &network.settings);
        let url = url.or_else(|| url_in(partition, settings.use_fips, settings.use_dualstack)).ok_or_else(|| {
            Error::usage(format!("keyrole does not know where IAM is in the partition `{partition}`"))
                .hint("set `AWS_ENDPOINT_URL_IAM`")
        })?;
        Ok(Self { network, world, url, region: validate::default_region(partition) })
    }

    /// Lists the caller's access keys, and tells the time by IAM's clock, in seconds since the Unix epoch.
    ///
    /// # Errors
    /// `Refused` and `CallerRejected` if AWS said no, `Unreachable` if it said nothing.
    pub fn list(&self, caller: &Credentials) -> Result<(Vec<AccessKey>, i64)> {
        let (found, date) = self.call_again(caller, "ListAccessKeys", "")?;
        let mut keys: Vec<AccessKey> = Vec::new();
        for (name, value) in &found {
            match (name.as_str(), keys.last_mut()) {
                ("member", _) => keys.push(AccessKey { id: String::new(), created: 0 }),
                ("AccessKeyId", Some(key)) => key.id = value.expose().to_owned(),
                ("CreateDate", Some(key)) => key.created = parse_timestamp(value.expose()).unwrap_or(0),
                _ => {}
            }
        }
        Ok((keys, date.unwrap_or_else(|| self.world.now())))
    }

    /// Makes a new key for the caller. It is asked for once: a call whose answer was lost may have made one.
    ///
    /// # Errors
    /// As `list`.
    pub fn create(&self, caller: &Credentials) -> Result<(String, Secret)> {
        const WHAT: &str = "CreateAccessKey";
        let (found, _) = self.call(caller, WHAT, "")?;
        let find = |name: &str| found.iter().find(|(found, _)| found == name).map(|(_, value)| value.expose());
        match (find("AccessKeyId"), find("SecretAccessKey")) {
            (Some(id), Some(secret)) if validate::credentials(id, secret, "none").is_ok() => {
                Ok((id.to_owned(), Secret::new(secret)))
            }
            _ => Err(not_iam(WHAT)),
        }
    }

    /// Makes a key of the caller's inactive. One that is not there is no error.
    ///
    /// # Errors
    /// As `list`.
    pub fn deactivate(&self, caller: &Credentials, id: &str) -> Result<()> {
        gone_is_done(self.call_again(caller, "UpdateAccessKey", &format!("&Status=Inactive&AccessKeyId={id}")))
    }

    /// Deletes a key of the caller's. One that is not there is no error.
    ///
    /// # Errors
    /// As `list`.
    pub fn delete(&self, caller: &Credentials, id: &str) -> Result<()> {
        gone_is_done(self.call_again(caller, "DeleteAccessKey", &format!("&AccessKeyId={id}")))
    }

    /// Makes a call that may be made twice.
    fn call_again(&self, caller: &Credentials, action: &str, parameters: &str) -> Result<Answer> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..MAX_ATTEMPTS {
            match self.call(caller, action, parameters) {
                Err(error) if error.kind() == Kind::Unreachable => thread::sleep(pause),
                answer => return answer,
            }
            pause *= 2;
        }
        self.call(caller, action, parameters)
    }

    fn call(&self, caller: &Credentials, action: &str, parameters: &str) -> Result<Answer> {
        let body = format!("Action={action}&Version=2010-05-08{parameters}");
        let request = self.request(caller, &body).map_err(|why| Error::failed(format!("{action}: {why}")))?;
        let (status, date, answer) = self.network.send(request)?;
        let found = read(&answer).ok_or_else(|| not_iam(action))?;
        if status == 200 {
            return Ok((found, date));
        }
        let find = |name: &str| found.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value.expose());
        let code = find("Code");
        if code.is_empty() {
            return Err(not_iam(action));
        }
        let error = sts::refused(action, code, find("Message").trim());
        Err(match code {
            "AccessDenied" | "AccessDeniedException" => error.hint(
                "the user's policies must allow `iam:ListAccessKeys`, `iam:CreateAccessKey`, `iam:UpdateAccessKey` and \
                 `iam:DeleteAccessKey` on the user itself; if they ask for MFA, the profile needs an `mfa_serial`",
            ),
            // 500, and worth another try.
            "ServiceFailure" => Error::new(Kind::Unreachable, error.message()).hint("wait a little, then retry"),
            _ => error,
        })
    }

    fn request(&self, caller: &Credentials, body: &str) -> std::result::Result<HttpRequest, String> {
        let identity = sts::to_sdk(caller).into();
        let parameters = SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name("iam")
            .time((self.world.clock)())
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| error.to_string())?;
        let headers = [("content-type", FORM)].into_iter();
        let signable = SignableRequest::new("POST", &self.url, headers, SignableBody::Bytes(body.as_bytes()));
        let signed =
            signable.and_then(|signable| sign(signable, &parameters.into())).map_err(|error| error.to_string())?;
        let mut request = HttpRequest::new(SdkBody::from(body));
        request.set_method("POST").map_err(|error| error.to_string())?;
        request.set_uri(self.url.as_str()).map_err(|error| error.to_string())?;
        request.headers_mut().insert("content-type", FORM);
        request.headers_mut().insert("content-length", body.len().to_string());
        let (instructions, _) = signed.into_parts();
        for (name, value) in instructions.headers() {
            request.headers_mut().insert(name.to_owned(), value.to_owned());
        }
        Ok(request)
    }
}

/// The answer's elements, and the time by its `Date`.
type Answer = (Vec<(String, Secret)>, Option<i64>);

fn gone_is_done(answer: Result<Answer>) -> Result<()> {
    match answer {
        Err(error) if error.message().contains("NoSuchEntity") => Ok(()),
        answer => answer.map(drop),
    }
}

fn not_iam(what: &str) -> Error {
    Error::new(Kind::Unreachable, format!("{what}: the answer did not come from IAM"))
        .hint("a proxy or a captive portal may have answered; check `HTTPS_PROXY`, `endpoint_url` and the network")
}

/// Reads an answer's elements in their order, the outer ones without text.
fn read(body: &SecretBytes) -> Option<Vec<(String, Secret)>> {
    let mut document = Document::new(std::str::from_utf8(body).ok()?);
    let mut found = Vec::new();
    collect(&mut document.root_element().ok()?, &mut found).then_some(found)
}

fn collect(scope: &mut ScopedDecoder, found: &mut Vec<(String, Secret)>) -> bool {
    const OUTER: [&str; 6] =
        ["ListAccessKeysResult", "AccessKeyMetadata", "member", "CreateAccessKeyResult", "AccessKey", "Error"];
    const INNER: [&str; 5] = ["AccessKeyId", "SecretAccessKey", "CreateDate", "Code", "Message"];
    while let Some(mut tag) = scope.next_tag() {
        let name = tag.start_el().local().to_owned();
        if OUTER.contains(&name.as_str()) {
            found.push((name, Secret::new("")));
            if !collect(&mut tag, found) {
                return false;
            }
        } else if INNER.contains(&name.as_str()) {
            let Ok(text) = aws_smithy_xml::decode::try_data(&mut tag) else { return false };
            found.push((name, Secret::new(text)));
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<Vec<(String, String)>> {
        let found = read(&SecretBytes::from(text.as_bytes().to_vec()))?;
        Some(found.into_iter().map(|(name, value)| (name, value.expose().to_owned())).collect())
    }

    #[test]
    fn iam_is_where_the_endpoint_rules_of_aws_say() {
        let url = |partition, fips, dualstack| url_in(partition, fips, dualstack).unwrap();
        assert_eq!(url("aws", false, false), "https://iam.amazonaws.com");
        assert_eq!(url("aws", true, false), "https://iam-fips.amazonaws.com");
        assert_eq!(url("aws", true, true), "https://iam-fips.global.api.aws");
        assert_eq!(url("aws-us-gov", true, false), "https://iam.us-gov.amazonaws.com");
        assert_eq!(url("aws-cn", false, true), "https://iam.global.api.amazonwebservices.com.cn");
        assert_eq!(url_in("aws-moon", false, false), None);
        for (partition, region) in [
            ("aws", "us-east-1"),
            ("aws-cn", "cn-north-1"),
            ("aws-us-gov", "us-gov-west-1"),
            ("aws-eusc", "eusc-de-east-1"),
            ("aws-iso", "us-iso-east-1"),
            ("aws-iso-b", "us-isob-east-1"),
            ("aws-iso-e", "eu-isoe-west-1"),
            ("aws-iso-f", "us-isof-south-1"),
        ] {
            assert_eq!(validate::default_region(partition), region);
        }
    }

    #[test]
    fn an_answers_elements_are_found_in_their_order() {
        let text = "<?xml version=\"1.0\"?><R xmlns=\"x\"><ListAccessKeysResult><AccessKeyMetadata><member>\
                    <UserName>me</UserName><AccessKeyId>AKIA1</AccessKeyId></member><member><AccessKeyId>AKIA2\
                    </AccessKeyId></member></AccessKeyMetadata></ListAccessKeysResult></R>";
        let names: Vec<String> = parsed(text).unwrap().into_iter().map(|(name, value)| name + &value).collect();
        let expected =
            ["ListAccessKeysResult", "AccessKeyMetadata", "member", "AccessKeyIdAKIA1", "member", "AccessKeyIdAKIA2"];
        assert_eq!(names, expected);
        assert!(parsed("<html><body>welcome").is_none_or(|found| found.is_empty()));
        assert_eq!(parsed("not XML"), None);
    }
}
