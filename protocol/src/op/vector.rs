//! Ops on a vector: rows × columns of numbers of one type, with a version.

use rkyv::rend::u64_le;
use rkyv::{Archive, Serialize};

use super::{OpCode, misrouted};
use crate::body::{self, ArchivedElementsBody, Elements, ElementsBody, Scalar, ScalarBody};
use crate::status::Fault;

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

#[derive(Archive, Serialize)]
struct ShapedBody<'a> {
    columns: u32,
    elements: ElementsBody<'a>,
}

#[derive(Archive, Serialize)]
struct RowsBody {
    from: u32,
    count: u32,
}

#[derive(Archive, Serialize)]
struct AddRowsBody<'a> {
    from: u32,
    elements: ElementsBody<'a>,
}

impl<'a> VectorOp<'a> {
    pub(super) fn code(&self) -> OpCode {
        match self {
            VectorOp::Get => OpCode::VectorGet,
            VectorOp::GetIfNewer { .. } => OpCode::VectorGetIfNewer,
            VectorOp::Init { .. } => OpCode::VectorInit,
            VectorOp::Set { .. } => OpCode::VectorSet,
            VectorOp::Add { .. } => OpCode::VectorAdd,
            VectorOp::GetRows { .. } => OpCode::VectorGetRows,
            VectorOp::AddRows { .. } => OpCode::VectorAddRows,
            VectorOp::Scale { .. } => OpCode::VectorScale,
            VectorOp::Dot { .. } => OpCode::VectorDot,
            VectorOp::Sum => OpCode::VectorSum,
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            VectorOp::Get | VectorOp::Sum => {}
            VectorOp::GetIfNewer { version } => body::encode(&version, out),
            VectorOp::Init { columns, elements } | VectorOp::Set { columns, elements } => {
                body::encode(&ShapedBody { columns, elements: elements.into() }, out);
            }
            VectorOp::Add { elements } | VectorOp::Dot { elements } => {
                body::encode(&ElementsBody::from(elements), out);
            }
            VectorOp::GetRows { from, count } => body::encode(&RowsBody { from, count }, out),
            VectorOp::AddRows { from, elements } => {
                body::encode(&AddRowsBody { from, elements: elements.into() }, out);
            }
            VectorOp::Scale { factor } => body::encode(&ScalarBody::from(factor), out),
        }
    }

    pub(super) fn decode(code: OpCode, body: &'a [u8]) -> Result<VectorOp<'a>, Fault> {
        let shaped = || {
            let shaped = body::decode::<ArchivedShapedBody<'a>>(body)?;
            Ok::<_, Fault>((shaped.columns.to_native(), shaped.elements.elements()))
        };
        Ok(match code {
            OpCode::VectorGet => {
                body::decode_empty(body)?;
                VectorOp::Get
            }
            OpCode::VectorGetIfNewer => {
                VectorOp::GetIfNewer { version: body::decode::<u64_le>(body)?.to_native() }
            }
            OpCode::VectorInit => {
                let (columns, elements) = shaped()?;
                VectorOp::Init { columns, elements }
            }
            OpCode::VectorSet => {
                let (columns, elements) = shaped()?;
                VectorOp::Set { columns, elements }
            }
            OpCode::VectorAdd => {
                let elements = body::decode::<ArchivedElementsBody<'a>>(body)?.elements();
                VectorOp::Add { elements }
            }
            OpCode::VectorGetRows => {
                let rows = body::decode::<ArchivedRowsBody>(body)?;
                VectorOp::GetRows { from: rows.from.to_native(), count: rows.count.to_native() }
            }
            OpCode::VectorAddRows => {
                let rows = body::decode::<ArchivedAddRowsBody<'a>>(body)?;
                VectorOp::AddRows {
                    from: rows.from.to_native(),
                    elements: rows.elements.elements(),
                }
            }
            OpCode::VectorScale => VectorOp::Scale { factor: body::decode_scalar(body)? },
            OpCode::VectorDot => {
                let elements = body::decode::<ArchivedElementsBody<'a>>(body)?.elements();
                VectorOp::Dot { elements }
            }
            OpCode::VectorSum => {
                body::decode_empty(body)?;
                VectorOp::Sum
            }
            _ => misrouted(code),
        })
    }
}
