//! The journal on local files: segments that are zero-filled in advance and used again, one
//! writer thread, one sync for all groups that wait.

mod aligned;
mod damages;
pub mod files;
mod folder;
pub mod inspect;
mod log;
mod mark;
pub mod memory;
mod reader;
mod recovery;
mod scan;
mod segment;
mod segments;
mod shared;
mod tries;
mod writer;

use std::fmt::Debug;
use std::path::PathBuf;
use std::time::Duration;

pub use log::{Log, Stepper};

use super::{Error, Position};

/// How a journal on disk is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder; made when it is missing.
    pub path: PathBuf,
    /// Name of this node, the first part of the writer id.
    pub node: String,
    /// The most its segments may occupy, at least four segments.
    pub max_bytes: u64,
    /// Size of one segment; a multiple of 4 KiB. A group of records must fit into one.
    pub segment_bytes: u64,
    /// How long the writer waits for more groups before it syncs; zero is the natural group: all
    /// that arrived while the last sync ran.
    pub commit_delay: Duration,
    /// How long segments stay readable after they were given up.
    pub keep: Duration,
    /// The most bytes that may wait to be written.
    pub max_waiting_bytes: u64,
    /// The first record that the reader still needs, as far as it noted that: damage to earlier ones
    /// costs nothing and is counted apart.
    pub loaded: Position,
}

/// Unit of writing and of alignment: what every disk with `O_DIRECT` takes.
pub const BLOCK_BYTES: u64 = 4096;
const BLOCK: usize = 4096;

/// The format that this program writes; it reads this one and all before it.
pub const FORMAT: u32 = 1;

impl Options {
    /// The usual sizes: 20 GiB in segments of 64 MiB, no extra delay, nothing kept.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, node: impl Into<String>) -> Self {
        const MIB: u64 = 1024 * 1024;
        Self {
            path: path.into(),
            node: node.into(),
            max_bytes: 20 * 1024 * MIB,
            segment_bytes: 64 * MIB,
            commit_delay: Duration::ZERO,
            keep: Duration::ZERO,
            max_waiting_bytes: 64 * MIB,
            loaded: Position::ZERO,
        }
    }

    /// These options within a budget: below 256 MiB the segments are smaller, so that there are four.
    #[must_use]
    pub fn within(self, max_bytes: u64) -> Self {
        let quarter = max_bytes / 4 / BLOCK_BYTES * BLOCK_BYTES;
        let segment_bytes = if quarter < self.segment_bytes { quarter } else { self.segment_bytes };
        Self { max_bytes, segment_bytes, ..self }
    }

    /// Checks what does not depend on the disk.
    ///
    /// # Errors
    /// [`Error::Option`] for the first one out of range.
    pub fn check(&self) -> Result<(), Error> {
        let wrong = |option, found: &dyn Debug, wanted| {
            Err(Error::Option { option, found: format!("{found:?}"), wanted })
        };
        if self.segment_bytes < 2 * BLOCK_BYTES || !self.segment_bytes.is_multiple_of(BLOCK_BYTES) {
            let wanted = "a multiple of 4 KiB, at least 8 KiB";
            return wrong("segment_bytes", &self.segment_bytes, wanted);
        }
        if self.max_bytes / 4 < self.segment_bytes {
            return wrong("max_bytes", &self.max_bytes, "at least four segments");
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if self.node.is_empty() || self.node.len() > 200 || !self.node.bytes().all(plain) {
            let wanted = "1 to 200 ASCII letters, digits, '-', '_' or '.'";
            return wrong("node", &self.node, wanted);
        }
        if self.max_waiting_bytes == 0 {
            return wrong("max_waiting_bytes", &0, "more than zero");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
