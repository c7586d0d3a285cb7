//! Finds the files of the encoder and of the UV maps that the settings of appearance name.

use super::phalp_set::{PhalpSet, PhalpSetError};
use crate::appearance::{EncoderSource, RAW_ENCODER, Settings, Sources, TINY_ENCODER};
use crate::body::Body;
use std::path::{Path, PathBuf};

/// Name of the imported set whose UV maps are used where the settings name no set.
const DEFAULT_SET: &str = "phalp";

/// The files for `settings` and a body: `tiny` and `raw` are known, a name that ends in `.safetensors` is the path of an
/// encoder, and any other is that of an imported set of PHALP's files in `folder`. A body with an atlas uses its own; SMPL has
/// none and uses the maps of the set, or of the set `phalp` for an encoder that is not from a set.
///
/// # Errors
/// If there is no such set, it has no encoder, or a file of it has changed.
pub fn appearance_sources(settings: &Settings, folder: &Path, body: &Body) -> Result<Sources, PhalpSetError> {
    let (encoder, set) = match settings.encoder.as_str() {
        TINY_ENCODER => (EncoderSource::Tiny, None),
        RAW_ENCODER => (EncoderSource::Raw, None),
        path if path.ends_with(".safetensors") => (EncoderSource::File(PathBuf::from(path)), None),
        name => {
            let set = PhalpSet::find(folder, name, "the encoder of `appearance.encoder`")?;
            (EncoderSource::File(set.encoder()?), Some(set))
        }
    };
    let find_default = || match PhalpSet::find(folder, DEFAULT_SET, "the texture of SMPL's body") {
        // the error for a body without any maps says more
        Err(PhalpSetError::NoSet { .. }) => Ok(None),
        found => found.map(Some),
    };
    let maps = match &body.uv {
        Some(_) => None,
        None => set.map_or_else(find_default, |set| Ok(Some(set)))?.filter(PhalpSet::has_maps),
    };
    let maps = maps.map(|set| set.maps()).transpose()?;
    Ok(Sources { encoder, encode_type: settings.encode_type, maps })
}

#[cfg(test)]
mod tests {
    use super::*;
    use posebook_core::provenance::sha256_of_file;

    #[test]
    fn encoders_and_maps_are_found_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let (body, mut smpl) = (Body::built_in(), Body::built_in());
        smpl.uv = None;
        let sources = |encoder: &str, body: &Body| {
            let settings = Settings { encoder: encoder.to_string(), ..Settings::default() };
            appearance_sources(&settings, folder, body)
        };
        let raw = Sources { encoder: EncoderSource::Raw, encode_type: None, maps: None };
        assert_eq!(sources("raw", &body).unwrap(), raw);
        assert_eq!(sources("raw", &smpl).unwrap(), raw);
        assert_eq!(sources("tiny", &body).unwrap().encoder, EncoderSource::Tiny);
        let file = sources("x/e.safetensors", &body).unwrap().encoder;
        assert_eq!(file, EncoderSource::File("x/e.safetensors".into()));
        let message = sources("phalp", &body).unwrap_err().to_string();
        assert!(message.contains("no set `phalp`") && message.contains("model import phalp"), "{message}");

        let part = |name: &str| {
            let path = folder.join(name);
            std::fs::write(&path, name).unwrap();
            let sha256 = sha256_of_file(&path).unwrap();
            format!("{{ file = \"{name}\", sha256 = \"{sha256}\" }}")
        };
        let (encoder, maps) = (part("e.safetensors"), part("m.safetensors"));
        let text = format!(
            "kind = \"phalp\"\ndescription = \"\"\nlicence = \"\"\norigin = \"\"\nencoder = {encoder}\nmaps = {maps}\n[sources]\n"
        );
        std::fs::write(folder.join("phalp.toml"), text).unwrap();
        let found = sources("phalp", &smpl).unwrap();
        assert_eq!(found.encoder, EncoderSource::File(folder.join("e.safetensors")));
        assert_eq!(found.maps, Some(folder.join("m.safetensors")));
        assert_eq!(sources("phalp", &body).unwrap().maps, None);
        assert_eq!(sources("raw", &smpl).unwrap().maps, found.maps);
        std::fs::write(folder.join("m.safetensors"), "changed").unwrap();
        assert!(sources("raw", &smpl).unwrap_err().to_string().contains("SHA-256"));
    }
}
