//! What of an event decides where its values go.
//!
//! The rows of an event follow from its keys, from what kind each value is, and from a few texts:
//! its type and its name. Two events that are equal in all of these have the same cells, each with
//! the value at the same place of the outline; so a caller that has mapped the first may take the
//! second's values by their places. Tokens would not do: arrays of the same outline may have any
//! number of elements, and each of them is a token. An event whose rows hang on more than that has
//! no outline: the texts of others of its values, ids that are minted. (What is discarded of it may hang on
//! two texts being the same; the mapper tells of which.)

use crate::event::{Kind, Tape, Token, known};
use crate::warehouse::number::double_of;
use crate::warehouse::rules::EventKind;
use crate::warehouse::{Cell, Layout};

use super::value::{Made, NO_TOKEN, Own, Value, is_blank};

/// Values of an event that has an outline, at most: ten times what an event usually has.
const TOKENS_MAX: usize = 1_024;

/// Bytes of the texts that belong to an outline, at most.
const NAMES_BYTES_MAX: usize = 256;

/// The outline of the event at hand and its values.
#[derive(Debug, Default)]
pub struct Outline {
    /// One for each token but the elements of arrays and the event itself.
    key: Vec<u64>,
    names: String,
    /// One for each of the key; none but leaves' are ever asked for.
    values: Vec<Value>,
    /// Where the objects end that the token at hand is in.
    ends: Vec<u32>,
    made: Made,
    /// Finds that no event has one.
    is_blind: bool,
}

/// What a token is, as far as rows hang on it.
#[derive(Clone, Copy)]
enum Code {
    /// No value: null, an empty string, an array of nothing.
    Blank,
    Object,
    Array,
    Bool,
    Int,
    LongInt,
    Float,
    /// A number that is kept as it is spelled.
    LongNumber,
    Datetime,
    Text,
    /// Text of one byte: an object of nothing else may be a string that was taken apart.
    Byte,
}

const NO_VALUE: Value =
    Value { own: Own::Text, text: super::value::Span::NOWHERE, token: NO_TOKEN };

/// True for a text that is there and cannot be seen.
fn has_spaces_only(text: &str) -> bool {
    !text.is_empty() && text.trim_start().is_empty()
}

impl Outline {
    /// Reads the outline of the event on `tape`; false if it has none.
    #[must_use]
    pub fn read(&mut self, tape: &Tape<'_>, layout: &Layout) -> bool {
        self.key.clear();
        self.names.clear();
        self.values.clear();
        self.made.begin_event();
        let tokens = tape.tokens();
        let is_plain = layout.json_paths.is_empty()
            && !layout.store_full_event
            && !layout.identity_rules
            && tape.fixups().is_empty()
            && tokens.len() <= TOKENS_MAX
            && !self.is_blind;
        is_plain && self.read_root(tape, tokens) && self.read_tokens(tape, tokens)
    }

    /// The members of the event itself: what decides its kind and its own columns.
    fn read_root(&mut self, tape: &Tape<'_>, tokens: &[Token]) -> bool {
        let Some(root) = tokens.first().filter(|root| root.kind == Kind::Object) else {
            return false;
        };
        let (mut has_kind, mut has_id, mut has_arrival) = (false, false, false);
        let mut at = 1;
        while at < root.next {
            let Some(token) = tokens.get(at as usize) else { return false };
            let node = tape.node(at);
            at = token.next;
            match token.key {
                known::TYPE => {
                    let kind = node.text().and_then(|text| EventKind::of(&text));
                    has_kind = !matches!(kind, None | Some(EventKind::Merge | EventKind::Extract));
                    self.names.push_str(node.raw());
                }
                known::EVENT => self.names.push_str(node.raw()),
                // A user without a visible id has no row of its own.
                known::USER_ID if node.text().is_some_and(|id| has_spaces_only(&id)) => {
                    return false;
                }
                // What else would be minted.
                known::MESSAGE_ID => has_id = !node.kind().is_container() && !is_blank(node),
                known::RECEIVED_AT => has_arrival = node.is_plain_string(),
                // Options may stand in there.
                known::INTEGRATIONS if node.children().any(|child| child.kind().is_container()) => {
                    return false;
                }
                _ => {}
            }
        }
        has_kind && has_id && has_arrival && self.names.len() <= NAMES_BYTES_MAX
    }

    fn read_tokens(&mut self, tape: &Tape<'_>, tokens: &[Token]) -> bool {
        self.ends.clear();
        let mut at = 1;
        while let Some(token) = tokens.get(at as usize) {
            while self.ends.pop_if(|end| *end <= at).is_some() {}
            // How deep each stands says which object each is a member of.
            let depth = self.ends.len() as u64;
            let (code, value) = if token.kind == Kind::Object {
                self.ends.push(token.next);
                (Code::Object, NO_VALUE)
            } else {
                self.read_leaf(tape, at, token)
            };
            if token.key == known::RECEIVED_AT && !matches!(code, Code::Datetime) {
                // At the root the moment of arrival would stand for it.
                return false;
            }
            self.key.push(depth << 40 | (code as u64) << 32 | token.key.index() as u64);
            self.values.push(value);
            at = if token.kind == Kind::Object { at + 1 } else { token.next };
        }
        true
    }

    #[inline]
    fn read_leaf(&mut self, tape: &Tape<'_>, at: u32, token: &Token) -> (Code, Value) {
        let is_no_value = match token.kind {
            Kind::Null => true,
            Kind::String => token.end - token.start == 2,
            Kind::Array => is_blank(tape.node(at)),
            _ => false,
        };
        if is_no_value {
            return (Code::Blank, NO_VALUE);
        }
        let value = self.made.leaf(tape, at, token);
        let code = match (token.kind, value.own) {
            (Kind::Array, _) => Code::Array,
            (_, Own::Bool(_)) => Code::Bool,
            (_, Own::Int(int)) if double_of(int).is_some() => Code::Int,
            (_, Own::Int(_)) => Code::LongInt,
            (_, Own::Float(_)) => Code::Float,
            (_, Own::Datetime(_)) => Code::Datetime,
            (Kind::Number, _) => Code::LongNumber,
            _ if value.text.len() == 1 => Code::Byte,
            _ => Code::Text,
        };
        (code, value)
    }

    /// An outline that no event has.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn blind() -> Self {
        Self { is_blind: true, ..Self::default() }
    }

    /// The outline itself, but for the texts in [`Outline::names`].
    #[must_use]
    pub fn key(&self) -> &[u64] {
        &self.key
    }

    /// The texts that belong to the outline.
    #[must_use]
    pub fn names(&self) -> &str {
        &self.names
    }

    /// The place of the value that each token of the tape that was read holds, `u32::MAX` where it holds
    /// none.
    pub fn places(&self, tape: &Tape<'_>, of_token: &mut Vec<u32>) {
        of_token.clear();
        of_token.resize(tape.tokens().len(), u32::MAX);
        for (at, value) in (0..).zip(&self.values) {
            // What has no value has no token.
            if let Some(place) = of_token.get_mut(value.token as usize) {
                *place = at;
            }
        }
    }

    /// The value at `place` by its own type; `tape` is that which was read.
    #[must_use]
    #[inline]
    pub fn cell<'t>(&'t self, tape: &Tape<'t>, place: u32) -> Option<Cell<'t>> {
        let value = self.values.get(place as usize)?;
        Some(self.made.cell(value, tape.text()))
    }

    /// The text of the value at `place`; empty if it has none.
    #[must_use]
    #[inline]
    pub fn text<'t>(&'t self, tape: &Tape<'t>, place: u32) -> &'t str {
        self.values.get(place as usize).map_or("", |value| self.made.get(value.text, tape.text()))
    }

    /// Bytes of that text.
    #[must_use]
    #[inline]
    pub fn text_len(&self, place: u32) -> u32 {
        self.values.get(place as usize).map_or(0, |value| value.text.len())
    }

    /// The value at `place` as a column of its own type holds it: floats by their bits, moments in
    /// microseconds since 1970; 0 for text.
    #[must_use]
    #[inline]
    pub fn bits(&self, place: u32) -> i64 {
        self.values.get(place as usize).map_or(0, |value| value.own.bits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Parser;

    /// The outline's key and the texts of its values, if the event has one.
    fn outline(context: &str) -> Option<(Vec<u64>, Vec<String>)> {
        let event = format!(
            r#"{{"type":"track","event":"e","messageId":"m","receivedAt":"2026-11-21T10:00:00.000Z","context":{context}}}"#
        );
        let mut parser = Parser::default();
        let tape = parser.parse(event.as_bytes()).unwrap();
        let mut outline = Outline::default();
        let has_one = outline.read(&tape, &Layout::default());
        let texts = (0..outline.key.len())
            .map(|at| outline.text(&tape, u32::try_from(at).unwrap()).to_owned());
        has_one.then(|| (outline.key.clone(), texts.skip(4).collect()))
    }

    #[test]
    fn arrays_of_any_length_have_the_same_places_behind_them() {
        let (one, texts) = outline(r#"{"traits":{"a":["x"],"b":["y","z"]},"c":"v v"}"#).unwrap();
        assert_eq!(texts, ["", "", r#"["x"]"#, r#"["y","z"]"#, "v v"]);
        let (two, texts) = outline(r#"{"traits":{"a":["x","y","z"],"b":[1]},"c":"w w"}"#).unwrap();
        assert_eq!(texts, ["", "", r#"["x","y","z"]"#, "[1]", "w w"]);
        assert_eq!(one, two);
    }

    #[test]
    fn a_member_of_another_object_is_another_outline() {
        let keys = [
            r#"{"traits":{"a":"x","b":"y y"}}"#,
            r#"{"traits":{"a":"x"},"b":"y y"}"#,
            r#"{"traits":{},"a":"x","b":"y y"}"#,
            r#"{"traits":{"a":"x","b":1}}"#,
        ];
        let keys = keys.map(|context| outline(context).unwrap().0);
        for (n, key) in keys.iter().enumerate() {
            assert!(!keys[..n].contains(key));
        }
    }
}
