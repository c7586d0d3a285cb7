//! Examples side by side, drawn by a thread of its own while the network learns.

use super::chart::{CELL, PARTS};
use super::draw::Artist;
use super::{Example, Settings, TrainError};
use crate::body::Body;
use crate::hmr2::crop::normalize;
use candle_core::{Device, Result, Tensor};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

/// Batches drawn ahead.
const AHEAD: usize = 4;

/// Some crops and what is true of them.
pub struct Batch {
    /// (B, 3, side, side), normalised.
    pub crops: Tensor,
    /// (B, 24, 3, 3)
    pub rotations: Tensor,
    /// (B, 10)
    pub betas: Tensor,
    /// (B, 44, 3), from the pelvis.
    pub joints: Tensor,
    /// (B, 44, 2)
    pub projected: Tensor,
    /// (B, 3)
    pub camera: Tensor,
}

/// The charts' cells that the backbone sees, crop by crop, patch by patch and within a patch row by row.
pub struct Cells {
    /// One for the part seen, (cells, 25).
    pub parts: Tensor,
    /// Depth and the three coordinates at rest, (cells, 4).
    pub places: Tensor,
    /// One where the person is, (cells, 1).
    pub covered: Tensor,
}

impl Cells {
    /// Cells of square patches `patch` pixels wide; a crop's outermost eighths are not seen.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn of(examples: &[Example], patch: usize, device: &Device) -> Result<Cells> {
        let (mut parts, mut places, mut covered) = (Vec::new(), Vec::new(), Vec::new());
        let within = patch / CELL;
        for Example { chart, .. } in examples {
            let cut = chart.side / 8;
            let (rows, columns) = (chart.side / within, (chart.side - 2 * cut) / within);
            let order = (0..rows * columns * within * within).map(|at| {
                let (patch, cell) = (at / (within * within), at % (within * within));
                let row = patch / columns * within + cell / within;
                row * chart.side + cut + patch % columns * within + cell % within
            });
            for cell in order {
                let part = chart.parts[cell] as usize;
                parts.extend((0..PARTS).map(|i| f32::from(i == part)));
                places.push(chart.depths[cell]);
                places.extend(chart.rests[cell]);
                covered.push(f32::from(part > 0));
            }
        }
        let tensor = |values: Vec<f32>, width: usize| Tensor::from_vec(values, ((), width), device);
        Ok(Cells { parts: tensor(parts, PARTS)?, places: tensor(places, 4)?, covered: tensor(covered, 1)? })
    }
}

impl Batch {
    /// # Errors
    /// If there is no memory for it.
    pub fn of(examples: &[Example], device: &Device) -> Result<Batch> {
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

/// The pictures of the steps from `first` on, drawn ahead by a thread that ends with the receiver.
pub struct Supply(Receiver<Vec<Example>>);

impl Supply {
    /// Starts drawing.
    pub fn start(body: Arc<Body>, settings: &Settings, first: usize) -> Supply {
        let (sender, receiver) = sync_channel(AHEAD);
        let mut artist =
            Artist::new(body, &settings.drawing, settings.seed, settings.architecture.image_size);
        let (batch, steps) = (settings.learning.batch, settings.learning.steps);
        thread::spawn(move || {
            for step in first..steps {
                let examples = (0..batch).map(|i| artist.draw((step * batch + i) as u64)).collect();
                if sender.send(examples).is_err() {
                    return; // nobody learns any more
                }
            }
        });
        Supply(receiver)
    }

    /// The next step's pictures.
    ///
    /// # Errors
    /// If the thread has stopped.
    pub fn next(&self) -> std::result::Result<Vec<Example>, TrainError> {
        self.0.recv().map_err(|_| TrainError::NoPictures)
    }
}
