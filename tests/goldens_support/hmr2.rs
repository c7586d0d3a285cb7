//! HMR2's goldens, compared as `posebook parity` does: the components around the network, and the small network in
//! single precision. The published network is an ignored (slow) test.

use crate::sets::root;
use candle_core::Device;
use posebook::parity::{self, Check, GoldenSet, NetworkSize, Stage};
use posebook_models::hmr2::{Config, Precision, formula};
use std::collections::HashMap;

fn assert_passed(check: &Check) {
    println!(
        "{}/{:<12} {:<38} largest error {:.1e} of {:.0e}",
        check.set,
        check.stage.name(),
        check.what,
        check.largest,
        check.tolerance
    );
    assert!(check.passed(), "{check:?}");
    assert!(check.values > 0, "{check:?}");
}

fn count_stage(checks: &[Check], stage: Stage) -> usize {
    checks.iter().filter(|check| check.stage == stage).count()
}

#[test]
fn components_match_the_original() {
    for set in GoldenSet::find_all(&root()).unwrap() {
        let checks = parity::check_components(&set, &Device::Cpu, &mut assert_passed).unwrap();
        let stages = [Stage::Geometry, Stage::Smpl, Stage::Crops, Stage::Camera, Stage::Metrics];
        assert_eq!(stages.map(|stage| count_stage(&checks, stage)), [7, 8, 16, 10, 14]);
    }
}

fn network(size: NetworkSize, comparisons: [usize; 3]) {
    for set in GoldenSet::find_all(&root()).unwrap() {
        let (checks, _) =
            parity::check_network(&set, size, &Device::Cpu, Precision::F32, &mut assert_passed).unwrap();
        let stages = [Stage::Backbone, Stage::Head, Stage::Network];
        assert_eq!(stages.map(|stage| count_stage(&checks, stage)), comparisons);
    }
}

#[test]
fn the_small_network_matches_the_original() {
    network(NetworkSize::Small, [5, 12, 9]);
}

#[test]
#[ignore = "fills 2.7 GB by formula"]
fn the_published_network_matches_the_original() {
    network(NetworkSize::Full, [5, 12, 9]);
}

#[test]
fn the_manifests_list_the_networks_tensors() {
    for (name, config) in [("small", formula::small_config()), ("full", Config::hmr2())] {
        let path = root().join(format!("hmr2/manifest_{name}.json"));
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
        let entries = manifest["tensors"].as_array().unwrap();
        let shapes: HashMap<&str, Vec<u64>> = entries
            .iter()
            .map(|entry| {
                let shape = entry["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
                (entry["key"].as_str().unwrap(), shape)
            })
            .collect();
        let ours = config.tensors();
        assert_eq!(ours.len(), shapes.len());
        for spec in ours {
            let shape: Vec<u64> = spec.shape.iter().map(|&n| n as u64).collect();
            assert_eq!(shapes.get(spec.key.as_str()), Some(&shape), "{}", spec.key);
        }
    }
}
