use super::*;

const SECOND: i64 = 1_000_000;
/// Later than any arrival.
const NEVER: Timestamp = Timestamp::from_micros(i64::MAX);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * SECOND)
}

fn options(keys_max: usize) -> Options {
    Options { window: Duration::from_secs(100), keys_max }
}

fn open(dir: &tempfile::TempDir, keys_max: usize, last: u64) -> Dedup {
    let last = (last > 0).then_some(Number(last));
    Dedup::open(dir.path().join("dedup"), options(keys_max), last, NEVER).unwrap()
}

fn batch(dedup: &mut Dedup, number: u64, keys: std::ops::Range<u64>, seconds: i64) {
    for key in keys {
        assert_eq!(dedup.judge(key, key + 1, at(seconds)), Verdict::New, "{key}");
    }
    dedup.save(Number(number)).unwrap();
    dedup.commit(Number(number)).unwrap();
}

#[test]
fn the_first_wins_in_the_open_batch_and_after() {
    let dir = tempfile::tempdir().unwrap();
    let mut dedup = open(&dir, 100, 0);
    assert_eq!(dedup.judge(7, 1, at(0)), Verdict::New);
    assert_eq!(dedup.judge(7, 1, at(0)), Verdict::Repeat);
    dedup.save(Number(1)).unwrap();
    dedup.commit(Number(1)).unwrap();
    assert_eq!(dedup.judge(7, 1, at(1)), Verdict::Repeat);
    assert_eq!(dedup.keys(), 1);
}

#[test]
fn a_reused_id_is_rejected_once_and_its_repeats_are_repeats() {
    let dir = tempfile::tempdir().unwrap();
    let mut dedup = open(&dir, 100, 0);
    assert_eq!(dedup.judge(7, 1, at(0)), Verdict::New);
    assert_eq!(dedup.judge(7, 2, at(0)), Verdict::Reused);
    assert_eq!(dedup.judge(7, 2, at(0)), Verdict::Repeat);
    assert_eq!(dedup.judge(7, 3, at(0)), Verdict::Reused);
    assert_eq!(dedup.judge(7, 1, at(0)), Verdict::Repeat);
}

#[test]
fn minted_ids_do_not_enter() {
    let dir = tempfile::tempdir().unwrap();
    let mut dedup = open(&dir, 100, 0);
    assert_eq!(dedup.judge(0, 1, at(0)), Verdict::New);
    assert_eq!(dedup.judge(0, 1, at(0)), Verdict::New);
    dedup.replay(0, 1, at(0), Verdict::New);
    assert_eq!(dedup.open.len(), 0);
}

#[test]
fn a_batch_that_is_thrown_away_was_never_seen() {
    let dir = tempfile::tempdir().unwrap();
    let mut dedup = open(&dir, 100, 0);
    dedup.judge(7, 1, at(0));
    dedup.discard();
    assert_eq!(dedup.judge(7, 2, at(0)), Verdict::New);
}

#[test]
fn a_restart_knows_what_was_committed_and_only_that() {
    let dir = tempfile::tempdir().unwrap();
    let mut dedup = open(&dir, 100, 0);
    batch(&mut dedup, 1, 1..10, 0);
    batch(&mut dedup, 2, 10..20, 5);
    dedup.judge(50, 51, at(6));
    dedup.save(Number(3)).unwrap();
    drop(dedup);
    let mut dedup = open(&dir, 100, 2);
    assert_eq!((dedup.keys(), dedup.window_held()), (19, Duration::from_secs(5)));
    assert_eq!(dedup.judge(3, 4, at(7)), Verdict::Repeat);
    assert_eq!(dedup.judge(12, 13, at(7)), Verdict::Repeat);
    assert_eq!(dedup.judge(50, 51, at(7)), Verdict::New);
}

#[test]
fn what_a_replay_enters_is_what_was_judged() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut judged, mut replayed) = (open(&one, 100, 0), open(&two, 100, 0));
    for (key, content) in [(7, 1), (7, 2), (0, 3), (7, 1), (8, 1)] {
        let verdict = judged.judge(key, content, at(0));
        replayed.replay(key, content, at(0), verdict);
    }
    judged.save(Number(1)).unwrap();
    replayed.save(Number(1)).unwrap();
    let read = |dir: &tempfile::TempDir| fs::read(file::path(&dir.path().join("dedup"), Number(1)));
    assert_eq!(read(&one).unwrap(), read(&two).unwrap());
}

#[test]
fn the_oldest_batches_leave_when_there_are_too_many_keys() {
    let dir = tempfile::tempdir().unwrap();
    let mut dedup = open(&dir, 25, 0);
    batch(&mut dedup, 1, 1..11, 0);
    batch(&mut dedup, 2, 11..21, 10);
    batch(&mut dedup, 3, 21..31, 20);
    assert_eq!((dedup.keys(), dedup.window_held()), (20, Duration::from_secs(10)));
    assert_eq!(dedup.judge(1, 2, at(20)), Verdict::New);
    assert_eq!(dedup.judge(11, 12, at(20)), Verdict::Repeat);
    drop(dedup);
    assert_eq!(open(&dir, 25, 3).keys(), 20);
    // With less room after the restart the newest stay.
    let mut dedup = open(&dir, 15, 3);
    assert_eq!(dedup.keys(), 10);
    assert_eq!(dedup.judge(21, 22, at(20)), Verdict::Repeat);
}

#[test]
fn the_oldest_batches_leave_when_the_window_passes_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut dedup = open(&dir, 1_000, 0);
    batch(&mut dedup, 1, 1..11, 0);
    batch(&mut dedup, 2, 11..21, 60);
    batch(&mut dedup, 3, 21..31, 101);
    assert_eq!((dedup.keys(), dedup.window_held()), (20, Duration::from_secs(41)));
    batch(&mut dedup, 4, 0..0, 102);
    batch(&mut dedup, 5, 31..32, 1_000);
    assert_eq!(dedup.keys(), 1);
    let names = fs::read_dir(dir.path().join("dedup")).unwrap().count();
    assert_eq!(names, 1);
}

#[test]
fn an_event_after_a_quiet_time_is_new_though_no_batch_came_since() {
    let dir = tempfile::tempdir().unwrap();
    let mut dedup = open(&dir, 1_000, 0);
    batch(&mut dedup, 1, 1..11, 0);
    assert_eq!(dedup.judge(3, 4, at(100)), Verdict::Repeat);
    assert_eq!(dedup.judge(3, 4, at(101)), Verdict::New);
    assert_eq!(dedup.judge(3, 4, at(101)), Verdict::Repeat);
    dedup.save(Number(2)).unwrap();
    dedup.commit(Number(2)).unwrap();
    assert_eq!(dedup.keys(), 1);
    let names = fs::read_dir(dir.path().join("dedup")).unwrap().count();
    assert_eq!(names, 1);
}

#[test]
fn no_window_and_no_keys_find_no_repeats() {
    for options in
        [Options { window: Duration::ZERO, ..options(10) }, Options { keys_max: 0, ..options(10) }]
    {
        let dir = tempfile::tempdir().unwrap();
        let mut dedup = Dedup::open(dir.path().join("dedup"), options, None, NEVER).unwrap();
        for number in 1..3 {
            assert_eq!(dedup.judge(7, 1, at(0)), Verdict::New);
            assert_eq!(dedup.judge(7, 2, at(0)), Verdict::New);
            dedup.save(Number(number)).unwrap();
            dedup.commit(Number(number)).unwrap();
        }
        assert_eq!((dedup.keys(), dedup.open.len()), (0, 0));
    }
}

#[test]
fn a_damaged_file_costs_its_batch_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let mut dedup = open(&dir, 25, 0);
    batch(&mut dedup, 1, 1..11, 0);
    batch(&mut dedup, 2, 11..21, 1);
    let first = file::path(&dir.path().join("dedup"), Number(1));
    fs::write(&first, b"KRDD").unwrap();
    // Leaving needs the file: the table is built from the others.
    batch(&mut dedup, 3, 21..31, 2);
    assert_eq!(dedup.keys(), 20);
    fs::write(file::path(&dir.path().join("dedup"), Number(2)), b"KRDD").unwrap();
    drop(dedup);
    let mut dedup = open(&dir, 25, 3);
    assert_eq!(dedup.keys(), 10);
    assert_eq!(dedup.judge(21, 22, at(3)), Verdict::Repeat);
}

#[test]
fn arrivals_of_a_clock_that_is_not_believed_push_nothing_out() {
    let dir = tempfile::tempdir().unwrap();
    let mut dedup = open(&dir, 100, 0);
    batch(&mut dedup, 1, 1..5, 0);
    dedup.tell_time(at(50));
    batch(&mut dedup, 2, 5..9, 5_000);
    batch(&mut dedup, 3, 9..11, 60);
    assert_eq!((dedup.keys(), dedup.window_held()), (10, Duration::from_secs(50)));
    // Also where they are read back.
    let folder = dir.path().join("dedup");
    let mut dedup = Dedup::open(folder, options(100), Some(Number(3)), at(70)).unwrap();
    assert_eq!(dedup.judge(1, 2, at(70)), Verdict::Repeat);
    assert_eq!(dedup.judge(5, 6, at(70)), Verdict::Repeat);
    // Once it is that late, they leave as any other.
    dedup.tell_time(at(120));
    assert_eq!(dedup.judge(1, 2, at(120)), Verdict::New);
    assert_eq!(dedup.judge(9, 10, at(120)), Verdict::Repeat);
}
