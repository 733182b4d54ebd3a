//! The output of a run: centroids and labels as files, the result as JSON or as text.

mod run_report;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::data::DataSet;
use crate::error::{Error, Result};
use crate::kernel::{Element, Precision};
use crate::s3::{self, S3Endpoint, S3Url};

pub use run_report::{ReadingReport, RunReport};
pub(crate) use run_report::{write_reading, write_transform};

/// Bytes per write.
const BUFFER_BYTES: usize = 1 << 20;

/// A file, or an object in a store, that is being written. It is complete after
/// [`OutputFile::finish`]; an object does not exist before.
#[derive(Debug)]
pub struct OutputFile {
    path: PathBuf,
    to: OutputTarget,
}

#[derive(Debug)]
enum OutputTarget {
    File(BufWriter<File>),
    Stdout(BufWriter<io::Stdout>),
    #[cfg(feature = "s3")]
    S3(s3::S3Writer),
}

impl OutputFile {
    /// Checks a path before there is anything to write.
    ///
    /// # Errors
    ///
    /// A path in a store that this program cannot use, one that is a folder, or a file that cannot be
    /// written.
    pub fn check(path: &Path, endpoint: &S3Endpoint) -> Result<()> {
        if is_stdout(path) {
            return Ok(());
        }
        if let Some(url) = S3Url::of(path)? {
            return to_store(url, endpoint).map(drop);
        }
        let refuse = |reason| Err(Error::Output { path: path.to_path_buf(), reason });
        match fs::metadata(path) {
            Ok(about) if about.is_dir() => {
                refuse("this is a folder; pass the name of a file in it")
            }
            Ok(_) => {
                // Neither creates nor changes it.
                File::options().append(true).open(path).map(drop).map_err(Error::io(path))
            }
            Err(_) => match path.parent() {
                Some(parent) if parent != Path::new("") && !parent.is_dir() => {
                    refuse("its folder does not exist; create it first")
                }
                _ => {
                    let new = File::options().write(true).create_new(true).open(path);
                    new.and_then(|_| fs::remove_file(path)).map_err(Error::io(path))
                }
            },
        }
    }

    /// Creates the file or object at a path.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn create(path: &Path, endpoint: &S3Endpoint) -> Result<Self> {
        let to = match S3Url::of(path)? {
            Some(url) => to_store(url, endpoint)?,
            None if is_stdout(path) => {
                OutputTarget::Stdout(BufWriter::with_capacity(BUFFER_BYTES, io::stdout()))
            }
            None => {
                let file = File::create(path).map_err(Error::io(path))?;
                OutputTarget::File(BufWriter::with_capacity(BUFFER_BYTES, file))
            }
        };
        Ok(Self { path: path.to_path_buf(), to })
    }

    /// Writes the rest.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn finish(self) -> Result<()> {
        match self.to {
            OutputTarget::File(mut file) => file.flush().map_err(Error::io(&self.path)),
            OutputTarget::Stdout(mut out) => out.flush().map_err(Error::stdout),
            #[cfg(feature = "s3")]
            OutputTarget::S3(sink) => sink.finish(),
        }
    }
}

/// Returns whether a path means standard output.
#[must_use]
pub fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}

#[cfg(feature = "s3")]
fn to_store(url: S3Url, endpoint: &S3Endpoint) -> Result<OutputTarget> {
    Ok(OutputTarget::S3(s3::S3Writer::new(s3::S3Store::open(endpoint)?, url)?))
}

#[cfg(not(feature = "s3"))]
fn to_store(url: S3Url, _: &S3Endpoint) -> Result<OutputTarget> {
    s3::not_built(&url)
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.to {
            OutputTarget::File(file) => file.write(bytes),
            OutputTarget::Stdout(out) => out.write(bytes).map_err(Error::in_stdout),
            #[cfg(feature = "s3")]
            OutputTarget::S3(sink) => sink.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.to {
            OutputTarget::File(file) => file.flush(),
            OutputTarget::Stdout(out) => out.flush().map_err(Error::in_stdout),
            #[cfg(feature = "s3")]
            OutputTarget::S3(sink) => sink.flush(),
        }
    }
}

/// Writes one centroid per line, in the precision of the data.
///
/// # Errors
///
/// The file cannot be written.
pub fn write_centroids(
    path: &Path,
    endpoint: &S3Endpoint,
    data: &DataSet,
    centroids: &[f64],
) -> Result<()> {
    write_file(path, endpoint, |out| {
        for centroid in centroids.chunks_exact(data.dims()) {
            for (column, c) in centroid.iter().enumerate() {
                let separator = if column == 0 { "" } else { "," };
                match data.precision() {
                    Precision::F32 => write!(out, "{separator}{}", f32::from_f64(*c))?,
                    Precision::F64 => write!(out, "{separator}{c}")?,
                }
            }
            writeln!(out)?;
        }
        Ok(())
    })
}

/// Writes the cluster of each point, one per line, in the order of the points.
///
/// # Errors
///
/// The file cannot be written.
pub fn write_labels(path: &Path, endpoint: &S3Endpoint, labels: &[u32]) -> Result<()> {
    write_file(path, endpoint, |out| labels.iter().try_for_each(|label| writeln!(out, "{label}")))
}

/// Writes a file or an object.
///
/// # Errors
///
/// It cannot be written.
pub fn write_file(
    path: &Path,
    endpoint: &S3Endpoint,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    let mut out = OutputFile::create(path, endpoint)?;
    write(&mut out).map_err(Error::io(path))?;
    out.finish()
}

/// Formats a number with commas between groups of three digits.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_three() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
