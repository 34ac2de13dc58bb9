//! The product's own workshop: the warehouse mapping into the columnar tables.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::local::Parts;
use super::opener::{Opener, local_files, table_folder};
use super::plan::PlannedFile;
use super::rows::{Batch, Incoming, LocalFile, Mapped, Pressed, Rows, Workshop};
use super::settings::{Compiled, SettingError, Settings};
use super::{Error, SharedSettings};
use crate::columnar::{Event, EventLeaves, Leaves, Room, RouteId, Tables};
use crate::event::{Node, Parser, Tape, known};
use crate::record::Route;
use crate::storage::keys::{Number, Part};
use crate::storage::registry::Registry;
use crate::warehouse::{Dialect, Layout, Mapper, Origin, Outline, Rejected, Sink, Unmappable};

/// Version of the rules by which records become rows. It goes up with every change that gives
/// other rows, columns or bytes for the same records and settings.
pub const MAPPING_VERSION: u32 = 6;

/// `context_destination_id` of every row.
const DESTINATION: &str = "keelrow";

/// Maps events with the settings that are current when a batch is opened.
#[derive(Debug)]
pub struct Warehouse {
    settings: SharedSettings,
    /// Kept from batch to batch for the names it knows; one batch is open at a time.
    mapping: Arc<Mutex<Mapping>>,
}

/// What is kept from event to event.
#[derive(Debug)]
struct Mapping {
    parser: Parser,
    mapper: Mapper,
    outline: Outline,
    /// What the last batch left, unless one is open.
    room: Room,
    /// What the events that the room knows were mapped with; `None` if it knows of none.
    basis: Option<Basis>,
}

/// Settings in both forms.
#[derive(Clone, Debug)]
struct Basis {
    settings: Arc<Settings>,
    compiled: Arc<Compiled>,
}

impl Basis {
    fn new(settings: Arc<Settings>, number: Number) -> Result<Self, Error> {
        let compiled = Compiled::new(&settings)
            .map_err(|error| Error::Plan { number: number.0, reason: error.to_string() })?;
        Ok(Self { settings, compiled: Arc::new(compiled) })
    }
}

impl Mapping {
    fn new(dialect: Dialect) -> Self {
        Self {
            parser: Parser::new(),
            mapper: Mapper::new(dialect),
            outline: Outline::default(),
            room: Room::default(),
            basis: None,
        }
    }
}

impl Warehouse {
    /// A workshop whose settings may be exchanged between batches.
    ///
    /// # Errors
    /// [`SettingError`] if the settings of now are wrong.
    pub fn new(settings: SharedSettings) -> Result<Self, SettingError> {
        let compiled = Compiled::new(&settings.load())?;
        Ok(Self { settings, mapping: Arc::new(Mutex::new(Mapping::new(compiled.dialect))) })
    }

    /// Makes the rows of every event, as if none were like one before.
    #[cfg(test)]
    pub(super) fn know_no_outlines(&self) {
        self.lock().outline = Outline::blind();
    }

    /// See [`Room::constant_bytes`].
    #[cfg(test)]
    pub(super) fn constant_bytes(&self) -> u64 {
        self.lock().room.constant_bytes()
    }

    /// The rows of a batch that is cut with `settings`; what is known of events holds as long as they are
    /// the same.
    fn cut_rows(
        &self,
        batch: &Batch,
        settings: Arc<Settings>,
        opener: Opener,
    ) -> Result<MappedRows, Error> {
        let known = self.lock().basis.clone();
        let basis = match known.filter(|known| Arc::ptr_eq(&known.settings, &settings)) {
            Some(known) => known,
            None => {
                self.lock().room.forget();
                Basis::new(settings, batch.number)?
            }
        };
        let rows = self.rows(batch, &basis.compiled, opener);
        Ok(MappedRows { basis: Some(basis), ..rows })
    }

    /// The rows of a batch that leaves nothing known.
    fn rows(&self, batch: &Batch, compiled: &Arc<Compiled>, opener: Opener) -> MappedRows {
        let room = {
            let mut mapping = self.lock();
            if mapping.mapper.dialect() == compiled.dialect {
                let generation = mapping.mapper.generation();
                mapping.mapper.begin_batch();
                if mapping.mapper.generation() != generation {
                    mapping.room.forget();
                }
            } else {
                *mapping = Mapping::new(compiled.dialect);
            }
            mapping.basis = None;
            std::mem::take(&mut mapping.room)
        };
        let unified = Arc::clone(&compiled.unified);
        let parts = opener.parts();
        MappedRows {
            tables: Tables::new(compiled.of_batch(batch), unified, Box::new(opener)).in_room(room),
            mapping: Arc::clone(&self.mapping),
            basis: None,
            routes: HashMap::default(),
            compiled: Arc::clone(compiled),
            usual_layout: Layout::default(),
            writer: batch.writer.clone(),
            parts,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Mapping> {
        self.mapping.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Workshop for Warehouse {
    fn mapping(&self) -> u32 {
        MAPPING_VERSION
    }

    fn cut(&mut self, batch: &Batch, registry: &Registry) -> Result<(Box<dyn Rows>, Value), Error> {
        let settings = self.settings.load_full();
        let written = serde_json::to_value(&*settings)
            .map_err(|error| Error::Plan { number: batch.number.0, reason: error.to_string() })?;
        let tables_max = usize::try_from(settings.tables_max).unwrap_or(usize::MAX);
        let opener = Opener::cut(registry.clone(), batch.folder.clone(), tables_max);
        Ok((Box::new(self.cut_rows(batch, settings, opener)?), written))
    }

    fn rewrite(
        &mut self,
        batch: &Batch,
        settings: &Value,
        files: &[PlannedFile],
        registry: &Registry,
    ) -> Result<Box<dyn Rows>, Error> {
        let settings =
            serde_json::from_value::<Settings>(settings.clone()).map_err(|error| Error::Plan {
                number: batch.number.0,
                reason: format!("its settings cannot be read: {error}"),
            })?;
        let opener = Opener::rewrite(registry.clone(), batch.folder.clone(), files)?;
        let Basis { compiled, .. } = Basis::new(Arc::new(settings), batch.number)?;
        // The columns are those of the plan, which were the newest once.
        self.lock().room.forget();
        Ok(Box::new(self.rows(batch, &compiled, opener)))
    }
}

#[derive(Debug)]
struct MappedRows {
    tables: Tables,
    mapping: Arc<Mutex<Mapping>>,
    /// Set if what is known after the batch is of use for the next one.
    basis: Option<Basis>,
    /// By the address of the route, which is kept beside so that it stays its own.
    routes: HashMap<usize, (Arc<Route>, RouteId), foldhash::fast::FixedState>,
    compiled: Arc<Compiled>,
    usual_layout: Layout,
    writer: Part,
    parts: Arc<Parts>,
}

/// Rows of ours have no leaves.
struct NoLeaves;

impl Leaves for NoLeaves {
    fn describe(&self, _origin: u32, _path: &mut String) -> bool {
        true
    }
}

impl MappedRows {
    fn route_id(&mut self, route: &Arc<Route>) -> RouteId {
        let tables = &mut self.tables;
        let address = Arc::as_ptr(route).addr();
        let known = self.routes.entry(address);
        known.or_insert_with(|| (Arc::clone(route), tables.route(route))).1
    }

    /// The id of an event that came without one: the same whenever its batch is made again.
    fn minted(&self, position: u64) -> String {
        let mut hash = Sha256::new();
        hash.update(self.writer.as_str().as_bytes());
        hash.update(position.to_le_bytes());
        let digest = hash.finalize();
        let bytes = digest.first_chunk::<16>().copied().unwrap_or_default();
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }

    fn reject(&mut self, incoming: Incoming<'_>, why: Why<'_>) -> Result<(), Error> {
        let minted = self.minted(incoming.position);
        let route = self.route_id(incoming.route);
        let mapping = Arc::clone(&self.mapping);
        let mut mapping = mapping.lock().unwrap_or_else(PoisonError::into_inner);
        let Mapping { parser, mapper, .. } = &mut *mapping;
        let received_at = incoming.event.received_at;
        let event = Event { route, event_type: "", received_at, leaves: &NoLeaves };
        let mut sink = self.tables.event(event);
        match why {
            Why::Before => before(incoming, &minted, parser, mapper, &mut sink),
            Why::Now(unmappable) => now(incoming, &minted, unmappable, parser, mapper, &mut sink),
        }
        sink.finish(&mapper.names()).map_err(Error::Rows)
    }
}

/// Why an event is rejected.
#[derive(Clone, Copy)]
enum Why<'a> {
    /// Its record says so.
    Before,
    /// It was found out here.
    Now(&'a Unmappable),
}

/// The row of an event that was rejected when it came.
fn before(
    incoming: Incoming<'_>,
    minted: &str,
    parser: &mut Parser,
    mapper: &mut Mapper,
    sink: &mut impl Sink,
) {
    let Some(rejection) = &incoming.event.rejection else { return };
    let kept = std::str::from_utf8(incoming.event.payload).unwrap_or_default();
    let shape;
    let payload = if kept.len() <= PAYLOAD_BYTES_MAX {
        kept
    } else {
        shape = parser
            .parse(incoming.event.payload)
            .map_or_else(|_| String::new(), |tape| Rejected::payload_of(tape.root()));
        &shape
    };
    let id = if rejection.message_id.is_empty() { minted } else { &rejection.message_id };
    let row = Rejected {
        id,
        received_at: incoming.event.received_at,
        reason: &rejection.reason,
        detail: &rejection.detail,
        r#type: &rejection.r#type,
        event: &rejection.event,
        user_id: &rejection.user_id,
        anonymous_id: &rejection.anonymous_id,
        payload,
    };
    mapper.rejected(&row, sink);
}

/// Longest payload in a row of `rejected`: what the mapping allows itself.
const PAYLOAD_BYTES_MAX: usize = 64 << 10;

/// The row of an event that is rejected now.
fn now(
    incoming: Incoming<'_>,
    minted: &str,
    why: &Unmappable,
    parser: &mut Parser,
    mapper: &mut Mapper,
    sink: &mut impl Sink,
) {
    let received_at = incoming.event.received_at;
    let mut row = Rejected { id: minted, received_at, ..Rejected::default() };
    (row.reason, row.detail) = (why.reason, why.detail);
    let Ok(tape) = parser.parse(incoming.event.payload) else {
        mapper.rejected(&row, sink);
        return;
    };
    let root = tape.root();
    let text = |key| root.member(key).and_then(Node::text).unwrap_or_default();
    let ids = [known::MESSAGE_ID, known::TYPE, known::EVENT, known::USER_ID, known::ANONYMOUS_ID];
    let [id, event_type, event, user_id, anonymous_id] = ids.map(text);
    let payload = Rejected::payload_of(root);
    if !id.is_empty() {
        row.id = &id;
    }
    let row = Rejected {
        r#type: &event_type,
        event: &event,
        user_id: &user_id,
        anonymous_id: &anonymous_id,
        payload: &payload,
        ..row
    };
    mapper.rejected(&row, sink);
}

/// The event's type as the core column has it.
fn event_type<'t>(tape: &Tape<'t>) -> Cow<'t, str> {
    let text = tape.root().member(known::TYPE).and_then(Node::text).unwrap_or_default();
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        text
    }
}

impl Rows for MappedRows {
    fn event(&mut self, incoming: Incoming<'_>) -> Result<Mapped, Error> {
        if incoming.event.rejection.is_some() {
            self.reject(incoming, Why::Before)?;
            return Ok(Mapped::Rejected);
        }
        let route = self.route_id(incoming.route);
        let shared = Arc::clone(&self.mapping);
        let mut mapping = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let Mapping { parser, mapper, outline, .. } = &mut *mapping;
        let received_at = incoming.event.received_at;
        let refused = match parser.parse(incoming.event.payload) {
            Err(_) => UNPARSABLE,
            Ok(tape) => {
                let layout = self.compiled.layouts.get(&incoming.route.source_id);
                let layout = layout.unwrap_or(&self.usual_layout);
                let event_type = event_type(&tape);
                let leaves = EventLeaves::new(&tape);
                let event = Event { route, event_type: &event_type, received_at, leaves: &leaves };
                let has_outline = outline.read(&tape, layout);
                if has_outline
                    && self.tables.give_familiar(&event, outline, &tape).map_err(Error::Rows)?
                {
                    return Ok(Mapped::Loaded);
                }
                // Ids are minted where events come in; this is for records of other origin. What may
                // be no id is never missed.
                let is_id = |id: Node<'_>| id.is_plain_string() && id.raw().len() > 2;
                let has_id = tape.root().member(known::MESSAGE_ID).is_some_and(is_id);
                let minted = if has_id { String::new() } else { self.minted(incoming.position) };
                let origin = Origin {
                    source_id: &incoming.route.source_id,
                    source_type: &incoming.route.platform,
                    destination_id: DESTINATION,
                    destination_type: self.compiled.dialect.name(),
                    received_at,
                    minted_id: &minted,
                };
                let mut sink = self.tables.event(event);
                match mapper.map(tape.root(), &origin, layout, &mut sink) {
                    // Nothing was given to the sink.
                    Err(unmappable) => unmappable,
                    Ok(()) => {
                        let names = &mapper.names();
                        let given = match mapper.compared().filter(|_| has_outline) {
                            Some(compared) => sink.finish_like(names, (outline, &tape), compared),
                            None => sink.finish(names),
                        };
                        given.map_err(Error::Rows)?;
                        return Ok(Mapped::Loaded);
                    }
                }
            }
        };
        drop(mapping);
        self.reject(incoming, Why::Now(&refused))?;
        Ok(Mapped::Rejected)
    }

    fn reused(&mut self, incoming: Incoming<'_>) -> Result<(), Error> {
        // One that was rejected before keeps its first reason.
        let why = if incoming.event.rejection.is_some() { Why::Before } else { Why::Now(&REUSED) };
        self.reject(incoming, why)
    }

    fn arrange(&mut self) {
        self.tables.unstage();
    }

    fn relieve(&mut self, memory: u64) -> Result<bool, Error> {
        self.tables.relieve(memory).map_err(Error::Rows)
    }

    fn pressed(&self) -> Pressed {
        let columns = self.tables.near_cap().filter_map(|(home, columns)| {
            Some((table_folder(home).ok()?.to_string(), columns as u64))
        });
        Pressed { columns: columns.collect(), without_table: self.tables.without_table().clone() }
    }

    fn finish(self: Box<Self>) -> Result<Vec<LocalFile>, Error> {
        let (finished, mut room) = self.tables.finish_and_clear().map_err(Error::Rows)?;
        if self.basis.is_none() {
            room.forget();
        }
        {
            let mut mapping = self.mapping.lock().unwrap_or_else(PoisonError::into_inner);
            (mapping.room, mapping.basis) = (room, self.basis);
        }
        local_files(finished, &self.parts)
    }
}

const REUSED: Unmappable = Unmappable {
    reason: "message_id_reused",
    detail: "another event came with this messageId before",
};

const UNPARSABLE: Unmappable =
    Unmappable { reason: "unmappable", detail: "the record's payload is not JSON" };
