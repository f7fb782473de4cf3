//! One file per subcommand, and what two of them share.

pub mod ahead;
pub mod doctor;
pub mod env;
pub mod exec;
pub mod explain;
pub mod get;
pub mod keys;
pub mod log;
pub mod login;
pub mod logout;
pub mod pages;
pub mod setup;
pub mod status;
pub mod warning;
pub mod watch;
