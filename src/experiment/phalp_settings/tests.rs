//! Tests of PHALP's settings: every key of the published configurations is understood, and what each becomes.

use super::*;

/// Every key of PHALP's `phalp/configs/base.py` and of 4D-Humans' `track.py` with its default, read from their sources, and
/// LART's two additions.
const PUBLISHED: &str = "\
seed=42 track_dataset=demo device=cuda base_tracker=PHALP train=False debug=False use_gt=False overwrite=True task_id=-1 \
num_tasks=100 verbose=False detect_shots=False video_seq=null hmr_type=hmr2018 \
video.source=??? video.output_dir=outputs/ video.extract_video=True video.base_path=null video.start_frame=-1 \
video.end_frame=1300 video.useffmpeg=False video.start_time=0s video.end_time=10s \
phalp.predict=TPL phalp.pose_distance=smpl phalp.distance_type=EQ_019 phalp.alpha=0.1 phalp.low_th_c=0.8 \
phalp.hungarian_th=100.0 phalp.track_history=7 phalp.max_age_track=50 phalp.n_init=5 phalp.encode_type=4c \
phalp.past_lookback=1 phalp.detector=vitdet phalp.shot=0 phalp.start_frame=-1 phalp.end_frame=10 phalp.small_w=50 \
phalp.small_h=100 \
pose_predictor.config_path=~/.cache/phalp/weights/pose_predictor.yaml \
pose_predictor.weights_path=~/.cache/phalp/weights/pose_predictor.pth pose_predictor.mean_std=~/.cache/phalp/3D/mean_std.npy \
ava_config.ava_labels_path=~/.cache/phalp/ava/ava_labels.pkl \
ava_config.ava_class_mappping_path=~/.cache/phalp/ava/ava_class_mapping.pkl \
hmr.hmar_path=~/.cache/phalp/weights/hmar_v2_weights.pth \
render.enable=True render.type=HUMAN_MESH render.up_scale=2 render.res=256 render.side_view_each=False \
render.metallicfactor=0.0 render.roughnessfactor=0.7 render.colors=phalp render.head_mask=False \
render.head_mask_path=~/.cache/phalp/3D/head_faces.npy render.output_resolution=1440 render.fps=30 render.blur_faces=False \
render.show_keypoints=False \
post_process.apply_smoothing=True post_process.phalp_pkl_path=_OUT/videos_v0 post_process.save_fast_tracks=False \
SMPL.MODEL_PATH=~/.cache/phalp/3D/models/smpl/ SMPL.GENDER=neutral SMPL.MODEL_TYPE=smpl SMPL.NUM_BODY_JOINTS=23 \
SMPL.JOINT_REGRESSOR_EXTRA=~/.cache/phalp/3D/SMPL_to_J19.pkl SMPL.TEXTURE=~/.cache/phalp/3D/texture.npz \
MODEL.IMAGE_SIZE=256 MODEL.SMPL_HEAD.TYPE=basic MODEL.SMPL_HEAD.POOL=max \
MODEL.SMPL_HEAD.SMPL_MEAN_PARAMS=~/.cache/phalp/3D/smpl_mean_params.npz MODEL.SMPL_HEAD.IN_CHANNELS=2048 \
MODEL.BACKBONE.TYPE=resnet MODEL.BACKBONE.NUM_LAYERS=50 MODEL.BACKBONE.MASK_TYPE=feat MODEL.TRANSFORMER.HEADS=1 \
MODEL.TRANSFORMER.LAYERS=1 MODEL.TRANSFORMER.BOX_FEATS=6 MODEL.pose_transformer_size=2048 EXTRA.FOCAL_LENGTH=5000 \
hydra.run.dir=${video.output_dir} expand_bbox_shape=[192,256]";

fn parse(given: &[&str]) -> CommandLine {
    CommandLine::parse(Some(Path::new("a.mp4")), given).unwrap_or_else(|error| panic!("{given:?}: {error}"))
}

fn refused(given: &[&str]) -> String {
    CommandLine::parse(Some(Path::new("a.mp4")), given).unwrap_err().to_string()
}

/// The settings of a run.
fn settings(line: &CommandLine) -> Settings {
    let mut table = Table::from_iter([("dataset".to_string(), Value::String("one video".into()))]);
    for Override { key, value, .. } in &line.overrides {
        if !REQUEST_KEYS.contains(&key.as_str()) && key != "video.source" {
            overrides::set(&mut table, key, value.clone());
        }
    }
    Settings::from_table(table).unwrap()
}

fn settings_of(given: &[&str]) -> Settings {
    settings(&parse(given))
}

fn value(line: &CommandLine, key: &str) -> Option<Value> {
    line.overrides.iter().rev().find(|given| given.key == key).map(|given| given.value.clone())
}

#[test]
fn every_published_key_is_understood_with_its_default() {
    for pair in PUBLISHED.split_whitespace() {
        let (key, default) = pair.split_once('=').unwrap();
        let known = table::find(key).unwrap_or_else(|| panic!("{key} is missing"));
        let of_humans = Preset::FourDHumans.default_of(known);
        let is_same = is_same_value(default, of_humans) || is_default_path(default, of_humans);
        assert!(is_same, "{key}: {default} is published, not {of_humans}");
        // the source is not accepted as it is
        if key != "video.source" {
            settings_of(&["preset=4dhumans", pair]);
            parse(&[pair]);
        }
    }
    let published = PUBLISHED.split_whitespace().count();
    assert_eq!(KEYS.len(), published, "the table has other keys");
}

#[test]
fn every_key_that_has_no_effect_says_so() {
    for known in KEYS {
        let Handling::Dead(reason) = known.handling else { continue };
        let line = parse(&[&format!("{}=3", known.key)]);
        let note = line.notes.join("\n");
        assert!(note.contains("has no effect") && note.contains(reason), "{}: {note}", known.key);
        assert!(line.overrides.is_empty(), "{}", known.key);
    }
}

#[test]
fn impossible_values_are_refused_with_what_to_do() {
    for (given, hint) in [
        ("phalp.distance_type=EQ_020", "EQ_019 or EQ_010"),
        ("phalp.detector=yolo", "vitdet, maskrcnn (detect.model=regnety), or detect.model=nanodet"),
        ("phalp.predict=TXL", "letters T or A, P and L"),
        ("phalp.low_th_c=high", "a number from 0 to 1"),
        ("EXTRA.FOCAL_LENGTH=1000", "only 5000 is possible"),
        ("render.res=512", "only 256 is possible"),
        ("render.blur_faces=True", "only false is possible"),
        ("SMPL.GENDER=female", "model import hmr2"),
        ("hmr.hmar_path=/weights/a.pth", "model import phalp"),
        ("pose_predictor.weights_path=p.pth", "model import phalp"),
        ("SMPL.MODEL_PATH=models/", "model import hmr2"),
        ("overwrite=maybe", "True or False"),
        ("track_dataset=a/b", "without slashes"),
        ("video.output_dir=", "the path is empty"),
        ("expand_bbox_shape=3", "[192,256], or null"),
        ("video.extract_video=maybe", "True or False"),
        ("preset=lart", "phalp or 4dhumans"),
        ("phalp.start_frame=5", "give a greater phalp.end_frame"),
        ("phalp.start_frame=-7", "0 on"),
    ] {
        let message = refused(&[given, "phalp.end_frame=3"]);
        // -7 counts from the end
        assert!(message.contains(hint) || message.contains("counts from the end"), "{given}: {message}");
        assert!(message.starts_with(&format!("`{}", given.split('=').next().unwrap())), "{given}: {message}");
    }
}

#[test]
fn unknown_keys_name_the_nearest_one() {
    for (given, hint) in [
        ("phalp.predct=TL", "did you mean `phalp.predict`?"),
        ("phalp.hungarian=3", "did you mean `phalp.hungarian_th`?"),
        ("render.typ=HUMAN_MASK", "did you mean `render.type`?"),
        ("detct_shots=True", "did you mean `detect_shots`?"),
        ("+no.such.thing=1", "there is no setting `no.such.thing`"),
        ("~phalp.nint", "did you mean `phalp.n_init`?"),
    ] {
        let message = refused(&[given]);
        assert!(message.contains(hint), "{given}: {message}");
    }
    assert!(refused(&["phalp.predict"]).contains("write key=value"));
}

#[test]
fn presets_have_the_programs_defaults() {
    for (preset, crop) in [
        ("preset=phalp", posebook_models::hmr2::BoxAspect::Unchanged(posebook_models::hmr2::Unchanged::None)),
        ("preset=4dhumans", posebook_models::hmr2::BoxAspect::Widened([192, 256])),
    ] {
        let line = parse(&[preset]);
        let settings = settings(&line);
        assert_eq!(settings.hmr2.expand_bbox_shape, crop, "{preset}");
        assert_eq!(settings.video.preset, Some(posebook_video::Preset::PhalpExtract));
        assert_eq!((settings.video.start_frame, settings.video.end_frame), (Some(-1), Some(1300)));
        let detect = &settings.detect;
        assert_eq!((detect.smallest_width, detect.smallest_height, detect.least_score), (50.0, 100.0, 0.8));
        let phalp = &settings.phalp;
        assert_eq!((phalp.n_init, phalp.track_history, phalp.max_age_track), (5, 7, 50));
        assert_eq!((phalp.hungarian_th, phalp.alpha, phalp.past_lookback), (100.0, 0.1, 1));
        assert_eq!(phalp.cues, posebook_track::phalp::Cues::from_letters("TPL").unwrap());
        assert_eq!(settings.render.content, posebook_synth::render::Content::default());
        assert_eq!(settings.render.colors, posebook_synth::render::Colors::Phalp);
        assert_eq!((settings.render.output_resolution, settings.render.fps), (Some(1440), Some(30.0)));
        assert!(line.chosen_by_preset.cues && line.chosen_by_preset.least_score);
        assert!(!settings.smoothing.overlay && settings.seed == 42);
        assert_eq!(settings.device, "auto");
        assert!(line.notes.is_empty(), "{:?}", line.notes);
    }
    let none = parse(&[]);
    assert!(none.overrides.is_empty() && none.notes.is_empty());
}

#[test]
fn the_users_values_replace_the_presets() {
    let line =
        parse(&["phalp.low_th_c=0.3", "preset=4dhumans", "phalp.predict=AL", "detect.smallest_width=10"]);
    let settings = settings(&line);
    assert_eq!((settings.detect.least_score, settings.detect.smallest_width), (0.3, 10.0));
    assert_eq!(settings.phalp.cues, posebook_track::phalp::Cues::from_letters("AL").unwrap());
    assert_eq!(line.chosen_by_preset, ChosenByPreset::default());
    let line = parse(&["phalp.n_init=3", "preset=phalp", "~phalp.n_init"]);
    assert_eq!(value(&line, "phalp.n_init"), Some(Value::Integer(5)));
    assert_eq!(line.notes, ["~phalp.n_init: the default is used"]);
}

#[test]
fn phalps_detectors_have_names_here() {
    use posebook_models::detect::Model;
    for (given, model) in [
        ("phalp.detector=vitdet", Model::Vitdet),
        ("phalp.detector=maskrcnn", Model::Regnety),
        ("phalp.detector=regnety", Model::Regnety),
        ("phalp.detector=nanodet", Model::Nanodet),
    ] {
        let line = parse(&[given]);
        assert_eq!(settings(&line).detect.model, model, "{given}");
        assert!(line.notes[0].contains("became detect.model="), "{:?}", line.notes);
    }
    // a preset's detector is looked up when the video is tracked
    assert_eq!(value(&parse(&["preset=phalp"]), "detect.model"), None);
    let own =
        settings_of(&["preset=phalp", "detect.model=regnety", "detect.weights=mine", "detect.score=0.4"]);
    assert_eq!((own.detect.weights.as_deref(), own.detect.score), (Some("mine"), Some(0.4)));
}

#[test]
fn options_of_the_command_are_not_settings() {
    let line = parse(&[
        "track_dataset=posetrack",
        "base_tracker=Mine",
        "overwrite=False",
        "video.base_path=frames",
        "video.output_dir='my out'",
        "device=cuda",
        "use_gt=True",
        "render.enable=False",
    ]);
    assert_eq!(
        line.options,
        TrackOptions {
            track_dataset: "posetrack".into(),
            base_tracker: "Mine".into(),
            overwrite: false,
            base_path: Some("frames".into()),
            render: false,
        }
    );
    assert_eq!(value(&line, "out"), Some(Value::String("my out".into())));
    assert_eq!(value(&line, "device"), Some(Value::String("cuda:0".into())));
    assert!(settings(&line).phalp.use_gt);
}

#[test]
fn phalps_ranges_follow_its_rules_under_a_preset() {
    let video = |given: &[&str]| settings_of(given).video;
    let stream = video(&["preset=phalp", "video.extract_video=False"]);
    assert_eq!(stream.preset, Some(posebook_video::Preset::PhalpStream));
    let secs = |video: &posebook_video::Settings| [video.start_time, video.end_time].map(|t| t.map(|t| t.0));
    assert_eq!(secs(&stream), [Some(0.0), Some(10.0)]);
    assert_eq!((stream.start_frame, stream.end_frame), (None, None));
    // the last character is dropped, whatever it is
    let line = parse(&["preset=phalp", "video.extract_video=False", "video.end_time=20"]);
    assert_eq!(secs(&settings(&line).video)[1], Some(2.0));
    assert!(line.notes.iter().any(|note| note.contains("is 2 s under a preset")), "{:?}", line.notes);
    let message = refused(&["preset=phalp", "video.extract_video=False", "video.end_time=2.5s"]);
    assert!(message.contains("whole seconds"), "{message}");
    // the other mode's bounds have no effect
    let line = parse(&["preset=phalp", "video.end_time=2.5s"]);
    assert!(line.notes[0].starts_with("video.end_time is not used"), "{:?}", line.notes);
    // a slice of the range
    let sliced =
        video(&["preset=phalp", "video.start_frame=100", "phalp.start_frame=5", "phalp.end_frame=50"]);
    assert_eq!((sliced.start_frame, sliced.end_frame), (Some(105), Some(150)));
    let sliced = video(&["preset=phalp", "video.end_frame=20", "phalp.start_frame=5", "phalp.end_frame=50"]);
    assert_eq!((sliced.start_frame, sliced.end_frame), (Some(5), Some(20)));
    let message = refused(&["preset=phalp", "video.end_frame=4", "phalp.start_frame=5"]);
    assert!(message.contains("no frame is selected"), "{message}");
    // a mode of posebook's keeps the range
    let memory = video(&["preset=phalp", "video.mode=extract-memory"]);
    assert_eq!((memory.preset, memory.end_frame), (None, Some(1300)));
}

#[test]
fn folders_are_read_whole_under_a_preset() {
    let folder = tempfile::tempdir().unwrap();
    let given = ["preset=4dhumans", "overwrite=False", "video.extract_video=False", "video.end_time=3s"];
    let line = CommandLine::parse(Some(folder.path()), &given).unwrap();
    let video = settings(&line).video;
    assert_eq!((video.preset, video.start_time, video.end_frame), (None, None, None));
    assert_eq!(video.mode().unwrap().name(), "stream-sequential");
    assert!(!video.overlap());
    assert!(line.notes.iter().any(|note| note.starts_with("video.end_time is not used")), "{:?}", line.notes);
    let line = CommandLine::parse(Some(folder.path()), &["preset=phalp", "phalp.start_frame=2"]).unwrap();
    let video = settings(&line).video;
    assert_eq!((video.start_frame, video.end_frame), (Some(2), Some(10)));
}

#[test]
fn without_a_preset_the_bounds_are_posebooks() {
    let video = settings_of(&["video.extract_video=False", "video.end_time=2.5s"]).video;
    assert_eq!(video.mode().unwrap().name(), "stream-seek");
    assert_eq!(video.end_time.map(|time| time.0), Some(2.5));
    let line = parse(&["video.extract_video=True"]);
    assert!(line.notes[0].contains("became video.mode=extract-jpeg"), "{:?}", line.notes);
    let sliced = settings_of(&["phalp.start_frame=20", "phalp.end_frame=30"]).video;
    assert_eq!((sliced.start_frame, sliced.end_frame), (Some(20), Some(30)));
    assert!(refused(&["phalp.start_frame=0", "video.start_time=3"]).contains("video.start_time and"));
}

#[test]
fn shots_are_searched_in_the_whole_file_only_where_phalp_streams() {
    use posebook_video::shots::Scan;
    let shots = |given: &[&str]| settings_of(given).shots;
    assert!(!shots(&["preset=phalp"]).detect);
    let found = shots(&["preset=phalp", "detect_shots=True", "video.extract_video=False"]);
    assert_eq!((found.detect, found.scan), (true, Scan::File));
    let found = shots(&["preset=phalp", "detect_shots=True"]);
    assert_eq!((found.detect, found.scan), (true, Scan::Range));
    assert_eq!(shots(&["detect_shots=True", "video.extract_video=False"]).scan, Scan::Range);
}

#[test]
fn the_overlays_settings_are_phalps() {
    let given =
        ["render.type=GHOST_MASK", "render.colors=slahmr", "render.side_view_each=True", "preset=phalp"];
    let render = settings_of(&given).render;
    assert_eq!(String::from(render.content), "GHOST_MASK");
    assert_eq!(render.colors, posebook_synth::render::Colors::Slahmr);
    assert!(render.side_view && render.output_resolution == Some(1440));
    let own = settings_of(&["render.fps=12.5", "render.output_resolution=640"]).render;
    assert_eq!((own.fps, own.output_resolution), (Some(12.5), Some(640)));
    assert_eq!(settings_of(&[]).render, posebook_synth::render::RenderSettings::default());
    for (wrong, hint) in [
        ("render.type=HUMAN_TEX_S", "MESH, MASK and BBOX"),
        ("render.colors=viridis", "slahmr"),
        ("render.output_resolution=4", "16 to 8192"),
        ("render.fps=0", "more than 0"),
    ] {
        let mut table = Table::from_iter([("dataset".to_string(), Value::String("one video".into()))]);
        for Override { key, value, .. } in parse(&[wrong]).overrides {
            overrides::set(&mut table, &key, value);
        }
        let message = Settings::from_table(table).unwrap_err().to_string();
        assert!(message.contains(hint), "{wrong}: {message}");
    }
}

#[test]
fn addresses_are_unquoted() {
    let given = ["preset=4dhumans", "video.source='\"https://www.youtube.com/watch?v=xEH_5T9jMVU\"'"];
    let line = CommandLine::parse(None, &given).unwrap();
    let address = Value::String("https://www.youtube.com/watch?v=xEH_5T9jMVU".into());
    assert_eq!(value(&line, "video.source"), Some(address));
}

#[test]
fn the_configuration_is_printed_in_phalps_keys() {
    let line = parse(&["preset=4dhumans", "phalp.n_init=3", "video.output_dir='a b'", "track_dataset=x:y"]);
    let text = line.to_yaml();
    for part in [
        "seed: 42\ntrack_dataset: 'x:y'\ndevice: cuda\n",
        "video:\n  source: ???\n  output_dir: a b\n",
        "phalp:\n  predict: TPL\n",
        "  n_init: 3\n",
        "hmr:\n  hmar_path: ${oc.env:HOME}/.cache/phalp/weights/hmar_v2_weights.pth\n",
        "MODEL:\n  IMAGE_SIZE: 256\n  SMPL_HEAD:\n    TYPE: basic\n",
        "  BACKBONE:\n    TYPE: resnet\n",
        "  pose_transformer_size: 2048\n",
        "expand_bbox_shape: [192,256]\n",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert_eq!(text.lines().filter(|line| line.contains(": ") && !line.ends_with(':')).count(), KEYS.len());
    let plain = parse(&[]).to_yaml();
    assert!(plain.contains("  end_frame: -1\n") && plain.contains("  detector: nanodet\n"), "{plain}");
}

#[test]
fn the_document_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/PHALP_SETTINGS.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, markdown()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == markdown(), "{} is outdated; UPDATE_DOCS=1 writes it", path.display());
}
