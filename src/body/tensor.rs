//! The forward pass on batches of tensors, differentiable in shape and rotations.
//!
//! The same sums as `Body::pose`, arranged for candle: the joints of one depth of the tree at a time.

use super::{BETAS, Body, BodyError, POSE_FEATURES, SKELETON, Source};
use crate::geometry::IDENTITY;
use candle_core::{DType, Device, Result, Tensor};

/// A body on a device.
pub struct TensorBody {
    /// (1, 3V)
    v_template: Tensor,
    /// (10, 3V)
    shapedirs: Tensor,
    /// (207, 3V)
    posedirs: Option<Tensor>,
    /// (1, 72) and (10, 72)
    rest_template: Tensor,
    rest_directions: Tensor,
    /// (V, 24)
    weights: Tensor,
    levels: Vec<Level>,
    /// Where each joint stands in the order of the levels (24).
    order: Tensor,
    /// The identity (1, 1, 3, 3).
    identity: Tensor,
    /// (44, 24 + V): the 44 joints from the skeleton's joints and the vertices.
    reader: Tensor,
    vertices: usize,
}

/// The joints of one depth of the tree.
struct Level {
    joints: Tensor,
    parents: Tensor,
    /// Where the parents stand among the joints of the level before.
    parents_in_level: Tensor,
}

/// Bodies of a batch.
pub struct PosedBatch {
    /// (B, V, 3)
    pub vertices: Tensor,
    /// (B, 24, 3)
    pub joints24: Tensor,
    /// (B, 44, 3)
    pub joints44: Tensor,
}

impl TensorBody {
    /// The whole body on `device`.
    ///
    /// # Errors
    /// If the device has no room for it.
    pub fn new(body: &Body, device: &Device) -> std::result::Result<TensorBody, BodyError> {
        let all: Vec<usize> = (0..body.vertex_count()).collect();
        Ok(TensorBody::with_vertices(body, &all, device)?)
    }

    /// Only what the 44 joints are read from: a few hundred vertices, and the same joints.
    ///
    /// # Errors
    /// If the device has no room for it.
    pub fn joints_only(body: &Body, device: &Device) -> std::result::Result<TensorBody, BodyError> {
        let extra = &body.joints44.extra;
        let columns = (0..extra.rows()).flat_map(|row| extra.row(row).iter().map(|(v, _)| *v as usize));
        let mut used: Vec<usize> = columns.chain(body.joints44.vertices()).collect();
        used.sort_unstable();
        used.dedup();
        Ok(TensorBody::with_vertices(body, &used, device)?)
    }

    fn with_vertices(body: &Body, used: &[usize], device: &Device) -> Result<TensorBody> {
        let (v, all) = (used.len(), body.vertex_count());
        let wide = |rows: usize, of: &dyn Fn(usize) -> f32| -> Result<Tensor> {
            let flat = (0..rows).flat_map(|row| {
                used.iter().flat_map(move |&vertex| (0..3).map(move |axis| row * 3 * all + 3 * vertex + axis))
            });
            Tensor::from_vec(flat.map(of).collect::<Vec<f32>>(), (rows, 3 * v), device)
        };
        let rest = body.rest.directions.iter().flatten().flatten().copied().collect::<Vec<f32>>();
        let dense: Vec<f32> = used
            .iter()
            .flat_map(|&vertex| {
                let mut row = [0.0; SKELETON];
                body.weights.row(vertex).iter().for_each(|&(joint, weight)| row[joint as usize] = weight);
                row
            })
            .collect();
        let (levels, order) = levels_of(&body.parents, device)?;
        let posedirs = body.posedirs.as_ref();
        Ok(TensorBody {
            v_template: wide(1, &|i| body.v_template.as_flattened()[i])?,
            shapedirs: wide(BETAS, &|i| body.shapedirs[i])?,
            posedirs: posedirs.map(|values| wide(POSE_FEATURES, &|i| values[i])).transpose()?,
            rest_template: Tensor::from_slice(body.rest.template.as_flattened(), (1, 72), device)?,
            rest_directions: Tensor::from_vec(rest, (BETAS, 72), device)?,
            weights: Tensor::from_vec(dense, (v, SKELETON), device)?,
            levels,
            order,
            identity: Tensor::from_slice(IDENTITY.as_flattened(), (1, 1, 3, 3), device)?,
            reader: reader_of(body, used, device)?,
            vertices: v,
        })
    }

    /// Poses a batch of bodies.
    ///
    /// # Shapes
    /// `betas` (B, 10), `rotations` (B, 24, 3, 3), the pelvis first; see [`PosedBatch`] for what comes out.
    ///
    /// # Errors
    /// If a shape is another.
    pub fn forward(&self, betas: &Tensor, rotations: &Tensor) -> Result<PosedBatch> {
        let (b, _, _, _) = rotations.dims4()?;
        let rest = betas.matmul(&self.rest_directions)?.broadcast_add(&self.rest_template)?;
        let rest = rest.reshape((b, SKELETON, 3, 1))?;
        let (world, joints) = self.chain(&rest, rotations)?; // (B, 24, 3, 3), (B, 24, 3, 1)
        let offsets = (&joints - world.matmul(&rest)?)?;
        let rigids = Tensor::cat(&[&world, &offsets], 3)?; // (B, 24, 3, 4)

        let mut shaped = betas.matmul(&self.shapedirs)?.broadcast_add(&self.v_template)?; // (B, 3V)
        if let Some(posedirs) = &self.posedirs {
            let bent = rotations.narrow(1, 1, SKELETON - 1)?.broadcast_sub(&self.identity)?;
            shaped = (shaped + bent.reshape((b, POSE_FEATURES))?.matmul(posedirs)?)?;
        }
        // one product for the whole batch: (V, 24) x (24, B * 12)
        let by_joint = rigids.transpose(0, 1)?.reshape((SKELETON, b * 12))?;
        let blends = self.weights.matmul(&by_joint)?.reshape((self.vertices, b, 3, 4))?;
        let blends = blends.transpose(0, 1)?; // (B, V, 3, 4)
        let shaped = shaped.reshape((b, self.vertices, 1, 3))?;
        let turned = blends.narrow(3, 0, 3)?.broadcast_mul(&shaped)?.sum(3)?;
        let vertices = (turned + blends.narrow(3, 3, 1)?.squeeze(3)?)?; // (B, V, 3)

        let joints24 = joints.squeeze(3)?;
        let points = Tensor::cat(&[&joints24, &vertices], 1)?; // (B, 24 + V, 3)
        let flat = points.transpose(0, 1)?.reshape((SKELETON + self.vertices, b * 3))?;
        let joints44 = self.reader.matmul(&flat)?.reshape(((), b, 3))?.transpose(0, 1)?.contiguous()?;
        Ok(PosedBatch { vertices, joints24, joints44 })
    }

    /// World rotations (B, 24, 3, 3) and places (B, 24, 3, 1) of the joints.
    fn chain(&self, rest: &Tensor, rotations: &Tensor) -> Result<(Tensor, Tensor)> {
        let mut worlds = vec![rotations.narrow(1, 0, 1)?.contiguous()?];
        let mut places = vec![rest.narrow(1, 0, 1)?.contiguous()?];
        for (depth, level) in self.levels.iter().enumerate() {
            let above = worlds[depth].index_select(&level.parents_in_level, 1)?;
            let above_at = places[depth].index_select(&level.parents_in_level, 1)?;
            let bones = (rest.index_select(&level.joints, 1)? - rest.index_select(&level.parents, 1)?)?;
            worlds.push(above.matmul(&rotations.index_select(&level.joints, 1)?)?);
            places.push((above_at + above.matmul(&bones)?)?);
        }
        let world = Tensor::cat(&worlds, 1)?.index_select(&self.order, 1)?;
        Ok((world, Tensor::cat(&places, 1)?.index_select(&self.order, 1)?))
    }
}

/// The tree's levels below the root, and where each joint stands when they are laid end to end.
fn levels_of(parents: &[Option<usize>; SKELETON], device: &Device) -> Result<(Vec<Level>, Tensor)> {
    let mut depths = [0usize; SKELETON];
    for joint in 1..SKELETON {
        depths[joint] = parents[joint].map_or(0, |parent| depths[parent] + 1).max(1);
    }
    let at_depth = |depth: usize| (0..SKELETON).filter(move |&joint| depths[joint] == depth);
    let index = |values: Vec<u32>| Tensor::new(values, device);
    let deepest = depths.iter().copied().max().unwrap_or(0);
    let mut levels = Vec::new();
    let mut laid: Vec<usize> = at_depth(0).collect();
    for depth in 1..=deepest {
        let above: Vec<usize> = at_depth(depth - 1).collect();
        let joints: Vec<usize> = at_depth(depth).collect();
        let parents: Vec<usize> = joints.iter().map(|&joint| parents[joint].unwrap_or(0)).collect();
        let places = parents.iter().map(|parent| above.iter().position(|a| a == parent).unwrap_or(0) as u32);
        levels.push(Level {
            parents_in_level: index(places.collect())?,
            joints: index(joints.iter().map(|&joint| joint as u32).collect())?,
            parents: index(parents.iter().map(|&joint| joint as u32).collect())?,
        });
        laid.extend(joints);
    }
    let mut order = [0u32; SKELETON];
    for (place, &joint) in laid.iter().enumerate() {
        order[joint] = place as u32;
    }
    Ok((levels, index(order.to_vec())?))
}

/// The 44 joints as one matrix over the skeleton's joints and the used vertices.
fn reader_of(body: &Body, used: &[usize], device: &Device) -> Result<Tensor> {
    let width = SKELETON + used.len();
    let rows = 25 + body.joints44.extra.rows();
    let column = |vertex: usize| SKELETON + used.binary_search(&vertex).expect("picked vertices are used");
    let mut dense = vec![0f32; rows * width];
    for (row, source) in body.joints44.openpose.iter().enumerate() {
        let at = match *source {
            Source::Joint(joint) => joint,
            Source::Vertex(vertex) => column(vertex),
        };
        dense[row * width + at] = 1.0;
    }
    for row in 0..body.joints44.extra.rows() {
        for &(vertex, value) in body.joints44.extra.row(row) {
            dense[(25 + row) * width + column(vertex as usize)] = value;
        }
    }
    Tensor::from_vec(dense, (rows, width), device)?.to_dtype(DType::F32)
}
