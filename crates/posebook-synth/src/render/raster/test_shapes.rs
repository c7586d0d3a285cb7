//! Test shapes.

use posebook_core::geometry::Vec3;

/// A sphere of `rings` rings and twice as many segments, wound outward.
pub fn sphere(center: Vec3, radius: f32, rings: u32) -> (Vec<Vec3>, Vec<[u32; 3]>) {
    let segments = rings * 2;
    let mut positions = Vec::new();
    for ring in 0..=rings {
        let (polar_sin, polar_cos) = libm::sincosf(std::f32::consts::PI * ring as f32 / rings as f32);
        for segment in 0..segments {
            let (sin, cos) = libm::sincosf(std::f32::consts::TAU * segment as f32 / segments as f32);
            let unit = [polar_sin * cos, -polar_cos, polar_sin * sin];
            positions.push(std::array::from_fn(|i| center[i] + radius * unit[i]));
        }
    }
    let mut faces = Vec::new();
    for ring in 0..rings {
        for segment in 0..segments {
            let next = (segment + 1) % segments;
            let [a, b] = [segment, next].map(|s| ring * segments + s);
            let (c, d) = (a + segments, b + segments);
            faces.extend([[a, d, b], [a, c, d]]);
        }
    }
    (positions, faces)
}
