//! The whole product, from outside: one test binary, since each further one links everything again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test ends where something is wrong"
)]

mod check;
mod commands;
mod documents;
mod fidelity;
mod gateway;
mod http;
mod journal;
mod lake;
mod limits;
mod loading;
mod privacy;
mod reload;
mod schema;
mod secrets;
mod sim;
mod tidy;
mod tls;
mod transforms;
