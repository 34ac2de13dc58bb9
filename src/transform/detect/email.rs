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

/// Names that end with figures, read as a top-level domain with something glued behind it.
const SUMS: [&str; 6] = ["md5", "bz2", "sha1", "sha256", "sha512", "mp2"];

/// What stands before the ending in names of files (`jquery@next.min.js`) and is no top-level domain.
const INNER_ENDINGS: [&str; 10] =
    ["min", "bundle", "chunk", "module", "prod", "global", "esm", "umd", "spec", "tar"];

/// Top-level domains of more than two letters that most addresses have, and those set aside for
/// examples: believed where what follows them makes it doubtful that there is a domain at all.
const FREQUENT: [&str; 24] = [
    "com", "net", "org", "edu", "gov", "mil", "int", "info", "biz", "name", "mobi", "app", "dev",
    "pro", "xyz", "tech", "cloud", "online", "shop", "email", "example", "test", "invalid",
    "local",
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
    let local = text.get(without_escape(text.as_bytes(), start, at)..at)?;
    let kept = local.trim_start_matches(|ch: char| !ch.is_alphanumeric() && ch != '_' && ch != '+');
    let local_is_real = kept.chars().next_back().is_some_and(|ch| ch != '.');
    local_is_real.then_some(at - kept.len())
}

/// Where the local part starts if what it begins with are the digits of an escape: `%22anna@` is a
/// quote and a name, `%2522anna@` the same in a query within a query.
fn without_escape(bytes: &[u8], start: usize, at: usize) -> usize {
    let mut start = start;
    if !bytes.get(..start).is_some_and(|head| head.ends_with(b"%")) {
        return start;
    }
    while let Some(code) = bytes.get(start..at).and_then(<[u8]>::first_chunk::<2>)
        && code.iter().all(u8::is_ascii_hexdigit)
    {
        start += code.len();
        if code != b"25" {
            break;
        }
    }
    start
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
    let domain = without_prose(rest.get(..end)?.trim_end_matches(['.', '-']));
    let (labels, top) = domain.rsplit_once('.')?;
    let first = labels.as_bytes().first().copied()?;
    if first == b'-' || first == b'.' {
        return None;
    }
    let length = if is_top_level(top) { Some(domain.len()) } else { shorter(domain) };
    Some(from + length?)
}

/// `domain` without what other scripts' words write on behind its top-level domain, as Japanese does
/// (`anna@example.comまで`): no such domain has letters of Latin and of another script.
fn without_prose(domain: &str) -> &str {
    if domain.is_ascii() {
        return domain;
    }
    let top = domain.rfind('.').map_or(0, |dot| dot + 1);
    let latin = domain.get(top..).unwrap_or_default();
    let cut = latin.find(|ch: char| ch >= '\u{370}').filter(|&cut| cut > 1).unwrap_or(latin.len());
    domain.get(..top + cut).unwrap_or(domain)
}

/// The length of the domain that `run` begins with where more than a domain stands behind the `@`:
/// `example.com-1`, `example.com2024`, `example.com.1`, `example.com.pdf`. Versions of packages
/// (`1.2.3`) and sizes of images (`2x`) begin none.
fn shorter(run: &str) -> Option<usize> {
    let (head, rest) = run.split_once('.')?;
    if is_version(head, rest) {
        return None;
    }
    let (mut domain, mut in_file) = (run, false);
    while let Some((labels, top)) = domain.rsplit_once('.') {
        let file = is_file_ending(top);
        let bare = match top.find(|ch: char| ch == '-' || ch.is_ascii_digit()) {
            Some(cut) if !is_top_level(top) => top.get(..cut)?,
            _ => top,
        };
        let behind = top.get(bare.len()..)?;
        if !file && is_top_level(bare) && (!in_file || is_likely(bare, behind)) {
            return Some(labels.len() + 1 + bare.len());
        }
        in_file |= file;
        domain = labels;
    }
    None
}

/// `1.2`, `v1.2`, `2x.png`: the first two parts of something that has versions or sizes.
fn is_version(head: &str, rest: &str) -> bool {
    let figures = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let marked = head.strip_prefix(['v', 'V']).or_else(|| head.strip_suffix(['x', 'X']));
    let counted = head.len() < 3 || rest.starts_with(|ch: char| ch.is_ascii_digit());
    marked.is_some_and(figures) || figures(head) && counted
}

/// True if a label before the ending of a file is a top-level domain rather than a part of the
/// file's name: `main.abc123.js` has a hash there, `example.com-1.pdf` a number.
fn is_likely(top: &str, behind: &str) -> bool {
    let one_of = |list: &[&str]| list.iter().any(|one| top.eq_ignore_ascii_case(one));
    let country = || top.len() == 2 && behind.starts_with('-');
    !one_of(&INNER_ENDINGS) && (behind.is_empty() || one_of(&FREQUENT) || country())
}

fn is_file_ending(label: &str) -> bool {
    let endings = FILE_ENDINGS.iter().chain(&SUMS);
    endings.into_iter().any(|ending| label.eq_ignore_ascii_case(ending))
}

fn is_alnum_char(ch: char) -> bool {
    if ch.is_ascii() { is_alnum(ch as u8) } else { ch.is_alphanumeric() }
}

fn is_top_level(top: &str) -> bool {
    let letters = top.chars().all(char::is_alphabetic) && top.chars().nth(1).is_some();
    let punycode = top.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("xn--"));
    (letters || punycode) && !is_file_ending(top)
}
