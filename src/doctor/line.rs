//! Owns the checks of the lines in a profile: the one that runs keyrole, values with comments, keys nobody knows.

use super::{Patient, Report, place};
use crate::config::{AwsFiles, FileKind, Property, SectionKind, Sections, without_prefix};
use crate::error::{Error, Printable, Result};
use crate::process_line;
use crate::profile;
use std::collections::HashSet;
use std::path::Path;

/// Checks for what makes boto3 and the AWS CLI refuse a file as a whole.
pub fn whole(report: &mut Report, files: &AwsFiles, sections: &Sections) {
    match byte_order_mark(files) {
        None => report.ok("byte-order-mark", "the beginning of the files", "no byte order mark"),
        Some(error) => report.error("byte-order-mark", "the beginning of the files", &error),
    }
    match duplicate(files, sections) {
        None => report.ok("duplicate", "sections and keys that stand twice", "none"),
        Some(error) => report.error("duplicate", "sections and keys that stand twice", &error),
    }
}

/// Refuses files of which boto3 and the AWS CLI refuse one as a whole.
///
/// # Errors
/// What it is, with what mends it as the hint.
pub fn refused(files: &AwsFiles, sections: &Sections) -> Result<()> {
    byte_order_mark(files).or_else(|| duplicate(files, sections)).map_or(Ok(()), Err)
}

fn byte_order_mark(files: &AwsFiles) -> Option<Error> {
    let path = files.with_byte_order_mark()?.display();
    let what = format!("`{path}` begins with a byte order mark, for which {REFUSE}");
    Some(Error::usage(what).hint(format!("save `{path}` as UTF-8 without a byte order mark")))
}

/// Finds a section or a key that stands twice. botocore compares headers as they are written.
fn duplicate(files: &AwsFiles, sections: &Sections) -> Option<Error> {
    let twice = |name: &str, file: FileKind, line: usize| {
        let what = format!("`{name}` stands twice, for which {REFUSE}");
        let place = format!("`{}` line {line}", sections.path(file).display());
        Some(Error::usage(what).hint(format!("in {place}: remove one of the two")))
    };
    let lines = [FileKind::Config, FileKind::Credentials].map(|file| files.lines(file).collect::<Vec<_>>());
    let mut headers = HashSet::new();
    for section in sections.every_extent() {
        let is_credentials = section.file == FileKind::Credentials;
        let header = lines[usize::from(is_credentials)].get(section.line - 1).unwrap_or(&"").trim_ascii();
        let header = header.rsplit_once(']').map_or(header, |(header, _)| header);
        if !headers.insert((is_credentials, header)) {
            return twice(&format!("{header}]"), section.file, section.line);
        }
        let mut keys = HashSet::new();
        for property in section.properties.iter().filter(|property| property.block.is_none()) {
            if !keys.insert(property.key.to_ascii_lowercase()) {
                return twice(property.key, section.file, property.line);
            }
        }
    }
    None
}

const REFUSE: &str = "boto3 and the AWS CLI refuse the whole file";

/// Checks the lines of one profile, and the values and keys of its sources too.
pub fn check(report: &mut Report, patient: &Patient, this: &Path) {
    let mut of_profile = patient.sections.properties(SectionKind::Profile, patient.name);
    if let Some(line) = of_profile.find(|property| property.is("credential_process")) {
        process(report, patient, line, this);
    }
    let mut any = false;
    for name in &patient.lineage {
        for property in patient.sections.properties(SectionKind::Profile, name).filter(|p| p.block.is_none()) {
            any |= comment(report, patient, property) | unknown(report, property);
        }
    }
    if !any {
        let looked_at = "the keys and values of the profile and its sources";
        report.ok("keys", looked_at, "every key is known, and no value has a comment");
    }
}

fn process(report: &mut Report, patient: &Patient, line: &Property, this: &Path) {
    let looked_at = &format!("`credential_process` in {}", place(line));
    let words = process_line::words(&line.value);
    let Some(program) = words.first() else { return };
    let here = this.display();
    let right = match process_line::line(this, patient.name) {
        Ok(line) => format!("credential_process = {line}"),
        Err(error) => format!("{}: {}", error.message(), error.hint_text().unwrap_or_default()),
    };
    let path = Path::new(program);
    if !profile::names_keyrole(&line.value) {
        let mend = [right.as_str()];
        report.warn("line", looked_at, "it runs another program than keyrole", &mend);
        return;
    }
    if !path.is_absolute() {
        let what = format!(
            "`{}` is not an absolute path: it works only where the caller's `PATH` or directory fits",
            Printable(program)
        );
        report.fail("line", looked_at, what, &[&right]);
        return;
    }
    match std::fs::metadata(path) {
        Err(error) => {
            report.fail("line", looked_at, format!("`{}`: {error}", Printable(program)), &[&right]);
            return;
        }
        Ok(metadata) if !is_executable(&metadata) => {
            let what = format!("`{}` cannot be executed", Printable(program));
            report.fail("line", looked_at, what, &[&format!("chmod +x {program}")]);
            return;
        }
        Ok(_) => {}
    }
    match words.get(1).map(String::as_str) {
        None => {
            report.fail("line", looked_at, "there is no argument; keyrole needs `get` and a profile", &[&right]);
            return;
        }
        Some("get") => {}
        Some(_) => {
            report.fail("line", looked_at, "the command is not `get`", &[&right]);
            return;
        }
    }
    match process_line::target(&line.value) {
        None => report.fail("line", looked_at, "`get` needs a profile", &[&right]),
        Some(name) if !patient.sections.contains(SectionKind::Profile, &name) => {
            let what = format!("there is no profile `{}`", Printable(&name));
            report.fail("line", looked_at, what, &[&right]);
        }
        Some(_) if line.value.contains(['"', '\'']) => {
            let what = "the quotes break minio's client, which splits the line at spaces";
            report.warn("line", looked_at, what, &["use a path and a profile name without spaces, and no quotes"]);
        }
        Some(_)
            if program.contains(char::is_whitespace)
                || line.value.contains(|c| process_line::SHELL_CHARACTERS.contains(c)) =>
        {
            let what = "it has characters that a shell takes for its own; most SDKs give the line to one";
            let mend = if cfg!(windows) {
                r"put keyrole.exe into a directory without such characters and spaces, such as C:\keyrole".to_owned()
            } else {
                format!("ln -s '{here}' /usr/local/bin/keyrole")
            };
            report.fail("line", looked_at, what, &[&mend, &right]);
        }
        Some(_) if is_another(path, this) => {
            let what = format!("it runs another keyrole than this one, which is `{here}`");
            report.warn("line", looked_at, what, &[&right]);
        }
        Some(_) => report.ok("line", looked_at, "it runs this keyrole in a way that every SDK understands"),
    }
}

fn is_another(path: &Path, this: &Path) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    real(path) != real(this)
}

#[cfg(unix)]
fn is_executable(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.is_file() && metadata.permissions().mode() & 0o111 != 0
}

#[cfg(not(unix))]
fn is_executable(metadata: &std::fs::Metadata) -> bool {
    metadata.is_file()
}

/// The SDKs' specification ends a value at white space and `#` or `;`; botocore keeps all of it.
fn comment(report: &mut Report, patient: &Patient, property: &Property) -> bool {
    let raw = patient.files.line_of(property);
    let value = raw.split_once(['=', ':']).map_or("", |(_, value)| value.trim_ascii());
    let first = property.value.lines().next().unwrap_or_default();
    if value == first {
        return false;
    }
    report.warn(
        "comment",
        &format!("`{}` in {}", property.key, place(property)),
        "a comment after the value belongs to it for boto3 and the AWS CLI",
        &["put the comment on a line of its own"],
    );
    true
}

fn unknown(report: &mut Report, property: &Property) -> bool {
    // Those with the prefix are refused when the plan is made.
    if without_prefix(property.key).is_some() {
        return false;
    }
    let Some(right) = profile::misspelt(property.key) else { return false };
    report.warn(
        "misspelt",
        &format!("`{}` in {}", Printable(property.key), place(property)),
        "no SDK knows this key",
        &[&format!("did you mean `{right}`?")],
    );
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_of_a_line_is_found_behind_quotes_and_flags() {
        for (line, expected) in [
            ("/usr/bin/keyrole get prod", Some("prod")),
            ("\"/a b/keyrole\" get --no-prompt 'my prod'", Some("my prod")),
            ("keyrole.exe get prod --refresh", Some("prod")),
            ("/usr/bin/keyrole get", None),
            ("/usr/bin/other get prod", None),
        ] {
            assert_eq!(process_line::target(line).as_deref(), expected, "{line}");
        }
    }
}
