//! The figures that the default pack must hold, on the visible halves of the labelled sets.
//!
//! Texts: 1,500 with 1,046 spans of a pattern's type. Events: 1,000 requests with 548 labelled
//! values. Both have unseen halves, so nothing here may be fitted to a row.

use std::fs;

use serde_json::{Map, Value as Json};

use super::*;
use crate::event::{Edits, Parser};

fn lines(file: &str) -> Vec<Json> {
    let path = format!("{}/tests/golden/{file}", env!("CARGO_MANIFEST_DIR"));
    let bytes = fs::read(path).unwrap();
    let text = String::from_utf8(zstd::decode_all(bytes.as_slice()).unwrap()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The default pack with all that applying it needs.
pub(super) struct Run {
    pack: Pack,
    pseudonyms: Pseudonyms,
    parser: Parser,
    edits: Edits,
    scratch: Scratch,
}

impl Run {
    pub(super) fn new() -> Self {
        Self {
            pack: Pack::builtin("pii").unwrap(),
            pseudonyms: Pseudonyms::new(&[1; 32], 1).unwrap(),
            parser: Parser::new(),
            edits: Edits::new(),
            scratch: Scratch::new(),
        }
    }

    /// The event as the pack leaves it, spelled.
    pub(super) fn apply(&mut self, event: &Json) -> String {
        let text = event.to_string();
        let tape = self.parser.parse(text.as_bytes()).unwrap();
        self.edits.begin(tape.root());
        let verdict =
            self.pack.apply(&mut self.scratch, tape.root(), &mut self.edits, &self.pseudonyms);
        assert_eq!(verdict, Verdict::Keep);
        let mut out = Vec::new();
        self.edits.write(tape.root(), &mut out);
        String::from_utf8(out).unwrap()
    }

    fn event(&mut self, event: &Json) -> Json {
        serde_json::from_str(&self.apply(event)).unwrap()
    }

    fn request(&mut self, body: &Json) -> Json {
        let Some(batch) = body.get("batch").and_then(Json::as_array) else {
            return self.event(body);
        };
        let mut out = body.clone();
        out["batch"] = batch.iter().map(|event| self.event(event)).collect();
        out
    }
}

fn share(part: usize, whole: usize) -> f64 {
    f64::from(u32::try_from(part).unwrap()) / f64::from(u32::try_from(whole).unwrap())
}

/// Length of the longest common subsequence: characters that survived in their order.
fn survived(before: &[char], after: &[char]) -> usize {
    let mut row = vec![0; after.len() + 1];
    for a in before {
        let mut diagonal = 0;
        for (n, b) in after.iter().enumerate() {
            let above = row[n + 1];
            row[n + 1] = if a == b { diagonal + 1 } else { above.max(row[n]) };
            diagonal = above;
        }
    }
    row[after.len()]
}

#[test]
fn texts_hold_their_figures() {
    let mut run = Run::new();
    let (mut spans, mut hidden) = (0, 0);
    let (mut negatives, mut intact) = (0, 0);
    let (mut other, mut kept) = (0, 0);
    let mut leaks = Vec::new();
    for row in lines("privacy/texts.jsonl.zst") {
        let text = row["text"].as_str().unwrap();
        let event = serde_json::json!({"type": "track", "properties": {"text": text}});
        let out = run.event(&event);
        let out = out["properties"]["text"].as_str().unwrap();
        let mut plain: Vec<Option<char>> = text.chars().map(Some).collect();
        for span in row["spans"].as_array().unwrap() {
            let place = |key: &str| usize::try_from(span[key].as_u64().unwrap()).unwrap();
            plain[place("start")..place("end")].fill(None);
            if span["class"] == "pattern" {
                spans += 1;
                let leaked = out.contains(span["value"].as_str().unwrap());
                hidden += usize::from(!leaked);
                leaks.extend(leaked.then(|| row["id"].to_string()));
            }
        }
        if row["source"] == "negative" {
            negatives += 1;
            intact += usize::from(out == text);
        }
        let plain: Vec<char> = plain.into_iter().flatten().collect();
        other += plain.len();
        kept += if out == text {
            plain.len()
        } else {
            survived(&plain, &out.chars().collect::<Vec<_>>())
        };
    }
    assert_eq!((spans, negatives), (1_046, 250));
    assert!(share(hidden, spans) >= 0.99, "leaked: {leaks:?}");
    assert!(share(intact, negatives) >= 0.99, "{intact} of {negatives} negatives intact");
    assert!(share(kept, other) >= 0.998, "{kept} of {other} other characters kept");
}

fn leaves(value: &Json, path: &str, out: &mut Map<String, Json>) {
    let step = |key: &str| format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"));
    match value {
        Json::Object(members) => members.iter().for_each(|(key, v)| leaves(v, &step(key), out)),
        Json::Array(list) => {
            list.iter().enumerate().for_each(|(n, v)| leaves(v, &format!("{path}/{n}"), out));
        }
        scalar => {
            out.insert(path.to_owned(), scalar.clone());
        }
    }
}

#[test]
fn events_hold_their_figures() {
    let mut run = Run::new();
    let (mut values, mut hidden, mut others, mut kept) = (0, 0, 0, 0);
    let mut changed = Vec::new();
    let requests = lines("corpus/requests.jsonl.zst");
    for (request, label) in requests.iter().zip(lines("privacy/labels.jsonl.zst")) {
        let body = &request["body"];
        let out = run.request(body);
        let (mut before, mut after) = (Map::new(), Map::new());
        leaves(body, "", &mut before);
        leaves(&out, "", &mut after);
        let text = out.to_string();
        for value in label["pii"].as_array().unwrap() {
            values += 1;
            let spelled = value["value"].to_string();
            hidden += usize::from(!text.contains(spelled.trim_matches('"')));
            before.remove(value["ptr"].as_str().unwrap());
        }
        others += before.len();
        for (path, value) in before {
            let same = after.get(&path) == Some(&value);
            kept += usize::from(same);
            changed.extend((!same).then_some(path));
        }
    }
    assert_eq!(values, 548);
    assert!(share(hidden, values) >= 0.995, "{hidden} of {values} values hidden");
    assert!(share(kept, others) >= 0.999, "changed: {changed:?}");
}
