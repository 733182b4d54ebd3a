//! Ops on a vector: rows × columns of numbers of one type, with a version.

use rkyv::rend::u64_le;
use rkyv::{Archive, Serialize};

use super::{OpCode, misrouted};
use crate::body::{self, ArchivedElementsBody, Elements, ElementsBody};
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
}

#[derive(Archive, Serialize)]
struct ShapedBody<'a> {
    columns: u32,
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
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            VectorOp::Get => {}
            VectorOp::GetIfNewer { version } => body::encode(&version, out),
            VectorOp::Init { columns, elements } | VectorOp::Set { columns, elements } => {
                body::encode(&ShapedBody { columns, elements: elements.into() }, out);
            }
            VectorOp::Add { elements } => body::encode(&ElementsBody::from(elements), out),
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
            _ => misrouted(code),
        })
    }
}
