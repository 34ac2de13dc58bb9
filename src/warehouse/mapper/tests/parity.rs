//! The exact mapping beside RudderStack's, over all recorded events: the same rows with the same
//! columns, but for what docs/warehouse-layout.md says.

use std::collections::BTreeSet;

use serde_json::Value as Json;
use serde_json::value::RawValue;

use crate::event::{Duplicates, Parser};
use crate::warehouse::rudder::{self, moment};
use crate::warehouse::{Dialect, Layout, Mapper, Origin, golden, print};

#[derive(serde::Deserialize)]
struct Line<'l> {
    id: String,
    category: String,
    #[serde(borrow)]
    options: &'l RawValue,
    #[serde(borrow)]
    input: &'l RawValue,
}

/// A row's table and its columns; a variant counts as its column.
fn shape(row: &Json) -> (String, BTreeSet<String>) {
    let columns = row["metadata"]["columns"].as_object().unwrap().keys();
    let base = |name: &String| match name.rsplit_once("__") {
        Some((base, "int" | "float" | "boolean" | "datetime" | "string")) => base.to_owned(),
        Some((base, "INT" | "FLOAT" | "BOOLEAN" | "DATETIME" | "STRING")) => base.to_owned(),
        _ => name.clone(),
    };
    (row["metadata"]["table"].as_str().unwrap().to_owned(), columns.map(base).collect())
}

/// True if a value is theirs, or theirs before it was changed.
fn agrees(ours: &Json, theirs: &Json) -> bool {
    let number = |json: &Json| json.to_string().trim_matches('"').parse::<f64>().ok();
    match (ours, theirs) {
        // A number or boolean in a text column, and a number that no double holds.
        (Json::String(text), Json::Number(_)) => number(ours) == number(theirs) || text == "-0",
        (Json::String(text), Json::Bool(value)) => *text == value.to_string(),
        (Json::String(text), Json::String(other)) => {
            let (moment, there) = (moment::read(text), moment::read(other));
            let json = |text: &str| serde_json::from_str::<Json>(text).ok();
            text == other
                || (moment.is_some() && moment.map(|m| m / 1_000) == there.map(|m| m / 1_000))
                || json(text).zip(json(other)).is_some_and(|(ours, theirs)| agrees(&ours, &theirs))
        }
        (Json::Array(one), Json::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| agrees(a, b))
        }
        (Json::Object(one), Json::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, a)| other.get(key).is_some_and(|b| agrees(a, b)))
        }
        (Json::Number(_), Json::Number(_)) => number(ours) == number(theirs),
        (ours, theirs) => ours == theirs,
    }
}

/// The columns whose values are not theirs.
fn strangers(ours: &Json, theirs: &Json) -> Vec<String> {
    let ours = ours["data"].as_object().unwrap();
    let theirs = theirs["data"].as_object().unwrap();
    ours.iter()
        .filter(|(column, value)| theirs.get(*column).is_some_and(|there| !agrees(value, there)))
        .map(|(column, value)| format!("{column}: {value} {}", theirs[column]))
        .collect()
}

/// What the two are meant to differ in is left out of both.
fn is_meant_to_differ(line: &Line<'_>, dialect: Dialect) -> bool {
    let input = line.input.get();
    let hostile = ["\"__proto__\"", "\"constructor\"", "\"prototype\"", "\"$"];
    hostile.iter().any(|key| input.contains(key))
        // Blendo names keep characters that ours do not; and the loader's own columns are its own.
        || input.contains("useBlendoCasing")
        || input.contains("uuid_ts")
        || input.contains("loaded_at")
        || input.contains("UUID_TS")
        // A string of nothing but NUL is empty with us.
        || input.contains("u0000")
        // Ids that are no values are no ids with us.
        || ["userId", "messageId"].iter().any(|id| {
            input.contains(&format!("\"{id}\":{{")) || input.contains(&format!("\"{id}\":["))
        })
        // The day of arrival must exist.
        || input.contains("\"receivedAt\":\"2024-02-30\"")
        // Names in data lakes have no limit there.
        || line.category == "long" && dialect.is_lake()
}

const ID: &str = "src-2xK9";

/// The rows RudderStack makes, without rules; `None` where it fails.
fn theirs(line: &Line<'_>, dialect: Dialect, layout: &Layout) -> Option<Vec<Json>> {
    let metadata = rudder::Metadata {
        leaves_context: false,
        source_id: ID.to_owned(),
        source_type: "Javascript".to_owned(),
        destination_id: ID.to_owned(),
        destination_type: dialect.provider().to_owned(),
        received_at: "2025-03-14T09:26:54.001Z".to_owned(),
        minted_id: "auto".to_owned(),
    };
    let rows = rudder::map(line.input.get().as_bytes(), dialect, layout, &metadata).ok()?;
    let rows = rows.iter().filter(|row| row.merge.is_none()).map(|row| {
        let mut text = String::new();
        row.write_json(&mut text);
        serde_json::from_str(&text).unwrap()
    });
    Some(rows.collect())
}

/// The rows we make, without rules and discards.
fn ours(line: &Line<'_>, dialect: Dialect, layout: &Layout) -> Vec<Json> {
    let origin = Origin {
        source_id: ID,
        source_type: "Javascript",
        destination_id: ID,
        destination_type: dialect.provider(),
        received_at: 1_741_944_414_001_000,
        minted_id: "auto",
    };
    let mut parser = Parser::with_duplicates(Duplicates::LastWins);
    let tape = parser.parse(line.input.get().as_bytes()).unwrap();
    let mut text = String::new();
    print::rows(&mut Mapper::new(dialect), tape.root(), &origin, layout, &mut text);
    let rows: Json = serde_json::from_str(&text).unwrap();
    let discards = dialect.cased("rudder_discards");
    let is_event = |row: &&Json| {
        row["metadata"]["isMergeRule"] != true && row["metadata"]["table"] != discards.as_str()
    };
    rows.as_array().map_or(&[][..], Vec::as_slice).iter().filter(is_event).cloned().collect()
}

fn compare(name: &str, dialect: Dialect) {
    let text = golden::text(name);
    let (mut compared, mut faults) = (0, Vec::new());
    for line in text.lines() {
        let line: Line<'_> = serde_json::from_str(line).unwrap();
        if is_meant_to_differ(&line, dialect) {
            continue;
        }
        let layout = Layout::from_options(line.options.get()).unwrap();
        let Some(theirs) = theirs(&line, dialect, &layout) else { continue };
        let ours = ours(&line, dialect, &layout);
        compared += 1;
        let pairs = ours.iter().zip(&theirs);
        let strange: Vec<String> = pairs.flat_map(|(one, other)| strangers(one, other)).collect();
        let shapes = |rows: &[Json]| rows.iter().map(shape).collect::<Vec<_>>();
        if !strange.is_empty() || shapes(&ours) != shapes(&theirs) {
            faults.push(format!("{} {} {strange:?}", line.id, line.category));
        }
    }
    assert!(compared > 500);
    let shown = faults.iter().take(40).cloned().collect::<Vec<_>>().join("\n");
    assert!(faults.is_empty(), "{} of {compared}:\n{shown}", faults.len());
}

#[test]
fn tables_and_columns_are_theirs() {
    for (name, dialect) in [
        ("postgres", Dialect::Postgres),
        ("snowflake", Dialect::Snowflake),
        ("bigquery", Dialect::Bigquery),
        ("redshift", Dialect::Redshift),
        ("clickhouse", Dialect::Clickhouse),
        ("s3_datalake", Dialect::Datalake),
    ] {
        compare(&format!("{name}.jsonl"), dialect);
    }
}
