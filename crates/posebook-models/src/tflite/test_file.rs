//! Writes small `.tflite` files for tests. Parents are written before children, so that every offset points forward.

/// One field of a table.
#[derive(Debug, Clone, Copy)]
pub enum Field {
    Absent,
    U8(u8),
    I32(i32),
    /// An offset that is filled in later.
    Offset,
}

/// A tensor of the file.
#[derive(Debug, Clone)]
pub struct TestTensor {
    pub name: String,
    pub shape: Vec<i32>,
    /// Code of the type: 0 f32, 1 f16, 2 i32.
    pub dtype: u8,
    pub data: Vec<u8>,
}

/// An operator of the file: code, kind and fields of its options, inputs and outputs.
#[derive(Debug, Clone)]
pub struct TestOperator {
    pub code: u8,
    pub options: (u8, Vec<Field>),
    pub inputs: Vec<i32>,
    pub outputs: Vec<i32>,
}

/// A file's content.
#[derive(Debug, Clone, Default)]
pub struct TestFile {
    pub tensors: Vec<TestTensor>,
    pub operators: Vec<TestOperator>,
    pub inputs: Vec<i32>,
    pub outputs: Vec<i32>,
}

#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    fn align(&mut self) {
        while !self.bytes.len().is_multiple_of(4) {
            self.bytes.push(0);
        }
    }

    /// Sets the offset at `slot` to the current end.
    fn point_here(&mut self, slot: usize) {
        let offset = (self.bytes.len() - slot) as u32;
        self.bytes[slot..slot + 4].copy_from_slice(&offset.to_le_bytes());
    }

    /// Writes a vtable and its table, referenced by `slot`; returns the positions of the fields.
    fn table(&mut self, slot: usize, fields: &[Field]) -> Vec<usize> {
        self.align();
        let vtable_bytes = 4 + 2 * fields.len();
        self.bytes.extend((vtable_bytes as u16).to_le_bytes());
        self.bytes.extend(((4 + 4 * fields.len()) as u16).to_le_bytes());
        for (number, field) in fields.iter().enumerate() {
            let offset = if matches!(field, Field::Absent) { 0 } else { 4 + 4 * number as u16 };
            self.bytes.extend(offset.to_le_bytes());
        }
        let padding = self.bytes.len() % 4;
        self.bytes.extend(std::iter::repeat_n(0, (4 - padding) % 4));
        let back = (vtable_bytes + (4 - padding) % 4) as i32;
        self.point_here(slot);
        self.bytes.extend(back.to_le_bytes());
        let start = self.bytes.len();
        for field in fields {
            let value = match *field {
                Field::Absent | Field::Offset => [0; 4],
                Field::U8(value) => [value, 0, 0, 0],
                Field::I32(value) => value.to_le_bytes(),
            };
            self.bytes.extend(value);
        }
        (0..fields.len()).map(|number| start + 4 * number).collect()
    }

    fn numbers(&mut self, slot: usize, numbers: &[i32]) {
        self.align();
        self.point_here(slot);
        self.bytes.extend((numbers.len() as u32).to_le_bytes());
        numbers.iter().for_each(|number| self.bytes.extend(number.to_le_bytes()));
    }

    fn data(&mut self, slot: usize, data: &[u8]) {
        self.align();
        self.point_here(slot);
        self.bytes.extend((data.len() as u32).to_le_bytes());
        self.bytes.extend(data);
    }

    /// Writes a vector of offsets; returns their positions.
    fn offsets(&mut self, slot: usize, len: usize) -> Vec<usize> {
        self.numbers(slot, &vec![0; len]);
        let end = self.bytes.len();
        (0..len).map(|index| end - 4 * (len - index)).collect()
    }
}

impl TestFile {
    /// The bytes of the file.
    pub fn write(&self) -> Vec<u8> {
        use Field::{Absent, I32, Offset, U8};
        let mut to = Writer { bytes: b"\0\0\0\0TFL3".to_vec() };
        let root = to.table(0, &[I32(3), Offset, Offset, Absent, Offset]);
        let codes = to.offsets(root[1], self.operators.len());
        for (slot, operator) in codes.into_iter().zip(&self.operators) {
            to.table(slot, &[U8(operator.code), Absent, I32(1), I32(operator.code.into())]);
        }
        let graph = to.offsets(root[2], 1)[0];
        let graph = to.table(graph, &[Offset, Offset, Offset, Offset]);
        let tensors = to.offsets(graph[0], self.tensors.len());
        for ((index, slot), tensor) in tensors.into_iter().enumerate().zip(&self.tensors) {
            let fields = to.table(slot, &[Offset, U8(tensor.dtype), I32(index as i32 + 1), Offset]);
            to.numbers(fields[0], &tensor.shape);
            to.data(fields[3], tensor.name.as_bytes());
        }
        to.numbers(graph[1], &self.inputs);
        to.numbers(graph[2], &self.outputs);
        let operators = to.offsets(graph[3], self.operators.len());
        for ((index, slot), operator) in operators.into_iter().enumerate().zip(&self.operators) {
            let has_options = if operator.options.0 == 0 { Absent } else { Offset };
            let head = [I32(index as i32), Offset, Offset, U8(operator.options.0), has_options];
            let fields = to.table(slot, &head);
            to.numbers(fields[1], &operator.inputs);
            to.numbers(fields[2], &operator.outputs);
            if operator.options.0 != 0 {
                to.table(fields[4], &operator.options.1);
            }
        }
        // buffer 0 is empty and used by tensors without values
        let buffers = to.offsets(root[4], self.tensors.len() + 1);
        to.table(buffers[0], &[]);
        for (slot, tensor) in buffers.into_iter().skip(1).zip(&self.tensors) {
            let fields = to.table(slot, &[if tensor.data.is_empty() { Absent } else { Offset }]);
            if !tensor.data.is_empty() {
                to.data(fields[0], &tensor.data);
            }
        }
        to.bytes
    }

    /// Adds a tensor without values; returns its index.
    pub fn map(&mut self, name: &str, shape: &[i32]) -> i32 {
        self.tensor(name, shape, 0, Vec::new())
    }

    /// Adds a tensor; returns its index.
    pub fn tensor(&mut self, name: &str, shape: &[i32], dtype: u8, data: Vec<u8>) -> i32 {
        self.tensors.push(TestTensor { name: name.into(), shape: shape.into(), dtype, data });
        self.tensors.len() as i32 - 1
    }

    /// Adds a tensor of f16 values and its DEQUANTIZE; returns the index of the f32 tensor.
    pub fn half_weights(&mut self, name: &str, shape: &[i32], values: &[f32]) -> i32 {
        let data = values.iter().flat_map(|&value| half::f16::from_f32(value).to_le_bytes()).collect();
        let half = self.tensor(&format!("{name}/f16"), shape, 1, data);
        let wide = self.map(name, shape);
        self.operator(6, (0, Vec::new()), &[half], wide);
        wide
    }

    /// Adds an operator.
    pub fn operator(&mut self, code: u8, options: (u8, Vec<Field>), inputs: &[i32], output: i32) {
        self.operators.push(TestOperator { code, options, inputs: inputs.into(), outputs: vec![output] });
    }
}

/// A file of two convolutions: input `(1, 4, 6, 3)`, a 3x3 convolution of stride 2 to 8 channels, and a depthwise
/// one of 5x5.
pub fn two_convolutions() -> TestFile {
    let mut file = TestFile::default();
    let input = file.map("input", &[1, 4, 6, 3]);
    let values: Vec<f32> = (0..8 * 27).map(|at| (at % 17) as f32 / 16.0 - 0.5).collect();
    let weights = file.half_weights("first/weights", &[8, 3, 3, 3], &values);
    let bias = file.half_weights("first/bias", &[8], &values[..8]);
    let first = file.map("first", &[1, 2, 3, 8]);
    let options = vec![Field::U8(0), Field::I32(2), Field::I32(2), Field::U8(3)];
    file.operator(3, (1, options), &[input, weights, bias], first);
    let weights = file.half_weights("second/weights", &[1, 5, 5, 8], &values[..200]);
    let bias = file.half_weights("second/bias", &[8], &values[3..11]);
    let second = file.map("second", &[1, 2, 3, 8]);
    let options = vec![Field::U8(0), Field::I32(1), Field::I32(1), Field::I32(1), Field::U8(0)];
    file.operator(4, (2, options), &[first, weights, bias], second);
    file.inputs = vec![input];
    file.outputs = vec![second];
    file
}
