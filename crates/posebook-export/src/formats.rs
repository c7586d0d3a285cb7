//! The formats by name, and the sink of each.

use crate::amass::AmassWriter;
use crate::bvh::BvhWriter;
use crate::csv::CsvWriter;
use crate::gltf::GltfWriter;
use crate::mot::MotWriter;
use crate::pkl::{PklSettings, PklWriter};
use crate::{ExportError, FrameSink, VideoInfo};
use posebook_models::body::Body;
use std::path::Path;
use std::str::FromStr;

/// A format that people can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// glTF 2.0, binary: a mesh and a skeleton for each track, animated.
    Gltf,
    /// AMASS-like npz: the SMPL parameters of one track.
    Npz,
    /// BVH: the skeleton of one track.
    Bvh,
    /// CSV: one line for each joint of each person in each frame.
    Csv,
    /// MOTChallenge text: one line for each box.
    Mot,
    /// The `.pkl` of PHALP and 4D-Humans.
    Pkl,
}

impl Format {
    /// All formats.
    pub const ALL: [Format; 6] =
        [Format::Gltf, Format::Npz, Format::Bvh, Format::Csv, Format::Mot, Format::Pkl];

    /// The name by which users choose the format.
    pub fn name(self) -> &'static str {
        match self {
            Format::Gltf => "gltf",
            Format::Npz => "npz",
            Format::Bvh => "bvh",
            Format::Csv => "csv",
            Format::Mot => "mot",
            Format::Pkl => "pkl",
        }
    }

    /// Whether the format holds a body's shape or skeleton.
    pub fn needs_body(self) -> bool {
        matches!(self, Format::Gltf | Format::Npz | Format::Bvh)
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Format, String> {
        let names = Format::ALL.map(Format::name).join(", ");
        let found = Format::ALL.into_iter().find(|format| format.name() == text);
        found.ok_or_else(|| match text {
            "glb" => "the format of .glb files is called gltf".to_string(),
            "fbx" => {
                "FBX has no open writer; export gltf, open it in Blender, and export FBX there".to_string()
            }
            _ => format!("`{text}` is no format; there are {names}"),
        })
    }
}

/// What the frames do not say.
#[derive(Debug, Clone)]
pub struct Options {
    /// The video.
    pub video: VideoInfo,
    /// The body whose shape and skeleton are written.
    pub body: Body,
    /// Write this track only.
    pub track: Option<u64>,
    /// Settings of the `.pkl`.
    pub pkl: PklSettings,
}

impl Format {
    /// Begins the file `out`, or for the formats of one track a folder of files.
    ///
    /// # Errors
    /// If the file cannot be created, or the body has not the format's skeleton.
    pub fn open(self, out: &Path, options: Options) -> Result<Box<dyn FrameSink>, ExportError> {
        let Options { video, body, track, pkl } = options;
        Ok(match self {
            Format::Gltf => Box::new(GltfWriter::create(out, body, track)?),
            Format::Npz => Box::new(AmassWriter::create(out, video, body, track)?),
            Format::Bvh => Box::new(BvhWriter::create(out, video, body, track)?),
            Format::Csv => Box::new(CsvWriter::create(out, track)?),
            Format::Mot => Box::new(MotWriter::create(out, track)?),
            Format::Pkl => Box::new(PklWriter::create(out, video, pkl)?),
        })
    }
}
