//! The tracker: assigns the people of each frame to tracks (`deep_sort_/tracker.py`, `PHALP.track`).

use super::association::{self, Association, AssociationRecord, Pairing};
use super::cost::{CostEquation, CostTerms};
use super::cues::{PoseCue, TextureCue};
use super::error::TrackError;
use super::features::{Observation, Prediction, squared_distance};
use super::networks::Networks;
use super::pending::{FrameTrack, FrameTracks, PendingFrames};
use super::settings::{AppearanceNeeded, Settings, SettingsError};
use super::texture;
use super::track::{Track, TrackState};
use crate::assignment::Costs;
use posebook_core::appearance::{Appearance, EMBEDDING_LENGTH, NetworkError, UvMap};
use posebook_core::frame::FrameSize;
use posebook_core::person::{BBox, Person, TrackId, pixel_from_square};
use std::collections::HashMap;

/// Embeddings are divided by 1000 before they are compared.
const EMBEDDING_SCALE: f64 = 1.0 / (1000.0 * 1000.0);

/// Assigns identities to people, frame by frame.
#[derive(Debug, Clone)]
pub struct Tracker {
    settings: Settings,
    networks: Networks,
    tracks: Vec<LiveTrack>,
    next_id: u32,
    last_frame: Option<usize>,
    shot: bool,
    pending: PendingFrames,
    /// `None` unless associations are recorded.
    records: Option<Vec<AssociationRecord>>,
}

/// A live track with the box and person index of its last match.
#[derive(Debug, Clone)]
struct LiveTrack {
    track: Track,
    bbox: BBox,
    person_index: usize,
}

/// What the texture distance of a frame is computed from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TextureSource {
    /// Nothing: it is 0, or does not enter the cost.
    Nothing,
    Embeddings,
    Maps,
}

/// A prediction and a person whose cost needs their texture distance.
struct OpenPair<'a> {
    track: usize,
    prediction: &'a Prediction,
    person: usize,
    bare: CostTerms,
}

impl Tracker {
    /// A tracker without tracks and networks.
    ///
    /// # Errors
    /// If a setting is outside the tracker's limits, or a cue needs a network.
    pub fn new(settings: Settings) -> Result<Tracker, SettingsError> {
        Tracker::with_networks(settings, Networks::default())
    }

    /// A tracker without tracks. Networks that no cue needs are ignored.
    ///
    /// # Errors
    /// If a setting is outside the tracker's limits, or a cue needs a network that is missing.
    pub fn with_networks(settings: Settings, networks: Networks) -> Result<Tracker, SettingsError> {
        settings.check()?;
        networks.check(settings.cues)?;
        Ok(Tracker {
            settings,
            networks,
            tracks: Vec::new(),
            next_id: 1,
            last_frame: None,
            shot: false,
            pending: PendingFrames::default(),
            records: None,
        })
    }

    /// Marks the next frame as the first of a new shot: matched tracks forget where they were before, and
    /// [`CostEquation::Eq010`] compares only embeddings and poses in that frame.
    pub fn begin_shot(&mut self) {
        self.shot = true;
    }

    /// Records the association of every frame from now on. Whoever asks for it has to call
    /// [`Tracker::take_association_records`] regularly, because the records grow with the video.
    pub fn record_associations(&mut self) {
        self.records.get_or_insert_default();
    }

    /// Removes and returns the records since the last call, oldest first; none unless they are asked for.
    pub fn take_association_records(&mut self) -> Vec<AssociationRecord> {
        self.records.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Tracks the people of one frame of `size`.
    ///
    /// Returns the frames that became final, oldest first, each once, also those without tracks: usually this
    /// frame, at the latest `n_init - 1` frames later.
    ///
    /// # Errors
    /// If frames are out of order, a person's values are missing or not finite, or a network fails. After a failed network
    /// the tracker must not be used any more.
    pub fn update(
        &mut self,
        frame_index: usize,
        size: FrameSize,
        persons: &[Person],
    ) -> Result<Vec<FrameTracks>, TrackError> {
        self.update_annotated(frame_index, size, persons, |_| false)
    }

    /// As [`Tracker::update`]; `is_annotated` says of a person's index whether an annotation was given for that person, which
    /// confirms its track at once.
    ///
    /// # Errors
    /// As [`Tracker::update`].
    pub fn update_annotated(
        &mut self,
        frame_index: usize,
        size: FrameSize,
        persons: &[Person],
        is_annotated: impl Fn(usize) -> bool,
    ) -> Result<Vec<FrameTracks>, TrackError> {
        let needed = self.settings.appearance_needed(self.shot);
        let arrivals = persons.iter().enumerate().map(|(person_index, person)| {
            let observation = Observation::from_person(frame_index, person, self.settings.pose_distance);
            let mut observation = observation.ok_or(TrackError::Person { frame_index, person_index })?;
            if needed > AppearanceNeeded::Nothing && !observation.appearance.as_ref().is_some_and(is_usable) {
                return Err(TrackError::Appearance { frame_index, person_index });
            }
            observation.annotated = is_annotated(person_index);
            Ok((observation, person.detection.bbox))
        });
        let arrivals = arrivals.collect::<Result<_, TrackError>>()?;
        self.update_with_arrivals(frame_index, size, arrivals)
    }

    /// As [`Tracker::update`], for people of whom only the boxes are known, in pixels of the frame: see
    /// [`Observation::from_box`]. The pose cue then has no effect.
    ///
    /// # Errors
    /// If frames are out of order, a box is empty or not finite, or the settings compare appearances, which boxes do not have.
    pub fn update_boxes(
        &mut self,
        frame_index: usize,
        size: FrameSize,
        boxes: &[BBox],
    ) -> Result<Vec<FrameTracks>, TrackError> {
        let needs_appearance = self.settings.appearance_needed(self.shot) > AppearanceNeeded::Nothing;
        let arrivals = boxes.iter().enumerate().map(|(box_index, bbox)| {
            if needs_appearance {
                return Err(TrackError::Appearance { frame_index, person_index: box_index });
            }
            let observation = Observation::from_box(frame_index, size, bbox, self.settings.pose_distance);
            Ok((observation.ok_or(TrackError::Box { frame_index, box_index })?, *bbox))
        });
        let arrivals = arrivals.collect::<Result<_, TrackError>>()?;
        self.update_with_arrivals(frame_index, size, arrivals)
    }

    fn update_with_arrivals(
        &mut self,
        frame_index: usize,
        size: FrameSize,
        arrivals: Vec<(Observation, BBox)>,
    ) -> Result<Vec<FrameTracks>, TrackError> {
        self.check_order(frame_index)?;
        let costs = self.costs(arrivals.iter().map(|(observation, _)| observation))?;
        self.update_with_costs(frame_index, size, arrivals, &costs)?;
        Ok(self.take_final())
    }

    /// Ends the video and returns the remaining frames. Tracks that are still tentative are dropped.
    pub fn finish(&mut self) -> Vec<FrameTracks> {
        self.pending.take_all()
    }

    /// The live tracks, ascending by id.
    pub fn tracks(&self) -> impl ExactSizeIterator<Item = &Track> {
        self.tracks.iter().map(|member| &member.track)
    }

    /// Frames whose tracks are not final yet.
    pub fn pending_frames(&self) -> usize {
        self.pending.len()
    }

    /// Index of the person that track `id` last matched, in the frame of that match.
    pub fn person_index(&self, id: TrackId) -> Option<usize> {
        self.tracks.iter().find(|member| member.track.id() == id).map(|member| member.person_index)
    }

    /// Cost matrix of tracks (rows, ascending by id) and people (columns), before gating.
    ///
    /// Texture distances that cannot change the assignment are left out: where a cost exceeds `hungarian_th` without the
    /// texture, it is the cost without the texture. Texture can only raise it, and such pairs are never matched.
    ///
    /// # Errors
    /// If an appearance that the cost needs is missing, or the texture encoder fails.
    pub fn costs<'a>(
        &self,
        observations: impl Iterator<Item = &'a Observation>,
    ) -> Result<Costs, TrackError> {
        self.cost_matrix(&observations.collect::<Vec<_>>(), self.settings.hungarian_th)
    }

    /// As [`Tracker::costs`], with all texture distances, as the reference computes them: two encodings per pair.
    ///
    /// # Errors
    /// As [`Tracker::costs`].
    pub fn unpruned_costs<'a>(
        &self,
        observations: impl Iterator<Item = &'a Observation>,
    ) -> Result<Costs, TrackError> {
        self.cost_matrix(&observations.collect::<Vec<_>>(), f64::INFINITY)
    }

    /// Least costs over each track's predictions; those above `threshold` may lack the texture.
    fn cost_matrix(&self, persons: &[&Observation], threshold: f64) -> Result<Costs, TrackError> {
        let Settings { cues, distance_type, .. } = self.settings;
        let source = self.texture_source();
        let mut least = vec![f64::MAX; self.tracks.len() * persons.len()];
        let mut open = Vec::new();
        for (track, member) in self.tracks.iter().enumerate() {
            let row = &mut least[track * persons.len()..][..persons.len()];
            for prediction in member.track.predictions() {
                for (person, (least, observation)) in row.iter_mut().zip(persons).enumerate() {
                    let bare = CostTerms::between(prediction, observation, cues);
                    let cost = match source {
                        TextureSource::Nothing => Some(distance_type.cost(&bare, self.shot)),
                        _ => distance_type.cost_without_texture(&bare, self.shot, threshold),
                    };
                    match cost {
                        Some(cost) => *least = least.min(cost),
                        None => open.push(OpenPair { track, prediction, person, bare }),
                    }
                }
            }
        }
        let textures = match source {
            TextureSource::Nothing => Vec::new(),
            TextureSource::Embeddings => self.embedding_distances(persons, &open)?,
            TextureSource::Maps => self.map_distances(persons, &open)?,
        };
        for (pair, texture) in open.iter().zip(textures) {
            let cost = distance_type.cost(&CostTerms { texture, ..pair.bare }, self.shot);
            let least = &mut least[pair.track * persons.len() + pair.person];
            *least = least.min(cost);
        }
        Ok(Costs::from_fn(self.tracks.len(), persons.len(), |track, person| {
            least[track * persons.len() + person]
        }))
    }

    fn texture_source(&self) -> TextureSource {
        match (self.settings.distance_type, self.settings.cues.texture) {
            (CostEquation::Eq010, _) if self.shot => TextureSource::Embeddings,
            (CostEquation::Eq010 | CostEquation::Eq019 | CostEquation::A0, TextureCue::Embedding) => {
                TextureSource::Embeddings
            }
            (CostEquation::Eq010 | CostEquation::Eq019 | CostEquation::A0, TextureCue::Uv) => {
                TextureSource::Maps
            }
            _ => TextureSource::Nothing,
        }
    }

    /// Squared distances of the embeddings.
    fn embedding_distances(
        &self,
        persons: &[&Observation],
        pairs: &[OpenPair],
    ) -> Result<Vec<f64>, TrackError> {
        let distance = |pair: &OpenPair| {
            let track =
                pair.prediction.embedding.as_ref().ok_or_else(|| self.no_appearance(persons, pair))?;
            let person = appearance(persons, pair.person)?;
            Ok(EMBEDDING_SCALE * squared_distance(track, &person.embedding))
        };
        pairs.iter().map(distance).collect()
    }

    /// Distances of the texture maps, each pair of maps compared once.
    fn map_distances(&self, persons: &[&Observation], pairs: &[OpenPair]) -> Result<Vec<f64>, TrackError> {
        let Some(encoder) = self.networks.texture.as_deref().filter(|_| !pairs.is_empty()) else {
            return Ok(Vec::new());
        };
        // a lost track's predictions share one map
        let (mut maps, mut map_numbers) = (Vec::new(), HashMap::new());
        let (mut unique, mut numbers) = (Vec::new(), HashMap::new());
        let mut pair_numbers = Vec::with_capacity(pairs.len());
        for pair in pairs {
            let map = pair.prediction.texture.as_deref().ok_or_else(|| self.no_appearance(persons, pair))?;
            let map_number = *map_numbers.entry(std::ptr::from_ref(map)).or_insert_with(|| {
                maps.push(map);
                maps.len() - 1
            });
            pair_numbers.push(*numbers.entry((map_number, pair.person)).or_insert_with(|| {
                unique.push((map_number, pair.person));
                unique.len() - 1
            }));
        }
        let uvs = (0..persons.len()).map(|person| Ok(&*appearance(persons, person)?.uv));
        let uvs: Vec<&UvMap> = uvs.collect::<Result<_, TrackError>>()?;
        let frame_index = persons.first().map_or(0, |of| of.frame_index);
        let distances = texture::uv_distances(encoder, &maps, &uvs, &unique)
            .map_err(|source| TrackError::Network { frame_index, source })?;
        Ok(pair_numbers.into_iter().map(|number| distances[number]).collect())
    }

    fn no_appearance(&self, persons: &[&Observation], pair: &OpenPair) -> TrackError {
        let frame_index = persons[pair.person].frame_index;
        TrackError::TrackAppearance { frame_index, track_id: self.tracks[pair.track].track.id().0 }
    }

    fn check_order(&self, frame_index: usize) -> Result<(), TrackError> {
        match self.last_frame {
            Some(last) if last >= frame_index => Err(TrackError::Order { frame_index, last }),
            _ => Ok(()),
        }
    }

    /// Tracks one frame with given costs: the second half of [`Tracker::update`].
    ///
    /// # Errors
    /// If frames are out of order, or the pose predictor fails.
    ///
    /// # Panics
    /// If the cost matrix is not tracks x arrivals.
    pub fn update_with_costs(
        &mut self,
        frame_index: usize,
        size: FrameSize,
        arrivals: Vec<(Observation, BBox)>,
        costs: &Costs,
    ) -> Result<Association, TrackError> {
        self.check_order(frame_index)?;
        assert_eq!(
            (costs.rows(), costs.columns()),
            (self.tracks.len(), arrivals.len()),
            "costs of another frame"
        );
        self.last_frame = Some(frame_index);
        let shot = std::mem::take(&mut self.shot);
        let pairing = self.pair(frame_index, costs, &arrivals);
        let ids = |tracks: &[usize]| tracks.iter().map(|&track| self.tracks[track].track.id()).collect();
        let mut update = Association {
            matches: pairing
                .matches
                .iter()
                .map(|&(at, person)| (self.tracks[at].track.id(), person))
                .collect(),
            unmatched_tracks: ids(&pairing.free_tracks),
            unmatched_persons: pairing.free_persons.clone(),
            deleted: Vec::new(),
        };

        self.tracks.iter_mut().for_each(|member| member.track.increment_time_since_update());
        for &(track, person_index) in &pairing.matches {
            let (observation, bbox) = arrivals[person_index].clone();
            let member = &mut self.tracks[track];
            member.track.update(observation, shot, &self.settings);
            (member.bbox, member.person_index) = (bbox, person_index);
        }
        for &track in &pairing.free_tracks {
            self.tracks[track].track.mark_missed(&self.settings);
        }
        // two batches, as in the reference: the learned pose predictor reads all tracks of a batch at the first one's times
        let mut matched: Vec<usize> = pairing.matches.iter().map(|&(track, _)| track).collect();
        matched.dedup();
        self.predict(frame_index, &matched)?;
        self.predict(frame_index, &pairing.free_tracks)?;
        for person_index in pairing.free_persons {
            let (observation, bbox) = arrivals[person_index].clone();
            let track = Track::new(TrackId(self.next_id), observation, &self.settings);
            self.tracks.push(LiveTrack { track, bbox, person_index });
            self.next_id += 1;
        }
        self.record(frame_index, size, &mut update);
        Ok(update)
    }

    /// Pairs tracks with people, and records how if that was asked for.
    fn pair(&mut self, frame_index: usize, costs: &Costs, arrivals: &[(Observation, BBox)]) -> Pairing {
        let clipped = association::clip(costs, self.settings.hungarian_th);
        let identities = || {
            let tracks = self.tracks.iter().map(|member| member.track.last().ground_truth);
            let persons = arrivals.iter().map(|(observation, _)| observation.ground_truth);
            (tracks.collect::<Vec<_>>(), persons.collect::<Vec<_>>())
        };
        let pairing = if self.settings.use_gt {
            let (tracks, persons) = identities();
            association::pair_by_identity(&tracks, &persons)
        } else {
            association::pair_by_costs(&clipped, self.settings.hungarian_th)
        };
        if self.records.is_some() {
            let (track_identities, person_identities) = identities();
            let record = AssociationRecord {
                frame_index,
                costs: (clipped.rows() > 0 && clipped.columns() > 0).then_some(clipped),
                matches: pairing.matches.clone(),
                unmatched_tracks: pairing.free_tracks.clone(),
                unmatched_persons: pairing.free_persons.clone(),
                track_identities,
                person_identities,
                track_ids: self.tracks().map(Track::id).collect(),
            };
            self.records.get_or_insert_default().push(record);
        }
        pairing
    }

    /// Predicts the given tracks in one batch.
    fn predict(&mut self, frame_index: usize, tracks: &[usize]) -> Result<(), TrackError> {
        let mut poses = match (self.settings.cues.pose, &self.networks.pose) {
            (PoseCue::Predictor, Some(predictor)) if !tracks.is_empty() => {
                let histories = tracks.iter().map(|&track| self.tracks[track].track.pose_history());
                let poses = histories.collect::<Option<Vec<_>>>().ok_or_else(|| NetworkError {
                    message: "the pose predictor needs pose vectors, not joints".into(),
                    is_out_of_memory: false,
                });
                let poses = poses.and_then(|histories| super::networks::predict(&**predictor, &histories));
                poses.map_err(|source| TrackError::Network { frame_index, source })?
            }
            _ => Vec::new(),
        }
        .into_iter();
        for &track in tracks {
            self.tracks[track].track.predict(&self.settings, poses.next());
        }
        Ok(())
    }

    /// Removes and returns the frames that became final since the last call.
    pub fn take_final(&mut self) -> Vec<FrameTracks> {
        self.pending.take_final()
    }

    /// Records the tracks of this frame, and removes deleted tracks.
    ///
    /// As the reference does, a track is written back into the frames in which it was tentative when its matches are exactly
    /// `n_init`. They skip this number if `n_init` is 1, or if `use_gt` matches a track several times in a frame: then it
    /// begins with the frame that confirms it.
    fn record(&mut self, frame_index: usize, size: FrameSize, update: &mut Association) {
        self.pending.begin_frame(frame_index);
        for LiveTrack { track, bbox, person_index } in &self.tracks {
            if track.state() == TrackState::Deleted {
                self.pending.discard(track.id());
                update.deleted.push(track.id());
                continue;
            }
            let confirmed = track.state() == TrackState::Confirmed;
            if confirmed && track.hits() > self.settings.n_init {
                self.pending.discard(track.id());
            } else if confirmed {
                self.pending.confirm(track.id());
            } else if track.hits() >= self.settings.n_init {
                continue;
            }
            let identity = FrameTrack {
                track_id: track.id(),
                person_index: (track.time_since_update() == 0).then_some(*person_index),
                time_since_update: track.time_since_update(),
                bbox: *bbox,
                predicted_in_image: pixel_from_square(
                    track.prediction().location.in_square,
                    size.width,
                    size.height,
                ),
            };
            self.pending.add(identity, confirmed);
        }
        self.tracks.retain(|member| member.track.state() != TrackState::Deleted);
    }
}

/// Whether the embedding has the right length and finite values.
fn is_usable(appearance: &Appearance) -> bool {
    let embedding = &appearance.embedding;
    embedding.len() == EMBEDDING_LENGTH && embedding.iter().all(|value| value.is_finite())
}

fn appearance<'a>(persons: &[&'a Observation], person_index: usize) -> Result<&'a Appearance, TrackError> {
    let observation = persons[person_index];
    let missing = TrackError::Appearance { frame_index: observation.frame_index, person_index };
    observation.appearance.as_ref().ok_or(missing)
}

#[cfg(test)]
#[path = "tracker_tests.rs"]
mod tests;
