use std::ops::ControlFlow;

use super::super::files::{Files as _, Open};
use super::super::inspect::{Standing, dump, verify};
use super::*;

fn journal() -> Bed {
    let mut bed = Bed::new();
    for round in 0..5 {
        bed.append_texts(&["x".repeat(2000).as_str(), &format!("short {round}")]).unwrap();
    }
    bed.stepper().idle().unwrap();
    bed
}

fn folder() -> &'static Path {
    Path::new("/journal")
}

#[test]
fn verify_counts_what_is_there_beside_the_program() {
    let bed = journal();
    let before: Vec<_> = bed.disk.paths();
    let report = verify(&bed.disk, folder()).unwrap();
    assert_eq!(report.writer_id.as_deref(), Some(bed.log().writer_id()));
    assert_eq!((report.first, report.end), (Position::ZERO, Position::new(10)));
    assert_eq!(report.proven, Position::new(10));
    assert_eq!((report.records(), report.damaged_records()), (10, 0));
    let events: u64 = report.segments.iter().map(|segment| segment.events).sum();
    assert_eq!(events, 20);
    assert_eq!(bed.disk.paths(), before, "nothing was changed");
}

#[test]
fn verify_names_what_is_lost() {
    let bed = journal();
    let path = bed.segments()[0].clone();
    let bytes = bed.disk.bytes(&path).unwrap();
    let at = bytes.windows(7).position(|bytes| bytes == b"short 1").unwrap();
    let file = bed.disk.open(&path, Open::Segment).unwrap();
    file.write_at(b"S", at as u64).unwrap();
    let report = verify(&bed.disk, folder()).unwrap();
    assert_eq!((report.records(), report.damaged_records()), (9, 1));
    let (damaged, bytes) = &report.segments[0].damaged[0];
    assert_eq!(Got::Damaged(damaged.clone()), lost(3..4, Some("web"), 2));
    assert!(bytes.contains(&(at as u64)));
}

#[test]
fn dump_shows_records_from_a_place_until_told_to_stop() {
    let bed = journal();
    let mut shown = Vec::new();
    dump(&bed.disk, folder(), Position::new(3), |item, standing| {
        assert_eq!(standing, Standing::Durable);
        let Item::Frame(frame) = item else { panic!("{item:?}") };
        shown.push(frame.position.get());
        if shown.len() == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .unwrap();
    assert_eq!(shown, [3, 4, 5, 6, 7]);
    let error = dump(&bed.disk, folder(), Position::new(11), |_, _| ControlFlow::Continue(()));
    assert!(matches!(error.unwrap_err(), Error::Ahead { .. }));
}

#[test]
fn a_folder_that_was_never_a_journal_is_empty() {
    let report = verify(&Disk::new(), folder()).unwrap();
    assert_eq!((report.writer_id, report.end), (None, Position::ZERO));
    assert!(report.segments.is_empty());
}
