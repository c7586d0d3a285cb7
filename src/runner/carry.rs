//! One run's process from its order to what was seen of it.

use super::clips::Ready;
use super::order::{self, Order};
use super::progress::{Event, Listener};
use super::store::write_json;
use super::watch::{self, Program, Seen};
use super::work::Work;
use super::{Project, RunnerError};
use crate::experiment::Settings;
use std::sync::atomic::AtomicBool;

/// The order for a run over `clip`.
pub fn order(project: &Project, run_id: &str, settings: &Settings, clip: &Ready, work: &Work) -> Order {
    Order {
        run_id: run_id.to_string(),
        settings: settings.spelled_out(),
        video: clip.path.clone(),
        boxes: clip.given().map(|file| file.path.clone()),
        model: project.model(&settings.model),
        scratch: work.scratch(),
    }
}

/// Has the order carried out and watched; `None` if Ctrl-C ended it.
///
/// # Errors
/// As [`watch::run`].
pub fn watched(
    order: &Order,
    work: &Work,
    program: &Program,
    interrupt: &AtomicBool,
    listener: &mut dyn Listener,
) -> Result<Option<Seen>, RunnerError> {
    write_json(&order::order_in(&work.folder), order)?;
    let mut on_frame = |frame: Option<u64>| {
        if let Some(frame) = frame {
            listener.hear(Event::Frame { frame });
        }
    };
    let limits = &order.settings.limits;
    let seen = watch::run(program, &work.folder, &order.run_id, limits, interrupt, &mut on_frame)?;
    Ok((!seen.interrupted).then_some(seen))
}
