//! Parquet files, here and in a store: columns of numbers, by name.
//!
//! The footer has the number of rows, so that a file need not be read to be counted. Workers read the
//! row groups that have their rows, and of them only the selected columns, a column at a time. Nulls
//! and NaN are missing values. A file of which rows are left out is not counted before it is read; its
//! row groups are then shared by the position of their bytes.

use std::io::Read;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use ::parquet::basic::{ConvertedType, LogicalType};
use ::parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use ::parquet::data_type::DataType;
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::ColumnChunkMetaData;
use ::parquet::file::reader::{ChunkReader, FileReader, Length, SerializedFileReader};
use ::parquet::schema::types::ColumnDescriptor;
use bytes::{Buf, Bytes};
use serde::{Deserialize, Serialize};

use super::parts::{PartAccess, PartLayout, PartOrigin, PartShape};
use super::{Hints, LoadedValues, Missing, ReadMeter, csv, index};
use crate::error::{Error, FormatError, Result, RowError};
use crate::kernel::{Element, Precision};
use crate::s3::S3Endpoint;

/// What files begin with.
pub(super) const MAGIC: &[u8] = b"PAR1";

/// Rows that are decoded at a time.
const PIECE_ROWS: usize = 8_192;

/// The most bytes that are read at once outside of columns, for the footer.
const FOOTER_BYTES: u64 = 1 << 20;

/// How the columns are read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ParquetLayout {
    /// The columns that are coordinates, in the order of the coordinates.
    columns: Vec<usize>,
    missing: Missing,
    groups: Vec<RowGroup>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct RowGroup {
    rows: u64,
    /// Where its first column begins in the file.
    byte: u64,
}

impl ParquetLayout {
    /// Takes the coordinates in another order: `order[i]` is the present number of coordinate `i`.
    pub(super) fn reorder(&mut self, order: &[usize]) {
        self.columns = order.iter().map(|column| self.columns[*column]).collect();
    }
}

/// A part as the crate reads it.
struct OpenParquet {
    path: std::path::PathBuf,
    chunks: PartChunks,
    reader: SerializedFileReader<PartChunks>,
}

impl OpenParquet {
    fn open(origin: &PartOrigin, bytes: u64, access: PartAccess<'_>) -> Result<Self> {
        let path = origin.path();
        let chunks = PartChunks {
            origin: origin.clone(),
            bytes,
            endpoint: access.endpoint.clone(),
            meter: access.meter.clone(),
            cached: Arc::default(),
        };
        let reader =
            SerializedFileReader::new(chunks.clone()).map_err(|cause| failed(&path, cause))?;
        Ok(Self { path, chunks, reader })
    }
}

/// Inspects a file: its columns and the number of its rows.
pub(super) fn shape(
    origin: &PartOrigin,
    bytes: u64,
    hints: &Hints,
    access: PartAccess<'_>,
) -> Result<PartShape> {
    let OpenParquet { path, reader, .. } = OpenParquet::open(origin, bytes, access)?;
    let about = reader.metadata();
    let schema = about.file_metadata().schema_descr();
    let all: Vec<String> = schema.columns().iter().map(|column| column.path().string()).collect();
    let wrong = |reason| Error::format(&path, reason);
    let columns = csv::columns(hints, &all, all.len()).map_err(wrong)?;
    let columns = columns.unwrap_or_else(|| (0..all.len()).collect());
    if columns.is_empty() {
        return Err(wrong(FormatError::NoColumns));
    }
    let mut narrow = true;
    for column in &columns {
        let is_narrow = check_column(&schema.column(*column));
        narrow &= is_narrow
            .map_err(|kind| wrong(FormatError::ColumnType { name: all[*column].clone(), kind }))?;
    }
    let chunks =
        about.row_groups().iter().flat_map(|group| columns.iter().map(|c| group.column(*c)));
    for compression in chunks.map(ColumnChunkMetaData::compression) {
        use ::parquet::basic::Compression::{GZIP, SNAPPY, UNCOMPRESSED};
        if !matches!(compression, UNCOMPRESSED | SNAPPY | GZIP(_)) {
            return Err(wrong(FormatError::Codec { codec: compression.to_string() }));
        }
    }
    let groups = about.row_groups().iter().map(|group| RowGroup {
        rows: group.num_rows().cast_unsigned(),
        byte: group.column(columns[0]).byte_range().0,
    });
    let groups: Vec<RowGroup> = groups.collect();
    let rows = groups.iter().map(|group| group.rows).sum();
    let is_counted = hints.missing != Missing::Drop || rows == 0;
    let names = columns.iter().map(|column| all[*column].clone()).collect();
    let dims = columns.len();
    let layout = ParquetLayout { columns, missing: hints.missing, groups };
    Ok(PartShape {
        layout: PartLayout::Parquet(layout),
        dims,
        rows: is_counted.then_some(rows),
        precision: if narrow { Precision::F32 } else { Precision::F64 },
        names,
        dropped: 0,
    })
}

/// Returns whether the numbers of a column fit f32, or what it contains instead of numbers.
fn check_column(column: &ColumnDescriptor) -> Result<bool, String> {
    use ::parquet::basic::Type;
    if column.max_rep_level() > 0 {
        return Err("lists".to_string());
    }
    let is_plain = match column.logical_type_ref() {
        None | Some(LogicalType::Integer { .. }) => true,
        Some(other) => {
            // Without the details, such as the unit of a time.
            let kind = format!("{other:?}");
            return Err(kind.split(['(', ' ']).next().unwrap_or_default().to_string());
        }
    };
    let is_small = match (column.physical_type(), column.converted_type()) {
        (Type::BOOLEAN, _) => true,
        (Type::FLOAT, ConvertedType::NONE) => true,
        (Type::DOUBLE, ConvertedType::NONE) => false,
        (
            Type::INT32,
            ConvertedType::INT_8
            | ConvertedType::INT_16
            | ConvertedType::UINT_8
            | ConvertedType::UINT_16,
        ) => true,
        (
            Type::INT32 | Type::INT64,
            ConvertedType::NONE
            | ConvertedType::INT_32
            | ConvertedType::UINT_32
            | ConvertedType::INT_64
            | ConvertedType::UINT_64,
        ) => false,
        (kind, ConvertedType::NONE) => return Err(format!("{kind:?}")),
        (_, converted) => return Err(format!("{converted:?}")),
    };
    Ok(is_plain && is_small)
}

/// Appends the given rows of a counted part.
pub(super) fn load<T: Element>(
    origin: &PartOrigin,
    bytes: u64,
    layout: &ParquetLayout,
    rows: Range<u64>,
    access: PartAccess<'_>,
    loaded: &mut LoadedValues<'_, T>,
) -> Result<()> {
    let file = OpenParquet::open(origin, bytes, access)?;
    let mut first = 0;
    for (group, RowGroup { rows: count, .. }) in layout.groups.iter().enumerate() {
        let own = super::within(&rows, first..first + count);
        if !own.is_empty() {
            file.load_group(layout, group, own, first, loaded)?;
        }
        first += count;
    }
    Ok(())
}

/// Appends the rows of the row groups that begin within the given bytes, without those that are left
/// out.
pub(super) fn load_bytes<T: Element>(
    origin: &PartOrigin,
    bytes: u64,
    layout: &ParquetLayout,
    own: Range<u64>,
    access: PartAccess<'_>,
    loaded: &mut LoadedValues<'_, T>,
) -> Result<()> {
    let file = OpenParquet::open(origin, bytes, access)?;
    let mut first = 0;
    for (group, RowGroup { rows, byte }) in layout.groups.iter().enumerate() {
        if own.contains(byte) {
            file.load_group(layout, group, 0..*rows, first, loaded)?;
        }
        first += rows;
    }
    Ok(())
}

impl OpenParquet {
    /// Appends rows of a group, whose first row is number `first` of the file.
    fn load_group<T: Element>(
        &self,
        layout: &ParquetLayout,
        number: usize,
        rows: Range<u64>,
        first: u64,
        loaded: &mut LoadedValues<'_, T>,
    ) -> Result<()> {
        let failed = |cause| failed(&self.path, cause);
        let group = self.reader.get_row_group(number).map_err(failed)?;
        let dims = layout.columns.len();
        let count = index(rows.end - rows.start);
        let start = loaded.values.len();
        loaded.values.resize(start + count * dims, T::default());
        for (at, column) in layout.columns.iter().enumerate() {
            let (from, length) = group.metadata().column(*column).byte_range();
            self.chunks.cache(from..from + length).map_err(failed)?;
            let reader = group.get_column_reader(*column).map_err(failed)?;
            let about = group.metadata().column(*column).column_descr();
            let values = numbers(reader, &rows, about).map_err(failed)?;
            if values.len() != count {
                let row = first + rows.start + values.len() as u64 + 1;
                return Err(Error::Shrunk { path: self.path.clone(), row });
            }
            let places = loaded.values[start + at..].iter_mut().step_by(dims);
            places.zip(&values).for_each(|(place, value)| *place = T::from_f64(*value));
        }
        self.settle_missing(layout, start, first + rows.start, loaded)
    }

    /// Refuses missing and infinite values from `start` on, or leaves their rows out, or counts them.
    fn settle_missing<T: Element>(
        &self,
        layout: &ParquetLayout,
        start: usize,
        first: u64,
        loaded: &mut LoadedValues<'_, T>,
    ) -> Result<()> {
        if crate::kernel::all_finite(&loaded.values[start..]) {
            return Ok(());
        }
        let dims = layout.columns.len();
        let mut kept = start;
        for at in (start..loaded.values.len()).step_by(dims) {
            let row = first + ((at - start) / dims) as u64 + 1;
            let mut is_missing = false;
            for column in 0..dims {
                let value = loaded.values[at + column].to_f64();
                let reason = if value.is_infinite() {
                    RowError::NotFinite { column: column + 1, value }
                } else if value.is_nan() && layout.missing == Missing::Error {
                    RowError::Missing { column: column + 1, text: "null".to_string() }
                } else {
                    loaded.missing += u64::from(value.is_nan() && layout.missing == Missing::Mean);
                    is_missing |= value.is_nan();
                    continue;
                };
                return Err(Error::Row { path: self.path.clone(), row, line: None, reason });
            }
            if is_missing && layout.missing == Missing::Drop {
                loaded.missing += 1;
                continue;
            }
            loaded.values.copy_within(at..at + dims, kept);
            kept += dims;
        }
        loaded.values.truncate(kept);
        Ok(())
    }
}

fn is_unsigned(column: &ColumnDescriptor) -> bool {
    matches!(
        column.converted_type(),
        ConvertedType::UINT_8
            | ConvertedType::UINT_16
            | ConvertedType::UINT_32
            | ConvertedType::UINT_64
    )
}

/// Reads rows of a column. Nulls are NaN.
fn numbers(
    reader: ColumnReader,
    rows: &Range<u64>,
    about: &ColumnDescriptor,
) -> Result<Vec<f64>, ParquetError> {
    let (unsigned, rows) = (is_unsigned(about), (rows, about.max_def_level()));
    match reader {
        ColumnReader::BoolColumnReader(reader) => read(reader, rows, |x| f64::from(u8::from(*x))),
        ColumnReader::Int32ColumnReader(reader) if unsigned => {
            read(reader, rows, |x| f64::from(x.cast_unsigned()))
        }
        ColumnReader::Int32ColumnReader(reader) => read(reader, rows, |x| f64::from(*x)),
        ColumnReader::Int64ColumnReader(reader) if unsigned => {
            read(reader, rows, |x| x.cast_unsigned() as f64)
        }
        ColumnReader::Int64ColumnReader(reader) => read(reader, rows, |x| *x as f64),
        ColumnReader::FloatColumnReader(reader) => read(reader, rows, |x| f64::from(*x)),
        ColumnReader::DoubleColumnReader(reader) => read(reader, rows, |x| *x),
        _ => unreachable!("the types of columns are checked"),
    }
}

fn read<D: DataType>(
    mut reader: ColumnReaderImpl<D>,
    (rows, full): (&Range<u64>, i16),
    number: impl Fn(&D::T) -> f64,
) -> Result<Vec<f64>, ParquetError> {
    reader.skip_records(index(rows.start))?;
    let count = index(rows.end - rows.start);
    let mut all = Vec::with_capacity(count);
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    while all.len() < count {
        values.clear();
        levels.clear();
        let most = PIECE_ROWS.min(count - all.len());
        let (records, ..) = reader.read_records(most, Some(&mut levels), None, &mut values)?;
        if records == 0 {
            break;
        }
        if values.len() == records {
            all.extend(values.iter().map(&number));
            continue;
        }
        // A value is there where all optional parents are.
        let mut values = values.iter();
        all.extend(levels.iter().map(|level| match *level == full {
            true => values.next().map_or(f64::NAN, &number),
            false => f64::NAN,
        }));
    }
    Ok(all)
}

/// The bytes of a part, of which a piece is kept: the column that is read.
#[derive(Clone)]
struct PartChunks {
    origin: PartOrigin,
    bytes: u64,
    endpoint: S3Endpoint,
    meter: ReadMeter,
    cached: Arc<Mutex<(u64, Bytes)>>,
}

impl PartChunks {
    /// Reads a piece in one go, and keeps it instead of the one before.
    fn cache(&self, range: Range<u64>) -> Result<(), ParquetError> {
        let piece = self.fetch(range.clone())?;
        *self.cached.lock().unwrap_or_else(PoisonError::into_inner) = (range.start, piece);
        Ok(())
    }

    fn fetch(&self, range: Range<u64>) -> Result<Bytes, ParquetError> {
        let access = PartAccess { endpoint: &self.endpoint, meter: &self.meter };
        let external = |error: Error| ParquetError::External(Box::new(error));
        let mut reader = self.origin.reader(false, range.clone(), access).map_err(external)?;
        let mut piece = vec![0; index(range.end.saturating_sub(range.start))];
        reader
            .read_exact(&mut piece)
            .map_err(|cause| external(Error::io(&self.origin.path())(cause)))?;
        Ok(piece.into())
    }

    fn get(&self, range: Range<u64>) -> Result<Bytes, ParquetError> {
        {
            let (start, piece) = &*self.cached.lock().unwrap_or_else(PoisonError::into_inner);
            if range.start >= *start && range.end <= start + piece.len() as u64 {
                return Ok(piece.slice(index(range.start - start)..index(range.end - start)));
            }
        }
        self.fetch(range)
    }
}

impl Length for PartChunks {
    fn len(&self) -> u64 {
        self.bytes
    }
}

impl ChunkReader for PartChunks {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let end = cached.0 + cached.1.len() as u64;
        if (cached.0..end).contains(&start) {
            return Ok(cached.1.slice(index(start - cached.0)..).reader());
        }
        Ok(self.get(start..self.bytes.min(start.saturating_add(FOOTER_BYTES)))?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        match start.checked_add(length as u64) {
            Some(end) if end <= self.bytes => self.get(start..end),
            _ => Err(ParquetError::EOF(format!("{length} bytes at {start} are beyond its end"))),
        }
    }
}

/// An error of this crate inside one of the crate that decodes is taken out.
fn failed(path: &Path, cause: ParquetError) -> Error {
    match cause {
        ParquetError::External(inner) => match inner.downcast::<Error>() {
            Ok(error) => *error,
            Err(other) => Error::format(path, FormatError::Parquet(other.to_string())),
        },
        other => Error::format(path, FormatError::Parquet(other.to_string())),
    }
}

#[cfg(test)]
pub(crate) mod tests;
