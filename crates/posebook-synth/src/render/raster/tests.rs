//! Properties of the rasterizer, checked on shapes with known results.

use super::test_shapes::sphere;
use super::*;

const CAMERA: Camera = Camera { fx: 100.0, fy: 100.0, cx: 64.0, cy: 48.0 };
const WHITE: &Shader = &|_| [1.0; 3];
const BLACK: fn([f32; 2]) -> Rgb = |_| [0.0; 3];

/// The point at a pixel, 2 m away.
fn at(x: f32, y: f32) -> Vec3 {
    at_depth(x, y, 2.0)
}

fn at_depth(x: f32, y: f32, z: f32) -> Vec3 {
    [(x - CAMERA.cx) / CAMERA.fx * z, (y - CAMERA.cy) / CAMERA.fy * z, z]
}

fn draw<'a>(
    positions: &'a [Vec3],
    faces: &'a [[u32; 3]],
    object: u32,
    shade: &'a Shader<'a>,
) -> DrawCall<'a> {
    DrawCall { mesh: Mesh { positions, faces, normals: None }, object: Some(object), two_sided: true, shade }
}

fn samples(raster: &Raster) -> u64 {
    raster.coverage().iter().map(|&n| n as u64).sum()
}

#[test]
fn coverage_is_area() {
    let corners = [at(10.3, 8.1), at(110.7, 30.2), at(40.2, 90.9)];
    let mut raster = Raster::new(128, 96);
    raster.render(&CAMERA, &[draw(&corners, &[[0, 1, 2]], 5, WHITE)], &BLACK);
    let area = 0.5f32 * (100.4 * 82.8 - 29.9 * 22.1);
    let drawn = samples(&raster) as f32 / 4.0;
    assert!((drawn - area).abs() < 0.003 * area, "{drawn} pixels drawn, {area} in the triangle");
    assert_eq!(raster.visibility(5).visible_samples, samples(&raster));
    assert_eq!(raster.visibility(5).visible_fraction(), 1.0);
    assert_eq!(raster.visibility(6).visible_fraction(), 0.0);
    let (visible, full) =
        (raster.visibility(5).visible_box.unwrap(), BBox { x1: 10.3, y1: 8.1, x2: 110.7, y2: 90.9 });
    assert!(visible.iou(&full) > 0.98, "{visible:?}");
}

/// A lattice of jittered points, triangulated: every inner edge is shared by two triangles.
fn lattice(n: usize) -> (Vec<Vec3>, Vec<[u32; 3]>) {
    let mut random = posebook_core::random::stream(3, "lattice", &[]);
    let mut positions = Vec::new();
    for i in 0..(n + 1) * (n + 1) {
        let (column, row) = (i % (n + 1), i / (n + 1));
        let inner = column % n != 0 && row % n != 0;
        // multiples of 1/16: many edges pass exactly through samples
        let mut jitter = || if inner { random.below(65) as f32 / 16.0 - 2.0 } else { 0.0 };
        let (x, y) = (column as f32 * 6.0 + jitter(), row as f32 * 6.0 + jitter());
        positions.push(at(x + 16.0, y + 4.0));
    }
    let corner = |column: usize, row: usize| (row * (n + 1) + column) as u32;
    let mut faces = Vec::new();
    for i in 0..n * n {
        let (column, row) = (i % n, i / n);
        let [a, b] = [corner(column, row), corner(column + 1, row)];
        let [c, d] = [corner(column, row + 1), corner(column + 1, row + 1)];
        faces.extend([[a, c, b], [b, c, d]]);
    }
    (positions, faces)
}

#[test]
fn shared_edges_have_no_gaps_and_no_overlaps() {
    let (positions, faces) = lattice(14);
    let mut raster = Raster::new(128, 96);
    raster.render(&CAMERA, &[draw(&positions, &faces, 0, WHITE)], &BLACK);
    assert_eq!(samples(&raster), 84 * 84 * 4, "gaps");
    let mut alone = 0;
    for face in &faces {
        raster.render(&CAMERA, &[draw(&positions, &[*face], 0, WHITE)], &BLACK);
        alone += samples(&raster);
    }
    assert_eq!(alone, 84 * 84 * 4, "a sample belongs to several triangles");
}

#[test]
fn large_and_small_triangles_have_the_same_coverage() {
    let corners = [at(-300.0, -200.0), at(250.0, 20.0), at(20.0, 350.0)];
    let mut whole = Raster::new(128, 96);
    whole.render(&CAMERA, &[draw(&corners, &[[0, 1, 2]], 0, WHITE)], &BLACK);
    let inside = |x: f32, y: f32| {
        let side = |a: [f32; 2], b: [f32; 2]| (b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0]);
        let [a, b, c] = [[-300.0, -200.0], [250.0, 20.0], [20.0, 350.0]];
        side(a, b) >= 0.0 && side(b, c) >= 0.0 && side(c, a) >= 0.0
    };
    let expected: u64 = (0..128 * 96)
        .flat_map(|i| tile::OFFSETS.map(|[x, y]| ((i % 128) as f32 + x, (i / 128) as f32 + y)))
        .map(|(x, y)| inside(x, y) as u64)
        .sum();
    assert_eq!(samples(&whole), expected);
}

#[test]
fn the_nearer_triangle_is_visible_in_any_order() {
    let near = [at_depth(20.0, 20.0, 1.0), at_depth(90.0, 25.0, 1.0), at_depth(40.0, 80.0, 1.0)];
    let far = [at_depth(30.0, 10.0, 3.0), at_depth(100.0, 60.0, 3.0), at_depth(20.0, 70.0, 3.0)];
    let (red, blue): (&Shader, &Shader) = (&|_| [1.0, 0.0, 0.0], &|_| [0.0, 0.0, 1.0]);
    let (a, b) = (draw(&near, &[[0, 1, 2]], 1, red), draw(&far, &[[0, 1, 2]], 2, blue));
    let mut raster = Raster::new(128, 96);
    raster.render(&CAMERA, &[a, b], &BLACK);
    let first = (raster.rgb().to_vec(), raster.objects().to_vec(), raster.visibility(2));
    raster.render(&CAMERA, &[b, a], &BLACK);
    assert_eq!(first.0, raster.rgb());
    assert_eq!(first.2, raster.visibility(2));
    let center = 45 * 128 + 50;
    assert_eq!((raster.objects()[center], raster.depth()[center]), (1, 1.0));
    let hidden = raster.visibility(2);
    assert!(hidden.visible_fraction() > 0.1 && hidden.visible_fraction() < 0.9, "{hidden:?}");
    assert_eq!(raster.visibility(1).visible_fraction(), 1.0);
    raster.render(&CAMERA, &[b], &BLACK);
    assert_eq!(raster.visibility(2).covered_samples, hidden.covered_samples);
}

#[test]
fn interpolation_follows_perspective() {
    // a wall from 1 m to 9 m; u is proportional to the position along it
    let corners = [[-0.5, -0.4, 1.0], [3.5, -0.4, 9.0], [3.5, 0.4, 9.0], [-0.5, 0.4, 1.0]];
    let u = [[0.0f32], [1.0], [1.0], [0.0]];
    let shade: &Shader = &|s: &Surface| {
        let value = s.interpolate(&u)[0];
        // on the wall x = -0.5 + 4 u and z = 1 + 8 u; pixel column c is x = z (c - cx) / fx
        let slope = (s.pixel[0] - CAMERA.cx) / CAMERA.fx;
        let expected = (slope + 0.5) / (4.0 - 8.0 * slope);
        assert!((value - expected).abs() < 1e-4, "{value} {expected} at {:?}", s.pixel);
        assert!((s.position[2] - (1.0 + 8.0 * value)).abs() < 1e-3);
        [value; 3]
    };
    let mut raster = Raster::new(128, 96);
    raster.render(&CAMERA, &[draw(&corners, &[[0, 2, 1], [0, 3, 2]], 0, shade)], &BLACK);
    assert!(samples(&raster) > 4000);
    for (i, depth) in raster.depth().iter().enumerate().filter(|(i, _)| raster.coverage()[*i] == 4) {
        let slope = ((i % 128) as f32 + 0.875 - CAMERA.cx) / CAMERA.fx;
        let back = 1.0 + 8.0 * (slope + 0.5) / (4.0 - 8.0 * slope);
        assert!(*depth <= back * 1.001 && *depth >= back * 0.85, "{depth} {back}");
    }
}

#[test]
fn the_footprint_is_a_step_on_the_surface() {
    let corners = [[-4.0, 1.0, 1.0], [4.0, 1.0, 1.0], [0.0, 1.0, 40.0]];
    let shade: &Shader = &|s: &Surface| {
        let [right, down] = s.footprint();
        let expected = s.position[2] / CAMERA.fx;
        assert!((right[0] - expected).abs() < 1e-4 && right[1].abs() < 1e-4);
        // ground at y = 1: one pixel down is nearer by z^2 / fy
        assert!((down[2] + s.position[2] * s.position[2] / CAMERA.fy).abs() < 1e-2 * s.position[2]);
        [1.0; 3]
    };
    let mut raster = Raster::new(128, 96);
    raster.render(&CAMERA, &[draw(&corners, &[[0, 1, 2]], 0, shade)], &BLACK);
    assert!(samples(&raster) > 1000);
}

#[test]
fn geometry_behind_the_camera_is_clipped() {
    // a floor 1 m below, from behind the camera to the distance: it fills the image below the horizon
    let floor = [[-900.0, 1.0, -50.0], [900.0, 1.0, -50.0], [0.0, 1.0, 4000.0]];
    let mut raster = Raster::new(128, 96);
    raster.render(&CAMERA, &[draw(&floor, &[[0, 1, 2]], 0, WHITE)], &BLACK);
    for y in 0..96 {
        let row = &raster.coverage()[y * 128..(y + 1) * 128];
        // the horizon is at row 48; the floor's far corner does not reach the first row below it
        if y < 48 {
            assert!(row.iter().all(|&n| n == 0), "row {y}");
        } else if y > 49 {
            assert!(row.iter().all(|&n| n == 4), "row {y}");
            let depth = raster.depth()[y * 128 + 64];
            let [below, above] = [0.875, 0.125].map(|o| 100.0 / (y as f32 + o - 48.0));
            assert!(depth >= below * 0.999 && depth <= above * 1.001, "{below} {depth} {above}");
        }
    }
    let behind = [[-1.0, 0.0, -2.0], [1.0, 0.0, -2.0], [0.0, 1.0, -2.0], [f32::NAN, 0.0, 1.0]];
    raster.render(&CAMERA, &[draw(&behind, &[[0, 1, 2], [0, 1, 3]], 0, WHITE)], &BLACK);
    assert_eq!(samples(&raster), 0);
}

#[test]
fn faces_are_visible_only_from_their_front() {
    let corners = [at(10.0, 10.0), at(10.0, 80.0), at(100.0, 10.0)];
    let mut raster = Raster::new(128, 96);
    let mut one_sided = |face: [u32; 3]| {
        let faces = [face];
        let draw = DrawCall { two_sided: false, ..draw(&corners, &faces, 0, WHITE) };
        raster.render(&CAMERA, &[draw], &BLACK);
        samples(&raster)
    };
    // down, then right: the normal (p1 - p0) x (p2 - p0) points to -z, to the camera
    assert!(one_sided([0, 1, 2]) > 10_000);
    assert_eq!(one_sided([0, 2, 1]), 0);
}

#[test]
fn a_sphere_is_round_and_lit_from_its_side() {
    let (positions, faces) = sphere([0.0, 0.0, 4.0], 1.0, 48);
    let light = super::super::Light::outdoors([0.0, -1.0, 0.0], [0.0, -1.0, 0.0]);
    let shade: &Shader = &|s: &Surface| light.shade([0.5; 3], s.normal, 1.0);
    let draw = DrawCall { two_sided: false, ..draw(&positions, &faces, 9, shade) };
    let mut raster = Raster::new(128, 96);
    raster.render(&CAMERA, &[draw], &BLACK);
    // a sphere's outline is a cone of sine r / d
    let radius = 100.0 * (0.25f32 / (1.0f32 - 0.0625).sqrt());
    let pixels = raster.visibility(9).visible_samples as f32 / 4.0;
    assert!((pixels / (std::f32::consts::PI * radius * radius) - 1.0).abs() < 0.01, "{pixels}");
    let at = |x: usize, y: usize| raster.rgb()[(y * 128 + x) * 3] as i32;
    assert!(at(64, 28) > at(64, 48) && at(64, 48) > at(64, 68));
}

#[test]
fn silhouettes_extend_beyond_the_image() {
    let (positions, faces) = sphere([0.0, 0.0, 4.0], 1.0, 48);
    let mesh = Mesh { positions: &positions, faces: &faces, normals: None };
    let mut raster = Raster::new(128, 96);
    let shown = |raster: &mut Raster, camera: &Camera| {
        let draw = DrawCall { mesh, object: Some(0), two_sided: false, shade: WHITE };
        raster.render(camera, &[draw], &BLACK);
        raster.visibility(0).covered_samples
    };
    let whole = shown(&mut raster, &CAMERA);
    assert_eq!(silhouette(&CAMERA, &mesh).samples, whole);
    let aside = Camera { cx: 0.0, cy: 48.0, ..CAMERA };
    let half = shown(&mut raster, &aside);
    assert_eq!(silhouette(&aside, &mesh).samples, whole);
    assert!((half as f32 / whole as f32 - 0.5).abs() < 0.01);
    assert!(silhouette(&aside, &mesh).bbox.unwrap().x1 < -24.0);
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let (positions, faces) = sphere([0.1, 0.2, 3.0], 0.9, 40);
    let (other, other_faces) = sphere([-0.4, 0.0, 2.6], 0.5, 31);
    let floor = [[-90.0, 0.9, -5.0], [90.0, 0.9, -5.0], [0.0, 0.9, 400.0]];
    let shade: &Shader = &|s: &Surface| {
        let tone = super::super::texture::noise(1, [s.position[0] * 9.0, s.position[2] * 9.0]);
        [tone * s.normal[0].abs(), tone, s.weights[1]]
    };
    let draws = [
        draw(&positions, &faces, 1, shade),
        draw(&other, &other_faces, 2, shade),
        draw(&floor, &[[0, 1, 2]], 3, shade),
    ];
    let camera = Camera { fx: 300.0, fy: 300.0, cx: 170.0, cy: 130.0 };
    let rendered = |threads: usize, parallel: bool| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut raster = Raster::new(339, 277).parallel(parallel);
        pool.install(|| raster.render(&camera, &draws, &|p| [p[0] / 339.0, 0.0, p[1] / 277.0]));
        let visible = [1, 2, 3].map(|object| raster.visibility(object));
        let depth: Vec<u32> = raster.depth().iter().map(|d| d.to_bits()).collect();
        (raster.rgb().to_vec(), depth, raster.objects().to_vec(), visible)
    };
    let alone = rendered(1, false);
    assert_eq!(alone, rendered(1, true));
    assert_eq!(alone, rendered(2, true));
    assert_eq!(alone, rendered(5, true));
    // and on every machine: if this value changes, every benchmark clip changes
    assert_eq!(posebook_core::provenance::sha256_of_bytes(&alone.0)[..16], *"0efea45a802f1588");
}
