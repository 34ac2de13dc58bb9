//! Rows whose values wait to be given to their columns.
//!
//! An event of a known shape puts its values once into one array that all tables share; each of its
//! tables notes where. When a table's row group closes, its columns are filled one row after the
//! other: then only that table's columns are touched, and they stay in the processor's caches,
//! while an event that went to its columns at once would touch hundreds far apart.

use super::builder::Slot;

/// Values that wait at most: 16 MiB.
pub(super) const VALUES_MAX: usize = 2 << 20;

/// Where one value of a waiting row goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct To {
    pub(super) slot: Slot,
    /// Its place among the event's values, or the number of the text itself.
    pub(super) from: u32,
    pub(super) what: What,
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

/// The values that wait, and where those of each kind of row go.
#[derive(Debug, Default)]
pub(super) struct Stage {
    pub(super) values: Vec<i64>,
    plans: Vec<Box<[To]>>,
}

/// A row that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    /// Its plan.
    pub(super) plan: u32,
    /// Where its event's values start.
    pub(super) base: u32,
}

impl Stage {
    /// Keeps a plan; returns its number.
    pub(super) fn add(&mut self, plan: Box<[To]>) -> u32 {
        // Bounded by the shapes that are kept.
        let number = u32::try_from(self.plans.len()).unwrap_or(u32::MAX);
        self.plans.push(plan);
        number
    }

    /// How many plans there are.
    pub(super) fn plans_len(&self) -> usize {
        self.plans.len()
    }

    /// A row's plan and its event's values with all behind them.
    pub(super) fn row(&self, waiting: Waiting) -> (&[To], &[i64]) {
        let plan = self.plans.get(waiting.plan as usize).map_or(&[][..], |plan| plan);
        (plan, self.values.get(waiting.base as usize..).unwrap_or_default())
    }

    /// A plan.
    pub(super) fn plan(&self, number: u32) -> &[To] {
        self.plans.get(number as usize).map_or(&[][..], |plan| plan)
    }

    /// Forgets all plans; no row may wait.
    pub(super) fn forget_plans(&mut self) {
        self.plans.clear();
    }
}
