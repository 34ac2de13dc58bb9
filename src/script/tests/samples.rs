//! The sample transformations that the project ships do what their cases say.

use std::path::Path;

use serde_json::Value;
use serde_json::value::RawValue;

use super::*;

fn transforms() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("transforms")
}

fn sample(name: &str) -> Script {
    let folder = transforms().join("samples");
    let read = |name: &str| std::fs::read_to_string(folder.join(format!("{name}.js"))).ok();
    Script::load(&format!("{name}.js"), &read(name).unwrap(), &read).unwrap()
}

#[derive(serde::Deserialize)]
struct Case<'a> {
    #[serde(borrow)]
    input: &'a RawValue,
    #[serde(default)]
    metadata: std::collections::BTreeMap<String, String>,
    expected: Value,
}

fn check(name: &str) {
    let script = sample(name);
    let mut runtime = Runtime::default();
    let cases =
        std::fs::read_to_string(transforms().join("cases").join(format!("{name}.jsonl"))).unwrap();
    for (at, line) in cases.lines().enumerate() {
        let case: Case<'_> = serde_json::from_str(line).unwrap();
        let metadata = Metadata {
            source_name: case.metadata.get("sourceName").map(String::as_str),
            ..Metadata::default()
        };
        let input = Input { event: case.input.get(), metadata };
        let outcome = runtime.run(&script, &[input], &never).unwrap().pop().unwrap().unwrap();
        // Numbers of arbitrary precision compare by their spelling.
        let read = |text: &String| serde_json::from_str::<Value>(text).unwrap();
        let actual = match &outcome {
            Outcome::Keep(event) => read(event),
            Outcome::Drop => Value::Null,
            Outcome::Split(parts) => parts.iter().map(read).collect(),
        };
        assert_eq!(actual, case.expected, "{name}, case {}", at + 1);
    }
    assert!(cases.lines().count() >= 3);
}

#[test]
fn mask() {
    check("mask");
}

#[test]
fn drop() {
    check("drop");
}

#[test]
fn split() {
    check("split");
}

#[test]
fn enrich() {
    check("enrich");
}
