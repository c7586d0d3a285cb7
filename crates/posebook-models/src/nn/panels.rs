//! Matrix products written into disjoint column panels of one output matrix.
//!
//! In: two [`Matrix`] views of `f32` slices. Out: a [`ColumnPanel`] of an output slice, overwritten by
//! [`multiply`] (the crate `gemm`). [`ColumnPanels`] splits an output into panels that several threads may fill at
//! the same time: panels share rows, so the split cannot be expressed with slices, and this module is the only one
//! that writes through pointers. Does not depend on tensors or on any network.

use gemm::Parallelism;
use std::marker::PhantomData;

/// A read-only matrix view of a slice.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    /// Elements from one row to the next.
    row_stride: usize,
    /// Elements from one column to the next.
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// A row-major view whose rows start `row_stride` elements apart.
    ///
    /// # Panics
    /// If the slice is too short.
    pub fn new(values: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Matrix<'a> {
        let length = if rows == 0 || columns == 0 { 0 } else { (rows - 1) * row_stride + columns };
        assert!(
            length <= values.len(),
            "a {rows} x {columns} factor needs {length} values, not {}",
            values.len()
        );
        Matrix { values, rows, columns, row_stride, column_stride: 1 }
    }

    /// The transposed view of the same values.
    pub fn transposed(self) -> Matrix<'a> {
        let Matrix { values, rows, columns, row_stride, column_stride } = self;
        Matrix { values, rows: columns, columns: rows, row_stride: column_stride, column_stride: row_stride }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The view of the columns `first..first + count`.
    ///
    /// # Panics
    /// If there are no such columns.
    fn column_range(self, first: usize, count: usize) -> Matrix<'a> {
        assert!(first + count <= self.columns, "columns {first}..{} of {}", first + count, self.columns);
        let is_empty = self.rows == 0 || count == 0;
        let values = if is_empty { &[] } else { &self.values[first * self.column_stride..] };
        Matrix { values, columns: count, ..self }
    }
}

/// Splits a row-major output matrix into panels of neighboring columns; iterating yields each panel once.
///
/// All panels have `panel_width` columns but the last, which takes the remaining columns too.
pub struct ColumnPanels<'a> {
    start: *mut f32,
    rows: usize,
    columns: usize,
    row_stride: usize,
    panel_width: usize,
    /// First column of the next panel.
    next_column: usize,
    borrow: PhantomData<&'a mut [f32]>,
}

impl<'a> ColumnPanels<'a> {
    /// Panels of the first `rows * row_stride` values of `out`: `rows` rows of `columns` values, `row_stride` apart.
    ///
    /// # Panics
    /// If `out` is too short, rows overlap (`row_stride < columns`) or `panel_width` is 0.
    pub fn new(
        out: &'a mut [f32],
        rows: usize,
        columns: usize,
        row_stride: usize,
        panel_width: usize,
    ) -> ColumnPanels<'a> {
        let length = if rows == 0 || columns == 0 { 0 } else { (rows - 1) * row_stride + columns };
        assert!(row_stride >= columns, "rows of an output overlap");
        assert!(length <= out.len(), "a {rows} x {columns} output needs {length} values, not {}", out.len());
        assert!(panel_width > 0, "a panel without columns");
        let (start, next_column, borrow) = (out.as_mut_ptr(), 0, PhantomData);
        ColumnPanels { start, rows, columns, row_stride, panel_width, next_column, borrow }
    }
}

impl<'a> Iterator for ColumnPanels<'a> {
    type Item = ColumnPanel<'a>;

    fn next(&mut self) -> Option<ColumnPanel<'a>> {
        let left = self.columns - self.next_column;
        if left == 0 {
            return None;
        }
        let columns = if left < 2 * self.panel_width { left } else { self.panel_width };
        let panel = ColumnPanel {
            start: self.start.wrapping_add(self.next_column),
            first_column: self.next_column,
            rows: self.rows,
            columns,
            row_stride: self.row_stride,
            borrow: PhantomData,
        };
        self.next_column += columns;
        Some(panel)
    }
}

/// Exclusive write access to some neighboring columns of an output matrix.
///
/// Invariant: for the lifetime `'a`, no other reference or panel reaches the elements
/// `row * row_stride + column` from `start`, for `row < rows` and `column < columns`, and all of them lie inside one
/// allocation. [`ColumnPanels`] keeps it: it owns the mutable borrow of the slice for `'a`, yields every column
/// once, and rows do not overlap.
pub struct ColumnPanel<'a> {
    start: *mut f32,
    /// Index of the panel's first column in the output matrix.
    first_column: usize,
    rows: usize,
    columns: usize,
    row_stride: usize,
    borrow: PhantomData<&'a mut [f32]>,
}

#[expect(unsafe_code, reason = "a panel holds a pointer, which is not `Send` by itself")]
// SAFETY: a panel is an exclusive borrow of plain `f32` values (see its invariant), like `&mut [f32]`, which is
// `Send`
unsafe impl Send for ColumnPanel<'_> {}

impl<'a> ColumnPanel<'a> {
    /// A complete output matrix as one panel.
    ///
    /// # Panics
    /// As [`ColumnPanels::new`], and if there are no columns.
    pub fn full(out: &'a mut [f32], rows: usize, columns: usize, row_stride: usize) -> ColumnPanel<'a> {
        let panel = ColumnPanels::new(out, rows, columns, row_stride, columns.max(1)).next();
        panel.expect("an output has columns")
    }

    /// Splits the panel into panels of `rows` rows; the last one takes what is left.
    ///
    /// # Panics
    /// If `rows` is 0.
    pub fn into_row_blocks(self, rows: usize) -> impl Iterator<Item = ColumnPanel<'a>> {
        (0..self.rows).step_by(rows).map(move |first| ColumnPanel {
            start: self.start.wrapping_add(first * self.row_stride),
            rows: rows.min(self.rows - first),
            ..self
        })
    }

    /// The panel as an output of its own, for a product that has only the panel's columns.
    pub fn as_output(&mut self) -> ColumnPanel<'_> {
        let ColumnPanel { start, rows, columns, row_stride, .. } = *self;
        ColumnPanel { start, first_column: 0, rows, columns, row_stride, borrow: PhantomData }
    }

    /// The panel's values of one row.
    ///
    /// # Panics
    /// If there is no such row.
    #[expect(unsafe_code, reason = "a panel is a pointer")]
    pub fn row_mut(&mut self, row: usize) -> &mut [f32] {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        // SAFETY: the row's columns are inside one allocation and exclusively borrowed by the panel (its invariant),
        // and this borrow of the panel keeps others from being made
        unsafe { std::slice::from_raw_parts_mut(self.start.add(row * self.row_stride), self.columns) }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }
}

/// Overwrites a panel with its columns of the product `left right`.
///
/// # Shapes
/// `left` `(m, k)`, `right` `(k, n)`; `out` `m` rows and some of the `n` columns.
///
/// # Panics
/// If the shapes do not fit each other.
#[expect(unsafe_code, reason = "gemm takes pointers and strides")]
pub fn multiply(left: Matrix, right: Matrix, out: ColumnPanel, threads: Parallelism) {
    assert_eq!(left.columns, right.rows, "the inner dimensions of a product differ");
    assert_eq!(out.rows, left.rows, "a product has another number of rows than its output");
    let right = right.column_range(out.first_column, out.columns);
    let stride = |stride: usize| stride as isize;
    // SAFETY: both factors lie inside their slices (checked by `Matrix::new` and `Matrix::column_range`); the
    // elements of `out` are inside one allocation and exclusively borrowed (invariant of `ColumnPanel`)
    unsafe {
        gemm::gemm(
            left.rows,
            right.columns,
            left.columns,
            out.start,
            1,
            stride(out.row_stride),
            false,
            left.values.as_ptr(),
            stride(left.column_stride),
            stride(left.row_stride),
            right.values.as_ptr(),
            stride(right.column_stride),
            stride(right.row_stride),
            0.0,
            1.0,
            false,
            false,
            false,
            threads,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayon::prelude::*;

    #[test]
    fn panels_cover_every_column_once_and_nothing_else() {
        for (rows, columns, row_stride, panel_width) in
            [(3, 10, 10, 5), (4, 11, 13, 5), (1, 9, 9, 5), (5, 7, 8, 7), (2, 4, 6, 1), (3, 3, 3, 100)]
        {
            let mut out = vec![-1.0; rows * row_stride];
            let panels: Vec<ColumnPanel> =
                ColumnPanels::new(&mut out, rows, columns, row_stride, panel_width).collect();
            let first: Vec<usize> = panels.iter().map(|panel| panel.first_column).collect();
            let count = (columns / panel_width).max(1);
            assert_eq!(first, (0..count).map(|panel| panel * panel_width).collect::<Vec<_>>());
            // each thread writes 1 * (number of the column) into its panel, all at the same time
            let numbers: Vec<f32> = (0..columns).map(|column| column as f32).collect();
            let (left, right) = (vec![1.0; rows], Matrix::new(&numbers, 1, columns, columns));
            panels.into_par_iter().for_each(|panel| {
                multiply(Matrix::new(&left, rows, 1, 1), right, panel, Parallelism::None);
            });
            for (index, &value) in out.iter().enumerate() {
                let column = index % row_stride;
                let expected = if column < columns { column as f32 } else { -1.0 };
                assert_eq!(value, expected, "column {column} of {columns}, panels of {panel_width}");
            }
        }
    }

    #[test]
    fn row_blocks_of_panels_cover_every_value_once() {
        let (rows, columns) = (7, 6);
        let mut out = vec![0.0; rows * columns];
        for panel in ColumnPanels::new(&mut out, rows, columns, columns, 3) {
            for (block, mut panel) in panel.into_row_blocks(3).enumerate() {
                assert_eq!(panel.rows(), [3, 3, 1][block]);
                for row in 0..panel.rows() {
                    panel.row_mut(row).iter_mut().for_each(|value| *value += (1 + block) as f32);
                }
            }
        }
        let expected: Vec<f32> = (0..rows * columns).map(|index| (1 + index / columns / 3) as f32).collect();
        assert_eq!(out, expected);
    }

    #[test]
    fn empty_outputs_have_no_columns_or_no_rows() {
        assert_eq!(ColumnPanels::new(&mut [], 4, 0, 0, 8).count(), 0);
        assert_eq!(ColumnPanels::new(&mut [], 0, 12, 12, 8).count(), 1);
        let none = Matrix::new(&[], 0, 3, 3);
        multiply(
            none,
            Matrix::new(&[1.0; 6], 3, 2, 2),
            ColumnPanel::full(&mut [], 0, 2, 2),
            Parallelism::None,
        );
    }

    #[test]
    #[should_panic(expected = "needs 12 values")]
    fn an_output_that_is_too_short_is_refused() {
        ColumnPanels::new(&mut [0.0; 11], 3, 4, 4, 4);
    }

    #[test]
    #[should_panic(expected = "rows of an output overlap")]
    fn overlapping_rows_are_refused() {
        ColumnPanels::new(&mut [0.0; 12], 3, 4, 3, 4);
    }
}
