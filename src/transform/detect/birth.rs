//! Dates of birth: a date with a word before it that says so.

use super::class::is_alnum;

/// Words, in lower case, that announce a date of birth; some languages' beginnings of them too.
const CONTEXT: [&str; 14] = [
    "born",
    "birth",
    "birthday",
    "birthdate",
    "dob",
    "bday",
    "dateofbirth",
    "birthdt",
    "naissance",
    "geboren",
    "geburtsdatum",
    "nacimiento",
    "nacido",
    "nascita",
];
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
/// How far behind the word the date may start, in bytes.
const REACH: usize = 24;

/// True if the `le` behind `head` is that of `née le`, French for `born on`.
pub(super) fn announces_in_french(head: &str) -> bool {
    ["né ", "née ", "Né ", "Née ", "NÉ ", "NÉE "].iter().any(|word| head.ends_with(word))
}

/// True if the word is one that announces a date of birth.
pub(super) fn announces(word: &[u8]) -> bool {
    let first = word.first().map(u8::to_ascii_lowercase);
    matches!(first, Some(b'b' | b'd' | b'n' | b'g'))
        && CONTEXT.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
}

/// The first date that starts within reach behind `from`: its span.
pub(super) fn date_behind(text: &str, from: usize) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let mut at = from;
    while at < bytes.len() && at - from <= REACH {
        if !is_alnum(bytes[at]) {
            if matches!(bytes[at], b'!' | b'?') {
                return None;
            }
            at += 1;
            continue;
        }
        if let Some(end) = numeric(bytes, at).or_else(|| spelled(bytes, at)) {
            return Some((at, end));
        }
        while bytes.get(at).is_some_and(|&byte| is_alnum(byte)) {
            at += 1;
        }
    }
    None
}

/// Reads at most four digits: the number, how many, and where they end.
fn digits(bytes: &[u8], at: usize) -> Option<(u32, usize, usize)> {
    let rest = bytes.get(at..)?;
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=4).contains(&count) {
        return None;
    }
    let number = rest.iter().take(count).fold(0, |all, byte| all * 10 + u32::from(byte - b'0'));
    Some((number, count, at + count))
}

/// Year, month and day in figures, in any order in use, with one separator.
fn numeric(bytes: &[u8], at: usize) -> Option<usize> {
    let (a, a_len, end) = digits(bytes, at)?;
    let gap = *bytes.get(end)?;
    if !matches!(gap, b'-' | b'/' | b'.') {
        return None;
    }
    let (b, b_len, end) = digits(bytes, end + 1)?;
    if bytes.get(end) != Some(&gap) {
        return None;
    }
    let (c, c_len, end) = digits(bytes, end + 1)?;
    let day_and_month =
        |x: u32, y: u32| (1..=31).contains(&x) && (1..=31).contains(&y) && (x <= 12 || y <= 12);
    let year = |number: u32, len: usize| len == 2 || len == 4 && (1850..=2100).contains(&number);
    let valid = if a_len == 4 {
        year(a, 4) && b_len <= 2 && c_len <= 2 && day_and_month(b, c)
    } else {
        a_len <= 2 && b_len <= 2 && year(c, c_len) && day_and_month(a, b)
    };
    let ended = bytes.get(end).is_none_or(|&byte| !is_alnum(byte) || byte == b'T');
    (valid && ended).then_some(end)
}

/// `12 March 1980`, `March 12th, 1980`.
fn spelled(bytes: &[u8], at: usize) -> Option<usize> {
    let (day_first, after) = match digits(bytes, at) {
        Some((day, _, end)) if (1..=31).contains(&day) => {
            (true, blanks(bytes, ordinal(bytes, end)))
        }
        Some(_) => return None,
        None => (false, at),
    };
    let month = bytes.get(after..)?.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let name = bytes.get(after..after + month)?;
    if month < 3
        || !MONTHS
            .iter()
            .any(|m| name.get(..3).is_some_and(|n| n.eq_ignore_ascii_case(m.as_bytes())))
    {
        return None;
    }
    let mut next = blanks(bytes, after + month);
    if !day_first {
        let (day, _, end) = digits(bytes, next)?;
        if !(1..=31).contains(&day) {
            return None;
        }
        next = blanks(bytes, ordinal(bytes, end));
    }
    let (year, len, end) = digits(bytes, next)?;
    (len == 4 && (1850..=2100).contains(&year)).then_some(end)
}

fn ordinal(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at..at + 2) {
        Some(b"st" | b"nd" | b"rd" | b"th") => at + 2,
        _ => at,
    }
}

fn blanks(bytes: &[u8], at: usize) -> usize {
    let gap = |byte: &&u8| matches!(byte, b' ' | b',' | b'.' | b'-');
    at + bytes.get(at..).unwrap_or_default().iter().take(3).take_while(gap).count()
}
