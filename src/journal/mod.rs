//! The durable log between the gateway and the loader.
//!
//! Owns the bytes of acknowledged records, in order, until the loader has committed them. It knows
//! frames, not events: what a `kind` or a payload means belongs to the callers. [`Journal`] is the
//! small trait that `ingest` appends to and the `loader` reads from and trims; [`disk`] is the
//! implementation on local files, see docs/journal-format.md.

mod completion;
pub mod disk;
mod error;
mod frame;
mod group;

use std::fmt;
use std::ops::Range;
use std::time::Duration;

pub use completion::Append;
pub use error::{Error, Space};
pub use group::{Group, PAYLOAD_BYTES_MAX};

use crate::clock::Timestamp;

/// The ordinal of a record in its journal, counted from zero and never used twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(u64);

impl Position {
    /// The place of the very first record.
    pub const ZERO: Self = Self(0);

    /// The position of the record with this ordinal.
    #[must_use]
    pub const fn new(ordinal: u64) -> Self {
        Self(ordinal)
    }

    /// The ordinal, as manifests write it.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The position `records` further on.
    #[must_use]
    pub const fn plus(self, records: u64) -> Self {
        Self(self.0.saturating_add(records))
    }

    /// How many records lie from `earlier` up to here; zero when `earlier` is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A durable log of records with one writer.
///
/// A broker's partition can stand behind it as well as a folder of files, so nothing here speaks
/// of files. All methods may be called from any thread.
pub trait Journal: Send + Sync + fmt::Debug {
    /// Queues `group` and returns a future of the positions its records got.
    ///
    /// The group is queued when this returns, so appends of one thread keep their order and a
    /// dropped future takes nothing back. When the future yields `Ok`, every record of the group
    /// survives power loss. On `Err` none was acknowledged; after a crash a leading part of such
    /// a group may still be read, since it may have reached the disk.
    fn append(&self, group: Group) -> Append;

    /// As [`Journal::append`], but the group may wait for more that share its sync, until enough of
    /// them are there or somebody calls [`Journal::hurry`].
    fn gather(&self, group: Group) -> Append {
        self.append(group)
    }

    /// Has all that was gathered written as soon as the storage is free.
    fn hurry(&self) {}

    /// Opens a reader whose first item starts at `from`.
    ///
    /// # Errors
    /// [`Error::Trimmed`] if records from `from` on are gone, [`Error::Ahead`] if `from` lies past
    /// the durable end, [`Error::Io`] if the storage cannot be read.
    fn reader(&self, from: Position) -> Result<Box<dyn Reader>, Error>;

    /// Blocks until the durable end lies past `position` or `timeout` is over; returns that end.
    ///
    /// It also returns when the journal is closed or poisoned, since the end stays then.
    fn wait_past(&self, position: Position, timeout: Duration) -> Position;

    /// Gives up the records before `before`; their storage is used again or kept for replay.
    ///
    /// Storage goes in whole segments, in the background. The caller remembers how far it has
    /// come: after a restart records that were given up may still be there.
    fn trim(&self, before: Position);

    /// Tells how the journal stands; cheap enough for every request.
    fn state(&self) -> State;

    /// The name of this journal's writer: node name and epoch, the same for the journal's life.
    fn writer_id(&self) -> &str;

    /// Refuses new appends, makes what was queued durable and lets go of the storage.
    ///
    /// Blocks for as long as that takes. Closing twice does nothing.
    fn close(&self);
}

/// Reads a journal's records in order, up to the durable end and never past it.
pub trait Reader: Send + fmt::Debug {
    /// The next item, or `None` at the durable end, where a later call may find more.
    ///
    /// A frame borrows the reader's buffer; its payload has passed its checksum.
    ///
    /// # Errors
    /// [`Error::Io`] if the storage cannot be read, [`Error::Trimmed`] if the next record was given
    /// up meanwhile. The reader stays where it was, so the call may be repeated.
    fn next(&mut self) -> Result<Option<Item<'_>>, Error>;

    /// Where the next item starts.
    fn position(&self) -> Position;
}

/// What a reader meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A whole record.
    Frame(Frame<'a>),
    /// Records that were acknowledged and cannot be read any more.
    Damaged(Damaged),
}

/// One record, as it was appended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its place.
    pub position: Position,
    /// What the payload is; belongs to the callers.
    pub kind: u8,
    /// How many events it stands for.
    pub count: u32,
    /// The source its events came from.
    pub source: &'a str,
    /// The bytes.
    pub payload: &'a [u8],
}

impl fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("position", &self.position)
            .field("kind", &self.kind)
            .field("count", &self.count)
            .field("source", &self.source)
            .field("payload_bytes", &self.payload.len())
            .finish()
    }
}

/// Records lost to damage; their bytes are kept aside where the journal can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// The places that are lost.
    pub positions: Range<Position>,
    /// The source, if the record's header is whole; `None` is booked to source `unknown`.
    pub source: Option<String>,
    /// How many events are lost: from the header, else one for each position.
    pub count: u64,
    /// What the payload was, if the record's header is whole; belongs to the callers.
    pub kind: Option<u8>,
}

/// How a journal stands at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The first record that can still be read.
    pub first: Position,
    /// Where the next durable record will be: all before it survive power loss.
    pub durable: Position,
    /// Bytes of storage that hold records not given up yet.
    pub used_bytes: u64,
    /// The most that `used_bytes` may become.
    pub limit_bytes: u64,
    /// Bytes that wait to be written.
    pub waiting_bytes: u64,
    /// Whether appends are taken.
    pub health: Health,
    /// Segments that hold records, those kept for replay included.
    pub segments: u64,
    /// Syncs since the journal was opened.
    pub syncs: u64,
    /// When the last sync ended.
    pub last_sync: Option<Timestamp>,
    /// Damaged records met since the journal was opened, and the events they stood for, of those
    /// that were not given up yet: these are lost.
    pub damaged_records: u64,
    /// See `damaged_records`.
    pub damaged_events: u64,
    /// Damaged records met that were given up before.
    pub damaged_loaded_records: u64,
}

/// Whether a journal takes appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Accepting,
    /// Not until storage is given up or comes back.
    Full(Space),
    /// Not until a restart: a write or sync failed, so what the disk holds is not known.
    Poisoned {
        /// What failed.
        action: &'static str,
        /// How it failed.
        kind: std::io::ErrorKind,
    },
    /// Not until a restart: the folder or the file that is written to was removed or replaced. All
    /// that was acknowledged can still be read.
    Gone,
    /// Not any more.
    Closed,
}
