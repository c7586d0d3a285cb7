//! Valid and invalid models.

use super::*;
use serde_json::json;

/// Two constants and a convolution of them; `edit` changes the JSON.
fn model(edit: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut json = json!({
        "format": "graph-model",
        "modelTopology": { "node": [
            { "name": "x", "op": "Placeholder", "attr": { "shape": { "shape": { "dim": [{ "size": "1" }, {}] } } } },
            { "name": "w", "op": "Const" },
            { "name": "pad", "op": "Const" },
            { "name": "conv", "op": "Conv2D", "input": ["x", "w:0", "^pad"], "attr": {
                "padding": { "s": "VkFMSUQ=" },
                "strides": { "list": { "i": ["1", "2", "2", "1"] } },
                "explicit_paddings": { "list": {} },
                "alpha": { "f": 0.1 },
                "T": { "type": "DT_FLOAT" },
                "value": { "tensor": {} },
            } },
        ] },
        "weightsManifest": [{ "paths": ["model.bin"], "weights": [
            { "name": "w", "shape": [2, 1], "dtype": "float32", "quantization": { "dtype": "float16" } },
            { "name": "pad", "shape": [1], "dtype": "int32" },
            { "name": "byte", "shape": [2], "dtype": "float32",
              "quantization": { "dtype": "uint8", "scale": 0.5, "min": -1.0 } },
            { "name": "one", "shape": [], "dtype": "float32" },
        ] }],
    });
    edit(&mut json);
    serde_json::to_vec(&json).unwrap()
}

/// The weights of [`model`].
fn weights() -> Vec<u8> {
    let mut bytes = Vec::new();
    for value in [1.5f32, -2.0] {
        bytes.extend(half::f16::from_f32(value).to_le_bytes());
    }
    bytes.extend((-7i32).to_le_bytes());
    bytes.extend([0, 255]);
    bytes.extend(f32::NEG_INFINITY.to_le_bytes());
    bytes
}

fn rejection(json: &[u8], bytes: &[u8]) -> String {
    Model::from_bytes(json, &[bytes]).unwrap_err().to_string()
}

fn weight(json: &mut Value, index: usize) -> &mut Value {
    &mut json["weightsManifest"][0]["weights"][index]
}

#[test]
fn a_valid_model_is_read() {
    let model = Model::from_bytes(&model(|_| ()), &[&weights()]).unwrap();
    assert_eq!(model.weight("w").unwrap().floats().unwrap(), [1.5, -2.0]);
    assert_eq!(model.weight("w").unwrap().shape, [2, 1]);
    assert_eq!(model.weight("pad").unwrap().integers().unwrap(), [-7]);
    assert_eq!(model.weight("byte").unwrap().floats().unwrap(), [-1.0, 126.5]);
    assert_eq!(model.weight("one").unwrap().floats().unwrap(), [f32::NEG_INFINITY]);
    let conv = model.node("conv").unwrap();
    let names: Vec<&str> = conv.inputs.iter().map(|input| input.node.as_str()).collect();
    assert_eq!((conv.op.as_str(), names), ("Conv2D", vec!["x", "w"]));
    assert_eq!(conv.text("padding"), Some("VALID"));
    assert_eq!(conv.ints("strides"), Some(&[1, 2, 2, 1][..]));
    assert_eq!(conv.float("alpha"), Some(0.1));
    assert_eq!(conv.attributes.get("value"), None);
    assert_eq!(model.node("x").unwrap().attributes["shape"], Attribute::Shape(vec![1, 0]));
}

#[test]
fn truncated_weights_name_the_first_incomplete_tensor() {
    let (json, whole) = (model(|_| ()), weights());
    for cut in 0..whole.len() {
        let message = rejection(&json, &whole[..cut]);
        let expected = match cut {
            0..4 => "the tensor `w` at byte 0",
            4..8 => "the tensor `pad` at byte 4",
            8..10 => "the tensor `byte` at byte 8",
            _ => "the tensor `one` at byte 10",
        };
        assert!(message.starts_with(expected), "{cut}: {message}");
    }
    let long = [whole, vec![0]].concat();
    assert!(rejection(&json, &long).contains("have 15 bytes and the JSON lists 14"));
}

#[test]
fn truncated_json_is_rejected() {
    let (json, bytes) = (model(|_| ()), weights());
    for cut in 0..json.len() {
        let message = rejection(&json[..cut], &bytes);
        assert!(message.starts_with("model.json is not JSON"), "{message}");
    }
    assert!(rejection(b"[]", &bytes).contains("`weightsManifest`"));
    assert!(rejection(br#"{"weightsManifest": []}"#, &bytes).contains("0 groups"));
}

#[test]
fn wrong_shapes_are_rejected_before_memory_is_allocated() {
    let bytes = weights();
    let shape = |shape: Value| model(|json| weight(json, 0)["shape"] = shape);
    assert!(rejection(&shape(json!([3, 1])), &bytes).contains("the tensor `one` at byte 12"));
    assert!(rejection(&shape(json!([1, 1])), &bytes).contains("have 14 bytes and the JSON lists 12"));
    let huge = u64::from(u32::MAX);
    assert!(rejection(&shape(json!([huge, huge, huge])), &bytes).contains("too large"));
    assert!(
        rejection(&shape(json!([huge, 1])), &bytes)
            .contains("the tensor `w` at byte 0 of the weights: it needs")
    );
    assert!(rejection(&shape(json!([huge, huge])), &bytes).contains("`w`"));
    assert!(rejection(&shape(json!([1u64 << 40])), &bytes).contains("not an axis length"));
    assert!(rejection(&shape(json!([-2, -1])), &bytes).contains("-2 is not an axis length"));
    assert!(rejection(&shape(json!(["2", 1])), &bytes).contains("not an axis length"));
    assert!(rejection(&shape(json!(null)), &bytes).contains("no shape"));
    assert!(rejection(&shape(json!([1, 1, 1, 1, 1, 1, 1, 1, 2])), &bytes).contains("9 axes"));
}

#[test]
fn unknown_types_are_errors() {
    let bytes = weights();
    let message = rejection(&model(|json| weight(json, 1)["dtype"] = json!("complex64")), &bytes);
    assert!(message.contains("`pad`") && message.contains("complex64"), "{message}");
    let message = rejection(&model(|json| weight(json, 2)["quantization"]["scale"] = json!("x")), &bytes);
    assert!(message.contains("`byte` at byte 8") && message.contains("`scale`"), "{message}");
    let message = rejection(&model(|json| weight(json, 0)["quantization"]["dtype"] = json!("int4")), &bytes);
    assert!(message.contains("quantized to int4"), "{message}");
}

#[test]
fn nan_weights_are_errors() {
    let mut bytes = weights();
    bytes[2..4].copy_from_slice(&half::f16::NAN.to_le_bytes());
    let message = rejection(&model(|_| ()), &bytes);
    assert!(
        message.contains("the tensor `w` at byte 0 of the weights: value 1 is not a number"),
        "{message}"
    );
}

#[test]
fn invalid_graphs_are_rejected() {
    let bytes = weights();
    let input =
        |node: usize, inputs: Value| model(move |json| json["modelTopology"]["node"][node]["input"] = inputs);
    assert!(rejection(&input(0, json!(["conv"])), &bytes).contains("depends on its own output"));
    assert!(rejection(&input(3, json!(["conv"])), &bytes).contains("`conv`: it depends on its own output"));
    assert!(rejection(&input(3, json!(["y"])), &bytes).contains("its input `y` does not exist"));
    assert!(rejection(&input(3, json!(["x:z"])), &bytes).contains("has no output index"));
    assert!(rejection(&input(3, json!([3])), &bytes).contains("is not a string"));
    assert!(rejection(&input(3, json!("x")), &bytes).contains("not a list"));
    let renamed = model(|json| weight(json, 0)["name"] = json!("v"));
    assert!(rejection(&renamed, &bytes).contains("`w`: it is a constant, and the weights have no tensor"));
    let twice = model(|json| weight(json, 3)["name"] = json!("w"));
    assert!(rejection(&twice, &bytes).contains("`w` is listed twice"));
    let twice = model(|json| json["modelTopology"]["node"][0]["name"] = json!("w"));
    assert!(rejection(&twice, &bytes).contains("`w`: it is listed twice"));
    let strides = json!({ "strides": { "list": { "i": ["1", "two"] } } });
    let wrong = model(|json| json["modelTopology"]["node"][3]["attr"] = strides);
    assert!(rejection(&wrong, &bytes).contains("`conv`: its attribute `strides`"));
}

#[test]
fn files_are_read_from_the_folder_of_the_json_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.json");
    std::fs::write(&path, model(|_| ())).unwrap();
    assert!(Model::read(&path).unwrap_err().to_string().contains("model.bin"));
    std::fs::write(folder.path().join("model.bin"), weights()).unwrap();
    assert_eq!(Model::read(&path).unwrap().nodes().len(), 4);
    let split = model(|json| json["weightsManifest"][0]["paths"] = json!(["1", "2"]));
    std::fs::write(&path, split).unwrap();
    std::fs::write(folder.path().join("1"), &weights()[..5]).unwrap();
    std::fs::write(folder.path().join("2"), &weights()[5..]).unwrap();
    assert_eq!(Model::read(&path).unwrap().weight("pad").unwrap().integers().unwrap(), [-7]);
    for name in ["../model.bin", "/model.bin", "", "a\\b"] {
        std::fs::write(&path, model(|json| json["weightsManifest"][0]["paths"] = json!([name]))).unwrap();
        assert!(Model::read(&path).unwrap_err().to_string().contains("not a plain file name"));
    }
}

#[test]
fn damaged_json_never_panics() {
    let (json, bytes) = (model(|_| ()), weights());
    let (mut read, mut rejected) = (0, 0);
    for at in 0..json.len() {
        for byte in [b'0', b'9', b'-', b'"', b'[', b'}', b'e', 0, 255] {
            let mut json = json.clone();
            json[at] = byte;
            match Model::from_bytes(&json, &[&bytes]) {
                Ok(_) => read += 1,
                Err(error) => rejected += usize::from(!error.to_string().is_empty()),
            }
        }
    }
    // changes of unused attributes and names are not detected
    assert!(read > 0 && rejected > 2 * read, "{read} were read and {rejected} rejected");
}
