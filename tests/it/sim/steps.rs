//! What may happen next: one step of a history, drawn from the seed.

use keelrow::ingest::{Refusal, Trouble};
use keelrow::journal::disk::memory::Faults;
use keelrow::outcome::Entry;

use super::flip::flip;
use super::lake::Weather;
use super::machine::{Machine, Request, poll};
use super::plant::Plant;
use super::world::World;

/// A runtime that drives what outlives its request.
pub(super) type Runtime = tokio::runtime::Runtime;

const HOUR_MILLIS: i64 = 3_600_000;

impl World {
    /// Does one step and checks everything; says what was done.
    pub(super) fn step(&mut self, runtime: &Runtime) -> &'static str {
        self.tally.steps += 1;
        let at = usize::try_from(self.dice.roll(self.machines.len() as u64)).unwrap();
        let done = if self.machines[at].process.is_none() {
            self.repair(at);
            "start"
        } else {
            match self.dice.roll(32) {
                0..=9 => self.send(at, runtime),
                10..=18 => self.load(at),
                19..=20 => self.care(at),
                21..=22 => self.turn_clock(at),
                23..=24 => self.turn_weather(at),
                25 => self.break_disk(at),
                26 => self.restart(at),
                27..=29 => self.crash(at, runtime),
                30 => self.flip(at),
                _ => self.copy_machine(at),
            }
        };
        self.acted = at;
        self.check(at);
        done
    }

    /// Takes the faults away and starts the process.
    fn repair(&mut self, at: usize) {
        let faults = self.faults();
        self.machines[at].disk.set_faults(faults);
        self.machines[at].link.set_dies_after(None);
        assert!(self.start(at), "{} does not start", self.machines[at]);
        // A person has looked.
        self.machines[at].stopped = None;
    }

    fn send(&mut self, at: usize, runtime: &Runtime) -> &'static str {
        let dice = &mut self.dice;
        let machine = &mut self.machines[at];
        let Some(process) = &mut machine.process else { return "send" };
        let mut requests: Vec<(Request<'_>, Vec<u64>)> = Vec::new();
        for _ in 0..=dice.roll(3) {
            let (key, body, serials) = self.traffic[at].batch(dice, &mut self.sent);
            self.tally.events += serials.len() as u64;
            requests.push((Machine::request(&process.ingest, key, body), serials));
        }
        if dice.chance(10) {
            // A client's patience ends; what it sent is in the queue.
            requests.pop();
        }
        while process.stepper.write() {}
        let mut acknowledged = Vec::new();
        for (mut request, serials) in requests {
            match poll(&mut request).expect("the writer has written all that waited") {
                Ok(accepted) => {
                    if self.plant == Some(Plant::BookedTwice) && dice.chance(5) {
                        process.books.of(&accepted.source.id).add(Entry::Received, 1);
                    }
                    acknowledged.extend(serials);
                }
                Err(Refusal::Unavailable(Trouble::LogFailed))
                    if self.plant == Some(Plant::FailedSyncAcknowledged) =>
                {
                    acknowledged.extend(serials);
                }
                Err(_) => {}
            }
        }
        // Books what became durable for clients that have gone.
        runtime.block_on(async {
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
        });
        self.tally.acknowledged += acknowledged.len() as u64;
        machine.acknowledged.extend(acknowledged);
        machine.learn();
        "send"
    }

    fn load(&mut self, at: usize) -> &'static str {
        for _ in 0..self.dice.roll(8) {
            let flush = self.dice.chance(40);
            self.machines[at].load(flush);
            self.check(at);
        }
        "load"
    }

    fn care(&mut self, at: usize) -> &'static str {
        if let Some(process) = &mut self.machines[at].process {
            process.stepper.care();
            if self.dice.chance(50) {
                // Nothing is lost if it cannot be noted.
                drop(process.stepper.idle());
            }
        }
        "care"
    }

    fn turn_clock(&mut self, at: usize) -> &'static str {
        let clock = &self.machines[at].clock;
        match self.dice.roll(8) {
            0..=3 => clock.advance(self.dice.roll(400_000)),
            4..=5 => clock.advance(self.dice.roll(4_000_000)),
            6 => clock.set_forward(HOUR_MILLIS * i64::try_from(self.dice.roll(60)).unwrap()),
            _ => clock.set_forward(-HOUR_MILLIS * i64::try_from(self.dice.roll(60)).unwrap()),
        }
        "clock"
    }

    fn turn_weather(&mut self, at: usize) -> &'static str {
        let rough = Weather::Rough { refused: self.dice.roll(40), forgotten: self.dice.roll(40) };
        let slow = Weather::Slow(self.dice.roll(200_000));
        let weather = self.dice.pick(&[Weather::Fine, Weather::Fine, Weather::Down, rough, slow]);
        self.machines[at].link.set_weather(weather);
        "weather"
    }

    /// A disk that is full, full at a bad moment, broken, or well again.
    fn break_disk(&mut self, at: usize) -> &'static str {
        let disk = &self.machines[at].disk;
        let base = self.faults();
        let faults = match self.dice.roll(6) {
            0 => {
                let space = disk.used_bytes() + self.dice.roll(40_000);
                Faults { space_bytes: Some(space), ..base }
            }
            1 => {
                let bytes = usize::try_from(self.dice.roll(30_000)).unwrap();
                Faults { no_space_after: Some(bytes), ..base }
            }
            2 => {
                let bytes = usize::try_from(self.dice.roll(30_000)).unwrap();
                Faults { writes_stop_after: Some(bytes), ..base }
            }
            3 => Faults { syncs_fail: true, ..base },
            _ => base,
        };
        disk.set_faults(faults);
        "disk"
    }

    /// In good order, or by a kill; the disk keeps what it has.
    fn restart(&mut self, at: usize) -> &'static str {
        let in_order = self.dice.chance(50);
        self.machines[at].end(in_order);
        self.check(at);
        if self.dice.chance(70) {
            self.repair(at);
        }
        "restart"
    }

    /// The machine dies between two operations on its disk or on the lake, perhaps again while it
    /// starts.
    fn crash(&mut self, at: usize, runtime: &Runtime) -> &'static str {
        let stops_after = Some(self.dice.roll(25));
        let faults = Faults { stops_after, ..self.faults() };
        self.machines[at].disk.set_faults(faults);
        let dies_after = Some(self.dice.roll(30));
        match self.dice.roll(5) {
            0..=1 => {
                self.send(at, runtime);
            }
            2 => {
                self.care(at);
            }
            _ => {
                self.machines[at].link.set_dies_after(dies_after);
                self.machines[at].disk.set_faults(self.faults());
                while !self.machines[at].link.has_died() && self.machines[at].load(true) {}
            }
        }
        self.machines[at].end(false);
        self.check(at);
        let is_power_cut = self.dice.chance(60);
        if is_power_cut {
            self.cut_power(at);
        }
        if self.dice.chance(30) {
            let stops_after = Some(self.dice.roll(30));
            let faults = Faults { stops_after, ..self.faults() };
            self.machines[at].disk.set_faults(faults);
            self.start(at);
            self.machines[at].end(false);
            if is_power_cut {
                self.cut_power(at);
            }
        }
        self.repair(at);
        "crash"
    }

    /// A bit flips in a record that is in no batch of which anything was seen, while the process is
    /// down.
    fn flip(&mut self, at: usize) -> &'static str {
        let faults = self.faults();
        let machine = &mut self.machines[at];
        // A copied machine may be the one whose batch counts: there the flip says nothing.
        if self.is_copied {
            return "flip";
        }
        machine.disk.set_faults(faults);
        machine.end(false);
        let chain = &self.chains[&machine.writer];
        let from = chain.seen_to(&self.lake).unwrap_or(chain.to).max(chain.to);
        if machine.last_run > from {
            let position = from + self.dice.roll(machine.last_run - from);
            let known = &machine.known[usize::try_from(position).unwrap()];
            if let Some(serial) = known.serial.filter(|_| !machine.flipped.contains(&position)) {
                let reseal = self.plant == Some(Plant::ChecksumSkipped);
                if flip(&machine.disk, position, serial, reseal, &mut self.dice) {
                    machine.flipped.push(position);
                    self.tally.flips += 1;
                }
            }
        }
        self.repair(at);
        "flip"
    }

    fn copy_machine(&mut self, at: usize) -> &'static str {
        let flipped = !self.machines[at].flipped.is_empty();
        if !self.is_copied && !flipped && self.dice.chance(15) {
            self.copy(at);
        }
        "copy"
    }
}
