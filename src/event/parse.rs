//! One checked pass over a JSON text.
//!
//! Checks UTF-8, the grammar, the spelling of numbers, escapes, the depth and the number of values;
//! finds duplicate keys, NUL and lone surrogates. No recursion: hostile nesting costs an error, not
//! the stack. All buffers are kept for the next text.

use super::foretold::{Foretold, Last};
use super::keys::{KeyId, Keys, Short};
use super::runs::{self, Specials};
use super::tape::{
    DIRTY, Document, ESCAPED, FRACTION, KEY_DIRTY, KEY_ESCAPED, Kind, Mended, REPEATS, SHADOWED,
    Tape, Token,
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
    /// For each key: the object that had it last. Objects are numbered in the order they open, from
    /// 1 on, and over many texts.
    holders: Vec<u32>,
    objects: u32,
    /// For each key: the last of [`Parser::shadow_duplicates`] that met it, and the member's token.
    owner: Vec<(u32, u32)>,
    searches: u32,
    key: String,
    foretold: Foretold,
    policy: Duplicates,
}

/// From here on objects are numbered anew with the next text, so that no number is over.
#[expect(clippy::cast_possible_truncation, reason = "two million")]
const OBJECTS_MAX: u32 = u32::MAX - VALUES_MAX as u32;

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
        let text = text_of(body)?;
        if u32::try_from(body.len()).is_err() {
            return Err(Error::TooMany);
        }
        self.begin();
        let specials = Specials::new(body);
        Walk { text, bytes: body, specials, last: Last::default(), parser: self }.document()?;
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
        let generation = document.keys.generation();
        document.keys.begin_document();
        if document.keys.generation() != generation {
            self.foretold.clear();
        }
        if self.owner.len() > document.keys.len() {
            self.owner = Vec::new();
        }
        if self.holders.len() > document.keys.len() {
            self.holders = Vec::new();
        }
        if self.objects > OBJECTS_MAX {
            self.holders.clear();
            self.objects = 0;
        }
        self.holders.resize(document.keys.len(), 0);
    }

    /// The container whose token was put on the tape last.
    fn open(&mut self, in_object: bool) -> Open {
        self.objects += u32::from(in_object);
        let object = if in_object { self.objects } else { 0 };
        Open { token: as_u32(self.document.tokens.len() - 1), object }
    }

    /// Notes that the object `open` has the key `id`.
    #[inline]
    fn hold(&mut self, id: KeyId, open: Open) {
        match self.holders.get_mut(id.index()) {
            // Not in this object, nor in one within, which would hide whether it was.
            Some(holder) if *holder < open.object => *holder = open.object,
            _ => self.hold_again(id, open),
        }
    }

    #[cold]
    fn hold_again(&mut self, id: KeyId, open: Open) {
        if self.holders.len() <= id.index() {
            self.holders.resize(self.document.keys.len(), 0);
        }
        let holder = &mut self.holders[id.index()];
        if *holder >= open.object {
            self.document.tokens[open.token as usize].flags |= REPEATS;
        }
        *holder = open.object;
    }

    /// The key that is spelled so at `start`.
    fn other_key(&mut self, spelled: &str, start: usize, flags: u8) -> Key {
        let keys = &mut self.document.keys;
        if let Some(id) =
            Short::of(spelled.as_bytes()).and_then(|short| keys.recent_or_before(short))
        {
            return Key { id, start, flags: 0 };
        }
        let id = if flags & ESCAPED == 0 {
            keys.intern(spelled)
        } else {
            self.key.clear();
            text::unescape_into(spelled, &mut self.key);
            keys.intern_unescaped(&self.key)
        };
        let escaped = if flags & ESCAPED == 0 { 0 } else { KEY_ESCAPED };
        let dirty = if flags & DIRTY == 0 { 0 } else { KEY_DIRTY };
        Key { id, start, flags: escaped | dirty }
    }

    fn close(&mut self, open: Open, end: usize) {
        let next = as_u32(self.document.tokens.len());
        let token = &mut self.document.tokens[open.token as usize];
        token.end = as_u32(end);
        token.next = next;
        if token.flags & REPEATS != 0 {
            token.flags &= !REPEATS;
            self.shadow_duplicates(open.token as usize);
        }
    }

    /// Marks the members of the object at `object` whose key another member has too.
    fn shadow_duplicates(&mut self, object: usize) {
        let document = &mut self.document;
        let end = document.tokens.len();
        let mut at = object + 1;
        self.searches = self.searches.wrapping_add(1);
        if self.searches == 0 {
            self.owner.clear();
            self.searches = 1;
        }
        if self.owner.len() < document.keys.len() {
            self.owner.resize(document.keys.len(), (0, 0));
        }
        while at < end {
            let (key, next) = (document.tokens[at].key, document.tokens[at].next as usize);
            let owner = &mut self.owner[key.index()];
            if owner.0 == self.searches {
                let loser = match self.policy {
                    Duplicates::FirstWins => at,
                    Duplicates::LastWins => std::mem::replace(&mut owner.1, as_u32(at)) as usize,
                };
                document.tokens[loser].flags |= SHADOWED;
                document.fixups.push(as_u32(loser));
            } else {
                *owner = (self.searches, as_u32(at));
            }
            at = next;
        }
    }
}

/// The body as text; only where it is none is it read again for the place.
fn text_of(body: &[u8]) -> Result<&str, Error> {
    simdutf8::basic::from_utf8(body).or_else(|_| {
        std::str::from_utf8(body).map_err(|error| Error::Invalid { at: error.valid_up_to() })
    })
}

/// Offsets and counts are checked against `u32` before the walk begins.
#[expect(clippy::cast_possible_truncation, reason = "bodies over 4 GiB are refused beforehand")]
const fn as_u32(n: usize) -> u32 {
    n as u32
}

struct Walk<'b, 'p> {
    text: &'b str,
    bytes: &'b [u8],
    specials: Specials<'b>,
    /// The keys that were read last.
    last: Last,
    parser: &'p mut Parser,
}

/// A container that has not ended.
#[derive(Clone, Copy, Debug, Default)]
struct Open {
    token: u32,
    /// Its number among the objects, 0 for an array.
    object: u32,
}

/// The key of the value that comes next, if it has one.
#[derive(Clone, Copy)]
struct Key {
    id: KeyId,
    /// Offset of the key's opening quote.
    start: usize,
    flags: u8,
}

const fn invalid<T>(at: usize) -> Result<T, Error> {
    Err(Error::Invalid { at })
}

// Where the walk stands is handed from step to step, so that it stays in a register. A step takes the
// offset it begins at and gives the one behind what it read.
impl Walk<'_, '_> {
    fn document(&mut self) -> Result<(), Error> {
        let mut stack = [Open::default(); DEPTH_MAX];
        let mut depth = 0;
        // The container whose members or elements are read.
        let mut open = Open::default();
        let mut at = 0;
        loop {
            let mut key = Key { id: KeyId::NONE, start: 0, flags: 0 };
            if open.object != 0 {
                (key, at) = self.member_key(at)?;
                self.parser.hold(key.id, open);
            }
            let (byte, start) = self.next(at);
            if open.object == 0 {
                key.start = start;
            }
            // Strings first: they are most of all values.
            if byte == b'"' {
                let special = self.specials.next(start + 1);
                let (end, flags) = self.string(special)?;
                self.put(Kind::String, (start, end), flags, key)?;
                at = end;
            } else if matches!(byte, b'{' | b'[') {
                let in_object = byte == b'{';
                let kind = if in_object { Kind::Object } else { Kind::Array };
                self.put(kind, (start, start + 1), 0, key)?;
                if depth == DEPTH_MAX {
                    return Err(Error::TooDeep { at: start });
                }
                stack[depth] = open;
                depth += 1;
                open = self.parser.open(in_object);
                let (byte, here) = self.next(start + 1);
                at = here;
                if byte != if in_object { b'}' } else { b']' } {
                    continue;
                }
            } else {
                at = self.value(byte, start, key)?;
            }
            // Behind a value: as many containers end here as do, then comes a comma or the end.
            loop {
                let (byte, here) = self.next(at);
                if depth == 0 {
                    return if here == self.bytes.len() { Ok(()) } else { invalid(here) };
                }
                at = here + 1;
                match (byte, open.object != 0) {
                    (b',', _) => break,
                    (b'}', true) | (b']', false) => {
                        self.parser.close(open, at);
                        depth -= 1;
                        open = stack[depth];
                    }
                    _ => return invalid(here),
                }
            }
        }
    }

    /// The first byte from `at` on that is no white space, and where; 0 at the end of the text, and
    /// for a NUL, which nothing that reads on takes either.
    #[inline]
    fn next(&self, at: usize) -> (u8, usize) {
        match self.bytes.get(at) {
            Some(&byte) if byte > b' ' => (byte, at),
            _ => behind_space(self.bytes, at),
        }
    }

    #[inline]
    fn peek(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    /// Reads `"key" :` and interns the key.
    #[inline]
    fn member_key(&mut self, at: usize) -> Result<(Key, usize), Error> {
        if let Some((id, end)) = self.parser.foretold.key(self.last, self.bytes, at) {
            self.last.push(id);
            return Ok((Key { id, start: at, flags: 0 }, end));
        }
        self.unforetold_key(at)
    }

    fn unforetold_key(&mut self, at: usize) -> Result<(Key, usize), Error> {
        let (byte, start) = self.next(at);
        if byte != b'"' {
            return invalid(start);
        }
        let end = self.specials.next(start + 1);
        let (key, end) = match self.short_key(start, end) {
            Some(key) => (key, end + 1),
            None => {
                let (end, flags) = self.string(end)?;
                let spelled = self.text.get(start + 1..end - 1).unwrap_or_default();
                (self.parser.other_key(spelled, start, flags), end)
            }
        };
        let (byte, colon) = self.next(end);
        if byte != b':' {
            return invalid(colon);
        }
        let text = self.bytes.get(start..=colon).unwrap_or_default();
        if key.flags == 0 {
            self.parser.foretold.note(self.last, key.id, text);
        }
        self.last.push(key.id);
        Ok((key, colon + 1))
    }

    /// A key of less than 16 bytes that was met lately, as nearly all are.
    #[inline]
    fn short_key(&self, start: usize, end: usize) -> Option<Key> {
        let block = self.bytes.get(start + 1..)?.first_chunk()?;
        let bytes = end - start - 1;
        if block.get(bytes) != Some(&b'"') {
            return None;
        }
        // No key at hand holds a backslash.
        let id = self.parser.document.keys.recent(Short::of_block(block, bytes))?;
        Some(Key { id, start, flags: 0 })
    }

    /// Reads a number or a literal, whose first byte is `byte`, and puts its token on the tape.
    #[inline]
    fn value(&mut self, byte: u8, start: usize, key: Key) -> Result<usize, Error> {
        let (kind, (end, flags)) = match byte {
            b'-' | b'0'..=b'9' => (Kind::Number, self.number(start)?),
            b't' => (Kind::True, self.literal(start, b"true")?),
            b'f' => (Kind::False, self.literal(start, b"false")?),
            b'n' => (Kind::Null, self.literal(start, b"null")?),
            _ => return invalid(start),
        };
        self.put(kind, (start, end), flags, key)?;
        Ok(end)
    }

    /// Puts a token on the tape.
    #[inline]
    fn put(
        &mut self,
        kind: Kind,
        (start, end): (usize, usize),
        flags: u8,
        key: Key,
    ) -> Result<(), Error> {
        let flags = flags | key.flags;
        let document = &mut self.parser.document;
        let index = document.tokens.len();
        if index >= VALUES_MAX {
            return Err(Error::TooMany);
        }
        if flags & (DIRTY | KEY_DIRTY) != 0 {
            document.fixups.push(as_u32(index));
        }
        document.tokens.push(Token {
            start: as_u32(start),
            end: as_u32(end),
            next: as_u32(index + 1),
            key_start: as_u32(key.start),
            key: key.id,
            kind,
            flags,
        });
        Ok(())
    }

    fn literal(&self, start: usize, word: &[u8]) -> Result<(usize, u8), Error> {
        let end = start + word.len();
        if self.bytes.get(start..end) == Some(word) { Ok((end, 0)) } else { invalid(start) }
    }

    #[inline]
    fn digits(&self, from: usize) -> Result<usize, Error> {
        let digits = runs::digit_run(self.bytes.get(from..).unwrap_or_default());
        if digits == 0 { invalid(from) } else { Ok(from + digits) }
    }

    #[inline]
    fn number(&self, start: usize) -> Result<(usize, u8), Error> {
        let mut flags = 0;
        let mut at = start + usize::from(self.peek(start) == Some(b'-'));
        at = if self.peek(at) == Some(b'0') { at + 1 } else { self.digits(at)? };
        if self.peek(at) == Some(b'.') {
            flags = FRACTION;
            at = self.digits(at + 1)?;
        }
        if let Some(b'e' | b'E') = self.peek(at) {
            flags = FRACTION;
            let signed = matches!(self.peek(at + 1), Some(b'+' | b'-'));
            at = self.digits(at + 1 + usize::from(signed))?;
        }
        Ok((at, flags))
    }

    /// Passes a string from its first quote, backslash or control character on; the flags say what is
    /// in it.
    #[inline]
    fn string(&mut self, special: usize) -> Result<(usize, u8), Error> {
        match self.peek(special) {
            Some(b'"') => Ok((special + 1, 0)),
            _ => rest_of_string(self.bytes, special, &mut self.parser.document.mended),
        }
    }
}

fn behind_space(bytes: &[u8], mut at: usize) -> (u8, usize) {
    while let Some(&byte) = bytes.get(at) {
        if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            return (byte, at);
        }
        at += 1;
    }
    (0, at)
}

/// Passes the rest of a string from its first escape on.
#[cold]
fn rest_of_string(bytes: &[u8], mut at: usize, mended: &mut Mended) -> Result<(usize, u8), Error> {
    let mut flags = 0;
    loop {
        match bytes.get(at) {
            Some(b'"') => return Ok((at + 1, flags)),
            Some(b'\\') => {
                let (end, found) = escape(bytes, at, mended)?;
                flags |= ESCAPED | found;
                at = end + runs::plain_run(bytes.get(end..).unwrap_or_default());
            }
            _ => return invalid(at),
        }
    }
}

fn escape(bytes: &[u8], at: usize, mended: &mut Mended) -> Result<(usize, u8), Error> {
    match bytes.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok((at + 2, 0)),
        Some(b'u') => {
            let Some(unit) = text::hex4(bytes, at + 2) else {
                return invalid(at);
            };
            let end = at + 6;
            match unit {
                0 => {
                    mended.nuls = mended.nuls.saturating_add(1);
                    Ok((end, DIRTY))
                }
                0xD800..=0xDBFF if low_surrogate_at(bytes, end) => Ok((end + 6, 0)),
                0xD800..=0xDFFF => {
                    mended.surrogates = mended.surrogates.saturating_add(1);
                    Ok((end, DIRTY))
                }
                _ => Ok((end, 0)),
            }
        }
        _ => invalid(at),
    }
}

fn low_surrogate_at(bytes: &[u8], at: usize) -> bool {
    bytes.get(at..at + 2) == Some(b"\\u")
        && matches!(text::hex4(bytes, at + 2), Some(0xDC00..=0xDFFF))
}
