//! Parts: the files of a data set, with their formats and shapes, gzipped or not.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::thread;

use flate2::bufread::MultiGzDecoder;
use serde::{Deserialize, Serialize};

use super::csv::CsvLayout;
use super::packed::{NumberLayout, NumberType};
use super::parquet::ParquetLayout;
use super::{DIGITS, Hints, LoadedValues, Missing, ReadMeter, csv, npy, packed, parquet};
use crate::error::{Error, Result};
use crate::kernel::{Element, Precision};
#[cfg(feature = "s3")]
use crate::s3;
use crate::s3::S3Endpoint;

/// Bytes per read.
const BUFFER_BYTES: usize = 1 << 20;

/// How many bytes are requested first to inspect a file in a store.
const HEAD_BYTES: u64 = 64 << 10;

/// Files in a store that are inspected at the same time.
const INSPECTIONS_AT_ONCE: usize = 32;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

static DIGITS_CSV_GZ: &[u8] = include_bytes!("../../data/digits.csv.gz");

/// The format of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Lines of numbers, with or without a header.
    #[default]
    Csv,
    /// NumPy array files, which contain their shape.
    Npy,
    /// Little-endian 32-bit floats, row by row, without a header.
    F32,
    /// Little-endian 64-bit floats, row by row, without a header.
    F64,
    /// Columns of numbers, in row groups.
    Parquet,
}

impl Format {
    /// Returns the format by the extension of the name, without a final `.gz`.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let (_, ending) = name.strip_suffix(".gz").unwrap_or(&name).rsplit_once('.')?;
        match ending {
            "csv" | "tsv" | "txt" => Some(Self::Csv),
            "npy" => Some(Self::Npy),
            "f32" => Some(Self::F32),
            "f64" => Some(Self::F64),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }
}

/// The location of a part's bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum PartOrigin {
    File(PathBuf),
    /// What a pipe contained, in a file.
    Pipe {
        /// The name of the pipe, for the user.
        name: PathBuf,
        file: PathBuf,
    },
    /// The shipped data set, in this program.
    Digits,
    #[cfg(feature = "s3")]
    S3(s3::ListedObject),
}

/// One inspected file of a data set.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Part {
    origin: PartOrigin,
    gzip: bool,
    pub(super) layout: PartLayout,
    pub(super) dims: usize,
    /// Number of rows; unknown for text and compressed numbers in a store.
    pub(super) rows: Option<u64>,
    /// Number of bytes, as stored.
    pub(super) bytes: u64,
    /// The precision that holds the part's values without loss.
    pub(super) precision: Precision,
    /// The names of the coordinates in a header, until the parts are joined.
    #[serde(skip)]
    pub(super) names: Vec<String>,
    /// Number of rows that were left out when the part was counted.
    #[serde(skip)]
    pub(super) dropped: u64,
}

/// The format-specific part of a shape.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum PartLayout {
    Csv(CsvLayout),
    Numbers(NumberLayout),
    Parquet(ParquetLayout),
}

/// The result of inspecting a file.
pub(super) struct PartShape {
    pub(super) layout: PartLayout,
    pub(super) dims: usize,
    pub(super) rows: Option<u64>,
    pub(super) precision: Precision,
    pub(super) names: Vec<String>,
    pub(super) dropped: u64,
}

impl PartShape {
    pub(super) fn of_numbers(layout: NumberLayout, dims: usize, rows: Option<u64>) -> Self {
        let precision = layout.number.precision();
        let layout = PartLayout::Numbers(layout);
        Self { layout, dims, rows, precision, names: Vec::new(), dropped: 0 }
    }

    /// Returns the shape of a file without contents or with nothing but comments.
    pub(super) fn without_rows() -> Self {
        let number = NumberType::F4;
        Self::of_numbers(NumberLayout { number, start: 0, missing: Missing::Error }, 1, Some(0))
    }
}

/// How a part's bytes are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct PartAccess<'a> {
    pub(super) endpoint: &'a S3Endpoint,
    pub(super) meter: &'a ReadMeter,
}

impl Part {
    /// Inspects a file. To count its rows it is read through only if it is local.
    pub(super) fn open(origin: PartOrigin, hints: &Hints, access: PartAccess<'_>) -> Result<Self> {
        let path = origin.path();
        let format = match &origin {
            PartOrigin::Digits => Format::Csv,
            _ => match hints.format.or_else(|| Format::of(origin.file().unwrap_or(&path))) {
                Some(format) => format,
                None => return Err(Error::UnknownFormat { path }),
            },
        };
        let bytes = origin.bytes()?;
        let head = 0..HEAD_BYTES;
        let gzip = {
            let mut reader = origin.reader(false, head.clone(), access)?;
            reader.fill_buf().map_err(Error::io(&path))?.starts_with(&GZIP_MAGIC)
        };
        let counts = origin.is_local();
        let expected = if counts { 0..bytes } else { head };
        let mut reader = origin.reader(gzip, expected, access)?;
        let plain_bytes = (!gzip).then_some(bytes);
        let packed = |number, reader: &mut PartReader| {
            packed::shape(&path, number, hints, plain_bytes, counts, reader)
        };
        let is_empty = reader.fill_buf().map_err(Error::io(&path))?.is_empty();
        if matches!(format, Format::Npy | Format::F32 | Format::F64)
            && let Some(flag) = hints.flag_of_columns()
        {
            return Err(Error::Flag {
                flag,
                reason: "numbers in .npy and packed files have no columns",
            });
        }
        let shape = match format {
            // Programs that write parts leave empty ones.
            _ if is_empty => PartShape::without_rows(),
            Format::Csv => csv::shape(&path, hints, counts, &mut reader)?,
            Format::Npy => npy::shape(&path, hints.missing, &mut reader)?,
            Format::F32 => packed(NumberType::F4, &mut reader)?,
            Format::F64 => packed(NumberType::F8, &mut reader)?,
            Format::Parquet => parquet::shape(&origin, bytes, hints, access)?,
        };
        let PartShape { layout, dims, rows, precision, names, dropped } = shape;
        Ok(Self { origin, gzip, layout, dims, rows, bytes, precision, names, dropped })
    }

    /// Appends the given rows of this counted part to `values`.
    pub(super) fn load<T: Element>(
        &self,
        rows: Range<u64>,
        access: PartAccess<'_>,
        values: &mut LoadedValues<'_, T>,
    ) -> Result<()> {
        let path = self.path();
        match &self.layout {
            PartLayout::Csv(layout) => {
                let (from, end) = layout.place(&rows);
                let mut reader = self.origin.reader(self.gzip, from.byte()..end, access)?;
                csv::load(&path, layout, from, rows, &mut reader, values)
            }
            PartLayout::Parquet(layout) => {
                parquet::load(&self.origin, self.bytes, layout, rows, access, values)
            }
            PartLayout::Numbers(layout) => {
                let bytes = layout.bytes(&rows, self.dims);
                let mut reader = self.origin.reader(self.gzip, bytes, access)?;
                packed::load(&path, *layout, self.dims, rows, &mut reader, values)
            }
        }
    }

    /// Appends the rows that begin within the given bytes of this part; the range may end after it.
    /// A compressed part belongs to the share that has its first byte.
    pub(super) fn load_bytes<T: Element>(
        &self,
        bytes: Range<u64>,
        access: PartAccess<'_>,
        values: &mut LoadedValues<'_, T>,
    ) -> Result<()> {
        if self.gzip && bytes.start > 0 {
            return Ok(());
        }
        let bytes = if self.gzip { 0..u64::MAX } else { bytes };
        let path = self.path();
        match (&self.layout, self.rows) {
            (PartLayout::Csv(layout), _) => {
                let start = layout.start(bytes.start);
                let mut reader = self.origin.reader(self.gzip, start..bytes.end, access)?;
                csv::load_bytes(&path, layout, bytes, &mut reader, values)
            }
            (PartLayout::Parquet(layout), _) => {
                parquet::load_bytes(&self.origin, self.bytes, layout, bytes, access, values)
            }
            (PartLayout::Numbers(layout), Some(rows)) => {
                let rows = layout.rows(&bytes, self.dims, rows);
                if rows.is_empty() { Ok(()) } else { self.load(rows, access, values) }
            }
            (PartLayout::Numbers(layout), None) => {
                let mut reader = self.origin.reader(self.gzip, layout.start..u64::MAX, access)?;
                packed::load_all(&path, *layout, self.dims, &mut reader, values)
            }
        }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.origin.path()
    }

    pub(super) fn is_compressed(&self) -> bool {
        self.gzip
    }

    /// Returns the path of a file on this machine.
    pub(super) fn file(&self) -> Option<&Path> {
        self.origin.file()
    }

    /// Returns whether programs on other machines can read it.
    pub(super) fn is_shared(&self) -> bool {
        self.file().is_none()
    }
}

impl PartOrigin {
    /// Returns the name for the user.
    pub(super) fn path(&self) -> PathBuf {
        match self {
            Self::File(path) | Self::Pipe { name: path, .. } => path.clone(),
            Self::Digits => PathBuf::from(DIGITS),
            #[cfg(feature = "s3")]
            Self::S3(object) => object.path(),
        }
    }

    /// Returns the path of a file on this machine.
    fn file(&self) -> Option<&Path> {
        match self {
            Self::File(file) | Self::Pipe { file, .. } => Some(file),
            Self::Digits => None,
            #[cfg(feature = "s3")]
            Self::S3(_) => None,
        }
    }

    /// Returns the number of bytes, as stored.
    fn bytes(&self) -> Result<u64> {
        match self {
            Self::File(path) | Self::Pipe { file: path, .. } => {
                Ok(fs::metadata(path).map_err(Error::io(path))?.len())
            }
            Self::Digits => Ok(DIGITS_CSV_GZ.len() as u64),
            #[cfg(feature = "s3")]
            Self::S3(object) => Ok(object.size),
        }
    }

    /// Returns whether reading it twice costs little.
    fn is_local(&self) -> bool {
        match self {
            Self::File(_) | Self::Pipe { .. } | Self::Digits => true,
            #[cfg(feature = "s3")]
            Self::S3(_) => false,
        }
    }

    /// Returns a reader from `bytes.start` of the contents on, which is expected to be read up to
    /// `bytes.end`.
    pub(super) fn reader(
        &self,
        gzip: bool,
        bytes: Range<u64>,
        access: PartAccess<'_>,
    ) -> Result<PartReader> {
        let (path, PartAccess { meter, .. }) = (self.path(), access);
        // A compressed stream has to be read through.
        let stored = if gzip { 0..u64::MAX } else { bytes.clone() };
        let source = match self {
            Self::File(path) | Self::Pipe { file: path, .. } => {
                let mut file = File::open(path).map_err(Error::io(path))?;
                if stored.start > 0 {
                    file.seek(SeekFrom::Start(stored.start)).map_err(Error::io(path))?;
                }
                PartSource::File(BufReader::with_capacity(BUFFER_BYTES, file))
            }
            Self::Digits => {
                let mut contents = io::Cursor::new(DIGITS_CSV_GZ);
                contents.set_position(stored.start);
                PartSource::Digits(contents)
            }
            #[cfg(feature = "s3")]
            Self::S3(object) => {
                let store = s3::S3Store::open(access.endpoint)?;
                PartSource::S3(s3::S3Reader::new(store, object.clone(), stored))
            }
        };
        let source = MeteredSource { source, meter: meter.clone() };
        if !gzip {
            return Ok(PartReader::Plain(source));
        }
        let decoder = MultiGzDecoder::new(source);
        let mut reader = BufReader::with_capacity(BUFFER_BYTES, decoder);
        let mut before = (&mut reader).take(bytes.start);
        io::copy(&mut before, &mut io::sink()).map_err(Error::io(&path))?;
        Ok(PartReader::Gzip(Box::new(reader)))
    }
}

/// A reader of a part's contents, which decompresses.
pub(super) enum PartReader {
    Plain(MeteredSource),
    Gzip(Box<BufReader<MultiGzDecoder<MeteredSource>>>),
}

impl Read for PartReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(reader) => reader.read(buffer),
            Self::Gzip(reader) => reader.read(buffer),
        }
    }
}

impl BufRead for PartReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self {
            Self::Plain(reader) => reader.fill_buf(),
            Self::Gzip(reader) => reader.fill_buf(),
        }
    }

    fn consume(&mut self, amount: usize) {
        match self {
            Self::Plain(reader) => reader.consume(amount),
            Self::Gzip(reader) => reader.consume(amount),
        }
    }
}

/// A reader of a part's stored bytes, which counts them.
pub(super) struct MeteredSource {
    source: PartSource,
    meter: ReadMeter,
}

enum PartSource {
    File(BufReader<File>),
    Digits(io::Cursor<&'static [u8]>),
    #[cfg(feature = "s3")]
    S3(s3::S3Reader),
}

impl Read for MeteredSource {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.source {
            // Large reads bypass the buffer.
            PartSource::File(file) => file.read(buffer)?,
            PartSource::Digits(contents) => contents.read(buffer)?,
            #[cfg(feature = "s3")]
            PartSource::S3(stream) => {
                let mut ahead = stream.fill()?;
                let count = ahead.read(buffer)?;
                stream.consume(count);
                count
            }
        };
        self.meter.add(count);
        Ok(count)
    }
}

impl BufRead for MeteredSource {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match &mut self.source {
            PartSource::File(file) => file.fill_buf(),
            PartSource::Digits(contents) => contents.fill_buf(),
            #[cfg(feature = "s3")]
            PartSource::S3(stream) => stream.fill(),
        }
    }

    fn consume(&mut self, amount: usize) {
        self.meter.add(amount);
        match &mut self.source {
            PartSource::File(file) => file.consume(amount),
            PartSource::Digits(contents) => contents.consume(amount),
            #[cfg(feature = "s3")]
            PartSource::S3(stream) => stream.consume(amount),
        }
    }
}

/// Inspects several files at the same time, because each inspection in a store is a round trip.
pub(super) fn open_all(
    origins: Vec<PartOrigin>,
    hints: &Hints,
    access: PartAccess<'_>,
) -> Result<Vec<Part>> {
    let at_once =
        if origins.iter().any(|origin| !origin.is_local()) { INSPECTIONS_AT_ONCE } else { 1 };
    let mut parts = Vec::with_capacity(origins.len());
    let mut origins = origins.into_iter();
    loop {
        let batch: Vec<PartOrigin> = origins.by_ref().take(at_once).collect();
        if batch.is_empty() {
            return Ok(parts);
        }
        thread::scope(|scope| {
            let inspections: Vec<_> = batch
                .into_iter()
                .map(|origin| scope.spawn(move || Part::open(origin, hints, access)))
                .collect();
            inspections.into_iter().try_for_each(|inspection| {
                parts.push(inspection.join().expect("inspecting does not panic")?);
                Ok(())
            })
        })?;
    }
}
