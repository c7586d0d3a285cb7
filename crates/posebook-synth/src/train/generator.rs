//! Generates training crops: people walking, a camera, a scenery, light, a detection box, and the rendered image.

use super::degrade::{degrade, resize};
use super::mirror::Mirror;
use super::part_map::{CELL_PIXELS, PartMap, ProjectedVertex};
use super::people::{PersonState, Walk, random_stream};
use super::{Example, SynthesisSettings};
use crate::people::{Appearance, Clothes, rest_positions};
use crate::render::{Camera, DrawCall, Mesh, Raster, ShadowMap, Surface, vertex_normals};
use crate::scenery::{CameraView, Scenery};
use posebook_core::geometry::{Vec3, add};
use posebook_core::person::{BBox, SmplParams};
use posebook_core::random::RandomStream;
use posebook_models::body::{Body, PosedBody};
use posebook_models::hmr2::crop::Square;
use std::sync::Arc;

/// Number of walks and sceneries stored for reuse.
const POOL_SIZE: usize = 48;
/// Number of crops generated before the same are used again, mirrored.
const MIRROR_PERIOD: u64 = 512;
/// Width and height of the simulated frames, pixels.
const FRAME_SIZE: [f32; 2] = [640.0, 360.0];

/// Generates crops; each is a function of the seed and its number alone.
pub struct CropGenerator {
    body: Arc<Body>,
    rest: Vec<Vec3>,
    drawing: SynthesisSettings,
    seed: u64,
    side: usize,
    /// [`POOL_SIZE`] walks that crops reuse, and one of [`CropGenerator::observe`].
    walks: Vec<Option<(u64, Walk)>>,
    /// As the walks.
    sceneries: Vec<Option<(u64, Scenery)>>,
    rasters: Vec<Raster>,
    shadows: ShadowMap,
    normals: [Vec<Vec3>; 3],
    mirror: Mirror,
    /// Crops before degradation with their numbers, stored for mirroring.
    clean_examples: Vec<Option<(u64, Example)>>,
}

/// A person in front of the camera.
struct PosedPerson {
    params: SmplParams,
    posed: PosedBody,
    /// Vertices in camera axes, meters.
    vertices: Vec<Vec3>,
    translation: Vec3,
    clothes: Clothes,
}

impl CropGenerator {
    /// A generator of crops `side` pixels wide.
    pub fn new(body: Arc<Body>, drawing: &SynthesisSettings, seed: u64, side: usize) -> CropGenerator {
        CropGenerator {
            rest: rest_positions(&body),
            drawing: drawing.clone(),
            seed,
            side,
            walks: (0..=POOL_SIZE).map(|_| None).collect(),
            sceneries: (0..=POOL_SIZE).map(|_| None).collect(),
            rasters: Vec::new(),
            shadows: ShadowMap::new(96),
            normals: Default::default(),
            mirror: Mirror::new(&body),
            clean_examples: vec![None; MIRROR_PERIOD as usize],
            body,
        }
    }

    /// The crop `number`. Of every 1,024 crops the second half repeats the first half mirrored, with other degradations.
    pub fn generate(&mut self, number: u64) -> Example {
        let (block, within) = (number / (2 * MIRROR_PERIOD), number % (2 * MIRROR_PERIOD));
        let clean = block * MIRROR_PERIOD + within % MIRROR_PERIOD;
        let slot = (within % MIRROR_PERIOD) as usize;
        if self.clean_examples[slot].as_ref().is_none_or(|(held, _)| *held != clean) {
            let example = self.generate_clean(clean, self.drawing.max_facing_angle(2 * clean));
            self.clean_examples[slot] = Some((clean, example));
        }
        let (_, example) = self.clean_examples[slot].as_ref().expect("just generated");
        let mirrored = within >= MIRROR_PERIOD;
        let mut example =
            if mirrored { self.mirror.mirror_example(&self.body, example) } else { example.clone() };
        let mut draws = random_stream(self.seed, "light", number);
        example.rgb = degrade(example.rgb, self.side, &self.drawing, &mut draws);
        example
    }

    /// A crop of the walk `person` in the scenery `place` from a random direction, without degradation; `dressed_as` is the
    /// number of another person whose clothes this one wears. `None` if too little of the person is inside the frame.
    pub fn observe(
        &mut self,
        person: u64,
        place: u64,
        dressed_as: Option<u64>,
        draws: &mut RandomStream,
    ) -> Option<Example> {
        let mut walk = Walk::generate(&self.body, self.seed, person);
        if let Some(other) = dressed_as {
            walk.appearance.clothes = Appearance::sample(self.seed, other).clothes;
        }
        self.walks[POOL_SIZE] = Some((person, walk));
        if self.sceneries[POOL_SIZE].as_ref().is_none_or(|(held, _)| *held != place) {
            self.sceneries[POOL_SIZE] = Some((place, Scenery::sample(self.seed, place, None)));
        }
        self.try_generate(POOL_SIZE, place, std::f64::consts::PI, draws)
    }

    /// The crop `number` before degradation.
    fn generate_clean(&mut self, number: u64, max_facing_angle: f64) -> Example {
        let mut draws = random_stream(self.seed, "crop", number);
        let slot = draws.below(POOL_SIZE);
        let round = number / (POOL_SIZE * self.drawing.pictures_per_walk) as u64;
        self.fill_slot(slot, round);
        loop {
            if let Some(example) = self.try_generate(slot, round, max_facing_angle, &mut draws) {
                return example;
            }
        }
    }

    /// Fills a slot of the pool with the walk and the scenery of this round.
    fn fill_slot(&mut self, slot: usize, round: u64) {
        let number = round * POOL_SIZE as u64 + slot as u64;
        if self.walks[slot].as_ref().is_none_or(|(held, _)| *held != number) {
            self.walks[slot] = Some((number, Walk::generate(&self.body, self.seed, number)));
            self.sceneries[slot] = Some((number, Scenery::sample(self.seed, number, None)));
        }
    }

    /// One crop, or `None` if too little of the person is inside the frame.
    fn try_generate(
        &mut self,
        slot: usize,
        round: u64,
        max_facing_angle: f64,
        draws: &mut RandomStream,
    ) -> Option<Example> {
        let (_, walk) = self.walks[slot].as_ref()?;
        let state = walk.random_state(&self.drawing, draws);
        let view = random_view(&state, max_facing_angle, draws);
        let pelvis = view.to_camera(state.pelvis_in_world);
        let person = self.pose_person(walk, &state, &view, pelvis);
        let full = projected_box(&view.camera, &person.vertices)?;
        let frame = full.clipped_to(FRAME_SIZE[0] as usize, FRAME_SIZE[1] as usize)?;
        if frame.area() < 0.55 * full.area() {
            return None;
        }
        let mut people = vec![person];
        for (share, nearer) in [(self.drawing.occluded, true), (self.drawing.accompanied, false)] {
            if draws.bernoulli(share) {
                people.extend(self.bystander(round, &view, pelvis, nearer, draws));
            }
        }
        let seen = if draws.bernoulli(0.5) { frame } else { full };
        let square = Square::phalp(&jitter_box(&seen, self.drawing.jitter, draws));
        let rgb = self.crop_image(slot, &view, &people, &square, draws);
        let person = &people[0];
        let projected = person.posed.joints44.iter().map(|joint| {
            let point = view.camera.project(add(*joint, person.translation));
            [0, 1].map(|axis| (point[axis] - square.center[axis]) / square.side)
        });
        let projected = projected.collect();
        let part_map = self.part_map(&view.camera, &people, &square);
        Some(Example::new(rgb, self.side, person.params.clone(), &person.posed.joints44, projected, part_map))
    }

    /// The part map of the first person in the square.
    fn part_map(&self, camera: &Camera, people: &[PosedPerson], square: &Square) -> PartMap {
        let mut part_map = PartMap::new(self.side);
        let cells = self.side as f32 / CELL_PIXELS as f32;
        for (i, figure) in people.iter().enumerate() {
            let seen = figure.vertices.iter().map(|vertex| {
                let point = camera.project(*vertex);
                let [x, y] =
                    [0, 1].map(|axis| ((point[axis] - square.center[axis]) / square.side + 0.5) * cells);
                [x, y, vertex[2]]
            });
            let seen: Vec<ProjectedVertex> = seen.collect();
            let pelvis = figure.posed.joints24[0][2] + figure.translation[2];
            part_map.rasterize(&self.body, &self.rest, &seen, (i == 0).then_some(pelvis));
        }
        part_map
    }

    fn pose_person(&self, walk: &Walk, state: &PersonState, view: &CameraView, pelvis: Vec3) -> PosedPerson {
        let (params, posed, translation) = state.in_camera(&self.body, &view.camera_from_world, pelvis);
        let vertices = posed.vertices.iter().map(|vertex| add(*vertex, translation)).collect();
        PosedPerson { params, posed, vertices, translation, clothes: walk.appearance.clothes.clone() }
    }

    /// Another person, nearer to the camera or farther away.
    fn bystander(
        &mut self,
        round: u64,
        view: &CameraView,
        pelvis: Vec3,
        nearer: bool,
        draws: &mut RandomStream,
    ) -> Option<PosedPerson> {
        let slot = draws.below(POOL_SIZE);
        self.fill_slot(slot, round);
        let (_, walk) = self.walks[slot].as_ref()?;
        let state = walk.random_state(&self.drawing, draws);
        let depth = pelvis[2] * if nearer { draws.range(0.6, 0.9) } else { draws.range(1.1, 1.8) } as f32;
        let aside = draws.range(0.25, 0.75) * if draws.bernoulli(0.5) { 1.0 } else { -1.0 };
        let position = [
            pelvis[0] * depth / pelvis[2] + aside as f32 * if nearer { 1.0 } else { 0.8 },
            pelvis[1] * depth / pelvis[2] + (depth - pelvis[2]) * 0.05,
            depth,
        ];
        let figure = self.pose_person(walk, &state, view, position);
        figure.vertices.iter().all(|vertex| vertex[2] > 0.3).then_some(figure)
    }

    /// Renders the square at the network's input size, black outside the frame.
    fn crop_image(
        &mut self,
        slot: usize,
        view: &CameraView,
        people: &[PosedPerson],
        square: &Square,
        draws: &mut RandomStream,
    ) -> Vec<u8> {
        // a person who is small in the frame has no more detail than that
        let natural = (square.side as usize).clamp(self.side / 3, self.side);
        let render_side = if draws.bernoulli(self.drawing.enlarged) { natural } else { self.side };
        let render_side = render_side.div_ceil(8) * 8;
        let zoom = render_side as f32 / square.side;
        let corner = square.center.map(|value| value - square.side / 2.0);
        let camera = Camera {
            fx: view.camera.fx * zoom,
            fy: view.camera.fy * zoom,
            cx: (view.camera.cx - corner[0]) * zoom,
            cy: (view.camera.cy - corner[1]) * zoom,
        };
        let mut rgb = self.render(slot, &CameraView { camera, ..*view }, people, render_side, draws);
        if draws.bernoulli(0.5) {
            blacken_outside_frame(&mut rgb, render_side, corner, zoom);
        }
        resize(&rgb, render_side, self.side)
    }

    fn render(
        &mut self,
        slot: usize,
        view: &CameraView,
        people: &[PosedPerson],
        side: usize,
        draws: &mut RandomStream,
    ) -> Vec<u8> {
        let Some((_, place)) = &self.sceneries[slot] else { return Vec::new() };
        let light = place.light(&view.camera_from_world);
        let faces = &self.body.faces;
        for (figure, normals) in people.iter().zip(&mut self.normals) {
            vertex_normals(&figure.vertices, faces, normals);
        }
        let shadowed = draws.bernoulli(0.7);
        let mesh = |i: usize| Mesh { positions: &people[i].vertices, faces, normals: Some(&self.normals[i]) };
        self.shadows.begin(light.toward);
        if shadowed {
            (0..people.len()).for_each(|i| self.shadows.add_caster(&mesh(i)));
        }
        let (shadows, rest, regions) =
            (&self.shadows, &self.rest, self.body.regions.as_deref().unwrap_or(&[]));
        let shaders: Vec<_> = people
            .iter()
            .map(|figure| {
                move |surface: &Surface| {
                    let region = regions[surface.face];
                    let width = surface.position[2] / surface.camera.fx;
                    let albedo = figure.clothes.albedo(region, surface.interpolate(rest), width);
                    let lit = shadows.sunlit_fraction(surface.position, surface.normal);
                    let gloss = figure.clothes.gloss(region);
                    light.shade_glossy(albedo, surface.normal, surface.position, gloss, lit)
                }
            })
            .collect();
        let drawings: Vec<DrawCall> = shaders
            .iter()
            .enumerate()
            .map(|(i, shade)| DrawCall { mesh: mesh(i), object: None, two_sided: false, shade })
            .collect();
        if !self.rasters.iter().any(|raster| raster.width() == side) {
            self.rasters.push(Raster::new(side, side).parallel(false));
        }
        let raster = self.rasters.iter_mut().find(|raster| raster.width() == side).expect("just made");
        let shadows = shadowed.then_some(shadows);
        raster.render(&view.camera, &drawings, &|pixel| place.color(view, &light, shadows, pixel));
        raster.rgb().to_vec()
    }
}

/// A random camera that sees the person: usually at head height, near or far, wide or narrow. The person faces it up to an
/// angle of `max_facing_angle` radians.
fn random_view(state: &PersonState, max_facing_angle: f64, draws: &mut RandomStream) -> CameraView {
    let pelvis = state.pelvis_in_world;
    let forward = posebook_core::geometry::apply(&state.params.global_orient, [0.0, 0.0, 1.0]);
    let heading = libm::atan2(f64::from(forward[0]), f64::from(forward[2]));
    let focal = FRAME_SIZE[0] / 2.0 / libm::tan(draws.range(0.4, 0.55)) as f32;
    let camera = Camera { fx: focal, fy: focal, cx: FRAME_SIZE[0] / 2.0, cy: FRAME_SIZE[1] / 2.0 };
    let distance = draws.range(3.0, 5.0) * draws.range(1.0, 2.1);
    let around = heading + draws.range(-max_facing_angle, max_facing_angle);
    let usual = draws.bernoulli(0.8);
    let height = if usual { draws.range(1.3, 1.9) } else { draws.range(0.8, 3.0) };
    let eye = [
        pelvis[0] + (distance * libm::sin(around)) as f32,
        height as f32,
        pelvis[2] + (distance * libm::cos(around)) as f32,
    ];
    let half = libm::atan(f64::from(FRAME_SIZE[0] / 2.0 / focal));
    let yaw_to_person = libm::atan2(-libm::sin(around), libm::cos(around));
    // the position of a crop in the frame affects the projection, but the network does not know it: mostly near the center,
    // where the effect is smallest
    let aside =
        if draws.bernoulli(0.75) { draws.range(-0.35, 0.35) } else { draws.range(-0.85, 0.85) } * half;
    let down_to_person = libm::atan2(height - f64::from(pelvis[1]), distance);
    let tilt = if usual { 0.1 + 0.04 * draws.normal() } else { down_to_person + 0.06 * draws.normal() };
    CameraView::looking(eye, yaw_to_person - aside, tilt, camera)
}

/// Bounding box of projected vertices; `None` if one is behind the camera.
fn projected_box(camera: &Camera, vertices: &[Vec3]) -> Option<BBox> {
    let mut bbox = BBox { x1: f32::MAX, y1: f32::MAX, x2: f32::MIN, y2: f32::MIN };
    for vertex in vertices {
        if vertex[2] < 0.2 {
            return None;
        }
        let [x, y] = camera.project(*vertex);
        bbox.x1 = bbox.x1.min(x);
        bbox.x2 = bbox.x2.max(x);
        bbox.y1 = bbox.y1.min(y);
        bbox.y2 = bbox.y2.max(y);
    }
    Some(bbox)
}

/// Shifts each side of a box by normal noise; `size` is the deviation relative to the box.
fn jitter_box(bbox: &BBox, size: f64, draws: &mut RandomStream) -> BBox {
    let mut off = |extent: f32| (size * draws.normal().clamp(-2.5, 2.5)) as f32 * extent;
    let (width, height) = (bbox.width(), bbox.height());
    BBox {
        x1: bbox.x1 + off(width),
        y1: bbox.y1 + off(height),
        x2: bbox.x2 + off(width),
        y2: bbox.y2 + off(height),
    }
}

/// Blackens the pixels outside the frame; `corner` is the frame position of the image's first pixel.
fn blacken_outside_frame(rgb: &mut [u8], side: usize, corner: [f32; 2], zoom: f32) {
    for row in 0..side {
        let y = corner[1] + (row as f32 + 0.5) / zoom;
        for column in 0..side {
            let x = corner[0] + (column as f32 + 0.5) / zoom;
            if !(0.0..FRAME_SIZE[0]).contains(&x) || !(0.0..FRAME_SIZE[1]).contains(&y) {
                rgb[(row * side + column) * 3..][..3].fill(0);
            }
        }
    }
}
