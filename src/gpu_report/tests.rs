use super::*;
use crate::parity::{NetworkSize, Stage};
use crate::runner::ExecuteOptions;
use crate::runner::progress::ProgressListener;
use crate::speed::{Ceiling, PrecisionResults, ProductRate, SpeedRow};
use posebook_models::device::{ComputeCapability, CudaVersion};
use posebook_models::hmr2::Precision;

fn document(torch: Option<&str>, mode: &str, rate: f64) -> SpeedReport {
    let row = |batch: usize| SpeedRow {
        mode: mode.into(),
        precision: "bf16".into(),
        batch,
        crops_per_sec: Some(rate * batch as f64),
        tflops: Some(0.25 * rate * batch as f64),
        allocated_peak_bytes: Some(1_500_000_000),
        ..SpeedRow::default()
    };
    let failed = SpeedRow { batch: 4096, error: Some("out of memory: 9 GiB | asked".into()), ..row(1) };
    SpeedReport {
        device: "NVIDIA H100".into(),
        network: "vit-h".into(),
        flop_per_crop: 250_000_000_000,
        torch: torch.map(String::from),
        precisions: vec![PrecisionResults {
            precision: "bf16".into(),
            ceiling: Ceiling { side: 8192, tflops: 800.0 },
            products: vec![ProductRate { batch: 1, tflops: 100.0 }],
            rows: vec![row(1), row(8), failed],
        }],
        skipped_for_time: vec!["f16".into()],
        secs: 3.0,
    }
}

fn report() -> GpuReport {
    let check = Check {
        set: "a".into(),
        stage: Stage::Backbone,
        size: Some(NetworkSize::Small),
        precision: Some(Precision::Bf16),
        what: "out".into(),
        values: 24576,
        largest: 0.01,
        unit: "",
        relative: 0.002,
        tolerance: 0.3,
    };
    let experiment = ExperimentSummary {
        name: "gpu-memory".into(),
        question: "Does it grow?".into(),
        runs: 8,
        failed: 1,
        verdicts: vec!["holds: streaming is flat".into()],
        as_expected: true,
    };
    GpuReport {
        date: "2026-11-22".into(),
        device: "NVIDIA H100".into(),
        gpu: None,
        context_bytes: Some(500 << 20),
        machine: Machine { cpu: None, cores: 16, memory_bytes: None, os: "linux".into(), ffmpeg: None },
        source: SourceVersion { git_hash: Some("0123456789abcdef".into()), git_dirty: Some(false) },
        kernels: vec![("basic".into(), true), ("cudnn".into(), false)],
        parity: Section::Done(vec![check]),
        experiments: vec![Section::Done(experiment), Section::Missing("no ffmpeg".into())],
        speed: Section::Done(document(None, "plain", 100.0)),
        torch: Section::Missing("python3 has no torch".into()),
        secs: 12.0,
    }
}

#[test]
fn the_report_says_what_was_measured_and_what_not() {
    let mut report = report();
    assert!(report.passed());
    insta::assert_snapshot!(page::markdown(&report, &["speed.svg"], ""));
    let Section::Done(checks) = &mut report.parity else { panic!("it was measured") };
    checks[0].largest = 1.0;
    assert!(!report.passed());
    assert!(page::markdown(&report, &[], "").contains("**out of tolerance**"));
}

#[test]
fn a_folder_contains_all_results_and_the_latest_is_shown_above() {
    let root = tempfile::tempdir().unwrap();
    let mut report = GpuReport { torch: Section::Done(document(Some("2.11"), "eager", 70.0)), ..report() };
    let folder = root.path().join(folder_name(&report.device)).join(&report.date);
    report.write(&folder).unwrap();
    assert!(!root.path().join("README.md").exists(), "no GPU was measured");
    report.gpu = Some(Gpu {
        index: 0,
        name: report.device.clone(),
        uuid: "GPU-0".into(),
        capability: ComputeCapability { major: 9, minor: 0 },
        total_bytes: 80 << 30,
        driver: Some("580.65".into()),
        cuda: CudaVersion::from_driver(13000),
    });
    report.write(&folder).unwrap();
    let read = |path: &str| std::fs::read_to_string(root.path().join(path)).unwrap();
    let latest = read("README.md");
    assert!(latest.contains("nvidia-h100/2026-11-22/figures/speed.svg"), "{latest}");
    assert!(latest.contains("PyTorch eager") && latest.contains("PyTorch 2.11, measured in the same run"));
    assert!(read("nvidia-h100/2026-11-22/figures/speed.svg").contains("<svg"));
    let json: serde_json::Value = serde_json::from_str(&read("nvidia-h100/2026-11-22/survey.json")).unwrap();
    assert_eq!(json["speed"]["done"]["precisions"][0]["rows"][1]["crops_per_sec"], 800.0);
    assert_eq!(json["notebooks"][1]["missing"], "no ffmpeg");
}

#[test]
fn a_gpu_name_becomes_a_folder_name() {
    assert_eq!(folder_name("NVIDIA H100 80GB HBM3 (MIG)"), "nvidia-h100-80gb-hbm3-mig");
}

/// Records the names of events.
#[derive(Default)]
struct Recorder(Vec<String>);

impl GpuListener for Recorder {
    fn on_event(&mut self, event: GpuEvent) {
        self.0.push(match event {
            GpuEvent::Started { device, .. } => format!("on {device}"),
            GpuEvent::OtherProcesses(others) => others.to_string(),
            GpuEvent::PartStarted(name) => format!("start {name}"),
            GpuEvent::Check(_) => "check".to_string(),
            GpuEvent::Speed(row) => format!("{} {} {}", row.precision, row.mode, row.batch),
            GpuEvent::PartDone { name, .. } => format!("done {name}"),
            GpuEvent::PartFailed { name, message } => format!("failed {name}: {message}"),
        });
    }

    fn experiment_listener(&mut self) -> Box<dyn ProgressListener> {
        panic!("no experiment runs on the CPU")
    }
}

#[test]
fn requested_parts_are_measured_and_the_others_are_missing() {
    let root = tempfile::tempdir().unwrap();
    let request = GpuRequest {
        device: "cpu".into(),
        parts: vec![Part::Pipeline, Part::Speed, Part::Torch],
        precisions: vec![Precision::F32],
        batches: vec![1],
        small: true,
        goldens: root.path().into(),
        torch_script: root.path().join("none.py"),
        out: root.path().into(),
        folder: root.path().into(),
        options: ExecuteOptions::this_program().unwrap(),
    };
    let mut recorder = Recorder::default();
    let (report, folder) = run(&request, &mut recorder).unwrap();
    assert!(report.speed.done().unwrap().precisions[0].rows[0].crops_per_sec.unwrap() > 0.0);
    let no_script = format!("there is no script {}", request.torch_script.display());
    let expected = [
        "on cpu",
        "start speed",
        "f32 plain 1",
        "done speed",
        "start PyTorch",
        &format!("failed PyTorch: {no_script}"),
        "start gpu-agreement",
        "failed gpu-agreement: gpu-agreement needs a GPU",
    ];
    assert_eq!(recorder.0, expected);
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("survey.json")).unwrap()).unwrap();
    assert_eq!(json["parity"]["missing"], "parity was not requested");
    assert_eq!(json["notebooks"][3]["missing"], "published-claims was not requested");
    assert_eq!(json["torch"]["missing"], no_script.as_str());
    assert!(folder.starts_with(root.path().join("cpu")) && folder.join("report.md").is_file());
}
