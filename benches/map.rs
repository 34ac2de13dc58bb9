//! What the mapping costs: journal text -> tape -> cells given to a sink that only counts; then as the
//! loader does it, from a record of the journal to the column arrays of the event's tables.
//!
//! `cargo bench --bench map`; the events are the corpus under `tests/golden/corpus`, as the gateway
//! would have journaled them. Prints microseconds of the thread's CPU time per event, the median and
//! the least of the rounds.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods, reason = "a bench")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keelrow::clock::Timestamp;
use keelrow::event::Parser;
use keelrow::loader::local::Content;
use keelrow::loader::rows::{Batch, Incoming, Workshop as _};
use keelrow::loader::{Settings, Warehouse};
use keelrow::record::{self, EncodedRoute, Route, Stamp, View};
use keelrow::storage::keys::{Number, Part};
use keelrow::storage::registry::Registry;
use keelrow::storage::{Folder, Options, Store};
use keelrow::warehouse::{
    Cell, ColumnId, Dialect, Layout, Mapper, Names, Origin, Sink, TableId, TableKind,
};
use serde_json::Value;

/// As the program's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 15;
const PASSES: usize = 20;

/// Looks at every cell, as a column builder would.
#[derive(Default)]
struct Count {
    rows: usize,
    cells: usize,
    bytes: usize,
}

impl Sink for Count {
    fn row(&mut self, _: &dyn Names, table: TableId, _: TableKind) {
        self.rows += 1;
        black_box(table);
    }

    fn cell(&mut self, _: &dyn Names, column: ColumnId, cell: Cell<'_>) {
        self.cells += 1;
        self.bytes += cell.text.len();
        black_box((column, cell.value));
    }
}

fn events() -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/corpus/requests.jsonl.zst");
    let text = zstd::decode_all(std::fs::read(path).unwrap().as_slice()).unwrap();
    let mut all = Vec::new();
    for line in String::from_utf8(text).unwrap().lines() {
        let request: Value = serde_json::from_str(line).unwrap();
        let body = &request["body"];
        let single = std::slice::from_ref(body);
        for event in body["batch"].as_array().map_or(single, Vec::as_slice) {
            let mut event = event.clone();
            let members = event.as_object_mut().unwrap();
            let kind = request["path"].as_str().unwrap().rsplit('/').next().unwrap();
            members.entry("type").or_insert_with(|| kind.into());
            members.insert("receivedAt".into(), "2026-06-15T00:05:41.123Z".into());
            members.insert("request_ip".into(), "203.0.113.9".into());
            members.insert("rudderId".into(), "3f2a8e1c-4d5b-4a6f-8b7c-9d0e1f2a3b4c".into());
            all.push(event.to_string());
        }
    }
    all
}

/// CPU time of this thread where the system tells it (Linux), else wall time.
fn spent(start: Instant) -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let told = told.and_then(|text| text.split(' ').next()?.parse().ok());
    told.map_or_else(|| start.elapsed(), Duration::from_nanos)
}

/// Runs `work` over all events many times; the median and the least of the rounds, in µs an event.
fn measure(events: &[String], mut work: impl FnMut(&str)) -> (f64, f64) {
    let start = Instant::now();
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let before = spent(start);
            for _ in 0..PASSES {
                events.iter().for_each(|event| work(event));
            }
            (spent(start) - before).as_secs_f64() * 1e6 / (events.len() * PASSES) as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    (rounds[ROUNDS / 2], rounds[0])
}

/// From records as the journal has them to column arrays: event table, `tracks`, unified table; each
/// batch holds the events so many times. The first round does not count: it makes the columns known to
/// the registry, and the room of a batch.
fn arrays(events: &[String], passes: usize) -> (f64, f64) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(Arc::new(Folder::open(folder.path()).unwrap()), Options::default());
    let registry = Registry::new(store);
    let settings = Arc::new(arc_swap::ArcSwap::from_pointee(Settings::default()));
    let mut warehouse = Warehouse::new(settings).unwrap();
    let route = Route {
        source_id: "webapp_prod".into(),
        source_name: "webapp".into(),
        environment: "prod".into(),
        platform: "web".into(),
        schema: "webapp_prod".into(),
    };
    let encoded = EncodedRoute::new(route.clone());
    let route = Arc::new(route);
    let records: Vec<Vec<u8>> = events
        .iter()
        .map(|event| {
            let mut record = Vec::new();
            let stamp =
                Stamp { key_hash: 1, content_hash: 1, part: 0, received_at: 0, rejection: None };
            record::write_event(&encoded, event.as_bytes(), stamp, &mut record);
            record
        })
        .collect();
    let start = Instant::now();
    let mut rounds: Vec<f64> = (0..=ROUNDS)
        .map(|round| {
            let batch = Batch {
                writer: Part::new("bench").unwrap(),
                number: Number(round as u64),
                from: 0,
                time: Timestamp::from_millis(1_781_481_939_000),
                folder: folder.path().to_owned(),
            };
            let (mut rows, _) = warehouse.cut(&batch, &registry).unwrap();
            let before = spent(start);
            for _ in 0..passes {
                for (position, record) in (0..).zip(&records) {
                    let View::Event(event) = record::read(record).unwrap() else { continue };
                    rows.event(Incoming { event: &event, route: &route, position }).unwrap();
                }
            }
            // What waits to be given to its columns is part of the price.
            rows.arrange();
            let spent = spent(start) - before;
            for file in rows.finish().unwrap() {
                registry.widen(&file.folder, &file.schema).unwrap();
                if let Content::File(path) = file.content {
                    std::fs::remove_file(path).unwrap();
                }
            }
            spent.as_secs_f64() * 1e6 / (events.len() * passes) as f64
        })
        .skip(1)
        .collect();
    rounds.sort_by(f64::total_cmp);
    (rounds[ROUNDS / 2], rounds[0])
}

fn main() {
    let events = events();
    let bytes: usize = events.iter().map(String::len).sum();
    println!("{} events of {} bytes", events.len(), bytes / events.len());
    let mut parser = Parser::new();
    let parse = measure(&events, |event| {
        black_box(parser.parse(event.as_bytes()).unwrap().tokens().len());
    });
    println!("tape alone            {:.2} us (least {:.2})", parse.0, parse.1);
    let origin = Origin {
        source_id: "webapp_prod",
        source_type: "web",
        destination_id: "keelrow",
        destination_type: "datalake",
        received_at: 0,
        minted_id: "auto",
    };
    let layout = Layout::default();
    for dialect in [Dialect::Datalake, Dialect::Snowflake] {
        let (mut mapper, mut count) = (Mapper::new(dialect), Count::default());
        let mapped = measure(&events, |event| {
            let tape = parser.parse(event.as_bytes()).unwrap();
            let mapped = mapper.map(tape.root(), &origin, &layout, &mut count);
            black_box(mapped.is_ok());
        });
        let runs = events.len() * PASSES * ROUNDS;
        println!(
            "tape and map {dialect:<9}{:.2} us (least {:.2}), {:.1} rows, {:.0} cells an event",
            mapped.0,
            mapped.1,
            count.rows as f64 / runs as f64,
            count.cells as f64 / runs as f64,
        );
    }
    // The mark is for an event of 1.2 KB.
    let near: Vec<String> =
        events.iter().filter(|event| (1_100..1_300).contains(&event.len())).cloned().collect();
    let many = events.len() * PASSES / near.len();
    for (events, passes) in [(&events, PASSES), (&events, 1), (&near, many)] {
        let bytes: usize = events.iter().map(String::len).sum();
        let (median, least) = arrays(events, passes);
        println!(
            "journal to arrays     {median:.2} us (least {least:.2}), {} a batch, {} bytes each",
            events.len() * passes,
            bytes / events.len(),
        );
    }
}
