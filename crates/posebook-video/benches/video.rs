//! Decoding speed of the modes relative to ffmpeg decoding the same clip to RGB. Run with `just bench video`.
//!
//! Three clips with moving detail and noise are generated once, in Cargo's temporary folder. Every round runs each
//! contender once, in rotating order, so that other load on the machine affects all alike. Ratios are computed
//! within a round; the median of the rounds is printed. All times include the start of ffmpeg; only the row that
//! says so includes probing.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use posebook_video as video;
use posebook_video::{Probe, Settings};

const ROUNDS: usize = 5;
/// Name, size, bit rate, frames: half a second of decoding or more.
const CLIPS: [(&str, &str, &str, usize); 3] =
    [("480p", "854x480", "1500k", 300), ("1080p", "1920x1080", "6M", 180), ("4K", "3840x2160", "20M", 60)];
/// What is measured. Ratios are relative to the first, which is ffmpeg alone.
const CONTENDERS: [Contender; 6] = [
    Contender::Ffmpeg("ffmpeg to /dev/null", &["-f", "rawvideo", "-pix_fmt", "rgb24", "/dev/null"]),
    Contender::Ffmpeg("ffmpeg to its null", &["-pix_fmt", "rgb24", "-f", "null", "-"]),
    Contender::Read { mode: "stream-sequential", overlap: true, probing: false },
    Contender::Read { mode: "stream-sequential", overlap: false, probing: false },
    Contender::Read { mode: "stream-sequential", overlap: true, probing: true },
    Contender::Read { mode: "stream-indexed", overlap: true, probing: false },
];

/// A method of decoding a complete clip.
enum Contender {
    /// ffmpeg alone: the name in the table, and its output arguments.
    Ffmpeg(&'static str, &'static [&'static str]),
    /// This crate.
    Read { mode: &'static str, overlap: bool, probing: bool },
}

fn main() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    println!("{:6} {:32} {:>10} {:>8} {:>15}", "clip", "contender", "frames/s", "ratio", "range of ratios");
    for (name, size, bit_rate, frames) in CLIPS {
        let path = clip(&folder, size, bit_rate, frames);
        let probe = video::probe(&path).expect("the clip is a video");
        assert_eq!(probe.frames(), frames);
        let mut elapsed_secs = vec![Vec::new(); CONTENDERS.len()];
        for round in 0..=ROUNDS {
            for turn in 0..CONTENDERS.len() {
                let index = (turn + round) % CONTENDERS.len();
                let began = Instant::now();
                CONTENDERS[index].run(&path, &probe, &folder);
                // the first round only warms up caches
                elapsed_secs[index].extend((round > 0).then(|| began.elapsed().as_secs_f64()));
            }
        }
        for (contender, secs) in CONTENDERS.iter().zip(&elapsed_secs) {
            let ratios: Vec<f64> =
                elapsed_secs[0].iter().zip(secs).map(|(baseline, secs)| baseline / secs).collect();
            let (min, median, max) = min_median_max(&ratios);
            let frames_per_sec = frames as f64 / min_median_max(secs).1;
            let range = format!("{min:.2} to {max:.2}");
            println!("{name:6} {:32} {frames_per_sec:>10.1} {median:>8.3} {range:>15}", contender.name());
        }
    }
}

impl Contender {
    fn name(&self) -> String {
        match self {
            Contender::Ffmpeg(name, _) => (*name).to_string(),
            Contender::Read { mode, overlap, probing } => {
                let overlap = if *overlap { "" } else { ", no overlap" };
                format!("{mode}{overlap}{}", if *probing { ", with probing" } else { "" })
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
                let mut source = video::open_probed(probe, &settings, scratch, None).expect("the clip opens");
                let mut read = 0;
                while let Some(frame) = source.next_frame().expect("the clip decodes") {
                    std::hint::black_box(frame.rgb());
                    read += 1;
                }
                assert_eq!(read, source.frame_count());
            }
        }
    }
}

/// The path of a clip, which is generated if it does not exist yet.
fn clip(folder: &Path, size: &str, bit_rate: &str, frames: usize) -> PathBuf {
    let path = folder.join(format!("video-{size}-{frames}.mp4"));
    if !path.exists() {
        let source = format!(
            "mandelbrot=size={size}:rate=30:start_scale=1.5:end_scale=0.001:end_pts=900,noise=alls=12:allf=t"
        );
        let partial = path.with_extension("part.mp4");
        let (frames, output) = (frames.to_string(), partial.to_string_lossy());
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
            &output,
        ]);
        std::fs::rename(&partial, &path).expect("the clip can be renamed");
    }
    path
}

fn ffmpeg(arguments: &[&str]) {
    let status =
        Command::new("ffmpeg").args(["-nostdin", "-loglevel", "error", "-y"]).args(arguments).status();
    assert!(status.expect("benches need ffmpeg on the PATH").success(), "ffmpeg {arguments:?} failed");
}

/// Minimum, median and maximum.
fn min_median_max(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    (sorted[0], sorted[sorted.len() / 2], sorted[sorted.len() - 1])
}
