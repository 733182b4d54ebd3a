//! Views of numbers: those of vectors and of the rounds of reductions.

use std::ops::Range;

use catena_protocol::Elements;

use crate::buffer::HeldReply;
use crate::element::Element;

/// Version, shape and elements of a vector.
#[derive(Debug)]
pub struct VectorView {
    held: HeldReply,
    version: u64,
    columns: u32,
    place: ElementsLocation,
}

impl VectorView {
    pub(crate) fn new(
        held: HeldReply,
        version: u64,
        columns: u32,
        place: ElementsLocation,
    ) -> VectorView {
        VectorView { held, version, columns, place }
    }

    /// Returns the version of the elements.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let weights = client.vector("weights");
    /// let version = weights.set(2, &[1.0, 2.0])?;
    /// let view = weights.get()?;
    /// assert_eq!(view.version(), version);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Returns the number of elements in a row.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let weights = client.vector("weights");
    /// weights.set(2, &[1.0, 2.0])?;
    /// let view = weights.get()?;
    /// assert_eq!(view.columns(), 2);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn columns(&self) -> u32 {
        self.columns
    }

    /// Returns the number of rows.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let weights = client.vector("weights");
    /// weights.set(2, &[1.0, 2.0])?;
    /// let view = weights.get()?;
    /// assert_eq!(view.rows(), 1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn rows(&self) -> usize {
        self.elements().len() / (self.columns as usize).max(1)
    }

    /// Returns the elements, row by row.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use catena_client::Elements;
    ///
    /// let weights = client.vector("weights");
    /// weights.set(2, &[1.0, 2.0])?;
    /// let view = weights.get()?;
    /// assert_eq!(view.elements(), Elements::F64(&[1.0, 2.0]));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn elements(&self) -> Elements<'_> {
        self.place.elements(&self.held)
    }

    /// Returns the elements as a slice of `f64`, `f32` or `i64`; `None` if they are of another
    /// type.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let weights = client.vector("weights");
    /// weights.set(2, &[1.0, 2.0])?;
    /// let view = weights.get()?;
    /// assert_eq!(view.as_slice::<f64>(), Some(&[1.0, 2.0][..]));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn as_slice<T: Element>(&self) -> Option<&[T]> {
        T::slice(self.elements())
    }

    /// Returns the elements if they are 64-bit floats.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let weights = client.vector("weights");
    /// weights.set(2, &[1.0, 2.0])?;
    /// let view = weights.get()?;
    /// assert_eq!(view.as_f64(), Some(&[1.0, 2.0][..]));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn as_f64(&self) -> Option<&[f64]> {
        self.as_slice()
    }

    /// Returns the elements if they are 32-bit floats.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let weights = client.vector("weights");
    /// weights.set(2, &[1.0, 2.0])?;
    /// let view = weights.get()?;
    /// assert_eq!(view.as_f32(), None, "they have 64 bits");
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn as_f32(&self) -> Option<&[f32]> {
        self.as_slice()
    }

    /// Returns the elements if they are integers.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let weights = client.vector("weights");
    /// weights.set(2, &[1.0, 2.0])?;
    /// let view = weights.get()?;
    /// assert_eq!(view.as_i64(), None);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn as_i64(&self) -> Option<&[i64]> {
        self.as_slice()
    }
}

/// A complete round of a reduction: its number and its result.
#[derive(Debug)]
pub struct RoundView {
    held: HeldReply,
    round: u64,
    place: ElementsLocation,
}

impl RoundView {
    pub(crate) fn new(held: HeldReply, round: u64, place: ElementsLocation) -> RoundView {
        RoundView { held, round, place }
    }

    /// Returns the number of the round.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// use catena_client::ReduceOp;
    ///
    /// let mut seat = client.reduction("sums").seat(0, 1);
    /// let round = seat.contribute(ReduceOp::Sum, &[1.0], seconds)?;
    /// assert_eq!(round.round(), 0);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn round(&self) -> u64 {
        self.round
    }

    /// Returns the result.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// use catena_client::{Elements, ReduceOp};
    ///
    /// let mut seat = client.reduction("sums").seat(0, 1);
    /// let round = seat.contribute(ReduceOp::Sum, &[1.0], seconds)?;
    /// assert_eq!(round.elements(), Elements::F64(&[1.0]));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn elements(&self) -> Elements<'_> {
        self.place.elements(&self.held)
    }

    /// Returns the result as a slice of `f64`, `f32` or `i64`; `None` if it is of another type.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// use catena_client::ReduceOp;
    ///
    /// let mut seat = client.reduction("sums").seat(0, 1);
    /// let round = seat.contribute(ReduceOp::Sum, &[1.0], seconds)?;
    /// assert_eq!(round.as_slice::<f64>(), Some(&[1.0][..]));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn as_slice<T: Element>(&self) -> Option<&[T]> {
        T::slice(self.elements())
    }

    /// Returns the result if it is of 64-bit floats.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// use catena_client::ReduceOp;
    ///
    /// let mut seat = client.reduction("sums").seat(0, 1);
    /// let round = seat.contribute(ReduceOp::Sum, &[1.0], seconds)?;
    /// assert_eq!(round.as_f64(), Some(&[1.0][..]));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn as_f64(&self) -> Option<&[f64]> {
        self.as_slice()
    }

    /// Returns the result if it is of 32-bit floats.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// use catena_client::ReduceOp;
    ///
    /// let mut seat = client.reduction("sums").seat(0, 1);
    /// let round = seat.contribute(ReduceOp::Sum, &[1.0], seconds)?;
    /// assert_eq!(round.as_f32(), None);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn as_f32(&self) -> Option<&[f32]> {
        self.as_slice()
    }

    /// Returns the result if it is of integers.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// use catena_client::ReduceOp;
    ///
    /// let mut seat = client.reduction("sums").seat(0, 1);
    /// let round = seat.contribute(ReduceOp::Sum, &[1.0], seconds)?;
    /// assert_eq!(round.as_i64(), None);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn as_i64(&self) -> Option<&[i64]> {
        self.as_slice()
    }
}

/// Where elements lie in a buffer, and their type.
#[derive(Clone, Debug)]
pub(crate) enum ElementsLocation {
    F64(Range<usize>),
    F32(Range<usize>),
    I64(Range<usize>),
}

impl ElementsLocation {
    /// Locates `elements`, which lie in `held`.
    pub(crate) fn of(elements: Elements<'_>, held: &HeldReply) -> ElementsLocation {
        match elements {
            Elements::F64(slice) => {
                ElementsLocation::F64(held.place_of(bytemuck::cast_slice(slice)))
            }
            Elements::F32(slice) => {
                ElementsLocation::F32(held.place_of(bytemuck::cast_slice(slice)))
            }
            Elements::I64(slice) => {
                ElementsLocation::I64(held.place_of(bytemuck::cast_slice(slice)))
            }
        }
    }

    // The casts cannot fail, because place and type are those of a slice that lay there.
    fn elements<'h>(&self, held: &'h HeldReply) -> Elements<'h> {
        match self {
            ElementsLocation::F64(place) => Elements::F64(bytemuck::cast_slice(held.at(place))),
            ElementsLocation::F32(place) => Elements::F32(bytemuck::cast_slice(held.at(place))),
            ElementsLocation::I64(place) => Elements::I64(bytemuck::cast_slice(held.at(place))),
        }
    }
}
