//! The truth of a scene that several calibrated cameras filmed: made of a network's points where they are its origin,
//! and runs scored against it.

use super::progress::{Event, Listener};
use super::{Project, RunnerError, weights};
use crate::blazepose::{self, BlazePose};
use crate::body::Body;
use crate::dataset::DatasetError;
use crate::dataset::views::{BLAZEPOSE_HEAVY, POINTS, ViewPoints, ViewsPlan, choose_people};
use crate::detect::nanodet::{self, NanoDet};
use crate::frame::Frame;
use crate::geometry::{IDENTITY, Vec3};
use crate::landmarks::SCORED;
use crate::metrics::views::{Candidate, SCORED_JOINTS, Truth, ViewScores};
use crate::person::{JOINTS, SmplParams};
use crate::recovery::{self, ModelSet, Weights, models_folder};
use crate::tables::{PersonRow, RunRow};
use crate::video::{self, Access, FrameSource, Mode};
use candle_core::Device;
use std::path::Path;

/// People of one view that are looked at, best detections first: every combination over the views is tried.
const MOST_PEOPLE: usize = 4;
/// Points less visible than this are left out of the triangulation.
const LEAST_VISIBILITY: f32 = 0.5;

/// Makes the truth of a scene where it is missing: NanoDet finds the people of every view, BlazePose heavy their points,
/// and the person whom all views see is triangulated. On the CPU, so that every machine makes the same.
///
/// # Errors
/// If the weights cannot be had, the footage cannot be read, or a network fails.
pub fn make_truth(
    project: &Project,
    plan: &ViewsPlan,
    listener: &mut dyn Listener,
) -> Result<(), RunnerError> {
    if plan.is_made() || plan.origin != BLAZEPOSE_HEAVY {
        return Ok(());
    }
    weights::fetch_model(project, BLAZEPOSE_HEAVY, listener)?;
    let detector = weights::fetch_detector(project, listener)?;
    let detector = recovery::detector(&detector.path, &Device::Cpu, &nanodet::Settings::default())?;
    let set = ModelSet::load(&project.model(BLAZEPOSE_HEAVY))?;
    let Weights::Fetched(fetched) = &set.weights else {
        return Err(RunnerError::NoVideo(format!("{BLAZEPOSE_HEAVY} has no fetched weights")));
    };
    let converted = fetched.converted(&models_folder()?);
    let network = BlazePose::load(&converted, blazepose::Settings::default(), &Device::Cpu)
        .map_err(recovery::RecoveryError::from)?;
    let mut views =
        plan.views.iter().map(|view| Reader::open(&view.video, plan.every)).collect::<Result<Vec<_>, _>>()?;
    let of = plan.frames()?.len();
    let (mut done, mut failed) = (0, None);
    let made = plan.make(&mut |cameras, number| {
        let mut points = Vec::with_capacity(views.len());
        for reader in &mut views {
            match reader.points(number, &detector, &network) {
                Ok(people) => points.push(people),
                Err(error) => {
                    let stopped = DatasetError::invalid(&plan.path, error.to_string());
                    failed = Some(error);
                    return Err(stopped);
                }
            }
        }
        done += 1;
        listener.hear(Event::Clip { name: "truth of the views", done, of });
        Ok(choose_people(cameras, &points, plan.worst_px()))
    });
    if let Some(error) = failed {
        return Err(error);
    }
    made?;
    Ok(())
}

/// The frames of one view that have a truth, in order.
struct Reader {
    source: Box<dyn FrameSource>,
}

impl Reader {
    fn open(path: &Path, every: usize) -> Result<Reader, RunnerError> {
        let settings = video::Settings {
            mode: Some(Mode::stream(Access::Sequential)),
            every: Some(every),
            ..video::Settings::default()
        };
        // a stream needs no scratch
        let mut source = video::open(path, &settings, &std::env::temp_dir(), &Device::Cpu)?;
        source.prepare()?;
        Ok(Reader { source })
    }

    /// The points of the people of frame `number`.
    fn points(
        &mut self,
        number: usize,
        detector: &NanoDet,
        network: &BlazePose,
    ) -> Result<Vec<ViewPoints>, RunnerError> {
        while let Some(frame) = self.source.next_frame()? {
            if frame.index == number {
                return points_of(&frame, detector, network);
            }
        }
        Ok(Vec::new())
    }
}

fn points_of(frame: &Frame, detector: &NanoDet, network: &BlazePose) -> Result<Vec<ViewPoints>, RunnerError> {
    let detections = detector.detect(&[frame])?.pop().unwrap_or_default();
    let people: Vec<_> = detections.iter().take(MOST_PEOPLE).map(|found| (found.bbox, None)).collect();
    let observed = network.observe_all(frame, &people).map_err(recovery::RecoveryError::from)?;
    let least = network.settings().least_presence;
    let seen = observed.into_iter().flatten().filter(|observation| observation.landmarks.presence >= least);
    let points = seen.map(|observation| {
        let landmarks = observation.landmarks;
        let point = |index: usize| {
            let (pixel, visibility) = (landmarks.pixels.get(index)?, *landmarks.visibility.get(index)?);
            (visibility >= LEAST_VISIBILITY).then(|| (pixel.map(f64::from), f64::from(visibility)))
        };
        (0..POINTS).map(point).collect()
    });
    Ok(points.collect())
}

/// What a run is scored against.
pub struct ViewTruth {
    truth: Truth,
    view: String,
    origin: String,
}

impl ViewTruth {
    /// Reads the truth of the view `view`.
    ///
    /// # Errors
    /// If the file cannot be read or is no such truth.
    pub fn read(path: &Path, view: &str, origin: &str) -> Result<ViewTruth, RunnerError> {
        let truth = Truth::read(path)?;
        Ok(ViewTruth { truth, view: view.to_string(), origin: format!("triangulated: {origin}") })
    }

    /// Whether a frame has a truth.
    pub fn has(&self, frame: u64) -> bool {
        self.truth.frames.binary_search(&frame).is_ok()
    }

    /// The truth of those frames that `row`'s run read.
    fn of_read(&self, row: &RunRow) -> Truth {
        let first = row.first_frame.unwrap_or(0);
        let every = row.every.max(1);
        let end = first + row.frames.unwrap_or(0) * every;
        let is_read = |frame: u64| (first..end).contains(&frame) && (frame - first).is_multiple_of(every);
        let mut truth = self.truth.clone();
        let kept: Vec<bool> = truth.frames.iter().map(|&frame| is_read(frame)).collect();
        let mut at = kept.iter();
        truth.frames.retain(|_| at.next().copied().unwrap_or(false));
        let mut at = kept.iter();
        truth.world_m.retain(|_| at.next().copied().unwrap_or(false));
        truth.reprojection_px = None;
        truth
    }

    /// Fills in the errors of a run whose people in the truth's frames are `people`.
    ///
    /// # Errors
    /// If the truth does not know the view.
    pub fn score(&self, row: &mut RunRow, people: &[Candidate], body: &Body) -> Result<(), RunnerError> {
        let truth = self.of_read(row);
        row.pose_truth = Some(self.origin.clone());
        if truth.frames.is_empty() {
            return Ok(());
        }
        let t_pose = truth.score(&self.view, &self.t_pose(&truth, body))?;
        (row.t_pose_mpjpe_mm, row.t_pose_pa_mpjpe_mm) = (t_pose.mpjpe_mm, t_pose.pa_mpjpe_mm);
        let judged = t_pose.frames_scored as u64;
        if people.is_empty() {
            (row.pose_frames, row.pose_frames_missed) = (Some(0), Some(judged));
            return Ok(());
        }
        let ViewScores { mpjpe_mm, pa_mpjpe_mm, frames_scored, .. } = truth.score(&self.view, people)?;
        (row.mpjpe_mm, row.pa_mpjpe_mm) = (mpjpe_mm, pa_mpjpe_mm);
        row.pose_frames = Some(frames_scored as u64);
        row.pose_frames_missed = Some(judged.saturating_sub(frames_scored as u64));
        Ok(())
    }

    /// A body in T-pose that faces the camera, in every frame where the person of the truth is.
    fn t_pose(&self, truth: &Truth, body: &Body) -> Vec<Candidate> {
        // half a turn about x: up becomes down, and the front looks at the camera
        let upright = [[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, -1.0]];
        let params = SmplParams { betas: [0.0; 10], global_orient: upright, body_pose: [IDENTITY; 23] };
        let joints: Vec<Vec3> = body.pose(&params).joints44;
        let Some(camera) = truth.cameras.get(&self.view) else { return Vec::new() };
        let candidate = |(&frame, points): (&u64, &Vec<Option<[f64; 3]>>)| {
            let mut joints_px = vec![[0.0f32; 2]; JOINTS];
            for (place, &landmark) in SCORED.iter().enumerate() {
                let viewed = points.get(landmark).copied().flatten().map(|at| camera.view(at));
                let pixel = viewed.and_then(|at| camera.project(at));
                if let Some(pixel) = pixel {
                    joints_px[SCORED_JOINTS[place]] = pixel.map(|at| at as f32);
                }
            }
            Candidate { frame, joints_m: joints.clone(), joints_px }
        };
        truth.frames.iter().zip(&truth.world_m).map(candidate).collect()
    }
}

/// A row's person as they are scored; `None` without a body.
pub fn candidate(row: &PersonRow) -> Option<Candidate> {
    let joints_m: Vec<Vec3> = row.joints_m.chunks_exact(3).map(|at| [at[0], at[1], at[2]]).collect();
    let joints_px: Vec<[f32; 2]> = row.joints_px.chunks_exact(2).map(|at| [at[0], at[1]]).collect();
    (joints_m.len() == JOINTS && joints_px.len() >= JOINTS).then_some(Candidate {
        frame: row.frame,
        joints_m,
        joints_px,
    })
}
