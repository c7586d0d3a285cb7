//! The mesh of a body: vertices as glTF wants them, with their weights, and the triangles.

use super::buffer::{Buffer, Kind};
use posebook_core::geometry::{Vec3, add, cross, norm, scale, sub};
use posebook_models::body::{Body, NUM_BETAS};
use serde_json::{Value, json};
use std::collections::HashMap;

/// The parts that all tracks share, as accessors, and how glTF's vertices follow from the body's.
pub(super) struct SharedMesh {
    /// For each vertex of the file the body's vertex: one for each pair of a vertex and a point of the UV map.
    vertices: Vec<u32>,
    indices: usize,
    uv: Option<usize>,
    joints: usize,
    weights: usize,
}

impl SharedMesh {
    /// Adds the shared parts to `buffer`.
    pub fn new(body: &Body, buffer: &mut Buffer) -> SharedMesh {
        let mut numbers: HashMap<(u32, u32), u32> = HashMap::new();
        let (mut vertices, mut points, mut corners) = (Vec::new(), Vec::new(), Vec::new());
        for (index, face) in body.faces.iter().enumerate() {
            for (corner, &vertex) in face.iter().enumerate() {
                let point = body.uv.as_ref().map_or(0, |uv| uv.faces[index][corner]);
                let number = *numbers.entry((vertex, point)).or_insert_with(|| {
                    vertices.push(vertex);
                    points.push(point);
                    vertices.len() as u32 - 1
                });
                corners.push(number);
            }
        }
        let indices = match u16::try_from(vertices.len()) {
            // 65,535 is reserved
            Ok(count) if count < u16::MAX => buffer.push(
                corners.iter().flat_map(|&corner| (corner as u16).to_le_bytes()).collect(),
                Kind::Index16,
            ),
            _ => buffer.push(corners.iter().flat_map(|corner| corner.to_le_bytes()).collect(), Kind::Index32),
        };
        let uv = body.uv.as_ref().map(|uv| {
            // glTF counts v from the top
            let turned =
                points.iter().map(|&point| uv.points[point as usize]).flat_map(|[u, v]| [u, 1.0 - v]);
            buffer.push_floats(turned, Kind::Vertex2)
        });
        let four: Vec<[(u8, f32); 4]> =
            vertices.iter().map(|&vertex| four_weights(body.weights.row(vertex as usize))).collect();
        let joints = buffer.push(four.iter().flatten().map(|(joint, _)| *joint).collect(), Kind::Joints);
        let weights = buffer.push_floats(four.iter().flatten().map(|(_, weight)| *weight), Kind::Vertex4);
        SharedMesh { vertices, indices, uv, joints, weights }
    }

    /// Adds the rest mesh of a shape, and describes it with `material`.
    pub fn primitive(
        &self,
        body: &Body,
        betas: &[f32; NUM_BETAS],
        material: usize,
        buffer: &mut Buffer,
    ) -> Value {
        let positions = body.shape_vertices(betas);
        let normals = vertex_normals(&positions, &body.faces);
        let mut attribute = |values: &[Vec3], with_bounds: bool| {
            let values = self.vertices.iter().flat_map(|&vertex| values[vertex as usize]);
            buffer.push_floats(values, Kind::Vertex3 { with_bounds })
        };
        let mut attributes = json!({
            "POSITION": attribute(&positions, true),
            "NORMAL": attribute(&normals, false),
            "JOINTS_0": self.joints,
            "WEIGHTS_0": self.weights,
        });
        if let Some(uv) = self.uv {
            attributes["TEXCOORD_0"] = json!(uv);
        }
        json!({ "attributes": attributes, "indices": self.indices, "material": material })
    }
}

/// The four largest weights of a vertex, largest first, with a sum of 1; unused places are joint 0 with weight 0.
fn four_weights(row: &[(u32, f32)]) -> [(u8, f32); 4] {
    let mut sorted: Vec<(u32, f32)> = row.iter().copied().filter(|(_, weight)| *weight > 0.0).collect();
    sorted.sort_by(|a, b| b.1.total_cmp(&a.1));
    sorted.truncate(4);
    let sum: f32 = sorted.iter().map(|(_, weight)| weight).sum();
    let mut four = [(0, 0.0); 4];
    for (place, (joint, weight)) in four.iter_mut().zip(&sorted) {
        // a body has 24 joints
        *place = (*joint as u8, weight / sum);
    }
    // rounding must not show in the sum
    four[0].1 = 1.0 - (four[1].1 + four[2].1 + four[3].1);
    four
}

/// Normals of vertices: the mean of their faces' normals, by area. Of a vertex without area, up.
fn vertex_normals(positions: &[Vec3], faces: &[[u32; 3]]) -> Vec<Vec3> {
    let mut sums = vec![[0.0; 3]; positions.len()];
    for face in faces {
        let [a, b, c] = face.map(|vertex| positions[vertex as usize]);
        let normal = cross(sub(b, a), sub(c, a));
        for &vertex in face {
            sums[vertex as usize] = add(sums[vertex as usize], normal);
        }
    }
    let unit = |sum: Vec3| match norm(sum) {
        length if length > 1e-12 => scale(sum, 1.0 / length),
        _ => [0.0, 1.0, 0.0],
    };
    sums.into_iter().map(unit).collect()
}
