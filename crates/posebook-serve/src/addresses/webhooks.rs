//! Delivers webhooks. In: the messages of the store's outbox that are due. Out: requests to their addresses, and the result
//! of each in the outbox.
//!
//! Each message is delivered at least once: it leaves the outbox after an answer 2xx. Messages of one job are delivered one after
//! another. A host that does not answer takes at most [`PER_HOST`] of the concurrent deliveries, so that it does
//! not delay messages to others.

use super::signature::WebhookSecret;
use super::{Fetcher, target};
use crate::job::JobId;
use crate::log;
use crate::service::Service;
use crate::store::{DueWebhook, Store};
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use url::Url;

/// Maximum number of concurrent deliveries.
const MAX_DELIVERIES: usize = 16;
/// Maximum number of concurrent deliveries to one host.
const PER_HOST: usize = 4;
/// Messages that are read at a time, of hosts with fewer than [`PER_HOST`] deliveries in progress.
const PAGE: usize = 1000;

/// When a message that failed is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// Time after the first failure; it doubles with each further one.
    pub first: Duration,
    /// Longest time between two.
    pub longest: Duration,
    /// Time after which a message is removed without having been delivered.
    pub give_up: Duration,
    /// How often the outbox is read.
    pub interval: Duration,
}

impl Default for Retries {
    /// 1 s to 1 h, for a day.
    fn default() -> Retries {
        let hour = Duration::from_secs(3600);
        Retries {
            first: Duration::from_secs(1),
            longest: hour,
            give_up: 24 * hour,
            interval: Duration::from_millis(250),
        }
    }
}

impl Retries {
    /// Time until the next attempt after `failures` failures in a row; `None` if there is none any more.
    #[must_use]
    pub fn delay(&self, failures: u32) -> Option<Duration> {
        let delay = |failure: u32| self.first.saturating_mul(2_u32.saturating_pow(failure)).min(self.longest);
        let mut waited = Duration::ZERO;
        for failure in 1..failures {
            waited = waited.saturating_add(delay(failure - 1));
            if waited >= self.give_up {
                return None;
            }
        }
        Some(delay(failures.saturating_sub(1)))
    }
}

/// Delivers due webhooks until `stop` is set: signed with HMAC-SHA256, repeated with growing intervals.
pub fn deliver_webhooks(service: &Service, stop: &AtomicBool) {
    let data = &service.options.data;
    let report = |text: &str| log::error(service.options.log, text);
    deliver_webhooks_of(&service.store, &service.fetcher, data, Retries::default(), &report, stop);
}

/// The same with the parts of a service: its store, its fetcher and its data folder with the secret. `report` gets a sentence
/// for each failure.
pub fn deliver_webhooks_of(
    store: &Store,
    fetcher: &Fetcher,
    data: &Path,
    retries: Retries,
    report: &(dyn Fn(&str) + Sync),
    stop: &AtomicBool,
) {
    // made at the start, so that receivers can be given it before the first message
    if let Err(error) = WebhookSecret::load_or_create(data) {
        report(&format!("webhooks wait: no secret to sign with: {error}"));
    }
    let active = Mutex::new(HashMap::new());
    let delivery = Delivery { store, fetcher, data, retries, report, stop, active: &active };
    thread::scope(|scope| {
        while !stop.load(Ordering::Relaxed) {
            // only now: those that end after the outbox is read are still in what was read
            delivery.lock().retain(|_, other| !other.has_ended);
            match store.due_webhooks(store.now(), PAGE) {
                Ok(due) => {
                    for message in due {
                        delivery.start(scope, message);
                    }
                }
                Err(error) => report(&format!("webhooks wait: {error}")),
            }
            thread::sleep(retries.interval);
        }
    });
}

/// What all deliveries share.
#[derive(Clone, Copy)]
struct Delivery<'a> {
    store: &'a Store,
    fetcher: &'a Fetcher,
    data: &'a Path,
    retries: Retries,
    report: &'a (dyn Fn(&str) + Sync),
    stop: &'a AtomicBool,
    active: &'a Mutex<ActiveDeliveries>,
}

/// Deliveries in progress, by the message's number.
type ActiveDeliveries = HashMap<i64, ActiveDelivery>;

/// A delivery in progress.
#[derive(Debug)]
struct ActiveDelivery {
    job: JobId,
    host: String,
    has_ended: bool,
}

impl<'a> Delivery<'a> {
    /// Sends a message in a thread of its own, if the limits of concurrent deliveries allow it.
    fn start<'scope>(self, scope: &'scope thread::Scope<'scope, 'a>, message: DueWebhook) {
        let new = ActiveDelivery { job: message.job, host: host(&message.address), has_ended: false };
        let number = message.number;
        {
            let mut active = self.lock();
            let running = active.values().filter(|other| !other.has_ended);
            let of_host = running.clone().filter(|other| other.host == new.host).count();
            let of_job = active.values().any(|other| other.job == new.job);
            if running.count() >= MAX_DELIVERIES || of_host >= PER_HOST || of_job {
                return;
            }
            active.insert(number, new);
        }
        let work = move || {
            self.deliver(&message);
            self.end(number);
        };
        if thread::Builder::new().name("webhook".into()).spawn_scoped(scope, work).is_err() {
            self.end(number);
        }
    }

    fn end(self, number: i64) {
        if let Some(delivery) = self.lock().get_mut(&number) {
            delivery.has_ended = true;
        }
    }

    fn lock(&self) -> MutexGuard<'a, ActiveDeliveries> {
        // a panic elsewhere leaves the map as it should be
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn deliver(&self, message: &DueWebhook) {
        let result = self.send(message);
        if result.is_err() && self.stop.load(Ordering::Relaxed) {
            return;
        }
        let (delivered, next) = match &result {
            Ok(()) => (true, None),
            Err((_, Again::Never)) => (false, None),
            Err((_, Again::Later)) => (false, self.retries.delay(message.attempts.saturating_add(1))),
        };
        if let Err((reason, _)) = &result {
            let then = match next {
                Some(delay) => format!("again in {} s", delay.as_secs_f64().ceil()),
                None => "given up".into(),
            };
            (self.report)(&format!("webhook `{}` of job {}: {reason}; {then}", message.event, message.job));
        }
        let next =
            next.map(|delay| self.store.now() + i64::try_from(delay.as_millis()).unwrap_or(i64::MAX / 2));
        if let Err(error) = self.store.set_webhook(message.number, delivered, next) {
            // it stays due: sent again, as after a crash
            (self.report)(&format!("webhook `{}` of job {}: {error}", message.event, message.job));
        }
    }

    fn send(&self, message: &DueWebhook) -> Result<(), (String, Again)> {
        let later = |reason: String| (reason, Again::Later);
        // read for each message: an exchanged secret is valid at once
        let secret = WebhookSecret::load_or_create(self.data);
        let secret = secret.map_err(|error| later(format!("no secret to sign with: {error}")))?;
        let body = serde_json::to_vec(&message.body).map_err(|error| later(error.to_string()))?;
        // the same for each attempt, so that a receiver recognizes repetitions
        let id = format!("msg_{}_{}", message.job.0.simple(), message.number);
        let headers = secret.headers(&id, self.store.now() / 1000, &body);
        match self.fetcher.post(&message.address, &headers, &body, self.stop) {
            Ok(200..=299) => Ok(()),
            // "gone": the receiver wants no more
            Ok(410) => Err(("the receiver answers 410".into(), Again::Never)),
            Ok(status) => Err(later(format!("the receiver answers {status}"))),
            Err(problem) => Err(later(problem.detail.clone())),
        }
    }
}

/// Whether a message that failed is sent again.
enum Again {
    Later,
    Never,
}

/// The host that an address names.
fn host(address: &str) -> String {
    Url::parse(address).map(|url| target::shown_host(&url)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_grow_from_a_second_to_an_hour_and_end_after_a_day() {
        let retries = Retries::default();
        let seconds = |failures| retries.delay(failures).map(|delay| delay.as_secs());
        assert_eq!([1, 2, 3, 12, 13, 30].map(seconds), [1, 2, 4, 2048, 3600, 3600].map(Some));
        let given_up = (1..100).find(|failures| retries.delay(*failures).is_none()).unwrap();
        let waited: u64 = (1..given_up).filter_map(seconds).sum();
        assert!((24 * 3600..26 * 3600).contains(&waited), "{waited} s");
        assert_eq!(retries.delay(u32::MAX), None);
    }
}
