//! The command line interface: one module per subcommand, each with its `Args` and `run`.
//!
//! Commands call the other modules and print their results.

mod arguments;
mod completions;
mod convert;
mod dataset;
mod detect;
mod device;
mod experiment;
mod export;
mod fetching;
mod frames;
mod gpu;
mod job;
mod metrics;
mod model;
mod parity;
mod plan;
mod reconstruct;
mod references;
mod report;
mod serve;
mod track;
mod worker;

pub use arguments::{mark_file_arguments, non_utf8_message};

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Reproducible experiments on human mesh recovery and tracking in video (HMR2 and PHALP on candle).
#[derive(Parser)]
#[command(
    name = "posebook",
    version,
    propagate_version = true,
    after_help = "\
Start with `posebook experiment run quickstart`: it makes its own clips, needs no weights and no GPU, and writes a \
report as a web page. Settings are given as key=value, such as video.mode=stream-sequential."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run or list experiments, or show one with all settings
    Experiment(experiment::Args),
    /// Track the people in a video: writes a table, an overlay and a summary
    Track(track::Args),
    /// Detect the people in a video once: writes boxes, scores and masks that `track boxes=` starts from
    Detect(detect::Args),
    /// Reconstruct the bodies of the people in images: renderings, meshes, parameters
    Reconstruct(reconstruct::Args),
    /// Export tracked bodies: glTF, npz, BVH, CSV, MOTChallenge text, PHALP's .pkl
    Export(export::Args),
    /// Convert a .pkl of PHALP to tables, and back
    Convert(convert::Args),
    /// Estimate memory, disk and time of a run over a video in every mode
    Plan(plan::Args),
    /// List the frames that a run would read from a video: time, key frame, hash
    Frames(frames::Args),
    /// Score tracks or bodies against the ground truth
    Metrics(metrics::Args),
    /// Make, list and verify the clips of datasets
    Dataset(dataset::Args),
    /// List, verify, import and train model sets; make the built-in body
    Model(model::Args),
    /// Show the devices for networks: GPUs, driver, kernels of this build
    Device(device::Args),
    /// Compare the network with recorded outputs of the original
    Parity(parity::Args),
    /// Test parity, pipeline, memory and speed on a GPU, and write a report
    Gpu(gpu::Args),
    /// Render an experiment's newest report again from its tables
    Report(report::Args),
    /// Reproduce the committed reports and compare them
    References(references::Args),
    /// Serve jobs over HTTP, with a queue that survives restarts and a page
    Serve(serve::Args),
    /// Print a completion script for your shell
    Completions(completions::Args),
    /// Make one run; started by the runner as a separate process
    #[command(hide = true)]
    Worker(worker::Args),
    /// Execute one job of the service; started by `serve` as a separate process
    #[command(hide = true)]
    Job(job::Args),
}

impl Cli {
    /// Runs the command and returns the exit status.
    ///
    /// # Errors
    /// If the command fails. The message says what failed, where, and what to do next.
    pub fn run(self) -> Result<ExitCode> {
        let success = |result: Result<()>| result.map(|()| ExitCode::SUCCESS);
        match self.command {
            Command::Experiment(args) => experiment::run(args),
            Command::Track(args) => success(track::run(args)),
            Command::Detect(args) => success(detect::run(args)),
            Command::Reconstruct(args) => success(reconstruct::run(args)),
            Command::Export(args) => success(export::run(args)),
            Command::Convert(args) => success(convert::run(args)),
            Command::Plan(args) => success(plan::run(args)),
            Command::Frames(args) => success(frames::run(args)),
            Command::Metrics(args) => success(metrics::run(args)),
            Command::Dataset(args) => success(dataset::run(args)),
            Command::Model(args) => success(model::run(args)),
            Command::Device(args) => success(device::run(&args)),
            Command::Parity(args) => parity::run(args),
            Command::Gpu(args) => gpu::run(args),
            Command::Report(args) => report::run(args),
            Command::References(args) => references::run(args),
            Command::Completions(args) => success(completions::run(args)),
            Command::Serve(args) => serve::run(args),
            Command::Worker(args) => worker::run(args),
            Command::Job(args) => job::run(&args),
        }
    }
}
