//! Computes the appearance of people: samples their textures and encodes them.
//!
//! In: posed bodies, cameras and crops; out: textures with embeddings. All people of a call are sampled in parallel and encoded
//! in one batch.

use super::encoder::Encoder;
use super::maps::UvMaps;
use super::sampler::{Picture, Scene};
use super::{AppearanceError, Sources};
use crate::body::Body;
use candle_core::Device;
use posebook_core::appearance::{Appearance, UvMap};
use posebook_core::person::SmplParams;
use rayon::prelude::*;
use std::sync::Arc;

/// An encoder and the UV maps of a body.
pub struct AppearanceStage {
    encoder: Arc<Encoder>,
    maps: UvMaps,
}

/// A person whose appearance is to be computed.
#[derive(Debug, Clone)]
pub struct View<'a> {
    /// Shape and pose.
    pub params: &'a SmplParams,
    /// HMR2's camera in the crop: scale, x, y.
    pub crop_camera: [f32; 3],
    /// The crop.
    pub crop: Crop,
}

/// The crop of a person, that of HMR2: 256 x 256 pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crop {
    /// RGB bytes, `256 * 256 * 3`.
    pub rgb: Vec<u8>,
    /// The person's mask in the crop, `256 * 256`, 0 where it is off. `None`: every pixel of the crop counts as on.
    pub mask: Option<Vec<u8>>,
}

/// What is observed of a person.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// Texture and embedding.
    pub appearance: Appearance,
    /// The pixels of the crop that the body covers: `256 * 256`, 255 or 0.
    pub silhouette: Vec<u8>,
}

impl AppearanceStage {
    /// Loads an encoder onto a device, and the maps of `body`.
    ///
    /// # Errors
    /// If a file cannot be read or is invalid, if the body has no atlas and no maps are given, or if the device fails.
    pub fn load(sources: &Sources, body: &Body, device: &Device) -> Result<AppearanceStage, AppearanceError> {
        let maps = match &sources.maps {
            Some(path) => UvMaps::load(path, body)?,
            None => UvMaps::bake(body)?,
        };
        Ok(AppearanceStage::new(Encoder::open(&sources.encoder, sources.encode_type, device)?, maps))
    }

    /// A stage from its parts.
    pub fn new(encoder: Encoder, maps: UvMaps) -> AppearanceStage {
        AppearanceStage { encoder: Arc::new(encoder), maps }
    }

    /// The encoder, which the tracker needs, too.
    pub fn encoder(&self) -> Arc<Encoder> {
        self.encoder.clone()
    }

    /// The appearance and silhouette of each person, in order. A body that cannot be seen has an empty texture.
    ///
    /// # Errors
    /// If a crop has another size, the maps are of another mesh than `body`, or the encoder fails.
    pub fn observe(&self, people: &[View], body: &Body) -> Result<Vec<Observed>, AppearanceError> {
        let sample = |person: &View| -> Result<(UvMap, Vec<u8>), AppearanceError> {
            let picture = Picture::from_crop(&person.crop.rgb, person.crop.mask.as_deref())?;
            let vertices = body.pose(person.params).vertices;
            let scene = Scene::new(&self.maps, &vertices, person.crop_camera)?;
            Ok((scene.sample(&picture), scene.silhouette()))
        };
        let sampled = people.par_iter().with_max_len(1).map(sample).collect::<Result<Vec<_>, _>>()?;
        let textures: Vec<&UvMap> = sampled.iter().map(|(texture, _)| texture).collect();
        let embeddings = self.encoder.encode_refs(&textures)?;
        let observed = |((uv, silhouette), embedding): ((UvMap, Vec<u8>), Vec<f32>)| Observed {
            appearance: Appearance { uv: Arc::new(uv), embedding: embedding.into() },
            silhouette,
        };
        Ok(sampled.into_iter().zip(embeddings).map(observed).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use posebook_core::appearance::EMBEDDING_LENGTH;
    use posebook_core::geometry::Mat3;

    const IDENTITY: Mat3 = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

    fn crop(red: u8, mask: Option<Vec<u8>>) -> Crop {
        Crop { rgb: [red, 40, 90].repeat(256 * 256), mask }
    }

    #[test]
    fn people_are_observed_in_order_and_independently() {
        let body = Body::built_in();
        let stage = AppearanceStage::new(Encoder::raw(), UvMaps::bake(&body).unwrap());
        let params = SmplParams { betas: [0.0; 10], global_orient: IDENTITY, body_pose: [IDENTITY; 23] };
        let view = |crop| View { params: &params, crop_camera: [0.9, 0.0, 0.3], crop };
        let masked = vec![0; 256 * 256];
        let people = [view(crop(0, None)), view(crop(255, None)), view(crop(255, Some(masked)))];
        let found = stage.observe(&people, &body).unwrap();
        assert!(found.iter().all(|person| person.silhouette == found[0].silhouette));
        let covered = found[0].silhouette.iter().filter(|&&value| value == 255).count();
        assert!((5_000..30_000).contains(&covered), "{covered} pixels");
        let found: Vec<Appearance> = found.into_iter().map(|person| person.appearance).collect();
        let seen: Vec<usize> = found.iter().map(|appearance| appearance.uv.seen_texels()).collect();
        assert!(seen[0] > 10_000 && seen[1] == seen[0] && seen[2] == 0, "{seen:?}");
        assert!(found.iter().all(|appearance| appearance.embedding.len() == EMBEDDING_LENGTH));
        let reds: Vec<f32> =
            found.iter().map(|appearance| appearance.embedding[..1024].iter().sum()).collect();
        assert!(reds[0] < 0.0 && reds[1] > 0.0 && reds[2] == 0.0, "{reds:?}");
        assert_eq!(stage.observe(&people[1..2], &body).unwrap()[0].appearance, found[1]);
        assert!(stage.observe(&[], &body).unwrap().is_empty());
        let mut broken = people[0].clone();
        broken.crop.rgb.pop();
        let message = stage.observe(&[broken], &body).unwrap_err().to_string();
        assert!(message.contains("196607 bytes, but 196608"), "{message}");
    }
}
