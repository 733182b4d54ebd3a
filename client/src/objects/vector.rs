//! The handle to a vector.

use std::ops::Range;

use catena_protocol::op::VectorOp;
use catena_protocol::{Op, Reply, Scalar};

use super::{Object, handle, number};
use crate::Error;
use crate::element::{Element, copy_elements};
use crate::view::{ElementsLocation, VectorView};

handle! {
    /// Rows × columns of numbers of one type, with a version that grows with every change. Reading
    /// one that was never written is refused with [`Status::Absent`](crate::Status::Absent), see
    /// [objects that do not exist](crate#objects-that-do-not-exist).
    ///
    /// Reading returns the numbers in the buffer they were received in, without a copy: see
    /// [`VectorView`].
    pub struct Vector: Vector
}

/// All methods that return a [`Result`] fail with [`Error`].
impl Vector {
    /// Makes the vector if it does not exist, with `columns` elements in a row. Otherwise it only
    /// checks that type and shape are the same. Returns the version.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let sums = client.vector("sums");
    /// sums.init(2, &[0.0; 4])?; // by every worker
    /// sums.add(&[1.0; 4])?;
    /// sums.init(2, &[0.0; 4])?;
    /// assert_eq!(sums.get()?.as_f64(), Some(&[1.0; 4][..]));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn init<T: Element>(&self, columns: u32, elements: &[T]) -> Result<u64, Error> {
        self.write(VectorOp::Init { columns, elements: T::elements(elements) })
    }

    /// Returns version, shape and elements.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let sums = client.vector("sums");
    /// sums.set(2, &[1_i64, 2, 3, 4])?;
    /// let view = sums.get()?;
    /// assert_eq!((view.rows(), view.as_i64()), (2, Some(&[1, 2, 3, 4][..])));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn get(&self) -> Result<VectorView, Error> {
        let found = self.read(VectorOp::Get)?;
        // `Get` always returns elements; `read` checked that.
        Ok(found.expect("a vector that is read has elements"))
    }

    /// As [`Vector::get`], if the version is above `version`.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let sums = client.vector("sums");
    /// let version = sums.set(1, &[1.0])?;
    /// assert!(sums.get_if_newer(version)?.is_none());
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn get_if_newer(&self, version: u64) -> Result<Option<VectorView>, Error> {
        self.read(VectorOp::GetIfNewer { version })
    }

    /// Replaces type, shape and elements, with `columns` elements in a row. Returns the new
    /// version.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// client.vector("sums").set(3, &[1.0_f32, 2.0, 3.0])?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn set<T: Element>(&self, columns: u32, elements: &[T]) -> Result<u64, Error> {
        self.write(VectorOp::Set { columns, elements: T::elements(elements) })
    }

    /// Adds element by element; makes a single row if the vector does not exist. Returns the new
    /// version.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let sums = client.vector("sums");
    /// sums.add(&[1_i64, 2])?;
    /// sums.add(&[1_i64, 2])?;
    /// assert_eq!(sums.get()?.as_i64(), Some(&[2, 4][..]));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn add<T: Element>(&self, delta: &[T]) -> Result<u64, Error> {
        self.write(VectorOp::Add { elements: T::elements(delta) })
    }

    /// Adds element by element to whole rows, beginning with row `from`. Returns the new version.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let sums = client.vector("sums");
    /// sums.set(2, &[0_i64; 6])?;
    /// sums.add_rows(1, &[5_i64, 6])?;
    /// assert_eq!(sums.get()?.as_i64(), Some(&[0, 0, 5, 6, 0, 0][..]));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn add_rows<T: Element>(&self, from: u32, delta: &[T]) -> Result<u64, Error> {
        self.write(VectorOp::AddRows { from, elements: T::elements(delta) })
    }

    /// Multiplies every element by `factor`, of the vector's type. Returns the new version.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let sums = client.vector("sums");
    /// sums.set(1, &[1.0, 2.0])?;
    /// sums.scale(0.5)?;
    /// assert_eq!(sums.get()?.as_f64(), Some(&[0.5, 1.0][..]));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn scale<T: Element>(&self, factor: T) -> Result<u64, Error> {
        self.write(VectorOp::Scale { factor: factor.scalar() })
    }

    /// Returns version, shape and elements of some rows;
    /// [`Status::OutOfRange`](crate::Status::OutOfRange) if there are fewer.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let sums = client.vector("sums");
    /// sums.set(2, &[1_i64, 2, 3, 4])?;
    /// assert_eq!(sums.get_rows(1..2)?.as_i64(), Some(&[3, 4][..]));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn get_rows(&self, rows: Range<u32>) -> Result<VectorView, Error> {
        let count = rows.end.saturating_sub(rows.start);
        let found = self.read(VectorOp::GetRows { from: rows.start, count })?;
        // As for `Get`.
        Ok(found.expect("rows that are read have elements"))
    }

    /// Returns the dot product with `elements`, of which there are as many as in the vector;
    /// products are added in order.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let weights = client.vector("weights");
    /// weights.set(2, &[1.0, 2.0])?;
    /// assert_eq!(weights.dot(&[3.0, 4.0])?, 11.0);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn dot<T: Element>(&self, elements: &[T]) -> Result<T, Error> {
        let op = Op::Vector(VectorOp::Dot { elements: T::elements(elements) });
        self.requester.ask(&self.target, op, None, |reply| T::number(scalar(reply)?))
    }

    /// Returns the sum of all elements, added in order.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use catena_client::Scalar;
    ///
    /// let weights = client.vector("weights");
    /// weights.set(2, &[1.0, 2.0])?;
    /// assert_eq!(weights.sum()?, Scalar::F64(3.0));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn sum(&self) -> Result<Scalar, Error> {
        self.requester.ask(&self.target, Op::Vector(VectorOp::Sum), None, scalar)
    }

    /// As [`Vector::get`], but copies the elements into `out`, which needs neither a view nor memory.
    /// Returns the version; [`Status::Mismatch`](crate::Status::Mismatch) if type or number of the elements differ.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let weights = client.vector("weights");
    /// weights.set(2, &[1.0, 2.0, 3.0, 4.0])?;
    /// let mut out = [0.0; 4];
    /// weights.get_into(&mut out)?;
    /// assert_eq!(out, [1.0, 2.0, 3.0, 4.0]);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn get_into<T: Element>(&self, out: &mut [T]) -> Result<u64, Error> {
        let copied = self.copy(VectorOp::Get, out)?;
        // As for `get`.
        Ok(copied.expect("a vector that is read has elements"))
    }

    /// As [`Vector::get_into`], if the version is above `version`; returns `None` otherwise, and
    /// leaves `out` as it is.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let sums = client.vector("sums");
    /// let (mut out, mut version) = ([0_i64; 2], 0);
    /// sums.add(&[1_i64, 2])?;
    /// if let Some(newer) = sums.get_if_newer_into(version, &mut out)? {
    ///     version = newer;
    /// }
    /// assert_eq!((out, version), ([1, 2], sums.version()?));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn get_if_newer_into<T: Element>(
        &self,
        version: u64,
        out: &mut [T],
    ) -> Result<Option<u64>, Error> {
        self.copy(VectorOp::GetIfNewer { version }, out)
    }

    /// As [`Vector::get_rows`], but copies the elements into `out`. Returns the version;
    /// [`Status::Mismatch`](crate::Status::Mismatch) if type or number of the elements differ.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let sums = client.vector("sums");
    /// sums.set(2, &[1_i64, 2, 3, 4])?;
    /// let mut row = [0; 2];
    /// sums.get_rows_into(1..2, &mut row)?;
    /// assert_eq!(row, [3, 4]);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn get_rows_into<T: Element>(&self, rows: Range<u32>, out: &mut [T]) -> Result<u64, Error> {
        let count = rows.end.saturating_sub(rows.start);
        let copied = self.copy(VectorOp::GetRows { from: rows.start, count }, out)?;
        // As for `get`.
        Ok(copied.expect("rows that are read have elements"))
    }

    fn copy<T: Element>(&self, op: VectorOp<'_>, out: &mut [T]) -> Result<Option<u64>, Error> {
        let is_optional = matches!(op, VectorOp::GetIfNewer { .. });
        let op = Op::Vector(op);
        let copied = self.requester.ask(&self.target, op, None, |reply| match reply {
            Reply::Vector { version, elements: Some(elements), .. } => {
                Some(copy_elements(elements, out).map(|()| Some(version)))
            }
            Reply::Vector { elements: None, .. } if is_optional => Some(Ok(None)),
            _ => None,
        })?;
        copied.map_err(|fault| self.target.refused(op, fault))
    }

    fn write(&self, op: VectorOp<'_>) -> Result<u64, Error> {
        self.requester.ask(&self.target, Op::Vector(op), None, number)
    }

    fn read(&self, op: VectorOp<'_>) -> Result<Option<VectorView>, Error> {
        let optional = matches!(op, VectorOp::GetIfNewer { .. });
        let op = Op::Vector(op);
        let (held, found) =
            self.requester.ask_held(&self.target, op, None, |held, reply| match reply {
                Reply::Vector { version, columns, elements: Some(elements) } => {
                    Some(Some((version, columns, ElementsLocation::of(elements, held))))
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

impl Object for Vector {
    type Op<'o> = VectorOp<'o>;

    fn op<'o>(op: Self::Op<'o>) -> Op<'o> {
        Op::Vector(op)
    }
}
