//! Summarizes the table `runs` for a report: number of runs, failures and provenance.
//!
//! Does not depend on the output format.

use super::ReportError;
use crate::format;
use crate::tables::{Grid, ReportTables, Value};

/// Summary of all runs of a report.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RunSummary {
    /// Number of runs.
    pub runs: usize,
    /// Number of runs with outcome `ok`.
    pub ok: usize,
    /// The other runs, grouped.
    pub failures: Vec<Failure>,
    /// Sum of the runs' wall times in seconds; `None` if no run has one.
    pub wall_secs: Option<f64>,
    /// Start of the first run, UTC.
    pub started_utc: Option<String>,
    /// Clips whose decoded frames differ from the recorded ones.
    pub clips_not_as_recorded: Vec<String>,
    /// The commits of the runs, that of the newest run first. Reused runs may be of earlier commits.
    pub commits: Vec<Commit>,
    /// Whether any run used a GPU.
    pub has_gpu: bool,
    /// Whether any run used the published HMR2 network.
    pub has_hmr2: bool,
    /// Whether any run used a published detector with imported weights.
    pub has_detectors: bool,
    /// Names of provenance entries with their values.
    pub provenance: Vec<(String, Vec<String>)>,
}

/// A commit with which runs were made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The full hash.
    pub hash: String,
    /// Whether tracked files differed from the commit in any of the runs.
    pub is_dirty: bool,
}

impl Commit {
    /// `4f7b03f`, or `4f7b03f with changes`.
    fn short(&self) -> String {
        let short = self.hash.get(..7).unwrap_or(&self.hash);
        if self.is_dirty { format!("{short} with changes") } else { short.to_string() }
    }
}

/// Failed runs with the same description, outcome and error.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Failure {
    /// Mode, clip, size and length, as far as they are known.
    pub description: String,
    /// The outcome, with blanks for underscores.
    pub outcome: String,
    /// The error message.
    pub error: String,
    /// Number of such runs.
    pub count: usize,
}

/// The detectors whose published weights have to be imported.
const PUBLISHED_DETECTORS: [&str; 3] = ["vitdet", "regnety", "x101"];

const SQL: &str = "select run_id, experiment, mode, outcome, error, dataset, clip, clip_sha256, clip_decoded_sha256, clip_as_recorded, width, height, \
    frames, frames_done, model, weights_sha256, body_sha256, detector, detector_sha256, precision, device, seed, git_hash, git_dirty, \
    program_sha256, cpu, cores, machine_memory_bytes, os, ffmpeg, gpu, driver, started_utc, wall_secs from runs";

impl RunSummary {
    /// Summarizes the table `runs`.
    ///
    /// # Errors
    /// If the table is missing or damaged.
    pub fn from_tables(tables: &ReportTables) -> Result<RunSummary, ReportError> {
        let grid = tables.query(SQL)?.sorted();
        let runs = RunTable(&grid);
        let ok = runs.texts("outcome").iter().filter(|outcome| outcome.as_deref() == Some("ok")).count();
        let wall_secs: Vec<f64> = runs.values("wall_secs").iter().filter_map(Value::number).collect();
        Ok(RunSummary {
            runs: grid.rows.len(),
            ok,
            failures: runs.failures(),
            wall_secs: (!wall_secs.is_empty()).then(|| wall_secs.iter().sum()),
            started_utc: runs.texts("started_utc").into_iter().flatten().min(),
            clips_not_as_recorded: runs.clips_not_as_recorded(),
            commits: runs.commits(),
            has_gpu: !runs.distinct("gpu").is_empty(),
            has_hmr2: runs.distinct("model").iter().any(|model| model == "hmr2"),
            has_detectors: runs.has_detectors(),
            provenance: runs.provenance(),
        })
    }

    /// A warning if decoded frames differ from the recorded ones.
    pub fn warning(&self) -> Option<String> {
        let clips = &self.clips_not_as_recorded;
        (!clips.is_empty()).then(|| {
            format!(
                "The decoded frames of {} differ from the recorded ones (datasets/drawn.lock, or the dataset's \
                 `decoded_sha256`): numbers can differ from those of other machines. The likely cause is another \
                 version of ffmpeg or its encoder.",
                clips.join(", ")
            )
        })
    }

    /// The commits as text: `commit 4f7b03f`, `commits 4f7b03f and a6da6a2`; `None` if there are none.
    pub fn commits_text(&self) -> Option<String> {
        let all: Vec<String> = self.commits.iter().map(Commit::short).collect();
        match all.as_slice() {
            [] => None,
            [one] => Some(format!("commit {one}")),
            [others @ .., last] => Some(format!("commits {} and {last}", others.join(", "))),
        }
    }

    /// Replaces `{runs}` and `{secs}` in `text` by the number of runs and their total time.
    pub fn fill_placeholders(&self, text: &str) -> String {
        let secs = self.wall_secs.map_or_else(|| "an unknown time".to_string(), format::seconds);
        text.replace("{runs}", &format::decimals(self.runs as f64, 0)).replace("{secs}", &secs)
    }
}

/// Column access to the rows of `runs`.
struct RunTable<'a>(&'a Grid);

impl RunTable<'_> {
    fn values(&self, column: &str) -> Vec<Value> {
        let Some(index) = self.0.position(column) else { return Vec::new() };
        self.0.rows.iter().map(|row| row[index].clone()).collect()
    }

    fn texts(&self, column: &str) -> Vec<Option<String>> {
        self.values(column).iter().map(Value::name).collect()
    }

    /// Whether a published detector ran with weights that are not filled by a formula.
    fn has_detectors(&self) -> bool {
        let weights = self.texts("detector").into_iter().zip(self.texts("detector_sha256"));
        weights.zip(self.texts("outcome")).any(|((detector, weights), outcome)| {
            detector.is_some_and(|name| PUBLISHED_DETECTORS.contains(&name.as_str()))
                && weights.is_some_and(|weights| !weights.starts_with("formula"))
                && outcome.as_deref() == Some("ok")
        })
    }

    /// The distinct values of a column, sorted.
    fn distinct(&self, column: &str) -> Vec<String> {
        let mut texts: Vec<String> =
            self.texts(column).into_iter().flatten().filter(|text| !text.is_empty()).collect();
        texts.sort();
        texts.dedup();
        texts
    }

    /// The distinct pairs of the values of two columns, sorted, joined by `join`.
    fn pairs(&self, columns: [&str; 2], join: fn(&str, &str) -> String) -> Vec<String> {
        let [first, second] = columns.map(|column| self.texts(column));
        let mut pairs: Vec<String> = first
            .into_iter()
            .zip(second)
            .filter_map(|(a, b)| {
                Some(join(&a.filter(|a| !a.is_empty())?, &b.unwrap_or_else(|| "unknown".into())))
            })
            .collect();
        pairs.sort();
        pairs.dedup();
        pairs
    }

    fn clips_not_as_recorded(&self) -> Vec<String> {
        let pairs = self.texts("clip").into_iter().zip(self.texts("clip_as_recorded"));
        let mut clips: Vec<String> = pairs
            .filter(|(_, as_recorded)| as_recorded.as_deref() == Some("no"))
            .filter_map(|(clip, _)| clip)
            .collect();
        clips.sort();
        clips.dedup();
        clips
    }

    fn failures(&self) -> Vec<Failure> {
        let columns =
            ["mode", "clip", "width", "height", "frames", "outcome", "error"].map(|name| self.texts(name));
        let mut failures: Vec<Failure> = Vec::new();
        for row in 0..self.0.rows.len() {
            let [mode, clip, width, height, frames, outcome, error] =
                columns.each_ref().map(|column| column[row].clone());
            let outcome = outcome.unwrap_or_else(|| "unknown".to_string());
            if outcome == "ok" {
                continue;
            }
            let size = width
                .zip(height)
                .map(|(width, height)| format!("{}×{}", no_commas(&width), no_commas(&height)));
            let length = frames.map(|frames| format!("{frames} frames"));
            let description: Vec<String> =
                [mode, clip, size, length].into_iter().flatten().filter(|part| !part.is_empty()).collect();
            let failure = Failure {
                description: description.join(", "),
                outcome: outcome.replace('_', " "),
                error: error.unwrap_or_else(|| "no message".to_string()),
                count: 1,
            };
            match failures.iter_mut().find(|known| Failure { count: 1, ..(*known).clone() } == failure) {
                Some(known) => known.count += 1,
                None => failures.push(failure),
            }
        }
        failures.sort();
        failures
    }

    fn provenance(&self) -> Vec<(String, Vec<String>)> {
        let with_hash = |name: &str, hash: &str| match hash {
            "unknown" => name.to_string(),
            hash => format!("{name}, SHA-256 {hash}"),
        };
        let memory: Vec<String> = self
            .values("machine_memory_bytes")
            .iter()
            .filter_map(Value::number)
            .map(format::bytes)
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect();
        let entries = [
            ("Source", self.sources()),
            (
                "Program",
                self.distinct("program_sha256").iter().map(|hash| format!("SHA-256 {hash}")).collect(),
            ),
            ("Model set", self.pairs(["model", "weights_sha256"], with_hash)),
            ("Body", self.bodies()),
            ("Precision", self.distinct("precision")),
            ("Device", self.distinct("device")),
            ("Seed", self.distinct("seed")),
            ("Dataset", self.distinct("dataset")),
            ("Clips", self.pairs(["clip", "clip_sha256"], with_hash)),
            ("Decoded frames", self.decoded_frames()),
            ("Processor", self.pairs(["cpu", "cores"], |cpu, cores| format!("{cpu}, {cores} cores"))),
            ("Memory", memory),
            ("GPU", self.pairs(["gpu", "driver"], |gpu, driver| format!("{gpu}, driver {driver}"))),
            ("System", self.distinct("os")),
            ("Decoder", self.distinct("ffmpeg").iter().map(|line| short_version(line)).collect()),
        ];
        entries
            .into_iter()
            .filter(|(_, values)| !values.is_empty())
            .map(|(name, values)| (name.to_string(), values))
            .collect()
    }

    fn commits(&self) -> Vec<Commit> {
        let columns = ["started_utc", "git_hash", "git_dirty"].map(|name| self.texts(name));
        let mut rows: Vec<[Option<String>; 3]> =
            (0..self.0.rows.len()).map(|row| columns.each_ref().map(|column| column[row].clone())).collect();
        rows.sort_by(|a, b| b[0].cmp(&a[0]));
        let mut commits: Vec<Commit> = Vec::new();
        for [_, hash, dirty] in rows {
            let (Some(hash), is_dirty) =
                (hash.filter(|hash| !hash.is_empty()), dirty.as_deref() == Some("yes"))
            else {
                continue;
            };
            match commits.iter_mut().find(|commit| commit.hash == hash) {
                Some(commit) => commit.is_dirty |= is_dirty,
                None => commits.push(Commit { hash, is_dirty }),
            }
        }
        commits
    }

    fn sources(&self) -> Vec<String> {
        let sources: Vec<String> = self
            .commits()
            .into_iter()
            .map(
                |Commit { hash, is_dirty }| {
                    if is_dirty { format!("{hash}, with changes that are not committed") } else { hash }
                },
            )
            .collect();
        if sources.is_empty() { vec!["unknown: not a git checkout".to_string()] } else { sources }
    }

    /// The clips whose hash of decoded frames is known.
    fn decoded_frames(&self) -> Vec<String> {
        let join = |clip: &str, hash: &str| {
            if hash == "unknown" { String::new() } else { format!("{clip}, SHA-256 {hash}") }
        };
        let mut clips = self.pairs(["clip", "clip_decoded_sha256"], join);
        clips.retain(|clip| !clip.is_empty());
        clips
    }

    fn bodies(&self) -> Vec<String> {
        let hashes = self.distinct("body_sha256");
        if hashes.is_empty() && !self.0.rows.is_empty() {
            return vec!["the built-in body".to_string()];
        }
        hashes.iter().map(|hash| format!("SHA-256 {hash}")).collect()
    }
}

/// A number without thousands separators.
fn no_commas(number: &str) -> String {
    number.replace(',', "")
}

/// The version line of ffmpeg without its copyright notice.
fn short_version(line: &str) -> String {
    line.split(" Copyright").next().unwrap_or(line).to_string()
}
