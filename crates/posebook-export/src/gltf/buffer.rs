//! The binary part: a list of sections, each with a view and an accessor. Keys of animations are written from the tracks, so
//! that they are not held twice.

use crate::motion::Motion;
use serde_json::{Value, json};
use std::io::{self, Write};

/// What a section's elements are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Matrices of 4 x 4, single precision.
    Matrix4,
    /// Vertex attribute: three floats, with bounds if they are positions.
    Vertex3 { with_bounds: bool },
    /// Vertex attribute: two floats.
    Vertex2,
    /// Vertex attribute: four floats.
    Vertex4,
    /// Vertex attribute: four bytes.
    Joints,
    /// Corners of triangles, 16 bits.
    Index16,
    /// Corners of triangles, 32 bits.
    Index32,
    /// Times of keys, with bounds.
    Times,
    /// Three floats for each key.
    Keys3,
    /// Four floats for each key.
    Keys4,
}

/// The values of a section.
enum Source<'m> {
    Bytes(Vec<u8>),
    /// Times of a track's keys.
    Times {
        track: &'m Motion,
        times: &'m [f32],
    },
    /// A joint's rotations.
    Rotations {
        track: &'m Motion,
        joint: usize,
    },
    /// The pelvis: its place in the rest pose and the body's translation.
    Translations {
        track: &'m Motion,
        pelvis: [f32; 3],
    },
}

struct Section<'m> {
    source: Source<'m>,
    kind: Kind,
}

/// The binary part.
#[derive(Default)]
pub(super) struct Buffer<'m> {
    sections: Vec<Section<'m>>,
}

impl Kind {
    /// glTF's component type, its type, the bytes of an element, and the view's target (34962 vertices, 34963 indices).
    fn layout(self) -> (u32, &'static str, usize, Option<u32>) {
        const BYTE: u32 = 5121;
        const SHORT: u32 = 5123;
        const INT: u32 = 5125;
        const FLOAT: u32 = 5126;
        match self {
            Kind::Matrix4 => (FLOAT, "MAT4", 64, None),
            Kind::Vertex3 { .. } => (FLOAT, "VEC3", 12, Some(34962)),
            Kind::Vertex2 => (FLOAT, "VEC2", 8, Some(34962)),
            Kind::Vertex4 => (FLOAT, "VEC4", 16, Some(34962)),
            Kind::Joints => (BYTE, "VEC4", 4, Some(34962)),
            Kind::Index16 => (SHORT, "SCALAR", 2, Some(34963)),
            Kind::Index32 => (INT, "SCALAR", 4, Some(34963)),
            Kind::Times => (FLOAT, "SCALAR", 4, None),
            Kind::Keys3 => (FLOAT, "VEC3", 12, None),
            Kind::Keys4 => (FLOAT, "VEC4", 16, None),
        }
    }
}

impl Section<'_> {
    fn count(&self) -> usize {
        match &self.source {
            Source::Bytes(bytes) => bytes.len() / self.kind.layout().2,
            Source::Times { track, .. }
            | Source::Rotations { track, .. }
            | Source::Translations { track, .. } => track.numbers.len(),
        }
    }

    fn byte_length(&self) -> usize {
        self.count() * self.kind.layout().2
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let mut floats =
            |values: &[f32]| values.iter().try_for_each(|value| out.write_all(&value.to_le_bytes()));
        match &self.source {
            Source::Bytes(bytes) => out.write_all(bytes),
            Source::Times { track, times } => {
                track.numbers.iter().try_for_each(|&number| floats(&[times[number as usize]]))
            }
            Source::Rotations { track, joint } => {
                track.rotations.iter().try_for_each(|rotations| floats(&rotations[*joint]))
            }
            Source::Translations { track, pelvis } => track.translations.iter().try_for_each(|translation| {
                floats(&[pelvis[0] + translation[0], pelvis[1] + translation[1], pelvis[2] + translation[2]])
            }),
        }
    }

    /// Smallest and largest value of each component, where the format demands them.
    fn bounds(&self) -> Option<(Vec<f32>, Vec<f32>)> {
        match (&self.source, self.kind) {
            (Source::Bytes(bytes), Kind::Vertex3 { with_bounds: true } | Kind::Times) => {
                let components = if self.kind == Kind::Times { 1 } else { 3 };
                let values: Vec<f32> =
                    bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
                let by = |pick: fn(f32, f32) -> f32| {
                    let axis =
                        |axis: usize| values.iter().skip(axis).step_by(components).copied().reduce(pick);
                    (0..components).map(|index| axis(index).unwrap_or(0.0)).collect()
                };
                Some((by(f32::min), by(f32::max)))
            }
            (Source::Times { track, times }, _) => {
                let (first, last) = track.span();
                Some((vec![times[first as usize]], vec![times[last as usize]]))
            }
            _ => None,
        }
    }
}

impl<'m> Buffer<'m> {
    fn add(&mut self, source: Source<'m>, kind: Kind) -> usize {
        self.sections.push(Section { source, kind });
        self.sections.len() - 1
    }

    /// Adds bytes; returns the number of the accessor.
    pub fn push(&mut self, bytes: Vec<u8>, kind: Kind) -> usize {
        self.add(Source::Bytes(bytes), kind)
    }

    /// Adds floats; returns the number of the accessor.
    pub fn push_floats(&mut self, values: impl IntoIterator<Item = f32>, kind: Kind) -> usize {
        self.push(values.into_iter().flat_map(f32::to_le_bytes).collect(), kind)
    }

    /// Adds the times of a track's keys; returns the number of the accessor.
    pub fn push_times(&mut self, track: &'m Motion, times: &'m [f32]) -> usize {
        self.add(Source::Times { track, times }, Kind::Times)
    }

    /// Adds the rotations of a joint; returns the number of the accessor.
    pub fn push_rotations(&mut self, track: &'m Motion, joint: usize) -> usize {
        self.add(Source::Rotations { track, joint }, Kind::Keys4)
    }

    /// Adds the places of the pelvis; returns the number of the accessor.
    pub fn push_translations(&mut self, track: &'m Motion, pelvis: [f32; 3]) -> usize {
        self.add(Source::Translations { track, pelvis }, Kind::Keys3)
    }

    /// Length in bytes; every section begins at a multiple of 4.
    pub fn length(&self) -> usize {
        self.sections.iter().map(|section| section.byte_length().next_multiple_of(4)).sum()
    }

    /// Writes all sections.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        for section in &self.sections {
            section.write(out)?;
            let length = section.byte_length();
            out.write_all(&[0; 4][..length.next_multiple_of(4) - length])?;
        }
        Ok(())
    }

    /// The views and the accessors of all sections.
    pub fn describe(&self) -> (Vec<Value>, Vec<Value>) {
        let (mut views, mut accessors, mut offset) = (Vec::new(), Vec::new(), 0);
        for (index, section) in self.sections.iter().enumerate() {
            let (component, element, _, target) = section.kind.layout();
            let mut view = json!({ "buffer": 0, "byteOffset": offset, "byteLength": section.byte_length() });
            if let Some(target) = target {
                view["target"] = json!(target);
            }
            let mut accessor = json!({ "bufferView": index, "componentType": component, "count": section.count(), "type": element });
            if let Some((least, most)) = section.bounds() {
                (accessor["min"], accessor["max"]) = (json!(least), json!(most));
            }
            views.push(view);
            accessors.push(accessor);
            offset += section.byte_length().next_multiple_of(4);
        }
        (views, accessors)
    }
}
