//! JSON strings: from their spelling to their text and back.

use super::runs::plain_run;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends the text of `spelled`, the inside of a checked JSON string: escapes resolved, NUL left
/// out, lone surrogates as U+FFFD.
pub fn unescape_into(spelled: &str, out: &mut String) {
    let mut rest = spelled;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        out.push_str(rest.get(..at).unwrap_or_default());
        let (taken, ch) = escape(rest.as_bytes().get(at..).unwrap_or_default());
        if let Some(ch) = ch {
            out.push(ch);
        }
        rest = rest.get(at + taken..).unwrap_or_default();
    }
    out.push_str(rest);
}

/// The length of the escape that `bytes` starts with and the character it stands for.
fn escape(bytes: &[u8]) -> (usize, Option<char>) {
    let plain = |byte: u8| (2, Some(char::from(byte)));
    match bytes.get(1) {
        Some(b'n') => plain(b'\n'),
        Some(b't') => plain(b'\t'),
        Some(b'r') => plain(b'\r'),
        Some(b'b') => plain(8),
        Some(b'f') => plain(12),
        Some(b'u') => unicode_escape(bytes),
        Some(&byte) => plain(byte),
        None => (bytes.len().max(1), None),
    }
}

fn unicode_escape(bytes: &[u8]) -> (usize, Option<char>) {
    let Some(unit) = hex4(bytes, 2) else { return (bytes.len(), None) };
    match unit {
        0 => (6, None),
        0xD800..=0xDBFF if bytes.get(6..8) == Some(b"\\u") => match hex4(bytes, 8) {
            Some(low @ 0xDC00..=0xDFFF) => {
                let code = 0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
                (12, char::from_u32(code))
            }
            _ => (6, Some(char::REPLACEMENT_CHARACTER)),
        },
        _ => (6, Some(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER))),
    }
}

/// Reads four hexadecimal digits at `at`.
pub(super) fn hex4(bytes: &[u8], at: usize) -> Option<u32> {
    let mut unit = 0;
    for &byte in bytes.get(at..at + 4)? {
        unit = unit * 16 + char::from(byte).to_digit(16)?;
    }
    Some(unit)
}

/// Appends `text` as a JSON string with quotes and the shortest escapes; NUL is left out.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut rest = text.as_bytes();
    loop {
        let (plain, special) = rest.split_at(plain_run(rest));
        out.extend_from_slice(plain);
        let Some((&byte, after)) = special.split_first() else { break };
        rest = after;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0 => {}
            _ => {
                let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            }
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unescaped(spelled: &str) -> String {
        let mut out = String::new();
        unescape_into(spelled, &mut out);
        out
    }

    #[test]
    fn escapes_become_their_characters() {
        assert_eq!(unescaped(r#"a\n\"\\\/\u00e9\ud83d\ude00z"#), "a\n\"\\/é😀z");
    }

    #[test]
    fn nul_goes_and_lone_surrogates_are_replaced() {
        assert_eq!(unescaped(r"a\u0000b\ud800c\udc00\ud800\u0041"), "ab\u{fffd}c\u{fffd}\u{fffd}A");
    }

    #[test]
    fn written_strings_read_back() {
        let text = "q\"b\\c\n\r\t\u{1}é😀";
        let mut out = Vec::new();
        write_string(text, &mut out);
        assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
    }
}
