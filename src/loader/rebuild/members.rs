//! The rows of a committed batch, read from the tables of its events and given to a unified table
//! in the order in which the events came.
//!
//! A cell is what it was when the event was mapped: a variant column's value goes to its base name
//! again, so that the unified table places it by its own types. What no file can tell any more: a
//! number that the event's table keeps in a text column is text, a time that it keeps as a time is
//! spelled in full where the unified column is text.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use super::{Error, MEMORY_BYTES};
use crate::clock::Timestamp;
use crate::columnar::{Chunk, Event, FileReader, Leaves, RouteId, Tables, base_of_variant};
use crate::loader;
use crate::record::Route;
use crate::storage::Store;
use crate::storage::keys::{DataFile, Hour, Key, TableFolder};
use crate::storage::manifest::{File, Manifest};
use crate::unified::Block;
use crate::warehouse::{
    Cell, ColumnId, ColumnType, Names, OTHER_EVENTS, OVERFLOW, Scalar, Sink as _, TableId,
    TableKind, datetime,
};

/// Columns of the same time in every row of a batch: the unified table has its own.
const CONSTANTS: [&str; 2] = ["uuid_ts", "loaded_at"];

/// A committed batch, for one environment's table.
pub(super) struct Members<'a> {
    pub(super) store: &'a Store,
    pub(super) manifest: &'a Manifest,
    pub(super) block: &'a Block,
    pub(super) routes: &'a [Route],
    pub(super) environment: &'a str,
}

/// A file of an event table and where its reading stands.
struct Member {
    schema: String,
    /// In which its events arrived.
    hour: Hour,
    table: TableId,
    kind: TableKind,
    reader: FileReader,
    columns: Vec<Column>,
    id: Option<usize>,
    received_at: Option<usize>,
    source_id: Option<usize>,
    platform: Option<usize>,
    event_text: Option<usize>,
    event: Option<usize>,
    /// Its rows are of events that have no table of their own: each row's name decides.
    is_other: bool,
    /// What its rows without the name of an event are, where it may hold rows of both sorts.
    beside: Option<TableKind>,
    /// Set if only its rows with the name of an event, or only those without, are wanted.
    has_event: Option<bool>,
    chunk: Option<Chunk>,
    row: usize,
}

/// What a column of a file is in the unified table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    /// Nothing.
    Skipped,
    /// A cell of this name.
    Cell(ColumnId),
    /// Leaves that found no column.
    Overflow(ColumnId),
}

/// The names of one batch.
#[derive(Default)]
struct Interner {
    tables: Vec<String>,
    columns: Vec<String>,
    known: HashMap<String, u32>,
}

impl Names for Interner {
    fn table(&self, id: TableId) -> &str {
        self.tables.get(id.0 as usize).map_or("", String::as_str)
    }

    fn column(&self, id: ColumnId) -> &str {
        self.columns.get(id.0 as usize).map_or("", String::as_str)
    }
}

impl Interner {
    fn table_id(&mut self, name: &str) -> TableId {
        self.tables.push(name.to_owned());
        TableId(u32::try_from(self.tables.len() - 1).unwrap_or(u32::MAX))
    }

    fn column_id(&mut self, name: &str) -> ColumnId {
        if let Some(&id) = self.known.get(name) {
            return ColumnId(id);
        }
        let id = u32::try_from(self.columns.len()).unwrap_or(u32::MAX);
        self.columns.push(name.to_owned());
        self.known.insert(name.to_owned(), id);
        ColumnId(id)
    }
}

/// Paths of the leaves that a row had in `_overflow`; a cell's origin counts them.
struct Paths(Vec<String>);

impl Leaves for Paths {
    fn describe(&self, origin: u32, path: &mut String) -> bool {
        path.push_str(self.0.get(origin as usize).map_or("", String::as_str));
        // The text is JSON already, quotes and all.
        false
    }
}

impl Members<'_> {
    /// Gives all rows to `tables`.
    pub(super) fn give(&self, tables: &mut Tables) -> Result<(), Error> {
        let mut names = Interner::default();
        let order = self.order()?;
        let tracks = self.ids_in_tracks()?;
        let mut members = Vec::new();
        for file in &self.manifest.files {
            members.extend(self.open(file, &mut names)?);
        }
        let mut heads = BinaryHeap::new();
        for (at, member) in members.iter_mut().enumerate() {
            heads.extend(member.head(&order)?.map(|key| Reverse((key, at))));
        }
        let mut routes = HashMap::new();
        while let Some(Reverse((_, at))) = heads.pop() {
            let Some(member) = members.get_mut(at) else { continue };
            let is_taken = member.row_kind() == TableKind::Event
                && tracks.contains(&(member.schema.clone(), member.id().to_owned()));
            if !is_taken && self.wants_row(member) {
                let route = self.route(member, tables, &mut routes);
                member.give(route, &names, tables)?;
                tables.relieve(MEMORY_BYTES).map_err(loader::Error::Rows)?;
            }
            member.row += 1;
            heads.extend(member.head(&order)?.map(|key| Reverse((key, at))));
        }
        Ok(())
    }

    fn routes_of<'s>(&'s self, schema: &'s str) -> impl Iterator<Item = &'s Route> {
        self.routes.iter().filter(move |route| route.schema == schema)
    }

    fn wants(&self, schema: &str, kind: TableKind, table: &str) -> bool {
        self.routes_of(schema).any(|route| {
            route.environment == self.environment && self.block.wants(route, kind, table)
        })
    }

    /// Whether a row of a file that was opened belongs to the table.
    fn wants_row(&self, member: &Member) -> bool {
        if member.has_event == Some(member.text(member.event).is_empty()) {
            return false;
        }
        if member.kind == TableKind::Tracks {
            return !self.block.excludes_event(member.text(member.event));
        }
        !member.is_other
            || self.route_of(member).is_some_and(|route| {
                route.environment == self.environment
                    && self.block.wants(route, member.kind, member.text(member.event))
            })
    }

    /// The route that the configuration has for the member's row.
    fn route_of(&self, member: &Member) -> Option<&Route> {
        let source = member.text(member.source_id);
        let mut routes = self.routes.iter().filter(|route| route.schema == member.schema);
        let first = routes.clone().next();
        routes.find(|route| route.source_id == source).or(first)
    }

    /// Opens a file if rows of it may belong to the table.
    fn open(&self, file: &File, names: &mut Interner) -> Result<Option<Member>, Error> {
        let Some(key) = DataFile::parse(&file.path) else { return Ok(None) };
        let TableFolder::Source { schema, table } = &key.folder else { return Ok(None) };
        let (schema, table) = (schema.as_str(), table.as_str());
        let kind = TableKind::of(table);
        if self.routes_of(schema).next().is_none() {
            let nobody = Route { environment: self.environment.to_owned(), ..Route::default() };
            let block = Block { sources: Vec::new(), schemas: Vec::new(), ..self.block.clone() };
            if block.wants(&nobody, kind, table) {
                let (number, writer) = (self.manifest.number.0, self.manifest.writer.clone());
                return Err(Error::NoSource { schema: schema.to_owned(), number, writer });
            }
            return Ok(None);
        }
        // An event is in the table once: with the first of its rows that is wanted.
        let is_second =
            kind == TableKind::Users && self.wants(schema, TableKind::Identifies, "identifies");
        let is_other = table == OTHER_EVENTS;
        let is_wanted = is_other || self.wants(schema, kind, table);
        let beside = TableKind::escaped(table);
        let are_others_wanted =
            beside.map_or(is_wanted, |beside| self.wants(schema, beside, table));
        if is_second || !(is_wanted || are_others_wanted) {
            return Ok(None);
        }
        let has_event = (is_wanted != are_others_wanted).then_some(is_wanted);
        let reader = self.reader(file, |_| true)?;
        let at = |name: &str| reader.columns().iter().position(|(column, _)| column == name);
        let all = || reader.columns().iter().map(|(name, _)| name.as_str());
        let columns = reader.columns().iter().map(|(name, column_type)| {
            if CONSTANTS.contains(&name.as_str()) && *column_type == ColumnType::Datetime {
                Column::Skipped
            } else if name == OVERFLOW {
                Column::Overflow(names.column_id(name))
            } else {
                Column::Cell(names.column_id(base_of_variant(all(), name).unwrap_or(name)))
            }
        });
        Ok(Some(Member {
            columns: columns.collect(),
            schema: schema.to_owned(),
            hour: key.hour,
            table: names.table_id(table),
            kind,
            id: at("id"),
            received_at: at("received_at"),
            source_id: at("context_source_id"),
            platform: at("context_source_type"),
            event_text: at("event_text"),
            event: at("event"),
            is_other,
            beside,
            has_event,
            reader,
            chunk: None,
            row: 0,
        }))
    }

    fn reader(&self, file: &File, wanted: impl Fn(&str) -> bool) -> Result<FileReader, Error> {
        let gone = || Error::Gone { key: file.path.clone() };
        let key = Key::parse(&file.path).ok_or_else(gone)?;
        let bytes = self.store.get(&key).map_err(super::failed("read a file of a batch"))?;
        FileReader::open(bytes.ok_or_else(gone)?, wanted)
            .map_err(|source| Error::Read { key: file.path.clone(), source })
    }

    /// The place of each event among those of its batch, by schema and id, from another unified
    /// table of the environment: types are born from the first values, so order matters. Without
    /// such a table events are in the order of their arrival.
    fn order(&self) -> Result<HashMap<(String, String), i64>, Error> {
        let of_environment = |file: &&File| {
            matches!(
                DataFile::parse(&file.path).map(|key| key.folder),
                Some(TableFolder::Unified { environment, .. })
                    if environment.as_str() == self.environment
            )
        };
        let files: Vec<&File> = self.manifest.files.iter().filter(of_environment).collect();
        let mut rows = HashMap::<&str, u64>::new();
        for file in &files {
            *rows.entry(&file.table).or_default() += file.rows;
        }
        let Some((table, _)) = rows.into_iter().max_by_key(|(table, rows)| (*rows, *table)) else {
            return Ok(HashMap::new());
        };
        let mut order = HashMap::new();
        for file in files.iter().filter(|file| file.table == table) {
            self.ids(file, |schema, id| {
                let next = i64::try_from(order.len()).unwrap_or(i64::MAX);
                order.entry((schema.to_owned(), id.to_owned())).or_insert(next);
            })?;
        }
        Ok(order)
    }

    /// The events whose row of `tracks` is wanted: that of their own table is not, then.
    fn ids_in_tracks(&self) -> Result<HashSet<(String, String)>, Error> {
        let mut found = HashSet::new();
        for file in self.manifest.files.iter().filter(|file| file.table == "tracks") {
            if self.wants(&file.schema, TableKind::Tracks, "tracks") {
                self.ids(file, |_, id| {
                    found.insert((file.schema.clone(), id.to_owned()));
                })?;
            }
        }
        Ok(found)
    }

    /// Calls `each` with schema (of a unified table) and id of every row.
    fn ids(&self, file: &File, mut each: impl FnMut(&str, &str)) -> Result<(), Error> {
        let mut reader = self.reader(file, |column| matches!(column, "id" | "_source_schema"))?;
        let at = |name: &str| reader.columns().iter().position(|(column, _)| column == name);
        let (id, schema) = (at("id"), at("_source_schema"));
        while let Some(chunk) = next_chunk(&mut reader, &file.path)? {
            for row in 0..chunk.rows() {
                each(text(&chunk, schema, row), text(&chunk, id, row));
            }
        }
        Ok(())
    }

    /// The route of the member's row: the source and its platform as the row has them, the rest as
    /// the configuration has it.
    fn route(
        &self,
        member: &Member,
        tables: &mut Tables,
        known: &mut HashMap<(String, String, String), RouteId>,
    ) -> RouteId {
        let source = member.text(member.source_id);
        let platform = member.text(member.platform);
        let key = (member.schema.clone(), source.to_owned(), platform.to_owned());
        if let Some(&route) = known.get(&key) {
            return route;
        }
        let mut route = self.route_of(member).cloned().unwrap_or_default();
        if !source.is_empty() {
            source.clone_into(&mut route.source_id);
        }
        platform.clone_into(&mut route.platform);
        let id = tables.route(&route);
        known.insert(key, id);
        id
    }
}

fn next_chunk(reader: &mut FileReader, key: &str) -> Result<Option<Chunk>, Error> {
    reader.next_chunk().map_err(|source| Error::Read { key: key.to_owned(), source })
}

fn text(chunk: &Chunk, column: Option<usize>, row: usize) -> &str {
    match column.and_then(|column| chunk.value(column, row)) {
        Some(Scalar::Text(text)) => text,
        _ => "",
    }
}

impl Member {
    fn text(&self, column: Option<usize>) -> &str {
        self.chunk.as_ref().map_or("", |chunk| text(chunk, column, self.row))
    }

    fn id(&self) -> &str {
        self.text(self.id)
    }

    /// When the row's event arrived, by its column; a source may say that itself.
    fn received_at(&self) -> i64 {
        let column = self.received_at.and_then(|at| self.chunk.as_ref()?.value(at, self.row));
        match column {
            Some(Scalar::Datetime(at)) => at,
            _ => 0,
        }
    }

    /// When the row's event arrived here, to the hour where its column says something else.
    fn arrival(&self) -> i64 {
        let told = self.received_at();
        let is_so = Hour::of(Timestamp::from_micros(told)) == self.hour;
        if is_so { told } else { self.hour.start().micros() }
    }

    /// Where the row belongs among those of all files; `None` behind the last one.
    fn head(
        &mut self,
        order: &HashMap<(String, String), i64>,
    ) -> Result<Option<(i64, i64)>, Error> {
        if self.chunk.as_ref().is_none_or(|chunk| self.row >= chunk.rows()) {
            self.chunk = next_chunk(&mut self.reader, &self.schema)?;
            self.row = 0;
        }
        if self.chunk.is_none() {
            return Ok(None);
        }
        let place = order.get(&(self.schema.clone(), self.id().to_owned())).copied();
        Ok(Some(match place {
            Some(place) => (place, 0),
            None if order.is_empty() => (self.received_at(), 0),
            None => (i64::MAX, self.received_at()),
        }))
    }

    fn row_kind(&self) -> TableKind {
        self.beside.filter(|_| self.text(self.event).is_empty()).unwrap_or(self.kind)
    }

    /// The event's type in lower case. Only rows of `extract` events lack the event's text.
    fn event_type(&self) -> &'static str {
        match self.row_kind() {
            TableKind::Event if self.text(self.event_text).is_empty() => "extract",
            TableKind::Event | TableKind::Tracks => "track",
            TableKind::Identifies | TableKind::Users => "identify",
            TableKind::Pages => "page",
            TableKind::Screens => "screen",
            TableKind::Groups => "group",
            TableKind::Aliases => "alias",
            TableKind::MergeRules | TableKind::Discards | TableKind::Rejected => "",
        }
    }

    fn give(&self, route: RouteId, names: &Interner, tables: &mut Tables) -> Result<(), Error> {
        let Some(chunk) = &self.chunk else { return Ok(()) };
        let (leaves, values) = self.overflow(chunk);
        let mut sink = tables.event(Event {
            route,
            event_type: self.event_type(),
            received_at: self.arrival(),
            leaves: &leaves,
        });
        sink.row(names, self.table, self.row_kind());
        let mut spelled = String::new();
        for (at, column) in self.columns.iter().enumerate() {
            let Some(value) = chunk.value(at, self.row) else { continue };
            match column {
                Column::Skipped => {}
                Column::Cell(id) => {
                    let sent = as_sent(value);
                    spelled.clear();
                    spell(sent, &mut spelled);
                    let text = if let Scalar::Text(text) = value { text } else { &spelled };
                    sink.cell(names, *id, Cell { value: sent, text, origin: u32::MAX });
                }
                Column::Overflow(id) => {
                    for (origin, text) in (0..).zip(&values) {
                        // Taken as it is: it finds no column by this name.
                        sink.cell(names, *id, Cell { value: Scalar::Text(text), text, origin });
                    }
                }
            }
        }
        sink.finish(names).map_err(|error| loader::Error::Rows(error).into())
    }

    /// Raw paths and JSON texts of the row's `_overflow`.
    fn overflow(&self, chunk: &Chunk) -> (Paths, Vec<String>) {
        let at = self.columns.iter().position(|column| matches!(column, Column::Overflow(_)));
        let object = text(chunk, at, self.row);
        let members: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(object).unwrap_or_default();
        let (paths, values) =
            members.into_iter().map(|(path, value)| (path, value.to_string())).unzip();
        (Paths(paths), values)
    }
}

/// The value that a column took: a float column takes whole numbers too, a text column times.
fn as_sent(value: Scalar<'_>) -> Scalar<'_> {
    const INT_MAX: f64 = 9_223_372_036_854_775_808.0;
    match value {
        Scalar::Float(float)
            if float.fract() == 0.0
                && (-INT_MAX..INT_MAX).contains(&float)
                && (float != 0.0 || float.is_sign_positive()) =>
        {
            #[expect(clippy::cast_possible_truncation, reason = "whole and within the range")]
            let whole = float as i64;
            Scalar::Int(whole)
        }
        Scalar::Text(text) => datetime::exact(text).map_or(value, Scalar::Datetime),
        other => other,
    }
}

/// Writes what a text column takes of the value.
fn spell(value: Scalar<'_>, out: &mut String) {
    match value {
        Scalar::Bool(truth) => out.push_str(if truth { "true" } else { "false" }),
        Scalar::Int(number) => out.push_str(itoa::Buffer::new().format(number)),
        Scalar::Float(number) => out.push_str(ryu::Buffer::new().format(number)),
        Scalar::Datetime(at) => datetime::write(at, out),
        Scalar::Text(_) => {}
    }
}
