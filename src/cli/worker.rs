//! `posebook worker`: one run, started by the runner in a process of its own.

use anyhow::Result;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Args {
    /// The run's folder, with its settings; rows are written into it
    folder: PathBuf,
}

pub fn run(args: Args) -> Result<ExitCode> {
    Ok(crate::runner::worker::main(&args.folder))
}
