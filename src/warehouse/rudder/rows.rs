//! The rows of each kind of event.

use crate::event::Keys;
use crate::warehouse::names::NameMode;
use crate::warehouse::rules::{
    DEFAULT, EVENT_ROW_ID, EVENT_TEXT, EXTRACT, EventKind, MERGE_COLUMNS, Part, RECORD_ID, Source,
    Standard, USERS, USERS_KEY, USERS_LAKE,
};
use crate::warehouse::{Dialect, JsonPaths, Layout};

use super::flatten::{Flattener, Place};
use super::moment;
use super::name::Naming;
use super::quote::lower;
use super::row::{Cells, Merge, Row, full_event_type, type_of};
use super::value::{Object, Value};
use super::{Error, Metadata};

/// Columns an event's row may have (`WH_MAX_COLUMNS_IN_EVENT`).
const COLUMNS_MAX: usize = 1_600;

/// An event's own choices.
#[derive(Clone, Copy, Debug, Default)]
struct Options {
    skip_reserved: bool,
    skip_tracks: bool,
    skip_users: bool,
    blendo: bool,
}

/// One event's way to its rows.
#[derive(Debug)]
pub(super) struct Transform<'t> {
    message: &'t Value,
    dialect: Dialect,
    layout: &'t Layout,
    metadata: &'t Metadata,
    kind: EventKind,
    is_plain_track: bool,
    options: Options,
    json_paths: JsonPaths,
    naming: Naming,
    received_at: String,
    keys: Keys,
}

impl<'t> Transform<'t> {
    pub(super) fn new(
        message: &'t Value,
        dialect: Dialect,
        layout: &'t Layout,
        metadata: &'t Metadata,
    ) -> Result<Self, Error> {
        let context = message.at(&["context"]);
        if context.is_some_and(|context| !matches!(context, Value::Null | Value::Object(_))) {
            return Err(Error::ContextNotAMap);
        }
        let (options, json_paths) = read_options(message, dialect, layout);
        let given = message.at(&["type"]).map(Value::to_text).unwrap_or_default();
        let lower = lower(&given);
        let kind = EventKind::of(&lower).ok_or(Error::UnknownType { given: lower })?;
        let mode = NameMode {
            divide_numbers: layout.underscore_divide_numbers,
            blendo: options.blendo,
            skip_reserved: options.skip_reserved,
        };
        let sent = message.at(&["receivedAt"]).and_then(Value::as_str);
        let received_at = sent.filter(|text| moment::read(text).is_some());
        Ok(Self {
            message,
            dialect,
            layout,
            metadata,
            kind,
            is_plain_track: given == "track",
            options,
            json_paths,
            naming: Naming::new(dialect, mode),
            received_at: received_at.unwrap_or(&metadata.received_at).to_owned(),
            keys: Keys::new(),
        })
    }

    pub(super) fn rows(&self) -> Result<Vec<Row>, Error> {
        match self.kind {
            EventKind::Track => self.track(),
            EventKind::Identify => self.identify(),
            EventKind::Extract => self.extract(),
            EventKind::Merge => Ok(self.merge_rule()?.into_iter().collect()),
            _ => self.plain(),
        }
    }

    /// The context with the ids and types of source and destination, unless they are to stay out.
    fn context(&self) -> Value {
        let mut context =
            self.message.at(&["context"]).and_then(Value::as_object).cloned().unwrap_or_default();
        if self.metadata.leaves_context {
            return Value::Object(context);
        }
        for (key, value) in [
            ("sourceId", &self.metadata.source_id),
            ("sourceType", &self.metadata.source_type),
            ("destinationId", &self.metadata.destination_id),
            ("destinationType", &self.metadata.destination_type),
        ] {
            context.insert(key.to_owned(), Value::String(value.clone()));
        }
        Value::Object(context)
    }

    fn flatten(&self, part: Part, cells: &mut Cells) {
        let path = part.path().replace('.', "_");
        let place = Place {
            complete: format!("{}_{path}_", self.kind.name()),
            complete_level: 2 + usize::from(part == Part::ContextTraits),
            prefix: part.prefix().to_owned(),
            level: 0,
        };
        let context = if part == Part::Context { Some(self.context()) } else { None };
        let keys: Vec<&str> = part.path().split('.').collect();
        let input = context.as_ref().or_else(|| self.message.at(&keys));
        let flattener = Flattener {
            dialect: self.dialect,
            kind: self.kind,
            naming: &self.naming,
            layout: self.layout,
            json_paths: &self.json_paths,
            is_plain_track: self.is_plain_track,
        };
        flattener.flatten(input, &place, cells);
    }

    fn flatten_all(&self, parts: &[Part], cells: &mut Cells) {
        parts.iter().for_each(|part| self.flatten(*part, cells));
    }

    fn message_id(&self) -> Value {
        match self.message.at(&["messageId"]) {
            Some(id) if !id.is_blank() => id.clone(),
            _ => Value::String(self.metadata.minted_id.clone()),
        }
    }

    fn record_id(&self) -> Result<Value, Error> {
        match self.message.at(&["recordId"]) {
            Some(Value::Array(_) | Value::Object(_)) | None => Err(Error::NoRecordId),
            Some(id) if id.is_blank() => Err(Error::NoRecordId),
            Some(id) => Ok(id.clone()),
        }
    }

    /// The recordId where it names the row.
    fn cloud_record_id(&self) -> Result<Option<Value>, Error> {
        let version = self.message.at(&["context", "sources", "version"]);
        let applies = self.is_plain_track && self.layout.has_record_ids();
        if applies && version.is_some_and(|version| !version.is_blank()) {
            return self.record_id().map(Some);
        }
        Ok(None)
    }

    fn standard(&self, source: Source) -> Result<Value, Error> {
        let at = |keys: &[&str]| self.message.at(keys).cloned().unwrap_or(Value::Null);
        let first = |one: &[&str], other: &[&str]| {
            let one = at(one);
            if one.is_blank() { at(other) } else { one }
        };
        Ok(match source {
            Source::MessageId => self.message_id(),
            Source::Member(key) => at(&[self.keys.text(key)]),
            Source::ReceivedAt => Value::String(self.received_at.clone()),
            Source::ContextIp => first(&["context", "ip"], &["request_ip"]),
            Source::PassedIp => at(&["context", "ip"]),
            Source::Name => first(&["name"], &["properties", "name"]),
            Source::RecordId => self.record_id()?,
            Source::CloudRecordId => {
                Value::String(self.cloud_record_id()?.map_or_else(String::new, |id| id.to_text()))
            }
            Source::CloudId => self.cloud_record_id()?.unwrap_or_else(|| self.message_id()),
        })
    }

    /// Sets standard columns; one without a value is taken out.
    fn fix(&self, columns: &[Standard], cells: &mut Cells) -> Result<(), Error> {
        for standard in columns {
            let column = self.naming.standard(standard.name);
            cells.remove(&column);
            let value = self.standard(standard.source)?;
            if value.is_blank() || matches!(value, Value::Array(_) | Value::Object(_)) {
                continue;
            }
            let kind = type_of(self.dialect, &value, false);
            cells.put(&column, value, kind);
        }
        Ok(())
    }

    fn fix_full_event(&self, cells: &mut Cells) {
        if !self.layout.store_full_event {
            return;
        }
        let mut message = self.message.as_object().cloned().unwrap_or_default();
        message.insert("context".to_owned(), self.context());
        let column = self.naming.standard("rudder_event");
        let text = Value::Object(message).to_json();
        cells.data.insert(column.clone(), Value::String(text));
        cells.types.insert(column, full_event_type(self.dialect));
    }

    fn row(&self, table: String, cells: Cells) -> Result<Row, Error> {
        let mut columns = cells.types;
        columns.retain(|column, _| cells.data.contains_key(column));
        columns.entry(self.dialect.cased("uuid_ts")).or_insert("datetime");
        if self.dialect.has_loaded_at() {
            columns.entry("loaded_at".to_owned()).or_insert("datetime");
        }
        let channel = cells.data.get("channel").or_else(|| cells.data.get("CHANNEL"));
        let is_sources = channel.and_then(Value::as_str) == Some("sources");
        if columns.len() > COLUMNS_MAX && !is_sources && !self.dialect.is_lake() {
            let provider = self.dialect.provider().to_ascii_lowercase();
            return Err(Error::TooManyColumns { provider });
        }
        let received_at = self.received_at.clone();
        Ok(Row { table, columns, received_at, merge: None, data: cells.data })
    }

    fn track(&self) -> Result<Vec<Row>, Error> {
        let mut common = Cells::default();
        self.flatten(Part::Context, &mut common);
        self.fix(&[EVENT_TEXT], &mut common)?;
        self.fix(&DEFAULT, &mut common)?;
        let text = common.data.get(&self.naming.standard("event_text")).and_then(Value::as_str);
        let event = self.naming.event(text.unwrap_or_default());
        let column = self.naming.standard("event");
        common.data.insert(column.clone(), Value::String(event.clone()));
        common.types.insert(column, "string");
        let mut rows = Vec::new();
        if !self.options.skip_tracks && !self.layout.skip_tracks_table {
            let mut cells = common.clone();
            self.fix(&[RECORD_ID], &mut cells)?;
            self.fix_full_event(&mut cells);
            rows.push(self.row(self.naming.standard("tracks"), cells)?);
        }
        if !event.trim().is_empty() {
            let mut cells = Cells::default();
            self.flatten_all(&[Part::Properties, Part::UserProperties], &mut cells);
            self.fix(&[EVENT_ROW_ID], &mut common)?;
            let table = self.naming.event_table(&event).ok_or(Error::NoTableName)?;
            rows.push(self.row(table, cells.with(&common))?);
            rows.extend(self.merge_rule()?);
        }
        Ok(rows)
    }

    fn extract(&self) -> Result<Vec<Row>, Error> {
        let mut common = Cells::default();
        self.flatten(Part::Context, &mut common);
        self.fix(&EXTRACT, &mut common)?;
        let name = common.data.get(&self.naming.standard("event"));
        if name.is_none_or(|name| name.to_text().trim().is_empty()) {
            return Err(Error::NoEventName);
        }
        let mut cells = Cells::default();
        self.flatten(Part::Properties, &mut cells);
        let name = name.and_then(Value::as_str).unwrap_or_default();
        let table = self.naming.event_table(name).ok_or(Error::NoTableName)?;
        Ok(vec![self.row(table, cells.with(&common))?])
    }

    fn identify(&self) -> Result<Vec<Row>, Error> {
        let mut common = Cells::default();
        let parts = self.kind.parts(self.layout.allow_users_context_traits);
        self.flatten_all(parts, &mut common);
        let mut cells = common.clone();
        self.fix(&DEFAULT, &mut cells)?;
        self.fix_full_event(&mut cells);
        let mut rows = vec![self.row(self.naming.standard("identifies"), cells)?];
        rows.extend(self.merge_rule()?);
        let user = self.message.at(&["userId"]).cloned().unwrap_or(Value::Null);
        let skipped = self.layout.skip_users_table || self.options.skip_users;
        if !user.to_text().trim().is_empty() && !skipped {
            let lake = self.dialect.is_lake();
            self.fix(if lake { &USERS_LAKE[..] } else { &USERS[..] }, &mut common)?;
            let kind = type_of(self.dialect, &user, false);
            common.put(&self.naming.standard(USERS_KEY[0].name), user, kind);
            let received = Value::String(self.received_at.clone());
            common.put(&self.naming.standard(USERS_KEY[1].name), received, "datetime");
            rows.push(self.row(self.naming.standard("users"), common)?);
        }
        Ok(rows)
    }

    fn plain(&self) -> Result<Vec<Row>, Error> {
        let mut cells = Cells::default();
        self.flatten_all(self.kind.parts(false), &mut cells);
        self.fix(&DEFAULT, &mut cells)?;
        self.fix(self.kind.own().as_slice(), &mut cells)?;
        self.fix_full_event(&mut cells);
        let table = self.kind.table().map_or("", |(table, _)| table);
        let mut rows = vec![self.row(self.naming.standard(table), cells)?];
        rows.extend(self.merge_rule()?);
        Ok(rows)
    }

    fn merge_rule(&self) -> Result<Option<Row>, Error> {
        let has_rules = matches!(self.dialect, Dialect::Snowflake | Dialect::Bigquery);
        if !self.layout.identity_rules || !has_rules {
            return Ok(None);
        }
        let (one, two) = self.merge_ids()?;
        let Some((one_type, one_value)) = one.filter(|(_, value)| !value.is_blank()) else {
            return Ok(None);
        };
        let names = MERGE_COLUMNS.map(|name| self.naming.standard(name));
        let mut data = Object::new();
        let [first_type, first_value, second_type, second_value] = names;
        let text = |value: &Value| Value::String(value.to_text());
        data.insert(first_type, text(&one_type));
        data.insert(first_value, text(&one_value));
        if let Some((kind, value)) = two.as_ref().filter(|(_, value)| !value.is_blank()) {
            data.insert(second_type, text(kind));
            data.insert(second_value, text(value));
        }
        let second = two.map(|(_, value)| value).filter(|value| *value != Value::Null);
        Ok(Some(Row {
            table: self.naming.standard("rudder_identity_merge_rules"),
            columns: data.keys().map(|name| (name.clone(), "string")).collect(),
            received_at: self.received_at.clone(),
            merge: Some(Merge { one: one_value.to_text(), two: second.map(|two| two.to_text()) }),
            data,
        }))
    }

    /// Type and value of the first and the second id.
    fn merge_ids(&self) -> Result<(Option<MergeId>, Option<MergeId>), Error> {
        let at = |key: &str| self.message.at(&[key]).cloned().unwrap_or(Value::Null);
        let id = |name: &str, value: Value| Some((Value::String(name.to_owned()), value));
        match self.kind {
            EventKind::Merge => {
                let (one, two) = sent_merge_ids(&at("mergeProperties"))?;
                Ok((Some(one), Some(two)))
            }
            EventKind::Alias => Ok((id("user_id", at("userId")), id("user_id", at("previousId")))),
            _ if at("anonymousId").is_blank() => Ok((id("user_id", at("userId")), None)),
            _ => Ok((id("anonymous_id", at("anonymousId")), id("user_id", at("userId")))),
        }
    }
}

type MergeId = (Value, Value);

fn sent_merge_ids(sent: &Value) -> Result<(MergeId, MergeId), Error> {
    let list = match sent {
        Value::Null => return Err(Error::NoMergeIds),
        Value::Array(list) => list,
        _ => return Err(Error::EmptyMergeId),
    };
    let [one, two] = list.as_slice() else { return Err(Error::NoMergeIds) };
    let read = |id: &Value| {
        let member = |key| id.at(&[key]).filter(|value| !value.is_blank()).cloned();
        Some((member("type")?, member("value")?))
    };
    match (read(one), read(two)) {
        (Some(one), Some(two)) => Ok((one, two)),
        _ => Err(Error::EmptyMergeId),
    }
}

/// An event's own choices, and all paths to keep as JSON: its own and the destination's.
fn read_options(message: &Value, dialect: Dialect, layout: &Layout) -> (Options, JsonPaths) {
    let chosen = |name| message.at(&["integrations", name, "options"]);
    let is = |key| {
        let value = chosen(dialect.provider()).and_then(|options| options.at(&[key]));
        value == Some(&Value::Bool(true))
    };
    let options = Options {
        skip_reserved: is("skipReservedKeywordsEscaping"),
        skip_tracks: is("skipTracksTable"),
        skip_users: is("skipUsersTable"),
        blendo: is("useBlendoCasing"),
    };
    if !dialect.takes_json_paths() {
        return (options, JsonPaths::default());
    }
    let mut paths = JsonPaths::default();
    for name in ["DATA_WAREHOUSE", dialect.provider()] {
        let list = chosen(name).and_then(|options| options.at(&["jsonPaths"]));
        if let Some(Value::Array(list)) = list {
            list.iter().filter_map(Value::as_str).for_each(|path| paths.add(path));
        }
    }
    paths.extend(&layout.json_paths);
    (options, paths)
}
