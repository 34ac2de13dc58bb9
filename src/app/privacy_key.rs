//! Where the key of the pseudonyms comes from.
//!
//! A file or a variable named in the configuration; else, where the lake is a folder, one that is
//! made on the first start and kept beside the journal. The same user must hash to the same text
//! for ever, so the key's fingerprint is put in the lake and another key is refused.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::clock::IdSource;
use crate::config;
use crate::transform::{KeyTooShort, Pseudonyms};

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read or made.
    #[error("cannot {action} the privacy key {}", path.display())]
    Io {
        /// What failed.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It could be guessed.
    #[error(transparent)]
    TooShort(KeyTooShort),
    /// The lake is shared, so every node must be given the same key.
    #[error("privacy.key or privacy.key_file is needed, since the lake is not a folder")]
    Needed,
}

/// The pseudonyms of this configuration. The second value is the file if the key was made just now.
///
/// # Errors
/// See [`Error`].
pub fn load(
    config: &config::Config,
    ids: &dyn IdSource,
) -> Result<(Pseudonyms, Option<PathBuf>), Error> {
    let id = config.privacy.key_id;
    is_given(config)?;
    if let Some(made) = load_existing(config)? {
        return Ok((made, None));
    }
    let path = generated_path(&config.journal.path);
    let key = generate(&path, ids)?;
    pseudonyms(id, key.as_bytes()).map(|made| (made, Some(path)))
}

/// The pseudonyms of this configuration if there is a key for it already; makes none.
///
/// # Errors
/// See [`Error`].
pub fn load_existing(config: &config::Config) -> Result<Option<Pseudonyms>, Error> {
    let id = config.privacy.key_id;
    if let Some(key) = &config.privacy.key {
        return pseudonyms(id, key.expose().as_bytes()).map(Some);
    }
    if let Some(path) = &config.privacy.key_file {
        return pseudonyms(id, &read(path)?).map(Some);
    }
    let path = generated_path(&config.journal.path);
    match fs::read(&path) {
        Ok(key) => pseudonyms(id, &key).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Io { action: "read", path, source }),
    }
}

/// Whether the key that the configuration names is there and good, or one may be made.
///
/// # Errors
/// See [`Error`].
pub fn check(config: &config::Config) -> Result<(), Error> {
    if is_given(config)? { load_existing(config).map(drop) } else { Ok(()) }
}

/// Whether the configuration gives a key; without, one may be made where the lake is a folder.
fn is_given(config: &config::Config) -> Result<bool, Error> {
    let given = config.privacy.key.is_some() || config.privacy.key_file.is_some();
    if given || is_folder(&config.storage.url) { Ok(given) } else { Err(Error::Needed) }
}

/// Pseudonyms with a fresh key that is kept nowhere.
///
/// # Errors
/// None in practice; see [`Error`].
pub fn of_this_run(config: &config::Config, ids: &dyn IdSource) -> Result<Pseudonyms, Error> {
    pseudonyms(config.privacy.key_id, fresh(ids).as_bytes())
}

/// True for a lake that is a folder of this machine.
fn is_folder(url: &str) -> bool {
    url.starts_with("file://") || !url.contains("://")
}

/// `privacy.key` beside the journal's folder.
fn generated_path(journal: &Path) -> PathBuf {
    journal.parent().unwrap_or_else(|| Path::new("")).join("privacy.key")
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::Io { action: "read", path: path.to_owned(), source })
}

fn pseudonyms(id: u32, key: &[u8]) -> Result<Pseudonyms, Error> {
    Pseudonyms::new(key.trim_ascii(), id).map_err(Error::TooShort)
}

/// A key of 256 bits.
fn fresh(ids: &dyn IdSource) -> String {
    let mut hash = Sha256::new();
    // 122 random bits each.
    for _ in 0..4 {
        hash.update(ids.uuid().as_bytes());
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Makes a key, durable before it is used.
fn generate(path: &Path, ids: &dyn IdSource) -> Result<String, Error> {
    let io = |action| move |source| Error::Io { action, path: path.to_owned(), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    // It is the first thing that is made, before the journal beside it.
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(folder).map_err(io("make the folder of"))?;
    let key = fresh(ids);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(io("make"))?;
    file.write_all(key.as_bytes()).map_err(io("write"))?;
    file.sync_all().map_err(io("sync"))?;
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(io("sync"))?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::clock::{Fixed, Timestamp};

    #[test]
    fn a_key_and_the_folders_made_for_it_belong_to_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = generated_path(&folder.path().join("data/node/journal"));
        let key = generate(&path, &Fixed::at(Timestamp::from_millis(0))).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), key);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        for made in ["data", "data/node"] {
            assert_eq!(mode(&folder.path().join(made)), 0o700, "{made}");
        }
    }
}
