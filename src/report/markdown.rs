//! The page as Markdown: for a terminal, for git.
//!
//! Must not know HTML.

use super::Picture;
use super::claim::{self, Judged};
use super::facts::Facts;
use super::format;
use super::markup::markdown_escaped as escaped;
use super::notebook::{Answered, Block, Drawn, Film};
use super::page;
use std::fmt::Write as _;

/// The whole page.
pub fn markdown(answered: &Answered) -> String {
    let mut out = String::new();
    let claims = answered.claims();
    // writing into a string cannot fail
    let _ = write_page(&mut out, answered, &claims);
    out
}

fn write_page(out: &mut String, answered: &Answered, claims: &[Judged]) -> std::fmt::Result {
    let facts = &answered.facts;
    writeln!(out, "# {}\n", escaped(answered.question.trim()))?;
    writeln!(out, "{}\n", claim::in_short(claims))?;
    if !claims.is_empty() {
        writeln!(out, "| verdict | claim | measured | holds if | |")?;
        writeln!(out, "| --- | --- | ---: | --- | --- |")?;
        for judged in claims {
            writeln!(
                out,
                "| **{}** | {} | {} | {} | {} |",
                judged.verdict_word(),
                judged.claim.statement.replace('|', "\\|").replace('\n', " "),
                escaped(&with_words(judged.measured(), judged.number.map(|_| judged.counted()))),
                escaped(&condition(judged)),
                judged.expectation().unwrap_or_default()
            )?;
        }
        writeln!(out)?;
    }
    writeln!(out, "{}\n", tally(answered))?;
    if let Some(warning) = facts.warning() {
        writeln!(out, "> **Other frames than on record.** {}\n", escaped(&warning))?;
    }
    if answered.is_quick {
        writeln!(out, "{}\n", page::QUICK)?;
    }
    for left_out in &answered.left_out {
        writeln!(out, "Left out: {}.\n", escaped(left_out))?;
    }
    for block in &answered.blocks {
        write_block(out, block)?;
    }
    write_failures(out, facts)?;
    write_provenance(out, answered)
}

fn tally(answered: &Answered) -> String {
    let facts = &answered.facts;
    let mut parts = vec![format!("Experiment `{}`", answered.name)];
    let failed = facts.runs - facts.ok;
    parts.push(match failed {
        0 => format!("{}, all of them ok", format::count(facts.runs, "run", "runs")),
        failed => format!("{} of {} ok, {failed} failed", facts.ok, format::count(facts.runs, "run", "runs")),
    });
    parts.extend(facts.wall_secs.map(|secs| format!("{} of measurement", format::seconds(secs))));
    parts.extend(facts.started_utc.clone());
    parts.extend(facts.commits_in_short());
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
        Block::Strips { title, note, pictures } => {
            writeln!(out, "### {}\n", escaped(title))?;
            match pictures {
                Ok(films) if films.is_empty() => writeln!(out, "The query gave no rows.\n")?,
                Ok(films) => films.iter().try_for_each(|film| write_film(out, title, film))?,
                Err(error) => write_problem(out, error)?,
            }
            write_note(out, note.as_deref(), &[])
        }
        Block::Claim(judged) => write_claim(out, judged),
        Block::NotMeasured { title, missing } => {
            writeln!(out, "### {}\n\nNot measured: {}.\n", escaped(title), missing.missing())
        }
    }
}

fn write_figure(out: &mut String, drawn: &Drawn) -> std::fmt::Result {
    writeln!(out, "### Figure {}. {}\n", drawn.number, escaped(&drawn.title))?;
    match &drawn.answer {
        Ok(answer) => {
            writeln!(out, "![{}](figures/{}.svg)\n", escaped(&answer.summary), drawn.name)?;
            write_note(out, drawn.note.as_deref(), &answer.remarks)
        }
        Err(error) => write_problem(out, error),
    }
}

fn write_film(out: &mut String, title: &str, film: &Film) -> std::fmt::Result {
    writeln!(out, "{}\n", escaped(&film.caption))?;
    if film.pictures.is_empty() {
        return writeln!(out, "This run left no pictures.\n");
    }
    // a table whose head says which frames they are
    let cells = |cell: &dyn Fn(&Picture) -> String| {
        let cells: Vec<String> = film.pictures.iter().map(cell).collect();
        format!("| {} |", cells.join(" | "))
    };
    writeln!(
        out,
        "{}",
        cells(&|picture| picture.frame.map_or(String::new(), |frame| format!("frame {frame}")))
    )?;
    writeln!(out, "{}", cells(&|_| "---".to_string()))?;
    let image = |picture: &Picture| {
        let words = escaped(&page::picture_in_words(film, picture));
        format!("![{}: {words}]({})", escaped(title), picture.path)
    };
    writeln!(out, "{}\n", cells(&image))
}

fn write_note(out: &mut String, note: Option<&str>, remarks: &[String]) -> std::fmt::Result {
    if let Some(note) = note {
        writeln!(out, "{}\n", note.trim())?;
    }
    if remarks.is_empty() { Ok(()) } else { writeln!(out, "*{}*\n", remarks.join(" ")) }
}

fn write_claim(out: &mut String, judged: &Judged) -> std::fmt::Result {
    writeln!(
        out,
        "> **{}**: {}",
        page::capitalised(judged.verdict_word()),
        judged.claim.statement.trim().replace('\n', " ")
    )?;
    let measured = match judged.number {
        Some(_) => {
            format!("Measured {}; it", escaped(&with_words(judged.measured(), Some(judged.counted()))))
        }
        None => "It".to_string(),
    };
    let expectation =
        judged.expectation().map_or(String::new(), |words| format!(" {}.", page::capitalised(&words)));
    writeln!(out, ">\n> {measured} holds if {}.{expectation}", escaped(&condition(judged)))?;
    if let Some(source) = &judged.claim.source {
        writeln!(out, ">\n> Source: {}", source.trim().replace('\n', " "))?;
    }
    if let Some(error) = &judged.error {
        writeln!(out, ">\n> This cell has no answer. {}", escaped(error))?;
    }
    writeln!(out)
}

/// The condition, with what is counted where no number stands before it.
fn condition(judged: &Judged) -> String {
    let words = if judged.number.is_none() { Some(judged.counted()) } else { None };
    with_words(judged.condition(), words)
}

fn with_words(text: String, words: Option<&str>) -> String {
    match words {
        Some(words) if !words.is_empty() => format!("{text} {words}"),
        _ => text,
    }
}

fn write_problem(out: &mut String, error: &str) -> std::fmt::Result {
    writeln!(out, "> **This cell has no answer.** {}\n", escaped(error))
}

fn write_failures(out: &mut String, facts: &Facts) -> std::fmt::Result {
    if facts.failures.is_empty() {
        return Ok(());
    }
    writeln!(out, "## Runs that failed\n")?;
    for failure in &facts.failures {
        let times = if failure.count > 1 { format!(" ({} times)", failure.count) } else { String::new() };
        writeln!(
            out,
            "- **{}** {}{times}: {}",
            escaped(&failure.outcome),
            escaped(&failure.what),
            escaped(&failure.error)
        )?;
    }
    writeln!(out)
}

fn write_provenance(out: &mut String, answered: &Answered) -> std::fmt::Result {
    writeln!(out, "## Where this comes from\n")?;
    for (name, values) in &answered.facts.provenance {
        match values.as_slice() {
            [value] => writeln!(out, "- {name}: {}", escaped(value))?,
            values => {
                writeln!(out, "- {name}:")?;
                values.iter().try_for_each(|value| writeln!(out, "  - {}", escaped(value)))?;
            }
        }
    }
    writeln!(out, "\nTo measure it again:\n\n```sh\n{}\n```", page::repeat(answered))
}
