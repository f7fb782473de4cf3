//! One file per subcommand.

pub mod get;
pub mod login;
pub mod logout;
pub mod pages;
pub mod status;
