//! Leaves that get no column: each becomes a row of `rudder_discards` with its reason.

use crate::event::{Kind, Node, Tape};
use crate::warehouse::rules::{PARTS, Part};

use super::paths::NO_COLUMN;
use super::value::is_blank;
use super::{Event, Mapper};

/// Why a value has no column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DiscardReason {
    /// The name is a standard column's.
    ReservedName,
    /// No column can be named: no letter or digit in the path, no table for the event's name, or a
    /// part that events of this kind have no columns for.
    EmptyName,
    /// A part of the event is not an object.
    NotAnObject,
    /// Another value of the event has the column.
    Collision,
    /// A key of the path is one that readers could stumble over.
    HostileKey,
}

impl DiscardReason {
    /// The label in `rudder_discards.reason`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::ReservedName => "reserved_name",
            Self::EmptyName => "empty_name",
            Self::NotAnObject => "not_an_object",
            Self::Collision => "collision",
            Self::HostileKey => "hostile_key",
        }
    }
}

/// A leaf without a column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loser {
    pub(super) token: u32,
    pub(super) reason: DiscardReason,
    /// The column it would have had.
    pub(super) column: u32,
}

impl Mapper {
    /// Notes that `node` does not get `column`.
    pub(super) fn lose(&mut self, node: Node<'_>, reason: DiscardReason, column: u32) {
        self.losers.push(Loser { token: node.index(), reason, column });
    }

    /// Notes that `node`, or every leaf in it, does not get `column`.
    pub(super) fn lose_leaves(&mut self, node: Node<'_>, reason: DiscardReason, column: u32) {
        if node.kind() != Kind::Object {
            if !is_blank(node) {
                self.lose(node, reason, column);
            }
            return;
        }
        for child in node.children() {
            self.lose_leaves(child, reason, column);
        }
    }

    /// Notes the leaves of parts that events of this kind have no columns for.
    pub(super) fn lose_other_parts(&mut self, event: &Event<'_>, parts: &[Part]) {
        for part in PARTS {
            if parts.contains(&part) {
                continue;
            }
            match event.part(part) {
                Some(node) if node.kind() == Kind::Object => {
                    self.lose_leaves(node, DiscardReason::EmptyName, NO_COLUMN);
                }
                Some(node) if !is_blank(node) => {
                    self.lose(node, DiscardReason::NotAnObject, NO_COLUMN)
                }
                _ => {}
            }
        }
    }
}

/// The keys from the event down to `token`, joined by points: `properties.a.b`. A point or a
/// backslash in a key has a backslash before it.
#[must_use]
pub fn raw_path(event: Node<'_>, token: u32) -> String {
    let mut path = String::new();
    let tape: Tape<'_> = event.tape();
    let mut at = event;
    while at.index() != token {
        let holds = |child: &Node<'_>| child.index() <= token && token < child.token().next;
        let Some(child) = at.children().find(holds) else { break };
        if !path.is_empty() {
            path.push('.');
        }
        for ch in tape.keys().text(child.key_id()).chars() {
            if matches!(ch, '.' | '\\') {
                path.push('\\');
            }
            path.push(ch);
        }
        at = child;
    }
    path
}
