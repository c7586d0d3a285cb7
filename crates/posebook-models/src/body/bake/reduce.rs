//! Mesh reduction by quadric edge collapse that keeps a subset of the vertices.
//!
//! Garland and Heckbert, "Surface Simplification Using Quadric Error Metrics", 1997. Every edge collapses onto one of
//! its vertices, so that blend shapes and weights are reduced by selecting rows. UV seams and open borders collapse
//! only along themselves.

use posebook_core::geometry::{Vec3, cross, dot, norm, scale, sub};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// A triangle mesh with a UV map: each corner has a vertex and a UV point.
#[derive(Clone)]
pub struct Mesh {
    /// Positions (V).
    pub vertices: Vec<Vec3>,
    /// Vertices of each face (F).
    pub faces: Vec<[u32; 3]>,
    /// UV points of each face (F).
    pub uv_faces: Vec<[u32; 3]>,
}

/// A quadric, the sum of squared distances to planes: the ten values of a symmetric 4x4 matrix.
#[derive(Clone, Copy, Default)]
struct Quadric([f64; 10]);

impl Quadric {
    fn add_plane(&mut self, normal: Vec3, through: Vec3, weight: f64) {
        let n = normal.map(f64::from);
        let d = -f64::from(dot(normal, through));
        let p = [n[0], n[1], n[2], d];
        let mut k = 0;
        for i in 0..4 {
            for j in i..4 {
                self.0[k] += weight * p[i] * p[j];
                k += 1;
            }
        }
    }

    fn add(&mut self, other: &Quadric) {
        self.0.iter_mut().zip(other.0).for_each(|(a, b)| *a += b);
    }

    fn error_at(&self, point: Vec3) -> f64 {
        let p = [point[0] as f64, point[1] as f64, point[2] as f64, 1.0];
        let mut k = 0;
        let mut sum = 0.0;
        for i in 0..4 {
            for j in i..4 {
                sum += self.0[k] * p[i] * p[j] * if i == j { 1.0 } else { 2.0 };
                k += 1;
            }
        }
        sum.max(0.0)
    }
}

/// What guides the reduction besides the shape.
pub struct ReductionOptions<'a> {
    /// Number of vertices to reach.
    pub target: usize,
    /// Vertices that have to be kept (V).
    pub keep: &'a [bool],
    /// Cost of an edge's length, which makes the triangles more even.
    pub evenness: f64,
    /// Dissimilarity of two vertices other than in shape (skinning weights), at least 0; increases the cost.
    pub dissimilarity: &'a dyn Fn(u32, u32) -> f64,
}

/// Collapses edges until `options.target` vertices are left or no edge can collapse. Returns the reduced mesh, and
/// the old index of each of its vertices.
pub fn reduce(mesh: &Mesh, options: &ReductionOptions) -> (Mesh, Vec<usize>) {
    let mut reduction = Reduction::new(mesh, options);
    while reduction.alive > options.target {
        let Some(Reverse(candidate)) = reduction.queue.pop() else { break };
        if candidate.stamp
            == reduction.stamps[candidate.from as usize] + reduction.stamps[candidate.onto as usize]
        {
            reduction.collapse(candidate.from, candidate.onto);
        }
    }
    reduction.into_mesh()
}

/// An edge that may collapse, ordered by cost.
#[derive(PartialEq)]
struct Candidate {
    cost: f64,
    from: u32,
    onto: u32,
    stamp: u64,
}

impl Eq for Candidate {}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.cost.total_cmp(&other.cost).then((self.from, self.onto).cmp(&(other.from, other.onto)))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

struct Reduction<'a> {
    mesh: Mesh,
    options: &'a ReductionOptions<'a>,
    dead_face: Vec<bool>,
    faces_of: Vec<Vec<u32>>,
    quadrics: Vec<Quadric>,
    stamps: Vec<u64>,
    dead: Vec<bool>,
    alive: usize,
    queue: BinaryHeap<Reverse<Candidate>>,
}

impl<'a> Reduction<'a> {
    fn new(mesh: &Mesh, options: &'a ReductionOptions<'a>) -> Reduction<'a> {
        let count = mesh.vertices.len();
        let mut faces_of = vec![Vec::new(); count];
        let mut quadrics = vec![Quadric::default(); count];
        for (face, corners) in mesh.faces.iter().enumerate() {
            let normal = face_normal(&mesh.vertices, corners);
            let area = norm(normal);
            for &vertex in corners {
                faces_of[vertex as usize].push(face as u32);
                if area > 0.0 {
                    let unit = scale(normal, 1.0 / area);
                    quadrics[vertex as usize].add_plane(unit, mesh.vertices[vertex as usize], area as f64);
                }
            }
        }
        add_borders(mesh, &mut quadrics);
        let dead: Vec<bool> = faces_of.iter().map(Vec::is_empty).collect();
        let mut reduction = Reduction {
            mesh: mesh.clone(),
            options,
            dead_face: vec![false; mesh.faces.len()],
            faces_of,
            quadrics,
            stamps: vec![0; count],
            alive: dead.iter().filter(|dead| !**dead).count(),
            dead,
            queue: BinaryHeap::new(),
        };
        (0..count as u32).for_each(|vertex| reduction.enqueue(vertex));
        reduction
    }

    fn neighbors(&self, vertex: u32) -> Vec<u32> {
        let faces = self.faces_of[vertex as usize].iter();
        let corners = faces.flat_map(|face| self.mesh.faces[*face as usize]);
        let mut around: Vec<u32> = corners.filter(|&other| other != vertex).collect();
        around.sort_unstable();
        around.dedup();
        around
    }

    /// Queues the collapses of a vertex onto its neighbors.
    fn enqueue(&mut self, from: u32) {
        if self.dead[from as usize] || self.options.keep[from as usize] {
            return;
        }
        for onto in self.neighbors(from) {
            let (start, end) = (self.mesh.vertices[from as usize], self.mesh.vertices[onto as usize]);
            let step = sub(end, start);
            let length = f64::from(dot(step, step));
            let error = self.quadrics[from as usize].error_at(end);
            let total = error + self.options.evenness * length * length;
            let cost = total * (1.0 + (self.options.dissimilarity)(from, onto));
            let stamp = self.stamps[from as usize] + self.stamps[onto as usize];
            self.queue.push(Reverse(Candidate { cost, from, onto, stamp }));
        }
    }

    /// Collapses `from` onto `onto` if the mesh stays manifold.
    fn collapse(&mut self, from: u32, onto: u32) {
        if self.dead[from as usize] || self.dead[onto as usize] {
            return;
        }
        let Some(uv_map) = self.uv_after(from, onto) else { return };
        if !self.is_valid_collapse(from, onto) {
            return;
        }
        for face in std::mem::take(&mut self.faces_of[from as usize]) {
            let corners = &mut self.mesh.faces[face as usize];
            if corners.contains(&onto) {
                self.dead_face[face as usize] = true;
                let around = *corners;
                for vertex in around {
                    self.faces_of[vertex as usize].retain(|&other| other != face);
                }
                continue;
            }
            for (corner, uv) in corners.iter_mut().zip(&mut self.mesh.uv_faces[face as usize]) {
                if *corner == from {
                    *corner = onto;
                    *uv = uv_map[uv];
                }
            }
            self.faces_of[onto as usize].push(face);
        }
        self.dead[from as usize] = true;
        self.alive -= 1;
        let quadric = self.quadrics[from as usize];
        self.quadrics[onto as usize].add(&quadric);
        let mut touched = self.neighbors(onto);
        touched.push(onto);
        touched.iter().for_each(|&vertex| self.stamps[vertex as usize] += 1);
        touched.into_iter().for_each(|vertex| self.enqueue(vertex));
    }

    /// The UV point that replaces each UV point of `from`; `None` if the edge crosses a seam.
    fn uv_after(&self, from: u32, onto: u32) -> Option<HashMap<u32, u32>> {
        let mut after = HashMap::new();
        let faces = || self.faces_of[from as usize].iter().map(|&face| face as usize);
        for face in faces().filter(|&face| self.mesh.faces[face].contains(&onto)) {
            let corner = |vertex: u32| self.mesh.faces[face].iter().position(|&other| other == vertex);
            let uv = self.mesh.uv_faces[face];
            let old = after.insert(uv[corner(from)?], uv[corner(onto)?]);
            if old.is_some_and(|old| old != uv[corner(onto).unwrap_or(0)]) {
                return None; // an inner vertex onto a seam
            }
        }
        let covered = faces().all(|face| {
            let corners = self.mesh.faces[face].iter().zip(&self.mesh.uv_faces[face]);
            corners.filter(|(vertex, _)| **vertex == from).all(|(_, uv)| after.contains_key(uv))
        });
        covered.then_some(after)
    }

    /// Whether a collapse keeps the mesh manifold, and no face flips or degenerates.
    fn is_valid_collapse(&self, from: u32, onto: u32) -> bool {
        let around = self.neighbors(from);
        let shared = self.neighbors(onto).into_iter().filter(|other| around.contains(other)).count();
        let faces = &self.faces_of[from as usize];
        let both = faces.iter().filter(|face| self.mesh.faces[**face as usize].contains(&onto)).count();
        let open = around.len() != faces.len();
        if shared != both || both == 0 || (open && both != 1) || around.len() < 3 {
            return false;
        }
        faces
            .iter()
            .map(|face| self.mesh.faces[*face as usize])
            .filter(|corners| !corners.contains(&onto))
            .all(|corners| {
                let moved = corners.map(|vertex| if vertex == from { onto } else { vertex });
                let before = face_normal(&self.mesh.vertices, &corners);
                let after = face_normal(&self.mesh.vertices, &moved);
                let longest = (0..3)
                    .map(|i| {
                        let a = self.mesh.vertices[moved[i] as usize];
                        norm(sub(a, self.mesh.vertices[moved[(i + 1) % 3] as usize]))
                    })
                    .fold(0.0, f32::max);
                // twice the area over the longest side squared: 0 for a needle, 0.87 for an even triangle
                let roundness = norm(after) / (longest * longest).max(1e-12);
                dot(before, after) > 0.3 * norm(before) * norm(after) && roundness > 0.12
            })
    }

    fn into_mesh(self) -> (Mesh, Vec<usize>) {
        let old: Vec<usize> = (0..self.dead.len()).filter(|&vertex| !self.dead[vertex]).collect();
        let mut new = vec![u32::MAX; self.dead.len()];
        old.iter().enumerate().for_each(|(now, &before)| new[before] = now as u32);
        let alive: Vec<usize> = (0..self.dead_face.len()).filter(|&face| !self.dead_face[face]).collect();
        let mesh = Mesh {
            vertices: old.iter().map(|&vertex| self.mesh.vertices[vertex]).collect(),
            faces: alive.iter().map(|&face| self.mesh.faces[face].map(|v| new[v as usize])).collect(),
            uv_faces: alive.iter().map(|&face| self.mesh.uv_faces[face]).collect(),
        };
        (mesh, old)
    }
}

/// Adds planes perpendicular to open borders, which preserve their outline (Garland and Heckbert, section 6).
fn add_borders(mesh: &Mesh, quadrics: &mut [Quadric]) {
    let mut sides: HashMap<(u32, u32), (usize, usize)> = HashMap::new();
    for (face, corners) in mesh.faces.iter().enumerate() {
        for i in 0..3 {
            let (a, b) = (corners[i], corners[(i + 1) % 3]);
            let side = sides.entry((a.min(b), a.max(b))).or_insert((face, 0));
            side.1 += 1;
        }
    }
    let mut open: Vec<_> = sides.into_iter().filter(|(_, (_, count))| *count == 1).collect();
    open.sort_unstable(); // a fixed order of the sums
    for ((a, b), (face, _)) in open {
        let [from, to] = [a, b].map(|vertex| mesh.vertices[vertex as usize]);
        let across = cross(sub(to, from), face_normal(&mesh.vertices, &mesh.faces[face]));
        let length = norm(across).max(1e-20);
        let weight = f64::from(dot(sub(to, from), sub(to, from)));
        for vertex in [a, b] {
            quadrics[vertex as usize].add_plane(scale(across, 1.0 / length), from, weight);
        }
    }
}

/// The normal of a face, with twice its area as length.
fn face_normal(vertices: &[Vec3], corners: &[u32; 3]) -> Vec3 {
    let [a, b, c] = corners.map(|vertex| vertices[vertex as usize]);
    cross(sub(b, a), sub(c, a))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A flat grid of n x n squares with one bump.
    fn grid(n: usize) -> Mesh {
        let at = |x: usize, y: usize| (y * (n + 1) + x) as u32;
        let mut vertices: Vec<Vec3> =
            (0..(n + 1) * (n + 1)).map(|i| [(i % (n + 1)) as f32, (i / (n + 1)) as f32, 0.0]).collect();
        vertices[at(3, 3) as usize][2] = 2.0;
        let squares = (0..n).flat_map(|y| (0..n).map(move |x| (x, y)));
        let faces: Vec<[u32; 3]> = squares
            .flat_map(|(x, y)| {
                let [a, b, c, d] = [at(x, y), at(x + 1, y), at(x + 1, y + 1), at(x, y + 1)];
                [[a, b, c], [a, c, d]]
            })
            .collect();
        Mesh { vertices, uv_faces: faces.clone(), faces }
    }

    #[test]
    fn flat_parts_are_reduced_and_bumps_are_kept() {
        let mesh = grid(10);
        let keep = vec![false; mesh.vertices.len()];
        let options =
            ReductionOptions { target: 40, keep: &keep, evenness: 1e-6, dissimilarity: &|_, _| 0.0 };
        let (small, old) = reduce(&mesh, &options);
        assert!(small.vertices.len() <= 60 && small.vertices.len() == old.len());
        assert!(old.contains(&(3 * 11 + 3)), "the bump stays");
        assert!(small.vertices.iter().zip(&old).all(|(at, &before)| *at == mesh.vertices[before]));
        let area =
            |mesh: &Mesh| mesh.faces.iter().map(|f| face_normal(&mesh.vertices, f)[2] / 2.0).sum::<f32>();
        assert!((area(&small) - 100.0).abs() < 1e-3, "the outline stays: {}", area(&small));
        // the UV points are those of the kept vertices
        let same = small.faces.as_flattened().iter().zip(small.uv_faces.as_flattened());
        assert!(same.clone().all(|(vertex, uv)| old[*vertex as usize] == *uv as usize));
    }
}
