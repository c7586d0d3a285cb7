//! The appearance of people that the recovery stage computes, with the `tiny` network and without weights of an encoder.

use candle_core::{Device, Tensor};
use posebook_core::frame::Frame;
use posebook_core::person::{BBox, Detection, FrameMask, Person};
use posebook_core::random::stream;
use posebook_models::appearance::{EncoderSource, Sources};
use posebook_models::body::Body;
use posebook_models::hmr2::mask::rle_counts;
use posebook_models::recovery::{BodyNetwork, ModelSet, Settings};
use posebook_models::{blazepose, device, fit, hmr2};
use std::path::{Path, PathBuf};

fn load(sources: Option<&Sources>) -> BodyNetwork {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
    let set = ModelSet::find(&folder, "tiny").unwrap();
    let settings = Settings {
        hmr2: &hmr2::Settings::default(),
        blazepose: &blazepose::Settings::default(),
        fit: &fit::Settings::default(),
        appearance: sources,
    };
    BodyNetwork::load(&set, &Device::Cpu, settings).unwrap()
}

fn raw() -> Sources {
    Sources { encoder: EncoderSource::Raw, encode_type: None, maps: None }
}

fn frame(index: usize) -> Frame {
    let mut draws = stream(4, "frame", &[index as u64]);
    Frame::new(index, 0.0, 320, 240, (0..320 * 240 * 3).map(|_| draws.next_u64() as u8).collect())
}

fn detections(count: usize) -> Vec<Detection> {
    (0..count)
        .map(|index| {
            let left = 10.0 + 50.0 * index as f32;
            let bbox = BBox { x1: left, y1: 20.0, x2: left + 60.0, y2: 200.0 };
            Detection { bbox, score: 1.0, input_id: None, mask: None }
        })
        .collect()
}

fn recover(network: &mut BodyNetwork, parts: &[usize], is_demo: bool) -> Vec<Person> {
    let extract = |(index, &count): (usize, &usize)| match is_demo {
        true => network.extract_demo_crops(&frame(index), detections(count)).unwrap(),
        false => network.extract_crops(frame(index), detections(count)).unwrap(),
    };
    let crops = parts.iter().enumerate().map(extract).collect();
    let people = network.recover(crops, &Body::built_in()).unwrap();
    assert_eq!(people.iter().map(|people| people.persons.len()).collect::<Vec<_>>(), parts);
    people.into_iter().flat_map(|people| people.persons).collect()
}

#[test]
fn people_have_an_appearance_only_if_it_is_asked_for() {
    let (mut without, mut with) = (load(None), load(Some(&raw())));
    assert!(without.texture_encoder().is_none() && with.texture_encoder().is_some());
    for is_demo in [false, true] {
        let plain = recover(&mut without, &[2, 0, 3], is_demo);
        let mut people = recover(&mut with, &[2, 0, 3], is_demo);
        assert!(plain.iter().all(|person| person.appearance.is_none()));
        for person in &mut people {
            let appearance = person.appearance.take().unwrap();
            let seen = appearance.uv.seen_texels();
            assert!(seen > 5_000, "{seen} texels were seen");
            assert!(appearance.embedding.iter().any(|&value| value != 0.0));
            let mask = person.mask.take().unwrap();
            assert_eq!((mask.width, mask.height), (frame(0).width, frame(0).height));
            assert!(mask.counts.len() > 20, "{}", mask.counts);
        }
        // nothing but appearance and mask changes
        assert!(people == plain);
    }
}

/// A mask of the left half of a frame of 320 x 240 pixels, up to column `end`.
fn left_of(end: usize) -> FrameMask {
    let inside: Vec<u8> = (0..320 * 240).map(|i| u8::from(i % 320 < end)).collect();
    FrameMask { width: 320, height: 240, counts: rle_counts(&inside, 320, 240) }
}

#[test]
fn the_detectors_mask_is_the_persons_and_limits_the_texture() {
    let (mut without, mut with) = (load(None), load(Some(&raw())));
    let mut masked = detections(3);
    // the first box from 10 to 70, the second from 60 to 120
    masked[0].mask = Some(left_of(0));
    masked[1].mask = Some(left_of(90));
    for is_demo in [false, true] {
        let recover = |network: &mut BodyNetwork, detections: Vec<Detection>| {
            let crops = match is_demo {
                true => network.extract_demo_crops(&frame(0), detections).unwrap(),
                false => network.extract_crops(frame(0), detections).unwrap(),
            };
            network.recover(vec![crops], &Body::built_in()).unwrap().remove(0).persons
        };
        let plain = recover(&mut without, masked.clone());
        let masks: Vec<Option<FrameMask>> = plain.iter().map(|person| person.mask.clone()).collect();
        assert_eq!(masks, [Some(left_of(0)), Some(left_of(90)), None]);
        let (whole, people) = (recover(&mut with, detections(3)), recover(&mut with, masked.clone()));
        let seen = |person: &Person| person.appearance.as_ref().unwrap().uv.seen_texels();
        assert_eq!(people[0].mask, Some(left_of(0)));
        assert_eq!(people[1].mask, Some(left_of(90)));
        assert_eq!(seen(&people[0]), 0);
        let share = seen(&people[1]) as f64 / seen(&whole[1]) as f64;
        assert!((0.2..0.8).contains(&share), "{share}");
        // nothing changes without a mask
        assert!(people[2] == whole[2] && people[2].mask.is_some());
        // the body does not depend on the mask
        assert!(plain.iter().zip(&whole).all(|(a, b)| a.params == b.params && a.detection == b.detection));
    }
    let mut wrong = detections(1);
    wrong[0].mask = Some(FrameMask { width: 240, height: 320, ..left_of(9) });
    let crops = with.extract_crops(frame(4), wrong).unwrap();
    let error = with.recover(vec![crops], &Body::built_in()).err().unwrap().to_string();
    assert!(error.contains("the mask of a person in frame 4 is invalid"), "{error}");
}

#[test]
fn frames_on_a_device_give_the_same_textures() {
    let mut network = load(Some(&raw()));
    let host = frame(0);
    let rgb = Tensor::from_slice(host.rgb(), (host.height, host.width, 3), &Device::Cpu).unwrap();
    let on_device = device::frame_from_tensor(host.index, host.time_secs, rgb).unwrap();
    let mut people = |frame| {
        let crops = network.extract_crops(frame, detections(3)).unwrap();
        network.recover(vec![crops], &Body::built_in()).unwrap().remove(0).persons
    };
    assert!(people(host) == people(on_device));
}

#[test]
fn files_that_are_missing_are_errors() {
    let message = |sources: Sources| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
        let set = ModelSet::find(&folder, "tiny").unwrap();
        let settings = Settings {
            hmr2: &hmr2::Settings::default(),
            blazepose: &blazepose::Settings::default(),
            fit: &fit::Settings::default(),
            appearance: Some(&sources),
        };
        BodyNetwork::load(&set, &Device::Cpu, settings).err().unwrap().to_string()
    };
    let missing = PathBuf::from("nowhere.safetensors");
    assert!(message(Sources { encoder: EncoderSource::File(missing.clone()), ..raw() }).contains("nowhere"));
    assert!(message(Sources { maps: Some(missing), ..raw() }).contains("UV maps nowhere"));
}
