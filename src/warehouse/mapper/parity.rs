//! The exact mapping beside RudderStack's, over all recorded events: the same rows with the same
//! columns, but for what docs/warehouse-layout.md says.

use std::collections::BTreeSet;

use serde_json::Value as Json;
use serde_json::value::RawValue;

use crate::event::{Duplicates, Parser};
use crate::warehouse::{Dialect, Layout, Mapper, Origin, golden, print, rudder};

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
        // Names in data lakes have no limit there.
        || line.category == "long" && dialect.is_lake()
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
        let (id, provider) = ("src-2xK9".to_owned(), dialect.provider().to_owned());
        let metadata = rudder::Metadata {
            source_id: id.clone(),
            source_type: "Javascript".to_owned(),
            destination_id: id.clone(),
            destination_type: provider.clone(),
            received_at: "2025-03-14T09:26:54.001Z".to_owned(),
            minted_id: "auto".to_owned(),
        };
        let theirs = rudder::map(line.input.get().as_bytes(), dialect, &layout, &metadata);
        let Ok(theirs) = theirs else { continue };
        let origin = Origin {
            source_id: &id,
            source_type: "Javascript",
            destination_id: &id,
            destination_type: &provider,
            received_at: 1_741_944_414_001_000,
            minted_id: "auto",
        };
        let mut parser = Parser::with_duplicates(Duplicates::LastWins);
        let tape = parser.parse(line.input.get().as_bytes()).unwrap();
        let mut ours = String::new();
        print::rows(&mut Mapper::new(dialect), tape.root(), &origin, &layout, &mut ours);
        let ours: Json = serde_json::from_str(&ours).unwrap();
        let is_rule = |row: &Json| row["metadata"]["isMergeRule"] == true;
        let ours: Vec<_> = ours.as_array().map_or(&[][..], Vec::as_slice).iter().collect();
        let discards = dialect.cased("rudder_discards");
        let ours: Vec<_> = ours
            .into_iter()
            .filter(|row| !is_rule(row) && row["metadata"]["table"] != discards.as_str())
            .map(shape)
            .collect();
        let theirs: Vec<_> = theirs
            .iter()
            .filter(|row| row.merge.is_none())
            .map(|row| {
                let mut text = String::new();
                row.write_json(&mut text);
                shape(&serde_json::from_str(&text).unwrap())
            })
            .collect();
        compared += 1;
        if ours != theirs {
            faults.push(format!(
                "{} {}\n{}\nours   {ours:?}\ntheirs {theirs:?}",
                line.id,
                line.category,
                line.input.get()
            ));
        }
    }
    assert!(compared > 500);
    assert!(
        faults.is_empty(),
        "{} of {compared}:\n{}",
        faults.len(),
        faults[..faults.len().min(4)].join("\n")
    );
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
