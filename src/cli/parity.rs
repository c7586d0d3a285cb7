//! `posebook parity`: compares the network and its components with recorded outputs of the original, on any device and in
//! any precision.

use crate::parity::{self, Check, ComparisonCost, GoldenSet, NetworkSize, Stage};
use anyhow::{Result, ensure};
use posebook_models::device;
use posebook_models::hmr2::Precision;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Args {
    /// Also test a network of the published size, ViT-H, with weights from a formula: 2.7 GB in single precision
    #[arg(long)]
    full: bool,
    /// Device: auto, cpu or cuda:0
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Precisions, separated by commas: f32, bf16, f16
    #[arg(long, value_delimiter = ',', value_parser = precision, default_value = "f32")]
    precision: Vec<Precision>,
    /// Folder of the recorded outputs, with `hmr2/<set>`
    #[arg(long, default_value = "tests/goldens")]
    goldens: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// All precisions in the order of the output.
const PRECISIONS: [Precision; 3] = [Precision::F32, Precision::Bf16, Precision::F16];

/// Parses a precision as in settings.
pub(super) fn precision(text: &str) -> Result<Precision, String> {
    PRECISIONS
        .into_iter()
        .find(|precision| precision.name() == text)
        .ok_or_else(|| format!("unknown precision `{text}` (known: f32, bf16, f16)"))
}

pub fn run(args: Args) -> Result<ExitCode> {
    let (choice, _) = device::resolve(&args.device)?;
    let device = device::open(&choice)?;
    let (mut checks, mut costs) = (Vec::new(), Vec::new());
    let mut on_check = |check: &Check| {
        if !args.json {
            println!("{}", line(check));
        }
    };
    for set in GoldenSet::find_all(&args.goldens)? {
        if !args.json {
            println!("set {}\n{}", set.name, header());
        }
        checks.extend(parity::check_components(&set, &device, &mut on_check)?);
        for size in [NetworkSize::Small, NetworkSize::Full]
            .into_iter()
            .filter(|size| args.full || *size == NetworkSize::Small)
        {
            for &precision in &args.precision {
                let (more, cost) = parity::check_network(&set, size, &device, precision, &mut on_check)?;
                checks.extend(more);
                costs.push(cost);
            }
        }
    }
    let failed = checks.iter().filter(|check| !check.passed()).count();
    if args.json {
        let document = serde_json::json!({ "passed": failed == 0, "checks": checks, "costs": costs });
        println!("{}", serde_json::to_string_pretty(&document)?);
    } else {
        println!("\n{}", summary(&checks));
        costs.iter().for_each(|cost| println!("{}", cost_line(cost)));
    }
    ensure!(failed == 0, "{failed} of {} comparisons exceed their tolerance", checks.len());
    Ok(ExitCode::SUCCESS)
}

fn network(check: &Check) -> [&'static str; 2] {
    [check.size.map_or("-", NetworkSize::name), check.precision.map_or("-", Precision::name)]
}

fn header() -> String {
    let columns = ["stage", "size", "in", "what", "largest error", "allowed", "verdict"];
    let [stage, size, precision, what, largest, allowed, verdict] = columns;
    format!(
        "{stage:<11} {size:<5} {precision:<4} {what:<37} {largest:>13} {allowed:>8}              {verdict}"
    )
}

/// The line of a comparison, below [`header`].
pub(super) fn line(check: &Check) -> String {
    let [size, precision] = network(check);
    let verdict = match check.tolerance_fraction() {
        _ if !check.passed() => "FAILED".to_string(),
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

/// One line per stage, size and precision, with the comparison closest to its tolerance.
fn summary(checks: &[Check]) -> String {
    // `None` comes first, the others in the order of `PRECISIONS`
    let rank = |precision| PRECISIONS.iter().position(|known| *known == precision);
    let key = |check: &Check| (check.stage, check.size, check.precision.and_then(rank));
    let mut keys: Vec<(Stage, Option<NetworkSize>, Option<usize>)> = checks.iter().map(key).collect();
    keys.sort();
    keys.dedup();
    let group_line = |group: &(Stage, Option<NetworkSize>, Option<usize>)| {
        let members: Vec<&Check> = checks.iter().filter(|check| key(check) == *group).collect();
        let failed = members.iter().filter(|check| !check.passed()).count();
        let values: usize = members.iter().map(|check| check.values).sum();
        let worst =
            members.iter().max_by(|a, b| a.tolerance_fraction().total_cmp(&b.tolerance_fraction()))?;
        let [size, precision] = network(worst);
        let worst = if worst.tolerance_fraction() == 0.0 {
            "all equal".to_string()
        } else {
            format!("{:.0}% of its tolerance ({})", 100.0 * worst.tolerance_fraction(), worst.what)
        };
        let verdict = if failed == 0 { "ok".to_string() } else { format!("{failed} FAILED") };
        let stage = group.0.name();
        let count = members.len();
        Some(format!("{stage:<11} {size:<5} {precision:<4} {count:>11} {values:>9}  {verdict:<9} {worst}"))
    };
    let columns = ["stage", "size", "in", "comparisons", "values", "verdict", "worst"];
    let [stage, size, precision, count, values, verdict, worst] = columns;
    let mut lines =
        vec![format!("{stage:<11} {size:<5} {precision:<4} {count:>11} {values:>9}  {verdict:<9} {worst}")];
    lines.extend(keys.iter().filter_map(group_line));
    lines.join("\n")
}

/// The time and memory of a network in one line.
fn cost_line(cost: &ComparisonCost) -> String {
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
