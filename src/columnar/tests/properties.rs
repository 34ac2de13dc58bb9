//! Any rows: a rewrite from the plan has the bytes of the cut, and every cell is found exactly.

use proptest::prelude::*;

use super::*;
use crate::warehouse::ColumnType;

#[derive(Clone, Debug)]
struct Leaf {
    name: String,
    value: Value,
    text: String,
    is_string: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Row(Vec<Leaf>),
    Close,
}

/// Names that meet each other: equal but for case, equal once cut to a variant's, and called as the
/// variant of another one, which a key may be where names are kept as they are written.
const NAMES: [&str; 14] = [
    "id",
    "a",
    "b",
    "c",
    "A",
    "_overflow",
    "uuid_ts",
    "pinned",
    "a_very_long_name_x",
    "a_very_long_name_y",
    "d",
    "a__string",
    "b__int",
    "e",
];

fn leaf() -> impl Strategy<Value = Leaf> {
    let int = prop_oneof![
        -3_i64..3,
        Just(i64::MAX),
        Just(i64::MIN),
        Just((1 << 53) + 1),
        Just(1 << 60),
        any::<i64>()
    ];
    let value = prop_oneof![
        3 => any::<bool>().prop_map(|v| (Value::Bool(v), v.to_string(), false)),
        6 => int.prop_map(|v| (Value::Int(v), v.to_string(), false)),
        2 => (-3_i64..3).prop_map(|v| (Value::Int(v * 1_000), format!("{v}e3"), false)),
        3 => prop_oneof![Just(-0.0), Just(1.5), Just(2.0), Just(1e300)]
            .prop_map(|v: f64| (Value::Float(v), format!("{v:?}"), false)),
        4 => (-9_i64..9).prop_map(|v| {
            (Value::Datetime(v * 1_000_000), format!("1970-01-01T00:00:{v:02}Z"), true)
        }),
        4 => "[a-c\"\\\\ é]{0,3}".prop_map(|v| (Value::Text(v.clone()), v, true)),
        1 => Just((Value::Text("1e400".into()), "1e400".into(), false)),
        1 => Just((Value::Text("[1,\"x\"]".into()), "[1,\"x\"]".into(), false)),
    ];
    (proptest::sample::select(&NAMES[..]), value).prop_map(|(name, (value, text, is_string))| {
        Leaf { name: name.to_owned(), value, text, is_string }
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let row = proptest::collection::vec(leaf(), 0..8).prop_map(Step::Row);
    proptest::collection::vec(prop_oneof![9 => row, 1 => Just(Step::Close)], 0..60)
}

/// Tells the path of a leaf: where it stands in the row and its name.
struct Row<'a>(&'a [Leaf]);

impl Leaves for Row<'_> {
    fn describe(&self, origin: u32, path: &mut String) -> bool {
        let leaf = &self.0[origin as usize];
        path.push_str(&leaf.name);
        path.push('.');
        path.push_str(&origin.to_string());
        leaf.is_string
    }
}

fn feed(builder: &mut Bench, steps: &[Step], closes: bool) -> Result<(), Error> {
    for (at, step) in steps.iter().enumerate() {
        match step {
            Step::Close if closes => builder.close_row_group()?,
            Step::Close => {}
            Step::Row(leaves) => {
                builder.begin_row(i64::try_from(at).unwrap());
                for (origin, leaf) in leaves.iter().enumerate() {
                    let origin = u32::try_from(origin).unwrap();
                    let cell = Cell { value: leaf.value.scalar(), text: &leaf.text, origin };
                    builder.cell(&leaf.name, &cell, &Row(leaves));
                }
                builder.end_row()?;
            }
        }
    }
    Ok(())
}

fn opened(settings: &Settings, plan: Plan) -> (Bench, Memory) {
    let files = Memory::default();
    let mut table = table("t");
    table.initial = vec![
        ("id".to_owned(), ColumnType::String, true),
        ("received_at".to_owned(), ColumnType::Datetime, true),
    ];
    table.constants = vec![("uuid_ts", settings.batch_time)];
    let settings = Arc::new(settings.clone());
    let builder = TableBuilder::open(settings, table, plan, Box::new(files.clone()));
    (Bench::new(builder), files)
}

/// Where a leaf may be.
fn is_found(leaf: &Leaf, origin: usize, row: &BTreeMap<String, Value>, limit: usize) -> bool {
    let name = leaf.name.to_lowercase();
    let kind = match leaf.value {
        Value::Bool(_) => "boolean",
        Value::Int(_) => "int",
        Value::Float(_) => "float",
        Value::Datetime(_) => "datetime",
        _ => "string",
    };
    let cut = name.chars().take(limit - kind.len() - 2).collect::<String>();
    let overflow = || {
        let Some(Value::Text(json)) = row.get("_overflow") else { return false };
        let object: serde_json::Value = serde_json::from_str(json).unwrap();
        let found = &object[format!("{}.{origin}", leaf.name)];
        let raw = if leaf.is_string {
            serde_json::Value::String(leaf.text.clone())
        } else {
            serde_json::from_str(&leaf.text).unwrap()
        };
        *found == raw
    };
    [name, format!("{cut}__{kind}")].iter().any(|at| equals(row.get(at), leaf)) || overflow()
}

fn equals(found: Option<&Value>, leaf: &Leaf) -> bool {
    match (found, &leaf.value) {
        (Some(Value::Text(text)), _) => *text == leaf.text,
        (Some(Value::Float(found)), Value::Float(sent)) => found.to_bits() == sent.to_bits(),
        #[expect(clippy::cast_possible_truncation, reason = "compared with what was sent")]
        (Some(Value::Float(found)), Value::Int(sent)) => *found as i128 == i128::from(*sent),
        (found, sent) => found == Some(sent),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn rewrite_has_the_bytes_of_the_cut_and_nothing_is_lost(
        steps in steps(),
        later in steps(),
        columns_max in 4_usize..24,
        row_group_bytes in 200_u64..4_000,
        part_bytes in 1_000_u64..30_000,
    ) {
        let mut settings = settings();
        settings.columns_max = columns_max;
        settings.identifier_bytes_max = 18;
        settings.row_group_bytes = row_group_bytes;
        settings.part_bytes = part_bytes;
        settings.pins = vec![Pin {
            table: "*".into(),
            name: "pinned".into(),
            column_type: ColumnType::Float,
        }];
        let mut schema = Schema::empty();
        // A second batch goes on from the schema of the first.
        for steps in [steps, later] {
            let (mut live, files) = opened(&settings, Plan::Cut(schema.clone().into()));
            feed(&mut live, &steps, true).unwrap();
            let parts = live.finish().unwrap();

            let (mut again, copies) = opened(&settings, planned(&parts));
            feed(&mut again, &steps, false).unwrap();
            let parts_again = again.finish().unwrap();
            prop_assert_eq!(&parts, &parts_again);
            prop_assert!(files.files() == copies.files(), "bytes differ");

            let mut rows = Vec::new();
            for (part, file) in parts.iter().zip(files.files()) {
                prop_assert!(part.schema.widens(&schema));
                prop_assert!(part.schema.columns.len() <= columns_max.max(4));
                prop_assert_eq!(part.bytes, file.len() as u64);
                let (footer, row_groups) = read_footer(&Bytes::from(file.clone())).unwrap();
                prop_assert_eq!(footer.schema_version, part.schema.version);
                prop_assert_eq!(&row_groups, &part.row_groups);
                schema = Schema::clone(&part.schema);
                rows.extend(rows_of(&file));
            }
            let sent: Vec<_> = steps
                .iter()
                .filter_map(|step| match step {
                    Step::Row(leaves) => Some(leaves),
                    Step::Close => None,
                })
                .collect();
            prop_assert_eq!(rows.len(), sent.len());
            for (leaves, row) in sent.into_iter().zip(&rows) {
                for (origin, leaf) in leaves.iter().enumerate() {
                    prop_assert!(is_found(leaf, origin, row, 18), "{:?} not in {:?}", leaf, row);
                }
            }
        }
    }
}
