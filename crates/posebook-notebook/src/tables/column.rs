//! Columns of tables: their types, their builders, and the macros that derive a table's columns from a row's struct.

use polars::prelude::*;
use posebook_core::labels::{Outcome, Precision, VideoMode};

/// Type of a column's values. Every column can hold nulls: unknown is null, never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// 64-bit integers.
    Integer,
    /// 64-bit floats.
    Float,
    /// Text.
    Text,
    /// True or false.
    Flag,
    /// A list of 32-bit floats.
    Floats,
}

impl ColumnType {
    /// Polars' data type.
    pub(super) fn dtype(self) -> DataType {
        match self {
            ColumnType::Integer => DataType::Int64,
            ColumnType::Float => DataType::Float64,
            ColumnType::Text => DataType::String,
            ColumnType::Flag => DataType::Boolean,
            ColumnType::Floats => DataType::List(Box::new(DataType::Float32)),
        }
    }
}

/// One column of a table.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Name, ending with the unit.
    pub name: &'static str,
    /// Type of the values.
    pub column_type: ColumnType,
    /// Documentation of the field.
    pub description: &'static str,
}

/// A row of a table. Implemented for the row types of this crate, by its macro `table!`.
pub trait TableRow: serde::Serialize + serde::de::DeserializeOwned {
    /// Name of the table in SQL and stem of its file.
    const TABLE: &'static str;

    /// The columns, in order.
    fn columns() -> &'static [Column];

    /// Appends this row's values to the column builders, which are in the order of [`TableRow::columns`].
    #[doc(hidden)]
    fn append_to(&self, columns: &mut [ColumnBuilder]);

    /// The row as a map from column names to JSON values. NaN and infinities are null.
    fn cells(&self) -> serde_json::Map<String, serde_json::Value> {
        let columns = Self::columns();
        let mut builders: Vec<ColumnBuilder> =
            columns.iter().map(|column| ColumnBuilder::new(column.column_type)).collect();
        self.append_to(&mut builders);
        let values = builders.into_iter().map(ColumnBuilder::last_as_json);
        columns.iter().map(|column| column.name.to_string()).zip(values).collect()
    }

    /// Row `index` of `columns`, which are in the order of [`TableRow::columns`]. A null in a field that cannot be
    /// null gives the field's default.
    #[doc(hidden)]
    fn from_columns(columns: &[ColumnBuilder], index: usize) -> Self;
}

/// A type that a field of a row can have: a value, which is one column, or a group, which is several.
pub trait RowField: Sized {
    /// Appends the field's columns. `name` and `description` are those of the field; a group ignores them.
    fn describe(name: &'static str, description: &'static str, columns: &mut Vec<Column>);

    /// Appends the field's values, one to each of the next builders.
    fn append_to(&self, columns: &mut std::slice::IterMut<ColumnBuilder>);

    /// Reads the field's values at `index`, one from each of the next columns.
    fn read_at(columns: &mut std::slice::Iter<ColumnBuilder>, index: usize) -> Self;
}

/// A column under construction.
#[derive(Debug)]
pub enum ColumnBuilder {
    /// Values of [`ColumnType::Integer`].
    Integer(Vec<Option<i64>>),
    /// Values of [`ColumnType::Float`].
    Float(Vec<Option<f64>>),
    /// Values of [`ColumnType::Text`].
    Text(Vec<Option<String>>),
    /// Values of [`ColumnType::Flag`].
    Flag(Vec<Option<bool>>),
    /// Values of [`ColumnType::Floats`].
    Floats(Vec<Option<Series>>),
}

impl ColumnBuilder {
    /// An empty column of `column_type`.
    pub fn new(column_type: ColumnType) -> ColumnBuilder {
        match column_type {
            ColumnType::Integer => ColumnBuilder::Integer(Vec::new()),
            ColumnType::Float => ColumnBuilder::Float(Vec::new()),
            ColumnType::Text => ColumnBuilder::Text(Vec::new()),
            ColumnType::Flag => ColumnBuilder::Flag(Vec::new()),
            ColumnType::Floats => ColumnBuilder::Floats(Vec::new()),
        }
    }

    /// The values of a finished column.
    ///
    /// # Errors
    /// If the column has another type.
    pub fn from_column(
        column_type: ColumnType,
        column: &polars::prelude::Column,
    ) -> PolarsResult<ColumnBuilder> {
        Ok(match column_type {
            ColumnType::Integer => ColumnBuilder::Integer(column.i64()?.iter().collect()),
            ColumnType::Float => ColumnBuilder::Float(column.f64()?.iter().collect()),
            ColumnType::Text => {
                ColumnBuilder::Text(column.str()?.iter().map(|text| text.map(str::to_string)).collect())
            }
            ColumnType::Flag => ColumnBuilder::Flag(column.bool()?.iter().collect()),
            ColumnType::Floats => {
                let lists = column.list()?;
                ColumnBuilder::Floats((0..lists.len()).map(|index| lists.get_as_series(index)).collect())
            }
        })
    }

    /// The last value as JSON; null for an empty column.
    fn last_as_json(self) -> serde_json::Value {
        use serde_json::json;
        match self {
            ColumnBuilder::Integer(mut values) => json!(values.pop().flatten()),
            ColumnBuilder::Float(mut values) => json!(values.pop().flatten()),
            ColumnBuilder::Text(mut values) => json!(values.pop().flatten()),
            ColumnBuilder::Flag(mut values) => json!(values.pop().flatten()),
            ColumnBuilder::Floats(mut values) => {
                let values = values.pop().flatten();
                let floats = values
                    .and_then(|values| Some(values.f32().ok()?.into_no_null_iter().collect::<Vec<f32>>()));
                json!(floats)
            }
        }
    }

    /// The finished column.
    ///
    /// # Errors
    /// If polars refuses the cast of an all-null list column.
    pub fn finish(self, name: &str) -> PolarsResult<polars::prelude::Column> {
        let name: PlSmallStr = name.into();
        let series = match self {
            ColumnBuilder::Integer(values) => Series::new(name, values),
            ColumnBuilder::Float(values) => Series::new(name, values),
            ColumnBuilder::Text(values) => Series::new(name, values),
            ColumnBuilder::Flag(values) => Series::new(name, values),
            ColumnBuilder::Floats(values) => Series::new(name, values).cast(&ColumnType::Floats.dtype())?,
        };
        Ok(series.into())
    }
}

/// Converts `rows` to a data frame.
///
/// # Errors
/// If Polars cannot build a column.
pub fn to_data_frame<R: TableRow>(rows: &[R]) -> PolarsResult<DataFrame> {
    let mut columns: Vec<ColumnBuilder> =
        R::columns().iter().map(|column| ColumnBuilder::new(column.column_type)).collect();
    for row in rows {
        row.append_to(&mut columns);
    }
    let columns: PolarsResult<Vec<polars::prelude::Column>> =
        columns.into_iter().zip(R::columns()).map(|(built, column)| built.finish(column.name)).collect();
    DataFrame::new(rows.len(), columns?)
}

/// A type whose values fill one column.
trait ColumnValue: Sized {
    const TYPE: ColumnType;
    /// Appends a value, or null.
    fn append_value(value: Option<&Self>, column: &mut ColumnBuilder);
    /// The value at `index`; `None` for null, a value out of range, or a column of another type.
    fn value_at(column: &ColumnBuilder, index: usize) -> Option<Self>;
}

/// Implements [`ColumnValue`] for a type, and [`RowField`] for it and its `Option`.
macro_rules! column_value {
    ($type:ty, $column_type:ident, $to_column:expr, $from_column:expr) => {
        impl ColumnValue for $type {
            const TYPE: ColumnType = ColumnType::$column_type;

            fn append_value(value: Option<&Self>, column: &mut ColumnBuilder) {
                if let ColumnBuilder::$column_type(values) = column {
                    values.push(value.and_then($to_column));
                }
            }

            fn value_at(column: &ColumnBuilder, index: usize) -> Option<Self> {
                let ColumnBuilder::$column_type(values) = column else { return None };
                values.get(index)?.as_ref().and_then($from_column)
            }
        }

        impl RowField for $type {
            fn describe(name: &'static str, description: &'static str, columns: &mut Vec<Column>) {
                columns.push(Column { name, column_type: <$type>::TYPE, description });
            }

            fn append_to(&self, columns: &mut std::slice::IterMut<ColumnBuilder>) {
                if let Some(column) = columns.next() {
                    <$type>::append_value(Some(self), column);
                }
            }

            fn read_at(columns: &mut std::slice::Iter<ColumnBuilder>, index: usize) -> Self {
                Option::<$type>::read_at(columns, index).unwrap_or_default()
            }
        }

        impl RowField for Option<$type> {
            fn describe(name: &'static str, description: &'static str, columns: &mut Vec<Column>) {
                <$type>::describe(name, description, columns);
            }

            fn append_to(&self, columns: &mut std::slice::IterMut<ColumnBuilder>) {
                if let Some(column) = columns.next() {
                    <$type>::append_value(self.as_ref(), column);
                }
            }

            fn read_at(columns: &mut std::slice::Iter<ColumnBuilder>, index: usize) -> Self {
                columns.next().and_then(|column| <$type>::value_at(column, index))
            }
        }
    };
}

column_value!(u32, Integer, |value: &u32| Some(i64::from(*value)), |value: &i64| u32::try_from(*value).ok());
// counts beyond i64 do not occur
column_value!(u64, Integer, |value: &u64| i64::try_from(*value).ok(), |value: &i64| u64::try_from(*value)
    .ok());
// NaN and infinities are unknown, therefore null
column_value!(f32, Float, |value: &f32| value.is_finite().then_some(f64::from(*value)), |value: &f64| Some(
    *value as f32
));
column_value!(f64, Float, |value: &f64| value.is_finite().then_some(*value), |value: &f64| Some(*value));
column_value!(String, Text, |value: &String| Some(value.clone()), |value: &String| Some(value.clone()));
column_value!(bool, Flag, |value: &bool| Some(*value), |value: &bool| Some(*value));
column_value!(Precision, Text, |value: &Precision| Some(value.name().to_string()), |value: &String| value
    .parse()
    .ok());
column_value!(VideoMode, Text, |value: &VideoMode| Some(value.name().to_string()), |value: &String| value
    .parse()
    .ok());
column_value!(Outcome, Text, |value: &Outcome| Some(value.name().to_string()), |value: &String| value
    .parse()
    .ok());
column_value!(
    Vec<f32>,
    Floats,
    |value: &Vec<f32>| Some(Series::new(PlSmallStr::EMPTY, value.as_slice())),
    |value: &Series| Some(value.f32().ok()?.into_no_null_iter().collect())
);

/// Declares a struct whose fields are columns or groups of columns. Column names are the names of the fields,
/// descriptions are their documentation.
macro_rules! column_group {
    ($(#[$meta:meta])* pub struct $name:ident {
        $($(#[doc = $doc:literal])* pub $field:ident: $type:ty,)*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $($(#[doc = $doc])* pub $field: $type,)*
        }

        impl $crate::tables::column::RowField for $name {
            fn describe(
                _: &'static str,
                _: &'static str,
                columns: &mut Vec<$crate::tables::column::Column>,
            ) {
                $(<$type as $crate::tables::column::RowField>::describe(
                    stringify!($field),
                    concat!($($doc),*).trim_ascii(),
                    columns,
                );)*
            }

            fn append_to(&self, columns: &mut std::slice::IterMut<$crate::tables::column::ColumnBuilder>) {
                $($crate::tables::column::RowField::append_to(&self.$field, columns);)*
            }

            fn read_at(
                columns: &mut std::slice::Iter<$crate::tables::column::ColumnBuilder>,
                index: usize,
            ) -> Self {
                // fields are evaluated in the order written, which is the order of the columns
                $name { $($field: $crate::tables::column::RowField::read_at(columns, index),)* }
            }
        }
    };
}
pub(crate) use column_group;

/// Declares the struct of a table's rows: a [`column_group!`] that implements [`TableRow`].
macro_rules! table {
    ($(#[$meta:meta])* pub struct $name:ident in $table:literal { $($fields:tt)* }) => {
        $crate::tables::column::column_group! {
            $(#[$meta])* pub struct $name { $($fields)* }
        }

        impl $crate::tables::column::TableRow for $name {
            const TABLE: &'static str = $table;

            fn columns() -> &'static [$crate::tables::column::Column] {
                static COLUMNS: std::sync::LazyLock<Vec<$crate::tables::column::Column>> =
                    std::sync::LazyLock::new(|| {
                        let mut columns = Vec::new();
                        <$name as $crate::tables::column::RowField>::describe("", "", &mut columns);
                        columns
                    });
                &COLUMNS
            }

            fn append_to(&self, columns: &mut [$crate::tables::column::ColumnBuilder]) {
                $crate::tables::column::RowField::append_to(self, &mut columns.iter_mut());
            }

            fn from_columns(columns: &[$crate::tables::column::ColumnBuilder], index: usize) -> Self {
                $crate::tables::column::RowField::read_at(&mut columns.iter(), index)
            }
        }
    };
}
pub(crate) use table;
