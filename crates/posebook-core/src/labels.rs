//! Closed sets of words that settings, tables and reports share, as enums: [`Outcome`], [`Precision`], [`VideoMode`].
//!
//! Each enum has one lower-case name per variant. The name is what TOML files, tables and JSON hold; `Display`, `FromStr` and
//! serde use it.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A name that is none of an enum's names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not one of {}", known.join(", "))]
pub struct UnknownLabel {
    /// The name that was found.
    pub name: String,
    /// The names that exist.
    pub known: Vec<&'static str>,
}

/// Declares an enum with one name per variant: `name()`, `ALL`, `Display`, `FromStr` and serde all use these names.
macro_rules! labels {
    ($(#[$meta:meta])* pub enum $enum:ident {
        $($(#[$variant_meta:meta])* $variant:ident = $name:literal,)*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $enum {
            $($(#[$variant_meta])* #[serde(rename = $name)] $variant,)*
        }

        impl $enum {
            /// All variants, in order of declaration.
            pub const ALL: &'static [$enum] = &[$($enum::$variant),*];

            /// The variant's name in files and tables.
            pub const fn name(self) -> &'static str {
                match self {
                    $($enum::$variant => $name,)*
                }
            }
        }

        impl fmt::Display for $enum {
            fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.pad(self.name())
            }
        }

        impl FromStr for $enum {
            type Err = UnknownLabel;

            fn from_str(name: &str) -> Result<$enum, UnknownLabel> {
                let find = || $enum::ALL.iter().copied().find(|label| label.name() == name);
                find().ok_or_else(|| UnknownLabel {
                    name: name.to_string(),
                    known: $enum::ALL.iter().map(|label| label.name()).collect(),
                })
            }
        }
    };
}

labels! {
    /// How a run ended.
    pub enum Outcome {
        /// The run finished.
        Ok = "ok",
        /// Host or device memory was exhausted, or a memory limit was exceeded.
        OutOfMemory = "out_of_memory",
        /// The run exceeded `limits.wall_secs`.
        TimedOut = "timed_out",
        /// The process ended by a signal or without a report.
        Crashed = "crashed",
        /// The run reported an error, or could not start.
        #[default]
        Error = "error",
    }
}

labels! {
    /// Floating-point format of a network.
    pub enum Precision {
        /// Single precision.
        #[default]
        F32 = "f32",
        /// bfloat16.
        Bf16 = "bf16",
        /// IEEE half precision.
        F16 = "f16",
    }
}

labels! {
    /// How frames are delivered: a video mode without its parameters.
    pub enum VideoMode {
        /// All frames as JPEG files, read back one by one.
        ExtractJpeg = "extract-jpeg",
        /// All frames as PNG files, read back one by one.
        ExtractPng = "extract-png",
        /// All frames in host memory.
        ExtractMemory = "extract-memory",
        /// All frames in GPU memory.
        ExtractDevice = "extract-device",
        /// Opens, seeks and decodes anew for each frame.
        StreamSeek = "stream-seek",
        /// One decoder, in sequence.
        #[default]
        StreamSequential = "stream-sequential",
        /// One decoder that jumps to key frames where that pays.
        StreamIndexed = "stream-indexed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_and_serialized_alike() {
        for &outcome in Outcome::ALL {
            assert_eq!(outcome.name().parse(), Ok(outcome));
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.name());
        }
        let error = "fine".parse::<Outcome>().unwrap_err().to_string();
        assert_eq!(error, "`fine` is not one of ok, out_of_memory, timed_out, crashed, error");
    }
}
