//! Nothing that was sent is lost or changed: arbitrary events go through the whole program, and every
//! value of context, properties, traits and userProperties is looked for in the written files.
//!
//! The events are generated as trees that know what they mean, so that what is expected does not
//! come from a parser of the product. A value must be in the column of its path, in a variant of
//! it, in `_overflow`, or in `rudder_discards` under its raw path.

use std::collections::{BTreeMap, HashMap};

use keelrow::warehouse::Dialect;
use keelrow::warehouse::names::{Namer, transform};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value};

use self::keys::key;
use crate::gateway::Gateway;
use crate::lake;

mod keys;

const SOURCE: &str = "[[source]]\nname = \"web\"\nenvironment = \"prod\"\nwrite_key = \"wk\"\n\
                      transforms = []\n";
const BATCHES: usize = 4;
const EVENTS_A_BATCH: usize = 60;

/// A JSON value with its spelling.
#[derive(Clone, Debug)]
enum Json {
    /// `null`, `true`, a number: as it is spelled.
    Bare(String),
    /// A string's spelling, and its characters without NUL and with U+FFFD for lone surrogates.
    Text(String, String),
    Array(Vec<Json>),
    /// Members in order; keys may come twice.
    Object(Vec<((String, String), Json)>),
}

impl Json {
    fn text(text: &str) -> Self {
        Self::Text(serde_json::to_string(text).unwrap(), text.to_owned())
    }

    /// As it is sent.
    fn spell(&self, out: &mut String) {
        match self {
            Self::Bare(text) | Self::Text(text, _) => out.push_str(text),
            Self::Array(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    out.push_str(if at > 0 { ", " } else { "" });
                    item.spell(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (at, ((key, _), value)) in members.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    out.push_str(key);
                    out.push(':');
                    value.spell(out);
                }
                out.push('}');
            }
        }
    }

    /// Members that count: the first of each key.
    fn members(&self) -> Vec<(&str, &Self)> {
        let Self::Object(members) = self else { return Vec::new() };
        let mut found: Vec<(&str, &Self)> = Vec::new();
        for ((_, key), value) in members {
            if found.iter().all(|(known, _)| known != key) {
                found.push((key, value));
            }
        }
        found
    }

    fn is_blank(&self) -> bool {
        match self {
            Self::Bare(text) => text == "null",
            Self::Text(_, text) => text.is_empty(),
            Self::Array(items) => match items.as_slice() {
                [] => true,
                [Self::Array(inner)] => inner.is_empty(),
                [Self::Text(_, text)] => text.is_empty(),
                _ => false,
            },
            Self::Object(_) => false,
        }
    }

    /// What it means, with numbers as decimals: two spellings of one value are equal.
    fn meaning(&self) -> String {
        match self {
            Self::Bare(text) if text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => {
                format!("{:?}", decimal(text))
            }
            Self::Bare(text) => text.clone(),
            Self::Text(_, text) => format!("{text:?}"),
            Self::Array(items) => {
                format!("{:?}", items.iter().map(Self::meaning).collect::<Vec<_>>())
            }
            Self::Object(_) => {
                let members = self.members();
                let each = members.iter().map(|(key, value)| (*key, value.meaning()));
                format!("{:?}", each.collect::<BTreeMap<_, _>>())
            }
        }
    }
}

/// Sign, digits without zeros at their ends, exponent.
fn decimal(spelled: &str) -> (bool, String, i128) {
    let (mantissa, exponent) = spelled.split_once(['e', 'E']).unwrap_or((spelled, "0"));
    let digits = mantissa.trim_start_matches('-');
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let digits = format!("{whole}{fraction}");
    let exponent = exponent.parse::<i128>().unwrap() - fraction.len() as i128;
    let short = digits.trim_end_matches('0');
    let exponent = exponent + (digits.len() - short.len()) as i128;
    match short.trim_start_matches('0') {
        "" => (false, String::new(), 0),
        short => (mantissa.starts_with('-'), short.to_owned(), exponent),
    }
}

/// Reads JSON text into the same form, in a few lines: what the product wrote is known to be JSON.
fn read(text: &str) -> Option<Json> {
    let mut rest = text;
    let value = read_value(&mut rest)?;
    rest.trim_start().is_empty().then_some(value)
}

fn read_value(rest: &mut &str) -> Option<Json> {
    *rest = rest.trim_start();
    let close = |rest: &mut &str, mark: char| {
        let after = rest.trim_start().strip_prefix(mark);
        *rest = after.unwrap_or(rest);
        after.is_some()
    };
    if close(rest, '[') {
        let mut items = Vec::new();
        while !close(rest, ']') {
            items.push(read_value(rest)?);
            close(rest, ',');
        }
        return Some(Json::Array(items));
    }
    if close(rest, '{') {
        let mut members = Vec::new();
        while !close(rest, '}') {
            let Json::Text(spelled, key) = read_value(rest)? else { return None };
            close(rest, ':');
            members.push(((spelled, key), read_value(rest)?));
            close(rest, ',');
        }
        return Some(Json::Object(members));
    }
    if rest.starts_with('"') {
        let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<String>();
        let text = stream.next()?.ok()?;
        let length = stream.byte_offset();
        let spelled = rest.get(..length)?.to_owned();
        *rest = rest.get(length..)?;
        return Some(Json::Text(spelled, text));
    }
    let end = rest.find([',', ']', '}', ' ']).unwrap_or(rest.len());
    let bare = rest.get(..end).filter(|bare| !bare.is_empty())?.to_owned();
    *rest = rest.get(end..)?;
    Some(Json::Bare(bare))
}

fn scalar() -> impl Strategy<Value = Json> {
    let numbers = [
        "0",
        "-0",
        "-0.0",
        "7",
        "1.0",
        "1e3",
        "1.10",
        "0.1",
        "1e21",
        "1e-7",
        "1e400",
        "-1e-400",
        "9007199254740993",
        "-9007199254740993",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551616",
        "123456789012345678901234567890",
        "0.1000000000000000055511151231257827",
        "3.141592653589793238462643383279",
        "1.7976931348623157e308",
        "5e-324",
    ];
    let texts = [
        "x",
        "true",
        "12",
        "1.5",
        "2024-02-29",
        "2023-02-29",
        "2024-02-29T10:00:00.123456+05:30",
        "2024-01-01T00:00:00.1234567Z",
        "2024-01-01 23:59:59Z",
        "0001-01-01",
        "9999-12-31T23:59:59Z",
        "2024-04-31",
        "é😀日本",
        "a\"b\\c/\n\t",
        " ",
        "'; drop table x; --",
    ];
    let odd = [
        (r#""""#, ""),
        (r#""a\u0000b""#, "ab"),
        (r#""\u0000""#, ""),
        (r#""\ud800""#, "\u{fffd}"),
        (r#""x\udc00\ud800y""#, "x\u{fffd}\u{fffd}y"),
        (r#""\ud83d\ude00\/\u00e9""#, "😀/é"),
    ];
    prop_oneof![
        6 => proptest::sample::select(numbers.to_vec()).prop_map(|text| Json::Bare(text.into())),
        2 => any::<i64>().prop_map(|number| Json::Bare(number.to_string())),
        2 => any::<f64>().prop_filter("a number", |number| number.is_finite())
            .prop_map(|number| Json::Bare(format!("{number:e}"))),
        3 => proptest::sample::select(vec!["true", "false", "null"])
            .prop_map(|text| Json::Bare(text.into())),
        6 => proptest::sample::select(texts.to_vec()).prop_map(Json::text),
        2 => ".{0,8}".prop_map(|text| Json::text(&text.replace('\0', "x"))),
        2 => proptest::sample::select(odd.to_vec())
            .prop_map(|(spelled, text)| Json::Text(spelled.into(), text.into())),
    ]
}

fn tree() -> impl Strategy<Value = Json> {
    let flat = || proptest::collection::vec(scalar(), 0..4).prop_map(Json::Array);
    let of_arrays = (flat(), scalar()).prop_map(|(first, last)| Json::Array(vec![first, last]));
    let array = prop_oneof![3 => flat(), 1 => of_arrays];
    let nested = proptest::collection::vec(key(), 1..3)
        .prop_map(|keys| keys.into_iter().map(|key| (key, Json::text("in"))).collect())
        .prop_map(|members| Json::Array(vec![Json::Object(members), Json::Bare("1.50".into())]));
    let leaf = prop_oneof![8 => scalar(), 2 => array, 1 => nested];
    leaf.prop_recursive(4, 24, 5, |inner| {
        proptest::collection::vec((key(), inner), 0..6).prop_map(Json::Object)
    })
}

/// The parts, and the kind of the event.
fn event() -> impl Strategy<Value = (&'static str, Vec<(&'static str, Json)>)> {
    let kinds = vec!["track", "track", "identify", "page", "screen", "group", "alias"];
    let object = proptest::collection::vec((key(), tree()), 0..7).prop_map(Json::Object);
    let part = prop_oneof![12 => object, 1 => tree()];
    let parts = proptest::collection::vec(proptest::option::weighted(0.7, part), 4);
    (proptest::sample::select(kinds), parts).prop_map(|(kind, parts)| {
        let names = ["context", "properties", "traits", "userProperties"];
        let parts = names.into_iter().zip(parts);
        (kind, parts.filter_map(|(name, part)| Some((name, part?))).collect())
    })
}

/// A value that must be found: its keys and itself.
type Leaf<'j> = (Vec<&'j str>, &'j Json);

fn leaves<'j>(json: &'j Json, path: &mut Vec<&'j str>, found: &mut Vec<Leaf<'j>>) {
    if matches!(json, Json::Object(_)) {
        for (key, value) in json.members() {
            path.push(key);
            leaves(value, path, found);
            path.pop();
        }
    } else if !json.is_blank() {
        found.push((path.clone(), json));
    }
}

/// True if a cell, as Parquet has it, is the value.
fn is_same(cell: &Value, leaf: &Json) -> bool {
    match (cell, leaf) {
        (Value::Bool(cell), Json::Bare(text)) => cell.to_string() == *text,
        (Value::Number(cell), Json::Bare(text)) if cell.is_i64() => {
            text.starts_with(['-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
                && decimal(&cell.to_string()) == decimal(text)
        }
        (Value::Number(cell), Json::Bare(text)) => {
            let float = cell.as_f64().unwrap();
            // The shortest spelling, or all digits: a float column takes an integer that it holds.
            let shortest = decimal(&format!("{float:e}"));
            let whole = float.fract() == 0.0;
            !["true", "false"].contains(&text.as_str())
                && (shortest == decimal(text)
                    || whole && decimal(&format!("{float:.0}")) == decimal(text))
        }
        // A time is a number of microseconds here.
        (Value::Number(cell), Json::Text(_, text)) => {
            moment(text).is_some() && moment(text) == cell.as_i64()
        }
        (Value::String(cell), Json::Text(_, text)) => cell == text,
        (Value::String(cell), Json::Bare(text)) if text == "true" || text == "false" => {
            cell == text
        }
        (Value::String(cell), leaf) => {
            read(cell).is_some_and(|cell| cell.meaning() == leaf.meaning())
        }
        _ => false,
    }
}

/// Microseconds since 1970 of a time as our events spell it.
fn moment(text: &str) -> Option<i64> {
    if text == "9999-12-31T23:59:59Z" {
        // The last second that a warehouse has; the library ends a day before.
        return Some(253_402_300_799_000_000);
    }
    let day = || text.parse::<jiff::civil::Date>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok();
    let time = text.parse::<jiff::Timestamp>().ok();
    let time = time.or_else(|| day().map(|day| day.timestamp()))?;
    Some(time.as_microsecond())
}

/// What the files say of one event: each column's cells over all its rows, and its discards.
#[derive(Default)]
struct Found {
    cells: HashMap<String, Vec<Value>>,
    discards: Vec<(String, String)>,
}

fn read_back(lake: &std::path::Path) -> HashMap<String, Found> {
    let mut found: HashMap<String, Found> = HashMap::new();
    for row in lake::rows(&lake.join("rudder-datalake")) {
        let text = |row: &Map<String, Value>, name: &str| {
            row.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        if row.contains_key("row_id") {
            let of_event = found.entry(text(&row, "row_id")).or_default();
            of_event.discards.push((text(&row, "column_name"), text(&row, "column_value")));
        } else {
            // A row of users has the id of the user, which is the event's with a mark before it.
            let id = text(&row, "id");
            let of_event = found.entry(id.trim_start_matches("u-").to_owned()).or_default();
            for (name, cell) in row {
                of_event.cells.entry(name).or_default().push(cell);
            }
        }
    }
    found
}

fn assert_found(namer: &Namer, found: &Found, part: &str, (path, leaf): &Leaf<'_>, sent: &str) {
    let mut joined = path.join("_");
    if part == "context" {
        joined = format!("context_{joined}");
    }
    let column = namer.safe(transform(&joined, false), false);
    let escaped = |key: &&str| key.replace('\\', "\\\\").replace('.', "\\.");
    let raw: Vec<String> = std::iter::once(&part).chain(path).map(escaped).collect();
    let raw = raw.join(".");
    let in_columns =
        ["", "__int", "__float", "__boolean", "__datetime", "__string"].iter().any(|kind| {
            let base = column.get(..255 - kind.len()).filter(|_| column.len() > 255 - kind.len());
            let name = format!("{}{kind}", base.unwrap_or(&column));
            !column.is_empty()
                && found
                    .cells
                    .get(&name)
                    .is_some_and(|cells| cells.iter().any(|cell| is_same(cell, leaf)))
        });
    let in_discards = found
        .discards
        .iter()
        .any(|(name, value)| *name == raw && is_same(&Value::String(value.clone()), leaf));
    // Past the cap on columns.
    let in_overflow = found.cells.get("_overflow").into_iter().flatten().any(|object| {
        let Some(object) = object.as_str().and_then(read) else { return false };
        let members = object.members();
        members.iter().any(|(name, value)| *name == raw && value.meaning() == leaf.meaning())
    });
    let shown = sent.get(..2_000.min(sent.len())).unwrap_or_default();
    let is_found = in_columns || in_discards || in_overflow;
    assert!(is_found, "{raw} = {leaf:?} is lost, of the event\n{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_value_is_found_exactly_in_the_written_files() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), SOURCE).await;
    let mut runner = TestRunner::default();
    let strategy = event();
    let mut sent = Vec::new();
    for batch in 0..BATCHES {
        let mut bodies = Vec::new();
        for number in 0..EVENTS_A_BATCH {
            let (kind, parts) = strategy.new_tree(&mut runner).unwrap().current();
            let id = format!("m-{batch}-{number}");
            let mut body = format!(
                r#"{{"type":"{kind}","messageId":"{id}","userId":"u-{id}","event":"Done","name":"n","groupId":"g","previousId":"p""#
            );
            for (name, part) in &parts {
                body.push_str(&format!(",\"{name}\":"));
                part.spell(&mut body);
            }
            body.push('}');
            bodies.push(body.clone());
            sent.push((id, parts, body));
        }
        gateway.post("/v1/batch", "wk", &format!("{{\"batch\":[{}]}}", bodies.join(","))).await;
        gateway.flush().await;
    }
    gateway.stop().await;
    let found = read_back(&folder.path().join("lake"));
    let namer = Namer::new(Dialect::Datalake);
    let mut looked_for = 0;
    for (id, parts, body) in &sent {
        let of_event = found.get(id).unwrap_or_else(|| panic!("{body} is lost"));
        for (name, part) in parts {
            let mut all = Vec::new();
            leaves(part, &mut Vec::new(), &mut all);
            looked_for += all.len();
            all.iter().for_each(|leaf| assert_found(&namer, of_event, name, leaf, body));
        }
    }
    assert!(looked_for > 1_000, "only {looked_for} values were looked for");
}

/// An object with one member.
fn object(key: &str, value: Json) -> Json {
    Json::Object(vec![((serde_json::to_string(key).unwrap(), key.to_owned()), value)])
}

/// An object with `count` members, one number each.
fn wide(count: usize) -> Json {
    let member = |number: usize| {
        let key = format!("key {number}");
        ((format!("\"{key}\""), key), Json::Bare(number.to_string()))
    };
    Json::Object((0..count).map(member).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_shapes_are_kept_whole_or_rejected_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), SOURCE).await;
    // The body and the event are two levels, properties a third.
    let deep = (0..124).fold(Json::Bare("7".into()), |inner, _| object("a", inner));
    let shapes = [
        ("wide", wide(10_000)),
        ("deep", deep.clone()),
        ("long-key", object(&"k".repeat(1 << 20), Json::Bare("1".into()))),
        ("long-text", object("text", Json::text(&"0123456789abcdef".repeat(3 << 16)))),
        (
            "replaced",
            object("text", Json::Text(r#""\ud800\udc00\udc00\u0000""#.into(), "𐀀\u{fffd}".into())),
        ),
        ("too-wide", wide(20_000)),
    ];
    let mut bodies = Vec::new();
    for (id, properties) in &shapes {
        let mut body = format!(
            r#"{{"type":"track","messageId":"{id}","userId":"u","event":"Done {id}","properties":"#
        );
        properties.spell(&mut body);
        body.push('}');
        gateway.post("/v1/batch", "wk", &format!("{{\"batch\":[{body}]}}")).await;
        bodies.push(body);
    }
    let mut too_deep = String::from(r#"{"event":"e","userId":"u","properties":"#);
    (0..6).fold(deep, |inner, _| object("a", inner)).spell(&mut too_deep);
    too_deep.push('}');
    assert_eq!(gateway.try_post("/v1/track", "wk", &too_deep).await.status, 400);
    gateway.flush().await;
    let replaced = "keelrow_surrogates_replaced_total{source=\"web_prod\"}";
    assert_eq!(gateway.metric(replaced).await, 1);
    let removed = "keelrow_nuls_removed_total{source=\"web_prod\"}";
    assert_eq!(gateway.metric(removed).await, 1);
    gateway.stop().await;
    let lake = folder.path().join("lake");
    let (found, namer) = (read_back(&lake), Namer::new(Dialect::Datalake));
    for ((id, properties), body) in
        shapes.iter().zip(&bodies).filter(|((id, _), _)| *id != "too-wide")
    {
        let mut all = Vec::new();
        leaves(properties, &mut Vec::new(), &mut all);
        assert!(!all.is_empty());
        let step = all.len().div_ceil(500);
        let some = all.iter().step_by(step);
        some.for_each(|leaf| assert_found(&namer, &found[*id], "properties", leaf, body));
    }
    let rejected = lake::rows(&lake.join("rudder-datalake/web_prod/rejected"));
    assert_eq!(rejected.len(), 1, "{rejected:?}");
    assert_eq!(
        (&rejected[0]["id"], &rejected[0]["reason"]),
        (&"too-wide".into(), &"unmappable".into())
    );
    let columns = lake::rows(&lake.join("rudder-datalake/web_prod/done_wide"))[0].len();
    assert!(columns <= 1_600, "{columns} columns");
}
