//! Binary glTF 2.0 (`.glb`): for each track a skinned mesh of the body and a skeleton; one animation
//! moves all of them.
//!
//! Meters, y up, z towards the camera, seconds from the first frame. The mesh has the track's mean shape; poses are rotations
//! of SMPL's 24 joints and a translation of the pelvis. Frames in which a track was not seen have no keys: rotations turn
//! evenly across a gap, and the track is hidden there (its pelvis is scaled to 0).
//!
//! Not in the file, because glTF's skinning has no place for it: pose correctives (SMPL's `posedirs`), so that bent joints
//! look thinner than SMPL's own, and shapes that change from frame to frame. Vertices keep their four largest weights.

mod animation;
mod buffer;
mod mesh;

use crate::motion::{Motion, Motions, check_skeleton};
use crate::{ExportError, ExportFrame, Exported, FrameSink};
use animation::Animation;
use buffer::{Buffer, Kind};
use mesh::SharedMesh;
use posebook_core::files::AtomicFile;
use posebook_core::geometry::{Vec3, sub};
use posebook_models::body::{Body, JOINT_NAMES, NUM_JOINTS};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Nodes of one track: the skeleton's carrier, 24 joints, the mesh.
const NODES: usize = NUM_JOINTS + 2;

/// Writes a `.glb`. Holds the tracks in memory.
pub struct GltfWriter {
    path: PathBuf,
    body: Body,
    motions: Motions,
}

impl GltfWriter {
    /// Collects tracks for the file `path`.
    ///
    /// # Errors
    /// If the body has not SMPL's skeleton.
    pub fn create(path: &Path, body: Body, track: Option<u64>) -> Result<GltfWriter, ExportError> {
        check_skeleton(&body, "glTF")?;
        Ok(GltfWriter { path: path.to_path_buf(), body, motions: Motions::new(track) })
    }
}

impl FrameSink for GltfWriter {
    fn push(&mut self, frame: ExportFrame) -> Result<(), ExportError> {
        self.motions.push(&frame)
    }

    fn finish(self: Box<Self>) -> Result<Exported, ExportError> {
        let GltfWriter { path, body, motions } = *self;
        let tracks = motions.tracks()?;
        let (json, buffer) = document(&body, &tracks, motions.times());
        let write = || {
            let mut file = AtomicFile::create(&path)?;
            write_glb(&mut file, &json, &buffer)?;
            file.finish()
        };
        if buffer.length() > MOST_BYTES {
            return Err(ExportError::TooLarge { path, limit: "4 GiB" });
        }
        write().map_err(ExportError::file(&path))?;
        let hidden = tracks.iter().filter(|track| track.missing() > 0);
        let mut notes: Vec<String> = hidden
            .map(|track| {
                format!(
                    "track {}: it was not seen in {} frames between its first and its last; there it has no keys and is hidden",
                    track.id,
                    track.missing()
                )
            })
            .collect();
        if body.posedirs.is_some() {
            notes.push(
                "glTF's skinning has no pose correctives: bent joints look thinner than in the body's own model".into(),
            );
        }
        Ok(Exported {
            files: vec![path],
            frames: motions.times().len() as u64,
            people: motions.people(),
            tracks: tracks.len(),
            notes,
        })
    }
}

/// Most bytes of the buffer: lengths have 32 bits, and the description needs room, too.
const MOST_BYTES: usize = u32::MAX as usize - (64 << 20);

/// The description of the scene, and its buffer.
fn document<'m>(body: &Body, tracks: &[&'m Motion], times: &'m [f32]) -> (Value, Buffer<'m>) {
    let mut buffer = Buffer::default();
    let shared = SharedMesh::new(body, &mut buffer);
    let (mut nodes, mut skins, mut meshes, mut materials) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut animation, mut roots) = (Animation::default(), Vec::new());
    for (index, track) in tracks.iter().enumerate() {
        let (first_node, name) = (index * NODES, format!("track_{}", track.id));
        let betas = track.betas();
        let rest = body.rest_joints(&betas);
        roots.extend([first_node, first_node + NODES - 1]);
        push_nodes(&mut nodes, body, &rest, first_node, index, &name);
        skins.push(json!({
            "name": name,
            "inverseBindMatrices": buffer.push(inverse_bind(&rest), Kind::Matrix4),
            "skeleton": first_node + 1,
            "joints": (first_node + 1..=first_node + NUM_JOINTS).collect::<Vec<_>>(),
        }));
        meshes.push(
            json!({ "name": name, "primitives": [shared.primitive(body, &betas, index, &mut buffer)] }),
        );
        materials.push(json!({
            "name": name,
            "pbrMetallicRoughness": { "baseColorFactor": color(index), "metallicFactor": 0.0, "roughnessFactor": 0.8 },
        }));
        animation.add_track(track, times, &rest, first_node + 1, &mut buffer);
    }
    let (views, accessors) = buffer.describe();
    let json = json!({
        "asset": { "version": "2.0", "generator": concat!("posebook ", env!("CARGO_PKG_VERSION")) },
        "scene": 0,
        "scenes": [{ "name": "people", "nodes": roots }],
        "nodes": nodes,
        "skins": skins,
        "meshes": meshes,
        "materials": materials,
        "animations": [animation.describe()],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{ "byteLength": buffer.length() }],
    });
    (json, buffer)
}

/// The carrier, the joints below it, and the mesh, which is a root without a transform, as skinned meshes should be.
fn push_nodes(nodes: &mut Vec<Value>, body: &Body, rest: &[Vec3], first: usize, index: usize, name: &str) {
    // half a turn about x: camera axes to y up
    nodes.push(json!({ "name": format!("{name}_skeleton"), "rotation": [1.0, 0.0, 0.0, 0.0], "children": [first + 1] }));
    for joint in 0..NUM_JOINTS {
        let offset = body.parents[joint].map_or(rest[joint], |parent| sub(rest[joint], rest[parent]));
        let children: Vec<usize> = (0..NUM_JOINTS)
            .filter(|&child| body.parents[child] == Some(joint))
            .map(|child| first + 1 + child)
            .collect();
        let mut node = json!({ "name": JOINT_NAMES[joint], "translation": offset });
        if !children.is_empty() {
            node["children"] = json!(children);
        }
        nodes.push(node);
    }
    nodes.push(json!({ "name": name, "mesh": index, "skin": index }));
}

/// Matrices by columns that move each rest joint to the origin.
fn inverse_bind(rest: &[Vec3]) -> Vec<u8> {
    let matrix = |joint: &Vec3| {
        let [x, y, z] = joint.map(|value| -value);
        [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, x, y, z, 1.0f32]
    };
    rest.iter().flat_map(matrix).flat_map(f32::to_le_bytes).collect()
}

/// Colors that differ from one track to the next: hues a golden angle apart.
fn color(index: usize) -> [f32; 4] {
    let hue = (index as f32 * 0.381_966 + 0.58).fract() * 6.0;
    let part = |shift: f32| 0.35 + 0.45 * (((hue + shift) % 6.0 - 3.0).abs() - 1.0).clamp(0.0, 1.0);
    [part(0.0), part(4.0), part(2.0), 1.0]
}

/// The container: header, JSON padded with blanks, buffer padded with zeros, each to a multiple of 4 bytes.
fn write_glb(out: &mut impl Write, json: &Value, buffer: &Buffer) -> io::Result<()> {
    let mut text = serde_json::to_vec(json)?;
    text.resize(text.len().next_multiple_of(4), b' ');
    let word = |value: usize| u32::try_from(value).map(u32::to_le_bytes).map_err(io::Error::other);
    out.write_all(b"glTF")?;
    out.write_all(&word(2)?)?;
    out.write_all(&word(12 + 8 + text.len() + 8 + buffer.length())?)?;
    out.write_all(&word(text.len())?)?;
    out.write_all(b"JSON")?;
    out.write_all(&text)?;
    out.write_all(&word(buffer.length())?)?;
    out.write_all(b"BIN\0")?;
    buffer.write(out)
}

#[cfg(test)]
mod tests;
