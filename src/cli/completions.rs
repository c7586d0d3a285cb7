//! `posebook completions`: prints a completion script.

use anyhow::Result;
use clap::CommandFactory;
use clap_complete::Shell;

#[derive(clap::Args)]
pub struct Args {
    /// bash, zsh, fish, elvish or powershell
    shell: Shell,
}

pub fn run(args: Args) -> Result<()> {
    clap_complete::generate(args.shell, &mut super::Cli::command(), "posebook", &mut std::io::stdout());
    Ok(())
}
