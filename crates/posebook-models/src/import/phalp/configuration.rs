//! The configuration file of the pose predictor (`pose_predictor.yaml`): the sizes that shapes do not determine.

use crate::import::ImportError;
use crate::pose_predictor::{Sizes, Structure};
use serde::Deserialize;
use std::path::Path;

/// The published file has a few kilobytes.
const MAX_BYTES: u64 = 1 << 20;
/// How positions without a detection are masked; the only way that works at test time.
const MASK_TYPE: &str = "zero";

#[derive(Deserialize)]
struct File {
    configs: Configuration,
}

/// What is read of the configuration; it has many more options of training.
#[derive(Debug, Deserialize)]
pub struct Configuration {
    in_feat: Option<usize>,
    frame_length: Option<usize>,
    mask_type_test: Option<String>,
    transformer: Transformer,
}

#[derive(Debug, Deserialize)]
struct Transformer {
    depth: Option<usize>,
    mlp_dim: Option<usize>,
    heads: usize,
    dim_head: usize,
    conv: Convolution,
}

#[derive(Debug, Deserialize)]
struct Convolution {
    pad: usize,
    stride: usize,
}

impl Configuration {
    /// Reads the file.
    ///
    /// # Errors
    /// If it cannot be read, is no YAML, or lacks an option.
    pub fn read(path: &Path) -> Result<Configuration, ImportError> {
        let length = std::fs::metadata(path).map_err(ImportError::file(path))?.len();
        if length > MAX_BYTES {
            return Err(ImportError::invalid(
                path,
                format!("has {length} bytes, more than any configuration"),
            ));
        }
        let text = std::fs::read_to_string(path).map_err(ImportError::file(path))?;
        let wrong = |error: serde_saphyr::Error| {
            let reason = format!(
                "is not the pose predictor's configuration, which has `configs:` with `transformer: {{heads, dim_head, conv: \
                 {{pad, stride}}}}`: {error}"
            );
            ImportError::invalid(path, reason)
        };
        let File { configs } = serde_saphyr::from_str(&text).map_err(wrong)?;
        match &configs.mask_type_test {
            Some(other) if other != MASK_TYPE => Err(ImportError::invalid(
                path,
                format!("mask_type_test is `{other}`, but only `{MASK_TYPE}` is supported"),
            )),
            _ => Ok(configs),
        }
    }

    /// Heads and convolutions.
    pub fn structure(&self) -> Structure {
        let Transformer { heads, dim_head, conv: Convolution { pad, stride }, .. } = self.transformer;
        Structure { heads, dim_head, stride, pad }
    }

    /// Compares the options that the shapes determine as well.
    ///
    /// # Errors
    /// The first that differs.
    pub fn compare(&self, sizes: &Sizes, path: &Path) -> Result<(), ImportError> {
        let options = [
            ("in_feat", self.in_feat, sizes.width),
            ("frame_length", self.frame_length, sizes.frames),
            ("transformer.depth", self.transformer.depth, sizes.depth),
            ("transformer.mlp_dim", self.transformer.mlp_dim, sizes.mlp_dim),
        ];
        for (option, stated, found) in options {
            if let Some(stated) = stated.filter(|stated| *stated != found) {
                let reason = format!(
                    "{option} is {stated}, but the checkpoint has {found}; give the configuration that belongs to it"
                );
                return Err(ImportError::invalid(path, reason));
            }
        }
        Ok(())
    }
}
