//! Numbers as a file of weights stores them, brought into a tensor's own buffer in the precision that is wanted.
//!
//! One pass: from the file's bytes to where the number stays, looked at on the way, so that a weight that is
//! no number never reaches a network. Must not know files.

use candle_core::{DType, Device, Tensor};
use half::{bf16, f16, slice::HalfBitsSliceExt, slice::HalfFloatSliceExt, vec::HalfBitsVecExt};
use rayon::prelude::*;
use thiserror::Error;

/// Numbers that one thread takes at a time; those of a piece stay in its nearest cache.
const PIECE: usize = 1 << 12;
/// Half precision (`f16`) rounds this and what lies beyond to infinity.
const F16_END: f32 = 65520.0;

#[derive(Debug, Error)]
pub enum StoredError {
    #[error("its value {index} is {value}")]
    NotFinite { index: usize, value: f32 },
    #[error("its value {index} is {value:e}, beyond what f16 can tell; use bf16 or f32")]
    BeyondF16 { index: usize, value: f32 },
    #[error("it is wanted as {0:?}; weights are read as f32, bf16 or f16")]
    Precision(DType),
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// How a number is stored, little endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    F64,
    F32,
    F16,
    Bf16,
}

impl Stored {
    pub fn bytes(self) -> usize {
        match self {
            Stored::F64 => 8,
            Stored::F32 => 4,
            Stored::F16 | Stored::Bf16 => 2,
        }
    }

    /// Some numbers in single precision.
    fn read(self, bytes: &[u8], out: &mut [f32]) {
        fn each<const N: usize>(bytes: &[u8], out: &mut [f32], read: impl Fn([u8; N]) -> f32) {
            out.iter_mut().zip(bytes.as_chunks().0).for_each(|(out, &bytes)| *out = read(bytes));
        }
        match self {
            Stored::F64 => each(bytes, out, |bytes| f64::from_le_bytes(bytes) as f32),
            Stored::F32 => each(bytes, out, f32::from_le_bytes),
            Stored::F16 => each(bytes, out, |bytes| f16::from_le_bytes(bytes).to_f32()),
            Stored::Bf16 => each(bytes, out, |bytes| bf16::from_le_bytes(bytes).to_f32()),
        }
    }
}

/// The tensor of the numbers in `bytes`, on the CPU and in the precision `wanted`. Nothing is allocated but its
/// own buffer.
///
/// # Errors
/// If a number is infinite or none, or does not fit `wanted`; if there are not as many as `shape` says.
pub fn tensor(bytes: &[u8], stored: Stored, shape: &[usize], wanted: DType) -> Result<Tensor, StoredError> {
    let count = bytes.len() / stored.bytes();
    match wanted {
        DType::F32 => {
            let mut out = vec![0f32; count];
            convert(bytes, stored, &mut out, f32::INFINITY, |from, to| to.copy_from_slice(from))?;
            Ok(Tensor::from_vec(out, shape, &Device::Cpu)?)
        }
        DType::BF16 => {
            let mut out = vec![0u16; count];
            let round = |from: &[f32], to: &mut [u16]| {
                to.reinterpret_cast_mut::<bf16>().convert_from_f32_slice(from);
            };
            convert(bytes, stored, &mut out, f32::INFINITY, round)?;
            Ok(Tensor::from_vec(out.reinterpret_into::<bf16>(), shape, &Device::Cpu)?)
        }
        DType::F16 => {
            let mut out = vec![0u16; count];
            let round = |from: &[f32], to: &mut [u16]| {
                to.reinterpret_cast_mut::<f16>().convert_from_f32_slice(from);
            };
            convert(bytes, stored, &mut out, F16_END, round)?;
            Ok(Tensor::from_vec(out.reinterpret_into::<f16>(), shape, &Device::Cpu)?)
        }
        other => Err(StoredError::Precision(other)),
    }
}

/// Fills `out` by `round`, piece by piece on all threads; every number has to be below `end`.
fn convert<T: Send>(
    bytes: &[u8],
    stored: Stored,
    out: &mut [T],
    end: f32,
    round: impl Fn(&[f32], &mut [T]) + Sync,
) -> Result<(), StoredError> {
    let pieces = out.par_chunks_mut(PIECE).zip(bytes.par_chunks(PIECE * stored.bytes())).enumerate();
    let wrong = pieces.filter_map(|(piece, (out, bytes))| {
        let mut numbers = [0f32; PIECE];
        let numbers = &mut numbers[..out.len()];
        stored.read(bytes, numbers);
        // no early end, so that it becomes vector code; false for what is no number
        let fine = numbers.iter().fold(true, |fine, number| fine & (number.abs() < end));
        round(numbers, out);
        if fine { None } else { first_wrong(numbers, end).map(|(at, value)| (piece * PIECE + at, value)) }
    });
    match wrong.min_by_key(|wrong| wrong.0) {
        None => Ok(()),
        Some((index, value)) if value.is_finite() => Err(StoredError::BeyondF16 { index, value }),
        Some((index, value)) => Err(StoredError::NotFinite { index, value }),
    }
}

fn first_wrong(numbers: &[f32], end: f32) -> Option<(usize, f32)> {
    let wrong = |number: &f32| number.is_nan() || number.abs() >= end;
    numbers.iter().position(wrong).map(|at| (at, numbers[at]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wavy(count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i as f32) * 0.37).sin() * 10f32.powi(i as i32 % 9 - 6)).collect()
    }

    fn bytes_of(values: &[f32], stored: Stored) -> Vec<u8> {
        let each = |value: &f32| match stored {
            Stored::F64 => f64::from(*value).to_le_bytes().to_vec(),
            Stored::F32 => value.to_le_bytes().to_vec(),
            Stored::F16 => f16::from_f32(*value).to_le_bytes().to_vec(),
            Stored::Bf16 => bf16::from_f32(*value).to_le_bytes().to_vec(),
        };
        values.iter().flat_map(each).collect()
    }

    #[test]
    fn every_precision_is_read_as_candle_reads_it_by_way_of_single_precision() {
        let values = wavy(3 * PIECE + 7);
        for (stored, dtype) in [
            (Stored::F64, DType::F64),
            (Stored::F32, DType::F32),
            (Stored::F16, DType::F16),
            (Stored::Bf16, DType::BF16),
        ] {
            let bytes = bytes_of(&values, stored);
            for wanted in [DType::F32, DType::BF16, DType::F16] {
                let ours = tensor(&bytes, stored, &[values.len()], wanted).unwrap();
                assert_eq!(ours.dtype(), wanted);
                let theirs = Tensor::from_raw_buffer(&bytes, dtype, &[values.len()], &Device::Cpu).unwrap();
                let read = |tensor: &Tensor| tensor.to_dtype(DType::F32).unwrap().to_vec1::<f32>().unwrap();
                let theirs = theirs.to_dtype(DType::F32).unwrap().to_dtype(wanted).unwrap();
                assert_eq!(read(&ours), read(&theirs), "{stored:?} as {wanted:?}");
            }
        }
    }

    #[test]
    fn the_first_value_that_is_none_is_named() {
        for (at, value) in [(0, f32::NAN), (PIECE + 3, f32::INFINITY), (2 * PIECE, f32::NEG_INFINITY)] {
            let mut values = wavy(2 * PIECE + 1);
            values[at] = value;
            values[2 * PIECE] = f32::NAN.min(value);
            for stored in [Stored::F64, Stored::F32, Stored::F16, Stored::Bf16] {
                let bytes = bytes_of(&values, stored);
                let error = tensor(&bytes, stored, &[values.len()], DType::BF16).unwrap_err();
                assert!(matches!(error, StoredError::NotFinite { index, .. } if index == at), "{error}");
            }
        }
    }

    #[test]
    fn what_f16_cannot_tell_is_told() {
        let mut values = wavy(9);
        values[4] = -7e4;
        let bytes = bytes_of(&values, Stored::F32);
        let error = tensor(&bytes, Stored::F32, &[9], DType::F16).unwrap_err().to_string();
        assert!(error.contains("value 4 is -7e4"), "{error}");
        values[4] = 65504.0;
        tensor(&bytes_of(&values, Stored::F32), Stored::F32, &[9], DType::F16).unwrap();
    }
}
