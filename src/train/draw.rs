//! Drawing a crop: people from their ways, a camera, a place, light, the box, the picture.

use super::chart::{CELL, Chart, Seen};
use super::degrade::{degrade, resized};
use super::mirror::Mirror;
use super::people::{Moment, Walk, draws};
use super::{Drawing, Example};
use crate::body::{Body, Posed};
use crate::dataset::people::{Clothes, rest_positions};
use crate::dataset::scenery::{Scenery, View};
use crate::geometry::{Vec3, add};
use crate::hmr2::crop::Square;
use crate::person::{BBox, SmplParams};
use crate::random::Stream;
use crate::render::{Camera, Draw, Mesh, Raster, ShadowMap, Surface, vertex_normals};
use std::sync::Arc;

/// Walks and places kept at hand; the oldest goes when its pictures are taken.
const POOL: usize = 48;
/// Pictures drawn one after the other before the same are seen in a mirror.
const BEFORE_MIRROR: u64 = 512;
/// Width and height of the frames that crops are thought to be cut from, pixels.
const FRAME: [f32; 2] = [640.0, 360.0];

/// Draws crops, each from its number alone.
pub struct Artist {
    body: Arc<Body>,
    rest: Vec<Vec3>,
    drawing: Drawing,
    seed: u64,
    side: usize,
    walks: Vec<Option<(u64, Walk)>>,
    places: Vec<Option<(u64, Scenery)>>,
    rasters: Vec<Raster>,
    shadows: ShadowMap,
    normals: [Vec<Vec3>; 3],
    mirror: Mirror,
    /// Clean pictures by their numbers, kept for the mirror.
    kept: Vec<Option<(u64, Example)>>,
}

/// A person before a camera.
struct Figure {
    params: SmplParams,
    posed: Posed,
    /// The vertices in camera axes.
    vertices: Vec<Vec3>,
    translation: Vec3,
    clothes: Clothes,
}

impl Artist {
    /// An artist whose crops are `side` pixels wide.
    pub fn new(body: Arc<Body>, drawing: &Drawing, seed: u64, side: usize) -> Artist {
        Artist {
            rest: rest_positions(&body),
            drawing: drawing.clone(),
            seed,
            side,
            walks: (0..POOL).map(|_| None).collect(),
            places: (0..POOL).map(|_| None).collect(),
            rasters: Vec::new(),
            shadows: ShadowMap::new(96),
            normals: Default::default(),
            mirror: Mirror::of(&body),
            kept: vec![None; BEFORE_MIRROR as usize],
            body,
        }
    }

    /// The crop `number`: of every 1,024 the latter half are the former in a mirror, in another light, with
    /// other noise.
    pub fn draw(&mut self, number: u64) -> Example {
        let (block, within) = (number / (2 * BEFORE_MIRROR), number % (2 * BEFORE_MIRROR));
        let clean = block * BEFORE_MIRROR + within % BEFORE_MIRROR;
        let slot = (within % BEFORE_MIRROR) as usize;
        if self.kept[slot].as_ref().is_none_or(|(held, _)| *held != clean) {
            let drawn = self.clean(clean, self.drawing.most_turned(2 * clean));
            self.kept[slot] = Some((clean, drawn));
        }
        let (_, example) = self.kept[slot].as_ref().expect("just drawn");
        let mirrored = within >= BEFORE_MIRROR;
        let mut example = if mirrored { self.mirror.example(&self.body, example) } else { example.clone() };
        let mut draws = draws(self.seed, "light", number);
        example.rgb = degrade(example.rgb, self.side, &self.drawing, &mut draws);
        example
    }

    /// The picture `number` as drawn.
    fn clean(&mut self, number: u64, most_turned: f64) -> Example {
        let mut draws = draws(self.seed, "crop", number);
        let slot = draws.below(POOL);
        let round = number / (POOL * self.drawing.pictures_per_walk) as u64;
        self.prepare(slot, round);
        loop {
            if let Some(example) = self.attempt(slot, round, most_turned, &mut draws) {
                return example;
            }
        }
    }

    /// Makes sure of the walk and the place in a slot of the pool.
    fn prepare(&mut self, slot: usize, round: u64) {
        let number = round * POOL as u64 + slot as u64;
        if self.walks[slot].as_ref().is_none_or(|(held, _)| *held != number) {
            self.walks[slot] = Some((number, Walk::draw(&self.body, self.seed, number)));
            self.places[slot] = Some((number, Scenery::draw(self.seed, number, None)));
        }
    }

    /// One crop, or none if the person is not well in the frame.
    fn attempt(&mut self, slot: usize, round: u64, most_turned: f64, draws: &mut Stream) -> Option<Example> {
        let (_, walk) = self.walks[slot].as_ref()?;
        let moment = walk.moment(&self.drawing, draws);
        let view = view_of(&moment, most_turned, draws);
        let pelvis = view.see(moment.pelvis_in_world);
        let person = self.figure(walk, &moment, &view, pelvis);
        let full = box_of(&view.camera, &person.vertices)?;
        let frame = full.inside(FRAME[0] as usize, FRAME[1] as usize)?;
        if frame.area() < 0.55 * full.area() {
            return None;
        }
        let mut people = vec![person];
        for (share, nearer) in [(self.drawing.occluded, true), (self.drawing.accompanied, false)] {
            if draws.chance(share) {
                people.extend(self.other(round, &view, pelvis, nearer, draws));
            }
        }
        let seen = if draws.chance(0.5) { frame } else { full };
        let square = Square::of_phalp(&jittered(&seen, self.drawing.jitter, draws));
        let rgb = self.picture(slot, &view, &people, &square, draws);
        let person = &people[0];
        let projected = person.posed.joints44.iter().map(|joint| {
            let at = view.camera.project(add(*joint, person.translation));
            [0, 1].map(|axis| (at[axis] - square.center[axis]) / square.side)
        });
        let projected = projected.collect();
        let chart = self.chart(&view.camera, &people, &square);
        Some(Example::new(rgb, self.side, person.params.clone(), &person.posed.joints44, projected, chart))
    }

    /// Which part of the first person each cell of the square shows.
    fn chart(&self, camera: &Camera, people: &[Figure], square: &Square) -> Chart {
        let mut chart = Chart::new(self.side);
        let cells = self.side as f32 / CELL as f32;
        for (i, figure) in people.iter().enumerate() {
            let seen = figure.vertices.iter().map(|vertex| {
                let at = camera.project(*vertex);
                let [x, y] =
                    [0, 1].map(|axis| ((at[axis] - square.center[axis]) / square.side + 0.5) * cells);
                [x, y, vertex[2]]
            });
            let seen: Vec<Seen> = seen.collect();
            let pelvis = figure.posed.joints24[0][2] + figure.translation[2];
            chart.draw(&self.body, &self.rest, &seen, (i == 0).then_some(pelvis));
        }
        chart
    }

    fn figure(&self, walk: &Walk, moment: &Moment, view: &View, pelvis: Vec3) -> Figure {
        let (params, posed, translation) = moment.seen(&self.body, &view.camera_from_world, pelvis);
        let vertices = posed.vertices.iter().map(|vertex| add(*vertex, translation)).collect();
        Figure { params, posed, vertices, translation, clothes: walk.look.clothes.clone() }
    }

    /// Somebody else beside the person, nearer to the camera or farther away.
    fn other(
        &mut self,
        round: u64,
        view: &View,
        pelvis: Vec3,
        nearer: bool,
        draws: &mut Stream,
    ) -> Option<Figure> {
        let slot = draws.below(POOL);
        self.prepare(slot, round);
        let (_, walk) = self.walks[slot].as_ref()?;
        let moment = walk.moment(&self.drawing, draws);
        let depth = pelvis[2] * if nearer { draws.range(0.6, 0.9) } else { draws.range(1.1, 1.8) } as f32;
        let aside = draws.range(0.25, 0.75) * if draws.chance(0.5) { 1.0 } else { -1.0 };
        let at = [
            pelvis[0] * depth / pelvis[2] + aside as f32 * if nearer { 1.0 } else { 0.8 },
            pelvis[1] * depth / pelvis[2] + (depth - pelvis[2]) * 0.05,
            depth,
        ];
        let figure = self.figure(walk, &moment, view, at);
        figure.vertices.iter().all(|vertex| vertex[2] > 0.3).then_some(figure)
    }

    /// The picture of the square, black outside the frame, as large as the network wants it.
    fn picture(
        &mut self,
        slot: usize,
        view: &View,
        people: &[Figure],
        square: &Square,
        draws: &mut Stream,
    ) -> Vec<u8> {
        // a person who was small in the frame has no more detail than that
        let natural = (square.side as usize).clamp(self.side / 3, self.side);
        let drawn = if draws.chance(self.drawing.enlarged) { natural } else { self.side };
        let drawn = drawn.div_ceil(8) * 8;
        let zoom = drawn as f32 / square.side;
        let corner = square.center.map(|at| at - square.side / 2.0);
        let camera = Camera {
            fx: view.camera.fx * zoom,
            fy: view.camera.fy * zoom,
            cx: (view.camera.cx - corner[0]) * zoom,
            cy: (view.camera.cy - corner[1]) * zoom,
        };
        let mut rgb = self.rendered(slot, &View { camera, ..*view }, people, drawn, draws);
        if draws.chance(0.5) {
            blacken(&mut rgb, drawn, corner, zoom);
        }
        resized(&rgb, drawn, self.side)
    }

    fn rendered(
        &mut self,
        slot: usize,
        view: &View,
        people: &[Figure],
        side: usize,
        draws: &mut Stream,
    ) -> Vec<u8> {
        let Some((_, place)) = &self.places[slot] else { return Vec::new() };
        let light = place.light(&view.camera_from_world);
        let faces = &self.body.faces;
        for (figure, normals) in people.iter().zip(&mut self.normals) {
            vertex_normals(&figure.vertices, faces, normals);
        }
        let shadowed = draws.chance(0.7);
        let mesh = |i: usize| Mesh { positions: &people[i].vertices, faces, normals: Some(&self.normals[i]) };
        self.shadows.begin(light.toward);
        if shadowed {
            (0..people.len()).for_each(|i| self.shadows.cast(&mesh(i)));
        }
        let (shadows, rest, regions) =
            (&self.shadows, &self.rest, self.body.regions.as_deref().unwrap_or(&[]));
        let shaders: Vec<_> = people
            .iter()
            .map(|figure| {
                move |surface: &Surface| {
                    let region = regions[surface.face];
                    let width = surface.position[2] / surface.camera.fx;
                    let albedo = figure.clothes.albedo(region, surface.of_vertices(rest), width);
                    let lit = shadows.lit(surface.position, surface.normal);
                    let gloss = figure.clothes.gloss(region);
                    light.shade_glossy(albedo, surface.normal, surface.position, gloss, lit)
                }
            })
            .collect();
        let drawings: Vec<Draw> = shaders
            .iter()
            .enumerate()
            .map(|(i, shade)| Draw { mesh: mesh(i), object: None, two_sided: false, shade })
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

/// A camera that has a person somewhere in its frame: as high as a face or a lamp post, near or far, wide
/// or narrow, the person turned from facing it by `most_turned` radians at most.
fn view_of(moment: &Moment, most_turned: f64, draws: &mut Stream) -> View {
    let pelvis = moment.pelvis_in_world;
    let forward = crate::geometry::apply(&moment.params.global_orient, [0.0, 0.0, 1.0]);
    let heading = libm::atan2(f64::from(forward[0]), f64::from(forward[2]));
    let focal = FRAME[0] / 2.0 / libm::tan(draws.range(0.4, 0.55)) as f32;
    let camera = Camera { fx: focal, fy: focal, cx: FRAME[0] / 2.0, cy: FRAME[1] / 2.0 };
    let distance = draws.range(3.0, 5.0) * draws.range(1.0, 2.1);
    let around = heading + draws.range(-most_turned, most_turned);
    let usual = draws.chance(0.8);
    let height = if usual { draws.range(1.3, 1.9) } else { draws.range(0.8, 3.0) };
    let eye = [
        pelvis[0] + (distance * libm::sin(around)) as f32,
        height as f32,
        pelvis[2] + (distance * libm::cos(around)) as f32,
    ];
    let half = libm::atan(f64::from(FRAME[0] / 2.0 / focal));
    let yaw_to_person = libm::atan2(-libm::sin(around), libm::cos(around));
    // what a crop cannot tell is where in the frame it was cut: mostly near the middle, where that matters
    // least, so that less is asked that cannot be known
    let aside = if draws.chance(0.75) { draws.range(-0.35, 0.35) } else { draws.range(-0.85, 0.85) } * half;
    let down_to_person = libm::atan2(height - f64::from(pelvis[1]), distance);
    let tilt = if usual { 0.1 + 0.04 * draws.normal() } else { down_to_person + 0.06 * draws.normal() };
    View::at(eye, yaw_to_person - aside, tilt, camera)
}

/// The box around projected vertices; none if one is behind the camera.
fn box_of(camera: &Camera, vertices: &[Vec3]) -> Option<BBox> {
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

/// A box whose sides are off by a deviation of `size` of its own.
fn jittered(bbox: &BBox, size: f64, draws: &mut Stream) -> BBox {
    let mut off = |extent: f32| (size * draws.normal().clamp(-2.5, 2.5)) as f32 * extent;
    let (width, height) = (bbox.width(), bbox.height());
    BBox {
        x1: bbox.x1 + off(width),
        y1: bbox.y1 + off(height),
        x2: bbox.x2 + off(width),
        y2: bbox.y2 + off(height),
    }
}

/// Blackens what lies outside the frame; `corner` is the picture's first pixel in the frame.
fn blacken(rgb: &mut [u8], side: usize, corner: [f32; 2], zoom: f32) {
    for row in 0..side {
        let y = corner[1] + (row as f32 + 0.5) / zoom;
        for column in 0..side {
            let x = corner[0] + (column as f32 + 0.5) / zoom;
            if !(0.0..FRAME[0]).contains(&x) || !(0.0..FRAME[1]).contains(&y) {
                rgb[(row * side + column) * 3..][..3].fill(0);
            }
        }
    }
}
