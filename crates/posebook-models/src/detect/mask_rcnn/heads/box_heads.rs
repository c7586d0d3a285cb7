//! The heads that turn proposals into detections: a single one, or a cascade.
//!
//! The single head ("standard") has a box for each class. In a cascade of three heads (Cai and Vasconcelos 2018) each head
//! refines the boxes of the one before, one box for all classes; the scores are the mean of the three heads, the boxes
//! those of the last.

use super::HeadError;
use super::box_stage::{BoxStage, StageOutput};
use super::select::{Found, Thresholds, is_finite, select};
use crate::detect::mask_rcnn::boxes::{Corners, NetworkSize, clip};
use crate::detect::mask_rcnn::budget::Budget;
use crate::detect::mask_rcnn::config;
use crate::detect::mask_rcnn::layers::Loader;
use candle_core::{Result, Tensor, bail};

/// What the deltas of each stage are divided by, the standard head's first.
const WEIGHTS: [[f32; 4]; 3] = [[10.0, 10.0, 5.0, 5.0], [20.0, 20.0, 10.0, 10.0], [30.0, 30.0, 15.0, 15.0]];

/// A single head or a cascade of three.
#[derive(Debug)]
pub struct BoxHeads {
    stages: Vec<BoxStage>,
    classes: usize,
}

/// Scores and boxes of proposals.
#[derive(Debug, Clone)]
pub struct Refined {
    /// What each stage computed. The proposals of a stage are the boxes of the one before, clipped to the image.
    pub stages: Vec<StageOutput>,
    /// A row for each proposal: the probabilities of the classes and, last, of the background, averaged over the stages.
    pub scores: Vec<f32>,
}

impl Refined {
    /// The boxes of the last stage, not clipped: one per proposal, or one per proposal and class.
    pub fn boxes(&self) -> &[Corners] {
        self.stages.last().map_or(&[], |stage| &stage.boxes)
    }
}

impl BoxHeads {
    /// Reads `box_head` and `box_predictor` below `loader`: those of a cascade have the stage's index below them.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape, or there are more than three stages.
    pub fn load(
        sizes: &config::BoxHead,
        channels: usize,
        classes: usize,
        loader: &Loader,
    ) -> Result<BoxHeads> {
        let (head, predictor) = (loader.pp("box_head"), loader.pp("box_predictor"));
        let is_cascade = sizes.stages > 1;
        let outputs = [classes + 1, if is_cascade { 1 } else { classes }];
        let load = |stage: usize| {
            let Some(&weights) = WEIGHTS.get(stage) else {
                bail!("a cascade of {} heads: at most {} are known", sizes.stages, WEIGHTS.len());
            };
            let (head, predictor) = if is_cascade {
                (head.pp(stage), predictor.pp(stage))
            } else {
                (head.clone(), predictor.clone())
            };
            BoxStage::load(sizes, channels, outputs, weights, [&head, &predictor])
        };
        Ok(BoxHeads { stages: (0..sizes.stages).map(load).collect::<Result<_>>()?, classes })
    }

    /// Scores and refines the proposals of image `image` of the pyramid's batch, whose size without padding is `size`.
    /// `on_activation` gets `stage0.pooled` `(n, 7, 7, c)` and `stage0.fc` `(n, width)` of each stage, for successive
    /// proposals.
    ///
    /// # Errors
    /// If the device fails.
    pub fn refine(
        &self,
        pyramid: &[Tensor],
        image: usize,
        proposals: &[Corners],
        size: NetworkSize,
        budget: Budget,
        on_activation: &mut dyn FnMut(&str, &Tensor),
    ) -> Result<Refined> {
        let mut scores = vec![0.0; proposals.len() * (self.classes + 1)];
        let mut stages: Vec<StageOutput> = Vec::with_capacity(self.stages.len());
        for (index, stage) in self.stages.iter().enumerate() {
            let proposals = match stages.last() {
                None => proposals.to_vec(),
                Some(before) => before.boxes.iter().map(|&corners| next_proposal(corners, size)).collect(),
            };
            let mut on_stage =
                |name: &str, tensor: &Tensor| on_activation(&format!("stage{index}.{name}"), tensor);
            let output = stage.forward(pyramid, image, proposals, budget, &mut on_stage)?;
            scores.iter_mut().zip(output.probabilities()).for_each(|(sum, score)| *sum += score);
            stages.push(output);
        }
        let mean = (1.0 / self.stages.len() as f64) as f32;
        scores.iter_mut().for_each(|sum| *sum *= mean);
        drop_lost_boxes(&stages, &mut scores);
        Ok(Refined { stages, scores })
    }

    /// The detections among the proposals of image `image` of the pyramid's batch, best first.
    ///
    /// # Errors
    /// [`HeadError::NotFinite`] if there are proposals, but none has finite scores and boxes; or if the device fails.
    pub fn detect(
        &self,
        pyramid: &[Tensor],
        image: usize,
        proposals: &[Corners],
        size: NetworkSize,
        thresholds: Thresholds,
        budget: Budget,
    ) -> std::result::Result<Vec<Found>, HeadError> {
        let refined = self.refine(pyramid, image, proposals, size, budget, &mut |_, _| {})?;
        self.select(&refined, size, thresholds)
    }

    /// The detections among refined proposals, best first.
    ///
    /// # Errors
    /// [`HeadError::NotFinite`] if there are proposals, but none has finite scores and boxes.
    pub fn select(
        &self,
        refined: &Refined,
        size: NetworkSize,
        thresholds: Thresholds,
    ) -> std::result::Result<Vec<Found>, HeadError> {
        let (scores, boxes) = (&refined.scores, refined.boxes());
        let columns = self.classes + 1;
        let boxes_per_proposal = (boxes.len() * columns).checked_div(scores.len()).unwrap_or(1).max(1);
        let mut rows = scores.chunks_exact(columns).zip(boxes.chunks_exact(boxes_per_proposal));
        if !scores.is_empty() && !rows.any(|(scores, boxes)| is_finite(scores, boxes)) {
            return Err(HeadError::NotFinite { head: "box" });
        }
        Ok(select(scores, boxes, self.classes, size, thresholds))
    }
}

/// The proposal that a box becomes for the next stage. A box that is not finite becomes an empty one; see [`drop_lost_boxes`].
fn next_proposal(corners: Corners, size: NetworkSize) -> Corners {
    if corners.iter().all(|side| side.is_finite()) { clip(corners, size) } else { [0.0; 4] }
}

/// Makes the scores of a proposal NaN if one of its boxes between stages is not finite, so that it is dropped.
fn drop_lost_boxes(stages: &[StageOutput], scores: &mut [f32]) {
    let Some((_, before_last)) = stages.split_last() else { return };
    for stage in before_last {
        let columns = scores.len().checked_div(stage.boxes.len()).unwrap_or(1).max(1);
        for (scores, corners) in scores.chunks_exact_mut(columns).zip(&stage.boxes) {
            if corners.iter().any(|side| !side.is_finite()) {
                scores.fill(f32::NAN);
            }
        }
    }
}
