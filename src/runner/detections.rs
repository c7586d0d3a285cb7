//! The people who were detected, as MOTChallenge text beside the results: a second run may start from them
//! (`boxes=FILE`). Detections in which the network recognized no person are left out: given boxes have no score by which
//! they would be left out again.

use super::RunnerError;
use super::folder;
use crate::tables::{PersonRow, files};
use std::fmt::Write;
use std::path::Path;

/// The file in the folder of the results.
const NAME: &str = "detections.txt";

/// Writes the boxes of `people` in `folder`: a line `frame,-1,left,top,width,height,score` each, frames from 1.
///
/// # Errors
/// If the table cannot be read or the file not be written.
pub fn write(folder: &Path) -> Result<(), RunnerError> {
    let mut text = String::new();
    for row in files::rows::<PersonRow>(folder)? {
        let row = row?;
        if row.joints_m.is_empty() {
            continue;
        }
        let (width, height) = (row.x2_px - row.x1_px, row.y2_px - row.y1_px);
        // writing to a text does not fail
        let _ =
            writeln!(text, "{},-1,{},{},{width},{height},{}", row.frame + 1, row.x1_px, row.y1_px, row.score);
    }
    folder::write_text(folder, NAME, &text)
}
