//! Owns the checks of long-lived and temporary keys: their form as they are written, and whom AWS takes them for.

use super::{Patient, Report, place};
use crate::commands::get;
use crate::config::SectionKind;
use crate::error::Printable;
use crate::mfa::quoted;
use crate::output::timestamp;
use crate::plan::Source;
use crate::profile;
use crate::source;
use crate::stored_key::KeyStores;
use std::time::{Duration, UNIX_EPOCH};

/// A secret access key has so many characters. AWS documents no length, and has never given another.
const SECRET_LENGTH: usize = 40;
/// A session token is never shorter; what is was cut off when it was copied.
const LEAST_TOKEN_LENGTH: usize = 100;
/// The keys under which other programs leave the end of the keys beside them.
const ENDS: [&str; 4] = ["aws_expiration", "aws_session_expiration", "x_security_token_expires", "expiration"];

/// The three parts of a set of keys as they are written, and where.
struct Written {
    place: String,
    /// How the parts are called there.
    names: [String; 3],
    parts: [Option<String>; 3],
    /// A token stands only under the name that it had before 2014, which botocore alone still reads.
    has_old_token_name: bool,
    end: Option<i64>,
    /// What moves the key into the keyring, if it can be moved.
    import: Option<String>,
}

/// Checks the keys that a profile comes down to.
pub fn check(report: &mut Report, patient: &Patient, assume: bool) {
    let sets: Vec<Written> =
        patient.lineage.iter().filter_map(|name| of_profile(patient, name)).chain(of_environment(patient)).collect();
    let is_stored = matches!(&patient.plan, Ok((plan, _)) if matches!(plan.source, Source::StoredKey { .. }));
    if sets.is_empty() && !is_stored {
        report.ok("form", "the keys in the AWS files", "none: the source gives its credentials by itself");
    }
    for set in &sets {
        form(report, set, patient.world.now());
        if let Some(command) = &set.import {
            let what = format!("a long-lived key in plain text; `{command}` moves it into the keyring");
            report.ok("plain-text", &set.place, what);
        }
    }
    stored(report, patient);
    identify(report, patient, assume);
}

/// Tells where the secret of a key is that stands in no file.
fn stored(report: &mut Report, patient: &Patient) {
    let Ok((plan, _)) = &patient.plan else { return };
    let Source::StoredKey { profile, access_key_id: id } = &plan.source else { return };
    let looked_at = format!("the access key `{id}` of profile `{}`", Printable(profile));
    let found = KeyStores::open(plan.store, patient.world).and_then(|stores| {
        let (_, store) = stores.find_for(id, profile, false)?;
        Ok(store.label())
    });
    match found {
        Ok(label) => report.ok("stored-key", &looked_at, format!("its secret is in `{label}`")),
        Err(error) => report.error("stored-key", &looked_at, &error),
    }
}

fn of_profile(patient: &Patient, name: &str) -> Option<Written> {
    let key = profile::own_key(patient.sections, name, patient.world).ok().flatten();
    if matches!(key, Some(Source::StoredKey { .. })) {
        return None;
    }
    let find = |key: &str| {
        let is_key = |property: &&_| {
            let property: &crate::config::Property = property;
            let plain = crate::config::without_prefix(property.key).unwrap_or(property.key);
            property.block.is_none() && plain.eq_ignore_ascii_case(key)
        };
        patient.sections.properties(SectionKind::Profile, name).find(is_key)
    };
    let keys = ["aws_access_key_id", "aws_secret_access_key", "aws_session_token"];
    let found = keys.map(find);
    let first = found.into_iter().flatten().next()?;
    let old = find("aws_security_token").filter(|_| found[2].is_none());
    let end = ENDS.into_iter().find_map(find).and_then(|end| humantime::parse_rfc3339(&end.value).ok());
    let since_epoch = end.map(|end| end.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs());
    Some(Written {
        place: format!("`[{}]`, {}", Printable(name), place(first)),
        names: keys.map(str::to_owned),
        parts: found.map(|property| property.map(|property| property.value.to_string())),
        has_old_token_name: old.is_some(),
        import:
            matches!(&key, Some(Source::Keys { access_key_id: id, session_token: None, .. }) if id.starts_with("AKIA"))
                .then(|| format!("keyrole keys import {}", quoted(name))),
        end: since_epoch.and_then(|end| i64::try_from(end).ok()),
    })
}

fn of_environment(patient: &Patient) -> Option<Written> {
    let names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];
    let parts = names.map(|name| patient.world.var(name));
    parts.iter().any(Option::is_some).then(|| Written {
        place: "the environment".to_owned(),
        names: names.map(str::to_owned),
        import: None,
        has_old_token_name: parts[2].is_none() && patient.world.var("AWS_SECURITY_TOKEN").is_some(),
        end: patient
            .world
            .var("AWS_CREDENTIAL_EXPIRATION")
            .and_then(|end| humantime::parse_rfc3339_weak(&end).ok())
            .and_then(|end| i64::try_from(end.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()),
        parts,
    })
}

/// Checks how a set of keys is written. Its values are not shown.
fn form(report: &mut Report, set: &Written, now: i64) {
    let before = report.checks.len();
    let [id, secret, token] = &set.parts;
    let names = &set.names;
    let place = &set.place;
    let again = "copy it again, whole and without quotes";
    for (part, name) in set.parts.iter().zip(names) {
        let Some(part) = part else { continue };
        let wrong = if part.contains(['"', '\'']) {
            "has quotes, which belong to the value here"
        } else if part.chars().any(char::is_whitespace) {
            "has white space or a line break in it"
        } else if !part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=_-".contains(&byte)) {
            "has characters that no key has, such as `…` or a byte order mark"
        } else {
            continue;
        };
        report.fail("form", place, format!("`{name}` {wrong}"), &[again]);
    }
    match (id, secret) {
        (Some(_), None) => {
            report.fail("form", place, format!("`{}` is missing", names[1]), &["both halves are needed"])
        }
        (None, Some(_)) => {
            report.fail("form", place, format!("`{}` is missing", names[0]), &["both halves are needed"])
        }
        _ => {}
    }
    if let Some(id) = id {
        let is_temporary = id.starts_with("ASIA");
        let has_token = token.is_some() || set.has_old_token_name;
        if !is_temporary && !id.starts_with("AKIA") {
            let what = format!(
                "`{}` begins with neither `AKIA` (a user's key) nor `ASIA` (a temporary one); IDs such as `AIDA` and \
                 `AROA` are no keys",
                names[0]
            );
            report.warn("form", place, what, &["take the access key ID from the IAM console"]);
        } else if is_temporary && !has_token {
            let what = format!("an `ASIA` key is a temporary one, and `{}` is missing", names[2]);
            report.fail("form", place, what, &["copy the session token as well, or use a user's `AKIA` key"]);
        } else if !is_temporary && has_token {
            let what = format!("an `AKIA` key needs no session token, and AWS refuses it with `{}`", names[2]);
            report.fail("form", place, what, &[&format!("remove `{}`", names[2])]);
        }
        if id.len() < 16 {
            report.fail("form", place, format!("`{}` is too short", names[0]), &[again]);
        }
    }
    if let Some(secret) = secret
        && secret.len() != SECRET_LENGTH
        && report.checks.len() == before
    {
        let what = format!("`{}` has {} characters; they have {SECRET_LENGTH}", names[1], secret.len());
        report.warn("form", place, what, &[again]);
    }
    if let Some(token) = token
        && token.len() < LEAST_TOKEN_LENGTH
    {
        report.fail("form", place, format!("`{}` is too short to be whole", names[2]), &[again]);
    }
    if set.has_old_token_name {
        let what = "the session token stands under the old name `aws_security_token`, which boto3 alone reads";
        report.fail("form", place, what, &[&format!("rename it to `{}`", names[2])]);
    }
    if let Some(end) = set.end.filter(|&end| end <= now) {
        let mend = ["renew them with the program that wrote them"];
        report.fail("expired", place, format!("these keys expired at {}", timestamp(end)), &mend);
    }
    if report.checks.len() == before {
        let kind =
            if id.as_deref().is_some_and(|id| id.starts_with("ASIA")) { "temporary keys" } else { "a user's keys" };
        report.ok("form", place, format!("the form is that of {kind}"));
    }
}

/// Asks STS who the source is and, if that is allowed, who the role is.
fn identify(report: &mut Report, patient: &Patient, assume: bool) {
    let (Ok((plan, settings)), Some(sts), Some(Ok(network))) = (&patient.plan, patient.sts(), &patient.network) else {
        return;
    };
    let looked_at = "GetCallerIdentity for the source";
    let found = source::credentials(plan, network, false, patient.world)
        .and_then(|credentials| sts.caller_identity(&credentials));
    match found {
        Ok(identity) => {
            let who = format!("account {}, `{}`", Printable(&identity.account), Printable(&identity.arn));
            report.ok("source-identity", looked_at, who);
            // It is set once; nobody else sets it.
            let _ = patient.identity.set(identity);
        }
        Err(error) => {
            report.error("source-identity", looked_at, &error);
            return;
        }
    }
    if !assume || plan.role().is_none() {
        return;
    }
    let looked_at = "GetCallerIdentity for the role";
    match get::session(plan, settings, patient.world).and_then(|session| sts.caller_identity(&session.to_credentials()))
    {
        Ok(identity) => {
            let who = format!("account {}, `{}`", Printable(&identity.account), Printable(&identity.arn));
            report.ok("role-identity", looked_at, who);
        }
        Err(error) => report.error("role-identity", looked_at, &error),
    }
}
