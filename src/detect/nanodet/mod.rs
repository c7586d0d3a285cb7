//! NanoDet-g, a small detector of people (<https://github.com/RangiLyu/nanodet>, Apache-2.0), trained on COCO.
//!
//! | part | what it does |
//! |---|---|
//! | `architecture` | names and sizes of the layers |
//! | `convert` | the published tfjs files to named tensors |
//! | `cpu`, `kernel` | the network on the CPU, over convolutions of our own |
//! | `network` | the network of candle's operators, for other devices |
//! | `letterbox` | scales a picture, pads it and normalizes it to the network's input |
//! | `decode` | the network's output as boxes |
//! | `raw` | scores, distance bins and boxes before thresholds, for comparison with the original |
//! | `footprint` | the bytes that all this takes |
//!
//! Results depend neither on the number of threads nor on which frames are given together. Must not know tracks, nor
//! where frames come from.

mod architecture;
mod convert;
mod cpu;
mod decode;
mod error;
mod footprint;
mod kernel;
mod letterbox;
mod network;
mod raw;
mod settings;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_convert;

pub use architecture::tensor_specs;
pub use convert::{convert, to_safetensors};
pub use error::NanoDetError;
pub use footprint::Footprint;
pub use raw::LevelOutput;
pub use settings::Settings;

use crate::frame::{Frame, Pixels};
use crate::person::{BBox, Detection};
use architecture::Layer;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use cpu::Buffers;
use decode::Level;
use letterbox::Letterbox;
use raw::Heads;
use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

/// A detector of people.
#[derive(Debug)]
pub struct NanoDet {
    settings: Settings,
    network: Network,
    device: Device,
    /// The buffers of the last picture, for the next of its size.
    kept: Mutex<Option<Box<Buffers>>>,
}

/// The network, as the device needs it.
#[derive(Debug)]
enum Network {
    Cpu(cpu::Network),
    Candle(network::Network),
}

impl NanoDet {
    /// Loads the weights of [`tensor_specs`], f32, onto the device of `weights`.
    ///
    /// # Errors
    /// If a setting is outside of its range, or a tensor is missing, has another shape or is not finite: the message
    /// names the first.
    pub fn load(weights: &VarBuilder, settings: Settings) -> Result<NanoDet, NanoDetError> {
        if !weights.device().is_cpu() {
            return NanoDet::load_with_candle(weights, settings);
        }
        let values = |layer: &Layer| {
            let (weight, bias) = layer_tensors(weights, layer)?;
            Ok::<_, NanoDetError>((weight.flatten_all()?.to_vec1()?, bias.to_vec1()?))
        };
        NanoDet::new(Network::Cpu(cpu::Network::load(values)?), Device::Cpu, settings)
    }

    /// [`NanoDet::load`], but candle's own operators compute on the CPU as well, which takes many times as long. What
    /// they give is what ours is compared with.
    ///
    /// # Errors
    /// As [`NanoDet::load`].
    pub fn load_with_candle(weights: &VarBuilder, settings: Settings) -> Result<NanoDet, NanoDetError> {
        let network = network::Network::load(|layer| layer_tensors(weights, layer))?;
        NanoDet::new(Network::Candle(network), weights.device().clone(), settings)
    }

    fn new(network: Network, device: Device, settings: Settings) -> Result<NanoDet, NanoDetError> {
        settings.check()?;
        Ok(NanoDet { settings, network, device, kept: Mutex::new(None) })
    }

    /// The settings that it was loaded with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The people of each frame, best first. Boxes are clipped to the frame; `truth_id` is `None`.
    ///
    /// Frames are scaled to the setting's long side and are never stretched. On the CPU one goes through after the
    /// other, on all threads; on another device those of one size go through together.
    ///
    /// # Errors
    /// If a frame has no pixels, the device fails, or the network gives something that is not a number.
    pub fn detect(&self, frames: &[&Frame]) -> Result<Vec<Vec<Detection>>, NanoDetError> {
        if let Some(frame) = frames.iter().find(|frame| frame.width == 0 || frame.height == 0) {
            let (width, height) = (frame.width, frame.height);
            return Err(NanoDetError::NoPixels { frame: frame.index, width, height });
        }
        match &self.network {
            Network::Cpu(network) => frames.iter().map(|frame| self.detect_on_cpu(network, frame)).collect(),
            Network::Candle(network) => {
                let mut found = Vec::with_capacity(frames.len());
                let same = |a: &&Frame, b: &&Frame| (a.width, a.height) == (b.width, b.height);
                for frames in frames.chunk_by(same) {
                    found.append(&mut self.detect_together(network, frames)?);
                }
                Ok(found)
            }
        }
    }

    fn letterbox(&self, frame: &Frame) -> Letterbox {
        Letterbox::new(frame.width, frame.height, self.settings.long_side)
    }

    fn detect_on_cpu(&self, network: &cpu::Network, frame: &Frame) -> Result<Vec<Detection>, NanoDetError> {
        let letterbox = self.letterbox(frame);
        let mut buffers = self.buffers(letterbox.padded.1, letterbox.padded.0);
        let input = &mut buffers.input;
        let (first, row_step) = (input.row(0), input.row_step());
        letterbox.fill(&on_host(frame)?, &mut input.values[first..], row_step);
        network.run(&mut buffers, None);
        let found = self.people(&buffers.levels(), &letterbox, frame);
        self.keep(buffers);
        found
    }

    /// Frames of one size.
    fn detect_together(
        &self,
        network: &network::Network,
        frames: &[&Frame],
    ) -> Result<Vec<Vec<Detection>>, NanoDetError> {
        let Some(first) = frames.first() else { return Ok(Vec::new()) };
        let letterbox = self.letterbox(first);
        let (width, height) = letterbox.padded;
        let mut input = vec![0.0; frames.len() * height * width * 3];
        for (frame, input) in frames.iter().zip(input.chunks_exact_mut(height * width * 3)) {
            letterbox.fill(&on_host(frame)?, input, width * 3);
        }
        let input = Tensor::from_vec(input, (frames.len(), height, width, 3), &self.device)?;
        let heads = Heads::of(network, &input.permute((0, 3, 1, 2))?.contiguous()?)?;
        let people = |(index, frame): (usize, &&Frame)| self.people(&heads.levels(index), &letterbox, frame);
        frames.iter().enumerate().map(people).collect()
    }

    /// The boxes in pixels of the frame.
    fn people(
        &self,
        levels: &[Level; 3],
        letterbox: &Letterbox,
        frame: &Frame,
    ) -> Result<Vec<Detection>, NanoDetError> {
        let Settings { score, overlap, .. } = self.settings;
        let people = decode::people(levels, score, overlap, usize::MAX)
            .map_err(|decode::NotANumber| NanoDetError::NotFinite { frame: frame.index })?;
        let detections = people.into_iter().filter_map(|person| {
            let [x1, y1, x2, y2] = letterbox.to_picture(person.sides).map(|side| side as f32);
            let bbox = BBox { x1, y1, x2, y2 }.inside(frame.width, frame.height)?;
            let large = f64::from(bbox.width()) >= self.settings.smallest_width
                && f64::from(bbox.height()) >= self.settings.smallest_height;
            large.then_some(Detection { bbox, score: person.score as f32, truth_id: None })
        });
        Ok(detections.take(self.settings.most_people).collect())
    }

    /// The buffers that were kept, if they are of this size, or new ones.
    fn buffers(&self, height: usize, width: usize) -> Box<Buffers> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        kept.filter(|kept| kept.size() == (height, width))
            .unwrap_or_else(|| Box::new(Buffers::new(height, width)))
    }

    fn keep(&self, buffers: Box<Buffers>) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(buffers);
    }
}

/// A layer's weight and bias, of its sizes, f32 and finite.
fn layer_tensors(weights: &VarBuilder, layer: &Layer) -> Result<(Tensor, Tensor), NanoDetError> {
    let tensor = |name: String, shape: &[usize]| {
        let wrong = |reason: String| NanoDetError::Weights { tensor: name.clone(), reason };
        let tensor = weights
            .get_with_hints_dtype(shape, &name, Default::default(), DType::F32)
            .map_err(|error| wrong(short(&error)))?;
        let values = tensor.flatten_all()?.to_vec1::<f32>()?;
        match values.iter().position(|value| !value.is_finite()) {
            Some(at) => Err(wrong(format!("value {at} is {}", values.get(at).copied().unwrap_or_default()))),
            None => Ok(tensor),
        }
    };
    Ok((tensor(layer.weight(), &layer.weight_shape())?, tensor(layer.bias(), &[layer.outputs])?))
}

/// An error's first line: candle appends where in its code it arose.
fn short(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_string()
}

/// A frame's pixels, brought from wherever they are.
fn on_host(frame: &Frame) -> Result<Cow<'_, [u8]>, NanoDetError> {
    match frame.pixels() {
        Pixels::Host(rgb) => Ok(Cow::Borrowed(rgb)),
        Pixels::Device(rgb) => Ok(Cow::Owned(rgb.flatten_all()?.to_vec1::<u8>()?)),
    }
}
