//! Renders an answered notebook as Markdown, for the terminal and for git.

use super::SheetImage;
use super::claim::{self, JudgedClaim};
use super::error::CellError;
use super::markup::escape_markdown as escaped;
use super::notebook::{AnsweredNotebook, Block, ContactSheet, FigureBlock};
use super::page;
use super::run_summary::RunSummary;
use crate::format;
use std::fmt::Write as _;

/// The page as Markdown.
pub fn render_markdown(answered: &AnsweredNotebook) -> String {
    let mut out = String::new();
    let claims = answered.claims();
    // writing to a string cannot fail
    let _ = write_page(&mut out, answered, &claims);
    out
}

fn write_page(out: &mut String, answered: &AnsweredNotebook, claims: &[JudgedClaim]) -> std::fmt::Result {
    let run_summary = &answered.run_summary;
    writeln!(out, "# {}\n", escaped(answered.question.trim()))?;
    writeln!(out, "{}\n", claim::summary(claims))?;
    if !claims.is_empty() {
        writeln!(out, "| verdict | claim | measured | holds if | |")?;
        writeln!(out, "| --- | --- | ---: | --- | --- |")?;
        for judged in claims {
            writeln!(
                out,
                "| **{}** | {} | {} | {} | {} |",
                judged.verdict_name(),
                judged.claim.statement.replace('|', "\\|").replace('\n', " "),
                escaped(&with_noun(judged.measured_text(), judged.number.map(|_| judged.counted_noun()))),
                escaped(&condition(judged)),
                judged.expectation_text().unwrap_or_default()
            )?;
        }
        writeln!(out)?;
    }
    writeln!(out, "{}\n", tally(answered))?;
    if let Some(warning) = run_summary.warning() {
        writeln!(out, "> **Decoded frames differ from the record.** {}\n", escaped(&warning))?;
    }
    if answered.is_quick {
        writeln!(out, "{}\n", page::QUICK_NOTICE)?;
    }
    for left_out in &answered.left_out {
        writeln!(out, "Left out: {}.\n", escaped(left_out))?;
    }
    for block in &answered.blocks {
        write_block(out, block)?;
    }
    write_failures(out, run_summary)?;
    write_provenance(out, answered)
}

fn tally(answered: &AnsweredNotebook) -> String {
    let run_summary = &answered.run_summary;
    let mut parts = vec![format!("Experiment `{}`", answered.name)];
    let failed = run_summary.runs - run_summary.ok;
    parts.push(match failed {
        0 => format!("{}, all of them ok", format::count(run_summary.runs, "run", "runs")),
        failed => format!(
            "{} of {} ok, {failed} failed",
            run_summary.ok,
            format::count(run_summary.runs, "run", "runs")
        ),
    });
    parts.extend(run_summary.wall_secs.map(|secs| format!("{} of measurement", format::seconds(secs))));
    parts.extend(run_summary.started_utc.clone());
    parts.extend(run_summary.commits_text());
    parts.join(" · ")
}

fn write_block(out: &mut String, block: &Block) -> std::fmt::Result {
    match block {
        Block::Text(text) => writeln!(out, "{}\n", text.trim()),
        Block::Table { title, note, answer, .. } => {
            writeln!(out, "### {}\n", escaped(title))?;
            match answer {
                Ok(shown) if shown.rows.is_empty() => writeln!(out, "The query gave no rows.\n")?,
                Ok(shown) => writeln!(out, "{}", shown.markdown())?,
                Err(error) => write_problem(out, error)?,
            }
            write_note(out, note.as_deref(), &[])
        }
        Block::Figure(drawn) => write_figure(out, drawn),
        Block::ContactSheets { title, note, sheets } => {
            writeln!(out, "### {}\n", escaped(title))?;
            match sheets {
                Ok(sheets) if sheets.is_empty() => writeln!(out, "The query gave no rows.\n")?,
                Ok(sheets) => sheets.iter().try_for_each(|sheet| write_sheet(out, title, sheet))?,
                Err(error) => write_problem(out, error)?,
            }
            write_note(out, note.as_deref(), &[])
        }
        Block::Claim(judged) => write_claim(out, judged),
        Block::NotMeasured { title, missing } => {
            writeln!(out, "### {}\n\nNot measured: {}.\n", escaped(title), missing.missing_reason())
        }
    }
}

fn write_figure(out: &mut String, drawn: &FigureBlock) -> std::fmt::Result {
    writeln!(out, "### Figure {}. {}\n", drawn.number, escaped(&drawn.title))?;
    match &drawn.answer {
        Ok(answer) => {
            writeln!(out, "![{}](figures/{}.svg)\n", escaped(&answer.summary), drawn.name)?;
            write_note(out, drawn.note.as_deref(), &answer.remarks)
        }
        Err(error) => write_problem(out, error),
    }
}

fn write_sheet(out: &mut String, title: &str, sheet: &ContactSheet) -> std::fmt::Result {
    writeln!(out, "{}\n", escaped(&sheet.caption))?;
    if sheet.images.is_empty() {
        return writeln!(out, "This run has no images.\n");
    }
    // a table with the frame numbers as its head
    let cells = |cell: &dyn Fn(&SheetImage) -> String| {
        let cells: Vec<String> = sheet.images.iter().map(cell).collect();
        format!("| {} |", cells.join(" | "))
    };
    writeln!(out, "{}", cells(&|image| image.frame.map_or(String::new(), |frame| format!("frame {frame}"))))?;
    writeln!(out, "{}", cells(&|_| "---".to_string()))?;
    let link = |image: &SheetImage| {
        let description = escaped(&page::image_description(sheet, image));
        format!("![{}: {description}]({})", escaped(title), image.path)
    };
    writeln!(out, "{}\n", cells(&link))
}

fn write_note(out: &mut String, note: Option<&str>, remarks: &[String]) -> std::fmt::Result {
    if let Some(note) = note {
        writeln!(out, "{}\n", note.trim())?;
    }
    if remarks.is_empty() { Ok(()) } else { writeln!(out, "*{}*\n", remarks.join(" ")) }
}

fn write_claim(out: &mut String, judged: &JudgedClaim) -> std::fmt::Result {
    writeln!(
        out,
        "> **{}**: {}",
        page::capitalize(judged.verdict_name()),
        judged.claim.statement.trim().replace('\n', " ")
    )?;
    let measured = match judged.number {
        Some(_) => {
            format!(
                "Measured {}; it",
                escaped(&with_noun(judged.measured_text(), Some(judged.counted_noun())))
            )
        }
        None => "It".to_string(),
    };
    let expectation =
        judged.expectation_text().map_or(String::new(), |text| format!(" {}.", page::capitalize(&text)));
    writeln!(out, ">\n> {measured} holds if {}.{expectation}", escaped(&condition(judged)))?;
    if let Some(source) = &judged.claim.source {
        writeln!(out, ">\n> Source: {}", source.trim().replace('\n', " "))?;
    }
    if let Some(error) = &judged.error {
        writeln!(out, ">\n> This cell has no answer. {}", escaped(error))?;
    }
    writeln!(out)
}

/// The condition. It includes what is counted only where no measured number states it.
fn condition(judged: &JudgedClaim) -> String {
    let noun = if judged.number.is_none() { Some(judged.counted_noun()) } else { None };
    with_noun(judged.condition_text(), noun)
}

fn with_noun(text: String, noun: Option<&str>) -> String {
    match noun {
        Some(noun) if !noun.is_empty() => format!("{text} {noun}"),
        _ => text,
    }
}

fn write_problem(out: &mut String, error: &CellError) -> std::fmt::Result {
    writeln!(out, "> **This cell has no answer.** {}\n", escaped(&error.to_string()))
}

fn write_failures(out: &mut String, run_summary: &RunSummary) -> std::fmt::Result {
    if run_summary.failures.is_empty() {
        return Ok(());
    }
    writeln!(out, "## Runs that failed\n")?;
    for failure in &run_summary.failures {
        let times = if failure.count > 1 { format!(" ({} times)", failure.count) } else { String::new() };
        writeln!(
            out,
            "- **{}** {}{times}: {}",
            escaped(&failure.outcome),
            escaped(&failure.description),
            escaped(&failure.error)
        )?;
    }
    writeln!(out)
}

fn write_provenance(out: &mut String, answered: &AnsweredNotebook) -> std::fmt::Result {
    writeln!(out, "## Provenance\n")?;
    for (name, values) in &answered.run_summary.provenance {
        match values.as_slice() {
            [value] => writeln!(out, "- {name}: {}", escaped(value))?,
            values => {
                writeln!(out, "- {name}:")?;
                values.iter().try_for_each(|value| writeln!(out, "  - {}", escaped(value)))?;
            }
        }
    }
    writeln!(out, "\nTo reproduce:\n\n```sh\n{}\n```", page::reproduction_commands(answered))
}
