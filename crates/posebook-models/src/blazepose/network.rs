//! Runs a network on a device: our own kernels on the CPU, candle on a GPU. Input: normalized crops; output: raw outputs.

use super::candle_network::{BatchOutput, CandleNetwork};
use super::cpu::{CpuNetwork, Output};
use super::footprint::Footprint;
use super::graph::{Graph, Node};
use super::store::{WeightSource, WeightsFile};
use super::variant::{INPUT_SHAPE, Variant};
use super::{BlazePoseError, ConvertedNetwork};
use crate::conv::Threads;
use candle_core::{DType, Device};
use rayon::prelude::*;
use std::path::Path;

/// A loaded network.
pub struct Network {
    variant: Variant,
    footprint: Footprint,
    backend: Backend,
}

enum Backend {
    Cpu(CpuNetwork),
    Tensors(CandleNetwork),
}

impl Network {
    /// Reads a safetensors file that [`ConvertedNetwork::write`] wrote. `precision` is used on a GPU only.
    ///
    /// # Errors
    /// If the file cannot be read or holds another network, or if the device fails.
    pub fn load(path: &Path, device: &Device, precision: DType) -> Result<Network, BlazePoseError> {
        let mut stored = WeightsFile::open(path)?;
        let (variant, graph) = (stored.variant, stored.graph.clone());
        variant.check(&graph).map_err(|problem| {
            stored.malformed(format!("its graph is not that of {}: {problem}", variant.name()))
        })?;
        Network::new(variant, &graph, &mut stored, device, precision)
    }

    /// Loads a network that was converted from a tflite file.
    ///
    /// # Errors
    /// If weights are missing or not finite, or if the device fails.
    pub fn from_converted(
        converted: &ConvertedNetwork,
        device: &Device,
        precision: DType,
    ) -> Result<Network, BlazePoseError> {
        let mut weights = converted;
        Network::new(converted.variant, &converted.graph, &mut weights, device, precision)
    }

    /// As [`Network::from_converted`], but always on candle: a reference for our kernels. On the CPU it is slower.
    ///
    /// # Errors
    /// If weights are missing or not finite, or if the device fails.
    pub fn from_converted_with_candle(
        converted: &ConvertedNetwork,
        device: &Device,
        precision: DType,
    ) -> Result<Network, BlazePoseError> {
        let (variant, graph) = (converted.variant, &converted.graph);
        let mut weights = converted;
        let body = Backend::Tensors(CandleNetwork::load(graph, &mut weights, device, precision)?);
        Ok(Network { variant, footprint: Footprint::from_graph(graph), backend: body })
    }

    fn new(
        variant: Variant,
        graph: &Graph,
        weights: &mut impl WeightSource,
        device: &Device,
        precision: DType,
    ) -> Result<Network, BlazePoseError> {
        let body = match device {
            Device::Cpu => Backend::Cpu(CpuNetwork::load(graph, weights, true)?),
            _ => Backend::Tensors(CandleNetwork::load(graph, weights, device, precision)?),
        };
        Ok(Network { variant, footprint: Footprint::from_graph(graph), backend: body })
    }

    /// The published network that this is.
    pub fn variant(&self) -> Variant {
        self.variant
    }

    /// Memory that it needs on the CPU.
    pub fn footprint(&self) -> Footprint {
        self.footprint
    }

    /// Runs the network on `crops` crops: `fill` writes the input of a crop, `read` takes its outputs. On the CPU a single
    /// crop uses all threads of rayon's pool, and several crops are processed in parallel.
    ///
    /// # Shapes
    /// `fill` writes `(256, 256, 3)`: red, green and blue, 0 to 1.
    ///
    /// # Errors
    /// If the GPU fails.
    pub fn run<R: Send>(
        &self,
        crops: usize,
        fill: impl Fn(usize, &mut [f32]) + Sync,
        read: impl Fn(usize, Output) -> R + Sync,
    ) -> Result<Vec<R>, BlazePoseError> {
        match &self.backend {
            Backend::Cpu(network) if crops == 1 => {
                Ok(vec![network.run(Threads::Pool, |input| fill(0, input), |output| read(0, output))])
            }
            Backend::Cpu(network) => {
                // with fewer crops than threads, crops share the threads; otherwise each thread processes one crop at a
                // time, so that no more sets of buffers are in use than there are threads
                let threads = match crops < rayon::current_num_threads() {
                    true => Threads::Pool,
                    false => Threads::One,
                };
                let run_one =
                    |crop| network.run(threads, |input| fill(crop, input), |output| read(crop, output));
                Ok((0..crops).into_par_iter().map(run_one).collect())
            }
            Backend::Tensors(_) if crops == 0 => Ok(Vec::new()),
            Backend::Tensors(network) => {
                let crop_len = INPUT_SHAPE.iter().product();
                let mut inputs = vec![0.0; crops * crop_len];
                inputs.par_chunks_exact_mut(crop_len).enumerate().for_each(|(crop, input)| fill(crop, input));
                let batch = network.run(inputs, crops)?;
                Ok((0..crops)
                    .into_par_iter()
                    .map(|crop| read(crop, batch.crop_output(crop, crops)))
                    .collect())
            }
        }
    }
}

impl BatchOutput {
    /// The outputs of one crop of a batch.
    pub fn crop_output(&self, crop: usize, crops: usize) -> Output<'_> {
        fn part(values: &[f32], crop: usize, crops: usize) -> &[f32] {
            let len = values.len() / crops.max(1);
            values.get(crop * len..(crop + 1) * len).unwrap_or_default()
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

/// Runs one crop on the CPU without fusing nodes and calls `visit` with each node and its output.
///
/// # Errors
/// If weights are missing or not finite.
pub fn trace(
    converted: &ConvertedNetwork,
    fill: impl FnOnce(&mut [f32]),
    visit: impl FnMut(&Node, &[f32]),
) -> Result<(), BlazePoseError> {
    let mut weights = converted;
    CpuNetwork::load(&converted.graph, &mut weights, false)?.trace(fill, visit);
    Ok(())
}
