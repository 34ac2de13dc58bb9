//! Whole texts that are harmless by their shape: UUIDs, times, hashes, sortable ids, pseudonyms.

use super::class::{
    self, ALNUM, BEYOND_F, COLON, DASH, DIGIT, DOT, LOWER, OTHER, PLUS, UNDERSCORE, UPPER,
};
use crate::event::{id, time};

/// True for the times and ids that are met most, found without their classes. No more than
/// [`is_harmless`] says.
#[inline]
pub(super) fn is_usual(bytes: &[u8]) -> bool {
    match bytes.len() {
        24 => bytes.as_array().is_some_and(time::has_usual_shape),
        36 => bytes.as_array().is_some_and(id::has_uuid_shape),
        _ => false,
    }
}

/// True if a text of these classes is such an id, time or hash, so that no detector need look.
#[inline]
pub(super) fn is_harmless(bytes: &[u8], classes: u16) -> bool {
    if classes & DIGIT == 0 || bytes.len() < 19 {
        return false;
    }
    match bytes.len() {
        // Base 32 ids of 26 characters, KSUIDs of 27. All digits may be something else.
        26 | 27 if classes & !ALNUM == 0 => {
            classes & (LOWER | UPPER) != 0 && !looks_paid(bytes, classes & UPPER != 0)
        }
        // MD5, SHA-1, SHA-256, SHA-512.
        32 | 40 | 64 | 128 if classes & !HEX == 0 => classes & (LOWER | UPPER) != 0,
        36 if classes & !(HEX | DASH) == 0 => is_uuid(bytes),
        19..=34 if classes & !TIME == 0 => is_time(bytes),
        35.. if classes & UNDERSCORE != 0 && bytes[0] == b'h' => is_pseudonym(bytes),
        _ => false,
    }
}

/// Hexadecimal digits.
const HEX: u16 = ALNUM & !BEYOND_F;
/// What times are written with; `T` and `Z` are the letters.
const TIME: u16 = DIGIT | DASH | COLON | DOT | UPPER | BEYOND_F | PLUS | OTHER;

/// How many bytes pass, of fewer than 256; the loop is one that compilers make wide.
#[inline]
fn count<const N: usize>(bytes: &[u8; N], passes: impl Fn(u8) -> bool) -> u8 {
    const { assert!(N < 256) };
    bytes.iter().fold(0, |count, &byte| count + u8::from(passes(byte)))
}

/// An IBAN or a base58 wallet has these lengths too; wallets have capitals.
fn looks_paid(bytes: &[u8], has_capitals: bool) -> bool {
    let iban = bytes[0].is_ascii_alphabetic()
        && bytes[1].is_ascii_alphabetic()
        && bytes[2].is_ascii_digit()
        && bytes[3].is_ascii_digit();
    let named = bytes.get(..4).is_some_and(|head| head.eq_ignore_ascii_case(b"iban"));
    iban || named || has_capitals && matches!(bytes[0], b'1' | b'3' | b'r')
}

/// Hexadecimal digits and dashes: the dashes where they belong, and no more.
pub(super) fn is_uuid(bytes: &[u8]) -> bool {
    bytes.first_chunk::<36>().is_some_and(|bytes| {
        [8, 13, 18, 23].iter().all(|&at| bytes[at] == b'-')
            && count(bytes, |byte| byte == b'-') == 4
    })
}

/// `2026-06-15T00:05:39` and what may follow: a fraction and a zone.
fn is_time(bytes: &[u8]) -> bool {
    let dashes = bytes[4] == b'-' && bytes[7] == b'-' && matches!(bytes[10], b'T' | b' ');
    let shaped = dashes
        && bytes[13] == b':'
        && bytes[16] == b':'
        && bytes.first_chunk::<19>().is_some_and(|time| count(time, |b| b.is_ascii_digit()) == 14);
    let mut rest = bytes.get(19..).unwrap_or_default();
    if let [b'.', fraction @ ..] = rest {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        rest = if digits <= 9 { fraction.get(digits..).unwrap_or_default() } else { rest };
    }
    let zone = match rest {
        [] | [b'Z'] => true,
        [b'+' | b'-', zone @ ..] => {
            zone.len() <= 5 && zone.iter().all(|byte| byte.is_ascii_digit() || *byte == b':')
        }
        _ => false,
    };
    shaped && zone
}

/// `h<key id>_<32 hexadecimal digits>`, what hashing leaves.
pub(in crate::transform) fn is_pseudonym(bytes: &[u8]) -> bool {
    let Some(rest) = bytes.strip_prefix(b"h") else { return false };
    let id = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let hash = rest.get(id + 1..).unwrap_or_default();
    (1..=10).contains(&id)
        && rest.get(id) == Some(&b'_')
        && hash.len() == 32
        && hash
            .iter()
            .all(|&byte| class::of(byte) & (LOWER | DIGIT) != 0 && byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_usual_is_harmless() {
        let (mut usual, letters) = (0, b"0af9AFgTZ:-. \x10\x7f");
        for text in ["2026-06-15T00:05:39.123Z", "315d54b3-fdf3-4b31-bc19-439275732481"] {
            for at in 0..text.len() {
                for &byte in letters {
                    let mut bytes = text.as_bytes().to_vec();
                    bytes[at] = byte;
                    if is_usual(&bytes) {
                        usual += 1;
                        assert!(is_harmless(&bytes, class::of_all(&bytes)), "{bytes:?}");
                    }
                }
            }
        }
        assert!(usual > 60, "{usual}");
    }
}
