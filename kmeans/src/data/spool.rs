//! Data that can be read only once: standard input, pipes, and what shells substitute for a process.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::{Format, Hints, npy, parquet};
use crate::error::{Error, Result};

/// The contents of a pipe, in a file that is deleted when this is dropped.
#[derive(Debug)]
pub struct Spooled {
    folder: tempfile::TempDir,
    file: &'static str,
    /// The name of the pipe, for the user.
    pipe: PathBuf,
}

/// Folders whose files mean something else in each process, such as `/dev/stdin` and `/dev/fd/63`.
const OF_THE_PROCESS: [&str; 3] = ["/dev", "/proc/self/fd", "/proc/thread-self/fd"];

impl Spooled {
    /// Copies what a pipe contains to a temporary file, because data is read more than once, and by
    /// several workers. `-` is standard input. Returns `None` if the path is that of a file, a folder
    /// or something in a store.
    ///
    /// # Errors
    ///
    /// The pipe cannot be read, or the file cannot be written.
    pub fn of(path: &Path, hints: &Hints) -> Result<Option<Self>> {
        if path == Path::new("-") {
            return Self::copy(path, hints, io::stdin().lock()).map(Some);
        }
        let is_once = match fs::metadata(path) {
            Ok(about) if about.is_dir() => false,
            Ok(about) => !about.is_file() || OF_THE_PROCESS.iter().any(|at| path.starts_with(at)),
            Err(_) => false,
        };
        if !is_once {
            return Ok(None);
        }
        let pipe = File::open(path).map_err(Error::io(path))?;
        Self::copy(path, hints, BufReader::new(pipe)).map(Some)
    }

    fn copy(path: &Path, hints: &Hints, mut from: impl BufRead) -> Result<Self> {
        let opening = from.fill_buf().map_err(Error::io(path))?;
        let format = hints.format.or_else(|| Format::of(path)).unwrap_or_else(|| {
            let magics = [(&npy::MAGIC[..], Format::Npy), (parquet::MAGIC, Format::Parquet)];
            let found = magics.into_iter().find(|(magic, _)| opening.starts_with(magic));
            found.map_or(Format::Csv, |(_, format)| format)
        });
        let file = match format {
            Format::Csv => "pipe.csv",
            Format::Npy => "pipe.npy",
            Format::F32 => "pipe.f32",
            Format::F64 => "pipe.f64",
            Format::Parquet => "pipe.parquet",
        };
        let is_input = path == Path::new("-");
        let pipe = if is_input { PathBuf::from("standard input") } else { path.to_path_buf() };
        let folder = tempfile::tempdir().map_err(Error::io(&std::env::temp_dir()))?;
        let spooled = Self { folder, file, pipe };
        let file = spooled.path();
        let mut out = File::create(&file).map_err(Error::io(&file))?;
        io::copy(&mut from, &mut out).map_err(Error::io(path))?;
        Ok(spooled)
    }

    /// Returns the name of the pipe for the user.
    pub(super) fn pipe(&self) -> &Path {
        &self.pipe
    }

    /// Returns the path of the file.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.path().join(self.file)
    }
}
