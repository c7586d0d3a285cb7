use super::test_network::small_pose_network;
use super::*;
use crate::tflite::Model;
use candle_core::{DType, Device, Tensor};
use posebook_core::frame::Frame;
use posebook_core::person::BBox;

/// BlazePose with a small network.
fn small(settings: Settings) -> BlazePose {
    let bytes = small_pose_network().write();
    let (graph, weights) = convert::convert_graph(&Model::parse(&bytes).unwrap()).unwrap();
    let converted = ConvertedNetwork { variant: Variant::Lite, graph, weights };
    let network = Network::from_converted(&converted, &Device::Cpu, DType::F32).unwrap();
    BlazePose::new(network, settings).unwrap()
}

fn rgb(width: usize, height: usize) -> Vec<u8> {
    (0..width * height * 3).map(|index| (index * 37 % 251) as u8).collect()
}

fn frame(width: usize, height: usize) -> Frame {
    Frame::new(0, 0.0, width, height, rgb(width, height))
}

const BOX: BBox = BBox { x1: 20.0, y1: 10.0, x2: 60.0, y2: 100.0 };

#[test]
fn a_person_is_detected_in_the_box() {
    let found = small(Settings::default()).observe(&frame(120, 110), &BOX, None).unwrap().unwrap();
    assert!(found.landmarks.presence > 0.5 && found.landmarks.visibility.iter().all(|&part| part > 0.5));
    let [x, y] = found.landmarks.bounds().center();
    assert!((x - 40.0).abs() < 15.0 && (y - 55.0).abs() < 20.0, "{x}, {y}");
    assert_eq!((found.mask.size, found.mask.values.len()), (256, 256 * 256));
    assert_eq!(found.mask.mask_from_frame, found.region.crop_from_frame());
    assert!(found.next_region.is_usable());
}

#[test]
fn results_do_not_depend_on_the_other_people() {
    let network = small(Settings { least_overlap: 0.0, ..Settings::default() });
    let frame = frame(150, 120);
    let previous = Region { center: [70.0, 60.0], side: 90.0, rotation_rad: 0.3 };
    let other = BBox { x1: 50.0, x2: 110.0, ..BOX };
    let people = [(BOX, None), (other, Some(previous)), (BBox { x2: f32::NAN, ..BOX }, None), (other, None)];
    let all = network.observe_all(&frame, &people).unwrap();
    for (target, found) in people.iter().zip(&all) {
        assert_eq!(&network.observe(&frame, &target.0, target.1.as_ref()).unwrap(), found);
    }
    let passes: Vec<Option<u8>> = all.iter().map(|found| found.as_ref().map(|found| found.passes)).collect();
    assert_eq!(passes, [Some(2), Some(1), None, Some(2)]);
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let network = small(Settings::default());
    let people = [(BOX, None), (BBox { x1: 50.0, x2: 110.0, ..BOX }, None), (BOX, None)];
    let frame = frame(150, 120);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| network.observe_all(&frame, &people).unwrap())
    };
    let one = run(1);
    assert!(one == run(2) && one == run(5));
}

#[test]
fn a_network_can_be_shared_by_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&small(Settings::default()));
}

#[test]
fn a_frame_on_a_device_is_copied_to_the_host() {
    let network = small(Settings::default());
    let tensor = Tensor::from_vec(rgb(120, 110), (110, 120, 3), &Device::Cpu).unwrap();
    let on_device = crate::device::frame_from_tensor(0, 0.0, tensor).unwrap();
    let found = network.observe(&on_device, &BOX, None).unwrap();
    assert!(found.is_some() && found == network.observe(&frame(120, 110), &BOX, None).unwrap());
}

#[test]
fn any_box_in_any_frame_gives_a_person_or_none() {
    let network = small(Settings { passes: 1, ..Settings::default() });
    for (width, height) in [(1, 1), (1, 40), (64, 48)] {
        let frame = frame(width, height);
        for (bbox, is_usable) in [
            (BBox { x1: 3.0, y1: 4.0, x2: 3.0, y2: 4.0 }, false),
            (BBox { x1: 30.0, y1: 40.0, x2: 3.0, y2: 4.0 }, false),
            (BBox { x1: f32::INFINITY, y1: 4.0, x2: f32::INFINITY, y2: 9.0 }, false),
            (BBox { x1: 1e30, y1: 1e30, x2: 2e30, y2: 2e30 }, false),
            (BBox { x1: -9e5, y1: -9e5, x2: -8e5, y2: -8e5 }, true),
            (BBox { x1: 0.0, y1: 0.0, x2: 9.0, y2: 20.0 }, true),
            (BBox { x1: 0.0, y1: 0.0, x2: 0.0, y2: 20.0 }, false),
            (BBox { x1: -500.0, y1: -500.0, x2: 500.0, y2: 500.0 }, true),
        ] {
            let found = network.observe(&frame, &bbox, None).unwrap();
            assert_eq!(found.is_some(), is_usable, "{bbox:?} in {width} x {height}");
        }
    }
    assert!(network.observe_all(&frame(8, 8), &[]).unwrap().is_empty());
}
