//! One run's process from its order to what was seen of it.

use super::clips::Ready;
use super::order::{self, Order};
use super::plan::Planned;
use super::progress::{Event, Listener};
use super::store::write_json;
use super::watch::{self, Program, Seen, Watched};
use super::work::Work;
use super::{Project, RunnerError};
use crate::memory::live::Live;
use std::sync::atomic::AtomicBool;

/// The order for a planned run over `clip`.
pub fn order(project: &Project, run_id: &str, planned: &Planned, clip: &Ready, work: &Work) -> Order {
    let Planned { settings, place, .. } = planned;
    Order {
        run_id: run_id.to_string(),
        settings: settings.spelled_out(),
        device: place.device.clone(),
        card_uuid: place.card.as_ref().map(|card| card.uuid.clone()),
        video: clip.path.clone(),
        fps: clip.fps,
        boxes: clip.given().map(|file| file.path.clone()),
        model: project.model(&settings.model),
        detector: planned.detector.clone(),
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
    let mut on_look = |live: &Live| {
        if let (Some(frame), Some(number), Some(of)) = (live.frame, live.frames_begun, live.frames) {
            listener.hear(Event::Frame { frame, number, of });
        }
    };
    let watched =
        Watched { run_id: &order.run_id, limits: &order.settings.limits, card: order.card_uuid.as_deref() };
    let seen = watch::run(program, &work.folder, &watched, interrupt, &mut on_look)?;
    Ok((!seen.interrupted).then_some(seen))
}
