//! Ctrl-C, as a flag that is looked at where it is safe to stop.

use std::sync::atomic::{AtomicBool, Ordering};

static PRESSED: AtomicBool = AtomicBool::new(false);

/// Turns Ctrl-C (and the signals that ask a program to end) into a flag. The second press ends the
/// program at once.
pub fn listen() -> &'static AtomicBool {
    // a second call finds the handler in its place, which is what is wanted
    let _ = ctrlc::set_handler(|| {
        if PRESSED.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    });
    &PRESSED
}
