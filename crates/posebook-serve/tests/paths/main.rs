//! Conversion of paths, and opening below allowed folders.

mod conversion;
mod opening;

use posebook_serve::paths::{Machine, PathRules};
use posebook_serve::problem::Problem;

fn maps(maps: &[(&str, &str)]) -> Vec<(String, String)> {
    maps.iter().map(|(from, to)| ((*from).to_string(), (*to).to_string())).collect()
}

/// Rules that allow everything, so that tables show the conversion alone.
fn rules(machine: Machine, given: &[(&str, &str)]) -> PathRules {
    PathRules::on(machine, &["/".into()], &maps(given)).unwrap()
}

fn linux() -> Machine {
    Machine::default()
}

fn wsl() -> Machine {
    Machine::from_release("5.15.167.4-microsoft-standard-WSL2", Some("Ubuntu".into()))
}

/// Status, type and detail of a refusal.
fn refusal<T: std::fmt::Debug>(result: Result<T, Problem>) -> (u16, String, String) {
    let problem = result.unwrap_err();
    (problem.status, problem.name().to_string(), problem.detail.clone())
}
