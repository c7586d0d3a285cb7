//! Estimates the wall-clock time of a run before it starts.
//!
//! Finished runs on this machine are preferred: seconds per person with the same network, seconds per frame in the same video
//! mode. Without them a network's time is computed from its number of operations and the measured rate of matrix products
//! on this machine. Where neither is known the time is unknown.

use crate::runner::store::StoredRun;
use candle_core::{Device, Tensor};
use posebook_core::labels::{Precision, VideoMode};
use posebook_core::provenance::Machine;
use posebook_models::hmr2::MatrixProduct;
use std::time::{Duration, Instant};

/// Time for starting the process and writing its tables, seconds.
const START_SECS: f64 = 0.4;
/// Time for loading one weight: reading or computing it, and converting it, seconds.
const SETUP_SECS_PER_WEIGHT: f64 = 8e-9;
/// Time for cropping a person and posing the body, seconds.
const CROP_SECS: f64 = 0.005;
/// A network's time as a multiple of that of its matrix products.
const NETWORK_OVER_PRODUCTS: f64 = 1.25;
/// Duration of the measurement of the rate of matrix products.
const MEASURE_FOR: Duration = Duration::from_millis(30);

/// What the time of a run depends on: video, people, network.
#[derive(Debug, Clone, PartialEq)]
pub struct RunCost {
    /// The video mode.
    pub mode: VideoMode,
    /// Number of frames to process; `None` if unknown.
    pub frames: Option<usize>,
    /// Pixels per frame.
    pub pixels: usize,
    /// Mean number of people per frame; `None` if unknown.
    pub people: Option<f64>,
    /// The network.
    pub network: NetworkCost,
    /// The detection.
    pub detection: DetectionCost,
    /// Time limit of the run, seconds.
    pub limit_secs: Option<f64>,
}

/// What the time per person depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkCost {
    /// SHA-256 of the model set's file, which includes the network's dimensions.
    pub model_sha256: String,
    /// SHA-256 of the weights.
    pub weights_sha256: String,
    /// Number format of the network.
    pub precision: Precision,
    /// The device.
    pub device: String,
    /// GPU and driver; `None` on the CPU.
    pub gpu: Option<String>,
    /// Floating point operations of the matrix products per person.
    pub flop_per_crop: f64,
    /// Number of weights.
    pub weights: usize,
}

/// What the time per frame of the detection depends on, besides the device.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DetectionCost {
    /// Name of the detector.
    pub detector: String,
    /// What identifies its weights; `None` where boxes are provided.
    pub sha256: Option<String>,
    /// Floating point operations per frame; 0 where they are few or unknown.
    pub flop_per_frame: f64,
}

impl DetectionCost {
    fn matches(&self, run: &StoredRun, network: &NetworkCost) -> bool {
        run.row.detector.as_deref() == Some(&self.detector)
            && self.sha256 == run.key.detector_sha256
            && network.device == run.key.device
            && network.gpu == run.key.gpu
    }
}

impl NetworkCost {
    fn matches(&self, run: &StoredRun) -> bool {
        let key = &run.key;
        self.model_sha256 == key.model_sha256
            && self.weights_sha256 == key.weights_sha256
            && self.precision == run.row.precision
            && self.device == key.device
            && self.gpu == key.gpu
    }
}

/// Finished runs on this machine.
pub struct History<'k>(Vec<&'k StoredRun>);

impl<'k> History<'k> {
    /// The finished runs among `runs` that were made on `machine`.
    pub fn new(runs: &'k [StoredRun], machine: &Machine) -> History<'k> {
        let here = |run: &&StoredRun| run.key.cpu == machine.cpu && run.key.cores == machine.cores;
        History(runs.iter().filter(here).filter(|run| run.is_ok()).collect())
    }

    /// Runs of the same network.
    fn runs_with<'a>(&'a self, network: &'a NetworkCost) -> impl Iterator<Item = &'k StoredRun> + 'a {
        self.0.iter().copied().filter(move |run| network.matches(run))
    }

    /// Median time of the network per person, seconds.
    fn crop_secs(&self, network: &NetworkCost) -> Option<f64> {
        median(self.runs_with(network).filter_map(|run| {
            let people = run.row.metrics.tracking.people.filter(|people| *people > 0)?;
            Some(run.row.metrics.timing.recover_secs? / people as f64)
        }))
    }

    fn setup_secs(&self, network: &NetworkCost) -> Option<f64> {
        median(self.runs_with(network).filter_map(|run| run.row.metrics.timing.setup_secs))
    }

    /// Median time of the detection per frame, seconds.
    fn detect_secs(&self, cost: &RunCost) -> Option<f64> {
        let same = self.0.iter().filter(|run| cost.detection.matches(run, &cost.network));
        median(same.filter_map(|run| {
            let frames = run.row.frames_done.filter(|frames| *frames > 0)?;
            Some(run.row.metrics.timing.detect_secs? / frames as f64)
        }))
    }

    /// Time per frame outside the networks, seconds: the default for that number of pixels, scaled by the median ratio
    /// of measured to default time over runs in the same mode with any network.
    fn frame_secs(&self, mode: VideoMode, pixels: usize) -> Option<f64> {
        let times = self.0.iter().filter(|run| run.row.mode == Some(mode)).filter_map(|run| {
            let row = &run.row;
            let frames = row.frames_done.filter(|frames| *frames > 0)?;
            let timing = &row.metrics.timing;
            let networks = timing.setup_secs? + timing.recover_secs? + timing.detect_secs.unwrap_or(0.0);
            let other = timing.wall_secs? - networks - START_SECS;
            let default = default_frame_secs(mode, (row.width? * row.height?) as usize);
            Some(other.max(0.0) / frames as f64 / default)
        });
        Some(median(times)? * default_frame_secs(mode, pixels))
    }
}

/// Estimated time of a run in seconds; `None` if it is unknown. `flop_per_sec` is called if there is no run of the same
/// network.
pub fn estimate_secs(
    cost: &RunCost,
    history: &History,
    flop_per_sec: impl FnOnce() -> Option<f64>,
) -> Option<f64> {
    let RunCost { network, .. } = cost;
    let (frames, people) = (cost.frames? as f64, cost.people?);
    let flop_per_frame = cost.detection.flop_per_frame;
    let (crop_secs, detect_secs) = (history.crop_secs(network), history.detect_secs(cost));
    let is_known = crop_secs.is_some() && (detect_secs.is_some() || flop_per_frame == 0.0);
    let flop_per_sec = if is_known { None } else { flop_per_sec() };
    let by_flop = |flop: f64| Some(NETWORK_OVER_PRODUCTS * flop / flop_per_sec?);
    let crop_secs = crop_secs.or_else(|| Some(CROP_SECS + by_flop(network.flop_per_crop)?))?;
    let detect_secs = match detect_secs {
        Some(secs) => secs,
        None if flop_per_frame == 0.0 => 0.0,
        None => by_flop(flop_per_frame)?,
    };
    let setup_secs = history.setup_secs(network).unwrap_or(network.weights as f64 * SETUP_SECS_PER_WEIGHT);
    let frame_secs = history
        .frame_secs(cost.mode, cost.pixels)
        .unwrap_or_else(|| default_frame_secs(cost.mode, cost.pixels));
    let secs = START_SECS + setup_secs + frames * (frame_secs + detect_secs + people * crop_secs);
    Some(cost.limit_secs.map_or(secs, |limit| secs.min(limit)))
}

/// Default time per frame outside the network, seconds: seeking starts a decoder per frame, extracting writes and reads an
/// image per frame.
fn default_frame_secs(mode: VideoMode, pixels: usize) -> f64 {
    let megapixels = pixels as f64 / 1e6;
    match mode {
        VideoMode::StreamSeek => 0.12 + 0.2 * megapixels,
        VideoMode::ExtractJpeg | VideoMode::ExtractPng => 0.003 + 0.06 * megapixels,
        _ => 0.002 + 0.02 * megapixels,
    }
}

/// Measures the floating point operations per second of this machine's processors in `product`, the largest of a
/// network: products of small networks are slower. Takes about 50 ms. `None` if the product cannot be computed.
pub fn measure_flop_per_sec(product: MatrixProduct) -> Option<f64> {
    let matrix = |rows: usize, columns: usize| {
        // products of zeros would be unrealistically fast
        let values: Vec<f32> = (0..rows * columns).map(|index| (index % 251) as f32 / 251.0 - 0.5).collect();
        Tensor::from_vec(values, (rows, columns), &Device::Cpu).ok()
    };
    let (rows, weight) =
        (matrix(product.rows, product.inputs)?, matrix(product.outputs, product.inputs)?.t().ok()?);
    // the first product starts the threads and loads the weights into the cache
    rows.matmul(&weight).ok()?;
    let (measurement_started, mut shortest) = (Instant::now(), Duration::MAX);
    while shortest == Duration::MAX || measurement_started.elapsed() < MEASURE_FOR {
        let started = Instant::now();
        rows.matmul(&weight).ok()?;
        shortest = shortest.min(started.elapsed());
    }
    Some(product.flop() as f64 / shortest.as_secs_f64().max(1e-9))
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::store::key::RunKey;
    use posebook_core::labels::Outcome;
    use posebook_models::hmr2::Config;
    use posebook_notebook::tables::RunRow;
    use std::path::PathBuf;

    fn largest_product(config: &Config) -> MatrixProduct {
        config.block_products().into_iter().max_by_key(|product| product.flop()).unwrap()
    }

    fn machine() -> Machine {
        Machine { cpu: Some("a processor".into()), cores: 2, ..Machine::current() }
    }

    fn network(config: &Config) -> NetworkCost {
        NetworkCost {
            model_sha256: "m".into(),
            weights_sha256: "w".into(),
            precision: Precision::F32,
            device: "cpu".into(),
            gpu: None,
            flop_per_crop: config.flop_per_crop() as f64,
            weights: config.parameters(),
        }
    }

    fn cost(config: &Config) -> RunCost {
        RunCost {
            mode: VideoMode::StreamSequential,
            frames: Some(8),
            pixels: 640 * 360,
            people: Some(2.0),
            network: network(config),
            detection: DetectionCost::default(),
            limit_secs: None,
        }
    }

    /// A run of 10 frames of 640x360 with 20 people.
    fn stored(mode: VideoMode, change: impl FnOnce(&mut StoredRun)) -> StoredRun {
        let key = RunKey {
            settings: serde_json::Value::Null,
            repeat: 1,
            clip: "crossing".into(),
            clip_sha256: "c".into(),
            clip_decoded_sha256: None,
            truth_sha256: None,
            boxes_sha256: None,
            model_sha256: "m".into(),
            weights_sha256: "w".into(),
            detector_sha256: None,
            detector_set_sha256: None,
            fallback_sha256: None,
            phalp_sha256: None,
            body_sha256: None,
            device: "cpu".into(),
            gpu: None,
            program_sha256: "p".into(),
            cpu: machine().cpu,
            cores: 2,
            ffmpeg: None,
        };
        let mut row = RunRow {
            outcome: Outcome::Ok,
            mode: Some(mode),
            precision: Precision::F32,
            width: Some(640),
            height: Some(360),
            frames_done: Some(10),
            ..RunRow::default()
        };
        row.metrics.tracking.people = Some(20);
        row.metrics.timing.setup_secs = Some(3.0);
        row.metrics.timing.recover_secs = Some(40.0);
        row.metrics.timing.wall_secs = Some(START_SECS + 3.0 + 40.0 + 5.0);
        let mut run = StoredRun { key, row, folder: PathBuf::new() };
        change(&mut run);
        run
    }

    fn estimated(cost: &RunCost, runs: &[StoredRun], flop_per_sec: Option<f64>) -> Option<f64> {
        estimate_secs(cost, &History::new(runs, &machine()), || flop_per_sec)
    }

    #[test]
    fn the_time_of_a_network_follows_from_its_operations() {
        // ViT-H on two cores at 150 GFLOP/s: 250 GFLOP a crop are 1.7 s, 16 crops half a minute
        let secs = estimated(&cost(&Config::hmr2()), &[], Some(150e9)).unwrap();
        assert!((25.0..50.0).contains(&secs), "{secs} s");
        let mut small = Config::hmr2();
        (small.backbone.dim, small.backbone.depth) = (192, 6);
        let less = estimated(&cost(&small), &[], Some(150e9)).unwrap();
        assert!(less < secs / 10.0, "{less} s");
    }

    #[test]
    fn people_frames_and_seeks_take_time() {
        let cost = cost(&Config::hmr2());
        let secs = |cost: RunCost| estimated(&cost, &[], Some(150e9)).unwrap();
        let once = secs(cost.clone());
        let crops = NETWORK_OVER_PRODUCTS * cost.network.flop_per_crop / 150e9 + CROP_SECS;
        let more = secs(RunCost { people: Some(3.0), ..cost.clone() });
        assert!((more - once - 8.0 * crops).abs() < 1e-9, "{more} {once}");
        assert!(secs(RunCost { frames: Some(80), ..cost.clone() }) > 5.0 * once);
        let seeking = secs(RunCost { mode: VideoMode::StreamSeek, ..cost.clone() });
        assert!(seeking > once + 8.0 * 0.1, "{seeking} {once}");
        assert_eq!(secs(RunCost { limit_secs: Some(2.0), ..cost }), 2.0);
    }

    #[test]
    fn finished_runs_on_this_machine_come_first() {
        let cost = cost(&Config::hmr2());
        // 2 s per person, 0.5 s per frame outside the network
        let secs = estimated(&cost, &[stored(VideoMode::StreamSequential, |_| ())], None).unwrap();
        assert!((secs - (START_SECS + 3.0 + 8.0 * (0.5 + 2.0 * 2.0))).abs() < 1e-9, "{secs}");
        // a run in another mode gives the time of the network but not the time per frame
        let other = estimated(&cost, &[stored(VideoMode::StreamSeek, |_| ())], None).unwrap();
        let frame = default_frame_secs(VideoMode::StreamSequential, cost.pixels);
        assert!((other - (START_SECS + 3.0 + 8.0 * (frame + 2.0 * 2.0))).abs() < 1e-9, "{other}");
    }

    #[test]
    fn a_slow_detector_takes_time_of_its_own() {
        let detection =
            DetectionCost { detector: "vitdet".into(), sha256: Some("v".into()), flop_per_frame: 7e12 };
        let given = cost(&Config::hmr2());
        let cost = RunCost { detection, ..given.clone() };
        let more = estimated(&cost, &[], Some(150e9)).unwrap() - estimated(&given, &[], Some(150e9)).unwrap();
        assert!((more - 8.0 * NETWORK_OVER_PRODUCTS * 7e12 / 150e9).abs() < 1e-6, "{more}");
        // a finished run with the detector: 60 s for each of its 10 frames, which say nothing about other detectors
        let slow = stored(VideoMode::StreamSequential, |run| {
            run.key.detector_sha256 = Some("v".into());
            run.row.detector = Some("vitdet".into());
            run.row.metrics.timing.detect_secs = Some(600.0);
            run.row.metrics.timing.wall_secs = run.row.metrics.timing.wall_secs.map(|secs| secs + 600.0);
        });
        let runs = [slow];
        let secs = estimated(&cost, &runs, None).unwrap();
        assert!((secs - (START_SECS + 3.0 + 8.0 * (0.5 + 60.0 + 2.0 * 2.0))).abs() < 1e-6, "{secs}");
        let secs = estimated(&given, &runs, None).unwrap();
        assert!((secs - (START_SECS + 3.0 + 8.0 * (0.5 + 2.0 * 2.0))).abs() < 1e-6, "{secs}");
    }

    #[test]
    fn runs_of_other_machines_or_networks_and_failures_are_ignored() {
        let cost = cost(&Config::hmr2());
        let changes: [fn(&mut StoredRun); 7] = [
            |run| run.key.cores = 64,
            |run| run.key.cpu = Some("another".into()),
            |run| run.key.model_sha256 = "another".into(),
            |run| run.row.precision = Precision::Bf16,
            |run| run.key.device = "cuda:0".into(),
            |run| run.row.outcome = Outcome::TimedOut,
            |run| run.row.metrics.tracking.people = Some(0),
        ];
        for (index, change) in changes.into_iter().enumerate() {
            assert_eq!(
                estimated(&cost, &[stored(VideoMode::StreamSequential, change)], None),
                None,
                "change {index}"
            );
        }
        assert_eq!(estimated(&RunCost { people: None, ..cost.clone() }, &[], Some(150e9)), None);
        assert_eq!(estimated(&RunCost { frames: None, ..cost }, &[], Some(150e9)), None);
    }

    #[test]
    fn the_rate_of_this_machine_is_measured() {
        let mut config = Config::hmr2();
        (config.backbone.dim, config.image_size) = (192, 128);
        let rate = measure_flop_per_sec(largest_product(&config)).unwrap();
        assert!((1e7..1e14).contains(&rate), "{rate} FLOP/s");
    }
}
