use super::actors::create_actors;
use super::*;
use posebook_core::provenance::sha256_of_bytes;
use posebook_models::body::Body;

fn tiny(text: &str) -> WalkersClip {
    let base =
        "kind = 'walkers'\nabout = 'tiny'\nseed = 10007\nwidth = 160\nheight = 90\nframes = 20\nfps = 30.0\n";
    let walkers: WalkersDataset = toml::from_str(&format!("{base}[[clip]]\nname = 'tiny'\n{text}")).unwrap();
    walkers.clips().unwrap().remove(0)
}

fn hash_of(renderer: &mut SceneRenderer, frame: usize) -> String {
    renderer.draw(frame);
    sha256_of_bytes(renderer.rgb())[..16].to_string()
}

/// The frames of a description are the same on every machine, and so are these hashes. After a change of what is
/// drawn, raise [`GENERATOR_VERSION`] and record the new ones.
#[test]
fn drawn_frames_are_the_same_everywhere() {
    let mut renderer = SceneRenderer::new(&tiny("people = 3\nplace = 'square'"), Body::built_in());
    let hashes = [0, 17].map(|frame| hash_of(&mut renderer, frame));
    assert_eq!(hashes, ["3a49ad2c29c7bfb7", "ed913ada789422f7"], "generator {GENERATOR_VERSION}");
}

#[test]
fn frames_do_not_depend_on_drawing_order_or_clip_length() {
    let clip = tiny("people = 2");
    let longer = WalkersClip { frames: 400, ..clip.clone() };
    let mut renderer = SceneRenderer::new(&clip, Body::built_in());
    let (late, early) = (hash_of(&mut renderer, 11), hash_of(&mut renderer, 2));
    let mut renderer = SceneRenderer::new(&longer, Body::built_in());
    assert_eq!(hash_of(&mut renderer, 2), early);
    assert_eq!(hash_of(&mut renderer, 11), late);
}

/// Joints in camera axes and in the image agree, and so do body and box.
#[test]
fn the_ground_truth_is_consistent() {
    let clip = tiny("people = 3\ncamera = { pan = { from_deg = -10.0, to_deg = 10.0, secs = 0.5 } }");
    let body = Body::built_in();
    let mut renderer = SceneRenderer::new(&clip, body.clone());
    let mut people = 0;
    for frame in [0, 7, 19] {
        for person in renderer.draw(frame) {
            let truth = person.body.unwrap();
            let posed = body.pose(&truth.params);
            for (joint, (camera, image)) in
                posed.joints44.iter().zip(truth.joints_in_camera.iter().zip(&truth.joints_in_image))
            {
                let in_camera = posebook_core::geometry::add(*joint, truth.translation_in_camera);
                assert!(
                    posebook_core::geometry::norm(posebook_core::geometry::sub(in_camera, *camera)) < 1e-4
                );
                let x = truth.camera.fx * camera[0] / camera[2] + truth.camera.cx;
                assert!((x - image[0]).abs() < 1e-2);
                // joints are inside the body and so inside its box (ears and toes nearly)
                let wide = person.bbox;
                assert!(image[0] > wide.x1 - 3.0 && image[0] < wide.x2 + 3.0, "{image:?} {wide:?}");
                assert!(image[1] > wide.y1 - 3.0 && image[1] < wide.y2 + 3.0, "{image:?} {wide:?}");
            }
            if let Some(visible) = person.visible_bbox {
                assert!(visible.x1 > person.bbox.x1 - 1.0 && visible.y2 < person.bbox.y2 + 1.0);
            }
            assert!((0.0..=1.0).contains(&person.visible_share.unwrap()));
            people += 1;
        }
    }
    assert!(people >= 3, "{people}");
}

/// Foot positions of people in the first frames of a clip, whole pixels.
fn positions(text: &str, seed: u64, is_varied: bool) -> Vec<[i32; 2]> {
    let clip = WalkersClip { seed, is_varied, ..tiny(text) };
    let mut renderer = SceneRenderer::new(&clip, Body::built_in());
    let people = [0, 19].into_iter().flat_map(|frame| renderer.draw(frame));
    people.map(|person| [person.bbox.x1 as i32, person.bbox.y2 as i32]).collect()
}

#[test]
fn another_seed_changes_every_walk() {
    let scripted = "[[clip.person]]\nfrom = [-1.0, 6.0]\nstages = [{ go = [[1.0, 5.0]], speed = 1.3 }]\n\
                    [[clip.person]]\nfrom = [1.0, 7.0]\nstages = [{ stay_secs = 1.0 }]\n";
    let scripted_positions = positions(scripted, 10007, false);
    assert_eq!(scripted_positions.len(), 4);
    let varied = [positions(scripted, 10008, true), positions(scripted, 10009, true)];
    for other in &varied {
        assert_eq!(other.len(), 4);
        assert!(
            scripted_positions.iter().zip(other).all(|(a, b)| a != b),
            "{scripted_positions:?} {other:?}"
        );
    }
    assert_ne!(varied[0], varied[1]);
    assert_eq!(varied[0], positions(scripted, 10008, true));
}

/// After a cut the people are where they were, and the camera sees them from its new pose.
#[test]
fn people_continue_across_a_cut() {
    let moved = "[[clip.cut]]\nframe = 10\nfrom = [4.0, 6.0]\nyaw_deg = -90\ncamera = { height = 2.0 }\n";
    let mut plain = SceneRenderer::new(&tiny("people = 2"), Body::built_in());
    let mut cut = SceneRenderer::new(&tiny(&format!("people = 2\n{moved}")), Body::built_in());
    assert_eq!(hash_of(&mut plain, 9), hash_of(&mut cut, 9));
    let (before, after) = (plain.draw(10), cut.draw(10));
    let view = cut.view(10);
    assert_eq!(view.eye_in_world, [4.0, 2.0, -6.0]);
    let mut shared = 0;
    for person in &after {
        let Some(same) = before.iter().find(|other| other.id == person.id) else { continue };
        let (here, there) = (person.body.as_ref().unwrap(), same.body.as_ref().unwrap());
        let back = posebook_core::geometry::transpose(&view.camera_from_world);
        let old = plain.view(10);
        let old_back = posebook_core::geometry::transpose(&old.camera_from_world);
        use posebook_core::geometry::{add, apply, norm, sub};
        for (a, b) in here.joints_in_camera.iter().zip(&there.joints_in_camera) {
            let a = add(apply(&back, *a), view.eye_in_world);
            let b = add(apply(&old_back, *b), old.eye_in_world);
            assert!(norm(sub(a, b)) < 1e-3, "{a:?} {b:?}");
        }
        shared += 1;
    }
    assert!(shared > 0);
}

#[test]
fn cuts_are_checked() {
    let base =
        "kind = 'walkers'\nabout = 'tiny'\nseed = 10007\nwidth = 160\nheight = 90\nframes = 20\nfps = 30.0\n";
    let refused = |cuts: &str| {
        let walkers: WalkersDataset =
            toml::from_str(&format!("{base}[[clip]]\nname = 'a'\npeople = 1\n{cuts}")).unwrap();
        walkers.clips().unwrap_err()
    };
    let two = "[[clip.cut]]\nframe = 5\n[[clip.cut]]\nframe = 5\n";
    assert_eq!(refused(two), "clip `a`: cut: frame = 5 must be 6 or more, cuts are in order");
    assert!(refused("[[clip.cut]]\nframe = 0\n").contains("1 or more"));
    assert!(refused("[[clip.cut]]\nframe = 5\nyaw_deg = nan\n").contains("yaw_deg"));
    let camera = "[[clip.cut]]\nframe = 5\ncamera = { tilt_deg = nan }\n";
    assert!(refused(camera).contains("cut at frame 5: camera: tilt_deg"));
}

#[test]
fn people_can_dress_alike() {
    let actors = |outfit| create_actors(&tiny(&format!("people = 3\n{outfit}")), &Body::built_in());
    let (own, same) = (actors(""), actors("outfit = 'same'"));
    for (i, (own, same)) in own.iter().zip(&same).enumerate() {
        assert_eq!(own.appearance.betas, same.appearance.betas);
        assert_eq!(own.appearance.clothes == same.appearance.clothes, i == 0);
    }
    assert_eq!(same[1].appearance.clothes, same[0].appearance.clothes);
}

/// What a clip is made from is its cache key: new keys of a scene must not change the keys of other scenes.
#[test]
fn unused_keys_are_not_serialized() {
    let text = toml::to_string(&tiny("people = 2")).unwrap();
    assert!(!text.contains("cut") && !text.contains("outfit"), "{text}");
}
