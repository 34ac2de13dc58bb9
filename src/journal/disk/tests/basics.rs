use std::time::Duration;

use super::super::super::{Health, Space};
use super::*;

#[test]
fn appends_are_read_back() {
    let mut bed = Bed::new();
    assert_eq!(bed.append_texts(&["a", "b"]).unwrap(), 0..2);
    assert_eq!(bed.append_texts(&[""]).unwrap(), 2..3);
    assert_eq!(bed.read(0), [text(0, "a"), text(1, "b"), text(2, "")]);
    assert_eq!(bed.read(2), [text(2, "")]);
    assert_eq!(bed.read(3), []);
}

#[test]
fn nothing_is_read_before_it_is_durable() {
    let mut bed = Bed::new();
    let mut append = bed.log().append(group(&["a"]));
    assert!(Pin::new(&mut append).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(bed.read(0), []);
    bed.stepper().write();
    assert_eq!(outcome(append).unwrap(), Position::ZERO..Position::new(1));
    assert_eq!(bed.read(0).len(), 1);
}

#[test]
fn waiting_groups_share_one_sync() {
    let mut bed = Bed::new();
    let syncs = bed.log().state().syncs;
    let appends: Vec<_> = (0..10).map(|_| bed.log().append(group(&["a", "b"]))).collect();
    assert!(bed.stepper().write());
    assert!(!bed.stepper().write());
    for (at, append) in (0..).zip(appends) {
        assert_eq!(outcome(append).unwrap(), Position::new(2 * at)..Position::new(2 * at + 2));
    }
    assert_eq!(bed.log().state().syncs, syncs + 1);
}

#[test]
fn a_reader_goes_on_where_it_met_the_end() {
    let mut bed = Bed::new();
    bed.append_texts(&["a"]).unwrap();
    let mut reader = bed.log().reader(Position::ZERO).unwrap();
    assert!(matches!(reader.next().unwrap(), Some(Item::Frame(_))));
    assert_eq!(reader.next().unwrap(), None);
    let long = "x".repeat(3000);
    for _ in 0..20 {
        bed.append_texts(&[&long]).unwrap();
        let Some(Item::Frame(frame)) = reader.next().unwrap() else { panic!("no frame") };
        assert_eq!(frame.payload, long.as_bytes());
        assert_eq!(reader.next().unwrap(), None);
    }
    assert!(bed.segments().len() > 5, "the reader crossed segments");
}

#[test]
fn a_reopened_journal_goes_on() {
    let mut bed = Bed::new();
    let mut wanted = Vec::new();
    for round in 0..12 {
        let long = format!("{round}").repeat(1500);
        assert_eq!(bed.append_texts(&[&long, "b"]).unwrap(), 2 * round..2 * round + 2);
        wanted.extend([text(2 * round, &long), text(2 * round + 1, "b")]);
        if round % 3 == 0 {
            bed.reopen();
        } else if round % 3 == 1 {
            bed.kill();
            bed.open().unwrap();
        }
        assert_eq!(bed.read(0), wanted);
    }
    assert_eq!(bed.read(7), wanted[7..]);
}

#[test]
fn a_batch_may_span_segments() {
    let mut bed = Bed::new();
    let long = "y".repeat(9000);
    let appends: Vec<_> = (0..5).map(|_| bed.log().append(group(&[&long]))).collect();
    assert!(bed.stepper().write());
    for append in appends {
        outcome(append).unwrap();
    }
    assert_eq!(bed.read(0).len(), 5);
}

#[test]
fn frames_larger_than_a_chunk_are_read() {
    let mut bed = Bed::with(Options {
        segment_bytes: 1024 * BLOCK_BYTES,
        max_bytes: 4096 * BLOCK_BYTES,
        ..options()
    });
    let long = "z".repeat(1_200_000);
    bed.append_texts(&["a", &long, "b", &long, &long]).unwrap();
    let wanted = [text(0, "a"), text(1, &long), text(2, "b"), text(3, &long), text(4, &long)];
    assert_eq!(bed.read(0), wanted);
    bed.reopen();
    assert_eq!(bed.read(0), wanted);
}

#[test]
fn what_cannot_fit_is_refused_at_once() {
    let mut bed = Bed::new();
    let error = bed.append_texts(&[&"x".repeat(3 * 4096)]).unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit_bytes: 12288, .. }), "{error}");
    let error = Group::default().push(1, &"s".repeat(256), 1, b"").unwrap_err();
    assert!(matches!(error, Error::SourceTooLong { bytes: 256, limit_bytes: 255 }), "{error}");
    let source = "s".repeat(255);
    let mut group = Group::default();
    group.push(9, &source, u32::MAX, b"p").unwrap();
    bed.append(group).unwrap();
    let payload = b"p".to_vec();
    assert_eq!(
        bed.read(0),
        [Got::Frame { position: 0, kind: 9, count: u32::MAX, source, payload }]
    );
}

#[test]
fn an_empty_group_takes_nothing() {
    let mut bed = Bed::new();
    bed.append_texts(&["a"]).unwrap();
    let at = Position::new(1);
    assert_eq!(outcome(bed.log().append(Group::default())).unwrap(), at..at);
}

#[test]
fn trimmed_segments_are_used_again_and_positions_go_on() {
    let mut bed = Bed::new();
    let long = "x".repeat(3000);
    for round in 0..200 {
        assert_eq!(bed.append_texts(&[&long]).unwrap(), round..round + 1);
        bed.log().trim(Position::new(round + 1));
        bed.stepper().care();
    }
    assert!(bed.disk.used_bytes() <= 6 * bed.options.segment_bytes, "{}", bed.disk.used_bytes());
    let state = bed.log().state();
    assert!(state.first >= Position::new(196), "{state:?}");
    assert!(matches!(read(bed.log(), 3).unwrap_err(), Error::Trimmed { .. }));
    assert!(matches!(read(bed.log(), 201).unwrap_err(), Error::Ahead { .. }));
    bed.kill();
    bed.open().unwrap();
    let state = bed.log().state();
    assert_eq!(state.durable, Position::new(200));
    assert!(state.first >= Position::new(196), "{state:?}");
    assert_eq!(bed.read(state.first.get()).len() as u64, 200 - state.first.get());
}

#[test]
fn remains_of_an_earlier_use_are_never_taken_for_records() {
    let mut bed = Bed::new();
    let long = "x".repeat(2900);
    for round in 0..40 {
        bed.append_texts(&[&long]).unwrap();
        bed.log().trim(Position::new(round));
        bed.stepper().care();
    }
    // Short records into segments full of remains, with frames at the very same offsets.
    for round in 40..60 {
        assert_eq!(bed.append_texts(&["s"]).unwrap(), round..round + 1);
        bed.kill();
        bed.open().unwrap();
        assert_eq!(bed.log().state().durable, Position::new(round + 1));
        let first = bed.log().state().first.get();
        let got = bed.read(first);
        assert!(got.iter().all(|got| matches!(got, Got::Frame { .. })), "{got:?}");
        assert_eq!(got.len() as u64, round + 1 - first);
    }
    assert_eq!(bed.log().state().damaged_records, 0);
}

#[test]
fn restarts_alone_use_no_space() {
    let mut bed = Bed::new();
    bed.append_texts(&["a"]).unwrap();
    for _ in 0..100 {
        bed.kill();
        bed.open().unwrap();
    }
    assert_eq!(bed.read(0), [text(0, "a")]);
    assert!(bed.disk.used_bytes() <= 5 * bed.options.segment_bytes, "{:?}", bed.disk.paths());
}

#[test]
fn a_held_segment_outlives_its_trim_under_a_reader() {
    // Larger than what is read at once, so that the reader goes back to the file.
    let segment_bytes = 200 * BLOCK_BYTES;
    let mut bed = Bed::with(Options { segment_bytes, max_bytes: 8 * segment_bytes, ..options() });
    let long = "x".repeat(260_000);
    for _ in 0..8 {
        bed.append_texts(&[&long]).unwrap();
    }
    let mut reader = bed.log().reader(Position::ZERO).unwrap();
    assert!(reader.next().unwrap().is_some());
    bed.log().trim(Position::new(3));
    for _ in 0..8 {
        bed.stepper().care();
        bed.append_texts(&[&long]).unwrap();
    }
    assert_eq!(bed.log().state().first, Position::new(3));
    let mut read = 1;
    while let Some(item) = reader.next().unwrap() {
        let Item::Frame(frame) = item else { panic!("{item:?}") };
        assert_eq!(frame.payload, long.as_bytes());
        read += 1;
    }
    assert_eq!(read, 16);
}

#[test]
fn a_small_budget_has_four_segments() {
    const MIB: u64 = 1 << 20;
    let within = |bytes| options_of(bytes).segment_bytes;
    assert_eq!((within(MIB), within(100 * MIB), within(256 * MIB)), (MIB / 4, 25 * MIB, 64 * MIB));
    assert_eq!((within(1000 * MIB), within(MIB + 5000)), (64 * MIB, MIB / 4));
    for bytes in [MIB, MIB + 5_000, 255 * MIB, 256 * MIB, 20_480 * MIB] {
        options_of(bytes).check().unwrap();
    }
}

#[test]
fn an_option_out_of_its_range_is_shown() {
    let named = Options { node: "a node".into(), ..options() };
    let small = Options { segment_bytes: 4096, ..options() };
    for (options, told) in [
        (named, "node is \"a node\", it must be 1 to 200 ASCII letters"),
        (small, "segment_bytes is 4096, it must be a multiple of 4 KiB"),
    ] {
        let error = options.check().unwrap_err().to_string();
        assert!(error.starts_with(told), "{error}");
    }
}

fn options_of(bytes: u64) -> Options {
    Options::new("/journal", "node").within(bytes)
}

#[test]
fn a_budget_below_a_segment_of_before_goes_on() {
    for texts in [&[][..], &["a", "b"][..]] {
        let bytes = 64 * BLOCK_BYTES;
        let mut bed =
            Bed::with(Options { segment_bytes: bytes, max_bytes: 4 * bytes, ..options() });
        let long = "x".repeat(40 * 4096);
        bed.append_texts(&[&long]).unwrap();
        bed.kill();
        bed.open().unwrap();
        for text in texts {
            bed.append_texts(&[text]).unwrap();
        }
        bed.kill();
        bed.options = options().within(16 * BLOCK_BYTES);
        bed.open().unwrap();
        let before = texts.len() as u64 + 1;
        bed.log().trim(Position::new(before));
        // Several times the budget, as it is given up.
        for position in before..before + 60 {
            bed.stepper().care();
            bed.append_texts(&["y"]).unwrap();
            bed.log().trim(Position::new(position));
        }
        bed.stepper().care();
        assert!(bed.disk.used_bytes() <= 24 * BLOCK_BYTES, "{:?}", bed.disk.paths());
    }
}

#[test]
fn kept_segments_stay_readable_until_their_time_or_need() {
    let keep = Duration::from_secs(60);
    let mut bed = Bed::with(Options { keep, ..options() });
    let long = "x".repeat(2900);
    for _ in 0..20 {
        bed.append_texts(&[&long]).unwrap();
    }
    bed.log().trim(Position::new(20));
    bed.stepper().care();
    assert_eq!(bed.read(0).len(), 20);
    let used = bed.log().state().used_bytes;
    assert!(used <= bed.options.segment_bytes, "kept segments are not in use: {used}");
    bed.clock.advance(keep);
    bed.stepper().care();
    assert!(matches!(read(bed.log(), 0).unwrap_err(), Error::Trimmed { .. }));
    // And when the budget needs them, before their time.
    let from = bed.log().state().first.get();
    for round in 20..100 {
        bed.append_texts(&[&long]).unwrap();
        bed.log().trim(Position::new(round));
        bed.stepper().care();
    }
    assert!(bed.log().state().first.get() > from);
    assert!(bed.disk.used_bytes() <= bed.options.max_bytes + 2 * BLOCK_BYTES + 100);
    assert_eq!(bed.log().state().health, Health::Accepting);
}

#[test]
fn a_spent_budget_refuses_until_it_is_trimmed() {
    let mut bed = Bed::new();
    let long = "x".repeat(2900);
    let mut taken = 0;
    let error = loop {
        match bed.append_texts(&[&long]) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Full { space: Space::Budget, .. }), "{error}");
    assert!(error.passes());
    // Sixteen segments of three blocks each.
    assert_eq!(taken, 16 * 3);
    assert!(bed.disk.used_bytes() <= bed.options.max_bytes + 2 * BLOCK_BYTES + 100);
    assert_eq!(bed.log().state().health, Health::Full(Space::Budget));
    assert_eq!(bed.read(0).len(), taken);
    bed.log().trim(Position::new(3));
    bed.stepper().care();
    assert_eq!(bed.log().state().health, Health::Accepting);
    assert_eq!(bed.append_texts(&[&long]).unwrap(), 48..49);
}

#[test]
fn a_refusal_while_much_waits_ends_when_nothing_does() {
    // More may wait than the journal can ever hold.
    let options = Options { max_bytes: 16 * BLOCK_BYTES, ..options() };
    let mut bed = Bed::with(options);
    let long = "x".repeat(2900);
    let mut waiting = Vec::new();
    let refused = loop {
        let append = bed.log().append(group(&[&long]));
        if bed.log().state().health != Health::Accepting {
            break append;
        }
        waiting.push(append);
    };
    assert!(matches!(outcome(refused).unwrap_err(), Error::Full { .. }));
    while bed.stepper().write() {}
    let durable = bed.log().state().durable;
    assert!(durable.get() >= 9, "{durable}");
    bed.log().trim(durable);
    bed.stepper().care();
    assert_eq!(bed.log().state().health, Health::Accepting);
    bed.append_texts(&[&long]).unwrap();
}

#[test]
fn the_queue_is_bounded() {
    let bed = Bed::with(Options { max_waiting_bytes: 10_000, ..options() });
    let long = "x".repeat(4000);
    let waiting: Vec<_> = (0..2).map(|_| bed.log().append(group(&[&long]))).collect();
    let error = outcome(bed.log().append(group(&[&long]))).unwrap_err();
    assert!(matches!(error, Error::Busy { limit_bytes: 10_000, .. }), "{error}");
    assert!(bed.log().state().waiting_bytes > 8000);
    drop(waiting);
}

#[test]
fn the_writer_id_is_made_once() {
    let mut bed = Bed::new();
    let id = bed.log().writer_id().to_owned();
    assert_eq!((id.len(), id.get(..5)), (13, Some("node-")));
    bed.options.node = "renamed".to_owned();
    bed.reopen();
    assert_eq!(bed.log().writer_id(), id);
    bed.close();
    bed.disk.put(Path::new("/journal/writer"), b"");
    assert!(matches!(bed.open().unwrap_err(), Error::WriterId { .. }));
}

#[test]
fn a_locked_folder_is_refused() {
    let mut bed = Bed::new();
    let held = bed.open.take();
    let error = bed.open().unwrap_err();
    drop(held);
    bed.open().unwrap();
    assert!(matches!(&error, Error::Locked { path } if path == Path::new("/journal")), "{error}");
}

#[test]
fn closing_writes_what_waits_and_refuses_more() {
    let mut bed = Bed::new();
    let append = bed.log().append(group(&["a"]));
    let (log, stepper) = bed.open.take().unwrap();
    stepper.finish().unwrap();
    assert!(outcome(append).is_ok());
    assert!(matches!(outcome(log.append(group(&["b"]))).unwrap_err(), Error::Closed));
    assert_eq!(log.state().health, Health::Closed);
    drop(log);
    bed.open().unwrap();
    assert_eq!(bed.read(0), [text(0, "a")]);
}

#[test]
fn nobody_waits_for_a_writer_that_is_gone() {
    let mut bed = Bed::new();
    let append = bed.log().append(group(&["a"]));
    let (log, stepper) = bed.open.take().unwrap();
    drop(stepper);
    assert!(matches!(outcome(append).unwrap_err(), Error::Closed));
    drop(log);
}
