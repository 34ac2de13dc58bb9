//! Paths of keys, each worked out once: its column, and what is special about it.
//!
//! A path is found by its parent and the id of its last key, so that no text is touched on the way.
//! Ids of keys live as long as a generation of the parser's keys; the paths are forgotten with them,
//! the names of the columns are not.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::event::{KeyId, Keys};
use crate::warehouse::names::{Joined, NameMode, Namer};
use crate::warehouse::rules::{EventKind, Part};

use super::intern::Names;

/// The path has no column.
pub(super) const NO_COLUMN: u32 = u32::MAX;
/// The parent of a part's own path.
pub(super) const NO_PARENT: u32 = u32::MAX;

/// A key that no column may come from: readers of other languages would stumble over it.
pub(super) const HOSTILE: u8 = 1;
/// The layout fills a column of this name in some table.
pub(super) const STANDARD: u8 = 2;
/// One of the members of `context` that the gateway writes itself.
pub(super) const INJECTED: u8 = 4;
/// An object here may be a mangled string, which goes to the path's column.
pub(super) const MANGLED: u8 = 8;
/// An object here may be a mangled string, which has no column.
pub(super) const MANGLED_LOST: u8 = 16;

/// What the gateway puts into `context`: ids and types of source and destination.
pub(super) const INJECTED_KEYS: [&str; 4] =
    ["sourceId", "sourceType", "destinationId", "destinationType"];

/// Longest joined path that is kept. A name has at most 255 bytes, none fewer than what it is made
/// from, and no word's end hangs on more than the two bytes behind it.
const JOINED_BYTES_MAX: usize = 320;
/// Paths kept between events.
const KEPT_PATHS_MAX: usize = 65_536;
/// Paths that one event may have; ten times the columns of the widest dialect but two.
const EVENT_PATHS_MAX: usize = 16_384;
/// Roots: five parts in eight modes.
const ROOTS: usize = 40;

/// A path.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) parent: u32,
    pub(super) key: KeyId,
    /// The column's number or [`NO_COLUMN`].
    pub(super) column: u32,
    /// One bit for each kind of event that leaves a client's value for this column out.
    pub(super) reserved: u8,
    pub(super) flags: u8,
    /// The part is the context.
    in_context: bool,
    mode: NameMode,
    /// What names below it start with; only where there is anything below.
    prefix: Option<Box<Prefix>>,
}

/// A path as the beginning of others.
#[derive(Clone, Debug, Default)]
struct Prefix {
    joined: Joined,
    /// Part and keys joined by underscores, as they are.
    raw: String,
}

impl Prefix {
    fn push(&mut self, at_root: bool, key: &str) {
        if !at_root {
            self.joined.push("_", JOINED_BYTES_MAX);
            self.raw.push('_');
        }
        self.joined.push(key, JOINED_BYTES_MAX);
        if self.raw.len() < JOINED_BYTES_MAX {
            let room = key.floor_char_boundary(JOINED_BYTES_MAX);
            self.raw.push_str(key.get(..room).unwrap_or_default());
        }
    }
}

/// All paths of a generation.
#[derive(Debug)]
pub(super) struct Paths {
    hasher: RandomState,
    table: HashTable<u32>,
    list: Vec<Path>,
    roots: [u32; ROOTS],
    generation: u64,
    /// Members of the event at hand that have been looked for.
    met: usize,
    scratch: Prefix,
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            hasher: RandomState::default(),
            table: HashTable::new(),
            list: Vec::new(),
            roots: [NO_PARENT; ROOTS],
            generation: 0,
            met: 0,
            scratch: Prefix::default(),
        }
    }
}

/// What is known of a column whoever writes it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ColumnTraits {
    reserved: u8,
    flags: u8,
}

/// The columns met so far, and how new ones are named.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) namer: Namer,
    pub(super) names: Names,
    traits: Vec<ColumnTraits>,
    load_time: Vec<&'static str>,
}

impl Columns {
    /// No columns yet; clients' values for those in `load_time` are left out.
    pub(super) fn new(namer: Namer, load_time: Vec<&'static str>) -> Self {
        Self { namer, names: Names::default(), traits: Vec::new(), load_time }
    }

    /// The number of a column; what is special about it is worked out when it is new.
    pub(super) fn intern(&mut self, name: &str) -> u32 {
        let id = self.names.intern(name);
        if self.traits.len() < self.names.len() {
            let all = self.load_time.contains(&name);
            let reserved = EventKind::ALL
                .into_iter()
                .filter(|kind| all || kind.reserves(name))
                .fold(0, |bits, kind| bits | kind_bit(kind));
            self.traits.push(ColumnTraits { reserved, flags: 0 });
        }
        id
    }

    /// The number of a column that the layout fills.
    pub(super) fn intern_standard(&mut self, name: &str) -> u32 {
        let id = self.intern(name);
        if let Some(traits) = self.traits.get_mut(id as usize) {
            traits.flags |= STANDARD;
        }
        id
    }
}

/// The bit of a kind in [`Path::reserved`].
pub(super) const fn kind_bit(kind: EventKind) -> u8 {
    1 << kind as u8
}

impl Paths {
    /// Forgets all paths when the parser has forgotten its keys, or when there are too many.
    pub(super) fn begin_event(&mut self, keys: &Keys) {
        if self.generation != keys.generation() || self.list.len() > KEPT_PATHS_MAX {
            self.clear();
            self.generation = keys.generation();
        }
        self.met = 0;
    }

    /// True if the event has more paths than one may have; some of them are missing. Whether they
    /// were known before does not count: an event has the same rows whatever came before it.
    pub(super) const fn are_too_many(&self) -> bool {
        self.met > EVENT_PATHS_MAX
    }

    /// Forgets all paths.
    pub(super) fn clear(&mut self) {
        *self = Self { generation: self.generation, ..Self::default() };
    }

    pub(super) fn path(&self, id: u32) -> Option<&Path> {
        self.list.get(id as usize)
    }

    /// The path of a whole part.
    pub(super) fn root(&mut self, part: Part, mode: NameMode) -> u32 {
        let slot = mode.index() * 5 + part as usize;
        if self.roots[slot] != NO_PARENT {
            return self.roots[slot];
        }
        let mut joined = Joined::default();
        joined.push(part.prefix(), JOINED_BYTES_MAX);
        let id = u32::try_from(self.list.len()).unwrap_or(NO_PARENT);
        self.list.push(Path {
            parent: NO_PARENT,
            key: KeyId::NONE,
            column: NO_COLUMN,
            reserved: 0,
            flags: if part == Part::ContextTraits { MANGLED_LOST } else { 0 },
            in_context: part == Part::Context,
            mode,
            prefix: Some(Box::new(Prefix { joined, raw: part.prefix().to_owned() })),
        });
        self.roots[slot] = id;
        id
    }

    /// The path of the member `key` of the object at `parent`.
    #[inline]
    pub(super) fn child(
        &mut self,
        parent: u32,
        key: KeyId,
        keys: &Keys,
        columns: &mut Columns,
    ) -> u32 {
        self.met += 1;
        let hash = self.hasher.hash_one(step(parent, key));
        let list = &self.list;
        let is = |&id: &u32| {
            list.get(id as usize).is_some_and(|path| path.parent == parent && path.key == key)
        };
        match self.table.find(hash, is) {
            Some(&id) => id,
            None => self.new_child(parent, key, keys.text(key), columns),
        }
    }

    #[cold]
    fn new_child(&mut self, parent: u32, key: KeyId, text: &str, columns: &mut Columns) -> u32 {
        if self.are_too_many() {
            return NO_PARENT;
        }
        let Some(above) = self.list.get(parent as usize) else { return NO_PARENT };
        let Some(prefix) = &above.prefix else { return NO_PARENT };
        let at_root = above.parent == NO_PARENT;
        self.scratch.clone_from(prefix);
        self.scratch.push(at_root, text);
        let Prefix { joined, raw } = &self.scratch;
        let mode = above.mode;
        let name = if mode.blendo {
            columns.namer.blendo_column(raw, mode)
        } else {
            columns.namer.column(joined, mode)
        };
        let column = if name.is_empty() { NO_COLUMN } else { columns.intern(&name) };
        let traits = columns.traits.get(column as usize).copied().unwrap_or_default();
        let mut flags = traits.flags | (above.flags & HOSTILE);
        if is_hostile(text) {
            flags |= HOSTILE;
        }
        if at_root && above.in_context && INJECTED_KEYS.contains(&text) {
            flags |= INJECTED;
        }
        if raw.ends_with("context_traits") {
            flags |= if raw == "context_traits" { MANGLED } else { MANGLED_LOST };
        }
        let (reserved, in_context) = (traits.reserved, above.in_context);
        let prefix = None;
        self.insert(Path { parent, key, column, reserved, flags, in_context, mode, prefix })
    }

    /// Makes ready for the members of the object at `id`, whose last key is `key`.
    #[inline]
    pub(super) fn enter(&mut self, id: u32, key: KeyId, keys: &Keys) {
        if self.list.get(id as usize).is_some_and(|path| path.prefix.is_none()) {
            self.enter_new(id, keys.text(key));
        }
    }

    #[cold]
    fn enter_new(&mut self, id: u32, text: &str) {
        let Some(path) = self.list.get(id as usize) else { return };
        let Some(above) = self.list.get(path.parent as usize) else { return };
        let mut prefix = above.prefix.clone().unwrap_or_default();
        prefix.push(above.parent == NO_PARENT, text);
        if let Some(path) = self.list.get_mut(id as usize) {
            path.prefix = Some(prefix);
        }
    }

    fn insert(&mut self, path: Path) -> u32 {
        let hash = self.hasher.hash_one(step(path.parent, path.key));
        let id = u32::try_from(self.list.len()).unwrap_or(NO_PARENT);
        self.list.push(path);
        let (list, hasher) = (&self.list, &self.hasher);
        self.table.insert_unique(hash, id, |&id| {
            let path = list.get(id as usize);
            hasher.hash_one(path.map_or(0, |path| step(path.parent, path.key)))
        });
        id
    }

    /// True if the path `one` comes before `other`: keys are compared by their bytes, level by
    /// level. Both are of one part.
    pub(super) fn precedes(&self, one: u32, other: u32, keys: &Keys) -> bool {
        let (one, other) = (self.steps(one), self.steps(other));
        // What they share need not be compared, however long its keys are.
        let step = one.iter().zip(&other).find(|(one, other)| one.0 != other.0);
        match step {
            Some((one, other)) => keys.text(one.1) < keys.text(other.1),
            None => one.len() < other.len(),
        }
    }

    /// The paths down to `id` with their last keys.
    fn steps(&self, mut id: u32) -> Vec<(u32, KeyId)> {
        let mut all = Vec::new();
        while let Some(path) = self.path(id).filter(|path| path.parent != NO_PARENT) {
            all.push((id, path.key));
            id = path.parent;
        }
        all.reverse();
        all
    }
}

/// Parent and key in one number, which is quicker to hash.
const fn step(parent: u32, key: KeyId) -> u64 {
    (parent as u64) << 32 | (key.index() as u64 & 0xffff_ffff)
}

/// Keys that are names of machinery in JavaScript, or of commands in document stores.
fn is_hostile(key: &str) -> bool {
    matches!(key, "__proto__" | "constructor" | "prototype") || key.starts_with('$')
}
