//! Secrets that their name gives away: `password=...`, `"api_key": "..."`, `Authorization: ...`.

use super::class::{self, is_alnum};

/// Names, without separators and in lower case, whose value is a secret when a name ends with
/// them: `client_secret`, `mmAuthToken`; digits behind them do not count: `password1`.
const ENDINGS: [&str; 34] = [
    "password",
    "passwordconfirm",
    "passwordconfirmation",
    "passwd",
    "passwort",
    "passphrase",
    "passcode",
    "kennwort",
    "motdepasse",
    "wachtwoord",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "secretkey",
    "secretkeybase",
    "privatekey",
    "encryptionkey",
    "encryptkey",
    "signingkey",
    "masterkey",
    "authkey",
    "accountkey",
    "sharedaccesskey",
    "passwordsalt",
    "passwordhash",
    "invitesalt",
    "linksalt",
    "credential",
    "credentials",
    "recoverycode",
    "backupcode",
    "verificationcode",
    "sessionid",
];
/// Names that count only as a whole word of the name, since longer words end with them.
const WORDS: [&str; 6] = ["pwd", "pw", "pass", "senha", "jsessionid", "phpsessid"];
/// The same, of names that have a word of state for a value as often: `auth=sso`, `sig=SIGTERM`.
const WEAK: [&str; 15] = [
    "cookie",
    "auth",
    "authorization",
    "bearer",
    "jwt",
    "csrf",
    "xsrf",
    "otp",
    "totp",
    "pin",
    "cvv",
    "cvc",
    "sid",
    "sig",
    "signature",
];
/// The longest word that is such a value.
const STATE_MAX: usize = 12;
/// Names of methods with a figure, which are such values too.
const METHODS: [&str; 12] = [
    "oauth1", "oauth2", "saml2", "ntlmv2", "md5", "sha1", "sha256", "sha512", "hs256", "rs256",
    "es256", "ed25519",
];
/// Names in other letters than those of ASCII, in lower case.
const FOREIGN: [&str; 9] = [
    "contraseña",
    "hasło",
    "lösenord",
    "пароль",
    "密码",
    "密碼",
    "パスワード",
    "비밀번호",
    "şifre",
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
    spoken: End,
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
        self.bare.of(start, || bare_end(bytes, start, true))
    }

    /// The same behind `: `, which no query has: there `&` is a sign like others.
    fn spoken(&mut self, bytes: &[u8], start: usize) -> usize {
        self.spoken.of(start, || bare_end(bytes, start, false))
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
    let (from, to) = name_before(bytes, sign);
    let name = bytes.get(from..to)?;
    let secrecy = secrecy(name).or_else(|| foreign(text, to))?;
    let header = name.eq_ignore_ascii_case(b"cookie") || name.eq_ignore_ascii_case(b"set-cookie");
    let (start, quote) = value_start(bytes, sign);
    let start = skip_scheme(bytes, start);
    let end = match quote {
        _ if header => ends.line(bytes, start),
        Some(quote) => ends.quoted(bytes, start, quote),
        None if bytes[sign] == b':' && bytes[start - 1] == b' ' => ends.spoken(bytes, start),
        None => ends.bare(bytes, start),
    };
    let value = text.get(start..end)?;
    // RudderStack's sessions are named by the time they began.
    if name.to_ascii_lowercase().ends_with(b"id") && value.bytes().all(|byte| byte.is_ascii_digit())
    {
        return None;
    }
    let assigned = bytes[sign] == b'=' || quote.is_some();
    let stays = secrecy == Secrecy::Weak && is_state(value) || is_own_name(name, value);
    (!stays && is_worth_hiding(value, assigned)).then_some((start, end))
}

/// The content of the element whose `</` is at `at`, in `<password>hunter2</password>`: its span.
pub(super) fn element(text: &str, at: usize) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let tail = bytes.get(at + 2..)?;
    let length = tail.iter().take(NAME_MAX).take_while(|&&byte| is_name_byte(byte)).count();
    let name = tail.get(..length)?;
    let secrecy = secrecy(name)?;
    let head = bytes.get(at.saturating_sub(CONTENT_MAX)..at)?;
    let start = at - head.len() + memchr::memrchr2(b'>', b'<', head)? + 1;
    let value = text.get(start..at)?;
    let stays = secrecy == Secrecy::Weak && is_state(value) || is_own_name(name, value);
    (bytes[start - 1] == b'>' && !stays && is_worth_hiding(value, true)).then_some((start, at))
}

/// How sure a name is to have a secret for its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Secrecy {
    Strong,
    /// A word of state stands there as often.
    Weak,
}

/// True for `enabled`, `sso`, `SIGTERM`, `oauth2`.
fn is_state(value: &str) -> bool {
    value.len() <= STATE_MAX && value.bytes().all(|byte| byte.is_ascii_alphabetic())
        || METHODS.iter().any(|method| value.eq_ignore_ascii_case(method))
}

/// True for `password=password`, and for a shell's `PWD=/opt/app`, which is no secret but a folder.
fn is_own_name(name: &[u8], value: &str) -> bool {
    let folder = name.eq_ignore_ascii_case(b"pwd")
        && (value.starts_with(['/', '~']) || value.get(1..3) == Some(":\\"));
    folder || value.as_bytes().eq_ignore_ascii_case(name)
}

/// The longest name, and the longest content of an element.
const NAME_MAX: usize = 64;
const CONTENT_MAX: usize = 256;

/// Where the name before `sign` starts and ends: letters, digits, `_`, `-` and `.`, perhaps in quotes
/// or with a remark (`Password (again):`). One that ends with `key` may have blanks: `API key:`.
fn name_before(bytes: &[u8], sign: usize) -> (usize, usize) {
    let mut end = sign;
    let signs = |byte: u8| matches!(byte, b' ' | b'"' | b'\'' | b'\\' | b'[' | b']');
    while end > 0 && signs(bytes[end - 1]) && sign - end < 4 {
        end -= 1;
    }
    if end > 0 && bytes[end - 1] == b')' {
        let window = bytes.get(end.saturating_sub(REMARK_MAX)..end).unwrap_or_default();
        let length = memchr::memrchr(b'(', window).map_or(0, |open| window.len() - open);
        end -= length;
        end -= usize::from(length > 0 && end > 0 && bytes[end - 1] == b' ');
    }
    let word = |end: usize| {
        let mut start = end;
        while start > 0 && end - start < NAME_MAX && is_name_byte(bytes[start - 1]) {
            start -= 1;
        }
        start
    };
    let mut start = word(end);
    let last = bytes.get(start..end).unwrap_or_default();
    if last.eq_ignore_ascii_case(b"key") || last.eq_ignore_ascii_case(b"passe") {
        for _ in 0..2 {
            let spaced = start > 1 && bytes[start - 1] == b' ' && is_alnum(bytes[start - 2]);
            if spaced && end - start < NAME_MAX / 2 {
                start = word(start - 1).max(end.saturating_sub(NAME_MAX));
            }
        }
    }
    (start, end)
}

/// The longest remark in parentheses behind a name.
const REMARK_MAX: usize = 16;

const fn is_name_byte(byte: u8) -> bool {
    is_alnum(byte) || matches!(byte, b'_' | b'-' | b'.')
}

fn secrecy(name: &[u8]) -> Option<Secrecy> {
    let (mut joined, mut count, mut word) = ([0_u8; NAME_MAX], 0, 0);
    let mut lower_before = false;
    if name.len() < 2 {
        return None;
    }
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
    let digits = |&&byte: &&u8| byte.is_ascii_digit();
    count -= joined.get(..count)?.iter().rev().take(2).take_while(digits).count();
    let joined = joined.get(..count)?;
    let final_letter = *joined.last()?;
    let last = joined.get(word.min(count)..)?;
    let ends = |ending: &&str| {
        ending.as_bytes().last() == Some(&final_letter) && joined.ends_with(ending.as_bytes())
    };
    let is_last = |known: &&str| last == known.as_bytes();
    if WEAK.iter().any(is_last) || matches!(joined, [.., b'c' | b'x', b's', b'r', b'f']) {
        return Some(Secrecy::Weak);
    }
    (WORDS.iter().any(is_last) || ENDINGS.iter().any(ends)).then_some(Secrecy::Strong)
}

/// A name in letters beyond ASCII that ends before `end`.
fn foreign(text: &str, end: usize) -> Option<Secrecy> {
    let head = text.get(..end)?;
    let tail = head.get(head.ceil_char_boundary(end.saturating_sub(FOREIGN_MAX))..)?;
    if tail.is_ascii() {
        return None;
    }
    let tail = tail.to_lowercase();
    FOREIGN.iter().any(|name| tail.ends_with(name)).then_some(Secrecy::Strong)
}

/// Bytes of the longest name in other letters.
const FOREIGN_MAX: usize = 15;

/// Where the value starts behind the sign, and the quote it stands in.
fn value_start(bytes: &[u8], sign: usize) -> (usize, Option<u8>) {
    let mut at = sign + 1;
    if bytes.get(at) == Some(&b'>') || bytes.get(at) == Some(&b'=') {
        at += 1;
    }
    while matches!(bytes.get(at), Some(b' ' | b'\t')) && at - sign < 5 {
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
    ["bearer ", "basic ", "token ", "digest ", "apikey ", "oauth ", "ssws ", "geniekey ", "splunk "]
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
fn bare_end(bytes: &[u8], start: usize, query: bool) -> (usize, usize) {
    let rest = bytes.get(start..).unwrap_or_default();
    let goes_on = |byte: u8| {
        !byte.is_ascii_whitespace()
            && !matches!(byte, b';' | b',' | b'"' | b'\'' | b'<' | b'>' | b'}' | b'`')
            && (byte != b'&' || !query)
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
