//! Valid pickles of all protocols and sources, damaged ones and malicious ones.

use super::array::{ArrayPolicy, Values, read_array};
use super::*;
use proptest::prelude::*;
use std::path::PathBuf;
use torch::{Checkpoint, Dtype};

fn golden(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/goldens/hmr2/a/importer")).join(name)
}

fn parsed(source: &[u8]) -> Result<String, PickleError> {
    let tree = read(source, &ArrayPolicy, Limits::default())?;
    Ok(tree.describe(tree.root()))
}

#[test]
fn opcodes_of_all_protocols_are_read() {
    for (source, says) in [
        (&b"I42\n."[..], "the number 42"),
        (b"I01\n.", "the truth value true"),
        (b"L12345678901234567890L\n.", "a long integer"),
        (b"\x80\x02\x8a\x02\x00\xff.", "the number -256"),
        (b"F-1.5e3\n.", "the number -1500"),
        (b"G?\xf8\x00\x00\x00\x00\x00\x00.", "the number 1.5"),
        (b"(lp0\nI1\naI2\na.", "a list of 2"),
        (b"(dp0\nS'a'\nI1\ns.", "a dictionary of 1"),
        (b"\x80\x04\x8f(K\x01K\x02\x90.", "a set of 2"),
        (b"\x80\x05(K\x01\x940K\x02K\x03t.", "a tuple of 2"),
        (b"\x80\x02(K\x01K\x022K\x03t.", "a tuple of 4"),
        (b"\x80\x04\x8c\x05numpy\x8c\x07ndarray\x93.", "`numpy.ndarray`"),
        (b"\x80\x04\x8c\x05numpy\x8c\x07ndarray\x93.", "`numpy.ndarray`"),
        // Python 2's strings, undone: \\x00, \\n, \\' and \\\\
        (b"S'a\\x00\\n\\'\\\\'\n.", "a string of 5 bytes"),
        (b"V\xe9\\u20ac\n.", "a string of 5 bytes"),
    ] {
        assert_eq!(parsed(source).unwrap(), says, "{source:?}");
    }
}

#[test]
fn a_memo_entry_can_be_changed_later() {
    // l = []; l.append(l): a list that contains itself
    let tree = read(b"]q\x00h\x00a.", &ArrayPolicy, Limits::default()).unwrap();
    assert_eq!(tree.elements(tree.root()), Some(&[tree.root()][..]));
}

#[test]
fn refused_calls_are_named_with_their_offset() {
    let error = parsed(b"cposix\nsystem\n(S'touch x'\ntR.").unwrap_err().to_string();
    assert!(error.starts_with("at byte 27 the pickle refers to `posix.system`"), "{error}");
    let error = parsed(b"(S'x'\niposix\nsystem\n.").unwrap_err().to_string();
    assert!(error.contains("`posix.system`"), "{error}");
    // calling the result of another call
    let error = parsed(b"c__builtin__\nset\n(tR(tR.").unwrap_err().to_string();
    assert!(error.contains("refers to `an object of `__builtin__.set``"), "{error}");
    let bytes = std::fs::read(golden("malicious_smpl.pkl")).unwrap();
    assert!(matches!(parsed(&bytes), Err(PickleError::Refused { .. })));
    for name in ["malicious_only.ckpt", "malicious_trojan.ckpt"] {
        let error = Checkpoint::open(&golden(name)).err().unwrap();
        assert!(matches!(error, PickleError::Refused { .. }), "{name}: {error}");
        assert!(error.to_string().contains("system"), "{error}");
    }
}

/// Objects that training leaves in a checkpoint besides its tensors.
#[test]
fn objects_of_unknown_classes_are_data_and_dangerous_names_are_refused() {
    let parsed = |source: &[u8]| read(source, &torch::TorchPolicy, Limits::default()).map(|_| ());
    for harmless in [
        // yacs.config.CfgNode, omegaconf's containers, argparse.Namespace, an enum, a path, a date, a partial
        &b"\x80\x02cyacs.config\nCfgNode\n)\x81}(U\x01aK\x01ub."[..],
        b"\x80\x02comegaconf.dictconfig\nDictConfig\n)\x81}U\x08_contentcomegaconf.nodes\nAnyNode\n)\x81sb.",
        b"\x80\x02cargparse\nNamespace\n)\x81}U\x02lrG?\xf0\x00\x00\x00\x00\x00\x00sb.",
        b"\x80\x02clightning.fabric.utilities.enums\nPrecision\nU\x0216\x85R.",
        b"\x80\x02cpathlib\nPosixPath\n(U\x01/U\x03tmptR.",
        b"\x80\x02cdatetime\ndatetime\nU\n1234567890\x85R.",
        b"\x80\x02cfunctools\npartial\nctorch.optim.adamw\nAdamW\n\x85R(ctorch.optim.adamw\nAdamW\n)}Ntb.",
        b"\x80\x02c_operator\ngetitem\nctyping\nUnion\nc__builtin__\nint\nc__builtin__\nlist\n\x86\x86R.",
        b"ccopy_reg\n_reconstructor\n(cmy.own\nThing\nc__builtin__\nobject\nNtR(dS'a'\nI1\nsb.",
        b"\x80\x02ctorch\nfloat32\n.",
        b"(imy.own\nThing\n.",
    ] {
        parsed(harmless).unwrap_or_else(|error| panic!("{harmless:?}: {error}"));
    }
    for harmful in [
        &b"cbuiltins\neval\n(S'1'\ntR."[..],
        b"c__builtin__\n__import__\n(S'os'\ntR.",
        b"cbuiltins\ngetattr\n(I1\nS'x'\ntR.",
        b"csubprocess\nPopen\n(S'ls'\ntR.",
        b"(S'ls'\nisubprocess\nPopen\n.",
        b"(csubprocess\nPopen\nS'ls'\no.",
        b"csubprocess\nPopen\n(tS'ls'\n}\x92.",
        b"ccopy_reg\n_reconstructor\n(csubprocess\nPopen\nc__builtin__\nobject\nNtR.",
        // named without being called: no legitimate checkpoint does that
        b"cos\nsystem\n.",
        b"cfunctools\npartial\n(cos\nsystem\nS'ls'\ntR.",
        b"\x8c\x08builtins\x8c\x04exec\x93.",
        b"\x8c\x03abc\x8c\x0fABC.__globals__\x93.",
        b"ctypes\nFunctionType\n(tR.",
        b"ctorch\nload\n(S'x'\ntR.",
        b"ctorch.hub\nload\n(S'x'\ntR.",
        b"ctorch.storage\n_load_from_bytes\n(S'x'\ntR.",
        b"cnumpy.testing._private.utils\nrunstring\n(S'x'\n}tR.",
        b"cdill._dill\n_create_function\n(tR.",
        b"cwebbrowser\nopen\n(S'x'\ntR.",
        b"ctimeit\ntimeit\n(S'x'\ntR.",
        b"cmy.own\nfunction\n(tR.",
    ] {
        let error = parsed(harmful).err().unwrap_or_else(|| panic!("{harmful:?} is read"));
        assert!(matches!(error, PickleError::Refused { .. }), "{harmful:?}: {error}");
    }
}

#[test]
fn self_containing_objects_terminate() {
    // a parameter that wraps itself, and a chumpy object whose array is itself
    let around = b"}U\x01wctorch._utils\n_rebuild_parameter\n]q\x00Rq\x01s0h\x00h\x01a0";
    let source = [&b"\x80\x02"[..], around, b"}U\x01wh\x01s."].concat();
    let tree = read(&source, &torch::TorchPolicy, Limits::default()).unwrap();
    assert!(torch::list_tensors(&tree).unwrap_err().to_string().contains("there is no tensor in it"));
    let source = b"\x80\x02cchumpy.ch\nCh\n)\x81q\x00}U\x01xh\x00sb.";
    let tree = read(source, &ArrayPolicy, Limits::default()).unwrap();
    let error = read_array(&tree, tree.root(), "shapedirs").unwrap_err().to_string();
    assert_eq!(error, "shapedirs: an object of chumpy without its `x`");
}

#[test]
fn damage_is_reported_with_its_offset() {
    for (source, says) in [
        (&b""[..], "ends at byte 0"),
        (b"\x80\x02]", "ends at byte 3"),
        (b"X\xff\xff\xff\x7fabc.", "ends at byte 9"),
        (b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff.", "ends at byte 10"),
        (b".", "damaged at byte 0: the stack is empty"),
        (b"t.", "damaged at byte 0: no mark is open"),
        (b"h\x05.", "damaged at byte 0: memo entry 5 does not exist"),
        (b"(K\x01u.", "damaged at byte 3: a key without a value"),
        (b"K\x01K\x02a.", "damaged at byte 4: the number 1 cannot be filled"),
        (b"\x80\x09.", "protocol 9, and 5 is the newest known"),
        (b"\xff.", "byte 0 of the pickle is 0xff"),
    ] {
        let error = parsed(source).unwrap_err().to_string();
        assert!(error.contains(says), "{source:?}: {error}");
    }
}

#[test]
fn oversized_pickles_are_refused_at_their_limits() {
    let limits = Limits { nodes: 100, depth: 10, memo: 20 };
    let message = |source: &[u8]| read(source, &ArrayPolicy, limits).unwrap_err().to_string();
    assert!(message(&b"K\x01".repeat(200)).contains("the limit of 100 values"));
    assert!(message(&[b'('; 50]).contains("the limit of 10 nested marks"));
    assert!(message(&[b"K\x01", &b"\x94".repeat(50)[..]].concat()).contains("the limit of 20 memo entries"));
    // each level contains the previous one twice: 2^60 leaves unfolded, 60 nodes as a graph
    let mut bomb = b"]q\x00".to_vec();
    for level in 0..60u8 {
        bomb.extend([b'h', level, b'h', level, 0x86, b'q', level + 1]);
    }
    bomb.push(b'.');
    let tree = read(&bomb, &ArrayPolicy, Limits { nodes: 200, depth: 10, memo: 200 }).unwrap();
    assert_eq!(tree.describe(tree.root()), "a tuple of 2");
    // one text decoded many times, fetched many times, or used as a name
    let text = [&b"X\x00\x10\x00\x00"[..], &[b'a'; 4096], b"q\x00"].concat();
    let encode = b"c_codecs\nencode\nh\x00\x85R0";
    let message = |source: &[u8]| read(source, &ArrayPolicy, Limits::default()).unwrap_err().to_string();
    assert!(message(&[&text[..], &encode.repeat(100)].concat()).contains("decoded bytes"));
    assert!(message(&[&text[..], b"h\x00\x93."].concat()).contains("a class without a name"));
    let limits = Limits { nodes: 100, ..Limits::default() };
    let error = read(&[&text[..], &b"h\x00".repeat(200)].concat(), &ArrayPolicy, limits).unwrap_err();
    assert!(error.to_string().contains("the limit of 100 values"), "{error}");
    // a huge memo index must not allocate memory
    assert_eq!(parsed(b"K\x01r\xff\xff\xff\xff.").unwrap(), "the number 1");
    assert!(message(b"K\x01p99999999999999999999\n.").contains("a memo index that is not a number"));
    assert!(message(b"j\xff\xff\xff\xff.").contains("memo entry 4294967295 does not exist"));
}

/// SMPL's newer files are of protocol 0, their arrays escaped; its classes are object by `_reconstructor`.
#[test]
fn an_array_written_as_text_has_the_same_values() {
    let start = "cnumpy.core.multiarray\n_reconstruct\np1\n(cnumpy\nndarray\np2\n(I0\ntp3\nS'b'\np4\ntp5\nRp6\n(I1\n(I2\nI2\ntp7\n";
    let kind =
        "cnumpy\ndtype\np8\n(S'f4'\np9\nI0\nI1\ntp10\nRp11\n(I3\nS'<'\np12\nNNNI-1\nI-1\nI0\ntp13\nbI00\n";
    let numbers = r"S'\x00\x00\x80?\x00\x00\x00@\x00\x00@@\n\xd7#\xbc'";
    let array_text = format!("{start}{kind}{numbers}\np14\ntp15\nb");
    let expected = Values::F32(vec![1.0, 2.0, 3.0, -0.01]);
    let tree_of = |source: &str| array_of(source.as_bytes());
    assert_eq!(tree_of(&format!("{array_text}.")).values, expected);
    let object = "ccopy_reg\n_reconstructor\n(cchumpy.ch\nCh\nc__builtin__\nobject\nNtR(dS'x'\n";
    assert_eq!(tree_of(&format!("{object}{array_text}sb.")).values, expected);
}

fn array_of(source: &[u8]) -> array::Array {
    let tree = read(source, &ArrayPolicy, Limits::default()).unwrap();
    read_array(&tree, tree.root(), "it").unwrap()
}

#[test]
fn arrays_of_python_2_and_3_have_the_same_values() {
    let mut all = Vec::new();
    for name in ["smpl_tiny_py2_chumpy.pkl", "smpl_tiny_py3_chumpy.pkl"] {
        let bytes = std::fs::read(golden(name)).unwrap();
        let tree = read(&bytes, &ArrayPolicy, Limits::default()).unwrap();
        let of = |key: &str| read_array(&tree, tree.get(tree.root(), key).unwrap(), key).unwrap();
        let arrays =
            ["v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f"].map(of);
        assert_eq!(arrays[0].shape, [200, 3], "{name}");
        assert_eq!(arrays[2].shape, [200, 3, 207]);
        assert_eq!(arrays[3].shape, [24, 200]);
        // the root's parent is -1 as an unsigned 32-bit integer
        assert!(matches!(&arrays[5].values, Values::Int(values) if values[0] == 4_294_967_295));
        all.push(arrays);
    }
    assert_eq!(all[0], all[1]);
}

#[test]
fn a_sparse_matrix_with_an_index_out_of_range_is_refused() {
    let bytes = std::fs::read(golden("smpl_tiny_py2_chumpy.pkl")).unwrap();
    // the row of the first value of J_regressor_prior: `indices` begins at byte 1097, after its five bytes of length
    let mut wrong = bytes.clone();
    wrong[1102 + 3] = 0x7f;
    let tree = read(&wrong, &ArrayPolicy, Limits::default()).unwrap();
    let key = "J_regressor_prior";
    let error = read_array(&tree, tree.get(tree.root(), key).unwrap(), key).unwrap_err().to_string();
    assert_eq!(error, "J_regressor_prior: a sparse matrix 24x200 with an index beyond its end");
}

#[test]
fn tensors_of_a_checkpoint_are_read_whatever_their_strides() {
    let mut checkpoint = Checkpoint::open(&golden("hmr2_small_a.ckpt")).unwrap();
    assert_eq!(checkpoint.tensors.len(), 160);
    let find = |checkpoint: &Checkpoint, name: &str| {
        checkpoint.tensors.iter().find(|tensor| tensor.name == name).cloned().unwrap()
    };
    let one = find(&checkpoint, "initialized");
    assert_eq!((one.dtype, &one.shape[..]), (Dtype::Other { bytes: 1 }, &[][..]));
    assert!(
        checkpoint.read_f32(&one).unwrap_err().to_string().contains("integers, not floating-point values")
    );
    for name in ["smpl_head.decshape.weight", "smpl_head.deccam.bias", "smpl_head.decshape.bias"] {
        let tensor = find(&checkpoint, name);
        let values = checkpoint.read_f32(&tensor).unwrap();
        assert_eq!(values.len(), tensor.shape.iter().product::<usize>());
        assert!(
            values.iter().all(|value| value.is_finite()) && values.iter().any(|value| *value != values[0])
        );
    }
}

#[test]
fn a_legacy_checkpoint_is_read() {
    let mut old = Checkpoint::open(&golden("legacy_tiny.pth")).unwrap();
    let names: Vec<String> = old.tensors.iter().map(|tensor| tensor.name.clone()).collect();
    assert!(names.contains(&"module.smpl_head.deccam.weight".to_string()), "{names:?}");
    let tensor = old.tensors.iter().find(|tensor| tensor.name.ends_with("deccam.bias")).cloned().unwrap();
    let mut new = Checkpoint::open(&golden("hmr2_small_a.ckpt")).unwrap();
    let same = new.tensors.iter().find(|tensor| tensor.name == "smpl_head.deccam.bias").cloned().unwrap();
    assert_eq!(old.read_f32(&tensor).unwrap(), new.read_f32(&same).unwrap());
}

/// A legacy file with one tensor of a storage of four values, with this offset, shape and stride.
fn legacy_file(class: &str, [offset, side, stride]: [i64; 3]) -> Vec<u8> {
    let mut file = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.".to_vec();
    let long = |number: i64| [&b"\x8a\x08"[..], &number.to_le_bytes()].concat();
    file.extend(b"\x80\x02}U\x01wctorch._utils\n_rebuild_tensor_v2\n(");
    file.extend(format!("(U\x07storagectorch\n{class}\nU\x010U\x03cpuK\x04NtQ").as_bytes());
    file.extend([long(offset), long(side), b"\x85".to_vec(), long(stride), b"\x85".to_vec()].concat());
    file.extend(b"\x89}tRs.\x80\x02]U\x010a.\x04\x00\x00\x00\x00\x00\x00\x00");
    file.extend([1f32, 2.0, 3.0, 4.0].iter().flat_map(|number| number.to_le_bytes()));
    file
}

#[test]
fn tensors_outside_their_storage_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.pth");
    let read = |class: &str, layout: [i64; 3]| {
        std::fs::write(&path, legacy_file(class, layout)).unwrap();
        let mut checkpoint = Checkpoint::open(&path)?;
        let tensor = checkpoint.tensors[0].clone();
        checkpoint.read_f32(&tensor)
    };
    assert_eq!(read("FloatStorage", [1, 2, 2]).unwrap(), [2.0, 4.0]);
    assert_eq!(read("FloatStorage", [0, 3, 0]).unwrap(), [1.0, 1.0, 1.0], "stride 0 repeats one value");
    assert_eq!(read("FloatStorage", [0, 0, 1]).unwrap(), [0f32; 0]);
    for (layout, says) in [
        ([0, 5, 1], "has 16 bytes where 20 are needed"),
        ([4, 1, 1], "has 16 bytes where 20 are needed"),
        ([0, 2, 4], "has 16 bytes where 20 are needed"),
        ([i64::MAX, 1, 1], "out of range"),
        ([0, i64::MAX, 1], "out of range"),
        ([0, 2, i64::MAX], "out of range"),
        ([0, 1 << 40, 0], "out of range"),
        ([-1, 1, 1], "invalid"),
        ([0, -1, 1], "invalid"),
        ([0, 2, -1], "invalid"),
    ] {
        let error = read("FloatStorage", layout).unwrap_err().to_string();
        assert!(error.contains(says), "{layout:?}: {error}");
    }
    let error = read("StrangeStorage", [0, 1, 1]).unwrap_err().to_string();
    assert!(error.contains("its storage, offset, shape or strides are invalid"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    /// Arbitrary bytes give a result or an error, without a panic, and no more values than bytes.
    #[test]
    fn any_bytes_are_read_or_refused(source in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(tree) = read(&source, &ArrayPolicy, Limits::default()) {
            prop_assert!(tree.consumed_bytes() <= source.len());
        }
    }

    /// A real pickle with one byte changed.
    #[test]
    fn a_changed_byte_does_not_panic(at in 0usize..11_000, to in any::<u8>()) {
        static BYTES: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        let bytes = BYTES.get_or_init(|| std::fs::read(golden("smpl_tiny_py2_chumpy.pkl")).unwrap());
        let bytes = [&bytes[..at], &[to], &bytes[at + 1..]].concat();
        if let Ok(tree) = read(&bytes, &ArrayPolicy, Limits::default()) {
            for (key, value) in tree.entries(tree.root()).unwrap_or_default() {
                // an array or an error
                let _ = read_array(&tree, *value, tree.text(*key).unwrap_or("?"));
            }
        }
    }

    /// A real checkpoint with a byte of its pickle changed, or truncated: tensors or an error.
    #[test]
    fn a_changed_checkpoint_does_not_panic(at in 0usize..33_900, to in any::<u8>(), cut in any::<bool>()) {
        let bytes = checkpoint_pickle();
        let changed = if cut { &bytes[..at] } else { &[&bytes[..at], &[to], &bytes[at + 1..]].concat() };
        if let Ok(tree) = read(changed, &torch::TorchPolicy, Limits::default()) {
            let _ = torch::list_tensors(&tree);
        }
    }

    /// A legacy file with one byte changed.
    #[test]
    fn a_changed_legacy_file_does_not_panic(at in 0usize..1462, to in any::<u8>()) {
        let mut bytes = std::fs::read(golden("legacy_tiny.pth")).unwrap();
        bytes[at] = to;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        if let Ok(mut checkpoint) = Checkpoint::open(file.path()) {
            for tensor in checkpoint.tensors.clone() {
                let _ = checkpoint.read_f32(&tensor);
            }
        }
    }
}

/// The pickle of the small checkpoint.
fn checkpoint_pickle() -> &'static [u8] {
    static PICKLE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    PICKLE.get_or_init(|| {
        let mut zip = posebook_core::archive::Zip::open(&golden("hmr2_small_a.ckpt")).unwrap();
        zip.read("hmr2_small_a/data.pkl", 1 << 20).unwrap()
    })
}
