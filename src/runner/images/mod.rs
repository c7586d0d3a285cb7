//! Reconstructs the bodies of all people in single images, as 4D-Humans' `demo.py` does.
//!
//! Input: a [`ReconstructRequest`] with images, boxes and settings. Output: a new folder with drawings, meshes, arrays, a
//! table and a summary; nothing is overwritten, and every file is written atomically. People of several images share
//! forward passes of the network, up to `hmr2.batch` crops. An image that cannot be read or has invalid boxes is reported
//! and skipped.

mod boxes;
mod draw;
mod posed_person;
mod request;
mod results;
mod serialize;
mod summary;

pub use boxes::{BoxOrigin, BoxesError, ProvidedBoxes};
pub use request::{DetectSettings, ReconstructRequest, ReconstructRequestError};
pub use summary::{FailedImage, ReconstructedImage, ReconstructionEvent, ReconstructionSummary, StageTimes};

use super::{Project, RunnerError};
use crate::runner::project::detector::{DetectorError, PeopleDetector};
use crate::runner::project::progress::{ProgressEvent, ProgressListener};
use crate::runner::project::{defaults, weights};
use crate::runner::store::report_folder;
use boxes::ImageBoxes;
use posebook_core::files::write_atomically;
use posebook_core::frame::{Frame, FrameSize};
use posebook_core::person::{Detection, Person};
use posebook_core::provenance::SourceVersion;
use posebook_models::body::Body;
use posebook_models::device;
use posebook_models::recovery::{self, BodyNetwork, FrameCrops, FramePeople, ModelSet, RecoveryError};
use posebook_notebook::tables::ImagePersonRow;
use posebook_notebook::tables::files::TableWriter;
use posebook_video::still::{self, StillError};
use posed_person::PosedPerson;
use rayon::prelude::*;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Largest total size of images that wait for a full batch, bytes; beyond it the batch runs before it is full.
const MAX_PENDING_BYTES: usize = 512 << 20;

/// Forwards the notes of fetched weights.
struct NoteListener<'n>(&'n mut dyn FnMut(&str));

impl ProgressListener for NoteListener<'_> {
    fn on_event(&mut self, event: ProgressEvent) {
        if let ProgressEvent::Note(text) = event {
            (self.0)(text);
        }
    }
}

/// Why a single image cannot be reconstructed; the message does not name the image.
#[derive(Debug, thiserror::Error)]
enum ImageError {
    /// The file cannot be read or decoded.
    #[error("{}", .0.reason)]
    Still(#[from] StillError),
    /// Its boxes are invalid.
    #[error(transparent)]
    Boxes(#[from] BoxesError),
    /// Detection fails.
    #[error(transparent)]
    Detector(Box<DetectorError>),
    /// Cropping fails.
    #[error(transparent)]
    Network(#[from] RecoveryError),
}

impl From<DetectorError> for ImageError {
    fn from(error: DetectorError) -> ImageError {
        ImageError::Detector(Box::new(error))
    }
}

/// An image whose people are cropped and wait for the network.
struct PendingImage {
    index: usize,
    frame: Frame,
    sha256: String,
    boxes: BoxOrigin,
    notes: Vec<String>,
    crops: FrameCrops,
}

/// A reconstruction in progress.
struct Reconstruction<'r> {
    request: &'r ReconstructRequest,
    names: Vec<String>,
    /// Detector for images without boxes; `None` if no image needs it.
    detector: Option<PeopleDetector>,
    network: BodyNetwork,
    body: Body,
    /// The columns that all rows share.
    common: ImagePersonRow,
    table: TableWriter<ImagePersonRow>,
    pending: Vec<PendingImage>,
    summary: ReconstructionSummary,
    on_event: &'r mut dyn FnMut(ReconstructionEvent),
}

/// Reconstructs the bodies of all people in the images of `request`. After Ctrl-C the images in progress are finished.
///
/// # Errors
/// If the model set or the device is unavailable, the network fails, or results cannot be written. Problems of a single
/// image are listed in [`ReconstructionSummary::failed`].
pub fn reconstruct(
    project: &Project,
    request: &ReconstructRequest,
    interrupt: &AtomicBool,
    on_event: &mut dyn FnMut(ReconstructionEvent),
) -> Result<ReconstructionSummary, RunnerError> {
    let mut reconstruction = Reconstruction::new(project, request, on_event)?;
    let result = reconstruction.run(interrupt);
    let Reconstruction { table, mut summary, .. } = reconstruction;
    // the rows of finished images are written even after an error
    table.finish()?;
    result?;
    summary.times = summary.times.rounded();
    let path = summary.folder.join("summary.json");
    // a given folder may be moved later
    let written =
        request.folder.as_ref().map(|_| ReconstructionSummary { folder: ".".into(), ..summary.clone() });
    let text = serde_json::to_string_pretty(written.as_ref().unwrap_or(&summary));
    let text = text.map_err(|error| RunnerError::file(&path)(error.into()))?;
    report_folder::write_text(&summary.folder, "summary.json", &(text + "\n"))?;
    if request.folder.is_none() {
        report_folder::link_latest(&summary.folder)?;
    }
    Ok(summary)
}

impl<'r> Reconstruction<'r> {
    fn new(
        project: &Project,
        request: &'r ReconstructRequest,
        on_event: &'r mut dyn FnMut(ReconstructionEvent),
    ) -> Result<Reconstruction<'r>, RunnerError> {
        let started = Instant::now();
        if let Some(out) = &request.out {
            report_folder::check_writable(out)?;
        }
        let (name, default_note) = match &request.model {
            Some(name) => (name.clone(), None),
            None => defaults::default_model(project),
        };
        let mut on_note = |text: &str| on_event(ReconstructionEvent::Note(text));
        default_note.iter().for_each(|text| on_note(text));
        let set = if name.ends_with(".toml") {
            ModelSet::load(Path::new(&name))?
        } else {
            ModelSet::find(&project.root.join("models"), &name)?
        };
        weights::fetch_model(project, &name, &mut NoteListener(&mut on_note))?;
        let (choice, _) = device::resolve(&request.device)?;
        let opened = device::open(&choice)?;
        let detector = if request.needs_detector() {
            let settings = request.detect.to_run_settings();
            settings.without_effect().iter().for_each(|key| on_note(&format!("{key} has no effect here")));
            let weights = weights::prepare_detectors(project, &settings, &mut NoteListener(&mut on_note))?;
            let weights = weights.main.ok_or(RunnerError::NoDetector)?;
            Some(PeopleDetector::load(settings.model, &weights, &settings, &opened)?)
        } else {
            None
        };
        let settings = recovery::Settings {
            hmr2: &request.hmr2,
            blazepose: &request.blazepose,
            fit: &request.fit,
            appearance: None,
        };
        let network = BodyNetwork::load(&set, &opened, settings)?;
        let body = set.load_body()?;
        let times = StageTimes { load_secs: started.elapsed().as_secs_f64(), ..StageTimes::default() };
        let source = SourceVersion::from_checkout(&project.root);
        let reports = || request.out.clone().unwrap_or_else(|| project.reports("reconstruct"));
        let folder = report_folder::create_or_use(request.folder.as_deref(), &source, reports)?;
        let (model, weights_sha256) = (set.name.clone(), set.weights.identity());
        let (device, precision) = (choice.to_string(), request.hmr2.precision.name().to_string());
        let common = ImagePersonRow {
            model: model.clone(),
            weights_sha256: weights_sha256.clone(),
            precision: precision.clone(),
            device: device.clone(),
            git_hash: source.git_hash.clone(),
            git_dirty: source.git_dirty,
            ..ImagePersonRow::default()
        };
        let table = TableWriter::create(&folder)?;
        let summary = ReconstructionSummary {
            folder,
            pictures: Vec::new(),
            failed: Vec::new(),
            not_begun: Vec::new(),
            model,
            weights_sha256,
            licence: set.license,
            device,
            precision,
            batch: request.hmr2.batch,
            source,
            times,
        };
        let names = request::output_names(request.shown_images());
        let pending = Vec::new();
        Ok(Reconstruction {
            request,
            names,
            detector,
            network,
            body,
            common,
            table,
            pending,
            summary,
            on_event,
        })
    }

    /// Processes all images, until Ctrl-C.
    fn run(&mut self, interrupt: &AtomicBool) -> Result<(), RunnerError> {
        for index in 0..self.request.images.len() {
            if interrupt.load(Ordering::SeqCst) {
                self.summary.not_begun = self.request.shown_images()[index..].to_vec();
                break;
            }
            match self.prepare(index) {
                Ok(image) => self.pending.push(image),
                Err(error) => self.fail(index, error.to_string()),
            }
            let people: usize = self.pending.iter().map(|image| image.crops.len()).sum();
            let bytes: usize = self.pending.iter().map(|image| image.frame.rgb().len()).sum();
            if people >= self.request.hmr2.batch || bytes > MAX_PENDING_BYTES {
                self.finish_pending()?;
            }
        }
        self.finish_pending()
    }

    /// Reads an image and crops its people.
    fn prepare(&mut self, index: usize) -> Result<PendingImage, ImageError> {
        let path = &self.request.images[index];
        let started = Instant::now();
        let still = still::read(path, index)?;
        let times = &mut self.summary.times;
        times.read_secs += started.elapsed().as_secs_f64();
        let size = FrameSize::new(still.frame.width, still.frame.height);
        let ImageBoxes { boxes, mut origin, notes } = self.request.boxes.for_image(index, path, size)?;
        let detection = |bbox| Detection { bbox, score: 1.0, input_id: None, mask: None };
        let mut detections: Vec<Detection> = boxes.into_iter().map(detection).collect();
        if let (BoxOrigin::WholeImage, Some(detector)) = (&origin, &self.detector) {
            let started = Instant::now();
            let detected = detector.detect(&[&still.frame])?.pop();
            detections = detected.unwrap_or_default();
            if let PeopleDetector::NanoDet(_) = detector {
                detections = self.network.remove_uncertain(detections);
            }
            let settings = self.request.detect.to_run_settings();
            detections.retain(|detection| settings.keeps(detection));
            origin = BoxOrigin::Detector;
            times.detect_secs += started.elapsed().as_secs_f64();
        }
        let started = Instant::now();
        let crops = self.network.extract_demo_crops(&still.frame, detections)?;
        times.crop_secs += started.elapsed().as_secs_f64();
        Ok(PendingImage { index, frame: still.frame, sha256: still.sha256, boxes: origin, notes, crops })
    }

    fn fail(&mut self, index: usize, error: String) {
        let failed = FailedImage { picture: self.request.shown_images()[index].clone(), error };
        let (number, total) = (index + 1, self.request.images.len());
        (self.on_event)(ReconstructionEvent::Failed { number, total, image: &failed });
        self.summary.failed.push(failed);
    }

    /// Runs the network on all pending images and writes their results.
    fn finish_pending(&mut self) -> Result<(), RunnerError> {
        let pending = std::mem::take(&mut self.pending);
        let mut crops_of_images = Vec::with_capacity(pending.len());
        let mut images = Vec::with_capacity(pending.len());
        for PendingImage { index, frame, sha256, boxes, notes, crops } in pending {
            crops_of_images.push(crops);
            images.push((index, frame, sha256, boxes, notes));
        }
        let started = Instant::now();
        let people_of_images = self.network.recover_images(crops_of_images, &self.body)?;
        self.summary.times.network_secs += started.elapsed().as_secs_f64();
        for ((index, frame, sha256, boxes, mut notes), people) in images.into_iter().zip(people_of_images) {
            let FramePeople { persons: people, without_body } = people;
            if !without_body.is_empty() {
                let (rejected, all) = (without_body.len(), without_body.len() + people.len());
                notes.push(format!(
                    "{rejected} of {all} boxes have no body: the network recognizes no person in them"
                ));
            }
            let image = ReconstructedImage { notes, ..self.write(index, &frame, people, sha256, boxes)? };
            let (number, total) = (index + 1, self.request.images.len());
            (self.on_event)(ReconstructionEvent::Done { number, total, image: &image });
            self.summary.pictures.push(image);
        }
        Ok(())
    }

    /// Writes the results of one image.
    fn write(
        &mut self,
        index: usize,
        frame: &Frame,
        people: Vec<Person>,
        sha256: String,
        boxes: BoxOrigin,
    ) -> Result<ReconstructedImage, RunnerError> {
        let started = Instant::now();
        let (width, height) = (frame.width, frame.height);
        let (picture, name) = (self.request.shown_images()[index].clone(), self.names[index].clone());
        let common = ImagePersonRow {
            picture: picture.display().to_string(),
            picture_sha256: sha256.clone(),
            name: name.clone(),
            number: index as u64 + 1,
            width_px: width as u64,
            height_px: height as u64,
            whole_picture: boxes == BoxOrigin::WholeImage,
            ..self.common.clone()
        };
        let body = &self.body;
        let people: Vec<PosedPerson> =
            people.into_par_iter().map(|person| PosedPerson::new(person, body, width, height)).collect();
        let focal_px = posed_person::image_camera(width, height).fx;
        let rows = people.iter().enumerate();
        let rows: Vec<ImagePersonRow> =
            rows.map(|(number, person)| results::row(person, number, focal_px, &common)).collect();
        let mut files = vec![(format!("{name}_all.png"), draw::draw_bodies(frame, &people, body).to_png()?)];
        let files_of_person = |(number, (person, row))| person_files(&name, frame, number, person, row, body);
        let person_files: Result<Vec<_>, RunnerError> =
            people.par_iter().zip(&rows).enumerate().map(files_of_person).collect();
        files.extend(person_files?.into_iter().flatten());
        self.summary.times.draw_secs += started.elapsed().as_secs_f64();
        let started = Instant::now();
        for (file, bytes) in &files {
            let path = self.summary.folder.join(file);
            write_atomically(&path, bytes).map_err(RunnerError::file(&path))?;
        }
        for row in rows {
            self.table.push(row)?;
        }
        self.summary.times.write_secs += started.elapsed().as_secs_f64();
        let files = files.into_iter().map(|(file, _)| file).collect();
        let (people, notes) = (people.len(), Vec::new());
        Ok(ReconstructedImage { picture, name, sha256, width, height, people, boxes, files, notes })
    }
}

/// Names and contents of a person's files.
fn person_files(
    name: &str,
    frame: &Frame,
    number: usize,
    person: &PosedPerson,
    row: &ImagePersonRow,
    body: &Body,
) -> Result<Vec<(String, Vec<u8>)>, RunnerError> {
    let title = format!("person {number} of {}", row.picture.replace(char::is_control, " "));
    Ok(vec![
        (format!("{name}_{number}.png"), draw::draw_views(frame, person, number, body).to_png()?),
        (format!("{name}_{number}.obj"), results::obj(person, body, &title).into_bytes()),
        (format!("{name}_{number}.npz"), results::npz(person, row)),
    ])
}
