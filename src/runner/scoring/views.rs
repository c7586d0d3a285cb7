//! Ground truth from several calibrated cameras: creates it from a network's landmarks, and scores runs against it.
//!
//! [`create_missing_truth`] detects people and landmarks in every view, triangulates them and writes the ground-truth
//! file of the scene. [`ViewTruth`] loads that file and fills the pose columns of the row of a run over one view.

use crate::dataset::DatasetError;
use crate::dataset::views::{BLAZEPOSE_HEAVY, ViewPoints, ViewsPlan, choose_people};
use crate::runner::project::detector::DetectorError;
use crate::runner::project::progress::{ProgressEvent, ProgressListener};
use crate::runner::project::weights;
use crate::runner::{Project, RunnerError};
use candle_core::Device;
use posebook_core::frame::Frame;
use posebook_core::geometry::{IDENTITY, Vec3};
use posebook_core::landmarks::{LANDMARKS, SCORED_LANDMARKS};
use posebook_core::person::{JOINTS, SmplParams};
use posebook_models::blazepose::{self, BlazePose};
use posebook_models::body::Body;
use posebook_models::detect::nanodet::{self, NanoDet};
use posebook_models::recovery::{self, ModelSet, Weights, models_folder};
use posebook_notebook::tables::{PersonRow, RunRow};
use posebook_track::metrics::views::{SCORED_JOINTS, ViewPerson, ViewScores, ViewsTruth};
use posebook_video as video;
use posebook_video::{Access, FrameSource, Mode};
use std::path::Path;

/// Maximum number of people per view, best detections first: every combination over the views is tried.
const MAX_PEOPLE_PER_VIEW: usize = 4;
/// Landmarks with a lower visibility are not triangulated.
const MIN_VISIBILITY: f32 = 0.5;

/// Creates the ground truth of a scene if it is missing: NanoDet detects the people of every view, BlazePose heavy finds
/// their landmarks, and the person who is visible in all views is triangulated. Runs on the CPU, so that every machine
/// creates the same file.
///
/// # Errors
/// If the weights cannot be fetched, the footage cannot be read, or a network fails.
pub fn create_missing_truth(
    project: &Project,
    plan: &ViewsPlan,
    listener: &mut dyn ProgressListener,
) -> Result<(), RunnerError> {
    if plan.truth_exists() || plan.origin != BLAZEPOSE_HEAVY {
        return Ok(());
    }
    weights::fetch_model(project, BLAZEPOSE_HEAVY, listener)?;
    let detector = weights::fetch_nanodet(project, listener)?;
    let detector = recovery::load_detector(&detector.path, &Device::Cpu, &nanodet::Settings::default())?;
    let set = ModelSet::load(&project.model(BLAZEPOSE_HEAVY))?;
    let Weights::Fetched(fetched) = &set.weights else {
        return Err(RunnerError::NoFetchedWeights { model: BLAZEPOSE_HEAVY.to_string() });
    };
    let converted = fetched.converted_path(&models_folder()?);
    let network = BlazePose::load(&converted, blazepose::Settings::default(), &Device::Cpu)
        .map_err(recovery::RecoveryError::from)?;
    let mut views = plan
        .views
        .iter()
        .map(|view| ViewReader::open(&view.video, plan.every))
        .collect::<Result<Vec<_>, _>>()?;
    let total = plan.frames()?.len();
    let (mut done, mut failed) = (0, None);
    let created = plan.create_truth(&mut |cameras, number| {
        let mut points = Vec::with_capacity(views.len());
        for reader in &mut views {
            match reader.landmarks(number, &detector, &network) {
                Ok(people) => points.push(people),
                Err(error) => {
                    let stopped = DatasetError::invalid(&plan.path, error.to_string());
                    failed = Some(error);
                    return Err(stopped);
                }
            }
        }
        done += 1;
        listener.on_event(ProgressEvent::Clip { name: "truth of the views", done, total });
        Ok(choose_people(cameras, &points, plan.max_residual_px()))
    });
    if let Some(error) = failed {
        return Err(error);
    }
    created?;
    Ok(())
}

/// Reads the frames of one view that ground truth is created for, in order.
struct ViewReader {
    source: FrameSource,
}

impl ViewReader {
    fn open(path: &Path, every: usize) -> Result<ViewReader, RunnerError> {
        let settings = video::Settings {
            mode: Some(Mode::stream(Access::Sequential)),
            every: Some(every),
            ..video::Settings::default()
        };
        // a stream writes no scratch files
        let mut source = video::open(path, &settings, &std::env::temp_dir(), None)?;
        source.prepare()?;
        Ok(ViewReader { source })
    }

    /// Landmarks of the people in frame `number`; none if the video ends before it.
    fn landmarks(
        &mut self,
        number: usize,
        detector: &NanoDet,
        network: &BlazePose,
    ) -> Result<Vec<ViewPoints>, RunnerError> {
        while let Some(frame) = self.source.next_frame()? {
            if frame.index == number {
                return detect_landmarks(&frame, detector, network);
            }
        }
        Ok(Vec::new())
    }
}

fn detect_landmarks(
    frame: &Frame,
    detector: &NanoDet,
    network: &BlazePose,
) -> Result<Vec<ViewPoints>, RunnerError> {
    let detections = detector.detect(&[frame]).map_err(DetectorError::from)?.pop().unwrap_or_default();
    let people: Vec<_> =
        detections.iter().take(MAX_PEOPLE_PER_VIEW).map(|detection| (detection.bbox, None)).collect();
    let observed = network.observe_all(frame, &people).map_err(recovery::RecoveryError::from)?;
    let least = network.settings().least_presence;
    let present =
        observed.into_iter().flatten().filter(|observation| observation.landmarks.presence >= least);
    let points = present.map(|observation| {
        let landmarks = observation.landmarks;
        let point = |index: usize| {
            let (pixel, visibility) = (landmarks.pixels.get(index)?, *landmarks.visibility.get(index)?);
            (visibility >= MIN_VISIBILITY).then(|| (pixel.map(f64::from), f64::from(visibility)))
        };
        (0..LANDMARKS).map(point).collect()
    });
    Ok(points.collect())
}

/// Ground truth of one view, for scoring runs over its video.
pub struct ViewTruth {
    truth: ViewsTruth,
    view: String,
    origin: String,
}

impl ViewTruth {
    /// Loads the ground truth of the view `view` from the file of its scene.
    ///
    /// # Errors
    /// If the file cannot be read or is invalid.
    pub fn load(path: &Path, view: &str, origin: &str) -> Result<ViewTruth, RunnerError> {
        let truth = ViewsTruth::read(path)?;
        Ok(ViewTruth { truth, view: view.to_string(), origin: format!("triangulated: {origin}") })
    }

    /// Whether a frame has ground truth.
    pub fn has_frame(&self, frame: u64) -> bool {
        self.truth.frames.binary_search(&frame).is_ok()
    }

    /// The ground truth of the frames that the run of `row` read.
    fn in_frames_read(&self, row: &RunRow) -> ViewsTruth {
        let first = row.first_frame.unwrap_or(0);
        let every = row.every.max(1);
        let end = first + row.frames.unwrap_or(0) * every;
        let is_read = |frame: u64| (first..end).contains(&frame) && (frame - first).is_multiple_of(every);
        let mut truth = self.truth.clone();
        let retained: Vec<bool> = truth.frames.iter().map(|&frame| is_read(frame)).collect();
        let mut flags = retained.iter();
        truth.frames.retain(|_| flags.next().copied().unwrap_or(false));
        let mut flags = retained.iter();
        truth.world_m.retain(|_| flags.next().copied().unwrap_or(false));
        truth.reprojection_px = None;
        truth
    }

    /// Fills the pose columns of `row`. `people` are the run's people in frames with ground truth.
    ///
    /// # Errors
    /// If the ground truth has no such view.
    pub fn score(&self, row: &mut RunRow, people: &[ViewPerson], body: &Body) -> Result<(), RunnerError> {
        let truth = self.in_frames_read(row);
        row.metrics.pose.pose_truth = Some(self.origin.clone());
        if truth.frames.is_empty() {
            return Ok(());
        }
        let t_pose = truth.score(&self.view, &self.t_pose(&truth, body))?;
        (row.metrics.pose.t_pose_mpjpe_mm, row.metrics.pose.t_pose_pa_mpjpe_mm) =
            (t_pose.mpjpe_mm, t_pose.pa_mpjpe_mm);
        let scored = t_pose.frames_scored as u64;
        if people.is_empty() {
            (row.metrics.pose.pose_frames, row.metrics.pose.pose_frames_missed) = (Some(0), Some(scored));
            return Ok(());
        }
        let ViewScores { mpjpe_mm, pa_mpjpe_mm, frames_scored, .. } = truth.score(&self.view, people)?;
        (row.metrics.pose.mpjpe_mm, row.metrics.pose.pa_mpjpe_mm) = (mpjpe_mm, pa_mpjpe_mm);
        row.metrics.pose.pose_frames = Some(frames_scored as u64);
        row.metrics.pose.pose_frames_missed = Some(scored.saturating_sub(frames_scored as u64));
        Ok(())
    }

    /// A body in T-pose that faces the camera, in every frame with ground truth: the baseline that a run should beat.
    fn t_pose(&self, truth: &ViewsTruth, body: &Body) -> Vec<ViewPerson> {
        // rotation by 180 degrees about x: y up becomes y down, and the body faces the camera
        let upright = [[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, -1.0]];
        let params = SmplParams { betas: [0.0; 10], global_orient: upright, body_pose: [IDENTITY; 23] };
        let joints: Vec<Vec3> = body.pose(&params).joints44;
        let Some(camera) = truth.cameras.get(&self.view) else { return Vec::new() };
        let t_pose = |(&frame, points): (&u64, &Vec<Option<[f64; 3]>>)| {
            let mut joints_px = vec![[0.0f32; 2]; JOINTS];
            for (index, &landmark) in SCORED_LANDMARKS.iter().enumerate() {
                let point = points.get(landmark).copied().flatten().map(|point| camera.to_camera(point));
                let pixel = point.and_then(|point| camera.project_from_camera(point));
                if let Some(pixel) = pixel {
                    joints_px[SCORED_JOINTS[index]] = pixel.map(|value| value as f32);
                }
            }
            ViewPerson { frame, joints_m: joints.clone(), joints_px }
        };
        truth.frames.iter().zip(&truth.world_m).map(t_pose).collect()
    }
}

/// The person of a row in the form that is scored; `None` without a body.
pub fn view_person(row: &PersonRow) -> Option<ViewPerson> {
    let joints_m: Vec<Vec3> = row.joints_m.chunks_exact(3).map(|xyz| [xyz[0], xyz[1], xyz[2]]).collect();
    let joints_px: Vec<[f32; 2]> = row.joints_px.chunks_exact(2).map(|xy| [xy[0], xy[1]]).collect();
    (joints_m.len() == JOINTS && joints_px.len() >= JOINTS).then_some(ViewPerson {
        frame: row.frame,
        joints_m,
        joints_px,
    })
}
