//! Query strings and form bodies.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The pairs of `a=1&b=2`, decoded, in order; bytes that are not UTF-8 become U+FFFD.
pub(super) fn pairs(text: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(key), decoded(value))
    })
}

/// The first value of `key`.
pub(super) fn first<'a>(text: &'a str, key: &str) -> Option<Cow<'a, str>> {
    pairs(text).find(|(name, _)| name == key).map(|(_, value)| value)
}

fn decoded(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|b| matches!(b, b'+' | b'%')) {
        return Cow::Borrowed(text);
    }
    let spaced = text.replace('+', " ");
    Cow::Owned(percent_decode_str(&spaced).decode_utf8_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded() {
        let all: Vec<_> = pairs("a=1&&b+c=%C3%A9%2B+x&d&=e&a=2&f=%zz&g=%ff").collect();
        let expected = [
            ("a", "1"),
            ("b c", "é+ x"),
            ("d", ""),
            ("", "e"),
            ("a", "2"),
            ("f", "%zz"),
            ("g", "\u{fffd}"),
        ];
        assert_eq!(all, expected.map(|(k, v)| (Cow::Borrowed(k), Cow::Borrowed(v))));
        assert_eq!(first("a=1&a=2", "a").unwrap(), "1");
        assert_eq!(first("a=1", "b"), None);
    }
}
