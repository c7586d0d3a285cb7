//! `posebook metrics`: scores from files, without an experiment.

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
    /// HOTA, CLEAR and identity scores of one pair of MOTChallenge files, as TrackEval gives them
    Mot(mot::Args),
    /// MPJPE and PA-MPJPE of the people of one view against the truth of calibrated views
    Pose(pose::Args),
}

pub fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Mot(args) => mot::run(args),
        Command::Pose(args) => pose::run(args),
    }
}
