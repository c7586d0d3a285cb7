//! The measurements of one run, as groups of columns of the table `runs`.
//!
//! One [`RunMetrics`] travels from the run's process through the supervisor into the row: the process fills what it
//! can measure itself, the supervisor adds what it samples from outside, and scoring adds the accuracy. To add a
//! metric, declare its field here and assign it where it is measured; nothing between the two has to change.
//! What was not measured is `None` (null), never zero.

use super::column::column_group;

column_group! {
    /// Everything measured in one run.
    pub struct RunMetrics {
        /// Wall-clock times
        pub timing: Timing,
        /// Host memory
        pub host: HostMemory,
        /// GPU memory
        pub device: GpuMemory,
        /// Disk use
        pub disk: DiskUse,
        /// Accuracy of tracks
        pub tracking: TrackingAccuracy,
        /// Accuracy of detections
        pub detection: DetectionAccuracy,
        /// Accuracy of bodies
        pub pose: PoseAccuracy,
        /// Difference from the reference run
        pub agreement: Agreement,
    }
}

column_group! {
    /// Wall-clock times of a run, in seconds.
    pub struct Timing {
        /// From the process' start to its end, measured by the supervisor
        pub wall_secs: Option<f64>,
        /// Opening the device, loading the networks and the body model
        pub setup_secs: Option<f64>,
        /// Opening the video; in the extract modes this includes the whole extraction
        pub open_secs: Option<f64>,
        /// From opening the video until the first frame is available; in the extract modes this includes the whole extraction
        pub first_frame_secs: Option<f64>,
        /// Waiting for decoded frames, summed over all frames
        pub decode_secs: Option<f64>,
        /// Detecting people, summed over all frames
        pub detect_secs: Option<f64>,
        /// Recovering bodies: cropping and the network, summed over all frames
        pub recover_secs: Option<f64>,
        /// Tracking, summed over all frames
        pub track_secs: Option<f64>,
        /// Writing rows, summed over all frames
        pub write_secs: Option<f64>,
        /// Mean time from a frame's arrival until its people are tracked; frames of one batch wait for each other
        pub latency_secs: Option<f64>,
    }
}

column_group! {
    /// Host memory of a run. Heap values are exact (counted by the allocator), resident sets are the kernel's.
    pub struct HostMemory {
        /// Peak heap while the networks were loaded
        pub heap_setup_peak_bytes: Option<u64>,
        /// Heap after loading, before the video is opened
        pub heap_base_bytes: Option<u64>,
        /// Peak heap after loading, networks included; exact
        pub heap_peak_bytes: Option<u64>,
        /// Part of the heap: weights of the network and the body model
        pub heap_weights_bytes: Option<u64>,
        /// Part of the heap: per-thread buffers of the matrix products, allocated with the networks
        pub heap_scratch_bytes: Option<u64>,
        /// Part of the heap: peak size of the buffers of decoded frames
        pub heap_frames_bytes: Option<u64>,
        /// Part of the heap: peak size of one batch's crops and activations
        pub heap_activations_bytes: Option<u64>,
        /// Part of the heap: peak size of the tracker's state
        pub heap_tracks_bytes: Option<u64>,
        /// Part of the heap: results accumulated until the end; zero where rows are written as they come
        pub heap_results_bytes: Option<u64>,
        /// Peak resident set of the process over its lifetime, from the kernel
        pub process_peak_bytes: Option<u64>,
        /// Peak resident set of the child processes (the decoder), sampled
        pub decoder_peak_bytes: Option<u64>,
    }
}

column_group! {
    /// GPU memory of a run. All null on the CPU.
    pub struct GpuMemory {
        /// Peak use of CUDA's memory pool while the networks were loaded
        pub device_setup_peak_bytes: Option<u64>,
        /// Use of the pool after loading, before the video is opened
        pub device_base_bytes: Option<u64>,
        /// Peak use of the pool (bytes in tensors) after loading, networks included; exact
        pub device_peak_bytes: Option<u64>,
        /// Peak bytes that the pool had reserved from the GPU, its free part included
        pub device_reserved_peak_bytes: Option<u64>,
        /// Peak bytes that the process held on the GPU according to the driver, sampled; null if the driver does not report it
        pub device_process_peak_bytes: Option<u64>,
        /// Bytes taken by creating the CUDA context, before any tensor; null if the driver does not report it
        pub device_context_bytes: Option<u64>,
        /// Bytes of libraries and kernel code at the end, outside pool and context; null if the driver does not report it
        pub device_workspace_bytes: Option<u64>,
        /// Memory of the whole GPU
        pub device_total_bytes: Option<u64>,
        /// Bytes reserved before the run so that only `limits.device_mib` remained; null without that limit
        pub device_ballast_bytes: Option<u64>,
    }
}

column_group! {
    /// Disk use of a run.
    pub struct DiskUse {
        /// Peak size of the scratch files
        pub disk_peak_bytes: Option<u64>,
        /// Bytes that the process and its children wrote to storage
        pub disk_written_bytes: Option<u64>,
    }
}

column_group! {
    /// Detections and tracks against the ground truth, as TrackEval computes them.
    pub struct TrackingAccuracy {
        /// Detections, summed over all frames
        pub people: Option<u64>,
        /// Distinct track ids
        pub tracks: Option<u64>,
        /// Higher order tracking accuracy, 0 to 1
        pub hota: Option<f64>,
        /// Detection accuracy of HOTA, 0 to 1
        pub det_a: Option<f64>,
        /// Association accuracy of HOTA, 0 to 1
        pub ass_a: Option<f64>,
        /// Localization accuracy of HOTA, 0 to 1
        pub loc_a: Option<f64>,
        /// Multiple object tracking accuracy (CLEAR), 1 at best, no lower bound
        pub mota: Option<f64>,
        /// Multiple object tracking precision (CLEAR): mean IoU of matched boxes, 0 to 1
        pub motp: Option<f64>,
        /// F1 score of identities, 0 to 1
        pub idf1: Option<f64>,
        /// Precision of identities, 0 to 1
        pub idp: Option<f64>,
        /// Recall of identities, 0 to 1
        pub idr: Option<f64>,
        /// Identity switches (CLEAR)
        pub id_switches: Option<u64>,
        /// Fragmentations (CLEAR)
        pub fragments: Option<u64>,
        /// People of the ground truth tracked in at least 80% of their frames
        pub mostly_tracked: Option<u64>,
        /// People of the ground truth tracked in less than 20% of their frames
        pub mostly_lost: Option<u64>,
        /// Share of ground-truth boxes that were detected (CLEAR), 0 to 1
        pub recall: Option<f64>,
        /// Share of detected boxes that are true (CLEAR), 0 to 1
        pub precision_of_boxes: Option<f64>,
    }
}

column_group! {
    /// Detections against the ground truth, whether or not they are on a track. A person of the ground truth is found if a
    /// detection has an IoU of at least 0.5 with the box, clipped to the image; heights are those of the clipped boxes.
    pub struct DetectionAccuracy {
        /// Boxes of the ground truth that are lower than 50 pixels, over all frames
        pub truth_under_50: Option<u64>,
        /// Those of them that were detected, with an IoU of at least 0.5, whether or not they are on a track
        pub found_under_50: Option<u64>,
        /// Boxes of the ground truth from 50 to below 100 pixels of height
        pub truth_50_to_100: Option<u64>,
        /// Those of them that were detected
        pub found_50_to_100: Option<u64>,
        /// Boxes of the ground truth from 100 to below 200 pixels of height
        pub truth_100_to_200: Option<u64>,
        /// Those of them that were detected
        pub found_100_to_200: Option<u64>,
        /// Boxes of the ground truth of 200 pixels of height or more
        pub truth_over_200: Option<u64>,
        /// Those of them that were detected
        pub found_over_200: Option<u64>,
        /// Detections that match neither a person of the ground truth nor a box that need not be detected
        pub false_detections: Option<u64>,
    }
}

column_group! {
    /// Bodies against the ground truth.
    pub struct PoseAccuracy {
        /// Mean joint error after aligning the root: for drawn clips 14 common joints aligned at the pelvis; against calibrated views 12 joints aligned at the mid-hip
        pub mpjpe_mm: Option<f64>,
        /// The same error after the best similarity transform (Procrustes)
        pub pa_mpjpe_mm: Option<f64>,
        /// Origin of the ground-truth joints where it comes from calibrated views
        pub pose_truth: Option<String>,
        /// Frames whose joints were scored against calibrated views
        pub pose_frames: Option<u64>,
        /// Frames of that ground truth in which the person was not detected
        pub pose_frames_missed: Option<u64>,
        /// `mpjpe_mm` that a T-pose facing the camera would have in those frames
        pub t_pose_mpjpe_mm: Option<f64>,
        /// `pa_mpjpe_mm` that a T-pose would have
        pub t_pose_pa_mpjpe_mm: Option<f64>,
        /// Mean magnitude of the joints' second differences along the tracks
        pub jitter_mm_per_frame2: Option<f64>,
        /// The same for smoothed joints; null without `smoothing.results`
        pub smooth_jitter_mm_per_frame2: Option<f64>,
        /// Mean error of the joints' accelerations
        pub accel_mm_per_frame2: Option<f64>,
        /// Mean per-vertex error, aligned at the pelvis
        pub pve_mm: Option<f64>,
        /// Share of common joints inside the frame that are closer to the ground truth than a tenth of the longer side of the box, 0 to 1
        pub pck_10: Option<f64>,
    }
}

column_group! {
    /// Difference from the reference run: the same settings in single precision, read losslessly and in sequence.
    pub struct Agreement {
        /// The reference run
        pub reference_run_id: Option<String>,
        /// Mean distance of box corners from those of the reference run
        pub agree_box_mean_px: Option<f64>,
        /// Largest distance of box corners from those of the reference run
        pub agree_box_max_px: Option<f64>,
        /// Mean distance of joints from those of the reference run
        pub agree_joint_mean_mm: Option<f64>,
        /// Largest distance of joints from those of the reference run
        pub agree_joint_max_mm: Option<f64>,
        /// Share of people with the same track id as in the reference run, 0 to 1
        pub agree_identities: Option<f64>,
    }
}
