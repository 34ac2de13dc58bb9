//! Members that earlier edits added: enrichment, the merge with a batch.

use super::super::scratch::{Cleaned, Member};
use super::{Memo, Outcome, Walk, may_be_json};
use crate::event::{IDENTITY, KeyId, Node};

impl Walk<'_, '_> {
    /// Looks at the members that earlier edits added.
    pub(super) fn inserted(&mut self, event: Node<'_>) {
        let mut text = std::mem::take(&mut self.scratch.text);
        // What is added on the way is clean.
        for number in 0..self.edits.inserts() {
            let Some((object, key_id)) = self.edits.place_of(number) else { continue };
            let Some(parent) = self.state_of(event, object) else { continue };
            let top_key = (object == event.index()).then_some(key_id);
            if key_id != KeyId::NONE {
                let member = self.step(parent, key_id);
                if !self.stays(number, member, top_key) {
                    let value = self.edits.inserted_at(number).map(|insert| insert.value);
                    text.clear();
                    text.push_str(value.unwrap_or_default());
                    let key = self.tape.keys().text(key_id);
                    self.inserted_value(
                        number,
                        object,
                        key,
                        key_id,
                        (member.state(), top_key),
                        &text,
                    );
                }
                continue;
            }
            let Some(insert) = self.edits.inserted_at(number) else { continue };
            text.clear();
            text.push_str(insert.value);
            let key = insert.key.to_owned();
            let state = self.memo.step_to(self.pack, parent, &key);
            self.inserted_value(number, object, &key, key_id, (state, top_key), &text);
        }
        self.scratch.text = text;
    }

    /// True for a string that nothing is to be done for, as most are that the gateway adds.
    fn stays(&mut self, number: usize, member: Member, top_key: Option<KeyId>) -> bool {
        let Some(insert) = self.edits.inserted_at(number) else { return true };
        let text = insert.value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let Some(text) = text else { return false };
        if member.is_idle() {
            return true;
        }
        let escaped = || memchr::memchr(b'\\', text.as_bytes()).is_some();
        if !member.is_idle_if_short() || may_be_json(text.as_bytes()) || escaped() {
            return false;
        }
        let mut want = self.memo.find(member.state());
        if top_key.is_some_and(|key| IDENTITY.contains(&key)) {
            want = want.and(self.pack.identity);
        }
        self.scratch.finder.is_clean(text, want)
    }

    fn inserted_value(
        &mut self,
        number: usize,
        object: u32,
        key: &str,
        key_id: KeyId,
        (state, top_key): (u32, Option<KeyId>),
        json: &str,
    ) {
        if !self.may_stay(state, top_key, json) {
            return self.edits.remove_inserted(number);
        }
        let identity = top_key.is_some_and(|key| IDENTITY.contains(&key));
        let (outcome, bare) = self.json_as_before(json, state, identity);
        let clean_key = if key_id == KeyId::NONE { self.clean_key(key) } else { None };
        match outcome {
            Outcome::Removed => self.edits.remove_inserted(number),
            Outcome::Same if clean_key.is_none() => {}
            Outcome::Text if clean_key.is_none() && !bare => {
                self.edits.replace_inserted(number, &self.scratch.out);
            }
            _ => {
                self.edits.remove_inserted(number);
                let key = clean_key.as_deref().unwrap_or(key);
                match outcome {
                    Outcome::Text if bare => {
                        self.edits.insert(object, key, key_id, &self.scratch.out)
                    }
                    Outcome::Text => {
                        self.edits.insert_string(object, key, key_id, &self.scratch.out)
                    }
                    _ => self.edits.insert(object, key, key_id, json),
                }
            }
        }
    }

    /// As [`Walk::json`]. What became of the last value that was changed here is kept, since the
    /// events of a request all have the same address of the client.
    fn json_as_before(&mut self, json: &str, state: u32, identity: bool) -> (Outcome, bool) {
        let hits = &mut self.scratch.hits;
        let asked = (state, identity, self.pseudonyms);
        if let Some(last) = self.memo.cleaned.as_ref().filter(|last| last.is_of(json, asked)) {
            last.repeat(&mut self.scratch.out, hits);
            return (Outcome::Text, false);
        }
        let before = hits.clone();
        let (outcome, bare) = self.json(json, state, identity);
        if outcome == Outcome::Text && !bare {
            let (out, hits) = (&self.scratch.out, (&*before, &*self.scratch.hits));
            self.memo.cleaned = Cleaned::of(json, asked, out, hits);
        }
        (outcome, bare)
    }

    fn step(&mut self, state: u32, key: KeyId) -> Member {
        let (keys, finder) = (self.tape.keys(), &mut self.scratch.finder);
        self.memo.step(self.pack, keys, finder, state, key)
    }

    /// The state of the object at `token`, found from the event's top.
    fn state_of(&mut self, event: Node<'_>, token: u32) -> Option<u32> {
        let (mut node, mut state) = (event, Memo::TOP);
        while node.index() != token {
            let holds = |child: &Node<'_>| child.index() <= token && token < child.token().next;
            node = node.children().find(holds)?;
            if node.key_id() != KeyId::NONE {
                state = self.step(state, node.key_id()).state();
            }
        }
        Some(state)
    }
}
