//! Matrix products over plain `f32` slices, with what follows them done where they stand.
//!
//! candle computes a product and hands it over; adding a bias, the GELU and the shortcut are then passes of
//! their own over memory that is no longer near, and attention writes down the scores of every head. Here a
//! product goes through the same library as candle's (`gemm`), to the same bits, and its rows are finished by
//! as many threads as made them. Must not know tensors, nor which network it serves.

use super::attention::ScaleOf;
use super::kernels;
use gemm::Parallelism;
use rayon::prelude::*;

/// Rows of queries that one thread takes at a time: a constant, so that no result depends on the threads.
const QUERIES: usize = 48;
/// Columns of a product that one thread takes at a time, and rows up to which it does not: constants, too. (With
/// both small the library sums in another order.)
const PANEL: usize = 320;
const FEW_ROWS: usize = 64;
/// Numbers below which a second thread costs more than it brings.
const SERIAL: usize = 1 << 14;

/// A matrix that lies in a slice, `row_step` numbers from row to row and `column_step` from column to column.
#[derive(Debug, Clone, Copy)]
struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_step: usize,
    column_step: usize,
}

impl<'a> Matrix<'a> {
    /// Rows that lie `row_step` apart.
    fn of(values: &'a [f32], rows: usize, columns: usize, row_step: usize) -> Matrix<'a> {
        Matrix { values, rows, columns, row_step, column_step: 1 }
    }

    fn transposed(self) -> Matrix<'a> {
        let Matrix { values, rows, columns, row_step, column_step } = self;
        Matrix { values, rows: columns, columns: rows, row_step: column_step, column_step: row_step }
    }

    /// How many numbers of the slice it reaches over.
    fn reach(&self) -> usize {
        if self.rows == 0 || self.columns == 0 {
            return 0;
        }
        (self.rows - 1) * self.row_step + (self.columns - 1) * self.column_step + 1
    }
}

/// Where a product goes: rows of `columns` numbers that lie `row_step` apart.
struct Place {
    start: *mut f32,
    rows: usize,
    columns: usize,
    row_step: usize,
}

#[expect(unsafe_code, reason = "panels of one product are written by several threads")]
// SAFETY: a place is made of a slice that is borrowed for as long, and panels of it do not overlap
unsafe impl Sync for Place {}

impl Place {
    /// # Panics
    /// If the slice is too short, or rows would overlap.
    fn of(out: &mut [f32], rows: usize, columns: usize, row_step: usize) -> Place {
        let reach = if rows == 0 || columns == 0 { 0 } else { (rows - 1) * row_step + columns };
        assert!(row_step >= columns && reach <= out.len(), "a product does not fit its place");
        Place { start: out.as_mut_ptr(), rows, columns, row_step }
    }
}

/// `left right` into columns `from..to` of `out`, which are overwritten; those of `right` are meant, too.
///
/// # Panics
/// If the sizes do not fit each other or their slices.
#[expect(unsafe_code, reason = "gemm takes pointers and strides; every one is held against its slice before")]
fn multiply(left: Matrix, right: Matrix, out: &Place, (from, to): (usize, usize), threads: Parallelism) {
    assert_eq!(left.columns, right.rows, "the factors of a product do not fit each other");
    assert!(
        (out.rows, out.columns) == (left.rows, right.columns),
        "a product has another size than its place"
    );
    assert!(
        left.reach() <= left.values.len() && right.reach() <= right.values.len(),
        "a factor is too short"
    );
    assert!(from <= to && to <= right.columns, "a product has no such columns");
    if from == to {
        return;
    }
    let step = |step: usize| step as isize;
    // SAFETY: both factors and the place lie within their slices, columns within both, and rows do not overlap
    unsafe {
        gemm::gemm(
            left.rows,
            to - from,
            left.columns,
            out.start.add(from),
            1,
            step(out.row_step),
            false,
            left.values.as_ptr(),
            step(left.column_step),
            step(left.row_step),
            right.values.as_ptr().add(if right.rows == 0 { 0 } else { from * right.column_step }),
            step(right.column_step),
            step(right.row_step),
            0.0,
            1.0,
            false,
            false,
            false,
            threads,
        );
    }
}

/// [`multiply`] on all threads. Where there is enough of it each takes panels of columns: with weights that come from
/// memory that is up to a tenth faster than sharing every panel, and every sum keeps its order.
fn multiply_on_all_threads(left: Matrix, right: Matrix, out: &Place) {
    let columns = right.columns;
    let panels = columns / PANEL;
    if left.rows <= FEW_ROWS || panels < 2 {
        return multiply(left, right, out, (0, columns), all_threads());
    }
    (0..panels).into_par_iter().for_each(|at| {
        let end = if at + 1 == panels { columns } else { (at + 1) * PANEL };
        multiply(left, right, out, (at * PANEL, end), Parallelism::None);
    });
}

/// Lets every thread that computes products make its scratch now: those of the pool, and the one that calls.
///
/// The library keeps a buffer of the size of a processor's second-level cache for each thread, and makes it in the
/// thread's first product that does not pack its left factor beforehand. Which product that is depends on the number
/// of crops in a batch, so that without this the heap takes a step of that size at some later frame.
pub fn make_scratch() {
    rayon::broadcast(|_| product_through_scratch());
    product_through_scratch();
}

/// A small product whose left factor the library packs into the thread's scratch: its columns lie in a row, and its
/// rows are a multiple of every vector register's numbers.
#[expect(unsafe_code, reason = "gemm takes pointers and strides")]
fn product_through_scratch() {
    const SIDE: usize = 64;
    let (left, right) = ([0.0f32; SIDE * SIDE], [0.0f32; SIDE * SIDE]);
    let mut out = [0.0f32; SIDE * SIDE];
    let (row_step, column_step) = (1, SIDE as isize);
    // SAFETY: all three are square matrices of `SIDE` columns that lie behind each other
    unsafe {
        gemm::gemm(
            SIDE,
            SIDE,
            SIDE,
            out.as_mut_ptr(),
            column_step,
            row_step,
            false,
            left.as_ptr(),
            column_step,
            row_step,
            right.as_ptr(),
            column_step,
            row_step,
            0.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// As many threads as candle's own products use.
fn all_threads() -> Parallelism {
    match candle_core::utils::get_num_threads() {
        0 | 1 => Parallelism::None,
        threads => Parallelism::Rayon(threads),
    }
}

/// What is done with a linear layer's result before it is handed over.
#[derive(Debug, Clone, Copy)]
pub enum Then<'a> {
    Nothing,
    /// The exact GELU.
    Gelu,
    /// The shortcut: numbers of the result's shape are added.
    Add(&'a [f32]),
}

/// `x w^T + b`, and then.
///
/// # Shapes
/// `x` `(rows, from)`, `weight` `(to, from)`, `bias` `(to)`; the result is `(rows, to)`.
///
/// # Panics
/// If a slice has not the length that its shape asks for.
pub fn linear(
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    from: usize,
    to: usize,
    then: Then,
) -> Vec<f32> {
    let rows = x.len().checked_div(from).unwrap_or(0);
    let mut out = vec![0.0; rows * to];
    let weight = Matrix::of(weight, to, from, from).transposed();
    multiply_on_all_threads(Matrix::of(x, rows, from, from), weight, &Place::of(&mut out, rows, to, to));
    finish(&mut out, bias, to, then);
    out
}

/// Adds the bias to every row of `to` numbers, and then.
fn finish(out: &mut [f32], bias: Option<&[f32]>, to: usize, then: Then) {
    if out.is_empty() || (bias.is_none() && matches!(then, Then::Nothing)) {
        return;
    }
    assert!(bias.is_none_or(|bias| bias.len() == to), "a bias has not the length of a row");
    let piece = to * (SERIAL / to).max(1);
    let add_bias = |rows: &mut [f32]| {
        if let Some(bias) = bias {
            for row in rows.chunks_exact_mut(to) {
                row.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
            }
        }
    };
    match then {
        Then::Nothing => out.par_chunks_mut(piece).for_each(add_bias),
        Then::Gelu => out.par_chunks_mut(piece).for_each(|rows| {
            add_bias(rows);
            kernels::gelu_in_place(rows);
        }),
        Then::Add(shortcut) => {
            assert_eq!(shortcut.len(), out.len(), "a shortcut has not the shape of what it joins");
            out.par_chunks_mut(piece).zip(shortcut.par_chunks(piece)).for_each(|(rows, shortcut)| {
                add_bias(rows);
                rows.iter_mut().zip(shortcut).for_each(|(value, before)| *value += before);
            });
        }
    }
}

/// Attention of every head over packed queries, keys and values; no more scores are held than those of one
/// thread's queries.
///
/// # Shapes
/// `qkv` `(b, n, 3 * size)`, rows `[q | k | v]`, each head-major; the result is `(b, n, size)`.
///
/// # Panics
/// If `qkv` is no such array, or `size` no multiple of `heads`.
pub fn self_attention(qkv: &[f32], n: usize, size: usize, heads: usize, scale_of: ScaleOf) -> Vec<f32> {
    let sample = n * 3 * size;
    if sample == 0 {
        return Vec::new();
    }
    assert!(
        qkv.len().is_multiple_of(sample) && size.is_multiple_of(heads),
        "no packed queries, keys and values"
    );
    let mut out = vec![0.0; qkv.len() / 3];
    let samples = out.par_chunks_mut(n * size).zip(qkv.par_chunks(sample));
    samples.for_each(|(out, qkv)| {
        out.par_chunks_mut(QUERIES * size).enumerate().for_each(|(at, out)| {
            some_queries(qkv, at * QUERIES, out, Sizes { n, size, heads }, scale_of);
        });
    });
    out
}

#[derive(Clone, Copy)]
struct Sizes {
    n: usize,
    size: usize,
    heads: usize,
}

/// What the queries from `first` on see, as many as `out` has rows.
fn some_queries(qkv: &[f32], first: usize, out: &mut [f32], sizes: Sizes, scale_of: ScaleOf) {
    let Sizes { n, size, heads } = sizes;
    let (row, width, rows) = (3 * size, size / heads, out.len() / size);
    let scale = (width as f64).powf(-0.5) as f32;
    let mut queries = vec![0.0; rows * width];
    let mut scores = vec![0.0; rows * n];
    for head in 0..heads {
        let part = |which: usize, from: usize| &qkv[from * row + which * size + head * width..];
        for (to, from) in queries.chunks_exact_mut(width).zip(part(0, first).chunks(row)) {
            to.copy_from_slice(&from[..width]);
        }
        if scale_of == ScaleOf::Queries {
            queries.iter_mut().for_each(|value| *value *= scale);
        }
        let keys = Matrix::of(part(1, 0), n, width, row).transposed();
        let place = Place::of(&mut scores, rows, n, n);
        multiply(Matrix::of(&queries, rows, width, width), keys, &place, (0, n), Parallelism::None);
        if scale_of == ScaleOf::Product {
            scores.iter_mut().for_each(|score| *score *= scale);
        }
        kernels::softmax_in_place(&mut scores, n);
        let values = Matrix::of(part(2, 0), n, width, row);
        let shares = Matrix::of(&scores, rows, n, n);
        let place = Place::of(&mut out[head * width..], rows, width, size);
        multiply(shares, values, &place, (0, width), Parallelism::None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wavy(n: usize, phase: f32) -> Vec<f32> {
        (0..n).map(|at| (phase + at as f32 * 0.7).sin()).collect()
    }

    fn largest(a: &[f32], b: &[f64]) -> f64 {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b).map(|(&a, b)| (f64::from(a) - b).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn a_layer_is_its_sums() {
        let (rows, from, to) = (37, 50, 70);
        let (x, w) = (wavy(rows * from, 0.1), wavy(to * from, 0.2));
        let (bias, before) = (wavy(to, 0.3), wavy(rows * to, 0.4));
        let plain = |row: usize, column: usize| -> f64 {
            let terms = (0..from).map(|k| f64::from(x[row * from + k]) * f64::from(w[column * from + k]));
            terms.sum::<f64>() + f64::from(bias[column])
        };
        let all: Vec<f64> = (0..rows * to).map(|at| plain(at / to, at % to)).collect();
        let of = |then| linear(&x, &w, Some(&bias), from, to, then);
        assert!(largest(&of(Then::Nothing), &all) < 1e-5);
        let joined: Vec<f64> = all.iter().zip(&before).map(|(a, &b)| a + f64::from(b)).collect();
        assert!(largest(&of(Then::Add(&before)), &joined) < 1e-5);
        let gelu = |x: &f64| 0.5 * x * libm::erfc(-x / std::f64::consts::SQRT_2);
        assert!(largest(&of(Then::Gelu), &all.iter().map(gelu).collect::<Vec<_>>()) < 1e-5);
        let without: Vec<f64> = (0..rows * to).map(|at| all[at] - f64::from(bias[at % to])).collect();
        assert!(largest(&linear(&x, &w, None, from, to, Then::Nothing), &without) < 1e-5);
    }

    #[test]
    fn panels_change_no_bit() {
        for (rows, from, to) in [(65, 192, 3 * PANEL), (192, 640, 2 * PANEL + 48), (96, 768, 2 * PANEL)] {
            let (x, w) = (wavy(rows * from, 0.1), wavy(to * from, 0.2));
            let (left, right) =
                (Matrix::of(&x, rows, from, from), Matrix::of(&w, to, from, from).transposed());
            let mut whole = vec![0.0; rows * to];
            multiply(left, right, &Place::of(&mut whole, rows, to, to), (0, to), Parallelism::None);
            let mut shared = vec![0.0; rows * to];
            multiply(left, right, &Place::of(&mut shared, rows, to, to), (0, to), Parallelism::Rayon(2));
            assert!(whole == shared && whole == linear(&x, &w, None, from, to, Then::Nothing));
        }
    }

    #[test]
    fn attention_is_its_definition_whatever_is_scaled() {
        // more tokens than one thread takes, and not a multiple of them
        let (b, n, heads, width) = (2, QUERIES + 7, 3, 8);
        let size = heads * width;
        let qkv = wavy(b * n * 3 * size, 0.4);
        let at = |b: usize, token: usize, which: usize, head: usize, d: usize| {
            f64::from(qkv[((b * n + token) * 3 + which) * size + head * width + d])
        };
        let mut wanted = vec![0.0; b * n * size];
        for (place, wanted) in wanted.iter_mut().enumerate() {
            let (b, token, head, d) =
                (place / (n * size), place / size % n, place % size / width, place % width);
            let score = |key: usize| {
                let dot: f64 = (0..width).map(|d| at(b, token, 0, head, d) * at(b, key, 1, head, d)).sum();
                (dot / (width as f64).sqrt()).exp()
            };
            let all: f64 = (0..n).map(score).sum();
            *wanted = (0..n).map(|key| score(key) * at(b, key, 2, head, d)).sum::<f64>() / all;
        }
        for scale_of in [ScaleOf::Queries, ScaleOf::Product] {
            assert!(largest(&self_attention(&qkv, n, size, heads, scale_of), &wanted) < 1e-5);
        }
    }

    #[test]
    fn nothing_gives_nothing() {
        assert!(linear(&[], &wavy(12, 0.0), None, 4, 3, Then::Gelu).is_empty());
        assert!(self_attention(&[], 5, 12, 3, ScaleOf::Queries).is_empty());
    }
}
