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

/// The pattern of a regular expression that matches lower-case names as [`matches()`] does with any of
/// `globs`. It uses only what all dialects of such expressions share; what no event's name has in it
/// may stand for any other character.
#[must_use]
pub fn expression<'g>(globs: impl IntoIterator<Item = &'g String>) -> String {
    let one = |glob: &String| -> String {
        let mut out = String::new();
        for c in glob.to_ascii_lowercase().chars() {
            match c {
                '*' => out.push_str(".*"),
                c if c == '_' || c.is_ascii_alphanumeric() || !c.is_ascii() => out.push(c),
                '?' | '^' | ']' | '[' | '\\' | '\'' => out.push('.'),
                c => out.extend(['[', c, ']']),
            }
        }
        out
    };
    let all: Vec<String> = globs.into_iter().map(one).collect();
    format!("^({})$", all.join("|"))
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
    fn an_expression_matches_what_its_globs_match() {
        let globs = ["api_*", "Sign?up", "a.b", "ünï", "x^y"].map(str::to_owned);
        let text = expression(&globs);
        assert_eq!(text, "^(api_.*|sign.up|a[.]b|ünï|x.y)$");
        assert_eq!(expression(&["a".to_owned()]), "^(a)$");
    }

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
