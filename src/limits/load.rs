//! What is in work: bytes of bodies from their end to their answer, since they are what costs time, by
//! source and by the thread that serves them; and with that, who is let in.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::gate::{Gate, Keeper, Said};
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

    /// Waits until `bytes` more of a source are let in on a thread; false where they are not, since
    /// there is more to do than can be done. `now` is the time that its [`Keeper`] is told, too.
    pub async fn enter(&self, lane: usize, share: &Arc<Share>, bytes: usize, now: Duration) -> bool {
        match self.gate(lane).ask(&self.shared.evenness, (share, bytes), now) {
            Said::Now(is_let_in) => is_let_in,
            Said::Later(told) => told.await.unwrap_or(false),
        }
    }

    /// Counts `bytes` of a source as in work.
    #[must_use]
    pub fn begin(&self, lane: usize, share: &Arc<Share>, bytes: usize) -> Work {
        self.shared.held.fetch_add(bytes, Ordering::Relaxed);
        self.gate(lane).begin(bytes);
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

    use super::super::gate::MUCH;
    use super::*;

    const LOOK: Duration = Duration::from_millis(16);
    const LATER: Duration = Duration::from_millis(11);
    const BATCH: usize = 60 << 10;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Looks for the time after which a gate is closed or opened, all late.
    fn press(keeper: &mut Keeper<'_>) {
        (0..16).for_each(|_| keeper.look(LOOK, LATER));
    }

    /// Closes the gate of a thread by what is in work there, which is over then.
    fn closed<'a>(load: &'a Load, share: &Arc<Share>) -> Keeper<'a> {
        let mut keeper = load.keeper(0);
        let work = load.begin(0, share, MUCH + 1);
        press(&mut keeper);
        drop(work);
        assert_eq!(load.overloaded(), 1);
        keeper
    }

    type Asked<'a> = Pin<Box<dyn Future<Output = bool> + 'a>>;

    fn ask<'a>(load: &'a Load, share: &'a Arc<Share>, bytes: usize, now: u64) -> Asked<'a> {
        let mut asked: Asked<'a> = Box::pin(load.enter(0, share, bytes, ms(now)));
        assert_eq!((&mut asked).now_or_never(), None, "at {now}");
        asked
    }

    /// Lets in what there is room for, so that the next have to wait.
    fn fill(load: &Load, share: &Arc<Share>, keeper: &mut Keeper<'_>, now: u64) {
        keeper.turn(ms(now));
        let rest = load.enter(0, share, MUCH, ms(now)).now_or_never();
        assert_eq!(rest, Some(true));
    }

    /// The numbers of those that were let in and of those that were refused; the others stay.
    fn told(asked: &mut Vec<(u32, Asked<'_>)>) -> (Vec<u32>, Vec<u32>) {
        let (mut let_in, mut refused) = (Vec::new(), Vec::new());
        asked.retain_mut(|(number, asked)| match asked.as_mut().now_or_never() {
            Some(true) => {
                let_in.push(*number);
                false
            }
            Some(false) => {
                refused.push(*number);
                false
            }
            None => true,
        });
        (let_in, refused)
    }

    #[test]
    fn a_gate_closes_where_a_thread_stays_late_with_much_at_hand() {
        let load = Load::new(2);
        let (share, mut keeper) = (Arc::default(), load.keeper(0));
        // Late, and little to do: the machine has no time for us.
        let little = load.begin(0, &share, MUCH);
        press(&mut keeper);
        press(&mut keeper);
        assert_eq!((load.overloaded(), load.held()), (0, MUCH));
        // Much to do, elsewhere.
        let elsewhere = load.begin(1, &share, 2 * MUCH);
        press(&mut keeper);
        assert_eq!(load.overloaded(), 0);
        // Much to do, in time.
        let more = load.begin(0, &share, 1);
        (0..100).for_each(|_| keeper.look(LOOK, ms(10)));
        assert_eq!(load.overloaded(), 0);
        (0..15).for_each(|_| keeper.look(LOOK, LATER));
        assert_eq!(load.overloaded(), 0);
        assert_eq!(load.enter(0, &share, 1, ms(0)).now_or_never(), Some(true));
        keeper.look(LOOK, LATER);
        assert_eq!(load.overloaded(), 1);
        // The other thread goes on.
        assert_eq!(load.enter(1, &share, MUCH, ms(0)).now_or_never(), Some(true));
        assert_eq!(load.enter(1, &share, MUCH, ms(0)).now_or_never(), Some(true));
        // It opens once there is little at hand all the time, however late it is.
        (0..100).for_each(|_| keeper.look(LOOK, Duration::ZERO));
        assert_eq!(load.overloaded(), 1);
        drop(more);
        // The first look sees what there was before.
        keeper.look(LOOK, LATER);
        (0..15).for_each(|_| keeper.look(LOOK, LATER));
        drop(load.begin(0, &share, 1));
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
            let works: Vec<_> = (0..64).map(|_| load.begin(0, &share, 500_000)).collect();
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
        for (bytes, let_in) in [(BATCH, Some(true)), (BATCH, Some(true)), (1, None)] {
            assert_eq!(load.enter(0, &share, bytes, ms(0)).now_or_never(), let_in);
        }
        assert!(!keeper.turn(ms(0)));
        fill(&load, &share, &mut keeper, 1_000);
        let mut asked = Vec::new();
        for number in 0..30 {
            asked.push((number, ask(&load, &share, BATCH, 1_000 + u64::from(number))));
        }
        assert_eq!((load.waiting(), told(&mut asked).0.len()), (30, 0));
        // Two batches go beyond what a turn has room for.
        assert!(keeper.turn(ms(1_029)));
        assert_eq!(told(&mut asked), (vec![28, 29], vec![]));
        // A large one takes a turn by itself, and who comes later goes first.
        asked.push((30, ask(&load, &share, 2 * BATCH, 1_030)));
        assert!(keeper.turn(ms(1_030)));
        assert_eq!(told(&mut asked), (vec![30], vec![]));
        // From 10 ms on it is too late to be let in, and too early to be refused.
        assert!(keeper.turn(ms(1_037)));
        assert_eq!(told(&mut asked), (vec![27], vec![]));
        assert!(!keeper.turn(ms(1_038)));
        assert!(!keeper.turn(ms(1_200)));
        assert_eq!((told(&mut asked).0.len(), load.waiting()), (0, 27));
        // Nobody is in the way of who comes now.
        assert_eq!(load.enter(0, &share, BATCH, ms(1_200)).now_or_never(), Some(true));
        // The oldest first, a few in each turn.
        assert!(keeper.turn(ms(1_204)));
        assert_eq!(told(&mut asked), (vec![], vec![0, 1, 2, 3]));
        assert!(keeper.turn(ms(1_300)));
        assert_eq!(told(&mut asked), (vec![], (4..12).collect()));
        asked.drain(..);
        // Whoever has gone takes no room.
        asked.push((31, ask(&load, &share, BATCH, 1_300)));
        assert!(keeper.turn(ms(1_301)));
        assert_eq!((told(&mut asked).0, load.waiting()), (vec![31], 0));
    }

    #[test]
    fn a_hot_source_displaces_only_itself() {
        let load = Load::new(1);
        let (hot, calm) = (Arc::default(), Arc::default());
        let mut keeper = closed(&load, &hot);
        fill(&load, &hot, &mut keeper, 0);
        let mut asked = vec![(0, ask(&load, &calm, MUCH / 4, 0))];
        for number in 1..40 {
            asked.push((number, ask(&load, &hot, BATCH, 100)));
        }
        // Older, larger, and first: its source had nothing lately.
        assert!(keeper.turn(ms(101)));
        assert_eq!(told(&mut asked), (vec![0], vec![]));
        assert!(keeper.turn(ms(101)));
        assert_eq!(told(&mut asked), (vec![38, 39], vec![]));
        // With an even share it waits like the others.
        asked.clear();
        fill(&load, &calm, &mut keeper, 102);
        asked.push((40, ask(&load, &calm, BATCH, 102)));
        asked.push((41, ask(&load, &hot, BATCH, 102)));
        asked.push((42, ask(&load, &hot, BATCH, 102)));
        assert!(keeper.turn(ms(103)));
        assert_eq!(told(&mut asked), (vec![41, 42], vec![]));
        // What was long ago is forgotten.
        asked.clear();
        for now in (200..3_000).step_by(100) {
            fill(&load, &hot, &mut keeper, now);
        }
        asked.push((43, ask(&load, &calm, BATCH, 3_000)));
        asked.push((44, ask(&load, &hot, BATCH, 3_000)));
        asked.push((45, ask(&load, &hot, BATCH, 3_000)));
        assert!(keeper.turn(ms(3_001)));
        assert_eq!(told(&mut asked), (vec![43, 45], vec![]));
    }

    #[test]
    fn what_waits_for_others_is_let_grow_no_further() {
        let load = Load::new(1);
        let share = Arc::default();
        let mut keeper = closed(&load, &share);
        let (much, little) = (load.begin(0, &share, MUCH), load.begin(0, &share, 1));
        assert!(!keeper.turn(ms(0)));
        let mut asked = vec![(0, ask(&load, &share, BATCH, 0))];
        assert!(!keeper.turn(ms(1)));
        // Told that somebody came; nobody else does.
        assert!(keeper.news().now_or_never().is_some());
        drop(little);
        assert!(keeper.news().now_or_never().is_none());
        drop(much);
        assert!(keeper.news().now_or_never().is_some());
        assert!(keeper.turn(ms(2)));
        assert_eq!(told(&mut asked), (vec![0], vec![]));
    }

    #[test]
    fn a_line_has_an_end_and_nobody_is_left_in_it() {
        let load = Load::new(1);
        let share = Arc::default();
        let mut keeper = closed(&load, &share);
        fill(&load, &share, &mut keeper, 0);
        let mut asked = Vec::new();
        for number in 0..4096 {
            asked.push((number, ask(&load, &share, BATCH, 0)));
        }
        assert_eq!(load.enter(0, &share, 1, ms(0)).now_or_never(), Some(false));
        // What waits is at hand, so the gate stays closed.
        (0..100).for_each(|_| keeper.look(LOOK, Duration::ZERO));
        assert_eq!((load.overloaded(), load.waiting()), (1, 4096));
        drop(keeper);
        assert_eq!(told(&mut asked).0.len(), 4096);
        assert_eq!((load.overloaded(), load.waiting()), (0, 0));
        assert_eq!(load.enter(0, &share, MUCH, ms(0)).now_or_never(), Some(true));
    }
}
