//! Parses `modelTopology`: the nodes of the graph, their attributes and inputs.

use super::TfjsError;
use super::manifest::Weight;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// Maximum number of nodes.
const MAX_NODES: usize = 1 << 20;

/// An attribute (option) of an operator.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    /// `s`, decoded from base64.
    Text(String),
    /// `b`.
    Bool(bool),
    /// `i`.
    Int(i64),
    /// `f`.
    Float(f64),
    /// `list.i`.
    Ints(Vec<i64>),
    /// `type`: TensorFlow's name of a type (`DT_FLOAT`).
    Type(String),
    /// `shape`: lengths of the axes; -1 for any length.
    Shape(Vec<i64>),
}

/// An operator of the graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Unique name.
    pub name: String,
    /// TensorFlow's operator name (`Conv2D`).
    pub op: String,
    /// Data inputs; control dependencies (`^name`) are left out.
    pub inputs: Vec<Input>,
    /// Attributes by name; unsupported kinds are left out.
    pub attributes: BTreeMap<String, Attribute>,
}

/// One output of a node, as another node's input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Name of the node.
    pub node: String,
    /// Index of the node's output.
    pub output: usize,
}

impl Node {
    /// A list of integers (`strides`).
    pub fn ints(&self, name: &str) -> Option<&[i64]> {
        match self.attributes.get(name)? {
            Attribute::Ints(values) => Some(values),
            _ => None,
        }
    }

    /// A string (`padding`).
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.attributes.get(name)? {
            Attribute::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A float (`alpha`).
    pub fn float(&self, name: &str) -> Option<f64> {
        match self.attributes.get(name)? {
            Attribute::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// A boolean (`half_pixel_centers`).
    pub fn bool(&self, name: &str) -> Option<bool> {
        match self.attributes.get(name)? {
            Attribute::Bool(value) => Some(*value),
            _ => None,
        }
    }
}

/// Parses the nodes of a model's JSON; returns them with their indices by name.
pub(super) fn parse(
    json: &Value,
    weights: &BTreeMap<String, Weight>,
) -> Result<(Vec<Node>, HashMap<String, usize>), TfjsError> {
    let at = "modelTopology.node";
    let listed = json
        .pointer("/modelTopology/node")
        .and_then(Value::as_array)
        .ok_or_else(|| TfjsError::structure(at, "it has to be a list of nodes"))?;
    if listed.len() > MAX_NODES {
        return Err(TfjsError::structure(at, format!("{} nodes are too many", listed.len())));
    }
    let mut nodes = Vec::with_capacity(listed.len());
    let mut index = HashMap::with_capacity(listed.len());
    for (position, value) in listed.iter().enumerate() {
        let node = parse_node(value, position)?;
        if index.insert(node.name.clone(), position).is_some() {
            return Err(invalid(&node.name, "it is listed twice"));
        }
        nodes.push(node);
    }
    for node in &nodes {
        for input in &node.inputs {
            if !index.contains_key(&input.node) {
                return Err(invalid(&node.name, format!("its input `{}` does not exist", input.node)));
            }
        }
        if node.op == "Const" && !weights.contains_key(&node.name) {
            return Err(invalid(&node.name, "it is a constant, and the weights have no tensor of this name"));
        }
    }
    check_acyclic(&nodes, &index)?;
    Ok((nodes, index))
}

fn invalid(node: &str, reason: impl Into<String>) -> TfjsError {
    TfjsError::Node { node: node.to_string(), reason: reason.into() }
}

fn parse_node(value: &Value, position: usize) -> Result<Node, TfjsError> {
    let text = |key: &str| {
        let text = value.get(key).and_then(Value::as_str);
        text.map(str::to_string).ok_or_else(|| {
            TfjsError::structure(
                format!("modelTopology.node[{position}]"),
                format!("it has no string `{key}`"),
            )
        })
    };
    let (name, op) = (text("name")?, text("op")?);
    let mut inputs = Vec::new();
    if let Some(listed) = value.get("input") {
        let listed = listed.as_array().ok_or_else(|| invalid(&name, "its inputs are not a list"))?;
        for input in listed {
            let input =
                input.as_str().ok_or_else(|| invalid(&name, format!("its input {input} is not a string")))?;
            if !input.starts_with('^') {
                inputs.push(parse_input(input).map_err(|reason| invalid(&name, reason))?);
            }
        }
    }
    let mut attributes = BTreeMap::new();
    if let Some(listed) = value.get("attr") {
        let listed = listed.as_object().ok_or_else(|| invalid(&name, "its attributes are not an object"))?;
        for (key, value) in listed {
            if let Some(attribute) = parse_attribute(value)
                .map_err(|reason| invalid(&name, format!("its attribute `{key}`: {reason}")))?
            {
                attributes.insert(key.clone(), attribute);
            }
        }
    }
    Ok(Node { name, op, inputs, attributes })
}

fn parse_input(text: &str) -> Result<Input, String> {
    match text.rsplit_once(':') {
        Some((node, output)) => {
            let output = output.parse().map_err(|_| format!("its input `{text}` has no output index"))?;
            Ok(Input { node: node.to_string(), output })
        }
        None => Ok(Input { node: text.to_string(), output: 0 }),
    }
}

/// Parses an attribute; `None` for unsupported kinds (a constant's value, a function).
fn parse_attribute(value: &Value) -> Result<Option<Attribute>, String> {
    let attribute = if let Some(text) = value.get("s") {
        let text = text.as_str().ok_or("it is not a string")?;
        let bytes = base64(text).ok_or("it is not base64")?;
        Attribute::Text(String::from_utf8(bytes).map_err(|_| "it is not UTF-8")?)
    } else if let Some(value) = value.get("b") {
        Attribute::Bool(value.as_bool().ok_or("it is not a boolean")?)
    } else if let Some(value) = value.get("i") {
        Attribute::Int(integer(value)?)
    } else if let Some(value) = value.get("f") {
        Attribute::Float(value.as_f64().ok_or("it is not a number")?)
    } else if let Some(value) = value.get("type") {
        Attribute::Type(value.as_str().ok_or("its type is not a string")?.to_string())
    } else if let Some(shape) = value.get("shape") {
        let axes = shape.get("dim").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        // protobuf omits a length of zero
        let length = |axis: &Value| axis.get("size").map_or(Ok(0), integer);
        Attribute::Shape(axes.iter().map(length).collect::<Result<_, _>>()?)
    } else if let Some(list) = value.get("list") {
        match list.get("i") {
            Some(values) => {
                let values = values.as_array().ok_or("its list is not a list")?;
                Attribute::Ints(values.iter().map(integer).collect::<Result<_, _>>()?)
            }
            None if list.as_object().is_some_and(serde_json::Map::is_empty) => Attribute::Ints(Vec::new()),
            None => return Ok(None),
        }
    } else {
        return Ok(None);
    };
    Ok(Some(attribute))
}

/// An integer, which protobuf's JSON writes as a string.
fn integer(value: &Value) -> Result<i64, String> {
    let parsed = value.as_str().and_then(|text| text.parse().ok()).or_else(|| value.as_i64());
    parsed.ok_or_else(|| format!("{value} is not an integer"))
}

/// Decodes base64; both alphabets (RFC 4648, sections 4 and 5), with or without padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').bytes();
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut buffer, mut bits) = (0u32, 0u32);
    for digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        buffer = (buffer << 6) | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((buffer >> bits) as u8);
            buffer &= (1 << bits) - 1;
        }
    }
    // six remaining bits mean a missing digit
    (bits < 6).then_some(bytes)
}

/// Checks that the graph has no cycle (Kahn's topological sort).
fn check_acyclic(nodes: &[Node], index: &HashMap<String, usize>) -> Result<(), TfjsError> {
    let mut missing_inputs: Vec<usize> = nodes.iter().map(|node| node.inputs.len()).collect();
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for (position, node) in nodes.iter().enumerate() {
        for input in &node.inputs {
            if let Some(readers) = index.get(&input.node).and_then(|source| readers.get_mut(*source)) {
                readers.push(position);
            }
        }
    }
    let mut ready: Vec<usize> = missing_inputs
        .iter()
        .enumerate()
        .filter(|(_, count)| **count == 0)
        .map(|(position, _)| position)
        .collect();
    while let Some(position) = ready.pop() {
        for reader in readers.get(position).into_iter().flatten() {
            if let Some(count) = missing_inputs.get_mut(*reader) {
                *count -= 1;
                if *count == 0 {
                    ready.push(*reader);
                }
            }
        }
    }
    match missing_inputs.iter().position(|count| *count > 0).and_then(|position| nodes.get(position)) {
        Some(node) => {
            Err(invalid(&node.name, "it depends on its own output, directly or through other nodes"))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_is_decoded_in_both_alphabets() {
        assert_eq!(base64("VkFMSUQ=").unwrap(), b"VALID");
        assert_eq!(base64("").unwrap(), b"");
        assert_eq!(base64("-_8"), base64("+/8="));
        assert!(base64("V").is_none() && base64("V*==").is_none());
    }
}
