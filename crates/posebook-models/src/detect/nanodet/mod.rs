//! NanoDet-g, a small person detector (<https://github.com/RangiLyu/nanodet>, Apache-2.0), trained on COCO.
//!
//! Input: frames of any size. Output: boxes with scores, best first.
//!
//! | part | what it does |
//! |---|---|
//! | `architecture` | names and sizes of the layers |
//! | `convert` | converts the published tfjs files to named tensors |
//! | `cpu`, `kernel` | the network on the CPU with our own convolution kernels |
//! | `network` | the network with candle's operators, for other devices |
//! | `letterbox` | scales, pads and normalizes an image to the network's input |
//! | `decode`, `heads` | decodes the network's output to boxes |
//! | `raw` | scores, distance bins and boxes before thresholds, for comparison with the original |
//! | `footprint` | memory use on the CPU |
//!
//! Results depend neither on the number of threads nor on the batching of frames.

mod architecture;
mod convert;
#[cfg(test)]
mod convert_tests;
mod cpu;
mod decode;
mod error;
mod footprint;
mod heads;
mod kernel;
mod letterbox;
mod network;
mod raw;
mod settings;
#[cfg(test)]
mod tests;

pub use architecture::tensor_specs;
pub use convert::{convert, to_safetensors};
pub use error::NanoDetError;
pub use footprint::Footprint;
pub use raw::LevelOutput;
pub use settings::Settings;

use crate::device::copy_to_host;
use architecture::Layer;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use cpu::Buffers;
use decode::Level;
use heads::Heads;
use letterbox::Letterbox;
use posebook_core::frame::Frame;
use posebook_core::person::{BBox, Detection};
use std::sync::{Mutex, PoisonError};

/// A person detector.
#[derive(Debug)]
pub struct NanoDet {
    settings: Settings,
    network: Network,
    device: Device,
    /// The buffers of the last image, reused if the next one has the same size.
    idle_buffers: Mutex<Option<Box<Buffers>>>,
}

/// The implementation for a device.
#[derive(Debug)]
enum Network {
    Cpu(cpu::Network),
    Candle(network::Network),
}

impl NanoDet {
    /// Loads the weights ([`tensor_specs`], f32) to the device of `weights`.
    ///
    /// # Errors
    /// If a setting is outside of its range, or if a tensor is missing, has another shape or a value that is not finite; the
    /// message names the first one.
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

    /// [`NanoDet::load`], but with candle's operators on the CPU as well, which are many times slower: the reference for
    /// our kernels.
    ///
    /// # Errors
    /// As [`NanoDet::load`].
    pub fn load_with_candle(weights: &VarBuilder, settings: Settings) -> Result<NanoDet, NanoDetError> {
        let network = network::Network::load(|layer| layer_tensors(weights, layer))?;
        NanoDet::new(Network::Candle(network), weights.device().clone(), settings)
    }

    fn new(network: Network, device: Device, settings: Settings) -> Result<NanoDet, NanoDetError> {
        settings.check()?;
        Ok(NanoDet { settings, network, device, idle_buffers: Mutex::new(None) })
    }

    /// The settings that it was loaded with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Detects the people of each frame, best first. Boxes are clipped to the frame; `input_id` is `None`.
    ///
    /// Frames are scaled to [`Settings::long_side`] with their aspect ratio unchanged. On the CPU they are processed one after
    /// the other on all threads; on another device consecutive frames of one size are processed as a batch.
    ///
    /// # Errors
    /// If a frame has no pixels, the device fails, or the network's output is NaN.
    pub fn detect(&self, frames: &[&Frame]) -> Result<Vec<Vec<Detection>>, NanoDetError> {
        if let Some(frame) = frames.iter().find(|frame| frame.width == 0 || frame.height == 0) {
            let (width, height) = (frame.width, frame.height);
            return Err(NanoDetError::NoPixels { frame: frame.index, width, height });
        }
        match &self.network {
            Network::Cpu(network) => frames.iter().map(|frame| self.detect_on_cpu(network, frame)).collect(),
            Network::Candle(network) => {
                let mut found = Vec::with_capacity(frames.len());
                let same_size = |a: &&Frame, b: &&Frame| (a.width, a.height) == (b.width, b.height);
                for frames in frames.chunk_by(same_size) {
                    found.append(&mut self.detect_batch(network, frames)?);
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
        let mut buffers = self.take_buffers(letterbox.padded.1, letterbox.padded.0);
        let input = &mut buffers.input;
        let (first, row_step) = (input.row(0), input.row_step());
        letterbox.fill(&copy_to_host(frame)?, &mut input.values[first..], row_step);
        network.run(&mut buffers, None);
        let detections = self.detections(&buffers.levels(), &letterbox, frame);
        self.store_buffers(buffers);
        detections
    }

    /// Detects people in frames of one size.
    fn detect_batch(
        &self,
        network: &network::Network,
        frames: &[&Frame],
    ) -> Result<Vec<Vec<Detection>>, NanoDetError> {
        let Some(first) = frames.first() else { return Ok(Vec::new()) };
        let letterbox = self.letterbox(first);
        let (width, height) = letterbox.padded;
        let mut input = vec![0.0; frames.len() * height * width * 3];
        for (frame, input) in frames.iter().zip(input.chunks_exact_mut(height * width * 3)) {
            letterbox.fill(&copy_to_host(frame)?, input, width * 3);
        }
        let input = Tensor::from_vec(input, (frames.len(), height, width, 3), &self.device)?;
        let heads = Heads::run(network, &input.permute((0, 3, 1, 2))?.contiguous()?)?;
        let detections =
            |(index, frame): (usize, &&Frame)| self.detections(&heads.levels(index), &letterbox, frame);
        frames.iter().enumerate().map(detections).collect()
    }

    /// Decodes the output to boxes in pixels of the frame.
    fn detections(
        &self,
        levels: &[Level; 3],
        letterbox: &Letterbox,
        frame: &Frame,
    ) -> Result<Vec<Detection>, NanoDetError> {
        let Settings { score, overlap, .. } = self.settings;
        let boxes = decode::decode_people(levels, score, overlap, usize::MAX)
            .map_err(|decode::NotANumber| NanoDetError::NotFinite { frame: frame.index })?;
        let detections = boxes.into_iter().filter_map(|person| {
            let [x1, y1, x2, y2] = letterbox.to_frame(person.sides).map(|side| side as f32);
            let bbox = BBox { x1, y1, x2, y2 }.clipped_to(frame.width, frame.height)?;
            let is_large = f64::from(bbox.width()) >= self.settings.smallest_width
                && f64::from(bbox.height()) >= self.settings.smallest_height;
            is_large.then_some(Detection { bbox, score: person.score as f32, input_id: None, mask: None })
        });
        Ok(detections.take(self.settings.most_people).collect())
    }

    /// Takes the idle buffers if they have this size, or allocates new ones.
    fn take_buffers(&self, height: usize, width: usize) -> Box<Buffers> {
        let idle = self.idle_buffers.lock().unwrap_or_else(PoisonError::into_inner).take();
        idle.filter(|idle| idle.size() == (height, width))
            .unwrap_or_else(|| Box::new(Buffers::new(height, width)))
    }

    fn store_buffers(&self, buffers: Box<Buffers>) {
        *self.idle_buffers.lock().unwrap_or_else(PoisonError::into_inner) = Some(buffers);
    }
}

/// Reads and validates a layer's weight and bias.
fn layer_tensors(weights: &VarBuilder, layer: &Layer) -> Result<(Tensor, Tensor), NanoDetError> {
    let tensor = |name: String, shape: &[usize]| {
        let invalid = |reason: String| NanoDetError::Weights { tensor: name.clone(), reason };
        let tensor = weights
            .get_with_hints_dtype(shape, &name, Default::default(), DType::F32)
            .map_err(|error| invalid(first_line(&error)))?;
        let values = tensor.flatten_all()?.to_vec1::<f32>()?;
        match values.iter().position(|value| !value.is_finite()) {
            Some(index) => {
                Err(invalid(format!("value {index} is {}", values.get(index).copied().unwrap_or_default())))
            }
            None => Ok(tensor),
        }
    };
    Ok((tensor(layer.weight(), &layer.weight_shape())?, tensor(layer.bias(), &[layer.outputs])?))
}

/// An error's first line, without the backtrace that candle appends.
fn first_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_string()
}
