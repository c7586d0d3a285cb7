//! Decodes the raw bytes of stored weights into a tensor of the requested precision.
//!
//! One pass from the bytes to the tensor's own buffer, on all threads. Every value is checked on the way, so that NaN
//! or infinite weights never reach a network. Does not depend on files.

use candle_core::{DType, Device, Tensor};
use half::{bf16, f16, slice::HalfBitsSliceExt, slice::HalfFloatSliceExt, vec::HalfBitsVecExt};
use rayon::prelude::*;
use thiserror::Error;

/// Values that one thread takes at a time: few enough to stay in the first-level cache.
const CHUNK: usize = 1 << 12;
/// `f16` rounds this and larger magnitudes to infinity.
const F16_LIMIT: f32 = 65520.0;

/// Why a stored tensor could not be decoded.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// A value is NaN or infinite.
    #[error("its value {index} is {value}")]
    NotFinite {
        /// Its flat index.
        index: usize,
        /// The value.
        value: f32,
    },
    /// A value is too large for `f16`.
    #[error("its value {index} is {value:e}, beyond the range of f16; use bf16 or f32")]
    BeyondF16 {
        /// Its flat index.
        index: usize,
        /// The value.
        value: f32,
    },
    /// The requested precision is not supported.
    #[error("it was requested as {0:?}; weights are read as f32, bf16 or f16")]
    Precision(DType),
    /// The tensor could not be made: the shape does not match, or there is no memory.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// The type of stored values, little endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredDtype {
    /// Double precision.
    F64,
    /// Single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    Bf16,
}

impl StoredDtype {
    /// Bytes of a value.
    pub fn bytes(self) -> usize {
        match self {
            StoredDtype::F64 => 8,
            StoredDtype::F32 => 4,
            StoredDtype::F16 | StoredDtype::Bf16 => 2,
        }
    }

    /// Converts values to `f32`.
    fn read(self, bytes: &[u8], out: &mut [f32]) {
        fn each<const N: usize>(bytes: &[u8], out: &mut [f32], read: impl Fn([u8; N]) -> f32) {
            out.iter_mut().zip(bytes.as_chunks().0).for_each(|(out, &bytes)| *out = read(bytes));
        }
        match self {
            StoredDtype::F64 => each(bytes, out, |bytes| f64::from_le_bytes(bytes) as f32),
            StoredDtype::F32 => each(bytes, out, f32::from_le_bytes),
            StoredDtype::F16 => each(bytes, out, |bytes| f16::from_le_bytes(bytes).to_f32()),
            StoredDtype::Bf16 => each(bytes, out, |bytes| bf16::from_le_bytes(bytes).to_f32()),
        }
    }
}

/// The tensor of the values in `bytes`, on the CPU and in the precision `requested`. Allocates only its own buffer.
///
/// # Errors
/// If a value is NaN, infinite or too large for `requested`, or the number of values does not match `shape`.
pub fn decode_tensor(
    bytes: &[u8],
    stored: StoredDtype,
    shape: &[usize],
    requested: DType,
) -> Result<Tensor, DecodeError> {
    let count = bytes.len() / stored.bytes();
    match requested {
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
            convert(bytes, stored, &mut out, F16_LIMIT, round)?;
            Ok(Tensor::from_vec(out.reinterpret_into::<f16>(), shape, &Device::Cpu)?)
        }
        other => Err(DecodeError::Precision(other)),
    }
}

/// Fills `out` by `round`, chunk by chunk on all threads; the magnitude of every value has to be below `limit`.
fn convert<T: Send>(
    bytes: &[u8],
    stored: StoredDtype,
    out: &mut [T],
    limit: f32,
    round: impl Fn(&[f32], &mut [T]) + Sync,
) -> Result<(), DecodeError> {
    let chunks = out.par_chunks_mut(CHUNK).zip(bytes.par_chunks(CHUNK * stored.bytes())).enumerate();
    let invalid = chunks.filter_map(|(chunk, (out, bytes))| {
        let mut values = [0f32; CHUNK];
        let values = &mut values[..out.len()];
        stored.read(bytes, values);
        // no early exit, so that it vectorizes; false for NaN
        let valid = values.iter().fold(true, |valid, value| valid & (value.abs() < limit));
        round(values, out);
        if valid { None } else { first_invalid(values, limit).map(|(at, value)| (chunk * CHUNK + at, value)) }
    });
    match invalid.min_by_key(|invalid| invalid.0) {
        None => Ok(()),
        Some((index, value)) if value.is_finite() => Err(DecodeError::BeyondF16 { index, value }),
        Some((index, value)) => Err(DecodeError::NotFinite { index, value }),
    }
}

fn first_invalid(values: &[f32], limit: f32) -> Option<(usize, f32)> {
    let invalid = |value: &f32| value.is_nan() || value.abs() >= limit;
    values.iter().position(invalid).map(|index| (index, values[index]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wavy(count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i as f32) * 0.37).sin() * 10f32.powi(i as i32 % 9 - 6)).collect()
    }

    fn to_bytes(values: &[f32], stored: StoredDtype) -> Vec<u8> {
        let each = |value: &f32| match stored {
            StoredDtype::F64 => f64::from(*value).to_le_bytes().to_vec(),
            StoredDtype::F32 => value.to_le_bytes().to_vec(),
            StoredDtype::F16 => f16::from_f32(*value).to_le_bytes().to_vec(),
            StoredDtype::Bf16 => bf16::from_f32(*value).to_le_bytes().to_vec(),
        };
        values.iter().flat_map(each).collect()
    }

    #[test]
    fn every_precision_is_decoded_as_candle_does_through_f32() {
        let values = wavy(3 * CHUNK + 7);
        for (stored, dtype) in [
            (StoredDtype::F64, DType::F64),
            (StoredDtype::F32, DType::F32),
            (StoredDtype::F16, DType::F16),
            (StoredDtype::Bf16, DType::BF16),
        ] {
            let bytes = to_bytes(&values, stored);
            for requested in [DType::F32, DType::BF16, DType::F16] {
                let ours = decode_tensor(&bytes, stored, &[values.len()], requested).unwrap();
                assert_eq!(ours.dtype(), requested);
                let theirs = Tensor::from_raw_buffer(&bytes, dtype, &[values.len()], &Device::Cpu).unwrap();
                let read = |tensor: &Tensor| tensor.to_dtype(DType::F32).unwrap().to_vec1::<f32>().unwrap();
                let theirs = theirs.to_dtype(DType::F32).unwrap().to_dtype(requested).unwrap();
                assert_eq!(read(&ours), read(&theirs), "{stored:?} as {requested:?}");
            }
        }
    }

    #[test]
    fn the_first_value_that_is_not_finite_is_named() {
        for (at, value) in [(0, f32::NAN), (CHUNK + 3, f32::INFINITY), (2 * CHUNK, f32::NEG_INFINITY)] {
            let mut values = wavy(2 * CHUNK + 1);
            values[at] = value;
            values[2 * CHUNK] = f32::NAN.min(value);
            for stored in [StoredDtype::F64, StoredDtype::F32, StoredDtype::F16, StoredDtype::Bf16] {
                let bytes = to_bytes(&values, stored);
                let error = decode_tensor(&bytes, stored, &[values.len()], DType::BF16).unwrap_err();
                assert!(matches!(error, DecodeError::NotFinite { index, .. } if index == at), "{error}");
            }
        }
    }

    #[test]
    fn a_value_beyond_f16_is_an_error() {
        let mut values = wavy(9);
        values[4] = -7e4;
        let bytes = to_bytes(&values, StoredDtype::F32);
        let error = decode_tensor(&bytes, StoredDtype::F32, &[9], DType::F16).unwrap_err().to_string();
        assert!(error.contains("value 4 is -7e4"), "{error}");
        values[4] = 65504.0;
        decode_tensor(&to_bytes(&values, StoredDtype::F32), StoredDtype::F32, &[9], DType::F16).unwrap();
    }
}
