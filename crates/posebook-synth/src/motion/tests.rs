use super::rotation::{cross, dot, length, sub};
use super::*;

const FPS: f64 = 30.0;

/// The 24 joints in world axes, by forward kinematics.
fn joints(pose: &WalkerPose, skeleton: &RestSkeleton) -> [V3; 24] {
    const PARENTS: [usize; 24] =
        [0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21];
    let apply =
        |m: &Mat3, v: V3| -> V3 { std::array::from_fn(|r| (0..3).map(|c| f64::from(m[r][c]) * v[c]).sum()) };
    let mut rotations = [pose.world_from_body; 24];
    let mut positions = [pose.pelvis_in_world.map(f64::from); 24];
    for j in 1..24 {
        let parent = PARENTS[j];
        positions[j] = add(positions[parent], apply(&rotations[parent], skeleton.bone(parent, j)));
        rotations[j] = multiply(&rotations[parent], &pose.body_pose[j - 1]);
    }
    positions
}

fn straight(speed: f64) -> (RestSkeleton, Walker) {
    let skeleton = skeleton::average();
    let stages = vec![Stage::Go { to: vec![[0.0, 12.0]], speed, doing: None }];
    let plan = Plan { starts_secs: 0.0, from: [0.0, 0.0], facing: None, stages };
    let walker = Walker::new(3, 1, &plan, &skeleton);
    (skeleton, walker)
}

fn wanderers() -> impl Iterator<Item = (u64, RestSkeleton, Walker)> {
    let area = Area { low: [-3.0, -8.0], high: [3.0, -3.0] };
    (0..24).map(move |person| {
        let skeleton = skeleton::average();
        let plan = Plan::wander(11, person, area, 12.0);
        let walker = Walker::new(11, person, &plan, &skeleton);
        (person, skeleton, walker)
    })
}

#[test]
fn joint_rotations_are_orthonormal() {
    for (person, _, walker) in wanderers() {
        for frame in 0..120 {
            let pose = walker.pose_at(f64::from(frame) * 0.1);
            for m in pose.body_pose.iter().chain([&pose.world_from_body]) {
                let rows = m.map(|row| row.map(f64::from));
                for row in rows {
                    assert!((length(row) - 1.0).abs() < 1e-5, "person {person}, frame {frame}: {m:?}");
                }
                assert!((dot(cross(rows[0], rows[1]), rows[2]) - 1.0).abs() < 1e-5);
            }
        }
    }
}

/// No joint moves faster than 11 m/s (a runner's foot or a waving hand), and none jumps.
#[test]
fn motion_is_continuous() {
    for (person, skeleton, walker) in wanderers() {
        let mut before = joints(&walker.pose_at(-1.0 / FPS), &skeleton);
        for frame in 0..360 {
            let now = joints(&walker.pose_at(f64::from(frame) / FPS), &skeleton);
            for j in 0..24 {
                let speed = length(sub(now[j], before[j])) * FPS;
                assert!(speed < 11.0, "person {person}, frame {frame}, joint {j}: {speed:.1} m/s");
            }
            before = now;
        }
    }
}

#[test]
fn feet_stay_on_the_ground_and_do_not_slide() {
    for (person, skeleton, walker) in wanderers() {
        let (mut slid, mut stood): (f64, u32) = (0.0, 0);
        for frame in 0..360 {
            let secs = f64::from(frame) / FPS;
            let (now, next) =
                (joints(&walker.pose_at(secs), &skeleton), joints(&walker.pose_at(secs + 0.01), &skeleton));
            for side in [0, 1] {
                let (foot, later) =
                    [secs, secs + 0.01].map(|t| walker.feet[side].sample(t, &walker.gait_style)).into();
                let (foot, later): (feet::Foot, feet::Foot) = (foot, later);
                let ankle = now[joint::ANKLES[side]];
                assert!(
                    length(sub(ankle, foot.ankle)) < 0.06,
                    "person {person}, frame {frame}: leg too short"
                );
                let ball = now[joint::FEET[side]];
                assert!(ball[1] > -0.01, "person {person}, frame {frame}: ball at {:.3}", ball[1]);
                if foot.bears_weight && later.bears_weight {
                    let moved = sub(next[joint::FEET[side]], ball);
                    slid += libm::hypot(moved[0], moved[2]);
                    stood += 1;
                }
            }
        }
        let speed = slid / (f64::from(stood) * 0.01);
        assert!(speed < 0.06, "person {person}: standing feet slide at {speed:.3} m/s");
    }
}

/// Knee flexion over a cycle of a free walk against the published curve (Perry 1992; Winter 1991):
/// 5 to 25 degrees in stance, 50 to 75 in swing, 25 to 55 degrees of motion at the hip.
#[test]
fn walking_has_the_joint_angles_of_normal_gait() {
    let (skeleton, walker) = straight(1.35);
    let degrees = |a: V3, b: V3| (dot(a, b) / length(a) / length(b)).clamp(-1.0, 1.0).acos().to_degrees();
    let (mut knee_stance, mut knee_swing): (f64, f64) = (0.0, 0.0);
    let (mut hip_low, mut hip_high): (f64, f64) = (90.0, -90.0);
    for tick in 0..400 {
        let secs = 3.0 + f64::from(tick) * 0.01;
        let p = joints(&walker.pose_at(secs), &skeleton);
        let (thigh, shank) = (sub(p[4], p[1]), sub(p[7], p[4]));
        let knee = degrees(thigh, shank);
        let hip = libm::atan2(thigh[2], -thigh[1]).to_degrees();
        (hip_low, hip_high) = (hip_low.min(hip), hip_high.max(hip));
        let foot = walker.feet[0].sample(secs, &walker.gait_style);
        let flat = foot.toes < 0.05;
        if foot.bears_weight && flat {
            knee_stance = knee_stance.max(knee);
        } else if !foot.bears_weight {
            knee_swing = knee_swing.max(knee);
        }
    }
    assert!((5.0..28.0).contains(&knee_stance), "stance {knee_stance:.0}");
    assert!((50.0..75.0).contains(&knee_swing), "swing {knee_swing:.0}");
    let hip = hip_high - hip_low;
    assert!((30.0..60.0).contains(&hip), "hip {hip_low:.0} to {hip_high:.0}");
}

#[test]
fn running_has_a_flight_phase_and_walking_has_none() {
    let airborne = |speed| {
        let (_, walker) = straight(speed);
        let both_up = |tick: i32| {
            let secs = 2.0 + f64::from(tick) * 0.005;
            walker.feet.iter().all(|track| !track.sample(secs, &walker.gait_style).bears_weight)
        };
        (0..200).filter(|tick| both_up(*tick)).count()
    };
    assert_eq!(airborne(1.4), 0);
    assert!(airborne(3.0) > 40);
}

#[test]
fn times_can_be_sampled_in_any_order() {
    let (_, _, walker) = wanderers().nth(5).unwrap();
    let late = walker.pose_at(7.25);
    walker.pose_at(0.5);
    assert_eq!(walker.pose_at(7.25), late);
}
