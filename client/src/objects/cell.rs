//! The handle to a cell.

use std::ops::Range;

use catena_protocol::op::CellOp;
use catena_protocol::{Op, Reply};

use super::{Object, Swapped, handle, number};
use crate::Error;
use crate::view::CellView;

handle! {
    /// Bytes with a version that grows with every change. A cell that was never written is empty
    /// and has version 0.
    ///
    /// Reading returns the bytes in the buffer they were received in, without a copy: see
    /// [`CellView`].
    pub struct Cell: Cell
}

/// Version and length of a cell after an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The new version.
    pub version: u64,
    /// The new length, in bytes.
    pub length: u64,
}

/// All methods that return a [`Result`] fail with [`Error`].
impl Cell {
    /// Returns version and bytes.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let page = client.cell("page");
    /// page.set(b"hello")?;
    /// assert_eq!(&page.get()?[..], b"hello");
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn get(&self) -> Result<CellView, Error> {
        self.read(CellOp::Get)
    }

    /// As [`Cell::get`], but replaces what is in `out` by the bytes, and uses its memory. Returns the
    /// version.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let page = client.cell("page");
    /// let version = page.set(b"hello")?;
    /// let mut bytes = Vec::new();
    /// assert_eq!(page.get_into(&mut bytes)?, version);
    /// assert_eq!(bytes, b"hello");
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn get_into(&self, out: &mut Vec<u8>) -> Result<u64, Error> {
        self.requester.ask(&self.target, Op::Cell(CellOp::Get), None, |reply| match reply {
            Reply::Cell { version, bytes: Some(bytes) } => {
                out.clear();
                out.extend_from_slice(bytes);
                Some(version)
            }
            _ => None,
        })
    }

    /// Returns version and bytes if the version is above `version`.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let page = client.cell("page");
    /// let version = page.set(b"hello")?;
    /// assert!(page.get_if_newer(version)?.is_none());
    /// page.set(b"hi")?;
    /// assert_eq!(&page.get_if_newer(version)?.unwrap()[..], b"hi");
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn get_if_newer(&self, version: u64) -> Result<Option<CellView>, Error> {
        let op = Op::Cell(CellOp::GetIfNewer { version });
        let (held, found) =
            self.requester.ask_held(&self.target, op, None, |held, reply| match reply {
                Reply::Cell { version, bytes } => {
                    Some(bytes.map(|bytes| (version, held.place_of(bytes))))
                }
                _ => None,
            })?;
        Ok(found.map(|(version, place)| CellView::new(held, version, place)))
    }

    /// Returns the version and the bytes in `range`, or the part of them that exists.
    /// [`Status::OutOfRange`](crate::Status::OutOfRange) if the range begins behind the end.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let page = client.cell("page");
    /// page.set(b"hello")?;
    /// assert_eq!(&page.read_range(1..3)?[..], b"el");
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn read_range(&self, range: Range<u64>) -> Result<CellView, Error> {
        let length = range.end.saturating_sub(range.start);
        self.read(CellOp::ReadRange { from: range.start, length })
    }

    /// Replaces the bytes. Returns the new version.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let page = client.cell("page");
    /// assert!(page.set(b"hello")? < page.set(b"hi")?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn set(&self, bytes: &[u8]) -> Result<u64, Error> {
        self.requester.ask(&self.target, Op::Cell(CellOp::Set { bytes }), None, number)
    }

    /// Replaces the bytes under the fencing `token` of a lock, permit or claim. Returns the new
    /// version; [`Status::StaleToken`](crate::Status::StaleToken) if this cell has seen a higher
    /// token, because another client has held the lock since.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let guard = client.lock("page/lock").lock(seconds)?;
    /// client.cell("page").set_with_token(guard.token(), b"mine")?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn set_with_token(&self, token: u64, bytes: &[u8]) -> Result<u64, Error> {
        let op = Op::Cell(CellOp::SetWithToken { token, bytes });
        self.requester.ask(&self.target, op, None, number)
    }

    /// Replaces the bytes. Returns the old version and bytes.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let page = client.cell("page");
    /// page.set(b"hello")?;
    /// assert_eq!(&page.swap(b"hi")?[..], b"hello");
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn swap(&self, bytes: &[u8]) -> Result<CellView, Error> {
        self.read(CellOp::Swap { bytes })
    }

    /// Replaces the bytes if the version is `version`, which is 0 for a cell that was never
    /// written.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let page = client.cell("page");
    /// let read = page.get()?;
    /// let edited = [&read[..], b"!"].concat();
    /// assert!(page.compare_version_and_set(read.version(), &edited)?.swapped);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn compare_version_and_set(
        &self,
        version: u64,
        bytes: &[u8],
    ) -> Result<Swapped<u64>, Error> {
        self.exchange(CellOp::CompareVersionAndSet { version, bytes })
    }

    /// Replaces the bytes if they are `expected`.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let page = client.cell("page");
    /// assert!(page.compare_and_set(b"", b"hello")?.swapped);
    /// assert!(!page.compare_and_set(b"", b"hi")?.swapped);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn compare_and_set(&self, expected: &[u8], bytes: &[u8]) -> Result<Swapped<u64>, Error> {
        self.exchange(CellOp::CompareAndSet { expected, bytes })
    }

    /// Appends bytes.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let page = client.cell("page");
    /// page.append(b"hello")?;
    /// assert_eq!(page.append(b"!")?.length, 6);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn append(&self, bytes: &[u8]) -> Result<Appended, Error> {
        let op = Op::Cell(CellOp::Append { bytes });
        self.requester.ask(&self.target, op, None, |reply| match reply {
            Reply::Appended { version, length } => Some(Appended { version, length }),
            _ => None,
        })
    }

    fn read(&self, op: CellOp<'_>) -> Result<CellView, Error> {
        let op = Op::Cell(op);
        let (held, (version, place)) =
            self.requester.ask_held(&self.target, op, None, |held, reply| match reply {
                Reply::Cell { version, bytes: Some(bytes) } => {
                    Some((version, held.place_of(bytes)))
                }
                _ => None,
            })?;
        Ok(CellView::new(held, version, place))
    }

    fn exchange(&self, op: CellOp<'_>) -> Result<Swapped<u64>, Error> {
        self.requester.ask(&self.target, Op::Cell(op), None, |reply| match reply {
            Reply::VersionSwapped { version: now, swapped } => Some(Swapped { swapped, now }),
            _ => None,
        })
    }
}

impl Object for Cell {
    type Op<'o> = CellOp<'o>;

    fn op<'o>(op: Self::Op<'o>) -> Op<'o> {
        Op::Cell(op)
    }
}
