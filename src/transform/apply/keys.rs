//! Keys that hold something to hide.

use super::super::rename::Taken;
use super::{Cleaner, Outcome, Walk};
use crate::event::Value;

/// What stands in the place of a key of which nothing is left; without a name it would be no column.
const REMOVED: &str = "[removed]";

impl Walk<'_, '_> {
    /// Renames those members of the object at `token` whose keys hold something to hide.
    pub(super) fn rename_members(&mut self, token: u32) {
        if let Some(frame) = self.scratch.frames.last_mut() {
            frame.renamed = true;
        }
        let object = self.tape.node(token);
        let mut taken = Taken::default();
        for member in object.children() {
            let keys = self.tape.keys();
            let dirty =
                self.memo.is_dirty(keys, member.key_id(), &mut self.scratch.finder, self.pack);
            if !dirty {
                taken.keep(self.edits.renamed(member.index()).unwrap_or_else(|| member.key()));
            }
        }
        for member in object.children() {
            if self.edits.value(member.index()) == Value::Removed {
                continue;
            }
            let key = self.edits.renamed(member.index()).unwrap_or_else(|| member.key()).to_owned();
            if let Some(clean) = self.clean_key(&key) {
                let clean = taken.free(clean);
                self.edits.rename(member.index(), &clean);
            }
        }
    }

    /// What is left of a key when what it holds is hidden; `None` if there is nothing to hide.
    pub(super) fn clean_key(&mut self, key: &str) -> Option<String> {
        let mut cleaner = Cleaner {
            pack: self.pack,
            pseudonyms: self.pseudonyms,
            finder: &mut self.scratch.finder,
            out: &mut self.scratch.out,
            hits: &mut self.scratch.hits,
        };
        match cleaner.text(key, self.memo.for_keys()) {
            Outcome::Same => None,
            Outcome::Text if !self.scratch.out.is_empty() => Some(self.scratch.out.clone()),
            Outcome::Removed | Outcome::Text => Some(REMOVED.to_owned()),
        }
    }
}
