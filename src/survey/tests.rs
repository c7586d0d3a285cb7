use super::*;
use crate::device::card::{Capability, Version};
use crate::hmr2::Precision;
use crate::parity::{Size, Stage};
use crate::speed::{Ceiling, OfPrecision, Rate, Row};

fn document(torch: Option<&str>, mode: &str, rate: f64) -> Document {
    let row = |batch: usize| Row {
        mode: mode.into(),
        precision: "bf16".into(),
        batch,
        crops_per_sec: Some(rate * batch as f64),
        tflops: Some(0.25 * rate * batch as f64),
        allocated_peak_bytes: Some(1_500_000_000),
        ..Row::default()
    };
    let failed = Row { batch: 4096, error: Some("out of memory: 9 GiB | asked".into()), ..row(1) };
    Document {
        device: "NVIDIA H100".into(),
        network: "vit-h".into(),
        flop_per_crop: 250_000_000_000,
        torch: torch.map(String::from),
        precisions: vec![OfPrecision {
            precision: "bf16".into(),
            ceiling: Ceiling { side: 8192, tflops: 800.0 },
            products: vec![Rate { batch: 1, tflops: 100.0 }],
            rows: vec![row(1), row(8), failed],
        }],
        skipped_for_time: vec!["f16".into()],
        secs: 3.0,
    }
}

fn survey() -> Survey {
    let check = Check {
        set: "a".into(),
        stage: Stage::Backbone,
        size: Some(Size::Small),
        precision: Some(Precision::Bf16),
        what: "out".into(),
        values: 24576,
        largest: 0.01,
        unit: "",
        relative: 0.002,
        tolerance: 0.3,
    };
    let notebook = Notebook {
        name: "gpu-memory".into(),
        question: "Does it grow?".into(),
        runs: 8,
        failed: 1,
        verdicts: vec!["holds: streaming is flat".into()],
        as_expected: true,
    };
    Survey {
        date: "2026-11-22".into(),
        device: "NVIDIA H100".into(),
        card: None,
        context_bytes: Some(500 << 20),
        machine: Machine { cpu: None, cores: 16, memory_bytes: None, os: "linux".into(), ffmpeg: None },
        source: Source { git_hash: Some("0123456789abcdef".into()), git_dirty: Some(false) },
        kernels: vec![("basic".into(), true), ("cudnn".into(), false)],
        parity: Part::Done(vec![check]),
        notebooks: vec![Part::Done(notebook), Part::Missing("no ffmpeg".into())],
        speed: Part::Done(document(None, "plain", 100.0)),
        torch: Part::Missing("python3 has no torch".into()),
        secs: 12.0,
    }
}

#[test]
fn the_report_says_what_was_measured_and_what_not() {
    let mut survey = survey();
    assert!(survey.is_sound());
    insta::assert_snapshot!(page::markdown(&survey, &["speed.svg"], ""));
    let Part::Done(checks) = &mut survey.parity else { panic!("it was measured") };
    checks[0].largest = 1.0;
    assert!(!survey.is_sound());
    assert!(page::markdown(&survey, &[], "").contains("**too far**"));
}

#[test]
fn a_folder_holds_all_of_it_and_the_newest_is_shown_above() {
    let root = tempfile::tempdir().unwrap();
    let mut survey = Survey { torch: Part::Done(document(Some("2.11"), "eager", 70.0)), ..survey() };
    let folder = root.path().join(folder_name(&survey.device)).join(&survey.date);
    survey.write(&folder).unwrap();
    assert!(!root.path().join("README.md").exists(), "there was no card");
    survey.card = Some(Card {
        index: 0,
        name: survey.device.clone(),
        uuid: "GPU-0".into(),
        capability: Capability { major: 9, minor: 0 },
        total_bytes: 80 << 30,
        driver: Some("580.65".into()),
        cuda: Version::of_driver(13000),
    });
    survey.write(&folder).unwrap();
    let read = |path: &str| std::fs::read_to_string(root.path().join(path)).unwrap();
    let newest = read("README.md");
    assert!(newest.contains("nvidia-h100/2026-11-22/figures/speed.svg"), "{newest}");
    assert!(newest.contains("PyTorch eager") && newest.contains("PyTorch 2.11, in the same run"));
    assert!(read("nvidia-h100/2026-11-22/figures/speed.svg").contains("<svg"));
    let json: serde_json::Value = serde_json::from_str(&read("nvidia-h100/2026-11-22/survey.json")).unwrap();
    assert_eq!(json["speed"]["done"]["precisions"][0]["rows"][1]["crops_per_sec"], 800.0);
    assert_eq!(json["notebooks"][1]["missing"], "no ffmpeg");
}

#[test]
fn a_card_names_a_folder() {
    assert_eq!(folder_name("NVIDIA H100 80GB HBM3 (MIG)"), "nvidia-h100-80gb-hbm3-mig");
}
