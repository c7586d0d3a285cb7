//! Runs of the built program: reproducible, resumable, and with complete rows when they fail.

mod common;

use common::{Project, Row, number, rows};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

const SMALL: &str = r#"
question = "Are runs reproducible?"
[defaults]
dataset = { name = "walkers", only = ["crossing"], people = 2, width = 160, height = 96, frames = 16 }
[defaults.detect]
jitter = 0.05
[sweep]
"video.mode" = [
    { extract = { store = "jpeg" } },
    { extract = { store = "png" } },
    { stream = { access = "seek" } },
    { stream = { access = "sequential" } },
]
"#;

/// Whether a column may differ between two equal runs: times, dates, and memory that depends on the kernel or on other
/// threads' allocations.
fn is_volatile(column: &str) -> bool {
    column.ends_with("_secs")
        || column.ends_with("_bytes") && column != "clip_bytes"
        || column == "started_utc"
}

/// The rows without volatile columns.
fn stable_columns(rows: &[Row]) -> Vec<Row> {
    let keep = |row: &Row| {
        row.iter().filter(|(key, _)| !is_volatile(key)).map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    rows.iter().map(keep).collect()
}

fn people(project: &Project) -> Vec<u8> {
    std::fs::read(project.path("reports/small/latest/people.parquet")).unwrap()
}

#[test]
fn batches_of_frames_give_the_same_results() {
    let toml = SMALL
        .replace("frames = 16", "frames = 11")
        .replace("[sweep]\n", "[sweep]\n\"hmr2.frames\" = [1, 4]\n");
    let project = Project::with_experiment("small", &toml);
    let only = "video.mode=stream-sequential";
    project.posebook(&["experiment", "run", "small", only]).succeeds();
    let rows = project.runs("small");
    assert_eq!(rows.len(), 2);
    for column in ["outcome", "frames", "people", "mpjpe_mm", "pa_mpjpe_mm", "hota", "idf1"] {
        assert_eq!(rows[0][column], rows[1][column], "{column}");
    }
    assert!(rows.iter().all(|row| number(row, "latency_secs") > 0.0));
}

#[test]
fn a_quick_run_executes_the_smaller_experiment() {
    let quick =
        "[quick]\n\"dataset.frames\" = 5\n\"video.mode\" = [{ stream = { access = \"sequential\" } }]\n";
    let project = Project::with_experiment("small", &format!("{SMALL}{quick}"));
    project.posebook(&["experiment", "run", "small", "--quick"]).succeeds();
    let runs = project.runs("small");
    assert_eq!((runs.len(), runs[0]["frames"].as_str()), (1, "5"));
    let report =
        |name: &str| std::fs::read_to_string(project.path("reports/small/latest").join(name)).unwrap();
    assert!(report("experiment.toml").contains("is_quick = true"));
    assert!(report("report.md").contains("quick version"));
    let listed = project.posebook(&["experiment", "list"]).succeeds();
    let listed = String::from_utf8_lossy(&listed.0.stdout).into_owned();
    assert!(listed.contains("4 runs, about") && listed.contains("; --quick: 1 run, about"), "{listed}");
}

/// The seconds in `about 7 min left`.
fn secs_left(plan: &str) -> f64 {
    let (_, text) = plan.rsplit_once("about ").unwrap_or_else(|| panic!("no time in {plan}"));
    let words: Vec<&str> = text.split_whitespace().collect();
    let units = [("s", 1.0), ("min", 60.0), ("h", 3600.0)];
    let part = |pair: &[&str]| {
        let (_, size) = units.iter().find(|(unit, _)| *unit == pair[1])?;
        Some(pair[0].parse::<f64>().ok()? * size)
    };
    words.chunks_exact(2).map_while(part).sum()
}

#[test]
fn time_estimates_follow_the_network_and_the_requested_frames() {
    let project = Project::with_experiment("small", SMALL);
    let planned = |given: &[&str]| {
        let planned = project.posebook(&[&["experiment", "run", "small", "--dry-run"][..], given].concat());
        String::from_utf8_lossy(&planned.succeeds().0.stdout).into_owned()
    };
    let tiny = planned(&[]);
    // hundreds of times the operations, plus what a frame costs with any network
    let published = planned(&["model=hmr2-formula"]);
    assert!(secs_left(&published) > 5.0 * secs_left(&tiny), "{published}\n{tiny}");
    let some = planned(&["video.start_frame=4", "video.end_frame=10", "video.every=2"]);
    assert_eq!(some.matches("160x96, 3 frames").count(), 4, "{some}");
    assert!(secs_left(&some) < secs_left(&tiny), "{some}\n{tiny}");
}

#[test]
fn repeated_and_resumed_experiments_give_the_same_results() {
    let whole = Project::with_experiment("small", SMALL);
    whole.posebook(&["experiment", "run", "small"]).succeeds();
    let first = whole.runs("small");
    assert_eq!(first.len(), 4);
    for row in &first {
        assert_eq!(row["outcome"], "ok", "{}", row["error"]);
        assert!(number(row, "people") > 0.0 && number(row, "heap_peak_bytes") > 0.0);
        assert_eq!(row["device_peak_bytes"], "");
        if row["mode"] != "stream-sequential" && row["mode"] != "extract-jpeg" {
            assert_eq!(number(row, "agree_joint_max_mm"), 0.0);
        }
    }
    let first_people = people(&whole);

    // stored runs are found and not repeated
    let again = whole.posebook(&["experiment", "run", "small", "--dry-run"]).succeeds();
    assert_eq!(String::from_utf8_lossy(&again.0.stdout).matches(": done").count(), 4);
    // repeated runs give the same bytes
    whole.posebook(&["experiment", "run", "small", "--fresh"]).succeeds();
    assert_eq!(stable_columns(&whole.runs("small")), stable_columns(&first));
    assert!(people(&whole) == first_people, "the people of a second run differ from the first's");

    // interrupted after the first run, then resumed
    let broken = Project::with_experiment("small", SMALL);
    let mut command = broken.command(&["experiment", "run", "small"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(300);
    while finished(&broken).is_empty() && child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "no run was finished");
        std::thread::sleep(Duration::from_millis(5));
    }
    let process = nix::unistd::Pid::from_raw(child.id() as i32);
    nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let stored = finished(&broken).len();
    assert!((1..4).contains(&stored), "{stored} runs were stored");
    let output = broken.posebook(&["experiment", "run", "small"]).succeeds();
    let text = String::from_utf8_lossy(&output.0.stdout).into_owned();
    assert!(text.contains(&format!("({stored} reused)")), "{text}");
    assert_eq!(stable_columns(&broken.runs("small")), stable_columns(&first));
    assert!(people(&broken) == first_people, "the people of a resumed experiment differ");
}

/// A child of `parent` with this name, by `/proc`.
#[cfg(target_os = "linux")]
fn child_of(parent: u32, name: &str) -> Option<u32> {
    let matching_pid = |entry: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let (head, tail) = stat.rsplit_once(')')?;
        let (pid, program) = head.split_once(" (")?;
        let parent_id = tail.split_whitespace().nth(1)?.parse::<u32>().ok()?;
        (program == name && parent_id == parent).then(|| pid.parse().ok())?
    };
    std::fs::read_dir("/proc").unwrap().flatten().find_map(matching_pid)
}

#[cfg(target_os = "linux")]
#[test]
fn finished_runs_are_stored_after_a_schedulers_signal() {
    use nix::sys::signal::{Signal::SIGUSR1, kill};
    let project = Project::with_experiment("small", SMALL);
    let mut command = project.command(&["experiment", "run", "small"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(300);
    let send = |process: u32| kill(nix::unistd::Pid::from_raw(process.cast_signed()), SIGUSR1);
    let mut worker = None;
    while finished(&project).is_empty() || worker.is_none() {
        assert!(Instant::now() < deadline && child.try_wait().unwrap().is_none(), "no run was finished");
        worker = child_of(child.id(), "posebook");
        std::thread::sleep(Duration::from_millis(2));
    }
    // to every process of the job, twice to the main process; the worker may have ended meanwhile
    let _ = worker.map(send);
    send(child.id()).unwrap();
    let _ = send(child.id());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let stored = finished(&project).len();
    assert!((1..4).contains(&stored), "{stored} runs were stored");
    let rows = project_rows(&project);
    assert_eq!(rows.len(), stored);
    assert!(rows.iter().all(|row| row["outcome"] == "ok"), "{rows:?}");
    assert_eq!(std::fs::read_dir(project.path(".posebook/work")).unwrap().count(), 0);
}

/// The rows of the only report.
#[cfg(target_os = "linux")]
fn project_rows(project: &Project) -> Vec<Row> {
    let mut reports = std::fs::read_dir(project.path("reports/small")).unwrap().flatten();
    rows(&reports.next().unwrap().path().join("runs.csv"))
}

/// Folders of the stored runs.
fn finished(project: &Project) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(project.path(".posebook/runs")).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

#[test]
fn failed_runs_are_rows_and_the_others_continue() {
    let project = Project::with_experiment("small", SMALL);
    let limited = ["experiment", "run", "small", "sweep.limits.host_mib=[8, 4000]", "video.mode=stream-seek"];
    let output = project.posebook(&limited);
    let runs = project.runs("small");
    assert_eq!(runs.len(), 2, "{}", output.errors());
    assert_eq!(runs[0]["outcome"], "out_of_memory", "{}", runs[0]["error"]);
    assert!(runs[0]["error"].contains("limits.host_mib"), "{}", runs[0]["error"]);
    assert_eq!((runs[0]["hota"].as_str(), runs[1]["outcome"].as_str()), ("", "ok"));

    project.posebook(&["experiment", "run", "small", "limits.wall_secs=0.05", "video.mode=extract-memory"]);
    let runs = project.runs("small");
    assert_eq!(runs[0]["outcome"], "timed_out", "{}", runs[0]["error"]);
}

#[test]
fn a_file_that_is_not_a_video_is_a_failed_row() {
    let project = Project::with_experiment("small", SMALL);
    let dataset = "kind = \"files\"\nabout = \"broken\"\n[[clip]]\nname = \"noise\"\nvideo = \"noise.mp4\"\n";
    std::fs::write(project.path("noise.mp4"), [7; 5000]).unwrap();
    let set = project.path("set.toml");
    std::fs::write(&set, dataset).unwrap();
    let choice = format!("dataset={{ name = \"{}\" }}", set.display());
    project.posebook(&["experiment", "run", "small", &choice, "video.mode=stream-seek"]);
    let runs = rows(&project.path("reports/small/latest/runs.csv"));
    assert_eq!((runs.len(), runs[0]["outcome"].as_str()), (1, "error"));
    assert!(runs[0]["error"].contains("noise.mp4"), "{}", runs[0]["error"]);
}

const SEARCH: &str = r#"
question = "How long a video fits?"
[defaults]
dataset = { name = "walkers", only = ["crossing"], people = 1, width = 320, height = 180, frames = 256 }
device = "cpu"
limits = { host_mib = 68 }
[sweep]
"video.mode" = [{ extract = { store = "memory" } }, { stream = { access = "sequential", queue_mib = 1 } }]
[search]
"video.end_frame" = { from = 4, to = 256, within = 0.5, step = 4 }
[[cell]]
claim = "More fits where frames are not stored"
sql = "select count(*) from runs where search_edge = 'largest_ok' and mode = 'extract-memory'"
holds = { equals = 1.0, unit = "edges" }
"#;

/// The tries of one mode in order: value, outcome and edge.
fn tries<'r>(rows: &'r [Row], mode: &str) -> Vec<(f64, &'r str, &'r str)> {
    let rows = rows.iter().filter(|row| row["mode"] == mode);
    rows.map(|row| (number(row, "search_value"), row["outcome"].as_str(), row["search_edge"].as_str()))
        .collect()
}

#[test]
fn a_search_finds_the_longest_video_within_a_budget() {
    let project = Project::with_experiment("longest", SEARCH);
    let planned = project.posebook(&["experiment", "run", "longest", "--dry-run"]).succeeds();
    let planned = String::from_utf8_lossy(&planned.0.stdout).into_owned();
    assert!(planned.contains("video.end_frame from 4 to 256: to do: at most"), "{planned}");

    project.posebook(&["experiment", "run", "longest"]).succeeds();
    let rows = project.runs("longest");
    assert!(rows.iter().all(|row| row["search_key"] == "video.end_frame"));
    let mut ok = rows.iter().filter(|row| row["outcome"] == "ok");
    assert!(ok.all(|row| number(row, "frames") == number(row, "search_value")));
    assert_eq!(
        tries(&rows, "stream-sequential"),
        [(4.0, "ok", ""), (256.0, "ok", "largest_ok")],
        "{:?}",
        rows.iter().map(|row| &row["error"]).collect::<Vec<_>>()
    );
    let in_memory = tries(&rows, "extract-memory");
    let edge = |which: &str| in_memory.iter().find(|(_, _, edge)| *edge == which).copied().unwrap();
    let ((fits, ok, _), (fails, why, _)) = (edge("largest_ok"), edge("smallest_failed"));
    assert_eq!((ok, why), ("ok", "out_of_memory"));
    // the budget minus the program's own memory, in frames of 172,800 bytes
    assert!(fits >= 16.0 && fails <= 256.0 && fails / fits <= 1.5, "{in_memory:?}");

    // failures are results of a search, too: nothing is repeated
    let again = project.posebook(&["experiment", "run", "longest"]).succeeds();
    let again = String::from_utf8_lossy(&again.0.stdout).into_owned();
    assert!(again.contains(&format!("{0} runs ({0} reused)", rows.len())), "{again}");
    assert_eq!(tries(&project.runs("longest"), "extract-memory"), in_memory);
}

#[test]
#[cfg(not(feature = "cuda"))]
fn runs_that_need_a_gpu_are_skipped_without_one() {
    let device = "    { extract = { store = \"device\" } },\n    { stream = { access = \"seek\" } },";
    let toml =
        SMALL.replace("    { stream = { access = \"seek\" } },", device).replace("frames = 16", "frames = 4");
    let project = Project::with_experiment("small", &toml);
    let output = project.posebook(&["experiment", "run", "small"]).succeeds();
    let skipped = "left out: extract-device: 1 run that would need a GPU";
    assert!(output.errors().contains(skipped), "{}", output.errors());
    let rows = project.runs("small");
    assert!(rows.len() == 4 && rows.iter().all(|row| row["outcome"] == "ok"));
    let resolved = std::fs::read_to_string(project.path("reports/small/latest/experiment.toml")).unwrap();
    assert!(resolved.contains("extract-device: 1 run that would"), "{resolved}");
    let all = project.posebook(&["experiment", "run", "small", "video.mode=extract-device"]);
    assert!(all.errors().contains("nothing can be run here: extract-device"), "{}", all.errors());
    let by_name =
        project.posebook(&["experiment", "run", "small", "video.mode=extract-device", "device=cpu"]);
    assert!(by_name.0.status.success() && project.runs("small")[0]["outcome"] == "error");
}
