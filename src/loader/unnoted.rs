//! After a start: whose are the batches that this loader did not note as its own?
//!
//! Usually there is one at most, committed just before the process died. But a copied machine may
//! have gone on under the same writer id and with other records: then this journal's records are not
//! in the lake, and must not be given up. What is not noted was not given up, so it can be held
//! against its plan; and where its entries of repeats are missing here, they are made again. Without
//! a note, because it was lost or there never was a batch, all is looked at that the journal holds.

use super::chain::Chain;
use super::dedup::Dedup;
use super::plan::Plan;
use super::range::Desk;
use super::{Error, Services};
use crate::clock::Timestamp;
use crate::journal::{self, Item, Journal, Position};
use crate::record::{self, EventView, View};
use crate::storage::keys::{Key, Number};
use crate::storage::manifest::Manifest;

/// Checks the batches that the chain has and the note does not.
///
/// # Errors
/// [`Error::OtherLoader`] if one was made of other records, [`Error::JournalBehind`] if the journal
/// ends before it does; else what failed.
pub(super) fn check(services: &Services, desk: &mut Desk, chain: &Chain) -> Result<(), Error> {
    let first = services.journal.state().first.get();
    let mut numbers = Vec::new();
    for number in chain.unnoted() {
        match plan(services, chain, number)? {
            Some(_) if is_empty(services, chain, number)? => {}
            Some(plan) if plan.journal.from >= first => numbers.push(number),
            // Given up, by this journal's own loader.
            _ => break,
        }
    }
    for number in numbers.into_iter().rev() {
        let Some(plan) = plan(services, chain, number)? else { continue };
        let walked = walk(&*services.journal, &plan, &mut desk.dedup);
        let is_known = desk.dedup.has(number);
        match walked {
            Ok(Some(records)) if records != plan.records => {
                desk.dedup.discard();
                return Err(Error::OtherLoader { number: number.0 });
            }
            Ok(Some(_)) if !is_known => make_entries(&mut desk.dedup, number)?,
            Ok(_) | Err(journal::Error::Trimmed { .. }) => desk.dedup.discard(),
            Err(journal::Error::Ahead { durable, .. }) => {
                let (durable, committed) = (durable.get(), plan.journal.to);
                return Err(Error::JournalBehind { durable, committed });
            }
            Err(error) => return Err(Error::Journal(error)),
        }
    }
    Ok(())
}

fn plan(services: &Services, chain: &Chain, number: Number) -> Result<Option<Plan>, Error> {
    let key = Key::Plan(chain.writer.clone(), number);
    let action = "read the plan of a batch that was not noted";
    let bytes = services.store.get(&key).map_err(Error::storage(action))?;
    let plan = bytes.map(|bytes| Plan::from_bytes(&key, &bytes)).transpose();
    plan.map_err(Error::storage(action))
}

/// Whether the batch was committed without records, so that its plan says nothing of it.
fn is_empty(services: &Services, chain: &Chain, number: Number) -> Result<bool, Error> {
    let read = Manifest::read(&services.store, &chain.writer, number);
    let found = read.map_err(Error::storage("read a batch that was not noted"))?;
    Ok(found.is_some_and(|(manifest, _)| manifest.journal.from == manifest.journal.to))
}

fn make_entries(dedup: &mut Dedup, number: Number) -> Result<(), Error> {
    tracing::info!(batch = number.0, "the entries of repeats of a batch are made again");
    dedup.save(number).map_err(Error::Dedup)?;
    dedup.commit(number).map_err(Error::Dedup)
}

/// Remembers the events of a batch by the plan's verdicts, and returns the checksum of its records;
/// `None` if one of them cannot be read any more.
pub(super) fn walk(
    journal: &dyn Journal,
    plan: &Plan,
    dedup: &mut Dedup,
) -> Result<Option<u32>, journal::Error> {
    dedup.discard();
    let mut reader = journal.reader(Position::new(plan.journal.from))?;
    let mut records = 0;
    let planned_loss = |position: u64| plan.left_out.lost(position).is_some();
    while reader.position().get() < plan.journal.to {
        let at = reader.position();
        match reader.next()? {
            None => {
                return Err(journal::Error::Ahead {
                    asked: Position::new(plan.journal.to),
                    durable: at,
                });
            }
            Some(Item::Damaged(damaged)) => {
                let (from, to) = (damaged.positions.start.get(), damaged.positions.end.get());
                if !(from..to).all(planned_loss) {
                    return Ok(None);
                }
            }
            Some(Item::Frame(frame)) if planned_loss(frame.position.get()) => {}
            Some(Item::Frame(frame)) => {
                records = crc32c::crc32c_append(records, frame.payload);
                if let Ok(View::Event(event)) = record::read(frame.payload) {
                    remember(dedup, &event, plan, frame.position.get());
                }
            }
        }
    }
    Ok(Some(records))
}

fn remember(dedup: &mut Dedup, event: &EventView<'_>, plan: &Plan, position: u64) {
    let verdict = plan.left_out.verdict(position);
    let at = Timestamp::from_micros(event.received_at);
    dedup.replay(event.key_hash, event.content_hash, at, verdict);
}
