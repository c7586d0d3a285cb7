//! Writes the manifest (`NAME.toml`) of an imported model set.

use super::weights::WeightSummary;
use super::{ImportError, ImportRequest};
use crate::recovery::{ImportRecord, SourceFile};
use std::collections::BTreeMap;

const LICENSE: &str = "the code's is MIT; the checkpoint was trained on data for research alone, and SMPL is licensed \
                       for non-commercial research by its makers: neither is to be passed on";
const ORIGIN: &str = "4D-Humans (github.com/shubham-goel/4D-Humans) and SMPL (smpl.is.tue.mpg.de), imported from local \
                      files";

/// The contents of `NAME.toml`.
///
/// # Errors
/// If the architecture cannot be serialized.
pub fn manifest_toml(
    request: &ImportRequest,
    summary: &WeightSummary,
    body_sha256: String,
    sources: BTreeMap<String, SourceFile>,
) -> Result<String, ImportError> {
    let name = &request.name;
    let imported =
        ImportRecord { tensors_used: summary.used, tensors_left_out: summary.unused, body_sha256, sources };
    let wrong =
        |error: toml::ser::Error| ImportError::invalid(&request.folder.join(format!("{name}.toml")), error);
    let mut set = toml::Table::new();
    let entries = [
        ("description", "HMR2 (4D-Humans), imported from its checkpoint".to_string()),
        ("weights", format!("{name}.safetensors")),
        ("sha256", summary.sha256.clone()),
        ("licence", LICENSE.to_string()),
        ("origin", ORIGIN.to_string()),
        ("body", format!("{name}.body.safetensors")),
    ];
    for (key, value) in entries {
        set.insert(key.into(), value.into());
    }
    set.insert("architecture".into(), toml::Value::try_from(&request.architecture).map_err(wrong)?);
    set.insert("import".into(), toml::Value::try_from(imported).map_err(wrong)?);
    toml::to_string(&set).map_err(wrong)
}
