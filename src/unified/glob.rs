//! The globs of `[[unified]]` and `[[column]]`: `*` for any run of characters, `?` for one.

/// True if the whole of `text` matches `pattern`, ignoring ASCII case.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    let pattern: &[u8] = pattern.as_bytes();
    let text = text.as_bytes();
    let (mut p, mut t) = (0, 0);
    // Where to go on after a mismatch: behind the last star, with one more byte eaten by it. Going
    // back to the last star only keeps this within pattern times text steps.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(b'?') => {
                p += 1;
                t = behind_char(text, t);
            }
            Some(byte) if byte.eq_ignore_ascii_case(&text[t]) => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((star, eaten)) = retry else { return false };
                retry = Some((star, eaten + 1));
                (p, t) = (star, eaten + 1);
            }
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

/// True if `pattern` means one name only.
#[must_use]
pub fn is_literal(pattern: &str) -> bool {
    !pattern.contains(['*', '?'])
}

fn behind_char(text: &[u8], at: usize) -> usize {
    let mut next = at + 1;
    while text.get(next).is_some_and(|byte| byte & 0xC0 == 0x80) {
        next += 1;
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole_names() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "anything", true),
            ("page_load", "page_load", true),
            ("page_load", "page_loaded", false),
            ("api_posts_get_*", "api_posts_get_", true),
            ("api_posts_get_*", "api_posts_got_x", false),
            ("*_get_*_y", "a_get_b_get_c_y", true),
            ("a?c", "abc", true),
            ("a?c", "a\u{e9}c", true),
            ("a?c", "ac", false),
            ("A*", "abc", true),
            ("", "", true),
            ("", "a", false),
            ("**a**", "bab", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_stay_cheap() {
        let pattern = "*a".repeat(1_000);
        let text = "a".repeat(1_000) + "b";
        assert!(!matches(&pattern, &text));
    }
}
