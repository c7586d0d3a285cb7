//! `posebook parity`: the network against the original's numbers, on any device and in any precision.

use super::gpu::told;
use crate::device;
use crate::hmr2::Precision;
use crate::parity::{self, Check, Size};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Args {
    /// Fill the published network, ViT-H, by formula too: 2.7 GB in single precision
    #[arg(long)]
    full: bool,
    /// Where to compute: auto, cpu or cuda:0
    #[arg(long, default_value = "cpu")]
    device: String,
    /// What to compute in: f32, bf16, f16; several by commas
    #[arg(long, value_delimiter = ',', value_parser = precision, default_value = "f32")]
    precision: Vec<Precision>,
    /// The folder of goldens that holds `hmr2/<set>`
    #[arg(long, default_value = "tests/goldens")]
    goldens: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A precision as written in settings.
pub(super) fn precision(text: &str) -> Result<Precision, String> {
    [Precision::F32, Precision::Bf16, Precision::F16]
        .into_iter()
        .find(|precision| precision.name() == text)
        .ok_or_else(|| format!("there is no precision `{text}`; there are f32, bf16 and f16"))
}

pub fn run(args: Args) -> Result<ExitCode> {
    let (choice, _) = device::resolve(&args.device)?;
    let device = device::open(&choice)?;
    let mut checks = Vec::new();
    for set in sets(&args.goldens)? {
        for size in [Size::Small, Size::Full].into_iter().filter(|size| args.full || *size == Size::Small) {
            for &precision in &args.precision {
                let mut heard = |check: &Check| {
                    if !args.json {
                        println!("{}", told(check));
                    }
                };
                checks.extend(parity::check(&set, size, &device, precision, &mut heard)?);
            }
        }
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&checks)?);
    }
    let far = checks.iter().filter(|check| !check.passed()).count();
    ensure!(far == 0, "{far} of {} comparisons are beyond what is allowed", checks.len());
    Ok(ExitCode::SUCCESS)
}

/// The sets of HMR2's goldens below `goldens`, sorted.
pub(super) fn sets(goldens: &Path) -> Result<Vec<PathBuf>> {
    let folder = goldens.join("hmr2");
    let nothing = || {
        format!(
            "no goldens in {}; run this in a checkout, or name their folder with --goldens",
            folder.display()
        )
    };
    let mut sets = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(nothing)? {
        let path = entry.with_context(nothing)?.path();
        if path.is_dir() {
            sets.push(path);
        }
    }
    sets.sort();
    ensure!(!sets.is_empty(), "{}", nothing());
    Ok(sets)
}
