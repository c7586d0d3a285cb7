//! From what was seen in frames to persons with bodies: crops, network, body, camera.

use super::camera::{SQUARE, SquareInHmar, points_in_hmar};
use super::crop::{Square, normalize};
use super::sight::{Normalizer, Sight};
use super::{Attention, Config, Hmr2Error, Network, Prediction, Settings};
use crate::body::Body;
use crate::frame::Frame;
use crate::geometry::Mat3;
use crate::person::{Detection, Person, SmplParams};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use rayon::prelude::*;

/// The network with its weights, ready for frames.
pub struct Hmr2 {
    network: Network,
    normalizer: Normalizer,
    image_size: usize,
    device: Device,
    dtype: DType,
    batch: usize,
}

impl Hmr2 {
    /// A network of any weights, on their device and in their precision.
    ///
    /// # Errors
    /// If a weight is missing or misshapen, or the settings make no sense.
    pub fn new(config: &Config, weights: VarBuilder, settings: &Settings) -> Result<Hmr2, Hmr2Error> {
        config.validate()?;
        settings.validate()?;
        let (device, dtype) = (weights.device().clone(), weights.dtype());
        let normalizer = Normalizer::new(dtype, &device)?;
        let network = Network::load(config, weights)?;
        let network = network.with_fused_attention(settings.attention == Attention::Flash);
        let (image_size, batch) = (config.image_size, settings.batch);
        Ok(Hmr2 { network, normalizer, image_size, device, dtype, batch })
    }

    /// Where the network runs.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Cuts out the people of a frame; the frame is not needed any more then.
    ///
    /// # Errors
    /// If a box is empty or no number, or the device fails.
    pub fn see(&self, frame: &Frame, detections: &[Detection]) -> Result<Sight, Hmr2Error> {
        Sight::of(frame, detections, self.image_size)
    }

    /// As [`Hmr2::see`], cut out as 4D-Humans' demo does it for single pictures.
    ///
    /// # Errors
    /// As [`Hmr2::see`], and if the frame is on a device.
    pub fn see_as_demo(&self, frame: &Frame, detections: &[Detection]) -> Result<Sight, Hmr2Error> {
        Sight::of_demo(frame, detections, self.image_size)
    }

    /// A person for each detection of each sight, in their order. `batch` people go through the network
    /// at once, of one frame or of several.
    ///
    /// # Errors
    /// If the network fails or the device has no room.
    pub fn recover(&self, sights: &[Sight], body: &Body) -> Result<Vec<Vec<Person>>, Hmr2Error> {
        let each = |sight: usize| (0..sights[sight].len()).map(move |person| (sight, person));
        let everybody: Vec<(usize, usize)> = (0..sights.len()).flat_map(each).collect();
        let mut people: Vec<Vec<Person>> =
            sights.iter().map(|sight| Vec::with_capacity(sight.len())).collect();
        for some in everybody.chunks(self.batch) {
            let some: Vec<(&Sight, usize)> = some.iter().map(|&(sight, at)| (&sights[sight], at)).collect();
            let guesses = guesses(self.network.forward(&self.crops(&some)?)?)?;
            let seen = some.par_iter().zip(guesses).map(|(&(sight, at), guess)| {
                let size = (sight.frame_width, sight.frame_height);
                let (detection, square) = (sight.detections[at].clone(), &sight.squares[at]);
                placed(detection, square, guess.params, guess.camera, body, size)
            });
            let seen: Vec<Person> = seen.collect();
            let done = people.iter().map(Vec::len).sum::<usize>();
            for (&(sight, _), person) in everybody[done..].iter().zip(seen) {
                people[sight].push(person);
            }
        }
        Ok(people)
    }

    /// Crops, normalised: `(b, 3, image_size, image_size)`.
    fn crops(&self, some: &[(&Sight, usize)]) -> Result<Tensor, Hmr2Error> {
        let size = self.image_size;
        let ready: Option<Vec<&[f32]>> = some.iter().map(|(sight, at)| sight.planes(*at)).collect();
        if let Some(planes) = ready {
            let crops = Tensor::from_vec(planes.concat(), (some.len(), 3, size, size), &Device::Cpu)?;
            return Ok(crops.to_dtype(self.dtype)?.to_device(&self.device)?);
        }
        let on_host: Option<Vec<&[u8]>> = some.iter().map(|(sight, at)| sight.bytes(*at)).collect();
        let Some(bytes) = on_host else {
            let crops = some.iter().map(|(sight, at)| sight.crop(*at, size, &self.device));
            let crops = Tensor::cat(&crops.collect::<candle_core::Result<Vec<_>>>()?, 0)?;
            return Ok(self.normalizer.forward(&crops)?);
        };
        if !self.device.is_cpu() {
            // a quarter of the bytes of numbers in single precision
            let bytes = bytes.concat();
            let crops = Tensor::from_slice(&bytes, (some.len(), size, size, 3), &self.device)?;
            return Ok(self.normalizer.forward(&crops)?);
        }
        let mut values = vec![0.0; some.len() * 3 * size * size];
        let places = values.par_chunks_exact_mut(3 * size * size);
        places.zip(bytes).for_each(|(out, crop)| normalize(crop, out));
        let crops = Tensor::from_vec(values, (some.len(), 3, size, size), &Device::Cpu)?;
        Ok(crops.to_dtype(self.dtype)?)
    }
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

/// A person with SMPL's parameters and a camera in the crop `square` of a frame of `width` by `height` pixels: joints,
/// and the place before PHALP's camera.
pub fn placed(
    detection: Detection,
    square: &Square,
    params: SmplParams,
    crop_camera: [f32; 3],
    body: &Body,
    (width, height): (usize, usize),
) -> Person {
    let joints = body.pose(&params).joints44;
    let translation = SquareInHmar::of(square, width, height).translation(crop_camera);
    let points = points_in_hmar(&joints, translation);
    Person {
        detection,
        params,
        crop_camera,
        translation,
        joints,
        joints_in_square: points.into_iter().map(|point| point.map(|at| at / SQUARE as f32)).collect(),
        confidence: None,
        mask: None,
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
        let settings = Settings { batch, precision, ..Settings::default() };
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
            let hmr2 = hmr2(batch, super::super::Precision::F32);
            let sights = [hmr2.see(&frame, &detections).unwrap()];
            hmr2.recover(&sights, &body).unwrap().remove(0)
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
        let recover = |precision| {
            let hmr2 = hmr2(2, precision);
            let sights = [hmr2.see(&frame, &detections).unwrap()];
            hmr2.recover(&sights, &body).unwrap().remove(0)
        };
        let full = recover(super::super::Precision::F32);
        assert!(apart(&recover(super::super::Precision::F16), &full) < 0.05);
        assert!(apart(&recover(super::super::Precision::Bf16), &full) < 0.5);
    }

    #[test]
    fn frames_together_are_as_frames_alone() {
        let (frame, detections, body) = (frame(), detections(5), Body::stand_in());
        let hmr2 = hmr2(4, super::super::Precision::F32);
        let parts = [&detections[..2], &[], &detections[2..]];
        let sights: Vec<Sight> = parts.iter().map(|part| hmr2.see(&frame, part).unwrap()).collect();
        let together = hmr2.recover(&sights, &body).unwrap();
        let alone: Vec<_> =
            sights.iter().map(|sight| hmr2.recover(std::slice::from_ref(sight), &body).unwrap()).collect();
        assert!(together == alone.concat());
        assert_eq!(together.iter().map(Vec::len).collect::<Vec<_>>(), [2, 0, 3]);
    }

    #[test]
    fn frames_on_a_device_are_seen_as_on_the_host() {
        let (host, detections, body) = (frame(), detections(3), Body::stand_in());
        let rgb = Tensor::from_slice(host.rgb(), (host.height, host.width, 3), &Device::Cpu).unwrap();
        let device = Frame::on_device(host.index, host.time_secs, rgb).unwrap();
        let hmr2 = hmr2(8, super::super::Precision::F32);
        let people = |frame| hmr2.recover(&[hmr2.see(frame, &detections).unwrap()], &body).unwrap();
        assert!(people(&host) == people(&device));
    }

    #[test]
    fn the_demos_crops_are_phalps_where_nothing_shrinks() {
        let (frame, detections, body) = (frame(), detections(3), Body::stand_in());
        let hmr2 = hmr2(8, super::super::Precision::F32);
        let people = |sight| hmr2.recover(&[sight], &body).unwrap().remove(0);
        let (demo, phalp) =
            (hmr2.see_as_demo(&frame, &detections).unwrap(), hmr2.see(&frame, &detections).unwrap());
        assert!(people(demo) == people(phalp));
        // at half the size the demo blurs and PHALP does not
        let large =
            [Detection { bbox: BBox { x1: 0.0, y1: -60.0, x2: 300.0, y2: 340.0 }, ..detections[0].clone() }];
        let (demo, phalp) = (hmr2.see_as_demo(&frame, &large).unwrap(), hmr2.see(&frame, &large).unwrap());
        assert!(apart(&people(demo), &people(phalp)) > 1e-3);
    }

    #[test]
    fn nobody_is_no_work_and_no_box_is_an_error() {
        let (frame, body, hmr2) = (frame(), Body::stand_in(), hmr2(4, super::super::Precision::F32));
        assert_eq!(hmr2.recover(&[hmr2.see(&frame, &[]).unwrap()], &body).unwrap(), [vec![]]);
        let mut broken = detections(2);
        broken[1].bbox.x2 = f32::NAN;
        let message = hmr2.see(&frame, &broken).err().unwrap().to_string();
        assert!(message.contains("frame 5"), "{message}");
    }
}
