//! `posebook gpu`: puts a graphics card through everything that Posebook claims about one, and writes it down.
//!
//! The parts follow each other; one that fails is written down as missing, with why, and the next begins.

mod parts;

use crate::device;
use crate::device::kernels::Kernels;
use crate::hmr2::Precision;
use crate::memory::device as on_card;
use crate::provenance::{Machine, Source};
use crate::survey::{Part, Survey, folder_name};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use time::OffsetDateTime;
use time::macros::format_description;

#[derive(clap::Args)]
pub struct Args {
    /// Which card; `cpu` tries the program without one
    #[arg(long, default_value = "cuda:0")]
    device: String,
    /// Parts to do: parity, pipeline, memory, speed, torch; all without it
    #[arg(long, value_delimiter = ',', value_parser = ["parity", "pipeline", "memory", "speed", "torch"])]
    only: Vec<String>,
    /// Precisions to measure in
    #[arg(long, value_delimiter = ',', value_parser = super::parity::precision, default_value = "f32,bf16,f16")]
    precision: Vec<Precision>,
    /// Crops at once, where speed is measured
    #[arg(long, value_delimiter = ',', default_value = "1,8,64,256")]
    batches: Vec<usize>,
    /// Measure the goldens' small network instead of ViT-H
    #[arg(long)]
    small: bool,
    /// The folder of goldens that holds `hmr2/<set>`
    #[arg(long, default_value = "tests/goldens")]
    goldens: PathBuf,
    /// The script that measures PyTorch
    #[arg(long, default_value = "tools/bench_torch.py")]
    torch: PathBuf,
    /// Where surveys are kept
    #[arg(long, default_value = "reports/gpu")]
    out: PathBuf,
}

impl Args {
    fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|wanted| wanted == part)
    }
}

pub fn run(args: Args) -> Result<ExitCode> {
    let started = Instant::now();
    ensure!(args.batches.iter().all(|batch| *batch > 0), "--batches holds a 0; give 1 or more");
    let (choice, card) = device::resolve(&args.device)?;
    let opened = on_card::open(&choice, card.as_ref())?;
    let name = card.as_ref().map_or_else(|| choice.to_string(), |card| card.name.clone());
    let today = OffsetDateTime::now_utc();
    let date = today.format(format_description!("[year]-[month]-[day]"))?;
    let folder = args.out.join(folder_name(&name)).join(&date);
    println!("{name}, into {}", folder.display());
    if let Some(others) = &opened.others {
        eprintln!("note: {others}");
    }

    let parity = part(args.wants("parity"), "parity", || parts::parity(&args, &opened.device));
    let speed = part(args.wants("speed"), "speed", || parts::speed(&args, &opened.device, &name));
    // what this process holds of the card is not the experiments' nor PyTorch's
    let context_bytes = opened.context_bytes;
    drop(opened);
    let torch = part(args.wants("torch"), "PyTorch", || parts::torch(&args));
    let mut notebooks = Vec::new();
    let experiments = [
        ("gpu-agreement", "pipeline"),
        ("gpu-memory", "memory"),
        ("gpu-budget", "memory"),
        ("published-claims", "memory"),
    ];
    for (name, of) in experiments {
        notebooks.push(part(args.wants(of), name, || parts::notebook(name, &args, &folder)));
    }

    let survey = Survey {
        date,
        device: name,
        card,
        context_bytes,
        machine: Machine::this(),
        source: Source::of(Path::new(".")),
        kernels: Kernels::ALL
            .iter()
            .map(|kernels| (kernels.name().to_string(), kernels.is_built()))
            .collect(),
        parity,
        notebooks,
        speed,
        torch,
        secs: started.elapsed().as_secs_f64(),
    };
    survey.write(&folder).with_context(|| format!("cannot write the survey into {}", folder.display()))?;
    println!("survey: {} ({:.0} s)", folder.join("report.md").display(), survey.secs);
    Ok(if survey.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Does a part if it is wanted; what it cannot do is said and kept.
fn part<T>(wanted: bool, name: &str, work: impl FnOnce() -> Result<T>) -> Part<T> {
    if !wanted {
        return Part::Missing(format!("{name} was not asked for"));
    }
    println!("== {name}");
    let began = Instant::now();
    match work() {
        Ok(done) => {
            println!("   {name}: {:.0} s", began.elapsed().as_secs_f64());
            Part::Done(done)
        }
        Err(error) => {
            eprintln!("{name} could not be measured: {error:#}");
            Part::Missing(format!("{error:#}"))
        }
    }
}
