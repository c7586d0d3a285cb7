//! The project and the command that works in it: what every other group uses.
//!
//! [`Project`] gives paths of files and folders. [`weights`] fetches published weights and [`defaults`] chooses between
//! them, [`detector`] loads those of detectors, [`progress`] reports to the user, [`interrupt`] turns signals into a flag,
//! [`time_estimate`] formats times.

pub mod defaults;
pub mod detector;
pub mod interrupt;
pub mod progress;
pub mod time_estimate;
pub mod weights;

use super::RunnerError;
use std::path::{Path, PathBuf};

/// A folder with `experiments/`, `datasets/` and `models/` in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// The folder's path.
    pub root: PathBuf,
    /// Folder of generated clips, stored runs and runs in progress.
    cache: PathBuf,
}

impl Project {
    /// Finds the project that contains `start`: the nearest ancestor with an `experiments` folder.
    ///
    /// # Errors
    /// If there is none.
    pub fn find(start: &Path) -> Result<Project, RunnerError> {
        let root = start.ancestors().find(|folder| folder.join("experiments").is_dir());
        let root = root.ok_or_else(|| RunnerError::NoProject { start: start.to_path_buf() })?;
        Ok(Project { root: root.to_path_buf(), cache: root.join(".posebook") })
    }

    /// The same project with another folder for generated clips, stored runs and runs in progress.
    pub fn with_cache(self, cache: PathBuf) -> Project {
        Project { cache, ..self }
    }

    /// File of the experiment `name`; a `name` that ends with `.toml` is a path already.
    pub fn experiment(&self, name: &str) -> PathBuf {
        self.resolve("experiments", name)
    }

    /// File of the dataset `name`; a `name` that ends with `.toml` is a path already.
    pub fn dataset(&self, name: &str) -> PathBuf {
        self.resolve("datasets", name)
    }

    /// Folder of the model sets.
    pub fn models(&self) -> PathBuf {
        self.root.join("models")
    }

    /// File of the model set `name`; a `name` that ends with `.toml` is a path already.
    pub fn model(&self, name: &str) -> PathBuf {
        self.resolve("models", name)
    }

    /// Manifest of the package of models `name`.
    pub fn model_manifest(&self, name: &str) -> PathBuf {
        self.root.join("models/sources").join(format!("{name}.toml"))
    }

    /// Folder of the reports of the experiment `name`.
    pub fn reports(&self, name: &str) -> PathBuf {
        self.root.join("reports").join(name)
    }

    /// Folder of generated clips, named by the hash of what determines them.
    pub fn clips(&self) -> PathBuf {
        self.cache.join("clips")
    }

    /// Folder of fetched videos, and of videos made from image folders.
    pub fn downloads(&self) -> PathBuf {
        self.cache.join("downloads")
    }

    /// Folder of stored runs, named by their id.
    pub fn runs(&self) -> PathBuf {
        self.cache.join("runs")
    }

    /// Folder of runs in progress.
    pub fn work(&self) -> PathBuf {
        self.cache.join("work")
    }

    /// Files of all experiments, sorted by name.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn experiments(&self) -> Result<Vec<PathBuf>, RunnerError> {
        let folder = self.root.join("experiments");
        let entries = std::fs::read_dir(&folder).map_err(RunnerError::file(&folder))?;
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
        files.sort();
        Ok(files)
    }

    fn resolve(&self, folder: &str, name: &str) -> PathBuf {
        if name.ends_with(".toml") {
            return PathBuf::from(name);
        }
        self.root.join(folder).join(format!("{name}.toml"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_ancestor_with_experiments_is_the_project() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Project::find(folder.path()).unwrap_err().to_string().contains("experiments"));
        let deep = folder.path().join("src/deep");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::create_dir(folder.path().join("experiments")).unwrap();
        std::fs::write(folder.path().join("experiments/b.toml"), "").unwrap();
        std::fs::write(folder.path().join("experiments/a.toml"), "").unwrap();
        let project = Project::find(&deep).unwrap();
        assert_eq!(project.root, folder.path());
        let names: Vec<_> =
            project.experiments().unwrap().into_iter().map(|p| p.file_stem().unwrap().to_owned()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(project.model("tiny"), folder.path().join("models/tiny.toml"));
        assert_eq!(project.model("my/own.toml"), Path::new("my/own.toml"));
    }
}
