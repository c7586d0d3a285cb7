//! The network's output as it is: for comparisons with the original, and for devices other than the CPU.

use super::architecture::{CLASSES, HEAD, MULTIPLE, STRIDES};
use super::cpu::Buffers;
use super::decode::{self, Level, NotANumber};
use super::kernel::Map;
use super::{NanoDet, NanoDetError, Network, Settings, network};
use candle_core::{Device, Result as CandleResult, Tensor};
use std::collections::BTreeMap;
use std::ops::Range;

/// What the network gives for one level, before anything is decided.
#[derive(Debug, Clone)]
pub struct LevelOutput {
    /// Pixels of the input between two cells.
    pub stride: usize,
    /// `(pictures, cells, 80)`: the probability of each class of COCO (0 is a person); cells by rows.
    pub scores: Tensor,
    /// `(pictures, cells, 44)`: logits of the distances 0 to 10 strides from a cell's center to the left, top, right
    /// and bottom side.
    pub bins: Tensor,
}

/// The heads' output for pictures of one size, on the host.
pub(super) struct Heads {
    /// Of the input, pixels.
    height: usize,
    width: usize,
    /// For each level `(pictures, cells, HEAD)`.
    values: [Vec<f32>; 3],
}

impl Heads {
    /// From candle's network; `input` `(pictures, 3, height, width)`.
    pub(super) fn of(network: &network::Network, input: &Tensor) -> CandleResult<Heads> {
        let (_, _, height, width) = input.dims4()?;
        let mut values: [Vec<f32>; 3] = Default::default();
        for (values, head) in values.iter_mut().zip(network.forward(input)?) {
            *values = head.permute((0, 2, 3, 1))?.contiguous()?.flatten_all()?.to_vec1()?;
        }
        Ok(Heads { height, width, values })
    }

    /// The levels of one picture.
    pub(super) fn levels(&self, picture: usize) -> [Level<'_>; 3] {
        let mut levels = [Level { height: 0, width: 0, step: HEAD, values: &[] }; 3];
        for ((level, stride), values) in levels.iter_mut().zip(STRIDES).zip(&self.values) {
            let (height, width) = (self.height / stride, self.width / stride);
            let numbers = height * width * HEAD;
            let values = values.get(picture * numbers..(picture + 1) * numbers).unwrap_or_default();
            *level = Level { height, width, step: HEAD, values };
        }
        levels
    }
}

impl NanoDet {
    /// What the network gives for normalized pictures, finest level first, on the CPU.
    ///
    /// # Shapes
    /// `input` `(pictures, 3, height, width)`: blue, green and red, minus mean, over deviation; sides are multiples
    /// of 32.
    ///
    /// # Errors
    /// If the input has another shape, or the device fails.
    pub fn forward(&self, input: &Tensor) -> Result<Vec<LevelOutput>, NanoDetError> {
        let heads = self.heads(input)?;
        let pictures = input.dim(0)?;
        let output = |(values, stride): (Vec<f32>, usize)| {
            let cells = (heads.height / stride) * (heads.width / stride);
            let head = Tensor::from_vec(values, (pictures, cells, HEAD), &Device::Cpu)?;
            let logits = head.narrow(2, 0, CLASSES)?.flatten_all()?.to_vec1::<f32>()?;
            let scores: Vec<f32> = logits.into_iter().map(decode::sigmoid).collect();
            let scores = Tensor::from_vec(scores, (pictures, cells, CLASSES), &Device::Cpu)?;
            Ok(LevelOutput { stride, scores, bins: head.narrow(2, CLASSES, HEAD - CLASSES)?.contiguous()? })
        };
        heads.values.into_iter().zip(STRIDES).map(output).collect()
    }

    /// Boxes of people in normalized pictures (as for [`NanoDet::forward`]): left, top, right, bottom in pixels of the
    /// input and not clipped to it, then the score; best first. The least size is not looked at.
    ///
    /// # Errors
    /// As [`NanoDet::forward`], and if a score is not a number.
    pub fn boxes(&self, input: &Tensor) -> Result<Vec<Vec<[f64; 5]>>, NanoDetError> {
        let heads = self.heads(input)?;
        let Settings { score, overlap, most_people, .. } = self.settings;
        let boxes = |picture| {
            let people = decode::people(&heads.levels(picture), score, overlap, most_people)
                .map_err(|NotANumber| NanoDetError::NotFinite { frame: picture })?;
            let rows = people.into_iter().map(|person| {
                let [x1, y1, x2, y2] = person.sides;
                [x1, y1, x2, y2, person.score]
            });
            Ok(rows.collect())
        };
        (0..input.dim(0)?).map(boxes).collect()
    }

    /// Tensors `(1, channels, height, width)` between the layers, by the layer's name, for one normalized picture
    /// `(1, 3, height, width)`; `None` where candle's operators compute.
    ///
    /// # Errors
    /// As [`NanoDet::forward`].
    pub fn inner(&self, input: &Tensor) -> Result<Option<BTreeMap<String, Tensor>>, NanoDetError> {
        let (_, height, width) = input_size(input)?;
        let Network::Cpu(network) = &self.network else { return Ok(None) };
        let mut buffers = self.buffers(height, width);
        fill(&mut buffers, &input.get(0)?)?;
        let mut tensors: Vec<(String, CandleResult<Tensor>)> = Vec::new();
        let mut observe = |name: &str, map: &Map, channels: Range<usize>| {
            tensors.push((name.to_string(), planes(map, channels)));
        };
        network.run(&mut buffers, Some(&mut observe));
        self.keep(buffers);
        let tensors = tensors.into_iter().map(|(name, tensor)| Ok((name, tensor?)));
        Ok(Some(tensors.collect::<CandleResult<_>>()?))
    }

    fn heads(&self, input: &Tensor) -> Result<Heads, NanoDetError> {
        let (pictures, height, width) = input_size(input)?;
        let network = match &self.network {
            Network::Candle(network) => return Ok(Heads::of(network, input)?),
            Network::Cpu(network) => network,
        };
        let mut values: [Vec<f32>; 3] = Default::default();
        let mut buffers = self.buffers(height, width);
        for picture in 0..pictures {
            fill(&mut buffers, &input.get(picture)?)?;
            network.run(&mut buffers, None);
            for (values, level) in values.iter_mut().zip(buffers.levels()) {
                values.extend(level.values.chunks_exact(level.step).flat_map(|cell| cell.iter().take(HEAD)));
            }
        }
        self.keep(buffers);
        Ok(Heads { height, width, values })
    }
}

/// Pictures, height and width.
fn input_size(input: &Tensor) -> Result<(usize, usize, usize), NanoDetError> {
    match *input.dims() {
        [pictures, 3, height, width]
            if height.is_multiple_of(MULTIPLE) && width.is_multiple_of(MULTIPLE) && height * width > 0 =>
        {
            Ok((pictures, height, width))
        }
        ref shape => Err(NanoDetError::Input { shape: shape.to_vec() }),
    }
}

/// Writes a picture `(3, height, width)` into the buffers' input.
fn fill(buffers: &mut Buffers, picture: &Tensor) -> CandleResult<()> {
    let values = picture.permute((1, 2, 0))?.contiguous()?.flatten_all()?.to_vec1::<f32>()?;
    let input = &mut buffers.input;
    for (y, row) in values.chunks_exact(input.width * 3).enumerate() {
        let start = input.row(y);
        input.values[start..start + row.len()].copy_from_slice(row);
    }
    Ok(())
}

/// Channels of a map as a tensor `(1, channels, height, width)`.
fn planes(map: &Map, channels: Range<usize>) -> CandleResult<Tensor> {
    let mut values = Vec::with_capacity(map.height * map.width * channels.len());
    for y in 0..map.height {
        for pixel in map.values[map.row(y)..].chunks_exact(map.channels).take(map.width) {
            values.extend_from_slice(&pixel[channels.clone()]);
        }
    }
    let tensor = Tensor::from_vec(values, (1, map.height, map.width, channels.len()), &Device::Cpu)?;
    tensor.permute((0, 3, 1, 2))?.contiguous()
}
