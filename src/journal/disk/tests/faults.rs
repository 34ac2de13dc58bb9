use super::super::super::{Health, Space};
use super::super::memory::Faults;
use super::*;

#[test]
fn a_failed_sync_poisons_until_restart() {
    let mut bed = Bed::new();
    bed.append_texts(&["a"]).unwrap();
    bed.disk.set_faults(Faults { syncs_fail: true, ..Faults::default() });
    let queued = bed.log().append(group(&["b"]));
    let error = bed.append_texts(&["c"]).unwrap_err();
    assert!(matches!(error, Error::Poisoned { action: "sync a segment", .. }), "{error}");
    assert!(outcome(queued).is_err());
    bed.disk.set_faults(Faults::default());
    assert!(matches!(bed.append_texts(&["d"]).unwrap_err(), Error::Poisoned { .. }));
    assert!(matches!(bed.log().state().health, Health::Poisoned { .. }));
    assert_eq!(bed.read(0), [text(0, "a")], "reading goes on");
    bed.kill();
    bed.open().unwrap();
    let end = bed.log().state().durable.get();
    assert_eq!(bed.append_texts(&["e"]).unwrap(), end..end + 1);
    assert_eq!(bed.read(0).first(), Some(&text(0, "a")));
    assert_eq!(bed.read(end), [text(end, "e")]);
}

#[test]
fn a_broken_write_poisons() {
    for stop in [0, 1024, 4096] {
        let mut bed = Bed::new();
        bed.append_texts(&["a"]).unwrap();
        let faults = Faults { writes_stop_after: Some(stop), ..Faults::default() };
        bed.disk.set_faults(faults);
        let error = bed.append_texts(&["b".repeat(7000).as_str()]).unwrap_err();
        assert!(matches!(error, Error::Poisoned { action: "write a segment", .. }), "{error}");
        bed.disk.set_faults(Faults::default());
        bed.kill();
        bed.open().unwrap();
        assert_eq!(bed.read(0), [text(0, "a")]);
        assert_eq!(bed.append_texts(&["c"]).unwrap(), 1..2);
        bed.reopen();
        assert_eq!(bed.read(0), [text(0, "a"), text(1, "c")]);
    }
}

#[test]
fn a_full_disk_refuses_until_space_comes_back() {
    let mut bed = Bed::new();
    let space_bytes = Some(bed.disk.used_bytes() + bed.options.segment_bytes + 5000);
    bed.disk.set_faults(Faults { space_bytes, ..Faults::default() });
    let long = "x".repeat(2900);
    let mut taken = 0;
    let error = loop {
        match bed.append_texts(&[&long]) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Full { space: Space::Disk, .. }), "{error}");
    assert_eq!(taken, 6, "two segments fitted");
    assert_eq!(bed.log().state().health, Health::Full(Space::Disk));
    assert!(bed.disk.paths().iter().all(|path| path.extension().is_none()), "no half-made file");
    bed.stepper().care();
    assert!(matches!(bed.append_texts(&["a"]).unwrap_err(), Error::Full { .. }));
    bed.disk.set_faults(Faults::default());
    bed.stepper().care();
    assert_eq!(bed.log().state().health, Health::Accepting);
    assert_eq!(bed.append_texts(&[&long]).unwrap(), 6..7);
    assert_eq!(bed.read(0).len(), 7);
}

#[test]
fn a_full_disk_takes_what_trimming_gives_back() {
    let mut bed = Bed::new();
    let space_bytes = Some(bed.disk.used_bytes() + bed.options.segment_bytes);
    bed.disk.set_faults(Faults { space_bytes, ..Faults::default() });
    let long = "x".repeat(2900);
    while bed.append_texts(&[&long]).is_ok() {}
    bed.log().trim(Position::new(3));
    bed.stepper().care();
    assert_eq!(bed.log().state().health, Health::Accepting);
    assert_eq!(bed.append_texts(&[&long]).unwrap(), 6..7);
}

#[test]
fn a_journal_opens_on_a_full_disk() {
    let mut bed = Bed::new();
    let long = "x".repeat(2900);
    for _ in 0..5 {
        bed.append_texts(&[&long]).unwrap();
    }
    bed.kill();
    bed.disk.set_faults(Faults { space_bytes: Some(0), ..Faults::default() });
    bed.open().unwrap();
    assert_eq!(bed.read(0).len(), 5);
    assert!(matches!(bed.append_texts(&["a"]).unwrap_err(), Error::Full { .. }));
    bed.disk.set_faults(Faults::default());
    bed.stepper().care();
    assert_eq!(bed.append_texts(&["a"]).unwrap(), 5..6);
    bed.reopen();
    assert_eq!(bed.read(0).len(), 6);
}

#[test]
fn a_failed_read_loses_nothing() {
    let mut bed = Bed::new();
    bed.append_texts(&["a", "b"]).unwrap();
    let mut reader = bed.log().reader(Position::ZERO).unwrap();
    bed.disk.set_faults(Faults { reads_fail: true, ..Faults::default() });
    assert!(matches!(reader.next().unwrap_err(), Error::Io { .. }));
    bed.disk.set_faults(Faults::default());
    for payload in [b"a", b"b"] {
        let Some(Item::Frame(frame)) = reader.next().unwrap() else { panic!("no frame") };
        assert_eq!(frame.payload, payload);
    }
    assert_eq!(reader.next().unwrap(), None);
}
