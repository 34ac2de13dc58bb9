//! Interned object keys: one small number for each distinct key that a parser has met.
//!
//! The number serves the duplicate check, the known fields, the rules of a transformation and the
//! paths of the loader, so that a key's bytes are hashed once. Numbers mean something only beside
//! the [`Keys`] that gave them, and only until [`Keys::generation`] changes.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::runs::block_of;

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
const RECENT: usize = 4_096;
/// Longest of them: three words hold it.
const SHORT_BYTES_MAX: usize = 24;

/// A short key's bytes as words, zeros behind. It has no NUL as it is spelled, so equal words are
/// equal keys.
#[derive(Clone, Copy, Debug)]
pub(super) struct Short([u64; 3]);

impl PartialEq for Short {
    /// Word by word, since they are in registers.
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        let (Self([a, b, c]), Self([x, y, z])) = (self, other);
        (a ^ x) | (b ^ y) | (c ^ z) == 0
    }
}

/// What is kept of two words that hold so many bytes of a key.
const MASKS: [[u64; 2]; 16] = {
    let mut masks = [[0; 2]; 16];
    let mut bytes = 1;
    while bytes < 16 {
        let [low, high] = masks[bytes - 1];
        masks[bytes] = if bytes <= 8 { [low << 8 | 0xff, 0] } else { [low, high << 8 | 0xff] };
        bytes += 1;
    }
    masks
};

impl Short {
    /// No key's: no text has such a byte.
    const NONE: Self = Self([u64::MAX; 3]);

    /// The key of so many bytes, below 16, that `block` begins with.
    #[inline]
    pub(super) fn of_block(block: &[u8; 16], bytes: usize) -> Self {
        let whole = u128::from_le_bytes(*block);
        let [low, high] = MASKS[bytes % 16];
        Self([low_word(whole) & low, low_word(whole >> 64) & high, 0])
    }

    /// `key`, if it is short.
    #[inline]
    pub(super) fn of(key: &[u8]) -> Option<Self> {
        let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
        if let (Some(first), Some(last)) = (key.first_chunk::<16>(), key.last_chunk()) {
            let (halves, _) = first.as_chunks();
            let unused = SHORT_BYTES_MAX.checked_sub(key.len())?;
            let last = if unused < 8 { word(last) >> (8 * unused) } else { 0 };
            return Some(Self([word(halves.first()?), word(halves.get(1)?), last]));
        }
        Some(Self::of_block(&block_of(key), key.len()))
    }

    /// Where it is kept. Whoever aims at one place finds the table behind it, which is seeded.
    #[inline]
    fn place(self) -> usize {
        const MIX: u64 = 0x9E37_79B9_7F4A_7C15;
        let Self([first, middle, last]) = self;
        let mixed = (first.wrapping_mul(MIX) ^ middle ^ last).wrapping_mul(MIX);
        usize::try_from(mixed >> (u64::BITS - RECENT.ilog2())).unwrap_or_default()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is asked for")]
const fn low_word(whole: u128) -> u64 {
    whole as u64
}

/// A short key and its id.
#[derive(Clone, Copy, Debug)]
struct Recent {
    key: Short,
    id: u32,
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
            /// The same as the start of a member: quoted, and with the colon.
            const SPELLED: &[&str] = &[$(concat!("\"", $text, "\":"),)*];

            /// How a member with a known key starts: `"type":`.
            pub(in crate::event) fn spelled(key: KeyId) -> Option<&'static str> {
                SPELLED.get(key.index()).copied()
            }
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
    /// The two short keys met last at each [`Short::place`], in front of the table.
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

    /// The id of a key, if it is the last that was met at its place.
    #[inline]
    pub(super) fn recent(&self, key: Short) -> Option<KeyId> {
        self.recent_at(key.place(), key)
    }

    /// The id of a key that was met lately.
    pub(super) fn recent_or_before(&self, key: Short) -> Option<KeyId> {
        self.recent(key).or_else(|| self.recent_at(key.place() ^ 1, key))
    }

    #[inline]
    fn recent_at(&self, place: usize, key: Short) -> Option<KeyId> {
        self.recent.get(place).filter(|recent| recent.key == key).map(|recent| KeyId(recent.id))
    }

    /// The id of a key that is spelled as it reads.
    pub(super) fn intern(&mut self, key: &str) -> KeyId {
        let id = self.intern_unescaped(key);
        if let Some(key) = Short::of(key.as_bytes()) {
            if self.recent.is_empty() {
                self.recent = vec![Recent { key: Short::NONE, id: 0 }; RECENT];
            }
            // Who had the place goes next door, so that two keys of one place do not take turns.
            let place = key.place();
            self.recent[place ^ 1] = self.recent[place];
            self.recent[place] = Recent { key, id: id.0 };
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
    fn known_keys_are_spelled_as_they_read() {
        for (id, text) in (0..).map(KeyId).zip(known::TEXTS) {
            let mut spelled = Vec::new();
            crate::event::text::write_string(text, &mut spelled);
            spelled.push(b':');
            assert_eq!(known::spelled(id).map(str::as_bytes), Some(&*spelled));
        }
        assert_eq!(known::spelled(KeyId::NONE), None);
    }

    #[test]
    fn short_keys_are_told_apart_at_every_length() {
        let mut keys = Keys::new();
        let mut texts = vec![String::new()];
        for bytes in 1..=SHORT_BYTES_MAX + 2 {
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
            let short = Short::of(text.as_bytes());
            assert_eq!(short.is_some(), text.len() <= SHORT_BYTES_MAX);
            assert_eq!(short.and_then(|short| keys.recent(short)), short.map(|_| id));
            assert_eq!(short.and_then(|short| keys.recent_or_before(short)), short.map(|_| id));
            if let (true, Some(short)) = (text.len() < 16, short) {
                let behind = format!("{text}\"0123456789abcdef");
                let block = behind.as_bytes().first_chunk().unwrap();
                assert_eq!(Short::of_block(block, text.len()), short);
            }
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
