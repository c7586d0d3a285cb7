//! Lines of the server's log: one a request, one per change of a job's state, one per error inside.
//!
//! In: what happened. Out: one line on standard error, as `key=value` pairs or as a JSON object. Control characters and
//! characters that change the direction of text are escaped. Tokens, cookies, bodies and queries are never passed to here.

use crate::job::{FailureKind, Job, JobId, rfc3339};
use serde_json::{Map, Value};
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// `key=value` pairs.
    Text,
    /// One JSON object a line.
    Json,
    /// Nothing: for tests that send thousands of requests.
    Off,
}

/// Characters of a value that are logged.
const MAX_VALUE: usize = 500;

/// A request that was answered.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Its id.
    pub(crate) id: String,
    /// Method.
    pub(crate) method: String,
    /// Template of the route such as `/v1/jobs/{id}`; the path where there is no route.
    pub(crate) route: String,
    /// Status of the answer.
    pub(crate) status: u16,
    /// Time until the answer was sent, or given up.
    pub(crate) time: Duration,
    /// Bytes of the answer's body that were sent.
    pub(crate) bytes: u64,
    /// The job that it is about.
    pub(crate) job: Option<JobId>,
    /// What failed inside.
    pub(crate) cause: Option<String>,
}

/// Logs a request.
pub(crate) fn request(format: LogFormat, request: &Request) {
    write(format, || request_line(format, request));
}

fn request_line(format: LogFormat, request: &Request) -> String {
    let mut pairs: Vec<(&str, Value)> = vec![
        ("event", "request".into()),
        ("method", request.method.as_str().into()),
        ("route", request.route.as_str().into()),
        ("status", request.status.into()),
        ("ms", u64::try_from(request.time.as_millis()).unwrap_or(u64::MAX).into()),
        ("bytes", request.bytes.into()),
        ("request", request.id.as_str().into()),
    ];
    if let Some(job) = request.job {
        pairs.push(("job", job.to_string().into()));
    }
    if let Some(cause) = &request.cause {
        pairs.push(("error", cause.as_str().into()));
    }
    line(format, &pairs)
}

/// Logs that a job has a new state: its state, attempt, device, name, and kind of failure.
pub fn job_state(format: LogFormat, job: &Job) {
    write(format, || job_line(format, job));
}

fn job_line(format: LogFormat, job: &Job) -> String {
    let mut pairs: Vec<(&str, Value)> = vec![
        ("event", "job".into()),
        ("job", job.id.to_string().into()),
        ("state", word(&job.state)),
        ("kind", word(&job.request.kind)),
        ("attempt", job.attempt.into()),
        ("name", job.name.as_str().into()),
    ];
    if let Some(device) = &job.device {
        pairs.push(("device", device.as_str().into()));
    }
    if let Some(failure) = &job.failure {
        pairs.push(("failure", word::<FailureKind>(&failure.kind)));
    }
    line(format, &pairs)
}

/// Logs a message of the server.
pub fn message(format: LogFormat, text: &str) {
    write(format, || line(format, &[("event", "server".into()), ("message", text.into())]));
}

/// Logs an error of the server that belongs to no request.
pub fn error(format: LogFormat, text: &str) {
    write(format, || line(format, &[("event", "error".into()), ("message", text.into())]));
}

/// An http(s) address without user, password, query and fragment, for messages and the log.
#[must_use]
pub fn address(given: &str) -> String {
    match url::Url::parse(given) {
        Ok(mut address) => {
            // these fail only for addresses that cannot have them
            let _ = address.set_username("");
            let _ = address.set_password(None);
            address.set_query(None);
            address.set_fragment(None);
            address.to_string()
        }
        Err(_) => "(not an address)".into(),
    }
}

/// The name of an enum's variant, as it is serialized.
fn word<T: serde::Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

fn line(format: LogFormat, pairs: &[(&str, Value)]) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let time = rfc3339(i64::try_from(now.as_millis()).unwrap_or(i64::MAX));
    match format {
        LogFormat::Json => {
            let mut object = Map::new();
            object.insert("time".into(), time.into());
            for (key, value) in pairs {
                object.insert(
                    (*key).into(),
                    value.as_str().map_or_else(|| value.clone(), |text| shortened(text).into()),
                );
            }
            escape_json(&Value::Object(object).to_string())
        }
        LogFormat::Text | LogFormat::Off => {
            let mut text = time;
            for (key, value) in pairs {
                // writing to a string cannot fail
                let _ = match value.as_str() {
                    Some(value) => write!(text, " {key}={}", quoted(shortened(value))),
                    None => write!(text, " {key}={value}"),
                };
            }
            text
        }
    }
}

fn shortened(text: &str) -> &str {
    text.char_indices().nth(MAX_VALUE).map_or(text, |(end, _)| &text[..end])
}

/// A value, in quotes unless it is one word.
fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'=');
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("\"{}\"", escape(text).replace('"', "\\\""))
}

/// Whether a character controls a terminal or reorders the text around it.
fn acts(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Text with its control characters, direction marks and backslashes escaped as in Rust.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            letter if acts(letter) => escaped.extend(letter.escape_unicode()),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// JSON with these characters escaped also where JSON allows them.
fn escape_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for letter in json.chars() {
        if acts(letter) {
            // all of them are below U+10000
            let _ = write!(escaped, "\\u{:04x}", u32::from(letter));
        } else {
            escaped.push(letter);
        }
    }
    escaped
}

fn write(format: LogFormat, line: impl FnOnce() -> String) {
    if format != LogFormat::Off {
        // a closed standard error is no reason to stop serving
        let _ = writeln!(std::io::stderr().lock(), "{}", line());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(route: &str) -> Request {
        Request {
            id: "r1".into(),
            method: "GET".into(),
            route: route.into(),
            status: 200,
            time: Duration::from_millis(12),
            bytes: 34,
            job: None,
            cause: None,
        }
    }

    #[test]
    fn a_request_is_one_line_of_pairs() {
        let line = request_line(LogFormat::Text, &request("/v1/jobs/{id}"));
        let (time, pairs) = line.split_once(' ').expect("pairs");
        assert!(time.ends_with("Z") && time.len() >= 20 && time.is_ascii(), "{time}");
        assert_eq!(
            pairs,
            "event=request method=GET route=/v1/jobs/{id} status=200 ms=12 bytes=34 request=r1"
        );
    }

    #[test]
    fn no_text_breaks_a_line_or_reaches_a_terminal() {
        for hostile in [
            "a\nb status=500",
            "\u{1b}[2J",
            "x\r\ny",
            "\u{202e}gpj.exe",
            "a\u{9b}31m",
            "\u{2028}",
            "\0",
            "\u{7f}",
        ] {
            for format in [LogFormat::Text, LogFormat::Json] {
                let line = request_line(format, &request(hostile));
                assert!(!line.chars().any(acts), "{line:?}");
                if format == LogFormat::Json {
                    let value: Value = serde_json::from_str(&line).expect("JSON");
                    assert_eq!(value["route"], *hostile);
                    assert_eq!(value["status"], 200);
                } else {
                    assert!(line.contains(" status=200 "), "{line}");
                }
            }
        }
    }

    #[test]
    fn long_texts_are_cut() {
        let line = request_line(LogFormat::Text, &request(&"ü".repeat(100_000)));
        assert!(line.len() < 2000, "{}", line.len());
    }

    #[test]
    fn addresses_are_logged_without_user_and_query() {
        assert_eq!(
            address("https://me:secret@example.com/a.mp4?token=secret#secret"),
            "https://example.com/a.mp4"
        );
        assert_eq!(address("secret"), "(not an address)");
    }
}
