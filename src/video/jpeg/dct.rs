//! The accurate integer transform of 8x8 blocks, forward and back (`jfdctint.c`, `jidctint.c`), and the
//! division of its coefficients (`jcdctmgr.c`).
//!
//! One dimension at a time after Loeffler, Ligtenberg and Moschytz (ICASSP 1989), in fixed point with 13
//! bits for constants and 2 more kept between the passes. Eight rows or columns are worked on at once, so
//! that the compiler can use vectors. No picture's coefficients overflow; those of a damaged file wrap round.

use super::{Block, SIDE};

/// Bits behind the point of a constant.
const POINT: i32 = 13;
/// Bits kept between the passes.
const KEPT: i32 = 2;

// what the constants are of, times 2^13
const F_0_298: i32 = 2446;
const F_0_390: i32 = 3196;
const F_0_541: i32 = 4433;
const F_0_765: i32 = 6270;
const F_0_899: i32 = 7373;
const F_1_175: i32 = 9633;
const F_1_501: i32 = 12299;
const F_1_847: i32 = 15137;
const F_1_961: i32 = 16069;
const F_2_053: i32 = 16819;
const F_2_562: i32 = 20995;
const F_3_072: i32 = 25172;

/// The same place of eight rows or columns.
type Lanes = [i32; SIDE];

#[inline(always)]
fn map2(a: &Lanes, b: &Lanes, of: impl Fn(i32, i32) -> i32) -> Lanes {
    std::array::from_fn(|n| of(a[n], b[n]))
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
fn times(a: &Lanes, by: i32) -> Lanes {
    a.map(|a| a.wrapping_mul(by))
}

/// Divided by two to the `bits`, rounded.
#[inline(always)]
fn descaled(a: &Lanes, bits: i32) -> Lanes {
    a.map(|a| a.wrapping_add(1 << (bits - 1)) >> bits)
}

#[inline(always)]
fn transposed(rows: &[Lanes; SIDE]) -> [Lanes; SIDE] {
    std::array::from_fn(|x| std::array::from_fn(|y| rows[y][x]))
}

/// The odd half, which both ways share but for the order: `[a, b, c, d]` in, four sums out.
#[inline(always)]
fn odd_half([t0, t1, t2, t3]: [&Lanes; 4]) -> [Lanes; 4] {
    let (z1, z2, z3, z4) = (add(t0, t3), add(t1, t2), add(t0, t2), add(t1, t3));
    let z5 = times(&add(&z3, &z4), F_1_175);
    let (z1, z2) = (times(&z1, -F_0_899), times(&z2, -F_2_562));
    let z3 = add(&times(&z3, -F_1_961), &z5);
    let z4 = add(&times(&z4, -F_0_390), &z5);
    [
        add(&add(&times(t0, F_0_298), &z1), &z3),
        add(&add(&times(t1, F_2_053), &z2), &z4),
        add(&add(&times(t2, F_3_072), &z2), &z3),
        add(&add(&times(t3, F_1_501), &z1), &z4),
    ]
}

/// One dimension forward: `bits` are dropped from the products, `even` says what becomes of plain sums.
#[inline(always)]
fn forward_1d(s: &[Lanes; SIDE], bits: i32, even: impl Fn(Lanes) -> Lanes) -> [Lanes; SIDE] {
    let sum = |n: usize| add(&s[n], &s[7 - n]);
    let difference = |n: usize| sub(&s[n], &s[7 - n]);
    let (t10, t13) = (add(&sum(0), &sum(3)), sub(&sum(0), &sum(3)));
    let (t11, t12) = (add(&sum(1), &sum(2)), sub(&sum(1), &sum(2)));
    let z1 = times(&add(&t12, &t13), F_0_541);
    let [o7, o5, o3, o1] = odd_half([&difference(3), &difference(2), &difference(1), &difference(0)]);
    [
        even(add(&t10, &t11)),
        descaled(&o1, bits),
        descaled(&add(&z1, &times(&t13, F_0_765)), bits),
        descaled(&o3, bits),
        even(sub(&t10, &t11)),
        descaled(&o5, bits),
        descaled(&add(&z1, &times(&t12, -F_1_847)), bits),
        descaled(&o7, bits),
    ]
}

/// Samples around zero to coefficients eight times as large as a true transform's.
pub fn forward(block: &mut Block) {
    let columns = std::array::from_fn(|x| std::array::from_fn(|y| i32::from(block[y * SIDE + x])));
    let by_rows = forward_1d(&columns, POINT - KEPT, |sum| sum.map(|sum| sum << KEPT));
    // now `by_rows[u][y]`: along the rows done, one lane for each row
    let done = forward_1d(&transposed(&by_rows), POINT + KEPT, |sum| descaled(&sum, KEPT));
    for (row, values) in block.chunks_exact_mut(SIDE).zip(&done) {
        for (place, &value) in row.iter_mut().zip(values) {
            *place = value as i16;
        }
    }
}

/// One dimension back; `bits` are dropped at the end.
#[inline(always)]
fn back_1d(s: &[Lanes; SIDE], bits: i32) -> [Lanes; SIDE] {
    let z1 = times(&add(&s[2], &s[6]), F_0_541);
    let t2 = add(&z1, &times(&s[6], -F_1_847));
    let t3 = add(&z1, &times(&s[2], F_0_765));
    let t0 = add(&s[0], &s[4]).map(|sum| sum << POINT);
    let t1 = sub(&s[0], &s[4]).map(|sum| sum << POINT);
    let even = [add(&t0, &t3), add(&t1, &t2), sub(&t1, &t2), sub(&t0, &t3)];
    let [o3, o2, o1, o0] = odd_half([&s[7], &s[5], &s[3], &s[1]]);
    let odd = [o0, o1, o2, o3];
    std::array::from_fn(|n| {
        let value = if n < 4 { add(&even[n], &odd[n]) } else { sub(&even[7 - n], &odd[7 - n]) };
        descaled(&value, bits)
    })
}

/// Coefficients, times their steps, to samples from 0 to 255, written into rows that lie `stride` apart.
pub fn back<S: Copy + Into<i32>>(block: &Block, steps: &[S; 64], out: &mut [u8], stride: usize) {
    let value = |at: usize| i32::from(block[at]) * steps[at].into();
    if block[1..].iter().all(|&coefficient| coefficient == 0) {
        // every sample is the mean: what both passes come to then
        let mean =
            ((((value(0) << KEPT).wrapping_add(1 << (KEPT + 2))) >> (KEPT + 3)) + 128).clamp(0, 255) as u8;
        out.chunks_mut(stride).take(SIDE).for_each(|row| row[..SIDE].fill(mean));
        return;
    }
    let rows = std::array::from_fn(|y| std::array::from_fn(|x| value(y * SIDE + x)));
    let by_columns = back_1d(&rows, POINT - KEPT);
    // `done[x][y]`
    let done = transposed(&back_1d(&transposed(&by_columns), POINT + KEPT + 3));
    for (row, values) in out.chunks_mut(stride).zip(&done) {
        for (place, &value) in row.iter_mut().zip(values) {
            *place = (value + 128).clamp(0, 255) as u8;
        }
    }
}

/// Division by a table of steps, rounded half away from zero, as multiplication.
pub struct Divider {
    factor: [u32; 64],
    correction: [u32; 64],
    shift: [u32; 64],
}

impl Divider {
    /// For coefficients that are eight times as large as a true transform's.
    pub fn new(steps: &[u8; 64]) -> Divider {
        let mut divider = Divider { factor: [0; 64], correction: [0; 64], shift: [0; 64] };
        for (n, &step) in steps.iter().enumerate() {
            let divisor = u32::from(step) * 8;
            let shift = 16 + divisor.ilog2();
            let (factor, rest) = ((1u32 << shift) / divisor, (1u32 << shift) % divisor);
            // the one of the two neighbours with which no 16-bit number is divided wrongly
            let (factor, correction) = match rest {
                0 => (factor, divisor / 2),
                _ if rest <= divisor / 2 => (factor, divisor / 2 + 1),
                _ => (factor + 1, divisor / 2),
            };
            (divider.factor[n], divider.correction[n], divider.shift[n]) = (factor, correction, shift);
        }
        divider
    }

    pub fn divide(&self, block: &mut Block) {
        for (n, place) in block.iter_mut().enumerate() {
            let size = (u32::from(place.unsigned_abs()) + self.correction[n]) * self.factor[n];
            let size = (size >> self.shift[n]) as i16;
            *place = if *place < 0 { -size } else { size };
        }
    }
}
