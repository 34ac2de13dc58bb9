//! Replay: verify, restore, write elsewhere.

use bytes::Bytes;

use super::mapped;
use super::world::{World, drain};
use crate::journal::Journal;
use crate::loader::replay::{Fate, Replay};
use crate::loader::{Error, Settings};
use crate::storage::keys::{Number, Part};

/// A world with two batches, of which nothing has left the journal.
fn world() -> World {
    let mut world = World::new();
    world.settings = Some(Settings::default());
    mapped::fill(&mut world);
    drain(&mut world.loader()).unwrap();
    world.send(&mapped::event(90, r#"{"type":"track","event":"Late","properties":{"a":1}}"#));
    drain(&mut world.loader()).unwrap();
    world
}

fn replay(world: &World, number: u64) -> Vec<(String, Fate)> {
    let mut replay = Replay::new(world.services(), world.folder.path().join("replay")).unwrap();
    let writer = Part::new(world.log.writer_id()).unwrap();
    let outcomes = replay.batch(&writer, Number(number), None).unwrap().unwrap();
    outcomes.into_iter().map(|outcome| (outcome.path, outcome.fate)).collect()
}

#[test]
fn committed_files_are_verified_and_lost_ones_restored() {
    let world = world();
    let before = world.memory.objects();
    for number in [1, 2] {
        assert!(replay(&world, number).iter().all(|(_, fate)| *fate == Fate::Verified));
    }
    let lost = world.manifests()[0].files[1].path.clone();
    world.memory.remove(&lost);
    let fates = replay(&world, 1);
    assert_eq!(fates.iter().filter(|(_, fate)| *fate == Fate::Restored).count(), 1);
    assert!(fates.contains(&(lost, Fate::Restored)));
    assert_eq!(world.memory.objects(), before);
}

#[test]
fn damage_in_the_lake_is_told_and_left() {
    let world = world();
    let path = world.manifests()[1].files[0].path.clone();
    world.memory.replace(&path, Bytes::from_static(b"other"));
    let fates = replay(&world, 2);
    assert!(fates.contains(&(path.clone(), Fate::Damaged)));
    assert_eq!(world.memory.objects()[&path], "other");
}

#[test]
fn files_are_written_elsewhere_under_their_names() {
    let world = world();
    let out = tempfile::tempdir().unwrap();
    let mut replay = Replay::new(world.services(), world.folder.path().join("replay")).unwrap();
    let writer = Part::new(world.log.writer_id()).unwrap();
    let outcomes = replay.batch(&writer, Number(1), Some(out.path())).unwrap().unwrap();
    assert!(outcomes.iter().all(|outcome| outcome.fate == Fate::Written));
    for outcome in outcomes {
        let written = std::fs::read(out.path().join(&outcome.path)).unwrap();
        assert_eq!(written, world.memory.objects()[&outcome.path]);
    }
    assert!(replay.batch(&writer, Number(3), None).unwrap().is_none());
}

#[test]
fn a_journal_that_does_not_reach_back_says_so() {
    let mut world = World::new();
    world.settings = Some(Settings::default());
    for key in 0..600 {
        let text = format!(r#"{{"type":"track","event":"e","properties":{{"n":{key}}}}}"#);
        world.send(&mapped::event(1_000 + key, &text));
    }
    drain(&mut world.loader()).unwrap();
    world.care();
    let mut replay = Replay::new(world.services(), world.folder.path().join("replay")).unwrap();
    let writer = Part::new(world.log.writer_id()).unwrap();
    let error = replay.batch(&writer, Number(1), None).unwrap_err();
    assert!(matches!(error, Error::Journal(_)), "{}", error.chain());
}
