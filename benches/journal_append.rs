//! What an append costs: CPU time of the whole process per event, records per second, and how
//! long an acknowledgement takes, with every one synced. `cargo bench --bench journal_append`.
//!
//! Rounds of all cases are interleaved, so that a slow minute of the machine hits all alike; each
//! line shows the median and the range. A second argument chooses the folder to write to.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench stops and talks")]
#![expect(clippy::disallowed_methods, reason = "it measures real time, on its own tasks")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use keelrow::clock::System;
use keelrow::journal::disk::{Log, Options};
use keelrow::journal::{Group, Journal, Position};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(1500);
/// The mean event of the reference traffic.
const EVENT_BYTES: usize = 1236;

#[derive(Clone, Copy, Debug)]
struct Case {
    name: &'static str,
    clients: usize,
    events: usize,
}

const CASES: [Case; 5] = [
    Case { name: "1 client, single events", clients: 1, events: 1 },
    Case { name: "64 clients, single events", clients: 64, events: 1 },
    Case { name: "256 clients, single events", clients: 256, events: 1 },
    Case { name: "4 clients, batches of 50", clients: 4, events: 50 },
    Case { name: "16 clients, batches of 50", clients: 16, events: 50 },
];

#[derive(Clone, Debug, Default)]
struct Figures {
    cpu_us: f64,
    per_second: f64,
    events_per_sync: f64,
    ack_p50_us: f64,
    ack_p99_us: f64,
}

fn main() {
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let folder = folder.map_or_else(std::env::temp_dir, PathBuf::from);
    let payload = vec![b'x'; EVENT_BYTES];
    encode_only(&payload);
    read_back(&folder, &payload);
    let mut figures = vec![Vec::new(); CASES.len()];
    for _ in 0..ROUNDS {
        for (case, figures) in CASES.iter().zip(&mut figures) {
            figures.push(round(&folder, case, &payload));
        }
    }
    for (case, figures) in CASES.iter().zip(&figures) {
        println!(
            "{:28} cpu {} us/event, {} events/s, {} events/sync, ack p50 {} p99 {} us",
            case.name,
            spread(figures, |figures| figures.cpu_us, 2),
            spread(figures, |figures| figures.per_second, 0),
            spread(figures, |figures| figures.events_per_sync, 0),
            spread(figures, |figures| figures.ack_p50_us, 0),
            spread(figures, |figures| figures.ack_p99_us, 0),
        );
    }
}

/// The part that the request's own thread does: copy and checksum.
fn encode_only(payload: &[u8]) {
    const GROUPS: u32 = 20_000;
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = cpu();
            for _ in 0..GROUPS {
                std::hint::black_box(group(50, payload));
            }
            (cpu() - start).as_secs_f64() * 1e6 / f64::from(GROUPS * 50)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    println!("encode alone, batches of 50   cpu {:.3} us/event", rounds[ROUNDS / 2]);
}

/// The part that the loader pays: reading and checking what was written.
fn read_back(folder: &Path, payload: &[u8]) {
    const GROUPS: usize = 2_000;
    let folder = tempfile::tempdir_in(folder).unwrap();
    let log = open(folder.path());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for _ in 0..GROUPS {
        runtime.block_on(log.append(group(50, payload))).unwrap();
    }
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = cpu();
            let mut reader = log.reader(Position::ZERO).unwrap();
            let mut events = 0_u32;
            while let Some(item) = reader.next().unwrap() {
                std::hint::black_box(item);
                events += 1;
            }
            (cpu() - start).as_secs_f64() * 1e6 / f64::from(events)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    println!("read back                     cpu {:.3} us/event", rounds[ROUNDS / 2]);
}

fn open(folder: &Path) -> Log {
    let clock = Arc::new(System::new());
    let ids = Arc::clone(&clock);
    Log::open(Options::new(folder.join("journal"), "bench"), clock, ids).unwrap()
}

fn group(events: usize, payload: &[u8]) -> Group {
    let mut group = Group::with_capacity(events, events * (payload.len() + 80));
    for _ in 0..events {
        group.frame(1, "web-app", 1, |bytes| bytes.extend_from_slice(payload)).unwrap();
    }
    group
}

fn round(folder: &Path, case: &Case, payload: &[u8]) -> Figures {
    let folder = tempfile::tempdir_in(folder).unwrap();
    let log = Arc::new(open(folder.path()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let (start, start_cpu, syncs) = (Instant::now(), cpu(), log.state().syncs);
    let clients: Vec<_> = (0..case.clients)
        .map(|_| {
            let client = client(Arc::clone(&log), Arc::clone(&done), *case, payload.to_vec());
            runtime.spawn(client)
        })
        .collect();
    std::thread::sleep(ROUND);
    done.store(true, Ordering::Relaxed);
    let mut acks = Vec::new();
    for client in clients {
        acks.extend(runtime.block_on(client).unwrap());
    }
    let (wall, used) = (start.elapsed(), cpu() - start_cpu);
    let events = f64::from(u32::try_from(acks.len() * case.events).unwrap());
    acks.sort_unstable();
    let at = |share: usize| acks[(acks.len() - 1) * share / 100].as_secs_f64() * 1e6;
    let syncs = f64::from(u32::try_from(log.state().syncs - syncs).unwrap());
    log.close();
    Figures {
        cpu_us: used.as_secs_f64() * 1e6 / events,
        per_second: events / wall.as_secs_f64(),
        events_per_sync: events / syncs,
        ack_p50_us: at(50),
        ack_p99_us: at(99),
    }
}

async fn client(
    log: Arc<Log>,
    done: Arc<AtomicBool>,
    case: Case,
    payload: Vec<u8>,
) -> Vec<Duration> {
    let mut acks = Vec::new();
    let mut trimmed = Position::ZERO;
    while !done.load(Ordering::Relaxed) {
        let start = Instant::now();
        let range = log.append(group(case.events, &payload)).await.unwrap();
        acks.push(start.elapsed());
        if range.start.since(trimmed) > 50_000 {
            trimmed = range.start;
            log.trim(trimmed);
        }
    }
    acks
}

/// CPU time of all threads of this process.
fn cpu() -> Duration {
    let mut nanos = 0;
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let schedstat = task.unwrap().path().join("schedstat");
        // A thread may end meanwhile.
        let text = std::fs::read_to_string(schedstat).unwrap_or_default();
        nanos += text.split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or_default();
    }
    Duration::from_nanos(nanos)
}

fn spread(figures: &[Figures], of: impl Fn(&Figures) -> f64, digits: usize) -> String {
    let mut values: Vec<_> = figures.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    let median = values[values.len() / 2];
    format!("{median:.digits$} [{:.digits$}-{:.digits$}]", values[0], values[values.len() - 1])
}
