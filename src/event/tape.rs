//! A JSON text as a flat tape of tokens beside its bytes.
//!
//! One token for each value, in the order of the text, with where it stands, its key and where its
//! subtree ends. Nothing is copied: a string stays as it was spelled until someone asks for its
//! text, a number stays as it was spelled for good. Made by [`super::Parser`].

use std::borrow::Cow;

use super::keys::{KeyId, Keys};
use super::text;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `false`
    False,
    /// `true`
    True,
    /// A number in JSON's grammar, of any size.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

impl Kind {
    /// True for arrays and objects.
    #[must_use]
    pub const fn is_container(self) -> bool {
        matches!(self, Self::Array | Self::Object)
    }
}

/// The string is spelled with a backslash somewhere.
pub(super) const ESCAPED: u8 = 1;
/// Characters of strings and keys that are not written as they were spelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mended {
    /// Lone surrogates, each of which becomes U+FFFD.
    pub surrogates: u32,
    /// `\u0000`, left out.
    pub nuls: u32,
}

/// The string holds `\u0000` or a lone surrogate, which are replaced in all that we write.
pub(super) const DIRTY: u8 = 2;
/// The number has a fraction or an exponent.
pub(super) const FRACTION: u8 = 4;
/// Another member of the same object has this key and wins.
pub(super) const SHADOWED: u8 = 8;
/// The key is spelled with a backslash.
pub(super) const KEY_ESCAPED: u8 = 16;
/// The key holds `\u0000` or a lone surrogate.
pub(super) const KEY_DIRTY: u8 = 32;
/// The object that is being read may have two members of one key; on no tape that is done.
pub(super) const REPEATS: u8 = 64;

/// One value of the text.
#[derive(Clone, Copy, Debug)]
pub struct Token {
    /// Offset of the value's first byte.
    pub start: u32,
    /// Offset behind the value's last byte.
    pub end: u32,
    /// Index of the first token behind this value and all it holds.
    pub next: u32,
    /// Offset of the key's opening quote; `start` where there is no key.
    pub key_start: u32,
    /// The key, or [`KeyId::NONE`].
    pub key: KeyId,
    /// What the value is.
    pub kind: Kind,
    pub(super) flags: u8,
}

impl Token {
    /// True if its text between the quotes, where it is a string, is spelled without any escape.
    #[must_use]
    pub const fn is_plain(&self) -> bool {
        self.flags & ESCAPED == 0
    }
}

/// What a parser makes of a text.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) keys: Keys,
    pub(super) tokens: Vec<Token>,
    pub(super) fixups: Vec<u32>,
    pub(super) mended: Mended,
}

/// The tokens, the text they point into and the keys: all one needs to read a document. Three
/// words, so that it is cheap to hand around.
#[derive(Clone, Copy)]
pub struct Tape<'a> {
    pub(super) text: &'a str,
    pub(super) document: &'a Document,
}

impl std::fmt::Debug for Tape<'_> {
    /// Shows sizes only: the text may hold personal data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tape")
            .field("bytes", &self.text.len())
            .field("tokens", &self.document.tokens.len())
            .finish_non_exhaustive()
    }
}

impl<'a> Tape<'a> {
    /// The whole text.
    #[must_use]
    pub const fn text(self) -> &'a str {
        self.text
    }

    /// All tokens; the first is the root.
    #[must_use]
    pub const fn tokens(self) -> &'a [Token] {
        self.document.tokens.as_slice()
    }

    /// The interned keys.
    #[must_use]
    pub const fn keys(self) -> &'a Keys {
        &self.document.keys
    }

    /// Tokens, ascending, whose value or key must not be copied as spelled: shadowed members and
    /// strings or keys with a NUL or a lone surrogate. [`super::Edits::begin`] takes them over.
    #[must_use]
    pub const fn fixups(self) -> &'a [u32] {
        self.document.fixups.as_slice()
    }

    /// Characters that the text spells and that nothing written holds.
    #[must_use]
    pub const fn mended(self) -> Mended {
        self.document.mended
    }

    /// The value at the top.
    #[must_use]
    pub const fn root(self) -> Node<'a> {
        Node { tape: self, index: 0 }
    }

    /// The value of token `index`, which must be below `tokens().len()`.
    #[must_use]
    pub const fn node(self, index: u32) -> Node<'a> {
        Node { tape: self, index }
    }
}

/// One value of a tape. Copy freely.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    tape: Tape<'a>,
    index: u32,
}

impl std::fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} of {} bytes", self.kind(), self.raw().len())
    }
}

impl<'a> Node<'a> {
    /// The index of the value's token.
    #[must_use]
    pub const fn index(self) -> u32 {
        self.index
    }

    /// The tape it is on.
    #[must_use]
    pub const fn tape(self) -> Tape<'a> {
        self.tape
    }

    /// The value's token.
    #[must_use]
    pub const fn token(self) -> &'a Token {
        &self.tape.document.tokens.as_slice()[self.index as usize]
    }

    /// What the value is.
    #[must_use]
    pub const fn kind(self) -> Kind {
        self.token().kind
    }

    /// The id of its key.
    #[must_use]
    pub const fn key_id(self) -> KeyId {
        self.token().key
    }

    /// Its key, unescaped; empty for elements and the root.
    #[must_use]
    pub fn key(self) -> &'a str {
        self.tape.document.keys.text(self.token().key)
    }

    /// The value as it is spelled, quotes and all.
    #[must_use]
    pub fn raw(self) -> &'a str {
        let token = self.token();
        self.tape.text.get(token.start as usize..token.end as usize).unwrap_or_default()
    }

    /// True if the raw spelling may be copied as it is: no shadowed member, NUL or lone surrogate
    /// in the value or in anything it holds.
    #[must_use]
    pub fn is_clean(self) -> bool {
        let fixups = self.tape.fixups();
        if fixups.is_empty() {
            return true;
        }
        let token = self.token();
        if !token.kind.is_container() {
            return token.flags & DIRTY == 0;
        }
        let from = fixups.partition_point(|&at| at <= self.index);
        fixups.get(from).is_none_or(|&at| at >= token.next)
    }

    /// A string's text between the quotes as it is spelled, or `None` for other values.
    #[must_use]
    #[inline]
    pub fn spelled(self) -> Option<&'a str> {
        let token = self.token();
        if token.kind != Kind::String {
            return None;
        }
        self.tape.text.get(token.start as usize + 1..token.end as usize - 1)
    }

    /// A string's text, unescaped, without NUL and with U+FFFD for lone surrogates; `None` for
    /// other values. Borrowed unless there is an escape.
    #[must_use]
    #[inline]
    pub fn text(self) -> Option<Cow<'a, str>> {
        let spelled = self.spelled()?;
        let plain = self.token().is_plain();
        Some(if plain { Cow::Borrowed(spelled) } else { Cow::Owned(unescaped(spelled)) })
    }

    /// True for a string without any escape: [`Node::spelled`] is its text.
    #[must_use]
    pub const fn is_plain_string(self) -> bool {
        matches!(self.kind(), Kind::String) && self.token().is_plain()
    }

    /// True for a number with a fraction or an exponent.
    #[must_use]
    pub const fn has_fraction(self) -> bool {
        self.token().flags & FRACTION != 0
    }

    /// True when another member of the same object took this key.
    #[must_use]
    pub const fn is_shadowed(self) -> bool {
        self.token().flags & SHADOWED != 0
    }

    /// The values directly inside, without shadowed members; none for scalars.
    #[must_use]
    pub const fn children(self) -> Children<'a> {
        let token = self.token();
        let end = if token.kind.is_container() { token.next } else { self.index + 1 };
        Children { tape: self.tape, at: self.index + 1, end }
    }

    /// The member with the key `id`.
    #[must_use]
    pub fn member(self, id: KeyId) -> Option<Self> {
        if self.kind() != Kind::Object {
            return None;
        }
        self.children().find(|child| child.key_id() == id)
    }

    /// The member with the key `key`.
    #[must_use]
    pub fn get(self, key: &str) -> Option<Self> {
        self.member(self.tape.document.keys.find(key)?)
    }

    /// Appends the value as compact, clean JSON: no white space, first of duplicate keys, strings
    /// with the shortest escapes, numbers as they were spelled.
    pub fn write_compact(self, out: &mut Vec<u8>) {
        match self.kind() {
            Kind::Object => {
                out.push(b'{');
                for (n, child) in self.children().enumerate() {
                    if n > 0 {
                        out.push(b',');
                    }
                    text::write_string(child.key(), out);
                    out.push(b':');
                    child.write_compact(out);
                }
                out.push(b'}');
            }
            Kind::Array => {
                out.push(b'[');
                for (n, child) in self.children().enumerate() {
                    if n > 0 {
                        out.push(b',');
                    }
                    child.write_compact(out);
                }
                out.push(b']');
            }
            Kind::String if !self.is_plain_string() => {
                text::write_string(&self.text().unwrap_or_default(), out);
            }
            _ => out.extend_from_slice(self.raw().as_bytes()),
        }
    }
}

#[cold]
fn unescaped(spelled: &str) -> String {
    let mut out = String::with_capacity(spelled.len());
    text::unescape_into(spelled, &mut out);
    out
}

/// The values directly inside a container.
#[derive(Clone, Debug)]
pub struct Children<'a> {
    tape: Tape<'a>,
    at: u32,
    end: u32,
}

impl<'a> Iterator for Children<'a> {
    type Item = Node<'a>;

    #[inline]
    fn next(&mut self) -> Option<Node<'a>> {
        while self.at < self.end {
            let node = Node { tape: self.tape, index: self.at };
            self.at = node.token().next;
            if !node.is_shadowed() {
                return Some(node);
            }
        }
        None
    }
}
