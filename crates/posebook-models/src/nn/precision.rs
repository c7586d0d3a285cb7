//! candle's types of the floating-point formats in settings.

use candle_core::DType;
use posebook_core::labels::Precision;

/// candle's type of a precision.
pub fn dtype(precision: Precision) -> DType {
    match precision {
        Precision::F32 => DType::F32,
        Precision::Bf16 => DType::BF16,
        Precision::F16 => DType::F16,
    }
}
