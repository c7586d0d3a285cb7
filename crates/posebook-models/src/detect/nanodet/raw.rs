//! The network's raw outputs: for comparison with the original, and for devices other than the CPU.

use super::architecture::{CLASSES, HEAD, SIZE_MULTIPLE, STRIDES};
use super::cpu::Buffers;
use super::decode::{self, NotANumber};
use super::heads::Heads;
use super::kernel::PaddedMap;
use super::{NanoDet, NanoDetError, Network, Settings};
use candle_core::{Device, Result as CandleResult, Tensor};
use std::collections::BTreeMap;
use std::ops::Range;

/// The network's output for one level, before decoding.
#[derive(Debug, Clone)]
pub struct LevelOutput {
    /// Distance of two cells, pixels of the input.
    pub stride: usize,
    /// `(images, cells, 80)`: the probability of each COCO class (0 is a person); cells row by row.
    pub scores: Tensor,
    /// `(images, cells, 44)`: logits of the distances 0 to 10 strides from the cell's center to the left, top, right
    /// and bottom side.
    pub bins: Tensor,
}

impl NanoDet {
    /// The raw outputs for normalized images, finest level first, in host memory.
    ///
    /// # Shapes
    /// `input` `(images, 3, height, width)`: blue, green and red, minus the mean, divided by the standard deviation; height
    /// and width are multiples of 32.
    ///
    /// # Errors
    /// If the input has another shape, or the device fails.
    pub fn forward(&self, input: &Tensor) -> Result<Vec<LevelOutput>, NanoDetError> {
        let heads = self.heads(input)?;
        let images = input.dim(0)?;
        let output = |(values, stride): (Vec<f32>, usize)| {
            let cells = (heads.height / stride) * (heads.width / stride);
            let head = Tensor::from_vec(values, (images, cells, HEAD), &Device::Cpu)?;
            let logits = head.narrow(2, 0, CLASSES)?.flatten_all()?.to_vec1::<f32>()?;
            let scores: Vec<f32> = logits.into_iter().map(decode::sigmoid).collect();
            let scores = Tensor::from_vec(scores, (images, cells, CLASSES), &Device::Cpu)?;
            Ok(LevelOutput { stride, scores, bins: head.narrow(2, CLASSES, HEAD - CLASSES)?.contiguous()? })
        };
        heads.values.into_iter().zip(STRIDES).map(output).collect()
    }

    /// Boxes of people in normalized images (as for [`NanoDet::forward`]): left, top, right, bottom in pixels of the
    /// input, not clipped, then the score; best first. The minimum size of the settings is ignored.
    ///
    /// # Errors
    /// As [`NanoDet::forward`], and if a score is NaN.
    pub fn boxes(&self, input: &Tensor) -> Result<Vec<Vec<[f64; 5]>>, NanoDetError> {
        let heads = self.heads(input)?;
        let Settings { score, overlap, most_people, .. } = self.settings;
        let boxes = |image| {
            let people = decode::decode_people(&heads.levels(image), score, overlap, most_people)
                .map_err(|NotANumber| NanoDetError::NotFinite { frame: image })?;
            let rows = people.into_iter().map(|person| {
                let [x1, y1, x2, y2] = person.sides;
                [x1, y1, x2, y2, person.score]
            });
            Ok(rows.collect())
        };
        (0..input.dim(0)?).map(boxes).collect()
    }

    /// Layer outputs `(1, channels, height, width)` by layer name for one normalized image `(1, 3, height, width)`; `None`
    /// with candle's operators.
    ///
    /// # Errors
    /// As [`NanoDet::forward`].
    pub fn activations(&self, input: &Tensor) -> Result<Option<BTreeMap<String, Tensor>>, NanoDetError> {
        let (_, height, width) = input_size(input)?;
        let Network::Cpu(network) = &self.network else { return Ok(None) };
        let mut buffers = self.take_buffers(height, width);
        fill_input(&mut buffers, &input.get(0)?)?;
        let mut tensors: Vec<(String, CandleResult<Tensor>)> = Vec::new();
        let mut on_activation = |name: &str, map: &PaddedMap, channels: Range<usize>| {
            tensors.push((name.to_string(), to_nchw(map, channels)));
        };
        network.run(&mut buffers, Some(&mut on_activation));
        self.store_buffers(buffers);
        let tensors = tensors.into_iter().map(|(name, tensor)| Ok((name, tensor?)));
        Ok(Some(tensors.collect::<CandleResult<_>>()?))
    }

    fn heads(&self, input: &Tensor) -> Result<Heads, NanoDetError> {
        let (images, height, width) = input_size(input)?;
        let network = match &self.network {
            Network::Candle(network) => return Ok(Heads::run(network, input)?),
            Network::Cpu(network) => network,
        };
        let mut values: [Vec<f32>; 3] = Default::default();
        let mut buffers = self.take_buffers(height, width);
        for image in 0..images {
            fill_input(&mut buffers, &input.get(image)?)?;
            network.run(&mut buffers, None);
            for (values, level) in values.iter_mut().zip(buffers.levels()) {
                values.extend(level.values.chunks_exact(level.step).flat_map(|cell| cell.iter().take(HEAD)));
            }
        }
        self.store_buffers(buffers);
        Ok(Heads { height, width, values })
    }
}

/// Batch size, height and width of a valid input.
fn input_size(input: &Tensor) -> Result<(usize, usize, usize), NanoDetError> {
    match *input.dims() {
        [images, 3, height, width]
            if height.is_multiple_of(SIZE_MULTIPLE)
                && width.is_multiple_of(SIZE_MULTIPLE)
                && height * width > 0 =>
        {
            Ok((images, height, width))
        }
        ref shape => Err(NanoDetError::Input { shape: shape.to_vec() }),
    }
}

/// Copies an image `(3, height, width)` to the buffers' input.
fn fill_input(buffers: &mut Buffers, image: &Tensor) -> CandleResult<()> {
    let values = image.permute((1, 2, 0))?.contiguous()?.flatten_all()?.to_vec1::<f32>()?;
    let input = &mut buffers.input;
    for (y, row) in values.chunks_exact(input.width * 3).enumerate() {
        let start = input.row(y);
        input.values[start..start + row.len()].copy_from_slice(row);
    }
    Ok(())
}

/// Copies channels of a map to a tensor `(1, channels, height, width)`.
fn to_nchw(map: &PaddedMap, channels: Range<usize>) -> CandleResult<Tensor> {
    let mut values = Vec::with_capacity(map.height * map.width * channels.len());
    for y in 0..map.height {
        for pixel in map.values[map.row(y)..].chunks_exact(map.channels).take(map.width) {
            values.extend_from_slice(&pixel[channels.clone()]);
        }
    }
    let tensor = Tensor::from_vec(values, (1, map.height, map.width, channels.len()), &Device::Cpu)?;
    tensor.permute((0, 3, 1, 2))?.contiguous()
}
