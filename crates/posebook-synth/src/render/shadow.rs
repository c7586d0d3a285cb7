//! Shadows of a distant sun by depth maps (Williams 1978). Each caster has its own fitted map, so shadows are as sharp in a
//! large scene as in a small one.

use super::raster::{Mesh, depth_from_above};
use posebook_core::geometry::{Vec3, cross, dot, norm, scale};

/// Computes which points the sun reaches. Buffers are reused between images.
pub struct ShadowMap {
    size: usize,
    toward: Vec3,
    /// Unit vectors perpendicular to the sun's direction: columns and rows of the maps.
    across: Vec3,
    down: Vec3,
    casters: Vec<Caster>,
    in_use: usize,
    scratch: Vec<Vec3>,
}

/// One caster's map: `size` x `size` heights toward the sun.
#[derive(Default)]
struct Caster {
    heights: Vec<f32>,
    left: f32,
    top: f32,
    texels_per_meter: f32,
    texel_meters: f32,
    /// Greatest height of the caster; points above it are not in its shadow.
    highest: f32,
}

/// Border of lit texels, so that blurred look-ups stay inside.
const BORDER: f32 = 3.0;

impl ShadowMap {
    /// Maps of `size` x `size` texels; 256 gives the shadow of a person with a precision of a centimeter.
    pub fn new(size: usize) -> ShadowMap {
        ShadowMap {
            size: size.max(16),
            toward: [0.0, -1.0, 0.0],
            across: [1.0, 0.0, 0.0],
            down: [0.0, 0.0, 1.0],
            casters: Vec::new(),
            in_use: 0,
            scratch: Vec::new(),
        }
    }

    /// Removes all casters. `toward` is the direction to the sun, in the axes of the following meshes.
    pub fn begin(&mut self, toward: Vec3) {
        self.toward = scale(toward, 1.0 / norm(toward).max(1e-12));
        let other = if self.toward[0].abs() < 0.7 { [1.0, 0.0, 0.0] } else { [0.0, 0.0, 1.0] };
        let across = cross(other, self.toward);
        self.across = scale(across, 1.0 / norm(across));
        // columns x rows points away from the sun, as x right x y down points away from a camera
        self.down = cross(self.across, self.toward);
        self.in_use = 0;
    }

    /// Components of a vector along the map's columns, its rows and the direction to the sun.
    #[inline]
    fn to_light_axes(&self, v: Vec3) -> Vec3 {
        [dot(v, self.across), dot(v, self.down), dot(v, self.toward)]
    }

    /// Adds a mesh that casts a shadow.
    pub fn add_caster(&mut self, mesh: &Mesh) {
        let finite = |p: &Vec3| p.iter().all(|value| value.is_finite());
        self.scratch.clear();
        let mut flat = std::mem::take(&mut self.scratch);
        flat.extend(mesh.positions.iter().map(|&p| self.to_light_axes(p)));
        self.scratch = flat;
        if self.scratch.is_empty() || !self.scratch.iter().all(finite) {
            return;
        }
        let first = self.scratch[0];
        let (low, high) = self.scratch.iter().fold((first, first), |(low, high), p| {
            (std::array::from_fn(|i| low[i].min(p[i])), std::array::from_fn(|i| high[i].max(p[i])))
        });
        let extent = (high[0] - low[0]).max(high[1] - low[1]).max(1e-3);
        let texels_per_meter = (self.size as f32 - 2.0 * BORDER) / extent;
        let (left, top) = (low[0] - BORDER / texels_per_meter, low[1] - BORDER / texels_per_meter);
        if self.in_use == self.casters.len() {
            self.casters.push(Caster { heights: vec![0.0; self.size * self.size], ..Caster::default() });
        }
        let caster = &mut self.casters[self.in_use];
        (caster.left, caster.top, caster.highest) = (left, top, high[2]);
        (caster.texels_per_meter, caster.texel_meters) = (texels_per_meter, 1.0 / texels_per_meter);
        caster.heights.fill(f32::NEG_INFINITY);
        for p in &mut self.scratch {
            *p = [(p[0] - left) * texels_per_meter, (p[1] - top) * texels_per_meter, p[2]];
        }
        depth_from_above(&self.scratch, mesh.faces, self.size, &mut caster.heights);
        self.in_use += 1;
    }

    /// Fraction of sunlight that reaches a point of a surface, 0 to 1, with edges blurred over three texels; 0 on a surface that
    /// faces away from the sun. `normal` is a unit vector.
    pub fn sunlit_fraction(&self, position: Vec3, normal: Vec3) -> f32 {
        let mut lit = 1.0f32;
        let [x, y, height] = self.to_light_axes(position);
        let [nx, ny, facing] = self.to_light_axes(normal);
        // offset along the normal by the reach of the blur, so that a surface does not shade itself
        if facing <= 0.0 {
            return 0.0;
        }
        let raise = 0.5 + 2.5 * (1.0 - facing * facing).max(0.0).sqrt();
        for caster in &self.casters[..self.in_use] {
            let off = raise * caster.texel_meters;
            let height = height + facing * off;
            if height > caster.highest {
                continue;
            }
            let x = (x + nx * off - caster.left) * caster.texels_per_meter;
            let y = (y + ny * off - caster.top) * caster.texels_per_meter;
            let end = self.size as f32 - 2.5;
            if x > 2.5 && y > 2.5 && x < end && y < end {
                lit = lit.min(self.lit_at(caster, x, y, height));
            }
        }
        lit
    }

    /// Mean of a box of three texels, continuous in `x` and `y`.
    fn lit_at(&self, caster: &Caster, x: f32, y: f32, height: f32) -> f32 {
        let (x, y) = (x - 2.0, y - 2.0);
        let (column, row) = (x as usize, y as usize);
        let (fx, fy) = (x - column as f32, y - row as f32);
        let columns = [1.0 - fx, 1.0, 1.0, fx];
        let rows = [1.0 - fy, 1.0, 1.0, fy];
        let mut sum = 0.0;
        for (j, weight) in rows.iter().enumerate() {
            let offset = (row + j) * self.size + column;
            let line: [f32; 4] = std::array::from_fn(|i| caster.heights[offset + i]);
            let mut lit = 0.0;
            for i in 0..4 {
                lit += if line[i] <= height { columns[i] } else { 0.0 };
            }
            sum += weight * lit;
        }
        sum / 9.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use posebook_core::geometry::add;

    /// A square of 1 m at height 1 (y = -1: up is -y), seen from above.
    const PLATE: [Vec3; 4] = [[-0.5, -1.0, 4.5], [0.5, -1.0, 4.5], [0.5, -1.0, 5.5], [-0.5, -1.0, 5.5]];
    const FACES: [[u32; 3]; 2] = [[0, 1, 2], [0, 2, 3]];

    #[test]
    fn a_plate_shades_only_what_is_below_it() {
        let mut shadows = ShadowMap::new(128);
        let mesh = Mesh { positions: &PLATE, faces: &FACES, normals: None };
        let up = [0.0, -1.0, 0.0];
        shadows.begin([0.0, -1.0, 0.0]);
        shadows.add_caster(&mesh);
        assert_eq!(shadows.sunlit_fraction([0.0, 0.0, 5.0], up), 0.0);
        assert_eq!(shadows.sunlit_fraction([0.7, 0.0, 5.0], up), 1.0);
        assert_eq!(shadows.sunlit_fraction([0.0, -2.0, 5.0], up), 1.0);
        // a sun at 45 degrees moves the shadow by the plate's height
        shadows.begin([1.0, -1.0, 0.0]);
        shadows.add_caster(&mesh);
        assert_eq!(shadows.sunlit_fraction([-1.0, 0.0, 5.0], up), 0.0);
        assert_eq!(shadows.sunlit_fraction([0.0, 0.0, 5.0], up), 1.0);
        let edge: Vec<f32> =
            (0..100).map(|i| shadows.sunlit_fraction([-0.55 + 0.001 * i as f32, 0.0, 5.0], up)).collect();
        assert!(edge.windows(2).all(|pair| pair[1] >= pair[0] - 1e-5), "{edge:?}");
        assert!(edge.iter().any(|lit| (0.4..0.6).contains(lit)), "{edge:?}");
    }

    #[test]
    fn a_sphere_does_not_shade_its_lit_side() {
        let (positions, faces) = crate::render::raster::test_shapes::sphere([0.0, 0.0, 5.0], 0.5, 24);
        let mesh = Mesh { positions: &positions, faces: &faces, normals: None };
        let mut shadows = ShadowMap::new(128);
        let toward = [0.6f32, -0.8, 0.0];
        shadows.begin(toward);
        shadows.add_caster(&mesh);
        for p in &positions {
            let normal = scale(add(*p, [0.0, 0.0, -5.0]), 2.0);
            let facing = dot(normal, toward);
            if facing > 0.25 {
                assert!(shadows.sunlit_fraction(*p, normal) > 0.98, "{p:?}");
            } else if facing < -0.25 {
                assert!(shadows.sunlit_fraction(*p, normal) < 0.02, "{p:?}");
            }
        }
    }
}
