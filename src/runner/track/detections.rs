//! Writes the detections of a run as MOTChallenge text, so that another run may start from them (`boxes=FILE`).
//!
//! Detections that the network rejected are omitted: provided boxes have no score by which it could reject them again.

use crate::runner::RunnerError;
use crate::runner::store::report_folder;
use posebook_notebook::tables::{PersonRow, files};
use std::fmt::Write;
use std::path::Path;

/// Name of the file in the folder of the results.
const FILE_NAME: &str = "detections.txt";

/// Writes the boxes of the table `people` in `folder` as lines `frame,-1,left,top,width,height,score`, frames from 1.
///
/// # Errors
/// If the table cannot be read or the file cannot be written.
pub fn write(folder: &Path) -> Result<(), RunnerError> {
    let mut text = String::new();
    for row in files::read_rows::<PersonRow>(folder)? {
        let row = row?;
        if row.joints_m.is_empty() {
            continue;
        }
        let (width, height) = (row.x2_px - row.x1_px, row.y2_px - row.y1_px);
        // writing to a string does not fail
        let _ =
            writeln!(text, "{},-1,{},{},{width},{height},{}", row.frame + 1, row.x1_px, row.y1_px, row.score);
    }
    report_folder::write_text(folder, FILE_NAME, &text)
}
