//! Signature Version 4, the verifying side. It never knows a key by itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ring::{digest, hmac};

use super::encoding::{basic_date, decode_bytes, encode, hex, pairs, parse_basic_date};
use super::http::Request;
use super::service::Refusal;

/// Signatures older or newer than this are refused, in seconds (the "5 min." of AWS's message).
const MAX_SKEW: i64 = 300;

/// The `Authorization` header of Signature Version 4.
#[derive(Debug)]
pub(super) struct Authorization {
    pub(super) access_key_id: String,
    /// `YYYYMMDD`.
    date: String,
    pub(super) region: String,
    service: String,
    signed_headers: Vec<String>,
    signature: String,
}

impl Authorization {
    pub(super) fn parse(header: &str) -> Result<Self, Refusal> {
        let incomplete = |message: String| Refusal::sender(400, "IncompleteSignature", message);
        let Some(fields) = header.strip_prefix("AWS4-HMAC-SHA256") else {
            return Err(incomplete(format!("Unsupported AWS 'algorithm': '{header}'.")));
        };
        let fields: BTreeMap<&str, &str> = fields.split(',').filter_map(|field| field.trim().split_once('=')).collect();
        let field = |name: &str| {
            let found = fields.get(name).copied().filter(|value| !value.is_empty());
            found.ok_or_else(|| {
                incomplete(format!("Authorization header requires '{name}' parameter. Authorization={header}"))
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
            signed_headers: field("SignedHeaders")?.split(';').map(str::to_owned).collect(),
            signature: field("Signature")?.to_owned(),
        })
    }

    /// Refuses a wrong scope, a wrong clock, headers that had to be signed, and a wrong signature.
    pub(super) fn verify(&self, request: &Request, service: &str, secret: &str, now: i64) -> Result<(), Refusal> {
        if self.service != service {
            let message = format!("Credential should be scoped to correct service: '{service}'. ");
            return Err(Refusal::mismatch(message));
        }
        if service == "iam" && self.region != "us-east-1" {
            return Err(Refusal::mismatch("Credential should be scoped to a valid region. "));
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
        if !self.signs("host") {
            let message = "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.";
            return Err(Refusal::mismatch(message));
        }
        let mut names = request.headers.iter().map(|(name, _)| name);
        if names.any(|name| name.starts_with("x-amz-") && !self.signs(name)) {
            let message = "There were headers present in the request which were not signed";
            return Err(Refusal::mismatch(message));
        }
        if self.expected_signature(request, secret, stamp) != self.signature {
            return Err(Refusal::mismatch(
                "The request signature we calculated does not match the signature you provided. Check your AWS \
                 Secret Access Key and signing method. Consult the service documentation for details.",
            ));
        }
        Ok(())
    }

    fn signs(&self, header: &str) -> bool {
        self.signed_headers.iter().any(|name| name == header)
    }

    fn expected_signature(&self, request: &Request, secret: &str, stamp: &str) -> String {
        let scope = format!("{}/{}/{}/aws4_request", self.date, self.region, self.service);
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
        .map(|(key, value)| (encode(&decode_bytes(key, false)), encode(&decode_bytes(value, false))))
        .collect();
    query.sort();
    let query: Vec<String> = query.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let path: Vec<String> = request.path.split('/').map(|segment| encode(segment.as_bytes())).collect();
    let mut headers = String::new();
    for name in signed_headers {
        let values = request.headers.iter().filter(|(key, _)| key == name);
        let values: Vec<String> =
            values.map(|(_, value)| value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")).collect();
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

#[cfg(test)]
mod tests {
    use super::super::http::parse_head;
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
        authorization.expect("the header parses").expected_signature(&request, SUITE_SECRET, SUITE_DATE)
    }

    #[test]
    fn the_signature_of_get_vanilla_is_the_published_one() {
        let head = "GET / HTTP/1.1\r\nHost:example.amazonaws.com\r\nX-Amz-Date:20150830T123600Z";
        let expected = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
        assert_eq!(signature_of(head, "", "service", "host;x-amz-date"), expected);
    }

    #[test]
    fn the_signature_of_post_x_www_form_urlencoded_is_the_published_one() {
        let head = "POST / HTTP/1.1\r\nContent-Type:application/x-www-form-urlencoded\r\n\
                    Host:example.amazonaws.com\r\nX-Amz-Date:20150830T123600Z";
        let expected = "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a";
        assert_eq!(signature_of(head, "Param1=value1", "service", "content-type;host;x-amz-date"), expected);
    }

    #[test]
    fn the_signature_of_the_list_users_example_is_the_documented_one() {
        let head = "GET /?Action=ListUsers&Version=2010-05-08 HTTP/1.1\r\nHost: iam.amazonaws.com\r\n\
                    Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\nX-Amz-Date: 20150830T123600Z";
        let expected = "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";
        assert_eq!(signature_of(head, "", "iam", "content-type;host;x-amz-date"), expected);
    }
}
