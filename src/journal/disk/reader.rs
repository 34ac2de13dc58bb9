//! Reads records in order, segment by segment, up to the durable end.
//!
//! Holds on to the segment it reads, so the file is not used again under it. Damage is met here:
//! it is booked, its bytes are kept aside, and reading goes on behind it.

use std::sync::Arc;

use super::super::{Damaged, Error, Item, Position, Reader};
use super::scan::{Found, Scan, Step, Window};
use super::segment::{FRAMES_AT, Segment};
use super::shared::Shared;

/// A reader of a journal on disk.
#[derive(Debug)]
pub(super) struct DiskReader {
    shared: Arc<Shared>,
    position: Position,
    segment: Option<Arc<Segment>>,
    scan: Option<Scan>,
    /// Records below it are durable and lie in this segment.
    end: Position,
}

impl DiskReader {
    pub(super) fn open(shared: Arc<Shared>, from: Position) -> Result<Self, Error> {
        let durable = shared.durable();
        if from > durable {
            return Err(Error::Ahead { asked: from, durable });
        }
        let mut reader =
            Self { shared, position: from, segment: None, scan: None, end: Position::ZERO };
        if from < durable {
            reader.locate(durable)?;
        }
        Ok(reader)
    }

    /// Finds the segment of the next record, and how much of it may be read.
    fn locate(&mut self, durable: Position) -> Result<(), Error> {
        let position = self.position;
        let Some((segment, end)) = self.shared.segments.locate(position) else {
            let first = self.shared.segments.first().unwrap_or(durable);
            return Err(Error::Trimmed { asked: position, first });
        };
        self.end = end.unwrap_or(durable).min(durable);
        let same = self.segment.as_ref().is_some_and(|held| Arc::ptr_eq(held, &segment));
        if same && self.scan.is_some() {
            return Ok(());
        }
        let file = Arc::clone(&segment.file);
        let identity = segment.header.identity;
        let mut scan = match self.scan.take() {
            Some(mut scan) => {
                scan.switch(file, identity, FRAMES_AT);
                scan
            }
            None => Scan::new(Window::new(file), Some(identity), FRAMES_AT, position),
        };
        scan.expected = segment.header.first;
        scan.skip_to(position, segment.readable())
            .map_err(|error| segment.error("read a segment", error))?;
        self.scan = Some(scan);
        self.segment = Some(segment);
        Ok(())
    }

    /// The next thing in the segment; `None` at the durable end.
    fn step(&mut self) -> Result<Option<Met>, Error> {
        loop {
            if self.position >= self.end || self.scan.is_none() {
                let durable = self.shared.durable();
                if self.position >= durable {
                    return Ok(None);
                }
                self.locate(durable)?;
            }
            let (Some(scan), Some(segment)) = (&mut self.scan, &self.segment) else {
                return Ok(None);
            };
            let limit = segment.readable();
            let step = scan.step(self.end, limit);
            match step.map_err(|error| segment.error("read a segment", error))? {
                Step::Frame(found) => {
                    self.position = scan.expected;
                    return Ok(Some(Met::Frame(found, limit)));
                }
                Step::Damaged(damaged, bytes) => {
                    self.position = scan.expected;
                    self.shared.damages.book(segment, &damaged, bytes);
                    return Ok(Some(Met::Damaged(damaged)));
                }
                Step::End => self.end = self.position,
            }
        }
    }
}

enum Met {
    Frame(Found, u64),
    Damaged(Damaged),
}

impl Reader for DiskReader {
    fn next(&mut self) -> Result<Option<Item<'_>>, Error> {
        let met = self.step().inspect_err(|_| self.scan = None)?;
        let (found, limit) = match met {
            None => return Ok(None),
            Some(Met::Damaged(damaged)) => return Ok(Some(Item::Damaged(damaged))),
            Some(Met::Frame(found, limit)) => (found, limit),
        };
        let (Some(scan), Some(segment)) = (&mut self.scan, &self.segment) else { return Ok(None) };
        let frame = scan.frame(&found, limit);
        frame
            .map(|frame| Some(Item::Frame(frame)))
            .map_err(|error| segment.error("read a segment", error))
    }

    fn position(&self) -> Position {
        self.position
    }
}
