//! Death, outage and rivals at every step of a batch.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::world::{START, Sent, World, drain, try_drain};
use crate::clock::{Fixed, Timestamp};
use crate::loader::{Error, Remedy};
use crate::storage::keys::TableFolder;
use crate::storage::memory::{Fault, Faulty, Memory};
use crate::storage::registry::Registry;

/// Events for several tables, with repeats, a reused id and a tally.
fn fill(world: &mut World) {
    world.events(1..40, "signup");
    world.events(30..50, "login");
    world.send(&Sent { content: 2, ..Sent::new(3, r#"{"t":"signup","id":"m3"}"#) });
    world.send(&Sent::new(60, r#"{"t":""}"#));
    world.tally(2, 1);
}

/// What the lake holds when nothing goes wrong.
fn undisturbed() -> (BTreeMap<String, Bytes>, u64) {
    let mut world = World::new();
    fill(&mut world);
    drain(&mut world.loader()).unwrap();
    (world.memory.objects(), world.faulty.operations())
}

#[test]
fn manifest_is_the_commit() {
    let (expected, operations) = undisturbed();
    assert!(operations > 12, "{operations}");
    for fault in [Fault::Refuse, Fault::Forget] {
        for number in 0..operations {
            let mut world = World::new();
            fill(&mut world);
            world.faulty.go_down(number, fault);
            let mut loader = world.loader();
            let error = try_drain(&mut loader).expect_err("the lake is down");
            assert_eq!(error.remedy(), Remedy::Retry, "{number} {fault:?}: {}", error.chain());
            // The process dies here; the next one finds a lake that is well.
            drop(loader);
            world.faulty.mend();
            drain(&mut world.loader()).unwrap();
            assert_eq!(world.memory.objects(), expected, "{number} {fault:?}");
            world.manifests();
            assert!(world.rows().values().all(|times| *times == 1));
        }
    }
}

#[test]
fn an_outage_at_any_step_is_sat_out_by_the_same_loader() {
    let (expected, operations) = undisturbed();
    for fault in [Fault::Refuse, Fault::Forget] {
        for number in 0..operations {
            let mut world = World::new();
            fill(&mut world);
            world.faulty.go_down(number, fault);
            let mut loader = world.loader();
            try_drain(&mut loader).expect_err("the lake is down");
            try_drain(&mut loader).expect_err("the lake is down");
            world.faulty.mend();
            drain(&mut loader).unwrap();
            assert_eq!(world.memory.objects(), expected, "{number} {fault:?}");
        }
    }
}

#[test]
fn single_faults_and_forgotten_answers_change_nothing() {
    let (expected, operations) = undisturbed();
    for fault in [Fault::Refuse, Fault::Forget] {
        for step in 2..7 {
            let mut world = World::new();
            fill(&mut world);
            for number in (0..operations * 2).step_by(step) {
                world.faulty.fail(number, fault);
            }
            drain(&mut world.loader()).unwrap();
            assert_eq!(world.memory.objects(), expected, "every {step}th {fault:?}");
        }
    }
}

#[test]
fn a_planned_batch_keeps_its_settings_and_verdicts() {
    let mut world = World::new();
    world.row_group_bytes = 2_000;
    fill(&mut world);
    // Down after the plan: number of operations up to it, found by its being there.
    let plan_at = (0..100)
        .find(|number| {
            let mut trial = World::new();
            trial.row_group_bytes = 2_000;
            fill(&mut trial);
            trial.faulty.go_down(*number, Fault::Forget);
            try_drain(&mut trial.loader()).expect_err("the lake is down");
            trial.memory.objects().keys().any(|key| key.contains("/plans/"))
        })
        .unwrap();
    world.faulty.go_down(plan_at, Fault::Forget);
    try_drain(&mut world.loader()).expect_err("the lake is down");
    world.faulty.mend();
    // The next process would cut otherwise: other row groups, more records, no table of repeats.
    world.row_group_bytes = 1 << 20;
    world.events(100..110, "signup");
    std::fs::remove_dir_all(world.folder.path().join("load")).unwrap();
    drain(&mut world.loader()).unwrap();
    let manifests = world.manifests();
    assert_eq!(manifests.len(), 2);
    assert_eq!((manifests[0].events.duplicate, manifests[0].events.rejected), (10, 2));
    assert_eq!(manifests[1].events.loaded, 10);
    assert!(world.rows().values().all(|times| *times == 1));
    world.assert_no_orphans();
}

#[test]
fn an_object_that_is_not_ours_stops_the_loader() {
    let (expected, _) = undisturbed();
    let (name, ours) = expected.iter().find(|(key, _)| key.ends_with(".parquet")).unwrap();
    let mut foreign = ours.to_vec();
    foreign.truncate(100);
    for bytes in [foreign.as_slice(), b""] {
        let mut world = World::new();
        fill(&mut world);
        world.memory.replace(name, Bytes::copy_from_slice(bytes));
        let error = drain(&mut world.loader()).unwrap_err();
        assert!(matches!(&error, Error::Foreign { key, .. } if key == name), "{}", error.chain());
        assert!(world.manifests().is_empty());
        assert_eq!(world.memory.objects()[name], bytes, "it was replaced");
    }
}

#[test]
fn an_object_of_an_earlier_build_with_the_planned_rows_is_kept() {
    let (expected, _) = undisturbed();
    let (name, ours) = expected.iter().find(|(key, _)| key.ends_with(".parquet")).unwrap();
    // Another build's version in the footer: other bytes, same meaning.
    let version = env!("CARGO_PKG_VERSION").as_bytes();
    let mut other = ours.to_vec();
    let at = other.windows(version.len()).rposition(|window| window == version).unwrap();
    other[at] ^= 1;
    let mut world = World::new();
    fill(&mut world);
    world.memory.replace(name, Bytes::from(other.clone()));
    drain(&mut world.loader()).unwrap();
    assert_eq!(world.memory.objects()[name], other);
    world.manifests();
}

#[test]
fn a_plan_of_another_mapping_version_stops_the_loader_and_names_the_program() {
    let (_, operations) = undisturbed();
    let mut world = World::new();
    fill(&mut world);
    world.faulty.go_down(operations - 1, Fault::Refuse);
    try_drain(&mut world.loader()).expect_err("the lake is down");
    world.faulty.mend();
    world.mapping = 2;
    let error = drain(&mut world.loader()).unwrap_err();
    let program = env!("CARGO_PKG_VERSION");
    assert!(error.to_string().contains(&format!("version {program} must finish it")), "{error}");
    assert_eq!(error.remedy(), Remedy::Stop);
    world.mapping = 1;
    drain(&mut world.loader()).unwrap();
    assert_eq!(world.manifests().len(), 1);
}

#[test]
fn of_two_loaders_by_mistake_one_stops_and_nothing_is_doubled() {
    // A copied disk: the same writer id, the same records, then other ones on each side.
    let mut one = World::new();
    fill(&mut one);
    let mut two = World::on(Arc::clone(&one.memory), clock());
    assert_eq!(one.services().journal.writer_id(), two.services().journal.writer_id());
    fill(&mut two);
    one.events(100..110, "signup");
    two.events(200..210, "signup");
    let (mut first, mut second) = (one.loader(), two.loader());
    let mut ends = [None, None];
    for _ in 0..100 {
        for (loader, end) in [&mut first, &mut second].into_iter().zip(&mut ends) {
            if end.is_none()
                && let Err(error) = loader.advance(true)
            {
                *end = Some(error);
            }
        }
    }
    let [first, second] = ends;
    assert!(first.is_none(), "{first:?}");
    assert!(matches!(second, Some(Error::OtherLoader { number: 1 })), "{second:?}");
    assert_eq!(one.manifests().len(), 1);
    assert!(one.rows().values().all(|times| *times == 1));
}

#[test]
fn a_lost_registry_race_cuts_the_range_again() {
    let mut one = World::new();
    // The shared clock gives the other node's journal another epoch.
    let mut two = World::on(Arc::clone(&one.memory), Arc::clone(&one.clock));
    assert_ne!(one.services().journal.writer_id(), two.services().journal.writer_id());
    one.send(&Sent::new(1, r#"{"t":"a","id":"m1","b":1}"#));
    two.send(&Sent::new(1, r#"{"t":"a","id":"m1","c":"x"}"#));
    let (mut first, mut second) = (one.loader(), two.loader());
    for _ in 0..10 {
        first.advance(true).unwrap();
        second.advance(true).unwrap();
    }
    let versions = |world: &World| world.manifests()[0].files[0].schema_version;
    assert_eq!((versions(&one), versions(&two)), (1, 2));
    let registry = Registry::new(one.store());
    let folder = TableFolder::parse("rudder-datalake/web_prod/a").unwrap();
    let latest = registry.latest(&folder).unwrap().unwrap();
    let names: Vec<&str> = latest.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["id", "received_at", "uuid_ts", "b", "c"]);
}

#[test]
fn a_lake_without_our_batches_stops_the_loader() {
    let mut world = World::new();
    fill(&mut world);
    drain(&mut world.loader()).unwrap();
    let memory = Arc::new(Memory::default());
    world.faulty = Arc::new(Faulty::new(memory));
    let error = drain(&mut world.loader()).unwrap_err();
    assert!(matches!(error, Error::ChainMissing { number: 1, .. }), "{error}");
}

#[test]
fn a_journal_that_ends_before_the_last_batch_stops_the_loader() {
    let mut world = World::new();
    fill(&mut world);
    drain(&mut world.loader()).unwrap();
    let wiped = World::on(Arc::clone(&world.memory), clock());
    let error = drain(&mut wiped.loader()).unwrap_err();
    assert!(matches!(error, Error::JournalBehind { durable: 0, .. }), "{error}");
}

fn clock() -> Arc<Fixed> {
    Arc::new(Fixed::at(Timestamp::from_millis(START)))
}

/// A text that no compressor makes smaller than half.
fn noise(seed: u64, bytes: usize) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut text = String::with_capacity(bytes + 16);
    while text.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.push_str(&format!("{state:016x}"));
    }
    text
}

#[test]
fn a_batch_whose_local_files_are_removed_is_made_again() {
    let fill = |world: &mut World| {
        for key in 1..80 {
            let text = noise(key, 40_000);
            world.send(&Sent::new(key, &format!(r#"{{"t":"large","id":"m{key}","a":"{text}"}}"#)));
        }
        world.limits.max_bytes = 16 << 20;
    };
    let mut world = World::new();
    fill(&mut world);
    drain(&mut world.loader()).unwrap();
    let (expected, operations) = (world.memory.objects(), world.faulty.operations());
    let mut removed = 0;
    for number in 0..operations {
        let mut world = World::new();
        fill(&mut world);
        world.faulty.go_down(number, Fault::Refuse);
        let mut loader = world.loader();
        try_drain(&mut loader).expect_err("the lake is down");
        let open = world.folder.path().join("load/open");
        let parts = std::fs::read_dir(&open).into_iter().flatten().flatten();
        for part in parts {
            std::fs::remove_file(part.path()).unwrap();
            removed += 1;
        }
        // Also where the lake is still down when that is found out.
        try_drain(&mut loader).expect_err("the lake is down");
        try_drain(&mut loader).expect_err("the lake is down");
        world.faulty.mend();
        drain(&mut loader).unwrap();
        assert_eq!(world.memory.objects(), expected, "{number}");
        assert!(world.rows().values().all(|times| *times == 1));
    }
    assert!(removed > 3, "of {operations} operations {removed} met a local file");
}
