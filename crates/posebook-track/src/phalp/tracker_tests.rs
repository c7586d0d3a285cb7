//! Tests of the tracker as a whole.

use super::*;
use crate::phalp::testing::{BatchPredictor, CountingEncoder, appearance, uv_map};
use crate::phalp::{Cues, PoseDistance};
use posebook_core::geometry::IDENTITY;
use posebook_core::person::{Detection, SmplParams};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

const SIZE: FrameSize = FrameSize::new(640, 480);

/// A person at column `x` (0 to 1) of the image, 30 m from PHALP's camera.
fn person(x: f32) -> Person {
    let params = SmplParams { betas: [0.0; 10], global_orient: IDENTITY, body_pose: [IDENTITY; 23] };
    let bbox = BBox { x1: 640.0 * x - 20.0, y1: 100.0, x2: 640.0 * x + 20.0, y2: 200.0 };
    Person {
        detection: Detection { bbox, score: 1.0, input_id: None, mask: None },
        params,
        crop_camera: [0.9, 0.0, 0.0],
        translation: [(x - 0.5) * 30.0 * 256.0 / 5000.0, 0.0, 30.0],
        joints: vec![[0.0; 3]; 44],
        joints_in_square: vec![[x, 0.5]; 45],
        confidence: None,
        mask: None,
        appearance: None,
    }
}

fn tracker() -> Tracker {
    Tracker::new(Settings::default()).unwrap()
}

/// As [`person`], with a texture visible in `visible`.
fn dressed(x: f32, seed: u64, visible: Range<usize>) -> Person {
    Person { appearance: Some(appearance(uv_map(seed, visible))), ..person(x) }
}

fn with_cues(letters: &str) -> Settings {
    Settings { cues: Cues::from_letters(letters).unwrap(), ..Settings::default() }
}

/// A tracker with an encoder and a predictor for tests.
fn networked(settings: Settings) -> (Tracker, Arc<CountingEncoder>) {
    let encoder = Arc::new(CountingEncoder::default());
    let networks = Networks { texture: Some(encoder.clone()), pose: Some(Arc::new(BatchPredictor)) };
    (Tracker::with_networks(settings, networks).unwrap(), encoder)
}

fn observations(frame_index: usize, persons: &[Person]) -> Vec<(Observation, BBox)> {
    let observation =
        |person: &Person| Observation::from_person(frame_index, person, PoseDistance::Smpl).unwrap();
    persons.iter().map(|person| (observation(person), person.detection.bbox)).collect()
}

fn ids(frames: &[FrameTracks]) -> Vec<(usize, Vec<u32>)> {
    let ids = |of: &FrameTracks| of.tracks.iter().map(|track| track.track_id.0).collect();
    frames.iter().map(|of| (of.frame_index, ids(of))).collect()
}

#[test]
fn a_confirmed_track_covers_its_tentative_frames() {
    let mut tracker = tracker();
    for frame in 0..4 {
        assert!(tracker.update(frame, SIZE, &[person(0.5)]).unwrap().is_empty());
    }
    let final_frames = tracker.update(4, SIZE, &[person(0.5)]).unwrap();
    assert_eq!(final_frames.iter().map(|of| of.frame_index).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    assert!(final_frames.iter().all(|of| of.tracks.len() == 1 && of.tracks[0].person_index == Some(0)));
    let lost = &tracker.update(5, SIZE, &[]).unwrap()[0].tracks[0];
    assert!(lost.is_lost());
    assert_eq!((lost.time_since_update, lost.bbox), (1, person(0.5).detection.bbox));
    assert!((lost.predicted_in_image[0] - 320.0).abs() < 1.0);
}

#[test]
fn a_tentative_track_that_is_missed_is_dropped() {
    let mut tracker = tracker();
    for frame in 0..3 {
        tracker.update(frame, SIZE, &[person(0.5)]).unwrap();
    }
    let final_frames = tracker.update(3, SIZE, &[]).unwrap();
    assert_eq!(final_frames.len(), 4);
    assert!(final_frames.iter().all(|of| of.tracks.is_empty()));
    tracker.update(4, SIZE, &[person(0.5)]).unwrap();
    assert_eq!(tracker.finish(), [FrameTracks { frame_index: 4, tracks: Vec::new() }]);
}

#[test]
fn a_lost_track_is_deleted_after_its_maximum_age() {
    let mut tracker = tracker();
    for frame in 0..10 {
        tracker.update(frame, SIZE, &[person(0.5)]).unwrap();
    }
    let lost_frames =
        (10..100).filter(|&frame| !tracker.update(frame, SIZE, &[]).unwrap()[0].tracks.is_empty());
    assert_eq!(lost_frames.count(), 50);
}

#[test]
fn untrackable_input_is_an_error() {
    let mut tracker = tracker();
    tracker.update(3, SIZE, &[]).unwrap();
    let again = tracker.update(3, SIZE, &[]).unwrap_err();
    assert_eq!(again.to_string(), "frame 3 comes after frame 3; give the tracker frames in ascending order");
    let mut broken = person(0.5);
    broken.translation[2] = f32::NAN;
    let error = tracker.update(4, SIZE, &[person(0.2), broken]).unwrap_err();
    assert_eq!(error, TrackError::Person { frame_index: 4, person_index: 1 });
    let boxes = [person(0.2).detection.bbox, BBox { x1: 9.0, y1: 9.0, x2: 9.0, y2: 20.0 }];
    let error = tracker.update_boxes(4, SIZE, &boxes).unwrap_err();
    assert_eq!(error.to_string(), "frame 4: box 1 is empty or not finite; leave the box out");
}

/// Three walking people: per frame those detected (0, 1, 2) and their column.
fn walk(detected: &[[bool; 3]], speeds: [f32; 3]) -> Vec<Vec<(usize, f32)>> {
    let column = |index: usize, frame: usize| 0.2 + 0.3 * index as f32 + speeds[index] * frame as f32;
    let frame = |(frame, detected): (usize, &[bool; 3])| {
        (0..3).filter(|&index| detected[index]).map(|index| (index, column(index, frame))).collect()
    };
    detected.iter().enumerate().map(frame).collect()
}

/// Tracks `frames`; per frame the pairs of person and track.
fn identities(frames: &[Vec<(usize, f32)>]) -> Vec<BTreeSet<(usize, TrackId)>> {
    let mut tracker = tracker();
    let mut final_frames = Vec::new();
    for (frame, people) in frames.iter().enumerate() {
        let persons: Vec<Person> = people.iter().map(|&(_, x)| person(x)).collect();
        final_frames.extend(tracker.update(frame, SIZE, &persons).unwrap());
        assert!(tracker.pending_frames() <= 4);
    }
    final_frames.extend(tracker.finish());
    assert_eq!(final_frames.len(), frames.len());
    let row = |(people, of): (&Vec<(usize, f32)>, FrameTracks)| {
        let ids: BTreeSet<TrackId> = of.tracks.iter().map(|of| of.track_id).collect();
        assert_eq!(ids.len(), of.tracks.len(), "an identity twice in frame {}", of.frame_index);
        let persons: BTreeSet<usize> = of.tracks.iter().filter_map(|of| of.person_index).collect();
        assert_eq!(persons.len(), of.tracks.iter().filter(|of| !of.is_lost()).count());
        of.tracks.iter().filter_map(|of| Some((people[of.person_index?].0, of.track_id))).collect()
    };
    frames.iter().zip(final_frames).map(row).collect()
}

proptest! {
    #[test]
    fn the_order_of_people_changes_track_numbers_only(
        detected in prop::collection::vec(prop::array::uniform3(prop::bool::weighted(0.9)), 1..40),
        speeds in prop::array::uniform3(-0.004f32..0.004),
        rotations in prop::collection::vec(0usize..3, 40),
    ) {
        let frames = walk(&detected, speeds);
        let mut reordered = frames.clone();
        for (people, rotation) in reordered.iter_mut().zip(rotations) {
            let by = rotation % people.len().max(1);
            people.rotate_left(by);
        }
        let (original, reordered) = (identities(&frames), identities(&reordered));
        let mut renumbered = BTreeMap::new();
        for (original, reordered) in original.iter().zip(&reordered) {
            prop_assert_eq!(original.len(), reordered.len());
            for ((index, original), (same, reordered)) in original.iter().zip(reordered) {
                prop_assert_eq!(index, same);
                prop_assert_eq!(*renumbered.entry(*original).or_insert(*reordered), *reordered);
            }
        }
    }
}

#[test]
fn memory_does_not_grow_with_the_video() {
    let mut tracker = tracker();
    for frame in 0..2000 {
        let flicker = if frame % 3 == 0 { vec![person(0.2)] } else { vec![person(0.2), person(0.8)] };
        tracker.update(frame, SIZE, &flicker).unwrap();
        assert!(tracker.tracks().len() <= 3 && tracker.pending_frames() <= 4);
        assert!(tracker.tracks().all(|track| track.history().len() == 7));
    }
}

#[test]
fn a_missing_network_is_an_error_when_the_tracker_is_made() {
    let error = Tracker::new(with_cues("TL")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "phalp.cues.texture needs a texture encoder; load its weights or set phalp.cues.texture to \"off\""
    );
    let error = Tracker::new(with_cues("PL")).unwrap_err();
    assert!(error.to_string().contains("set phalp.cues.pose to \"last\""), "{error}");
    assert!(Tracker::new(with_cues("AL")).is_ok());
}

#[test]
fn a_missing_appearance_is_an_error() {
    for settings in [with_cues("A"), with_cues("T")] {
        let (mut tracker, _) = networked(settings);
        let error = tracker.update(4, SIZE, &[dressed(0.2, 1, 0..9), person(0.5)]).unwrap_err();
        assert_eq!(error, TrackError::Appearance { frame_index: 4, person_index: 1 });
        let error = tracker.update_boxes(4, SIZE, &[person(0.5).detection.bbox]).unwrap_err();
        assert_eq!(error, TrackError::Appearance { frame_index: 4, person_index: 0 });
    }
    // embeddings are compared at a shot even if the texture cue is off
    let mut tracker =
        Tracker::new(Settings { distance_type: CostEquation::Eq010, ..Settings::default() }).unwrap();
    tracker.update(0, SIZE, &[person(0.2)]).unwrap();
    tracker.begin_shot();
    let error = tracker.update(1, SIZE, &[person(0.2)]).unwrap_err();
    assert_eq!(error, TrackError::Appearance { frame_index: 1, person_index: 0 });
    let error = tracker.update(1, SIZE, &[dressed(0.2, 1, 0..9)]).unwrap_err();
    assert_eq!(error, TrackError::TrackAppearance { frame_index: 1, track_id: 1 });
}

#[test]
fn at_a_shot_eq_010_follows_embeddings_and_ignores_places() {
    let settings = Settings { distance_type: CostEquation::Eq010, n_init: 2, ..Settings::default() };
    let mut tracker = Tracker::new(settings).unwrap();
    let (left, right) = (|x| dressed(x, 1, 0..9_000), |x| dressed(x, 2, 0..9_000));
    for frame in 0..3 {
        tracker.update(frame, SIZE, &[left(0.2), right(0.8)]).unwrap();
    }
    tracker.begin_shot();
    let tracks = tracker.update(3, SIZE, &[left(0.8), right(0.2)]).unwrap().remove(0).tracks;
    assert_eq!(tracks.iter().map(|of| of.person_index).collect::<Vec<_>>(), [Some(0), Some(1)]);
    assert!(tracker.tracks().all(|track| track.history()[0].location == track.last().location));
    // without a shot the places decide
    let tracks = tracker.update(4, SIZE, &[left(0.2), right(0.8)]).unwrap().remove(0).tracks;
    assert_eq!(tracks.iter().map(|of| of.person_index).collect::<Vec<_>>(), [Some(1), Some(0)]);
}

#[test]
fn textures_tell_people_at_the_same_place_apart() {
    for letters in ["T", "A"] {
        let (mut tracker, _) = networked(Settings { n_init: 2, ..with_cues(letters) });
        let (first, second) = (|| dressed(0.5, 1, 0..30_000), || dressed(0.5, 2, 0..30_000));
        let persons = |frame| match frame % 2 {
            0 => [first(), second()],
            _ => [second(), first()],
        };
        for frame in 0..5 {
            tracker.update(frame, SIZE, &persons(frame)).unwrap();
            for (number, id) in [(0, TrackId(1)), (1, TrackId(2))] {
                assert_eq!(tracker.person_index(id), Some((number + frame) % 2), "{letters} frame {frame}");
            }
        }
    }
}

#[test]
fn with_n_init_1_a_track_begins_with_its_second_match() {
    let mut tracker = Tracker::new(Settings { n_init: 1, ..Settings::default() }).unwrap();
    let mut frames = tracker.update(0, SIZE, &[person(0.5)]).unwrap();
    assert_eq!(tracker.pending_frames(), 0);
    frames.extend(tracker.update(1, SIZE, &[person(0.5)]).unwrap());
    frames.extend(tracker.update(2, SIZE, &[]).unwrap());
    assert_eq!(ids(&frames), [(0, vec![]), (1, vec![1]), (2, vec![1])]);
}

#[test]
fn an_annotated_person_is_confirmed_at_once() {
    let mut tracker = tracker();
    let persons = [person(0.2), person(0.8)];
    let mut frames = tracker.update_annotated(0, SIZE, &persons, |index| index == 1).unwrap();
    let states: Vec<TrackState> = tracker.tracks().map(Track::state).collect();
    assert_eq!(states, [TrackState::Tentative, TrackState::Confirmed]);
    // the annotated track survives a miss
    frames.extend(tracker.update(1, SIZE, &[]).unwrap());
    assert_eq!(ids(&frames), [(0, vec![2]), (1, vec![2])]);
}

#[test]
fn use_gt_pairs_equal_identities_wherever_they_are() {
    let settings = Settings { use_gt: true, n_init: 2, ..Settings::default() };
    let mut tracker = Tracker::new(settings.clone()).unwrap();
    let of =
        |x, id| Person { detection: Detection { input_id: Some(id), ..person(x).detection }, ..person(x) };
    tracker.record_associations();
    tracker.update(0, SIZE, &[of(0.2, 7), of(0.8, 8)]).unwrap();
    let frames = tracker.update(1, SIZE, &[of(0.2, 8), of(0.8, 7), of(0.5, 9)]).unwrap();
    assert_eq!(ids(&frames), [(0, vec![1, 2])]);
    assert_eq!([1, 2, 3].map(|id| tracker.person_index(TrackId(id))), [Some(1), Some(0), Some(2)]);
    let records = tracker.take_association_records();
    assert_eq!(records.len(), 2);
    assert_eq!((&records[0].costs, &records[0].unmatched_persons), (&None, &vec![0, 1]));
    assert_eq!(records[1].matches, [(0, 1), (1, 0)]);
    assert_eq!(records[1].unmatched_persons, [2]);
    assert_eq!(records[1].track_identities, [Some(7), Some(8)]);
    assert_eq!(records[1].person_identities, [Some(8), Some(7), Some(9)]);
    assert_eq!(records[1].costs.as_ref().map(|of| (of.rows(), of.columns())), Some((2, 3)));
    assert!(tracker.take_association_records().is_empty());

    // without identities everybody is paired with everybody: two matches a frame, which skip n_init
    let mut tracker = Tracker::new(Settings { n_init: 4, ..settings }).unwrap();
    tracker.update(0, SIZE, &[person(0.2), person(0.8)]).unwrap();
    tracker.update(1, SIZE, &[person(0.2), person(0.8)]).unwrap();
    assert_eq!(tracker.tracks().map(Track::hits).collect::<Vec<_>>(), [3, 3]);
    let frames = tracker.update(2, SIZE, &[person(0.2), person(0.8)]).unwrap();
    assert_eq!(tracker.tracks().map(Track::hits).collect::<Vec<_>>(), [5, 5]);
    assert_eq!(ids(&frames), [(0, vec![]), (1, vec![]), (2, vec![1, 2])]);
}

#[test]
fn the_cost_is_the_least_over_the_last_predictions() {
    let settings = Settings { past_lookback: 3, ..with_cues("") };
    let mut tracker = Tracker::new(settings.clone()).unwrap();
    let mut last_alone = Tracker::new(Settings { past_lookback: 1, ..settings }).unwrap();
    for (frame, x) in [0.50, 0.51, 0.52, 0.53, 0.54].into_iter().enumerate() {
        for tracker in [&mut tracker, &mut last_alone] {
            tracker.update(frame, SIZE, &[person(x)]).unwrap();
        }
    }
    assert_eq!(tracker.tracks().next().unwrap().predictions().len(), 3);
    let cost = |tracker: &Tracker, x| {
        let arrivals = observations(5, &[person(x)]);
        tracker.costs(arrivals.iter().map(|(observation, _)| observation)).unwrap().get(0, 0)
    };
    // the places of frames 2 to 4 are stored
    assert_eq!([0.52, 0.53, 0.54].map(|x| cost(&tracker, x)), [1.0; 3]);
    assert!(cost(&tracker, 0.51) > 1.0);
    assert!(cost(&last_alone, 0.53) > 1.0);
    assert_eq!(cost(&last_alone, 0.54), 1.0);
}

#[test]
fn matched_and_unmatched_tracks_are_predicted_in_two_batches() {
    let (mut tracker, _) = networked(Settings { n_init: 2, ..with_cues("PL") });
    let all = [person(0.1), person(0.5), person(0.9)];
    for frame in 0..3 {
        tracker.update(frame, SIZE, &all).unwrap();
    }
    tracker.update(3, SIZE, &all[1..]).unwrap();
    let first: Vec<f32> = tracker.tracks().map(|track| track.prediction().pose.values()[0]).collect();
    // BatchPredictor: tracks in the batch, and the first one's time in hundredths
    assert_eq!(first, [1.0 + 0.03, 2.0 + 0.03, 2.0 + 0.03]);
    let untouched: Vec<f32> = tracker.tracks().map(|track| track.last().pose.values()[0]).collect();
    assert_eq!(untouched, [1.0; 3]);
}

#[test]
fn joints_can_be_compared_instead_of_smpls_parameters() {
    let settings = Settings { pose_distance: PoseDistance::Joints, n_init: 2, ..with_cues("") };
    let mut tracker = Tracker::new(settings).unwrap();
    let raised = |x, height| Person { joints: vec![[0.0, height, 0.0]; 44], ..person(x) };
    for frame in 0..3 {
        tracker.update(frame, SIZE, &[raised(0.5, 0.0), raised(0.5, 0.1)]).unwrap();
    }
    tracker.update(3, SIZE, &[raised(0.5, 0.1), raised(0.5, 0.0)]).unwrap();
    assert_eq!(tracker.person_index(TrackId(1)), Some(1));
    let error = tracker.update(4, SIZE, &[Person { joints: vec![[0.0; 3]; 9], ..person(0.5) }]).unwrap_err();
    assert_eq!(error, TrackError::Person { frame_index: 4, person_index: 0 });
}

#[test]
fn a_tracks_memory_is_bounded_whatever_the_cues() {
    for (letters, lookback) in [("PL", 1), ("PL", 4), ("APL", 1), ("APL", 4), ("TPL", 1), ("TPL", 4)] {
        let settings = Settings { past_lookback: lookback, ..with_cues(letters) };
        let bound = settings.bytes_per_track(false);
        let (mut tracker, _) = networked(settings);
        let mut most = 0;
        for frame in 0..24 {
            let visible = 100 * frame..3_000 + 100 * frame;
            let persons = [dressed(0.2, 1, visible.clone()), dressed(0.8, 2, visible)];
            tracker.update(frame, SIZE, if frame % 5 == 4 { &persons[..1] } else { &persons[..] }).unwrap();
            assert!(tracker.tracks().len() <= 2);
            assert!(tracker.tracks().all(|track| track.history().iter().all(|of| of.appearance.is_none())));
            most = tracker.tracks().map(Track::state_bytes).max().unwrap().max(most);
        }
        // the bound is reached
        assert_eq!(most, bound, "{letters} {lookback}");
    }
}

/// A frame's people: place, seed of the texture and visible texels of each.
fn wardrobe() -> impl Strategy<Value = Vec<Vec<(f32, u64, usize, usize)>>> {
    let one = (0.1f32..0.9, 0u64..4, 0usize..8_000, 1usize..9_000);
    prop::collection::vec(prop::collection::vec(one, 0..4), 2..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn pruning_changes_no_assignment(
        frames in wardrobe(),
        lookback in 1usize..3,
        threshold in prop_oneof![Just(100.0), 1.0f64..3.0],
        equation in prop_oneof![Just(CostEquation::Eq019), Just(CostEquation::Eq010), Just(CostEquation::A0)],
        letters in prop_oneof![Just("TL"), Just("AL"), Just("T")],
        shot in 0usize..12,
    ) {
        let settings = Settings {
            past_lookback: lookback,
            hungarian_th: threshold,
            distance_type: equation,
            n_init: 2,
            ..with_cues(letters)
        };
        let (mut pruned, pruned_encoder) = networked(settings.clone());
        let (mut whole, whole_encoder) = networked(settings);
        for (frame, people) in frames.iter().enumerate() {
            let people = people.iter().map(|&(x, seed, from, count)| dressed(x, seed, from..from + count));
            let arrivals = observations(frame, &people.collect::<Vec<_>>());
            if shot == frame {
                pruned.begin_shot();
                whole.begin_shot();
            }
            let people = || arrivals.iter().map(|(observation, _)| observation);
            let (few, all) = (pruned.costs(people()).unwrap(), whole.unpruned_costs(people()).unwrap());
            prop_assert_eq!(association::clip(&few, threshold), association::clip(&all, threshold));
            let few = pruned.update_with_costs(frame, SIZE, arrivals.clone(), &few).unwrap();
            let all = whole.update_with_costs(frame, SIZE, arrivals, &all).unwrap();
            prop_assert_eq!(few, all);
        }
        prop_assert!(pruned_encoder.maps() <= whole_encoder.maps());
    }
}

#[test]
fn pairs_that_cannot_be_matched_are_not_encoded() {
    let (mut tracker, encoder) = networked(Settings { n_init: 2, ..with_cues("TL") });
    let persons = || (0..5).map(|at| dressed(0.1 + 0.2 * at as f32, at, at as usize * 9..9_000));
    for frame in 0..4 {
        tracker.update(frame, SIZE, &persons().collect::<Vec<_>>()).unwrap();
    }
    let arrivals = observations(4, &persons().collect::<Vec<_>>());
    let people = || arrivals.iter().map(|(observation, _)| observation);
    let before = encoder.maps();
    tracker.costs(people()).unwrap();
    // every track is compared with its own person alone
    assert_eq!(encoder.maps() - before, 2 * 5);
    let before = encoder.maps();
    tracker.unpruned_costs(people()).unwrap();
    assert!(encoder.maps() - before > 2 * 5 + 5);
}
