//! `keyrole completions` and `keyrole man`, both made from the command line's definition.

use crate::cli::Cli;
use crate::error::{Error, Result};
use crate::output;
use clap::CommandFactory;
use clap_complete::Shell;

/// Prints the completions for a shell.
///
/// # Errors
/// stdout cannot be written.
pub fn completions(shell: Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "keyrole", &mut script);
    output::print(&script)
}

/// Prints the man page, with a section for each subcommand.
///
/// # Errors
/// stdout cannot be written.
pub fn man() -> Result<()> {
    let mut page = Vec::new();
    let mut command = Cli::command();
    command.build();
    let failed = |error: std::io::Error| Error::failed(format!("cannot make the man page: {error}"));
    clap_mangen::Man::new(command.clone()).render(&mut page).map_err(failed)?;
    for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
        let man = clap_mangen::Man::new(subcommand.clone());
        page.extend_from_slice(format!(".SH {}\n", subcommand.get_name().to_uppercase()).as_bytes());
        man.render_synopsis_section(&mut page).map_err(failed)?;
        man.render_description_section(&mut page).map_err(failed)?;
        man.render_options_section(&mut page).map_err(failed)?;
    }
    output::print(&page)
}
