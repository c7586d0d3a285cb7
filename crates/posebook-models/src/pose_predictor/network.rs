//! The masked transformer, from normalized poses at positions in time to tokens.

use super::head::Heads;
use super::layer::Layer;
use super::{Sizes, convolution::TimeConvolutions};
use crate::nn::{Linear, linear};
use candle_core::{Device, Module, Result, Tensor};
use candle_nn::VarBuilder;
use posebook_core::appearance::POSE_VECTOR_LENGTH;

/// Called with a name and an activation.
pub type ActivationCallback<'c> = &'c mut dyn FnMut(&str, &Tensor);

/// Sequences of a batch: which pose is at which position.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sequences {
    /// Normalized pose vectors, [`POSE_VECTOR_LENGTH`] values each.
    pub poses: Vec<f32>,
    /// For each sequence, one entry per position: the index of its pose, or `None` for a masked position.
    pub positions: Vec<Vec<Option<u32>>>,
}

impl Sequences {
    /// Some of the sequences, with the poses that they have. `positions` is a part of these sequences' positions.
    pub(super) fn part(&self, positions: &[Vec<Option<u32>>]) -> Sequences {
        let mut part = Sequences::default();
        // sequences may share poses, as overlapping windows of a track do
        let mut moved = std::collections::HashMap::new();
        for sequence in positions {
            let placed = sequence.iter().map(|position| {
                position.map(|pose| {
                    let next = moved.len() as u32;
                    *moved.entry(pose).or_insert_with(|| {
                        let from = pose as usize * POSE_VECTOR_LENGTH;
                        part.poses.extend_from_slice(&self.poses[from..from + POSE_VECTOR_LENGTH]);
                        next
                    })
                })
            });
            part.positions.push(placed.collect());
        }
        part
    }
}

/// The network.
#[derive(Debug, Clone)]
pub struct Network {
    sizes: Sizes,
    pose_encoder: [Linear; 2],
    mask_token: Tensor,
    positions: [Tensor; 2],
    first: Vec<Layer>,
    convolutions: TimeConvolutions,
    second: Layer,
    heads: Heads,
    device: Device,
}

impl Network {
    /// Reads the tensors `encoder.*`.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape.
    pub fn load(sizes: &Sizes, vb: VarBuilder) -> Result<Network> {
        let device = vb.device().clone();
        let vb = vb.pp("encoder");
        let (width, frames) = (sizes.width, sizes.frames);
        let layers = vb.pp("transformer1.layers");
        Ok(Network {
            pose_encoder: [
                linear(POSE_VECTOR_LENGTH, sizes.pose_hidden, vb.pp("pose_shape_encoder.0"))?,
                linear(sizes.pose_hidden, width, vb.pp("pose_shape_encoder.2"))?,
            ],
            mask_token: vb.get(width, "mask_token")?.reshape((1, width))?,
            positions: [
                vb.get((1, frames, width), "pos_embedding_learned1")?,
                vb.get((1, frames, width), "pos_embedding_learned2")?,
            ],
            first: (0..sizes.depth)
                .map(|index| Layer::load(sizes, layers.pp(index)))
                .collect::<Result<_>>()?,
            convolutions: TimeConvolutions::load(sizes, vb.clone())?,
            second: Layer::load(sizes, vb.pp("transformer2.layers.0"))?,
            heads: Heads::load(sizes, vb)?,
            sizes: sizes.clone(),
            device,
        })
    }

    /// The sizes.
    pub fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The heads.
    pub fn heads(&self) -> &Heads {
        &self.heads
    }

    /// The tokens of every position of every sequence.
    ///
    /// # Shapes
    /// The result is `(b, frames, width)`.
    ///
    /// # Errors
    /// If a sequence does not have one entry per position, or the device fails.
    pub fn forward(&self, sequences: &Sequences, on_activation: ActivationCallback) -> Result<Tensor> {
        let tokens = self.first_stage(sequences, on_activation)?;
        let tokens = self.second.forward(&tokens, &tokens, None)?;
        on_activation("transformer2_out", &tokens);
        Ok(tokens)
    }

    /// The token of one position of each sequence.
    ///
    /// # Shapes
    /// `at` has one position per sequence; the result is `(b, width)`.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn forward_at(&self, sequences: &Sequences, at: &[usize]) -> Result<Tensor> {
        let tokens = self.first_stage(sequences, &mut |_, _| ())?;
        let (b, frames, width) = tokens.dims3()?;
        let rows: Vec<u32> = at.iter().enumerate().map(|(index, at)| (index * frames + at) as u32).collect();
        let rows = Tensor::from_vec(rows, at.len(), &self.device)?;
        let queries = tokens.reshape((b * frames, width))?.index_select(&rows, 0)?.reshape((b, 1, width))?;
        self.second.forward(&queries, &tokens, None)?.squeeze(1)
    }

    /// Everything before the second transformer.
    fn first_stage(&self, sequences: &Sequences, on_activation: ActivationCallback) -> Result<Tensor> {
        let mut tokens = self.embed(sequences)?;
        on_activation("transformer1_in", &tokens);
        let keys = Keys::new(&sequences.positions, self.sizes.frames, &self.device)?;
        for layer in &self.first {
            tokens = layer.forward(&tokens, &keys.gather(&tokens)?, keys.kept.as_ref())?;
        }
        on_activation("transformer1_out", &tokens);
        let shortened = self.convolutions.shorten(&tokens)?;
        on_activation("conv_en_out", &shortened);
        let restored = self.convolutions.restore(&shortened)?;
        on_activation("conv_de_out", &restored);
        restored.broadcast_add(&self.positions[1])
    }

    /// The input tokens: encoded poses, or the mask token, plus the positions.
    fn embed(&self, sequences: &Sequences) -> Result<Tensor> {
        let (b, frames, width) = (sequences.positions.len(), self.sizes.frames, self.sizes.width);
        if let Some(other) = sequences.positions.iter().find(|positions| positions.len() != frames) {
            candle_core::bail!("a sequence has {} positions, but the network has {frames}", other.len());
        }
        let poses = sequences.poses.len() / POSE_VECTOR_LENGTH;
        let poses = Tensor::from_slice(&sequences.poses, (poses, POSE_VECTOR_LENGTH), &self.device)?;
        let table = match poses.dim(0)? {
            0 => self.mask_token.clone(),
            _ => {
                let [first, second] = &self.pose_encoder;
                Tensor::cat(&[&self.mask_token, &second.forward(&first.forward(&poses)?.relu()?)?], 0)?
            }
        };
        // row 0 is the mask token
        let row = |position: &Option<u32>| position.map_or(0, |pose| pose + 1);
        let rows: Vec<u32> = sequences.positions.iter().flatten().map(row).collect();
        let rows = Tensor::from_vec(rows, b * frames, &self.device)?;
        table.index_select(&rows, 0)?.reshape((b, frames, width))?.broadcast_add(&self.positions[0])
    }
}

/// The keys of the first transformer: the positions that have a pose.
///
/// A masked key has a score of -1000, so that its weight is zero in `f32` unless no score is above -890. Masked keys are
/// therefore left out, except where a sequence has no other: there the weights are uniform over all positions.
struct Keys {
    /// Rows of the keys among all tokens, the same number for each sequence; `None`: all tokens.
    rows: Option<Tensor>,
    /// `(b, 1, 1, m)`: 1 for a key, 0 for a masked one; `None` if none is masked.
    kept: Option<Tensor>,
}

impl Keys {
    fn new(positions: &[Vec<Option<u32>>], frames: usize, device: &Device) -> Result<Keys> {
        let b = positions.len();
        let observed: Vec<Vec<usize>> = positions
            .iter()
            .map(|positions| (0..positions.len()).filter(|&at| positions[at].is_some()).collect())
            .collect();
        let most = observed.iter().map(Vec::len).max().unwrap_or(0);
        if most == frames || observed.iter().any(Vec::is_empty) {
            let kept: Vec<f32> =
                positions.iter().flatten().map(|position| f32::from(position.is_some())).collect();
            let kept = Tensor::from_vec(kept, (b, 1, 1, frames), device)?;
            return Ok(Keys { rows: None, kept: Some(kept) });
        }
        let (mut rows, mut kept) = (Vec::with_capacity(b * most), Vec::with_capacity(b * most));
        for (index, observed) in observed.iter().enumerate() {
            // shorter lists are filled with their first key, which is masked there
            for place in 0..most {
                let at = observed.get(place).unwrap_or(&observed[0]);
                rows.push((index * frames + at) as u32);
                kept.push(f32::from(place < observed.len()));
            }
        }
        let kept = match kept.contains(&0.0) {
            true => Some(Tensor::from_vec(kept, (b, 1, 1, most), device)?),
            false => None,
        };
        Ok(Keys { rows: Some(Tensor::from_vec(rows, b * most, device)?), kept })
    }

    fn gather(&self, tokens: &Tensor) -> Result<Tensor> {
        let (b, frames, width) = tokens.dims3()?;
        match &self.rows {
            Some(rows) => tokens.reshape((b * frames, width))?.index_select(rows, 0)?.reshape((b, (), width)),
            None => Ok(tokens.clone()),
        }
    }
}
