//! The promises of keyrole, each kept by the real binary. One module a promise; the rig is in `support`.

#[allow(dead_code)]
#[path = "../support/mod.rs"]
mod support;

mod clients;
mod configuration;
#[cfg(target_os = "linux")]
mod desktops;
mod doctor;
mod environment;
mod explain;
#[cfg(target_os = "linux")]
mod faults;
#[cfg(target_os = "linux")]
mod files;
mod flight;
mod flow;
#[cfg(target_os = "linux")]
mod keys;
#[cfg(target_os = "linux")]
mod ladder;
mod log;
mod mfa_process;
#[cfg(target_os = "linux")]
mod namespace;
mod network;
mod prompt;
#[cfg(unix)]
mod sealed_files;
mod session;
#[cfg(target_os = "linux")]
mod setup;
mod sign_in;
mod sources;
#[cfg(target_os = "linux")]
mod store;
mod terminal;
