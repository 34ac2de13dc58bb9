//! A plan without its manifest: its batch is made again from the journal, with the same bytes.
//!
//! Where that cannot be, because a record of it was damaged meanwhile, it depends on whether a reader
//! can have seen anything: while no file of the plan is in the lake the batch is committed empty and
//! its records are cut anew, without the damaged one; else the loader stops. Called at the
//! start, and where the local files of a batch were removed under it.

use std::path::PathBuf;

use bytes::Bytes;

use super::batch::{Link, Pending};
use super::books::Books;
use super::chain::Chain;
use super::plan::{LeftOut, Plan};
use super::range::{Cut, Desk, Range};
use super::rows::{Batch, Pressed};
use super::{Error, Limits, Services, unnoted};
use crate::columnar;
use crate::journal::{self, Position};
use crate::storage::keys::{Hour, Key};
use crate::storage::parse_utc;

/// An open plan as it was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) plan: Plan,
    pub(super) bytes: Bytes,
}

/// Makes the batch of an open plan ready to be committed; `from` is where the chain ends and
/// `folder` takes its local files.
///
/// # Errors
/// [`Error::OtherLoader`] if the plan does not follow on the chain, [`Error::Plan`] if the journal
/// holds other records than were planned, or lacks one of which a row may be in the lake.
pub(super) fn pending(
    services: &mut Services,
    desk: &mut Desk,
    (chain, from): (&Chain, u64),
    folder: PathBuf,
    found: Found,
) -> Result<Pending, Error> {
    let Found { plan, bytes } = &found;
    let number = plan.number.0;
    let differs = |reason: &str| Error::Plan { number, reason: reason.into() };
    let previous = chain.last.as_ref().map(|last| last.checksum.clone());
    if plan.journal.from != from || plan.previous != previous {
        return Err(Error::OtherLoader { number });
    }
    let time = parse_utc(&plan.batch_time).ok_or_else(|| differs("its time is none"))?;
    let writer = chain.writer.clone();
    let batch = Batch { writer, number: plan.number, from, time, folder };
    let link = Link { previous, mapping: plan.mapping };
    let made = cut_again(services, desk, batch.clone(), plan)
        .and_then(|cut| Pending::planned(cut, link.clone(), plan, bytes.clone()));
    match made {
        Err(error) if is_of_records(&error) => {
            match unnoted::walk(&*services.journal, plan, &mut desk.dedup) {
                Ok(Some(records)) if records != plan.records => {
                    Err(differs("the journal's records are other ones"))
                }
                Ok(None) if !is_seen(services, plan)? => {
                    tracing::warn!(
                        batch = number,
                        "a record of a planned batch is damaged and no file of it is in the lake: \
                         the batch stays empty, its records are cut anew"
                    );
                    desk.dedup.discard();
                    empty(batch, link, found)
                }
                Err(journal::Error::Ahead { durable, .. }) => {
                    let (durable, committed) = (durable.get(), plan.journal.to);
                    Err(Error::JournalBehind { durable, committed })
                }
                _ => Err(error),
            }
        }
        made => made,
    }
}

/// Whether it says that the records do not give what was planned.
const fn is_of_records(error: &Error) -> bool {
    matches!(error, Error::Plan { .. } | Error::Rows(columnar::Error::Plan { .. }))
}

/// Whether a file of the plan is in the lake.
fn is_seen(services: &Services, plan: &Plan) -> Result<bool, Error> {
    for part in &plan.parts {
        let unreadable = || Error::Plan {
            number: plan.number.0,
            reason: format!("{} is no file of a batch", part.path),
        };
        let key = Key::parse(&part.path).ok_or_else(unreadable)?;
        let found = services.store.get(&key);
        if found.map_err(Error::storage("look for a file of an open plan"))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A batch of no records, whose plan nobody will carry out.
fn empty(batch: Batch, link: Link, Found { plan, bytes }: Found) -> Result<Pending, Error> {
    let number = plan.number.0;
    let cut = Cut {
        to: batch.from,
        batch,
        settings: plan.settings,
        records: plan.records,
        hour: Hour::parse(&plan.hour).ok_or_else(|| Error::Plan {
            number,
            reason: format!("hour {:?} cannot be read", plan.hour),
        })?,
        left_out: LeftOut::default(),
        books: Books::default(),
        files: Vec::new(),
        pressed: Pressed::default(),
        rebuilds: None,
        routes: Vec::new(),
    };
    Ok(Pending::empty(cut, link, bytes))
}

/// Cuts the range of a plan from the journal, by the plan's own verdicts and settings.
///
/// # Errors
/// [`Error::MappingVersion`] if the plan is not for these rules, else what failed.
pub(super) fn cut_again(
    services: &mut Services,
    desk: &mut Desk,
    batch: Batch,
    plan: &Plan,
) -> Result<Cut, Error> {
    let Services { journal, workshop, .. } = services;
    let known = workshop.mapping();
    if plan.mapping != known {
        let (number, program) = (plan.number.0, plan.program.clone());
        return Err(Error::MappingVersion { number, found: plan.mapping, known, program });
    }
    let rows = workshop.rewrite(&batch, &plan.settings, &plan.parts, &desk.registry)?;
    let mut reader = journal.reader(Position::new(plan.journal.from)).map_err(Error::Journal)?;
    let mut range = Range::open_planned(batch, plan, rows);
    while range.next() < plan.journal.to {
        let Some(item) = reader.next().map_err(Error::Journal)? else {
            let durable = range.next();
            return Err(Error::JournalBehind { durable, committed: plan.journal.to });
        };
        range.take(item, &Limits::default(), desk)?;
    }
    range.end()
}
