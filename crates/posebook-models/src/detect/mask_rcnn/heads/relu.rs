//! `max(0, x)` in place on the CPU.

use crate::detect::mask_rcnn::layers::Activation;
use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Tensor, bail};
use rayon::prelude::*;

/// Values that one thread takes at a time.
const CHUNK: usize = 1 << 15;

/// `max(0, x)`; NaN stays NaN. `x` has to be a result that nothing else refers to: on the CPU its values are overwritten.
///
/// # Errors
/// If `x` is not contiguous or not of a floating-point type, or the device fails.
pub fn relu(x: Tensor) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return Activation::Relu.apply(x);
    }
    x.inplace_op1(&Relu)?;
    Ok(x)
}

struct Relu;

impl InplaceOp1 for Relu {
    fn name(&self) -> &'static str {
        "relu in place"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let Some((from, to)) = layout.contiguous_offsets() else {
            bail!("relu in place: the operand has to be contiguous");
        };
        match storage {
            CpuStorage::F32(values) => apply(&mut values[from..to]),
            CpuStorage::BF16(values) => apply(&mut values[from..to]),
            CpuStorage::F16(values) => apply(&mut values[from..to]),
            _ => bail!("relu in place: the operand has to be of a floating-point type"),
        }
        Ok(())
    }
}

fn apply<T: Default + PartialOrd + Copy + Send + Sync>(values: &mut [T]) {
    let zero = T::default();
    values.par_chunks_mut(CHUNK).for_each(|values| {
        // written so that NaN is kept
        values.iter_mut().for_each(|value| *value = if *value < zero { zero } else { *value });
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn negative_values_become_zero_and_nan_stays() {
        let values = vec![-1.5f32, 0.0, 2.5, f32::NAN, f32::NEG_INFINITY, f32::INFINITY];
        for dtype in [DType::F32, DType::BF16, DType::F16] {
            let x = Tensor::from_vec(values.clone(), 6, &Device::Cpu).unwrap();
            let result = relu(x.to_dtype(dtype).unwrap()).unwrap().to_dtype(DType::F32).unwrap();
            let result = result.to_vec1::<f32>().unwrap();
            assert_eq!(result[..3], [0.0, 0.0, 2.5], "{dtype:?}");
            assert!(result[3].is_nan() && result[4] == 0.0 && result[5] == f32::INFINITY, "{dtype:?}");
        }
    }
}
