//! Attention over a grid of tokens with decomposed relative positions, composed of candle's operators.
//!
//! In: queries, keys and values of windows; out: their attention, on any device. Scores are computed for some windows, or
//! some rows of queries of a window, at a time. Does not depend on any network.

use super::ops;
use candle_core::{D, Result, Tensor};

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

/// The relative positions' part of the scores, `(b, q, w, h, w)` for `q` rows of queries of windows of `h` x `w` tokens.
///
/// # Shapes
/// `queries` `(b, q, w, d)`, not scaled; `rows` `(q, h, d)` and `columns` `(w, w, d)`, see [`pairs`].
///
/// # Errors
/// If the shapes do not fit each other, or the device fails.
pub fn relative_scores(queries: &Tensor, rows: &Tensor, columns: &Tensor) -> Result<Tensor> {
    let (b, q, w, d) = queries.dims4()?;
    let (height, width) = (rows.dim(1)?, columns.dim(1)?);
    let by_row = queries.transpose(0, 1)?.reshape((q, b * w, d))?; // batches of rows
    let by_row = by_row.matmul(&rows.transpose(1, 2)?)?.reshape((q, b, w, height))?.transpose(0, 1)?;
    let by_column = queries.permute((2, 0, 1, 3))?.reshape((w, b * q, d))?;
    let by_column =
        by_column.matmul(&columns.transpose(1, 2)?)?.reshape((w, b, q, width))?.permute((1, 2, 0, 3))?;
    by_row.unsqueeze(D::Minus1)?.broadcast_add(&by_column.unsqueeze(3)?)
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
    let (windows, height, width, _) = qkv.dims4()?;
    let positions = (pairs(rows, height)?, pairs(columns, width)?);
    // scores, those with relative positions, and their softmax
    let row_bytes = 3 * heads * width * height * width * qkv.dtype().size_in_bytes();
    let at_once = |count: usize, bytes: usize| {
        let fits = usize::try_from(most_bytes / (bytes as u64).max(1)).unwrap_or(usize::MAX);
        fits.min(count).max(1)
    };
    let (window_step, row_step) = (at_once(windows, row_bytes * height), at_once(height, row_bytes));
    let chunks = (0..windows).step_by(window_step).map(|first| {
        let qkv = qkv.narrow(0, first, window_step.min(windows - first))?;
        attend_at_once(&qkv, &positions, heads, row_step)
    });
    concatenate(chunks.collect::<Result<Vec<Tensor>>>()?, 0)
}

/// [`attend`] of some windows, `row_step` rows of queries at a time.
fn attend_at_once(
    qkv: &Tensor,
    positions: &(Tensor, Tensor),
    heads: usize,
    row_step: usize,
) -> Result<Tensor> {
    let (windows, height, width, three) = qkv.dims4()?;
    let (tokens, size) = (height * width, three / 3);
    let d = size / heads;
    let part = |which: usize| {
        let part = qkv.narrow(3, which * size, size)?.reshape((windows, tokens, heads, d))?;
        part.transpose(1, 2)?.reshape((windows * heads, tokens, d))
    };
    let (queries, keys, values) = (part(0)?, part(1)?, part(2)?);
    let chunks = (0..height).step_by(row_step).map(|first| {
        let rows = row_step.min(height - first);
        let queries = queries.narrow(1, first * width, rows * width)?.contiguous()?;
        let scores = (&queries * (d as f64).powf(-0.5))?.matmul(&keys.t()?)?;
        // relative positions are multiplied by the queries as they are, not scaled
        let queries = queries.reshape((windows * heads, rows, width, d))?;
        let relative = relative_scores(&queries, &positions.0.narrow(0, first, rows)?, &positions.1)?;
        let scores = (scores + relative.reshape((windows * heads, rows * width, tokens))?)?;
        let attended = ops::softmax_last(&scores)?.matmul(&values)?;
        attended
            .reshape((windows, heads, rows * width, d))?
            .transpose(1, 2)?
            .reshape((windows, rows, width, size))
    });
    concatenate(chunks.collect::<Result<Vec<Tensor>>>()?, 1)
}

fn concatenate(mut parts: Vec<Tensor>, axis: usize) -> Result<Tensor> {
    match parts.len() {
        1 => Ok(parts.remove(0)),
        _ => Tensor::cat(&parts, axis),
    }
}
