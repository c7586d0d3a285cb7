//! The dictionary of one frame: keys, their order and their types as in the original.

use super::opcodes as op;
use super::pickler::{Dtype, Pickler};
use super::settings::PklSettings;
use crate::frames::{ExportFrame, ExportPerson};
use crate::rle::mask_of_box;
use posebook_core::frame::FrameSize;
use posebook_core::geometry::Mat3;
use posebook_core::person::{BBox, FrameMask};
use posebook_models::hmr2::crop::Square;
use std::io::{self, Write};

/// The depth in a pose vector is in units of this many meters (PHALP's `smpl_to_pose_camera_vector`).
const POSE_DEPTH_METERS: f32 = 200.0;

/// Writes the dictionary of a frame whose key is stored. `image_name` is the last part of its path; none in stream mode.
pub(super) fn write_entry<W: Write>(
    out: &mut Pickler<W>,
    frame: &ExportFrame,
    image_name: Option<&str>,
    settings: &PklSettings,
) -> io::Result<()> {
    let square = |person: &ExportPerson| Square::around(&person.bbox, settings.box_shape);
    let (people, size) = (&frame.people, frame.size);
    let seen = || people.iter().filter(|person| person.tracked_time == 0);
    let longer = size.longer_side() as f64;
    out.dict(|out| {
        out.name("time")?;
        out.int(frame.number.cast_signed())?;
        out.name("shot")?;
        out.int(frame.shot.into())?;
        out.name("frame_path")?;
        out.fetch_key()?;
        out.name("tracked_ids")?;
        out.list(seen(), |out, person| out.int(person.id.cast_signed()))?;
        out.name("tracked_bbox")?;
        out.list(seen(), |out, person| out.array(&[4], &ltwh(&person.bbox)))?;
        out.name("tid")?;
        out.list(people, |out, person| out.int(person.id.cast_signed()))?;
        out.name("bbox")?;
        out.list(people, |out, person| out.array(&[4], &ltwh(&person.bbox)))?;
        out.name("tracked_time")?;
        out.list(people, |out, person| out.int(person.tracked_time))?;
        if settings.appearance {
            write_appearance(out, people)?;
        }
        out.name("center")?;
        out.list(people, |out, person| out.array(&[2], &square(person).center))?;
        out.name("scale")?;
        out.list(people, |out, person| out.float(f64::from(square(person).side) / longer))?;
        out.name("size")?;
        out.list(people, |out, _| height_and_width(out, size))?;
        out.name("img_path")?;
        out.list(people, |out, _| out.fetch_key())?;
        out.name("img_name")?;
        out.list(people, |out, _| match image_name {
            Some(name) => out.text(name),
            None => out.code(op::NONE),
        })?;
        out.name("class_name")?;
        out.list(people, |out, _| out.scalar(Dtype::I8, &0i64.to_le_bytes()))?;
        out.name("conf")?;
        out.list(people, |out, person| out.scalar(Dtype::F4, &person.score.to_le_bytes()))?;
        out.name("annotations")?;
        out.list(people, |out, _| out.code(op::EMPTY_LIST))?;
        write_body(out, people)?;
        out.name("mask")?;
        out.list(people, |out, person| {
            let mask = person.mask.clone().unwrap_or_else(|| mask_of_box(&person.bbox, size));
            out.list([&mask], write_mask)
        })?;
        out.name("extra_data")?;
        out.list(people, |out, person| match person.keypoints.as_slice() {
            [] => out.int(person.detection.cast_signed()),
            keypoints => out.array(&[keypoints.len(), 3], keypoints.as_flattened()),
        })
    })
}

/// The keys `appe`, `loca` and `pose`.
fn write_appearance<W: Write>(out: &mut Pickler<W>, people: &[ExportPerson]) -> io::Result<()> {
    out.name("appe")?;
    out.list(people, |out, person| {
        let embedding = person.embedding.as_deref().unwrap_or_default();
        out.array(&[embedding.len()], embedding)
    })?;
    out.name("loca")?;
    out.list(people, |out, person| {
        let points = person.joints_in_square.as_flattened();
        let values = points.iter().chain(person.translation.iter().cycle().take(9));
        out.array(&[points.len() + 9], &values.copied().collect::<Vec<f32>>())
    })?;
    out.name("pose")?;
    out.list(people, |out, person| {
        let [x, y, z] = person.translation;
        let rotations = person.rotations().flatten().flatten();
        let camera = [x, y, z / POSE_DEPTH_METERS];
        let values: Vec<f32> = rotations.chain(&person.params.betas).chain(&camera).copied().collect();
        out.array(&[values.len()], &values)
    })
}

/// The keys from `smpl` to `2d_joints`.
fn write_body<W: Write>(out: &mut Pickler<W>, people: &[ExportPerson]) -> io::Result<()> {
    out.name("smpl")?;
    out.list(people, |out, person| {
        let params = &person.params;
        out.dict(|out| {
            out.name("global_orient")?;
            out.array(&[1, 3, 3], params.global_orient.as_flattened())?;
            out.name("body_pose")?;
            let pose: &[Mat3] = &params.body_pose;
            out.array(&[pose.len(), 3, 3], pose.as_flattened().as_flattened())?;
            out.name("betas")?;
            out.array(&[params.betas.len()], &params.betas)
        })
    })?;
    out.name("camera")?;
    out.list(people, |out, person| out.array(&[3], &person.translation))?;
    out.name("camera_bbox")?;
    out.list(people, |out, person| out.array(&[3], &person.crop_camera))?;
    out.name("3d_joints")?;
    out.list(people, |out, person| {
        // the last joint is the body's origin
        let joints: Vec<f32> = person.joints.iter().chain(&[[0.0; 3]]).flatten().copied().collect();
        out.array(&[joints.len() / 3, 3], &joints)
    })?;
    out.name("2d_joints")?;
    out.list(people, |out, person| {
        let points = person.joints_in_square.as_flattened();
        out.array(&[points.len()], points)
    })
}

fn write_mask<W: Write>(out: &mut Pickler<W>, mask: &FrameMask) -> io::Result<()> {
    out.dict(|out| {
        out.name("size")?;
        height_and_width(out, FrameSize::new(mask.width, mask.height))?;
        out.name("counts")?;
        out.text(&mask.counts)
    })
}

fn height_and_width<W: Write>(out: &mut Pickler<W>, size: FrameSize) -> io::Result<()> {
    out.list([size.height, size.width], |out, side| out.int(side as i64))
}

/// Left, top, width and height.
fn ltwh(bbox: &BBox) -> [f32; 4] {
    [bbox.x1, bbox.y1, bbox.width(), bbox.height()]
}
