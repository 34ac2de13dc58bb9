//! Which values a rule's keys and paths name: all patterns of a pack as one automaton over keys.
//!
//! A [`State`] is what the keys from the event's top down to a place have come to: how far each
//! path has got, and which patterns have been met on the way. Elements of arrays have no key and
//! stay in the array's state. The hot path asks [`Selectors::step`] once for each state and key and
//! remembers the answer.

use std::collections::HashMap;

use super::detect::Detector;
use super::keyname::{Name, Pattern};

/// The number of a pattern in its pack.
pub(super) type PatternId = u16;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(Pattern),
    /// Any number of keys, also none.
    Deep,
}

/// Where one is in an event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct State {
    /// Paths that may still be met below: (index in `paths`, steps taken), sorted.
    ahead: Vec<(u16, u16)>,
    /// Patterns met here or above, sorted.
    met: Vec<PatternId>,
}

impl State {
    /// True if the pattern was met here or above.
    pub(super) fn met(&self, pattern: PatternId) -> bool {
        self.met.binary_search(&pattern).is_ok()
    }

    /// True if one of the patterns was met here or above.
    pub(super) fn met_any(&self, patterns: &[PatternId]) -> bool {
        patterns.iter().any(|&pattern| self.met(pattern))
    }
}

/// All patterns of a pack.
#[derive(Clone, Debug, Default)]
pub(super) struct Selectors {
    count: PatternId,
    /// Key patterns without a star, by their name.
    names: HashMap<String, Vec<PatternId>>,
    globs: Vec<(Pattern, PatternId)>,
    paths: Vec<(Vec<Step>, PatternId)>,
}

/// A pattern that names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Empty;

impl Selectors {
    /// Adds a pattern for keys anywhere.
    pub(super) fn add_key(&mut self, pattern: &str) -> Result<PatternId, Empty> {
        let pattern = Pattern::read(pattern).ok_or(Empty)?;
        let id = self.next_id();
        match pattern.exact() {
            Some(name) => self.names.entry(name.to_owned()).or_default().push(id),
            None => self.globs.push((pattern, id)),
        }
        Ok(id)
    }

    /// Adds a path from the event's top: keys parted by `.`, where `*` stands for one key and
    /// `**` for any number, and `\.` for a dot in a key.
    pub(super) fn add_path(&mut self, path: &str) -> Result<PatternId, Empty> {
        let mut steps = Vec::new();
        let mut piece = String::new();
        let mut chars = path.chars();
        loop {
            match chars.next() {
                Some('\\') => piece.extend(chars.next()),
                Some('.') | None if piece == "**" => {
                    steps.push(Step::Deep);
                    piece.clear();
                }
                Some('.') => {
                    steps.push(Step::Key(Pattern::read(&piece).ok_or(Empty)?));
                    piece.clear();
                }
                None => {
                    steps.push(Step::Key(Pattern::read(&piece).ok_or(Empty)?));
                    break;
                }
                Some(ch) => piece.push(ch),
            }
            if piece.is_empty() && chars.as_str().is_empty() {
                break;
            }
        }
        let id = self.next_id();
        self.paths.push((steps, id));
        Ok(id)
    }

    /// Adds `pattern` as a path if it has a dot, else as a key anywhere.
    pub(super) fn add_either(&mut self, pattern: &str) -> Result<PatternId, Empty> {
        if pattern.contains('.') { self.add_path(pattern) } else { self.add_key(pattern) }
    }

    /// How many patterns there are.
    pub(super) fn len(&self) -> usize {
        usize::from(self.count)
    }

    fn next_id(&mut self) -> PatternId {
        self.count = self.count.saturating_add(1);
        self.count - 1
    }

    /// The state at the event's top.
    pub(super) fn top(&self) -> State {
        let mut state = State::default();
        for at in 0..self.paths.len() {
            self.advance(u16::try_from(at).unwrap_or(u16::MAX), 0, &mut state);
        }
        state.ahead.sort_unstable();
        state
    }

    /// The state of the member `key` of an object in `state`.
    pub(super) fn step(&self, state: &State, key: &str, name: &mut Name) -> State {
        // A key that was renamed is not what its placeholder says: `[email]` is no e-mail.
        name.read(if holds_placeholder(key) { "" } else { key });
        let mut next = State { ahead: Vec::new(), met: state.met.clone() };
        if let Some(ids) = self.names.get(name.joined()) {
            next.met.extend(ids);
        }
        let globs = self.globs.iter().filter(|(pattern, _)| pattern.matches(name));
        next.met.extend(globs.map(|&(_, id)| id));
        for &(path, taken) in &state.ahead {
            match self.paths[usize::from(path)].0.get(usize::from(taken)) {
                Some(Step::Key(pattern)) if pattern.matches(name) => {
                    self.advance(path, taken + 1, &mut next);
                }
                Some(Step::Deep) => self.advance(path, taken, &mut next),
                _ => {}
            }
        }
        next.ahead.sort_unstable();
        next.ahead.dedup();
        next.met.sort_unstable();
        next.met.dedup();
        next
    }

    /// Notes that `taken` steps of the path are done: it is met, or goes on, or both where a `**`
    /// may stand for nothing.
    fn advance(&self, path: u16, taken: u16, state: &mut State) {
        let (steps, id) = &self.paths[usize::from(path)];
        match steps.get(usize::from(taken)) {
            None => state.met.push(*id),
            Some(Step::Deep) => {
                state.ahead.push((path, taken));
                if usize::from(taken) + 1 == steps.len() {
                    state.met.push(*id);
                } else {
                    self.advance(path, taken + 1, state);
                }
            }
            Some(Step::Key(_)) => state.ahead.push((path, taken)),
        }
    }

    /// True if one of the patterns may still be met below.
    pub(super) fn may_meet(&self, state: &State, patterns: &[PatternId]) -> bool {
        state.ahead.iter().any(|&(path, _)| patterns.contains(&self.paths[usize::from(path)].1))
    }
}

/// True if something of the key was hidden: in a key that is spelled like a query, the brackets are
/// percent-encoded.
fn holds_placeholder(key: &str) -> bool {
    let decoded;
    let key = if key.contains("%5B") {
        decoded = key.replace("%5B", "[").replace("%5D", "]");
        &decoded
    } else {
        key
    };
    key.contains('[') && Detector::ALL.iter().any(|one| key.contains(one.placeholder()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(pattern: &str, path: &str) -> bool {
        let mut selectors = Selectors::default();
        let id = selectors.add_either(pattern).unwrap();
        let mut name = Name::default();
        let end = path
            .split('.')
            .fold(selectors.top(), |state, key| selectors.step(&state, key, &mut name));
        end.met(id)
    }

    #[test]
    fn keys_match_anywhere_paths_from_the_top() {
        assert!(met("email", "context.traits.email"));
        assert!(!met("email", "context.traits.emails"));
        assert!(met("context.traits", "context.traits.name"), "below counts as met");
        assert!(met("context.traits.name", "context.traits.Name"));
        assert!(!met("context.traits.name", "traits.name"));
        assert!(met("context.*.name", "context.device.name"));
        assert!(!met("context.*.name", "context.a.b.name"));
        assert!(met("**.traits.name", "context.traits.name"));
        assert!(met("**.traits.name", "traits.name"));
        assert!(met("context.**.name", "context.a.b.name"));
        assert!(met("context.**.name", "context.name"));
        assert!(met("password_*", "password=x"));
        assert!(!met("password_*", "password=[secret]"), "what was hidden names nothing");
        assert!(!met("password_*", "password=%5Bsecret%5D"), "encoded, too");
        assert!(met("properties.**", "properties.a"));
    }
}
