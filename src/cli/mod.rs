//! The command line: one file per subcommand, each with its `Args` and `run`.
//!
//! Must not know how anything is done: it asks the runner and prints what comes back.

mod arguments;
mod completions;
mod dataset;
mod device;
mod experiment;
mod fetching;
mod frames;
mod gpu;
mod metrics;
mod model;
mod parity;
mod plan;
mod reconstruct;
mod references;
mod report;
mod track;
mod worker;

pub use arguments::{as_paths, not_text};

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Experiments on human mesh recovery and tracking in video (HMR2 and PHALP on candle) that anyone can
/// run again.
#[derive(Parser)]
#[command(
    name = "posebook",
    version,
    propagate_version = true,
    after_help = "\
Start with `posebook experiment run quickstart`: it makes its own clips, needs no weights and no graphics \
card, and writes a page to read. Settings are given as key=value, such as video.mode=stream-sequential."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run experiments, list them, show one as it would run
    Experiment(experiment::Args),
    /// Track the people of one video: a table, an overlay, a summary
    Track(track::Args),
    /// Recover the bodies of the people in pictures: renders, meshes, parameters
    Reconstruct(reconstruct::Args),
    /// Say what a run over a video will take, mode by mode, before it is made
    Plan(plan::Args),
    /// List a video's frames as they would be read: time, key frame, hash
    Frames(frames::Args),
    /// Score tracks or bodies against the truth
    Metrics(metrics::Args),
    /// Make, list and verify benchmark clips
    Dataset(dataset::Args),
    /// List, verify and train model sets; bake the stand-in body
    Model(model::Args),
    /// Say where networks can run here: cards, driver, what this build holds
    Device(device::Args),
    /// Hold the network against the original's numbers
    Parity(parity::Args),
    /// Put a graphics card through parity, pipeline, memory and speed, and write it down
    Gpu(gpu::Args),
    /// Redraw an experiment's newest report from its tables
    Report(report::Args),
    /// Make the reports that git keeps again, and compare
    References(references::Args),
    /// Print a completion script for your shell
    Completions(completions::Args),
    /// One run in a process of its own; started by the runner, not by people
    #[command(hide = true)]
    Worker(worker::Args),
}

impl Cli {
    /// Does what was asked.
    ///
    /// # Errors
    /// If it cannot be done; the message says what, where and what to do next.
    pub fn run(self) -> Result<ExitCode> {
        let done = |result: Result<()>| result.map(|()| ExitCode::SUCCESS);
        match self.command {
            Command::Experiment(args) => experiment::run(args),
            Command::Track(args) => done(track::run(args)),
            Command::Reconstruct(args) => done(reconstruct::run(args)),
            Command::Plan(args) => done(plan::run(args)),
            Command::Frames(args) => done(frames::run(args)),
            Command::Metrics(args) => done(metrics::run(args)),
            Command::Dataset(args) => done(dataset::run(args)),
            Command::Model(args) => done(model::run(args)),
            Command::Device(args) => done(device::run(&args)),
            Command::Parity(args) => parity::run(args),
            Command::Gpu(args) => gpu::run(args),
            Command::Report(args) => report::run(args),
            Command::References(args) => references::run(args),
            Command::Completions(args) => done(completions::run(args)),
            Command::Worker(args) => worker::run(args),
        }
    }
}
