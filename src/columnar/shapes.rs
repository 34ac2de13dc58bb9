//! Shapes of events that came before, and where the values of each go.
//!
//! Events of one kind from one program have the same members with the same types again and again.
//! For each such shape it is found once which column of which table takes each value, so that its
//! events cost no look-up per cell and row. A shape that needs a closer look at its
//! values, and every one beyond the bound, is given to the tables cell by cell.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::builder::Push;
use super::draft::Mark;
use super::tables::RouteId;

/// Shapes that are kept.
const SHAPES_MAX: usize = if cfg!(test) { 16 } else { 4_096 };

/// Bytes that they take, all together.
const BYTES_MAX: usize = if cfg!(test) { 64 << 10 } else { 32 << 20 };

/// Rows and cells of a shape that is kept, at most: ten times what an event usually has.
const MARKS_MAX: usize = 1_024;

/// How an event of a shape goes to its tables.
#[derive(Debug)]
pub(super) struct Way {
    /// What it puts among the texts that wait.
    pub(super) numbers: Box<[Push]>,
    /// And among the other values.
    pub(super) bits: Box<[Push]>,
    /// Its rows, in the order in which they are given.
    pub(super) rows: Box<[WayRow]>,
}

impl Way {
    fn bytes(&self) -> usize {
        let row = |row: &WayRow| size_of::<WayRow>() + size_of_val(&*row.lengths);
        let rows: usize = self.rows.iter().map(row).sum();
        size_of_val(&*self.numbers) + size_of_val(&*self.bits) + rows
    }
}

/// A row of a way.
#[derive(Debug)]
pub(super) struct WayRow {
    /// The table.
    pub(super) table: usize,
    /// How often its columns had changed their types.
    pub(super) turns: u32,
    /// The number of the plan.
    pub(super) plan: u32,
    /// Bytes that every row adds to the table's size.
    pub(super) bytes: u64,
    /// Places of the values whose texts are added to that.
    pub(super) lengths: Box<[u32]>,
}

/// A shape.
struct Shape {
    hash: u64,
    route: RouteId,
    event_type: Box<str>,
    marks: Box<[Mark]>,
    way: Option<Way>,
    /// Events of this shape since it was last tried to find a way, and how many come before the
    /// next try.
    since: u32,
    wait: u32,
}

/// Shapes, kept from batch to batch.
pub(super) struct Shapes {
    hasher: RandomState,
    table: HashTable<u32>,
    list: Vec<Shape>,
    most: usize,
    /// About the bytes of all.
    bytes: usize,
}

impl Default for Shapes {
    fn default() -> Self {
        let (hasher, table) = (RandomState::default(), HashTable::new());
        Self { hasher, table, list: Vec::new(), most: SHAPES_MAX, bytes: 0 }
    }
}

/// What is known of an event's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// There may be a way for the shape of that number.
    Way(usize),
    /// None was found last time.
    NoWay,
    /// It is new, or none was found long ago: to be tried.
    Untried,
}

impl Shapes {
    /// Finds the shape of an event and counts it.
    pub(super) fn find(&mut self, route: RouteId, event_type: &str, marks: &[Mark]) -> Known {
        let hash = self.hash(marks);
        let Some(at) = self.position(hash, route, event_type, marks) else {
            let has_room = self.list.len() < self.most && self.bytes < BYTES_MAX;
            let is_kept = marks.len() <= MARKS_MAX && has_room;
            return if is_kept { Known::Untried } else { Known::NoWay };
        };
        let Some(shape) = self.list.get_mut(at) else { return Known::NoWay };
        if shape.way.is_some() {
            return Known::Way(at);
        }
        shape.since += 1;
        if shape.since < shape.wait { Known::NoWay } else { Known::Untried }
    }

    /// The way of a shape.
    pub(super) fn way(&self, at: usize) -> Option<&Way> {
        self.list.get(at)?.way.as_ref()
    }

    /// Drops the way of a shape, which does not hold any more; it is to be tried again.
    pub(super) fn drop_way(&mut self, at: usize) {
        if let Some(shape) = self.list.get_mut(at) {
            self.bytes -= shape.way.take().as_ref().map_or(0, Way::bytes);
            shape.since = shape.wait;
        }
    }

    /// Keeps what was found for a shape; returns its number. Where there was no way, the next tries are
    /// further and further apart.
    pub(super) fn keep(
        &mut self,
        route: RouteId,
        event_type: &str,
        marks: &[Mark],
        way: Option<Way>,
    ) -> usize {
        let hash = self.hash(marks);
        self.bytes += way.as_ref().map_or(0, Way::bytes);
        if let Some(at) = self.position(hash, route, event_type, marks) {
            if let Some(shape) = self.list.get_mut(at) {
                shape.wait = if way.is_some() { 1 } else { shape.wait.saturating_mul(2).max(1) };
                let before = std::mem::replace(&mut shape.way, way);
                self.bytes -= before.as_ref().map_or(0, Way::bytes);
                shape.since = 0;
            }
            return at;
        }
        self.bytes += size_of::<Shape>() + event_type.len() + size_of_val(marks);
        let number = self.list.len();
        let at = u32::try_from(number).unwrap_or(u32::MAX);
        let (event_type, marks) = (event_type.into(), marks.into());
        self.list.push(Shape { hash, route, event_type, marks, way, since: 0, wait: 1 });
        let list = &self.list;
        let hash_of = |&at: &u32| list.get(at as usize).map_or(0, |shape| shape.hash);
        self.table.insert_unique(hash, at, hash_of);
        number
    }

    /// Goes on to the next batch, whose columns are other ones: every shape without a way is tried.
    pub(super) fn begin_batch(&mut self) {
        for shape in self.list.iter_mut().filter(|shape| shape.way.is_none()) {
            (shape.since, shape.wait) = (0, 0);
        }
    }

    /// True if the next batch would better begin without any.
    pub(super) const fn is_crowded(&self) -> bool {
        self.list.len() > SHAPES_MAX / 2 || self.bytes > BYTES_MAX / 2
    }

    /// Knows no shape from now on.
    #[cfg(test)]
    pub(super) const fn know_none(&mut self) {
        self.most = 0;
    }

    /// Forgets all shapes.
    pub(super) fn clear(&mut self) {
        self.table.clear();
        self.list.clear();
        self.bytes = 0;
    }

    fn hash(&self, marks: &[Mark]) -> u64 {
        self.hasher.hash_one(marks)
    }

    fn position(
        &self,
        hash: u64,
        route: RouteId,
        event_type: &str,
        marks: &[Mark],
    ) -> Option<usize> {
        let is = |&at: &u32| {
            self.list.get(at as usize).is_some_and(|shape| {
                shape.hash == hash
                    && shape.route == route
                    && *shape.marks == *marks
                    && *shape.event_type == *event_type
            })
        };
        self.table.find(hash, is).map(|&at| at as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(pushes: usize) -> Way {
        let numbers = vec![Push::Text(0); pushes].into();
        Way { numbers, bits: Box::default(), rows: Box::default() }
    }

    #[test]
    fn shapes_have_a_bound_in_bytes() {
        let mut shapes = Shapes::default();
        let find = |shapes: &mut Shapes, name: &str| shapes.find(RouteId(0), name, &[]);
        let half = way(BYTES_MAX / 2 / size_of::<Push>() + 1).numbers.len();
        let one = shapes.keep(RouteId(0), "one", &[], Some(way(half)));
        assert!(shapes.is_crowded());
        assert_eq!(find(&mut shapes, "two"), Known::Untried);
        shapes.keep(RouteId(0), "two", &[], Some(way(half)));
        assert_eq!(find(&mut shapes, "three"), Known::NoWay);
        // What is dropped makes room.
        shapes.drop_way(one);
        assert_eq!(find(&mut shapes, "three"), Known::Untried);
        shapes.keep(RouteId(0), "one", &[], Some(way(half)));
        shapes.keep(RouteId(0), "one", &[], Some(way(1)));
        assert_eq!(find(&mut shapes, "three"), Known::Untried);
        shapes.clear();
        assert!(!shapes.is_crowded());
    }
}
