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
use crate::sys;
use crate::world::World;
use std::process::{Command, Stdio};

/// The subcommand of the child; not for people, so it is in no help.
pub const COMMAND: &str = "_renew";

/// Without a console, which would end it with its own end.
#[cfg(windows)]
const DETACHED_PROCESS: u32 = 8;

/// Starts the child, unless the last renewal has just failed.
pub fn start(plan: &Plan, world: &World) {
    if flight::has_just_failed(world, &Fingerprint::of(plan, plan.steps.len()).name()) {
        return;
    }
    spawn(&plan.profile, |child| {
        // When a terminal's first process ends, the kernel hangs up on everything in its foreground.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(child, 0);
        #[cfg(windows)]
        {
            sys::keep_streams();
            std::os::windows::process::CommandExt::creation_flags(child, DETACHED_PROCESS);
        }
    });
}

/// Starts this program again. The answer is printed by then: if there can be no child, the session is renewed when it
/// is stale.
fn spawn(profile: &str, prepare: impl Fn(&mut Command)) {
    let Ok(program) = std::env::current_exe() else { return };
    let mut child = Command::new(program);
    child.args([COMMAND, profile]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    prepare(&mut child);
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
        // The leader of a process group cannot begin a session, but its child can.
        if rustix::process::setsid().is_err() {
            spawn(profile, |_| {});
            return Ok(());
        }
    }
    let files = AwsFiles::read(world)?;
    let sections = files.sections()?;
    let plan = profile::plan(&sections, profile, world)?;
    let settings = profile::settings(&sections, profile, world)?;
    let store = provider::open_store(&plan, world)?;
    let options = Options { refresh: Refresh::No, asker: Asker::nobody(), is_typed: false };
    Provider::new(world, &plan, &settings, &*store, options).renew_ahead()
}
