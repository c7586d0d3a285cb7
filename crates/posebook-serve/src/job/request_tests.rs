//! Requests that are accepted and refused.

use super::*;
use proptest::prelude::*;
use serde_json::json;

/// The name, status, pointer and detail of the problem of a body.
fn problem(body: &str) -> (u16, Option<String>, String) {
    let problem = JobRequest::from_json(body.as_bytes()).expect_err(body);
    assert_eq!(problem.name(), "malformed", "{body}");
    (problem.status, problem.pointer.clone(), problem.detail.clone())
}

const ID: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn a_full_request_is_read() {
    let body = json!({
        "kind": "track", "source": {"upload": ID}, "boxes": {"path": "/data/boxes.txt"}, "settings": {"video.every": 2},
        "priority": -3, "webhook": "https://example.org/x", "webhook_events": ["completed", "start"], "keep": "7d",
    });
    let request = JobRequest::from_json(body.to_string().as_bytes()).unwrap();
    assert_eq!(request.kind, JobKind::Track);
    assert_eq!(request.source, [Source::Upload(ID.into())]);
    assert_eq!(request.boxes, Some(Source::Path("/data/boxes.txt".into())));
    assert_eq!(request.settings["video.every"], 2);
    assert_eq!(request.priority, -3);
    assert_eq!(request.webhook_events, ["completed", "start"]);
    assert_eq!(request.keep.as_deref(), Some("7d"));
    // what is stored is read back as the same
    let stored = serde_json::to_string(&request).unwrap();
    assert_eq!(serde_json::from_str::<JobRequest>(&stored).unwrap(), request);
    assert_eq!(JobRequest::from_json(stored.as_bytes()).unwrap(), request);
}

#[test]
fn absent_and_null_are_the_same() {
    let short = JobRequest::from_json(br#"{"kind": "reconstruct", "source": [{"path": "a.jpg"}]}"#).unwrap();
    let long = br#"{"kind": "reconstruct", "source": {"path": "a.jpg"}, "boxes": null, "experiment": null, "settings": null,
        "priority": null, "webhook": null, "webhook_events": null, "keep": null}"#;
    assert_eq!(JobRequest::from_json(long).unwrap(), short);
}

#[test]
fn what_is_not_json_is_a_400_with_its_place() {
    let (status, pointer, detail) = problem("{\"kind\": \n\"track\",}");
    assert_eq!((status, pointer), (400, None));
    assert!(detail.contains("line 2 column"), "{detail}");
    for body in
        ["", "{", "kind=track", "{\"kind\": \"tr\u{0}\"}", "{} {}", "\u{feff}{}", "{\"priority\": 1e999}"]
    {
        assert_eq!(problem(body).0, 400, "{body}");
    }
    assert_eq!(JobRequest::from_json(b"\"\xff\xfe\"").unwrap_err().status, 400);
}

#[test]
fn a_member_that_is_there_twice_is_refused_at_any_depth() {
    for body in [
        r#"{"kind": "track", "kind": "reconstruct"}"#,
        r#"{"kind": "track", "source": {"path": "a"}, "settings": {"a": 1, "a": 2}}"#,
        r#"{"kind": "track", "source": {"path": "a"}, "settings": {"a": [{"b": 1, "b": 1}]}}"#,
        r#"{"kind": "track", "source": {"path": "a", "path": "b"}}"#,
        r#"{"kind": "track", "k\u0069nd": "track"}"#,
    ] {
        let (status, _, detail) = problem(body);
        assert!(status == 400 && detail.contains("two members `"), "{body}: {detail}");
    }
}

#[test]
fn deep_json_is_refused_and_does_not_overflow_the_stack() {
    for deep in ["[".repeat(100_000), "{\"a\":".repeat(100_000)] {
        let body = format!(r#"{{"kind": "track", "settings": {{"a": {deep}"#);
        let (status, _, detail) = problem(&body);
        assert!(status == 400 && detail.contains("nested"), "{detail}");
    }
    let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    let body = |levels| {
        format!(
            r#"{{"kind": "track", "source": {{"path": "a"}}, "settings": {{"a.b": {}}}}}"#,
            nested(levels)
        )
    };
    assert!(JobRequest::from_json(body(16).as_bytes()).is_ok());
    assert_eq!(problem(&body(17)).1.as_deref(), Some("/settings/a.b"));
}

#[test]
fn unknown_names_are_refused_with_the_nearest_one() {
    for (body, pointer, nearest) in [
        (r#"{"kind": "trakc", "source": {"path": "a"}}"#, "/kind", "did you mean `track`?"),
        (
            r#"{"kind": "pose", "source": {"path": "a"}}"#,
            "/kind",
            "there are `track`, `reconstruct`, `experiment`",
        ),
        (r#"{"kind": "track", "sorce": {"path": "a"}}"#, "/sorce", "did you mean `source`?"),
        (r#"{"kind": "track", "video_path": "a"}"#, "/video_path", "there are `kind`, `source`"),
        (r#"{"kind": "track", "a/b~c": 1}"#, "/a~1b~0c", "no such member"),
        (r#"{"kind": "track", "source": {"uplaod": "a"}}"#, "/source/uplaod", "did you mean `upload`?"),
        (
            r#"{"kind": "track", "source": {"file": "a"}}"#,
            "/source/file",
            "there are `upload`, `path`, `url`",
        ),
        (
            r#"{"kind": "reconstruct", "source": [{"path": "a"}, {"pth": "b"}]}"#,
            "/source/1/pth",
            "did you mean `path`?",
        ),
        (
            r#"{"kind": "track", "source": {"path": "a"}, "webhook": "http://h/", "webhook_events": ["start", "complete"]}"#,
            "/webhook_events/1",
            "did you mean `completed`?",
        ),
    ] {
        let (status, found, detail) = problem(body);
        assert_eq!((status, found.as_deref()), (422, Some(pointer)), "{body}");
        assert!(detail.contains(nearest), "{detail}");
    }
}

#[test]
fn wrong_types_are_refused_at_their_place() {
    assert_eq!(problem("[]").0, 422);
    assert_eq!(problem("null").1, None);
    for (body, pointer) in [
        (r#"{"kind": 1}"#, "/kind"),
        (r#"{"kind": "track", "source": "a.mp4"}"#, "/source"),
        (r#"{"kind": "track", "source": {}}"#, "/source"),
        (r#"{"kind": "track", "source": [null]}"#, "/source/0"),
        (r#"{"kind": "track", "source": {"path": 1}}"#, "/source/path"),
        (r#"{"kind": "track", "source": {"path": "a", "url": "b"}}"#, "/source"),
        (r#"{"kind": "track", "boxes": ["a"]}"#, "/boxes"),
        (r#"{"kind": "experiment", "experiment": 5}"#, "/experiment"),
        (r#"{"kind": "track", "settings": [1]}"#, "/settings"),
        (r#"{"kind": "track", "priority": 1.5}"#, "/priority"),
        (r#"{"kind": "track", "priority": "high"}"#, "/priority"),
        (r#"{"kind": "track", "priority": 9999999999999999999}"#, "/priority"),
        (r#"{"kind": "track", "webhook": {}}"#, "/webhook"),
        (r#"{"kind": "track", "webhook_events": "start"}"#, "/webhook_events"),
        (r#"{"kind": "track", "webhook_events": [1]}"#, "/webhook_events/0"),
        (r#"{"kind": "track", "keep": 7}"#, "/keep"),
    ] {
        let (status, found, _) = problem(body);
        assert_eq!((status, found.as_deref()), (422, Some(pointer)), "{body}");
    }
}

#[test]
fn each_kind_has_its_members() {
    for (body, pointer) in [
        (r#"{}"#, "/kind"),
        (r#"{"source": {"path": "a"}}"#, "/kind"),
        (r#"{"kind": "track"}"#, "/source"),
        (r#"{"kind": "track", "source": []}"#, "/source"),
        (r#"{"kind": "track", "source": [{"path": "a"}, {"path": "b"}]}"#, "/source"),
        (r#"{"kind": "reconstruct"}"#, "/source"),
        (r#"{"kind": "track", "source": {"path": "a"}, "experiment": "x"}"#, "/experiment"),
        (r#"{"kind": "experiment"}"#, "/experiment"),
        (r#"{"kind": "experiment", "experiment": ""}"#, "/experiment"),
        (r#"{"kind": "experiment", "experiment": "a\nb"}"#, "/experiment"),
        (r#"{"kind": "experiment", "experiment": "x", "source": {"path": "a"}}"#, "/source"),
        (r#"{"kind": "experiment", "experiment": "x", "boxes": {"path": "a"}}"#, "/boxes"),
    ] {
        let (status, found, _) = problem(body);
        assert_eq!((status, found.as_deref()), (422, Some(pointer)), "{body}");
    }
    assert!(JobRequest::from_json(br#"{"kind": "experiment", "experiment": "memory-of-results"}"#).is_ok());
}

#[test]
fn members_have_limits() {
    let with = |member: Value| {
        let mut body = json!({"kind": "track", "source": {"path": "a"}});
        for (name, value) in member.as_object().unwrap() {
            body[name] = value.clone();
        }
        body.to_string()
    };
    for (member, pointer) in [
        (json!({"source": {"path": ""}}), "/source/path"),
        (json!({"source": {"path": "a\0b"}}), "/source/path"),
        (json!({"source": {"path": "a".repeat(8193)}}), "/source/path"),
        (json!({"source": {"url": ""}}), "/source/url"),
        (json!({"source": {"upload": "../../etc"}}), "/source/upload"),
        (json!({"source": {"upload": ID.to_uppercase()}}), "/source/upload"),
        (json!({"boxes": {"upload": "x"}}), "/boxes/upload"),
        (json!({"settings": {"": 1}}), "/settings/"),
        (json!({"settings": {"a\nb": 1}}), "/settings/a\nb"),
        (json!({"priority": 1001}), "/priority"),
        (json!({"priority": -1001}), "/priority"),
        (json!({"priority": i64::MIN}), "/priority"),
        (json!({"priority": 5_000_000_000_i64}), "/priority"),
        (json!({"keep": "soon"}), "/keep"),
        (json!({"keep": "7".repeat(100_000)}), "/keep"),
        (json!({"webhook": "ftp://host/"}), "/webhook"),
        (json!({"webhook": "http://host/a b"}), "/webhook"),
        (json!({"webhook": ""}), "/webhook"),
        (json!({"webhook": "é"}), "/webhook"),
        (json!({"webhook_events": ["start"]}), "/webhook_events"),
        (json!({"webhook": "http://h/", "webhook_events": ["start", "start"]}), "/webhook_events/1"),
    ] {
        let (status, found, _) = problem(&with(member.clone()));
        assert_eq!((status, found.as_deref()), (422, Some(pointer)), "{member}");
    }
    for member in [
        json!({"source": {"path": "a".repeat(8192)}}),
        json!({"source": {"path": "-i.mp4"}}),
        json!({"source": {"path": "\"><img src=x onerror=alert(1)>.mp4"}}),
        json!({"priority": 1000}),
        json!({"keep": "forever"}),
        json!({"webhook": "HTTPS://host/"}),
        json!({"webhook": "http://h/", "webhook_events": ["start", "output", "logs", "completed"]}),
    ] {
        assert!(JobRequest::from_json(with(member.clone()).as_bytes()).is_ok(), "{member}");
    }
}

#[test]
fn numbers_of_settings_and_sources_are_limited() {
    let settings = |count: usize| {
        let settings: Map<String, Value> =
            (0..count).map(|index| (format!("k{index}"), index.into())).collect();
        json!({"kind": "track", "source": {"path": "a"}, "settings": settings}).to_string()
    };
    assert!(JobRequest::from_json(settings(1_000).as_bytes()).is_ok());
    assert_eq!(problem(&settings(1_001)).1.as_deref(), Some("/settings"));
    let sources = |count: usize| {
        let sources = vec![json!({"path": "a.jpg"}); count];
        json!({"kind": "reconstruct", "source": sources}).to_string()
    };
    assert!(JobRequest::from_json(sources(10_000).as_bytes()).is_ok());
    assert_eq!(problem(&sources(10_001)).1.as_deref(), Some("/source"));
}

#[test]
fn numbers_keep_their_form() {
    let body = br#"{"kind": "track", "source": {"path": "a"}, "settings": {"a": 2, "b": 2.0, "c": -1, "d": 18446744073709551615}}"#;
    let request = JobRequest::from_json(body).unwrap();
    let text = serde_json::to_string(&request.settings).unwrap();
    assert_eq!(text, r#"{"a":2,"b":2.0,"c":-1,"d":18446744073709551615}"#);
}

#[test]
fn answers_do_not_repeat_long_requests() {
    let long = "x".repeat(900_000);
    for body in [
        json!({"kind": long}),
        json!({ long.as_str(): 1 }),
        json!({"kind": "track", "source": { long.as_str(): 1 }}),
        json!({"kind": "track", "source": {"path": long}}),
        json!({"kind": "track", "source": {"path": "a"}, "settings": { long.as_str(): 1 }}),
        json!({"kind": "track", "source": {"path": "a"}, "keep": long}),
        json!({"kind": "track", "source": {"path": "a"}, "webhook": long}),
        json!({"kind": "track", "source": {"path": "a"}, "webhook": "http://h/", "webhook_events": [long]}),
        json!({"kind": "experiment", "experiment": long}),
    ] {
        let (_, pointer, detail) = problem(&body.to_string());
        assert!(detail.len() < 1_000 && pointer.is_none_or(|pointer| pointer.len() < 2_000));
    }
    let (_, _, detail) = problem(&format!(r#"{{"{long}": 1, "{long}": 2}}"#));
    assert!(detail.len() < 1_000);
}

/// Any JSON value, often one that a request may have at this place.
fn any_json() -> impl Strategy<Value = Value> {
    let words = prop_oneof![
        proptest::sample::select(vec![
            "track",
            "reconstruct",
            "experiment",
            "upload",
            "path",
            "7d",
            "forever",
            ID,
            "http://h/",
            "start"
        ])
        .prop_map(str::to_string),
        any::<String>(),
    ];
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-3..3_i64).prop_map(Value::from),
        // up to 15 digits: `serde_json` reads longer numbers with an error of one unit in the last place
        (-999_999_999..999_999_999_i64).prop_map(|number| Value::from(number as f64 / 1e6)),
        words.clone().prop_map(Value::from),
    ];
    scalar.prop_recursive(3, 24, 4, move |inner| {
        let names = prop_oneof![
            3 => proptest::sample::select(SOURCES.to_vec()).prop_map(str::to_string),
            1 => words.clone(),
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((names, inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_request_is_read_back_as_it_was_or_refused(
        kind in proptest::sample::select(vec!["track", "reconstruct", "experiment"]),
        members in proptest::collection::vec((proptest::sample::select(MEMBERS.to_vec()), any_json()), 0..5),
    ) {
        let mut body: Map<String, Value> = members.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
        body.entry("kind").or_insert_with(|| kind.into());
        // so that most are accepted but for what was drawn
        match kind {
            "experiment" => body.entry("experiment").or_insert_with(|| "a".into()),
            _ => body.entry("source").or_insert_with(|| json!({"path": "a"})),
        };
        let body = Value::Object(body).to_string();
        match JobRequest::from_json(body.as_bytes()) {
            Ok(request) => {
                let stored = serde_json::to_string(&request).unwrap();
                prop_assert_eq!(&JobRequest::from_json(stored.as_bytes()).unwrap(), &request);
                prop_assert_eq!(&serde_json::from_str::<JobRequest>(&stored).unwrap(), &request);
            }
            Err(problem) => prop_assert_eq!(problem.name(), "malformed"),
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = JobRequest::from_json(&bytes);
    }
}
