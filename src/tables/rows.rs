//! The tables: a struct per row, units in the names. Unknown is `None` (null), never zero.

use super::column::table;

table! {
    /// One run: one point of the sweep, one clip, one repeat. Failed ones too.
    pub struct RunRow in "runs" {
        /// Digits of the hash of all that went into the run
        pub run_id: String,
        /// The experiment that asked for it
        pub experiment: String,
        /// How the video was delivered, such as `extract-jpeg` or `stream-sequential`
        pub mode: String,
        /// `ok`, `out_of_memory`, `timed_out`, `crashed` or `error`
        pub outcome: String,
        /// What went wrong; null if nothing did
        pub error: Option<String>,
        /// What the decoder complained about although it went on, and who else was on the card
        pub remarks: Option<String>,
        /// Which repeat of the same point, from 1
        pub repeat: u64,
        /// The setting whose largest value that works was searched; null for a run of its own
        pub search_key: Option<String>,
        /// The value that this run tried
        pub search_value: Option<f64>,
        /// Once the search has ended: `largest_ok` or `smallest_failed`; null for the other tries
        pub search_edge: Option<String>,
        /// All settings, resolved, as JSON
        pub settings: String,

        /// The dataset's name
        pub dataset: String,
        /// The clip's name
        pub clip: String,
        /// SHA-256 of the clip's file
        pub clip_sha256: Option<String>,
        /// SHA-256 of the clip's decoded frames, where it is known: of drawn clips.
        pub clip_decoded_sha256: Option<String>,
        /// Whether they are those on record; null where nothing is on record.
        pub clip_as_recorded: Option<bool>,
        /// Size of the clip's file
        pub clip_bytes: Option<u64>,
        /// Width of a frame in pixels
        pub width: Option<u64>,
        /// Height of a frame in pixels
        pub height: Option<u64>,
        /// Frames of the clip's file
        pub clip_frames: Option<u64>,
        /// First frame of the range that was asked for
        pub first_frame: Option<u64>,
        /// Frames in the range that was asked for
        pub frames: Option<u64>,
        /// Every how many frames one was read
        pub every: u64,
        /// How many times the clip's file was read on end, as one long video
        pub loops: u64,
        /// Whether reading and writing went on beside the looking; PHALP does one after the other
        pub overlap: Option<bool>,
        /// Frames that were finished, less than `frames` when the run failed
        pub frames_done: Option<u64>,
        /// Frames per second of the clip
        pub fps: Option<f64>,
        /// The dataset's seed, where the clip is drawn
        pub dataset_seed: Option<u64>,
        /// People in the scene, where the clip is drawn
        pub dataset_people: Option<u64>,
        /// Frames from key frame to key frame that the encoder was told, where the clip is drawn
        pub gop: Option<u64>,
        /// Frames between two that are not predicted from later ones, at most, where the clip is drawn
        pub b_frames: Option<u64>,
        /// The encoder's constant quality, 0 at best; null where it was given a bit rate
        pub crf: Option<u64>,
        /// The encoder's bit rate; null where it was given a quality
        pub bit_rate_kbps: Option<u64>,
        /// Quality of extracted JPEG files, 1 to 100; null in the other modes
        pub jpeg_quality: Option<u64>,

        /// The model set's name
        pub model: String,
        /// SHA-256 of the weights
        pub weights_sha256: Option<String>,
        /// SHA-256 of the body's file; null for the built-in stand-in
        pub body_sha256: Option<String>,
        /// What finds people: `given` or `nanodet`
        pub detector: Option<String>,
        /// SHA-256 of the detector's weights; null where boxes are given
        pub detector_sha256: Option<String>,
        /// Detections in which the network recognized no person, so that they have no body
        pub people_without_body: Option<u64>,
        /// Number format of the network
        pub precision: String,
        /// Crops that go through the network at once, at most
        pub hmr2_batch: u64,
        /// Frames whose people go through it together
        pub hmr2_frames: u64,
        /// `cpu` or `cuda:0`
        pub device: String,
        /// The most that the process may hold, MiB; null without a limit
        pub limit_host_mib: Option<u64>,
        /// How small the graphics card was made, MiB; null without a limit
        pub limit_device_mib: Option<u64>,
        /// `stream` or `accumulate`: whether results are written as they come or kept to the end, as PHALP does
        pub results: String,
        /// The seed of all randomness
        pub seed: u64,

        /// The source's commit
        pub git_hash: Option<String>,
        /// Whether tracked files differed from that commit
        pub git_dirty: Option<bool>,
        /// SHA-256 of the program that ran
        pub program_sha256: Option<String>,
        /// The processor
        pub cpu: Option<String>,
        /// Processors available
        pub cores: Option<u64>,
        /// Memory of the machine
        pub machine_memory_bytes: Option<u64>,
        /// Operating system and architecture
        pub os: Option<String>,
        /// The decoder's version
        pub ffmpeg: Option<String>,
        /// The graphics card that the run was to use; null on the CPU
        pub gpu: Option<String>,
        /// Its driver, and the CUDA that this knows; null on the CPU
        pub driver: Option<String>,
        /// When the run started, UTC
        pub started_utc: Option<String>,

        /// From the process' start to its end, seen from outside
        pub wall_secs: Option<f64>,
        /// Opening the device, loading the model set and the body
        pub setup_secs: Option<f64>,
        /// Opening the video; in the extract modes all of the extraction
        pub open_secs: Option<f64>,
        /// From the opening of the video until the first frame is there; in the extract modes after all of the extraction
        pub first_frame_secs: Option<f64>,
        /// Waiting for frames after that
        pub decode_secs: Option<f64>,
        /// Finding people
        pub detect_secs: Option<f64>,
        /// Recovering bodies: crops and network
        pub recover_secs: Option<f64>,
        /// Following people
        pub track_secs: Option<f64>,
        /// Writing rows
        pub write_secs: Option<f64>,
        /// From a frame's arrival until its people are followed, in the mean; frames taken together wait for each other
        pub latency_secs: Option<f64>,

        /// Largest heap while the models were loaded
        pub heap_setup_peak_bytes: Option<u64>,
        /// Heap with the models loaded, before the video is opened
        pub heap_base_bytes: Option<u64>,
        /// Largest heap from the opening of the video on, models included; exact
        pub heap_peak_bytes: Option<u64>,
        /// Of the heap: the network's weights and the body, once loaded
        pub heap_weights_bytes: Option<u64>,
        /// Of the heap: the buffers in which threads sort what they multiply, made with the models
        pub heap_scratch_bytes: Option<u64>,
        /// Of the heap: buffers of decoded frames, at most
        pub heap_frames_bytes: Option<u64>,
        /// Of the heap: what a batch's crops and the network's numbers took beyond what was held before, at most
        pub heap_activations_bytes: Option<u64>,
        /// Of the heap: what the tracker remembers, at most
        pub heap_tracks_bytes: Option<u64>,
        /// Of the heap: results that are kept to the end; zero where they are written as they come
        pub heap_results_bytes: Option<u64>,
        /// Largest resident set of the process over its whole life, from the kernel
        pub process_peak_bytes: Option<u64>,
        /// Largest resident set of the process' children (the decoder), sampled
        pub decoder_peak_bytes: Option<u64>,
        /// Largest use of the graphics card's pool while the models were loaded; null without a card
        pub device_setup_peak_bytes: Option<u64>,
        /// The pool's use with the models loaded, before the video is opened; null without a card
        pub device_base_bytes: Option<u64>,
        /// Largest use of the pool (held by tensors) from then on, models included; exact; null without a card
        pub device_peak_bytes: Option<u64>,
        /// The most that the pool took from the card for that, what is free in it included; null without a card
        pub device_reserved_peak_bytes: Option<u64>,
        /// The most that the process held of the card in all, by the driver, sampled; null where it does not tell
        pub device_process_peak_bytes: Option<u64>,
        /// What opening the card took, before any tensor; null where the driver does not tell
        pub device_context_bytes: Option<u64>,
        /// What libraries and kernels' code held at the end, beside pool and context; null where the driver does not tell
        pub device_workspace_bytes: Option<u64>,
        /// Memory of the whole card; null without one
        pub device_total_bytes: Option<u64>,
        /// Taken away before the run, so that the card was as small as `limits.device_mib`; null without that limit
        pub device_ballast_bytes: Option<u64>,
        /// Largest size of the scratch files
        pub disk_peak_bytes: Option<u64>,
        /// Bytes that the process and its children caused to be written to storage
        pub disk_written_bytes: Option<u64>,

        /// People found, over all frames
        pub people: Option<u64>,
        /// Identities given
        pub tracks: Option<u64>,
        /// Higher order tracking accuracy, 0 to 1
        pub hota: Option<f64>,
        /// Detection accuracy of HOTA, 0 to 1
        pub det_a: Option<f64>,
        /// Association accuracy of HOTA, 0 to 1
        pub ass_a: Option<f64>,
        /// Localisation accuracy of HOTA, 0 to 1
        pub loc_a: Option<f64>,
        /// Multiple object tracking accuracy (CLEAR), 1 at best, no lower end
        pub mota: Option<f64>,
        /// Multiple object tracking precision (CLEAR): mean overlap of matched boxes, 0 to 1
        pub motp: Option<f64>,
        /// F1 of identities, 0 to 1
        pub idf1: Option<f64>,
        /// Precision of identities, 0 to 1
        pub idp: Option<f64>,
        /// Recall of identities, 0 to 1
        pub idr: Option<f64>,
        /// Identity switches (CLEAR)
        pub id_switches: Option<u64>,
        /// Fragments (CLEAR)
        pub fragments: Option<u64>,
        /// People of the truth followed in at least 80% of their frames
        pub mostly_tracked: Option<u64>,
        /// People of the truth followed in less than 20% of their frames
        pub mostly_lost: Option<u64>,
        /// Boxes of the truth that were found (CLEAR), 0 to 1
        pub recall: Option<f64>,
        /// Boxes found that are true (CLEAR), 0 to 1
        pub precision_of_boxes: Option<f64>,
        /// Mean error of joints, both sides aligned: of drawn clips the 14 common joints at the pelvis; against calibrated views 12 joints at the middle of the hips
        pub mpjpe_mm: Option<f64>,
        /// The same after the best rotation, scale and shift
        pub pa_mpjpe_mm: Option<f64>,
        /// What the truth of the joints is, where it is of calibrated views
        pub pose_truth: Option<String>,
        /// Frames whose joints were scored against calibrated views
        pub pose_frames: Option<u64>,
        /// Frames of that truth in which nobody was found where the person is
        pub pose_frames_missed: Option<u64>,
        /// What `mpjpe_mm` of a T-pose that faces the camera would be in those frames
        pub t_pose_mpjpe_mm: Option<f64>,
        /// What `pa_mpjpe_mm` of a T-pose would be
        pub t_pose_pa_mpjpe_mm: Option<f64>,
        /// Mean second difference of the joints along the tracks, millimetres per frame squared
        pub jitter_mm_per_frame2: Option<f64>,
        /// The same of the smoothed joints; null without `smoothing.results`
        pub smooth_jitter_mm_per_frame2: Option<f64>,
        /// Mean error of the joints' accelerations, millimetres per frame squared
        pub accel_mm_per_frame2: Option<f64>,
        /// Mean error of the body's surface, aligned at the pelvis
        pub pve_mm: Option<f64>,
        /// Common joints in the picture nearer to the truth than a tenth of the box' longer side, 0 to 1
        pub pck_10: Option<f64>,

        /// The run that this one is compared with: the same point in single precision, read losslessly in sequence
        pub reference_run_id: Option<String>,
        /// Mean distance of box corners to the reference run's
        pub agree_box_mean_px: Option<f64>,
        /// Largest distance of box corners to the reference run's
        pub agree_box_max_px: Option<f64>,
        /// Mean distance of joints to the reference run's
        pub agree_joint_mean_mm: Option<f64>,
        /// Largest distance of joints to the reference run's
        pub agree_joint_max_mm: Option<f64>,
        /// Share of people with the same identity as in the reference run, 0 to 1
        pub agree_identities: Option<f64>,
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
        /// Waiting for the frame
        pub decode_secs: f64,
        /// Finding people
        pub detect_secs: f64,
        /// Recovering bodies
        pub recover_secs: f64,
        /// Following people
        pub track_secs: f64,
        /// Writing the rows that this frame made final
        pub write_secs: f64,
        /// From the frame's arrival until its people were followed
        pub latency_secs: f64,
        /// When its decoding began, since the video was opened; null where the frame was kept and not decoded
        pub decode_from_secs: Option<f64>,
        /// When it was decoded, since the video was opened
        pub decode_to_secs: Option<f64>,
        /// When it was taken up, since the video was opened
        pub taken_at_secs: f64,
        /// When the network began with its people (of all frames taken together), since the video was opened
        pub network_from_secs: f64,
        /// When the network was done with them, since the video was opened
        pub network_to_secs: f64,
        /// When its people were followed, since the video was opened
        pub followed_at_secs: f64,
        /// When the writing of what it made final began, since the video was opened
        pub write_from_secs: f64,
        /// When that was written, since the video was opened
        pub write_to_secs: f64,
        /// People found
        pub people: u64,
        /// Heap at the frame's end
        pub heap_bytes: Option<u64>,
        /// Largest heap since the video was opened
        pub heap_peak_bytes: Option<u64>,
    }
}

table! {
    /// One sample of one run's memory: every number of a row was read within the same milliseconds.
    pub struct MemoryRow in "memory" {
        /// The run
        pub run_id: String,
        /// Seconds since the process started
        pub secs: f64,
        /// The frame being worked on; null before the first
        pub frame: Option<u64>,
        /// Held by the process' allocator
        pub heap_bytes: Option<u64>,
        /// The most that it held at once so far, since the models were loaded
        pub heap_peak_bytes: Option<u64>,
        /// Resident set of the process
        pub process_bytes: Option<u64>,
        /// The kernel's own peak of it so far
        pub process_peak_bytes: Option<u64>,
        /// Resident sets of the process' children (the decoder), summed
        pub decoder_bytes: Option<u64>,
        /// Number of those children
        pub decoder_processes: Option<u64>,
        /// Held by tensors in the graphics card's pool; null without a card
        pub device_used_bytes: Option<u64>,
        /// Taken by the pool from the card; null without a card
        pub device_reserved_bytes: Option<u64>,
        /// Held by the process on the card in all, by the driver, without ballast; null where it does not tell
        pub device_process_bytes: Option<u64>,
        /// Free on the card, all processes together, with ballast taken away; null without a card
        pub device_free_bytes: Option<u64>,
        /// Scratch files
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
        /// Position among the people of the frame
        pub person: u64,
        /// Identity; null while the tracker does not vouch for one
        pub track: Option<u64>,
        /// Identity in the truth, where the box was given
        pub truth_id: Option<u64>,
        /// Left edge of the box
        pub x1_px: f32,
        /// Upper edge of the box
        pub y1_px: f32,
        /// Right edge of the box
        pub x2_px: f32,
        /// Lower edge of the box
        pub y2_px: f32,
        /// Confidence, 0 to 1
        pub score: f32,
        /// SMPL: 10 shape components
        pub betas: Vec<f32>,
        /// SMPL: root orientation, a 3x3 matrix row by row
        pub global_orient: Vec<f32>,
        /// SMPL: 23 rotations, 3x3 matrices row by row
        pub body_pose: Vec<f32>,
        /// HMR2's camera in the crop: scale, x, y
        pub crop_camera: Vec<f32>,
        /// Where the body stands before PHALP's camera, metres
        pub translation_m: Vec<f32>,
        /// 44 joints relative to the body's origin, camera axes, metres: x, y, z of each
        pub joints_m: Vec<f32>,
        /// 44 joints and the body's origin in pixels of the frame: x, y of each
        pub joints_px: Vec<f32>,
        /// Whether there is a person, by a landmark network, 0 to 1; null of HMR2
        pub presence: Option<f32>,
        /// Standard deviations of 12 joints of the fit to landmarks, millimetres: shoulders, elbows, wrists, hips, knees, ankles, left before right; empty of HMR2
        pub joints_sd_mm: Vec<f32>,
        /// Pixels of the frame that the person covers, COCO's run lengths; null where the network does not say
        pub mask_counts: Option<String>,
        /// 44 joints smoothed along the track, as `joints_m`; empty without `smoothing.results`
        pub smooth_joints_m: Vec<f32>,
        /// Where the smoothed body stands, as `translation_m`; empty without `smoothing.results`
        pub smooth_translation_m: Vec<f32>,
        /// Mean error of the 14 common joints, aligned at the pelvis; null without truth
        pub mpjpe_mm: Option<f64>,
        /// The same after the best rotation, scale and shift; null without truth
        pub pa_mpjpe_mm: Option<f64>,
    }
}

table! {
    /// One claim of an experiment with its verdict. It is written as CSV alone and is not there for queries.
    pub struct ClaimRow in "claims" {
        /// What is claimed
        pub claim: String,
        /// `holds`, `refuted` or `not measured`
        pub verdict: String,
        /// The verdict that the experiment expects
        pub expected: String,
        /// Whether the verdict is the expected one, or what the claim needs was not there
        pub as_expected: bool,
        /// The number that was measured; null where there is none
        pub number: Option<f64>,
        /// The bounds within which the claim holds, with the unit
        pub holds_if: String,
        /// The bound that is farthest from zero
        pub largest_bound: Option<f64>,
        /// Whether the number follows from times or from what the system counts, so that it differs from run to run
        pub is_of_the_moment: bool,
    }
}
