//! The promises of keyrole, each kept by the real binary. One module a promise; the rig is in `support`.

#[allow(dead_code)]
#[path = "../support/mod.rs"]
mod support;

mod clients;
mod configuration;
mod flow;
mod prompt;
