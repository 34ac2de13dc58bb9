//! The loop against a lake that fails and a process that dies at every step.

mod crash;
mod cut;
mod mapped;
mod world;
