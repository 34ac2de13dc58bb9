//! The short segment that a journal without spares begins with.

use super::super::super::Space;
use super::super::segments::SHORT_BYTES;
use super::*;

const SEGMENT_BYTES: u64 = 2 * SHORT_BYTES;

fn bed() -> Bed {
    let (segment_bytes, max_bytes) = (SEGMENT_BYTES, 4 * SEGMENT_BYTES);
    Bed::with(Options { segment_bytes, max_bytes, ..options() })
}

impl Bed {
    /// Lengths of the files named as segments, in their order.
    fn lengths(&self) -> Vec<u64> {
        let listed = Files::list(&self.disk, Path::new("/journal")).unwrap();
        let mut segments: Vec<_> =
            listed.into_iter().filter(|(name, _)| name.starts_with("segment-")).collect();
        segments.sort();
        segments.into_iter().map(|(_, bytes)| bytes).collect()
    }
}

#[test]
fn a_new_journal_begins_short_and_goes_on_in_full_length() {
    let mut bed = bed();
    assert_eq!(bed.lengths(), [SHORT_BYTES]);
    bed.stepper().care();
    assert_eq!(bed.lengths(), [SHORT_BYTES, SEGMENT_BYTES]);
    let long = "x".repeat(1_000_000);
    let mut wanted = Vec::new();
    for position in 0..12 {
        bed.append_texts(&[&long]).unwrap();
        bed.stepper().care();
        wanted.push(text(position, &long));
    }
    assert_eq!(bed.lengths(), [SHORT_BYTES, SEGMENT_BYTES, SEGMENT_BYTES]);
    assert_eq!(bed.read(0), wanted);
    bed.kill();
    bed.open().unwrap();
    assert_eq!(bed.read(0), wanted);
    bed.reopen();
    assert_eq!(bed.read(0), wanted);
}

#[test]
fn a_group_longer_than_the_short_segment_is_taken_at_once() {
    let mut bed = bed();
    let long = "x".repeat(usize::try_from(SHORT_BYTES + 1).unwrap());
    assert_eq!(bed.append_texts(&["a", &long]).unwrap(), 0..2);
    assert_eq!(bed.append_texts(&["b"]).unwrap(), 2..3);
    assert_eq!(bed.read(0), [text(0, "a"), text(1, &long), text(2, "b")]);
}

#[test]
fn a_restart_takes_a_spare_of_full_length() {
    let mut bed = bed();
    bed.stepper().care();
    bed.append_texts(&["a"]).unwrap();
    bed.kill();
    bed.open().unwrap();
    bed.append_texts(&["b"]).unwrap();
    assert_eq!(bed.lengths().last(), Some(&SEGMENT_BYTES), "{:?}", bed.lengths());
    assert_eq!(bed.read(0), [text(0, "a"), text(1, "b")]);
}

#[test]
fn one_that_nothing_was_written_to_makes_no_spare() {
    let mut bed = bed();
    for _ in 0..5 {
        bed.kill();
        bed.open().unwrap();
        assert!(bed.disk.used_bytes() <= 2 * SHORT_BYTES + 64 * 1024, "{:?}", bed.disk.paths());
    }
}

#[test]
fn the_budget_holds_and_is_used() {
    let mut bed = bed();
    let long = "x".repeat(500_000);
    let mut taken = 0;
    let error = loop {
        match bed.append_texts(&[&long]) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
        bed.stepper().care();
        let (state, files) = (bed.log().state(), bed.lengths().iter().sum::<u64>());
        assert!(files <= bed.options.max_bytes, "{:?}", bed.lengths());
        assert!(state.used_bytes >= taken * 500_000 && state.used_bytes <= files, "{state:?}");
    };
    assert!(matches!(error, Error::Full { space: Space::Budget, .. }), "{error}");
    // Three of full length fit beside the short one; a rest at the end of each is lost.
    assert!(taken * 500_000 > 3 * SEGMENT_BYTES, "{taken}");
    assert_eq!(bed.read(0).len() as u64, taken);
}
