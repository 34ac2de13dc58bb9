//! The simulated store: one map of objects that all machines share, and each machine's way to it,
//! which may be down, slow, throttled or forget answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use keelrow::storage::{Backend, Error};

use super::clock::SimClock;
use super::dice::Dice;
use super::plant::Plant;

/// All objects.
#[derive(Debug, Default)]
pub(super) struct Lake {
    state: Mutex<State>,
    plant: Option<Plant>,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, Bytes>,
    /// Keys that nobody has looked at.
    fresh: Vec<String>,
    /// Objects that a planted fault holds back.
    late: Vec<(String, Bytes)>,
}

impl Lake {
    pub(super) fn new(plant: Option<Plant>) -> Self {
        Self { plant, ..Self::default() }
    }

    pub(super) fn objects(&self) -> BTreeMap<String, Bytes> {
        self.lock().objects.clone()
    }

    pub(super) fn get(&self, key: &str) -> Option<Bytes> {
        self.lock().objects.get(key).cloned()
    }

    /// The keys that are new since the last call, in the order in which they came.
    pub(super) fn take_fresh(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().fresh)
    }

    /// What a planted fault held back is lost.
    pub(super) fn forget_late(&self) {
        self.lock().late.clear();
    }

    fn put_new(&self, key: &str, body: &Bytes) -> bool {
        let mut state = self.lock();
        let state = &mut *state;
        let is_there = state.objects.contains_key(key);
        match self.plant {
            Some(Plant::StoreReplaces) if is_there => {
                state.objects.insert(key.into(), body.clone());
                return true;
            }
            Some(Plant::ManifestBeforeFiles) if key.ends_with(".parquet") && !is_there => {
                // Said to be there; is so after the next object, if nothing happens before.
                state.late.push((key.into(), body.clone()));
                return true;
            }
            Some(Plant::SchemaNarrowed) if key.contains("/schemas/") && !is_there => {
                return state.put(key, &narrowed(body));
            }
            _ => {}
        }
        if is_there {
            return false;
        }
        let put = state.put(key, body);
        for (key, body) in std::mem::take(&mut state.late) {
            state.put(&key, &body);
        }
        put
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn put(&mut self, key: &str, body: &Bytes) -> bool {
        self.objects.insert(key.into(), body.clone());
        self.fresh.push(key.into());
        true
    }
}

/// A later schema version without its last column but two.
fn narrowed(body: &Bytes) -> Bytes {
    let mut schema: serde_json::Value = serde_json::from_slice(body).unwrap();
    let is_late = schema["version"].as_u64() > Some(1);
    let columns = schema["columns"].as_array_mut().unwrap();
    if is_late && columns.len() > 3 {
        columns.remove(columns.len() - 3);
    }
    Bytes::from(serde_json::to_vec(&schema).unwrap())
}

/// How a machine's way to the lake is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Weather {
    #[default]
    Fine,
    Down,
    /// So many of a hundred operations are refused, and of so many the answer is lost.
    Rough {
        refused: u64,
        forgotten: u64,
    },
    /// Each operation takes up to so many milliseconds.
    Slow(u64),
}

/// A machine's way to the lake.
#[derive(Debug)]
pub(super) struct Link {
    lake: Arc<Lake>,
    clock: Arc<SimClock>,
    state: Mutex<LinkState>,
}

#[derive(Debug)]
struct LinkState {
    weather: Weather,
    dice: Dice,
    /// The process dies after so many operations, the last of which is done.
    dies_after: Option<u64>,
}

impl Link {
    pub(super) fn new(lake: Arc<Lake>, clock: Arc<SimClock>, dice: Dice) -> Self {
        let state = LinkState { weather: Weather::Fine, dice, dies_after: None };
        Self { lake, clock, state: Mutex::new(state) }
    }

    pub(super) fn set_weather(&self, weather: Weather) {
        self.lock().weather = weather;
    }

    pub(super) fn set_dies_after(&self, operations: Option<u64>) {
        self.lock().dies_after = operations;
    }

    pub(super) fn has_died(&self) -> bool {
        self.lock().dies_after == Some(0)
    }

    fn around<T>(&self, key: &str, operation: impl FnOnce() -> T) -> Result<T, Error> {
        let mut state = self.lock();
        let failed =
            || Error::Unavailable { action: "reach", key: key.into(), source: "on purpose".into() };
        if let Some(left) = &mut state.dies_after {
            *left = left.checked_sub(1).ok_or_else(failed)?;
        }
        match state.weather {
            Weather::Fine => Ok(operation()),
            Weather::Down => Err(failed()),
            Weather::Slow(most) => {
                let millis = state.dice.roll(most);
                self.clock.advance(millis);
                Ok(operation())
            }
            Weather::Rough { refused, forgotten } => match state.dice.roll(100) {
                roll if roll < refused => Err(failed()),
                roll if roll < refused + forgotten => {
                    operation();
                    Err(failed())
                }
                _ => Ok(operation()),
            },
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, LinkState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for Link {
    fn put_new(&self, key: &str, body: &Bytes) -> Result<bool, Error> {
        self.around(key, || self.lake.put_new(key, body))
    }

    fn get(&self, key: &str) -> Result<Option<Bytes>, Error> {
        self.around(key, || self.lake.get(key))
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let inside = |key: &String| key.starts_with(prefix);
        self.around(prefix, || self.lake.objects().into_keys().filter(inside).collect())
    }
}
