//! Attention over a grid of tokens with decomposed relative positions, composed of candle's operators.
//!
//! In: queries, keys and values of windows; out: their attention, on any device. Scores are computed in
//! chunks: of several windows, or of several rows of queries of one window. Does not depend on any network.

use super::ops;
use candle_core::{D, Result, Tensor};
use std::ops::Range;

/// Values of the largest product that `gemm`, candle's library on the CPU, may sum in another order.
const SMALL_PRODUCT: usize = 256;

/// Divides a map into square windows of tokens, row by row; tokens beyond the map are zeros.
///
/// # Shapes
/// `(h, w, c)` to `(windows, side, side, c)`.
///
/// # Errors
/// If the device fails.
pub fn partition(x: &Tensor, side: usize) -> Result<Tensor> {
    let (height, width, channels) = x.dims3()?;
    let (rows, columns) = (height.div_ceil(side), width.div_ceil(side));
    x.pad_with_zeros(0, 0, rows * side - height)?
        .pad_with_zeros(1, 0, columns * side - width)?
        .reshape((rows, side, columns, side, channels))?
        .transpose(1, 2)?
        .reshape((rows * columns, side, side, channels))
}

/// The inverse of [`partition`]: the map of `height` and `width` tokens.
///
/// # Shapes
/// `(windows, side, side, c)` to `(h, w, c)`.
///
/// # Errors
/// If the device fails.
pub fn join(windows: &Tensor, height: usize, width: usize) -> Result<Tensor> {
    let (_, side, _, channels) = windows.dims4()?;
    let (rows, columns) = (height.div_ceil(side), width.div_ceil(side));
    windows
        .reshape((rows, columns, side, side, channels))?
        .transpose(1, 2)?
        .reshape((rows * side, columns * side, channels))?
        .narrow(0, 0, height)?
        .narrow(1, 0, width)?
        .contiguous()
}

/// The entries of a table for every pair of positions, `(side, side, d)`: for a query and a key.
///
/// # Shapes
/// `table` `(2 * side - 1, d)`; entry `i` is for a key that is `i - (side - 1)` after its query.
///
/// # Errors
/// If the device fails.
pub fn pairs(table: &Tensor, side: usize) -> Result<Tensor> {
    let (_, width) = table.dims2()?;
    let indices: Vec<u32> =
        (0..side).flat_map(|query| (0..side).map(move |key| (side - 1 + key - query) as u32)).collect();
    let indices = Tensor::from_vec(indices, side * side, table.device())?;
    table.index_select(&indices, 0)?.reshape((side, side, width))
}

/// The relative positions' parts of the scores of windows of `h` x `w` tokens: the terms of each query and row of keys,
/// `(b, h, w, h)`, and of each query and column of keys, `(b, h, w, w)`.
///
/// # Shapes
/// `queries` `(b, h, w, d)`, not scaled; `rows` `(h, h, d)` and `columns` `(w, w, d)`, see [`pairs`].
///
/// # Errors
/// If the shapes do not fit each other, or the device fails.
pub fn relative_terms(queries: &Tensor, rows: &Tensor, columns: &Tensor) -> Result<(Tensor, Tensor)> {
    let (b, h, w, d) = queries.dims4()?;
    // batches of queries of one row, and of one column
    let by_row = queries.transpose(0, 1)?.reshape((h, b * w, d))?.matmul(&rows.transpose(1, 2)?)?;
    let by_row = by_row.reshape((h, b, w, h))?.transpose(0, 1)?.contiguous()?;
    let by_column = queries.permute((2, 0, 1, 3))?.reshape((w, b * h, d))?;
    let by_column = by_column.matmul(&columns.transpose(1, 2)?)?;
    let by_column = by_column.reshape((w, b, h, w))?.permute((1, 2, 0, 3))?.contiguous()?;
    Ok((by_row, by_column))
}

/// The sum of the terms of each query and key, `(b, q, w, h, w)`.
///
/// # Shapes
/// `rows` `(b, q, w, h)` and `columns` `(b, q, w, w)`, see [`relative_terms`].
///
/// # Errors
/// If the shapes do not fit each other, or the device fails.
pub fn relative_scores(rows: &Tensor, columns: &Tensor) -> Result<Tensor> {
    rows.unsqueeze(D::Minus1)?.broadcast_add(&columns.unsqueeze(3)?)
}

/// Attention of windows. `most_bytes` limits the scores that exist at a time.
///
/// # Shapes
/// `qkv` `(windows, h, w, 3 * size)`, rows `[q | k | v]`, each head-major; `rows` `(2 h - 1, d)` and `columns` `(2 w - 1, d)`, see
/// [`pairs`]; the result is `(windows, h, w, size)`.
///
/// # Errors
/// If the shapes do not fit each other, or the device fails.
pub fn attend(
    qkv: &Tensor,
    rows: &Tensor,
    columns: &Tensor,
    heads: usize,
    most_bytes: u64,
) -> Result<Tensor> {
    let (windows, height, width, three) = qkv.dims4()?;
    let (tokens, size) = (height * width, three / 3);
    let part = |which: usize| {
        let part = qkv.narrow(3, which * size, size)?.reshape((windows, tokens, heads, size / heads))?;
        part.transpose(1, 2)?.reshape((windows * heads, tokens, size / heads))
    };
    let queries = part(0)?;
    // relative positions are multiplied by the queries as they are, not scaled; of all windows at once, because they are
    // small, and because the product of fewer may sum in another order
    let terms = relative_terms(
        &queries.reshape((windows * heads, height, width, size / heads))?,
        &pairs(rows, height)?,
        &pairs(columns, width)?,
    )?;
    let windows = Windows { queries, keys: part(1)?, values: part(2)?, terms, heads, height, width };
    windows.attend(most_bytes, qkv.dim(0)?)
}

/// Queries, keys and values, `(windows * heads, h * w, d)`, and the terms of relative positions.
struct Windows {
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    terms: (Tensor, Tensor),
    heads: usize,
    height: usize,
    width: usize,
}

impl Windows {
    /// Attention of `count` windows, `(count, h, w, size)`: as many windows at a time, or rows of queries of a window, as fit.
    fn attend(&self, most_bytes: u64, count: usize) -> Result<Tensor> {
        let Windows { heads, height, width, .. } = *self;
        let tokens = height * width;
        // scores, those with relative positions, and their softmax
        let row_bytes = 3 * heads * width * tokens * self.queries.dtype().size_in_bytes();
        let at_once = |count: usize, bytes: usize| {
            let fits = usize::try_from(most_bytes / (bytes as u64).max(1)).unwrap_or(usize::MAX);
            fits.min(count).max(1)
        };
        let window_step = at_once(count, row_bytes * height);
        // rows of the smallest maps are not divided: so few products may sum in another order
        let is_tiny = width == 1 || width * tokens <= SMALL_PRODUCT;
        let row_step = if is_tiny { height } else { at_once(height, row_bytes) };
        let windows = (0..count).step_by(window_step).map(|first| {
            let windows = first..(first + window_step).min(count);
            let rows = (0..height)
                .step_by(row_step)
                .map(|first| self.attend_at_once(windows.clone(), first..(first + row_step).min(height)));
            concatenate(rows.collect::<Result<Vec<Tensor>>>()?, 1)
        });
        concatenate(windows.collect::<Result<Vec<Tensor>>>()?, 0)
    }

    /// Attention of rows of queries of some windows, `(windows, rows, w, size)`.
    fn attend_at_once(&self, windows: Range<usize>, rows: Range<usize>) -> Result<Tensor> {
        let Windows { heads, height, width, .. } = *self;
        let (batch, d) = (windows.len() * heads, self.queries.dim(2)?);
        let of_windows = |tensor: &Tensor| tensor.narrow(0, windows.start * heads, batch);
        let of_rows = |terms: &Tensor| of_windows(terms)?.narrow(1, rows.start, rows.len());
        let queries = of_windows(&self.queries)?.narrow(1, rows.start * width, rows.len() * width)?;
        let scores =
            (queries.contiguous()? * (d as f64).powf(-0.5))?.matmul(&of_windows(&self.keys)?.t()?)?;
        let relative = relative_scores(&of_rows(&self.terms.0)?, &of_rows(&self.terms.1)?)?;
        let scores = (scores + relative.reshape((batch, rows.len() * width, height * width))?)?;
        let attended = ops::softmax_last(&scores)?.matmul(&of_windows(&self.values)?)?;
        attended.reshape((windows.len(), heads, rows.len() * width, d))?.transpose(1, 2)?.reshape((
            windows.len(),
            rows.len(),
            width,
            heads * d,
        ))
    }
}

fn concatenate(mut parts: Vec<Tensor>, axis: usize) -> Result<Tensor> {
    match parts.len() {
        1 => Ok(parts.remove(0)),
        _ => Tensor::cat(&parts, axis),
    }
}
