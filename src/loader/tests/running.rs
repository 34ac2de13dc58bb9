//! The loader on its thread.

use std::sync::Arc;
use std::time::Duration;

use super::world::{World, drain};
use crate::loader::{Options, dedup, spawn};
use crate::storage::memory::Fault;

const LONG: Duration = Duration::from_secs(30);

fn options(world: &World) -> Options {
    Options {
        folder: world.folder.path().join("load"),
        dialect: "datalake".into(),
        limits: world.limits,
        dedup: dedup::Options::default(),
    }
}

#[test]
fn a_flush_commits_what_is_there_and_a_shutdown_what_came_after() {
    let mut world = World::new();
    let (handle, thread) = spawn(options(&world), world.services()).unwrap();
    world.events(1..10, "a");
    assert!(handle.flush(LONG));
    assert_eq!(handle.lag_records(), Some(0));
    let status = handle.status();
    assert_eq!((status.batches, status.report.unwrap().books["web_prod"].loaded), (1, 9));
    world.events(10..12, "a");
    assert_eq!(handle.lag_records(), Some(2));
    assert!(handle.shutdown(LONG));
    thread.join().unwrap();
    assert_eq!(world.manifests().len(), 2);
}

#[test]
fn a_shutdown_commits_what_came_while_a_batch_was_written() {
    let mut world = World::new();
    world.limits.max_bytes = 1;
    world.events(1..6, "a");
    let (handle, thread) = spawn(options(&world), world.services()).unwrap();
    assert!(handle.shutdown(LONG));
    thread.join().unwrap();
    assert_eq!(handle.lag_records(), Some(0));
    assert!(world.manifests().len() > 1, "one batch is no test");
}

#[test]
fn an_outage_is_told_and_does_not_hold_up_a_shutdown() {
    let mut world = World::new();
    world.faulty.go_down(0, Fault::Refuse);
    let (handle, thread) = spawn(options(&world), world.services()).unwrap();
    world.events(1..10, "a");
    assert!(!handle.flush(Duration::from_millis(20)));
    let told = |status: &crate::loader::Status| status.trouble.is_some();
    let shared = std::iter::repeat_with(|| handle.status());
    assert!(shared.into_iter().any(|status| told(&status)));
    assert!(handle.shutdown(LONG));
    thread.join().unwrap();
    assert!(world.manifests().is_empty());
}

#[test]
fn a_loader_that_must_stop_says_why_and_waits_for_nobody() {
    let mut world = World::new();
    world.memory.replace("_keelrow/lake.json", r#"{"format":1,"dialect":"snowflake"}"#.into());
    let (handle, thread) = spawn(options(&world), world.services()).unwrap();
    world.events(1..10, "a");
    assert!(!handle.flush(LONG));
    thread.join().unwrap();
    let status = handle.status();
    assert!(status.ended && status.stopped.is_some_and(|why| why.contains("snowflake")));
    assert_eq!((status.report, handle.lag_records()), (None, Some(9)), "nothing is loaded");
    assert!(handle.shutdown(LONG));
    assert_eq!(Arc::strong_count(&world.memory), 2);
}

#[test]
fn a_loader_that_stops_at_the_start_stands_where_it_noted_to_stand() {
    let mut world = World::new();
    world.events(1..10, "a");
    drain(&mut world.loader()).unwrap();
    world.events(10..13, "a");
    let manifest = world.memory.objects().into_keys().find(|key| key.contains("/batches/"));
    world.memory.remove(&manifest.unwrap());
    let (handle, thread) = spawn(options(&world), world.services()).unwrap();
    assert!(!handle.wait_recovered(LONG));
    thread.join().unwrap();
    assert!(handle.status().stopped.is_some_and(|why| why.contains("has no batch 1")));
    let standing = handle.standing().unwrap();
    assert_eq!((standing.committed_to, standing.books["web_prod"].loaded), (9, 9));
    assert_eq!(handle.lag_records(), Some(3));
}
