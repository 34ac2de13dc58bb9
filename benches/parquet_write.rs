//! Rows to column builders to Parquet: what the loader does with the mapper's cells.
//!
//! Synthetic track events shaped like SDK traffic: 45 context and standard columns, 4 to 14
//! properties, 56 event names, three row sets for each event (`tracks`, the event's table, the
//! unified table). `cargo bench --bench parquet_write`; items are events.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a bench, no product"
)]

use std::io;
use std::sync::Arc;

use divan::Bencher;
use divan::counter::ItemsCount;
use keelrow::clock::Timestamp;
use keelrow::columnar::{
    Column, Compression, Event, Files, Home, Leaves, Open, Plan, Schema, Settings, Tables,
};
use keelrow::record::Route;
use keelrow::unified::Unified;
use keelrow::warehouse::{Cell, ColumnId, ColumnType, Names, Scalar, Sink, TableId, TableKind};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EVENTS: usize = 56;

fn main() {
    divan::main();
}

struct Interned(Vec<String>);

impl Names for Interned {
    fn table(&self, id: TableId) -> &str {
        &self.0[id.0 as usize]
    }

    fn column(&self, id: ColumnId) -> &str {
        &self.0[id.0 as usize]
    }
}

struct NoLeaves;

impl Leaves for NoLeaves {
    fn describe(&self, _: u32, _: &mut String) -> bool {
        true
    }
}

struct Nowhere;

impl Files for Nowhere {
    fn create(&mut self, _: u32) -> io::Result<Box<dyn io::Write + Send>> {
        Ok(Box::new(io::sink()))
    }
}

struct Opener(Vec<(Home, Schema)>);

impl Open for Opener {
    fn open(
        &mut self,
        home: &Home,
    ) -> Result<(Plan, Box<dyn Files>), Box<dyn std::error::Error + Send + Sync>> {
        let schema = self.0.iter().find(|(at, _)| at == home).map(|(_, schema)| schema.clone());
        Ok((Plan::Cut(schema.unwrap_or_else(Schema::empty).into()), Box::new(Nowhere)))
    }
}

/// The cells of one event: those of `tracks` first.
struct Prepared {
    table: TableId,
    cells: Vec<(ColumnId, Value)>,
    common: usize,
}

enum Value {
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    Time(i64),
}

impl Value {
    fn cell(&self) -> Cell<'_> {
        let (value, text) = match self {
            Self::Text(text) => (Scalar::Text(text), text.as_str()),
            Self::Int(value) => (Scalar::Int(*value), "1234"),
            Self::Float(value) => (Scalar::Float(*value), "12.5"),
            Self::Bool(value) => (Scalar::Bool(*value), "true"),
            Self::Time(value) => (Scalar::Datetime(*value), "2026-06-15T00:05:39.865Z"),
        };
        Cell { value, text, origin: 0 }
    }
}

/// A small generator, so that the rows are the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

const STANDARD: [&str; 16] = [
    "id",
    "received_at",
    "sent_at",
    "original_timestamp",
    "timestamp",
    "anonymous_id",
    "user_id",
    "event",
    "event_text",
    "channel",
    "context_ip",
    "context_request_ip",
    "context_library_name",
    "context_user_agent",
    "context_page_url",
    "context_session_id",
];
const THINGS: u32 = 29;
const PROPERTIES: u32 = 120;
/// Ids of columns come behind those of tables.
const FIRST_COLUMN: u32 = EVENTS as u32 + 1;

fn names() -> Interned {
    let mut names = vec!["tracks".to_owned()];
    names.extend((1..=EVENTS).map(|n| format!("event_number_{n}")));
    names.extend(STANDARD.iter().map(|&name| name.to_owned()));
    names.extend((0..THINGS).map(|n| format!("context_thing_{n}_value")));
    names.extend((0..PROPERTIES).map(|n| format!("property_{n}")));
    Interned(names)
}

fn standard(name: &str, (n, event, user): (usize, u32, u64), random: &mut Random) -> Value {
    let now = 1_781_481_939_865_000 + n as i64 * 1_000;
    match name {
        "id" => Value::Text(format!("{:016x}-{n:08x}-4b9a", random.below(u64::MAX))),
        "received_at" | "sent_at" | "original_timestamp" | "timestamp" => {
            Value::Time(now - random.below(5_000_000).cast_signed())
        }
        "anonymous_id" | "user_id" => Value::Text(format!("{user:026x}")),
        "event" | "event_text" => Value::Text(format!("event_number_{event}")),
        "context_user_agent" => Value::Text(format!(
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/12{}.0.0.0 Safari/537.36",
            user % 9
        )),
        "context_page_url" => {
            Value::Text(format!("https://example.org/team/channels/{}", user % 500))
        }
        "context_library_name" => Value::Text("RudderLabs JavaScript SDK".to_owned()),
        "context_session_id" => Value::Int(1_780_863_605 + (user % 900).cast_signed()),
        _ => Value::Text(format!("value {}", user % 30)),
    }
}

fn prepare(n: usize, random: &mut Random) -> Prepared {
    let event = random.below(EVENTS as u64) as u32;
    let user = random.below(4_000);
    let mut cells = Vec::new();
    for (column, name) in (FIRST_COLUMN..).zip(STANDARD) {
        cells.push((ColumnId(column), standard(name, (n, event, user), random)));
    }
    for thing in 0..THINGS {
        let column = ColumnId(FIRST_COLUMN + STANDARD.len() as u32 + thing);
        let value = match thing % 7 {
            0 => Value::Bool(user & 1 == 0),
            1 => Value::Int((user % 2_000).cast_signed()),
            _ => Value::Text(format!("thing {}", (user + u64::from(thing)) % 40)),
        };
        cells.push((column, value));
    }
    let common = cells.len();
    for at in 0..4 + event % 11 {
        let property = (event * 7 + at * 3) % PROPERTIES;
        let value = match property % 5 {
            0 => Value::Int(random.below(10_000).cast_signed()),
            1 => Value::Float(random.below(10_000) as f64 / 8.0 + 0.125),
            2 => Value::Bool(random.below(2) == 0),
            _ => Value::Text(format!("property value {}", random.below(300))),
        };
        let column = FIRST_COLUMN + STANDARD.len() as u32 + THINGS + property;
        cells.push((ColumnId(column), value));
    }
    Prepared { table: TableId(1 + event), cells, common }
}

fn data(events: usize) -> (Interned, Vec<Prepared>) {
    let mut random = Random(7);
    (names(), (0..events).map(|n| prepare(n, &mut random)).collect())
}

#[derive(Clone, Copy, PartialEq)]
enum Sets {
    Event,
    EventAndTracks,
    All,
}

fn settings(compression: Compression) -> Settings {
    let mut settings = Settings::new("bench", 1, 0, Timestamp::from_millis(1_781_481_939_000));
    settings.compression = compression;
    settings
}

fn unified(sets: Sets) -> Arc<Unified> {
    let mut unified = Unified::new(Vec::new(), Vec::new());
    if sets != Sets::All {
        unified.blocks.clear();
    }
    Arc::new(unified)
}

fn tables(compression: Compression, sets: Sets, schemas: &[(Home, Schema)]) -> Tables {
    Tables::new(settings(compression), unified(sets), Box::new(Opener(schemas.to_vec())))
}

fn feed(tables: &mut Tables, names: &Interned, data: &[Prepared], sets: Sets) {
    let route = tables.route(&Route {
        source_id: "webapp_prod".into(),
        source_name: "webapp".into(),
        environment: "prod".into(),
        platform: "web".into(),
        schema: "mm_telemetry_prod".into(),
    });
    for (n, event) in data.iter().enumerate() {
        let mut sink = tables.event(Event {
            route,
            event_type: "track",
            received_at: 1_781_481_939_865_000 + n as i64 * 1_000,
            leaves: &NoLeaves,
        });
        if sets != Sets::Event {
            sink.row(names, TableId(0), TableKind::Tracks);
            for (column, value) in &event.cells[..event.common] {
                sink.cell(names, *column, value.cell());
            }
        }
        sink.row(names, event.table, TableKind::Event);
        for (column, value) in &event.cells {
            sink.cell(names, *column, value.cell());
        }
        sink.finish(names).unwrap();
    }
}

/// Schemas after a first batch, so that types are known.
fn schemas(names: &Interned, data: &[Prepared]) -> Vec<(Home, Schema)> {
    let mut first = tables(Compression::Snappy, Sets::All, &[]);
    feed(&mut first, names, data, Sets::All);
    let finished = first.finish().unwrap();
    finished
        .into_iter()
        .filter_map(|table| Some((table.home, Schema::clone(&table.parts.last()?.schema))))
        .collect()
}

fn build(bencher: Bencher<'_, '_>, events: usize, sets: Sets, known: bool) {
    let (names, data) = data(events);
    let schemas = if known { schemas(&names, &data) } else { Vec::new() };
    bencher
        .counter(ItemsCount::new(events))
        .with_inputs(|| tables(Compression::Auto, sets, &schemas))
        .bench_local_values(|mut tables| {
            feed(&mut tables, &names, &data, sets);
            tables
        });
}

#[divan::bench(sample_count = 20)]
fn build_event_table(bencher: Bencher<'_, '_>) {
    build(bencher, 33_750, Sets::Event, true);
}

#[divan::bench(sample_count = 20)]
fn build_event_and_tracks(bencher: Bencher<'_, '_>) {
    build(bencher, 33_750, Sets::EventAndTracks, true);
}

#[divan::bench(sample_count = 20)]
fn build_three_row_sets(bencher: Bencher<'_, '_>) {
    build(bencher, 33_750, Sets::All, true);
}

#[divan::bench(sample_count = 20)]
fn build_three_row_sets_first_batch(bencher: Bencher<'_, '_>) {
    build(bencher, 33_750, Sets::All, false);
}

fn write(bencher: Bencher<'_, '_>, events: usize, compression: Compression) {
    let (names, data) = data(events);
    let schemas = schemas(&names, &data);
    let mut bytes = 0;
    bencher
        .counter(ItemsCount::new(events))
        .with_inputs(|| {
            let mut tables = tables(compression, Sets::All, &schemas);
            feed(&mut tables, &names, &data, Sets::All);
            tables
        })
        .bench_local_values(|tables| {
            let parts = tables.finish().unwrap();
            bytes = parts.iter().flat_map(|table| &table.parts).map(|part| part.bytes).sum();
        });
    eprintln!("{} bytes of file an event", bytes / events as u64);
}

/// A row group of one column with values and as many as told without.
#[divan::bench(sample_count = 50, args = [0, 1_000])]
fn empty_columns(bencher: Bencher<'_, '_>, empty: usize) {
    let column = |at: usize| Column {
        name: format!("column_{at}"),
        column_type: ColumnType::String,
        required: false,
        first_seen: Timestamp::from_millis(0),
        max_bytes: 256,
    };
    let schema = Schema { version: 1, columns: (0..empty).map(column).collect() };
    let home = Home::Schema { schema: "s".into(), table: "t".into() };
    let names = Interned(vec!["t".into(), "id".into()]);
    let mut bytes = 0;
    bencher
        .with_inputs(|| {
            let known = [(home.clone(), schema.clone())];
            let mut tables = tables(Compression::Auto, Sets::Event, &known);
            let route = tables.route(&Route { schema: "s".into(), ..Route::default() });
            for row in 0..1_000 {
                let text = format!("id-{row}");
                let cell = Cell { value: Scalar::Text(&text), text: &text, origin: u32::MAX };
                let mut sink = tables.event(Event {
                    route,
                    event_type: "track",
                    received_at: row,
                    leaves: &NoLeaves,
                });
                sink.row(&names, TableId(0), TableKind::Event);
                sink.cell(&names, ColumnId(1), cell);
                sink.finish(&names).unwrap();
            }
            tables
        })
        .bench_local_values(|tables| bytes = tables.finish().unwrap()[0].parts[0].bytes);
    eprintln!("{bytes} bytes of file");
}

#[divan::bench(sample_count = 10, args = [1_650, 33_750, 168_800])]
fn write_auto(bencher: Bencher<'_, '_>, events: usize) {
    write(bencher, events, Compression::Auto);
}

#[divan::bench(sample_count = 10, args = [1_650, 33_750, 168_800])]
fn write_snappy(bencher: Bencher<'_, '_>, events: usize) {
    write(bencher, events, Compression::Snappy);
}

#[divan::bench(sample_count = 10, args = [1_650, 33_750, 168_800])]
fn write_zstd(bencher: Bencher<'_, '_>, events: usize) {
    write(bencher, events, Compression::Zstd);
}
