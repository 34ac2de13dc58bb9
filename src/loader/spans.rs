//! Sets of journal positions, as runs: what a plan says was left out.

use serde::{Deserialize, Serialize};

/// Ascending runs of positions, each from its first to the first after.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Spans(Vec<(u64, u64)>);

impl Spans {
    /// Adds the positions from `from` up to `to`, which lie behind all that are in.
    pub fn push(&mut self, from: u64, to: u64) {
        match self.0.last_mut() {
            Some((_, end)) if *end == from => *end = to,
            _ => self.0.push((from, to)),
        }
    }

    /// Whether `position` is in.
    #[must_use]
    pub fn contains(&self, position: u64) -> bool {
        let after = self.0.partition_point(|(from, _)| *from <= position);
        after.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|(_, to)| position < *to)
    }

    /// Whether nothing is in.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_join_and_gaps_stay() {
        let mut spans = Spans::default();
        assert!(spans.is_empty() && !spans.contains(0));
        for (from, to) in [(2, 3), (3, 4), (7, 9)] {
            spans.push(from, to);
        }
        let inside: Vec<u64> = (0..12).filter(|position| spans.contains(*position)).collect();
        assert_eq!(inside, [2, 3, 7, 8]);
        assert_eq!(serde_json::to_string(&spans).unwrap(), "[[2,4],[7,9]]");
    }
}
