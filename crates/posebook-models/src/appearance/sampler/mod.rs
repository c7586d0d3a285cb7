//! The texture that a crop shows of a posed body (4D-Humans' `HMR2023TextureSampler`).
//!
//! In: UV maps, a body's vertices, HMR2's camera in the crop, and the crop with the person's mask; out: a
//! [`UvMap`]. A texel is seen if its point is at most 0.1 mm behind the depth map, read
//! between pixels, and the mask is on there. In concave folds that fails for strips of texels, and at silhouettes, where depths
//! of body and background are mixed, points behind the body pass; the published encoder was trained with that.
//!
//! A body that is wholly or partly behind the camera, beyond 100 m, or not finite gives a map in which those texels are not
//! seen.

mod depth;
mod picture;

pub use depth::DepthMap;
pub use picture::Picture;

use super::AppearanceError;
use super::maps::{Texel, UvMaps};
use crate::hmr2::camera::{FOCAL_LENGTH, translation_in_crop};
use posebook_core::appearance::{UV_TEXELS, UvMap};
use posebook_core::geometry::Vec3;

/// Side of the crop and of its depth map, pixels.
pub const CROP_SIDE: usize = 256;
/// How far behind the depth map a point may be to be visible, meters.
const DEPTH_TOLERANCE: f64 = 1e-4;

/// A body in front of its crop's camera, with its depth map.
pub struct Scene<'a> {
    maps: &'a UvMaps,
    /// In the camera's axes (V), meters.
    vertices: Vec<Vec3>,
    depth: DepthMap,
}

/// Where a texel is in the crop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TexelView {
    /// Position in the crop, pixels; the center of pixel i is at i.
    pub position: [f64; 2],
    /// Its depth, meters.
    pub depth: f64,
    /// The depth map at its position, meters.
    pub drawn_depth: f64,
}

impl TexelView {
    /// Whether nothing lies before it.
    pub fn is_visible(&self) -> bool {
        self.depth > depth::NEAR && self.depth <= self.drawn_depth + DEPTH_TOLERANCE
    }
}

/// Projects a point in the camera's axes to the crop, pixels. HMR2's camera maps the axis to 128 in a picture whose pixel i
/// covers i to i + 1; the center of pixel i is at i here, half a pixel less.
fn project([x, y, z]: [f64; 3]) -> [f64; 2] {
    let focal = f64::from(FOCAL_LENGTH);
    let middle = CROP_SIDE as f64 / 2.0 - 0.5;
    [focal * x / z + middle, focal * y / z + middle]
}

impl<'a> Scene<'a> {
    /// Moves a posed body's vertices (V) before HMR2's camera of the crop, and draws its depth map.
    ///
    /// # Errors
    /// [`AppearanceError::OtherMesh`] if the maps are of a mesh with another number of vertices.
    pub fn new(
        maps: &'a UvMaps,
        vertices: &[Vec3],
        crop_camera: [f32; 3],
    ) -> Result<Scene<'a>, AppearanceError> {
        let (expected, found) = (maps.vertex_count(), vertices.len());
        if expected != found {
            return Err(AppearanceError::OtherMesh { expected, found });
        }
        let translation = translation_in_crop(crop_camera, CROP_SIDE);
        let vertices: Vec<Vec3> = vertices
            .iter()
            .map(|vertex| std::array::from_fn(|axis| vertex[axis] + translation[axis]))
            .collect();
        let depth = DepthMap::draw(&vertices, maps.faces());
        Ok(Scene { maps, vertices, depth })
    }

    /// The depth map of the crop.
    pub fn depth(&self) -> &DepthMap {
        &self.depth
    }

    /// The pixels of the crop that the body covers: 255, else 0, row by row.
    pub fn silhouette(&self) -> Vec<u8> {
        let is_drawn = |&depth: &f32| if f64::from(depth) < depth::FAR { 255 } else { 0 };
        self.depth.depths().iter().map(is_drawn).collect()
    }

    /// Projects a texel of the maps to the crop.
    pub fn view(&self, texel: &Texel) -> TexelView {
        let mut point = [0.0; 3];
        for (&corner, &weight) in self.maps.faces()[texel.face as usize].iter().zip(&texel.weights) {
            let vertex = self.vertices[corner as usize];
            point
                .iter_mut()
                .zip(vertex)
                .for_each(|(sum, value)| *sum += f64::from(weight) * f64::from(value));
        }
        let position = project(point);
        TexelView { position, depth: point[2], drawn_depth: self.depth.interpolated(position) }
    }

    /// The texture: colors from `picture` of all visible texels.
    pub fn sample(&self, picture: &Picture) -> UvMap {
        let mut map = UvMap::empty();
        let values = map.values_mut();
        for texel in self.maps.texels() {
            let view = self.view(texel);
            if view.is_visible() {
                let processed = process_texel(picture.interpolated(view.position));
                for (plane, value) in processed.into_iter().enumerate() {
                    values[plane * UV_TEXELS + texel.index as usize] = value;
                }
            }
        }
        map
    }
}

/// A texel as the encoder reads it: colors divided by 5 and a mask of 1 where the mask is not 0, else colors of 0 and a mask of
/// -1 (PHALP's `process_uv_image`).
pub fn process_texel([red, green, blue, mask]: [f32; 4]) -> [f32; 4] {
    match mask == 0.0 {
        true => [0.0, 0.0, 0.0, -1.0],
        false => [red / 5.0, green / 5.0, blue / 5.0, 1.0],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Body;

    fn body_in_rest() -> (UvMaps, Vec<Vec3>) {
        let body = Body::built_in();
        (UvMaps::bake(&body).unwrap(), body.shape_vertices(&[0.0; 10]))
    }

    fn picture() -> Picture {
        Picture::from_crop(&vec![200; CROP_SIDE * CROP_SIDE * 3], None).unwrap()
    }

    fn seen(vertices: &[Vec3], maps: &UvMaps, camera: [f32; 3]) -> usize {
        let map = Scene::new(maps, vertices, camera).unwrap().sample(&picture());
        assert!(map.values().iter().all(|value| value.is_finite()));
        map.seen_texels()
    }

    #[test]
    fn about_half_of_a_body_is_seen() {
        let (maps, vertices) = body_in_rest();
        let all = maps.texels().len();
        let seen = seen(&vertices, &maps, [0.9, 0.0, 0.3]);
        assert!(seen > all / 3 && seen < 3 * all / 4, "{seen} of {all}");
    }

    #[test]
    fn a_body_that_cannot_be_seen_gives_an_empty_map() {
        let (maps, vertices) = body_in_rest();
        for camera in [
            [0.35, 0.0, 0.3], // beyond 100 m
            [-0.9, 0.0, 0.3], // behind the camera
            [0.9, 40.0, 0.3], // beside the crop
            [0.0, 0.0, 0.0],
            [f32::NAN, 0.0, 0.0],
            [0.9, f32::INFINITY, 0.0],
            [1e30, 0.0, 0.0], // the camera is inside of the body
        ] {
            let found = seen(&vertices, &maps, camera);
            assert!(found == 0 || camera[0] == 1e30, "{found} texels with {camera:?}");
        }
        let lost: Vec<Vec3> = vertices.iter().map(|_| [f32::NAN; 3]).collect();
        assert_eq!(seen(&lost, &maps, [0.9, 0.0, 0.3]), 0);
        assert!(matches!(
            Scene::new(&maps, &vertices[1..], [0.9, 0.0, 0.3]),
            Err(AppearanceError::OtherMesh { found: 2599, .. })
        ));
    }

    #[test]
    fn single_vertices_that_are_not_finite_hide_only_what_they_touch() {
        let (maps, mut vertices) = body_in_rest();
        let before = seen(&vertices, &maps, [0.9, 0.0, 0.3]);
        vertices[100] = [f32::NAN; 3];
        vertices[1500] = [f32::INFINITY, 0.0, 0.0];
        let after = seen(&vertices, &maps, [0.9, 0.0, 0.3]);
        assert!(after > before / 2, "{after} of {before}");
    }
}
