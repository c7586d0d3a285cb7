//! The network of either size against the original's goldens 03 to 05.

use super::body::{made_up_body, params};
use super::check::{Bound, Check, EXACT, Ledger, Size, Stage};
use super::golden::{Golden, Set, values};
use super::{ParityError, formula};
use crate::body::Body;
use crate::geometry::Vec3;
use crate::hmr2::camera::{FOCAL, point_in_crop, translation_in_crop};
use crate::hmr2::{Config, Network, Precision, Prediction};
use crate::memory::heap::{self, Stretch};
use candle_core::{Device, Tensor};
use candle_nn::VarBuilder;
use serde::Serialize;
use std::time::Instant;

/// What a network cost that was held against its goldens.
#[derive(Debug, Clone, Serialize)]
pub struct Cost {
    pub set: String,
    pub size: Size,
    pub precision: Precision,
    pub weights_bytes: u64,
    /// From the formula to tensors in the network's precision.
    pub fill_secs: f64,
    /// From tensors to a network.
    pub load_secs: f64,
    /// All forward passes, bodies included.
    pub run_secs: f64,
    /// Most that the heap held beyond what it held before, weights included; `None` where it is not counted.
    pub heap_peak_bytes: Option<u64>,
}

/// What may be off, by what is compared.
///
/// In single precision these are as tight as keeps a wrong epsilon or another GELU out. Half precision is
/// rounded: on a CPU what every layer hands on is, on a graphics card every operator's result. The bounds
/// are twice the largest that was seen of either size, the cards' with candle's operators on a CPU. Matrices
/// in bf16 keep the cards' bound on a CPU too: one joint's six numbers are nearly parallel, and its matrix turns
/// with the last bit.
struct Allowed {
    /// The backbone's result.
    features: f64,
    /// Tokens on the way to it.
    tokens: f64,
    /// What the decoder's layers say.
    layers: f64,
    /// Pose of six numbers a joint, betas, camera.
    numbers: f64,
    matrices: f64,
    /// Vertices and joints, metres.
    metres: f64,
    /// Joints in the crop, in its side.
    in_crop: f64,
    /// The body's place before the crop's camera, metres.
    place: f64,
}

impl Allowed {
    fn of(precision: Precision, size: Size, on_cpu: bool) -> Allowed {
        let backbone = if size == Size::Small { 3e-5 } else { 5e-5 };
        let in_order = match (precision, on_cpu) {
            (Precision::F32, _) => [backbone, backbone, 2e-5, 2e-5, 5e-5, 5e-5, 5e-5, 2e-3],
            (Precision::F16, true) => [1.9e-2, 1.4e-2, 2.5e-2, 7.9e-3, 2.4e-2, 1.3e-2, 3.1e-3, 2.5e-2],
            (Precision::F16, false) => [3.4e-2, 2.7e-2, 3.7e-2, 1.7e-2, 3.6e-2, 3.5e-2, 3.3e-3, 6.7e-2],
            (Precision::Bf16, true) => [1.5e-1, 9.3e-2, 1.7e-1, 7.1e-2, 3.2e-1, 6.5e-2, 1.6e-2, 8.7e-2],
            (Precision::Bf16, false) => [3.2e-1, 2.9e-1, 2.7e-1, 2.4e-1, 3.2e-1, 2.9e-1, 5.1e-2, 6.5e-1],
        };
        let [features, tokens, layers, numbers, matrices, metres, in_crop, place] = in_order;
        Allowed { features, tokens, layers, numbers, matrices, metres, in_crop, place }
    }
}

/// Holds the network of `size` against the goldens of `set`, on `device` and in `precision`. `told` hears
/// each comparison as it is made.
///
/// # Errors
/// If a golden is missing, or the device fails or has no room.
pub fn network(
    set: &Set,
    size: Size,
    device: &Device,
    precision: Precision,
    told: &mut dyn FnMut(&Check),
) -> Result<(Vec<Check>, Cost), ParityError> {
    let (config, batch) = match size {
        Size::Small => (formula::small(), 2),
        Size::Full => (Config::hmr2(), 1),
    };
    let dtype = precision.dtype();
    let stretch = Stretch::begin();
    let began = Instant::now();
    let weights = formula::weights(&set.name, &config, dtype, device)?;
    let fill_secs = began.elapsed().as_secs_f64();
    let began = Instant::now();
    let network = Network::load(&config, VarBuilder::from_tensors(weights, dtype, device))?;
    let load_secs = began.elapsed().as_secs_f64();
    let began = Instant::now();
    let mut parity = Parity {
        set,
        size,
        batch,
        network,
        input: |name: &str, shape: &[usize], scale: f64| {
            let filled = formula::tensor(&set.hashed(&format!("input/{name}")), shape, &[0.0], scale)?;
            Ok(filled.to_dtype(dtype)?.to_device(device)?)
        },
        allowed: Allowed::of(precision, size, device.is_cpu()),
        ledger: Ledger::new(set, told).of_network(size, precision),
    };
    parity.backbone()?;
    parity.head(config.backbone.dim)?;
    parity.whole()?;
    let cost = Cost {
        set: set.name.clone(),
        size,
        precision,
        weights_bytes: (config.parameters() * dtype.size_in_bytes()) as u64,
        fill_secs,
        load_secs,
        run_secs: began.elapsed().as_secs_f64(),
        heap_peak_bytes: heap::is_counting().then(|| stretch.peak_bytes()),
    };
    Ok((parity.ledger.finish(), cost))
}

/// A network under comparison.
struct Parity<'a, I> {
    set: &'a Set,
    size: Size,
    batch: usize,
    network: Network,
    /// Makes an input of the formula: name, shape, scale.
    input: I,
    allowed: Allowed,
    ledger: Ledger<'a>,
}

impl<I: Fn(&str, &[usize], f64) -> Result<Tensor, ParityError>> Parity<'_, I> {
    fn golden(&self, stage: Stage, name: &str) -> Result<Golden, ParityError> {
        self.set.golden(stage, &format!("{name}_{}", self.size.name()))
    }

    fn close(&mut self, golden: &Golden, key: &str, got: &Tensor, allowed: f64) -> Result<(), ParityError> {
        self.ledger.close(golden, key, &values(got)?, Bound::Absolute(allowed), "")
    }

    fn backbone(&mut self) -> Result<(), ParityError> {
        let golden = self.golden(Stage::Backbone, "03_vit")?;
        let name = format!("vit_{}.x", self.size.name());
        let pixels = (self.input)(&name, &[self.batch, 3, 256, 192], 2.0)?;
        let mut seen = Seen::default();
        let wanted = |name: &str| {
            let stored = golden.has(&format!("{name}_b0")) || golden.has(&format!("{name}_tok7"));
            stored || golden.find(&format!("/block_stats/{name}")).is_some()
        };
        let mut watch = |name: &str, tensor: &Tensor| {
            if wanted(name) {
                seen.look(name, tensor);
            }
        };
        let features = self.network.backbone().forward(&pixels, &mut watch)?;
        drop(pixels);
        let width = features.dim(1)?;
        for (name, tokens) in seen.0? {
            self.tokens(&golden, &name, &tokens, width)?;
        }
        match self.size {
            Size::Small => self.close(&golden, "out", &features, self.allowed.features),
            Size::Full => {
                let every_fifth: Vec<u32> = (0..width as u32).step_by(5).collect();
                let some = features.index_select(&Tensor::new(every_fifth, features.device())?, 1)?;
                self.close(&golden, "out_c5", &some, self.allowed.features)
            }
        }
    }

    /// Tokens on the way, `(batch, tokens, width)`: of the first crop, of every seventh token, or what is
    /// told of all of them.
    fn tokens(
        &mut self,
        golden: &Golden,
        name: &str,
        tokens: &[f32],
        width: usize,
    ) -> Result<(), ParityError> {
        let bound = Bound::Absolute(self.allowed.tokens);
        let first = &tokens[..tokens.len() / self.batch];
        let (of_first, of_some) = (format!("{name}_b0"), format!("{name}_tok7"));
        if golden.has(&of_first) {
            self.ledger.close(golden, &of_first, first, bound, "")?;
        }
        if golden.has(&of_some) {
            let some: Vec<f32> = first.chunks_exact(width).step_by(7).flatten().copied().collect();
            self.ledger.close(golden, &of_some, &some, bound, "")?;
        }
        let stats = format!("/block_stats/{name}");
        if golden.find(&stats).is_some() {
            let wanted: Vec<f64> = ["mean", "std", "min", "max"]
                .into_iter()
                .map(|of| golden.number(&format!("{stats}/{of}")))
                .collect::<Result<_, _>>()?;
            let what = format!("{name}: mean, deviation, least, most");
            self.ledger.numbers(
                golden,
                &what,
                &told_of(tokens),
                &wanted,
                Bound::Relative(self.allowed.tokens),
                "",
            )?;
        }
        Ok(())
    }

    fn head(&mut self, context: usize) -> Result<(), ParityError> {
        let golden = self.golden(Stage::Head, "04_head")?;
        let name = format!("head_{}.x", self.size.name());
        let features = (self.input)(&name, &[self.batch, context, 16, 12], 1.7)?;
        let mut seen = Seen::default();
        let mut watch = |name: &str, tensor: &Tensor| {
            if golden.has(name) {
                seen.look(name, tensor);
            }
        };
        let body = self.network.head().forward(&features, &mut watch)?;
        for (name, said) in seen.0? {
            self.ledger.close(&golden, &name, &said, Bound::Absolute(self.allowed.layers), "")?;
        }
        self.close(&golden, "pose6d", &body.pose6d, self.allowed.numbers)?;
        self.predicted(&golden, &body, "cam")
    }

    /// Betas, camera and matrices, which both the head's golden and the network's have.
    fn predicted(&mut self, golden: &Golden, body: &Prediction, camera: &str) -> Result<(), ParityError> {
        let Allowed { numbers, matrices, .. } = self.allowed;
        self.close(golden, "betas", &body.betas, numbers)?;
        self.close(golden, camera, &body.camera, numbers)?;
        self.close(golden, "global_orient", &body.rotations.narrow(1, 0, 1)?, matrices)?;
        self.close(golden, "body_pose", &body.rotations.narrow(1, 1, 23)?, matrices)
    }

    fn whole(&mut self) -> Result<(), ParityError> {
        let golden = self.golden(Stage::Network, "05_hmr2")?;
        let name = format!("hmr2_{}.img", self.size.name());
        let crops = (self.input)(&name, &[self.batch, 3, 256, 256], 2.0)?;
        let prediction = self.network.forward(&crops)?;
        self.predicted(&golden, &prediction, "pred_cam")?;
        self.bodies(&golden, &prediction, &made_up_body(self.set)?)
    }

    /// What HMR2 makes of a prediction: a body, its place before the crop's camera, points in the crop.
    fn bodies(&mut self, golden: &Golden, prediction: &Prediction, body: &Body) -> Result<(), ParityError> {
        let rotations = |from, count| values(&prediction.rotations.narrow(1, from, count)?);
        let params = params(&values(&prediction.betas)?, &rotations(0, 1)?, &rotations(1, 23)?);
        let cameras = values(&prediction.camera)?;
        let (mut places, mut vertices, mut joints, mut points) = (vec![], vec![], vec![], vec![]);
        for (params, &camera) in params.iter().zip(cameras.as_chunks().0) {
            let posed = body.pose(params);
            let place: Vec3 = translation_in_crop(camera, 256);
            points.extend(posed.joints44.iter().map(|&joint| point_in_crop(joint, place)));
            places.push(place);
            vertices.extend(posed.vertices);
            joints.extend(posed.joints44);
        }
        let Allowed { metres, in_crop, place, .. } = self.allowed;
        let [metres, in_crop, place] = [metres, in_crop, place].map(Bound::Absolute);
        let ledger = &mut self.ledger;
        ledger.close(golden, "pred_cam_t", places.as_flattened(), place, "m")?;
        ledger.close(golden, "focal_length", &vec![FOCAL; 2 * places.len()], EXACT, "px")?;
        ledger.close(golden, "pred_vertices", vertices.as_flattened(), metres, "m")?;
        ledger.close(golden, "pred_keypoints_3d", joints.as_flattened(), metres, "m")?;
        ledger.close(golden, "pred_keypoints_2d", points.as_flattened(), in_crop, "crops")
    }
}

/// What was shown on the way. Values are copied at once: a network may go on in the same buffers.
struct Seen(Result<Vec<(String, Vec<f32>)>, ParityError>);

impl Default for Seen {
    fn default() -> Seen {
        Seen(Ok(Vec::new()))
    }
}

impl Seen {
    fn look(&mut self, name: &str, tensor: &Tensor) {
        match (&mut self.0, values(tensor)) {
            (Ok(seen), Ok(values)) => seen.push((name.to_string(), values)),
            (Ok(_), Err(error)) => self.0 = Err(error),
            (Err(_), _) => {}
        }
    }
}

/// Mean, deviation, least and most.
fn told_of(values: &[f32]) -> [f64; 4] {
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
    fn the_small_network_is_the_published_one_in_half_precision() {
        let set = Set::at(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/hmr2/a"));
        for precision in [Precision::F16, Precision::Bf16] {
            let (checks, cost) = network(&set, Size::Small, &Device::Cpu, precision, &mut |_| ()).unwrap();
            assert_eq!((checks.len(), cost.weights_bytes), (26, 2 * formula::small().parameters() as u64));
            for check in checks {
                assert!(check.passed(), "{check:?}");
                assert!(check.largest > 0.0 || check.what == "focal_length", "{check:?}");
            }
        }
    }

    #[test]
    fn a_list_is_told_of() {
        assert_eq!(told_of(&[1.0, 3.0, 5.0, 7.0]), [4.0, 5f64.sqrt(), 1.0, 7.0]);
    }
}
