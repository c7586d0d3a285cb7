//! The animation: keys of all joints.

use super::buffer::{Buffer, Kind};
use crate::motion::Motion;
use posebook_core::geometry::Vec3;
use posebook_models::body::NUM_JOINTS;
use serde_json::{Value, json};

/// The keys of all tracks: one animation, because programs play the first of several (Blender leaves everybody else at the
/// origin).
#[derive(Default)]
pub(super) struct Animation {
    samplers: Vec<Value>,
    channels: Vec<Value>,
}

impl Animation {
    /// Adds the rotations of a track's joints, the place of its pelvis, and where the track has gaps or does not last for the
    /// whole video, a scale of the pelvis that hides the body. Its joints are the nodes from `first_joint` on.
    pub fn add_track<'m>(
        &mut self,
        track: &'m Motion,
        times: &'m [f32],
        rest: &[Vec3],
        first_joint: usize,
        buffer: &mut Buffer<'m>,
    ) {
        let input = buffer.push_times(track, times);
        for joint in 0..NUM_JOINTS {
            self.channel(
                input,
                buffer.push_rotations(track, joint),
                first_joint + joint,
                "rotation",
                "LINEAR",
            );
        }
        self.channel(input, buffer.push_translations(track, rest[0]), first_joint, "translation", "LINEAR");
        let visible = visibility(track, times.len());
        if visible.len() > 1 {
            let input = buffer.push_floats(visible.iter().map(|(number, _)| times[*number]), Kind::Times);
            let scales = visible.iter().flat_map(|(_, is_visible)| [f32::from(u8::from(*is_visible)); 3]);
            self.channel(input, buffer.push_floats(scales, Kind::Keys3), first_joint, "scale", "STEP");
        }
    }

    fn channel(&mut self, input: usize, output: usize, node: usize, path: &str, interpolation: &str) {
        let target = json!({ "node": node, "path": path });
        self.channels.push(json!({ "sampler": self.samplers.len(), "target": target }));
        self.samplers.push(json!({ "input": input, "output": output, "interpolation": interpolation }));
    }

    /// The animation as glTF describes it.
    pub fn describe(self) -> Value {
        json!({ "name": "people", "samplers": self.samplers, "channels": self.channels })
    }
}

/// The frames from which on a track is visible or hidden, of `frames`. A single entry: it is always visible.
fn visibility(track: &Motion, frames: usize) -> Vec<(usize, bool)> {
    let mut changes = Vec::new();
    let mut next = 0;
    for number in track.numbers.iter().map(|&number| number as usize) {
        if number > next {
            changes.push((next, false));
        }
        if changes.last().is_none_or(|(_, is_visible)| !is_visible) {
            changes.push((number, true));
        }
        next = number + 1;
    }
    if next < frames {
        changes.push((next, false));
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::tests::frame;
    use crate::motion::Motions;

    #[test]
    fn gaps_are_hidden() {
        let mut motions = Motions::new(None);
        for (number, ids) in [&[1, 2][..], &[1, 2], &[1], &[1, 2, 3], &[1, 2, 3], &[1, 3]].iter().enumerate()
        {
            motions.push(&frame(number as u64, ids)).unwrap();
        }
        let of = |index: usize| visibility(motions.tracks().unwrap()[index], 6);
        assert_eq!(of(0), [(0, true)]);
        assert_eq!(of(1), [(0, true), (2, false), (3, true), (5, false)]);
        assert_eq!(of(2), [(0, false), (3, true)]);
    }
}
