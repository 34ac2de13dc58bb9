//! The lake as its callers see it: put what is new, get, list, each tried a bounded number of times.
//!
//! A [`Backend`] does one try; [`Store`] decides whether another one helps, and what an unclear
//! answer meant. Nothing is ever replaced or deleted.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::keys::{Key, Prefix};
use super::{Class, Error, Folder, Remote};

/// Does one try of each operation.
pub trait Backend: Send + Sync + fmt::Debug {
    /// Stores `body` under `key` if nothing is there; `false` if something is.
    ///
    /// When this returns `true` the object survives power loss, with its whole content or not at
    /// all. After an error it may or may not be there.
    ///
    /// # Errors
    /// What the store said, see [`Error::class`].
    fn put_new(&self, key: &str, body: &Bytes) -> Result<bool, Error>;

    /// Does the same for several objects whose syncs can be done together; `None` from a store that
    /// gains nothing by it.
    fn put_all_new(&self, _objects: &[(&str, &Bytes)]) -> Option<Vec<Result<bool, Error>>> {
        None
    }

    /// Reads a whole object; `None` if there is none.
    ///
    /// # Errors
    /// What the store said, see [`Error::class`].
    fn get(&self, key: &str) -> Result<Option<Bytes>, Error>;

    /// Lists the keys that start with `prefix`, which ends at a `/`, in any order.
    ///
    /// # Errors
    /// What the store said, see [`Error::class`].
    fn list(&self, prefix: &str) -> Result<Vec<String>, Error>;
}

/// How hard to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Tries of one operation, at least one.
    pub tries: u32,
    /// Wait after the first failed try; doubles with each further one.
    pub backoff: Duration,
    /// Longest wait.
    pub backoff_max: Duration,
    /// How many small objects may go up at once.
    pub uploads: usize,
}

impl Default for Options {
    /// Four tries within about two seconds: enough for a throttled or restarted store. Outages are
    /// the caller's to sit out, with everything it holds still in the journal.
    fn default() -> Self {
        Self {
            tries: 4,
            backoff: Duration::from_millis(200),
            backoff_max: Duration::from_secs(2),
            uploads: 8,
        }
    }
}

/// How a put that succeeded went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// The object is new.
    Created,
    /// The very same bytes were there already: an earlier try, or an earlier life of ours.
    Same,
}

/// The lake; cheap to clone. All calls block.
#[derive(Clone, Debug)]
pub struct Store {
    backend: Arc<dyn Backend>,
    options: Options,
}

impl Store {
    /// Wraps `backend`.
    #[must_use]
    pub fn new(backend: Arc<dyn Backend>, options: Options) -> Self {
        Self { backend, options }
    }

    /// Opens the lake at `url`: a folder, `file://`, `s3://`, `gs://` or `az://`.
    ///
    /// Credentials and endpoints of the cloud stores come from their usual environment variables.
    /// `runtime` drives their requests; a folder needs none.
    ///
    /// # Errors
    /// [`Error::Address`] for a URL that cannot be used, [`Error::Io`] for a folder that cannot be
    /// made or written.
    pub fn open(url: &str, runtime: &tokio::runtime::Handle) -> Result<Self, Error> {
        let backend: Arc<dyn Backend> = match url.split_once("://") {
            None => Arc::new(Folder::open(url.as_ref())?),
            Some(("file", path)) if path.starts_with('/') => Arc::new(Folder::open(path.as_ref())?),
            Some(_) => Arc::new(Remote::open(url, runtime.clone())?),
        };
        Ok(Self::new(backend, Options::default()))
    }

    /// Stores `body` under `key` unless another object is there.
    ///
    /// On return the object is durable. A lost answer is resolved by reading what is there, so the
    /// call may be repeated at any time, by any process.
    ///
    /// # Errors
    /// [`Error::Conflict`] if an object with other bytes is there, else what the store said after
    /// the last try.
    pub fn put_new(&self, key: &Key, body: &Bytes) -> Result<Put, Error> {
        let name = key.to_string();
        self.retry(|| {
            if self.backend.put_new(&name, body)? {
                return Ok(Put::Created);
            }
            match self.backend.get(&name)? {
                Some(found) if found == *body => Ok(Put::Same),
                Some(_) => Err(Error::Conflict { key: name.clone() }),
                // Taken, yet not to be read: the store is not of one mind yet.
                None => Err(Error::Unavailable {
                    action: "read what already is at",
                    key: name.clone(),
                    source: "the store says that it exists and that it does not".into(),
                }),
            }
        })
    }

    /// Stores several objects as [`Store::put_new`] does each, several at a time; the outcomes are
    /// in their order. After a failure no further one is begun: its outcome is `None`.
    #[must_use]
    pub fn put_all_new(&self, objects: &[(Key, Bytes)]) -> Vec<Option<Result<Put, Error>>> {
        let names: Vec<String> = objects.iter().map(|(key, _)| key.to_string()).collect();
        let named: Vec<(&str, &Bytes)> =
            names.iter().zip(objects).map(|(name, (_, body))| (name.as_str(), body)).collect();
        let Some(first_try) = self.backend.put_all_new(&named) else {
            return self.put_each_new(objects);
        };
        let mut failed = false;
        let put = |((key, body), outcome): (&(Key, Bytes), Result<bool, Error>)| match outcome {
            Ok(true) => Some(Ok(Put::Created)),
            _ if failed => None,
            // What else became of it is found out as for one object.
            _ => {
                let outcome = self.put_new(key, body);
                failed = outcome.as_ref().is_err_and(|error| error.class() != Class::Conflict);
                Some(outcome)
            }
        };
        objects.iter().zip(first_try).map(put).collect()
    }

    /// Puts each by itself, as many at once as may go up.
    fn put_each_new(&self, objects: &[(Key, Bytes)]) -> Vec<Option<Result<Put, Error>>> {
        let next = AtomicUsize::new(0);
        let outcomes = Mutex::new(Vec::with_capacity(objects.len()));
        let put_next = || {
            while let Some((at, (key, body))) = {
                let at = next.fetch_add(1, Ordering::Relaxed);
                objects.get(at).map(|object| (at, object))
            } {
                let outcome = self.put_new(key, body);
                if outcome.as_ref().is_err_and(|error| error.class() != Class::Conflict) {
                    // The others end with the object they are at.
                    next.store(objects.len(), Ordering::Relaxed);
                }
                let mut all = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
                all.push((at, outcome));
            }
        };
        match self.options.uploads.min(objects.len()) {
            0 | 1 => put_next(),
            workers => std::thread::scope(|scope| {
                for _ in 0..workers {
                    scope.spawn(put_next);
                }
            }),
        }
        let mut in_order: Vec<_> = objects.iter().map(|_| None).collect();
        for (at, outcome) in outcomes.into_inner().unwrap_or_else(PoisonError::into_inner) {
            in_order[at] = Some(outcome);
        }
        in_order
    }

    /// Reads a whole object; `None` if there is none.
    ///
    /// # Errors
    /// What the store said after the last try.
    pub fn get(&self, key: &Key) -> Result<Option<Bytes>, Error> {
        let name = key.to_string();
        self.retry(|| self.backend.get(&name))
    }

    /// Lists the keys of ours under `prefix`, in their order. For commands, not for the loader:
    /// the cost grows with the lake.
    ///
    /// # Errors
    /// What the store said after the last try.
    pub fn list(&self, prefix: &Prefix) -> Result<Vec<Key>, Error> {
        let names = self.retry(|| self.backend.list(&prefix.to_string()))?;
        let mut keys: Vec<Key> = names.iter().filter_map(|name| Key::parse(name)).collect();
        keys.sort_unstable();
        Ok(keys)
    }

    /// Finds the last of objects that are numbered without gaps, by reading: the highest number at
    /// or after `from` that is there, with its content. `None` if neither `from` nor the one after
    /// is.
    ///
    /// Costs two reads when `from` is the last or the one before, else about twice the binary
    /// logarithm of the distance.
    ///
    /// # Errors
    /// What the store said after the last try.
    pub fn last(&self, from: u64, key: impl Fn(u64) -> Key) -> Result<Option<(u64, Bytes)>, Error> {
        let mut found = self.get(&key(from))?.map(|bytes| (from, bytes));
        let (mut step, mut missing) = (1_u64, None);
        loop {
            let low = found.as_ref().map_or(from, |(number, _)| *number);
            let probe = match missing {
                Some(high) if high <= low.saturating_add(1) => return Ok(found),
                Some(high) => low + (high - low) / 2,
                None => low.saturating_add(step),
            };
            match self.get(&key(probe))? {
                Some(bytes) => {
                    found = Some((probe, bytes));
                    step = step.saturating_mul(2);
                }
                None if found.is_none() => return Ok(None),
                None => missing = Some(probe),
            }
        }
    }

    fn retry<T>(&self, mut one_try: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
        let mut wait = self.options.backoff;
        let mut tries_left = self.options.tries.max(1);
        loop {
            tries_left -= 1;
            match one_try() {
                Err(error) if error.class() == Class::Retry && tries_left > 0 => {
                    tracing::debug!(%error, tries_left, "storage operation failed, trying again");
                    std::thread::sleep(wait);
                    wait = wait.saturating_mul(2).min(self.options.backoff_max);
                }
                outcome => return outcome,
            }
        }
    }
}
