//! Rows of a unified table out of the cells of its member tables.
//!
//! `crate::unified` decides where a column goes; this keeps the decisions by column id, fills the
//! core columns and lets aliases fill what stayed empty. A member's column whose name is taken by a
//! core column that the gateway fills goes to the variant column of its type, as any value does
//! that its column cannot take.

mod plan;

use super::builder::{Given, Slot, TableBuilder};
use super::ids::Ids;
use super::overflow::Leaves;
use super::sink::Event;
use super::texts::Texts;
use crate::record::Route;
use crate::unified::{Alias, Feed, Platform, Role, Unified, of_library, of_user_agent};
use crate::warehouse::{Cell, ColumnId, Names, Scalar, TableKind};

pub(super) use plan::Member;

const DAY_MICROS: i64 = 86_400_000_000;

/// The day of a moment, both counted from 1970.
pub(super) const fn day(micros: i64) -> i64 {
    micros.div_euclid(DAY_MICROS)
}

/// State of one unified table beside its builder.
#[derive(Debug)]
pub(super) struct UnifiedRows {
    block: usize,
    core: Core,
    roles: Ids<Known>,
    extras: Vec<Extra>,
    /// What the open row tells of the platform.
    library: Option<Platform>,
    user_agent: Option<Platform>,
    platform_is_given: bool,
    aliases: Vec<Held>,
    texts: String,
    /// Canonical columns that the open row has.
    given: Vec<usize>,
}

/// The core columns that are not fed by a column of the same name in every member table.
#[derive(Debug)]
struct Core {
    event_date: Slot,
    environment: Slot,
    source_name: Slot,
    platform: Slot,
    event_type: Slot,
    event: Slot,
    session_id: Slot,
    time_adjusted: Slot,
    source_schema: Slot,
    source_table: Slot,
    relation: Slot,
}

impl Core {
    /// The column, if it is one that the gateway makes a text of from what the event says.
    fn as_text(&self, name: &str) -> Option<Slot> {
        match name {
            "session_id" => Some(self.session_id),
            "time_adjusted" => Some(self.time_adjusted),
            _ => None,
        }
    }
}

/// A [`crate::unified::Role`] with its column looked up, in eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    /// The column, or none where it is excluded.
    slot: Slot,
    /// One more than its place in [`UnifiedRows::extras`]; 0 for most.
    extra: u16,
    is_set: bool,
}

const UNKNOWN: Known = Known { slot: Slot::NONE, extra: 0, is_set: false };

/// What else a member's column does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Extra {
    feeds: Option<Feed>,
    fills: Option<Alias>,
    is: Option<usize>,
}

/// A cell that may fill a canonical column when the row ends.
#[derive(Debug)]
struct Held {
    alias: Alias,
    value: Option<Fixed>,
    text: std::ops::Range<usize>,
    origin: u32,
}

/// A scalar but text.
#[derive(Clone, Copy, Debug)]
enum Fixed {
    Bool(bool),
    Int(i64),
    Float(f64),
    Datetime(i64),
}

impl UnifiedRows {
    /// About the bytes that it takes between two batches.
    pub(super) fn kept_bytes(&self) -> usize {
        self.roles.bytes()
    }

    /// The builder was opened with the core columns.
    pub(super) fn new(builder: &TableBuilder, block: usize) -> Self {
        let slot = |name| builder.slot(name).unwrap_or(Slot::NONE);
        Self {
            block,
            core: Core {
                event_date: slot("event_date"),
                environment: slot("environment"),
                source_name: slot("source_name"),
                platform: slot("platform"),
                event_type: slot("type"),
                event: slot("event"),
                session_id: slot("session_id"),
                time_adjusted: slot("time_adjusted"),
                source_schema: slot("_source_schema"),
                source_table: slot("_source_table"),
                relation: slot("_dbt_source_relation"),
            },
            roles: Ids::new(UNKNOWN),
            extras: Vec::new(),
            library: None,
            user_agent: None,
            platform_is_given: false,
            aliases: Vec::new(),
            texts: String::new(),
            given: Vec::new(),
        }
    }

    /// Number of the block.
    pub(super) const fn block(&self) -> usize {
        self.block
    }

    /// Starts a row and fills what is known before its cells.
    pub(super) fn begin_row(
        &mut self,
        (builder, texts): (&mut TableBuilder, &mut Texts),
        event: &Event<'_>,
        kind: TableKind,
        route: &Route,
    ) {
        builder.begin_row(event.received_at);
        let core = &self.core;
        let given = [
            (core.environment, route.environment.as_str()),
            (core.source_name, &route.source_name),
            (core.platform, &route.platform),
            (core.event_type, event.event_type),
        ];
        for (slot, text) in given {
            builder.claim(slot);
            if !text.is_empty() {
                builder.fill(slot, Scalar::Text(text), text, texts);
            }
        }
        builder.claim(core.event_date);
        let day = Scalar::Int(day(event.received_at));
        builder.fill(core.event_date, day, "", texts);
        builder.claim(core.session_id);
        builder.claim(core.time_adjusted);
        if matches!(kind, TableKind::Pages | TableKind::Screens) {
            builder.claim(core.event);
        }
        self.library = None;
        self.user_agent = None;
        self.platform_is_given = !route.platform.is_empty();
        self.aliases.clear();
        self.texts.clear();
        self.given.clear();
    }

    /// Fills where the row comes from.
    pub(super) fn fill_lineage(
        &self,
        (builder, texts): (&mut TableBuilder, &mut Texts),
        [schema, table, relation]: [&str; 3],
    ) {
        let Core { source_schema, source_table, relation: of, .. } = self.core;
        for (slot, text) in [(source_schema, schema), (source_table, table), (of, relation)] {
            builder.claim(slot);
            builder.fill(slot, Scalar::Text(text), text, texts);
        }
    }

    /// Sends a member's cell where its column goes.
    #[inline]
    pub(super) fn cell(
        &mut self,
        (builder, texts): (&mut TableBuilder, &mut Texts),
        plan: &Unified,
        (id, names): (ColumnId, &dyn Names),
        given: &mut Given<'_>,
        leaves: &dyn Leaves,
    ) {
        let mut known = self.roles.get(id);
        if !known.is_set {
            known = self.first_cell((builder, texts), plan, (id, names), given, leaves);
        } else if known.slot != Slot::NONE {
            builder.cell_at(known.slot, given, texts, leaves);
        }
        if known.extra != 0
            && let Some(&extra) = self.extras.get(usize::from(known.extra) - 1)
        {
            self.feed((builder, texts), extra, given.cell);
        }
    }

    /// Ends the row but for [`TableBuilder::end_row`].
    pub(super) fn end_row(
        &mut self,
        (builder, texts): (&mut TableBuilder, &mut Texts),
        plan: &Unified,
        leaves: &dyn Leaves,
    ) {
        if !self.platform_is_given {
            let name = Platform::name(Platform::of(self.library, self.user_agent));
            builder.fill(self.core.platform, Scalar::Text(name), name, texts);
        }
        if self.aliases.is_empty() {
            return;
        }
        let Some(block) = plan.blocks.get(self.block) else { return };
        let mut held = std::mem::take(&mut self.aliases);
        held.sort_by_key(|held| held.alias);
        for Held { alias, value, text, origin } in held.drain(..) {
            let Some((canonical, _)) = block.aliases.get(alias.canonical) else { continue };
            if self.given.contains(&alias.canonical) {
                continue;
            }
            self.given.push(alias.canonical);
            let text = self.texts.get(text).unwrap_or_default();
            if let Some(slot) = self.core.as_text(canonical) {
                builder.fill(slot, Scalar::Text(text), text, texts);
                continue;
            }
            let value = match value {
                Some(Fixed::Bool(value)) => Scalar::Bool(value),
                Some(Fixed::Int(value)) => Scalar::Int(value),
                Some(Fixed::Float(value)) => Scalar::Float(value),
                Some(Fixed::Datetime(value)) => Scalar::Datetime(value),
                None => Scalar::Text(text),
            };
            let cell = Cell { value, text, origin };
            builder.cell_named(canonical, &mut Given::new(&cell), texts, leaves);
        }
        self.aliases = held;
    }

    /// Keeps where a member's column goes, unless that has no column yet.
    pub(super) fn look_up(
        &mut self,
        builder: &TableBuilder,
        plan: &Unified,
        id: ColumnId,
        names: &dyn Names,
    ) {
        if self.roles.get(id).is_set {
            return;
        }
        let name = names.column(id).to_ascii_lowercase();
        let Some(role) = self.role(plan, &name) else { return };
        let slot = match role.column {
            Some(column) => builder.find(column),
            None => Some(Slot::NONE),
        };
        if let Some(slot) = slot {
            self.know(id, role, slot);
        }
    }

    fn role<'r>(&self, plan: &'r Unified, name: &'r str) -> Option<Role<'r>> {
        Some(plan.blocks.get(self.block)?.role(name, &plan.escaped))
    }

    /// Gives the first cell of a column.
    #[cold]
    fn first_cell(
        &mut self,
        (builder, texts): (&mut TableBuilder, &mut Texts),
        plan: &Unified,
        (id, names): (ColumnId, &dyn Names),
        given: &mut Given<'_>,
        leaves: &dyn Leaves,
    ) -> Known {
        let name = names.column(id).to_ascii_lowercase();
        let Some(role) = self.role(plan, &name) else { return UNKNOWN };
        let slot = role
            .column
            .map_or(Slot::NONE, |column| builder.cell_named(column, given, texts, leaves));
        self.know(id, role, slot)
    }

    /// Keeps that a member's column goes to this one, if that has a place.
    fn know(&mut self, id: ColumnId, role: Role<'_>, slot: Slot) -> Known {
        let mut known = Known { slot, ..UNKNOWN };
        if role.feeds.is_some() || role.fills.is_some() || role.is.is_some() {
            let extra = Extra { feeds: role.feeds, fills: role.fills, is: role.is };
            let at = self.extras.iter().position(|&known| known == extra).unwrap_or_else(|| {
                self.extras.push(extra);
                self.extras.len() - 1
            });
            // At most one for each alias and fed column, and one to say none.
            known.extra = u16::try_from(at + 1).unwrap_or(0);
        }
        // A column past the cap is looked up each time: it has no place to be kept.
        known.is_set = role.column.is_none() || known.slot != Slot::NONE;
        if known.is_set {
            self.roles.set(id, known);
        }
        known
    }

    fn feed(
        &mut self,
        (builder, texts): (&mut TableBuilder, &mut Texts),
        extra: Extra,
        cell: &Cell<'_>,
    ) {
        let text = cell.text;
        match extra.feeds {
            Some(Feed::SessionId) => {
                builder.fill(self.core.session_id, Scalar::Text(text), text, texts)
            }
            Some(Feed::TimeAdjusted) => {
                builder.fill(self.core.time_adjusted, Scalar::Text(text), text, texts);
            }
            Some(Feed::Library) => self.library = of_library(text),
            Some(Feed::UserAgent) => self.user_agent = of_user_agent(text),
            None => {}
        }
        self.given.extend(extra.is);
        if let Some(alias) = extra.fills {
            let from = self.texts.len();
            self.texts.push_str(text);
            let value = match cell.value {
                Scalar::Bool(value) => Some(Fixed::Bool(value)),
                Scalar::Int(value) => Some(Fixed::Int(value)),
                Scalar::Float(value) => Some(Fixed::Float(value)),
                Scalar::Datetime(value) => Some(Fixed::Datetime(value)),
                Scalar::Text(_) => None,
            };
            let text = from..self.texts.len();
            self.aliases.push(Held { alias, value, text, origin: cell.origin });
        }
    }
}
