//! What a reading of the configuration notes on its way.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::fault::{Fault, Problem};

/// What all sections note: the faults, and the keys that there are.
#[derive(Debug, Default)]
pub(super) struct Context {
    faults: RefCell<Vec<Fault>>,
    keys: RefCell<BTreeSet<String>>,
}

impl Context {
    pub(super) fn fault(&self, fault: Fault) {
        self.faults.borrow_mut().push(fault);
    }

    pub(super) fn has_syntax_faults(&self) -> bool {
        let faults = self.faults.borrow();
        faults.iter().any(|fault| matches!(fault.problem, Problem::Syntax { .. }))
    }

    pub(super) fn into_faults(self) -> Vec<Fault> {
        self.faults.into_inner()
    }

    /// Notes that a key was asked for.
    pub(super) fn asked(&self, key: String) {
        self.keys.borrow_mut().insert(key);
    }

    /// Every key that was asked for, with `[]` for list elements.
    #[cfg(test)]
    pub(super) fn keys(&self) -> Vec<String> {
        self.keys.borrow().iter().cloned().collect()
    }
}
