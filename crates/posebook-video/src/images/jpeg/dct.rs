//! The accurate integer DCT of 8x8 blocks, forward and inverse (`jfdctint.c`, `jidctint.c`), and quantization
//! (`jcdctmgr.c`).
//!
//! One dimension at a time after Loeffler, Ligtenberg and Moschytz (ICASSP 1989), in fixed point with 13 fractional bits
//! for constants and 2 extra bits between the two dimensions. Eight rows or columns are processed at once so that the
//! compiler can vectorize. Coefficients of a valid image cannot overflow. Those of a damaged file can: additions and
//! multiplications are explicitly modulo 2^32, so the result is meaningless but defined.

use super::layout::{BLOCK_SIDE, Block};

/// Fractional bits of a constant.
const CONST_BITS: i32 = 13;
/// Extra fractional bits between the first and the second dimension.
const EXTRA_BITS: i32 = 2;

// the number in each name, times 2^13
const FIX_0_298: i32 = 2446;
const FIX_0_390: i32 = 3196;
const FIX_0_541: i32 = 4433;
const FIX_0_765: i32 = 6270;
const FIX_0_899: i32 = 7373;
const FIX_1_175: i32 = 9633;
const FIX_1_501: i32 = 12299;
const FIX_1_847: i32 = 15137;
const FIX_1_961: i32 = 16069;
const FIX_2_053: i32 = 16819;
const FIX_2_562: i32 = 20995;
const FIX_3_072: i32 = 25172;

/// The values at one index of eight rows or columns.
type Lanes = [i32; BLOCK_SIDE];

#[inline(always)]
fn map2(a: &Lanes, b: &Lanes, f: impl Fn(i32, i32) -> i32) -> Lanes {
    std::array::from_fn(|n| f(a[n], b[n]))
}

#[inline(always)]
fn add(a: &Lanes, b: &Lanes) -> Lanes {
    map2(a, b, i32::wrapping_add)
}

#[inline(always)]
fn sub(a: &Lanes, b: &Lanes) -> Lanes {
    map2(a, b, i32::wrapping_sub)
}

#[inline(always)]
fn scale(a: &Lanes, by: i32) -> Lanes {
    a.map(|a| a.wrapping_mul(by))
}

/// Divides by 2^`bits`, rounded.
#[inline(always)]
fn descale(a: &Lanes, bits: i32) -> Lanes {
    a.map(|a| a.wrapping_add(1 << (bits - 1)) >> bits)
}

#[inline(always)]
fn transpose(rows: &[Lanes; BLOCK_SIDE]) -> [Lanes; BLOCK_SIDE] {
    std::array::from_fn(|x| std::array::from_fn(|y| rows[y][x]))
}

/// The odd part, which the forward and the inverse transform share up to the order of inputs and outputs.
#[inline(always)]
fn odd_part([t0, t1, t2, t3]: [&Lanes; 4]) -> [Lanes; 4] {
    let (z1, z2, z3, z4) = (add(t0, t3), add(t1, t2), add(t0, t2), add(t1, t3));
    let z5 = scale(&add(&z3, &z4), FIX_1_175);
    let (z1, z2) = (scale(&z1, -FIX_0_899), scale(&z2, -FIX_2_562));
    let z3 = add(&scale(&z3, -FIX_1_961), &z5);
    let z4 = add(&scale(&z4, -FIX_0_390), &z5);
    [
        add(&add(&scale(t0, FIX_0_298), &z1), &z3),
        add(&add(&scale(t1, FIX_2_053), &z2), &z4),
        add(&add(&scale(t2, FIX_3_072), &z2), &z3),
        add(&add(&scale(t3, FIX_1_501), &z1), &z4),
    ]
}

/// One dimension of the forward transform: products are divided by 2^`bits`; `even` scales the sums that need no
/// multiplication.
#[inline(always)]
fn forward_1d(s: &[Lanes; BLOCK_SIDE], bits: i32, even: impl Fn(Lanes) -> Lanes) -> [Lanes; BLOCK_SIDE] {
    let sum = |n: usize| add(&s[n], &s[7 - n]);
    let difference = |n: usize| sub(&s[n], &s[7 - n]);
    let (t10, t13) = (add(&sum(0), &sum(3)), sub(&sum(0), &sum(3)));
    let (t11, t12) = (add(&sum(1), &sum(2)), sub(&sum(1), &sum(2)));
    let z1 = scale(&add(&t12, &t13), FIX_0_541);
    let [o7, o5, o3, o1] = odd_part([&difference(3), &difference(2), &difference(1), &difference(0)]);
    [
        even(add(&t10, &t11)),
        descale(&o1, bits),
        descale(&add(&z1, &scale(&t13, FIX_0_765)), bits),
        descale(&o3, bits),
        even(sub(&t10, &t11)),
        descale(&o5, bits),
        descale(&add(&z1, &scale(&t12, -FIX_1_847)), bits),
        descale(&o7, bits),
    ]
}

/// Replaces samples centered at zero by their coefficients, which are 8 times those of the orthonormal transform.
pub fn forward_dct(block: &mut Block) {
    let columns = std::array::from_fn(|x| std::array::from_fn(|y| i32::from(block[y * BLOCK_SIDE + x])));
    let by_rows = forward_1d(&columns, CONST_BITS - EXTRA_BITS, |sum| sum.map(|sum| sum << EXTRA_BITS));
    // `by_rows[u][y]`: rows are transformed, one lane for each row
    let done = forward_1d(&transpose(&by_rows), CONST_BITS + EXTRA_BITS, |sum| descale(&sum, EXTRA_BITS));
    for (row, values) in block.chunks_exact_mut(BLOCK_SIDE).zip(&done) {
        for (out, &value) in row.iter_mut().zip(values) {
            *out = value as i16;
        }
    }
}

/// One dimension of the inverse transform; the result is divided by 2^`bits`.
#[inline(always)]
fn inverse_1d(s: &[Lanes; BLOCK_SIDE], bits: i32) -> [Lanes; BLOCK_SIDE] {
    let z1 = scale(&add(&s[2], &s[6]), FIX_0_541);
    let t2 = add(&z1, &scale(&s[6], -FIX_1_847));
    let t3 = add(&z1, &scale(&s[2], FIX_0_765));
    let t0 = add(&s[0], &s[4]).map(|sum| sum << CONST_BITS);
    let t1 = sub(&s[0], &s[4]).map(|sum| sum << CONST_BITS);
    let even = [add(&t0, &t3), add(&t1, &t2), sub(&t1, &t2), sub(&t0, &t3)];
    let [o3, o2, o1, o0] = odd_part([&s[7], &s[5], &s[3], &s[1]]);
    let odd = [o0, o1, o2, o3];
    std::array::from_fn(|n| {
        let value = if n < 4 { add(&even[n], &odd[n]) } else { sub(&even[7 - n], &odd[7 - n]) };
        descale(&value, bits)
    })
}

/// Dequantizes and transforms `block` to 8-bit samples, written to eight rows of `out` that start `stride` apart.
/// `quant` is the quantization table, row by row.
pub fn inverse_dct<S: Copy + Into<i32>>(block: &Block, quant: &[S; 64], out: &mut [u8], stride: usize) {
    let value = |index: usize| i32::from(block[index]) * quant[index].into();
    if block[1..].iter().all(|&coefficient| coefficient == 0) {
        // DC only: both dimensions reduce to this
        let mean = ((((value(0) << EXTRA_BITS).wrapping_add(1 << (EXTRA_BITS + 2))) >> (EXTRA_BITS + 3))
            + 128)
            .clamp(0, 255) as u8;
        out.chunks_mut(stride).take(BLOCK_SIDE).for_each(|row| row[..BLOCK_SIDE].fill(mean));
        return;
    }
    let rows = std::array::from_fn(|y| std::array::from_fn(|x| value(y * BLOCK_SIDE + x)));
    let by_columns = inverse_1d(&rows, CONST_BITS - EXTRA_BITS);
    // `done[x][y]`
    let done = transpose(&inverse_1d(&transpose(&by_columns), CONST_BITS + EXTRA_BITS + 3));
    for (row, values) in out.chunks_mut(stride).zip(&done) {
        for (out, &value) in row.iter_mut().zip(values) {
            *out = (value + 128).clamp(0, 255) as u8;
        }
    }
}

/// Divides coefficients by a quantization table, rounded half away from zero, by multiplication with reciprocals.
pub struct Quantizer {
    factor: [u32; 64],
    correction: [u32; 64],
    shift: [u32; 64],
}

impl Quantizer {
    /// For coefficients as [`forward_dct`] gives them (8 times those of the orthonormal transform).
    pub fn new(table: &[u8; 64]) -> Quantizer {
        let mut quantizer = Quantizer { factor: [0; 64], correction: [0; 64], shift: [0; 64] };
        for (n, &step) in table.iter().enumerate() {
            let divisor = u32::from(step) * 8;
            let shift = 16 + divisor.ilog2();
            let (factor, rest) = ((1u32 << shift) / divisor, (1u32 << shift) % divisor);
            // of the two nearest factors the one that divides every 16-bit number correctly
            let (factor, correction) = match rest {
                0 => (factor, divisor / 2),
                _ if rest <= divisor / 2 => (factor, divisor / 2 + 1),
                _ => (factor + 1, divisor / 2),
            };
            (quantizer.factor[n], quantizer.correction[n], quantizer.shift[n]) = (factor, correction, shift);
        }
        quantizer
    }

    /// Replaces the coefficients of `block` by their quantized values.
    pub fn quantize(&self, block: &mut Block) {
        for (n, coefficient) in block.iter_mut().enumerate() {
            let size = (u32::from(coefficient.unsigned_abs()) + self.correction[n]) * self.factor[n];
            let size = (size >> self.shift[n]) as i16;
            *coefficient = if *coefficient < 0 { -size } else { size };
        }
    }
}
