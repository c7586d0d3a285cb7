//! Filters of 3 x 3 with a stride of 1 by Winograd's minimal filtering F(2 x 2, 3 x 3) (Lavin and Gray 2016): four by
//! four inputs and the filter are transformed, multiplied number by number (a matrix product over the channels for
//! each of 16 positions), and transformed back to two by two outputs.

use super::LEAKY_SLOPE;
use super::map::Shape;
use super::micro::{PANEL, Place, Read, TILE, accumulate};
use rayon::prelude::*;
use std::cell::RefCell;

/// Products of a tile and a filter.
pub(super) const POSITIONS: usize = 16;
/// Numbers of transformed input that one thread holds for each position: tiles times channels.
const BLOCK: usize = 2048;
/// Side of a tile of inputs, and of its outputs.
const SIDE: usize = 4;
const OUTPUTS: usize = 2;

/// Stands for the pixels beyond the border, of at most as many channels.
static ZEROS: [f32; MOST_INPUTS] = [0.0; MOST_INPUTS];
/// The most channels of an input.
pub(super) const MOST_INPUTS: usize = 1024;

thread_local! {
    /// Transformed inputs and products of one block: kept, as making it anew costs more than using it.
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Tiles that are computed together.
struct Tiles {
    /// The first of them, counted by rows.
    first: usize,
    count: usize,
    /// As many as there is place for.
    step: usize,
    /// Tiles of a row.
    across: usize,
}

/// A filter, transformed and packed.
pub(super) struct Filter<'a> {
    pub(super) inputs: usize,
    pub(super) leaky: bool,
    /// Whether the processor has AVX2 and FMA.
    pub(super) wide: bool,
    /// `(panels, PANEL)`.
    pub(super) bias: &'a [f32],
    /// `(panels, POSITIONS, input, PANEL)`.
    pub(super) packed: &'a [f32],
}

/// `(panels, POSITIONS, input, PANEL)` of `(outputs, inputs, 3, 3)`, transformed in double precision.
pub(super) fn packed(weight: &[f32], inputs: usize, outputs: usize) -> Vec<f32> {
    const TRANSFORM: [[f64; 3]; SIDE] = [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]];
    let mut packed = vec![0.0; outputs * inputs * POSITIONS];
    for (index, filter) in weight.as_chunks::<9>().0.iter().enumerate() {
        let (output, input) = (index / inputs, index % inputs);
        let (panel, lane) = (output / PANEL, output % PANEL);
        for position in 0..POSITIONS {
            let (down, across) = (&TRANSFORM[position / SIDE], &TRANSFORM[position % SIDE]);
            let taps = filter.iter().enumerate();
            let sum: f64 = taps.map(|(tap, &value)| down[tap / 3] * across[tap % 3] * f64::from(value)).sum();
            packed[((panel * POSITIONS + position) * inputs + input) * PANEL + lane] = sum as f32;
        }
    }
    packed
}

/// Tiles that are computed together.
fn block_tiles(inputs: usize) -> usize {
    (BLOCK / inputs.max(1)).next_multiple_of(TILE)
}

/// Numbers that a thread needs beside the maps.
pub(super) fn scratch_numbers(inputs: usize) -> usize {
    let tiles = block_tiles(inputs);
    POSITIONS * tiles * (inputs + PANEL)
}

impl Filter<'_> {
    /// Computes channels `to..` of the output from channels `from..` of the input.
    pub(super) fn run(
        &self,
        input: &Shape,
        from: usize,
        read: &Read,
        output: &Shape,
        to: usize,
        place: &Place,
    ) {
        let wide = self.wide;
        let across = output.width.div_ceil(OUTPUTS);
        let tiles = across * output.height.div_ceil(OUTPUTS);
        let step = block_tiles(self.inputs);
        let zeros = &ZEROS[..self.inputs];
        (0..tiles.div_ceil(step)).into_par_iter().for_each(|block| {
            SCRATCH.with_borrow_mut(|scratch| {
                scratch.resize(scratch.len().max(scratch_numbers(self.inputs)), 0.0);
                let (transformed, rest) = scratch.split_at_mut(POSITIONS * step * self.inputs);
                let (products, _) = rest.split_at_mut(POSITIONS * step * PANEL);
                let first = block * step;
                for index in 0..step.min(tiles - first) {
                    let at = ((first + index) / across * OUTPUTS, (first + index) % across * OUTPUTS);
                    let out = &mut transformed[index * self.inputs..];
                    forward(&taps(input, from, read, at, zeros), self.inputs, out, step * self.inputs, wide);
                }
                let transformed = Read::of(transformed);
                let tiles = Tiles { first, count: step.min(tiles - first), step, across };
                for panel in 0..self.bias.len() / PANEL {
                    self.products(panel, &transformed, products, &tiles, wide);
                    self.outputs(panel, products, &tiles, (output, to, place), wide);
                }
            });
        });
    }

    /// Transforms the products of a panel back and writes them.
    fn outputs(
        &self,
        panel: usize,
        products: &[f32],
        tiles: &Tiles,
        (output, to, place): (&Shape, usize, &Place),
        wide: bool,
    ) {
        let bias = self.bias[panel * PANEL..].first_chunk::<PANEL>().copied().unwrap_or_default();
        for index in 0..tiles.count {
            let tile = tiles.first + index;
            let (y, x) = (tile / tiles.across * OUTPUTS, tile % tiles.across * OUTPUTS);
            let outputs = backward(&products[index * PANEL..], tiles.step * PANEL, &bias, self.leaky, wide);
            for (at, values) in outputs.iter().enumerate() {
                let (y, x) = (y + at / OUTPUTS, x + at % OUTPUTS);
                if y < output.height && x < output.width {
                    let pixel = output.first + y * output.row_step + x * output.channels;
                    place.write(pixel + to + panel * PANEL, values);
                }
            }
        }
    }

    /// `(POSITIONS, step, PANEL)`: transformed tiles times the filters of a panel.
    fn products(
        &self,
        panel: usize,
        transformed: &Read,
        products: &mut [f32],
        &Tiles { count, step, .. }: &Tiles,
        wide: bool,
    ) {
        let taps = self.inputs * PANEL;
        for position in 0..POSITIONS {
            let start = (panel * POSITIONS + position) * taps;
            let weights = &self.packed[start..start + taps];
            // whole groups of tiles: there is place for them, and what is beyond the count is not used
            for tile in (0..count).step_by(TILE) {
                let mut sums = [[0.0; PANEL]; TILE];
                let at = (position * step + tile) * self.inputs;
                accumulate(&transformed.runs::<TILE>(at, self.inputs, self.inputs), weights, &mut sums, wide);
                let place = products[(position * step + tile) * PANEL..].as_chunks_mut::<PANEL>().0;
                for (product, sums) in place.iter_mut().zip(&sums) {
                    *product = *sums;
                }
            }
        }
    }
}

/// The pixels of a tile whose first output is in row `y`, column `x`; `zeros` stands for what lies beyond the border.
fn taps(
    input: &Shape,
    from: usize,
    read: &Read,
    (y, x): (usize, usize),
    zeros: &[f32],
) -> [*const f32; POSITIONS] {
    let corner = input.first + y * input.row_step + x * input.channels + from;
    // one row up and one column to the left, into the border
    let corner = corner - input.row_step - input.channels;
    std::array::from_fn(|at| {
        let (down, right) = (at / SIDE, at % SIDE);
        if y + down <= input.height + 1 && x + right <= input.width + 1 {
            read.run(corner + down * input.row_step + right * input.channels, zeros.len())
        } else {
            zeros.as_ptr()
        }
    })
}

/// Eight numbers.
#[expect(unsafe_code, reason = "loads and stores by pointer")]
trait Lanes: Copy {
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    /// `max(x, LEAKY_SLOPE x)`.
    unsafe fn leaky(self) -> Self;
}

/// Numbers of a [`Lanes`].
const LANES: usize = 8;

#[expect(unsafe_code, reason = "loads and stores by pointer")]
impl Lanes for [f32; LANES] {
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller knows that eight numbers lie there
        unsafe { from.cast::<[f32; LANES]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller knows that there is place for eight numbers
        unsafe { to.cast::<[f32; LANES]>().write_unaligned(self) }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        std::array::from_fn(|lane| self[lane] + other[lane])
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        std::array::from_fn(|lane| self[lane] - other[lane])
    }
    #[inline(always)]
    unsafe fn leaky(self) -> Self {
        self.map(|value| value.max(LEAKY_SLOPE * value))
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{LANES, LEAKY_SLOPE, Lanes};
    use std::arch::x86_64::*;

    const _: () = assert!(size_of::<__m256>() == LANES * size_of::<f32>());

    #[expect(unsafe_code, reason = "AVX, which the caller knows the machine to have")]
    impl Lanes for __m256 {
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: as the trait says, and the machine has AVX
            unsafe { _mm256_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: as the trait says, and the machine has AVX
            unsafe { _mm256_storeu_ps(to, self) }
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            // SAFETY: the machine has AVX
            unsafe { _mm256_add_ps(self, other) }
        }
        #[inline(always)]
        unsafe fn sub(self, other: Self) -> Self {
            // SAFETY: the machine has AVX
            unsafe { _mm256_sub_ps(self, other) }
        }
        #[inline(always)]
        unsafe fn leaky(self) -> Self {
            // SAFETY: the machine has AVX
            unsafe { _mm256_max_ps(self, _mm256_mul_ps(self, _mm256_set1_ps(LEAKY_SLOPE))) }
        }
    }
}

/// Transforms a tile of `channels` (a multiple of eight): position `p` of channel `c` goes to `out[p * step + c]`.
#[expect(unsafe_code, reason = "calls code for AVX once the machine has it")]
fn forward(taps: &[*const f32; POSITIONS], channels: usize, out: &mut [f32], step: usize, wide: bool) {
    assert!(channels.is_multiple_of(LANES) && (POSITIONS - 1) * step + channels <= out.len());
    let out = out.as_mut_ptr();
    #[cfg(target_arch = "x86_64")]
    if wide {
        // SAFETY: the machine has AVX2; sizes were looked at just before, and by `taps`
        unsafe { forward_wide(taps, channels, out, step) };
        return;
    }
    let _ = wide;
    // SAFETY: sizes were looked at just before, and by `taps`
    unsafe { forward_in::<[f32; LANES]>(taps, channels, out, step) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
#[expect(unsafe_code, reason = "reads and writes by pointer")]
unsafe fn forward_wide(taps: &[*const f32; POSITIONS], channels: usize, out: *mut f32, step: usize) {
    // SAFETY: as the caller says
    unsafe { forward_in::<std::arch::x86_64::__m256>(taps, channels, out, step) }
}

/// # Safety
/// Every tap has to have `channels` numbers, and `out` place for all positions.
#[inline(always)]
#[expect(unsafe_code, reason = "reads and writes by pointer")]
unsafe fn forward_in<L: Lanes>(taps: &[*const f32; POSITIONS], channels: usize, out: *mut f32, step: usize) {
    // SAFETY: as the caller says
    unsafe {
        for channel in (0..channels).step_by(LANES) {
            let d = |row: usize, column: usize| L::load(taps[row * SIDE + column].add(channel));
            let column = |column: usize| {
                let (a, b, c, d) = (d(0, column), d(1, column), d(2, column), d(3, column));
                [a.sub(c), b.add(c), c.sub(b), b.sub(d)]
            };
            let columns = [column(0), column(1), column(2), column(3)];
            let rows: [[L; SIDE]; SIDE] = std::array::from_fn(|row| columns.map(|column| column[row]));
            for (row, [a, b, c, d]) in rows.into_iter().enumerate() {
                for (at, value) in [a.sub(c), b.add(c), c.sub(b), b.sub(d)].into_iter().enumerate() {
                    value.store(out.add((row * SIDE + at) * step + channel));
                }
            }
        }
    }
}

/// The four outputs of a tile for one panel, of products that lie `step` numbers apart.
#[inline(always)]
#[expect(unsafe_code, reason = "calls code for AVX once the machine has it")]
fn backward(
    products: &[f32],
    step: usize,
    bias: &[f32; PANEL],
    leaky: bool,
    wide: bool,
) -> [[f32; PANEL]; 4] {
    assert!((POSITIONS - 1) * step + PANEL <= products.len());
    let products = products.as_ptr();
    let mut outputs = [[0.0; PANEL]; 4];
    #[cfg(target_arch = "x86_64")]
    if wide {
        // SAFETY: the machine has AVX2; sizes were looked at just before
        unsafe { backward_wide(products, step, bias, leaky, &mut outputs) };
        return outputs;
    }
    let _ = wide;
    // SAFETY: sizes were looked at just before
    unsafe { backward_in::<[f32; LANES]>(products, step, bias, leaky, &mut outputs) };
    outputs
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
#[expect(unsafe_code, reason = "reads by pointer")]
unsafe fn backward_wide(
    products: *const f32,
    step: usize,
    bias: &[f32; PANEL],
    leaky: bool,
    outputs: &mut [[f32; PANEL]; 4],
) {
    // SAFETY: as the caller says
    unsafe { backward_in::<std::arch::x86_64::__m256>(products, step, bias, leaky, outputs) }
}

/// # Safety
/// A panel of each position has to lie behind `products`.
#[inline(always)]
#[expect(unsafe_code, reason = "reads by pointer")]
unsafe fn backward_in<L: Lanes>(
    products: *const f32,
    step: usize,
    bias: &[f32; PANEL],
    leaky: bool,
    outputs: &mut [[f32; PANEL]; 4],
) {
    // SAFETY: as the caller says
    unsafe {
        for lane in (0..PANEL).step_by(LANES) {
            let m = |row: usize, column: usize| L::load(products.add((row * SIDE + column) * step + lane));
            let column = |column: usize| {
                let (a, b, c, d) = (m(0, column), m(1, column), m(2, column), m(3, column));
                [a.add(b).add(c), b.sub(c).sub(d)]
            };
            let columns = [column(0), column(1), column(2), column(3)];
            let bias = L::load(bias.as_ptr().add(lane));
            let rows: [[L; SIDE]; OUTPUTS] = std::array::from_fn(|row| columns.map(|column| column[row]));
            for (row, [a, b, c, d]) in rows.into_iter().enumerate() {
                for (at, value) in [a.add(b).add(c), b.sub(c).sub(d)].into_iter().enumerate() {
                    let value = value.add(bias);
                    let value = if leaky { value.leaky() } else { value };
                    value.store(outputs[row * OUTPUTS + at].as_mut_ptr().add(lane));
                }
            }
        }
    }
}
