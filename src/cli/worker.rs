//! `posebook worker`: executes one run; started by the runner as a separate process.

use anyhow::Result;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Args {
    /// The run's folder, with its job; rows are written into it
    folder: PathBuf,
}

pub fn run(args: Args) -> Result<ExitCode> {
    Ok(crate::runner::run_worker(&args.folder))
}
