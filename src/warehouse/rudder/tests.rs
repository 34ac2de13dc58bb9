use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value as Json};

use super::load::{Converted, Schema, convert, diff, merge_schemas, parquet, rfc3339};
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
        let staging: Vec<Schema> = line["staging_schemas"]
            .as_array()
            .unwrap()
            .iter()
            .map(|json| schema(json.clone()))
            .collect();
        let warehouse = schema(line["warehouse_schema"].clone());
        let dialect: Dialect = line["provider"].as_str().unwrap().parse().unwrap();
        let has_identities = line["id_resolution"].as_bool().unwrap();
        let upload = merge_schemas(dialect, &staging, &warehouse, has_identities);
        assert_eq!(upload, schema(line["upload_schema"].clone()), "{line}");
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

fn schema(json: Json) -> Schema {
    serde_json::from_value(json).unwrap()
}

#[test]
fn columns_that_only_users_had_are_given_to_identifies() {
    let staged = schema(serde_json::json!({
        "users": {"id": "int", "email": "int"},
        "identifies": {"id": "string", "email": "string"},
        "empty": {},
    }));
    let warehouse = schema(serde_json::json!({
        "users": {"id": "int", "both": "string", "old": "boolean"},
        "identifies": {"both": "int", "new": "float", "user_id": "string"},
    }));
    let upload = merge_schemas(Dialect::Postgres, &[staged], &warehouse, true);
    let wanted = serde_json::json!({
        "users": {"id": "", "email": "string", "old": "boolean"},
        "identifies": {"id": "int", "email": "string", "old": "boolean"},
        "empty": {},
    });
    for (table, columns) in schema(wanted) {
        assert_eq!(upload[&table], columns, "{table}");
    }
    assert_eq!(upload.len(), 4, "and the discards");
    assert!(!diff(&upload, &warehouse).contains_key("empty"));
}

#[test]
fn resolved_identities_have_tables_of_their_own() {
    let staged = schema(serde_json::json!({
        "RUDDER_IDENTITY_MERGE_RULES": {"MERGE_PROPERTY_1_TYPE": "text", "X": "int"},
    }));
    let merge = |resolves| {
        merge_schemas(Dialect::Snowflake, std::slice::from_ref(&staged), &Schema::new(), resolves)
    };
    let upload = merge(true);
    let rules = &upload["RUDDER_IDENTITY_MERGE_RULES"];
    assert_eq!((rules.len(), &*rules["MERGE_PROPERTY_1_TYPE"]), (4, "string"));
    assert_eq!(upload["RUDDER_IDENTITY_MAPPINGS"]["UPDATED_AT"], "datetime");
    assert_eq!(merge(false)["RUDDER_IDENTITY_MERGE_RULES"].len(), 2);
    let none = merge_schemas(Dialect::Snowflake, &[], &Schema::new(), true);
    assert_eq!(none.len(), 1, "without rules there are no mappings");
}

/// Recorded with their loader.
#[test]
fn values_of_another_kind_than_their_type_convert_too() {
    let text = |text: &str| Converted::Stored(Value::String(text.to_owned()));
    let discarded = |from: &str, to: &str, value: &str| Converted::Discarded {
        reason: format!("incompatible schema conversion from {from} to {to}"),
        value: value.to_owned(),
    };
    let number = Value::Number(1.5);
    let list = Value::Array(vec![Value::Number(1.0)]);
    for (column, event, value, wanted) in [
        ("string", "text", number.clone(), Converted::Stored(number)),
        ("text", "boolean", list, text("[1]")),
        ("float", "bigint", Value::Number(2.0), Converted::Stored(Value::Number(2.0))),
        ("string", "bigint", Value::String("2".to_owned()), Converted::Empty),
        ("int", "float", Value::String("x".to_owned()), discarded("int", "float", "x")),
        ("json", "string", Value::String("\u{1}\u{2028}é".to_owned()), text(r#""\x01\u2028é""#)),
    ] {
        assert_eq!(convert(column, event, &value), wanted, "{column} {event}");
    }
}

#[test]
fn moments_in_parquet_are_rfc_3339s() {
    for (text, micros) in [
        ("9999-12-31T23:59:59.9999999Z", Some(253_402_300_799_999_999)),
        ("0000-01-01T00:00:00Z", Some(-62_167_219_200_000_000)),
        ("1970-01-01T3:00:01,5Z", Some(10_801_500_000)),
        ("1970-01-02T00:00:00+24:00", Some(0)),
        ("1970-01-02T00:00:00+25:00", None),
        ("1970-01-01T00:00:00+00:61", None),
        ("1970-01-01T00:00:00", None),
        ("1970-01-01T00:00:00+0000", None),
        ("1970-01-01 00:00:00Z", None),
        ("1970-01-01T00:00Z", None),
        ("2023-02-29T00:00:00Z", None),
    ] {
        assert_eq!(rfc3339(text), micros, "{text}");
    }
}

/// What is left of an event that is no object, or whose type is none, as Go puts it.
#[test]
fn events_without_a_type_or_shape_fail_as_theirs() {
    for (event, error) in [
        (r#"{"type":"a\u0007\u2028İ"}"#, r#"Unknown event type: "a\a\u2028i""#),
        ("null", r#"Unknown event type: """#),
        (
            "[1e400]",
            "input: json: cannot unmarshal array into Go value of type types.SingularEventT",
        ),
        ("5", "input: json: cannot unmarshal number into Go value of type types.SingularEventT"),
    ] {
        let metadata = metadata(Dialect::Postgres);
        let layout = Layout::from_options("{}").unwrap();
        let got = map(event.as_bytes(), Dialect::Postgres, &layout, &metadata);
        assert_eq!(got.unwrap_err().to_string(), error);
    }
    let kelvin = r#"{"type":"TRAC\u212a","messageId":"m","event":"e"}"#;
    let layout = Layout::from_options("{}").unwrap();
    let rows = map(kelvin.as_bytes(), Dialect::Redshift, &layout, &metadata(Dialect::Redshift));
    assert_eq!(rows.unwrap().len(), 2);
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
