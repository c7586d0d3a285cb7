//! Serves simulated jobs: `cargo run --release -p posebook-serve --example simulated_jobs -- DATA-FOLDER [ADDRESS]`.
//!
//! A job is a shell script that writes a table and reports progress. Queue one with
//! `curl -H 'Content-Type: application/json' -d '{"kind": "experiment", "experiment": "simulated", "settings": {"frames": 100,
//! "frame_seconds": 0.1}}' http://127.0.0.1:7878/v1/jobs`, and watch it on the page.

#[path = "../tests/support/mod.rs"]
mod support;

use posebook_serve::{Options, ServeError, serve};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use support::FakeBackend;

static STOP: AtomicBool = AtomicBool::new(false);

fn main() -> Result<(), ServeError> {
    let mut arguments = std::env::args().skip(1);
    let Some(folder) = arguments.next() else {
        eprintln!("usage: simulated_jobs DATA-FOLDER [ADDRESS]");
        std::process::exit(2);
    };
    let mut options = Options::new(folder);
    if let Some(address) = arguments.next() {
        options.listen = address.parse().unwrap_or_else(|error| {
            eprintln!("{address}: {error}; an address is such as 127.0.0.1:7878");
            std::process::exit(2);
        });
    }
    // a second signal ends the process at once
    let stop = || {
        if STOP.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    };
    ctrlc::set_handler(stop).expect("no other handler is installed");
    serve(options, Arc::new(FakeBackend::default()), &STOP)
}
