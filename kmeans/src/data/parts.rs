//! Parts: the files of a data set, their formats and shapes, gzipped or not.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::thread;

use flate2::bufread::MultiGzDecoder;
use serde::{Deserialize, Serialize};

use super::{DIGITS, Hints, Meter, csv, npy, packed};
use crate::error::{Error, Result};
use crate::kernel::{Element, Precision};
use crate::s3::{self, Endpoint, Url};

/// How much is read at once.
const BUFFER_BYTES: usize = 1 << 20;

/// What looking at a file far away asks for at first.
const HEAD_BYTES: u64 = 64 << 10;

/// Files far away that are looked at together.
const LOOKS_AT_ONCE: usize = 32;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

static DIGITS_CSV_GZ: &[u8] = include_bytes!("../../data/digits.csv.gz");

/// What is in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Lines of numbers, with or without a header.
    Csv,
    /// NumPy's array file, which says its own shape.
    Npy,
    /// Nothing but little-endian 32-bit floats, row by row.
    F32,
    /// Nothing but little-endian 64-bit floats, row by row.
    F64,
}

impl Format {
    /// By the name's ending, without a final `.gz`.
    fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let (_, ending) = name.strip_suffix(".gz").unwrap_or(&name).rsplit_once('.')?;
        match ending {
            "csv" | "tsv" | "txt" => Some(Self::Csv),
            "npy" => Some(Self::Npy),
            "f32" => Some(Self::F32),
            "f64" => Some(Self::F64),
            _ => None,
        }
    }
}

/// Where a part's bytes are.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Origin {
    File(PathBuf),
    /// In this program.
    Digits,
    #[cfg(feature = "s3")]
    S3(s3::Object),
}

/// One file of a data set, looked at.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Part {
    origin: Origin,
    gzip: bool,
    layout: Layout,
    pub(super) dims: usize,
    /// If they could be known without reading all of it.
    pub(super) rows: Option<u64>,
    /// As stored.
    pub(super) bytes: u64,
    /// What holds the part's values without loss.
    pub(super) precision: Precision,
}

/// What a loader needs to know beyond rows and dims.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Layout {
    Csv(csv::Layout),
    Numbers(packed::Layout),
}

/// What looking at a file told.
pub(super) struct Shape {
    pub(super) layout: Layout,
    pub(super) dims: usize,
    pub(super) rows: Option<u64>,
    pub(super) precision: Precision,
}

/// How a part's bytes are to be had.
#[derive(Debug, Clone, Copy)]
pub(super) struct Access<'a> {
    #[cfg_attr(not(feature = "s3"), expect(dead_code, reason = "only objects are in a store"))]
    pub(super) endpoint: &'a Endpoint,
    pub(super) meter: &'a Meter,
}

impl Part {
    /// Looks at a file; reads it through, if that is what it takes to count its rows, only where reading is cheap.
    pub(super) fn open(origin: Origin, hints: Hints, access: Access<'_>) -> Result<Self> {
        let path = origin.path();
        let format = match &origin {
            Origin::Digits => Format::Csv,
            _ => match hints.format.or_else(|| Format::of(&path)) {
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
        let counts = origin.is_near();
        let expected = if counts { 0..bytes } else { head };
        let mut reader = origin.reader(gzip, expected, access)?;
        let plain_bytes = (!gzip).then_some(bytes);
        let packed = |number, reader: &mut Reader| {
            packed::shape(&path, number, hints.dims, plain_bytes, counts, reader)
        };
        let shape = match format {
            Format::Csv => csv::shape(&path, counts, &mut reader)?,
            Format::Npy => npy::shape(&path, &mut reader)?,
            Format::F32 => packed(packed::Number::F4, &mut reader)?,
            Format::F64 => packed(packed::Number::F8, &mut reader)?,
        };
        let Shape { layout, dims, rows, precision } = shape;
        Ok(Self { origin, gzip, layout, dims, rows, bytes, precision })
    }

    /// Appends the given rows of this part, which is counted, to `values`.
    pub(super) fn load<T: Element>(
        &self,
        rows: Range<u64>,
        access: Access<'_>,
        values: &mut Vec<T>,
    ) -> Result<()> {
        let path = self.path();
        match &self.layout {
            Layout::Csv(layout) => {
                let (from, end) = layout.place(&rows);
                let mut reader = self.origin.reader(self.gzip, from.byte()..end, access)?;
                csv::load(&path, layout, from, self.dims, rows, &mut reader, values)
            }
            Layout::Numbers(layout) => {
                let bytes = layout.bytes(&rows, self.dims);
                let mut reader = self.origin.reader(self.gzip, bytes, access)?;
                packed::load(&path, *layout, self.dims, rows, &mut reader, values)
            }
        }
    }

    /// Appends the rows that begin within the given bytes of this part, which may be more than it has. A compressed
    /// part is read by whoever has its first byte.
    pub(super) fn load_bytes<T: Element>(
        &self,
        bytes: Range<u64>,
        access: Access<'_>,
        values: &mut Vec<T>,
    ) -> Result<()> {
        if self.gzip && bytes.start > 0 {
            return Ok(());
        }
        let bytes = if self.gzip { 0..u64::MAX } else { bytes };
        let path = self.path();
        match (&self.layout, self.rows) {
            (Layout::Csv(layout), _) => {
                let start = layout.start(bytes.start);
                let mut reader = self.origin.reader(self.gzip, start..bytes.end, access)?;
                csv::load_bytes(&path, layout, bytes, self.dims, &mut reader, values)
            }
            (Layout::Numbers(layout), Some(rows)) => {
                let rows = layout.rows(&bytes, self.dims, rows);
                if rows.is_empty() { Ok(()) } else { self.load(rows, access, values) }
            }
            (Layout::Numbers(layout), None) => {
                let mut reader = self.origin.reader(self.gzip, layout.start..u64::MAX, access)?;
                packed::load_all(&path, *layout, self.dims, &mut reader, values)
            }
        }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.origin.path()
    }

    /// Whether its bytes can be had by programs elsewhere.
    pub(super) fn is_shared(&self) -> bool {
        !matches!(self.origin, Origin::File(_))
    }
}

impl Origin {
    fn path(&self) -> PathBuf {
        match self {
            Self::File(path) => path.clone(),
            Self::Digits => PathBuf::from(DIGITS),
            #[cfg(feature = "s3")]
            Self::S3(object) => object.path(),
        }
    }

    /// How many there are, as stored.
    fn bytes(&self) -> Result<u64> {
        match self {
            Self::File(path) => Ok(fs::metadata(path).map_err(Error::io(path))?.len()),
            Self::Digits => Ok(DIGITS_CSV_GZ.len() as u64),
            #[cfg(feature = "s3")]
            Self::S3(object) => Ok(object.size),
        }
    }

    /// Whether reading all of it once more than needed costs little.
    fn is_near(&self) -> bool {
        match self {
            Self::File(_) | Self::Digits => true,
            #[cfg(feature = "s3")]
            Self::S3(_) => false,
        }
    }

    /// Reads from `bytes.start` of the contents on, presumably up to `bytes.end`.
    fn reader(&self, gzip: bool, bytes: Range<u64>, access: Access<'_>) -> Result<Reader> {
        let (path, Access { meter, .. }) = (self.path(), access);
        // A compressed stream has to be read through.
        let stored = if gzip { 0..u64::MAX } else { bytes.clone() };
        let source = match self {
            Self::File(path) => {
                let mut file = File::open(path).map_err(Error::io(path))?;
                if stored.start > 0 {
                    file.seek(SeekFrom::Start(stored.start)).map_err(Error::io(path))?;
                }
                Source::File(BufReader::with_capacity(BUFFER_BYTES, file))
            }
            Self::Digits => {
                let mut contents = io::Cursor::new(DIGITS_CSV_GZ);
                contents.set_position(stored.start);
                Source::Digits(contents)
            }
            #[cfg(feature = "s3")]
            Self::S3(object) => {
                let store = s3::Store::open(access.endpoint)?;
                Source::S3(s3::Stream::new(store, object.clone(), stored))
            }
        };
        let source = Metered { source, meter: meter.clone() };
        if !gzip {
            return Ok(Reader::Plain(source));
        }
        let decoder = MultiGzDecoder::new(source);
        let mut reader = BufReader::with_capacity(BUFFER_BYTES, decoder);
        let mut before = (&mut reader).take(bytes.start);
        io::copy(&mut before, &mut io::sink()).map_err(Error::io(&path))?;
        Ok(Reader::Gzip(Box::new(reader)))
    }
}

/// A part's bytes, decompressed on the way.
pub(super) enum Reader {
    Plain(Metered),
    Gzip(Box<BufReader<MultiGzDecoder<Metered>>>),
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(reader) => reader.read(buffer),
            Self::Gzip(reader) => reader.read(buffer),
        }
    }
}

impl BufRead for Reader {
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

/// A part's bytes as stored, counted as they are used.
pub(super) struct Metered {
    source: Source,
    meter: Meter,
}

enum Source {
    File(BufReader<File>),
    Digits(io::Cursor<&'static [u8]>),
    #[cfg(feature = "s3")]
    S3(s3::Stream),
}

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.source {
            // Large reads go past the buffer.
            Source::File(file) => file.read(buffer)?,
            Source::Digits(contents) => contents.read(buffer)?,
            #[cfg(feature = "s3")]
            Source::S3(stream) => {
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

impl BufRead for Metered {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match &mut self.source {
            Source::File(file) => file.fill_buf(),
            Source::Digits(contents) => contents.fill_buf(),
            #[cfg(feature = "s3")]
            Source::S3(stream) => stream.fill(),
        }
    }

    fn consume(&mut self, amount: usize) {
        self.meter.add(amount);
        match &mut self.source {
            Source::File(file) => file.consume(amount),
            Source::Digits(contents) => contents.consume(amount),
            #[cfg(feature = "s3")]
            Source::S3(stream) => stream.consume(amount),
        }
    }
}

/// The file itself, or the files of a folder in the order of their names.
pub(super) fn find(path: &Path, endpoint: &Endpoint) -> Result<Vec<Origin>> {
    if let Some(url) = Url::of(path)? {
        return find_in_store(&url, endpoint);
    }
    if !fs::metadata(path).map_err(Error::io(path))?.is_dir() {
        return Ok(vec![Origin::File(path.to_path_buf())]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(Error::io(path))? {
        let entry = entry.map_err(Error::io(path))?;
        let hidden = entry.file_name().to_string_lossy().starts_with(['.', '_']);
        if !hidden && entry.path().is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(Error::EmptyFolder { path: path.to_path_buf() });
    }
    Ok(files.into_iter().map(Origin::File).collect())
}

#[cfg(feature = "s3")]
fn find_in_store(url: &Url, endpoint: &Endpoint) -> Result<Vec<Origin>> {
    let objects = s3::Store::open(endpoint)?.find(url)?;
    Ok(objects.into_iter().map(Origin::S3).collect())
}

#[cfg(not(feature = "s3"))]
fn find_in_store(url: &Url, _: &Endpoint) -> Result<Vec<Origin>> {
    s3::not_built(url)
}

/// Looks at many files at once, which matters where each look is a round trip.
pub(super) fn open_all(
    origins: Vec<Origin>,
    hints: Hints,
    access: Access<'_>,
) -> Result<Vec<Part>> {
    let at_once = if origins.iter().any(|origin| !origin.is_near()) { LOOKS_AT_ONCE } else { 1 };
    let mut parts = Vec::with_capacity(origins.len());
    let mut origins = origins.into_iter();
    loop {
        let batch: Vec<Origin> = origins.by_ref().take(at_once).collect();
        if batch.is_empty() {
            return Ok(parts);
        }
        thread::scope(|scope| {
            let looks: Vec<_> = batch
                .into_iter()
                .map(|origin| scope.spawn(move || Part::open(origin, hints, access)))
                .collect();
            looks.into_iter().try_for_each(|look| {
                parts.push(look.join().expect("looking does not panic")?);
                Ok(())
            })
        })?;
    }
}
