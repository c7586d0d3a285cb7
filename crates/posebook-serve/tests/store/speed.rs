//! How many jobs are accepted a second. Prints figures, and is no check: `cargo test -- --ignored --nocapture`.

use crate::support::{TestStore, track};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

const THREADS: usize = 16;
const JOBS: usize = 100;

#[test]
#[ignore = "measures"]
fn the_rate_of_accepted_jobs_is_printed() {
    for threads in [1, 4, THREADS, 100] {
        let store = TestStore::new();
        let barrier = Barrier::new(threads);
        let start = Instant::now();
        let mut times: Vec<Duration> = thread::scope(|scope| {
            let running: Vec<_> = (0..threads)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        let add = |_| {
                            let start = Instant::now();
                            store.add_new(&track());
                            start.elapsed()
                        };
                        (0..JOBS).map(add).collect::<Vec<_>>()
                    })
                })
                .collect();
            running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let seconds = start.elapsed().as_secs_f64();
        times.sort();
        let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        println!(
            "{threads} threads: {:.0} jobs a second; p50 {:.1} ms, p99 {:.1} ms, maximum {:.1} ms; load {}",
            times.len() as f64 / seconds,
            at(0.5),
            at(0.99),
            at(1.0),
            load.split(' ').next().unwrap_or_default(),
        );
        assert_eq!(store.newest_event().unwrap() as usize, threads * JOBS);
    }
}
