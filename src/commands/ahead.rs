//! Refresh ahead: an expiring session is printed at once, and a detached child renews it for whoever asks next.
//!
//! The child is in a session of its own and holds none of our descriptors, as an SDK waits until the last writer of
//! its pipe has gone. It asks nobody, and there is at most one, because it takes the lock that a miss would take.

use crate::cache::Fingerprint;
use crate::config::AwsFiles;
use crate::error::Result;
use crate::flight;
use crate::mfa::Asker;
use crate::plan::Plan;
use crate::profile;
use crate::provider::{self, Options, Provider, Refresh};
#[cfg(unix)]
use crate::sys;
use crate::world::World;
use std::process::{Command, Stdio};

/// The subcommand of the child; not for people, so it is in no help.
pub const COMMAND: &str = "_renew";

/// Starts the child, unless the last renewal has just failed.
pub fn start(plan: &Plan, world: &World) {
    if flight::has_just_failed(world, &Fingerprint::of(plan, plan.steps.len()).name()) {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut child = Command::new(program);
    child.args([COMMAND, &plan.profile]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // The answer is printed. If there can be no child, the session is renewed when it is stale.
    let _ = child.spawn();
}

/// Runs in the child: renews the session of a profile.
///
/// # Errors
/// It could not be renewed; the log and the lock's note say why.
pub fn run(profile: &str, world: &World) -> Result<()> {
    #[cfg(unix)]
    {
        sys::close_inherited();
        // It fails only if this process leads a session already.
        let _ = rustix::process::setsid();
    }
    let files = AwsFiles::read(world)?;
    let plan = profile::plan(&files.sections()?, profile, world)?;
    let store = provider::open_store(&plan, world);
    let options = Options { refresh: Refresh::No, asker: Asker::nobody(), is_typed: false };
    Provider::new(world, &plan, &*store, options).renew_ahead()
}
