//! What is asked of a column of the table of runs when a run is made again.
//!
//! The same program on the same frames gives the same people, identities and scores on every machine, and the
//! same heap but for what two threads hold at one moment. Times, resident sets and what a driver counts differ
//! from run to run.

/// How two values of a column are compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// Part of what says which point of the experiment a run is.
    Point,
    /// As [`Rule::Point`], but for how a drawn clip was encoded: another encoding of the same scene is still its
    /// counterpart.
    Encoding,
    /// Equal to the last digit.
    Exact,
    /// Not farther apart than `absolute`, or than this share of the larger.
    Within { absolute: f64, relative: f64 },
    /// Differs from run to run: shown and not compared.
    Shown,
    /// Says where a run comes from.
    Provenance,
}

const POINT: [&str; 24] = [
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
    "precision",
    "hmr2_batch",
    "hmr2_frames",
    "limit_host_mib",
    "results",
    "seed",
];

const ENCODING: [&str; 4] = ["gop", "b_frames", "crf", "bit_rate_kbps"];

const PROVENANCE: [&str; 21] = [
    "run_id",
    "experiment",
    "error",
    "remarks",
    "settings",
    "search_edge",
    "clip_sha256",
    "clip_bytes",
    "detector",
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

/// What is asked of `column`.
pub fn of(column: &str) -> Rule {
    let within = |absolute, relative| Rule::Within { absolute, relative };
    match column {
        _ if POINT.contains(&column) => Rule::Point,
        _ if ENCODING.contains(&column) => Rule::Encoding,
        _ if PROVENANCE.contains(&column) => Rule::Provenance,
        "machine_memory_bytes" | "gpu" | "driver" => Rule::Provenance,
        "disk_written_bytes" | "heap_scratch_bytes" => Rule::Shown,
        "disk_peak_bytes" => within(0.0, 0.001),
        "device_peak_bytes" | "device_base_bytes" | "device_setup_peak_bytes" => within(0.0, 0.001),
        // decoded frames that wait when the queue is fullest: one more or less of a few
        "heap_frames_bytes" => within(0.0, 0.25),
        "heap_activations_bytes" => within(0.0, 0.05),
        _ if column.starts_with("heap_") => within(0.0, 0.005),
        _ if column.ends_with("_bytes") || column.ends_with("_secs") => Rule::Shown,
        _ if column.ends_with("_mm") || column.ends_with("_px") || column.ends_with("_frame2") => {
            within(0.01, 0.0)
        }
        "hota" | "det_a" | "ass_a" | "loc_a" | "mota" | "motp" | "idf1" | "idp" | "idr" | "recall"
        | "precision_of_boxes" | "pck_10" | "agree_identities" => within(0.0001, 0.0),
        _ => Rule::Exact,
    }
}

impl Rule {
    /// Whether `new` is what this rule allows where it was `old`.
    pub fn allows(self, old: f64, new: f64) -> bool {
        match self {
            Rule::Exact => old == new,
            Rule::Within { absolute, relative } => {
                (new - old).abs() <= absolute.max(relative * old.abs().max(new.abs()))
            }
            Rule::Point | Rule::Encoding | Rule::Shown | Rule::Provenance => true,
        }
    }

    /// Whether values are held against each other.
    pub fn compares(self) -> bool {
        matches!(self, Rule::Exact | Rule::Within { .. })
    }

    /// The tolerance in words.
    pub fn in_words(self) -> String {
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
    use crate::tables::RunRow;
    use crate::tables::column::Row;

    #[test]
    fn the_lists_name_columns_that_exist() {
        let known: Vec<&str> = RunRow::COLUMNS.iter().map(|column| column.name).collect();
        for column in POINT.iter().chain(&ENCODING).chain(&PROVENANCE) {
            assert!(known.contains(column), "`{column}` is no column of the table of runs");
        }
    }

    #[test]
    fn counts_are_exact_scores_nearly_so_and_times_free() {
        assert!(!of("people").allows(853.0, 854.0));
        assert!(of("hota").allows(0.892, 0.89205) && !of("hota").allows(0.892, 0.8922));
        assert!(!of("pa_mpjpe_mm").allows(45.4, 45.42));
        // a step of half a megabyte in a heap of 38
        assert!(!of("heap_peak_bytes").allows(37_869_000.0, 38_389_000.0));
        assert!(of("heap_peak_bytes").allows(37_869_000.0, 37_900_000.0));
        assert!(of("wall_secs").allows(1.0, 9.0) && !of("wall_secs").compares());
        assert_eq!(of("outcome"), Rule::Exact);
        assert_eq!(of("a_column_of_tomorrow"), Rule::Exact);
    }
}
