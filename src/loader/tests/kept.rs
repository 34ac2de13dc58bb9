//! What batches leave to each other changes no file: a workshop that goes on from batch to batch
//! makes those of one that is started anew for each.
//!
//! In between, batches are thrown away or made again, settings are exchanged, another writer widens
//! the tables, and schemas run out of tables and columns. What is kept has small bounds in tests.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::Value;

use super::familiar::{File, Source, Template, batch, event, read, register, same, template};
use crate::loader::plan::PlannedFile;
use crate::loader::rows::{Batch, LocalFile, Mapped, Pressed, Rows, Workshop as _};
use crate::loader::settings::{BlockSettings, LayoutSettings};
use crate::loader::{Settings, SharedSettings, Warehouse};
use crate::record::Rejection;
use crate::storage::memory::Memory;
use crate::storage::registry::Registry;
use crate::storage::{Options, Store};

/// What the loader knew of an event before it gave it.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Usual,
    Rejected,
    Reused,
    /// No JSON.
    Broken,
}

/// An event of one of the sources, with a template and the choices that fill it.
#[derive(Clone, Debug)]
struct Sent {
    source: usize,
    template: usize,
    choices: Vec<u8>,
    fate: Fate,
}

/// What happens, one after the other.
#[derive(Clone, Debug)]
enum Step {
    /// A batch, of which row groups close amid it where more memory is taken.
    Cut { events: Vec<Sent>, memory: Option<u64> },
    /// A batch that fails before its end, or at it.
    ThrownAway { events: Vec<Sent>, is_finished: bool },
    /// The last batch once more, as its plan says.
    Again,
    /// Settings are exchanged, maybe for equal ones.
    Exchanged(usize),
    /// A batch of another writer.
    Foreign(Vec<Sent>),
    /// What the registry has read is forgotten.
    Forgotten,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let choices = proptest::collection::vec(0_u8..16, 1..6);
    let fate = prop_oneof![
        12 => Just(Fate::Usual),
        1 => Just(Fate::Rejected),
        1 => Just(Fate::Reused),
        1 => Just(Fate::Broken),
    ];
    let sent = (0..SOURCES.len(), 0_usize..8, choices, fate)
        .prop_map(|(source, template, choices, fate)| Sent { source, template, choices, fate });
    let events = || proptest::collection::vec(sent.clone(), 1..10);
    let memory = proptest::option::of(prop_oneof![Just(0_u64), 5_000_u64..60_000]);
    let step = prop_oneof![
        8 => (events(), memory).prop_map(|(events, memory)| Step::Cut { events, memory }),
        1 => (events(), any::<bool>())
            .prop_map(|(events, is_finished)| Step::ThrownAway { events, is_finished }),
        1 => Just(Step::Again),
        1 => (0..SETTINGS).prop_map(Step::Exchanged),
        1 => events().prop_map(Step::Foreign),
        1 => Just(Step::Forgotten),
    ];
    proptest::collection::vec(step, 2..14)
}

/// The last two share a schema.
const SOURCES: [(&str, &str); 4] =
    [("web", "prod"), ("web", "qa"), ("ios", "prod"), ("ios", "prod")];

const SETTINGS: usize = 8;

/// Settings that events meet the limits of, or not.
fn settings(dialect: &str, which: usize) -> Settings {
    let mut settings = Settings { dialect: dialect.into(), ..Settings::default() };
    if which & 1 != 0 {
        (settings.tables_max, settings.columns_max) = (2, 34);
        settings.row_group_bytes = 2_000;
    }
    if which & 2 != 0 {
        let layout = LayoutSettings { identity_rules: true, ..LayoutSettings::default() };
        settings.layouts.insert("ios_prod".into(), layout);
        let layout = LayoutSettings { skip_tracks_table: true, ..LayoutSettings::default() };
        settings.layouts.insert("web_qa".into(), layout);
    }
    if which & 4 != 0 {
        let block = |name: &str| BlockSettings { name: name.into(), ..BlockSettings::default() };
        settings.unified = vec![
            BlockSettings {
                exclude_columns: vec!["*_a".into()],
                aliases: vec![("c".into(), vec!["a".into(), "a_b".into()])],
                ..block("user_events")
            },
            BlockSettings {
                include_tables: vec!["tracks".into(), "users".into()],
                exclude_events: vec!["order_done".into()],
                ..block("all_tracks")
            },
        ];
    }
    settings
}

/// A batch that was committed.
struct Done<'s> {
    batch: Batch,
    written: Value,
    planned: Vec<PlannedFile>,
    files: Vec<File>,
    events: &'s [Sent],
}

/// What there is to tell of a batch.
type Told = (Vec<File>, Pressed, Vec<Mapped>);

/// A lake, and who writes it.
struct World<'t> {
    templates: &'t [Template],
    sources: Vec<Source>,
    folder: tempfile::TempDir,
    store: Store,
    registry: Registry,
    dialect: &'static str,
    settings: SharedSettings,
    warehouse: Warehouse,
    /// With one workshop all the time.
    goes_on: bool,
    number: u64,
    told: Vec<Told>,
}

impl<'t> World<'t> {
    fn new(
        templates: &'t [Template],
        (dialect, which): (&'static str, usize),
        goes_on: bool,
    ) -> Self {
        let store = Store::new(Arc::new(Memory::default()), Options::default());
        let settings = Arc::new(arc_swap::ArcSwap::from_pointee(settings(dialect, which)));
        Self {
            templates,
            sources: SOURCES.map(|(name, environment)| Source::new(name, environment)).into(),
            folder: tempfile::tempdir().unwrap(),
            registry: Registry::new(store.clone()),
            store,
            dialect,
            warehouse: Warehouse::new(Arc::clone(&settings)).unwrap(),
            settings,
            goes_on,
            number: 0,
            told: Vec::new(),
        }
    }

    /// Another workshop with the settings of now.
    fn other(&self) -> Warehouse {
        Warehouse::new(Arc::clone(&self.settings)).unwrap()
    }

    fn give(
        &self,
        (batch, rows): (&Batch, &mut dyn Rows),
        events: &[Sent],
        memory: Option<u64>,
    ) -> Vec<Mapped> {
        let rejection = Rejection { reason: "test".into(), ..Rejection::default() };
        let mut mapped = Vec::new();
        for (position, sent) in (0..).zip(events) {
            let mut text =
                event(&self.templates[sent.template % self.templates.len()], &sent.choices);
            if matches!(sent.fate, Fate::Broken) {
                text.pop();
            }
            let rejection = matches!(sent.fate, Fate::Rejected).then_some(&rejection);
            let source = &self.sources[sent.source];
            mapped.push(source.give((batch, position), (&text, rejection), |incoming| {
                if matches!(sent.fate, Fate::Reused) {
                    rows.reused(incoming).unwrap();
                    Mapped::Rejected
                } else {
                    rows.event(incoming).unwrap()
                }
            }));
            if let Some(memory) = memory {
                rows.relieve(memory).unwrap();
            }
        }
        mapped
    }

    fn cut(
        &mut self,
        batch: &Batch,
        events: &[Sent],
        memory: Option<u64>,
    ) -> (Value, Vec<LocalFile>, (Pressed, Vec<Mapped>)) {
        let (mut rows, written) = self.warehouse.cut(batch, &self.registry).unwrap();
        let mapped = self.give((batch, &mut *rows), events, memory);
        let pressed = rows.pressed();
        (written, rows.finish().unwrap(), (pressed, mapped))
    }

    /// Fails unless `warehouse` makes the files of a batch again.
    fn again(&self, warehouse: &mut Warehouse, done: &Done<'_>) -> Result<(), TestCaseError> {
        let Done { batch, written, planned, files, events } = done;
        let mut rows = warehouse.rewrite(batch, written, planned, &self.registry).unwrap();
        self.give((batch, &mut *rows), events, None);
        same(files, &read(&rows.finish().unwrap()))
    }

    fn run(mut self, steps: &[Step]) -> Result<Vec<Told>, TestCaseError> {
        let mut last: Option<Done<'_>> = None;
        for step in steps {
            if !self.goes_on {
                self.warehouse = self.other();
            }
            match step {
                Step::Cut { events, memory } => {
                    self.number += 1;
                    let batch = batch(self.number, self.folder.path());
                    let (written, files, planned) = loop {
                        let (written, files, told) = self.cut(&batch, events, *memory);
                        if let Some(planned) = register(&batch, &files, &self.registry) {
                            let files = read(&files);
                            self.told.push((files.clone(), told.0, told.1));
                            break (written, files, planned);
                        }
                    };
                    let done = Done { batch, written, planned, files, events };
                    if self.goes_on {
                        self.again(&mut self.other(), &done)?;
                    }
                    last = Some(done);
                }
                Step::ThrownAway { events, is_finished } => {
                    let batch = batch(self.number + 1, self.folder.path());
                    if *is_finished {
                        self.cut(&batch, events, None);
                    } else {
                        let (mut rows, _) = self.warehouse.cut(&batch, &self.registry).unwrap();
                        self.give((&batch, &mut *rows), events, None);
                    }
                }
                Step::Again => {
                    let Some(done) = &last else { continue };
                    let other = self.other();
                    let mut warehouse = std::mem::replace(&mut self.warehouse, other);
                    self.again(&mut warehouse, done)?;
                    self.warehouse = warehouse;
                }
                Step::Exchanged(which) => {
                    self.settings.store(Arc::new(settings(self.dialect, *which)));
                }
                Step::Foreign(events) => {
                    let batch = batch(1_000 + self.number, self.folder.path());
                    let registry = Registry::new(self.store.clone());
                    let (mut rows, _) = self.other().cut(&batch, &registry).unwrap();
                    self.give((&batch, &mut *rows), events, None);
                    register(&batch, &rows.finish().unwrap(), &registry).unwrap();
                }
                Step::Forgotten => self.registry = Registry::new(self.store.clone()),
            }
        }
        Ok(self.told)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn files_are_those_of_a_workshop_that_begins_anew(
        templates in proptest::collection::vec(template(), 1..5),
        dialect in proptest::sample::select(&["datalake", "bigquery"][..]),
        which in 0..SETTINGS,
        steps in steps(),
    ) {
        let run = |goes_on| World::new(&templates, (dialect, which), goes_on).run(&steps);
        let (kept, fresh) = (run(true)?, run(false)?);
        prop_assert_eq!(kept.len(), fresh.len());
        for ((files, pressed, mapped), (as_files, as_pressed, as_mapped)) in kept.iter().zip(&fresh) {
            same(files, as_files)?;
            prop_assert_eq!(pressed, as_pressed);
            prop_assert_eq!(mapped, as_mapped);
        }
    }
}

/// An event with these members.
fn with(members: &str) -> String {
    let end = r#""receivedAt":"2026-11-21T10:00:00.000Z","messageId":"m""#;
    format!("{{{members},{end}}}")
}

/// Gives events of the first source to the rows of a batch; each may find that there is no memory left.
fn fill(
    world: &World<'_>,
    batch: &Batch,
    mut rows: Box<dyn Rows>,
    events: &[(String, bool)],
) -> Vec<LocalFile> {
    for (position, (text, is_relieved)) in (0..).zip(events) {
        world.sources[0].give((batch, position), (text, None), |incoming| {
            assert_eq!(rows.event(incoming).unwrap(), Mapped::Loaded);
        });
        // Each time one row group is closed.
        for _ in 0..if *is_relieved { 8 } else { 0 } {
            rows.relieve(0).unwrap();
        }
    }
    rows.finish().unwrap()
}

/// Fails unless a batch of the events is the same when another workshop makes it again.
fn assert_made_again(world: &mut World<'_>, events: &[(String, bool)]) {
    world.number += 1;
    let batch = batch(world.number, world.folder.path());
    let (rows, written) = world.warehouse.cut(&batch, &world.registry).unwrap();
    let files = fill(world, &batch, rows, events);
    let planned = register(&batch, &files, &world.registry).unwrap();
    let rows = world.other().rewrite(&batch, &written, &planned, &world.registry).unwrap();
    let calm: Vec<_> = events.iter().map(|(text, _)| (text.clone(), false)).collect();
    same(&read(&files), &read(&fill(world, &batch, rows, &calm))).unwrap();
}

#[test]
fn texts_that_are_forgotten_amid_a_batch_leave_those_that_stay() {
    let named =
        |n: usize| with(&format!(r#""type":"track","event":"e","properties":{{"a":"text {n}"}}"#));
    let long = with(&format!(
        r#""type":"track","event":"f","properties":{{"a":{:?}}}"#,
        "x".repeat(300_000)
    ));
    let mut world = World::new(&[], ("datalake", 0), true);
    for _ in 0..2 {
        let mut events: Vec<_> = (0..6).map(|n| (named(n), false)).collect();
        events.push((long.clone(), true));
        events.extend((6..12).map(|n| (named(n), n == 9)));
        assert_made_again(&mut world, &events);
    }
}

#[test]
fn an_event_called_like_a_table_of_the_layout_is_in_it_whatever_else_a_schema_has() {
    let group = with(r#""type":"group","groupId":"g""#);
    let option =
        r#""integrations":{"S3_DATALAKE":{"options":{"skipReservedKeywordsEscaping":true}}}"#;
    let groups = with(&format!(r#""type":"track","event":"groups",{option}"#));
    let other = |name: &str| with(&format!(r#""type":"track","event":"{name}""#));
    let mut world = World::new(&[], ("datalake", 1), true);
    let events = [other("a"), other("b"), other("c"), groups, group].map(|text| (text, false));
    assert_made_again(&mut world, &events);
}

#[test]
fn columns_that_are_numbered_anew_are_others() {
    let priced = with(r#""type":"track","event":"e","properties":{"price":"ten!","color":"red!"}"#);
    let turned = with(r#""type":"track","event":"e","properties":{"color":"blue","price":"nine"}"#);
    // More names than are kept from batch to batch, and far fewer columns.
    let flood: Vec<String> = (0..5_000).map(|n| format!("\"k{n}\":0")).collect();
    let flood =
        with(&format!(r#""type":"track","event":"f","properties":{{{}}}"#, flood.join(",")));
    let mut world = World::new(&[], ("datalake", 1), true);
    assert_made_again(&mut world, &[(priced.clone(), false), (priced, false), (flood, false)]);
    assert_made_again(&mut world, &[(turned.clone(), false), (turned, false)]);
}

#[test]
fn paths_that_are_lost_are_known_within_bounds() {
    let lost = |n: usize| {
        let members: Vec<String> = (0..4).map(|m| format!(r#""${m}":1"#)).collect();
        let key = format!("{n}{}", "k".repeat(480));
        let members = members.join(",");
        with(&format!(r#""type":"track","event":"e","properties":{{"{key}":{{{members}}}}}"#))
    };
    let mut world = World::new(&[], ("datalake", 0), true);
    let mut kept = Vec::new();
    for names in [1, 10] {
        world.number += 1;
        let batch = batch(world.number, world.folder.path());
        let (rows, _) = world.warehouse.cut(&batch, &world.registry).unwrap();
        let events: Vec<_> = (0..20).map(|n| (lost(n % names), false)).collect();
        fill(&world, &batch, rows, &events);
        kept.push(world.warehouse.constant_bytes());
    }
    assert!(kept[0] > 1_000, "some are known: {kept:?}");
    assert!(kept[1] < 20_000, "no more than may be: {kept:?}");
}
