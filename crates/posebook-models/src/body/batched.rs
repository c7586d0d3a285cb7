//! SMPL's forward pass on batches of tensors, differentiable in betas and rotations.
//!
//! Same computation as [`Body::pose`], arranged for candle: the joints of one depth of the kinematic tree at a time.

use super::{Body, BodyError, JointSource, NUM_BETAS, NUM_JOINTS, NUM_POSE_FEATURES};
use candle_core::{DType, Device, Result, Tensor};
use posebook_core::geometry::IDENTITY;

/// A body as tensors on a device.
pub struct BatchedBody {
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
    levels: Vec<TreeLevel>,
    /// Index of each joint in the concatenated levels (24).
    order: Tensor,
    /// The identity (1, 1, 3, 3).
    identity: Tensor,
    /// (44, 24 + V): the 44 joints from the skeleton's joints and the vertices.
    joint_matrix: Tensor,
    vertices: usize,
}

/// The joints of one depth of the kinematic tree.
struct TreeLevel {
    joints: Tensor,
    parents: Tensor,
    /// Index of each parent in the previous level.
    parents_in_level: Tensor,
}

/// The posed bodies of a batch of size B.
pub struct PosedBatch {
    /// (B, V, 3).
    pub vertices: Tensor,
    /// SMPL's joints, (B, 24, 3).
    pub joints24: Tensor,
    /// HMR2's joints, (B, 44, 3).
    pub joints44: Tensor,
}

impl BatchedBody {
    /// Copies the whole body to `device`.
    ///
    /// # Errors
    /// If the device has not enough memory.
    pub fn new(body: &Body, device: &Device) -> std::result::Result<BatchedBody, BodyError> {
        let all: Vec<usize> = (0..body.vertex_count()).collect();
        Ok(BatchedBody::with_vertices(body, &all, device)?)
    }

    /// Copies only the few hundred vertices from which the 44 joints are computed.
    ///
    /// # Errors
    /// If the device has not enough memory.
    pub fn joints_only(body: &Body, device: &Device) -> std::result::Result<BatchedBody, BodyError> {
        let extra = &body.joints44.extra;
        let columns = (0..extra.rows()).flat_map(|row| extra.row(row).iter().map(|(v, _)| *v as usize));
        let mut used: Vec<usize> = columns.chain(body.joints44.vertices()).collect();
        used.sort_unstable();
        used.dedup();
        Ok(BatchedBody::with_vertices(body, &used, device)?)
    }

    fn with_vertices(body: &Body, used: &[usize], device: &Device) -> Result<BatchedBody> {
        let (v, all) = (used.len(), body.vertex_count());
        let gather = |rows: usize, value: &dyn Fn(usize) -> f32| -> Result<Tensor> {
            let flat = (0..rows).flat_map(|row| {
                used.iter().flat_map(move |&vertex| (0..3).map(move |axis| row * 3 * all + 3 * vertex + axis))
            });
            Tensor::from_vec(flat.map(value).collect::<Vec<f32>>(), (rows, 3 * v), device)
        };
        let rest = body.rest.directions.iter().flatten().flatten().copied().collect::<Vec<f32>>();
        let dense: Vec<f32> = used
            .iter()
            .flat_map(|&vertex| {
                let mut row = [0.0; NUM_JOINTS];
                body.weights.row(vertex).iter().for_each(|&(joint, weight)| row[joint as usize] = weight);
                row
            })
            .collect();
        let (levels, order) = tree_levels(&body.parents, device)?;
        let posedirs = body.posedirs.as_ref();
        Ok(BatchedBody {
            v_template: gather(1, &|i| body.v_template.as_flattened()[i])?,
            shapedirs: gather(NUM_BETAS, &|i| body.shapedirs[i])?,
            posedirs: posedirs.map(|values| gather(NUM_POSE_FEATURES, &|i| values[i])).transpose()?,
            rest_template: Tensor::from_slice(body.rest.template.as_flattened(), (1, 72), device)?,
            rest_directions: Tensor::from_vec(rest, (NUM_BETAS, 72), device)?,
            weights: Tensor::from_vec(dense, (v, NUM_JOINTS), device)?,
            levels,
            order,
            identity: Tensor::from_slice(IDENTITY.as_flattened(), (1, 1, 3, 3), device)?,
            joint_matrix: joint_matrix(body, used, device)?,
            vertices: v,
        })
    }

    /// Poses a batch of bodies.
    ///
    /// # Shapes
    /// `betas` (B, 10), `rotations` (B, 24, 3, 3) with the global orientation first; for the result see
    /// [`PosedBatch`].
    ///
    /// # Errors
    /// If the shapes differ, or the device fails.
    pub fn forward(&self, betas: &Tensor, rotations: &Tensor) -> Result<PosedBatch> {
        let (b, _, _, _) = rotations.dims4()?;
        let rest = betas.matmul(&self.rest_directions)?.broadcast_add(&self.rest_template)?;
        let rest = rest.reshape((b, NUM_JOINTS, 3, 1))?;
        let (world, joints) = self.forward_kinematics(&rest, rotations)?; // (B, 24, 3, 3), (B, 24, 3, 1)
        let offsets = (&joints - world.matmul(&rest)?)?;
        let transforms = Tensor::cat(&[&world, &offsets], 3)?; // (B, 24, 3, 4)

        let mut shaped = betas.matmul(&self.shapedirs)?.broadcast_add(&self.v_template)?; // (B, 3V)
        if let Some(posedirs) = &self.posedirs {
            let features = rotations.narrow(1, 1, NUM_JOINTS - 1)?.broadcast_sub(&self.identity)?;
            shaped = (shaped + features.reshape((b, NUM_POSE_FEATURES))?.matmul(posedirs)?)?;
        }
        // one product for the whole batch: (V, 24) x (24, B * 12)
        let by_joint = transforms.transpose(0, 1)?.reshape((NUM_JOINTS, b * 12))?;
        let blends = self.weights.matmul(&by_joint)?.reshape((self.vertices, b, 3, 4))?;
        let blends = blends.transpose(0, 1)?; // (B, V, 3, 4)
        let shaped = shaped.reshape((b, self.vertices, 1, 3))?;
        let rotated = blends.narrow(3, 0, 3)?.broadcast_mul(&shaped)?.sum(3)?;
        let vertices = (rotated + blends.narrow(3, 3, 1)?.squeeze(3)?)?; // (B, V, 3)

        let joints24 = joints.squeeze(3)?;
        let points = Tensor::cat(&[&joints24, &vertices], 1)?; // (B, 24 + V, 3)
        let flat = points.transpose(0, 1)?.reshape((NUM_JOINTS + self.vertices, b * 3))?;
        let joints44 = self.joint_matrix.matmul(&flat)?.reshape(((), b, 3))?.transpose(0, 1)?.contiguous()?;
        Ok(PosedBatch { vertices, joints24, joints44 })
    }

    /// World rotations (B, 24, 3, 3) and positions (B, 24, 3, 1) of the joints.
    fn forward_kinematics(&self, rest: &Tensor, rotations: &Tensor) -> Result<(Tensor, Tensor)> {
        let mut worlds = vec![rotations.narrow(1, 0, 1)?.contiguous()?];
        let mut positions = vec![rest.narrow(1, 0, 1)?.contiguous()?];
        for (depth, level) in self.levels.iter().enumerate() {
            let parent_rotations = worlds[depth].index_select(&level.parents_in_level, 1)?;
            let parent_positions = positions[depth].index_select(&level.parents_in_level, 1)?;
            let bones = (rest.index_select(&level.joints, 1)? - rest.index_select(&level.parents, 1)?)?;
            worlds.push(parent_rotations.matmul(&rotations.index_select(&level.joints, 1)?)?);
            positions.push((parent_positions + parent_rotations.matmul(&bones)?)?);
        }
        let world = Tensor::cat(&worlds, 1)?.index_select(&self.order, 1)?;
        Ok((world, Tensor::cat(&positions, 1)?.index_select(&self.order, 1)?))
    }
}

/// The tree's levels below the root, and the index of each joint in the concatenated levels.
fn tree_levels(parents: &[Option<usize>; NUM_JOINTS], device: &Device) -> Result<(Vec<TreeLevel>, Tensor)> {
    let mut depths = [0usize; NUM_JOINTS];
    for joint in 1..NUM_JOINTS {
        depths[joint] = parents[joint].map_or(0, |parent| depths[parent] + 1).max(1);
    }
    let at_depth = |depth: usize| (0..NUM_JOINTS).filter(move |&joint| depths[joint] == depth);
    let index = |values: Vec<u32>| Tensor::new(values, device);
    let deepest = depths.iter().copied().max().unwrap_or(0);
    let mut levels = Vec::new();
    let mut concatenated: Vec<usize> = at_depth(0).collect();
    for depth in 1..=deepest {
        let previous: Vec<usize> = at_depth(depth - 1).collect();
        let joints: Vec<usize> = at_depth(depth).collect();
        let parents: Vec<usize> = joints.iter().map(|&joint| parents[joint].unwrap_or(0)).collect();
        let indices =
            parents.iter().map(|parent| previous.iter().position(|a| a == parent).unwrap_or(0) as u32);
        levels.push(TreeLevel {
            parents_in_level: index(indices.collect())?,
            joints: index(joints.iter().map(|&joint| joint as u32).collect())?,
            parents: index(parents.iter().map(|&joint| joint as u32).collect())?,
        });
        concatenated.extend(joints);
    }
    let mut order = [0u32; NUM_JOINTS];
    for (position, &joint) in concatenated.iter().enumerate() {
        order[joint] = position as u32;
    }
    Ok((levels, index(order.to_vec())?))
}

/// The 44 joints as one matrix over the skeleton's joints and the used vertices.
fn joint_matrix(body: &Body, used: &[usize], device: &Device) -> Result<Tensor> {
    let width = NUM_JOINTS + used.len();
    let rows = 25 + body.joints44.extra.rows();
    let column_of =
        |vertex: usize| NUM_JOINTS + used.binary_search(&vertex).expect("the vertices of joints are used");
    let mut dense = vec![0f32; rows * width];
    for (row, source) in body.joints44.openpose.iter().enumerate() {
        let column = match *source {
            JointSource::Joint(joint) => joint,
            JointSource::Vertex(vertex) => column_of(vertex),
        };
        dense[row * width + column] = 1.0;
    }
    for row in 0..body.joints44.extra.rows() {
        for &(vertex, value) in body.joints44.extra.row(row) {
            dense[(25 + row) * width + column_of(vertex as usize)] = value;
        }
    }
    Tensor::from_vec(dense, (rows, width), device)?.to_dtype(DType::F32)
}
