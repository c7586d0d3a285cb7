//! Attention of few keys on the CPU, in one pass over the queries.
//!
//! With seven keys, as many as a track's history has poses, candle's operators spend most of their time on copies of the heads
//! and on products too small to be worth a call. Sums have one order, so that results do not depend on threads.

use candle_core::{CpuStorage, Device, Layout, Result, Storage, Tensor, bail};
use rayon::prelude::*;

/// Partial sums of a scalar product.
const LANES: usize = 16;

/// `softmax(q kᵀ / sqrt(d)) v` of every head; masked keys have the score `masked`.
///
/// # Shapes
/// `q` `(b, n, h * d)`, `kv` `(b, m, 2 * h * d)`: keys and values side by side, `kept` `(b, 1, 1, m)`: 0 for a masked key; all
/// `f32` on the CPU. The result is `(b, n, h * d)`.
///
/// # Errors
/// If the shapes do not fit each other.
pub fn attend(q: &Tensor, kv: &Tensor, kept: Option<&Tensor>, heads: usize, masked: f32) -> Result<Tensor> {
    let ((b, n, inner), (_, m, _)) = (q.dims3()?, kv.dims3()?);
    if kv.dims() != [b, m, 2 * inner] || m == 0 || heads == 0 || !inner.is_multiple_of(heads) {
        bail!("attention of {heads} heads: queries {:?}, keys and values {:?}", q.dims(), kv.dims());
    }
    let (q, kv) = (q.contiguous()?, kv.contiguous()?);
    let kept = kept.map(|kept| kept.flatten_all()?.to_vec1::<f32>()).transpose()?;
    if kept.as_ref().is_some_and(|kept| kept.len() != b * m) {
        bail!("attention: a mask of other keys");
    }
    let (q_storage, kv_storage) = (q.storage_and_layout(), kv.storage_and_layout());
    let (q, kv) = (cpu_values(&q_storage.0, q_storage.1)?, cpu_values(&kv_storage.0, kv_storage.1)?);
    let shape = Shape { inner, head: inner / heads };
    let mut out = vec![0.0; q.len()];
    let queries = out.par_chunks_mut(inner).zip(q.par_chunks(inner)).enumerate();
    queries.for_each_init(
        || vec![0.0; m],
        |scores, (row, (out, query))| {
            let sequence = row / n;
            let kv = &kv[sequence * m * 2 * inner..(sequence + 1) * m * 2 * inner];
            let kept = kept.as_ref().map(|kept| &kept[sequence * m..(sequence + 1) * m]);
            shape.attend_query(query, kv, kept, masked, scores, out);
        },
    );
    Tensor::from_vec(out, (b, n, inner), &Device::Cpu)
}

#[derive(Clone, Copy)]
struct Shape {
    /// Values of all heads.
    inner: usize,
    /// Values of a head.
    head: usize,
}

impl Shape {
    /// All heads of one query.
    fn attend_query(
        self,
        query: &[f32],
        kv: &[f32],
        kept: Option<&[f32]>,
        masked: f32,
        scores: &mut [f32],
        out: &mut [f32],
    ) {
        let Shape { inner, head } = self;
        let scale = (head as f32).powf(-0.5);
        for from in (0..inner).step_by(head) {
            let query = &query[from..from + head];
            for (key, score) in scores.iter_mut().enumerate() {
                let at = key * 2 * inner + from;
                *score = match kept {
                    Some(kept) if kept[key] == 0.0 => masked,
                    _ => dot(query, &kv[at..at + head]) * scale,
                };
            }
            let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mut sum = 0.0;
            for score in scores.iter_mut() {
                *score = (*score - most).exp();
                sum += *score;
            }
            let out = &mut out[from..from + head];
            for (key, score) in scores.iter().enumerate() {
                let (at, weight) = (key * 2 * inner + inner + from, score / sum);
                out.iter_mut().zip(&kv[at..at + head]).for_each(|(out, value)| *out += weight * value);
            }
        }
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

/// The values of an operand, which has to be contiguous.
fn cpu_values<'a>(storage: &'a Storage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(values)), Some((from, to))) => Ok(&values[from..to]),
        _ => bail!("attention: operands have to be f32 and contiguous on the CPU"),
    }
}
