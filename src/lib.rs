//! keyrole is the program behind `credential_process = keyrole get prod`: it assumes the role through STS, asks for
//! the MFA code when it must, keeps the session in the operating system's keyring and prints the JSON document.
//!
//! # The flow of `get`
//! ```text
//! resolve profile → cache lookup
//!  fresh    → print.                    no lock, no network, no terminal, no SDK, no async runtime
//!  expiring → print, then a detached child renews it if that needs nobody
//!  stale    → as a miss; if that fails and the session is still valid, print it anyway
//!  miss     → lock → look again → source credentials → MFA session → AssumeRole → store → print
//! ```
//! Whatever comes of it is logged ([`log`]): a hit after its document has gone out, in one line and one `write`.
//!
//! [`config`] reads the AWS files, [`profile`] turns them into a [`plan::Plan`], [`provider`] carries it out:
//! [`cache`] over [`store`], [`flight`] over [`lock`], [`mfa`], [`source`] and [`sts`] over [`network`]. Dependencies
//! point that way only. [`commands::setup`] writes the config file: [`interview`] asks, [`config_edit`] makes the new text of
//! the old one, [`config_file`] puts it in place. [`commands::keys`] does so as well, over [`stored_key`] and [`iam`]. `plan`, `profile`, `validate` and `credentials` decide everything and touch nothing; the time
//! and the environment are handed to them ([`world`]).
//!
//! # The three channels
//! For `get`, stdout carries the document or nothing ([`output`]), stderr one error and its hint ([`error`]), as SDKs
//! show it for their own, and everything said to a person goes to the terminal device ([`terminal`]). The other commands are
//! typed by people and answer on stdout and stderr.
//!
//! # What is defended against
//! Other users of the machine, other programs' logs and crash dumps, a stolen disk: secrets live in the keyring and
//! in wiped memory, in no argument, environment or message, and in no file that is not sealed. A program that runs as
//! the same user can ask the keyring just as keyrole does; so can root. Neither is defended against.

#![cfg_attr(not(test), warn(clippy::disallowed_macros, clippy::disallowed_methods))]

mod child;
pub mod cli;
pub mod commands;
pub mod config_edit;
pub mod config_file;
pub mod doctor;
pub mod explanations;
pub mod flight;
pub mod iam;
pub mod interview;
pub mod mfa;
pub mod network;
pub mod notify;
pub mod process_line;
pub mod provider;
pub mod source;
pub mod stored_key;
pub mod sts;
mod sys;
pub mod terminal;

pub use keyrole_core::{
    cache, caller, config, credentials, error, lock, log, output, plan, profile, secret, store, validate, world,
};
