//! Limits that several requests share: memory for bodies, connections, events per source in a time.
//!
//! Each is a small counter that says no at once; nothing here waits or queues.

mod in_flight;
mod rate;

pub use in_flight::{InFlight, Permit};
pub use rate::{RateLimits, RetryAfter};
