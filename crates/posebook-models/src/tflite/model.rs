//! Parses the tensors and operators of a `.tflite` file's first subgraph.
//!
//! Field numbers and codes are those of TensorFlow's `schema.fbs`.

use super::TfliteError;
use super::flatbuffer::{Bytes, Table, Vector};

/// Maximum number of tensors, operators, buffers and operator codes.
const MAX_ITEMS: usize = 1 << 14;
/// Maximum number of axes of a tensor.
const MAX_AXES: usize = 8;
/// Maximum number of inputs or outputs of an operator or of the subgraph.
const MAX_ENDPOINTS: usize = 16;

/// Maximum size of one tensor.
const MAX_TENSOR_BYTES: usize = 1 << 30;

/// The first subgraph of a file. Names and values are borrowed from the file's bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Model<'a> {
    /// All tensors: weights, inputs and intermediate values.
    pub tensors: Vec<Tensor<'a>>,
    /// In execution order.
    pub operators: Vec<Operator>,
    /// Indices of the subgraph's input tensors.
    pub inputs: Vec<usize>,
    /// Indices of the subgraph's output tensors.
    pub outputs: Vec<usize>,
}

/// A tensor. `data` is empty if an operator or the caller provides the values.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor<'a> {
    /// Name in the file.
    pub name: &'a str,
    /// Lengths of the axes.
    pub shape: Vec<usize>,
    /// Type of the values.
    pub dtype: DType,
    /// Little-endian values that match the shape, or empty.
    pub data: &'a [u8],
}

/// Types of a tensor's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DType {
    /// 32-bit floating point.
    F32,
    /// 16-bit floating point.
    F16,
    /// 32-bit signed integer.
    I32,
}

impl DType {
    /// Size of one value in bytes.
    pub fn bytes(self) -> usize {
        match self {
            DType::F32 | DType::I32 => 4,
            DType::F16 => 2,
        }
    }
}

/// An operator with its options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// Operation and options.
    pub kind: Kind,
    /// Indices of input tensors; `None` for an omitted optional input.
    pub inputs: Vec<Option<usize>>,
    /// Indices of output tensors.
    pub outputs: Vec<usize>,
}

/// TensorFlow's padding of a sliding window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// Zero padding so that the output has `ceil(input / stride)` rows and columns.
    Same,
    /// No padding.
    Valid,
}

/// Activation function of an operator's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Identity.
    None,
    /// `max(0, x)`.
    Relu,
    /// `min(6, max(0, x))`.
    Relu6,
}

/// The supported operators. Strides and sizes are (rows, columns).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `ADD`: elementwise sum of two tensors.
    Add {
        /// Applied to the output.
        activation: Activation,
    },
    /// `CONV_2D`.
    Conv2d {
        /// Vertical and horizontal stride.
        stride: [usize; 2],
        /// Padding of the input.
        padding: Padding,
        /// Applied to the output.
        activation: Activation,
    },
    /// `DEPTHWISE_CONV_2D`.
    DepthwiseConv2d {
        /// Vertical and horizontal stride.
        stride: [usize; 2],
        /// Padding of the input.
        padding: Padding,
        /// Applied to the output.
        activation: Activation,
        /// Output channels per input channel.
        multiplier: usize,
    },
    /// `DEQUANTIZE`: conversion to f32.
    Dequantize,
    /// `LOGISTIC`: sigmoid.
    Logistic,
    /// `MAX_POOL_2D`.
    MaxPool2d {
        /// Rows and columns of the window.
        size: [usize; 2],
        /// Vertical and horizontal stride.
        stride: [usize; 2],
        /// Padding of the input.
        padding: Padding,
        /// Applied to the output.
        activation: Activation,
    },
    /// `PAD`: zero padding; the widths are the second input.
    Pad,
    /// `RESHAPE`.
    Reshape,
    /// `RESIZE_BILINEAR`; the size is the second input.
    ResizeBilinear {
        /// Whether the corner pixels of input and output are aligned.
        align_corners: bool,
        /// Whether pixel centers are at half-integers.
        half_pixel_centers: bool,
    },
}

impl<'a> Model<'a> {
    /// Reads the bytes of a `.tflite` file.
    ///
    /// # Errors
    /// If the bytes are not a `.tflite` file, if an offset, length or count is invalid, if a tensor's values do not
    /// match its shape, or if an operator or a type of values is not supported. Whether values are finite is not checked.
    pub fn parse(file: &'a [u8]) -> Result<Model<'a>, TfliteError> {
        if file.get(4..8) != Some(b"TFL3") {
            return Err(TfliteError::NotTflite);
        }
        let bytes = Bytes(file);
        let root = bytes.root()?;
        let codes =
            codes(&bytes, &limited(&bytes, root.vector(1, 4, "the operator codes")?, "operator codes")?)?;
        let buffers = limited(&bytes, root.vector(4, 4, "the buffers")?, "buffers")?;
        let subgraphs = root.vector(2, 4, "the subgraphs")?;
        if subgraphs.len() == 0 {
            return Err(bytes.damaged("the model", root.at(), "has no subgraph"));
        }
        let graph = subgraphs.table(0, "subgraph 0")?;
        let found = limited(&bytes, graph.vector(0, 4, "the tensors")?, "tensors")?;
        let tensors = (0..found.len())
            .map(|index| tensor(index, &found.table(index, "a tensor")?, &buffers))
            .collect::<Result<Vec<_>, _>>()?;
        let endpoints = |number, what: &str| {
            let found = indices(&bytes, &graph, number, tensors.len(), what)?;
            Ok::<Vec<usize>, TfliteError>(found.into_iter().flatten().collect())
        };
        let (inputs, outputs) =
            (endpoints(1, "the subgraph's inputs")?, endpoints(2, "the subgraph's outputs")?);
        let found = limited(&bytes, graph.vector(3, 4, "the operators")?, "operators")?;
        let operators = (0..found.len())
            .map(|index| operator(&bytes, index, &found.table(index, "an operator")?, &codes, tensors.len()))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Model { tensors, operators, inputs, outputs })
    }

    /// A tensor by its index.
    pub fn tensor(&self, index: usize) -> Option<&Tensor<'a>> {
        self.tensors.get(index)
    }
}

/// Returns an error if a vector has too many elements.
fn limited<'a>(bytes: &Bytes, vector: Vector<'a>, what: &str) -> Result<Vector<'a>, TfliteError> {
    if vector.len() > MAX_ITEMS {
        return Err(bytes.damaged(
            what,
            0,
            format!("are {}; at most {MAX_ITEMS} are supported", vector.len()),
        ));
    }
    Ok(vector)
}

/// The builtin operator codes of the file. Old files keep them in one byte only (127 at most).
fn codes(bytes: &Bytes, found: &Vector) -> Result<Vec<i32>, TfliteError> {
    (0..found.len())
        .map(|index| {
            let table = found.table(index, "an operator code")?;
            let old = table.u8(0, 0, "an operator code")?;
            let new = table.i32(3, 0, "an operator code")?;
            if new < 0 || old > 127 {
                return Err(bytes.damaged(
                    "an operator code",
                    table.at(),
                    format!("is negative ({new}, {old})"),
                ));
            }
            Ok(new.max(i32::from(old)))
        })
        .collect()
}

fn tensor<'a>(index: usize, table: &Table<'a>, buffers: &Vector<'a>) -> Result<Tensor<'a>, TfliteError> {
    let name = table.text(3, "a tensor's name")?;
    let invalid = |problem: String| TfliteError::Tensor { index, name: truncated(name), problem };
    let dims = table.vector(0, 4, "a tensor's shape")?;
    if dims.len() > MAX_AXES {
        return Err(invalid(format!("has {} axes; at most {MAX_AXES} are supported", dims.len())));
    }
    let mut shape = Vec::with_capacity(dims.len());
    for dim in dims.i32s() {
        shape.push(usize::try_from(dim).map_err(|_| invalid(format!("has an axis of length {dim}")))?);
    }
    let dtype = match table.u8(1, 0, "a tensor's type")? {
        0 => DType::F32,
        1 => DType::F16,
        2 => DType::I32,
        other => return Err(invalid(format!("holds values of type {other}, not f32, f16 or i32"))),
    };
    let buffer = table.u32(2, 0, "a tensor's buffer")? as usize;
    if buffer >= buffers.len() {
        return Err(invalid(format!("names buffer {buffer} of {}", buffers.len())));
    }
    let data = buffers.table(buffer, "a buffer")?.data(0, "a buffer's bytes")?;
    let elements = shape.iter().try_fold(dtype.bytes(), |product, &dim| product.checked_mul(dim));
    if !data.is_empty() && elements != Some(data.len()) {
        return Err(invalid(format!(
            "has {} bytes of values for the shape {shape:?} of {dtype:?}",
            data.len()
        )));
    }
    if elements.is_none_or(|elements| elements > MAX_TENSOR_BYTES) {
        return Err(invalid(format!("is too large ({shape:?})")));
    }
    Ok(Tensor { name, shape, dtype, data })
}

/// A name truncated for a message.
fn truncated(name: &str) -> String {
    name.chars().take(80).collect()
}

/// Reads a vector of tensor indices; -1 is an omitted optional input.
fn indices(
    bytes: &Bytes,
    table: &Table,
    number: usize,
    tensors: usize,
    what: &str,
) -> Result<Vec<Option<usize>>, TfliteError> {
    let found = table.vector(number, 4, what)?;
    if found.len() > MAX_ENDPOINTS {
        return Err(bytes.damaged(
            what,
            table.at(),
            format!("are {}; at most {MAX_ENDPOINTS} are supported", found.len()),
        ));
    }
    found
        .i32s()
        .map(|index| match usize::try_from(index) {
            Ok(index) if index < tensors => Ok(Some(index)),
            Err(_) if index == -1 => Ok(None),
            _ => Err(bytes.damaged(what, table.at(), format!("name tensor {index} of {tensors}"))),
        })
        .collect()
}

fn operator(
    bytes: &Bytes,
    index: usize,
    table: &Table,
    codes: &[i32],
    tensors: usize,
) -> Result<Operator, TfliteError> {
    let code = table.u32(0, 0, "an operator's code")? as usize;
    let Some(&code) = codes.get(code) else {
        let problem = format!("names operator code {code} of {}", codes.len());
        return Err(bytes.damaged(format!("operator {index}"), table.at(), problem));
    };
    let inputs = indices(bytes, table, 1, tensors, "an operator's inputs")?;
    let outputs = indices(bytes, table, 2, tensors, "an operator's outputs")?.into_iter().flatten().collect();
    let options = Options { operator: index, kind: table.u8(3, 0, "an operator's options")?, table: *table };
    Ok(Operator { kind: options.parse_kind(code)?, inputs, outputs })
}

/// The options of one operator.
struct Options<'a> {
    operator: usize,
    /// Code of the options table's type.
    kind: u8,
    table: Table<'a>,
}

impl<'a> Options<'a> {
    fn parse_kind(&self, code: i32) -> Result<Kind, TfliteError> {
        Ok(match code {
            0 => Kind::Add { activation: self.activation(self.table_of_kind(11)?, 0)? },
            3 => {
                let options = self.table_of_kind(1)?;
                self.check_dilation(options, [4, 5])?;
                Kind::Conv2d {
                    stride: self.lengths(options, [2, 1])?,
                    padding: self.padding(options)?,
                    activation: self.activation(options, 3)?,
                }
            }
            4 => {
                let options = self.table_of_kind(2)?;
                self.check_dilation(options, [5, 6])?;
                Kind::DepthwiseConv2d {
                    stride: self.lengths(options, [2, 1])?,
                    padding: self.padding(options)?,
                    activation: self.activation(options, 4)?,
                    multiplier: self.length(options, 3)?,
                }
            }
            6 => Kind::Dequantize,
            14 => Kind::Logistic,
            17 => {
                let options = self.table_of_kind(5)?;
                Kind::MaxPool2d {
                    size: self.lengths(options, [4, 3])?,
                    stride: self.lengths(options, [2, 1])?,
                    padding: self.padding(options)?,
                    activation: self.activation(options, 5)?,
                }
            }
            22 => Kind::Reshape,
            23 => {
                let options = self.table_of_kind(15)?;
                let flag = |number| match options {
                    Some(table) => table.u8(number, 0, "an operator's options").map(|flag| flag != 0),
                    None => Ok(false),
                };
                Kind::ResizeBilinear { align_corners: flag(2)?, half_pixel_centers: flag(3)? }
            }
            34 => Kind::Pad,
            other => return Err(self.unsupported(format!("has the unknown kind {other}"))),
        })
    }

    fn unsupported(&self, problem: String) -> TfliteError {
        TfliteError::Unsupported { operator: self.operator, problem }
    }

    /// The options table, which has to be of type `kind`; `None` if there is none.
    fn table_of_kind(&self, kind: u8) -> Result<Option<Table<'a>>, TfliteError> {
        match self.kind {
            0 => Ok(None),
            found if found == kind => self.table.table(4, "an operator's options"),
            found => Err(self.unsupported(format!("has options of kind {found} instead of {kind}"))),
        }
    }

    fn number(&self, options: Option<Table>, number: usize, default: i32) -> Result<i32, TfliteError> {
        options.map_or(Ok(default), |table| table.i32(number, default, "an operator's options"))
    }

    /// A stride or a size: 1 to 255.
    fn length(&self, options: Option<Table>, number: usize) -> Result<usize, TfliteError> {
        let found = self.number(options, number, 0)?;
        u8::try_from(found)
            .ok()
            .filter(|&length| length > 0)
            .map(usize::from)
            .ok_or_else(|| self.unsupported(format!("has a stride, size or multiplier of {found}")))
    }

    fn lengths(&self, options: Option<Table>, numbers: [usize; 2]) -> Result<[usize; 2], TfliteError> {
        Ok([self.length(options, numbers[0])?, self.length(options, numbers[1])?])
    }

    fn check_dilation(&self, options: Option<Table>, numbers: [usize; 2]) -> Result<(), TfliteError> {
        for number in numbers {
            let found = self.number(options, number, 1)?;
            if found != 1 {
                return Err(self.unsupported(format!("is dilated by {found}")));
            }
        }
        Ok(())
    }

    fn code(&self, options: Option<Table>, number: usize) -> Result<u8, TfliteError> {
        options.map_or(Ok(0), |table| table.u8(number, 0, "an operator's options"))
    }

    fn padding(&self, options: Option<Table>) -> Result<Padding, TfliteError> {
        match self.code(options, 0)? {
            0 => Ok(Padding::Same),
            1 => Ok(Padding::Valid),
            other => Err(self.unsupported(format!("has the unknown padding {other}"))),
        }
    }

    fn activation(&self, options: Option<Table>, number: usize) -> Result<Activation, TfliteError> {
        match self.code(options, number)? {
            0 => Ok(Activation::None),
            1 => Ok(Activation::Relu),
            3 => Ok(Activation::Relu6),
            other => Err(self.unsupported(format!("has the unknown activation {other}"))),
        }
    }
}
