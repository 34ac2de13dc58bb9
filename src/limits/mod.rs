//! Limits that several requests share: memory for bodies, connections, events per source in a time.
//!
//! Each is a small counter that says no at once; nothing here waits or queues.

mod budget;
mod rate;

pub use budget::{Budget, Permit};
pub use rate::{RateLimits, RetryAfter};
