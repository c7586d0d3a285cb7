//! Imports of detectors: checkpoints of every format become the same set; those of other networks, with other classes, without
//! a mask head, damaged or malicious give an error and leave no output.

use candle_core::{DType, Device, Tensor};
use posebook_core::provenance::sha256_of_file;
use posebook_models::detect::mask_rcnn::{Architecture, Config, formula};
use posebook_models::import::{DetectorRequest, DetectorSummary, ImportError, import_detector};
use posebook_models::nn::checkpoint;
use posebook_models::recovery::{DetectorSet, ModelSet};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

static GO_ON: AtomicBool = AtomicBool::new(false);

/// A tensor's key, shape and values.
type Named = (String, Vec<usize>, Vec<f32>);

/// A network smaller than that of the goldens: a stage has one block.
fn tiny(architecture: Architecture) -> Config {
    use posebook_models::detect::mask_rcnn::Backbone;
    let mut config = Config::small(architecture);
    (config.channels, config.box_head.width) = (8, 16);
    match &mut config.backbone {
        Backbone::Vit(vit) => (vit.dim, vit.depth, vit.heads, vit.global_blocks) = (16, 2, 2, vec![1]),
        Backbone::Regnety(regnet) => regnet.depths = vec![1; 4],
        Backbone::Resnext(resnext) => resnext.blocks = vec![1; 4],
    }
    config.validate().unwrap();
    config
}

fn tensors(config: &Config) -> Vec<Named> {
    let mut all: Vec<Named> = formula::weights("a", config, DType::F32, &Device::Cpu)
        .unwrap()
        .into_iter()
        .map(|(key, tensor)| (key, tensor.dims().to_vec(), tensor.flatten_all().unwrap().to_vec1().unwrap()))
        .collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all
}

/// How a pickle of arrays is written.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Protocol {
    /// Protocol 2 by Python 2: byte strings.
    Two,
    /// Protocol 2 by Python 3: bytes as Latin-1 text.
    TwoOfPython3,
    /// Protocol 4: frames, names on the stack.
    Four,
}

fn text(text: &str) -> Vec<u8> {
    [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

fn number(number: usize) -> Vec<u8> {
    [&b"J"[..], &(number as i32).to_le_bytes()].concat()
}

fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// An array of numpy as a value on the stack.
fn array(protocol: Protocol, code: &str, shape: &[usize], bytes: &[u8]) -> Vec<u8> {
    let name = |module: &str, name: &str| match protocol {
        Protocol::Four => [text(module), text(name), b"\x93".to_vec()].concat(),
        _ => format!("c{module}\n{name}\n").into_bytes(),
    };
    let data = |bytes: &[u8]| match protocol {
        Protocol::Two => [&b"T"[..], &(bytes.len() as u32).to_le_bytes(), bytes].concat(),
        Protocol::Four => [&b"\x8e"[..], &(bytes.len() as u64).to_le_bytes(), bytes].concat(),
        Protocol::TwoOfPython3 => {
            let letters: String = bytes.iter().map(|byte| char::from(*byte)).collect();
            [name("_codecs", "encode"), text(&letters), text("latin1"), b"\x86R".to_vec()].concat()
        }
    };
    let sides =
        [b"(".to_vec(), shape.iter().flat_map(|side| number(*side)).collect(), b"t".to_vec()].concat();
    let made =
        [name("numpy.core.multiarray", "_reconstruct"), name("numpy", "ndarray"), b"K\x00\x85".to_vec()];
    let dtype = [name("numpy", "dtype"), text(code), b"\x89\x88\x87R(K\x03".to_vec(), text("<")].concat();
    let rest = b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89";
    [
        made.concat(),
        data(b"b"),
        b"\x87R(K\x01".to_vec(),
        sides,
        dtype,
        rest.to_vec(),
        data(bytes),
        b"tb".to_vec(),
    ]
    .concat()
}

/// A state dict as detectron2's model zoo has it, or flat; `extra` are opcodes of further keys and values.
fn pickle(protocol: Protocol, is_nested: bool, tensors: &[Named], extra: &[u8]) -> Vec<u8> {
    let entries = tensors.iter().flat_map(|(name, shape, values)| {
        [text(name), array(protocol, "f4", shape, &bytes_of(values))].concat()
    });
    let dict = [b"}(".to_vec(), entries.collect(), extra.to_vec(), b"u".to_vec()].concat();
    let root = match is_nested {
        true => [
            b"}(".to_vec(),
            text("model"),
            dict,
            text("__author__"),
            text("Detectron2 Model Zoo"),
            b"u".to_vec(),
        ]
        .concat(),
        false => dict,
    };
    let body = [root, b".".to_vec()].concat();
    match protocol {
        Protocol::Four => [b"\x80\x04\x95", &(body.len() as u64).to_le_bytes()[..], &body].concat(),
        _ => [b"\x80\x02".to_vec(), body].concat(),
    }
}

/// What older files hold besides the weights: image statistics, anchors, and RegNetY's counters.
fn older_extras(mean: [f32; 3]) -> Vec<u8> {
    let array = |code: &str, shape: &[usize], bytes: &[u8]| array(Protocol::Two, code, shape, bytes);
    [
        [text("pixel_mean"), array("f4", &[3, 1, 1], &bytes_of(&mean))].concat(),
        [text("pixel_std"), array("f4", &[3, 1, 1], &bytes_of(&[57.375, 57.12, 58.395]))].concat(),
        [text("proposal_generator.anchor_generator.cell_anchors.0"), array("f4", &[3, 4], &[0; 48])].concat(),
        [text("backbone.bottom_up.stem.bn.num_batches_tracked"), array("i8", &[], &[9; 8])].concat(),
        [text("backbone.fpn_lateral2.norm.num_batches_tracked"), array("i8", &[], &[9; 8])].concat(),
    ]
    .concat()
}

/// A zip as `torch.save` writes it, with the state dict under `model` and an optimizer beside it.
fn torch_zip(tensors: &[Named]) -> Vec<u8> {
    let tuple = |numbers: &[usize]| {
        [b"(".to_vec(), numbers.iter().flat_map(|n| number(*n)).collect(), b"t".to_vec()].concat()
    };
    let mut data = [&b"\x80\x02}("[..], &text("iteration"), &number(9), &text("model"), b"}("].concat();
    for (index, (name, shape, values)) in tensors.iter().enumerate() {
        let strides: Vec<usize> = (1..=shape.len()).map(|axis| shape[axis..].iter().product()).collect();
        let storage =
            [&b"("[..], &text("storage"), b"ctorch\nFloatStorage\n", &text(&index.to_string())].concat();
        let storage = [storage, text("cpu"), number(values.len()), b"tQ".to_vec()].concat();
        let made =
            [&b"ctorch._utils\n_rebuild_tensor_v2\n("[..], &storage, &number(0), &tuple(shape)].concat();
        data.extend([text(name), made, tuple(&strides), b"\x89}tR".to_vec()].concat());
    }
    data.extend([b"u".to_vec(), text("optimizer"), b"}u.".to_vec()].concat());
    let storages =
        tensors.iter().enumerate().map(|(index, tensor)| (format!("x/data/{index}"), bytes_of(&tensor.2)));
    let files = [vec![("x/data.pkl".to_string(), data)], storages.collect()].concat();
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in &files {
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

/// A folder with a checkpoint and an empty folder of sets.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("models")).unwrap();
        Place(folder)
    }

    fn models(&self) -> PathBuf {
        self.0.path().join("models")
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn import(&self, config: &Config, checkpoint: &Path) -> Result<DetectorSummary, ImportError> {
        self.import_with_classes(config, checkpoint, None)
    }

    fn import_with_classes(
        &self,
        config: &Config,
        checkpoint: &Path,
        classes: Option<usize>,
    ) -> Result<DetectorSummary, ImportError> {
        let request = DetectorRequest {
            name: "mine".into(),
            folder: self.models(),
            config: config.clone(),
            classes,
            checkpoint: checkpoint.to_path_buf(),
        };
        import_detector(&request, &mut |_, _| {}, &GO_ON)
    }

    /// The message of an import of these bytes, which has to fail and to leave nothing.
    fn refusal(&self, config: &Config, name: &str, bytes: &[u8]) -> String {
        let said = self.import(config, &self.write(name, bytes)).unwrap_err().to_string();
        let left: Vec<_> = std::fs::read_dir(self.models()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
        assert!(said.contains(name), "the file is named: {said}");
        said
    }

    fn forget(&self) {
        std::fs::remove_dir_all(self.models()).unwrap();
        std::fs::create_dir(self.models()).unwrap();
    }
}

#[test]
fn checkpoints_of_every_format_become_the_same_set() {
    for architecture in Architecture::ALL {
        let (place, config) = (Place::new(), tiny(architecture));
        let all = tensors(&config);
        let mut safetensors = HashMap::new();
        for (key, shape, values) in &all {
            let tensor = Tensor::from_slice(values, shape.as_slice(), &Device::Cpu).unwrap();
            safetensors.insert(format!("module.{key}"), tensor);
        }
        let path = place.write("w.safetensors", b"");
        candle_core::safetensors::save(&safetensors, &path).unwrap();
        let mut files = vec![path, place.write("w.pth", &torch_zip(&all))];
        for protocol in [Protocol::Two, Protocol::TwoOfPython3, Protocol::Four] {
            for is_nested in [true, false] {
                let name = format!("{protocol:?}-{is_nested}.pkl");
                files.push(place.write(&name, &pickle(protocol, is_nested, &all, b"")));
            }
        }
        let mut hashes = Vec::new();
        for file in files {
            let summary = place.import(&config, &file).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!((summary.tensors_used, summary.classes), (all.len(), 6));
            assert_eq!((summary.left_out, summary.notes), (vec![], vec![]), "{file:?}");
            hashes.push(summary.weights_sha256);
            let set = DetectorSet::find(&place.models(), "mine").unwrap();
            set.verify().unwrap();
            set.verify_cached().unwrap();
            assert_eq!((set.architecture, &set.config), (architecture, &config));
            assert_eq!(set.identity(), hashes[0]);
            let import = set.import.unwrap();
            assert_eq!(import.sources["checkpoint"].sha256, sha256_of_file(&file).unwrap());
            assert_eq!(DetectorSet::list(&place.models()).unwrap().len(), 1);
            assert_eq!(ModelSet::list(&place.models()).unwrap(), [], "a detector is no model set");
            let read = checkpoint::read(
                &place.models().join("mine.safetensors"),
                &config.tensors(),
                DType::F32,
                &Device::Cpu,
            );
            for (key, tensor) in read.unwrap() {
                let (_, shape, values) = all.iter().find(|(name, ..)| *name == key).unwrap();
                assert_eq!(tensor.dims(), shape.as_slice());
                assert_eq!(&tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap(), values, "{key}");
            }
            place.forget();
        }
        assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
    }
}

#[test]
fn what_detectron2_ignores_is_left_out_and_listed() {
    let (place, config) = (Place::new(), tiny(Architecture::Regnety));
    let all = tensors(&config);
    let extras = older_extras([103.53, 116.28, 123.675]);
    let file = place.write("old.pkl", &pickle(Protocol::Two, true, &all, &extras));
    let summary = place.import(&config, &file).unwrap();
    assert_eq!(summary.author.as_deref(), Some("Detectron2 Model Zoo"));
    let kinds: Vec<(&str, usize)> =
        summary.left_out.iter().map(|kind| (kind.what.as_str(), kind.tensors)).collect();
    let expected = [
        ("counters of batches (num_batches_tracked)", 2),
        ("mean and deviation of images (pixel_mean, pixel_std)", 2),
        ("anchors (cell_anchors)", 1),
    ];
    assert_eq!((kinds.as_slice(), summary.notes), (expected.as_slice(), vec![]));
    let import = DetectorSet::load(&summary.manifest).unwrap().import.unwrap();
    assert_eq!((import.tensors_used, import.tensors_left_out), (all.len(), 5));
    place.forget();
    // another mean is told, and tensors of an unknown kind are named
    let extras = [
        older_extras([102.98, 115.95, 122.77]),
        text("roi_heads.keypoint_head.x"),
        array(Protocol::Two, "f4", &[1], &[0; 4]),
    ];
    let file = place.write("other.pkl", &pickle(Protocol::Two, true, &all, &extras.concat()));
    let summary = place.import(&config, &file).unwrap();
    assert!(
        summary.notes[0].contains("pixel_mean") && summary.notes[0].contains("102.98"),
        "{:?}",
        summary.notes
    );
    assert_eq!(summary.left_out[3].what, "others (roi_heads.keypoint_head.x)");
}

#[test]
fn another_networks_checkpoint_is_recognized() {
    let place = Place::new();
    let of = |architecture| pickle(Protocol::Two, true, &tensors(&tiny(architecture)), b"");
    let [vitdet, regnety, x101] = Architecture::ALL.map(of);
    let refusal = |wanted, bytes: &[u8]| place.refusal(&tiny(wanted), "w.pkl", bytes);
    let said = refusal(Architecture::Vitdet, &regnety);
    assert!(
        said.contains("not the checkpoint of ViTDet-H") && said.contains("pos_embed is missing"),
        "{said}"
    );
    assert!(
        said.contains("it looks like RegNetY with widths 16, 32, 64, 128 with one box head, 6 classes"),
        "{said}"
    );
    let said = refusal(Architecture::Regnety, &x101);
    assert!(said.contains("looks like ResNeXt-(1 blocks in res4) 4x2d with one box head"), "{said}");
    let said = refusal(Architecture::X101, &vitdet);
    assert!(said.contains("ViTDet-(16 values a token) with a cascade of box heads"), "{said}");
    // the right network in another size
    let said = refusal(Architecture::X101, &{
        let mut config = tiny(Architecture::X101);
        config.channels = 16;
        pickle(Protocol::Two, true, &tensors(&config), b"")
    });
    assert!(said.contains("backbone.fpn_lateral2.weight is [16, 32, 1, 1] and not [8, 32, 1, 1]"), "{said}");
    let named = |names: &[&str]| {
        let all: Vec<Named> = names.iter().map(|name| (name.to_string(), vec![1], vec![0.0])).collect();
        refusal(Architecture::X101, &pickle(Protocol::Two, true, &all, b""))
    };
    assert!(named(&["backbone.blocks.0.x", "smpl_head.init_cam"]).contains("posebook model import hmr2"));
    assert!(named(&["stem.conv1.weight", "res2.0.conv1.weight"]).contains("a backbone alone"));
    assert!(named(&["something.else"]).contains("give the file that belongs to the network"));
}

#[test]
fn classes_are_those_of_coco_unless_they_are_given() {
    let (place, config) = (Place::new(), tiny(Architecture::X101));
    let mut other = config.clone();
    other.classes = 3;
    let file = place.write("w.pkl", &pickle(Protocol::Four, true, &tensors(&other), b""));
    let said = place.import(&config, &file).unwrap_err().to_string();
    assert!(said.contains("has 3 classes, and not 6") && said.contains("--classes 3"), "{said}");
    let said = place.import_with_classes(&config, &file, Some(4)).unwrap_err().to_string();
    assert!(said.contains("has 3 classes, and not 4"), "{said}");
    let summary = place.import_with_classes(&config, &file, Some(3)).unwrap();
    assert_eq!(summary.classes, 3);
    let set = DetectorSet::load(&summary.manifest).unwrap();
    assert_eq!(set.config, other);
    set.verify().unwrap();
}

#[test]
fn missing_mask_heads_and_damaged_weights_are_refused() {
    let (place, config) = (Place::new(), tiny(Architecture::X101));
    let all = tensors(&config);
    let without: Vec<Named> = all.iter().filter(|tensor| !tensor.0.contains("mask_head")).cloned().collect();
    let said = place.refusal(&config, "boxes.pkl", &pickle(Protocol::Two, true, &without, b""));
    assert!(said.contains("not its mask head") && said.contains("mask_fcn1.weight is missing"), "{said}");
    let damaged = |value: f32| {
        let mut all = all.clone();
        let tensor = all.iter_mut().find(|tensor| tensor.0 == "backbone.fpn_output3.weight").unwrap();
        tensor.2[70] = value;
        all
    };
    let said =
        place.refusal(&config, "nan.pkl", &pickle(Protocol::TwoOfPython3, true, &damaged(f32::NAN), b""));
    assert!(said.contains("backbone.fpn_output3.weight") && said.contains("NaN at index 70"), "{said}");
    let said = place.refusal(&config, "inf.pth", &torch_zip(&damaged(f32::INFINITY)));
    assert!(said.contains("holds inf at index 70"), "{said}");
    // a weight of integers
    let (name, shape, values) = &all[0];
    let integers = [text(name), array(Protocol::Two, "i4", shape, &bytes_of(values))].concat();
    let said = place.refusal(&config, "int.pkl", &pickle(Protocol::Two, true, &all[1..], &integers));
    assert!(said.contains("holds integers"), "{said}");
    // two tensors of one name
    let twice =
        [all.clone(), vec![(format!("module.{}", all[0].0), all[0].1.clone(), all[0].2.clone())]].concat();
    let said = place.refusal(&config, "twice.pkl", &pickle(Protocol::Two, true, &twice, b""));
    assert!(said.contains("two tensors named"), "{said}");
}

#[test]
fn truncated_foreign_and_hostile_files_are_refused() {
    let (place, config) = (Place::new(), tiny(Architecture::Regnety));
    let all = tensors(&config);
    for (name, whole) in [("w.pkl", pickle(Protocol::Four, true, &all, b"")), ("w.pth", torch_zip(&all))] {
        for length in [0, 1, 30, whole.len() / 2, whole.len() - 1] {
            place.refusal(&config, name, &whole[..length]);
        }
    }
    let said = place.refusal(&config, "cut.pkl", &pickle(Protocol::Two, true, &all, b"")[..9000]);
    assert!(said.contains("truncated"), "{said}");
    let call = [text("evil"), b"cos\nsystem\n".to_vec(), text("touch /tmp/x"), b"\x85R".to_vec()].concat();
    let said = place.refusal(&config, "evil.pkl", &pickle(Protocol::Two, true, &all, &call));
    assert!(said.contains("`os.system`") && said.contains("it was not called"), "{said}");
    assert!(place.refusal(&config, "page.pkl", b"<!DOCTYPE html><html>").contains("web page"));
    assert!(place.refusal(&config, "none.pkl", b"}.").contains("no array"));
    let missing = place.import(&config, &place.0.path().join("missing.pkl")).unwrap_err().to_string();
    assert!(missing.contains("missing.pkl"), "{missing}");
    let folder = place.import(&config, place.0.path()).unwrap_err().to_string();
    assert!(folder.contains("cannot read"), "{folder}");
}

#[test]
fn an_import_can_be_stopped_and_replaces_nothing() {
    let (place, config) = (Place::new(), tiny(Architecture::X101));
    let file = place.write("w.pkl", &pickle(Protocol::Two, true, &tensors(&config), b""));
    let stop = AtomicBool::new(false);
    let request = DetectorRequest {
        name: "mine".into(),
        folder: place.models(),
        config: config.clone(),
        classes: None,
        checkpoint: file.clone(),
    };
    let stopped = import_detector(&request, &mut |_, _| stop.store(true, Ordering::Relaxed), &stop);
    assert!(matches!(stopped, Err(ImportError::Stopped)), "{stopped:?}");
    assert_eq!(std::fs::read_dir(place.models()).unwrap().count(), 0);
    place.import(&config, &file).unwrap();
    assert!(matches!(place.import(&config, &file), Err(ImportError::Exists { .. })));
    let set = DetectorSet::find(&place.models(), "mine").unwrap();
    // changed weights
    let path = place.models().join("mine.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    for said in [set.verify(), set.verify_cached()] {
        assert!(said.unwrap_err().to_string().contains("import it again"));
    }
}

#[test]
fn sets_of_detectors_are_found_and_checked() {
    let place = Place::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
    for architecture in Architecture::ALL {
        let set = DetectorSet::find(&root, &format!("{}-formula", architecture.name())).unwrap();
        assert_eq!((set.architecture, set.identity().as_str()), (architecture, "formula a"));
        assert_eq!(set.config, Config::published(architecture));
        set.verify().unwrap();
    }
    let said = DetectorSet::find(&root, "vitdet-x").unwrap_err().to_string();
    assert!(said.contains("no detector `vitdet-x`") && said.contains("x101-formula"), "{said}");
    let said = DetectorSet::find(&place.models(), "x101").unwrap_err().to_string();
    assert!(said.contains("posebook model import x101") && said.contains("model fetch x101"), "{said}");
    let start = "description = \"\"\nlicence = \"\"\norigin = \"\"\n";
    let message = |lines: &str| {
        let path = place.models().join("set.toml");
        std::fs::write(&path, format!("{start}{lines}")).unwrap();
        DetectorSet::load(&path).unwrap_err().to_string()
    };
    let detector = "kind = \"detector\"\ndetector = \"x101\"\n";
    assert!(message("kind = \"phalp\"\n").contains("`kind` is not \"detector\""));
    assert!(message(&format!("{detector}weights = \"w.safetensors\"\n")).contains("no sha256"));
    assert!(
        message(&format!("{detector}weights = \"../w.safetensors\"\nsha256 = \"{}\"\n", "0".repeat(64)))
            .contains("next to it")
    );
    assert!(
        message(&format!("{detector}weights = {{ fetched = \"a\", file = \"b\" }}\n")).contains("formula")
    );
    assert!(message(&format!("{detector}weights = {{ formula = \"a\" }}\nsize = 3\n")).contains("size"));
    assert!(
        message("kind = \"detector\"\ndetector = \"yolo\"\nweights = { formula = \"a\" }\n").contains("yolo")
    );
    let config = toml::to_string(&HashMap::from([("config", tiny(Architecture::Regnety))])).unwrap();
    let said = message(&format!("{detector}weights = {{ formula = \"a\" }}\n{config}"));
    assert!(said.contains("`detector` is \"x101\", but `[config.backbone]` is that of regnety"), "{said}");
    let config = config.replace("classes = 6", "classes = 0");
    let said =
        message(&format!("{}weights = {{ formula = \"a\" }}\n{config}", detector.replace("x101", "regnety")));
    assert!(said.contains("`[config]`: classes is 0"), "{said}");
}
