//! The suppression list: users whose events are dropped, whatever they hold.

use std::collections::HashSet;

use super::pseudonym::Pseudonyms;
use crate::event::{Edits, Node, Value, id, known};

/// Users that asked to be forgotten, as pseudonyms: the raw ids of the list are not kept.
#[derive(Default)]
pub struct Suppression {
    users: HashSet<[u8; 16]>,
    unusable: usize,
}

impl std::fmt::Debug for Suppression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Suppression").field("users", &self.users.len()).finish_non_exhaustive()
    }
}

impl Suppression {
    /// Reads a list: one user id a line, raw or as the pseudonym that the warehouse shows; empty
    /// lines and those that start with `#` do not count. What cannot be seen of an id does not count
    /// either, here and in events.
    #[must_use]
    pub fn read(list: &str, pseudonyms: &Pseudonyms) -> Self {
        let mut suppression = Self::default();
        let prefix = format!("h{}_", pseudonyms.key_id());
        for line in list.lines().map(id::cleaned) {
            let line = line.as_ref();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if !super::detect::is_pseudonym(line.as_bytes()) {
                suppression.users.insert(pseudonyms.digest(line.as_bytes()));
            } else if let Some(digest) = line.strip_prefix(&prefix).and_then(from_hex) {
                suppression.users.insert(digest);
            } else {
                suppression.unusable += 1;
            }
        }
        suppression
    }

    /// How many users are on it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// True if nobody is on it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Lines that name a user by the hash of another key, which nothing can be compared with.
    #[must_use]
    pub const fn unusable(&self) -> usize {
        self.unusable
    }

    /// True if the event's `userId` is on the list, raw or hashed. Ask before and not after the
    /// transformations, or either: a hashed id is known too.
    #[must_use]
    pub fn has(&self, event: Node<'_>, edits: &Edits, pseudonyms: &Pseudonyms) -> bool {
        if self.users.is_empty() {
            return false;
        }
        let Some(user) = event.member(known::USER_ID) else { return false };
        match edits.value(user.index()) {
            Value::Removed => false,
            Value::Replaced(json) => self.has_id(json.trim_matches('"'), pseudonyms),
            Value::Unchanged => match user.text() {
                Some(text) => self.has_id(&text, pseudonyms),
                None => self.has_id(user.raw(), pseudonyms),
            },
        }
    }

    fn has_id(&self, id: &str, pseudonyms: &Pseudonyms) -> bool {
        let id = &*id::cleaned(id);
        let hashed = id
            .split_once('_')
            .filter(|_| super::detect::is_pseudonym(id.as_bytes()))
            .and_then(|(_, hash)| from_hex(hash));
        hashed.is_some_and(|hash| self.users.contains(&hash))
            || self.users.contains(&pseudonyms.digest(id.as_bytes()))
    }
}

fn from_hex(text: &str) -> Option<[u8; 16]> {
    let mut out = [0; 16];
    for (slot, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *slot = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    (text.len() == 32).then_some(out)
}
