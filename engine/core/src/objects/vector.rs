//! Rows × columns of numbers.

use alloc::borrow::ToOwned;
use alloc::format;
use core::ops::Range;

use catena_protocol::op::VectorOp;
use catena_protocol::{Elements, Fault, Refusal, Reply, Status};
use serde::{Deserialize, Serialize};

use super::RestoreError;
use super::kind::{Growth, ObjectKind, SharedObject};
use super::numbers::Numbers;
use super::state::check;
use super::{Applied, Description, Turn};
use crate::config::VECTOR_BYTES_MAX;

/// A vector; absent before it gets elements.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Vector {
    columns: u32,
    numbers: Option<Numbers>,
}

impl ObjectKind for Vector {
    type Op<'o> = VectorOp<'o>;

    fn growth(op: &VectorOp<'_>) -> Growth {
        match op {
            VectorOp::AddRows { .. } | VectorOp::Scale { .. } => Growth::None,
            _ => Growth::Body,
        }
    }

    fn read(&self, op: &VectorOp<'_>, version: u64) -> Result<Reply<'_>, Refusal> {
        let Some(numbers) = &self.numbers else {
            return Err(Fault::new(Status::Absent).into());
        };
        let columns = self.columns;
        Ok(match *op {
            VectorOp::Get => Reply::Vector { version, columns, elements: Some(numbers.elements()) },
            VectorOp::GetIfNewer { version: seen } => {
                let elements = (version > seen).then(|| numbers.elements());
                Reply::Vector { version, columns, elements }
            }
            VectorOp::GetRows { from, count } => {
                let elements = Some(numbers.range(self.rows(numbers, from, count.into())?));
                Reply::Vector { version, columns, elements }
            }
            VectorOp::Dot { elements } => Reply::Scalar(numbers.dot(elements)?),
            VectorOp::Sum => Reply::Scalar(numbers.sum()?),
            _ => unreachable!("{op:?} is not a read"),
        })
    }

    fn check(&self, op: &VectorOp<'_>) -> Result<(), Refusal> {
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
            (VectorOp::Add { elements }, Some(numbers)) => {
                numbers.check_like(*elements)?;
                numbers.check_add(0, *elements)?;
            }
            (VectorOp::Add { elements }, None) => {
                check_shape(u32::try_from(elements.len()).unwrap_or(u32::MAX), *elements)?;
            }
            (VectorOp::AddRows { from, elements }, Some(numbers)) => {
                let at = self.whole_rows(numbers, *from, *elements)?.start;
                numbers.check_add(at, *elements)?;
            }
            (VectorOp::Scale { factor }, Some(numbers)) => numbers.check_scale(*factor)?,
            (VectorOp::AddRows { .. } | VectorOp::Scale { .. }, None) => {
                return Err(Fault::new(Status::Absent).into());
            }
            _ => unreachable!("{op:?} is a read"),
        }
        Ok(())
    }

    fn apply(&mut self, op: &VectorOp<'_>, turn: &mut Turn<'_>) -> Applied {
        match (*op, &mut self.numbers) {
            (VectorOp::Init { .. }, Some(_)) => turn.unchanged(),
            (VectorOp::Add { elements }, Some(numbers)) => numbers.add(0, elements),
            (VectorOp::AddRows { from, elements }, Some(numbers)) => {
                numbers.add(from as usize * self.columns as usize, elements);
            }
            (VectorOp::Scale { factor }, Some(numbers)) => numbers.scale(factor),
            (VectorOp::Set { columns, elements }, Some(numbers)) => {
                numbers.set(elements);
                self.columns = columns;
            }
            (VectorOp::Init { columns, elements } | VectorOp::Set { columns, elements }, None) => {
                self.make(columns, elements);
            }
            (VectorOp::Add { elements }, None) => {
                self.make(
                    u32::try_from(elements.len()).expect("the check limits the length"),
                    elements,
                );
            }
            _ => unreachable!("{op:?} is a read, or was refused"),
        }
        turn.done(&Reply::Number(turn.version_now()))
    }

    fn complete_restored(&mut self, _seq: u64) -> Result<(), RestoreError> {
        let is_whole = self
            .numbers
            .as_ref()
            .is_none_or(|numbers| check_shape(self.columns, numbers.elements()).is_ok());
        check(is_whole, "a vector has no whole rows, or is too large")
    }
}

impl SharedObject for Vector {
    fn describe(&self) -> Description {
        let detail = match &self.numbers {
            Some(numbers) => {
                let columns = self.columns as usize;
                format!(
                    "{} × {columns} {}",
                    numbers.elements().len() / columns,
                    numbers.type_name()
                )
            }
            None => "absent".to_owned(),
        };
        Description { detail, ..Description::default() }
    }

    fn bytes(&self) -> u64 {
        size_of::<Vector>() as u64 + self.numbers.as_ref().map_or(0, Numbers::bytes)
    }
}

impl Vector {
    /// Returns the elements of `count` rows from `from` on; `OutOfRange` if there are not as many.
    fn rows(&self, numbers: &Numbers, from: u32, count: u64) -> Result<Range<usize>, Fault> {
        let columns = u64::from(self.columns);
        let rows = numbers.elements().len() as u64 / columns;
        let end = u64::from(from) + count;
        if end > rows {
            return Err(Fault::expected(Status::OutOfRange, rows, end));
        }
        let place =
            |row: u64| usize::try_from(row * columns).expect("the check compares it with a length");
        Ok(place(from.into())..place(end))
    }

    /// Returns the elements of the rows from `from` on that `elements` fill; `Mismatch` if they do
    /// not fill whole rows.
    fn whole_rows(
        &self,
        numbers: &Numbers,
        from: u32,
        elements: Elements<'_>,
    ) -> Result<Range<usize>, Fault> {
        numbers.check_type(elements.type_code())?;
        let (len, columns) = (elements.len() as u64, u64::from(self.columns));
        if !len.is_multiple_of(columns) {
            return Err(Fault::expected(Status::Mismatch, columns, len));
        }
        self.rows(numbers, from, len / columns)
    }

    fn make(&mut self, columns: u32, elements: Elements<'_>) {
        self.numbers = Some(Numbers::of(elements));
        self.columns = columns;
    }
}

/// Refuses elements that are too many, none, or do not fill whole rows.
fn check_shape(columns: u32, elements: Elements<'_>) -> Result<(), Fault> {
    check_size(elements)?;
    let len = elements.len() as u64;
    let columns = u64::from(columns);
    if columns == 0 || len == 0 || !len.is_multiple_of(columns) {
        return Err(Fault::expected(Status::BadArgument, len, columns));
    }
    Ok(())
}

/// Refuses more bytes of elements than a vector may have.
pub(super) fn check_size(elements: Elements<'_>) -> Result<(), Fault> {
    let element_bytes = if matches!(elements, Elements::F32(_)) { 4 } else { 8 };
    let bytes = elements.len() * element_bytes;
    if bytes > VECTOR_BYTES_MAX {
        return Err(Fault::expected(Status::TooLarge, VECTOR_BYTES_MAX as u64, bytes as u64));
    }
    Ok(())
}
