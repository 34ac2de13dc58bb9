//! Rows that wait, seen by their columns.
//!
//! A column that most rows fill is given its values one after the other, those of all rows of a
//! block: its type, its buffer and where it goes on are looked at once, and a block is small enough
//! for its values to stay in the caches from column to column. Columns that few rows fill, as most of
//! a unified table's, would look at each row in vain: those are given theirs row by row.

use super::Slot;
use crate::columnar::column::Column;
use crate::columnar::stage::{NO_PLACE, Stage, To, Waiting, What};

/// Rows of a block: their values take some 200 KiB.
const BLOCK_ROWS: usize = 512;

/// A column that at least one in so many rows fills is given a block's values at once.
const ROWS_PER_VALUE_MAX: usize = 2;

/// Rows for each plan, at least, or all is given row by row: setting this up takes as long as some
/// rows of each, and less memory than the values that wait.
const ROWS_PER_PLAN_MIN: usize = 4;

/// No value of the column in rows of the plan.
const NONE: To = To::new(Slot::NONE, What::Bits, 0);

/// A plan that some of the rows follow.
#[derive(Clone, Copy, Debug)]
struct Followed {
    plan: u32,
    rows: usize,
}

/// A column that most rows fill.
#[derive(Clone, Copy, Debug)]
struct Dense {
    slot: Slot,
    is_text: bool,
    /// Every row does.
    is_full: bool,
}

/// The rows that wait of one table.
#[derive(Debug)]
pub(super) struct Grid<'s> {
    stage: &'s Stage,
    rows: &'s [Waiting],
    /// The plan of each row, by its place in `plans`.
    by_row: Vec<u32>,
    plans: Vec<Followed>,
    /// How many values each column of the table is given.
    values: Vec<usize>,
    dense: Vec<Dense>,
    /// Where the values of each of these columns come from, plan by plan.
    froms: Vec<To>,
    /// What else the rows of each plan have; nothing is known of any if all is given row by row.
    sparse: Vec<Vec<To>>,
}

impl<'s> Grid<'s> {
    /// `columns` is the number of columns of the table; `places` are those that the stage lends, and
    /// are left as they were.
    pub(super) fn new(
        stage: &'s Stage,
        rows: &'s [Waiting],
        columns: usize,
        places: &mut [u32],
    ) -> Self {
        let mut plans: Vec<Followed> = Vec::new();
        let mut by_row = Vec::with_capacity(rows.len());
        for waiting in rows {
            let Some(place) = places.get_mut(waiting.plan as usize) else { continue };
            if *place == NO_PLACE {
                *place = u32::try_from(plans.len()).unwrap_or(NO_PLACE);
                plans.push(Followed { plan: waiting.plan, rows: 0 });
            }
            by_row.push(*place);
            if let Some(followed) = plans.get_mut(*place as usize) {
                followed.rows += 1;
            }
        }
        let mut values = vec![0; columns];
        for followed in &plans {
            if let Some(place) = places.get_mut(followed.plan as usize) {
                *place = NO_PLACE;
            }
            for to in stage.plan(followed.plan) {
                if let Some(count) = values.get_mut(to.slot.0 as usize) {
                    *count += followed.rows;
                }
            }
        }
        let (dense, froms, sparse) = (Vec::new(), Vec::new(), Vec::new());
        let mut grid = Self { stage, rows, by_row, plans, values, dense, froms, sparse };
        grid.part();
        grid
    }

    /// Tells the columns that most rows fill from the others.
    fn part(&mut self) {
        let Self { stage, rows, plans, values, dense, froms, sparse, .. } = self;
        if rows.len() < plans.len() * ROWS_PER_PLAN_MIN {
            return;
        }
        let mut places = vec![u32::MAX; values.len()];
        for (at, followed) in plans.iter().enumerate() {
            let mut rest = Vec::new();
            for &to in stage.plan(followed.plan) {
                let slot = to.slot.0 as usize;
                let count = values.get(slot).copied().unwrap_or_default();
                if count * ROWS_PER_VALUE_MAX < rows.len() {
                    rest.push(to);
                    continue;
                }
                let Some(place) = places.get_mut(slot) else { continue };
                if *place == u32::MAX {
                    *place = u32::try_from(dense.len()).unwrap_or(u32::MAX);
                    let (is_text, is_full) = (to.what() != What::Bits, count == rows.len());
                    dense.push(Dense { slot: to.slot, is_text, is_full });
                    froms.resize(dense.len() * plans.len(), NONE);
                }
                if let Some(from) = froms.get_mut(*place as usize * plans.len() + at) {
                    *from = to;
                }
            }
            sparse.push(rest);
        }
    }

    /// How many values each column is given.
    pub(super) fn values(&self) -> &[usize] {
        &self.values
    }

    /// Gives the columns their values; the first row is number `first`.
    pub(super) fn give(&self, first: u32, columns: &mut [Column]) {
        let blocks = self.rows.chunks(BLOCK_ROWS).zip(self.by_row.chunks(BLOCK_ROWS));
        let mut row = first;
        for (rows, plans) in blocks {
            let froms = self.froms.chunks_exact(self.plans.len().max(1));
            for (dense, froms) in self.dense.iter().zip(froms) {
                if let Some(column) = columns.get_mut(dense.slot.0 as usize) {
                    self.give_block(row, (rows, plans), (*dense, froms), column);
                }
            }
            for (waiting, &plan) in rows.iter().zip(plans) {
                self.give_row(row, *waiting, plan, columns);
                row += 1;
            }
        }
    }

    fn give_block(
        &self,
        row: u32,
        (rows, plans): (&[Waiting], &[u32]),
        (dense, froms): (Dense, &[To]),
        column: &mut Column,
    ) {
        let from = |plan: u32| froms.get(plan as usize).copied().unwrap_or(NONE);
        let of_rows = rows.iter().zip(plans).map(|(waiting, &plan)| (waiting, from(plan)));
        match (dense.is_text, dense.is_full) {
            (true, true) => {
                column.push_texts(row, of_rows.map(|(waiting, to)| self.number(*waiting, to)));
            }
            (false, true) => {
                column.push_all_fixed(row, of_rows.map(|(waiting, to)| self.bits(*waiting, to)));
            }
            (true, false) => {
                let of_rows = (row..).zip(of_rows).filter(|(_, (_, to))| to.slot != Slot::NONE);
                for (row, (waiting, to)) in of_rows {
                    column.push_text(row, self.number(*waiting, to));
                }
            }
            (false, false) => {
                let of_rows = (row..).zip(of_rows).filter(|(_, (_, to))| to.slot != Slot::NONE);
                for (row, (waiting, to)) in of_rows {
                    column.push_fixed(row, self.bits(*waiting, to));
                }
            }
        }
    }

    /// Gives a row's other values.
    fn give_row(&self, row: u32, waiting: Waiting, plan: u32, columns: &mut [Column]) {
        let all = || self.plans.get(plan as usize).map(|followed| self.stage.plan(followed.plan));
        let sparse = self.sparse.get(plan as usize).map(Vec::as_slice).or_else(all);
        for &to in sparse.unwrap_or_default() {
            let Some(column) = columns.get_mut(to.slot.0 as usize) else { continue };
            if to.what() == What::Bits {
                column.push_fixed(row, self.bits(waiting, to));
            } else {
                column.push_text(row, self.number(waiting, to));
            }
        }
    }

    #[inline]
    fn number(&self, waiting: Waiting, to: To) -> u32 {
        if to.what() == What::Constant {
            return self.stage.constants.number(to.from());
        }
        let at = waiting.numbers as usize + to.from() as usize;
        self.stage.numbers.get(at).copied().unwrap_or_default()
    }

    #[inline]
    fn bits(&self, waiting: Waiting, to: To) -> i64 {
        let at = waiting.bits as usize + to.from() as usize;
        self.stage.bits.get(at).copied().unwrap_or_default()
    }
}
