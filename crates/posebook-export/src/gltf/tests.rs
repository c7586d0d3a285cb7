//! A written file is read back, and its bodies are those of SMPL's own forward pass.

use super::*;
use crate::frames::tests::frame;
use posebook_core::geometry::add;

/// A `.glb` taken apart.
struct Glb {
    json: Value,
    bin: Vec<u8>,
}

impl Glb {
    fn parse(bytes: &[u8]) -> Glb {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        assert_eq!((&bytes[..4], word(4), word(8)), (&b"glTF"[..], 2, bytes.len()));
        let text = word(12);
        assert_eq!((&bytes[16..20], text % 4), (&b"JSON"[..], 0));
        let bin = &bytes[20 + text..];
        assert_eq!((&bin[4..8], bin.len() % 4), (&b"BIN\0"[..], 0));
        Glb { json: serde_json::from_slice(&bytes[20..20 + text]).unwrap(), bin: bin[8..].to_vec() }
    }

    /// Bytes and number of elements of an accessor.
    fn bytes(&self, accessor: &Value) -> (&[u8], usize) {
        let accessor = &self.json["accessors"][accessor.as_u64().unwrap() as usize];
        let view = &self.json["bufferViews"][accessor["bufferView"].as_u64().unwrap() as usize];
        let number = |key: &str| view[key].as_u64().unwrap() as usize;
        let start = number("byteOffset");
        (&self.bin[start..start + number("byteLength")], accessor["count"].as_u64().unwrap() as usize)
    }

    fn floats<const N: usize>(&self, accessor: &Value) -> Vec<[f32; N]> {
        let (bytes, count) = self.bytes(accessor);
        let values: Vec<f32> =
            bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        assert_eq!(values.len(), N * count);
        values.as_chunks::<N>().0.to_vec()
    }

    /// Vertices of a track at one of its keys, by glTF's rules: node transforms, skinning.
    fn skinned(&self, track: usize, key: usize) -> Vec<[f64; 3]> {
        let animation = &self.json["animations"][0];
        let first = track * NODES;
        let joints: Vec<[[f64; 4]; 4]> = (0..=NUM_JOINTS)
            .scan(vec![None; NODES], |globals, index| {
                let node = &self.json["nodes"][first + index];
                let mut local = transform(
                    &numbers(&node["rotation"], &[0.0, 0.0, 0.0, 1.0]),
                    &numbers(&node["translation"], &[0.0; 3]),
                );
                for channel in animation["channels"].as_array().unwrap() {
                    if channel["target"]["node"].as_u64().unwrap() as usize != first + index {
                        continue;
                    }
                    let output =
                        &animation["samplers"][channel["sampler"].as_u64().unwrap() as usize]["output"];
                    match channel["target"]["path"].as_str().unwrap() {
                        "rotation" => {
                            let turn = self.floats::<4>(output)[key].map(f64::from);
                            let turned = transform(&turn, &[local[0][3], local[1][3], local[2][3]]);
                            local = turned;
                        }
                        "translation" => {
                            let at = self.floats::<3>(output)[key];
                            (0..3).for_each(|axis| local[axis][3] = f64::from(at[axis]));
                        }
                        _ => {}
                    }
                }
                let parent = (0..index).find(|&parent| {
                    let children = self.json["nodes"][first + parent]["children"].as_array();
                    children.is_some_and(|all| {
                        all.iter().any(|child| child.as_u64() == Some((first + index) as u64))
                    })
                });
                let global = parent.map_or(local, |parent| multiply4(&globals[parent].unwrap(), &local));
                globals[index] = Some(global);
                Some(global)
            })
            .collect();
        let skin = &self.json["skins"][track];
        let inverse = self.floats::<16>(&skin["inverseBindMatrices"]);
        let primitive = &self.json["meshes"][track]["primitives"][0]["attributes"];
        let (positions, weights) =
            (self.floats::<3>(&primitive["POSITION"]), self.floats::<4>(&primitive["WEIGHTS_0"]));
        let numbers = self.bytes(&primitive["JOINTS_0"]).0.as_chunks::<4>().0;
        let vertex = |index: usize| {
            let mut sum = [0.0; 3];
            for slot in 0..4 {
                let joint = usize::from(numbers[index][slot]);
                // by columns
                let bind: [[f64; 4]; 4] = std::array::from_fn(|row| {
                    std::array::from_fn(|column| f64::from(inverse[joint][4 * column + row]))
                });
                let matrix = multiply4(&joints[joint + 1], &bind);
                let [x, y, z] = positions[index].map(f64::from);
                for axis in 0..3 {
                    let row = matrix[axis];
                    sum[axis] +=
                        f64::from(weights[index][slot]) * (row[0] * x + row[1] * y + row[2] * z + row[3]);
                }
            }
            sum
        };
        (0..positions.len()).map(vertex).collect()
    }
}

fn numbers<const N: usize>(value: &Value, default: &[f64; N]) -> [f64; N] {
    value.as_array().map_or(*default, |all| std::array::from_fn(|index| all[index].as_f64().unwrap()))
}

fn transform(rotation: &[f64; 4], translation: &[f64; 3]) -> [[f64; 4]; 4] {
    let m = crate::rotation::matrix(rotation);
    let row = |axis: usize| [m[axis][0], m[axis][1], m[axis][2], translation[axis]];
    [row(0), row(1), row(2), [0.0, 0.0, 0.0, 1.0]]
}

fn multiply4(a: &[[f64; 4]; 4], b: &[[f64; 4]; 4]) -> [[f64; 4]; 4] {
    std::array::from_fn(|row| std::array::from_fn(|column| (0..4).map(|k| a[row][k] * b[k][column]).sum()))
}

fn export(frames: &[ExportFrame], body: Body) -> (Glb, Exported) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("people.glb");
    let mut writer = Box::new(GltfWriter::create(&path, body, None).unwrap());
    frames.iter().for_each(|frame| writer.push(frame.clone()).unwrap());
    let exported = writer.finish().unwrap();
    assert_eq!(exported.files, std::slice::from_ref(&path));
    (Glb::parse(&std::fs::read(path).unwrap()), exported)
}

#[test]
fn skinned_vertices_are_those_of_the_body() {
    let body = Body::built_in();
    // two frames, so that the mean shape is the person's own
    let frames: Vec<ExportFrame> = [3, 4, 20].map(|number| frame(number, &[1, 2])).to_vec();
    let (glb, exported) = export(&frames, body.clone());
    assert_eq!((exported.tracks, exported.frames, exported.people), (2, 3, 6));
    let indices = &glb.json["meshes"][0]["primitives"][0]["indices"];
    let corners = glb.bytes(indices).0.as_chunks::<2>().0;
    for (track, key) in [(0, 0), (0, 2), (1, 1)] {
        let person = &frames[key].people[track];
        let posed = body.pose(&person.params).vertices;
        let skinned = glb.skinned(track, key);
        let mut largest = 0f64;
        for (face, chunk) in body.faces.iter().zip(corners.chunks_exact(3)) {
            for (vertex, corner) in face.iter().zip(chunk) {
                let at = skinned[usize::from(u16::from_le_bytes(*corner))];
                let [x, y, z] = add(posed[*vertex as usize], person.translation);
                for (a, b) in at.iter().zip([x, -y, -z]) {
                    largest = largest.max((a - f64::from(b)).abs());
                }
            }
        }
        // one vertex of the built-in body has five weights, of which four are kept
        assert!(largest < 5e-4, "track {track}, key {key}: {largest} m");
    }
}

#[test]
fn the_parts_are_those_that_programs_expect() {
    let mut frames: Vec<ExportFrame> = (0..30).map(|number| frame(number, &[1, 2])).collect();
    frames[10].people.retain(|person| person.id == 1);
    let (glb, exported) = export(&frames, Body::built_in());
    assert!(exported.notes[0].contains("track 2: it was not seen in 1 frames"), "{:?}", exported.notes);
    let json = &glb.json;
    let count = |key: &str| json[key].as_array().unwrap().len();
    assert_eq!((count("nodes"), count("skins"), count("meshes"), count("animations")), (52, 2, 2, 1));
    assert_eq!(json["scenes"][0]["nodes"], json!([0, 25, 26, 51]));
    assert_eq!((&json["nodes"][1]["name"], &json["skins"][1]["skeleton"]), (&json!("pelvis"), &json!(27)));
    let animation = &json["animations"][0];
    // the second track is hidden in one frame
    assert_eq!(animation["channels"].as_array().unwrap().len(), 25 + 26);
    let times = glb.floats::<1>(&animation["samplers"][0]["input"]);
    assert_eq!((times[0], times[29], times.len()), ([0.0], [1.16], 30));
    let attributes = &json["meshes"][0]["primitives"][0]["attributes"];
    assert_eq!(glb.bytes(&attributes["POSITION"]).1, 2930);
    for weights in glb.floats::<4>(&attributes["WEIGHTS_0"]) {
        assert!((weights.iter().sum::<f32>() - 1.0).abs() < 2e-7);
    }
    for normal in glb.floats::<3>(&attributes["NORMAL"]) {
        assert!((posebook_core::geometry::norm(normal) - 1.0).abs() < 1e-5);
    }
}

// /dev/full exists on Linux only
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_no_half_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("people.glb");
    let (json, buffer) = (json!({}), Buffer::default());
    let mut full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    assert!(write_glb(&mut full, &json, &buffer).unwrap_err().to_string().contains("No space left"));
    // a sink that is dropped has written nothing
    let mut writer = GltfWriter::create(&path, Body::built_in(), None).unwrap();
    writer.push(frame(0, &[1])).unwrap();
    drop(writer);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
