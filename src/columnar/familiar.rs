//! Events whose outline is that of one that came before: their rows need not be made to know where
//! their values go.
//!
//! What is kept of the first is where in the outline each of its values stands, and its shape. A text
//! that no token holds is the same for all events of the outline and source. Where a value has no
//! column, and is discarded unless a standard column holds the same text, the texts of those two are
//! compared as well.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::constants::Constants;
use super::draft::{Draft, Kind, Value};
use super::tables::RouteId;
use super::texts::{Texts, UNNUMBERED};
use super::values::Values;
use crate::event::{Kind as Json, Tape};
use crate::warehouse::{Compared, Outline};

/// Outlines that are kept.
const OUTLINES_MAX: usize = if cfg!(test) { 16 } else { 8_192 };

/// Bytes that they take, all together.
const BYTES_MAX: usize = if cfg!(test) { 32 << 10 } else { 16 << 20 };

/// Where a value of an event comes from whose outline is known.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// This place of the outline.
    Place(u32),
    /// None: a text that is the same in every event of the outline, by its place among the constants.
    Constant(u32),
}

/// An outline.
struct Known {
    hash: u64,
    route: RouteId,
    key: Box<[u64]>,
    names: Box<str>,
    /// The shape, and where the values come from; `None` if rows hang on more than the outline.
    way: Option<(usize, Box<[Source]>)>,
    /// Texts that decide which rows there are. An outline is kept once for each way in which they do.
    pairs: Box<[Pair]>,
    /// For each value the number of the last text, to find it again without looking for it.
    last: Box<[u32]>,
}

/// Two places of an outline, and whether their texts are the same.
#[derive(Clone, Copy, Debug)]
struct Pair {
    one: u32,
    other: u32,
    are_same: bool,
}

impl Pair {
    fn is_so(&self, outline: &Outline, tape: &Tape<'_>) -> bool {
        (outline.text(tape, self.one) == outline.text(tape, self.other)) == self.are_same
    }
}

/// Outlines, kept from batch to batch.
#[derive(Default)]
pub(super) struct Familiar {
    hasher: RandomState,
    table: HashTable<u32>,
    list: Vec<Known>,
    constants: Constants,
    /// About the bytes of all, without the constant texts.
    bytes: usize,
    /// That of the keys which the outlines are told by: their ids mean nothing to others.
    stamp: u64,
    /// The places of the values of the event that is kept, by their tokens.
    of_token: Vec<u32>,
}

/// The values of an event whose outline is known, found on its tape.
pub(super) struct Found<'f> {
    sources: &'f [Source],
    last: &'f mut [u32],
    constants: &'f Constants,
    outline: &'f Outline,
    tape: &'f Tape<'f>,
}

impl std::fmt::Debug for Found<'_> {
    /// Shows how many there are, never content.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Found").field("values", &self.sources.len()).finish_non_exhaustive()
    }
}

impl Values for Found<'_> {
    #[inline]
    fn len(&self, place: usize) -> u64 {
        match self.sources.get(place) {
            Some(&Source::Place(at)) => self.outline.text_len(at).into(),
            Some(&Source::Constant(at)) => self.constants.text(at).len() as u64,
            None => 0,
        }
    }

    #[inline]
    fn number(&mut self, place: usize, texts: &mut Texts) -> u32 {
        match (self.sources.get(place), self.last.get_mut(place)) {
            (Some(&Source::Place(at)), Some(last)) => {
                let text = self.outline.text(self.tape, at);
                *last = texts.number_again(*last, text);
                *last
            }
            (Some(&Source::Constant(at)), _) => self.constants.number(at),
            _ => 0,
        }
    }

    #[inline]
    fn bits(&self, place: usize) -> i64 {
        match self.sources.get(place) {
            Some(&Source::Place(at)) => self.outline.bits(at),
            _ => 0,
        }
    }

    fn text<'t>(&'t self, place: usize, _: &'t Texts) -> Option<&'t str> {
        match *self.sources.get(place)? {
            Source::Place(at) => Some(self.outline.text(self.tape, at)),
            Source::Constant(at) => Some(self.constants.text(at)),
        }
    }
}

impl Familiar {
    /// The number of the shape of the event on `tape` and its values, if its outline is known.
    pub(super) fn find<'f>(
        &'f mut self,
        route: RouteId,
        outline: &'f Outline,
        tape: &'f Tape<'f>,
    ) -> Option<(usize, Found<'f>)> {
        let stamp = tape.keys().stamp();
        if stamp != self.stamp {
            self.clear();
            self.stamp = stamp;
            return None;
        }
        let at = self.position(self.hash(outline), route, (outline, tape))?;
        let Self { list, constants, .. } = self;
        let Known { way, last, .. } = list.get_mut(at)?;
        let (shape, sources) = way.as_ref()?;
        Some((*shape, Found { sources, last, constants, outline, tape }))
    }

    /// Keeps the outline of the event that `draft` holds the rows of, unless it is known.
    pub(super) fn keep(
        &mut self,
        route: RouteId,
        (outline, tape): (&Outline, &Tape<'_>),
        (shape, draft): (usize, &Draft),
        (compared, texts): (&[Compared], &mut Texts),
    ) {
        let hash = self.hash(outline);
        let is_full = self.list.len() >= OUTLINES_MAX || self.all_bytes() >= BYTES_MAX;
        let are_other_keys = tape.keys().stamp() != self.stamp;
        if is_full || are_other_keys || self.position(hash, route, (outline, tape)).is_some() {
            return;
        }
        outline.places(tape, &mut self.of_token);
        let of_token = &self.of_token;
        let pairs = compared.iter().map(|compared| pair(compared, of_token, (outline, tape)));
        let (pairs, way) = match pairs.collect::<Option<Box<[_]>>>() {
            Some(pairs) => {
                let constants = (&mut self.constants, texts);
                (pairs, sources((outline, tape), of_token, draft, constants))
            }
            // Its rows hang on a text that is at no place.
            None => (Box::default(), None),
        };
        let way = way.map(|sources| (shape, sources));
        let values = way.as_ref().map_or(0, |(_, sources)| sources.len());
        self.bytes += size_of::<Known>()
            + size_of_val(outline.key())
            + outline.names().len()
            + size_of_val(&*pairs)
            + values * (size_of::<Source>() + size_of::<u32>());
        let at = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        self.list.push(Known {
            hash,
            route,
            key: outline.key().into(),
            names: outline.names().into(),
            way,
            pairs,
            last: vec![UNNUMBERED; values].into(),
        });
        let list = &self.list;
        let hash_of = |&at: &u32| list.get(at as usize).map_or(0, |known| known.hash);
        self.table.insert_unique(hash, at, hash_of);
    }

    /// Numbers the constant texts anew in `texts`, which knows other texts than before.
    pub(super) fn renumber(&mut self, texts: &mut Texts) {
        self.constants.renumber(texts);
    }

    /// About the bytes of its constant texts among the texts of a batch.
    pub(super) fn bytes_in_texts(&self) -> u64 {
        self.constants.bytes_in_texts()
    }

    fn all_bytes(&self) -> usize {
        self.bytes + self.constants.bytes()
    }

    /// True if the next batch would better begin without any.
    pub(super) fn is_crowded(&self) -> bool {
        self.list.len() > OUTLINES_MAX / 2 || self.all_bytes() > BYTES_MAX / 2
    }

    /// Forgets all outlines.
    pub(super) fn clear(&mut self) {
        self.table.clear();
        self.list.clear();
        self.constants.clear();
        self.bytes = 0;
    }

    fn hash(&self, outline: &Outline) -> u64 {
        self.hasher.hash_one((outline.key(), outline.names()))
    }

    /// The number of the outline whose pairs are so, too.
    fn position(
        &self,
        hash: u64,
        route: RouteId,
        (outline, tape): (&Outline, &Tape<'_>),
    ) -> Option<usize> {
        let is = |&at: &u32| {
            self.list.get(at as usize).is_some_and(|known| {
                known.hash == hash
                    && known.route == route
                    && *known.key == *outline.key()
                    && *known.names == *outline.names()
                    && known.pairs.iter().all(|pair| pair.is_so(outline, tape))
            })
        };
        self.table.find(hash, is).map(|&at| at as usize)
    }
}

/// Where in the outline the two texts stand; `None` if what stands there is not their text.
fn pair(
    compared: &Compared,
    of_token: &[u32],
    (outline, tape): (&Outline, &Tape<'_>),
) -> Option<Pair> {
    let place = |token: u32| {
        let at = *of_token.get(token as usize).filter(|at| **at != u32::MAX)?;
        let node = tape.node(token);
        let text = match node.kind() {
            Json::String => node.text()?,
            Json::Number | Json::True | Json::False => node.raw().into(),
            // Both are the same compact JSON.
            Json::Array => return Some(at),
            _ => return None,
        };
        (text == outline.text(tape, at)).then_some(at)
    };
    Some(Pair {
        one: place(compared.token)?,
        other: place(compared.of)?,
        are_same: compared.are_same,
    })
}

/// Where each value came from; `None` if that is not certain of one of them.
fn sources(
    (outline, tape): (&Outline, &Tape<'_>),
    of_token: &[u32],
    draft: &Draft,
    (constants, texts): (&mut Constants, &mut Texts),
) -> Option<Box<[Source]>> {
    let source = |value: &Value| {
        let Some(token) = value.token() else {
            if value.kind != Kind::Text {
                return None;
            }
            let text = std::str::from_utf8(draft.text(value, texts)).ok()?.to_owned();
            return Some(Source::Constant(constants.place(&text, texts)));
        };
        let text = draft.text(value, texts);
        let at = *of_token.get(token as usize).filter(|at| **at != u32::MAX)?;
        let cell = outline.cell(tape, at)?;
        let is_its = value.is(&cell.value) || value.kind == Kind::Text;
        (is_its && cell.text.as_bytes() == text).then_some(Source::Place(at))
    };
    draft.values().iter().map(source).collect()
}
