//! Checks the documents: generated parts are current, links lead somewhere, the README stays short.

use posebook_notebook::tables::{
    Column, ColumnType, FrameRow, ImagePersonRow, MemoryRow, PersonRow, RunRow, TableRow,
};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The most words that the README may have.
const README_WORDS: usize = 900;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn type_name(column_type: ColumnType) -> &'static str {
    match column_type {
        ColumnType::Integer => "integer",
        ColumnType::Float => "float",
        ColumnType::Text => "text",
        ColumnType::Flag => "boolean",
        ColumnType::Floats => "list of floats",
    }
}

fn table(out: &mut String, title: &str, columns: &[Column]) {
    writeln!(out, "\n## {title}\n\n| column | type | meaning |\n|---|---|---|").unwrap();
    for Column { name, column_type, description } in columns {
        writeln!(out, "| `{name}` | {} | {description} |", type_name(*column_type)).unwrap();
    }
}

#[test]
fn columns_of_the_tables_are_documented() {
    let mut text = "# Columns\n\nGenerated from the row types in `crates/posebook-notebook/src/tables`; `UPDATE_DOCS=1 cargo test --release --test \
                    documents` writes it.\n\nNames end with their units. Every column can be null: unknown is null, never \
                    zero.\n"
        .to_string();
    table(&mut text, "`runs`: a row per run", RunRow::columns());
    table(&mut text, "`frames`: a row per frame", FrameRow::columns());
    table(&mut text, "`memory`: a row per sample", MemoryRow::columns());
    table(&mut text, "`people`: a row per person and frame", PersonRow::columns());
    table(&mut text, "`people` of `reconstruct`: a row per person", ImagePersonRow::columns());
    let path = root().join("docs/COLUMNS.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(
        written == text,
        "docs/COLUMNS.md is outdated; run UPDATE_DOCS=1 cargo test --release --test documents and commit it"
    );
}

#[test]
fn the_readme_is_short() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let words = readme.split_whitespace().count();
    assert!(words <= README_WORDS, "README.md has {words} words; move details to docs/");
}

/// Targets of Markdown links and of images in `text`, without anchors.
fn link_targets(text: &str) -> Vec<&str> {
    let markdown = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    let images =
        text.split("src=\"").skip(1).filter_map(|rest| rest.split_once('"')).map(|(target, _)| target);
    markdown.chain(images).map(|target| target.split('#').next().unwrap_or(target)).collect()
}

#[test]
fn relative_links_of_the_documents_exist() {
    let mut documents =
        vec![root().join("README.md"), root().join("CHANGELOG.md"), root().join("reports/README.md")];
    for entry in std::fs::read_dir(root().join("docs")).unwrap() {
        documents.push(entry.unwrap().path());
    }
    let mut broken = Vec::new();
    for document in
        documents.iter().filter(|path| path.extension().is_some_and(|extension| extension == "md"))
    {
        let text = std::fs::read_to_string(document).unwrap();
        for target in link_targets(&text) {
            let is_relative = !target.is_empty() && !target.contains("://");
            if is_relative && !document.parent().unwrap().join(target).exists() {
                broken.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
