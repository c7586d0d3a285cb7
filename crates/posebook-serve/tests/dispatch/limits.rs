//! Limits of time, log size and devices; locks of the data folder and of GPUs.

use crate::support::{FakeBackend, TestServer, wait_until};
use posebook_serve::backend::DeviceInfo;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[test]
fn a_job_is_stopped_at_its_time_limit() {
    let server = TestServer::fresh(|options| options.job_time_limit = Some(Duration::from_millis(400)));
    let id = server.queue(json!({ "frames": 1000, "frame_seconds": 0.05 }));
    let job = server.wait_for(&id, "failed");
    assert_eq!(job["failure"]["kind"], "timed_out");
    assert!(job["failure"]["message"].as_str().unwrap().contains("0.4 s"), "{job:#}");
    assert!(job["failure"]["advice"].is_string());
    // rows up to the limit are there
    assert!(job["files"].as_array().unwrap().iter().any(|file| file["name"] == "people.csv"));
}

#[test]
fn a_flood_of_messages_neither_fills_the_disk_nor_stops_the_job() {
    let server = TestServer::fresh(|_| ());
    let began = Instant::now();
    let id = server.queue(json!({ "frames": 2, "flood_seconds": 2 }));
    server.wait_for(&id, "succeeded");
    let seconds = began.elapsed().as_secs_f64();
    let log = server.service.done_folder(id.parse().unwrap()).join("log.txt");
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.len() <= 10 << 20, "{}", text.len());
    assert!(text.starts_with("\\x00\\x00") && text.contains("bytes of the log were left out here"));
    assert!(text.contains("the flood is over\n") && text.contains("job of 2 frames\n"), "the end is there");
    let left_out = text.split("[... ").nth(1).unwrap().split(' ').next().unwrap().parse::<u64>().unwrap();
    println!("{left_out} bytes of the flood were left out in {seconds:.1} s");
    assert!(left_out > 50 << 20, "the process was held back: {left_out} bytes in {seconds} s");
}

#[test]
fn a_second_server_on_the_same_folder_is_refused_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(TestServer::options(&folder));
    let backend = Arc::new(FakeBackend::default());
    let error = TestServer::start_with(TestServer::options(&folder), backend).err().unwrap().to_string();
    assert!(error.contains("in use by another server") && error.contains("--data"), "{error}");
    assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
    server.stop().unwrap();
    TestServer::start(TestServer::options(&folder)).stop().unwrap();
}

#[test]
fn a_card_that_another_server_uses_takes_no_jobs_until_that_one_ends() {
    let uuid = format!("GPU-test-{}", std::process::id());
    let device = |name: &str| FakeBackend::device(name, Some(&uuid));
    let start = |device: DeviceInfo| {
        let folder = tempfile::tempdir().unwrap();
        let options =
            posebook_serve::Options { devices: vec![device.name.clone()], ..TestServer::options(&folder) };
        (TestServer::start_with(options, Arc::new(FakeBackend { devices: vec![device] })).unwrap(), folder)
    };
    let (first, _folder) = start(device("cuda:0"));
    let id = first.queue(json!({}));
    first.wait_for(&id, "succeeded");
    let (second, _folder) = start(device("cuda:1"));
    let blocked =
        || second.service.dispatcher.get().and_then(|dispatcher| dispatcher.devices()[0].blocked.clone());
    wait_until("the second is blocked", || blocked().is_some());
    assert!(blocked().unwrap().starts_with("cuda:1 is in use by another server"), "{:?}", blocked());
    let id = second.queue(json!({}));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(second.job(&id)["state"], "queued");
    first.stop().unwrap();
    second.wait_for(&id, "succeeded");
    assert_eq!(blocked(), None);
}

#[test]
fn an_unknown_device_and_an_open_address_without_a_token_are_refused() {
    let refused = |change: fn(&mut posebook_serve::Options)| {
        let folder = tempfile::tempdir().unwrap();
        let mut options = TestServer::options(&folder);
        change(&mut options);
        TestServer::start_with(options, Arc::new(FakeBackend::default())).err().unwrap().to_string()
    };
    assert!(refused(|options| options.devices = vec!["cuda:9".into()]).contains("cpu, cuda:0"));
    assert!(refused(|options| options.devices = vec!["cpu".into(), "cpu".into()]).contains("twice"));
    assert!(refused(|options| options.devices.clear()).contains("no devices"));
    assert!(refused(|options| options.listen = ([0, 0, 0, 0], 0).into()).contains("--token-file"));
    assert!(refused(|options| options.allow = vec!["/no/such/folder".into()]).contains("/no/such/folder"));
}
