//! Appearance of people: body shape and clothes.
//!
//! Clothes are procedural textures on the body at rest, so that they move with it and need no files. Does not
//! depend on poses or scenery.

use crate::render::color::from_srgb;
use crate::render::{Pattern, Rgb, Texture};
use posebook_core::geometry::Vec3;
use posebook_core::random::{self, RandomStream};
use posebook_models::body::{Body, Region};

/// One person's appearance.
#[derive(Debug, Clone, PartialEq)]
pub struct Appearance {
    /// Shape coefficients in standard deviations.
    pub betas: [f32; 10],
    /// Clothes, skin and hair.
    pub clothes: Clothes,
}

/// Colors of everything on a body; linear light.
#[derive(Debug, Clone, PartialEq)]
pub struct Clothes {
    /// Skin.
    pub skin: Rgb,
    /// Hair.
    pub hair: Rgb,
    /// Eyes.
    pub eyes: Rgb,
    /// Shirt.
    pub shirt: Texture,
    /// Trousers.
    pub trousers: Texture,
    /// Upper part of the shoes.
    pub shoes: Rgb,
    /// Soles.
    pub soles: Rgb,
    /// End of the sleeves, meters from the middle of the body in T-pose.
    pub sleeve: f32,
    /// Lower end of the trousers, meters above the soles.
    pub hem: f32,
    /// Whether the hair reaches the neck.
    pub long_hair: bool,
}

/// Skin colors from the Monk scale, common hair colors; sRGB.
const SKINS: [[u8; 3]; 8] = [
    [246, 218, 196],
    [236, 199, 172],
    [224, 178, 146],
    [205, 155, 120],
    [178, 126, 92],
    [143, 95, 66],
    [105, 68, 48],
    [74, 49, 38],
];
const HAIRS: [[u8; 3]; 7] =
    [[22, 18, 17], [38, 28, 23], [66, 44, 30], [104, 70, 42], [158, 118, 72], [132, 62, 34], [160, 158, 154]];
const TROUSERS: [[u8; 3]; 9] = [
    [38, 46, 68],
    [58, 78, 116],
    [96, 120, 156],
    [30, 30, 34],
    [74, 74, 80],
    [146, 128, 98],
    [104, 92, 66],
    [62, 70, 48],
    [186, 180, 166],
];
const SHOES: [[u8; 3]; 6] =
    [[28, 26, 26], [226, 224, 220], [92, 60, 38], [150, 40, 38], [44, 62, 110], [120, 120, 124]];
const PATTERNS: [(Pattern, f64); 5] = [
    (Pattern::Plain, 0.34),
    (Pattern::Stripes, 0.56),
    (Pattern::Plaid, 0.72),
    (Pattern::Checks, 0.82),
    (Pattern::Dots, 0.92),
];

impl Appearance {
    /// The appearance of `person` under `seed`; shapes are normally distributed, clamped to two deviations.
    pub fn sample(seed: u64, person: u64) -> Appearance {
        let mut shape = random::stream(seed, "dataset/people/shape", &[person]);
        let betas = std::array::from_fn(|_| shape.normal().clamp(-2.0, 2.0) as f32);
        let mut stream = random::stream(seed, "dataset/people/clothes", &[person]);
        Appearance { betas, clothes: Clothes::sample(&mut stream) }
    }
}

impl Clothes {
    fn sample(stream: &mut RandomStream) -> Clothes {
        let pick = |stream: &mut RandomStream, from: &[[u8; 3]]| {
            let brightness = stream.range(0.88, 1.12);
            from[stream.below(from.len())].map(|c| (f64::from(c) * brightness).clamp(0.0, 255.0) as u8)
        };
        let colors = [sample_textile_color(stream), sample_textile_color(stream)];
        let shirt = sample_fabric(stream, colors, 0.35);
        let trousers = pick(stream, &TROUSERS);
        let trousers_pattern =
            if stream.bernoulli(0.85) { Pattern::Mottled } else { PATTERNS[stream.below(PATTERNS.len())].0 };
        let darker = trousers.map(|c| (f64::from(c) * 0.7) as u8);
        let shoes = pick(stream, &SHOES);
        Clothes {
            skin: from_srgb(pick(stream, &SKINS)),
            hair: from_srgb(pick(stream, &HAIRS)),
            eyes: from_srgb([70, 58, 50]),
            shirt,
            trousers: Texture {
                pattern: trousers_pattern,
                colors: [from_srgb(trousers), from_srgb(darker)],
                scale: stream.range(0.03, 0.08) as f32,
                seed: stream.next_u64() as u32,
            },
            shoes: from_srgb(shoes),
            soles: from_srgb(if stream.bernoulli(0.5) { [230, 228, 222] } else { [40, 38, 36] }),
            sleeve: if stream.bernoulli(0.5) { 0.66 } else { stream.range(0.26, 0.38) as f32 },
            hem: if stream.bernoulli(0.75) { 0.0 } else { stream.range(0.38, 0.52) as f32 },
            long_hair: stream.bernoulli(0.4),
        }
    }

    /// Albedo of a point that lies at `rest` on the body (SMPL's T-pose, mean shape, y from the soles) in a face of
    /// `region`; `width` is the width of a pixel there, meters.
    #[inline]
    pub fn albedo(&self, region: Region, rest: Vec3, width: f32) -> Rgb {
        let [x, y, z] = rest;
        // coordinates around and along the body; front and back of a sleeve share a column
        let at = [x + 0.5 * z, y];
        let arm = x.abs() > 0.22 && y > 1.1;
        match region {
            Region::Shirt | Region::Skin if arm => {
                if x.abs() < self.sleeve {
                    self.shirt.color_at(at, [width; 2])
                } else {
                    self.skin
                }
            }
            Region::Shirt => self.shirt.color_at(at, [width; 2]),
            Region::Trousers if y < self.hem => self.skin,
            Region::Trousers => self.trousers.color_at(at, [width; 2]),
            Region::Shoes if y < 0.025 => self.soles,
            Region::Shoes => self.shoes,
            Region::Hair => self.hair,
            Region::Skin if self.long_hair && z < 0.0 && y > 1.40 => self.hair,
            Region::Skin => self.skin,
            Region::Eyes => self.eyes,
        }
    }

    /// Specular weight of a region, for [`crate::render::Light::shade_glossy`].
    pub fn gloss(&self, region: Region) -> f32 {
        match region {
            Region::Hair => 0.10,
            Region::Shoes => 0.08,
            Region::Skin | Region::Eyes => 0.05,
            Region::Shirt | Region::Trousers => 0.0,
        }
    }
}

/// The body's vertices at rest in the coordinates of [`Clothes::albedo`].
pub fn rest_positions(body: &Body) -> Vec<Vec3> {
    let sole = body.v_template.iter().fold(f32::INFINITY, |lowest, v| lowest.min(v[1]));
    body.v_template.iter().map(|v| [v[0], v[1] - sole, v[2]]).collect()
}

/// A random textile color: any hue, rarely saturated.
fn sample_textile_color(stream: &mut RandomStream) -> Rgb {
    let hue = stream.range(0.0, 6.0);
    let saturation = if stream.bernoulli(0.25) { 0.05 } else { stream.range(0.15, 0.85) };
    let value = stream.range(0.12, 0.95);
    let channel = |shift: f64| {
        let k = libm::fmod(hue + shift, 6.0);
        value * (1.0 - saturation * k.min(4.0 - k).clamp(0.0, 1.0))
    };
    from_srgb([channel(5.0), channel(3.0), channel(1.0)].map(|c| (c * 255.0) as u8))
}

fn sample_fabric(stream: &mut RandomStream, colors: [Rgb; 2], plain_probability: f64) -> Texture {
    let kind = stream.uniform();
    let pattern = if stream.bernoulli(plain_probability) {
        Pattern::Mottled
    } else {
        PATTERNS.iter().find(|(_, up_to)| kind < *up_to).map_or(Pattern::Mottled, |(pattern, _)| *pattern)
    };
    let scale = stream.range(0.025, 0.12) as f32;
    Texture { pattern, colors, scale, seed: stream.next_u64() as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seed_and_number_determine_the_appearance() {
        assert_eq!(Appearance::sample(4, 2), Appearance::sample(4, 2));
        assert_ne!(Appearance::sample(4, 2), Appearance::sample(4, 3));
        assert_ne!(Appearance::sample(4, 2).betas, Appearance::sample(5, 2).betas);
    }

    #[test]
    fn shapes_and_colors_are_in_range() {
        for person in 0..200 {
            let appearance = Appearance::sample(9, person);
            assert!(appearance.betas.iter().all(|b| b.abs() <= 2.0));
            for region in Region::ALL {
                for y in [0.01, 0.3, 0.9, 1.3, 1.6] {
                    let color = appearance.clothes.albedo(region, [0.3, y, 0.05], 0.005);
                    assert!(color.iter().all(|c| (0.0..=1.5).contains(c)), "{region:?} {color:?}");
                }
            }
        }
    }
}
