//! The values of tensors on the CPU as `f32` slices, widened from half precision, and results rounded back to it.

use candle_core::{CpuStorage, DType, Device, Result, Shape, Storage, Tensor, bail};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use rayon::prelude::*;
use std::borrow::Cow;

/// Values that a thread converts at a time.
const CHUNK: usize = 1 << 14;

/// Calls `work` with the values of a tensor on the CPU, in row-major order.
pub fn with_values<T>(x: &Tensor, work: impl FnOnce(&[f32]) -> Result<T>) -> Result<T> {
    let x = x.contiguous()?;
    let (storage, layout) = x.storage_and_layout();
    let range = layout.start_offset()..layout.start_offset() + layout.shape().elem_count();
    let values = match &*storage {
        Storage::Cpu(CpuStorage::F32(values)) => Cow::Borrowed(&values[range]),
        Storage::Cpu(CpuStorage::BF16(values)) => Cow::Owned(widen(&values[range])),
        Storage::Cpu(CpuStorage::F16(values)) => Cow::Owned(widen(&values[range])),
        _ => bail!("a tensor of {:?} on {:?}: f32, bf16 or f16 on the CPU is needed", x.dtype(), x.device()),
    };
    work(&values)
}

/// A tensor on the CPU of values rounded to a precision.
pub fn rounded(values: Vec<f32>, shape: impl Into<Shape>, dtype: DType) -> Result<Tensor> {
    let shape = shape.into();
    match dtype {
        DType::BF16 => Tensor::from_vec(narrow(&values, bf16::ZERO), shape, &Device::Cpu),
        DType::F16 => Tensor::from_vec(narrow(&values, f16::ZERO), shape, &Device::Cpu),
        DType::F32 => Tensor::from_vec(values, shape, &Device::Cpu),
        other => bail!("a tensor of {other:?}: f32, bf16 or f16 is needed"),
    }
}

fn widen<T: Sync>(values: &[T]) -> Vec<f32>
where
    [T]: HalfFloatSliceExt,
{
    let mut wide = vec![0.0; values.len()];
    let chunks = values.par_chunks(CHUNK).zip(wide.par_chunks_mut(CHUNK));
    chunks.for_each(|(values, wide)| values.convert_to_f32_slice(wide));
    wide
}

fn narrow<T: Send + Copy>(values: &[f32], zero: T) -> Vec<T>
where
    [T]: HalfFloatSliceExt,
{
    let mut narrow = vec![zero; values.len()];
    let chunks = values.par_chunks(CHUNK).zip(narrow.par_chunks_mut(CHUNK));
    chunks.for_each(|(values, narrow)| narrow.convert_from_f32_slice(values));
    narrow
}
