//! Light on surfaces: a sun, a sky above and what the ground throws back. Must not know what is lit.

use super::color::{Rgb, dim, mix};
use crate::geometry::{Vec3, add, cross, dot, norm, scale, sub};

/// A directional light and a hemisphere of ambient light, in camera axes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Light {
    /// Unit vector towards the sun.
    pub toward: Vec3,
    /// Unit vector up.
    pub up: Vec3,
    /// Light of the sun on a surface that faces it.
    pub sun: Rgb,
    /// Ambient light on a surface that faces up.
    pub sky: Rgb,
    /// Ambient light on a surface that faces down.
    pub ground: Rgb,
}

impl Light {
    /// A clear day: warm sun, bluish sky, dim light from below. Directions need not be of length 1.
    pub fn outdoors(toward: Vec3, up: Vec3) -> Light {
        Light {
            toward: unit(toward),
            up: unit(up),
            sun: [0.92, 0.86, 0.76],
            sky: [0.34, 0.40, 0.48],
            ground: [0.16, 0.145, 0.125],
        }
    }

    /// Light of a studio: a soft lamp from `toward`, white walls.
    pub fn indoors(toward: Vec3, up: Vec3) -> Light {
        Light {
            toward: unit(toward),
            up: unit(up),
            sun: [0.62, 0.60, 0.56],
            sky: [0.48, 0.48, 0.47],
            ground: [0.30, 0.29, 0.28],
        }
    }

    /// Lambert's law: what a dull surface of colour `albedo` sends to the camera. `lit` is the share of the
    /// sun that reaches it (see [`super::ShadowMap::lit`]).
    #[inline]
    pub fn shade(&self, albedo: Rgb, normal: Vec3, lit: f32) -> Rgb {
        let sun = dot(normal, self.toward).max(0.0) * lit;
        let ambient = mix(self.ground, self.sky, 0.5 + 0.5 * dot(normal, self.up));
        std::array::from_fn(|i| albedo[i] * (self.sun[i] * sun + ambient[i]))
    }

    /// Like [`Light::shade`] with a highlight of `strength` (Blinn 1977, exponent 32): leather, hair, skin.
    #[inline]
    pub fn shade_glossy(
        &self,
        albedo: Rgb,
        normal: Vec3,
        position_in_camera: Vec3,
        strength: f32,
        lit: f32,
    ) -> Rgb {
        let to_camera = unit(scale(position_in_camera, -1.0));
        let half = unit(add(to_camera, self.toward));
        let mut highlight = dot(normal, half).max(0.0);
        for _ in 0..5 {
            highlight *= highlight;
        }
        add(self.shade(albedo, normal, lit), dim(self.sun, highlight * strength * lit))
    }
}

fn unit(v: Vec3) -> Vec3 {
    scale(v, 1.0 / norm(v).max(1e-12))
}

/// Normals of a smooth surface: the sum of each vertex' faces, weighted by their area. Not of length 1;
/// shading makes them so.
pub fn vertex_normals(positions: &[Vec3], faces: &[[u32; 3]], normals: &mut Vec<Vec3>) {
    normals.clear();
    normals.resize(positions.len(), [0.0; 3]);
    for face in faces {
        let [p0, p1, p2] = face.map(|corner| positions[corner as usize]);
        let normal = cross(sub(p1, p0), sub(p2, p0));
        for corner in face {
            normals[*corner as usize] = add(normals[*corner as usize], normal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_face_turned_away_gets_the_ambient_light_only() {
        let light = Light::outdoors([0.0, -1.0, 0.0], [0.0, -1.0, 0.0]);
        assert_eq!(light.shade([1.0; 3], [0.0, 1.0, 0.0], 1.0), light.ground);
        let top = light.shade([1.0; 3], [0.0, -1.0, 0.0], 1.0);
        assert!((top[0] - light.sun[0] - light.sky[0]).abs() < 1e-6);
    }

    #[test]
    fn normals_point_out_of_the_winding() {
        let positions = [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]];
        let mut normals = vec![];
        vertex_normals(&positions, &[[0, 1, 2]], &mut normals);
        assert_eq!(normals, vec![[0.0, 0.0, 1.0]; 3]);
    }
}
