//! Owns the locks that one run holds, from the outermost thing it fetches to the innermost, and the waiting for
//! locks that others hold: how long, and what is said meanwhile.

use crate::caller::{self, Program};
use crate::error::{Error, Kind, Printable, Result};
use crate::lock::{Failure, Holder, Lock, Locks, Note, Renewal};
use crate::mfa;
use crate::output::timestamp;
use crate::plan::Patience;
use crate::world::World;
use std::time::{Duration, Instant};

/// A waiter says whom it waits for after this long; most waits are over by then.
const SAY_AFTER: Duration = Duration::from_secs(2);

/// The locks of one run. Where there are no locks everything goes on without them, as good as it can.
pub struct Flight {
    /// In the order in which they are tried: the state directory, then the runtime directory.
    places: Vec<Locks>,
    patience: Patience,
    /// A holder that is asking somebody may be waited for.
    waits_for_people: bool,
    program: Option<Program>,
    held: Vec<Option<Lock>>,
    degraded: Option<String>,
    /// Waiting ends here although the holder is in time, as there is a valid session to fall back on.
    deadline: Option<Instant>,
}

impl Flight {
    /// Makes a run's empty row of locks.
    pub fn new(world: &World, patience: Patience, waits_for_people: bool, program: Option<Program>) -> Self {
        Self {
            places: places(world).collect(),
            patience,
            waits_for_people,
            program,
            held: Vec::new(),
            degraded: None,
            deadline: None,
        }
    }

    /// Ends all waiting at a time.
    pub fn wait_until(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    /// Tells why there were no locks, if there were none.
    pub fn degraded(&self) -> Option<&str> {
        self.degraded.as_deref()
    }

    /// Takes a lock if it is free, or if there are no locks here.
    pub fn try_enter(&mut self, name: &str, world: &World) -> bool {
        for place in &self.places {
            match place.try_acquire(name) {
                Ok(lock) => {
                    self.push(lock, world);
                    return true;
                }
                Err(Failure::Held(_)) => return false,
                Err(Failure::NoLocks(error)) => self.degraded = Some(format!("no locks: {error}")),
            }
        }
        self.held.push(None);
        true
    }

    /// Waits for a lock. `began`, in nanoseconds since the Unix epoch, is when this process began to want it.
    ///
    /// # Errors
    /// The refusal that the holder met, or `PersonNeeded` if the holder did not finish in time.
    pub fn enter(&mut self, name: &str, world: &World, began: i64) -> Result<()> {
        for index in 0..self.places.len() {
            let mut has_spoken = false;
            let mut refusal = None;
            let (patience, places, deadline) = (self.patience, &self.places, self.deadline);
            let waits_for_people = self.waits_for_people;
            let mut asking = None;
            // One holder after the other may fail to reach AWS; whoever waits for all of them waits no longer for that.
            let (mut calling, mut last_look) = (Duration::ZERO, Instant::now());
            let waiting = |holder: Option<&Holder>, waited: Duration| {
                let now = world.now_nanos();
                refusal = places[index].note(name).refusal.filter(|refusal| refusal.came_since(began, now));
                if refusal.is_some() {
                    return false;
                }
                if waited >= SAY_AFTER && !has_spoken {
                    has_spoken = true;
                    say(holder);
                }
                let is_asking = holder.is_some_and(|holder| holder.is_asking);
                if is_asking && !waits_for_people {
                    return false;
                }
                if asking.replace(is_asking) != Some(is_asking) {
                    mark(&mut self.held, is_asking, world);
                }
                let since_last_look = std::mem::replace(&mut last_look, Instant::now()).elapsed();
                let (waited, limit) = if is_asking {
                    (waited, patience.prompt)
                } else {
                    calling += since_last_look;
                    (calling, patience.call)
                };
                waited < Duration::from_secs(limit.unsigned_abs()) && deadline.is_none_or(|at| Instant::now() < at)
            };
            match places[index].acquire(name, waiting) {
                Ok(lock) => {
                    self.push(lock, world);
                    return Ok(());
                }
                Err(Failure::Held(holder)) => {
                    return Err(refusal.map_or_else(|| too_long(holder.as_ref()), |refusal| refusal.to_error()));
                }
                Err(Failure::NoLocks(error)) => self.degraded = Some(format!("no locks: {error}")),
            }
        }
        self.held.push(None);
        Ok(())
    }

    fn push(&mut self, mut lock: Lock, world: &World) {
        lock.note.holder = Some(Holder {
            pid: std::process::id(),
            program: self.program.clone(),
            since: world.now(),
            is_asking: false,
            terminal: caller::terminal(),
        });
        lock.write();
        self.held.push(Some(lock));
    }

    /// Releases the innermost lock.
    pub fn leave(&mut self) {
        if let Some(Some(mut lock)) = self.held.pop() {
            lock.note.holder = None;
            lock.write();
        }
    }

    /// Gives the note of the innermost lock.
    pub fn note(&self) -> Option<&Note> {
        self.held.last()?.as_ref().map(|lock| &lock.note)
    }

    /// Changes the note of the innermost lock.
    pub fn tell(&mut self, change: impl FnOnce(&mut Note)) {
        if let Some(Some(lock)) = self.held.last_mut() {
            tell(lock, change);
        }
    }

    /// Tells everyone who waits for any of the locks that a person is being asked, or no longer.
    pub fn is_asking(&mut self, is_asking: bool, world: &World) {
        mark(&mut self.held, is_asking, world);
    }
}

/// Gives the places for locks in the order in which they are tried.
fn places(world: &World) -> impl Iterator<Item = Locks> {
    [world.state_dir(), world.runtime_dir()].into_iter().flatten().map(|dir| Locks::new(&dir))
}

fn mark(locks: &mut [Option<Lock>], is_asking: bool, world: &World) {
    for lock in locks.iter_mut().flatten() {
        tell(lock, |note| {
            if let Some(own) = &mut note.holder {
                (own.is_asking, own.since) = (is_asking, world.now());
            }
        });
    }
}

fn tell(lock: &mut Lock, change: impl FnOnce(&mut Note)) {
    let before = lock.note.clone();
    change(&mut lock.note);
    if lock.note != before {
        lock.write();
    }
}

/// Gives, without taking the lock, the last renewal of this thing if it failed.
pub fn renewal(world: &World, name: &str) -> Option<Renewal> {
    places(world).find_map(|place| place.note(name).renewal)
}

/// Tells, without taking the lock, whether renewing this thing has failed less than a minute ago.
pub fn has_just_failed(world: &World, name: &str) -> bool {
    places(world).any(|place| place.note(name).has_just_failed(world.now()))
}

/// A process that holds a lock now.
pub struct Held {
    /// The process.
    pub pid: u32,
    /// Who it is and what it does.
    pub what: String,
}

/// Lists who holds a lock now.
pub fn held(world: &World) -> Vec<Held> {
    let holders = places(world).flat_map(|place| place.holders());
    holders.map(|holder| Held { pid: holder.pid, what: describe(&holder) }).collect()
}

/// Says on the terminal whom we wait for. Where that one is asking on the same terminal, its prompt says enough.
fn say(holder: Option<&Holder>) {
    let Some(holder) = holder else { return };
    if holder.is_asking && holder.terminal.is_some() && holder.terminal == caller::terminal() {
        return;
    }
    mfa::tell(&format!("keyrole: waiting for {}\n", Printable(&describe(holder))));
}

fn describe(holder: &Holder) -> String {
    let program = match &holder.program {
        Some(program) => format!("keyrole (pid {}), run by {program}", holder.pid),
        None => format!("keyrole (pid {})", holder.pid),
    };
    let does = if holder.is_asking { "asking for an MFA code" } else { "talking to AWS" };
    format!("{program}, {does} since {}", timestamp(holder.since))
}

/// Gives the command that ends a process.
pub fn kill(pid: u32) -> String {
    if cfg!(windows) { format!("taskkill /F /PID {pid}") } else { format!("kill {pid}") }
}

fn too_long(holder: Option<&Holder>) -> Error {
    let whom = holder.map_or_else(|| "another keyrole".to_owned(), describe);
    let error = Error::new(Kind::PersonNeeded, format!("did not wait any longer for {whom}"));
    match holder {
        Some(holder) if holder.is_asking => {
            error.hint(format!("answer its prompt or end it (`{}`), then retry", kill(holder.pid)))
        }
        Some(holder) => error.hint(format!("end it if it hangs (`{}`), then retry", kill(holder.pid))),
        None => error.hint("retry"),
    }
}
