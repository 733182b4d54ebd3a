//! Generated points: Gaussian clusters of equal size around uniformly drawn centres, determined by
//! the seed.
//!
//! Every number is a hash of (seed, row, dimension), so files can have any size and are written row
//! by row.

use std::f64::consts::TAU;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::error::{Error, Result};
use crate::init::{Draw, below, hash, unit};
use crate::output::{self, OutputFile};
use crate::s3::S3Endpoint;

/// Centres are within this distance of the origin, in each dimension.
const CENTRE_MAX: f64 = 10.0;

/// Bytes per write.
const PIECE_BYTES: usize = 64 << 10;

/// Which points to make.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Recipe {
    /// Make this many points.
    #[arg(long, value_name = "N", default_value_t = 500_000)]
    pub points: u64,
    /// Give each point this many coordinates.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub dims: usize,
    /// Spread the points over this many clusters.
    #[arg(long, value_name = "N", default_value_t = 25)]
    pub clusters: u64,
    /// Use this standard deviation within a cluster; centres are within 10 of the origin in each
    /// dimension.
    #[arg(long, value_name = "DISTANCE", default_value_t = 1.0)]
    pub spread: f64,
    /// Derive all numbers from this one.
    #[arg(long, value_name = "N", default_value_t)]
    pub seed: u64,
}

impl Recipe {
    /// Writes the points. The extension of the name determines the format: `.csv`, `.npy`, `.f32`
    /// or `.f64`, each with `.gz` appended if the file is to be compressed.
    ///
    /// # Errors
    ///
    /// An unknown extension, a number that is 0, or a file that cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        self.write_parts(path, 1, &S3Endpoint::default(), &mut |_| ())
    }

    /// Writes the points to several files: `points.csv` becomes `points-00000.csv`,
    /// `points-00001.csv` and so on if there is more than one. Calls `on_rows` with the number of
    /// rows as they are written.
    ///
    /// # Errors
    ///
    /// Those of [`Recipe::write`].
    pub fn write_parts(
        &self,
        path: &Path,
        parts: u64,
        endpoint: &S3Endpoint,
        on_rows: &mut dyn FnMut(u64),
    ) -> Result<()> {
        let flag = |flag| Err(Error::Flag { flag, reason: "there must be at least one" });
        if self.points == 0 {
            return flag("--points");
        }
        if self.dims == 0 {
            return flag("--dims");
        }
        if self.clusters == 0 {
            return flag("--clusters");
        }
        if parts == 0 {
            return flag("--parts");
        }
        for part in 0..parts {
            let cut = |part: u64| {
                let row = u128::from(self.points) * u128::from(part) / u128::from(parts);
                u64::try_from(row).expect("a part is no larger than the whole")
            };
            let name = if parts == 1 { path.to_path_buf() } else { numbered(path, part) };
            self.write_part(&name, cut(part)..cut(part + 1), endpoint, on_rows)?;
        }
        Ok(())
    }

    fn write_part(
        &self,
        path: &Path,
        rows: Range<u64>,
        endpoint: &S3Endpoint,
        on_rows: &mut dyn FnMut(u64),
    ) -> Result<()> {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().to_ascii_lowercase())
            .unwrap_or_default();
        let (name, gzip) = name.strip_suffix(".gz").map_or((&*name, false), |name| (name, true));
        let encode = match name.rsplit_once('.').map(|(_, ending)| ending) {
            None if output::is_stdout(path) => csv,
            Some("csv") => csv,
            Some("npy" | "f32") => f32_bytes,
            Some("f64") => f64_bytes,
            _ => return Err(Error::UnknownFormat { path: path.to_path_buf() }),
        };
        let mut out = OutputFile::create(path, endpoint)?;
        let written = if gzip {
            let mut encoder = GzEncoder::new(&mut out, Compression::fast());
            self.rows(name, encode, rows, &mut encoder, on_rows)
                .and_then(|()| encoder.finish().map(drop))
        } else {
            self.rows(name, encode, rows, &mut out, on_rows)
        };
        written.map_err(Error::io(path))?;
        out.finish()
    }

    fn rows(
        &self,
        name: &str,
        encode: fn(&[f64], &mut Vec<u8>),
        rows: Range<u64>,
        out: &mut dyn Write,
        on_rows: &mut dyn FnMut(u64),
    ) -> io::Result<()> {
        if name.ends_with(".npy") {
            out.write_all(&self.npy_header(rows.end - rows.start))?;
        }
        let mut row = vec![0.0; self.dims];
        let mut bytes = Vec::new();
        let mut reported = rows.start;
        for index in rows.clone() {
            self.row(index, &mut row);
            encode(&row, &mut bytes);
            if bytes.len() >= PIECE_BYTES {
                out.write_all(&bytes)?;
                bytes.clear();
                on_rows(index + 1 - reported);
                reported = index + 1;
            }
        }
        out.write_all(&bytes)?;
        on_rows(rows.end - reported);
        Ok(())
    }

    fn row(&self, index: u64, row: &mut [f64]) {
        let cluster = below(hash(self.seed, Draw::Row, index), self.clusters);
        for (dim, pair) in (0u64..).zip(row.chunks_mut(2)) {
            // Box and Muller: two normal numbers from two uniform ones.
            let radius = (-2.0 * unit(hash(self.seed, Draw::Generate(dim * 2), index)).ln()).sqrt();
            let angle = TAU * unit(hash(self.seed, Draw::Generate(dim * 2 + 1), index));
            for ((x, noise), half) in
                pair.iter_mut().zip([radius * angle.cos(), radius * angle.sin()]).zip(0u64..)
            {
                let centre = unit(hash(!self.seed, Draw::Generate(dim * 2 + half), cluster));
                *x = CENTRE_MAX * (2.0 * centre - 1.0) + self.spread * noise;
            }
        }
    }

    fn npy_header(&self, rows: u64) -> Vec<u8> {
        const OPENING: &[u8; 8] = b"\x93NUMPY\x01\x00";
        const ALIGNMENT: usize = 64;
        let shape = (rows, self.dims);
        let dictionary =
            format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape:?}, }}");
        let total = (OPENING.len() + 2 + dictionary.len() + 1).next_multiple_of(ALIGNMENT);
        let length =
            u16::try_from(total - OPENING.len() - 2).expect("two numbers make a short header");
        let mut header = OPENING.to_vec();
        header.extend(length.to_le_bytes());
        header.extend(dictionary.as_bytes());
        header.resize(total - 1, b' ');
        header.push(b'\n');
        header
    }
}

/// Returns the name of one of several parts: its number is before the first dot.
fn numbered(path: &Path, part: u64) -> PathBuf {
    // As text, because a path would drop a slash of a URL.
    let text = path.to_string_lossy();
    let name = text.rfind('/').map_or(0, |slash| slash + 1);
    let dot = text[name..].find('.').map_or(text.len(), |dot| name + dot);
    PathBuf::from(format!("{}-{part:05}{}", &text[..dot], &text[dot..]))
}

fn csv(row: &[f64], out: &mut Vec<u8>) {
    for (column, x) in row.iter().enumerate() {
        let separator = if column == 0 { "" } else { "," };
        write!(out, "{separator}{x:.6}").expect("writing to memory succeeds");
    }
    out.push(b'\n');
}

#[expect(clippy::cast_possible_truncation, reason = "the format has 32 bits")]
fn f32_bytes(row: &[f64], out: &mut Vec<u8>) {
    row.iter().for_each(|x| out.extend((*x as f32).to_le_bytes()));
}

fn f64_bytes(row: &[f64], out: &mut Vec<u8>) {
    row.iter().for_each(|x| out.extend(x.to_le_bytes()));
}
