//! The report of `posebook gpu`: what was measured on one GPU (parity, pipeline, memory, speed), in one folder.
//!
//! In: a [`GpuRequest`]. [`run`](run()) measures the parts one after the other with [`parity`](crate::parity),
//! [`speed`](crate::speed) and experiments of the [`runner`](crate::runner). Out: a [`GpuReport`], written to a folder.
//!
//! `reports/gpu/<gpu>/<date>/` contains `survey.json` (all results), `report.md` and `figures/`;
//! `reports/gpu/README.md` shows the latest. Every section that was not measured says why.

mod page;
mod run;
#[cfg(test)]
mod tests;

pub use run::{GpuEvent, GpuListener, GpuReportError, GpuRequest, Part, run};

use crate::parity::Check;
use crate::speed::SpeedReport;
use posebook_core::files::write_atomically;
use posebook_core::provenance::{Machine, SourceVersion};
use posebook_models::device::Gpu;
use serde::Serialize;
use std::io;
use std::path::Path;

/// Results of one section, or why there are none.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Section<T> {
    /// The results.
    Done(T),
    /// Why it was skipped or failed.
    Missing(String),
}

impl<T> Section<T> {
    /// The results, if there are any.
    pub fn done(&self) -> Option<&T> {
        match self {
            Section::Done(done) => Some(done),
            Section::Missing(_) => None,
        }
    }
}

/// Summary of an experiment's report.
#[derive(Debug, Clone, Serialize)]
pub struct ExperimentSummary {
    /// The experiment's name.
    pub name: String,
    /// The question it answers.
    pub question: String,
    /// Number of runs.
    pub runs: usize,
    /// Number of failed runs.
    pub failed: usize,
    /// One line per claim with its verdict.
    pub verdicts: Vec<String>,
    /// Whether all claims have the verdicts that the experiment expects.
    pub as_expected: bool,
}

/// All results of one GPU.
#[derive(Debug, Clone, Serialize)]
pub struct GpuReport {
    /// UTC date, `2026-11-22`.
    pub date: String,
    /// Name of the GPU, or `cpu`.
    pub device: String,
    /// The GPU; `None` if the report is of the CPU.
    #[serde(rename = "card")]
    pub gpu: Option<Gpu>,
    /// GPU memory taken by the CUDA context before any allocation.
    pub context_bytes: Option<u64>,
    /// The host.
    pub machine: Machine,
    /// Version of the source.
    pub source: SourceVersion,
    /// Groups of kernels, and whether this build contains them.
    pub kernels: Vec<(String, bool)>,
    /// Comparison with the original's values.
    pub parity: Section<Vec<Check>>,
    /// Experiments run on the GPU.
    #[serde(rename = "notebooks")]
    pub experiments: Vec<Section<ExperimentSummary>>,
    /// Speed of this implementation.
    pub speed: Section<SpeedReport>,
    /// Speed of PyTorch.
    pub torch: Section<SpeedReport>,
    /// Duration of all measurements, seconds.
    pub secs: f64,
}

impl GpuReport {
    /// Whether all parity checks pass and all experiments have the expected verdicts.
    pub fn passed(&self) -> bool {
        let parity = self.parity.done().is_none_or(|checks| checks.iter().all(Check::passed));
        parity && self.experiments.iter().filter_map(Section::done).all(|experiment| experiment.as_expected)
    }

    /// Writes `survey.json`, `report.md` and `figures/` to `folder`. If a GPU was measured, also updates `README.md` two
    /// folders above.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        std::fs::create_dir_all(folder.join("figures"))?;
        let json = serde_json::to_vec_pretty(self).map_err(io::Error::other)?;
        write_atomically(&folder.join("survey.json"), &json)?;
        let figures = page::figures(self);
        for (name, svg) in &figures {
            write_atomically(&folder.join("figures").join(name), svg)?;
        }
        let names: Vec<&str> = figures.iter().map(|(name, _)| name.as_str()).collect();
        write_atomically(&folder.join("report.md"), page::markdown(self, &names, "").as_bytes())?;
        let Some(gpu) = folder.parent().and_then(Path::parent).filter(|_| self.gpu.is_some()) else {
            return Ok(());
        };
        let below = folder.strip_prefix(gpu).unwrap_or(folder);
        let below = below.to_string_lossy().replace('\\', "/");
        write_atomically(&gpu.join("README.md"), page::latest(self, &names, &below).as_bytes())
    }
}

/// A GPU's name as a folder name: `NVIDIA H100 80GB HBM3` becomes `nvidia-h100-80gb-hbm3`.
pub fn folder_name(gpu: &str) -> String {
    let plain: String =
        gpu.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    plain.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}
