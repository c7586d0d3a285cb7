//! The SMPL parameters of one track with the keys of AMASS's files, as `.npz`.
//!
//! `poses` (N, 72) axis times angle of SMPL's 24 joints in radians, `trans` (N, 3) meters, `betas` (10), `gender` `neutral`,
//! `mocap_framerate`, all floats in double precision. AMASS's world has z up: camera axes (y down, z away) are turned by -90
//! degrees about x. Besides, `seen` (N) is 1 for poses of the video and 0 for interpolated ones, and `first_frame` is the
//! frame of the first row.

use crate::motion::Motion;
use crate::rotation::{Quaternion, axis_angle, product};
use crate::track_files::TrackCollector;
use crate::{ExportError, ExportFrame, Exported, FrameSink, VideoInfo};
use posebook_core::files::write_atomically;
use posebook_core::npz::{NpzWriter, Values};
use posebook_models::body::{Body, NUM_JOINTS};
use std::f64::consts::FRAC_1_SQRT_2;
use std::path::Path;

/// -90 degrees about x.
const Z_UP: Quaternion = [-FRAC_1_SQRT_2, 0.0, 0.0, FRAC_1_SQRT_2];

/// Largest archive that the format's 32-bit offsets allow, values.
const MOST_VALUES: usize = 400_000_000;

/// Writes one `.npz` per track. Holds the tracks in memory.
pub struct AmassWriter(TrackCollector);

impl AmassWriter {
    /// Collects tracks for the file or folder `out`.
    ///
    /// # Errors
    /// If the body has not SMPL's skeleton.
    pub fn create(
        out: &Path,
        video: VideoInfo,
        body: Body,
        track: Option<u64>,
    ) -> Result<AmassWriter, ExportError> {
        Ok(AmassWriter(TrackCollector::create(out, "npz", video, body, track)?))
    }
}

impl FrameSink for AmassWriter {
    fn push(&mut self, frame: ExportFrame) -> Result<(), ExportError> {
        self.0.push(&frame)
    }

    fn finish(self: Box<Self>) -> Result<Exported, ExportError> {
        self.0.finish(|path, track, body, video| {
            let (first, last) = track.span();
            if (last - first) as usize >= MOST_VALUES / (3 * NUM_JOINTS) {
                return Err(ExportError::TooLarge { path: path.to_path_buf(), limit: "4 GiB" });
            }
            write_atomically(path, &archive(track, body, video)).map_err(ExportError::file(path))
        })
    }
}

/// The archive of one track.
fn archive(track: &Motion, body: &Body, video: &VideoInfo) -> Vec<u8> {
    let betas = track.betas();
    let pelvis = body.rest_joints(&betas)[0].map(f64::from);
    let (mut poses, mut translations, mut seen) = (Vec::new(), Vec::new(), Vec::new());
    for pose in track.poses() {
        for (joint, rotation) in pose.rotations.iter().enumerate() {
            let turned = if joint == 0 { product(&Z_UP, rotation) } else { *rotation };
            poses.extend(axis_angle(&turned));
        }
        // SMPL turns the body about its pelvis: the pelvis is what the camera's turn moves
        let at: [f64; 3] = std::array::from_fn(|axis| pelvis[axis] + pose.translation[axis]);
        let turned = [at[0], at[2], -at[1]];
        translations.extend((0..3).map(|axis| turned[axis] - pelvis[axis]));
        seen.push(i64::from(pose.seen));
    }
    let rows = seen.len();
    NpzWriter::new()
        .add_array("poses", &[rows, 3 * NUM_JOINTS], Values::F64(&poses))
        .add_array("trans", &[rows, 3], Values::F64(&translations))
        .add_array("betas", &[betas.len()], Values::F64(&betas.map(f64::from)))
        .add_array("gender", &[], Values::Text("neutral"))
        .add_array("mocap_framerate", &[], Values::F64(&[video.fps]))
        .add_array("seen", &[rows], Values::I64(&seen))
        .add_array("first_frame", &[], Values::I64(&[track.span().0.into()]))
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::tests::frame;
    use crate::motion::Motions;
    use posebook_core::geometry::{Vec3, add, rotation_from_axis_angle};
    use posebook_core::person::SmplParams;

    /// SMPL with the written parameters has the joints of the person, turned so that z is up.
    #[test]
    fn the_parameters_pose_the_same_body_with_z_up() {
        let body = Body::built_in();
        let mut motions = Motions::new(None);
        let one = frame(7, &[1]);
        motions.push(&one).unwrap();
        let track = motions.tracks().unwrap()[0];
        let file = archive(track, &body, &VideoInfo::new("v", 25.0));
        let floats = |name: &str| -> Vec<f32> {
            let at = file.windows(name.len()).position(|window| window == name.as_bytes()).unwrap();
            let header = &file[at + name.len()..];
            let end = header.iter().position(|byte| *byte == b'\n').unwrap() + 1;
            let count = match name {
                "poses.npy" => 72,
                "trans.npy" => 3,
                _ => 10,
            };
            let chunks = header[end..].as_chunks::<8>().0.iter().take(count);
            chunks.map(|bytes| f64::from_le_bytes(*bytes) as f32).collect()
        };
        let (poses, trans, betas) = (floats("poses.npy"), floats("trans.npy"), floats("betas.npy"));
        let rotation = |joint: usize| {
            rotation_from_axis_angle([poses[3 * joint], poses[3 * joint + 1], poses[3 * joint + 2]])
        };
        let params = SmplParams {
            betas: betas.try_into().unwrap(),
            global_orient: rotation(0),
            body_pose: std::array::from_fn(|joint| rotation(joint + 1)),
        };
        let person = &one.people[0];
        let pairs = body.pose(&params).joints24.into_iter().zip(body.pose(&person.params).joints24);
        for (written, wanted) in pairs {
            let written: Vec3 = add(written, [trans[0], trans[1], trans[2]]);
            let [x, y, z] = add(wanted, person.translation);
            for (a, b) in written.iter().zip([x, z, -y]) {
                assert!((a - b).abs() < 2e-5, "{written:?} {:?}", [x, z, -y]);
            }
        }
    }
}
