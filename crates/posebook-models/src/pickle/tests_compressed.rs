//! Compressed pickles, and arrays as joblib writes them.

use super::array::{Array, Values, read_array};
use super::npz::Npz;
use super::*;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use posebook_core::npz;
use std::io::Write;

/// `joblib.dump({"a": [[0, 1, 2], [3, 4, 5]] in f4, "n": [1, -2, 3] in i8, "f": [[0, 1], [2, 3]] in f8 by columns})`,
/// by joblib 1.6.0.
const JOBLIB: &[u8] = b"\x80\x04\x95\xda\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01a\x94\x8c\x13joblib.numpy_pickle\x94\x8c\x11Nu\
    mpyArrayWrapper\x94\x93\x94)\x81\x94}\x94(\x8c\x08subclass\x94\x8c\x05numpy\x94\x8c\x07ndarray\x94\x93\
    \x94\x8c\x05shape\x94K\x02K\x03\x86\x94\x8c\x05order\x94\x8c\x01C\x94\x8c\x05dtype\x94h\x08\x8c\x05dtype\
    \x94\x93\x94\x8c\x02f4\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01<\x94NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\
    \x00t\x94b\x8c\nallow_mmap\x94\x88\x8c\x1bnumpy_array_alignment_bytes\x94K\x10ub\n\xff\xff\xff\xff\xff\
    \xff\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x80?\x00\x00\x00@\x00\x00@@\x00\x00\x80@\x00\x00\xa0@\x95I\
    \x00\x00\x00\x00\x00\x00\x00\x8c\x01n\x94h\x04)\x81\x94}\x94(h\x07h\nh\x0bK\x03\x85\x94h\x0dh\x0eh\x0fh\
    \x11\x8c\x02i8\x94\x89\x88\x87\x94R\x94(K\x03h\x15NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t\x94bh\x17\
    \x88h\x18K\x10ub\x05\xff\xff\xff\xff\xff\x01\x00\x00\x00\x00\x00\x00\x00\xfe\xff\xff\xff\xff\xff\xff\xff\
    \x03\x00\x00\x00\x00\x00\x00\x00\x95M\x00\x00\x00\x00\x00\x00\x00\x8c\x01f\x94h\x04)\x81\x94}\x94(h\x07h\
    \nh\x0bK\x02K\x02\x86\x94h\x0d\x8c\x01F\x94h\x0fh\x11\x8c\x02f8\x94\x89\x88\x87\x94R\x94(K\x03h\x15NNNJ\
    \xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t\x94bh\x17\x88h\x18K\x10ub\x01\xff\x00\x00\x00\x00\x00\x00\x00\
    \x00\x00\x00\x00\x00\x00\x00\x00@\x00\x00\x00\x00\x00\x00\xf0?\x00\x00\x00\x00\x00\x00\x08@u.";

/// `numpy.save({"a": numpy.arange(3, dtype="f4")})`, by numpy 2.4.
const DICTIONARY: &[u8] = b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (), }                                                               \
    \n\x80\x04\x95\xdb\x00\x00\x00\x00\x00\x00\x00\x8c\x16numpy._core.multiarray\x94\x8c\x0c_reconstruct\x94\
    \x93\x94\x8c\x05numpy\x94\x8c\x07ndarray\x94\x93\x94K\x00\x85\x94C\x01b\x94\x87\x94R\x94(K\x01)h\x03\x8c\
    \x05dtype\x94\x93\x94\x8c\x02O8\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01|\x94NNNJ\xff\xff\xff\xffJ\xff\xff\
    \xff\xffK?t\x94b\x89]\x94}\x94\x8c\x01a\x94h\x02h\x05K\x00\x85\x94h\x07\x87\x94R\x94(K\x01K\x03\x85\x94h\
    \x0b\x8c\x02f4\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01<\x94NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t\
    \x94b\x89C\x0c\x00\x00\x00\x00\x00\x00\x80?\x00\x00\x00@\x94t\x94bsat\x94b.";

/// More than any of these files has.
const MOST: u64 = 1 << 20;

fn named(file: &[u8], name: &str) -> Result<Array, PickleError> {
    let plain = decompress(file, MOST)?;
    with_root(&plain, |tree, root| read_array(tree, tree.get(root, name).expect(name), name))
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn joblib_pickles_are_read_compressed_or_not() {
    for file in [JOBLIB.to_vec(), zlib(JOBLIB), gzip(JOBLIB)] {
        let a = named(&file, "a").unwrap();
        assert_eq!(a, Array { shape: vec![2, 3], values: Values::F32(vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]) });
        assert_eq!(named(&file, "n").unwrap(), Array { shape: vec![3], values: Values::Int(vec![1, -2, 3]) });
        let by_columns = named(&file, "f").unwrap();
        assert_eq!(by_columns, Array { shape: vec![2, 2], values: Values::F64(vec![0.0, 1.0, 2.0, 3.0]) });
    }
}

#[test]
fn damaged_or_oversized_compressed_data_is_refused() {
    let packed = zlib(JOBLIB);
    let message = |file: &[u8], most| decompress(file, most).map(|_| ()).unwrap_err().to_string();
    assert!(message(&packed[..packed.len() / 2], MOST).contains("is damaged"));
    // a megabyte of zeros compresses to a kilobyte
    assert!(message(&gzip(&[0; 1 << 20]), 1000).contains("more than 1000 bytes"));
    assert!(message(&gzip(b"<!doctype html><p>"), MOST).contains("this is a web page (HTML)"));
    for end in 0..JOBLIB.len() {
        assert!(named(&JOBLIB[..end], "f").is_err(), "cut at {end}");
    }
}

#[test]
fn a_dictionary_saved_by_numpy_is_read() {
    let three = Array { shape: vec![3], values: Values::F32(vec![0.0, 1.0, 2.0]) };
    assert_eq!(named(DICTIONARY, "a").unwrap(), three);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("smpl.npz");
    let zip = |files: &[(&str, &[u8])]| {
        let mut bytes = npz::NpzWriter::new();
        for (name, content) in files {
            bytes = bytes.add_file(name, content.to_vec());
        }
        std::fs::write(&path, bytes.into_bytes()).unwrap();
        Npz::open(&path, MOST).unwrap()
    };
    let in_object = |mut file: Npz| {
        file.with_only_object(|tree, root| read_array(tree, tree.get(root, "a").unwrap(), "a"))
    };
    assert_eq!(in_object(zip(&[("smpl.npy", DICTIONARY)])).unwrap(), Some(three));
    assert_eq!(in_object(zip(&[("one.npy", DICTIONARY), ("two.npy", DICTIONARY)])).unwrap(), None);
    assert_eq!(in_object(zip(&[("readme.txt", b"none")])).unwrap(), None);
}

#[test]
fn files_of_another_kind_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("smpl");
    for (content, words) in [
        (&b""[..], "this is an empty file"),
        (b"<html>log in</html>", "this is a web page (HTML)"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "this is a git-LFS pointer"),
        (b"{\"error\": 1}", "this is JSON"),
        (b"(dp0\r\nS'a'\r\np1\r\nI1\r\ns.", "line ends were converted to CRLF"),
    ] {
        let message = named(content, "a").unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
        std::fs::write(&path, content).unwrap();
        let message = Npz::open(&path, MOST).err().unwrap().to_string();
        assert!(message.contains(words), "{message}");
        let message = torch::Checkpoint::open(&path).err().unwrap().to_string();
        assert!(message.contains(words), "{message}");
    }
    let message = Npz::open(&folder.path().join("nowhere"), MOST).err().unwrap().to_string();
    assert!(message.contains("nowhere") && !message.contains("empty"), "{message}");
}
