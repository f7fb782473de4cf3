//! The warning before a person is needed, which `status` and `login` give while somebody is there to read it.

use crate::cache::{Fingerprint, SessionCache};
use crate::error::Printable;
use crate::mfa::quoted;
use crate::output;
use crate::plan::{Plan, Settings};
use crate::provider;
use crate::world::World;
use std::io::IsTerminal;

/// Says on stderr, if that is a terminal, which MFA sessions end soon: each once, by the first profile that uses it.
pub fn give<'p>(plans: impl Iterator<Item = (&'p Plan, &'p Settings)>, world: &World) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    let mut seen = Vec::new();
    for (plan, settings) in plans.filter(|(plan, _)| plan.is_mfa_session_a_persons()) {
        let fingerprint = Fingerprint::of(plan, 1);
        if seen.contains(&fingerprint) {
            continue;
        }
        seen.push(fingerprint);
        let Ok(store) = provider::open_store(plan, world) else { continue };
        let now = world.now();
        if let Ok(Some(session)) = SessionCache::new(&*store).get(&fingerprint)
            && session.expiration > now
            && session.ends_soon(settings.warn_before, now)
        {
            let left = output::span(session.expiration - now);
            let (name, command) = (Printable(&plan.profile), quoted(&plan.profile));
            output::say(&format!(
                "keyrole: the MFA session of `{name}` ends in {left}; `keyrole login {} --refresh` renews it now\n",
                Printable(&command)
            ));
        }
    }
}
