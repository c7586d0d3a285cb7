//! Predicts the heap memory of a detector on the CPU from its configuration.
//!
//! In: a [`Config`], a precision, the size of a network's input, the number of images computed together and a [`Budget`]. Out:
//! bytes of the weights, and of each phase of a detection: a point at which many buffers are live. The peak is that of the
//! largest phase. The prediction is of heap allocations (see [`posebook_core::memory`]). It leaves out the frames, what each
//! thread keeps for its products (a few MiB), and the program's own memory. On a GPU the weights are not packed, and the
//! libraries need workspaces in addition.
//!
//! `tests/mask_rcnn_footprint.rs` compares the prediction with the counted heap; change both with the forward pass.

mod convolutional;
mod heads;
mod transformer;
mod weights;

use super::budget::Budget;
use super::config::{Backbone, Config};
use super::detector::MOST_DETECTIONS;
use super::{regnet, resnext};
use crate::hmr2::Precision;
use crate::nn;

/// A point of a detection at which many buffers are live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phase {
    /// What is computed there.
    pub name: &'static str,
    /// Bytes of its buffers, without the weights.
    pub bytes: u64,
}

/// The memory of a detector in one precision.
#[derive(Debug, Clone, PartialEq)]
pub struct Footprint {
    /// Bytes of the weights, as they are stored for the kernels of the CPU: convolutions in `f32` in every precision.
    pub weights_bytes: u64,
    /// Detections whose masks are computed: 100, the most that there can be.
    pub masks: usize,
    config: Config,
    /// Bytes of a value in the network's precision.
    value_bytes: usize,
    /// Bytes of a value that is widened for an operator; 0 in single precision.
    widened_bytes: usize,
}

/// What a detection is computed of.
#[derive(Debug, Clone, Copy)]
struct Job {
    /// Pixels of the padded image.
    height: usize,
    width: usize,
    /// Images computed together.
    batch: usize,
    budget: Budget,
}

/// Buffers of a phase, counted in values.
#[derive(Debug, Clone, Copy, Default)]
struct Live {
    /// In the network's precision.
    kept: usize,
    /// Operands of a convolution, which half precision widens.
    reads: usize,
    /// Its result, which is `kept`, too: half precision rounds it when the operands are dropped.
    writes: usize,
    /// Operands and result of a linear layer, which half precision widens together.
    touched: usize,
    /// In single precision, whatever the network's is.
    single: usize,
}

impl Footprint {
    /// The footprint of a detector of these sizes.
    pub fn new(config: &Config, precision: Precision) -> Footprint {
        let value_bytes = nn::dtype(precision).size_in_bytes();
        let widened_bytes = if precision == Precision::F32 { 0 } else { size_of::<f32>() };
        Footprint {
            weights_bytes: weights::bytes(config, value_bytes),
            masks: MOST_DETECTIONS,
            config: config.clone(),
            value_bytes,
            widened_bytes,
        }
    }

    /// The phases of a detection in `batch` images of `height` x `width` pixels, padding included.
    pub fn phases(&self, height: usize, width: usize, batch: usize, budget: Budget) -> Vec<Phase> {
        let job = Job { height, width, batch: batch.max(1), budget };
        let mut phases = match &self.config.backbone {
            Backbone::Vit(vit) => self.transformer(vit, job),
            Backbone::Regnety(sizes) => {
                self.convolutional(&convolutional::regnet(sizes), regnet::values_per_pixel(sizes), job)
            }
            Backbone::Resnext(sizes) => {
                self.convolutional(&convolutional::resnext(sizes), resnext::values_per_pixel(sizes), job)
            }
        };
        phases.extend(self.proposals(job));
        phases.extend(self.box_heads(job));
        phases.push(self.masks(job));
        phases
    }

    /// The phase with the most live memory.
    pub fn peak_phase(&self, height: usize, width: usize, batch: usize, budget: Budget) -> Phase {
        let phases = self.phases(height, width, batch, budget);
        phases.into_iter().max_by_key(|phase| phase.bytes).unwrap_or(Phase { name: "nothing", bytes: 0 })
    }

    /// Peak bytes of a detection, weights included.
    pub fn peak_bytes(&self, height: usize, width: usize, batch: usize, budget: Budget) -> u64 {
        self.weights_bytes + self.peak_phase(height, width, batch, budget).bytes
    }

    fn phase(&self, name: &'static str, live: Live) -> Phase {
        let Live { kept, reads, writes, touched, single } = live;
        let convolution = match self.widened_bytes {
            0 => 0,
            widened => (reads + writes) * widened - (writes * self.value_bytes),
        };
        let rounding = writes * self.widened_bytes;
        let operator = convolution.max(rounding) + touched * self.widened_bytes;
        let bytes = kept * self.value_bytes + operator + single * size_of::<f32>();
        Phase { name, bytes: bytes as u64 }
    }

    /// Values of p2 to p6 of one image.
    fn pyramid(&self, job: Job) -> usize {
        let side =
            |length: usize, level: usize| if level < 6 { length >> level } else { (length >> 5).div_ceil(2) };
        let pixels = |level: usize| side(job.height, level) * side(job.width, level);
        self.config.channels * (2..=6).map(pixels).sum::<usize>()
    }
}

impl Live {
    /// A convolution: values that are live, and those that it reads and writes.
    fn convolution(kept: usize, reads: usize, writes: usize) -> Live {
        Live { kept, reads, writes, ..Live::default() }
    }
}

impl Job {
    /// Pixels of an image, padding included.
    fn pixels(&self) -> usize {
        self.height * self.width
    }
}
