//! Measures PyTorch on the same device by a Python script.

use super::SpeedReport;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs `python3 SCRIPT ARGUMENTS`, which prints one JSON report.
///
/// # Errors
/// Why there is no result: no Python, no torch, no GPU, no script.
pub fn run_script(script: &Path, arguments: &[String]) -> Result<SpeedReport, String> {
    if !script.is_file() {
        return Err(format!("there is no script {}", script.display()));
    }
    let mut command = Command::new("python3");
    command.arg(script).args(arguments).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().map_err(|error| format!("python3 cannot be started: {error}"))?;
    parse_report(&output.stdout)
}

/// Parses what the script printed.
///
/// # Errors
/// The script's own error, or why its output is not a report.
pub fn parse_report(json: &[u8]) -> Result<SpeedReport, String> {
    let value: serde_json::Value = serde_json::from_slice(json)
        .map_err(|error| format!("the script did not print a JSON document ({error})"))?;
    match value.get("error").and_then(serde_json::Value::as_str) {
        Some(error) => Err(error.to_string()),
        None => serde_json::from_value(value)
            .map_err(|error| format!("the script printed a JSON document of another form: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scripts_report_is_parsed() {
        let json = r#"{"torch": "2.11.0+cu130", "cuda": "13.0", "device": "NVIDIA H100", "network": "vit-h", "flop_per_crop": 250,
            "precisions": [{"precision": "bf16", "weights_bytes": 5, "ceiling": {"side": 8192, "tflops": 790.5},
            "products": [{"batch": 8, "tflops": 500.0}], "rows": [
            {"mode": "eager", "precision": "bf16", "batch": 8, "error": null, "crops_per_sec": 900.0, "tflops": 225.0},
            {"mode": "compiled", "precision": "bf16", "batch": 8, "error": "out of memory: 1 GiB"}]}],
            "skipped_for_time": [], "secs": 12.0}"#;
        let document = parse_report(json.as_bytes()).unwrap();
        let rows = &document.precisions[0].rows;
        assert_eq!((rows[0].crops_per_sec, rows[1].error.is_some()), (Some(900.0), true));
        assert_eq!(document.torch.as_deref(), Some("2.11.0+cu130"));
    }

    #[test]
    fn errors_of_the_script_are_passed_on() {
        assert_eq!(parse_report(br#"{"error": "python3 has no torch"}"#), Err("python3 has no torch".into()));
        assert!(parse_report(b"Traceback").unwrap_err().contains("not print a JSON"));
        assert!(run_script(Path::new("nowhere.py"), &[]).unwrap_err().contains("no script"));
    }
}
