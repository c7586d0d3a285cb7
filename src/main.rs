//! The front door: parse, run, print the error.

use clap::Parser;
use posebook::cli::Cli;
use posebook::memory::heap::Counting;
use std::process::ExitCode;

/// Counts every byte that this process holds, so that a peak is exact and repeatable.
#[global_allocator]
static HEAP: Counting = Counting;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
