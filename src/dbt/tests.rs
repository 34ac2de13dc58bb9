//! The project's text; that dbt takes it is shown by `./test` with dbt itself.

use super::*;
use crate::clock::Timestamp;
use crate::columnar::Column;
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
        column("price", ColumnType::Int),
        column("price__float", ColumnType::Float),
    ];
    let folder = match &unified {
        None => format!("rudder-datalake/{schema}/{name}"),
        Some((environment, generation)) => format!("unified/{environment}/{name}/v{generation}"),
    };
    let columns = Schema { version: 1, columns };
    Table { schema: schema.into(), name: name.into(), folder, unified, columns }
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
fn the_unified_model_goes_by_arrival_and_key() {
    let files = project(&lake(Dialect::Datalake));
    let model = text(&files, "models/unified/user_events_prod.sql");
    assert!(model.contains("where \"received_at\" >= (") && !model.contains("\"timestamp\""));
    assert!(model.contains("unique_key = ['_source_schema', 'id']"), "{model}");
    let every = text(&files, "tests/user_events_prod_has_every_event.sql");
    assert!(every.contains("ref('stg_web_prod__order_done')"), "{every}");
    assert!(!every.contains("tracks") && !every.contains("users'"), "{every}");
    let notes = text(&files, "models/staging/web_prod/staging.yml");
    assert_eq!(notes.matches("unique").count(), 2, "users has no unique id: {notes}");
}
