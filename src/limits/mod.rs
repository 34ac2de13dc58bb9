//! Limits that several requests share: memory for bodies, connections, work, events
//! per source in a time.
//!
//! Each is a small counter that says no at once. Only at the gate of a thread that is asked for more than
//! it can do requests wait, so that it has a choice.

mod budget;
mod gate;
mod load;
mod rate;
mod share;

pub use budget::{Budget, Permit};
pub use gate::{Entry, Keeper};
pub use load::{Load, Work};
pub use rate::{RateLimits, RetryAfter};
pub use share::{Share, Shares};
