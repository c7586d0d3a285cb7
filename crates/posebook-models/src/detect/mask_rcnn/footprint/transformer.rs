//! Phases of the vision transformer and its pyramid. Images are computed one after another.

use super::super::config::Vit;
use super::{Footprint, Job, Live, Phase};

/// Tokens that a strip of a block has at least: see `vit/strips.rs`.
const FEWEST_TOKENS: usize = 65;

impl Footprint {
    /// Phases of the last image of a batch.
    pub(super) fn transformer(&self, vit: &Vit, job: Job) -> Vec<Phase> {
        let (rows, columns) = (job.height / vit.patch, job.width / vit.patch);
        let all = rows * columns * vit.dim;
        // the pixels of the batch, and the maps of the images before
        let around = 3 * job.pixels() * job.batch + self.pyramid(job) * (job.batch - 1);
        let mut phases = Vec::new();
        let mut add =
            |name, live: Live| phases.push(self.phase(name, Live { kept: live.kept + around, ..live }));

        // the image in two orders of its values, and the tokens twice
        let patches = 3 * job.pixels();
        add("patch embedding", Live { kept: 2 * patches + 2 * all, ..Live::default() });
        let row_bytes = columns * vit.dim * (2 + vit.mlp_ratio.max(3)) * size_of::<f32>();
        let strip = |unit: usize| {
            let units = rows.div_ceil(unit);
            let fewest = FEWEST_TOKENS.div_ceil(unit * columns.max(1));
            let step = unit * job.budget.chunk(units, row_bytes * unit).max(fewest);
            // the last strip may be joined to the one before
            let joined = if step < rows && rows - step < unit { rows } else { step };
            joined.min(rows) * columns * vit.dim
        };
        let (of_windows, of_rows) = (strip(vit.window), strip(1));
        let weights = |outputs: usize, inputs: usize| outputs * inputs * vit.dim * vit.dim;
        let mut block = |tokens: usize, extra: usize, is_whole: bool| {
            let hidden = vit.mlp_ratio * tokens;
            let attention = [
                ("queries, keys, values", 5 * tokens, 4 * tokens + weights(3, 1)),
                ("attention", 6 * tokens, 4 * tokens),
            ];
            let mlp = ("MLP", 3 * tokens + hidden, hidden + 2 * tokens + weights(vit.mlp_ratio, 1));
            let steps = attention.into_iter().filter(|_| is_whole).chain([mlp]);
            for (name, kept, touched) in steps {
                add(name, Live { kept: extra + kept, touched, ..Live::default() });
            }
        };
        // a strip reads its tokens from the map, and its result is copied to another
        match of_windows < all {
            true => block(of_windows, 2 * all, true),
            false => block(all, 0, true),
        }
        if vit.global_blocks.is_empty() {
            // every block has windows
        } else if of_rows < all {
            block(all, 0, true);
            block(of_rows, 2 * all - of_rows, false);
        } else {
            block(all, 0, true);
        }
        self.simple_pyramid(vit, job, all, &mut add);
        phases
    }

    /// p2 to p5 of `tokens` values.
    fn simple_pyramid(&self, vit: &Vit, job: Job, tokens: usize, add: &mut impl FnMut(&'static str, Live)) {
        let rows = job.height / vit.patch;
        let map = |level: usize| self.config.channels * (job.height >> level) * (job.width >> level);
        let mut done = 0;
        for (level, factor) in [(2, 4), (3, 2)] {
            let inputs = vit.dim / factor;
            let row_bytes = (job.width / vit.patch)
                * factor
                * factor
                * (inputs + 2 * self.config.channels)
                * size_of::<f32>();
            let step = job.budget.chunk(rows, row_bytes);
            let read = if step < rows { (step + 2).min(rows) } else { rows };
            let part = |values: usize| values * read / rows.max(1);
            // the whole map is written strip by strip
            let written = if step < rows { map(level) + part(tokens) } else { 0 };
            let around = tokens + done + written;
            // a transposed convolution doubles the values; p2 has a norm and a GELU between two of them
            let (scaled, reads, writes) = if factor == 4 { (10, 2, 4) } else { (2, 1, 2) };
            add(
                "pyramid",
                Live::convolution(
                    around + part(scaled * tokens),
                    part(reads * tokens),
                    part(writes * tokens),
                ),
            );
            let of_scale = part(factor * tokens);
            let kept = around + of_scale + part(map(level));
            add("pyramid", Live::convolution(kept, of_scale, part(map(level))));
            let kept = around + 2 * part(map(level));
            add("pyramid", Live::convolution(kept, part(map(level)), part(map(level))));
            done += map(level);
        }
        add("pyramid", Live::convolution(tokens + done + 2 * map(4), tokens, map(4)));
        // the maps of all images, and those joined
        if job.batch > 1 {
            let kept = self.pyramid(job) * (job.batch + 1);
            add("joining the batch", Live { kept, ..Live::default() });
        }
    }
}
