//! The checked pass over request bodies, beside serde_json on the same bytes.
//!
//! `cargo bench --bench parse`; the recorded requests of tests/golden/corpus, one after the other.

#![allow(clippy::unwrap_used, reason = "a bench ends where something is wrong")]

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use keelrow::event::{Edits, Parser};
use serde::de::IgnoredAny;
use serde_json::Value;

fn main() {
    divan::main();
}

/// The bodies, and how many events they hold.
fn bodies() -> (Vec<String>, usize) {
    let packed = include_bytes!("../tests/golden/corpus/requests.jsonl.zst");
    let text = String::from_utf8(zstd::decode_all(&packed[..]).unwrap()).unwrap();
    let bodies: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["body"].take())
        .collect();
    let events = bodies.iter().map(|body| body["batch"].as_array().map_or(1, Vec::len)).sum();
    (bodies.iter().map(Value::to_string).collect(), events)
}

#[divan::bench]
fn tape(bencher: Bencher<'_, '_>) {
    let (bodies, events) = bodies();
    let mut parser = Parser::new();
    bencher.counter(ItemsCount::new(events)).bench_local(|| {
        for body in &bodies {
            black_box(parser.parse(body.as_bytes()).unwrap().tokens().len());
        }
    });
}

#[divan::bench]
fn tape_and_copy(bencher: Bencher<'_, '_>) {
    let (bodies, events) = bodies();
    let (mut parser, mut edits, mut out) = (Parser::new(), Edits::new(), Vec::new());
    bencher.counter(ItemsCount::new(events)).bench_local(|| {
        for body in &bodies {
            let tape = parser.parse(body.as_bytes()).unwrap();
            edits.begin(tape.root());
            out.clear();
            edits.write(tape.root(), &mut out);
            black_box(out.len());
        }
    });
}

#[divan::bench]
fn serde_json_ignored_any(bencher: Bencher<'_, '_>) {
    let (bodies, events) = bodies();
    bencher.counter(ItemsCount::new(events)).bench_local(|| {
        for body in &bodies {
            black_box(serde_json::from_str::<IgnoredAny>(body).unwrap());
        }
    });
}

#[divan::bench]
fn serde_json_value(bencher: Bencher<'_, '_>) {
    let (bodies, events) = bodies();
    bencher.counter(ItemsCount::new(events)).bench_local(|| {
        for body in &bodies {
            black_box(serde_json::from_str::<Value>(body).unwrap());
        }
    });
}
