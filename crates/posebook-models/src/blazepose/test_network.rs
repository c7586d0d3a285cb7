//! Builds small pose networks for tests: tflite files with every operator that BlazePose uses, and few channels.

use super::convert::convert_graph;
use super::graph::Graph;
use crate::tflite::Model;
use crate::tflite::test_file::{Field, TestFile};
use posebook_core::random;

/// Builds a tflite file.
struct NetworkBuilder {
    file: TestFile,
    draws: random::RandomStream,
}

fn window(stride: i32, padding: u8, activation: u8) -> Vec<Field> {
    vec![Field::U8(padding), Field::I32(stride), Field::I32(stride), Field::U8(activation)]
}

impl NetworkBuilder {
    fn weights(&mut self, shape: &[i32]) -> i32 {
        let len: i32 = shape.iter().product();
        let scale = 1.5 / f64::from(len / shape[0].max(1)).sqrt().max(1.0);
        let values: Vec<f32> = (0..len).map(|_| self.draws.range(-scale, scale) as f32).collect();
        let name = format!("weights{}", self.file.tensors.len());
        self.file.half_weights(&name, shape, &values)
    }

    fn map(&mut self, shape: [i32; 3]) -> i32 {
        let name = format!("map{}", self.file.tensors.len());
        self.file.map(&name, &[1, shape[0], shape[1], shape[2]])
    }

    /// `options`: stride, SAME (0) or VALID (1), activation (0 none, 3 RELU6).
    fn conv(&mut self, from: i32, shape: [i32; 3], kernel: i32, options: (i32, u8, u8)) -> i32 {
        let inputs = self.file.tensors[from as usize].shape[3];
        let (weights, bias) = (self.weights(&[shape[2], kernel, kernel, inputs]), self.weights(&[shape[2]]));
        let to = self.map(shape);
        self.file.operator(3, (1, window(options.0, options.1, options.2)), &[from, weights, bias], to);
        to
    }

    fn depthwise(&mut self, from: i32, shape: [i32; 3], kernel: i32, options: (i32, u8, u8)) -> i32 {
        let (weights, bias) = (self.weights(&[1, kernel, kernel, shape[2]]), self.weights(&[shape[2]]));
        let to = self.map(shape);
        let mut fields = window(options.0, options.1, options.2);
        fields.insert(3, Field::I32(1));
        self.file.operator(4, (2, fields), &[from, weights, bias], to);
        to
    }

    fn pad(&mut self, from: i32, shape: [i32; 3], pads: [i32; 8]) -> i32 {
        let data = pads.iter().flat_map(|pad| pad.to_le_bytes()).collect();
        let pads = self.file.tensor("pads", &[4, 2], 2, data);
        let to = self.map(shape);
        self.file.operator(34, (0, Vec::new()), &[from, pads], to);
        to
    }

    fn add(&mut self, a: i32, b: i32, activation: u8) -> i32 {
        let shape = &self.file.tensors[a as usize].shape;
        let to = self.map([shape[1], shape[2], shape[3]]);
        self.file.operator(0, (11, vec![Field::U8(activation)]), &[a, b], to);
        to
    }

    fn simple(&mut self, code: u8, options: (u8, Vec<Field>), from: i32, shape: &[i32]) -> i32 {
        let name = format!("map{}", self.file.tensors.len());
        let to = self.file.map(&name, shape);
        self.file.operator(code, options, &[from], to);
        to
    }
}

/// A pose network with an input of 16 x 24 pixels that has every operator at least once.
pub fn all_operators_network() -> TestFile {
    let mut to =
        NetworkBuilder { file: TestFile::default(), draws: random::stream(3, "blazepose.test", &[]) };
    let input = to.map([16, 24, 3]);
    // zero padding before a strided convolution, as at the start of BlazePose
    let padded = to.pad(input, [18, 26, 3], [0, 0, 1, 1, 1, 1, 0, 0]);
    let trunk = to.conv(padded, [8, 12, 8], 3, (2, 1, 3));
    let inner = to.depthwise(trunk, [8, 12, 8], 3, (1, 0, 3));
    let inner = to.conv(inner, [8, 12, 8], 1, (1, 0, 0));
    let residual = to.add(trunk, inner, 3);
    // a strided depthwise SAME convolution in parallel with pooling and zero channels
    let strided = to.depthwise(residual, [4, 6, 8], 3, (2, 0, 3));
    let strided = to.conv(strided, [4, 6, 24], 1, (1, 1, 0));
    let pooled = to.simple(
        17,
        (5, vec![Field::U8(1), Field::I32(2), Field::I32(2), Field::I32(2), Field::I32(2), Field::U8(0)]),
        residual,
        &[1, 4, 6, 8],
    );
    let pooled = to.pad(pooled, [4, 6, 24], [0, 0, 0, 0, 0, 0, 0, 16]);
    let low = to.add(strided, pooled, 3);
    let resize = (15, vec![Field::Absent, Field::Absent, Field::U8(0), Field::U8(1)]);
    let heat = to.conv(low, [4, 6, 39], 1, (1, 0, 0));
    let up = to.conv(low, [4, 6, 8], 1, (1, 0, 3));
    let up = to.simple(23, resize.clone(), up, &[1, 8, 12, 8]);
    let up = to.simple(23, resize, up, &[1, 16, 24, 8]);
    let mask = to.conv(up, [16, 24, 1], 3, (1, 0, 0));
    let padded = to.pad(low, [8, 10, 24], [0, 0, 2, 2, 2, 2, 0, 0]);
    let small = to.depthwise(padded, [2, 3, 24], 5, (2, 1, 3));
    let crossed = to.depthwise(small, [1, 2, 24], 2, (1, 1, 3));
    let head = |to: &mut NetworkBuilder, outputs: i32| {
        let weights = to.weights(&[outputs, 1, 2, 24]);
        let bias = to.weights(&[outputs]);
        let map = to.map([1, 1, outputs]);
        to.file.operator(3, (1, window(1, 1, 0)), &[crossed, weights, bias], map);
        map
    };
    let landmarks = head(&mut to, 195);
    let landmarks = to.simple(22, (0, Vec::new()), landmarks, &[1, 195]);
    let world = head(&mut to, 117);
    let world = to.simple(22, (0, Vec::new()), world, &[1, 117]);
    let presence = head(&mut to, 1);
    let presence = to.simple(14, (0, Vec::new()), presence, &[1, 1, 1, 1]);
    let presence = to.simple(22, (0, Vec::new()), presence, &[1, 1]);
    to.file.inputs = vec![input];
    to.file.outputs = vec![landmarks, presence, mask, heat, world];
    to.file
}

/// A pose network with the published networks' input and output shapes and few layers. It detects an upright person in
/// the center of every crop, whose points depend slightly on the crop's colors.
pub fn small_pose_network() -> TestFile {
    let mut to =
        NetworkBuilder { file: TestFile::default(), draws: random::stream(4, "blazepose.test", &[]) };
    let input = to.map([256, 256, 3]);
    let pooling = || {
        let two = Field::I32(2);
        (5, vec![Field::U8(1), two, two, two, two, Field::U8(0)])
    };
    let mask = to.conv(input, [256, 256, 1], 1, (1, 0, 0));
    let trunk = to.conv(input, [128, 128, 8], 3, (2, 0, 3));
    let trunk = to.simple(17, pooling(), trunk, &[1, 64, 64, 8]);
    let heat = to.conv(trunk, [64, 64, 39], 1, (1, 0, 0));
    let mut last = trunk;
    for side in [32, 16, 8, 4, 2, 1] {
        last = to.simple(17, pooling(), last, &[1, side, side, 8]);
    }
    let mut head = |bias: &[f32]| {
        let outputs = bias.len() as i32;
        let weights = to.weights(&[outputs, 1, 1, 8]);
        let bias = to.file.half_weights("bias", &[outputs], bias);
        let map = to.map([1, 1, outputs]);
        to.file.operator(3, (1, window(1, 1, 0)), &[last, weights, bias], map);
        map
    };
    // points on a line from head to feet, then the region's center and a point above it
    let mut points: Vec<[f32; 5]> = (0..39)
        .map(|index| [100.0 + (index % 8) as f32 * 8.0, 60.0 + index as f32 * 4.0, 0.0, 3.0, 3.0])
        .collect();
    (points[33], points[34]) = ([128.0, 128.0, 0.0, 3.0, 3.0], [128.0, 40.0, 0.0, 3.0, 3.0]);
    let landmarks = head(points.as_flattened());
    let world = head(&[0.25; 117]);
    let presence = head(&[4.0]);
    let landmarks = to.simple(22, (0, Vec::new()), landmarks, &[1, 195]);
    let world = to.simple(22, (0, Vec::new()), world, &[1, 117]);
    let presence = to.simple(14, (0, Vec::new()), presence, &[1, 1, 1, 1]);
    to.file.inputs = vec![input];
    to.file.outputs = vec![landmarks, presence, mask, heat, world];
    to.file
}

/// Converts the file's graph.
pub fn parse_graph(file: &TestFile) -> Graph {
    convert_graph(&Model::parse(&file.write()).unwrap()).unwrap().0
}
