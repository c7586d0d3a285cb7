//! Views for tests: every state, hostile names, many jobs.

use crate::backend::{DeviceInfo, ExperimentInfo, MemorySample, StageTime, Timeline, TrackRow};
use crate::dispatch::DeviceState;
use crate::job::{
    Failure, FailureKind, Job, JobId, JobKind, JobRequest, JobState, Progress, ResultFile, Source,
};
use crate::page::{JobRow, JobView, QueueView};
use serde_json::{Map, json};
use uuid::Uuid;

/// Names and texts that break pages which do not escape them.
pub const HOSTILE: [&str; 9] = [
    "\"><img src=x onerror=alert(1)>.mp4",
    "</script></title></textarea><script>alert(1)</script>",
    "${7*7} {{7*7}} <%= 7*7 %>",
    "a\r\nSet-Cookie: x=1.mp4",
    "../../x",
    "\u{202e}4pm.txt",
    "' onmouseover='alert(1)",
    "javascript:alert(1)",
    "&lt;b&gt; &amp;amp; <!-- --><![CDATA[",
];

/// 2026-11-28 12:09:35 UTC.
const NOON: i64 = 1_795_867_775_000;

pub fn job(number: u64, state: JobState, name: &str) -> Job {
    let has_started = state != JobState::Queued;
    let mut settings = Map::new();
    if number.is_multiple_of(2) {
        settings.insert("video.every".to_string(), json!(2));
    }
    Job {
        id: JobId(Uuid::from_u128(u128::from(number) + 0x0d4f_6c3e_9b1a_4c55_8d21_0000_0000_0000)),
        request: JobRequest {
            kind: JobKind::Track,
            source: vec![Source::Upload("0123456789abcdef0123456789abcdef".to_string())],
            boxes: None,
            experiment: None,
            settings,
            priority: 0,
            webhook: None,
            webhook_events: Vec::new(),
            keep: None,
            prediction: None,
        },
        name: name.to_string(),
        resolved: None,
        state,
        attempt: u32::from(has_started),
        server_crashes: 0,
        device: has_started.then(|| "cuda:0".to_string()),
        progress: has_started.then(|| Progress {
            stage: "run".to_string(),
            done: 120,
            of: Some(300),
            rate: Some(5.2),
            seconds_left: Some(34.6),
        }),
        failure: None,
        files: Vec::new(),
        retry_of: None,
        created: NOON - 600_000 - 1000 * number.min(500_000) as i64,
        started: has_started.then_some(NOON - 300_000),
        ended: state.is_final().then_some(NOON - 8_000),
        expires: state.is_final().then_some(NOON + 604_800_000),
        expired: false,
        revision: 4,
    }
}

pub fn failed(number: u64, name: &str, message: &str) -> Job {
    let mut changed_settings = Map::new();
    changed_settings.insert("video.every".to_string(), json!(2));
    let failure = Failure {
        kind: FailureKind::OutOfMemory,
        message: message.to_string(),
        advice: Some("It fits with video.every=2, which keeps half of the frames.".to_string()),
        changed_settings,
    };
    Job { failure: Some(failure), ..job(number, JobState::Failed, name) }
}

pub fn succeeded(number: u64, name: &str) -> Job {
    let file = |name: &str, bytes, media_type: &str| ResultFile {
        name: name.to_string(),
        bytes,
        sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_string(),
        media_type: media_type.to_string(),
    };
    let files = vec![
        file("overlay.mp4", 12_345_678, "video/mp4"),
        file("people.parquet", 845_000, "application/vnd.apache.parquet"),
        file("people.csv", 2_845_000, "text/csv"),
        file("tracks/100%.pkl", 9_400_000, "application/octet-stream"),
    ];
    Job { files, ..job(number, JobState::Succeeded, name) }
}

pub fn reconstructed(number: u64, image: &str) -> Job {
    let mut job = succeeded(number, "team.jpg");
    job.request.kind = JobKind::Reconstruct;
    for (file, name) in job.files.iter_mut().zip([image, "team_0.png"]) {
        file.name = name.to_string();
        file.media_type = "image/png".to_string();
    }
    job
}

pub fn row(job: Job, position: Option<u64>) -> JobRow {
    let estimated_wait = position.map(|place| 140.0 * (place + 1) as f64);
    JobRow { job, position, estimated_wait, source_bytes: Some(48_200_000) }
}

pub fn queue(jobs: Vec<JobRow>) -> QueueView {
    let device = |name: &str, job, blocked: Option<&str>| DeviceState {
        device: name.to_string(),
        job,
        blocked: blocked.map(str::to_string),
    };
    let info = |name: &str, model: &str, memory| DeviceInfo {
        name: name.to_string(),
        model: model.to_string(),
        uuid: None,
        memory_bytes: memory,
    };
    QueueView {
        version: "0.1.0 (a8eaea2)".to_string(),
        newest_event: 7,
        devices: vec![
            device("cuda:0", Some(job(3, JobState::Running, "").id), None),
            device("cuda:1", None, Some("used by another process: wait, or stop process 4711")),
            device("cpu", None, None),
        ],
        device_infos: vec![
            info("cuda:0", "NVIDIA H100", Some(85_000_000_000)),
            info("cuda:1", "NVIDIA H100", Some(85_000_000_000)),
            info("cpu", "", None),
        ],
        queued: jobs.iter().filter(|row| row.job.state == JobState::Queued).count() as u64,
        jobs,
        free_bytes: Some(25_000_000_000),
        estimated_wait: Some(420.0),
        experiments: vec![
            ExperimentInfo { name: "quickstart".to_string(), question: "How fast is it?".to_string() },
            ExperimentInfo { name: "memory-of-results".to_string(), question: "What grows?".to_string() },
        ],
        needs_token: true,
        allows_paths: true,
        allows_urls: false,
        is_draining: false,
        is_older: false,
        next_page_after: None,
    }
}

pub fn usual_queue() -> QueueView {
    queue(vec![
        row(job(9, JobState::Queued, "evening.mov"), Some(1)),
        row(job(8, JobState::Queued, "GX010042_stabilized_4k_60fps_take_two_final.mp4"), Some(0)),
        row(job(3, JobState::Running, "street crossing.mp4"), None),
        row(job(4, JobState::Canceling, "dance.mp4"), None),
        row(succeeded(5, "walk.mp4"), None),
        row(
            failed(
                6,
                "stadium.mp4",
                "out of memory: the decoder held 4096 frames of 3840 x 2160 on cuda:0, 96.4 GB of 79.6 GB",
            ),
            None,
        ),
        row(job(7, JobState::Canceled, "test.mp4"), None),
    ])
}

pub fn timeline() -> Timeline {
    let track = |id, color: &str, observed: &[(u64, u64)], predicted: &[(u64, u64)]| TrackRow {
        id,
        color: color.to_string(),
        observed: observed.to_vec(),
        predicted: predicted.to_vec(),
    };
    Timeline {
        fps: 25.0,
        frames: 300,
        first_frame: 0,
        every: 1,
        cuts: vec![110, 221],
        tracks: vec![
            track(1, "#e6194b", &[(0, 84), (96, 110), (110, 214)], &[(84, 96), (214, 221)]),
            track(2, "#3cb44b", &[(12, 110)], &[]),
            track(3, "#4363d8", &[(110, 150), (160, 221), (221, 300)], &[(150, 160)]),
            track(14, "#f58231", &[(225, 290)], &[(290, 300)]),
        ],
    }
}

pub fn memory() -> Vec<MemorySample> {
    (0..200)
        .map(|index| {
            let phase = f64::from(index) / 199.0;
            let wave = (phase * 40.0).sin().abs();
            MemorySample {
                seconds: phase * 57.5,
                heap_bytes: Some((2.2e8 + 1.5e8 * wave) as u64),
                process_bytes: Some((6.0e8 + 3.1e8 * phase + 1.4e8 * wave) as u64),
                device_bytes: Some(if phase > 0.1 { 1_420_000_000 } else { 0 }),
                disk_bytes: Some((4.0e8 * phase) as u64),
            }
        })
        .collect()
}

pub fn stages() -> Vec<StageTime> {
    let stage = |name: &str, busy, waiting, waits_for: Option<&str>, units| StageTime {
        stage: name.to_string(),
        busy_seconds: busy,
        waiting_seconds: waiting,
        waits_for: waits_for.map(str::to_string),
        units,
    };
    vec![
        stage("decode", 4.1, Some(44.0), Some("recover"), Some(300)),
        stage("detect", 18.4, Some(2.0), Some("decode"), Some(300)),
        stage("recover", 46.2, Some(0.4), Some("detect"), Some(812)),
        stage("track", 1.9, Some(45.8), Some("recover"), Some(300)),
        stage("overlay", 9.6, None, None, Some(300)),
    ]
}

pub fn view(job: Job) -> JobView {
    let has_results = job.state == JobState::Succeeded && !job.expired;
    JobView {
        version: "0.1.0 (a8eaea2)".to_string(),
        newest_event: 7,
        sources: vec![(
            r"C:\Users\me\clips\walk in the park.mp4".to_string(),
            Some("/mnt/c/Users/me/clips/walk in the park.mp4".to_string()),
        )],
        settings_toml: "[video]\nevery = 2\nmode = { stream = { queue_mib = 64 } }\n\n[hmr2]\nbatch = 8\nprecision = \"f32\"\n"
            .to_string(),
        origin: "http://127.0.0.1:7878".to_string(),
        needs_token: false,
        position: (job.state == JobState::Queued).then_some(2),
        estimated_wait: (job.state == JobState::Queued).then_some(420.0),
        timeline: has_results.then(timeline),
        memory: if has_results { memory() } else { Vec::new() },
        stages: if has_results { stages() } else { Vec::new() },
        log_tail: "12:04:10 loads models/tiny.safetensors\n12:04:11 decodes 300 frames of 1920 x 1080 at 25 per second\n12:04:58 4 tracks\n"
            .to_string(),
        unreadable: Vec::new(),
        job,
    }
}
