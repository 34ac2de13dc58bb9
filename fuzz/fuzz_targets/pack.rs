//! Any text as a rule pack: refused with lines, or compiled and usable.

#![no_main]

use keelrow::event::{Edits, Parser};
use keelrow::transform::{Pack, Pseudonyms, Scratch};
use libfuzzer_sys::fuzz_target;

const EVENT: &[u8] = br#"{"userId":"a@b.de","event":"e","properties":{"a b":["x",1.5,{"k":"+33 1 42 46 89 60"}]}}"#;

fuzz_target!(|text: &str| {
    let pack = match Pack::compile("fuzzed", text) {
        Ok(pack) => pack,
        Err(faults) => {
            assert!(!faults.is_empty());
            return;
        }
    };
    let pseudonyms = Pseudonyms::new(&[7; 32], 1).expect("long enough");
    let (mut parser, mut edits, mut scratch) = (Parser::new(), Edits::new(), Scratch::new());
    let tape = parser.parse(EVENT).expect("an event");
    edits.begin(tape.root());
    let _ = pack.apply(&mut scratch, tape.root(), &mut edits, &pseudonyms);
    let mut out = Vec::new();
    edits.write(tape.root(), &mut out);
    assert!(serde_json::from_slice::<serde_json::Value>(&out).is_ok(), "no JSON");
});
