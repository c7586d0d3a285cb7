//! Skips of tests that need something the machine does not have.

use std::io::Write;

/// Reports that the running test, or a part of it, is skipped. The message is printed even where the test harness
/// captures the test's output.
///
/// # Panics
/// If `is_required_in_ci` and the environment variable `CI` is set: there, nothing that a test needs may be missing.
pub fn skip(reason: &str, is_required_in_ci: bool) {
    let is_ci = std::env::var_os("CI").is_some();
    assert!(!(is_ci && is_required_in_ci), "a test cannot run in CI: {reason}");
    // `eprintln!` would be captured
    let _ = writeln!(std::io::stderr(), "skipped: {reason}");
}
