//! Uploads.

use crate::support::{DAY, START, TestStore, new};
use posebook_serve::job::{JobKind, JobRequest, Source};
use posebook_serve::store::{End, StoreError, Upload};

fn upload(digit: char) -> Upload {
    Upload {
        id: digit.to_string().repeat(32),
        name: "a\r\nb.mp4".into(),
        metadata: Some("filename YQ==".into()),
        size: None,
        offset: 0,
        sha256: None,
        created: START,
        expires: START + DAY,
    }
}

#[test]
fn an_upload_grows_until_it_is_whole() {
    let store = TestStore::new();
    let first = upload('a');
    store.add_upload(&first).unwrap();
    assert_eq!(store.upload(&first.id).unwrap(), Some(first.clone()));
    store.set_upload(&first.id, Some(5_000_000_000), 4_999_999_999, None).unwrap();
    let store = store.reopen();
    let found = store.upload(&first.id).unwrap().unwrap();
    assert_eq!((found.size, found.offset, found.sha256), (Some(5_000_000_000), 4_999_999_999, None));
    store.set_upload(&first.id, Some(5_000_000_000), 5_000_000_000, Some("ff")).unwrap();
    assert_eq!(store.upload(&first.id).unwrap().unwrap().sha256.as_deref(), Some("ff"));
    assert!(matches!(store.add_upload(&first), Err(StoreError::Sqlite(_))), "an id is used once");
    assert_eq!(store.upload("none").unwrap(), None);
    store.set_upload("none", None, 1, None).unwrap();
    assert_eq!(store.upload("none").unwrap(), None);
}

#[test]
fn the_id_of_a_removed_upload_is_kept() {
    let store = TestStore::new();
    let first = upload('a');
    store.add_upload(&first).unwrap();
    assert!(!store.upload_was_removed(&first.id).unwrap());
    assert!(store.delete_upload(&first.id).unwrap());
    assert!(!store.delete_upload(&first.id).unwrap());
    assert_eq!(store.upload(&first.id).unwrap(), None);
    assert!(store.upload_was_removed(&first.id).unwrap());
    assert!(!store.upload_was_removed(&upload('b').id).unwrap());
}

#[test]
fn uploads_expire_unless_a_job_needs_them() {
    let store = TestStore::new();
    let (as_source, as_boxes, unused) = (upload('a'), upload('b'), upload('c'));
    for upload in [&as_source, &as_boxes, &unused] {
        store.add_upload(upload).unwrap();
    }
    let mut request = JobRequest::of_kind(JobKind::Track);
    request.source = vec![Source::Upload(as_source.id.clone())];
    request.boxes = Some(Source::Upload(as_boxes.id.clone()));
    let job = store.add_new(&new(request));
    let expired = |now| store.expired_uploads(now).unwrap();
    assert!(expired(START + DAY - 1).is_empty());
    assert_eq!(expired(START + DAY), [unused.id.as_str()]);
    assert!(store.upload_is_in_use(&as_boxes.id).unwrap() && !store.upload_is_in_use(&unused.id).unwrap());
    // through all states in which the job may still read it
    for step in 0..3 {
        match step {
            0 => drop(store.claim("cpu").unwrap().unwrap()),
            1 => assert!(store.set_running(job.id).unwrap()),
            _ => drop(store.cancel(job.id).unwrap()),
        }
        assert_eq!(expired(START + 2 * DAY), [unused.id.as_str()]);
        assert!(!store.delete_upload(&as_source.id).unwrap());
        assert!(!store.delete_upload(&as_boxes.id).unwrap());
    }
    store.end(job.id, &End::Canceled, &[], None).unwrap();
    assert_eq!(expired(START + DAY).len(), 3);
    assert!(store.delete_upload(&as_source.id).unwrap());
    store.renew_upload(&as_boxes.id, START + 3 * DAY).unwrap();
    assert_eq!(expired(START + 2 * DAY), [unused.id.as_str()]);
}
