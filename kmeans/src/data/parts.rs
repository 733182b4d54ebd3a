//! Parts: the files of a data set, their formats and shapes, gzipped or not.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use serde::{Deserialize, Serialize};

use super::{DIGITS, Hints, csv, npy, packed};
use crate::error::{Error, Result};
use crate::kernel::{Element, Precision};

/// How much is read at once.
const BUFFER_BYTES: usize = 1 << 20;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

static DIGITS_CSV_GZ: &[u8] = include_bytes!("../../data/digits.csv.gz");

/// What is in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// One file of a data set, counted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Part {
    origin: Origin,
    gzip: bool,
    layout: Layout,
    pub(super) dims: usize,
    pub(super) rows: u64,
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
    pub(super) rows: u64,
    pub(super) precision: Precision,
}

impl Part {
    pub(super) fn open(origin: Origin, hints: Hints) -> Result<Self> {
        let path = origin.path();
        let format = match &origin {
            Origin::Digits => Format::Csv,
            Origin::File(path) => match hints.format.or_else(|| Format::of(path)) {
                Some(format) => format,
                None => return Err(Error::UnknownFormat { path: path.clone() }),
            },
        };
        let gzip =
            origin.reader(false)?.fill_buf().map_err(Error::io(path))?.starts_with(&GZIP_MAGIC);
        let mut reader = origin.reader(gzip)?;
        let bytes = match &origin {
            Origin::File(path) if !gzip => Some(fs::metadata(path).map_err(Error::io(path))?.len()),
            _ => None,
        };
        let shape = match format {
            Format::Csv => csv::shape(path, &mut reader)?,
            Format::Npy => npy::shape(path, &mut reader)?,
            Format::F32 => packed::shape(path, packed::Number::F4, hints.dims, bytes, &mut reader)?,
            Format::F64 => packed::shape(path, packed::Number::F8, hints.dims, bytes, &mut reader)?,
        };
        let Shape { layout, dims, rows, precision } = shape;
        Ok(Self { origin, gzip, layout, dims, rows, precision })
    }

    /// Appends the given rows of this part to `values`.
    pub(super) fn load<T: Element>(&self, rows: Range<u64>, values: &mut Vec<T>) -> Result<()> {
        let mut reader = self.origin.reader(self.gzip)?;
        match &self.layout {
            Layout::Csv(layout) => {
                csv::load(self.path(), layout, self.dims, rows, &mut reader, values)
            }
            Layout::Numbers(layout) => {
                packed::load(self.path(), *layout, self.dims, rows, &mut reader, values)
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.origin.path()
    }
}

impl Origin {
    fn path(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::Digits => Path::new(DIGITS),
        }
    }

    fn reader(&self, gzip: bool) -> Result<Reader> {
        let raw = match self {
            Self::File(path) => Raw::File(File::open(path).map_err(Error::io(path))?),
            Self::Digits => Raw::Digits(io::Cursor::new(DIGITS_CSV_GZ)),
        };
        let raw = BufReader::with_capacity(BUFFER_BYTES, raw);
        Ok(if gzip {
            Reader::Gzip(Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(raw))))
        } else {
            Reader::Plain(raw)
        })
    }
}

/// A part's bytes, decompressed on the way.
pub(super) enum Reader {
    Plain(BufReader<Raw>),
    Gzip(Box<BufReader<MultiGzDecoder<BufReader<Raw>>>>),
}

impl Reader {
    /// Goes on `bytes` later; a compressed stream has to be read through.
    pub(super) fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let signed =
            i64::try_from(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        match self {
            Self::Plain(reader) => reader.seek_relative(signed),
            Self::Gzip(reader) => io::copy(&mut reader.take(bytes), &mut io::sink()).map(drop),
        }
    }

    /// Whether [`Reader::skip`] is free.
    pub(super) fn seeks(&self) -> bool {
        matches!(self, Self::Plain(_))
    }
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

/// A part's bytes as stored.
pub(super) enum Raw {
    File(File),
    Digits(io::Cursor<&'static [u8]>),
}

impl Read for Raw {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(buffer),
            Self::Digits(bytes) => bytes.read(buffer),
        }
    }
}

impl Seek for Raw {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::File(file) => file.seek(to),
            Self::Digits(bytes) => bytes.seek(to),
        }
    }
}

/// The file itself, or the files of a folder in the order of their names.
pub(super) fn find(path: &Path) -> Result<Vec<PathBuf>> {
    if !fs::metadata(path).map_err(Error::io(path))?.is_dir() {
        return Ok(vec![path.to_path_buf()]);
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
    if files.is_empty() { Err(Error::EmptyFolder { path: path.to_path_buf() }) } else { Ok(files) }
}
