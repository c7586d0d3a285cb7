//! Reads what clients of Cog send.
//!
//! In: the body of a prediction. Out: the request of a job, the prediction's id, and a file that the body itself has as a `data:`
//! address.

use crate::job::{JobId, JobKind, JobRequest, Source, hexadecimal};
use crate::problem::Problem;
use crate::service::Service;
use crate::store::Upload;
use axum::http::StatusCode;
use base64::Engine;
use posebook_core::files::write_atomically;
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Characters of a prediction's id.
const MAX_ID: usize = 128;

/// How long a file that came within a prediction is kept if no job uses it, milliseconds.
const FILE_LIFE: i64 = 24 * 3600 * 1000;

/// Names of the input's members that are no settings.
const VIDEO: &str = "video";
const IMAGES: [&str; 2] = ["image", "images"];
const BOXES: &str = "boxes";
const EXPERIMENT: &str = "experiment";

/// What a client asks for.
#[derive(Debug)]
pub(crate) struct Prediction {
    /// The id in the body.
    pub(crate) id: Option<String>,
    /// The job.
    pub(crate) request: JobRequest,
    /// A file in the body; it becomes the job's source.
    pub(crate) file: Option<DataFile>,
}

/// The content of a `data:` address.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DataFile {
    media_type: String,
    bytes: Vec<u8>,
}

/// The body. As in Cog, unknown members are ignored.
#[derive(Debug, Deserialize)]
struct Body {
    id: Option<String>,
    input: Option<Map<String, Value>>,
    webhook: Option<String>,
    webhook_events_filter: Option<Vec<String>>,
    output_file_prefix: Option<String>,
}

/// 422 with a pointer.
pub(crate) fn invalid(pointer: &str, detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "malformed", detail).at(pointer)
}

/// Reads a body.
///
/// # Errors
/// 400 if it is not JSON; 422 if a member is wrong.
pub(crate) fn parse(bytes: &[u8]) -> Result<Prediction, Problem> {
    let value: Value = serde_json::from_slice(bytes)
        .map_err(|error| Problem::malformed(format!("the body is not JSON: {error}")))?;
    let body: Body = serde_json::from_value(value)
        .map_err(|error| invalid("", format!("the body is not a prediction: {error}")))?;
    if body.output_file_prefix.is_some() {
        return Err(invalid(
            "/output_file_prefix",
            "results are not sent to other servers; leave it out, and fetch the addresses in `output`",
        ));
    }
    let mut request = JobRequest::of_kind(JobKind::Track);
    request.webhook = body.webhook;
    request.webhook_events = body.webhook_events_filter.unwrap_or_default();
    let mut file = None;
    for (name, value) in body.input.unwrap_or_default() {
        let pointer = format!("/input/{name}");
        if name == VIDEO {
            match source(&value, &pointer)? {
                Input::Source(source) => request.source.push(source),
                Input::File(data) => file = Some(data),
            }
        } else if IMAGES.contains(&name.as_str()) {
            request.kind = JobKind::Reconstruct;
            let images = match value {
                Value::Array(images) => images,
                one => vec![one],
            };
            for image in &images {
                match source(image, &pointer)? {
                    Input::Source(source) => request.source.push(source),
                    Input::File(data) if images.len() == 1 => file = Some(data),
                    Input::File(_) => {
                        return Err(invalid(
                            &pointer,
                            "only a single image can be a `data:` address; upload the others",
                        ));
                    }
                }
            }
        } else if name == BOXES {
            match source(&value, &pointer)? {
                Input::Source(source) => request.boxes = Some(source),
                Input::File(_) => {
                    return Err(invalid(&pointer, "boxes cannot be a `data:` address; upload them"));
                }
            }
        } else if name == EXPERIMENT {
            request.kind = JobKind::Experiment;
            request.experiment = Some(text(&value, &pointer)?.to_owned());
        } else {
            request.settings.insert(name, value);
        }
    }
    Ok(Prediction { id: body.id, request, file })
}

enum Input {
    Source(Source),
    File(DataFile),
}

fn text<'v>(value: &'v Value, pointer: &str) -> Result<&'v str, Problem> {
    value.as_str().ok_or_else(|| invalid(pointer, "it must be a string"))
}

/// An address, a path, or `upload:ID`.
fn source(value: &Value, pointer: &str) -> Result<Input, Problem> {
    let text = text(value, pointer)?;
    let scheme = text.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    Ok(match scheme.as_deref() {
        Some("data") => Input::File(data_file(text, pointer)?),
        Some("http" | "https") => Input::Source(Source::Url(text.to_owned())),
        Some("s3" | "gs" | "az") => {
            return Err(invalid(
                pointer,
                "files of this kind of storage are not fetched; give an https address",
            ));
        }
        Some("upload") => Input::Source(Source::Upload(text["upload:".len()..].to_owned())),
        _ => Input::Source(Source::Path(text.to_owned())),
    })
}

/// Reads `data:TYPE;base64,TEXT` (RFC 2397).
fn data_file(text: &str, pointer: &str) -> Result<DataFile, Problem> {
    let refused = || invalid(pointer, "the `data:` address is malformed; it must be `data:TYPE;base64,TEXT`");
    let (head, content) = text["data:".len()..].split_once(',').ok_or_else(refused)?;
    let (media_type, is_base64) = match head.strip_suffix(";base64") {
        Some(media_type) => (media_type, true),
        None => (head, false),
    };
    let media_type = media_type.split(';').next().unwrap_or_default().to_ascii_lowercase();
    let bytes = if is_base64 {
        base64::engine::general_purpose::STANDARD.decode(content).map_err(|_| refused())?
    } else {
        percent_encoding::percent_decode_str(content).collect()
    };
    Ok(DataFile { media_type, bytes })
}

/// Stores a file as an upload and makes it the source of the request. The upload's id is the file's hash, so that a repeated
/// prediction is the same request. Blocks.
///
/// # Errors
/// 507 if the disk is full; if it cannot be written.
pub(crate) fn with_file(
    service: &Service,
    request: JobRequest,
    file: &DataFile,
) -> Result<JobRequest, Problem> {
    let sha256 = hexadecimal(&Sha256::digest(&file.bytes));
    let id = sha256[..32].to_owned();
    let extension = match file.media_type.as_str() {
        "video/mp4" => "mp4",
        "video/quicktime" => "mov",
        "video/webm" => "webm",
        "video/x-matroska" => "mkv",
        "video/x-msvideo" => "avi",
        "image/png" => "png",
        "image/jpeg" => "jpg",
        _ => "",
    };
    let name = if extension.is_empty() { "source".to_owned() } else { format!("source.{extension}") };
    let known = service.store.upload(&id)?;
    if known.is_none() {
        let size = file.bytes.len() as u64;
        let space =
            service.disk_space().map_err(|error| Problem::internal(format!("free disk space: {error}")))?;
        if !space.fits(size) {
            return Err(Problem::disk_full(Some(size), Some(space.free.saturating_sub(space.floor))));
        }
        write_atomically(&service.upload_folder(&id).join(&name), &file.bytes).map_err(
            |error| match error.kind() {
                std::io::ErrorKind::StorageFull => Problem::disk_full(Some(size), None),
                _ => Problem::internal(format!("an upload: {error}")),
            },
        )?;
        let created = service.store.now();
        let expires = created.saturating_add(FILE_LIFE);
        let upload = Upload {
            id: id.clone(),
            name,
            size: Some(size),
            offset: size,
            sha256: Some(sha256),
            created,
            expires,
            metadata: None,
        };
        service.store.add_upload(&upload)?;
    }
    Ok(JobRequest { source: vec![Source::Upload(id)], ..request })
}

/// The id of a prediction, which the client chose, and the id of its job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PredictionId {
    /// As the client wrote it.
    pub(crate) name: String,
    /// The job.
    pub(crate) job: JobId,
}

impl PredictionId {
    /// Reads an id: a UUID, a UUID in base32 as Cog proposes, or any other text, whose hash is the job's id then.
    ///
    /// # Errors
    /// 422 if it is not 1 to 128 of `[A-Za-z0-9_-]`.
    pub(crate) fn parse(name: String) -> Result<PredictionId, Problem> {
        let valid = (1..=MAX_ID).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if !valid {
            return Err(invalid("/id", format!("an id is 1 to {MAX_ID} letters, digits, `-` and `_`")));
        }
        let uuid = Uuid::parse_str(&name).ok().or_else(|| from_base32(&name)).unwrap_or_else(|| {
            let digest: [u8; 32] = Sha256::digest(format!("prediction {name}")).into();
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&digest[..16]);
            uuid::Builder::from_random_bytes(bytes).into_uuid()
        });
        Ok(PredictionId { name, job: JobId(uuid) })
    }

    /// As [`PredictionId::parse`], for an id that must exist.
    ///
    /// # Errors
    /// 404 `no-such-job`.
    pub(crate) fn find(name: String) -> Result<PredictionId, Problem> {
        PredictionId::parse(name).map_err(|_| Problem::no_such_job("(not an id)"))
    }
}

/// A UUID of 26 letters in base32 (RFC 4648) without padding.
fn from_base32(text: &str) -> Option<Uuid> {
    if text.len() != 26 {
        return None;
    }
    let mut number: u128 = 0;
    for (index, letter) in text.bytes().enumerate() {
        let value = match letter.to_ascii_lowercase() {
            letter @ b'a'..=b'z' => letter - b'a',
            letter @ b'2'..=b'7' => letter - b'2' + 26,
            _ => return None,
        };
        if index < 25 {
            number = (number << 5) | u128::from(value);
        } else {
            // 130 bits: the last two are padding
            if value & 0b11 != 0 {
                return None;
            }
            number = (number << 3) | u128::from(value >> 2);
        }
    }
    Some(Uuid::from_u128(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parsed(body: &Value) -> Result<Prediction, Problem> {
        parse(body.to_string().as_bytes())
    }

    #[test]
    fn an_input_is_a_source_and_settings() {
        let body = json!({ "input": { "video": "https://a.example/b.mp4", "video.every": 2 }, "webhook": "https://c.example/",
            "webhook_events_filter": ["completed"], "id": "abc" });
        let prediction = parsed(&body).expect("parsed");
        assert_eq!(prediction.id.as_deref(), Some("abc"));
        assert_eq!(prediction.request.kind, JobKind::Track);
        assert_eq!(prediction.request.source, [Source::Url("https://a.example/b.mp4".into())]);
        assert_eq!(prediction.request.settings, *json!({ "video.every": 2 }).as_object().expect("an object"));
        assert_eq!(prediction.request.webhook_events, ["completed"]);
        for (video, source) in [
            ("/data/a.mp4", Source::Path("/data/a.mp4".into())),
            (r"C:\a.mp4", Source::Path(r"C:\a.mp4".into())),
            ("file:///C:/a.mp4", Source::Path("file:///C:/a.mp4".into())),
            ("upload:0123", Source::Upload("0123".into())),
            ("HTTPS://a/", Source::Url("HTTPS://a/".into())),
        ] {
            let prediction = parsed(&json!({ "input": { "video": video } })).expect(video);
            assert_eq!(prediction.request.source, [source]);
        }
    }

    #[test]
    fn images_and_experiments_have_kinds_of_their_own() {
        let prediction = parsed(&json!({ "input": { "images": ["a.png", "b.png"] } })).expect("parsed");
        assert_eq!((prediction.request.kind, prediction.request.source.len()), (JobKind::Reconstruct, 2));
        let prediction = parsed(&json!({ "input": { "experiment": "quick" } })).expect("parsed");
        assert_eq!(prediction.request.experiment.as_deref(), Some("quick"));
    }

    #[test]
    fn data_addresses_are_files() {
        for (text, media_type, bytes) in [
            ("data:video/mp4;base64,AAEC", "video/mp4", &[0, 1, 2][..]),
            ("data:;base64,", "", &[]),
            ("data:text/plain;charset=utf-8,a%20b", "text/plain", b"a b"),
        ] {
            let prediction = parsed(&json!({ "input": { "video": text } })).expect(text);
            assert_eq!(
                prediction.file,
                Some(DataFile { media_type: media_type.into(), bytes: bytes.into() })
            );
        }
        for text in ["data:video/mp4;base64", "data:video/mp4;base64,!!", "data:;base64,AAE"] {
            assert_eq!(
                parsed(&json!({ "input": { "video": text } })).expect_err(text).pointer.as_deref(),
                Some("/input/video")
            );
        }
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        for body in [
            json!([]),
            json!({ "input": 3 }),
            json!({ "input": { "video": 3 } }),
            json!({ "input": {}, "output_file_prefix": "https://a/" }),
            json!({ "input": { "video": "s3://a/b" } }),
            json!({ "input": { "images": ["data:;base64,AAEC", "b.png"] } }),
        ] {
            assert_eq!(parsed(&body).expect_err("refused").status, 422, "{body}");
        }
        assert_eq!(parse(b"{").expect_err("refused").status, 400);
    }

    #[test]
    fn ids_of_any_kind_name_one_job() {
        let uuid = "d9e8f0a1-2b3c-4d5e-8f90-a1b2c3d4e5f6";
        let parse = |name: &str| PredictionId::parse(name.to_owned()).expect(name).job;
        assert_eq!(parse(uuid).to_string(), uuid);
        // the bytes 0..16 in base32
        let base32 = "aaaqeayeaudaocajbifqydiob4";
        assert_eq!(parse(base32).to_string(), "00010203-0405-0607-0809-0a0b0c0d0e0f");
        assert_eq!(parse("abcd1234"), parse("abcd1234"));
        assert_ne!(parse("abcd1234"), parse("abcd1235"));
        for name in ["", "a/b", "a b", "ä", &"a".repeat(129)] {
            assert!(PredictionId::parse(name.to_owned()).is_err(), "{name}");
        }
    }
}
