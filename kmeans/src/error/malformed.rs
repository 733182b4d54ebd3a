//! What is wrong with a file or a row.

use super::suffixes::NotANumberAdvice;

/// What is wrong with a row.
#[derive(Debug, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum RowError {
    /// Too many or too few numbers.
    #[error("{got} numbers, expected {expected} as in the first row")]
    Ragged {
        /// Length of the first row.
        expected: usize,
        /// Length of this row.
        got: usize,
    },
    /// Not a number.
    #[error("column {column}: {text:?} is not a number{}", NotANumberAdvice(text))]
    NotANumber {
        /// Number of the column, from 1.
        column: usize,
        /// The field, truncated.
        text: String,
    },
    /// Not a number, in a first line that may have been meant as a header.
    #[error(
        "column {column}: {text:?} is not a number{}; if the first line is the names of the columns, pass \
         --header yes",
        NotANumberAdvice(text)
    )]
    NotANumberInFirst {
        /// Number of the column, from 1.
        column: usize,
        /// The field, truncated.
        text: String,
    },
    /// A value is missing.
    #[error(
        "column {column}: {text:?} is a missing value; pass --missing drop to leave such rows out, \
         or --missing mean"
    )]
    Missing {
        /// Number of the column, from 1.
        column: usize,
        /// The field.
        text: String,
    },
    /// A comma in place of the decimal point.
    #[error("column {column}: {text:?} has a decimal comma; write the numbers with a point")]
    DecimalComma {
        /// Number of the column, from 1.
        column: usize,
        /// The field.
        text: String,
    },
    /// A quoted field that does not end on its line.
    #[error(
        "a quoted field does not end on its line; line ends within quotes are not supported, \
         because workers divide files at line ends"
    )]
    OpenQuote,
    /// A carriage return in the middle of a line.
    #[error("a carriage return within the line; write the file with one kind of line ends")]
    CarriageReturn,
    /// NaN or infinity, in the file or after rounding to f32.
    #[error("column {column}: {value} is not a finite number; clean the data first")]
    NotFinite {
        /// Number of the column, from 1.
        column: usize,
        /// The number.
        value: f64,
    },
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum FormatError {
    /// No `.npy` magic, or a malformed header.
    #[error("not a valid .npy file: {0}")]
    Npy(&'static str),
    /// The crate that decodes Parquet refused a file.
    #[error("not a Parquet file that can be read: {0}")]
    Parquet(String),
    /// A Parquet file is compressed in a way that cannot be read.
    #[error(
        "columns are compressed by {codec}; write the file with Snappy, gzip or without compression"
    )]
    Codec {
        /// The codec.
        codec: String,
    },
    /// A column of a Parquet file is not of numbers.
    #[error("column {name:?} is {kind}, not numbers; select others with --columns, or convert it")]
    ColumnType {
        /// The column.
        name: String,
        /// Its type.
        kind: String,
    },
    /// An unsupported element type.
    #[error(
        "element type {0} is not supported; save it with numpy as '<f4', '<f8' or a little-endian integer"
    )]
    ElementType(String),
    /// Column-major order.
    #[error("the array is in Fortran order; save numpy.ascontiguousarray(array)")]
    FortranOrder,
    /// Not one or two dimensions.
    #[error("the array has {0} dimensions; reshape it to (points, dims)")]
    Shape(usize),
    /// The size is not a multiple of a row.
    #[error(
        "{bytes} bytes are not a whole number of rows of {row_bytes} bytes; check --dims and --format"
    )]
    Size {
        /// Bytes of the file.
        bytes: u64,
        /// Bytes of a row.
        row_bytes: u64,
    },
    /// Rows without numbers.
    #[error("rows have no columns")]
    NoColumns,
    /// A first row that may be names of columns.
    #[error(
        "the first line is 0, 1, 2 and so on, which may be names of columns, as pandas writes them, \
         or a point; pass --header yes or --header no"
    )]
    NumericHeader,
    /// A first row that may be names of columns, or a point with a mistake in it.
    #[error(
        "row 1 (line {line}): column {column}: {text:?} is neither plainly a number nor plainly the name of \
         a column; correct it, or pass --header yes if the line is names, --header no if it is a point"
    )]
    DoubtfulHeader {
        /// Number of the line, from 1.
        line: u64,
        /// Number of the column, from 1.
        column: usize,
        /// The field, truncated.
        text: String,
    },
    /// UTF-16.
    #[error("the file is UTF-16; save it as UTF-8")]
    Utf16,
    /// There is no such column.
    #[error("there is no column {name:?}; {columns}")]
    NoColumn {
        /// The name.
        name: String,
        /// Which columns there are.
        columns: String,
    },
    /// Several columns have the requested name.
    #[error("several columns are named {name:?}; select columns by number")]
    TwoColumns {
        /// The name.
        name: String,
    },
    /// A column is selected twice.
    #[error("--columns selects column {column} twice")]
    SameColumn {
        /// Its number, from 1.
        column: usize,
    },
}
