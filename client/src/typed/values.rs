//! The typed handles.

use std::marker::PhantomData;
use std::time::Duration;

use catena_protocol::Kind;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Codec, Postcard};
use crate::error::Error;
use crate::objects::{Cell, Future, Map, Swapped};

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

pub(super) use typed;

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
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let numbers = client.cell("numbers").typed::<Vec<u32>>();
    /// assert_eq!(numbers.get()?, None);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn get(&self) -> Result<Option<T>, Error> {
        Ok(self.get_versioned()?.map(|(_, value)| value))
    }

    /// Returns version and value; `None` if the cell was never written.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let numbers = client.cell("numbers").typed::<Vec<u32>>();
    /// let version = numbers.set(&vec![1])?;
    /// assert_eq!(numbers.get_versioned()?, Some((version, vec![1])));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn get_versioned(&self) -> Result<Option<(u64, T)>, Error> {
        let view = self.handle.get()?;
        match view.version() {
            0 => Ok(None),
            version => Ok(Some((version, self.decode(&view)?))),
        }
    }

    /// Replaces the value. Returns the new version.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let numbers = client.cell("numbers").typed::<Vec<u32>>();
    /// numbers.set(&vec![1, 2])?;
    /// assert_eq!(numbers.get()?, Some(vec![1, 2]));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn set(&self, value: &T) -> Result<u64, Error> {
        self.handle.set(&self.encode(value)?)
    }

    /// Replaces the value under a fencing token, see [`Cell::set_with_token`]. Returns the new version.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let numbers = client.cell("numbers").typed::<Vec<u32>>();
    /// let guard = client.lock("numbers/lock").lock(seconds)?;
    /// numbers.set_with_token(guard.token(), &vec![1])?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn set_with_token(&self, token: u64, value: &T) -> Result<u64, Error> {
        self.handle.set_with_token(token, &self.encode(value)?)
    }

    /// Replaces the value. Returns the old one, `None` if the cell was never written.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let numbers = client.cell("numbers").typed::<Vec<u32>>();
    /// assert_eq!(numbers.swap(&vec![1])?, None);
    /// assert_eq!(numbers.swap(&vec![2])?, Some(vec![1]));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn swap(&self, value: &T) -> Result<Option<T>, Error> {
        let view = self.handle.swap(&self.encode(value)?)?;
        match view.version() {
            0 => Ok(None),
            _ => self.decode(&view).map(Some),
        }
    }

    /// Replaces the value if the version is `version`, which is 0 for a cell that was never written.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let numbers = client.cell("numbers").typed::<Vec<u32>>();
    /// assert!(numbers.compare_version_and_set(0, &vec![1])?.swapped);
    /// assert!(!numbers.compare_version_and_set(0, &vec![2])?.swapped);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn compare_version_and_set(&self, version: u64, value: &T) -> Result<Swapped<u64>, Error> {
        self.handle.compare_version_and_set(version, &self.encode(value)?)
    }

    /// Replaces the value by what `change` makes of it, `None` if the cell was never written. Calls
    /// `change` again if another client has changed the cell meanwhile. Returns the new value.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let numbers = client.cell("numbers").typed::<Vec<u32>>();
    /// let push = |numbers: Option<Vec<u32>>| [numbers.unwrap_or_default(), vec![7]].concat();
    /// assert_eq!((numbers.update(push)?, numbers.update(push)?), (vec![7], vec![7, 7]));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
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
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let scores = client.map("scores").typed::<u32>();
    /// assert_eq!(scores.get("ada")?, None);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<T>, Error> {
        self.handle.get(key)?.map(|view| self.decode(&view)).transpose()
    }

    /// Sets the value of a key. Returns whether it had one before.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let scores = client.map("scores").typed::<u32>();
    /// assert!(!scores.put("ada", &3)?);
    /// assert_eq!(scores.get("ada")?, Some(3));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn put(&self, key: impl AsRef<[u8]>, value: &T) -> Result<bool, Error> {
        self.handle.put(key, self.encode(value)?)
    }

    /// Sets the value of a key that has none. Returns whether it did.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let scores = client.map("scores").typed::<u32>();
    /// assert!(scores.put_if_absent("ada", &3)? && !scores.put_if_absent("ada", &4)?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn put_if_absent(&self, key: impl AsRef<[u8]>, value: &T) -> Result<bool, Error> {
        self.handle.put_if_absent(key, self.encode(value)?)
    }

    /// Sets the value of a key. Returns the old one.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let scores = client.map("scores").typed::<u32>();
    /// scores.put("ada", &3)?;
    /// assert_eq!(scores.swap("ada", &4)?, Some(3));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn swap(&self, key: impl AsRef<[u8]>, value: &T) -> Result<Option<T>, Error> {
        let old = self.handle.swap(key, self.encode(value)?)?;
        old.map(|view| self.decode(&view)).transpose()
    }

    /// Removes a key. Returns its value.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let scores = client.map("scores").typed::<u32>();
    /// scores.put("ada", &3)?;
    /// assert_eq!(scores.take("ada")?, Some(3));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn take(&self, key: impl AsRef<[u8]>) -> Result<Option<T>, Error> {
        self.handle.take(key)?.map(|view| self.decode(&view)).transpose()
    }

    /// Walks the keys with their values, in byte order of the keys.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let scores = client.map("scores").typed::<u32>();
    /// scores.put("ada", &3)?;
    /// assert_eq!(scores.entries().next().transpose()?, Some((b"ada".to_vec(), 3)));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn entries(&self) -> impl Iterator<Item = Result<(Vec<u8>, T), Error>> {
        self.handle.entries().map(|entry| {
            let (key, value) = entry?;
            Ok((key, self.decode(&value)?))
        })
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
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let result = client.future("result").typed::<u32>();
    /// result.set(&7)?;
    /// assert_eq!(result.get(seconds)?, 7);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn get(&self, timeout: Duration) -> Result<T, Error> {
        self.decode(&self.handle.get(timeout)?)
    }

    /// Returns the value if there is one.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let result = client.future("result").typed::<u32>();
    /// assert_eq!(result.peek()?, None);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn peek(&self) -> Result<Option<T>, Error> {
        self.handle.peek()?.map(|view| self.decode(&view)).transpose()
    }

    /// Sets the value if there is none. Returns whether it did.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let result = client.future("result").typed::<u32>();
    /// assert!(result.set(&7)? && !result.set(&8)?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn set(&self, value: &T) -> Result<bool, Error> {
        self.handle.set(self.encode(value)?)
    }
}
