//! Events that are like one before: their files are those of events that are mapped one by one.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use crate::clock::Timestamp;
use crate::loader::plan::PlannedFile;
use crate::loader::rows::{Batch, Incoming, LocalFile, Rows, Workshop as _};
use crate::loader::{Settings, Warehouse};
use crate::record::{self, EncodedRoute, Rejection, Route, Stamp, View};
use crate::storage::keys::{DataFile, Hour, Number, Part};
use crate::storage::memory::Memory;
use crate::storage::registry::{Registry, Widened};
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
pub(super) struct Template {
    start: &'static str,
    properties: Vec<Member>,
    context: Vec<Member>,
    traits: Vec<Member>,
    end: &'static str,
}

pub(super) fn template() -> impl Strategy<Value = Template> {
    let members = || {
        let member = (0..KEYS.len(), prop_oneof![9 => 0..VALUES.len() - 2, 1 => 0..VALUES.len()]);
        proptest::collection::vec(member, 0..5)
    };
    let start = proptest::sample::select(vec![
        r#""type":"track","event":"Order Done""#,
        r#""type":"Track","event":"order_done""#,
        r#""type":"track","event":"\u00e9""#,
        r#""type":"track","event":7"#,
        r#""type":"track","event":"groups""#,
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
        r#""receivedAt":"2026-11-21T10:00:00.000Z","messageId":"m","integrations":{"S3_DATALAKE":{"options":{"skipReservedKeywordsEscaping":true}}}"#,
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

pub(super) fn event(template: &Template, choices: &[u8]) -> String {
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

pub(super) type File = (String, u32, Bytes);

/// How the files of events are made.
#[derive(Clone, Copy)]
struct How {
    knows_outlines: bool,
    /// Row groups close amid the batch, as for want of memory.
    is_relieved: bool,
}

/// What the events come with.
pub(super) struct Source {
    encoded: EncodedRoute,
    route: Arc<Route>,
}

impl Source {
    pub(super) fn new(name: &str, environment: &str) -> Self {
        let route = Route {
            source_id: format!("{name}_{environment}"),
            source_name: name.into(),
            environment: environment.into(),
            platform: name.into(),
            schema: format!("{name}_{environment}"),
        };
        Self { encoded: EncodedRoute::new(route.clone()), route: Arc::new(route) }
    }

    /// Gives `take` the event of a batch at `position`; each came some hours after the one before.
    pub(super) fn give<T>(
        &self,
        (batch, position): (&Batch, u64),
        (event, rejection): (&str, Option<&Rejection>),
        take: impl FnOnce(Incoming<'_>) -> T,
    ) -> T {
        let received_at =
            batch.time.micros() + 5 * 3_600_000_000 * i64::try_from(position).unwrap();
        let stamp = Stamp { key_hash: 1, content_hash: 1, part: 0, received_at, rejection };
        let mut bytes = Vec::new();
        record::write_event(&self.encoded, event.as_bytes(), stamp, &mut bytes);
        let View::Event(view) = record::read(&bytes).unwrap() else { unreachable!() };
        take(Incoming { event: &view, route: &self.route, position })
    }

    /// Gives the events to `rows`, and tells what came of them.
    fn fill(
        &self,
        (batch, mut rows): (&Batch, Box<dyn Rows>),
        events: &[String],
        is_relieved: bool,
    ) -> Vec<LocalFile> {
        for (position, event) in (0..).zip(events) {
            self.give((batch, position), (event, None), |incoming| rows.event(incoming)).unwrap();
            if is_relieved && position % 5 == 4 {
                rows.relieve(0).unwrap();
            }
        }
        rows.finish().unwrap()
    }
}

pub(super) fn read(files: &[LocalFile]) -> Vec<File> {
    let bytes = |file: &LocalFile| file.content.read().unwrap();
    files.iter().map(|file| (file.folder.to_string(), file.part, bytes(file))).collect()
}

/// A batch of that number, some hours after the one before.
pub(super) fn batch(number: u64, folder: &Path) -> Batch {
    Batch {
        writer: Part::new("test").unwrap(),
        number: Number(number),
        from: 0,
        time: Timestamp::from_millis(
            1_781_481_939_000 + 7 * 3_600_000 * i64::try_from(number).unwrap(),
        ),
        folder: folder.to_owned(),
    }
}

/// Registers the columns of a batch's files, and tells what its plan would; `None` if another writer
/// was first.
pub(super) fn register(
    batch: &Batch,
    files: &[LocalFile],
    registry: &Registry,
) -> Option<Vec<PlannedFile>> {
    let planned = |file: &LocalFile| {
        if registry.widen(&file.folder, &file.schema).unwrap() == Widened::Lost {
            return None;
        }
        let LocalFile { folder, part, schema, row_groups, .. } = file;
        let (writer, hour) = (batch.writer.clone(), Hour::of(batch.time));
        let (folder, number) = (folder.clone(), batch.number);
        Some(PlannedFile {
            path: DataFile { folder, hour, writer, number, part: *part }.to_string(),
            schema_version: schema.version,
            row_groups: row_groups.clone(),
        })
    };
    files.iter().map(planned).collect()
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
    let source = Source::new("web", "prod");
    let folder = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    let (half, rest) = events.split_at(events.len() / 2);
    for (number, events) in (1..).zip([half, events, rest]) {
        let batch = batch(number, folder.path());
        let (rows, settings_then) = warehouse.cut(&batch, &registry).unwrap();
        let made = source.fill((&batch, rows), events, how.is_relieved);
        let planned = register(&batch, &made, &registry).unwrap();
        let mut other = Warehouse::new(Arc::clone(&settings)).unwrap();
        let rows = other.rewrite(&batch, &settings_then, &planned, &registry).unwrap();
        let (made, again) = (read(&made), read(&source.fill((&batch, rows), events, false)));
        same(&made, &again)?;
        all.extend(made);
    }
    Ok(all)
}

pub(super) fn same(files: &[File], others: &[File]) -> Result<(), TestCaseError> {
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
