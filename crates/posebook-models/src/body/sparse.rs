//! Sparse matrices, for joint regressors and skinning weights.

use posebook_core::geometry::Vec3;

/// A sparse matrix by rows (CSR).
#[derive(Debug, Clone, PartialEq)]
pub struct SparseMatrix {
    columns: usize,
    /// The entries of row r are `starts[r]..starts[r + 1]`.
    starts: Vec<u32>,
    entries: Vec<(u32, f32)>,
}

impl SparseMatrix {
    /// From a dense (rows, columns) matrix in row-major order.
    ///
    /// # Panics
    /// If the length of `dense` is not a multiple of `columns`.
    pub fn from_dense(dense: &[f32], columns: usize) -> SparseMatrix {
        assert!(columns > 0 && dense.len().is_multiple_of(columns), "whole rows");
        let rows = dense.chunks_exact(columns).map(|row| {
            let numbered = row.iter().enumerate().filter(|(_, value)| **value != 0.0);
            numbered.map(|(column, &value)| (column as u32, value)).collect()
        });
        SparseMatrix::from_rows(rows.collect(), columns)
    }

    /// From the (column, value) pairs of every row.
    pub fn from_rows(rows: Vec<Vec<(u32, f32)>>, columns: usize) -> SparseMatrix {
        let mut sparse = SparseMatrix { columns, starts: vec![0], entries: Vec::new() };
        for row in rows {
            sparse.entries.extend(row);
            sparse.starts.push(sparse.entries.len() as u32);
        }
        sparse
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The (column, value) pairs of a row.
    pub fn row(&self, row: usize) -> &[(u32, f32)] {
        &self.entries[self.starts[row] as usize..self.starts[row + 1] as usize]
    }

    /// The dense matrix, (rows, columns) in row-major order.
    pub fn to_dense(&self) -> Vec<f32> {
        let mut dense = vec![0.0; self.rows() * self.columns];
        for row in 0..self.rows() {
            for &(column, value) in self.row(row) {
                dense[row * self.columns + column as usize] = value;
            }
        }
        dense
    }

    /// One row times a list of points: their weighted sum.
    pub fn combine_row(&self, row: usize, points: &[Vec3]) -> Vec3 {
        let mut sum = [0.0; 3];
        for &(column, value) in self.row(row) {
            let point = points[column as usize];
            for axis in 0..3 {
                sum[axis] += value * point[axis];
            }
        }
        sum
    }

    /// The matrix times a list of points: one point per row.
    pub fn combine(&self, points: &[Vec3]) -> Vec<Vec3> {
        (0..self.rows()).map(|row| self.combine_row(row, points)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dense_and_sparse_matrices_convert() {
        let dense = [0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.5, 0.0, 0.5];
        let sparse = SparseMatrix::from_dense(&dense, 3);
        assert_eq!((sparse.rows(), sparse.columns()), (3, 3));
        assert_eq!(sparse.row(2), &[(0, 0.5), (2, 0.5)]);
        assert_eq!(sparse.to_dense(), dense);
        let points = [[0.0, 0.0, 2.0], [1.0, 0.0, 0.0], [0.0, 4.0, 0.0]];
        assert_eq!(sparse.combine(&points), vec![[2.0, 0.0, 0.0], [0.0; 3], [0.0, 2.0, 1.0]]);
    }
}
