//! What the default pack adds to an event of the reference traffic, in CPU time of the thread, and
//! each part's share of it. `cargo bench --bench transform`.
//!
//! Rounds of all cases are interleaved, so that a slow minute of the machine hits all alike; each
//! line shows the least and the median. A share is the whole pack less the pack without that rule,
//! so that shares do not add up to the whole: what all detectors need together is nobody's.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench stops and talks")]

use std::hint::black_box;
use std::time::Duration;

use keelrow::event::{Edits, Parser};
use keelrow::transform::{Pack, Pseudonyms, Scratch};
use rustix::time::{ClockId, clock_gettime};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 15;
/// What the pack may cost of reading the same event: a ratio, since the machine's pace is not ours.
const RATIO_MAX: f64 = 1.5;
/// Events in a body, as servers send them.
const BATCH: usize = 50;

fn main() {
    let bodies = bodies();
    let text = Pack::builtin_text("pii").unwrap();
    let rules = rules(text);
    let mut cases = vec![
        Case::new("parse and begin edits, no pack", None),
        Case::new("a pack without rules", Some(String::new())),
        Case::new("key rules only", Some(keep(&rules, |rule| !is_detector(rule)))),
        Case::new("the default pack", Some(text.to_owned())),
    ];
    for rule in rules.iter().filter(|rule| is_detector(rule)) {
        let without = keep(&rules, |other| other != rule);
        cases.push(Case::new(&name(rule), Some(without)));
    }
    for _ in 0..ROUNDS {
        for case in &mut cases {
            let took = case.round(&bodies);
            case.took.push(took);
        }
    }
    report(&mut cases);
}

struct Case {
    name: String,
    pack: Option<Pack>,
    pseudonyms: Pseudonyms,
    parser: Parser,
    edits: Edits,
    scratch: Scratch,
    took: Vec<f64>,
}

impl Case {
    fn new(name: &str, text: Option<String>) -> Self {
        Self {
            name: name.to_owned(),
            pack: text.map(|text| Pack::compile(name, &text).unwrap()),
            pseudonyms: Pseudonyms::new(&[1; 32], 1).unwrap(),
            parser: Parser::new(),
            edits: Edits::new(),
            scratch: Scratch::new(),
            took: Vec::new(),
        }
    }

    /// Microseconds of CPU an event.
    fn round(&mut self, bodies: &[(usize, Vec<u8>)]) -> f64 {
        let start = cpu_time();
        let mut events = 0;
        for _ in 0..4 {
            for (count, body) in bodies {
                events += count;
                let batch = self.parser.parse(body).unwrap().root();
                for event in batch.children() {
                    self.edits.begin(event);
                    if let Some(pack) = &self.pack {
                        let (scratch, edits) = (&mut self.scratch, &mut self.edits);
                        black_box(pack.apply(scratch, event, edits, &self.pseudonyms));
                    }
                    black_box(self.edits.is_empty());
                }
            }
        }
        let took = cpu_time() - start;
        took.as_secs_f64() * 1e6 / f64::from(u32::try_from(events).unwrap())
    }
}

fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap())
}

/// The events of the reference traffic in arrays of [`BATCH`], with how many each has.
fn bodies() -> Vec<(usize, Vec<u8>)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/corpus/requests.jsonl.zst");
    let text = zstd::decode_all(std::fs::read(path).unwrap().as_slice()).unwrap();
    let mut parser = Parser::new();
    let mut events = Vec::new();
    for line in text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let root = parser.parse(line).unwrap().root();
        let body = root.get("body").unwrap();
        match body.get("batch") {
            Some(batch) => events.extend(batch.children().map(|event| event.raw().to_owned())),
            None => events.push(body.raw().to_owned()),
        }
    }
    let bytes: usize = events.iter().map(String::len).sum();
    println!("{} events of {} bytes in batches of {BATCH}", events.len(), bytes / events.len());
    events.chunks(BATCH).map(|some| (some.len(), format!("[{}]", some.join(",")).into())).collect()
}

/// The pack's rules, each with its text.
fn rules(text: &str) -> Vec<String> {
    text.split("[[rule]]").skip(1).map(|rule| format!("[[rule]]{rule}")).collect()
}

fn keep(rules: &[String], keep: impl Fn(&String) -> bool) -> String {
    rules.iter().filter(|rule| keep(rule)).map(String::as_str).collect()
}

fn is_detector(rule: &str) -> bool {
    rule.contains("\ndetect") && !rule.contains("\nkeys")
}

fn name(rule: &str) -> String {
    rule.lines().find_map(|line| line.strip_prefix("name = ")).unwrap().trim_matches('"').to_owned()
}

fn report(cases: &mut [Case]) {
    for case in &mut *cases {
        case.took.sort_by(f64::total_cmp);
    }
    let least = |case: &Case| case.took[0];
    let (bare, whole) = (least(&cases[0]), least(&cases[3]));
    println!("{:34} {:>8} {:>8} {:>8}", "us an event", "least", "median", "adds");
    for case in &cases[..4] {
        let median = case.took[case.took.len() / 2];
        println!("{:34} {:8.3} {median:8.3} {:8.3}", case.name, least(case), least(case) - bare);
    }
    let ratio = (whole - bare) / bare;
    println!("the pack costs {ratio:.2} of reading the same event, at most {RATIO_MAX}");
    println!("shares, by leaving one out:");
    for case in &cases[4..] {
        println!("  {:32} {:8.3}", case.name, whole - least(case));
    }
    assert!(ratio <= RATIO_MAX, "the pack costs more than that");
}
