//! Compares answers with the document.

use crate::schema;
use crate::support::Answer;
use serde_json::Value;
use std::collections::BTreeSet;

/// The document, and which of its answers were seen.
pub struct Contract {
    document: Value,
    seen: BTreeSet<(String, String)>,
}

impl Contract {
    /// Nothing seen yet.
    pub fn new(document: Value) -> Contract {
        Contract { document, seen: BTreeSet::new() }
    }

    fn operations(&self) -> impl Iterator<Item = &Value> {
        let paths = self.document["paths"].as_object().expect("paths").values();
        paths.flat_map(|path| path.as_object().expect("operations").values())
    }

    /// Checks an answer of the operation `id` whose status the document names.
    #[track_caller]
    pub fn check(&mut self, id: &str, answer: &Answer) -> Answer {
        self.check_as(id, answer.status, answer)
    }

    /// The same of an answer that must have this status.
    #[track_caller]
    pub fn check_as(&mut self, id: &str, status: u16, answer: &Answer) -> Answer {
        assert_eq!(answer.status, status, "{id}: {}", answer.text());
        let responses = self.responses(id);
        let response = responses.get(status.to_string());
        let response =
            response.unwrap_or_else(|| panic!("{id}: {status} is not documented: {}", answer.text()));
        self.check_response(&format!("{id} {status}"), response, answer);
        self.seen.insert((id.to_owned(), status.to_string()));
        answer.clone()
    }

    /// Checks an error that the document does not name for this operation, but for all.
    #[track_caller]
    pub fn check_default(&self, id: &str, answer: &Answer, status: u16) {
        assert_eq!(answer.status, status, "{id}: {}", answer.text());
        assert!(self.responses(id).get(status.to_string()).is_none());
        self.check_response(id, &self.document["components"]["responses"]["Error"], answer);
    }

    #[track_caller]
    fn responses(&self, id: &str) -> &Value {
        let operation = self.operations().find(|operation| operation["operationId"] == id);
        &operation.unwrap_or_else(|| panic!("there is no operation {id}"))["responses"]
    }

    #[track_caller]
    fn check_response(&self, what: &str, response: &Value, answer: &Answer) {
        for (name, header) in response["headers"].as_object().into_iter().flatten() {
            assert!(
                header["required"] != true || answer.header(name).is_some(),
                "{what}: the header {name} is missing"
            );
        }
        assert!(answer.header("x-request-id").is_some(), "{what}: no X-Request-Id");
        let Some(content) = response["content"].as_object() else {
            assert!(answer.body.is_empty(), "{what}: a body is not documented: {}", answer.text());
            return;
        };
        let media_type = answer.header("content-type").unwrap_or_else(|| panic!("{what}: no type"));
        let media_type = media_type.split(';').next().unwrap_or_default();
        let content = content.get(media_type).or_else(|| content.get("*/*"));
        let content = content.unwrap_or_else(|| panic!("{what}: the type {media_type} is not documented"));
        if matches!(media_type, "application/json" | "application/problem+json")
            && let Some(schema) = content.get("schema")
        {
            let errors = schema::errors(&self.document, schema, &answer.json(), "");
            assert!(errors.is_empty(), "{what}: {errors:#?}\n{}", answer.text());
        }
        if media_type == "application/problem+json" {
            let problem = answer.json();
            assert_eq!(problem["status"], answer.status, "{what}");
            let name = problem["type"].as_str().and_then(|kind| kind.rsplit('/').next()).unwrap_or_default();
            let names =
                &self.document["components"]["schemas"]["Problem"]["properties"]["type"]["description"];
            let is_listed = names.as_str().is_some_and(|names| names.contains(&format!("`{name}`")));
            assert!(is_listed, "{what}: the type `{name}` is not documented");
        }
    }

    /// Fails if an answer of the document was not seen.
    pub fn assert_complete(&self) {
        let mut missing = Vec::new();
        for operation in self.operations() {
            let id = operation["operationId"].as_str().expect("an id");
            for status in
                operation["responses"].as_object().expect("responses").keys().filter(|key| *key != "default")
            {
                if !self.seen.contains(&(id.to_owned(), status.clone())) {
                    missing.push(format!("{id} {status}"));
                }
            }
        }
        assert!(missing.is_empty(), "documented, and never seen: {missing:#?}");
    }
}
