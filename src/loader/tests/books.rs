//! The invariants over random histories: what was sent, when the process died, the lake failed, the
//! clock moved, and power went, all from one seed.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;

use super::world::{Sent, World, drain};
use crate::journal::Position;
use crate::loader::books::waiting;
use crate::loader::{Books, Loader};
use crate::storage::manifest::Counts;
use crate::storage::memory::Fault;

/// SplitMix64, by Sebastiano Vigna: enough for choices, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}

/// What must come out.
#[derive(Default)]
struct Model {
    received: u64,
    dropped: u64,
    suppressed: u64,
    split: u64,
    /// First content and all contents of each key.
    keys: HashMap<u64, Vec<u64>>,
    loaded: u64,
    rejected: u64,
    duplicate: u64,
}

impl Model {
    fn sent(&mut self, sent: &Sent, can_map: bool) {
        if sent.part == 0 {
            self.received += 1;
        } else {
            self.split += 1;
        }
        let contents = self.keys.entry(sent.key).or_default();
        if contents.contains(&sent.content) {
            self.duplicate += 1;
        } else if contents.is_empty() && can_map {
            self.loaded += 1;
            contents.push(sent.content);
        } else {
            self.rejected += 1;
            contents.push(sent.content);
        }
    }
}

fn send_some(world: &mut World, model: &mut Model, dice: &mut Dice) {
    for _ in 0..=dice.roll(12) {
        let key = 1 + dice.roll(60);
        let content = 1 + u64::from(dice.roll(10) == 0);
        let can_map = dice.roll(12) > 0;
        let payload = if can_map {
            let column = dice.roll(4);
            let table = ["signup", "login", "play"][usize::try_from(dice.roll(3)).unwrap()];
            format!(r#"{{"t":"{table}","id":"m{key}_{content}","c{column}":{key}}}"#)
        } else {
            r#"{"t":""}"#.into()
        };
        let part = u32::from(dice.roll(9) == 0);
        let sent = Sent { content, part, ..Sent::new(key, &payload) };
        world.send(&sent);
        model.sent(&sent, can_map);
    }
    if dice.roll(4) == 0 {
        let (dropped, suppressed) = (dice.roll(5), dice.roll(3));
        world.tally(u32::try_from(dropped).unwrap(), u32::try_from(suppressed).unwrap());
        model.received += dropped + suppressed;
        model.dropped += dropped;
        model.suppressed += suppressed;
    }
}

/// Objects never change and never go.
fn assert_immutable(before: &BTreeMap<String, Bytes>, world: &World) {
    let after = world.memory.objects();
    for (key, bytes) in before {
        assert_eq!(after.get(key), Some(bytes), "{key}");
    }
}

/// At every instant: committed and waiting make what was received.
fn assert_balance(world: &World, model: &Model) {
    let mut books = Books::default();
    let manifests = world.manifests();
    for manifest in &manifests {
        assert!(manifest.sources.values().all(Counts::balance));
        books.add(&Books::from_sources(manifest.sources.clone()));
    }
    let committed = books.total();
    let to = manifests.last().map_or(0, |manifest| manifest.journal.to);
    let journal = world.services().journal;
    let left = waiting(&*journal, Position::new(to), journal.state().durable).unwrap();
    let waiting_received: u64 = left.values().map(|source| source.received).sum();
    let waiting_split: u64 = left.values().map(|source| source.split).sum();
    assert_eq!(committed.received + waiting_received, model.received);
    assert_eq!(committed.split + waiting_split, model.split);
}

fn history(seed: u64) {
    let dice = &mut Dice(seed);
    let mut world = World::new();
    world.limits.max_bytes = 200 + dice.roll(4_000);
    world.row_group_bytes = 300 + dice.roll(5_000);
    let mut model = Model::default();
    let mut loader: Option<Loader> = None;
    let mut objects = BTreeMap::new();
    for _ in 0..60 {
        match dice.roll(10) {
            0..=2 => send_some(&mut world, &mut model, dice),
            3..=6 => {
                let loader = loader.get_or_insert_with(|| world.loader());
                for _ in 0..dice.roll(6) {
                    let flush = dice.roll(3) == 0;
                    // Whatever it says, it has to be right when it is called again.
                    drop(loader.advance(flush));
                }
            }
            7 => {
                let fault = [Fault::Refuse, Fault::Forget][usize::try_from(dice.roll(2)).unwrap()];
                let number = world.faulty.operations() + dice.roll(12);
                match dice.roll(3) {
                    0 => world.faulty.go_down(number, fault),
                    1 => world.faulty.fail(number, fault),
                    _ => world.faulty.mend(),
                }
            }
            8 => {
                loader = None;
                if dice.roll(2) == 0 {
                    world.restart_journal();
                }
            }
            _ => {
                world.clock.advance(Duration::from_secs(dice.roll(2_000)));
                world.care();
            }
        }
        assert_immutable(&objects, &world);
        objects = world.memory.objects();
        assert_balance(&world, &model);
    }
    drop(loader);
    world.faulty.mend();
    drain(&mut world.loader()).unwrap();
    assert_immutable(&objects, &world);
    assert_balance(&world, &model);
    let mut books = Books::default();
    for manifest in world.manifests() {
        books.add(&Books::from_sources(manifest.sources));
    }
    let expected = Counts {
        received: model.received,
        loaded: model.loaded,
        duplicate: model.duplicate,
        rejected: model.rejected,
        dropped: model.dropped,
        suppressed: model.suppressed,
        damaged: 0,
        split: model.split,
    };
    assert_eq!(books.total(), expected);
    let rows = world.rows();
    assert!(rows.values().all(|times| *times == 1), "{rows:?}");
    assert_eq!(rows.len() as u64, model.loaded + model.rejected);
    world.assert_no_orphans();
}

/// Histories of a run; more by the environment, for long runs by hand.
const HISTORIES: u64 = 40;

#[test]
fn every_event_is_loaded_once_whatever_happens() {
    let histories = std::env::var("KEELROW_HISTORIES").ok().and_then(|text| text.parse().ok());
    for seed in 0..histories.unwrap_or(HISTORIES) {
        if std::panic::catch_unwind(|| history(seed)).is_err() {
            panic!("seed {seed} fails");
        }
    }
}

#[test]
fn a_record_lost_to_damage_is_booked_to_its_source_and_nothing_else_is_lost() {
    let mut world = World::new();
    world.events(1..20, "a");
    for path in world.disk.paths() {
        let mut bytes = world.disk.bytes(&path).unwrap();
        let needle = br#""id":"m7""#;
        if let Some(at) = bytes.windows(needle.len()).position(|window| window == needle) {
            bytes[at + 3] ^= 1;
            world.disk.put(&path, &bytes);
        }
    }
    world.restart_journal();
    drain(&mut world.loader()).unwrap();
    let manifest = world.manifests().pop().unwrap();
    let expected = Counts { received: 19, loaded: 18, damaged: 1, ..Counts::default() };
    assert_eq!(manifest.sources["web_prod"], expected);
    assert_eq!(world.rows().len(), 18);
}
