//! Memory bounds of the built program: streaming needs constant heap at every length of the video, and preloaded
//! frames cost their own bytes.

mod common;

use common::{Project, number};

const WIDTH: u64 = 160;
const HEIGHT: u64 = 96;
const SHORT: u64 = 60;
const LONG: u64 = 480;

const EXPERIMENT: &str = r#"
question = "Is the heap flat?"
[defaults]
dataset = { name = "walkers", only = ["crossing"], people = 1, width = 160, height = 96 }
hmr2 = { batch = 1 }
[sweep]
"dataset.frames" = [60, 480]
"video.mode" = [{ extract = { store = "memory" } }, { stream = { access = "sequential" } }]
"#;

#[test]
fn streaming_needs_constant_heap_and_stored_frames_cost_their_bytes() {
    let project = Project::with_experiment("flat", EXPERIMENT);
    project.posebook(&["experiment", "run", "flat"]).succeeds();
    let runs = project.runs("flat");
    let peak = |mode: &str, frames: u64| {
        let row = runs.iter().find(|row| row["mode"] == mode && row["frames"] == frames.to_string());
        let row = row.unwrap_or_else(|| panic!("no run of {mode} with {frames} frames"));
        assert_eq!(row["outcome"], "ok", "{}", row["error"]);
        assert_eq!((row["width"].as_str(), row["height"].as_str()), ("160", "96"));
        number(row, "heap_peak_bytes")
    };
    let growth = peak("stream-sequential", LONG) - peak("stream-sequential", SHORT);
    assert!(growth <= 64.0 * 1024.0, "a stream's heap grew by {growth} bytes from {SHORT} to {LONG} frames");
    let growth = peak("extract-memory", LONG) - peak("extract-memory", SHORT);
    let stored = ((LONG - SHORT) * WIDTH * HEIGHT * 3) as f64;
    assert!((growth / stored - 1.0).abs() < 0.02, "stored frames cost {growth} bytes, and have {stored}");
}
