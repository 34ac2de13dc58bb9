//! One checked pass over a JSON text.
//!
//! Checks UTF-8, the grammar, the spelling of numbers, escapes, the depth and the number of values;
//! finds duplicate keys, NUL and lone surrogates. No recursion: hostile nesting costs an error, not
//! the stack. All buffers are kept for the next text.

use super::keys::{KeyId, Keys};
use super::tape::{
    DIRTY, Document, ESCAPED, FRACTION, KEY_DIRTY, KEY_ESCAPED, Kind, Mended, SHADOWED, Tape, Token,
};
use super::text;

/// Containers within containers that a text may have; contract/http.md names 128.
pub const DEPTH_MAX: usize = 128;
/// Values that a text may have. Real traffic has one for every 22 bytes, so that a body of the
/// default limit (16 MiB) stays far below; a body of nothing but `0,` would need 24 bytes of
/// memory for each 2 of its own.
pub const VALUES_MAX: usize = 2_000_000;

/// Which of several members with the same key counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Duplicates {
    /// The first, as the gateway decides.
    #[default]
    FirstWins,
    /// The last, as Go's and JavaScript's decoders decide.
    LastWins,
}

/// Why a text is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is not JSON in UTF-8.
    #[error("not valid JSON at byte {at}")]
    Invalid {
        /// Offset of the first wrong byte.
        at: usize,
    },
    /// It nests deeper than [`DEPTH_MAX`].
    #[error("nested deeper than {DEPTH_MAX} at byte {at}")]
    TooDeep {
        /// Offset of the container that is one too many.
        at: usize,
    },
    /// It holds more than [`VALUES_MAX`] values or 4 GiB.
    #[error("more than {VALUES_MAX} values")]
    TooMany,
}

/// Makes tapes; keeps its buffers and the interned keys from text to text.
#[derive(Debug, Default)]
pub struct Parser {
    document: Document,
    /// For each key: the object that had it last, and the member's token.
    owner: Vec<(u32, u32)>,
    objects: u32,
    key: String,
    policy: Duplicates,
}

/// What is kept between texts at most; a larger text's buffers are given back.
const KEPT_TOKENS: usize = 65_536;

impl Parser {
    /// A parser where the first of duplicate keys wins.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A parser with the given rule for duplicate keys.
    #[must_use]
    pub fn with_duplicates(policy: Duplicates) -> Self {
        Self { policy, ..Self::default() }
    }

    /// The interned keys.
    #[must_use]
    pub const fn keys(&self) -> &Keys {
        &self.document.keys
    }

    /// Reads `body`, which must be one JSON value with nothing but white space around it.
    ///
    /// # Errors
    /// As [`Error`] says; nothing is left behind that a later call would see.
    pub fn parse<'a>(&'a mut self, body: &'a [u8]) -> Result<Tape<'a>, Error> {
        let text = std::str::from_utf8(body).map_err(|e| Error::Invalid { at: e.valid_up_to() })?;
        if u32::try_from(body.len()).is_err() {
            return Err(Error::TooMany);
        }
        self.begin();
        Walk { text, bytes: body, at: 0, parser: self }.document()?;
        self.document.fixups.sort_unstable();
        self.document.fixups.dedup();
        Ok(Tape { text, document: &self.document })
    }

    fn begin(&mut self) {
        let document = &mut self.document;
        if document.tokens.capacity() > KEPT_TOKENS {
            document.tokens = Vec::new();
            document.fixups = Vec::new();
        }
        document.tokens.clear();
        document.fixups.clear();
        document.mended = Mended::default();
        document.keys.begin_document();
        if self.owner.len() > document.keys.len() {
            self.owner = Vec::new();
        }
    }

    /// Marks the members of the object at `object` whose key another member has too.
    fn shadow_duplicates(&mut self, object: usize) {
        let document = &mut self.document;
        let end = document.tokens.len();
        let mut at = object + 1;
        self.objects = self.objects.wrapping_add(1);
        if self.objects == 0 {
            self.owner.clear();
            self.objects = 1;
        }
        if self.owner.len() < document.keys.len() {
            self.owner.resize(document.keys.len(), (0, 0));
        }
        while at < end {
            let (key, next) = (document.tokens[at].key, document.tokens[at].next as usize);
            let owner = &mut self.owner[key.index()];
            if owner.0 == self.objects {
                let loser = match self.policy {
                    Duplicates::FirstWins => at,
                    Duplicates::LastWins => std::mem::replace(&mut owner.1, as_u32(at)) as usize,
                };
                document.tokens[loser].flags |= SHADOWED;
                document.fixups.push(as_u32(loser));
            } else {
                *owner = (self.objects, as_u32(at));
            }
            at = next;
        }
    }
}

/// Offsets and counts are checked against `u32` before the walk begins.
#[expect(clippy::cast_possible_truncation, reason = "bodies over 4 GiB are refused beforehand")]
const fn as_u32(n: usize) -> u32 {
    n as u32
}

struct Walk<'b, 'p> {
    text: &'b str,
    bytes: &'b [u8],
    at: usize,
    parser: &'p mut Parser,
}

/// The key of the value that comes next, if it has one.
#[derive(Clone, Copy)]
struct Key {
    id: KeyId,
    /// Offset of the key's opening quote.
    start: Option<u32>,
    flags: u8,
}

const NO_KEY: Key = Key { id: KeyId::NONE, start: None, flags: 0 };

impl Walk<'_, '_> {
    fn document(&mut self) -> Result<(), Error> {
        let mut stack = [0_u32; DEPTH_MAX];
        let mut depth = 0;
        let mut in_object = false;
        loop {
            let key = if in_object { self.member_key()? } else { NO_KEY };
            self.skip_space();
            let kind = self.value(key)?;
            if kind.is_container() {
                if depth == DEPTH_MAX {
                    return Err(Error::TooDeep { at: self.at - 1 });
                }
                stack[depth] = as_u32(self.parser.document.tokens.len() - 1);
                depth += 1;
                in_object = kind == Kind::Object;
                self.skip_space();
                if self.peek() != Some(if in_object { b'}' } else { b']' }) {
                    continue;
                }
            }
            // Behind a value: as many containers end here as do, then comes a comma or the end.
            loop {
                self.skip_space();
                let Some(open) = depth.checked_sub(1) else {
                    return if self.at == self.bytes.len() { Ok(()) } else { self.invalid() };
                };
                match (self.peek(), in_object) {
                    (Some(b','), _) => {
                        self.at += 1;
                        self.skip_space();
                        break;
                    }
                    (Some(b'}'), true) | (Some(b']'), false) => {
                        self.at += 1;
                        self.close(stack[open]);
                        depth = open;
                        in_object = depth > 0 && self.is_object(stack[depth - 1]);
                    }
                    _ => return self.invalid(),
                }
            }
        }
    }

    fn is_object(&self, token: u32) -> bool {
        self.parser.document.tokens[token as usize].kind == Kind::Object
    }

    fn close(&mut self, open: u32) {
        let next = as_u32(self.parser.document.tokens.len());
        let token = &mut self.parser.document.tokens[open as usize];
        token.end = as_u32(self.at);
        token.next = next;
        // One member cannot be there twice.
        if token.kind == Kind::Object && next > open + 2 {
            self.parser.shadow_duplicates(open as usize);
        }
    }

    #[inline]
    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    const fn invalid<T>(&self) -> Result<T, Error> {
        Err(Error::Invalid { at: self.at })
    }

    /// Reads `"key" :` and interns the key.
    #[inline]
    fn member_key(&mut self) -> Result<Key, Error> {
        if self.peek() != Some(b'"') {
            return self.invalid();
        }
        let start = self.at;
        let flags = self.string()?;
        let spelled = self.bytes.get(start + 1..self.at - 1).unwrap_or_default();
        let key = match self.parser.document.keys.recent(spelled) {
            // No key at hand holds a backslash.
            Some(id) => Key { id, start: Some(as_u32(start)), flags: 0 },
            None => self.intern(start, flags),
        };
        self.skip_space();
        if self.peek() != Some(b':') {
            return self.invalid();
        }
        self.at += 1;
        Ok(key)
    }

    /// Interns the key that was just passed.
    fn intern(&mut self, start: usize, flags: u8) -> Key {
        let spelled = self.text.get(start + 1..self.at - 1).unwrap_or_default();
        let id = if flags & ESCAPED == 0 {
            self.parser.document.keys.intern(spelled)
        } else {
            self.parser.key.clear();
            text::unescape_into(spelled, &mut self.parser.key);
            self.parser.document.keys.intern_unescaped(&self.parser.key)
        };
        let escaped = if flags & ESCAPED == 0 { 0 } else { KEY_ESCAPED };
        let dirty = if flags & DIRTY == 0 { 0 } else { KEY_DIRTY };
        Key { id, start: Some(as_u32(start)), flags: escaped | dirty }
    }

    /// Reads a scalar, or the opening of a container, and puts its token on the tape.
    #[inline]
    fn value(&mut self, key: Key) -> Result<Kind, Error> {
        let start = self.at;
        let (kind, flags) = match self.peek() {
            Some(b'"') => (Kind::String, self.string()?),
            Some(b'{') => (Kind::Object, self.skip(1)),
            Some(b'[') => (Kind::Array, self.skip(1)),
            Some(b'-' | b'0'..=b'9') => (Kind::Number, self.number()?),
            Some(b't') => (Kind::True, self.literal(b"true")?),
            Some(b'f') => (Kind::False, self.literal(b"false")?),
            Some(b'n') => (Kind::Null, self.literal(b"null")?),
            _ => return self.invalid(),
        };
        let index = self.parser.document.tokens.len();
        if index >= VALUES_MAX {
            return Err(Error::TooMany);
        }
        if flags & DIRTY != 0 || key.flags & KEY_DIRTY != 0 {
            self.parser.document.fixups.push(as_u32(index));
        }
        self.parser.document.tokens.push(Token {
            start: as_u32(start),
            end: as_u32(self.at),
            next: as_u32(index + 1),
            key_start: key.start.unwrap_or_else(|| as_u32(start)),
            key: key.id,
            kind,
            flags: flags | key.flags,
        });
        Ok(kind)
    }

    const fn skip(&mut self, bytes: usize) -> u8 {
        self.at += bytes;
        0
    }

    fn literal(&mut self, word: &[u8]) -> Result<u8, Error> {
        if self.bytes.get(self.at..self.at + word.len()) == Some(word) {
            self.at += word.len();
            return Ok(0);
        }
        self.invalid()
    }

    fn digits(&mut self) -> Result<(), Error> {
        let from = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == from { self.invalid() } else { Ok(()) }
    }

    #[inline]
    fn number(&mut self) -> Result<u8, Error> {
        let mut flags = 0;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            flags = FRACTION;
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            flags = FRACTION;
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(flags)
    }

    /// Passes the string that opens at the cursor; the flags say what is in it.
    #[inline]
    fn string(&mut self) -> Result<u8, Error> {
        self.at += 1;
        self.at += text::plain_run(self.bytes.get(self.at..).unwrap_or_default());
        if self.peek() == Some(b'"') {
            self.at += 1;
            return Ok(0);
        }
        self.rest_of_string()
    }

    /// Passes the rest of a string from its first escape on.
    #[cold]
    fn rest_of_string(&mut self) -> Result<u8, Error> {
        let mut flags = 0;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(flags);
                }
                Some(b'\\') => flags |= ESCAPED | self.escape()?,
                _ => return self.invalid(),
            }
            self.at += text::plain_run(self.bytes.get(self.at..).unwrap_or_default());
        }
    }

    fn escape(&mut self) -> Result<u8, Error> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(0)
            }
            Some(b'u') => {
                let Some(unit) = text::hex4(self.bytes, self.at + 2) else {
                    return self.invalid();
                };
                self.at += 6;
                match unit {
                    0 => {
                        let nuls = &mut self.parser.document.mended.nuls;
                        *nuls = nuls.saturating_add(1);
                        Ok(DIRTY)
                    }
                    0xD800..=0xDBFF if self.low_surrogate_follows() => {
                        self.at += 6;
                        Ok(0)
                    }
                    0xD800..=0xDFFF => {
                        let surrogates = &mut self.parser.document.mended.surrogates;
                        *surrogates = surrogates.saturating_add(1);
                        Ok(DIRTY)
                    }
                    _ => Ok(0),
                }
            }
            _ => self.invalid(),
        }
    }

    fn low_surrogate_follows(&self) -> bool {
        self.bytes.get(self.at..self.at + 2) == Some(b"\\u")
            && matches!(text::hex4(self.bytes, self.at + 2), Some(0xDC00..=0xDFFF))
    }
}
