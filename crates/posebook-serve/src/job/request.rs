//! Requests for jobs: reads their JSON and checks them, before anything is looked up or opened.
//!
//! In: the body of `POST /v1/jobs`. Out: a [`JobRequest`], or a problem whose JSON pointer names the member that is wrong, with
//! the nearest right name. Whether settings and experiments exist is checked by [`crate::Backend::check`], paths and addresses
//! by [`crate::paths`] and [`crate::addresses`].

use super::parse_keep;
use super::strict::{self, Strict};
use super::{JobKind, JobRequest, Source};
use crate::problem::Problem;
use axum::http::StatusCode;
use posebook_core::toml_error::nearest_match;
use serde_json::{Map, Value};

/// Members of a request.
const MEMBERS: [&str; 9] =
    ["kind", "source", "boxes", "experiment", "settings", "priority", "webhook", "webhook_events", "keep"];
/// Members of a source.
const SOURCES: [&str; 3] = ["upload", "path", "url"];
/// Events of webhooks.
const WEBHOOK_EVENTS: [&str; 4] = ["start", "output", "logs", "completed"];

/// Maximum number of sources.
const MAXIMUM_SOURCES: usize = 10_000;
/// Maximum number of settings.
const MAXIMUM_SETTINGS: usize = 1_000;
/// Maximum length of a setting's key and of an experiment's name, bytes.
const MAXIMUM_NAME: usize = 200;
/// Maximum length of a path and of an address, bytes.
const MAXIMUM_PATH: usize = 8_192;
/// Maximum length of a pointer in an answer, bytes.
const MAXIMUM_POINTER: usize = 1_024;
/// Maximum length of a time, bytes.
const MAXIMUM_TIME: usize = 40;
/// How deep arrays and objects in the value of a setting may be nested.
const MAXIMUM_DEPTH: usize = 16;
/// Priorities are from minus this to this.
const MAXIMUM_PRIORITY: i32 = 1_000;

/// The problem of a request that can be read but is wrong at `pointer`.
fn malformed(pointer: &str, detail: impl Into<String>) -> Problem {
    let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "malformed", detail);
    // an unknown name may be as long as the body, which an answer does not repeat
    if pointer.is_empty() || pointer.len() > MAXIMUM_POINTER { problem } else { problem.at(pointer) }
}

/// The problem of a name that is none of `known`.
fn unknown(pointer: &str, what: &str, name: &str, known: &[&str]) -> Problem {
    let shown: String = name.chars().take(100).collect();
    let hint = match nearest_match(&shown, known) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("there are `{}`", known.join("`, `")),
    };
    malformed(pointer, format!("`{shown}`: no such {what}; {hint}"))
}

/// A JSON pointer (RFC 6901) to a member.
fn member(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// The type of a value, in words.
fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

impl JobRequest {
    /// Reads and checks a request.
    ///
    /// # Errors
    /// `malformed`: 400 if the bytes are not JSON, an object names a member twice, or the JSON is nested too deeply; 422 with a
    /// pointer if a member is unknown, has the wrong type, or [`JobRequest::validate`] refuses.
    pub fn from_json(bytes: &[u8]) -> Result<JobRequest, Problem> {
        let value = match serde_json::from_slice::<Strict>(bytes) {
            Ok(Strict(value)) => value,
            Err(error) => {
                let detail = format!("the body is not the JSON of a job: {}", strict::explain(&error));
                return Err(Problem::new(StatusCode::BAD_REQUEST, "malformed", detail));
            }
        };
        let request = JobRequest::from_value(value)?;
        request.validate()?;
        Ok(request)
    }

    fn from_value(value: Value) -> Result<JobRequest, Problem> {
        let Value::Object(members) = value else {
            let found = type_of(&value);
            return Err(malformed(
                "",
                format!("a job is a JSON object such as {{\"kind\": \"track\"}}, not {found}"),
            ));
        };
        let mut kind = None;
        let mut request = JobRequest::of_kind(JobKind::Track);
        for (name, value) in members {
            let pointer = member("", &name);
            // `null` is the same as absent
            if value.is_null() && MEMBERS.contains(&name.as_str()) {
                continue;
            }
            match name.as_str() {
                "kind" => kind = Some(kind_of(value, &pointer)?),
                "source" => request.source = sources(value, &pointer)?,
                "boxes" => request.boxes = Some(source(value, &pointer)?),
                "experiment" => {
                    request.experiment = Some(string(value, &pointer, "the name of an experiment")?)
                }
                "settings" => request.settings = object(value, &pointer)?,
                "priority" => request.priority = priority(&value, &pointer)?,
                "webhook" => request.webhook = Some(string(value, &pointer, "an address")?),
                "webhook_events" => request.webhook_events = strings(value, &pointer)?,
                "keep" => request.keep = Some(string(value, &pointer, "a time such as \"7d\"")?),
                _ => return Err(unknown(&pointer, "member of a job", &name, &MEMBERS)),
            }
        }
        let names = JobKind::ALL.map(JobKind::as_str).join("`, `");
        request.kind =
            kind.ok_or_else(|| malformed("/kind", format!("kind: is missing; there are `{names}`")))?;
        Ok(request)
    }

    /// A request of this kind with nothing else.
    #[must_use]
    pub fn of_kind(kind: JobKind) -> JobRequest {
        JobRequest {
            kind,
            source: Vec::new(),
            boxes: None,
            experiment: None,
            settings: Map::new(),
            priority: 0,
            webhook: None,
            webhook_events: Vec::new(),
            keep: None,
            prediction: None,
        }
    }

    /// Checks what can be checked without looking anything up: which members a kind needs, and the limits.
    ///
    /// # Errors
    /// `malformed` (422) with a pointer.
    pub fn validate(&self) -> Result<(), Problem> {
        self.validate_sources()?;
        self.validate_experiment()?;
        self.validate_settings()?;
        if self.priority.unsigned_abs() > MAXIMUM_PRIORITY.unsigned_abs() {
            let detail = format!(
                "priority: {} is not from {} to {MAXIMUM_PRIORITY}",
                self.priority, -MAXIMUM_PRIORITY
            );
            return Err(malformed("/priority", detail));
        }
        if let Some(keep) = &self.keep {
            if keep.len() > MAXIMUM_TIME {
                return Err(malformed("/keep", "keep: is not a time such as `7d`"));
            }
            parse_keep(keep).map_err(|message| malformed("/keep", format!("keep: {message}")))?;
        }
        self.validate_webhook()
    }

    fn validate_sources(&self) -> Result<(), Problem> {
        let kind = self.kind.as_str();
        let example = "name one, such as {\"upload\": \"ID\"}, {\"path\": \"...\"} or {\"url\": \"...\"}";
        let detail = match (self.kind, self.source.len()) {
            (JobKind::Experiment, 0) | (JobKind::Track, 1) => None,
            (JobKind::Experiment, _) => {
                Some("source: an experiment names its clips itself; leave `source` out".to_string())
            }
            (JobKind::Track | JobKind::Reconstruct, 0) => {
                Some(format!("source: is missing, and a job of the kind `{kind}` needs one; {example}"))
            }
            (JobKind::Track, count) => Some(format!(
                "source: a job of the kind `track` has one video, not {count}; send a job for each"
            )),
            (JobKind::Reconstruct, count) if count > MAXIMUM_SOURCES => {
                Some(format!("source: {count} sources are more than {MAXIMUM_SOURCES}; send several jobs"))
            }
            (JobKind::Reconstruct, _) => None,
        };
        if let Some(detail) = detail {
            return Err(malformed("/source", detail));
        }
        for (index, source) in self.source.iter().enumerate() {
            let pointer = if self.source.len() == 1 { "/source".into() } else { format!("/source/{index}") };
            validate_source(source, &pointer)?;
        }
        match &self.boxes {
            Some(_) if self.kind == JobKind::Experiment => {
                Err(malformed("/boxes", "boxes: an experiment has no boxes of its own; leave `boxes` out"))
            }
            Some(boxes) => validate_source(boxes, "/boxes"),
            None => Ok(()),
        }
    }

    fn validate_experiment(&self) -> Result<(), Problem> {
        let detail = match (&self.experiment, self.kind) {
            (None, JobKind::Experiment) => "is missing; name the experiment to run",
            (Some(_), JobKind::Track | JobKind::Reconstruct) => {
                "only a job of the kind `experiment` has one; leave it out, or change `kind`"
            }
            (Some(name), _) if name.is_empty() => "is empty; name the experiment to run",
            (Some(name), _) if name.len() > MAXIMUM_NAME || name.chars().any(char::is_control) => {
                "is not the name of an experiment"
            }
            _ => return Ok(()),
        };
        Err(malformed("/experiment", format!("experiment: {detail}")))
    }

    fn validate_settings(&self) -> Result<(), Problem> {
        if self.settings.len() > MAXIMUM_SETTINGS {
            let detail = format!("settings: {} are more than {MAXIMUM_SETTINGS}", self.settings.len());
            return Err(malformed("/settings", detail));
        }
        for (key, value) in &self.settings {
            let pointer = member("/settings", key);
            if key.is_empty() || key.len() > MAXIMUM_NAME || key.chars().any(char::is_control) {
                return Err(malformed(
                    &pointer,
                    "settings: a key is a dotted name such as `video.every`, of at most 200 bytes",
                ));
            }
            if depth(value) > MAXIMUM_DEPTH {
                return Err(malformed(&pointer, format!("{key}: is nested more than {MAXIMUM_DEPTH} deep")));
            }
        }
        Ok(())
    }

    fn validate_webhook(&self) -> Result<(), Problem> {
        if let Some(address) = &self.webhook {
            let lower = address.get(..8).unwrap_or(address).to_ascii_lowercase();
            if !lower.starts_with("http://") && !lower.starts_with("https://") {
                return Err(malformed("/webhook", "webhook: is not an http or https address"));
            }
            if address.len() > MAXIMUM_PATH || address.chars().any(|c| c.is_control() || c == ' ') {
                return Err(malformed(
                    "/webhook",
                    "webhook: is too long, or has spaces or control characters",
                ));
            }
        } else if !self.webhook_events.is_empty() {
            return Err(malformed(
                "/webhook_events",
                "webhook_events: there is no `webhook` that would get them",
            ));
        }
        for (index, event) in self.webhook_events.iter().enumerate() {
            let pointer = format!("/webhook_events/{index}");
            if !WEBHOOK_EVENTS.contains(&event.as_str()) {
                return Err(unknown(&pointer, "event of webhooks", event, &WEBHOOK_EVENTS));
            }
            if self.webhook_events[..index].contains(event) {
                return Err(malformed(&pointer, format!("webhook_events: `{event}` is there twice")));
            }
        }
        Ok(())
    }
}

fn validate_source(source: &Source, pointer: &str) -> Result<(), Problem> {
    let (name, text) = match source {
        Source::Upload(id) => ("upload", id),
        Source::Path(path) => ("path", path),
        Source::Url(address) => ("url", address),
    };
    let pointer = member(pointer, name);
    if text.is_empty() {
        return Err(malformed(&pointer, format!("{name}: is empty")));
    }
    let is_id = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if name == "upload" && !is_id {
        return Err(malformed(
            &pointer,
            "upload: is not an id of an upload, which is 32 hexadecimal digits in lower case",
        ));
    }
    if text.len() > MAXIMUM_PATH {
        return Err(malformed(
            &pointer,
            format!("{name}: {} bytes are more than {MAXIMUM_PATH}", text.len()),
        ));
    }
    if text.contains('\0') {
        return Err(malformed(
            &pointer,
            format!("{name}: contains the character NUL, which no file name has"),
        ));
    }
    Ok(())
}

/// How deep a value is nested: 0 for a scalar.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn wrong_type(pointer: &str, value: &Value, expected: &str) -> Problem {
    let name = pointer.trim_start_matches('/');
    malformed(pointer, format!("{name}: is {}; expected {expected}", type_of(value)))
}

fn string(value: Value, pointer: &str, expected: &str) -> Result<String, Problem> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(wrong_type(pointer, &other, &format!("{expected}, as a string"))),
    }
}

fn strings(value: Value, pointer: &str) -> Result<Vec<String>, Problem> {
    let Value::Array(items) = value else {
        return Err(wrong_type(pointer, &value, "an array of strings"));
    };
    let items = items.into_iter().enumerate();
    items.map(|(index, item)| string(item, &format!("{pointer}/{index}"), "a name")).collect()
}

fn object(value: Value, pointer: &str) -> Result<Map<String, Value>, Problem> {
    match value {
        Value::Object(members) => Ok(members),
        other => Err(wrong_type(pointer, &other, "an object such as {\"video.every\": 2}")),
    }
}

fn priority(value: &Value, pointer: &str) -> Result<i32, Problem> {
    let number = value.as_i64().ok_or_else(|| wrong_type(pointer, value, "an integer"))?;
    // a number beyond the range of the type is beyond the allowed range too
    Ok(i32::try_from(number).unwrap_or(if number < 0 { i32::MIN } else { i32::MAX }))
}

fn kind_of(value: Value, pointer: &str) -> Result<JobKind, Problem> {
    let name = string(value, pointer, "the kind of a job")?;
    let found = JobKind::ALL.into_iter().find(|kind| kind.as_str() == name);
    found.ok_or_else(|| unknown(pointer, "kind of job", &name, &JobKind::ALL.map(JobKind::as_str)))
}

fn sources(value: Value, pointer: &str) -> Result<Vec<Source>, Problem> {
    match value {
        Value::Array(items) => {
            let items = items.into_iter().enumerate();
            items.map(|(index, item)| source(item, &format!("{pointer}/{index}"))).collect()
        }
        one => Ok(vec![source(one, pointer)?]),
    }
}

fn source(value: Value, pointer: &str) -> Result<Source, Problem> {
    let example = "an object such as {\"upload\": \"ID\"}, {\"path\": \"...\"} or {\"url\": \"...\"}";
    let Value::Object(members) = value else { return Err(wrong_type(pointer, &value, example)) };
    let count = members.len();
    let mut found = None;
    for (name, value) in members {
        let pointer = member(pointer, &name);
        let make = match name.as_str() {
            "upload" => Source::Upload,
            "path" => Source::Path,
            "url" => Source::Url,
            _ => return Err(unknown(&pointer, "kind of source", &name, &SOURCES)),
        };
        found = Some(make(string(value, &pointer, "the source")?));
    }
    match found {
        Some(source) if count == 1 => Ok(source),
        _ => Err(malformed(
            pointer,
            format!("a source has exactly one member, not {count}; expected {example}"),
        )),
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
