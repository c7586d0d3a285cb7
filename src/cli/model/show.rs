//! `posebook model show`: prints a network's dimensions, the memory of a forward pass and the largest batch that fits.

use super::super::experiment::project;
use super::super::parity::precision;
use anyhow::{Context, Result, ensure};
use candle_core::{Device, Tensor};
use posebook_core::frame::FrameSize;
use posebook_core::memory::heap::{self, HeapInterval};
use posebook_models::detect::mask_rcnn::Architecture as DetectorArchitecture;
use posebook_models::hmr2::Footprint;
use posebook_models::hmr2::{Config, Precision};
use posebook_models::recovery::{Architecture, DetectorSet, HMR2_MODEL_SET, ModelSet, RecoveryError};
use serde::Serialize;
use std::path::Path;

/// A model set with the dimensions of the published network and weights from a formula.
const BY_FORMULA: &str = "hmr2-formula";
/// Longest side of an image.
const MAX_SIDE: usize = 1 << 16;
/// Batch sizes whose peaks are reported.
const BATCHES: [usize; 5] = [1, 2, 4, 8, 16];
const NOTE: &str = "peaks are of the heap in a forward pass on the CPU; a GPU holds the same buffers, plus rounding \
                    by the memory pool and workspaces of libraries";

#[derive(clap::Args)]
pub struct Args {
    /// A name in `models/`
    name: String,
    /// Available memory, separated by commas: 8GiB, 6000MB
    #[arg(long, value_name = "BYTES", value_delimiter = ',', value_parser = bytes, default_value = "4GiB,8GiB,16GiB,24GiB")]
    pub budget: Vec<u64>,
    /// Also run forward passes with these batch sizes, separated by commas, and measure their heap; of a detector, passes over
    /// one image of each size
    #[arg(long, value_name = "CROPS", value_delimiter = ',', num_args = 0.., default_missing_value = "1,2,4")]
    pub measure: Option<Vec<usize>>,
    /// Precisions, separated by commas: f32, bf16, f16
    #[arg(long, value_delimiter = ',', value_parser = precision, default_value = "f32,bf16,f16")]
    pub precision: Vec<Precision>,
    /// Sizes of the images of a detector, separated by commas
    #[arg(long, value_name = "WIDTHxHEIGHT", value_delimiter = ',', value_parser = image_size, default_value = "640x480,1280x720,1920x1080")]
    pub image: Vec<FrameSize>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Parses the size of an image.
fn image_size(text: &str) -> Result<FrameSize, String> {
    let side = |side: &str| side.trim().parse().ok().filter(|side| (1..=MAX_SIDE).contains(side));
    let sides = text.split_once('x').and_then(|(width, height)| Some((side(width)?, side(height)?)));
    let (width, height) =
        sides.ok_or_else(|| format!("`{text}` is not the size of an image; write 1920x1080"))?;
    Ok(FrameSize { width, height })
}

/// Parses a number of bytes with an optional unit.
fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kib" => 1024.0,
        "mb" => 1e6,
        "mib" => f64::from(1u32 << 20),
        "gb" => 1e9,
        "gib" => f64::from(1u32 << 30),
        other => return Err(format!("`{other}` is not a unit; write 8GiB, 8GB, 8192MiB or bytes")),
    };
    let number: f64 = digits.trim().parse().map_err(|_| format!("`{text}` is not a number of bytes"))?;
    if number.is_finite() && number > 0.0 {
        Ok((number * unit) as u64)
    } else {
        Err("the number of bytes must be above 0".into())
    }
}

/// The properties of a model set.
#[derive(Serialize)]
struct NetworkReport {
    name: String,
    description: String,
    weights: String,
    architecture: Config,
    parameters: usize,
    tokens: usize,
    flop_per_crop: u64,
    precisions: Vec<PrecisionReport>,
    note: &'static str,
}

#[derive(Serialize)]
struct PrecisionReport {
    precision: Precision,
    weights_bytes: u64,
    /// Memory besides the weights: a constant, and a part per crop, at the time of the peak of large batches.
    fixed_bytes: u64,
    crop_bytes: u64,
    worst_moment: &'static str,
    peaks: Vec<BatchPeak>,
    largest_batches: Vec<LargestBatch>,
}

#[derive(Serialize)]
struct BatchPeak {
    batch: usize,
    model_bytes: u64,
    /// `None` if it was not measured.
    measured_bytes: Option<u64>,
}

#[derive(Serialize)]
struct LargestBatch {
    budget_bytes: u64,
    /// `None` if not even one crop fits.
    batch: Option<usize>,
}

/// The detector set that `args` names, if it names one.
pub fn detector_set(args: &Args) -> Result<Option<DetectorSet>> {
    find_detector(&project()?.root.join("models"), &args.name)
}

pub fn run(args: &Args) -> Result<()> {
    let folder = project()?.root.join("models");
    let set = find_set(&folder, &args.name)?;
    let config = match &set.architecture {
        Architecture::Hmr2(config) => config.clone(),
        Architecture::BlazePose(variant) => return super::show_blazepose::run(&set, *variant, args.json),
    };
    let batches = args.measure.clone();
    let precisions = args.precision.iter().map(|&precision| {
        let measured = batches.as_deref().map(|batches| measure(&set, precision, batches)).transpose()?;
        Ok(precision_report(&config, precision, &args.budget, &measured.unwrap_or_default()))
    });
    let report = NetworkReport {
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
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report);
    }
    Ok(())
}

/// Finds the detector `name`; `None` if the name is that of another set. If a published one is not imported, weights by formula
/// have the same dimensions.
fn find_detector(folder: &Path, name: &str) -> Result<Option<DetectorSet>> {
    let text = std::fs::read_to_string(folder.join(format!("{name}.toml")));
    let is_published = DetectorArchitecture::ALL.iter().any(|architecture| architecture.name() == name);
    match text {
        Ok(text) if DetectorSet::is_text_of_set(&text) => Ok(Some(DetectorSet::find(folder, name)?)),
        Err(_) if is_published => {
            let by_formula = format!("{name}-formula");
            eprintln!(
                "{name} is not imported (`posebook model import {name}`); showing {by_formula}, which has the same dimensions:"
            );
            Ok(Some(DetectorSet::find(folder, &by_formula)?))
        }
        _ => Ok(None),
    }
}

/// Finds the model set `name`. If the published one is not imported, a set with the same dimensions is used.
fn find_set(folder: &Path, name: &str) -> Result<ModelSet> {
    match ModelSet::find(folder, name) {
        Err(RecoveryError::Unknown { .. }) if name == HMR2_MODEL_SET => {
            eprintln!(
                "{HMR2_MODEL_SET} is not imported (`posebook model import {HMR2_MODEL_SET}`); showing {BY_FORMULA}, which has the same dimensions:"
            );
            Ok(ModelSet::find(folder, BY_FORMULA)?)
        }
        result => Ok(result?),
    }
}

fn precision_report(
    config: &Config,
    precision: Precision,
    budgets: &[u64],
    measured: &[(usize, u64)],
) -> PrecisionReport {
    let footprint = Footprint::new(config, precision);
    let mut batches: Vec<usize> =
        BATCHES.into_iter().chain(measured.iter().map(|(batch, _)| *batch)).collect();
    batches.sort_unstable();
    batches.dedup();
    let peak = |batch: usize| BatchPeak {
        batch,
        model_bytes: footprint.peak_bytes(batch),
        measured_bytes: measured.iter().find(|(known, _)| *known == batch).map(|(_, bytes)| *bytes),
    };
    let largest =
        |&budget_bytes: &u64| LargestBatch { budget_bytes, batch: footprint.largest_batch(budget_bytes) };
    let worst = footprint.peak_phase(*batches.last().unwrap_or(&1));
    PrecisionReport {
        precision,
        weights_bytes: footprint.weights_bytes,
        fixed_bytes: worst.fixed_bytes,
        crop_bytes: worst.crop_bytes,
        worst_moment: worst.name,
        peaks: batches.into_iter().map(peak).collect(),
        largest_batches: budgets.iter().map(largest).collect(),
    }
}

/// Measures the heap's peaks of forward passes with these batch sizes, weights included. A first pass, in which libraries
/// allocate their buffers, is not counted.
fn measure(set: &ModelSet, precision: Precision, batches: &[usize]) -> Result<Vec<(usize, u64)>> {
    ensure!(heap::is_counting(), "this program does not count its heap");
    let before = heap::current_bytes();
    let network = set.load_network(precision, &Device::Cpu)?;
    let side = set.architecture.image_size();
    let pass = |batch: usize| -> Result<u64> {
        let interval = HeapInterval::start();
        let crops =
            Tensor::zeros((batch, 3, side, side), posebook_models::nn::dtype(precision), &Device::Cpu)?;
        network.forward(&crops).with_context(|| format!("{batch} crops in {}", precision.name()))?;
        Ok(interval.peak_bytes())
    };
    let held = heap::current_bytes().saturating_sub(before);
    pass(1)?;
    batches.iter().map(|&batch| Ok((batch, held + pass(batch)?))).collect()
}

fn print(report: &NetworkReport) {
    let Config { image_size, backbone, head } = &report.architecture;
    println!("{}: {}", report.name, report.description);
    let patch = backbone.patch_size;
    println!(
        "    crops of {image_size} x {image_size} pixels, {} tokens of {patch} x {patch} pixels",
        report.tokens
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
        "    {:.2} million parameters, {:.1} GFLOP of matrix products per crop",
        report.parameters as f64 / 1e6,
        report.flop_per_crop as f64 / 1e9
    );
    println!("    weights: {}\n", report.weights);
    println!("peak = weights + a + b x batch size, MiB");
    let batches: Vec<usize> =
        report.precisions.first().iter().flat_map(|precision| &precision.peaks).map(|p| p.batch).collect();
    let columns: String = batches.iter().map(|batch| format!("{batch:>10}")).collect();
    println!("{:<10}{:>9}{:>8}{:>8}{columns}  worst moment", "precision", "weights", "a", "b");
    for precision in &report.precisions {
        let peaks: String =
            precision.peaks.iter().map(|peak| format!("{:>10}", mib(peak.model_bytes))).collect();
        println!(
            "{:<10}{:>9}{:>8}{:>8}{peaks}  {}",
            precision.precision.name(),
            mib(precision.weights_bytes),
            mib(precision.fixed_bytes),
            mib(precision.crop_bytes),
            precision.worst_moment
        );
        if precision.peaks.iter().any(|peak| peak.measured_bytes.is_some()) {
            let each = |peak: &BatchPeak| format!("{:>10}", peak.measured_bytes.map_or("-".into(), mib));
            let peaks: String = precision.peaks.iter().map(each).collect();
            println!("{:<35}{peaks}", "  measured");
        }
    }
    println!("\nlargest batch that fits");
    let budgets: Vec<String> = report
        .precisions
        .first()
        .iter()
        .flat_map(|precision| &precision.largest_batches)
        .map(|largest| format!("{:>12}", format!("{} MiB", mib(largest.budget_bytes))))
        .collect();
    println!("{:<10}{}", "precision", budgets.concat());
    for precision in &report.precisions {
        let each =
            |largest: &LargestBatch| largest.batch.map_or("none".to_string(), |batch| batch.to_string());
        let batches: String =
            precision.largest_batches.iter().map(|largest| format!("{:>12}", each(largest))).collect();
        println!("{:<10}{batches}", precision.precision.name());
    }
    println!("\n{}", report.note);
}

/// Bytes in MiB.
pub fn mib(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1u32 << 20);
    if mib < 99.95 { format!("{mib:.1}") } else { format!("{mib:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_images_are_parsed() {
        assert_eq!(image_size("1920x1080"), Ok(FrameSize { width: 1920, height: 1080 }));
        for wrong in ["1920", "0x10", "10x", "axb", "1x99999999"] {
            assert!(image_size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn budgets_are_parsed_with_units() {
        assert_eq!(bytes("8GiB"), Ok(8 << 30));
        assert_eq!(bytes("1.5 gb"), Ok(1_500_000_000));
        assert_eq!(bytes("512MiB"), Ok(512 << 20));
        assert_eq!(bytes("100"), Ok(100));
        for wrong in ["8 bananas", "GiB", "-1GiB", "0", "nan"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }
}
