//! From an event's parts to leaves with columns.

use crate::event::{Kind, Node, Tape, Token};
use crate::warehouse::rules::{EventKind, Part};

use super::discards::{DiscardReason, Loser};
use super::paths::{HOSTILE, INJECTED, MANGLED, MANGLED_LOST, NO_COLUMN, STANDARD, kind_bit};
use super::value::{NO_TOKEN, Own, Value, is_blank};
use super::{Event, Mapper, Slot};

/// Levels of objects that are flattened in events of cloud sources.
const CLOUD_LEVELS: usize = 3;

/// The part that is being walked.
#[derive(Clone, Copy)]
struct Walk {
    part: Part,
    /// The part's place in [`EventKind::parts`].
    order: u8,
    /// One bit for the event's kind.
    kind: u8,
    /// Objects this far down become JSON text.
    levels_max: usize,
    /// Bytes at the start of the trail that are not part of a legacy path.
    legacy_from: usize,
    /// Paths are to be compared with `jsonPaths`.
    has_json_paths: bool,
}

impl Mapper {
    /// Finds the column of every leaf of the event.
    pub(super) fn walk(&mut self, event: &Event<'_>) {
        let parts = event.kind.parts(event.layout.allow_users_context_traits);
        for (order, &part) in parts.iter().enumerate() {
            let order = u8::try_from(order).unwrap_or(u8::MAX);
            self.walk_part(event, part, order);
        }
        self.lose_other_parts(event, parts);
    }

    fn walk_part(&mut self, event: &Event<'_>, part: Part, order: u8) {
        let root = self.paths.root(part, event.mode);
        let has_json_paths = !(event.layout.json_paths.is_empty() && self.event_paths.is_empty())
            && self.dialect.takes_json_paths();
        let mut walk = Walk {
            part,
            order,
            kind: kind_bit(event.kind),
            levels_max: if event.layout.flattens_three_levels() {
                CLOUD_LEVELS
            } else {
                usize::MAX
            },
            legacy_from: 0,
            has_json_paths,
        };
        if has_json_paths {
            self.trail.clear();
            self.trail.push_str(event.kind.name());
            self.trail.push('_');
            walk.legacy_from = self.trail.len();
            self.trail.push_str(&part.path().replace('.', "_"));
            self.trail.push('_');
            if part != Part::Context {
                walk.legacy_from = self.trail.len();
            }
        }
        if part == Part::Context {
            self.inject(event, root, walk);
        }
        let Some(node) = event.part(part) else { return };
        if node.kind() != Kind::Object {
            if part != Part::ContextTraits && !is_blank(node) {
                self.lose(node, DiscardReason::NotAnObject, NO_COLUMN);
            }
            return;
        }
        if event.kind == EventKind::Group && part == Part::Traits && is_mangled(node) {
            return self.lose(node, DiscardReason::NotAnObject, NO_COLUMN);
        }
        self.walk_object(event, node.index(), root, 0, walk);
    }

    /// Puts the ids and types of source and destination among the leaves of the context.
    fn inject(&mut self, event: &Event<'_>, root: u32, walk: Walk) {
        let origin = event.origin;
        let values =
            [origin.source_id, origin.source_type, origin.destination_id, origin.destination_type];
        for (number, text) in values.into_iter().enumerate().filter(|(_, text)| !text.is_empty()) {
            let column = self.standard.injected(event.mode, number);
            let text = self.made.keep(|made| made.push_str(text));
            let value = Value { own: Own::Text, text, token: NO_TOKEN };
            // The path is the root's own: `precedes` knows which key is meant.
            self.place(event, Slot::new(column, root, value, walk.order, true));
        }
    }

    /// Walks the members of an object. Goes by tokens, not nodes: this is the innermost loop, and a
    /// node carries its whole tape along.
    fn walk_object(
        &mut self,
        event: &Event<'_>,
        object: u32,
        above: u32,
        level: usize,
        walk: Walk,
    ) {
        let tape = &event.tape;
        let flags = self.paths.path(above).map_or(0, |path| path.flags);
        if flags & (MANGLED | MANGLED_LOST) != 0 && is_mangled(tape.node(object)) {
            return self.mangled(event, tape.node(object), above, flags, walk);
        }
        let Some(token) = tape.tokens().get(object as usize) else { return };
        self.paths.enter(above, token.key, tape.keys());
        let (mut at, end) = (object + 1, token.next);
        while at < end {
            let Some(child) = tape.tokens().get(at as usize) else { return };
            let index = std::mem::replace(&mut at, child.next);
            if skips(tape, index, child) {
                continue;
            }
            let path = self.paths.child(above, child.key, tape.keys(), &mut self.columns);
            if level == 0 && self.is_injected(path) {
                self.lose_leaves(tape.node(index), DiscardReason::Collision, NO_COLUMN);
                continue;
            }
            let kept = self.trail.len();
            let mut as_json = false;
            if walk.has_json_paths {
                self.trail.push_str(tape.keys().text(child.key));
                as_json = self.is_json_path(event, level, walk);
            }
            if child.kind == Kind::Object && level < walk.levels_max && !as_json {
                if walk.has_json_paths {
                    self.trail.push('_');
                }
                self.walk_object(event, index, path, level + 1, walk);
            } else {
                self.leaf(event, (index, child), path, as_json, walk);
            }
            if walk.has_json_paths {
                self.trail.truncate(kept);
            }
        }
    }

    /// True for a member of the context that the gateway writes itself.
    fn is_injected(&self, path: u32) -> bool {
        self.paths.path(path).is_some_and(|path| path.flags & INJECTED != 0)
    }

    fn is_json_path(&self, event: &Event<'_>, level: usize, walk: Walk) -> bool {
        let base = if walk.part == Part::ContextTraits { 3 } else { 2 };
        let complete = (self.trail.as_str(), base + level);
        let legacy = self.trail.get(walk.legacy_from..).map(|path| (path, level));
        let legacy = legacy.filter(|_| event.kind == EventKind::Track);
        event.layout.json_paths.matches(complete, legacy)
            || self.event_paths.matches(complete, legacy)
    }

    /// Gives a leaf its column, or says why it has none.
    #[inline]
    fn leaf(
        &mut self,
        event: &Event<'_>,
        (index, token): (u32, &Token),
        path: u32,
        as_json: bool,
        walk: Walk,
    ) {
        let Some(known) = self.paths.path(path) else { return };
        let (column, flags, reserved) = (known.column, known.flags, known.reserved);
        let reason = if flags & HOSTILE != 0 {
            Some(DiscardReason::HostileKey)
        } else if column == NO_COLUMN {
            Some(DiscardReason::EmptyName)
        } else if reserved & walk.kind != 0 {
            Some(DiscardReason::ReservedName)
        } else {
            None
        };
        if let Some(reason) = reason {
            if walk.part != Part::ContextTraits {
                self.lose_leaves(event.tape.node(index), reason, column);
            }
            return;
        }
        let value = if as_json {
            let text = self.made.json(event.tape.node(index));
            Value { own: Own::Json, text, token: index }
        } else {
            self.made.leaf(&event.tape, index, token)
        };
        let mut slot = Slot::new(column, path, value, walk.order, walk.part == Part::Context);
        slot.standard = flags & STANDARD != 0;
        slot.copy = walk.part == Part::ContextTraits;
        self.place(event, slot);
    }

    /// A string that some client took apart into `{"0":"a","1":"b"}`.
    fn mangled(&mut self, event: &Event<'_>, object: Node<'_>, path: u32, flags: u8, walk: Walk) {
        let Some(known) = self.paths.path(path) else { return };
        if flags & MANGLED == 0 || known.column == NO_COLUMN {
            if walk.part != Part::ContextTraits {
                self.lose(object, DiscardReason::NotAnObject, NO_COLUMN);
            }
            return;
        }
        let column = known.column;
        let text = self.made.keep(|text| join_mangled(object, text));
        let value = Value { own: Own::Text, text, token: object.index() };
        let slot = Slot::new(column, path, value, walk.order, walk.part == Part::Context);
        self.place(event, slot);
    }

    /// Puts a leaf into its column; where two meet, the later one in the order of parts and sorted
    /// keys has it.
    #[inline]
    fn place(&mut self, event: &Event<'_>, slot: Slot) {
        let stamp = self.event_stamp;
        let number = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        let owner = self.owner(slot.column);
        if owner.event != stamp {
            owner.event = stamp;
            owner.slot = number;
            self.slots.push(slot);
            return;
        }
        let other = owner.slot;
        self.contest(event, slot, number, other);
    }

    #[cold]
    fn contest(&mut self, event: &Event<'_>, slot: Slot, number: u32, other: u32) {
        let Some(&earlier) = self.slots.get(other as usize) else { return };
        let precedes = || {
            earlier.order < slot.order
                || (earlier.order == slot.order
                    && self.paths.precedes(earlier.path, slot.path, event.node.tape().keys()))
        };
        // Who sent an event is not for the client to say.
        let wins = !self.is_ours(&earlier) && (self.is_ours(&slot) || precedes());
        let loser = if wins {
            if let Some(earlier) = self.slots.get_mut(other as usize) {
                earlier.lost = true;
            }
            self.owner(slot.column).slot = number;
            self.slots.push(slot);
            earlier
        } else {
            slot
        };
        if !loser.copy && loser.value.token != NO_TOKEN {
            let token = loser.value.token;
            self.losers.push(Loser {
                token,
                reason: DiscardReason::Collision,
                column: slot.column,
            });
        }
    }

    /// True for a value that the gateway gives the context.
    fn is_ours(&self, slot: &Slot) -> bool {
        slot.value.token == NO_TOKEN && self.standard.injected_number(slot.column).is_some()
    }
}

/// True for what is no value: shadowed members and blank ones.
#[inline]
fn skips(tape: &Tape<'_>, index: u32, token: &Token) -> bool {
    match token.kind {
        Kind::Null => return true,
        Kind::String if token.end - token.start == 2 => return true,
        Kind::Array if is_blank(tape.node(index)) => return true,
        _ => {}
    }
    // Only what the parser has marked can be shadowed, or be empty though it is spelled with NUL.
    !tape.fixups().is_empty() && {
        let node = tape.node(index);
        node.is_shadowed() || is_blank(node)
    }
}

impl Slot {
    const fn new(column: u32, path: u32, value: Value, order: u8, in_context: bool) -> Self {
        Self {
            column,
            path,
            value,
            order,
            in_context,
            standard: false,
            copy: false,
            lost: false,
            written: false,
        }
    }
}

/// True for an object whose keys count up from 0 or 1 and whose values are single characters.
/// Only ASCII characters count, as one byte is what RudderStack looks for.
pub(super) fn is_mangled(object: Node<'_>) -> bool {
    let (mut count, mut least, mut most) = (0_u32, u32::MAX, 0_u32);
    for child in object.children() {
        let Some(number) = counting_key(child.key()) else { return false };
        if child.text().is_none_or(|text| text.len() != 1) {
            return false;
        }
        count += 1;
        least = least.min(number);
        most = most.max(number);
    }
    // Keys are distinct and without leading zeros, so that as many as fit between leave no gap.
    count > 0 && least <= 1 && most - least + 1 == count
}

/// The number a key spells, digits only, no leading zero.
fn counting_key(key: &str) -> Option<u32> {
    let digits = key.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = key == "0" || !key.starts_with('0');
    if digits && canonical { key.parse().ok() } else { None }
}

/// Appends the characters of a mangled string in order.
fn join_mangled(object: Node<'_>, out: &mut String) {
    let mut all: Vec<(u32, Node<'_>)> =
        object.children().filter_map(|child| Some((counting_key(child.key())?, child))).collect();
    all.sort_unstable_by_key(|(number, _)| *number);
    for (_, child) in all {
        out.push_str(&child.text().unwrap_or_default());
    }
}
