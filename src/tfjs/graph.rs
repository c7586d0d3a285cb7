//! `modelTopology`: the nodes of the graph, their attributes and what they take.

use super::TfjsError;
use super::manifest::Weight;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// The most nodes of a graph.
const MOST_NODES: usize = 1 << 20;

/// What an operator is told besides its inputs.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    Text(String),
    Bool(bool),
    Int(i64),
    Float(f64),
    Ints(Vec<i64>),
    /// A type, by TensorFlow's name (`DT_FLOAT`).
    Type(String),
    /// Lengths of axes; -1 where any is allowed.
    Shape(Vec<i64>),
}

/// An operator of the graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub name: String,
    /// TensorFlow's name of the operator (`Conv2D`).
    pub op: String,
    /// Names of the nodes that it takes; those that it only waits for (`^name`) are left out.
    pub inputs: Vec<Input>,
    pub attributes: BTreeMap<String, Attribute>,
}

/// One output of a node, as another node's input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    pub node: String,
    /// Which of the node's outputs.
    pub output: usize,
}

impl Node {
    /// An attribute that is a list of whole numbers (`strides`).
    pub fn ints(&self, name: &str) -> Option<&[i64]> {
        match self.attributes.get(name)? {
            Attribute::Ints(values) => Some(values),
            _ => None,
        }
    }

    /// An attribute that is text (`padding`).
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.attributes.get(name)? {
            Attribute::Text(text) => Some(text),
            _ => None,
        }
    }

    /// An attribute that is a real number (`alpha`).
    pub fn float(&self, name: &str) -> Option<f64> {
        match self.attributes.get(name)? {
            Attribute::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// An attribute that is true or false (`half_pixel_centers`).
    pub fn bool(&self, name: &str) -> Option<bool> {
        match self.attributes.get(name)? {
            Attribute::Bool(value) => Some(*value),
            _ => None,
        }
    }
}

/// The nodes of a model's JSON, and their places by name.
pub(super) fn parse(
    json: &Value,
    weights: &BTreeMap<String, Weight>,
) -> Result<(Vec<Node>, HashMap<String, usize>), TfjsError> {
    let at = "modelTopology.node";
    let listed = json
        .pointer("/modelTopology/node")
        .and_then(Value::as_array)
        .ok_or_else(|| TfjsError::structure(at, "it has to be a list of nodes"))?;
    if listed.len() > MOST_NODES {
        return Err(TfjsError::structure(at, format!("{} nodes are too many", listed.len())));
    }
    let mut nodes = Vec::with_capacity(listed.len());
    let mut index = HashMap::with_capacity(listed.len());
    for (place, value) in listed.iter().enumerate() {
        let node = parse_node(value, place)?;
        if index.insert(node.name.clone(), place).is_some() {
            return Err(wrong(&node.name, "it is listed twice"));
        }
        nodes.push(node);
    }
    for node in &nodes {
        for input in &node.inputs {
            if !index.contains_key(&input.node) {
                return Err(wrong(&node.name, format!("its input `{}` does not exist", input.node)));
            }
        }
        if node.op == "Const" && !weights.contains_key(&node.name) {
            return Err(wrong(&node.name, "it is a constant, and no tensor of the weights has its name"));
        }
    }
    check_order(&nodes, &index)?;
    Ok((nodes, index))
}

fn wrong(node: &str, reason: impl Into<String>) -> TfjsError {
    TfjsError::Node { node: node.to_string(), reason: reason.into() }
}

fn parse_node(value: &Value, place: usize) -> Result<Node, TfjsError> {
    let text = |key: &str| {
        let text = value.get(key).and_then(Value::as_str);
        text.map(str::to_string).ok_or_else(|| {
            TfjsError::structure(format!("modelTopology.node[{place}]"), format!("it has no text `{key}`"))
        })
    };
    let (name, op) = (text("name")?, text("op")?);
    let mut inputs = Vec::new();
    if let Some(listed) = value.get("input") {
        let listed = listed.as_array().ok_or_else(|| wrong(&name, "its inputs are no list"))?;
        for input in listed {
            let input =
                input.as_str().ok_or_else(|| wrong(&name, format!("its input {input} is no text")))?;
            if !input.starts_with('^') {
                inputs.push(parse_input(input).map_err(|reason| wrong(&name, reason))?);
            }
        }
    }
    let mut attributes = BTreeMap::new();
    if let Some(listed) = value.get("attr") {
        let listed = listed.as_object().ok_or_else(|| wrong(&name, "its attributes are no object"))?;
        for (key, value) in listed {
            if let Some(attribute) = parse_attribute(value)
                .map_err(|reason| wrong(&name, format!("its attribute `{key}`: {reason}")))?
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
            let output = output.parse().map_err(|_| format!("its input `{text}` names no output"))?;
            Ok(Input { node: node.to_string(), output })
        }
        None => Ok(Input { node: text.to_string(), output: 0 }),
    }
}

/// An attribute, or `None` for a kind that no network here needs (a constant's value, a function).
fn parse_attribute(value: &Value) -> Result<Option<Attribute>, String> {
    let attribute = if let Some(text) = value.get("s") {
        let text = text.as_str().ok_or("its text is none")?;
        let bytes = base64(text).ok_or("its text is not base64")?;
        Attribute::Text(String::from_utf8(bytes).map_err(|_| "its text is not UTF-8")?)
    } else if let Some(value) = value.get("b") {
        Attribute::Bool(value.as_bool().ok_or("it is neither true nor false")?)
    } else if let Some(value) = value.get("i") {
        Attribute::Int(integer(value)?)
    } else if let Some(value) = value.get("f") {
        Attribute::Float(value.as_f64().ok_or("it is no number")?)
    } else if let Some(value) = value.get("type") {
        Attribute::Type(value.as_str().ok_or("its type is no text")?.to_string())
    } else if let Some(shape) = value.get("shape") {
        let axes = shape.get("dim").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        // protobuf leaves out a length of zero
        let length = |axis: &Value| axis.get("size").map_or(Ok(0), integer);
        Attribute::Shape(axes.iter().map(length).collect::<Result<_, _>>()?)
    } else if let Some(list) = value.get("list") {
        match list.get("i") {
            Some(values) => {
                let values = values.as_array().ok_or("its list is none")?;
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

/// A whole number, which protobuf's JSON writes as text.
fn integer(value: &Value) -> Result<i64, String> {
    let parsed = value.as_str().and_then(|text| text.parse().ok()).or_else(|| value.as_i64());
    parsed.ok_or_else(|| format!("{value} is no whole number"))
}

/// The bytes of base64 text; both alphabets (RFC 4648, sections 4 and 5), with or without padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').bytes();
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut held, mut bits) = (0u32, 0u32);
    for digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        held = (held << 6) | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    // six bits alone are no byte
    (bits < 6).then_some(bytes)
}

/// Sorts the graph by what each node takes (Kahn's algorithm), which fails where there is a cycle.
fn check_order(nodes: &[Node], index: &HashMap<String, usize>) -> Result<(), TfjsError> {
    let mut waiting: Vec<usize> = nodes.iter().map(|node| node.inputs.len()).collect();
    let mut takers: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for (place, node) in nodes.iter().enumerate() {
        for input in &node.inputs {
            if let Some(takers) = index.get(&input.node).and_then(|source| takers.get_mut(*source)) {
                takers.push(place);
            }
        }
    }
    let mut ready: Vec<usize> =
        waiting.iter().enumerate().filter(|(_, count)| **count == 0).map(|(place, _)| place).collect();
    while let Some(place) = ready.pop() {
        for taker in takers.get(place).into_iter().flatten() {
            if let Some(count) = waiting.get_mut(*taker) {
                *count -= 1;
                if *count == 0 {
                    ready.push(*taker);
                }
            }
        }
    }
    match waiting.iter().position(|count| *count > 0).and_then(|place| nodes.get(place)) {
        Some(node) => Err(wrong(&node.name, "it takes its own output, through other nodes or directly")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_is_read_in_both_alphabets() {
        assert_eq!(base64("VkFMSUQ=").unwrap(), b"VALID");
        assert_eq!(base64("").unwrap(), b"");
        assert_eq!(base64("-_8"), base64("+/8="));
        assert!(base64("V").is_none() && base64("V*==").is_none());
    }
}
