//! Parses the entries `weights` and `sha256` of a set's file.

use super::fetched::FetchedWeights;
use super::set_file::is_sha256;
use super::weights::Weights;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::path::{Path, PathBuf};

/// The `weights` entry: `"file.safetensors"`, `{ formula = "a" }` or `{ fetched = "source", file = "file.tflite" }`.
#[derive(Debug, PartialEq)]
pub enum WeightsEntry {
    /// A safetensors file; its path is relative to the set's file.
    File(PathBuf),
    /// A formula with this seed.
    Formula(String),
    /// A file of a source in `models/sources/`.
    Fetched {
        /// Name of the source.
        source: String,
        /// Path in the source's folder.
        file: PathBuf,
    },
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

impl WeightsEntry {
    /// The source of the weights with the entry `sha256`; files are relative to `folder`.
    ///
    /// # Errors
    /// If the entries contradict each other or the hash is missing or invalid.
    pub fn weights(&self, sha256: Option<&str>, folder: &Path) -> Result<Weights, String> {
        match (self, sha256) {
            (WeightsEntry::Formula(_), Some(_)) => {
                Err("weights by formula have no file and no sha256; leave it out".into())
            }
            (WeightsEntry::Formula(seed), None) => Ok(Weights::Formula(seed.clone())),
            (WeightsEntry::File(file) | WeightsEntry::Fetched { file, .. }, None) => {
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
}
