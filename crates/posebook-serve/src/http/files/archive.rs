//! All results of a job as one zip file, written while it is sent: nothing is stored, memory is constant. Files are not
//! compressed (videos and Parquet are already); above 4 GiB they have sizes of 64 bits. In: a job. Out: the zip file.

use super::{Disposition, content_disposition, ended_job, file_stem, open, results_folder, unreadable};
use crate::http::streams::stream;
use crate::job::{Job, ResultFile};
use crate::problem::Problem;
use crate::service::Service;
use axum::Router;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use tokio::sync::Semaphore;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// Archives that are sent at once; each has a thread.
const AT_ONCE: usize = 8;

/// The slots of archives.
#[derive(Clone)]
struct Slots(Arc<Semaphore>);

pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/v1/jobs/{id}/archive.zip", get(archive))
        .layer(Extension(Slots(Arc::new(Semaphore::new(AT_ONCE)))))
}

async fn archive(
    State(service): State<Arc<Service>>,
    Extension(slots): Extension<Slots>,
    Path(id): Path<String>,
    method: Method,
) -> Result<Response, Problem> {
    // opened before the answer begins: a missing file is an error and not a torn archive, and what retention removes meanwhile
    // stays readable
    let (job, files) = service.blocking(move |service| open_all(service, &id)).await?;
    let name = format!("{}-{}.zip", file_stem(&job.name), &job.id.to_string()[..8]);
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/zip")),
        (header::CONTENT_DISPOSITION, content_disposition(Disposition::Attachment, &name)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache")),
    ];
    if method == Method::HEAD {
        return Ok(headers.into_response());
    }
    let permit = slots.0.try_acquire_owned().map_err(|_all_taken| {
        let detail =
            format!("{AT_ONCE} archives are being sent already; ask again later, or fetch single files");
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-downloads", detail).retry_after(10)
    })?;
    let ended = job.ended.unwrap_or(job.created);
    let body = stream(&service, permit, move |_, out| write_archive(&files, ended, out))
        .await
        .map_err(|error| Problem::internal(format!("the archive of job {}: {error}", job.id)))?;
    Ok((headers, body).into_response())
}

/// Opens all results of a job.
fn open_all(service: &Service, id: &str) -> Result<(Job, Vec<(ResultFile, File)>), Problem> {
    let job = ended_job(service, id)?;
    let folder = results_folder(service, &job);
    let open = |record: &ResultFile| match open::open_result(&folder, record) {
        Ok(file) => Ok((record.clone(), file)),
        Err(error) => Err(unreadable(service, &job, &format!("result `{}`", record.name), &error)),
    };
    let files = job.files.iter().map(open).collect::<Result<_, _>>()?;
    Ok((job, files))
}

/// Writes the archive. `time` is that of all its files, milliseconds since 1970.
fn write_archive(files: &[(ResultFile, File)], time: i64, out: &mut dyn Write) -> io::Result<()> {
    let mut archive = ZipWriter::new_stream(out);
    for (record, file) in files {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(zip_time(time))
            .unix_permissions(0o644)
            .large_file(record.bytes >= u64::from(u32::MAX));
        archive.start_file(record.name.as_str(), options).map_err(io::Error::from)?;
        let copied = io::copy(&mut io::Read::take(file, record.bytes), &mut archive)?;
        if copied != record.bytes {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("`{}` became shorter", record.name),
            ));
        }
    }
    archive.finish().map_err(io::Error::from)?;
    Ok(())
}

/// A time as zip files have it: UTC, even seconds, from 1980 on.
fn zip_time(milliseconds: i64) -> DateTime {
    let Ok(time) = time::OffsetDateTime::from_unix_timestamp(milliseconds / 1000) else {
        return DateTime::default();
    };
    let year = u16::try_from(time.year()).unwrap_or_default();
    DateTime::from_date_and_time(
        year,
        time.month().into(),
        time.day(),
        time.hour(),
        time.minute(),
        time.second(),
    )
    .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Cursor, Read, Seek};

    #[test]
    fn an_archive_holds_every_file_under_its_name() {
        let mut files = Vec::new();
        for (name, bytes) in
            [("people.csv", &b"frame\n"[..]), ("deep/\u{e9}.bin", &[7; 100_000]), ("empty", b"")]
        {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(bytes).unwrap();
            file.rewind().unwrap();
            let record = ResultFile {
                name: name.to_owned(),
                bytes: bytes.len() as u64,
                sha256: String::new(),
                media_type: String::new(),
            };
            files.push((record, file));
        }
        let mut out = Vec::new();
        write_archive(&files, 1_795_867_200_000, &mut out).unwrap();
        let mut archive = zip::ZipArchive::new(Cursor::new(out)).unwrap();
        let names: Vec<String> = archive.file_names().map(|name| name.unwrap().into_owned()).collect();
        assert_eq!(names, ["people.csv", "deep/\u{e9}.bin", "empty"]);
        let mut entry = archive.by_name("deep/\u{e9}.bin").unwrap();
        assert_eq!(entry.compression(), CompressionMethod::Stored);
        assert_eq!(
            entry.last_modified().map(|time| (time.year(), time.month(), time.day())),
            Some((2026, 11, 28))
        );
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        assert!(bytes == [7; 100_000]);
    }

    #[test]
    fn a_file_that_became_shorter_is_an_error() {
        let record =
            ResultFile { name: "a".into(), bytes: 10, sha256: String::new(), media_type: String::new() };
        let error =
            write_archive(&[(record, tempfile::tempfile().unwrap())], 0, &mut io::sink()).unwrap_err();
        assert!(error.to_string().contains("shorter"), "{error}");
        assert_eq!(zip_time(0), DateTime::default());
        assert_eq!(zip_time(i64::MAX), DateTime::default());
    }
}
