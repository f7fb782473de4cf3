//! One file per subcommand.

pub mod ahead;
pub mod get;
pub mod login;
pub mod logout;
pub mod pages;
pub mod status;
