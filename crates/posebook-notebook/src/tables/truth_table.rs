//! Ground truth of a drawn clip as a Parquet file: a row per frame and person, written in batches.
//!
//! The columns are `frame` and `person` (unsigned integers), `scored` (boolean), 32-bit floats and lists of 32-bit floats.
//! They are narrower than those of `table!`, which has 64-bit numbers only, so that the table is declared
//! here. Names of columns with a unit end with it; lists are flattened row by row. Unknown values are null.

use super::TableError;
use polars::prelude::*;
use polars_io::parquet::write::{BatchedWriter, ParquetWriter};
use posebook_core::truth::{TruthBody, TruthPerson};
use std::fs::File;
use std::path::{Path, PathBuf};

/// Rows of a batch and of a row group.
const BATCH_ROWS: usize = 512;

/// Columns of one number, in the order of the file.
const SCALAR_COLUMNS: [&str; 16] = [
    "x1_px",
    "y1_px",
    "x2_px",
    "y2_px",
    "visible_x1_px",
    "visible_y1_px",
    "visible_x2_px",
    "visible_y2_px",
    "visible_share",
    "translation_x_m",
    "translation_y_m",
    "translation_z_m",
    "fx_px",
    "fy_px",
    "cx_px",
    "cy_px",
];
/// Columns of lists, after those of one number.
const LIST_COLUMNS: [&str; 5] =
    ["betas", "global_orient_in_camera", "body_pose", "joints_in_camera_m", "joints_in_image_px"];

/// Rows of the current batch.
#[derive(Default)]
struct Batch {
    frames: Vec<u64>,
    ids: Vec<u32>,
    scored: Vec<bool>,
    numbers: [Vec<Option<f32>>; SCALAR_COLUMNS.len()],
    lists: [Vec<Option<Series>>; LIST_COLUMNS.len()],
}

/// Writes the ground truth row by row, with one batch in memory.
///
/// The file has its final name from the start: the caller writes it into a folder that appears when it is complete.
pub struct TruthTableWriter {
    path: PathBuf,
    writer: BatchedWriter<File>,
    batch: Batch,
}

impl TruthTableWriter {
    /// Creates the file at `path`, or truncates it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn create(path: &Path) -> Result<TruthTableWriter, TableError> {
        let file = File::create(path).map_err(TableError::file(path))?;
        let field = |name: &str, kind: DataType| Field::new(name.into(), kind);
        let mut fields = vec![
            field("frame", DataType::UInt64),
            field("person", DataType::UInt32),
            field("scored", DataType::Boolean),
        ];
        fields.extend(SCALAR_COLUMNS.iter().map(|name| field(name, DataType::Float32)));
        fields.extend(LIST_COLUMNS.iter().map(|name| field(name, list())));
        let schema: Schema = fields.into_iter().collect();
        let writer = ParquetWriter::new(file).set_parallel(false).batched(&schema);
        let writer = writer.map_err(TableError::encode(path))?;
        Ok(TruthTableWriter { path: path.to_path_buf(), writer, batch: Batch::default() })
    }

    /// Adds the row of `person` in the frame `frame` (from 0). `scored` says whether the person counts in scores, because
    /// enough of the body is visible.
    ///
    /// # Errors
    /// If the table cannot be written.
    pub fn push(&mut self, frame: usize, person: &TruthPerson, scored: bool) -> Result<(), TableError> {
        self.batch.push(frame, person, scored);
        if self.batch.ids.len() >= BATCH_ROWS { self.write_batch() } else { Ok(()) }
    }

    fn write_batch(&mut self) -> Result<(), TableError> {
        let frame = std::mem::take(&mut self.batch).frame().map_err(TableError::encode(&self.path))?;
        self.writer.write_batch(&frame).map_err(TableError::encode(&self.path))
    }

    /// Writes the remaining rows and finishes the file.
    ///
    /// # Errors
    /// If the table cannot be written.
    pub fn finish(mut self) -> Result<(), TableError> {
        if !self.batch.ids.is_empty() {
            self.write_batch()?;
        }
        self.writer.finish().map(|_| ()).map_err(TableError::encode(&self.path))
    }
}

fn list() -> DataType {
    DataType::List(Box::new(DataType::Float32))
}

impl Batch {
    fn push(&mut self, frame: usize, person: &TruthPerson, scored: bool) {
        self.frames.push(frame as u64);
        self.ids.push(person.id);
        self.scored.push(scored);
        let (full, visible) = (person.bbox, person.visible_bbox);
        let body = person.body.as_ref();
        let number = |of: fn(&TruthBody) -> f32| body.map(of);
        let numbers = [
            Some(full.x1),
            Some(full.y1),
            Some(full.x2),
            Some(full.y2),
            visible.map(|b| b.x1),
            visible.map(|b| b.y1),
            visible.map(|b| b.x2),
            visible.map(|b| b.y2),
            person.visible_share,
            number(|b| b.translation_in_camera[0]),
            number(|b| b.translation_in_camera[1]),
            number(|b| b.translation_in_camera[2]),
            number(|b| b.camera.fx),
            number(|b| b.camera.fy),
            number(|b| b.camera.cx),
            number(|b| b.camera.cy),
        ];
        self.numbers.iter_mut().zip(numbers).for_each(|(column, value)| column.push(value));
        let lists: [Option<Vec<f32>>; LIST_COLUMNS.len()] = [
            body.map(|b| b.params.betas.to_vec()),
            body.map(|b| b.params.global_orient.as_flattened().to_vec()),
            body.map(|b| b.params.body_pose.as_flattened().as_flattened().to_vec()),
            body.map(|b| b.joints_in_camera.as_flattened().to_vec()),
            body.map(|b| b.joints_in_image.as_flattened().to_vec()),
        ];
        for (column, value) in self.lists.iter_mut().zip(lists) {
            column.push(value.map(|values| Series::new(PlSmallStr::EMPTY, values)));
        }
    }

    fn frame(self) -> PolarsResult<DataFrame> {
        let rows = self.ids.len();
        let mut columns: Vec<Column> = vec![
            Series::new("frame".into(), self.frames).into(),
            Series::new("person".into(), self.ids).into(),
            Series::new("scored".into(), self.scored).into(),
        ];
        for (name, values) in SCALAR_COLUMNS.iter().zip(self.numbers) {
            columns.push(Series::new((*name).into(), values).into());
        }
        for (name, values) in LIST_COLUMNS.iter().zip(self.lists) {
            columns.push(Series::new((*name).into(), values).cast(&list())?.into());
        }
        DataFrame::new(rows, columns)
    }
}

#[cfg(test)]
mod tests {
    use super::super::ParquetColumns;
    use super::TruthTableWriter;
    use posebook_core::person::BBox;
    use posebook_core::truth::TruthPerson;

    #[test]
    fn rows_of_several_batches_are_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("truth.parquet");
        let bbox = BBox { x1: 1.0, y1: 2.0, x2: 3.0, y2: 4.0 };
        let person = |id| TruthPerson { id, bbox, visible_bbox: None, visible_share: Some(0.5), body: None };
        let mut writer = TruthTableWriter::create(&path).unwrap();
        for frame in 0..super::BATCH_ROWS + 1 {
            writer.push(frame, &person(7), frame != 1).unwrap();
        }
        writer.finish().unwrap();
        let names = ["frame", "person", "scored", "visible_x1_px", "visible_share", "betas"];
        let columns = ParquetColumns::read(&path, &names).unwrap();
        assert_eq!(columns.rows(), super::BATCH_ROWS + 1);
        assert_eq!(columns.integers("frame").unwrap()[super::BATCH_ROWS], Some(512));
        assert_eq!(columns.integers("person").unwrap()[0], Some(7));
        assert_eq!(columns.texts("scored").unwrap()[..2], [Some("true".into()), Some("false".into())]);
        assert_eq!(columns.texts("visible_share").unwrap()[0].as_deref(), Some("0.5"));
        assert_eq!(
            (columns.texts("visible_x1_px").unwrap()[0].clone(), columns.floats("betas", 0)),
            (None, None)
        );
    }
}
