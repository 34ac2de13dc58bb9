use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value as Json};

use super::load::{Converted, Schema, convert, diff, merge_schemas, parquet};
use super::*;
use crate::warehouse::golden;

#[derive(serde::Deserialize)]
struct Line<'l> {
    id: String,
    provider: String,
    #[serde(borrow)]
    options: &'l RawValue,
    #[serde(borrow)]
    input: &'l RawValue,
    output: Option<Json>,
    error: Option<Json>,
    go_peer: String,
    go: Option<Json>,
}

fn metadata(dialect: Dialect) -> Metadata {
    Metadata {
        leaves_context: false,
        source_id: "src-2xK9".to_owned(),
        source_type: "Javascript".to_owned(),
        destination_id: "dst-7Qm1".to_owned(),
        destination_type: dialect.provider().to_owned(),
        received_at: "2025-03-14T09:26:54.001Z".to_owned(),
        minted_id: "auto-<uuid>".to_owned(),
    }
}

/// Equal as numbers, and as JSON where both are JSON texts.
fn same(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::Number(one), Json::Number(other)) => {
            one.to_string().parse::<f64>().unwrap() == other.to_string().parse::<f64>().unwrap()
        }
        (Json::String(one), Json::String(other)) => {
            let parsed = |text: &str| serde_json::from_str::<Json>(text).ok();
            one == other
                || (one.starts_with(['{', '[', '"'])
                    && match (parsed(one), parsed(other)) {
                        (Some(one), Some(other)) => same(&one, &other),
                        _ => false,
                    })
        }
        (Json::Array(one), Json::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| same(a, b))
        }
        (Json::Object(one), Json::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, a)| other.get(key).is_some_and(|b| same(a, b)))
        }
        (one, other) => one == other,
    }
}

/// The rows without what only the service around the transformer adds.
fn expected(rows: &Json) -> Vec<Json> {
    let rows = rows.as_array().unwrap();
    rows.iter()
        .map(|row| {
            let mut kept = Map::new();
            for key in ["metadata", "data"] {
                kept.insert(key.to_owned(), row[key].clone());
            }
            Json::Object(kept)
        })
        .collect()
}

fn check(name: &str) {
    let text = golden::text(name);
    let (mut faults, mut lines) = (Vec::new(), 0);
    for line in text.lines() {
        let line: Line<'_> = serde_json::from_str(line).unwrap();
        let dialect: Dialect = line.provider.parse().unwrap();
        let layout = Layout::from_options(line.options.get()).unwrap();
        let got = map(line.input.get().as_bytes(), dialect, &layout, &metadata(dialect));
        let go = line.go.as_ref().filter(|_| line.go_peer == "differs");
        let (output, error) = match go {
            Some(go) => (go.get("output").cloned(), go.get("error").cloned()),
            None => (line.output.clone(), line.error.clone()),
        };
        let matches = match (&got, &output) {
            (Ok(rows), Some(output)) => {
                let rows: Vec<Json> = rows
                    .iter()
                    .map(|row| {
                        let mut text = String::new();
                        row.write_json(&mut text);
                        serde_json::from_str(&text).unwrap()
                    })
                    .collect();
                let wanted = expected(output);
                rows.len() == wanted.len() && rows.iter().zip(&wanted).all(|(a, b)| same(a, b))
            }
            (Err(error_got), None) => {
                let text = error.as_ref().and_then(Json::as_str).unwrap_or_default();
                line.go_peer == "both_error" || error_got.to_string() == text
            }
            _ => false,
        };
        lines += 1;
        if !matches {
            faults.push(format!("{} {:?} wanted {output:?} {error:?}", line.id, got));
        }
    }
    assert!(lines > 500);
    assert!(
        faults.is_empty(),
        "{} of {lines}; {}",
        faults.len(),
        faults[..faults.len().min(3)].join("\n")
    );
}

#[test]
fn postgres_is_rudderstacks() {
    check("postgres.jsonl");
}

#[test]
fn snowflake_is_rudderstacks() {
    check("snowflake.jsonl");
}

#[test]
fn bigquery_is_rudderstacks() {
    check("bigquery.jsonl");
}

#[test]
fn redshift_is_rudderstacks() {
    check("redshift.jsonl");
}

#[test]
fn clickhouse_is_rudderstacks() {
    check("clickhouse.jsonl");
}

#[test]
fn datalake_is_rudderstacks() {
    check("s3_datalake.jsonl");
}

/// A golden value, as the Go program reads it.
fn value(json: &Json) -> Value {
    let text = json.to_string();
    let mut parser = Parser::new();
    Value::read(parser.parse(text.as_bytes()).unwrap().root()).unwrap()
}

fn json(value: &Value) -> Json {
    serde_json::from_str(&value.to_json()).unwrap()
}

#[test]
fn types_convert_as_in_their_loader() {
    for line in golden::lines("loader/type_conversion.jsonl") {
        let text = |key: &str| line[key].as_str().unwrap();
        let got = convert(text("schema_type"), text("event_type"), &value(&line["value"]));
        match line.get("discard_reason") {
            None => {
                let Converted::Stored(got) = got else { panic!("{line}") };
                assert!(same(&json(&got), &line["result"]), "{line} {got:?}");
            }
            Some(reason) => {
                let wanted = Converted::Discarded {
                    reason: reason.as_str().unwrap().to_owned(),
                    value: text("discard_column_value").to_owned(),
                };
                assert_eq!(got, wanted, "{line}");
            }
        }
    }
}

#[test]
fn schemas_merge_as_in_their_loader() {
    for line in golden::lines("loader/schema_merge.jsonl") {
        let schema = |json: &Json| serde_json::from_value::<Schema>(json.clone()).unwrap();
        let staging: Vec<Schema> =
            line["staging_schemas"].as_array().unwrap().iter().map(schema).collect();
        let warehouse = schema(&line["warehouse_schema"]);
        let dialect: Dialect = line["provider"].as_str().unwrap().parse().unwrap();
        let upload = merge_schemas(dialect, &staging, &warehouse);
        assert_eq!(upload, schema(&line["upload_schema"]), "{line}");
        let diffs: BTreeMap<String, Json> = diff(&upload, &warehouse)
            .into_iter()
            .map(|(table, diff)| {
                let text = serde_json::json!({
                    "create": diff.create, "add_columns": diff.add, "alter_columns": diff.alter,
                });
                (table, text)
            })
            .collect();
        assert_eq!(serde_json::to_value(diffs).unwrap(), line["diffs"], "{line}");
    }
}

#[test]
fn parquet_cells_are_filled_as_in_their_loader() {
    for line in golden::lines("loader/parquet_value.jsonl") {
        let is_int = line["value_kind"] == "int";
        let got = parquet(line["column_type"].as_str().unwrap(), &value(&line["value"]), is_int);
        let got = got.map_or(Json::Null, |value| json(&value));
        assert!(same(&got, &line["parquet"]), "{line} {got}");
    }
}
