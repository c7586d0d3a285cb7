//! Values of one frame's dictionary in a `.pkl`, with errors that name file, frame and key.

use crate::ExportError;
use posebook_models::pickle::array::{Array, read_array, read_number};
use posebook_models::pickle::{Handle, PickleError, Tree};
use std::path::Path;

/// Where a value is, for errors.
pub(super) struct Place<'a> {
    pub tree: &'a Tree<'a>,
    pub path: &'a Path,
    /// Position of the frame in the file.
    pub frame: usize,
    /// The frame's key.
    pub key: &'a str,
}

impl Place<'_> {
    pub fn error(&self, field: &'static str, problem: impl Into<String>) -> ExportError {
        ExportError::Entry {
            path: self.path.to_path_buf(),
            frame: self.frame,
            key: self.key.to_string(),
            field,
            problem: problem.into(),
        }
    }

    /// An integer, a float, or a scalar of numpy.
    pub fn scalar(&self, value: Handle, field: &'static str) -> Result<f64, ExportError> {
        read_number(self.tree, value, "an element").map_err(|error| self.wrong(field, &error))
    }

    fn wrong(&self, field: &'static str, error: &PickleError) -> ExportError {
        self.error(field, format!("cannot be read: {error}"))
    }

    fn array(&self, value: Handle, field: &'static str) -> Result<Array, ExportError> {
        read_array(self.tree, value, "an element").map_err(|error| self.wrong(field, &error))
    }

    /// All numbers of an array.
    pub fn values(&self, value: Handle, field: &'static str) -> Result<Vec<f32>, ExportError> {
        Ok(self.array(value, field)?.to_f32())
    }

    /// An array of `N` numbers in any shape.
    pub fn floats<const N: usize>(
        &self,
        value: Handle,
        field: &'static str,
    ) -> Result<[f32; N], ExportError> {
        let array = self.array(value, field)?;
        array.to_f32().try_into().map_err(|_| {
            self.error(
                field,
                format!("has an array of shape {:?}, where {N} numbers are needed", array.shape),
            )
        })
    }

    /// The rows of an array with three columns; `None` for other values.
    pub fn table(&self, value: Handle, field: &'static str) -> Result<Option<Vec<[f32; 3]>>, ExportError> {
        let Ok(array) = self.array(value, field) else { return Ok(None) };
        let is_table = matches!(array.shape[..], [_, 3]);
        Ok(is_table.then(|| array.to_f32().as_chunks::<3>().0.to_vec()))
    }
}

/// The dictionary of a frame.
pub(super) struct Entry<'a> {
    place: &'a Place<'a>,
    entry: Handle,
}

impl<'a> Entry<'a> {
    pub fn open(place: &'a Place<'a>, entry: Handle) -> Result<Entry<'a>, ExportError> {
        match place.tree.entries(entry) {
            Some(_) => Ok(Entry { place, entry }),
            None => Err(ExportError::NotResults {
                path: place.path.to_path_buf(),
                found: format!("a dictionary with {} for `{}`", place.tree.describe(entry), place.key),
            }),
        }
    }

    /// The list of a key that every file has.
    pub fn list(&self, field: &'static str) -> Result<&'a [Handle], ExportError> {
        let tree = self.place.tree;
        let value = tree.get(self.entry, field).ok_or_else(|| {
            let problem = "is missing; the file was written by another program or version: results of PHALP 1.x and \
                           4D-Humans have it";
            self.place.error(field, problem)
        })?;
        tree.elements(value).ok_or_else(|| {
            self.place.error(field, format!("is {}, where a list is needed", tree.describe(value)))
        })
    }

    /// The element of a list that some files lack, or that is shorter in some.
    pub fn optional(&self, field: &str, index: usize) -> Option<Handle> {
        let tree = self.place.tree;
        tree.elements(tree.get(self.entry, field)?)?.get(index).copied()
    }

    /// The number of a key that some files lack.
    pub fn number(&self, field: &'static str) -> Result<Option<f64>, ExportError> {
        let value = self.place.tree.get(self.entry, field);
        value.map(|value| self.place.scalar(value, field)).transpose()
    }

    /// One number of a list. The list is long enough.
    pub fn scalar(&self, field: &'static str, index: usize) -> Result<f64, ExportError> {
        self.place.scalar(self.list(field)?[index], field)
    }

    /// One array of a list. The list is long enough.
    pub fn floats<const N: usize>(&self, field: &'static str, index: usize) -> Result<[f32; N], ExportError> {
        self.place.floats(self.list(field)?[index], field)
    }
}
