//! State dicts as numpy pickles them in every protocol, as Python 2 did, damaged ones and hostile ones.

use super::state_dict::{StateDict, list_arrays};
use std::path::PathBuf;

fn golden(protocol: u8) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/goldens/detectron2");
    std::fs::read(PathBuf::from(folder).join(format!("state_dict_{protocol}.pkl"))).unwrap()
}

fn values(dict: &StateDict, source: &[u8], name: &str) -> Vec<f32> {
    dict.arrays.iter().find(|entry| entry.name == name).unwrap().read_f32(source).unwrap()
}

#[test]
fn numpy_arrays_of_every_protocol_have_the_same_values() {
    for protocol in 2..=5 {
        let source = golden(protocol);
        let dict = list_arrays(&source).unwrap();
        let shapes: Vec<(&str, &[usize])> =
            dict.arrays.iter().map(|entry| (entry.name.as_str(), entry.shape.as_slice())).collect();
        let expected: [(&str, &[usize]); 7] = [
            ("a.weight", &[2, 3]),
            ("b.weight", &[3, 2]),
            ("c.running_mean", &[1]),
            ("d.half", &[2]),
            ("e.big_endian", &[2]),
            ("f.num_batches_tracked", &[]),
            ("g.empty", &[0, 3]),
        ];
        assert_eq!(shapes, expected, "protocol {protocol}");
        assert_eq!(
            (dict.others, dict.author.as_deref()),
            (2, Some("Detectron2 Model Zoo")),
            "protocol {protocol}"
        );
        assert_eq!(values(&dict, &source, "a.weight"), [-0.5, -0.25, 0.0, 0.25, 0.5, 0.75]);
        assert_eq!(
            values(&dict, &source, "b.weight"),
            [0.0, 1.0, 2.0, 3.0, 4.0, 5.0],
            "columns first in the file"
        );
        assert_eq!(values(&dict, &source, "c.running_mean"), [0.1]);
        assert_eq!(values(&dict, &source, "d.half"), [1.5, -0.25]);
        assert_eq!(values(&dict, &source, "e.big_endian"), [1.0, 258.5]);
        assert_eq!(values(&dict, &source, "g.empty"), [0.0; 0]);
        let counter = &dict.arrays[5];
        assert!(counter.read_f32(&source).unwrap_err().to_string().contains("integers"), "{counter:?}");
    }
}

/// An array of Python 2 in protocol 2: its bytes, its type's name and its key are byte strings.
fn python_2_array(key: &str, bytes: &[u8]) -> Vec<u8> {
    let short = |text: &[u8]| [b"U", &[text.len() as u8][..], text].concat();
    let long = [b"T", &(bytes.len() as u32).to_le_bytes()[..], bytes].concat();
    let count = [b"M", &((bytes.len() / 4) as u16).to_le_bytes()[..], b"\x85"].concat();
    let start = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01";
    let dtype =
        b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89";
    [&short(key.as_bytes()), &start[..], &count, dtype, &long, b"tb"].concat()
}

#[test]
fn arrays_of_python_2_are_read_with_or_without_a_name_of_the_dictionary() {
    let numbers = [0.5f32, -3.0, 1e9];
    let array = python_2_array("x.weight", numbers.map(f32::to_le_bytes).as_flattened());
    let author = b"U\nx\xe9\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8";
    let nested = [&b"\x80\x02}(U\x05model}("[..], &array, b"uU\n__author__", author, b"u."].concat();
    let flat = [&b"\x80\x02}("[..], &array, b"u."].concat();
    for source in [nested, flat] {
        let dict = list_arrays(&source).unwrap();
        assert_eq!(values(&dict, &source, "x.weight"), numbers);
        assert_eq!(dict.author, None, "an author that is not UTF-8 is no reason to refuse a file");
    }
}

#[test]
fn long_texts_of_bytes_are_decoded_when_they_are_read() {
    let bytes: Vec<u8> = (0..120_000u32).map(|index| (index * 7 + index / 251) as u8 & 0xbf).collect();
    let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
    let encoded = [
        b"c_codecs\nencode\nX",
        &(text.len() as u32).to_le_bytes()[..],
        text.as_bytes(),
        b"X\x06\0\0\0latin1\x86R",
    ];
    let start = b"\x80\x02}(X\x01\0\0\0acnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01M0u\x85";
    let dtype =
        b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89";
    let source = [&start[..], dtype, &encoded.concat(), b"tbu."].concat();
    let dict = list_arrays(&source).unwrap();
    let expected: Vec<f32> = bytes.as_chunks().0.iter().map(|number| f32::from_le_bytes(*number)).collect();
    assert_eq!(values(&dict, &source, "a"), expected);
    // a character that is no byte
    let at = source
        .windows(8)
        .position(|window| window == "\u{80}".repeat(4).as_bytes())
        .unwrap_or_else(|| source.iter().rposition(|byte| *byte == 0xc2).unwrap());
    let mut damaged = source.clone();
    damaged[at] = 0xc4;
    let dict = list_arrays(&damaged).unwrap();
    let said = dict.arrays[0].read_f32(&damaged).unwrap_err().to_string();
    assert!(said.contains("tensor a") && said.contains("damaged"), "{said}");
}

#[test]
fn damaged_and_hostile_pickles_are_refused() {
    let message = |source: &[u8]| list_arrays(source).unwrap_err().to_string();
    let whole = golden(2);
    for length in [1, 40, 300, whole.len() - 1] {
        assert!(message(&whole[..length]).contains("truncated"), "{length}: {}", message(&whole[..length]));
    }
    assert!(message(b"\x80\x02}(U\x05modelcos\nsystem\nU\x02id\x85Ru.").contains("`os.system`"));
    assert!(message(b"\x80\x02}(U\x01acbuiltins\neval\nU\x011\x85Ru.").contains("`builtins.eval`"));
    // an array of another module's function
    assert!(message(b"\x80\x02cevil\n_reconstruct\n).").contains("dictionary of arrays"));
    assert!(message(b"\x80\x02cevil\n_reconstruct\n)R.").contains("`evil._reconstruct`"));
    assert!(message(b"\x80\x02]q\x00h\x00a.").contains("a list of 1"));
    assert!(message(b"\x80\x02}U\x05model}s.").contains("no array"));
    let array = python_2_array("conv1_w", &[0; 4]);
    assert!(message(&[&b"\x80\x02}U\x05blobs}("[..], &array, b"us."].concat()).contains("Caffe2"));
    assert!(message(b"<html>").contains("web page"));
    // fewer bytes than the shape has, or more values than any layer
    let mut short = [&b"\x80\x02}("[..], &python_2_array("x", &[0; 8]), b"u."].concat();
    let shape = short.windows(4).position(|window| window == b"M\x02\0\x85").unwrap();
    short[shape + 1] = 3;
    let dict = list_arrays(&short).unwrap();
    assert!(dict.arrays[0].read_f32(&short).unwrap_err().to_string().contains("8 bytes for an array"));
    let huge = [&short[..shape], b"J\xff\xff\xff\x7f\x85", &short[shape + 4..]].concat();
    assert!(message(&huge).contains("out of range"), "{}", message(&huge));
}

proptest::proptest! {
    #[test]
    fn a_changed_byte_does_not_panic(protocol in 2u8..6, at in 0usize..1200, to in proptest::prelude::any::<u8>()) {
        let mut source = golden(protocol);
        let length = source.len();
        source[at % length] = to;
        if let Ok(dict) = list_arrays(&source) {
            for entry in &dict.arrays {
                let _ = entry.read_f32(&source);
            }
        }
    }
}
