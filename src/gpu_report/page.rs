//! Renders the GPU report as Markdown and figures.

use super::{ExperimentSummary, GpuReport, Section};
use crate::parity::{Check, NetworkSize};
use crate::speed::{PrecisionResults, SpeedReport, SpeedRow};
use posebook_models::hmr2::Precision;
use posebook_notebook::cell::{FigureKind, FigureSpec};
use posebook_notebook::report::draw_figure;
use posebook_notebook::tables::{Grid, Value};
use std::fmt::Write;

/// The report's page; links to figures start with `below` + `figures/`.
pub fn markdown(report: &GpuReport, figures: &[&str], below: &str) -> String {
    let mut text = format!("# {}\n\n", report.device);
    write_facts(&mut text, report);
    text.push_str("## Speed\n\n");
    write_speed(&mut text, report);
    for name in figures {
        let _ = writeln!(text, "![{}]({below}figures/{name})\n", name.trim_end_matches(".svg"));
    }
    text.push_str("## Parity\n\n");
    match &report.parity {
        Section::Done(checks) => write_parity(&mut text, checks),
        Section::Missing(why) => write_missing(&mut text, why),
    }
    text.push_str("## The pipeline and its memory\n\n");
    if report.experiments.is_empty() {
        write_missing(&mut text, "no experiment was run");
    }
    for experiment in &report.experiments {
        match experiment {
            Section::Done(experiment) => write_experiment(&mut text, experiment, below),
            Section::Missing(why) => write_missing(&mut text, why),
        }
    }
    text
}

/// The page that shows the latest report.
pub fn latest(report: &GpuReport, figures: &[&str], below: &str) -> String {
    let head = "# GPUs\n\nResults of `just gpu`, the latest first; every report is in `<gpu>/<date>/`. All values were \
                measured here: a section without values says why.\n\n";
    let below = format!("{below}/");
    format!("{head}{}", markdown(report, figures, &below).replacen("# ", "## Latest: ", 1))
}

fn write_facts(text: &mut String, report: &GpuReport) {
    let source = &report.source;
    let dirty = if source.git_dirty == Some(true) { ", changed" } else { "" };
    let hash = source.git_hash.as_deref().map_or("unknown", |hash| &hash[..hash.len().min(12)]);
    let _ = writeln!(text, "{}, source {hash}{dirty}; {:.0} s in all.\n", report.date, report.secs);
    let mut row = |name: &str, value: String| {
        let _ = writeln!(text, "- {name}: {value}");
    };
    if let Some(gpu) = &report.gpu {
        row("GPU", format!("{}, {}, driver {}", gpu.name, gib(gpu.total_bytes), gpu.driver_description()));
    }
    row("CUDA context", report.context_bytes.map_or("unknown".into(), mib));
    let cpu = report.machine.cpu.as_deref().unwrap_or("unknown");
    row("host", format!("{cpu}, {} cores", report.machine.cores));
    let of = |built: bool| {
        let names = report.kernels.iter().filter(|kernel| kernel.1 == built).map(|kernel| kernel.0.as_str());
        let names: Vec<&str> = names.collect();
        if names.is_empty() { "none".to_string() } else { names.join(", ") }
    };
    row("kernels in this build", of(true));
    row("kernels not in this build", of(false));
    text.push('\n');
}

fn write_speed(text: &mut String, report: &GpuReport) {
    let ours = match &report.speed {
        Section::Done(document) => document,
        Section::Missing(why) => return write_missing(text, why),
    };
    let theirs = report.torch.done();
    let _ = writeln!(
        text,
        "The network is `{}`: {:.1} GFLOP of matrix products per crop. *of products* is relative to the same \
         products alone, *of ceiling* to one large product.\n",
        ours.network,
        ours.flop_per_crop as f64 / 1e9
    );
    text.push_str(
        "| precision | mode | batch | crops/s | TFLOP/s | of products | of ceiling | tensors | pool |\n",
    );
    text.push_str("|---|---|---:|---:|---:|---:|---:|---:|---:|\n");
    for of in &ours.precisions {
        write_rows(text, "", of);
        if let Some(of) = theirs.and_then(|document| find_precision(document, &of.precision)) {
            write_rows(text, "PyTorch ", of);
        }
    }
    text.push('\n');
    match &report.torch {
        Section::Done(document) => {
            let version = document.torch.as_deref().unwrap_or("of unknown version");
            let _ = writeln!(text, "PyTorch {version}, measured in the same run.\n");
        }
        Section::Missing(why) => {
            let _ = writeln!(text, "PyTorch was not measured: {why}.\n");
        }
    }
    if !ours.skipped_for_time.is_empty() {
        let _ = writeln!(text, "Skipped at the deadline: {}.\n", ours.skipped_for_time.join("; "));
    }
}

fn find_precision<'a>(document: &'a SpeedReport, precision: &str) -> Option<&'a PrecisionResults> {
    document.precisions.iter().find(|of| of.precision == precision)
}

fn write_rows(text: &mut String, prefix: &str, of: &PrecisionResults) {
    for row in &of.rows {
        let SpeedRow { mode, precision, batch, .. } = row;
        if let Some(error) = &row.error {
            let _ =
                writeln!(text, "| {precision} | {prefix}{mode} | {batch} | {} | | | | | |", one_line(error));
            continue;
        }
        let products = of.products.iter().find(|rate| rate.batch == *batch).map(|rate| rate.tflops);
        let share = |whole: Option<f64>| match row.tflops.zip(whole) {
            Some((part, whole)) => format!("{:.0}%", 100.0 * part / whole),
            None => "–".to_string(),
        };
        let _ = writeln!(
            text,
            "| {precision} | {prefix}{mode} | {batch} | {} | {} | {} | {} | {} | {} |",
            row.crops_per_sec.map_or("–".into(), |rate| format!("{rate:.1}")),
            row.tflops.map_or("–".into(), |rate| format!("{rate:.1}")),
            share(products),
            share(Some(of.ceiling.tflops)),
            row.allocated_peak_bytes.map_or("–".into(), mib),
            row.reserved_peak_bytes.map_or("–".into(), mib),
        );
    }
}

fn write_parity(text: &mut String, checks: &[Check]) {
    let failed = checks.iter().filter(|check| !check.passed()).count();
    let _ = writeln!(
        text,
        "{} comparisons with the original's values, {failed} out of tolerance.\n",
        checks.len()
    );
    text.push_str(
        "| stage | size | precision | what | largest error | tolerance | relative |\n\
         |---|---|---|---|---:|---:|---:|\n",
    );
    for check in checks {
        let mark = if check.passed() { "" } else { " **out of tolerance**" };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {:.1e}{mark} | {} | {:.1e} |",
            check.stage.name(),
            check.size.map_or("", NetworkSize::name),
            check.precision.map_or("", Precision::name),
            check.what,
            check.largest,
            format!("{:.0e} {}", check.tolerance, check.unit).trim_end(),
            check.relative
        );
    }
    text.push('\n');
}

fn write_experiment(text: &mut String, experiment: &ExperimentSummary, below: &str) {
    let _ = writeln!(
        text,
        "### [{}]({below}{}/report.md)\n\n{}\n",
        experiment.name, experiment.name, experiment.question
    );
    let _ = writeln!(text, "{} runs, {} failed.\n", experiment.runs, experiment.failed);
    for verdict in &experiment.verdicts {
        let _ = writeln!(text, "- {verdict}");
    }
    text.push('\n');
}

fn write_missing(text: &mut String, why: &str) {
    let _ = writeln!(text, "Not measured: {why}.\n");
}

/// The first line of an error, for a table cell.
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

/// Figures of the report, by file name.
pub fn figures(report: &GpuReport) -> Vec<(String, Vec<u8>)> {
    let Some(ours) = report.speed.done() else { return Vec::new() };
    let mut grid = Grid {
        columns: ["batch", "crops per second", "mode", "panel"].map(String::from).to_vec(),
        rows: Vec::new(),
    };
    let documents = [("", Some(ours)), ("PyTorch ", report.torch.done())];
    for (prefix, document) in documents.into_iter().filter_map(|(prefix, document)| Some((prefix, document?)))
    {
        for row in document.precisions.iter().flat_map(|of| &of.rows) {
            let Some(rate) = row.crops_per_sec else { continue };
            grid.rows.push(vec![
                Value::Number(row.batch as f64),
                Value::Number(rate),
                Value::Text(format!("{prefix}{}", row.mode)),
                Value::Text(row.precision.clone()),
            ]);
        }
    }
    let spec = FigureSpec {
        title: "Crops per second by batch".into(),
        kind: FigureKind::Line,
        x: "batch".into(),
        y: Some("crops per second".into()),
        by: Some("mode".into()),
        log_y: true,
        ..FigureSpec::default()
    };
    // a figure that cannot be drawn is omitted; its values are in the table
    draw_figure(&spec, &grid).map(|svg| vec![("speed.svg".to_string(), svg)]).unwrap_or_default()
}
