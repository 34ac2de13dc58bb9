//! The project's text; that dbt takes it is shown by `./test` with dbt itself.

use super::*;
use crate::clock::Timestamp;
use crate::columnar::Column;
use crate::unified::Block;
use crate::warehouse::ColumnType;

fn column(name: &str, column_type: ColumnType) -> Column {
    Column {
        name: name.to_owned(),
        column_type,
        required: name == "id",
        first_seen: Timestamp::from_millis(1_763_719_200_000),
        max_bytes: if column_type == ColumnType::String { 256 } else { 0 },
    }
}

fn table(schema: &str, name: &str, unified: Option<(String, u32)>) -> Table {
    let columns = vec![
        column("id", ColumnType::String),
        column("received_at", ColumnType::Datetime),
        column("uuid_ts", ColumnType::Datetime),
        column("context_source_id", ColumnType::String),
        column("event", ColumnType::String),
        column("event_text", ColumnType::String),
        column("price", ColumnType::Int),
        column("price__float", ColumnType::Float),
    ];
    let folder = match &unified {
        None => format!("rudder-datalake/{schema}/{name}"),
        Some((environment, generation)) => format!("unified/{environment}/{name}/v{generation}"),
    };
    let columns = Schema { version: 1, columns };
    let label = match &unified {
        Some((_, generation)) if *generation > 1 => format!("{name}_v{generation}"),
        _ => name.to_owned(),
    };
    Table { schema: schema.into(), name: name.into(), label, folder, unified, columns }
}

fn lake(dialect: Dialect) -> Lake {
    let route = Route {
        source_id: "web_prod".into(),
        source_name: "web".into(),
        environment: "prod".into(),
        platform: "web".into(),
        schema: "web-prod".into(),
    };
    Lake {
        dialect,
        location: "a \"lake\"".into(),
        tables: vec![
            table("web-prod", "order_done", None),
            table("web-prod", "tracks", None),
            table("web-prod", "users", None),
            table("unified_prod", "user_events", Some(("prod".into(), 1))),
            table("unified_prod", "user_events", Some(("prod".into(), 2))),
        ],
        unified: Unified::new(Vec::new(), Vec::new()),
        routes: vec![route],
    }
}

fn text(files: &[File], path: &str) -> String {
    let file = files.iter().find(|file| file.path == path);
    file.unwrap_or_else(|| panic!("{path} is not among the files")).text.clone()
}

#[test]
fn every_file_is_marked_and_every_path_is_one() {
    for dialect in Dialect::ALL {
        let files = project(&lake(dialect));
        let mut paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        assert!(files.iter().all(|file| file.text.lines().next().unwrap().contains(MARK)));
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), files.len());
        let has_profile = paths.contains(&"profiles.yml");
        assert_eq!(has_profile, dialect == Dialect::Datalake, "{dialect}");
    }
}

#[test]
fn sources_have_every_column_with_type_and_words() {
    let files = project(&lake(Dialect::Datalake));
    let source = text(&files, "models/sources/web_prod.yml");
    assert!(source.contains("- name: \"price__float\"\n            description: \"values of price that are of type float, first seen 2025-11-21T10:00:00.000Z\"\n            data_type: \"double\""), "{source}");
    assert!(source.contains("/rudder-datalake/web-prod/order_done/**/*.parquet"), "{source}");
    let snowflake = project(&lake(Dialect::Snowflake));
    let source = text(&snowflake, "models/sources/web_prod.yml");
    assert!(source.contains("identifier: \"ORDER_DONE\"") && !source.contains("external"));
    let unified = text(&snowflake, "models/sources/unified_prod.yml");
    assert!(unified.contains("identifier: \"USER_EVENTS_V2\""), "{unified}");
}

#[test]
fn the_unified_model_goes_by_batch_and_key() {
    let files = project(&lake(Dialect::Datalake));
    let model = text(&files, "models/unified/user_events_prod.sql");
    assert!(model.contains("where \"uuid_ts\" >= (") && !model.contains("\"received_at\""));
    let key = "unique_key = ['_source_schema', 'context_source_id', 'id', 'received_at']";
    assert!(model.contains(key), "{model}");
    let notes = text(&files, "models/staging/web_prod/staging.yml");
    assert_eq!(notes.matches("not_null, event_is_there_once]").count(), 1, "{notes}");
    assert_eq!(notes.matches("not_null, row_is_there_once]").count(), 1, "{notes}");
    assert_eq!(notes.matches("[not_null]").count(), 1, "users has no unique id: {notes}");
    let once = text(&files, "tests/user_events_prod_has_an_event_once.sql");
    assert!(once.contains("group by \"_source_schema\", \"context_source_id\", \"id\""), "{once}");
    assert!(once.contains("\"type\" <> 'extract'"), "{once}");
}

/// The test that the unified model has every event, for a block.
fn every(block: Block, more: Option<Route>) -> String {
    let mut lake = lake(Dialect::Datalake);
    lake.tables
        .retain(|table| table.unified.as_ref().is_none_or(|(_, generation)| *generation == 1));
    lake.tables.push(table("web-prod", "other_events", None));
    lake.unified = Unified::new(vec![block], Vec::new());
    lake.routes.extend(more);
    text(&project(&lake), "tests/user_events_prod_has_every_event.sql")
}

#[test]
fn every_event_is_asked_for_as_the_block_takes_them() {
    let block = || Block::named("user_events");
    let all = every(block(), None);
    assert!(all.contains("ref('stg_web_prod__order_done') }}\n"), "{all}");
    assert!(!all.contains("tracks") && !all.contains("users'") && !all.contains("where"), "{all}");
    // Of a schema that two sources share, the rows of one.
    let mut other = lake(Dialect::Datalake).routes.remove(0);
    other.source_id = "phone".into();
    let web = Block { sources: vec!["web_prod".into()], ..block() };
    other.source_name = "phone".into();
    let of_web = every(web, Some(other));
    let condition = "where \"context_source_id\" in ('web_prod')";
    assert_eq!(of_web.matches(condition).count(), 2, "{of_web}");
    // Events without a table of their own, and those of tracks, by their names.
    let some = Block {
        include_tables: vec!["tracks".into(), "order_*".into()],
        exclude_events: vec!["order_undone".into()],
        ..block()
    };
    let some = every(some, None);
    let line = |table: &str| -> String {
        let name = format!("ref('stg_web_prod__{table}')");
        some.lines().find(|line| line.contains(&name)).unwrap_or_default().to_owned()
    };
    let unwanted = "not (regexp_matches(lower(coalesce(\"event\", '')), '^(order_undone)$'))";
    assert!(line("tracks").ends_with(&format!("where {unwanted}")), "{some}");
    let wanted = "regexp_matches(lower(coalesce(\"event\", '')), '^(tracks|order_.*)$')";
    assert!(line("other_events").ends_with(&format!("where {wanted} and {unwanted}")), "{some}");
    let only = every(Block { include_tables: vec!["other_events".into()], ..block() }, None);
    assert!(only.contains("'^(other_events)$'") && !only.contains("order_done"), "{only}");
    // The block has moved on, and the table has none of its rows yet.
    let mut lake = lake(Dialect::Datalake);
    lake.unified = Unified::new(vec![Block { generation: 3, ..block() }], Vec::new());
    assert!(!project(&lake).iter().any(|file| file.path.contains("has_every_event")));
}

#[test]
fn names_are_short_enough_and_apart() {
    let long = "x".repeat(240);
    let twin = format!("{long}y");
    let mut lake = lake(Dialect::Datalake);
    lake.tables = vec![
        table("a", "_users", None),
        table("a_", "users", None),
        table("a", &long, None),
        table("a", &twin, None),
        table("unified_eu", "user_events_prod", Some(("eu".into(), 1))),
        table("unified_prod_eu", "user_events", Some(("prod_eu".into(), 1))),
        table("b-c", "t", None),
        table("b_c", "t", None),
    ];
    let files = project(&lake);
    let mut paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let longest = paths.iter().flat_map(|path| path.split('/')).map(str::len).max().unwrap();
    assert!(longest <= 230, "{longest}");
    for name in [
        "stg_a___users.sql",
        "stg_a___users_2.sql",
        "user_events_prod_eu.sql",
        "user_events_prod_eu_2.sql",
        "sources/b_c.yml",
        "sources/b_c_2.yml",
    ] {
        assert_eq!(paths.iter().filter(|path| path.ends_with(name)).count(), 1, "{name}");
    }
    let files = paths.len();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(paths.len(), files);
    lake.dialect = Dialect::Postgres;
    for file in project(&lake).iter().filter(|file| file.path.starts_with("models/staging")) {
        let name = file.path.rsplit('/').next().unwrap().trim_end_matches(".sql");
        assert!(name.len() <= 63, "{name}");
    }
}
