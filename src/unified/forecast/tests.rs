//! Forecasts over tables made by hand.

use super::*;
use crate::warehouse::diff::{Change, Difference, diff};

fn column(name: &str, kind: ColumnType) -> Column {
    Column {
        name: name.into(),
        kind,
        string_bytes: 0,
        is_required: false,
        is_fed: true,
        first_seen: Timestamp::from_millis(0),
    }
}

const HOW: Terms =
    Terms { against: Against::Forecast, dialect: Dialect::Datalake, columns_max: 1_600 };

/// Against what there is.
const TABLES: Terms = Terms { against: Against::Tables, ..HOW };

fn source(environment: &str) -> Source {
    let route = Route {
        source_id: format!("web_{environment}"),
        source_name: "web".into(),
        environment: environment.into(),
        platform: String::new(),
        schema: format!("web_{environment}"),
    };
    Source { route, is_enabled: true, skips_tracks: false, skips_users: false }
}

fn base() -> Tables {
    let done = [
        column("id", ColumnType::String),
        column("_timestamp", ColumnType::Datetime),
        column("category", ColumnType::String),
        column("catggory", ColumnType::String),
        column("type", ColumnType::String),
    ];
    let table = Table { generation: 0, is_fed: true, columns: done.to_vec() };
    Tables::from([("web_prod.done".to_owned(), table)])
}

fn unified(block: Block) -> Unified {
    Unified::new(vec![block], vec![("_timestamp".to_owned(), "timestamp".to_owned())])
}

#[test]
fn a_unified_table_is_told_from_its_members() {
    let plan = unified(Block::named("user_events"));
    let tables = forecast(&base(), &plan, &[source("prod")], HOW);
    let table = &tables["unified_prod.user_events"];
    let names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names[..CORE.len()], CORE.map(|(name, ..)| name));
    assert_eq!(names[CORE.len()..], ["category", "catggory", "type__string"]);
}

#[test]
fn a_change_is_told_by_what_ends() {
    let old = forecast(&base(), &unified(Block::named("user_events")), &[source("prod")], HOW);
    let mut block = Block::named("user_events");
    block.exclude_columns = vec!["cat*".into()];
    let new = forecast(&old, &unified(block), &[source("prod")], HOW);
    let ended: Vec<String> = diff(&old, &new)
        .into_iter()
        .filter(|one| one.change == Change::Ended)
        .filter_map(|one| one.column)
        .collect();
    assert_eq!(ended, ["category", "catggory"]);
    let mut off = source("prod");
    off.is_enabled = false;
    let none = forecast(&old, &unified(Block::named("user_events")), &[off], HOW);
    assert!(none.values().all(|table| !table.is_fed));
    let mut next = Block::named("user_events");
    next.generation = 2;
    let next = forecast(&old, &unified(next), &[source("prod")], HOW);
    assert_eq!(next["unified_prod.user_events"].generation, 2);
}

/// What differs between two blocks, on the tables that the first one made.
fn told(old: Block, new: Block, base: &Tables, against: Against) -> Vec<(String, &'static str)> {
    let how = Terms { against, ..HOW };
    let old = forecast(base, &unified(old), &[source("prod")], how);
    let new = forecast(base, &unified(new), &[source("prod")], how);
    let found = diff(&old, &new).into_iter();
    found.map(|one| (one.column.unwrap_or_default(), one.change.label())).collect()
}

#[test]
fn what_comes_back_or_begins_is_told() {
    let plain = Block::named("user_events");
    let mut narrow = plain.clone();
    narrow.exclude_columns = vec!["cat*".into()];
    // The table as the narrow block has made it, and as it was before that.
    for base in [
        forecast(&base(), &unified(narrow.clone()), &[source("prod")], HOW),
        forecast(&base(), &unified(plain.clone()), &[source("prod")], HOW),
    ] {
        let change =
            if base["unified_prod.user_events"].columns.iter().any(|c| c.name == "category") {
                "begun"
            } else {
                "added"
            };
        let wanted = [("category".to_owned(), change), ("catggory".to_owned(), change)];
        assert_eq!(told(narrow.clone(), plain.clone(), &base, Against::Forecast), wanted);
        assert_eq!(told(plain.clone(), plain.clone(), &base, Against::Forecast), []);
    }
    let base = forecast(&base(), &unified(plain.clone()), &[source("prod")], HOW);
    let mut alias = plain.clone();
    alias.aliases = vec![("kind".into(), vec!["category".into()])];
    let wanted = [("kind".to_owned(), "added")];
    assert_eq!(told(plain.clone(), alias, &base, Against::Forecast), wanted);
    let mut less = plain.clone();
    less.exclude_events = vec!["don?".into()];
    let wanted = [(String::new(), "table_begun")];
    assert_eq!(told(less, plain, &base, Against::Forecast), wanted);
}

#[test]
fn a_variant_that_no_value_brought_is_not_to_come() {
    let plan = unified(Block::named("user_events"));
    let mut base = forecast(&base(), &plan, &[source("prod")], HOW);
    // Elsewhere the column is pinned to another type.
    let done = base.get_mut("web_prod.done").unwrap();
    done.columns.push(column("size", ColumnType::Float));
    let events = base.get_mut("unified_prod.user_events").unwrap();
    events.columns.push(column("size", ColumnType::Int));
    let names = |against| {
        let tables = forecast(&base, &plan, &[source("prod")], Terms { against, ..HOW });
        let events = &tables["unified_prod.user_events"];
        events.columns.iter().filter(|column| column.name.starts_with("size")).count()
    };
    assert_eq!((names(Against::Tables), names(Against::Forecast)), (1, 2));
}

#[test]
fn the_first_comer_decides_the_type_of_a_new_generation() {
    let mut base = base();
    let at = |kind, millis| Column {
        first_seen: Timestamp::from_millis(millis),
        ..column("size", kind)
    };
    for (name, kind, millis) in
        [("web_prod.early", ColumnType::String, 2), ("web_prod.late", ColumnType::Int, 1)]
    {
        let table = Table { generation: 0, is_fed: true, columns: vec![at(kind, millis)] };
        base.insert(name.to_owned(), table);
    }
    let plan = unified(Block::named("user_events"));
    let tables = forecast(&base, &plan, &[source("prod")], HOW);
    let columns = &tables["unified_prod.user_events"].columns;
    let size = columns.iter().find(|column| column.name == "size").unwrap();
    assert_eq!(size.kind, ColumnType::Int);
    // Both came at once: as in the generation before.
    base.get_mut("web_prod.late").unwrap().columns = vec![at(ColumnType::Int, 2)];
    let before = Table { generation: 1, is_fed: true, columns: vec![at(ColumnType::Int, 2)] };
    base.insert("unified_prod.user_events".to_owned(), before);
    let next = unified(Block { generation: 2, ..Block::named("user_events") });
    let tables = forecast(&base, &next, &[source("prod")], HOW);
    let columns = &tables["unified_prod.user_events"].columns;
    let size = columns.iter().find(|column| column.name == "size").unwrap();
    assert_eq!(size.kind, ColumnType::Int);
}

/// The tables of a source and its unified table, as text: `name` or `name: type`.
fn tables(members: &[(&str, &[&str])], unified: &[&str]) -> Tables {
    let columns = |texts: &[&str]| -> Vec<Column> {
        let parts = texts.iter().map(|text| text.split_once(": ").unwrap_or((text, "string")));
        parts
            .map(|(name, label)| {
                let kind = KINDS.into_iter().find(|kind| kind.label() == label).unwrap();
                let string_bytes = if kind == ColumnType::String { STRING_BYTES_MIN } else { 0 };
                Column { string_bytes, ..column(name, kind) }
            })
            .collect()
    };
    let member = |(name, texts): &(&str, &[&str])| {
        let table = Table { generation: 0, is_fed: true, columns: columns(texts) };
        (format!("web_prod.{name}"), table)
    };
    let mut tables: Tables = members.iter().map(member).collect();
    let columns = [core(), columns(unified)].concat();
    let events = Table { generation: 1, is_fed: true, columns };
    tables.insert("unified_prod.user_events".to_owned(), events);
    tables
}

/// What a lake is told of `block`, in both directions.
fn against(lake: &Tables, block: &Block, terms: Terms) -> [Vec<(String, &'static str)>; 2] {
    let made = forecast(lake, &unified(block.clone()), &[source("prod")], terms);
    [diff(lake, &made), diff(&made, lake)].map(|found| {
        let name = |one: &Difference| one.column.clone().unwrap_or_default();
        found.iter().map(|one| (name(one), one.change.label())).collect()
    })
}

const NOTHING: [Vec<(String, &str)>; 2] = [Vec::new(), Vec::new()];

#[test]
fn values_of_another_type_go_on_coming() {
    let block = Block::named("user_events");
    for (members, has) in [
        // A pinned column takes some integers and not others.
        (
            &[("done", &["price: float", "price__int: int"][..])][..],
            &["price: float", "price__int: int"][..],
        ),
        // The other table's values came first.
        (&[("a", &["t"][..]), ("pages", &["t: int"])], &["t: float", "t__int: int", "t__string"]),
        // A value that its column took in the member, beside one of the gateway's.
        (&[("done", &["type"][..])], &["type__string", "type__boolean: boolean"]),
        (&[("done", &["event"][..])], &["event__boolean: boolean"]),
        // Pages have no event, so a property of that name stands beside it.
        (&[("pages", &["event"][..])], &["event__string"]),
    ] {
        let lake = tables(members, has);
        assert_eq!(against(&lake, &block, TABLES), NOTHING, "{has:?}");
        // They end with their column.
        let out = Block { exclude_columns: vec!["price".into(), "t".into()], ..block.clone() };
        let ended = against(&lake, &out, TABLES)[0].len();
        let expected =
            has.iter().filter(|name| name.starts_with(['p', 't']) && !name.starts_with("type"));
        assert_eq!(ended, expected.count(), "{has:?}");
    }
}

#[test]
fn the_variant_of_a_long_name_is_known() {
    let long = "x".repeat(120);
    let cut = variant(&long, ColumnType::Datetime, Dialect::Bigquery.name_bytes_max());
    assert!(!cut.starts_with(&long), "the name is not cut: {cut}");
    let [long_int, cut_datetime] = [format!("{long}: int"), format!("{cut}: datetime")];
    let terms = Terms { dialect: Dialect::Bigquery, ..TABLES };
    let block = Block::named("user_events");
    // In the member's table, the unified one or both.
    for (member, has) in [
        (&[&*long_int, &*cut_datetime][..], &[&*long_int, &*cut_datetime][..]),
        (&[&*long_int], &[&*long_int, &*cut_datetime]),
    ] {
        let lake = tables(&[("done", member)], has);
        assert_eq!(against(&lake, &block, terms), NOTHING);
        let out = Block { exclude_columns: vec![long.clone()], ..block.clone() };
        assert_eq!(against(&lake, &out, terms)[0].len(), 2);
    }
}

#[test]
fn past_the_cap_columns_go_to_the_overflow() {
    let block = Block::named("user_events");
    let columns_max = CORE.len() + 2;
    let terms = Terms { columns_max, ..TABLES };
    let lake = tables(&[("done", &["a", "b", "c: int", "d"])], &["a", "_overflow"]);
    assert_eq!(against(&lake, &block, terms), NOTHING);
    // The last place is kept for it.
    let lake = tables(&[("done", &["a", "b", "c: int", "d"])], &["a"]);
    let [found, _] = against(&lake, &block, terms);
    assert_eq!(found, [("_overflow".to_owned(), "added")]);
    let lake = Tables::from([("web_prod.done".to_owned(), lake["web_prod.done"].clone())]);
    let made = forecast(&lake, &unified(block), &[source("prod")], terms);
    let names = made["unified_prod.user_events"].columns.iter().map(|column| &column.name);
    assert_eq!(names.skip(CORE.len()).collect::<Vec<_>>(), ["a", "_overflow"]);
}

#[test]
fn what_is_in_a_members_overflow_goes_on_coming() {
    let members: &[(&str, &[&str])] = &[("wide", &["a", "_overflow"])];
    let lake = tables(members, &["a", "nested: int", "nested__string", "other"]);
    let mut block = Block::named("user_events");
    assert_eq!(against(&lake, &block, TABLES), NOTHING);
    block.exclude_columns = vec!["nested".into()];
    let [ended, begun] = against(&lake, &block, TABLES);
    assert_eq!(ended, ["nested", "nested__string"].map(|name| (name.to_owned(), "ended")));
    assert_eq!(begun, ["nested", "nested__string"].map(|name| (name.to_owned(), "begun")));
    let without = tables(&[("wide", &["a"])], &["a", "other"]);
    let block = Block::named("user_events");
    assert_eq!(against(&without, &block, TABLES)[0], [("other".to_owned(), "ended")]);
}

#[test]
fn a_table_of_the_layout_is_known_by_its_escaped_name() {
    let block = Block::named("user_events");
    let lake = tables(&[("done", &["a"]), ("_groups", &["plan"])], &["a"]);
    assert_eq!(against(&lake, &block, TABLES), NOTHING);
    let added = [("plan".to_owned(), "added")];
    let lake = tables(&[("done", &["a"]), ("groups_", &["plan"])], &["a"]);
    assert_eq!(against(&lake, &block, TABLES)[0], added);
    // Events of that name are there too.
    let lake = tables(&[("_groups", &["event", "plan"])], &["plan"]);
    assert_eq!(against(&lake, &block, TABLES), NOTHING);
}

#[test]
fn events_past_the_tables_are_wanted_by_their_names() {
    let members: &[(&str, &[&str])] = &[(OTHER_EVENTS, &["a", "of_another_event"])];
    let lake = tables(members, &["a"]);
    let block = Block { include_tables: vec!["order_*".into()], ..Block::named("user_events") };
    assert_eq!(against(&lake, &block, TABLES), NOTHING);
}

#[test]
fn long_texts_beside_a_core_column_do_not_widen_it() {
    let mut lake = tables(&[("pages", &["event"])], &["event__string"]);
    lake.get_mut("web_prod.pages").unwrap().columns[0].string_bytes = 1_024;
    let events = lake.get_mut("unified_prod.user_events").unwrap();
    events.columns.last_mut().unwrap().string_bytes = 1_024;
    assert_eq!(against(&lake, &Block::named("user_events"), TABLES), NOTHING);
}

#[test]
fn an_alias_of_a_core_column_of_text_adds_no_variant() {
    let lake = tables(&[("done", &["sid: int"])], &["sid: int"]);
    let aliases = vec![("session_id".to_owned(), vec!["sid".to_owned()])];
    let block = Block { aliases, ..Block::named("user_events") };
    assert_eq!(against(&lake, &block, TABLES), NOTHING);
}
