//! candle reads the `.npz` archives that `posebook_core::npz` writes.

use candle_core::npy::NpzTensors;
use posebook_core::npz::{NpzWriter, Values};

#[test]
fn another_reader_reads_the_arrays() {
    let archive = NpzWriter::new()
        .add_array("number", &[], Values::F32(&[2.5]))
        .add_array("row", &[3], Values::I64(&[1, -2, 1 << 40]))
        .add_array("square", &[2, 2], Values::F32(&[1.0, 2.0, 3.0, f32::MIN_POSITIVE]))
        .into_bytes();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("arrays.npz");
    std::fs::write(&path, archive).unwrap();
    let read = NpzTensors::new(&path).unwrap();
    let square = read.get("square").unwrap().unwrap();
    assert_eq!(square.to_vec2::<f32>().unwrap(), [[1.0, 2.0], [3.0, f32::MIN_POSITIVE]]);
    assert_eq!(read.get("row").unwrap().unwrap().to_vec1::<i64>().unwrap(), [1, -2, 1 << 40]);
    assert_eq!(read.get("number").unwrap().unwrap().to_scalar::<f32>().unwrap(), 2.5);
}
