//! Phases of the proposals, the box heads and the mask head. All have the pyramids of the batch.

use super::{Footprint, Job, Live, Phase};

/// Anchors at a pixel of a level.
const ANCHORS: usize = 3;
/// Cells of a proposal's map.
const BOX_CELLS: usize = 7 * 7;
/// Cells of the map that a mask is computed of.
const MASK_CELLS: usize = 14 * 14;
/// Maps that the heads' budgets count for each box: see `heads/`.
const BOX_MAPS: usize = 3;
const MASK_MAPS: usize = 9;
/// Proposals that linear layers are computed for at least.
const LEAST_ROWS: usize = 192;

impl Footprint {
    /// The region proposal network on its largest level, for the whole batch.
    pub(super) fn proposals(&self, job: Job) -> Vec<Phase> {
        let pyramid = job.batch * self.pyramid(job);
        let pixels = job.batch * (job.height >> 2) * (job.width >> 2);
        let map = self.config.channels * pixels;
        let maps = if self.config.rpn.convolutions > 1 { 2 * map } else { map };
        let convolution = Live { kept: pyramid + maps, reads: map, writes: map, ..Live::default() };
        // logits and four deltas, as the network's values and on the host; the deltas twice
        let (logits, deltas) = (ANCHORS * pixels, 4 * ANCHORS * pixels);
        let host = Live { kept: pyramid + logits + deltas, single: logits + 2 * deltas, ..Live::default() };
        vec![self.phase("proposals", convolution), self.phase("anchors", host)]
    }

    /// The heads that refine boxes.
    pub(super) fn box_heads(&self, job: Job) -> Vec<Phase> {
        let (head, proposals) = (&self.config.box_head, self.config.rpn.proposals);
        let pyramid = job.batch * self.pyramid(job);
        let map = BOX_CELLS * self.config.channels;
        let chunk = job.budget.chunk(proposals, BOX_MAPS * map * size_of::<f32>());
        let block = chunk.max(LEAST_ROWS.min(proposals));
        let maps = if head.convolutions > 0 { 2 } else { 1 };
        // a block's maps before its last chunk
        let before = if chunk < block { (block - chunk) * map } else { 0 };
        let convolution = Live {
            kept: pyramid + before + maps * chunk * map,
            reads: chunk * map,
            writes: chunk * map,
            ..Live::default()
        };
        let copies = if chunk < block || proposals < LEAST_ROWS { 2 } else { 1 };
        let rows = block.max(LEAST_ROWS);
        let weight = map * head.width;
        let linear = Live {
            kept: pyramid + copies * rows * map + rows * head.width,
            touched: rows * (map + head.width) + weight,
            ..Live::default()
        };
        vec![self.phase("box head", convolution), self.phase("box head's linear layers", linear)]
    }

    /// The mask head.
    pub(super) fn masks(&self, job: Job) -> Phase {
        let pyramid = job.batch * self.pyramid(job);
        let map = MASK_CELLS * self.config.channels;
        let chunk = job.budget.chunk(self.masks, MASK_MAPS * map * size_of::<f32>());
        // the transposed convolution makes four maps of one
        let (reads, writes) = (chunk * map, 4 * chunk * map);
        self.phase("masks", Live { kept: pyramid + reads + writes, reads, writes, ..Live::default() })
    }
}
