//! `posebook job`: executes one job of the service; started by `posebook serve` as a separate process.

use anyhow::Result;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Args {
    /// The job's folder, with its job.json; results are written into it
    folder: PathBuf,
    /// A folder in the project; the current folder by default
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    project: PathBuf,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    Ok(crate::service::job::run(&args.folder, &args.project))
}
