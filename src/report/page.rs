//! The page as HTML: one file, no script, nothing fetched.
//!
//! Must not know where the answers come from.

use super::Picture;
use super::claim::{self, Judged};
use super::facts::Facts;
use super::figure::palette;
use super::format;
use super::markup::{self, prose, prose_within_line};
use super::notebook::{Answered, Block, Drawn, Film};
use super::table::Shown;
use crate::experiment::Verdict;
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// The whole page.
pub fn html(answered: &Answered) -> String {
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
                (opening(answered, &claims))
                main { @for (at, block) in answered.blocks.iter().enumerate() { (cell(at + 1, block)) } }
                (failures(&answered.facts))
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

/// What a smaller experiment says of itself.
pub const QUICK: &str = "This is the quick version (--quick): smaller than what the text below speaks of.";

/// The first screen: the question and its answer.
fn opening(answered: &Answered, claims: &[Judged]) -> Markup {
    let facts = &answered.facts;
    let failed = facts.runs - facts.ok;
    html! {
        header {
            p.kicker {
                "Experiment " strong { (answered.name) }
                @if let Some(day) = facts.started_utc.as_deref().and_then(|time| time.get(..10)) { " · " (day) }
                @if let Some(commits) = facts.commits_in_short() { " · " (commits) }
            }
            h1 { (answered.question) }
            p.answer { (claim::in_short(claims)) }
            @if let (0, Some(first)) = (facts.ok, facts.failures.first()) {
                p.problem role="alert" { strong { "No run ended well. " } (first.error) }
            }
            @if !claims.is_empty() {
                ol.verdicts { @for judged in claims { (verdict_card(judged)) } }
            }
            p.tally {
                @if failed == 0 { (format::count(facts.runs, "run", "runs")) ", all of them ok" }
                @else { (facts.ok) " of " (format::count(facts.runs, "run", "runs")) " ok, "
                    a href="#failed" { (failed) " failed" } }
                @if let Some(secs) = facts.wall_secs { " · " (format::seconds(secs)) " of measurement" }
                " · " a href="#provenance" { "where this comes from" }
            }
            @if let Some(warning) = facts.warning() {
                p.problem role="alert" { strong { "Other frames than on record. " } (warning) }
            }
            @if answered.is_quick { p.tally { (QUICK) } }
            @for left_out in &answered.left_out { p.tally { "Left out: " (left_out) "." } }
        }
    }
}

fn verdict_class(judged: &Judged) -> &'static str {
    match (judged.verdict, judged.as_expected()) {
        (Verdict::Unknown, _) => "unknown",
        (Verdict::Holds, true) => "holds",
        (Verdict::Refuted, true) => "refuted",
        (Verdict::Holds, false) => "holds unexpected",
        (Verdict::Refuted, false) => "refuted unexpected",
    }
}

fn badge(judged: &Judged) -> Markup {
    let sign = match judged.verdict {
        Verdict::Holds => "✓",
        Verdict::Refuted => "✗",
        Verdict::Unknown => "?",
    };
    html! { span.badge { span aria-hidden="true" { (sign) } " " (judged.verdict_word()) } }
}

fn verdict_card(judged: &Judged) -> Markup {
    html! {
        li class=(verdict_class(judged)) {
            (badge(judged))
            a.statement href={ "#cell-" (judged.cell) } { (PreEscaped(without_links(&judged.claim.statement))) }
            p.number {
                @if judged.number.is_some() { strong { (judged.measured()) } " " (judged.counted()) " " }
                span.condition { "holds if " (judged.condition())
                    @if judged.number.is_none() { (spaced(judged.counted())) } }
            }
            @if judged.missing.is_some() {
                @if let Some(words) = judged.expectation() { p.number { (capitalised(&words)) } }
            }
            @if judged.number.is_some() && !judged.as_expected() {
                @if let Some(words) = judged.expectation() { p.surprise { (words) } }
            }
        }
    }
}

/// A statement inside a link: its Markdown's own links would end that one.
fn without_links(markdown: &str) -> String {
    let html = prose_within_line(markdown);
    if html.contains("<a ") { markup::escaped(markdown) } else { html }
}

fn cell(position: usize, block: &Block) -> Markup {
    let id = format!("cell-{position}");
    match block {
        Block::Text(text) => html! { section.prose id=(id) { (PreEscaped(prose(text))) } },
        Block::Table { title, note, sql, answer } => html! {
            section.table-cell id=(id) {
                h3 { (title) }
                @match answer {
                    Ok(shown) if shown.rows.is_empty() => p.nothing { "The query gave no rows." },
                    Ok(shown) => (shown.html(title)),
                    Err(error) => (problem(error)),
                }
                (beneath(note.as_deref(), &[]))
                (query(sql))
            }
        },
        Block::Figure(drawn) => figure(&id, drawn),
        Block::Strips { title, note, pictures } => html! {
            section.film-cell id=(id) {
                h3 { (title) }
                @match pictures {
                    Ok(films) if films.is_empty() => p.nothing { "The query gave no rows." },
                    Ok(films) => @for film in films { (strip(title, film)) },
                    Err(error) => (problem(error)),
                }
                (beneath(note.as_deref(), &[]))
            }
        },
        Block::Claim(judged) => claim_box(&id, judged),
        Block::NotMeasured { title, missing } => html! {
            section.table-cell id=(id) { h3 { (title) } p.nothing { "Not measured: " (missing.missing()) "." } }
        },
    }
}

fn figure(id: &str, drawn: &Drawn) -> Markup {
    html! {
        figure id=(id) {
            figcaption { span.count { "Figure " (drawn.number) } " " (drawn.title) }
            @match &drawn.answer {
                Ok(answer) => {
                    div.sheet { (PreEscaped(&answer.drawing.wide)) (PreEscaped(&answer.drawing.narrow)) }
                    (beneath(drawn.note.as_deref(), &answer.remarks))
                    @if let Some(rows) = &answer.rows { (numbers(rows, drawn)) } @else { (query(&drawn.sql)) }
                }
                Err(error) => { (problem(error)) (query(&drawn.sql)) }
            }
        }
    }
}

fn numbers(rows: &Shown, drawn: &Drawn) -> Markup {
    html! { details { summary { "Numbers and query" } (rows.html(&drawn.title)) pre { code { (dedented(&drawn.sql)) } } } }
}

fn query(sql: &str) -> Markup {
    html! { details { summary { "Query" } pre { code { (dedented(sql)) } } } }
}

fn beneath(note: Option<&str>, remarks: &[String]) -> Markup {
    html! { @if note.is_some() || !remarks.is_empty() {
        div.note {
            @if let Some(note) = note { (PreEscaped(prose(note))) }
            @if !remarks.is_empty() { p.remark { (remarks.join(" ")) } }
        }
    } }
}

fn strip(title: &str, film: &Film) -> Markup {
    html! {
        div.film {
            p.film-name { (film.caption) }
            @if film.pictures.is_empty() {
                p.nothing { "This run left no pictures." }
            } @else {
                div.reel role="region" aria-label=(film.caption) tabindex="0" {
                    @for picture in &film.pictures { div.moment {
                        @if let Some(frame) = picture.frame { p.moment-name { "frame " (frame) } }
                        img alt={ (title) ": " (picture_in_words(film, picture)) } loading="lazy"
                            src=(markup::data_uri(picture.media_type, &picture.bytes));
                    } }
                }
            }
        }
    }
}

/// Which run and, where known, which frame a picture shows.
pub fn picture_in_words(film: &Film, picture: &Picture) -> String {
    picture.frame.map_or_else(|| film.caption.clone(), |frame| format!("{}, frame {frame}", film.caption))
}

fn claim_box(id: &str, judged: &Judged) -> Markup {
    html! {
        section class={ "claim " (verdict_class(judged)) } id=(id) {
            p.statement { (badge(judged)) " " (PreEscaped(prose_within_line(&judged.claim.statement))) }
            p.number {
                @if judged.number.is_some() {
                    "Measured " strong { (judged.measured()) } (spaced(judged.counted())) "; it"
                } @else { "It" }
                " holds if " (judged.condition())
                @if judged.number.is_none() { (spaced(judged.counted())) }
                @if let Some(words) = judged.expectation() { ". " span.expectation { (capitalised(&words)) } }
                "."
            }
            @if let Some(error) = &judged.error { (problem(error)) }
            @if let Some(source) = &judged.claim.source { p.source { (PreEscaped(prose_within_line(source))) } }
            (query(&judged.claim.sql))
        }
    }
}

fn spaced(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!(" {words}") }
}

fn problem(error: &str) -> Markup {
    html! { p.problem role="alert" { strong { "This cell has no answer. " } (error) } }
}

fn failures(facts: &Facts) -> Markup {
    html! { @if !facts.failures.is_empty() {
        section.failed id="failed" {
            h2 { "Runs that failed" }
            @for failure in &facts.failures {
                div.failure {
                    p { span.badge { (failure.outcome) } " " (failure.what)
                        @if failure.count > 1 { " · " (failure.count) " times" } }
                    pre { (failure.error) }
                }
            }
        }
    } }
}

fn provenance(answered: &Answered) -> Markup {
    html! {
        footer id="provenance" {
            h2 { "Where this comes from" }
            dl {
                @for (name, values) in &answered.facts.provenance {
                    dt { (name) }
                    dd { @if values.len() > 6 { (many(values)) } @else { @for value in values { div { (value) } } } }
                }
                dt { "Started" }
                dd { (answered.facts.started_utc.as_deref().unwrap_or(format::ABSENT)) " (UTC)" }
            }
            p { "To measure it again:" }
            pre { code { (repeat(answered)) } }
            p.small {
                "Every setting is in " code { "experiment.toml" } ", every number in " code { "runs" } ", "
                code { "frames" } ", " code { "memory" } " and " code { "people.parquet" } " beside this page."
            }
        }
    }
}

fn many(values: &[String]) -> Markup {
    html! { details { summary { (values.len()) } @for value in values { div { (value) } } } }
}

/// The commands that measure it again.
pub fn repeat(answered: &Answered) -> String {
    let quick = if answered.is_quick { " --quick" } else { "" };
    let command = format!("./just experiment {}{quick}", answered.name);
    match answered.facts.commits.first() {
        Some(commit) => format!("git checkout {}\n{command}", commit.hash),
        None => command,
    }
}

/// SQL without the indentation that its TOML file gave it.
pub fn dedented(sql: &str) -> String {
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

/// The first letter a capital.
pub fn capitalised(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}
