//! Rows whose values wait to be given to their columns.
//!
//! An event of a known shape puts its values once into one array that all tables share; each of its
//! tables notes where. When a table's row group closes, its columns are filled one row after the
//! other: then only that table's columns are touched, and they stay in the processor's caches,
//! while an event that went to its columns at once would touch hundreds far apart.

use super::builder::Slot;
use super::constants::Constants;

/// Texts that wait at most: 8 MiB of their numbers, those of some 40,000 events.
const NUMBERS_MAX: usize = if cfg!(test) { 256 } else { 2 << 20 };

/// Other values that wait at most: 4 MiB.
const BITS_MAX: usize = if cfg!(test) { 64 } else { 512 << 10 };

/// Plans of rows that are kept: a few for each shape.
const PLANS_MAX: usize = if cfg!(test) { 64 } else { 32_768 };

/// Bytes that they take, all together.
const PLAN_BYTES_MAX: usize = if cfg!(test) { 64 << 10 } else { 32 << 20 };

/// What one event adds at most; shapes have fewer cells.
const EVENT_MAX: usize = 4_096;

/// Where one value of a waiting row goes. Plans are read row by row, so it is small.
#[derive(Clone, Copy, Debug)]
pub(super) struct To {
    pub(super) slot: Slot,
    /// What the column is given, in the two highest bits, and from where.
    from: u32,
}

/// Below this is what a place may be.
const FROM_BITS: u32 = 30;

impl To {
    /// The value at place `from` among the event's values of that sort, or among the constants.
    pub(super) const fn new(slot: Slot, what: What, from: u32) -> Self {
        // Both are far fewer than 2^30.
        Self { slot, from: (what as u32) << FROM_BITS | from & ((1 << FROM_BITS) - 1) }
    }

    /// What the column is given.
    #[inline]
    pub(super) const fn what(self) -> What {
        match self.from >> FROM_BITS {
            0 => What::Bits,
            1 => What::Text,
            _ => What::Constant,
        }
    }

    /// Its place among the event's values of that sort, or among the constants.
    #[inline]
    pub(super) const fn from(self) -> u32 {
        self.from & ((1 << FROM_BITS) - 1)
    }
}

/// What a column is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// 64 bits.
    Bits,
    /// The number of a text.
    Text,
    /// A text that is the same in every row.
    Constant,
}

/// A plan that none of a table's rows follow.
pub(super) const NO_PLACE: u32 = u32::MAX;

/// The values that wait, and where those of each kind of row go.
#[derive(Debug, Default)]
pub(super) struct Stage {
    /// Numbers of texts.
    pub(super) numbers: Vec<u32>,
    /// Values of 64 bits.
    pub(super) bits: Vec<i64>,
    /// Texts that are the same in every row of a plan.
    pub(super) constants: Constants,
    plans: Vec<Box<[To]>>,
    plan_bytes: usize,
    /// Room for the place that each plan has among those of a table; none has one meanwhile.
    places: Vec<u32>,
}

/// A row that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    /// Its plan.
    pub(super) plan: u32,
    /// Where the numbers of its event's texts start.
    pub(super) numbers: u32,
    /// Where its event's other values start.
    pub(super) bits: u32,
}

impl Stage {
    /// Takes room for all that may wait, unless it is there: memory that grows step by step is given
    /// out, and cleared by the system, twice.
    pub(super) fn make_room(&mut self) {
        if self.numbers.capacity() == 0 {
            self.numbers.reserve_exact(NUMBERS_MAX + EVENT_MAX);
            self.bits.reserve_exact(BITS_MAX + EVENT_MAX);
        }
    }

    /// Keeps a plan; returns its number.
    pub(super) fn add(&mut self, plan: Box<[To]>) -> u32 {
        // Bounded by `has_many_plans`, which is asked before.
        let number = u32::try_from(self.plans.len()).unwrap_or(u32::MAX);
        self.plan_bytes += size_of_val(&*plan) + size_of::<Box<[To]>>();
        self.plans.push(plan);
        number
    }

    /// True if they are to be forgotten before there is another.
    pub(super) const fn has_many_plans(&self) -> bool {
        self.plans.len() > PLANS_MAX || self.plan_bytes > PLAN_BYTES_MAX
    }

    /// True if the next batch would better begin without any.
    pub(super) const fn is_crowded(&self) -> bool {
        self.plans.len() > PLANS_MAX / 2 || self.plan_bytes > PLAN_BYTES_MAX / 2
    }

    /// How many plans there are.
    #[cfg(test)]
    pub(super) const fn plans_len(&self) -> usize {
        self.plans.len()
    }

    /// A row of this plan, of an event whose values come next.
    pub(super) fn next(&self, plan: u32) -> Waiting {
        // Bounded far below 2^32.
        let len = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        Waiting { plan, numbers: len(self.numbers.len()), bits: len(self.bits.len()) }
    }

    /// True if too many values wait to add another event's.
    pub(super) const fn is_full(&self) -> bool {
        self.numbers.len() > NUMBERS_MAX || self.bits.len() > BITS_MAX
    }

    /// Forgets the values; no row may wait.
    pub(super) fn clear(&mut self) {
        self.numbers.clear();
        self.bits.clear();
    }

    /// A plan.
    pub(super) fn plan(&self, number: u32) -> &[To] {
        self.plans.get(number as usize).map_or(&[][..], |plan| plan)
    }

    /// Lends the room for the places of plans, each [`NO_PLACE`]; it comes back by
    /// [`Stage::return_places`] as it was.
    pub(super) fn lend_places(&mut self) -> Vec<u32> {
        let mut places = std::mem::take(&mut self.places);
        places.resize(self.plans.len(), NO_PLACE);
        places
    }

    /// Takes it back.
    pub(super) fn return_places(&mut self, places: Vec<u32>) {
        self.places = places;
    }

    /// Forgets all plans, too; no row may wait.
    pub(super) fn forget_plans(&mut self) {
        self.plans.clear();
        self.plan_bytes = 0;
        self.constants.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_have_a_bound_in_bytes() {
        let mut stage = Stage::default();
        let plan = vec![To::new(Slot(0), What::Bits, 0); PLAN_BYTES_MAX / 2 / size_of::<To>()];
        let mut seen = Vec::new();
        for _ in 0..2 {
            seen.push((stage.is_crowded(), stage.has_many_plans()));
            stage.add(plan.clone().into());
        }
        seen.push((stage.is_crowded(), stage.has_many_plans()));
        assert_eq!(seen, [(false, false), (true, false), (true, true)]);
        stage.forget_plans();
        assert!(!stage.is_crowded());
    }
}
