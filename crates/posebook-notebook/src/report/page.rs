//! Renders an answered notebook as one self-contained HTML file without scripts.

use super::SheetImage;
use super::claim::{self, JudgedClaim};
use super::figure::palette;
use super::markup::{self, inline_markdown_to_html, markdown_to_html};
use super::notebook::{AnsweredNotebook, Block, ContactSheet, FigureBlock};
use super::run_summary::RunSummary;
use super::table::FormattedTable;
use crate::cell::Verdict;
use crate::format;
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// The page as HTML.
pub fn render_html(answered: &AnsweredNotebook) -> String {
    let claims = answered.claims();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (answered.question) " – " (answered.name) }
                style { (PreEscaped(style())) }
            }
            body {
                (header(answered, &claims))
                main { @for (index, block) in answered.blocks.iter().enumerate() { (block_html(index + 1, block)) } }
                (failures(&answered.run_summary))
                (provenance(answered))
            }
        }
    };
    page.into_string()
}

fn style() -> String {
    format!(
        ":root{{{}}}@media(prefers-color-scheme:dark){{:root{{{}}}}}\n{}",
        palette::variables(false),
        palette::variables(true),
        include_str!("style.css")
    )
}

/// Notice on the report of a quick experiment.
pub const QUICK_NOTICE: &str =
    "This is the quick version (--quick): it is smaller than the experiment that the text describes.";

/// The head of the page: question, verdicts, number of runs, warnings.
fn header(answered: &AnsweredNotebook, claims: &[JudgedClaim]) -> Markup {
    let run_summary = &answered.run_summary;
    let failed = run_summary.runs - run_summary.ok;
    html! {
        header {
            p.kicker {
                "Experiment " strong { (answered.name) }
                @if let Some(day) = run_summary.started_utc.as_deref().and_then(|time| time.get(..10)) { " · " (day) }
                @if let Some(commits) = run_summary.commits_text() { " · " (commits) }
            }
            h1 { (answered.question) }
            p.answer { (claim::summary(claims)) }
            @if let (0, Some(first)) = (run_summary.ok, run_summary.failures.first()) {
                p.problem role="alert" { strong { "No run succeeded. " } (first.error) }
            }
            @if !claims.is_empty() {
                ol.verdicts { @for judged in claims { (verdict_card(judged)) } }
            }
            p.tally {
                @if failed == 0 { (format::count(run_summary.runs, "run", "runs")) ", all of them ok" }
                @else { (run_summary.ok) " of " (format::count(run_summary.runs, "run", "runs")) " ok, "
                    a href="#failed" { (failed) " failed" } }
                @if let Some(secs) = run_summary.wall_secs { " · " (format::seconds(secs)) " of measurement" }
                " · " a href="#provenance" { "provenance" }
            }
            @if let Some(warning) = run_summary.warning() {
                p.problem role="alert" { strong { "Decoded frames differ from the record. " } (warning) }
            }
            @if answered.is_quick { p.tally { (QUICK_NOTICE) } }
            @for left_out in &answered.left_out { p.tally { "Left out: " (left_out) "." } }
        }
    }
}

fn verdict_class(judged: &JudgedClaim) -> &'static str {
    match (judged.verdict, judged.matches_expectation()) {
        (Verdict::Unknown, _) => "unknown",
        (Verdict::Holds, true) => "holds",
        (Verdict::Refuted, true) => "refuted",
        (Verdict::Holds, false) => "holds unexpected",
        (Verdict::Refuted, false) => "refuted unexpected",
    }
}

fn badge(judged: &JudgedClaim) -> Markup {
    let symbol = match judged.verdict {
        Verdict::Holds => "✓",
        Verdict::Refuted => "✗",
        Verdict::Unknown => "?",
    };
    html! { span.badge { span aria-hidden="true" { (symbol) } " " (judged.verdict_name()) } }
}

fn verdict_card(judged: &JudgedClaim) -> Markup {
    html! {
        li class=(verdict_class(judged)) {
            (badge(judged))
            a.statement href={ "#cell-" (judged.cell) } { (PreEscaped(without_links(&judged.claim.statement))) }
            p.number {
                @if judged.number.is_some() { strong { (judged.measured_text()) } " " (judged.counted_noun()) " " }
                span.condition { "holds if " (judged.condition_text())
                    @if judged.number.is_none() { (with_leading_space(judged.counted_noun())) } }
            }
            @if judged.missing.is_some() {
                @if let Some(text) = judged.expectation_text() { p.number { (capitalize(&text)) } }
            }
            @if judged.number.is_some() && !judged.matches_expectation() {
                @if let Some(text) = judged.expectation_text() { p.surprise { (text) } }
            }
        }
    }
}

/// A statement as the text of a link: HTML does not allow links inside links.
fn without_links(markdown: &str) -> String {
    let html = inline_markdown_to_html(markdown);
    if html.contains("<a ") { markup::escape_html(markdown) } else { html }
}

fn block_html(position: usize, block: &Block) -> Markup {
    let id = format!("cell-{position}");
    match block {
        Block::Text(text) => html! { section.prose id=(id) { (PreEscaped(markdown_to_html(text))) } },
        Block::Table { title, note, sql, answer } => html! {
            section.table-cell id=(id) {
                h3 { (title) }
                @match answer {
                    Ok(shown) if shown.rows.is_empty() => p.nothing { "The query gave no rows." },
                    Ok(shown) => (shown.html(title)),
                    Err(error) => (problem(error)),
                }
                (notes(note.as_deref(), &[]))
                (query(sql))
            }
        },
        Block::Figure(drawn) => figure(&id, drawn),
        Block::ContactSheets { title, note, sheets } => html! {
            section.contact-sheet-cell id=(id) {
                h3 { (title) }
                @match sheets {
                    Ok(sheets) if sheets.is_empty() => p.nothing { "The query gave no rows." },
                    Ok(sheets) => @for sheet in sheets { (contact_sheet(title, sheet)) },
                    Err(error) => (problem(error)),
                }
                (notes(note.as_deref(), &[]))
            }
        },
        Block::Claim(judged) => claim_box(&id, judged),
        Block::NotMeasured { title, missing } => html! {
            section.table-cell id=(id) { h3 { (title) } p.nothing { "Not measured: " (missing.missing_reason()) "." } }
        },
    }
}

fn figure(id: &str, drawn: &FigureBlock) -> Markup {
    html! {
        figure id=(id) {
            figcaption { span.count { "Figure " (drawn.number) } " " (drawn.title) }
            @match &drawn.answer {
                Ok(answer) => {
                    div.sheet { (PreEscaped(&answer.drawing.wide)) (PreEscaped(&answer.drawing.narrow)) }
                    (notes(drawn.note.as_deref(), &answer.remarks))
                    @if let Some(rows) = &answer.rows { (numbers(rows, drawn)) } @else { (query(&drawn.sql)) }
                }
                Err(error) => { (problem(error)) (query(&drawn.sql)) }
            }
        }
    }
}

fn numbers(rows: &FormattedTable, drawn: &FigureBlock) -> Markup {
    html! { details { summary { "Numbers and query" } (rows.html(&drawn.title)) pre { code { (dedent(&drawn.sql)) } } } }
}

fn query(sql: &str) -> Markup {
    html! { details { summary { "Query" } pre { code { (dedent(sql)) } } } }
}

/// The note and the remarks below a table or figure.
fn notes(note: Option<&str>, remarks: &[String]) -> Markup {
    html! { @if note.is_some() || !remarks.is_empty() {
        div.note {
            @if let Some(note) = note { (PreEscaped(markdown_to_html(note))) }
            @if !remarks.is_empty() { p.remark { (remarks.join(" ")) } }
        }
    } }
}

fn contact_sheet(title: &str, sheet: &ContactSheet) -> Markup {
    html! {
        div.contact-sheet {
            p.contact-sheet-name { (sheet.caption) }
            @if sheet.images.is_empty() {
                p.nothing { "This run has no images." }
            } @else {
                div.images role="region" aria-label=(sheet.caption) tabindex="0" {
                    @for image in &sheet.images { div {
                        @if let Some(frame) = image.frame { p.frame-name { "frame " (frame) } }
                        img alt={ (title) ": " (image_description(sheet, image)) } loading="lazy"
                            src=(markup::data_uri(image.media_type, &image.bytes));
                    } }
                }
            }
        }
    }
}

/// Caption of the run and, where known, the frame number of an image.
pub fn image_description(sheet: &ContactSheet, image: &SheetImage) -> String {
    image.frame.map_or_else(|| sheet.caption.clone(), |frame| format!("{}, frame {frame}", sheet.caption))
}

fn claim_box(id: &str, judged: &JudgedClaim) -> Markup {
    html! {
        section class={ "claim " (verdict_class(judged)) } id=(id) {
            p.statement { (badge(judged)) " " (PreEscaped(inline_markdown_to_html(&judged.claim.statement))) }
            p.number {
                @if judged.number.is_some() {
                    "Measured " strong { (judged.measured_text()) } (with_leading_space(judged.counted_noun())) "; it"
                } @else { "It" }
                " holds if " (judged.condition_text())
                @if judged.number.is_none() { (with_leading_space(judged.counted_noun())) }
                @if let Some(text) = judged.expectation_text() { ". " span.expectation { (capitalize(&text)) } }
                "."
            }
            @if let Some(error) = &judged.error { (problem(error)) }
            @if let Some(source) = &judged.claim.source { p.source { (PreEscaped(inline_markdown_to_html(source))) } }
            (query(&judged.claim.sql))
        }
    }
}

fn with_leading_space(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" {text}") }
}

fn problem(error: &impl std::fmt::Display) -> Markup {
    html! { p.problem role="alert" { strong { "This cell has no answer. " } (error) } }
}

fn failures(run_summary: &RunSummary) -> Markup {
    html! { @if !run_summary.failures.is_empty() {
        section.failed id="failed" {
            h2 { "Runs that failed" }
            @for failure in &run_summary.failures {
                div.failure {
                    p { span.badge { (failure.outcome) } " " (failure.description)
                        @if failure.count > 1 { " · " (failure.count) " times" } }
                    pre { (failure.error) }
                }
            }
        }
    } }
}

fn provenance(answered: &AnsweredNotebook) -> Markup {
    html! {
        footer id="provenance" {
            h2 { "Provenance" }
            dl {
                @for (name, values) in &answered.run_summary.provenance {
                    dt { (name) }
                    dd { @if values.len() > 6 { (collapsed(values)) } @else { @for value in values { div { (value) } } } }
                }
                dt { "Started" }
                dd { (answered.run_summary.started_utc.as_deref().unwrap_or(format::ABSENT)) " (UTC)" }
            }
            p { "To reproduce:" }
            pre { code { (reproduction_commands(answered)) } }
            p.small {
                "Every setting is in " code { "experiment.toml" } ", every number in " code { "runs" } ", "
                code { "frames" } ", " code { "memory" } " and " code { "people.parquet" } " in this folder."
            }
        }
    }
}

fn collapsed(values: &[String]) -> Markup {
    html! { details { summary { (values.len()) } @for value in values { div { (value) } } } }
}

/// The shell commands that reproduce the report.
pub fn reproduction_commands(answered: &AnsweredNotebook) -> String {
    let quick = if answered.is_quick { " --quick" } else { "" };
    let command = format!("./just experiment {}{quick}", answered.name);
    match answered.run_summary.commits.first() {
        Some(commit) => format!("git checkout {}\n{command}", commit.hash),
        None => command,
    }
}

/// SQL without the common indentation of its lines.
pub fn dedent(sql: &str) -> String {
    let lines: Vec<&str> = sql.trim_end().lines().skip_while(|line| line.trim().is_empty()).collect();
    let indent = lines
        .iter()
        .skip(1)
        .filter(|line| !line.trim().is_empty())
        .map(|line| line.len() - line.trim_start().len())
        .min()
        .unwrap_or(0);
    let cut =
        |line: &str| line.get(indent.min(line.len() - line.trim_start().len())..).unwrap_or(line).to_string();
    lines.iter().map(|line| cut(line)).collect::<Vec<_>>().join("\n")
}

/// `text` with its first letter in upper case.
pub fn capitalize(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}
