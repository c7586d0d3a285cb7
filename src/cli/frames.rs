//! `posebook frames`: the frames of a video as a run would read them.

use crate::experiment::{Override, explain};
use crate::provenance::sha256_of_bytes;
use crate::runner::interrupt;
use crate::scratch;
use crate::video::{self, FrameSource, Probe, Settings};
use anyhow::{Context, Result, bail};
use candle_core::Device;
use std::io::Write;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

#[derive(clap::Args)]
pub struct Args {
    /// The video: a file, or a folder of pictures
    source: PathBuf,
    /// Settings of the video room: video.mode=extract-png, video.start_frame=10, video.end_time=2.5, ...; fps=30 for
    /// a folder of pictures
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Decode every frame in the chosen mode and print the SHA-256 of its RGB bytes
    #[arg(long)]
    sha256: bool,
    /// Print one JSON object with the video's facts and a list of frames
    #[arg(long)]
    json: bool,
}

/// One frame, as printed.
#[derive(serde::Serialize)]
struct Line {
    index: usize,
    time_secs: f64,
    key: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

pub fn run(args: Args) -> Result<()> {
    let (settings, fps) = settings(&args.overrides)?;
    let probe = video::probe_at(&args.source, fps)?;
    for note in &probe.notes {
        eprintln!("note: {note}");
    }
    let probe = probe.looped(settings.loops());
    let selection = video::selected(&settings, &probe)?;
    let mut hashes = if args.sha256 { Some(Hashes::open(&probe, &settings)?) } else { None };
    let mut printer = Printer::begin(args.json, args.sha256, &probe, &settings, &selection.range)?;
    for index in selection.numbers() {
        let sha256 = hashes.as_mut().map(|hashes| hashes.next(index)).transpose()?;
        printer.frame(&Line {
            index,
            time_secs: probe.time_secs(index),
            key: probe.is_key(index),
            sha256,
        })?;
    }
    printer.end()
}

/// The video's part of the settings, and the rate of a folder of pictures; anything else is refused, since it would
/// change nothing here.
fn settings(overrides: &[String]) -> Result<(Settings, Option<f64>)> {
    let mut table = toml::Table::new();
    let mut fps = None;
    for given in Override::parse_all(overrides)? {
        if let Some(became) = &given.became {
            eprintln!("note: {became}");
        }
        if matches!(given.key.as_str(), "fps" | "video.fps") {
            let number = given.value.as_float().or(given.value.as_integer().map(|whole| whole as f64));
            fps = Some(
                number.with_context(|| format!("fps={}: give a number of frames a second", given.value))?,
            );
            continue;
        }
        let Some(key) = given.key.strip_prefix("video.") else {
            bail!("`{}` does not concern the frames; settings here start with `video.`", given.key);
        };
        table.insert(key.to_string(), given.value);
    }
    let read = toml::Value::Table(table).try_into();
    let settings: Settings =
        read.map_err(|error| anyhow::anyhow!("in the settings of the video: {}", explain(&error)))?;
    Ok((settings.spelled_out()?, fps))
}

/// Decodes frame after frame in the chosen mode.
struct Hashes {
    source: Box<dyn FrameSource + Send>,
    // dropped after the source, whose files lie in it
    _scratch: Scratch,
}

/// What names of folders for extracted frames begin with, in the folder for temporary files.
const SCRATCH: &str = "posebook-frames";
/// How often the folder is tried to be removed after Ctrl-C; the next call removes what is left even so.
const REMOVALS: usize = 100;

/// A folder for extracted frames, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    /// A folder of this process alone; those of processes that were killed are swept away. Ctrl-C removes it.
    fn create() -> Result<Scratch> {
        let place = std::env::temp_dir();
        scratch::sweep(&place, |stem| stem == SCRATCH);
        let folder = place.join(scratch::name(SCRATCH));
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let scratch = Scratch(folder.clone());
        let end = move || {
            // a frame may be written while the folder is being removed, which then is not empty
            for _ in 0..REMOVALS {
                if std::fs::remove_dir_all(&folder).is_ok() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            std::process::exit(130);
        };
        interrupt::end_with(end).context("Ctrl-C cannot be listened to")?;
        Ok(scratch)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // what cannot be removed lies in the system's own folder for such things
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Hashes {
    fn open(probe: &Probe, settings: &Settings) -> Result<Hashes> {
        let scratch = Scratch::create()?;
        let source = video::open_probed(probe.clone(), settings, &scratch.0, &Device::Cpu)?;
        Ok(Hashes { source, _scratch: scratch })
    }

    fn next(&mut self, index: usize) -> Result<String> {
        let frame =
            self.source.next_frame()?.with_context(|| format!("the video ended before frame {index}"))?;
        let frame = frame.brought_to_host().with_context(|| format!("frame {index} stays on its device"))?;
        Ok(sha256_of_bytes(frame.rgb()))
    }
}

/// Writes lines as they come, so that a long video shows its first frame at once.
struct Printer {
    out: std::io::StdoutLock<'static>,
    json: bool,
    first: bool,
}

impl Printer {
    fn begin(
        json: bool,
        hashed: bool,
        probe: &Probe,
        settings: &Settings,
        range: &Range<usize>,
    ) -> Result<Printer> {
        let mut out = std::io::stdout().lock();
        let mode = settings.mode()?;
        if json {
            let facts = serde_json::json!({
                "source": probe.path, "container": probe.container, "codec": probe.codec,
                "width": probe.width, "height": probe.height, "fps": probe.fps,
                "fps_is_mean": probe.rate().is_mean,
                "duration_secs": probe.duration_secs, "total_frames": probe.frames(), "mode": mode.name(),
                "start_frame": range.start, "end_frame": range.end,
            });
            let facts = facts.to_string();
            writeln!(out, "{},\"frames\":[", facts.strip_suffix('}').unwrap_or(&facts))?;
        } else {
            writeln!(
                out,
                "# {}: {} in {}, {} x {}, {}, frames {}..{} of {}, {mode}",
                probe.path.display(),
                probe.codec,
                probe.container,
                probe.width,
                probe.height,
                probe.rate(),
                range.start,
                range.end,
                probe.frames(),
            )?;
            writeln!(out, "{:>7} {:>12} key{}", "index", "time_secs", if hashed { "  sha256" } else { "" })?;
        }
        Ok(Printer { out, json, first: true })
    }

    fn frame(&mut self, line: &Line) -> Result<()> {
        if self.json {
            let comma = if self.first { "" } else { ",\n" };
            write!(self.out, "{comma}{}", serde_json::to_string(line)?)?;
        } else {
            let key = if line.key { "key" } else { "  ." };
            let hash = line.sha256.as_ref().map(|hash| format!("  {hash}")).unwrap_or_default();
            writeln!(self.out, "{:>7} {:>12.6} {key}{hash}", line.index, line.time_secs)?;
        }
        self.first = false;
        Ok(())
    }

    fn end(mut self) -> Result<()> {
        if self.json {
            writeln!(self.out, "\n]}}")?;
        }
        Ok(())
    }
}
