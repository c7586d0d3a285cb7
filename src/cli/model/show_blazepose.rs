//! `posebook model show` for BlazePose: dimensions, operations and memory.

use anyhow::Result;
use posebook_models::blazepose::{Footprint, Variant};
use posebook_models::recovery::ModelSet;
use serde::Serialize;

/// The properties of a model set.
#[derive(Serialize)]
struct NetworkReport {
    name: String,
    description: String,
    weights: String,
    variant: Variant,
    image_size: usize,
    parameters: usize,
    flop_per_crop: u64,
    /// Heap on the CPU: the weights, and the buffers of each crop that is processed in parallel.
    weights_bytes: u64,
    crop_bytes: u64,
}

/// Prints the properties of the network.
///
/// # Errors
/// If they cannot be serialized.
pub fn run(set: &ModelSet, variant: Variant, json: bool) -> Result<()> {
    let Footprint { weights_bytes, crop_bytes } = Footprint::from_variant(variant);
    let report = NetworkReport {
        name: set.name.clone(),
        description: set.description.clone(),
        weights: set.weights.identity(),
        variant,
        image_size: set.architecture.image_size(),
        parameters: variant.parameter_count(),
        flop_per_crop: set.architecture.flop_per_crop(),
        weights_bytes,
        crop_bytes,
    };
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
        return Ok(());
    }
    println!("{}: {}", report.name, report.description);
    println!("    crops of {0} x {0} pixels", report.image_size);
    println!(
        "    {:.2} million parameters, {:.2} GFLOP per crop",
        report.parameters as f64 / 1e6,
        report.flop_per_crop as f64 / 1e9
    );
    let mib = |bytes: u64| bytes as f64 / f64::from(1u32 << 20);
    println!(
        "    heap on the CPU: {:.1} MiB of weights and {:.1} MiB per thread, which processes one crop at a time",
        mib(weights_bytes),
        mib(crop_bytes)
    );
    println!("    weights: {}", report.weights);
    Ok(())
}
