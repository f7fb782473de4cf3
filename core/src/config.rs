//! Owns the reading of `~/.aws/config` and `~/.aws/credentials` into sections. Pure but for `AwsFiles::read`.
//! It never decides what a key means; that is `profile.rs`.
//!
//! The grammar is that of the SDKs' shared configuration files, and where those are silent that of the AWS CLI
//! (Python's `configparser`): a line that is indented deeper than the property above continues it.

use crate::error::{Error, Result};
use crate::secret::{Secret, SecretBytes};
use crate::world::World;
use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

/// Tells the two files apart: they name their sections differently, and credentials win over config.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    /// `~/.aws/config`: `[profile NAME]`, `[default]`, `[sso-session NAME]`, `[services NAME]`.
    Config,
    /// `~/.aws/credentials`: `[NAME]`.
    Credentials,
}

/// What a section describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SectionKind {
    /// A profile.
    Profile,
    /// An `[sso-session NAME]`.
    SsoSession,
    /// A `[services NAME]`.
    Services,
    /// Anything else, such as `[plugins]`; kept out of the way.
    Other,
}

/// The text of both files, wiped when dropped, for `Sections` to borrow from.
pub struct AwsFiles {
    config: AwsFile,
    credentials: AwsFile,
}

struct AwsFile {
    kind: FileKind,
    path: PathBuf,
    text: Secret,
}

impl AwsFiles {
    /// Reads both files; one that does not exist counts as empty.
    ///
    /// # Errors
    /// A config file that `AWS_CONFIG_FILE` names and that is not there; a file that is a directory, cannot be read,
    /// or is not UTF-8.
    pub fn read(world: &World) -> Result<Self> {
        Self::read_where(world, false)
    }

    /// Reads both files for somebody who is going to write the config file, which need not be there yet.
    ///
    /// # Errors
    /// As `read`, but for the missing file.
    pub fn read_to_edit(world: &World) -> Result<Self> {
        Self::read_where(world, true)
    }

    fn read_where(world: &World, is_to_be_written: bool) -> Result<Self> {
        let read = |kind, variable, default: &str| -> Result<AwsFile> {
            let (path, named) = match world.var(variable) {
                Some(path) => (world.expand(&path), true),
                None => match &world.home {
                    Some(home) => (home.join(default), false),
                    None => {
                        return Err(Error::usage("the home directory is not known")
                            .hint(format!("set `HOME`, or `{variable}` to the file's path")));
                    }
                },
            };
            // Pointing the credentials file nowhere is a usual way to have none.
            let may_lack = !named || is_to_be_written || kind == FileKind::Credentials;
            let text = read_text(&path, named.then_some(variable), may_lack)?;
            Ok(AwsFile { kind, path, text })
        };
        Ok(Self {
            config: read(FileKind::Config, "AWS_CONFIG_FILE", ".aws/config")?,
            credentials: read(FileKind::Credentials, "AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials")?,
        })
    }

    /// Gives the path of the config file.
    pub fn config_path(&self) -> &Path {
        &self.config.path
    }

    /// Gives the text of the config file.
    pub fn config_text(&self) -> &str {
        self.config.text.expose()
    }

    /// Gives the path of the credentials file.
    pub fn credentials_path(&self) -> &Path {
        &self.credentials.path
    }

    /// Gives the text of the credentials file.
    pub fn credentials_text(&self) -> &str {
        self.credentials.text.expose()
    }

    /// Gives the pair as it would be with another config file.
    pub fn with_config(&self, text: Secret) -> Self {
        self.with(text, self.credentials.text.clone())
    }

    /// Gives the pair as it would be with other texts.
    pub fn with(&self, config: Secret, credentials: Secret) -> Self {
        let file = |file: &AwsFile, text| AwsFile { kind: file.kind, path: file.path.clone(), text };
        Self { config: file(&self.config, config), credentials: file(&self.credentials, credentials) }
    }

    /// Makes the pair from texts, for tests and for the editor.
    pub fn from_text(config: &str, credentials: &str) -> Self {
        let file = |kind, path: &str, text: &str| AwsFile { kind, path: PathBuf::from(path), text: Secret::new(text) };
        Self {
            config: file(FileKind::Config, "~/.aws/config", config),
            credentials: file(FileKind::Credentials, "~/.aws/credentials", credentials),
        }
    }

    /// Parses both files.
    ///
    /// # Errors
    /// A line that is neither a section, a property, a continuation nor a comment, with file and line.
    pub fn sections(&self) -> Result<Sections<'_>> {
        // Some 25 bytes a line and five lines a section; what is too little grows, what is too much is never touched.
        let bytes = self.config.text.expose().len() + self.credentials.text.expose().len();
        let mut sections = Sections {
            config_path: &self.config.path,
            credentials_path: &self.credentials.path,
            sections: Vec::with_capacity(bytes / 125 + 4),
            properties: Vec::with_capacity(bytes / 25 + 4),
        };
        parse(&self.config, &mut sections)?;
        parse(&self.credentials, &mut sections)?;
        Ok(sections)
    }
}

impl AwsFiles {
    /// Gives the line on which a property begins, as it is written.
    pub fn line_of(&self, property: &Property) -> &str {
        let is_config = self.config.path == property.file;
        let mut lines = self.lines(if is_config { FileKind::Config } else { FileKind::Credentials });
        lines.nth(property.line - 1).unwrap_or_default()
    }

    /// Gives the lines of a file as they are written, without a byte order mark.
    pub fn lines(&self, file: FileKind) -> std::str::Lines<'_> {
        let file = if file == FileKind::Config { &self.config } else { &self.credentials };
        let text = file.text.expose();
        text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text).lines()
    }

    /// Finds a file that begins with a byte order mark, which `sections` overlooks.
    pub fn with_byte_order_mark(&self) -> Option<&Path> {
        let has_one = |file: &&AwsFile| file.text.expose().starts_with(BYTE_ORDER_MARK);
        [&self.config, &self.credentials].into_iter().find(has_one).map(|file| &*file.path)
    }
}

/// What some editors write at the beginning of a file; most SDKs do not expect it there.
pub const BYTE_ORDER_MARK: char = '\u{feff}';

fn read_text(path: &Path, named_by: Option<&str>, may_lack: bool) -> Result<Secret> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && may_lack => Vec::new(),
        Err(error) => {
            let why = match error.kind() {
                std::io::ErrorKind::NotFound => "it does not exist".to_owned(),
                std::io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
                _ => error.to_string(),
            };
            let failure = Error::usage(format!("cannot read `{}`: {why}", path.display()));
            return Err(match named_by {
                _ if error.kind() == std::io::ErrorKind::PermissionDenied => failure
                    .hint("this user may not read it: look at the owner and the mode of the file and its directories"),
                Some(variable) => failure.hint(format!("the path comes from `{variable}`; correct or unset it")),
                None => failure.hint("keyrole reads the files of the AWS CLI; make this one a readable text file"),
            });
        }
    };
    String::from_utf8(bytes).map(Secret::new).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let bytes = SecretBytes::from(error.into_bytes());
        let line = 1 + bytes[..at].iter().filter(|&&byte| byte == b'\n').count();
        Error::usage(format!("`{}` line {line} is not UTF-8 text", path.display())).hint("save the file as UTF-8")
    })
}

/// The parsed files. Sections and properties stand in the order of the files, config first.
#[derive(Debug)]
pub struct Sections<'a> {
    config_path: &'a Path,
    credentials_path: &'a Path,
    sections: Vec<Section<'a>>,
    properties: Vec<Property<'a>>,
}

/// The rank of a section in the credentials file.
const MAX_RANK: u8 = 2;

#[derive(Debug)]
struct Section<'a> {
    kind: SectionKind,
    name: Cow<'a, str>,
    /// Which of several sections of the same name wins; the later one among equals.
    rank: u8,
    first_property: usize,
    line: usize,
}

/// Where a section stands and what it says, for whoever edits or judges the file.
#[derive(Debug)]
pub struct Extent<'s, 'a> {
    /// The file it stands in.
    pub file: FileKind,
    /// The line of its header, counted from 1.
    pub line: usize,
    /// The line of the next section's header, if there is one.
    pub next: Option<usize>,
    /// Its properties in the order of the file.
    pub properties: &'s [Property<'a>],
}

impl Section<'_> {
    fn is_in_credentials(&self) -> bool {
        self.rank == MAX_RANK
    }
}

/// One `key = value` with the place it came from.
#[derive(Clone)]
pub struct Property<'a> {
    /// The key as written.
    pub key: &'a str,
    /// The value without its comment; the lines of a longer one joined by `\n`.
    pub value: Cow<'a, str>,
    /// The key of the block this property is nested in, as in `s3 =`.
    pub block: Option<&'a str>,
    /// The file it stands in.
    pub file: &'a Path,
    /// Its line, counted from 1.
    pub line: usize,
}

impl Property<'_> {
    /// Tells whether this is `key` itself, outside of any nested block.
    pub fn is(&self, key: &str) -> bool {
        self.block.is_none() && self.key.eq_ignore_ascii_case(key)
    }

    /// Tells whether this is `key` in the nested block `block`.
    pub fn is_nested(&self, block: &str, key: &str) -> bool {
        self.block.is_some_and(|of| of.eq_ignore_ascii_case(block)) && self.key.eq_ignore_ascii_case(key)
    }
}

// Security: values can be secret keys, so only the place is shown.
impl fmt::Debug for Property<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} line {})", self.key, self.file.display(), self.line)
    }
}

impl<'a> Sections<'a> {
    /// Gives the path of the config file, for messages about what is missing there.
    pub fn config_path(&self) -> &'a Path {
        self.config_path
    }

    /// Gives the path of the credentials file, for the same.
    pub fn credentials_path(&self) -> &'a Path {
        self.credentials_path
    }

    /// Tells whether a section of that kind and name exists.
    pub fn contains(&self, kind: SectionKind, name: &str) -> bool {
        self.sections.iter().any(|section| section.kind == kind && section.name == name)
    }

    /// Gives the names of all profiles, each once, in the order of the files.
    pub fn profile_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for section in self.sections.iter().filter(|section| section.kind == SectionKind::Profile) {
            if seen.insert(&*section.name) {
                names.push(&section.name);
            }
        }
        names
    }

    /// Gives the properties of a section, and of all others of that kind and name, the one that wins first.
    pub fn properties(&self, kind: SectionKind, name: &str) -> impl Iterator<Item = &Property<'a>> {
        self.ranked(kind, name).flat_map(|(index, section)| self.properties_of(index, section).iter().rev())
    }

    /// Gives the sections of a kind and name, the one that wins first.
    pub fn extents(&self, kind: SectionKind, name: &str) -> impl Iterator<Item = Extent<'_, 'a>> {
        self.ranked(kind, name).map(|(index, section)| self.extent(index, section))
    }

    /// Gives every section in the order of the files.
    pub fn every_extent(&self) -> impl Iterator<Item = Extent<'_, 'a>> {
        self.sections.iter().enumerate().map(|(index, section)| self.extent(index, section))
    }

    /// Gives the path of a file.
    pub fn path(&self, file: FileKind) -> &'a Path {
        if file == FileKind::Config { self.config_path } else { self.credentials_path }
    }

    fn extent(&self, index: usize, section: &Section) -> Extent<'_, 'a> {
        let next = self.sections.get(index + 1).filter(|next| next.is_in_credentials() == section.is_in_credentials());
        Extent {
            file: if section.is_in_credentials() { FileKind::Credentials } else { FileKind::Config },
            line: section.line,
            next: next.map(|next| next.line),
            properties: self.properties_of(index, section),
        }
    }

    fn ranked(&self, kind: SectionKind, name: &str) -> impl Iterator<Item = (usize, &Section<'a>)> {
        let ranks = (0..=MAX_RANK).rev();
        ranks.flat_map(move |rank| {
            let found = self.sections.iter().enumerate().rev();
            found.filter(move |(_, section)| section.kind == kind && section.rank == rank && section.name == name)
        })
    }

    fn properties_of(&self, index: usize, section: &Section) -> &[Property<'a>] {
        let end = self.sections.get(index + 1).map_or(self.properties.len(), |next| next.first_property);
        &self.properties[section.first_property..end]
    }
}

/// With it a key is for keyrole alone, and wins.
pub const PREFIX: &str = "keyrole_";

/// Takes `keyrole_` off a key that begins with it.
pub fn without_prefix(key: &str) -> Option<&str> {
    let (prefix, rest) = key.split_at_checked(PREFIX.len())?;
    prefix.eq_ignore_ascii_case(PREFIX).then_some(rest)
}

/// Where the property that a continuation line belongs to stands.
struct Open {
    indent: usize,
    property: usize,
    /// The property began with an empty value, so deeper lines are its nested properties.
    is_block: bool,
}

fn parse<'a>(file: &'a AwsFile, sections: &mut Sections<'a>) -> Result<()> {
    let text = file.text.expose();
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let mut open: Option<Open> = None;
    let mut in_section = false;
    for (index, raw) in text.lines().enumerate() {
        let line = index + 1;
        let content = raw.trim_ascii();
        if matches!(content.as_bytes().first(), None | Some(b'#' | b';')) {
            continue;
        }
        let malformed = |what: &str| {
            Error::usage(format!("`{}` line {line}: {what}", file.path.display()))
                .hint("a line is `[profile NAME]`, `key = value`, or a comment that begins with `#`")
        };
        let indent = raw.len() - raw.trim_ascii_start().len();
        if let Some(parent) = open.as_ref().filter(|open| indent > open.indent) {
            if parent.is_block {
                let (key, value) = split_property(content)
                    .ok_or_else(|| malformed("this indented line is not of the form `key = value`"))?;
                let block = Some(sections.properties[parent.property].key);
                sections.properties.push(Property { key, value: value.into(), block, file: &file.path, line });
            } else {
                let value = sections.properties[parent.property].value.to_mut();
                value.push('\n');
                value.push_str(without_comment(content));
            }
            continue;
        }
        if let Some(header) = content.strip_prefix('[') {
            let Some((header, _)) = header.split_once(']') else {
                return Err(malformed("the section's `]` is missing"));
            };
            let section = section(file.kind, header.trim(), sections.properties.len(), line);
            sections.sections.push(section.ok_or_else(|| malformed("the section has no name"))?);
            (open, in_section) = (None, true);
            continue;
        }
        if !in_section {
            return Err(malformed("this line stands before the first section"));
        }
        let (key, value) =
            split_property(content).ok_or_else(|| malformed("this line is not of the form `key = value`"))?;
        open = Some(Open { indent, property: sections.properties.len(), is_block: value.is_empty() });
        sections.properties.push(Property { key, value: value.into(), block: None, file: &file.path, line });
    }
    Ok(())
}

fn section(file: FileKind, header: &str, first_property: usize, line: usize) -> Option<Section<'_>> {
    let (kind, name, rank) = match file {
        FileKind::Credentials => (SectionKind::Profile, Cow::Borrowed(header), MAX_RANK),
        FileKind::Config => match header.split_once([' ', '\t']) {
            Some(("profile", name)) => (SectionKind::Profile, unquote(name.trim()), 1),
            Some(("sso-session", name)) => (SectionKind::SsoSession, unquote(name.trim()), 1),
            Some(("services", name)) => (SectionKind::Services, unquote(name.trim()), 1),
            // `[profile default]` wins over `[default]`.
            None if header == "default" => (SectionKind::Profile, Cow::Borrowed(header), 0),
            _ => (SectionKind::Other, Cow::Borrowed(header), 0),
        },
    };
    (!name.is_empty()).then_some(Section { kind, name, rank, first_property, line })
}

/// Takes the quotes off a section's name as the AWS CLI's shell-like splitting does.
fn unquote(name: &str) -> Cow<'_, str> {
    for quote in ['"', '\''] {
        if let Some(inner) = name.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return match quote {
                '"' if inner.contains('\\') => Cow::Owned(inner.replace("\\\"", "\"").replace("\\\\", "\\")),
                _ => Cow::Borrowed(inner),
            };
        }
    }
    Cow::Borrowed(name)
}

/// Splits at the first `=` or `:`, as Python's `configparser` does for the AWS CLI.
fn split_property(content: &str) -> Option<(&str, &str)> {
    let at = content.bytes().position(|byte| matches!(byte, b'=' | b':'))?;
    let key = content[..at].trim_ascii_end();
    (!key.is_empty()).then(|| (key, without_comment(content[at + 1..].trim_ascii_start())))
}

/// Cuts a comment off a value: `#` or `;` after white space, or at the value's beginning.
pub fn without_comment(value: &str) -> &str {
    // Most values have neither, and this look is the cheaper one.
    if !value.bytes().any(|byte| matches!(byte, b'#' | b';')) {
        return value;
    }
    let mut after_space = true;
    for (at, byte) in value.bytes().enumerate() {
        if after_space && matches!(byte, b'#' | b';') {
            return value[..at].trim_ascii_end();
        }
        after_space = byte.is_ascii_whitespace();
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(config: &str, credentials: &str, profile: &str, key: &str) -> Option<String> {
        let files = AwsFiles::from_text(config, credentials);
        let sections = files.sections().unwrap();
        let mut properties = sections.properties(SectionKind::Profile, profile);
        properties.find(|property| property.is(key)).map(|property| property.value.to_string())
    }

    fn error(config: &str) -> String {
        AwsFiles::from_text(config, "").sections().unwrap_err().to_string()
    }

    #[test]
    fn comments_crlf_and_a_bom_are_understood() {
        let text = "\u{feff}# top\r\n[profile a] ; tail\r\nregion = eu-west-1 # here\r\n; whole line\r\noutput=x#y\r\n";
        assert_eq!(value(text, "", "a", "region").as_deref(), Some("eu-west-1"));
        assert_eq!(value(text, "", "a", "output").as_deref(), Some("x#y"));
    }

    #[test]
    fn nested_blocks_do_not_leak_into_the_profile() {
        let text = "[profile a]\ns3 =\n    region = nested\n  # comment\n    addressing_style = path\nregion = outer\n";
        assert_eq!(value(text, "", "a", "region").as_deref(), Some("outer"));
        let files = AwsFiles::from_text(text, "");
        let sections = files.sections().unwrap();
        let nested =
            sections.properties(SectionKind::Profile, "a").find(|property| property.is_nested("s3", "region")).unwrap();
        assert_eq!((&*nested.value, nested.line), ("nested", 3));
    }

    #[test]
    fn a_uniformly_indented_section_is_read_as_the_aws_cli_reads_it() {
        let text = "[profile a]\n  region = r\n  output = o\n";
        assert_eq!(value(text, "", "a", "output").as_deref(), Some("o"));
        assert_eq!(value(text, "", "a", "region").as_deref(), Some("r"));
    }

    #[test]
    fn deeper_lines_continue_a_value() {
        let text = "[profile a]\npolicy = {\n  \"x\": 1\n  }\nregion: r\n";
        assert_eq!(value(text, "", "a", "policy").as_deref(), Some("{\n\"x\": 1\n}"));
        assert_eq!(value(text, "", "a", "region").as_deref(), Some("r"));
    }

    #[test]
    fn names_may_have_spaces_and_quotes() {
        let text = "[profile \"name with spaces\"]\na=1\n[ profile\tb ]\na=2\n[profile 'c']\na=3\n[profile d e]\na=4\n";
        for (name, expected) in [("name with spaces", "1"), ("b", "2"), ("c", "3"), ("d e", "4")] {
            assert_eq!(value(text, "", name, "a").as_deref(), Some(expected), "{name}");
        }
    }

    #[test]
    fn later_duplicates_win_and_sections_of_one_name_merge() {
        let text = "[profile a]\nx=1\ny=1\n[profile b]\n[profile a]\nx=2\nX=3\n";
        assert_eq!(value(text, "", "a", "x").as_deref(), Some("3"));
        assert_eq!(value(text, "", "a", "y").as_deref(), Some("1"));
    }

    #[test]
    fn credentials_win_over_config() {
        assert_eq!(value("[profile a]\nx=1\n", "[a]\nx=2\n", "a", "x").as_deref(), Some("2"));
    }

    #[test]
    fn profile_default_wins_over_default_in_either_order() {
        for text in ["[profile default]\nx=1\n[default]\nx=2\n", "[default]\nx=2\n[profile default]\nx=1\n"] {
            assert_eq!(value(text, "", "default", "x").as_deref(), Some("1"));
        }
    }

    #[test]
    fn a_section_without_the_word_profile_is_no_profile() {
        assert_eq!(value("[a]\nx=1\n[plugins]\nx=2\n", "", "a", "x"), None);
    }

    #[test]
    fn malformed_lines_are_named() {
        assert!(error("[profile a]\nnonsense\n").contains("`~/.aws/config` line 2"));
        assert!(error("x = 1\n").contains("before the first section"));
        assert!(error("[profile a\n").contains("`]` is missing"));
        assert!(error("[ ]\n").contains("no name"));
        assert!(error("[profile a]\ns3 =\n  nonsense\n").contains("line 3"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(config in "\\PC{0,200}", lines in proptest::collection::vec("[ \\t]?[\\[\\]=:#; a\"'\\\\é]{0,12}", 0..20)) {
            let _ = AwsFiles::from_text(&config, &lines.join("\n")).sections();
            let _ = AwsFiles::from_text(&lines.join("\r\n"), &config).sections();
        }

        #[test]
        fn what_is_written_is_read_back(
            name in "[a-z][a-z0-9 ._@-]{0,10}[a-z0-9]",
            pairs in proptest::collection::btree_map("[a-z_]{1,12}", "[!-\"$-:<-~]{1,20}", 1..8),
            newline in prop_oneof![Just("\n"), Just("\r\n")],
            indent in prop_oneof![Just(""), Just("  "), Just("\t")],
        ) {
            let mut text = format!("[profile {name}]{newline}");
            for (key, value) in &pairs {
                text += &format!("{indent}{key} = {value} # comment{newline}{newline}");
            }
            let files = AwsFiles::from_text(&text, "");
            let sections = files.sections().unwrap();
            let properties: Vec<_> = sections.properties(SectionKind::Profile, &name).collect();
            prop_assert_eq!(properties.len(), pairs.len());
            for (key, value) in &pairs {
                let property = properties.iter().find(|property| property.is(key)).unwrap();
                prop_assert_eq!(&*property.value, value.as_str());
            }
        }
    }
}
