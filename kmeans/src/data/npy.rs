//! NumPy array files, versions 1 to 3: C order, little-endian floats and integers, one or two
//! dimensions.
//!
//! The format is that of `numpy/lib/format.py`: magic, version, header length, then a Python
//! dictionary with `descr`, `fortran_order` and `shape`. Only these three values are searched for;
//! Python is not parsed.

use std::io::Read;
use std::path::Path;

use super::Missing;
use super::packed::{NumberLayout, NumberType};
use super::parts::{PartReader, PartShape};
use crate::error::{Error, FormatError, Result};

pub(super) const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// NumPy refuses longer headers.
const HEADER_BYTES_MAX: usize = 10_000;

pub(super) fn shape(path: &Path, missing: Missing, reader: &mut PartReader) -> Result<PartShape> {
    let (header, start) = header(reader).map_err(|reason| Error::format(path, reason))?;
    let (number, rows, dims) = parse(&header).map_err(|reason| Error::format(path, reason))?;
    let layout = NumberLayout { number, start, missing };
    Ok(PartShape::of_numbers(layout, dims, Some(rows)))
}

/// Reads the dictionary; returns it and the position of the first number.
fn header(reader: &mut impl Read) -> Result<(String, u64), FormatError> {
    const SHORT: FormatError = FormatError::Npy("it ends within the header");
    let mut opening = [0; 8];
    reader.read_exact(&mut opening).map_err(|_| SHORT)?;
    if !opening.starts_with(MAGIC) {
        return Err(FormatError::Npy("it does not begin with the magic bytes"));
    }
    let mut length = [0; 4];
    let length_bytes = match opening[6] {
        1 => 2,
        2 | 3 => 4,
        _ => return Err(FormatError::Npy("its version is not 1, 2 or 3")),
    };
    reader.read_exact(&mut length[..length_bytes]).map_err(|_| SHORT)?;
    let length = u32::from_le_bytes(length);
    let mut header = match usize::try_from(length) {
        Ok(length) if length <= HEADER_BYTES_MAX => vec![0; length],
        _ => return Err(FormatError::Npy("its header is too long")),
    };
    reader.read_exact(&mut header).map_err(|_| SHORT)?;
    let header =
        String::from_utf8(header).map_err(|_| FormatError::Npy("its header is not text"))?;
    Ok((header, (opening.len() + length_bytes) as u64 + u64::from(length)))
}

/// Returns element type, rows and columns.
fn parse(header: &str) -> Result<(NumberType, u64, usize), FormatError> {
    let descr = entry(header, "descr").ok_or(FormatError::Npy("its header has no element type"))?;
    let descr = descr
        .strip_prefix(['\'', '"'])
        .and_then(|rest| rest.split(['\'', '"']).next())
        .unwrap_or(descr);
    let number = match descr {
        "<f4" => NumberType::F4,
        "<f8" => NumberType::F8,
        "|i1" | "<i1" => NumberType::I1,
        "<i2" => NumberType::I2,
        "<i4" => NumberType::I4,
        "<i8" => NumberType::I8,
        "|u1" | "<u1" | "|b1" => NumberType::U1,
        "<u2" => NumberType::U2,
        "<u4" => NumberType::U4,
        "<u8" => NumberType::U8,
        other => return Err(FormatError::ElementType(other.chars().take(40).collect())),
    };
    let fortran =
        entry(header, "fortran_order").ok_or(FormatError::Npy("its header has no order"))?;
    let shape = entry(header, "shape").and_then(|rest| rest.strip_prefix('(')?.split(')').next());
    let shape = shape
        .and_then(|shape| {
            let sizes = shape.split(',').map(str::trim).filter(|size| !size.is_empty());
            sizes.map(|size| size.parse::<u64>().ok()).collect::<Option<Vec<_>>>()
        })
        .ok_or(FormatError::Npy("its header has no shape"))?;
    let (rows, dims) = match shape[..] {
        [rows] => (rows, 1),
        [rows, dims] => (rows, dims),
        _ => return Err(FormatError::Shape(shape.len())),
    };
    // With one column both orders are the same.
    if fortran.starts_with("True") && dims > 1 {
        return Err(FormatError::FortranOrder);
    }
    let dims = usize::try_from(dims).map_err(|_| FormatError::Npy("its rows are too long"))?;
    if dims == 0 { Err(FormatError::NoColumns) } else { Ok((number, rows, dims)) }
}

/// Returns the text after the colon of a quoted key.
fn entry<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let after =
        ['\'', '"'].iter().find_map(|quote| header.split_once(&format!("{quote}{key}{quote}")))?.1;
    Some(after.trim_start().strip_prefix(':')?.trim_start())
}
