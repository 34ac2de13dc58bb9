//! What the simulation knows of a journal record, and of what clients sent.

use std::hash::{Hash, Hasher};

use keelrow::journal::{Frame, Item};
use keelrow::record::{self, View};
use serde_json::Value;

/// An event that a client sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    /// The source it was sent to.
    pub(super) source: String,
    /// Whether a transformation or the suppression list takes it out.
    pub(super) is_taken_out: bool,
    pub(super) json: String,
}

/// A record, as it was first read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) source: String,
    /// Number of the sent event; `None` for a tally.
    pub(super) serial: Option<u64>,
    /// Hashes of identity and content.
    pub(super) key: u64,
    pub(super) content: u64,
    pub(super) received_at: i64,
    pub(super) rejected: bool,
    pub(super) dropped: u64,
    pub(super) suppressed: u64,
    /// Lower-case name of the event, which is its table's.
    pub(super) table: String,
    /// Hash of all of its bytes.
    pub(super) print: u64,
}

impl Known {
    pub(super) fn read(item: &Item<'_>) -> Option<Self> {
        let Item::Frame(frame) = item else { return None };
        Some(Self::of(frame))
    }

    fn of(frame: &Frame<'_>) -> Self {
        let none = Self {
            source: frame.source.to_owned(),
            serial: None,
            key: 0,
            content: 0,
            received_at: 0,
            rejected: false,
            dropped: 0,
            suppressed: 0,
            table: String::new(),
            print: print_of(frame.payload),
        };
        match record::read(frame.payload).expect("a record of this program") {
            View::Tally(tally) => Self {
                received_at: tally.received_at,
                dropped: u64::from(tally.dropped),
                suppressed: u64::from(tally.suppressed),
                ..none
            },
            View::Event(event) => {
                let payload: Value = serde_json::from_slice(event.payload).unwrap();
                let serial = payload["properties"]["n"].as_u64();
                Self {
                    serial: Some(serial.expect("every event has its number")),
                    key: event.key_hash,
                    content: event.content_hash,
                    received_at: event.received_at,
                    rejected: event.rejection.is_some(),
                    table: payload["event"].as_str().unwrap_or_default().to_owned(),
                    ..none
                }
            }
        }
    }

    /// Events it stands for.
    pub(super) fn events(&self) -> u64 {
        if self.serial.is_some() { 1 } else { self.dropped + self.suppressed }
    }
}

fn print_of(bytes: &[u8]) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}
