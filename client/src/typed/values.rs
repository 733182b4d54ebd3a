//! The typed handles.

use std::marker::PhantomData;
use std::ops::Deref;
use std::time::Duration;

use catena_protocol::Kind;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Codec, Postcard};
use crate::error::Error;
use crate::objects::{Cell, Claim, Future, List, Map, Swapped};

/// Declares a typed handle.
macro_rules! typed {
    ($(#[$meta:meta])* $name:ident of $handle:ident) => {
        $(#[$meta])*
        pub struct $name<T, C = Postcard> {
            handle: $handle,
            of: PhantomData<fn(T, C) -> T>,
        }

        impl $handle {
            /// Returns a handle to the same object with values of the type `T`, see
            /// [`typed`](crate::typed). Needs the feature `serde`.
            pub fn typed<T>(&self) -> $name<T> {
                self.typed_with()
            }

            /// As [`typed`](Self::typed), with another codec than [`Postcard`].
            pub fn typed_with<T, C: Codec>(&self) -> $name<T, C> {
                $name { handle: self.clone(), of: PhantomData }
            }
        }

        impl<T, C> $name<T, C> {
            /// Returns the handle with bytes, for everything else.
            pub fn untyped(&self) -> &$handle {
                &self.handle
            }

            fn encode(&self, value: &(impl Serialize + ?Sized)) -> Result<Vec<u8>, Error>
            where
                C: Codec,
            {
                let mut bytes = Vec::new();
                C::encode(value, &mut bytes).map_err(|source| Error::Encode {
                    kind: Kind::$handle,
                    object: self.handle.name().into(),
                    source,
                })?;
                Ok(bytes)
            }

            fn decode(&self, bytes: &[u8]) -> Result<T, Error>
            where
                T: DeserializeOwned,
                C: Codec,
            {
                C::decode(bytes).map_err(|source| Error::Decode {
                    kind: Kind::$handle,
                    object: self.handle.name().into(),
                    source,
                })
            }
        }

        impl<T, C> Clone for $name<T, C> {
            fn clone(&self) -> Self {
                $name { handle: self.handle.clone(), of: PhantomData }
            }
        }

        impl<T, C> std::fmt::Debug for $name<T, C> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.handle).finish()
            }
        }
    };
}

typed! {
    /// A [`Cell`] with a typed value.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize, Debug, Default, PartialEq)]
    /// struct Settings {
    ///     workers: u32,
    ///     labels: Vec<String>,
    /// }
    ///
    /// let settings = client.cell("settings").typed::<Settings>();
    /// assert_eq!(settings.get()?, None);
    /// settings.set(&Settings { workers: 8, labels: vec!["blue".into()] })?;
    /// let now = settings.update(|settings| Settings { workers: 9, ..settings.unwrap_or_default() })?;
    /// assert_eq!((now.workers, &now.labels[..]), (9, &["blue".to_owned()][..]));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    TypedCell of Cell
}

/// All methods fail with [`Error`]: that of the method of [`Cell`], [`Error::Encode`],
/// [`Error::Decode`].
impl<T: Serialize + DeserializeOwned, C: Codec> TypedCell<T, C> {
    /// Returns the value; `None` if the cell was never written.
    pub fn get(&self) -> Result<Option<T>, Error> {
        Ok(self.get_versioned()?.map(|(_, value)| value))
    }

    /// Returns version and value; `None` if the cell was never written.
    pub fn get_versioned(&self) -> Result<Option<(u64, T)>, Error> {
        let view = self.handle.get()?;
        match view.version() {
            0 => Ok(None),
            version => Ok(Some((version, self.decode(&view)?))),
        }
    }

    /// Replaces the value. Returns the new version.
    pub fn set(&self, value: &T) -> Result<u64, Error> {
        self.handle.set(&self.encode(value)?)
    }

    /// Replaces the value under a fencing token, see [`Cell::set_with_token`]. Returns the new version.
    pub fn set_with_token(&self, token: u64, value: &T) -> Result<u64, Error> {
        self.handle.set_with_token(token, &self.encode(value)?)
    }

    /// Replaces the value. Returns the old one, `None` if the cell was never written.
    pub fn swap(&self, value: &T) -> Result<Option<T>, Error> {
        let view = self.handle.swap(&self.encode(value)?)?;
        match view.version() {
            0 => Ok(None),
            _ => self.decode(&view).map(Some),
        }
    }

    /// Replaces the value if the version is `version`, which is 0 for a cell that was never written.
    pub fn compare_version_and_set(&self, version: u64, value: &T) -> Result<Swapped<u64>, Error> {
        self.handle.compare_version_and_set(version, &self.encode(value)?)
    }

    /// Replaces the value by what `change` makes of it, `None` if the cell was never written. Calls
    /// `change` again if another client has changed the cell meanwhile. Returns the new value.
    pub fn update(&self, mut change: impl FnMut(Option<T>) -> T) -> Result<T, Error> {
        loop {
            let (version, value) = match self.get_versioned()? {
                Some((version, value)) => (version, Some(value)),
                None => (0, None),
            };
            let value = change(value);
            if self.compare_version_and_set(version, &value)?.swapped {
                return Ok(value);
            }
        }
    }
}

typed! {
    /// A [`Map`] with typed values. Keys stay bytes, because their order is that of the bytes.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let scores = client.map("scores").typed::<(String, u32)>();
    /// scores.put("ada", &("Ada".to_owned(), 3))?;
    /// assert_eq!(scores.get("ada")?, Some(("Ada".to_owned(), 3)));
    /// assert_eq!(scores.get("alan")?, None);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    TypedMap of Map
}

/// All methods fail with [`Error`]: that of the method of [`Map`], [`Error::Encode`],
/// [`Error::Decode`].
impl<T: Serialize + DeserializeOwned, C: Codec> TypedMap<T, C> {
    /// Returns the value of a key.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<T>, Error> {
        self.handle.get(key)?.map(|view| self.decode(&view)).transpose()
    }

    /// Sets the value of a key. Returns whether it had one before.
    pub fn put(&self, key: impl AsRef<[u8]>, value: &T) -> Result<bool, Error> {
        self.handle.put(key, self.encode(value)?)
    }

    /// Sets the value of a key that has none. Returns whether it did.
    pub fn put_if_absent(&self, key: impl AsRef<[u8]>, value: &T) -> Result<bool, Error> {
        self.handle.put_if_absent(key, self.encode(value)?)
    }

    /// Sets the value of a key. Returns the old one.
    pub fn swap(&self, key: impl AsRef<[u8]>, value: &T) -> Result<Option<T>, Error> {
        let old = self.handle.swap(key, self.encode(value)?)?;
        old.map(|view| self.decode(&view)).transpose()
    }

    /// Removes a key. Returns its value.
    pub fn take(&self, key: impl AsRef<[u8]>) -> Result<Option<T>, Error> {
        self.handle.take(key)?.map(|view| self.decode(&view)).transpose()
    }

    /// Walks the keys with their values, in byte order of the keys.
    pub fn entries(&self) -> impl Iterator<Item = Result<(Vec<u8>, T), Error>> {
        self.handle.entries().map(|entry| {
            let (key, value) = entry?;
            Ok((key, self.decode(&value)?))
        })
    }
}

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
    pub fn get(&self, index: u64) -> Result<Option<T>, Error> {
        self.handle.get(index)?.map(|view| self.decode(&view)).transpose()
    }

    /// Adds an item at the end. Returns the new length.
    pub fn push_back(&self, item: &T) -> Result<u64, Error> {
        self.handle.push_back(self.encode(item)?)
    }

    /// Adds an item at the front. Returns the new length.
    pub fn push_front(&self, item: &T) -> Result<u64, Error> {
        self.handle.push_front(self.encode(item)?)
    }

    /// Adds items at the end, atomically. Returns the new length.
    pub fn extend<'i>(&self, items: impl IntoIterator<Item = &'i T>) -> Result<u64, Error>
    where
        T: 'i,
    {
        let items = items.into_iter().map(|item| self.encode(item));
        self.handle.extend(items.collect::<Result<Vec<_>, _>>()?)
    }

    /// Removes and returns the first item, if there is one.
    pub fn pop_front(&self) -> Result<Option<T>, Error> {
        self.handle.pop_front()?.map(|view| self.decode(&view)).transpose()
    }

    /// Removes and returns the last item, if there is one.
    pub fn pop_back(&self) -> Result<Option<T>, Error> {
        self.handle.pop_back()?.map(|view| self.decode(&view)).transpose()
    }

    /// Waits until there is an item, and removes and returns the first.
    pub fn pop_front_wait(&self, timeout: Duration) -> Result<T, Error> {
        self.decode(&self.handle.pop_front_wait(timeout)?)
    }

    /// Waits until there is an item, and claims the first. One that cannot be decoded returns to the
    /// list.
    pub fn claim(&self, timeout: Duration) -> Result<TypedClaim<T>, Error> {
        self.claimed(self.handle.claim(timeout)?)
    }

    /// As [`TypedList::claim`], but returns `None` if there is no item.
    pub fn try_claim(&self) -> Result<Option<TypedClaim<T>>, Error> {
        self.handle.try_claim()?.map(|claim| self.claimed(claim)).transpose()
    }

    /// Walks all items from the first on.
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
    pub fn value(&self) -> &T {
        &self.value
    }

    /// Removes the item for good, see [`Claim::done`].
    pub fn done(self) -> Result<bool, Error> {
        self.claim.done()
    }

    /// Puts the item back to the front of the list, see [`Claim::give_back`].
    pub fn give_back(self) -> Result<bool, Error> {
        self.claim.give_back()
    }

    /// Returns the fencing token, see [`Claim::token`].
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

typed! {
    /// A [`Future`] with a typed value.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use std::time::Duration;
    ///
    /// let result = client.future("result").typed::<Vec<f64>>();
    /// assert!(result.set(&vec![0.5, 1.5])?);
    /// assert_eq!(result.get(Duration::from_secs(10))?, [0.5, 1.5]);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    TypedFuture of Future
}

/// All methods fail with [`Error`]: that of the method of [`Future`], [`Error::Encode`],
/// [`Error::Decode`].
impl<T: Serialize + DeserializeOwned, C: Codec> TypedFuture<T, C> {
    /// Waits for the value.
    pub fn get(&self, timeout: Duration) -> Result<T, Error> {
        self.decode(&self.handle.get(timeout)?)
    }

    /// Returns the value if there is one.
    pub fn peek(&self) -> Result<Option<T>, Error> {
        self.handle.peek()?.map(|view| self.decode(&view)).transpose()
    }

    /// Sets the value if there is none. Returns whether it did.
    pub fn set(&self, value: &T) -> Result<bool, Error> {
        self.handle.set(self.encode(value)?)
    }
}
