//! The handle to a vector.

use std::ops::Range;

use catena_protocol::op::VectorOp;
use catena_protocol::{Elements, Op, Reply, Scalar};

use super::{Object, handle, number};
use crate::Error;
use crate::view::{ElementsPlace, VectorView};

handle! {
    /// Rows × columns of numbers of one type, with a version that grows with every change. Until
    /// somebody writes it there is none, and reading answers [`Status::Absent`](crate::Status::Absent).
    ///
    /// Reading lends out the numbers where they were received, without a copy: see [`VectorView`].
    pub struct Vector: Vector
}

/// A type of number that vectors have: `f64`, `f32` or `i64`.
pub trait Element: bytemuck::Pod {
    /// A slice of them as the protocol takes it.
    fn elements(slice: &[Self]) -> Elements<'_>;

    /// The slice, if `elements` are of this type.
    fn slice(elements: Elements<'_>) -> Option<&[Self]>;

    /// One of them as the protocol takes it.
    fn scalar(self) -> Scalar;

    /// The number, if `scalar` is of this type.
    fn number(scalar: Scalar) -> Option<Self>;
}

macro_rules! element {
    ($type:ty, $variant:ident) => {
        impl Element for $type {
            fn elements(slice: &[$type]) -> Elements<'_> {
                Elements::$variant(slice)
            }

            fn slice(elements: Elements<'_>) -> Option<&[$type]> {
                match elements {
                    Elements::$variant(slice) => Some(slice),
                    _ => None,
                }
            }

            fn scalar(self) -> Scalar {
                Scalar::$variant(self)
            }

            fn number(scalar: Scalar) -> Option<$type> {
                match scalar {
                    Scalar::$variant(number) => Some(number),
                    _ => None,
                }
            }
        }
    };
}

element!(f64, F64);
element!(f32, F32);
element!(i64, I64);

/// All methods fail with [`Error`].
impl<'c> Vector<'c> {
    /// Makes the vector if there is none, with `columns` elements a row. Otherwise it only checks
    /// that type and shape are the same. Answers the version.
    pub fn init<T: Element>(&self, columns: u32, elements: &[T]) -> Result<u64, Error> {
        self.write(VectorOp::Init { columns, elements: T::elements(elements) })
    }

    /// Version, shape and elements.
    pub fn get(&self) -> Result<VectorView<'c>, Error> {
        let found = self.read(VectorOp::Get)?;
        // `Get` always has elements, the reply to it was checked.
        Ok(found.expect("a vector that is read has elements"))
    }

    /// As [`Vector::get`], if the version is above `version`.
    pub fn get_if_newer(&self, version: u64) -> Result<Option<VectorView<'c>>, Error> {
        self.read(VectorOp::GetIfNewer { version })
    }

    /// Replaces type, shape and elements; `columns` elements a row. Answers the new version.
    pub fn set<T: Element>(&self, columns: u32, elements: &[T]) -> Result<u64, Error> {
        self.write(VectorOp::Set { columns, elements: T::elements(elements) })
    }

    /// Adds element by element; makes a single row if there is no vector yet. Answers the new
    /// version.
    pub fn add<T: Element>(&self, delta: &[T]) -> Result<u64, Error> {
        self.write(VectorOp::Add { elements: T::elements(delta) })
    }

    /// Adds to whole rows, from row `from` on, element by element. Answers the new version.
    pub fn add_rows<T: Element>(&self, from: u32, delta: &[T]) -> Result<u64, Error> {
        self.write(VectorOp::AddRows { from, elements: T::elements(delta) })
    }

    /// Multiplies every element by `factor`, of the vector's type. Answers the new version.
    pub fn scale<T: Element>(&self, factor: T) -> Result<u64, Error> {
        self.write(VectorOp::Scale { factor: factor.scalar() })
    }

    /// Version, shape and elements of some rows;
    /// [`Status::OutOfRange`](crate::Status::OutOfRange) if there are fewer.
    pub fn get_rows(&self, rows: Range<u32>) -> Result<VectorView<'c>, Error> {
        let count = rows.end.saturating_sub(rows.start);
        let found = self.read(VectorOp::GetRows { from: rows.start, count })?;
        // As for `Get`.
        Ok(found.expect("rows that are read have elements"))
    }

    /// The sum of the products with `elements`, as many as the vector has, added in their order.
    pub fn dot<T: Element>(&self, elements: &[T]) -> Result<T, Error> {
        let op = Op::Vector(VectorOp::Dot { elements: T::elements(elements) });
        self.client.ask(&self.target, op, None, |reply| T::number(scalar(reply)?))
    }

    /// The sum of all elements, added in their order.
    pub fn sum(&self) -> Result<Scalar, Error> {
        self.client.ask(&self.target, Op::Vector(VectorOp::Sum), None, scalar)
    }

    fn write(&self, op: VectorOp<'_>) -> Result<u64, Error> {
        self.client.ask(&self.target, Op::Vector(op), None, number)
    }

    fn read(&self, op: VectorOp<'_>) -> Result<Option<VectorView<'c>>, Error> {
        let optional = matches!(op, VectorOp::GetIfNewer { .. });
        let op = Op::Vector(op);
        let (held, found) =
            self.client.ask_held(&self.target, op, None, |held, reply| match reply {
                Reply::Vector { version, columns, elements: Some(elements) } => {
                    Some(Some((version, columns, ElementsPlace::of(elements, held))))
                }
                Reply::Vector { elements: None, .. } if optional => Some(None),
                _ => None,
            })?;
        Ok(found.map(|(version, columns, place)| VectorView::new(held, version, columns, place)))
    }
}

fn scalar(reply: Reply<'_>) -> Option<Scalar> {
    match reply {
        Reply::Scalar(scalar) => Some(scalar),
        _ => None,
    }
}

impl Object for Vector<'_> {
    type Op<'o> = VectorOp<'o>;

    fn op<'o>(op: Self::Op<'o>) -> Op<'o> {
        Op::Vector(op)
    }
}
