//! Secrets that their name gives away: `password=...`, `"api_key": "..."`, `Authorization: ...`.

use super::class::{self, is_alnum};

/// Names, without separators and in lower case, whose value is a secret when a name ends with
/// them: `client_secret`, `mmAuthToken`.
const ENDINGS: [&str; 17] = [
    "password",
    "passwd",
    "passwort",
    "passphrase",
    "passcode",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "secretkey",
    "privatekey",
    "authkey",
    "accountkey",
    "sharedaccesskey",
    "credential",
    "credentials",
    "sessionid",
];
/// Names that count only as a whole word of the name, since longer words end with them.
const WORDS: [&str; 16] = [
    "pwd",
    "pass",
    "auth",
    "authorization",
    "csrf",
    "xsrf",
    "otp",
    "pin",
    "cvv",
    "cvc",
    "sid",
    "sig",
    "signature",
    "cookie",
    "jsessionid",
    "phpsessid",
];
/// What stands in a secret's place when there is none to hide.
const HARMLESS: [&str; 26] = [
    "null",
    "nil",
    "none",
    "true",
    "false",
    "undefined",
    "empty",
    "required",
    "invalid",
    "missing",
    "expired",
    "incorrect",
    "wrong",
    "failed",
    "yes",
    "no",
    "ok",
    "set",
    "unset",
    "string",
    "the",
    "reset",
    "changed",
    "redacted",
    "hidden",
    "error",
];

/// Where values end. Remembered from sign to sign of one text, since up to the next end all starts
/// have the same one: a text that is all names and signs would else be looked through for each.
#[derive(Default)]
pub(super) struct Ends {
    bare: End,
    line: End,
    quoted: [End; 3],
}

/// A stretch without an end in it: where it was looked through from, where it stops, and where a
/// value in it ends.
#[derive(Clone, Copy, Default)]
struct End {
    from: usize,
    stop: usize,
    end: usize,
}

impl End {
    /// Where a value that starts at `start` ends; `look` tells stop and end if they are not known.
    fn of(&mut self, start: usize, look: impl FnOnce() -> (usize, usize)) -> usize {
        if !(self.from..self.stop).contains(&start) {
            let (stop, end) = look();
            *self = Self { from: start, stop, end };
        }
        self.end.max(start)
    }
}

impl Ends {
    fn bare(&mut self, bytes: &[u8], start: usize) -> usize {
        self.bare.of(start, || bare_end(bytes, start))
    }

    fn line(&mut self, bytes: &[u8], start: usize) -> usize {
        self.line.of(start, || line_end(bytes, start))
    }

    fn quoted(&mut self, bytes: &[u8], start: usize, quote: u8) -> usize {
        let at = match quote {
            b'"' => 0,
            b'\'' => 1,
            _ => 2,
        };
        self.quoted[at].of(start, || quoted_end(bytes, start, quote))
    }
}

/// The value of a secret whose name ends before the `=` or `:` at `sign`: its span.
pub(super) fn behind(text: &str, sign: usize, ends: &mut Ends) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    // `auth::basic` is a path of code.
    if bytes[sign] == b':'
        && (bytes.get(sign + 1) == Some(&b':') || text.get(..sign)?.ends_with(':'))
    {
        return None;
    }
    let name = name_before(bytes, sign)?;
    if !is_secret_name(name) {
        return None;
    }
    let header = name.eq_ignore_ascii_case(b"cookie") || name.eq_ignore_ascii_case(b"set-cookie");
    let (start, quote) = value_start(bytes, sign);
    let start = skip_scheme(bytes, start);
    let end = match quote {
        _ if header => ends.line(bytes, start),
        Some(quote) => ends.quoted(bytes, start, quote),
        None => ends.bare(bytes, start),
    };
    let value = text.get(start..end)?;
    // RudderStack's sessions are named by the time they began.
    if name.to_ascii_lowercase().ends_with(b"id") && value.bytes().all(|byte| byte.is_ascii_digit())
    {
        return None;
    }
    let assigned = bytes[sign] == b'=' || quote.is_some();
    is_worth_hiding(value, assigned).then_some((start, end))
}

/// The name that ends before `sign`: letters, digits, `_`, `-` and `.`, perhaps in quotes.
fn name_before(bytes: &[u8], sign: usize) -> Option<&[u8]> {
    let mut end = sign;
    while end > 0 && matches!(bytes[end - 1], b' ' | b'"' | b'\'' | b'\\' | b']') && sign - end < 4
    {
        end -= 1;
    }
    let mut start = end;
    while start > 0 && end - start < 64 && is_name_byte(bytes[start - 1]) {
        start -= 1;
    }
    (end - start >= 3).then(|| bytes.get(start..end)).flatten()
}

const fn is_name_byte(byte: u8) -> bool {
    is_alnum(byte) || matches!(byte, b'_' | b'-' | b'.')
}

fn is_secret_name(name: &[u8]) -> bool {
    let (mut joined, mut count, mut word) = ([0_u8; 64], 0, 0);
    let mut lower_before = false;
    for &byte in name {
        if !is_alnum(byte) {
            word = count;
            continue;
        }
        if lower_before && byte.is_ascii_uppercase() {
            word = count;
        }
        lower_before = byte.is_ascii_lowercase() || byte.is_ascii_digit();
        joined[count] = byte.to_ascii_lowercase();
        count += 1;
    }
    let joined = joined.get(..count).unwrap_or_default();
    let last = joined.get(word..).unwrap_or_default();
    ENDINGS.iter().any(|ending| joined.ends_with(ending.as_bytes()))
        || WORDS.iter().any(|known| last == known.as_bytes())
}

/// Where the value starts behind the sign, and the quote it stands in.
fn value_start(bytes: &[u8], sign: usize) -> (usize, Option<u8>) {
    let mut at = sign + 1;
    if bytes.get(at) == Some(&b'>') || bytes.get(at) == Some(&b'=') {
        at += 1;
    }
    while bytes.get(at) == Some(&b' ') && at - sign < 5 {
        at += 1;
    }
    let mut quoted = at;
    while bytes.get(quoted) == Some(&b'\\') {
        quoted += 1;
    }
    match bytes.get(quoted) {
        Some(&quote @ (b'"' | b'\'' | b'`')) => (quoted + 1, Some(quote)),
        _ => (at, None),
    }
}

/// Passes over `Bearer ` and its like, so that the token itself is the value.
fn skip_scheme(bytes: &[u8], start: usize) -> usize {
    let rest = bytes.get(start..).unwrap_or_default();
    ["bearer ", "basic ", "token ", "digest ", "apikey "]
        .iter()
        .find(|scheme| {
            rest.get(..scheme.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(scheme.as_bytes()))
        })
        .map_or(start, |scheme| start + scheme.len())
}

/// Where the quote closes, and where the value ends, backslashes before the quote left out.
fn quoted_end(bytes: &[u8], start: usize, quote: u8) -> (usize, usize) {
    let rest = bytes.get(start..).unwrap_or_default();
    let length = memchr::memchr2(quote, b'\n', rest).unwrap_or(rest.len());
    class::looked_at(length);
    let stop = start + length;
    let mut end = stop;
    while end > start && bytes[end - 1] == b'\\' {
        end -= 1;
    }
    (stop, end)
}

/// Where a value without quotes stops, and where it ends without the marks of the sentence.
fn bare_end(bytes: &[u8], start: usize) -> (usize, usize) {
    let rest = bytes.get(start..).unwrap_or_default();
    let goes_on = |byte: u8| {
        !byte.is_ascii_whitespace()
            && !matches!(byte, b'&' | b';' | b',' | b'"' | b'\'' | b'<' | b'>' | b'}' | b'`')
    };
    let stop = start + class::leading(rest, goes_on);
    let mut end = stop;
    loop {
        let trimmed = match bytes.get(start..end).unwrap_or_default() {
            [rest @ .., b'.' | b')' | b']' | b'\\' | b'|'] => rest,
            // Quotation marks and the ellipsis of typesetting.
            [rest @ .., 0xE2, 0x80, 0x98..=0x9F | 0xA6] | [rest @ .., 0xC2, 0xAB | 0xBB] => rest,
            _ => return (stop, end),
        };
        end = start + trimmed.len();
    }
}

fn line_end(bytes: &[u8], start: usize) -> (usize, usize) {
    let rest = bytes.get(start..).unwrap_or_default();
    let length = memchr::memchr2(b'\n', b'"', rest).unwrap_or(rest.len());
    class::looked_at(length);
    (start + length, start + length)
}

/// A value assigned or quoted is hidden unless it is a mere word of state; one behind a colon in
/// prose (`token: expired yesterday`) only if it looks like no word.
fn is_worth_hiding(value: &str, assigned: bool) -> bool {
    // `[secret]`, `<your key>`, `${TOKEN}`, and what is cut off behind `[` or `{`.
    let named = |byte: u8| byte.is_ascii_alphabetic() || b" _-.$<>[](){}".contains(&byte);
    let marked = value.starts_with(['[', '<', '{', '(', '$'])
        && value.len() < 32
        && value.bytes().all(named)
        || value.starts_with("%5B") && value.ends_with("%5D");
    let masked =
        !value.is_empty() && value.bytes().all(|byte| matches!(byte, b'*' | b'.' | b'x' | b'X'));
    if value.is_empty() || marked || masked {
        return false;
    }
    if HARMLESS.iter().any(|word| value.eq_ignore_ascii_case(word)) {
        return false;
    }
    let telling = |byte: u8| byte.is_ascii_digit() || b"!#$%^*@_".contains(&byte);
    let unlike_a_word = || value.len() >= 20 || value.bytes().any(telling);
    value.len() >= 3 && (assigned || value.len() >= 4 && unlike_a_word())
}
