//! Time to track a frame with 50 people, beside Python with the operations of PHALP's association. Run with
//! `just bench association`.
//!
//! Both read the same people and have to return the same identities. The reference is `association_reference.py` (numpy,
//! scipy, scikit-learn, lap); it runs in the Python of the variable `POSEBOOK_PYTHON`, or `python3`, and is left out where
//! a package is missing. Every round runs each contender once, in rotating order; the medians of all rounds' frames are
//! compared. The first frames are not counted: histories fill up and tracks are confirmed.
//!
//! The last rows are with the texture cue. Its encoder does nothing here, so that everything else is measured; what an
//! encoding takes times their number comes on top.

use posebook_core::appearance::{
    Appearance, EMBEDDING_LENGTH, NetworkError, TextureEncoder, UV_TEXELS, UvMap,
};
use posebook_core::frame::FrameSize;
use posebook_core::person::{BBox, Detection, Person, SmplParams};
use posebook_track::phalp::{Cues, Networks, Settings, Tracker, location_vector, pose_vector};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

const ROUNDS: usize = 5;
const PEOPLE: usize = 50;
const FRAMES: usize = 30;
/// Frames at the beginning that are not counted.
const WARM_UP: usize = 10;
const SIZE: FrameSize = FrameSize::new(1920, 1080);
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/association_reference.py");

fn main() {
    let mut random = Random(7);
    let frames: Vec<Vec<Person>> = Scene::new(&mut random).frames(&mut random);
    let input = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("association.f32");
    std::fs::write(&input, packed(&frames)).expect("the people are written");
    let contenders = [
        Contender::Posebook("PL"),
        Contender::Python { textures: false },
        Contender::Python { textures: true },
        Contender::Posebook("TPL"),
    ];
    let mut secs = vec![Vec::new(); contenders.len()];
    let mut identities: Vec<Option<Vec<Vec<u32>>>> = vec![None; contenders.len()];
    let mut encodings = 0;
    for round in 0..ROUNDS {
        for turn in 0..contenders.len() {
            let at = (turn + round) % contenders.len();
            match contenders[at].run(&frames, &input) {
                Ok(run) => {
                    secs[at].extend(&run.secs[WARM_UP..]);
                    encodings = encodings.max(run.encodings);
                    identities[at] = Some(run.identities);
                }
                Err(problem) if round == 0 => println!("{} is left out: {problem}", contenders[at].name()),
                Err(_) => {}
            }
        }
    }
    for (contender, found) in contenders.iter().zip(&identities) {
        // with the texture cue other people are the best match
        if matches!(contender, Contender::Python { .. }) && found.is_some() {
            assert!(*found == identities[0], "{} gives other identities", contender.name());
        }
    }
    println!(
        "{:58} {:>10} {:>8} {:>22}",
        "a frame with 50 people", "median ms", "ratio", "fastest to slowest ms"
    );
    let median = |secs: &[f64]| sorted(secs)[secs.len() / 2];
    let ours = median(&secs[0]);
    for (contender, secs) in contenders.iter().zip(&secs).filter(|(_, secs)| !secs.is_empty()) {
        let sorted = sorted(secs);
        let (median, range) =
            (1e3 * median(secs), [sorted[0], sorted[sorted.len() - 1]].map(|secs| 1e3 * secs));
        let ratio = median / (1e3 * ours);
        let range = format!("{:.3} to {:.3}", range[0], range[1]);
        println!("{:58} {median:>10.3} {ratio:>8.1} {range:>22}", contender.name());
    }
    println!(
        "encodings in the last frame: {encodings}; the reference encodes both maps of each of {PEOPLE} x {PEOPLE} pairs: {}",
        2 * PEOPLE * PEOPLE
    );
}

fn sorted(secs: &[f64]) -> Vec<f64> {
    let mut sorted = secs.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// What is measured.
enum Contender {
    /// This crate, with PHALP's letters for the cues. The pose is the last one.
    Posebook(&'static str),
    /// The reference's operations. With `textures` it also copies texture maps for every track, as PHALP does even where
    /// the texture cue is off.
    Python { textures: bool },
}

/// One run over all frames.
struct Run {
    secs: Vec<f64>,
    /// Per frame the track of each person.
    identities: Vec<Vec<u32>>,
    encodings: usize,
}

impl Contender {
    fn name(&self) -> &'static str {
        match self {
            Contender::Posebook("TPL") => "Posebook, location, last pose, texture without encoder",
            Contender::Posebook(_) => "Posebook, location, last pose",
            Contender::Python { textures: false } => "Python, location, last pose, no texture maps",
            Contender::Python { textures: true } => "Python, location, last pose, texture maps copied",
        }
    }

    fn run(&self, frames: &[Vec<Person>], input: &Path) -> Result<Run, String> {
        match self {
            Contender::Posebook(letters) => Ok(track(letters, frames)),
            Contender::Python { textures } => python(*textures, input),
        }
    }
}

fn track(letters: &str, frames: &[Vec<Person>]) -> Run {
    // the learned pose predictor is a network, too
    let cues = Cues::from_letters(&letters.replace('P', "")).expect("the letters are PHALP's");
    let encoder = Arc::new(Nothing::default());
    let networks = Networks { texture: Some(encoder.clone()), pose: None };
    let settings = Settings { cues, ..Settings::default() };
    let mut tracker = Tracker::with_networks(settings, networks).expect("the settings are valid");
    let mut run = Run { secs: Vec::new(), identities: Vec::new(), encodings: 0 };
    for (frame_index, persons) in frames.iter().enumerate() {
        encoder.0.store(0, Ordering::Relaxed);
        let began = Instant::now();
        tracker.update(frame_index, SIZE, persons).expect("the people can be tracked");
        run.secs.push(began.elapsed().as_secs_f64());
        run.encodings = encoder.0.load(Ordering::Relaxed);
        let mut ids = vec![0; persons.len()];
        for track in tracker.tracks().filter(|track| track.time_since_update() == 0) {
            ids[tracker.person_index(track.id()).expect("the track lives")] = track.id().0;
        }
        run.identities.push(ids);
    }
    run
}

/// Runs the script; it prints a JSON object with seconds and identities per frame.
fn python(textures: bool, input: &Path) -> Result<Run, String> {
    let python = std::env::var_os("POSEBOOK_PYTHON").unwrap_or_else(|| "python3".into());
    let mut command = Command::new(python);
    command.arg(SCRIPT).arg(input).arg(PEOPLE.to_string());
    if textures {
        command.arg("--textures");
    }
    let output = command.output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        return Err(message.lines().last().unwrap_or("it failed").to_string());
    }
    let (secs, identities) = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    Ok(Run { secs, identities, encodings: 0 })
}

/// An encoder whose embeddings are all zero.
#[derive(Default)]
struct Nothing(AtomicUsize);

impl TextureEncoder for Nothing {
    fn encode(&self, maps: &[UvMap]) -> Result<Vec<Vec<f32>>, NetworkError> {
        self.0.fetch_add(maps.len(), Ordering::Relaxed);
        Ok(vec![vec![0.0; EMBEDDING_LENGTH]; maps.len()])
    }
}

/// Uniform numbers.
struct Random(u64);

impl Random {
    /// Between -1 and 1.
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// People who walk straight on, in the square of the padded image.
struct Scene {
    walkers: Vec<Walker>,
}

struct Walker {
    from: [f32; 3],
    speed: [f32; 3],
    params: SmplParams,
    appearance: Appearance,
}

impl Scene {
    fn new(random: &mut Random) -> Scene {
        let mut walker = |at: usize| {
            let cell = [(at % 10) as f32, (at / 10) as f32];
            let mut matrix = || std::array::from_fn(|_| std::array::from_fn(|_| 0.6 * random.next()));
            let params = SmplParams {
                betas: [0.0; 10],
                global_orient: matrix(),
                body_pose: std::array::from_fn(|_| matrix()),
            };
            let mut uv = UvMap::empty();
            for texel in (0..UV_TEXELS).filter(|texel| texel / 256 % 3 != at % 3) {
                uv.values_mut()[texel] = 0.5 * random.next();
                uv.values_mut()[3 * UV_TEXELS + texel] = 1.0;
            }
            Walker {
                from: [0.05 + 0.1 * cell[0], 0.3 + 0.1 * cell[1], 30.0 + 8.0 * random.next()],
                speed: [0.003 * random.next(), 0.002 * random.next(), 0.05 * random.next()],
                params,
                appearance: Appearance { uv: Arc::new(uv), embedding: vec![0.0; EMBEDDING_LENGTH].into() },
            }
        };
        Scene { walkers: (0..PEOPLE).map(&mut walker).collect() }
    }

    fn frames(&self, random: &mut Random) -> Vec<Vec<Person>> {
        let mut frame = |t: usize| self.walkers.iter().map(|walker| walker.person(t, random)).collect();
        (0..FRAMES).map(&mut frame).collect()
    }
}

impl Walker {
    fn person(&self, t: usize, random: &mut Random) -> Person {
        let [x, y, depth]: [f32; 3] =
            std::array::from_fn(|at| self.from[at] + self.speed[at] * t as f32 + 0.001 * random.next());
        let mut params = self.params.clone();
        params.body_pose.iter_mut().flatten().flatten().for_each(|value| *value += 0.02 * random.next());
        let in_camera = |value: f32| (value - 0.5) * depth * 256.0 / 5000.0;
        Person {
            detection: Detection {
                bbox: BBox { x1: 0.0, y1: 0.0, x2: 80.0, y2: 200.0 },
                score: 0.9,
                input_id: None,
                mask: None,
            },
            params,
            crop_camera: [0.9, 0.0, 0.0],
            translation: [in_camera(x), in_camera(y), depth],
            joints: vec![[0.0; 3]; 44],
            joints_in_square: vec![[x, y]; 45],
            confidence: None,
            mask: None,
            appearance: Some(self.appearance.clone()),
        }
    }
}

/// The people as the reference stores them: of each its pose vector and its location vector, f32.
fn packed(frames: &[Vec<Person>]) -> Vec<u8> {
    let numbers = frames.iter().flatten().flat_map(|person| {
        let pose = pose_vector(&person.params, person.translation);
        let location = location_vector(&person.joints_in_square, person.translation);
        pose.into_iter().chain(location)
    });
    numbers.flat_map(f32::to_le_bytes).collect()
}
