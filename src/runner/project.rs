//! Where the parts of a project lie.

use super::RunnerError;
use std::path::{Path, PathBuf};

/// A folder with `experiments/`, `datasets/` and `models/` in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    pub root: PathBuf,
}

impl Project {
    /// The project that `start` lies in: the nearest folder upwards that has an `experiments` folder.
    ///
    /// # Errors
    /// If there is none.
    pub fn find(start: &Path) -> Result<Project, RunnerError> {
        let root = start.ancestors().find(|folder| folder.join("experiments").is_dir());
        let root = root.ok_or_else(|| RunnerError::NoProject { start: start.to_path_buf() })?;
        Ok(Project { root: root.to_path_buf() })
    }

    /// The experiment called `name`, or the file that `name` is the path of.
    pub fn experiment(&self, name: &str) -> PathBuf {
        self.named("experiments", name)
    }

    /// The dataset called `name`, or the file that `name` is the path of.
    pub fn dataset(&self, name: &str) -> PathBuf {
        self.named("datasets", name)
    }

    /// The model set called `name`, or the file that `name` is the path of.
    pub fn model(&self, name: &str) -> PathBuf {
        self.named("models", name)
    }

    /// The manifest of the source of models called `name`.
    pub fn source_of_model(&self, name: &str) -> PathBuf {
        self.root.join("models/sources").join(format!("{name}.toml"))
    }

    /// The reports of the experiment called `name`.
    pub fn reports(&self, name: &str) -> PathBuf {
        self.root.join("reports").join(name)
    }

    /// Clips that datasets made, kept under the hash of what made them.
    pub fn clips(&self) -> PathBuf {
        self.cache().join("clips")
    }

    /// Videos that were fetched, or put together of pictures.
    pub fn downloads(&self) -> PathBuf {
        self.cache().join("downloads")
    }

    /// Runs that have ended, kept under the hash of all that went into them.
    pub fn runs(&self) -> PathBuf {
        self.cache().join("runs")
    }

    /// Runs under way.
    pub fn work(&self) -> PathBuf {
        self.cache().join("work")
    }

    fn cache(&self) -> PathBuf {
        self.root.join(".posebook")
    }

    /// All experiments, sorted by name.
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

    fn named(&self, folder: &str, name: &str) -> PathBuf {
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
    fn the_nearest_folder_upwards_is_the_project() {
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
