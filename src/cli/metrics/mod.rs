//! `posebook metrics`: computes scores from files.

mod mot;
mod pose;

use anyhow::Result;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// HOTA, CLEAR and identity scores of a pair of MOTChallenge files, as in TrackEval
    Mot(mot::Args),
    /// MPJPE and PA-MPJPE of the people in one view against the ground truth of calibrated views
    Pose(pose::Args),
}

pub fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Mot(args) => mot::run(args),
        Command::Pose(args) => pose::run(args),
    }
}
