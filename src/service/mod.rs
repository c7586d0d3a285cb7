//! The [`Backend`] of `posebook serve`: what [`posebook_serve`] needs of this program.
//!
//! In: requests for jobs, and folders of results. Out: problems with requests, the command of a job's process, tables of results
//! as JSON, CSV and Parquet. A job's process is `posebook job FOLDER`, [`job::run`]: it makes the same run as `posebook track`,
//! `posebook reconstruct` or `posebook experiment run`, by the same worker process.
//!
//! | module | in | out |
//! |---|---|---|
//! | `settings` | settings as JSON | the request of the command line, or the key that is wrong |
//! | `predict` | a request and its files | frames, size and disk use |
//! | [`job`] | a job's folder | results, progress on standard output, the outcome |
//! | `people` | the table of people | rows by frame and track in four formats |
//! | `timeline` | tables of a run | tracks, memory and stages over time |
//! | `frames` | tables of a run | people frame by frame as one JSON value |

mod frames;
pub mod job;
mod people;
mod predict;
mod settings;
mod timeline;

use crate::runner::Project;
use posebook_core::provenance::{Machine, SourceVersion};
use posebook_models::device;
use posebook_serve::Backend;
use posebook_serve::backend::{
    DeviceInfo, ExperimentInfo, MemorySample, PeopleFilter, PeopleFormat, Prediction, StageTime, Timeline,
};
use posebook_serve::job::JobRequest;
use posebook_serve::problem::Problem;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A project and this program, as the service's backend.
pub struct ProjectBackend {
    project: Project,
    program: PathBuf,
    version: String,
}

impl ProjectBackend {
    /// The backend of `project`, whose jobs are processes of the running executable.
    ///
    /// # Errors
    /// If the system does not report the executable's path.
    pub fn new(project: Project) -> io::Result<ProjectBackend> {
        let program = std::env::current_exe()?;
        let source = SourceVersion::from_checkout(&project.root);
        let commit = source.git_hash.map(|hash| format!(" ({})", &hash[..hash.len().min(8)]));
        let version = format!("{}{}", env!("CARGO_PKG_VERSION"), commit.unwrap_or_default());
        Ok(ProjectBackend { project, program, version })
    }
}

impl Backend for ProjectBackend {
    fn version(&self) -> String {
        self.version.clone()
    }

    fn job_command(&self, folder: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("job").arg(folder).arg("--project").arg(&self.project.root);
        command
    }

    fn check(&self, request: &JobRequest) -> Result<(), Problem> {
        settings::check(&self.project, request)
    }

    fn predict(&self, request: &JobRequest, sources: &[PathBuf]) -> Result<Prediction, Problem> {
        predict::predict(&self.project, &self.program, request, sources)
    }

    fn devices(&self) -> Vec<DeviceInfo> {
        devices()
    }

    fn experiments(&self) -> Vec<ExperimentInfo> {
        self.project.experiments().unwrap_or_default().iter().filter_map(|path| experiment(path)).collect()
    }

    fn settings_toml(&self, request: &JobRequest) -> Result<String, Problem> {
        settings::toml(&self.project, request)
    }

    fn write_people(
        &self,
        results: &Path,
        filter: &PeopleFilter,
        format: PeopleFormat,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        people::write(results, filter, format, out)
    }

    fn timeline(&self, results: &Path) -> io::Result<Timeline> {
        timeline::tracks(results)
    }

    fn memory(&self, results: &Path) -> io::Result<Vec<MemorySample>> {
        timeline::memory(results)
    }

    fn stages(&self, results: &Path) -> io::Result<Vec<StageTime>> {
        timeline::stages(results)
    }

    fn frames_json(&self, results: &Path) -> io::Result<serde_json::Value> {
        frames::json(results)
    }
}

/// Name and question of the experiment in a file, without checking the rest of it.
fn experiment(path: &Path) -> Option<ExperimentInfo> {
    let table: toml::Table = std::fs::read_to_string(path).ok()?.parse().ok()?;
    let name = path.file_stem()?.to_str()?.to_string();
    Some(ExperimentInfo { name, question: table.get("question")?.as_str()?.to_string() })
}

/// The processor, and the GPUs that this build can use.
pub fn devices() -> Vec<DeviceInfo> {
    let machine = Machine::current();
    let cpu = DeviceInfo {
        name: "cpu".into(),
        model: machine.cpu.unwrap_or_default(),
        uuid: None,
        memory_bytes: machine.memory_bytes,
    };
    let gpus = device::list_gpus().unwrap_or_default().into_iter().flatten();
    let gpu = |gpu: device::Gpu| DeviceInfo {
        name: format!("cuda:{}", gpu.index),
        model: gpu.name,
        uuid: Some(gpu.uuid),
        memory_bytes: Some(gpu.total_bytes),
    };
    std::iter::once(cpu).chain(gpus.map(gpu)).collect()
}

/// An error of a table as one of the operating system.
fn table_error(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::other(error)
}
