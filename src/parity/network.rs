//! Compares the network, of either size, with goldens 03 to 05.

use super::ParityError;
use super::body::{params, synthetic_body};
use super::check::{Check, CheckRecorder, EXACT, NetworkSize, Stage, Tolerance};
use super::golden::{Golden, GoldenSet, values};
use candle_core::{Device, Tensor};
use candle_nn::VarBuilder;
use posebook_core::geometry::Vec3;
use posebook_core::memory::heap::{self, HeapInterval};
use posebook_models::body::Body;
use posebook_models::hmr2::camera::{FOCAL_LENGTH, project_to_crop, translation_in_crop};
use posebook_models::hmr2::{Config, Network, Precision, Prediction, formula};
use serde::Serialize;
use std::time::Instant;

/// Time and memory of a network's comparison.
#[derive(Debug, Clone, Serialize)]
pub struct ComparisonCost {
    /// Name of the golden set.
    pub set: String,
    /// Size of the network.
    pub size: NetworkSize,
    /// Its precision.
    pub precision: Precision,
    /// Bytes of the weights.
    pub weights_bytes: u64,
    /// Seconds to fill the weights by the formula.
    pub fill_secs: f64,
    /// Seconds to build the network from tensors.
    pub load_secs: f64,
    /// Seconds of all forward passes, including bodies.
    pub run_secs: f64,
    /// Peak increase of the heap, including weights; `None` where the heap is not counted.
    pub heap_peak_bytes: Option<u64>,
}

/// Absolute tolerances by what is compared.
///
/// In single precision they are tight enough to detect a wrong epsilon or an approximated GELU. In half precision,
/// every layer's result is rounded on a CPU, and every operator's on a GPU. The bounds are twice the largest
/// deviation that was observed for either size; those for GPUs were measured with candle's operators on a CPU.
/// Rotation matrices in bf16 have the GPU's bound on a CPU, too: the 6D vectors of one joint are nearly parallel, so
/// its matrix is ill-conditioned.
struct Tolerances {
    /// The backbone's output.
    features: f64,
    /// Tokens of its blocks.
    tokens: f64,
    /// Outputs of the decoder's layers.
    layers: f64,
    /// 6D pose, betas, camera.
    numbers: f64,
    /// Rotation matrices.
    matrices: f64,
    /// Vertices and joints, meters.
    meters: f64,
    /// Joints in the crop, relative to its side.
    in_crop: f64,
    /// Translation relative to the crop's camera, meters.
    translation: f64,
}

impl Tolerances {
    fn new(precision: Precision, size: NetworkSize, on_cpu: bool) -> Tolerances {
        let backbone = if size == NetworkSize::Small { 3e-5 } else { 5e-5 };
        let in_order = match (precision, on_cpu) {
            (Precision::F32, _) => [backbone, backbone, 2e-5, 2e-5, 5e-5, 5e-5, 5e-5, 2e-3],
            (Precision::F16, true) => [1.9e-2, 1.4e-2, 2.5e-2, 7.9e-3, 2.4e-2, 1.3e-2, 3.1e-3, 2.5e-2],
            (Precision::F16, false) => [3.4e-2, 2.7e-2, 3.7e-2, 1.7e-2, 3.6e-2, 3.5e-2, 3.3e-3, 6.7e-2],
            (Precision::Bf16, true) => [1.5e-1, 9.3e-2, 1.7e-1, 7.1e-2, 3.2e-1, 6.5e-2, 1.6e-2, 8.7e-2],
            (Precision::Bf16, false) => [3.2e-1, 2.9e-1, 2.7e-1, 2.4e-1, 3.2e-1, 2.9e-1, 5.1e-2, 6.5e-1],
        };
        let [features, tokens, layers, numbers, matrices, meters, in_crop, translation] = in_order;
        Tolerances { features, tokens, layers, numbers, matrices, meters, in_crop, translation }
    }
}

/// Compares the network of `size` with the goldens of `set`, on `device` and in `precision`. `on_check` receives each
/// result.
///
/// # Errors
/// If a golden is missing, or the device fails or has not enough memory.
pub fn check_network(
    set: &GoldenSet,
    size: NetworkSize,
    device: &Device,
    precision: Precision,
    on_check: &mut dyn FnMut(&Check),
) -> Result<(Vec<Check>, ComparisonCost), ParityError> {
    let (config, batch) = match size {
        NetworkSize::Small => (formula::small_config(), 2),
        NetworkSize::Full => (Config::hmr2(), 1),
    };
    let dtype = posebook_models::nn::dtype(precision);
    let interval = HeapInterval::start();
    let began = Instant::now();
    let weights = formula::weights(&set.name, &config, dtype, device)?;
    let fill_secs = began.elapsed().as_secs_f64();
    let began = Instant::now();
    let network = Network::load(&config, VarBuilder::from_tensors(weights, dtype, device))?;
    let load_secs = began.elapsed().as_secs_f64();
    let began = Instant::now();
    let mut parity = NetworkComparison {
        set,
        size,
        batch,
        network,
        input: |name: &str, shape: &[usize], scale: f64| {
            let filled = formula::tensor(&set.hashed_name(&format!("input/{name}")), shape, &[0.0], scale)?;
            Ok(filled.to_dtype(dtype)?.to_device(device)?)
        },
        tolerances: Tolerances::new(precision, size, device.is_cpu()),
        checks: CheckRecorder::new(set, on_check).with_network(size, precision),
    };
    parity.backbone()?;
    parity.head(config.backbone.dim)?;
    parity.complete_network()?;
    let cost = ComparisonCost {
        set: set.name.clone(),
        size,
        precision,
        weights_bytes: (config.parameters() * dtype.size_in_bytes()) as u64,
        fill_secs,
        load_secs,
        run_secs: began.elapsed().as_secs_f64(),
        heap_peak_bytes: heap::is_counting().then(|| interval.peak_bytes()),
    };
    Ok((parity.checks.into_checks(), cost))
}

/// A network under comparison.
struct NetworkComparison<'a, I> {
    set: &'a GoldenSet,
    size: NetworkSize,
    batch: usize,
    network: Network,
    /// Makes an input by the formula: name, shape, scale.
    input: I,
    tolerances: Tolerances,
    checks: CheckRecorder<'a>,
}

impl<I: Fn(&str, &[usize], f64) -> Result<Tensor, ParityError>> NetworkComparison<'_, I> {
    fn golden(&self, stage: Stage, name: &str) -> Result<Golden, ParityError> {
        self.set.golden(stage, &format!("{name}_{}", self.size.name()))
    }

    fn compare(
        &mut self,
        golden: &Golden,
        key: &str,
        got: &Tensor,
        tolerance: f64,
    ) -> Result<(), ParityError> {
        self.checks.compare_tensor(golden, key, &values(got)?, Tolerance::Absolute(tolerance), "")
    }

    fn backbone(&mut self) -> Result<(), ParityError> {
        let golden = self.golden(Stage::Backbone, "03_vit")?;
        let name = format!("vit_{}.x", self.size.name());
        let pixels = (self.input)(&name, &[self.batch, 3, 256, 192], 2.0)?;
        let mut activations = Activations::default();
        let is_compared = |name: &str| {
            let stored = golden.has(&format!("{name}_b0")) || golden.has(&format!("{name}_tok7"));
            stored || golden.find_metadata(&format!("/block_stats/{name}")).is_some()
        };
        let mut on_activation = |name: &str, tensor: &Tensor| {
            if is_compared(name) {
                activations.store(name, tensor);
            }
        };
        let features = self.network.backbone().forward(&pixels, &mut on_activation)?;
        drop(pixels);
        let width = features.dim(1)?;
        for (name, tokens) in activations.0? {
            self.tokens(&golden, &name, &tokens, width)?;
        }
        match self.size {
            NetworkSize::Small => self.compare(&golden, "out", &features, self.tolerances.features),
            NetworkSize::Full => {
                let every_fifth: Vec<u32> = (0..width as u32).step_by(5).collect();
                let some = features.index_select(&Tensor::new(every_fifth, features.device())?, 1)?;
                self.compare(&golden, "out_c5", &some, self.tolerances.features)
            }
        }
    }

    /// Compares the tokens of a block, `(batch, tokens, width)`: those of the first crop, every seventh of them, or
    /// statistics of all, depending on what the golden has.
    fn tokens(
        &mut self,
        golden: &Golden,
        name: &str,
        tokens: &[f32],
        width: usize,
    ) -> Result<(), ParityError> {
        let tolerance = Tolerance::Absolute(self.tolerances.tokens);
        let first = &tokens[..tokens.len() / self.batch];
        let (of_first, of_some) = (format!("{name}_b0"), format!("{name}_tok7"));
        if golden.has(&of_first) {
            self.checks.compare_tensor(golden, &of_first, first, tolerance, "")?;
        }
        if golden.has(&of_some) {
            let some: Vec<f32> = first.chunks_exact(width).step_by(7).flatten().copied().collect();
            self.checks.compare_tensor(golden, &of_some, &some, tolerance, "")?;
        }
        let stats = format!("/block_stats/{name}");
        if golden.find_metadata(&stats).is_some() {
            let expected: Vec<f64> = ["mean", "std", "min", "max"]
                .into_iter()
                .map(|name| golden.metadata_number(&format!("{stats}/{name}")))
                .collect::<Result<_, _>>()?;
            let what = format!("{name}: mean, deviation, least, most");
            self.checks.compare(
                golden,
                &what,
                &statistics(tokens),
                &expected,
                Tolerance::Relative(self.tolerances.tokens),
                "",
            )?;
        }
        Ok(())
    }

    fn head(&mut self, context: usize) -> Result<(), ParityError> {
        let golden = self.golden(Stage::Head, "04_head")?;
        let name = format!("head_{}.x", self.size.name());
        let features = (self.input)(&name, &[self.batch, context, 16, 12], 1.7)?;
        let mut activations = Activations::default();
        let mut on_activation = |name: &str, tensor: &Tensor| {
            if golden.has(name) {
                activations.store(name, tensor);
            }
        };
        let body = self.network.head().forward(&features, &mut on_activation)?;
        for (name, values) in activations.0? {
            self.checks.compare_tensor(
                &golden,
                &name,
                &values,
                Tolerance::Absolute(self.tolerances.layers),
                "",
            )?;
        }
        self.compare(&golden, "pose6d", &body.pose6d, self.tolerances.numbers)?;
        self.compare_prediction(&golden, &body, "cam")
    }

    /// Compares betas, camera and rotation matrices.
    fn compare_prediction(
        &mut self,
        golden: &Golden,
        body: &Prediction,
        camera: &str,
    ) -> Result<(), ParityError> {
        let Tolerances { numbers, matrices, .. } = self.tolerances;
        self.compare(golden, "betas", &body.betas, numbers)?;
        self.compare(golden, camera, &body.camera, numbers)?;
        self.compare(golden, "global_orient", &body.rotations.narrow(1, 0, 1)?, matrices)?;
        self.compare(golden, "body_pose", &body.rotations.narrow(1, 1, 23)?, matrices)
    }

    fn complete_network(&mut self) -> Result<(), ParityError> {
        let golden = self.golden(Stage::Network, "05_hmr2")?;
        let name = format!("hmr2_{}.img", self.size.name());
        let crops = (self.input)(&name, &[self.batch, 3, 256, 256], 2.0)?;
        let prediction = self.network.forward(&crops)?;
        self.compare_prediction(&golden, &prediction, "pred_cam")?;
        self.compare_bodies(&golden, &prediction, &synthetic_body(self.set)?)
    }

    /// Compares the posed bodies of a prediction, their translations, and their points in the crop.
    fn compare_bodies(
        &mut self,
        golden: &Golden,
        prediction: &Prediction,
        body: &Body,
    ) -> Result<(), ParityError> {
        let rotations = |from, count| values(&prediction.rotations.narrow(1, from, count)?);
        let params = params(&values(&prediction.betas)?, &rotations(0, 1)?, &rotations(1, 23)?);
        let cameras = values(&prediction.camera)?;
        let (mut translations, mut vertices, mut joints, mut points) = (vec![], vec![], vec![], vec![]);
        for (params, &camera) in params.iter().zip(cameras.as_chunks().0) {
            let posed = body.pose(params);
            let translation: Vec3 = translation_in_crop(camera, 256);
            points.extend(posed.joints44.iter().map(|&joint| project_to_crop(joint, translation)));
            translations.push(translation);
            vertices.extend(posed.vertices);
            joints.extend(posed.joints44);
        }
        let Tolerances { meters, in_crop, translation, .. } = self.tolerances;
        let [meters, in_crop, translation] = [meters, in_crop, translation].map(Tolerance::Absolute);
        let checks = &mut self.checks;
        checks.compare_tensor(golden, "pred_cam_t", translations.as_flattened(), translation, "m")?;
        checks.compare_tensor(
            golden,
            "focal_length",
            &vec![FOCAL_LENGTH; 2 * translations.len()],
            EXACT,
            "px",
        )?;
        checks.compare_tensor(golden, "pred_vertices", vertices.as_flattened(), meters, "m")?;
        checks.compare_tensor(golden, "pred_keypoints_3d", joints.as_flattened(), meters, "m")?;
        checks.compare_tensor(golden, "pred_keypoints_2d", points.as_flattened(), in_crop, "crops")
    }
}

/// Activations by name. Values are copied at once, since a network may reuse its buffers.
struct Activations(Result<Vec<(String, Vec<f32>)>, ParityError>);

impl Default for Activations {
    fn default() -> Activations {
        Activations(Ok(Vec::new()))
    }
}

impl Activations {
    fn store(&mut self, name: &str, tensor: &Tensor) {
        match (&mut self.0, values(tensor)) {
            (Ok(stored), Ok(values)) => stored.push((name.to_string(), values)),
            (Ok(_), Err(error)) => self.0 = Err(error),
            (Err(_), _) => {}
        }
    }
}

/// Mean, standard deviation, minimum and maximum.
fn statistics(values: &[f32]) -> [f64; 4] {
    let n = values.len() as f64;
    let all = || values.iter().copied().map(f64::from);
    let mean = all().sum::<f64>() / n;
    let deviation = (all().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt();
    [mean, deviation, all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_small_network_matches_the_original_in_half_precision() {
        let set = GoldenSet::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/hmr2/a"));
        for precision in [Precision::F16, Precision::Bf16] {
            let (checks, cost) =
                check_network(&set, NetworkSize::Small, &Device::Cpu, precision, &mut |_| ()).unwrap();
            assert_eq!(
                (checks.len(), cost.weights_bytes),
                (26, 2 * formula::small_config().parameters() as u64)
            );
            for check in checks {
                assert!(check.passed(), "{check:?}");
                assert!(check.largest > 0.0 || check.what == "focal_length", "{check:?}");
            }
        }
    }

    #[test]
    fn statistics_are_computed() {
        assert_eq!(statistics(&[1.0, 3.0, 5.0, 7.0]), [4.0, 5f64.sqrt(), 1.0, 7.0]);
    }
}
