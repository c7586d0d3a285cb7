//! The network of either size against the original's goldens 03 to 05.

use super::golden::{Distance, Golden};
use super::{ParityError, formula};
use crate::hmr2::{Config, Network, Precision};
use candle_core::{Device, Tensor};
use candle_nn::VarBuilder;
use serde::Serialize;
use std::path::Path;

/// Which of the goldens' networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Size {
    /// Three blocks of 64: a second.
    Small,
    /// HMR2 as published, ViT-H: 2.7 GB of single precision.
    Full,
}

/// One comparison.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    pub set: String,
    pub size: Size,
    pub precision: Precision,
    /// What was compared: golden and tensor.
    pub what: String,
    /// Largest absolute difference.
    pub largest: f64,
    /// Root mean square of the differences, over that of the values.
    pub relative: f64,
    /// What `largest` may be.
    pub tolerance: f64,
}

impl Check {
    pub fn passed(&self) -> bool {
        self.largest <= self.tolerance
    }
}

/// What may be off, for each precision: features, numbers of the head, rotation matrices.
///
/// In single precision these are as tight as keeps a wrong epsilon or another GELU out. Half precision
/// rounds every product and sum; its bounds are twice the largest that was seen of either size on a CPU.
fn tolerances(precision: Precision, size: Size) -> [f64; 3] {
    match (precision, size) {
        (Precision::F32, Size::Small) => [3e-5, 2e-5, 5e-5],
        (Precision::F32, Size::Full) => [5e-5, 2e-5, 5e-5],
        (Precision::F16, _) => [3.4e-2, 1.7e-2, 3.6e-2],
        (Precision::Bf16, _) => [3.2e-1, 2.4e-1, 3.2e-1],
    }
}

/// Holds the network of `size` against the goldens in `folder` (`.../hmr2/<set>`), on `device` and in
/// `precision`. `told` hears each comparison as it is made.
///
/// # Errors
/// If a golden is missing, or the device fails or has no room.
pub fn check(
    folder: &Path,
    size: Size,
    device: &Device,
    precision: Precision,
    told: &mut dyn FnMut(&Check),
) -> Result<Vec<Check>, ParityError> {
    let set = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (config, ending, batch) = match size {
        Size::Small => (formula::small(), "small", 2),
        Size::Full => (Config::hmr2(), "full", 1),
    };
    let dtype = precision.dtype();
    let weights = formula::weights(&set, &config, dtype, device)?;
    let network = Network::load(&config, VarBuilder::from_tensors(weights, dtype, device))?;
    let [of_features, of_numbers, of_matrices] = tolerances(precision, size);
    let input = |name: &str, shape: &[usize], scale: f64| -> candle_core::Result<Tensor> {
        let filled =
            formula::tensor(&format!("{set}/input/{name}_{ending}.{}", last(name)), shape, &[0.0], scale)?;
        filled.to_dtype(dtype)?.to_device(device)
    };
    let mut checks = Vec::new();
    let mut compare = |golden: &Golden, name: &str, key: &str, got: &Tensor, tolerance: f64| {
        let Distance { largest, relative } = golden.distance(key, got)?;
        let what = format!("{name}_{ending} {key}");
        let check = Check { set: set.clone(), size, precision, what, largest, relative, tolerance };
        told(&check);
        checks.push(check);
        Ok::<(), ParityError>(())
    };

    let golden = Golden::read(folder, &format!("03_vit_{ending}"))?;
    let pixels = input("vit", &[batch, 3, 256, 192], 2.0)?;
    let features = network.backbone().forward(&pixels, &mut |_, _| ())?;
    match size {
        Size::Small => compare(&golden, "03_vit", "out", &features, of_features)?,
        Size::Full => {
            let every_fifth: Vec<u32> = (0..features.dim(1)? as u32).step_by(5).collect();
            let some = features.index_select(&Tensor::new(every_fifth, device)?, 1)?;
            compare(&golden, "03_vit", "out_c5", &some, of_features)?;
        }
    }
    drop((pixels, features));

    let golden = Golden::read(folder, &format!("04_head_{ending}"))?;
    let features = input("head", &[batch, config.backbone.dim, 16, 12], 1.7)?;
    let body = network.head().forward(&features, &mut |_, _| ())?;
    for (key, got, tolerance) in [
        ("pose6d", &body.pose6d, of_numbers),
        ("betas", &body.betas, of_numbers),
        ("cam", &body.camera, of_numbers),
        ("body_pose", &body.rotations.narrow(1, 1, 23)?, of_matrices),
    ] {
        compare(&golden, "04_head", key, got, tolerance)?;
    }

    let golden = Golden::read(folder, &format!("05_hmr2_{ending}"))?;
    let crops = input("hmr2", &[batch, 3, 256, 256], 2.0)?;
    let body = network.forward(&crops)?;
    for (key, got, tolerance) in [
        ("pred_cam", &body.camera, of_numbers),
        ("betas", &body.betas, of_numbers),
        ("global_orient", &body.rotations.narrow(1, 0, 1)?, of_matrices),
        ("body_pose", &body.rotations.narrow(1, 1, 23)?, of_matrices),
    ] {
        compare(&golden, "05_hmr2", key, got, tolerance)?;
    }
    Ok(checks)
}

/// The last part of an input's name: pictures are `x`, but the whole network's are `img`.
fn last(name: &str) -> &'static str {
    if name == "hmr2" { "img" } else { "x" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/hmr2/a")
    }

    #[test]
    fn the_small_network_is_the_published_one_in_every_precision() {
        for precision in [Precision::F32, Precision::F16, Precision::Bf16] {
            let checks = check(&folder(), Size::Small, &Device::Cpu, precision, &mut |_| ()).unwrap();
            assert_eq!(checks.len(), 9);
            for check in checks {
                assert!(check.passed(), "{check:?}");
                assert!(check.largest > 0.0, "{check:?}");
            }
        }
    }

    #[test]
    fn a_missing_folder_is_told() {
        let nowhere = Path::new("nowhere/a");
        let error = check(nowhere, Size::Small, &Device::Cpu, Precision::F32, &mut |_| ()).unwrap_err();
        assert!(error.to_string().contains("03_vit_small"), "{error}");
    }
}
