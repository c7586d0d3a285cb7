//! The front door: parse, run, print the error.

use clap::Parser;
use posebook::cli::{self, Cli};
use posebook::memory::heap::Counting;
use posebook::runner::interrupt;
use std::io::ErrorKind::BrokenPipe;
use std::process::ExitCode;

/// Counts every byte that this process holds, so that a peak is exact and repeatable.
#[global_allocator]
static HEAP: Counting = Counting;

fn main() -> ExitCode {
    // before any other thread: they inherit it
    interrupt::block_notices();
    let arguments = cli::as_paths(std::env::args_os().collect());
    let parsed = Cli::try_parse_from(&arguments).unwrap_or_else(|error| {
        if let Some(told) = cli::not_text(&error, &arguments) {
            eprintln!("error: {told}");
            std::process::exit(2);
        }
        error.exit()
    });
    match parsed.run() {
        Ok(code) => code,
        Err(error) => {
            if error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == BrokenPipe) {
                return ExitCode::SUCCESS; // whoever read our output has seen enough
            }
            eprintln!("error: {}", told_once(&error));
            ExitCode::FAILURE
        }
    }
}

/// An error and its causes, without those whose words the error bears already.
fn told_once(error: &anyhow::Error) -> String {
    error.chain().skip(1).map(ToString::to_string).fold(error.to_string(), |told, cause| {
        if told.contains(&cause) { told } else { format!("{told}: {cause}") }
    })
}
