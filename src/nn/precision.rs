//! candle's types of the floating-point formats in settings.

use crate::labels::Precision;
use candle_core::DType;

impl Precision {
    /// candle's type.
    pub fn dtype(self) -> DType {
        match self {
            Precision::F32 => DType::F32,
            Precision::Bf16 => DType::BF16,
            Precision::F16 => DType::F16,
        }
    }
}
