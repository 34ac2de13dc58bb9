//! Why a journal refuses.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::Position;

/// Which space ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// The journal's own budget.
    Budget,
    /// The file system under it.
    Disk,
}

/// Why a journal refused an operation; cheap to clone, since all of a batch may share one.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No space; nothing of the group was acknowledged. Passes when storage is given up or grows.
    #[error("journal is full ({space:?}): {used_bytes} of {limit_bytes} bytes used")]
    Full {
        /// What ran out.
        space: Space,
        /// Bytes in use.
        used_bytes: u64,
        /// The journal's budget.
        limit_bytes: u64,
    },
    /// Too many bytes wait to be written; nothing was queued. Passes in milliseconds.
    #[error("journal is busy: {waiting_bytes} of {limit_bytes} bytes wait to be written")]
    Busy {
        /// Bytes that wait.
        waiting_bytes: u64,
        /// The most that may wait.
        limit_bytes: u64,
    },
    /// A group or a frame of it is larger than a segment takes. Will not pass.
    #[error("{bytes} bytes do not fit, at most {limit_bytes} do")]
    TooLarge {
        /// Bytes asked for.
        bytes: u64,
        /// The most that fits.
        limit_bytes: u64,
    },
    /// A source id is longer than a frame's header takes. Will not pass.
    #[error("source id of {bytes} bytes, at most {limit_bytes} fit")]
    SourceTooLong {
        /// Bytes of the id.
        bytes: usize,
        /// The most that fits.
        limit_bytes: usize,
    },
    /// A write or sync failed, now or earlier; nothing is taken until a restart.
    #[error("journal is poisoned: cannot {action}")]
    Poisoned {
        /// What failed.
        action: &'static str,
        /// How it failed.
        #[source]
        source: Arc<io::Error>,
    },
    /// The file that is written to no longer lies where the next start will look for it, since
    /// somebody removed or replaced it or its folder; nothing is taken until a restart. What was
    /// acknowledged can be read until then.
    #[error("{} was removed or replaced while the journal was open", path.display())]
    Gone {
        /// Where the file lay.
        path: PathBuf,
    },
    /// The journal was closed.
    #[error("journal is closed")]
    Closed,
    /// Another process holds the journal's folder.
    #[error("journal {} is in use by another process", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// The records asked for were given up.
    #[error("record {asked} is gone, the first one held is {first}")]
    Trimmed {
        /// Where reading was to start.
        asked: Position,
        /// The first record held.
        first: Position,
    },
    /// The record asked for is past the durable end.
    #[error("record {asked} is past the durable end {durable}")]
    Ahead {
        /// Where reading was to start.
        asked: Position,
        /// The durable end.
        durable: Position,
    },
    /// A file was written by a later version of this program.
    #[error("{} has format {found}, this program knows up to {known}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The format it names.
        found: u32,
        /// The last format known here.
        known: u32,
    },
    /// The file that names the journal's writer cannot be understood, so no name may be used.
    #[error("{} does not hold a writer id", path.display())]
    WriterId {
        /// The file.
        path: PathBuf,
    },
    /// An option is out of its range.
    #[error("{option} is {found}, it must be {wanted}")]
    Option {
        /// Which one.
        option: &'static str,
        /// Its value.
        found: String,
        /// The rule it breaks.
        wanted: &'static str,
    },
    /// The storage failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// How it failed.
        #[source]
        source: Arc<io::Error>,
    },
}

impl Error {
    /// Wraps an IO error with what was tried on which path.
    pub(super) fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io { action, path: path.into(), source: Arc::new(source) }
    }

    /// Whether the same append may succeed later without a restart.
    #[must_use]
    pub const fn passes(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::Busy { .. })
    }
}
