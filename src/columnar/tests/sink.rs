//! The mapper's cells through the sink: own tables, unified tables, memory.

use super::*;
use crate::columnar::EventLeaves;
use crate::event::Parser;
use crate::record::Route;
use crate::unified::{Block, Unified};
use crate::warehouse::{ColumnId, ColumnType, Names, Sink as _, TableId};

/// Interns names for the test.
#[derive(Default)]
pub(super) struct Interned(std::cell::RefCell<Vec<&'static str>>);

impl Interned {
    fn id(&self, name: &'static str) -> u32 {
        let mut names = self.0.borrow_mut();
        let at = names.iter().position(|&known| known == name).unwrap_or_else(|| {
            names.push(name);
            names.len() - 1
        });
        u32::try_from(at).unwrap()
    }
}

impl Names for Interned {
    fn table(&self, id: TableId) -> &str {
        self.0.borrow()[id.0 as usize]
    }

    fn column(&self, id: ColumnId) -> &str {
        self.0.borrow()[id.0 as usize]
    }
}

#[derive(Clone, Default)]
pub(super) struct Lake(Arc<Mutex<BTreeMap<Home, Memory>>>);

impl Open for Lake {
    fn open(
        &mut self,
        home: &Home,
    ) -> Result<(Plan, Box<dyn Files>), Box<dyn std::error::Error + Send + Sync>> {
        if matches!(home, Home::Schema { table, .. } if table == "broken" || table.ends_with("9")) {
            return Err("registry is away".into());
        }
        let files = Memory::default();
        let twice = self.0.lock().unwrap().insert(home.clone(), files.clone());
        assert!(twice.is_none(), "{home:?} opened twice");
        Ok((Plan::Cut(Schema::empty().into()), Box::new(files)))
    }

    fn admits(&mut self, home: &Home) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
        Ok(!matches!(home, Home::Schema { table, .. } if table.ends_with("9")))
    }
}

impl Lake {
    pub(super) fn rows(&self, home: &Home) -> Vec<BTreeMap<String, Value>> {
        let files = self.0.lock().unwrap().get(home).unwrap().files();
        files.iter().flat_map(|file| rows_of(file)).collect()
    }
}

pub(super) type Cells<'a> = &'a [(&'static str, Scalar<'a>, &'a str)];

pub(super) struct Bench {
    names: Interned,
    pub(super) lake: Lake,
    pub(super) tables: Tables,
}

impl Bench {
    pub(super) fn new(blocks: Vec<Block>) -> Self {
        let lake = Lake::default();
        let escaped = vec![("_timestamp".to_owned(), "timestamp".to_owned())];
        let unified = Arc::new(Unified::new(blocks, escaped));
        let tables = Tables::new(settings(), unified, Box::new(lake.clone()));
        Self { names: Interned::default(), lake, tables }
    }

    pub(super) fn event(
        &mut self,
        route: &Route,
        event_type: &str,
        rows: &[(&'static str, TableKind, Cells<'_>)],
    ) -> Result<(), Error> {
        let route = self.tables.route(route);
        let mut sink = self.tables.event(Event {
            route,
            event_type,
            received_at: 86_400_000_000 * 3 + 5,
            leaves: &Made,
        });
        for &(table, kind, cells) in rows {
            sink.row(&self.names, TableId(self.names.id(table)), kind);
            for &(name, value, text) in cells {
                let cell = Cell { value, text, origin: u32::MAX };
                sink.cell(&self.names, ColumnId(self.names.id(name)), cell);
            }
        }
        sink.finish(&self.names)
    }
}

pub(super) fn route(environment: &str, source: &str, platform: &str) -> Route {
    Route {
        source_id: format!("{source}_{environment}"),
        source_name: source.to_owned(),
        environment: environment.to_owned(),
        platform: platform.to_owned(),
        schema: format!("{source}_{environment}"),
    }
}

pub(super) fn schema_home(schema: &str, table: &str) -> Home {
    Home::Schema { schema: schema.to_owned(), table: table.to_owned() }
}

pub(super) fn unified_home(environment: &str, name: &str) -> Home {
    let (environment, name) = (environment.to_owned(), name.to_owned());
    Home::Unified { environment, name, generation: 1 }
}

#[test]
fn an_event_without_a_table_of_its_own_is_with_the_others_and_in_the_unified_table() {
    let mut bench = Bench::new(vec![Block::named("user_events")]);
    let web = route("prod", "web", "web");
    for (table, id) in [("name_9", "a"), ("name_1", "b"), ("name_19", "c"), ("name_9", "d")] {
        let cells =
            [("id", text(id), id), ("event", text(table), table), ("words", Scalar::Int(7), "7")];
        bench.event(&web, "track", &[(table, TableKind::Event, &cells)]).unwrap();
    }
    assert_eq!(bench.tables.without_table(), &BTreeMap::from([("web_prod".to_owned(), 3)]));
    let Bench { lake, tables, .. } = bench;
    tables.finish().unwrap();
    let column = |rows: Vec<BTreeMap<String, Value>>, names: &[&str]| -> Vec<String> {
        let cell = |row: &BTreeMap<String, Value>, name: &str| match row.get(name) {
            Some(Value::Text(text)) => text.clone(),
            Some(Value::Int(int)) => int.to_string(),
            _ => String::new(),
        };
        let line = |row| names.iter().map(|name| cell(row, name)).collect::<Vec<_>>().join(" ");
        rows.iter().map(line).collect()
    };
    let own = |table: &str| lake.rows(&schema_home("web_prod", table));
    assert_eq!(column(own("name_1"), &["id", "words"]), ["b 7"]);
    assert_eq!(
        column(own("other_events"), &["id", "event", "words"]),
        ["a name_9 7", "c name_19 7", "d name_9 7"]
    );
    let noted = ["row_id", "table_name", "column_name", "column_value", "reason"];
    assert_eq!(
        column(own("rudder_discards"), &noted),
        [
            "a name_9 event name_9 table_limit",
            "c name_19 event name_19 table_limit",
            "d name_9 event name_9 table_limit"
        ]
    );
    assert_eq!(
        column(lake.rows(&unified_home("prod", "user_events")), &["id", "_source_table", "words"]),
        ["a other_events 7", "b name_1 7", "c other_events 7", "d other_events 7"]
    );
}

pub(super) fn text(text: &str) -> Scalar<'_> {
    Scalar::Text(text)
}

#[test]
fn a_track_event_fills_its_tables_once() {
    let mut bench = Bench::new(Vec::new());
    let common: Cells<'_> = &[
        ("id", text("m1"), "m1"),
        ("received_at", Scalar::Datetime(86_400_000_000 * 3 + 5), "1970-01-04T00:00:00.000005Z"),
        ("_timestamp", Scalar::Datetime(7), "1970-01-01T00:00:00.000007Z"),
        ("context_session_id", Scalar::Int(1_780_863_605), "1780863605"),
        ("context_library_name", text("RudderLabs JavaScript SDK"), "RudderLabs JavaScript SDK"),
        ("context_user_agent", text("Mozilla/5.0 Electron/28"), "Mozilla/5.0 Electron/28"),
        ("event", text("order_done"), "order_done"),
    ];
    let mut cells = common.to_vec();
    cells.push(("type", text("gift"), "gift"));
    cells.push(("platform", Scalar::Int(3), "3"));
    let rows =
        [("tracks", TableKind::Tracks, common), ("order_done", TableKind::Event, cells.as_slice())];
    bench.event(&route("prod", "webapp", ""), "track", &rows).unwrap();
    let finished = bench.tables.finish().unwrap();
    assert_eq!(finished.len(), 3);

    let tracks = &bench.lake.rows(&schema_home("webapp_prod", "tracks"))[0];
    assert_eq!(tracks.len(), common.len() + 1);
    assert_eq!(tracks["uuid_ts"], Value::Datetime(1_763_719_200_000_000));
    assert_eq!(bench.lake.rows(&schema_home("webapp_prod", "order_done")).len(), 1);

    let row = &bench.lake.rows(&unified_home("prod", "user_events"))[0];
    for (name, expected) in [
        ("id", "m1"),
        ("environment", "prod"),
        ("source_name", "webapp"),
        ("platform", "desktop"),
        ("type", "track"),
        ("event", "order_done"),
        ("session_id", "1780863605"),
        ("_source_schema", "webapp_prod"),
        ("_source_table", "order_done"),
        ("_dbt_source_relation", "\"webapp_prod\".\"order_done\""),
        ("type__string", "gift"),
    ] {
        assert_eq!(row[name], Value::Text(expected.to_owned()), "{name}");
    }
    assert_eq!(row["event_date"], Value::Date(3));
    assert_eq!(row["timestamp"], Value::Datetime(7));
    assert_eq!(row["platform__int"], Value::Int(3));
    assert_eq!(row["context_session_id"], Value::Int(1_780_863_605));
    assert!(!row.contains_key("_timestamp") && !row.contains_key("time_adjusted"));

    let part = &finished.iter().find(|t| t.home == unified_home("prod", "user_events")).unwrap();
    let columns: Vec<_> =
        part.parts[0].schema.columns.iter().take(20).map(|c| c.name.as_str()).collect();
    assert_eq!(
        columns.join(" "),
        "id received_at event_date environment source_name platform type event event_text user_id \
         anonymous_id session_id timestamp original_timestamp sent_at time_adjusted _source_schema \
         _source_table _dbt_source_relation uuid_ts"
    );
    assert_eq!(part.parts[0].schema.columns[2].column_type, ColumnType::Date);
}

#[test]
fn pages_have_no_event_and_environments_do_not_meet() {
    let mut bench = Bench::new(Vec::new());
    let cells: Cells<'_> = &[("id", text("m1"), "m1"), ("event", text("mine"), "mine")];
    let pages = [("pages", TableKind::Pages, cells)];
    bench.event(&route("prod", "webapp", "web"), "page", &pages).unwrap();
    bench.event(&route("rc", "webapp", "web"), "page", &pages).unwrap();
    bench.event(&route("prod", "desktop", "desktop"), "page", &pages).unwrap();
    bench.tables.finish().unwrap();
    let prod = bench.lake.rows(&unified_home("prod", "user_events"));
    assert_eq!(prod.len(), 2);
    assert_eq!(bench.lake.rows(&unified_home("rc", "user_events")).len(), 1);
    assert!(!prod[0].contains_key("event"));
    assert_eq!(prod[0]["event__string"], Value::Text("mine".into()));
    assert_eq!(prod[1]["platform"], Value::Text("desktop".into()));
}

#[test]
fn other_kinds_stay_out_of_the_default_table() {
    let mut bench = Bench::new(Vec::new());
    let cells: Cells<'_> = &[("id", text("m1"), "m1")];
    let rule: Cells<'_> = &[("merge_property_1_type", text("user_id"), "user_id")];
    let rows = [
        ("identifies", TableKind::Identifies, cells),
        ("users", TableKind::Users, cells),
        ("rudder_identity_merge_rules", TableKind::MergeRules, rule),
        ("rejected", TableKind::Rejected, cells),
    ];
    bench.event(&route("prod", "webapp", "web"), "identify", &rows).unwrap();
    let finished = bench.tables.finish().unwrap();
    assert_eq!(finished.len(), 4);
    let rules = &bench.lake.rows(&schema_home("webapp_prod", "rudder_identity_merge_rules"))[0];
    assert_eq!(rules.len(), 1, "no uuid_ts, no id");
}

#[test]
fn an_event_is_in_a_unified_table_once() {
    let mut block = Block::named("all");
    block.include_tables = vec!["identifies".into(), "users".into(), "tracks".into(), "*".into()];
    let mut bench = Bench::new(vec![block]);
    let cells: Cells<'_> = &[("id", text("m1"), "m1")];
    let identify =
        [("identifies", TableKind::Identifies, cells), ("users", TableKind::Users, cells)];
    let track = [("tracks", TableKind::Tracks, cells), ("done", TableKind::Event, cells)];
    bench.event(&route("prod", "webapp", "web"), "identify", &identify).unwrap();
    bench.event(&route("prod", "webapp", "web"), "track", &track).unwrap();
    bench.tables.finish().unwrap();
    assert_eq!(bench.lake.rows(&unified_home("prod", "all")).len(), 2);
    assert_eq!(bench.lake.rows(&unified_home("prod", "user_events")).len(), 1);
}

#[test]
fn aliases_fill_what_is_empty_and_keep_the_raw_column() {
    let mut block = Block::named("user_events");
    block.aliases =
        vec![("category".to_owned(), vec!["catggory".to_owned(), "kategory".to_owned()])];
    block.exclude_columns = vec!["secret_*".into(), "kategory".into()];
    let mut bench = Bench::new(vec![block]);
    let event = |bench: &mut Bench, cells: Cells<'_>| {
        let rows = [("done", TableKind::Event, cells)];
        bench.event(&route("prod", "webapp", "web"), "track", &rows).unwrap();
    };
    event(&mut bench, &[("kategory", text("k"), "k"), ("catggory", text("c"), "c")]);
    event(&mut bench, &[("catggory", text("c"), "c"), ("category", text("right"), "right")]);
    event(&mut bench, &[("kategory", text("k"), "k"), ("secret_key", text("s"), "s")]);
    bench.tables.finish().unwrap();
    let rows = bench.lake.rows(&unified_home("prod", "user_events"));
    let category: Vec<_> = rows.iter().map(|row| row["category"].clone()).collect();
    assert_eq!(category, ["c", "right", "k"].map(|text| Value::Text(text.into())));
    assert_eq!(rows[1]["catggory"], Value::Text("c".into()));
    assert!(rows.iter().all(|row| !row.contains_key("kategory")));
    assert!(rows.iter().all(|row| !row.contains_key("secret_key")));
}

/// Names that no table of their own is made for.
struct Crowd;

impl Names for Crowd {
    fn table(&self, _: TableId) -> &str {
        "event_9"
    }

    fn column(&self, _: ColumnId) -> &str {
        "a"
    }
}

#[test]
fn very_many_event_names_end_the_range() {
    let mut bench = Bench::new(Vec::new());
    let route = bench.tables.route(&route("prod", "webapp", "web"));
    for number in 0..65_536 {
        assert!(!bench.tables.relieve(u64::MAX).unwrap(), "{number}");
        let row = bench.tables.row_of(TableId(number), TableKind::Event, None);
        bench.tables.targets(row, &Crowd, route).unwrap();
    }
    assert!(bench.tables.relieve(u64::MAX).unwrap());
}

#[test]
fn memory_is_relieved_by_the_largest_table() {
    let mut bench = Bench::new(vec![Block {
        environments: vec!["nowhere".into()],
        ..Block::named("user_events")
    }]);
    let large = "x".repeat(20_000);
    let small: Cells<'_> = &[("id", text("m1"), "m1")];
    let big: Cells<'_> = &[("body", text(&large), &large)];
    for _ in 0..4 {
        let rows = [("small", TableKind::Event, small), ("big", TableKind::Event, big)];
        bench.event(&route("prod", "webapp", "web"), "track", &rows).unwrap();
    }
    let before = bench.tables.bytes();
    assert!((80_000..90_000).contains(&before), "{before}");
    assert!(!bench.tables.relieve(before).unwrap());
    assert_eq!(bench.tables.bytes(), before);
    assert!(!bench.tables.relieve(60_000).unwrap());
    assert!(bench.tables.bytes() < 6_000);
    assert!(bench.tables.relieve(1_000).unwrap(), "many tables end the range");
    let finished = bench.tables.finish().unwrap();
    assert!(finished.iter().all(|table| table.parts[0].row_groups == [4]));
}

#[test]
fn a_table_that_cannot_be_opened_fails_the_event() {
    let mut bench = Bench::new(Vec::new());
    let rows = [("broken", TableKind::Event, &[("id", text("m"), "m")][..])];
    let error = bench.event(&route("prod", "webapp", "web"), "track", &rows).unwrap_err();
    assert_eq!(error.to_string(), "cannot open table broken");
}

#[test]
fn a_tape_tells_path_and_kind() {
    let mut parser = Parser::new();
    let text = r#"{"a":1,"properties":{"b.c":{"d":"x"},"e":[1,"y"],"f":12}}"#;
    let tape = parser.parse(text.as_bytes()).unwrap();
    let leaves = EventLeaves::new(&tape);
    let root = tape.root().get("properties").unwrap();
    for (node, expected, is_string) in [
        (root.get("b.c").unwrap().get("d").unwrap(), r"properties.b\.c.d", true),
        (root.get("e").unwrap(), "properties.e", false),
        (root.get("f").unwrap(), "properties.f", false),
    ] {
        let mut path = String::new();
        assert_eq!(leaves.describe(node.index(), &mut path), is_string);
        assert_eq!(path, expected);
    }
}

#[test]
fn an_alias_of_a_core_name_goes_where_a_property_of_that_name_goes() {
    let mut block = Block::named("user_events");
    let alias = |name: &str, of: &str| (name.to_owned(), vec![of.to_owned()]);
    block.aliases = vec![alias("type", "uype"), alias("session_id", "sesion")];
    let mut bench = Bench::new(vec![block]);
    let event = |bench: &mut Bench, cells: Cells<'_>| {
        let rows = [("done", TableKind::Event, cells)];
        bench.event(&route("prod", "webapp", "web"), "track", &rows).unwrap();
    };
    event(&mut bench, &[("uype", text("gift"), "gift")]);
    event(&mut bench, &[("uype", text("gift"), "gift"), ("type", text("sale"), "sale")]);
    event(&mut bench, &[("sesion", Scalar::Int(7), "7")]);
    event(
        &mut bench,
        &[("sesion", Scalar::Int(7), "7"), ("context_session_id", Scalar::Int(8), "8")],
    );
    bench.tables.finish().unwrap();
    let rows = bench.lake.rows(&unified_home("prod", "user_events"));
    assert!(rows.iter().all(|row| row["type"] == Value::Text("track".into())));
    let column = |name: &str| rows.iter().map(|row| row.get(name).cloned()).collect::<Vec<_>>();
    let said = |text: &str| Some(Value::Text(text.into()));
    assert_eq!(column("type__string"), [said("gift"), said("sale"), None, None]);
    assert_eq!(column("session_id"), [None, None, said("7"), said("8")]);
}

#[test]
fn a_thousand_columns_without_values_stay_cheap() {
    let bytes_with = |empty: usize| {
        let mut columns = Vec::new();
        for at in 0..empty {
            columns.push(Column {
                name: format!("column_{at}"),
                column_type: ColumnType::String,
                required: false,
                first_seen: Timestamp::from_micros(0),
                max_bytes: 256,
            });
        }
        let files = Memory::default();
        let table = Table {
            name: "t".into(),
            kind: TableKind::Event,
            initial: vec![("id".into(), ColumnType::String, true)],
            constants: Vec::new(),
        };
        let plan = Plan::Cut(Schema { version: 1, columns }.into());
        let builder =
            TableBuilder::open(Arc::new(settings()), table, plan, Box::new(files.clone()));
        let mut builder = super::Bench::new(builder);
        for row in 0..1_000 {
            builder.begin_row(row);
            let id = format!("id-{row}");
            let cell = Cell { value: Scalar::Text(&id), text: &id, origin: u32::MAX };
            builder.cell("id", &cell, &Made);
            builder.end_row().unwrap();
        }
        builder.finish().unwrap();
        files.files()[0].len()
    };
    let each = (bytes_with(1_000) - bytes_with(0)) / 1_000;
    // docs/unified.md has the figure.
    assert!((60..=160).contains(&each), "{each} bytes for an empty column of a row group");
}
