//! `keelrow transform test`: the cases beside the transformations.
//!
//! A case is one line of `transforms/cases/*.jsonl`: `{"name", "transforms": ["pii"], "input",
//! "expected", "hits": ["email-keys"]}`. `expected` is what `keelrow transform` prints: an event,
//! `null`, or an array; `hits` are the rules that must hit and no others, left out where they do not
//! matter. Hashes are made with [`CASE_KEY`], so that a case can name them.

use serde_json::Value;

use super::transform::Chain;

/// The key of hashes in cases; it protects nothing.
pub(super) const CASE_KEY: &[u8] = b"keelrow transform test";

/// The keys of a case.
const KEYS: [&str; 6] = ["name", "transforms", "metadata", "input", "expected", "hits"];

/// What came of the cases of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    /// Cases that came out as expected.
    pub(super) passed: usize,
    /// A sentence for each that did not, with file, line and name.
    pub(super) failures: Vec<String>,
}

/// Makes the transformations of a list of names, with a case's `metadata`.
type Make<'a> = dyn FnMut(&[String], &Value) -> Result<Chain, String> + 'a;

/// Runs the cases in `text`, the content of `file`; `usual` is the transformation of cases that
/// name none; `chain` makes those of a list of names, with a case's `metadata`, or says what is
/// wrong with it.
pub(super) fn run(file: &str, text: &str, usual: &str, chain: &mut Make<'_>) -> Report {
    let mut report = Report::default();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match case(line, usual, chain) {
            Ok(()) => report.passed += 1,
            Err(why) => report.failures.push(format!("{file}:{}: {why}", at + 1)),
        }
    }
    report
}

fn case(line: &str, usual: &str, chain: &mut Make<'_>) -> Result<(), String> {
    let case: Value = serde_json::from_str(line).map_err(|error| format!("not JSON: {error}"))?;
    let known = |key: &&String| KEYS.contains(&key.as_str());
    if let Some(other) = case.as_object().and_then(|keys| keys.keys().find(|key| !known(key))) {
        return Err(format!("unknown key `{other}`; a case has {}", KEYS.join(", ")));
    }
    let name = case.get("name").and_then(Value::as_str).unwrap_or("case");
    let names = |key: &str| -> Option<Vec<String>> {
        let list = case.get(key)?.as_array()?;
        Some(list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    };
    let transforms = names("transforms").unwrap_or_else(|| vec![usual.to_owned()]);
    let input = case.get("input").ok_or("`input` is missing")?;
    let expected = case.get("expected").ok_or("`expected` is missing")?;
    let mut chain = chain(&transforms, case.get("metadata").unwrap_or(&Value::Null))?;
    let mut events = Ok(vec![input.to_string()]);
    for stage in &mut chain {
        events = events.and_then(|events: Vec<String>| {
            let parts: Result<Vec<Vec<String>>, String> = stage.run(&events).into_iter().collect();
            parts.map(|parts| parts.into_iter().flatten().collect())
        });
    }
    let events = events.map_err(|why| format!("{name}: {why}"))?;
    let parsed: Result<Vec<Value>, _> =
        events.iter().map(|text| serde_json::from_str(text)).collect();
    let mut parsed = parsed.map_err(|error| format!("{name}: the result is not JSON: {error}"))?;
    let result = match parsed.len() {
        0 => Value::Null,
        1 => parsed.swap_remove(0),
        _ => Value::Array(parsed),
    };
    if result != *expected {
        return Err(format!("{name}: expected {expected}, got {result}"));
    }
    let mut hits: Vec<String> = chain.iter_mut().flat_map(|stage| stage.take_hits()).collect();
    hits.sort_unstable();
    match names("hits").map(|mut wanted| {
        wanted.sort_unstable();
        wanted
    }) {
        Some(wanted) if wanted != hits => {
            Err(format!("{name}: expected hits of {wanted:?}, got {hits:?}"))
        }
        _ => Ok(()),
    }
}
