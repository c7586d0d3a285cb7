//! Writes an upload's bytes, on a thread of its own. In: pieces of a body. Out: synced bytes in the upload's file, and then their
//! number in the store: after a crash the store never says more than is on disk.

use super::slots::{Claim, Limits, Uploads};
use super::{KEEP_INCOMPLETE, check_space, complete_expiry, expiry, storage};
use crate::job::hexadecimal;
use crate::problem::Problem;
use crate::service::Service;
use crate::store::Upload;
use axum::body::Bytes;
use axum::http::StatusCode;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::Receiver;

/// Pieces between the connection and the writing thread.
pub(super) const PIECES_AHEAD: usize = 8;

/// The time of an upload in progress is renewed when so many milliseconds of it have passed.
const RENEWAL: i64 = 3_600_000;

/// What the writing thread gets. A channel that ends without [`Piece::End`] is a body that is not whole.
#[derive(Debug)]
pub(super) enum Piece {
    /// The next bytes.
    Data(Bytes),
    /// The body is whole.
    End,
}

/// What to write, and where.
pub(super) struct Writer {
    /// The service.
    pub service: Arc<Service>,
    /// Limits.
    pub uploads: Uploads,
    /// The upload; its offset is that of the file.
    pub upload: Upload,
    /// Its file, at the offset.
    pub file: File,
    /// The right to write.
    pub claim: Claim,
    /// The place.
    pub slot: OwnedSemaphorePermit,
    /// Whether the end of the body is the end of the file, and a body that is not whole leaves nothing.
    pub is_whole_file: bool,
}

/// Bytes of the upload that are hashed and written, and what is known of them on disk.
struct State {
    hash: Option<Sha256>,
    synced: u64,
    synced_at: Instant,
}

impl Writer {
    /// Writes until the pieces end. Returns the upload after that.
    ///
    /// # Errors
    /// 507 if the disk is full; 410 if the upload was removed meanwhile.
    pub(super) fn run(mut self, pieces: Receiver<Piece>) -> Result<Upload, Problem> {
        let mut result = self.write(pieces);
        if self.is_whole_file && self.upload.sha256.is_none() {
            // on a full disk the record can be removed only once there is space; if this fails, the next step says why
            let _ = self.file.set_len(0);
            result = result.and(storage::remove(&self.service, &self.upload.id));
        }
        // the right and the place end after the last change of the file
        drop((self.file, self.claim, self.slot));
        result.map(|()| self.upload)
    }

    fn write(&mut self, mut pieces: Receiver<Piece>) -> Result<(), Problem> {
        let limits = Arc::clone(&self.uploads.limits);
        let hash = (self.upload.offset == 0).then(Sha256::new);
        let mut state = State { hash, synced: self.upload.offset, synced_at: Instant::now() };
        let mut is_whole = false;
        while let Some(piece) = pieces.blocking_recv() {
            let Piece::Data(data) = piece else {
                is_whole = true;
                break;
            };
            if let Err(error) = self.file.write_all(&data) {
                // what was written before is kept: a client can go on when there is room
                self.sync(&mut state)?;
                return Err(storage::disk_problem(&self.service, &error));
            }
            self.upload.offset += data.len() as u64;
            if let Some(hash) = &mut state.hash {
                hash.update(&data);
            }
            if is_due(&limits, &state, self.upload.offset) {
                self.sync(&mut state)?;
                check_space(&self.service, 0)?;
            }
        }
        if is_whole && self.is_whole_file {
            self.upload.size = Some(self.upload.offset);
        }
        self.sync(&mut state)?;
        if self.upload.size == Some(self.upload.offset) && (is_whole || !self.is_whole_file) {
            self.complete(state.hash)?;
        }
        Ok(())
    }

    /// Makes the written bytes durable, and then their number. The last bytes are recorded by [`Writer::complete`], together
    /// with the hash: there is no record of an upload that is whole and not complete.
    fn sync(&mut self, state: &mut State) -> Result<(), Problem> {
        self.file.sync_data().map_err(|error| storage::disk_problem(&self.service, &error))?;
        state.synced = self.upload.offset;
        state.synced_at = Instant::now();
        self.check_record()?;
        let store = &self.service.store;
        let upload = &mut self.upload;
        if upload.size != Some(upload.offset) {
            store.set_upload(&upload.id, upload.size, upload.offset, None)?;
        }
        let renewed = expiry(&self.service, KEEP_INCOMPLETE);
        if upload.expires < renewed.saturating_sub(RENEWAL) {
            upload.expires = renewed;
            store.renew_upload(&upload.id, renewed)?;
        }
        Ok(())
    }

    /// Fails if the upload was removed meanwhile.
    fn check_record(&self) -> Result<(), Problem> {
        if self
            .service
            .store
            .upload(&self.upload.id)?
            .is_some_and(|stored| stored.expires > self.service.store.now())
        {
            return Ok(());
        }
        let detail = format!("upload {} was removed while it was received; begin a new one", self.upload.id);
        Err(Problem::new(StatusCode::GONE, "expired", detail))
    }

    /// Records the hash of the whole file, which makes the upload complete.
    fn complete(&mut self, hash: Option<Sha256>) -> Result<(), Problem> {
        let hash = match hash {
            Some(hash) => hash,
            None => storage::hash_file(&self.service, &self.upload).map_err(Problem::internal)?,
        };
        let hash = hexadecimal(&hash.finalize());
        self.check_record()?;
        let upload = &mut self.upload;
        upload.expires = complete_expiry(&self.service);
        self.service.store.renew_upload(&upload.id, upload.expires)?;
        self.service.store.set_upload(&upload.id, upload.size, upload.offset, Some(&hash))?;
        upload.sha256 = Some(hash);
        Ok(())
    }
}

/// Whether it is time to make the written bytes durable.
fn is_due(limits: &Limits, state: &State, offset: u64) -> bool {
    offset - state.synced >= limits.sync_bytes || state.synced_at.elapsed() >= limits.sync_time
}
