//! Ops on a vector: rows × columns of numbers of one type, with a version.

use crate::body::{Elements, Scalar};

/// What can be asked of a vector. Until somebody writes it there is none: reads answer `Absent`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum VectorOp<'a> {
    /// Answers version, shape and elements.
    Get,
    /// Answers as `Get` if the version is above `version`, else only the version.
    GetIfNewer {
        /// The version the caller has.
        version: u64,
    },
    /// Makes a vector if there is none, from the elements given; otherwise only checks that type
    /// and shape are the same. Answers the version.
    Init {
        /// Elements a row; divides their number.
        columns: u32,
        /// The elements, row by row.
        elements: Elements<'a>,
    },
    /// Replaces type, shape and elements. Answers the new version.
    Set {
        /// Elements a row; divides their number.
        columns: u32,
        /// The elements, row by row.
        elements: Elements<'a>,
    },
    /// Adds element by element; makes a single row if there is no vector yet. Answers the new
    /// version. `Mismatch` if type or length differ, `Overflow` if an integer would.
    Add {
        /// What to add.
        elements: Elements<'a>,
    },
    /// Answers version, shape and elements of some rows. `OutOfRange` if there are fewer.
    GetRows {
        /// The first row, from 0.
        from: u32,
        /// How many.
        count: u32,
    },
    /// Adds to whole rows, element by element. Answers the new version.
    AddRows {
        /// The first row, from 0.
        from: u32,
        /// What to add, as many elements as the rows have.
        elements: Elements<'a>,
    },
    /// Multiplies every element. Answers the new version.
    Scale {
        /// What to multiply by, of the vector's type.
        factor: Scalar,
    },
    /// Answers the sum of the products with these elements, added in their order.
    Dot {
        /// As many as the vector has, of its type.
        elements: Elements<'a>,
    },
    /// Answers the sum of all elements, added in their order.
    Sum,
}
