//! What tells two states of the tables apart, and what each difference means to each warehouse.
//!
//! Pure: columns in, differences out. `unified::forecast` says what a configuration makes of the
//! tables that there are, `cli::schema` reads both sides and prints.

use std::collections::BTreeMap;

use super::ddl;
use super::{ColumnType, Dialect};
use crate::clock::Timestamp;

/// Tables by `schema.table`.
pub type Tables = BTreeMap<String, Table>;

/// A table as its readers see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Of a unified table the generation, which is its folder; else 0.
    pub generation: u32,
    /// False if no new rows come.
    pub is_fed: bool,
    /// The columns in their order.
    pub columns: Vec<Column>,
}

/// A column of a [`Table`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name, lower case.
    pub name: String,
    /// Its type.
    pub kind: ColumnType,
    /// Bound of its strings in bytes; 0 for other types.
    pub string_bytes: u64,
    /// It is never null.
    pub is_required: bool,
    /// False if no new values come.
    pub is_fed: bool,
    /// When it was first seen.
    pub first_seen: Timestamp,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `schema.table`.
    pub table: String,
    /// The column, unless the whole table differs.
    pub column: Option<String>,
    /// What differs.
    pub change: Change,
}

/// What differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// There was no such table.
    TableAdded {
        /// Its columns.
        columns: usize,
    },
    /// There is no such table any more.
    TableGone,
    /// The table is there and gets no more rows.
    TableEnded,
    /// The table was there and gets rows again.
    TableBegun,
    /// Its rows go to the folder of another generation.
    Generation {
        /// From this one.
        from: u32,
        /// To this one.
        to: u32,
    },
    /// There was no such column.
    Added {
        /// The column.
        column: Column,
        /// It stands behind all that were there.
        is_last: bool,
    },
    /// There is no such column any more.
    Gone,
    /// The column is there and gets no more values.
    Ended,
    /// The column was there and gets values, which it did not.
    Begun,
    /// It has another type.
    Retyped {
        /// It had this one.
        from: Column,
        /// It has this one.
        to: Column,
    },
    /// It stands in another place among the columns that are on both sides.
    Moved,
    /// Its longest string may be longer.
    Widened {
        /// It was this.
        from: Column,
        /// It is this.
        to: Column,
    },
    /// It may be null now.
    Nullable,
}

/// What a difference means to one warehouse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// What has to be done or is to be expected, in words.
    pub text: String,
    /// What reads the table goes wrong or misses rows.
    pub breaks: bool,
}

/// All differences, by table and then in the order of the columns.
#[must_use]
pub fn diff(old: &Tables, new: &Tables) -> Vec<Difference> {
    let mut found = Vec::new();
    for (name, was) in old {
        let mut note = |column: Option<&str>, change| {
            let column = column.map(str::to_owned);
            found.push(Difference { table: name.clone(), column, change });
        };
        match new.get(name) {
            None => note(None, Change::TableGone),
            Some(is) => diff_table(was, is, &mut note),
        }
    }
    for (name, is) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
        let change = Change::TableAdded { columns: is.columns.len() };
        found.push(Difference { table: name.clone(), column: None, change });
    }
    found
}

fn diff_table(was: &Table, is: &Table, note: &mut impl FnMut(Option<&str>, Change)) {
    if was.generation != is.generation {
        note(None, Change::Generation { from: was.generation, to: is.generation });
    }
    if was.is_fed && !is.is_fed {
        note(None, Change::TableEnded);
    }
    if !was.is_fed && is.is_fed {
        note(None, Change::TableBegun);
    }
    let find = |table: &'_ Table, name: &str| -> Option<usize> {
        table.columns.iter().position(|column| column.name == name)
    };
    let last_known = is.columns.iter().rposition(|column| find(was, &column.name).is_some());
    let mut highest = None;
    for from in &was.columns {
        let Some(place) = find(is, &from.name) else {
            note(Some(&from.name), Change::Gone);
            continue;
        };
        let Some(to) = is.columns.get(place) else { continue };
        if highest.is_some_and(|highest| place < highest) {
            note(Some(&from.name), Change::Moved);
        }
        highest = highest.max(Some(place));
        diff_column((from, was.is_fed), (to, is.is_fed), note);
    }
    for (at, column) in is.columns.iter().enumerate() {
        if find(was, &column.name).is_none() {
            let is_last = last_known.is_none_or(|known| at > known);
            note(Some(&column.name), Change::Added { column: column.clone(), is_last });
        }
    }
}

/// Each side with whether its table gets rows at all.
fn diff_column(
    (from, table_was_fed): (&Column, bool),
    (to, table_is_fed): (&Column, bool),
    note: &mut impl FnMut(Option<&str>, Change),
) {
    let name = Some(from.name.as_str());
    if from.kind != to.kind {
        note(name, Change::Retyped { from: from.clone(), to: to.clone() });
    } else if from.string_bytes < to.string_bytes {
        note(name, Change::Widened { from: from.clone(), to: to.clone() });
    }
    if from.is_required && !to.is_required {
        note(name, Change::Nullable);
    }
    if from.is_fed && !to.is_fed && table_is_fed {
        note(name, Change::Ended);
    }
    if !from.is_fed && to.is_fed && table_was_fed {
        note(name, Change::Begun);
    }
}

impl Difference {
    /// What it means to `dialect`; `None` if nothing.
    #[must_use]
    pub fn effect(&self, dialect: Dialect) -> Option<Effect> {
        let breaks = |text: String| Some(Effect { text, breaks: true });
        let goes_on = |text: String| Some(Effect { text, breaks: false });
        // Its COPY of Parquet goes by position.
        let by_position = dialect == Dialect::Redshift;
        match &self.change {
            Change::TableAdded { columns } => goes_on(format!("a new table of {columns} columns")),
            Change::TableGone => breaks("the table is gone".into()),
            Change::TableEnded => breaks("the table gets no more rows".into()),
            Change::TableBegun => goes_on("the table gets rows again".into()),
            Change::Begun => goes_on("the column gets values, which it did not".into()),
            Change::Generation { from, to } => {
                breaks(format!("rows go to the folder v{to}, none to v{from} any more"))
            }
            Change::Added { column, is_last } => {
                let text = format!("add column {}", type_name(dialect, column));
                if by_position && !is_last {
                    return breaks(format!(
                        "{text}, which is not the last one: COPY goes by place"
                    ));
                }
                goes_on(text)
            }
            Change::Gone => breaks("the column is gone".into()),
            Change::Ended => breaks("the column gets no more values".into()),
            Change::Retyped { from, to } => {
                let (from, to) = (type_name(dialect, from), type_name(dialect, to));
                (from != to).then(|| Effect { text: format!("{from} -> {to}"), breaks: true })
            }
            Change::Moved => by_position.then(|| Effect {
                text: "the column stands elsewhere: COPY goes by place".into(),
                breaks: true,
            }),
            Change::Widened { from, to } => {
                let (from, to) = (type_name(dialect, from), type_name(dialect, to));
                (from != to).then(|| Effect { text: format!("{from} -> {to}"), breaks: false })
            }
            Change::Nullable => breaks("the column may be null".into()),
        }
    }

    /// True if it goes wrong in any warehouse.
    #[must_use]
    pub fn breaks(&self) -> bool {
        Dialect::ALL.iter().any(|dialect| self.effect(*dialect).is_some_and(|it| it.breaks))
    }
}

impl Change {
    /// A stable label.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::TableAdded { .. } => "table_added",
            Self::TableGone => "table_gone",
            Self::TableEnded => "table_ended",
            Self::TableBegun => "table_begun",
            Self::Generation { .. } => "generation",
            Self::Added { .. } => "added",
            Self::Gone => "gone",
            Self::Ended => "ended",
            Self::Begun => "begun",
            Self::Retyped { .. } => "retyped",
            Self::Moved => "moved",
            Self::Widened { .. } => "widened",
            Self::Nullable => "nullable",
        }
    }
}

fn type_name(dialect: Dialect, column: &Column) -> String {
    let bytes = u32::try_from(column.string_bytes).unwrap_or(u32::MAX);
    let column = ddl::Column {
        name: &column.name,
        kind: column.kind,
        string_bytes: (column.string_bytes > 0).then_some(bytes),
        is_required: column.is_required,
    };
    ddl::type_name(dialect, &column)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, kind: ColumnType) -> Column {
        let string_bytes = if kind == ColumnType::String { 256 } else { 0 };
        Column {
            name: name.to_owned(),
            kind,
            string_bytes,
            is_required: false,
            is_fed: true,
            first_seen: Timestamp::from_millis(0),
        }
    }

    fn table(columns: &[Column]) -> Table {
        Table { generation: 0, is_fed: true, columns: columns.to_vec() }
    }

    fn found(old: &Table, new: &Table) -> Vec<(String, &'static str, bool)> {
        let tables = |table: &Table| BTreeMap::from([("s.t".to_owned(), table.clone())]);
        let differences = diff(&tables(old), &tables(new));
        let name = |one: &Difference| one.column.clone().unwrap_or_default();
        differences.iter().map(|one| (name(one), one.change.label(), one.breaks())).collect()
    }

    #[test]
    fn what_is_added_behind_breaks_nothing() {
        let id = column("id", ColumnType::String);
        let price = column("price", ColumnType::Int);
        let old = table(&[id.clone(), price.clone()]);
        let size = column("size", ColumnType::Float);
        let new = table(&[id.clone(), price.clone(), size.clone()]);
        assert_eq!(found(&old, &new), [("size".to_owned(), "added", false)]);
        assert_eq!(found(&old, &old), []);
        let between = table(&[id.clone(), size, price.clone()]);
        assert_eq!(found(&old, &between), [("size".to_owned(), "added", true)]);
        let swapped = table(&[price, id]);
        assert_eq!(found(&old, &swapped), [("price".to_owned(), "moved", true)]);
    }

    #[test]
    fn only_redshift_goes_by_place_and_counts_bytes() {
        let id = column("id", ColumnType::String);
        let wide = Column { string_bytes: 1_024, ..id.clone() };
        let tables = |column: &Column| {
            BTreeMap::from([("s.t".to_owned(), table(std::slice::from_ref(column)))])
        };
        let [widened] = diff(&tables(&id), &tables(&wide)).try_into().unwrap();
        let effect = |dialect| Difference::effect(&widened, dialect);
        assert_eq!(effect(Dialect::Redshift).unwrap().text, "varchar(256) -> varchar(1024)");
        assert_eq!(effect(Dialect::Snowflake), None);
        assert!(!widened.breaks());
    }

    #[test]
    fn what_readers_miss_breaks_them() {
        let id = column("id", ColumnType::String);
        let price = column("price", ColumnType::Int);
        let old = table(&[id.clone(), price.clone()]);
        let retyped = table(&[id.clone(), column("price", ColumnType::Float)]);
        assert_eq!(found(&old, &retyped), [("price".to_owned(), "retyped", true)]);
        assert_eq!(
            found(&old, &table(std::slice::from_ref(&id))),
            [("price".to_owned(), "gone", true)]
        );
        let ended = table(&[id, Column { is_fed: false, ..price }]);
        assert_eq!(found(&old, &ended), [("price".to_owned(), "ended", true)]);
        assert_eq!(found(&ended, &old), [("price".to_owned(), "begun", false)]);
        let other = Table { generation: 2, ..old.clone() };
        assert_eq!(found(&old, &other), [(String::new(), "generation", true)]);
        let silent = Table { is_fed: false, ..old.clone() };
        assert_eq!(found(&old, &silent), [(String::new(), "table_ended", true)]);
        assert_eq!(found(&silent, &old), [(String::new(), "table_begun", false)]);
    }
}
