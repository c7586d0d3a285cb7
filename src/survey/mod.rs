//! What one graphics card was put through, in one folder: parity, the pipeline, memory, speed.
//!
//! `reports/gpu/<card>/<date>/` holds `survey.json` (all of it), `report.md` and `figures/`, and
//! `reports/gpu/README.md` shows the newest. Everything that was not measured says why. Must not know how
//! anything was measured.

mod page;
#[cfg(test)]
mod tests;

use crate::device::Card;
use crate::files::write_whole;
use crate::parity::Check;
use crate::provenance::{Machine, Source};
use crate::speed::Document;
use serde::Serialize;
use std::io;
use std::path::Path;

/// A part that was measured, or why not.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part<T> {
    Done(T),
    /// Left out on purpose or impossible here, in words.
    Missing(String),
}

impl<T> Part<T> {
    /// What was measured.
    pub fn done(&self) -> Option<&T> {
        match self {
            Part::Done(done) => Some(done),
            Part::Missing(_) => None,
        }
    }
}

/// An experiment that was run, in short.
#[derive(Debug, Clone, Serialize)]
pub struct Notebook {
    pub name: String,
    pub question: String,
    pub runs: usize,
    pub failed: usize,
    /// Each claim and what became of it, a line each.
    pub verdicts: Vec<String>,
    /// Whether everything came out as the experiment expects.
    pub as_expected: bool,
}

/// The whole survey of a card.
#[derive(Debug, Clone, Serialize)]
pub struct Survey {
    /// UTC, `2026-11-22`.
    pub date: String,
    /// What the survey ran on: the card's name, or `cpu`.
    pub device: String,
    pub card: Option<Card>,
    /// What opening the card takes of its memory before anything is on it.
    pub context_bytes: Option<u64>,
    pub machine: Machine,
    pub source: Source,
    /// Groups of kernels that this build holds, and those it left out.
    pub kernels: Vec<(String, bool)>,
    pub parity: Part<Vec<Check>>,
    pub notebooks: Vec<Part<Notebook>>,
    pub speed: Part<Document>,
    pub torch: Part<Document>,
    pub secs: f64,
}

impl Survey {
    /// Whether nothing that was measured is otherwise than it has to be.
    pub fn is_sound(&self) -> bool {
        let parity = self.parity.done().is_none_or(|checks| checks.iter().all(Check::passed));
        parity && self.notebooks.iter().filter_map(Part::done).all(|notebook| notebook.as_expected)
    }

    /// Writes `survey.json`, `report.md` and `figures/` into `folder`, and the newest tables of a card into
    /// the `README.md` two folders above it; a try without a card does not replace those.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        std::fs::create_dir_all(folder.join("figures"))?;
        let json = serde_json::to_vec_pretty(self).map_err(io::Error::other)?;
        write_whole(&folder.join("survey.json"), &json)?;
        let figures = page::figures(self);
        for (name, svg) in &figures {
            write_whole(&folder.join("figures").join(name), svg)?;
        }
        let names: Vec<&str> = figures.iter().map(|(name, _)| name.as_str()).collect();
        write_whole(&folder.join("report.md"), page::markdown(self, &names, "").as_bytes())?;
        let Some(gpu) = folder.parent().and_then(Path::parent).filter(|_| self.card.is_some()) else {
            return Ok(());
        };
        let below = folder.strip_prefix(gpu).unwrap_or(folder);
        let below = below.to_string_lossy().replace('\\', "/");
        write_whole(&gpu.join("README.md"), page::newest(self, &names, &below).as_bytes())
    }
}

/// A card's name as a folder's: `NVIDIA H100 80GB HBM3` becomes `nvidia-h100-80gb-hbm3`.
pub fn folder_name(card: &str) -> String {
    let plain: String =
        card.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    plain.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}
