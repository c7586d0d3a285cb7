//! Fused products on the CPU in `f32`: a linear layer with bias and epilogue, and self-attention.
//!
//! In: plain `f32` slices. Out: a new vector. As separate operators, bias, GELU and residual would each be a pass over
//! the result in memory, and attention would store the scores of all heads. Here:
//!
//! * **Column panels.** A product `x Wᵀ` is split into panels of [`PANEL_WIDTH`] output columns, that is, of rows of
//!   `W`. One thread computes a panel for all rows of `x`, so that each weight is read by one thread only.
//! * **Packing.** Within a panel the crate `gemm` tiles the product, and packs blocks of the factors into a scratch
//!   buffer of the thread ([`preallocate_scratch`]). Weights stay in their row-major layout; none are packed in
//!   advance.
//! * **Threads.** Panels and blocks have constant sizes and every sum has one order, so that results do not depend on
//!   the number of threads. Products of few rows or few columns are not split; `gemm` divides them between threads.
//!   All products are bit-identical to candle's, which uses `gemm`, too.
//! * **Epilogue.** When the product is complete, threads take chunks of whole rows, and add the bias and apply the
//!   [`Epilogue`] in one pass, in place.
//! * **Attention.** Each thread takes [`QUERY_BLOCK`] queries, head by head, and stores only their scores.
//! * **Half precision.** None here: callers convert inputs and weights to `f32`, and round the result (`ops.rs`).
//! * **Gradients.** None here: `linear.rs` and `packed.rs` wrap these functions in operators with a backward pass.
//!   The epilogue is fused only where no operand needs a gradient; otherwise it is an operator of its own, with the
//!   same bits.
//!
//! Does not depend on tensors or on any network.

use super::kernels;
use super::panels::{ColumnPanel, ColumnPanels, Matrix, multiply};
use gemm::Parallelism;
use rayon::prelude::*;

/// Queries that one thread takes at a time. Constant, so that no result depends on the number of threads.
const QUERY_BLOCK: usize = 48;
/// Output columns that one thread takes at a time. Constant, as above.
const PANEL_WIDTH: usize = 320;
/// Products of at most this many rows are not split: with few rows and narrow panels `gemm` sums in another order.
const MAX_UNSPLIT_ROWS: usize = 64;
/// Values that one thread takes at a time in an epilogue; fewer cost more than a second thread saves.
const EPILOGUE_CHUNK: usize = 1 << 14;

/// The operand that attention multiplies by `1 / sqrt(d)`. Equal in exact arithmetic, not in floating point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScaledOperand {
    /// The queries, before their product with the keys (ViT).
    Queries,
    /// The scores `q kᵀ` (4D-Humans' decoder; training of the backbone).
    Scores,
}

/// What is done to a linear layer's result after the bias, in the same pass.
#[derive(Debug, Clone, Copy)]
pub enum Epilogue<'a> {
    /// Nothing.
    None,
    /// The exact GELU.
    Gelu,
    /// The residual is added: values of the result's shape.
    AddResidual(&'a [f32]),
}

/// `x Wᵀ + b`, followed by the epilogue.
///
/// # Shapes
/// `x` `(rows, inputs)`, `weight` `(outputs, inputs)`, `bias` `(outputs)`; the result is `(rows, outputs)`.
///
/// # Panics
/// If the length of a slice does not match its shape.
pub fn linear(
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    inputs: usize,
    outputs: usize,
    epilogue: Epilogue,
) -> Vec<f32> {
    let rows = x.len().checked_div(inputs).unwrap_or(0);
    let mut out = vec![0.0; rows * outputs];
    if outputs == 0 {
        return out;
    }
    let weight = Matrix::new(weight, outputs, inputs, inputs).transposed();
    multiply_on_all_threads(Matrix::new(x, rows, inputs, inputs), weight, &mut out);
    apply_epilogue(&mut out, bias, outputs, epilogue);
    out
}

/// `left right` into `out`, row-major, on all threads.
///
/// Large products are split into column panels, one thread each: with weights that come from memory this is up to a
/// tenth faster than sharing each panel between threads, and every sum keeps its order.
fn multiply_on_all_threads(left: Matrix, right: Matrix, out: &mut [f32]) {
    let (rows, columns) = (left.rows(), right.columns());
    if rows <= MAX_UNSPLIT_ROWS || columns < 2 * PANEL_WIDTH {
        return multiply(left, right, ColumnPanel::full(out, rows, columns, columns), candle_threads());
    }
    let panels: Vec<ColumnPanel> = ColumnPanels::new(out, rows, columns, columns, PANEL_WIDTH).collect();
    panels.into_par_iter().for_each(|panel| multiply(left, right, panel, Parallelism::None));
}

/// As many threads as candle's own products use.
fn candle_threads() -> Parallelism {
    match candle_core::utils::get_num_threads() {
        0 | 1 => Parallelism::None,
        threads => Parallelism::Rayon(threads),
    }
}

/// Adds the bias to every row of `outputs` values and applies the epilogue.
fn apply_epilogue(out: &mut [f32], bias: Option<&[f32]>, outputs: usize, epilogue: Epilogue) {
    if out.is_empty() || (bias.is_none() && matches!(epilogue, Epilogue::None)) {
        return;
    }
    assert!(bias.is_none_or(|bias| bias.len() == outputs), "a bias does not have the length of a row");
    let chunk = outputs * (EPILOGUE_CHUNK / outputs).max(1);
    let add_bias = |rows: &mut [f32]| {
        if let Some(bias) = bias {
            for row in rows.chunks_exact_mut(outputs) {
                row.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
            }
        }
    };
    match epilogue {
        Epilogue::None => out.par_chunks_mut(chunk).for_each(add_bias),
        Epilogue::Gelu => out.par_chunks_mut(chunk).for_each(|rows| {
            add_bias(rows);
            kernels::gelu_in_place(rows);
        }),
        Epilogue::AddResidual(residual) => {
            assert_eq!(residual.len(), out.len(), "a residual has another shape than the result");
            out.par_chunks_mut(chunk).zip(residual.par_chunks(chunk)).for_each(|(rows, residual)| {
                add_bias(rows);
                rows.iter_mut().zip(residual).for_each(|(value, residual)| *value += residual);
            });
        }
    }
}

/// Attention of every head over packed queries, keys and values. Only the scores of each thread's queries are stored.
///
/// # Shapes
/// `qkv` `(b, tokens, 3 * size)`, rows `[q | k | v]`, each head-major; the result is `(b, tokens, size)`.
///
/// # Panics
/// If the length of `qkv` does not match, or `size` is not a multiple of `heads`.
pub fn self_attention(
    qkv: &[f32],
    tokens: usize,
    size: usize,
    heads: usize,
    scaled: ScaledOperand,
) -> Vec<f32> {
    let sample = tokens * 3 * size;
    if sample == 0 {
        return Vec::new();
    }
    assert!(
        qkv.len().is_multiple_of(sample) && size.is_multiple_of(heads),
        "not packed queries, keys and values of {heads} heads"
    );
    let mut out = vec![0.0; qkv.len() / 3];
    let samples = out.par_chunks_mut(tokens * size).zip(qkv.par_chunks(sample));
    samples.for_each(|(out, qkv)| {
        out.par_chunks_mut(QUERY_BLOCK * size).enumerate().for_each(|(block, out)| {
            attend_block(qkv, block * QUERY_BLOCK, out, AttentionShape { tokens, size, heads }, scaled);
        });
    });
    out
}

#[derive(Clone, Copy)]
struct AttentionShape {
    tokens: usize,
    /// Values of a token, all heads.
    size: usize,
    heads: usize,
}

/// Attention of the queries from `first` on, as many as `out` has rows, to all tokens of one sample.
fn attend_block(qkv: &[f32], first: usize, out: &mut [f32], shape: AttentionShape, scaled: ScaledOperand) {
    let AttentionShape { tokens, size, heads } = shape;
    let (row, width, rows) = (3 * size, size / heads, out.len() / size);
    let scale = (width as f64).powf(-0.5) as f32;
    let mut queries = vec![0.0; rows * width];
    let mut scores = vec![0.0; rows * tokens];
    for head in 0..heads {
        // queries (0), keys (1) or values (2) of this head, from a token on
        let part = |which: usize, token: usize| &qkv[token * row + which * size + head * width..];
        for (to, from) in queries.chunks_exact_mut(width).zip(part(0, first).chunks(row)) {
            to.copy_from_slice(&from[..width]);
        }
        if scaled == ScaledOperand::Queries {
            queries.iter_mut().for_each(|value| *value *= scale);
        }
        let keys = Matrix::new(part(1, 0), tokens, width, row).transposed();
        let panel = ColumnPanel::full(&mut scores, rows, tokens, tokens);
        multiply(Matrix::new(&queries, rows, width, width), keys, panel, Parallelism::None);
        if scaled == ScaledOperand::Scores {
            scores.iter_mut().for_each(|score| *score *= scale);
        }
        kernels::softmax_in_place(&mut scores, tokens);
        let values = Matrix::new(part(2, 0), tokens, width, row);
        let weights = Matrix::new(&scores, rows, tokens, tokens);
        let panel = ColumnPanel::full(&mut out[head * width..], rows, width, size);
        multiply(weights, values, panel, Parallelism::None);
    }
}

/// Allocates `gemm`'s scratch buffer on every thread that computes products: those of the pool and the calling one.
///
/// `gemm` keeps a buffer of the size of the second-level cache per thread, allocated in the thread's first product
/// that does not pack its left factor beforehand. Which product that is depends on the batch size, so that otherwise
/// the measured heap would grow at some later frame.
pub fn preallocate_scratch() {
    rayon::broadcast(|_| multiply_through_scratch());
    multiply_through_scratch();
}

/// A small product whose factor `gemm` packs into the thread's scratch: contiguous rows, and a size that is a
/// multiple of every vector register.
fn multiply_through_scratch() {
    const SIDE: usize = 64;
    let (left, right) = ([0.0f32; SIDE * SIDE], [0.0f32; SIDE * SIDE]);
    let mut out = [0.0f32; SIDE * SIDE];
    let factor = |values| Matrix::new(values, SIDE, SIDE, SIDE);
    let panel = ColumnPanel::full(&mut out, SIDE, SIDE, SIDE);
    multiply(factor(&left), factor(&right), panel, Parallelism::None);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wavy(n: usize, phase: f32) -> Vec<f32> {
        (0..n).map(|index| (phase + index as f32 * 0.7).sin()).collect()
    }

    fn largest_difference(a: &[f32], b: &[f64]) -> f64 {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b).map(|(&a, b)| (f64::from(a) - b).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn a_linear_layer_matches_its_definition_with_every_epilogue() {
        let (rows, inputs, outputs) = (37, 50, 70);
        let (x, w) = (wavy(rows * inputs, 0.1), wavy(outputs * inputs, 0.2));
        let (bias, residual) = (wavy(outputs, 0.3), wavy(rows * outputs, 0.4));
        let exact = |row: usize, column: usize| -> f64 {
            let terms =
                (0..inputs).map(|k| f64::from(x[row * inputs + k]) * f64::from(w[column * inputs + k]));
            terms.sum::<f64>() + f64::from(bias[column])
        };
        let all: Vec<f64> = (0..rows * outputs).map(|i| exact(i / outputs, i % outputs)).collect();
        let with = |epilogue| linear(&x, &w, Some(&bias), inputs, outputs, epilogue);
        assert!(largest_difference(&with(Epilogue::None), &all) < 1e-5);
        let added: Vec<f64> = all.iter().zip(&residual).map(|(a, &b)| a + f64::from(b)).collect();
        assert!(largest_difference(&with(Epilogue::AddResidual(&residual)), &added) < 1e-5);
        let gelu = |x: &f64| 0.5 * x * libm::erfc(-x / std::f64::consts::SQRT_2);
        let activated: Vec<f64> = all.iter().map(gelu).collect();
        assert!(largest_difference(&with(Epilogue::Gelu), &activated) < 1e-5);
        let without_bias: Vec<f64> =
            (0..rows * outputs).map(|i| all[i] - f64::from(bias[i % outputs])).collect();
        let product = linear(&x, &w, None, inputs, outputs, Epilogue::None);
        assert!(largest_difference(&product, &without_bias) < 1e-5);
    }

    #[test]
    fn splitting_into_panels_changes_no_bit() {
        for (rows, inputs, outputs) in
            [(65, 192, 3 * PANEL_WIDTH), (192, 640, 2 * PANEL_WIDTH + 48), (96, 768, 2 * PANEL_WIDTH)]
        {
            let (x, w) = (wavy(rows * inputs, 0.1), wavy(outputs * inputs, 0.2));
            let left = Matrix::new(&x, rows, inputs, inputs);
            let right = Matrix::new(&w, outputs, inputs, inputs).transposed();
            let unsplit = |threads| {
                let mut out = vec![0.0; rows * outputs];
                multiply(left, right, ColumnPanel::full(&mut out, rows, outputs, outputs), threads);
                out
            };
            let split = linear(&x, &w, None, inputs, outputs, Epilogue::None);
            assert!(split == unsplit(Parallelism::None) && split == unsplit(Parallelism::Rayon(2)));
        }
    }

    #[test]
    fn attention_matches_its_definition_with_either_scaled_operand() {
        // more tokens than one block, and not a multiple of it
        let (b, tokens, heads, width) = (2, QUERY_BLOCK + 7, 3, 8);
        let size = heads * width;
        let qkv = wavy(b * tokens * 3 * size, 0.4);
        let value = |b: usize, token: usize, which: usize, head: usize, d: usize| {
            f64::from(qkv[((b * tokens + token) * 3 + which) * size + head * width + d])
        };
        let mut expected = vec![0.0; b * tokens * size];
        for (index, expected) in expected.iter_mut().enumerate() {
            let (b, token, head, d) =
                (index / (tokens * size), index / size % tokens, index % size / width, index % width);
            let score = |key: usize| {
                let dot: f64 =
                    (0..width).map(|d| value(b, token, 0, head, d) * value(b, key, 1, head, d)).sum();
                (dot / (width as f64).sqrt()).exp()
            };
            let all: f64 = (0..tokens).map(score).sum();
            *expected = (0..tokens).map(|key| score(key) * value(b, key, 2, head, d)).sum::<f64>() / all;
        }
        for scaled in [ScaledOperand::Queries, ScaledOperand::Scores] {
            assert!(largest_difference(&self_attention(&qkv, tokens, size, heads, scaled), &expected) < 1e-5);
        }
    }

    #[test]
    fn empty_input_gives_an_empty_result() {
        assert!(linear(&[], &wavy(12, 0.0), None, 4, 3, Epilogue::Gelu).is_empty());
        assert!(self_attention(&[], 5, 12, 3, ScaledOperand::Queries).is_empty());
    }
}
