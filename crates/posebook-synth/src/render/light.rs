//! Lighting of surfaces: sun, sky and light reflected by the ground.

use super::color::{Rgb, dim, mix};
use posebook_core::geometry::{Vec3, add, cross, dot, norm, scale, sub};

/// A directional light and a hemisphere of ambient light, in camera axes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Light {
    /// Unit vector toward the sun.
    pub toward: Vec3,
    /// Unit vector up.
    pub up: Vec3,
    /// Sunlight on a surface that faces the sun.
    pub sun: Rgb,
    /// Ambient light on a surface that faces up.
    pub sky: Rgb,
    /// Ambient light on a surface that faces down.
    pub ground: Rgb,
}

impl Light {
    /// A clear day: warm sun, bluish sky, dim light from below. Directions need not be normalized.
    pub fn outdoors(toward: Vec3, up: Vec3) -> Light {
        Light {
            toward: normalize(toward),
            up: normalize(up),
            sun: [0.92, 0.86, 0.76],
            sky: [0.34, 0.40, 0.48],
            ground: [0.16, 0.145, 0.125],
        }
    }

    /// A studio: a soft lamp from `toward`, white walls.
    pub fn indoors(toward: Vec3, up: Vec3) -> Light {
        Light {
            toward: normalize(toward),
            up: normalize(up),
            sun: [0.62, 0.60, 0.56],
            sky: [0.48, 0.48, 0.47],
            ground: [0.30, 0.29, 0.28],
        }
    }

    /// Lambert shading of a diffuse surface of color `albedo`. `lit` is the fraction of sunlight that reaches it (see
    /// [`super::ShadowMap::sunlit_fraction`]).
    #[inline]
    pub fn shade(&self, albedo: Rgb, normal: Vec3, lit: f32) -> Rgb {
        let sun = dot(normal, self.toward).max(0.0) * lit;
        let ambient = mix(self.ground, self.sky, 0.5 + 0.5 * dot(normal, self.up));
        std::array::from_fn(|i| albedo[i] * (self.sun[i] * sun + ambient[i]))
    }

    /// [`Light::shade`] plus a highlight of `strength` (Blinn 1977, exponent 32), for leather, hair and skin.
    #[inline]
    pub fn shade_glossy(
        &self,
        albedo: Rgb,
        normal: Vec3,
        position_in_camera: Vec3,
        strength: f32,
        lit: f32,
    ) -> Rgb {
        let to_camera = normalize(scale(position_in_camera, -1.0));
        let half = normalize(add(to_camera, self.toward));
        let mut highlight = dot(normal, half).max(0.0);
        for _ in 0..5 {
            highlight *= highlight;
        }
        add(self.shade(albedo, normal, lit), dim(self.sun, highlight * strength * lit))
    }
}

fn normalize(v: Vec3) -> Vec3 {
    scale(v, 1.0 / norm(v).max(1e-12))
}

/// Vertex normals of a smooth surface: area-weighted sums of the face normals. They are not normalized; shading does that.
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
    fn a_face_turned_away_gets_only_ambient_light() {
        let light = Light::outdoors([0.0, -1.0, 0.0], [0.0, -1.0, 0.0]);
        assert_eq!(light.shade([1.0; 3], [0.0, 1.0, 0.0], 1.0), light.ground);
        let top = light.shade([1.0; 3], [0.0, -1.0, 0.0], 1.0);
        assert!((top[0] - light.sun[0] - light.sky[0]).abs() < 1e-6);
    }

    #[test]
    fn normals_follow_the_winding() {
        let positions = [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]];
        let mut normals = vec![];
        vertex_normals(&positions, &[[0, 1, 2]], &mut normals);
        assert_eq!(normals, vec![[0.0, 0.0, 1.0]; 3]);
    }
}
