//! Procedural scenery: ground, walls, sky and light.
//!
//! No images are stored: a ray through a pixel hits the ground, a wall or the sky, whose color is a procedural
//! texture. World axes: y up, the ground at y = 0, meters. Does not depend on people.

use crate::render::color::{dim, from_srgb, mix};
use crate::render::texture::{fractal, hash};
use crate::render::{Camera, Light, Pattern, Rgb, ShadowMap, Texture};
use posebook_core::geometry::{Mat3, Vec3, add, apply, scale, sub, transpose};
use posebook_core::random::{self, RandomStream};
use serde::{Deserialize, Serialize};

/// A camera with its pose.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CameraView {
    /// Projection.
    pub camera: Camera,
    /// Rotation from world to camera axes.
    pub camera_from_world: Mat3,
    /// Position, meters.
    pub eye_in_world: Vec3,
}

impl CameraView {
    /// A camera at `eye` that looks `yaw` to the right of -z and `pitch` down, radians.
    pub fn looking(eye: Vec3, yaw: f64, pitch: f64, camera: Camera) -> CameraView {
        let (sy, cy) = (libm::sin(yaw) as f32, libm::cos(yaw) as f32);
        let (sp, cp) = (libm::sin(pitch) as f32, libm::cos(pitch) as f32);
        let right = [cy, 0.0, sy];
        let away = [sy * cp, -sp, -cy * cp];
        let down = [-sy * sp, -cp, cy * sp];
        CameraView { camera, camera_from_world: [right, down, away], eye_in_world: eye }
    }

    /// A point from world to camera axes.
    pub fn to_camera(&self, point_in_world: Vec3) -> Vec3 {
        apply(&self.camera_from_world, sub(point_in_world, self.eye_in_world))
    }
}

/// Kinds of scenery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlaceKind {
    /// A street between house fronts.
    Street,
    /// Grass without walls.
    Park,
    /// Indoors.
    Hall,
    /// A paved square.
    Square,
}

impl PlaceKind {
    /// All kinds.
    pub const ALL: [PlaceKind; 4] = [PlaceKind::Street, PlaceKind::Park, PlaceKind::Hall, PlaceKind::Square];
}

/// One scenery with its colors and light.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenery {
    /// Kind of scenery.
    pub place: PlaceKind,
    ground: Texture,
    /// Cosine and sine of the rotation of the ground texture, so that joints are not parallel to the image.
    turn: [f32; 2],
    wall: Texture,
    plinth: Rgb,
    windows: bool,
    /// Half the side of the square that the walls enclose, meters.
    half: f32,
    wall_height: f32,
    zenith: Rgb,
    horizon: Rgb,
    leaves: [Rgb; 2],
    /// Direction to the sun or lamp, world axes.
    toward: Vec3,
    sun: f32,
    seed: u32,
}

/// Largest length of a ray, meters.
const HORIZON: f32 = 120.0;

impl Scenery {
    /// The scenery `number` under `seed`; `place` is its kind, random if `None`.
    pub fn sample(seed: u64, number: u64, place: Option<PlaceKind>) -> Scenery {
        let mut stream = random::stream(seed, "dataset/scenery", &[number]);
        let drawn = PlaceKind::ALL[stream.below(PlaceKind::ALL.len())];
        let place = place.unwrap_or(drawn);
        let turn = stream.range(0.0, 1.5);
        let (wall, windows) = walls(place, &mut stream);
        let elevation = stream.range(0.6, 1.15);
        // from behind the camera or the side: a sun in the image would leave people dark
        let azimuth = stream.range(-1.9, 1.9);
        let cloud = stream.range(0.0, 1.0) as f32;
        let toward = [
            (libm::cos(elevation) * libm::sin(azimuth)) as f32,
            libm::sin(elevation) as f32,
            (libm::cos(elevation) * libm::cos(azimuth)) as f32,
        ];
        let (half, wall_height) = match place {
            PlaceKind::Street => (stream.range(11.0, 14.0), stream.range(5.0, 9.0)),
            PlaceKind::Hall => (stream.range(10.5, 13.0), 40.0),
            PlaceKind::Square => (stream.range(18.0, 30.0), stream.range(6.0, 12.0)),
            PlaceKind::Park => (90.0, 0.0),
        };
        Scenery {
            place,
            ground: ground(place, &mut stream),
            turn: [libm::cos(turn) as f32, libm::sin(turn) as f32],
            plinth: dim(wall.colors[0], stream.range(0.3, 0.7) as f32),
            wall,
            windows,
            half: half as f32,
            wall_height: wall_height as f32,
            zenith: mix([0.16, 0.32, 0.66], [0.48, 0.52, 0.58], cloud),
            horizon: mix([0.62, 0.74, 0.88], [0.72, 0.74, 0.76], cloud),
            leaves: [shade(&mut stream, [40, 66, 30]), shade(&mut stream, [88, 112, 52])],
            toward,
            sun: 1.0 - 0.55 * cloud,
            seed: stream.next_u64() as u32,
        }
    }

    /// The light in camera axes.
    pub fn light(&self, camera_from_world: &Mat3) -> Light {
        let toward = apply(camera_from_world, self.toward);
        let up = apply(camera_from_world, [0.0, 1.0, 0.0]);
        let mut light = match self.place {
            PlaceKind::Hall => Light::indoors(toward, up),
            _ => Light::outdoors(toward, up),
        };
        light.sun = dim(light.sun, self.sun);
        // clouds scatter part of the sunlight into the sky
        light.sky = dim(light.sky, 1.0 + 0.9 * (1.0 - self.sun));
        light.ground = mix(light.ground, dim(self.ground.colors[0], 0.6), 0.5);
        light
    }

    /// Color of the scenery (without people) at `pixel` of a view; linear light. `shadows` are in camera axes.
    pub fn color(
        &self,
        view: &CameraView,
        light: &Light,
        shadows: Option<&ShadowMap>,
        pixel: [f32; 2],
    ) -> Rgb {
        let ray_in_camera = view.camera.ray(pixel);
        let ray = apply(&transpose(&view.camera_from_world), ray_in_camera);
        let eye = view.eye_in_world;
        let lit = |distance: f32, normal: Vec3| {
            let at = scale(ray_in_camera, distance);
            shadows.map_or(1.0, |map| map.sunlit_fraction(at, apply(&view.camera_from_world, normal)))
        };
        let (wall_distance, axis) = self.wall_along(eye, ray);
        let ground_distance = if ray[1] < -1e-4 { -eye[1] / ray[1] } else { f32::INFINITY };
        let per_pixel = 1.0 / view.camera.fx;
        if ground_distance < wall_distance.min(HORIZON) {
            let at = add(eye, scale(ray, ground_distance));
            let across = ground_distance * per_pixel;
            let along = across * (1.0 / ray[1] / ray[1] + 1.0).sqrt();
            let albedo = self.ground_at(at, across, along, ray);
            let color = light.shade(
                albedo,
                apply(&view.camera_from_world, [0.0, 1.0, 0.0]),
                lit(ground_distance, [0.0, 1.0, 0.0]),
            );
            return self.haze(color, ground_distance);
        }
        let height = eye[1] + ray[1] * wall_distance;
        if wall_distance < HORIZON && height < self.wall_height {
            let at = add(eye, scale(ray, wall_distance));
            let mut normal = [0.0; 3];
            normal[axis] = -at[axis].signum();
            let albedo = self.wall_at(at, axis, wall_distance * per_pixel);
            let color =
                light.shade(albedo, apply(&view.camera_from_world, normal), lit(wall_distance, normal));
            return self.haze(color, wall_distance);
        }
        self.sky(ray, per_pixel)
    }

    /// Distance along a ray (in units of its length) to the enclosing walls, and the axis that they cross.
    fn wall_along(&self, eye: Vec3, ray: Vec3) -> (f32, usize) {
        let to = |axis: usize| {
            let distance = (self.half * ray[axis].signum() - eye[axis]) / ray[axis];
            if distance.is_finite() && distance > 0.0 { distance } else { f32::INFINITY }
        };
        let (x, z) = (to(0), to(2));
        if x < z { (x, 0) } else { (z, 2) }
    }

    fn ground_at(&self, at: Vec3, across: f32, along: f32, ray: Vec3) -> Rgb {
        let [c, s] = self.turn;
        let uv = [c * at[0] + s * at[2], c * at[2] - s * at[0]];
        // share of the view direction along each of the texture's axes
        let flat = (ray[0] * ray[0] + ray[2] * ray[2]).sqrt().max(1e-6);
        let (du, dv) = ((c * ray[0] + s * ray[2]).abs() / flat, (c * ray[2] - s * ray[0]).abs() / flat);
        let width = [across + (along - across) * du, across + (along - across) * dv];
        let worn = fractal(self.seed, [uv[0] * 0.35, uv[1] * 0.35], along * 0.35, 2);
        dim(self.ground.color_at(uv, width), 0.85 + 0.3 * worn)
    }

    fn wall_at(&self, at: Vec3, axis: usize, width: f32) -> Rgb {
        let side = if at[axis] > 0.0 { 1 } else { 2 } + axis as i32;
        let uv = [at[2 - axis], at[1]];
        let plinth_height = match (self.place, self.windows) {
            (PlaceKind::Hall, _) => 0.12,
            (_, true) => 0.5,
            _ => 0.0,
        };
        let base = self.wall.color_at(uv, [width; 2]);
        let stains = 0.8 + 0.4 * fractal(self.seed ^ 0x77, [uv[0] * 0.4, uv[1] * 0.7], width * 0.7, 6);
        let above = ((at[1] - plinth_height) / width + 0.5).clamp(0.0, 1.0);
        let wall = mix(self.plinth, dim(base, stains), above);
        self.opening(uv, side, width).map_or(wall, |(color, inside)| mix(wall, color, inside))
    }

    /// Windows in rows, or posters: their color, and the share of a pixel of `width` meters that they cover.
    fn opening(&self, uv: [f32; 2], side: i32, width: f32) -> Option<(Rgb, f32)> {
        let (pitch, size) = if self.windows { ([2.6, 2.9], [1.3, 1.7]) } else { ([3.4, 40.0], [1.1, 1.5]) };
        let base = if self.windows { 1.1 } else { 0.9 };
        let cell = [(uv[0] / pitch[0]).floor(), ((uv[1] - base + 0.5) / pitch[1]).floor()];
        let bits = hash(self.seed ^ side as u32, cell[0] as i32, cell[1] as i32);
        let at = [uv[0] - cell[0] * pitch[0] - 0.5, uv[1] - base - cell[1] * pitch[1]];
        // distance to the edge, positive inside
        let edge = at[0].min(size[0] - at[0]).min(at[1]).min(size[1] - at[1]);
        let soft = |distance: f32| (distance / width + 0.5).clamp(0.0, 1.0);
        let inside = soft(edge);
        if !self.windows && bits.is_multiple_of(3) || inside == 0.0 {
            return None;
        }
        let tone = (bits >> 8 & 255) as f32 / 255.0;
        if self.windows {
            let pane = edge.min((at[0] - size[0] / 2.0).abs() + 0.025) - 0.06;
            let glass = mix([0.03, 0.04, 0.05], self.horizon, 0.15 + 0.35 * tone * at[1] / size[1]);
            return Some((mix([0.62, 0.60, 0.56], glass, soft(pane)), inside));
        }
        let hue = [tone, (bits >> 16 & 255) as f32 / 255.0, (bits >> 24) as f32 / 255.0];
        let print = fractal(bits, [at[0] * 4.0, at[1] * 4.0], width * 4.0, 4);
        Some((mix([0.8; 3], dim(mix([0.5; 3], hue, 0.7), 0.3 + print), soft(edge - 0.05)), inside))
    }

    fn sky(&self, ray: Vec3, per_pixel: f32) -> Rgb {
        let flat = (ray[0] * ray[0] + ray[2] * ray[2]).sqrt().max(1e-6);
        let slope = ray[1] / flat;
        let around = [ray[0] / flat * 3.0, ray[2] / flat * 3.0];
        if self.place != PlaceKind::Hall {
            // trees or hills on the horizon, with a rough upper edge
            let crown = fractal(self.seed ^ 0x1f, [around[0] * 3.0 + around[1] * 5.0, 0.0], 0.0, 5);
            let top = 0.02 + if self.place == PlaceKind::Park { 0.28 * crown } else { 0.10 * crown };
            let covered = ((top - slope) / per_pixel + 0.5).clamp(0.0, 1.0);
            if covered > 0.0 {
                let leaf = [around[0] * 26.0 + around[1] * 17.0, slope * 90.0];
                let tone = fractal(self.seed ^ 0x2f, leaf, 0.0, 5);
                let tree = mix(self.leaves[0], self.leaves[1], (tone * 1.6 - 0.3).clamp(0.0, 1.0));
                let air = self.open_sky(slope, around);
                return mix(air, mix(tree, self.horizon, 0.12), covered);
            }
        }
        self.open_sky(slope, around)
    }

    fn open_sky(&self, slope: f32, around: [f32; 2]) -> Rgb {
        let sky = mix(self.horizon, self.zenith, (slope * 1.4).clamp(0.0, 1.0));
        let cloud = fractal(self.seed ^ 0x3f, [around[0], slope * 6.0 + around[1]], 0.0, 4);
        mix(sky, [0.9, 0.9, 0.9], ((cloud - 0.5) * 2.5).clamp(0.0, 0.8))
    }

    fn haze(&self, color: Rgb, distance: f32) -> Rgb {
        if self.place == PlaceKind::Hall {
            color
        } else {
            mix(color, self.horizon, (distance / 250.0).min(0.35))
        }
    }
}

fn shade(stream: &mut RandomStream, srgb: [u8; 3]) -> Rgb {
    let by = stream.range(0.75, 1.3) as f32;
    dim(from_srgb(srgb), by)
}

fn ground(place: PlaceKind, stream: &mut RandomStream) -> Texture {
    let choices: &[(Pattern, [[u8; 3]; 2], f64)] = match place {
        PlaceKind::Park => &[
            (Pattern::Grass, [[58, 92, 34], [112, 138, 58]], 0.5),
            (Pattern::Grass, [[92, 96, 48], [140, 132, 78]], 0.5),
        ],
        PlaceKind::Street => &[
            (Pattern::Asphalt, [[92, 92, 94], [120, 118, 114]], 0.5),
            (Pattern::Tiles, [[150, 146, 138], [104, 100, 94]], 0.6),
        ],
        PlaceKind::Hall => &[
            (Pattern::Planks, [[164, 120, 76], [70, 46, 28]], 0.18),
            (Pattern::Tiles, [[196, 192, 184], [120, 116, 110]], 0.5),
            (Pattern::Checks, [[188, 184, 176], [92, 88, 84]], 0.5),
        ],
        PlaceKind::Square => &[
            (Pattern::Tiles, [[168, 158, 142], [110, 102, 92]], 0.8),
            (Pattern::Bricks, [[150, 104, 84], [128, 116, 106]], 0.12),
        ],
    };
    let (pattern, colors, size) = choices[stream.below(choices.len())];
    Texture {
        pattern,
        colors: colors.map(|c| shade(stream, c)),
        scale: (size * stream.range(0.8, 1.25)) as f32,
        seed: stream.next_u64() as u32,
    }
}

/// The walls' texture, and whether they have windows.
fn walls(place: PlaceKind, stream: &mut RandomStream) -> (Texture, bool) {
    let colors =
        [[158, 96, 74], [196, 178, 148], [176, 172, 166], [204, 190, 160], [140, 146, 150], [188, 148, 120]];
    let bare = colors[stream.below(colors.len())];
    let color = shade(stream, bare);
    let brick = place != PlaceKind::Hall && stream.bernoulli(0.5);
    let (pattern, scale) = if brick { (Pattern::Bricks, 0.09) } else { (Pattern::Mottled, 0.12) };
    let joint = mix(color, [0.5; 3], 0.6);
    let texture = Texture { pattern, colors: [color, joint], scale, seed: stream.next_u64() as u32 };
    (texture, place != PlaceKind::Hall && stream.bernoulli(0.8))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> CameraView {
        let camera = Camera { fx: 600.0, fy: 600.0, cx: 320.0, cy: 180.0 };
        CameraView::looking([0.0, 1.5, 0.0], 0.3, 0.1, camera)
    }

    #[test]
    fn a_view_is_a_rotation_and_looks_along_z() {
        let m = view().camera_from_world;
        let determinant = posebook_core::geometry::dot(posebook_core::geometry::cross(m[0], m[1]), m[2]);
        assert!((determinant - 1.0).abs() < 1e-6);
        let ahead = view().to_camera([3.0, 1.5, -10.0]);
        assert!(ahead[2] > 10.0 && ahead[0].abs() < 0.2 && ahead[1] < 0.0, "{ahead:?}");
        let right = view().to_camera([6.0, 0.0, -8.0]);
        assert!(right[0] > 0.0 && right[1] > 0.0);
    }

    #[test]
    fn every_scenery_has_colors_in_range() {
        for number in 0..24 {
            let scenery = Scenery::sample(3, number, None);
            let view = view();
            let light = scenery.light(&view.camera_from_world);
            for i in 0..400 {
                let pixel = [(i % 20) as f32 * 32.0, (i / 20) as f32 * 18.0];
                let color = scenery.color(&view, &light, None, pixel);
                assert!(color.iter().all(|c| (0.0..3.0).contains(c)), "{number}: {color:?} at {pixel:?}");
            }
        }
    }
}
