//! What became of events: the books of each source.
//!
//! For every source and at every instant, received + split = loaded + duplicate + rejected +
//! dropped + suppressed + damaged + waiting. Both pipelines add to the books; nobody subtracts.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use crate::metrics::{counters, gauges};

/// A line of the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// In a request that was answered 200.
    Received,
    /// Further parts that a transformation made.
    Split,
    /// In the files of a committed batch.
    Loaded,
    /// Seen before.
    Duplicate,
    /// In the table `rejected`.
    Rejected,
    /// Taken out by a transformation.
    Dropped,
    /// Taken out by the suppression list.
    Suppressed,
    /// Lost to a damaged record.
    Damaged,
}

impl Entry {
    /// All lines, in the order of the formula.
    pub const ALL: [Self; 8] = [
        Self::Received,
        Self::Split,
        Self::Loaded,
        Self::Duplicate,
        Self::Rejected,
        Self::Dropped,
        Self::Suppressed,
        Self::Damaged,
    ];

    /// The label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Split => "split",
            Self::Loaded => "loaded",
            Self::Duplicate => "duplicate",
            Self::Rejected => "rejected",
            Self::Dropped => "dropped",
            Self::Suppressed => "suppressed",
            Self::Damaged => "damaged",
        }
    }
}

/// The books of one source. Clone the [`Arc`] once; adding is one atomic instruction.
#[derive(Debug, Default)]
pub struct Book {
    entries: [AtomicU64; Entry::ALL.len()],
}

/// What stands in the books of one source at one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    entries: [u64; Entry::ALL.len()],
}

impl Book {
    /// Adds to a line. What is settled must have been received or split before.
    pub fn add(&self, entry: Entry, events: u64) {
        self.entries[entry as usize].fetch_add(events, Ordering::Release);
    }

    /// What stands in the books.
    #[must_use]
    pub fn balance(&self) -> Balance {
        let mut balance = Balance::default();
        // What is settled is read first: an event between the two reads counts as waiting, and no
        // event counts as settled that is not received.
        for entry in Entry::ALL.into_iter().rev() {
            balance.entries[entry as usize] = self.entries[entry as usize].load(Ordering::Acquire);
        }
        balance
    }
}

impl Balance {
    /// A line.
    #[must_use]
    pub const fn get(&self, entry: Entry) -> u64 {
        self.entries[entry as usize]
    }

    /// Acknowledged and not settled yet.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        let come = self.get(Entry::Received) + self.get(Entry::Split);
        let settled: u64 = Entry::ALL.iter().skip(2).map(|entry| self.get(*entry)).sum();
        come.saturating_sub(settled)
    }
}

/// The books of all sources, by source id. A removed source keeps its book: its events still drain.
#[derive(Clone, Debug, Default)]
pub struct Books {
    books: Arc<RwLock<BTreeMap<String, Arc<Book>>>>,
}

/// The source that damage is booked to where even the frame's header is lost.
pub const UNKNOWN_SOURCE: &str = "unknown";

impl Books {
    /// No books yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The book of a source, opened now if it is new.
    #[must_use]
    pub fn of(&self, source_id: &str) -> Arc<Book> {
        let books = self.books.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(book) = books.get(source_id) {
            return Arc::clone(book);
        }
        drop(books);
        let mut books = self.books.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(books.entry(source_id.to_owned()).or_default())
    }

    /// What stands in each book, by source id.
    #[must_use]
    pub fn balances(&self) -> Vec<(String, Balance)> {
        let books = self.books.read().unwrap_or_else(PoisonError::into_inner);
        books.iter().map(|(id, book)| (id.clone(), book.balance())).collect()
    }
}

impl Collector for Books {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let balances = self.balances();
        let lines = balances.iter().flat_map(|(id, balance)| {
            Entry::ALL.map(|e| ([("source", id.as_str()), ("outcome", e.label())], balance.get(e)))
        });
        counters(
            &mut encoder,
            "keelrow_events",
            "Events of each source by what became of them",
            lines,
        )?;
        let waiting = balances.iter().map(|(id, b)| ([("source", id.as_str())], b.waiting()));
        gauges(
            &mut encoder,
            "keelrow_events_waiting",
            "Events acknowledged and not settled",
            waiting,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn books_balance() {
        let books = Books::new();
        let book = books.of("web_prod");
        book.add(Entry::Received, 10);
        book.add(Entry::Split, 2);
        for entry in [Entry::Loaded, Entry::Duplicate, Entry::Rejected, Entry::Damaged] {
            books.of("web_prod").add(entry, 2);
        }
        let balance = book.balance();
        assert_eq!(balance.waiting(), 4);
        assert_eq!(balance.get(Entry::Received), 10);
        let metrics = Metrics::new();
        metrics.collect(books);
        let text = metrics.render();
        for line in [
            "keelrow_events_total{source=\"web_prod\",outcome=\"received\"} 10\n",
            "keelrow_events_total{source=\"web_prod\",outcome=\"dropped\"} 0\n",
            "keelrow_events_waiting{source=\"web_prod\"} 4\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
