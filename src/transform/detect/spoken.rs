//! Secrets behind the mere word for one, without a sign between: `the token ... was rejected`.

use super::class::{self, is_alnum};
use super::shape;

/// The shortest value that is taken for a secret behind a mere word.
const SPOKEN_MIN: usize = 12;

/// The secret behind the blank at `at` where the word before it names one: `token wq3ggnmbk5wr...`,
/// `my password is ...`, `--password ...`: its span. Only what no word or file name looks like.
pub(super) fn behind(text: &str, at: usize) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    if !names_spoken(bytes.get(..at)?) {
        return None;
    }
    let mut rest = bytes.get(at + 1..)?;
    for verb in [&b"is "[..], b"was "] {
        rest = rest.strip_prefix(verb).unwrap_or(rest);
    }
    let quote = rest.first().copied().filter(|byte| b"\"'`".contains(byte));
    rest = rest.get(usize::from(quote.is_some())..)?;
    let start = bytes.len() - rest.len();
    let stops = |byte: u8| match quote {
        Some(quote) => byte == quote || byte == b'\n',
        None => byte.is_ascii_whitespace() || b"\"'`<>,;".contains(&byte),
    };
    let length = class::leading(rest, |byte| !stops(byte));
    let value = rest.get(..length)?;
    let value = value.trim_ascii_end();
    let sentence = value.iter().rev().take_while(|&&byte| b".:)]}".contains(&byte)).count();
    let end = start + value.len() - if quote.is_some() { 0 } else { sentence };
    is_unlike_words(text.get(start..end)?).then_some((start, end))
}

/// True if `head` ends with a word for a secret.
fn names_spoken(head: &[u8]) -> bool {
    let last = head.last().map(u8::to_ascii_lowercase);
    if !matches!(last, Some(b'n' | b't' | b'd' | b'e' | b'y' | b'w')) {
        return false;
    }
    let length = head.iter().rev().take(SPOKEN_MAX).take_while(|&&byte| is_alnum(byte)).count();
    let (before, word) = head.split_at(head.len() - length);
    let ends = |text: &[u8], end: &str| {
        text.len()
            .checked_sub(end.len())
            .and_then(|from| text.get(from..))
            .is_some_and(|tail| tail.eq_ignore_ascii_case(end.as_bytes()))
    };
    if word.eq_ignore_ascii_case(b"key") {
        let Some((b' ' | b'-' | b'_', before)) = before.split_last() else { return false };
        return ["api", "access", "secret", "encryption", "signing"]
            .iter()
            .any(|of| ends(before, of));
    }
    SPOKEN.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
}

/// Words that a secret follows in speech.
const SPOKEN: [&str; 10] = [
    "token",
    "secret",
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "passwort",
    "kennwort",
    "apikey",
    "pw",
];
/// One more byte than the longest of them has.
const SPOKEN_MAX: usize = 11;

/// True for a value whose letters and digits change as often as in no word, file name, version or
/// date, or that has signs that only passwords have; no URL, path, placeholder, UUID or hash of ours.
fn is_unlike_words(value: &str) -> bool {
    let bytes = value.as_bytes();
    let digit = |byte: &u8| byte.is_ascii_digit();
    if bytes.len() < SPOKEN_MIN
        || !bytes.iter().any(digit)
        || !bytes.iter().any(u8::is_ascii_alphabetic)
        || matches!(bytes[0], b'[' | b'{' | b'(' | b'<' | b'/' | b'.' | b'\\')
        || value.contains("://")
        || value.contains(' ')
        || bytes.get(..4).is_some_and(|year| year.iter().all(digit)) && bytes[4] == b'-'
        || shape::is_pseudonym(bytes)
        || bytes.len() == 36 && shape::is_uuid(bytes)
    {
        return false;
    }
    let changes = bytes
        .windows(2)
        .filter(|two| two.iter().all(|&byte| is_alnum(byte)) && digit(&two[0]) != digit(&two[1]));
    changes.count() >= 3 || bytes.iter().any(|byte| b"!#$%^*&~".contains(byte))
}
