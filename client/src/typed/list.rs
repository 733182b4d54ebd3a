//! Lists with typed items.

use std::marker::PhantomData;
use std::ops::Deref;
use std::time::Duration;

use catena_protocol::Kind;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::values::typed;
use super::{Codec, Postcard};
use crate::error::Error;
use crate::objects::{Claim, List};

typed! {
    /// A [`List`] with typed items: a list, a queue, a work queue.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use std::time::Duration;
    ///
    /// let jobs = client.list("jobs").typed::<(u32, String)>();
    /// jobs.push_back(&(7, "resize".to_owned()))?;
    /// let job = jobs.claim(Duration::from_secs(10))?;
    /// assert_eq!(job.value(), &(7, "resize".to_owned()));
    /// assert!(job.done()?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    TypedList of List
}

/// All methods fail with [`Error`]: that of the method of [`List`], [`Error::Encode`],
/// [`Error::Decode`].
impl<T: Serialize + DeserializeOwned, C: Codec> TypedList<T, C> {
    /// Returns the item at `index`, from 0; `None` behind the end.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let jobs = client.list("jobs").typed::<String>();
    /// jobs.push_back(&"resize".to_owned())?;
    /// assert_eq!(jobs.get(0)?.as_deref(), Some("resize"));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn get(&self, index: u64) -> Result<Option<T>, Error> {
        self.handle.get(index)?.map(|view| self.decode(&view)).transpose()
    }

    /// Adds an item at the end. Returns the new length.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let jobs = client.list("jobs").typed::<String>();
    /// jobs.push_back(&"resize".to_owned())?;
    /// assert_eq!(jobs.push_back(&"crop".to_owned())?, 2);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn push_back(&self, item: &T) -> Result<u64, Error> {
        self.handle.push_back(self.encode(item)?)
    }

    /// Adds an item at the front. Returns the new length.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let jobs = client.list("jobs").typed::<String>();
    /// jobs.push_back(&"resize".to_owned())?;
    /// jobs.push_front(&"now".to_owned())?;
    /// assert_eq!(jobs.pop_front()?.as_deref(), Some("now"));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn push_front(&self, item: &T) -> Result<u64, Error> {
        self.handle.push_front(self.encode(item)?)
    }

    /// Adds items at the end, atomically. Returns the new length.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let numbers = client.list("numbers").typed::<u32>();
    /// assert_eq!(numbers.extend(&[1, 2, 3])?, 3);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn extend<'i>(&self, items: impl IntoIterator<Item = &'i T>) -> Result<u64, Error>
    where
        T: 'i,
    {
        let items = items.into_iter().map(|item| self.encode(item));
        self.handle.extend(items.collect::<Result<Vec<_>, _>>()?)
    }

    /// Removes and returns the first item, if there is one.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let jobs = client.list("jobs").typed::<String>();
    /// jobs.push_back(&"resize".to_owned())?;
    /// assert_eq!(jobs.pop_front()?.as_deref(), Some("resize"));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn pop_front(&self) -> Result<Option<T>, Error> {
        self.handle.pop_front()?.map(|view| self.decode(&view)).transpose()
    }

    /// Removes and returns the last item, if there is one.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let jobs = client.list("jobs").typed::<String>();
    /// jobs.push_back(&"resize".to_owned())?;
    /// assert_eq!(jobs.pop_back()?.as_deref(), Some("resize"));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn pop_back(&self) -> Result<Option<T>, Error> {
        self.handle.pop_back()?.map(|view| self.decode(&view)).transpose()
    }

    /// Waits until there is an item, and removes and returns the first.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let jobs = client.list("jobs").typed::<String>();
    /// jobs.push_back(&"resize".to_owned())?;
    /// assert_eq!(jobs.pop_front_wait(seconds)?, "resize");
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn pop_front_wait(&self, timeout: Duration) -> Result<T, Error> {
        self.decode(&self.handle.pop_front_wait(timeout)?)
    }

    /// Waits until there is an item, and claims the first. One that cannot be decoded returns to the
    /// list.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let jobs = client.list("jobs").typed::<String>();
    /// jobs.push_back(&"resize".to_owned())?;
    /// let job = jobs.claim(seconds)?;
    /// assert_eq!(job.as_str(), "resize");
    /// assert!(job.done()?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn claim(&self, timeout: Duration) -> Result<TypedClaim<T>, Error> {
        self.claimed(self.handle.claim(timeout)?)
    }

    /// As [`TypedList::claim`], but returns `None` if there is no item.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let jobs = client.list("jobs").typed::<String>();
    /// jobs.push_back(&"resize".to_owned())?;
    /// assert!(jobs.try_claim()?.is_some());
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn try_claim(&self) -> Result<Option<TypedClaim<T>>, Error> {
        self.handle.try_claim()?.map(|claim| self.claimed(claim)).transpose()
    }

    /// Walks all items from the first on.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let jobs = client.list("jobs").typed::<String>();
    /// jobs.push_back(&"resize".to_owned())?;
    /// assert_eq!(jobs.items().collect::<Result<Vec<_>, _>>()?, ["resize"]);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn items(&self) -> impl Iterator<Item = Result<T, Error>> {
        self.handle.items().map(|item| self.decode(&item?))
    }

    fn claimed(&self, claim: Claim) -> Result<TypedClaim<T>, Error> {
        let value = self.decode(&claim)?;
        Ok(TypedClaim { claim, value })
    }
}

/// A claimed item with its value; otherwise as [`Claim`].
#[derive(Debug)]
pub struct TypedClaim<T> {
    claim: Claim,
    value: T,
}

/// All methods that return a [`Result`] fail with [`Error`].
impl<T> TypedClaim<T> {
    /// Returns the value.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let jobs = client.list("jobs").typed::<String>();
    /// jobs.push_back(&"resize".to_owned())?;
    /// assert_eq!(jobs.claim(seconds)?.value(), "resize");
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn value(&self) -> &T {
        &self.value
    }

    /// Removes the item for good, see [`Claim::done`].
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let jobs = client.list("jobs").typed::<String>();
    /// jobs.push_back(&"resize".to_owned())?;
    /// assert!(jobs.claim(seconds)?.done()?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn done(self) -> Result<bool, Error> {
        self.claim.done()
    }

    /// Puts the item back to the front of the list, see [`Claim::give_back`].
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let jobs = client.list("jobs").typed::<String>();
    /// jobs.push_back(&"resize".to_owned())?;
    /// assert!(jobs.claim(seconds)?.give_back()?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn give_back(self) -> Result<bool, Error> {
        self.claim.give_back()
    }

    /// Returns the fencing token, see [`Claim::token`].
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let jobs = client.list("jobs").typed::<String>();
    /// jobs.push_back(&"resize".to_owned())?;
    /// assert!(jobs.claim(seconds)?.token() > 0);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn token(&self) -> u64 {
        self.claim.token()
    }
}

impl<T> Deref for TypedClaim<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}
