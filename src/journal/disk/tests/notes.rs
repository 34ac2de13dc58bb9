//! Damage to the small files beside the segments, at every byte.

use super::super::super::Health;
use super::super::inspect::verify;
use super::*;

fn journal() -> (Bed, Vec<Got>) {
    let mut bed = Bed::new();
    bed.append_texts(&["a", "b"]).unwrap();
    bed.append_texts(&["c"]).unwrap();
    bed.close();
    let wanted = vec![text(0, "a"), text(1, "b"), text(2, "c")];
    (bed, wanted)
}

/// A journal like `bed` with other bytes in one of its files; with `None` without the file.
fn with(bed: &Bed, path: &Path, bytes: Option<&[u8]>) -> Bed {
    let disk = Disk::new();
    for other in bed.disk.paths().iter().filter(|other| *other != path) {
        disk.put(other, &bed.disk.bytes(other).unwrap());
    }
    if let Some(bytes) = bytes {
        disk.put(path, bytes);
    }
    Bed { disk, clock: Arc::clone(&bed.clock), options: bed.options.clone(), open: None }
}

#[test]
fn a_flip_of_any_byte_of_the_mark_loses_nothing() {
    let (bed, wanted) = journal();
    let mark = Path::new("/journal/mark");
    let good = bed.disk.bytes(mark).unwrap();
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 0x04;
        for bytes in [&bytes[..], &good[..at]] {
            let mut damaged = with(&bed, mark, Some(bytes));
            damaged.open().unwrap();
            assert_eq!(damaged.read(0), wanted, "byte {at}");
            assert_eq!(damaged.append_texts(&["d"]).unwrap(), 3..4);
        }
    }
    let mut damaged = with(&bed, mark, None);
    damaged.open().unwrap();
    assert_eq!(damaged.read(0), wanted);
}

#[test]
fn a_flip_of_any_byte_of_the_writer_gives_no_other_name() {
    let (bed, _) = journal();
    let writer = Path::new("/journal/writer");
    let good = bed.disk.bytes(writer).unwrap();
    assert_eq!(good.len(), "node-00000001\ncrc32c:00000000\n".len());
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << bit;
            let mut damaged = with(&bed, writer, Some(&bytes));
            let error = damaged.open().unwrap_err();
            assert!(matches!(error, Error::WriterId { .. }), "byte {at}: {error}");
            let report = verify(&damaged.disk, Path::new("/journal")).unwrap();
            assert!(report.is_writer_lost && report.records() == 3, "byte {at}");
        }
        let mut cut = with(&bed, writer, Some(&good[..at]));
        // Cut behind its first line it is as the first programs wrote it.
        match cut.open() {
            Ok(()) => assert_eq!(cut.log().writer_id(), "node-00000001", "cut at {at}"),
            Err(error) => assert!(matches!(error, Error::WriterId { .. }), "cut at {at}: {error}"),
        }
    }
}

#[test]
fn a_journal_with_records_gets_no_new_name() {
    let (bed, wanted) = journal();
    let writer = Path::new("/journal/writer");
    let mut nameless = with(&bed, writer, None);
    assert!(matches!(nameless.open().unwrap_err(), Error::WriterId { .. }));
    assert!(verify(&nameless.disk, Path::new("/journal")).unwrap().is_writer_lost);
    // A person knows it from the lake.
    nameless.disk.put(writer, b"node-00000001\n");
    nameless.open().unwrap();
    assert_eq!(nameless.read(0), wanted);
    assert_eq!(nameless.log().state().health, Health::Accepting);
}
