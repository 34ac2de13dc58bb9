//! Events of known shapes: their files are those that the same events make cell by cell.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::columnar::draft::Kind;
use crate::record::Route;
use crate::unified::{Block, Unified};
use crate::warehouse::{ColumnId, ColumnType, Names, Sink as _, TableId};

/// Names that meet core columns, variants, aliases, constants and each other.
const NAMES: [&str; 24] = [
    "id",
    "received_at",
    "_timestamp",
    "event",
    "context_session_id",
    "context_time_adjusted",
    "context_library_name",
    "context_user_agent",
    "type",
    "type__string",
    "platform",
    "session_id",
    "environment",
    "uuid_ts",
    "_overflow",
    "a",
    "A",
    "a__int",
    "b",
    "b__string",
    "category",
    "catggory",
    "sesion",
    "secret",
];

/// How many of them a row of `tracks` may have.
const COMMON: usize = 9;

/// The cells of an event: places among [`NAMES`], in order.
#[derive(Clone, Debug)]
struct Template {
    table: &'static str,
    kind: TableKind,
    cells: Vec<(usize, Kind)>,
}

fn template() -> impl Strategy<Value = Template> {
    let kinds =
        [Kind::Bool, Kind::Int, Kind::LongInt, Kind::Float, Kind::Datetime, Kind::Text, Kind::Text];
    let kinds = proptest::collection::vec(proptest::sample::select(kinds.to_vec()), NAMES.len());
    let places = proptest::sample::subsequence((0..NAMES.len()).collect::<Vec<_>>(), 2..14);
    let tables =
        [("done", TableKind::Event), ("paid", TableKind::Event), ("pages", TableKind::Pages)];
    let table = proptest::sample::select(tables.to_vec());
    (table, kinds, places).prop_map(|((table, kind), kinds, places)| {
        let cells = places.into_iter().map(|place| {
            // What the layout itself gives is of its type.
            let kind = match place {
                0 => Kind::Text,
                1 => Kind::Datetime,
                _ => kinds[place],
            };
            (place, kind)
        });
        Template { table, kind, cells: cells.collect() }
    })
}

#[derive(Clone, Debug)]
struct Traffic {
    templates: Vec<Template>,
    /// Which template, and what its values are made from.
    events: Vec<(usize, u8)>,
}

fn traffic() -> impl Strategy<Value = Traffic> {
    proptest::collection::vec(template(), 1..5).prop_flat_map(|templates| {
        let events = proptest::collection::vec((0..templates.len(), 0_u8..9), 0..60);
        events.prop_map(move |events| Traffic { templates: templates.clone(), events })
    })
}

fn value(kind: Kind, seed: u8) -> (Value, String) {
    let n = i64::from(seed);
    let value = match kind {
        Kind::Bool => Value::Bool(seed.is_multiple_of(2)),
        Kind::Int => Value::Int(n - 4),
        Kind::LongInt => Value::Int(i64::MAX - n),
        Kind::Float => Value::Float(f64::from(seed) + 0.5),
        Kind::Datetime => Value::Datetime(n * 1_000_000),
        Kind::Text => {
            let words = ["", "analytics.js", "ios", "Electron", "a", "b", "c", "d", "Mozilla"];
            Value::Text(words[usize::from(seed)].to_owned())
        }
    };
    let text = match &value {
        Value::Text(text) => text.clone(),
        Value::Datetime(_) => format!("1970-01-01T00:00:{n:02}Z"),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        other => format!("{other:?}"),
    };
    (value, text)
}

struct Fixed;

impl Names for Fixed {
    fn table(&self, id: TableId) -> &str {
        ["tracks", "done", "paid", "pages"][id.0 as usize]
    }

    fn column(&self, id: ColumnId) -> &str {
        NAMES[id.0 as usize]
    }
}

/// How a table is to be opened, and its files.
type Opening = (Option<Plan>, Memory);

#[derive(Clone, Default)]
struct Lake(Arc<Mutex<BTreeMap<Home, Opening>>>);

impl Open for Lake {
    fn open(
        &mut self,
        home: &Home,
    ) -> Result<(Plan, Box<dyn Files>), Box<dyn std::error::Error + Send + Sync>> {
        let mut all = self.0.lock().unwrap();
        let (plan, files) = all.entry(home.clone()).or_default();
        Ok((
            plan.clone().unwrap_or_else(|| Plan::Cut(Schema::empty().into())),
            Box::new(files.clone()),
        ))
    }
}

impl Lake {
    fn of(plans: HashMap<Home, Plan>) -> Self {
        let with_files = |(home, plan)| (home, (Some(plan), Memory::default()));
        Self(Arc::new(Mutex::new(plans.into_iter().map(with_files).collect())))
    }

    fn files(&self) -> BTreeMap<Home, Vec<Vec<u8>>> {
        let all = self.0.lock().unwrap();
        all.iter().map(|(home, (_, files))| (home.clone(), files.files())).collect()
    }
}

fn tables(lake: &Lake, knows_shapes: bool) -> Tables {
    let mut block = Block::named("user_events");
    let alias = |name: &str, of: &str| (name.to_owned(), vec![of.to_owned()]);
    block.aliases = vec![alias("category", "catggory"), alias("session_id", "sesion")];
    block.exclude_columns = vec!["secret".into()];
    let mut all = Block::named("all");
    all.include_tables = vec!["tracks".into(), "*".into()];
    let escaped = vec![("_timestamp".to_owned(), "timestamp".to_owned())];
    let unified = Arc::new(Unified::new(vec![block, all], escaped));
    let mut tables = Tables::new(settings(), unified, Box::new(lake.clone()));
    if !knows_shapes {
        tables.shapes.know_none();
    }
    tables
}

/// A column that another writer may add to the schema.
fn added_by_another(schema: &Schema) -> Option<Column> {
    let is_new = |name: &&&str| {
        **name != "_overflow" && !schema.columns.iter().any(|column| *column.name == ***name)
    };
    let name = NAMES.iter().filter(|name| **name == name.to_lowercase()).find(is_new)?;
    Some(Column {
        name: (*name).to_owned(),
        column_type: ColumnType::Boolean,
        required: false,
        first_seen: settings().batch_time,
        max_bytes: 0,
    })
}

/// Gives the events to the tables; every ninth time they are relieved of some memory.
fn feed(tables: &mut Tables, traffic: &Traffic, memory: u64) {
    let routes = ["", "web"].map(|platform| {
        tables.route(&Route {
            source_id: format!("app{platform}_prod"),
            source_name: "app".into(),
            environment: "prod".into(),
            platform: platform.into(),
            schema: "app_prod".into(),
        })
    });
    for (at, &(template, seed)) in traffic.events.iter().enumerate() {
        let Template { table, kind, cells } = &traffic.templates[template];
        let mut sink = tables.event(Event {
            route: routes[usize::from(seed) % 2],
            event_type: if *kind == TableKind::Pages { "page" } else { "track" },
            received_at: 86_400_000_000 * i64::from(seed) + i64::try_from(at).unwrap(),
            leaves: &Made,
        });
        let give = |sink: &mut EventSink<'_>, cells: &mut dyn Iterator<Item = &(usize, Kind)>| {
            for &(place, kind) in cells {
                let (value, text) = value(kind, seed);
                let column = ColumnId(u32::try_from(place).unwrap());
                let cell = Cell { value: value.scalar(), text: &text, origin: u32::MAX };
                sink.cell(&Fixed, column, cell);
            }
        };
        if *kind == TableKind::Event {
            sink.row(&Fixed, TableId(0), TableKind::Tracks);
            give(&mut sink, &mut cells.iter().filter(|(place, _)| *place < COMMON));
        }
        let tables_of = ["tracks", "done", "paid", "pages"];
        let own = tables_of.iter().position(|name| name == table).unwrap();
        sink.row(&Fixed, TableId(u32::try_from(own).unwrap()), *kind);
        give(&mut sink, &mut cells.iter());
        sink.finish(&Fixed).unwrap();
        if at % 9 == 8 {
            tables.relieve(memory).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn files_are_those_made_cell_by_cell(
        first in traffic(),
        second in traffic(),
        memory in prop_oneof![Just(u64::MAX), 20_000_u64..60_000],
        another in 0_usize..4,
    ) {
        let mut schemas: HashMap<Home, Plan> = HashMap::new();
        let mut room = Room::default();
        // Each batch goes on from the schemas of the one before, and from what is known since then.
        for (batch, traffic) in [&first, &second, &first].into_iter().enumerate() {
            let live = Lake::of(schemas.clone());
            let mut cut = tables(&live, true).in_room(room);
            feed(&mut cut, traffic, memory);
            let (finished, left) = cut.finish_and_clear().unwrap();
            room = left;
            let plans: HashMap<Home, Plan> =
                finished.iter().map(|table| (table.home.clone(), planned(&table.parts))).collect();
            for knows_shapes in [false, true] {
                let copies = Lake::of(plans.clone());
                let mut again = tables(&copies, knows_shapes);
                feed(&mut again, traffic, u64::MAX);
                prop_assert_eq!(&again.finish().unwrap(), &finished);
                let (copies, live) = (copies.files(), live.files());
                let written = |files: &BTreeMap<Home, Vec<Vec<u8>>>| {
                    let mut files = files.clone();
                    files.retain(|_, parts| !parts.is_empty());
                    files
                };
                prop_assert!(written(&copies) == written(&live), "bytes differ");
            }
            for table in finished {
                if let Some(part) = table.parts.last() {
                    let mut schema = Schema::clone(&part.schema);
                    if another == batch {
                        // Another writer was there.
                        schema.version += 1;
                        schema.columns.extend(added_by_another(&schema));
                    }
                    schemas.insert(table.home, Plan::Cut(schema.into()));
                }
            }
        }
    }
}

#[test]
fn a_shape_waits_once_its_columns_are_there() {
    let lake = Lake::default();
    let mut tables = tables(&lake, true);
    let cells = vec![(0, Kind::Text), (1, Kind::Datetime), (6, Kind::Text), (18, Kind::Int)];
    let template = Template { table: "done", kind: TableKind::Event, cells };
    let mut other = template.clone();
    other.cells.push((15, Kind::Bool));
    let traffic =
        |templates: Vec<Template>, events: Vec<(usize, u8)>| Traffic { templates, events };
    feed(&mut tables, &traffic(vec![template.clone()], vec![(0, 1); 1]), u64::MAX);
    assert_eq!(tables.waiting(), 0);
    feed(&mut tables, &traffic(vec![template.clone()], vec![(0, 3); 5]), u64::MAX);
    // Four tables: its own, `tracks`, and the two unified ones.
    assert_eq!(tables.waiting(), 20);
    let of_both = |events| traffic(vec![template.clone(), other.clone()], events);
    feed(&mut tables, &of_both(vec![(1, 3), (1, 3)]), u64::MAX);
    assert_eq!(tables.waiting(), 4);
    let (finished, room) = tables.finish_and_clear().unwrap();
    assert_eq!(finished.iter().map(|table| table.parts[0].rows()).sum::<u64>(), 4 * 8);
    // In the next batch they are from the start.
    let schema = |part: &Part| Plan::Cut(Arc::clone(&part.schema));
    let known = finished.iter().map(|table| (table.home.clone(), schema(&table.parts[0])));
    let known: HashMap<Home, Plan> = known.collect();
    let mut tables = self::tables(&Lake::of(known.clone()), true);
    feed(&mut tables, &of_both(vec![(0, 1), (1, 1)]), u64::MAX);
    assert_eq!(tables.waiting(), 8);
    // In the room of the first, their ways are known, too: no plan is made.
    let mut tables = self::tables(&Lake::of(known), true).in_room(room);
    let plans = tables.shared.stage.plans_len();
    feed(&mut tables, &of_both(vec![(0, 3), (1, 3)]), u64::MAX);
    assert_eq!((tables.waiting(), tables.shared.stage.plans_len()), (8, plans));
    // Another writer's column may be where one of theirs would come.
    let (finished, room) = tables.finish_and_clear().unwrap();
    let wider = finished.iter().map(|table| {
        let mut schema = Schema::clone(&table.parts[0].schema);
        schema.columns.extend(added_by_another(&schema));
        (table.home.clone(), Plan::Cut(schema.into()))
    });
    let mut tables = self::tables(&Lake::of(wider.collect()), true).in_room(room);
    feed(&mut tables, &of_both(vec![(0, 3)]), u64::MAX);
    assert_eq!((tables.waiting(), tables.shared.stage.plans_len()), (4, plans + 4));
}
