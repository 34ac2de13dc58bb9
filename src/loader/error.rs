//! Why the loader could not go on, and whether it helps to try again.

use std::io;
use std::path::PathBuf;

use super::dedup;
use crate::storage::Class;
use crate::{columnar, journal, storage};

/// Why the loader could not go on. Nothing is lost by any of these: the journal keeps what is not
/// committed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The lake refused.
    #[error("cannot {action}")]
    Storage {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        #[source]
        source: storage::Error,
    },
    /// The journal cannot be read.
    #[error("cannot read the journal")]
    Journal(#[source] journal::Error),
    /// Rows could not become local files.
    #[error("cannot write the files of a batch")]
    Rows(#[source] columnar::Error),
    /// The table of repeats could not be kept.
    #[error("cannot keep the table of repeats")]
    Dedup(#[source] dedup::Error),
    /// A local file or folder failed.
    #[error("cannot {action} {}", path.display())]
    Local {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// How it failed.
        #[source]
        source: io::Error,
    },
    /// A record passed its checksum and cannot be understood: a later version wrote it.
    #[error("record {position} of the journal was written by a later version of this program")]
    Record {
        /// Its place.
        position: u64,
    },
    /// A file name of ours is taken by something that is not ours.
    #[error("{key} is taken by an object that is not this batch's: {reason}")]
    Foreign {
        /// The object.
        key: String,
        /// How that is known.
        reason: &'static str,
    },
    /// Another loader writes this chain: a copied disk, or the same journal in two places.
    #[error("batch {number} was planned or committed by another loader under the same writer id")]
    OtherLoader {
        /// Which batch.
        number: u64,
    },
    /// The open batch was planned under other mapping rules, which alone can finish it.
    #[error(
        "batch {number} was planned with mapping version {found} and this program has {known}: \
         version {program} must finish it"
    )]
    MappingVersion {
        /// Which batch.
        number: u64,
        /// The plan's mapping version.
        found: u32,
        /// Ours.
        known: u32,
        /// The version of the program that planned it.
        program: String,
    },
    /// What the journal holds now does not give what was planned.
    #[error("batch {number} cannot be made as it was planned: {reason}")]
    Plan {
        /// Which batch.
        number: u64,
        /// What differs.
        reason: String,
    },
    /// The lake lacks a batch that this journal's loader committed.
    #[error("the lake has no batch {number} of writer {writer}: is it another lake?")]
    ChainMissing {
        /// The writer.
        writer: String,
        /// The last batch known to be committed.
        number: u64,
    },
    /// The journal ends before the last batch does.
    #[error("the journal ends at record {durable} and batches were committed up to {committed}")]
    JournalBehind {
        /// The journal's end.
        durable: u64,
        /// The end of the last batch.
        committed: u64,
    },
    /// A part of a batch has no place in the lake.
    #[error("no key for {what}")]
    Key {
        /// What it is.
        what: &'static str,
        /// Why.
        #[source]
        source: storage::Error,
    },
}

/// What the loader does about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Waits and tries again; the gateway goes on, the journal grows up to its budget.
    Retry,
    /// Stops, until a person has looked and the program was started again. The gateway goes on.
    Stop,
}

impl Error {
    /// Names what was tried on the lake.
    pub(super) fn storage(action: &'static str) -> impl FnOnce(storage::Error) -> Self {
        move |source| Self::Storage { action, source }
    }

    /// What the loader does about it.
    #[must_use]
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Storage { source, .. } if source.class() == Class::Retry => Remedy::Retry,
            Self::Journal(journal::Error::Io { .. }) => Remedy::Retry,
            Self::Rows(columnar::Error::Plan { .. }) => Remedy::Stop,
            Self::Rows(columnar::Error::Open { source, .. }) => {
                let lake = source.downcast_ref::<storage::Error>();
                match lake.map(storage::Error::class) {
                    None | Some(Class::Retry) => Remedy::Retry,
                    Some(Class::Conflict | Class::Fatal) => Remedy::Stop,
                }
            }
            Self::Rows(_) | Self::Dedup(_) | Self::Local { .. } => Remedy::Retry,
            Self::Storage { .. }
            | Self::Journal(_)
            | Self::Record { .. }
            | Self::Foreign { .. }
            | Self::OtherLoader { .. }
            | Self::MappingVersion { .. }
            | Self::Plan { .. }
            | Self::ChainMissing { .. }
            | Self::JournalBehind { .. }
            | Self::Key { .. } => Remedy::Stop,
        }
    }

    /// The error and what caused it, in one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}
