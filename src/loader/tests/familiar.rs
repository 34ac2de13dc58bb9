//! Events that are like one before: their files are those of events that are mapped one by one.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use crate::clock::Timestamp;
use crate::loader::plan::PlannedFile;
use crate::loader::rows::{Batch, Incoming, LocalFile, Rows, Workshop as _};
use crate::loader::{Settings, Warehouse};
use crate::record::{self, EncodedRoute, Route, Stamp, View};
use crate::storage::keys::{DataFile, Hour, Number, Part};
use crate::storage::memory::Memory;
use crate::storage::registry::Registry;
use crate::storage::{Options, Store};

/// Spellings of values that are alike, the usual ones first.
const VALUES: [&[&str]; 8] = [
    &[r#""x y""#, r#""word""#, r#""2026-01-01T00:00:00Z""#, r#""w""#, r#""""#, r#""\u00e9\n""#],
    &["1", "2", "1.5", "9007199254740993", "1e400", "-0", "null"],
    &["true", "false", "null"],
    &[r#"["a"]"#, "[1,2]", "[]", r#"[""]"#, "[[ ]]"],
    &[r#""2026-01-01T00:00:00Z""#, r#""2026-02-02T00:00:00.5Z""#, r#""no time""#],
    &[r#"{"0":"a","1":"b"}"#, r#"{"0":"a","1":"bb"}"#, r#"{"q":"a"}"#, "{}", r#"{"q":{"r":1}}"#],
    &[r#""\u0000""#, r#""a\ud800""#, r#""b""#],
    &["LONG", "LONGER", r#""short""#],
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
        let member = (0..KEYS.len(), prop_oneof![9 => 0..VALUES.len() - 2, 1 => 0..VALUES.len()]);
        proptest::collection::vec(member, 0..5)
    };
    let start = proptest::sample::select(vec![
        r#""type":"track","event":"Order Done""#,
        r#""type":"Track","event":"order_done""#,
        r#""type":"track","event":"\u00e9""#,
        r#""type":"track","event":7"#,
        r#""type":"page","name":"n""#,
        r#""type":"page","name":"x y""#,
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
        let value = match values[at] {
            "LONG" => format!("{:?}", "l".repeat(1_100)),
            "LONGER" => format!("{:?}", "m".repeat(1_200)),
            value => value.to_owned(),
        };
        format!("\"{}\":{value}", KEYS[key])
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

/// How the files of events are made.
#[derive(Clone, Copy)]
struct How {
    knows_outlines: bool,
    /// Row groups close amid the batch, as for want of memory.
    is_relieved: bool,
}

/// What the events come with.
struct Source {
    encoded: EncodedRoute,
    route: Arc<Route>,
}

impl Source {
    fn new() -> Self {
        let route = Route {
            source_id: "web_prod".into(),
            source_name: "web".into(),
            environment: "prod".into(),
            platform: "web".into(),
            schema: "web_prod".into(),
        };
        Self { encoded: EncodedRoute::new(route.clone()), route: Arc::new(route) }
    }

    /// Gives the events to `rows`, and tells what came of them.
    fn fill(
        &self,
        mut rows: Box<dyn Rows>,
        events: &[String],
        is_relieved: bool,
    ) -> Vec<LocalFile> {
        for (position, event) in (0..).zip(events) {
            let stamp =
                Stamp { key_hash: 1, content_hash: 1, part: 0, received_at: 5, rejection: None };
            let mut bytes = Vec::new();
            record::write_event(&self.encoded, event.as_bytes(), stamp, &mut bytes);
            let View::Event(view) = record::read(&bytes).unwrap() else { unreachable!() };
            rows.event(Incoming { event: &view, route: &self.route, position }).unwrap();
            if is_relieved && position % 5 == 4 {
                rows.relieve(0).unwrap();
            }
        }
        rows.finish().unwrap()
    }
}

fn read(files: &[LocalFile]) -> Vec<File> {
    let bytes = |file: &LocalFile| file.content.read().unwrap();
    files.iter().map(|file| (file.folder.to_string(), file.part, bytes(file))).collect()
}

/// The files of three batches of the events, in which schemas are new and known, and events are known
/// since the same batch or one before. Each batch is made again from what its plan would say, by a
/// program that has just been started.
fn files(events: &[String], how: How) -> Result<Vec<File>, TestCaseError> {
    let store = Store::new(Arc::new(Memory::default()), Options::default());
    let registry = Registry::new(store);
    let settings = Arc::new(arc_swap::ArcSwap::from_pointee(Settings::default()));
    let mut warehouse = Warehouse::new(Arc::clone(&settings)).unwrap();
    if !how.knows_outlines {
        warehouse.know_no_outlines();
    }
    let source = Source::new();
    let folder = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    let (half, rest) = events.split_at(events.len() / 2);
    for (number, events) in (1..).zip([half, events, rest]) {
        let batch = Batch {
            writer: Part::new("test").unwrap(),
            number: Number(number),
            from: 0,
            time: Timestamp::from_millis(1_781_481_939_000),
            folder: folder.path().to_owned(),
        };
        let (rows, settings_then) = warehouse.cut(&batch, &registry).unwrap();
        let made = source.fill(rows, events, how.is_relieved);
        let mut planned = Vec::new();
        for file in &made {
            registry.widen(&file.folder, &file.schema).unwrap();
            let LocalFile { folder, part, schema, row_groups, .. } = file;
            let (writer, hour) = (batch.writer.clone(), Hour::of(batch.time));
            let number = batch.number;
            let key = DataFile { folder: folder.clone(), hour, writer, number, part: *part };
            planned.push(PlannedFile {
                path: key.to_string(),
                schema_version: schema.version,
                row_groups: row_groups.clone(),
            });
        }
        let mut other = Warehouse::new(Arc::clone(&settings)).unwrap();
        let rows = other.rewrite(&batch, &settings_then, &planned, &registry).unwrap();
        let (made, again) = (read(&made), read(&source.fill(rows, events, false)));
        same(&made, &again)?;
        all.extend(made);
    }
    Ok(all)
}

fn same(files: &[File], others: &[File]) -> Result<(), TestCaseError> {
    let names = |files: &[File]| files.iter().map(|file| file.0.clone()).collect::<Vec<_>>();
    prop_assert_eq!(names(files), names(others));
    for ((name, part, one), (_, _, other)) in files.iter().zip(others) {
        prop_assert!(one == other, "part {} of {} differs", part, name);
    }
    Ok(())
}

/// Fails unless the files of the events are those of events that are mapped one by one, and those of
/// batches that are made again.
fn compare(events: &[String]) -> Result<(), TestCaseError> {
    let how = |knows_outlines, is_relieved| How { knows_outlines, is_relieved };
    same(&files(events, how(true, false))?, &files(events, how(false, false))?)?;
    files(events, how(true, true)).map(drop)
}

fn track(name: &str, rest: &str) -> String {
    format!(
        r#"{{"type":"track","event":"{name}",{rest},"receivedAt":"2026-11-21T10:00:00.000Z","messageId":"m"}}"#
    )
}

#[test]
fn arrays_of_other_lengths_do_not_move_what_comes_after_them() {
    let members = [(r#"["a"]"#, r#"["b"]"#), (r#"["a"]"#, "[1,2]"), ("[1,2]", r#"["a"]"#)];
    let events = members.map(|(a, b)| track("e", &format!(r#""context":{{"a":{a},"b":{b}}}"#)));
    compare(&events).unwrap();
}

#[test]
fn keys_that_are_numbered_anew_are_others() {
    let priced = track("e", r#""properties":{"price":"ten!","color":"red!"}"#);
    let flood: Vec<String> = (0..16_400).map(|n| format!("\"k{n}\":0")).collect();
    let flood = track("f", &format!(r#""properties":{{"q":[{{{}}}]}}"#, flood.join(",")));
    let turned = track("e", r#""properties":{"color":"blue","price":"nine"}"#);
    compare(&[priced.clone(), priced, flood, turned]).unwrap();
}

#[test]
fn long_texts_are_the_same_bytes_whatever_their_numbers_are() {
    let url = "x".repeat(1_100);
    let event = track("e", &format!(r#""context":{{"page":{{"url":"{url}"}}}}"#));
    compare(&vec![event; 4]).unwrap();
}

#[test]
fn a_name_that_is_there_twice_is_lost_only_where_it_is_another() {
    let names = [("a", "a"), ("b", "b"), ("c", "d"), (r"\u0065", "e"), ("f", "g"), ("h", "h")];
    let events = names.map(|(name, inner)| {
        let name = format!(r#""type":"page","name":"{name}","properties":{{"name":"{inner}"}}"#);
        format!(r#"{{{name},"receivedAt":"2026-11-21T10:00:00.000Z","messageId":"m"}}"#)
    });
    compare(&events).unwrap();
}

#[test]
fn a_path_that_is_cut_is_that_of_its_own_event() {
    let key = "k".repeat(600);
    let lost = format!(r#""properties":{{"{key}":{{"{key}":{{"$x":"v"}}}}}}"#);
    let lists = [r#"["a"]"#, "[1,2,3]", "[4]"];
    let events = lists.map(|list| track("e", &format!(r#""context":{{"a":{list}}},{lost}"#)));
    compare(&events).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

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
