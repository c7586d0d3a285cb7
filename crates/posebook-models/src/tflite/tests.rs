use super::test_file::{Field, TestFile, two_convolutions};
use super::{Activation, DType, Kind, Model, Padding, TfliteError};
use posebook_core::random;

fn parse_error(file: &TestFile) -> String {
    let bytes = file.write();
    Model::parse(&bytes).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn a_small_file_is_parsed() {
    let bytes = two_convolutions().write();
    let model = Model::parse(&bytes).unwrap();
    assert_eq!((model.tensors.len(), model.operators.len()), (11, 6));
    assert_eq!((model.inputs.as_slice(), model.outputs.as_slice()), (&[0][..], &[10][..]));
    let conv = &model.operators[2];
    assert_eq!(
        conv.kind,
        Kind::Conv2d { stride: [2, 2], padding: Padding::Same, activation: Activation::Relu6 }
    );
    assert_eq!(
        (conv.inputs.as_slice(), conv.outputs.as_slice()),
        (&[Some(0), Some(2), Some(4)][..], &[5][..])
    );
    assert!(matches!(model.operators[5].kind, Kind::DepthwiseConv2d { multiplier: 1, stride: [1, 1], .. }));
    let weights = &model.tensors[1];
    assert_eq!(
        (weights.name, weights.dtype, weights.shape.as_slice()),
        ("first/weights/f16", DType::F16, &[8, 3, 3, 3][..])
    );
    assert_eq!(weights.data.len(), 2 * 216);
    assert_eq!(half::f16::from_le_bytes([weights.data[0], weights.data[1]]).to_f32(), -0.5);
}

#[test]
fn other_bytes_are_rejected() {
    for bytes in [&b""[..], b"TFL3", b"\x08\0\0\0TFL2aaaaaaaa", b"PK\x03\x04...................."] {
        assert_eq!(Model::parse(bytes), Err(TfliteError::NotTflite));
    }
    assert!(matches!(Model::parse(b"\xff\xff\xff\xffTFL3"), Err(TfliteError::Damaged { at: 0, .. })));
}

#[test]
fn invalid_tensors_are_errors() {
    let change = |change: &dyn Fn(&mut TestFile)| {
        let mut file = two_convolutions();
        change(&mut file);
        parse_error(&file)
    };
    assert!(change(&|file| file.tensors[0].shape[1] = -4).contains("tensor 0 (input)"));
    assert!(change(&|file| file.tensors[0].shape = vec![1; 9]).contains("9 axes"));
    assert!(change(&|file| file.tensors[0].shape = vec![i32::MAX; 4]).contains("too large"));
    assert!(change(&|file| file.tensors[0].dtype = 9).contains("type 9"));
    let short = change(&|file| file.tensors[3].data.truncate(14));
    assert!(short.contains("tensor 3 (first/bias/f16)") && short.contains("14 bytes"), "{short}");
    assert!(change(&|file| file.outputs = vec![99]).contains("name tensor 99 of 11"));
}

#[test]
fn invalid_operators_are_errors() {
    let change = |operator: usize, change: &dyn Fn(&mut super::test_file::TestOperator)| {
        let mut file = two_convolutions();
        change(&mut file.operators[operator]);
        parse_error(&file)
    };
    assert!(change(2, &|operator| operator.code = 99).contains("operator 2"));
    assert!(change(2, &|operator| operator.inputs[1] = 50).contains("name tensor 50"));
    assert!(change(2, &|operator| operator.inputs[1] = -2).contains("name tensor -2"));
    assert!(change(2, &|operator| operator.options.0 = 7).contains("options of kind 7"));
    assert!(change(2, &|operator| operator.options.1[1] = Field::I32(0)).contains("of 0"));
    assert!(change(2, &|operator| operator.options.1[0] = Field::U8(2)).contains("padding 2"));
    let dilated = |operator: &mut super::test_file::TestOperator| {
        operator.options.1.extend([Field::I32(1), Field::I32(2)]);
    };
    assert!(change(2, &dilated).contains("dilated by 2"));
}

#[test]
fn invalid_offsets_never_panic() {
    let bytes = two_convolutions().write();
    // every aligned word as an offset to itself, near, far, and beyond the end
    for at in (0..bytes.len() - 3).step_by(4) {
        for value in [0u32, 1, 4, 0x7fff_fff0, 0xffff_fffc, bytes.len() as u32] {
            let mut damaged = bytes.clone();
            damaged[at..at + 4].copy_from_slice(&value.to_le_bytes());
            if let Ok(model) = Model::parse(&damaged) {
                assert!(model.tensors.len() <= damaged.len() / 4);
            }
        }
    }
}

#[test]
fn truncated_files_are_errors() {
    let bytes = two_convolutions().write();
    for len in 0..bytes.len() {
        let error = Model::parse(&bytes[..len]).expect_err("a truncated file is invalid");
        assert!(matches!(error, TfliteError::NotTflite | TfliteError::Damaged { .. }), "{error}");
    }
}

#[test]
fn flipped_bytes_never_panic() {
    let bytes = two_convolutions().write();
    let mut errors = 0;
    for round in 0..20_000 {
        let mut draws = random::stream(7, "tflite.flipped", &[round]);
        let mut damaged = bytes.clone();
        for _ in 0..1 + draws.below(4) {
            let index = draws.below(damaged.len());
            damaged[index] = draws.below(256) as u8;
        }
        errors += usize::from(Model::parse(&damaged).is_err());
    }
    assert!(errors > 5_000, "{errors} of 20,000 were detected");
}
