//! The header `Prefer` (RFC 7240): `wait=N` and `respond-async`.

use axum::http::HeaderMap;
use std::time::Duration;

/// Seconds that a request may wait at most.
pub(crate) const MAX_WAIT: u64 = 60;

/// What a client prefers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Prefer {
    /// How long to wait for the end of the job, at most [`MAX_WAIT`] seconds.
    pub(crate) wait: Option<Duration>,
    /// Whether to answer at once.
    pub(crate) respond_async: bool,
}

impl Prefer {
    /// Reads the headers. What is not understood is ignored, as RFC 7240 says; of repeated preferences the first counts.
    pub(crate) fn of(headers: &HeaderMap) -> Prefer {
        let mut prefer = Prefer::default();
        let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
        for preference in values.flat_map(|value| value.split(',')) {
            let (name, value) = match preference.split(';').next().unwrap_or_default().split_once('=') {
                Some((name, value)) => (name.trim(), value.trim().trim_matches('"')),
                None => (preference.split(';').next().unwrap_or_default().trim(), ""),
            };
            if name.eq_ignore_ascii_case("respond-async") {
                prefer.respond_async = true;
            } else if name.eq_ignore_ascii_case("wait")
                && prefer.wait.is_none()
                && !value.is_empty()
                && value.bytes().all(|byte| byte.is_ascii_digit())
            {
                prefer.wait = Some(Duration::from_secs(value.parse().unwrap_or(MAX_WAIT).min(MAX_WAIT)));
            }
        }
        prefer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn preferences_are_read_and_the_rest_is_ignored() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (value, wait, respond_async) in [
            ("wait=30", seconds(30), false),
            ("Wait = \"5\"", seconds(5), false),
            ("respond-async, wait=10", seconds(10), true),
            ("respond-async; x=1", None, true),
            ("wait=10, wait=20", seconds(10), false),
            ("wait=100", seconds(60), false),
            ("wait=99999999999999999999999", seconds(60), false),
            ("wait=-1", None, false),
            ("wait=+1", None, false),
            ("wait=", None, false),
            ("wait", None, false),
            ("handling=lenient", None, false),
            ("", None, false),
            (",;=,=;,", None, false),
        ] {
            let headers =
                HeaderMap::from_iter([("prefer".parse().expect("a name"), HeaderValue::from_static(value))]);
            assert_eq!(Prefer::of(&headers), Prefer { wait, respond_async }, "{value}");
        }
    }
}
