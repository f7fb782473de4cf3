//! `keyrole explain`: recognises an AWS credential error in whatever wrapped it, and says what to do. It asks nobody
//! and runs nothing, and of the text it shows only names.

use crate::cli::Explain;
use crate::error::{Error, Printable, Result};
use crate::explanations::{DOCTOR, EXPLANATIONS, Explanation, PROCESS};
use crate::mfa::quoted;
use crate::output;
use crate::profile::nearest;
use crate::validate::RoleArn;
use std::io::{self, IsTerminal, Read};

/// Bytes of standard input that are looked at; the end of a long log is what its reader asks about.
const MAX_BYTES: usize = 1 << 20;
/// Bytes that a `…` in a message may stand for: a long ARN or path, but hardly the next message.
const MAX_GAP: usize = 300;
/// Columns of the answer; what has to be copied is not broken, so a command may be longer.
const WIDTH: usize = 100;

/// Explains the text of the command line, or standard input for `-`.
///
/// # Errors
/// The text is empty or cannot be read, or no error that is known is in it.
pub fn run(arguments: &Explain) -> Result<()> {
    let words: Vec<_> = arguments.text.iter().map(|word| word.to_string_lossy()).collect();
    let text = match &words[..] {
        [only] if only == "-" => standard_input()?,
        words => words.join(" "),
    };
    let said = own_words(&text);
    let text = plain(&text);
    if text.is_empty() {
        return Err(
            Error::usage("there is no text to explain").hint("give an error's code or text, or `-` and pipe it in")
        );
    }
    let found = recognise(&text);
    let answer = match (found.split_first(), &said) {
        (Some((first, _)), Some(said)) if is_wrapping(first) => own_answer(said, &found, &text),
        (None, Some(said)) => own_answer(said, &[], &text),
        (Some((first, others)), _) => answer(first, others, &text),
        (None, None) => return Err(unknown(&text)),
    };
    output::print(answer.as_bytes())
}

/// What keyrole itself said, for which there is no explanation.
struct OwnWords {
    error: String,
    hint: Option<String>,
}

/// Finds the last error that keyrole wrote into a text, unless it is one that is explained.
fn own_words(text: &str) -> Option<OwnWords> {
    let (_, rest) = text.rsplit_once("keyrole: error: ")?;
    // It ends with its line. Where the text is quoted as a whole, a line end is written as two characters.
    let line = |text: &str| without_secrets(&plain(text.split(['\n', '\r', '"']).next().unwrap_or_default()));
    let cut = |text: &str| line(text.split("\\n").next().unwrap_or_default());
    let (error, hint) = match rest.split_once("keyrole: hint: ") {
        Some((error, hint)) => (cut(error), Some(cut(hint))),
        None => (cut(rest), None),
    };
    (!error.is_empty() && recognise(&error).is_empty()).then_some(OwnWords { error, hint })
}

/// Hides what could be a secret that stands in the same line.
///
/// Security: keyrole's own errors hold none, but nobody knows what a text was pasted together from.
fn without_secrets(text: &str) -> String {
    /// A secret access key has 40 characters; the names of people's files and roles are shorter or have other ones.
    const MIN_SECRET: usize = 30;
    let is_digit = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    let is_secret = |part: &str| {
        let has = |is: fn(&char) -> bool| part.chars().any(|c| is(&c));
        part.len() >= MIN_SECRET
            && has(char::is_ascii_digit)
            && has(char::is_ascii_uppercase)
            && has(char::is_ascii_lowercase)
    };
    let is_named = |part: &str| {
        let name = part.split('=').next().unwrap_or_default().to_ascii_lowercase();
        ["secret", "token", "password"].iter().any(|word| name.contains(word))
    };
    let mut shown = String::with_capacity(text.len());
    for word in text.split_inclusive(' ') {
        if word.contains('=') && is_named(word) {
            shown.push_str("**** ");
            continue;
        }
        for part in word.split_inclusive(|c| !is_digit(c)) {
            let body = part.trim_end_matches(|c| !is_digit(c));
            shown.push_str(if is_secret(body) { "****" } else { body });
            shown.push_str(&part[body.len()..]);
        }
    }
    shown.trim_end().to_owned()
}

/// Tells whether an error says only that something inside it failed.
fn is_wrapping(explanation: &Explanation) -> bool {
    explanation.name == PROCESS || EXPLANATIONS.last().is_some_and(|last| last.name == explanation.name)
}

fn standard_input() -> Result<String> {
    #[cfg_attr(not(test), expect(clippy::disallowed_methods, reason = "`-` asks for it, and no SDK runs this command"))]
    let input = io::stdin().lock();
    if input.is_terminal() {
        output::say("keyrole: paste the error's text, then press Enter and Ctrl-D\n");
    }
    let end = end_of(input).map_err(|error| Error::failed(format!("cannot read standard input: {error}")))?;
    Ok(String::from_utf8_lossy(&end).into_owned())
}

/// Reads everything and keeps the last [`MAX_BYTES`].
fn end_of(mut input: impl Read) -> io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    // A terminal says only once that its input has ended.
    while input.by_ref().take(MAX_BYTES as u64).read_to_end(&mut kept)? == MAX_BYTES {
        kept.drain(..kept.len() - MAX_BYTES);
    }
    kept.drain(..kept.len().saturating_sub(MAX_BYTES));
    Ok(kept)
}

/// Undoes what terminals, Terraform's frames, XML, JSON, UTF-16 and web pages do to a message: one line is left, with
/// single spaces and straight quotes.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            // A control sequence ends with its letter.
            '\u{1b}' if rest.next_if_eq(&'[').is_some() => {
                while rest.next().is_some_and(|c| !c.is_ascii_alphabetic()) {}
            }
            // The two characters of an escaped line end or quote.
            '\\' if rest.next_if(|next| matches!(next, 'n' | 'r' | 't')).is_some() => plain.push(' '),
            '\\' if rest.peek() == Some(&'"') => {}
            '\u{2018}' | '\u{2019}' => plain.push('\''),
            '\u{201c}' | '\u{201d}' => plain.push('"'),
            '\u{2500}'..='\u{257f}' => plain.push(' '),
            '\0' | '\u{200b}'..='\u{200d}' | '\u{feff}' => {}
            c if c.is_control() => plain.push(' '),
            c => plain.push(c),
        }
    }
    for (entity, character) in [("&#39;", "'"), ("&apos;", "'"), ("&quot;", "\""), ("&#34;", "\""), ("&amp;", "&")] {
        if plain.contains(entity) {
            plain = plain.replace(entity, character);
        }
    }
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Finds the errors in a plain text, the one that says most about the cause first, without those that are only the
/// wrapping of another.
pub(crate) fn recognise(text: &str) -> Vec<&'static Explanation> {
    let text = text.to_ascii_lowercase();
    let found: Vec<_> = EXPLANATIONS.iter().filter(|explanation| is_in(&text, explanation)).collect();
    let is_last = |outer: &Explanation| EXPLANATIONS.last().is_some_and(|last| last.name == outer.name);
    let wraps = |outer: &Explanation| {
        let is_broader = found.iter().any(|inner| broader(inner).any(|other| other.name == outer.name));
        is_broader || found.len() > 1 && is_last(outer)
    };
    found.iter().filter(|outer| !wraps(outer)).copied().collect()
}

/// Gives what an error is a case of, up to the broadest.
fn broader(explanation: &Explanation) -> impl Iterator<Item = &'static Explanation> {
    let next = |of: &Explanation| of.within.and_then(|name| EXPLANATIONS.iter().find(|other| other.name == name));
    std::iter::successors(next(explanation), move |&of| next(of))
}

fn is_in(text: &str, explanation: &Explanation) -> bool {
    let has_code = |code: &&str| ["", "exception", "error"].iter().any(|suffix| has(text, &format!("{code}{suffix}")));
    explanation.codes.iter().any(has_code) || explanation.messages.iter().any(|message| has(text, message))
}

/// Looks in a lower-case text for the parts of a message that `…` separates, in their order and near each other.
fn has(text: &str, message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    let mut parts = message.split('…').map(str::trim);
    let Some(first) = parts.next() else { return false };
    let follows = |end: usize, part: &str| {
        let near = &text[end..text.floor_char_boundary(end + MAX_GAP + part.len() + 1)];
        ends(near, part).next().map(|at| end + at)
    };
    ends(text, first).any(|end| parts.clone().try_fold(end, follows).is_some())
}

/// Gives the places where `part` ends in `text`, of those where it neither begins nor ends inside a word.
fn ends<'t>(text: &'t str, part: &'t str) -> impl Iterator<Item = usize> + 't {
    let cuts = |at: usize| text[..at].ends_with(is_word) && text[at..].starts_with(is_word);
    let places = text.match_indices(part).map(|(start, part)| (start, start + part.len()));
    places.filter(move |&(start, end)| !cuts(start) && !cuts(end)).map(|(_, end)| end)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn answer(explanation: &Explanation, others: &[&Explanation], text: &str) -> String {
    let profile = profile_in(text).map_or_else(|| "PROFILE".to_owned(), quoted);
    let mut answer = String::new();
    wrap(&mut answer, "", &format!("{}: {}", explanation.name, explanation.meaning));
    if let Some(denial) = denial(text) {
        wrap(&mut answer, "", &format!("here: {denial}"));
    }
    let role = denied_role(text);
    answer.push_str("\nlikely causes:\n");
    for (number, cause) in (1..).zip(explanation.causes) {
        wrap(&mut answer, &format!("  {number}. "), cause);
    }
    answer.push_str("\nwhat to do:\n");
    for step in explanation.steps {
        let step = step.replace("{profile}", &profile);
        let step = match &role {
            Some(role) => step.replace("--role-name NAME", &format!("--role-name {}", quoted(role.name()))),
            None => step,
        };
        wrap(&mut answer, "  - ", &step);
    }
    also_seen(&mut answer, others);
    answer
}

fn also_seen(answer: &mut String, others: &[&Explanation]) {
    if !others.is_empty() {
        let names: Vec<_> = others.iter().map(|other| format!("`{}`", other.name)).collect();
        answer.push('\n');
        wrap(answer, "", &format!("also seen: {}", names.join(", ")));
    }
}

/// Repeats what keyrole said.
fn own_answer(said: &OwnWords, others: &[&Explanation], text: &str) -> String {
    let mut answer = String::new();
    wrap(&mut answer, "", &format!("keyrole says: {}", said.error));
    answer.push_str("\nwhat to do:\n");
    let profile = profile_in(text).map_or_else(|| "PROFILE".to_owned(), quoted);
    let doctor = DOCTOR.replace("{profile}", &profile);
    for step in said.hint.iter().chain([&doctor]) {
        wrap(&mut answer, "  - ", step);
    }
    also_seen(&mut answer, others);
    answer
}

/// Adds a paragraph. What stands in backticks stays on one line, so that it can be copied.
fn wrap(answer: &mut String, label: &str, paragraph: &str) {
    let paragraph = Printable(paragraph).to_string();
    let mut is_quoted = false;
    let words = paragraph.split(|c| {
        is_quoted ^= c == '`';
        c == ' ' && !is_quoted
    });
    let indent = label.chars().count();
    answer.push_str(label);
    let mut column = indent;
    for word in words {
        let length = word.chars().count();
        if column > indent && column + 1 + length > WIDTH {
            answer.push('\n');
            answer.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if column > indent {
            answer.push(' ');
            column += 1;
        }
        answer.push_str(word);
        column += length;
    }
    answer.push('\n');
}

/// What stands before and behind the name of a profile in the messages of keyrole and the SDKs, in lower case.
const PROFILE_MARKS: &[(&str, &str)] = &[
    ("config profile (", ")"),
    ("profile `", "`"),
    ("keyrole login ", "`"),
    ("profile \"", "\""),
    ("profile '", "'"),
    ("profile: [", "]"),
    ("shared config profile, ", ""),
    ("--profile ", ""),
    ("aws_profile=", ""),
    ("keyrole get ", ""),
];

/// Finds the name of the profile that a text is about.
fn profile_in(text: &str) -> Option<&str> {
    /// Longer than anybody's name.
    const MAX_NAME: usize = 128;
    let lower = text.to_ascii_lowercase();
    let between = |(before, after): &(&str, &str)| {
        let rest = &text[ends(&lower, before).next()?..];
        let name = match *after {
            "" => rest.split([' ', '`', '\'', '"', ',', ')', ';']).next()?,
            after => rest.split_once(after)?.0,
        };
        (!name.is_empty() && name.len() <= MAX_NAME && name != "PROFILE").then_some(name)
    };
    PROFILE_MARKS.iter().find_map(between)
}

/// Says who was denied what, in words, if the text says it: the last such sentence.
fn denial(text: &str) -> Option<String> {
    let (before, after) = text.rsplit_once(" is not authorized to perform: ")?;
    let word = |text: &str| -> String {
        let end = text.find([' ', ',', '"', '\'', '<', '`']).unwrap_or(text.len());
        text[..end].trim_end_matches(['.', ':', ')']).to_owned()
    };
    let who = described(before.rsplit(' ').next()?)?;
    let action = word(after);
    let is_action = !action.is_empty() && action.chars().all(|c| c.is_ascii_alphanumeric() || "-:*".contains(c));
    let resource = after.split_once(" on resource: ").map(|(_, resource)| word(resource));
    let on = resource.as_deref().and_then(described).map_or_else(String::new, |resource| format!(" on {resource}"));
    is_action.then(|| format!("{who} was denied `{action}`{on}"))
}

/// Finds the role that somebody was not allowed to assume.
fn denied_role(text: &str) -> Option<RoleArn> {
    let (_, after) = text.rsplit_once(" is not authorized to perform: sts:")?;
    let (_, resource) = after.split_once(" on resource: ")?;
    let end = resource.find([' ', ',', '"', '\'', '<', '`']).unwrap_or(resource.len());
    RoleArn::parse(resource[..end].trim_end_matches(['.', ':', ')'])).ok()
}

/// Puts an ARN into words: the name and the account.
fn described(arn: &str) -> Option<String> {
    let mut parts = arn.splitn(6, ':');
    if parts.next() != Some("arn") {
        return None;
    }
    let (_partition, service) = (parts.next()?, parts.next()?);
    let (_region, account) = (parts.next()?, parts.next()?);
    let resource = parts.next()?;
    let (kind, name) = resource.split_once('/').unwrap_or(("", resource));
    Some(match (service, kind, name.split_once('/')) {
        ("iam", "user" | "role", _) => format!("{kind} `{name}` of account {account}"),
        ("sts", "assumed-role", Some((role, session))) => {
            format!("session `{session}` of role `{role}` of account {account}")
        }
        _ => format!("`{arn}`"),
    })
}

fn unknown(text: &str) -> Error {
    /// A longer text is no code with a slip of the finger.
    const MAX_CODE: usize = 64;
    let mut codes = EXPLANATIONS.iter().flat_map(|explanation| explanation.codes).copied();
    let hint = match Some(text).filter(|text| text.len() <= MAX_CODE).and_then(|text| nearest(text, &mut codes)) {
        Some(code) => format!("did you mean `{code}`? Otherwise run"),
        None => "run".to_owned(),
    };
    Error::failed("no error that keyrole knows is in this text")
        .hint(format!("{hint} `keyrole doctor PROFILE`, which looks for what is wrong with the profile itself"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<&'static str> {
        recognise(&plain(text)).iter().map(|explanation| explanation.name).collect()
    }

    #[test]
    fn a_code_is_a_whole_word() {
        for text in
            ["InvalidToken", "invalidtokenexception", "(InvalidToken)", "x#InvalidTokenException\"", "a.InvalidToken:"]
        {
            assert_eq!(names(text), ["InvalidToken"], "{text}");
        }
        for text in [
            "InvalidTokenFoo",
            "MyInvalidToken",
            "InvalidTokens",
            "Invalid Token",
            "AWS_INVALIDTOKEN",
            "InvalidTokenException2",
        ] {
            assert!(names(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn parts_of_a_message_stand_in_order_and_near_each_other() {
        let found = |text: &str| has(&text.to_ascii_lowercase(), "Signature expired … is now earlier than");
        assert!(found("Signature expired: 1 is now earlier than 2"));
        assert!(found(&format!("Signature expired: {} is now earlier than 2", "é".repeat(MAX_GAP / 2 - 10))));
        assert!(!found("is now earlier than Signature expired"));
        assert!(!found(&format!("Signature expired {} is now earlier than", "x".repeat(2 * MAX_GAP))));
        assert!(found(&format!(
            "Signature expired {} Signature expired: 1 is now earlier than",
            "x".repeat(2 * MAX_GAP)
        )));
    }

    #[test]
    fn what_wraps_a_message_is_taken_off() {
        let utf_16: String = "\u{feff}ExpiredToken".chars().flat_map(|c| [c, '\0']).collect();
        for (text, expected) in [
            ("\u{1b}[1;31mExpired\u{1b}[0mToken", "ExpiredToken"),
            ("╷\n│ User:\n│ x is not\n│ authorized\n╵", "User: x is not authorized"),
            ("\u{201c}doesn\u{2019}t\u{201d}", "\"doesn't\""),
            ("doesn&#39;t &quot;match&quot;", "doesn't \"match\""),
            (r#"{\"a\": \"b\nc\"}"#, r#"{"a": "b c"}"#),
            ("a\u{a0}b\u{200b}c\r\n\td", "a bc d"),
            (&utf_16, "ExpiredToken"),
            ("\u{1b}[", ""),
            ("", ""),
        ] {
            assert_eq!(plain(text), expected, "{text:?}");
        }
    }

    #[test]
    fn of_several_errors_the_cause_comes_first() {
        let chain = "Error when retrieving credentials from custom-process: keyrole: error: AssumeRole of `r` failed: \
                     AccessDenied: User: u is not authorized to perform: sts:AssumeRole on resource: r";
        assert_eq!(
            names(chain),
            ["AccessDenied for sts:AssumeRole", "Error when retrieving credentials from custom-process"]
        );
        let both = "RegionDisabledException, and then Throttling";
        assert_eq!(names(both), ["RegionDisabledException", "Throttling"]);
    }

    #[test]
    fn the_profile_is_found_in_the_words_of_each_client() {
        for (text, profile) in [
            ("The config profile (my prod) could not be found", Some("my prod")),
            ("keyrole: error: profile `prod` needs an MFA code", Some("prod")),
            ("keyrole: hint: run `keyrole login prod` in a terminal", Some("prod")),
            ("failed to get shared config profile, prod", Some("prod")),
            ("Could not resolve credentials using profile: [prod] in", Some("prod")),
            ("The source_profile \"base\" referenced in the profile \"prod\" does not exist.", Some("prod")),
            ("Profile 'prod' not found", Some("prod")),
            ("+ aws s3 ls --profile prod", Some("prod")),
            ("run `keyrole doctor PROFILE` or --profile PROFILE", None),
            ("An error occurred (ExpiredToken)", None),
            ("profile ``", None),
        ] {
            assert_eq!(profile_in(text), profile, "{text}");
        }
    }

    #[test]
    fn a_denial_is_told_in_words() {
        let said = |who: &str, what: &str| format!("User: {who} is not authorized to perform: {what}");
        for (text, expected) in [
            (
                said(
                    "arn:aws:iam::111122223333:user/me",
                    "sts:AssumeRole on resource: arn:aws:iam::444455556666:role/ci/Deploy\"",
                ),
                Some(
                    "user `me` of account 111122223333 was denied `sts:AssumeRole` on role `ci/Deploy` of account \
                     444455556666",
                ),
            ),
            (
                said("arn:aws:sts::1:assumed-role/Admin/me@host", "s3:ListAllMyBuckets because no"),
                Some("session `me@host` of role `Admin` of account 1 was denied `s3:ListAllMyBuckets`"),
            ),
            (
                said("arn:aws:sts::1:federated-user/x", "s3:GetObject on resource: arn:aws:s3:::b/k</Message>"),
                Some("`arn:aws:sts::1:federated-user/x` was denied `s3:GetObject` on `arn:aws:s3:::b/k`"),
            ),
            (said("hunter2", "x:Y"), None),
            (said("arn:aws:iam::1:user/me", "se/cr+et="), None),
            (" is not authorized to perform: ".into(), None),
        ] {
            assert_eq!(denial(&text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn lines_are_short_and_commands_are_whole() {
        let command = format!("`keyrole login {}`", "x ".repeat(60));
        let mut text = String::new();
        wrap(&mut text, "  1. ", &format!("{} {command} {}", "word ".repeat(40).trim(), "end ".repeat(40).trim()));
        assert!(text.contains(&command), "{text}");
        assert!(text.lines().all(|line| line.len() <= WIDTH || line.contains(&command)), "{text}");
        assert!(text.lines().skip(1).all(|line| line.starts_with("     ")), "{text}");
        assert!(!text.contains(" \n"), "{text}");
    }

    #[test]
    fn what_keyrole_said_is_repeated_unless_it_is_explained_and_never_with_a_secret() {
        let said = |text: &str| own_words(text).map(|said| (said.error, said.hint.unwrap_or_default()));
        let pair = |error: &str, hint: &str| Some((error.to_owned(), hint.to_owned()));
        assert_eq!(said("x: keyrole: error: it is odd\nkeyrole: hint: turn it\nmore"), pair("it is odd", "turn it"));
        assert_eq!(
            said(r#"{"stderr": "keyrole: error: it is odd\nkeyrole: hint: turn it\n", "secret": "hunter2"}"#),
            pair("it is odd", "turn it")
        );
        assert_eq!(said("keyrole: error: old\nkeyrole: error: new"), pair("new", ""));
        assert_eq!(said("keyrole: error: no valid session is cached"), None);
        assert_eq!(said("keyrole: error: \nx"), None);
        assert_eq!(said("no error of ours"), None);
        for secret in [
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'",
            "AWS_SECRET_ACCESS_KEY=hunter2",
            "--token=hunter2",
        ] {
            let (error, _) = said(&format!("keyrole: error: odd `/a/b` {secret} end")).unwrap();
            assert!(error.starts_with("odd `/a/b` ") && error.ends_with(" end"), "{error}");
            assert!(!error.contains("hunter2") && !error.contains("wJalr"), "{error}");
        }
        let path = "odd `/home/someone/projects/infrastructure/aws/config` of arn:aws:iam::444455556666:role/Admin";
        assert_eq!(said(&format!("keyrole: error: {path}")), pair(path, ""));
    }

    #[test]
    fn the_role_that_was_denied_is_named_in_the_commands() {
        let text = "User: arn:aws:iam::111122223333:user/me is not authorized to perform: sts:AssumeRole on resource: \
                    arn:aws:iam::444455556666:role/ci/Deploy";
        let answer = answer(recognise(text)[0], &[], text);
        assert!(answer.contains("`aws iam get-role --role-name Deploy`"), "{answer}");
    }

    #[test]
    fn the_names_of_a_hostile_text_cannot_move_the_cursor() {
        let text = plain("The config profile (\u{202e}a'b\u{1b}]0;x\u{7}) could not be found");
        let found = recognise(&text);
        let answer = answer(found[0], &[], &text);
        assert!(answer.contains("keyrole setup '\\u{202e}a'\\''b ]0;x '"), "{answer}");
        assert!(answer.chars().all(|c| c == '\n' || !c.is_control()), "{answer:?}");
    }

    #[test]
    fn of_a_long_input_the_end_is_kept() {
        let input = io::repeat(b'x').take(3 * MAX_BYTES as u64 + 7).chain(&b"ExpiredToken"[..]);
        let kept = end_of(input).unwrap();
        assert_eq!(kept.len(), MAX_BYTES);
        assert!(kept.ends_with(b"xExpiredToken"));
        assert_eq!(end_of(&b"short"[..]).unwrap(), b"short");
    }
}
