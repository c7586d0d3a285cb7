//! A backend whose jobs are shell scripts that obey their settings.

use axum::http::StatusCode;
use posebook_serve::Backend;
use posebook_serve::backend::{
    DeviceInfo, ExperimentInfo, MemorySample, PeopleFilter, PeopleFormat, Prediction, StageTime, Timeline,
    TrackRow, needs_source,
};
use posebook_serve::job::{JOB_FILE, JobFile, JobRequest};
use posebook_serve::problem::Problem;
use serde_json::{Map, Value, json};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// First line of the people table.
pub const PEOPLE_HEADER: &str = "frame,track,x,y,width,height,observed";

/// Settings of a simulated job, and their defaults.
///
/// - `frames`: number of frames; `frame_seconds`: time of each.
/// - `fail`: kind of failure, such as `out_of_memory`; `exit`: ends with this code and without an outcome; `crash`: is killed by
///   `crash_signal` after the second frame.
/// - `ignore_term`: ignores SIGTERM; `grandchild`: leaves a process in a session of its own that ignores SIGTERM;
///   `inspect`: writes its rights and open files to its log.
/// - `pause_seconds`: waits before the first frame; `flood_seconds`: writes to standard error as fast as it can.
/// - `bytes`: size of `overlay.mp4`; `predicted_bytes`: the prediction of the disk space.
const SETTINGS: [(&str, &str); 13] = [
    ("frames", "5"),
    ("frame_seconds", "0"),
    ("fail", ""),
    ("exit", "0"),
    ("crash", "false"),
    ("crash_signal", "SEGV"),
    ("ignore_term", "false"),
    ("grandchild", "false"),
    ("inspect", "false"),
    ("pause_seconds", "0"),
    ("flood_seconds", "0"),
    ("bytes", "4096"),
    ("predicted_bytes", "65536"),
];

/// The backend. A source is a video unless it is empty or begins with `not a video`.
#[derive(Debug, Clone)]
pub struct FakeBackend {
    /// The devices of the machine.
    pub devices: Vec<DeviceInfo>,
}

impl Default for FakeBackend {
    fn default() -> FakeBackend {
        FakeBackend { devices: vec![FakeBackend::device("cpu", None), FakeBackend::device("cuda:0", None)] }
    }
}

impl FakeBackend {
    /// A device with this UUID.
    pub fn device(name: &str, uuid: Option<&str>) -> DeviceInfo {
        DeviceInfo {
            name: name.into(),
            model: format!("simulated {name}"),
            uuid: uuid.map(str::to_owned),
            memory_bytes: Some(8 << 30),
        }
    }
}

/// A row of the people table.
#[derive(Debug, Clone, Copy)]
struct Row {
    frame: u64,
    track: u64,
    bbox: [u64; 4],
    observed: bool,
}

impl Row {
    fn json(&self) -> Value {
        json!({ "frame": self.frame, "track": self.track, "box": self.bbox, "observed": self.observed })
    }

    fn csv(&self) -> String {
        let [x, y, width, height] = self.bbox;
        format!("{},{},{x},{y},{width},{height},{}\n", self.frame, self.track, u8::from(self.observed))
    }
}

fn numbers(path: &Path) -> io::Result<Vec<Vec<u64>>> {
    let text = std::fs::read_to_string(path)?;
    let invalid = |_| io::Error::new(io::ErrorKind::InvalidData, format!("{}: not a number", path.display()));
    let line = |line: &str| line.split(',').map(|cell| cell.parse().map_err(invalid)).collect();
    text.lines().skip(1).map(line).collect()
}

fn rows(results: &Path) -> io::Result<Vec<Row>> {
    let rows = numbers(&results.join("people.csv"))?.into_iter().filter(|cells| cells.len() == 7);
    let row = |cells: Vec<u64>| Row {
        frame: cells[0],
        track: cells[1],
        bbox: [cells[2], cells[3], cells[4], cells[5]],
        observed: cells[6] == 1,
    };
    Ok(rows.map(row).collect())
}

/// Ranges of consecutive frames.
fn ranges(frames: impl Iterator<Item = u64>) -> Vec<(u64, u64)> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for frame in frames {
        match ranges.last_mut() {
            Some((_, end)) if *end == frame => *end += 1,
            _ => ranges.push((frame, frame + 1)),
        }
    }
    ranges
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn setting(settings: &Map<String, Value>, name: &str) -> String {
    let default = SETTINGS.iter().find(|(known, _)| *known == name).map_or("", |(_, default)| default);
    settings.get(name).map_or_else(|| default.to_owned(), text)
}

impl Backend for FakeBackend {
    fn version(&self) -> String {
        "0.0.0 (simulated)".into()
    }

    fn job_command(&self, folder: &Path) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", include_str!("script.sh"), "job"]).arg(folder);
        let job = std::fs::read(folder.join(JOB_FILE)).expect("job.json");
        let job: JobFile = serde_json::from_slice(&job).expect("job.json");
        for (name, _) in SETTINGS {
            command.env(name.to_uppercase(), setting(&job.settings, name));
        }
        let first = job.sources.first().filter(|source| source.is_file());
        command.env("SOURCE", first.map(|path| path.as_os_str().to_owned()).unwrap_or_default());
        command
    }

    fn check(&self, request: &JobRequest) -> Result<(), Problem> {
        let unprocessable = |name: &str, detail: String, pointer: String| {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, name, detail).at(pointer)
        };
        for (key, value) in &request.settings {
            let pointer = format!("/settings/{key}");
            let Some((_, default)) = SETTINGS.iter().find(|(known, _)| known == key) else {
                let names = SETTINGS.iter().map(|(name, _)| *name);
                let nearest = names.max_by(|a, b| strsim::jaro(a, key).total_cmp(&strsim::jaro(b, key)));
                let nearest = nearest.unwrap_or_default();
                let detail = format!("{key}: no such setting; did you mean {nearest}?");
                return Err(unprocessable("unknown-setting", detail, pointer));
            };
            let is_valid = match *default {
                "true" | "false" => value.is_boolean(),
                default if default.parse::<u64>().is_ok() => {
                    value.as_f64().is_some_and(|number| number >= 0.0)
                }
                _ => value.is_string(),
            };
            if !is_valid {
                return Err(unprocessable("bad-setting", format!("{key}: {value} is not valid"), pointer));
            }
        }
        match &request.experiment {
            Some(name) if name == "panics" => panic!("the simulated panic"),
            Some(name) if name != "simulated" => {
                let detail = format!("there is no experiment `{name}`; there is `simulated`");
                Err(unprocessable("bad-setting", detail, "/experiment".into()))
            }
            _ if needs_source(request.kind) && request.source.is_empty() => {
                Err(unprocessable("malformed", "name a source".into(), "/source".into()))
            }
            _ => Ok(()),
        }
    }

    fn predict(&self, request: &JobRequest, sources: &[PathBuf]) -> Result<Prediction, Problem> {
        for path in sources {
            let bytes = if path.is_dir() { Ok(b"images".to_vec()) } else { std::fs::read(path) };
            let is_video =
                bytes.as_ref().is_ok_and(|bytes| !bytes.is_empty() && !bytes.starts_with(b"not a video"));
            if !is_video {
                let detail = "the source is not a video".to_owned();
                return Err(
                    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "not-a-video", detail).at("/source")
                );
            }
        }
        let number = |name| setting(&request.settings, name).parse::<u64>().unwrap_or(0);
        Ok(Prediction {
            disk_bytes: number("bytes").max(number("predicted_bytes")),
            frames: Some(number("frames")),
            width: Some(100),
            height: Some(100),
            seconds: Some(number("frames") as f64 / 25.0),
        })
    }

    fn devices(&self) -> Vec<DeviceInfo> {
        self.devices.clone()
    }

    fn experiments(&self) -> Vec<ExperimentInfo> {
        vec![ExperimentInfo { name: "simulated".into(), question: "Does the queue work?".into() }]
    }

    fn settings_toml(&self, request: &JobRequest) -> Result<String, Problem> {
        self.check(request)?;
        let line =
            |(name, _): &(&str, &str)| format!("{name} = {}\n", json!(setting(&request.settings, name)));
        Ok(SETTINGS.iter().map(line).collect())
    }

    fn write_people(
        &self,
        results: &Path,
        filter: &PeopleFilter,
        format: PeopleFormat,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let is_chosen = |row: &Row| {
            filter.frame.is_none_or(|frame| row.frame == frame)
                && filter.track.is_none_or(|track| row.track == track)
                && filter.from.is_none_or(|from| row.frame >= from)
                && filter.to.is_none_or(|to| row.frame < to)
        };
        let rows: Vec<Row> = rows(results)?.into_iter().filter(is_chosen).collect();
        match format {
            PeopleFormat::Json => {
                serde_json::to_writer(out, &rows.iter().map(Row::json).collect::<Vec<_>>())?
            }
            PeopleFormat::Ndjson => {
                for row in &rows {
                    writeln!(out, "{}", row.json())?;
                }
            }
            PeopleFormat::Csv => {
                writeln!(out, "{PEOPLE_HEADER}")?;
                for row in &rows {
                    out.write_all(row.csv().as_bytes())?;
                }
            }
            // the first and last bytes of a Parquet file, with CSV between them
            PeopleFormat::Parquet => {
                out.write_all(b"PAR1")?;
                for row in &rows {
                    out.write_all(row.csv().as_bytes())?;
                }
                out.write_all(b"PAR1")?;
            }
        }
        Ok(())
    }

    fn timeline(&self, results: &Path) -> io::Result<Timeline> {
        let rows = rows(results)?;
        let track = |id: u64, color: &str| {
            let frames = |observed| {
                let of_track = rows.iter().filter(move |row| row.track == id && row.observed == observed);
                ranges(of_track.map(|row| row.frame))
            };
            TrackRow { id, color: color.into(), observed: frames(true), predicted: frames(false) }
        };
        let frames = rows.iter().map(|row| row.frame + 1).max().unwrap_or(0);
        Ok(Timeline {
            fps: 25.0,
            frames,
            first_frame: 0,
            every: 1,
            cuts: vec![],
            tracks: vec![track(1, "#e6194b"), track(2, "#3cb44b")],
        })
    }

    fn memory(&self, results: &Path) -> io::Result<Vec<MemorySample>> {
        let samples = numbers(&results.join("memory.csv"))?.into_iter().filter(|cells| cells.len() == 2);
        let sample = |cells: Vec<u64>| MemorySample {
            seconds: cells[0] as f64,
            process_bytes: Some(cells[1]),
            ..MemorySample::default()
        };
        Ok(samples.map(sample).collect())
    }

    fn stages(&self, results: &Path) -> io::Result<Vec<StageTime>> {
        let frames = self.timeline(results)?.frames;
        Ok(vec![StageTime {
            stage: "run".into(),
            busy_seconds: frames as f64 / 25.0,
            waiting_seconds: Some(0.5),
            waits_for: Some("decode".into()),
            units: Some(frames),
        }])
    }

    fn frames_json(&self, results: &Path) -> io::Result<Value> {
        let rows = rows(results)?;
        let frames = rows.iter().map(|row| row.frame + 1).max().unwrap_or(0);
        let people = |frame| rows.iter().filter(|row| row.frame == frame).map(Row::json).collect::<Vec<_>>();
        let frame = |frame| json!({ "frame": frame, "people": people(frame) });
        Ok(json!({ "frames": (0..frames).map(frame).collect::<Vec<_>>() }))
    }
}
