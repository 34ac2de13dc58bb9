//! The commands of the `keelrow` program.

pub mod map;
