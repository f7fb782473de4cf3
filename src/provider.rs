//! Owns the one flow: hit, or lock and look again, then source credentials, MFA session, role, store.
//!
//! A plan is a source and a row of STS calls. What the first n calls give is one thing with one fingerprint, one
//! cache entry and one lock, so the same function serves MFA sessions, intermediate roles and the final answer.

use crate::cache::{Fingerprint, SessionCache};
use crate::caller::{self, Program};
use crate::child;
use crate::credentials::{Credentials, Freshness, Session};
use crate::error::{Error, Kind, Result};
use crate::flight::Flight;
use crate::lock::{Refusal, Renewal};
use crate::log::{Event, Log, Record};
use crate::mfa::{self, Asker, Origin, TokenCode};
use crate::network::{self, Network, SOURCE_TIMEOUT};
use crate::notify;
use crate::output;
use crate::plan::{Mfa, Plan, Settings, Source, Step};
use crate::source;
use crate::store::{self, SecretStore};
use crate::sts::{MfaCode, Sts};
use crate::world::World;
use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// How many wrong codes are too many.
const MAX_CODES: u32 = 3;
/// The calling program that was just refused is not asked again for so many seconds: the JS and Ruby SDKs run a failed
/// helper twice, the C++ one four times.
const REFUSAL_PAUSE_NANOS: i64 = 30_000_000_000;

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
    /// Somebody typed this very command, so it is never taken for an SDK that tries again.
    pub is_typed: bool,
}

/// Looks a plan's final session up, without a lock, the network or a terminal.
pub fn cached(plan: &Plan, store: &dyn SecretStore) -> Option<Session> {
    SessionCache::new(store).get(&Fingerprint::of(plan, plan.steps.len())).unwrap_or_default()
}

/// Carries one plan out.
pub struct Provider<'a> {
    world: &'a World,
    plan: &'a Plan,
    settings: &'a Settings,
    cache: SessionCache<'a>,
    options: Options,
    flight: Flight,
    log: Log,
    network: Option<Network>,
    program: Option<Program>,
    /// A person was asked in this run, or in the one that shared its refusal.
    has_asked: bool,
    /// The final session was not simply there; what came of it has been logged.
    has_fetched: bool,
    /// The access key ID that made the last call.
    caller: Option<String>,
    /// How many steps lead to what is being fetched; the log tells by it what an event is about.
    steps: usize,
    started: i64,
    /// The same on a clock that nobody sets; the log tells by it how long something took.
    began: Instant,
}

impl<'a> Provider<'a> {
    /// Makes the provider of a plan. Nothing happens before `session` is called.
    pub fn new(
        world: &'a World,
        plan: &'a Plan,
        settings: &'a Settings,
        store: &'a dyn SecretStore,
        options: Options,
    ) -> Self {
        child::allow_waiting();
        let program = caller::program();
        // Another program, a browser login or a metadata service has its own time before AWS is called at all.
        let mut patience = settings.patience;
        if !matches!(plan.source, Source::Keys { .. } | Source::StoredKey { .. } | Source::Environment { .. }) {
            patience.call = patience.call.saturating_add(SOURCE_TIMEOUT.as_secs().cast_signed());
        }
        Self {
            world,
            plan,
            settings,
            cache: SessionCache::new(store),
            flight: Flight::new(world, patience, options.asker.may_ask(), program.clone()),
            options,
            log: Log::new(world),
            network: None,
            program,
            has_asked: false,
            has_fetched: false,
            caller: None,
            steps: plan.steps.len(),
            started: world.now_nanos(),
            began: Instant::now(),
        }
    }

    /// Gets the plan's final session, from the cache or from AWS.
    ///
    /// # Errors
    /// AWS refused, cannot be reached, or a person is needed who cannot be asked.
    pub fn session(&mut self) -> Result<Session> {
        let session = self.session_after(self.plan.steps.len())?;
        if !self.has_fetched {
            self.note(Event::Hit, Some(&session), None);
        }
        Ok(session)
    }

    /// Tells whether a person answered, and the program behind the question has given up meanwhile: nobody reads the
    /// answer, or what ran this process was killed (Go's SDK does that, and still holds the pipe).
    pub fn has_asked_in_vain(&self, is_read: bool) -> bool {
        self.has_asked && !(is_read && caller::program() == self.program)
    }

    /// Gets the MFA session alone, if the plan has one.
    ///
    /// # Errors
    /// As `session`.
    pub fn mfa_session(&mut self) -> Result<()> {
        if !self.plan.has_mfa_session() {
            return Ok(());
        }
        let result = self.session_after(1).map(|_| ());
        // Where it is all that is wanted, this has been said.
        if let Err(error) = &result
            && self.plan.steps.len() > 1
        {
            self.note(Event::Failed, None, Some(error.message()));
        }
        result
    }

    /// Ends the run and gives the command line's code back if it was not needed.
    pub fn into_code(self) -> Option<TokenCode> {
        self.options.asker.into_code()
    }

    /// Renews the final session if nobody else does and nobody has to be asked. For the detached child.
    ///
    /// # Errors
    /// It could not be renewed; the lock's note says so to those who come next.
    pub fn renew_ahead(&mut self) -> Result<()> {
        let fingerprint = Fingerprint::of(self.plan, self.plan.steps.len());
        if !self.flight.try_enter(&fingerprint.name(), self.world) {
            return Ok(());
        }
        let found = self.lookup(&fingerprint);
        let is_fresh = found.is_some_and(|session| session.freshness(self.world.now()) == Freshness::Fresh);
        if is_fresh || self.has_just_failed() {
            self.flight.leave();
            return Ok(());
        }
        let result = self.fetch(self.plan.steps.len(), false);
        let outcome = match &result {
            Ok(session) => {
                self.keep(&fingerprint, session, Event::RefreshedAhead);
                self.remind();
                Ok(())
            }
            Err(error) => {
                self.renewal_failed(error);
                Err(error.clone())
            }
        };
        self.flight.leave();
        outcome
    }

    /// Gets what the first `steps` calls give.
    fn session_after(&mut self, steps: usize) -> Result<Session> {
        let outer = std::mem::replace(&mut self.steps, steps);
        let result = self.find_or_fetch(steps);
        self.steps = outer;
        result
    }

    fn find_or_fetch(&mut self, steps: usize) -> Result<Session> {
        let fingerprint = Fingerprint::of(self.plan, steps);
        let is_final = steps == self.plan.steps.len();
        let refresh = match self.options.refresh {
            Refresh::No => false,
            Refresh::Session => is_final,
            Refresh::All => true,
        };
        let found = self.lookup(&fingerprint).filter(|_| !refresh);
        if let Some(session) = found.as_ref().filter(|session| self.is_usable(session, is_final)) {
            return Ok(session.clone());
        }
        let began = self.world.now_nanos();
        if let Some(valid) = found {
            // Somebody else is renewing it. It is still good, so there is nothing to wait for.
            if !self.flight.try_enter(&fingerprint.name(), self.world) {
                return Ok(valid);
            }
        } else if let Err(error) = self.flight.enter(&fingerprint.name(), self.world, began) {
            // The refusal of a prompt that this process waited for is handed on to those who wait for this process.
            self.has_asked |= matches!(error.kind(), Kind::Cancelled | Kind::WrongCode);
            self.note(Event::NotWaited, None, Some(error.message()));
            return Err(error);
        }
        let result = self.session_in_flight(&fingerprint, steps, refresh, began);
        self.flight.leave();
        result
    }

    /// The part of `session_after` that runs under the lock.
    fn session_in_flight(
        &mut self,
        fingerprint: &Fingerprint,
        steps: usize,
        refresh: bool,
        began: i64,
    ) -> Result<Session> {
        // Security: somebody else may have fetched it while this process waited; a second code must not be used up.
        let found = self.lookup(fingerprint);
        if let Some(session) = &found
            && self.is_usable(session, steps == self.plan.steps.len())
            && (!refresh || self.is_new(session))
        {
            return Ok(session.clone());
        }
        let fallback = found.filter(|_| !refresh);
        if let Some(session) = &fallback
            && self.has_just_failed()
        {
            return Ok(session.clone());
        }
        if let Some(error) = self.shared_refusal(began) {
            self.has_asked = true;
            return Err(error);
        }
        match self.fetch(steps, fallback.is_some()) {
            Ok(session) => {
                self.keep(fingerprint, &session, Event::Issued);
                Ok(session)
            }
            Err(error) => match fallback.filter(|session| self.is_alive(session) && error.signal().is_none()) {
                Some(session) => {
                    self.renewal_failed(&error);
                    self.note(Event::ServedStale, Some(&session), Some(error.message()));
                    Ok(session)
                }
                None => {
                    self.share(&error);
                    // What fails on the way makes the whole fail, which is said once.
                    if steps == self.plan.steps.len() {
                        self.note(Event::Failed, None, Some(error.message()));
                    }
                    Err(error)
                }
            },
        }
    }

    /// Finds the refusal that this process was waiting for, or that its calling program has just met.
    fn shared_refusal(&self, began: i64) -> Option<Error> {
        let refusal = self.flight.note()?.refusal.clone().filter(|_| !self.options.asker.has_code())?;
        let now = self.world.now_nanos();
        let was_waited_for = refusal.came_since(began, now);
        let is_recent = (0..REFUSAL_PAUSE_NANOS).contains(&(now - refusal.at));
        let is_same_caller = refusal.asked_for.is_some()
            && refusal.asked_for == self.program
            && !self.options.is_typed
            && !self.program.as_ref().is_some_and(|program| program.is_shell);
        (was_waited_for || is_recent && is_same_caller).then(|| refusal.to_error())
    }

    /// Leaves a refusal for those who wait. Trouble with the network is none: the next waiter tries.
    fn share(&mut self, error: &Error) {
        // A wrong code of the command line or of a program says nothing about what a person would answer.
        let is_a_persons = matches!(error.kind(), Kind::Cancelled | Kind::WrongCode) && self.has_asked;
        if is_a_persons || matches!(error.kind(), Kind::Refused | Kind::CallerRejected) {
            let refusal = Refusal {
                at: self.world.now_nanos(),
                kind: error.kind(),
                message: error.message().to_owned(),
                hint: error.hint_text().map(str::to_owned),
                asked_for: self.program.clone().filter(|_| is_a_persons),
            };
            self.flight.tell(|note| note.refusal = Some(refusal));
        }
    }

    fn has_just_failed(&self) -> bool {
        self.flight.note().is_some_and(|note| note.has_just_failed(self.world.now()))
    }

    fn renewal_failed(&mut self, error: &Error) {
        let is_refused = matches!(error.kind(), Kind::Refused | Kind::CallerRejected | Kind::WrongCode);
        let renewal = Renewal { at: self.world.now(), message: error.message().to_owned(), is_refused };
        self.flight.tell(|note| note.renewal = Some(renewal));
        self.note(if is_refused { Event::RenewalRefused } else { Event::RenewalFailed }, None, Some(error.message()));
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

    /// Tells whether a session was issued during this run.
    fn is_new(&self, session: &Session) -> bool {
        session.issued > self.started / 1_000_000_000 && session.issued <= self.world.now()
    }

    fn lookup(&self, fingerprint: &Fingerprint) -> Option<Session> {
        match self.cache.get(fingerprint) {
            Ok(found) => found.filter(|session| self.is_alive(session)),
            Err(error) => {
                self.note(Event::StoreFailed, None, Some(&error.to_string()));
                None
            }
        }
    }

    /// Stores a session. Nothing minted is lost: if it cannot be kept it is still good for this caller.
    fn keep(&mut self, fingerprint: &Fingerprint, session: &Session, event: Event) {
        self.flight.tell(|note| (note.refusal, note.renewal) = (None, None));
        match self.cache.set(fingerprint, session, self.world.now()) {
            Ok(()) => self.note(event, Some(session), None),
            Err(error) => self.note(Event::NotStored, Some(session), Some(&error.to_string())),
        }
        if let Some(why) = self.flight.degraded() {
            self.note(Event::Unlocked, None, Some(why));
        }
    }

    fn fetch(&mut self, steps: usize, has_fallback: bool) -> Result<Session> {
        self.has_fetched |= steps == self.plan.steps.len();
        if self.network.is_none() {
            network::check_proxies(self.world)?;
            let network = Network::new(
                &self.plan.endpoint,
                self.settings,
                has_fallback.then_some(network::BUDGET_WITH_FALLBACK),
            )?;
            self.flight.wait_until(network.deadline());
            self.network = Some(network);
        }
        let plan = self.plan;
        let Some(last) = steps.checked_sub(1) else {
            let credentials = self.source()?;
            return Session::of(credentials, self.world.now()).ok_or_else(|| self.endless());
        };
        match self.fetch_step(&plan.steps[last], last) {
            // A session on the way may have been revoked since it was cached; only a fresh one can tell.
            Err(error) if error.kind() == Kind::CallerRejected && last > 0 => {
                let before = Fingerprint::of(plan, last);
                // Somebody else may have replaced it meanwhile; that one is kept.
                let is_rejected = |session: &Session| self.caller.as_deref() == Some(&session.access_key_id);
                if self.lookup(&before).is_some_and(|session| is_rejected(&session)) {
                    let _ = self.cache.delete(&before);
                }
                self.note(Event::Dropped, None, Some(error.message()));
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
        self.caller = Some(caller.access_key_id.clone());
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
                let name = caller::session_name(self.world);
                self.with_code(role.mfa.as_ref(), |sts, code| sts.assume_role(&caller, role, &name, code))
            }
        }
    }

    /// Makes a call that may need a code. One person is asked at a time for one device, so that two prompts never
    /// want the same code.
    fn with_code(
        &mut self,
        mfa: Option<&Mfa>,
        call: impl Fn(&Sts, Option<MfaCode>) -> Result<Session>,
    ) -> Result<Session> {
        let Some(mfa) = mfa else { return self.somewhere(|| call(&self.sts()?, None)) };
        // Two prompts on one terminal would take each other's answers.
        let terminal = format!("keyrole:terminal-{}", caller::terminal().unwrap_or_default());
        self.flight.enter(&terminal, self.world, self.world.now_nanos())?;
        let device = Fingerprint::of_device(&mfa.serial).name();
        let result = self.flight.enter(&device, self.world, self.world.now_nanos()).and_then(|()| {
            self.flight.is_asking(true, self.world);
            let result = self.ask_and_call(mfa, call);
            self.flight.leave();
            result
        });
        self.flight.leave();
        self.flight.is_asking(false, self.world);
        result
    }

    /// Asks for a code, and again when AWS says that it was wrong.
    fn ask_and_call(&mut self, mfa: &Mfa, call: impl Fn(&Sts, Option<MfaCode>) -> Result<Session>) -> Result<Session> {
        let mut rejected: Option<String> = None;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let (code, origin) = self.ask(mfa, rejected.as_deref())?;
            if origin == Origin::Person {
                self.network()?.take_your_time();
            }
            let result = self.somewhere(|| call(&self.sts()?, Some((&mfa.serial, &code))));
            match result {
                Err(error) if error.kind() == Kind::WrongCode => {
                    self.note(Event::CodeRejected, None, Some(error.message()));
                    if origin != Origin::Person || attempt == MAX_CODES {
                        return Err(error);
                    }
                    rejected = Some(format!(
                        "AWS rejected the code (attempt {attempt} of {MAX_CODES}); wait for the next one"
                    ));
                }
                result => {
                    // AWS has answered, so it took the code, whatever it then said of the role.
                    let has_answered = |error: &Error| matches!(error.kind(), Kind::Refused | Kind::CallerRejected);
                    if result.as_ref().err().is_none_or(has_answered) {
                        let used_code = code.used(self.world.now());
                        self.flight.tell(|note| note.used_code = Some(used_code));
                    }
                    return result;
                }
            }
        }
    }

    /// Asks for one code, and logs the dialogue.
    fn ask(&mut self, mfa: &Mfa, rejected: Option<&str>) -> Result<(TokenCode, Origin)> {
        let used = self.flight.note().and_then(|note| note.used_code.clone());
        let (log, world, shown) = (&self.log, self.world, self.record(Event::PromptShown));
        let network = self.network.as_ref();
        let shown_at = Cell::new(None);
        let on_prompt = || {
            if let Some(network) = network {
                Sts::new(network, world.now()).warm_up();
            }
            shown_at.set(Some(Instant::now()));
            log.write(world.now(), &shown);
        };
        let asked = self.options.asker.code(self.plan, mfa, rejected, used.as_ref(), &on_prompt, world);
        if let Some(shown_at) = shown_at.get() {
            let event = if asked.is_ok() { Event::PromptAnswered } else { Event::PromptCancelled };
            let error = asked.as_ref().err().map(Error::message);
            self.log.write(world.now(), &Record { error, took: Some(shown_at.elapsed()), ..self.record(event) });
        }
        match &asked {
            Ok((_, origin)) => self.has_asked |= *origin == Origin::Person,
            Err(error) if error.kind() == Kind::Cancelled => self.has_asked = true,
            Err(error) if error.kind() == Kind::PersonNeeded => {
                let name = &self.plan.profile;
                self.notify(&format!("`{name}` needs an MFA code: run keyrole login {}", mfa::quoted(name)));
            }
            Err(_) => {}
        }
        asked
    }

    /// Tells the desktop that the MFA session will end soon.
    fn remind(&mut self) {
        let plan = self.plan;
        let Some(mfa) = plan.mfa().filter(|_| self.settings.notify && plan.is_mfa_session_a_persons()) else { return };
        let now = self.world.now();
        let Some(session) = self.lookup(&Fingerprint::of(plan, 1)) else { return };
        if session.ends_soon(self.settings.warn_before, now)
            && self.flight.try_enter(&Fingerprint::of_device(&mfa.serial).name(), self.world)
        {
            let (name, left) = (&plan.profile, output::span(session.expiration - now));
            let command = format!("keyrole login {} --refresh", mfa::quoted(name));
            self.notify(&format!("the MFA session of `{name}` ends in {left}: run {command}"));
            self.flight.leave();
        }
    }

    /// Tells the desktop that a person is needed, unless it has just been told about the same device, whose lock is
    /// held.
    fn notify(&mut self, text: &str) {
        let now = self.world.now();
        let has_been_told = self.flight.note().is_some_and(|note| note.has_been_notified(now));
        if self.settings.notify && !has_been_told && notify::show(text, self.world) {
            self.flight.tell(|note| note.notified = Some(now));
            self.note(Event::Notified, None, None);
        }
    }

    fn source(&self) -> Result<Credentials> {
        self.somewhere(|| source::credentials(self.plan, self.network()?, self.options.is_typed, self.world))
    }

    /// Makes a call, and where the region's STS gives no answer makes it in the other region, once.
    fn somewhere<T>(&self, call: impl Fn() -> Result<T>) -> Result<T> {
        let first = match call() {
            Err(error) if self.network()?.attempts.may_ask_elsewhere.swap(false, Ordering::Relaxed) => error,
            result => return result,
        };
        self.network()?.go_elsewhere();
        let endpoint = self.sts()?.url()?;
        let error = Some(first.message());
        self.log.write(
            self.world.now(),
            &Record {
                endpoint: Some(&endpoint),
                error,
                took: Some(self.began.elapsed()),
                ..self.record(Event::FellBack)
            },
        );
        call().map_err(|error| match error.kind() {
            Kind::Unreachable => error.context(first.message()),
            _ => error,
        })
    }

    fn sts(&self) -> Result<Sts<'_>> {
        Ok(Sts::new(self.network()?, self.world.now()))
    }

    fn network(&self) -> Result<&Network> {
        self.network.as_ref().ok_or_else(|| Error::failed("the network is not ready"))
    }

    /// The source gave credentials without a token or an end, and there is no role to make a session of.
    fn endless(&self) -> Error {
        let what = format!("{} gives credentials that do not say when they expire", self.plan.source.describe());
        Error::usage(format!("profile `{}` has no role, and {what}", self.plan.profile))
            .hint("add `keyrole_role_arn`, or use the source directly")
    }

    fn note(&self, event: Event, session: Option<&Session>, error: Option<&str>) {
        let record = Record { session, error, took: Some(self.began.elapsed()), ..self.record(event) };
        self.log.write(self.world.now(), &record);
    }

    /// Makes the record of something that happens to what is being fetched.
    fn record(&self, event: Event) -> Record<'a> {
        Record::of(event, self.plan, self.steps)
    }
}

/// Opens the store that a plan asks for.
///
/// # Errors
/// It is one that needs a key, and there is none.
pub fn open_store<'a>(plan: &Plan, world: &'a World) -> Result<Box<dyn SecretStore + 'a>> {
    store::open(plan.store, world)
}
