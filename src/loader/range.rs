//! The open range of the journal: takes records one by one until a batch is full.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use serde_json::Value;

use super::books::{Books, Outcome, is_part};
use super::dedup::{Dedup, Verdict};
use super::plan::{LeftOut, Lost, Plan, PlannedRoute};
use super::rows::{Batch, Incoming, LocalFile, Mapped, Pressed, Rows};
use super::{Error, Limits};
use crate::clock::Timestamp;
use crate::journal::{Damaged, Frame, Item};
use crate::record::{self, EventView, Route, View};
use crate::storage::keys::Hour;
use crate::storage::manifest::Rebuilds;
use crate::storage::registry::Registry;

/// How many decoded routes are remembered before all are forgotten; one for each source as it was
/// configured at some moment.
const ROUTES_MAX: usize = 10_000;

/// What the records of a range are held against.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) dedup: Dedup,
    pub(super) registry: Registry,
    pub(super) routes: HashMap<Vec<u8>, Arc<Route>, foldhash::fast::FixedState>,
}

/// A range that takes records.
#[derive(Debug)]
pub(super) struct Range {
    pub(super) batch: Batch,
    /// The load settings in full.
    settings: Value,
    /// When it was opened, on the monotonic clock.
    opened: Duration,
    /// The first position that is not in it.
    next: u64,
    bytes: u64,
    /// CRC-32C of all payloads, see [`Plan::records`].
    records: u32,
    /// Hour of the last batch: no earlier one is taken.
    hour_floor: Option<Hour>,
    hour: Option<Hour>,
    /// The verdicts, where a plan gave them before.
    planned: Option<LeftOut>,
    left_out: LeftOut,
    books: Books,
    rows: Box<dyn Rows>,
    is_full: bool,
}

/// A range with its end, and its rows in local files.
#[derive(Debug)]
pub(super) struct Cut {
    pub(super) batch: Batch,
    pub(super) settings: Value,
    pub(super) to: u64,
    pub(super) records: u32,
    pub(super) hour: Hour,
    pub(super) left_out: LeftOut,
    pub(super) books: Books,
    pub(super) files: Vec<LocalFile>,
    pub(super) pressed: Pressed,
    /// The batch that it is made from instead of a journal range.
    pub(super) rebuilds: Option<Rebuilds>,
    /// What the sources of that batch are.
    pub(super) routes: Vec<PlannedRoute>,
}

/// Whether a record is in the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is.
    Yes,
    /// It arrived in a later hour: the range ends before it.
    HourTurned,
}

impl Range {
    /// Opens a range whose end the records decide.
    pub(super) fn open(
        batch: Batch,
        opened: Duration,
        hour_floor: Option<Hour>,
        rows: Box<dyn Rows>,
        settings: Value,
    ) -> Self {
        Self {
            settings,
            next: batch.from,
            batch,
            opened,
            bytes: 0,
            records: 0,
            hour_floor,
            hour: None,
            planned: None,
            left_out: LeftOut::default(),
            books: Books::default(),
            rows,
            is_full: false,
        }
    }

    /// Opens a range that must become what `plan` says.
    pub(super) fn open_planned(batch: Batch, plan: &Plan, rows: Box<dyn Rows>) -> Self {
        let planned = Some(plan.left_out.clone());
        Self { planned, ..Self::open(batch, Duration::ZERO, None, rows, plan.settings.clone()) }
    }

    /// The first position that is not in the range.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// Takes what the journal's reader met.
    pub(super) fn take(
        &mut self,
        item: Item<'_>,
        limits: &Limits,
        desk: &mut Desk,
    ) -> Result<Taken, Error> {
        match item {
            Item::Frame(frame) => self.frame(frame, limits, desk),
            Item::Damaged(damaged) => self.damaged(damaged).map(|()| Taken::Yes),
        }
    }

    fn frame(
        &mut self,
        frame: Frame<'_>,
        limits: &Limits,
        desk: &mut Desk,
    ) -> Result<Taken, Error> {
        let position = frame.position.get();
        if let Some(lost) = self.planned_loss(position) {
            // It could not be read when the plan was made, so the plan has no row of it.
            self.next = lost.to.max(position + 1);
            return Ok(Taken::Yes);
        }
        let view = record::read(frame.payload).map_err(|_| Error::Record { position })?;
        let received_at = match &view {
            View::Event(event) => event.received_at,
            View::Tally(tally) => tally.received_at,
        };
        let at = Timestamp::from_micros(received_at);
        if self.planned.is_none() && self.turns_hour(at) {
            return Ok(Taken::HourTurned);
        }
        match view {
            View::Event(event) => self.event(&event, position, at, desk)?,
            View::Tally(tally) => self.books.tally(&tally),
        }
        self.next = position + 1;
        self.bytes += frame.payload.len() as u64;
        self.records = crc32c::crc32c_append(self.records, frame.payload);
        if self.planned.is_none() {
            self.keep_within(limits, desk)?;
        } else {
            // Row groups close where the plan says; what only closed ones held may go.
            self.rows.relieve(u64::MAX)?;
        }
        Ok(Taken::Yes)
    }

    /// Whether a record of this arrival belongs to a later hour than the range; the first record
    /// decides the range's.
    fn turns_hour(&mut self, at: Timestamp) -> bool {
        let of_record = Some(Hour::of(at)).max(self.hour_floor);
        match self.hour {
            None => {
                self.hour = of_record;
                false
            }
            Some(hour) => of_record > Some(hour),
        }
    }

    fn event(
        &mut self,
        event: &EventView<'_>,
        position: u64,
        at: Timestamp,
        desk: &mut Desk,
    ) -> Result<(), Error> {
        let verdict = self.verdict(event, position, at, desk);
        let route = desk.route(event.route, position)?;
        let incoming = Incoming { event, route: &route, position };
        let outcome = match verdict {
            Verdict::Repeat => {
                self.left_out.duplicates.push(position, position + 1);
                Outcome::Duplicate
            }
            Verdict::Reused => {
                self.left_out.reused.push(position, position + 1);
                self.rows.reused(incoming)?;
                Outcome::Rejected
            }
            Verdict::New => match self.rows.event(incoming)? {
                Mapped::Loaded => Outcome::Loaded,
                Mapped::Rejected => Outcome::Rejected,
            },
        };
        self.books.event(&route.source_id, event.part, outcome);
        Ok(())
    }

    fn verdict(
        &self,
        event: &EventView<'_>,
        position: u64,
        at: Timestamp,
        desk: &mut Desk,
    ) -> Verdict {
        let Some(planned) = &self.planned else {
            return desk.dedup.judge(event.key_hash, event.content_hash, at);
        };
        let verdict = planned.verdict(position);
        desk.dedup.replay(event.key_hash, event.content_hash, at, verdict);
        verdict
    }

    fn planned_loss(&self, position: u64) -> Option<&Lost> {
        self.planned.as_ref()?.lost(position)
    }

    fn damaged(&mut self, damaged: Damaged) -> Result<(), Error> {
        let (from, to) = (damaged.positions.start.get(), damaged.positions.end.get());
        self.next = to;
        if self.planned.is_none() {
            let split = is_part(damaged.kind);
            self.books.damaged(damaged.source.as_deref(), damaged.count, split);
            let lost = Lost { from, to, source: damaged.source, events: damaged.count, split };
            self.left_out.damaged.push(lost);
            return Ok(());
        }
        match (from..to).find(|position| self.planned_loss(*position).is_none()) {
            None => Ok(()),
            Some(position) => Err(Error::Plan {
                number: self.batch.number.0,
                reason: format!("record {position} is damaged now and was not then"),
            }),
        }
    }

    /// Keeps the open row groups within memory, and ends the range if that does not help.
    fn keep_within(&mut self, limits: &Limits, desk: &Desk) -> Result<(), Error> {
        self.is_full = self.rows.relieve(limits.memory)?;
        self.is_full |= self.bytes >= limits.max_bytes || desk.dedup.is_full();
        Ok(())
    }

    /// Whether the range has to end now, for its size or its age.
    pub(super) fn is_due(&self, limits: &Limits, elapsed: Duration) -> bool {
        self.is_full || self.time_left(limits, elapsed).is_zero()
    }

    /// How long until the range is too old.
    pub(super) fn time_left(&self, limits: &Limits, elapsed: Duration) -> Duration {
        (self.opened + limits.max_age).saturating_sub(elapsed)
    }

    /// Ends the range; its rows are in local files then.
    pub(super) fn end(mut self) -> Result<Cut, Error> {
        if let Some(planned) = self.planned.take() {
            // The books of what could not be read are those of the plan.
            for lost in &planned.damaged {
                self.books.damaged(lost.source.as_deref(), lost.events, lost.split);
            }
            self.left_out = planned;
        }
        let hour = self.hour.or(self.hour_floor).unwrap_or_else(|| Hour::of(self.batch.time));
        let pressed = self.rows.pressed();
        let files = self.rows.finish()?;
        let Self { batch, settings, next, records, left_out, books, .. } = self;
        let to = next;
        let (rebuilds, routes) = (None, Vec::new());
        Ok(Cut {
            batch,
            settings,
            to,
            records,
            hour,
            left_out,
            books,
            files,
            pressed,
            rebuilds,
            routes,
        })
    }
}

impl Desk {
    /// The route that `bytes` encode; equal bytes are decoded once.
    fn route(&mut self, bytes: &[u8], position: u64) -> Result<Arc<Route>, Error> {
        if let Some(known) = self.routes.get(bytes) {
            return Ok(Arc::clone(known));
        }
        let route = Route::decode(bytes).map_err(|_| Error::Record { position })?;
        if self.routes.len() >= ROUTES_MAX {
            self.routes.clear();
        }
        let route = Arc::new(route);
        self.routes.insert(bytes.to_vec(), Arc::clone(&route));
        Ok(route)
    }
}
