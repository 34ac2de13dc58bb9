//! New keys for members whose own held personal data: unique within their object.

use std::collections::{HashMap, HashSet};

/// The keys of one object.
#[derive(Default)]
pub(super) struct Taken {
    keys: HashSet<String>,
    /// How far the numbering of a key has got, so that many collisions stay cheap.
    next: HashMap<String, usize>,
}

impl Taken {
    /// Notes a key that stays.
    pub(super) fn keep(&mut self, key: &str) {
        self.keys.insert(key.to_owned());
    }

    /// Takes `key`, with `_2`, `_3`, ... behind it where it is taken already.
    pub(super) fn free(&mut self, key: String) -> String {
        if self.keys.insert(key.clone()) {
            return key;
        }
        let next = self.next.entry(key.clone()).or_insert(2);
        loop {
            let numbered = format!("{key}_{next}");
            *next += 1;
            if self.keys.insert(numbered.clone()) {
                return numbered;
            }
        }
    }
}
