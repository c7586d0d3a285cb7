//! Imports of checkpoints and bodies: valid files become a model set; damaged or malicious files give an error and
//! leave no output.

use candle_core::{DType, Device, Tensor};
use posebook_core::provenance::sha256_of_file;
use posebook_core::scratch::Owner;
use posebook_models::body::Body;
use posebook_models::detect::mask_rcnn;
use posebook_models::hmr2::formula;
use posebook_models::import::PickleError;
use posebook_models::import::{self, ImportError, ImportRequest, body_arrays};
use posebook_models::nn::checkpoint;
use posebook_models::recovery::{ModelSet, Weights};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::AtomicBool;

static GO_ON: AtomicBool = AtomicBool::new(false);

fn imported(request: &ImportRequest) -> Result<import::ImportSummary, ImportError> {
    import::import_hmr2(request, &mut |_, _| (), &GO_ON)
}

fn refused(request: &ImportRequest) -> String {
    imported(request).expect_err("it is imported").to_string()
}

fn golden(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/hmr2/a/importer")).join(name)
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// A numpy array of doubles as pickled by Python 2.
fn pickled(rows: usize, columns: usize, values: &[f32]) -> Vec<u8> {
    let mut out =
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01".to_vec();
    for side in [rows, columns] {
        out.push(b'J');
        out.extend((side as i32).to_le_bytes());
    }
    out.extend(b"\x86cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T");
    out.extend((8 * values.len() as i32).to_le_bytes());
    out.extend(values.iter().flat_map(|value| f64::from(*value).to_le_bytes()));
    out.extend(b"tb.");
    out
}

/// A body's two files in `folder`, made of the built-in body's arrays.
fn body_files(folder: &Path, change: impl Fn(&mut HashMap<String, Tensor>)) -> [PathBuf; 2] {
    let mut tensors = Body::built_in().to_tensors().unwrap();
    let extra = tensors.remove("joint_regressor_extra").unwrap();
    let parents = tensors.remove("parents").unwrap().to_vec1::<i64>().unwrap();
    let children = (0..24).collect::<Vec<i64>>();
    let tree = [parents, children].concat();
    tensors.insert("kintree_table".into(), Tensor::from_vec(tree, (2, 24), &Device::Cpu).unwrap());
    let faces = tensors.remove("faces").unwrap();
    tensors.insert("f".into(), faces);
    change(&mut tensors);
    let named: Vec<(&str, &Tensor)> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let smpl = folder.join("smpl.npz");
    Tensor::write_npz(&named, &smpl).unwrap();
    let joints = folder.join("SMPL_to_J19.pkl");
    let (rows, columns) = extra.dims2().unwrap();
    std::fs::write(&joints, pickled(rows, columns, &numbers(&extra))).unwrap();
    [smpl, joints]
}

fn request(folder: &Path, checkpoint: PathBuf) -> ImportRequest {
    let [smpl, joint_regressor] = body_files(folder, |_| ());
    let (name, folder) = ("mine".to_string(), folder.join("models"));
    let (architecture, joint_regressor) = (formula::small_config(), Some(joint_regressor));
    ImportRequest { name, folder, architecture, checkpoint, smpl, joint_regressor, mean_params: None }
}

/// A zip as `torch.save` writes it: a pickle, and a file for each storage.
fn torch_zip(tensors: &[(&str, &[usize], Vec<f32>)]) -> Vec<u8> {
    let long = |number: usize| [&b"J"[..], &(number as i32).to_le_bytes()].concat();
    let tuple = |numbers: &[usize]| {
        [b"(".to_vec(), numbers.iter().flat_map(|n| long(*n)).collect(), b"t".to_vec()].concat()
    };
    let text = |text: &str| [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    let mut pickle = b"\x80\x02}".to_vec();
    pickle.extend([text("state_dict"), b"}(".to_vec()].concat());
    for (number, (name, shape, values)) in tensors.iter().enumerate() {
        let strides: Vec<usize> = (1..=shape.len()).map(|axis| shape[axis..].iter().product()).collect();
        let storage =
            [&b"("[..], &text("storage"), b"ctorch\nFloatStorage\n", &text(&number.to_string())].concat();
        let storage = [storage, text("cpu"), long(values.len()), b"tQ".to_vec()].concat();
        let made = [&b"ctorch._utils\n_rebuild_tensor_v2\n("[..], &storage, &long(0), &tuple(shape)].concat();
        pickle.extend([text(name), made, tuple(&strides), b"\x89}tR".to_vec()].concat());
    }
    pickle.extend(b"us.");
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

/// The small network's weights by formula, each changed by `change`; tensors for which it returns false are left out.
fn checkpoint_of(folder: &Path, change: impl Fn(&str, &mut Vec<f32>, &mut Vec<usize>) -> bool) -> PathBuf {
    let mut weights = formula::weights("a", &formula::small_config(), DType::F32, &Device::Cpu).unwrap();
    let mut tensors: Vec<(String, Vec<usize>, Vec<f32>)> = Vec::new();
    for spec in formula::small_config().tensors() {
        let (mut values, mut shape) = (numbers(&weights.remove(&spec.key).unwrap()), spec.shape);
        if change(&spec.key, &mut values, &mut shape) {
            tensors.push((format!("module.{}", spec.key), shape, values));
        }
    }
    let named: Vec<(&str, &[usize], Vec<f32>)> = tensors
        .iter()
        .map(|(name, shape, values)| (name.as_str(), shape.as_slice(), values.clone()))
        .collect();
    let path = folder.join("made.pth");
    std::fs::write(&path, torch_zip(&named)).unwrap();
    path
}

/// Path of a model set's weights.
fn weights_file(set: &ModelSet) -> PathBuf {
    match &set.weights {
        Weights::File { path, .. } => path.clone(),
        other => panic!("{other:?} is not a weights file"),
    }
}

/// Names of the files in the models' folder.
fn left(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder.join("models")) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_lightning_checkpoint_becomes_a_model_set() {
    let folder = tempfile::tempdir().unwrap();
    let request = request(folder.path(), golden("hmr2_small_a.ckpt"));
    // leftovers of a killed import, and files of others
    let ended = Owner { process: 99_999_999, ..Owner::current().clone() };
    let elsewhere = Owner { host: "another-host".into(), ..ended.clone() };
    let others = [ended.temporary_name("other.safetensors"), elsewhere.temporary_name("mine.safetensors")];
    for name in others.iter().chain([&ended.temporary_name("mine.safetensors")]) {
        std::fs::create_dir_all(&request.folder).unwrap();
        std::fs::write(request.folder.join(name), "x").unwrap();
    }
    let mut progress = Vec::new();
    let imported = import::import_hmr2(&request, &mut |at, of| progress.push((at, of)), &GO_ON).unwrap();
    assert_eq!((imported.tensors_used, imported.tensors_unused), (87, 73));
    let bytes = 4 * formula::small_config().parameters() as u64;
    assert_eq!((progress.len(), progress[86]), (87, (bytes, bytes)));
    let mut expected_files =
        ["mine.body.safetensors", "mine.safetensors", "mine.toml"].map(String::from).to_vec();
    expected_files.extend(others);
    expected_files.sort();
    assert_eq!(left(folder.path()), expected_files);
    let set = ModelSet::load(&imported.manifest).unwrap();
    set.verify().unwrap();
    assert_eq!(set.load_body().unwrap().vertex_count(), imported.vertices);
    let import = set.import.clone().unwrap();
    let source = &import.sources["checkpoint"];
    assert_eq!((source.file.as_str(), source.bytes), ("hmr2_small_a.ckpt", 1_889_170));
    assert_eq!(source.sha256, sha256_of_file(&request.checkpoint).unwrap());
    assert_eq!(import.sources.keys().collect::<Vec<_>>(), ["checkpoint", "joint_regressor", "smpl"]);

    let expected = formula::weights("a", &formula::small_config(), DType::F32, &Device::Cpu).unwrap();
    let found =
        checkpoint::read(&weights_file(&set), &formula::small_config().tensors(), DType::F32, &Device::Cpu)
            .unwrap();
    for (key, tensor) in &expected {
        // bit-identical for all strides and storages they were saved with
        assert_eq!(numbers(&found[key]), numbers(tensor), "{key}");
    }
    // a second import under the same name overwrites nothing
    let again = refused(&request);
    assert!(again.contains("mine.toml exists already"), "{again}");
    weights_file(&set).metadata().unwrap();
    // importing the result again gives the same bits
    let again = ImportRequest { name: "again".into(), checkpoint: weights_file(&set), ..request };
    assert_eq!(
        import::import_hmr2(&again, &mut |_, _| (), &GO_ON).unwrap().weights_sha256,
        imported.weights_sha256
    );
    // a replaced body is detected
    let set = ModelSet::load(&folder.path().join("models/again.toml")).unwrap();
    std::fs::write(folder.path().join("models/again.body.safetensors"), "x").unwrap();
    let said = set.verify().unwrap_err().to_string();
    assert!(said.contains("again.body.safetensors") && said.contains("SHA-256"), "{said}");
}

#[test]
fn the_joint_regressor_is_taken_from_the_checkpoint_if_no_file_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut request = request(folder.path(), golden("hmr2_small_a.ckpt"));
    request.joint_regressor = None;
    let said = refused(&request);
    assert!(said.contains("joint_regressor_extra"), "the checkpoint has another body: {said}");
    // the checkpoint's own body has 200 vertices
    let mut arrays = body_arrays(&golden("smpl_tiny_py3_chumpy.pkl")).unwrap();
    let picked = Tensor::from_vec((0..11i64).collect(), 11, &Device::Cpu).unwrap();
    arrays.insert("openpose_vertices".into(), picked);
    let named: Vec<(&str, &Tensor)> = arrays
        .iter()
        .map(|(name, tensor)| (if name == "faces" { "f" } else { name.as_str() }, tensor))
        .collect();
    request.smpl = folder.path().join("tiny.npz");
    Tensor::write_npz(&named, &request.smpl).unwrap();
    let first = imported(&request).unwrap();
    let with_file = ImportRequest {
        name: "with-file".into(),
        joint_regressor: Some(golden("smpl_to_j19_tiny_py2.pkl")),
        ..request.clone()
    };
    let second = imported(&with_file).unwrap();
    let body = |outcome: &import::ImportSummary| {
        ModelSet::load(&outcome.manifest).unwrap().import.unwrap().body_sha256
    };
    assert_eq!((first.vertices, body(&first)), (200, body(&second)));
    request.checkpoint = checkpoint_of(folder.path(), |_, _, _| true);
    request.name = "neither".into();
    assert!(refused(&request).contains("`--joint-regressor SMPL_to_J19.pkl`"));
}

#[test]
fn initial_values_come_from_the_checkpoint_or_the_mean_parameters() {
    let folder = tempfile::tempdir().unwrap();
    let means = golden("smpl_mean_params_a.npz");
    let with = |request: ImportRequest| ImportRequest { mean_params: Some(means.clone()), ..request };
    // the checkpoint's values take precedence, as in 4D-Humans
    let request_of = |checkpoint| request(folder.path(), checkpoint);
    let own = imported(&with(request_of(golden("hmr2_small_a.ckpt")))).unwrap();
    assert!(!own.mean_params_used);
    let lacking = checkpoint_of(folder.path(), |key, _, _| !key.contains(".init_"));
    let said = refused(&ImportRequest { name: "lacking".into(), ..request_of(lacking.clone()) });
    assert!(said.contains("init_body_pose is missing") && said.contains("`--mean-params"), "{said}");
    let filled =
        imported(&with(ImportRequest { name: "filled".into(), ..request_of(lacking.clone()) })).unwrap();
    assert!(filled.mean_params_used);
    // the goldens' mean parameters equal those of the checkpoint
    assert_eq!(filled.weights_sha256, own.weights_sha256);
    let wrong = ImportRequest {
        name: "wrong".into(),
        mean_params: Some(golden("smpl_tiny_py2_plain.pkl")),
        ..request_of(lacking)
    };
    assert!(refused(&wrong).contains("smpl_tiny_py2_plain.pkl"));
}

#[test]
fn a_stopped_import_leaves_no_output() {
    let folder = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    let mut on_progress = |_, _| stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let error =
        import::import_hmr2(&request(folder.path(), golden("hmr2_small_a.ckpt")), &mut on_progress, &stop)
            .unwrap_err();
    assert!(matches!(error, ImportError::Stopped), "{error}");
    assert!(left(folder.path()).is_empty());
    for name in ["", "../up", "a/b", ".hidden", "a b"] {
        let named =
            ImportRequest { name: name.into(), ..request(folder.path(), golden("hmr2_small_a.ckpt")) };
        assert!(matches!(imported(&named), Err(ImportError::InvalidName(_))), "{name}");
    }
}

#[test]
fn bodies_of_all_pickle_protocols_have_the_expected_values() {
    let expected =
        candle_core::safetensors::load(golden("smpl_tiny_expected.safetensors"), &Device::Cpu).unwrap();
    for name in ["smpl_tiny_py2_chumpy.pkl", "smpl_tiny_py2_plain.pkl", "smpl_tiny_py3_chumpy.pkl"] {
        let arrays = body_arrays(&golden(name)).unwrap();
        for (ours, theirs) in [
            ("v_template", "v_template"),
            ("J_regressor", "J_regressor"),
            ("weights", "lbs_weights"),
            ("faces", "faces_tensor"),
            ("shapedirs", "shapedirs"),
        ] {
            assert_eq!(arrays[ours].dims(), expected[theirs].dims(), "{name} {ours}");
            assert_eq!(numbers(&arrays[ours]), numbers(&expected[theirs]), "{name} {ours}");
        }
        // (V, 3, 207) in the pickle, (207, 3V) in the original's buffer
        let posedirs = arrays["posedirs"].reshape((600, 207)).unwrap().t().unwrap();
        assert_eq!(numbers(&posedirs), numbers(&expected["posedirs"]), "{name}");
        let tree = numbers(&arrays["kintree_table"]);
        assert_eq!(tree[1..24], numbers(&expected["parents"])[1..], "{name}");
    }
}

/// Bodies may be compressed; files of another kind are named in the error.
#[test]
fn compressed_bodies_are_read_and_other_files_are_named() {
    use std::io::Write as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("smpl.pkl");
    let pickle = std::fs::read(golden("smpl_tiny_py2_plain.pkl")).unwrap();
    let plain = body_arrays(&golden("smpl_tiny_py2_plain.pkl")).unwrap();
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(&pickle).unwrap();
    std::fs::write(&path, packer.finish().unwrap()).unwrap();
    let packed = body_arrays(&path).unwrap();
    assert_eq!(numbers(&packed["shapedirs"]), numbers(&plain["shapedirs"]));
    let other = stored_zip(&[("SMPL_python_v.1.1.0/models/basicmodel.pkl".to_string(), pickle)]);
    for (bytes, message) in [
        (&b"<!DOCTYPE html><title>Login</title>"[..], "smpl.pkl: this is a web page (HTML)"),
        (b"", "smpl.pkl: this is an empty file"),
        (
            &other,
            "it holds SMPL_python_v.1.1.0/models/basicmodel.pkl; if SMPL's file is among them, unpack it",
        ),
        (b"\x1c\0\0\0TFL3", "smpl.pkl: this is a TensorFlow Lite model"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let error = body_arrays(&path).expect_err(message).to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn a_checkpoint_of_another_network_lists_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let mut request = request(folder.path(), golden("legacy_tiny.pth"));
    let error = refused(&request);
    assert!(error.contains("legacy_tiny.pth is not the checkpoint of this network"), "{error}");
    assert!(error.contains("backbone.pos_embed is missing") && error.contains("more;"), "{error}");
    request.checkpoint = golden("hmr2_small_a.ckpt");
    request.architecture.head.mlp_dim = 32;
    let error = refused(&request);
    assert!(error.contains("net.0.weight is [64, 64] and not [32, 64]"), "{error}");
    assert!(left(folder.path()).is_empty());
}

#[test]
fn malicious_files_run_nothing_and_leave_no_output() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["malicious_only.ckpt", "malicious_trojan.ckpt"] {
        let error = refused(&request(folder.path(), golden(name)));
        assert!(error.contains("system`") && error.contains("was not called"), "{error}");
    }
    let good = request(folder.path(), golden("hmr2_small_a.ckpt"));
    assert!(
        refused(&ImportRequest { smpl: golden("malicious_smpl.pkl"), ..good.clone() })
            .contains("was not called")
    );
    let joints = Some(golden("malicious_smpl.pkl"));
    assert!(refused(&ImportRequest { joint_regressor: joints, ..good }).contains("was not called"));
    assert!(left(folder.path()).is_empty());
    // the files' payload
    assert!(!std::env::temp_dir().join("pwned").exists());
}

#[test]
fn a_truncated_or_changed_checkpoint_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let changed = folder.path().join("changed.ckpt");
    let request = request(folder.path(), changed.clone());
    for name in ["hmr2_small_a.ckpt", "legacy_tiny.pth"] {
        let whole = std::fs::read(golden(name)).unwrap();
        let cuts =
            (0..60).map(|n| n * whole.len() / 60).chain([1, 3, 4, 22, whole.len() - 1, whole.len() - 30]);
        for length in cuts {
            std::fs::write(&changed, &whole[..length]).unwrap();
            let error = imported(&request).unwrap_err();
            // the tensor names of the legacy file, which do not match, come before its values
            let is_expected = matches!(
                error,
                ImportError::Pickle { .. }
                    | ImportError::Unreadable(PickleError::Archive(_))
                    | ImportError::Invalid { .. }
                    | ImportError::ArchitectureMismatch { .. }
            );
            assert!(is_expected && (length < 4 || error.to_string().len() > 40), "{name} {length}: {error}");
        }
    }
    // one flipped bit of a weight
    let mut whole = std::fs::read(golden("hmr2_small_a.ckpt")).unwrap();
    let middle = whole.len() / 4;
    whole[middle] ^= 1;
    std::fs::write(&changed, &whole).unwrap();
    assert!(refused(&request).contains("has another checksum than the directory says"));
    assert!(left(folder.path()).is_empty());
}

#[test]
fn weights_that_are_not_finite_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let weights = formula::weights("a", &formula::small_config(), DType::F32, &Device::Cpu).unwrap();
    let mut weights: HashMap<String, Tensor> = weights;
    let bias = Tensor::from_vec(vec![0.5, f32::NAN, 0.5f32], 3, &Device::Cpu).unwrap();
    weights.insert("smpl_head.deccam.bias".into(), bias);
    let path = folder.path().join("nan.safetensors");
    candle_core::safetensors::save(&weights, &path).unwrap();
    let error = refused(&request(folder.path(), path));
    let (tensor, value) = ("the tensor smpl_head.deccam.bias of", "its value 1 is NaN");
    assert!(error.contains(tensor) && error.contains(value), "{error}");
    let infinite = checkpoint_of(folder.path(), |key, values, _| {
        if key == "backbone.last_norm.bias" {
            values[5] = f32::NEG_INFINITY;
        }
        true
    });
    let said = refused(&request(folder.path(), infinite));
    assert!(
        said.contains("tensor backbone.last_norm.bias") && said.contains("holds -inf at index 5"),
        "{said}"
    );
    assert!(left(folder.path()).is_empty());
}

#[test]
fn a_body_with_faces_out_of_range_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut request = request(folder.path(), golden("hmr2_small_a.ckpt"));
    let [smpl, joints] = body_files(folder.path(), |tensors| {
        let faces = tensors["f"].to_dtype(DType::I64).unwrap();
        let beyond = (faces.ones_like().unwrap() * 1e6).unwrap();
        tensors.insert("f".into(), (faces + beyond).unwrap());
    });
    (request.smpl, request.joint_regressor) = (smpl, Some(joints));
    let error = refused(&request);
    assert!(error.contains("faces") && error.contains("the mesh's vertices run from 0 to"), "{error}");
    assert!(left(folder.path()).is_empty());
}

/// A project folder in which `posebook` may write to `models/`.
fn project() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for inside in ["experiments", "models", "cache/4DHumans/data/smpl"] {
        std::fs::create_dir_all(folder.path().join(inside)).unwrap();
    }
    let architecture = toml::to_string(&HashMap::from([("architecture", formula::small_config())])).unwrap();
    let start =
        "description = \"small\"\nweights = \"none\"\nlicence = \"\"\norigin = \"\"\nbody = \"stand-in\"\n";
    let text = format!("{start}sha256 = \"{}\"\n{architecture}", "0".repeat(64));
    std::fs::write(folder.path().join("models/small.toml"), text).unwrap();
    folder
}

fn posebook(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_posebook"));
    command.current_dir(folder).args(arguments).output().unwrap()
}

#[test]
fn the_command_imports_from_a_cache() {
    let project = project();
    let folder = project.path();
    let [smpl, joints] = body_files(folder, |_| ());
    let data = folder.join("cache/4DHumans/data");
    // the format is detected by contents, not by name
    std::fs::rename(smpl, data.join("smpl/SMPL_NEUTRAL.pkl")).unwrap();
    std::fs::rename(joints, data.join("SMPL_to_J19.pkl")).unwrap();
    let logs = folder.join("cache/4DHumans/logs/train/multiruns/hmr2/0/checkpoints");
    std::fs::create_dir_all(&logs).unwrap();
    std::fs::copy(golden("hmr2_small_a.ckpt"), logs.join("epoch=35-step=1000000.ckpt")).unwrap();
    let run = |arguments: &[&str]| {
        let output = posebook(folder, arguments);
        let said = [&output.stdout[..], &output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    };
    let import = ["model", "import", "hmr2", "--from-cache", "cache", "--like", "small"];
    let (done, said) = run(&import);
    assert!(done, "{said}");
    for says in [
        "mean parameters: not in cache",
        "87 tensors, and a body of",
        "73 tensors that inference does not use are left out",
        "100 % of the weights are written",
    ] {
        assert!(said.contains(says), "`{says}` is not in: {said}");
    }
    let (done, said) = run(&["model", "verify", "hmr2"]);
    assert!(done && said.contains("hmr2: ok"), "{said}");
    let (_, said) = run(&["model", "list"]);
    assert!(said.contains("checkpoint epoch=35-step=1000000.ckpt, 1889170 bytes, SHA-256"), "{said}");
    let (done, said) = run(&import);
    assert!(!done && said.contains("exists already"), "{said}");
    let (done, said) = run(&["model", "import", "hmr2", "--from-cache", "cache", "--name", "full"]);
    assert!(
        !done && said.contains("is not the checkpoint of this network") && said.contains("[1, 193, 1280]"),
        "{said}"
    );
}

#[test]
fn the_command_imports_a_detector_from_the_cache_of_detectron2() {
    let project = project();
    let folder = project.path();
    let start =
        "kind = \"detector\"\ndetector = \"x101\"\ndescription = \"\"\nlicence = \"\"\norigin = \"\"\n";
    let config = mask_rcnn::Config::small(mask_rcnn::Architecture::X101);
    let sizes = toml::to_string(&HashMap::from([("config", &config)])).unwrap();
    let text = format!("{start}weights = {{ formula = \"a\" }}\n{sizes}");
    std::fs::write(folder.join("models/like.toml"), text).unwrap();
    let weights = mask_rcnn::formula::weights("a", &config, DType::F32, &Device::Cpu).unwrap();
    let tensors: Vec<_> =
        weights.iter().map(|(key, tensor)| (key.as_str(), tensor.dims(), numbers(tensor))).collect();
    let published = "torch/detectron2/COCO-InstanceSegmentation/mask_rcnn_X_101_32x8d_FPN_3x/139653917/model_final_2d9806.pkl";
    std::fs::create_dir_all(folder.join(published).parent().unwrap()).unwrap();
    std::fs::write(folder.join(published), torch_zip(&tensors)).unwrap();
    let run = |arguments: &[&str]| {
        let output = posebook(folder, arguments);
        let said = [&output.stdout[..], &output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    };
    let (done, said) = run(&["model", "import", "x101", "--from-cache", "torch", "--like", "like"]);
    assert!(done && said.contains(&format!("checkpoint: {published}")), "{said}");
    assert!(said.contains(&format!("x101.toml: {} tensors, 6 classes", tensors.len())), "{said}");
    assert!(said.contains("imported in") && said.contains("100 % of the weights"), "{said}");
    let (done, said) = run(&["model", "verify", "x101", "like"]);
    assert!(done && said.contains("x101: ok") && said.contains("like: ok"), "{said}");
    let (_, said) = run(&["model", "list"]);
    assert!(
        said.contains("detector x101, ") && said.contains("checkpoint model_final_2d9806.pkl, "),
        "{said}"
    );
    let (done, said) = run(&["model", "show", "x101", "--image", "64x48"]);
    assert!(done && said.contains("64x48") && said.contains("6 classes"), "{said}");
    let (done, said) = run(&["model", "import", "vitdet", "--from-cache", "torch"]);
    assert!(
        !done && said.contains("checkpoint: not in torch") && said.contains("model fetch vitdet"),
        "{said}"
    );
    let (done, said) = run(&["model", "import", "regnety", "--checkpoint", published, "--like", "like"]);
    assert!(!done && said.contains("like is the detector x101"), "{said}");
    let (done, said) = run(&["model", "verify", "regnety"]);
    assert!(!done && said.contains("posebook model import regnety"), "{said}");
}

/// The import's heap does not grow with the size of the checkpoint.
#[test]
fn the_import_never_holds_the_whole_checkpoint() {
    let project = project();
    let folder = project.path();
    let [smpl, joints] = body_files(folder, |_| ());
    // forty megabytes that no network uses, in one storage, and the small network
    let padding = vec![1f32; 10_000_000];
    let made = |padding: Vec<f32>| {
        let mut weights = formula::weights("a", &formula::small_config(), DType::F32, &Device::Cpu).unwrap();
        let specs = formula::small_config().tensors();
        let tensors = specs.iter().map(|spec| (spec.key.as_str(), spec.shape.as_slice()));
        let mut all: Vec<_> =
            tensors.map(|(key, shape)| (key, shape, numbers(&weights.remove(key).unwrap()))).collect();
        let length = [padding.len()];
        all.push(("padding", &length, padding));
        torch_zip(&all)
    };
    let peak = |name: &str, checkpoint: Vec<u8>| {
        let path = folder.join("made.ckpt");
        std::fs::write(&path, checkpoint).unwrap();
        let files = [("--checkpoint", &path), ("--smpl", &smpl), ("--joint-regressor", &joints)];
        let files = files.iter().flat_map(|(option, path)| [*option, path.to_str().unwrap()]);
        let arguments =
            ["model", "import", "hmr2", "--like", "small", "--name", name].into_iter().chain(files);
        let output = posebook(folder, &arguments.collect::<Vec<_>>());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let (_, peak) = said.split_once("with a heap peak of ").unwrap();
        peak.split(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let (small, large) = (peak("small-one", made(vec![1.0])), peak("large-one", made(padding)));
    assert!(large <= small + 1, "{large} MiB with forty megabytes more in the file, {small} without");
}
