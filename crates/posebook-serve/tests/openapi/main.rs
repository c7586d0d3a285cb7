//! The document at `/openapi.json` is true: it names every route and method of the program and no others, and each documented
//! answer is provoked and checked against its schema.

mod aliases;
mod contract;
mod jobs;
mod schema;
#[path = "../support/mod.rs"]
mod support;
mod uploads;

use contract::Contract;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;
use support::{Answer, TestServer};

/// Headers of a request.
type Headers<'a> = &'a [(&'a str, &'a str)];

const JSON: (&str, &str) = ("Content-Type", "application/json");
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const NO_JOB: &str = "00000000-0000-4000-8000-000000000000";
const NO_UPLOAD: &str = "00000000000000000000000000000000";

/// Paths of all routes in the program's source, in the form of the document.
fn routes_of_source() -> BTreeSet<String> {
    fn collect(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                for after in text.split(".route(").skip(1) {
                    let route =
                        after.trim_start().strip_prefix('"').and_then(|route| route.split('"').next());
                    let route =
                        route.unwrap_or_else(|| panic!("{}: a route that is not a text", path.display()));
                    found.insert(route.replace("{*", "{"));
                }
            }
        }
    }
    let mut found = BTreeSet::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    found
}

#[test]
fn every_route_is_documented_with_its_methods() {
    let server = TestServer::fresh(|_| {});
    let document = server.get("/openapi.json").json();
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.keys().cloned().collect::<BTreeSet<_>>(), routes_of_source());
    for (path, operations) in paths {
        let documented: BTreeSet<String> =
            operations.as_object().unwrap().keys().map(|name| name.to_uppercase()).collect();
        // a method that no route has: the answer lists those that there are
        let answer = server.request("LINK", &path.replace("{id}", NO_JOB).replace("{name}", "x"), &[], b"");
        assert_eq!(answer.status, 405, "{path}: {}", answer.text());
        let mut there: BTreeSet<String> =
            answer.header("allow").unwrap().split(',').map(|method| method.trim().to_owned()).collect();
        if !documented.contains("HEAD") {
            // every GET answers HEAD too
            there.remove("HEAD");
        }
        assert_eq!(there, documented, "{path}");
    }
}

#[test]
fn operations_have_ids_tags_and_parameters_of_their_paths() {
    let server = TestServer::fresh(|_| {});
    let document = server.get("/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    let tags: Vec<&Value> = document["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
    let mut ids = BTreeSet::new();
    let mut linked = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id), "{id} is there twice");
            assert!(operation["tags"].as_array().unwrap().iter().all(|tag| tags.contains(&tag)), "{id}");
            let in_path: BTreeSet<&str> =
                path.split('{').skip(1).filter_map(|part| part.split('}').next()).collect();
            let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
            let documented: BTreeSet<&str> = parameters
                .iter()
                .filter(|parameter| parameter["in"] == "path")
                .filter_map(|parameter| parameter["name"].as_str())
                .collect();
            assert_eq!(documented, in_path, "{method} {path}");
            for response in operation["responses"].as_object().unwrap().values() {
                linked.extend(
                    response["links"].as_object().into_iter().flat_map(|links| links.keys().cloned()),
                );
            }
            assert_eq!(operation["responses"]["default"]["$ref"], "#/components/responses/Error", "{id}");
        }
    }
    assert!(linked.iter().all(|id| ids.contains(id.as_str())), "links to {linked:?}, of {ids:?}");
}

/// Every status that the document names is provoked, and nothing else is answered.
#[test]
fn every_documented_answer_is_as_documented() {
    let server = TestServer::fresh(|_| {});
    let mut contract = Contract::new(server.get("/openapi.json").json());
    server_routes(&mut contract, &server);
    let done = jobs::jobs(&mut contract, &server);
    jobs::results(&mut contract, &server, &done);
    uploads::uploads(&mut contract, &server);
    pages(&mut contract, &server, &done);
    aliases::aliases(&mut contract);
    jobs::full_and_ending(&mut contract);
    uploads::limits(&mut contract);
    contract.assert_complete();
}

fn server_routes(contract: &mut Contract, server: &TestServer) {
    for (id, path) in [
        ("health", "/healthz"),
        ("ready", "/readyz"),
        ("system", "/v1/system"),
        ("metrics", "/metrics"),
        ("openapi", "/openapi.json"),
    ] {
        contract.check(id, &server.get(path));
    }
}

/// Begins a request and leaves its body open.
fn begin(server: &TestServer, head: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(format!("{head}\r\nHost: {}\r\n\r\n", server.address).as_bytes()).unwrap();
    stream
}

fn answer(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    // the connection may be reset after the answer
    let _ = stream.read_to_end(&mut bytes);
    Answer::parse(&bytes).unwrap()
}

fn pages(contract: &mut Contract, server: &TestServer, done: &str) {
    contract.check_as("queuePage", 200, &server.request("GET", "/", &[("Accept", "text/html")], b""));
    contract.check_as("queuePage", 200, &server.request("GET", "/", &[("Accept", "application/json")], b""));
    contract.check_as(
        "jobPage",
        200,
        &server.request("GET", &format!("/jobs/{done}"), &[("Accept", "text/html")], b""),
    );
    contract.check_as(
        "jobPage",
        404,
        &server.request("GET", &format!("/jobs/{NO_JOB}"), &[("Accept", "application/json")], b""),
    );
    for (id, path) in [
        ("style", "/style.css"),
        ("script", "/script.js"),
        ("icon", "/icon.svg"),
        ("favicon", "/favicon.ico"),
    ] {
        let whole = contract.check_as(id, 200, &server.get(path));
        let known = [("If-None-Match", whole.header("etag").unwrap())];
        contract.check_as(id, 304, &server.request("GET", path, &known, b""));
    }
    contract.check_as("signInPage", 200, &server.get("/sign-in"));

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let guarded = TestServer::fresh(|options| options.token_file = Some(file.clone()));
    let token = std::fs::read_to_string(&file).unwrap().trim().to_owned();
    let sign_in =
        |kind: (&str, &str), body: &str| guarded.request("POST", "/sign-in", &[kind], body.as_bytes());
    contract.check_as("signIn", 204, &sign_in(JSON, &json!({ "token": token }).to_string()));
    contract.check_as("signIn", 303, &sign_in(FORM, &format!("token={token}")));
    contract.check_as("signIn", 401, &sign_in(JSON, "{\"token\": \"x\"}"));
    contract.check_as("signIn", 422, &sign_in(JSON, "{}"));
    let bearer = format!("Bearer {token}");
    let sign_out = |headers: &[(&str, &str)]| guarded.request("POST", "/sign-out", headers, b"");
    contract.check_as("signOut", 204, &sign_out(&[("Authorization", &bearer)]));
    contract.check_as("signOut", 303, &sign_out(&[("Authorization", &bearer), FORM]));
    // errors that every route can have are those of `default`
    contract.check_default("system", &guarded.get("/v1/system"), 401);
    contract.check_default(
        "system",
        &guarded.request("GET", "/v1/system", &[("Host", "evil.example")], b""),
        421,
    );
}
