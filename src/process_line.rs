//! Owns what a command line is to shells and SDKs, and the `credential_process` line: this program's path and a profile's
//! name, written so that every SDK runs it alike, those that take it apart at spaces as well as those that give it to a
//! shell.

use crate::error::{Error, Result};
use crate::profile::names_keyrole;
use crate::world::World;
use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

/// What a shell or an SDK without one takes for something other than itself.
pub const SHELL_CHARACTERS: &str = if cfg!(windows) { "%^|&<>()!" } else { "~$#;|%&<>*?(){}`\\!" };

/// Splits a line as a shell would, as far as quotes go.
pub fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match quote {
            Some(end) if c == end => quote = None,
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Gives the profile that a `credential_process` line asks keyrole for.
pub fn target(line: &str) -> Option<String> {
    if !names_keyrole(line) {
        return None;
    }
    let words = words(line);
    let after_get = words.iter().skip_while(|word| *word != "get").skip(1);
    after_get.filter(|word| !word.starts_with('-')).map(|word| word.to_owned()).next()
}

/// Gives the line for a profile.
///
/// # Errors
/// The path or the name needs quoting that some SDK does not understand.
pub fn line(program: &Path, profile: &str) -> Result<String> {
    let is_separator = |c| c == '/' || cfg!(windows) && (c == '\\');
    let is_plain = |c: char| c.is_alphanumeric() || "-_.@+:=,".contains(c);
    let path = program.to_str().filter(|path| path.chars().all(|c| is_plain(c) || is_separator(c)));
    let Some(path) = path else {
        let shown = program.display();
        return Err(Error::usage(format!("keyrole is at `{shown}`, a path that some SDKs cannot run"))
            .hint("make a link to it whose path is only letters, digits and `/-_.`, and run `setup` by that"));
    };
    if !names_keyrole(path) {
        return Err(Error::usage(format!(
            "this program is called `{path}`, by which nobody knows keyrole in a profile's line"
        ))
        .hint("make a link to it that is called `keyrole`, and run it by that"));
    }
    let is_plain = |c: char| is_plain(c) || c == '/';
    if profile.chars().all(is_plain) && !profile.starts_with('-') {
        return Ok(format!("{path} get {profile}"));
    }
    // Both shells and Python's `shlex` take these quotes off; minio's client alone does not.
    if profile.chars().all(|c| is_plain(c) || c == ' ') && !profile.starts_with('-') {
        return Ok(format!("{path} get \"{profile}\""));
    }
    Err(Error::usage(format!("profile `{profile}` has a name that cannot stand in a `credential_process` line"))
        .hint("use letters, digits, `-`, `_` and `.`, and no `-` at the beginning"))
}

/// Finds this program's absolute path as people know it. The link by which it was called stays when a package manager
/// puts a new version behind it.
///
/// # Errors
/// The system does not know it.
pub fn program(called: Option<&OsStr>, world: &World) -> Result<PathBuf> {
    let actual =
        std::env::current_exe().map_err(|error| Error::failed(format!("cannot find keyrole's own path: {error}")))?;
    Ok(called.and_then(|called| called_by(Path::new(called), &actual, world)).unwrap_or(actual))
}

/// Tells whether a program that is named without its directory is nowhere to be found.
pub fn is_missing(program: &str, world: &World) -> bool {
    let is_there =
        |dir: PathBuf| dir.join(program).is_file() || cfg!(windows) && dir.join(format!("{program}.exe")).is_file();
    !program.contains(['/', '\\', '=']) && !std::env::split_paths(&world.var("PATH").unwrap_or_default()).any(is_there)
}

fn called_by(called: &Path, actual: &Path, world: &World) -> Option<PathBuf> {
    let file = actual.canonicalize().ok()?;
    let is_it = |path: &PathBuf| path.canonicalize().is_ok_and(|other| other == file);
    if called.components().count() > 1 {
        return absolute(called).filter(is_it);
    }
    let path = world.var("PATH")?;
    std::env::split_paths(&path).filter_map(|dir| absolute(&dir.join(called))).find(is_it)
}

fn absolute(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    if path.components().all(|part| part != Component::ParentDir) {
        return Some(path);
    }
    // Behind a link, `..` is not the directory before it.
    Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_space_is_quoted_and_other_names_are_not() {
        let line = |profile| line(Path::new("/usr/bin/keyrole"), profile).unwrap();
        assert_eq!(line("prod"), "/usr/bin/keyrole get prod");
        assert_eq!(line("me@corp/prod"), "/usr/bin/keyrole get me@corp/prod");
        assert_eq!(line("name with spaces"), "/usr/bin/keyrole get \"name with spaces\"");
    }

    #[test]
    fn what_a_shell_or_an_sdk_would_take_apart_is_refused() {
        for path in ["/my apps/keyrole", "/a$b/keyrole", "/~/keyrole", "/a;b/keyrole", "/a%20b/keyrole", "/a#b/k"] {
            assert!(line(Path::new(path), "prod").is_err(), "{path}");
        }
        for profile in ["-x", "it's", "a\"b", "$HOME", "a;b", "a\\b", "a\nb", "a`b`"] {
            assert!(line(Path::new("/usr/bin/keyrole"), profile).is_err(), "{profile}");
        }
    }
}
