//! Guesses of how long a run takes, before it is made.
//!
//! What finished runs of this machine took is asked first: seconds a person of the same network, seconds a frame of
//! the same video mode. Without them a network's time follows from its operations and from the rate at which this
//! machine computes products of its size. Where neither is known the time is unknown.
//!
//! Must not know how a clip is read or a network computed.

use super::progress::duration;
use super::store::Kept;
use crate::hmr2::cost::Product;
use crate::provenance::Machine;
use candle_core::{Device, Tensor};
use std::fmt;
use std::iter::Sum;
use std::ops::SubAssign;
use std::time::{Duration, Instant};

/// Starting the process and writing its tables, seconds.
const START_SECS: f64 = 0.4;
/// Loading one weight: reading or computing it, and converting it, seconds.
const SETUP_SECS_PER_WEIGHT: f64 = 8e-9;
/// Cutting a person out of a frame and posing the body, seconds.
const CROP_SECS: f64 = 0.005;
/// A network's time as a multiple of that of its matrix products.
const OVER_PRODUCTS: f64 = 1.25;
/// How long the rate of products is measured.
const MEASURED_FOR: Duration = Duration::from_millis(30);

/// What the time of a run depends on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Job {
    /// The video mode's name.
    pub mode: String,
    /// Frames that are given out; `None` if unknown.
    pub frames: Option<usize>,
    /// Pixels of a frame.
    pub pixels: usize,
    /// People in a frame, the mean; `None` if unknown.
    pub people: Option<f64>,
    pub network: Network,
    /// When the run is ended at the latest, seconds.
    pub limit_secs: Option<f64>,
}

/// What the time for a person depends on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Network {
    /// SHA-256 of the model set's file, sizes included, and what its weights are known by.
    pub model_sha256: String,
    pub weights_sha256: String,
    /// The experiment file's word for the number format.
    pub precision: String,
    pub device: String,
    /// The graphics card and its driver; `None` on the CPU.
    pub card: Option<String>,
    /// Operations of the matrix products for one person.
    pub flop_per_crop: f64,
    pub weights: usize,
}

impl Network {
    fn is_that_of(&self, kept: &Kept) -> bool {
        let key = &kept.key;
        self.model_sha256 == key.model_sha256
            && self.weights_sha256 == key.weights_sha256
            && self.precision == kept.row.precision
            && self.device == key.device
            && self.card == key.card
    }
}

/// Runs that ended well on this machine.
pub(super) struct Past<'k>(Vec<&'k Kept>);

impl<'k> Past<'k> {
    pub fn of(kept: &'k [Kept], machine: &Machine) -> Past<'k> {
        let here = |kept: &&Kept| kept.key.cpu == machine.cpu && kept.key.cores == machine.cores;
        Past(kept.iter().filter(here).filter(|kept| kept.is_ok()).collect())
    }

    /// Runs of the same network, here.
    fn with<'a>(&'a self, network: &'a Network) -> impl Iterator<Item = &'k Kept> + 'a {
        self.0.iter().copied().filter(move |kept| network.is_that_of(kept))
    }

    /// Seconds of the network for a person.
    fn crop_secs(&self, network: &Network) -> Option<f64> {
        median(self.with(network).filter_map(|kept| {
            let people = kept.row.people.filter(|people| *people > 0)?;
            Some(kept.row.recover_secs? / people as f64)
        }))
    }

    fn setup_secs(&self, network: &Network) -> Option<f64> {
        median(self.with(network).filter_map(|kept| kept.row.setup_secs))
    }

    /// Seconds for a frame beside the network in the same mode, of runs with any network: the assumed cost of a
    /// frame of that many pixels, times what runs took of their own assumed cost.
    fn frame_secs(&self, mode: &str, pixels: usize) -> Option<f64> {
        let times = self.0.iter().filter(|kept| kept.row.mode == mode).filter_map(|kept| {
            let row = &kept.row;
            let frames = row.frames_done.filter(|frames| *frames > 0)?;
            let beside = row.wall_secs? - row.setup_secs? - row.recover_secs? - START_SECS;
            let assumed = assumed_frame_secs(mode, (row.width? * row.height?) as usize);
            Some(beside.max(0.0) / frames as f64 / assumed)
        });
        Some(median(times)? * assumed_frame_secs(mode, pixels))
    }
}

/// Rough seconds of a run; `None` where they are unknown. `flop_per_sec` is asked where no run of the same network
/// is known.
pub(super) fn guess(job: &Job, past: &Past, flop_per_sec: impl FnOnce() -> Option<f64>) -> Option<f64> {
    let Job { network, .. } = job;
    let (frames, people) = (job.frames? as f64, job.people?);
    let by_flop = || Some(CROP_SECS + OVER_PRODUCTS * network.flop_per_crop / flop_per_sec()?);
    let crop_secs = past.crop_secs(network).or_else(by_flop)?;
    let setup_secs = past.setup_secs(network).unwrap_or(network.weights as f64 * SETUP_SECS_PER_WEIGHT);
    let frame_secs =
        past.frame_secs(&job.mode, job.pixels).unwrap_or_else(|| assumed_frame_secs(&job.mode, job.pixels));
    let secs = START_SECS + setup_secs + frames * (frame_secs + people * crop_secs);
    Some(job.limit_secs.map_or(secs, |limit| secs.min(limit)))
}

/// What a frame is assumed to cost beside the network where no run says more: in a seek per frame a decoder is
/// started for each, in an extraction a picture is written and read.
fn assumed_frame_secs(mode: &str, pixels: usize) -> f64 {
    let megapixels = pixels as f64 / 1e6;
    match mode {
        "stream-seek" => 0.12 + 0.2 * megapixels,
        "extract-jpeg" | "extract-png" => 0.003 + 0.06 * megapixels,
        _ => 0.002 + 0.02 * megapixels,
    }
}

/// Operations a second that this machine's processors reach in `product`, the largest of a network: products of
/// small networks are slower. About 50 ms are spent on it. `None` where the product cannot be computed.
pub(super) fn measured_flop_per_sec(product: Product) -> Option<f64> {
    let matrix = |rows: usize, columns: usize| {
        // zeros would be faster than anything real
        let values: Vec<f32> = (0..rows * columns).map(|at| (at % 251) as f32 / 251.0 - 0.5).collect();
        Tensor::from_vec(values, (rows, columns), &Device::Cpu).ok()
    };
    let (rows, weight) = (matrix(product.rows, product.from)?, matrix(product.to, product.from)?.t().ok()?);
    // the first product wakes the threads and fetches the weights
    rows.matmul(&weight).ok()?;
    let (began, mut least) = (Instant::now(), Duration::MAX);
    while least == Duration::MAX || began.elapsed() < MEASURED_FOR {
        let begun = Instant::now();
        rows.matmul(&weight).ok()?;
        least = least.min(begun.elapsed());
    }
    Some(product.flop() as f64 / least.as_secs_f64().max(1e-9))
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

/// Rough seconds of several runs together; those of which nothing is known are counted apart.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RoughTime {
    pub secs: f64,
    /// Runs whose time is unknown.
    pub unknown: usize,
}

impl RoughTime {
    /// The time of as many such runs.
    pub fn times(self, runs: usize) -> RoughTime {
        RoughTime { secs: self.secs * runs as f64, unknown: self.unknown * runs }
    }

    /// Less what has passed since, but never nothing.
    pub fn less(self, passed_secs: f64) -> RoughTime {
        let secs = if self.secs > 0.0 { (self.secs - passed_secs).max(1.0) } else { 0.0 };
        RoughTime { secs, ..self }
    }

    /// `about 7 min left`, or that it is unknown.
    pub fn left_in_words(self) -> String {
        match self {
            RoughTime { unknown: 0, secs } => format!("about {} left", duration(secs)),
            RoughTime { secs: 0.0, .. } => "time left unknown".to_string(),
            RoughTime { secs, unknown } => {
                format!("about {} left beside {}", duration(secs), unknown_runs(unknown))
            }
        }
    }
}

fn unknown_runs(unknown: usize) -> String {
    format!("{unknown} {} of unknown time", if unknown == 1 { "run" } else { "runs" })
}

/// `about 7 min`, or that it is unknown.
impl fmt::Display for RoughTime {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match *self {
            RoughTime { unknown: 0, secs } => write!(f, "about {}", duration(secs)),
            RoughTime { secs: 0.0, .. } => write!(f, "time unknown"),
            RoughTime { secs, unknown } => {
                write!(f, "about {} beside {}", duration(secs), unknown_runs(unknown))
            }
        }
    }
}

/// One run's time.
impl From<Option<f64>> for RoughTime {
    fn from(secs: Option<f64>) -> RoughTime {
        RoughTime { secs: secs.unwrap_or(0.0), unknown: usize::from(secs.is_none()) }
    }
}

impl Sum for RoughTime {
    fn sum<I: Iterator<Item = RoughTime>>(times: I) -> RoughTime {
        times.fold(RoughTime::default(), |sum, time| RoughTime {
            secs: sum.secs + time.secs,
            unknown: sum.unknown + time.unknown,
        })
    }
}

/// Guesses are taken away as they were added, and never fall below nothing.
impl SubAssign for RoughTime {
    fn sub_assign(&mut self, time: RoughTime) {
        // below a microsecond is what rounding leaves
        self.secs = Some(self.secs - time.secs).filter(|secs| *secs > 1e-6).unwrap_or(0.0);
        self.unknown = self.unknown.saturating_sub(time.unknown);
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::Key;
    use super::*;
    use crate::hmr2::Config;
    use crate::tables::RunRow;
    use std::path::PathBuf;

    fn largest_product(config: &Config) -> Product {
        config.block_products().into_iter().max_by_key(|product| product.flop()).unwrap()
    }

    fn machine() -> Machine {
        Machine { cpu: Some("a processor".into()), cores: 2, ..Machine::this() }
    }

    fn network(config: &Config) -> Network {
        Network {
            model_sha256: "m".into(),
            weights_sha256: "w".into(),
            precision: "f32".into(),
            device: "cpu".into(),
            card: None,
            flop_per_crop: config.flop_per_crop() as f64,
            weights: config.parameters(),
        }
    }

    fn job(config: &Config) -> Job {
        Job {
            mode: "stream-sequential".into(),
            frames: Some(8),
            pixels: 640 * 360,
            people: Some(2.0),
            network: network(config),
            limit_secs: None,
        }
    }

    /// A run of 10 frames of 640x360 with 20 people.
    fn kept(mode: &str, change: impl FnOnce(&mut Kept)) -> Kept {
        let key = Key {
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
            body_sha256: None,
            device: "cpu".into(),
            card: None,
            program_sha256: "p".into(),
            cpu: machine().cpu,
            cores: 2,
            ffmpeg: None,
        };
        let row = RunRow {
            outcome: "ok".into(),
            mode: mode.into(),
            precision: "f32".into(),
            width: Some(640),
            height: Some(360),
            frames_done: Some(10),
            people: Some(20),
            setup_secs: Some(3.0),
            recover_secs: Some(40.0),
            wall_secs: Some(START_SECS + 3.0 + 40.0 + 5.0),
            ..RunRow::default()
        };
        let mut kept = Kept { key, row, folder: PathBuf::new() };
        change(&mut kept);
        kept
    }

    fn guessed(job: &Job, kept: &[Kept], flop_per_sec: Option<f64>) -> Option<f64> {
        guess(job, &Past::of(kept, &machine()), || flop_per_sec)
    }

    #[test]
    fn a_network_costs_what_its_operations_cost() {
        // ViT-H on two cores at 150 GFLOP/s: 250 GFLOP a crop are 1.7 s, 16 crops half a minute
        let secs = guessed(&job(&Config::hmr2()), &[], Some(150e9)).unwrap();
        assert!((25.0..50.0).contains(&secs), "{secs} s");
        let mut small = Config::hmr2();
        (small.backbone.dim, small.backbone.depth) = (192, 6);
        let less = guessed(&job(&small), &[], Some(150e9)).unwrap();
        assert!(less < secs / 10.0, "{less} s");
    }

    #[test]
    fn people_frames_and_seeks_are_paid_for() {
        let job = job(&Config::hmr2());
        let secs = |job: Job| guessed(&job, &[], Some(150e9)).unwrap();
        let once = secs(job.clone());
        let crops = OVER_PRODUCTS * job.network.flop_per_crop / 150e9 + CROP_SECS;
        let more = secs(Job { people: Some(3.0), ..job.clone() });
        assert!((more - once - 8.0 * crops).abs() < 1e-9, "{more} {once}");
        assert!(secs(Job { frames: Some(80), ..job.clone() }) > 5.0 * once);
        let seeking = secs(Job { mode: "stream-seek".into(), ..job.clone() });
        assert!(seeking > once + 8.0 * 0.1, "{seeking} {once}");
        assert_eq!(secs(Job { limit_secs: Some(2.0), ..job }), 2.0);
    }

    #[test]
    fn finished_runs_of_this_machine_are_asked_first() {
        let job = job(&Config::hmr2());
        // 2 s a person, 0.5 s a frame beside the network
        let secs = guessed(&job, &[kept("stream-sequential", |_| ())], None).unwrap();
        assert!((secs - (START_SECS + 3.0 + 8.0 * (0.5 + 2.0 * 2.0))).abs() < 1e-9, "{secs}");
        // a run in another mode says nothing of a frame's cost, and all of the network's
        let other = guessed(&job, &[kept("stream-seek", |_| ())], None).unwrap();
        let frame = assumed_frame_secs("stream-sequential", job.pixels);
        assert!((other - (START_SECS + 3.0 + 8.0 * (frame + 2.0 * 2.0))).abs() < 1e-9, "{other}");
    }

    #[test]
    fn runs_of_other_machines_networks_and_failures_say_nothing() {
        let job = job(&Config::hmr2());
        let changes: [fn(&mut Kept); 7] = [
            |kept| kept.key.cores = 64,
            |kept| kept.key.cpu = Some("another".into()),
            |kept| kept.key.model_sha256 = "another".into(),
            |kept| kept.row.precision = "bf16".into(),
            |kept| kept.key.device = "cuda:0".into(),
            |kept| kept.row.outcome = "timed_out".into(),
            |kept| kept.row.people = Some(0),
        ];
        for (at, change) in changes.into_iter().enumerate() {
            assert_eq!(guessed(&job, &[kept("stream-sequential", change)], None), None, "change {at}");
        }
        assert_eq!(guessed(&Job { people: None, ..job.clone() }, &[], Some(150e9)), None);
        assert_eq!(guessed(&Job { frames: None, ..job }, &[], Some(150e9)), None);
    }

    #[test]
    fn the_rate_of_this_machine_is_measured() {
        let mut config = Config::hmr2();
        (config.backbone.dim, config.image_size) = (192, 128);
        let rate = measured_flop_per_sec(largest_product(&config)).unwrap();
        assert!((1e7..1e14).contains(&rate), "{rate} FLOP/s");
    }

    #[test]
    fn times_in_words() {
        let known = RoughTime::from(Some(200.0));
        let unknown = RoughTime::from(None);
        let both: RoughTime = [known, known, unknown].into_iter().sum();
        assert_eq!(both.to_string(), "about 7 min beside 1 run of unknown time");
        assert_eq!(unknown.times(3).to_string(), "time unknown");
        assert_eq!(unknown.left_in_words(), "time left unknown");
        assert_eq!(known.times(2).less(30.0).left_in_words(), "about 6 min left");
        let mut left = both;
        left -= known;
        left -= unknown;
        left -= known;
        assert_eq!(left, RoughTime::default());
    }
}
