//! Benchmarks of rendering: one person as a training crop, a frame of a benchmark clip, an overlay.

use divan::{Bencher, black_box};
use posebook_core::frame::Frame;
use posebook_core::geometry::Vec3;
use posebook_synth::render::overlay::{BodyMesh, OPENPOSE_LIMBS, Overlay, track_color};
use posebook_synth::render::{
    Camera, DrawCall, Light, Mesh, Pattern, Raster, ShadowMap, Surface, Texture, vertex_normals,
};

fn main() {
    divan::main();
}

/// A shape of a person's size and number of faces (2,964 vertices, 5,776 faces), feet at the origin.
struct Person {
    positions: Vec<Vec3>,
    faces: Vec<[u32; 3]>,
    normals: Vec<Vec3>,
}

impl Person {
    fn at(foot: Vec3) -> Person {
        let (rings, segments) = (38u32, 76u32);
        let mut positions = Vec::new();
        for ring in 0..=rings {
            let (across, down) = libm::sincosf(std::f32::consts::PI * ring as f32 / rings as f32);
            for segment in 0..segments {
                let (sin, cos) = libm::sincosf(std::f32::consts::TAU * segment as f32 / segments as f32);
                let unit = [across * cos * 0.25, -down * 0.87 - 0.87, across * sin * 0.18];
                positions.push([foot[0] + unit[0], foot[1] + unit[1], foot[2] + unit[2]]);
            }
        }
        let corner = |ring: u32, segment: u32| ring * segments + segment % segments;
        let faces: Vec<[u32; 3]> = (0..rings * segments)
            .flat_map(|i| {
                let (ring, segment) = (i / segments, i % segments);
                let [a, b] = [corner(ring, segment), corner(ring, segment + 1)];
                let [c, d] = [corner(ring + 1, segment), corner(ring + 1, segment + 1)];
                [[a, d, b], [a, c, d]]
            })
            .collect();
        let mut normals = Vec::new();
        vertex_normals(&positions, &faces, &mut normals);
        Person { positions, faces, normals }
    }

    fn mesh(&self) -> Mesh<'_> {
        Mesh { positions: &self.positions, faces: &self.faces, normals: Some(&self.normals) }
    }
}

fn shirt() -> Texture {
    Texture { pattern: Pattern::Plaid, colors: [[0.4, 0.1, 0.1], [0.1, 0.1, 0.3]], scale: 0.1, seed: 1 }
}

/// One person on a plain background, 128 x 128, on one thread.
#[divan::bench]
fn crop(bencher: Bencher) {
    let person = Person::at([0.0, 0.9, 3.2]);
    let camera = Camera { fx: 200.0, fy: 200.0, cx: 64.0, cy: 64.0 };
    let light = Light::outdoors([0.4, -0.8, -0.5], [0.0, -1.0, 0.0]);
    let shirt = shirt();
    let shade = |s: &Surface| {
        light.shade(shirt.color_at([s.position[0], s.position[1]], [s.position[2] / 200.0; 2]), s.normal, 1.0)
    };
    let mut raster = Raster::new(128, 128);
    bencher.bench_local(|| {
        let draw = DrawCall { mesh: person.mesh(), object: Some(0), two_sided: false, shade: &shade };
        raster.render(black_box(&camera), &[draw], &|_| [0.3; 3]);
    });
}

/// Four people with shadows on textured ground before a brick wall, 640 x 360.
#[divan::bench(args = [false, true])]
fn frame(bencher: Bencher, all_threads: bool) {
    let feet = [[-1.2, 1.1, 4.5], [-0.2, 1.1, 5.2], [0.9, 1.1, 4.2], [2.0, 1.1, 6.0]];
    let people = feet.map(Person::at);
    let camera = Camera { fx: 560.0, fy: 560.0, cx: 320.0, cy: 150.0 };
    let light = Light::outdoors([0.55, -0.75, -0.45], [0.0, -1.0, 0.0]);
    let corner = |x: f32, y: f32, z: f32| [x, y, z];
    let ground = [-1.0, 1.0].map(|s| [corner(60.0 * s, 1.1, -10.0), corner(60.0 * s, 1.1, 60.0)]).concat();
    let wall = [-1.0, 1.0].map(|s| [corner(8.0 * s, 1.1, 9.0), corner(8.0 * s, -2.1, 9.0)]).concat();
    let quad = [[0, 1, 2], [1, 3, 2]];
    let (shirt, grass) = (shirt(), Texture { pattern: Pattern::Grass, scale: 0.15, ..shirt() });
    let bricks = Texture { pattern: Pattern::Bricks, ..shirt };
    let mut shadows = ShadowMap::new(256);
    let mut raster = Raster::new(640, 360).parallel(all_threads);
    bencher.bench_local(|| {
        shadows.begin(light.toward);
        people.iter().for_each(|person| shadows.add_caster(&person.mesh()));
        let lit = |s: &Surface, albedo| {
            light.shade(albedo, s.normal, shadows.sunlit_fraction(s.position, s.normal))
        };
        let dressed =
            |s: &Surface| lit(s, shirt.color_at([s.position[0], s.position[1]], [s.position[2] / 560.0; 2]));
        let mown = |s: &Surface| {
            let width = s.footprint_along([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]);
            lit(s, grass.color_at([s.position[0], s.position[2]], width))
        };
        let built = |s: &Surface| {
            let width = s.footprint_along([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]);
            lit(s, bricks.color_at([s.position[0], s.position[1]], width))
        };
        let flat = |positions| Mesh { positions, faces: &quad, normals: None };
        let mut draws: Vec<DrawCall> = Vec::new();
        for (i, person) in people.iter().enumerate() {
            let (mesh, object) = (person.mesh(), Some(i as u32));
            draws.push(DrawCall { mesh, object, two_sided: false, shade: &dressed });
        }
        draws.push(DrawCall { mesh: flat(&ground), object: None, two_sided: true, shade: &mown });
        draws.push(DrawCall { mesh: flat(&wall), object: None, two_sided: true, shade: &built });
        raster.render(black_box(&camera), &draws, &|pixel| [0.3, 0.5, pixel[1] / 360.0]);
    });
}

/// Boxes, skeletons and outlined bodies of four people over a frame of 640 x 360.
#[divan::bench]
fn overlay(bencher: Bencher) {
    let people = [-1.5, -0.5, 0.5, 1.5].map(|x| Person::at([x, 0.9, 4.5]));
    let camera = Camera { fx: 560.0, fy: 560.0, cx: 320.0, cy: 180.0 };
    let frame = Frame::new(0, 0.0, 640, 360, vec![120; 640 * 360 * 3]);
    let joints: Vec<[f32; 2]> = (0..25).map(|i| [200.0 + 7.0 * i as f32, 90.0 + 8.0 * i as f32]).collect();
    let mut overlay = Overlay::new(640);
    bencher.bench_local(|| {
        overlay.begin(&frame);
        let shown = [0, 1, 2, 3].map(|i| BodyMesh {
            positions: &people[i].positions,
            faces: &people[i].faces,
            color: track_color(i as u32),
        });
        overlay.draw_bodies(&camera, &shown, 0.0);
        for i in 0..4 {
            overlay.draw_skeleton(&joints, &OPENPOSE_LIMBS, track_color(i));
        }
    });
}
