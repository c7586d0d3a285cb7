//! What a server does at its start with what an earlier one left, which may have been killed at any moment.
//!
//! | a job was | and | becomes |
//! |---|---|---|
//! | queued | | queued |
//! | starting, running, canceling | `done/JOB` has an outcome | what the outcome says |
//! | canceling | | canceled |
//! | starting, running | the server crashed during an earlier attempt too | failed, `crashed` |
//! | starting, running | | queued again |
//!
//! Processes that an earlier server left are killed first: nothing else writes to the folders that are looked at here. Uploads are
//! cut back to what was synced.

use super::finish::{self, end_of, list_results, read_outcome};
use super::sources::failure;
use super::{Control, attempt, descendants, report};
use crate::job::{FailureKind, Job, JobState, RESULTS};
use crate::log;
use crate::service::Service;
use crate::store::End;
use std::fs::{self, OpenOptions};
use std::io;

/// Number of crashes of the server during a job's attempts after which the job has failed.
const MAX_SERVER_CRASHES: u32 = 2;

/// Decides on every unfinished job, and cuts uploads back.
///
/// # Errors
/// If the database or a folder cannot be read.
pub(super) fn recover(service: &Service) -> io::Result<()> {
    descendants::kill_below(&service.options.data.join("work"), &|text| report(service, text));
    for job in service.store.unfinished().map_err(io::Error::other)? {
        decide(service, &job)?;
    }
    cut_uploads(service)
}

fn decide(service: &Service, job: &Job) -> io::Result<()> {
    let done = service.done_folder(job.id);
    if let Ok(outcome) = read_outcome(&done) {
        let files = list_results(&done.join(RESULTS), &|| false)?;
        return finish::try_record(service, job, &end_of(&outcome), &files).map_err(io::Error::other);
    }
    let folder = service.work_folder(job.id, job.attempt);
    let control = Control::default();
    if job.state == JobState::Canceling {
        fs::create_dir_all(&folder)?;
        finish::finish(service, job, &folder, End::Canceled, &control);
    } else if job.server_crashes + 1 >= MAX_SERVER_CRASHES {
        fs::create_dir_all(&folder)?;
        let crashes = job.server_crashes + 1;
        let message = format!("the server crashed {crashes} times while this job ran; it is not tried again");
        finish::finish(service, job, &folder, End::Failed(failure(FailureKind::Crashed, message)), &control);
    } else {
        service.store.requeue(job.id, true).map_err(io::Error::other)?;
        attempt::log_requeue(service, job, "the server ended");
        if let Ok(Some(job)) = service.store.job(job.id) {
            log::job_state(service.options.log, &job);
        }
    }
    Ok(())
}

/// Removes bytes of uploads that were written and not synced: the client sends them again.
fn cut_uploads(service: &Service) -> io::Result<()> {
    for entry in fs::read_dir(service.options.data.join("uploads"))? {
        let entry = entry?;
        let Ok(id) = entry.file_name().into_string() else { continue };
        let Some(upload) = service.store.upload(&id).map_err(io::Error::other)? else { continue };
        for file in fs::read_dir(entry.path())? {
            let file = file?;
            let length = file.metadata()?.len();
            if file.file_type()?.is_file() && length > upload.offset {
                OpenOptions::new().write(true).open(file.path())?.set_len(upload.offset)?;
            } else if length < upload.offset {
                report(
                    service,
                    &format!("upload {id}: {} of {} bytes are lost", upload.offset - length, upload.offset),
                );
                // the client sends the rest again, and the whole is hashed again
                service.store.set_upload(&id, upload.size, length, None).map_err(io::Error::other)?;
            }
        }
    }
    Ok(())
}
