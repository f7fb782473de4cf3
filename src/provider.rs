//! Owns the one flow: hit, or lock and look again, then source credentials, MFA session, role, store.
//!
//! A plan is a source and a row of STS calls. What the first n calls give is one thing with one fingerprint, one
//! cache entry and one lock, so the same function serves MFA sessions, intermediate roles and the final answer.

use crate::cache::{Fingerprint, SessionCache};
use crate::caller;
use crate::credentials::{Credentials, Freshness, Session};
use crate::error::{Error, Kind, Result};
use crate::lock::{self, Lock};
use crate::log::{Event, Log};
use crate::mfa::{Asker, Origin, TokenCode};
use crate::network::Network;
use crate::output::timestamp;
use crate::plan::{Mfa, Plan, Step};
use crate::source;
use crate::store::{self, SecretStore};
use crate::sts::{MfaCode, Sts};
use crate::world::World;
use std::path::PathBuf;

/// How many wrong codes are too many.
const MAX_CODES: u32 = 3;

/// How much of what is cached is to be fetched anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresh {
    /// Only what has to be.
    No,
    /// The final session.
    Session,
    /// The final session and everything on the way to it, the MFA session included.
    All,
}

/// What a run may do.
pub struct Options {
    /// What is to be fetched anew.
    pub refresh: Refresh,
    /// Where codes come from.
    pub asker: Asker,
}

/// Looks a plan's final session up, without a lock, the network or a terminal.
pub fn cached(plan: &Plan, store: &dyn SecretStore) -> Option<Session> {
    SessionCache::new(store).get(&Fingerprint::of(plan, plan.steps.len())).unwrap_or_default()
}

/// Carries one plan out.
pub struct Provider<'a> {
    world: &'a World,
    plan: &'a Plan,
    cache: SessionCache<'a>,
    options: Options,
    state_dir: Option<PathBuf>,
    log: Log,
    network: Option<Network>,
    started: i64,
}

impl<'a> Provider<'a> {
    /// Makes the provider of a plan. Nothing happens before `session` is called.
    pub fn new(world: &'a World, plan: &'a Plan, store: &'a dyn SecretStore, options: Options) -> Self {
        let state_dir = world.state_dir();
        let log = Log::new(state_dir.as_deref());
        let cache = SessionCache::new(store);
        Self { world, plan, cache, options, state_dir, log, network: None, started: world.now() }
    }

    /// Gets the plan's final session, from the cache or from AWS.
    ///
    /// # Errors
    /// AWS refused, cannot be reached, or a person is needed who cannot be asked.
    pub fn session(&mut self) -> Result<Session> {
        self.session_after(self.plan.steps.len())
    }

    /// Gets what the first `steps` calls give.
    fn session_after(&mut self, steps: usize) -> Result<Session> {
        let fingerprint = Fingerprint::of(self.plan, steps);
        let is_final = steps == self.plan.steps.len();
        let refresh = match self.options.refresh {
            Refresh::No => false,
            Refresh::Session => is_final,
            Refresh::All => true,
        };
        if !refresh && let Some(session) = self.lookup(&fingerprint).filter(|session| self.is_usable(session, is_final))
        {
            return Ok(session);
        }
        let _lock = self.lock(&fingerprint);
        // Security: somebody else may have fetched it while this process waited; a second code must not be used up.
        let found = self.lookup(&fingerprint);
        if let Some(session) = &found
            && self.is_usable(session, is_final)
            && (!refresh || session.issued > self.started)
        {
            return Ok(session.clone());
        }
        let fallback = found.filter(|_| !refresh);
        match self.fetch(steps, fallback.is_some()) {
            Ok(session) => {
                self.keep(&fingerprint, &session);
                Ok(session)
            }
            Err(error) => match fallback.filter(|session| self.is_alive(session) && error.signal().is_none()) {
                Some(session) => {
                    self.note("served_stale", Some(&session), Some(error.message()));
                    Ok(session)
                }
                None => {
                    self.note("failed", None, Some(error.message()));
                    Err(error)
                }
            },
        }
    }

    /// The final session is handed to somebody who keeps it for a while; one on the way is used at once.
    fn is_usable(&self, session: &Session, is_final: bool) -> bool {
        match session.freshness(self.world.now()) {
            Freshness::Fresh | Freshness::Expiring => true,
            Freshness::Stale => !is_final,
            Freshness::Expired => false,
        }
    }

    fn is_alive(&self, session: &Session) -> bool {
        session.freshness(self.world.now()) != Freshness::Expired
    }

    fn lookup(&self, fingerprint: &Fingerprint) -> Option<Session> {
        match self.cache.get(fingerprint) {
            Ok(found) => found.filter(|session| self.is_alive(session)),
            Err(error) => {
                self.note("store_failed", None, Some(&error.to_string()));
                None
            }
        }
    }

    fn lock(&self, fingerprint: &Fingerprint) -> Option<Lock> {
        let dir = self.state_dir.as_deref()?;
        match lock::acquire(dir, fingerprint) {
            Ok(lock) => Some(lock),
            Err(error) => {
                self.note("unlocked", None, Some(&format!("no lock in `{}`: {error}", dir.display())));
                None
            }
        }
    }

    /// Stores a session. Nothing minted is lost: if it cannot be kept it is still good for this caller.
    fn keep(&self, fingerprint: &Fingerprint, session: &Session) {
        match self.cache.set(fingerprint, session, self.world.now()) {
            Ok(()) => self.note("issued", Some(session), None),
            Err(error) => self.note("not_stored", Some(session), Some(&error.to_string())),
        }
    }

    fn fetch(&mut self, steps: usize, has_fallback: bool) -> Result<Session> {
        if self.network.is_none() {
            self.network = Some(Network::new(&self.plan.endpoint, has_fallback)?);
        }
        let plan = self.plan;
        let Some(last) = steps.checked_sub(1) else {
            let credentials = self.source()?;
            return Session::of(credentials, self.world.now()).ok_or_else(|| self.endless());
        };
        match self.fetch_step(&plan.steps[last], last) {
            // A session on the way may have been revoked since it was cached; only a fresh one can tell.
            Err(error) if error.kind() == Kind::CallerRejected && last > 0 => {
                if !self.cache.delete(&Fingerprint::of(plan, last)).unwrap_or(false) {
                    return Err(error);
                }
                self.note("dropped", None, Some(error.message()));
                self.fetch_step(&plan.steps[last], last)
            }
            result => result,
        }
    }

    fn fetch_step(&mut self, step: &Step, before: usize) -> Result<Session> {
        let caller = match before {
            0 => self.source()?,
            _ => self.session_after(before)?.to_credentials(),
        };
        match step {
            Step::SessionToken { .. } if caller.session_token.is_some() => {
                let what = format!("{} gives temporary credentials", self.plan.source.describe());
                Err(Error::usage(format!("{what}, with which AWS makes no session")).hint(
                    "set `mfa_session_duration = 0` to send the code to AssumeRole, or use a source with an access key",
                ))
            }
            Step::SessionToken { mfa, duration } => {
                self.with_code(mfa.as_ref(), |sts, code| sts.get_session_token(&caller, code, *duration))
            }
            Step::AssumeRole(role) => {
                let name = self.session_name();
                self.with_code(role.mfa.as_ref(), |sts, code| sts.assume_role(&caller, role, &name, code))
            }
        }
    }

    /// Makes a call that may need a code, and asks again when AWS says that it was wrong.
    fn with_code(
        &mut self,
        mfa: Option<&Mfa>,
        call: impl Fn(&Sts, Option<MfaCode>) -> Result<Session>,
    ) -> Result<Session> {
        let Some(mfa) = mfa else { return call(&self.sts()?, None) };
        let mut rejected: Option<Error> = None;
        for attempt in 1.. {
            let why = rejected.as_ref().map(|_| {
                format!("AWS rejected the code (attempt {} of {MAX_CODES}); wait for the next one", attempt - 1)
            });
            let (code, origin): (TokenCode, Origin) = self.options.asker.code(self.plan, mfa, why.as_deref())?;
            match call(&self.sts()?, Some((&mfa.serial, &code))) {
                Err(error) if error.kind() == Kind::WrongCode => {
                    self.note("code_rejected", None, Some(error.message()));
                    if origin != Origin::Person || attempt == MAX_CODES {
                        return Err(error);
                    }
                    rejected = Some(error);
                }
                result => return result,
            }
        }
        Err(Error::failed("no code was tried"))
    }

    fn source(&self) -> Result<Credentials> {
        source::credentials(self.plan, self.network()?, &self.session_name(), self.world.now())
    }

    fn sts(&self) -> Result<Sts<'_>> {
        Ok(Sts::new(self.network()?, self.world.now()))
    }

    fn network(&self) -> Result<&Network> {
        self.network.as_ref().ok_or_else(|| Error::failed("the network is not ready"))
    }

    fn session_name(&self) -> String {
        caller::session_name(self.world.var("USER").or_else(|| self.world.var("USERNAME")))
    }

    /// The source gave credentials without a token or an end, and there is no role to make a session of.
    fn endless(&self) -> Error {
        let what = format!("{} gives credentials that do not say when they expire", self.plan.source.describe());
        Error::usage(format!("profile `{}` has no role, and {what}", self.plan.profile))
            .hint("add `keyrole_role_arn`, or use the source directly")
    }

    fn note(&self, event: &str, session: Option<&Session>, error: Option<&str>) {
        let event = Event {
            event,
            profile: &self.plan.profile,
            role_arn: self.plan.role().map(|role| role.arn.as_str()),
            access_key_id: session.map(|session| session.access_key_id.as_str()),
            expiration: session.map(|session| timestamp(session.expiration)),
            source: Some(self.plan.source.describe()),
            error: error.map(str::to_owned),
        };
        self.log.write(self.world.now(), &event);
    }
}

/// Opens the store that a plan asks for.
pub fn open_store<'a>(plan: &Plan, world: &'a World) -> Box<dyn SecretStore + 'a> {
    store::open(plan.store, world)
}
