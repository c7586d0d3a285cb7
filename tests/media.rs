//! Bodies in photographs, which are not part of this repository: `skates.png` and `pexels-anete-lusina-4793258.jpg`.

#[path = "common/media.rs"]
mod media;
#[path = "common/skip.rs"]
mod skip;

use posebook_notebook::tables::{ImagePersonRow, files};
use std::path::Path;

/// Boxes of the skaters, from left to right: left, top, width, height in pixels.
const SKATERS: &str = "22,193,170,310;180,182,150,322;322,175,175,297;388,113,128,348;1050,205,262,285";
/// Box of the man with a barbell.
const MAN: &str = "1481,2736,2033,2861";

#[test]
fn reconstructed_bodies_lie_in_their_boxes() {
    let folder = tempfile::tempdir().unwrap();
    for (name, boxes, people) in [("skates.png", SKATERS, 5), ("pexels-anete-lusina-4793258.jpg", MAN, 1)] {
        let Some(path) = media::media(Path::new(env!("CARGO_MANIFEST_DIR")), name) else { return };
        let out = folder.path().join(name);
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_posebook"))
            .args([
                "reconstruct",
                path.to_str().unwrap(),
                "model=tiny",
                "device=cpu",
                &format!("boxes={boxes}"),
            ])
            .arg(format!("out={}", out.display()))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let rows: Vec<ImagePersonRow> =
            files::read_rows(&out.join("latest")).unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(rows.len(), people);
        let longer_side_px = rows[0].width_px.max(rows[0].height_px) as f32;
        for row in rows {
            // the tiny network was not trained on photographs: poses are wrong, positions and sizes are not
            let (width, height) = (row.x2_px - row.x1_px, row.y2_px - row.y1_px);
            let [x, y] = [row.joints_px[39 * 2], row.joints_px[39 * 2 + 1]];
            let offset = [x - (row.x1_px + row.x2_px) / 2.0, y - (row.y1_px + row.y2_px) / 2.0];
            let tolerance_px = 0.3 * width.max(height);
            assert!(offset.iter().all(|px| px.abs() < tolerance_px), "{offset:?} of {width}x{height}");
            let ys = row.joints_px.chunks(2).map(|joint| joint[1]);
            let (top, bottom) = ys.fold((f32::MAX, f32::MIN), |(a, b), y| (a.min(y), b.max(y)));
            assert!(
                (0.5..1.5).contains(&((bottom - top) / height)),
                "{top} to {bottom} in a box of {height}"
            );
            assert_eq!(row.focal_px, 5000.0 / 256.0 * longer_side_px);
        }
    }
}
