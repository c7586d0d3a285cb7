//! Batches of examples, and a thread that generates them while the network trains.

use super::generator::CropGenerator;
use super::part_map::{CELL_PIXELS, PART_COUNT};
use super::{Example, Settings, TrainError};
use candle_core::{Device, Result, Tensor};
use posebook_models::body::Body;
use posebook_models::hmr2::crop::normalize;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

/// Number of batches generated in advance.
const PREFETCHED_BATCHES: usize = 4;

/// A batch of crops with their ground truth.
pub struct Batch {
    /// (B, 3, side, side), normalized.
    pub crops: Tensor,
    /// Joint rotations, (B, 24, 3, 3).
    pub rotations: Tensor,
    /// Shape, (B, 10).
    pub betas: Tensor,
    /// Joints relative to the pelvis, meters, (B, 44, 3).
    pub joints: Tensor,
    /// Joints in the crop, in crop sides from its center, (B, 44, 2).
    pub projected: Tensor,
    /// Camera: scale, x, y, (B, 3).
    pub camera: Tensor,
}

/// Part-map targets of the backbone's tokens: crop by crop, patch by patch, within a patch row by row.
pub struct CellTargets {
    /// One-hot part, (cells, 25).
    pub parts: Tensor,
    /// Depth and the three coordinates on the body at rest, meters, (cells, 4).
    pub coordinates: Tensor,
    /// 1 where the person is, (cells, 1).
    pub mask: Tensor,
}

impl CellTargets {
    /// Gathers the cells of square patches `patch` pixels wide. The backbone does not see the left and right eighth of a crop.
    ///
    /// # Errors
    /// If memory cannot be allocated.
    pub fn from_examples(examples: &[Example], patch: usize, device: &Device) -> Result<CellTargets> {
        let (mut parts, mut coordinates, mut mask) = (Vec::new(), Vec::new(), Vec::new());
        let within = patch / CELL_PIXELS;
        for Example { part_map, .. } in examples {
            let cut = part_map.side / 8;
            let (rows, columns) = (part_map.side / within, (part_map.side - 2 * cut) / within);
            let order = (0..rows * columns * within * within).map(|index| {
                let (patch, cell) = (index / (within * within), index % (within * within));
                let row = patch / columns * within + cell / within;
                row * part_map.side + cut + patch % columns * within + cell % within
            });
            for cell in order {
                let part = part_map.parts[cell] as usize;
                parts.extend((0..PART_COUNT).map(|i| f32::from(i == part)));
                coordinates.push(part_map.depths[cell]);
                coordinates.extend(part_map.rest_points[cell]);
                mask.push(f32::from(part > 0));
            }
        }
        let tensor = |values: Vec<f32>, width: usize| Tensor::from_vec(values, ((), width), device);
        Ok(CellTargets {
            parts: tensor(parts, PART_COUNT)?,
            coordinates: tensor(coordinates, 4)?,
            mask: tensor(mask, 1)?,
        })
    }
}

impl Batch {
    /// Gathers examples into tensors.
    ///
    /// # Errors
    /// If memory cannot be allocated.
    pub fn from_examples(examples: &[Example], device: &Device) -> Result<Batch> {
        let b = examples.len();
        let side = examples.first().map_or(0, |example| example.side);
        let mut pixels = vec![0f32; b * 3 * side * side];
        for (example, out) in examples.iter().zip(pixels.chunks_exact_mut((3 * side * side).max(1))) {
            normalize(&example.rgb, out);
        }
        let gather = |of: &dyn Fn(&Example) -> Vec<f32>| examples.iter().flat_map(of).collect::<Vec<f32>>();
        let rotations = gather(&|example| {
            let all = std::iter::once(&example.params.global_orient).chain(&example.params.body_pose);
            all.flat_map(|rotation| rotation.as_flattened().to_vec()).collect()
        });
        Ok(Batch {
            crops: Tensor::from_vec(pixels, (b, 3, side, side), device)?,
            rotations: Tensor::from_vec(rotations, (b, 24, 3, 3), device)?,
            betas: Tensor::from_vec(gather(&|e| e.params.betas.to_vec()), (b, 10), device)?,
            joints: Tensor::from_vec(gather(&|e| e.joints.as_flattened().to_vec()), (b, 44, 3), device)?,
            projected: Tensor::from_vec(
                gather(&|e| e.projected.as_flattened().to_vec()),
                (b, 44, 2),
                device,
            )?,
            camera: Tensor::from_vec(gather(&|e| e.camera.to_vec()), (b, 3), device)?,
        })
    }
}

/// Generates the examples of the steps from `first` on in a background thread, which ends with the receiver.
pub struct ExampleLoader(Receiver<Vec<Example>>);

impl ExampleLoader {
    /// Starts the thread.
    pub fn start(body: Arc<Body>, settings: &Settings, first: usize) -> ExampleLoader {
        let (sender, receiver) = sync_channel(PREFETCHED_BATCHES);
        let mut generator =
            CropGenerator::new(body, &settings.drawing, settings.seed, settings.architecture.image_size);
        let (batch, steps) = (settings.learning.batch, settings.learning.steps);
        thread::spawn(move || {
            for step in first..steps {
                let examples = (0..batch).map(|i| generator.generate((step * batch + i) as u64)).collect();
                if sender.send(examples).is_err() {
                    return; // the receiver was dropped
                }
            }
        });
        ExampleLoader(receiver)
    }

    /// The examples of the next step.
    ///
    /// # Errors
    /// If the thread has stopped.
    pub fn next_batch(&self) -> std::result::Result<Vec<Example>, TrainError> {
        self.0.recv().map_err(|_| TrainError::GeneratorStopped)
    }
}
