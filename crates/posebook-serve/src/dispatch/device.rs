//! The thread of a device: takes jobs one after another. In: the queue. Out: executed jobs; why it takes none.

use super::device_lock::DeviceLock;
use super::{Shared, attempt, report};
use crate::backend::DeviceInfo;
use crate::log;
use crate::service::Service;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// Interval at which an idle device checks the queue even if it was not woken.
const IDLE: Duration = Duration::from_secs(1);
/// Interval at which a blocked device checks whether it can take jobs again.
const BLOCKED: Duration = Duration::from_secs(1);

/// Takes jobs until the server ends.
pub(super) fn run(service: &Service, shared: &Shared, index: usize, info: &DeviceInfo) {
    let mut device_lock = None;
    while !shared.is_ending() {
        // a wake between the look at the queue and the wait must end the wait
        let wakes = shared.wakes();
        let blocked = blocked(service, info, &mut device_lock);
        let is_blocked = blocked.is_some();
        if shared.set_blocked(index, blocked.clone()) {
            match blocked {
                Some(reason) => report(service, &reason),
                None => log::message(service.options.log, &format!("{} takes jobs again", info.name)),
            }
        }
        if is_blocked {
            shared.wait(wakes, BLOCKED);
            continue;
        }
        let job = match service.store.claim(&info.name) {
            Ok(Some(job)) => job,
            Ok(None) => {
                shared.wait(wakes, IDLE);
                continue;
            }
            Err(error) => {
                report(service, &format!("{}: cannot take a job: {error}", info.name));
                shared.wait(wakes, BLOCKED);
                continue;
            }
        };
        let control = shared.begin(index, job.id);
        if catch_unwind(AssertUnwindSafe(|| attempt::run(service, &job, &control))).is_err() {
            // if this panics as well, the next start decides on the job
            let _ = catch_unwind(AssertUnwindSafe(|| attempt::end_after_panic(service, &job, &control)));
        }
        shared.end(index, job.id);
    }
}

/// Why the device takes no jobs. Locks it if it is not locked.
fn blocked(service: &Service, info: &DeviceInfo, device_lock: &mut Option<DeviceLock>) -> Option<String> {
    if device_lock.is_none() {
        match DeviceLock::take(info) {
            Ok(lock) => *device_lock = Some(lock),
            Err(reason) => return Some(reason),
        }
    }
    let space = service.disk_space().ok()?;
    let mebibytes = |bytes: u64| bytes >> 20;
    (!space.fits(0)).then(|| {
        format!(
            "{}: the disk of {} has {} MiB free, less than the {} MiB that the server keeps free; remove files",
            info.name,
            service.options.data.display(),
            mebibytes(space.free),
            mebibytes(space.floor)
        )
    })
}
