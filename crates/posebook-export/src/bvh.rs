//! BVH: the skeleton of one track and its rotations.
//!
//! 24 joints with SMPL's names; rest offsets of the track's mean shape in centimeters; root position in centimeters; angles in
//! degrees in the order z, x, y; y up, z towards the camera. BVH has a fixed rate and no gaps: frames in which the track was
//! not seen are interpolated.

use crate::motion::Motion;
use crate::rotation::{Quaternion, product, zxy_degrees};
use crate::track_files::TrackCollector;
use crate::{ExportError, ExportFrame, Exported, FrameSink, VideoInfo};
use posebook_core::files::AtomicFile;
use posebook_core::geometry::{Vec3, sub};
use posebook_models::body::{Body, JOINT_NAMES, NUM_JOINTS};
use std::io::{self, Write};
use std::path::Path;

/// Half a turn about x: camera axes (y down, z away) to y up, z towards the camera.
const Y_UP: Quaternion = [1.0, 0.0, 0.0, 0.0];
const CM: f64 = 100.0;
/// Length of a bone that ends a chain, as a part of the bone before it; BVH needs one, and SMPL has none.
const END_PART: f32 = 0.5;

/// Writes one BVH file per track. Holds the tracks in memory.
pub struct BvhWriter(TrackCollector);

impl BvhWriter {
    /// Collects tracks for the file or folder `out`.
    ///
    /// # Errors
    /// If the body has not SMPL's skeleton.
    pub fn create(
        out: &Path,
        video: VideoInfo,
        body: Body,
        track: Option<u64>,
    ) -> Result<BvhWriter, ExportError> {
        Ok(BvhWriter(TrackCollector::create(out, "bvh", video, body, track)?))
    }
}

impl FrameSink for BvhWriter {
    fn push(&mut self, frame: ExportFrame) -> Result<(), ExportError> {
        self.0.push(&frame)
    }

    fn finish(self: Box<Self>) -> Result<Exported, ExportError> {
        self.0.finish(|path, track, body, video| {
            let write = || {
                let mut file = AtomicFile::create(path)?;
                write_track(&mut file, track, body, video.fps)?;
                file.finish()
            };
            write().map_err(ExportError::file(path))
        })
    }
}

fn write_track(out: &mut impl Write, track: &Motion, body: &Body, fps: f64) -> io::Result<()> {
    let rest = body.rest_joints(&track.betas());
    let mut order = Vec::new();
    writeln!(out, "HIERARCHY")?;
    write_joint(out, body, &rest, 0, 0, &mut order)?;
    let (first, last) = track.span();
    writeln!(out, "MOTION\nFrames: {}\nFrame Time: {:.8}", last - first + 1, 1.0 / fps)?;
    for pose in track.poses() {
        let [x, y, z]: [f64; 3] =
            std::array::from_fn(|axis| CM * (f64::from(rest[0][axis]) + pose.translation[axis]));
        write!(out, "{:.5} {:.5} {:.5}", x, -y, -z)?;
        for &joint in &order {
            let rotation = &pose.rotations[joint];
            let turned = if joint == 0 { product(&Y_UP, rotation) } else { *rotation };
            let [z, x, y] = zxy_degrees(&turned);
            write!(out, " {z:.6} {x:.6} {y:.6}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Writes a joint and those below it, and adds them to `order`, the order of the channels.
fn write_joint(
    out: &mut impl Write,
    body: &Body,
    rest: &[Vec3],
    joint: usize,
    depth: usize,
    order: &mut Vec<usize>,
) -> io::Result<()> {
    order.push(joint);
    let indent = "  ".repeat(depth);
    let parent = body.parents[joint];
    let bone = parent.map_or([0.0; 3], |parent| sub(rest[joint], rest[parent]));
    let (word, channels) = match parent {
        None => ("ROOT", "6 Xposition Yposition Zposition"),
        Some(_) => ("JOINT", "3"),
    };
    writeln!(out, "{indent}{word} {}\n{indent}{{", JOINT_NAMES[joint])?;
    writeln!(out, "{indent}  OFFSET {}", centimeters(bone))?;
    writeln!(out, "{indent}  CHANNELS {channels} Zrotation Xrotation Yrotation")?;
    let mut is_end = true;
    for child in (0..NUM_JOINTS).filter(|&child| body.parents[child] == Some(joint)) {
        write_joint(out, body, rest, child, depth + 1, order)?;
        is_end = false;
    }
    if is_end {
        let end = bone.map(|value| END_PART * value);
        writeln!(
            out,
            "{indent}  End Site\n{indent}  {{\n{indent}    OFFSET {}\n{indent}  }}",
            centimeters(end)
        )?;
    }
    writeln!(out, "{indent}}}")
}

fn centimeters(offset: Vec3) -> String {
    let [x, y, z] = offset.map(|value| CM * f64::from(value));
    format!("{x:.5} {y:.5} {z:.5}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::tests::frame;
    use crate::motion::Motions;
    use posebook_core::geometry::{Mat3, add, apply, multiply, rotation_from_axis_angle};

    fn turn(axis: usize, degrees: f32) -> Mat3 {
        let mut vector = [0.0; 3];
        vector[axis] = degrees.to_radians();
        rotation_from_axis_angle(vector)
    }

    /// Positions of all joints of each frame, meters, as a reader of BVH computes them.
    fn joints_of(text: &str) -> Vec<Vec<(String, Vec3)>> {
        let (hierarchy, motion) = text.split_once("MOTION").unwrap();
        let (mut joints, mut open, mut name) = (Vec::new(), Vec::new(), None);
        for line in hierarchy.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["ROOT" | "JOINT", joint] => name = Some(joint.to_string()),
                ["End", _] => name = None,
                ["{"] => open.push(name.clone()),
                ["}"] => drop(open.pop()),
                ["OFFSET", x, y, z] => {
                    let offset = [x, y, z].map(|value| value.parse::<f32>().unwrap());
                    if let Some(Some(joint)) = open.last() {
                        let parent = open.len().checked_sub(2).map(|index| open[index].clone().unwrap());
                        joints.push((joint.clone(), parent, offset));
                    }
                }
                _ => {}
            }
        }
        let frame = |line: &str| {
            let values: Vec<f32> = line.split(' ').map(|value| value.parse().unwrap()).collect();
            let mut placed: Vec<(String, Vec3)> = Vec::new();
            let mut turned: Vec<Mat3> = Vec::new();
            for (index, (joint, parent, offset)) in joints.iter().enumerate() {
                let angles = &values[3 + 3 * index..];
                let local =
                    multiply(&multiply(&turn(2, angles[0]), &turn(0, angles[1])), &turn(1, angles[2]));
                match parent {
                    None => {
                        placed.push((joint.clone(), [values[0], values[1], values[2]]));
                        turned.push(local);
                    }
                    Some(parent) => {
                        let above = placed.iter().position(|(name, _)| name == parent).unwrap();
                        placed.push((joint.clone(), add(placed[above].1, apply(&turned[above], *offset))));
                        turned.push(multiply(&turned[above], &local));
                    }
                }
            }
            placed.into_iter().map(|(joint, at)| (joint, at.map(|value| value / 100.0))).collect()
        };
        motion.lines().skip(3).map(frame).collect()
    }

    #[test]
    fn a_reader_gets_the_joints_of_the_body() {
        let body = Body::built_in();
        let mut motions = Motions::new(None);
        // one shape, so that the mean is the person's own
        let frames: Vec<_> = (0..40).step_by(2).map(|number| frame(number, &[1])).collect();
        frames.iter().for_each(|frame| motions.push(frame).unwrap());
        let mut text = Vec::new();
        write_track(&mut text, motions.tracks().unwrap()[0], &body, 12.5).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("Frames: 20\nFrame Time: 0.08000000\n"), "{text}");
        let read = joints_of(&text);
        assert_eq!((read.len(), read[0].len()), (20, NUM_JOINTS));
        for (frame, joints) in frames.iter().zip(read) {
            let person = &frame.people[0];
            let posed = body.pose(&person.params).joints24;
            for (name, at) in joints {
                let joint = JOINT_NAMES.iter().position(|joint| *joint == name).unwrap();
                let [x, y, z] = add(posed[joint], person.translation);
                for (a, b) in at.iter().zip([x, -y, -z]) {
                    assert!((a - b).abs() < 1e-4, "{name}: {at:?}, wanted {:?}", [x, -y, -z]);
                }
            }
        }
    }
}
