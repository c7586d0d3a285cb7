//! From a frame and its boxes to persons with bodies: crop, network, body, camera.

use super::camera::{SQUARE, SquareInHmar, points_in_hmar};
use super::crop::{Square, normalize};
use super::{Config, Hmr2Error, ModelSet, Network, Prediction, Settings};
use crate::body::Body;
use crate::frame::Frame;
use crate::geometry::Mat3;
use crate::nn::checkpoint;
use crate::person::{Detection, Person, SmplParams};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use rayon::prelude::*;
use std::time::Instant;

/// The network with its weights, ready for frames.
pub struct Hmr2 {
    network: Network,
    image_size: usize,
    device: Device,
    dtype: DType,
    batch: usize,
}

/// Seconds that each part of a frame took.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StageTimes {
    pub crop_secs: f64,
    pub network_secs: f64,
    pub body_secs: f64,
}

/// What [`Hmr2::recover`] found.
#[derive(Debug, Clone, PartialEq)]
pub struct Recovered {
    /// One for each detection, in their order.
    pub people: Vec<Person>,
    pub times: StageTimes,
}

impl Hmr2 {
    /// Reads a model set's weights onto a device, after holding them against the set.
    ///
    /// # Errors
    /// If the weights are missing, do not fit, or hash to something else; or if the device has no room.
    pub fn load(set: &ModelSet, device: &Device, settings: &Settings) -> Result<Hmr2, Hmr2Error> {
        set.verify()?;
        let dtype = settings.precision.dtype();
        let weights = checkpoint::read(&set.weights, &set.architecture.tensors(), dtype, device)?;
        Hmr2::new(&set.architecture, VarBuilder::from_tensors(weights, dtype, device), settings)
    }

    /// A network of any weights, on their device and in their precision.
    ///
    /// # Errors
    /// If a weight is missing or misshapen, or the settings make no sense.
    pub fn new(config: &Config, weights: VarBuilder, settings: &Settings) -> Result<Hmr2, Hmr2Error> {
        config.validate()?;
        settings.validate()?;
        let (device, dtype) = (weights.device().clone(), weights.dtype());
        let network = Network::load(config, weights)?;
        Ok(Hmr2 { network, image_size: config.image_size, device, dtype, batch: settings.batch })
    }

    /// A person for each detection of a frame, in their order, `batch` at a time.
    ///
    /// # Errors
    /// If a box is empty or no number, or the network fails.
    pub fn recover(
        &self,
        frame: &Frame,
        detections: &[Detection],
        body: &Body,
    ) -> Result<Recovered, Hmr2Error> {
        let mut people = Vec::with_capacity(detections.len());
        let mut times = StageTimes::default();
        for detections in detections.chunks(self.batch) {
            let squares = squares(frame, detections)?;
            let start = Instant::now();
            let crops = self.crops(frame, &squares)?;
            let cropped = Instant::now();
            let guesses = guesses(self.network.forward(&crops)?)?;
            drop(crops);
            let guessed = Instant::now();
            let seen = detections.par_iter().zip(squares).zip(guesses);
            people.par_extend(seen.map(|((detection, square), guess)| {
                person(detection, &square, guess, body, frame.width, frame.height)
            }));
            times.crop_secs += (cropped - start).as_secs_f64();
            times.network_secs += (guessed - cropped).as_secs_f64();
            times.body_secs += guessed.elapsed().as_secs_f64();
        }
        Ok(Recovered { people, times })
    }

    /// PHALP's crops, normalised: `(b, 3, image_size, image_size)`.
    fn crops(&self, frame: &Frame, squares: &[Square]) -> Result<Tensor, Hmr2Error> {
        let size = self.image_size;
        let mut values = vec![0.0; squares.len() * 3 * size * size];
        let places = values.par_chunks_exact_mut(3 * size * size);
        places.zip(squares).for_each(|(out, square)| normalize(&square.cut(frame, size), out));
        let crops = Tensor::from_vec(values, (squares.len(), 3, size, size), &Device::Cpu)?;
        Ok(crops.to_device(&self.device)?.to_dtype(self.dtype)?)
    }
}

fn squares(frame: &Frame, detections: &[Detection]) -> Result<Vec<Square>, Hmr2Error> {
    let square = |detection: &Detection| {
        let square = Square::of_phalp(&detection.bbox);
        square.exists().then_some(square).ok_or(Hmr2Error::Box { frame: frame.index, bbox: detection.bbox })
    };
    detections.iter().map(square).collect()
}

/// What the network says of one crop, as plain numbers.
struct Guess {
    params: SmplParams,
    camera: [f32; 3],
}

fn guesses(prediction: Prediction) -> Result<Vec<Guess>, Hmr2Error> {
    let rows = |tensor: &Tensor| tensor.flatten_from(1)?.to_dtype(DType::F32)?.to_vec2::<f32>();
    let (rotations, betas) = (rows(&prediction.rotations)?, rows(&prediction.betas)?);
    let cameras = rows(&prediction.camera)?;
    let guess = |((rotations, betas), camera): ((Vec<f32>, Vec<f32>), Vec<f32>)| {
        let matrix = |joint: usize| -> Mat3 {
            std::array::from_fn(|row| std::array::from_fn(|column| rotations[joint * 9 + row * 3 + column]))
        };
        let params = SmplParams {
            betas: std::array::from_fn(|at| betas[at]),
            global_orient: matrix(0),
            body_pose: std::array::from_fn(|joint| matrix(joint + 1)),
        };
        Guess { params, camera: [camera[0], camera[1], camera[2]] }
    };
    Ok(rotations.into_iter().zip(betas).zip(cameras).map(guess).collect())
}

fn person(
    detection: &Detection,
    square: &Square,
    guess: Guess,
    body: &Body,
    width: usize,
    height: usize,
) -> Person {
    let joints = body.pose(&guess.params).joints44;
    let translation = SquareInHmar::of(square, width, height).translation(guess.camera);
    let points = points_in_hmar(&joints, translation);
    Person {
        detection: detection.clone(),
        params: guess.params,
        crop_camera: guess.camera,
        translation,
        joints,
        joints_in_square: points.into_iter().map(|point| point.map(|at| at / SQUARE as f32)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::person::BBox;
    use crate::random::stream;
    use std::collections::HashMap;

    fn config() -> Config {
        let mut config = Config::hmr2();
        config.image_size = 128;
        (config.backbone.dim, config.backbone.depth, config.backbone.heads) = (96, 2, 3);
        let head = &mut config.head;
        (head.dim, head.depth, head.heads, head.dim_head, head.mlp_dim) = (96, 2, 3, 32, 192);
        config
    }

    fn hmr2(batch: usize, precision: super::super::Precision) -> Hmr2 {
        let config = config();
        let weights: HashMap<String, Tensor> = config
            .tensors()
            .into_iter()
            .map(|spec| {
                let mut draws = stream(1, &spec.key, &[]);
                let scale = 1.0 / (spec.shape.last().copied().unwrap_or(1) as f64).sqrt();
                let n = spec.shape.iter().product();
                let values: Vec<f32> = (0..n).map(|_| (draws.normal() * scale) as f32).collect();
                (spec.key, Tensor::from_vec(values, spec.shape, &Device::Cpu).unwrap())
            })
            .collect();
        let settings = Settings { batch, precision };
        Hmr2::new(&config, VarBuilder::from_tensors(weights, precision.dtype(), &Device::Cpu), &settings)
            .unwrap()
    }

    fn frame() -> Frame {
        let mut draws = stream(2, "frame", &[]);
        Frame::new(5, 0.2, 320, 180, (0..320 * 180 * 3).map(|_| draws.bits() as u8).collect())
    }

    fn detections(count: usize) -> Vec<Detection> {
        let bbox = |i: usize| {
            let left = -20.0 + 17.0 * i as f32;
            BBox { x1: left, y1: 10.0 + 3.0 * i as f32, x2: left + 40.0, y2: 150.0 }
        };
        (0..count).map(|i| Detection { bbox: bbox(i), score: 0.9, truth_id: None }).collect()
    }

    /// The largest difference of any number of two lists of people.
    fn apart(a: &[Person], b: &[Person]) -> f32 {
        let numbers = |person: &Person| {
            let rotations = person.params.body_pose.iter().flatten().flatten();
            let joints = person.joints.iter().flatten().chain(person.joints_in_square.iter().flatten());
            rotations.chain(joints).chain(&person.crop_camera).copied().collect::<Vec<f32>>()
        };
        assert_eq!(a.len(), b.len());
        let all = a.iter().zip(b).flat_map(|(a, b)| numbers(a).into_iter().zip(numbers(b)));
        all.map(|(a, b)| (a - b).abs() / b.abs().max(1.0)).fold(0.0, f32::max)
    }

    #[test]
    fn a_batch_equals_its_singles() {
        let (frame, detections, body) = (frame(), detections(7), Body::stand_in());
        let recover = |batch| {
            hmr2(batch, super::super::Precision::F32).recover(&frame, &detections, &body).unwrap().people
        };
        let singles = recover(1);
        assert_eq!(singles[0].joints.len(), 44);
        assert_eq!(singles[0].joints_in_square.len(), 45);
        for batch in [2, 7, 64] {
            assert!(
                recover(batch) == singles,
                "a batch of {batch} is {} off",
                apart(&recover(batch), &singles)
            );
        }
    }

    #[test]
    fn half_precision_is_near() {
        let (frame, detections, body) = (frame(), detections(2), Body::stand_in());
        let recover = |precision| hmr2(2, precision).recover(&frame, &detections, &body).unwrap().people;
        let full = recover(super::super::Precision::F32);
        assert!(apart(&recover(super::super::Precision::F16), &full) < 0.05);
        assert!(apart(&recover(super::super::Precision::Bf16), &full) < 0.5);
    }

    #[test]
    fn nobody_takes_no_time_and_no_box_is_an_error() {
        let (frame, body, hmr2) = (frame(), Body::stand_in(), hmr2(4, super::super::Precision::F32));
        let nobody = hmr2.recover(&frame, &[], &body).unwrap();
        assert_eq!(nobody, Recovered { people: vec![], times: StageTimes::default() });
        let mut broken = detections(2);
        broken[1].bbox.x2 = f32::NAN;
        let message = hmr2.recover(&frame, &broken, &body).unwrap_err().to_string();
        assert!(message.contains("frame 5"), "{message}");
    }
}
