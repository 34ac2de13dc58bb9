//! What is in work: bytes of bodies from their end to their answer, since they are what costs time, by
//! source and by the thread that serves them; and with that, who is let in.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::gate::{Entry, Gate, Keeper, Said};
use super::share::{Evenness, Share};

/// What is in work. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Load {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    held: AtomicUsize,
    evenness: Evenness,
    gates: Box<[Gate]>,
}

/// Something in work; it is over when this is dropped.
#[derive(Debug)]
pub struct Work {
    load: Load,
    lane: usize,
    share: Arc<Share>,
    bytes: usize,
}

impl Load {
    /// Nothing in work. There are `lanes` threads that serve, at least one, each with an open gate.
    #[must_use]
    pub fn new(lanes: usize) -> Self {
        let gates = (0..lanes.max(1)).map(|_| Gate::default()).collect();
        let (held, evenness) = Default::default();
        Self { shared: Arc::new(Shared { held, evenness, gates }) }
    }

    /// Waits until a request of a source is let in on a thread; false where it is not, since there is
    /// more to do than can be done.
    pub async fn enter(&self, lane: usize, share: &Arc<Share>, entry: Entry) -> bool {
        match self.gate(lane).ask(&self.shared.evenness, share, entry) {
            Said::Now => true,
            Said::Later(told) => told.await.unwrap_or(false),
        }
    }

    /// Counts `bytes` of a source as in work from `now` on.
    #[must_use]
    pub fn begin(&self, lane: usize, share: &Arc<Share>, bytes: usize, now: Duration) -> Work {
        self.shared.held.fetch_add(bytes, Ordering::Relaxed);
        let gate = self.gate(lane);
        gate.begin(bytes);
        if gate.is_closed() {
            self.shared.evenness.note(share, bytes, now);
        }
        if share.work.fetch_add(bytes, Ordering::Relaxed) == 0 {
            self.shared.evenness.busy.fetch_add(1, Ordering::Relaxed);
        }
        Work { load: self.clone(), lane, share: Arc::clone(share), bytes }
    }

    /// Who opens and closes the gate of a thread.
    #[must_use]
    pub fn keeper(&self, lane: usize) -> Keeper<'_> {
        Keeper::new(self.gate(lane), &self.shared.evenness)
    }

    /// Bytes in work.
    #[must_use]
    pub fn held(&self) -> usize {
        self.shared.held.load(Ordering::Relaxed)
    }

    /// Bytes in work on one thread.
    #[cfg(test)]
    pub(crate) fn held_on(&self, lane: usize) -> usize {
        self.gate(lane).held()
    }

    /// Requests that wait to be let in.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.shared.gates.iter().map(Gate::waiting).sum()
    }

    /// Threads that are asked for more than they can do.
    #[must_use]
    pub fn overloaded(&self) -> usize {
        self.shared.gates.iter().filter(|gate| gate.is_closed()).count()
    }

    fn gate(&self, lane: usize) -> &Gate {
        let gates = &self.shared.gates;
        &gates[lane % gates.len()]
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.load.shared.held.fetch_sub(self.bytes, Ordering::Relaxed);
        self.load.gate(self.lane).end(self.bytes);
        if self.share.work.fetch_sub(self.bytes, Ordering::Relaxed) == self.bytes {
            self.load.shared.evenness.busy.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use futures_util::FutureExt;

    use super::super::gate::{MUCH, TURN_BYTES};
    use super::*;

    const LOOK: Duration = Duration::from_millis(16);
    const LATER: Duration = Duration::from_millis(11);
    const BATCH: usize = 60 << 10;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// So many requests in work that they have more than `bytes` at a gate.
    fn much(load: &Load, lane: usize, share: &Arc<Share>, bytes: usize) -> Vec<Work> {
        let count = bytes / TURN_BYTES + 1;
        (0..count).map(|_| load.begin(lane, share, TURN_BYTES, ms(0))).collect()
    }

    /// Looks for the time after which a gate is closed or opened, all late.
    fn press(keeper: &mut Keeper<'_>) {
        (0..16).for_each(|_| keeper.look(LOOK, LATER));
    }

    /// Closes the gate of a thread by what is in work there, which is over then.
    fn closed<'a>(load: &'a Load, share: &Arc<Share>) -> Keeper<'a> {
        let mut keeper = load.keeper(0);
        let works = much(load, 0, share, MUCH);
        press(&mut keeper);
        drop(works);
        assert_eq!(load.overloaded(), 1);
        keeper
    }

    type Asked<'a> = Pin<Box<dyn Future<Output = bool> + 'a>>;

    fn enter<'a>(load: &'a Load, share: &'a Arc<Share>, bytes: usize, now: u64) -> Asked<'a> {
        Box::pin(load.enter(0, share, Entry { bytes, now: ms(now), may_wait: true }))
    }

    /// Asks where nobody is let in at once.
    fn ask<'a>(load: &'a Load, share: &'a Arc<Share>, bytes: usize, now: u64) -> Asked<'a> {
        let mut asked = enter(load, share, bytes, now);
        assert_eq!((&mut asked).now_or_never(), None, "at {now}");
        asked
    }

    /// Takes what room there is, so that the next have to wait.
    fn fill(load: &Load, share: &Arc<Share>, keeper: &mut Keeper<'_>, now: u64) {
        while keeper.turn(ms(now)) {}
        assert_eq!(enter(load, share, TURN_BYTES, now).now_or_never(), Some(true));
        drop(load.begin(0, share, TURN_BYTES, ms(now)));
    }

    /// The numbers of those that were let in and of those that were refused; the others stay.
    fn told(asked: &mut Vec<(u32, Asked<'_>)>) -> (Vec<u32>, Vec<u32>) {
        let (mut let_in, mut refused) = (Vec::new(), Vec::new());
        asked.retain_mut(|(number, asked)| {
            let told = asked.as_mut().now_or_never();
            match told {
                Some(true) => let_in.push(*number),
                Some(false) => refused.push(*number),
                None => {}
            }
            told.is_none()
        });
        (let_in, refused)
    }

    #[test]
    fn a_gate_closes_where_a_thread_stays_late_with_much_at_hand() {
        let load = Load::new(2);
        let (share, mut keeper) = (Arc::default(), load.keeper(0));
        // Late, and little to do: the machine has no time for us. A large body is no more than a turn.
        let little = much(&load, 0, &share, MUCH - TURN_BYTES);
        press(&mut keeper);
        drop(load.begin(1, &share, 10 * MUCH, ms(0)));
        press(&mut keeper);
        assert_eq!((load.overloaded(), load.held()), (0, MUCH));
        // Much to do, elsewhere.
        let elsewhere = much(&load, 1, &share, 2 * MUCH);
        press(&mut keeper);
        assert_eq!(load.overloaded(), 0);
        // Much to do, in time; then late, but for one pause of the machine not long enough.
        let more = load.begin(0, &share, 1, ms(0));
        (0..100).for_each(|_| keeper.look(LOOK, ms(10)));
        keeper.look(ms(10_000), ms(10_000));
        (0..11).for_each(|_| keeper.look(LOOK, LATER));
        assert_eq!(load.overloaded(), 0);
        assert_eq!(enter(&load, &share, 1, 0).now_or_never(), Some(true));
        keeper.look(LOOK, LATER);
        assert_eq!(load.overloaded(), 1);
        // The other thread goes on.
        let entry = Entry { bytes: MUCH, now: ms(0), may_wait: true };
        for _ in 0..3 {
            assert_eq!(load.enter(1, &share, entry).now_or_never(), Some(true));
        }
        // It opens once there is little at hand all the time, however late it is.
        (0..100).for_each(|_| keeper.look(LOOK, Duration::ZERO));
        assert_eq!(load.overloaded(), 1);
        drop(more);
        // The first look sees what there was before.
        (0..16).for_each(|_| keeper.look(LOOK, LATER));
        drop(load.begin(0, &share, 1, ms(0)));
        (0..16).for_each(|_| keeper.look(LOOK, LATER));
        assert_eq!(load.overloaded(), 1);
        keeper.look(LOOK, LATER);
        assert_eq!(load.overloaded(), 0);
        drop((little, elsewhere));
        assert_eq!(load.held(), 0);
    }

    #[test]
    fn a_queue_that_empties_again_is_no_overload() {
        let load = Load::new(1);
        let (share, mut keeper) = (Arc::default(), load.keeper(0));
        // 64 bodies of 500 KB at once from one source, and again as soon as they are done: late all
        // the while, but for one look in between.
        for _ in 0..50 {
            let works: Vec<_> = (0..64).map(|_| load.begin(0, &share, 500_000, ms(0))).collect();
            (0..15).for_each(|_| keeper.look(LOOK, LATER));
            assert_eq!(load.overloaded(), 0);
            drop(works);
            keeper.look(LOOK, Duration::ZERO);
        }
    }

    #[test]
    fn the_newest_are_let_in_and_the_others_refused() {
        let load = Load::new(1);
        let share = Arc::default();
        let mut keeper = closed(&load, &share);
        // Nobody waits: what comes is let in until the turn has no room.
        assert!(!keeper.turn(ms(0)));
        for bytes in [100, BATCH, BATCH, 10 * MUCH] {
            assert_eq!(enter(&load, &share, bytes, 0).now_or_never(), Some(true));
        }
        drop(ask(&load, &share, 1, 0));
        fill(&load, &share, &mut keeper, 1_000);
        let mut asked = Vec::new();
        for number in 0..30 {
            asked.push((number, ask(&load, &share, BATCH, 1_000 + u64::from(number))));
        }
        assert_eq!((load.waiting(), told(&mut asked)), (30, (vec![], vec![])));
        // The last goes beyond what a turn has room for.
        assert!(keeper.turn(ms(1_030)));
        assert_eq!(told(&mut asked), (vec![27, 28, 29], vec![]));
        // A large one takes a turn by itself, and who comes later goes first.
        asked.push((30, ask(&load, &share, 2 * MUCH, 1_031)));
        assert!(keeper.turn(ms(1_031)));
        assert_eq!(told(&mut asked), (vec![30], vec![]));
        // The newest 512 KiB are let in, whenever there is time. Who was overtaken by so many is not.
        for expected in [vec![24, 25, 26], vec![22, 23]] {
            assert!(keeper.turn(ms(1_200)));
            assert_eq!(told(&mut asked), (expected, vec![]));
        }
        assert!(!keeper.turn(ms(1_200)));
        assert_eq!((told(&mut asked), load.waiting()), ((vec![], vec![]), 22));
        // Nobody is in the way of who comes now.
        assert_eq!(enter(&load, &share, BATCH, 1_200).now_or_never(), Some(true));
        // The oldest first.
        assert!(keeper.turn(ms(1_204)));
        assert_eq!(told(&mut asked), (vec![], vec![0, 1, 2, 3]));
        // Whoever has gone takes no room.
        asked.clear();
        fill(&load, &share, &mut keeper, 1_204);
        drop(ask(&load, &share, BATCH, 1_204));
        asked.push((31, ask(&load, &share, 1, 1_204)));
        assert!(keeper.turn(ms(1_204)));
        assert_eq!(told(&mut asked), (vec![31], vec![]));
        assert!(!keeper.turn(ms(2_000)));
        assert_eq!(load.waiting(), 0);
        for _ in 0..2 * MUCH / BATCH {
            fill(&load, &share, &mut keeper, 2_000);
            asked.push((32, ask(&load, &share, BATCH, 2_000)));
            assert!(keeper.turn(ms(2_000)));
            assert_eq!(told(&mut asked), (vec![32], vec![]));
        }
        // Little is at hand, and it opens, since who has waited is forgotten.
        press(&mut keeper);
        press(&mut keeper);
        assert_eq!(load.overloaded(), 0);
    }

    #[test]
    fn a_few_are_refused_in_each_turn() {
        let load = Load::new(1);
        let (hot, calm) = (Arc::default(), Arc::default());
        let mut keeper = closed(&load, &hot);
        for _ in 0..8 {
            fill(&load, &hot, &mut keeper, 0);
        }
        let mut asked = vec![(0, ask(&load, &calm, BATCH, 0))];
        asked.extend((1..40).map(|number| (number, ask(&load, &hot, BATCH, 1))));
        // Nobody had a turn all the time. Those that may be let in yet are refused last.
        assert!(keeper.turn(ms(202)));
        let (let_in, refused) = told(&mut asked);
        assert_eq!((let_in, refused), (vec![0, 38, 39], (1..17).collect()));
        assert!(keeper.turn(ms(202)));
        assert_eq!(told(&mut asked), (vec![35, 36, 37], (17..33).collect()));
    }

    #[test]
    fn a_hot_source_displaces_only_itself() {
        let load = Load::new(1);
        let (hot, calm) = (Arc::default(), Arc::default());
        let mut keeper = closed(&load, &hot);
        for _ in 0..2 {
            fill(&load, &hot, &mut keeper, 0);
        }
        let mut asked = vec![(0, ask(&load, &calm, BATCH, 0)), (1, ask(&load, &calm, BATCH, 1))];
        for number in 2..40 {
            asked.push((number, ask(&load, &hot, BATCH, 100)));
        }
        // Older, and first: their source had nothing lately.
        assert!(keeper.turn(ms(101)));
        assert_eq!(told(&mut asked), (vec![0, 1, 39], vec![]));
        // With an even share it waits like the others, and who waits already has its place among them.
        asked.push((40, ask(&load, &calm, BATCH, 102)));
        asked.push((41, ask(&load, &hot, BATCH, 103)));
        for _ in 0..2 {
            drop(load.begin(0, &calm, TURN_BYTES, ms(103)));
        }
        assert!(keeper.turn(ms(104)));
        assert_eq!(told(&mut asked), (vec![38, 40, 41], vec![]));
        // What was long ago is forgotten.
        asked.clear();
        for now in (200..3_000).step_by(100) {
            fill(&load, &hot, &mut keeper, now);
        }
        asked.push((42, ask(&load, &calm, BATCH, 3_000)));
        asked.extend((43..46).map(|number| (number, ask(&load, &hot, BATCH, 3_000))));
        assert!(keeper.turn(ms(3_001)));
        assert_eq!(told(&mut asked), (vec![42, 44, 45], vec![]));
        // Of three sources at work each has a third.
        let third = Arc::default();
        let works = [&hot, &calm, &third].map(|share| load.begin(0, share, 1, ms(9_000)));
        for (share, shares) in [(&hot, 3), (&calm, 4)] {
            (0..shares).for_each(|_| drop(load.begin(0, share, TURN_BYTES, ms(9_000))));
        }
        let mut turns = |share: &Arc<Share>, number: u32| {
            while keeper.turn(ms(9_000)) {}
            assert_eq!(enter(&load, &third, TURN_BYTES, 9_000).now_or_never(), Some(true));
            let mut asked = vec![(number, ask(&load, share, TURN_BYTES / 8, 9_000))];
            asked.push((9, ask(&load, &calm, TURN_BYTES, 9_000)));
            assert!(keeper.turn(ms(9_000)));
            told(&mut asked).0
        };
        assert_eq!((turns(&third, 1), turns(&hot, 2)), (vec![1, 9], vec![9]));
        drop(works);
    }

    #[test]
    fn a_line_has_an_end_and_nobody_is_left_in_it() {
        let load = Load::new(1);
        let (hot, calm) = (Arc::default(), Arc::default());
        let mut keeper = closed(&load, &hot);
        for _ in 0..64 {
            fill(&load, &hot, &mut keeper, 0);
        }
        let mut asked = Vec::new();
        for number in 0..5_000 {
            asked.push((number, ask(&load, &hot, BATCH, 0)));
        }
        // Those that waited longest give way, and nobody who may be let in yet.
        assert_eq!(told(&mut asked), (vec![], (0..5_000 - 4_096 - 8).collect()));
        asked.extend((5_000..10_000).map(|number| (number, ask(&load, &calm, 1, 0))));
        assert_eq!(told(&mut asked).0.len(), 0);
        // What waits is at hand, so the gate stays closed.
        (0..100).for_each(|_| keeper.look(LOOK, Duration::ZERO));
        assert_eq!((load.overloaded(), load.waiting()), (1, asked.len()));
        assert!(asked.len() < 3 * 4_096);
        drop(keeper);
        assert_eq!(told(&mut asked).1.len(), 0);
        assert_eq!((load.overloaded(), load.waiting(), asked.len()), (0, 0, 0));
        assert_eq!(enter(&load, &hot, MUCH, 0).now_or_never(), Some(true));
    }

    #[test]
    fn who_is_in_the_way_of_others_is_refused_once_it_is_overtaken() {
        let load = Load::new(1);
        let share = Arc::default();
        let mut keeper = closed(&load, &share);
        fill(&load, &share, &mut keeper, 0);
        let stream = Entry { bytes: BATCH, now: ms(0), may_wait: false };
        let mut asked: Vec<(u32, Asked<'_>)> =
            (0..20).map(|number| (number, Box::pin(load.enter(0, &share, stream)) as _)).collect();
        // All ask, then some are told.
        assert_eq!(told(&mut asked), (vec![], vec![]));
        assert_eq!(told(&mut asked), (vec![], (0..12).collect()));
        assert!(keeper.turn(ms(1)));
        assert_eq!(told(&mut asked), ((17..20).collect(), vec![]));
    }

    #[test]
    fn a_thread_is_told_once_somebody_waits() {
        let load = Load::new(1);
        let share = Arc::default();
        let mut keeper = closed(&load, &share);
        assert!(!keeper.is_quiet());
        fill(&load, &share, &mut keeper, 0);
        assert!(keeper.news().now_or_never().is_none());
        let asked = [ask(&load, &share, BATCH, 0), ask(&load, &share, BATCH, 0)];
        assert!(keeper.news().now_or_never().is_some());
        assert!(keeper.news().now_or_never().is_none());
        // It looks once more by itself, before it rests.
        assert!(keeper.turn(ms(1)));
        drop(ask(&load, &share, BATCH, 1));
        assert!(keeper.news().now_or_never().is_none());
        assert!(!keeper.turn(ms(2)));
        drop(asked);
        press(&mut keeper);
        press(&mut keeper);
        assert!(load.overloaded() == 0 && keeper.is_quiet());
        let works = much(&load, 0, &share, MUCH / 4);
        assert!(!keeper.is_quiet());
        drop(works);
    }
}
