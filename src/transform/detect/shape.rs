//! Whole texts that are harmless by their shape: UUIDs, times, hashes, sortable ids, pseudonyms.

use super::class::{self, ALNUM, COLON, DASH, DIGIT, DOT, LOWER, OTHER, PLUS, UNDERSCORE, UPPER};

/// True if a text of these classes is such an id, time or hash, so that no detector need look.
pub(super) fn is_harmless(bytes: &[u8], classes: u16) -> bool {
    match bytes.len() {
        // Base 32 ids of 26 characters, KSUIDs of 27. All digits may be something else.
        26 | 27 if classes & !ALNUM == 0 => classes & (LOWER | UPPER) != 0 && !looks_paid(bytes),
        // MD5, SHA-1, SHA-256, SHA-512.
        32 | 40 | 64 | 128 if classes & !ALNUM == 0 => {
            classes & (LOWER | UPPER) != 0 && bytes.iter().all(u8::is_ascii_hexdigit)
        }
        36 if classes & !(ALNUM | DASH) == 0 => is_uuid(bytes),
        19..=35 if classes & !(DIGIT | DASH | COLON | DOT | UPPER | PLUS | OTHER) == 0 => {
            is_time(bytes)
        }
        _ if classes & UNDERSCORE != 0 && bytes.first() == Some(&b'h') => is_pseudonym(bytes),
        _ => false,
    }
}

/// An IBAN or a base58 wallet has these lengths too.
fn looks_paid(bytes: &[u8]) -> bool {
    let iban = bytes[0].is_ascii_uppercase()
        && bytes[1].is_ascii_uppercase()
        && bytes[2].is_ascii_digit()
        && bytes[3].is_ascii_digit();
    iban || matches!(bytes[0], b'1' | b'3') || bytes.starts_with(b"AIza")
}

fn is_uuid(bytes: &[u8]) -> bool {
    bytes.iter().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    })
}

/// `2026-06-15T00:05:39` and what may follow: a fraction and a zone.
fn is_time(bytes: &[u8]) -> bool {
    let shaped = bytes.iter().take(19).enumerate().all(|(at, byte)| match at {
        4 | 7 => *byte == b'-',
        10 => matches!(byte, b'T' | b' '),
        13 | 16 => *byte == b':',
        _ => byte.is_ascii_digit(),
    });
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
        && rest[id] == b'_'
        && hash.len() == 32
        && hash
            .iter()
            .all(|&byte| class::of(byte) & (LOWER | DIGIT) != 0 && byte.is_ascii_hexdigit())
}
