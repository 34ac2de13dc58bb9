//! The formats of the lake: what was written once is read for ever, and what is written is what
//! the documents in `proto/` say.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::world::{World, drain};
use super::{files, mapped};
use crate::clock::Timestamp;
use crate::columnar::Schema;
use crate::loader::plan::Plan;
use crate::loader::{Settings, dedup};
use crate::storage::keys::{Key, Number};
use crate::storage::manifest::{Manifest, checksum};
use crate::storage::registry::Registry;
use crate::storage::{Folder, Options, Store, lake};

fn golden() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/golden/formats/v1"].iter().collect()
}

/// A lake with two batches, and the entries of repeats beside their journal.
fn fresh() -> World {
    let mut world = World::new();
    world.settings = Some(Settings::default());
    mapped::fill(&mut world);
    world.tally(3, 1);
    drain(&mut world.loader()).unwrap();
    world.send(&mapped::event(
        200,
        r#"{"type":"track","event":"Order Completed","properties":{"new":true}}"#,
    ));
    drain(&mut world.loader()).unwrap();
    world
}

/// Writes the golden files anew, where a format changes by addition.
#[test]
fn golden_files_are_there() {
    let lake = golden().join("lake");
    if std::env::var_os("KEELROW_GOLDEN").is_some() {
        let world = fresh();
        for (key, bytes) in world.memory.objects() {
            let path = lake.join(key);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let entries = world.folder.path().join("load/dedup");
        fs::create_dir_all(golden().join("dedup")).unwrap();
        for entry in fs::read_dir(entries).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, golden().join("dedup").join(path.file_name().unwrap())).unwrap();
        }
    }
    assert!(lake.join("_keelrow/lake.json").is_file());
}

/// The golden lake, copied: opening one makes a folder in it.
fn golden_lake(to: &tempfile::TempDir) -> Store {
    for (path, bytes) in files(&golden().join("lake")) {
        let copy = to.path().join(path);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::write(copy, bytes).unwrap();
    }
    Store::new(std::sync::Arc::new(Folder::open(to.path()).unwrap()), Options::default())
}

#[test]
fn old_formats_open() {
    let folder = tempfile::tempdir().unwrap();
    let store = golden_lake(&folder);
    lake::claim_dialect(&store, "datalake").unwrap();
    let registry = Registry::new(store.clone());
    let mut previous = None;
    let mut batches = 0;
    for key in store.list(&crate::storage::keys::Prefix::Manifests).unwrap() {
        let Key::Manifest(writer, number) = &key else { panic!("{key}") };
        let (manifest, bytes) = Manifest::read(&store, writer, *number).unwrap().unwrap();
        assert_eq!(manifest.previous, previous);
        assert!(manifest.events.balance() && manifest.events.loaded > 0);
        previous = Some(checksum(&bytes));
        let key = Key::Plan(writer.clone(), *number);
        let plan = store.get(&key).unwrap().unwrap();
        assert_eq!(manifest.plan, checksum(&plan));
        let plan = Plan::from_bytes(&key, &plan).unwrap();
        serde_json::from_value::<Settings>(plan.settings).unwrap();
        for (file, part) in manifest.files.iter().zip(&plan.parts) {
            assert_eq!(file.path, part.path);
            let Some(Key::Data(key)) = Key::parse(&file.path) else { panic!("{}", file.path) };
            let schema = registry.version(&key.folder, file.schema_version).unwrap();
            assert!(!schema.columns.is_empty());
            let bytes = store.get(&Key::Data(key)).unwrap().unwrap();
            let (footer, groups) = crate::columnar::read_footer(&bytes).unwrap();
            assert_eq!((footer.batch, &groups), (number.0, &part.row_groups));
        }
        batches += 1;
    }
    assert_eq!(batches, 2);
}

#[test]
fn old_entries_of_repeats_open() {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(golden().join("dedup")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let path = folder.path().to_owned();
    let dedup = dedup::Dedup::open(
        path,
        dedup::Options::default(),
        Some(Number(2)),
        Timestamp::from_micros(i64::MAX),
    )
    .unwrap();
    assert_eq!(dedup.keys(), 35);
}

/// What a document of `proto/` asks of a value: types, required keys, no key it does not name.
fn check(schema: &Value, root: &Value, value: &Value, at: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let definition = root.pointer(reference.strip_prefix('#').unwrap()).unwrap();
        return check(definition, root, value, at);
    }
    let is = |kind: &Value| match kind.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_u64(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        other => panic!("{at}: type {other:?}"),
    };
    match &schema["type"] {
        Value::Null => {}
        Value::Array(kinds) => assert!(kinds.iter().any(is), "{at}: {value}"),
        kind => assert!(is(kind), "{at}: {value}"),
    }
    if let Some(choices) = schema["enum"].as_array() {
        assert!(choices.contains(value), "{at}: {value}");
    }
    if let Some(constant) = schema.get("const") {
        assert_eq!(value, constant, "{at}");
    }
    if let Some(minimum) = schema["minimum"].as_u64() {
        assert!(value.as_u64() >= Some(minimum), "{at}: {value}");
    }
    for item in value.as_array().into_iter().flatten() {
        check(&schema["items"], root, item, at);
    }
    let Some(object) = value.as_object() else { return };
    for key in schema["required"].as_array().into_iter().flatten() {
        assert!(object.contains_key(key.as_str().unwrap()), "{at}: {key} is missing");
    }
    for (key, member) in object {
        let at = format!("{at}.{key}");
        match (schema["properties"].get(key), schema.get("additionalProperties")) {
            (Some(schema), _) | (None, Some(schema)) => check(schema, root, member, &at),
            // An object of which the document says no more.
            (None, None) if schema.get("properties").is_none() => {}
            (None, None) => panic!("{at} is not in the document"),
        }
    }
}

#[test]
fn what_is_written_is_what_the_documents_say() {
    let document = |name: &str| -> Value {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("proto").join(name);
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    };
    let documents = [
        document("plan.schema.json"),
        document("manifest.schema.json"),
        document("schema-version.schema.json"),
    ];
    let mut checked = BTreeMap::<usize, u32>::new();
    for (key, bytes) in fresh().memory.objects() {
        let which = match Key::parse(&key) {
            Some(Key::Plan(..)) => 0,
            Some(Key::Manifest(..)) => 1,
            Some(Key::Schema(..)) => {
                serde_json::from_slice::<Schema>(&bytes).unwrap();
                2
            }
            _ => continue,
        };
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        check(&documents[which], &documents[which], &value, &key);
        *checked.entry(which).or_default() += 1;
    }
    assert!(checked.len() == 3 && checked.values().all(|times| *times > 1), "{checked:?}");
}
