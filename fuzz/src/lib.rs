//! What must hold for any bytes: redaction keeps JSON valid and identity in place, a second run changes
//! nothing, detectors name whole characters in order, a pack is refused or usable, where a request of HTTP/1
//! ends does not depend on how its bytes come; nothing panics.
//!
//! The programs of this package hand their input to one of these functions; each panics where what it
//! checks does not hold. libFuzzer drives them with `fuzz/run`; the tests here replay `fuzz/seeds`, with
//! changes that are the same in each run.

use std::sync::LazyLock;

use bytes::BytesMut;
use keelrow::event::{Edits, IDENTITY, Node, Parser, known};
use keelrow::http::server::http1::chunks::{Chunks, Step};
use keelrow::http::server::http1::wire::{Framing, Headers, Heads};
use keelrow::transform::detect::{Detector, Finder, Set};
use keelrow::transform::{Pack, Pseudonyms, Scratch, Verdict};
use serde_json::Value;

static PII: LazyLock<Pack> = LazyLock::new(|| Pack::builtin("pii").expect("shipped"));
static PSEUDONYMS: LazyLock<Pseudonyms> =
    LazyLock::new(|| Pseudonyms::new(&[7; 32], 1).expect("long enough"));

/// An event with something for most rules that a pack may have.
const EVENT: &[u8] = br#"{"userId":"a@b.de","event":"e","context":{"ip":"203.0.113.7"},
    "properties":{"a b":["x",1.5,{"k":"+33 1 42 46 89 60"}],"json":"{\"email\":\"a@b.de\"}","n":null}}"#;

/// The default pack over any event: JSON stays JSON, identity fields stay, a second run changes nothing.
///
/// # Panics
/// Where that does not hold.
pub fn redact(event: &[u8]) {
    let Some((once, identity)) = applied(event) else { return };
    assert!(serde_json::from_slice::<Value>(&once).is_ok(), "no JSON");
    let (twice, after) = applied(&once).expect("what was written is read");
    assert_eq!(String::from_utf8_lossy(&once), String::from_utf8_lossy(&twice));
    assert_eq!(identity, after, "an identity field is gone, or was made");
}

/// The event after the default pack, and which identity fields hold a text before it; `None` if it
/// cannot be read.
fn applied(event: &[u8]) -> Option<(Vec<u8>, Vec<bool>)> {
    let (mut parser, mut edits, mut scratch) = (Parser::new(), Edits::new(), Scratch::new());
    let tape = parser.parse(event).ok()?;
    let root = tape.root();
    edits.begin(root);
    assert_eq!(PII.apply(&mut scratch, root, &mut edits, &PSEUDONYMS), Verdict::Keep);
    let mut out = Vec::new();
    edits.write(root, &mut out);
    let is_text = |key| root.member(key).and_then(Node::text).is_some_and(|text| !text.is_empty());
    let of_event = IDENTITY.into_iter().filter(|&key| key != known::RUDDER_ID);
    Some((out, of_event.map(is_text).collect()))
}

/// All detectors over any text: places in order, none cuts a character.
///
/// # Panics
/// Where that does not hold.
pub fn detect(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    let mut finder = Finder::default();
    let mut end = 0;
    for one in finder.find(&text, Set::of(&Detector::ALL)) {
        assert!(one.start >= end && one.end > one.start, "out of order");
        assert!(text.get(one.start..one.end).is_some(), "cuts a character");
        end = one.end;
    }
}

/// Any text as a rule pack: refused with reasons, or compiled and usable.
///
/// # Panics
/// Where that does not hold.
pub fn pack(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    let pack = match Pack::compile("fuzzed", &text) {
        Ok(pack) => pack,
        Err(faults) => {
            assert!(!faults.is_empty(), "refused without a reason");
            return;
        }
    };
    let (mut parser, mut edits, mut scratch) = (Parser::new(), Edits::new(), Scratch::new());
    let tape = parser.parse(EVENT).expect("an event");
    edits.begin(tape.root());
    let _ = pack.apply(&mut scratch, tape.root(), &mut edits, &PSEUDONYMS);
    let mut out = Vec::new();
    edits.write(tape.root(), &mut out);
    assert!(serde_json::from_slice::<Value>(&out).is_ok(), "no JSON");
}

/// Any bytes as requests of HTTP/1, all at once and one by one: the same heads, bodies and end.
///
/// # Panics
/// Where that does not hold, and where a head that is taken could be read in two ways.
pub fn wire(bytes: &[u8]) {
    // Ended, since what is no head may be seen to be none before it ends.
    let bytes = &[bytes, b"\r\n\r\n"].concat();
    assert_eq!(read(bytes, bytes.len()), read(bytes, 1), "{}", bytes.escape_ascii());
}

/// What a connection would make of `bytes` that come `step` at a time.
fn read(bytes: &[u8], step: usize) -> Vec<String> {
    let (mut heads, mut buffer, mut seen) = (Heads::default(), BytesMut::new(), Vec::new());
    let mut chunks: Option<Chunks> = None;
    let mut body = (0, Vec::new());
    let mut parts = bytes.chunks(step);
    loop {
        let more = if body.0 > 0 {
            let here = buffer.len().min(usize::try_from(body.0).unwrap_or(usize::MAX));
            body.1.extend_from_slice(&buffer.split_to(here));
            body.0 -= here as u64;
            body.0 > 0
        } else if let Some(chunked) = &mut chunks {
            match chunked.next(&mut buffer) {
                Ok(Step::Data(data)) => body.1.extend_from_slice(&data),
                Ok(Step::End) => chunks = None,
                Ok(Step::More) => {}
                Err(error) => {
                    seen.push(format!("{error} after {:?}", body.1));
                    return seen;
                }
            }
            chunks.is_some() && buffer.is_empty()
        } else {
            let head = heads.take(&mut buffer, |_, _| Headers::All);
            if !matches!(head, Ok(None)) {
                seen.push(format!("body {:?}", std::mem::take(&mut body.1)));
            }
            match head {
                Ok(Some(head)) => {
                    let lengths = head.headers.get_all("content-length").iter().count();
                    let codings = head.headers.get_all("transfer-encoding").iter().count();
                    assert!(lengths + codings <= 1, "two framings");
                    assert!(head.headers.get_all("host").iter().count() <= 1, "two hosts");
                    match head.framing {
                        Framing::Length(length) => body.0 = length,
                        Framing::Chunked => chunks = Some(Chunks::default()),
                    }
                    seen.push(format!("{head:?}"));
                    if !head.keep_alive {
                        return seen;
                    }
                    false
                }
                Ok(None) => true,
                Err(error) => {
                    seen.push(error.to_string());
                    return seen;
                }
            }
        };
        if more {
            let Some(part) = parts.next() else { return seen };
            buffer.extend_from_slice(part);
        }
    }
}

/// Hands the files that the command line names to `target`, to see again what a fuzzer found.
///
/// # Errors
/// A file that cannot be read.
pub fn replay(target: fn(&[u8])) -> std::io::Result<()> {
    for path in std::env::args_os().skip(1) {
        target(&std::fs::read(&path)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Changed inputs of each target: enough to see that the target runs, no search.
    const CHANGED: u32 = 3_000;

    /// The same numbers in each run: xorshift.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, count: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 % count.max(1) as u64).unwrap()
        }
    }

    fn seeds(target: &str) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
        let mut paths: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
    }

    /// The seeds as they are, then pieces of them put together, with a byte changed here and there.
    fn drive(name: &str, target: fn(&[u8])) {
        let seeds = seeds(name);
        assert!(!seeds.is_empty());
        seeds.iter().for_each(|seed| target(seed));
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
        for _ in 0..CHANGED {
            let mut input = Vec::new();
            for _ in 0..=dice.below(3) {
                let seed = &seeds[dice.below(seeds.len())];
                let start = dice.below(seed.len());
                let end = start + dice.below(seed.len() - start + 1);
                input.extend_from_slice(&seed[start..end]);
            }
            for _ in 0..dice.below(4) {
                let at = dice.below(input.len());
                if let Some(byte) = input.get_mut(at) {
                    *byte = u8::try_from(dice.below(256)).unwrap();
                }
            }
            target(&input);
        }
    }

    #[test]
    fn redaction_holds_for_changed_seeds() {
        drive("redact", redact);
        // Most changed events are no JSON; the same bytes as a text in an event always are.
        drive("detect", |text| {
            let text = String::from_utf8_lossy(text);
            redact(
                serde_json::json!({"userId": text, "properties": {"k": text, &*text: 1}})
                    .to_string()
                    .as_bytes(),
            );
        });
    }

    #[test]
    fn detectors_hold_for_changed_seeds() {
        drive("detect", detect);
    }

    #[test]
    fn requests_hold_for_changed_seeds() {
        drive("wire", wire);
    }

    #[test]
    fn packs_hold_for_changed_seeds() {
        drive("pack", pack);
    }
}
