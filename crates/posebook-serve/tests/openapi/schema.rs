//! Checks JSON against a schema of the document: the keywords that the document uses, and no others, so that none is
//! silently ignored.

use serde_json::Value;

/// Keywords without a meaning for validity.
const ANNOTATIONS: [&str; 2] = ["description", "default"];

/// Errors of `value` against `schema`; `at` is the place of the value.
pub fn errors(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    let Some(schema) = schema.as_object() else { return vec![format!("{at}: the schema is not an object")] };
    for (keyword, argument) in schema {
        let message = match keyword.as_str() {
            keyword if ANNOTATIONS.contains(&keyword) => None,
            "$ref" => {
                let pointer =
                    argument.as_str().and_then(|reference| reference.strip_prefix('#')).expect("a reference");
                let target =
                    document.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is not in the document"));
                found.extend(errors(document, target, value, at));
                None
            }
            "type" => {
                let is_one = |name: &Value| has_type(value, name.as_str().expect("a type"));
                let valid =
                    argument.as_array().map_or_else(|| is_one(argument), |types| types.iter().any(is_one));
                (!valid).then(|| format!("is {value}, not of the type {argument}"))
            }
            "properties" => {
                for (name, schema) in argument.as_object().expect("properties") {
                    if let Some(member) = value.get(name) {
                        found.extend(errors(document, schema, member, &format!("{at}/{name}")));
                    }
                }
                None
            }
            "required" => {
                let names = argument.as_array().expect("names").iter().filter_map(Value::as_str);
                let missing: Vec<&str> =
                    names.filter(|name| value.is_object() && value.get(name).is_none()).collect();
                (!missing.is_empty()).then(|| format!("lacks {missing:?}"))
            }
            "additionalProperties" => {
                let known = schema.get("properties").and_then(Value::as_object);
                let others = value.as_object().into_iter().flatten();
                for (name, member) in
                    others.filter(|(name, _)| known.is_none_or(|known| !known.contains_key(*name)))
                {
                    match argument {
                        Value::Bool(true) => {}
                        Value::Bool(false) => {
                            found.push(format!("{at}: has `{name}`, which is not documented"))
                        }
                        schema => found.extend(errors(document, schema, member, &format!("{at}/{name}"))),
                    }
                }
                None
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    found.extend(errors(document, argument, item, &format!("{at}/{index}")));
                }
                None
            }
            "minItems" | "maxItems" => value.as_array().and_then(|items| {
                let bound = argument.as_u64().expect("a number") as usize;
                let valid = if keyword == "minItems" { items.len() >= bound } else { items.len() <= bound };
                (!valid).then(|| format!("has {} items, {keyword} is {bound}", items.len()))
            }),
            "minimum" | "maximum" => value.as_f64().and_then(|number| {
                let bound = argument.as_f64().expect("a number");
                let valid = if keyword == "minimum" { number >= bound } else { number <= bound };
                (!valid).then(|| format!("is {number}, {keyword} is {bound}"))
            }),
            "enum" => {
                let valid = argument.as_array().expect("values").contains(value);
                (!valid).then(|| format!("is {value}, not one of {argument}"))
            }
            "oneOf" => {
                let fits = |schema: &&Value| errors(document, schema, value, at).is_empty();
                let number = argument.as_array().expect("schemas").iter().filter(fits).count();
                (number != 1).then(|| format!("{value} fits {number} of the alternatives"))
            }
            "format" => value.as_str().and_then(|text| {
                let valid = match argument.as_str() {
                    Some("uuid") => text.parse::<posebook_serve::job::JobId>().is_ok(),
                    Some("date-time") => is_time(text),
                    other => panic!("the format {other:?} is not checked"),
                };
                (!valid).then(|| format!("`{text}` is not a {argument}"))
            }),
            other => panic!("{at}: the keyword `{other}` is not checked"),
        };
        found.extend(message.map(|message| format!("{at}: {message}")));
    }
    found
}

fn has_type(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        other => panic!("there is no type `{other}`"),
    }
}

/// Whether a text is a time in UTC after RFC 3339.
fn is_time(text: &str) -> bool {
    let form: String =
        text.chars().map(|letter| if letter.is_ascii_digit() { '0' } else { letter }).collect();
    let Some(fraction) = form.strip_prefix("0000-00-00T00:00:00").and_then(|rest| rest.strip_suffix('Z'))
    else {
        return false;
    };
    fraction.is_empty()
        || fraction.strip_prefix('.').is_some_and(|digits| digits.bytes().all(|digit| digit == b'0'))
}

#[test]
fn wrong_values_are_found() {
    use serde_json::json;
    let document = json!({ "schemas": { "Name": { "type": "string", "enum": ["a", "b"] } } });
    let schema = json!({
        "type": "object", "additionalProperties": false, "required": ["name"],
        "properties": {
            "name": { "$ref": "#/schemas/Name" },
            "size": { "type": ["integer", "null"], "minimum": 0 },
            "pair": { "type": "array", "items": { "type": "number" }, "minItems": 2, "maxItems": 2 },
            "time": { "type": "string", "format": "date-time" },
            "other": { "oneOf": [{ "type": "string" }, { "type": "null" }] },
        },
    });
    let check = |value: Value| errors(&document, &schema, &value, "").len();
    assert_eq!(
        check(
            json!({ "name": "a", "size": 0, "pair": [1, 2.5], "time": "2026-11-28T12:00:00.5Z", "other": null })
        ),
        0
    );
    for wrong in [
        json!([]),
        json!({}),
        json!({ "name": "c" }),
        json!({ "name": "a", "more": 1 }),
        json!({ "name": "a", "size": -1 }),
        json!({ "name": "a", "size": 0.5 }),
        json!({ "name": "a", "pair": [1] }),
        json!({ "name": "a", "pair": [1, "x"] }),
        json!({ "name": "a", "time": "yesterday" }),
        json!({ "name": "a", "other": 1 }),
    ] {
        assert!(check(wrong.clone()) > 0, "{wrong}");
    }
}
