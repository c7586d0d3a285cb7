//! A frame that cannot be tracked.

use posebook_core::appearance::{EMBEDDING_LENGTH, NetworkError};

/// A frame that cannot be tracked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrackError {
    /// Frames have to be given in ascending order.
    #[error("frame {frame_index} comes after frame {last}; give the tracker frames in ascending order")]
    Order {
        /// The frame.
        frame_index: usize,
        /// The previous frame.
        last: usize,
    },
    /// A person cannot be tracked.
    #[error(
        "frame {frame_index}: person {person_index} has a pose, location or score that is missing or not finite; \
         leave the person out"
    )]
    Person {
        /// The frame.
        frame_index: usize,
        /// Index of the person in the frame.
        person_index: usize,
    },
    /// A person's appearance is needed and missing.
    #[error(
        "frame {frame_index}: person {person_index} has no embedding of {EMBEDDING_LENGTH} finite numbers, which the cost \
         compares; compute appearances, or set phalp.cues.texture to \"off\" and use no EQ_010 with shots"
    )]
    Appearance {
        /// The frame.
        frame_index: usize,
        /// Index of the person in the frame.
        person_index: usize,
    },
    /// A track's appearance is needed and missing: its person had none when it was last matched.
    #[error(
        "frame {frame_index}: track {track_id} has no appearance, which the cost compares; give the tracker people with \
         appearances in all frames"
    )]
    TrackAppearance {
        /// The frame.
        frame_index: usize,
        /// The track.
        track_id: u32,
    },
    /// A box cannot be tracked.
    #[error("frame {frame_index}: box {box_index} is empty or not finite; leave the box out")]
    Box {
        /// The frame.
        frame_index: usize,
        /// Index of the box in the frame.
        box_index: usize,
    },
    /// A network failed.
    #[error("frame {frame_index}: {source}")]
    Network {
        /// The frame.
        frame_index: usize,
        /// What failed.
        source: NetworkError,
    },
}
