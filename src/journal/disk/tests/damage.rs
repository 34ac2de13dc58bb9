use super::super::super::Health;
use super::super::files::{Files as _, Open};
use super::super::inspect::verify;
use super::super::memory::Faults;
use super::*;

/// Three groups in the first segment, more in the next.
fn small() -> (Bed, Vec<Got>) {
    let mut bed = Bed::new();
    let mut wanted = Vec::new();
    let mut add = |bed: &mut Bed, texts: &[&str]| {
        let range = bed.append_texts(texts).unwrap();
        wanted.extend(range.zip(texts).map(|(position, payload)| text(position, payload)));
    };
    add(&mut bed, &["first", "second record", ""]);
    add(&mut bed, &["x".repeat(700).as_str(), "fifth"]);
    add(&mut bed, &["sixth"]);
    (bed, wanted)
}

/// Checks that only what the flipped bytes belong to is missing.
fn check_losses(got: &[Got], wanted: &[Got], what: &str) {
    let mut at = 0_u64;
    let mut losses = 0;
    for got in got {
        match got {
            Got::Frame { position, .. } => {
                assert_eq!(*position, at, "{what}");
                assert_eq!(got, &wanted[usize::try_from(at).unwrap()], "{what}");
                at += 1;
            }
            Got::Damaged(damaged) => {
                assert_eq!(damaged.positions.start.get(), at, "{what}");
                at = damaged.positions.end.get();
                losses += damaged.positions.end.since(damaged.positions.start);
            }
        }
    }
    assert_eq!(at, wanted.len() as u64, "{what}");
    assert!(losses <= 1, "{what}: {losses} records are lost");
}

#[test]
fn a_flip_of_any_byte_loses_only_its_record() {
    let (mut bed, wanted) = small();
    bed.close();
    let path = bed.segments()[0].clone();
    let good = bed.disk.bytes(&path).unwrap();
    let mut damaged_somewhere = 0;
    for at in telling_bytes(&good) {
        let damaged = changed(&bed, &path, |bytes| bytes[at] ^= 0x20);
        let report = verify(&damaged, Path::new("/journal")).unwrap();
        let mut bed = opened(&bed, damaged);
        let got = bed.read(0);
        let told = got.iter().filter(|got| matches!(got, Got::Damaged(_))).count();
        assert_eq!(report.damaged_records(), told as u64, "byte {at}");
        check_losses(&got, &wanted, &format!("byte {at}"));
        let lost = got.iter().filter(|got| matches!(got, Got::Damaged(_))).count();
        assert_eq!(bed.log().state().damaged_records, lost as u64);
        damaged_somewhere += lost;
        let end = wanted.len() as u64;
        assert_eq!(bed.append_texts(&["more"]).unwrap(), end..end + 1);
    }
    let frames: usize = 6 * (48 + 3) + 5 + 13 + 700 + 5 + 5;
    assert_eq!(damaged_somewhere, frames, "each byte of a frame is guarded, no other matters");
}

/// All offsets near bytes that say something, and samples of the rest.
fn telling_bytes(bytes: &[u8]) -> Vec<usize> {
    let near = |at: usize| {
        let window = bytes.get(at.saturating_sub(16)..bytes.len().min(at + 16)).unwrap_or_default();
        window.iter().any(|&byte| byte != 0)
    };
    (0..bytes.len()).filter(|&at| near(at) || at % 61 == 0).collect()
}

/// The journal of `bed` after a change to one file, opened.
fn reopened(bed: &Bed, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> (Bed, Vec<PathBuf>) {
    let copy = opened(bed, changed(bed, path, change));
    let paths = copy.segments();
    (copy, paths)
}

/// The disk of `bed` after a change to one file.
fn changed(bed: &Bed, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> Disk {
    let disk = Disk::new();
    for path in bed.disk.paths() {
        disk.put(&path, &bed.disk.bytes(&path).unwrap());
    }
    let mut bytes = disk.bytes(path).unwrap();
    change(&mut bytes);
    disk.put(path, &bytes);
    disk
}

fn opened(bed: &Bed, disk: Disk) -> Bed {
    let clock = Arc::clone(&bed.clock);
    let mut copy = Bed { disk, clock, options: bed.options.clone(), open: None };
    copy.open().unwrap();
    copy
}

#[test]
fn a_flip_of_any_byte_of_an_older_segment_loses_only_its_record() {
    let mut bed = Bed::new();
    let mut wanted = Vec::new();
    let long = "y".repeat(4_000);
    for texts in [&["first", "second", &long], &[&long, "fifth", ""], &["x", &long, "ninth"]] {
        let range = bed.append_texts(texts).unwrap();
        wanted.extend(range.zip(texts).map(|(position, payload)| text(position, payload)));
    }
    bed.close();
    let paths = bed.segments();
    assert!(paths.len() > 1, "{paths:?}");
    let path = paths[0].clone();
    let good = bed.disk.bytes(&path).unwrap();
    for at in telling_bytes(&good) {
        let damaged = changed(&bed, &path, |bytes| bytes[at] ^= 0x01);
        let report = verify(&damaged, Path::new("/journal")).unwrap();
        let bed = opened(&bed, damaged);
        let got = bed.read(0);
        check_losses(&got, &wanted, &format!("byte {at}"));
        let lost = got.iter().filter(|got| matches!(got, Got::Damaged(_))).count() as u64;
        assert_eq!((report.damaged_records(), bed.log().state().damaged_records), (lost, lost));
        let kept = bed.disk.paths();
        let kept = kept.iter().filter(|path| path.starts_with("/journal/damaged")).count();
        assert_eq!(kept as u64, lost, "byte {at}: kept aside");
    }
}

#[test]
fn a_flip_is_found_while_running_too() {
    let (mut bed, wanted) = small();
    let path = bed.segments()[0].clone();
    let good = bed.disk.bytes(&path).unwrap();
    let at = good.windows(5).position(|bytes| bytes == b"fifth").unwrap();
    let file = bed.disk.open(&path, Open::Segment).unwrap();
    assert_eq!(file.write_at(b"F", at as u64).unwrap(), 1);
    let got = bed.read(0);
    assert_eq!(got[..4], wanted[..4]);
    assert_eq!(got[4], lost(4..5, Some("web"), 2));
    assert_eq!(got[5..], wanted[5..]);
    bed.read(0);
    let state = bed.log().state();
    assert_eq!((state.damaged_records, state.damaged_events), (1, 2), "counted once");
    let kept: Vec<_> = bed.disk.paths();
    let kept: Vec<_> = kept.iter().filter(|path| path.starts_with("/journal/damaged")).collect();
    assert_eq!(kept.len(), 1);
    assert!(bed.disk.bytes(kept[0]).unwrap().ends_with(b"Fifth"));
    assert_eq!(state.health, Health::Accepting);
    bed.append_texts(&["goes on"]).unwrap();
}

#[test]
fn a_cut_at_any_byte_loses_only_what_is_cut() {
    let (mut bed, wanted) = small();
    bed.close();
    let path = bed.segments()[0].clone();
    let good = bed.disk.bytes(&path).unwrap();
    let mut offsets = Vec::new();
    for (at, window) in good.windows(4).enumerate() {
        if window == b"KRf1" {
            offsets.push(at);
        }
    }
    assert_eq!(offsets.len(), wanted.len());
    let end_of = |at: usize| {
        let Got::Frame { payload, .. } = &wanted[at] else { panic!("all are frames") };
        offsets[at] + 51 + payload.len()
    };
    for cut in telling_bytes(&good) {
        let (mut bed, _) = reopened(&bed, &path, |bytes| bytes.truncate(cut));
        let whole = (0..wanted.len()).take_while(|&at| end_of(at) <= cut).count();
        let got = bed.read(bed.log().state().first.get());
        let frames = got.iter().filter(|got| matches!(got, Got::Frame { .. })).count();
        assert_eq!(frames, whole, "cut at {cut}");
        assert_eq!(got[..whole], wanted[..whole], "cut at {cut}");
        // The mark proves the rest, so it is booked, and its positions are not used again.
        let end = wanted.len() as u64;
        assert_eq!(bed.log().state().durable, Position::new(end), "cut at {cut}");
        assert_eq!(bed.append_texts(&["more"]).unwrap(), end..end + 1);
        bed.reopen();
        assert_eq!(bed.read(end), [text(end, "more")], "cut at {cut}");
    }
}

#[test]
fn without_the_mark_a_damaged_last_group_is_a_torn_tail() {
    let (mut bed, wanted) = small();
    bed.kill();
    let path = bed.segments()[0].clone();
    let good = bed.disk.bytes(&path).unwrap();
    let sixth = good.windows(5).position(|bytes| bytes == b"sixth").unwrap();
    let fifth = good.windows(5).position(|bytes| bytes == b"fifth").unwrap();
    // The last group: nothing speaks for it.
    let (mut torn, _) = reopened(&bed, &path, |bytes| bytes[sixth] ^= 1);
    assert_eq!(torn.read(0), wanted[..5]);
    assert_eq!(torn.log().state().damaged_records, 0);
    // Its place is taken by another record, before and after one more restart.
    assert_eq!(torn.append_texts(&["new"]).unwrap(), 5..6);
    torn.kill();
    torn.open().unwrap();
    assert_eq!(torn.read(5), [text(5, "new")]);
    // An earlier group: the last one's header says that it was durable.
    let (damaged, _) = reopened(&bed, &path, |bytes| bytes[fifth] ^= 1);
    let got = damaged.read(0);
    assert_eq!(got[4], lost(4..5, Some("web"), 2));
    assert_eq!(got[5], wanted[5]);
}

#[test]
fn remains_of_a_cut_tail_are_not_read() {
    let mut bed = Bed::new();
    bed.append_texts(&["a"]).unwrap();
    let long = "x".repeat(4050);
    bed.append_texts(&[&long, "torn 2", "torn 3"]).unwrap();
    bed.kill();
    let path = bed.segments()[0].clone();
    // The first record of the group is torn, the others lie whole in the next block.
    let (mut bed, _) = reopened(&bed, &path, |bytes| bytes[2 * 4096 + 100] ^= 1);
    assert_eq!(bed.read(0), [text(0, "a")]);
    for round in 1..8 {
        assert_eq!(bed.append_texts(&["new"]).unwrap(), round..round + 1);
        bed.kill();
        bed.open().unwrap();
        assert_eq!(bed.read(round), [text(round, "new")]);
        assert_eq!(bed.read(0).len() as u64, round + 1);
    }
}

#[test]
fn damage_to_what_was_loaded_is_counted_apart() {
    let (mut bed, _) = small();
    bed.close();
    let path = bed.segments()[0].clone();
    let good = bed.disk.bytes(&path).unwrap();
    let fifth = good.windows(5).position(|bytes| bytes == b"fifth").unwrap();
    let counts = |bed: &Bed| {
        let state = bed.log().state();
        (state.damaged_records, state.damaged_events, state.damaged_loaded_records)
    };
    for (loaded, wanted) in [(0, (1, 2, 0)), (4, (1, 2, 0)), (5, (0, 0, 1)), (6, (0, 0, 1))] {
        bed.options.loaded = Position::new(loaded);
        let (damaged, _) = reopened(&bed, &path, |bytes| bytes[fifth] ^= 1);
        assert_eq!(counts(&damaged), wanted, "loaded to {loaded}");
    }
    // All headers are gone, and so the first six records, of which four were loaded.
    bed.options.loaded = Position::new(4);
    let (damaged, _) = reopened(&bed, &path, |bytes| bytes[4096..].fill(0));
    assert_eq!(counts(&damaged), (2, 2, 4));
    // What is given up while the journal is open is told, too.
    let (mut running, _) = reopened(&bed, &path, |_| {});
    running.append_texts(&["seventh", "eighth"]).unwrap();
    running.log().trim(Position::new(7));
    let path = running.segments()[1].clone();
    let bytes = running.disk.bytes(&path).unwrap();
    for text in [b"seventh", b"eighth "] {
        let at = bytes.windows(6).position(|bytes| bytes == &text[..6]).unwrap();
        running.disk.flip(&path, at, 1);
    }
    running.read(6);
    assert_eq!(counts(&running), (1, 2, 1));
}

#[test]
fn a_lost_segment_is_booked() {
    let mut bed = Bed::new();
    let long = "x".repeat(3500);
    for _ in 0..12 {
        bed.append_texts(&[&long]).unwrap();
    }
    let paths = bed.segments();
    bed.close();
    let (bed, _) = reopened(&bed, &paths[1], Vec::clear);
    let got = bed.read(0);
    assert_eq!(got[3], lost(3..6, None, 3));
    assert_eq!(got.len(), 10);
}

#[test]
fn both_headers_of_a_segment_may_be_lost() {
    let (mut bed, wanted) = small();
    bed.close();
    let path = bed.segments()[0].clone();
    let (bed, _) = reopened(&bed, &path, |bytes| bytes[..4096].fill(0xff));
    assert_eq!(bed.read(0), wanted);
}

#[test]
fn a_later_format_is_refused() {
    let (mut bed, _) = small();
    bed.close();
    let path = bed.segments()[0].clone();
    let mut bytes = bed.disk.bytes(&path).unwrap();
    bytes[8] = 2;
    let crc = crc32c::crc32c(&bytes[..48]);
    bytes[48..52].copy_from_slice(&crc.to_le_bytes());
    bed.disk.put(&path, &bytes);
    let error = bed.open().unwrap_err();
    assert!(matches!(error, Error::Format { found: 2, known: 1, .. }), "{error}");
}

/// Five segments of three records each, closed in good order.
fn five_segments() -> (Bed, Vec<Got>) {
    let mut bed = Bed::new();
    let long = "x".repeat(3500);
    let mut wanted = Vec::new();
    for _ in 0..14 {
        let range = bed.append_texts(&[&long]).unwrap();
        wanted.extend(range.map(|position| text(position, &long)));
        bed.stepper().care();
    }
    bed.close();
    (bed, wanted)
}

/// Another disk on which the files have the names of others: each pair's first becomes its second.
fn renamed(bed: &Bed, names: &[(&Path, &Path)]) -> Disk {
    let disk = Disk::new();
    for path in bed.disk.paths() {
        let to = names.iter().find(|(from, _)| *from == path).map_or(&*path, |(_, to)| to);
        disk.put(to, &bed.disk.bytes(&path).unwrap());
    }
    disk
}

#[test]
fn segments_that_change_their_names_are_all_read() {
    let (bed, wanted) = five_segments();
    let paths = bed.segments();
    assert!(paths.len() > 5, "one is prepared: {paths:?}");
    for (at, one) in paths.iter().enumerate() {
        for other in &paths[at + 1..] {
            let disk = renamed(&bed, &[(one, other), (other, one)]);
            let report = verify(&disk, Path::new("/journal")).unwrap();
            let counts = (report.records(), report.damaged_records());
            assert_eq!(counts, (14, 0), "{one:?} and {other:?}");
            let mut swapped = opened(&bed, disk);
            for more in 14..20 {
                assert_eq!(swapped.read(0)[..14], wanted, "{one:?} and {other:?}");
                let taken = swapped.append_texts(&["x".repeat(3500).as_str()]).unwrap();
                assert_eq!(taken, more..more + 1);
                swapped.stepper().care();
                swapped.reopen();
            }
            assert_eq!(swapped.log().state().damaged_records, 0);
        }
    }
    // Nor is one lost under any other name, as soon as the others tell where it belongs.
    for from in &paths[..paths.len() - 1] {
        let disk = renamed(&bed, &[(from, Path::new("/journal/segment-00000000000000000099"))]);
        let mut moved = opened(&bed, disk);
        assert_eq!(moved.read(0), wanted, "{from:?}");
        assert_eq!(moved.append_texts(&["more"]).unwrap(), 14..15);
    }
}

#[test]
fn a_renamed_segment_without_its_header_is_read() {
    let (bed, wanted) = five_segments();
    let paths = bed.segments();
    let disk = renamed(&bed, &[(&paths[1], &paths[3]), (&paths[3], &paths[1])]);
    for path in [&paths[1], &paths[3]] {
        let mut bytes = disk.bytes(path).unwrap();
        bytes[..4096].fill(0xff);
        disk.put(path, &bytes);
    }
    let damaged = opened(&bed, disk);
    assert_eq!(damaged.read(0), wanted);
}

#[test]
fn a_file_of_records_that_fits_nowhere_is_kept() {
    let (bed, wanted) = five_segments();
    let paths = bed.segments();
    let disk = renamed(&bed, &[]);
    let copied = bed.disk.bytes(&paths[1]).unwrap();
    disk.put(Path::new("/journal/segment-00000000000000000042"), &copied);
    let mut copy = opened(&bed, disk);
    assert_eq!(copy.read(0), wanted);
    let stray = Path::new("/journal/stray-00000000000000000042");
    for at in 14..60 {
        assert_eq!(copy.append_texts(&["x".repeat(3500).as_str()]).unwrap(), at..at + 1);
        copy.log().trim(Position::new(at));
        copy.stepper().care();
        if at % 7 == 0 {
            copy.reopen();
        }
    }
    assert_eq!(copy.disk.bytes(stray).as_ref(), Some(&copied));
    assert_eq!(verify(&copy.disk, Path::new("/journal")).unwrap().kept_aside.0, 1);
    // A second one under the same name is kept beside it.
    copy.kill();
    let other = bed.disk.bytes(&paths[2]).unwrap();
    copy.disk.put(Path::new("/journal/segment-00000000000000000042"), &other);
    copy.open().unwrap();
    assert_eq!(verify(&copy.disk, Path::new("/journal")).unwrap().kept_aside.0, 2);
    let kept =
        |bytes: &[u8]| copy.disk.paths().iter().any(|path| copy.disk.bytes(path).unwrap() == bytes);
    assert!(kept(&copied) && kept(&other));
}

#[test]
fn what_was_given_up_does_not_come_back() {
    let (mut bed, _) = five_segments();
    bed.open().unwrap();
    bed.log().trim(Position::new(8));
    bed.stepper().care();
    let first = bed.log().state().first;
    assert_eq!(first, Position::new(6));
    // A prepared file has remains of one given up, at whatever moment the process ends.
    for operations in 0..40 {
        let disk = bed.disk.copy();
        let mut copy =
            Bed { disk, clock: Arc::clone(&bed.clock), options: bed.options.clone(), open: None };
        copy.disk.lose_power(|| true);
        copy.open().unwrap();
        copy.log().trim(Position::new(12));
        copy.disk.set_faults(Faults { stops_after: Some(operations), ..Faults::default() });
        copy.stepper().care();
        drop(copy.append_texts(&["x".repeat(3500).as_str()]));
        copy.stepper().care();
        copy.kill();
        copy.disk.set_faults(Faults::default());
        copy.disk.lose_power(|| operations % 2 == 0);
        copy.open().unwrap();
        let state = copy.log().state();
        assert!(state.first >= first, "after {operations}: {}", state.first);
        let got = copy.read(state.first.get());
        assert!(got.iter().all(|got| matches!(got, Got::Frame { .. })), "after {operations}");
        assert!(copy.disk.paths().iter().all(|path| !path.to_str().unwrap().contains("stray")));
    }
}
