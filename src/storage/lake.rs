//! What must be one for the whole lake: its dialect and its privacy keys.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::keys::Key;
use super::{Class, Error, Put, Store};

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

/// Writes the lake's dialect at the first start ever, and checks it at every other. Proves by the way
/// that the store keeps what it has, as everything else here takes for granted.
///
/// # Errors
/// [`Error::Dialect`] if the lake was made for another one, [`Error::Replaces`] from a store that
/// replaces objects, or what the store said.
pub fn claim_dialect(store: &Store, dialect: &str) -> Result<(), Error> {
    let ours = Lake { format: FORMAT, dialect: dialect.into() };
    let found: Lake = claim(store, &Key::Lake, "lake description", &ours)?;
    check_format(&Key::Lake, found.format)?;
    if found.dialect != dialect {
        return Err(Error::Dialect { found: found.dialect, wanted: dialect.into() });
    }
    // With the bytes that are there: a store that takes them loses nothing.
    match store.get(&Key::Lake)? {
        Some(there) if store.put_new(&Key::Lake, &there)? == Put::Created => Err(Error::Replaces),
        _ => Ok(()),
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
    if let Some(found) = store.get(key)? {
        return serde_json::from_slice(&found).map_err(malformed);
    }
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
    use crate::storage::memory::Memory;
    use crate::storage::{Backend, Options};

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

    /// A store that knows no conditions.
    #[derive(Debug, Default)]
    struct Careless(std::sync::Mutex<std::collections::BTreeMap<String, Bytes>>);

    impl Backend for Careless {
        fn put_new(&self, key: &str, body: &Bytes) -> Result<bool, Error> {
            self.0.lock().unwrap().insert(key.to_owned(), body.clone());
            Ok(true)
        }

        fn get(&self, key: &str) -> Result<Option<Bytes>, Error> {
            Ok(self.0.lock().unwrap().get(key).cloned())
        }

        fn list(&self, _: &str) -> Result<Vec<String>, Error> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn a_store_that_replaces_objects_is_found_out_before_it_loses_one() {
        let careless = Arc::new(Careless::default());
        let store = Store::new(Arc::<Careless>::clone(&careless), Options::default());
        for _ in 0..2 {
            let error = claim_dialect(&store, "datalake").unwrap_err();
            assert!(matches!(error, Error::Replaces) && error.class() == Class::Fatal);
        }
        let other = claim_dialect(&store, "snowflake").unwrap_err();
        assert!(matches!(other, Error::Dialect { .. }), "{other}");
    }

    #[test]
    fn a_later_format_is_refused() {
        let memory = Arc::new(Memory::default());
        memory.replace("_keelrow/lake.json", Bytes::from_static(br#"{"format":2,"dialect":"x"}"#));
        let store = Store::new(memory, Options::default());
        assert!(matches!(claim_dialect(&store, "x"), Err(Error::Format { found: 2, .. })));
    }
}
