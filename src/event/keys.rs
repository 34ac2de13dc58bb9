//! Interned object keys: one small number for each distinct key that a parser has met.
//!
//! The number serves the duplicate check, the known fields, the rules of a transformation and the
//! paths of the loader, so that a key's bytes are hashed once. Numbers mean something only beside
//! the [`Keys`] that gave them, and only until [`Keys::generation`] changes.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// The number of an interned key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub(super) u32);

impl KeyId {
    /// The id of array elements and of the root, which have no key.
    pub const NONE: Self = Self(u32::MAX);

    /// The number as an index into a table of one's own; [`KeyId::NONE`] is out of every range.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Keys kept between documents; past either bound the next document starts a new generation.
/// A site with 228 distinct keys in 1,650 events was measured; 60 times that is room enough.
const KEPT_KEYS_MAX: usize = 16_384;
/// Bytes of key text kept between documents.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// Short keys whose ids are at hand; a site's 228 distinct keys find room.
const RECENT: usize = 1_024;
/// Longest of them: three words hold it.
const SHORT_BYTES_MAX: u32 = 24;

/// A short key's bytes as words; keys of one length have equal words only where they are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Short {
    words: [u64; 3],
    bytes: u32,
}

/// A short key and its id.
#[derive(Clone, Copy, Debug)]
struct Recent {
    key: Short,
    id: u32,
}

impl Short {
    /// No key's: none is so long.
    const NONE: Self = Self { words: [0; 3], bytes: u32::MAX };

    #[inline]
    fn of(key: &[u8]) -> Option<Self> {
        let bytes = u32::try_from(key.len()).ok().filter(|bytes| *bytes <= SHORT_BYTES_MAX)?;
        let long = |word: &[u8; 8]| u64::from_le_bytes(*word);
        let half = |word: &[u8; 4]| u64::from(u32::from_le_bytes(*word));
        let words = if let (Some(first), Some(last)) = (key.first_chunk(), key.last_chunk()) {
            // Below 16 bytes the two overlap and there is no middle.
            let middle = key.get(8..).and_then(<[u8]>::first_chunk).map_or(0, long);
            [long(first), middle, long(last)]
        } else if let (Some(first), Some(last)) = (key.first_chunk(), key.last_chunk()) {
            [half(first), 0, half(last)]
        } else {
            let byte = |at: usize| u64::from(key.get(at).copied().unwrap_or_default());
            [byte(0) | byte(1) << 8 | byte(2) << 16, 0, 0]
        };
        Some(Self { words, bytes })
    }

    /// Where it is kept. Whoever aims at one place finds the table behind it, which is seeded.
    #[inline]
    fn place(&self) -> usize {
        const MIX: u64 = 0x9E37_79B9_7F4A_7C15;
        let [first, _, last] = self.words;
        let mixed = (first.wrapping_mul(MIX) ^ last).wrapping_mul(MIX);
        usize::try_from(mixed >> (u64::BITS - RECENT.ilog2())).unwrap_or_default()
    }
}

macro_rules! known {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Keys that the gateway itself knows: interned first, so their ids are constants.
        pub mod known {
            use super::KeyId;
            #[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "counts the list")]
            #[repr(u32)]
            enum At { $($name,)* }
            $(
                #[doc = concat!("`", $text, "`")]
                pub const $name: KeyId = KeyId(At::$name as u32);
            )*
            pub(in crate::event) const TEXTS: &[&str] = &[$($text,)*];
        }
    };
}

known! {
    TYPE = "type",
    EVENT = "event",
    MESSAGE_ID = "messageId",
    ANONYMOUS_ID = "anonymousId",
    USER_ID = "userId",
    PREVIOUS_ID = "previousId",
    GROUP_ID = "groupId",
    RUDDER_ID = "rudderId",
    RECEIVED_AT = "receivedAt",
    REQUEST_IP = "request_ip",
    ORIGINAL_TIMESTAMP = "originalTimestamp",
    SENT_AT = "sentAt",
    TIMESTAMP = "timestamp",
    CONTEXT = "context",
    INTEGRATIONS = "integrations",
    PROPERTIES = "properties",
    TRAITS = "traits",
    USER_PROPERTIES = "userProperties",
    CHANNEL = "channel",
    NAME = "name",
    BATCH = "batch",
    WRITE_KEY = "writeKey",
    IP = "ip",
    RECORD_ID = "recordId",
    MERGE_PROPERTIES = "mergeProperties",
    TIME_ADJUSTED = "timeAdjusted",
    RAW_TIMESTAMP = "rawTimestamp",
    RAW_ORIGINAL_TIMESTAMP = "rawOriginalTimestamp",
    LIBRARY = "library",
    USER_AGENT = "userAgent",
    SESSION_ID = "sessionId",
    CONSENT_MANAGEMENT = "consentManagement",
}

/// A table of interned keys. Bounded between documents; seeded, so that no client can aim at it.
#[derive(Debug)]
pub struct Keys {
    hasher: RandomState,
    table: HashTable<u32>,
    text: String,
    /// Where each key's text ends; the first entry is the start of the first.
    ends: Vec<u32>,
    generation: u64,
    /// The short key met last at each [`Short::place`], in front of the table.
    recent: Vec<Recent>,
}

impl Default for Keys {
    fn default() -> Self {
        Self::new()
    }
}

impl Keys {
    /// A table that holds the known keys.
    #[must_use]
    pub fn new() -> Self {
        let mut keys = Self {
            hasher: RandomState::default(),
            table: HashTable::new(),
            text: String::new(),
            ends: vec![0],
            generation: 0,
            recent: Vec::new(),
        };
        keys.fill();
        keys
    }

    fn fill(&mut self) {
        for text in known::TEXTS {
            self.intern(text);
        }
    }

    /// Counts the times all keys but the known ones were forgotten; what was worked out for an id
    /// in an older generation is void.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// A number that only this table has, and only in this generation: what was worked out for an
    /// id holds where the stamp is the same.
    #[must_use]
    pub fn stamp(&self) -> u64 {
        self.hasher.hash_one(self.generation)
    }

    /// How many keys there are; ids are below it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len() - 1
    }

    /// Never true: the known keys are always there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.len() == 1
    }

    /// The key's text; empty for [`KeyId::NONE`].
    #[must_use]
    pub fn text(&self, id: KeyId) -> &str {
        text_of(&self.text, &self.ends, id.0)
    }

    /// The id of `key`, if it has been met.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<KeyId> {
        let hash = self.hasher.hash_one(key.as_bytes());
        self.table.find(hash, |&id| text_of(&self.text, &self.ends, id) == key).map(|&id| KeyId(id))
    }

    /// Forgets all but the known keys when the table has outgrown its bounds.
    pub(super) fn begin_document(&mut self) {
        if self.len() > KEPT_KEYS_MAX || self.text.len() > KEPT_BYTES_MAX {
            self.table = HashTable::new();
            self.text = String::new();
            self.ends = vec![0];
            self.recent = Vec::new();
            self.generation += 1;
            self.fill();
        }
    }

    /// The id of a key that was met lately.
    #[inline]
    pub(super) fn recent(&self, key: &[u8]) -> Option<KeyId> {
        let key = Short::of(key)?;
        self.recent
            .get(key.place())
            .filter(|recent| recent.key == key)
            .map(|recent| KeyId(recent.id))
    }

    /// The id of a key that is spelled as it reads.
    pub(super) fn intern(&mut self, key: &str) -> KeyId {
        let id = self.intern_unescaped(key);
        if let Some(key) = Short::of(key.as_bytes()) {
            if self.recent.is_empty() {
                self.recent = vec![Recent { key: Short::NONE, id: 0 }; RECENT];
            }
            self.recent[key.place()] = Recent { key, id: id.0 };
        }
        id
    }

    /// The id of a key that was spelled with escapes. It is not kept at hand: what is found there
    /// may be copied as it is spelled.
    pub(super) fn intern_unescaped(&mut self, key: &str) -> KeyId {
        let hash = self.hasher.hash_one(key.as_bytes());
        let (text, ends) = (&self.text, &self.ends);
        let known = self.table.find(hash, |&id| text_of(text, ends, id) == key).copied();
        KeyId(known.unwrap_or_else(|| self.add(key, hash)))
    }

    fn add(&mut self, key: &str, hash: u64) -> u32 {
        let id = u32::try_from(self.len()).unwrap_or(u32::MAX);
        self.text.push_str(key);
        self.ends.push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
        let (text, ends, hasher) = (&self.text, &self.ends, &self.hasher);
        self.table
            .insert_unique(hash, id, |&id| hasher.hash_one(text_of(text, ends, id).as_bytes()));
        id
    }
}

fn text_of<'a>(text: &'a str, ends: &[u32], id: u32) -> &'a str {
    let id = id as usize;
    match ends.get(id..).and_then(<[u32]>::first_chunk::<2>) {
        Some(&[start, end]) => text.get(start as usize..end as usize).unwrap_or_default(),
        None => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_keys_have_their_constant_ids() {
        let keys = Keys::new();
        assert_eq!(keys.text(known::TYPE), "type");
        assert_eq!(keys.find("consentManagement"), Some(known::CONSENT_MANAGEMENT));
        assert_eq!(keys.text(KeyId::NONE), "");
    }

    #[test]
    fn short_keys_are_told_apart_at_every_length() {
        let mut keys = Keys::new();
        let mut texts = vec![String::new()];
        for bytes in 1..=SHORT_BYTES_MAX as usize + 2 {
            for at in 0..bytes {
                let mut text = "a".repeat(bytes);
                text.replace_range(at..=at, "b");
                texts.push(text);
            }
            texts.push("a".repeat(bytes));
        }
        let ids: Vec<_> = texts.iter().map(|text| keys.intern(text)).collect();
        for (text, id) in texts.iter().zip(ids) {
            assert_eq!((keys.intern(text), keys.text(id)), (id, text.as_str()));
            let short = text.len() <= SHORT_BYTES_MAX as usize;
            assert_eq!(keys.recent(text.as_bytes()), short.then_some(id));
        }
        assert_eq!(keys.len(), known::TEXTS.len() + texts.len());
    }

    #[test]
    fn a_flood_of_keys_starts_a_new_generation() {
        let mut keys = Keys::new();
        for n in 0..=KEPT_KEYS_MAX {
            keys.intern(&format!("k{n}"));
        }
        assert!(keys.find("k7").is_some());
        keys.begin_document();
        assert_eq!((keys.find("k7"), keys.generation()), (None, 1));
        assert_eq!(keys.find("type"), Some(known::TYPE));
    }
}
