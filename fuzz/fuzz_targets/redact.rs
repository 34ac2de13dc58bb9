//! The default pack over any event: JSON stays JSON, and a second run changes nothing.

#![no_main]

use std::sync::LazyLock;

use keelrow::event::{Edits, Parser};
use keelrow::transform::{Pack, Pseudonyms, Scratch, Verdict};
use libfuzzer_sys::fuzz_target;

static PII: LazyLock<Pack> = LazyLock::new(|| Pack::builtin("pii").expect("shipped"));

fn apply(event: &[u8]) -> Option<Vec<u8>> {
    let pseudonyms = Pseudonyms::new(&[7; 32], 1).expect("long enough");
    let (mut parser, mut edits, mut scratch) = (Parser::new(), Edits::new(), Scratch::new());
    let tape = parser.parse(event).ok()?;
    edits.begin(tape.root());
    assert_eq!(PII.apply(&mut scratch, tape.root(), &mut edits, &pseudonyms), Verdict::Keep);
    let mut out = Vec::new();
    edits.write(tape.root(), &mut out);
    Some(out)
}

fuzz_target!(|event: &[u8]| {
    let Some(once) = apply(event) else { return };
    assert!(serde_json::from_slice::<serde_json::Value>(&once).is_ok(), "no JSON");
    let twice = apply(&once).expect("what was written is read");
    assert_eq!(String::from_utf8_lossy(&once), String::from_utf8_lossy(&twice));
});
