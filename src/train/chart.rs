//! What lies where in a crop: for each cell of four pixels the part of the body seen there, how deep it
//! lies, and which point of the resting body it is.
//!
//! A network that is told only joints has to find out by itself that pictures show limbs; told what every
//! cell shows, it sees within some ten thousand crops (dense correspondences, Güler et al. 2018).

use crate::body::Body;
use crate::geometry::Vec3;

/// Width and height of a cell, pixels.
pub const CELL: usize = 4;
/// Parts that a cell may show: the 24 joints' and, first, nobody's.
pub const PARTS: usize = 25;

/// A crop's cells, row by row.
#[derive(Debug, Clone)]
pub struct Chart {
    /// Cells in a row, and rows.
    pub side: usize,
    /// 0: not the person; otherwise one more than the joint that the surface follows most.
    pub parts: Vec<u8>,
    /// Farther than the pelvis by, metres; 0 where the person is not.
    pub depths: Vec<f32>,
    /// The point of the resting body, metres.
    pub rests: Vec<Vec3>,
    nearest: Vec<f32>,
}

/// A vertex as the crop sees it: across and down in cells, depth in metres.
pub type Seen = [f32; 3];

impl Chart {
    /// An empty chart of a crop `pixels` wide.
    pub fn new(pixels: usize) -> Chart {
        let side = pixels / CELL;
        let cells = side * side;
        Chart {
            side,
            parts: vec![0; cells],
            depths: vec![0.0; cells],
            rests: vec![[0.0; 3]; cells],
            nearest: vec![f32::MAX; cells],
        }
    }

    /// Draws a body; `pelvis` is its depth if it is the person asked for, none for somebody else.
    pub fn draw(&mut self, body: &Body, rest: &[Vec3], seen: &[Seen], pelvis: Option<f32>) {
        for face in &body.faces {
            let corners = face.map(|vertex| seen[vertex as usize]);
            self.each_cell(&corners, |chart, cell, shares| {
                let depth = (0..3).map(|i| shares[i] * corners[i][2]).sum::<f32>();
                if depth >= chart.nearest[cell] {
                    return;
                }
                chart.nearest[cell] = depth;
                match pelvis {
                    Some(pelvis) => {
                        chart.parts[cell] = 1 + follows(body, face[0] as usize);
                        chart.depths[cell] = depth - pelvis;
                        chart.rests[cell] = std::array::from_fn(|axis| {
                            (0..3).map(|i| shares[i] * rest[face[i] as usize][axis]).sum()
                        });
                    }
                    None => {
                        chart.parts[cell] = 0;
                        chart.depths[cell] = 0.0;
                        chart.rests[cell] = [0.0; 3];
                    }
                }
            });
        }
    }

    /// The cells whose middle a triangle covers, with the corners' shares in it.
    fn each_cell(&mut self, corners: &[Seen; 3], mut found: impl FnMut(&mut Chart, usize, [f32; 3])) {
        let [a, b, c] = corners;
        let doubled = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1]);
        if doubled.abs() < 1e-9 {
            return;
        }
        let range = |axis: usize| {
            let low = corners.iter().map(|corner| corner[axis]).fold(f32::MAX, f32::min);
            let high = corners.iter().map(|corner| corner[axis]).fold(f32::MIN, f32::max);
            let last = self.side as f32;
            ((low - 0.5).ceil().clamp(0.0, last) as usize, (high + 0.5).floor().clamp(0.0, last) as usize)
        };
        let ((left, right), (top, bottom)) = (range(0), range(1));
        for row in top..bottom {
            for column in left..right {
                let (x, y) = (column as f32 + 0.5, row as f32 + 0.5);
                let share =
                    |p: &Seen, q: &Seen| ((p[0] - x) * (q[1] - y) - (q[0] - x) * (p[1] - y)) / doubled;
                let shares = [share(b, c), share(c, a), share(a, b)];
                if shares.iter().all(|share| *share >= 0.0) {
                    found(self, row * self.side + column, shares);
                }
            }
        }
    }
}

/// The joint that a vertex follows most.
fn follows(body: &Body, vertex: usize) -> u8 {
    let shares = body.weights.row(vertex).iter();
    shares.max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(joint, _)| *joint as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The resting body from the front, 30 cells high, 3 m away.
    fn seen(body: &Body, away: f32) -> Vec<Seen> {
        body.v_template.iter().map(|v| [16.0 + 16.0 * v[0], 14.0 - 16.0 * v[1], away - v[2]]).collect()
    }

    #[test]
    fn a_body_is_seen_by_its_parts() {
        let body = Body::stand_in();
        let mut chart = Chart::new(128);
        chart.draw(&body, &body.v_template, &seen(&body, 3.0), Some(3.0));
        let at = |x: f32, y: f32| (14.0 - 16.0 * y) as usize * 32 + (16.0 + 16.0 * x) as usize;
        let hand = body.joint_regressor.points(&body.v_template)[20];
        assert_eq!(chart.parts[0], 0);
        assert!([17, 19, 21, 23].contains(&chart.parts[at(hand[0] - 0.1, hand[1])]));
        let cell = at(0.0, 0.0);
        assert!(chart.depths[cell] < 0.0 && chart.rests[cell][2] > 0.0, "the belly lies before the pelvis");
        assert!(chart.parts.iter().filter(|part| **part > 0).count() > 60);
    }

    #[test]
    fn somebody_nearer_hides() {
        let body = Body::stand_in();
        let mut chart = Chart::new(128);
        chart.draw(&body, &body.v_template, &seen(&body, 3.0), Some(3.0));
        chart.draw(&body, &body.v_template, &seen(&body, 2.0), None);
        assert!(chart.parts.iter().all(|part| *part == 0));
    }
}
