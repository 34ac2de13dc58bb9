//! E-mail addresses, by the dot-atom form of RFC 5322 with the letters of RFC 6531.

use super::class::is_alnum;

/// Longest local part, RFC 5321 4.5.3.1.1.
const LOCAL_MAX: usize = 64;
/// Longest domain, RFC 1035 2.3.4.
const DOMAIN_MAX: usize = 253;

/// Endings that follow an `@` in names of files (`logo@2x.png`, `pkg@next.js`) and that are no
/// top-level domains.
const FILE_ENDINGS: [&str; 31] = [
    "png", "jpg", "jpeg", "gif", "svg", "webp", "bmp", "ico", "avif", "heic", "js", "mjs", "cjs",
    "ts", "tsx", "jsx", "css", "scss", "html", "htm", "map", "json", "xml", "txt", "pdf", "woff",
    "woff2", "ttf", "mp4", "mp3", "exe",
];

/// The address around the `@` at `at`: where it starts and ends.
pub(super) fn around(text: &str, at: usize) -> Option<(usize, usize)> {
    let end = domain_end(text, at + 1)?;
    let start = local_start(text, at)?;
    // The one user that everybody is at a host of repositories.
    (text.get(start..at) != Some("git")).then_some((start, end))
}

fn local_start(text: &str, at: usize) -> Option<usize> {
    let before = text.get(..at)?;
    if before.ends_with('"') {
        return quoted_start(before);
    }
    let mut start = at;
    for (offset, ch) in before.char_indices().rev() {
        if !is_local(ch) || at - offset > LOCAL_MAX * 2 {
            break;
        }
        start = offset;
    }
    let local = text.get(start..at)?;
    let kept = local.trim_start_matches(|ch: char| !ch.is_alphanumeric() && ch != '_' && ch != '+');
    let local_is_real = kept.chars().next_back().is_some_and(|ch| ch != '.');
    local_is_real.then_some(at - kept.len())
}

fn is_local(ch: char) -> bool {
    match ch {
        'a'..='z' | 'A'..='Z' | '0'..='9' => true,
        '.' | '_' | '+' | '-' | '~' | '#' | '$' | '!' | '*' | '^' | '\'' | '{' | '}' => true,
        _ => !ch.is_ascii() && ch.is_alphanumeric(),
    }
}

/// `"john doe"@example.com`
fn quoted_start(before: &str) -> Option<usize> {
    let inside = before.get(..before.len() - 1)?;
    let open = inside.rfind('"')?;
    let quoted = inside.get(open + 1..)?;
    let real =
        !quoted.is_empty() && quoted.len() <= LOCAL_MAX && !quoted.contains(['\n', ':', '{']);
    real.then_some(open)
}

fn domain_end(text: &str, from: usize) -> Option<usize> {
    let rest = text.get(from..)?;
    let mut end = 0;
    for (offset, ch) in rest.char_indices() {
        let part = is_alnum_char(ch)
            || ch == '-'
            || ch == '.' && !rest.as_bytes().get(..offset)?.ends_with(b".");
        if !part || offset > DOMAIN_MAX {
            break;
        }
        end = offset + ch.len_utf8();
    }
    let domain = rest.get(..end)?.trim_end_matches(['.', '-']);
    let (labels, top) = domain.rsplit_once('.')?;
    let first = labels.as_bytes().first().copied()?;
    if first == b'-' || first == b'.' || !is_top_level(top) {
        return None;
    }
    Some(from + domain.len())
}

fn is_alnum_char(ch: char) -> bool {
    if ch.is_ascii() { is_alnum(ch as u8) } else { ch.is_alphanumeric() }
}

fn is_top_level(top: &str) -> bool {
    let letters = top.chars().all(char::is_alphabetic) && top.chars().nth(1).is_some();
    let punycode = top.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("xn--"));
    (letters || punycode) && !FILE_ENDINGS.iter().any(|ending| top.eq_ignore_ascii_case(ending))
}
