//! Load-testing harness for keelrow and any RudderStack-compatible endpoint.

mod clock;
mod output;
mod payload;
mod profile;
mod rng;
mod schedule;

fn main() {}
