//! `seedpress completions` and `seedpress man`.

use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;

use crate::failure::{Failure, Outcome};
use crate::print::text;

/// Which shell.
#[derive(Args)]
#[command(after_help = "  seedpress completions bash > ~/.local/share/bash-completion/completions/seedpress
  seedpress completions zsh > ~/.zfunc/_seedpress
  seedpress completions fish > ~/.config/fish/completions/seedpress.fish")]
pub(crate) struct CompletionsArguments {
    /// The shell
    shell: Shell,
}

/// Prints the completions.
pub(crate) fn completions(arguments: &CompletionsArguments, mut command: Command) -> Outcome {
    let mut bytes = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "seedpress", &mut bytes);
    text!("{}", String::from_utf8_lossy(&bytes));
    Ok(())
}

/// Where manual pages go.
#[derive(Args)]
#[command(after_help = "  seedpress man | man -l -
  seedpress man --out ~/.local/share/man/man1")]
pub(crate) struct ManArguments {
    /// Write the pages of all commands to this folder
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// Prints or writes manual pages.
pub(crate) fn man(arguments: &ManArguments, command: Command) -> Outcome {
    if let Some(folder) = &arguments.out {
        let refused = |error: std::io::Error| Failure::data(format!("{}: {error}", folder.display()));
        std::fs::create_dir_all(folder).map_err(refused)?;
        return clap_mangen::generate_to(command, folder).map_err(refused);
    }
    let mut bytes = Vec::new();
    clap_mangen::Man::new(command).render(&mut bytes).map_err(Failure::data)?;
    text!("{}", String::from_utf8_lossy(&bytes));
    Ok(())
}
