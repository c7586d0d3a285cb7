//! Every setting of PHALP's and 4D-Humans' configuration: its defaults, and what posebook does with it.
//!
//! Keys, defaults and effects are those of `phalp/configs/base.py` and of 4D-Humans' `track.py`. The order is the
//! configuration's, which `--cfg job` prints. `docs/PHALP_SETTINGS.md` is written from this table.

use super::translate::{self, Translate};

/// One setting of PHALP.
#[derive(Debug, Clone, Copy)]
pub struct PhalpKey {
    /// The dotted key.
    pub key: &'static str,
    /// PHALP's default, as YAML.
    pub phalp: &'static str,
    /// 4D-Humans' default, where it differs.
    pub humans: Option<&'static str>,
    /// The default of `posebook track` without a preset, in PHALP's terms, where it differs.
    pub plain: Option<&'static str>,
    /// What posebook does with a value.
    pub handling: Handling,
}

/// What posebook does with a value of a setting.
#[derive(Debug, Clone, Copy)]
pub enum Handling {
    /// A setting of posebook with the same values.
    Setting(&'static str),
    /// Translated to settings of posebook or options of the command; the text says to which.
    Translated(Translate, &'static str),
    /// One of the bounds that select frames, or the mode; they are translated together.
    Frames(&'static str),
    /// Only the default is possible; the text says why, and what to do instead.
    Fixed(&'static str),
    /// The path of a file that posebook reads when it is imported; the text says what it is and how to import it.
    File(&'static str),
    /// Has no effect; the text says why.
    Dead(&'static str),
}

const fn entry(key: &'static str, phalp: &'static str, handling: Handling) -> PhalpKey {
    PhalpKey { key, phalp, humans: None, plain: None, handling }
}

const fn dead(key: &'static str, phalp: &'static str, reason: &'static str) -> PhalpKey {
    entry(key, phalp, Handling::Dead(reason))
}

const fn setting(key: &'static str, phalp: &'static str, of_posebook: &'static str) -> PhalpKey {
    entry(key, phalp, Handling::Setting(of_posebook))
}

const fn fixed(key: &'static str, phalp: &'static str, reason: &'static str) -> PhalpKey {
    entry(key, phalp, Handling::Fixed(reason))
}

const fn file(key: &'static str, phalp: &'static str, how: &'static str) -> PhalpKey {
    entry(key, phalp, Handling::File(how))
}

const fn frames(key: &'static str, phalp: &'static str, what: &'static str) -> PhalpKey {
    entry(key, phalp, Handling::Frames(what))
}

const fn translated(
    key: &'static str,
    phalp: &'static str,
    function: Translate,
    what: &'static str,
) -> PhalpKey {
    entry(key, phalp, Handling::Translated(function, what))
}

impl PhalpKey {
    const fn plain(self, plain: &'static str) -> PhalpKey {
        PhalpKey { plain: Some(plain), ..self }
    }

    const fn humans(self, humans: &'static str) -> PhalpKey {
        PhalpKey { humans: Some(humans), ..self }
    }
}

/// Where PHALP keeps its files, in front of the defaults of paths.
pub(super) const CACHE: &str = "${oc.env:HOME}/.cache/";

const NOBODY_READS: &str = "nothing reads it in PHALP either";
const IMPORT_PREDICTOR: &str =
    "the pose predictor is imported once: `posebook model import phalp --from-cache`";
const IMPORT_BODY: &str =
    "SMPL's files are imported once: `posebook model import hmr2 --smpl FILE --joint-regressor FILE`";
const OLD_NETWORK: &str =
    "belongs to the network that PHALP used before HMR2; 4D-Humans builds it and never runs it";
const ACTIONS: &str = "names of actions, which only LART's postprocessor reads";
const MATERIAL: &str = "the renderer has no metallic material; leave it out";

/// All settings, in the configuration's order.
pub const KEYS: &[PhalpKey] = &[
    setting("seed", "42", "seed").plain("1"),
    translated("track_dataset", "demo", translate::track_dataset, "first half of the .pkl's name, `<track_dataset>_<video>.pkl`"),
    translated("device", "cuda", translate::device, "`device`; `cuda` is `cuda:0`").plain("auto"),
    translated("base_tracker", "PHALP", translate::base_tracker, "first half of the video's name, `<base_tracker>_<video>.mp4`"),
    dead("train", "false", "tracking always evaluates"),
    dead("debug", "false", NOBODY_READS),
    translated("use_gt", "false", translate::use_gt, "`phalp.use_gt`: tracks and detections are paired by the identities of the given boxes"),
    translated("overwrite", "true", translate::overwrite, "`false`: the command ends with status 0 where the .pkl exists already"),
    dead("task_id", "-1", NOBODY_READS),
    dead("num_tasks", "100", NOBODY_READS),
    translated("verbose", "false", translate::verbose, "accepted; cost matrices are not printed"),
    translated("detect_shots", "false", translate::detect_shots, "`shots.detect`; under a preset with `video.extract_video=False` also `shots.scan=file`: the whole file is scanned"),
    dead("video_seq", "null", "PHALP replaces it by the name of the source"),
    entry("video.source", "???", Handling::Frames("the video, the folder of images, the address, or the .pkl with boxes")),
    translated("video.output_dir", "outputs/", translate::output_dir, "`out`").plain("null"),
    frames("video.extract_video", "true", "`video.mode`: `extract-jpeg`, or `stream-seek`; under a preset `video.preset`").plain("false"),
    translated("video.base_path", "null", translate::base_path, "folder of the frames of a .pkl with boxes; the .pkl's own folder if it is not given"),
    frames("video.start_frame", "-1", "`video.start_frame`; under a preset only where a video file is extracted"),
    frames("video.end_frame", "1300", "`video.end_frame`; under a preset only where a video file is extracted").plain("-1"),
    dead("video.useffmpeg", "false", "the overlay is always encoded by ffmpeg"),
    frames("video.start_time", "0s", "`video.start_time`; under a preset only where a video file is streamed, in whole seconds"),
    frames("video.end_time", "10s", "`video.end_time`; under a preset only where a video file is streamed, in whole seconds").plain("null"),
    translated("phalp.predict", "TPL", translate::predict, "`phalp.cues`: T is `texture=uv`, A without T `texture=embedding`, P `pose=predictor`, L `location=ridge`"),
    setting("phalp.pose_distance", "smpl", "phalp.pose_distance"),
    translated("phalp.distance_type", "EQ_019", translate::distance_type, "`phalp.distance_type`; EQ_020 and EQ_021 are errors in PHALP, too"),
    setting("phalp.alpha", "0.1", "phalp.alpha"),
    translated("phalp.low_th_c", "0.8", translate::least_score, "`detect.least_score`; the preset's default is not applied to NanoDet, whose scores are lower than ViTDet's").plain("0.0"),
    setting("phalp.hungarian_th", "100.0", "phalp.hungarian_th"),
    setting("phalp.track_history", "7", "phalp.track_history"),
    setting("phalp.max_age_track", "50", "phalp.max_age_track"),
    setting("phalp.n_init", "5", "phalp.n_init"),
    setting("phalp.encode_type", "4c", "appearance.encode_type"),
    setting("phalp.past_lookback", "1", "phalp.past_lookback"),
    translated("phalp.detector", "vitdet", translate::detector, "`detect.model`; `maskrcnn` is `regnety`. A preset uses `vitdet` where it is imported (`posebook model import vitdet`), otherwise NanoDet").plain("nanodet"),
    dead("phalp.shot", "0", "PHALP overwrites it in every frame"),
    frames("phalp.start_frame", "-1", "added to the first frame of the range; -1 selects the whole range"),
    frames("phalp.end_frame", "10", "end within the range, if `phalp.start_frame` is not -1"),
    setting("phalp.small_w", "50", "detect.smallest_width").plain("0"),
    setting("phalp.small_h", "100", "detect.smallest_height").plain("0"),
    file("pose_predictor.config_path", "phalp/weights/pose_predictor.yaml", IMPORT_PREDICTOR),
    file("pose_predictor.weights_path", "phalp/weights/pose_predictor.pth", IMPORT_PREDICTOR),
    file("pose_predictor.mean_std", "phalp/3D/mean_std.npy", IMPORT_PREDICTOR),
    dead("ava_config.ava_labels_path", "phalp/ava/ava_labels.pkl", ACTIONS),
    dead("ava_config.ava_class_mappping_path", "phalp/ava/ava_class_mapping.pkl", ACTIONS),
    file("hmr.hmar_path", "phalp/weights/hmar_v2_weights.pth", "the appearance encoder is imported once: `posebook model import phalp --from-cache`"),
    translated("render.enable", "true", translate::render, "`false`: no overlay video is drawn"),
    setting("render.type", "HUMAN_MESH", "render.type"),
    dead("render.up_scale", "2", "PHALP computes it from `render.output_resolution`"),
    fixed("render.res", "256", "locations and 2D joints of PHALP assume 256, so that other values give inconsistent results"),
    translated("render.side_view_each", "false", translate::side_view, "`render.side_view`: a second panel with the bodies from the side; nothing reads it in PHALP"),
    fixed("render.metallicfactor", "0.0", MATERIAL),
    fixed("render.roughnessfactor", "0.7", MATERIAL),
    setting("render.colors", "phalp", "render.colors").plain("posebook"),
    fixed("render.head_mask", "false", "drawing heads alone is not built in"),
    dead("render.head_mask_path", "phalp/3D/head_faces.npy", "only `render.head_mask` reads it"),
    setting("render.output_resolution", "1440", "render.output_resolution").plain("null"),
    setting("render.fps", "30", "render.fps").plain("null"),
    fixed("render.blur_faces", "false", "faces are not detected; blur them in the written video"),
    dead("render.show_keypoints", "false", "only LART's labels read it"),
    dead("post_process.apply_smoothing", "true", "only LART's postprocessor reads it; here it is `smoothing.results=true`"),
    dead("post_process.phalp_pkl_path", "_OUT/videos_v0", NOBODY_READS),
    dead("post_process.save_fast_tracks", "false", "only LART's postprocessor reads it"),
    file("SMPL.MODEL_PATH", "phalp/3D/models/smpl/", IMPORT_BODY),
    fixed("SMPL.GENDER", "neutral", "HMR2 predicts the shape of the neutral body; import another body under its own name by `posebook model import hmr2 --smpl FILE --name NAME`"),
    fixed("SMPL.MODEL_TYPE", "smpl", "bodies are SMPL's"),
    fixed("SMPL.NUM_BODY_JOINTS", "23", "SMPL has 23 joints besides its root"),
    file("SMPL.JOINT_REGRESSOR_EXTRA", "phalp/3D/SMPL_to_J19.pkl", IMPORT_BODY),
    file("SMPL.TEXTURE", "phalp/3D/texture.npz", "the texture atlas is imported once: `posebook model import phalp --from-cache`"),
    dead("MODEL.IMAGE_SIZE", "256", "crops have 256 pixels a side wherever PHALP makes them"),
    dead("MODEL.SMPL_HEAD.TYPE", "basic", OLD_NETWORK),
    dead("MODEL.SMPL_HEAD.POOL", "max", OLD_NETWORK),
    file("MODEL.SMPL_HEAD.SMPL_MEAN_PARAMS", "phalp/3D/smpl_mean_params.npz", "the mean parameters are imported once: `posebook model import hmr2 --mean-params FILE`"),
    dead("MODEL.SMPL_HEAD.IN_CHANNELS", "2048", OLD_NETWORK),
    dead("MODEL.BACKBONE.TYPE", "resnet", OLD_NETWORK),
    dead("MODEL.BACKBONE.NUM_LAYERS", "50", OLD_NETWORK),
    dead("MODEL.BACKBONE.MASK_TYPE", "feat", OLD_NETWORK),
    dead("MODEL.TRANSFORMER.HEADS", "1", OLD_NETWORK),
    dead("MODEL.TRANSFORMER.LAYERS", "1", OLD_NETWORK),
    dead("MODEL.TRANSFORMER.BOX_FEATS", "6", OLD_NETWORK),
    dead("MODEL.pose_transformer_size", "2048", OLD_NETWORK),
    fixed("EXTRA.FOCAL_LENGTH", "5000", "PHALP's location prediction and texture sampler assume 5000, so that other values give inconsistent results"),
    dead("hmr_type", "hmr2018", NOBODY_READS),
    dead("hydra.run.dir", "${video.output_dir}", "Hydra's own files are not written"),
    translated("expand_bbox_shape", "null", translate::expand_bbox_shape, "`hmr2.expand_bbox_shape`; `null` is `none`").humans("[192,256]").plain("[192,256]"),
];

/// The setting of this name.
pub(super) fn find(key: &str) -> Option<&'static PhalpKey> {
    KEYS.iter().find(|known| known.key == key)
}
