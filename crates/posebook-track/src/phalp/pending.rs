//! Frames whose tracks are not final yet: a tentative track may still be deleted.

use posebook_core::person::{BBox, TrackId};
use std::collections::VecDeque;

/// A confirmed track in one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameTrack {
    /// The track.
    pub track_id: TrackId,
    /// Index into the frame's people; `None` for a lost track, which was not matched in this frame.
    pub person_index: Option<usize>,
    /// Frames since the last match; 0 when matched in this frame.
    pub time_since_update: usize,
    /// Box in pixels of the frame; for a lost track the box of its last match.
    pub bbox: BBox,
    /// Predicted position of the body's origin in the next frame, pixels.
    pub predicted_in_image: [f32; 2],
}

impl FrameTrack {
    /// Whether the track was not matched in this frame.
    pub fn is_lost(&self) -> bool {
        self.person_index.is_none()
    }
}

/// The final tracks of one frame, ascending by id, each id once. People without an entry belong to no confirmed
/// track.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameTracks {
    /// The frame.
    pub frame_index: usize,
    /// Confirmed tracks, lost ones included.
    pub tracks: Vec<FrameTrack>,
}

/// Frames with undecided tracks, oldest first.
#[derive(Debug, Clone, Default)]
pub struct PendingFrames {
    frames: VecDeque<(usize, Vec<PendingTrack>)>,
}

#[derive(Debug, Clone)]
struct PendingTrack {
    track: FrameTrack,
    confirmed: bool,
}

impl PendingFrames {
    /// Appends a frame without tracks.
    pub fn begin_frame(&mut self, frame_index: usize) {
        self.frames.push_back((frame_index, Vec::new()));
    }

    /// Adds a track to the newest frame.
    pub fn add(&mut self, identity: FrameTrack, confirmed: bool) {
        if let Some((_, entries)) = self.frames.back_mut() {
            entries.push(PendingTrack { track: identity, confirmed });
        }
    }

    /// Confirms a track in all pending frames.
    pub fn confirm(&mut self, track_id: TrackId) {
        let entries = self.frames.iter_mut().flat_map(|(_, entries)| entries);
        entries.filter(|entry| entry.track.track_id == track_id).for_each(|entry| entry.confirmed = true);
    }

    /// Removes the unconfirmed entries of a deleted track.
    pub fn discard(&mut self, track_id: TrackId) {
        for (_, entries) in &mut self.frames {
            entries.retain(|entry| entry.confirmed || entry.track.track_id != track_id);
        }
    }

    /// Removes and returns the frames, oldest first, up to the first with an unconfirmed entry.
    pub fn take_final(&mut self) -> Vec<FrameTracks> {
        let mut final_frames = Vec::new();
        while self.frames.front().is_some_and(|(_, entries)| entries.iter().all(|entry| entry.confirmed)) {
            final_frames.extend(self.frames.pop_front().map(|(frame_index, entries)| FrameTracks {
                frame_index,
                tracks: entries.into_iter().map(|entry| entry.track).collect(),
            }));
        }
        final_frames
    }

    /// Removes and returns all frames; unconfirmed entries are dropped.
    pub fn take_all(&mut self) -> Vec<FrameTracks> {
        for (_, entries) in &mut self.frames {
            entries.retain(|entry| entry.confirmed);
        }
        self.take_final()
    }

    /// Frames that are not final.
    pub fn len(&self) -> usize {
        self.frames.len()
    }
}
