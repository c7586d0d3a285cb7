//! The surface point that a shader is called with.

use super::{Camera, Mesh};
use posebook_core::geometry::{Vec3, add, cross, dot, norm, scale, sub};

/// The point of a triangle that is visible through a pixel.
pub struct Surface<'a> {
    /// The mesh.
    pub mesh: &'a Mesh<'a>,
    /// The camera.
    pub camera: &'a Camera,
    /// Index of the face.
    pub face: usize,
    /// Perspective-correct barycentric weights of the face's corners; sum 1.
    pub weights: Vec3,
    /// Position in camera axes, meters.
    pub position: Vec3,
    /// Unit normal in camera axes: interpolated if the mesh has normals, else the face's own; on two-sided draw calls always
    /// toward the viewer.
    pub normal: Vec3,
    /// Position in the image, pixels.
    pub pixel: [f32; 2],
    /// Viewing direction, z = 1.
    ray: Vec3,
}

impl<'a> Surface<'a> {
    /// Intersects the ray through `pixel` with the plane of a face (Möller and Trumbore 1997). Using the face itself rather
    /// than its clipped pieces makes the weights perspective-correct by construction.
    #[inline]
    pub(super) fn at_pixel(
        mesh: &'a Mesh<'a>,
        camera: &'a Camera,
        face: usize,
        pixel: [f32; 2],
        two_sided: bool,
    ) -> Self {
        let [p0, p1, p2] = mesh.faces[face].map(|corner| mesh.positions[corner as usize]);
        let (e1, e2) = (sub(p1, p0), sub(p2, p0));
        let ray = camera.ray(pixel);
        let h = cross(ray, e2);
        let inverse = 1.0 / dot(e1, h);
        let from_corner = scale(p0, -1.0);
        let u = dot(from_corner, h) * inverse;
        let v = dot(ray, cross(from_corner, e1)) * inverse;
        // the quotients are unstable for edge-on faces: clamp to the face
        let u = if u.is_finite() { u.clamp(0.0, 1.0) } else { 1.0 / 3.0 };
        let v = if v.is_finite() { v.clamp(0.0, 1.0 - u) } else { (1.0 - u) / 2.0 };
        let weights = [1.0 - u - v, u, v];
        let position = add(p0, add(scale(e1, u), scale(e2, v)));
        let mut surface = Surface { mesh, camera, face, weights, position, normal: [0.0; 3], pixel, ray };
        let normal = match mesh.normals {
            Some(normals) => surface.interpolate(normals),
            None => cross(e1, e2),
        };
        surface.normal = scale(normal, 1.0 / norm(normal).max(1e-12));
        if two_sided && dot(surface.normal, position) > 0.0 {
            surface.normal = scale(surface.normal, -1.0);
        }
        surface
    }

    /// Interpolates values given per vertex.
    #[inline]
    pub fn interpolate<const N: usize>(&self, values: &[[f32; N]]) -> [f32; N] {
        self.interpolate_corners(self.mesh.faces[self.face].map(|corner| values[corner as usize]))
    }

    #[inline]
    fn interpolate_corners<const N: usize>(&self, [a, b, c]: [[f32; N]; 3]) -> [f32; N] {
        let [wa, wb, wc] = self.weights;
        std::array::from_fn(|i| wa * a[i] + wb * b[i] + wc * c[i])
    }

    /// Change of the point on the surface for one pixel right and one pixel down, meters. Textures blur finer detail: see
    /// [`crate::render::texture`].
    pub fn footprint(&self) -> [Vec3; 2] {
        let [p0, p1, p2] = self.mesh.faces[self.face].map(|corner| self.mesh.positions[corner as usize]);
        let normal = cross(sub(p1, p0), sub(p2, p0));
        // z * ray changes with the ray and with z, which keeps the point on the plane
        let towards_viewer = -1.0 / dot(normal, self.ray);
        let step = |axis: usize, focal: f32| {
            let sideways = self.position[2] / focal;
            let mut moved = scale(self.ray, sideways * normal[axis] * towards_viewer);
            moved[axis] += sideways;
            moved
        };
        [step(0, self.camera.fx), step(1, self.camera.fy)]
    }

    /// Extent of the footprint along two unit axes of the surface, meters: the widths for a texture along these axes.
    pub fn footprint_along(&self, axes: [Vec3; 2]) -> [f32; 2] {
        let [right, down] = self.footprint();
        axes.map(|axis| dot(right, axis).abs() + dot(down, axis).abs())
    }
}
