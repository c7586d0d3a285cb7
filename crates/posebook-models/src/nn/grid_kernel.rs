//! Attention over a grid of tokens with decomposed relative positions, on the CPU in `f32`.
//!
//! In: packed queries, keys and values of one image, and tables of relative positions; out: a new vector. The grid is one
//! window, or is divided into square windows that attend to themselves only. Windows at the right and at the bottom
//! may reach beyond the grid: the tokens there are zeros, so that their keys and values are the bias of the projection.
//!
//! * **Scores.** Each thread takes a head of some windows, or a block of queries of a head, and stores only their scores.
//! * **Relative positions.** A score gets `q · rows[y - y'] + q · columns[x - x']`: a product of a query with both tables gives
//!   the terms of every offset, of which each query uses a range.
//! * **Softmax.** Weights are divided by their sum after their product with the values, which has fewer columns.
//! * **Threads.** Windows and blocks do not depend on the number of threads, and every sum has one order.
//!
//! Does not depend on tensors or on any network.

use super::kernels;
use super::panels::{ColumnPanel, ColumnPanels, Matrix, multiply};
use gemm::Parallelism;
use rayon::prelude::*;
use std::ops::Range;

/// Scores of a block of queries: about half of a second-level cache.
const BLOCK_SCORES: usize = 1 << 17;

/// Sizes of attention over a grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GridShape {
    /// Rows of tokens.
    pub height: usize,
    /// Columns of tokens.
    pub width: usize,
    /// Rows of tokens of a window; `height` where the grid is one window.
    pub window_height: usize,
    /// Columns of tokens of a window; `width` where the grid is one window.
    pub window_width: usize,
    /// Values of a token, all heads.
    pub size: usize,
    /// Heads of the attention.
    pub heads: usize,
}

impl GridShape {
    /// Values of a token of one head.
    pub fn head_width(&self) -> usize {
        self.size / self.heads
    }

    /// Tokens of a window, padding included.
    fn keys(&self) -> usize {
        self.window_height * self.window_width
    }
}

/// Relative positions, from the key's side: entry `i` of a table is for a key that is `i - (side - 1)` rows or columns after
/// its query.
#[derive(Debug, Clone, Copy)]
pub struct Tables<'a> {
    /// `(2 * window_height - 1, head_width)`.
    pub rows: &'a [f32],
    /// `(2 * window_width - 1, head_width)`.
    pub columns: &'a [f32],
}

/// Attention of every head within every window.
///
/// # Shapes
/// `qkv` `(height * width, 3 * size)`, rows `[q | k | v]`, each head-major; `padding` `(3 * size)`, the same of a token beyond
/// the grid; the result is `(height * width, size)`.
///
/// # Panics
/// If a length does not match.
pub fn attend(qkv: &[f32], padding: &[f32], tables: Tables, shape: GridShape) -> Vec<f32> {
    let GridShape { height, width, window_height, window_width, size, heads } = shape;
    let tokens = height * width;
    if tokens == 0 || size == 0 {
        return Vec::new();
    }
    assert!(size.is_multiple_of(heads), "{size} values are not divisible by {heads} heads");
    assert!(
        qkv.len() == tokens * 3 * size && padding.len() == 3 * size,
        "not packed queries, keys and values"
    );
    let terms = |side: usize| (2 * side - 1) * shape.head_width();
    assert!(
        tables.rows.len() == terms(window_height) && tables.columns.len() == terms(window_width),
        "tables of relative positions do not match a window"
    );
    let attention = Attention { qkv, padding, tables, shape };
    let mut out = vec![0.0; tokens * size];
    let strips = out.par_chunks_mut(window_height * width * size).enumerate();
    strips.for_each(|(strip, out)| {
        let rows = out.len() / size;
        let heads: Vec<ColumnPanel> = ColumnPanels::new(out, rows, size, size, shape.head_width()).collect();
        heads.into_par_iter().enumerate().for_each(|(head, out)| {
            if window_width == width {
                attention.full_width(strip, head, out);
            } else {
                attention.windows(strip, head, out);
            }
        });
    });
    out
}

struct Attention<'a> {
    qkv: &'a [f32],
    padding: &'a [f32],
    tables: Tables<'a>,
    shape: GridShape,
}

/// Keys and values of a window's head, each `(keys, head_width)`.
struct KeysAndValues {
    keys: Vec<f32>,
    values: Vec<f32>,
}

/// Buffers of the queries of a block.
#[derive(Default)]
struct Buffers {
    queries: Vec<f32>,
    /// Terms of every offset of rows and of columns.
    row_terms: Vec<f32>,
    column_terms: Vec<f32>,
    scores: Vec<f32>,
    /// One over the sum of each query's exponentials.
    scales: Vec<f32>,
}

impl Attention<'_> {
    /// Queries (0), keys (1) or values (2) of a token's head; those of a token of zeros beyond the grid.
    fn part(&self, which: usize, y: usize, x: usize, head: usize) -> &[f32] {
        let GridShape { height, width, size, .. } = self.shape;
        let inside = y < height && x < width;
        let row = if inside { &self.qkv[(y * width + x) * 3 * size..] } else { self.padding };
        &row[which * size + head * self.shape.head_width()..][..self.shape.head_width()]
    }

    /// Gathers the keys and values of the window whose first token is `(top, left)`.
    fn keys_and_values(&self, top: usize, left: usize, head: usize) -> KeysAndValues {
        let GridShape { window_height, window_width, .. } = self.shape;
        let gather = |which: usize| {
            let mut values = Vec::with_capacity(self.shape.keys() * self.shape.head_width());
            for y in top..top + window_height {
                for x in left..left + window_width {
                    values.extend_from_slice(self.part(which, y, x, head));
                }
            }
            values
        };
        KeysAndValues { keys: gather(1), values: gather(2) }
    }

    /// A head of a strip that is one window: blocks of queries in parallel.
    fn full_width(&self, strip: usize, head: usize, out: ColumnPanel) {
        let GridShape { width, window_height, .. } = self.shape;
        let top = strip * window_height;
        let others = self.keys_and_values(top, 0, head);
        let block = (BLOCK_SCORES / self.shape.keys() / width).max(1); // rows of queries
        let blocks: Vec<ColumnPanel> = out.into_row_blocks(block * width).collect();
        blocks.into_par_iter().enumerate().for_each(|(index, out)| {
            let first = index * block;
            let rows = first..first + out.rows() / width;
            let mut buffers = Buffers::default();
            self.block(&others, (top, 0), head, rows, 0..width, &mut buffers, out);
        });
    }

    /// A head of a strip of several windows, one after another.
    fn windows(&self, strip: usize, head: usize, mut out: ColumnPanel) {
        let GridShape { width, window_height, window_width, .. } = self.shape;
        let (top, head_width) = (strip * window_height, self.shape.head_width());
        let rows = out.rows() / width;
        let mut buffers = Buffers::default();
        let mut result = Vec::new();
        for left in (0..width).step_by(window_width) {
            let columns = window_width.min(width - left);
            let others = self.keys_and_values(top, left, head);
            result.resize(rows * columns * head_width, 0.0);
            let panel = ColumnPanel::full(&mut result, rows * columns, head_width, head_width);
            self.block(&others, (top, left), head, 0..rows, 0..columns, &mut buffers, panel);
            for (index, values) in result.chunks_exact(head_width).enumerate() {
                let row = index / columns * width + left + index % columns;
                out.row_mut(row).copy_from_slice(values);
            }
        }
    }

    /// Attention of the window's queries in `rows` and `columns` to all of its tokens.
    #[expect(clippy::too_many_arguments, reason = "a position in the grid, and where to read and write")]
    fn block(
        &self,
        others: &KeysAndValues,
        (top, left): (usize, usize),
        head: usize,
        rows: Range<usize>,
        columns: Range<usize>,
        buffers: &mut Buffers,
        mut out: ColumnPanel,
    ) {
        let GridShape { window_height, window_width, .. } = self.shape;
        let (head_width, keys) = (self.shape.head_width(), self.shape.keys());
        let queries = rows.len() * columns.len();
        let Buffers { queries: q, row_terms, column_terms, scores, scales } = buffers;
        q.clear();
        for y in rows.clone() {
            for x in columns.clone() {
                q.extend_from_slice(self.part(0, top + y, left + x, head));
            }
        }
        let (row_offsets, column_offsets) = (2 * window_height - 1, 2 * window_width - 1);
        for (terms, table, offsets) in [
            (&mut *row_terms, self.tables.rows, row_offsets),
            (column_terms, self.tables.columns, column_offsets),
        ] {
            // relative positions are multiplied by the queries before these are scaled
            terms.resize(queries * offsets, 0.0);
            let table = Matrix::new(table, offsets, head_width, head_width).transposed();
            let panel = ColumnPanel::full(terms, queries, offsets, offsets);
            multiply(Matrix::new(q, queries, head_width, head_width), table, panel, Parallelism::None);
        }
        let scale = (head_width as f64).powf(-0.5) as f32;
        q.iter_mut().for_each(|value| *value *= scale);
        scores.resize(queries * keys, 0.0);
        let transposed = Matrix::new(&others.keys, keys, head_width, head_width).transposed();
        let panel = ColumnPanel::full(scores, queries, keys, keys);
        multiply(Matrix::new(q, queries, head_width, head_width), transposed, panel, Parallelism::None);
        scales.resize(queries, 0.0);
        for (index, (scores, scale)) in scores.chunks_exact_mut(keys).zip(&mut *scales).enumerate() {
            let (y, x) = (rows.start + index / columns.len(), columns.start + index % columns.len());
            // the key of offset 0 is `side - 1 - position` entries after that of the window's first token
            let row_terms = &row_terms[index * row_offsets + window_height - 1 - y..][..window_height];
            let column_terms = &column_terms[index * column_offsets + window_width - 1 - x..][..window_width];
            kernels::relative_exp(scores, row_terms, column_terms, scale);
        }
        let values = Matrix::new(&others.values, keys, head_width, head_width);
        multiply(Matrix::new(scores, queries, keys, keys), values, out.as_output(), Parallelism::None);
        for (row, scale) in scales.iter().enumerate() {
            out.row_mut(row).iter_mut().for_each(|value| *value *= scale);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wavy(n: usize, phase: f32) -> Vec<f32> {
        (0..n).map(|index| (phase + index as f32 * 0.7).sin()).collect()
    }

    /// Attention of one query by its definition, in double precision.
    fn expected(
        qkv: &[f32],
        padding: &[f32],
        tables: Tables,
        shape: GridShape,
        (y, x): (usize, usize),
        column: usize,
    ) -> f64 {
        let GridShape { height, width, window_height, window_width, size, .. } = shape;
        let d = shape.head_width();
        let (head, lane) = (column / d, column % d);
        let value = |which: usize, y: usize, x: usize, lane: usize| {
            let at = which * size + head * d + lane;
            let inside = y < height && x < width;
            f64::from(if inside { qkv[(y * width + x) * 3 * size + at] } else { padding[at] })
        };
        let (top, left) = (y / window_height * window_height, x / window_width * window_width);
        let (mut sum, mut weighted) = (0.0, 0.0);
        for key in 0..window_height * window_width {
            let (key_y, key_x) = (top + key / window_width, left + key % window_width);
            let (row, entry) = (window_height - 1 + key_y - y, window_width - 1 + key_x - x);
            let score: f64 = (0..d)
                .map(|lane| {
                    let relative = tables.rows[row * d + lane] + tables.columns[entry * d + lane];
                    let scaled = value(1, key_y, key_x, lane) / (d as f64).sqrt();
                    value(0, y, x, lane) * (scaled + f64::from(relative))
                })
                .sum();
            sum += score.exp();
            weighted += score.exp() * value(2, key_y, key_x, lane);
        }
        weighted / sum
    }

    #[test]
    fn attention_matches_its_definition() {
        // one window; windows that fit; windows that reach beyond the grid to the right and below; one that is larger;
        // several blocks of queries
        for (height, width, window_height, window_width) in
            [(5, 4, 5, 4), (4, 6, 2, 2), (5, 7, 3, 3), (2, 3, 4, 4), (1, 1, 1, 1), (400, 1, 400, 1)]
        {
            let (size, heads) = (12, 3);
            let shape = GridShape { height, width, window_height, window_width, size, heads };
            let (qkv, padding) = (wavy(height * width * 3 * size, 0.1), wavy(3 * size, 0.5));
            let rows = wavy((2 * window_height - 1) * shape.head_width(), 0.2);
            let columns = wavy((2 * window_width - 1) * shape.head_width(), 0.3);
            let tables = Tables { rows: &rows, columns: &columns };
            let ours = attend(&qkv, &padding, tables, shape);
            assert_eq!(ours.len(), height * width * size);
            for (index, &ours) in ours.iter().enumerate() {
                let (token, column) = (index / size, index % size);
                let expected =
                    expected(&qkv, &padding, tables, shape, (token / width, token % width), column);
                assert!((f64::from(ours) - expected).abs() < 1e-5, "{shape:?}: {ours} {expected}");
            }
        }
    }
}
