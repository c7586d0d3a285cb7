//! Identities that are not final yet: a tentative track may still prove to have been nobody.

use crate::person::BBox;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// A confirmed track in a frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    pub track_id: u32,
    /// Which of the frame's persons it is; `None` for a ghost, which was not seen in this frame.
    pub person_index: Option<usize>,
    /// Frames since it was last seen; 0 when it was seen in this one.
    pub missed_frames: usize,
    /// Its box, pixels of the frame: a ghost's is the box that it was last seen in.
    pub bbox: BBox,
    /// Where the tracker expects the body's origin in the frame after this one, pixels.
    pub expected_in_image: [f32; 2],
}

impl Identity {
    /// Whether the track was not seen in this frame.
    pub fn is_ghost(&self) -> bool {
        self.person_index.is_none()
    }
}

/// The final identities of one frame, by rising track id; no identity stands twice.
/// Persons that are not mentioned belong to no confirmed track.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FrameIdentities {
    pub frame_index: usize,
    pub identities: Vec<Identity>,
}

/// Frames whose identities wait for a decision, oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Pending {
    frames: VecDeque<(usize, Vec<Row>)>,
}

#[derive(Debug, Clone)]
struct Row {
    identity: Identity,
    confirmed: bool,
}

impl Pending {
    pub fn open(&mut self, frame_index: usize) {
        self.frames.push_back((frame_index, Vec::new()));
    }

    /// Notes a track in the newest frame.
    pub fn note(&mut self, identity: Identity, confirmed: bool) {
        if let Some((_, rows)) = self.frames.back_mut() {
            rows.push(Row { identity, confirmed });
        }
    }

    /// A track has proved to be somebody: so it was in the frames before.
    pub fn confirm(&mut self, track_id: u32) {
        let rows = self.frames.iter_mut().flat_map(|(_, rows)| rows);
        rows.filter(|row| row.identity.track_id == track_id).for_each(|row| row.confirmed = true);
    }

    /// A track is dropped: what was not confirmed of it never was.
    pub fn forget(&mut self, track_id: u32) {
        for (_, rows) in &mut self.frames {
            rows.retain(|row| row.confirmed || row.identity.track_id != track_id);
        }
    }

    /// Hands over the frames, oldest first, up to the first with an open question.
    pub fn take_decided(&mut self) -> Vec<FrameIdentities> {
        let mut decided = Vec::new();
        while self.frames.front().is_some_and(|(_, rows)| rows.iter().all(|row| row.confirmed)) {
            decided.extend(self.frames.pop_front().map(|(frame_index, rows)| FrameIdentities {
                frame_index,
                identities: rows.into_iter().map(|row| row.identity).collect(),
            }));
        }
        decided
    }

    /// Hands over all that is left; open questions are answered with no.
    pub fn take_all(&mut self) -> Vec<FrameIdentities> {
        for (_, rows) in &mut self.frames {
            rows.retain(|row| row.confirmed);
        }
        self.take_decided()
    }

    pub fn len(&self) -> usize {
        self.frames.len()
    }
}
