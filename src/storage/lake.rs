//! What must be one for the whole lake: its dialect and its privacy keys.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::keys::Key;
use super::{Class, Error, Store};

/// The newest format of the objects in this module.
pub const FORMAT: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct Lake {
    format: u32,
    dialect: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct PrivacyKey {
    format: u32,
    id: u32,
    fingerprint: String,
}

/// Writes the lake's dialect at the first start ever, and checks it at every other.
///
/// # Errors
/// [`Error::Dialect`] if the lake was made for another one, or what the store said.
pub fn claim_dialect(store: &Store, dialect: &str) -> Result<(), Error> {
    let ours = Lake { format: FORMAT, dialect: dialect.into() };
    let found: Lake = claim(store, &Key::Lake, "lake description", &ours)?;
    check_format(&Key::Lake, found.format)?;
    if found.dialect == dialect {
        Ok(())
    } else {
        Err(Error::Dialect { found: found.dialect, wanted: dialect.into() })
    }
}

/// Writes the fingerprint of a privacy key when its id is first used, and checks it ever after.
///
/// # Errors
/// [`Error::KeyFingerprint`] if the id belongs to another key, or what the store said.
pub fn claim_privacy_key(store: &Store, id: u32, fingerprint: &str) -> Result<(), Error> {
    let key = Key::PrivacyKey(id);
    let ours = PrivacyKey { format: FORMAT, id, fingerprint: fingerprint.into() };
    let found: PrivacyKey = claim(store, &key, "privacy key fingerprint", &ours)?;
    check_format(&key, found.format)?;
    if found.fingerprint == fingerprint { Ok(()) } else { Err(Error::KeyFingerprint { id }) }
}

/// Puts `ours` unless something is there, and returns what is there then.
fn claim<T: Serialize + for<'de> Deserialize<'de>>(
    store: &Store,
    key: &Key,
    what: &'static str,
    ours: &T,
) -> Result<T, Error> {
    let malformed = |source| Error::Malformed { key: key.to_string(), what, source };
    let bytes = Bytes::from(serde_json::to_vec(ours).map_err(malformed)?);
    match store.put_new(key, &bytes) {
        Ok(_) => {}
        Err(error) if error.class() == Class::Conflict => {}
        Err(error) => return Err(error),
    }
    let found = store.get(key)?.unwrap_or(bytes);
    serde_json::from_slice(&found).map_err(malformed)
}

/// Refuses an object that a later version wrote.
pub(super) fn check_format(key: &Key, found: u32) -> Result<(), Error> {
    if found <= FORMAT {
        Ok(())
    } else {
        Err(Error::Format { key: key.to_string(), found, known: FORMAT })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::storage::Options;
    use crate::storage::memory::Memory;

    #[test]
    fn the_first_start_decides() {
        let memory = Arc::new(Memory::default());
        let store = Store::new(memory, Options::default());
        claim_dialect(&store, "datalake").unwrap();
        claim_dialect(&store, "datalake").unwrap();
        let error = claim_dialect(&store, "snowflake").unwrap_err();
        assert_eq!(error.class(), Class::Fatal);
        assert!(error.to_string().contains("datalake"), "{error}");
        claim_privacy_key(&store, 1, "sha256:aa").unwrap();
        claim_privacy_key(&store, 2, "sha256:bb").unwrap();
        claim_privacy_key(&store, 1, "sha256:aa").unwrap();
        assert!(claim_privacy_key(&store, 1, "sha256:bb").is_err());
    }

    #[test]
    fn a_later_format_is_refused() {
        let memory = Arc::new(Memory::default());
        memory.replace("_keelrow/lake.json", Bytes::from_static(br#"{"format":2,"dialect":"x"}"#));
        let store = Store::new(memory, Options::default());
        assert!(matches!(claim_dialect(&store, "x"), Err(Error::Format { found: 2, .. })));
    }
}
