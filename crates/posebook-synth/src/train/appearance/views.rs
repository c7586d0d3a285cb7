//! Views of people: the texels that a crop shows of a person, sampled as a run samples them.
//!
//! In: a seed, numbers of a person and a place. Out: [`View`]s. The body is the true one with noise, because a network recovers
//! it with errors; the crop is drawn, with other people behind and in front of the person by the settings.

use super::settings::{AppearanceSettings, ViewSettings};
use crate::train::TrainError;
use crate::train::generator::CropGenerator;
use crate::train::people::{perturb_pose, random_stream};
use posebook_core::appearance::{UV_TEXELS, UvMap};
use posebook_core::random::RandomStream;
use posebook_models::appearance::maps::UvMaps;
use posebook_models::appearance::sampler::{CROP_SIDE, Picture, Scene};
use posebook_models::body::Body;
use rayon::prelude::*;
use std::sync::Arc;

/// Fewest texels of a view: with fewer the person is hidden or outside of the frame.
const LEAST_TEXELS: usize = 3000;
/// Attempts to find a view with enough texels.
const ATTEMPTS: u64 = 24;

/// The texels that a crop shows of a person.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// Indices into the map, ascending.
    pub texels: Vec<u16>,
    /// Colors as in a [`UvMap`].
    pub colors: Vec<[f32; 3]>,
}

impl View {
    fn from_map(map: &UvMap) -> View {
        let seen = (0..UV_TEXELS).filter(|&texel| map.mask()[texel] > 0.5);
        let texels: Vec<u16> = seen.map(|texel| texel as u16).collect();
        let color =
            |&texel: &u16| std::array::from_fn(|plane| map.values()[plane * UV_TEXELS + usize::from(texel)]);
        View { colors: texels.iter().map(color).collect(), texels }
    }

    /// The texels of both views: for each, its index and the positions in the lists of the views.
    pub fn common<'a>(&'a self, other: &'a View) -> impl Iterator<Item = (usize, usize, usize)> + 'a {
        let (mut mine, mut theirs) = (0, 0);
        std::iter::from_fn(move || {
            while mine < self.texels.len() && theirs < other.texels.len() {
                let (a, b) = (self.texels[mine], other.texels[theirs]);
                let found = (a == b).then_some((usize::from(a), mine, theirs));
                mine += usize::from(a <= b);
                theirs += usize::from(b <= a);
                if found.is_some() {
                    return found;
                }
            }
            None
        })
    }
}

/// The person `number`, as somebody that can be viewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject {
    /// Number of the person: body, clothes and walk.
    pub person: u64,
    /// Number of the place.
    pub place: u64,
    /// Person whose clothes they wear instead of their own.
    pub dressed_as: Option<u64>,
}

/// Samples views.
pub struct ViewSampler {
    generator: CropGenerator,
    body: Arc<Body>,
    maps: Arc<UvMaps>,
    settings: ViewSettings,
    seed: u64,
}

impl ViewSampler {
    /// A sampler under `seed`.
    pub fn new(body: Arc<Body>, maps: Arc<UvMaps>, settings: &AppearanceSettings, seed: u64) -> ViewSampler {
        ViewSampler {
            generator: CropGenerator::new(body.clone(), &settings.drawing, seed, CROP_SIDE),
            body,
            maps,
            settings: settings.views.clone(),
            seed,
        }
    }

    /// The view `number` of a subject.
    ///
    /// # Errors
    /// If no attempt shows enough of the person, which settings that hide people can cause.
    fn view(&mut self, subject: Subject, number: u64) -> Result<View, TrainError> {
        let alias = subject.dressed_as.map_or(0, |other| other + 1);
        for attempt in 0..ATTEMPTS {
            let address = ((subject.person * 1000 + alias) * 1000 + number) * ATTEMPTS + attempt;
            let mut draws = random_stream(self.seed, "appearance/view", address);
            let Some(mut example) =
                self.generator.observe(subject.person, subject.place, subject.dressed_as, &mut draws)
            else {
                continue;
            };
            relight(&mut example.rgb, self.settings.light, &mut draws);
            let mut params = example.params;
            perturb_pose(&mut params, self.settings.bend, &mut draws);
            params.betas.iter_mut().for_each(|beta| *beta += (self.settings.shape * draws.normal()) as f32);
            let [scale, x, y] = example.camera;
            let mut noise = || (self.settings.camera * draws.normal().clamp(-2.5, 2.5)) as f32;
            let camera = [scale * (1.0 + noise()), x + noise(), y + noise()];
            let posed = self.body.pose(&params);
            let picture = Picture::from_crop(&example.rgb, None)?;
            let map = Scene::new(&self.maps, &posed.vertices, camera)?.sample(&picture);
            if map.seen_texels() >= LEAST_TEXELS {
                return Ok(View::from_map(&map));
            }
        }
        let what = format!("drawing: person {} is hardly visible in {ATTEMPTS} crops", subject.person);
        Err(TrainError::InvalidSettings { what })
    }
}

/// `views` views of each subject, on all threads; the result does not depend on their number.
///
/// # Errors
/// If a subject cannot be seen, or the body has no atlas.
pub fn sample_views(
    settings: &AppearanceSettings,
    seed: u64,
    subjects: &[Subject],
    views: usize,
    on_done: &(dyn Fn() + Sync),
) -> Result<Vec<Vec<View>>, TrainError> {
    let body = Arc::new(Body::built_in());
    let maps = Arc::new(UvMaps::bake(&body)?);
    subjects
        .par_iter()
        .map_init(
            || ViewSampler::new(body.clone(), maps.clone(), settings, seed),
            |sampler, &subject| {
                let all = (0..views as u64).map(|number| sampler.view(subject, number)).collect();
                on_done();
                all
            },
        )
        .collect()
}

/// The people of a seed: each place has `people_per_place`.
pub fn subjects(settings: &ViewSettings, count: usize) -> Vec<Subject> {
    let per_place = settings.people_per_place as u64;
    (0..count as u64).map(|person| Subject { person, place: person / per_place, dressed_as: None }).collect()
}

/// Changes brightness and color by `share` at most.
fn relight(rgb: &mut [u8], share: f64, draws: &mut RandomStream) {
    let gain = 1.0 + draws.range(-share, share);
    let gains: [f32; 3] =
        std::array::from_fn(|_| (gain * (1.0 + draws.range(-0.2 * share, 0.2 * share))) as f32);
    for pixel in rgb.as_chunks_mut::<3>().0 {
        for (value, gain) in pixel.iter_mut().zip(gains) {
            *value = (f32::from(*value) * gain).clamp(0.0, 255.0) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_texels_are_found() {
        let view = |texels: &[u16]| View { texels: texels.to_vec(), colors: vec![[0.0; 3]; texels.len()] };
        let (a, b) = (view(&[1, 4, 7, 9, 65535]), view(&[0, 4, 5, 9, 65535]));
        let common: Vec<_> = a.common(&b).collect();
        assert_eq!(common, [(4, 1, 1), (9, 3, 3), (65535, 4, 4)]);
        assert_eq!(a.common(&view(&[])).count(), 0);
    }
}
