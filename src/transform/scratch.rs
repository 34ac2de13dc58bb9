//! What applying packs needs beside the pack: buffers, and what was worked out for each key.
//!
//! One per worker, kept beside the parser whose key ids it remembers.

use std::collections::HashMap;

use super::detect::{Detector, Finder, Set};
use super::keyname::Name;
use super::pack::{Decision, Pack};
use super::pseudonym::{Mark, Pseudonyms};
use super::select::State;
use crate::event::{Edits, KeyId, Keys, Kind, Parser, Token};

/// Memos kept: a source runs one or two packs, and a worker has one parser for bodies and one for
/// what was merged.
const MEMOS_MAX: usize = 8;
/// Keys with a place in the memo. The parser keeps as many between documents; a document with more
/// pays for each key beyond.
const KEYS_MAX: usize = 32_768;
/// States kept from event to event. A pack has a few dozen; more come of hostile shapes only.
const STATES_MAX: usize = 1_024;

/// Buffers and memos for [`Pack::apply`]. Not tied to one pack, but cheap only while the packs and
/// the parser stay the same.
#[derive(Default)]
#[expect(clippy::vec_box, reason = "a memo is taken out and put back for each event")]
pub struct Scratch {
    memos: Vec<Box<Memo>>,
    pub(super) finder: Finder,
    pub(super) out: String,
    pub(super) text: String,
    pub(super) frames: Vec<Frame>,
    pub(super) hits: Vec<u32>,
    pub(super) nested: Option<Box<Nested>>,
}

impl std::fmt::Debug for Scratch {
    /// Shows counts only: the buffers may hold personal data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scratch").field("memos", &self.memos.len()).finish_non_exhaustive()
    }
}

impl Scratch {
    /// Empty buffers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The rules that hit in the last [`Pack::apply`], by their number, with how often they did.
    pub fn hits(&self) -> impl Iterator<Item = (usize, u32)> {
        self.hits.iter().copied().enumerate().filter(|&(_, hits)| hits > 0)
    }

    /// Takes the memo for this pack and these keys out, or makes one.
    pub(super) fn take_memo(&mut self, pack: &Pack, keys: &Keys) -> Box<Memo> {
        let stamp = keys.stamp();
        let mut memos = self.memos.iter();
        if let Some(at) = memos.position(|memo| memo.pack == pack.id() && memo.stamp == stamp) {
            let memo = self.memos.remove(at);
            if memo.states.len() <= STATES_MAX {
                return memo;
            }
        }
        Box::new(Memo::new(pack, stamp))
    }

    pub(super) fn put_memo(&mut self, memo: Box<Memo>) {
        if self.memos.len() >= MEMOS_MAX {
            // The one that was not asked for the longest time, perhaps of keys that are no more.
            self.memos.remove(0);
        }
        self.memos.push(memo);
    }
}

/// What is needed to look into JSON within a string.
#[derive(Default)]
pub(super) struct Nested {
    pub(super) parser: Parser,
    pub(super) edits: Edits,
    pub(super) scratch: Scratch,
    pub(super) out: Vec<u8>,
}

/// A member as the walk meets it: its state, and what of it is asked for every value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member(u32);

impl Member {
    const DIRTY: u32 = 1 << 31;
    const IDLE: u32 = 1 << 30;
    const IDLE_IF_SHORT: u32 = 1 << 29;
    const STATE: u32 = Self::IDLE_IF_SHORT - 1;
    /// No member; a state of this number there is none. It counts as dirty.
    pub(super) const UNKNOWN: Self = Self(u32::MAX);

    /// The number of its state.
    pub(super) const fn state(self) -> u32 {
        self.0 & Self::STATE
    }

    /// Its key holds something to hide.
    pub(super) const fn is_dirty(self) -> bool {
        self.0 & Self::DIRTY != 0
    }

    /// Nothing is to be done for scalars, and the value may stay.
    pub(super) const fn is_idle(self) -> bool {
        self.0 & Self::IDLE != 0
    }

    /// The same for scalars that are too short for a detector.
    pub(super) const fn is_idle_if_short(self) -> bool {
        self.0 & Self::IDLE_IF_SHORT != 0
    }
}

/// A container that is being walked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    /// The first token behind it.
    pub(super) end: u32,
    /// Its token.
    pub(super) token: u32,
    /// Its state, and with it that of its elements.
    pub(super) member: Member,
    pub(super) is_object: bool,
    /// The keys of its members have been renamed where they had to.
    pub(super) renamed: bool,
}

impl Frame {
    /// The frame of the container `token`, which stands at `at` of the tape.
    #[inline]
    pub(super) const fn of(token: &Token, at: u32, member: Member) -> Self {
        let is_object = matches!(token.kind, Kind::Object);
        Self { end: token.next, token: at, member, is_object, renamed: false }
    }
}

/// The states of one pack over one parser's keys.
pub(super) struct Memo {
    pack: u64,
    stamp: u64,
    states: Vec<(State, Decision)>,
    /// For each state what its decision looks for, close together.
    finds: Vec<Set>,
    ids: HashMap<State, u32>,
    /// For each state and key the member, or [`Member::UNKNOWN`] where nobody asked yet.
    rows: Vec<Vec<Member>>,
    /// For each key: 0 unknown, 1 clean, 2 to be renamed.
    keys: Vec<u8>,
    for_keys: Decision,
    pub(super) name: Name,
    /// The last value that earlier edits added and that was changed.
    pub(super) cleaned: Option<Cleaned>,
}

/// A value and what a pack made of it. Of no more than one value at a time, like the buffers beside
/// it; with all that decides what becomes of it.
pub(super) struct Cleaned {
    json: String,
    state: u32,
    identity: bool,
    mark: Mark,
    out: String,
    /// The rules that hit, and how often.
    hits: Vec<(usize, u32)>,
}

/// Longest value that is kept: an address has 45 bytes at most.
const CLEANED_BYTES_MAX: usize = 64;

impl Cleaned {
    /// What became of `json`: the text `out`, and between the two counts the hits.
    pub(super) fn of(
        json: &str,
        (state, identity, pseudonyms): (u32, bool, &Pseudonyms),
        out: &str,
        (before, after): (&[u32], &[u32]),
    ) -> Option<Self> {
        let hits = before.iter().zip(after).map(|(before, after)| after - before).enumerate();
        (json.len() <= CLEANED_BYTES_MAX && out.len() <= CLEANED_BYTES_MAX).then(|| Self {
            json: json.to_owned(),
            state,
            identity,
            mark: pseudonyms.mark(),
            out: out.to_owned(),
            hits: hits.filter(|&(_, hits)| hits > 0).collect(),
        })
    }

    /// True if it is what becomes of `json`.
    pub(super) fn is_of(
        &self,
        json: &str,
        (state, identity, pseudonyms): (u32, bool, &Pseudonyms),
    ) -> bool {
        self.json == json
            && (self.state, self.identity) == (state, identity)
            && self.mark == pseudonyms.mark()
    }

    /// Does the same again.
    pub(super) fn repeat(&self, out: &mut String, hits: &mut [u32]) {
        out.clear();
        out.push_str(&self.out);
        for &(rule, more) in &self.hits {
            if let Some(hits) = hits.get_mut(rule) {
                *hits = hits.saturating_add(more);
            }
        }
    }
}

impl Memo {
    /// The number of the state at the top.
    pub(super) const TOP: u32 = 0;

    fn new(pack: &Pack, stamp: u64) -> Self {
        let mut memo = Self {
            pack: pack.id(),
            stamp,
            states: Vec::new(),
            finds: Vec::new(),
            ids: HashMap::new(),
            rows: Vec::new(),
            keys: Vec::new(),
            for_keys: pack.decide_for_keys(),
            name: Name::default(),
            cleaned: None,
        };
        memo.intern(pack, pack.selectors.top());
        memo
    }

    pub(super) fn intern(&mut self, pack: &Pack, state: State) -> u32 {
        if let Some(&id) = self.ids.get(&state) {
            return id;
        }
        let id = u32::try_from(self.states.len()).unwrap_or(u32::MAX);
        self.ids.insert(state.clone(), id);
        let decision = pack.decide(&state);
        self.finds.push(decision.find);
        self.states.push((state, decision));
        self.rows.push(Vec::new());
        id
    }

    #[inline]
    pub(super) fn decision(&self, state: u32) -> &Decision {
        &self.states[state as usize].1
    }

    /// What is looked for in values in `state`.
    #[inline]
    pub(super) fn find(&self, state: u32) -> Set {
        self.finds[state as usize]
    }

    pub(super) fn state(&self, state: u32) -> &State {
        &self.states[state as usize].0
    }

    pub(super) const fn for_keys(&self) -> &Decision {
        &self.for_keys
    }

    /// What the walk has to know of a value in `state`.
    pub(super) fn member(&self, state: u32) -> Member {
        let decision = self.decision(state);
        let idle = decision.idle && decision.allowed;
        let idle_if_short = decision.only_parts && decision.allowed;
        let flag = |set: bool, flag: u32| if set { flag } else { 0 };
        let flags = flag(idle, Member::IDLE) | flag(idle_if_short, Member::IDLE_IF_SHORT);
        Member(state | flags)
    }

    /// What is known of the members of objects in `state`, by their keys.
    pub(super) fn row(&self, state: u32) -> &[Member] {
        &self.rows[state as usize]
    }

    /// The member `key` of an object in `state`.
    #[inline]
    pub(super) fn step(
        &mut self,
        pack: &Pack,
        keys: &Keys,
        finder: &mut Finder,
        state: u32,
        key: KeyId,
    ) -> Member {
        match self.rows[state as usize].get(key.index()) {
            Some(&known) if known.0 != Member::UNKNOWN.0 => known,
            _ => self.step_anew(pack, keys, finder, state, key),
        }
    }

    #[cold]
    fn step_anew(
        &mut self,
        pack: &Pack,
        keys: &Keys,
        finder: &mut Finder,
        state: u32,
        key: KeyId,
    ) -> Member {
        let next = self.step_to(pack, state, keys.text(key));
        let mut member = self.member(next);
        if self.is_dirty(keys, key, finder, pack) {
            member.0 |= Member::DIRTY;
        }
        if key.index() < KEYS_MAX {
            let row = &mut self.rows[state as usize];
            if row.len() <= key.index() {
                row.resize(keys.len().min(KEYS_MAX), Member::UNKNOWN);
            }
            row[key.index()] = member;
        }
        member
    }

    /// As [`Memo::step`], for a key that has no number.
    pub(super) fn step_to(&mut self, pack: &Pack, state: u32, key: &str) -> u32 {
        let next = pack.selectors.step(&self.states[state as usize].0, key, &mut self.name);
        self.intern(pack, next)
    }

    /// True if there is something to hide in the key.
    pub(super) fn is_dirty(
        &mut self,
        keys: &Keys,
        key: KeyId,
        finder: &mut Finder,
        pack: &Pack,
    ) -> bool {
        match self.keys.get(key.index()) {
            Some(&known) if known > 0 => known == 2,
            _ => self.look_at_key(keys, key, finder, pack),
        }
    }

    fn look_at_key(&mut self, keys: &Keys, key: KeyId, finder: &mut Finder, pack: &Pack) -> bool {
        let text = keys.text(key);
        let dirty = !finder.find(text, self.for_keys.find).is_empty()
            || self.for_keys.patterns.iter().any(|&rule| {
                let pattern = pack.rules[usize::from(rule)].pattern.as_ref();
                pattern.is_some_and(|pattern| pattern.is_match(text))
            });
        if key.index() < KEYS_MAX {
            if self.keys.len() <= key.index() {
                self.keys.resize(keys.len().min(KEYS_MAX), 0);
            }
            self.keys[key.index()] = if dirty { 2 } else { 1 };
        }
        dirty
    }
}

/// The rule of a decision that `what` belongs to.
pub(super) fn rule_of(decision: &Decision, what: Detector) -> u16 {
    decision.by[what as usize]
}
