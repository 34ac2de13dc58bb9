//! Names, files and statements for a small lake.

use std::collections::{BTreeMap, HashSet};

use super::lake::free_name;
use super::{Batch, Dialect, File, Lake, Location, Origin, Part, Source, Statement, Table};
use crate::clock::Timestamp;
use crate::columnar::{Column, Schema};
use crate::unified::{Block, Unified};
use crate::warehouse::ColumnType;

const DIALECTS: [Dialect; 7] = [
    Dialect::Snowflake,
    Dialect::Bigquery,
    Dialect::Redshift,
    Dialect::Postgres,
    Dialect::Clickhouse,
    Dialect::Duckdb,
    Dialect::Databricks,
];

fn schema(columns: &[(&str, ColumnType, u64)]) -> Schema {
    let column = |&(name, column_type, max_bytes): &(&str, ColumnType, u64)| Column {
        name: name.to_owned(),
        column_type,
        required: matches!(name, "id" | "received_at"),
        first_seen: Timestamp::from_millis(0),
        max_bytes,
    };
    Schema { version: 2, columns: columns.iter().map(column).collect() }
}

/// A table `t` of two versions and a batch with a file of each.
fn lake(dialect: Dialect, url: &str) -> Lake {
    let columns = [
        ("id", ColumnType::String, 256),
        ("received_at", ColumnType::Datetime, 0),
        ("event", ColumnType::String, 256),
        ("it's", ColumnType::String, 131_072),
    ];
    let mut table = Table::new(dialect, ("web_prod", "t"), Origin::Source, &schema(&columns));
    table.versions = BTreeMap::from([(1, 3), (2, 4)]);
    let file = |part: u32, version| File {
        path: format!("rudder-datalake/web_prod/t/2026/11/21/10/n-1-{part}.parquet"),
        table: 0,
        rows: 7,
        bytes: 1_000 + u64::from(part),
        version,
    };
    Lake {
        dialect,
        location: Location::parse(url),
        tables: vec![table],
        batches: vec![Batch {
            id: "n-1".into(),
            time: "2026-11-21T10:00:00Z".into(),
            files: vec![file(0, 1), file(1, 2)],
        }],
        sources: vec![Source {
            id: "web_prod".into(),
            name: "web".into(),
            environment: "prod".into(),
            schema: "web_prod".into(),
            platform: "web".into(),
            keep_received_at: false,
        }],
        unified: Unified::new(Vec::new(), Vec::new()),
        since: None,
    }
}

fn script(lake: &Lake, part: Part) -> Vec<Statement> {
    let mut found = Vec::new();
    super::statements(lake, &[part], (None, None), &mut |statement| found.push(statement));
    found
}

fn text(lake: &Lake, part: Part) -> String {
    script(lake, part).iter().map(|statement| format!("{};\n", statement.sql)).collect()
}

#[test]
fn names_that_are_cut_stay_apart() {
    let mut taken = HashSet::new();
    for (name, wanted) in [("abcdef", "abcd"), ("abcdxx", "ab_2"), ("abcdyy", "ab_3"), ("z", "z")] {
        let label = free_name(name, 4, &taken);
        assert_eq!(label, wanted);
        taken.insert(label);
    }
    let long = "x".repeat(100);
    let columns = [(long.as_str(), ColumnType::Int, 0)];
    let of = |dialect| {
        let table = Table::new(dialect, ("s", "t"), Origin::Source, &schema(&columns));
        table.columns[0].label.len()
    };
    assert_eq!((of(Dialect::Postgres), of(Dialect::Redshift)), (63, 100));
}

#[test]
fn files_are_where_each_warehouse_looks() {
    let url = |url: &str, dialect| Location::parse(url).url(dialect, "k");
    for (given, dialect, wanted) in [
        ("/lake/", Dialect::Duckdb, "/lake/k"),
        ("file:///lake", Dialect::Clickhouse, "/lake/k"),
        ("s3://b/p/?endpoint=http://x", Dialect::Redshift, "s3://b/p/k"),
        ("gs://b", Dialect::Snowflake, "gcs://b/k"),
        ("gs://b", Dialect::Bigquery, "gs://b/k"),
        ("az://c/p", Dialect::Databricks, "abfss://c@<account>.dfs.core.windows.net/p/k"),
        ("az://c/p", Dialect::Snowflake, "azure://<account>.blob.core.windows.net/c/p/k"),
    ] {
        assert_eq!(url(given, dialect), wanted);
    }
}

#[test]
fn events_without_a_table_of_their_own_are_in_the_union_by_their_names() {
    let columns = [
        ("id", ColumnType::String, 256),
        ("received_at", ColumnType::Datetime, 0),
        ("event", ColumnType::String, 256),
    ];
    let union = |dialect, block: &Block| {
        let mut lake = lake(dialect, "s3://b/p");
        let origin = Origin::Unified {
            environment: "prod".into(),
            block: block.name.clone(),
            generation: block.generation,
        };
        lake.tables = vec![
            Table::new(dialect, ("web_prod", "other_events"), Origin::Source, &schema(&columns)),
            Table::new(dialect, ("web_prod", "api_call"), Origin::Source, &schema(&columns)),
            Table::new(dialect, ("web_prod", "tracks"), Origin::Source, &schema(&columns)),
            Table::new(dialect, ("unified_prod", &block.name), origin, &schema(&columns)),
        ];
        lake.unified = Unified::new(vec![block.clone()], Vec::new());
        text(&lake, Part::Union)
    };
    let all = Block::named("all");
    let some = Block {
        include_tables: vec!["sign_*".into(), "order".into()],
        exclude_events: vec!["sign_out".into()],
        exclude_tables: vec!["other_events".into()],
        ..Block::named("some")
    };
    let of_all = union(Dialect::Duckdb, &all);
    assert!(of_all.contains("other_events") && of_all.contains("api_call"), "{of_all}");
    assert!(!of_all.contains("regexp_matches(lower(coalesce(\"event\""), "{of_all}");
    let tracks = Block {
        include_tables: vec!["tracks".into()],
        exclude_events: vec!["api_*".into()],
        ..Block::named("tracks")
    };
    let of_tracks = union(Dialect::Duckdb, &tracks);
    let condition = "where not (regexp_matches(lower(coalesce(\"event\", '')), '^(api_.*)$'))";
    assert!(of_tracks.contains(condition), "{of_tracks}");
    for dialect in DIALECTS {
        let of_some = union(dialect, &some);
        let event = format!("lower(coalesce({}, ''))", dialect.quote("event"));
        let wanted = dialect.matches(&event, "^(sign_.*|order)$");
        let unwanted = dialect.matches(&event, "^(other_events|sign_out)$");
        let condition = format!("where {wanted}\n  and not ({unwanted})");
        assert!(of_some.contains(&condition), "{of_some}");
        assert!(!of_some.contains("api_call"), "{of_some}");
    }
}

#[test]
fn each_warehouse_loads_in_its_own_way() {
    let load = |dialect| text(&lake(dialect, "s3://b/p"), Part::Load);
    let snowflake = load(Dialect::Snowflake);
    assert!(snowflake.contains("use_logical_type = true"), "{snowflake}");
    assert!(snowflake.contains("match_by_column_name = case_insensitive"), "{snowflake}");
    let databricks = load(Dialect::Databricks);
    assert_eq!(databricks.matches("'mergeSchema' = 'true'").count(), 2, "{databricks}");
    let bigquery = load(Dialect::Bigquery);
    assert!(bigquery.contains("load data into `web_prod`.`t`\nfrom files"), "{bigquery}");
    let duckdb = load(Dialect::Duckdb);
    assert!(duckdb.contains("by name") && duckdb.contains("union_by_name = true"), "{duckdb}");
    // Each version of the columns has a staging table or an insert of its own.
    let clickhouse = load(Dialect::Clickhouse);
    assert!(clickhouse.contains("insert_deduplication_token = 'n-1'"), "{clickhouse}");
    assert!(clickhouse.contains("insert_deduplication_token = 'n-1-1'"), "{clickhouse}");
    assert!(!clickhouse.contains('*'), "{clickhouse}");
    let postgres = load(Dialect::Postgres);
    assert_eq!(postgres.matches("create temporary table").count(), 2, "{postgres}");
    assert_eq!(postgres.matches("on conflict do nothing").count(), 2, "{postgres}");
    let redshift = load(Dialect::Redshift);
    assert_eq!(redshift.matches("format as parquet manifest").count(), 2, "{redshift}");
    assert_eq!(redshift.matches("insert into \"web_prod\".\"_keelrow_loads\"").count(), 1);
}

#[test]
fn redshift_manifests_have_the_exact_sizes() {
    let manifests = super::manifests(&lake(Dialect::Redshift, "s3://b/p"));
    assert_eq!(manifests.len(), 2);
    assert_eq!(manifests[0].name, "n-1/web_prod.t.1.json");
    let entry: serde_json::Value = serde_json::from_str(&manifests[1].text).unwrap();
    assert_eq!(
        entry,
        serde_json::json!({"entries": [{
            "url": "s3://b/p/rudder-datalake/web_prod/t/2026/11/21/10/n-1-1.parquet",
            "mandatory": true,
            "meta": {"content_length": 1_001},
        }]})
    );
}

#[test]
fn tables_are_made_once_and_widened_ever_after() {
    for dialect in DIALECTS {
        let ddl = text(&lake(dialect, "s3://b/p"), Part::Ddl);
        assert!(ddl.contains("create table if not exists"), "{dialect:?}: {ddl}");
        assert!(!ddl.contains("drop ") && !ddl.contains("create or replace table"), "{ddl}");
    }
    let redshift = script(&lake(Dialect::Redshift, "s3://b/p"), Part::Ddl);
    let made = redshift.iter().find(|statement| statement.table == "t").unwrap();
    assert!(made.sql.contains("\"event\" varchar(256)"), "{}", made.sql);
    assert!(made.note.contains("65,535") && made.note.contains("it's"), "{}", made.note);
    let bigquery = text(&lake(Dialect::Bigquery, "gs://b"), Part::Ddl);
    assert!(
        bigquery.contains("partition by date(`received_at`)\ncluster by `event`"),
        "{bigquery}"
    );
    let clickhouse = text(&lake(Dialect::Clickhouse, "s3://b/p"), Part::Ddl);
    assert!(clickhouse.contains("\"event\" LowCardinality(Nullable(String))"), "{clickhouse}");
    let snowflake = text(&lake(Dialect::Snowflake, "s3://b/p"), Part::Ddl);
    assert!(snowflake.contains("enable_schema_evolution = true"), "{snowflake}");
    assert!(snowflake.contains("url = 's3://b/p/'"), "{snowflake}");
}

#[test]
fn texts_are_quoted_as_each_warehouse_reads_them() {
    assert_eq!(Dialect::Duckdb.literal(r"it's \"), r"'it''s \'");
    assert_eq!(Dialect::Bigquery.literal(r"it's \"), r"'it\'s \\'");
    assert_eq!(Dialect::Snowflake.table("a", "b"), r#""A"."B""#);
}

#[test]
fn what_the_file_has_is_loaded_not_what_clickhouse_knows_of_it() {
    let load = text(&lake(Dialect::Clickhouse, "/lake"), Part::Load);
    let setting = "use_structure_from_insertion_table_in_table_functions = 0";
    assert_eq!(load.matches(setting).count(), 2, "{load}");
}

/// A lake of tables with these names, in the order in which they were first seen.
fn named(dialect: Dialect, names: &[&str]) -> Lake {
    let mut lake = lake(dialect, "s3://b/p");
    let columns = [
        ("id", ColumnType::String, 256),
        ("received_at", ColumnType::Datetime, 0),
        ("event_text", ColumnType::String, 256),
    ];
    let table = |(at, name): (usize, &&str)| {
        let mut schema = schema(&columns);
        schema.columns[0].first_seen = Timestamp::from_millis(i64::try_from(at).unwrap());
        Table::new(dialect, ("web_prod", name), Origin::Source, &schema)
    };
    lake.tables = names.iter().enumerate().map(table).collect();
    lake.tables.sort_by(|a, b| a.name.cmp(&b.name));
    super::label_tables(dialect, &mut lake.tables);
    lake
}

fn label<'l>(lake: &'l Lake, name: &str) -> &'l str {
    &lake.tables.iter().find(|table| table.name == name).unwrap().label
}

#[test]
fn no_event_takes_the_name_of_the_ledger() {
    for dialect in DIALECTS {
        let lake = named(dialect, &["_keelrow_loads_2", "_keelrow_loads", "a"]);
        assert_eq!(label(&lake, "_keelrow_loads_2"), "_keelrow_loads_2", "the one that was first");
        assert_eq!(label(&lake, "_keelrow_loads"), "_keelrow_loads_3");
        let ddl = text(&lake, Part::Ddl);
        let of = |name| ddl.matches(&format!("table if not exists {name} (")).count();
        let ledger = usize::from(!matches!(dialect, Dialect::Snowflake | Dialect::Databricks));
        assert_eq!(of(dialect.table("web_prod", "_keelrow_loads")), ledger, "{ddl}");
        assert_eq!(of(dialect.table("web_prod", "_keelrow_loads_3")), 1, "{ddl}");
    }
    let schema = schema(&[("id", ColumnType::String, 256)]);
    let origin = Origin::Unified {
        environment: "prod".into(),
        block: "_keelrow_loads".into(),
        generation: 1,
    };
    let mut tables =
        [Table::new(Dialect::Duckdb, ("unified_prod", "_keelrow_loads"), origin, &schema)];
    super::label_tables(Dialect::Duckdb, &mut tables);
    assert_eq!(tables[0].label, "_keelrow_loads_2");
}

#[test]
fn tables_and_indexes_of_postgres_have_names_of_their_own() {
    let long = "x".repeat(70);
    let twin = format!("{long}y");
    let names = ["orders", "orders_once", &long, &twin];
    let lake = named(Dialect::Postgres, &names);
    assert_eq!(label(&lake, "orders_once"), "orders_once_2", "the index of orders was first");
    assert_eq!(label(&lake, &long), "x".repeat(63));
    assert_eq!(label(&lake, &twin), format!("{}_2", "x".repeat(61)));
    let mut all: Vec<&str> =
        lake.tables.iter().flat_map(|table| [table.label.as_str(), table.index.as_str()]).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 2 * names.len(), "{all:?}");
    let ddl = text(&lake, Part::Ddl);
    assert_eq!(ddl.matches("create unique index").count(), names.len(), "{ddl}");
}

#[test]
fn no_column_takes_a_name_of_the_warehouse() {
    let label = |dialect, name: &str| {
        let schema = schema(&[("id", ColumnType::String, 256), (name, ColumnType::Int, 0)]);
        Table::new(dialect, ("s", "t"), Origin::Source, &schema).columns[1].label.clone()
    };
    for name in ["xmin", "xmax", "cmin", "cmax", "ctid", "tableoid"] {
        assert_eq!(label(Dialect::Postgres, name), format!("{name}_2"));
        assert_eq!(label(Dialect::Redshift, name), format!("{name}_2"));
        assert_eq!(label(Dialect::Duckdb, name), name);
    }
    assert_eq!(label(Dialect::Redshift, "oid"), "oid_2");
    assert_eq!(label(Dialect::Clickhouse, "_row_exists"), "_row_exists_2");
    assert_eq!(label(Dialect::Bigquery, "_file_name"), "file_name");
    assert_eq!(label(Dialect::Bigquery, "_partitions"), "partitions");
    assert_eq!(label(Dialect::Bigquery, "_filed"), "_filed");
}

#[test]
fn macros_are_whole_statements_and_know_the_generation() {
    let mut lake = lake(Dialect::Duckdb, "/lake");
    let all = script(&lake, Part::Macros);
    assert_eq!(all.len(), 5);
    for statement in &all {
        assert!(statement.sql.starts_with("create or replace macro "), "{}", statement.sql);
        assert!(!statement.note.is_empty() && !statement.sql.contains("--"), "{}", statement.sql);
    }
    assert!(text(&lake, Part::Macros).contains("'/user_events/v1/**/*.parquet'"));
    let unified = |environment: &str, generation| {
        let block = "user_events".to_owned();
        let origin = Origin::Unified { environment: environment.into(), block, generation };
        let columns = schema(&[("id", ColumnType::String, 256)]);
        Table::new(Dialect::Duckdb, ("unified_x", "user_events"), origin, &columns)
    };
    lake.tables.extend([unified("prod", 3), unified("qa", 1)]);
    let folder = "'/user_events/v' || case environment when 'prod' then '3' else '1' end || '/**/";
    let macros = text(&lake, Part::Macros);
    assert!(macros.contains(folder), "{macros}");
}
