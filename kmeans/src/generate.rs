//! Made-up points: equal Gaussian clusters around centres drawn uniformly, the same for the same seed.
//!
//! Every number is a hash of (seed, row, dimension), so files can be of any size and are written row by row.

use std::f64::consts::TAU;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::error::{Error, Result};
use crate::init::{Draw, below, hash, unit};

/// Centres lie within this of the origin, in each dimension.
const CENTRE_MAX: f64 = 10.0;

/// What to make.
#[derive(Debug, Clone, Copy)]
pub struct Recipe {
    /// Rows.
    pub points: u64,
    /// Numbers in a row.
    pub dims: usize,
    /// Clusters; row `i` belongs to one that a hash of `i` picks.
    pub clusters: u64,
    /// Standard deviation within a cluster.
    pub spread: f64,
    /// What all numbers depend on.
    pub seed: u64,
}

impl Recipe {
    /// Writes the points; the name's ending says how: `.csv`, `.npy`, `.f32` or `.f64`, with `.gz` after it if wanted.
    ///
    /// # Errors
    ///
    /// An ending that says nothing, numbers that make no sense, a file that cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
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
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().to_ascii_lowercase())
            .unwrap_or_default();
        let (name, gzip) = name.strip_suffix(".gz").map_or((&*name, false), |name| (name, true));
        let encode = match name.rsplit_once('.').map(|(_, ending)| ending) {
            Some("csv") => csv,
            Some("npy" | "f32") => f32_bytes,
            Some("f64") => f64_bytes,
            _ => return Err(Error::UnknownFormat { path: path.to_path_buf() }),
        };
        let file = BufWriter::with_capacity(1 << 20, File::create(path).map_err(Error::io(path))?);
        let written = if gzip {
            let mut encoder = GzEncoder::new(file, Compression::fast());
            self.rows(name, encode, &mut encoder).and_then(|()| encoder.finish()?.flush())
        } else {
            let mut file = file;
            self.rows(name, encode, &mut file).and_then(|()| file.flush())
        };
        written.map_err(Error::io(path))
    }

    fn rows(
        &self,
        name: &str,
        encode: fn(&[f64], &mut Vec<u8>),
        out: &mut dyn Write,
    ) -> io::Result<()> {
        if name.ends_with(".npy") {
            out.write_all(&self.npy_header())?;
        }
        let mut row = vec![0.0; self.dims];
        let mut bytes = Vec::new();
        for index in 0..self.points {
            self.row(index, &mut row);
            bytes.clear();
            encode(&row, &mut bytes);
            out.write_all(&bytes)?;
        }
        Ok(())
    }

    fn row(&self, index: u64, row: &mut [f64]) {
        let cluster = below(hash(self.seed, Draw::Row, index), self.clusters);
        for (dim, pair) in (0u64..).zip(row.chunks_mut(2)) {
            // Box and Muller: two uniform numbers make two normal ones.
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

    fn npy_header(&self) -> Vec<u8> {
        const OPENING: &[u8; 8] = b"\x93NUMPY\x01\x00";
        const ALIGNMENT: usize = 64;
        let shape = (self.points, self.dims);
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

fn csv(row: &[f64], out: &mut Vec<u8>) {
    for (column, x) in row.iter().enumerate() {
        let separator = if column == 0 { "" } else { "," };
        write!(out, "{separator}{x:.6}").expect("memory takes all");
    }
    out.push(b'\n');
}

#[expect(clippy::cast_possible_truncation, reason = "the format asks for 32 bits")]
fn f32_bytes(row: &[f64], out: &mut Vec<u8>) {
    row.iter().for_each(|x| out.extend((*x as f32).to_le_bytes()));
}

fn f64_bytes(row: &[f64], out: &mut Vec<u8>) {
    row.iter().for_each(|x| out.extend(x.to_le_bytes()));
}
