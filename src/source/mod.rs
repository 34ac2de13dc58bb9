//! Sources: which write key may send, and where its events belong.
//!
//! Pure: made from the checked configuration, replaced as a whole on a reload. The gateway's edge
//! asks it for a write key, the pipeline for everything else; a request keeps the [`Source`] it
//! began with.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::quality::RandomState;
use hashbrown::HashTable;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::config;
use crate::record::{EncodedRoute, Route};
use crate::units::Rate;

pub use crate::config::{KeyHash, Kind, Layout, Platform};

/// One source as the pipeline sees it.
#[derive(Debug)]
pub struct Source {
    /// Unique among the sources.
    pub id: String,
    /// Shared by its environments.
    pub name: String,
    /// Such as `prod`.
    pub environment: String,
    /// Where its events come from, if the configuration says.
    pub platform: Option<Platform>,
    /// Which endpoints its key opens.
    pub kind: Kind,
    /// The warehouse schema.
    pub schema: String,
    /// Its transformations in order, by name or path.
    pub transforms: Vec<String>,
    /// Events in a time; none for no limit.
    pub rate_limit: Option<Rate>,
    /// Origins whose pages may use the key; any where there is none.
    pub origins: Vec<String>,
    /// Keeps the `receivedAt` of the client.
    pub keep_received_at: bool,
    /// Accepts events.
    pub enabled: bool,
    /// How its tables look.
    pub layout: Layout,
    /// What each of its records carries.
    pub route: EncodedRoute,
}

impl Source {
    /// Takes over a checked `[[source]]`.
    #[must_use]
    pub fn new(options: &config::Source) -> Self {
        let route = Route {
            source_id: options.id.clone(),
            source_name: options.name.clone(),
            environment: options.environment.clone(),
            platform: options.platform.map(Platform::as_str).unwrap_or_default().to_owned(),
            schema: options.schema.clone(),
        };
        Self {
            id: options.id.clone(),
            name: options.name.clone(),
            environment: options.environment.clone(),
            platform: options.platform,
            kind: options.kind,
            schema: options.schema.clone(),
            transforms: options.transforms.clone(),
            rate_limit: options.rate_limit,
            origins: options.origins.clone(),
            keep_received_at: options.keep_received_at,
            enabled: options.enabled,
            layout: options.layout.clone(),
            route: EncodedRoute::new(route),
        }
    }

    /// True if a page of `origin` may use the key. Without an origin the sender is no page.
    #[must_use]
    pub fn allows_origin(&self, origin: Option<&str>) -> bool {
        let Some(origin) = origin else { return true };
        self.origins.is_empty() || self.origins.iter().any(|allowed| allowed == origin)
    }
}

/// Why a name finds no source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// No source has this id or name.
    #[error("no source has this id or name")]
    Unknown,
    /// Several environments have a source of this name.
    #[error("several sources have this name, give the id")]
    Ambiguous,
}

/// All sources of a configuration.
#[derive(Debug, Default)]
pub struct Sources {
    list: Vec<Arc<Source>>,
    keys: HashTable<Key>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Key {
    tag: u64,
    hash: KeyHash,
    source: usize,
}

impl Sources {
    /// Takes over the checked sources.
    #[must_use]
    pub fn new(options: &[config::Source]) -> Self {
        let mut sources = Self::default();
        for (source, options) in options.iter().enumerate() {
            sources.list.push(Arc::new(Source::new(options)));
            for hash in &options.keys {
                let key = Key { tag: sources.hasher.hash_one(hash), hash: *hash, source };
                sources.keys.insert_unique(key.tag, key, |key| key.tag);
            }
        }
        sources
    }

    /// The source that a write key belongs to, enabled or not.
    ///
    /// Takes the same time for every key that is wrong: what is looked up is the key's SHA-256 by
    /// a hash that is seeded anew in every process, and what is found is compared in constant time.
    #[must_use]
    pub fn by_write_key(&self, key: &str) -> Option<&Arc<Source>> {
        let hash = KeyHash::from(Sha256::digest(key));
        let tag = self.hasher.hash_one(hash);
        let found = self.keys.find(tag, |known| {
            known.tag == tag && bool::from(known.hash.as_slice().ct_eq(hash.as_slice()))
        })?;
        self.list.get(found.source)
    }

    /// The source with this id.
    #[must_use]
    pub fn by_id(&self, id: &str) -> Option<&Arc<Source>> {
        self.list.iter().find(|source| source.id == id)
    }

    /// The source with this id, else the only one with this name.
    ///
    /// # Errors
    /// [`LookupError`] if there is none, or several by that name.
    pub fn by_id_or_name(&self, text: &str) -> Result<&Arc<Source>, LookupError> {
        if let Some(source) = self.by_id(text) {
            return Ok(source);
        }
        let mut named = self.list.iter().filter(|source| source.name == text);
        let source = named.next().ok_or(LookupError::Unknown)?;
        if named.next().is_some() { Err(LookupError::Ambiguous) } else { Ok(source) }
    }

    /// All of them, in the order of the configuration.
    #[must_use]
    pub fn list(&self) -> &[Arc<Source>] {
        &self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(text: &str) -> Sources {
        let config = config::parse(text, "k.toml".as_ref(), &config::Environment::new()).unwrap();
        Sources::new(&config.sources)
    }

    #[test]
    fn keys_find_their_source_and_nothing_else() {
        let sources = sources(
            r#"
            [[source]]
            name = "web"
            environment = "prod"
            write_key = "one"
            [[source]]
            name = "web"
            environment = "qa"
            write_keys = ["two", "three"]
            [[source]]
            name = "server"
            environment = "qa"
            enabled = false
            # SHA-256 of "abc", from FIPS 180-2
            write_key_sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
            "#,
        );
        for (key, id) in [
            ("one", Some("web_prod")),
            ("two", Some("web_qa")),
            ("three", Some("web_qa")),
            ("abc", Some("server_qa")),
            ("", None),
            ("One", None),
            ("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", None),
        ] {
            assert_eq!(sources.by_write_key(key).map(|s| s.id.as_str()), id, "{key}");
        }
        assert_eq!(sources.by_id_or_name("server").unwrap().id, "server_qa");
        assert_eq!(sources.by_id_or_name("web_qa").unwrap().id, "web_qa");
        assert_eq!(sources.by_id_or_name("web").unwrap_err(), LookupError::Ambiguous);
        assert_eq!(sources.by_id_or_name("nope").unwrap_err(), LookupError::Unknown);
        assert!(!format!("{sources:?}").contains("three"));
    }

    #[test]
    fn origins_are_a_list_to_choose_from_or_none() {
        let sources = sources(
            r#"
            [[source]]
            name = "web"
            environment = "prod"
            write_key = "one"
            origins = ["https://App.example.com"]
            [[source]]
            name = "open"
            environment = "prod"
            write_key = "two"
            "#,
        );
        let [web, open] = sources.list() else { unreachable!() };
        assert!(web.allows_origin(None));
        assert!(web.allows_origin(Some("https://app.example.com")));
        assert!(!web.allows_origin(Some("https://evil.example.com")));
        assert!(open.allows_origin(Some("https://evil.example.com")));
    }
}
