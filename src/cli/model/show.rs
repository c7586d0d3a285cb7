//! `posebook model show`: what a network is, what a forward pass takes, and how many crops at once fit.

use super::super::experiment::project;
use super::super::parity::precision;
use crate::hmr2::footprint::Footprint;
use crate::hmr2::{Config, Precision};
use crate::memory::heap::{self, Stretch};
use crate::recovery::{Architecture, ModelSet, PUBLISHED, RecoveryError};
use anyhow::{Context, Result, ensure};
use candle_core::{Device, Tensor};
use serde::Serialize;
use std::path::Path;

/// A set of the published network's sizes, without its weights.
const BY_FORMULA: &str = "hmr2-formula";
/// Batches whose peaks are told.
const BATCHES: [usize; 5] = [1, 2, 4, 8, 16];
const NOTE: &str = "peaks are of the heap in a forward pass on the CPU; on a graphics card the same buffers \
                    live, and the pool's rounding and the libraries' workspaces come on top";

#[derive(clap::Args)]
pub struct Args {
    /// A name in `models/`
    name: String,
    /// Memory to fill: 8GiB, 6000MB; several by commas
    #[arg(long, value_name = "BYTES", value_delimiter = ',', value_parser = bytes, default_value = "4GiB,8GiB,16GiB,24GiB")]
    budget: Vec<u64>,
    /// Run passes of so many crops at once too, and tell the heap that was counted; several by commas
    #[arg(long, value_name = "CROPS", value_delimiter = ',', num_args = 0.., default_missing_value = "1,2,4")]
    measure: Option<Vec<usize>>,
    /// What to compute in: f32, bf16, f16; several by commas
    #[arg(long, value_delimiter = ',', value_parser = precision, default_value = "f32,bf16,f16")]
    precision: Vec<Precision>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A number of bytes as people write it.
fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kib" => 1024.0,
        "mb" => 1e6,
        "mib" => f64::from(1u32 << 20),
        "gb" => 1e9,
        "gib" => f64::from(1u32 << 30),
        other => return Err(format!("`{other}` is no unit; write 8GiB, 8GB, 8192MiB or bytes")),
    };
    let number: f64 = digits.trim().parse().map_err(|_| format!("`{text}` is no number of bytes"))?;
    if number.is_finite() && number > 0.0 {
        Ok((number * unit) as u64)
    } else {
        Err("nothing fits into that".into())
    }
}

/// What is told of a model set.
#[derive(Serialize)]
struct Shown {
    name: String,
    description: String,
    weights: String,
    architecture: Config,
    parameters: usize,
    tokens: usize,
    flop_per_crop: u64,
    precisions: Vec<OfPrecision>,
    note: &'static str,
}

#[derive(Serialize)]
struct OfPrecision {
    precision: Precision,
    weights_bytes: u64,
    /// Beyond the weights, whatever the batch; and for each crop, at the moment that is worst for large batches.
    fixed_bytes: u64,
    crop_bytes: u64,
    worst_moment: &'static str,
    peaks: Vec<Peak>,
    largest_batches: Vec<Largest>,
}

#[derive(Serialize)]
struct Peak {
    batch: usize,
    model_bytes: u64,
    /// `None` where it was not measured.
    measured_bytes: Option<u64>,
}

#[derive(Serialize)]
struct Largest {
    budget_bytes: u64,
    /// `None` where not even one crop fits.
    batch: Option<usize>,
}

pub fn run(args: &Args) -> Result<()> {
    let set = found(&project()?.root.join("models"), &args.name)?;
    let config = match &set.architecture {
        Architecture::Hmr2(config) => config.clone(),
        Architecture::BlazePose(variant) => return super::show_blazepose::run(&set, *variant, args.json),
    };
    let wanted = args.measure.clone();
    let precisions = args.precision.iter().map(|&precision| {
        let measured = wanted.as_deref().map(|batches| measured(&set, precision, batches)).transpose()?;
        Ok(of_precision(&config, precision, &args.budget, &measured.unwrap_or_default()))
    });
    let shown = Shown {
        name: set.name.clone(),
        description: set.description.clone(),
        weights: set.weights.identity(),
        parameters: config.parameters(),
        tokens: config.tokens(),
        flop_per_crop: config.flop_per_crop(),
        precisions: precisions.collect::<Result<_>>()?,
        architecture: config,
        note: NOTE,
    };
    if args.json {
        println!("{}", serde_json::to_string_pretty(&shown)?);
    } else {
        print(&shown);
    }
    Ok(())
}

/// The set of that name. The published one is bound by licence and need not be there: then it is shown by its sizes.
fn found(folder: &Path, name: &str) -> Result<ModelSet> {
    match ModelSet::find(folder, name) {
        Err(RecoveryError::Unknown { .. }) if name == PUBLISHED => {
            eprintln!(
                "{PUBLISHED} is not imported here (`posebook model import {PUBLISHED}`); {BY_FORMULA} has its sizes:"
            );
            Ok(ModelSet::find(folder, BY_FORMULA)?)
        }
        found => Ok(found?),
    }
}

fn of_precision(
    config: &Config,
    precision: Precision,
    budgets: &[u64],
    measured: &[(usize, u64)],
) -> OfPrecision {
    let footprint = Footprint::of(config, precision);
    let mut batches: Vec<usize> = BATCHES.into_iter().chain(measured.iter().map(|of| of.0)).collect();
    batches.sort_unstable();
    batches.dedup();
    let peak = |batch: usize| Peak {
        batch,
        model_bytes: footprint.peak_bytes(batch),
        measured_bytes: measured.iter().find(|of| of.0 == batch).map(|of| of.1),
    };
    let largest =
        |&budget_bytes: &u64| Largest { budget_bytes, batch: footprint.largest_batch(budget_bytes) };
    let worst = footprint.worst(*batches.last().unwrap_or(&1));
    OfPrecision {
        precision,
        weights_bytes: footprint.weights_bytes,
        fixed_bytes: worst.fixed_bytes,
        crop_bytes: worst.crop_bytes,
        worst_moment: worst.name,
        peaks: batches.into_iter().map(peak).collect(),
        largest_batches: budgets.iter().map(largest).collect(),
    }
}

/// The heap's peaks in passes of so many crops, weights included. A first pass is not counted: libraries
/// make themselves at home in it.
fn measured(set: &ModelSet, precision: Precision, batches: &[usize]) -> Result<Vec<(usize, u64)>> {
    ensure!(heap::is_counting(), "this program does not count its heap");
    let before = heap::current_bytes();
    let network = set.network(precision, &Device::Cpu)?;
    let side = set.architecture.image_size();
    let pass = |batch: usize| -> Result<u64> {
        let stretch = Stretch::begin();
        let crops = Tensor::zeros((batch, 3, side, side), precision.dtype(), &Device::Cpu)?;
        network.forward(&crops).with_context(|| format!("{batch} crops in {}", precision.name()))?;
        Ok(stretch.peak_bytes())
    };
    let held = heap::current_bytes().saturating_sub(before);
    pass(1)?;
    batches.iter().map(|&batch| Ok((batch, held + pass(batch)?))).collect()
}

fn print(shown: &Shown) {
    let Config { image_size, backbone, head } = &shown.architecture;
    println!("{}: {}", shown.name, shown.description);
    let patch = backbone.patch_size;
    println!(
        "    crops of {image_size} x {image_size} pixels, {} tokens of {patch} x {patch} pixels",
        shown.tokens
    );
    println!(
        "    backbone: {} blocks of {}, {} heads, perceptron of {}",
        backbone.depth,
        backbone.dim,
        backbone.heads,
        backbone.dim * backbone.mlp_ratio
    );
    println!(
        "    decoder: {} layers of {}, {} heads of {}, perceptron of {}",
        head.depth, head.dim, head.heads, head.dim_head, head.mlp_dim
    );
    println!(
        "    {:.2} million parameters, {:.1} GFLOP of matrix products a crop",
        shown.parameters as f64 / 1e6,
        shown.flop_per_crop as f64 / 1e9
    );
    println!("    weights: {}\n", shown.weights);
    println!("peak = weights + a + b x crops at once, MiB");
    let batches: Vec<usize> =
        shown.precisions.first().iter().flat_map(|of| &of.peaks).map(|p| p.batch).collect();
    let columns: String = batches.iter().map(|batch| format!("{batch:>10}")).collect();
    println!("{:<10}{:>9}{:>8}{:>8}{columns}  worst moment", "precision", "weights", "a", "b");
    for of in &shown.precisions {
        let peaks: String = of.peaks.iter().map(|peak| format!("{:>10}", mib(peak.model_bytes))).collect();
        println!(
            "{:<10}{:>9}{:>8}{:>8}{peaks}  {}",
            of.precision.name(),
            mib(of.weights_bytes),
            mib(of.fixed_bytes),
            mib(of.crop_bytes),
            of.worst_moment
        );
        if of.peaks.iter().any(|peak| peak.measured_bytes.is_some()) {
            let each = |peak: &Peak| format!("{:>10}", peak.measured_bytes.map_or("-".into(), mib));
            let peaks: String = of.peaks.iter().map(each).collect();
            println!("{:<35}{peaks}", "  measured");
        }
    }
    println!("\nlargest batch that fits");
    let budgets: Vec<String> = shown
        .precisions
        .first()
        .iter()
        .flat_map(|of| &of.largest_batches)
        .map(|largest| format!("{:>12}", format!("{} MiB", mib(largest.budget_bytes))))
        .collect();
    println!("{:<10}{}", "precision", budgets.concat());
    for of in &shown.precisions {
        let each = |largest: &Largest| largest.batch.map_or("none".to_string(), |batch| batch.to_string());
        let batches: String =
            of.largest_batches.iter().map(|largest| format!("{:>12}", each(largest))).collect();
        println!("{:<10}{batches}", of.precision.name());
    }
    println!("\n{}", shown.note);
}

fn mib(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1u32 << 20);
    if mib < 99.95 { format!("{mib:.1}") } else { format!("{mib:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_read_as_people_write_them() {
        assert_eq!(bytes("8GiB"), Ok(8 << 30));
        assert_eq!(bytes("1.5 gb"), Ok(1_500_000_000));
        assert_eq!(bytes("512MiB"), Ok(512 << 20));
        assert_eq!(bytes("100"), Ok(100));
        for wrong in ["8 bananas", "GiB", "-1GiB", "0", "nan"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }
}
