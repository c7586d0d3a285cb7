//! The program `posebook`: parses the command line, runs the command, prints errors.

use clap::Parser;
use posebook::cli::{self, Cli};
use posebook::runner::interrupt;
use posebook_core::memory::heap::CountingAllocator;
use std::io::ErrorKind::BrokenPipe;
use std::process::ExitCode;

/// Counts the bytes of the heap, so that its peak is exact and reproducible.
#[global_allocator]
static HEAP: CountingAllocator = CountingAllocator;

fn main() -> ExitCode {
    // before any other thread starts, because threads inherit the signal mask
    interrupt::block_cluster_signals();
    let arguments = cli::mark_file_arguments(std::env::args_os().collect());
    let parsed = Cli::try_parse_from(&arguments).unwrap_or_else(|error| {
        if let Some(message) = cli::non_utf8_message(&error, &arguments) {
            eprintln!("error: {message}");
            std::process::exit(2);
        }
        error.exit()
    });
    match parsed.run() {
        Ok(code) => code,
        Err(error) => {
            if error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == BrokenPipe) {
                return ExitCode::SUCCESS; // the reader of the output closed the pipe
            }
            eprintln!("error: {}", error_message(&error));
            ExitCode::FAILURE
        }
    }
}

/// The message of an error with those of its causes, without repetitions.
fn error_message(error: &anyhow::Error) -> String {
    error.chain().skip(1).map(ToString::to_string).fold(error.to_string(), |message, cause| {
        if message.contains(&cause) { message } else { format!("{message}: {cause}") }
    })
}
