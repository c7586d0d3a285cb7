//! Times the whole network.

use super::{PrecisionResults, SpeedReport, SpeedRow, median, products, time_passes};
use candle_core::{Device, Result, Tensor};
use candle_nn::VarBuilder;
use posebook_models::device::{self, DeviceHandle};
use posebook_models::hmr2::{Attention, Config, Network, Precision, formula};
use std::time::Instant;

/// What to measure.
#[derive(Debug, Clone)]
pub struct SpeedRequest {
    /// Sizes of the network.
    pub config: Config,
    /// Name of the network.
    pub network: String,
    /// Precisions to measure.
    pub precisions: Vec<Precision>,
    /// Batch sizes.
    pub batches: Vec<usize>,
    /// Timed passes per measurement.
    pub passes: usize,
    /// No measurement starts after this time, seconds.
    pub deadline_secs: f64,
}

/// Runs the benchmark on `device`, named `name` in the report. A batch that does not fit in memory gives a row with an
/// error. `on_row` is called for each row.
///
/// # Errors
/// If the weights do not fit in memory, or the device is lost.
pub fn measure(
    request: &SpeedRequest,
    device: &Device,
    name: &str,
    on_row: &mut dyn FnMut(&SpeedRow),
) -> Result<SpeedReport> {
    let started = Instant::now();
    let in_time = || started.elapsed().as_secs_f64() < request.deadline_secs;
    let mut skipped = Vec::new();
    let mut precisions = Vec::new();
    for &precision in &request.precisions {
        let dtype = posebook_models::nn::dtype(precision);
        let called = precision.name();
        if !in_time() {
            skipped.push(called.to_string());
            continue;
        }
        let ceiling = products::measure_ceiling(dtype, device, request.passes)?;
        let mut found =
            PrecisionResults { precision: called.into(), ceiling, products: vec![], rows: vec![] };
        for &batch in &request.batches {
            // a product that does not fit is skipped; the row below reports it
            if let Ok(rate) = products::measure_block(&request.config, dtype, device, batch, request.passes) {
                found.products.push(rate);
            }
        }
        let weights = formula::weights("a", &request.config, dtype, device)?;
        let network = Network::load(&request.config, VarBuilder::from_tensors(weights, dtype, device))?;
        for attention in attention_modes(precision, device) {
            let network = network.clone().with_attention(attention.path());
            for &batch in &request.batches {
                let what = format!("{called} {} {batch}", attention.name());
                if !in_time() {
                    skipped.push(what);
                    continue;
                }
                let row = measure_row(&network, request, precision, attention, batch, device);
                on_row(&row);
                found.rows.push(row);
            }
        }
        precisions.push(found);
    }
    Ok(SpeedReport {
        device: name.to_string(),
        network: request.network.clone(),
        flop_per_crop: request.config.flop_per_crop(),
        torch: None,
        precisions,
        skipped_for_time: skipped,
        secs: started.elapsed().as_secs_f64(),
    })
}

/// The attention implementations available on the device.
fn attention_modes(precision: Precision, device: &Device) -> Vec<Attention> {
    let fused = device::kernels::KernelGroup::FlashAttention.is_built() && !device.is_cpu();
    let mut attention_modes = vec![Attention::Plain];
    if fused && precision != Precision::F32 {
        attention_modes.push(Attention::Flash);
    }
    attention_modes
}

fn measure_row(
    network: &Network,
    request: &SpeedRequest,
    precision: Precision,
    attention: Attention,
    batch: usize,
    device: &Device,
) -> SpeedRow {
    let empty = SpeedRow {
        mode: attention.name().into(),
        precision: precision.name().into(),
        batch,
        ..SpeedRow::default()
    };
    match time_forward(network, request, precision, batch, device) {
        Ok((seconds, pool)) => {
            let secs = median(&seconds);
            SpeedRow {
                crops_per_sec: Some(batch as f64 / secs),
                secs_median: Some(secs),
                secs_min: seconds.first().copied(),
                secs_max: seconds.last().copied(),
                passes: Some(seconds.len()),
                tflops: Some((request.config.flop_per_crop() * batch as u64) as f64 / secs / 1e12),
                allocated_peak_bytes: pool.map(|pool| pool.used_peak_bytes),
                reserved_peak_bytes: pool.map(|pool| pool.reserved_peak_bytes),
                ..empty
            }
        }
        Err(error) => SpeedRow { error: Some(error.to_string()), ..empty },
    }
}

fn time_forward(
    network: &Network,
    request: &SpeedRequest,
    precision: Precision,
    batch: usize,
    device: &Device,
) -> Result<(Vec<f64>, Option<posebook_core::memory::live::MemoryPool>)> {
    let side = request.config.image_size;
    let crops = Tensor::randn(0f32, 1.0, (batch, 3, side, side), device)?
        .to_dtype(posebook_models::nn::dtype(precision))?;
    let handle = DeviceHandle::from_device(device);
    if let Some(handle) = &handle {
        handle.synchronize();
        handle.trim();
        handle.reset_peaks();
    }
    let seconds = time_passes(request.passes, || {
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
        let request = SpeedRequest {
            config: formula::small_config(),
            network: "small".into(),
            precisions: vec![Precision::F32],
            batches: vec![1, 2],
            passes: 2,
            deadline_secs: 60.0,
        };
        let mut row_count = 0;
        let document = measure(&request, &Device::Cpu, "a CPU", &mut |_| row_count += 1).unwrap();
        let [of_f32] = &document.precisions[..] else { panic!("one precision was asked for") };
        assert_eq!((of_f32.rows.len(), of_f32.products.len(), row_count), (2, 2, 2));
        let row = &of_f32.rows[1];
        assert_eq!((row.batch, row.mode.as_str(), row.allocated_peak_bytes), (2, "plain", None));
        assert!(row.crops_per_sec.unwrap() > 0.0 && row.secs_min.unwrap() <= row.secs_median.unwrap());
        let text = serde_json::to_string(&document).unwrap();
        let again: SpeedReport = serde_json::from_str(&text).unwrap();
        assert_eq!(again.precisions[0].rows.len(), 2);
    }

    #[test]
    fn skipped_measurements_are_listed() {
        let (config, precisions) = (formula::small_config(), vec![Precision::F32, Precision::F16]);
        let (network, batches) = ("small".to_string(), vec![1]);
        let request = SpeedRequest { config, network, precisions, batches, passes: 1, deadline_secs: 0.0 };
        let document = measure(&request, &Device::Cpu, "a CPU", &mut |_| ()).unwrap();
        assert_eq!(document.skipped_for_time, ["f32", "f16"]);
    }
}
