//! What a script's engine and its host both touch during a call: the clock, the events' metadata,
//! the log and the notes that explain a fault.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use super::cpu;
use super::terms::{Limits, Metadata};

/// Functions of the transformations' interface that need what a gateway does not give.
const UNAVAILABLE: [&str; 4] = ["fetch", "fetchV2", "geolocation", "getCredential"];

/// One instance's. Single-threaded, as the engine is.
#[derive(Default)]
pub(super) struct Shared {
    /// The thread's CPU time at which the call is over, in nanoseconds.
    deadline: Cell<u64>,
    fired: Cell<bool>,
    spoilt: Cell<bool>,
    unavailable: Cell<Option<&'static str>>,
    missing: RefCell<Option<(String, String)>>,
    /// JSON texts of the call's metadata, one behind the other, and where each ends.
    metadata: RefCell<(Vec<u8>, Vec<usize>)>,
    log_calls: Cell<u64>,
    log_room: Cell<usize>,
    log: RefCell<String>,
}

impl Shared {
    /// Starts the clock.
    pub(super) fn begin(&self, cpu: Duration) {
        let cpu = u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX);
        self.deadline.set(cpu::thread_nanos().saturating_add(cpu));
        self.unavailable.set(None);
    }

    /// Starts the clock of a call.
    pub(super) fn begin_call(&self, limits: &Limits) {
        self.log_room.set(limits.log_bytes);
        self.begin(limits.cpu_per_call);
    }

    /// Asked by the engine every 10,000 calls and jumps; true ends the script, past any `catch`.
    pub(super) fn interrupt(&self) -> bool {
        if self.is_late() {
            self.fired.set(true);
        }
        self.fired.get()
    }

    pub(super) fn is_late(&self) -> bool {
        cpu::thread_nanos() > self.deadline.get()
    }

    /// True once the engine was told to end the script.
    pub(super) fn has_fired(&self) -> bool {
        self.fired.get()
    }

    pub(super) fn spoil(&self) {
        self.spoilt.set(true);
    }

    pub(super) fn is_spoilt(&self) -> bool {
        self.spoilt.get() || self.fired.get()
    }

    pub(super) fn note_unavailable(&self, name: &str) {
        let name = UNAVAILABLE.into_iter().find(|known| *known == name);
        self.unavailable.set(name);
    }

    pub(super) fn unavailable(&self) -> Option<&'static str> {
        self.unavailable.get()
    }

    pub(super) fn note_missing(&self, import: &str, importer: &str) {
        *self.missing.borrow_mut() = Some((import.to_owned(), importer.to_owned()));
    }

    /// The import that was not found last, and the file that asked for it.
    pub(super) fn take_missing(&self) -> Option<(String, String)> {
        self.missing.borrow_mut().take()
    }

    /// Takes over what `metadata(event)` is to answer.
    pub(super) fn tell<'a>(&self, all: impl Iterator<Item = &'a Metadata<'a>>) {
        let (text, ends) = &mut *self.metadata.borrow_mut();
        text.clear();
        ends.clear();
        for metadata in all {
            metadata.write_json(text);
            ends.push(text.len());
        }
    }

    /// The metadata of the call's event `at`, as JSON.
    pub(super) fn metadata(&self, at: usize) -> String {
        let (text, ends) = &*self.metadata.borrow();
        let start = if at == 0 { 0 } else { ends.get(at - 1).copied().unwrap_or(text.len()) };
        let end = ends.get(at).copied().unwrap_or(start);
        let own = text.get(start..end).and_then(|own| std::str::from_utf8(own).ok());
        own.filter(|own| !own.is_empty()).unwrap_or("{}").to_owned()
    }

    /// Counts a call of `log()`; true if its text is wanted.
    pub(super) fn log_call(&self) -> bool {
        self.log_calls.set(self.log_calls.get() + 1);
        self.log_room.get() > 0
    }

    pub(super) fn log_text(&self, text: Option<&str>) {
        let text = text.unwrap_or("[not printable]");
        let room = self.log_room.get();
        let mut end = text.len().min(room);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let mut log = self.log.borrow_mut();
        log.push_str(text.get(..end).unwrap_or_default());
        log.push('\n');
        self.log_room.set(room.saturating_sub(end + 1));
    }

    /// Moves the log's text to `to`, which takes up to `bytes_max`; returns the calls counted.
    pub(super) fn take_log(&self, to: &mut String, bytes_max: usize) -> u64 {
        let mut log = self.log.borrow_mut();
        for line in log.split_inclusive('\n') {
            if to.len() + line.len() <= bytes_max {
                to.push_str(line);
            }
        }
        log.clear();
        self.log_calls.replace(0)
    }
}
