//! Self-attention over a map of tokens with decomposed relative positions (Li et al. 2022, "MViTv2"; "ViTDet"): global, or
//! within square windows.
//!
//! In and out: tokens `(h, w, size)` of one image. On the CPU `grid_kernel` runs, in half precision on widened values;
//! elsewhere `grid_operators`. Does not depend on any network.

use super::attention::SelfAttention;
use super::grid_kernel::{self, GridShape, Tables};
use super::grid_operators;
use super::linear::cpu_values;
use super::ops::{is_half_on_cpu, to_f32, uses_cpu_kernels};
use candle_core::{Device, Module, Result, Tensor, bail};

/// Tables of relative positions, which are added to the scores of attention: one for rows, one for columns.
#[derive(Debug, Clone)]
pub struct RelativePositions {
    /// Entry `i` is for a key that is `i - (side - 1)` after its query: the reverse of the published order, so that the terms
    /// of a query's keys are ascending.
    rows: Tensor,
    columns: Tensor,
}

impl RelativePositions {
    /// Tables in the published order, `(2 * side - 1, d)` each: entry `i` is for a query that is `i - (side - 1)` after the key.
    ///
    /// # Errors
    /// If the shapes are others, or the device fails.
    pub fn new(rows: &Tensor, columns: &Tensor) -> Result<RelativePositions> {
        let reversed = |table: &Tensor| {
            let (length, _) = table.dims2()?;
            if length % 2 == 0 {
                bail!("a table of relative positions has {length} entries; a side of n has 2 n - 1");
            }
            let indices: Vec<u32> = (0..length as u32).rev().collect();
            table.index_select(&Tensor::from_vec(indices, length, table.device())?, 0)
        };
        Ok(RelativePositions { rows: reversed(rows)?, columns: reversed(columns)? })
    }

    /// Rows and columns that the tables are for.
    ///
    /// # Errors
    /// Never: the tables have two axes.
    pub fn sides(&self) -> Result<(usize, usize)> {
        Ok((self.rows.dim(0)?.div_ceil(2), self.columns.dim(0)?.div_ceil(2)))
    }

    /// What is added to the scores, `(b, h * w, h * w)`, of the queries `(b, h * w, d)`.
    ///
    /// # Errors
    /// If the queries are not as many as the tables are for, or the device fails.
    pub fn scores(&self, queries: &Tensor) -> Result<Tensor> {
        let ((height, width), (b, n, d)) = (self.sides()?, queries.dims3()?);
        let queries = queries.reshape((b, height, width, d))?;
        let rows = grid_operators::pairs(&self.rows, height)?;
        let columns = grid_operators::pairs(&self.columns, width)?;
        let (rows, columns) = grid_operators::relative_terms(&queries, &rows, &columns)?;
        grid_operators::relative_scores(&rows, &columns)?.reshape((b, n, n))
    }
}

/// Where attention over a map of tokens reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Every token attends to every token.
    Global,
    /// Tokens attend to those of their square window of this side. Windows start at the first token; those that reach
    /// beyond the map contain zeros there, which take part in the softmax.
    Window(usize),
}

/// Self-attention over a map of tokens.
#[derive(Debug, Clone)]
pub struct GridAttention {
    attention: SelfAttention,
    /// Relative positions, of a window or of the map.
    pub positions: RelativePositions,
    reach: Reach,
    /// Whether candle's operators compute it on the CPU, too.
    use_operators: bool,
}

impl GridAttention {
    /// Attention of the projections of `attention`.
    pub fn new(
        attention: SelfAttention,
        positions: RelativePositions,
        reach: Reach,
        use_operators: bool,
    ) -> GridAttention {
        GridAttention { attention, positions, reach, use_operators }
    }

    /// Where it reaches.
    pub fn reach(&self) -> Reach {
        self.reach
    }

    /// `residual` plus [`GridAttention::forward`], the addition fused into the last product where that is possible.
    ///
    /// # Errors
    /// As [`GridAttention::forward`], and if the residual has another shape.
    pub fn forward_residual(&self, x: &Tensor, residual: &Tensor, most_bytes: u64) -> Result<Tensor> {
        self.attention.proj.forward_residual(&self.attend(x, most_bytes)?, residual)
    }

    /// Attention and the output projection. `most_bytes` limits the scores that exist at a time where candle's operators
    /// compute them; the CPU's kernel stores few anyway.
    ///
    /// # Shapes
    /// `(h, w, size)` to `(h, w, size)`.
    ///
    /// # Errors
    /// If the shape is another, a global attention's map has another size than its relative positions, or the device fails.
    pub fn forward(&self, x: &Tensor, most_bytes: u64) -> Result<Tensor> {
        self.attention.proj.forward(&self.attend(x, most_bytes)?)
    }

    /// The outputs of all heads side by side, `(h, w, size)`, before the output projection.
    fn attend(&self, x: &Tensor, most_bytes: u64) -> Result<Tensor> {
        let (height, width, _) = x.dims3()?;
        let sides = match self.reach {
            Reach::Global => (height, width),
            Reach::Window(side) => (side, side),
        };
        if sides != self.positions.sides()? {
            bail!(
                "attention over {} x {} tokens, but the relative positions are those of {:?}",
                sides.0,
                sides.1,
                self.positions.sides()?
            );
        }
        if self.use_operators || !x.device().is_cpu() {
            return self.attend_by_operators(x, most_bytes);
        }
        let qkv = self.attention.qkv.forward(x)?;
        if uses_cpu_kernels(&qkv) {
            self.attend_on_cpu(&qkv, sides)
        } else if is_half_on_cpu(&qkv) {
            self.attend_on_cpu(&to_f32(&qkv)?, sides)?.to_dtype(x.dtype())
        } else {
            bail!("attention of {:?}", qkv.dtype())
        }
    }

    fn attend_by_operators(&self, x: &Tensor, most_bytes: u64) -> Result<Tensor> {
        let SelfAttention { qkv, heads, .. } = &self.attention;
        let RelativePositions { rows, columns } = &self.positions;
        let (height, width, _) = x.dims3()?;
        let attend = |x: &Tensor| grid_operators::attend(&qkv.forward(x)?, rows, columns, *heads, most_bytes);
        match self.reach {
            Reach::Global => attend(&x.unsqueeze(0)?)?.squeeze(0),
            Reach::Window(side) => {
                grid_operators::join(&attend(&grid_operators::partition(x, side)?)?, height, width)
            }
        }
    }

    /// `qkv` `(h, w, 3 * size)` in `f32`.
    fn attend_on_cpu(&self, qkv: &Tensor, (window_height, window_width): (usize, usize)) -> Result<Tensor> {
        let (height, width, three) = qkv.dims3()?;
        let (heads, size) = (self.attention.heads, three / 3);
        let shape = GridShape { height, width, window_height, window_width, size, heads };
        let f32_values =
            |tensor: &Tensor| if uses_cpu_kernels(tensor) { tensor.contiguous() } else { to_f32(tensor) };
        // the projection of a token of zeros
        let padding = match &self.attention.qkv.bias {
            Some(bias) => f32_values(bias)?,
            None => Tensor::zeros(three, qkv.dtype(), &Device::Cpu)?,
        };
        let (rows, columns) = (f32_values(&self.positions.rows)?, f32_values(&self.positions.columns)?);
        let qkv = qkv.contiguous()?;
        let [qkv, padding, rows, columns] = [&qkv, &padding, &rows, &columns].map(Tensor::storage_and_layout);
        let tables =
            Tables { rows: cpu_values(&rows.0, rows.1)?, columns: cpu_values(&columns.0, columns.1)? };
        let (qkv, padding) = (cpu_values(&qkv.0, qkv.1)?, cpu_values(&padding.0, padding.1)?);
        let values = grid_kernel::attend(qkv, padding, tables, shape);
        Tensor::from_vec(values, (height, width, size), &Device::Cpu)
    }
}
