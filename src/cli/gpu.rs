//! `posebook gpu`: tests parity, pipeline, memory and speed on a GPU and writes a report.

use super::parity::line;
use crate::gpu_report::{self, GpuEvent, GpuListener, GpuRequest, Part};
use crate::runner::ExecuteOptions;
use crate::runner::progress::{ProgressListener, stderr_listener};
use crate::speed::SpeedRow;
use anyhow::{Context, Result, ensure};
use posebook_models::hmr2::Precision;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Args {
    /// The GPU; `cpu` tests the command without one
    #[arg(long, default_value = "cuda:0")]
    device: String,
    /// Parts, separated by commas: parity, pipeline, memory, speed, torch; all by default
    #[arg(long, value_delimiter = ',', value_parser = Part::ALL.map(Part::name))]
    only: Vec<String>,
    /// Precisions to measure, separated by commas
    #[arg(long, value_delimiter = ',', value_parser = super::parity::precision, default_value = "f32,bf16,f16")]
    precision: Vec<Precision>,
    /// Batch sizes for the measurement of speed
    #[arg(long, value_delimiter = ',', default_value = "1,8,64,256")]
    batches: Vec<usize>,
    /// Measure the small test network instead of ViT-H
    #[arg(long)]
    small: bool,
    /// Folder of the recorded outputs, with `hmr2/<set>`
    #[arg(long, default_value = "tests/goldens")]
    goldens: PathBuf,
    /// The script that measures PyTorch
    #[arg(long, default_value = "tools/bench_torch.py")]
    torch: PathBuf,
    /// Folder of the reports
    #[arg(long, default_value = "reports/gpu")]
    out: PathBuf,
}

pub fn run(args: Args) -> Result<ExitCode> {
    ensure!(args.batches.iter().all(|batch| *batch > 0), "--batches holds a 0; give 1 or more");
    let is_requested = |part: &Part| args.only.is_empty() || args.only.iter().any(|name| name == part.name());
    let request = GpuRequest {
        device: args.device,
        parts: Part::ALL.into_iter().filter(is_requested).collect(),
        precisions: args.precision,
        batches: args.batches,
        small: args.small,
        goldens: args.goldens,
        torch_script: args.torch,
        out: args.out,
        folder: std::env::current_dir().context("cannot determine the current folder")?,
        options: ExecuteOptions::this_program()?,
    };
    let (report, folder) = gpu_report::run(&request, &mut Printer)?;
    println!("report: {} ({:.0} s)", folder.join("report.md").display(), report.secs);
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints results to standard output, notes and failures to standard error.
struct Printer;

impl GpuListener for Printer {
    fn on_event(&mut self, event: GpuEvent) {
        match event {
            GpuEvent::Started { device, folder } => println!("{device}, into {}", folder.display()),
            GpuEvent::OtherProcesses(others) => eprintln!("note: {others}"),
            GpuEvent::PartStarted(name) => println!("== {name}"),
            GpuEvent::Check(check) => println!("{}", line(check)),
            GpuEvent::Speed(row) => println!("{}", speed_line(row)),
            GpuEvent::PartDone { name, secs } => println!("   {name}: {secs:.0} s"),
            GpuEvent::PartFailed { name, message } => eprintln!("{name} could not be measured: {message}"),
        }
    }

    fn experiment_listener(&mut self) -> Box<dyn ProgressListener> {
        stderr_listener()
    }
}

fn speed_line(row: &SpeedRow) -> String {
    let what = format!("{} {} batch {}", row.precision, row.mode, row.batch);
    match (row.crops_per_sec, &row.error) {
        (Some(rate), _) => format!("{what}: {rate:.1} crops/s"),
        (None, error) => format!("{what}: {}", error.as_deref().unwrap_or("no number")),
    }
}
