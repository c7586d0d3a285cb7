//! Draws random walks that are the same on every machine, writes them to a CSV file that appears only when it is complete,
//! and measures the heap that this takes.
//!
//! `cargo run --release -p posebook-core --example random_walks [FILE]`; without FILE it writes to the temporary folder.

use posebook_core::files::AtomicFile;
use posebook_core::memory::heap::{CountingAllocator, HeapInterval};
use posebook_core::provenance::sha256_of_file;
use posebook_core::random;
use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Counts the heap of this program.
#[global_allocator]
static HEAP: CountingAllocator = CountingAllocator;

const SEED: u64 = 7;
const WALKERS: u64 = 4;
const STEPS: usize = 1000;

fn main() -> Result<(), Box<dyn Error>> {
    let named = std::env::args_os().nth(1).map(PathBuf::from);
    let path = named.unwrap_or_else(|| std::env::temp_dir().join("random-walks.csv"));
    let heap = HeapInterval::start();
    write_walks(&path)?;
    let kib = heap.peak_bytes().div_ceil(1024);
    println!("{} walks of {STEPS} steps in {}", WALKERS, path.display());
    println!("SHA-256   {}", sha256_of_file(&path)?);
    println!("heap peak {kib} KiB");
    Ok(())
}

/// Writes a line per walker and step. If this fails, there is no file at `path`.
fn write_walks(path: &Path) -> Result<(), Box<dyn Error>> {
    let mut file = AtomicFile::create(path)?;
    writeln!(file, "walker,step,x,y")?;
    for walker in 0..WALKERS {
        for (step, [x, y]) in walk(walker).into_iter().enumerate() {
            writeln!(file, "{walker},{step},{x:.6},{y:.6}")?;
        }
    }
    Ok(file.finish()?)
}

/// The positions of one walker. They depend on the seed and the walker's number only: walkers could be drawn in any order,
/// on any thread.
fn walk(walker: u64) -> Vec<[f64; 2]> {
    let mut draws = random::stream(SEED, "random walk", &[walker]);
    let mut position = [0.0; 2];
    let step = |_| {
        position = position.map(|coordinate| coordinate + draws.normal());
        position
    };
    (0..STEPS).map(step).collect()
}
