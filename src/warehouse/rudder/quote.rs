//! Text as Go quotes it and writes it in small letters.

use std::fmt::Write as _;

/// A string in double quotes as Go's `%q` and `strconv.Quote` write it.
#[must_use]
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for ch in text.chars() {
        match ch {
            '"' | '\\' => out.extend(['\\', ch]),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            _ if is_printed(ch) => out.push(ch),
            _ => {
                let code = u32::from(ch);
                let written = match code {
                    0..=0x7f => write!(out, "\\x{code:02x}"),
                    0x80..=0xffff => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
                debug_assert!(written.is_ok(), "writing to a string cannot fail");
            }
        }
    }
    out.push('"');
    out
}

/// True for letters, marks, numbers, punctuation, symbols and the ASCII space.
fn is_printed(ch: char) -> bool {
    // Behind a letter Rust escapes what is not printable only; alone it escapes marks as well.
    let mut pair = String::from('a');
    pair.push(ch);
    let escaped = pair.escape_debug().skip(1).eq([ch]);
    escaped || matches!(ch, '\'' | '"' | '\\')
}

/// Lower case character by character: no sigma at the end, no dots that add up.
#[must_use]
pub(super) fn lower(text: &str) -> String {
    let one = |c: char| {
        let mut lower = c.to_lowercase();
        match (lower.next(), lower.next()) {
            (Some(lower), None) => lower,
            _ if c == 'İ' => 'i',
            _ => c,
        }
    };
    text.chars().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_quoted_as_go_quotes_it() {
        for (text, wanted) in [
            ("a'\"\\", r#""a'\"\\""#),
            ("\0\x07\x08\x0c\n\r\t\x0b\x1f\x7f", r#""\x00\a\b\f\n\r\t\v\x1f\x7f""#),
            ("é日🎉 ́a\u{301}", "\"é日🎉 ́a\u{301}\""),
            ("\u{a0}\u{ad}\u{2028}\u{feff}", r#""\u00a0\u00ad\u2028\ufeff""#),
            ("\u{e0001}\u{e000}", r#""\U000e0001\ue000""#),
        ] {
            assert_eq!(quoted(text), wanted);
        }
    }

    #[test]
    fn letters_become_small_one_by_one() {
        assert_eq!(lower("İDENTIFY ΣΑΣ Ⅷ \u{212a}ẞ"), "identify σασ ⅷ kß");
    }
}
