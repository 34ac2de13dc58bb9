//! The log on a disk in memory, driven step by step; and once on real files with its threads.

mod basics;
mod damage;
mod faults;
mod golden;
mod inspect;
mod model;
mod notes;
mod short;
mod threads;
mod unblocked;

use std::future::Future;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::super::{Append, Damaged, Error, Group, Item, Journal, Position};
use super::files::Files;
use super::memory::Disk;
use super::{BLOCK_BYTES, Log, Options, Stepper};
use crate::clock::{Fixed, Timestamp};

/// A journal on a disk in memory.
struct Bed {
    disk: Disk,
    clock: Arc<Fixed>,
    options: Options,
    open: Option<(Log, Stepper)>,
}

/// What a reader gave, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Got {
    Frame { position: u64, kind: u8, count: u32, source: String, payload: Vec<u8> },
    Damaged(Damaged),
}

fn options() -> Options {
    Options {
        segment_bytes: 4 * BLOCK_BYTES,
        max_bytes: 64 * BLOCK_BYTES,
        ..Options::new("/journal", "node")
    }
}

impl Bed {
    fn new() -> Self {
        Self::with(options())
    }

    fn with(options: Options) -> Self {
        let clock = Arc::new(Fixed::at(Timestamp::from_millis(1_700_000_000_000)));
        let mut bed = Self { disk: Disk::new(), clock, options, open: None };
        bed.open().unwrap();
        bed
    }

    fn open(&mut self) -> Result<(), Error> {
        let files = Arc::new(self.disk.clone());
        let clock: Arc<Fixed> = Arc::clone(&self.clock);
        let ids: Arc<Fixed> = Arc::clone(&self.clock);
        self.open = Some(Log::open_stepped(files, self.options.clone(), clock, ids)?);
        Ok(())
    }

    fn log(&self) -> &Log {
        &self.open.as_ref().unwrap().0
    }

    fn stepper(&mut self) -> &mut Stepper {
        &mut self.open.as_mut().unwrap().1
    }

    /// Closes in good order and opens again.
    fn reopen(&mut self) {
        self.close();
        self.open().unwrap();
    }

    fn close(&mut self) {
        let (log, stepper) = self.open.take().unwrap();
        stepper.finish().unwrap();
        drop(log);
    }

    /// Stops as a killed process does.
    fn kill(&mut self) {
        self.open = None;
    }

    fn append(&mut self, group: Group) -> Result<Range<u64>, Error> {
        let append = self.log().append(group);
        self.stepper().write();
        outcome(append).map(|range| range.start.get()..range.end.get())
    }

    fn append_texts(&mut self, texts: &[&str]) -> Result<Range<u64>, Error> {
        self.append(group(texts))
    }

    fn read(&self, from: u64) -> Vec<Got> {
        read(self.log(), from).unwrap()
    }

    /// The paths of the segments that are named as such, in order.
    fn segments(&self) -> Vec<PathBuf> {
        let named = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        let paths = self.disk.paths().into_iter();
        paths.filter(|path| named(path).starts_with("segment-") && in_root(path)).collect()
    }
}

fn in_root(path: &Path) -> bool {
    path.parent() == Some(Path::new("/journal"))
}

fn outcome(mut append: Append) -> Result<Range<Position>, Error> {
    match Pin::new(&mut append).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("the append is still waiting"),
    }
}

fn group(texts: &[&str]) -> Group {
    let mut group = Group::default();
    for text in texts {
        group.push(1, "web", 2, text.as_bytes()).unwrap();
    }
    group
}

fn read(log: &dyn Journal, from: u64) -> Result<Vec<Got>, Error> {
    let mut reader = log.reader(Position::new(from))?;
    let mut all = Vec::new();
    while let Some(item) = reader.next()? {
        all.push(match item {
            Item::Frame(frame) => Got::Frame {
                position: frame.position.get(),
                kind: frame.kind,
                count: frame.count,
                source: frame.source.to_owned(),
                payload: frame.payload.to_vec(),
            },
            Item::Damaged(damaged) => Got::Damaged(damaged),
        });
    }
    assert_eq!(reader.position(), log.state().durable);
    Ok(all)
}

fn text(position: u64, payload: &str) -> Got {
    let (source, payload) = ("web".to_owned(), payload.as_bytes().to_vec());
    Got::Frame { position, kind: 1, count: 2, source, payload }
}

fn lost(positions: Range<u64>, source: Option<&str>, count: u64) -> Got {
    let positions = Position::new(positions.start)..Position::new(positions.end);
    let kind = source.map(|_| 1);
    Got::Damaged(Damaged { positions, source: source.map(str::to_owned), count, kind })
}
