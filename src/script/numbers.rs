//! Numbers keep their spelling through JavaScript.
//!
//! JavaScript knows doubles only: 9007199254740993 comes back as 9007199254740992, 1.10 as 1.1 and
//! 1e400 as null. A number that a script left alone at its path gets its spelling back: where the
//! value at a path is the double that the input's spelling parses to. Pure; called by the runtime.

use std::io::Write as _;

use hashbrown::HashMap;

use crate::event::{Kind, Node};

/// What the harness writes for infinities when the input holds a number beyond a double's range;
/// no input can hold it, since NUL never gets past the gateway's own reading.
const INFINITE: [(&str, bool); 2] =
    [(r#""\u0000+Infinity""#, true), (r#""\u0000-Infinity""#, false)];
/// Members times candidates from which an object is searched by a table.
const SCAN_MAX: usize = 1_024;

/// The numbers of one input that JavaScript would spell otherwise. Reused from event to event.
#[derive(Debug, Default)]
pub(super) struct Spellings {
    /// Tokens of the input, ascending.
    tokens: Vec<u32>,
    infinite: bool,
    /// Spans of the output's text and what replaces them, in the order of the text.
    edits: Vec<(u32, u32, String)>,
}

impl Spellings {
    /// Turns to `input` and collects what may have to be put back.
    pub(super) fn begin(&mut self, input: Node<'_>) {
        self.tokens.clear();
        self.infinite = false;
        let tape = input.tape();
        let token = input.token();
        for (value, at) in tape.tokens().iter().zip(0_u32..).skip(input.index() as usize) {
            if at >= token.next {
                break;
            }
            if value.kind != Kind::Number {
                continue;
            }
            let spelled = tape.node(at).raw();
            if !is_plain_integer(spelled) && !is_javascripts(spelled) {
                self.tokens.push(at);
                self.infinite |= double(spelled).is_infinite();
            }
        }
    }

    /// True if nothing has to be put back, whatever the script did.
    pub(super) fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// True if a number of the input is infinite as a double: the script's infinities must then be
    /// told apart from its nulls.
    pub(super) fn has_infinite(&self) -> bool {
        self.infinite
    }

    /// Returns the output's text with the input's spellings where the numbers were left alone;
    /// `None` if it stays as it is. `input` is what [`Spellings::begin`] got.
    pub(super) fn restore(&mut self, input: Node<'_>, output: Node<'_>) -> Option<String> {
        self.edits.clear();
        self.walk(input, output);
        if self.infinite {
            self.void_infinities(output);
        }
        if self.edits.is_empty() {
            return None;
        }
        self.edits.sort_unstable_by_key(|edit| edit.0);
        let text = output.tape().text();
        let mut restored = String::with_capacity(text.len() + 32);
        let mut from = 0;
        for (start, end, spelled) in self.edits.drain(..) {
            restored.push_str(text.get(from..start as usize).unwrap_or_default());
            restored.push_str(&spelled);
            from = end as usize;
        }
        restored.push_str(text.get(from..).unwrap_or_default());
        Some(restored)
    }

    /// True if a candidate lies in the value of `node`.
    fn concerns(&self, node: Node<'_>) -> bool {
        let from = self.tokens.partition_point(|&at| at < node.index());
        self.tokens.get(from).is_some_and(|&at| at < node.token().next)
    }

    /// The depth of both is bounded by [`crate::event::DEPTH_MAX`].
    fn walk(&mut self, input: Node<'_>, output: Node<'_>) {
        match (input.kind(), output.kind()) {
            (Kind::Number, Kind::Number | Kind::String) => self.number(input, output),
            (Kind::Array, Kind::Array) => {
                for (input, output) in input.children().zip(output.children()) {
                    if self.concerns(input) {
                        self.walk(input, output);
                    }
                }
            }
            (Kind::Object, Kind::Object) => self.object(input, output),
            _ => {}
        }
    }

    fn object(&mut self, input: Node<'_>, output: Node<'_>) {
        let concerned: Vec<Node<'_>> =
            input.children().filter(|&node| self.concerns(node)).collect();
        let members = output.children().count();
        if concerned.len().saturating_mul(members) <= SCAN_MAX {
            for node in concerned {
                if let Some(found) = output.children().find(|child| child.key() == node.key()) {
                    self.walk(node, found);
                }
            }
            return;
        }
        let table: HashMap<&str, Node<'_>, foldhash::quality::RandomState> =
            output.children().map(|child| (child.key(), child)).collect();
        for node in concerned {
            if let Some(&found) = table.get(node.key()) {
                self.walk(node, found);
            }
        }
    }

    fn number(&mut self, input: Node<'_>, output: Node<'_>) {
        let (spelled, token) = (input.raw(), output.token());
        let value = double(spelled);
        let left_alone = match output.kind() {
            // 0 and -0 are one number to JSON.stringify, and to `==`.
            Kind::Number => double(output.raw()) == value,
            _ => {
                value.is_infinite() && INFINITE.contains(&(output.raw(), value.is_sign_positive()))
            }
        };
        if left_alone && spelled != output.raw() {
            self.edits.push((token.start, token.end, spelled.to_owned()));
        }
    }

    /// The infinities that are nobody's number become null, as JSON.stringify has it.
    fn void_infinities(&mut self, output: Node<'_>) {
        let mut restored: Vec<u32> = self.edits.iter().map(|edit| edit.0).collect();
        restored.sort_unstable();
        for (token, at) in output.tape().tokens().iter().zip(0_u32..) {
            let raw = output.tape().node(at).raw();
            if token.kind == Kind::String
                && INFINITE.iter().any(|&(spelled, _)| spelled == raw)
                && restored.binary_search(&token.start).is_err()
            {
                self.edits.push((token.start, token.end, "null".to_owned()));
            }
        }
    }
}

/// The double that a JSON number stands for; `JSON.parse` rounds in the same way.
fn double(spelled: &str) -> f64 {
    spelled.parse().unwrap_or(f64::NAN)
}

/// True for integers of up to 15 digits: exact as doubles and spelled alike everywhere.
fn is_plain_integer(spelled: &str) -> bool {
    spelled.len() <= SAFE_DIGITS
        && spelled != "-0"
        && !spelled.bytes().any(|b| matches!(b, b'.' | b'e' | b'E'))
}

/// Digits below which no two decimals are the same double (`DBL_DIG`).
const SAFE_DIGITS: usize = 15;

/// True if JavaScript surely spells the number in the same way. Rust and JavaScript both give the
/// shortest digits that read back, and differ where two are as near: 600000000000000.2 and .3 are one
/// double. JavaScript turns to exponents below 1e-6 and from 1e21.
fn is_javascripts(spelled: &str) -> bool {
    if spelled.bytes().filter(u8::is_ascii_digit).count() > SAFE_DIGITS {
        return false;
    }
    let value = double(spelled);
    if !(1e-6..1e21).contains(&value.abs()) {
        return spelled == "0";
    }
    let mut buffer = [0_u8; 48];
    let mut rest = buffer.as_mut_slice();
    if write!(rest, "{value}").is_err() {
        return false;
    }
    let left = rest.len();
    buffer.get(..buffer.len() - left) == Some(spelled.as_bytes())
}
