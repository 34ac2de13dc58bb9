//! Rows of `rudder_identity_merge_rules`: which ids belong to one person.

use crate::event::{Kind, Node, known};
use crate::warehouse::rules::{DEFAULT, EventKind};
use crate::warehouse::{Cell, ColumnId, Scalar, Sink, TableKind};

use super::value::{NO_TOKEN, Value, is_blank};
use super::{Event, Mapper, Unmappable};

/// The kind of an id and the id.
struct Id<'n> {
    kind: IdKind<'n>,
    value: Node<'n>,
}

enum IdKind<'n> {
    /// As the layout calls it.
    Named(&'static str),
    /// As the event calls it.
    Sent(Node<'n>),
}

impl<'n> Id<'n> {
    fn named(name: &'static str, value: Option<Node<'n>>) -> Option<Self> {
        let value = value.filter(|value| !is_blank(*value))?;
        Some(Self { kind: IdKind::Named(name), value })
    }
}

impl Mapper {
    /// Writes the rule of an event that is not a merge, where the source asks for it.
    pub(super) fn write_rule(&mut self, event: &Event<'_>, sink: &mut impl Sink) {
        if !event.layout.identity_rules {
            return;
        }
        let user = event.member(known::USER_ID);
        let (first, second) = if event.kind == EventKind::Alias {
            let previous = event.member(known::PREVIOUS_ID);
            (Id::named("user_id", user), Id::named("user_id", previous))
        } else {
            let anonymous = Id::named("anonymous_id", event.member(known::ANONYMOUS_ID));
            match anonymous {
                Some(anonymous) => (Some(anonymous), Id::named("user_id", user)),
                None => (Id::named("user_id", user), None),
            }
        };
        if let Some(first) = first {
            self.write_ids(event, [Some(first), second], sink);
        }
    }

    /// Writes the rule of a merge.
    pub(super) fn write_merge(
        &mut self,
        event: &Event<'_>,
        sink: &mut impl Sink,
    ) -> Result<(), Unmappable> {
        let missing = Unmappable::because("mergeProperties does not hold two ids");
        let list = event.member(known::MERGE_PROPERTIES).ok_or(missing)?;
        let mut ids = list.children().filter(|_| list.kind() == Kind::Array);
        let (Some(first), Some(second), None) = (ids.next(), ids.next(), ids.next()) else {
            return Err(missing);
        };
        let read = |id: Node<'_>| {
            let member = |key| id.get(key).filter(|value| !is_blank(*value)).map(|n| n.index());
            Some((member("type")?, member("value")?))
        };
        let (Some(first), Some(second)) = (read(first), read(second)) else {
            return Err(Unmappable::because("an id of mergeProperties has no type or no value"));
        };
        let node = |index| event.node.tape().node(index);
        let id = |(kind, value)| Some(Id { kind: IdKind::Sent(node(kind)), value: node(value) });
        self.write_ids(event, [id(first), id(second)], sink);
        let id = self.standard_value(event, DEFAULT[0]);
        let set = self.standard.set(event.mode.skip_reserved);
        let table = set.table(TableKind::MergeRules);
        self.write_discards(event, [(table, id); 2], sink);
        Ok(())
    }

    fn write_ids(&mut self, event: &Event<'_>, ids: [Option<Id<'_>>; 2], sink: &mut impl Sink) {
        let set = self.standard.set(event.mode.skip_reserved);
        let (table, columns) = (set.table(TableKind::MergeRules), set.merge);
        self.begin_row(table, TableKind::MergeRules, sink);
        for (id, columns) in ids.into_iter().zip(columns.chunks_exact(2)) {
            let Some(id) = id else { continue };
            match id.kind {
                IdKind::Named(name) => {
                    let cell = Cell { value: Scalar::Text(name), text: name, origin: NO_TOKEN };
                    sink.cell(&self.named(), ColumnId(columns[0]), cell);
                }
                IdKind::Sent(node) => {
                    let value: Value = self.text_value(node);
                    let cell = self.made.cell(&value, event.text);
                    sink.cell(&self.named(), ColumnId(columns[0]), cell);
                }
            }
            let value = self.text_value(id.value);
            let cell = self.made.cell(&value, event.text);
            sink.cell(&self.named(), ColumnId(columns[1]), cell);
        }
    }
}
