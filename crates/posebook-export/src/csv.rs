//! Joints as CSV: a header with units, then a line for each joint of each person in each frame.
//!
//! Columns: frame (from 0), time in seconds, track, joint's name, position in camera axes in meters (x right, y down,
//! z away; the translation is included), position in pixels of the frame.

use crate::text_file::TextFile;
use crate::{ExportError, ExportFrame, Exported, FrameSink};
use posebook_core::geometry::add;
use posebook_core::person::{JOINTS, pixel_from_square};
use std::path::Path;

/// Names of the 44 joints: 25 in OpenPose's order, then 19 that are regressed from the surface.
pub const JOINT_NAMES: [&str; JOINTS] = [
    "nose",
    "neck",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "pelvis",
    "right_hip",
    "right_knee",
    "right_ankle",
    "left_hip",
    "left_knee",
    "left_ankle",
    "right_eye",
    "left_eye",
    "right_ear",
    "left_ear",
    "left_big_toe",
    "left_small_toe",
    "left_heel",
    "right_big_toe",
    "right_small_toe",
    "right_heel",
    "surface_right_ankle",
    "surface_right_knee",
    "surface_right_hip",
    "surface_left_hip",
    "surface_left_knee",
    "surface_left_ankle",
    "surface_right_wrist",
    "surface_right_elbow",
    "surface_right_shoulder",
    "surface_left_shoulder",
    "surface_left_elbow",
    "surface_left_wrist",
    "surface_neck",
    "surface_crown",
    "surface_pelvis",
    "surface_thorax",
    "surface_spine",
    "surface_jaw",
    "surface_head",
];

/// Writes joints as CSV. Holds one frame in memory.
pub struct CsvWriter {
    file: TextFile,
}

impl CsvWriter {
    /// Begins the file `path`, for all tracks or one.
    ///
    /// # Errors
    /// If it cannot be created or written.
    pub fn create(path: &Path, track: Option<u64>) -> Result<CsvWriter, ExportError> {
        let mut file = TextFile::create(path, track)?;
        file.write("frame,time_secs,track,joint,x_m,y_m,z_m,x_px,y_px\n")?;
        Ok(CsvWriter { file })
    }
}

impl FrameSink for CsvWriter {
    fn push(&mut self, frame: ExportFrame) -> Result<(), ExportError> {
        self.file.push(&frame, |out, person| {
            for (index, name) in JOINT_NAMES.iter().enumerate() {
                let [x, y, z] = add(person.joints[index], person.translation);
                let point = person.joints_in_square[index];
                let [u, v] = pixel_from_square(point, frame.size.width, frame.size.height);
                let (frame, secs, track) = (frame.index, frame.time_secs, person.id);
                writeln!(out, "{frame},{secs},{track},{name},{x},{y},{z},{u},{v}")?;
            }
            Ok(())
        })
    }

    fn finish(self: Box<Self>) -> Result<Exported, ExportError> {
        self.file.finish()
    }
}
