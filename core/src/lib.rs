//! What a hit needs, and nothing that needs the network, a terminal or the SDK: the AWS files, the plan, the cache over
//! the stores, the document, the log. The rest of keyrole is built on it.
//!
//! It is a crate of its own because it alone is compiled for speed; a compiler has one such setting for a crate.

#![cfg_attr(not(test), warn(clippy::disallowed_macros, clippy::disallowed_methods))]

pub mod cache;
pub mod caller;
pub mod config;
pub mod credentials;
pub mod error;
pub mod lock;
pub mod log;
pub mod output;
pub mod plan;
pub mod profile;
pub mod secret;
pub mod store;
pub mod validate;
pub mod world;
