use super::*;
use crate::body::Body;
use crate::provenance::sha256_of_bytes;

fn tiny(text: &str) -> WalkersClip {
    let base =
        "kind = 'walkers'\nabout = 'tiny'\nseed = 10007\nwidth = 160\nheight = 90\nframes = 20\nfps = 30.0\n";
    let walkers: Walkers = toml::from_str(&format!("{base}[[clip]]\nname = 'tiny'\n{text}")).unwrap();
    walkers.clips().unwrap().remove(0)
}

fn hash_of(stage: &mut Stage, frame: usize) -> String {
    stage.draw(frame);
    sha256_of_bytes(stage.rgb())[..16].to_string()
}

/// The frames of a description are the same on every machine: these hashes hold on all of them. Whoever
/// changes what is drawn raises [`GENERATOR`] and writes down the new ones.
#[test]
fn drawn_frames_are_the_same_everywhere() {
    let mut stage = Stage::new(&tiny("people = 3\nplace = 'square'"), Body::stand_in());
    let hashes = [0, 17].map(|frame| hash_of(&mut stage, frame));
    assert_eq!(hashes, ["3a49ad2c29c7bfb7", "ed913ada789422f7"], "generator {GENERATOR}");
}

#[test]
fn frames_can_be_drawn_in_any_order_and_a_longer_clip_begins_the_same() {
    let clip = tiny("people = 2");
    let longer = WalkersClip { frames: 400, ..clip.clone() };
    let mut stage = Stage::new(&clip, Body::stand_in());
    let (late, early) = (hash_of(&mut stage, 11), hash_of(&mut stage, 2));
    let mut stage = Stage::new(&longer, Body::stand_in());
    assert_eq!(hash_of(&mut stage, 2), early);
    assert_eq!(hash_of(&mut stage, 11), late);
}

/// A joint in the camera and its place in the picture agree, and so do body, box and picture.
#[test]
fn the_truth_agrees_with_itself() {
    let clip = tiny("people = 3\ncamera = { pan = { from_deg = -10.0, to_deg = 10.0, secs = 0.5 } }");
    let body = Body::stand_in();
    let mut stage = Stage::new(&clip, body.clone());
    let mut people = 0;
    for frame in [0, 7, 19] {
        for person in stage.draw(frame) {
            let truth = person.body.unwrap();
            let posed = body.pose(&truth.params);
            for (joint, (camera, image)) in
                posed.joints44.iter().zip(truth.joints_in_camera.iter().zip(&truth.joints_in_image))
            {
                let there = crate::geometry::add(*joint, truth.translation_in_camera);
                assert!(crate::geometry::norm(crate::geometry::sub(there, *camera)) < 1e-4);
                let x = truth.camera.fx * camera[0] / camera[2] + truth.camera.cx;
                assert!((x - image[0]).abs() < 1e-2);
                // joints lie within the body, and so within its box (ears and toes nearly)
                let wide = person.bbox;
                assert!(image[0] > wide.x1 - 3.0 && image[0] < wide.x2 + 3.0, "{image:?} {wide:?}");
                assert!(image[1] > wide.y1 - 3.0 && image[1] < wide.y2 + 3.0, "{image:?} {wide:?}");
            }
            if let Some(seen) = person.visible_bbox {
                assert!(seen.x1 > person.bbox.x1 - 1.0 && seen.y2 < person.bbox.y2 + 1.0);
            }
            assert!((0.0..=1.0).contains(&person.visible_share.unwrap()));
            people += 1;
        }
    }
    assert!(people >= 3, "{people}");
}

#[test]
fn what_makes_a_clip_names_its_folder() {
    let clip = tiny("people = 2");
    assert_eq!(key(&clip), key(&clip.clone()));
    assert_ne!(key(&clip), key(&WalkersClip { seed: clip.seed + 1, ..clip.clone() }));
    assert_ne!(key(&clip), key(&WalkersClip { frames: 21, ..clip.clone() }));
}

/// Where a person stands in the first frames of a clip, in whole pixels.
fn places(text: &str, seed: u64, is_varied: bool) -> Vec<[i32; 2]> {
    let clip = WalkersClip { seed, is_varied, ..tiny(text) };
    let mut stage = Stage::new(&clip, Body::stand_in());
    let people = [0, 19].into_iter().flat_map(|frame| stage.draw(frame));
    people.map(|person| [person.bbox.x1 as i32, person.bbox.y2 as i32]).collect()
}

#[test]
fn another_seed_changes_everybodys_walk() {
    let scripted = "[[clip.person]]\nfrom = [-1.0, 6.0]\nstages = [{ go = [[1.0, 5.0]], speed = 1.3 }]\n\
                    [[clip.person]]\nfrom = [1.0, 7.0]\nstages = [{ stay_secs = 1.0 }]\n";
    let written = places(scripted, 10007, false);
    assert_eq!(written.len(), 4);
    let varied = [places(scripted, 10008, true), places(scripted, 10009, true)];
    for other in &varied {
        assert_eq!(other.len(), 4);
        assert!(written.iter().zip(other).all(|(a, b)| a != b), "{written:?} {other:?}");
    }
    assert_ne!(varied[0], varied[1]);
    assert_eq!(varied[0], places(scripted, 10008, true));
}
