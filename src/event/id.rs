//! Ids: what counts as one, the user's id of RudderStack, and the hashes of de-duplication.

use std::borrow::Cow;

use md5::{Digest, Md5};
use twox_hash::XxHash3_64;

use super::tape::{Kind, Node};

/// The text an id stands for: a string's text, nothing for null or a missing one, the compact JSON
/// of any other value.
#[must_use]
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
    // All of them, without an end in between, so that many are looked at in one step.
    if text.bytes().fold(true, |printed, byte| printed & matches!(byte, b' '..=b'~')) {
        return Cow::Borrowed(text.trim_ascii());
    }
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

/// RudderStack's id of a user: MD5 of `userId:anonymousId`, both cleaned, as a version 4 UUID.
#[must_use]
pub fn rudder_id(user_id: &str, anonymous_id: &str) -> uuid::Uuid {
    let mut md5 = Md5::new();
    md5.update(user_id.as_bytes());
    md5.update(b":");
    md5.update(anonymous_id.as_bytes());
    uuid::Builder::from_random_bytes(md5.finalize().into()).into_uuid()
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
    fn invisible_characters_make_no_id() {
        assert_eq!(cleaned(" \0\u{a0}\t\n\r\u{34f} "), "");
        assert_eq!(cleaned("\0 -a-random-string \u{a0}\t\n\r\u{34f}"), "-a-random-string");
        assert_eq!(cleaned(" Zoë x "), "Zoë x");
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
