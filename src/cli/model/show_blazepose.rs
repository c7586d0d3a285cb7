//! `posebook model show` of BlazePose: sizes, operations and memory.

use crate::blazepose::{Footprint, Variant};
use crate::recovery::ModelSet;
use anyhow::Result;
use serde::Serialize;

/// What is shown of a model set.
#[derive(Serialize)]
struct Shown {
    name: String,
    description: String,
    weights: String,
    variant: Variant,
    image_size: usize,
    parameters: usize,
    flop_per_crop: u64,
    /// Heap on the CPU: the weights, and what each crop adds that is computed at the same time.
    weights_bytes: u64,
    crop_bytes: u64,
}

/// Prints what is known of the network.
///
/// # Errors
/// If it cannot be written as JSON.
pub fn run(set: &ModelSet, variant: Variant, json: bool) -> Result<()> {
    let Footprint { weights_bytes, crop_bytes } = Footprint::of_variant(variant);
    let shown = Shown {
        name: set.name.clone(),
        description: set.description.clone(),
        weights: set.weights.identity(),
        variant,
        image_size: set.architecture.image_size(),
        parameters: variant.parameters(),
        flop_per_crop: set.architecture.flop_per_crop(),
        weights_bytes,
        crop_bytes,
    };
    if json {
        println!("{}", serde_json::to_string_pretty(&shown)?);
        return Ok(());
    }
    println!("{}: {}", shown.name, shown.description);
    println!("    crops of {0} x {0} pixels", shown.image_size);
    println!(
        "    {:.2} million parameters, {:.2} GFLOP a crop",
        shown.parameters as f64 / 1e6,
        shown.flop_per_crop as f64 / 1e9
    );
    let mib = |bytes: u64| bytes as f64 / f64::from(1u32 << 20);
    println!(
        "    heap on the CPU: {:.1} MiB of weights and {:.1} MiB for each crop at a time, one a thread",
        mib(weights_bytes),
        mib(crop_bytes)
    );
    println!("    weights: {}", shown.weights);
    Ok(())
}
