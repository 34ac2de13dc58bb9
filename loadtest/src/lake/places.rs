//! Where each event has its rows: once in the table of its kind, tracks once more in the table of their
//! name, and track, page and screen events once in the environment's `user_events`. Counts them, and names
//! every table that has too few, too many or others.
//!
//! Ids are kept as 128-bit hashes, about 40 bytes each, so that millions of events fit. Which ones are
//! wrong is read again from the tables.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::path::Path;

use super::manifest::{Committed, File};
use super::table;
use crate::ledger::Outcome;

/// Tables in which every event has its one row: one per kind of event, and the rejected.
const HOMES: [&str; 7] =
    ["tracks", "identifies", "pages", "screens", "groups", "aliases", "rejected"];
/// Those of them whose events are in `user_events`, too; of tracks, the ones whose name makes a table.
const MEMBERS: [&str; 2] = ["pages", "screens"];
/// Tables whose rows are no events.
const BESIDE: [&str; 3] = ["users", "rudder_discards", "rudder_identity_merge_rules"];
/// Where events go whose name would make one table too many.
const OTHER_EVENTS: &str = "other_events";
/// The unified table that every environment has.
const USER_EVENTS: &str = "user_events";
/// Names are cut to 63 bytes at least; only a name as long can be the beginning of another.
const CUT_BYTES_MIN: usize = 62;
/// How many ids are named for each table.
const EXAMPLES_MAX: usize = 5;

/// What is known of one id.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rows {
    /// What its sender was told; none if it is in no ledger.
    pub(super) outcome: Option<Outcome>,
    /// Its rows in tables of kinds.
    pub(super) homes: u8,
    /// Those of them that want one in a table of a name.
    named: u8,
    /// Rows in tables of names.
    events: u8,
    /// It belongs in `user_events`.
    member: bool,
    /// It is there.
    unified: bool,
    /// The last unified table and generation it was seen in.
    seen_in: u16,
    /// Where its last row in a table of a kind is.
    place: u32,
}

/// What the documentation says of memory: a key of 16 bytes beside it, one more and some room.
const _: () = assert!(size_of::<(u128, Rows)>() == 32);

/// A table of a kind, and the name of the events.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Place {
    schema: String,
    table: String,
    event: String,
}

impl Place {
    /// Whether a row of its events may be in the table `name`, which is the event's with a `_` before
    /// reserved words, cut if it is too long, or the one for names too many.
    fn is_of(&self, name: &str) -> bool {
        let bare = name.strip_prefix('_').unwrap_or(name);
        let cut = bare.len() >= CUT_BYTES_MIN && self.event.starts_with(bare);
        name == self.table || name == OTHER_EVENTS || [name, bare].contains(&&*self.event) || cut
    }

    /// The table of its events' name.
    fn event_table(&self) -> String {
        format!("{}.{}", self.schema, self.event)
    }
}

/// What is wrong with one table.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Breach {
    /// Events that have no row in it.
    pub(crate) missing: u64,
    /// Rows beyond an event's one.
    pub(crate) twice: u64,
    /// Rows of events that do not belong there.
    pub(crate) strange: u64,
    /// Some of the ids.
    pub(crate) examples: Vec<String>,
}

impl Breach {
    fn example(&mut self, id: &str) {
        if self.examples.len() < EXAMPLES_MAX && !self.examples.iter().any(|known| known == id) {
            self.examples.push(id.to_owned());
        }
    }

    /// In words.
    pub(super) fn text(&self, table: &str) -> String {
        let counts =
            [(self.missing, "missing"), (self.twice, "too many"), (self.strange, "not its own")];
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        let counts: Vec<String> = counts.map(|(count, what)| format!("{count} {what}")).collect();
        let ids = if self.examples.is_empty() { "" } else { ": " };
        format!("{table}: {}{ids}{}", counts.join(", "), self.examples.join(", "))
    }
}

/// All ids and where they were seen.
#[derive(Debug)]
pub(super) struct Places<'a> {
    lake: &'a Path,
    files: Vec<&'a File>,
    /// Tables that the configuration leaves out.
    without: &'a [String],
    low: RandomState,
    high: RandomState,
    ids: HashMap<u128, Rows>,
    places: Vec<Place>,
    /// The environment that a schema's rows are unified in.
    environments: BTreeMap<String, String>,
    /// Rows in tables of kinds.
    pub(super) homes: u64,
    /// Rows in tables of names.
    pub(super) events: u64,
    /// Rows in unified tables.
    pub(super) unified: u64,
    /// What is wrong, by table.
    pub(super) breaches: BTreeMap<String, Breach>,
    /// Files that cannot be read, and why.
    pub(super) faults: Vec<String>,
}

impl<'a> Places<'a> {
    /// Of the files of `manifests`; `without` names tables, with or without their schema.
    pub(super) fn new(lake: &'a Path, manifests: &'a [Committed], without: &'a [String]) -> Self {
        Self {
            lake,
            files: manifests.iter().flat_map(|one| &one.manifest.files).collect(),
            without,
            low: RandomState::new(),
            high: RandomState::new(),
            ids: HashMap::new(),
            places: Vec::new(),
            environments: BTreeMap::new(),
            homes: 0,
            events: 0,
            unified: 0,
            breaches: BTreeMap::new(),
            faults: Vec::new(),
        }
    }

    /// Two hashes collide with a chance of n^2 / 2^129.
    fn hash(&self, id: &str) -> u128 {
        (u128::from(self.high.hash_one(id)) << 64) | u128::from(self.low.hash_one(id))
    }

    /// The surest of all that the sender ever learnt of the id counts.
    pub(super) fn know(&mut self, id: &str, outcome: Outcome) {
        let hash = self.hash(id);
        let rows = self.ids.entry(hash).or_default();
        rows.outcome = rows.outcome.max(Some(outcome));
    }

    /// What is known of `id`.
    pub(super) fn of(&self, id: &str) -> Rows {
        self.ids.get(&self.hash(id)).copied().unwrap_or_default()
    }

    /// All that is known.
    pub(super) fn all(&self) -> impl Iterator<Item = &Rows> {
        self.ids.values()
    }

    /// Reads all tables; `stranger` is told of ids that no ledger has.
    pub(super) fn read(&mut self, mut stranger: impl FnMut(&str)) {
        for file in self.select(|this, file| this.is_home(file)) {
            self.homes += file.rows;
            self.home(file, &mut stranger);
        }
        for file in self.select(|this, file| this.is_event(file)) {
            self.events += file.rows;
            self.event(file);
        }
        self.users();
        let mut tables: BTreeMap<(&str, &str, &str), Vec<&File>> = BTreeMap::new();
        for file in self.select(|_, file| is_unified(file)) {
            self.unified += file.rows;
            // The generation is part of the folder: a rebuilt table holds every event once again.
            let generation = file.path.split('/').nth(3).unwrap_or_default();
            tables.entry((&file.schema, &file.table, generation)).or_default().push(file);
        }
        for (number, ((schema, table, _), files)) in tables.into_iter().enumerate() {
            let number = u16::try_from(number + 1).unwrap_or(u16::MAX);
            for file in files {
                self.unified(file, &format!("{schema}.{table}"), number);
            }
        }
        self.judge();
    }

    fn select(&self, is: impl Fn(&Self, &File) -> bool) -> Vec<&'a File> {
        self.files.iter().copied().filter(|file| is(self, file)).collect()
    }

    fn leaves_out(&self, schema: &str, table: &str) -> bool {
        let full = format!("{schema}.{table}");
        self.without.iter().any(|name| name == table || *name == full)
    }

    /// Where tracks are left out, the tables of names are those of the kind.
    fn is_home(&self, file: &File) -> bool {
        let by_name = self.is_named(file) && self.leaves_out(&file.schema, "tracks");
        !is_unified(file) && (HOMES.contains(&&*file.table) || by_name)
    }

    fn is_named(&self, file: &File) -> bool {
        let table = file.table.as_str();
        !is_unified(file) && !HOMES.contains(&table) && !BESIDE.contains(&table)
    }

    fn is_event(&self, file: &File) -> bool {
        self.is_named(file) && !self.is_home(file)
    }

    /// Reads columns of a file; what cannot be read is a fault. A file that is not there was named.
    fn rows<const N: usize>(
        &mut self,
        file: &File,
        columns: [&str; N],
        mut each: impl FnMut(&mut Self, [Option<&str>; N]),
    ) {
        let path = self.lake.join(&file.path);
        if path.is_file() {
            let read = table::each_row(&path, columns, |row| each(self, row));
            self.faults.extend(read.err().map(|fault| format!("{fault:#}")));
        }
    }

    fn home(&mut self, file: &File, stranger: &mut impl FnMut(&str)) {
        let by_name = self.is_named(file);
        let member = by_name || MEMBERS.contains(&&*file.table);
        let mut known: HashMap<String, u32> = HashMap::new();
        let event = if file.table == "tracks" { "event" } else { "" };
        self.rows(file, ["id", event], |this, [id, event]| {
            let Some(id) = id else { return };
            let event = event.unwrap_or_default();
            let place = match known.get(event) {
                Some(place) => *place,
                None => {
                    let place = this.place(file, event);
                    known.insert(event.to_owned(), place);
                    place
                }
            };
            let hash = this.hash(id);
            let rows = this.ids.entry(hash).or_default();
            rows.homes = rows.homes.saturating_add(1);
            rows.named = rows.named.saturating_add(u8::from(!event.is_empty()));
            rows.member |= member || !event.is_empty();
            rows.place = place;
            if rows.outcome.is_none() {
                stranger(id);
            }
        });
    }

    fn place(&mut self, file: &File, event: &str) -> u32 {
        let place = Place {
            schema: file.schema.clone(),
            table: file.table.clone(),
            event: event.to_owned(),
        };
        let at = self.places.iter().position(|known| *known == place).unwrap_or_else(|| {
            self.places.push(place);
            self.places.len() - 1
        });
        u32::try_from(at).unwrap_or(u32::MAX)
    }

    fn place_of(&self, rows: &Rows) -> Option<&Place> {
        self.places.get(usize::try_from(rows.place).ok()?)
    }

    /// Whether the row of an id that has one home is in a table of that home's schema and name.
    fn fits(&self, rows: &Rows, schema: &str, table: &str) -> bool {
        let at = |place: &Place| place.schema == schema && place.is_of(table);
        // Two sources may have given the same id: then either home will do.
        rows.homes > 1 || (rows.homes == 1 && self.place_of(rows).is_some_and(at))
    }

    fn event(&mut self, file: &File) {
        let name = format!("{}.{}", file.schema, file.table);
        self.rows(file, ["id"], |this, [id]| {
            let Some(id) = id else { return };
            let hash = this.hash(id);
            let rows = this.ids.get(&hash).copied().unwrap_or_default();
            if rows.named == 0 || !this.fits(&rows, &file.schema, &file.table) {
                let breach = this.breaches.entry(name.clone()).or_default();
                breach.strange += 1;
                breach.example(id);
            } else if let Some(rows) = this.ids.get_mut(&hash) {
                rows.events = rows.events.saturating_add(1);
            }
        });
    }

    fn unified(&mut self, file: &File, name: &str, number: u16) {
        self.rows(file, ["id", "_source_schema", "_source_table"], |this, [id, schema, table]| {
            let Some(id) = id else { return };
            let (schema, table) = (schema.unwrap_or_default(), table.unwrap_or_default());
            let hash = this.hash(id);
            let rows = this.ids.get(&hash).copied().unwrap_or_default();
            let fits = this.fits(&rows, schema, table) && this.stays(schema, &file.schema);
            if !fits || (rows.seen_in == number && rows.homes <= 1) {
                let breach = this.breaches.entry(name.to_owned()).or_default();
                breach.strange += u64::from(!fits);
                breach.twice += u64::from(fits);
                breach.example(id);
            }
            if let Some(rows) = this.ids.get_mut(&hash) {
                rows.seen_in = number;
                rows.unified |= file.table == USER_EVENTS;
            }
        });
    }

    /// Whether the rows of `schema` are all unified in one environment.
    fn stays(&mut self, schema: &str, environment: &str) -> bool {
        if let Some(known) = self.environments.get(schema) {
            return known == environment;
        }
        self.environments.insert(schema.to_owned(), environment.to_owned());
        true
    }

    /// Every identify of a known user has a row in `users`; those have the user's id, not the event's.
    fn users(&mut self) {
        let mut open: BTreeMap<&str, HashMap<u128, i64>> = BTreeMap::new();
        for (table, column, step) in [("identifies", "user_id", 1), ("users", "id", -1)] {
            for file in self.select(|_, file| !is_unified(file) && file.table == table) {
                let mut users = open.remove(file.schema.as_str()).unwrap_or_default();
                self.rows(file, [column], |this, [user]| {
                    if let Some(user) = user.filter(|user| !user.trim().is_empty()) {
                        *users.entry(this.hash(user)).or_default() += step;
                    }
                });
                open.insert(&file.schema, users);
            }
        }
        for (schema, users) in open {
            if self.leaves_out(schema, "users") {
                continue;
            }
            for left in users.into_values().filter(|left| *left != 0) {
                let breach = self.breaches.entry(format!("{schema}.users")).or_default();
                let count = left.unsigned_abs();
                *(if left > 0 { &mut breach.missing } else { &mut breach.twice }) += count;
            }
        }
    }

    /// Books what each event has too few or too many of, by table, then looks for examples.
    fn judge(&mut self) {
        let mut breaches = std::mem::take(&mut self.breaches);
        let mut wrong = false;
        for rows in self.ids.values() {
            let Some((place, lost, twice, apart)) = self.wrong(rows) else { continue };
            wrong = true;
            if lost + twice > 0 {
                let breach = breaches.entry(place.event_table()).or_default();
                breach.missing += u64::from(lost);
                breach.twice += u64::from(twice);
            }
            if apart {
                breaches.entry(self.user_events(place)).or_default().missing += 1;
            }
        }
        if wrong {
            for file in self.select(|this, file| this.is_home(file)) {
                self.rows(file, ["id"], |this, [id]| {
                    let rows = id.map(|id| this.of(id)).unwrap_or_default();
                    let (Some(id), Some(wrong)) = (id, this.wrong(&rows)) else { return };
                    let (place, lost, twice, apart) = wrong;
                    let tables = [
                        (lost + twice > 0).then(|| place.event_table()),
                        apart.then(|| this.user_events(place)),
                    ];
                    for table in tables.into_iter().flatten() {
                        breaches.entry(table).or_default().example(id);
                    }
                });
            }
        }
        self.breaches = breaches;
    }

    /// Rows that an event lacks in the table of its name, has there too many, and whether it lacks the
    /// one in `user_events`; none if all is right.
    fn wrong(&self, rows: &Rows) -> Option<(&Place, u8, u8, bool)> {
        let place = self.place_of(rows).filter(|_| rows.homes > 0)?;
        let lost = rows.named.saturating_sub(rows.events);
        let twice = rows.events.saturating_sub(rows.named);
        let apart = rows.member && !rows.unified && !self.leaves_out_unified(place);
        (lost + twice > 0 || apart).then_some((place, lost, twice, apart))
    }

    fn leaves_out_unified(&self, place: &Place) -> bool {
        let environment = self.environments.get(&place.schema).map_or("", String::as_str);
        self.leaves_out(environment, USER_EVENTS)
    }

    fn user_events(&self, place: &Place) -> String {
        let environment = self.environments.get(&place.schema);
        environment.map_or_else(
            || format!("{USER_EVENTS} of {}", place.schema),
            |environment| format!("{environment}.{USER_EVENTS}"),
        )
    }
}

fn is_unified(file: &File) -> bool {
    file.path.starts_with("unified/")
}
