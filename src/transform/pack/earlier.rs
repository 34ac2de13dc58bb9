//! A pack behind others of the same source: what they keep is kept.
//!
//! Rules count in the order of the file and packs in the order of the source, so a pack knows the rules
//! of those before it, as patterns of its own, and does not look at what one of them keeps. Only at that:
//! what they changed is looked at like any other value, since a rule may have left a value as it was,
//! and who names a pack behind another may want more to go.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::super::detect::Set;
use super::super::select::{Empty, PatternId, Selectors, State};
use super::super::written::{self, Action, Fault, Placed, Why};
use super::{PATTERNS_MAX, Pack, Rule, first_bytes};

impl Pack {
    /// The same pack, with counters of its own, behind `earlier` ones: what a rule of theirs keeps is
    /// not looked at.
    ///
    /// # Errors
    /// A fault if their patterns are too many together.
    pub fn behind(&self, earlier: &[Arc<Self>]) -> Result<Self, Fault> {
        let mut pack = self.counted_apart();
        let mut id = Sha256::new().chain_update(pack.id.to_be_bytes());
        for one in earlier {
            id.update(one.id.to_be_bytes());
            for rule in one.written.iter() {
                pack.earlier.extend(placed(rule, &mut pack.selectors));
            }
            if pack.selectors.len() > PATTERNS_MAX {
                let why = Why::TooMany { what: "patterns with those before", limit: PATTERNS_MAX };
                return Err(Fault { pack: pack.name, line: 1, key: "rule".to_owned(), why });
            }
        }
        pack.id = first_bytes(id);
        Ok(pack)
    }
}

/// What of the values in `state` rules of earlier packs keep: all, or what these detectors find. As in
/// one pack, the first rule for the whole of a value decides, and a detector belongs to the first that
/// lists it.
pub(super) fn kept(earlier: &[Rule], state: &State) -> (bool, Set) {
    let (mut kept, mut taken) = (Set::NONE, Set::NONE);
    for rule in earlier.iter().filter(|rule| rule.applies(state)) {
        let keep = rule.action == Action::Keep;
        if rule.detect.is_empty() {
            return (keep, kept);
        }
        if keep {
            kept = kept.with(rule.detect.without(taken));
        }
        taken = taken.with(rule.detect);
    }
    (false, kept)
}

/// The rule as far as it says which values it is for; none where it is for what an expression finds.
fn placed(rule: &written::Rule, selectors: &mut Selectors) -> Option<Rule> {
    if rule.detect.is_empty() && rule.pattern.is_some() {
        return None;
    }
    let mut patterns = |list: &[Placed], add: Adds| {
        let ids = list.iter().filter_map(|placed| add(selectors, &placed.text).ok());
        let mut ids: Vec<PatternId> = ids.collect();
        ids.sort_unstable();
        ids
    };
    let mut values = patterns(&rule.keys, Selectors::add_key);
    values.extend(patterns(&rule.paths, Selectors::add_path));
    values.sort_unstable();
    let within = patterns(&rule.within, Selectors::add_path);
    let except = patterns(&rule.except, Selectors::add_either);
    let (detect, action) = (rule.detect, rule.action.clone());
    Some(Rule { values, within, except, detect, pattern: None, action, with: None })
}

type Adds = fn(&mut Selectors, &str) -> Result<PatternId, Empty>;
