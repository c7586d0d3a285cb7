//! Parses the TOML file of a model set.

use super::architecture::Architecture;
use super::fetched::FetchedWeights;
use super::imported::ImportRecord;
use super::weights::Weights;
use crate::blazepose::Variant;
use crate::hmr2::Config;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::path::{Path, PathBuf};

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

/// The `weights` entry: `"file.safetensors"`, `{ formula = "a" }` or `{ fetched = "source", file = "file.tflite" }`.
#[derive(Debug, PartialEq)]
enum WeightsEntry {
    File(PathBuf),
    Formula(String),
    Fetched { source: String, file: PathBuf },
}

impl<'de> Deserialize<'de> for WeightsEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<WeightsEntry, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            formula: Option<String>,
            fetched: Option<String>,
            file: Option<PathBuf>,
        }
        struct EntryVisitor;
        impl<'de> Visitor<'de> for EntryVisitor {
            type Value = WeightsEntry;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str(
                    "the name of a safetensors file, { formula = \"a\" }, or { fetched = \"source\", file = \"name\" }",
                )
            }

            fn visit_str<E: de::Error>(self, file: &str) -> Result<WeightsEntry, E> {
                Ok(WeightsEntry::File(file.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<WeightsEntry, A::Error> {
                let table = Table::deserialize(MapAccessDeserializer::new(map))?;
                match (table.formula, table.fetched, table.file) {
                    (Some(seed), None, None) => Ok(WeightsEntry::Formula(seed)),
                    (None, Some(source), Some(file)) => Ok(WeightsEntry::Fetched { source, file }),
                    _ => Err(de::Error::custom(
                        "weights are { formula = \"a\" } or { fetched = \"source\", file = \"name\" }",
                    )),
                }
            }
        }
        deserializer.deserialize_any(EntryVisitor)
    }
}

impl ModelSetFile {
    /// The source of the weights; files are relative to `folder`.
    ///
    /// # Errors
    /// If the entries contradict each other or the hash is missing or invalid.
    pub(super) fn weights(&self, folder: &Path) -> Result<Weights, String> {
        match (&self.weights, &self.sha256) {
            (WeightsEntry::Formula(_), Some(_)) => {
                Err("weights by formula have no file and no sha256; leave it out".into())
            }
            (WeightsEntry::Formula(seed), None) => Ok(Weights::Formula(seed.clone())),
            (WeightsEntry::File(file), None) => {
                Err(format!("there is no sha256 of {}; add it", file.display()))
            }
            (WeightsEntry::Fetched { file, .. }, None) => {
                Err(format!("there is no sha256 of {}; add it", file.display()))
            }
            (WeightsEntry::File(_) | WeightsEntry::Fetched { .. }, Some(hash)) if !is_sha256(hash) => {
                Err(format!("sha256 is `{hash}`; it has to be 64 hexadecimal digits"))
            }
            (WeightsEntry::Fetched { source, file }, Some(hash)) => {
                let (source, file, sha256) = (source.clone(), file.clone(), hash.to_ascii_lowercase());
                Ok(Weights::Fetched(FetchedWeights { source, file, sha256 }))
            }
            (WeightsEntry::File(file), Some(hash)) => {
                Ok(Weights::File { path: folder.join(file), sha256: hash.to_ascii_lowercase() })
            }
        }
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

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
