//! How each column of the table of runs is compared with a reference.
//!
//! The same program on the same frames gives the same people, identities and scores on every machine, and the same heap
//! except for the timing of threads. Times, resident sets and the driver's counters differ from run to run.

/// How two values of a column are compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// Identifies the point of the experiment.
    Point,
    /// Encoding of a drawn clip. Identifies the point, but runs with another encoding may still be paired.
    Encoding,
    /// Must be equal.
    Exact,
    /// The difference must be at most `absolute`, or `relative` times the larger value.
    Within { absolute: f64, relative: f64 },
    /// Differs from run to run: reported but not compared.
    Reported,
    /// Origin of a run; not compared.
    Provenance,
}

const POINT: [&str; 26] = [
    "mode",
    "repeat",
    "search_key",
    "search_value",
    "dataset",
    "clip",
    "width",
    "height",
    "clip_frames",
    "first_frame",
    "frames",
    "every",
    "loops",
    "overlap",
    "dataset_seed",
    "dataset_people",
    "jpeg_quality",
    "model",
    "detector",
    "cues",
    "precision",
    "hmr2_batch",
    "hmr2_frames",
    "limit_host_mib",
    "results",
    "seed",
];

const ENCODING: [&str; 4] = ["gop", "b_frames", "crf", "bit_rate_kbps"];

const PROVENANCE: [&str; 20] = [
    "run_id",
    "experiment",
    "error",
    "remarks",
    "settings",
    "search_edge",
    "clip_sha256",
    "clip_bytes",
    "detector_sha256",
    "device",
    "limit_device_mib",
    "git_hash",
    "git_dirty",
    "program_sha256",
    "cpu",
    "cores",
    "os",
    "ffmpeg",
    "started_utc",
    "reference_run_id",
];

/// The rule of a column.
pub fn rule_for(column: &str) -> Rule {
    let within = |absolute, relative| Rule::Within { absolute, relative };
    match column {
        _ if POINT.contains(&column) => Rule::Point,
        _ if ENCODING.contains(&column) => Rule::Encoding,
        _ if PROVENANCE.contains(&column) => Rule::Provenance,
        "machine_memory_bytes" | "gpu" | "driver" => Rule::Provenance,
        "disk_written_bytes" | "heap_scratch_bytes" => Rule::Reported,
        "disk_peak_bytes" => within(0.0, 0.001),
        "device_peak_bytes" | "device_base_bytes" | "device_setup_peak_bytes" => within(0.0, 0.001),
        // the maximum number of queued frames can differ by one
        "heap_frames_bytes" => within(0.0, 0.25),
        "heap_activations_bytes" => within(0.0, 0.05),
        _ if column.starts_with("heap_") => within(0.0, 0.005),
        _ if column.ends_with("_bytes") || column.ends_with("_secs") => Rule::Reported,
        _ if column.ends_with("_mm") || column.ends_with("_px") || column.ends_with("_frame2") => {
            within(0.01, 0.0)
        }
        "hota" | "det_a" | "ass_a" | "loc_a" | "mota" | "motp" | "idf1" | "idp" | "idr" | "recall"
        | "precision_of_boxes" | "pck_10" | "agree_identities" => within(0.0001, 0.0),
        _ => Rule::Exact,
    }
}

impl Rule {
    /// Whether the rule accepts `new` in place of `old`.
    pub fn allows(self, old: f64, new: f64) -> bool {
        match self {
            Rule::Exact => old == new,
            Rule::Within { absolute, relative } => {
                (new - old).abs() <= absolute.max(relative * old.abs().max(new.abs()))
            }
            Rule::Point | Rule::Encoding | Rule::Reported | Rule::Provenance => true,
        }
    }

    /// Whether values are compared.
    pub fn is_compared(self) -> bool {
        matches!(self, Rule::Exact | Rule::Within { .. })
    }

    /// The tolerance as text.
    pub fn describe(self) -> String {
        match self {
            Rule::Within { absolute, relative: 0.0 } => format!("within {absolute}"),
            Rule::Within { relative, .. } => format!("within {}%", relative * 100.0),
            _ => "exactly".to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use posebook_notebook::tables::{RunRow, TableRow};

    #[test]
    fn the_lists_name_columns_that_exist() {
        let known: Vec<&str> = RunRow::columns().iter().map(|column| column.name).collect();
        for column in POINT.iter().chain(&ENCODING).chain(&PROVENANCE) {
            assert!(known.contains(column), "`{column}` is not a column of the table of runs");
        }
    }

    #[test]
    fn counts_are_exact_scores_have_tolerances_and_times_are_not_compared() {
        assert!(!rule_for("people").allows(853.0, 854.0));
        assert!(rule_for("hota").allows(0.892, 0.89205) && !rule_for("hota").allows(0.892, 0.8922));
        assert!(!rule_for("pa_mpjpe_mm").allows(45.4, 45.42));
        // half a megabyte more in a heap of 38 MB
        assert!(!rule_for("heap_peak_bytes").allows(37_869_000.0, 38_389_000.0));
        assert!(rule_for("heap_peak_bytes").allows(37_869_000.0, 37_900_000.0));
        assert!(rule_for("wall_secs").allows(1.0, 9.0) && !rule_for("wall_secs").is_compared());
        assert_eq!(rule_for("outcome"), Rule::Exact);
        assert_eq!(rule_for("a_future_column"), Rule::Exact);
    }
}
