//! The animation of one track: keys of its joints.

use super::buffer::{Buffer, Kind};
use crate::motion::Motion;
use posebook_core::geometry::Vec3;
use posebook_models::body::NUM_JOINTS;
use serde_json::{Value, json};

/// Rotations of all joints, the place of the pelvis, and where the track has gaps or does not last for the whole video, a
/// scale of the pelvis that hides the body.
pub(super) fn animation<'m>(
    track: &'m Motion,
    times: &'m [f32],
    rest: &[Vec3],
    first_node: usize,
    name: &str,
    buffer: &mut Buffer<'m>,
) -> Value {
    let (mut samplers, mut channels) = (Vec::new(), Vec::new());
    let mut channel = |input: usize, output: usize, joint: usize, path: &str, interpolation: &str| {
        channels.push(json!({
            "sampler": samplers.len(),
            "target": { "node": first_node + 1 + joint, "path": path },
        }));
        samplers.push(json!({ "input": input, "output": output, "interpolation": interpolation }));
    };
    let input = buffer.push_times(track, times);
    for joint in 0..NUM_JOINTS {
        channel(input, buffer.push_rotations(track, joint), joint, "rotation", "LINEAR");
    }
    channel(input, buffer.push_translations(track, rest[0]), 0, "translation", "LINEAR");
    let visible = visibility(track, times.len());
    if visible.len() > 1 {
        let input = buffer.push_floats(visible.iter().map(|(number, _)| times[*number]), Kind::Times);
        let scales = visible.iter().flat_map(|(_, is_visible)| [f32::from(u8::from(*is_visible)); 3]);
        channel(input, buffer.push_floats(scales, Kind::Keys3), 0, "scale", "STEP");
    }
    json!({ "name": name, "samplers": samplers, "channels": channels })
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
        for (number, ids) in [&[1, 2][..], &[1, 2], &[1], &[1, 2, 3], &[1, 2, 3], &[1, 3]].iter().enumerate() {
            motions.push(&frame(number as u64, ids)).unwrap();
        }
        let of = |index: usize| visibility(motions.tracks().unwrap()[index], 6);
        assert_eq!(of(0), [(0, true)]);
        assert_eq!(of(1), [(0, true), (2, false), (3, true), (5, false)]);
        assert_eq!(of(2), [(0, false), (3, true)]);
    }
}
