//! Tests of overlays as files: their size, their rate, and what the table of frames adds.

use super::*;
use posebook_notebook::tables::files::TableWriter;

/// Even, because the encoder would extend odd sides.
const SIZE: (usize, usize) = (98, 56);
const FRAMES: usize = 12;

/// A folder with a gray video at 25 frames/s and the tables of a run of it, whose frame 6 starts a shot.
fn finished_run() -> (tempfile::TempDir, Probe, RunRow) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("source.mp4");
    let geometry = FrameGeometry::square(SIZE.0, SIZE.1);
    let timeline = Timeline::constant(25.0, FRAMES);
    let mut encoder = Encoder::create(&path, geometry, &timeline, EncoderSettings::default(), None).unwrap();
    for _ in 0..FRAMES {
        encoder.write_rgb(&vec![128; SIZE.0 * SIZE.1 * 3]).unwrap();
    }
    encoder.finish().unwrap();
    let mut people = TableWriter::<PersonRow>::create(folder.path()).unwrap();
    let mut frames = TableWriter::<FrameRow>::create(folder.path()).unwrap();
    for frame in 0..FRAMES as u64 {
        frames.push(FrameRow { frame, shot: Some(frame == 6), ..FrameRow::default() }).unwrap();
        let [x1_px, y1_px, x2_px, y2_px] = [20.0, 12.0, 60.0, 48.0];
        let row = PersonRow { frame, track: Some(2), x1_px, y1_px, x2_px, y2_px, ..PersonRow::default() };
        people.push(PersonRow { joints_px: vec![30.0; 90], ..row }).unwrap();
    }
    people.finish().unwrap();
    frames.finish().unwrap();
    let row = RunRow { first_frame: Some(0), frames: Some(FRAMES as u64), every: 1, ..RunRow::default() };
    (folder, video::probe(&path).unwrap(), row)
}

fn settings(tables: &str) -> experiment::Settings {
    let text = format!("dataset = \"one video\"\n{tables}\n");
    experiment::Settings::from_table(text.parse().unwrap()).unwrap()
}

/// Draws the overlay and returns what ffprobe says of it, and its frames.
fn overlay(tables: &str) -> (Probe, Vec<Frame>, Vec<String>) {
    let (folder, probe, row) = finished_run();
    let settings = settings(tables);
    let notes = notes(&probe, &row, &settings).unwrap();
    draw_again(folder.path(), &probe, &row, &settings, &Body::built_in()).unwrap();
    let drawn = video::probe(&folder.path().join(FILE_NAME)).unwrap();
    let sequential = video::Settings { mode: Some(Mode::stream(Access::Sequential)), ..Default::default() };
    let mut source = video::open_probed(drawn.clone(), &sequential, folder.path(), None).unwrap();
    let mut frames = Vec::new();
    while let Some(frame) = source.next_frame().unwrap() {
        frames.push(frame);
    }
    (drawn, frames, notes)
}

fn pixel(frame: &Frame, x: usize, y: usize) -> [u8; 3] {
    [0, 1, 2].map(|c| frame.rgb()[(y * frame.width + x) * 3 + c])
}

#[test]
fn the_overlay_has_the_sources_size_and_times_without_settings() {
    let (probe, frames, notes) = overlay("");
    assert_eq!((probe.width, probe.height, frames.len()), (SIZE.0, SIZE.1, FRAMES));
    assert!((probe.fps - 25.0).abs() < 1e-6);
    assert!(notes.iter().all(|note| !note.contains("render.fps")), "{notes:?}");
}

#[test]
fn size_rate_panels_and_shots_are_as_set() {
    let tables = "[shots]\ndetect = true\n[render]\ntype = \"HUMAN_BBOX\"\ncolors = \"phalp\"\n\
                  output_resolution = 196\nfps = 30\nside_view = true";
    let (probe, frames, notes) = overlay(tables);
    assert_eq!((probe.width, probe.height, frames.len()), (2 * 196, 112, FRAMES));
    assert!((probe.fps - 30.0).abs() < 0.01, "{}", probe.fps);
    let note =
        "the overlay lasts 0.400 s at 30 frames/s (render.fps), other than the video, and has no sound";
    assert_eq!(notes.last().unwrap(), note);
    for (index, frame) in frames.iter().enumerate() {
        let [r, g, b] = pixel(frame, 1, 60);
        assert_eq!(r > 180 && g < 80 && b < 80, index == 6, "{index}: {r} {g} {b}");
        // the box of track 2 is purple in PHALP's colors
        let [r, g, b] = pixel(frame, 80, 95);
        assert!(r > g + 40 && b > g + 40, "{index}: {r} {g} {b}");
    }
}

#[test]
fn a_rate_that_is_the_sources_keeps_its_pace() {
    let (_folder, probe, _) = finished_run();
    let selection = Selection { range: 0..FRAMES, every: 1 };
    for (fps, pace) in [(25.0, Pace::Source), (25.1, Pace::Source), (30.0, Pace::Other), (12.5, Pace::Other)]
    {
        let settings = RenderSettings { fps: Some(fps), ..RenderSettings::default() };
        let (timeline, found) = timeline(&probe, &selection, &settings);
        assert_eq!((timeline, found), (Timeline::constant(fps, FRAMES), pace), "{fps}");
    }
    let every_second = Selection { range: 0..FRAMES, every: 2 };
    let settings = RenderSettings { fps: Some(25.0), ..RenderSettings::default() };
    assert_eq!(timeline(&probe, &every_second, &settings).1, Pace::Other);
}
