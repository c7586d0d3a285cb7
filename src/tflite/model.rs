//! The model that a `.tflite` file holds: tensors and operators of its first subgraph.
//!
//! Field numbers and codes are those of TensorFlow's `schema.fbs`. Must not know which network it is.

use super::TfliteError;
use super::flatbuffer::{Bytes, Table, Vector};

/// Most tensors, operators, buffers and operator codes that a file may have.
const MOST: usize = 1 << 14;
/// Most axes of a tensor.
const MOST_AXES: usize = 8;
/// Most inputs or outputs of an operator or of the subgraph.
const MOST_ENDS: usize = 16;

/// The first subgraph of a file. Names and values are borrowed from the file's bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Model<'a> {
    pub tensors: Vec<Tensor<'a>>,
    /// In the order in which they are computed.
    pub operators: Vec<Operator>,
    /// Indices of tensors.
    pub inputs: Vec<usize>,
    /// Indices of tensors.
    pub outputs: Vec<usize>,
}

/// A tensor; its values are empty where an operator or the caller fills it.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor<'a> {
    pub name: &'a str,
    pub shape: Vec<usize>,
    pub dtype: DType,
    /// Little-endian values; either empty or as many as the shape says.
    pub data: &'a [u8],
}

/// Types of a tensor's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DType {
    F32,
    F16,
    I32,
}

impl DType {
    /// Bytes of one value.
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
    pub kind: Kind,
    /// Indices of tensors; `None` where an optional input is left out.
    pub inputs: Vec<Option<usize>>,
    /// Indices of tensors.
    pub outputs: Vec<usize>,
}

/// How an operator treats the borders: with zeros so that the output is as large as the input divided by the
/// stride, or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    Same,
    Valid,
}

/// A function that is applied to an operator's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    None,
    Relu,
    Relu6,
}

/// The known operators. Strides and sizes are rows, then columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Add { activation: Activation },
    Conv2d { stride: [usize; 2], padding: Padding, activation: Activation },
    DepthwiseConv2d { stride: [usize; 2], padding: Padding, activation: Activation, multiplier: usize },
    Dequantize,
    Logistic,
    MaxPool2d { size: [usize; 2], stride: [usize; 2], padding: Padding, activation: Activation },
    Pad,
    Reshape,
    ResizeBilinear { align_corners: bool, half_pixel_centers: bool },
}

impl<'a> Model<'a> {
    /// Reads the bytes of a `.tflite` file.
    ///
    /// # Errors
    /// If the bytes are no such file, if an offset, length or count in it is wrong, if a tensor's values do not
    /// match its shape, or if it has an operator or a type of values that is not known. Whether weights are
    /// finite is not looked at.
    pub fn parse(file: &'a [u8]) -> Result<Model<'a>, TfliteError> {
        if file.get(4..8) != Some(b"TFL3") {
            return Err(TfliteError::NotTflite);
        }
        let bytes = Bytes(file);
        let root = bytes.root()?;
        let codes =
            codes(&bytes, &bounded(&bytes, root.vector(1, 4, "the operator codes")?, "operator codes")?)?;
        let buffers = bounded(&bytes, root.vector(4, 4, "the buffers")?, "buffers")?;
        let subgraphs = root.vector(2, 4, "the subgraphs")?;
        if subgraphs.len() == 0 {
            return Err(bytes.damaged("the model", root.at(), "has no subgraph"));
        }
        let graph = subgraphs.table(0, "subgraph 0")?;
        let found = bounded(&bytes, graph.vector(0, 4, "the tensors")?, "tensors")?;
        let tensors = (0..found.len())
            .map(|index| tensor(index, &found.table(index, "a tensor")?, &buffers))
            .collect::<Result<Vec<_>, _>>()?;
        let ends = |number, what: &str| {
            let found = indices(&bytes, &graph, number, tensors.len(), what)?;
            Ok::<Vec<usize>, TfliteError>(found.into_iter().flatten().collect())
        };
        let (inputs, outputs) = (ends(1, "the subgraph's inputs")?, ends(2, "the subgraph's outputs")?);
        let found = bounded(&bytes, graph.vector(3, 4, "the operators")?, "operators")?;
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

fn bounded<'a>(bytes: &Bytes, vector: Vector<'a>, what: &str) -> Result<Vector<'a>, TfliteError> {
    if vector.len() > MOST {
        return Err(bytes.damaged(what, 0, format!("are {}; at most {MOST} are read", vector.len())));
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
    let wrong = |problem: String| TfliteError::Tensor { index, name: shortened(name), problem };
    let dims = table.vector(0, 4, "a tensor's shape")?;
    if dims.len() > MOST_AXES {
        return Err(wrong(format!("has {} axes; at most {MOST_AXES} are read", dims.len())));
    }
    let mut shape = Vec::with_capacity(dims.len());
    for dim in dims.i32s() {
        shape.push(usize::try_from(dim).map_err(|_| wrong(format!("has an axis of length {dim}")))?);
    }
    let dtype = match table.u8(1, 0, "a tensor's type")? {
        0 => DType::F32,
        1 => DType::F16,
        2 => DType::I32,
        other => return Err(wrong(format!("holds values of type {other}, not f32, f16 or i32"))),
    };
    let buffer = table.u32(2, 0, "a tensor's buffer")? as usize;
    if buffer >= buffers.len() {
        return Err(wrong(format!("names buffer {buffer} of {}", buffers.len())));
    }
    let data = buffers.table(buffer, "a buffer")?.data(0, "a buffer's bytes")?;
    let elements = shape.iter().try_fold(dtype.bytes(), |product, &dim| product.checked_mul(dim));
    if !data.is_empty() && elements != Some(data.len()) {
        return Err(wrong(format!(
            "has {} bytes of values for the shape {shape:?} of {dtype:?}",
            data.len()
        )));
    }
    if elements.is_none_or(|elements| elements > bytes_of_largest_map()) {
        return Err(wrong(format!("is too large ({shape:?})")));
    }
    Ok(Tensor { name, shape, dtype, data })
}

/// Most bytes of one tensor: no feature map of a network that is read here comes near it.
fn bytes_of_largest_map() -> usize {
    1 << 30
}

/// A name cut to a length that fits into a message.
fn shortened(name: &str) -> String {
    name.chars().take(80).collect()
}

/// A vector of indices of tensors; -1 stands for an input that is left out.
fn indices(
    bytes: &Bytes,
    table: &Table,
    number: usize,
    tensors: usize,
    what: &str,
) -> Result<Vec<Option<usize>>, TfliteError> {
    let found = table.vector(number, 4, what)?;
    if found.len() > MOST_ENDS {
        return Err(bytes.damaged(
            what,
            table.at(),
            format!("are {}; at most {MOST_ENDS} are read", found.len()),
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
    Ok(Operator { kind: options.kind_of(code)?, inputs, outputs })
}

/// The options of one operator.
struct Options<'a> {
    operator: usize,
    /// Which kind of options table the file says it is.
    kind: u8,
    table: Table<'a>,
}

impl<'a> Options<'a> {
    fn kind_of(&self, code: i32) -> Result<Kind, TfliteError> {
        Ok(match code {
            0 => Kind::Add { activation: self.activation(self.of_kind(11)?, 0)? },
            3 => {
                let options = self.of_kind(1)?;
                self.undilated(options, [4, 5])?;
                Kind::Conv2d {
                    stride: self.lengths(options, [2, 1])?,
                    padding: self.padding(options)?,
                    activation: self.activation(options, 3)?,
                }
            }
            4 => {
                let options = self.of_kind(2)?;
                self.undilated(options, [5, 6])?;
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
                let options = self.of_kind(5)?;
                Kind::MaxPool2d {
                    size: self.lengths(options, [4, 3])?,
                    stride: self.lengths(options, [2, 1])?,
                    padding: self.padding(options)?,
                    activation: self.activation(options, 5)?,
                }
            }
            22 => Kind::Reshape,
            23 => {
                let options = self.of_kind(15)?;
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

    /// The options table, if it is of a kind; `None` where there is none at all.
    fn of_kind(&self, kind: u8) -> Result<Option<Table<'a>>, TfliteError> {
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

    fn undilated(&self, options: Option<Table>, numbers: [usize; 2]) -> Result<(), TfliteError> {
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
