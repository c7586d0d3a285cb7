//! Squeeze and excite: a factor between 0 and 1 for each channel of a map, from the means of all its channels.
//!
//! In: a map `(b, h, w, c)`. Out: the map times its gate `(b, 1, 1, c)`. Sources: Hu et al. 2018 and detectron2's `SE`.
//! The means are always taken in `f32`: a sum over all pixels would overflow in half precision.

use super::layers::{Activation, Conv2d, ConvSpec, Loader, Operators};
use candle_core::{CpuStorage, CustomOp1, DType, InplaceOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

/// Pixels that one thread adds up in `f32`. The sums of such chunks are added in `f64`. The order of the additions does not
/// depend on the number of threads or images.
const CHUNK: usize = 128;

/// Two linear layers with a ReLU between them and a sigmoid after them.
#[derive(Debug)]
pub(super) struct SqueezeExcite {
    squeeze: Conv2d,
    excite: Conv2d,
    operators: Operators,
}

impl SqueezeExcite {
    /// Reads `0` and `2` of maps with `channels`; `squeezed` values lie between the layers.
    pub(super) fn load(channels: usize, squeezed: usize, loader: &Loader) -> Result<SqueezeExcite> {
        let spec =
            ConvSpec { inputs: channels, outputs: squeezed, kernel: 1, stride: 1, padding: 0, groups: 1 };
        let back = ConvSpec { inputs: squeezed, outputs: channels, ..spec };
        Ok(SqueezeExcite {
            squeeze: loader.pp("0").conv(spec, Activation::Relu)?,
            excite: loader.pp("2").conv(back, Activation::None)?,
            operators: loader.operators(),
        })
    }

    /// The factors `(b, 1, 1, c)` of a map.
    pub(super) fn gate(&self, map: &Tensor) -> Result<Tensor> {
        let in_f32 = map.to_dtype(DType::F32)?;
        let means = match self.uses_kernels(map) {
            true => in_f32.apply_op1_no_bwd(&PixelMeans)?,
            false => in_f32.mean_keepdim((1, 2))?,
        };
        let excited = self.excite.forward(&self.squeeze.forward(&means.to_dtype(map.dtype())?)?)?;
        candle_nn::ops::sigmoid(&excited)
    }

    /// The map times its gate. `map` must not be in use elsewhere: in `f32` on the CPU its values are replaced.
    pub(super) fn apply(&self, map: Tensor, gate: &Tensor) -> Result<Tensor> {
        if !self.uses_kernels(&map) || map.dtype() != DType::F32 {
            return map.broadcast_mul(gate);
        }
        map.inplace_op2(&gate.contiguous()?, &ScaleChannels)?;
        Ok(map)
    }

    fn uses_kernels(&self, map: &Tensor) -> bool {
        self.operators.use_kernels_on(map.device())
    }
}

/// The values of a contiguous `f32` operand.
fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((from, to))) => Ok(&values[from..to]),
        _ => bail!("squeeze and excite: the operand has to be f32 and contiguous"),
    }
}

/// Means over the pixels of a map: `(b, h, w, c)` to `(b, 1, 1, c)`.
struct PixelMeans;

impl CustomOp1 for PixelMeans {
    fn name(&self) -> &'static str {
        "pixel-means"
    }

    fn cpu_fwd(&self, map: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (images, height, width, channels) = layout.shape().dims4()?;
        let values = values(map, layout)?;
        let pixels = height * width;
        let mut means = Vec::with_capacity(images * channels);
        if channels > 0 {
            for image in values.chunks_exact((pixels * channels).max(1)) {
                let sums: Vec<Vec<f32>> =
                    image.par_chunks(CHUNK * channels).map(|chunk| channel_sums(chunk, channels)).collect();
                let sum = |channel: usize| sums.iter().map(|sums| f64::from(sums[channel])).sum::<f64>();
                means.extend((0..channels).map(|channel| (sum(channel) / pixels as f64) as f32));
            }
        }
        Ok((CpuStorage::F32(means), Shape::from((images, 1, 1, channels))))
    }
}

/// Sums of a few pixels, channel by channel.
fn channel_sums(pixels: &[f32], channels: usize) -> Vec<f32> {
    let mut sums = vec![0.0; channels];
    for pixel in pixels.chunks_exact(channels) {
        sums.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += value);
    }
    sums
}

/// Multiplies a map `(b, h, w, c)` by `(b, 1, 1, c)` in its place.
struct ScaleChannels;

impl InplaceOp2 for ScaleChannels {
    fn name(&self) -> &'static str {
        "scale-channels"
    }

    fn cpu_fwd(
        &self,
        map: &mut CpuStorage,
        layout: &Layout,
        gate: &CpuStorage,
        gate_layout: &Layout,
    ) -> Result<()> {
        let (images, height, width, channels) = layout.shape().dims4()?;
        let gate = values(gate, gate_layout)?;
        let (CpuStorage::F32(map), Some((from, to))) = (map, layout.contiguous_offsets()) else {
            bail!("squeeze and excite: the map has to be f32 and contiguous");
        };
        if gate.len() != images * channels {
            bail!("squeeze and excite: {} factors for {images} x {channels} channels", gate.len());
        }
        if gate.is_empty() || height * width == 0 {
            return Ok(());
        }
        for (image, gate) in
            map[from..to].chunks_exact_mut(height * width * channels).zip(gate.chunks_exact(channels))
        {
            image.par_chunks_mut(CHUNK * channels).for_each(|chunk| {
                for pixel in chunk.chunks_exact_mut(channels) {
                    pixel.iter_mut().zip(gate).for_each(|(value, factor)| *value *= factor);
                }
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn kernels_equal_candles_operators() {
        let (b, h, w, c) = (3, 19, 23, 20);
        let values: Vec<f32> =
            (0..b * h * w * c).map(|i| ((i * 7919 % 1013) as f32 - 400.0) / 100.0).collect();
        let map = Tensor::from_vec(values, (b, h, w, c), &Device::Cpu).unwrap();
        let means = map.apply_op1_no_bwd(&PixelMeans).unwrap();
        let expected = map.mean_keepdim((1, 2)).unwrap();
        let difference = (means.clone() - expected).unwrap().abs().unwrap().max_all().unwrap();
        assert!(difference.to_scalar::<f32>().unwrap() < 1e-5);

        let expected = map.broadcast_mul(&means).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        map.inplace_op2(&means, &ScaleChannels).unwrap();
        assert_eq!(map.flatten_all().unwrap().to_vec1::<f32>().unwrap(), expected);
    }

    #[test]
    fn means_of_many_pixels_are_exact_to_single_precision() {
        // one f32 sum in sequence would be off by 1e-4 and more
        let map = Tensor::full(0.1f32, (1, 400, 500, 2), &Device::Cpu).unwrap();
        let means =
            map.apply_op1_no_bwd(&PixelMeans).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(means.iter().all(|mean| (mean - 0.1).abs() < 1e-7), "{means:?}");
    }
}
