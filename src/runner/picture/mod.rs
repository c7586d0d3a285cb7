//! Single pictures: bodies of all people in them, drawn and written down, as 4D-Humans' `demo.py` does it.
//!
//! [`request`] is what is asked for, [`boxes`] where people are, [`found`] a person with both cameras, [`draw`]
//! and [`results`] what is written. The people of several pictures go through the network together, as many as
//! `hmr2.batch` says. A picture that cannot be read or whose boxes are wrong is told and left out; the others are
//! done. Results go into a new folder, so that nothing is ever overwritten, and every file is whole or absent.
//!
//! Must not know how results are shown.

mod boxes;
mod draw;
mod found;
mod request;
mod results;

use boxes::Boxes;
pub use boxes::Origin;
pub use request::PictureRequest;

use super::progress::{Event, Listener};
use super::{Project, RunnerError, defaults, folder, weights};
use crate::body::Body;
use crate::detect::nanodet::NanoDet;
use crate::device;
use crate::files::write_whole;
use crate::frame::Frame;
use crate::person::{Detection, Person};
use crate::provenance::Source;
use crate::recovery::{self, BodyNetwork, FrameCrops, FramePeople, ModelSet};
use crate::tables::PicturePersonRow;
use crate::tables::files::TableWriter;
use crate::video::still;
use found::Found;
use rayon::prelude::*;
use serde::{Serialize, Serializer};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Pixels of pictures that wait for a batch to be full, bytes; beyond that it goes as it is.
const MOST_WAITING_BYTES: usize = 512 << 20;

/// A picture that was done.
#[derive(Debug, Clone, Serialize)]
pub struct Done {
    #[serde(serialize_with = "lossy")]
    pub picture: PathBuf,
    /// What the names of its files begin with.
    pub name: String,
    pub sha256: String,
    pub width: usize,
    pub height: usize,
    pub people: usize,
    /// Who said where they are.
    pub boxes: Origin,
    /// Files in the folder.
    pub files: Vec<String>,
    /// How its boxes were read, where a person should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A picture that could not be done.
#[derive(Debug, Clone, Serialize)]
pub struct Failed {
    #[serde(serialize_with = "lossy")]
    pub picture: PathBuf,
    pub error: String,
}

/// Where the time went, all pictures together.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Times {
    /// The model set, the body.
    pub load_secs: f64,
    /// Files to pixels.
    pub read_secs: f64,
    /// Pixels to boxes, where a detector finds them.
    pub detect_secs: f64,
    /// Pixels to crops.
    pub crop_secs: f64,
    /// Crops to bodies.
    pub network_secs: f64,
    /// Pictures, meshes and arrays made.
    pub draw_secs: f64,
    /// Files written.
    pub write_secs: f64,
}

/// What came of all pictures: what `summary.json` holds.
#[derive(Debug, Clone, Serialize)]
pub struct Reconstructed {
    #[serde(serialize_with = "lossy")]
    pub folder: PathBuf,
    pub pictures: Vec<Done>,
    pub failed: Vec<Failed>,
    /// Pictures that were not begun since Ctrl-C was pressed.
    #[serde(serialize_with = "all_lossy")]
    pub not_begun: Vec<PathBuf>,
    pub model: String,
    pub weights_sha256: String,
    pub licence: String,
    pub device: String,
    pub precision: String,
    pub batch: usize,
    pub source: Source,
    pub times: Times,
}

/// A path as text: JSON has no bytes that are not UTF-8, for which the replacement character stands.
pub(super) fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

fn all_lossy<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(|path| path.to_string_lossy()))
}

/// What is told while it goes on.
#[derive(Debug, Clone, Copy)]
pub enum Told<'a> {
    Done {
        number: usize,
        of: usize,
        done: &'a Done,
    },
    Failed {
        number: usize,
        of: usize,
        failed: &'a Failed,
    },
    /// What a person should know, in a sentence.
    Note(&'a str),
}

/// Notes of weights that are fetched.
struct Notes<'n>(&'n mut dyn FnMut(&str));

impl Listener for Notes<'_> {
    fn hear(&mut self, event: Event) {
        if let Event::Note(text) = event {
            (self.0)(text);
        }
    }
}

/// A picture whose people are cut out and wait for the network.
struct Waiting {
    number: usize,
    frame: Frame,
    sha256: String,
    boxes: Origin,
    notes: Vec<String>,
    crops: FrameCrops,
}

/// The work on all pictures.
struct Work<'r> {
    request: &'r PictureRequest,
    names: Vec<String>,
    /// What finds people in pictures without boxes; `None` where no picture needs it.
    detector: Option<NanoDet>,
    network: BodyNetwork,
    body: Body,
    /// What every row says.
    about: PicturePersonRow,
    table: TableWriter<PicturePersonRow>,
    waiting: Vec<Waiting>,
    outcome: Reconstructed,
    tell: &'r mut dyn FnMut(Told),
}

/// Recovers the bodies of all people in the pictures of `request`. After Ctrl-C the pictures begun are finished.
///
/// # Errors
/// If the model set or the device cannot be had, the network fails, or results cannot be written. What is wrong
/// with one picture is no error: [`Reconstructed::failed`] lists those.
pub fn reconstruct(
    project: &Project,
    request: &PictureRequest,
    interrupt: &AtomicBool,
    tell: &mut dyn FnMut(Told),
) -> Result<Reconstructed, RunnerError> {
    let mut work = Work::begin(project, request, tell)?;
    let worked = work.all(interrupt);
    let Work { table, mut outcome, .. } = work;
    // what was found before something went wrong is kept
    table.finish()?;
    worked?;
    // the numbers are for people; a folder is as it was given
    outcome.times = outcome.times.rounded();
    let text = serde_json::to_string_pretty(&outcome).unwrap_or_default();
    folder::write_text(&outcome.folder, "summary.json", &(text + "\n"))?;
    folder::link_latest(&outcome.folder)?;
    Ok(outcome)
}

impl Times {
    fn rounded(self) -> Times {
        let round = |secs: f64| (secs * 1e4).round() / 1e4;
        Times {
            load_secs: round(self.load_secs),
            read_secs: round(self.read_secs),
            detect_secs: round(self.detect_secs),
            crop_secs: round(self.crop_secs),
            network_secs: round(self.network_secs),
            draw_secs: round(self.draw_secs),
            write_secs: round(self.write_secs),
        }
    }
}

impl<'r> Work<'r> {
    fn begin(
        project: &Project,
        request: &'r PictureRequest,
        tell: &'r mut dyn FnMut(Told),
    ) -> Result<Work<'r>, RunnerError> {
        let started = Instant::now();
        if let Some(out) = &request.out {
            folder::check(out)?;
        }
        let (name, why) = match &request.model {
            Some(name) => (name.clone(), None),
            None => defaults::model_of_filmed(project),
        };
        let mut note = |text: &str| tell(Told::Note(text));
        why.iter().for_each(|why| note(why));
        let set = if name.ends_with(".toml") {
            ModelSet::load(Path::new(&name))?
        } else {
            ModelSet::find(&project.root.join("models"), &name)?
        };
        weights::fetch_model(project, &name, &mut Notes(&mut note))?;
        let (choice, _) = device::resolve(&request.device)?;
        let opened = device::open(&choice)?;
        let detector = if request.needs_detector() {
            let weights = weights::fetch_detector(project, &mut Notes(&mut note))?.path;
            Some(recovery::detector(&weights, &opened, &request.detect.nanodet)?)
        } else {
            None
        };
        let settings =
            recovery::Settings { hmr2: &request.hmr2, blazepose: &request.blazepose, fit: &request.fit };
        let network = BodyNetwork::load(&set, &opened, settings)?;
        let body = set.load_body()?;
        let times = Times { load_secs: started.elapsed().as_secs_f64(), ..Times::default() };
        let source = Source::of(&project.root);
        let place = request.out.clone().unwrap_or_else(|| project.reports("reconstruct"));
        let folder = folder::create(&place, &source)?;
        let (model, weights_sha256) = (set.name.clone(), set.weights.identity());
        let (device, precision) = (choice.to_string(), request.hmr2.precision.name().to_string());
        let about = PicturePersonRow {
            model: model.clone(),
            weights_sha256: weights_sha256.clone(),
            precision: precision.clone(),
            device: device.clone(),
            git_hash: source.git_hash.clone(),
            git_dirty: source.git_dirty,
            ..PicturePersonRow::default()
        };
        let (pictures, failed, not_begun) = (Vec::new(), Vec::new(), Vec::new());
        let (licence, batch) = (set.licence, request.hmr2.batch);
        let table = TableWriter::create(&folder)?;
        let outcome = Reconstructed {
            folder,
            pictures,
            failed,
            not_begun,
            model,
            weights_sha256,
            licence,
            device,
            precision,
            batch,
            source,
            times,
        };
        let names = request::names(&request.pictures);
        Ok(Work { request, names, detector, network, body, about, table, waiting: Vec::new(), outcome, tell })
    }

    fn all(&mut self, interrupt: &AtomicBool) -> Result<(), RunnerError> {
        for number in 0..self.request.pictures.len() {
            if interrupt.load(Ordering::SeqCst) {
                self.outcome.not_begun = self.request.pictures[number..].to_vec();
                break;
            }
            match self.look(number) {
                Ok(waiting) => self.waiting.push(waiting),
                Err(error) => self.fail(number, error),
            }
            let people: usize = self.waiting.iter().map(|one| one.crops.len()).sum();
            let bytes: usize = self.waiting.iter().map(|one| one.frame.rgb().len()).sum();
            if people >= self.request.hmr2.batch || bytes > MOST_WAITING_BYTES {
                self.work_off()?;
            }
        }
        self.work_off()
    }

    /// Reads a picture and cuts its people out; what is wrong with it, without its path.
    fn look(&mut self, number: usize) -> Result<Waiting, String> {
        let path = &self.request.pictures[number];
        let started = Instant::now();
        let still = still::read(path, number).map_err(|error| error.what)?;
        let times = &mut self.outcome.times;
        times.read_secs += started.elapsed().as_secs_f64();
        let (width, height) = (still.frame.width, still.frame.height);
        let Boxes { boxes, mut origin, notes } = self.request.boxes.of(number, path, width, height)?;
        let detection = |bbox| Detection { bbox, score: 1.0, truth_id: None };
        let mut detections: Vec<Detection> = boxes.into_iter().map(detection).collect();
        if let (Origin::WholePicture, Some(detector)) = (&origin, &self.detector) {
            let started = Instant::now();
            let found = detector.detect(&[&still.frame]).map_err(|error| error.to_string())?.pop();
            detections = self.network.without_uncertain(found.unwrap_or_default());
            origin = Origin::Detector;
            times.detect_secs += started.elapsed().as_secs_f64();
        }
        let started = Instant::now();
        let crops =
            self.network.extract_demo_crops(&still.frame, detections).map_err(|error| error.to_string())?;
        times.crop_secs += started.elapsed().as_secs_f64();
        Ok(Waiting { number, frame: still.frame, sha256: still.sha256, boxes: origin, notes, crops })
    }

    fn fail(&mut self, number: usize, error: String) {
        let failed = Failed { picture: self.request.pictures[number].clone(), error };
        (self.tell)(Told::Failed { number: number + 1, of: self.request.pictures.len(), failed: &failed });
        self.outcome.failed.push(failed);
    }

    /// Takes all that wait through the network and writes their results.
    fn work_off(&mut self) -> Result<(), RunnerError> {
        let waiting = std::mem::take(&mut self.waiting);
        let mut frames = Vec::with_capacity(waiting.len());
        let mut pictures = Vec::with_capacity(waiting.len());
        for Waiting { number, frame, sha256, boxes, notes, crops } in waiting {
            frames.push(crops);
            pictures.push((number, frame, sha256, boxes, notes));
        }
        let started = Instant::now();
        let everybody = self.network.recover_pictures(frames, &self.body)?;
        self.outcome.times.network_secs += started.elapsed().as_secs_f64();
        for ((number, frame, sha256, boxes, mut notes), people) in pictures.into_iter().zip(everybody) {
            let FramePeople { persons: people, without_body } = people;
            if !without_body.is_empty() {
                let (without, all) = (without_body.len(), without_body.len() + people.len());
                notes.push(format!(
                    "{without} of {all} boxes have no body: the network recognizes nobody in them"
                ));
            }
            let done = Done { notes, ..self.write(number, &frame, people, sha256, boxes)? };
            (self.tell)(Told::Done { number: number + 1, of: self.request.pictures.len(), done: &done });
            self.outcome.pictures.push(done);
        }
        Ok(())
    }

    /// Writes the results of one picture.
    fn write(
        &mut self,
        number: usize,
        frame: &Frame,
        people: Vec<Person>,
        sha256: String,
        boxes: Origin,
    ) -> Result<Done, RunnerError> {
        let started = Instant::now();
        let (width, height) = (frame.width, frame.height);
        let (picture, name) = (self.request.pictures[number].clone(), self.names[number].clone());
        let about = PicturePersonRow {
            picture: picture.display().to_string(),
            picture_sha256: sha256.clone(),
            name: name.clone(),
            number: number as u64 + 1,
            width_px: width as u64,
            height_px: height as u64,
            whole_picture: boxes == Origin::WholePicture,
            ..self.about.clone()
        };
        let body = &self.body;
        let people: Vec<Found> =
            people.into_par_iter().map(|person| Found::new(person, body, width, height)).collect();
        let focal_px = found::camera_of(width, height).fx;
        let about_person = |(at, person): (usize, &Found)| results::row(person, at, focal_px, &about);
        let rows: Vec<PicturePersonRow> = people.iter().enumerate().map(about_person).collect();
        let mut files = vec![(format!("{name}_all.png"), draw::whole(frame, &people, body).png()?)];
        let of_person = |(at, (person, row))| person_files(&name, frame, at, person, row, body);
        let some: Result<Vec<_>, RunnerError> =
            people.par_iter().zip(&rows).enumerate().map(of_person).collect();
        files.extend(some?.into_iter().flatten());
        self.outcome.times.draw_secs += started.elapsed().as_secs_f64();
        let started = Instant::now();
        for (file, bytes) in &files {
            let path = self.outcome.folder.join(file);
            write_whole(&path, bytes).map_err(RunnerError::file(&path))?;
        }
        for row in rows {
            self.table.push(row)?;
        }
        self.outcome.times.write_secs += started.elapsed().as_secs_f64();
        let files = files.into_iter().map(|(file, _)| file).collect();
        let (people, notes) = (people.len(), Vec::new());
        Ok(Done { picture, name, sha256, width, height, people, boxes, files, notes })
    }
}

/// A person's files: names and bytes.
fn person_files(
    name: &str,
    frame: &Frame,
    at: usize,
    person: &Found,
    row: &PicturePersonRow,
    body: &Body,
) -> Result<Vec<(String, Vec<u8>)>, RunnerError> {
    let about = format!("person {at} of {}", row.picture.replace(char::is_control, " "));
    Ok(vec![
        (format!("{name}_{at}.png"), draw::views(frame, person, at, body).png()?),
        (format!("{name}_{at}.obj"), results::obj(person, body, &about).into_bytes()),
        (format!("{name}_{at}.npz"), results::npz(person, row)),
    ])
}
