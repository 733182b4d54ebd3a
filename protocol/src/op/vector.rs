//! Ops on a vector: rows × columns of numbers of one type, with a version.

use crate::body::{Elements, Scalar};

/// An op on a vector. Reads of a vector that was never written are refused with `Absent`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum VectorOp<'a> {
    /// Returns the version, shape and elements.
    Get,
    /// Returns the version, and shape and elements if the version is above `version`.
    GetIfNewer {
        /// The version the caller has.
        version: u64,
    },
    /// Creates the vector with these elements if it does not exist; otherwise only checks that type
    /// and shape are the same. Returns the version.
    Init {
        /// Elements per row; divides their number.
        columns: u32,
        /// The elements, row by row.
        elements: Elements<'a>,
    },
    /// Replaces type, shape and elements. Returns the new version.
    Set {
        /// Elements per row; divides their number.
        columns: u32,
        /// The elements, row by row.
        elements: Elements<'a>,
    },
    /// Adds element by element; creates a vector of one row if it does not exist. Returns the new
    /// version. `Mismatch` if type or length differ, `Overflow` if an integer does not fit.
    Add {
        /// The elements to add.
        elements: Elements<'a>,
    },
    /// Returns the version, and shape and elements of some rows. `OutOfRange` if there are fewer.
    GetRows {
        /// The first row, from 0.
        from: u32,
        /// How many.
        count: u32,
    },
    /// Adds to whole rows, element by element. Returns the new version.
    AddRows {
        /// The first row, from 0.
        from: u32,
        /// The elements to add, as many as the rows have.
        elements: Elements<'a>,
    },
    /// Multiplies every element. Returns the new version.
    Scale {
        /// The factor, of the vector's type.
        factor: Scalar,
    },
    /// Returns the dot product with these elements, added in their order.
    Dot {
        /// As many as the vector has, of its type.
        elements: Elements<'a>,
    },
    /// Returns the sum of all elements, added in their order.
    Sum,
}
