use std::os::unix::fs::PermissionsExt;
use std::sync::Barrier;
use std::time::Duration;

use super::super::super::Health;
use super::*;
use crate::clock::System;

fn real(folder: &Path) -> Result<Log, Error> {
    real_of(folder, 64)
}

fn real_of(folder: &Path, segment_blocks: u64) -> Result<Log, Error> {
    let options = Options {
        segment_bytes: segment_blocks * BLOCK_BYTES,
        max_bytes: 4096 * BLOCK_BYTES,
        ..Options::new(folder.join("journal"), "node")
    };
    Log::open(options, Arc::new(System::new()), Arc::new(System::new()))
}

#[test]
fn many_clients_and_a_reader() {
    const CLIENTS: usize = 16;
    const GROUPS: usize = 40;
    let folder = tempfile::tempdir().unwrap();
    let log = Arc::new(real(folder.path()).unwrap());
    let reading = Arc::clone(&log);
    let reader = std::thread::spawn(move || {
        let mut reader = reading.reader(Position::ZERO).unwrap();
        let mut payloads = Vec::new();
        while payloads.len() < CLIENTS * GROUPS * 2 {
            match reader.next().unwrap() {
                Some(Item::Frame(frame)) => {
                    assert_eq!(frame.position, Position::new(payloads.len() as u64));
                    payloads.push(String::from_utf8(frame.payload.to_vec()).unwrap());
                }
                Some(Item::Damaged(damaged)) => panic!("{damaged:?}"),
                None => {
                    let at = reader.position();
                    reading.wait_past(at, Duration::from_secs(10));
                }
            }
        }
        payloads
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let log = Arc::clone(&log);
            let work = async move {
                for round in 0..GROUPS {
                    let own = [format!("{client}.{round}.a"), format!("{client}.{round}.b")];
                    let range = log.append(group(&[&own[0], &own[1]])).await.unwrap();
                    assert_eq!(range.end.since(range.start), 2);
                    assert!(log.state().durable >= range.end);
                }
            };
            runtime.handle().spawn(work)
        })
        .collect();
    for client in clients {
        runtime.block_on(client).unwrap();
    }
    let mut payloads = reader.join().unwrap();
    payloads.sort();
    payloads.dedup();
    assert_eq!(payloads.len(), CLIENTS * GROUPS * 2);
    let state = log.state();
    assert!(state.syncs < (CLIENTS * GROUPS) as u64, "groups share syncs: {state:?}");
    log.close();
    let again = real(folder.path()).unwrap();
    assert_eq!(again.state().durable.get(), (CLIENTS * GROUPS * 2) as u64);
    assert_eq!(read(&again, 0).unwrap().len(), CLIENTS * GROUPS * 2);
}

#[test]
fn gathered_groups_wait_for_each_other() {
    let folder = tempfile::tempdir().unwrap();
    // A sync never goes over the end of a segment.
    let log = real_of(folder.path(), 1024).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let durable = |append: Append| runtime.block_on(append).unwrap().end;
    let mut syncs = log.state().syncs;
    let mut one_sync = |case: &str| {
        syncs += 1;
        assert_eq!(log.state().syncs, syncs, "{case}");
    };
    // Until somebody hurries; the first of a thread is the one to do so.
    let few: Vec<_> = (0..3).map(|_| log.gather(group(&["few"]))).collect();
    assert_eq!(few.iter().map(Append::leads).collect::<Vec<_>>(), [true, false, false]);
    assert_eq!(few[0].company(), 3);
    let others = std::thread::scope(|scope| {
        scope.spawn(|| log.gather(group(&["of another thread"]))).join().unwrap()
    });
    assert!(others.leads());
    log.hurry();
    few.into_iter().chain([others]).map(durable).for_each(drop);
    one_sync("hurried");
    // Until one cannot wait.
    let gathered = log.gather(group(&["gathered"]));
    assert_eq!(durable(log.append(group(&["at once"]))), Position::new(6));
    one_sync("with one that cannot wait");
    assert_eq!(durable(gathered), Position::new(5));
    // Until there are enough.
    let many: Vec<_> = (0..32).map(|_| log.gather(group(&["many"]))).collect();
    many.into_iter().map(durable).for_each(drop);
    one_sync("many");
    let large = "x".repeat(128 * 1024);
    let two = [log.gather(group(&[&large])), log.gather(group(&[&large]))];
    two.into_iter().map(durable).for_each(drop);
    one_sync("large ones");
    // Until the end.
    let last = log.gather(group(&["last"]));
    log.close();
    assert_eq!(durable(last), Position::new(41));
}

#[test]
fn a_second_opener_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let first = real(folder.path()).unwrap();
    assert!(matches!(real(folder.path()).unwrap_err(), Error::Locked { .. }));
    drop(first);
    real(folder.path()).unwrap();
}

#[test]
fn a_folder_that_is_removed_or_moved_away_is_noticed() {
    // Under its own name the keeper may add a segment while it is being removed.
    let remove = |folder: &Path| {
        std::fs::rename(folder.join("journal"), folder.join("moved")).unwrap();
        std::fs::remove_dir_all(folder.join("moved")).unwrap();
    };
    let replace = |folder: &Path| {
        std::fs::rename(folder.join("journal"), folder.join("moved")).unwrap();
        std::fs::create_dir(folder.join("journal")).unwrap();
    };
    for change in [&remove as &dyn Fn(&Path), &replace] {
        let folder = tempfile::tempdir().unwrap();
        let log = real(folder.path()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let end = runtime.block_on(log.append(group(&["a"]))).unwrap().end;
        change(folder.path());
        // The keeper looks once a second, and wakes whoever waits for more.
        assert_eq!(log.wait_past(end, Duration::from_secs(600)), end);
        assert_eq!(log.state().health, Health::Gone);
        let error = runtime.block_on(log.append(group(&["b"]))).unwrap_err();
        assert!(matches!(error, Error::Gone { .. }), "{error}");
        assert_eq!(read(&log, 0).unwrap(), [text(0, "a")]);
    }
}

#[test]
fn files_belong_to_their_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let log = real(folder.path()).unwrap();
    drop(log);
    let journal = folder.path().join("journal");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&journal), 0o700);
    let mut files = 0;
    for entry in std::fs::read_dir(&journal).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
        files += 1;
    }
    assert!(files >= 5, "lock, writer, mark, damaged and a segment: {files}");
}

#[test]
fn closing_ends_a_wait() {
    let folder = tempfile::tempdir().unwrap();
    let log = Arc::new(real(folder.path()).unwrap());
    let (waiting, start) = (Arc::clone(&log), Arc::new(Barrier::new(2)));
    let started = Arc::clone(&start);
    let waiter = std::thread::spawn(move || {
        started.wait();
        waiting.wait_past(Position::ZERO, Duration::from_secs(600))
    });
    start.wait();
    log.close();
    assert_eq!(waiter.join().unwrap(), Position::ZERO);
}
