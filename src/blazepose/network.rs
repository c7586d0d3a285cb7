//! A network on a device: our own kernels on the CPU, candle's tensors on a graphics card.
//!
//! Must not know pictures nor people.

use super::cpu::{CpuNetwork, Output};
use super::footprint::Footprint;
use super::graph::{Graph, Node};
use super::store::{Source, Stored};
use super::tensors::{BatchOutput, TensorNetwork};
use super::variant::{INPUT, Variant};
use super::{BlazePoseError, Converted};
use crate::nn::conv::Threads;
use candle_core::{DType, Device};
use rayon::prelude::*;
use std::path::Path;

/// A network that crops can be given to.
pub struct Network {
    variant: Variant,
    footprint: Footprint,
    body: Body,
}

enum Body {
    Cpu(CpuNetwork),
    Tensors(TensorNetwork),
}

impl Network {
    /// Reads a safetensors file that [`Converted::write`] wrote. `precision` matters on a graphics card only.
    ///
    /// # Errors
    /// If the file cannot be read, does not hold a network with this input, or if the device refuses.
    pub fn load(path: &Path, device: &Device, precision: DType) -> Result<Network, BlazePoseError> {
        let mut stored = Stored::open(path)?;
        let (variant, graph) = (stored.variant, stored.graph.clone());
        variant.check(&graph).map_err(|problem| {
            stored.malformed(format!("its graph is not that of {}: {problem}", variant.name()))
        })?;
        Network::new(variant, &graph, &mut stored, device, precision)
    }

    /// The network that was taken from a tflite file.
    ///
    /// # Errors
    /// If weights are missing or not finite, or if the device refuses.
    pub fn from_converted(
        converted: &Converted,
        device: &Device,
        precision: DType,
    ) -> Result<Network, BlazePoseError> {
        let mut weights = converted;
        Network::new(converted.variant, &converted.graph, &mut weights, device, precision)
    }

    /// The same through candle's tensors on any device, the CPU included, where it is slower than our own kernels: to
    /// hold one against the other.
    ///
    /// # Errors
    /// If weights are missing or not finite, or if the device refuses.
    pub fn through_tensors(
        converted: &Converted,
        device: &Device,
        precision: DType,
    ) -> Result<Network, BlazePoseError> {
        let (variant, graph) = (converted.variant, &converted.graph);
        let mut weights = converted;
        let body = Body::Tensors(TensorNetwork::load(graph, &mut weights, device, precision)?);
        Ok(Network { variant, footprint: Footprint::of(graph), body })
    }

    fn new(
        variant: Variant,
        graph: &Graph,
        weights: &mut impl Source,
        device: &Device,
        precision: DType,
    ) -> Result<Network, BlazePoseError> {
        let body = match device {
            Device::Cpu => Body::Cpu(CpuNetwork::load(graph, weights, true)?),
            _ => Body::Tensors(TensorNetwork::load(graph, weights, device, precision)?),
        };
        Ok(Network { variant, footprint: Footprint::of(graph), body })
    }

    /// Which of the published networks it is.
    pub fn variant(&self) -> Variant {
        self.variant
    }

    /// What it holds in memory.
    pub fn footprint(&self) -> Footprint {
        self.footprint
    }

    /// Computes `crops` crops: `fill` writes the input of each, `read` takes its results. On the CPU one crop uses
    /// the threads of rayon's pool, and several are computed beside each other.
    ///
    /// # Shapes
    /// `fill` writes `(256, 256, 3)`: red, green and blue, 0 to 1.
    ///
    /// # Errors
    /// If a graphics card fails.
    pub fn run<R: Send>(
        &self,
        crops: usize,
        fill: impl Fn(usize, &mut [f32]) + Sync,
        read: impl Fn(usize, Output) -> R + Sync,
    ) -> Result<Vec<R>, BlazePoseError> {
        match &self.body {
            Body::Cpu(network) if crops == 1 => {
                Ok(vec![network.run(Threads::Pool, |input| fill(0, input), |output| read(0, output))])
            }
            Body::Cpu(network) => {
                // fewer crops than threads share them; otherwise a thread computes a whole crop, so that no more
                // buffers are in use than there are threads
                let threads = match crops < rayon::current_num_threads() {
                    true => Threads::Pool,
                    false => Threads::One,
                };
                let one = |crop| network.run(threads, |input| fill(crop, input), |output| read(crop, output));
                Ok((0..crops).into_par_iter().map(one).collect())
            }
            Body::Tensors(_) if crops == 0 => Ok(Vec::new()),
            Body::Tensors(network) => {
                let numbers = INPUT.iter().product();
                let mut inputs = vec![0.0; crops * numbers];
                inputs.par_chunks_exact_mut(numbers).enumerate().for_each(|(crop, input)| fill(crop, input));
                let batch = network.run(inputs, crops)?;
                Ok((0..crops).into_par_iter().map(|crop| read(crop, batch.of(crop, crops))).collect())
            }
        }
    }
}

impl BatchOutput {
    /// The results of one crop of a batch.
    pub fn of(&self, crop: usize, crops: usize) -> Output<'_> {
        fn part(numbers: &[f32], crop: usize, crops: usize) -> &[f32] {
            let len = numbers.len() / crops.max(1);
            numbers.get(crop * len..(crop + 1) * len).unwrap_or_default()
        }
        Output {
            landmarks: part(&self.landmarks, crop, crops),
            presence: self.presence.get(crop).copied().unwrap_or(f32::NAN),
            segmentation: part(&self.segmentation, crop, crops),
            heatmap: part(&self.heatmap, crop, crops),
            world: part(&self.world, crop, crops),
        }
    }
}

/// Computes one crop on the CPU without joining nodes, and shows each node and its result to `visit`.
///
/// # Errors
/// If weights are missing or not finite.
pub fn trace(
    converted: &Converted,
    fill: impl FnOnce(&mut [f32]),
    visit: impl FnMut(&Node, &[f32]),
) -> Result<(), BlazePoseError> {
    let mut weights = converted;
    CpuNetwork::load(&converted.graph, &mut weights, false)?.trace(fill, visit);
    Ok(())
}
