//! A unified table filled from the lake equals the one that was filled live.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::mapped::{event, fill};
use super::world::{World, drain, route};
use crate::columnar::{FileReader, Schema};
use crate::loader::Settings;
use crate::loader::rebuild::{Chain, Error, Rebuild};
use crate::loader::settings::BlockSettings;
use crate::record::Route;
use crate::storage::memory::Fault;
use crate::warehouse::Scalar;

/// When an event arrived that was imported.
const IMPORTED: &str = "2015-03-04T05:06:07.123Z";

/// Default settings but for the generation of `user_events`.
fn settings(generation: u32) -> Settings {
    let block =
        BlockSettings { name: "user_events".into(), generation, ..BlockSettings::default() };
    Settings { unified: vec![block], ..Settings::default() }
}

/// Two batches with the usual faults: types that conflict, in one event's table and across two.
fn filled() -> World {
    filled_with(Settings::default())
}

fn filled_with(settings: Settings) -> World {
    let mut world = World::new();
    world.settings = Some(settings);
    fill(&mut world);
    drain(&mut world.loader()).unwrap();
    for (key, text) in [
        (
            101,
            r#"{"type":"track","event":"Ping","properties":{"price":"45 ms","at":"2026-01-02T03:04:05.123456Z"}}"#,
        ),
        (
            102,
            r#"{"type":"track","event":"Order Completed","properties":{"price":2.25,"big":9007199254740993,"ok":true}}"#,
        ),
        (
            103,
            r#"{"type":"track","event":"Pong","properties":{"price":3,"ok":"yes","type":"t","list":[1,{"a":null}]}}"#,
        ),
        (104, r#"{"type":"screen","name":"Main","properties":{"event":"mine","price":1e300}}"#),
        (105, r#"{"type":"page","properties":{"ok":false,"price":-0.5,"platform":"phone"}}"#),
    ] {
        world.send(&event(key, text));
    }
    // One whose source says itself when it arrived.
    let mut imported =
        event(106, r#"{"type":"track","event":"Ping","properties":{"imported":true}}"#);
    imported.payload = imported.payload.replace("2026-11-21T10:00:00.000Z", IMPORTED);
    world.send(&imported);
    drain(&mut world.loader()).unwrap();
    world
}

/// A block that takes the same events by other tables, leaves columns out and has aliases.
fn everything(generation: u32) -> Settings {
    let list = |items: &[&str]| items.iter().map(|&item| item.to_owned()).collect::<Vec<_>>();
    let block = BlockSettings {
        name: "user_events".into(),
        generation,
        include_tables: list(&["tracks", "identifies", "users", "*"]),
        exclude_events: list(&["pong"]),
        exclude_columns: list(&["context_page_*"]),
        aliases: vec![("title".into(), list(&["plan", "name"]))],
        ..BlockSettings::default()
    };
    Settings { unified: vec![block], ..Settings::default() }
}

fn rebuild(world: &World, settings: &Settings) -> Result<Rebuild, Error> {
    let routes = vec![Route::clone(&route("web_prod").route)];
    let folder = world.folder.path().join("rebuild");
    Rebuild::new(world.store(), settings, "user_events", routes, folder)
}

fn run(world: &World, settings: &Settings) -> Result<Vec<Chain>, Error> {
    let mut rebuild = rebuild(world, settings)?;
    let mut chains = rebuild.survey()?;
    for chain in &mut chains {
        while rebuild.step(chain)?.is_some() {}
    }
    Ok(chains)
}

type Row = BTreeMap<String, String>;

/// Rows and columns of a generation.
fn table(world: &World, generation: u32) -> (BTreeSet<Row>, BTreeSet<(String, String)>) {
    let objects = world.memory.objects();
    let folder = format!("unified/prod/user_events/v{generation}/");
    let mut rows = BTreeSet::new();
    for (key, bytes) in objects.iter().filter(|(key, _)| key.starts_with(&folder)) {
        for row in rows_of(bytes) {
            assert!(rows.insert(row), "a row twice in {key}");
        }
    }
    let versions = format!("_keelrow/schemas/{folder}");
    let newest = objects
        .iter()
        .filter(|(key, _)| key.starts_with(&versions))
        .map(|(_, bytes)| serde_json::from_slice::<Schema>(bytes).unwrap());
    let newest = newest.max_by_key(|schema| schema.version).unwrap();
    let columns = newest.columns.iter();
    let columns = columns.map(|c| (c.name.clone(), format!("{:?} {}", c.column_type, c.max_bytes)));
    (rows, columns.collect())
}

fn rows_of(bytes: &Bytes) -> Vec<Row> {
    let mut reader = FileReader::open(bytes.clone(), |_| true).unwrap();
    let names: Vec<String> = reader.columns().iter().map(|(name, _)| name.clone()).collect();
    let mut rows = Vec::new();
    while let Some(chunk) = reader.next_chunk().unwrap() {
        for row in 0..chunk.rows() {
            let cells = names.iter().enumerate().filter_map(|(at, name)| {
                let value = match chunk.value(at, row)? {
                    Scalar::Text(text) => text.to_owned(),
                    Scalar::Float(number) => number.to_string(),
                    Scalar::Int(number) | Scalar::Datetime(number) => number.to_string(),
                    Scalar::Bool(truth) => truth.to_string(),
                };
                Some((name.clone(), value))
            });
            rows.push(cells.collect());
        }
    }
    rows
}

#[test]
fn a_rebuilt_table_has_the_rows_and_columns_of_the_live_one() {
    let world = filled();
    let chains = run(&world, &settings(2)).unwrap();
    assert_eq!((chains[0].done(), chains[0].first_live), (2, None));
    let (live, rebuilt) = (table(&world, 1), table(&world, 2));
    assert_eq!(live.0.len(), 37);
    assert_eq!(live.0.symmetric_difference(&rebuilt.0).collect::<Vec<_>>(), Vec::<&Row>::new());
    assert_eq!(live.1, rebuilt.1);
    let before = world.memory.objects();
    let again = run(&world, &settings(2)).unwrap();
    assert_eq!((again[0].todo(), world.memory.objects() == before), (0, true));
}

#[test]
fn a_block_with_everything_is_rebuilt_as_it_was_live() {
    let world = filled_with(everything(1));
    run(&world, &everything(2)).unwrap();
    let (live, rebuilt) = (table(&world, 1), table(&world, 2));
    let is = |row: &Row, event: &str| row.get("event").is_some_and(|name| name == event);
    assert!(live.0.iter().any(|row| is(row, "ping") && row["_source_table"] == "tracks"));
    assert!(!live.0.iter().any(|row| is(row, "pong")), "it is left out of tracks, too");
    assert_eq!(live.0.symmetric_difference(&rebuilt.0).collect::<Vec<_>>(), Vec::<&Row>::new());
    assert_eq!(live.1, rebuilt.1);
    let of = |table: &str| live.0.iter().filter(|row| row["_source_table"] == table).count();
    assert_eq!((of("tracks"), of("ping"), of("identifies"), of("users")), (33, 0, 1, 0));
    assert!(live.1.iter().all(|(name, _)| !name.starts_with("context_page")));
}

#[test]
fn events_without_a_table_of_their_own_are_rebuilt_by_their_names() {
    fn crowded(generation: u32) -> Settings {
        Settings { tables_max: 1, ..everything(generation) }
    }
    // `order_completed` has a table; ping and pong are with the others, one of them excluded.
    fn by_table(generation: u32) -> Settings {
        let mut settings = crowded(generation);
        settings.unified[0].include_tables = vec!["order_*".into(), "p*ng".into()];
        settings
    }
    for settings in [by_table as fn(u32) -> Settings, crowded] {
        let world = filled_with(settings(1));
        run(&world, &settings(2)).unwrap();
        let (live, rebuilt) = (table(&world, 1), table(&world, 2));
        assert_eq!(live.0.symmetric_difference(&rebuilt.0).collect::<Vec<_>>(), Vec::<&Row>::new());
        assert_eq!(live.1, rebuilt.1);
    }
    let (rows, _) = table(&filled_with(by_table(1)), 1);
    let others = rows.iter().filter(|row| row["_source_table"] == "other_events");
    assert_eq!(others.map(|row| row["event"].as_str()).collect::<Vec<_>>(), ["ping", "ping"]);
}

#[test]
fn groups_and_events_of_that_name_are_told_apart_in_one_table() {
    fn lake(generation: u32) -> Settings {
        Settings { dialect: "bigquery".into(), ..settings(generation) }
    }
    fn with_groups(generation: u32) -> Settings {
        let mut settings = lake(generation);
        settings.unified[0].include_tables = vec!["_groups".into()];
        settings
    }
    let only_events = vec![Some("groups"); 2];
    let all = vec![None, None, Some("groups"), Some("groups")];
    for (settings, expected) in
        [(lake as fn(u32) -> Settings, only_events), (with_groups as fn(u32) -> Settings, all)]
    {
        let mut world = World::new();
        world.settings = Some(settings(1));
        for (key, text) in [
            (1, r#"{"type":"group","groupId":"g1","traits":{"plan":"free"}}"#),
            (2, r#"{"type":"track","event":"groups","properties":{"plan":"paid"}}"#),
            (3, r#"{"type":"group","groupId":"g2","traits":{"plan":"free"}}"#),
            (4, r#"{"type":"track","event":"groups","properties":{"plan":"paid"}}"#),
        ] {
            world.send(&event(key, text));
        }
        drain(&mut world.loader()).unwrap();
        run(&world, &settings(2)).unwrap();
        let (live, rebuilt) = (table(&world, 1), table(&world, 2));
        assert_eq!(live.0.symmetric_difference(&rebuilt.0).collect::<Vec<_>>(), Vec::<&Row>::new());
        let events = live.0.iter().map(|row| row.get("event_text").map(String::as_str));
        let mut events: Vec<Option<&str>> = events.collect();
        events.sort_unstable();
        assert_eq!(events, expected);
    }
}

#[test]
fn batches_that_filled_it_live_are_left_to_the_loader() {
    let mut world = filled();
    world.settings = Some(settings(2));
    world.send(&event(201, r#"{"type":"track","event":"Ping","properties":{"new":1}}"#));
    drain(&mut world.loader()).unwrap();
    let chains = run(&world, &settings(2)).unwrap();
    let chain = &chains[0];
    assert_eq!((chain.done(), chain.first_live.map(|live| live.0), chain.todo()), (2, Some(3), 0));
    let (rows, columns) = table(&world, 2);
    assert_eq!(rows.len(), 38);
    assert!(columns.iter().any(|(name, _)| name == "new"));
    let mut ids: Vec<&String> = rows.iter().map(|row| &row["id"]).collect();
    ids.dedup();
    assert_eq!(ids.len(), 38);
    world.send(&event(202, r#"{"type":"track","event":"Ping","properties":{"newer":1}}"#));
    drain(&mut world.loader()).unwrap();
    assert_eq!(table(&world, 2).0.len(), 39);
}

#[test]
fn it_is_the_same_bytes_wherever_the_process_dies() {
    let whole = filled();
    let before = whole.faulty.operations();
    run(&whole, &settings(2)).unwrap();
    let expected = whole.memory.objects();
    for number in before..whole.faulty.operations() {
        let world = filled();
        world.faulty.go_down(number, Fault::Forget);
        run(&world, &settings(2)).expect_err("the lake is down");
        world.faulty.mend();
        // Other settings do not change what was planned.
        run(&world, &settings(2)).unwrap();
        assert_eq!(world.memory.objects(), expected, "{number}");
    }
}

#[test]
fn a_planned_batch_keeps_its_routes_in_a_changed_configuration() {
    let whole = filled();
    let before = whole.faulty.operations();
    run(&whole, &settings(2)).unwrap();
    let expected = whole.memory.objects();
    let mut planned = 0;
    for number in before..whole.faulty.operations() {
        let world = filled();
        world.faulty.go_down(number, Fault::Forget);
        run(&world, &settings(2)).expect_err("the lake is down");
        world.faulty.mend();
        let objects = world.memory.objects();
        let open = objects.keys().find(|key| {
            key.contains("/plans/rebuild-")
                && !objects.contains_key(&key.replace("plans", "batches"))
        });
        let Some(open) = open.cloned() else { continue };
        planned += 1;
        // The source is gone from the configuration, another one is there.
        let folder = world.folder.path().join("rebuild");
        let other = vec![Route::clone(&route("app_prod").route)];
        let mut rebuild =
            Rebuild::new(world.store(), &settings(2), "user_events", other, folder).unwrap();
        let mut chain = rebuild.survey().unwrap().remove(0);
        assert!(rebuild.step(&mut chain).unwrap().is_some(), "{number}");
        let objects = world.memory.objects();
        assert!(objects.contains_key(&open.replace("plans", "batches")), "{number}");
        assert!(objects.iter().all(|(key, bytes)| expected.get(key) == Some(bytes)), "{number}");
    }
    assert!(planned > 3, "{planned} open plans");
}

#[test]
fn a_changed_table_and_one_that_was_always_there_have_nothing_to_fill() {
    let world = filled();
    let chains = run(&world, &settings(1)).unwrap();
    assert_eq!((chains[0].done(), chains[0].todo()), (0, 0));
    assert_eq!(chains[0].first_live.map(|live| live.0), Some(1));
    let Error::NoTable { name } = Rebuild::new(
        world.store(),
        &settings(1),
        "other",
        Vec::new(),
        world.folder.path().join("rebuild"),
    )
    .unwrap_err() else {
        panic!("a table that is not configured")
    };
    assert_eq!(name, "other");
}

#[test]
fn a_schema_that_no_source_has_is_told() {
    let world = filled();
    let folder = world.folder.path().join("rebuild");
    let other = vec![Route::clone(&route("app_prod").route)];
    let mut rebuild =
        Rebuild::new(world.store(), &settings(2), "user_events", other, folder).unwrap();
    let mut chain = rebuild.survey().unwrap().remove(0);
    let error = rebuild.step(&mut chain).unwrap_err();
    assert!(matches!(&error, Error::NoSource { schema, .. } if schema == "web_prod"), "{error}");
}
