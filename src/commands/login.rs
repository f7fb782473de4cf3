//! `keyrole login`: asks now and warms every role named, so that nobody is asked later.

use crate::cli::{Login, Which};
use crate::commands::get::parse_code;
use crate::commands::status::left;
use crate::config::{AwsFiles, Sections};
use crate::error::{Error, Printable, Result};
use crate::mfa::Asker;
use crate::profile;
use crate::provider::{self, Options, Provider, Refresh};
use crate::world::World;

/// Fetches the sessions of the profiles named, saying on stderr how it goes.
///
/// # Errors
/// The first failure, after every profile was tried.
pub fn run(arguments: &Login, world: &World) -> Result<()> {
    let mut given = arguments.mfa_code.as_deref().map(parse_code).transpose()?;
    let files = AwsFiles::read(world)?;
    let sections = files.sections()?;
    let names = chosen(&arguments.which, &sections)?;
    let mut first_failure = None;
    let mut failures = 0;
    for name in &names {
        let refresh = if arguments.refresh { Refresh::All } else { Refresh::No };
        let result = profile::plan(&sections, name, world).and_then(|plan| {
            let store = provider::open_store(&plan, world);
            // The code is good for one MFA session, which the profiles that follow share.
            let asker = Asker::new(plan.mfa().and_then(|_| given.take()), true);
            Provider::new(world, &plan, &*store, Options { refresh, asker }).session()
        });
        match result {
            Ok(session) => {
                eprintln!("keyrole: {}: ready, {} left", Printable(name), left(session.expiration - world.now()));
            }
            Err(error) if error.signal().is_some() => return Err(error),
            Err(error) => {
                failures += 1;
                if names.len() > 1 {
                    eprintln!("keyrole: {}: {}", Printable(name), Printable(error.message()));
                }
                first_failure.get_or_insert(error);
            }
        }
    }
    match first_failure {
        Some(error) if names.len() > 1 => {
            Err(error.context(format_args!("{failures} of {} profiles failed; the first", names.len())))
        }
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// Gives the profiles named, or every profile with a role.
fn chosen<'a>(which: &'a Which, sections: &'a Sections<'a>) -> Result<Vec<&'a str>> {
    if !which.all {
        return Ok(which.profiles.iter().map(String::as_str).collect());
    }
    let names: Vec<&str> =
        sections.profile_names().into_iter().filter(|name| profile::has_role(sections, name)).collect();
    if names.is_empty() {
        let file = sections.config_path().display();
        return Err(Error::usage(format!("no profile in `{file}` has a role"))
            .hint("add `keyrole_role_arn` and `keyrole_source_profile` to a profile"));
    }
    Ok(names)
}
