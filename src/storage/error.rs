//! Why the lake refused, and what the caller must do about it.

use std::io;
use std::path::PathBuf;

/// What a caller does with an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Try again later: the store is down, slow, throttling, or refuses our credentials for now.
    Retry,
    /// Another object stands under the name: somebody else was there first.
    Conflict,
    /// Will not pass without a person: a wrong address, an object that is not what it should be.
    Fatal,
}

/// Why the lake refused an operation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store did not do it, or its answer was lost. Whether it was done is not known.
    #[error("cannot {action} {key}")]
    Unavailable {
        /// What was tried.
        action: &'static str,
        /// On which object.
        key: String,
        /// What the store said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An object with other bytes stands under the name.
    #[error("{key} exists with other content")]
    Conflict {
        /// Which object.
        key: String,
    },
    /// The store cannot do what is asked at all.
    #[error("the store cannot {action} {key}")]
    Unsupported {
        /// What was tried.
        action: &'static str,
        /// On which object.
        key: String,
        /// What the store said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The folder failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// How it failed.
        #[source]
        source: io::Error,
    },
    /// The address of the lake is not one this program can open.
    #[error("storage address {url:?} cannot be used: {reason}")]
    Address {
        /// The address as configured.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A part of a key would not survive as a file name everywhere.
    #[error("{part:?} cannot be part of a storage key")]
    KeyPart {
        /// The part.
        part: String,
    },
    /// An object of ours cannot be understood.
    #[error("{key} is not a {what} this program can read")]
    Malformed {
        /// Which object.
        key: String,
        /// What it should be.
        what: &'static str,
        /// Where reading failed.
        #[source]
        source: serde_json::Error,
    },
    /// An object of ours was written by a later version of this program.
    #[error("{key} has format {found}, this program knows up to {known}")]
    Format {
        /// Which object.
        key: String,
        /// The format it names.
        found: u32,
        /// The last format known here.
        known: u32,
    },
    /// The lake was made for another dialect: its names and types would mix.
    #[error("the lake was made for dialect {found:?}, the configuration says {wanted:?}")]
    Dialect {
        /// The lake's dialect.
        found: String,
        /// The configured one.
        wanted: String,
    },
    /// The store put an object in the place of another, though it was asked not to.
    #[error(
        "the store replaces objects that exist, so files could be lost: it must honour \
         `If-None-Match: *`"
    )]
    Replaces,
    /// The privacy key is not the one that this id had in this lake, so hashes would not join.
    #[error("privacy key {id} is not the key that the lake knows under this id")]
    KeyFingerprint {
        /// The key's id.
        id: u32,
    },
    /// The registry names a version that is not there.
    #[error("schema version {version} of {folder} is missing")]
    MissingVersion {
        /// The table's folder.
        folder: String,
        /// The version.
        version: u64,
    },
    /// A new version would take something away; a fault of this program, nothing was written.
    #[error("schema version {version} of {folder} would not keep all columns of the one before")]
    Narrowed {
        /// The table's folder.
        folder: String,
        /// The version.
        version: u64,
    },
}

impl Error {
    /// What the caller must do.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Unavailable { .. } | Self::Io { .. } => Class::Retry,
            Self::Conflict { .. } => Class::Conflict,
            Self::Unsupported { .. }
            | Self::Address { .. }
            | Self::KeyPart { .. }
            | Self::Malformed { .. }
            | Self::Format { .. }
            | Self::Dialect { .. }
            | Self::KeyFingerprint { .. }
            | Self::MissingVersion { .. }
            | Self::Replaces
            | Self::Narrowed { .. } => Class::Fatal,
        }
    }
}
