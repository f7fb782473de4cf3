//! Owns the checks of the region and the endpoint.

use super::{Patient, Report, place};
use crate::config::SectionKind;
use crate::error::Printable;
use crate::profile;
use crate::validate;

/// The regions that every account has, of all partitions that are open to everybody.
const REGIONS: &[&str] = &[
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "cn-north-1",
    "cn-northwest-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "eusc-de-east-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-west-1",
    "us-west-2",
];
/// The regions that an account has to opt in to. They refuse tokens of the global endpoint, which are of version 1.
/// <https://docs.aws.amazon.com/general/latest/gr/rande-manage.html>
const OPT_IN_REGIONS: &[&str] = &[
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-south-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-west-1",
    "eu-central-2",
    "eu-south-1",
    "eu-south-2",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
];

/// Checks where STS is called, and whether the SDKs will find a region.
pub fn check(report: &mut Report, patient: &Patient) {
    let Ok((plan, _)) = &patient.plan else { return };
    let endpoint = &plan.endpoint;
    let region = endpoint.region.as_str();
    let written =
        patient.sections.properties(SectionKind::Profile, patient.name).find(|property| property.is("region"));
    let variable = ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().find(|name| patient.world.var(name).is_some());
    let looked_at = match (variable, written) {
        (Some(variable), _) => format!("`{variable}`"),
        (None, Some(property)) => place(property),
        (None, None) => "the environment and the profile".to_owned(),
    };
    let known = || REGIONS.iter().chain(OPT_IN_REGIONS).copied();
    if variable.is_none() && written.is_none() {
        let what =
            format!("no region is set: keyrole calls STS in `{region}`, but most clients then fail with `NoRegion`");
        report.warn("region", &looked_at, what, &[&format!("in `[profile {}]`: `region = {region}`", patient.name)]);
    } else if known().all(|known| known != region) && !validate::partition_of_region(region).starts_with("aws-iso") {
        let what = format!("`{}` is no region that this keyrole knows", Printable(region));
        let mend = match profile::nearest(region, known()) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => "see `aws account list-regions`".to_owned(),
        };
        // It may be newer than this keyrole.
        report.warn("region", &looked_at, what, &[&mend]);
    } else if OPT_IN_REGIONS.contains(&region) {
        report.ok("region", &looked_at, format!("`{region}`, which each account has to opt in to"));
    } else {
        report.ok("region", &looked_at, format!("`{region}`"));
    }
    if endpoint.global {
        let what = "`sts_regional_endpoints = legacy`: the global endpoint's tokens are refused in opt-in regions";
        report.warn("endpoint", "the endpoint of STS", what, &["`sts_regional_endpoints = regional`"]);
    }
    if let Some(url) = &endpoint.url {
        let by =
            ["AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"].into_iter().find(|name| patient.world.var(name).is_some());
        let what = format!("calls go to `{}` and not to AWS's own endpoint", Printable(url));
        let mend = by.map_or_else(|| "remove `endpoint_url` or `services`".to_owned(), |name| format!("unset {name}"));
        report.warn("endpoint", by.unwrap_or("the profile"), what, &[&mend]);
    }
}
