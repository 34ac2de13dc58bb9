//! Configuration: the TOML file as written, and the checked [`Config`] that the program runs on.
//!
//! [`load`] reads the file, puts in environment variables, applies `KEELROW__SECTION__KEY`
//! overrides and checks everything; it reports every fault at once. Only the composition root sees
//! a whole [`Config`]; each component is given its own part. What the keys mean is told in
//! docs/configuration.md.

mod address;
mod context;
mod environment;
mod fault;
mod options;
mod reader;
mod reload;
mod sections;
mod show;
mod sources;
mod tables;
mod tree;
mod watch;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use address::{Proxy, PublicUrl, is_authority, is_prefix};
pub use environment::Environment;
pub use fault::{Fault, Faults, Finding, Place, Problem};
pub use options::{
    Admin, Clock, Column, ColumnType, Compression, Config, DIALECTS, Dedup, Http, Journal,
    JournalKind, KeyHash, Kind, Layout, Load, Node, Platform, Privacy, Scripts, Secret, Shutdown,
    Source, Storage, Tls, Unified,
};
pub use reload::needs_restart;
pub use sections::PRIVACY_KEY_BYTES_MIN;
pub use show::show;
pub use watch::{WatchError, Watcher};

/// The process's environment.
#[must_use]
pub fn environment() -> Environment {
    std::env::vars_os().collect()
}

/// Largest configuration file that is read: far above any real one, and bounded.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Reads and checks the configuration file at `path`.
///
/// # Errors
/// [`Faults`] lists everything that is wrong, each with file and line or variable, key and value.
pub fn load(path: &Path, environment: &Environment) -> Result<Config, Faults> {
    let (config, faults) = survey(path, environment)?;
    if faults.list().is_empty() { Ok(config) } else { Err(faults) }
}

/// As [`load`], but gives what could be read beside the faults, so that what else depends on it,
/// the transformations, can be checked in the same run. Keys that are wrong have their defaults.
///
/// # Errors
/// The file cannot be read, or is not TOML: nothing can be said about the rest.
pub fn survey(path: &Path, environment: &Environment) -> Result<(Config, Faults), Faults> {
    let text = read(path).map_err(|problem| {
        Faults::one(path, Fault { place: Place::File, key: String::new(), value: None, problem })
    })?;
    examine(&text, path, environment)
}

fn read(path: &Path) -> Result<String, Problem> {
    let unreadable = |source: std::io::Error| Problem::Unreadable { kind: source.kind() };
    let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(Problem::TooLong { bytes, most: FILE_BYTES_MAX });
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

/// Checks the configuration `text`; `path` names it in faults and is where its folder is taken from.
///
/// # Errors
/// As [`load`].
pub fn parse(text: &str, path: &Path, environment: &Environment) -> Result<Config, Faults> {
    let (config, faults) = examine(text, path, environment)?;
    if faults.list().is_empty() { Ok(config) } else { Err(faults) }
}

fn examine(text: &str, path: &Path, environment: &Environment) -> Result<(Config, Faults), Faults> {
    let context = context::Context::default();
    let tree = tree::Tree::read(text, environment, &context);
    if context.has_syntax_faults() {
        // What a broken line has swallowed would be told as missing.
        return Err(Faults::new(path, context.into_faults()));
    }
    let config = sections::read(&tree, PathBuf::from(path), &context);
    Ok((config, Faults::new(path, context.into_faults())))
}
