//! The model set's file, as an import writes it.

use super::weights::Facts;
use super::{ImportError, Request};
use crate::recovery::{Imported, SourceFile};
use std::collections::BTreeMap;

const LICENCE: &str = "the code's is MIT; the checkpoint was trained on data for research alone, and SMPL is licensed \
                       for non-commercial research by its makers: neither is to be passed on";
const ORIGIN: &str = "4D-Humans (github.com/shubham-goel/4D-Humans) and SMPL (smpl.is.tue.mpg.de), imported from local \
                      files";

/// The text of `NAME.toml`.
///
/// # Errors
/// If the architecture cannot be written.
pub fn text(
    request: &Request,
    facts: &Facts,
    body_sha256: String,
    sources: BTreeMap<String, SourceFile>,
) -> Result<String, ImportError> {
    let name = &request.name;
    let imported =
        Imported { tensors_used: facts.used, tensors_left_out: facts.left_out, body_sha256, sources };
    let wrong =
        |error: toml::ser::Error| ImportError::wrong(&request.folder.join(format!("{name}.toml")), error);
    let mut set = toml::Table::new();
    let words = [
        ("description", "HMR2 (4D-Humans), imported from its checkpoint".to_string()),
        ("weights", format!("{name}.safetensors")),
        ("sha256", facts.sha256.clone()),
        ("licence", LICENCE.to_string()),
        ("origin", ORIGIN.to_string()),
        ("body", format!("{name}.body.safetensors")),
    ];
    for (key, value) in words {
        set.insert(key.into(), value.into());
    }
    set.insert("architecture".into(), toml::Value::try_from(&request.architecture).map_err(wrong)?);
    set.insert("import".into(), toml::Value::try_from(imported).map_err(wrong)?);
    toml::to_string(&set).map_err(wrong)
}
