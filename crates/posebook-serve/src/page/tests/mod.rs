//! Every page in every state is well-formed, shows texts of others verbatim, and obeys the content security policy.
//!
//! To look at the pages: set `POSEBOOK_PAGES` to a folder, and the test writes them there.

mod markup;
mod samples;

use super::{JobView, QueueView, job, problem, queue, sign_in};
use crate::job::{JobKind, JobState};
use crate::problem::Problem;
use axum::http::StatusCode;
use markup::{Page, read};
use samples::HOSTILE;

fn page(html: &str) -> Page {
    read(html).unwrap_or_else(|error| panic!("{error}\n{html}"))
}

/// All pages, by name.
fn all_pages() -> Vec<(String, String)> {
    let mut pages: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, html: String| pages.push((name.to_string(), html));
    add("queue", queue(&samples::usual_queue()));
    add("queue-empty", queue(&samples::queue(Vec::new())));
    add("queue-nothing", queue(&QueueView { is_draining: true, is_older: true, ..QueueView::default() }));
    let many = (0..100).map(|number| {
        let state = JobState::ALL[number as usize % JobState::ALL.len()];
        samples::row(samples::job(number, state, &format!("clip {number}.mp4")), Some(number))
    });
    add("queue-many", queue(&samples::queue(many.collect())));
    let hostile = HOSTILE
        .iter()
        .enumerate()
        .map(|(number, text)| samples::row(samples::failed(number as u64, text, text), None));
    add("queue-hostile", queue(&samples::queue(hostile.collect())));
    for state in JobState::ALL {
        let name = format!("job-{}", state.as_str());
        add(&name, job(&samples::view(samples::job(1, state, "walk.mp4"))));
    }
    add("job-results", job(&samples::view(samples::succeeded(2, "walk.mp4"))));
    add(
        "job-no-memory",
        job(&samples::view(samples::failed(3, "stadium.mp4", "out of memory: 96.4 GB of 79.6 GB"))),
    );
    add("job-images", job(&samples::view(samples::reconstructed(6, "team_all.png"))));
    let mut expired = samples::succeeded(4, "old.mp4");
    expired.expired = true;
    add("job-expired", job(&samples::view(expired)));
    for (number, text) in HOSTILE.iter().enumerate() {
        add(&format!("job-hostile-{number}"), job(&hostile_view(text)));
        let error = Problem::new(StatusCode::NOT_FOUND, "no-such-job", *text).retry_after(9);
        add(&format!("problem-{number}"), problem(&error));
    }
    add("sign-in", sign_in(None));
    add("sign-in-again", sign_in(Some("this is not the access token")));
    pages
}

/// A job in which every text is `text`.
fn hostile_view(text: &str) -> JobView {
    let mut ended = samples::failed(5, text, text);
    ended.files = samples::succeeded(5, text).files;
    ended.files[0].name = text.to_string();
    ended.request.kind = JobKind::Experiment;
    ended.request.experiment = Some(text.to_string());
    ended.request.settings.insert(text.to_string(), text.into());
    ended.device = Some(text.to_string());
    if let Some(failure) = &mut ended.failure {
        failure.advice = Some(text.to_string());
        failure.changed_settings.insert(text.to_string(), text.into());
    }
    let mut view = samples::view(ended);
    view.sources = vec![(text.to_string(), Some(text.to_string()))];
    view.settings_toml = text.to_string();
    view.origin = text.to_string();
    view.log_tail = text.to_string();
    view.unreadable = vec![text.to_string()];
    view.stages = samples::stages();
    view.stages[0].stage = text.to_string();
    view.stages[0].waits_for = Some(text.to_string());
    let mut timeline = samples::timeline();
    timeline.tracks[0].color = text.to_string();
    timeline.fps = f64::NAN;
    timeline.tracks[1].observed = vec![(200, 100), (290, u64::MAX), (u64::MAX, 3)];
    timeline.cuts.push(u64::MAX);
    view.timeline = Some(timeline);
    view
}

#[test]
fn every_page_is_well_formed() {
    let folder = std::env::var_os("POSEBOOK_PAGES").map(std::path::PathBuf::from);
    for (name, html) in all_pages() {
        if let Some(folder) = &folder {
            std::fs::write(folder.join(format!("{name}.html")), &html).unwrap();
        }
        let page = read(&html).unwrap_or_else(|error| panic!("{name}: {error}"));
        let has = |element: &str| page.elements.iter().filter(|one| one.name == element).count();
        assert_eq!((has("main"), has("h1"), has("title")), (1, 1, 1), "{name}");
    }
}

#[test]
fn no_page_has_inline_styles_or_scripts_or_addresses_elsewhere() {
    for (name, html) in all_pages() {
        for element in &page(&html).elements {
            assert_ne!(element.name, "style", "{name}");
            for (key, value) in &element.attributes {
                assert!(key != "style" && !key.starts_with("on"), "{name}: {key}");
                if matches!(key.as_str(), "href" | "src" | "action" | "data-href") {
                    assert!(value.starts_with('/') || value.starts_with('#'), "{name}: {key}={value}");
                    assert!(!value.starts_with("//"), "{name}: {key}={value}");
                }
                if key == "fill" {
                    let is_known =
                        value.starts_with("url(#hatch-") || (value.starts_with('#') && value.len() == 7);
                    assert!(is_known, "{name}: {key}={value}");
                }
            }
            let is_script = element.name == "script";
            assert!(!is_script || element.attributes.iter().any(|(key, _)| key == "src"), "{name}");
        }
    }
}

#[test]
fn texts_of_others_are_shown_verbatim() {
    for text in HOSTILE {
        for html in [
            queue(&samples::queue(vec![samples::row(samples::failed(1, text, text), None)])),
            job(&hostile_view(text)),
        ] {
            let page = page(&html);
            assert!(page.text.contains(text), "{text}");
            for element in &page.elements {
                assert_ne!(element.name, "img", "{text}");
                if element.name == "script" {
                    assert_eq!(element.attributes[0], ("src".to_string(), "/script.js".to_string()));
                }
            }
        }
    }
}

#[test]
fn buttons_are_those_of_the_state() {
    for state in JobState::ALL {
        let html = job(&samples::view(samples::job(1, state, "walk.mp4")));
        let page = page(&html);
        let addresses = page.values("action");
        let has = |last: &str| addresses.iter().any(|address| address.ends_with(last));
        let can_be_canceled = matches!(state, JobState::Queued | JobState::Starting | JobState::Running);
        assert_eq!(has("/cancel"), can_be_canceled, "{state:?}");
        assert_eq!(has("/retry"), state == JobState::Canceled, "{state:?}");
        assert_eq!(page.values("data-method").contains(&"DELETE"), state.is_final(), "{state:?}");
    }
}

#[test]
fn a_failed_job_offers_a_retry_with_the_change() {
    let html = job(&samples::view(samples::failed(3, "a.mp4", "out of memory")));
    let page = page(&html);
    assert!(page.text.contains("Retry with video.every=2"), "{}", page.text);
    assert_eq!(page.values("data-body"), ["{\"settings\":{\"video.every\":2}}"]);
}

#[test]
fn waiting_jobs_are_in_the_order_in_which_they_start() {
    let html = queue(&samples::usual_queue());
    let text = page(&html).text;
    let at = |name: &str| text.rfind(name).unwrap_or_else(|| panic!("{name} is not there"));
    assert!(at("GX010042") < at("evening.mov"));
    assert!(text.contains("place 1 · starts in about 3 min"), "{text}");
}

#[test]
fn file_addresses_are_encoded() {
    let html = job(&samples::view(samples::succeeded(2, "walk.mp4")));
    assert!(html.contains("/files/tracks/100%25.pkl\""), "{html}");
}

#[test]
fn a_reconstruction_shows_the_images_with_all_people() {
    let html = job(&samples::view(samples::reconstructed(6, "\"><img src=x onerror=alert(1)>_all.png")));
    let page = page(&html);
    let images: Vec<_> = page.elements.iter().filter(|element| element.name == "img").collect();
    assert_eq!(images.len(), 1);
    assert!(
        images[0].attributes[0]
            .1
            .ends_with("/files/%22%3E%3Cimg%20src%3Dx%20onerror%3Dalert%281%29%3E_all.png")
    );
}

#[test]
fn a_hundred_jobs_are_a_small_page() {
    let (_, html) = all_pages().into_iter().find(|(name, _)| name == "queue-many").unwrap();
    assert!(html.len() < 200_000, "{} bytes", html.len());
}
