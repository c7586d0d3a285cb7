use super::*;
use posebook_notebook::tables::ParquetColumns;
use posebook_synth::TRAINING_SEEDS;
use posebook_synth::walkers::BENCHMARK_SEEDS;
use std::path::{Path, PathBuf};
use toml::Table;

const TINY: &str = "kind = 'walkers'\nabout = 'tiny'\nseed = 10007\nwidth = 96\nheight = 64\nframes = 6\nfps = 30.0\n\
                    [[clip]]\nname = 'one'\npeople = 2\n";

fn write_dataset(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("tiny.toml");
    std::fs::write(&path, text).unwrap();
    path
}

fn load(text: &str, changes: &str) -> Result<Dataset, String> {
    let folder = tempfile::tempdir().unwrap();
    let changes: Table = toml::from_str(changes).unwrap();
    Dataset::load(&write_dataset(folder.path(), text), &changes).map_err(|error| error.to_string())
}

fn make(spec: &ClipSpec, cache: &Path) -> (Clip, usize) {
    let mut drawn = 0;
    let clip = spec.prepare(cache, &mut |done, of| {
        assert_eq!(of, 6);
        drawn = done;
    });
    (clip.unwrap(), drawn)
}

#[test]
fn every_shipped_dataset_loads() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            let dataset = Dataset::load(&path, &Table::new()).unwrap();
            assert!(!dataset.clips().is_empty() && !dataset.about.is_empty(), "{}", path.display());
        }
    }
}

#[test]
fn errors_name_file_and_line() {
    for (from, to, message) in [
        ("frames", "framse", "tiny.toml:6: unknown key `framse`; did you mean `frames`?"),
        ("people = 2", "peple = 2", "tiny.toml:10: unknown key `peple`; did you mean `people`?"),
        ("frames = 6", "frames = 'six'", "tiny.toml:6: invalid type"),
        ("fps = 30.0", "fps = ", "tiny.toml:7"),
        ("width = 96", "width = 97", "width = 97 must be even"),
        ("frames = 6", "frames = 0", "frames = 0"),
        ("seed = 10007", "seed = 7", "seed = 7 must be 10000 or more"),
        ("'walkers'", "'walker'", "there is no kind `walker`"),
        ("people = 2", "people = 2000", "a scene has 64 at most"),
    ] {
        let error = load(&TINY.replace(from, to), "").unwrap_err();
        assert!(error.contains(message), "{error}");
    }
    let error = load(TINY, "framse = 3").unwrap_err();
    assert!(error.contains("with `framse` changed") && error.contains("did you mean `frames`"), "{error}");
}

#[test]
fn changes_override_the_file() {
    let dataset = load(TINY, "frames = 9\nencoding = { gop = 5 }\npeople = 3").unwrap();
    let ClipSource::Walkers(clip) = &dataset.clips()[0].source else { panic!("another kind") };
    assert_eq!((clip.frames, clip.encoding.gop, clip.encoding.b_frames, clip.people), (9, 5, 3, 3));
    assert!(load(TINY, "only = ['two']").unwrap_err().contains("there is no clip `two`; the clips are one"));
}

#[test]
fn training_and_benchmark_seeds_are_disjoint() {
    // a scene adds its own seed to the dataset's, away from training's range
    const { assert!(TRAINING_SEEDS.end <= BENCHMARK_SEEDS.start) };
    assert!(load(&TINY.replace("seed = 10007", "seed = 9999"), "").is_err());
}

#[test]
fn a_clip_is_created_once_and_reproducibly() {
    let (folder, cache, other) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let dataset = Dataset::load(&write_dataset(folder.path(), TINY), &Table::new()).unwrap();
    let spec = &dataset.clips()[0];
    assert_eq!(spec.find_cached(cache.path()).unwrap(), None);
    assert_eq!(spec.verify(cache.path()).unwrap(), None);
    let (clip, drawn) = make(spec, cache.path());
    assert_eq!((drawn, clip.frames, clip.width, clip.height), (6, 6, 96, 64));
    let (again, drawn) = make(spec, cache.path());
    assert_eq!((again, drawn), (clip.clone(), 0), "the second call uses the cache");
    let (elsewhere, _) = make(spec, other.path());
    assert_eq!(elsewhere.sha256, clip.sha256);
    let (truth, theirs) = (clip.truth.clone().unwrap(), elsewhere.truth.unwrap());
    assert_eq!(truth.sha256, theirs.sha256);
    assert_eq!(truth.read_all().unwrap().len(), 6);
    assert_eq!(spec.verify(cache.path()).unwrap(), Some(clip.clone()));
    std::fs::write(&clip.path, b"other").unwrap();
    let error = spec.verify(cache.path()).unwrap_err().to_string();
    assert!(error.contains("clip.mp4") && error.contains("create the clip again"), "{error}");
}

#[test]
fn the_table_has_scored_and_hidden_people() {
    let (folder, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let dataset =
        Dataset::load(&write_dataset(folder.path(), TINY), &toml::from_str("least_visible = 0.9").unwrap())
            .unwrap();
    let (clip, _) = make(&dataset.clips()[0], cache.path());
    let table = ParquetColumns::read(&clip.table.unwrap(), &["scored", "joints_in_camera_m"]).unwrap();
    let is_scored = |text: &&Option<String>| text.as_deref() == Some("true");
    let scored = table.texts("scored").unwrap().iter().filter(is_scored).count();
    let truth = clip.truth.unwrap().read_all().unwrap();
    assert_eq!(truth.iter().map(Vec::len).sum::<usize>(), scored);
    assert!(table.rows() >= scored && table.rows() > 0);
    assert_eq!(table.floats("joints_in_camera_m", 0).unwrap().len(), 44 * 3);
}

#[test]
fn the_users_videos_have_their_boxes() {
    let (folder, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let drawn = Dataset::load(&write_dataset(folder.path(), TINY), &Table::new()).unwrap();
    let (clip, _) = make(&drawn.clips()[0], cache.path());
    std::fs::copy(&clip.path, folder.path().join("mine.mp4")).unwrap();
    std::fs::write(folder.path().join("gt.txt"), "1,4,10,10,20,30,1,1,1\n6,4,12,10,20,30,1,1,0.5\n").unwrap();
    let text =
        "kind = 'files'\nabout = 'mine'\n[[clip]]\nname = 'mine'\nvideo = 'mine.mp4'\ntruth = 'gt.txt'\n";
    let dataset = Dataset::load(&write_dataset(folder.path(), text), &Table::new()).unwrap();
    let spec = &dataset.clips()[0];
    let mine = spec.prepare(cache.path(), &mut |_, _| ()).unwrap();
    assert_eq!((mine.width, mine.height, mine.frames, mine.fps), (96, 64, 6, 30.0));
    assert_eq!(mine.sha256, clip.sha256);
    let truth = mine.truth.clone().unwrap().read_all().unwrap();
    assert_eq!(truth.iter().map(Vec::len).collect::<Vec<_>>(), [1, 0, 0, 0, 0, 1]);
    assert_eq!(truth[5][0].visible_share, Some(0.5));
    assert_eq!(spec.find_cached(cache.path()).unwrap(), Some(mine));
    std::fs::write(folder.path().join("gt.txt"), "7,4,10,10,20,30\n").unwrap();
    let error = spec.prepare(cache.path(), &mut |_, _| ()).unwrap_err().to_string();
    assert!(error.contains("gt.txt:1: frame 7 is not in the video"), "{error}");
}

/// A lossless cut keeps packets that are decoded but not shown.
#[test]
fn box_frames_count_the_displayed_frames() {
    let (folder, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ffmpeg = |words: &str| {
        let mut command = std::process::Command::new("ffmpeg");
        command.args(["-nostdin", "-loglevel", "error"]).args(words.split(' ')).current_dir(folder.path());
        assert!(command.status().expect("tests need ffmpeg on the PATH").success(), "ffmpeg {words}");
    };
    ffmpeg("-f lavfi -i testsrc2=size=96x64:rate=30 -frames:v 60 -c:v libx264 -g 60 -bf 2 whole.mp4");
    ffmpeg("-ss 0.7 -i whole.mp4 -t 1 -c copy cut.mp4");
    ffmpeg("-i cut.mp4 -vsync passthrough shown-%d.png");
    let shown = (1..).take_while(|n| folder.path().join(format!("shown-{n}.png")).exists()).count();
    assert!((20..45).contains(&shown), "{shown} frames are shown");
    let (video, boxes) = (folder.path().join("cut.mp4"), folder.path().join("boxes.txt"));
    let make = |frame: usize| {
        std::fs::write(&boxes, format!("{frame},1,10,10,20,30\n")).unwrap();
        Dataset::from_video(&video, None, None, Some(&boxes)).clips()[0].prepare(cache.path(), &mut |_, _| ())
    };
    assert_eq!(make(shown).unwrap().frames, shown);
    let error = make(shown + 1).unwrap_err().to_string();
    assert!(error.contains(&format!("count from 1 to {shown}")), "{error}");
}

#[test]
fn a_file_that_is_not_a_video_is_an_error() {
    let (folder, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = folder.path().join("no.mp4");
    let make =
        || Dataset::from_video(&path, None, None, None).clips()[0].prepare(cache.path(), &mut |_, _| ());
    assert!(make().unwrap_err().to_string().contains("cannot read the video"));
    std::fs::write(&path, b"this is text").unwrap();
    assert!(make().unwrap_err().to_string().contains("cannot be read as a video"));
}

#[test]
fn a_folder_of_images_is_a_clip() {
    let (folder, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let stills = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/opencv/stills");
    let (pictures, truth) = (folder.path().join("walk.v2"), folder.path().join("gt.txt"));
    std::fs::create_dir(&pictures).unwrap();
    for (from, to) in [("exif-6.jpg", "2.jpg"), ("exif-8.jpg", "10.jpg")] {
        std::fs::copy(stills.join(from), pictures.join(to)).unwrap();
    }
    std::fs::write(&truth, "1,4,0,0,5,9,1,1,1\n2,4,1,1,5,9,1,1,1\n").unwrap();
    let spec = |fps| Dataset::from_video(&pictures, fps, Some(&truth), None).clips()[0].clone();
    let make = |fps| spec(fps).prepare(cache.path(), &mut |_, _| ());
    let clip = make(Some(12.5)).unwrap();
    // both are stored as 11x7 and displayed as 7x11
    let about = (clip.name.as_str(), clip.width, clip.height, clip.frames, clip.fps);
    assert_eq!(about, ("walk.v2", 7, 11, 2, 12.5));
    assert_eq!(clip.path, std::fs::canonicalize(&pictures).unwrap());
    assert_eq!(spec(Some(12.5)).find_cached(cache.path()).unwrap(), Some(clip.clone()));
    assert_eq!(spec(Some(12.5)).verify(cache.path()).unwrap(), Some(clip.clone()));
    let faster = make(None).unwrap();
    assert_eq!(faster.fps, 30.0);
    assert_ne!(faster.sha256, clip.sha256);
    std::fs::copy(stills.join("exif-5.jpg"), pictures.join("11.jpg")).unwrap();
    let longer = make(None).unwrap();
    assert_eq!(longer.frames, 3);
    assert_ne!(longer.sha256, faster.sha256);
    std::fs::write(&truth, "4,4,0,0,5,9\n").unwrap();
    let error = make(None).unwrap_err().to_string();
    assert!(error.contains("gt.txt:1: frame 4 is not in the video"), "{error}");
}

/// Everything that experiments vary is part of the clip's cache key.
#[test]
fn every_setting_changes_the_cache_key() {
    let drawn = |changes: &str| load(TINY, changes).unwrap().clips()[0].walkers().unwrap().clone();
    let own = drawn("");
    assert!(!own.is_varied && !drawn("seed = 10007").is_varied);
    let mut keys = vec![drawn::cache_key(&own)];
    for changes in [
        "frames = 7",
        "width = 128",
        "people = 3",
        "seed = 10008",
        "encoding.gop = 12",
        "encoding.bit_rate_kbps = 300",
        "encoding.crf = 30",
        "encoding.b_frames = 0",
    ] {
        let changed = drawn(changes);
        assert_eq!(changed.is_varied, changes.starts_with("seed"));
        keys.push(drawn::cache_key(&changed));
    }
    let all = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), all);
}
