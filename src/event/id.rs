//! Ids: what counts as one, the user's id of RudderStack, and the hashes of de-duplication.

use std::borrow::Cow;
use std::ops::Range;

use ::md5::{Digest, Md5};
use twox_hash::XxHash3_64;

use super::tape::{Kind, Node};
use super::{md5, simd};

/// The text an id stands for: a string's text, nothing for null or a missing one, the compact JSON
/// of any other value.
#[must_use]
#[inline]
pub fn stringified(value: Option<Node<'_>>) -> Cow<'_, str> {
    let Some(node) = value else { return Cow::Borrowed("") };
    match node.kind() {
        Kind::Null => Cow::Borrowed(""),
        Kind::String => node.text().unwrap_or_default(),
        _ => {
            let mut out = Vec::new();
            node.write_compact(&mut out);
            Cow::Owned(String::from_utf8(out).unwrap_or_default())
        }
    }
}

/// Drops characters that print nothing and trims white space.
#[must_use]
pub fn cleaned(text: &str) -> Cow<'_, str> {
    if all_print(text.as_bytes()) {
        return Cow::Borrowed(text.trim_ascii());
    }
    clean_anew(text)
}

/// The same of a text that may be one's own.
#[must_use]
pub fn cleaned_of(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => cleaned(text),
        Cow::Owned(text) => Cow::Owned(cleaned(&text).into_owned()),
    }
}

/// True where all bytes are from the space to the tilde.
#[inline]
fn all_print(bytes: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = ONES << 7;
    // A byte is no such one if its top bit is set, or one more sets it, or a space less borrows.
    let odd = |eight: [u8; 8]| {
        let word = u64::from_le_bytes(eight);
        (word | word.wrapping_add(ONES) | word.wrapping_sub(ONES * 0x20)) & TOPS
    };
    let (chunks, _) = bytes.as_chunks();
    match bytes.last_chunk() {
        Some(last) => chunks.iter().fold(odd(*last), |all, &eight| all | odd(eight)) == 0,
        None => bytes.iter().all(|byte| matches!(byte, b' '..=b'~')),
    }
}

#[cold]
fn clean_anew(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_invisible) {
        return Cow::Borrowed(text.trim());
    }
    let kept: String = text.chars().filter(|&c| !is_invisible(c)).collect();
    Cow::Owned(kept.trim().to_owned())
}

/// Characters that show nothing: controls, formats, fillers and blanks other than the space.
/// The list follows Unicode's Cc, Cf, Zl, Zp and Zs and the blank letters and marks.
const fn is_invisible(c: char) -> bool {
    matches!(c,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{a0}' | '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}'
        | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{115f}' | '\u{1160}' | '\u{1680}' | '\u{17b4}'
        | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}'
        | '\u{205f}'..='\u{206f}' | '\u{2800}' | '\u{3000}' | '\u{3164}' | '\u{e000}'..='\u{f8ff}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{110bd}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d159}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}' | '\u{f0000}'..='\u{10ffff}')
}

/// True for a UUID as it is mostly written, that has a digit in it.
#[must_use]
pub fn has_uuid_shape(bytes: &[u8; 36]) -> bool {
    const DASHES: u64 = 1 << 8 | 1 << 13 | 1 << 18 | 1 << 23;
    let (Some(first), Some(last)) = (bytes.first_chunk::<32>(), bytes.last_chunk()) else {
        return false;
    };
    let (halves, _) = first.as_chunks();
    let [low, middle] = halves else { return false };
    let bits = |of: fn(&[u8; 16]) -> u32| {
        u64::from(of(low) | of(middle) << 16) | u64::from(of(last) >> 12) << 32
    };
    let (digits, letters) = (bits(simd::digits), bits(simd::letters_to_f));
    let dashed = [8, 13, 18, 23].iter().all(|&at: &usize| bytes[at] == b'-');
    dashed && digits != 0 && digits | letters | DASHES == (1 << 36) - 1
}

/// RudderStack's id of a user: MD5 of `userId:anonymousId`, both cleaned, as a version 4 UUID.
#[must_use]
pub fn rudder_id(user_id: &str, anonymous_id: &str) -> uuid::Uuid {
    let mut md5 = Md5::new();
    md5.update(user_id.as_bytes());
    md5.update(b":");
    md5.update(anonymous_id.as_bytes());
    uuid::Builder::from_random_bytes(md5.finalize().into()).into_uuid()
}

/// The ids of the users of some events, worked out together before each is asked for: eight hashes at
/// once cost hardly more than one. Reuse it: [`RudderIds::foresee`] clears it.
#[derive(Default)]
pub struct RudderIds {
    /// What was hashed, one text behind the other.
    text: Vec<u8>,
    /// Where in it each is, and its id.
    ids: Vec<(Range<usize>, uuid::Uuid)>,
    /// The one that is asked for next as a rule.
    next: usize,
}

impl std::fmt::Debug for RudderIds {
    /// Shows a count only: the texts are ids of users.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RudderIds").field("ids", &self.ids.len()).finish_non_exhaustive()
    }
}

impl RudderIds {
    /// Events that are looked at together.
    pub const EVENTS: usize = md5::LANES;
    /// So many different ones or fewer are hashed one by one.
    const FEW: usize = 2;

    /// Works out the ids of up to [`RudderIds::EVENTS`] pairs of user id and anonymous id, both
    /// cleaned, and forgets those of before.
    pub fn foresee<'a>(&mut self, pairs: impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)>) {
        self.text.clear();
        self.ids.clear();
        self.next = 0;
        for (user_id, anonymous_id) in pairs.take(Self::EVENTS) {
            // A long one is not copied: the buffer stays, and an id may be of megabytes.
            if user_id.len() + 1 + anonymous_id.len() > md5::BYTES_MAX {
                continue;
            }
            let start = self.text.len();
            for part in [user_id.as_bytes(), b":", anonymous_id.as_bytes()] {
                self.text.extend_from_slice(part);
            }
            let text = self.text.get(start..).unwrap_or_default();
            // A device sends the same ones again and again.
            if self.texts().any(|before| before == text) {
                self.text.truncate(start);
            } else {
                self.ids.push((start..self.text.len(), uuid::Uuid::nil()));
            }
        }
        let mut texts: [&[u8]; Self::EVENTS] = Default::default();
        let count = self.texts().zip(&mut texts).map(|(text, place)| *place = text).count();
        let texts = texts.get(..count).unwrap_or_default();
        let hashes = if count > Self::FEW {
            md5::of_each(texts)
        } else {
            let mut texts = texts.iter();
            std::array::from_fn(|_| texts.next().map(|text| Md5::digest(text).into()))
        };
        for ((_, id), hash) in self.ids.iter_mut().zip(hashes) {
            *id = uuid::Builder::from_random_bytes(hash.unwrap_or_default()).into_uuid();
        }
    }

    /// As [`rudder_id`], which it falls back to for a pair that was not foreseen.
    #[must_use]
    pub fn of(&mut self, user_id: &str, anonymous_id: &str) -> uuid::Uuid {
        let (user, anonymous) = (user_id.as_bytes(), anonymous_id.as_bytes());
        let is_pair = |at: &usize| {
            let text = self.ids.get(*at).and_then(|(place, _)| self.text.get(place.clone()));
            let rest = text.and_then(|text| text.strip_prefix(user)?.strip_prefix(b":"));
            rest == Some(anonymous)
        };
        let behind = self.next..self.ids.len();
        let Some(at) = behind.chain(0..self.next).find(is_pair) else {
            return rudder_id(user_id, anonymous_id);
        };
        self.next = at + 1;
        self.ids.get(at).map(|(_, id)| *id).unwrap_or_default()
    }

    fn texts(&self) -> impl Iterator<Item = &[u8]> {
        self.ids.iter().map(|(place, _)| self.text.get(place.clone()).unwrap_or_default())
    }
}

/// The first hash of de-duplication: of the source, the cleaned messageId and the part of a split.
/// Never 0, which stands for an id that was minted here.
#[must_use]
pub fn key_hash(source_id: &str, message_id: &str, part: u32) -> u64 {
    hash(&[source_id.as_bytes(), message_id.as_bytes(), &part.to_le_bytes()]).max(1)
}

/// The second hash: of type, event name and original time as they were spelled.
#[must_use]
pub fn content_hash(kind: &str, event: &str, time: &str) -> u64 {
    hash(&[kind.as_bytes(), event.as_bytes(), time.as_bytes()])
}

/// XXH3 with a fixed seed: the hashes are stored, so every version must make the same ones.
fn hash(parts: &[&[u8]]) -> u64 {
    let mut bytes = [0_u8; 256];
    let total: usize = parts.iter().map(|part| part.len() + 1).sum();
    if total > bytes.len() {
        let mut long = Vec::with_capacity(total);
        for part in parts {
            long.extend_from_slice(part);
            long.push(0xff);
        }
        return XxHash3_64::oneshot(&long);
    }
    let mut at = 0;
    for part in parts {
        bytes[at..at + part.len()].copy_from_slice(part);
        // No UTF-8 text holds this byte, so parts cannot run into one another.
        bytes[at + part.len()] = 0xff;
        at += part.len() + 1;
    }
    XxHash3_64::oneshot(&bytes[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rudder_id_is_the_one_rudderstack_makes() {
        let cases = [
            ("identified_user_id", "anonymousId_1", "e4cab80e-2f0e-4fa2-87e0-3a4af182634c"),
            ("", "", "853ae90f-0351-424b-973e-a615e6487517"),
            ("{\"id\":456}", "", "e69f84fe-f304-4f7e-88ae-0a6461ea19c1"),
        ];
        for (user, anonymous, id) in cases {
            assert_eq!(rudder_id(user, anonymous).to_string(), id);
        }
    }

    #[test]
    fn foreseen_ids_are_those_that_are_made_alone() {
        let long = "x".repeat(md5::BYTES_MAX);
        let users = ["", "u", ":", "u:", "u", "user-1", "user-2", &long, "u-8", "u-9", "u-10"];
        let anonymous = ["", "a", "a:", ":a", "a", "e2b49560-94b2-44f0-bd87-8ea5b54fb5a6"];
        let mut ids = RudderIds::default();
        for count in 0..=users.len() {
            for first in 0..anonymous.len() {
                let pair = |n: usize| (users[n], anonymous[(first + n) % anonymous.len()]);
                ids.foresee((0..count).map(pair).map(|(u, a)| (u.into(), a.into())));
                for (user, anonymous) in (0..users.len()).map(pair) {
                    assert_eq!(ids.of(user, anonymous), rudder_id(user, anonymous));
                }
                assert!(ids.ids.len() <= RudderIds::EVENTS);
            }
        }
        assert_eq!(format!("{ids:?}"), "RudderIds { ids: 7, .. }");
    }

    #[test]
    fn invisible_characters_make_no_id() {
        assert_eq!(cleaned(" \0\u{a0}\t\n\r\u{34f} "), "");
        assert_eq!(cleaned("\0 -a-random-string \u{a0}\t\n\r\u{34f}"), "-a-random-string");
        assert_eq!(cleaned(" Zoë x "), "Zoë x");
    }

    #[test]
    fn a_uuid_is_known_by_every_byte() {
        let uuid = b"315d54b3-fdf3-4B31-bc19-43927573248A";
        assert!(has_uuid_shape(uuid));
        for at in 0..uuid.len() {
            for byte in 0..=255_u8 {
                let mut other = *uuid;
                other[at] = byte;
                let fits = if uuid[at] == b'-' { byte == b'-' } else { byte.is_ascii_hexdigit() };
                assert_eq!(has_uuid_shape(&other), fits, "{byte} at {at}");
            }
        }
        assert!(!has_uuid_shape(b"abcdefab-cdef-abcd-efab-cdefabcdefab"));
    }

    #[test]
    fn bytes_that_print_are_told_wherever_they_are() {
        for length in 0..20 {
            for at in 0..length {
                for byte in 0..=255 {
                    for around in [b' ', b'a', b'~'] {
                        let mut bytes = vec![around; length];
                        bytes[at] = byte;
                        assert_eq!(all_print(&bytes), matches!(byte, b' '..=b'~'), "{bytes:?}");
                    }
                }
            }
            assert!(all_print(&vec![b'x'; length]));
        }
    }

    #[test]
    fn hashes_never_change() {
        assert_eq!(key_hash("s", "m", 0), key_hash("s", "m", 0));
        assert_ne!(key_hash("s", "m", 0), key_hash("sm", "", 0));
        assert_ne!(key_hash("s", "m", 0), key_hash("s", "m", 1));
        let long = "x".repeat(300);
        let hashes = [key_hash("webapp_prod", "m-1", 0), content_hash("track", "e", &long)];
        assert_eq!(hashes, [15_921_266_308_987_312_297, 1_132_331_075_130_098_976]);
    }
}
