//! The heap of an import: one tensor at a time, however large the checkpoint is.
//!
//! `POSEBOOK_CHECKPOINTS=FOLDER cargo test --release -p posebook-models --test import_memory -- --ignored --nocapture` imports
//! full-size files `vitdet*.pkl`, `regnety*.pkl` and `x101*.pkl` of a folder and prints time and heap.

use posebook_core::memory::heap::{CountingAllocator, HeapInterval};
use posebook_models::detect::mask_rcnn::{Architecture, Backbone, Config};
use posebook_models::import::{DetectorRequest, import_detector};
use posebook_models::recovery::DetectorSet;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

#[global_allocator]
static HEAP: CountingAllocator = CountingAllocator;
static GO_ON: AtomicBool = AtomicBool::new(false);

/// Heap besides the largest tensor: names and shapes, buffers of files.
const OTHER_BYTES: u64 = 8 << 20;

/// How the bytes of an array are written.
#[derive(Debug, Clone, Copy)]
enum Bytes {
    /// As bytes.
    Plain,
    /// As Latin-1 text, as Python 3 does in protocol 2.
    Text,
}

/// Writes a pickled state dict of zeros and ones.
fn write_pickle(path: &Path, config: &Config, bytes: Bytes) {
    let mut file = BufWriter::new(std::fs::File::create(path).unwrap());
    let mut put = |bytes: &[u8]| file.write_all(bytes).unwrap();
    let text = |text: &str| [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    put(b"\x80\x02}(X\x05\0\0\0model}(");
    for spec in config.tensors() {
        put(&text(&spec.key));
        put(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01(");
        spec.shape.iter().for_each(|side| put(&[&b"J"[..], &(*side as i32).to_le_bytes()].concat()));
        put(b"tcnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89");
        let values: Vec<u8> = (0..spec.shape.iter().product::<usize>())
            .flat_map(|index| if index % 3 == 0 { 1f32 } else { 0.0 }.to_le_bytes())
            .collect();
        match bytes {
            Bytes::Plain => {
                put(&[&b"B"[..], &(values.len() as u32).to_le_bytes()].concat());
                put(&values);
            }
            Bytes::Text => {
                put(b"c_codecs\nencode\n");
                put(&text(&values.iter().map(|byte| char::from(*byte)).collect::<String>()));
                put(b"X\x06\0\0\0latin1\x86R");
            }
        }
        put(b"tb");
    }
    put(b"uu.");
    file.flush().unwrap();
}

#[test]
fn the_heap_of_an_import_is_that_of_one_tensor() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::published(Architecture::X101);
    // 92 MB of weights in tensors of at most 4.2 MB
    if let Backbone::Resnext(resnext) = &mut config.backbone {
        (resnext.first_width, resnext.group_width) = (128, 4);
    }
    (config.channels, config.box_head.width, config.box_head.layers) = (64, 192, 1);
    let sizes = config.tensors().into_iter().map(|spec| 4 * spec.shape.iter().product::<usize>() as u64);
    let (largest, all) = (sizes.clone().max().unwrap(), sizes.sum::<u64>());
    assert!(all > 8 * largest, "{largest} of {all} bytes");
    for bytes in [Bytes::Plain, Bytes::Text] {
        let checkpoint = folder.path().join(format!("{bytes:?}.pkl"));
        write_pickle(&checkpoint, &config, bytes);
        let request = DetectorRequest {
            name: format!("{bytes:?}"),
            folder: folder.path().to_path_buf(),
            config: config.clone(),
            classes: None,
            checkpoint,
        };
        let interval = HeapInterval::start();
        import_detector(&request, &mut |_, _| {}, &GO_ON).unwrap();
        let peak = interval.peak_bytes();
        // text is decoded to bytes before these become numbers
        let copies = if matches!(bytes, Bytes::Plain) { 1 } else { 2 };
        let expected = copies * largest + OTHER_BYTES;
        println!(
            "{bytes:?}: {peak} bytes of heap for {all} bytes of weights, the largest tensor has {largest}"
        );
        assert!(peak < expected, "{bytes:?}: {peak} bytes, more than {expected}");
        assert!(peak < all / 2, "the import holds much of the checkpoint");
    }
}

#[test]
#[ignore = "needs full-size checkpoints: POSEBOOK_CHECKPOINTS"]
fn full_size_checkpoints_are_imported_within_little_memory() {
    let folder =
        std::env::var("POSEBOOK_CHECKPOINTS").expect("POSEBOOK_CHECKPOINTS is a folder of checkpoints");
    let mut paths: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Some(architecture) = Architecture::ALL.into_iter().find(|known| name.starts_with(known.name()))
        else {
            continue;
        };
        let output = tempfile::tempdir_in(&folder).unwrap();
        let request = DetectorRequest {
            name: "full".into(),
            folder: output.path().to_path_buf(),
            config: Config::published(architecture),
            classes: None,
            checkpoint: path,
        };
        let (start, interval) = (Instant::now(), HeapInterval::start());
        let summary = import_detector(&request, &mut |_, _| {}, &GO_ON).unwrap();
        let (secs, peak) = (start.elapsed().as_secs_f64(), interval.peak_bytes() as f64 / f64::from(1 << 20));
        println!(
            "{name}: {} tensors in {secs:.1} s, heap peak {peak:.0} MiB, left out {:?}",
            summary.tensors_used, summary.left_out
        );
        let set = DetectorSet::load(&summary.manifest).unwrap();
        let start = Instant::now();
        set.verify().unwrap();
        println!("    verified in {:.1} s", start.elapsed().as_secs_f64());
        assert!(peak < 256.0, "{peak} MiB");
    }
}
