//! Events whose outline is that of one that came before: their rows need not be made to know where
//! their values go.
//!
//! What is kept of the first is which token each of its values came from, and its shape. A text that
//! no token holds is the same for all events of the outline and source.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::draft::{Draft, Kind, Source, Value};
use super::tables::RouteId;
use super::texts::{Texts, UNNUMBERED};
use crate::event::Tape;
use crate::warehouse::{Cell, Outline, Scalar};

/// Outlines that are kept.
const OUTLINES_MAX: usize = 8_192;

/// An outline.
#[derive(Debug)]
struct Known {
    hash: u64,
    route: RouteId,
    key: Box<[u64]>,
    names: Box<str>,
    /// The shape, and where the values come from; `None` if rows hang on more than the outline.
    way: Option<(usize, Box<[Source]>)>,
    /// For each value the number of the last text, to find it again without looking for it.
    last: Box<[u32]>,
}

/// The outlines of a batch.
#[derive(Debug, Default)]
pub(super) struct Familiar {
    hasher: RandomState,
    table: HashTable<u32>,
    list: Vec<Known>,
}

impl Familiar {
    /// Fills `draft` with the values of the event on `tape` and gives the number of its shape, if
    /// its outline is known.
    pub(super) fn fill(
        &mut self,
        route: RouteId,
        (outline, tape): (&Outline, &Tape<'_>),
        draft: &mut Draft,
        texts: &mut Texts,
    ) -> Option<usize> {
        let at = self.position(self.hash(outline), route, outline)?;
        let Known { way, last, .. } = self.list.get_mut(at)?;
        let (shape, sources) = way.as_ref()?;
        draft.begin();
        for (source, last) in sources.iter().zip(last.iter_mut()) {
            match *source {
                Source::Leaf(token) => {
                    draft.take(&outline.cell(tape, token)?, last, texts);
                }
                Source::Text(token) => {
                    let cell = outline.cell(tape, token)?;
                    let text = Cell { value: Scalar::Text(cell.text), ..cell };
                    draft.take(&text, last, texts);
                }
                Source::Constant(value) => draft.take_constant(value),
            }
        }
        Some(*shape)
    }

    /// Keeps the outline of the event that `draft` holds the rows of, unless it is known.
    pub(super) fn keep(
        &mut self,
        route: RouteId,
        (outline, tape): (&Outline, &Tape<'_>),
        (shape, draft): (usize, &Draft),
        texts: &Texts,
    ) {
        let hash = self.hash(outline);
        if self.list.len() >= OUTLINES_MAX || self.position(hash, route, outline).is_some() {
            return;
        }
        let way = sources((outline, tape), draft, texts).map(|sources| (shape, sources));
        let values = way.as_ref().map_or(0, |(_, sources)| sources.len());
        let at = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        self.list.push(Known {
            hash,
            route,
            key: outline.key().into(),
            names: outline.names().into(),
            way,
            last: vec![UNNUMBERED; values].into(),
        });
        let list = &self.list;
        let hash_of = |&at: &u32| list.get(at as usize).map_or(0, |known| known.hash);
        self.table.insert_unique(hash, at, hash_of);
    }

    /// Forgets all outlines.
    pub(super) fn clear(&mut self) {
        self.table.clear();
        self.list.clear();
    }

    fn hash(&self, outline: &Outline) -> u64 {
        self.hasher.hash_one((outline.key(), outline.names()))
    }

    fn position(&self, hash: u64, route: RouteId, outline: &Outline) -> Option<usize> {
        let is = |&at: &u32| {
            self.list.get(at as usize).is_some_and(|known| {
                known.hash == hash
                    && known.route == route
                    && *known.key == *outline.key()
                    && *known.names == *outline.names()
            })
        };
        self.table.find(hash, is).map(|&at| at as usize)
    }
}

/// Where each value came from; `None` if that is not certain of one of them.
fn sources(
    (outline, tape): (&Outline, &Tape<'_>),
    draft: &Draft,
    texts: &Texts,
) -> Option<Box<[Source]>> {
    let source = |value: &Value| {
        let text = draft.text(value, texts);
        let Some(token) = value.token() else {
            return (value.kind == Kind::Text).then_some(Source::Constant(*value));
        };
        let cell = outline.cell(tape, token)?;
        if cell.text.as_bytes() != text {
            None
        } else if value.is(&cell.value) {
            Some(Source::Leaf(token))
        } else {
            (value.kind == Kind::Text).then_some(Source::Text(token))
        }
    };
    draft.values().iter().map(source).collect()
}
