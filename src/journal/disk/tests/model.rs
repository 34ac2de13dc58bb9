//! The log against a list: whatever is done to it, it holds what was acknowledged.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::files::{Files as _, Open};
use super::super::memory::Faults;
use super::*;

#[derive(Clone, Debug)]
enum Operation {
    /// Groups that wait together, each of records of these sizes.
    Append(Vec<Vec<usize>>),
    Reopen,
    Kill,
    PowerLoss(u64),
    /// The disk breaks after so many bytes of the groups, then power is lost.
    TornTail(Vec<Vec<usize>>, usize, u64),
    /// There is no space after so many bytes of the groups, for a while.
    NoSpace(Vec<Vec<usize>>, usize),
    FailedSync(Vec<Vec<usize>>, u64),
    /// Flips a bit of one record, so many bytes from the start of its header.
    BitFlip(prop::sample::Index, usize),
    /// So many bytes of space are left.
    DiskFull(u64),
    SpaceBack,
    Trim(prop::sample::Index),
    Care,
    Idle,
}

/// What the log must hold.
#[derive(Default)]
struct Model {
    /// Payload by position.
    acknowledged: Vec<Vec<u8>>,
    /// Payloads that were written after those, perhaps, and never acknowledged.
    doubtful: Vec<Vec<u8>>,
    damaged: BTreeSet<usize>,
    given_up: usize,
    next_tag: u64,
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let groups = || {
        let sizes = prop_oneof![4 => 0..200_usize, 2 => 200..5000_usize, 1 => 11_000..12_100_usize];
        let group = prop::collection::vec(sizes, 1..4);
        prop::collection::vec(group, 1..4)
    };
    let operation = prop_oneof![
        10 => groups().prop_map(Operation::Append),
        2 => Just(Operation::Reopen),
        2 => Just(Operation::Kill),
        2 => any::<u64>().prop_map(Operation::PowerLoss),
        2 => (groups(), 0..20_000_usize, any::<u64>())
            .prop_map(|(groups, bytes, seed)| Operation::TornTail(groups, bytes, seed)),
        1 => (groups(), any::<u64>())
            .prop_map(|(groups, seed)| Operation::FailedSync(groups, seed)),
        2 => (groups(), 0..20_000_usize)
            .prop_map(|(groups, bytes)| Operation::NoSpace(groups, bytes)),
        2 => (any::<prop::sample::Index>(), 0..80_usize)
            .prop_map(|(record, byte)| Operation::BitFlip(record, byte)),
        1 => (0..100_000_u64).prop_map(Operation::DiskFull),
        2 => Just(Operation::SpaceBack),
        2 => any::<prop::sample::Index>().prop_map(Operation::Trim),
        3 => Just(Operation::Care),
        1 => Just(Operation::Idle),
    ];
    prop::collection::vec(operation, 1..40)
}

/// Says yes or no at random, the same for the same seed.
fn coin(mut seed: u64) -> impl FnMut() -> bool {
    move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 63 == 1
    }
}

impl Model {
    /// Groups whose payloads are all different, as bytes and as groups.
    fn groups(&mut self, sizes: &[Vec<usize>]) -> Vec<(Vec<Vec<u8>>, Group)> {
        let mut groups = Vec::new();
        for sizes in sizes {
            let mut payloads = Vec::new();
            let mut group = Group::default();
            for &size in sizes {
                self.next_tag += 1;
                let mut payload = format!("<{:010}>", self.next_tag).into_bytes();
                payload.resize(payload.len() + size / sizes.len(), b'.');
                group.push(1, "web", 2, &payload).unwrap();
                payloads.push(payload);
            }
            groups.push((payloads, group));
        }
        groups
    }

    /// Appends, lets the writer write, and notes what was acknowledged.
    fn append(&mut self, bed: &mut Bed, sizes: &[Vec<usize>]) {
        let queue = |(payloads, group)| (payloads, bed.log().append(group));
        let appends: Vec<_> = self.groups(sizes).into_iter().map(queue).collect();
        while bed.stepper().write() {}
        let mut failed = Vec::new();
        for (payloads, append) in appends {
            match outcome(append) {
                Ok(range) => {
                    assert!(
                        failed.is_empty() || range.start.get() == self.acknowledged.len() as u64
                    );
                    assert_eq!(range.start.get(), self.acknowledged.len() as u64);
                    self.acknowledged.extend(payloads);
                    assert_eq!(range.end.get(), self.acknowledged.len() as u64);
                    failed.clear();
                    self.doubtful.clear();
                }
                Err(_) => failed.extend(payloads),
            }
        }
        self.doubtful.extend(failed);
    }

    /// Opens again and takes over what turned out to have reached the disk.
    fn open(&mut self, bed: &mut Bed) {
        bed.open().unwrap();
        let durable = usize::try_from(bed.log().state().durable.get()).unwrap();
        let extra = durable.checked_sub(self.acknowledged.len()).expect("nothing was lost");
        let doubtful = std::mem::take(&mut self.doubtful);
        assert!(extra <= doubtful.len(), "{extra} records from nowhere");
        // A refused group may stand among those that were written: the rest keep their order.
        let got = bed.read(self.acknowledged.len() as u64);
        let mut doubtful = doubtful.into_iter();
        for got in got {
            let Got::Frame { payload, .. } = got else { panic!("{got:?}") };
            assert!(doubtful.any(|doubtful| doubtful == payload), "a record from nowhere");
            self.acknowledged.push(payload);
        }
    }

    fn check(&self, bed: &Bed) {
        let state = bed.log().state();
        assert_eq!(state.durable.get(), self.acknowledged.len() as u64);
        let first = usize::try_from(state.first.get()).unwrap();
        assert!(first <= self.given_up, "{first} was not given up, {}", self.given_up);
        let mut at = first;
        for got in bed.read(first as u64) {
            match got {
                Got::Frame { position, payload, source, kind, count } => {
                    assert_eq!(position, at as u64);
                    assert_eq!(payload, self.acknowledged[at]);
                    assert_eq!((source.as_str(), kind, count), ("web", 1, 2));
                    assert!(!self.damaged.contains(&at));
                    at += 1;
                }
                Got::Damaged(damaged) => {
                    assert_eq!(damaged.positions.start.get(), at as u64);
                    while at < usize::try_from(damaged.positions.end.get()).unwrap() {
                        assert!(self.damaged.contains(&at), "record {at} was not damaged");
                        at += 1;
                    }
                }
            }
        }
        assert_eq!(at, self.acknowledged.len());
    }

    /// Damages the record at a position, if it is held and was not damaged before.
    fn flip(&mut self, bed: &Bed, at: usize, byte: usize) {
        let Some(payload) = self.acknowledged.get(at) else { return };
        let tag = &payload[..12];
        for path in bed.segments() {
            let bytes = bed.disk.bytes(&path).unwrap();
            let Some(payload_at) = bytes.windows(12).position(|window| window == tag) else {
                continue;
            };
            if !self.damaged.insert(at) {
                return;
            }
            let byte = payload_at - 51 + byte.min(50 + payload.len());
            let file = bed.disk.open(&path, Open::Segment).unwrap();
            assert_eq!(file.write_at(&[bytes[byte] ^ 0x80], byte as u64).unwrap(), 1);
            file.sync().unwrap();
            return;
        }
    }

    fn apply(&mut self, bed: &mut Bed, operation: &Operation) {
        match operation {
            Operation::Append(groups) => self.append(bed, groups),
            Operation::Reopen => {
                bed.close();
                self.open(bed);
            }
            Operation::Kill => {
                bed.kill();
                self.open(bed);
            }
            Operation::PowerLoss(seed) => self.lose_power(bed, *seed),
            Operation::TornTail(groups, bytes, seed) => {
                let writes_stop_after = Some(*bytes);
                bed.disk.set_faults(Faults { writes_stop_after, ..Faults::default() });
                self.append(bed, groups);
                bed.disk.set_faults(Faults::default());
                self.lose_power(bed, *seed);
            }
            Operation::NoSpace(groups, bytes) => {
                let no_space_after = Some(*bytes);
                bed.disk.set_faults(Faults { no_space_after, ..Faults::default() });
                self.append(bed, groups);
                bed.disk.set_faults(Faults::default());
            }
            Operation::FailedSync(groups, seed) => {
                bed.disk.set_faults(Faults { syncs_fail: true, ..Faults::default() });
                self.append(bed, groups);
                bed.disk.set_faults(Faults::default());
                self.lose_power(bed, *seed);
            }
            Operation::BitFlip(record, byte) if !self.acknowledged.is_empty() => {
                bed.close();
                self.flip(bed, record.index(self.acknowledged.len()), *byte);
                self.open(bed);
            }
            Operation::BitFlip(..) => {}
            Operation::DiskFull(free) => {
                let space_bytes = Some(bed.disk.used_bytes() + free);
                bed.disk.set_faults(Faults { space_bytes, ..Faults::default() });
            }
            Operation::SpaceBack => {
                bed.disk.set_faults(Faults::default());
                bed.stepper().care();
            }
            Operation::Trim(record) => {
                let before = record.index(self.acknowledged.len() + 1);
                self.given_up = self.given_up.max(before);
                bed.log().trim(Position::new(before as u64));
            }
            Operation::Care => bed.stepper().care(),
            Operation::Idle => bed.stepper().idle().unwrap(),
        }
    }

    fn lose_power(&mut self, bed: &mut Bed, seed: u64) {
        bed.kill();
        bed.disk.lose_power(coin(seed));
        self.open(bed);
    }
}

proptest! {
    #[test]
    fn the_log_holds_what_was_acknowledged(operations in operations()) {
        let mut bed = Bed::new();
        let mut model = Model::default();
        for operation in &operations {
            model.apply(&mut bed, operation);
            model.check(&bed);
        }
        bed.disk.set_faults(Faults::default());
        model.lose_power(&mut bed, 7);
        model.check(&bed);
    }
}
