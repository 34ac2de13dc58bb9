//! From leaves with columns to rows.

use crate::event::{KeyId, Kind, Node, known};
use crate::warehouse::names::{NameMode, blendo, transform};
use crate::warehouse::rules::{DEFAULT, EventKind, Part, Source, Standard, USERS, USERS_LAKE};
use crate::warehouse::{Cell, ColumnId, Scalar, Sink, TableId, TableKind, datetime};

use super::discards::{DiscardReason, Loser, RawPaths, WHOLE_PATH_BYTES_MAX};
use super::value::{NO_TOKEN, Own, Value, is_blank};
use super::{Compared, Event, EventTable, Fixed, Mapper, Named, Unmappable};

/// Names of events whose tables are remembered, in each of the eight modes.
const KEPT_EVENTS_MAX: usize = 16_384;
/// Longest of them, in bytes; a longer one is worked out each time.
const KEPT_EVENT_BYTES_MAX: usize = 256;

impl<'e> Event<'e> {
    /// The part's value.
    pub(super) fn part(&self, part: Part) -> Option<Node<'e>> {
        let whole = self.members.get(self.node, part.key())?;
        if part == Part::ContextTraits { whole.member(known::TRAITS) } else { Some(whole) }
    }

    pub(super) fn member(&self, key: KeyId) -> Option<Node<'e>> {
        self.members.get(self.node, key)
    }

    /// True where the recordId names the row.
    fn has_cloud_id(&self) -> bool {
        let version = || self.part(Part::Context)?.get("sources")?.get("version");
        self.layout.has_record_ids() && version().is_some_and(|version| !is_blank(version))
    }

    /// The recordId, which must be a value.
    fn record_id(&self) -> Result<Node<'e>, Unmappable> {
        self.member(known::RECORD_ID)
            .filter(|id| !is_blank(*id) && !id.kind().is_container())
            .ok_or(Unmappable::because("recordId is missing or not a value"))
    }

    /// The node a standard column takes its value from.
    fn source(&self, source: Source) -> Option<Node<'e>> {
        let context_ip = || self.part(Part::Context)?.member(known::IP);
        let first = |one: Option<Node<'e>>, other: Option<Node<'e>>| {
            one.filter(|node| !is_blank(*node)).or(other)
        };
        let found = match source {
            Source::MessageId | Source::CloudId => self.member(known::MESSAGE_ID),
            Source::Member(key) => self.member(key),
            Source::ReceivedAt => self.member(known::RECEIVED_AT),
            Source::ContextIp => first(context_ip(), self.member(known::REQUEST_IP)),
            Source::PassedIp => context_ip(),
            Source::Name => first(
                self.member(known::NAME),
                self.part(Part::Properties).and_then(|properties| properties.member(known::NAME)),
            ),
            Source::RecordId | Source::CloudRecordId => self.member(known::RECORD_ID),
        };
        found.filter(|node| !node.kind().is_container() && !is_blank(*node))
    }
}

impl Mapper {
    /// Writes the event's rows.
    pub(super) fn write_rows(
        &mut self,
        event: &Event<'_>,
        sink: &mut impl Sink,
    ) -> Result<(), Unmappable> {
        match event.kind {
            EventKind::Track => self.write_track(event, sink),
            EventKind::Identify => {
                self.write_identify(event, sink);
                Ok(())
            }
            EventKind::Extract => self.write_extract(event, sink),
            EventKind::Merge => self.write_merge(event, sink),
            _ => {
                self.write_plain(event, sink);
                Ok(())
            }
        }
    }

    /// The value of a standard column.
    pub(super) fn standard_value(
        &mut self,
        event: &Event<'_>,
        standard: Standard,
    ) -> Option<Value> {
        let found = event.source(standard.source);
        match standard.source {
            Source::MessageId | Source::CloudId if found.is_none() => {
                let text = self.made.keep(|made| made.push_str(event.origin.minted_id));
                Some(Value { own: Own::Text, text, token: NO_TOKEN })
            }
            Source::ReceivedAt => {
                let value =
                    found.map(|node| self.made.leaf(&event.tape, node.index(), node.token()));
                let is_time = |value: &Value| matches!(value.own, Own::Datetime(_));
                Some(value.filter(is_time).unwrap_or_else(|| self.arrival(event)))
            }
            _ if standard.is_time => {
                found.map(|node| self.made.leaf(&event.tape, node.index(), node.token()))
            }
            _ => found.map(|node| self.text_value(node)),
        }
    }

    pub(super) fn text_value(&mut self, node: Node<'_>) -> Value {
        Value { own: Own::Text, text: self.made.text(node), token: node.index() }
    }

    fn arrival(&mut self, event: &Event<'_>) -> Value {
        let micros = event.origin.received_at;
        let text = self.made.keep(|made| datetime::write(micros, made));
        Value { own: Own::Datetime(micros), text, token: NO_TOKEN }
    }

    /// Works out the columns of [`DEFAULT`]; `id` is the first.
    fn fix_default(&mut self, event: &Event<'_>) {
        for (place, standard) in DEFAULT.into_iter().enumerate() {
            let value = self.standard_value(event, standard);
            let column = self.standard.set(event.mode.skip_reserved).default[place];
            self.fixed.push(Fixed { column, value });
        }
    }

    /// Fixes the kind's own column and the whole event's, where there are any.
    fn fix_own(&mut self, event: &Event<'_>) {
        if let Some(own) = event.kind.own() {
            let value = self.standard_value(event, own);
            let column = self.standard.set(event.mode.skip_reserved).own[event.kind as usize];
            self.fixed.push(Fixed { column, value });
        }
    }

    /// The whole event as JSON text, with what the gateway put into its context.
    fn full_event(&mut self, event: &Event<'_>) -> Option<Fixed> {
        if !event.layout.store_full_event {
            return None;
        }
        let column = self.standard.set(event.mode.skip_reserved).rudder_event;
        let text = self.made.keep(|made| super::full_event::write(event, made));
        let value = Value { own: Own::Text, text, token: event.node.index() };
        Some(Fixed { column, value: Some(value) })
    }

    pub(super) fn begin_row(&mut self, table: TableId, kind: TableKind, sink: &mut impl Sink) {
        self.row_stamp = self.row_stamp.wrapping_add(1);
        if self.row_stamp == 0 {
            self.owners.clear();
            self.row_stamp = 1;
        }
        sink.row(&self.named(), table, kind);
    }

    /// Writes a standard value; the column is taken in this row.
    fn put(&mut self, fixed: Fixed, event: &Event<'_>, sink: &mut impl Sink) {
        let Some(value) = fixed.value else { return };
        let stamp = self.row_stamp;
        self.owner(fixed.column).row = stamp;
        let cell = self.made.cell(&value, event.text);
        sink.cell(&self.named(), ColumnId(fixed.column), cell);
        self.written.push(fixed);
    }

    /// Keeps a client's value out of a standard column of this row.
    fn take_out(&mut self, column: u32) {
        let stamp = self.row_stamp;
        self.owner(column).row = stamp;
    }

    /// Writes all of `fixed` from the one numbered `from` on. With `strict`, those without a value
    /// are taken out of the row.
    fn put_fixed(&mut self, from: usize, strict: bool, event: &Event<'_>, sink: &mut impl Sink) {
        for number in from..self.fixed.len() {
            let fixed = self.fixed[number];
            if strict && fixed.value.is_none() {
                self.take_out(fixed.column);
            }
            self.put(fixed, event, sink);
        }
    }

    /// Writes the leaves that no standard column of this row stands against.
    fn put_slots(&mut self, context_only: bool, event: &Event<'_>, sink: &mut impl Sink) {
        let Self { slots, owners, made, row_stamp, columns, tables, .. } = self;
        let names = &Named { columns: &columns.names, tables };
        for slot in slots.iter_mut() {
            if slot.lost || (context_only && !slot.in_context) {
                continue;
            }
            let owner = owners.get(slot.column as usize);
            if slot.standard && owner.is_some_and(|owner| owner.row == *row_stamp) {
                continue;
            }
            slot.written = true;
            let (column, cell) = (ColumnId(slot.column), made.cell(&slot.value, event.text));
            if slot.value.own == Own::Json {
                sink.json(names, column, cell);
            } else {
                sink.cell(names, column, cell);
            }
        }
    }

    fn write_plain(&mut self, event: &Event<'_>, sink: &mut impl Sink) {
        let Some((_, kind)) = event.kind.table() else { return };
        self.fix_default(event);
        self.fix_own(event);
        let full = self.full_event(event);
        let table = self.standard.set(event.mode.skip_reserved).table(kind);
        self.begin_row(table, kind, sink);
        self.put_fixed(0, true, event, sink);
        if let Some(full) = full {
            self.put(full, event, sink);
        }
        self.put_slots(false, event, sink);
        self.write_rule(event, sink);
        let id = self.fixed.first().and_then(|fixed| fixed.value);
        self.write_discards(event, [(table, id); 2], sink);
    }

    fn write_identify(&mut self, event: &Event<'_>, sink: &mut impl Sink) {
        self.fix_default(event);
        let full = self.full_event(event);
        let set = self.standard.set(event.mode.skip_reserved);
        let (table, users) = (set.table(TableKind::Identifies), set.table(TableKind::Users));
        self.begin_row(table, TableKind::Identifies, sink);
        self.put_fixed(0, true, event, sink);
        if let Some(full) = full {
            self.put(full, event, sink);
        }
        self.put_slots(false, event, sink);
        self.write_rule(event, sink);
        let row_id = self.fixed.first().and_then(|fixed| fixed.value);
        let user = event.source(Source::Member(known::USER_ID));
        let user = user
            .map(|node| self.text_value(node))
            .filter(|value| !self.made.get(value.text, event.text).trim().is_empty());
        let skipped = event.layout.skip_users_table || event.options.skip_users;
        if let Some(user) = user.filter(|_| !skipped) {
            self.write_user(event, users, user, sink);
        }
        self.write_discards(event, [(table, row_id); 2], sink);
    }

    fn write_user(&mut self, event: &Event<'_>, table: TableId, user: Value, sink: &mut impl Sink) {
        self.begin_row(table, TableKind::Users, sink);
        let columns = if self.standard.is_lake() { &USERS_LAKE[..] } else { &USERS[..] };
        let set = self.standard.set(event.mode.skip_reserved);
        let id = Fixed { column: set.default[0], value: Some(user) };
        let names = columns.iter().map(|standard| standard.name).chain(["received_at"]);
        let wanted: [Option<u32>; 8] = {
            let mut wanted = [None; 8];
            wanted.iter_mut().zip(names).for_each(|(slot, name)| *slot = Some(set.column(name)));
            wanted
        };
        self.put(id, event, sink);
        for number in 0..self.fixed.len() {
            let fixed = self.fixed[number];
            if wanted.contains(&Some(fixed.column)) {
                if fixed.value.is_none() {
                    self.take_out(fixed.column);
                }
                self.put(fixed, event, sink);
            }
        }
        self.put_slots(false, event, sink);
    }

    fn write_track(&mut self, event: &Event<'_>, sink: &mut impl Sink) -> Result<(), Unmappable> {
        let cloud = if event.has_cloud_id() { Some(event.record_id()?) } else { None };
        let cloud = cloud.map(|node| self.text_value(node));
        let name = event.source(Source::Member(known::EVENT));
        let name_text = name.map(|node| self.text_value(node));
        let text = name.filter(|node| node.kind() == Kind::String).and(name_text);
        let (table, event_value) = self.event_table(event, text);
        let skip_tracks = event.layout.skip_tracks_table || event.options.skip_tracks;
        if skip_tracks && table.is_none() {
            return Err(Unmappable::because("the event's name makes no table"));
        }
        self.fix_default(event);
        let set = self.standard.set(event.mode.skip_reserved);
        let (record_id, tracks) = (set.record_id, set.table(TableKind::Tracks));
        let (event_text, event_column) = (set.event_text, set.event);
        self.fixed.push(Fixed { column: event_text, value: name_text });
        self.fixed.push(Fixed { column: event_column, value: Some(event_value) });
        let id = self.fixed.first().and_then(|fixed| fixed.value);
        if !skip_tracks {
            let full = self.full_event(event);
            self.begin_row(tracks, TableKind::Tracks, sink);
            self.put_fixed(0, true, event, sink);
            self.put(Fixed { column: record_id, value: cloud }, event, sink);
            if let Some(full) = full {
                self.put(full, event, sink);
            }
            self.put_slots(true, event, sink);
        }
        let row_id = cloud.or(id);
        if let Some(table) = table {
            self.begin_row(table, TableKind::Event, sink);
            let column = self.fixed[0].column;
            self.put(Fixed { column, value: row_id }, event, sink);
            self.put_fixed(1, false, event, sink);
            self.put_slots(false, event, sink);
            self.write_rule(event, sink);
        } else {
            self.lose_unnamed();
        }
        let of_parts = table.map_or((tracks, id), |table| (table, row_id));
        let of_context = if skip_tracks { of_parts } else { (tracks, id) };
        self.write_discards(event, [of_context, of_parts], sink);
        Ok(())
    }

    /// Leaves of an event whose name makes no table have no column.
    fn lose_unnamed(&mut self) {
        for slot in self.slots.iter_mut().filter(|slot| !slot.in_context && !slot.lost) {
            slot.lost = true;
            self.losers.push(Loser {
                token: slot.value.token,
                reason: DiscardReason::EmptyName,
                column: slot.column,
            });
        }
    }

    fn write_extract(&mut self, event: &Event<'_>, sink: &mut impl Sink) -> Result<(), Unmappable> {
        let record = event.record_id()?;
        let no_name = Unmappable::because("the event's name makes no table");
        let name = event.source(Source::Member(known::EVENT)).ok_or(no_name)?;
        let name = self.text_value(name);
        let (table, _) = self.event_table(event, Some(name));
        let table = table.ok_or(no_name)?;
        let record = self.text_value(record);
        let set = self.standard.set(event.mode.skip_reserved);
        let [id, received_at] = [set.default[0], set.default[1]];
        let event_column = set.event;
        let received = self.standard_value(event, DEFAULT[1]);
        self.begin_row(table, TableKind::Event, sink);
        for (column, value) in
            [(id, Some(record)), (received_at, received), (event_column, Some(name))]
        {
            let fixed = Fixed { column, value };
            self.fixed.push(fixed);
            self.put(fixed, event, sink);
        }
        self.put_slots(false, event, sink);
        self.write_discards(event, [(table, Some(record)); 2], sink);
        Ok(())
    }

    /// The table of an event's name, and the value of its `event` column.
    fn event_table(&mut self, event: &Event<'_>, name: Option<Value>) -> (Option<TableId>, Value) {
        let name = name.map_or("", |name| self.made.get(name.text, event.text));
        let mode = event.mode;
        let known = &mut self.events[mode.index()];
        let made = |text| Value { own: Own::Text, text, token: NO_TOKEN };
        if let Some(found) = known.get(name) {
            let text = self.made.keep(|made| made.push_str(&found.event));
            return (found.table, made(text));
        }
        let (column, table) = name_table(&self.columns.namer, name, mode);
        let table = table.map(|table| TableId(self.tables.intern(&table)));
        if known.len() >= KEPT_EVENTS_MAX {
            known.clear();
        }
        if name.len() <= KEPT_EVENT_BYTES_MAX {
            known.insert(name.into(), EventTable { table, event: column.as_str().into() });
        }
        (table, made(self.made.keep(|made| made.push_str(&column))))
    }

    /// Writes `rudder_discards` rows for all leaves that are in no row. `rows` says which table and
    /// id those of the context and those of the other parts would have had.
    pub(super) fn write_discards(
        &mut self,
        event: &Event<'_>,
        rows: [(TableId, Option<Value>); 2],
        sink: &mut impl Sink,
    ) {
        let Self { slots, written, losers, .. } = self;
        for slot in slots.iter().filter(|slot| !slot.lost && !slot.written && !slot.copy) {
            losers.push(Loser {
                token: slot.value.token,
                reason: DiscardReason::ReservedName,
                column: slot.column,
            });
        }
        // A standard column that is made of the very value has it: `context.ip`, most of all.
        losers.retain(|loser| {
            let is_itself = |value: Value| value.own == Own::Text && value.token == loser.token;
            loser.reason != DiscardReason::ReservedName
                || !written
                    .iter()
                    .any(|fixed| fixed.column == loser.column && fixed.value.is_some_and(is_itself))
        });
        if self.losers.is_empty() {
            return;
        }
        let context = event.part(Part::Context).map(|context| context.token().next);
        let context_from = event.part(Part::Context).map_or(u32::MAX, Node::index);
        let received = self.standard_value(event, DEFAULT[1]);
        let set = self.standard.set(event.mode.skip_reserved);
        let (table, columns) = (set.table(TableKind::Discards), set.discards);
        self.losers.sort_by_key(|loser| loser.token);
        let mut paths = RawPaths::new(event.node);
        for number in 0..self.losers.len() {
            let loser = self.losers[number];
            if loser.token == NO_TOKEN {
                self.hangs_on_more = true;
                continue;
            }
            let node = event.node.tape().node(loser.token);
            let value = self.text_value(node);
            if loser.reason == DiscardReason::ReservedName && self.finds_twin(loser, value, event) {
                continue;
            }
            let in_context =
                loser.token >= context_from && context.is_some_and(|next| loser.token < next);
            let (row_table, row_id) = rows[usize::from(!in_context)];
            let path = paths.get(loser.token);
            // One that is cut is told from others by the number of its token.
            self.hangs_on_more |= path.len() > WHOLE_PATH_BYTES_MAX;
            let names = &self.named();
            sink.row(names, table, TableKind::Discards);
            let text = |text| Cell { value: Scalar::Text(text), text, origin: NO_TOKEN };
            let mut cell = |place: usize, cell: Cell<'_>| {
                sink.cell(names, ColumnId(columns[place]), cell);
            };
            cell(0, text(path));
            cell(1, self.made.cell(&value, event.text));
            cell(2, text(loser.reason.label()));
            if let Some(received) = received {
                cell(3, self.made.cell(&received, event.text));
            }
            if let Some(row_id) = row_id {
                cell(4, self.made.cell(&row_id, event.text));
            }
            cell(5, text(self.tables.name(row_table.0)));
        }
    }

    /// Whether the standard column that a leaf could not have holds the very same text; notes what was
    /// compared.
    fn finds_twin(&mut self, loser: Loser, value: Value, event: &Event<'_>) -> bool {
        let Self { made, written, compared, .. } = self;
        let text = made.get(value.text, event.text);
        let of_column = written.iter().filter(|fixed| fixed.column == loser.column);
        let others = compared.len();
        for of in of_column.filter_map(|fixed| fixed.value) {
            let are_same = made.get(of.text, event.text) == text;
            if are_same {
                compared.truncate(others);
            }
            compared.push(Compared { token: loser.token, of: of.token, are_same });
            if are_same {
                return true;
            }
        }
        false
    }
}

/// The value of the `event` column and the table's name, if one can be made.
fn name_table(
    namer: &crate::warehouse::names::Namer,
    name: &str,
    mode: NameMode,
) -> (String, Option<String>) {
    let (column, table) = if mode.blendo {
        let column = name.to_lowercase().trim().to_owned();
        let table = if column.is_empty() { String::new() } else { blendo(&column) };
        (column, table)
    } else {
        let column = transform(name, mode.divide_numbers);
        let table = transform(&column, mode.divide_numbers);
        (column, table)
    };
    if table.is_empty() {
        return (column, None);
    }
    let table = namer.safe(table, mode.skip_reserved);
    (column, Some(namer.protect(table, mode.skip_reserved, true)))
}
