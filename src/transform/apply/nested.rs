//! JSON texts within an event: in strings, and where edits put whole values.

use super::super::scratch::Nested;
use super::{Outcome, Walk};

/// JSON in strings in JSON in strings: how deep one looks. Deeper ones are read as plain text.
const NESTED_MAX: u8 = 3;

impl Walk<'_, '_> {
    /// JSON within a string, if that is what it is.
    pub(super) fn json_in_string(&mut self, text: &str, state: u32) -> Option<Outcome> {
        if self.depth >= NESTED_MAX {
            return None;
        }
        self.nested(text, state)
    }

    /// Applies the pack to a JSON text of its own; `None` if it is no JSON. The result is in
    /// `scratch.out`.
    pub(super) fn nested(&mut self, json: &str, state: u32) -> Option<Outcome> {
        let mut nested = self.scratch.nested.take().unwrap_or_default();
        let outcome = self.walk_nested(&mut nested, json, state);
        self.scratch.nested = Some(nested);
        outcome
    }

    fn walk_nested(&mut self, nested: &mut Nested, json: &str, state: u32) -> Option<Outcome> {
        let Nested { parser, edits, scratch, out } = nested;
        let tape = parser.parse(json.as_bytes()).ok()?;
        let root = tape.root();
        edits.begin(root);
        let mut memo = scratch.take_memo(self.pack, tape.keys());
        let start = memo.intern(self.pack, self.memo.state(state).clone());
        scratch.hits.clear();
        scratch.hits.resize(self.scratch.hits.len(), 0);
        Walk::new(self.pack, scratch, &mut memo, edits, self.pseudonyms, tape, self.depth + 1)
            .whole(root, start, false);
        scratch.put_memo(memo);
        for (sum, hits) in self.scratch.hits.iter_mut().zip(&scratch.hits) {
            *sum = sum.saturating_add(*hits);
        }
        if edits.is_empty() {
            return Some(Outcome::Same);
        }
        out.clear();
        edits.write(root, out);
        self.scratch.out.clear();
        self.scratch.out.push_str(std::str::from_utf8(out).unwrap_or_default());
        Some(Outcome::Text)
    }
}
