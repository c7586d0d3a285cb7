//! HMR2 end to end: from the crops of frames to people with SMPL parameters, joints and translations.

use super::camera::{HMAR_IMAGE_SIZE, HmarSquare, project_to_hmar};
use super::crop::{Square, normalize};
use super::frame_crops::{FrameCrops, Normalizer};
use super::{BoxAspect, Config, Hmr2Error, Network, Prediction, Settings};
use crate::body::Body;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use posebook_core::frame::Frame;
use posebook_core::geometry::Mat3;
use posebook_core::person::{Detection, Person, SmplParams};
use rayon::prelude::*;

/// The network with its weights and settings.
pub struct Hmr2 {
    network: Network,
    normalizer: Normalizer,
    image_size: usize,
    device: Device,
    dtype: DType,
    batch: usize,
    expand_bbox_shape: BoxAspect,
}

impl Hmr2 {
    /// Builds the network from weights, on their device and in their precision.
    ///
    /// # Errors
    /// If a weight is missing or has another shape, or the settings are invalid.
    pub fn new(config: &Config, weights: VarBuilder, settings: &Settings) -> Result<Hmr2, Hmr2Error> {
        config.validate()?;
        settings.validate()?;
        let (device, dtype) = (weights.device().clone(), weights.dtype());
        let normalizer = Normalizer::new(dtype, &device)?;
        let network = Network::load(config, weights)?;
        let network = network.with_attention(settings.attention.path());
        let Settings { batch, expand_bbox_shape, .. } = *settings;
        let image_size = config.image_size;
        Ok(Hmr2 { network, normalizer, image_size, device, dtype, batch, expand_bbox_shape })
    }

    /// The device that the network runs on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Extracts the crops of a frame's detections; the frame can be dropped afterwards.
    ///
    /// # Errors
    /// If a box has no area or is not finite, or the device fails.
    pub fn extract_crops(&self, frame: &Frame, detections: &[Detection]) -> Result<FrameCrops, Hmr2Error> {
        FrameCrops::extract(frame, detections, self.image_size, self.expand_bbox_shape)
    }

    /// As [`Hmr2::extract_crops`], of `size` pixels a side whatever the network's input is.
    ///
    /// # Errors
    /// As [`Hmr2::extract_crops`].
    pub fn extract_crops_of_size(
        &self,
        frame: &Frame,
        detections: &[Detection],
        size: usize,
    ) -> Result<FrameCrops, Hmr2Error> {
        FrameCrops::extract(frame, detections, size, self.expand_bbox_shape)
    }

    /// Side of the network's input, pixels.
    pub fn image_size(&self) -> usize {
        self.image_size
    }

    /// As [`Hmr2::extract_crops`], with the method of 4D-Humans' demo for images.
    ///
    /// # Errors
    /// As [`Hmr2::extract_crops`], and if the frame is on a device.
    pub fn extract_crops_demo(
        &self,
        frame: &Frame,
        detections: &[Detection],
    ) -> Result<FrameCrops, Hmr2Error> {
        FrameCrops::extract_demo(frame, detections, self.image_size)
    }

    /// Recovers a person for each detection of each frame, in their order. Crops are batched across frames, `batch`
    /// at a time.
    ///
    /// # Errors
    /// If the network fails or the device has not enough memory.
    pub fn recover(&self, frames: &[FrameCrops], body: &Body) -> Result<Vec<Vec<Person>>, Hmr2Error> {
        let detections = |frame: usize| (0..frames[frame].len()).map(move |index| (frame, index));
        let all: Vec<(usize, usize)> = (0..frames.len()).flat_map(detections).collect();
        let mut people: Vec<Vec<Person>> =
            frames.iter().map(|frame| Vec::with_capacity(frame.len())).collect();
        for batch in all.chunks(self.batch) {
            let crops: Vec<(&FrameCrops, usize)> =
                batch.iter().map(|&(frame, index)| (&frames[frame], index)).collect();
            let predictions = read_prediction(self.network.forward(&self.batch_tensor(&crops)?)?)?;
            let recovered = crops.par_iter().zip(predictions).map(|(&(frame, index), predicted)| {
                let size = (frame.frame_width, frame.frame_height);
                let (detection, square) = (frame.detections[index].clone(), &frame.squares[index]);
                person_from_params(detection, square, predicted.params, predicted.camera, body, size)
            });
            let recovered: Vec<Person> = recovered.collect();
            for (&(frame, _), person) in batch.iter().zip(recovered) {
                people[frame].push(person);
            }
        }
        Ok(people)
    }

    /// Normalized crops as one tensor, `(b, 3, image_size, image_size)`.
    fn batch_tensor(&self, crops: &[(&FrameCrops, usize)]) -> Result<Tensor, Hmr2Error> {
        let (count, size) = (crops.len(), self.image_size);
        let normalized: Option<Vec<&[f32]>> =
            crops.iter().map(|(frame, index)| frame.planes(*index)).collect();
        if let Some(planes) = normalized {
            let batch = Tensor::from_vec(planes.concat(), (count, 3, size, size), &Device::Cpu)?;
            return Ok(batch.to_dtype(self.dtype)?.to_device(&self.device)?);
        }
        let on_host: Option<Vec<&[u8]>> = crops.iter().map(|(frame, index)| frame.bytes(*index)).collect();
        let Some(bytes) = on_host else {
            let crops = crops.iter().map(|(frame, index)| frame.crop(*index, size, &self.device));
            let batch = Tensor::cat(&crops.collect::<candle_core::Result<Vec<_>>>()?, 0)?;
            return Ok(self.normalizer.forward(&batch)?);
        };
        if !self.device.is_cpu() {
            // bytes are a quarter of what normalized values would transfer
            let batch = Tensor::from_slice(&bytes.concat(), (count, size, size, 3), &self.device)?;
            return Ok(self.normalizer.forward(&batch)?);
        }
        let mut values = vec![0.0; count * 3 * size * size];
        let outputs = values.par_chunks_exact_mut(3 * size * size);
        outputs.zip(bytes).for_each(|(out, crop)| normalize(crop, out));
        let batch = Tensor::from_vec(values, (count, 3, size, size), &Device::Cpu)?;
        Ok(batch.to_dtype(self.dtype)?)
    }
}

/// The network's prediction for one crop, as plain values.
struct CropPrediction {
    params: SmplParams,
    camera: [f32; 3],
}

/// The predictions of a batch, crop by crop.
fn read_prediction(prediction: Prediction) -> Result<Vec<CropPrediction>, Hmr2Error> {
    let rows = |tensor: &Tensor| tensor.flatten_from(1)?.to_dtype(DType::F32)?.to_vec2::<f32>();
    let (rotations, betas) = (rows(&prediction.rotations)?, rows(&prediction.betas)?);
    let cameras = rows(&prediction.camera)?;
    let of_crop = |((rotations, betas), camera): ((Vec<f32>, Vec<f32>), Vec<f32>)| {
        let matrix = |joint: usize| -> Mat3 {
            std::array::from_fn(|row| std::array::from_fn(|column| rotations[joint * 9 + row * 3 + column]))
        };
        let params = SmplParams {
            betas: std::array::from_fn(|index| betas[index]),
            global_orient: matrix(0),
            body_pose: std::array::from_fn(|joint| matrix(joint + 1)),
        };
        CropPrediction { params, camera: [camera[0], camera[1], camera[2]] }
    };
    Ok(rotations.into_iter().zip(betas).zip(cameras).map(of_crop).collect())
}

/// A person from SMPL parameters and a camera in the crop `square` of a frame of `width` by `height` pixels: adds
/// joints, and the translation relative to PHALP's camera. The detection's mask becomes the person's.
pub fn person_from_params(
    mut detection: Detection,
    square: &Square,
    params: SmplParams,
    crop_camera: [f32; 3],
    body: &Body,
    (width, height): (usize, usize),
) -> Person {
    let joints = body.pose(&params).joints44;
    let translation = HmarSquare::from_frame_square(square, width, height).translation(crop_camera);
    let points = project_to_hmar(&joints, translation);
    let mask = detection.mask.take();
    Person {
        detection,
        params,
        crop_camera,
        translation,
        joints,
        joints_in_square: points
            .into_iter()
            .map(|point| point.map(|value| value / HMAR_IMAGE_SIZE as f32))
            .collect(),
        confidence: None,
        mask,
        appearance: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use posebook_core::person::BBox;
    use posebook_core::random::stream;
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
        Hmr2::new(
            &config,
            VarBuilder::from_tensors(weights, crate::nn::dtype(precision), &Device::Cpu),
            &settings,
        )
        .unwrap()
    }

    fn frame() -> Frame {
        let mut draws = stream(2, "frame", &[]);
        Frame::new(5, 0.2, 320, 180, (0..320 * 180 * 3).map(|_| draws.next_u64() as u8).collect())
    }

    fn detections(count: usize) -> Vec<Detection> {
        let bbox = |i: usize| {
            let left = -20.0 + 17.0 * i as f32;
            BBox { x1: left, y1: 10.0 + 3.0 * i as f32, x2: left + 40.0, y2: 150.0 }
        };
        (0..count).map(|i| Detection { bbox: bbox(i), score: 0.9, input_id: None, mask: None }).collect()
    }

    /// The largest relative difference of any value of two lists of people.
    fn max_difference(a: &[Person], b: &[Person]) -> f32 {
        let values = |person: &Person| {
            let rotations = person.params.body_pose.iter().flatten().flatten();
            let joints = person.joints.iter().flatten().chain(person.joints_in_square.iter().flatten());
            rotations.chain(joints).chain(&person.crop_camera).copied().collect::<Vec<f32>>()
        };
        assert_eq!(a.len(), b.len());
        let all = a.iter().zip(b).flat_map(|(a, b)| values(a).into_iter().zip(values(b)));
        all.map(|(a, b)| (a - b).abs() / b.abs().max(1.0)).fold(0.0, f32::max)
    }

    #[test]
    fn results_do_not_depend_on_the_batch_size() {
        let (frame, detections, body) = (frame(), detections(7), Body::built_in());
        let recover = |batch| {
            let hmr2 = hmr2(batch, super::super::Precision::F32);
            let crops = [hmr2.extract_crops(&frame, &detections).unwrap()];
            hmr2.recover(&crops, &body).unwrap().remove(0)
        };
        let singles = recover(1);
        assert_eq!(singles[0].joints.len(), 44);
        assert_eq!(singles[0].joints_in_square.len(), 45);
        for batch in [2, 7, 64] {
            assert!(
                recover(batch) == singles,
                "a batch of {batch} differs by {}",
                max_difference(&recover(batch), &singles)
            );
        }
    }

    #[test]
    fn half_precision_is_close_to_single_precision() {
        let (frame, detections, body) = (frame(), detections(2), Body::built_in());
        let recover = |precision| {
            let hmr2 = hmr2(2, precision);
            let crops = [hmr2.extract_crops(&frame, &detections).unwrap()];
            hmr2.recover(&crops, &body).unwrap().remove(0)
        };
        let full = recover(super::super::Precision::F32);
        assert!(max_difference(&recover(super::super::Precision::F16), &full) < 0.05);
        assert!(max_difference(&recover(super::super::Precision::Bf16), &full) < 0.5);
    }

    #[test]
    fn batching_across_frames_changes_nothing() {
        let (frame, detections, body) = (frame(), detections(5), Body::built_in());
        let hmr2 = hmr2(4, super::super::Precision::F32);
        let parts = [&detections[..2], &[], &detections[2..]];
        let crops: Vec<FrameCrops> =
            parts.iter().map(|part| hmr2.extract_crops(&frame, part).unwrap()).collect();
        let batched = hmr2.recover(&crops, &body).unwrap();
        let alone: Vec<_> =
            crops.iter().map(|crops| hmr2.recover(std::slice::from_ref(crops), &body).unwrap()).collect();
        assert!(batched == alone.concat());
        assert_eq!(batched.iter().map(Vec::len).collect::<Vec<_>>(), [2, 0, 3]);
    }

    #[test]
    fn frames_on_host_and_device_give_equal_people() {
        let (host, detections, body) = (frame(), detections(3), Body::built_in());
        let rgb = Tensor::from_slice(host.rgb(), (host.height, host.width, 3), &Device::Cpu).unwrap();
        let device = crate::device::frame_from_tensor(host.index, host.time_secs, rgb).unwrap();
        let hmr2 = hmr2(8, super::super::Precision::F32);
        let people = |frame| hmr2.recover(&[hmr2.extract_crops(frame, &detections).unwrap()], &body).unwrap();
        assert!(people(&host) == people(&device));
    }

    #[test]
    fn demo_and_phalp_crops_differ_only_where_they_shrink() {
        let (frame, detections, body) = (frame(), detections(3), Body::built_in());
        let hmr2 = hmr2(8, super::super::Precision::F32);
        let people = |crops| hmr2.recover(&[crops], &body).unwrap().remove(0);
        let (demo, phalp) = (
            hmr2.extract_crops_demo(&frame, &detections).unwrap(),
            hmr2.extract_crops(&frame, &detections).unwrap(),
        );
        assert!(people(demo) == people(phalp));
        // at half the size the demo blurs and PHALP does not
        let large =
            [Detection { bbox: BBox { x1: 0.0, y1: -60.0, x2: 300.0, y2: 340.0 }, ..detections[0].clone() }];
        let (demo, phalp) =
            (hmr2.extract_crops_demo(&frame, &large).unwrap(), hmr2.extract_crops(&frame, &large).unwrap());
        assert!(max_difference(&people(demo), &people(phalp)) > 1e-3);
    }

    #[test]
    fn no_detections_give_no_people_and_an_invalid_box_is_an_error() {
        let (frame, body, hmr2) = (frame(), Body::built_in(), hmr2(4, super::super::Precision::F32));
        assert_eq!(hmr2.recover(&[hmr2.extract_crops(&frame, &[]).unwrap()], &body).unwrap(), [vec![]]);
        let mut invalid = detections(2);
        invalid[1].bbox.x2 = f32::NAN;
        let message = hmr2.extract_crops(&frame, &invalid).err().unwrap().to_string();
        assert!(message.contains("frame 5"), "{message}");
    }
}
