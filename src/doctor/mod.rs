//! Owns the checks of `keyrole doctor`: what was looked at, what was found, and what mends it. One file per group of
//! checks. A check never shows a secret, changes nothing that lasts, and a failing one never ends the others.

mod chain;
mod files;
mod keys;
mod line;
mod mfa;
mod network;
mod region;
mod store;

pub use line::refused;

use crate::commands::explain::{plain, recognise};
use crate::config::{AwsFiles, Property, Sections};
use crate::error::{Error, Result};
use crate::explanations::DOCTOR;
use crate::mfa::quoted;
use crate::network::{Network, check_proxies};
use crate::plan::{Plan, Settings};
use crate::profile;
use crate::sts::{Answer, Identity, Sts};
use crate::world::World;
use serde::Serialize;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long everything that needs a network may take; with the keyring's deadlines it stays below ten seconds.
const NETWORK_BUDGET: Duration = Duration::from_secs(6);
/// The heading of the first group.
const CHAIN: &str = "which step wins";

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing to do.
    Ok,
    /// It works here and now, and may not elsewhere.
    Warn,
    /// It does not work.
    Fail,
}

/// One finding. Also one element of `checks` in `--json`.
#[derive(Debug, Serialize)]
pub struct Check {
    /// The group, as its heading says it.
    pub group: &'static str,
    /// Which check it is. Stable.
    pub check: &'static str,
    /// The profile it is about, unless it is about the machine.
    pub profile: Option<String>,
    /// The result.
    pub status: Verdict,
    /// What was looked at.
    pub looked_at: String,
    /// What was found, in one line.
    pub finding: String,
    /// The commands or lines that mend it; none if there is nothing to mend.
    pub mend: Vec<String>,
    /// For the checks of the chain: the step that each SDK uses, in botocore's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub providers: Option<BTreeMap<&'static str, &'static str>>,
}

/// Collects what is found.
pub struct Report {
    /// In the order of the groups.
    pub checks: Vec<Check>,
    group: &'static str,
    profile: Option<String>,
}

impl Report {
    /// Makes a group's checks of every profile.
    fn each(&mut self, group: &'static str, patients: &[Patient], check: impl Fn(&mut Self, &Patient)) {
        self.group = group;
        for patient in patients {
            self.profile = Some(patient.name.to_owned());
            check(self, patient);
        }
        self.profile = None;
    }

    fn add(&mut self, status: Verdict, check: &'static str, looked_at: &str, finding: String, mend: Vec<String>) {
        let (group, profile, looked_at) = (self.group, self.profile.clone(), looked_at.to_owned());
        self.checks.push(Check { group, check, profile, status, looked_at, finding, mend, providers: None });
    }

    fn ok(&mut self, check: &'static str, looked_at: &str, finding: impl Into<String>) {
        self.add(Verdict::Ok, check, looked_at, finding.into(), Vec::new());
    }

    fn warn(&mut self, check: &'static str, looked_at: &str, finding: impl Into<String>, mend: &[&str]) {
        self.add(Verdict::Warn, check, looked_at, finding.into(), owned(mend));
    }

    fn fail(&mut self, check: &'static str, looked_at: &str, finding: impl Into<String>, mend: &[&str]) {
        self.add(Verdict::Fail, check, looked_at, finding.into(), owned(mend));
    }

    /// Turns an error into a finding. Its hint is what mends it, or else what `explain` would say first.
    fn error(&mut self, check: &'static str, looked_at: &str, error: &Error) {
        let mend = match error.hint_text() {
            Some(hint) => hint.to_owned(),
            None => {
                let profile = self.profile.as_deref().map_or_else(|| "PROFILE".to_owned(), quoted);
                let known = recognise(&plain(error.message()));
                let mut steps = known.iter().flat_map(|explanation| explanation.steps);
                let step = steps.find(|step| **step != DOCTOR).unwrap_or(&"correct what it names, then look again");
                step.replace("{profile}", &profile)
            }
        };
        self.add(Verdict::Fail, check, looked_at, error.message().to_owned(), vec![mend]);
    }
}

fn owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|&line| line.to_owned()).collect()
}

/// What the checks may do.
pub struct Extent {
    /// Nothing is sent.
    pub offline: bool,
    /// The role may be assumed, which may ask for a code.
    pub assume: bool,
    /// This program, as a line in a profile would name it.
    pub program: PathBuf,
}

/// One profile under examination.
struct Patient<'a> {
    world: &'a World,
    files: &'a AwsFiles,
    sections: &'a Sections<'a>,
    name: &'a str,
    /// Why boto3 and the AWS CLI refuse a file as a whole, if they do.
    refused: Option<&'a Error>,
    /// The profiles from this one to its source, as far as they can be followed.
    lineage: Vec<&'a str>,
    plan: Result<(Plan, Settings)>,
    /// The way to STS; `None` if it is not to be used, or if there is no plan.
    network: Option<Result<Network>>,
    /// What STS answered to a request that needs no credentials, and how many seconds this machine's clock is behind.
    answer: Option<Result<(Answer, Option<i64>)>>,
    /// What the STS of `keyrole_sts_fallback_region` answered to the same, if there is one.
    fallback: Option<Result<Answer>>,
    /// Who the source is.
    identity: OnceCell<Identity>,
}

impl<'a> Patient<'a> {
    fn new(
        world: &'a World,
        files: &'a AwsFiles,
        sections: &'a Sections<'a>,
        refused: Option<&'a Error>,
        name: &'a str,
    ) -> Self {
        let planned = || Ok((profile::plan(sections, name, world)?, profile::settings(sections, name, world)?));
        let lineage = profile::lineage(sections, name);
        Self {
            world,
            files,
            sections,
            name,
            refused,
            lineage,
            plan: planned(),
            network: None,
            answer: None,
            fallback: None,
            identity: OnceCell::new(),
        }
    }

    /// Sends STS a first request. Whatever needs the network later is not tried if that fails.
    fn connect(&mut self, deadline: Instant) {
        let Ok((plan, settings)) = &self.plan else { return };
        let left = deadline.saturating_duration_since(Instant::now());
        let network = check_proxies(self.world).and_then(|()| Network::new(&plan.endpoint, settings, Some(left)));
        let greet = |network| {
            let answer = Sts::new(network, self.world.now()).greet()?;
            let offset = answer.date.map(|date| date - self.world.now());
            Ok((answer, offset))
        };
        self.answer = network.as_ref().ok().map(greet);
        if settings.fallback_region.is_some() {
            // A way of its own, as the first one is still needed.
            let left = deadline.saturating_duration_since(Instant::now());
            let other = Network::new(&plan.endpoint, settings, Some(left)).ok().filter(Network::has_fallback);
            self.fallback = other.map(|other| {
                other.go_elsewhere();
                Sts::new(&other, self.world.now()).greet()
            });
        }
        self.network = Some(network);
    }

    /// Gives the way to STS if it is known to work.
    fn sts(&self) -> Option<Sts<'_>> {
        let network = self.network.as_ref()?.as_ref().ok()?;
        self.answer.as_ref()?.as_ref().ok()?;
        Some(Sts::new(network, self.world.now()))
    }

    /// Gives the profile's name as a shell takes it.
    fn quoted(&self) -> String {
        quoted(self.name)
    }
}

/// Says where a property stands.
fn place(property: &Property) -> String {
    format!("`{}` line {}", property.file.display(), property.line)
}

/// Examines the profiles named, or every profile that keyrole serves, and the machine they are on.
pub fn examine(files: Result<AwsFiles>, names: &[String], extent: &Extent, world: &World) -> Report {
    let mut report = Report { checks: Vec::new(), group: CHAIN, profile: None };
    let read = |error: Error| {
        let mut report = Report { checks: Vec::new(), group: CHAIN, profile: None };
        report.error("files", "the AWS files", &error);
        report
    };
    let files = match files {
        Ok(files) => files,
        Err(error) => return read(error),
    };
    let sections = match files.sections() {
        Ok(sections) => sections,
        Err(error) => return read(error),
    };
    let names: Vec<&str> = match names {
        [] => sections.profile_names().into_iter().filter(|name| profile::is_served(&sections, name)).collect(),
        names => names.iter().map(String::as_str).collect(),
    };
    let refused = refused(&files, &sections).err();
    let mut patients: Vec<Patient> =
        names.iter().map(|name| Patient::new(world, &files, &sections, refused.as_ref(), name)).collect();
    if !extent.offline {
        let deadline = Instant::now() + NETWORK_BUDGET;
        patients.iter_mut().for_each(|patient| patient.connect(deadline));
    }
    if patients.is_empty() {
        let file = format!("`{}`", sections.config_path().display());
        report.warn("profiles", &file, "keyrole serves no profile there", &["keyrole setup"]);
    }
    chain::environment(&mut report, &sections, world);
    line::whole(&mut report, &files, &sections);
    report.each(CHAIN, &patients, |report, patient| {
        chain::check(report, patient);
        line::check(report, patient, &extent.program);
    });
    report.each("credentials", &patients, |report, patient| keys::check(report, patient, extent.assume));
    report.each("clock", &patients, network::clock);
    report.each("region", &patients, region::check);
    report.each("mfa", &patients, mfa::check);
    report.each("store", &patients, store::check);
    report.each("network", &patients, network::check);
    report.group = "files";
    files::check(&mut report, &sections, world);
    report
}
