//! An answer of 200 means that the event is on the disk.

use keelrow::ingest::{Refusal, Trouble};
use keelrow::journal::disk::memory::Faults;
use keelrow::journal::{Journal, Position};

use super::machine::{Machine, poll};
use super::world::World;

/// Posts one event and lets the journal's writer work; whether it was answered with 200.
fn post(machine: &mut Machine, serial: u64) -> Result<(), Refusal> {
    let body = format!(
        "{{\"batch\":[{{\"type\":\"track\",\"event\":\"e\",\"userId\":\"u\",\
         \"properties\":{{\"n\":{serial}}}}}]}}"
    );
    let process = machine.process.as_mut().unwrap();
    let mut request = Machine::request(&process.ingest, "app", body);
    let early = poll(&mut request);
    assert!(!matches!(early, Some(Ok(_))), "answered before the sync");
    while process.stepper.write() {}
    let answer = match early {
        Some(answer) => answer,
        None => poll(&mut request).expect("the writer has written all that waited"),
    };
    answer.map(|_| ())
}

fn serials(machine: &Machine) -> Vec<u64> {
    machine.known.iter().filter_map(|known| known.serial).collect()
}

/// Power fails, nothing that was not synced survives, and the machine starts again.
fn cut_power(machine: &mut Machine) {
    machine.end(false);
    machine.disk.set_faults(Faults::default());
    machine.disk.lose_power(|| false);
    assert!(machine.start());
    machine.learn();
}

#[test]
fn ack_means_durable() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _guard = runtime.enter();
    let mut world = World::new(0, None);
    let machine = &mut world.machines[0];
    post(machine, 1).unwrap();
    cut_power(machine);
    assert_eq!(serials(machine), [1]);
    // A failed sync is no 200, and no later one is until a restart.
    machine.disk.set_faults(Faults { syncs_fail: true, ..Faults::default() });
    let failed = Refusal::Unavailable(Trouble::LogFailed);
    assert_eq!(post(machine, 2), Err(failed));
    machine.disk.set_faults(Faults::default());
    assert_eq!(post(machine, 3), Err(failed));
    cut_power(machine);
    post(machine, 4).unwrap();
    cut_power(machine);
    assert_eq!(serials(machine), [1, 4]);
    // Neither is a full disk.
    let space_bytes = Some(machine.disk.used_bytes());
    machine.disk.set_faults(Faults { space_bytes, ..Faults::default() });
    let mut taken = vec![1, 4];
    let refusal = loop {
        let serial = 10 + taken.len() as u64;
        match post(machine, serial) {
            Ok(()) => taken.push(serial),
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(refusal, Refusal::Unavailable(Trouble::DiskLow));
    cut_power(machine);
    assert_eq!(serials(machine), taken);
}

/// The header of a segment's first run must be written again with the run: what an earlier use of
/// the file left in its place would make all of it pass for nothing.
#[test]
fn what_a_failed_sync_left_is_durable_once_it_was_read_back() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _guard = runtime.enter();
    for groups in 0..8 {
        let mut world = World::new(0, None);
        let machine = &mut world.machines[0];
        // Segments are used again.
        for serial in 0..12 {
            post(machine, serial).unwrap();
            machine.learn();
            let process = machine.process.as_mut().unwrap();
            process.log.trim(Position::new(serial));
            process.stepper.care();
        }
        for serial in 12..12 + groups {
            post(machine, serial).unwrap();
        }
        machine.learn();
        machine.disk.set_faults(Faults { syncs_fail: true, ..Faults::default() });
        post(machine, 99).unwrap_err();
        // The process alone is started again: the system shows what it could not sync.
        machine.end(false);
        machine.disk.set_faults(Faults::default());
        assert!(machine.start());
        // The start holds the journal against all that was ever read in it.
        assert!(serials(machine).contains(&(11 + groups)), "after {groups} groups");
        cut_power(machine);
        post(machine, 100).unwrap();
    }
}
