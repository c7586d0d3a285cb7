//! Predicts what a job takes, before it is accepted.
//!
//! In: a request and its files. Out: frames, size and duration of the video, and a bound of the bytes that the job writes, by
//! [`crate::runner::disk_bound`]; or the prober's message that the file is no video.

use super::settings::{self, Work, WrongSetting};
use crate::runner::images::ReconstructRequest;
use crate::runner::progress::NoProgress;
use crate::runner::{self, Program, Project, TrackRequest, disk_bound};
use posebook_serve::backend::Prediction;
use posebook_serve::job::JobRequest;
use posebook_serve::problem::{Problem, StatusCode};
use posebook_video::{self as video, VideoError, VideoErrorKind};
use std::path::{Path, PathBuf};

/// Predicts the disk use of a job over `sources`, and checks that they can be read.
///
/// # Errors
/// If a source is no video or no image, settings are wrong or do not fit the video, or an experiment cannot be planned.
pub fn predict(
    project: &Project,
    program: &Path,
    request: &JobRequest,
    sources: &[PathBuf],
) -> Result<Prediction, Problem> {
    if let Some(index) = sources.iter().position(|source| is_pickle(source)) {
        return Err(not_a_video(PICKLE, index, sources.len()));
    }
    match settings::parse(project, &settings::given(request, sources))? {
        Work::Track(request) => of_video(&request),
        Work::Reconstruct(request) => of_images(&request),
        Work::Experiment(experiment) => {
            let program = Program { path: program.to_path_buf(), arguments: vec!["worker".into()] };
            let plan = runner::plan(project, &experiment, &program, false, &mut NoProgress);
            let plan = plan.map_err(|error| unprocessable("bad-setting", error).at("/experiment"))?;
            Ok(Prediction { disk_bytes: disk_bound::of_plan(&plan), ..Prediction::default() })
        }
    }
}

/// Why a .pkl is refused.
pub const PICKLE: &str =
    "a .pkl of PHALP names images of the machine that reads it, which a job may not; give the video itself";

/// Whether a source is PHALP's .pkl of frames and boxes, by its name.
pub fn is_pickle(source: &Path) -> bool {
    source.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("pkl"))
}

fn of_video(request: &TrackRequest) -> Result<Prediction, Problem> {
    let probe =
        video::probe_with_fps(&request.source, request.fps).map_err(|error| unreadable(&error, 0, 1))?;
    let settings = &request.settings;
    let probe = probe.looped(settings.video.loops());
    let fits = |error: VideoError| WrongSetting {
        key: None,
        is_unknown: false,
        message: format!("the settings do not fit the video: {}", error.kind),
    };
    let selection = video::select_frames(&settings.video, &probe).map_err(fits)?;
    let frames = selection.frame_count();
    Ok(Prediction {
        disk_bytes: disk_bound::of_video(settings, &request.options, (probe.width, probe.height), frames),
        frames: Some(frames as u64),
        width: Some(probe.width as u64),
        height: Some(probe.height as u64),
        seconds: Some(frames as f64 * settings.video.every() as f64 / probe.fps)
            .filter(|secs| secs.is_finite()),
    })
}

fn of_images(request: &ReconstructRequest) -> Result<Prediction, Problem> {
    let mut prediction = Prediction { frames: Some(request.images.len() as u64), ..Prediction::default() };
    for (index, image) in request.images.iter().enumerate() {
        let size = image_size(image).map_err(|reason| not_a_video(&reason, index, request.images.len()))?;
        prediction.disk_bytes += disk_bound::of_image(size);
        prediction.width.get_or_insert(size.0 as u64);
        prediction.height.get_or_insert(size.1 as u64);
    }
    Ok(prediction)
}

/// Width and height of an image: by its header if its name says what it is, otherwise it is decoded.
fn image_size(image: &Path) -> Result<(usize, usize), String> {
    if video::sources::is_image_source(image) {
        let probe = video::probe(image).map_err(|error| without_path(&error.kind.to_string(), image))?;
        return Ok((probe.width, probe.height));
    }
    let still = video::still::read(image, 0).map_err(|error| error.reason)?;
    Ok((still.frame.width, still.frame.height))
}

/// The problem of a source that cannot be probed. The message does not name the file, whose path is the server's.
fn unreadable(error: &VideoError, index: usize, of: usize) -> Problem {
    match &error.kind {
        VideoErrorKind::ProgramNotFound { .. } | VideoErrorKind::CannotStart { .. } => {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error.kind.to_string())
        }
        kind => not_a_video(&without_path(&kind.to_string(), &error.path), index, of),
    }
}

/// A message of ffmpeg or the prober that does not name the file.
fn without_path(message: &str, path: &Path) -> String {
    let path = path.display();
    message.replace(&format!("file:{path}: "), "").replace(&path.to_string(), "the file")
}

fn not_a_video(reason: &str, index: usize, of: usize) -> Problem {
    let problem = unprocessable("not-a-video", reason);
    problem.at(if of > 1 { format!("/source/{index}") } else { "/source".to_string() })
}

fn unprocessable(name: &str, detail: impl ToString) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, name, detail.to_string())
}
