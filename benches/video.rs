//! How fast frames come out of the modes, against ffmpeg decoding the same clip to RGB by itself.
//!
//! `just bench video`. Three clips of moving detail and noise are made once and kept beside the build. Every
//! round runs each contender once, in an order that turns, so that whatever else the machine does falls
//! on all alike; a ratio is that of two neighbours of one round, and the median of the rounds is printed.
//! ffmpeg's own start is in all times, ours and its own; probing is not, but in the row that says so.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use candle_core::Device;
use posebook::video::{self, Probe, Settings};

const ROUNDS: usize = 5;
/// Name, size, bit rate, frames: half a second of decoding or more.
const CLIPS: [(&str, &str, &str, usize); 3] =
    [("480p", "854x480", "1500k", 300), ("1080p", "1920x1080", "6M", 180), ("4K", "3840x2160", "20M", 60)];
/// What is run, ffmpeg's bound first: every ratio is against it.
const CONTENDERS: [Contender; 6] = [
    Contender::Ffmpeg("ffmpeg to /dev/null", &["-f", "rawvideo", "-pix_fmt", "rgb24", "/dev/null"]),
    Contender::Ffmpeg("ffmpeg to its null", &["-pix_fmt", "rgb24", "-f", "null", "-"]),
    Contender::Read { mode: "stream-sequential", overlap: true, probing: false },
    Contender::Read { mode: "stream-sequential", overlap: false, probing: false },
    Contender::Read { mode: "stream-sequential", overlap: true, probing: true },
    Contender::Read { mode: "stream-indexed", overlap: true, probing: false },
];

/// Something that decodes a whole clip.
enum Contender {
    Ffmpeg(&'static str, &'static [&'static str]),
    Read { mode: &'static str, overlap: bool, probing: bool },
}

fn main() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    println!("{:6} {:32} {:>10} {:>8} {:>15}", "clip", "what", "frames/s", "ratio", "of the rounds");
    for (name, size, bit_rate, frames) in CLIPS {
        let path = clip(&folder, size, bit_rate, frames);
        let probe = video::probe(&path).expect("the clip is a video");
        assert_eq!(probe.frames(), frames);
        let mut secs = vec![Vec::new(); CONTENDERS.len()];
        for round in 0..=ROUNDS {
            for turn in 0..CONTENDERS.len() {
                let at = (turn + round) % CONTENDERS.len();
                let began = Instant::now();
                CONTENDERS[at].run(&path, &probe, &folder);
                // the first round only warms the file and the code
                secs[at].extend((round > 0).then(|| began.elapsed().as_secs_f64()));
            }
        }
        for (contender, took) in CONTENDERS.iter().zip(&secs) {
            let ratios: Vec<f64> = secs[0].iter().zip(took).map(|(bound, took)| bound / took).collect();
            let (least, middle, most) = spread(&ratios);
            let speed = frames as f64 / spread(took).1;
            let rounds = format!("{least:.2} to {most:.2}");
            println!("{name:6} {:32} {speed:>10.1} {middle:>8.3} {rounds:>15}", contender.name());
        }
    }
}

impl Contender {
    fn name(&self) -> String {
        match self {
            Contender::Ffmpeg(name, _) => (*name).to_string(),
            Contender::Read { mode, overlap, probing } => {
                let overlap = if *overlap { "" } else { ", no overlap" };
                format!("{mode}{overlap}{}", if *probing { ", probing too" } else { "" })
            }
        }
    }

    fn run(&self, path: &Path, probe: &Probe, scratch: &Path) {
        match self {
            Contender::Ffmpeg(_, output) => ffmpeg(&[&["-i", &path.to_string_lossy()], *output].concat()),
            Contender::Read { mode, overlap, probing } => {
                let mode = Some(mode.parse().expect("a mode's name"));
                let settings = Settings { mode, overlap: Some(*overlap), ..Settings::default() };
                let probe =
                    if *probing { video::probe(path).expect("the clip is a video") } else { probe.clone() };
                let mut source =
                    video::open_probed(probe, &settings, scratch, &Device::Cpu).expect("the clip opens");
                let mut read = 0;
                while let Some(frame) = source.next_frame().expect("the clip decodes") {
                    std::hint::black_box(frame.rgb());
                    read += 1;
                }
                assert_eq!(read, source.frames());
            }
        }
    }
}

/// A clip that is made where it is not there yet.
fn clip(folder: &Path, size: &str, bit_rate: &str, frames: usize) -> PathBuf {
    let path = folder.join(format!("video-{size}-{frames}.mp4"));
    if !path.exists() {
        let source = format!(
            "mandelbrot=size={size}:rate=30:start_scale=1.5:end_scale=0.001:end_pts=900,noise=alls=12:allf=t"
        );
        let made = path.with_extension("part.mp4");
        let (frames, to) = (frames.to_string(), made.to_string_lossy());
        ffmpeg(&[
            "-f",
            "lavfi",
            "-i",
            &source,
            "-frames:v",
            &frames,
            "-pix_fmt",
            "yuv420p",
            "-c:v",
            "libx264",
            "-preset",
            "veryfast",
            "-b:v",
            bit_rate,
            "-g",
            "60",
            "-bf",
            "3",
            &to,
        ]);
        std::fs::rename(&made, &path).expect("the clip can be renamed");
    }
    path
}

fn ffmpeg(words: &[&str]) {
    let status = Command::new("ffmpeg").args(["-nostdin", "-loglevel", "error", "-y"]).args(words).status();
    assert!(status.expect("benches need ffmpeg on the PATH").success(), "ffmpeg {words:?} failed");
}

/// The least, the median and the most.
fn spread(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    (sorted[0], sorted[sorted.len() / 2], sorted[sorted.len() - 1])
}
