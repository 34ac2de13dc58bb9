//! The columns and tables that the layout itself names, and where their values stand in an event.

use crate::event::{KeyId, Kind, Node};
use crate::warehouse::names::{NameMode, blendo, transform};
use crate::warehouse::rules::{
    DEFAULT, DISCARD_COLUMNS, EventKind, MERGE_COLUMNS, REJECTED_COLUMNS, Standard, USERS,
    USERS_KEY, USERS_LAKE,
};
use crate::warehouse::{ColumnId, ColumnType, TableId, TableKind};

use super::intern::Names;
use super::paths::{Columns, INJECTED_KEYS, NO_COLUMN};

/// Keys whose ids are constants, and which stand in an event's root.
const KNOWN: usize = 32;

/// Where the members of an event's root stand that the gateway knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Members([u32; KNOWN]);

impl Members {
    /// `None` if the event is not an object.
    pub(super) fn read(event: Node<'_>) -> Option<Self> {
        if event.kind() != Kind::Object {
            return None;
        }
        let mut members = [u32::MAX; KNOWN];
        for child in event.children() {
            if let Some(member) = members.get_mut(child.key_id().index()) {
                *member = child.index();
            }
        }
        Some(Self(members))
    }

    /// The member with a known key.
    #[inline]
    pub(super) fn get<'e>(&self, event: Node<'e>, key: KeyId) -> Option<Node<'e>> {
        let index = *self.0.get(key.index())?;
        (index != u32::MAX).then(|| event.tape().node(index))
    }
}

/// Columns and tables under one setting for reserved words.
#[derive(Debug)]
pub(super) struct NamedSet {
    /// Of [`DEFAULT`], in its order.
    pub(super) default: [u32; 11],
    pub(super) event: u32,
    pub(super) event_text: u32,
    pub(super) record_id: u32,
    pub(super) rudder_event: u32,
    /// Of [`EventKind::own`], by kind.
    pub(super) own: [u32; 8],
    pub(super) merge: [u32; 4],
    pub(super) discards: [u32; 6],
    pub(super) rejected: [u32; 9],
    tables: [TableId; 11],
}

impl NamedSet {
    fn new(columns: &mut Columns, tables: &mut Names, skip_reserved: bool) -> Self {
        let namer = columns.namer.clone();
        let safe = |name: &str| namer.safe(name.to_owned(), skip_reserved);
        let mut standard = |name: &str| columns.intern_standard(&safe(name));
        let default = DEFAULT.map(|column| standard(column.name));
        let own = EventKind::ALL.map(|kind| kind.own().map_or(NO_COLUMN, |own| standard(own.name)));
        let [event, event_text, record_id, rudder_event] =
            ["event", "event_text", "record_id", "rudder_event"].map(standard);
        let mut plain = |name: &str| columns.intern(&safe(name));
        let merge = MERGE_COLUMNS.map(&mut plain);
        let discards = DISCARD_COLUMNS.map(&mut plain);
        let rejected = REJECTED_COLUMNS.map(&mut plain);
        let mut ids = [TableId(u32::MAX); 11];
        let own_tables = EventKind::ALL.into_iter().filter_map(EventKind::table);
        for (name, kind) in own_tables.chain([
            ("users", TableKind::Users),
            ("rudder_identity_merge_rules", TableKind::MergeRules),
            ("rudder_discards", TableKind::Discards),
            ("rejected", TableKind::Rejected),
        ]) {
            ids[kind as usize] = TableId(tables.intern(&safe(name)));
        }
        Self {
            default,
            event,
            event_text,
            record_id,
            rudder_event,
            own,
            merge,
            discards,
            rejected,
            tables: ids,
        }
    }

    /// The table of a kind that has but one.
    pub(super) const fn table(&self, kind: TableKind) -> TableId {
        self.tables[kind as usize]
    }

    /// The column of a name out of [`DEFAULT`], `users` or `extract`.
    pub(super) fn column(&self, name: &str) -> u32 {
        let default = DEFAULT.iter().zip(self.default).find(|(column, _)| column.name == name);
        default.map_or(self.event, |(_, id)| id)
    }

    /// The standard columns of a kind of table and whether each holds moments.
    fn of(&self, kind: TableKind, is_lake: bool) -> Vec<(u32, bool)> {
        let list = |columns: &[Standard]| -> Vec<(u32, bool)> {
            columns.iter().map(|column| (self.column(column.name), column.is_time)).collect()
        };
        let texts = |ids: &[u32]| -> Vec<(u32, bool)> {
            ids.iter().map(|id| (*id, *id == self.default[1])).collect()
        };
        match kind {
            TableKind::MergeRules => texts(&self.merge),
            TableKind::Discards => texts(&self.discards),
            TableKind::Rejected => texts(&self.rejected),
            TableKind::Users if is_lake => [list(&USERS_KEY), list(&USERS_LAKE)].concat(),
            TableKind::Users => [list(&USERS_KEY), list(&USERS)].concat(),
            TableKind::Event => [list(&DEFAULT), texts(&[self.event, self.event_text])].concat(),
            TableKind::Tracks => {
                let more = [self.event, self.event_text, self.record_id, self.rudder_event];
                [list(&DEFAULT), texts(&more)].concat()
            }
            _ => {
                let is = |event: &EventKind| event.table().is_some_and(|(_, own)| own == kind);
                let event = EventKind::ALL.into_iter().find(is);
                let own = event.map_or(NO_COLUMN, |event| self.own[event as usize]);
                [list(&DEFAULT), texts(&[own, self.rudder_event])].concat()
            }
        }
    }
}

/// Keys of the context under which the gateway keeps what a client wrote for a moment: any text.
const SPELLINGS: [&str; 2] = ["rawTimestamp", "rawOriginalTimestamp"];

/// All columns that the layout itself names.
#[derive(Debug)]
pub(super) struct StandardColumns {
    /// Reserved words escaped, and not.
    sets: [NamedSet; 2],
    /// What is injected into the context; under Blendo's rules too.
    injected: [[u32; 4]; 2],
    /// Spellings that the gateway keeps of moments it did not take over; under Blendo's rules too.
    spellings: [[u32; 2]; 2],
    load_time: Vec<ColumnId>,
    is_lake: bool,
}

impl StandardColumns {
    pub(super) fn new(columns: &mut Columns, tables: &mut Names) -> Self {
        let sets = [false, true].map(|skip| NamedSet::new(columns, tables, skip));
        let dialect = columns.namer.dialect();
        let mut load_time = vec![ColumnId(columns.intern("uuid_ts"))];
        if dialect.has_loaded_at() {
            load_time.push(ColumnId(columns.intern("loaded_at")));
        }
        let paths = INJECTED_KEYS.map(|key| format!("context_{key}"));
        let injected = [
            paths.each_ref().map(|path| columns.intern(&transform(path, false))),
            paths.each_ref().map(|path| columns.intern(&blendo(path))),
        ];
        let paths = SPELLINGS.map(|key| format!("context_{key}"));
        let spellings = [
            paths.each_ref().map(|path| columns.intern(&transform(path, false))),
            paths.each_ref().map(|path| columns.intern(&blendo(path))),
        ];
        Self { sets, injected, spellings, load_time, is_lake: dialect.is_lake() }
    }

    pub(super) const fn set(&self, skip_reserved: bool) -> &NamedSet {
        let [escaped, plain] = &self.sets;
        if skip_reserved { plain } else { escaped }
    }

    /// The column of the injected value of that number.
    pub(super) fn injected(&self, mode: NameMode, number: usize) -> u32 {
        self.injected[usize::from(mode.blendo)].get(number).copied().unwrap_or(NO_COLUMN)
    }

    /// The number of the injected value whose column this is.
    pub(super) fn injected_number(&self, column: u32) -> Option<usize> {
        self.injected.iter().find_map(|set| set.iter().position(|id| *id == column))
    }

    pub(super) fn load_time(&self) -> &[ColumnId] {
        &self.load_time
    }

    pub(super) const fn is_lake(&self) -> bool {
        self.is_lake
    }

    pub(super) fn column_type(&self, kind: TableKind, column: ColumnId) -> Option<ColumnType> {
        if self.load_time.contains(&column) && kind != TableKind::MergeRules {
            return Some(ColumnType::Datetime);
        }
        let own = matches!(kind, TableKind::MergeRules | TableKind::Discards | TableKind::Rejected);
        let is_spelling = || self.spellings.as_flattened().contains(&column.0);
        if !own && (self.injected_number(column.0).is_some() || is_spelling()) {
            return Some(ColumnType::String);
        }
        let columns = self.sets.iter().flat_map(|set| set.of(kind, self.is_lake));
        let mut found = columns.filter(|(id, _)| *id == column.0).map(|(_, is_time)| is_time);
        found.next().map(|time| if time { ColumnType::Datetime } else { ColumnType::String })
    }

    pub(super) fn is_required(&self, kind: TableKind, column: ColumnId) -> bool {
        let is = |place: usize| self.sets.iter().any(|set| set.default[place] == column.0);
        match kind {
            TableKind::MergeRules => false,
            TableKind::Discards => is(1),
            _ => is(0) || is(1),
        }
    }
}
