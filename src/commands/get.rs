//! `keyrole get`: the `credential_process` itself.

use crate::cli::Get;
use crate::commands::ahead;
use crate::config::AwsFiles;
use crate::credentials::{Freshness, Session};
use crate::error::{Error, Result};
use crate::log::{Event, Log, Record};
use crate::mfa::{self, Asker, TokenCode};
use crate::output;
use crate::plan::{Plan, Role, Settings};
use crate::profile;
use crate::provider::{self, Options, Provider, Refresh};
use crate::world::World;
use std::time::Instant;

/// Gets a profile's session for a command that somebody typed, from the cache or from AWS.
///
/// # Errors
/// Everything that can go wrong.
pub fn session(plan: &Plan, settings: &Settings, world: &World) -> Result<Session> {
    let store = provider::open_store(plan, world)?;
    let options = Options { refresh: Refresh::No, asker: Asker::new(None, true, settings), is_typed: true };
    Provider::new(world, plan, settings, &*store, options).session()
}

/// Prints the document for a profile.
///
/// # Errors
/// Everything that can go wrong; stdout stays empty then.
pub fn run(arguments: &Get, world: &World) -> Result<()> {
    let began = Instant::now();
    let given = arguments.mfa_code.as_deref().map(parse_code).transpose()?;
    let files = AwsFiles::read(world)?;
    let sections = files.sections()?;
    let plan = profile::plan(&sections, &arguments.profile, world)?;
    let store = provider::open_store(&plan, world)?;
    if !arguments.refresh
        && let Some(session) = provider::cached(&plan, &*store)
        && matches!(session.freshness(world.now()), Freshness::Fresh | Freshness::Expiring)
    {
        output::print(&output::document(&session, account(&plan)))?;
        let hit = Record::of(Event::Hit, &plan, plan.steps.len());
        let hit = Record { session: Some(&session), took: Some(began.elapsed()), ..hit };
        Log::new(world).write(world.now(), &hit);
        if session.freshness(world.now()) == Freshness::Expiring {
            ahead::start(&plan, world);
        }
        return Ok(());
    }
    let settings = profile::settings(&sections, &arguments.profile, world)?;
    let refresh = if arguments.refresh { Refresh::Session } else { Refresh::No };
    let options = Options { refresh, asker: Asker::new(given, !arguments.no_prompt, &settings), is_typed: false };
    let mut provider = Provider::new(world, &plan, &settings, &*store, options);
    let session = provider.session()?;
    let is_read = output::print_to_reader(&output::document(&session, account(&plan)))?;
    if provider.has_asked_in_vain(is_read) && provider::cached(&plan, &*store).is_some() {
        let name = mfa::quoted(&plan.profile);
        mfa::tell(&format!(
            "keyrole: the program did not wait for the code; the session is kept, so run it again \
             (next time `keyrole login {name}` first)\n"
        ));
    }
    Ok(())
}

/// Checks `--mfa-code` before anything is sent.
///
/// # Errors
/// It is not six digits.
pub fn parse_code(text: &str) -> Result<TokenCode> {
    // Security: the text is not repeated; it may be a code with a typing error.
    TokenCode::parse(text).ok_or_else(|| Error::usage("`--mfa-code`: a code is six digits"))
}

/// Gives the account that the plan's role is in, if the configuration tells.
pub fn account(plan: &Plan) -> Option<&str> {
    plan.role().map(|role: &Role| role.arn.account())
}
