use std::time::Duration;

use super::super::super::{Health, Space};
use super::super::memory::Faults;
use super::super::tries::Care;
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
    // Before anyone asks to append, for a probe that only looks.
    assert_eq!(bed.log().state().health, Health::Full(Space::Disk));
    assert!(matches!(bed.append_texts(&["a"]).unwrap_err(), Error::Full { .. }));
    bed.disk.set_faults(Faults::default());
    bed.stepper().care();
    assert_eq!(bed.append_texts(&["a"]).unwrap(), 5..6);
    bed.reopen();
    assert_eq!(bed.read(0).len(), 6);
}

#[test]
fn a_write_without_space_costs_only_its_groups() {
    let long = "x".repeat(6000);
    for fresh in [false, true] {
        for bytes in [0, 512, 4096, 4608] {
            let mut bed = Bed::new();
            bed.append_texts(&["a"]).unwrap();
            if fresh {
                // The next group begins a segment, which is prepared already.
                bed.append_texts(&[&long]).unwrap();
                bed.stepper().care();
            }
            let end = bed.log().state().durable.get();
            let no_space_after = Some(bytes);
            bed.disk.set_faults(Faults { no_space_after, ..Faults::default() });
            let error = bed.append_texts(&["b", &long]).unwrap_err();
            assert!(matches!(error, Error::Full { space: Space::Disk, .. }), "{error}");
            assert_eq!(bed.log().state().health, Health::Full(Space::Disk));
            bed.disk.set_faults(Faults::default());
            bed.stepper().care();
            assert_eq!(bed.log().state().health, Health::Accepting);
            for at in end..end + 6 {
                assert_eq!(bed.append_texts(&["c"]).unwrap(), at..at + 1);
            }
            let wanted: Vec<_> = (end..end + 6).map(|at| text(at, "c")).collect();
            assert_eq!(bed.read(end), wanted, "after {bytes} bytes");
            bed.kill();
            bed.open().unwrap();
            assert_eq!(bed.read(end), wanted, "after {bytes} bytes and a restart");
            assert_eq!(bed.read(0).len() as u64, end + 6);
        }
    }
}

#[test]
fn a_refused_group_does_not_come_back() {
    let mut bed = Bed::new();
    bed.append_texts(&["a"]).unwrap();
    bed.stepper().care();
    // The second record of the refused group lies whole in the second block.
    bed.disk.set_faults(Faults { no_space_after: Some(3 * 4096), ..Faults::default() });
    let (first, last) = ("x".repeat(4200), "y".repeat(5000));
    bed.append_texts(&[&first, "refused", &last]).unwrap_err();
    bed.disk.set_faults(Faults::default());
    assert_eq!(bed.append_texts(&["b"]).unwrap(), 1..2);
    bed.kill();
    bed.open().unwrap();
    assert_eq!(bed.read(0), [text(0, "a"), text(1, "b")]);
}

#[test]
fn a_torn_first_run_without_its_header_leaves_nothing_behind() {
    // Which sectors survive is drawn; all draws must give the same records.
    for seed in 0..60_u64 {
        let mut bed = Bed::new();
        for _ in 0..3 {
            bed.append_texts(&["a"]).unwrap();
        }
        bed.stepper().care();
        bed.disk.set_faults(Faults { syncs_fail: true, ..Faults::default() });
        bed.append_texts(&["x".repeat(1900).as_str(), "torn"]).unwrap_err();
        bed.disk.set_faults(Faults::default());
        bed.kill();
        let mut draw = seed;
        bed.disk.lose_power(|| {
            draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
            draw >> 63 == 1
        });
        bed.open().unwrap();
        let end = bed.log().state().durable.get();
        assert!(end >= 3, "seed {seed}");
        assert_eq!(bed.log().state().damaged_records, 0, "seed {seed}");
        // The file is used again and prepared, with the torn frames still in it.
        for at in end..end + 8 {
            bed.stepper().care();
            assert_eq!(bed.append_texts(&["b"]).unwrap(), at..at + 1, "seed {seed}");
            bed.kill();
            bed.open().unwrap();
            assert_eq!(bed.log().state().durable.get(), at + 1, "seed {seed}");
            assert_eq!(bed.read(at), [text(at, "b")], "seed {seed}");
        }
        let got = bed.read(0);
        assert!(got.iter().all(|got| matches!(got, Got::Frame { .. })), "seed {seed}: {got:?}");
    }
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

#[test]
fn what_no_start_finds_again_is_not_acknowledged() {
    let mut bed = Bed::new();
    bed.append_texts(&["a"]).unwrap();
    let path = bed.segments()[0].clone();
    let kept = bed.disk.bytes(&path).unwrap();
    bed.disk.remove(&path).unwrap();
    let queued = bed.log().append(group(&["b"]));
    let error = bed.append_texts(&["c"]).unwrap_err();
    assert!(matches!(&error, Error::Gone { path: gone } if *gone == path), "{error}");
    assert!(matches!(outcome(queued), Err(Error::Gone { .. })));
    assert_eq!(bed.log().state().health, Health::Gone);
    assert_eq!(bed.read(0), [text(0, "a")], "what was acknowledged is still read");
    // Another file under its name is not it, nor is anything there cared for.
    bed.disk.put(&path, &kept);
    let paths = bed.disk.paths();
    bed.log().trim(Position::new(1));
    bed.stepper().care();
    assert_eq!(bed.disk.paths(), paths);
    assert!(matches!(bed.append_texts(&["d"]).unwrap_err(), Error::Gone { .. }));
    bed.kill();
    bed.open().unwrap();
    assert_eq!(bed.read(0), [text(0, "a")]);
    assert_eq!(bed.append_texts(&["e"]).unwrap(), 1..2);
}

#[test]
fn the_keeper_notices_what_is_gone_while_nothing_is_written() {
    let mut bed = Bed::new();
    bed.append_texts(&["a"]).unwrap();
    bed.stepper().care();
    assert_eq!(bed.log().state().health, Health::Accepting);
    for path in bed.segments() {
        bed.disk.remove(&path).unwrap();
    }
    bed.stepper().care();
    assert_eq!(bed.log().state().health, Health::Gone);
    assert_eq!(bed.segments(), [] as [PathBuf; 0], "nothing is prepared where it was");
    assert!(matches!(bed.append_texts(&["b"]).unwrap_err(), Error::Gone { .. }));
}

#[test]
fn a_keeper_that_keeps_failing_tells_each_failure_once_and_tries_ever_less_often() {
    let mut bed = Bed::new();
    let long = "x".repeat(2900);
    for _ in 0..8 {
        bed.append_texts(&[&long]).unwrap();
    }
    bed.log().trim(Position::new(4));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let file = Arc::new(std::fs::File::create(&path).unwrap());
    let subscriber = tracing_subscriber::fmt().with_writer(file).with_ansi(false).finish();
    let told = || std::fs::read_to_string(&path).unwrap();
    let mut care = Care::default();
    let mut rounds = |bed: &mut Bed, count: u32| {
        for _ in 0..count {
            bed.stepper().care_again(&mut care);
            bed.clock.advance(Duration::from_secs(1));
        }
    };
    tracing::subscriber::with_default(subscriber, || {
        bed.disk.set_faults(Faults { syncs_fail: true, ..Faults::default() });
        rounds(&mut bed, 600);
        let lines = told();
        let errors: Vec<&str> = lines.lines().filter(|line| line.contains("ERROR")).collect();
        assert!(!errors.is_empty(), "nothing failed: {lines}");
        for failure in ["cannot give back storage", "cannot prepare a segment"] {
            let count = errors.iter().filter(|line| line.contains(failure)).count();
            assert!(count <= 1, "{failure}: {lines}");
        }
        bed.disk.set_faults(Faults::default());
        rounds(&mut bed, 11);
        let lines = told();
        assert_eq!(lines.matches("journal goes on").count(), errors.len(), "{lines}");
    });
}
