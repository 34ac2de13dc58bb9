//! A world for the loop: a journal on a disk in memory, a lake in memory that fails on purpose, a
//! clock moved by hand, and a workshop with rules of its own: the payload `{"t":"table", ...}`
//! becomes one row of `table`, `{"t":""}` cannot be mapped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use serde_json::Value;

use crate::clock::{Clock, Fixed, Timestamp};
use crate::columnar::{self, Event, Leaves, Tables};
use crate::journal::disk::memory::Disk;
use crate::journal::disk::{self, Log, Stepper};
use crate::journal::{Group, Journal};
use crate::loader::local::Parts;
use crate::loader::opener::{Opener, local_files};
use crate::loader::plan::PlannedFile;
use crate::loader::rows::{Batch, Incoming, LocalFile, Mapped, Rows, Workshop};
use crate::loader::{
    Error, Limits, Loader, Options, Progress, Remedy, Services, Settings, Warehouse, dedup,
};
use crate::record::{self, EncodedRoute, FrameKind, Rejection, Route, Stamp, Tally};
use crate::storage::keys::{Key, Number, Part};
use crate::storage::manifest::{Manifest, checksum};
use crate::storage::memory::{Faulty, Memory};
use crate::storage::registry::Registry;
use crate::storage::{self, Backend, Store};
use crate::unified::Unified;
use crate::warehouse::{Cell, ColumnId, Names, Scalar, Sink, TableId, TableKind};

/// 2026-11-21T10:00:00Z.
pub(super) const START: i64 = 1_795_255_200_000;

/// One event to be.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) source: &'static str,
    pub(super) key: u64,
    pub(super) content: u64,
    pub(super) part: u32,
    pub(super) payload: String,
    pub(super) reason: &'static str,
}

impl Sent {
    pub(super) fn new(key: u64, payload: &str) -> Self {
        let payload = payload.into();
        Self { source: "web_prod", key, content: 1, part: 0, payload, reason: "" }
    }
}

pub(super) struct World {
    pub(super) memory: Arc<Memory>,
    pub(super) faulty: Arc<Faulty>,
    pub(super) clock: Arc<Fixed>,
    pub(super) disk: Disk,
    pub(super) log: Arc<Log>,
    stepper: Option<Stepper>,
    pub(super) folder: tempfile::TempDir,
    pub(super) limits: Limits,
    pub(super) dedup: dedup::Options,
    pub(super) mapping: u32,
    pub(super) row_group_bytes: u64,
    /// How many files go up at once.
    pub(super) uploads: usize,
    /// The product's own workshop, with these settings, instead of the test's.
    pub(super) settings: Option<Settings>,
}

pub(super) fn journal_options() -> disk::Options {
    disk::Options {
        max_bytes: 64 << 20,
        segment_bytes: 64 << 10,
        ..disk::Options::new("/journal", "node-1")
    }
}

impl World {
    pub(super) fn new() -> Self {
        Self::on(Arc::new(Memory::default()), Arc::new(Fixed::at(Timestamp::from_millis(START))))
    }

    /// Another node's world on the same lake.
    pub(super) fn on(memory: Arc<Memory>, clock: Arc<Fixed>) -> Self {
        let disk = Disk::new();
        let (log, stepper) = open_log(&disk, &clock);
        let backend: Arc<dyn Backend> = Arc::<Memory>::clone(&memory);
        Self {
            faulty: Arc::new(Faulty::new(backend)),
            memory,
            clock,
            disk,
            log,
            stepper: Some(stepper),
            folder: tempfile::tempdir().unwrap(),
            limits: Limits { max_bytes: 1 << 20, ..Limits::default() },
            dedup: dedup::Options::default(),
            mapping: 1,
            row_group_bytes: 128 << 20,
            uploads: 1,
            settings: None,
        }
    }

    pub(super) fn store(&self) -> Store {
        let options = storage::Options {
            tries: 2,
            backoff: Duration::ZERO,
            backoff_max: Duration::ZERO,
            uploads: self.uploads,
        };
        Store::new(Arc::<Faulty>::clone(&self.faulty) as Arc<dyn Backend>, options)
    }

    /// A loader as a new process would start it.
    pub(super) fn loader(&self) -> Loader {
        let options = Options {
            folder: self.folder.path().join("load"),
            dialect: "datalake".into(),
            limits: self.limits,
            dedup: self.dedup,
        };
        Loader::new(options, self.services())
    }

    pub(super) fn services(&self) -> Services {
        let workshop: Box<dyn Workshop> = match &self.settings {
            Some(settings) => {
                let shared = Arc::new(ArcSwap::from_pointee(settings.clone()));
                Box::new(Warehouse::new(shared).unwrap())
            }
            None => Box::new(Shop { mapping: self.mapping, row_group_bytes: self.row_group_bytes }),
        };
        Services {
            journal: Arc::<Log>::clone(&self.log) as Arc<dyn Journal>,
            store: self.store(),
            clock: Arc::<Fixed>::clone(&self.clock) as Arc<dyn Clock>,
            workshop,
        }
    }

    pub(super) fn send(&mut self, sent: &Sent) {
        let route = route(sent.source);
        let rejection = Rejection { reason: sent.reason.into(), ..Rejection::default() };
        let stamp = Stamp {
            key_hash: sent.key,
            content_hash: sent.content,
            part: sent.part,
            received_at: self.clock.now().micros(),
            rejection: (!sent.reason.is_empty()).then_some(&rejection),
        };
        let mut group = Group::with_capacity(1, 256);
        let write = |out: &mut Vec<u8>| {
            record::write_event(&route, sent.payload.as_bytes(), stamp, out);
        };
        let kind = if sent.part == 0 { FrameKind::Event } else { FrameKind::Part };
        group.frame(kind as u8, sent.source, 1, write).unwrap();
        drop(self.log.append(group));
        self.sync();
    }

    fn sync(&mut self) {
        while self.stepper.as_mut().is_some_and(Stepper::write) {}
    }

    /// Gives back what was trimmed, as the journal's keeper does.
    pub(super) fn care(&self) {
        if let Some(stepper) = &self.stepper {
            stepper.care();
        }
    }

    /// Kills the journal's process and starts it again; of what was not synced nothing survives.
    /// No loader may hold the old one.
    pub(super) fn restart_journal(&mut self) {
        self.stepper = None;
        self.disk.lose_power(|| false);
        let (log, stepper) = open_log(&self.disk, &self.clock);
        self.log = log;
        self.stepper = Some(stepper);
    }

    pub(super) fn events(&mut self, keys: std::ops::Range<u64>, table: &str) {
        for key in keys {
            self.send(&Sent::new(key, &format!(r#"{{"t":"{table}","id":"m{key}","a":{key}}}"#)));
        }
    }

    pub(super) fn tally(&mut self, dropped: u32, suppressed: u32) {
        let tally = Tally {
            route: Some((*route("web_prod").route).clone()),
            dropped,
            suppressed,
            reason: "sample".into(),
            received_at: self.clock.now().micros(),
        };
        let mut group = Group::with_capacity(1, 256);
        let write = |out: &mut Vec<u8>| record::write_tally(tally, out);
        let kind = FrameKind::Tally as u8;
        group.frame(kind, "web_prod", dropped + suppressed, write).unwrap();
        drop(self.log.append(group));
        self.sync();
    }

    /// The manifests of this writer, in order, with the chain checked.
    pub(super) fn manifests(&self) -> Vec<Manifest> {
        let objects = self.memory.objects();
        let writer = Part::new(self.log.writer_id()).unwrap();
        let mut found = Vec::new();
        let (mut previous, mut to) = (None, 0);
        for number in 1.. {
            let key = Key::Manifest(writer.clone(), Number(number));
            let Some(bytes) = objects.get(&key.to_string()) else { break };
            let manifest = Manifest::from_bytes(&key, bytes).unwrap();
            assert_eq!(manifest.previous, previous, "batch {number}");
            assert_eq!(manifest.journal.from, to, "batch {number}");
            assert!(manifest.events.balance(), "batch {number}: {:?}", manifest.events);
            let plan = Key::Plan(writer.clone(), Number(number)).to_string();
            assert_eq!(manifest.plan, checksum(&objects[&plan]));
            for file in &manifest.files {
                assert_eq!(file.bytes, objects[&file.path].len() as u64);
            }
            previous = Some(checksum(bytes));
            to = manifest.journal.to;
            found.push(manifest);
        }
        found
    }

    /// How often each id is in the data files of committed batches, by table.
    pub(super) fn rows(&self) -> BTreeMap<(String, String), u32> {
        let objects = self.memory.objects();
        let mut rows = BTreeMap::new();
        for file in self.manifests().into_iter().flat_map(|manifest| manifest.files) {
            assert_eq!(file.sha256, storage::manifest::hex_sha256(&objects[&file.path]));
            for id in ids(&objects[&file.path]) {
                *rows.entry((file.table.clone(), id)).or_default() += 1;
            }
        }
        rows
    }

    /// Nothing but the files of manifests lies in the data folders.
    pub(super) fn assert_no_orphans(&self) {
        let mut listed: Vec<String> =
            self.manifests().into_iter().flat_map(|m| m.files).map(|file| file.path).collect();
        listed.sort_unstable();
        let found: Vec<String> =
            self.memory.objects().into_keys().filter(|key| !key.starts_with("_keelrow")).collect();
        assert_eq!(found, listed);
    }
}

pub(super) fn open_log(disk: &Disk, clock: &Arc<Fixed>) -> (Arc<Log>, Stepper) {
    let files = Arc::new(disk.clone());
    let clock_too = Arc::clone(clock);
    let opened = Log::open_stepped(files, journal_options(), Arc::<Fixed>::clone(clock), clock_too);
    let (log, stepper) = opened.unwrap();
    (Arc::new(log), stepper)
}

/// Advances until all records are taken and committed; errors that pass are tried again.
pub(super) fn drain(loader: &mut Loader) -> Result<(), Error> {
    for _ in 0..10_000 {
        match loader.advance(true) {
            Ok(Progress::Waiting(_)) => return Ok(()),
            Err(error) if error.remedy() == Remedy::Stop => return Err(error),
            _ => {}
        }
    }
    panic!("the loader does not come to an end");
}

/// Advances until an error or the end.
pub(super) fn try_drain(loader: &mut Loader) -> Result<(), Error> {
    loop {
        if let Progress::Waiting(_) = loader.advance(true)? {
            return Ok(());
        }
    }
}

pub(super) fn route(source: &str) -> EncodedRoute {
    let (name, environment) = source.split_once('_').unwrap();
    EncodedRoute::new(Route {
        source_id: source.into(),
        source_name: name.into(),
        environment: environment.into(),
        platform: "web".into(),
        schema: source.into(),
    })
}

/// The column `id` of a file.
pub(super) fn ids(file: &Bytes) -> Vec<String> {
    use arrow_array::cast::AsArray;
    let reader =
        parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file.clone());
    let mut found = Vec::new();
    for batch in reader.unwrap().build().unwrap() {
        let batch = batch.unwrap();
        let column = batch.column_by_name("id").unwrap().as_string::<i32>();
        found.extend(column.iter().map(|id| id.unwrap().to_owned()));
    }
    found
}

#[derive(Debug)]
struct Shop {
    mapping: u32,
    row_group_bytes: u64,
}

impl Shop {
    fn rows(&self, batch: &Batch, opener: Opener) -> Box<dyn Rows> {
        let mut settings =
            columnar::Settings::new(batch.writer.as_str(), batch.number.0, batch.from, batch.time);
        settings.row_group_bytes = self.row_group_bytes;
        let unified = Arc::new(Unified { blocks: Vec::new(), escaped: Vec::new() });
        let parts = opener.parts();
        Box::new(ShopRows {
            tables: Tables::new(settings, unified, Box::new(opener)),
            parts,
            names: Interned::default(),
        })
    }
}

impl Workshop for Shop {
    fn mapping(&self) -> u32 {
        self.mapping
    }

    fn cut(&mut self, batch: &Batch, registry: &Registry) -> Result<(Box<dyn Rows>, Value), Error> {
        let rows =
            self.rows(batch, Opener::cut(registry.clone(), batch.folder.clone(), usize::MAX));
        Ok((rows, serde_json::json!({ "row_group_bytes": self.row_group_bytes })))
    }

    fn rewrite(
        &mut self,
        batch: &Batch,
        settings: &Value,
        files: &[PlannedFile],
        registry: &Registry,
    ) -> Result<Box<dyn Rows>, Error> {
        assert!(settings["row_group_bytes"].is_u64());
        let opener = Opener::rewrite(registry.clone(), batch.folder.clone(), files)?;
        Ok(self.rows(batch, opener))
    }
}

#[derive(Debug)]
struct ShopRows {
    tables: Tables,
    parts: Arc<Parts>,
    names: Interned,
}

#[derive(Debug, Default)]
struct Interned {
    names: Vec<String>,
}

impl Interned {
    fn id(&mut self, name: &str) -> u32 {
        let at = self.names.iter().position(|known| known == name).unwrap_or_else(|| {
            self.names.push(name.into());
            self.names.len() - 1
        });
        u32::try_from(at).unwrap()
    }
}

impl Names for Interned {
    fn table(&self, id: TableId) -> &str {
        &self.names[id.0 as usize]
    }

    fn column(&self, id: ColumnId) -> &str {
        &self.names[id.0 as usize]
    }
}

#[derive(Debug)]
struct NoLeaves;

impl Leaves for NoLeaves {
    fn describe(&self, _origin: u32, _path: &mut String) -> bool {
        false
    }
}

impl ShopRows {
    fn row(
        &mut self,
        from: Incoming<'_>,
        table: &str,
        cells: &[(&str, Value)],
    ) -> Result<(), Error> {
        let route = self.tables.route(from.route);
        let kind = if table == "rejected" { TableKind::Rejected } else { TableKind::Event };
        let table = TableId(self.names.id(table));
        let columns: Vec<u32> = cells.iter().map(|(name, _)| self.names.id(name)).collect();
        let mut sink = self.tables.event(Event {
            route,
            event_type: "track",
            received_at: from.event.received_at,
            leaves: &NoLeaves,
        });
        sink.row(&self.names, table, kind);
        for (column, (_, value)) in columns.into_iter().zip(cells) {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let scalar = value.as_i64().map_or(Scalar::Text(&text), Scalar::Int);
            let cell = Cell { value: scalar, text: &text, origin: u32::MAX };
            sink.cell(&self.names, ColumnId(column), cell);
        }
        sink.finish(&self.names).map_err(Error::Rows)
    }

    fn rejected(&mut self, from: Incoming<'_>, reason: &str) -> Result<(), Error> {
        let id = format!("r{}", from.position);
        self.row(from, "rejected", &[("id", id.into()), ("reason", reason.into())])
    }
}

impl Rows for ShopRows {
    fn event(&mut self, event: Incoming<'_>) -> Result<Mapped, Error> {
        if let Some(rejection) = &event.event.rejection {
            self.rejected(event, &rejection.reason)?;
            return Ok(Mapped::Rejected);
        }
        let Value::Object(mut fields) = serde_json::from_slice(event.event.payload).unwrap() else {
            unreachable!()
        };
        let table = fields.remove("t").unwrap();
        let table = table.as_str().unwrap();
        if table.is_empty() {
            self.rejected(event, "unmappable")?;
            return Ok(Mapped::Rejected);
        }
        let cells: Vec<(&str, Value)> =
            fields.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        self.row(event, table, &cells)?;
        Ok(Mapped::Loaded)
    }

    fn reused(&mut self, event: Incoming<'_>) -> Result<(), Error> {
        self.rejected(event, "message_id_reused")
    }

    fn relieve(&mut self, memory: u64) -> Result<bool, Error> {
        self.tables.relieve(memory).map_err(Error::Rows)
    }

    fn finish(self: Box<Self>) -> Result<Vec<LocalFile>, Error> {
        let finished: Result<_, columnar::Error> = self.tables.finish();
        local_files(finished.map_err(Error::Rows)?, &self.parts)
    }
}
