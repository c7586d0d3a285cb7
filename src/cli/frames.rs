//! `posebook frames`: lists the frames of a video that a run would read.

use crate::experiment::Override;
use crate::runner::interrupt;
use anyhow::{Context, Result, bail};
use candle_core::Device;
use posebook_core::provenance::sha256_of_bytes;
use posebook_core::scratch;
use posebook_core::toml_error::explain_toml_error;
use posebook_models::device::uploader;
use posebook_video as video;
use posebook_video::{FrameSource, Probe, Settings};
use std::io::Write;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

#[derive(clap::Args)]
pub struct Args {
    /// The video: a file, or a folder of images
    source: PathBuf,
    /// Settings of the video: video.mode=extract-png, video.start_frame=10, video.end_time=2.5, ...; fps=30 for
    /// a folder of images
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Decode every frame in the chosen mode and print the SHA-256 of its RGB bytes
    #[arg(long)]
    sha256: bool,
    /// Print one JSON object with the video's properties and a list of frames
    #[arg(long)]
    json: bool,
}

/// One printed frame.
#[derive(serde::Serialize)]
struct FrameLine {
    index: usize,
    time_secs: f64,
    key: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

pub fn run(args: Args) -> Result<()> {
    let (settings, fps) = settings(&args.overrides)?;
    let probe = video::probe_with_fps(&args.source, fps)?;
    for note in &probe.notes {
        eprintln!("note: {note}");
    }
    let probe = probe.looped(settings.loops());
    let selection = video::select_frames(&settings, &probe)?;
    let mut hasher = if args.sha256 { Some(FrameHasher::open(&probe, &settings)?) } else { None };
    let mut printer = Printer::begin(args.json, args.sha256, &probe, &settings, &selection.range)?;
    for index in selection.frame_indices() {
        let sha256 = hasher.as_mut().map(|hasher| hasher.next(index)).transpose()?;
        printer.frame(&FrameLine {
            index,
            time_secs: probe.time_secs(index),
            key: probe.is_key(index),
            sha256,
        })?;
    }
    printer.end()
}

/// Parses the settings of the video and the frame rate of a folder of images. Other settings are refused, because they have
/// no effect here.
fn settings(overrides: &[String]) -> Result<(Settings, Option<f64>)> {
    let mut table = toml::Table::new();
    let mut fps = None;
    for given in Override::parse_all(overrides)? {
        if let Some(note) = &given.translation {
            eprintln!("note: {note}");
        }
        if matches!(given.key.as_str(), "fps" | "video.fps") {
            let number = given.value.as_float().or(given.value.as_integer().map(|whole| whole as f64));
            fps = Some(
                number.with_context(|| format!("fps={}: give a number of frames per second", given.value))?,
            );
            continue;
        }
        let Some(key) = given.key.strip_prefix("video.") else {
            bail!("`{}` has no effect on frames; settings here start with `video.`", given.key);
        };
        table.insert(key.to_string(), given.value);
    }
    let read = toml::Value::Table(table).try_into();
    let settings: Settings = read
        .map_err(|error| anyhow::anyhow!("in the settings of the video: {}", explain_toml_error(&error)))?;
    Ok((settings.with_defaults()?, fps))
}

/// Decodes frames in the chosen mode and hashes them.
struct FrameHasher {
    source: FrameSource,
    // dropped after the source, whose files are in it
    _scratch: ScratchFolder,
}

/// Prefix of the names of folders for extracted frames in the folder for temporary files.
const SCRATCH_PREFIX: &str = "posebook-frames";
/// Maximum number of attempts to remove the folder after Ctrl-C. The next call removes what remains.
const REMOVE_ATTEMPTS: usize = 100;

/// A folder for extracted frames, removed on drop.
struct ScratchFolder(PathBuf);

impl ScratchFolder {
    /// Creates a folder for this process, and removes those of killed processes. Ctrl-C removes the folder.
    fn create() -> Result<ScratchFolder> {
        let parent = std::env::temp_dir();
        scratch::remove_abandoned(&parent, |stem| stem == SCRATCH_PREFIX);
        let folder = parent.join(scratch::temporary_name(SCRATCH_PREFIX));
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let scratch = ScratchFolder(folder.clone());
        let end = move || {
            interrupt::flag().store(true, Ordering::SeqCst);
            // a frame may be written while the folder is being removed
            for _ in 0..REMOVE_ATTEMPTS {
                if std::fs::remove_dir_all(&folder).is_ok() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            std::process::exit(130);
        };
        interrupt::exit_with(end).context("cannot install a handler for Ctrl-C")?;
        Ok(scratch)
    }
}

impl Drop for ScratchFolder {
    fn drop(&mut self) {
        // what cannot be removed remains in the folder for temporary files
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl FrameHasher {
    fn open(probe: &Probe, settings: &Settings) -> Result<FrameHasher> {
        let scratch = ScratchFolder::create()?;
        let source = video::open_probed(probe.clone(), settings, &scratch.0, Some(uploader(&Device::Cpu)))?;
        Ok(FrameHasher { source, _scratch: scratch })
    }

    fn next(&mut self, index: usize) -> Result<String> {
        let read = self.source.next_frame();
        if read.is_err() && interrupt::flag().load(Ordering::SeqCst) {
            // the signal's handler removes the files that were being written, then ends the process
            loop {
                std::thread::park();
            }
        }
        let frame = read?.with_context(|| format!("the video ended before frame {index}"))?;
        let frame = frame.to_host().with_context(|| format!("cannot copy frame {index} to the host"))?;
        Ok(sha256_of_bytes(frame.rgb()))
    }
}

/// Prints frames one by one, so that the first frame of a long video appears at once.
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
            let properties = serde_json::json!({
                "source": probe.path, "container": probe.container, "codec": probe.codec,
                "width": probe.width, "height": probe.height, "fps": probe.fps,
                "fps_is_mean": probe.rate().is_mean,
                "duration_secs": probe.duration_secs, "total_frames": probe.frames(), "mode": mode.name(),
                "start_frame": range.start, "end_frame": range.end,
            });
            let properties = properties.to_string();
            writeln!(out, "{},\"frames\":[", properties.strip_suffix('}').unwrap_or(&properties))?;
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

    fn frame(&mut self, line: &FrameLine) -> Result<()> {
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
