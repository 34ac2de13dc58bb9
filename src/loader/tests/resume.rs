//! A process of today goes on where one of the first format stopped: with a planned batch that has
//! no manifest, on a journal whose segments were used again.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::world::{World, drain};
use super::{files, mapped};
use crate::journal::disk::memory::Disk;
use crate::loader::plan::Plan;
use crate::loader::{Error, MAPPING_VERSION, Settings};
use crate::storage::keys::Key;
use crate::storage::manifest::Manifest;

fn golden() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/golden/formats/v1/stopped"].iter().collect()
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn send(world: &mut World, keys: std::ops::Range<u64>) {
    for key in keys {
        let text = format!(r#"{{"type":"track","event":"Opened","properties":{{"n":{key}}}}}"#);
        world.send(&mapped::event(key, &text));
    }
}

/// Makes the golden files: a lake, a journal and the loader's folder as they are after the plan of
/// the second batch.
fn make() {
    let mut world = World::new();
    world.settings = Some(Settings::default());
    for keys in [1..20, 20..40] {
        send(&mut world, keys);
        world.care();
    }
    drain(&mut world.loader()).unwrap();
    // What was given up is used again for what comes now, and not filled.
    world.care();
    send(&mut world, 40..45);
    world.care();
    send(&mut world, 38..70);
    world.care();
    world.tally(2, 1);
    let load = files(&world.folder.path().join("load"));
    drain(&mut world.loader()).unwrap();
    let manifests = world.manifests();
    assert_eq!(manifests.len(), 2);
    let second = &manifests[1];
    for (key, bytes) in world.memory.objects() {
        let is_late = second.files.iter().any(|file| file.path == key);
        let is_manifest = key.contains("/batches/") && key.ends_with("2.json");
        if is_manifest {
            write(&golden().join("committed.json"), &bytes);
        } else if !is_late {
            write(&golden().join("lake").join(key), &bytes);
        }
    }
    for path in world.disk.paths().iter().filter(|path| path.parent() == Some("/journal".as_ref()))
    {
        let to = golden().join("journal").join(path.file_name().unwrap());
        write(&to, &world.disk.bytes(path).unwrap());
    }
    for (path, bytes) in load {
        write(&golden().join("load").join(path), &bytes);
    }
}

/// Frames in a segment that an earlier use of the file left.
fn remains(segment: &[u8]) -> usize {
    let identity = &segment[24..32];
    let magic = |at: &usize| segment[*at..].starts_with(b"KRf1");
    let frames = (4_096..segment.len() - 48).step_by(4_096).filter(magic);
    frames.filter(|at| &segment[at + 32..at + 40] != identity).count()
}

/// A world on the golden files.
fn world() -> World {
    let mut world = World::new();
    world.settings = Some(Settings::default());
    for (path, bytes) in files(&golden().join("lake")) {
        world.memory.replace(path.to_str().unwrap(), Bytes::from(bytes));
    }
    world.disk = Disk::new();
    let mut used_again = 0;
    for (path, bytes) in files(&golden().join("journal")) {
        if path.to_str().unwrap().starts_with("segment-") {
            used_again += remains(&bytes);
        }
        world.disk.put(&Path::new("/journal").join(path), &bytes);
    }
    assert!(used_again > 0, "no segment was used again");
    for (path, bytes) in files(&golden().join("load")) {
        write(&world.folder.path().join("load").join(path), &bytes);
    }
    world.restart_journal();
    world
}

#[test]
fn old_formats_open_and_a_planned_batch_is_finished() {
    if std::env::var_os("KEELROW_GOLDEN").is_some() {
        make();
    }
    let world = world();
    let objects = world.memory.objects();
    let planned = objects.keys().rfind(|key| key.contains("/plans/")).unwrap();
    let key = Key::parse(planned).unwrap();
    let plan = Plan::from_bytes(&key, &objects[planned]).unwrap();
    let mut loader = world.loader();
    let drained = drain(&mut loader);
    if plan.mapping != MAPPING_VERSION {
        // It is read, and says who must finish it.
        let is_told =
            matches!(drained, Err(Error::MappingVersion { found, .. }) if found == plan.mapping);
        assert!(is_told, "{drained:?}");
        return;
    }
    drained.unwrap();
    let manifests = world.manifests();
    assert_eq!(manifests.len(), 2);
    let bytes = fs::read(golden().join("committed.json")).unwrap();
    let Some(Key::Plan(writer, number)) = Key::parse(planned) else { panic!("{planned}") };
    let was = Manifest::from_bytes(&Key::Manifest(writer, number), &bytes).unwrap();
    let told = |manifest: &Manifest| -> Vec<(String, u64, u64)> {
        let file = |file: &crate::storage::manifest::File| {
            (file.path.clone(), file.rows, file.schema_version)
        };
        manifest.files.iter().map(file).collect()
    };
    assert_eq!(told(&manifests[1]), told(&was));
    assert_eq!(manifests[1].sources, was.sources);
    assert_eq!((was.events.duplicate, was.events.dropped), (7, 2));
    assert!(world.rows().values().all(|times| *times == 1));
    // The books of both batches, from the note and the manifest.
    assert_eq!(loader.report().unwrap().books["web_prod"].loaded, 69);
    world.assert_no_orphans();
}
