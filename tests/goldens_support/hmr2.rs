//! HMR2's goldens, by way of what `posebook parity` does: everything around the network, the small network
//! in single precision; the published one where slow tests are asked for.

use crate::sets::root;
use candle_core::Device;
use posebook::hmr2::Precision;
use posebook::parity::{self, Check, Set, Size, Stage, formula};
use std::collections::HashMap;

fn held(check: &Check) {
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

fn of_stage(checks: &[Check], stage: Stage) -> usize {
    checks.iter().filter(|check| check.stage == stage).count()
}

#[test]
fn around_the_network() {
    for set in Set::all(&root()).unwrap() {
        let checks = parity::surroundings(&set, &Device::Cpu, &mut held).unwrap();
        let stages = [Stage::Geometry, Stage::Smpl, Stage::Crops, Stage::Camera, Stage::Metrics];
        assert_eq!(stages.map(|stage| of_stage(&checks, stage)), [7, 8, 16, 10, 14]);
    }
}

fn network(size: Size, comparisons: [usize; 3]) {
    for set in Set::all(&root()).unwrap() {
        let (checks, _) = parity::network(&set, size, &Device::Cpu, Precision::F32, &mut held).unwrap();
        let stages = [Stage::Backbone, Stage::Head, Stage::Network];
        assert_eq!(stages.map(|stage| of_stage(&checks, stage)), comparisons);
    }
}

#[test]
fn the_small_network() {
    network(Size::Small, [5, 12, 9]);
}

#[test]
#[ignore = "fills 2.7 GB by formula"]
fn the_published_network() {
    network(Size::Full, [5, 12, 9]);
}

#[test]
fn the_manifests_list_the_networks_tensors() {
    for (name, config) in [("small", formula::small()), ("full", posebook::hmr2::Config::hmr2())] {
        let path = root().join(format!("hmr2/manifest_{name}.json"));
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
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
