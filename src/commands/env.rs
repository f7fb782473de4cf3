//! `keyrole env`: a profile's credentials as environment variables, for programs that know nothing else.

use crate::cli::{Env, Format};
use crate::commands::get;
use crate::config::AwsFiles;
use crate::error::Result;
use crate::output::{self, timestamp};
use crate::profile;
use crate::secret::{Secret, SecretBytes};
use crate::world::World;

/// The variables that would win over those that are set, or contradict them.
pub const REMOVED: [&str; 3] = ["AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SECURITY_TOKEN"];

/// Gives the variables that make a profile's credentials those of a program.
///
/// # Errors
/// As `get`.
pub fn variables(profile: &str, world: &World) -> Result<Vec<(&'static str, Secret)>> {
    let files = AwsFiles::read(world)?;
    let sections = files.sections()?;
    let plan = profile::plan(&sections, profile, world)?;
    let settings = profile::settings(&sections, profile, world)?;
    let session = get::session(&plan, &settings, world)?;
    let mut variables = vec![
        ("AWS_ACCESS_KEY_ID", Secret::new(session.access_key_id)),
        ("AWS_SECRET_ACCESS_KEY", session.secret_access_key),
        ("AWS_SESSION_TOKEN", session.session_token),
        ("AWS_CREDENTIAL_EXPIRATION", Secret::new(timestamp(session.expiration))),
    ];
    if let Some(region) = settings.region {
        variables.push(("AWS_REGION", Secret::new(region.as_str())));
        variables.push(("AWS_DEFAULT_REGION", Secret::new(region)));
    }
    Ok(variables)
}

/// Prints the variables.
///
/// # Errors
/// As `get`.
pub fn run(arguments: &Env, world: &World) -> Result<()> {
    output::print(&render(&variables(&arguments.profile, world)?, arguments.format))
}

fn render(variables: &[(&str, Secret)], format: Format) -> SecretBytes {
    let room = variables.iter().map(|(name, value)| name.len() + 2 * value.expose().len() + 32).sum::<usize>();
    let mut text = SecretBytes::with_capacity(room + 32 * REMOVED.len());
    for (index, (name, value)) in variables.iter().enumerate() {
        let (before, after) = match format {
            Format::Sh => (format!("export {name}='"), "'\n"),
            Format::Fish => (format!("set -gx {name} '"), "'\n"),
            Format::Powershell => (format!("$Env:{name} = '"), "'\n"),
            Format::Dotenv => (format!("{name}="), "\n"),
            Format::Json => (format!("{}\"{name}\":\"", if index == 0 { "{" } else { "," }), "\""),
        };
        text.extend_from_slice(before.as_bytes());
        value.expose().chars().for_each(|c| quote(c, format, &mut text));
        text.extend_from_slice(after.as_bytes());
    }
    let remove = |name: &str| match format {
        Format::Sh => format!("unset {name}\n"),
        Format::Fish => format!("set -e {name}\n"),
        Format::Powershell => format!("Remove-Item Env:{name} -ErrorAction Ignore\n"),
        Format::Dotenv | Format::Json => String::new(),
    };
    REMOVED.iter().for_each(|name| text.extend_from_slice(remove(name).as_bytes()));
    if format == Format::Json {
        text.extend_from_slice(b"}\n");
    }
    text
}

/// Writes a character of a value between the quotes of a format. Values hold no control characters, quotes or
/// backslashes (`validate::credentials`) today; whoever changes that finds the shells safe.
fn quote(c: char, format: Format, text: &mut Vec<u8>) {
    let escape = match (format, c) {
        (Format::Sh, '\'') => "'\\'",
        (Format::Powershell, '\'') => "'",
        (Format::Fish, '\'' | '\\') | (Format::Json, '"' | '\\') => "\\",
        _ => "",
    };
    text.extend_from_slice(escape.as_bytes());
    text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(format: Format) -> String {
        let variables = [("A", Secret::new("x/+=")), ("B", Secret::new("it's \"b\\"))];
        String::from_utf8(render(&variables, format).to_vec()).unwrap()
    }

    #[test]
    fn every_format_quotes_as_its_reader_reads() {
        assert!(rendered(Format::Sh).starts_with("export A='x/+='\nexport B='it'\\''s \"b\\'\nunset AWS_PROFILE\n"));
        assert!(
            rendered(Format::Fish).starts_with("set -gx A 'x/+='\nset -gx B 'it\\'s \"b\\\\'\nset -e AWS_PROFILE\n")
        );
        assert!(rendered(Format::Powershell).starts_with("$Env:A = 'x/+='\n$Env:B = 'it''s \"b\\'\n"));
        assert_eq!(rendered(Format::Dotenv), "A=x/+=\nB=it's \"b\\\n");
        let json: serde_json::Value = serde_json::from_str(&rendered(Format::Json)).unwrap();
        assert_eq!((&json["A"], &json["B"]), (&"x/+=".into(), &"it's \"b\\".into()));
    }
}
