//! Parses the TOML file of a model set.

use super::architecture::Architecture;
use super::imported::ImportRecord;
use super::weights::Weights;
use super::weights_entry::WeightsEntry;
use crate::blazepose::Variant;
use crate::hmr2::Config;
use serde::Deserialize;
use std::path::Path;

/// The TOML table of a model set. Paths are relative to the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ModelSetFile {
    pub(super) description: String,
    weights: WeightsEntry,
    sha256: Option<String>,
    pub(super) licence: String,
    pub(super) origin: String,
    pub(super) body: String,
    architecture: Option<Config>,
    blazepose: Option<Variant>,
    pub(super) training: Option<toml::Table>,
    pub(super) import: Option<ImportRecord>,
}

impl ModelSetFile {
    /// The source of the weights; files are relative to `folder`.
    ///
    /// # Errors
    /// If the entries contradict each other or the hash is missing or invalid.
    pub(super) fn weights(&self, folder: &Path) -> Result<Weights, String> {
        self.weights.weights(self.sha256.as_deref(), folder)
    }

    /// The network.
    ///
    /// # Errors
    /// If there is none or more than one, or if its sizes are invalid.
    pub(super) fn architecture(&self) -> Result<Architecture, String> {
        match (&self.architecture, self.blazepose, &self.weights) {
            (Some(config), None, WeightsEntry::File(_) | WeightsEntry::Formula(_)) => {
                config.validate().map_err(|error| error.to_string())?;
                Ok(Architecture::Hmr2(config.clone()))
            }
            (None, Some(variant), WeightsEntry::Fetched { .. }) => Ok(Architecture::BlazePose(variant)),
            (Some(_), None, _) => Err("HMR2's weights are a file or a formula; fetched ones are BlazePose's".into()),
            (None, Some(_), _) => Err("BlazePose's weights are { fetched = \"source\", file = \"name\" }".into()),
            (Some(_), Some(_), _) => Err("a set has one network: `[architecture]` or `blazepose`".into()),
            (None, None, _) => Err("the network is missing: `[architecture]` has HMR2's sizes, `blazepose` is \"lite\", \"full\" or \"heavy\"".into()),
        }
    }
}
