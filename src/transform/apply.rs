//! A pack over one event: a walk over the tape, what is to change noted as edits.
//!
//! Values that earlier edits replaced and members that they added are looked at as they stand
//! then; what they removed is passed over. No allocation for a leaf: states and keys are
//! remembered in the scratch, texts go through its buffers.

mod inserted;
mod keys;
mod nested;
mod skim;

use super::clean::{Cleaner, Outcome};
use super::consent;
use super::pack::{Pack, Then, drops_event};
use super::pseudonym::Pseudonyms;
use super::scratch::{Frame, Member, Memo, Scratch};
use crate::event::{self, Edits, IDENTITY, KeyId, Kind, Node, Parser, Tape, Value, known};

/// Bytes that the shortest text with something to find has; see `detect`.
const SHORTEST: u32 = 5;
/// Fields that allow-list mode keeps unasked: without them an event is none. All but `event` hold
/// what the gateway wrote or checked, and detectors look at them all.
const ALWAYS: [KeyId; 12] = [
    known::TYPE,
    known::EVENT,
    known::MESSAGE_ID,
    known::ANONYMOUS_ID,
    known::USER_ID,
    known::PREVIOUS_ID,
    known::GROUP_ID,
    known::RUDDER_ID,
    known::RECEIVED_AT,
    known::ORIGINAL_TIMESTAMP,
    known::SENT_AT,
    known::TIMESTAMP,
];

/// What a transformation decides about an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on, with the edits noted.
    Keep,
    /// It ends here.
    Drop {
        /// The name of the rule that ended it.
        rule: String,
    },
    /// Its user is on the suppression list.
    Suppressed,
}

impl Pack {
    /// Applies the pack to `event`, the node that `edits` began with, and notes in `edits` what is
    /// to change. Rules that hit are in [`Scratch::hits`] until the next call.
    pub fn apply(
        &self,
        scratch: &mut Scratch,
        event: Node<'_>,
        edits: &mut Edits,
        pseudonyms: &Pseudonyms,
    ) -> Verdict {
        let verdict = self.judge(scratch, event, edits, pseudonyms);
        for (rule, &hits) in scratch.hits.iter().enumerate().filter(|&(_, &hits)| hits > 0) {
            self.count(rule, hits);
        }
        verdict
    }

    /// What becomes of the messageId `id` of an event that this pack was applied to. Counts nothing:
    /// the event's own was.
    pub fn message_id(
        &self,
        scratch: &mut Scratch,
        parser: &mut Parser,
        edits: &mut Edits,
        (id, pseudonyms): (&str, &Pseudonyms),
    ) -> String {
        let event = serde_json::json!({ "messageId": id }).to_string();
        let Ok(tape) = parser.parse(event.as_bytes()) else { return String::new() };
        edits.begin(tape.root());
        self.judge(scratch, tape.root(), edits, pseudonyms);
        let Some(node) = tape.root().member(known::MESSAGE_ID) else { return String::new() };
        match edits.value(node.index()) {
            Value::Unchanged => id.to_owned(),
            Value::Removed => String::new(),
            Value::Replaced(json) => serde_json::from_str(json).unwrap_or_default(),
        }
    }

    fn judge(
        &self,
        scratch: &mut Scratch,
        event: Node<'_>,
        edits: &mut Edits,
        pseudonyms: &Pseudonyms,
    ) -> Verdict {
        let mut memo = scratch.take_memo(self, event.tape().keys());
        scratch.hits.clear();
        scratch.hits.resize(self.rule_names().len(), 0);
        let verdict = self.drop_verdict(event, edits, &mut memo, scratch);
        if verdict == Verdict::Keep {
            let mut walk = Walk::new(self, scratch, &mut memo, edits, pseudonyms, event.tape(), 0);
            walk.whole(event, Memo::TOP, true);
            walk.inserted(event);
        }
        scratch.put_memo(memo);
        match verdict {
            Verdict::Keep => self.run_stricter(scratch, event, edits, pseudonyms),
            other => other,
        }
    }

    fn drop_verdict(
        &self,
        event: Node<'_>,
        edits: &Edits,
        memo: &mut Memo,
        scratch: &mut Scratch,
    ) -> Verdict {
        if self.drops.is_empty() && self.consent.is_empty() {
            return Verdict::Keep;
        }
        let name = event.member(known::EVENT).and_then(Node::text).unwrap_or_default();
        let by_name = self
            .drops
            .iter()
            .find(|drop| drops_event(drop, &name, &mut memo.name))
            .map(|drop| drop.rule);
        let by_consent = || {
            let drops = self.consent.iter().filter(|one| matches!(one.then, Then::Drop));
            drops
                .filter(|one| consent::is_denied(event, edits, &one.denied))
                .map(|one| one.rule)
                .next()
        };
        match by_name.or_else(by_consent) {
            Some(rule) => {
                scratch.hits[rule] += 1;
                Verdict::Drop { rule: self.rule_names()[rule].clone() }
            }
            None => Verdict::Keep,
        }
    }

    fn run_stricter(
        &self,
        scratch: &mut Scratch,
        event: Node<'_>,
        edits: &mut Edits,
        pseudonyms: &Pseudonyms,
    ) -> Verdict {
        for one in &self.consent {
            let Then::Run { linked: Some(pack), .. } = &one.then else { continue };
            if !consent::is_denied(event, edits, &one.denied) {
                continue;
            }
            // The other pack counts for itself; here only that it was run.
            let mut hits = std::mem::take(&mut scratch.hits);
            let verdict = pack.apply(scratch, event, edits, pseudonyms);
            hits[one.rule] += 1;
            scratch.hits = hits;
            if verdict != Verdict::Keep {
                return Verdict::Drop { rule: self.rule_names()[one.rule].clone() };
            }
        }
        Verdict::Keep
    }
}

/// What the walk does with a value it comes to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Goes into the container.
    Into,
    /// Goes on behind the value.
    Past,
}

struct Walk<'a, 't> {
    pack: &'a Pack,
    pseudonyms: &'a Pseudonyms,
    scratch: &'a mut Scratch,
    memo: &'a mut Memo,
    edits: &'a mut Edits,
    tape: Tape<'t>,
    depth: u8,
}

impl<'a, 't> Walk<'a, 't> {
    const fn new(
        pack: &'a Pack,
        scratch: &'a mut Scratch,
        memo: &'a mut Memo,
        edits: &'a mut Edits,
        pseudonyms: &'a Pseudonyms,
        tape: Tape<'t>,
        depth: u8,
    ) -> Self {
        Self { pack, pseudonyms, scratch, memo, edits, tape, depth }
    }

    /// Walks over `root` and all it holds; `is_event` where identity fields are to be expected.
    fn whole(&mut self, root: Node<'_>, state: u32, is_event: bool) {
        let base = self.scratch.frames.len();
        let member = self.memo.member(state);
        self.enter(root, member);
        let mut at = root.index() + 1;
        loop {
            at = self.skim(at, base, is_event);
            let depth = self.scratch.frames.len();
            let Some(&frame) = self.scratch.frames.last().filter(|_| depth > base) else { break };
            at = self.value(at, frame, is_event && depth == base + 1);
        }
    }

    fn enter(&mut self, node: Node<'_>, member: Member) {
        self.scratch.frames.push(Frame::of(node.token(), node.index(), member));
    }

    /// Sees to the value at token `at`; returns the next token.
    #[inline]
    fn value(&mut self, at: u32, frame: Frame, at_top: bool) -> u32 {
        let node = self.tape.node(at);
        let token = node.token();
        let mut member = frame.member;
        if frame.is_object {
            let (keys, finder) = (self.tape.keys(), &mut self.scratch.finder);
            member = self.memo.step(self.pack, keys, finder, member.state(), token.key);
            if member.is_dirty() && !frame.renamed {
                self.rename_members(frame.token);
            }
        }
        match self.edits.value(at) {
            Value::Unchanged => {}
            Value::Removed => return token.next,
            Value::Replaced(json) => {
                let mut text = std::mem::take(&mut self.scratch.text);
                text.clear();
                text.push_str(json);
                self.replaced(at, member.state(), at_top.then_some(token.key), &text);
                self.scratch.text = text;
                return token.next;
            }
        }
        match self.tape_value(node, member, at_top) {
            Next::Past => token.next,
            Next::Into => {
                self.enter(node, member);
                at + 1
            }
        }
    }

    fn tape_value(&mut self, node: Node<'_>, member: Member, at_top: bool) -> Next {
        // Most values end here: nothing to do, or a text too short to hold anything.
        if member.is_idle() || member.is_idle_if_short() && is_short(node) {
            return if node.kind().is_container() { Next::Into } else { Next::Past };
        }
        let state = member.state();
        let decision = self.memo.decision(state);
        let key = node.key_id();
        let always = at_top && ALWAYS.contains(&key);
        let stays = decision.allowed || always || node.kind().is_container() && decision.descend;
        if !stays {
            self.edits.remove(node.index());
            let rule = self.pack.allow_rule();
            self.cleaner().hit(rule);
            return Next::Past;
        }
        let identity = at_top && IDENTITY.contains(&key);
        if identity && node.kind() != Kind::String {
            return self.odd_identity(node, state);
        }
        match node.kind() {
            Kind::Object | Kind::Array => return self.container(node, state),
            Kind::String => self.tape_string(node, state, identity),
            Kind::Number => {
                let outcome = self.number(node.raw(), state);
                self.note(node.index(), outcome);
            }
            // They say nothing about a person; only `remove` takes them out.
            Kind::Null | Kind::True | Kind::False => {
                if self.removes_whole(state) {
                    self.edits.remove(node.index());
                }
            }
        }
        Next::Past
    }

    /// An identity field that is no string: it is looked at as its text, and never removed.
    fn odd_identity(&mut self, node: Node<'_>, state: u32) -> Next {
        let outcome = self.identity_json(node.raw(), state);
        self.note(node.index(), (outcome, false));
        match outcome {
            Outcome::Same if node.kind().is_container() => Next::Into,
            _ => Next::Past,
        }
    }

    fn identity_json(&mut self, json: &str, state: u32) -> Outcome {
        if json == "null" { Outcome::Same } else { self.string(json, state, true) }
    }

    fn removes_whole(&mut self, state: u32) -> bool {
        let Some(rule) = self.memo.decision(state).whole else { return false };
        let removes = self.pack.removes(usize::from(rule));
        if removes {
            self.cleaner().hit(usize::from(rule));
        }
        removes
    }

    fn container(&mut self, node: Node<'_>, state: u32) -> Next {
        if self.removes_whole(state) {
            self.edits.remove(node.index());
            return Next::Past;
        }
        Next::Into
    }

    fn cleaner(&mut self) -> Cleaner<'_> {
        Cleaner {
            pack: self.pack,
            pseudonyms: self.pseudonyms,
            finder: &mut self.scratch.finder,
            out: &mut self.scratch.out,
            hits: &mut self.scratch.hits,
        }
    }

    fn tape_string(&mut self, node: Node<'_>, state: u32, identity: bool) {
        if node.is_plain_string() {
            let text = node.spelled().unwrap_or_default();
            let outcome = self.string(text, state, identity);
            return self.note(node.index(), (outcome, false));
        }
        let mut text = std::mem::take(&mut self.scratch.text);
        text.clear();
        event::text::unescape_into(node.spelled().unwrap_or_default(), &mut text);
        let outcome = self.string(&text, state, identity);
        self.scratch.text = text;
        self.note(node.index(), (outcome, false));
    }

    /// Cleans a string; what comes of it is in `scratch.out`.
    fn string(&mut self, text: &str, state: u32, identity: bool) -> Outcome {
        let decision = self.memo.decision(state);
        if decision.idle {
            return Outcome::Same;
        }
        let look_inside = !identity && decision.whole.is_none() && may_be_json(text.as_bytes());
        if look_inside && let Some(outcome) = self.json_in_string(text, state) {
            return outcome;
        }
        let mut cleaner = Cleaner {
            pack: self.pack,
            pseudonyms: self.pseudonyms,
            finder: &mut self.scratch.finder,
            out: &mut self.scratch.out,
            hits: &mut self.scratch.hits,
        };
        let decision = self.memo.decision(state);
        if identity { cleaner.identity(text, decision) } else { cleaner.text(text, decision) }
    }

    fn number(&mut self, spelled: &str, state: u32) -> (Outcome, bool) {
        let mut cleaner = Cleaner {
            pack: self.pack,
            pseudonyms: self.pseudonyms,
            finder: &mut self.scratch.finder,
            out: &mut self.scratch.out,
            hits: &mut self.scratch.hits,
        };
        cleaner.number(spelled, self.memo.decision(state))
    }

    /// Notes what became of the value at a token; `bare` where the output is JSON as it stands.
    fn note(&mut self, token: u32, (outcome, bare): (Outcome, bool)) {
        match outcome {
            Outcome::Same => {}
            Outcome::Removed => self.edits.remove(token),
            Outcome::Text if bare => self.edits.replace(token, &self.scratch.out),
            Outcome::Text => self.edits.replace_with_string(token, &self.scratch.out),
        }
    }

    /// Cleans JSON text: the outcome, and whether the output is JSON rather than a string's text.
    fn json(&mut self, json: &str, state: u32, identity: bool) -> (Outcome, bool) {
        match json.as_bytes().first() {
            Some(b'"') => {
                let spelled = json.get(1..json.len() - 1).unwrap_or_default();
                if !spelled.contains('\\') {
                    return (self.string(spelled, state, identity), false);
                }
                let mut text = String::with_capacity(spelled.len());
                event::text::unescape_into(spelled, &mut text);
                (self.string(&text, state, identity), false)
            }
            _ if identity && self.identity_json(json, state) == Outcome::Text => {
                (Outcome::Text, false)
            }
            Some(b'{' | b'[') => {
                if self.removes_whole(state) {
                    return (Outcome::Removed, true);
                }
                (self.nested(json, state).unwrap_or(Outcome::Removed), true)
            }
            _ if identity => (Outcome::Same, true),
            Some(b'-' | b'0'..=b'9') => self.number(json, state),
            _ if self.removes_whole(state) => (Outcome::Removed, true),
            _ => (Outcome::Same, true),
        }
    }

    /// A value that an earlier edit put on the tape's.
    fn replaced(&mut self, token: u32, state: u32, top_key: Option<KeyId>, json: &str) {
        if !self.may_stay(state, top_key, json) {
            return self.edits.remove(token);
        }
        let identity = top_key.is_some_and(|key| IDENTITY.contains(&key));
        let outcome = self.json(json, state, identity);
        self.note(token, outcome);
    }

    /// False where allow-list mode takes the value out; counts it.
    fn may_stay(&mut self, state: u32, top_key: Option<KeyId>, json: &str) -> bool {
        let decision = self.memo.decision(state);
        let container = json.starts_with(['{', '[']);
        let stays = decision.allowed
            || container && decision.descend
            || top_key.is_some_and(|key| ALWAYS.contains(&key));
        if !stays {
            let rule = self.pack.allow_rule();
            self.cleaner().hit(rule);
        }
        stays
    }
}

/// True for scalars too short for any detector.
const fn is_short(node: Node<'_>) -> bool {
    let token = node.token();
    // The quotes count.
    !token.kind.is_container() && token.end - token.start < SHORTEST + 2
}

/// A cheap look at whether a string may be a JSON container.
#[inline]
fn may_be_json(bytes: &[u8]) -> bool {
    let starts = matches!(bytes.first(), Some(b'{' | b'[' | b' ' | b'\n' | b'\r' | b'\t'));
    if !starts || bytes.len() < 8 {
        return false;
    }
    let bytes = bytes.trim_ascii();
    matches!((bytes.first(), bytes.last()), (Some(b'{'), Some(b'}')) | (Some(b'['), Some(b']')))
}
