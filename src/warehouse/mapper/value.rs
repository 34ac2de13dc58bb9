//! Values of one event, classified once however many rows they go to.

use crate::event::{Kind, Node, Tape, Token};
use crate::warehouse::number::{self, Number};
use crate::warehouse::{Cell, Scalar, datetime};

/// Where a value's text stands: in the event or among what was made from it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    start: u32,
    end: u32,
    made: bool,
}

impl Span {
    /// No text at all.
    pub(super) const NOWHERE: Self = Self { start: 0, end: 0, made: false };

    /// Bytes of the text.
    pub(super) const fn len(self) -> u32 {
        self.end - self.start
    }
}

/// A value by its own type; text is found by its span.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Own {
    Bool(bool),
    Int(i64),
    Float(f64),
    Datetime(i64),
    Text,
    /// JSON text that the source asked for.
    Json,
}

impl Own {
    /// What a column of the value's own type holds; 0 for text.
    #[inline]
    pub(super) const fn bits(self) -> i64 {
        match self {
            Self::Bool(value) => value as i64,
            Self::Int(value) | Self::Datetime(value) => value,
            Self::Float(value) => value.to_bits().cast_signed(),
            Self::Text | Self::Json => 0,
        }
    }
}

/// A value of one event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value {
    pub(super) own: Own,
    pub(super) text: Span,
    /// The token it came from, `u32::MAX` where the gateway made it.
    pub(super) token: u32,
}

/// The token of a value that the gateway made.
pub(super) const NO_TOKEN: u32 = u32::MAX;

/// Texts made from an event; kept from event to event.
#[derive(Debug, Default)]
pub(super) struct Made {
    text: String,
    bytes: Vec<u8>,
}

/// Room that is kept between events.
const KEPT_BYTES: usize = 1 << 20;

impl Made {
    pub(super) fn begin_event(&mut self) {
        if self.text.capacity() > KEPT_BYTES || self.bytes.capacity() > KEPT_BYTES {
            *self = Self::default();
        }
        self.text.clear();
    }

    /// Keeps what `write` appends.
    pub(super) fn keep(&mut self, write: impl FnOnce(&mut String)) -> Span {
        let start = as_u32(self.text.len());
        write(&mut self.text);
        Span { start, end: as_u32(self.text.len()), made: true }
    }

    /// Where the JSON text of `node` stands, compact and clean.
    pub(super) fn json(&mut self, node: Node<'_>) -> Span {
        let spaced = || node.raw().bytes().any(|byte| byte.is_ascii_whitespace());
        if node.is_clean() && !(node.kind().is_container() && spaced()) {
            let token = node.token();
            return Span { start: token.start, end: token.end, made: false };
        }
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        node.write_compact(&mut bytes);
        let span = self.keep(|text| text.push_str(std::str::from_utf8(&bytes).unwrap_or_default()));
        self.bytes = bytes;
        span
    }

    /// Where the text of a string stands, or the JSON text of anything else.
    pub(super) fn text(&mut self, node: Node<'_>) -> Span {
        if node.kind() != Kind::String {
            return self.json(node);
        }
        if node.is_plain_string() {
            let token = node.token();
            return Span { start: token.start + 1, end: token.end - 1, made: false };
        }
        let spelled = node.spelled().unwrap_or_default();
        self.keep(|text| crate::event::text::unescape_into(spelled, text))
    }

    /// The text at `span`; `event` is the text the event was parsed from.
    #[inline]
    pub(super) fn get<'t>(&'t self, span: Span, event: &'t str) -> &'t str {
        let whole = if span.made { self.text.as_str() } else { event };
        whole.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    /// The value of a leaf by its own type.
    #[inline]
    pub(super) fn leaf(&mut self, tape: &Tape<'_>, index: u32, token: &Token) -> Value {
        let plain = Span { start: token.start, end: token.end, made: false };
        let spelled = |span: Span| {
            tape.text().get(span.start as usize..span.end as usize).unwrap_or_default()
        };
        let (own, text) = match token.kind {
            Kind::True => (Own::Bool(true), plain),
            Kind::False => (Own::Bool(false), plain),
            Kind::Number => match number::classify(spelled(plain)) {
                Number::Int(value) => (Own::Int(value), plain),
                Number::Float(value) => (Own::Float(value), plain),
                Number::Text => (Own::Text, plain),
            },
            Kind::String if tape.node(index).is_plain_string() => {
                let inside = Span { start: token.start + 1, end: token.end - 1, made: false };
                let moment = datetime::exact(spelled(inside));
                (moment.map_or(Own::Text, Own::Datetime), inside)
            }
            Kind::String => {
                let text = self.text(tape.node(index));
                let moment = datetime::exact(self.get(text, tape.text()));
                (moment.map_or(Own::Text, Own::Datetime), text)
            }
            _ => (Own::Text, self.json(tape.node(index))),
        };
        Value { own, text, token: index }
    }

    /// The cell of a value.
    #[inline]
    pub(super) fn cell<'t>(&'t self, value: &Value, event: &'t str) -> Cell<'t> {
        let text = self.get(value.text, event);
        let own = match value.own {
            Own::Bool(value) => Scalar::Bool(value),
            Own::Int(value) => Scalar::Int(value),
            Own::Float(value) => Scalar::Float(value),
            Own::Datetime(value) => Scalar::Datetime(value),
            Own::Text | Own::Json => Scalar::Text(text),
        };
        Cell { value: own, text, origin: value.token }
    }
}

/// Events have fewer than 4 GiB, and so has what is made from them.
fn as_u32(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// True for what RudderStack takes for no value: null, "", and arrays of nothing but one such
/// array or string. An object is not blank, but one without members has no leaf.
#[inline]
pub(super) fn is_blank(node: Node<'_>) -> bool {
    match node.kind() {
        Kind::Null => true,
        Kind::String => {
            let token = node.token();
            token.end - token.start == 2
                || (!node.is_clean() && node.text().is_none_or(|text| text.is_empty()))
        }
        Kind::Array => is_blank_array(node),
        _ => false,
    }
}

fn is_blank_array(mut node: Node<'_>) -> bool {
    loop {
        let mut elements = node.children();
        let Some(first) = elements.next() else { return true };
        if elements.next().is_some() {
            return false;
        }
        match first.kind() {
            Kind::Array => node = first,
            Kind::String => return first.text().is_none_or(|text| text.is_empty()),
            _ => return false,
        }
    }
}
