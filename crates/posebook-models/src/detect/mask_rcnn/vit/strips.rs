//! Divides a map of tokens into strips of rows that are computed one after another within a [`Budget`].

use super::Budget;
use candle_core::{Result, Tensor};
use std::ops::Range;

/// Fewest tokens of a strip. The products of fewer rows may sum in another order, and results must not depend on the budget.
const FEWEST_TOKENS: usize = 65;

/// Ranges of rows, each a multiple of `unit` but the last, whose buffers of `row_bytes` a row are within the budget.
pub fn strips(
    rows: usize,
    columns: usize,
    unit: usize,
    budget: Budget,
    row_bytes: usize,
) -> Vec<Range<usize>> {
    let units = rows.div_ceil(unit);
    let fewest = FEWEST_TOKENS.div_ceil(unit * columns.max(1));
    let step = unit * budget.chunk(units, row_bytes * unit).max(fewest);
    let mut strips: Vec<Range<usize>> =
        (0..rows).step_by(step).map(|first| first..(first + step).min(rows)).collect();
    if let [.., before, last] = &mut strips[..]
        && last.len() * columns < FEWEST_TOKENS
    {
        before.end = last.end;
        strips.pop();
    }
    strips
}

/// Applies `work` to each strip of `x`, `(rows, columns, dim)`, and joins the results of the same shape.
///
/// # Errors
/// If `work` fails, or changes a shape.
pub fn write_strips(
    strips: &[Range<usize>],
    x: &Tensor,
    work: impl Fn(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    if strips.len() <= 1 {
        return work(x);
    }
    let out = Tensor::zeros(x.shape(), x.dtype(), x.device())?;
    for strip in strips {
        out.slice_set(&work(&x.narrow(0, strip.start, strip.len())?)?, 0, strip.start)?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strips_cover_every_row_and_none_is_too_small() {
        for (rows, columns, unit) in
            [(64, 64, 14), (64, 64, 1), (16, 16, 6), (3, 2, 14), (1, 1, 1), (90, 7, 4)]
        {
            for bytes in [None, Some(1), Some(1 << 20), Some(40 << 20)] {
                let strips = strips(rows, columns, unit, Budget { bytes }, columns * 10_000);
                assert_eq!((strips[0].start, strips.last().unwrap().end), (0, rows));
                for (index, strip) in strips.iter().enumerate() {
                    assert!(strips.len() == 1 || strip.len() * columns >= FEWEST_TOKENS, "{strips:?}");
                    assert!(strip.start % unit == 0);
                    assert!(index == 0 || strips[index - 1].end == strip.start);
                }
                assert!(bytes.is_some() || strips.len() == 1);
            }
        }
    }
}
