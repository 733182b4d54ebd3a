//! Rows × columns of numbers with a version.

use catena_protocol::op::VectorOp;
use catena_protocol::{Elements, Fault, Refusal, Reply, Status};

use super::numbers::Numbers;
use super::{Applied, Turn};
use crate::config::VECTOR_BYTES_MAX;

/// A vector; absent until somebody gives it elements.
#[derive(Debug, Default)]
pub(crate) struct Vector {
    version: u64,
    columns: u32,
    numbers: Option<Numbers>,
}

impl Vector {
    pub(super) fn read(&self, op: &VectorOp<'_>) -> Result<Reply<'_>, Refusal> {
        let Some(numbers) = &self.numbers else {
            return Err(Fault::new(Status::Absent).into());
        };
        let newer = match *op {
            VectorOp::Get => true,
            VectorOp::GetIfNewer { version } => self.version > version,
            _ => unreachable!("{op:?} is no read"),
        };
        Ok(Reply::Vector {
            version: self.version,
            columns: self.columns,
            elements: newer.then(|| numbers.elements()),
        })
    }

    pub(super) fn check(&self, op: &VectorOp<'_>) -> Result<(), Refusal> {
        match (op, &self.numbers) {
            (VectorOp::Init { columns, elements }, Some(numbers)) => {
                numbers.check_like(*elements)?;
                if self.columns != *columns {
                    let (expected, got) = (self.columns.into(), (*columns).into());
                    return Err(Fault::expected(Status::Mismatch, expected, got).into());
                }
            }
            (VectorOp::Init { columns, elements }, None)
            | (VectorOp::Set { columns, elements }, _) => check_shape(*columns, *elements)?,
            (VectorOp::Add { elements }, Some(numbers)) => numbers.check_add(*elements)?,
            (VectorOp::Add { elements }, None) => {
                check_shape(u32::try_from(elements.len()).unwrap_or(u32::MAX), *elements)?;
            }
            (VectorOp::Get | VectorOp::GetIfNewer { .. }, _) => unreachable!("{op:?} is a read"),
        }
        Ok(())
    }

    pub(super) fn apply(&mut self, op: &VectorOp<'_>, turn: &mut Turn<'_>) -> Applied {
        match (*op, &mut self.numbers) {
            (VectorOp::Init { .. }, Some(_)) => {}
            (VectorOp::Add { elements }, Some(numbers)) => {
                numbers.add(elements);
                self.version += 1;
            }
            (VectorOp::Set { columns, elements }, Some(numbers)) => {
                numbers.set(elements);
                self.columns = columns;
                self.version += 1;
            }
            (VectorOp::Init { columns, elements } | VectorOp::Set { columns, elements }, None) => {
                self.make(columns, elements);
            }
            (VectorOp::Add { elements }, None) => {
                self.make(u32::try_from(elements.len()).expect("was checked"), elements);
            }
            (VectorOp::Get | VectorOp::GetIfNewer { .. }, _) => {
                unreachable!("a read is not applied")
            }
        }
        turn.done(&Reply::Number(self.version))
    }

    fn make(&mut self, columns: u32, elements: Elements<'_>) {
        self.numbers = Some(Numbers::of(elements));
        self.columns = columns;
        self.version += 1;
    }

    pub(super) fn bytes(&self) -> u64 {
        size_of::<Vector>() as u64 + self.numbers.as_ref().map_or(0, Numbers::bytes)
    }
}

/// Refuses elements that are too many, none, or do not make whole rows.
fn check_shape(columns: u32, elements: Elements<'_>) -> Result<(), Fault> {
    check_size(elements)?;
    let len = elements.len() as u64;
    let columns = u64::from(columns);
    if columns == 0 || len == 0 || !len.is_multiple_of(columns) {
        return Err(Fault::expected(Status::BadArgument, len, columns));
    }
    Ok(())
}

/// Refuses more elements than a vector may have.
pub(super) fn check_size(elements: Elements<'_>) -> Result<(), Fault> {
    let element_bytes = if matches!(elements, Elements::F32(_)) { 4 } else { 8 };
    let bytes = elements.len() * element_bytes;
    if bytes > VECTOR_BYTES_MAX {
        return Err(Fault::expected(Status::TooLarge, VECTOR_BYTES_MAX as u64, bytes as u64));
    }
    Ok(())
}
