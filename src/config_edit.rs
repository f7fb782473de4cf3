//! Owns changes to the text of an AWS file that leave every other line as it is: comments, order, blank lines, line
//! ends. Pure; `config.rs` says what the lines mean. It never decides what is to be changed.

use crate::config::{AwsFiles, BYTE_ORDER_MARK, Extent, FileKind, Property, SectionKind, Sections, without_comment};
use crate::error::{Error, Printable, Result};
use crate::profile::names_keyrole;
use crate::secret::Secret;
use std::borrow::Cow;
use std::fmt::Write;

/// A file's text and the changes made to it so far.
pub struct ConfigEdit<'a> {
    kind: FileKind,
    lines: Vec<Line<'a>>,
    /// The line end of the file.
    end: &'static str,
}

/// A line as it was and as it will be, each with its end; `None` where there is no such line.
struct Line<'a> {
    old: Option<&'a str>,
    new: Option<Cow<'a, str>>,
}

impl Line<'_> {
    fn is_changed(&self) -> bool {
        self.old != self.new.as_deref()
    }
}

impl<'a> ConfigEdit<'a> {
    /// Begins with the config file's text.
    pub fn new(text: &'a str) -> Self {
        Self::of(FileKind::Config, text)
    }

    /// Begins with either file's text.
    pub fn of(kind: FileKind, text: &'a str) -> Self {
        let lines = text.split_inclusive('\n').map(|line| Line { old: Some(line), new: Some(line.into()) });
        let lines: Vec<Line> = lines.collect();
        let is_crlf = lines.first().and_then(|line| line.old).is_some_and(|line| line.ends_with("\r\n"));
        Self { kind, lines, end: if is_crlf { "\r\n" } else { "\n" } }
    }

    /// Gives the text as it will be.
    pub fn text(&self) -> Secret {
        let lines = || self.lines.iter().filter_map(|line| line.new.as_deref());
        let mut text = String::with_capacity(lines().map(str::len).sum());
        lines().for_each(|line| text.push_str(line));
        Secret::new(text)
    }

    /// Tells whether anything will be different.
    pub fn is_changed(&self) -> bool {
        self.lines.iter().any(Line::is_changed)
    }

    /// Sets a property of a profile: in its place if the profile has it, else after its last one. A profile that is not
    /// there is added at the end.
    ///
    /// # Errors
    /// The value or the profile's name cannot be written on one line.
    pub fn set(&mut self, profile: &str, key: &str, value: &str) -> Result<()> {
        if value.chars().any(char::is_control) || value.trim() != value || without_comment(value) != value {
            return Err(Error::usage(format!("`{key}`: `{value}` cannot be written into a config file"))
                .hint("a value has no line breaks, no white space around it, and no comment in it"));
        }
        let change = self.reading(|sections| {
            let extents: Vec<Extent> = sections.extents(SectionKind::Profile, profile).collect();
            let found = extents.iter().find_map(|extent| {
                let property = extent.properties.iter().rev().find(|property| property.is(key))?;
                Some((extent, property))
            });
            Ok(match (found, extents.first()) {
                (Some((_, property)), _) if property.value == value => Change::None,
                (Some((extent, property)), _) => Change::Replace(self.span(extent, property)),
                (None, Some(extent)) => self.after_last_property(extent),
                (None, None) => Change::AddSection(header(profile)?),
            })
        })?;
        match change {
            Change::None => {}
            Change::Replace(span) => self.replace(&span, key, value),
            Change::Insert { at, indent } => self.insert(at, format!("{indent}{key} = {value}")),
            Change::AddSection(header) => {
                let is_blank = |line: &Line| line.new.as_deref().is_none_or(|line| trim(line).is_empty());
                if self.lines.last().is_some_and(|last| !is_blank(last)) {
                    self.insert(self.lines.len(), String::new());
                }
                self.insert(self.lines.len(), header);
                self.insert(self.lines.len(), format!("{key} = {value}"));
            }
        }
        Ok(())
    }

    /// Gives every property `key` of a profile another key. Where the profile has that one already, which then is the one
    /// that counts, `key` is made a comment instead.
    ///
    /// # Errors
    /// The text cannot be read.
    pub fn rename(&mut self, profile: &str, key: &str, to: &str) -> Result<()> {
        let (is_taken, spans) = self.reading(|sections| {
            let is_taken = sections.properties(SectionKind::Profile, profile).any(|property| property.is(to));
            let mut spans = Vec::new();
            for extent in sections.extents(SectionKind::Profile, profile) {
                let found = extent.properties.iter().filter(|property| property.is(key));
                spans.extend(found.map(|property| self.span(&extent, property)));
            }
            Ok((is_taken, spans))
        })?;
        for at in spans.iter().filter(|_| is_taken).flatten() {
            self.change(*at, |line| format!("# {line}"));
        }
        for at in spans.iter().filter(|_| !is_taken).filter_map(|span| span.first()) {
            self.change(*at, |line| {
                let indent = indent(line);
                format!("{indent}{to}{}", &line[indent.len() + key.len()..])
            });
        }
        Ok(())
    }

    /// Removes every property `key` of a profile. Comments among its lines stay.
    ///
    /// # Errors
    /// The text cannot be read.
    pub fn remove(&mut self, profile: &str, key: &str) -> Result<()> {
        let spans = self.reading(|sections| {
            let mut spans = Vec::new();
            for extent in sections.extents(SectionKind::Profile, profile) {
                let found = extent.properties.iter().filter(|property| property.is(key));
                spans.extend(found.flat_map(|property| self.span(&extent, property)));
            }
            Ok(spans)
        })?;
        spans.into_iter().for_each(|at| self.lines[at].new = None);
        Ok(())
    }

    /// Removes the sections of a profile that say nothing, with the blank lines in them. One with a comment stays.
    ///
    /// # Errors
    /// The text cannot be read.
    pub fn remove_if_empty(&mut self, profile: &str) -> Result<()> {
        let empty = self.reading(|sections| {
            let mut empty = Vec::new();
            for extent in sections.extents(SectionKind::Profile, profile) {
                let first = self.index(extent.line);
                let end = extent.next.map_or(self.lines.len(), |line| self.index(line));
                let is_blank = |at: usize| self.lines[at].new.as_deref().is_none_or(|line| trim(line).is_empty());
                if (first + 1..end).all(is_blank) {
                    empty.extend(first..end);
                }
            }
            Ok(empty)
        })?;
        empty.into_iter().for_each(|at| self.lines[at].new = None);
        Ok(())
    }

    /// Takes away the byte order mark, for which botocore refuses the file.
    pub fn drop_byte_order_mark(&mut self) {
        if let Some(line) = self.lines.first_mut() {
            line.new = line.new.take().map(|line| line.trim_start_matches(BYTE_ORDER_MARK).to_owned().into());
        }
    }

    /// Writes the headers of a profile in the way that botocore understands, where it does not.
    ///
    /// # Errors
    /// The text cannot be read, or no header can hold the profile's name.
    pub fn mend_headers(&mut self, profile: &str) -> Result<()> {
        let mut lines = self.reading(|sections| {
            Ok(sections
                .extents(SectionKind::Profile, profile)
                .map(|extent| self.index(extent.line))
                .collect::<Vec<_>>())
        })?;
        lines.sort_unstable();
        // The last first, as a line more moves those below it.
        for at in lines.into_iter().rev() {
            let line = self.lines.get(at).and_then(|line| line.new.as_deref());
            let Some(line) = line.filter(|line| !is_header_of(line, FileKind::Config, profile)) else { continue };
            let tail = line.split_once(']').map_or("", |(_, tail)| tail.trim_ascii_end()).to_owned();
            // Up to a further bracket it would be a part of the name.
            let (kept, moved) = if tail.contains(']') { ("", tail.trim_ascii()) } else { (&*tail, "") };
            let header = header(profile)?;
            self.change(at, |line| format!("{}{header}{kept}", indent(line)));
            if !moved.is_empty() {
                let mark = if moved.starts_with(['#', ';']) { "" } else { "# " };
                self.insert(at + 1, format!("{mark}{moved}"));
            }
        }
        Ok(())
    }

    /// Renders the changes as a unified diff, with secrets hidden; empty if there are none.
    pub fn diff(&self, path: &str) -> String {
        /// As many lines around a change as `diff -u` shows.
        const CONTEXT: usize = 3;
        let mut hunks: Vec<std::ops::Range<usize>> = Vec::new();
        for at in (0..self.lines.len()).filter(|&at| self.lines[at].is_changed()) {
            let end = (at + CONTEXT + 1).min(self.lines.len());
            let start = at.saturating_sub(CONTEXT);
            match hunks.last_mut() {
                Some(last) if start <= last.end => last.end = end,
                _ => hunks.push(start..end),
            }
        }
        let (mut of_old, mut of_new) = (Curtain::default(), Curtain::default());
        let mut shown: Vec<(Option<&str>, Option<&str>)> = Vec::with_capacity(self.lines.len());
        for line in &self.lines {
            shown.push((line.old.map(|line| of_old.shown(line)), line.new.as_deref().map(|line| of_new.shown(line))));
        }
        let mut text = String::new();
        if !hunks.is_empty() {
            text = format!("--- {0}\n+++ {0}\n", Printable(path));
        }
        for hunk in hunks {
            let old = |lines: &[Line]| lines.iter().filter(|line| line.old.is_some()).count();
            let new = |lines: &[Line]| lines.iter().filter(|line| line.new.is_some()).count();
            let (before, lines) = (&self.lines[..hunk.start], &self.lines[hunk.clone()]);
            let mut at = hunk.start;
            // A range without lines is named by the line before it.
            let range = |before: usize, count: usize| format!("{},{count}", before + usize::from(count > 0));
            // Writing to a String cannot fail.
            let _ = writeln!(text, "@@ -{} +{} @@", range(old(before), old(lines)), range(new(before), new(lines)));
            for run in lines.chunk_by(|one, other| one.is_changed() == other.is_changed()) {
                let is_changed = run.iter().any(Line::is_changed);
                let shown = &shown[at..at + run.len()];
                at += run.len();
                for (line, shown) in run.iter().zip(shown).filter_map(|(line, (old, _))| line.old.zip(*old)) {
                    show(&mut text, if is_changed { '-' } else { ' ' }, line, shown);
                }
                let new = run.iter().zip(shown).filter(|_| is_changed);
                for (line, shown) in new.filter_map(|(line, (_, new))| line.new.as_deref().zip(*new)) {
                    show(&mut text, '+', line, shown);
                }
            }
        }
        text
    }

    fn reading<T>(&self, look: impl FnOnce(&Sections) -> Result<T>) -> Result<T> {
        let text = self.text();
        let (config, credentials) = match self.kind {
            FileKind::Config => (text.expose(), ""),
            FileKind::Credentials => ("", text.expose()),
        };
        look(&AwsFiles::from_text(config, credentials).sections()?)
    }

    /// Gives the index of a line of the new text, counted from 1.
    fn index(&self, line: usize) -> usize {
        let mut there = self.lines.iter().enumerate().filter(|(_, line)| line.new.is_some()).map(|(index, _)| index);
        there.nth(line - 1).unwrap_or(self.lines.len())
    }

    /// Gives the indexes of a property's lines, without the comments among them.
    fn span(&self, extent: &Extent, property: &Property) -> Vec<usize> {
        let later = extent.properties.iter().find(|later| later.block.is_none() && later.line > property.line);
        let first = self.index(property.line);
        let end = later.map(|later| later.line).or(extent.next).map_or(self.lines.len(), |line| self.index(line));
        (first..end).filter(|&at| at == first || self.says_something(at)).collect()
    }

    /// Tells whether a line is there and neither blank nor a comment.
    fn says_something(&self, at: usize) -> bool {
        let line = self.lines[at].new.as_deref().map(trim);
        line.is_some_and(|line| !line.is_empty() && !line.starts_with(['#', ';']))
    }

    /// Finds the place for a new property. What follows the last one may be a comment on the next section.
    fn after_last_property(&self, extent: &Extent) -> Change {
        let first = self.index(extent.line);
        let end = extent.next.map_or(self.lines.len(), |line| self.index(line));
        let last = (first..end).rev().find(|&at| at == first || self.says_something(at)).unwrap_or(first);
        // A line that is indented deeper than the one above continues it, so the indent is that of the property above,
        // or, where there is none, of the header below.
        let above = extent.properties.iter().rfind(|property| property.block.is_none());
        let like = above.map(|property| property.line).or(extent.next);
        let like = like.and_then(|line| self.lines.get(self.index(line))).and_then(|line| line.new.as_deref());
        Change::Insert { at: last + 1, indent: like.map_or("", indent).to_owned() }
    }

    fn replace(&mut self, span: &[usize], key: &str, value: &str) {
        let Some((&first, rest)) = span.split_first() else { return };
        let mut comment = None;
        self.change(first, |line| {
            let indent = indent(line);
            let at = line.find(['=', ':']).map_or(line.len(), |at| at + 1);
            let old = line[at..].trim_ascii_start();
            let space = &line[at..line.len() - old.len()];
            let tail = old[without_comment(old).len()..].trim_ascii_start();
            // Some SDKs would take it for a part of the value.
            comment = (!tail.is_empty()).then(|| format!("{indent}{tail}"));
            let separator = line.get(indent.len() + key.len()..at).unwrap_or(" =");
            format!("{indent}{key}{separator}{}{value}", if space.is_empty() { " " } else { space })
        });
        for &at in rest {
            self.lines[at].new = None;
        }
        if let Some(comment) = comment {
            self.insert(first, comment);
        }
    }

    /// Changes a line, given and returned without its end.
    fn change(&mut self, at: usize, change: impl FnOnce(&str) -> String) {
        let Some(line) = self.lines[at].new.as_deref() else { return };
        let content = line.trim_end_matches(['\r', '\n']);
        // A byte order mark is no part of the line.
        let (mark, body) = content.split_at(content.len() - content.trim_start_matches('\u{feff}').len());
        let changed = format!("{mark}{}{}", change(body), &line[content.len()..]);
        self.lines[at].new = Some(changed.into());
    }

    fn insert(&mut self, at: usize, content: String) {
        let above = self.lines[..at].iter_mut().rev().filter_map(|line| line.new.as_mut()).next();
        if let Some(above) = above.filter(|above| !above.ends_with('\n')) {
            above.to_mut().push_str(self.end);
        }
        self.lines.insert(at, Line { old: None, new: Some((content + self.end).into()) });
    }
}

/// What setting a property comes to.
enum Change {
    None,
    Replace(Vec<usize>),
    Insert { at: usize, indent: String },
    AddSection(String),
}

/// Writes a profile's header. The AWS CLI takes it apart as a shell would, so what is special to a shell is quoted.
///
/// # Errors
/// No header can hold the name.
pub fn header(profile: &str) -> Result<String> {
    let is_plain = |c: char| c.is_alphanumeric() || "-_.@/+:=,".contains(c);
    if profile.is_empty() || profile.trim() != profile || profile.contains(|c: char| c.is_control() || c == ']') {
        return Err(Error::usage(format!("profile `{profile}` has a name that no section can have")));
    }
    Ok(match profile {
        "default" => "[default]".to_owned(),
        plain if plain.chars().all(is_plain) => format!("[profile {plain}]"),
        other => format!("[profile \"{}\"]", other.replace('\\', r"\\").replace('"', "\\\"")),
    })
}

/// Tells whether botocore takes a line for the header of a profile. In the config file it takes what is between the first
/// `[` and the last `]` apart as a shell would, and overlooks a section that then is not `profile` and one word.
pub fn is_header_of(line: &str, file: FileKind, profile: &str) -> bool {
    let header = trim(line).strip_prefix('[').and_then(|rest| rest.rsplit_once(']'));
    let Some((header, _)) = header else { return false };
    match file {
        FileKind::Credentials => header == profile,
        FileKind::Config if header == "default" => profile == header,
        FileKind::Config => header.starts_with("profile") && second_of_two(header).as_deref() == Some(profile),
    }
}

/// Splits a text as Python's `shlex` does, and gives the second word if there are two.
fn second_of_two(text: &str) -> Option<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (quote, c) {
            (Some(end), _) if c == end => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ' | '\t') => words.extend(word.take()),
            (None, '\\') => word.get_or_insert_default().push(rest.next()?),
            (Some('"'), '\\') => {
                let next = rest.next()?;
                word.get_or_insert_default()
                    .extend((!matches!(next, '"' | '\\')).then_some(c).into_iter().chain([next]));
            }
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if quote.is_none() && words.len() == 2 { words.pop() } else { None }
}

fn trim(line: &str) -> &str {
    line.trim_start_matches('\u{feff}').trim_ascii()
}

fn indent(line: &str) -> &str {
    &line[..line.len() - line.trim_ascii_start().len()]
}

/// Decides how much of each line may be shown, of a text from its beginning.
///
/// Security: neither a key is shown nor what a command of another program holds, on however many lines it stands.
#[derive(Default)]
struct Curtain {
    /// The indent of the property that is hidden; deeper lines belong to it.
    hides_below: Option<usize>,
}

impl Curtain {
    /// Gives the beginning of a line that may be shown, without its end.
    fn shown<'l>(&mut self, line: &'l str) -> &'l str {
        const SECRET: &[&str] =
            &["aws_secret_access_key", "aws_session_token", "aws_security_token", "mfa_process", "credential_process"];
        let content = line.strip_suffix('\n').unwrap_or(line);
        let (depth, text) = (indent(content).len(), trim(content));
        let is_comment = text.is_empty() || text.starts_with(['#', ';']);
        if !is_comment && self.hides_below.is_some_and(|indent| depth > indent) {
            return &content[..depth];
        }
        let at = content.find(['=', ':']).map_or(content.len(), |at| at + 1);
        let (name, value) = content.split_at(at);
        let name = name.to_ascii_lowercase();
        let words: Vec<&str> = value.split_ascii_whitespace().collect();
        // Of a line of ours nothing is secret; of another's the program tells whose it was.
        let is_process = name.contains("credential_process");
        let is_ours = is_process && matches!(words[..], [program, "get", _] if names_keyrole(program));
        let secret = SECRET.iter().find_map(|key| name.find(key).map(|at| at + key.len())).filter(|_| !is_ours);
        if !is_comment {
            self.hides_below = secret.map(|_| depth);
        }
        match (secret, words.first()) {
            (None, _) => content,
            (Some(_), Some(program)) if is_process && at < content.len() && !program.contains('=') => {
                let begin = value.len() - value.trim_ascii_start().len();
                &content[..at + begin + program.len()]
            }
            // Where there is no `=`, what follows the key is as good as its value.
            (Some(end), _) => &content[..if at < content.len() { at } else { end }],
        }
    }
}

/// Adds a line to a diff, as much of it as is shown. Nothing moves the cursor.
fn show(text: &mut String, mark: char, line: &str, shown: &str) {
    text.push(mark);
    let content = line.strip_suffix('\n').unwrap_or(line);
    for c in shown.chars() {
        match c {
            '\t' | '\r' => text.push(c),
            c => {
                let _ = write!(text, "{}", Printable(c.encode_utf8(&mut [0; 4])));
            }
        }
    }
    text.push_str(if shown.len() < content.len() { " ****\n" } else { "\n" });
    if content.len() == line.len() {
        text.push_str("\\ No newline at end of file\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile;
    use crate::world::World;
    use proptest::prelude::*;
    use std::time::UNIX_EPOCH;

    fn edited(text: &str, edit: impl Fn(&mut ConfigEdit)) -> String {
        let mut config = ConfigEdit::new(text);
        edit(&mut config);
        config.text().expose().to_owned()
    }

    fn set(text: &str, profile: &str, key: &str, value: &str) -> String {
        edited(text, |config| config.set(profile, key, value).unwrap())
    }

    /// Every property outside of comments, by section and key; what the SDKs would read.
    fn values(text: &str) -> Vec<(String, String, String)> {
        let files = AwsFiles::from_text(text, "");
        let sections = files.sections().unwrap();
        let mut values = Vec::new();
        for name in sections.profile_names() {
            let mut seen = Vec::new();
            for property in sections.properties(SectionKind::Profile, name) {
                let key = format!("{}.{}", property.block.unwrap_or_default(), property.key.to_ascii_lowercase());
                if !seen.contains(&key) {
                    seen.push(key.clone());
                    values.push((name.to_owned(), key, property.value.to_string()));
                }
            }
        }
        values.sort();
        values
    }

    /// Applies a unified diff, as `patch` does.
    fn patched(text: &str, diff: &str) -> String {
        let old: Vec<&str> = text.split_inclusive('\n').collect();
        let (mut new, mut at) = (String::new(), 0);
        let mut lines = diff.split_inclusive('\n').skip(2).peekable();
        while let Some(line) = lines.next() {
            let content = line[1..].to_owned();
            let is_cut = lines.peek().is_some_and(|next| next.starts_with('\\'));
            let content = if is_cut { content.trim_end_matches('\n').to_owned() } else { content };
            match line.as_bytes()[0] {
                b'@' => {
                    let (start, count) = line.split(['-', ' ', '+']).nth(2).unwrap().split_once(',').unwrap();
                    let start: usize = start.parse().unwrap();
                    let start = if count == "0" { start } else { start - 1 };
                    new += &old[at..start].concat();
                    at = start;
                }
                b'+' => new += &content,
                b'\\' => {}
                mark => {
                    assert_eq!(old[at], content);
                    at += 1;
                    if mark == b' ' {
                        new += &content;
                    }
                }
            }
        }
        new + &old[at..].concat()
    }

    #[test]
    fn a_diff_shows_nothing_of_keys_and_commands_on_however_many_lines_they_stand() {
        let text = "[profile a]\nmfa_process = sh -c\n  \"oathtool LEAK1\"\n# aws_secret_access_key = LEAK2\n\
                    aws_security_token = LEAK3\ncredential_process = vault --token LEAK4\n  LEAK5\nregion = eu-west-1\n";
        let mut config = ConfigEdit::new(text);
        config.set("a", "region", "eu-west-3").unwrap();
        let three_lines_above = config.diff("config");
        config.set("a", "mfa_process", "true").unwrap();
        config.set("a", "credential_process", "/bin/keyrole get a").unwrap();
        for diff in [three_lines_above, config.diff("config")] {
            assert!(!diff.contains("LEAK") && diff.contains("credential_process = vault ****"), "{diff}");
        }
        assert!(
            config.diff("config").contains("+credential_process = /bin/keyrole get a\n"),
            "{}",
            config.diff("config")
        );
    }

    #[test]
    fn a_diff_shows_of_commands_at_most_the_program() {
        for (line, shown) in [
            ("credential_process = VAULT_TOKEN=LEAK /usr/bin/helper", "credential_process = ****"),
            ("credential_process = /usr/bin/helper\t--password\tLEAK", "credential_process = /usr/bin/helper ****"),
            ("credential_process = keyrole get x && other LEAK", "credential_process = keyrole ****"),
            ("mfa_process = keyrole LEAK", "mfa_process = ****"),
            ("# aws_secret_access_key LEAK", "# aws_secret_access_key ****"),
            ("credential_process = /bin/keyrole get a", "credential_process = /bin/keyrole get a"),
        ] {
            let text = format!("[profile a]\n{line}\nregion = eu-west-1\n");
            let mut config = ConfigEdit::new(&text);
            config.set("a", "region", "eu-west-3").unwrap();
            let diff = config.diff("config");
            assert!(!diff.contains("LEAK") && diff.contains(&format!(" {shown}\n")), "{line}: {diff}");
        }
    }

    #[test]
    fn a_new_profile_comes_last_after_a_blank_line() {
        assert_eq!(set("", "a", "x", "1"), "[profile a]\nx = 1\n");
        assert_eq!(set("[profile b]\ny=2", "a", "x", "1"), "[profile b]\ny=2\n\n[profile a]\nx = 1\n");
        assert_eq!(set("# top\r\n\r\n", "default", "x", "1"), "# top\r\n\r\n[default]\r\nx = 1\r\n");
    }

    #[test]
    fn a_new_property_stands_before_what_is_said_of_the_next_section() {
        let text = "[profile a]\n  y = 2\n\n# about b\n[profile b]\nz = 3\n";
        assert_eq!(set(text, "a", "x", "1"), "[profile a]\n  y = 2\n  x = 1\n\n# about b\n[profile b]\nz = 3\n");
        assert_eq!(set("[profile a]\n# empty\n", "a", "x", "1"), "[profile a]\nx = 1\n# empty\n");
        // Were it not indented like the header below, that would continue it.
        let text = "[profile a]\n  [profile b]\n";
        assert_eq!(set(text, "a", "x", "1"), "[profile a]\n  x = 1\n  [profile b]\n");
    }

    #[test]
    fn a_value_is_replaced_in_its_place_and_its_comment_is_kept() {
        assert_eq!(set("[profile a]\n x:old ; why\ny=2\n", "a", "x", "new"), "[profile a]\n ; why\n x: new\ny=2\n");
        assert_eq!(
            set("\u{feff}[profile a]\nX\t=\told\n  more\n  # kept\n  more\n", "a", "x", "new"),
            "\u{feff}[profile a]\nx\t=\tnew\n  # kept\n"
        );
    }

    #[test]
    fn the_value_that_wins_is_the_one_replaced() {
        assert_eq!(
            set("[profile a]\nx=1\nx=2\n[profile a]\ny=1\n", "a", "x", "3"),
            "[profile a]\nx=1\nx= 3\n[profile a]\ny=1\n"
        );
        let both = "[profile default]\nx=1\n[default]\nx=2\n";
        assert_eq!(set(both, "default", "x", "3"), "[profile default]\nx= 3\n[default]\nx=2\n");
    }

    #[test]
    fn a_key_is_removed_wherever_its_profile_has_it_and_an_emptied_section_goes_with_it() {
        let text = "# top\n[a]\nX = 1\ny = 2 # why\n\n[b]\nx = 1\n# of b\n  more\n\n# of c\n[c]\nx = 3\n[a]\nx=4\n";
        let mut edit = ConfigEdit::of(FileKind::Credentials, text);
        for (name, key) in [("a", "x"), ("b", "x"), ("a", "y")] {
            edit.remove(name, key).unwrap();
            edit.remove_if_empty(name).unwrap();
        }
        assert_eq!(edit.text().expose(), "# top\n[b]\n# of b\n\n# of c\n[c]\nx = 3\n");
        assert_eq!(patched(text, &edit.diff("credentials")), edit.text().expose());
    }

    #[test]
    fn a_key_is_renamed_with_everything_around_it_kept() {
        let text = "[profile a]\r\n\trole_arn=r # why\r\n\tregion = x";
        let renamed = edited(text, |config| config.rename("a", "role_arn", "keyrole_role_arn").unwrap());
        assert_eq!(renamed, "[profile a]\r\n\tkeyrole_role_arn=r # why\r\n\tregion = x");
    }

    #[test]
    fn a_key_whose_new_name_is_taken_becomes_a_comment() {
        let text = "[profile a]\nkeyrole_x = 1\nx = 2\n  more\n";
        let renamed = edited(text, |config| config.rename("a", "x", "keyrole_x").unwrap());
        assert_eq!(renamed, "[profile a]\nkeyrole_x = 1\n# x = 2\n#   more\n");
    }

    #[test]
    fn a_header_is_understood_as_by_shlex() {
        for (header, name) in [
            ("[profile a]", Some("a")),
            ("  [profile\t\"a b\"] # why", Some("a b")),
            ("[profile a\\ b]", Some("a b")),
            ("[profile a'b c'd]", Some("ab cd")),
            (r#"[profile "a\"\\\c"]"#, Some(r#"a"\\c"#)),
            ("[default]", Some("default")),
            ("[profile default]", Some("default")),
            ("[profile a b]", None),
            ("[profile a'b]", None),
            ("[profile a\\]", None),
            ("[ profile a]", None),
            ("[profile a] # see [b]", None),
            ("[a]", None),
        ] {
            for candidate in ["a", "a b", "ab cd", r#"a"\\c"#, "default", "a'b", "b"] {
                let is_header = is_header_of(header, FileKind::Config, candidate);
                assert_eq!(is_header, name == Some(candidate), "{header} for {candidate}");
            }
        }
        assert!(is_header_of("[a b]", FileKind::Credentials, "a b"));
        assert!(!is_header_of("[ a ]", FileKind::Credentials, "a"));
    }

    #[test]
    fn a_byte_order_mark_goes_and_nothing_else_does() {
        let dropped = |text| edited(text, |config| config.drop_byte_order_mark());
        assert_eq!(dropped("\u{feff}# top\r\n[profile a]\r\n"), "# top\r\n[profile a]\r\n");
        assert_eq!(dropped("# top\n"), "# top\n");
        assert_eq!(dropped(""), "");
    }

    #[test]
    fn headers_that_botocore_does_not_understand_are_mended_and_others_are_kept() {
        let mended = |text: &str, name: &str| edited(text, |config| config.mend_headers(name).unwrap());
        for right in ["[profile a]\nx = 1\n", "[profile 'a'] # why\nx = 1\n", "[other]\n", "[default]\n"] {
            assert_eq!(mended(right, "a"), right);
            assert_eq!(mended(right, "default"), right);
        }
        assert_eq!(mended("# top\n  [ profile a ]\r\nx = 1\n", "a"), "# top\n  [profile a]\r\nx = 1\n");
        assert_eq!(mended("[profile a b] ; see [c]", "a b"), "[profile \"a b\"]\n; see [c]\n");
        assert_eq!(
            mended("[profile a'b] # why\nx = 1\n[profile a'b] [why]\n", "a'b"),
            "[profile \"a'b\"] # why\nx = 1\n[profile \"a'b\"]\n# [why]\n"
        );
    }

    #[test]
    fn names_and_values_that_no_line_can_hold_are_refused() {
        let mut config = ConfigEdit::new("");
        for value in ["a\nb = c", "a #b", "; a", " a", "a\u{7}"] {
            assert!(config.set("a", "x", value).is_err(), "{value:?}");
        }
        for name in ["", "a]b", "a\nb", " a"] {
            assert!(config.set(name, "x", "1").is_err(), "{name:?}");
        }
        assert!(!config.is_changed());
    }

    #[test]
    fn a_diff_shows_no_secret_and_moves_no_cursor() {
        let text = "[profile a]\naws_secret_access_key = hidden\n# AWS_SESSION_TOKEN: hidden\nregion = \u{1b}[2J\n";
        let mut config = ConfigEdit::new(text);
        config.rename("a", "aws_secret_access_key", "keyrole_aws_secret_access_key").unwrap();
        let diff = config.diff("config");
        assert!(!diff.contains("hidden") && !diff.contains('\u{1b}'), "{diff}");
        assert!(diff.contains("+keyrole_aws_secret_access_key = ****\n"), "{diff}");
    }

    #[test]
    fn a_diff_of_two_places_has_two_hunks() {
        let text = format!("[profile a]\nx = 1\n{}[profile b]\ny = 1\n", "# between\n".repeat(20));
        let mut config = ConfigEdit::new(&text);
        config.set("a", "x", "2").unwrap();
        config.set("b", "z", "3").unwrap();
        let diff = config.diff("config");
        assert_eq!(diff.matches("@@ -").count(), 2, "{diff}");
        assert!(diff.starts_with("--- config\n+++ config\n@@ -1,5 +1,5 @@\n [profile a]\n-x = 1\n+x = 2\n"), "{diff}");
    }

    /// A config file of all that may stand in one.
    fn config() -> impl Strategy<Value = String> {
        let line = prop_oneof![
            Just("[profile a]".to_owned()),
            Just("  [profile b]".to_owned()),
            Just("[profile \"c d\"] ; tail".to_owned()),
            Just("[default]".to_owned()),
            Just(String::new()),
            Just("   ".to_owned()),
            Just("# comment = x".to_owned()),
            Just("  ; comment".to_owned()),
            "[ \t]{0,2}(x|y|X|keyrole_x|z)[ ]?[=:][ ]?[a-c]{1,3}( [#;] why)?",
            "(s3|x)[ ]?=",
        ];
        let newline = prop_oneof![Just("\n"), Just("\r\n")];
        let parts = (any::<bool>(), proptest::collection::vec(line, 0..25), newline, any::<bool>());
        parts
            .prop_map(|(has_mark, lines, newline, is_ended)| {
                let mark = if has_mark { "\u{feff}" } else { "" };
                let end = if is_ended && !lines.is_empty() { newline } else { "" };
                format!("{mark}{}{end}", lines.join(newline))
            })
            .prop_filter("it can be read", |text| AwsFiles::from_text(text, "").sections().is_ok())
    }

    /// Tells whether the lines are there in this order, whatever stands between them.
    fn are_kept<'l>(kept: impl Iterator<Item = &'l str>, new: &str) -> bool {
        let mut lines = new.lines();
        kept.into_iter().all(|line| lines.any(|other| other == line))
    }

    proptest! {
        #[test]
        fn setting_a_property_changes_nothing_else(
            text in config(),
            name in prop_oneof![Just("a"), Just("b"), Just("c d"), Just("default"), Just("new one")],
            key in prop_oneof![Just("x"), Just("keyrole_x"), Just("new")],
        ) {
            let new = set(&text, name, key, "v");
            let id = format!(".{key}");
            let is_other = |(of, other, _): &(String, String, String)| {
                // What was nested in a value is gone with it.
                of != name || (*other != id && !other.starts_with(&format!("{key}.")))
            };
            let (before, after) = (values(&text), values(&new));
            let others = |values: &[(String, String, String)]| -> Vec<_> {
                values.iter().filter(|value| is_other(value)).cloned().collect()
            };
            prop_assert_eq!(others(&before), others(&after));
            prop_assert!(after.contains(&(name.to_owned(), id, "v".to_owned())), "{}", new);
            prop_assert_eq!(&set(&new, name, key, "v"), &new, "a second time");
            let is_comment = |line: &&str| trim(line).starts_with(['#', ';']) || line.trim_ascii().is_empty();
            prop_assert!(are_kept(text.lines().filter(is_comment), &new), "{}", new);
            if !before.iter().any(|(of, other, _)| of == name && *other == format!(".{key}")) {
                prop_assert!(are_kept(text.lines(), &new), "{}", new);
            }
        }

        #[test]
        fn renaming_a_key_keeps_every_value(text in config(), name in prop_oneof![Just("a"), Just("b"), Just("default")]) {
            let new = edited(&text, |config| config.rename(name, "x", "keyrole_x").unwrap());
            let (before, after) = (values(&text), values(&new));
            let value = |values: &[(String, String, String)], key: &str| {
                let found = values.iter().find(|(of, other, _)| of == name && other == key);
                found.map(|(.., value)| value.clone())
            };
            prop_assert_eq!(value(&after, ".x"), None);
            prop_assert_eq!(value(&after, ".keyrole_x"), value(&before, ".keyrole_x").or(value(&before, ".x")));
            let rest = |values: &[(String, String, String)]| -> Vec<_> {
                values.iter().filter(|(of, key, _)| of != name || !key.contains('x')).cloned().collect()
            };
            prop_assert_eq!(rest(&before), rest(&after));
            prop_assert_eq!(text.lines().count(), new.lines().count());
        }

        #[test]
        fn what_is_set_is_what_is_planned(text in config()) {
            // A key with the prefix must be one that keyrole knows.
            let text = text.replace("keyrole_x", "keyrole_region");
            let mut edit = ConfigEdit::new(&text);
            let role = "arn:aws:iam::444455556666:role/Admin";
            edit.set("a", "credential_process", "/bin/keyrole get a").unwrap();
            edit.set("a", "keyrole_role_arn", role).unwrap();
            edit.set("a", "keyrole_source_profile", "base").unwrap();
            edit.set("a", "keyrole_region", "eu-west-1").unwrap();
            edit.set("base", "mfa_serial", "GAHT12345678").unwrap();
            let keys = "[base]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = s\n";
            let files = AwsFiles::from_text(edit.text().expose(), keys);
            let world = World { env: Box::new(|_| None), clock: || UNIX_EPOCH, read: |_| Ok(String::new()), home: None };
            let plan = profile::plan(&files.sections().unwrap(), "a", &world).unwrap();
            prop_assert_eq!(plan.role().unwrap().arn.as_str(), role);
            prop_assert_eq!(&plan.mfa().unwrap().serial, "GAHT12345678");
            prop_assert_eq!(plan.endpoint.region.as_str(), "eu-west-1");
            prop_assert_eq!(plan.source.describe(), "profile `base`");
        }

        #[test]
        fn a_diff_makes_the_new_text_of_the_old_one(text in config()) {
            let mut edit = ConfigEdit::new(&text);
            edit.rename("a", "x", "keyrole_x").unwrap();
            edit.set("b", "y", "v").unwrap();
            edit.set("a", "new", "v").unwrap();
            edit.set("elsewhere", "x", "v").unwrap();
            let bare = text.trim_start_matches('\u{feff}');
            // The mark is shown escaped, as it is invisible.
            prop_assume!(bare.len() == text.len());
            let new = edit.text();
            prop_assert_eq!(&patched(&text, &edit.diff("config")), new.expose());
        }
    }
}
