//! Timing the whole network.

use super::{Document, OfPrecision, Row, median, products, seconds};
use crate::device::{self, Handle};
use crate::hmr2::{Attention, Config, Network, Precision};
use crate::parity::formula;
use candle_core::{Device, Result, Tensor};
use candle_nn::VarBuilder;
use std::time::Instant;

/// What is to be measured.
#[derive(Debug, Clone)]
pub struct Wish {
    pub config: Config,
    /// What the network is called.
    pub network: String,
    pub precisions: Vec<Precision>,
    /// Crops at once.
    pub batches: Vec<usize>,
    /// Timed passes of each.
    pub passes: usize,
    /// No measurement is begun after so many seconds.
    pub deadline_secs: f64,
}

/// Measures what is wished on `device`, called `name`. A batch that does not fit is a row with an error;
/// `told` hears each row.
///
/// # Errors
/// If the weights themselves do not fit, or the device is lost.
pub fn measure(wish: &Wish, device: &Device, name: &str, told: &mut dyn FnMut(&Row)) -> Result<Document> {
    let started = Instant::now();
    let in_time = || started.elapsed().as_secs_f64() < wish.deadline_secs;
    let mut skipped = Vec::new();
    let mut precisions = Vec::new();
    for &precision in &wish.precisions {
        let dtype = precision.dtype();
        let called = precision.name();
        if !in_time() {
            skipped.push(called.to_string());
            continue;
        }
        let ceiling = products::ceiling(dtype, device, wish.passes)?;
        let mut found = OfPrecision { precision: called.into(), ceiling, products: vec![], rows: vec![] };
        for &batch in &wish.batches {
            // a product that does not fit is no loss: the row below says so
            if let Ok(rate) = products::of_block(&wish.config, dtype, device, batch, wish.passes) {
                found.products.push(rate);
            }
        }
        let weights = formula::weights("a", &wish.config, dtype, device)?;
        let network = Network::load(&wish.config, VarBuilder::from_tensors(weights, dtype, device))?;
        for attention in ways(precision, device) {
            let network = network.clone().with_fused_attention(attention == Attention::Flash);
            for &batch in &wish.batches {
                let what = format!("{called} {} {batch}", attention.name());
                if !in_time() {
                    skipped.push(what);
                    continue;
                }
                let row = row(&network, wish, precision, attention, batch, device);
                told(&row);
                found.rows.push(row);
            }
        }
        precisions.push(found);
    }
    Ok(Document {
        device: name.to_string(),
        network: wish.network.clone(),
        flop_per_crop: wish.config.flop_per_crop(),
        torch: None,
        precisions,
        skipped_for_time: skipped,
        secs: started.elapsed().as_secs_f64(),
    })
}

/// The ways that attention can be computed there.
fn ways(precision: Precision, device: &Device) -> Vec<Attention> {
    let fused = device::kernels::Kernels::FlashAttention.is_built() && !device.is_cpu();
    let mut ways = vec![Attention::Plain];
    if fused && precision != Precision::F32 {
        ways.push(Attention::Flash);
    }
    ways
}

fn row(
    network: &Network,
    wish: &Wish,
    precision: Precision,
    attention: Attention,
    batch: usize,
    device: &Device,
) -> Row {
    let empty =
        Row { mode: attention.name().into(), precision: precision.name().into(), batch, ..Row::default() };
    match timed(network, wish, precision, batch, device) {
        Ok((seconds, pool)) => {
            let secs = median(&seconds);
            Row {
                crops_per_sec: Some(batch as f64 / secs),
                secs_median: Some(secs),
                secs_min: seconds.first().copied(),
                secs_max: seconds.last().copied(),
                passes: Some(seconds.len()),
                tflops: Some((wish.config.flop_per_crop() * batch as u64) as f64 / secs / 1e12),
                allocated_peak_bytes: pool.map(|pool| pool.used_peak_bytes),
                reserved_peak_bytes: pool.map(|pool| pool.reserved_peak_bytes),
                ..empty
            }
        }
        Err(error) => Row { error: Some(error.to_string()), ..empty },
    }
}

fn timed(
    network: &Network,
    wish: &Wish,
    precision: Precision,
    batch: usize,
    device: &Device,
) -> Result<(Vec<f64>, Option<device::Pool>)> {
    let side = wish.config.image_size;
    let crops = Tensor::randn(0f32, 1.0, (batch, 3, side, side), device)?.to_dtype(precision.dtype())?;
    let handle = Handle::of(device);
    if let Some(handle) = &handle {
        handle.synchronize();
        handle.trim();
        handle.reset_marks();
    }
    let seconds = seconds(wish.passes, || {
        network.forward(&crops)?;
        device.synchronize()
    })?;
    Ok((seconds, handle.and_then(|handle| handle.pool())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_network_is_measured_on_the_cpu() {
        let wish = Wish {
            config: formula::small(),
            network: "small".into(),
            precisions: vec![Precision::F32],
            batches: vec![1, 2],
            passes: 2,
            deadline_secs: 60.0,
        };
        let mut heard = 0;
        let document = measure(&wish, &Device::Cpu, "a CPU", &mut |_| heard += 1).unwrap();
        let [of_f32] = &document.precisions[..] else { panic!("one precision was asked for") };
        assert_eq!((of_f32.rows.len(), of_f32.products.len(), heard), (2, 2, 2));
        let row = &of_f32.rows[1];
        assert_eq!((row.batch, row.mode.as_str(), row.allocated_peak_bytes), (2, "plain", None));
        assert!(row.crops_per_sec.unwrap() > 0.0 && row.secs_min.unwrap() <= row.secs_median.unwrap());
        let text = serde_json::to_string(&document).unwrap();
        let again: Document = serde_json::from_str(&text).unwrap();
        assert_eq!(again.precisions[0].rows.len(), 2);
    }

    #[test]
    fn what_there_is_no_time_for_is_named() {
        let (config, precisions) = (formula::small(), vec![Precision::F32, Precision::F16]);
        let (network, batches) = ("small".to_string(), vec![1]);
        let wish = Wish { config, network, precisions, batches, passes: 1, deadline_secs: 0.0 };
        let document = measure(&wish, &Device::Cpu, "a CPU", &mut |_| ()).unwrap();
        assert_eq!(document.skipped_for_time, ["f32", "f16"]);
    }
}
