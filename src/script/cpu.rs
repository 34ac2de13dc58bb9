//! CPU time of the calling thread: what a script may spend, whatever else the machine is doing.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of CPU time that this thread has used; only differences mean anything.
pub(super) fn thread_nanos() -> u64 {
    let at = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, nanos) = (u64::try_from(at.tv_sec), u64::try_from(at.tv_nsec));
    seconds.unwrap_or(0).saturating_mul(1_000_000_000).saturating_add(nanos.unwrap_or(0))
}
