//! Owns the limits that AWS sets on what a profile may say, so that a mistake is found before anything is sent.
//! Pure. Each check returns the value, or the reason as a clause that follows the key's name.
//!
//! Sources: the AssumeRole and GetSessionToken pages of the STS API reference.

use std::fmt;

type Check<T> = std::result::Result<T, String>;

/// The ARN of an IAM role, checked for its shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleArn(String);

impl RoleArn {
    /// Checks `arn:PARTITION:iam::ACCOUNT:role/PATH/NAME`.
    pub fn parse(text: &str) -> Check<Self> {
        let wrong = |what: &str| Err(format!("`{text}` is not a role's ARN: {what}"));
        let mut parts = text.splitn(6, ':');
        let mut part = || parts.next();
        let (Some(arn), Some(partition), Some(service), Some(region), Some(account), Some(resource)) =
            (part(), part(), part(), part(), part(), part())
        else {
            return wrong("it has the form arn:aws:iam::123456789012:role/NAME");
        };
        if arn != "arn" {
            return wrong("it must begin with `arn:`");
        }
        if partition != "aws" && !partition.starts_with("aws-") {
            return wrong("the partition is `aws`, `aws-cn`, `aws-us-gov` or another that begins with `aws-`");
        }
        if service != "iam" || !region.is_empty() {
            return wrong("a role belongs to `iam` and to no region");
        }
        if !is_account(account) {
            return wrong("the account is 12 digits");
        }
        match resource.strip_prefix("role/") {
            Some(name)
                if !name.is_empty() && !name.ends_with('/') && name.chars().all(|c| is_name_char(c) || c == '/') =>
            {
                Ok(Self(text.to_owned()))
            }
            Some(_) => wrong("the role's name is letters, digits and `+=,.@-_`"),
            None => wrong("the resource is `role/NAME`"),
        }
    }

    /// Gives the whole ARN.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Gives the partition, such as `aws` or `aws-cn`.
    pub fn partition(&self) -> &str {
        self.0.split(':').nth(1).unwrap_or_default()
    }

    /// Gives the 12-digit account.
    pub fn account(&self) -> &str {
        self.0.split(':').nth(4).unwrap_or_default()
    }

    /// Gives the role's name without its path.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }
}

impl fmt::Display for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_+=,.@-".contains(c)
}

fn seconds(text: &str, min: u32, max: u32) -> Check<u32> {
    match text.parse() {
        Ok(seconds) if (min..=max).contains(&seconds) => Ok(seconds),
        _ => Err(format!("`{text}` is not a whole number of seconds from {min} to {max}")),
    }
}

fn named(text: &str, what: &str, min: usize, max: usize, is_allowed: impl Fn(char) -> bool) -> Check<String> {
    let length = text.chars().count();
    if let Some(c) = text.chars().find(|&c| !is_allowed(c)) {
        return Err(format!("`{text}` is no {what}: AWS does not allow `{c}` there"));
    }
    if !(min..=max).contains(&length) {
        return Err(format!("`{text}` is no {what}: it has {length} characters, AWS allows {min} to {max}"));
    }
    Ok(text.to_owned())
}

/// Checks `duration_seconds`: 900 to 43200.
pub fn role_duration(text: &str) -> Check<u32> {
    seconds(text, 900, 43_200)
}

/// Checks `mfa_session_duration`: 900 to 129600, or 0 for no shared MFA session.
pub fn mfa_session_duration(text: &str) -> Check<u32> {
    if text == "0" { Ok(0) } else { seconds(text, 900, 129_600).map_err(|why| why + ", or 0") }
}

/// Checks `prompt_timeout` and `call_timeout`: up to an hour.
pub fn timeout(text: &str) -> Check<i64> {
    seconds(text, 1, 3600).map(i64::from)
}

/// Checks `warn_before`: no longer than an MFA session can last; 0 is never.
pub fn warn_before(text: &str) -> Check<i64> {
    seconds(text, 0, 129_600).map(i64::from)
}

/// Checks `role_session_name`.
pub fn session_name(text: &str) -> Check<String> {
    named(text, "session name", 2, 64, is_name_char)
}

/// Checks `source_identity`.
pub fn source_identity(text: &str) -> Check<String> {
    if text.starts_with("aws:") {
        return Err(format!("`{text}` begins with `aws:`, which AWS keeps for itself"));
    }
    named(text, "source identity", 2, 64, is_name_char)
}

/// Checks `external_id`.
pub fn external_id(text: &str) -> Check<String> {
    named(text, "external ID", 2, 1224, |c| is_name_char(c) || ":/".contains(c))
}

/// Checks `mfa_serial`: a device's ARN or a hardware device's serial number.
pub fn mfa_serial(text: &str) -> Check<String> {
    if text.starts_with("arn:") {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        return match parts[..] {
            [_, partition, "iam", "", account, resource]
                if partition.starts_with("aws") && is_account(account) && is_device(resource) =>
            {
                Ok(text.to_owned())
            }
            _ => Err(format!(
                "`{text}` is not an MFA device's ARN, which has the form arn:aws:iam::123456789012:mfa/NAME"
            )),
        };
    }
    named(text, "MFA serial", 9, 256, |c| is_name_char(c) || "/:".contains(c))
}

fn is_device(resource: &str) -> bool {
    ["mfa/", "sms-mfa/"].iter().any(|kind| resource.strip_prefix(kind).is_some_and(|name| !name.is_empty()))
}

/// Checks an access key ID: 16 to 128 letters, digits and underscores.
pub fn access_key_id(text: &str) -> Check<()> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if (16..=128).contains(&text.len()) && text.chars().all(is_allowed) {
        return Ok(());
    }
    Err("the value is not an access key ID, which is 16 to 128 letters and digits without quotes or spaces".to_owned())
}

/// Checks what a server or another program gave as credentials: none of it empty, and all of it plain ASCII without
/// quotes and backslashes, as the document of `credential_process` and the headers of every request need it.
pub fn credentials(access_key_id: &str, secret_access_key: &str, session_token: &str) -> Check<()> {
    self::access_key_id(access_key_id)?;
    let is_plain_byte = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    let is_plain = |text: &str| !text.is_empty() && text.bytes().all(is_plain_byte);
    if is_plain(secret_access_key) && is_plain(session_token) {
        return Ok(());
    }
    Err("they are empty or hold characters that credentials do not have".to_owned())
}

/// Checks `session_tags`, written `key=value,key2=value2`: at most 50, keys to 128 and values to 256 characters.
pub fn session_tags(text: &str) -> Check<Vec<(String, String)>> {
    let mut tags: Vec<(String, String)> = Vec::new();
    for pair in text.split(',').map(str::trim) {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(format!("`{pair}` is not of the form key=value"));
        };
        let (key, value) = (tag_key(key.trim())?, value.trim());
        if tags.iter().any(|(earlier, _)| earlier.eq_ignore_ascii_case(&key)) {
            return Err(format!("the tag `{key}` is given twice"));
        }
        tags.push((key, named(value, "tag value", 0, 256, is_tag_char)?));
    }
    if tags.len() > 50 { Err("AWS allows at most 50 session tags".to_owned()) } else { Ok(tags) }
}

/// Checks `transitive_session_tags`, written `key,key2`: at most 50.
pub fn tag_keys(text: &str) -> Check<Vec<String>> {
    let keys = text.split(',').map(|key| tag_key(key.trim())).collect::<Check<Vec<_>>>()?;
    if keys.len() > 50 { Err("AWS allows at most 50 transitive tags".to_owned()) } else { Ok(keys) }
}

fn tag_key(text: &str) -> Check<String> {
    named(text, "tag key", 1, 128, is_tag_char)
}

fn is_tag_char(c: char) -> bool {
    c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c)
}

/// Checks a session policy: a JSON object of at most 2,048 characters.
pub fn policy(text: &str) -> Check<String> {
    if text.chars().count() > 2048 {
        return Err("the policy is longer than the 2,048 characters that AWS allows".to_owned());
    }
    match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("the policy is not a JSON object: {error}")),
    }
}

/// Checks `policy_arns`, written `arn,arn2`: at most 10.
pub fn policy_arns(text: &str) -> Check<Vec<String>> {
    let arns: Vec<String> = text.split(',').map(|arn| arn.trim().to_owned()).collect();
    let is_policy = |arn: &str| arn.starts_with("arn:aws") && arn.contains(":iam::") && arn.contains(":policy/");
    match arns.iter().find(|arn| !is_policy(arn)) {
        Some(arn) => Err(format!("`{arn}` is not a policy's ARN, which has the form arn:aws:iam::aws:policy/NAME")),
        None if arns.len() > 10 => Err("AWS allows at most 10 managed policies".to_owned()),
        None => Ok(arns),
    }
}

/// Checks that a path means the same file wherever keyrole is run.
pub fn absolute_path(text: &str) -> Check<()> {
    if std::path::Path::new(text).is_absolute() { Ok(()) } else { Err(format!("`{text}` is not an absolute path")) }
}

/// Checks a region's form, such as `eu-west-1` or `us-gov-east-1`.
pub fn region(text: &str) -> Check<String> {
    let is_word = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_region = text.rsplit_once('-').is_some_and(|(words, number)| {
        words.contains('-')
            && words.split('-').all(is_word)
            && (1..=2).contains(&number.len())
            && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    if is_region { Ok(text.to_owned()) } else { Err(format!("`{text}` is not a region, which has the form eu-west-1")) }
}

/// The partitions whose regions are not in `aws`: the prefix of their regions, their name, and the region where
/// their STS always is.
const PARTITIONS: &[(&str, &str, &str)] = &[
    ("cn-", "aws-cn", "cn-north-1"),
    ("us-gov-", "aws-us-gov", "us-gov-west-1"),
    ("us-iso-", "aws-iso", "us-iso-east-1"),
    ("us-isob-", "aws-iso-b", "us-isob-east-1"),
    ("eu-isoe-", "aws-iso-e", "eu-isoe-west-1"),
    ("us-isof-", "aws-iso-f", "us-isof-south-1"),
    ("eusc-", "aws-eusc", "eusc-de-east-1"),
];

/// Gives the partition a region belongs to.
pub fn partition_of_region(region: &str) -> &'static str {
    PARTITIONS.iter().find(|(prefix, ..)| region.starts_with(prefix)).map_or("aws", |(_, partition, _)| partition)
}

/// Gives the region to use where none is set.
pub fn default_region(partition: &str) -> &'static str {
    PARTITIONS.iter().find(|(_, name, _)| *name == partition).map_or("us-east-1", |(.., region)| region)
}

/// Tells whether `sts_regional_endpoints = legacy` sends this region's calls to the global endpoint.
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-sts-regionalized-endpoints.html>
pub fn has_legacy_global_endpoint(region: &str) -> bool {
    const LEGACY: &[&str] = &[
        "ap-northeast-1",
        "ap-south-1",
        "ap-southeast-1",
        "ap-southeast-2",
        "ca-central-1",
        "eu-central-1",
        "eu-north-1",
        "eu-west-1",
        "eu-west-2",
        "eu-west-3",
        "sa-east-1",
        "us-east-1",
        "us-east-2",
        "us-west-1",
        "us-west-2",
    ];
    LEGACY.contains(&region)
}

/// Checks `sts_regional_endpoints`.
pub fn is_legacy(text: &str) -> Check<bool> {
    match text {
        "legacy" => Ok(true),
        "regional" => Ok(false),
        _ => Err(format!("`{text}` is neither `regional` nor `legacy`")),
    }
}

/// Checks `true` or `false`.
pub fn boolean(text: &str) -> Check<bool> {
    if text.eq_ignore_ascii_case("true") {
        Ok(true)
    } else if text.eq_ignore_ascii_case("false") {
        Ok(false)
    } else {
        Err(format!("`{text}` is neither `true` nor `false`"))
    }
}

/// Checks that an endpoint is an http or https URL with a host.
pub fn url(text: &str) -> Check<String> {
    // Security: whatever stands before an `@` may be a password, and is not shown.
    if text.contains('@') {
        return Err("the URL holds a user or a password, which an endpoint does not take".to_owned());
    }
    match text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[') && !rest.contains(' ') => {
            Ok(text.to_owned())
        }
        _ => Err(format!("`{text}` is not a URL, which has the form https://sts.eu-west-1.amazonaws.com")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_arns_of_every_partition_and_path_are_accepted() {
        for arn in [
            "arn:aws:iam::444455556666:role/Admin",
            "arn:aws-cn:iam::444455556666:role/service-role/My.Role@x",
            "arn:aws-us-gov:iam::444455556666:role/a",
        ] {
            assert_eq!(RoleArn::parse(arn).unwrap().as_str(), arn);
        }
        let role = RoleArn::parse("arn:aws-cn:iam::444455556666:role/path/Admin").unwrap();
        assert_eq!((role.partition(), role.account(), role.name()), ("aws-cn", "444455556666", "Admin"));
    }

    #[test]
    fn what_is_no_role_arn_is_refused_with_the_reason() {
        for (arn, reason) in [
            ("Admin", "the form"),
            ("arn:aws:iam::4444:role/Admin", "12 digits"),
            ("arn:aws:iam::444455556666:user/me", "role/NAME"),
            ("arn:aws:iam::444455556666:role/", "name"),
            ("arn:aws:iam:eu-west-1:444455556666:role/x", "no region"),
            ("arn:aws:sts::444455556666:assumed-role/x/y", "iam"),
            ("arn:google:iam::444455556666:role/x", "partition"),
            ("arn:aws:iam::444455556666:role/Ad min", "name"),
        ] {
            assert!(RoleArn::parse(arn).unwrap_err().contains(reason), "{arn}");
        }
    }

    #[test]
    fn durations_keep_to_the_limits_of_aws() {
        assert_eq!(role_duration("900"), Ok(900));
        assert_eq!(role_duration("43200"), Ok(43_200));
        for wrong in ["899", "43201", "1h", "-1", "", "9e2", "4294967296"] {
            assert!(role_duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!(mfa_session_duration("0"), Ok(0));
        assert_eq!(mfa_session_duration("129600"), Ok(129_600));
        assert!(mfa_session_duration("129601").is_err());
    }

    #[test]
    fn names_keep_to_the_characters_of_aws() {
        assert!(session_name("me@host.example").is_ok());
        assert!(session_name("x").is_err());
        assert!(session_name("a b").unwrap_err().contains("` `"));
        assert!(session_name(&"x".repeat(65)).is_err());
        assert!(source_identity("aws:me").is_err());
        assert!(external_id("a:/b").is_ok());
        assert!(external_id("a b").is_err());
    }

    #[test]
    fn serials_are_arns_or_hardware_numbers() {
        for good in ["arn:aws:iam::111122223333:mfa/me", "arn:aws-us-gov:iam::111122223333:mfa/a/b", "GAHT12345678"] {
            assert!(mfa_serial(good).is_ok(), "{good}");
        }
        for bad in
            ["arn:aws:iam::111122223333:user/me", "arn:aws:iam::1:mfa/me", "short", "arn:aws:iam::111122223333:mfa/"]
        {
            assert!(mfa_serial(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn credentials_need_no_escaping_in_json() {
        assert!(credentials("ASIAIOSFODNN7EXAMPLE", "a/b+c", "to/ken==").is_ok());
        for odd in ["", "a\"b", "a\\b", "a b", "a\nb", "\u{9b}"] {
            assert!(credentials("ASIAIOSFODNN7EXAMPLE", odd, "t").is_err(), "{odd:?}");
            assert!(credentials("ASIAIOSFODNN7EXAMPLE", "s", odd).is_err(), "{odd:?}");
            assert!(credentials(odd, "s", "t").is_err(), "{odd:?}");
        }
    }

    #[test]
    fn tags_are_pairs_and_unique() {
        assert_eq!(
            session_tags("a=1, b = two words"),
            Ok(vec![("a".to_owned(), "1".to_owned()), ("b".to_owned(), "two words".to_owned())])
        );
        assert!(session_tags("a").is_err());
        assert!(session_tags("a=1,A=2").is_err());
        assert!(session_tags("=1").is_err());
        assert!(tag_keys("a,b").is_ok());
    }

    #[test]
    fn regions_are_checked_by_form_so_that_new_ones_work() {
        for good in ["eu-west-1", "us-gov-east-1", "cn-north-1", "ap-southeast-12", "us-isob-east-1"] {
            assert!(region(good).is_ok(), "{good}");
        }
        for bad in ["euwest1", "eu-west", "eu-west-1a", "EU-west-1", "eu west 1", "eu-west-1/", "", "-1"] {
            assert!(region(bad).is_err(), "{bad}");
        }
        assert_eq!(partition_of_region("us-gov-east-1"), "aws-us-gov");
        assert_eq!(partition_of_region("eu-west-1"), "aws");
        assert_eq!(default_region("aws-cn"), "cn-north-1");
    }

    #[test]
    fn policies_are_json_objects() {
        assert!(policy(r#"{"Version":"2012-10-17"}"#).is_ok());
        assert!(policy("[]").is_err());
        assert!(policy(&format!("{{\"a\":\"{}\"}}", "x".repeat(2048))).is_err());
        assert!(policy_arns("arn:aws:iam::aws:policy/ReadOnlyAccess").is_ok());
        assert!(policy_arns("ReadOnlyAccess").is_err());
    }
}
