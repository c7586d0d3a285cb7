//! Columns: their kinds, their builders, and the macro that makes a row's struct its table's schema.

use polars::prelude::*;

/// What a column holds. Every kind can be null: unknown is null, never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 64-bit integers.
    Integer,
    /// 64-bit floats.
    Float,
    Text,
    Flag,
    /// A list of 32-bit floats.
    Floats,
}

impl Kind {
    /// Polars' type for the kind.
    pub fn dtype(self) -> DataType {
        match self {
            Kind::Integer => DataType::Int64,
            Kind::Float => DataType::Float64,
            Kind::Text => DataType::String,
            Kind::Flag => DataType::Boolean,
            Kind::Floats => DataType::List(Box::new(DataType::Float32)),
        }
    }
}

/// One column of a table.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// The name, units included.
    pub name: &'static str,
    pub kind: Kind,
    /// What it means, from the field's documentation.
    pub meaning: &'static str,
}

/// A row that knows its table. Made by [`table!`].
pub trait Row: serde::Serialize + serde::de::DeserializeOwned {
    /// The table's name in SQL and the stem of its file.
    const TABLE: &'static str;
    /// The columns in order.
    const COLUMNS: &'static [Column];

    /// Adds this row's values to the columns under construction, in order.
    fn push(&self, columns: &mut [Building]);

    /// The row at `at` of finished columns, in order. What is null where the field cannot be is its default.
    fn pull(columns: &[Building], at: usize) -> Self;
}

/// A column under construction.
#[derive(Debug)]
pub enum Building {
    Integer(Vec<Option<i64>>),
    Float(Vec<Option<f64>>),
    Text(Vec<Option<String>>),
    Flag(Vec<Option<bool>>),
    Floats(Vec<Option<Series>>),
}

impl Building {
    /// An empty column of `kind`.
    pub fn new(kind: Kind) -> Building {
        match kind {
            Kind::Integer => Building::Integer(Vec::new()),
            Kind::Float => Building::Float(Vec::new()),
            Kind::Text => Building::Text(Vec::new()),
            Kind::Flag => Building::Flag(Vec::new()),
            Kind::Floats => Building::Floats(Vec::new()),
        }
    }

    /// Takes a column apart again.
    ///
    /// # Errors
    /// If the column is of another kind.
    pub fn from_column(kind: Kind, column: &polars::prelude::Column) -> PolarsResult<Building> {
        Ok(match kind {
            Kind::Integer => Building::Integer(column.i64()?.iter().collect()),
            Kind::Float => Building::Float(column.f64()?.iter().collect()),
            Kind::Text => Building::Text(column.str()?.iter().map(|text| text.map(str::to_string)).collect()),
            Kind::Flag => Building::Flag(column.bool()?.iter().collect()),
            Kind::Floats => {
                let lists = column.list()?;
                Building::Floats((0..lists.len()).map(|at| lists.get_as_series(at)).collect())
            }
        })
    }

    /// The finished column.
    ///
    /// # Errors
    /// If polars refuses the cast of an all-null list column.
    pub fn finish(self, name: &str) -> PolarsResult<polars::prelude::Column> {
        let name: PlSmallStr = name.into();
        let series = match self {
            Building::Integer(values) => Series::new(name, values),
            Building::Float(values) => Series::new(name, values),
            Building::Text(values) => Series::new(name, values),
            Building::Flag(values) => Series::new(name, values),
            Building::Floats(values) => Series::new(name, values).cast(&Kind::Floats.dtype())?,
        };
        Ok(series.into())
    }
}

/// A type of field that a column can be made of.
pub trait Value {
    const KIND: Kind;
    fn push(&self, column: &mut Building);
    fn pull(column: &Building, at: usize) -> Self;
}

macro_rules! value {
    ($type:ty, $kind:ident, $there:expr, $back:expr) => {
        impl Value for $type {
            const KIND: Kind = Kind::$kind;
            fn push(&self, column: &mut Building) {
                push_option(Some(self), column);
            }
            fn pull(column: &Building, at: usize) -> Self {
                Self::fetch(column, at).unwrap_or_default()
            }
        }
        impl Value for Option<$type> {
            const KIND: Kind = Kind::$kind;
            fn push(&self, column: &mut Building) {
                push_option(self.as_ref(), column);
            }
            fn pull(column: &Building, at: usize) -> Self {
                <$type>::fetch(column, at)
            }
        }
        impl Convert for $type {
            fn append(value: Option<&Self>, column: &mut Building) {
                if let Building::$kind(values) = column {
                    values.push(value.and_then($there));
                }
            }
            fn fetch(column: &Building, at: usize) -> Option<Self> {
                let Building::$kind(values) = column else { return None };
                values.get(at)?.as_ref().and_then($back)
            }
        }
    };
}

trait Convert: Sized {
    fn append(value: Option<&Self>, column: &mut Building);
    fn fetch(column: &Building, at: usize) -> Option<Self>;
}

fn push_option<T: Convert>(value: Option<&T>, column: &mut Building) {
    T::append(value, column);
}

value!(u32, Integer, |value: &u32| Some(i64::from(*value)), |value: &i64| u32::try_from(*value).ok());
// a count beyond i64 is no count that this program can make
value!(u64, Integer, |value: &u64| i64::try_from(*value).ok(), |value: &i64| u64::try_from(*value).ok());
// not a number is unknown
value!(f32, Float, |value: &f32| value.is_finite().then_some(f64::from(*value)), |value: &f64| Some(
    *value as f32
));
value!(f64, Float, |value: &f64| value.is_finite().then_some(*value), |value: &f64| Some(*value));
value!(String, Text, |value: &String| Some(value.clone()), |value: &String| Some(value.clone()));
value!(bool, Flag, |value: &bool| Some(*value), |value: &bool| Some(*value));
value!(
    Vec<f32>,
    Floats,
    |value: &Vec<f32>| Some(Series::new(PlSmallStr::EMPTY, value.as_slice())),
    |value: &Series| Some(value.f32().ok()?.into_no_null_iter().collect())
);

/// Declares a row's struct and with it the table: names, kinds and meanings are the fields' own.
macro_rules! table {
    ($(#[$meta:meta])* pub struct $name:ident in $table:literal {
        $($(#[doc = $doc:literal])* pub $field:ident: $type:ty,)*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $($(#[doc = $doc])* pub $field: $type,)*
        }

        impl $crate::tables::column::Row for $name {
            const TABLE: &'static str = $table;
            const COLUMNS: &'static [$crate::tables::column::Column] = &[
                $($crate::tables::column::Column {
                    name: stringify!($field),
                    kind: <$type as $crate::tables::column::Value>::KIND,
                    meaning: concat!($($doc),*),
                },)*
            ];

            fn push(&self, columns: &mut [$crate::tables::column::Building]) {
                let mut columns = columns.iter_mut();
                $(if let Some(column) = columns.next() {
                    $crate::tables::column::Value::push(&self.$field, column);
                })*
            }

            fn pull(columns: &[$crate::tables::column::Building], at: usize) -> Self {
                let mut columns = columns.iter();
                let mut row = Self::default();
                $(if let Some(column) = columns.next() {
                    row.$field = $crate::tables::column::Value::pull(column, at);
                })*
                row
            }
        }
    };
}
pub(crate) use table;
