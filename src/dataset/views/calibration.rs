//! Qualisys' calibration (`*.qca.txt`) as cameras.
//!
//! The file is XML: for each `<camera serial="...">` there are `<fov_video>` (the pictures' last column and row),
//! `<transform>` (rows r1, r2, r3 and the camera's place in millimetres) and `<intrinsic>` (in 64ths of a pixel).
//! Qualisys' camera axes are x right, y up, z towards the viewer. Must not know what is filmed.

use super::Camera;
use crate::dataset::DatasetError;
use std::collections::HashMap;
use std::path::Path;

/// Units of `<intrinsic>` in a pixel.
const UNITS: f64 = 64.0;
/// Larger files are no calibration.
const MOST_BYTES: u64 = 1 << 20;

/// Reads the cameras of a Qualisys calibration, in the file's order; a camera is called by its serial.
///
/// # Errors
/// If the file cannot be read, has no camera, or a camera lacks a value, has one that is no number, is turned or has
/// a skewed picture.
pub fn read_qualisys(path: &Path) -> Result<Vec<Camera>, DatasetError> {
    let unread = |source| DatasetError::io("read the calibration", path, source);
    if std::fs::metadata(path).map_err(unread)?.len() > MOST_BYTES {
        return Err(DatasetError::invalid(path, "it is too large for a calibration"));
    }
    let text = std::fs::read_to_string(path).map_err(unread)?;
    parse(&text).map_err(|what| DatasetError::invalid(path, what))
}

fn parse(text: &str) -> Result<Vec<Camera>, String> {
    let cameras = text.split("<camera ").skip(1).map(|camera| {
        let camera = camera.split("</camera>").next().unwrap_or_default();
        let own = attributes(camera);
        let serial = own.get("serial").copied().unwrap_or_default();
        let named = |what: String| format!("camera `{serial}`: {what}");
        if own.get("viewrotation").is_some_and(|turn| *turn != "0") {
            return Err(named("its picture is turned (`viewrotation`), which is not read".into()));
        }
        one(serial, camera).map_err(named)
    });
    let cameras: Vec<Camera> = cameras.collect::<Result<_, _>>()?;
    if cameras.is_empty() {
        Err("there is no `<camera ...>` in this calibration".into())
    } else {
        Ok(cameras)
    }
}

fn one(serial: &str, text: &str) -> Result<Camera, String> {
    let [view, transform, intrinsic] = ["<fov_video ", "<transform ", "<intrinsic "]
        .map(|tag| text.split_once(tag).map(|(_, rest)| attributes(rest)));
    let number = |of: &Option<HashMap<&str, &str>>, tag: &str, name: &str| -> Result<f64, String> {
        let of = of.as_ref().ok_or_else(|| format!("there is no <{tag}>"))?;
        let text = of.get(name).ok_or_else(|| format!("<{tag}> has no `{name}`"))?;
        let value: Option<f64> = text.trim().parse().ok().filter(|value: &f64| value.is_finite());
        value.ok_or_else(|| format!("<{tag}>: `{name}` is `{text}`, which is no number"))
    };
    let in_view = |name: &str| number(&view, "fov_video", name);
    let size = [in_view("right")? - in_view("left")? + 1.0, in_view("bottom")? - in_view("top")? + 1.0];
    let in_intrinsic = |name: &str| number(&intrinsic, "intrinsic", name);
    for (name, pixels) in [("sensorMaxU", size[0]), ("sensorMaxV", size[1])] {
        let units = in_intrinsic(name)? / (pixels - 1.0);
        if (units - UNITS).abs() > 0.5 {
            return Err(format!("`{name}` is {units:.1} units a pixel, and {UNITS} are read"));
        }
    }
    if in_intrinsic("skew")? != 0.0 {
        return Err("its picture is skewed (`skew`), which is not read".into());
    }
    let in_transform = |name: &str| number(&transform, "transform", name);
    let mut r = [[0.0; 3]; 3];
    for (row, sign) in [(0, 1.0), (1, -1.0), (2, -1.0)] {
        for (column, value) in r[row].iter_mut().enumerate() {
            *value = sign * in_transform(&format!("r{}{}", row + 1, column + 1))?;
        }
    }
    let is_unit = |row: &[f64; 3]| (row.iter().map(|value| value * value).sum::<f64>() - 1.0).abs() < 1e-3;
    if !r.iter().all(is_unit) {
        return Err("`r11` to `r33` are no rotation".into());
    }
    let place = [in_transform("x")? / 1e3, in_transform("y")? / 1e3, in_transform("z")? / 1e3];
    let t = r.map(|row| -(0..3).map(|column| row[column] * place[column]).sum::<f64>());
    let pixels = |name: &str| in_intrinsic(name).map(|value| value / UNITS);
    let focal = [pixels("focalLengthU")?, pixels("focalLengthV")?];
    if !focal.iter().all(|focal| *focal > 0.0) {
        return Err("its focal length is not above 0".into());
    }
    let mut d = Vec::new();
    // Qualisys' spelling
    for name in ["radialDistortion1", "radialDistortion2", "tangentalDistortion1", "tangentalDistortion2"] {
        d.push(in_intrinsic(name)?);
    }
    let k3 = in_intrinsic("radialDistortion3")?;
    d.extend(Some(k3).filter(|k3| *k3 != 0.0));
    Ok(Camera {
        name: serial.to_string(),
        k: [
            [focal[0], 0.0, pixels("centerPointU")?],
            [0.0, focal[1], pixels("centerPointV")?],
            [0.0, 0.0, 1.0],
        ],
        d,
        r,
        t,
        size: Some(size),
        offset_px: [0.0; 2],
    })
}

/// The attributes at the start of `text`, up to the end of the tag that it stands in.
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
    fn a_camera_is_read_in_pixels_metres_and_computer_vision_axes() {
        let cameras = parse(CAMERA).unwrap();
        let [camera] = cameras.as_slice() else { panic!("{cameras:?}") };
        assert_eq!((camera.name.as_str(), camera.size), ("cam_01", Some([1088.0, 1920.0])));
        assert!((camera.k[0][0] - 1681.244873).abs() < 1e-6 && (camera.k[0][2] - 532.973694).abs() < 1e-6);
        assert_eq!(camera.d, [-0.046183, 0.139983, 0.000608, 0.00069]);
        // it stands at (4, 0.5, 1) and looks along -x; a point between it and the origin is before it
        let [right, down, away] = camera.in_camera([1.0, 1.5, 1.25]);
        assert!((right - 1.0).abs() < 1e-12 && (down + 0.25).abs() < 1e-12 && (away - 3.0).abs() < 1e-12);
    }

    #[test]
    fn what_is_missing_or_cannot_be_read_is_named() {
        for (from, to, says) in [
            (
                "serial=\"cam_01\" viewrotation=\"0\"",
                "serial=\"a\" viewrotation=\"90\"",
                "camera `a`: its picture is turned",
            ),
            ("<transform", "<nothing", "there is no <transform>"),
            ("r22=\"0\"", "", "<transform> has no `r22`"),
            ("x=\"4000\"", "x=\"far\"", "`x` is `far`, which is no number"),
            ("x=\"4000\"", "x=\"NaN\"", "which is no number"),
            ("r12=\"1\"", "r12=\"2\"", "no rotation"),
            ("skew=\"0.0\"", "skew=\"0.1\"", "skewed"),
            ("sensorMaxU=\"69568\"", "sensorMaxU=\"1087\"", "units a pixel"),
            ("<camera ", "<kamera ", "there is no `<camera ...>`"),
        ] {
            let said = parse(&CAMERA.replace(from, to)).unwrap_err();
            assert!(said.contains(says), "{to}: {said}");
        }
        for end in 0..CAMERA.len() {
            // a file cut short is an error or has the whole camera
            assert!(parse(&CAMERA[..end]).is_err() || end > CAMERA.find("<intrinsic").unwrap());
        }
    }
}
