//! The loop with the product's own mapping.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::world::{Sent, World, drain, try_drain};
use crate::loader::{Settings, settings::LayoutSettings};
use crate::storage::memory::Fault;

pub(super) fn event(key: u64, text: &str) -> Sent {
    let common = format!(
        r#""messageId":"m{key}","anonymousId":"a","receivedAt":"2026-11-21T10:00:00.000Z","timestamp":"2026-11-21T09:59:59.000Z","originalTimestamp":"2026-11-21T09:59:58.000Z","sentAt":"2026-11-21T09:59:59.500Z","context":{{"library":{{"name":"x"}},"page":{{"path":"/p{key}"}}}}"#
    );
    Sent::new(key, &text.replacen('{', &format!("{{{common},"), 1))
}

pub(super) fn fill(world: &mut World) {
    for key in 1..30 {
        let price = if key % 2 == 0 { "1.5" } else { "7" };
        world.send(&event(
            key,
            &format!(r#"{{"type":"track","event":"Order Completed","properties":{{"price":{price},"n":"{key}"}}}}"#),
        ));
    }
    world.send(&event(30, r#"{"type":"page","name":"Home","properties":{"title":"t"}}"#));
    world.send(&event(31, r#"{"type":"identify","userId":"u1","traits":{"plan":"pro"}}"#));
    world.send(&event(
        32,
        r#"{"type":"track","event":"Order Completed","properties":{"price":"dear"}}"#,
    ));
    world.send(&Sent { content: 9, ..event(5, r#"{"type":"track","event":"x"}"#) });
    world.send(&event(5, r#"{"type":"track","event":"x"}"#));
    world.send(&event(33, r#"{"type":"record","event":"x"}"#));
    world.send(&Sent { reason: "no_ids", ..Sent::new(0, r#"{"type":"track"}"#) });
}

fn world() -> World {
    let mut world = World::new();
    world.settings = Some(Settings::default());
    fill(&mut world);
    world
}

fn undisturbed() -> (BTreeMap<String, Bytes>, u64) {
    let world = world();
    drain(&mut world.loader()).unwrap();
    (world.memory.objects(), world.faulty.operations())
}

#[test]
fn events_become_the_tables_of_the_layout_and_the_unified_one() {
    let world = world();
    drain(&mut world.loader()).unwrap();
    let manifest = world.manifests().pop().unwrap();
    let tables: Vec<(&str, &str, u64)> = manifest
        .files
        .iter()
        .map(|file| (file.schema.as_str(), file.table.as_str(), file.rows))
        .collect();
    assert_eq!(
        tables,
        [
            ("web_prod", "identifies", 1),
            ("web_prod", "order_completed", 30),
            ("web_prod", "pages", 1),
            ("web_prod", "rejected", 3),
            ("web_prod", "tracks", 30),
            ("web_prod", "users", 1),
            ("unified_prod", "user_events", 31),
        ]
    );
    assert_eq!((manifest.events.loaded, manifest.events.rejected), (32, 3));
    assert_eq!(manifest.events.duplicate, 1);
    world.assert_no_orphans();
}

#[test]
fn a_mapped_batch_is_the_same_bytes_wherever_the_process_dies() {
    let (expected, operations) = undisturbed();
    for number in 0..operations {
        let world = world();
        world.faulty.go_down(number, Fault::Forget);
        try_drain(&mut world.loader()).expect_err("the lake is down");
        world.faulty.mend();
        drain(&mut world.loader()).unwrap();
        assert_eq!(world.memory.objects(), expected, "{number}");
    }
}

/// Ten names for a schema that takes three, and the same again.
fn crowded() -> World {
    let mut world = World::new();
    world.settings = Some(Settings { tables_max: 3, ..Settings::default() });
    for n in 0..20_u64 {
        let payload = format!(
            r#"{{"type":"track","event":"Name {}","properties":{{"n":{n}}}}}"#,
            (n * 7) % 10
        );
        world.send(&event(100 + n, &payload));
    }
    world
}

#[test]
fn a_schema_has_as_many_event_tables_as_it_may_and_no_event_is_lost() {
    let mut world = crowded();
    drain(&mut world.loader()).unwrap();
    let rows = |world: &World| {
        let mut rows = BTreeMap::new();
        for file in world.manifests().into_iter().flat_map(|manifest| manifest.files) {
            *rows.entry(file.table).or_insert(0) += file.rows;
        }
        rows
    };
    let expected = [
        ("name_0", 2),
        ("name_4", 2),
        ("name_7", 2),
        ("other_events", 14),
        ("rudder_discards", 14),
        ("tracks", 20),
        ("user_events", 20),
    ];
    let mut expected = expected.map(|(table, rows)| (table.to_owned(), rows)).into();
    assert_eq!(rows(&world), expected);
    let mut loader = world.loader();
    // A new process knows what there is: old names are taken, new ones are not.
    world.send(&event(200, r#"{"type":"track","event":"Name 7"}"#));
    world.send(&event(201, r#"{"type":"track","event":"Name 77"}"#));
    drain(&mut loader).unwrap();
    for table in ["name_7", "other_events", "rudder_discards"] {
        *expected.get_mut(table).unwrap() += 1;
    }
    for table in ["tracks", "user_events"] {
        *expected.get_mut(table).unwrap() += 2;
    }
    assert_eq!(rows(&world), expected);
    let report = loader.report().unwrap();
    assert_eq!(report.pressed.without_table, BTreeMap::from([("web_prod".to_owned(), 1)]));
}

#[test]
fn a_batch_with_more_names_than_tables_is_the_same_bytes_wherever_the_process_dies() {
    let world = crowded();
    drain(&mut world.loader()).unwrap();
    let (expected, operations) = (world.memory.objects(), world.faulty.operations());
    for number in 0..operations {
        let mut world = crowded();
        world.faulty.go_down(number, Fault::Forget);
        try_drain(&mut world.loader()).expect_err("the lake is down");
        world.faulty.mend();
        // What was planned stays so, whatever the limit is by then.
        let planned = world.memory.objects().keys().any(|key| key.starts_with("_keelrow/plans"));
        if planned {
            world.settings = Some(Settings::default());
        }
        drain(&mut world.loader()).unwrap();
        assert_eq!(world.memory.objects(), expected, "{number}");
    }
}

#[test]
fn files_that_go_up_together_are_the_same_and_in_the_same_order() {
    let (expected, operations) = undisturbed();
    let mut world = world();
    world.uploads = 4;
    // One of them fails on the way.
    world.faulty.fail(operations / 2, Fault::Refuse);
    world.faulty.fail(operations / 2 + 1, Fault::Forget);
    drain(&mut world.loader()).unwrap();
    assert_eq!(world.memory.objects(), expected);
}

#[test]
fn an_open_plan_is_finished_with_its_own_settings() {
    let (expected, operations) = undisturbed();
    let mut world = world();
    world.faulty.go_down(operations - 1, Fault::Refuse);
    try_drain(&mut world.loader()).expect_err("the lake is down");
    world.faulty.mend();
    let mut settings = Settings::default();
    let layout = LayoutSettings { skip_tracks_table: true, ..LayoutSettings::default() };
    settings.layouts.insert("web_prod".into(), layout);
    world.settings = Some(settings);
    drain(&mut world.loader()).unwrap();
    assert_eq!(world.memory.objects(), expected);
    world.send(&event(100, r#"{"type":"track","event":"Order Completed"}"#));
    drain(&mut world.loader()).unwrap();
    let last = world.manifests().pop().unwrap();
    assert!(last.files.iter().all(|file| file.table != "tracks"));
}
