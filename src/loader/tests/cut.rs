//! Where ranges end and what becomes of each record.

use std::sync::Arc;
use std::time::Duration;

use super::world::{START, Sent, World, drain};
use crate::clock::{Fixed, Timestamp};
use crate::loader::Progress;
use crate::storage::manifest::Counts;

#[test]
fn every_event_has_one_outcome() {
    let mut world = World::new();
    world.events(1..11, "signup");
    world.events(5..8, "signup");
    world.send(&Sent { content: 2, ..Sent::new(3, r#"{"t":"signup","id":"m3"}"#) });
    world.send(&Sent { content: 2, ..Sent::new(3, r#"{"t":"signup","id":"m3"}"#) });
    world.send(&Sent::new(30, r#"{"t":""}"#));
    world.send(&Sent { reason: "no_ids", ..Sent::new(0, "{}") });
    world.send(&Sent { part: 1, ..Sent::new(40, r#"{"t":"signup","id":"m40"}"#) });
    world.send(&Sent { source: "app_qa", ..Sent::new(50, r#"{"t":"login","id":"m50"}"#) });
    world.tally(3, 2);
    drain(&mut world.loader()).unwrap();
    let manifests = world.manifests();
    assert_eq!(manifests.len(), 1);
    let web = Counts {
        received: 22,
        split: 1,
        loaded: 11,
        duplicate: 4,
        rejected: 3,
        dropped: 3,
        suppressed: 2,
        damaged: 0,
    };
    assert_eq!(manifests[0].sources["web_prod"], web);
    let app = Counts { received: 1, loaded: 1, ..Counts::default() };
    assert_eq!(manifests[0].sources["app_qa"], app);
    let rows = world.rows();
    assert!(rows.values().all(|times| *times == 1), "{rows:?}");
    assert_eq!(rows.keys().filter(|(table, _)| table == "rejected").count(), 3);
    assert_eq!(rows.len(), 15);
    world.assert_no_orphans();
}

#[test]
fn a_range_ends_by_age() {
    let mut world = World::new();
    let mut loader = world.loader();
    world.events(1..3, "a");
    loader.advance(false).unwrap();
    let Progress::Waiting(wait) = loader.advance(false).unwrap() else { panic!("it should wait") };
    assert_eq!(wait, Duration::from_secs(300));
    world.clock.advance(Duration::from_secs(299));
    world.events(3..5, "a");
    assert_eq!(loader.advance(false).unwrap(), Progress::Waiting(Duration::from_secs(1)));
    assert!(world.manifests().is_empty());
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(loader.advance(false).unwrap(), Progress::More);
    assert_eq!(loader.advance(false).unwrap(), Progress::Committed);
    assert_eq!(world.manifests()[0].events.loaded, 4);
    assert!(matches!(loader.advance(false).unwrap(), Progress::Waiting(_)));
}

#[test]
fn a_range_ends_by_journal_bytes() {
    let mut world = World::new();
    world.limits.max_bytes = 2_000;
    world.events(1..101, "a");
    drain(&mut world.loader()).unwrap();
    let manifests = world.manifests();
    assert!(manifests.len() > 3, "{}", manifests.len());
    assert_eq!(manifests.iter().map(|manifest| manifest.events.loaded).sum::<u64>(), 100);
    assert!(world.rows().values().all(|times| *times == 1));
}

#[test]
fn a_batch_lies_in_one_hour_and_the_hour_never_goes_back() {
    let mut world = World::new();
    world.events(1..3, "a");
    world.clock.advance(Duration::from_secs(3_599));
    world.events(3..4, "a");
    world.clock.advance(Duration::from_secs(1));
    world.events(4..6, "a");
    drain(&mut world.loader()).unwrap();
    let hours: Vec<(String, u64)> =
        world.manifests().into_iter().map(|m| (m.hour, m.events.loaded)).collect();
    assert_eq!(hours, [("2026/11/21/10".to_owned(), 3), ("2026/11/21/11".to_owned(), 2)]);
    // A clock that is set back does not lead back to an old folder.
    world.clock = Arc::new(Fixed::at(Timestamp::from_millis(START)));
    world.events(6..8, "a");
    drain(&mut world.loader()).unwrap();
    let last = world.manifests().pop().unwrap();
    assert_eq!((last.hour.as_str(), last.events.loaded), ("2026/11/21/11", 2));
    assert!(last.files[0].path.contains("/2026/11/21/11/"), "{}", last.files[0].path);
}

#[test]
fn many_tables_end_a_range_early() {
    let mut world = World::new();
    world.limits.memory = 64 << 10;
    for key in 1..200 {
        let payload = format!(r#"{{"t":"table_{key}","id":"m{key}","a":1}}"#);
        world.send(&Sent::new(key, &payload));
    }
    drain(&mut world.loader()).unwrap();
    let manifests = world.manifests();
    assert!(manifests.len() > 1, "one batch of 199 tables");
    assert_eq!(world.rows().len(), 199);
}

#[test]
fn a_large_table_closes_row_groups_within_memory() {
    let mut world = World::new();
    world.limits.memory = 16 << 10;
    let text = "x".repeat(900);
    for key in 1..60 {
        let payload = format!(r#"{{"t":"a","id":"m{key}","text":"{text}"}}"#);
        world.send(&Sent::new(key, &payload));
    }
    drain(&mut world.loader()).unwrap();
    let manifests = world.manifests();
    assert_eq!(manifests.len(), 1);
    let objects = world.memory.objects();
    let (_, groups) = crate::columnar::read_footer(&objects[&manifests[0].files[0].path]).unwrap();
    assert!(groups.len() > 2, "{groups:?}");
    assert_eq!(groups.iter().sum::<u64>(), 59);
}

#[test]
fn a_range_without_rows_commits_all_the_same() {
    let mut world = World::new();
    world.events(1..3, "a");
    let mut loader = world.loader();
    drain(&mut loader).unwrap();
    world.events(1..3, "a");
    world.tally(7, 0);
    drain(&mut loader).unwrap();
    let last = world.manifests().pop().unwrap();
    assert!(last.files.is_empty());
    let expected = Counts { received: 9, duplicate: 2, dropped: 7, ..Counts::default() };
    assert_eq!(last.events, expected);
}

#[test]
fn a_new_column_after_a_closed_row_group_starts_a_part_with_the_wider_schema() {
    let mut world = World::new();
    world.row_group_bytes = 1_000;
    world.events(1..100, "a");
    for key in 100..110 {
        world.send(&Sent::new(key, &format!(r#"{{"t":"a","id":"m{key}","b":"late"}}"#)));
    }
    drain(&mut world.loader()).unwrap();
    let manifest = world.manifests().pop().unwrap();
    let versions: Vec<u64> = manifest.files.iter().map(|file| file.schema_version).collect();
    assert_eq!(versions, [1, 2]);
    assert_eq!(world.rows().len(), 109);
}

#[test]
fn repeats_are_seen_across_restarts() {
    let mut world = World::new();
    world.events(1..20, "a");
    drain(&mut world.loader()).unwrap();
    world.events(10..30, "a");
    drain(&mut world.loader()).unwrap();
    let last = world.manifests().pop().unwrap();
    assert_eq!((last.events.duplicate, last.events.loaded), (10, 10));
    assert!(world.rows().values().all(|times| *times == 1));
}

#[test]
fn a_batch_ends_at_the_most_keys_unless_none_are_kept() {
    for (keys_max, batches, duplicates) in [(8, 3, 1), (0, 1, 0)] {
        let mut world = World::new();
        world.dedup.keys_max = keys_max;
        world.events(1..19, "a");
        world.events(18..19, "a");
        drain(&mut world.loader()).unwrap();
        let manifests = world.manifests();
        assert_eq!(manifests.len(), batches, "at most {keys_max} keys");
        let found: u64 = manifests.iter().map(|manifest| manifest.events.duplicate).sum();
        assert_eq!(found, duplicates, "at most {keys_max} keys");
    }
}

#[test]
fn the_books_go_on_after_a_restart() {
    let mut world = World::new();
    world.events(1..20, "a");
    drain(&mut world.loader()).unwrap();
    world.events(20..25, "a");
    let mut loader = world.loader();
    drain(&mut loader).unwrap();
    let report = loader.report().unwrap();
    assert_eq!(report.books["web_prod"].loaded, 24);
    assert_eq!((report.committed_to, report.dedup_keys), (24, 24));
    // Also when the note of the last batch was lost on the way.
    let note = world.folder.path().join("load/last.json");
    let noted = std::fs::read(&note).unwrap();
    world.events(25..30, "a");
    drain(&mut world.loader()).unwrap();
    std::fs::write(&note, noted).unwrap();
    let mut loader = world.loader();
    drain(&mut loader).unwrap();
    assert_eq!(loader.report().unwrap().books["web_prod"].loaded, 29);
    // Or there is none: the first batch was committed and the process killed.
    drop(loader);
    std::fs::remove_file(&note).unwrap();
    let mut loader = world.loader();
    drain(&mut loader).unwrap();
    assert_eq!(loader.report().unwrap().books["web_prod"].loaded, 29);
}

#[test]
fn a_clock_that_jumps_ahead_and_back_forgets_no_repeats() {
    const HOURS_AHEAD: i64 = 72 * 3_600_000;
    for restarts in [[false, false], [false, true], [true, false], [true, true]] {
        let [while_ahead, after] = restarts;
        let mut world = World::new();
        let mut loader = world.loader();
        world.events(1..20, "a");
        drain(&mut loader).unwrap();
        world.clock.advance(Duration::from_secs(7_200));
        drain(&mut loader).unwrap();
        world.clock.set_forward(HOURS_AHEAD);
        if while_ahead {
            // Without the note, as well.
            std::fs::remove_file(world.folder.path().join("load/last.json")).unwrap();
            loader = world.loader();
        }
        world.events(20..25, "a");
        drain(&mut loader).unwrap();
        world.clock.advance(Duration::from_secs(1_800));
        if while_ahead {
            loader = world.loader();
            world.events(20..21, "a");
            drain(&mut loader).unwrap();
        }
        world.clock.set_forward(-HOURS_AHEAD);
        if after {
            loader = world.loader();
        }
        world.events(1..26, "a");
        drain(&mut loader).unwrap();
        let last = world.manifests().pop().unwrap();
        assert_eq!((last.events.duplicate, last.events.loaded), (24, 1), "{restarts:?}");
        // Where it stays ahead it is believed in the end, and the old ones leave up to those that
        // it stamped ahead.
        world.clock.set_forward(HOURS_AHEAD);
        for key in 30..34 {
            world.events(key..key + 1, "a");
            drain(&mut loader).unwrap();
            world.clock.advance(Duration::from_secs(1_800));
        }
        world.events(34..35, "a");
        drain(&mut loader).unwrap();
        let report = loader.report().unwrap();
        assert_eq!((report.dedup_keys, report.books["web_prod"].loaded), (11, 30), "{restarts:?}");
    }
}
