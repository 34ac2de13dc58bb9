//! Load-testing harness for keelrow and any RudderStack-compatible endpoint.

mod baseline;
mod client;
mod clock;
mod drive;
mod lake;
mod latency;
mod ledger;
mod output;
mod payload;
mod process;
mod profile;
mod report;
mod rng;
mod schedule;
mod server;

fn main() {}
