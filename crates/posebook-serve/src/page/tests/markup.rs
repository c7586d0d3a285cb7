//! Reads pages strictly: every element closed in order, every attribute quoted and given once, every id unique, text escaped.

use std::collections::HashSet;

/// Elements without an end.
const VOID: [&str; 5] = ["meta", "link", "input", "br", "img"];

/// A start of an element.
#[derive(Debug)]
pub struct Element {
    pub name: String,
    pub attributes: Vec<(String, String)>,
}

/// A page in pieces.
#[derive(Debug, Default)]
pub struct Page {
    pub elements: Vec<Element>,
    pub text: String,
}

impl Page {
    /// Values of an attribute over all elements.
    pub fn values(&self, name: &str) -> Vec<&str> {
        let all = self.elements.iter().flat_map(|element| &element.attributes);
        all.filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }
}

/// Reads a page.
pub fn read(html: &str) -> Result<Page, String> {
    let mut rest = html.strip_prefix("<!DOCTYPE html>").ok_or("no doctype")?;
    let mut page = Page::default();
    let mut open: Vec<String> = Vec::new();
    let mut ids = HashSet::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("</") {
            let (name, after) = after.split_once('>').ok_or("an end without `>`")?;
            let last = open.pop();
            if last.as_deref() != Some(name) {
                return Err(format!("</{name}> ends {last:?}"));
            }
            rest = after;
        } else if let Some(after) = rest.strip_prefix('<') {
            let (element, after) = start(after)?;
            if let Some((_, id)) = element.attributes.iter().find(|(key, _)| key == "id")
                && !ids.insert(id.clone())
            {
                return Err(format!("two elements have the id {id}"));
            }
            if !VOID.contains(&element.name.as_str()) {
                open.push(element.name.clone());
            }
            page.elements.push(element);
            rest = after;
        } else {
            let end = rest.find('<').unwrap_or(rest.len());
            page.text += &unescape(&rest[..end])?;
            rest = &rest[end..];
        }
    }
    if open.is_empty() { Ok(page) } else { Err(format!("never closed: {open:?}")) }
}

/// Parses a start tag; `text` begins after its `<`. Returns the element and the rest of the text.
fn start(text: &str) -> Result<(Element, &str), String> {
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == ':';
    let name_end = text.find(|letter| !is_name(letter)).ok_or("an unfinished element")?;
    let (name, mut rest) = text.split_at(name_end);
    if name.is_empty() {
        return Err(format!("not an element: <{}", text.chars().take(20).collect::<String>()));
    }
    let mut attributes: Vec<(String, String)> = Vec::new();
    loop {
        if let Some(after) = rest.strip_prefix('>') {
            return Ok((Element { name: name.to_string(), attributes }, after));
        }
        rest = rest.strip_prefix(' ').ok_or_else(|| format!("<{name}: no space before an attribute"))?;
        let key_end = rest.find(|letter| !is_name(letter)).ok_or("an unfinished attribute")?;
        let (key, after) = rest.split_at(key_end);
        if key.is_empty() || attributes.iter().any(|(other, _)| other == key) {
            return Err(format!("<{name}: the attribute `{key}` is empty or given twice"));
        }
        let value = match after.strip_prefix("=\"") {
            Some(quoted) => {
                let (value, after) = quoted.split_once('"').ok_or("an unfinished value")?;
                rest = after;
                unescape(value)?
            }
            None => {
                rest = after;
                String::new()
            }
        };
        attributes.push((key.to_string(), value));
    }
}

fn unescape(text: &str) -> Result<String, String> {
    if text.contains(['<', '>', '"']) {
        return Err(format!("not escaped: {text}"));
    }
    let mut parts = text.split('&');
    let mut plain = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let (entity, after) = part.split_once(';').ok_or_else(|| format!("a bare & in {text}"))?;
        plain += match entity {
            "lt" => "<",
            "gt" => ">",
            "quot" => "\"",
            "amp" => "&",
            _ => return Err(format!("unknown entity &{entity};")),
        };
        plain += after;
    }
    Ok(plain)
}

#[test]
fn the_reader_refuses_what_browsers_would_repair() {
    for (wrong, why) in [
        ("<p>a<b>c</p></b>", "ends"),
        ("<p>a", "never closed"),
        ("<p>a > b</p>", "not escaped"),
        ("<p>a & b</p>", "bare &"),
        ("<p id=\"a\"></p><p id=\"a\"></p>", "two elements"),
        ("<p class=\"a\" class=\"b\"></p>", "given twice"),
        ("<p class=a></p>", "no space"),
        ("<!-- a --><p></p>", "not an element"),
    ] {
        let error = read(&format!("<!DOCTYPE html>{wrong}")).unwrap_err();
        assert!(error.contains(why), "{wrong}: {error}");
    }
}
