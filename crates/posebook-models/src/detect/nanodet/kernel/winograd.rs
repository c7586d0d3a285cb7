//! 3 x 3 convolution with stride 1 by Winograd's minimal filtering F(2 x 2, 3 x 3) (Lavin and Gray 2016): tiles of 4 x 4
//! inputs and the filter are transformed, multiplied elementwise (a matrix product over the channels for each of the 16
//! positions), and transformed back to 2 x 2 outputs.

use super::map::MapLayout;
use super::micro::{LEAKY_SLOPE, PANEL, SharedInput, SharedOutput, TILE, accumulate};
use rayon::prelude::*;
use std::cell::RefCell;

/// Elements of a transformed tile or filter.
pub(super) const POSITIONS: usize = 16;
/// Transformed input values per thread and position: tiles times channels.
const BLOCK_VALUES: usize = 2048;
/// Side of an input tile and of its outputs, pixels.
const TILE_SIDE: usize = 4;
const OUTPUT_SIDE: usize = 2;

/// The pixels beyond the border.
static ZEROS: [f32; MAX_INPUTS] = [0.0; MAX_INPUTS];
/// Maximum number of input channels.
pub(super) const MAX_INPUTS: usize = 1024;

thread_local! {
    /// Transformed inputs and products of one block; reused, because allocating is slower than computing a block.
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// A block of tiles.
struct Tiles {
    /// Index of the first tile in row-major order.
    first: usize,
    /// Number of tiles.
    count: usize,
    /// Number of tiles that the scratch memory has space for.
    step: usize,
    /// Tiles per row.
    across: usize,
}

/// Transformed and packed weights of a filter.
pub(super) struct WinogradFilter<'a> {
    pub(super) inputs: usize,
    /// Whether a leaky ReLU follows.
    pub(super) leaky: bool,
    /// Whether the CPU has AVX2 and FMA.
    pub(super) avx2: bool,
    /// `(panels, PANEL)`.
    pub(super) bias: &'a [f32],
    /// `(panels, POSITIONS, input, PANEL)`.
    pub(super) packed: &'a [f32],
}

/// Transforms `(outputs, inputs, 3, 3)` in double precision and packs it to `(panels, POSITIONS, input, PANEL)`.
pub(super) fn pack(weight: &[f32], inputs: usize, outputs: usize) -> Vec<f32> {
    const TRANSFORM: [[f64; 3]; TILE_SIDE] =
        [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]];
    let mut packed = vec![0.0; outputs * inputs * POSITIONS];
    for (index, filter) in weight.as_chunks::<9>().0.iter().enumerate() {
        let (output, input) = (index / inputs, index % inputs);
        let (panel, lane) = (output / PANEL, output % PANEL);
        for position in 0..POSITIONS {
            let (down, across) = (&TRANSFORM[position / TILE_SIDE], &TRANSFORM[position % TILE_SIDE]);
            let taps = filter.iter().enumerate();
            let sum: f64 = taps.map(|(tap, &value)| down[tap / 3] * across[tap % 3] * f64::from(value)).sum();
            packed[((panel * POSITIONS + position) * inputs + input) * PANEL + lane] = sum as f32;
        }
    }
    packed
}

/// Number of tiles in a block.
fn block_tiles(inputs: usize) -> usize {
    (BLOCK_VALUES / inputs.max(1)).next_multiple_of(TILE)
}

/// Number of scratch values per thread.
pub(super) fn scratch_len(inputs: usize) -> usize {
    let tiles = block_tiles(inputs);
    POSITIONS * tiles * (inputs + PANEL)
}

impl WinogradFilter<'_> {
    /// Computes output channels `to..` from input channels `from..`.
    pub(super) fn run(
        &self,
        input: &MapLayout,
        from: usize,
        input_values: &SharedInput,
        output: &MapLayout,
        to: usize,
        output_values: &SharedOutput,
    ) {
        let avx2 = self.avx2;
        let across = output.width.div_ceil(OUTPUT_SIDE);
        let tiles = across * output.height.div_ceil(OUTPUT_SIDE);
        let step = block_tiles(self.inputs);
        let zeros = &ZEROS[..self.inputs];
        (0..tiles.div_ceil(step)).into_par_iter().for_each(|block| {
            SCRATCH.with_borrow_mut(|scratch| {
                scratch.resize(scratch.len().max(scratch_len(self.inputs)), 0.0);
                let (transformed, rest) = scratch.split_at_mut(POSITIONS * step * self.inputs);
                let (products, _) = rest.split_at_mut(POSITIONS * step * PANEL);
                let first = block * step;
                for index in 0..step.min(tiles - first) {
                    let at = ((first + index) / across * OUTPUT_SIDE, (first + index) % across * OUTPUT_SIDE);
                    let out = &mut transformed[index * self.inputs..];
                    transform_input(
                        &tile_pixels(input, from, input_values, at, zeros),
                        self.inputs,
                        out,
                        step * self.inputs,
                        avx2,
                    );
                }
                let transformed = SharedInput::new(transformed);
                let tiles = Tiles { first, count: step.min(tiles - first), step, across };
                for panel in 0..self.bias.len() / PANEL {
                    self.multiply(panel, &transformed, products, &tiles, avx2);
                    self.write_outputs(panel, products, &tiles, (output, to, output_values), avx2);
                }
            });
        });
    }

    /// Transforms the products of a panel to outputs and writes them.
    fn write_outputs(
        &self,
        panel: usize,
        products: &[f32],
        tiles: &Tiles,
        (output, to, output_values): (&MapLayout, usize, &SharedOutput),
        avx2: bool,
    ) {
        let bias = self.bias[panel * PANEL..].first_chunk::<PANEL>().copied().unwrap_or_default();
        for index in 0..tiles.count {
            let tile = tiles.first + index;
            let (y, x) = (tile / tiles.across * OUTPUT_SIDE, tile % tiles.across * OUTPUT_SIDE);
            let outputs =
                transform_output(&products[index * PANEL..], tiles.step * PANEL, &bias, self.leaky, avx2);
            for (at, values) in outputs.iter().enumerate() {
                let (y, x) = (y + at / OUTPUT_SIDE, x + at % OUTPUT_SIDE);
                if y < output.height && x < output.width {
                    let pixel = output.first + y * output.row_step + x * output.channels;
                    output_values.write(pixel + to + panel * PANEL, values);
                }
            }
        }
    }

    /// Multiplies the transformed tiles with the filters of a panel; `products` is `(POSITIONS, step, PANEL)`.
    fn multiply(
        &self,
        panel: usize,
        transformed: &SharedInput,
        products: &mut [f32],
        &Tiles { count, step, .. }: &Tiles,
        avx2: bool,
    ) {
        let position_len = self.inputs * PANEL;
        for position in 0..POSITIONS {
            let start = (panel * POSITIONS + position) * position_len;
            let weights = &self.packed[start..start + position_len];
            // whole groups of tiles: the scratch memory has space for them, and results beyond the count are not used
            for tile in (0..count).step_by(TILE) {
                let mut sums = [[0.0; PANEL]; TILE];
                let at = (position * step + tile) * self.inputs;
                accumulate(&transformed.runs::<TILE>(at, self.inputs, self.inputs), weights, &mut sums, avx2);
                let group = products[(position * step + tile) * PANEL..].as_chunks_mut::<PANEL>().0;
                for (product, sums) in group.iter_mut().zip(&sums) {
                    *product = *sums;
                }
            }
        }
    }
}

/// Pointers to the pixels of the tile whose first output is in row `y`, column `x`; pixels beyond the border are `zeros`.
fn tile_pixels(
    input: &MapLayout,
    from: usize,
    input_values: &SharedInput,
    (y, x): (usize, usize),
    zeros: &[f32],
) -> [*const f32; POSITIONS] {
    let corner = input.first + y * input.row_step + x * input.channels + from;
    // one row up and one column to the left, into the border
    let corner = corner - input.row_step - input.channels;
    std::array::from_fn(|at| {
        let (down, right) = (at / TILE_SIDE, at % TILE_SIDE);
        if y + down <= input.height + 1 && x + right <= input.width + 1 {
            input_values.run(corner + down * input.row_step + right * input.channels, zeros.len())
        } else {
            zeros.as_ptr()
        }
    })
}

/// A vector register of eight `f32`.
#[expect(unsafe_code, reason = "loads and stores through pointers")]
trait Lanes: Copy {
    /// # Safety
    /// `from` must point to eight values, and the CPU must support the instructions.
    unsafe fn load(from: *const f32) -> Self;
    /// # Safety
    /// `to` must point to space for eight values, and the CPU must support the instructions.
    unsafe fn store(self, to: *mut f32);
    /// # Safety
    /// The CPU must support the instructions.
    unsafe fn add(self, other: Self) -> Self;
    /// # Safety
    /// The CPU must support the instructions.
    unsafe fn sub(self, other: Self) -> Self;
    /// `max(x, LEAKY_SLOPE x)`.
    ///
    /// # Safety
    /// The CPU must support the instructions.
    unsafe fn leaky(self) -> Self;
}

/// Values in one [`Lanes`].
const LANES: usize = 8;

#[expect(unsafe_code, reason = "loads and stores through pointers")]
impl Lanes for [f32; LANES] {
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller guarantees that `from` points to eight values
        unsafe { from.cast::<[f32; LANES]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller guarantees that `to` points to space for eight values
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

    #[expect(unsafe_code, reason = "AVX intrinsics; the caller guarantees that the CPU has AVX")]
    impl Lanes for __m256 {
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: guaranteed by the caller, see the trait
            unsafe { _mm256_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: guaranteed by the caller, see the trait
            unsafe { _mm256_storeu_ps(to, self) }
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            // SAFETY: the caller guarantees that the CPU has AVX
            unsafe { _mm256_add_ps(self, other) }
        }
        #[inline(always)]
        unsafe fn sub(self, other: Self) -> Self {
            // SAFETY: the caller guarantees that the CPU has AVX
            unsafe { _mm256_sub_ps(self, other) }
        }
        #[inline(always)]
        unsafe fn leaky(self) -> Self {
            // SAFETY: the caller guarantees that the CPU has AVX
            unsafe { _mm256_max_ps(self, _mm256_mul_ps(self, _mm256_set1_ps(LEAKY_SLOPE))) }
        }
    }
}

/// Transforms an input tile of `channels` (a multiple of eight): position `p` of channel `c` is written to
/// `out[p * step + c]`.
#[expect(unsafe_code, reason = "calls AVX code if the CPU has it")]
fn transform_input(
    pixels: &[*const f32; POSITIONS],
    channels: usize,
    out: &mut [f32],
    step: usize,
    avx2: bool,
) {
    assert!(channels.is_multiple_of(LANES) && (POSITIONS - 1) * step + channels <= out.len());
    let out = out.as_mut_ptr();
    #[cfg(target_arch = "x86_64")]
    if avx2 {
        // SAFETY: `avx2` is true only if the CPU has AVX2; the assertion above and `tile_pixels` check the sizes
        unsafe { transform_input_avx2(pixels, channels, out, step) };
        return;
    }
    let _ = avx2;
    // SAFETY: the assertion above and `tile_pixels` check the sizes
    unsafe { transform_input_lanes::<[f32; LANES]>(pixels, channels, out, step) }
}

/// # Safety
/// As [`transform_input_lanes`], and the CPU must have AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
#[expect(unsafe_code, reason = "reads and writes through pointers")]
unsafe fn transform_input_avx2(
    pixels: &[*const f32; POSITIONS],
    channels: usize,
    out: *mut f32,
    step: usize,
) {
    // SAFETY: guaranteed by the caller
    unsafe { transform_input_lanes::<std::arch::x86_64::__m256>(pixels, channels, out, step) }
}

/// # Safety
/// Every pixel must have `channels` values, and `out` space for all positions.
#[inline(always)]
#[expect(unsafe_code, reason = "reads and writes through pointers")]
unsafe fn transform_input_lanes<L: Lanes>(
    pixels: &[*const f32; POSITIONS],
    channels: usize,
    out: *mut f32,
    step: usize,
) {
    // SAFETY: guaranteed by the caller
    unsafe {
        for channel in (0..channels).step_by(LANES) {
            let d = |row: usize, column: usize| L::load(pixels[row * TILE_SIDE + column].add(channel));
            let column = |column: usize| {
                let (a, b, c, d) = (d(0, column), d(1, column), d(2, column), d(3, column));
                [a.sub(c), b.add(c), c.sub(b), b.sub(d)]
            };
            let columns = [column(0), column(1), column(2), column(3)];
            let rows: [[L; TILE_SIDE]; TILE_SIDE] =
                std::array::from_fn(|row| columns.map(|column| column[row]));
            for (row, [a, b, c, d]) in rows.into_iter().enumerate() {
                for (at, value) in [a.sub(c), b.add(c), c.sub(b), b.sub(d)].into_iter().enumerate() {
                    value.store(out.add((row * TILE_SIDE + at) * step + channel));
                }
            }
        }
    }
}

/// Transforms the products of a tile to its four outputs for one panel; products are `step` values apart.
#[inline(always)]
#[expect(unsafe_code, reason = "calls AVX code if the CPU has it")]
fn transform_output(
    products: &[f32],
    step: usize,
    bias: &[f32; PANEL],
    leaky: bool,
    avx2: bool,
) -> [[f32; PANEL]; 4] {
    assert!((POSITIONS - 1) * step + PANEL <= products.len());
    let products = products.as_ptr();
    let mut outputs = [[0.0; PANEL]; 4];
    #[cfg(target_arch = "x86_64")]
    if avx2 {
        // SAFETY: `avx2` is true only if the CPU has AVX2; the assertion above checks the sizes
        unsafe { transform_output_avx2(products, step, bias, leaky, &mut outputs) };
        return outputs;
    }
    let _ = avx2;
    // SAFETY: the assertion above checks the sizes
    unsafe { transform_output_lanes::<[f32; LANES]>(products, step, bias, leaky, &mut outputs) };
    outputs
}

/// # Safety
/// As [`transform_output_lanes`], and the CPU must have AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
#[expect(unsafe_code, reason = "reads through pointers")]
unsafe fn transform_output_avx2(
    products: *const f32,
    step: usize,
    bias: &[f32; PANEL],
    leaky: bool,
    outputs: &mut [[f32; PANEL]; 4],
) {
    // SAFETY: guaranteed by the caller
    unsafe { transform_output_lanes::<std::arch::x86_64::__m256>(products, step, bias, leaky, outputs) }
}

/// # Safety
/// `products` must point to a panel for each position, `step` values apart.
#[inline(always)]
#[expect(unsafe_code, reason = "reads through pointers")]
unsafe fn transform_output_lanes<L: Lanes>(
    products: *const f32,
    step: usize,
    bias: &[f32; PANEL],
    leaky: bool,
    outputs: &mut [[f32; PANEL]; 4],
) {
    // SAFETY: guaranteed by the caller
    unsafe {
        for lane in (0..PANEL).step_by(LANES) {
            let m =
                |row: usize, column: usize| L::load(products.add((row * TILE_SIDE + column) * step + lane));
            let column = |column: usize| {
                let (a, b, c, d) = (m(0, column), m(1, column), m(2, column), m(3, column));
                [a.add(b).add(c), b.sub(c).sub(d)]
            };
            let columns = [column(0), column(1), column(2), column(3)];
            let bias = L::load(bias.as_ptr().add(lane));
            let rows: [[L; TILE_SIDE]; OUTPUT_SIDE] =
                std::array::from_fn(|row| columns.map(|column| column[row]));
            for (row, [a, b, c, d]) in rows.into_iter().enumerate() {
                for (at, value) in [a.add(b).add(c), b.sub(c).sub(d)].into_iter().enumerate() {
                    let value = value.add(bias);
                    let value = if leaky { value.leaky() } else { value };
                    value.store(outputs[row * OUTPUT_SIDE + at].as_mut_ptr().add(lane));
                }
            }
        }
    }
}
