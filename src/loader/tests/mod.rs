//! The loop against a lake that fails and a process that dies at every step.

mod again;
mod books;
mod crash;
mod cut;
mod damaged;
mod familiar;
mod formats;
mod mapped;
mod rebuilt;
mod resume;
mod running;
mod world;
