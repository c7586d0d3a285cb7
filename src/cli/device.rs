//! `posebook device`: what this build can, what this machine has, what opening a card costs.

use crate::device::kernels::Kernels;
use crate::device::{self, Card, Choice, DeviceError};
use crate::memory::device::open;
use anyhow::Result;
use std::io::Write;

#[derive(clap::Args)]
#[command(after_help = "\
A card's fixed cost is what opening it takes of its memory before any tensor; it is measured by opening \
each card once. Where the driver does not tell, it is left out.")]
pub struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// All that is known about where networks can run.
#[derive(serde::Serialize)]
struct Answer {
    /// What `device = "auto"` means here.
    auto: String,
    /// Which cards the kernels of this build are for; `None` without kernels.
    kernels_for: Option<String>,
    kernels: Vec<Group>,
    cards: Vec<Seen>,
    /// Why there are no cards.
    none: Option<String>,
}

/// A group of kernels.
#[derive(serde::Serialize)]
struct Group {
    name: &'static str,
    built: bool,
    about: &'static str,
}

/// A card, and whether a run could use it.
#[derive(serde::Serialize)]
struct Seen {
    device: String,
    usable: bool,
    /// Why a run could not use it.
    error: Option<String>,
    card: Option<Card>,
    free_bytes: Option<u64>,
    /// What opening it took.
    context_bytes: Option<u64>,
    /// Who else held memory of it.
    others: Option<String>,
}

pub fn run(args: &Args) -> Result<()> {
    let answer = answer()?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&answer)?)?;
    } else {
        write!(out, "{}", text(&answer))?;
    }
    Ok(())
}

fn answer() -> Result<Answer> {
    let (auto, _) = device::resolve("auto")?;
    let kernels =
        Kernels::ALL.map(|group| Group { name: group.name(), built: group.is_built(), about: group.about() });
    let (cards, none) = match device::cards() {
        Ok(cards) if cards.is_empty() => {
            (Vec::new(), Some(DeviceError::NoCard { index: 0, cards: 0 }.to_string()))
        }
        Ok(cards) => (cards.into_iter().enumerate().map(|(index, card)| seen(index, card)).collect(), None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    let kernels_for = device::target().map(|target| target.to_string());
    Ok(Answer { auto: auto.to_string(), kernels_for, kernels: kernels.into(), cards, none })
}

/// Opens a card that can be used, to see what that costs.
fn seen(index: usize, card: Result<Card, DeviceError>) -> Seen {
    let choice = Choice::Cuda(index);
    let nothing = Seen {
        device: choice.to_string(),
        usable: false,
        error: None,
        card: card.as_ref().ok().cloned(),
        free_bytes: None,
        context_bytes: None,
        others: None,
    };
    match card.and_then(|card| open(&choice, Some(&card))) {
        Err(error) => Seen { error: Some(error.to_string()), ..nothing },
        Ok(opened) => Seen {
            usable: true,
            free_bytes: opened.handle.and_then(|handle| handle.room()).map(|room| room.free_bytes),
            context_bytes: opened.context_bytes,
            others: opened.others,
            ..nothing
        },
    }
}

fn text(answer: &Answer) -> String {
    let mut lines = vec![format!("auto means {}", answer.auto)];
    if let Some(cards) = &answer.kernels_for {
        lines.push(format!("kernels are for cards of compute capability {cards}"));
    }
    for (built, title) in [(true, "in this build:"), (false, "left out of it:")] {
        let groups = answer.kernels.iter().filter(|group| group.built == built);
        let named: Vec<String> = groups.map(|group| format!("    {}: {}", group.name, group.about)).collect();
        if !named.is_empty() {
            lines.push(format!("kernels {title}"));
            lines.extend(named);
        }
    }
    lines.extend(answer.none.iter().map(|why| format!("no card: {why}")));
    for seen in &answer.cards {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        if let Some(card) = &seen.card {
            let (name, capability, driver) = (&card.name, card.capability, card.driver_in_words());
            let total = mib(card.total_bytes);
            let line = format!("{}: {name}, compute capability {capability}, {total} MiB", seen.device);
            lines.push(format!("{line}, driver {driver}"));
        }
        if let Some(error) = &seen.error {
            lines.push(format!("    cannot be used: {error}"));
            continue;
        }
        if let Some(free) = seen.free_bytes {
            lines.push(format!("    {} MiB free once opened", mib(free)));
        }
        lines.push(match seen.context_bytes {
            Some(bytes) => format!("    opening it takes {} MiB", mib(bytes)),
            None => "    the driver does not tell what opening it takes".to_string(),
        });
        lines.extend(seen.others.iter().map(|others| format!("    {others}")));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::card::{Capability, Version};

    #[test]
    fn a_card_and_one_that_cannot_be_used_are_told() {
        let card = Card {
            index: 0,
            name: "NVIDIA H100 80GB HBM3".into(),
            uuid: "GPU-0".into(),
            capability: Capability { major: 9, minor: 0 },
            total_bytes: 81_559 << 20,
            driver: Some("580.65.06".into()),
            cuda: Version { major: 13, minor: 0 },
        };
        let usable = Seen {
            device: "cuda:0".into(),
            usable: true,
            error: None,
            card: Some(card),
            free_bytes: Some(80_000 << 20),
            context_bytes: Some(520 << 20),
            others: None,
        };
        let wrong = seen(1, Err(DeviceError::NoCard { index: 1, cards: 1 }));
        let group = Group { name: "basic", built: true, about: "candle's own" };
        let answer = Answer {
            auto: "cuda:0".into(),
            kernels_for: Some("9.0 alone (sm_90a)".into()),
            kernels: vec![group],
            cards: vec![usable, wrong],
            none: None,
        };
        insta::assert_snapshot!(text(&answer), @r"
        auto means cuda:0
        kernels are for cards of compute capability 9.0 alone (sm_90a)
        kernels in this build:
            basic: candle's own
        cuda:0: NVIDIA H100 80GB HBM3, compute capability 9.0, 81559 MiB, driver 580.65.06, CUDA 13.0
            80000 MiB free once opened
            opening it takes 520 MiB
            cannot be used: there is no card cuda:1: the driver sees one card, cuda:0
        ");
        let json = serde_json::to_value(&answer).unwrap();
        assert_eq!(json["cards"][0]["card"]["cuda"]["major"], 13);
        assert_eq!(json["cards"][1]["context_bytes"], serde_json::Value::Null);
    }
}
