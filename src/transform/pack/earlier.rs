//! A pack behind others of the same source: what they decided for a value stands.
//!
//! Rules count in the order of the file and packs in the order of the source. So that this is one
//! order, a pack knows the rules of those before it that settle a value, as patterns of its own.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::super::detect::{Detector, Set};
use super::super::select::{Empty, PatternId, Selectors};
use super::super::written::{self, Action, Fault, Placed, Why};
use super::{PATTERNS_MAX, Pack, Rule, first_bytes};

/// What `truncate` leaves something of that its detector would find again.
const TRUNCATED: Set = Set::of(&[Detector::Ipv4, Detector::Ipv6, Detector::BirthDate]);

impl Pack {
    /// The same pack, with counters of its own, behind `earlier` ones: a value that a rule of theirs
    /// took as a whole or keeps is not looked at, nor what they cut down or keep of it.
    ///
    /// # Errors
    /// A fault if their patterns are too many together.
    pub fn behind(&self, earlier: &[Arc<Self>]) -> Result<Self, Fault> {
        let mut pack = self.counted_apart();
        let mut id = Sha256::new().chain_update(pack.id.to_be_bytes());
        for one in earlier {
            id.update(one.id.to_be_bytes());
            for rule in one.written.iter() {
                pack.earlier.extend(settled(rule, &mut pack.selectors));
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

/// The rule as far as it settles something for the packs behind its own: a value as a whole, or, in
/// `detect`, what is in it.
fn settled(rule: &written::Rule, selectors: &mut Selectors) -> Option<Rule> {
    let whole = rule.detect.is_empty() && rule.pattern.is_none();
    let detect = match rule.action {
        Action::Keep => rule.detect,
        Action::Truncate => rule.detect.and(TRUNCATED),
        _ => Set::NONE,
    };
    if !whole && detect.is_empty() {
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
    let (pattern, action, with) = (None, Action::Keep, None);
    Some(Rule { values, within, except, detect, pattern, action, with })
}

type Adds = fn(&mut Selectors, &str) -> Result<PatternId, Empty>;
