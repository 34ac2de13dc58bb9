//! A lake in memory, and a wrapper that fails on purpose: for tests of all that writes to a lake.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::{Backend, Error};

/// Objects in a map.
#[derive(Debug, Default)]
pub struct Memory {
    objects: Mutex<BTreeMap<String, Bytes>>,
}

impl Memory {
    /// A copy of all objects.
    #[must_use]
    pub fn objects(&self) -> BTreeMap<String, Bytes> {
        lock(&self.objects).clone()
    }

    /// Puts an object in place of whatever is there, as somebody else might.
    pub fn replace(&self, key: &str, body: Bytes) {
        lock(&self.objects).insert(key.into(), body);
    }

    /// Takes an object away, as somebody else might.
    pub fn remove(&self, key: &str) {
        lock(&self.objects).remove(key);
    }
}

impl Backend for Memory {
    fn put_new(&self, key: &str, body: &Bytes) -> Result<bool, Error> {
        let mut objects = lock(&self.objects);
        if objects.contains_key(key) {
            return Ok(false);
        }
        objects.insert(key.into(), body.clone());
        Ok(true)
    }

    fn get(&self, key: &str) -> Result<Option<Bytes>, Error> {
        Ok(lock(&self.objects).get(key).cloned())
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let objects = lock(&self.objects);
        Ok(objects.keys().filter(|key| key.starts_with(prefix)).cloned().collect())
    }
}

/// What goes wrong with an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// It is refused and not done.
    Refuse,
    /// It is done and the answer is lost.
    Forget,
}

/// Fails the operations it is told to, counted from zero over puts and gets alike.
#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn Backend>,
    state: Mutex<FaultyState>,
}

#[derive(Debug, Default)]
struct FaultyState {
    operations: u64,
    faults: HashSet<(u64, Fault)>,
    down_from: Option<(u64, Fault)>,
}

impl Faulty {
    /// Wraps `inner`; nothing fails yet.
    #[must_use]
    pub fn new(inner: Arc<dyn Backend>) -> Self {
        Self { inner, state: Mutex::default() }
    }

    /// Lets the operation `number` fail.
    pub fn fail(&self, number: u64, fault: Fault) {
        lock(&self.state).faults.insert((number, fault));
    }

    /// Lets the operation `number` fail as told and all after it be refused.
    pub fn go_down(&self, number: u64, fault: Fault) {
        lock(&self.state).down_from = Some((number, fault));
    }

    /// Ends the outage and forgets all faults.
    pub fn mend(&self) {
        let mut state = lock(&self.state);
        state.down_from = None;
        state.faults.clear();
    }

    /// How many operations were asked for.
    #[must_use]
    pub fn operations(&self) -> u64 {
        lock(&self.state).operations
    }

    fn fault(&self) -> Option<Fault> {
        let mut state = lock(&self.state);
        let number = state.operations;
        state.operations += 1;
        match state.down_from {
            Some((from, fault)) if number == from => return Some(fault),
            Some((from, _)) if number > from => return Some(Fault::Refuse),
            _ => {}
        }
        [Fault::Refuse, Fault::Forget].into_iter().find(|f| state.faults.contains(&(number, *f)))
    }

    fn around<T>(
        &self,
        action: &'static str,
        key: &str,
        operation: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let fault = self.fault();
        let done = if fault == Some(Fault::Refuse) { None } else { Some(operation()?) };
        match (fault, done) {
            (None, Some(done)) => Ok(done),
            _ => Err(Error::Unavailable { action, key: key.into(), source: "on purpose".into() }),
        }
    }
}

impl Backend for Faulty {
    fn put_new(&self, key: &str, body: &Bytes) -> Result<bool, Error> {
        self.around("put", key, || self.inner.put_new(key, body))
    }

    fn get(&self, key: &str) -> Result<Option<Bytes>, Error> {
        self.around("get", key, || self.inner.get(key))
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, Error> {
        self.around("list", prefix, || self.inner.list(prefix))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::storage::keys::{Key, Number, Part};
    use crate::storage::{Class, Options, Put, Store};

    fn faulty() -> (Arc<Faulty>, Store) {
        let faulty = Arc::new(Faulty::new(Arc::new(Memory::default())));
        let options =
            Options { tries: 3, backoff: Duration::ZERO, backoff_max: Duration::ZERO, uploads: 1 };
        let backend: Arc<dyn Backend> = Arc::<Faulty>::clone(&faulty);
        (faulty, Store::new(backend, options))
    }

    fn key() -> Key {
        Key::Plan(Part::new("w").unwrap(), Number(1))
    }

    #[test]
    fn a_forgotten_answer_is_resolved_by_reading() {
        let (faulty, store) = faulty();
        faulty.fail(0, Fault::Forget);
        let body = Bytes::from_static(b"one");
        assert_eq!(store.put_new(&key(), &body).unwrap(), Put::Same);
        let error = store.put_new(&key(), &Bytes::from_static(b"two")).unwrap_err();
        assert_eq!(error.class(), Class::Conflict);
        assert_eq!(store.get(&key()).unwrap(), Some(body));
    }

    #[test]
    fn an_operation_is_tried_so_often_and_no_more() {
        let (faulty, store) = faulty();
        faulty.fail(0, Fault::Refuse);
        faulty.fail(1, Fault::Refuse);
        assert_eq!(store.put_new(&key(), &Bytes::new()).unwrap(), Put::Created);
        faulty.go_down(3, Fault::Refuse);
        assert_eq!(store.get(&key()).unwrap_err().class(), Class::Retry);
        assert_eq!(faulty.operations(), 6);
        faulty.mend();
        assert!(store.get(&key()).unwrap().is_some());
    }
}
