//! Limits that several requests share: memory for bodies, connections, work, events
//! per source in a time.
//!
//! Each is a small counter that says no at once; nothing here waits or queues.

mod budget;
mod load;
mod rate;
mod share;

pub use budget::{Budget, Permit};
pub use load::{Load, Watch, Work};
pub use rate::{RateLimits, RetryAfter};
pub use share::{Share, Shares};
