//! One struct per table; a field is a column and its documentation is the column's description.
//!
//! Names end with their units. What is unknown is `None` (null), never zero.

use super::column::table;
use super::metrics::RunMetrics;
use posebook_core::labels::{Outcome, Precision, VideoMode};

table! {
    /// One run: one point of the sweep, one clip, one repeat. Failed runs are rows, too.
    pub struct RunRow in "runs" {
        /// First digits of the hash of everything that determines the run
        pub run_id: String,
        /// The experiment that the run belongs to
        pub experiment: String,
        /// Video mode, such as `extract-jpeg` or `stream-sequential`; null if the settings contradict each other
        pub mode: Option<VideoMode>,
        /// `ok`, `out_of_memory`, `timed_out`, `crashed` or `error`
        pub outcome: Outcome,
        /// Error message; null if the run finished
        pub error: Option<String>,
        /// Warnings of the decoder, and other processes on the GPU
        pub remarks: Option<String>,
        /// Number of the repeat of the same settings, from 1
        pub repeat: u64,
        /// The setting whose largest working value is searched; null outside a search
        pub search_key: Option<String>,
        /// Value of that setting in this run
        pub search_value: Option<f64>,
        /// After the search: `largest_ok` or `smallest_failed`; null for other runs
        pub search_edge: Option<String>,
        /// All settings with defaults filled in, as JSON
        pub settings: String,

        /// The dataset's name
        pub dataset: String,
        /// The clip's name
        pub clip: String,
        /// SHA-256 of the clip's file
        pub clip_sha256: Option<String>,
        /// SHA-256 of the clip's decoded frames; known for drawn clips
        pub clip_decoded_sha256: Option<String>,
        /// Whether that hash equals the recorded one; null where none is recorded
        pub clip_as_recorded: Option<bool>,
        /// Size of the clip's file
        pub clip_bytes: Option<u64>,
        /// Width of a frame in pixels
        pub width: Option<u64>,
        /// Height of a frame in pixels
        pub height: Option<u64>,
        /// Number of frames in the clip's file
        pub clip_frames: Option<u64>,
        /// First frame of the requested range
        pub first_frame: Option<u64>,
        /// Number of frames in the requested range
        pub frames: Option<u64>,
        /// Step between frames that are read: 1 reads all
        pub every: u64,
        /// Number of times the clip's file is read in a row, as one long video
        pub loops: u64,
        /// Whether decoding and writing overlap inference; PHALP does them in turn
        pub overlap: Option<bool>,
        /// Number of processed frames; less than `frames` if the run failed
        pub frames_done: Option<u64>,
        /// Frames per second of the clip
        pub fps: Option<f64>,
        /// The dataset's seed, for drawn clips
        pub dataset_seed: Option<u64>,
        /// People in the scene, for drawn clips
        pub dataset_people: Option<u64>,
        /// Encoder's distance between key frames in frames, for drawn clips
        pub gop: Option<u64>,
        /// Encoder's maximum number of consecutive B-frames, for drawn clips
        pub b_frames: Option<u64>,
        /// Encoder's constant rate factor, 0 is lossless; null where a bit rate is set
        pub crf: Option<u64>,
        /// Encoder's bit rate; null where a constant rate factor is set
        pub bit_rate_kbps: Option<u64>,
        /// Quality of extracted JPEG files, 1 to 100; null in the other modes
        pub jpeg_quality: Option<u64>,

        /// The model set's name
        pub model: String,
        /// SHA-256 of the weights
        pub weights_sha256: Option<String>,
        /// SHA-256 of the body model's file; null for the built-in body
        pub body_sha256: Option<String>,
        /// Detector: `given` for provided boxes, else the network, such as `nanodet` or `vitdet`
        pub detector: Option<String>,
        /// SHA-256 of the detector's weights, or `formula a` for weights by formula; null where boxes are provided
        pub detector_sha256: Option<String>,
        /// Cues of the tracker, such as `location + pose + texture`; `none` if all are off
        pub cues: Option<String>,
        /// Detections rejected by the body network, which have no body
        pub people_without_body: Option<u64>,
        /// Number format of the network
        pub precision: Precision,
        /// Maximum number of crops per forward pass
        pub hmr2_batch: u64,
        /// Number of frames whose people share a forward pass
        pub hmr2_frames: u64,
        /// `cpu` or `cuda:0`
        pub device: String,
        /// Limit of the process' host memory, MiB; null without a limit
        pub limit_host_mib: Option<u64>,
        /// Limit of GPU memory, MiB; null without a limit
        pub limit_device_mib: Option<u64>,
        /// `stream`: rows are written as they come; `accumulate`: they are held until the end, as PHALP does
        pub results: String,
        /// Seed of all random numbers
        pub seed: u64,

        /// Git commit of the source
        pub git_hash: Option<String>,
        /// Whether tracked files differed from that commit
        pub git_dirty: Option<bool>,
        /// SHA-256 of the program
        pub program_sha256: Option<String>,
        /// The processor
        pub cpu: Option<String>,
        /// Number of available processors
        pub cores: Option<u64>,
        /// Memory of the machine
        pub machine_memory_bytes: Option<u64>,
        /// Operating system and architecture
        pub os: Option<String>,
        /// Version of ffmpeg
        pub ffmpeg: Option<String>,
        /// GPU that the run was assigned to; null on the CPU
        pub gpu: Option<String>,
        /// Driver of the GPU and its CUDA version; null on the CPU
        pub driver: Option<String>,
        /// Start of the run, UTC
        pub started_utc: Option<String>,

        /// Everything measured in the run
        pub metrics: RunMetrics,
    }
}

table! {
    /// One frame of one run.
    pub struct FrameRow in "frames" {
        /// The run
        pub run_id: String,
        /// Position in presentation order, from the clip's start
        pub frame: u64,
        /// Presentation time
        pub time_secs: f64,
        /// Time spent waiting for the frame
        pub decode_secs: f64,
        /// Time spent detecting people
        pub detect_secs: f64,
        /// Time spent recovering bodies: the frame's share of its batch, by number of people
        pub recover_secs: f64,
        /// Time spent tracking
        pub track_secs: f64,
        /// Time spent writing the rows that became final with this frame
        pub write_secs: f64,
        /// From the frame's arrival until its people were tracked
        pub latency_secs: f64,
        /// Start of decoding, seconds after the video was opened; null for a preloaded frame
        pub decode_from_secs: Option<f64>,
        /// End of decoding, seconds after the video was opened
        pub decode_to_secs: Option<f64>,
        /// Arrival at the first stage, seconds after the video was opened
        pub taken_at_secs: f64,
        /// Start of the forward pass of the frame's batch, seconds after the video was opened
        pub network_from_secs: f64,
        /// End of that forward pass, seconds after the video was opened
        pub network_to_secs: f64,
        /// End of tracking, seconds after the video was opened
        pub followed_at_secs: f64,
        /// Start of writing, seconds after the video was opened
        pub write_from_secs: f64,
        /// End of writing, seconds after the video was opened
        pub write_to_secs: f64,
        /// Number of detections
        pub people: u64,
        /// Whether a shot starts with this frame; null without `shots.detect`
        pub shot: Option<bool>,
        /// Heap at the end of the frame
        pub heap_bytes: Option<u64>,
        /// Peak heap since the video was opened
        pub heap_peak_bytes: Option<u64>,
    }
}

table! {
    /// One sample of a run's memory. All values of a row were read within a few milliseconds.
    pub struct MemoryRow in "memory" {
        /// The run
        pub run_id: String,
        /// Seconds since the process started
        pub secs: f64,
        /// Frame being processed; null before the first
        pub frame: Option<u64>,
        /// Bytes held by the process' allocator
        pub heap_bytes: Option<u64>,
        /// Peak of it since the networks were loaded
        pub heap_peak_bytes: Option<u64>,
        /// Resident set of the process
        pub process_bytes: Option<u64>,
        /// Peak of it so far, from the kernel
        pub process_peak_bytes: Option<u64>,
        /// Sum of the resident sets of the child processes (the decoder)
        pub decoder_bytes: Option<u64>,
        /// Number of child processes
        pub decoder_processes: Option<u64>,
        /// Bytes in tensors in CUDA's memory pool; null on the CPU
        pub device_used_bytes: Option<u64>,
        /// Bytes reserved by the pool from the GPU; null on the CPU
        pub device_reserved_bytes: Option<u64>,
        /// Bytes held by the process on the GPU according to the driver, without the reservation; null if it does not report them
        pub device_process_bytes: Option<u64>,
        /// Bytes free on the GPU for all processes, after the reservation; null on the CPU
        pub device_free_bytes: Option<u64>,
        /// Size of the scratch files
        pub disk_bytes: Option<u64>,
    }
}

table! {
    /// One person in one frame of one run.
    pub struct PersonRow in "people" {
        /// The run
        pub run_id: String,
        /// Position of the frame in presentation order, from the clip's start
        pub frame: u64,
        /// Presentation time
        pub time_secs: f64,
        /// Index among the people of the frame, from 0
        pub person: u64,
        /// Track id; null while the track is not confirmed
        pub track: Option<u64>,
        /// Identity in the file of boxes, where boxes are provided
        pub truth_id: Option<u64>,
        /// Left edge of the box
        pub x1_px: f32,
        /// Upper edge of the box
        pub y1_px: f32,
        /// Right edge of the box
        pub x2_px: f32,
        /// Lower edge of the box
        pub y2_px: f32,
        /// Confidence of the detection, 0 to 1
        pub score: f32,
        /// SMPL: 10 shape components
        pub betas: Vec<f32>,
        /// SMPL: root orientation, a 3x3 matrix row by row
        pub global_orient: Vec<f32>,
        /// SMPL: 23 rotations, 3x3 matrices row by row
        pub body_pose: Vec<f32>,
        /// HMR2's camera in the crop: scale, x, y
        pub crop_camera: Vec<f32>,
        /// Translation of the body in the camera space of PHALP's full-image camera, meters
        pub translation_m: Vec<f32>,
        /// 44 joints relative to the body's origin, camera axes, meters: x, y, z of each
        pub joints_m: Vec<f32>,
        /// 44 joints and the body's origin in pixels of the frame: x, y of each
        pub joints_px: Vec<f32>,
        /// Probability that a person is present, from the landmark network, 0 to 1; null with HMR2
        pub presence: Option<f32>,
        /// Standard deviations of 12 joints of the fit to landmarks, millimeters: shoulders, elbows, wrists, hips, knees, ankles, left before right; empty with HMR2
        pub joints_sd_mm: Vec<f32>,
        /// Segmentation mask as COCO run lengths: the detector's, else BlazePose's, else with HMR2 the body's silhouette where its appearance is computed; else null
        pub mask_counts: Option<String>,
        /// Embedding of the appearance, 4096 values; empty without `appearance.results`
        pub appearance: Vec<f32>,
        /// 44 joints smoothed along the track, as `joints_m`; empty without `smoothing.results`
        pub smooth_joints_m: Vec<f32>,
        /// Translation of the smoothed body, as `translation_m`; empty without `smoothing.results`
        pub smooth_translation_m: Vec<f32>,
        /// Mean error of the 14 common joints, aligned at the pelvis; null without ground truth
        pub mpjpe_mm: Option<f64>,
        /// The same error after the best similarity transform; null without ground truth
        pub pa_mpjpe_mm: Option<f64>,
    }
}

table! {
    /// One claim of an experiment with its verdict. Written as CSV only; not available to queries.
    pub struct ClaimRow in "claims" {
        /// The claim
        pub claim: String,
        /// `holds`, `refuted` or `not measured`
        pub verdict: String,
        /// The verdict that the experiment expects
        pub expected: String,
        /// Whether the verdict is the expected one; also true if what the claim needs was missing
        pub as_expected: bool,
        /// The measured number; null where there is none
        pub number: Option<f64>,
        /// Bounds within which the claim holds, with the unit
        pub holds_if: String,
        /// The bound that is farthest from zero
        pub largest_bound: Option<f64>,
        /// Whether the number follows from times or from what the system counts, so that it differs from run to run
        pub is_of_the_moment: bool,
    }
}
