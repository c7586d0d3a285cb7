//! Imports of PHALP's files: valid ones become a set, any part may be missing, and damaged or malicious ones give an error and
//! leave no output.

use candle_core::{DType, Device, Tensor};
use posebook_core::appearance::{PoseHistory, PosePredictor, UvMap};
use posebook_core::provenance::sha256_of_file;
use posebook_models::appearance::encoder::{Encoder, formula_tensors};
use posebook_models::import::{
    ImportError, PhalpFile, PhalpRequest, PhalpSummary, find_phalp_files, import_phalp,
};
use posebook_models::pose_predictor::{FormulaNetwork, PoseTransformer, Settings};
use posebook_models::recovery::{ModelSet, PhalpSet};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

static GO_ON: AtomicBool = AtomicBool::new(false);

const CONFIGURATION: &str = "\
task_name: lart # as training wrote it
configs:
  in_feat: 64
  frame_length: 125
  mask_type_test: zero
  num_smpl_heads: 1
  extra_feat: {enable: [], pose_shape: {dim: 229, mid_dim: 229, en_dim: 64}}
  transformer:
    depth: 2
    heads: 4
    mlp_dim: 128
    dim_head: 16
    dropout: 0.1
    droppath: 1e-2
    conv: {pad: 1, stride: 5}
  output: ${oc.env:HOME}/out
";

type Named = (String, Vec<usize>, Vec<f32>);

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/phalp_importer").join(name)
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn text(text: &str) -> Vec<u8> {
    [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

/// A zip as `torch.save` writes it: `root` holds the tensors under `dictionary`, and beside them `beside`, opcodes of a key and
/// its value.
fn torch_zip(dictionary: &str, tensors: &[Named], beside: &[u8]) -> Vec<u8> {
    let long = |number: usize| [&b"J"[..], &(number as i32).to_le_bytes()].concat();
    let tuple = |numbers: &[usize]| {
        [b"(".to_vec(), numbers.iter().flat_map(|n| long(*n)).collect(), b"t".to_vec()].concat()
    };
    let mut pickle = [&b"\x80\x02}("[..], beside, &text(dictionary), b"}("].concat();
    for (number, (name, shape, values)) in tensors.iter().enumerate() {
        let strides: Vec<usize> = (1..=shape.len()).map(|axis| shape[axis..].iter().product()).collect();
        let storage =
            [&b"("[..], &text("storage"), b"ctorch\nFloatStorage\n", &text(&number.to_string())].concat();
        let storage = [storage, text("cpu"), long(values.len()), b"tQ".to_vec()].concat();
        let made = [&b"ctorch._utils\n_rebuild_tensor_v2\n("[..], &storage, &long(0), &tuple(shape)].concat();
        pickle.extend([text(name), made, tuple(&strides), b"\x89}tR".to_vec()].concat());
    }
    pickle.extend(b"uu.");
    let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let storages = tensors.iter().enumerate().map(|(n, tensor)| (format!("x/data/{n}"), bytes(&tensor.2)));
    stored_zip(&[vec![("x/data.pkl".to_string(), pickle)], storages.collect()].concat())
}

fn stored_zip(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in files {
        let mut crc = flate2::Crc::new();
        crc.update(data);
        let at = out.len() as u32;
        let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        common.extend([crc.sum(), data.len() as u32, data.len() as u32].iter().flat_map(|n| n.to_le_bytes()));
        common.extend([name.len() as u16, 0].iter().flat_map(|n| n.to_le_bytes()));
        out.extend([&b"PK\x03\x04"[..], &common, name.as_bytes(), data].concat());
        directory.extend(
            [&b"PK\x01\x02\x14\x00"[..], &common, &[0; 10], &at.to_le_bytes(), name.as_bytes()].concat(),
        );
    }
    let (start, length, count) = (out.len() as u32, directory.len() as u32, files.len() as u16);
    out.extend(directory);
    out.extend([&b"PK\x05\x06\0\0\0\0"[..], &count.to_le_bytes(), &count.to_le_bytes()].concat());
    out.extend([&length.to_le_bytes()[..], &start.to_le_bytes(), &[0, 0]].concat());
    out
}

fn npy(code: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{code}', 'fortran_order': False, 'shape': {shape}, }}\n");
    [&b"\x93NUMPY\x01\0"[..], &(header.len() as u16).to_le_bytes(), header.as_bytes(), data].concat()
}

/// Tensors under other names, sorted.
fn named(tensors: &HashMap<String, Tensor>, name: impl Fn(&str) -> String) -> Vec<Named> {
    let mut all: Vec<Named> =
        tensors.iter().map(|(key, tensor)| (name(key), tensor.dims().to_vec(), numbers(tensor))).collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all
}

/// HMAR's tensors as published: a prefix of five characters, and tensors that no tracker uses.
fn hmar_tensors() -> Vec<Named> {
    let mut tensors = named(&formula_tensors("a").unwrap(), |key| format!("hmar.{key}"));
    tensors.push(("hmar.encoding_head.t_conv1.weight".into(), vec![2, 3], vec![0.5; 6]));
    tensors.push(("hmar.smplx.betas".into(), vec![1, 10], vec![0.0; 10]));
    tensors
}

/// The small predictor's tensors as training saves them; `mean` and `std` are in a file of their own.
fn predictor_tensors() -> Vec<Named> {
    let mut tensors = FormulaNetwork::Pp64.tensors("a").unwrap();
    tensors.retain(|key, _| key.starts_with("encoder."));
    let mut tensors = named(&tensors, str::to_string);
    tensors.push(("encoder.pe".into(), vec![4, 64], vec![0.1; 256]));
    tensors
}

fn hyper_parameters() -> Vec<u8> {
    let pickle = std::fs::read(golden("dict_config.pkl")).unwrap();
    // without the protocol and the last opcode
    [text("hyper_parameters"), pickle[2..pickle.len() - 1].to_vec()].concat()
}

/// A cache of PHALP below `folder`, complete but for what rendering needs. Returns the folder to search.
fn cache(folder: &Path) -> PathBuf {
    let cache = folder.join("cache");
    let write = |place: &str, bytes: &[u8]| {
        let path = cache.join("phalp").join(place);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    write("weights/hmar_v2_weights.pth", &torch_zip("model", &hmar_tensors(), b""));
    write("weights/pose_predictor.pth", &torch_zip("state_dict", &predictor_tensors(), &hyper_parameters()));
    write("weights/pose_predictor.yaml", CONFIGURATION.as_bytes());
    write("3D/mean_std.npy", &std::fs::read(golden("mean_std_arrays.npy")).unwrap());
    let faces: Vec<u8> = (0..65536i32).flat_map(|texel| (texel % 513 - 1).to_le_bytes()).collect();
    write("3D/fmap_256.npy", &npy("<i4", "(256, 256)", &faces));
    let weights: Vec<u8> =
        (0..3 * 65536).flat_map(|value| (f64::from(value % 3) / 3.0).to_le_bytes()).collect();
    write("3D/bmap_256.npy", &npy("<f8", "(256, 256, 3)", &weights));
    cache
}

fn request(folder: &Path, files: BTreeMap<PhalpFile, PathBuf>) -> PhalpRequest {
    PhalpRequest { name: "phalp".into(), folder: folder.join("models"), files }
}

fn imported(request: &PhalpRequest) -> Result<PhalpSummary, ImportError> {
    import_phalp(request, &mut |_, _| (), &GO_ON)
}

/// Names of the files in the models' folder.
fn left(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder.join("models")) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The error of an import of the complete cache in which one file has other contents.
fn refused(file: PhalpFile, bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut files = find_phalp_files(&cache(folder.path()));
    let path = folder.path().join(file.file_name());
    std::fs::write(&path, bytes).unwrap();
    files.insert(file, path);
    let error = imported(&request(folder.path(), files)).expect_err("it is imported").to_string();
    assert_eq!(left(folder.path()), Vec::<String>::new(), "{error}");
    assert!(error.contains(file.file_name()), "the file is not named: {error}");
    error
}

#[test]
fn a_cache_becomes_a_set() {
    let folder = tempfile::tempdir().unwrap();
    let request = request(folder.path(), find_phalp_files(&cache(folder.path())));
    let mut progress = Vec::new();
    let summary = import_phalp(&request, &mut |done, total| progress.push((done, total)), &GO_ON).unwrap();
    assert!(progress.len() > 60 && progress.iter().all(|(done, total)| done <= total));
    let what: Vec<_> = summary.parts.iter().map(|part| (part.what, part.tensors)).collect();
    assert_eq!(what, [("appearance encoder", 12), ("UV maps", 2), ("pose predictor", 67)]);
    let missing: Vec<_> = summary.missing.iter().map(|missing| missing.file).collect();
    assert_eq!(missing, [PhalpFile::SmplMeanParams, PhalpFile::Texture, PhalpFile::HeadFaces]);
    let ours = [
        "phalp.encoder.safetensors",
        "phalp.maps.safetensors",
        "phalp.pose_predictor.safetensors",
        "phalp.toml",
    ];
    assert_eq!(left(folder.path()), ours);

    let set = PhalpSet::find(&request.folder, "phalp", "this test").unwrap();
    set.verify().unwrap();
    assert_eq!(set.sources()["hmar"].sha256, sha256_of_file(&request.files[&PhalpFile::Hmar]).unwrap());
    assert_eq!(set.sources().len(), 6);
    let maps = candle_core::safetensors::load(set.maps().unwrap(), &Device::Cpu).unwrap();
    assert_eq!(maps["fmap"].to_vec2::<i64>().unwrap()[0][..3], [-1, 0, 1]);
    assert_eq!(maps["bmap"].dims(), [256, 256, 3]);
    assert_eq!(numbers(&maps["bmap"])[..4], [0.0, 1.0 / 3.0, 2.0 / 3.0, 0.0]);

    let encoder = Encoder::load(&set.encoder().unwrap()).unwrap();
    let map = [&UvMap::empty()];
    let by_formula = Encoder::from_formula("a").unwrap();
    assert_eq!(encoder.encode_refs(&map).unwrap(), by_formula.encode_refs(&map).unwrap());

    // the predictor equals one of the same tensors, with the file's mean and deviation
    let mut tensors = FormulaNetwork::Pp64.tensors("a").unwrap();
    for (row, first) in [("mean", 0.0), ("std", 0.1)] {
        let values: Vec<f32> = (0..226).map(|index| (first + f64::from(index) / 1000.0) as f32).collect();
        tensors.insert(row.into(), Tensor::from_vec(values, (1, 226), &Device::Cpu).unwrap());
    }
    let (structure, settings) = (FormulaNetwork::Pp64.sizes().structure, Settings::default());
    let expected =
        PoseTransformer::from_tensors(&tensors, structure, "here", &settings, &Device::Cpu).unwrap();
    let found = set.pose_predictor(&settings, &Device::Cpu).unwrap();
    let pose = [0.25; 229];
    let history = [PoseHistory { poses: vec![&pose], frames: vec![7], frames_since_match: 0 }];
    assert_eq!(found.predict(&history).unwrap(), expected.predict(&history).unwrap());

    // neither a model set, nor an obstacle to listing them
    assert_eq!(ModelSet::list(&request.folder).unwrap(), []);
    let said = ModelSet::load(&summary.manifest).unwrap_err().to_string();
    assert!(said.contains("no network that recovers bodies"), "{said}");
    let again = imported(&request).unwrap_err().to_string();
    assert!(again.contains("phalp.toml exists already"), "{again}");
    assert_eq!(left(folder.path()), ours);
}

#[test]
fn every_form_of_mean_and_deviation_is_read() {
    let rows = |first: f64| (0..226).map(move |index| first + f64::from(index) / 1000.0);
    let bytes: Vec<u8> = rows(0.0).chain(rows(0.1)).flat_map(|value| (value as f32).to_le_bytes()).collect();
    let numeric = npy("<f4", "(2, 1, 226)", &bytes);
    for form in [
        std::fs::read(golden("mean_std_arrays.npy")).unwrap(),
        std::fs::read(golden("mean_std_numbers.npy")).unwrap(),
        numeric,
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut files = find_phalp_files(&cache(folder.path()));
        std::fs::write(&files[&PhalpFile::MeanStd], &form).unwrap();
        files.remove(&PhalpFile::Hmar);
        imported(&request(folder.path(), files)).unwrap();
        let set = PhalpSet::load(&folder.path().join("models/phalp.toml")).unwrap();
        set.pose_predictor(&Settings::default(), &Device::Cpu).unwrap();
        let path = folder.path().join("models/phalp.pose_predictor.safetensors");
        let tensors = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
        let [mean, deviation] = ["mean", "std"].map(|row| numbers(&tensors[row]));
        assert_eq!(mean, rows(0.0).map(|value| value as f32).collect::<Vec<_>>());
        assert_eq!(deviation, rows(0.1).map(|value| value as f32).collect::<Vec<_>>());
    }
}

#[test]
fn parts_may_be_missing() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = find_phalp_files(&cache(folder.path()));
    for file in [PhalpFile::MeanStd, PhalpFile::Bmap] {
        files.remove(&file);
    }
    let summary = imported(&request(folder.path(), files.clone())).unwrap();
    assert_eq!(summary.parts.len(), 1);
    let missing = |file| summary.missing.iter().find(|missing| missing.file == file).unwrap();
    assert_eq!(missing(PhalpFile::Bmap).unused, [PhalpFile::Fmap]);
    let without_mean = [PhalpFile::PosePredictor, PhalpFile::PosePredictorConfig];
    assert_eq!(missing(PhalpFile::MeanStd).unused, without_mean);
    let set = PhalpSet::load(&summary.manifest).unwrap();
    assert!(set.encoder().is_ok() && !set.has_maps());
    let said = set.pose_predictor(&Settings::default(), &Device::Cpu).err().unwrap().to_string();
    assert!(said.contains("pose_predictor.pth, pose_predictor.yaml and mean_std.npy"), "{said}");
    assert!(said.contains("model import phalp"), "{said}");
    let said = set.maps().unwrap_err().to_string();
    assert!(said.contains("bmap_256.npy and fmap_256.npy"), "{said}");
    let said = PhalpSet::find(&folder.path().join("models"), "other", "the cue").unwrap_err().to_string();
    assert!(said.starts_with("the cue needs PHALP's files, but there is no set `other`"), "{said}");

    files.remove(&PhalpFile::Hmar);
    let nothing = PhalpRequest { name: "nothing".into(), ..request(folder.path(), files) };
    let said = imported(&nothing).unwrap_err().to_string();
    assert!(said.starts_with("nothing can be imported: missing hmar_v2_weights.pth, bmap_256.npy"), "{said}");
}

#[test]
fn a_changed_part_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let summary = imported(&request(folder.path(), find_phalp_files(&cache(folder.path())))).unwrap();
    let set = PhalpSet::load(&summary.manifest).unwrap();
    std::fs::write(folder.path().join("models/phalp.maps.safetensors"), b"x").unwrap();
    assert!(set.maps().unwrap_err().to_string().contains("has SHA-256"));
    assert!(set.verify().is_err() && set.encoder().is_ok());
    std::fs::remove_file(folder.path().join("models/phalp.encoder.safetensors")).unwrap();
    assert!(set.encoder().unwrap_err().to_string().starts_with("cannot read"));
    let text = std::fs::read_to_string(&summary.manifest).unwrap();
    for (from, to) in [
        ("phalp.maps.safetensors", "../phalp.maps.safetensors"),
        ("kind = \"phalp\"", "kind = \"other\""),
        ("[sources", "[springs"),
        ("dim_head = 16\n", ""),
    ] {
        assert!(text.contains(from), "{text}");
        std::fs::write(&summary.manifest, text.replace(from, to)).unwrap();
        let said = PhalpSet::load(&summary.manifest).unwrap_err().to_string();
        assert!(said.contains("is not a set of PHALP's files"), "{said}");
    }
}

#[test]
fn initial_values_come_from_the_mean_parameters_if_the_checkpoint_lacks_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = find_phalp_files(&cache(folder.path()));
    let mut tensors = predictor_tensors();
    tensors.retain(|tensor| !tensor.0.contains(".init_"));
    std::fs::write(&files[&PhalpFile::PosePredictor], torch_zip("state_dict", &tensors, b"")).unwrap();
    let request = |files| request(folder.path(), files);
    let said = imported(&request(files.clone())).unwrap_err().to_string();
    assert!(said.contains("init_body_pose is missing") && said.contains("--smpl-mean-params"), "{said}");
    let path = folder.path().join("smpl_mean_params.npz");
    let array = |count: usize, value: f32| Tensor::full(value, count, &Device::Cpu).unwrap();
    let arrays = [("pose", array(144, 0.5)), ("shape", array(10, 0.25)), ("cam", array(3, 0.75))];
    Tensor::write_npz(&arrays, &path).unwrap();
    files.insert(PhalpFile::SmplMeanParams, path);
    imported(&request(files)).unwrap();
    let path = folder.path().join("models/phalp.pose_predictor.safetensors");
    let tensors = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    assert_eq!(numbers(&tensors["encoder.smpl_head.0.init_cam"]), [0.75; 3]);
}

#[test]
fn a_stopped_import_leaves_no_output() {
    let folder = tempfile::tempdir().unwrap();
    let request = request(folder.path(), find_phalp_files(&cache(folder.path())));
    let stop = AtomicBool::new(false);
    let mut seen = 0;
    let mut on_progress = |_, _| {
        seen += 1;
        // in the middle of the second file
        stop.store(seen == 30, std::sync::atomic::Ordering::Relaxed);
    };
    let error = import_phalp(&request, &mut on_progress, &stop).unwrap_err();
    assert!(matches!(error, ImportError::Stopped), "{error}");
    assert_eq!(left(folder.path()), Vec::<String>::new());
}

#[test]
fn checkpoints_of_other_networks_are_refused() {
    let predictor = |change: &dyn Fn(&mut Vec<Named>)| {
        let mut tensors = predictor_tensors();
        change(&mut tensors);
        refused(PhalpFile::PosePredictor, &torch_zip("state_dict", &tensors, b""))
    };
    // an older network without the first transformer
    let said = predictor(&|tensors| tensors.retain(|tensor| !tensor.0.contains("transformer1")));
    assert!(said.contains("no tensor `encoder.transformer1.layers.0.0.norm.weight`"), "{said}");
    let said = predictor(&|tensors| tensors.retain(|tensor| !tensor.0.contains("mask_token")));
    assert!(said.contains("is not PHALP's pose predictor"), "{said}");
    let said = predictor(&|tensors| tensors.retain(|tensor| !tensor.0.contains("loca_head.0.2")));
    assert!(said.contains("encoder.loca_head.0.2.weight is missing"), "{said}");
    let said = predictor(&|tensors| {
        let tensor = tensors.iter_mut().find(|tensor| tensor.0.ends_with("smpl_head.0.fc2.weight")).unwrap();
        (tensor.1, tensor.2) = (vec![4, 4], vec![0.0; 16]);
    });
    assert!(said.contains("fc2.weight is [4, 4] and should be [1024, 1024]"), "{said}");
    let said = predictor(&|tensors| {
        tensors.iter_mut().find(|tensor| tensor.0.ends_with("conv_de.bias")).unwrap().2[3] = f32::NAN;
    });
    assert!(said.contains("conv_de.bias") && said.contains("holds NaN at index 3"), "{said}");

    let hmar = |change: &dyn Fn(&mut Vec<Named>)| {
        let mut tensors = hmar_tensors();
        change(&mut tensors);
        refused(PhalpFile::Hmar, &torch_zip("model", &tensors, b""))
    };
    let said = hmar(&|tensors| tensors.retain(|tensor| !tensor.0.contains("conv1x")));
    assert!(said.contains("no tensor `encoding_head.conv1x.weight`"), "{said}");
    let said = hmar(&|tensors| tensors.iter_mut().for_each(|tensor| tensor.2[0] = f32::INFINITY));
    assert!(said.contains("holds inf at index 0"), "{said}");
    let said = hmar(&|tensors| {
        let copy = tensors.iter().find(|tensor| tensor.0.ends_with("conv2.bias")).unwrap().clone();
        tensors.push((copy.0.replace("hmar.", "ema."), copy.1, copy.2));
    });
    assert!(said.contains("two tensors that end in encoding_head.conv2.bias"), "{said}");
}

#[test]
fn configurations_and_tables_that_do_not_fit_are_refused() {
    let config = |from: &str, to: &str| {
        assert!(CONFIGURATION.contains(from));
        refused(PhalpFile::PosePredictorConfig, CONFIGURATION.replace(from, to).as_bytes())
    };
    assert!(config("depth: 2", "depth: 3").contains("transformer.depth is 3, but the checkpoint has 2"));
    assert!(config("mask_type_test: zero", "mask_type_test: random").contains("only `zero` is supported"));
    assert!(config("    dim_head: 16\n", "").contains("dim_head"));
    assert!(config("configs:", "options:").contains("configs"));
    assert!(config("heads: 4", "heads: four").contains("pose predictor's configuration"));
    let said = refused(PhalpFile::PosePredictorConfig, b"configs: [\n\x00");
    assert!(said.contains("pose predictor's configuration"), "{said}");

    let said = refused(PhalpFile::MeanStd, &npy("<f4", "(3, 2)", &[0; 24]));
    assert!(said.contains("not two rows"), "{said}");
    let said =
        refused(PhalpFile::MeanStd, &npy("<f4", "(2, 1)", &[f32::NAN, 1.0].map(f32::to_le_bytes).concat()));
    assert!(said.contains("NaN"), "{said}");
    let said =
        refused(PhalpFile::MeanStd, &npy("<f4", "(2, 1)", &[0f32, -1.0].map(f32::to_le_bytes).concat()));
    assert!(said.contains("a deviation is not negative"), "{said}");
    let said = refused(PhalpFile::Fmap, &npy("<i4", "(2, 2)", &[0; 16]));
    assert!(said.contains("[2, 2]") && said.contains("[256, 256]"), "{said}");
    let said = refused(PhalpFile::Fmap, &npy("<f4", "(256, 256)", &0.5f32.to_le_bytes().repeat(65536)));
    assert!(said.contains("value 0 is 0.5, not an integer"), "{said}");
    let said =
        refused(PhalpFile::Bmap, &npy("<f4", "(256, 256, 3)", &f32::NAN.to_le_bytes().repeat(196_608)));
    assert!(said.contains("NaN"), "{said}");
    let said = refused(PhalpFile::HeadFaces, &npy("<i8", "(1, 3)", &(-5i64).to_le_bytes().repeat(3)));
    assert!(said.contains("corner -5"), "{said}");
    let said = refused(PhalpFile::Bmap, b"<!DOCTYPE html><html>not found</html>");
    assert!(said.contains("a web page"), "{said}");
    let said = refused(PhalpFile::Texture, b"");
    assert!(said.contains("an empty file"), "{said}");
}

#[test]
fn malicious_and_truncated_files_run_nothing() {
    let witness = std::env::temp_dir().join(format!("posebook-import-phalp-{}", std::process::id()));
    let command = format!("touch {}", witness.display());
    let call = [&b"cposix\nsystem\n("[..], &text(&command), b"tR"].concat();
    let beside = [text("hyper_parameters"), call.clone()].concat();
    let said = refused(PhalpFile::PosePredictor, &torch_zip("state_dict", &predictor_tensors(), &beside));
    assert!(said.contains("`posix.system`") && said.contains("was not called"), "{said}");
    let said = refused(PhalpFile::Hmar, &torch_zip("model", &hmar_tensors(), &beside));
    assert!(said.contains("`posix.system`"), "{said}");
    let object = npy("|O", "(2,)", &[&b"\x80\x02"[..], &call, b"."].concat());
    assert!(refused(PhalpFile::MeanStd, &object).contains("`posix.system`"));
    assert!(!witness.exists(), "the file was executed");

    let whole = torch_zip("state_dict", &predictor_tensors(), b"");
    for length in [3, 1000, whole.len() / 2, whole.len() - 3] {
        refused(PhalpFile::PosePredictor, &whole[..length]);
    }
    let objects = std::fs::read(golden("mean_std_arrays.npy")).unwrap();
    for length in [7, 60, 200, objects.len() / 2, objects.len() - 1] {
        refused(PhalpFile::MeanStd, &objects[..length]);
    }
}
