use super::super::super::Health;
use super::super::files::{Files as _, Open};
use super::super::inspect::verify;
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
