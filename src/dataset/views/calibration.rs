//! Reads a Qualisys calibration (`*.qca.txt`).
//!
//! The file is XML: for each `<camera serial="...">` there are `<fov_video>` (the image's first and last column and
//! row), `<transform>` (rotation r11 to r33 and the camera's position in millimeters) and `<intrinsic>` (in 64ths
//! of a pixel). Qualisys' camera axes are x right, y up, z towards the viewer; the result has y down and z away.

use crate::dataset::DatasetError;
use posebook_track::metrics::views::Camera;
use std::collections::HashMap;
use std::path::Path;

/// `<intrinsic>` units per pixel.
const UNITS_PER_PIXEL: f64 = 64.0;
/// Larger files are rejected.
const MAX_BYTES: u64 = 1 << 20;

/// A camera of a calibration.
#[derive(Debug, Clone, PartialEq)]
pub struct CalibratedCamera {
    /// The camera's serial.
    pub name: String,
    /// For videos of the whole calibrated image.
    pub camera: Camera,
    /// Width and height of the calibrated image, pixels.
    pub image_size: [f64; 2],
}

impl CalibratedCamera {
    /// The camera for a video of `width` x `height` pixels that was cropped from the middle of the calibrated image.
    pub fn for_video(&self, width: usize, height: usize) -> Camera {
        let [full_width, full_height] = self.image_size;
        let offset_px = [(full_width - width as f64) / 2.0, (full_height - height as f64) / 2.0];
        self.camera.clone().with_offset(offset_px)
    }
}

/// Reads the cameras of a Qualisys calibration, in the file's order, named by their serials.
///
/// # Errors
/// If the file cannot be read, has no camera, or a camera lacks a value, has an invalid one, or has a rotated or
/// skewed image.
pub fn read_qualisys(path: &Path) -> Result<Vec<CalibratedCamera>, DatasetError> {
    let read_error = |source| DatasetError::io("read the calibration", path, source);
    if std::fs::metadata(path).map_err(read_error)?.len() > MAX_BYTES {
        return Err(DatasetError::invalid(path, "it is too large for a calibration"));
    }
    let text = std::fs::read_to_string(path).map_err(read_error)?;
    parse(&text).map_err(|message| DatasetError::invalid(path, message))
}

fn parse(text: &str) -> Result<Vec<CalibratedCamera>, String> {
    let cameras = text.split("<camera ").skip(1).map(|camera| {
        let camera = camera.split("</camera>").next().unwrap_or_default();
        let camera_attributes = attributes(camera);
        let serial = camera_attributes.get("serial").copied().unwrap_or_default();
        let with_serial = |message: String| format!("camera `{serial}`: {message}");
        if camera_attributes.get("viewrotation").is_some_and(|turn| *turn != "0") {
            return Err(with_serial("its image is rotated (`viewrotation`), which is not supported".into()));
        }
        parse_camera(serial, camera).map_err(with_serial)
    });
    let cameras: Vec<CalibratedCamera> = cameras.collect::<Result<_, _>>()?;
    if cameras.is_empty() {
        Err("there is no `<camera ...>` in this calibration".into())
    } else {
        Ok(cameras)
    }
}

fn parse_camera(serial: &str, text: &str) -> Result<CalibratedCamera, String> {
    let [view, transform, intrinsic] = ["<fov_video ", "<transform ", "<intrinsic "]
        .map(|tag| text.split_once(tag).map(|(_, rest)| attributes(rest)));
    let number = |attributes: &Option<HashMap<&str, &str>>, tag: &str, name: &str| -> Result<f64, String> {
        let attributes = attributes.as_ref().ok_or_else(|| format!("there is no <{tag}>"))?;
        let text = attributes.get(name).ok_or_else(|| format!("<{tag}> has no `{name}`"))?;
        let value: Option<f64> = text.trim().parse().ok().filter(|value: &f64| value.is_finite());
        value.ok_or_else(|| format!("<{tag}>: `{name}` is `{text}`, which is not a number"))
    };
    let fov = |name: &str| number(&view, "fov_video", name);
    let size = [fov("right")? - fov("left")? + 1.0, fov("bottom")? - fov("top")? + 1.0];
    let intrinsic_value = |name: &str| number(&intrinsic, "intrinsic", name);
    for (name, pixels) in [("sensorMaxU", size[0]), ("sensorMaxV", size[1])] {
        let units = intrinsic_value(name)? / (pixels - 1.0);
        if (units - UNITS_PER_PIXEL).abs() > 0.5 {
            return Err(format!(
                "`{name}` has {units:.1} units per pixel; only {UNITS_PER_PIXEL} are supported"
            ));
        }
    }
    if intrinsic_value("skew")? != 0.0 {
        return Err("its image is skewed (`skew`), which is not supported".into());
    }
    let transform_value = |name: &str| number(&transform, "transform", name);
    let mut rotation = [[0.0; 3]; 3];
    for (row, sign) in [(0, 1.0), (1, -1.0), (2, -1.0)] {
        for (column, value) in rotation[row].iter_mut().enumerate() {
            *value = sign * transform_value(&format!("r{}{}", row + 1, column + 1))?;
        }
    }
    let is_unit = |row: &[f64; 3]| (row.iter().map(|value| value * value).sum::<f64>() - 1.0).abs() < 1e-3;
    if !rotation.iter().all(is_unit) {
        return Err("`r11` to `r33` are not a rotation".into());
    }
    let position = [transform_value("x")? / 1e3, transform_value("y")? / 1e3, transform_value("z")? / 1e3];
    let translation = rotation.map(|row| -(0..3).map(|column| row[column] * position[column]).sum::<f64>());
    let pixels = |name: &str| intrinsic_value(name).map(|value| value / UNITS_PER_PIXEL);
    let focal = [pixels("focalLengthU")?, pixels("focalLengthV")?];
    if !focal.iter().all(|focal| *focal > 0.0) {
        return Err("its focal length is not above 0".into());
    }
    let mut distortion = Vec::new();
    // Qualisys' spelling
    for name in ["radialDistortion1", "radialDistortion2", "tangentalDistortion1", "tangentalDistortion2"] {
        distortion.push(intrinsic_value(name)?);
    }
    let k3 = intrinsic_value("radialDistortion3")?;
    distortion.extend(Some(k3).filter(|k3| *k3 != 0.0));
    let intrinsics =
        [[focal[0], 0.0, pixels("centerPointU")?], [0.0, focal[1], pixels("centerPointV")?], [0.0, 0.0, 1.0]];
    let camera = Camera { intrinsics, distortion, rotation, translation, offset_px: [0.0; 2] };
    Ok(CalibratedCamera { name: serial.to_string(), camera, image_size: size })
}

/// The XML attributes at the start of `text`, up to the end of the tag.
fn attributes(text: &str) -> HashMap<&str, &str> {
    let tag = text.split('>').next().unwrap_or_default();
    let pieces: Vec<&str> = tag.split('"').collect();
    let pairs = pieces.chunks_exact(2).filter_map(|pair| {
        let name = pair.first()?.trim().strip_suffix('=')?.trim();
        Some((name, *pair.get(1)?))
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAMERA: &str = r#"<calibration><cameras>
    <camera active="1" serial="cam_01" viewrotation="0">
      <fov_marker bottom="9" left="0" right="9" top="0"/>
      <fov_video bottom="1919" left="0" right="1087" top="0"/>
      <transform r11="0" r12="1" r13="0" r21="0" r22="0" r23="1" r31="1" r32="0" r33="0" x="4000" y="500" z="1000"/>
      <intrinsic centerPointU="34110.316406" centerPointV="60680.792969" focalLengthU="107599.671875"
       focalLengthV="107588.828125" radialDistortion1="-0.046183" radialDistortion2="0.139983"
       radialDistortion3="0.000000" sensorMaxU="69568" sensorMaxV="122816" skew="0.0" tangentalDistortion1="0.000608"
       tangentalDistortion2="0.00069"/>
    </camera></cameras></calibration>"#;

    #[test]
    fn a_camera_is_converted_to_pixels_meters_and_opencv_axes() {
        let cameras = parse(CAMERA).unwrap();
        let [calibrated] = cameras.as_slice() else { panic!("{cameras:?}") };
        assert_eq!((calibrated.name.as_str(), calibrated.image_size), ("cam_01", [1088.0, 1920.0]));
        assert_eq!(calibrated.for_video(1080, 1920).offset_px, [4.0, 0.0]);
        let camera = &calibrated.camera;
        let [[fx, _, cx], ..] = camera.intrinsics;
        assert!((fx - 1681.244873).abs() < 1e-6 && (cx - 532.973694).abs() < 1e-6);
        assert_eq!(camera.distortion, [-0.046183, 0.139983, 0.000608, 0.00069]);
        // it is at (4, 0.5, 1) and looks along -x; a point between it and the origin is in front of it
        let [right, down, away] = camera.to_camera([1.0, 1.5, 1.25]);
        assert!((right - 1.0).abs() < 1e-12 && (down + 0.25).abs() < 1e-12 && (away - 3.0).abs() < 1e-12);
    }

    #[test]
    fn missing_and_invalid_values_are_named() {
        for (from, to, expected) in [
            (
                "serial=\"cam_01\" viewrotation=\"0\"",
                "serial=\"a\" viewrotation=\"90\"",
                "camera `a`: its image is rotated",
            ),
            ("<transform", "<nothing", "there is no <transform>"),
            ("r22=\"0\"", "", "<transform> has no `r22`"),
            ("x=\"4000\"", "x=\"far\"", "`x` is `far`, which is not a number"),
            ("x=\"4000\"", "x=\"NaN\"", "which is not a number"),
            ("r12=\"1\"", "r12=\"2\"", "not a rotation"),
            ("skew=\"0.0\"", "skew=\"0.1\"", "skewed"),
            ("sensorMaxU=\"69568\"", "sensorMaxU=\"1087\"", "units per pixel"),
            ("<camera ", "<kamera ", "there is no `<camera ...>`"),
        ] {
            let message = parse(&CAMERA.replace(from, to)).unwrap_err();
            assert!(message.contains(expected), "{to}: {message}");
        }
        for end in 0..CAMERA.len() {
            // a truncated file is an error or has the complete camera
            assert!(parse(&CAMERA[..end]).is_err() || end > CAMERA.find("<intrinsic").unwrap());
        }
    }
}
