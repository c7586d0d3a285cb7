//! What a shader is told about the point it colours. Must not know how the point was found.

use super::{Camera, Mesh};
use crate::geometry::{Vec3, add, cross, dot, norm, scale, sub};

/// The point of a triangle that is seen through a pixel.
pub struct Surface<'a> {
    pub mesh: &'a Mesh<'a>,
    pub camera: &'a Camera,
    /// Which of the mesh's faces.
    pub face: usize,
    /// Barycentric weights of the face's corners on the surface itself (perspective-correct); sum 1.
    pub weights: Vec3,
    /// Camera axes, metres.
    pub position: Vec3,
    /// Unit normal in camera axes: interpolated where the mesh has normals, else the face's own;
    /// on two-sided draws always on the viewer's side.
    pub normal: Vec3,
    /// Where on the picture, pixels.
    pub pixel: [f32; 2],
    /// The direction it is seen in, z = 1.
    ray: Vec3,
}

impl<'a> Surface<'a> {
    /// Where the ray through `pixel` meets the plane of a face (Möller and Trumbore 1997). Working on the
    /// face itself rather than on its clipped pieces, the answer is perspective-correct by construction.
    #[inline]
    pub(super) fn at(
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
        // edge-on faces make the quotients wild: stay on the face
        let u = if u.is_finite() { u.clamp(0.0, 1.0) } else { 1.0 / 3.0 };
        let v = if v.is_finite() { v.clamp(0.0, 1.0 - u) } else { (1.0 - u) / 2.0 };
        let weights = [1.0 - u - v, u, v];
        let position = add(p0, add(scale(e1, u), scale(e2, v)));
        let mut surface = Surface { mesh, camera, face, weights, position, normal: [0.0; 3], pixel, ray };
        let normal = match mesh.normals {
            Some(normals) => surface.of_vertices(normals),
            None => cross(e1, e2),
        };
        surface.normal = scale(normal, 1.0 / norm(normal).max(1e-12));
        if two_sided && dot(surface.normal, position) > 0.0 {
            surface.normal = scale(surface.normal, -1.0);
        }
        surface
    }

    /// What one value per vertex of the mesh comes to here.
    #[inline]
    pub fn of_vertices<const N: usize>(&self, values: &[[f32; N]]) -> [f32; N] {
        self.of_face(self.mesh.faces[self.face].map(|corner| values[corner as usize]))
    }

    /// What one value per corner of every face comes to here (an atlas with seams).
    #[inline]
    pub fn of_corners<const N: usize>(&self, values: &[[[f32; N]; 3]]) -> [f32; N] {
        self.of_face(values[self.face])
    }

    /// What one value per point of an atlas comes to here; `faces` names the points of every face's corners.
    #[inline]
    pub fn of_atlas<const N: usize>(&self, points: &[[f32; N]], faces: &[[u32; 3]]) -> [f32; N] {
        self.of_face(faces[self.face].map(|corner| points[corner as usize]))
    }

    #[inline]
    fn of_face<const N: usize>(&self, [a, b, c]: [[f32; N]; 3]) -> [f32; N] {
        let [wa, wb, wc] = self.weights;
        std::array::from_fn(|i| wa * a[i] + wb * b[i] + wc * c[i])
    }

    /// How far the point moves on the surface for one pixel right and one pixel down, metres. Textures
    /// blur what is finer: see [`crate::render::texture`].
    pub fn footprint(&self) -> [Vec3; 2] {
        let [p0, p1, p2] = self.mesh.faces[self.face].map(|corner| self.mesh.positions[corner as usize]);
        let normal = cross(sub(p1, p0), sub(p2, p0));
        // z * ray moves with the ray and with z, which keeps the point on the plane
        let towards_viewer = -1.0 / dot(normal, self.ray);
        let step = |axis: usize, focal: f32| {
            let sideways = self.position[2] / focal;
            let mut moved = scale(self.ray, sideways * normal[axis] * towards_viewer);
            moved[axis] += sideways;
            moved
        };
        [step(0, self.camera.fx), step(1, self.camera.fy)]
    }

    /// The footprint's extent along two unit axes of the surface, metres: the widths to blur a texture by
    /// that runs along them.
    pub fn footprint_along(&self, axes: [Vec3; 2]) -> [f32; 2] {
        let [right, down] = self.footprint();
        axes.map(|axis| dot(right, axis).abs() + dot(down, axis).abs())
    }
}
