//! Every leaf of every event is found again, exactly: in a cell, or in a row of `rudder_discards`.

use proptest::prelude::*;

use crate::event::{Kind, Node, Parser, known};
use crate::warehouse::{
    Cell, ColumnId, Dialect, JsonPaths, Layout, Mapper, Names, Scalar, Sink, TableId, TableKind,
    raw_path,
};

use super::ORIGIN;

/// A value that was written, owned.
#[derive(Clone, Debug, PartialEq)]
enum Written {
    Bool(bool),
    Int(i64),
    Float(f64),
    Datetime(i64),
    Text,
}

#[derive(Clone, Debug)]
struct Kept {
    table: TableKind,
    column: ColumnId,
    value: Written,
    text: String,
    origin: u32,
}

#[derive(Default)]
struct Cells {
    kind: Option<TableKind>,
    row: Vec<ColumnId>,
    cells: Vec<Kept>,
    discards: Vec<Vec<String>>,
}

impl Sink for Cells {
    fn row(&mut self, _: &dyn Names, _: TableId, kind: TableKind) {
        self.kind = Some(kind);
        self.row.clear();
        if kind == TableKind::Discards {
            self.discards.push(Vec::new());
        }
    }

    fn cell(&mut self, _: &dyn Names, column: ColumnId, cell: Cell<'_>) {
        assert!(!self.row.contains(&column), "a column came twice in a row");
        self.row.push(column);
        let table = self.kind.unwrap();
        if table == TableKind::Discards {
            return self.discards.last_mut().unwrap().push(cell.text.to_owned());
        }
        let value = match cell.value {
            Scalar::Bool(value) => Written::Bool(value),
            Scalar::Int(value) => Written::Int(value),
            Scalar::Float(value) => Written::Float(value),
            Scalar::Datetime(value) => Written::Datetime(value),
            Scalar::Text(_) => Written::Text,
        };
        let (text, origin) = (cell.text.to_owned(), cell.origin);
        self.cells.push(Kept { table, column, value, text, origin });
    }
}

/// A decimal without zeros at either end and with its exponent; not the code under test.
fn decimal(spelled: &str) -> (bool, String, i128) {
    let (mantissa, exponent) = spelled.split_once(['e', 'E']).unwrap_or((spelled, "0"));
    let negative = mantissa.starts_with('-');
    let mantissa = mantissa.trim_start_matches('-');
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let mut exponent: i128 = exponent.parse::<i128>().unwrap() - fraction.len() as i128;
    let trimmed = digits.trim_end_matches('0');
    exponent += (digits.len() - trimmed.len()) as i128;
    let trimmed = trimmed.trim_start_matches('0');
    if trimmed.is_empty() {
        (false, String::new(), 0)
    } else {
        (negative, trimmed.to_owned(), exponent)
    }
}

/// The JSON text of a node, compact and clean.
fn json(node: Node<'_>) -> String {
    let mut out = Vec::new();
    node.write_compact(&mut out);
    String::from_utf8(out).unwrap()
}

/// The text of a leaf as a text column takes it.
fn text_of(node: Node<'_>) -> String {
    node.text().map_or_else(|| json(node), std::borrow::Cow::into_owned)
}

fn same_json(one: &str, other: &str) -> bool {
    let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    one == other || parse(one).is_some_and(|one| parse(other) == Some(one))
}

/// True if the cell holds exactly the leaf.
fn holds(kept: &Kept, leaf: Node<'_>) -> bool {
    let raw = leaf.raw();
    match kept.value {
        Written::Bool(value) => raw == value.to_string(),
        Written::Int(value) => {
            leaf.kind() == Kind::Number && decimal(&value.to_string()) == decimal(raw)
        }
        Written::Float(value) => {
            leaf.kind() == Kind::Number && decimal(&format!("{value:e}")) == decimal(raw)
        }
        Written::Datetime(micros) => {
            let mut text = String::new();
            crate::warehouse::datetime::write(micros, &mut text);
            let moment: jiff::Timestamp = text.parse().unwrap();
            moment.as_microsecond() == micros && kept.text == text_of(leaf)
        }
        // The JSON text is what `jsonPaths` asks for.
        Written::Text => {
            same_json(&kept.text, &text_of(leaf)) || same_json(&kept.text, &json(leaf))
        }
    }
}

/// The leaves of a part, each with the objects around it, outermost first.
fn leaves<'n>(
    node: Node<'n>,
    around: &mut Vec<Node<'n>>,
    all: &mut Vec<(Node<'n>, Vec<Node<'n>>)>,
) {
    if node.kind() == Kind::Object {
        around.push(node);
        for child in node.children() {
            leaves(child, around, all);
        }
        around.pop();
    } else if !crate::warehouse::mapper::value::is_blank(node) {
        all.push((node, around.clone()));
    }
}

fn is_found(
    mapper: &Mapper,
    event: Node<'_>,
    leaf: Node<'_>,
    around: &[Node<'_>],
    cells: &Cells,
) -> bool {
    let in_cell = cells.cells.iter().any(|kept| {
        let itself = kept.origin == leaf.index() && holds(kept, leaf);
        let within = around.iter().any(|object| {
            let mangled = || {
                let mut all: Vec<_> = object.children().collect();
                all.sort_by_key(|child| child.key().parse::<u32>().unwrap_or(0));
                all.iter().map(|child| text_of(*child)).collect::<String>()
            };
            kept.origin == object.index()
                && (same_json(&kept.text, &json(*object)) || kept.text == mangled())
        });
        itself || within
    });
    let in_discards = cells.discards.iter().any(|row| {
        std::iter::once(&leaf).chain(around).any(|node| {
            row[0] == raw_path(event, node.index()) && same_json(&row[1], &text_of(*node))
        })
    });
    // A reserved name whose standard column says the very same.
    let repeated = || {
        cells.cells.iter().any(|kept| {
            mapper.standard_type(kept.table, kept.column).is_some() && kept.text == text_of(leaf)
        })
    };
    in_cell || in_discards || repeated()
}

fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("null"),
        Just("true"),
        Just("\"\""),
        Just("\"x\""),
        Just("\"\\b\""),
        Just("\"a\\u0000b\\ud800\\n\""),
        Just("\"2024-02-29T10:00:00.123456+05:30\""),
        Just("\"2023-02-29\""),
        Just("\"2024-01-01T00:00:00.1234567Z\""),
        Just("9007199254740993"),
        Just("18446744073709551616"),
        Just("1.10"),
        Just("-0"),
        Just("1e21"),
        Just("1e400"),
        Just("0.1000000000000000055511151231257827"),
        Just("[]"),
        Just("[[\"\"]]"),
        Just("[ 1, {\"a\":2, \"a\":3}, \"\\ud800\" ]"),
        Just("\"same\""),
    ]
    .prop_map(str::to_owned)
    .boxed()
    .prop_union(any::<i64>().prop_map(|n| n.to_string()).boxed())
    .or(any::<f64>()
        .prop_filter("finite", |f| f.is_finite())
        .prop_map(|f| format!("{f:e}"))
        .boxed())
    .or(".{0,6}".prop_map(|text| serde_json::to_string(&text).unwrap()).boxed())
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        prop_oneof![
            Just("a"),
            Just("A"),
            Just("a_b"),
            Just("a-b"),
            Just("b"),
            Just("é"),
            Just(""),
            Just("_"),
            Just("0"),
            Just("1"),
            Just("2"),
            Just("a.b"),
        ],
        prop_oneof![
            Just("__proto__"),
            Just("$x"),
            Just("constructor"),
            Just("id"),
            Just("user_id"),
            Just("userId"),
            Just("timestamp"),
            Just("name"),
            Just("ip"),
            Just("traits"),
            Just("context"),
            Just("sourceId"),
            Just("source_id"),
            Just("uuid_ts"),
            Just("_overflow"),
            Just("rudder_event"),
            Just("event"),
            Just("select"),
            Just("received_at"),
            Just("context_traits"),
            Just("group_id"),
            Just("a\u{0}b"),
        ],
    ]
    .prop_map(|key| serde_json::to_string(key).unwrap())
}

fn tree() -> impl Strategy<Value = String> {
    scalar().prop_recursive(4, 40, 6, |inner| {
        proptest::collection::vec((key(), inner), 0..6).prop_map(|members| {
            let members: Vec<String> =
                members.into_iter().map(|(key, value)| format!("{key}:{value}")).collect();
            format!("{{{}}}", members.join(","))
        })
    })
}

fn event() -> impl Strategy<Value = String> {
    let kinds = ["track", "identify", "page", "screen", "group", "alias", "extract", "merge"];
    let part = || proptest::option::weighted(0.8, tree());
    (
        proptest::sample::select(kinds.to_vec()),
        [part(), part(), part(), part()],
        proptest::option::of(scalar()),
        proptest::sample::select(vec![
            "", "\"skipReservedKeywordsEscaping\":true", "\"useBlendoCasing\":true",
            "\"jsonPaths\":[\"a\",\"a.b\",\"track.context.traits\"]",
        ]),
        proptest::sample::select(vec!["\"Done\"", "\"\"", "7", "\"!!\"", "\"users\""]),
    )
        .prop_map(|(kind, parts, id, options, name)| {
            let mut out = format!(
                "{{\"type\":\"{kind}\",\"event\":{name},\"userId\":\"same\",\"recordId\":1,\
                 \"mergeProperties\":[{{\"type\":\"a\",\"value\":1}},{{\"type\":\"b\",\"value\":2}}],\
                 \"integrations\":{{\"S3_DATALAKE\":{{\"options\":{{{options}}}}},\
                 \"POSTGRES\":{{\"options\":{{{options}}}}}}}"
            );
            if let Some(id) = id {
                out.push_str(&format!(",\"messageId\":{id}"));
            }
            let names = ["context", "properties", "traits", "userProperties"];
            for (name, part) in names.into_iter().zip(parts) {
                if let Some(part) = part {
                    out.push_str(&format!(",\"{name}\":{part}"));
                }
            }
            out.push('}');
            out
        })
}

fn layout() -> impl Strategy<Value = Layout> {
    (any::<[bool; 6]>(), proptest::sample::select(vec!["", "cloud"])).prop_map(
        |([users, divide, traits, full, rules, paths], category)| Layout {
            skip_tracks_table: false,
            skip_users_table: users,
            underscore_divide_numbers: divide,
            allow_users_context_traits: traits,
            store_full_event: full,
            identity_rules: rules,
            source_category: category.to_owned(),
            json_paths: if paths {
                ["a", "identify.traits.a", "track.properties.a.b"].into_iter().collect()
            } else {
                JsonPaths::default()
            },
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 600,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_leaf_vanishes_and_none_changes(
        events in proptest::collection::vec((event(), layout()), 1..4),
        dialect in proptest::sample::select(vec![
            Dialect::Datalake, Dialect::Postgres, Dialect::Snowflake, Dialect::Bigquery,
        ]),
    ) {
        let (mut mapper, mut parser) = (Mapper::new(dialect), Parser::new());
        for (event, layout) in events {
            let tape = parser.parse(event.as_bytes()).unwrap();
            let mut cells = Cells::default();
            if mapper.map(tape.root(), &ORIGIN, &layout, &mut cells).is_err() {
                prop_assert!(cells.cells.is_empty() && cells.kind.is_none());
                continue;
            }
            for part in [known::CONTEXT, known::PROPERTIES, known::TRAITS, known::USER_PROPERTIES] {
                let Some(part) = tape.root().member(part) else { continue };
                let mut all = Vec::new();
                leaves(part, &mut Vec::new(), &mut all);
                for (leaf, around) in all {
                    prop_assert!(
                        is_found(&mapper, tape.root(), leaf, &around, &cells),
                        "{} of {event}", raw_path(tape.root(), leaf.index())
                    );
                }
            }
            for kept in &cells.cells {
                let name = mapper.column_name(kept.column);
                prop_assert!(name.len() <= dialect.name_bytes_max());
                let fixed = mapper.standard_type(kept.table, kept.column);
                prop_assert!(fixed.is_some() || kept.origin != u32::MAX, "{name}");
            }
        }
    }
}
