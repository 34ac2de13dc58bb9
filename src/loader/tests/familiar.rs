//! Events that are like one before: their files are those of events that are mapped one by one.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use crate::clock::Timestamp;
use crate::loader::rows::{Batch, Incoming, Workshop as _};
use crate::loader::{Settings, Warehouse};
use crate::record::{self, EncodedRoute, Route, Stamp, View};
use crate::storage::keys::{Number, Part};
use crate::storage::memory::Memory;
use crate::storage::registry::Registry;
use crate::storage::{Options, Store};

/// Spellings of values that are alike, the usual ones first.
const VALUES: [&[&str]; 7] = [
    &[r#""x y""#, r#""word""#, r#""2026-01-01T00:00:00Z""#, r#""w""#, r#""""#, r#""\u00e9\n""#],
    &["1", "2", "1.5", "9007199254740993", "1e400", "-0", "null"],
    &["true", "false", "null"],
    &[r#"["a"]"#, "[1,2]", "[]", r#"[""]"#, "[[ ]]"],
    &[r#""2026-01-01T00:00:00Z""#, r#""2026-02-02T00:00:00.5Z""#, r#""no time""#],
    &[r#"{"0":"a","1":"b"}"#, r#"{"0":"a","1":"bb"}"#, r#"{"q":"a"}"#, "{}", r#"{"q":{"r":1}}"#],
    &[r#""\u0000""#, r#""a\ud800""#, r#""b""#],
];

/// Values of an id, the usual ones first.
const IDS: [&str; 6] = [r#""u""#, r#""v""#, r#"" ""#, r#""\u00a0\t""#, "7", "null"];

/// Keys that meet standard columns, each other, and nothing.
const KEYS: [&str; 18] = [
    "id",
    "event",
    "timestamp",
    "userId",
    "type",
    "receivedAt",
    "name",
    "sourceId",
    "traits",
    "a",
    "A",
    "a_b",
    "aB",
    "$x",
    "constructor",
    "session_id",
    "ip",
    "c",
];

/// A member: its key and which values it may have.
type Member = (usize, usize);

#[derive(Clone, Debug)]
struct Template {
    start: &'static str,
    properties: Vec<Member>,
    context: Vec<Member>,
    traits: Vec<Member>,
    end: &'static str,
}

fn template() -> impl Strategy<Value = Template> {
    let members = || {
        let member = (0..KEYS.len(), prop_oneof![9 => 0..VALUES.len() - 1, 1 => 0..VALUES.len()]);
        proptest::collection::vec(member, 0..5)
    };
    let start = proptest::sample::select(vec![
        r#""type":"track","event":"Order Done""#,
        r#""type":"Track","event":"order_done""#,
        r#""type":"track","event":"\u00e9""#,
        r#""type":"track","event":7"#,
        r#""type":"page","name":"n""#,
        r#""type":"screen""#,
        r#""type":"identify","userId":USER"#,
        r#""type":"identify","traits":{"a":USER,"name":"n"},"userId":USER"#,
        r#""type":"group","groupId":USER"#,
        r#""type":"alias","previousId":"p","userId":USER"#,
    ]);
    let end = proptest::sample::select(vec![
        r#""receivedAt":"2026-11-21T10:00:00.000Z","messageId":"m""#,
        r#""receivedAt":"2026-11-21T10:00:00.000Z","messageId":"m","integrations":{"All":true}"#,
        r#""messageId":"m","receivedAt":"2026-11-21T10:00:00.000Z","userId":"u","anonymousId":"""#,
        r#""receivedAt":"today","messageId":"m""#,
        r#""receivedAt":"2026-11-21T10:00:00.000Z","messageId":"""#,
        r#""receivedAt":"2026-11-21T10:00:00.000Z","messageId":"m","integrations":{"S3_DATALAKE":{"options":{"skipTracksTable":true}}}"#,
    ]);
    (start, members(), members(), members(), end).prop_map(
        |(start, properties, context, traits, end)| Template {
            start,
            properties,
            context,
            traits,
            end,
        },
    )
}

fn write(members: &[Member], choices: &mut impl Iterator<Item = usize>) -> String {
    let member = |&(key, values): &Member| {
        let values = VALUES[values];
        let choice = choices.next().unwrap_or(0);
        // The usual ones most of the time.
        let at = if choice < 14 { choice % 2 } else { choice % values.len() };
        format!("\"{}\":{}", KEYS[key], values[at])
    };
    let all: Vec<String> = members.iter().map(member).collect();
    all.join(",")
}

fn event(template: &Template, choices: &[u8]) -> String {
    let mut choices = choices.iter().map(|choice| usize::from(*choice)).cycle();
    let Template { start, properties, context, traits, end } = template;
    let properties = write(properties, &mut choices);
    let of_traits = write(traits, &mut choices);
    let context = write(context, &mut choices);
    let choice = choices.next().unwrap_or(0);
    let start =
        start.replace("USER", IDS[if choice < 10 { choice % 2 } else { choice % IDS.len() }]);
    let comma = if context.is_empty() { "" } else { "," };
    format!(
        r#"{{{start},"properties":{{{properties}}},"context":{{"traits":{{{of_traits}}}{comma}{context}}},{end}}}"#
    )
}

type File = (String, u32, Bytes);

/// The files of two batches of the events, in which schemas are new and known.
fn files(events: &[String], knows_outlines: bool) -> Vec<File> {
    let store = Store::new(Arc::new(Memory::default()), Options::default());
    let registry = Registry::new(store);
    let settings = Arc::new(arc_swap::ArcSwap::from_pointee(Settings::default()));
    let mut warehouse = Warehouse::new(settings).unwrap();
    if !knows_outlines {
        warehouse.know_no_outlines();
    }
    let route = Route {
        source_id: "web_prod".into(),
        source_name: "web".into(),
        environment: "prod".into(),
        platform: "web".into(),
        schema: "web_prod".into(),
    };
    let encoded = EncodedRoute::new(route.clone());
    let route = Arc::new(route);
    let folder = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    for number in 1..=2 {
        let batch = Batch {
            writer: Part::new("test").unwrap(),
            number: Number(number),
            from: 0,
            time: Timestamp::from_millis(1_781_481_939_000),
            folder: folder.path().to_owned(),
        };
        let (mut rows, _) = warehouse.cut(&batch, &registry).unwrap();
        for (position, event) in (0..).zip(events) {
            let stamp =
                Stamp { key_hash: 1, content_hash: 1, part: 0, received_at: 5, rejection: None };
            let mut bytes = Vec::new();
            record::write_event(&encoded, event.as_bytes(), stamp, &mut bytes);
            let View::Event(view) = record::read(&bytes).unwrap() else { unreachable!() };
            rows.event(Incoming { event: &view, route: &route, position }).unwrap();
        }
        for file in rows.finish().unwrap() {
            registry.widen(&file.folder, &file.schema).unwrap();
            all.push((file.folder.to_string(), file.part, file.content.read().unwrap()));
        }
    }
    all
}

/// Fails unless the files of the events are those of events that are mapped one by one.
fn compare(events: &[String]) -> Result<(), TestCaseError> {
    let (known, mapped) = (files(events, true), files(events, false));
    let names = |files: &[File]| files.iter().map(|file| file.0.clone()).collect::<Vec<_>>();
    prop_assert_eq!(names(&known), names(&mapped));
    for ((name, _, known), (_, _, mapped)) in known.iter().zip(&mapped) {
        prop_assert!(known == mapped, "{} differs", name);
    }
    Ok(())
}

#[test]
fn arrays_of_other_lengths_do_not_move_what_comes_after_them() {
    let members = [(r#"["a"]"#, r#"["b"]"#), (r#"["a"]"#, "[1,2]"), ("[1,2]", r#"["a"]"#)];
    let events = members.map(|(a, b)| {
        format!(
            r#"{{"type":"track","event":"e","context":{{"a":{a},"b":{b}}},"receivedAt":"2026-11-21T10:00:00.000Z","messageId":"m"}}"#
        )
    });
    compare(&events).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn files_are_those_of_events_mapped_one_by_one(
        templates in proptest::collection::vec(template(), 1..4),
        choices in proptest::collection::vec((0_usize..4, proptest::collection::vec(0_u8..16, 1..6)), 1..24),
    ) {
        let events: Vec<String> = choices
            .iter()
            .map(|(at, choices)| event(&templates[at % templates.len()], choices))
            .collect();
        compare(&events)?;
    }
}
