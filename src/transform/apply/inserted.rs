//! Members that earlier edits added: enrichment, the merge with a batch.

use super::{Memo, Outcome, Walk};
use crate::event::{IDENTITY, KeyId, Node};

impl Walk<'_, '_> {
    /// Looks at the members that earlier edits added.
    pub(super) fn inserted(&mut self, event: Node<'_>) {
        let Some(last) = self.edits.inserted().map(|insert| insert.number).max() else { return };
        let mut text = std::mem::take(&mut self.scratch.text);
        for number in 0..=last {
            let Some(insert) = self.edits.inserted().find(|insert| insert.number == number) else {
                continue;
            };
            let (object, key_id) = (insert.object, insert.key_id);
            text.clear();
            text.push_str(insert.value);
            let key = insert.key.to_owned();
            let Some(parent) = self.state_of(event, object) else { continue };
            let state = if key_id == KeyId::NONE {
                self.memo.step_to(self.pack, parent, &key)
            } else {
                self.step(parent, key_id)
            };
            let top_key = (object == event.index()).then_some(key_id);
            self.inserted_value(number, object, &key, key_id, (state, top_key), &text);
        }
        self.scratch.text = text;
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
        let (outcome, bare) = self.json(json, state, identity);
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

    fn step(&mut self, state: u32, key: KeyId) -> u32 {
        let (keys, finder) = (self.tape.keys(), &mut self.scratch.finder);
        self.memo.step(self.pack, keys, finder, state, key).state()
    }

    /// The state of the object at `token`, found from the event's top.
    fn state_of(&mut self, event: Node<'_>, token: u32) -> Option<u32> {
        let (mut node, mut state) = (event, Memo::TOP);
        while node.index() != token {
            let holds = |child: &Node<'_>| child.index() <= token && token < child.token().next;
            node = node.children().find(holds)?;
            if node.key_id() != KeyId::NONE {
                state = self.step(state, node.key_id());
            }
        }
        Some(state)
    }
}
