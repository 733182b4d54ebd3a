//! A claimed item of a list.

use std::ops::{Deref, Range};

use super::List;
use crate::Error;
use crate::buffer::HeldReply;
use crate::shared::HoldKeeper;

/// A claimed item, read in the buffer it was received in. Returns to the list when this is dropped.
/// Errors are ignored then, because the engine returns the item automatically when the hold ends.
#[derive(Debug)]
pub struct Claim {
    list: List,
    held: HeldReply,
    place: Range<usize>,
    token: u64,
    /// There until the claim has ended.
    keeper: Option<HoldKeeper>,
}

/// All methods that return a [`Result`] fail with [`Error`].
impl Claim {
    pub(super) fn new(
        list: &List,
        held: HeldReply,
        (token, place): (u64, Range<usize>),
        keeper: HoldKeeper,
    ) -> Claim {
        let requester = list.requester.through(&keeper);
        let list = List { requester, target: list.target.clone(), hold: list.hold };
        Claim { list, held, place, token, keeper: Some(keeper) }
    }

    /// Returns the fencing token, which is larger than that of every earlier claim of this list.
    /// Writes that carry it are refused once the worker has lost its claim to another, see
    /// [`Cell::set_with_token`](crate::Cell::set_with_token).
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let jobs = client.list("jobs");
    /// jobs.push_back("resize")?;
    /// let job = jobs.claim(seconds)?;
    /// client.map("results").put_with_token(job.token(), &job, "small")?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn token(&self) -> u64 {
        self.token
    }

    /// Keeps the session alive in which the item was claimed, and so a claim with
    /// [`Hold::Session`](crate::Hold::Session). Other requests of the thread that claimed it do so as
    /// well; this may come from any thread.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let jobs = client.list("jobs");
    /// jobs.push_back("resize")?;
    /// let job = jobs.claim(seconds)?;
    /// std::thread::scope(|scope| scope.spawn(|| job.renew()).join().unwrap())?;
    /// job.done()?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn renew(&self) -> Result<(), Error> {
        // An update in the session that changes nothing, because no claim has this token.
        self.list.done(0).map(drop)
    }

    /// Removes the item for good, because its work is done. Returns whether the claim was still
    /// held; if not, the item has returned to the list, and another worker may have it.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let jobs = client.list("jobs");
    /// jobs.push_back("resize")?;
    /// assert!(jobs.claim(seconds)?.done()?, "no other worker has it");
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn done(mut self) -> Result<bool, Error> {
        let _keeper = self.keeper.take();
        self.list.done(self.token)
    }

    /// Puts the item back to the front of the list. Returns whether the claim was still held.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let jobs = client.list("jobs");
    /// jobs.push_back("resize")?;
    /// assert!(jobs.claim(seconds)?.give_back()?);
    /// assert_eq!(jobs.len()?, 1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn give_back(mut self) -> Result<bool, Error> {
        let _keeper = self.keeper.take();
        self.list.give_back(self.token)
    }

    /// Keeps the claim held beyond this value. Returns the token, with which any client can end it.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let jobs = client.list("jobs");
    /// jobs.push_back("resize")?;
    /// let token = jobs.claim(seconds)?.keep(); // another process ends it
    /// assert!(jobs.done(token)?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn keep(mut self) -> u64 {
        if let Some(keeper) = self.keeper.take() {
            self.list.requester.keep(&self.list.target, self.token, &keeper);
        }
        self.token
    }
}

impl Deref for Claim {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.held.at(&self.place)
    }
}

impl AsRef<[u8]> for Claim {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.keeper.is_some() {
            _ = self.list.give_back(self.token);
        }
    }
}
