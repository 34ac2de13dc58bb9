//! Both pipelines together, on simulated machines: every history comes from one seed.
//!
//! Real parts: the writing pipeline, the journal, the loader with the product's own mapping, the
//! books. Simulated, under them: disks that lose what was not synced, tear, fill up and fail; a
//! store that is down, slow, throttled or forgets its answers; clocks that jump; processes that die
//! between any two operations; a second writer on the same tables; a copied machine under the same
//! writer id. After each step everything is checked that docs/reliability.md promises.
//!
//! `KEELROW_SIM_SEED=n` shows the history of one seed, `KEELROW_SIM_SEEDS=n` runs so many,
//! `KEELROW_SIM_FROM=n` from another one than 0.

mod chain;
mod clock;
mod dice;
mod durable;
mod flip;
mod gateway;
mod lake;
mod machine;
mod plant;
mod record;
mod steps;
mod traffic;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use plant::Plant;
use world::{Tally, World};

/// Histories of a test run: some twenty seconds on two cores.
const SEEDS: u64 = 2_000;
/// Within so many histories each planted fault must be found.
const PLANT_SEEDS: u64 = 300;
/// Steps of a history, at least and in addition.
const STEPS: (u64, u64) = (20, 60);

/// One history: what happened how often, and a number that tells its end from others.
fn history(seed: u64, plant: Option<Plant>, show: bool) -> (Tally, u32) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let guard = runtime.enter();
    if show {
        let lines = tracing_subscriber::fmt().without_time().with_ansi(false).with_target(false);
        lines.with_writer(std::io::stderr).try_init().ok();
    }
    let mut world = World::new(seed, plant);
    let steps = STEPS.0 + world.dice.roll(STEPS.1);
    for number in 0..steps {
        let done = world.step(&runtime);
        if show {
            let machines: Vec<String> = world.machines.iter().map(ToString::to_string).collect();
            eprintln!("{number} {done} on {}: {}", world.acted, machines.join("; "));
        }
    }
    world.recover();
    let end = (world.tally, world.fingerprint());
    drop(guard);
    end
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

/// Runs the histories of these seeds on all cores; the first seed that fails, if one does.
fn run(seeds: std::ops::Range<u64>, plant: Option<Plant>) -> Result<Tally, u64> {
    let next = AtomicU64::new(seeds.start);
    let (total, failed) = (Mutex::new(Tally::default()), AtomicU64::new(u64::MAX));
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || failed.load(Ordering::Relaxed) != u64::MAX {
                        return;
                    }
                    match catch_unwind(AssertUnwindSafe(|| history(seed, plant, false))) {
                        Ok((tally, _)) => total.lock().unwrap().add(&tally),
                        Err(_) => {
                            failed.fetch_min(seed, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    match failed.into_inner() {
        u64::MAX => Ok(total.into_inner().unwrap()),
        seed => Err(seed),
    }
}

#[test]
fn nothing_is_lost_or_doubled_whatever_happens() {
    if let Some(seed) = number("KEELROW_SIM_SEED") {
        history(seed, None, true);
        return;
    }
    let from = number("KEELROW_SIM_FROM").unwrap_or(0);
    let seeds = number("KEELROW_SIM_SEEDS").unwrap_or(SEEDS);
    match run(from..from + seeds, None) {
        Ok(tally) => eprintln!("{seeds} histories: {tally:?}"),
        Err(seed) => panic!("seed {seed} fails; KEELROW_SIM_SEED={seed} shows it"),
    }
}

/// Seeds that failed once, each for a fault that is mended: a machine copied before its first batch
/// forgot repeats of batches that the other had committed (465, 2011); records read back after a failed
/// sync were lost with the header of a segment used again (1204); the counts of a first batch were lost
/// with its note (320); a copied machine called the other's plan one that its own rows do not fit (776,
/// 1254, 2070), also where its own journal ends before that plan's range (16256). Or a fault of the
/// simulation: of two copies one had all of its records loaded and stood still while the other went on
/// (3971).
const FAILED_ONCE: [u64; 9] = [320, 465, 776, 1_204, 1_254, 2_011, 2_070, 3_971, 16_256];

#[test]
fn seeds_that_failed_once_hold() {
    for seed in FAILED_ONCE {
        history(seed, None, false);
    }
}

#[test]
fn every_planted_fault_is_found() {
    for plant in Plant::ALL {
        let found = run(0..PLANT_SEEDS, Some(plant));
        eprintln!("{plant:?}: {found:?}");
        assert!(found.is_err(), "{plant:?} is not found in {PLANT_SEEDS} histories");
    }
}

#[test]
fn a_seed_gives_the_same_history_each_time() {
    for seed in [1, 7, 23] {
        let (_, first) = history(seed, None, false);
        let (_, second) = history(seed, None, false);
        assert_eq!(first, second, "seed {seed}");
    }
}
