//! The machines, the lake, and what must hold at every moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use keelrow::clock::Clock;
use keelrow::journal::Journal;
use keelrow::journal::disk::memory::{Disk, Faults};
use keelrow::loader::plan::Plan;
use keelrow::storage::keys::{DataFile, Key};
use keelrow::storage::manifest::{Counts, Manifest};
use serde_json::Value;

use super::chain::{Chain, Options};
use super::clock::SimClock;
use super::dice::Dice;
use super::lake::{Lake, Link, Weather};
use super::machine::Machine;
use super::plant::Plant;
use super::record::{Known, Sent};
use super::traffic::Traffic;

/// How often things happened.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) steps: u64,
    pub(super) events: u64,
    pub(super) acknowledged: u64,
    pub(super) batches: u64,
    pub(super) starts: u64,
    pub(super) power_cuts: u64,
    pub(super) flips: u64,
    pub(super) rivals: u64,
    pub(super) stopped: u64,
}

impl Tally {
    pub(super) fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.events += other.events;
        self.acknowledged += other.acknowledged;
        self.batches += other.batches;
        self.starts += other.starts;
        self.power_cuts += other.power_cuts;
        self.flips += other.flips;
        self.rivals += other.rivals;
        self.stopped += other.stopped;
    }
}

/// Everything.
pub(super) struct World {
    pub(super) dice: Dice,
    pub(super) lake: Arc<Lake>,
    pub(super) machines: Vec<Machine>,
    pub(super) traffic: Vec<Traffic>,
    pub(super) chains: BTreeMap<String, Chain>,
    pub(super) sent: Vec<Sent>,
    pub(super) plant: Option<Plant>,
    pub(super) tally: Tally,
    /// Whether a machine was copied, so that two have one writer id.
    pub(super) is_copied: bool,
    /// Which machine did something last.
    pub(super) acted: usize,
    objects: BTreeMap<String, Bytes>,
    options: Options,
}

impl World {
    pub(super) fn new(seed: u64, plant: Option<Plant>) -> Self {
        let mut dice = Dice::new(seed);
        let options = Options {
            window: Duration::from_secs(dice.pick(&[3_600, 86_400])),
            keys_max: dice.pick(&[25, 1_000]),
            max_age: Duration::from_secs(60 + dice.roll(600)),
            max_bytes: 300 + dice.roll(4_000),
            memory: 20_000 + dice.roll(200_000),
            row_group_bytes: 400 + dice.roll(6_000),
            part_bytes: 3_000 + dice.roll(20_000),
        };
        let mut world = Self {
            lake: Arc::new(Lake::new(plant)),
            machines: Vec::new(),
            traffic: Vec::new(),
            chains: BTreeMap::new(),
            sent: Vec::new(),
            plant,
            tally: Tally::default(),
            is_copied: false,
            acted: 0,
            objects: BTreeMap::new(),
            options,
            dice,
        };
        world.add("a", Disk::new(), SimClock::new(0));
        if world.dice.chance(30) || plant == Some(Plant::SchemaNarrowed) {
            world.add("b", Disk::new(), SimClock::new(1));
        }
        world
    }

    fn add(&mut self, name: &'static str, disk: Disk, clock: SimClock) {
        let clock = Arc::new(clock);
        let dice = Dice::new(self.dice.roll(u64::MAX));
        let link = Link::new(Arc::clone(&self.lake), Arc::clone(&clock), dice);
        disk.set_faults(self.faults());
        let number = self.machines.len() as u64;
        let told = (self.options, self.plant);
        self.machines.push(Machine::new((name, number), disk, clock, link, told));
        self.traffic.push(Traffic::new(name));
        let at = self.machines.len() - 1;
        self.start(at);
    }

    /// Copies a machine with all that is on it; the copy runs on its own.
    pub(super) fn copy(&mut self, at: usize) {
        let original = &self.machines[at];
        let (disk, clock) = (original.disk.copy(), original.clock.copy(2));
        let dice = Dice::new(self.dice.roll(u64::MAX));
        let clock = Arc::new(clock);
        let link = Link::new(Arc::clone(&self.lake), Arc::clone(&clock), dice);
        let told = (self.options, self.plant);
        let mut copy = Machine::new((original.name, 2), disk, clock, link, told);
        copy_folder(original.folder.path(), copy.folder.path());
        copy.known.clone_from(&original.known);
        copy.acknowledged.clone_from(&original.acknowledged);
        copy.flipped.clone_from(&original.flipped);
        copy.writer.clone_from(&original.writer);
        copy.disk.set_faults(self.faults());
        self.machines.push(copy);
        self.traffic.push(self.traffic[at].clone());
        (self.is_copied, self.tally.rivals) = (true, self.tally.rivals + 1);
        let at = self.machines.len() - 1;
        self.cut_power(at);
        self.start(at);
    }

    /// Faults of a disk that works, as far as no fault is planted in it.
    pub(super) fn faults(&self) -> Faults {
        let syncs_lie = self.plant == Some(Plant::AckBeforeSync);
        Faults { syncs_lie, ..Faults::default() }
    }

    /// Starts the process of a machine, if its disk lets it.
    pub(super) fn start(&mut self, at: usize) -> bool {
        let machine = &mut self.machines[at];
        if !machine.start() {
            return false;
        }
        self.tally.starts += 1;
        let chain = || Chain::new(&machine.writer, machine.options);
        self.chains.entry(machine.writer.clone()).or_insert_with(chain);
        true
    }

    /// What was not synced is lost, all of it or parts.
    pub(super) fn cut_power(&mut self, at: usize) {
        self.tally.power_cuts += 1;
        self.lake.forget_late();
        let survival = self.dice.pick(&[0, 50, 50, 90]);
        let dice = &mut self.dice;
        self.machines[at].disk.lose_power(|| dice.chance(survival));
    }

    /// All that must hold now. `acting` is the machine that did something last.
    pub(super) fn check(&mut self, acting: usize) {
        for key in self.lake.take_fresh() {
            let bytes = self.lake.get(&key).unwrap();
            match Key::parse(&key) {
                Some(Key::Schema(folder, version)) => self.check_schema(&folder, version, &bytes),
                Some(Key::Data(file)) => self.check_planned(&file),
                Some(key @ Key::Manifest(..)) => {
                    let manifest = Manifest::from_bytes(&key, &bytes).unwrap();
                    let chain = self.chains.get_mut(&manifest.writer).unwrap();
                    chain.take(&manifest, &bytes, &self.machines[acting].known, &self.lake);
                    self.tally.batches += 1;
                }
                _ => {}
            }
        }
        let objects = self.lake.objects();
        for (key, bytes) in &self.objects {
            assert_eq!(objects.get(key), Some(bytes), "{key} has changed");
        }
        self.objects = objects;
        for at in 0..self.machines.len() {
            self.check_machine(at);
        }
    }

    fn check_schema(
        &self,
        folder: &keelrow::storage::keys::TableFolder,
        version: u64,
        bytes: &[u8],
    ) {
        let columns = |bytes: &[u8]| -> Vec<(String, String)> {
            let schema: Value = serde_json::from_slice(bytes).unwrap();
            let text = |column: &Value, key: &str| column[key].as_str().unwrap().to_owned();
            let columns = schema["columns"].as_array().unwrap();
            columns.iter().map(|column| (text(column, "name"), text(column, "type"))).collect()
        };
        let now = columns(bytes);
        let names: BTreeSet<&String> = now.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), now.len(), "{folder} has a column twice");
        if version == 1 {
            return;
        }
        let before = self.lake.get(&Key::Schema(folder.clone(), version - 1).to_string());
        let before = columns(&before.unwrap_or_else(|| panic!("{folder} {version} has a gap")));
        assert!(now.starts_with(&before), "{folder} {version} does not widen");
    }

    /// A file is announced by a plan before it can be seen.
    fn check_planned(&self, file: &DataFile) {
        let key = Key::Plan(file.writer.clone(), file.number);
        let plan = self.lake.get(&key.to_string());
        let plan = plan.unwrap_or_else(|| panic!("{file} was not planned"));
        let plan = Plan::from_bytes(&key, &plan).unwrap();
        let path = file.to_string();
        assert!(plan.parts.iter().any(|part| part.path == path), "{file} was not planned");
    }

    fn check_machine(&mut self, at: usize) {
        let is_copied = self.is_copied;
        let machine = &mut self.machines[at];
        self.tally.stopped += u64::from(machine.stopped.is_some());
        if let Some(stopped) = &machine.stopped {
            assert!(is_copied && !stopped.starts_with(':'), "{}: {stopped}", machine.name);
        }
        check_acknowledged(machine, &self.sent);
        let (Some(process), Some(chain)) = (&mut machine.process, self.chains.get(&machine.writer))
        else {
            return;
        };
        let first = process.log.state().first.get();
        assert!(first <= chain.to, "records to {first} are gone, to {} committed", chain.to);
        let (Some(ledger), Some(report)) = (&mut process.ledger, process.loader.report()) else {
            return;
        };
        if is_copied || report.committed_to != chain.to {
            return;
        }
        let lines = ledger.lines(&report, &process.books, &*process.log);
        let mut come: BTreeMap<String, u64> = BTreeMap::new();
        let mut waiting: BTreeMap<String, u64> = BTreeMap::new();
        for (position, known) in (0..).zip(&machine.known) {
            *come.entry(known.source.clone()).or_default() += known.events();
            if position >= chain.to {
                *waiting.entry(known.source.clone()).or_default() += known.events();
            }
        }
        let total: u64 = lines.values().map(|line| line.counts.received).sum();
        assert_eq!(total, come.values().sum::<u64>(), "{}: received in all", machine.name);
        for (source, line) in &lines {
            let settled = chain.books.get(source).copied().unwrap_or_default();
            let Counts { received, damaged, .. } = line.counts;
            assert_eq!(Counts { received, damaged, ..settled }, line.counts, "{source}");
            if machine.flipped.is_empty() {
                let come = come.get(source).copied().unwrap_or(0);
                let waits = waiting.get(source).copied().unwrap_or(0);
                assert_eq!((received, line.waiting, damaged), (come, waits, 0), "{source}");
            }
        }
    }

    /// After all is well again and the loaders had time: nothing waits, nothing is lost.
    pub(super) fn check_end(&mut self) {
        let mut files: Vec<String> = Vec::new();
        for (key, bytes) in &self.objects {
            if let Some(key @ Key::Manifest(..)) = Key::parse(key) {
                let manifest = Manifest::from_bytes(&key, bytes).unwrap();
                files.extend(manifest.files.into_iter().map(|file| file.path));
            }
        }
        files.sort_unstable();
        let data = self.objects.keys().filter(|key| key.ends_with(".parquet"));
        let is_stuck = self.machines.iter().any(|machine| machine.stopped.is_some());
        if !is_stuck {
            assert_eq!(data.cloned().collect::<Vec<_>>(), files, "files of no batch");
        }
        for machine in &self.machines {
            let chain = &self.chains[&machine.writer];
            if machine.stopped.is_some() {
                check_kept(machine, chain);
                continue;
            }
            let (records, name) = (machine.known.len() as u64, machine.name);
            // The other one of a copied machine may have gone on from all that this one has.
            let has_more = self.is_copied && chain.to > records;
            assert!(chain.to == records || has_more, "{name}: records wait for ever");
            let serials: BTreeSet<u64> = machine.known.iter().filter_map(|k| k.serial).collect();
            assert!(serials.is_subset(&chain.settled), "{name}: events are lost");
            for serial in &machine.acknowledged {
                let is_out = self.sent[usize::try_from(*serial).unwrap()].is_taken_out;
                assert!(is_out || chain.settled.contains(serial), "{name}: {serial} is lost");
            }
            if !self.is_copied {
                let flipped: BTreeSet<u64> = machine.flipped.iter().copied().collect();
                assert_eq!(chain.damaged, flipped, "{name}: booked as damaged, and is");
            }
        }
    }

    /// Ends all trouble, keeps one of two machines with one writer id, and lets all finish.
    pub(super) fn recover(&mut self) {
        if self.is_copied {
            let one = if self.dice.chance(50) { 0 } else { self.machines.len() - 1 };
            let mut gone = self.machines.remove(one);
            gone.end(false);
            self.traffic.remove(one);
        }
        for at in 0..self.machines.len() {
            let faults = self.faults();
            let machine = &mut self.machines[at];
            machine.end(false);
            machine.disk.set_faults(faults);
            machine.link.set_weather(Weather::Fine);
            machine.link.set_dies_after(None);
            machine.stopped = None;
            self.cut_power(at);
            assert!(self.start(at), "a machine that is well does not start");
            self.check(at);
        }
        for at in 0..self.machines.len() {
            for _ in 0..3_000 {
                let more = self.machines[at].load(true);
                self.check(at);
                if !more {
                    break;
                }
            }
        }
        self.check_end();
    }

    /// A number that tells one end from another.
    pub(super) fn fingerprint(&self) -> u32 {
        let mut crc = 0;
        for (key, bytes) in &self.objects {
            crc = crc32c::crc32c_append(crc32c::crc32c_append(crc, key.as_bytes()), bytes);
        }
        let clocks = self.machines.iter().map(|machine| machine.clock.now().micros());
        clocks.fold(crc, |crc, at| crc32c::crc32c_append(crc, &at.to_le_bytes()))
    }
}

/// Every event that was answered for is in the journal, or is counted as taken out.
fn check_acknowledged(machine: &Machine, sent: &[Sent]) {
    let serials: BTreeSet<u64> = machine.known.iter().filter_map(|known| known.serial).collect();
    let mut out: BTreeMap<&str, u64> = BTreeMap::new();
    for serial in &machine.acknowledged {
        let sent = &sent[usize::try_from(*serial).unwrap()];
        if sent.is_taken_out {
            *out.entry(&sent.source).or_default() += 1;
        } else {
            assert!(serials.contains(serial), "{}: {serial} was acknowledged", machine.name);
        }
    }
    for (source, out) in out {
        let of_source = machine.known.iter().filter(|known| known.source == source);
        let tallied: u64 = of_source.map(|known| known.dropped + known.suppressed).sum();
        assert!(out <= tallied, "{}: {out} taken out, {tallied} tallied", machine.name);
    }
}

/// A loader that stopped has lost nothing: what is in no batch is in the journal.
fn check_kept(machine: &Machine, chain: &Chain) {
    let first = machine.process.as_ref().map_or(0, |process| process.log.state().first.get());
    for known in machine.known.iter().take(usize::try_from(first).unwrap()) {
        let is_settled = known.serial.is_none_or(|serial| chain.settled.contains(&serial));
        assert!(is_settled, "{}: {:?} is lost", machine.name, known.serial);
    }
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let copy = to.join(path.file_name().unwrap());
        if path.is_dir() {
            std::fs::create_dir_all(&copy).unwrap();
            copy_folder(&path, &copy);
        } else {
            std::fs::copy(path, copy).unwrap();
        }
    }
}

/// What the machine's journal holds beyond what was committed, for messages.
impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let events = self.known.iter().map(Known::events).sum::<u64>();
        let up = if self.process.is_some() { "up" } else { "down" };
        write!(f, "{} {up}, {} records, {events} events", self.name, self.known.len())
    }
}
