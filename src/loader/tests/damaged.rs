//! A record is damaged after its batch was planned, and the process dies before the commit.

use super::world::{World, drain, try_drain};
use crate::journal::Journal;
use crate::loader::replay::Replay;
use crate::loader::{Error, Remedy};
use crate::storage::keys::{Number, Part};
use crate::storage::memory::Fault;

/// Events for two tables.
fn fill() -> World {
    let mut world = World::new();
    world.events(1..12, "signup");
    world.events(12..20, "login");
    world
}

/// What of a batch was in the lake when its process died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Left {
    plan: bool,
    files: usize,
    manifest: bool,
}

/// A world whose process dies after so many operations on the lake, or comes to an end.
fn dead_after(operations: u64) -> (World, Left) {
    let mut world = fill();
    world.faulty.go_down(operations, Fault::Refuse);
    drop(try_drain(&mut world.loader()));
    world.faulty.mend();
    let objects = world.memory.objects();
    let left = Left {
        plan: objects.keys().any(|key| key.contains("/plans/")),
        files: objects.keys().filter(|key| !key.starts_with("_keelrow")).count(),
        manifest: objects.keys().any(|key| key.contains("/batches/")),
    };
    // The record of the seventh event, whose group was not the last.
    for path in world.disk.paths() {
        let bytes = world.disk.bytes(&path).unwrap();
        if let Some(at) = memchr::memmem::find(&bytes, br#""id":"m7""#) {
            world.disk.flip(&path, at, 1);
        }
    }
    world.restart_journal();
    (world, left)
}

/// All that a process can leave of a batch.
fn all() -> impl Iterator<Item = (World, Left)> {
    (0..100).map(dead_after).take_while(|(_, left)| !left.manifest)
}

#[test]
fn a_batch_of_which_nothing_was_seen_is_cut_anew() {
    let mut tried = 0;
    for (world, left) in all().filter(|(_, left)| left.plan && left.files == 0) {
        tried += 1;
        drain(&mut world.loader()).unwrap();
        let manifests = world.manifests();
        assert_eq!(manifests.len(), 2);
        let (empty, batch) = (&manifests[0], &manifests[1]);
        assert_eq!((empty.journal.from, empty.journal.to, empty.files.len()), (0, 0, 0));
        assert_eq!((batch.events.received, batch.events.damaged, batch.events.loaded), (19, 1, 18));
        let rows = world.rows();
        assert!(rows.values().all(|times| *times == 1));
        assert_eq!(rows.len(), 18, "{left:?}");
        assert!(!rows.contains_key(&("signup".to_owned(), "m7".to_owned())));
        world.assert_no_orphans();
        // Also where the next start knows nothing of what was before, repeats are told.
        std::fs::remove_dir_all(world.folder.path().join("load")).unwrap();
        let mut world = world;
        world.events(1..7, "signup");
        drain(&mut world.loader()).unwrap();
        assert_eq!(world.manifests()[2].events.duplicate, 6);
        let mut replay = Replay::new(world.services(), world.folder.path().join("again")).unwrap();
        let writer = Part::new(world.log.writer_id()).unwrap();
        assert_eq!(replay.batch(&writer, Number(1), None).unwrap(), Some(Vec::new()));
    }
    assert!(tried > 0);
}

#[test]
fn a_batch_of_which_a_file_was_seen_stops_the_loader() {
    let mut tried = 0;
    for (world, _) in all().filter(|(_, left)| left.files > 0) {
        tried += 1;
        let before = world.memory.objects();
        let error = drain(&mut world.loader()).unwrap_err();
        assert!(matches!(error, Error::Plan { number: 1, .. }), "{}", error.chain());
        assert_eq!(error.remedy(), Remedy::Stop);
        assert_eq!(world.memory.objects(), before);
    }
    assert!(tried > 0);
}
