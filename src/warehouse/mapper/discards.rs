//! Leaves that get no column: each becomes a row of `rudder_discards` with its reason.

use crate::event::{Children, Kind, Node};
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

/// Longest raw path, in bytes. A longer one is cut and told from others by its token's number, so
/// that one long key above many values does not multiply.
const RAW_PATH_BYTES_MAX: usize = 1_024;

/// No shorter path is cut: it is that of its keys, whatever else the event holds.
pub(super) const WHOLE_PATH_BYTES_MAX: usize = RAW_PATH_BYTES_MAX / 2;

/// The keys from the event down to a value, joined by points: `properties.a.b`. A point or a
/// backslash in a key has a backslash before it.
///
/// Asked for in ascending order of tokens, all paths of an event cost one pass over it.
#[derive(Debug)]
pub struct RawPaths<'t> {
    event: Node<'t>,
    /// The containers down to the last value: what is still to be looked at in each, where it
    /// ends, and how long its path is.
    open: Vec<(Children<'t>, u32, usize)>,
    path: String,
    last: u32,
}

impl<'t> RawPaths<'t> {
    /// The paths of values in `event`.
    #[must_use]
    pub const fn new(event: Node<'t>) -> Self {
        Self { event, open: Vec::new(), path: String::new(), last: 0 }
    }

    /// The path of `token`; empty if it is no value of the event.
    pub fn get(&mut self, token: u32) -> &str {
        if self.open.is_empty() || token <= self.last {
            self.open.clear();
            self.open.push((self.event.children(), self.event.token().next, 0));
        }
        self.last = token;
        while self.open.len() > 1 && self.open.last().is_some_and(|(_, end, _)| *end <= token) {
            self.open.pop();
        }
        let length = self.open.last().map_or(0, |(.., length)| *length);
        self.path.truncate(length);
        while let Some((children, ..)) = self.open.last_mut() {
            let Some(child) = children.find(|child| token < child.token().next) else { break };
            push_key(child.key(), &mut self.path);
            self.open.push((child.children(), child.token().next, self.path.len()));
            if child.index() >= token {
                break;
            }
        }
        shorten(&mut self.path, token);
        &self.path
    }
}

/// Cuts a path that is too long and tells it from others by its token.
fn shorten(path: &mut String, token: u32) {
    if path.len() > RAW_PATH_BYTES_MAX {
        path.truncate(path.floor_char_boundary(RAW_PATH_BYTES_MAX));
        path.push('#');
        path.push_str(&token.to_string());
    }
}

/// The raw path of the value `token` whose keys, from the event down, are `keys`.
#[must_use]
pub fn raw_path_of<'k>(keys: impl Iterator<Item = &'k str>, token: u32) -> String {
    let mut path = String::new();
    keys.for_each(|key| push_key(key, &mut path));
    shorten(&mut path, token);
    path
}

/// Appends a key, but no more of it than makes the path too long.
fn push_key(key: &str, path: &mut String) {
    if !path.is_empty() {
        path.push('.');
    }
    for ch in key.chars() {
        if path.len() > RAW_PATH_BYTES_MAX {
            return;
        }
        if matches!(ch, '.' | '\\') {
            path.push('\\');
        }
        path.push(ch);
    }
}

/// The raw path of one value, see [`RawPaths`].
#[must_use]
pub fn raw_path(event: Node<'_>, token: u32) -> String {
    RawPaths::new(event).get(token).to_owned()
}
