//! Renders a small report from tables made here, also with bad tables and queries.

use super::*;
use crate::cell::{Bounds, Claim, Figure, FigureKind, FigureSpec, Requirement, Table};
use crate::tables::{RunRow, files};
use posebook_core::labels::{Outcome, Precision};

fn run(mode: &str, frames: u64, repeat: u64, heap_bytes: Option<u64>) -> RunRow {
    let mut row = RunRow {
        run_id: format!("{mode}-{frames}-{repeat}").replace(' ', "-"),
        experiment: "growth".into(),
        mode: mode.parse().ok(),
        outcome: if heap_bytes.is_some() { Outcome::Ok } else { Outcome::OutOfMemory },
        error: heap_bytes.is_none().then(|| "grew beyond <limits.host_mib>\nafter 200 frames".to_string()),
        repeat,
        dataset: "walkers".into(),
        clip: "crossing".into(),
        clip_sha256: Some("c1".repeat(32)),
        width: Some(1280),
        height: Some(720),
        frames: Some(frames),
        model: "tiny".into(),
        weights_sha256: Some("3f".repeat(32)),
        precision: Precision::F32,
        device: "cpu".into(),
        seed: 1,
        git_hash: Some("c474eeaf00".repeat(4)),
        git_dirty: Some(true),
        cpu: Some("A processor".into()),
        cores: Some(2),
        machine_memory_bytes: Some(17_179_869_184),
        os: Some("linux x86_64".into()),
        ffmpeg: Some("ffmpeg version 5.1 Copyright (c) 2000-2022 the FFmpeg developers".into()),
        started_utc: Some(format!("2026-11-22T15:0{repeat}:00Z")),
        ..RunRow::default()
    };
    row.metrics.timing.wall_secs = Some(0.05 * frames as f64);
    row.metrics.host.heap_peak_bytes = heap_bytes;
    row.metrics.tracking.hota = heap_bytes.map(|_| 0.8125);
    row
}

fn rows() -> Vec<RunRow> {
    let mut rows = Vec::new();
    for frames in [60, 120, 240] {
        for repeat in 1..=2 {
            let memory = (frames < 240).then_some(50_000_000 + frames * 2_764_800);
            rows.push(run("extract-memory", frames, repeat, memory));
            rows.push(run("stream-sequential", frames, repeat, Some(50_000_000 + 100 * repeat)));
        }
    }
    rows
}

fn write_tables(rows: &[RunRow]) -> (tempfile::TempDir, ReportTables) {
    let folder = tempfile::tempdir().unwrap();
    files::write_with_csv(folder.path(), rows).unwrap();
    let tables = ReportTables::new(folder.path());
    (folder, tables)
}

fn figure(kind: FigureKind, x: &str, y: &str, by: Option<&str>, sql: &str) -> Cell {
    let spec = FigureSpec {
        title: format!("{y} & {x}"),
        kind,
        x: x.into(),
        y: Some(y.into()),
        by: by.map(String::from),
        ..FigureSpec::default()
    };
    Cell::Figure(Figure { spec, sql: sql.into(), needs: None })
}

fn claim(statement: &str, sql: &str, holds: Bounds, expect: Verdict) -> Cell {
    let source = Some("its README".to_string());
    Cell::Claim(Claim { statement: statement.into(), source, sql: sql.into(), holds, expect, needs: None })
}

fn below(bound: f64, unit: &str) -> Bounds {
    Bounds { below: Some(bound), unit: unit.into(), ..Bounds::default() }
}

fn cells() -> Vec<Cell> {
    let slope = |mode: &str| {
        format!(
            "select covar_samp(heap_peak_bytes, frames) / var(frames) from runs where outcome = 'ok' and mode = '{mode}'"
        )
    };
    let table = "select mode, frames, count(*) as runs, max(heap_peak_bytes) as heap_peak_bytes,
                        avg(hota) as hota, avg(wall_secs) as wall_secs, max(device_peak_bytes) as device_peak_bytes
                 from runs group by mode, frames";
    vec![
        Cell::Text("Why *this* <b>question</b>?\n\n## How it is measured\n\nIn processes.".into()),
        claim(
            "Streaming stays flat",
            &slope("stream-sequential"),
            below(1024.0, "bytes per frame"),
            Verdict::Holds,
        ),
        claim(
            "Extraction stays flat",
            &slope("extract-memory"),
            below(1024.0, "bytes per frame"),
            Verdict::Refuted,
        ),
        claim("It | is fast", "select max(wall_secs) from runs", below(1.5, "seconds"), Verdict::Holds),
        claim(
            "The GPU is idle",
            "select max(device_peak_bytes) from runs",
            below(1.0, "bytes"),
            Verdict::Holds,
        ),
        figure(
            FigureKind::Line,
            "frames",
            "heap_peak_bytes",
            Some("mode"),
            "select frames, mode, heap_peak_bytes from runs",
        ),
        Cell::Table(Table {
            title: "All of it".into(),
            note: Some("Means of repeats.".into()),
            sql: table.into(),
            needs: None,
        }),
        figure(
            FigureKind::ContactSheet,
            "run_id",
            "",
            Some("mode"),
            "select run_id, mode from runs where frames = 60 and repeat = 1",
        ),
    ]
}

fn notebook(cells: &[Cell]) -> Notebook<'_> {
    Notebook { name: "growth", question: "Does <it> grow?", is_quick: false, left_out: &[], cells }
}

fn page(cells: &[Cell], rows: &[RunRow], images: &[SheetImage]) -> RenderedReport {
    let (_folder, tables) = write_tables(rows);
    render(&notebook(cells), &tables, images).unwrap()
}

fn sheet_image() -> SheetImage {
    SheetImage {
        run_id: "stream-sequential-60-1".into(),
        frame: Some(15),
        path: "strips/stream-sequential-60-1-frame-15.jpg".into(),
        media_type: "image/jpeg",
        bytes: vec![0xff, 0xd8],
    }
}

#[test]
fn the_page_in_markdown() {
    let page = page(&cells(), &rows(), &[sheet_image()]);
    insta::assert_snapshot!(page.markdown, @r#"
    # Does &lt;it> grow?

    1 claim holds, 2 claims are refuted, 1 claim was not measured; 1 unexpected.

    | verdict | claim | measured | holds if | |
    | --- | --- | ---: | --- | --- |
    | **holds** | Streaming stays flat | 0 bytes per frame | below 1 KiB per frame | as expected |
    | **refuted** | Extraction stays flat | 2.64 MiB per frame | below 1 KiB per frame | as expected |
    | **refuted** | It \| is fast | 12 s | below 1.5 s | unexpected: expected it to hold |
    | **not measured** | The GPU is idle | not measured | below 1 byte |  |

    Experiment `growth` · 10 of 12 runs ok, 2 failed · 84 s of measurement · 2026-11-22T15:01:00Z · commit c474eea with changes

    Why *this* <b>question</b>?

    ## How it is measured

    In processes.

    > **Holds**: Streaming stays flat
    >
    > Measured 0 bytes per frame; it holds if below 1 KiB per frame. As expected.
    >
    > Source: its README

    > **Refuted**: Extraction stays flat
    >
    > Measured 2.64 MiB per frame; it holds if below 1 KiB per frame. As expected.
    >
    > Source: its README

    > **Refuted**: It | is fast
    >
    > Measured 12 s; it holds if below 1.5 s. Unexpected: expected it to hold.
    >
    > Source: its README

    > **Not measured**: The GPU is idle
    >
    > It holds if below 1 byte.
    >
    > Source: its README

    ### Figure 1. heap\_peak\_bytes & frames

    ![Line chart of heap peak by frames. extract-memory: from 206 MiB at 60 to 364 MiB at 120, largest 364 MiB. stream-sequential: from 47.7 MiB at 60 to 47.7 MiB at 240, largest 47.7 MiB.](figures/1-heap-peak-bytes-frames.svg)

    *Medians of up to 2 measurements; whiskers from the smallest to the largest. A cross at the upper edge marks a run without a number.*

    ### All of it

    | mode              | frames | runs | heap peak (MiB) |  HOTA | wall (s) | device peak (bytes) |
    | ----------------- | -----: | ---: | --------------: | ----: | -------: | ------------------: |
    | extract-memory    |     60 |    2 |           205.9 | 0.812 |        3 |                   – |
    | extract-memory    |    120 |    2 |           364.1 | 0.812 |        6 |                   – |
    | extract-memory    |    240 |    2 |               – |     – |       12 |                   – |
    | stream-sequential |     60 |    2 |            47.7 | 0.812 |        3 |                   – |
    | stream-sequential |    120 |    2 |            47.7 | 0.812 |        6 |                   – |
    | stream-sequential |    240 |    2 |            47.7 | 0.812 |       12 |                   – |

    Means of repeats.

    ###  & run\_id

    extract-memory

    This run has no images.

    stream-sequential

    | frame 15 |
    | --- |
    | ![ & run\_id: stream-sequential, frame 15](strips/stream-sequential-60-1-frame-15.jpg) |

    ## Runs that failed

    - **out of memory** extract-memory, crossing, 1280×720, 240 frames (2 times): grew beyond &lt;limits.host\_mib> after 200 frames

    ## Provenance

    - Source: c474eeaf00c474eeaf00c474eeaf00c474eeaf00, with changes that are not committed
    - Model set: tiny, SHA-256 3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f
    - Body: the built-in body
    - Precision: f32
    - Device: cpu
    - Seed: 1
    - Dataset: walkers
    - Clips: crossing, SHA-256 c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1
    - Processor: A processor, 2 cores
    - Memory: 16 GiB
    - System: linux x86\_64
    - Decoder: ffmpeg version 5.1

    To reproduce:

    ```sh
    git checkout c474eeaf00c474eeaf00c474eeaf00c474eeaf00
    ./just experiment growth
    ```
    "#);
    assert_eq!(page.problems, Vec::<String>::new());
    assert_eq!(page.unexpected().count(), 2);
    assert!(!page.is_as_expected());
}

#[test]
fn the_html_page_is_one_self_contained_file() {
    let html = page(&cells(), &rows(), &[sheet_image()]).html;
    assert!(html.contains("<title>Does &lt;it&gt; grow? – growth</title>"));
    assert!(!html.contains("<b>question") && html.contains("&lt;b&gt;question"));
    assert!(!html.contains("<limits") && html.contains("&lt;limits.host_mib&gt;"));
    assert!(html.contains("src=\"data:image/jpeg;base64,/9g=\""));
    // the frame number is text, not part of the image
    assert!(html.contains("<p class=\"frame-name\">frame 15</p>"));
    assert!(html.contains("This run has no images."));
    assert!(html.contains("commit c474eea with changes"));
    assert!(!html.contains("<script") && !html.contains("src=\"http") && !html.contains("@import"));
    // both drawings take their colors from the style sheet and have a text alternative
    assert_eq!(html.matches("role=\"img\"").count(), 2);
    assert!(html.contains(
        "aria-label=\"heap_peak_bytes &amp; frames. Line chart of heap peak by frames. extract-memory: from"
    ));
    assert!(!html.contains("fill=\"#") && !html.contains("stroke=\"#"));
}

#[test]
fn contact_sheet_images_are_sorted_by_run_and_frame() {
    let folder = tempfile::tempdir().unwrap();
    let names = [
        sheet_image_name("b7", 100),
        sheet_image_name("b7", 20),
        "a1.jpg".into(),
        "b7-frame-x.png".into(),
        "notes.txt".into(),
    ];
    for name in &names {
        std::fs::write(folder.path().join(name), name).unwrap();
    }
    let images = load_sheet_images(folder.path()).unwrap();
    let read: Vec<(&str, Option<u64>)> =
        images.iter().map(|image| (image.run_id.as_str(), image.frame)).collect();
    assert_eq!(read, [("a1", None), ("b7", Some(20)), ("b7", Some(100)), ("b7-frame-x", None)]);
    assert_eq!(images[1].path, "strips/b7-frame-20.jpg");
}

#[test]
fn the_same_tables_give_the_same_bytes() {
    let (one, other) = (page(&cells(), &rows(), &[sheet_image()]), page(&cells(), &rows(), &[sheet_image()]));
    assert_eq!((one.html, one.markdown, one.figures), (other.html, other.markdown, other.figures));
}

#[test]
fn a_wrong_query_is_reported_and_other_cells_are_answered() {
    let cells = [
        Cell::Table(Table {
            title: "T".into(),
            note: None,
            sql: "select heap_peek_bytes from runs".into(),
            needs: None,
        }),
        figure(
            FigureKind::Line,
            "frames",
            "heap",
            Some("mode"),
            "select frames, mode, heap_peak_bytes as heap_peak from runs",
        ),
        claim("C", "select frames, mode from runs", below(1.0, "px"), Verdict::Holds),
        Cell::Text("The other cells remain.".into()),
    ];
    let page = page(&cells, &rows(), &[]);
    insta::assert_snapshot!(page.problems.join("\n"), @r#"
    cell 1 (table “T”): no column is called `heap_peek_bytes`; did you mean `heap_peak_bytes`?
    cell 2 (figure “heap & frames”): the figure's y `heap` is not among the columns of its query; did you mean `mode`?
    cell 3 (claim “C”): the query `select frames, mode from runs` gave 2 columns and 12 rows, where one number is needed
    "#);
    assert!(
        page.html.contains("The other cells remain.") && page.markdown.contains("The other cells remain.")
    );
    assert_eq!(page.count(Verdict::Unknown), 1);
}

#[test]
fn figures_are_drawn_from_few_rows_and_extreme_numbers() {
    let one = [run("extract-memory", 60, 1, Some(7))];
    let mut odd = rows();
    for (row, wall) in odd.iter_mut().zip([1e300, -1e300, 1e-300, 0.0, f64::NAN, f64::INFINITY]) {
        row.metrics.timing.wall_secs = Some(wall);
    }
    for rows in [&one[..], &[], &odd] {
        for kind in [FigureKind::Line, FigureKind::Scatter, FigureKind::Bar, FigureKind::Stack] {
            for (y, log_y) in [
                ("wall_secs", false),
                ("wall_secs", true),
                ("heap_peak_bytes", true),
                ("device_peak_bytes", false),
            ] {
                let sql = format!("select frames, mode, {y} from runs");
                let Cell::Figure(mut figure) = figure(kind, "frames", y, Some("mode"), &sql) else {
                    unreachable!()
                };
                figure.spec.log_y = log_y;
                let page = page(&[Cell::Figure(figure)], rows, &[]);
                assert_eq!(page.problems, Vec::<String>::new());
                let svg = String::from_utf8(page.figures[0].1.clone()).unwrap();
                assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{kind:?} {y}: {svg}");
            }
        }
    }
}

#[test]
fn a_report_is_written_from_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    files::write_with_csv(folder.path(), &rows()).unwrap();
    std::fs::create_dir(folder.path().join(CONTACT_SHEET_FOLDER)).unwrap();
    std::fs::write(folder.path().join(CONTACT_SHEET_FOLDER).join("stream-sequential-60-1.jpg"), [0xff, 0xd8])
        .unwrap();
    let cells = cells();
    let notebook = notebook(&cells);
    let page = write(&notebook, folder.path()).unwrap();
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!((read("report.html"), read("report.md")), (page.html, page.markdown));
    assert!(
        read("figures/1-heap-peak-bytes-frames.svg").contains("<title>heap_peak_bytes &amp; frames</title>")
    );
    let missing = tempfile::tempdir().unwrap();
    let error = write(&notebook, missing.path()).unwrap_err().to_string();
    assert!(error.starts_with("the report needs its tables: cannot read or write"), "{error}");
}

/// Cells that require CUDA are not measured without a GPU, regardless of their query, and this is no failure.
#[test]
fn cells_that_require_a_gpu_are_not_measured_without_one() {
    let sql = "select count(*) as runs from runs where gpu is not null";
    let holds = Bounds { at_least: Some(1.0), unit: "runs".into(), ..Bounds::default() };
    let claim = |needs| {
        let (statement, source) = ("A GPU is used".to_string(), None);
        Cell::Claim(Claim {
            statement,
            source,
            sql: sql.into(),
            holds: holds.clone(),
            expect: Verdict::Holds,
            needs,
        })
    };
    let table = |needs| Cell::Table(Table { title: "The GPU".into(), note: None, sql: sql.into(), needs });
    let cells = [claim(Some(Requirement::Cuda)), table(Some(Requirement::Cuda))];
    let without = page(&cells, &[run("extract-jpeg", 60, 1, Some(1))], &[]);
    assert!(without.is_as_expected());
    assert_eq!(without.count(Verdict::Unknown), 1);
    assert!(without.markdown.contains("### The GPU\n\nNot measured: no GPU."), "{}", without.markdown);
    assert!(without.html.contains("Not measured: no GPU."));

    let with_gpu = [RunRow { gpu: Some("A GPU".into()), ..run("extract-jpeg", 60, 1, Some(1)) }];
    assert_eq!(page(&cells, &with_gpu, &[]).count(Verdict::Holds), 1);
    // published detectors with weights by formula are not those that were trained
    let with_detector = |detector: &str, weights: &str| {
        let row = RunRow { gpu: Some("A GPU".into()), ..run("extract-jpeg", 60, 1, Some(1)) };
        [RunRow { detector: Some(detector.into()), detector_sha256: Some(weights.into()), ..row }]
    };
    let cells = [claim(Some(Requirement::Detectors))];
    for (detector, weights, is_trained) in [
        ("nanodet", "3f", false),
        ("vitdet", "formula a", false),
        ("vitdet", "3f", true),
        ("x101", "0a", true),
    ] {
        let page = page(&cells, &with_detector(detector, weights), &[]);
        assert_eq!(page.count(Verdict::Unknown), usize::from(!is_trained), "{detector} {weights}");
        assert!(page.is_as_expected());
    }
    // a claim without the requirement is still unexpected
    assert!(!page(&[claim(None)], &[run("extract-jpeg", 60, 1, Some(1))], &[]).is_as_expected());
}

#[test]
fn the_report_of_a_quick_experiment_says_so() {
    let (_folder, tables) = write_tables(&[run("extract-jpeg", 60, 1, Some(1))]);
    let left_out = ["extract-device: 2 runs that would need a GPU".to_string()];
    let cells = [Cell::Table(Table {
        title: "Long".into(),
        note: None,
        sql: "select mode from runs".into(),
        needs: Some(Requirement::FullSize),
    })];
    let notebook = Notebook { is_quick: true, left_out: &left_out, ..notebook(&cells) };
    let page = render(&notebook, &tables, &[]).unwrap();
    for text in [&page.html, &page.markdown] {
        for part in ["quick version", "Left out: extract-device: 2 runs", "growth --quick"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
    assert!(page.markdown.contains("Not measured: not part of the quick version."));
}

#[test]
fn a_warning_about_differing_decoded_frames_comes_first() {
    let cells = [Cell::Text("Text.".into())];
    let with = |as_recorded| RunRow {
        clip_decoded_sha256: Some("d0".repeat(32)),
        clip_as_recorded: as_recorded,
        ..run("extract-jpeg", 60, 1, Some(1))
    };
    let warning = "The decoded frames of crossing differ from the recorded ones";
    let report = page(&cells, &[with(Some(true)), with(Some(false))], &[]);
    for text in [&report.html, &report.markdown] {
        let position = text.find(warning).unwrap_or_else(|| panic!("{text}"));
        assert!(position < text.find("Text.").unwrap(), "the warning comes first");
        assert!(text.contains(&format!("crossing, SHA-256 {}", "d0".repeat(32))), "{text}");
    }
    for known in [Some(true), None] {
        let report = page(&cells, &[with(known)], &[]);
        assert!(!report.markdown.contains(warning) && !report.html.contains(warning));
    }
}

#[test]
fn placeholders_in_text_become_the_number_of_runs_and_their_time() {
    let text = Cell::Text("It makes {runs} runs, which take about {secs}; `{ extract }` stays.".into());
    let rows = [run("extract-jpeg", 60, 1, Some(1)), run("extract-jpeg", 120, 1, Some(1))];
    let page = page(&[text], &rows, &[]);
    let filled = "It makes 2 runs, which take about 9 s; `{ extract }` stays.";
    assert!(page.markdown.contains(filled), "{}", page.markdown);
}
