//! How people look: their shape, and what they wear.
//!
//! Clothes are procedural textures over the body at rest, so they move with it and need no files.
//! Must not know poses, places or pictures.

use crate::body::{Body, Region};
use crate::geometry::Vec3;
use crate::random::{self, Stream};
use crate::render::color::from_srgb;
use crate::render::{Pattern, Rgb, Texture};

/// One person's looks.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// Shape coefficients in units of standard deviations.
    pub betas: [f32; 10],
    pub clothes: Clothes,
}

/// Colours of everything on a body; linear light.
#[derive(Debug, Clone, PartialEq)]
pub struct Clothes {
    pub skin: Rgb,
    pub hair: Rgb,
    pub eyes: Rgb,
    pub shirt: Texture,
    pub trousers: Texture,
    pub shoes: Rgb,
    pub soles: Rgb,
    /// How far sleeves reach, metres from the middle of the body in T-pose.
    pub sleeve: f32,
    /// Where trousers end, metres above the soles.
    pub hem: f32,
    /// Whether hair falls to the neck.
    pub long_hair: bool,
}

/// Skin from the Monk scale, hair as common as it is; sRGB.
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
const WORN: [(Pattern, f64); 5] = [
    (Pattern::Plain, 0.34),
    (Pattern::Stripes, 0.56),
    (Pattern::Plaid, 0.72),
    (Pattern::Checks, 0.82),
    (Pattern::Dots, 0.92),
];

impl Look {
    /// The looks of `person` under `seed`: shapes are normal, cut at two deviations.
    pub fn draw(seed: u64, person: u64) -> Look {
        let mut shape = random::stream(seed, "dataset/people/shape", &[person]);
        let betas = std::array::from_fn(|_| shape.normal().clamp(-2.0, 2.0) as f32);
        let mut stream = random::stream(seed, "dataset/people/clothes", &[person]);
        Look { betas, clothes: Clothes::draw(&mut stream) }
    }
}

impl Clothes {
    fn draw(stream: &mut Stream) -> Clothes {
        let pick = |stream: &mut Stream, from: &[[u8; 3]]| {
            let near = stream.range(0.88, 1.12);
            from[stream.below(from.len())].map(|c| (f64::from(c) * near).clamp(0.0, 255.0) as u8)
        };
        let dyes = [dye(stream), dye(stream)];
        let shirt = fabric(stream, dyes, 0.35);
        let trousers = pick(stream, &TROUSERS);
        let trousers_pattern =
            if stream.chance(0.85) { Pattern::Mottled } else { WORN[stream.below(WORN.len())].0 };
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
                seed: stream.bits() as u32,
            },
            shoes: from_srgb(shoes),
            soles: from_srgb(if stream.chance(0.5) { [230, 228, 222] } else { [40, 38, 36] }),
            sleeve: if stream.chance(0.5) { 0.66 } else { stream.range(0.26, 0.38) as f32 },
            hem: if stream.chance(0.75) { 0.0 } else { stream.range(0.38, 0.52) as f32 },
            long_hair: stream.chance(0.4),
        }
    }

    /// The colour of a point of the body that lies at `rest` (SMPL's T-pose, mean shape, y counted from
    /// the soles) in a face of `region`; `width` is how wide a pixel is there, metres.
    #[inline]
    pub fn albedo(&self, region: Region, rest: Vec3, width: f32) -> Rgb {
        let [x, y, z] = rest;
        // around the body and along it; the front and the back of a sleeve share a column
        let at = [x + 0.5 * z, y];
        let arm = x.abs() > 0.22 && y > 1.1;
        match region {
            Region::Shirt | Region::Skin if arm => {
                if x.abs() < self.sleeve {
                    self.shirt.at(at, [width; 2])
                } else {
                    self.skin
                }
            }
            Region::Shirt => self.shirt.at(at, [width; 2]),
            Region::Trousers if y < self.hem => self.skin,
            Region::Trousers => self.trousers.at(at, [width; 2]),
            Region::Shoes if y < 0.025 => self.soles,
            Region::Shoes => self.shoes,
            Region::Hair => self.hair,
            Region::Skin if self.long_hair && z < 0.0 && y > 1.40 => self.hair,
            Region::Skin => self.skin,
            Region::Eyes => self.eyes,
        }
    }

    /// How much a region shines, for [`crate::render::Light::shade_glossy`].
    pub fn gloss(&self, region: Region) -> f32 {
        match region {
            Region::Hair => 0.10,
            Region::Shoes => 0.08,
            Region::Skin | Region::Eyes => 0.05,
            Region::Shirt | Region::Trousers => 0.0,
        }
    }
}

/// The body's vertices at rest as [`Clothes::albedo`] wants them.
pub fn rest_positions(body: &Body) -> Vec<Vec3> {
    let sole = body.v_template.iter().fold(f32::INFINITY, |lowest, v| lowest.min(v[1]));
    body.v_template.iter().map(|v| [v[0], v[1] - sole, v[2]]).collect()
}

/// A colour that textiles have: any hue, seldom garish.
fn dye(stream: &mut Stream) -> Rgb {
    let hue = stream.range(0.0, 6.0);
    let saturation = if stream.chance(0.25) { 0.05 } else { stream.range(0.15, 0.85) };
    let value = stream.range(0.12, 0.95);
    let channel = |shift: f64| {
        let k = libm::fmod(hue + shift, 6.0);
        value * (1.0 - saturation * k.min(4.0 - k).clamp(0.0, 1.0))
    };
    from_srgb([channel(5.0), channel(3.0), channel(1.0)].map(|c| (c * 255.0) as u8))
}

fn fabric(stream: &mut Stream, colors: [Rgb; 2], plainness: f64) -> Texture {
    let kind = stream.unit();
    let pattern = if stream.chance(plainness) {
        Pattern::Mottled
    } else {
        WORN.iter().find(|(_, up_to)| kind < *up_to).map_or(Pattern::Mottled, |(pattern, _)| *pattern)
    };
    let scale = stream.range(0.025, 0.12) as f32;
    Texture { pattern, colors, scale, seed: stream.bits() as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_and_a_number_name_one_look() {
        assert_eq!(Look::draw(4, 2), Look::draw(4, 2));
        assert_ne!(Look::draw(4, 2), Look::draw(4, 3));
        assert_ne!(Look::draw(4, 2).betas, Look::draw(5, 2).betas);
    }

    #[test]
    fn shapes_are_human_and_colours_are_colours() {
        for person in 0..200 {
            let look = Look::draw(9, person);
            assert!(look.betas.iter().all(|b| b.abs() <= 2.0));
            for region in Region::ALL {
                for y in [0.01, 0.3, 0.9, 1.3, 1.6] {
                    let color = look.clothes.albedo(region, [0.3, y, 0.05], 0.005);
                    assert!(color.iter().all(|c| (0.0..=1.5).contains(c)), "{region:?} {color:?}");
                }
            }
        }
    }
}
