//! A survey as Markdown and figures.

use super::{Notebook, Part, Survey};
use crate::experiment::{FigureKind, FigureSpec};
use crate::hmr2::Precision;
use crate::parity::{Check, Size};
use crate::report::{Grid, Value, figure_file};
use crate::speed::{Document, OfPrecision, Row};
use std::fmt::Write;

/// The report; figures lie in `below` + `figures/`.
pub fn markdown(survey: &Survey, figures: &[&str], below: &str) -> String {
    let mut text = format!("# {}\n\n", survey.device);
    facts(&mut text, survey);
    text.push_str("## Speed\n\n");
    speed(&mut text, survey);
    for name in figures {
        let _ = writeln!(text, "![{}]({below}figures/{name})\n", name.trim_end_matches(".svg"));
    }
    text.push_str("## Parity\n\n");
    match &survey.parity {
        Part::Done(checks) => parity(&mut text, checks),
        Part::Missing(why) => missing(&mut text, why),
    }
    text.push_str("## The pipeline and its memory\n\n");
    if survey.notebooks.is_empty() {
        missing(&mut text, "no experiment was run");
    }
    for notebook in &survey.notebooks {
        match notebook {
            Part::Done(notebook) => of_notebook(&mut text, notebook, below),
            Part::Missing(why) => missing(&mut text, why),
        }
    }
    text
}

/// The page that shows the newest survey.
pub fn newest(survey: &Survey, figures: &[&str], below: &str) -> String {
    let head = "# Graphics cards\n\nWhat `just gpu` measured, newest first to read; every survey lies in \
                `<card>/<date>/`. Nothing here is quoted from elsewhere: a part without numbers says why.\n\n";
    let below = format!("{below}/");
    format!("{head}{}", markdown(survey, figures, &below).replacen("# ", "## Newest: ", 1))
}

fn facts(text: &mut String, survey: &Survey) {
    let source = &survey.source;
    let dirty = if source.git_dirty == Some(true) { ", changed" } else { "" };
    let hash = source.git_hash.as_deref().map_or("unknown", |hash| &hash[..hash.len().min(12)]);
    let _ = writeln!(text, "{}, source {hash}{dirty}; {:.0} s in all.\n", survey.date, survey.secs);
    let mut row = |name: &str, value: String| {
        let _ = writeln!(text, "- {name}: {value}");
    };
    if let Some(card) = &survey.card {
        row("card", format!("{}, {}, driver {}", card.name, gib(card.total_bytes), card.driver_in_words()));
    }
    row("context, before anything is on the card", survey.context_bytes.map_or("unknown".into(), mib));
    let cpu = survey.machine.cpu.as_deref().unwrap_or("unknown");
    row("host", format!("{cpu}, {} cores", survey.machine.cores));
    let of = |built: bool| {
        let names = survey.kernels.iter().filter(|kernel| kernel.1 == built).map(|kernel| kernel.0.as_str());
        let names: Vec<&str> = names.collect();
        if names.is_empty() { "none".to_string() } else { names.join(", ") }
    };
    row("kernels in this build", of(true));
    row("left out", of(false));
    text.push('\n');
}

fn speed(text: &mut String, survey: &Survey) {
    let ours = match &survey.speed {
        Part::Done(document) => document,
        Part::Missing(why) => return missing(text, why),
    };
    let theirs = survey.torch.done();
    let _ = writeln!(
        text,
        "The network is `{}`: {:.1} GFLOP of matrix products a crop. *of products* is against the same \
         products alone, *of ceiling* against one large product.\n",
        ours.network,
        ours.flop_per_crop as f64 / 1e9
    );
    text.push_str(
        "| precision | way | batch | crops/s | TFLOP/s | of products | of ceiling | tensors | pool |\n",
    );
    text.push_str("|---|---|---:|---:|---:|---:|---:|---:|---:|\n");
    for of in &ours.precisions {
        rows(text, "", of);
        if let Some(of) = theirs.and_then(|document| same(document, &of.precision)) {
            rows(text, "PyTorch ", of);
        }
    }
    text.push('\n');
    match &survey.torch {
        Part::Done(document) => {
            let version = document.torch.as_deref().unwrap_or("of unknown version");
            let _ = writeln!(text, "PyTorch {version}, in the same run.\n");
        }
        Part::Missing(why) => {
            let _ = writeln!(text, "No PyTorch beside it: {why}.\n");
        }
    }
    if !ours.skipped_for_time.is_empty() {
        let _ = writeln!(text, "No time was left for: {}.\n", ours.skipped_for_time.join("; "));
    }
}

fn same<'a>(document: &'a Document, precision: &str) -> Option<&'a OfPrecision> {
    document.precisions.iter().find(|of| of.precision == precision)
}

fn rows(text: &mut String, who: &str, of: &OfPrecision) {
    for row in &of.rows {
        let Row { mode, precision, batch, .. } = row;
        if let Some(error) = &row.error {
            let _ = writeln!(text, "| {precision} | {who}{mode} | {batch} | {} | | | | | |", one_line(error));
            continue;
        }
        let products = of.products.iter().find(|rate| rate.batch == *batch).map(|rate| rate.tflops);
        let share = |whole: Option<f64>| match row.tflops.zip(whole) {
            Some((part, whole)) => format!("{:.0}%", 100.0 * part / whole),
            None => "–".to_string(),
        };
        let _ = writeln!(
            text,
            "| {precision} | {who}{mode} | {batch} | {} | {} | {} | {} | {} | {} |",
            row.crops_per_sec.map_or("–".into(), |rate| format!("{rate:.1}")),
            row.tflops.map_or("–".into(), |rate| format!("{rate:.1}")),
            share(products),
            share(Some(of.ceiling.tflops)),
            row.allocated_peak_bytes.map_or("–".into(), mib),
            row.reserved_peak_bytes.map_or("–".into(), mib),
        );
    }
}

fn parity(text: &mut String, checks: &[Check]) {
    let failed = checks.iter().filter(|check| !check.passed()).count();
    let _ = writeln!(
        text,
        "{} comparisons with the original's numbers, {failed} beyond what is allowed.\n",
        checks.len()
    );
    text.push_str(
        "| stage | size | precision | what | largest error | allowed | relative |\n\
         |---|---|---|---|---:|---:|---:|\n",
    );
    for check in checks {
        let mark = if check.passed() { "" } else { " **too far**" };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {:.1e}{mark} | {} | {:.1e} |",
            check.stage.name(),
            check.size.map_or("", Size::name),
            check.precision.map_or("", Precision::name),
            check.what,
            check.largest,
            format!("{:.0e} {}", check.tolerance, check.unit).trim_end(),
            check.relative
        );
    }
    text.push('\n');
}

fn of_notebook(text: &mut String, notebook: &Notebook, below: &str) {
    let _ = writeln!(
        text,
        "### [{}]({below}{}/report.md)\n\n{}\n",
        notebook.name, notebook.name, notebook.question
    );
    let _ = writeln!(text, "{} runs, {} of them failed.\n", notebook.runs, notebook.failed);
    for verdict in &notebook.verdicts {
        let _ = writeln!(text, "- {verdict}");
    }
    text.push('\n');
}

fn missing(text: &mut String, why: &str) {
    let _ = writeln!(text, "Not measured: {why}.\n");
}

/// An error in a table's cell.
fn one_line(error: &str) -> String {
    let line = error.lines().next().unwrap_or("failed").replace('|', "/");
    line.chars().take(80).collect()
}

fn mib(bytes: u64) -> String {
    format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20))
}

fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

/// The survey's figures, by file name.
pub fn figures(survey: &Survey) -> Vec<(String, Vec<u8>)> {
    let Some(ours) = survey.speed.done() else { return Vec::new() };
    let mut grid = Grid {
        columns: ["batch", "crops per second", "way", "panel"].map(String::from).to_vec(),
        rows: Vec::new(),
    };
    let documents = [("", Some(ours)), ("PyTorch ", survey.torch.done())];
    for (who, document) in documents.into_iter().filter_map(|(who, document)| Some((who, document?))) {
        for row in document.precisions.iter().flat_map(|of| &of.rows) {
            let Some(rate) = row.crops_per_sec else { continue };
            grid.rows.push(vec![
                Value::Number(row.batch as f64),
                Value::Number(rate),
                Value::Text(format!("{who}{}", row.mode)),
                Value::Text(row.precision.clone()),
            ]);
        }
    }
    let spec = FigureSpec {
        title: "Crops per second by batch".into(),
        kind: FigureKind::Line,
        x: "batch".into(),
        y: Some("crops per second".into()),
        by: Some("way".into()),
        log_y: true,
        ..FigureSpec::default()
    };
    // a figure that cannot be drawn is left out; its numbers stand in the table
    figure_file(&spec, &grid).map(|svg| vec![("speed.svg".to_string(), svg)]).unwrap_or_default()
}
