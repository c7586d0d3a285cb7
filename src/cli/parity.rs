//! `posebook parity`: everything that the original gave numbers for, held against ours, on any device and in
//! any precision.

use crate::device;
use crate::hmr2::Precision;
use crate::parity::{self, Check, Cost, Set, Size, Stage};
use anyhow::{Result, ensure};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Args {
    /// Fill the published network, ViT-H, by formula too: 2.7 GB in single precision
    #[arg(long)]
    full: bool,
    /// Where to compute: auto, cpu or cuda:0
    #[arg(long, default_value = "cpu")]
    device: String,
    /// What to compute in: f32, bf16, f16; several by commas
    #[arg(long, value_delimiter = ',', value_parser = precision, default_value = "f32")]
    precision: Vec<Precision>,
    /// The folder of goldens that holds `hmr2/<set>`
    #[arg(long, default_value = "tests/goldens")]
    goldens: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// In the order in which they are told of.
const PRECISIONS: [Precision; 3] = [Precision::F32, Precision::Bf16, Precision::F16];

/// A precision as written in settings.
pub(super) fn precision(text: &str) -> Result<Precision, String> {
    PRECISIONS
        .into_iter()
        .find(|precision| precision.name() == text)
        .ok_or_else(|| format!("there is no precision `{text}`; there are f32, bf16 and f16"))
}

pub fn run(args: Args) -> Result<ExitCode> {
    let (choice, _) = device::resolve(&args.device)?;
    let device = device::open(&choice)?;
    let (mut checks, mut costs) = (Vec::new(), Vec::new());
    let mut heard = |check: &Check| {
        if !args.json {
            println!("{}", line(check));
        }
    };
    for set in Set::all(&args.goldens)? {
        if !args.json {
            println!("set {}\n{}", set.name, header());
        }
        checks.extend(parity::surroundings(&set, &device, &mut heard)?);
        for size in [Size::Small, Size::Full].into_iter().filter(|size| args.full || *size == Size::Small) {
            for &precision in &args.precision {
                let (more, cost) = parity::network(&set, size, &device, precision, &mut heard)?;
                checks.extend(more);
                costs.push(cost);
            }
        }
    }
    let far = checks.iter().filter(|check| !check.passed()).count();
    if args.json {
        let document = serde_json::json!({ "passed": far == 0, "checks": checks, "costs": costs });
        println!("{}", serde_json::to_string_pretty(&document)?);
    } else {
        println!("\n{}", summary(&checks));
        costs.iter().for_each(|cost| println!("{}", told(cost)));
    }
    ensure!(far == 0, "{far} of {} comparisons are beyond what is allowed", checks.len());
    Ok(ExitCode::SUCCESS)
}

fn network(check: &Check) -> [&'static str; 2] {
    [check.size.map_or("-", Size::name), check.precision.map_or("-", Precision::name)]
}

fn header() -> String {
    let columns = ["stage", "size", "in", "what", "largest error", "allowed", "verdict"];
    let [stage, size, precision, what, largest, allowed, verdict] = columns;
    format!(
        "{stage:<11} {size:<5} {precision:<4} {what:<37} {largest:>13} {allowed:>8}              {verdict}"
    )
}

/// A comparison in a line, under [`header`].
pub(super) fn line(check: &Check) -> String {
    let [size, precision] = network(check);
    let verdict = match check.share() {
        _ if !check.passed() => "TOO FAR".to_string(),
        0.0 => "equal".to_string(),
        share => format!("ok, {:.0}%", 100.0 * share),
    };
    format!(
        "{:<11} {size:<5} {precision:<4} {:<37} {:>13} {:>8} {:<12} {verdict}",
        check.stage.name(),
        check.what,
        number(check.largest),
        number(check.tolerance),
        check.unit,
    )
}

fn number(value: f64) -> String {
    if value == 0.0 { "0".to_string() } else { format!("{value:.1e}") }
}

/// A line for each stage, size and precision: how near to what is allowed the worst comparison came.
fn summary(checks: &[Check]) -> String {
    // `None` comes first; the others in the order in which they are told of
    let rank = |precision| PRECISIONS.iter().position(|known| *known == precision);
    let key = |check: &Check| (check.stage, check.size, check.precision.and_then(rank));
    let mut keys: Vec<(Stage, Option<Size>, Option<usize>)> = checks.iter().map(key).collect();
    keys.sort();
    keys.dedup();
    let of_key = |wanted: &(Stage, Option<Size>, Option<usize>)| {
        let of: Vec<&Check> = checks.iter().filter(|check| key(check) == *wanted).collect();
        let far = of.iter().filter(|check| !check.passed()).count();
        let values: usize = of.iter().map(|check| check.values).sum();
        let worst = of.iter().max_by(|a, b| a.share().total_cmp(&b.share()))?;
        let [size, precision] = network(worst);
        let worst = if worst.share() == 0.0 {
            "all equal".to_string()
        } else {
            format!("{:.0}% of what is allowed ({})", 100.0 * worst.share(), worst.what)
        };
        let verdict = if far == 0 { "ok".to_string() } else { format!("{far} TOO FAR") };
        let stage = wanted.0.name();
        let count = of.len();
        Some(format!("{stage:<11} {size:<5} {precision:<4} {count:>11} {values:>9}  {verdict:<9} {worst}"))
    };
    let columns = ["stage", "size", "in", "comparisons", "values", "verdict", "worst"];
    let [stage, size, precision, count, values, verdict, worst] = columns;
    let mut lines =
        vec![format!("{stage:<11} {size:<5} {precision:<4} {count:>11} {values:>9}  {verdict:<9} {worst}")];
    lines.extend(keys.iter().filter_map(of_key));
    lines.join("\n")
}

/// What a network cost, in a line.
fn told(cost: &Cost) -> String {
    let mib = |bytes: u64| format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20));
    let peak = cost.heap_peak_bytes.map_or("not counted".to_string(), mib);
    format!(
        "{} {}: {} of weights filled in {:.1} s, loaded in {:.1} s, run in {:.1} s; heap peak {peak}",
        cost.size.name(),
        cost.precision.name(),
        mib(cost.weights_bytes),
        cost.fill_secs,
        cost.load_secs,
        cost.run_secs,
    )
}
